"""The index after kills, damage and full disks: what is served is always what a fresh reading of the vault gives."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from context.index import Index
from context.vault import Vault
from context.words import asked
from tests.index_crash import change
from tests.test_storms import EVERY, difference
from tests.vaults import write

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
@pytest.mark.parametrize("kills", [30, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_a_process_killed_at_its_index_leaves_one_that_serves(tmp_path: Path, kills: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.index_crash", str(tmp_path), str(kills)],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["different"] == found["failed"] == 0, done.stderr
    assert found["middle"] >= kills // 2  # most hit a process at work


def _flip(data: bytearray, dice: random.Random) -> bytes:
    for _ in range(dice.choice([1, 20])):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def _noise(data: bytearray, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) - 200)
    return bytes(data[:at]) + dice.randbytes(200) + bytes(data[at + 200 :])


def _zero(data: bytearray, dice: random.Random) -> bytes:
    at = 4096 * dice.randrange(len(data) // 4096)
    return bytes(data[:at]) + bytes(4096) + bytes(data[at + 4096 :])


def _cut(data: bytearray, dice: random.Random) -> bytes:
    return bytes(data[: dice.randrange(len(data))])


# Damage of a kind that SQLite sees, or that holds no rows: afterwards all is as if the index were new.
SEEN: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "cut": _cut,
    "empty": lambda _data, _dice: b"",
    "header": lambda data, dice: dice.randbytes(100) + bytes(data[100:]),
    "first page": lambda data, dice: dice.randbytes(4096) + bytes(data[4096:]),
    "doubled": lambda data, dice: bytes(data) + dice.randbytes(4096 * dice.randrange(1, 9)),
}
# Damage of single bytes, for which SQLite keeps no checksum: notes have one of ours, and texts come from the files; what
# full text finds may suffer.
UNSEEN = {"flip": _flip, "noise": _noise, "zero": _zero}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A small vault, and the bytes of its index."""
    base = tmp_path_factory.mktemp("damage")
    root = base / "vault"
    for number in range(4):
        (root / f"{number}").mkdir(parents=True)
    change(root, random.Random(7), 60)
    Vault(root, Index(base / "i.sqlite")).close()
    return root, (base / "i.sqlite").read_bytes()


def _opened(root: Path, place: Path) -> list[str]:
    """What a vault serves wrongly with this index, also after a change and after being opened again."""
    wrong: list[str] = []
    for _ in range(2):
        vault = Vault(root, Index(place))
        wrong += difference(vault)
        (root / "0/changing.md").write_text(f"{EVERY} {os.urandom(4).hex()}")
        vault.refresh()
        wrong += difference(vault)
        for path in vault.snapshot.notes:
            assert vault.text(path)[1].encode() == (root / path).read_bytes()
        vault.close()
    return wrong


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", SEEN)
def test_a_damaged_index_serves_what_a_new_one_does(
    tmp_path: Path, built: tuple[Path, bytes], kind: str, seed: int
) -> None:
    root, good = built
    (tmp_path / "i.sqlite").write_bytes(SEEN[kind](bytearray(good), random.Random(seed)))
    assert _opened(root, tmp_path / "i.sqlite") == []


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_damage_beside_the_index_does_no_harm(
    tmp_path: Path, built: tuple[Path, bytes], suffix: str, seed: int
) -> None:
    root, good = built
    dice = random.Random(seed)
    (tmp_path / "i.sqlite").write_bytes(good)
    (tmp_path / f"i.sqlite{suffix}").write_bytes(dice.randbytes(dice.randrange(1, 40_000)))
    assert _opened(root, tmp_path / "i.sqlite") == []


@pytest.mark.parametrize("kind", UNSEEN)
def test_damaged_bytes_never_stop_the_vault(tmp_path: Path, built: tuple[Path, bytes], kind: str) -> None:
    root, good = built
    for seed in range(20):
        (tmp_path / "i.sqlite").write_bytes(UNSEEN[kind](bytearray(good), random.Random(seed)))
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"i.sqlite{suffix}").unlink(missing_ok=True)
        vault = Vault(root, Index(tmp_path / "i.sqlite"))
        vault.search(asked(EVERY), 100)
        assert {part for part in difference(vault) if part != "texts"} == set()
        assert set(vault.snapshot.notes) == {path.relative_to(root).as_posix() for path in root.rglob("*.md")}
        for path in vault.snapshot.notes:
            assert vault.text(path)[1].encode() == (root / path).read_bytes()
        vault.close()


def test_a_foreign_and_a_future_file_are_replaced(tmp_path: Path, built: tuple[Path, bytes]) -> None:
    root, good = built
    foreign = sqlite3.connect(tmp_path / "foreign.sqlite")
    foreign.execute("CREATE TABLE note(anything)")
    foreign.commit()
    foreign.close()
    (tmp_path / "future.sqlite").write_bytes(good)
    future = sqlite3.connect(tmp_path / "future.sqlite")
    future.execute("PRAGMA user_version=1000")
    future.execute("DROP TABLE note")
    future.commit()
    future.close()
    for name in ("foreign", "future"):
        assert _opened(root, tmp_path / f"{name}.sqlite") == []


# A process that may not write as it would: it says what it serves wrongly, and whether the index kept what it says.
LIMITED = """
import os, resource, sys
from pathlib import Path
from context.index import Index
from context.vault import Vault
from tests.test_storms import difference

root, place, size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if size:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
elif os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for _ in range(2):
    vault = Vault(root, Index(place))
    print(difference(vault))
    vault.index.record_run("orient", 5.0)
    vault.close()
"""


def _limited(root: Path, place: Path, size: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(root), str(place), str(size)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("size", [1, 20_000, 150_000])
@pytest.mark.parametrize("there", [False, True], ids=["new", "old"])
def test_a_full_disk_costs_the_index_and_no_answer(
    tmp_path: Path, built: tuple[Path, bytes], size: int, there: bool
) -> None:
    root = tmp_path / "vault"
    shutil.copytree(built[0], root)
    place = tmp_path / "i.sqlite"
    if there:
        place.write_bytes(built[1])
    assert _limited(root, place, size) == "[]\n[]\n"
    assert _opened(root, place) == []  # and when there is room again


@pytest.mark.parametrize("what", ["file", "folder", "nothing"])
def test_an_index_that_may_not_be_written_is_done_without(tmp_path: Path, built: tuple[Path, bytes], what: str) -> None:
    root = tmp_path / "vault"
    shutil.copytree(built[0], root)
    write(root, {"later.md": EVERY})  # what the index does not know yet
    state = tmp_path / "state"
    state.mkdir()
    if what != "nothing":
        (state / "i.sqlite").write_bytes(built[1])
        (state / "i.sqlite").chmod(0o444)
    state.chmod(0o777 if what == "file" else 0o555)
    for folder in (tmp_path, *tmp_path.parents):  # whoever runs the child must reach the vault
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o055)
    assert _limited(root, state / "i.sqlite") == "[]\n[]\n"
    state.chmod(0o755)
