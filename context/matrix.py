"""A matrix of vectors in memory, one row for each chunk of each note: which rows point where a vector points."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from context.note import Note

# Rows of one segment. A segment never moves, so that a search needs no lock while a note is replaced.
_SEGMENT = 16384
# Rows that are multiplied at once: as floats they fit the cache of a core (measured: 256 before 1,024 and 4,096).
_BLOCK = 256
# Dead rows are given back once they are more than this share of all.
_DEAD_SHARE = 0.25
# A search over fewer notes than this share looks at their rows alone.
_FEW_SHARE = 0.1
_NOBODY = -1

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Places = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk, where it stands in its note, in characters, and the cosine of its vector with the one asked for."""

    path: str
    start: int
    stop: int
    cosine: float


class _Segment:
    """Some rows: vectors as whole numbers with a scale each, whose they are, and where the chunk stands."""

    def __init__(self, width: int, rows: int) -> None:
        self.data = np.zeros((rows, width), np.int8)
        self.scale = np.zeros(rows, np.float32)
        self.owner = np.full(rows, _NOBODY, np.int32)
        self.start = np.zeros(rows, np.uint32)
        self.stop = np.zeros(rows, np.uint32)
        self.used = 0

    def cosines(self, vector: Floats, rows: int) -> Floats:
        """The cosine of each of the first rows with a vector of length 1."""
        found = np.empty(rows, np.float32)
        floats = np.empty((min(_BLOCK, rows), len(vector)), np.float32)
        for first in range(0, rows, _BLOCK):
            last = min(first + _BLOCK, rows)
            block = floats[: last - first]
            np.copyto(block, self.data[first:last], casting="unsafe")
            np.dot(block, vector, out=found[first:last])
        found *= self.scale[:rows]
        return found

    def some(self, vector: Floats, rows: NDArray[np.intp]) -> Floats:
        """The cosine of each of some rows with a vector of length 1."""
        found: Floats = (self.data[rows].astype(np.float32) @ vector) * self.scale[rows]
        return found


@dataclass(slots=True)
class _Block:
    """The rows of a note, in one segment, one after the other.

    Attributes:
        owner: number of the note.
        digest: of the note's bytes.
        left: chunks whose vector is still to come.
    """

    owner: int
    digest: str
    segment: _Segment
    first: int
    count: int
    left: int


class Matrix:
    """Vectors of the chunks of notes. All methods may be called from any thread.

    A vector is kept in one byte a number, the largest of the row as 127. At 384 numbers that changes a cosine by 0.0003
    on average and by less than 0.002.

    Args:
        width: numbers of a vector.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._lock = threading.Lock()
        self._segments: list[_Segment] = []
        self._names: list[str] = []  # by the number of a note; "" once it is gone
        self._blocks: dict[str, _Block] = {}
        self._rows = self._dead = self._left = self._whole = 0

    @property
    def rows(self) -> int:
        """Chunks it holds, with their vector or waiting for it."""
        return self._rows

    @property
    def left(self) -> int:
        """Chunks that wait for their vector."""
        return self._left

    @property
    def whole(self) -> int:
        """Notes of which every chunk has its vector."""
        return self._whole

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(one.used for one in self._segments) * (self.width + 16)

    def digest(self, path: str) -> str:
        """The digest of the note that its rows were made from, "" for a note without rows."""
        block = self._blocks.get(path)
        return block.digest if block else ""

    def is_whole(self, path: str) -> bool:
        """Whether every chunk of a note has its vector."""
        block = self._blocks.get(path)
        return block is not None and not block.left

    def put(self, notes: Sequence[tuple[str, str, int]], places: Places, vectors: Floats, there: Flags) -> None:
        """Take the chunks of notes in the place of those from before.

        Args:
            notes: path of each, the digest of its bytes, and how many chunks it has.
            places: where each chunk of the first note begins and ends, then of the next (chunks, 2).
            vectors: of all these chunks, of length 1 (chunks, width).
            there: whether each has its vector, or it is still to come (chunks,).
        """
        with self._lock:
            for path, _, _ in notes:
                self._drop(path)
            segment = self._room(len(places))
            first, last = segment.used, segment.used + len(places)
            segment.start[first:last], segment.stop[first:last] = places.T
            segment.data[first:last], segment.scale[first:last] = _packed(vectors)
            counts = [count for *_, count in notes]
            owners = np.repeat(np.arange(len(self._names), len(self._names) + len(notes), dtype=np.int32), counts)
            segment.owner[first:last] = np.where(there, owners, _NOBODY)
            missing: Sequence[int] = (
                np.add.reduceat(np.append(~there, False), np.cumsum([0, *counts])[:-1]).tolist() if notes else []
            )
            for (path, digest, count), left in zip(notes, missing, strict=True):
                block = _Block(len(self._names), digest, segment, segment.used, count, left if count else 0)
                self._names.append(path)
                self._blocks[path] = block
                segment.used += count
                self._rows += count
                self._left += block.left
                self._whole += not block.left

    def fill(self, path: str, digest: str, chunk: int, vector: Floats) -> None:
        """Take a vector that was still to come; nothing for a note that changed meanwhile.

        Args:
            path: of the note.
            digest: of its bytes when it was cut into chunks.
            chunk: its number in the note, from 0.
            vector: of length 1.
        """
        with self._lock:
            block = self._blocks.get(path)
            if block is None or block.digest != digest:
                return
            row = block.first + chunk
            if block.segment.owner[row] == _NOBODY:
                (block.segment.data[row],), (block.segment.scale[row],) = _packed(vector[np.newaxis])
                block.segment.owner[row] = block.owner  # last: from now on a search sees it
                block.left -= 1
                self._left -= 1
                self._whole += not block.left

    def drop(self, path: str) -> None:
        """Forget a note."""
        with self._lock:
            self._drop(path)
            if self._dead > _SEGMENT and self._dead > _DEAD_SHARE * (self._dead + self._rows):
                self._pack()

    def _room(self, count: int) -> _Segment:
        """A segment with room for so many more rows."""
        if not self._segments or self._segments[-1].used + count > len(self._segments[-1].data):
            if self._segments:  # what stays empty at its end counts as dead
                last = self._segments[-1]
                self._dead += len(last.data) - last.used
            self._segments.append(_Segment(self.width, max(_SEGMENT, count)))
        return self._segments[-1]

    def _drop(self, path: str) -> None:
        block = self._blocks.pop(path, None)
        if block is not None:
            block.segment.owner[block.first : block.first + block.count] = _NOBODY
            self._names[block.owner] = ""
            self._dead += block.count
            self._rows -= block.count
            self._left -= block.left
            self._whole -= not block.left

    def _pack(self) -> None:
        """Move all rows together. A search under way goes on in the segments it began with."""
        self._segments, self._names, self._dead = [], [], 0
        blocks: dict[str, _Block] = {}
        for path, old in self._blocks.items():
            new = self._room(old.count)
            here, there = slice(new.used, new.used + old.count), slice(old.first, old.first + old.count)
            for name in ("data", "scale", "start", "stop"):
                getattr(new, name)[here] = getattr(old.segment, name)[there]
            filled = old.segment.owner[there] != _NOBODY
            new.owner[here] = np.where(filled, len(self._names), _NOBODY)
            blocks[path] = _Block(len(self._names), old.digest, new, new.used, old.count, old.left)
            self._names.append(path)
            new.used += old.count
        self._blocks = blocks

    def nearest(self, vector: Floats, limit: int, notes: Mapping[str, Note]) -> list[Row]:
        """The chunks whose vectors point most nearly where one points, nearest first. Every row is looked at.

        Args:
            vector: of length 1.
            limit: how many at most.
            notes: those that count, by path, in the version that a place must be of.
        """
        with self._lock:
            few = len(notes) < _FEW_SHARE * len(self._blocks)
            parts = self._parts(notes) if few else [(one, None, one.used) for one in self._segments]
            names = self._names
        scores: list[Floats] = []
        for segment, rows, used in parts:
            if rows is None:
                found, owners = segment.cosines(vector, used), segment.owner[:used]
            else:
                found = segment.some(vector, rows)
                owners = segment.owner[rows]
            scores.append(np.where(owners == _NOBODY, np.float32(-2.0), found))
        if not scores:
            return []
        every = np.concatenate(scores)
        ends = np.cumsum([len(one) for one in scores])
        wanted = limit
        while True:
            best = _best(every, wanted)
            rows_found: list[Row] = []
            for place in best:
                if every[place] < -1.5 or len(rows_found) == limit:
                    break
                part = int(np.searchsorted(ends, place, side="right"))
                segment, rows, used = parts[part]
                row = int(place - (ends[part] - len(scores[part])))
                row = row if rows is None else int(rows[row])
                if found_row := self._row(segment, row, names, notes, float(every[place])):
                    rows_found.append(found_row)
            if len(rows_found) == limit or wanted >= len(every):
                return rows_found
            wanted *= 8  # what is nearer lies outside of the notes that count

    def _parts(self, notes: Iterable[str]) -> "list[tuple[_Segment, NDArray[np.intp] | None, int]]":
        """The rows of some notes, segment by segment."""
        found: dict[int, tuple[_Segment, list[NDArray[np.intp]]]] = {}
        for path in notes:
            block = self._blocks.get(path)
            if block is not None and block.count:
                rows = np.arange(block.first, block.first + block.count)
                found.setdefault(id(block.segment), (block.segment, []))[1].append(rows)
        return [(segment, np.concatenate(rows), segment.used) for segment, rows in found.values()]

    def _row(
        self, segment: _Segment, row: int, names: list[str], notes: Mapping[str, Note], cosine: float
    ) -> Row | None:
        """What a row is of; None if that changed meanwhile or does not count."""
        owner = int(segment.owner[row])
        path = names[owner] if owner != _NOBODY else ""
        if not path or path not in notes or self.digest(path) != notes[path].digest:
            return None
        return Row(path, int(segment.start[row]), int(segment.stop[row]), cosine)

    def cosines(
        self, vector: Floats, places: Sequence[tuple[str, int, int]], notes: Mapping[str, Note]
    ) -> list[float | None]:
        """The cosine of each of some chunks; None for one that has no vector, or is not cut so.

        Args:
            vector: of length 1.
            places: path, start and stop of each.
            notes: those that count, as for `nearest`.
        """
        found: list[float | None] = [None] * len(places)
        with self._lock:
            rows: dict[int, tuple[_Segment, list[int], list[int]]] = {}
            for at, (path, start, stop) in enumerate(places):
                block, note = self._blocks.get(path), notes.get(path)
                if block is None or note is None or note.digest != block.digest:
                    continue
                segment = block.segment
                for row in range(block.first, block.first + block.count):
                    if segment.start[row] == start and segment.stop[row] == stop and segment.owner[row] != _NOBODY:
                        _, these, ats = rows.setdefault(id(segment), (segment, [], []))
                        these.append(row)
                        ats.append(at)
                        break
            for segment, these, ats in rows.values():
                for at, cosine in zip(ats, segment.some(vector, np.array(these)).tolist(), strict=True):
                    found[at] = cosine
        return found


def _packed(vectors: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Vectors in one byte a number, and the scale of each."""
    largest = np.abs(vectors).max(axis=1, initial=1e-6)
    return np.rint(vectors * (127 / largest)[:, np.newaxis]).astype(np.int8), largest / 127


def _best(scores: Floats, count: int) -> NDArray[np.intp]:
    """Places of the highest scores, highest first; the order of equal ones is always the same."""
    if count < len(scores):
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        some = np.flatnonzero(scores >= least)
    else:
        some = np.arange(len(scores))
    return some[np.argsort(-scores[some], kind="stable")]
