"""SqliteCache: the cache in one SQLite file of this machine, or in memory. It may be lost, never an error."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from context.cache import TTL_SECONDS, CacheStats, Tally, pack, stored_name, unpack

T = TypeVar("T")

FILE_BYTES = 256 << 20
MEMORY_BYTES = 64 << 20
WAIT_SECONDS = 0.1  # for another process, and for another thread
TOUCH_SECONDS = 60  # a value's last use is written down this exactly, so that most reads write nothing
SWEEP_ROWS = 32  # expired rows removed at each set
EVICT_ROUNDS = 64  # of SWEEP_ROWS each: bounds the time of one set after the limit was lowered

_TABLE = """
CREATE TABLE IF NOT EXISTS cache
  (name BLOB PRIMARY KEY, expires REAL NOT NULL, used REAL NOT NULL, value BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS cache_expires ON cache (expires);
CREATE INDEX IF NOT EXISTS cache_used ON cache (used);
"""

# The trouble lies around the file, not in it: locked, full disk, no permission, no such folder.
_SURROUNDINGS = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_PROTOCOL,
    }
)


class SqliteCache:
    """See `context.cache.Cache`. Several threads may use one, several processes one file.

    Args:
        path: The file, made with mode 0600 when first needed; None keeps everything in memory.
        vault_id: Keeps the keys of one vault apart.
        secret: See `context.cache.open_cache`.
        ttl_seconds: How long a value is kept. A value never outlives the present limit, whichever it was stored under.
        max_bytes: Beyond this the values unused for longest go; None means `FILE_BYTES` or `MEMORY_BYTES`.
        clock: Seconds since the epoch: values outlive the process.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        vault_id: str,
        secret: bytes = b"",
        ttl_seconds: int = TTL_SECONDS,
        max_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._vault_id = vault_id
        self._secret = secret
        self._ttl = ttl_seconds
        self._max_bytes = max_bytes or (FILE_BYTES if path else MEMORY_BYTES)
        self._clock = clock
        self._tally = Tally()
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._closed = False

    def get(self, key: str) -> Any | None:
        """See `Cache.get`."""
        name = stored_name(self._vault_id, key)
        packed = self._work(lambda db: self._read(db, name))
        value = None
        if isinstance(packed, bytes):
            value = unpack(name, packed, self._secret)
            if value is None:
                self._tally.fault("unreadable value")
        self._tally.add("misses" if value is None else "hits")
        return value

    def set(self, key: str, value: Any, *, private: bool = False) -> None:
        """See `Cache.set`; everything here stays on this machine."""
        del private
        self._tally.add("sets")
        name = stored_name(self._vault_id, key)
        try:
            packed = pack(name, value, self._secret)
        except ValueError as fault:
            self._tally.fault(str(fault))
            return
        self._work(lambda db: self._write(db, name, packed))

    def stats(self) -> CacheStats:
        """See `Cache.stats`."""
        held = self._work(lambda db: (int(db.execute("SELECT COUNT(*) FROM cache").fetchone()[0]), _bytes(db)))
        entries, size = held or (None, None)
        name = "sqlite" if self._path else "memory"
        tally = self._tally
        return CacheStats(
            name,
            tally.hits,
            tally.misses,
            tally.sets,
            tally.errors,
            tally.last_error,
            live=name,
            entries=entries,
            bytes=size,
        )

    def close(self) -> None:
        """See `Cache.close`."""
        with self._lock:
            self._closed = True
            self._let_go()

    def _read(self, db: sqlite3.Connection, name: bytes) -> Any:
        """The stored form under a name, if it is still good; notes that it was used."""
        now = self._clock()
        row = db.execute(
            "SELECT value, used FROM cache WHERE name = ? AND expires > ? AND expires <= ?",
            (name, now, now + self._ttl),
        ).fetchone()
        if row is None:
            return None
        if not now - TOUCH_SECONDS < row[1] <= now:
            with contextlib.suppress(sqlite3.OperationalError):  # another process is writing: not worth a miss
                db.execute("UPDATE cache SET used = ? WHERE name = ?", (now, name))
        return row[0]

    def _write(self, db: sqlite3.Connection, name: bytes, packed: bytes) -> None:
        """Keep a stored form, and make room."""
        now = self._clock()
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?)", (name, now + self._ttl, now, packed))
            # Beyond the limit lies what was stored while a clock was wrong or the limit was longer.
            db.execute(
                "DELETE FROM cache WHERE name IN (SELECT name FROM cache WHERE expires <= ? OR expires > ? LIMIT ?)",
                (now, now + self._ttl, SWEEP_ROWS),
            )
            for _ in range(EVICT_ROUNDS):
                if _bytes(db) <= self._max_bytes:
                    break
                db.execute(
                    "DELETE FROM cache WHERE name IN (SELECT name FROM cache ORDER BY used LIMIT ?)", (SWEEP_ROWS,)
                )

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Do something with the open store; None if that fails in any way."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            self._tally.fault("sqlite: another thread keeps it")
            return None
        try:
            for _ in range(2):  # a damaged file is put away once, then the work is done on a new one
                if self._closed:
                    return None
                try:
                    return work(self._opened())
                except (sqlite3.Error, OSError) as fault:
                    self._tally.fault(f"sqlite: {getattr(fault, 'sqlite_errorname', type(fault).__name__)}")
                    if not self._repaired(fault):
                        return None
            return None
        finally:
            self._lock.release()

    def _opened(self) -> sqlite3.Connection:
        """The connection, made at the first use and after a fault."""
        if self._db is not None:
            return self._db
        if self._path:
            _make(self._path)
        db = sqlite3.connect(
            self._path or ":memory:", timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            if self._path:
                self._identity = _identity(self._path)
                with contextlib.suppress(sqlite3.OperationalError):  # another process is just switching it
                    db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute("PRAGMA journal_size_limit = 8388608")
            db.executescript(_TABLE)
        except sqlite3.Error:
            db.close()
            raise
        self._db = db
        return db

    def _let_go(self) -> None:
        """Close the connection, whatever state it is in."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _repaired(self, fault: Exception) -> bool:
        """Whether to try again: the file was damaged, or no cache of ours, and has been put away."""
        self._let_go()
        code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_CANTOPEN) & 0xFF  # extended codes keep theirs below
        if code in _SURROUNDINGS or self._path is None:
            return False
        try:
            # Another process may have replaced the damaged file already: a new one is left alone.
            if _identity(self._path) == self._identity:
                for suffix in ("-wal", "-shm"):
                    Path(f"{self._path}{suffix}").unlink(missing_ok=True)
                self._path.replace(f"{self._path}.damaged")
        except OSError:
            return False
        return True


def _bytes(db: sqlite3.Connection) -> int:
    """Bytes in use: pages that are not free, which counts what rows really take and costs nothing to ask."""
    pages, free, size = (
        db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _make(path: Path) -> None:
    """The empty file, for its owner alone. SQLite gives its side files the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        # By name, not by opening: closing a second handle would drop the locks of a connection in this process.
        path.chmod(0o600)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to now."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
