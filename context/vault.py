"""A vault: all notes of one folder on disk, kept fresh in a snapshot and an index."""

import gc
import hashlib
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from context import graph as graphs
from context.chunk import chunks
from context.folder import VaultError, checked, look, walk
from context.graph import Edges, Graph
from context.index import Entry, Hit, Index, Known, Row
from context.kinds import KINDS, Kind, Kinds
from context.names import Names
from context.note import Note, decode, parse
from context.obsidian import ObsidianSettings
from context.obsidian import load as load_settings
from context.reader import Reader
from context.snapshot import FEW_CHANGES, Snapshot
from context.words import Asked
from context.workers import Workers

__all__ = ["NoteGoneError", "Vault", "VaultError", "VaultOptions"]

# From so many notes on it is worth a moment to start other processes, and full text comes after the rest.
_MANY = 500
# What a process reads at once, in notes and in bytes.
_BATCH_NOTES, _BATCH_BYTES = 128, 512 << 10
# With more files changed at once, or longer ones, in bytes, it is not worth it to prepare for their reading.
_EXPECTED, _EXPECTED_BYTES = 4, 64 << 10
# The coarsest clock of a file system (FAT), in nanoseconds: two writes within it may leave one time stamp.
_RACY_NS = 2_000_000_000

# How long the end of a command may be put off to bring the index in order.
_TIDY_SECONDS = 0.05

_T = TypeVar("_T")


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


class Vault:
    """The notes of one folder. Only reads: nothing in it opens a file of the vault for writing."""

    def __init__(
        self, root: Path, index: Index, options: VaultOptions | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the vault: warm from the index, reconciled with the disk by stat, then by digest.

        Of a large vault that is new to the index, full text is built afterwards: `search` waits for it.

        Raises:
            VaultError: the folder is missing, is no folder, or cannot be listed.
        """
        self.root = checked(root)
        self.index = index
        self.options = options or VaultOptions()
        self._reader = Reader(str(self.root), self.options.private_tags, self.options.private_folders)
        self._clock = clock
        self._lock = threading.Lock()
        self._filling: threading.Thread | None = None
        self._started: Workers | None = None  # before it is known what there is for them to read
        # Notes read so soon after they were written that a later write may have left them the same time stamp.
        self._racy: set[str] = set()
        # Notes whose files had other bytes when their words were to be taken: they are read again at the next look.
        self._uncut: set[str] = set()
        with _no_collection():
            settings = load_settings(self.root, self.options.settings_folder)
            self._listing = walk(
                self.root, settings, many=_MANY if self.index.fresh else sys.maxsize, told=self._start_workers
            )
            self.snapshot = self._remembered(settings)
            with self._lock:
                self._advance(self.snapshot, settings)

    @property
    def skipped(self) -> int:
        """How many files were left out: conflict copies, links out of the vault, what cannot be looked at."""
        return self._listing.skipped

    @property
    def is_searchable(self) -> bool:
        """Whether full text is there already, so that `search` does not wait."""
        return self._filling is None or not self._filling.is_alive()

    def refresh(self, paths: Iterable[str] | None = None) -> int:
        """Make the snapshot and the index equal to the disk; returns how many notes changed, came or went.

        Args:
            paths: files that may have changed, as vault paths, where nothing else has; None looks at every file.
        """
        with self._lock:
            self._filled()
            settings = load_settings(self.root, self.options.settings_folder)
            listing, paths = None, None if paths is None else set(paths)
            if paths is not None and settings.ignored == self.snapshot.settings.ignored:
                listing = look(self.root, settings, self._listing, paths)
            self._listing = walk(self.root, settings) if listing is None else listing
            return self._advance(self.snapshot, settings, paths if listing else None)

    def expect(self, paths: Iterable[str]) -> None:
        """Prepare for a `refresh` that will follow soon, for these files may still be written; it changes nothing.

        Args:
            paths: files that have changed, as vault paths.
        """
        known = self.snapshot.notes
        if not self.is_searchable or not self._lock.acquire(blocking=False):
            return
        try:
            stamps = {path: stamp for path in paths if path in known and (stamp := self.stamp(path))}
            stale = [path for path, stamp in stamps.items() if stamp != (known[path].mtime_ns, known[path].size)]
            if 0 < len(stale) <= _EXPECTED and sum(stamps[path][1] for path in stale) <= _EXPECTED_BYTES:
                read = [self._reader.note(path) for path in stale]
                self.index.expect([(note, chunks(note, text)) for note, text in read])
        except sqlite3.DatabaseError:
            pass  # the refresh will meet it as well
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the index, once it is whole."""
        with self._lock:
            self._filled()
            until = time.monotonic() + _TIDY_SECONDS
            self.index.tidy(lambda: time.monotonic() > until)
            self.index.close()

    def _filled(self) -> None:
        if self._filling is not None:
            self._filling.join()

    def _start_workers(self) -> None:
        self._started = Workers(self._reader)

    def _remembered(self, settings: ObsidianSettings) -> Snapshot:
        """The vault as the index has it."""
        files = self._listing.files
        try:
            known = self.index.load()
        except sqlite3.DatabaseError as error:
            self.index.rebuild(error)
            known = Known((), "")
        same = known.files == self._listing.digest
        return Snapshot(
            {row.note.path: row.note for row in known.rows},
            files if same else frozenset(),
            Names(files if same else ()),
            graphs.unpacked({row.note.path: row.edges for row in known.rows}, files),
            settings,
            {row.note.path: row.changed_at for row in known.rows if row.changed_at},
            Kinds(self.options.kinds),
            self._listing.attachments,
        )

    def _advance(self, before: Snapshot, settings: ObsidianSettings, paths: AbstractSet[str] | None = None) -> int:
        """Go from one snapshot to what the listing shows, and take the index along.

        Args:
            before: where to begin.
            settings: of the vault, as they are now.
            paths: the only files that may differ, when that is known.
        """
        with _no_collection():
            try:
                return self._step(before, settings, paths)
            except sqlite3.DatabaseError as error:
                fault = error
            try:
                return self._anew(fault)
            except sqlite3.DatabaseError as error:
                return self._anew(error)  # by now in memory

    def _anew(self, error: sqlite3.DatabaseError) -> int:
        """Read everything again after a fault of the index."""
        self.index.rebuild(error)
        empty = graphs.build({}, Names(()))
        before = replace(self.snapshot, notes={}, files=frozenset(), names=Names(()), graph=empty, kept={}, lasting={})
        return self._step(before, self.snapshot.settings)

    def _step(self, before: Snapshot, settings: ObsidianSettings, paths: AbstractSet[str] | None = None) -> int:
        files, there = self._listing.files, self._listing.notes
        notes = dict(before.notes)
        stale: dict[str, int] = {}
        for path in there if paths is None else paths & there.keys():
            mtime, size = there[path]
            note = notes.get(path)
            if note is None or note.mtime_ns != mtime or note.size != size:
                stale[path] = size
        # A time stamp may be that of the write before, or a copied one: what an event names is read in any case.
        doubtful = self._racy if paths is None else paths
        stale |= {path: there[path][1] for path in self._uncut & there.keys()}
        stale |= {path: there[path][1] for path in doubtful if self._is_other(path, stale, notes)}
        gone = (before.notes.keys() if paths is None else before.notes.keys() & paths) - there.keys()
        for path in (*stale, *gone):
            notes.pop(path, None)
        same_files = files is before.files or files == before.files
        others = self._listing.attachments
        resaved = _differing(others, before.attachments, paths)
        as_before = same_files and not stale and not gone and not resaved
        if as_before and settings == before.settings and not self.index.fresh:
            self._racy = _racing(self._racy | doubtful, notes)
            return 0
        with ExitStack() as stack:
            workers, self._started = self._started, None
            workers = stack.enter_context(workers or Workers(self._reader, None if len(stale) >= _MANY else 0))
            # Links are followed as notes come, while other processes read on.
            names = self._new_names(before)
            edges: dict[str, Edges] = {}
            changed: list[Note] = []
            touched: list[Note] = []
            for note, same in self._read(workers, stale, before):
                (touched if same else changed).append(note)
                if names is not None:
                    edges[note.path] = graphs.targets(note, names)
            notes.update((note.path, note) for note in (*changed, *touched))
            self._racy = _racing({*self._racy, *doubtful, *stale}, notes)
            seen = self._clock() if before.notes else 0.0
            ages = {path: age for path, age in before.changed_at.items() if path in notes}
            if seen:
                ages.update((note.path, seen) for note in changed)
            if names is None:
                names, links = self._relinked(before, notes, changed)
            else:
                links = graphs.made({path: edges.get(path) or graphs.targets(notes[path], names) for path in notes})
            # Those whose links mean something else, since files came or went.
            moved = [] if same_files else [path for path in notes if not _same_edges(path, before.graph, links)]
            after = Snapshot(notes, files, names, links, settings, ages, Kinds(self.options.kinds), others)
            if settings == before.settings:
                after.follow(before, {*stale, *gone, *moved, *resaved, *(() if same_files else files ^ before.files)})
            if "lexicon" in vars(before) and len(changed) + len(gone) <= FEW_CHANGES:
                went = [before.notes[path] for path in (*gone, *(one.path for one in changed)) if path in before.notes]
                vars(after)["lexicon"] = before.lexicon.updated(changed, went)
            if self.index.fresh and len(changed) >= _MANY:
                # Other readers need not wait for full text.
                self.snapshot = after
                self._filling = threading.Thread(
                    target=self._fill, args=(stack.pop_all(), workers, after), name="vault-text", daemon=True
                )
                self._filling.start()
            elif self.index.fresh:
                self.index.fill(self._entries(workers, notes.values(), after), self._listing.digest)
            elif stale or gone or not same_files:
                kept = {path: _row(notes[path], after) for path in (*moved, *(note.path for note in touched))}
                entries = self._entries(workers, changed, after)
                self.index.write(entries, gone, kept.values(), files=self._listing.digest)
            self.snapshot = after
        return len(changed) + len(gone)

    def _is_other(self, path: str, stale: Mapping[str, int], notes: Mapping[str, Note]) -> bool:
        """Whether a note has other bytes, though its time stamp and size are as they were."""
        note = None if path in stale or path not in self._listing.notes else notes.get(path)
        return note is not None and not self._reader.is_same(note)

    def _read(self, workers: Workers, stale: Mapping[str, int], before: Snapshot) -> Iterator[tuple[Note, bool]]:
        """Parse what the stat called stale (with its sizes); with each note, whether its file was only touched."""
        for batch in workers.parsed(_batches(stale.items())):
            for note in batch:
                known = before.notes.get(note.path)
                same = known is not None and structs.replace(known, mtime_ns=note.mtime_ns, size=note.size) == note
                yield note, same and note.path not in self._uncut

    def _new_names(self, before: Snapshot) -> Names | None:
        """The names of all files when so many came or went that all links are followed anew."""
        files = self._listing.files
        if files is before.files or files == before.files:
            return None
        return Names(files) if not before.files or len(files ^ before.files) > FEW_CHANGES else None

    def _relinked(self, before: Snapshot, notes: Mapping[str, Note], changed: list[Note]) -> tuple[Names, Graph]:
        """Names and links when not many files came or went."""
        files = self._listing.files
        if files is before.files or files == before.files:
            return before.names, graphs.update(before.graph, changed, before.names)
        came, went = files - before.files, before.files - files
        names = before.names.updated(came, went)
        affected = graphs.affected(before.graph, before.names, came, went)
        again = [notes[path] for path in affected if path in notes]
        return names, graphs.update(before.graph, [*again, *changed], names, gone=went)

    def _entries(self, workers: Workers, notes: Iterable[Note], snapshot: Snapshot) -> Iterator[list[Entry]]:
        """What the index keeps of these notes, batch by batch."""
        for batch in workers.chunked(_batches((note, note.size) for note in notes)):
            uncut = {one.note.path for one in batch if not one.chunks}
            self._uncut = (self._uncut | uncut) - {one.note.path for one in batch if one.chunks}
            yield [Entry(_row(one.note, snapshot), one.chunks) for one in batch]

    def _fill(self, stack: ExitStack, workers: Workers, snapshot: Snapshot) -> None:
        """Write a whole vault into the index; a disk that is full is done without."""
        notes, files = snapshot.notes.values(), self._listing.digest
        with stack, _no_collection():
            for _ in range(3):
                try:
                    self.index.fill(self._entries(workers, notes, snapshot), files)
                except sqlite3.DatabaseError as error:
                    self.index.rebuild(error)
                else:
                    return

    def text(self, path: str) -> tuple[Note, str]:
        """A note as it stands on disk now, and its text; when it changed since the snapshot, the fresh one of both.

        Raises:
            NoteGoneError: it cannot be read any more.
        """
        known = self.snapshot.notes.get(path)
        if known is None:
            raise NoteGoneError(path)
        try:
            data, status = self._reader.data(path)
        except OSError:
            raise NoteGoneError(path) from None
        if hashlib.sha256(data).hexdigest() == known.digest:
            return known, decode(data, known.length)[0]
        return self._reader.parsed(path, data, status)

    def stamp(self, path: str) -> tuple[int, int] | None:
        """Time stamp (nanoseconds) and size (bytes) of a file as it stands on disk now, None when it is not there."""
        try:
            status = os.stat(f"{self._reader.root}/{path}")  # noqa: PTH116 - a tenth of the time of a Path
        except (OSError, ValueError):
            return None
        return status.st_mtime_ns, status.st_size

    def rests_at(self, snapshot: Snapshot) -> bool:
        """Whether the vault is still at a snapshot and nothing is being read: then the index is of it, too."""
        return self.snapshot is snapshot and not self._lock.locked()

    def makes_private(self, text: str) -> bool:
        """Whether a note would be private if it had this text."""
        return parse(".md", text.encode("utf-8", "replace"), private_tags=self.options.private_tags).private

    def is_private_place(self, path: str) -> bool:
        """Whether what is written to a note comes to stand in a private one, whether it is there yet or not."""
        note = self.snapshot.notes.get(path)
        if note is not None:
            return note.private
        return any(path.startswith(folder.rstrip("/") + "/") for folder in self.options.private_folders)

    def data(self, path: str) -> bytes:
        """The bytes of a note as it stands on disk now, whether the snapshot knows it yet or not.

        Raises:
            NoteGoneError: it is not there, cannot be read, or is longer than what is read of a note.
        """
        try:
            data, status = self._reader.data(path)
        except OSError:
            raise NoteGoneError(path) from None
        if status.st_size > len(data):
            raise NoteGoneError(path)
        return data

    def search(self, asked: Asked, limit: int, paths: Iterable[str] | None = None) -> list[Hit]:
        """Chunks that fit what is asked, best first (see `Index.search`); waits until full text is there."""
        return self._looked(lambda: self.index.search(asked, limit, paths)) or []

    def holding(self, phrases: Sequence[str], limit: int, *, stemmed: bool = False) -> list[list[int]]:
        """For each phrase the numbers of chunks that hold it (see `Index.holding`); waits until full text is there."""
        return self._looked(lambda: self.index.holding(phrases, limit, stemmed=stemmed)) or [[] for _ in phrases]

    def places(self, numbers: Iterable[int]) -> list[Hit]:
        """Chunks by their numbers; waits until full text is there."""
        return self._looked(lambda: self.index.places(numbers)) or []

    @property
    def state(self) -> str:
        """What searches depend on beside the notes (see `Index.state`); "" when it is not known at once."""
        return (self._looked(lambda: self.index.state) or "") if self.is_searchable else ""

    def settle(self) -> str:
        """The same once all words are in full text; waits until it is there."""
        return self._looked(self.index.settle) or ""

    @property
    def size(self) -> int:
        """How many chunks full text has."""
        return self.index.size

    def beginnings(self, paths: Iterable[str]) -> list[Hit]:
        """The first chunk of each of these notes; waits until full text is there."""
        return self._looked(lambda: self.index.beginnings(paths)) or []

    def chunk_at(self, path: str, offset: int) -> list[Hit]:
        """The chunk of a note at an offset (see `Index.chunk_at`); waits until full text is there."""
        return self._looked(lambda: self.index.chunk_at(path, offset)) or []

    def chunks_at(self, places: Iterable[tuple[str, int]]) -> list[Hit]:
        """The chunks that begin at offsets of notes (see `Index.chunks_at`); waits until full text is there."""
        return self._looked(lambda: self.index.chunks_at(places)) or []

    def frequency(self, word: str) -> float:
        """In which part of all chunks a word stands, in 0..1; waits until full text is there."""
        return self._looked(lambda: self.index.frequency(word)) or 0.0

    def _looked(self, look: Callable[[], _T]) -> _T | None:
        """What the index gives; a damaged one is built again and gives nothing this once."""
        self._filled()
        try:
            return look()
        except sqlite3.DatabaseError as error:
            with self._lock:
                self._anew(error)
            return None


def _racing(paths: Iterable[str], notes: Mapping[str, Note]) -> set[str]:
    """Of notes that were just read, those written so lately that a write right now might leave the same time stamp."""
    now = time.time_ns()
    return {path for path in paths if path in notes and abs(now - notes[path].mtime_ns) < _RACY_NS}


def _differing(
    now: Mapping[str, tuple[int, int]], before: Mapping[str, tuple[int, int]], paths: AbstractSet[str] | None
) -> list[str]:
    """Which files of both are others by now, when no others than some paths can be."""
    if now is before or now == before:
        return []
    return [path for path in (now if paths is None else paths) if path in before and now.get(path) != before[path]]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from looking at many new objects over and over: it doubles the time they take."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _row(note: Note, snapshot: Snapshot) -> Row:
    return Row(note, snapshot.graph.packed(note.path), snapshot.changed_at.get(note.path, 0.0))


def _batches(sized: Iterable[tuple[_T, int]]) -> Iterator[list[_T]]:
    """Things, given with their sizes in bytes, in lists of like size."""
    batch: list[_T] = []
    total = 0
    for thing, size in sized:
        batch.append(thing)
        total += size
        if len(batch) >= _BATCH_NOTES or total >= _BATCH_BYTES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _same_edges(path: str, one: Graph, other: Graph) -> bool:
    return one.out.get(path) == other.out.get(path) and one.unresolved.get(path) == other.unresolved.get(path)
