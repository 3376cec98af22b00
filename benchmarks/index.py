"""Cold index, warm start, freshness, context and memory of a vault, as ratios to reading the same files once.

Run: python benchmarks/index.py VAULT [VAULT …]. The floor is: walk the folder and read every note once, one process,
warm page cache, nothing decoded. Floor and work alternate; each figure is the median of five. Prints a table row;
--quick leaves out the service and the contexts. "CPU × floor" is the processor time of the whole index, of all its
processes and threads, against that of the floor: half of it is the least that two idle cores can do.
"""

import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ROUNDS = 5
QUESTIONS = 120
EDITS = 100


def floor(root: Path) -> tuple[float, float]:
    """Seconds to walk the vault and read every note once, and those of the processor."""
    began, worked = time.perf_counter(), time.process_time()
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
    return time.perf_counter() - began, time.process_time() - worked


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
    """Seconds until the vault is open and until full text is there, imports left out; peak memory in MB. For a child.

    Full text is there when a search finds all words: the search waits for it. Memory is that of the process, with what
    it maps of full text, and of the largest process it started. "cpu" is the processor time of all of them.
    """
    from context.index import Index
    from context.vault import Vault
    from context.words import asked

    began, worked = time.perf_counter(), sum(os.times()[:4])
    vault = Vault(root, Index(index))
    seconds = time.perf_counter() - began
    vault.search(asked("probe"), 1)
    full = time.perf_counter() - began
    vault.close()
    cpu = sum(os.times()[:4]) - worked
    own, others = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    notes = len(vault.snapshot.notes)
    return {"graph": seconds, "full": full, "cpu": cpu, "mb": own, "worker_mb": others, "notes": notes}


def visible(root: Path, state: Path) -> dict[str, float]:
    """Milliseconds from the end of writing one note until `/v1/context` of a running service finds the new word in it.

    Works on a copy of the vault; the settle time is the default one.
    """
    vault = state / "vault"
    shutil.copytree(root, vault, ignore=shutil.ignore_patterns(".git"))
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "XDG_CONFIG_HOME": str(state / "config")}
    program = [sys.executable, str(ROOT / "knowledge_os.py")]
    serve = [*program, "serve", "--port", "0", "--json", "--vault", str(vault)]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as service:
        try:
            assert service.stdout is not None
            url = json.loads(service.stdout.readline())["url"]
            token = subprocess.run([*program, "token"], env=environment, capture_output=True, text=True, check=True)
            took = _edits(vault, url, token.stdout.strip())
        finally:
            service.terminate()
    took.sort()
    return {"p50": statistics.median(took), "p99": took[int(len(took) * 0.99) - 1]}


def _edits(vault: Path, url: str, token: str) -> list[float]:
    from context.note import parse

    dice = random.Random(7)
    # A private note is found only for those who ask with private words.
    seen = (path for path in vault.rglob("*.md") if "/." not in path.relative_to(vault.parent).as_posix())
    notes = sorted(path for path in seen if not parse(path.name, path.read_bytes()).private)
    took: list[float] = []
    for number in range(-1, EDITS):
        note, word = dice.choice(notes), f"quicksilver{number}x{dice.randrange(10**9)}"
        path = note.relative_to(vault).as_posix()
        request = urllib.request.Request(
            f"{url}/v1/context",
            json.dumps({"text": word, "budget_tokens": 2000, "gather": ["search"]}).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        time.sleep(0.1 + dice.random() / 5)
        with note.open("a", encoding="utf-8") as file:
            file.write(f"\n{word}\n")
        began = time.perf_counter()
        while True:
            with urllib.request.urlopen(request) as answer:
                if path in {passage["path"] for passage in json.load(answer)["passages"]}:
                    break
        if number >= 0:  # the first waits for full text
            took.append((time.perf_counter() - began) * 1000)
    return took


def contexts(root: Path, index: Path) -> dict[str, float]:
    """Milliseconds of an uncached context of 4,000 tokens, p50 and p99; the questions are headings of the notes."""
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


def main(vaults: list[str], *, quick: bool) -> None:
    """Print one row per vault."""
    print(
        "| vault | notes | floor ms | graph × floor | index × floor | CPU × floor | warm × stat | MB | worker MB "
        "| edit p50 ms | p99 ms | context p50 ms | p99 ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name in vaults:
        root = Path(name).resolve()
        floor(root)
        floors: list[tuple[float, float]] = []
        colds, warms, stats = [], [], []
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(ROUNDS):
                index = Path(folder, f"{turn}.sqlite")
                floors.append(floor(root))
                colds.append(child("opened", root, index))
                stats.append(stat_all(root))
                warms.append(child("opened", root, index)["graph"])
            edit = {} if quick else child("visible", root, Path(folder))
            speed = {} if quick else child("contexts", root, index)
        base, least = (statistics.median(times) for times in zip(*floors, strict=True))
        cpu = statistics.median(cold["cpu"] for cold in colds) / least
        graph, full = (statistics.median(cold[part] for cold in colds) / base for part in ("graph", "full"))
        own, others = (max(cold[part] for cold in colds) for part in ("mb", "worker_mb"))
        warm = statistics.median(warms) / statistics.median(stats)
        times = [f"{part[at]:.1f}" if part else "" for part in (edit, speed) for at in ("p50", "p99")]
        print(
            f"| {root.name} | {colds[0]['notes']:.0f} | {base * 1000:.0f} | {graph:.1f} | {full:.1f} | {cpu:.0f} "
            f"| {warm:.1f} | {own:.0f} | {others:.0f} | {' | '.join(times)} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        what = {"opened": opened, "visible": visible, "contexts": contexts}[sys.argv[2]]
        print(json.dumps(what(Path(sys.argv[3]), Path(sys.argv[4]))))
    else:
        main([name for name in sys.argv[1:] if name != "--quick"], quick="--quick" in sys.argv)
