"""Kills a process while it builds or brings up to date the index of a vault, and looks what the next one serves from it.

Run: python -m tests.index_crash FOLDER KILLS [SEED]. Prints one line of JSON. Needs fork: Linux, macOS.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from context import vault as vaults
from context.fulltext import discard
from context.index import Index
from context.vault import Vault
from tests.test_storms import EVERY, difference

NOTES = 60


def change(root: Path, dice: random.Random, count: int) -> None:
    """Write, remove and move some notes."""
    for _ in range(count):
        path = root / f"{dice.randrange(4)}" / f"{dice.randrange(NOTES)}.md"
        what = dice.random()
        if what < 0.1:
            path.unlink(missing_ok=True)
        elif what < 0.2 and path.exists():
            path.rename(path.with_name(f"{dice.randrange(NOTES)}.md"))
        else:
            lines = [f"{EVERY} apple{dice.randrange(50)} [[{dice.randrange(NOTES)}]] #t{dice.randrange(9)}"]
            path.write_text("\n\n".join(lines * dice.randrange(1, 40)))


def seconds(root: Path, place: Path) -> float:
    """How long a cold build takes here, for kills that hit every part of one."""
    began = time.perf_counter()
    Vault(root, Index(place)).close()
    return time.perf_counter() - began


def run(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill that often; counts of what went wrong, which must be 0, and of kills that hit a process at work."""
    root, place = folder / "vault", folder / "state" / "index.sqlite"
    for number in range(4):
        (root / f"{number}").mkdir(parents=True)
    place.parent.mkdir()
    dice = random.Random(seed)
    change(root, dice, 3 * NOTES)
    took = seconds(root, folder / "measured.sqlite")
    found = {"kills": kills, "middle": 0, "different": 0, "failed": 0}
    for _ in range(kills):
        if dice.random() < 0.3:
            discard(place.parent)
            place.parent.mkdir()
        change(root, dice, dice.choice([0, 5, NOTES]))
        many = dice.choice([1, NOTES * 10])
        child = os.fork()
        if child == 0:
            try:
                vaults._MANY = many  # as a large vault is read, or as a small one
                vault = Vault(root, Index(place))
                vault.refresh()
                for path in sorted(vault.snapshot.notes)[:3]:  # as a note that is saved while it is served
                    with (root / path).open("a") as file:
                        file.write(f"\n\n{EVERY} late")
                    vault.expect([path])
                    vault.refresh([path])
                    vault.settle()
                vault.close()
            finally:
                os._exit(0)
        time.sleep(dice.uniform(0, 1.2 * took))
        os.kill(child, signal.SIGKILL)
        found["middle"] += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        try:
            vault = Vault(root, Index(place))
            found["different"] += bool(difference(vault))
            vault.close()
        except Exception as error:  # noqa: BLE001 - whatever it is counts
            print(repr(error), file=sys.stderr)
            found["failed"] += 1
    return found


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)))
