"""Undoing an edit in a note that was written to since: three texts, one result, or both of them shown."""

from collections.abc import Sequence
from itertools import pairwise

from commands.lines import Block, matching


class ConflictError(ValueError):
    """What was written since the edit touches the same lines; nothing was changed.

    Attributes:
        path: the note.
        theirs: its text now; None when it is gone.
        ours: its text from before the edit.
        details: path and both texts, for programs.
    """

    code = "conflict"
    hint = "Both texts are shown: take over by hand what you want of the older one."

    def __init__(self, path: str, theirs: str | None, ours: str) -> None:
        super().__init__(f"{path} was changed where the edit had changed it")
        self.path = path
        self.theirs = theirs
        self.ours = ours
        self.details = {"conflict": {"path": path, "theirs": theirs, "ours": ours}}


def merge(path: str, base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """Carry the difference between `base` and `ours` over to `theirs`, line by line.

    Args:
        path: of the note, for the error.
        base: the text both came from (the note as the edit left it).
        ours: the text wanted (the note as it was before the edit).
        theirs: the text there is now.

    Raises:
        ConflictError: both changed the same lines, or lines side by side.
    """
    old, wanted, now = (text.splitlines(keepends=True) for text in (base, ours, theirs))
    conflict = ConflictError(path, theirs.decode("utf-8", "replace"), ours.decode("utf-8", "replace"))
    moved = matching(old, now)
    result = list(now)
    same = [Block(0, 0, 0), *matching(old, wanted)]
    for before, after in reversed(list(pairwise(same))):
        start, end, first, last = before.a + before.size, after.a, before.b + before.size, after.b
        if (start, first) == (end, last):
            continue
        place = _untouched(moved, start, end, len(old))
        if place is None:
            raise conflict
        result[place : place + end - start] = wanted[first:last]
    merged = b"".join(result)
    # A last line without its end must not run into one that was put after it.
    if any(not line.endswith((b"\n", b"\r")) for line in result[:-1]):
        raise conflict
    return merged


def _untouched(moved: Sequence[Block], start: int, end: int, total: int) -> int | None:
    """Where lines `start:end` of the base stand now, if they and the lines beside them are as they were."""
    low, high = max(0, start - 1), min(total, end + 1)
    for begin, now, size in moved:
        if begin <= low and high <= begin + size:
            return now + start - begin
    return None
