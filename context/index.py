"""The index of a vault on disk: parsed notes, their links and full-text search, in one SQLite file that may be lost."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from msgspec import MsgspecError, Struct, msgpack

from context.chunk import Chunk, spaced
from context.note import Note

# Raised when the tables or what is parsed into them change: an older index is then rebuilt.
SCHEMA = 3

_TABLES = """
CREATE TABLE note(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, row BLOB NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE chunk(id INTEGER PRIMARY KEY, note INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
                   heading TEXT NOT NULL);
CREATE INDEX chunk_note ON chunk(note);
CREATE VIRTUAL TABLE words USING fts5(title, heading, body, properties,
                                   tokenize='porter unicode61 remove_diacritics 2');
CREATE TABLE ran(command TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE made_with(options TEXT NOT NULL);
CREATE TABLE files(digest TEXT NOT NULL);
"""
# Words are gathered up to so many bytes before they are written, while a whole vault is indexed: fewer, larger runs.
_FILL_BYTES = 64 << 20
_USUAL_BYTES = 1 << 20  # SQLite's own default
# From so many bytes on, the log of changes is brought into the file.
_LOG_BYTES = 4 << 20
# What is joined at once of full text, in pages of 4 KiB: some milliseconds.
_STEP_PAGES = 64
_PAUSE_SECONDS = 0.002
# Faults that a new file would meet as well: another process holds it, it may not be written, the disk is full.
_NOT_OURS = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
    }
)
# bm25 weights of title, heading, body, properties: a word in the title says more than one in the body.
_RANK = "bm25(words, 4.0, 2.0, 1.0, 1.5)"


class Row(Struct, frozen=True, array_like=True, gc=False):
    """What the index keeps of a note beside its words.

    Attributes:
        note: the note, parsed.
        edges: where its links lead, packed (see `context.graph`).
        changed_at: when its text was last seen to change, in seconds since the epoch; 0.0 for notes that were there
            when the index was first built: their age is not known from here.
    """

    note: Note
    edges: bytes
    changed_at: float


class Entry(Struct, frozen=True, gc=False):
    """All that the index keeps of a note: its row, and what full-text search finds of it."""

    row: Row
    chunks: Sequence[Chunk]


_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Row).decode


@dataclass(frozen=True, slots=True)
class Known:
    """What the index holds: the row of every note, and the digest of the set of files that their edges fit."""

    rows: Sequence[Row]
    files: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found by words: where it stands in its note and how well it fits (higher is better)."""

    path: str
    start: int
    end: int
    heading: str
    score: float


class Index:
    """One SQLite file. All methods are safe to call from several threads; each holds the connection for its length.

    Nothing in it is precious: a damaged, foreign or older file is removed and built again from the vault.
    """

    def __init__(self, path: Path | None, *, made_with: str = "") -> None:
        """Open or make the index.

        Args:
            path: the file; None keeps the index in memory.
            made_with: the options that notes are read with; an index made with others is built again.
        """
        self._lock = threading.RLock()
        self._path = path
        self._made_with = made_with
        self.fresh = False
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        for _ in range(2):
            try:
                return self._connect()
            except sqlite3.DatabaseError as error:
                self._give_up(error)
        self._path = None  # a new file meets the same fault: in memory, for as long as this process lives
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path or ":memory:", check_same_thread=False, isolation_level=None, timeout=5.0)
        try:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA):
                raise sqlite3.DatabaseError("an index of another version")
            if version == 0:
                if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    raise sqlite3.DatabaseError("not an index, or one whose making was interrupted")
                self._make(db)
            else:
                _settle(db)
            if db.execute("SELECT options FROM made_with").fetchone() != (self._made_with,):
                raise sqlite3.DatabaseError("an index made with other options")
            # FTS5 keeps its own shadow tables: a broken one is only seen when asked.
            db.execute("SELECT rowid FROM words WHERE words MATCH 'probe' LIMIT 1").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _make(self, db: sqlite3.Connection) -> None:
        """Begin an index. It has no version, and so counts for nothing, until `fill` is through."""
        if self._path is not None:
            self._path.chmod(0o600)
        # Nearly a third faster: no journal is needed for a file that is thrown away unless it was finished.
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute(f"PRAGMA cache_size=-{_FILL_BYTES >> 10}")
        db.executescript(f"BEGIN EXCLUSIVE;{_TABLES}")
        db.execute("INSERT INTO made_with VALUES(?)", (self._made_with,))
        db.execute("COMMIT")
        self.fresh = True

    def _discard(self) -> None:
        if self._path is not None:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def rebuild(self, error: sqlite3.DatabaseError) -> None:
        """Begin an empty index after an error: damage is thrown away, what is not ours or not to be written is left."""
        with self._lock:
            with suppress(sqlite3.Error):
                self._db.close()
            self._give_up(error)
            self._db = self._open()

    def _give_up(self, error: sqlite3.DatabaseError) -> None:
        code = getattr(error, "sqlite_errorcode", 0)
        try:
            if code & 0xFF not in _NOT_OURS or code == sqlite3.SQLITE_IOERR_SHORT_READ:
                self._discard()
                return
        except OSError:
            pass  # what is damaged cannot be thrown away either
        self._path = None  # in memory, for as long as this process lives

    def load(self) -> Known:
        """Every note in the index.

        Raises:
            sqlite3.DatabaseError: the file is damaged; call `rebuild`.
        """
        with self._lock:
            found = self._db.execute("SELECT row, sum FROM note").fetchall()
            files = self._db.execute("SELECT digest FROM files").fetchone()
        if any(crc32(row) != total for row, total in found):
            raise sqlite3.DatabaseError("a row of the index is damaged")
        try:
            return Known([_decode(row) for row, _ in found], files[0] if files else "")
        except MsgspecError as error:
            raise sqlite3.DatabaseError("a row of the index cannot be read") from error

    def fill(self, batches: Iterable[Sequence[Entry]], files: str) -> None:
        """Write all notes into an index that is fresh. Unless it comes to its end, the index counts for nothing.

        Args:
            batches: all notes; the index is free for others between two of them.
            files: the digest of the set of files that the edges fit.

        Raises:
            sqlite3.DatabaseError: the disk is full, or the like; call `rebuild`.
        """
        with self._lock:
            self._buffer(_FILL_BYTES)
            self._db.execute("BEGIN")
        for batch in batches:
            with self._lock:
                self._add(batch)
        with self._lock:
            self._db.execute("INSERT INTO files VALUES(?)", (files,))
            self._db.execute("COMMIT")
            self._buffer(_USUAL_BYTES)
            # Pieces are joined by `tidy`, not in the midst of a change.
            self._db.execute("INSERT INTO words(words, rank) VALUES('automerge', 0)")
            self._db.execute("INSERT INTO words(words, rank) VALUES('crisismerge', 500)")
            if self._path is not None:
                _sync(self._path)
            self._db.execute(f"PRAGMA user_version={SCHEMA}")
            _settle(self._db)
            self.fresh = False

    def write(
        self, batches: Iterable[Sequence[Entry]], gone: Iterable[str] = (), kept: Iterable[Row] = (), *, files: str
    ) -> None:
        """Replace what is known of changed notes and drop those that are gone, in one transaction.

        Args:
            batches: notes whose text changed.
            gone: paths of notes that no longer exist.
            kept: notes whose text is the same, but not their time stamps or the meaning of their links.
            files: the digest of the set of files that the edges fit.

        Raises:
            sqlite3.DatabaseError: damage, or a full disk; call `rebuild`.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._drop(gone)
                for batch in batches:
                    self._drop(entry.row.note.path for entry in batch)
                    self._add(batch)
                for row in kept:
                    packed = _encode(row)
                    self._db.execute(
                        "UPDATE note SET row=?, sum=? WHERE path=?", (packed, crc32(packed), row.note.path)
                    )
                self._db.execute("UPDATE files SET digest=?", (files,))
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def tidy(self, is_enough: Callable[[], bool]) -> None:
        """Do in small steps what changes leave to do later: join the pieces of full text, shorten the log of changes.

        SQLite would do it in the midst of some change, which then takes half a second at 10,000 notes. Others come in
        between two steps.

        Args:
            is_enough: whether to leave the rest for another time, asked before each step.
        """
        with suppress(sqlite3.Error, OSError):
            while not self.fresh and not is_enough() and self._join():
                time.sleep(_PAUSE_SECONDS)  # a lock that is taken again at once starves those who wait for it
            path = self._path
            if path is not None and not is_enough() and Path(f"{path}-wal").stat().st_size > _LOG_BYTES:
                # A connection of its own: that of everybody else is free meanwhile.
                with closing(sqlite3.connect(path, timeout=1.0)) as db:
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _join(self) -> bool:
        """One step of joining pieces of full text; whether there was any (SQLite docs, FTS5, "The 'merge' Command")."""
        with self._lock:
            before = self._db.total_changes
            self._db.execute("INSERT INTO words(words, rank) VALUES('merge', ?)", (_STEP_PAGES,))
            return self._db.total_changes - before > 1

    def _drop(self, paths: Iterable[str]) -> None:
        for path in paths:
            found = self._db.execute("SELECT id FROM note WHERE path=?", (path,)).fetchone()
            if found:
                self._db.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM chunk WHERE note=?)", found)
                self._db.execute("DELETE FROM chunk WHERE note=?", found)
                self._db.execute("DELETE FROM note WHERE id=?", found)

    def _add(self, batch: Sequence[Entry]) -> None:
        (note_id,) = self._db.execute("SELECT coalesce(max(id), 0) FROM note").fetchone()
        (chunk_id,) = self._db.execute("SELECT coalesce(max(id), 0) FROM chunk").fetchone()
        notes: list[tuple[object, ...]] = []
        spans: list[tuple[object, ...]] = []
        words: list[tuple[object, ...]] = []
        for entry in batch:
            note_id += 1
            packed = _encode(entry.row)
            notes.append((note_id, entry.row.note.path, packed, crc32(packed)))
            for piece in entry.chunks:
                chunk_id += 1
                spans.append((chunk_id, note_id, piece.start, piece.stop, piece.heading))
                words.append((chunk_id, piece.title, spaced(piece.heading), piece.body, piece.properties))
        self._db.executemany("INSERT INTO note VALUES(?,?,?,?)", notes)
        self._db.executemany("INSERT INTO chunk VALUES(?,?,?,?,?)", spans)
        self._db.executemany("INSERT INTO words(rowid, title, heading, body, properties) VALUES(?,?,?,?,?)", words)

    def _buffer(self, size: int) -> None:
        self._db.execute("INSERT INTO words(words, rank) VALUES('hashsize', ?)", (size,))

    def search(self, match: str, limit: int) -> list[Hit]:
        """The chunks that fit an FTS5 expression, best first.

        Raises:
            sqlite3.OperationalError: the expression is not one (see `context.search`, which makes them).
        """
        with self._lock:
            rows = self._db.execute(
                f"SELECT note.path, chunk.start, chunk.stop, chunk.heading, -{_RANK} FROM words "  # noqa: S608 - constants only
                "JOIN chunk ON chunk.id = words.rowid JOIN note ON note.id = chunk.note "
                f"WHERE words MATCH ? ORDER BY {_RANK}, note.path, chunk.start LIMIT ?",
                (match, limit),
            ).fetchall()
        return [Hit(*row) for row in rows]

    def last_run(self, command: str) -> float | None:
        """When a command last ended well, in seconds since the epoch; None when it never ran."""
        with self._lock:
            found = self._db.execute("SELECT at FROM ran WHERE command=?", (command,)).fetchone()
        return float(found[0]) if found else None

    def record_run(self, command: str, at: float) -> None:
        """Remember when a command ended well; on a full disk it is forgotten."""
        with self._lock, suppress(sqlite3.OperationalError):
            self._db.execute(
                "INSERT INTO ran VALUES(?,?) ON CONFLICT(command) DO UPDATE SET at=excluded.at", (command, at)
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _settle(db: sqlite3.Connection) -> None:
    """From now on a change is either whole in the file or not there, also when the power fails."""
    db.execute("PRAGMA locking_mode=NORMAL")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA wal_autocheckpoint=0")  # it may take half a second; see `tidy`
    db.execute("PRAGMA cache_size=-2000")  # SQLite's own default


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
