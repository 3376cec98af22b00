"""Kills a process in the middle of three-note applies, again and again, and looks what is left after a start.

Run: python -m tests.crash FOLDER KILLS [SEED]. Prints one line of JSON. Needs fork: Linux, macOS.
"""

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from commands.edits import Change, Hunk, digest
from commands.journal import Journal

NOTES = ("Daily.md", "Project.md", "deep/Map.md")
# About the size of a real note, in bytes: the kill must find a write in the middle of its work.
FILLER = "A line of prose that stands in the note and must never change.\n" * 60


def lines(text: str) -> list[int]:
    """The numbers that applies left in a note."""
    return [int(line.removeprefix("- n ")) for line in text.splitlines() if line.startswith("- n ")]


def work(root: Path, state: Path, first: int, tell: int) -> None:
    """Apply edits of all notes, one after the other, and tell of each that was acknowledged; never returns."""
    journal = Journal(root, state)
    number = first
    os.write(tell, b"r")
    while True:
        number += 1
        apply(journal, root, number)
        os.write(tell, b"a")


def _seconds(folder: Path) -> float:
    """How long one edit of three notes takes here, for kills that hit every part of it."""
    for name in NOTES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n{FILLER}## Log\n")
    journal = Journal(folder, folder.with_name("measured-state"))
    times = []
    for number in range(8):
        began = time.perf_counter()
        apply(journal, folder, number)
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


def apply(journal: Journal, root: Path, number: int) -> None:
    """One edit that puts a number at the end of every note. Made by hand: what is killed here is the writing."""
    changes = []
    for name in NOTES:
        data = (root / name).read_bytes()
        hunk = Hunk(f"{name}.1", len(data), len(data), 0, 0, "", f"- n {number}\n", "log")
        changes.append(Change(name, digest(data), (hunk,)))
    journal.apply(journal.propose(changes).id)


def run(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill that often; counts of what went wrong, all of which must be 0 but `middle`."""
    root, state = folder / "vault", folder / "state"
    (root / "deep").mkdir(parents=True)
    for name in NOTES:
        (root / name).write_text(f"# {name}\n{FILLER}## Log\n- n 0\n")
    dice = random.Random(seed)
    found = {"kills": kills, "torn": 0, "half": 0, "lost": 0, "litter": 0, "middle": 0}
    reached = 0
    took = _seconds(folder / "measured")
    for _ in range(kills):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                work(root, state, reached, theirs)
            finally:
                os._exit(1)
        os.close(theirs)
        assert os.read(ours, 1) == b"r"
        time.sleep(dice.uniform(0, 10 * took))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = 0
        while select.select([ours], [], [], 0)[0] and (data := os.read(ours, 4096)):
            told += len(data)
        os.close(ours)
        found["middle"] += (state / "intent").exists()
        Journal(root, state)
        texts = [(root / name).read_text() for name in NOTES]
        counts = [lines(text) for text in texts]
        found["torn"] += any(FILLER not in text or not text.endswith("\n") for text in texts)
        found["half"] += len({count[-1] for count in counts}) != 1
        found["lost"] += any(count != list(range(len(count))) for count in counts) or counts[0][-1] < reached + told
        found["litter"] += len(list(root.rglob(".*"))) + (state / "intent").exists()
        reached = counts[0][-1]
        if reached > 300:  # keep the notes short, so that the rate stays high
            for name in NOTES:
                (root / name).write_text(f"# {name}\n{FILLER}## Log\n- n 0\n")
            reached = 0
    return found


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)))
