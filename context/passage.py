"""Passages: the quotable pieces of a note, cut at headings, then at blocks, then at lines."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from msgspec import Struct

from context.note import Note
from context.scan import heading_paths

# The longest passage, in tokens (seed of the design: "about 2K tokens per segment").
PASSAGE_TOKENS = 2000

_FENCE = re.compile(r"[ \t>]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)?(`{3,}|~{3,})")
_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]")


class _Limits(NamedTuple):
    """Tokens that stay together, and those of the longest single block."""

    pack: int
    block: int


class Piece(Struct, frozen=True):
    """A stretch of a note's text: `text[start:end]`, in characters.

    Attributes:
        heading: the heading path it stands under, () above all headings.
        partial: it was cut inside a fence, table, list item or callout that alone exceeds the limit.
    """

    heading: tuple[str, ...]
    start: int
    end: int
    partial: bool = False


def bytes4(text: str) -> int:
    """Tokens where no model says otherwise: ceil(UTF-8 bytes / 4)."""
    return -(-(len(text) if text.isascii() else len(text.encode("utf-8", "replace"))) // 4)


def cut(
    note: Note,
    text: str,
    *,
    limit: int = PASSAGE_TOKENS,
    count: Callable[[str], int] = bytes4,
    properties: bool = False,
    pack: int = 0,
) -> list[Piece]:
    """Cut a note into pieces of at most `limit` tokens.

    A note, or a heading with all below it, that fits stays whole; what does not is cut at its sub-headings, then
    between blocks, and only a single block above the limit is cut at its lines (one endless line at characters).
    Pieces cover every character but blank lines between them, in order and without overlap.

    Args:
        note: the note, parsed from `text`.
        text: its text.
        limit: tokens per piece by `count`.
        count: the token counter.
        properties: let the first piece begin with the frontmatter.
        pack: up to so many tokens stay together, where that is less than the limit: only a single block may be longer.
    """
    return list(pieces(note, text, limit=limit, count=count, properties=properties, pack=pack))


def pieces(
    note: Note,
    text: str,
    *,
    limit: int = PASSAGE_TOKENS,
    count: Callable[[str], int] = bytes4,
    properties: bool = False,
    pack: int = 0,
) -> Iterator[Piece]:
    """What `cut` gives, one by one: for those who need the first alone."""
    begin = 0 if properties else note.body
    spots = [(start, path) for start, path in heading_paths(note.headings) if start >= begin]
    return _section(text, begin, len(text), (), spots, _Limits(min(pack or limit, limit), limit), count)


def _section(
    text: str,
    start: int,
    end: int,
    heading: tuple[str, ...],
    spots: list[tuple[int, tuple[str, ...]]],
    limits: _Limits,
    count: Callable[[str], int],
) -> Iterator[Piece]:
    piece = _trim(text, start, end, heading)
    if piece is None:
        return
    if not _exceeds(text, piece.start, piece.end, limits.pack, count):
        yield piece
        return
    if not spots:
        yield from _blocks(text, piece, limits, count)
        return
    own = _trim(text, start, spots[0][0], heading)
    if own is not None:
        yield from _blocks(text, own, limits, count)
    # The highest headings inside: those whose path is no longer than any before them.
    depth = min(len(path) for _, path in spots)
    tops = [i for i, (_, path) in enumerate(spots) if len(path) == depth]
    if tops[0] > 0:  # deeper headings stand before the first of the highest: they are cut on their own
        tops = list(range(tops[0])) + tops
    for index, at in enumerate(tops):
        after = tops[index + 1] if index + 1 < len(tops) else len(spots)
        stop = spots[after][0] if after < len(spots) else end
        yield from _section(text, spots[at][0], stop, spots[at][1], spots[at + 1 : after], limits, count)


def _exceeds(text: str, start: int, end: int, limit: int, count: Callable[[str], int]) -> bool:
    """Whether a stretch has more tokens than the limit.

    A cheap bound first: no prose has tokens of 16 characters on average, so a very long stretch need not be counted.
    An endless line would otherwise be counted to its end for each piece that is cut off it.
    """
    return end - start > 16 * limit or count(text[start:end]) > limit


def _trim(text: str, start: int, end: int, heading: tuple[str, ...]) -> Piece | None:
    """The stretch without blank lines at either end; None when nothing is left."""
    stretch = text[start:end]
    kept = stretch.strip()
    if not kept.strip("\ufeff"):
        return None
    lead = len(stretch) - len(stretch.lstrip()) if stretch[0].isspace() else 0
    # Indentation is meaning in Markdown: go back to the start of the first line that has text.
    begin = max(start, text.rfind("\n", start, start + lead) + 1) if lead else start
    return Piece(heading, begin, start + lead + len(kept))


def _blocks(text: str, piece: Piece, limits: _Limits, count: Callable[[str], int]) -> Iterator[Piece]:
    """Pack whole blocks into pieces; a block above the limit is cut at its lines."""
    if not _exceeds(text, piece.start, piece.end, limits.pack, count):
        yield piece
        return
    begin = stop = piece.start
    for start, end in blocks(text, piece.start, piece.end):
        if not _exceeds(text, begin, end, limits.pack, count):
            stop = end
            continue
        if stop > begin:
            yield from _kept(text, begin, stop, piece.heading, partial=False)
        if not _exceeds(text, start, end, limits.block, count):
            begin, stop = start, end
            continue
        yield from _lines(text, start, end, piece.heading, limits.block, count)
        begin = stop = end
    if stop > begin:
        yield from _kept(text, begin, stop, piece.heading, partial=False)


def _lines(
    text: str, start: int, end: int, heading: tuple[str, ...], limit: int, count: Callable[[str], int]
) -> Iterator[Piece]:
    begin = stop = line_end = start
    while stop < end:
        if stop == line_end:
            line_end = text.find("\n", stop, end) + 1 or end
        # A single line above the limit is cut at characters: a quarter of the limit always fits.
        whole = not _exceeds(text, stop, line_end, limit, count)
        after = line_end if whole else min(line_end, stop + max(1, limit // 4))
        if stop > begin and _exceeds(text, begin, after, limit, count):
            yield from _kept(text, begin, stop, heading, partial=True)
            begin = stop
        stop = after
    yield from _kept(text, begin, end, heading, partial=True)


def _kept(text: str, start: int, end: int, heading: tuple[str, ...], *, partial: bool) -> Iterator[Piece]:
    piece = _trim(text, start, end, heading)
    if piece is not None:
        yield Piece(heading, piece.start, piece.end, partial)


def blocks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The blocks between two offsets: a fence, table, callout, paragraph, or a top-level list item with all below it.

    Line-based and linear in the text; blank lines belong to no block.
    """
    begin = -1
    fence = ""
    item = False
    at = start
    words = start  # where the next line with text begins: looked for once in each run of blank lines
    while at < end:
        after = text.find("\n", at, end) + 1 or end
        line = text[at:after]
        blank = not line.strip()
        if blank and at >= words:
            words = _next_words(text, after, end)
        if fence:
            if _closes(line, fence):
                fence = ""
        elif blank and not (item and words < end and text[words] in " \t"):  # what is indented still is of the item
            if begin >= 0:
                yield begin, at
            begin, item = -1, False
        elif not blank:
            if _ITEM.match(line) and begin >= 0:  # a new top-level item
                yield begin, at
                begin = -1
            if begin < 0:
                begin, item = at, bool(_ITEM.match(line))
            opened = _FENCE.match(line)
            fence = opened[1] if opened else ""
        at = after
    if begin >= 0:
        yield begin, end


def _closes(line: str, fence: str) -> bool:
    bare = line.strip().lstrip("> \t")
    return bare.startswith(fence) and not bare.strip(fence[0])


def _next_words(text: str, at: int, end: int) -> int:
    """Where the next line that has text begins; the end when there is none."""
    while at < end:
        after = text.find("\n", at, end) + 1 or end
        if text[at:after].strip():
            return at
        at = after
    return end
