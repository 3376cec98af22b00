"""How much of a prompt the model has read already: after a day's note changed, and between different commands.

Run: python benchmarks/prefix.py [--engine]. Works on a copy of examples/vault. Bytes count from the beginning of the
prompt to the first that differs. With --engine a real llama.cpp server over a tiny model (tests/tiny_engine.py) reads
the prompts and tells how many tokens it had; this takes some minutes, as that model takes a character for a token.
"""

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from commands.order import _MAP, _SYSTEM, _place  # noqa: E402 - the path must be set first
from context.assemble import Passage  # noqa: E402
from context.index import Index  # noqa: E402
from context.vault import Vault  # noqa: E402
from inference.node import Message  # noqa: E402
from tests.houses import Nodes, events, house, usage  # noqa: E402

# A command and what is said to it.
TEXTS = {
    "orient": "",
    "plan": "",
    "ask": "What is the state of the backup?",
    "research": "backup strategies",
    "validate": "",
    "update": "Worked on the backup today and ordered a disk.",
}
# One after the other on one model.
PAIRS = (
    *(("orient", "plan"), ("orient", "validate"), ("orient", "update")),
    *(("plan", "ask"), ("ask", "research"), ("research", "validate")),
)
# What a person adds to the day's note while they work.
LINES = (
    "- 15:10 Swept the attic.",
    "- 15:40 Called about the disk; it comes on Tuesday, in the morning, and costs more.",
)
_NOTE = re.compile(r'<note path="([^"]*)" heading="[^"]*">\n(.*?)\n</note>', re.DOTALL)


class Prompts:
    """Writes the prompts of commands over a vault.

    Attributes:
        vault, house: what they are written from.
        sent: the messages of the latest one.
    """

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        # It tells no counts, so nothing is learned of its tokens between two prompts.
        self._nodes = Nodes([["All is well.", usage(None)]])
        self.house = house(vault, self._nodes)
        self.sent: Sequence[Message] = ()

    def of(self, command: str, *, budget: int | None = None) -> str:
        """The prompt of a command as one text."""
        asked = len(self._nodes.chats)
        asyncio.run(_ran(self, command, budget))
        self.sent = self._nodes.chats[asked].messages
        return "\n".join(message.content for message in self.sent)


async def _ran(prompts: Prompts, command: str, budget: int | None) -> None:
    await events(prompts.house, command, text=TEXTS[command], budget_tokens=budget, fresh=True)


def shared(one: str, other: str) -> int:
    """Bytes of the common beginning of two texts."""
    pairs = zip(one.encode(), other.encode(), strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one.encode()), len(other.encode())))


def fenced(prompt: str) -> list[str]:
    """The passages of a prompt, with the marks around them."""
    return [match[0] for match in _NOTE.finditer(prompt)]


def stable(vault: Vault, note: str) -> bool:
    """Whether a fenced passage is one of a map or a system, and no single task."""
    match = _NOTE.fullmatch(note)
    if match is None or match[2].startswith("- ["):
        return False
    passage = Passage(match[1], "", "", 0, 0, "", "", 0.0, "")
    return _place(passage, vault.snapshot, "")[0] in (_MAP, _SYSTEM)


def cached_tokens(server: httpx.Client, messages: Sequence[Message]) -> tuple[int, int]:
    """Let llama.cpp read a prompt: tokens of it, and how many of these it had read before."""
    sent = [{"role": message.role, "content": message.content} for message in messages]
    answer = server.post("/v1/chat/completions", json={"messages": sent, "max_tokens": 1}).raise_for_status().json()
    return answer["usage"]["prompt_tokens"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def main(*, engine: bool) -> None:
    """Print one table for a changed day, and one for pairs of commands."""
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(Path(shutil.copytree(ROOT / "examples" / "vault", Path(folder, "vault"))), Index(None))
        prompts = Prompts(vault)
        if engine:
            from tests.tiny_engine import tiny_engine

            with tiny_engine(window=32768) as url, httpx.Client(base_url=url, timeout=600) as server:
                _changed(prompts, server)
                _between(prompts, server)
        else:
            _changed(prompts, None)
            _between(prompts, None)
        vault.close()


def _tokens(prompts: Prompts, server: httpx.Client | None) -> str:
    if server is None:
        return ""
    read, kept = cached_tokens(server, prompts.sent)
    return f"{kept} of {read}"


def _changed(prompts: Prompts, server: httpx.Client | None) -> None:
    print("| command | bytes | shared after a day's note changed | part | tokens kept by llama.cpp |")
    print("|---|---|---|---|---|")
    note = max((prompts.vault.root / "01-Journal" / "Daily").glob("*.md"))
    for command in TEXTS:
        before = prompts.of(command)
        _tokens(prompts, server)
        for line in LINES:
            note.write_text(f"{note.read_text('utf-8').rstrip()}\n{line}\n", "utf-8")
            prompts.vault.refresh()
            after = prompts.of(command)
            size, same = len(after.encode()), shared(before, after)
            print(f"| {command} | {size} | {same} | {same / size:.3f} | {_tokens(prompts, server)} |", flush=True)
            before = after


def _between(prompts: Prompts, server: httpx.Client | None) -> None:
    print("\n| after | comes | shared bytes | of maps and systems in both | tokens kept by llama.cpp |")
    print("|---|---|---|---|---|")
    start = len(prompts.house.preamble.encode())
    for one, other in PAIRS:
        first = prompts.of(one)
        _tokens(prompts, server)
        second = prompts.of(other)
        both = [note for note in fenced(first) if note in fenced(second) and stable(prompts.vault, note)]
        inside = second.encode()[: shared(first, second)]
        kept = sum(len(note.encode()) for note in both if note.encode() in inside)
        told = f"{kept} of {sum(len(note.encode()) for note in both)}"
        print(
            f"| {one} | {other} | {start} + {len(inside) - start} | {told} | {_tokens(prompts, server)} |", flush=True
        )


if __name__ == "__main__":
    main(engine="--engine" in sys.argv[1:])
