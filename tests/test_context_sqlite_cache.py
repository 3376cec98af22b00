"""SqliteCache: age, size, damage, other processes. It may lose values; it never fails a caller."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from context.sqlite_cache import SqliteCache

DAY = 86_400
NOISE = os.urandom(20_000).hex()


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite"


@pytest.fixture
def clock() -> Clock:
    return Clock()


# Age


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_value_lives_a_day(kind: str, path: Path, clock: Clock) -> None:
    cache = SqliteCache(path if kind == "file" else None, vault_id="v", clock=clock)
    cache.set("k", "text")
    clock.now += DAY - 1
    assert cache.get("k") == "text"
    clock.now += 1
    assert cache.get("k") is None
    cache.close()


def test_reading_does_not_prolong_a_life(path: Path, clock: Clock) -> None:
    cache = SqliteCache(path, vault_id="v", ttl_seconds=1000, clock=clock)
    cache.set("k", "text")
    for _ in range(9):
        clock.now += 100
        assert cache.get("k") == "text"
    clock.now += 100
    assert cache.get("k") is None
    cache.close()


def test_a_shorter_limit_holds_for_what_was_stored_under_a_longer_one(path: Path, clock: Clock) -> None:
    long = SqliteCache(path, vault_id="v", ttl_seconds=DAY, clock=clock)
    long.set("k", "text")
    long.close()
    short = SqliteCache(path, vault_id="v", ttl_seconds=60, clock=clock)
    assert short.get("k") is None
    short.close()


def test_what_was_stored_while_the_clock_was_wrong_does_not_stay_for_ever(path: Path, clock: Clock) -> None:
    cache = SqliteCache(path, vault_id="v", clock=clock)
    clock.now += 100 * 365 * DAY
    cache.set("future", "text")
    clock.now -= 100 * 365 * DAY
    assert cache.get("future") is None
    cache.set("k", "text")
    assert cache.stats().entries == 1
    cache.close()


def test_expired_rows_are_swept_by_later_sets(path: Path, clock: Clock) -> None:
    cache = SqliteCache(path, vault_id="v", clock=clock)
    for n in range(50):
        cache.set(f"k{n}", n)
    clock.now += DAY
    cache.set("new", 1)
    cache.set("newer", 1)
    assert cache.stats().entries == 2
    cache.close()


# Size


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_beyond_the_limit_what_was_unused_for_longest_goes(kind: str, path: Path, clock: Clock) -> None:
    limit = 2 << 20
    cache = SqliteCache(path if kind == "file" else None, vault_id="v", max_bytes=limit, clock=clock)
    for n in range(200):  # about 25 KB each
        clock.now += 100
        cache.set(f"k{n}", NOISE)
        assert cache.get("k0") == NOISE, "in use all the time"
        assert (cache.stats().bytes or 0) <= limit
    assert cache.get("k199") == NOISE
    assert cache.get("k1") is None
    assert 10 < (cache.stats().entries or 0) < 100
    assert cache.stats().errors == 0
    cache.close()
    if kind == "file":
        assert path.stat().st_size < limit + (1 << 20)


def test_a_lowered_limit_is_reached_in_steps(path: Path) -> None:
    cache = SqliteCache(path, vault_id="v")
    for n in range(100):
        cache.set(f"k{n}", NOISE)
    cache.close()
    cache = SqliteCache(path, vault_id="v", max_bytes=1 << 20)
    cache.set("new", NOISE)
    assert (cache.stats().bytes or 0) <= 1 << 20
    assert cache.get("new") == NOISE
    cache.close()


# The file


def test_values_outlive_the_process(path: Path) -> None:
    first = SqliteCache(path, vault_id="v")
    first.set("k", "text")
    first.close()
    second = SqliteCache(path, vault_id="v")
    assert second.get("k") == "text"
    second.close()


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = tmp_path / "state" / "vault" / "cache.sqlite"
        cache = SqliteCache(path, vault_id="v")
        cache.set("k", "text")
        files = list(path.parent.iterdir())
        assert len(files) == 3
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        cache.close()
        path.chmod(0o644)
        cache = SqliteCache(path, vault_id="v")
        assert cache.get("k") == "text"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        cache.close()
    finally:
        os.umask(old)


def test_the_file_is_in_wal_mode_and_made_only_when_needed(path: Path) -> None:
    cache = SqliteCache(path, vault_id="v")
    assert not path.exists()
    cache.set("k", "text")
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()
    cache.close()


# Damage


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all. " * 1000)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scribbled(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        for offset in range(4096, size, 4096):
            file.seek(offset)
            file.write(b"\xff" * 200)


def header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


def another_table(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE cache (something TEXT)")
    db.close()


@pytest.mark.parametrize("damage", [garbage, cut, scribbled, header, another_table], ids=lambda f: f.__name__)
def test_a_damaged_file_is_put_away_and_a_new_one_works(damage: Callable[[Path], None], path: Path) -> None:
    cache = SqliteCache(path, vault_id="v")
    for n in range(50):
        cache.set(f"k{n}", NOISE)
    cache.close()
    damage(path)
    cache = SqliteCache(path, vault_id="v")
    for n in range(50):
        assert cache.get(f"k{n}") in (None, NOISE)
    for n in range(50):
        cache.set(f"k{n}", f"new {n}")
    assert [cache.get(f"k{n}") for n in range(50)] == [f"new {n}" for n in range(50)]
    assert cache.stats().errors > 0
    assert Path(f"{path}.damaged").exists()
    cache.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def damaged_under(caches: list[SqliteCache], path: Path) -> None:
    """Damage that open caches meet at their next reads."""
    for n in range(50):
        caches[0].set(f"k{n}", NOISE)
    assert [cache.get("none") for cache in caches] == [None] * len(caches)
    with sqlite3.connect(path) as db:  # the journal's pages would hide the damage
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    scribbled(path)


def test_damage_under_an_open_cache(path: Path) -> None:
    cache = SqliteCache(path, vault_id="v")
    damaged_under([cache], path)
    for n in range(50):
        assert cache.get(f"k{n}") in (None, NOISE)
    assert cache.stats().errors > 0
    cache.set("k", "new")
    assert cache.get("k") == "new"
    cache.close()


def test_who_meets_damage_later_leaves_the_new_file_alone(path: Path) -> None:
    first, second = (SqliteCache(path, vault_id="v") for _ in range(2))
    damaged_under([first, second], path)
    for n in range(50):
        first.get(f"k{n}")
    first.set("k", "new")
    for n in range(50):
        second.get(f"k{n}")
    assert first.stats().errors > 0
    assert second.stats().errors > 0
    assert second.get("k") == "new"
    second.set("k2", "newer")
    assert first.get("k2") == "newer"
    for cache in (first, second):
        cache.close()


def test_two_that_meet_the_same_damage_end_on_one_new_file(path: Path) -> None:
    caches = [SqliteCache(path, vault_id="v") for _ in range(2)]
    caches[0].set("k", "old")
    caches[0].close()
    garbage(path)
    caches = [SqliteCache(path, vault_id="v") for _ in range(2)]
    for n, cache in enumerate(caches):
        cache.set(f"k{n}", n)
    assert [cache.get(f"k{n}") for cache in caches for n in range(2)] == [0, 1, 0, 1]
    for cache in caches:
        cache.close()


def test_a_file_taken_away_is_no_error(path: Path) -> None:
    cache = SqliteCache(path, vault_id="v")
    cache.set("k", "text")
    for file in path.parent.iterdir():
        file.unlink()
    cache.get("k")
    cache.set("k", "text")
    cache.close()
    cache = SqliteCache(path, vault_id="v")
    cache.set("k", "text")
    assert cache.get("k") == "text"
    cache.close()


@pytest.mark.parametrize("obstacle", ["a folder", "a file as parent", "no place"])
def test_a_file_that_cannot_be_made_is_a_miss(obstacle: str, path: Path) -> None:
    if obstacle == "a folder":
        path.mkdir()
    elif obstacle == "a file as parent":
        path.write_text("x")
        path = path / "cache.sqlite"
    else:
        path = Path("/proc/none/cache.sqlite")
    cache = SqliteCache(path, vault_id="v")
    cache.set("k", "text")
    assert cache.get("k") is None
    stats = cache.stats()
    assert stats.errors >= 2
    assert stats.last_error.startswith("sqlite: ")
    assert (stats.entries, stats.bytes) == (None, None)
    cache.close()


def test_a_full_disk_is_a_miss_and_passes(path: Path) -> None:
    cache = SqliteCache(path, vault_id="v")
    cache.set("before", "text")
    cache._opened().execute("PRAGMA max_page_count = 10")
    cache.set("k", NOISE * 10)
    assert cache.stats().last_error == "sqlite: SQLITE_FULL"
    assert cache.get("before") == "text"
    cache.set("k", NOISE * 10)
    assert cache.get("k") == NOISE * 10
    cache.close()


# Others


def test_a_writer_elsewhere_delays_a_little_and_hides_nothing(path: Path) -> None:
    clock = Clock()
    cache = SqliteCache(path, vault_id="v", clock=clock)
    cache.set("k", "text")
    clock.now += 3600  # so that a read wants to note its use
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        started = time.perf_counter()
        assert cache.get("k") == "text"
        cache.set("k2", "text")
        assert time.perf_counter() - started < 0.6
        assert cache.stats().last_error == "sqlite: SQLITE_BUSY"
        db.execute("ROLLBACK")
    db.close()
    assert cache.get("k2") is None
    cache.set("k2", "text")
    assert cache.get("k2") == "text"
    assert not Path(f"{path}.damaged").exists()
    cache.close()


def test_several_processes_share_a_file(path: Path) -> None:
    code = f"""
from pathlib import Path
from context.sqlite_cache import SqliteCache
cache = SqliteCache(Path({str(path)!r}), vault_id="v", max_bytes=1 << 20)
for n in range(150):
    cache.set(f"k{{n % 40}}", [n % 40] * 5000)
    for m in range(5):
        found = cache.get(f"k{{(n + m) % 40}}")
        assert found is None or found == [(n + m) % 40] * 5000
stats = cache.stats()
assert stats.hits > 100, stats
assert stats.errors == 0 or "BUSY" in stats.last_error or "LOCKED" in stats.last_error, stats
cache.close()
"""
    root = Path(__file__).parent.parent
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", code], cwd=root) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert not Path(f"{path}.damaged").exists()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_thread_that_keeps_the_store_delays_others_a_little(path: Path) -> None:
    cache = SqliteCache(path, vault_id="v")
    cache.set("k", "text")
    with cache._lock:
        waits: list[float] = []

        def use() -> None:
            started = time.perf_counter()
            assert cache.get("k") is None
            waits.append(time.perf_counter() - started)

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    assert waits[0] < 0.3
    assert cache.get("k") == "text"
    cache.close()


def test_close_while_others_use_it(path: Path) -> None:
    cache = SqliteCache(path, vault_id="v")
    failed: list[BaseException] = []

    def use() -> None:
        try:
            for n in range(300):
                cache.set(f"k{n}", n)
                cache.get(f"k{n}")
        except BaseException as fault:  # noqa: BLE001 - looked at below
            failed.append(fault)

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    cache.close()
    for thread in threads:
        thread.join()
    assert failed == []
