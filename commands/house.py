"""What a running command works with: the vault, the cache, the nodes, the prompts. Built once, by the server."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from commands.gather import WAYS
from commands.journal import Journal
from commands.latest import Latest
from commands.rates import Rates
from context.cache import Cache
from context.frontmatter import read
from context.vault import Vault
from inference.fleet import Fleet
from prompts import SHIPPED, Prompt, PromptError, parse, shipped_text

if TYPE_CHECKING:
    from context.embed import Vectors
    from context.watch import Watch


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says of commands.

    Attributes:
        timezone: IANA name of the person's zone; "" is the machine's.
        now: fixes the calendar, as an ISO date or instant; "" is the present.
        language: language of answers; "" is that of the person's text.
        capture_heading: the heading of the daily note under which captured words go.
        deadline_seconds: upper limit for every command; 0 leaves each prompt its own.
        force_pattern: what forces the big model when it stands in the person's own words; "" for nothing.
    """

    timezone: str = ""
    now: str = ""
    language: str = ""
    capture_heading: str = "Log"
    deadline_seconds: int = 0
    force_pattern: str = "#force_big"


@dataclass
class House:
    """Everything a command needs; each part keeps itself fresh."""

    vault: Vault
    cache: Cache
    fleet: Fleet
    prompts: Mapping[str, Prompt]
    preamble: str
    settings: Settings = field(default_factory=Settings)
    watch: "Watch | None" = None
    journal: Journal | None = None
    latest: Latest = field(default_factory=Latest)
    rates: Rates = field(default_factory=Rates)
    vectors: "Vectors | None" = None

    async def close(self) -> None:
        """Stop watching, and let go of nodes and files."""
        if self.watch is not None:
            await asyncio.to_thread(self.watch.stop)
        if self.vectors is not None:
            await asyncio.to_thread(self.vectors.close)
        await self.fleet.close()
        self.cache.close()
        self.vault.close()

    def commands(self) -> list[dict[str, Any]]:
        """The commands a client may offer, for `GET /v1/commands`."""
        return [
            {
                "name": prompt.name,
                "description": prompt.description,
                "argument_hint": prompt.argument_hint,
                "text": prompt.text,
                "tier": self.fleet.profile.commands.get(prompt.name, prompt.tier),
                "writes": list(prompt.writes),
            }
            for prompt in self.prompts.values()
        ]

    def vectors_for(self, *, private: bool) -> "Vectors | None":
        """The vectors that a question may be compared with; None when they are off.

        Args:
            private: whether the question holds private words, which not every embedder may see.
        """
        return self.vectors if self.vectors and (not private or self.vectors.embedder.sees_private) else None

    def stays_inside(self, node: str) -> bool:
        """Whether what a node sees stays in the house: no node at all, a local one, or a trusted one in the LAN."""
        config = self.fleet.profile.nodes.get(node)
        return config is None or config.sees_private

    def status(self) -> dict[str, Any]:
        """The vault, its index, the cache and the watcher, for `GET /v1/status`: counts, never a note's text."""
        snapshot = self.vault.snapshot
        stats = self.cache.stats()
        return {
            "vault": {
                "name": self.vault.root.name,
                "notes": len(snapshot.notes),
                "files": len(snapshot.files),
                "maps": len(snapshot.maps),
                "skipped": self.vault.skipped,
                "full_text": "ready" if self.vault.is_searchable else "building",
                "flagged": [
                    {"path": path, "flags": list(note.flags)}
                    for path, note in sorted(snapshot.notes.items())
                    if note.flags
                ][:200],
                "watching": self.watch.how if self.watch else "",
            },
            "cache": {
                name: getattr(stats, name) for name in ("name", "live", "breaker", "sets", "errors", "last_error")
            }
            | self.rates.as_dict(),
            "embeddings": self.vectors.status() if self.vectors else None,
            "profile": self.fleet.profile.name,
            "decisions": self.fleet.ledger.status() if self.fleet.ledger else None,
        }


def shipped_prompts() -> dict[str, Prompt]:
    """The commands the product ships.

    Raises:
        prompts.PromptError: a file is missing or cannot be used: the installation is not whole.
    """
    return {name: _shipped(name) for name in SHIPPED}


def _shipped(name: str) -> Prompt:
    text = shipped_text(name)
    front = read(text)
    if front.problem:
        raise PromptError(f"{name}.md: the frontmatter cannot be read: {front.problem}")
    lines: dict[str, int] = {}
    for number, line in enumerate(text[: front.body].splitlines(), 1):
        lines.setdefault(line.partition(":")[0].strip("'\""), number)
    first_line = 1 + text.count("\n", 0, front.body)
    return parse(name, front.properties, text[front.body :], gathers=WAYS, lines=lines, first_line=first_line)
