"""How often the cache spares work in a day of work, and how much of its prompts a model has read before.

Run: python benchmarks/day.py. Works on a copy of examples/vault: 10 updates, 6 orients and 5 questions in the order in
which they come, with edits in Obsidian in between. A scripted node answers. How much of a prompt was read before is
told for a model with one slot, which has only the prompt before this one, and for one that keeps all of the day's.
"""

import asyncio
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.prefix import shared  # noqa: E402 - the path must be set first
from commands.events import Event  # noqa: E402
from commands.house import House  # noqa: E402
from context.cache import open_cache  # noqa: E402
from context.index import Index  # noqa: E402
from context.vault import Vault  # noqa: E402
from tests.houses import Nodes, done, events, house  # noqa: E402

DAY = "2025-09-14"
TODAY = f"01-Journal/Daily/{DAY}.md"
BACKUP = "What is the state of the off-site backup?"
KOJI = "What does koji need to grow?"
PORTS = "Which ports does Felix's router need?"


@dataclass(frozen=True, slots=True)
class Step:
    """Something a person does at a time of day: a command with its words, or a line added to a note in Obsidian."""

    at: str
    what: str
    words: str = ""
    note: str = TODAY


STEPS = (
    Step("08:30", "orient"),
    Step("08:40", "update", "Slept badly, the resilver on [[Pantry]] was loud. Bay 3 is still at 40 percent."),
    Step("09:10", "ask", BACKUP),
    Step("09:40", "update", "Called Felix about [[Off-Site Backup]]: he can open the ports on Tuesday evening."),
    Step("10:00", "edit", "- 10:00 Juna's school things are labelled."),
    Step("10:15", "update", "Taped over the upper vent of the [[Fermentation Chamber]]; humidity holds at 78 now."),
    Step("10:30", "orient"),
    Step("11:00", "ask", KOJI),
    Step("11:40", "update", "Ordered two bowls for the chamber, 14 euro each, they come on Thursday."),
    Step("12:30", "edit", "- 12:30 Lunch with Daniel, dal again; he weighs nothing."),
    Step("13:00", "orient"),
    Step("13:05", "orient"),  # once more, on the phone
    Step("13:40", "update", "Fixed capture for sentences that name two projects in [[Vault Commands]]."),
    Step("14:10", "ask", BACKUP),
    Step("14:30", "edit", "Felix: ports 443 and 51820 are enough.", "04-Knowledge/People/Felix Hartwig.md"),
    Step("14:50", "update", "Renewed the library card at last."),
    Step("15:20", "ask", PORTS),
    Step("15:40", "edit", "- 15:40 Rain; the attic is dry."),
    Step("16:00", "orient"),
    Step("16:20", "update", "Scanned sixty more pictures for the [[Family Photo Archive]], Kanazawa is done."),
    Step("17:00", "update", "The new disk for [[Pantry]] is in the post, tracking says Tuesday."),
    Step("17:20", "ask", PORTS),
    Step("17:45", "update", "Wrote the list of ports for Felix and sent it."),
    Step("18:10", "update", "Planned the week with Daniel; the dentist is on Wednesday at nine."),
    Step("18:30", "orient"),
)


def main() -> None:
    """Print a row for each step, and the hit rates."""
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(Path(shutil.copytree(ROOT / "examples" / "vault", Path(folder, "vault"))), Index(None))
        cache = open_cache("sqlite", vault_id="day", path=Path(folder, "cache.sqlite"))
        nodes = Nodes([["All is [[Home|well]]."]])
        of = house(vault, nodes, cache=cache)
        asyncio.run(_day(of, nodes))
        told = of.status()["cache"]["kinds"]
        cache.close()
        vault.close()
    print("\n| kind | asked | out of the cache | rate |\n|---|---|---|---|")
    for kind, rated in told.items():
        print(f"| {kind} | {rated['hits'] + rated['misses']} | {rated['hits']} | {rated['rate']} |")


async def _day(of: House, nodes: Nodes) -> None:
    print("| at | what | context | answer | prompt bytes | read before, one slot | all kept |")
    print("|---|---|---|---|---|---|---|")
    before: dict[str, list[str]] = {}
    known = kept = written = 0
    for step in STEPS:
        if step.what == "edit":
            note = of.vault.root / step.note
            note.write_text(f"{note.read_text('utf-8').rstrip()}\n{step.words}\n", "utf-8")
            of.vault.refresh()
            print(f"| {step.at} | {step.note.rpartition('/')[2]} in Obsidian | | | | | |")
            continue
        asked, rates = len(nodes.chats), of.rates.as_dict()["kinds"]["context"]["hits"]
        final = done(await _ran(of, step))
        context = "cache" if of.rates.as_dict()["kinds"]["context"]["hits"] > rates else "new"
        told = f"| {step.at} | {step.what} | {context} | {'cache' if final['cached'] else 'new'} |"
        if len(nodes.chats) == asked:
            print(f"{told} | | |")
            continue
        chat = nodes.chats[asked]
        prompt = "\n".join(message.content for message in chat.messages)
        earlier, size = before.setdefault(chat.runner.model, []), len(prompt.encode())
        same = [shared(one, prompt) for one in earlier] or [0]
        known, kept, written = known + same[-1], kept + max(same), written + size
        earlier.append(prompt)
        print(f"{told} {size} | {same[-1] / size:.2f} | {max(same) / size:.2f} |", flush=True)
    print(f"\nOf {written} bytes: {known / written:.2f} read before with one slot, {kept / written:.2f} with all kept")


async def _ran(of: House, step: Step) -> list[Event]:
    fields: dict[str, Any] = {"apply": "capture"} if step.what == "update" else {}
    return await events(of, step.what, text=step.words, now=f"{DAY}T{step.at}", **fields)


if __name__ == "__main__":
    main()
