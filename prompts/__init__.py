"""Prompts: Markdown files whose frontmatter declares a command; a small fixed vocabulary, no logic."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

# The commands the product ships; a missing file is an installation fault and is said at start.
SHIPPED = ("orient", "update", "plan", "research", "validate", "ask")
TIERS = ("fast", "balanced", "deep", "none")
# What a command answers with when no model does: see `commands.brief`.
FALLBACKS = ("briefing", "skeleton", "findings", "health")
# What a command may write: the person's own words into the note of the day.
WRITES = ("capture",)
# The blanks that instructions may hold, each filled by `render`. What the vault says of now stands among the notes, and
# "facts" is filled by words that point there.
BLANKS = ("today", "weekday", "text", "selection", "facts", "earlier", "language")

_BLANK = re.compile(r"\{\{([^{}\n]*)\}\}")
_KEYS = frozenset(
    {
        "description",
        "argument-hint",
        "tier",
        "complex-tier",
        "gather",
        "budget",
        "answer",
        "recent-days",
        "without-model",
        "text",
        "writes",
        "deadline",
    }
)


class PromptError(ValueError):
    """A prompt file that cannot be used; the message names the file, the line or key, and what is allowed."""

    code = "internal"
    hint = "Correct the prompt file, or remove it so that the shipped one is used."


@dataclass(frozen=True, slots=True)
class Prompt:
    """A command, as its file declares it.

    Attributes:
        name: the command's name, without the slash.
        description: one line for people.
        argument_hint: what may follow the command, for example "[topic]".
        tier: the class of work: fast, balanced, deep, or none for a command that needs no model.
        complex_tier: the class of work when the person's words are complex; the same as `tier` unless it is named.
        gather: way of gathering → part of the budget (0..1) kept for it, in order of priority.
        budget: tokens of context at most.
        answer: tokens of the answer at most.
        recent_days: calendar days that count as recent, today included.
        without_model: what is answered when no model does.
        text: whether the person must type something ("required") or may ("optional").
        writes: what the command may write; empty for one that writes nothing.
        deadline: seconds from request to answer.
        instructions: what the model is told, with blanks.
        digest: SHA-256 of all of the above, 64 hex.
    """

    name: str
    description: str
    argument_hint: str
    tier: str
    complex_tier: str
    gather: Mapping[str, float]
    budget: int
    answer: int
    recent_days: int
    without_model: str
    text: str
    writes: tuple[str, ...]
    deadline: int
    instructions: str
    digest: str

    @property
    def blanks(self) -> frozenset[str]:
        """The names of the blanks that the instructions hold."""
        return frozenset(match[1].strip() for match in _BLANK.finditer(self.instructions))

    def render(self, blanks: Mapping[str, str]) -> str:
        """The instructions with their blanks filled; what comes in through a blank is not read for blanks again."""
        return _BLANK.sub(lambda match: blanks.get(match[1].strip(), ""), self.instructions).strip()


def shipped_text(name: str) -> str:
    """The text of a file of this package, for example "orient" or "preamble".

    Raises:
        PromptError: the file is not there: the installation is not whole.
    """
    try:
        return (resources.files("prompts") / f"{name}.md").read_text(encoding="utf-8")
    except (FileNotFoundError, ModuleNotFoundError):
        raise PromptError(
            f"the file prompts/{name}.md is missing from the installation; install Knowledge-OS again"
        ) from None


def parse(
    name: str,
    properties: Mapping[str, Any],
    body: str,
    *,
    gathers: Collection[str],
    lines: Mapping[str, int] | None = None,
    first_line: int = 1,
) -> Prompt:
    """Read a prompt from its properties and body.

    Args:
        name: the command's name.
        properties: the file's frontmatter.
        body: the text after the frontmatter.
        gathers: the ways of gathering that exist.
        lines: on which line of the file each property stands, for messages.
        first_line: line of the file on which the body begins, for messages.

    Raises:
        PromptError: an unknown key, a value out of its limits, an unknown blank, or no instructions.
    """
    front = _Front(name, properties, lines or {})
    for key in properties:
        if key not in _KEYS:
            raise front.wrong(key, f"unknown key {key[:60]!r}; allowed are {', '.join(sorted(_KEYS))}")
    for match in _BLANK.finditer(body):
        if match[1].strip() not in BLANKS:
            line = first_line + body.count("\n", 0, match.start())
            raise PromptError(f"{name}.md, line {line}: unknown blank {match[0][:60]}; allowed are {', '.join(BLANKS)}")
    if not body.strip():
        raise PromptError(f"{name}.md has no instructions below its frontmatter")
    fields: dict[str, Any] = {
        "description": front.text("description"),
        "argument_hint": front.text("argument-hint", ""),
        "tier": front.one_of("tier", TIERS),
        "complex_tier": front.one_of("complex-tier", TIERS, front.one_of("tier", TIERS)),
        "gather": front.shares("gather", gathers),
        "budget": front.whole("budget", 500, 200_000),
        "answer": front.whole("answer", 100, 32_000),
        "recent_days": front.whole("recent-days", 1, 366, 3),
        "without_model": front.one_of("without-model", FALLBACKS),
        "text": front.one_of("text", ("optional", "required"), "optional"),
        "writes": front.names("writes"),
        "deadline": front.whole("deadline", 1, 3600, 120),
        "instructions": body.strip(),
    }
    return Prompt(name=name, **fields, digest=hashlib.sha256(repr((name, sorted(fields.items()))).encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class _Front:
    """The properties of a prompt file, read one by one; what is wrong is told with file and line."""

    name: str
    properties: Mapping[str, Any]
    lines: Mapping[str, int]

    def wrong(self, key: str, message: str) -> PromptError:
        line = f", line {self.lines[key]}" if key in self.lines else ""
        return PromptError(f"{self.name}.md{line}: {message}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.properties.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, f"{key} must be text")
        return value

    def one_of(self, key: str, allowed: Collection[str], default: str | None = None) -> str:
        value = self.properties.get(key, default)
        if value not in allowed:
            raise self.wrong(key, f"{key} must be one of {', '.join(allowed)}")
        return str(value)

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.properties.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"{key} must be a whole number from {low} to {high}")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        value = self.properties.get(key) or []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.wrong(key, f"{key} must be a list of names")
        for one in value:
            if one not in WRITES:
                raise self.wrong(key, f"{key} has no {one[:60]!r}; known are {', '.join(WRITES)}")
        return tuple(value)

    def shares(self, key: str, known: Collection[str]) -> dict[str, float]:
        value = self.properties.get(key)
        if not isinstance(value, Mapping) or not value:
            raise self.wrong(key, f"{key} must name ways of gathering with their percent of the budget")
        for way, percent in value.items():
            if way not in known:
                raise self.wrong(key, f"{key} has no way {way[:60]!r}; known are {', '.join(sorted(known))}")
            if not isinstance(percent, int) or isinstance(percent, bool) or not 0 <= percent <= 100:
                raise self.wrong(key, f"{key}.{way} must be a whole number of percent from 0 to 100")
        if sum(value.values()) > 100:
            raise self.wrong(key, f"the percents of {key} add up to more than 100")
        return {way: percent / 100 for way, percent in value.items()}
