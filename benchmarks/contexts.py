"""What a context that is not cached takes, by kind. Run: python benchmarks/contexts.py VAULT [FOLDER].

Works on a copy of the vault, in one process. FOLDER keeps copy and index for the next time. The questions are made of
the vault's own words, 3 to 12 of one note each, every third with the name of a note; the same seed makes the same ones.
Wall and processor milliseconds; "after an edit" is the first after a line was added to a note, "next" the one after it.
"""

import asyncio
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from commands.contexts import build_context  # noqa: E402
from commands.house import House  # noqa: E402 - the path must be set first
from commands.request import Request  # noqa: E402
from context.index import Index  # noqa: E402
from context.names import folder_of  # noqa: E402
from context.vault import Vault  # noqa: E402
from tests.houses import events, house  # noqa: E402

QUESTIONS = 200
EDITS = 20
_WORD = re.compile(r"[^\W\d_]{2,}")


def questions(vault: Vault, count: int, seed: int = 7) -> list[tuple[str, str]]:
    """Questions made of the words of notes, each with the folder of the note it is made of."""
    dice = random.Random(seed)
    paths = sorted(path for path, note in vault.snapshot.notes.items() if note.is_text)
    found: list[tuple[str, str]] = []
    while len(found) < count:
        path = dice.choice(paths)
        note, text = vault.text(path)
        words = _WORD.findall(text[note.body :])
        if len(words) < 3:
            continue
        asked = dice.sample(words, min(len(words), dice.randint(3, 12)))
        if len(found) % 3 == 0:
            asked.append(note.title if dice.random() < 0.5 else vault.snapshot.notes[dice.choice(paths)].title)
        found.append((" ".join(asked), folder_of(path).rstrip("/")))
    return found


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor milliseconds of some work, the threads it starts included."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000


def ask(of: House, text: str, **fields: Any) -> Callable[[], Any]:
    """A context of 4,000 tokens, made anew."""
    return lambda: asyncio.run(build_context(of, Request(text=text, budget_tokens=4000, fresh=True, **fields)))


def command(of: House, name: str) -> Callable[[], Any]:
    """A command up to the moment at which the model would be asked, with a context made anew."""
    return lambda: asyncio.run(events(of, name, dry_run=True, fresh=True))


def edit(vault: Vault, paths: list[str], dice: random.Random) -> None:
    """Add a line to a note, and let the vault see it."""
    path = dice.choice(paths)
    with (vault.root / path).open("a", encoding="utf-8") as file:
        file.write(f"\nAnother line, {dice.randrange(10**9)}.\n")
    vault.refresh([path])


def row(what: str, took: list[tuple[float, float]]) -> None:
    """Print p50, p99 and the most of wall and processor time."""
    told = [f"| {what} | {len(took)} "]
    for times in zip(*took, strict=True):
        ordered = sorted(times)
        told.append(f"| {ordered[len(ordered) // 2]:.1f} | {ordered[int(len(ordered) * 0.99) - 1]:.1f} ")
    print("".join(told) + "|", flush=True)


def measure(of: House) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Each kind with the times of its contexts."""
    asked, dice = questions(of.vault, QUESTIONS), random.Random(3)
    paths = sorted(path for path, note in of.vault.snapshot.notes.items() if note.is_text)
    yield "first question after the start", [timed(ask(of, "a question of nothing that is here"))]
    yield "ask", [timed(ask(of, text)) for text, _ in asked]
    scoped = [(text, folder) for text, folder in asked if folder]
    yield "ask in a folder", [timed(ask(of, text, scope={"folder": folder})) for text, folder in scoped]
    works: dict[str, Callable[[], tuple[float, float]]] = {
        "ask": lambda: timed(ask(of, dice.choice(asked)[0])),
        "orient": lambda: timed(command(of, "orient")),
        "plan": lambda: timed(command(of, "plan")),
    }
    for name, work in works.items():
        first, after = [], []
        for _ in range(EDITS):
            edit(of.vault, paths, dice)
            first.append(work())
            after.append(work())
        yield f"{name}, after an edit", first
        yield f"{name}, next", after


def main(vault: Path, folder: Path | None) -> None:
    """Print a row for each kind."""
    with nullcontext(str(folder)) if folder else tempfile.TemporaryDirectory() as kept:
        root = Path(kept, "vault")
        if not root.exists():
            shutil.copytree(vault, root, ignore=shutil.ignore_patterns(".git"))
        opened = Vault(root, Index(Path(kept, "index.sqlite")))
        opened.settle()  # full text is there
        print(f"{len(opened.snapshot.notes)} notes, {opened.size} chunks\n")
        print("| what | times | wall p50 ms | p99 | processor p50 ms | p99 |\n|---|---|---|---|---|---|")
        for what, took in measure(house(opened)):
            row(what, took)
        opened.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
