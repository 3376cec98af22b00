"""The vectors of a vault on disk, in one SQLite file that may be lost: then they are made again."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from pathlib import Path
from zlib import crc32

# Raised when the tables, or what stands in them, change: an older file is then made again.
SCHEMA = 1

_TABLES = """
CREATE TABLE made_with(embedder TEXT NOT NULL, chunks TEXT NOT NULL);
CREATE TABLE vector(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, data BLOB NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE note(path TEXT PRIMARY KEY, digest TEXT NOT NULL, chunks BLOB NOT NULL, sum INTEGER NOT NULL);
"""
# Faults that lie in the file itself; all others (locked, full disk, no permission) would meet a new one as well.
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH})
_WAIT_SECONDS = 5.0
# Keys that one query asks for.
_AT_ONCE = 500


class Foreign(sqlite3.DatabaseError):
    """The file was made by something else, or for another embedder."""


class VectorFile:
    """Vectors by the digest of what they were made from, and for each note the chunks that need them.

    For one thread at a time. Every write is whole or not there, also when the power fails. SQLite has no checksums of
    its own, so each row carries one: what does not fit it counts as not there.
    """

    def __init__(self, path: Path | None, *, embedder: str, chunks: str) -> None:
        """Open or make the file; one that is damaged, or made with another embedder, is removed.

        Args:
            path: the file; None keeps everything in memory.
            embedder: what the vectors are made with.
            chunks: how notes are cut; made otherwise, notes are looked at again, and no vector is lost.
        """
        self._path = path
        self._embedder = embedder
        self._chunks = chunks
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        for _ in range(2):
            try:
                return self._connect()
            except sqlite3.DatabaseError as error:
                self._give_up(error)
        self._path = None
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        if self._path is not None:
            _make(self._path)
        db = sqlite3.connect(
            self._path or ":memory:", timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                db.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version={SCHEMA};")
                db.execute("INSERT INTO made_with VALUES(?,?)", (self._embedder, self._chunks))
                db.execute("COMMIT")
            elif version != SCHEMA:
                raise Foreign
            embedder, chunks = db.execute("SELECT embedder, chunks FROM made_with").fetchone() or ("", "")
            if embedder != self._embedder:
                raise Foreign
            if chunks != self._chunks:
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    db.execute("DELETE FROM note")
                    db.execute("UPDATE made_with SET chunks=?", (self._chunks,))
        except BaseException:
            db.close()
            raise
        return db

    def rebuild(self, error: sqlite3.DatabaseError) -> None:
        """Go on after an error with an empty file: damage is thrown away; where that does not help, in memory."""
        with suppress(sqlite3.Error):
            self._db.close()
        self._give_up(error)
        self._db = self._open()

    def _give_up(self, error: sqlite3.DatabaseError) -> None:
        if is_damage(error) and self._path is not None:
            with suppress(OSError):
                for suffix in ("-wal", "-shm", ""):
                    Path(f"{self._path}{suffix}").unlink(missing_ok=True)
                return
        self._path = None

    def width(self) -> int:
        """How many numbers a vector has, 0 as long as there is none.

        Raises:
            sqlite3.DatabaseError: as do all methods; call `rebuild`.
        """
        found = self._db.execute("SELECT length(data) FROM vector ORDER BY id LIMIT 1").fetchone()
        return found[0] // 2 if found else 0

    def notes(self) -> Iterator[tuple[str, str, bytes]]:
        """Path, digest and chunks of every note, as they were kept."""
        for path, digest, chunks, total in self._db.execute("SELECT path, digest, chunks, sum FROM note"):
            if crc32(chunks, crc32(digest.encode())) == total:
                yield path, digest, chunks

    def known(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The vectors that are there for some keys."""
        found: dict[bytes, bytes] = {}
        for first in range(0, len(keys), _AT_ONCE):
            some = keys[first : first + _AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(f"SELECT key, data, sum FROM vector WHERE key IN ({marks})", some)  # noqa: S608 - marks
            found.update((key, data) for key, data, total in rows if crc32(data, crc32(key)) == total)
        return found

    def keep(self, vectors: Iterable[tuple[bytes, bytes]], notes: Iterable[tuple[str, str, bytes]] = ()) -> None:
        """Keep vectors with their keys, and the chunks of notes, in one transaction."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO vector(key, data, sum) VALUES(?,?,?) "
                "ON CONFLICT(key) DO UPDATE SET data=excluded.data, sum=excluded.sum",
                ((key, data, crc32(data, crc32(key))) for key, data in vectors),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO note VALUES(?,?,?,?)",
                ((path, digest, chunks, crc32(chunks, crc32(digest.encode()))) for path, digest, chunks in notes),
            )

    def drop(self, paths: Iterable[str]) -> None:
        """Forget notes; their vectors stay until `sweep`, so that a note that only moved finds them."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("DELETE FROM note WHERE path=?", ((path,) for path in paths))

    def sweep(self, needed: AbstractSet[bytes]) -> None:
        """Forget all vectors but those needed."""
        gone = [(row,) for row, key in self._db.execute("SELECT id, key FROM vector") if key not in needed]
        for first in range(0, len(gone), _AT_ONCE):  # in small steps: nobody waits for it
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("DELETE FROM vector WHERE id=?", gone[first : first + _AT_ONCE])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def count_notes(path: Path) -> int:
    """How many notes a file knows; 0 where there is none that can be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as db:
            return int(db.execute("SELECT count(*) FROM note").fetchone()[0])
    except sqlite3.Error:
        return 0


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is at fault, so that a new one helps."""
    code = getattr(error, "sqlite_errorcode", 0)
    return isinstance(error, Foreign) or code & 0xFF in _DAMAGE or code == sqlite3.SQLITE_IOERR_SHORT_READ


def _make(path: Path) -> None:
    """The empty file, for its owner alone. SQLite gives its side files the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        with suppress(OSError):
            path.chmod(0o600)
    except OSError as error:
        raise sqlite3.OperationalError(f"the file cannot be made ({error.strerror})") from None
