"""The index of a vault on disk: parsed notes and links in SQLite, the words of chunks beside them; it may be lost."""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from msgspec import MsgspecError, Struct, msgpack

from context.chunk import Chunk
from context.fulltext import FullText, discard
from context.note import Note
from context.words import Asked

# Raised when the tables or what is parsed into them change: an older index is then rebuilt.
SCHEMA = 6

_TABLES = """
CREATE TABLE note(id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, row BLOB NOT NULL,
                  sum INTEGER NOT NULL);
CREATE TABLE chunk(id INTEGER PRIMARY KEY AUTOINCREMENT, note INTEGER NOT NULL, start INTEGER NOT NULL,
                   stop INTEGER NOT NULL, heading TEXT NOT NULL);
CREATE INDEX chunk_note ON chunk(note);
CREATE TABLE unworded(note INTEGER PRIMARY KEY);
CREATE TABLE ran(command TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE made_with(options TEXT NOT NULL);
CREATE TABLE files(digest TEXT NOT NULL);
"""
# What is kept of the file in memory while a whole vault is indexed, in bytes.
_FILL_BYTES = 16 << 20
# From so many bytes on, the log of changes is brought into the file.
_LOG_BYTES = 4 << 20
# File and full text are compared so often before they count as not of one index, with a pause between, in seconds.
_LOOKS, _LOOK_SECONDS = 4, 0.05
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
    """All that the index keeps of a note: its row, and what full-text search finds of it.

    Attributes:
        row: of the note.
        chunks: none when its words could not be taken. Such a note is not kept, so that it counts as not seen: a row
            without its words would pass for whole once the file has the bytes of the row again.
    """

    row: Row
    chunks: Sequence[Chunk]


class _Numbers(NamedTuple):
    """The number of a note, and those of its chunks."""

    note: int
    chunks: range


_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Row).decode


@dataclass(frozen=True, slots=True)
class Known:
    """What the index holds: the row of every note, and the digest of the set of files that their edges fit."""

    rows: Sequence[Row]
    files: str


class Hit(Struct, frozen=True, gc=False):
    """A chunk found by words: where it stands in its note and how well it fits (higher is better).

    Attributes:
        path, start, end, heading: its place; the offsets are in characters.
        score: within one search.
        number: of the chunk; the chunks of a note have numbers that follow each other.
        why, via: what led to it, and from which note.
    """

    path: str
    start: int
    end: int
    heading: str
    score: float
    number: int = 0
    why: str = ""
    via: str = ""


class Index:
    """One SQLite file, and the folder of its full text. All methods are safe to call from several threads.

    Nothing in it is precious: a damaged, foreign or older one is removed and built again from the vault. What full text
    still holds of a chunk that is gone is never found, since its number is of no chunk any more; what it does not hold
    yet after a fault is remembered by the file.
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
        self._unworded = False  # words were written that full text does not find yet
        self._expected: dict[tuple[str, str], _Numbers] = {}  # path and digest of notes whose words went ahead
        self._db = self._open()

    @property
    def _folder(self) -> Path | None:
        """Where full text lies."""
        return self._path.with_suffix(".text") if self._path else None

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
            self._words = FullText(self._folder, fresh=self.fresh)
            _mend(db, self._words)
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
        if self._folder is not None:
            discard(self._folder)

    def rebuild(self, error: sqlite3.DatabaseError) -> None:
        """Begin an empty index after an error: damage is thrown away, what is not ours or not to be written is left."""
        with self._lock:
            with suppress(sqlite3.Error):
                self._db.close()
            self._words.close()
            self._unworded = False
            self._expected = {}
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
            self._db.execute("BEGIN")
        for batch in batches:
            with self._lock:
                self._add(batch, whole_vault=True)
        with self._lock:
            self._words.commit(rest=True)
            self._db.execute("INSERT INTO files VALUES(?)", (files,))
            self._db.execute("COMMIT")
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
                touched = self._drop(gone)
                for batch in batches:
                    touched += self._drop(entry.row.note.path for entry in batch)
                    touched += self._add(batch)
                # A note may change again before its words are found.
                self._db.executemany("INSERT OR IGNORE INTO unworded VALUES(?)", [(note,) for note in touched])
                for row in kept:
                    packed = _encode(row)
                    self._db.execute(
                        "UPDATE note SET row=?, sum=? WHERE path=?", (packed, crc32(packed), row.note.path)
                    )
                self._db.execute("UPDATE files SET digest=?", (files,))
            except BaseException as error:
                self._db.execute("ROLLBACK")
                self._words.rollback()
                self._expected = {}
                if self._unworded and isinstance(error, Exception):  # the words of earlier changes went along
                    raise sqlite3.DatabaseError("words that were not yet found are lost") from error
                raise
            self._db.execute("COMMIT")
            self._unworded = True

    def _worded(self) -> FullText:
        """Full text with all that was written. Its commit takes as long as a hundred changes, so many share one.

        After a fault before it those notes are read again: see `_mend`.
        """
        if self._unworded:
            self._forget()
            self._words.commit()
            self._db.execute("DELETE FROM unworded")
            self._unworded = False
        return self._words

    def expect(self, notes: Sequence[tuple[Note, Sequence[Chunk]]]) -> None:
        """Give full text the words of changed notes that will likely be written at once.

        It begins new files for them, which takes half the time of its commit. Nothing is found of them before they are
        written, and never if they are not.

        Args:
            notes: each with its chunks; they must be written together and in the same order.

        Raises:
            sqlite3.DatabaseError: full text cannot be written; the next `write` says so, too.
        """
        with self._lock:
            if self.fresh:
                return
            self._forget()
            numbered = list(self._numbered(chunks for _, chunks in notes))
            try:
                for (note, chunks), its in zip(notes, numbered, strict=True):
                    self._expected[note.path, note.digest] = its
                    self._words.add(its.note, zip(its.chunks, chunks, strict=True))
            except BaseException:
                self._forget()
                raise

    def _forget(self) -> None:
        """Take back the words of notes that were expected and not written."""
        expected, self._expected = self._expected, {}
        if expected:
            self._words.drop(its.note for its in expected.values())

    def tidy(self, is_enough: Callable[[], bool]) -> None:
        """Make the words of changed notes last, and shorten the log of changes.

        Args:
            is_enough: whether to leave the log for another time.
        """
        with suppress(sqlite3.Error, OSError):
            with self._lock:
                self._worded()
            path = self._path
            if path is not None and not is_enough() and Path(f"{path}-wal").stat().st_size > _LOG_BYTES:
                # A connection of its own: that of everybody else is free meanwhile.
                with closing(sqlite3.connect(path, timeout=1.0)) as db:
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _drop(self, paths: Iterable[str]) -> list[int]:
        """Take out notes, and give their numbers."""
        dropped: list[int] = []
        for path in paths:
            found = self._db.execute("SELECT id FROM note WHERE path=?", (path,)).fetchone()
            if found:
                dropped += found
                self._db.execute("DELETE FROM chunk WHERE note=?", found)
                self._db.execute("DELETE FROM note WHERE id=?", found)
        self._words.drop(dropped)
        return dropped

    def _add(self, batch: Sequence[Entry], *, whole_vault: bool = False) -> list[int]:
        """Add the notes whose words are known, and give their numbers."""
        batch = [entry for entry in batch if entry.chunks]
        numbered = list(self._numbered(entry.chunks for entry in batch))
        coming = {(one.row.note.path, one.row.note.digest): its for one, its in zip(batch, numbered, strict=True)}
        are_there = bool(coming) and coming == self._expected
        if are_there:
            self._expected = {}
        else:
            self._forget()
        notes: list[tuple[object, ...]] = []
        spans: list[tuple[object, ...]] = []
        for entry, its in zip(batch, numbered, strict=True):
            packed = _encode(entry.row)
            notes.append((its.note, entry.row.note.path, packed, crc32(packed)))
            spans += [
                (n, its.note, one.start, one.stop, one.heading) for n, one in zip(its.chunks, entry.chunks, strict=True)
            ]
            if not are_there:
                self._words.add(its.note, zip(its.chunks, entry.chunks, strict=True), whole_vault=whole_vault)
        self._db.executemany("INSERT INTO note VALUES(?,?,?,?)", notes)
        self._db.executemany("INSERT INTO chunk VALUES(?,?,?,?,?)", spans)
        return [its.note for its in numbered]

    def _numbered(self, chunks: Iterable[Sequence[Chunk]]) -> Iterator[_Numbers]:
        """The numbers that come next, for notes with these chunks. None is given twice, also when its note is gone."""
        last = dict(self._db.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        chunk = last.get("chunk", 0) + 1
        for note, cut in enumerate(chunks, last.get("note", 0) + 1):
            yield _Numbers(note, range(chunk, chunk + len(cut)))
            chunk += len(cut)

    def search(self, asked: Asked, limit: int, paths: Iterable[str] | None = None) -> list[Hit]:
        """The chunks that fit what is asked, best first.

        Args:
            asked: any of its words will do.
            limit: how many.
            paths: the only notes looked at; None for all.

        Raises:
            sqlite3.DatabaseError: the index is damaged; call `rebuild`.
        """
        with self._lock:
            notes = None if paths is None else self._notes(paths)
            return self._places(self._worded().search(asked, limit, notes))

    def holding(self, phrases: Iterable[str], limit: int, *, stemmed: bool = False) -> list[list[int]]:
        """For each phrase the numbers of the chunks that hold its words side by side, at most `limit`.

        Args:
            phrases: words.
            limit: of numbers for each.
            stemmed: other words of their stems will do.

        Raises:
            sqlite3.DatabaseError: the index is damaged; call `rebuild`.
        """
        with self._lock:
            words = self._worded()
        return [words.holding(phrase, limit, stemmed=stemmed) for phrase in phrases]

    def places(self, numbers: Iterable[int]) -> list[Hit]:
        """Chunks by their numbers, without scores; those that are gone are left out."""
        with self._lock:
            return self._places([(number, 0.0) for number in numbers])

    @property
    def size(self) -> int:
        """How many chunks there are."""
        return self._words.size

    @property
    def state(self) -> str:
        """What searches depend on beside the notes: two of the same question in one state give the same.

        A word counts as more or less rare by chunks that are gone, until they are cleared away. "" while words wait to
        be found, or somebody else is at the index: it waits for nobody.
        """
        if not self._lock.acquire(blocking=False):
            return ""
        try:
            if self._unworded or self.fresh:
                return ""
            last = self._db.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name").fetchall()
            return f"{last} {self._words.weight}"
        finally:
            self._lock.release()

    def settle(self) -> str:
        """Bring all words that were written into full text, and give its state."""
        with self._lock:
            self._worded()
            return self.state

    def chunks_at(self, places: Iterable[tuple[str, int]]) -> list[Hit]:
        """The chunks that begin at offsets of notes, in characters, without scores; in no order."""
        with self._lock:
            found = self._db.execute(
                "SELECT chunk.id, 0.0 FROM json_each(?) AS place "
                "JOIN note ON note.path = json_extract(place.value, '$[0]') "
                "JOIN chunk ON chunk.note = note.id AND chunk.start = json_extract(place.value, '$[1]')",
                (json.dumps(list(places)),),
            ).fetchall()
            return self._places(found)

    def frequency(self, word: str) -> float:
        """In which part of all chunks a word stands, in 0..1; of several words the rarest counts.

        Raises:
            sqlite3.DatabaseError: the index is damaged; call `rebuild`.
        """
        return self._words.frequency(word) / max(1, self._words.size)

    def beginnings(self, paths: Iterable[str]) -> list[Hit]:
        """The first chunk of each of these notes, without a score."""
        with self._lock:
            ids = self._notes(paths)
            found = self._db.execute(
                "SELECT min(id), 0.0 FROM chunk WHERE note IN (SELECT value FROM json_each(?)) GROUP BY note",
                (json.dumps(ids),),
            ).fetchall()
            return self._places(found)

    def chunk_at(self, path: str, offset: int) -> list[Hit]:
        """The chunk of a note that holds an offset, in characters, or ends before it; none when it has none."""
        with self._lock:
            found = self._db.execute(
                "SELECT chunk.id, 0.0 FROM chunk JOIN note ON note.id = chunk.note "
                "WHERE note.path = ? ORDER BY chunk.start > ?, abs(chunk.start - ?) LIMIT 1",
                (path, offset, offset),
            ).fetchall()
            return self._places(found)

    def _notes(self, paths: Iterable[str]) -> list[int]:
        found = self._db.execute(
            "SELECT id FROM note WHERE path IN (SELECT value FROM json_each(?))", (json.dumps(list(paths)),)
        )
        return [number for (number,) in found]

    def _places(self, found: Sequence[tuple[int, float]]) -> list[Hit]:
        rows = self._db.execute(
            "SELECT chunk.id, note.path, chunk.start, chunk.stop, chunk.heading "
            "FROM chunk JOIN note ON note.id = chunk.note WHERE chunk.id IN (SELECT value FROM json_each(?))",
            (json.dumps([number for number, _ in found]),),
        ).fetchall()
        places = {number: place for number, *place in rows}
        return [Hit(*places[number], score, number) for number, score in found if number in places]  # type: ignore[call-arg]

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
            with suppress(sqlite3.Error):
                self._worded()
            self._words.close()
            self._db.close()


def _settle(db: sqlite3.Connection) -> None:
    """From now on a change is either whole in the file or not there, also when the power fails."""
    db.execute("PRAGMA locking_mode=NORMAL")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA wal_autocheckpoint=0")  # it may take half a second; see `tidy`
    db.execute("PRAGMA cache_size=-2000")  # SQLite's own default


def _mend(db: sqlite3.Connection, words: FullText) -> None:
    """Bring file and full text together after a fault between the two: notes whose words it lost count as not seen.

    Raises:
        sqlite3.DatabaseError: they are not of one index.
    """
    for _ in range(_LOOKS):
        db.execute("BEGIN")
        unworded = [number for (number,) in db.execute("SELECT note FROM unworded")]
        (chunks,) = db.execute("SELECT count(*) FROM chunk").fetchone()
        db.execute("COMMIT")
        if unworded:
            words.drop(unworded)  # not while another process still writes them: it holds the only writer
            words.commit()
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM chunk WHERE note IN (SELECT note FROM unworded)")
            db.execute("DELETE FROM note WHERE id IN (SELECT note FROM unworded)")
            db.execute("DELETE FROM unworded")
            db.execute("COMMIT")
            continue
        words.reload()
        if chunks == words.size:
            return
        time.sleep(_LOOK_SECONDS)  # another process may have written between the two
    raise sqlite3.DatabaseError("full text of another index")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
