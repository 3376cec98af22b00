"""Unified diffs of notes: of an edit by its hunks, of two texts by their lines."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import accumulate
from typing import NamedTuple

from commands.edits import Hunk, splice

_CONTEXT = 3
# Of more lines than this, those that come very often are not compared: it would take the square of their number.
_MANY_LINES = 2000
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_NO_END = "\n\\ No newline at end of file\n"


class _Part(NamedTuple):
    """Lines `start:end` of the old text, and what stands there in the new one."""

    start: int
    end: int
    new: list[bytes]


def of_hunks(path: str, before: bytes | None, hunks: Iterable[Hunk]) -> str:
    """What hunks do to a note. They say what they change, so that nothing is guessed and the time is linear.

    Args:
        path: of the note.
        before: the bytes the hunks are for; None for a note that is made.
        hunks: of one change.

    Raises:
        commands.edits.StaleError: they are for other bytes.
    """
    data = before or b""
    lines = _LINE.findall(data)
    starts = [0, *accumulate(map(len, lines))]
    parts: list[_Part] = []
    for first, end, group in _regions(starts, sorted(hunks, key=lambda hunk: (hunk.start, hunk.end))):
        begin = starts[first]
        moved = [replace(hunk, start=hunk.start - begin, end=hunk.end - begin) for hunk in group]
        new = _LINE.findall(splice(data[begin : starts[end]], moved))
        parts += (_Part(first + one.start, first + one.end, one.new) for one in _compared(lines[first:end], new))
    return _written(path, before is None, False, lines, parts)


def of_texts(path: str, before: str | None, after: str | None) -> str:
    """What tells two texts apart, line by line; None is a note that is not there."""
    old, new = (_LINE.findall((text or "").encode("utf-8", "replace")) for text in (before, after))
    return _written(path, before is None, after is None, old, _compared(old, new))


def of_strays(path: str, hunks: Iterable[Hunk]) -> str:
    """Hunks whose place in the note is not known any more: their own lines alone."""
    found = _heads(path, False, False)
    for hunk in hunks:
        old, new = (_LINE.findall(text.encode("utf-8", "replace")) for text in (hunk.old, hunk.new))
        found += [f"@@ {hunk.id}: the note changed since @@\n", *_marked("-", old), *_marked("+", new)]
    return "".join(found)


def _regions(starts: Sequence[int], hunks: Iterable[Hunk]) -> Iterator[tuple[int, int, list[Hunk]]]:
    """The lines that hunks reach into, as first and end, with the hunks of each such place."""
    total = len(starts) - 1

    def line(at: int) -> int:
        # What is put in at the end counts to the last line, which may have no end of its own.
        return max(0, min(bisect_right(starts, at), total) - 1)

    first = end = 0
    group: list[Hunk] = []
    for hunk in hunks:
        begin, stop = line(hunk.start), min(line(hunk.end) + 1, total)
        if group and begin >= end and begin > first:
            yield first, end, group
            group = []
        first = first if group else begin
        end = max(end, stop)
        group.append(hunk)
    if group:
        yield first, end, group


def _compared(old: Sequence[bytes], new: Sequence[bytes]) -> list[_Part]:
    least = min(len(old), len(new))
    head = next((n for n in range(least) if old[n] != new[n]), least)
    tail = next((n for n in range(least - head) if old[-1 - n] != new[-1 - n]), least - head)
    mine, yours = old[head : len(old) - tail], new[head : len(new) - tail]
    codes = SequenceMatcher(None, mine, yours, autojunk=len(yours) > _MANY_LINES).get_opcodes()
    return [_Part(head + a, head + b, list(yours[c:d])) for tag, a, b, c, d in codes if tag != "equal"]


def _written(path: str, made: bool, gone: bool, lines: Sequence[bytes], parts: Sequence[_Part]) -> str:
    found = _heads(path, made, gone) if parts or made != gone else []
    shift = 0
    for group in _groups(parts):
        low, high = max(0, group[0].start - _CONTEXT), min(len(lines), group[-1].end + _CONTEXT)
        body: list[str] = []
        at = low
        for part in group:
            body += _marked(" ", lines[at : part.start])
            body += _marked("-", lines[part.start : part.end])
            body += _marked("+", part.new)
            at = part.end
        body += _marked(" ", lines[at:high])
        more = sum(len(part.new) - (part.end - part.start) for part in group)
        found.append(f"@@ -{_range(low, high - low)} +{_range(low + shift, high - low + more)} @@\n")
        found += body
        shift += more
    return "".join(found)


def _groups(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    """Parts that are near enough to each other to share their context."""
    group: list[_Part] = []
    for part in parts:
        if group and part.start - group[-1].end > 2 * _CONTEXT:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _heads(path: str, made: bool, gone: bool) -> list[str]:
    # A tab after a name with a blank, as git has it: other readers end the name at the blank.
    name = path + "\t" * (" " in path)
    return [f"--- {'/dev/null' if made else 'a/' + name}\n", f"+++ {'/dev/null' if gone else 'b/' + name}\n"]


def _marked(mark: str, lines: Iterable[bytes]) -> list[str]:
    texts = (line.decode("utf-8", "replace") for line in lines)
    return [f"{mark}{text}" if text.endswith("\n") else f"{mark}{text}{_NO_END}" for text in texts]


def _range(start: int, count: int) -> str:
    return f"{start + (count > 0)},{count}"
