"""Cold index, warm start, context and memory of a vault, as ratios to reading the same files once.

Run: python benchmarks/index.py VAULT [VAULT …]. The floor is: walk the folder and read every note once, one process,
warm page cache, nothing decoded. Floor and work alternate; each figure is the median of three. Prints a table row.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ROUNDS = 3
QUESTIONS = 120


def floor(root: Path) -> float:
    """Seconds to walk the vault and read every note once."""
    began = time.perf_counter()
    waiting = [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.name.endswith(".md"):
                    handle = os.open(entry.path, os.O_RDONLY)
                    while os.read(handle, 65536):
                        pass
                    os.close(handle)
    return time.perf_counter() - began


def stat_all(root: Path) -> float:
    """Seconds to walk the vault and stat every note."""
    began = time.perf_counter()
    waiting = [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.name.endswith(".md"):
                    entry.stat()
    return time.perf_counter() - began


def opened(root: Path, index: Path) -> dict[str, float]:
    """Seconds to open the vault in this process, imports left out, and its peak memory in MB. Runs in a child."""
    from context.index import Index
    from context.vault import Vault

    began = time.perf_counter()
    vault = Vault(root, Index(index))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "mb": peak, "notes": len(vault.snapshot.notes)}


def contexts(root: Path, index: Path) -> dict[str, float]:
    """Milliseconds of an uncached context of 4,000 tokens, p50 and p99; the questions are headings of the notes."""
    import random

    from commands.select import Selection, build
    from context.assemble import BYTES4
    from context.cache import open_cache
    from context.calendar import calendar
    from context.index import Index
    from context.query import scope
    from context.vault import Vault

    vault = Vault(root, Index(index))
    cache = open_cache("memory", vault_id="bench", path=index)
    dice = random.Random(7)
    notes = sorted(vault.snapshot.notes)
    took = []
    for _ in range(QUESTIONS):
        note = vault.snapshot.notes[dice.choice(notes)]
        headings = [heading.text for heading in note.headings] or [note.title]
        text = f"{note.title} {dice.choice(headings)}"
        wanted = Selection(
            text, {"search": 0.75, "maps": 0.25}, 4000, BYTES4, scope(None), calendar("2025-09-14"), fresh=True
        )
        began = time.perf_counter()
        build(vault, cache, wanted)
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {"p50": statistics.median(took), "p99": took[int(len(took) * 0.99) - 1]}


def child(what: str, root: Path, index: Path) -> dict[str, float]:
    """Run one of the measurements in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", what, str(root), str(index)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def main(vaults: list[str]) -> None:
    """Print one row per vault."""
    print("| vault | notes | floor ms | cold × floor | warm × stat | context p50 ms | p99 ms | peak MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name in vaults:
        root = Path(name).resolve()
        floor(root)
        floors, colds, warms, stats, peak, notes = [], [], [], [], 0.0, 0.0
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(ROUNDS):
                index = Path(folder, f"{turn}.sqlite")
                floors.append(floor(root))
                cold = child("opened", root, index)
                colds.append(cold["seconds"])
                stats.append(stat_all(root))
                warms.append(child("opened", root, index)["seconds"])
                peak, notes = max(peak, cold["mb"]), cold["notes"]
            speed = child("contexts", root, index)
        base = statistics.median(floors)
        print(
            f"| {root.name} | {notes:.0f} | {base * 1000:.0f} | {statistics.median(colds) / base:.1f} | "
            f"{statistics.median(warms) / statistics.median(stats):.1f} | "
            f"{speed['p50']:.1f} | {speed['p99']:.1f} | {peak:.0f} |"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps({"opened": opened, "contexts": contexts}[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[4]))))
    else:
        main(sys.argv[1:])
