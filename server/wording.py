"""Puts what is written for programs, which speak HTTP, into the words of a person at the command line."""

import re
import shlex
from argparse import Namespace
from collections.abc import Iterable, Mapping
from typing import Any

# Fields of a request and what the command line calls them; others are called alike.
_FLAGS = {"tags": "tag", "budget_tokens": "budget", "hunks": "hunk"}
_FIELDS = "note|scope|tier|model|node|budget_tokens|gather|hunks|timezone|now"
# What stands in a message, and what is said instead; all of them are tried, in order.
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (r"`kos map` and GET /v1/maps list\b", "`kos map` lists"),
        (r"^GET /v1/commands lists\b", "`kos --help` lists"),
        (r"^GET /readyz tells when it is\.", "Ask again in a moment."),
        (r"^gather has no way\b", "--gather has no way"),
        (r"^the open note is not in the vault$", "the note that --note names is not in the vault"),
        (r"^Send `note` as a path relative to the vault\.", "Give its name, or its path from the top of the vault."),
        (r"\bapply it with confirm\b", "apply it with --confirm"),
        (r'\bforce it: `model` "big", or the force pattern in your own words\.', "force it with --model big."),
        (r"\bCorrect the field and send the request again\.", "Correct it and run the command again."),
        (r"^the body is larger\b", "what was said is larger"),
        (r"^the address and headers are larger than 16 KiB$", "what was named is too long"),
        (
            r'^Send "Authorization: Bearer …" with what `kos token` prints\.',
            "The service was started with another one; `kos config` tells where yours comes from.",
        ),
    )
)
_SCOPE = re.compile(r"\bscope\.(project|folder|tags|since|where)\b")
_FIELD = re.compile(rf"^({_FIELDS})(?=[:.] ?)")
_COMPARED = {"eq": "=", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "contains": "~"}


def worded(text: str) -> str:
    """A message or hint with flags in the place of fields, and commands in the place of addresses."""
    text = _FIELD.sub(_flag, _SCOPE.sub(_flag, text))
    for pattern, said in _WORDS:
        text = pattern.sub(said, text)
    return text


def _flag(match: re.Match[str]) -> str:
    return f"--{_FLAGS.get(match[1], match[1])}"


def as_typed(findings: Iterable[Mapping[str, Any]], arguments: Namespace) -> list[Mapping[str, Any]]:
    """Findings as they were, but for a scope that fits no note: it is told as it was typed."""
    told = f"no note fits {shlex.join(_scope(arguments))}"
    hint = "Look at how the folder, tag or property is written in the notes, or leave one of these out."
    return [{**one, "message": told, "hint": hint} if one["code"] == "nothing_in_scope" else one for one in findings]


def _scope(arguments: Namespace) -> Iterable[str]:
    """What narrows the notes, as it was typed."""
    named = {"--project": arguments.project, "--folder": arguments.folder, "--since": arguments.since}
    for flag, value in named.items():
        if value:
            yield from (flag, value)
    for tag in arguments.tag or ():
        yield from ("--tag", tag)
    for name, operator, value in arguments.where or ():
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        yield from ("--where", f"{name}{_COMPARED[operator]}{shown}")
