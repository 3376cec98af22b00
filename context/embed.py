"""Likeness of meaning: the vectors of all chunks, kept fresh in the background, and what is near to a question."""

import hashlib
import logging
import secrets
import sqlite3
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from context.breaker import Breaker
from context.chunk import Chunk, chunks
from context.index import SCHEMA as INDEX_SCHEMA
from context.matrix import Floats, Matrix, Row
from context.note import Note
from context.vault import NoteGoneError, Vault
from context.vector_file import Foreign, VectorFile, is_damage

__all__ = ["Embedder", "EmbedderAwayError", "Likeness", "Row", "Vectors"]

# Raised when another text of a chunk is embedded: notes are then looked at again.
_TEXT = 1
# A batch of texts takes about so long, in seconds: a question that comes meanwhile waits no longer.
_BATCH_SECONDS = 0.1
_MOST_TEXTS = 64
# Texts that wait in memory, at most; the notes of others are read again.
_MOST_WORK = 1000
# How often to look whether the vault changed, in seconds, beside being told.
_LOOK_SECONDS = 1.0
# Seconds until an embedder that is away is asked again: the first time, and at most.
_PAUSE_SECONDS, _LONGEST_PAUSE = 1.0, 60.0
# Seconds that a question outside of a service waits at most until what is known is loaded.
_LOAD_SECONDS = 10.0
# Seconds until a text that was refused is tried again.
_REFUSED_SECONDS = 600.0
# With more texts refused one after the other, nothing is asked for a while.
_MANY_REFUSALS = 3
# What no note needs any more is forgotten so many seconds after the last change: a note that moves goes and comes.
_SWEEP_SECONDS = 60.0
# Seconds for which questions are not embedded after one was not answered in time.
_QUIET_SECONDS = 5.0
_KEPT_QUESTIONS = 64
# Chunks that are read at once at the start.
_LOAD_CHUNKS = 512
# What is kept of a chunk: where it begins and ends, and the key of its vector.
_KEY_BYTES = 16
_PLACE = np.dtype([("place", "<u4", 2), ("key", f"V{_KEY_BYTES}")])


class _RefusedError(Exception):
    """These texts cannot be embedded, others may."""


class EmbedderAwayError(Exception):
    """The embedder cannot be asked now, whatever the text. The message says why and holds none of it."""


@dataclass(frozen=True, slots=True)
class Embedder:
    """How texts become vectors.

    Attributes:
        id: equal when and only when the vectors of texts are; stands in keys.
        name: of the model, for people.
        embed: (texts, whether they are questions) → one vector of length 1 for each, later; may be called from any
            thread, and what it gives may be cancelled. Fails with `EmbedderAwayError`, or with any other error when it
            may lie in the texts.
        sees_private: whether private notes may be embedded.
        deadline_seconds: how long a question waits for its vector.
    """

    id: str
    name: str
    embed: Callable[[Sequence[str], bool], "Future[list[list[float]]]"]
    sees_private: bool = True
    deadline_seconds: float = 0.3


@dataclass(frozen=True, slots=True)
class Likeness:
    """How near the chunks of some notes are to a question in meaning, as cosines from -1 to 1.

    Attributes:
        notes: those that count, by path. A chunk of a note that has changed since it was embedded has no cosine.
    """

    notes: Mapping[str, Note]
    _matrix: Matrix
    _vector: Floats

    def nearest(self, limit: int) -> list[Row]:
        """The nearest chunks, nearest first: exact, every one is looked at."""
        return self._matrix.nearest(self._vector, limit, self.notes)

    def cosines(self, places: Sequence[tuple[str, int, int]]) -> list[float | None]:
        """The cosine of each of some chunks (path, start, stop); None for one that has no vector."""
        return self._matrix.cosines(self._vector, places, self.notes)


@dataclass(frozen=True, slots=True)
class _Missing:
    """A chunk whose vector is still to come: its note, its number in it, and what is embedded."""

    path: str
    digest: str
    number: int
    key: bytes
    text: str


@dataclass(frozen=True)
class _Cut:
    """A note as it was cut: its path, the digest of its bytes, and its chunks, packed as `_PLACE` says."""

    path: str
    digest: str
    packed: bytes

    @cached_property
    def keys(self) -> list[bytes]:
        """Of the vectors of its chunks."""
        size = _PLACE.itemsize
        return [self.packed[at - _KEY_BYTES : at] for at in range(size, len(self.packed) + 1, size)]


class Vectors:
    """The vectors of a vault's chunks. A thread of its own keeps them fresh; nobody waits for it.

    Args:
        vault: the notes.
        embedder: makes the vectors.
        path: the file they are kept in; None keeps them in memory.
        fill: whether to embed what has no vector yet; for a service. What is known is used either way.
    """

    def __init__(self, vault: Vault, embedder: Embedder, path: Path | None, *, fill: bool = True) -> None:
        self.embedder = embedder
        self._vault = vault
        self._path = path
        self._fill = fill
        self._matrix: Matrix | None = None
        self._file: VectorFile | None = None
        self._seen: Mapping[str, Note] = {}  # the notes that all below is about
        self._todo: OrderedDict[str, None] = OrderedDict()  # notes to look at
        self._work: deque[_Missing] = deque()  # of notes that were looked at, what to embed
        self._looked: list[_Cut] = []  # these notes, to be kept
        self._refused: dict[str, float] = {}  # note with a text that was refused → when to try it again
        self._batch = 4
        self._pause = 0.0
        self._refusals = 0
        self._changed_at = 0.0
        self._swept = False
        self._revision = 0
        self._nonce = secrets.token_hex(4)
        self._last_fault = self._unkept = ""  # of the embedder, until it answers again; and of the file
        self._asked: OrderedDict[str, Future[list[list[float]]]] = OrderedDict()
        self._asking = threading.Lock()
        self._breaker = Breaker(_QUIET_SECONDS)
        self._under_way: Future[list[list[float]]] | None = None
        self._loaded, self._wake, self._stopping = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="vault-vectors", daemon=True)
        self._thread.start()

    def like(self, text: str, notes: Mapping[str, Note]) -> Likeness | None:
        """How near the chunks of these notes are to a question; None when its vector did not come in time.

        Waits at most for the embedder's deadline, in all; where nothing is filled, also until what is known is loaded.
        What comes too late is there for the next time.
        """
        if not self._loaded.wait(self.embedder.deadline_seconds if self._fill else _LOAD_SECONDS):
            return None
        until = time.monotonic() + self.embedder.deadline_seconds
        vector, matrix = self._vector_of(text, until), self._matrix
        if vector is None or matrix is None or len(vector) != matrix.width:
            return None
        return Likeness(notes, matrix, vector)

    @property
    def mark(self) -> str:
        """Stands in the keys of what was made with these vectors: never the same for two states of them.

        While vectors are missing it is another one at each start, so that nothing made then is kept for longer.
        """
        return self.embedder.id if self.is_complete else f"{self.embedder.id} {self._nonce} {self._revision}"

    @property
    def is_complete(self) -> bool:
        """Whether every chunk of the vault as it is now has its vector."""
        matrix = self._matrix
        behind = self._todo or self._work or self._refused or (matrix is not None and matrix.left)
        return self._loaded.is_set() and self._vault.snapshot.notes is self._seen and not behind

    def wake(self) -> None:
        """The vault has changed."""
        self._wake.set()

    def status(self) -> dict[str, Any]:
        """How far it has come, for people: counts, and the last fault."""
        matrix = self._matrix
        total = sum(map(self._counts, list(self._vault.snapshot.notes.values())))
        return {
            "model": self.embedder.name,
            "state": self._state(),
            "notes": {"embedded": matrix.whole if matrix else 0, "total": total},
            "chunks": {"embedded": matrix.rows - matrix.left if matrix else 0, "known": matrix.rows if matrix else 0},
            "bytes": matrix.nbytes if matrix else 0,
            "last_fault": self._last_fault or self._unkept,
        }

    def _state(self) -> str:
        if not self._loaded.is_set():
            return "loading"
        if self.is_complete:
            return "ready"
        return "waiting" if self._pause or not self._fill else "embedding"

    def close(self) -> None:
        """Stop, breaking off what is under way; returns once the file is closed."""
        self._stopping.set()
        self._wake.set()
        with self._asking:
            futures = [*self._asked.values(), self._under_way]
        for future in futures:
            if future is not None:
                future.cancel()
        self._thread.join(5.0)

    # --- questions

    def _vector_of(self, text: str, until: float) -> Floats | None:
        try:
            with self._asking:
                asked = self._asked.get(text)
                if asked is None or _has_failed(asked):
                    if not self._breaker.allows():
                        return None
                    asked = self._asked[text] = self.embedder.embed([text], True)
                    asked.add_done_callback(self._answered)
                self._asked.move_to_end(text)
                while len(self._asked) > _KEPT_QUESTIONS:
                    self._asked.popitem(last=False)
            return _floats(asked.result(max(0.0, until - time.monotonic()))[0])
        except TimeoutError:
            self._last_fault = f"a question was not embedded within {self.embedder.deadline_seconds:g} s"
        except Exception as error:  # noqa: BLE001 - whatever an embedder does, search goes on without
            self._last_fault = _told(error)
        self._breaker.failure()
        return None

    def _answered(self, future: "Future[list[list[float]]]") -> None:
        """A question was embedded, in time or not: the next one may be asked."""
        if not _has_failed(future):
            self._breaker.success()
            self._is_back()

    def _is_back(self) -> None:
        """The embedder has answered: what was wrong before is over, but for texts that it refused."""
        if not self._refused:
            self._last_fault = ""

    # --- the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            busy = False
            try:
                if self._file is None:
                    self._load()
                self._follow()
                self._loaded.set()
                busy = self._fill and self._step()
            except sqlite3.DatabaseError as error:
                self._mend(error)
                continue
            except Exception:
                logging.getLogger("knowledge_os").exception("vectors could not be brought up to date; trying again")
                self._fault("see the log")
            if not busy:
                self._wake.wait(self._pause or _LOOK_SECONDS)
                self._wake.clear()
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._keep({})
                self._file.close()

    def _mend(self, error: sqlite3.DatabaseError) -> None:
        """Go on after a fault of the file: a damaged one is made again; without any, all lives in memory."""
        logging.getLogger("knowledge_os").warning("the file of vectors cannot be used (%s)", type(error).__name__)
        if self._file is not None:
            self._file.rebuild(error)
        self._matrix, self._seen = None, {}
        for kept in (self._todo, self._work, self._looked, self._refused):
            kept.clear()
        self._changed()

    def _fault(self, told: str) -> None:
        """Something failed: leave it alone for a while, the longer the more often it does."""
        self._last_fault = told
        self._pause = min(max(_PAUSE_SECONDS, 2 * self._pause), _LONGEST_PAUSE)

    def _changed(self) -> None:
        self._revision += 1
        self._changed_at = time.monotonic()
        self._swept = False

    def _load(self) -> None:
        """Take what is known of notes that are as they were."""
        version = f"{INDEX_SCHEMA}.{_TEXT}"
        self._file = file = VectorFile(self._path, embedder=self.embedder.id, chunks=version)
        if not (width := file.width()):
            return
        self._matrix = Matrix(width)
        notes = self._vault.snapshot.notes
        gone: list[str] = []
        cuts: list[_Cut] = []
        size = 0
        for path, digest, packed in file.notes():
            note = notes.get(path)
            if note is not None and note.digest == digest and self._counts(note):
                cuts.append(_Cut(path, digest, packed))
                size += len(packed)
            else:
                gone.append(path)
            if size >= _LOAD_CHUNKS * _PLACE.itemsize:
                self._put(cuts)
                cuts, size = [], 0
            if self._stopping.is_set():
                return
        self._put(cuts)
        file.drop(gone)

    def _counts(self, note: Note) -> bool:
        """Whether a note is embedded: it can be quoted, and the embedder may see it."""
        return note.is_text and (self.embedder.sees_private or not note.private)

    def _follow(self) -> None:
        """Go from the notes seen last to those of now: forget what is gone, see what is to be looked at."""
        before, notes = self._seen, self._vault.snapshot.notes
        if notes is before:
            return
        gone = [path for path in before if path not in notes]
        fresh: list[Note] = []
        for path, note in notes.items():
            if before.get(path) is note:
                continue
            known = self._matrix.digest(path) if self._matrix is not None else ""
            if not self._counts(note):
                gone += [path] if known else []
            elif known and known != note.digest:
                # An edit: most of its chunks have their vectors, and need not wait for an embedder that is away.
                self._edited(note)
            elif not known or (self._matrix is not None and not self._matrix.is_whole(path)):
                fresh.append(note)
        if gone:
            self._drop(gone)
        fresh.sort(key=lambda note: -note.mtime_ns)  # people ask for what they wrote last
        self._todo.update(dict.fromkeys(note.path for note in fresh))
        self._seen = notes
        self._keep({})

    def _edited(self, note: Note) -> None:
        missing = self._look(note)
        if missing and len(self._work) < _MOST_WORK:
            self._work += missing
        elif missing:
            self._todo[note.path] = None

    def _drop(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._todo.pop(path, None)
            self._refused.pop(path, None)
            if self._matrix is not None:
                self._matrix.drop(path)
        if self._file is not None:
            self._write(lambda file: file.drop(paths))
        self._changed()

    def _look(self, note: Note) -> list[_Missing]:
        """Cut a note, hand what is known of it to the matrix, and say what is missing; nothing if it changed again."""
        try:
            read, text = self._vault.text(note.path)
        except NoteGoneError:
            return []
        if read.digest != note.digest:
            return []
        cut = chunks(note, text)
        texts = [text_of(note, text, one) for one in cut]
        keys = [self._key(one) for one in texts]
        rows = [((one.start, one.stop), key) for one, key in zip(cut, keys, strict=True)]
        looked = _Cut(note.path, note.digest, np.array(rows, _PLACE).tobytes())
        self._looked.append(looked)
        missing = self._put([looked])
        return [_Missing(note.path, note.digest, number, keys[number], texts[number]) for number in missing]

    def _key(self, text: str) -> bytes:
        name = f"{self.embedder.id}\0{text}".encode("utf-8", "replace")
        return hashlib.blake2b(name, digest_size=_KEY_BYTES).digest()

    def _put(self, cuts: Sequence[_Cut]) -> list[int]:
        """Hand notes to the matrix with the vectors that are known; the numbers of chunks of which none is."""
        if self._matrix is None or not cuts:
            return []
        keys = [key for cut in cuts for key in cut.keys]
        known = self._known(keys)
        there = np.array([key in known for key in keys], np.bool_)
        vectors = np.zeros((len(keys), self._matrix.width), np.float32)
        if known:
            vectors[there] = np.stack([known[key] for key in keys if key in known])
        places = np.frombuffer(b"".join(cut.packed for cut in cuts), _PLACE)["place"].reshape(-1, 2)
        self._matrix.put([(one.path, one.digest, len(one.keys)) for one in cuts], places, vectors, there)
        self._changed()
        return [int(number) for number in np.flatnonzero(~there)]

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """The vectors that the file holds for some keys; what is no vector is made again."""
        if self._file is None or self._matrix is None:
            return {}
        size = 2 * self._matrix.width
        found = {key: data for key, data in self._file.known(keys).items() if len(data) == size}
        vectors = np.frombuffer(b"".join(found.values()), np.float16).astype(np.float32)
        return dict(zip(found, vectors.reshape(-1, self._matrix.width), strict=True))

    def _step(self) -> bool:
        """Embed one batch; whether there was anything to do."""
        now = time.monotonic()
        for path in [path for path, at in self._refused.items() if at <= now]:
            del self._refused[path]
            self._todo[path] = None
        if self._matrix is None and self._todo:
            return self._begin()
        while self._todo and len(self._work) < self._batch:
            path = next(iter(self._todo))
            note = self._seen.get(path)
            self._work += self._look(note) if note is not None else []
            del self._todo[path]  # only now, so that it is never taken for done
        batch = [self._work.popleft() for _ in range(min(self._batch, len(self._work)))]
        batch = [one for one in batch if self._matrix is not None and self._matrix.digest(one.path) == one.digest]
        if not batch:
            self._keep({})
            return bool(self._todo or self._work) or self._sweep()
        return self._embedded(batch)

    def _begin(self) -> bool:
        """Learn how long vectors are, which nobody knows before the first one."""
        try:
            self._matrix = Matrix(len(self._ask(["."])[0]))
        except (EmbedderAwayError, _RefusedError) as error:
            self._fault(str(error))
            return False
        return True

    def _embedded(self, batch: list[_Missing]) -> bool:
        """Embed a batch and keep it; whether to go on at once."""
        known = self._known([one.key for one in batch])  # of a text that stands in another note too
        texts = {one.key: one.text for one in batch if one.key not in known}
        began = time.monotonic()
        try:
            found = self._ask(list(texts.values())) if texts else []
        except EmbedderAwayError as error:
            self._work.extendleft(reversed(batch))
            self._fault(str(error))
            return False
        except _RefusedError as error:
            return self._refuse(batch, error)
        seconds = time.monotonic() - began
        vectors = dict(zip(texts, found, strict=True))
        self._keep(vectors)
        for one in batch:
            vector = vectors.get(one.key, known.get(one.key))
            if self._matrix is not None and vector is not None:
                self._matrix.fill(one.path, one.digest, one.number, vector)
        self._changed()
        if texts:
            fits = int(len(texts) * _BATCH_SECONDS / max(seconds, 1e-3))
            self._batch = max(1, min(fits, 2 * self._batch, _MOST_TEXTS))
        return True

    def _refuse(self, batch: list[_Missing], error: _RefusedError) -> bool:
        """Try the texts of a refused batch one by one, and one refused alone later; whether to go on at once."""
        self._last_fault = str(error)
        if len(batch) > 1:
            self._work.extendleft(reversed(batch))
            self._batch = 1
            return True
        self._refused[batch[0].path] = time.monotonic() + _REFUSED_SECONDS
        self._refusals += 1
        if self._refusals > _MANY_REFUSALS:  # then it does not lie in the texts
            self._fault(str(error))
        return self._pause == 0.0

    def _ask(self, texts: list[str]) -> list[Floats]:
        """The vectors of texts.

        Raises:
            EmbedderAwayError: nothing can be embedded now.
            _RefusedError: these texts cannot.
            Foreign: the vectors are not as long as those before.
        """
        try:
            self._under_way = self.embedder.embed(texts, False)
            if self._stopping.is_set():
                self._under_way.cancel()
            found = [_floats(one) for one in self._under_way.result()]
        except EmbedderAwayError:
            raise
        except Exception as error:
            raise _RefusedError(_told(error)) from error
        finally:
            self._under_way = None
        if self._matrix is not None and any(len(one) != self._matrix.width for one in found):
            raise Foreign("the embedder is another one by now")
        self._pause, self._refusals = 0.0, 0
        self._is_back()
        return found

    def _keep(self, vectors: Mapping[bytes, Floats]) -> None:
        """Write vectors, and what was looked at; on a full disk they are kept in memory alone."""
        if vectors or self._looked:
            rows = [(key, vector.astype(np.float16).tobytes()) for key, vector in vectors.items()]
            notes, self._looked = [(one.path, one.digest, one.packed) for one in self._looked], []
            self._write(lambda file: file.keep(rows, notes))

    def _write(self, work: Callable[[VectorFile], None]) -> None:
        try:
            if self._file is not None:
                work(self._file)
                self._unkept = ""
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise
            self._unkept = f"vectors cannot be kept ({getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')})"

    def _sweep(self) -> bool:
        """Forget what no note needs any more, once nothing has changed for a while; never means that there is more."""
        still = time.monotonic() - self._changed_at > _SWEEP_SECONDS
        if still and not self._swept and not self._refused and self._file is not None:
            needed = {key for row in self._file.notes() for key in _Cut(*row).keys}
            self._write(lambda file: file.sweep(needed))
            self._swept = True
        return False


def text_of(note: Note, text: str, chunk: Chunk) -> str:
    """What is embedded of a chunk: names of the note, heading path, and its text; of an empty note its properties."""
    names = " ".join((note.title, *note.aliases))
    head = f"{names} > {chunk.heading}" if chunk.heading else names
    return f"{head}\n{text[chunk.start : chunk.stop].strip() or chunk.properties.strip()}"


def _floats(numbers: Sequence[float]) -> Floats:
    return np.array(numbers, np.float32)


def _has_failed(future: "Future[list[list[float]]]") -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)


def _told(error: BaseException) -> str:
    """What went wrong, in words that hold no note: others' messages may quote the text."""
    return str(error) if isinstance(error, EmbedderAwayError) else type(error).__name__
