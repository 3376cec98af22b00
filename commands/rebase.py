"""Carries a change over to a note that was written in since: each hunk goes where its lines stand now."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from commands.edits import Change, Hunk, StaleError, digest, splice, utf16_units
from commands.lines import matching

_BOM = "\ufeff"
# A list item, or what is indented below one.
_ITEM = re.compile(rb"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]|[ \t]+\S")


def rebase(change: Change, base: bytes, now: bytes) -> Change:
    """The change as it fits the note of now.

    A hunk goes along with the lines that it touches, or that it stands behind. They must be what they were, and known
    again: by one of them that no other line is like, or by the lines right above and below. What is put behind a line
    goes behind the items of lists, too, that others put there meanwhile.

    Args:
        change: of a note that was there.
        base: the bytes it was made for.
        now: the bytes of the note as they are.

    Raises:
        StaleError: the lines of a hunk are others by now.
    """
    stale = StaleError(f"{change.path} was changed where the edit is to change it")
    try:
        now.decode()
    except UnicodeDecodeError:
        raise stale from None
    old, new = _Lines.of(base), _Lines.of(now)
    alone = {text for text, count in Counter(old.texts).items() if count == 1 and text.strip()}
    alone &= {text for text, count in Counter(new.texts).items() if count == 1}
    blocks = matching(old.texts, new.texts)
    hunks: list[Hunk] = []
    for hunk in change.hunks:
        if hunk.start == len(base) and base.endswith(b"\n") and now.endswith(b"\n"):  # a new section at the end
            hunks.append(_placed(hunk, len(now), len(now), now))
            continue
        first, last = old.touched(hunk.start, hunk.end)
        low, high = first, last + 1
        if alone.isdisjoint(old.texts[low:high]):
            low, high = max(0, low - 1), min(len(old.texts), high + 1)
        number = next((n for n, block in enumerate(blocks) if block.a <= low and high <= block.a + block.size), None)
        if number is None:
            raise stale
        block = blocks[number]
        moved = block.b - block.a
        start = new.starts[first + moved] + hunk.start - old.starts[first]
        end = new.starts[last + moved] + hunk.end - old.starts[last]
        if hunk.new.startswith(("\n", "\r\n")) and start == end == new.end_of(first + moved):
            # What was put there since was said before.
            start = end = new.end_of(new.list_to(first + moved, block.b + block.size, blocks[number + 1].b))
        if now[start:end] != hunk.old.encode():
            raise stale
        hunks.append(_placed(hunk, start, end, now))
    return Change(change.path, digest(now), tuple(hunks))


def _placed(hunk: Hunk, start: int, end: int, data: bytes) -> Hunk:
    start16 = utf16_units(data[:start].decode().removeprefix(_BOM))
    return replace(hunk, start=start, end=end, start16=start16, end16=start16 + utf16_units(hunk.old))


def inverse(change: Change, base: bytes) -> Change:
    """The change that takes a change back.

    Raises:
        StaleError: the change is not of these bytes.
    """
    after = splice(base, change.hunks)
    hunks: list[Hunk] = []
    moved = 0
    for hunk in change.hunks:
        start, put = hunk.start + moved, hunk.new
        moved += len(put.encode()) - (hunk.end - hunk.start)
        for end in ("\r\n", "\n"):
            # A line put behind another goes with its own end: then it matters no more what became of the other.
            if not hunk.old and put.startswith(end) and after[start + len(put.encode()) :].startswith(end.encode()):
                start, put = start + len(end), put[len(end) :] + end
                break
        turned = replace(hunk, old=put, new=hunk.old)
        hunks.append(_placed(turned, start, start + len(put.encode()), after))
    return Change(change.path, digest(after), tuple(hunks))


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines of a note without their ends, and where each begins, in bytes. The last one may be empty."""

    texts: Sequence[bytes]
    starts: Sequence[int]

    @classmethod
    def of(cls, data: bytes) -> "_Lines":
        whole = data.split(b"\n")
        starts = [0]
        for line in whole[:-1]:
            starts.append(starts[-1] + len(line) + 1)
        return cls([line.removesuffix(b"\r") for line in whole], starts)

    def end_of(self, line: int) -> int:
        """Where the words of a line end."""
        return self.starts[line] + len(self.texts[line])

    def list_to(self, line: int, begin: int, end: int) -> int:
        """The last list item right behind a line, of those among the lines `begin:end`; else the line itself."""
        while begin == line + 1 and begin < end and _ITEM.match(self.texts[begin]):
            line, begin = line + 1, begin + 1
        return line

    def touched(self, start: int, end: int) -> tuple[int, int]:
        """The first and last line that a range stands in; the end of a line belongs to it."""
        first = bisect_right(self.starts, start) - 1
        return first, max(first, bisect_right(self.starts, max(start, end - 1)) - 1)
