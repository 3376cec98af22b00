"""The index of a vault on disk: parsed notes and full-text search, in one SQLite file that may be lost."""

import json
import re
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from context.names import base_of
from context.note import UNSPACED, Note, from_row, to_row
from context.passage import bytes4, cut

# Raised when the tables or what is parsed into them change: an older index is then rebuilt.
SCHEMA = 2
# The unit that is searched: small pieces rank better than whole notes (measured: whole notes lose 18 to 30 points).
CHUNK_TOKENS = 400

_TABLES = """
CREATE TABLE note(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
                  changed_at REAL NOT NULL, row TEXT NOT NULL);
CREATE TABLE chunk(id INTEGER PRIMARY KEY, note INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
                   heading TEXT NOT NULL);
CREATE INDEX chunk_note ON chunk(note);
CREATE VIRTUAL TABLE words USING fts5(title, heading, body, properties,
                                   tokenize='porter unicode61 remove_diacritics 2');
CREATE TABLE ran(command TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE made_with(options TEXT NOT NULL);
"""
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
# Scripts written without blanks: each character is indexed as a word of its own and searched as a phrase.
_UNSPACED = re.compile(f"([{UNSPACED}])")


@dataclass(frozen=True, slots=True)
class Stored:
    """A note as the index holds it: parsed, and when its text was last seen to change (seconds since the epoch).

    `changed_at` is 0.0 for notes that were there when the index was first built: their age is not known from here.
    """

    note: Note
    changed_at: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found by words: where it stands in its note and how well it fits (higher is better)."""

    path: str
    start: int
    end: int
    heading: str
    score: float


def spaced(text: str) -> str:
    """Text with blanks around each character of a script that is written without them."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)


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
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            self._give_up(error)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path or ":memory:", check_same_thread=False, isolation_level=None, timeout=5.0)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA):
                raise sqlite3.DatabaseError("an index of another version")
            if version == 0:
                if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    raise sqlite3.DatabaseError("not an index, or one whose making was interrupted")
                self._make(db)
            if db.execute("SELECT options FROM made_with").fetchone() != (self._made_with,):
                raise sqlite3.DatabaseError("an index made with other options")
            # FTS5 keeps its own shadow tables: a broken one is only seen when asked.
            db.execute("SELECT rowid FROM words WHERE words MATCH 'probe' LIMIT 1").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _make(self, db: sqlite3.Connection) -> None:
        if self._path is not None:
            self._path.chmod(0o600)
        db.executescript(f"BEGIN IMMEDIATE;{_TABLES}")
        db.execute("INSERT INTO made_with VALUES(?)", (self._made_with,))
        db.execute(f"PRAGMA user_version={SCHEMA}")
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
            self._db = self._connect()

    def _give_up(self, error: sqlite3.DatabaseError) -> None:
        code = getattr(error, "sqlite_errorcode", 0)
        try:
            if code & 0xFF not in _NOT_OURS or code == sqlite3.SQLITE_IOERR_SHORT_READ:
                self._discard()
                return
        except OSError:
            pass  # what is damaged cannot be thrown away either
        self._path = None  # in memory, for as long as this process lives

    def load(self) -> dict[str, Stored]:
        """Every note in the index by path.

        Raises:
            sqlite3.DatabaseError: the file is damaged; call `rebuild`.
        """
        with self._lock:
            rows = self._db.execute("SELECT row, changed_at FROM note ORDER BY path").fetchall()
        try:
            notes = [Stored(from_row(json.loads(row)), changed_at) for row, changed_at in rows]
        except (ValueError, TypeError, KeyError) as error:
            raise sqlite3.DatabaseError("a row of the index cannot be read") from error
        return {stored.note.path: stored for stored in notes}

    def write(self, changed: Sequence[tuple[Note, str]], gone: Iterable[str] = (), *, at: float = 0.0) -> None:
        """Replace the rows of changed notes and drop those of notes that are gone, in one transaction.

        Args:
            changed: notes and the texts they were parsed from.
            gone: paths of notes that no longer exist.
            at: when the change was seen, in seconds since the epoch; 0.0 when the note's age is not known.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._drop([*gone, *(note.path for note, _ in changed)])
                for note, text in changed:
                    self._add(note, text, at)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def touch(self, notes: Iterable[Note]) -> None:
        """Keep new time stamps of notes whose bytes did not change."""
        rows = [(json.dumps(to_row(note), ensure_ascii=False), note.mtime_ns, note.size, note.path) for note in notes]
        with self._lock:
            self._db.executemany("UPDATE note SET row=?, mtime_ns=?, size=? WHERE path=?", rows)

    def _drop(self, paths: Iterable[str]) -> None:
        for path in paths:
            found = self._db.execute("SELECT id FROM note WHERE path=?", (path,)).fetchone()
            if found:
                self._db.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM chunk WHERE note=?)", found)
                self._db.execute("DELETE FROM chunk WHERE note=?", found)
                self._db.execute("DELETE FROM note WHERE id=?", found)

    def _add(self, note: Note, text: str, at: float) -> None:
        db = self._db
        row = json.dumps(to_row(note), ensure_ascii=False)
        identity = db.execute(
            "INSERT INTO note(path, mtime_ns, size, changed_at, row) VALUES(?,?,?,?,?)",
            (note.path, note.mtime_ns, note.size, at, row),
        ).lastrowid
        title = spaced(" ".join((base_of(note.path), *note.aliases)))
        about = spaced(_words_of(note.properties.values()) + " " + " ".join(note.tags))
        pieces = cut(note, text, limit=CHUNK_TOKENS, count=bytes4) if note.is_text else []
        if not pieces and (title or about):  # a note without text is still found by its name and properties
            spans = [(note.body, note.body, "", "")]
        else:
            spans = [(p.start, p.end, " > ".join(p.heading), text[p.start : p.end]) for p in pieces]
        for place, (start, stop, heading, body) in enumerate(spans):
            chunk = db.execute(
                "INSERT INTO chunk(note, start, stop, heading) VALUES(?,?,?,?)", (identity, start, stop, heading)
            ).lastrowid
            db.execute(
                "INSERT INTO words(rowid, title, heading, body, properties) VALUES(?,?,?,?,?)",
                (chunk, title, spaced(heading), spaced(body), about if place == 0 else ""),
            )

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


def _words_of(values: Iterable[object]) -> str:
    words: list[str] = []
    waiting: list[object] = list(values)
    while waiting and len(words) < 1000:
        value = waiting.pop(0)
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            words.append(str(value))
    return " ".join(words)
