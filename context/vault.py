"""A vault: all notes of one folder, kept fresh; an immutable snapshot of them for every reader."""

import errno
import hashlib
import json
import os
import re
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from context import graph as graphs
from context.graph import Graph
from context.index import Hit, Index, Stored
from context.kinds import KINDS, MAP, Kind, Kinds, type_of
from context.maps import map_reason
from context.names import Names, fold
from context.note import CUT_SHORT, Note, decode, parse
from context.obsidian import ObsidianSettings
from context.obsidian import load as load_settings

# Notes are written in batches of this many, so that a cold build holds few texts in memory.
_BATCH = 500
# A copy that a sync service left beside a note after a conflict (Syncthing, Dropbox): never a note of its own.
_CONFLICT = re.compile(r"\.sync-conflict-\d{8}-\d{6}|\(.{0,80}conflicted copy.{0,40}\)", re.IGNORECASE)
_NOTES = (".md", ".canvas", ".base")
# What is read of one note at most, in bytes; the rest of a longer file is left out and the note is flagged. This much
# of any script, the text of a long book, is parsed and indexed well within the second that a note may take.
READ_BYTES = 1 << 20
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class VaultError(Exception):
    """The folder cannot be used as a vault; the message says why, the hint what to do."""

    code = "not_found"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class NoteGoneError(Exception):
    """A note was removed or became unreadable after the snapshot was taken."""


@dataclass(frozen=True, slots=True)
class VaultOptions:
    """How a vault is read.

    Attributes:
        settings_folder: the app's configuration folder in the vault.
        private_tags: tags that make a note private.
        private_folders: folders whose notes are private, as vault paths.
        kinds: of notes, see `context.kinds`.
    """

    settings_folder: str = ".obsidian"
    private_tags: frozenset[str] = frozenset({"private"})
    private_folders: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = KINDS

    @property
    def fingerprint(self) -> str:
        """What an index made with these options is marked with: those that decide how a note is parsed."""
        return json.dumps([sorted(self.private_tags), sorted(self.private_folders)], ensure_ascii=False)


@dataclass(frozen=True)
class Snapshot:
    """The vault at one moment. Immutable: a request keeps the snapshot it began with.

    Attributes:
        notes: every note by path.
        files: every file of the vault, notes and attachments.
        names: finds what a link means.
        graph: who links to whom.
        settings: the vault's own settings.
        changed_at: note → when its text was last seen to change; notes known since the first index are absent.
        kinds: of its notes.
        kept: what others worked out from this snapshot and may use again, by their own keys; it goes with the snapshot.
    """

    notes: Mapping[str, Note]
    files: frozenset[str]
    names: Names
    graph: Graph
    settings: ObsidianSettings
    changed_at: Mapping[str, float]
    kinds: Kinds
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every path and note digest, 64 hex: equal when and only when the vault's text is."""
        total = hashlib.sha256()
        for path in sorted(self.files):
            note = self.notes.get(path)
            total.update(f"{path}\0{note.digest if note else ''}\n".encode("utf-8", "surrogatepass"))
        return total.hexdigest()

    @cached_property
    def maps(self) -> Mapping[str, str]:
        """Every map of content with the reason why it is one."""
        kind = self.kinds[MAP]
        found = ((path, map_reason(note, self.graph.out, kind)) for path, note in self.notes.items())
        return {path: reason for path, reason in found if reason}

    @cached_property
    def aliases(self) -> Mapping[str, tuple[str, ...]]:
        """Folded alias → the notes that carry it."""
        found: dict[str, list[str]] = {}
        for path, note in self.notes.items():
            for alias in note.aliases:
                found.setdefault(fold(alias), []).append(path)
        return {alias: tuple(paths) for alias, paths in found.items()}

    def kind(self, note: Note) -> str:
        """The name of a note's kind, "" for none. Tags and folders say nothing of periodic notes and maps."""
        known = self._known.get(note.path)
        if known is None:
            known = self.kinds.of(note)
            if known and not type_of(note):
                known = MAP if note.path in self.maps else "" if self.settings.period(note.path) else known
            self._known[note.path] = known
        return known

    @cached_property
    def _known(self) -> dict[str, str]:
        """The kinds of notes that were asked for, by path."""
        return {}


class Vault:
    """The notes of one folder. Only reads: nothing in it opens a file of the vault for writing."""

    def __init__(
        self, root: Path, index: Index, options: VaultOptions | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the vault: warm from the index, reconciled with the disk by stat, then by digest.

        Raises:
            VaultError: the folder is missing, is no folder, or cannot be listed.
        """
        self.root = _checked(root)
        self.index = index
        self.options = options or VaultOptions()
        self._clock = clock
        self._lock = threading.Lock()
        self.skipped = 0
        empty = Names(())
        nothing = graphs.Graph({}, {}, {})
        settings = load_settings(self.root, self.options.settings_folder)
        self.snapshot = Snapshot({}, frozenset(), empty, nothing, settings, {}, Kinds(self.options.kinds))
        self.refresh()

    def refresh(self) -> int:
        """Make the snapshot and the index equal to the disk; returns how many notes changed, came or went."""
        with self._lock:
            try:
                return self._reconcile(self._known())
            except sqlite3.DatabaseError as error:
                self.index.rebuild(error)
                return self._reconcile({})

    def _known(self) -> dict[str, Stored]:
        if self.snapshot.files:
            changed = self.snapshot.changed_at
            return {path: Stored(note, changed.get(path, 0.0)) for path, note in self.snapshot.notes.items()}
        return self.index.load()

    def _reconcile(self, known: dict[str, Stored]) -> int:
        settings = load_settings(self.root, self.options.settings_folder)
        files, stats = self._walk(settings)
        notes: dict[str, Note] = {}
        ages: dict[str, float] = {}
        stale: list[str] = []
        for path, status in stats.items():
            stored = known.get(path)
            if stored is not None and (stored.note.mtime_ns, stored.note.size) == (status.st_mtime_ns, status.st_size):
                notes[path] = stored.note
            else:
                stale.append(path)
            if stored is not None and stored.changed_at:
                ages[path] = stored.changed_at
        gone = [path for path in known if path not in stats]
        seen = self._clock() if known else 0.0
        changed = self._parse(stale, known, gone, notes, ages, seen)
        # Also when files were only touched: their new time stamps are what the next look compares with.
        if stale or gone or files != self.snapshot.files or settings != self.snapshot.settings:
            self.snapshot = self._next(files, notes, ages, settings, changed)
        return len(changed) + len(gone)

    def _parse(
        self,
        stale: list[str],
        known: Mapping[str, Stored],
        gone: list[str],
        notes: dict[str, Note],
        ages: dict[str, float],
        seen: float,
    ) -> list[Note]:
        """Parse what the stat called stale; what has other bytes goes into `notes`, `ages` and the index."""
        changed: list[Note] = []
        batch: list[tuple[Note, str]] = []
        touched: list[Note] = []
        for path in stale:
            note, text = self._read(path)
            notes[path] = note
            stored = known.get(path)
            if stored is not None and replace(stored.note, mtime_ns=note.mtime_ns, size=note.size) == note:
                touched.append(note)
                continue
            changed.append(note)
            if seen:
                ages[path] = seen
            batch.append((note, text))
            if len(batch) >= _BATCH:
                self.index.write(batch, at=seen)
                batch = []
        if batch or gone:
            self.index.write(batch, gone, at=seen)
        if touched:
            self.index.touch(touched)
        return changed

    def _next(
        self,
        files: frozenset[str],
        notes: dict[str, Note],
        ages: dict[str, float],
        settings: ObsidianSettings,
        changed: list[Note],
    ) -> Snapshot:
        before = self.snapshot
        if files == before.files:
            names, links = before.names, graphs.update(before.graph, changed, before.names)
        else:
            names = Names(files)
            links = graphs.build(notes, names)
        return Snapshot(notes, files, names, links, settings, ages, Kinds(self.options.kinds))

    def text(self, path: str) -> tuple[Note, str]:
        """A note as it stands on disk now, and its text; when it changed since the snapshot, the fresh one of both.

        Raises:
            NoteGoneError: it cannot be read any more.
        """
        known = self.snapshot.notes.get(path)
        if known is None:
            raise NoteGoneError(path)
        try:
            data, status = _bytes(self.root, path)
        except OSError:
            raise NoteGoneError(path) from None
        if hashlib.sha256(data).hexdigest() == known.digest:
            return known, decode(data)[0]
        return self._parsed(path, data, status), decode(data)[0]

    def data(self, path: str) -> bytes:
        """The bytes of a note as it stands on disk now, whether the snapshot knows it yet or not.

        Raises:
            NoteGoneError: it is not there, cannot be read, or is longer than what is read of a note.
        """
        try:
            data, status = _bytes(self.root, path)
        except OSError:
            raise NoteGoneError(path) from None
        if status.st_size > len(data):
            raise NoteGoneError(path)
        return data

    def search(self, match: str, limit: int) -> list[Hit]:
        """Chunks that fit an FTS5 expression; a damaged index is built again and gives nothing this once."""
        try:
            return self.index.search(match, limit)
        except sqlite3.OperationalError:
            return []
        except sqlite3.DatabaseError as error:
            self.index.rebuild(error)
            with self._lock:
                self._reconcile({})
            return []

    def _read(self, path: str) -> tuple[Note, str]:
        try:
            data, status = _bytes(self.root, path)
        except OSError as error:
            reason = "permission denied" if error.errno in (errno.EACCES, errno.EPERM) else "cannot be read"
            empty = parse(path, b"", private_tags=self.options.private_tags)
            return replace(empty, flags=(f"unreadable: {reason}",), private=True), ""
        return self._parsed(path, data, status), decode(data)[0]

    def _parsed(self, path: str, data: bytes, status: os.stat_result) -> Note:
        note = parse(path, data, status.st_mtime_ns, private_tags=self.options.private_tags)
        if status.st_size > len(data):
            flag = f"{CUT_SHORT}: only its first {READ_BYTES >> 20} MiB are read"
            note = replace(note, size=status.st_size, flags=(*note.flags, flag), private=True)
        if any(path.startswith(folder.rstrip("/") + "/") for folder in self.options.private_folders):
            note = replace(note, private=True)
        return note

    def _walk(self, settings: ObsidianSettings) -> tuple[frozenset[str], dict[str, os.stat_result]]:
        files: set[str] = set()
        notes: dict[str, os.stat_result] = {}
        self.skipped = 0
        for entry, path in _entries(self.root):
            if settings.is_ignored(path):
                continue
            if _CONFLICT.search(entry.name):
                self.skipped += 1
                continue
            try:
                if entry.is_symlink() and not _stays(entry, self.root):
                    self.skipped += 1
                    continue
                status = entry.stat()
            except OSError:
                self.skipped += 1
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            files.add(path)
            if path.endswith(_NOTES):
                notes[path] = status
        return frozenset(files), notes


def _checked(root: Path) -> Path:
    name = root.name or str(root)
    try:
        with os.scandir(root):
            return root.resolve()
    except FileNotFoundError:
        hint = "Name the folder of your vault with --vault PATH or KOS_VAULT."
        raise VaultError(f"there is no folder {name!r}", hint) from None
    except NotADirectoryError:
        hint = "Name the folder that holds your notes, not one of them."
        raise VaultError(f"{name!r} is a file, not a vault", hint) from None
    except OSError:
        raise VaultError(f"the folder {name!r} cannot be listed", "Give yourself read permission on it.") from None


def _entries(root: Path) -> Iterator[tuple["os.DirEntry[str]", str]]:
    """Every file below the root with its vault path. Dot folders and linked folders are not entered."""
    waiting = [("", str(root))]
    while waiting:
        prefix, folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            continue  # a folder that went away or may not be listed costs its own notes only
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                entry.name.encode()
            except UnicodeEncodeError:
                continue  # a name that is not text cannot be linked to, shown or sent
            if entry.is_dir(follow_symlinks=False):
                waiting.append((f"{prefix}{entry.name}/", entry.path))
            elif not _leads_to_folder(entry):
                yield entry, prefix + entry.name


def _leads_to_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _stays(entry: "os.DirEntry[str]", root: Path) -> bool:
    return Path(os.path.realpath(entry.path)).is_relative_to(root)


def _open(root: Path, path: str) -> int:
    """Open a file without waiting, so that a pipe named like a note cannot hang us, and never outside the vault.

    Raises:
        OSError: it is not there, cannot be read, or is a link that has come to lead out of the vault.
    """
    try:
        return os.open(root / path, _FLAGS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    real = os.path.realpath(root / path)
    if not Path(real).is_relative_to(root):
        raise OSError(errno.ELOOP, "leads out of the vault")
    return os.open(real, _FLAGS)


def _bytes(root: Path, path: str) -> tuple[bytes, os.stat_result]:
    """The first READ_BYTES of a regular file, and its status."""
    handle = _open(root, path)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        parts: list[bytes] = []
        left = READ_BYTES
        while left and (
            part := os.read(handle, min(left, 65536))
        ):  # larger buffers cost an mmap each: three times slower
            parts.append(part)
            left -= len(part)
        return b"".join(parts), status
    finally:
        os.close(handle)
