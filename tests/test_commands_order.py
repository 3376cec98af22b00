"""The order in which passages are sent: what the model has read already stays the beginning of the next prompt."""

import itertools
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from benchmarks.prefix import TEXTS, Prompts, cached_tokens, fenced, shared, stable
from commands.order import stable_first
from context.assemble import Passage
from context.index import Index
from context.vault import Vault
from tests.tiny_engine import tiny_engine
from tests.vaults import open_vault

SAMPLE = Path(__file__).parent.parent / "examples" / "vault"
LAST = "01-Journal/Daily/2025-09-13.md"
FILES = {
    ".obsidian/daily-notes.json": '{"folder": "Daily"}',
    "Home.md": "# Home\n[[Map]]\n",
    "Map.md": "---\ntype: moc\n---\n[[A]] [[B]]\n",
    "Small MOC.md": "[[A]]\n",
    "Pump.md": "---\ntype: hardware\nstatus: running\n---\n",
    "Boiler.md": "---\ntype: hardware\nstatus: broken\n---\n",
    "Wall.md": "---\ntype: project\nstatus: active\ndue: 2025-10-01\n---\n",
    "Roof.md": "---\ntype: project\nstatus: active\ndue: 2025-09-20\n---\n",
    "Shed.md": "---\ntype: project\nstatus: active\n---\n",
    "A.md": "a",
    "B.md": "b",
    "Open.md": "written just now",
    "Daily/2025-09-14.md": "today",
    "Daily/2025-09-13.md": "yesterday",
    "2025-W36.md": "a week",
    "Diary.md": "---\ntype: daily\ndate: 2025-09-12\n---\n",
}
BASE = Passage("", "", "", 0, 1, "", "search", 0.0, "")


def test_what_rarely_changes_comes_first(tmp_path: Path) -> None:
    snapshot = open_vault(tmp_path, FILES).snapshot
    notes = [replace(BASE, path=path, score=score) for score, path in enumerate(sorted(snapshot.notes))]
    task = replace(BASE, path="Wall.md", lane="tasks", start=9)
    late = replace(BASE, path="Daily/2025-09-13.md", lane="tasks", start=9)
    gone = replace(BASE, path="Gone.md")
    expected = [
        *("Home.md", "Map.md", "Small MOC.md", "Boiler.md", "Pump.md", "Roof.md", "Wall.md", "Shed.md"),
        *("A.md", "B.md", "Gone.md", "Open.md", "Wall.md", "2025-W36.md", "Diary.md"),
        *("Daily/2025-09-13.md", "Daily/2025-09-13.md", "Daily/2025-09-14.md"),
    ]
    for order in (notes, notes[::-1]):
        sent = stable_first([late, task, gone, *order], snapshot, "Open.md")
        assert [one.path for one in sent] == expected
        assert sent[12] == task
    moved = [replace(one, score=-one.score) for one in notes]
    assert [one.path for one in stable_first(moved, snapshot)] == [one.path for one in stable_first(notes, snapshot)]
    assert [one.path for one in stable_first(notes, snapshot, "Daily/2025-09-13.md")][-2:] == expected[-2:]


@pytest.fixture
def prompts(tmp_path: Path) -> Iterator[Prompts]:
    vault = Vault(Path(shutil.copytree(SAMPLE, tmp_path / "vault")), Index(None))
    yield Prompts(vault)
    vault.close()


def change(prompts: Prompts, line: str) -> None:
    note = prompts.vault.root / LAST
    note.write_text(f"{note.read_text('utf-8').rstrip()}\n{line}\n", "utf-8")
    prompts.vault.refresh()


@pytest.mark.parametrize("command", ["orient", "plan", "update", "ask", "research", "validate"])
def test_a_day_that_was_added_to_leaves_the_beginning(prompts: Prompts, command: str) -> None:
    before = prompts.of(command)
    for line in ("- 15:10 Swept.", "- 16:00 The parcel came, with the disk, two cables and a bill that is too high."):
        change(prompts, line)
        after = prompts.of(command)
        assert shared(before, after) >= 0.8 * len(after.encode())
        before = after


def test_commands_share_the_preamble_and_their_stable_notes(prompts: Prompts) -> None:
    written = {command: prompts.of(command) for command in TEXTS}
    for one, other in itertools.combinations(written.values(), 2):
        assert shared(one, other) > len(prompts.house.preamble.encode())
    orient, plan = written["orient"], written["plan"]
    both = [note for note in fenced(orient) if note in fenced(plan) and stable(prompts.vault, note)]
    assert len(both) >= 4
    assert shared(orient, plan) >= len(prompts.house.preamble.encode()) + len("\n".join(both).encode())


def test_what_is_shared_is_read_once_by_llama_cpp(prompts: Prompts) -> None:
    """A quarter of the usual budget, since the tiny model takes a character for a token."""
    with tiny_engine(window=16384) as url, httpx.Client(base_url=url, timeout=100) as server:
        before = prompts.of("orient", budget=1500)
        read, kept = cached_tokens(server, prompts.sent)
        assert kept == 0
        change(prompts, "- 15:10 Swept.")
        after = prompts.of("orient", budget=1500)
        read, kept = cached_tokens(server, prompts.sent)
        part = shared(before, after) / len(after.encode())
        assert kept / read == pytest.approx(part, abs=0.02)
        assert kept / read > 0.5
        beginning = len(re.split("<note ", prompts.of("plan", budget=1500))[0])
        assert cached_tokens(server, prompts.sent)[1] > beginning * 0.8
