"""Passages: the quotable pieces of a note, cut at headings, then at blocks, then at lines."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from context.note import Note
from context.scan import heading_paths

# The longest passage, in tokens (seed of the design: "about 2K tokens per segment").
PASSAGE_TOKENS = 2000

_FENCE = re.compile(r"[ \t>]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)?(`{3,}|~{3,})")
_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]")
# The end of a line before one that ends a block, begins one, or opens a fence.
_TELLING = re.compile(
    r"\n(?:[^\S\n]*(?:\n|\Z)|(?:[-*+]|\d{1,9}[.)])[ \t]|[ \t>]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)?(?:`{3}|~{3}))"
)


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


class _How(NamedTuple):
    """How a text is cut: tokens that stay together, those of the longest single block, and what measures a stretch."""

    text: str
    pack: int
    block: int
    exceeds: Callable[[int, int, int], bool]


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
    how = _How(text, min(pack or limit, limit), limit, _measure(text, count))
    return _section(how, begin, len(text), (), spots)


def _measure(text: str, count: Callable[[str], int]) -> Callable[[int, int, int], bool]:
    """What tells whether a stretch of a text has more tokens than a limit, from its start, its end and the limit.

    Cheap bounds first. No prose has tokens of 16 characters on average, so a very long stretch need not be counted: an
    endless line would otherwise be counted to its end for each piece that is cut off it.
    """
    if count is not bytes4:
        return lambda start, end, limit: end - start > 16 * limit or count(text[start:end]) > limit
    if text.isascii():
        return lambda start, end, limit: end - start > 4 * limit
    # A character has one to four bytes.
    return lambda start, end, limit: (
        end - start > 4 * limit or (end - start > limit and bytes4(text[start:end]) > limit)
    )


def _section(
    how: _How, start: int, end: int, heading: tuple[str, ...], spots: list[tuple[int, tuple[str, ...]]]
) -> Iterator[Piece]:
    text = how.text
    piece = _trim(text, start, end, heading)
    if piece is None:
        return
    if not how.exceeds(piece.start, piece.end, how.pack):
        yield piece
        return
    if not spots:
        yield from _blocks(how, piece)
        return
    own = _trim(text, start, spots[0][0], heading)
    if own is not None:
        yield from _blocks(how, own)
    # The highest headings inside: those whose path is no longer than any before them.
    depths = [len(path) for _, path in spots]
    depth = min(depths)
    tops = [i for i, deep in enumerate(depths) if deep == depth]
    if tops[0] > 0:  # deeper headings stand before the first of the highest: they are cut on their own
        tops = list(range(tops[0])) + tops
    for at, after in pairwise((*tops, len(spots))):
        stop = spots[after][0] if after < len(spots) else end
        yield from _section(how, spots[at][0], stop, spots[at][1], spots[at + 1 : after])


def _trim(text: str, start: int, end: int, heading: tuple[str, ...]) -> Piece | None:
    """The stretch without blank lines at either end; None when nothing is left."""
    stretch = text[start:end]
    kept = stretch.strip()
    if not kept or (kept[0] == "\ufeff" and not kept.strip("\ufeff")):
        return None
    lead = len(stretch) - len(stretch.lstrip()) if stretch[0].isspace() else 0
    # Indentation is meaning in Markdown: go back to the start of the first line that has text.
    begin = max(start, text.rfind("\n", start, start + lead) + 1) if lead else start
    return Piece(heading, begin, start + lead + len(kept))


def _blocks(how: _How, piece: Piece) -> Iterator[Piece]:
    """Pack whole blocks into pieces; a block above the limit is cut at its lines."""
    text, pack, block, exceeds = how
    if not exceeds(piece.start, piece.end, pack):
        yield piece
        return
    begin = stop = piece.start
    for start, end in blocks(text, piece.start, piece.end):
        if not exceeds(begin, end, pack):
            stop = end
            continue
        if stop > begin:
            yield from _kept(text, begin, stop, piece.heading, partial=False)
        if not exceeds(start, end, block):
            begin, stop = start, end
            continue
        yield from _lines(how, start, end, piece.heading)
        begin = stop = end
    if stop > begin:
        yield from _kept(text, begin, stop, piece.heading, partial=False)


def _lines(how: _How, start: int, end: int, heading: tuple[str, ...]) -> Iterator[Piece]:
    text, limit = how.text, how.block
    begin = stop = line_end = start
    while stop < end:
        if stop == line_end:
            line_end = text.find("\n", stop, end) + 1 or end
        # A single line above the limit is cut at characters: a quarter of the limit always fits.
        whole = not how.exceeds(stop, line_end, limit)
        after = line_end if whole else min(line_end, stop + max(1, limit // 4))
        if stop > begin and how.exceeds(begin, after, limit):
            yield from _kept(text, begin, stop, heading, partial=True)
            begin = stop
        stop = after
    yield from _kept(text, begin, end, heading, partial=True)


def _kept(text: str, start: int, end: int, heading: tuple[str, ...], *, partial: bool) -> Iterator[Piece]:
    piece = _trim(text, start, end, heading)
    if piece is not None:
        yield Piece(heading, piece.start, piece.end, partial) if partial else piece


def blocks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The blocks between two offsets: a fence, table, callout, paragraph, or a top-level list item with all below it.

    Line-based and linear in the text; blank lines belong to no block.
    """
    begin = -1
    item = False
    at = start
    words = start  # where the next line with text begins: looked for once in each run of blank lines
    fenced = text.find("```", start, end) >= 0 or text.find("~~~", start, end) >= 0
    while at < end:
        first = text[at]
        if first.isspace() and not text[at : (after := text.find("\n", at, end) + 1 or end)].strip():
            if at >= words:
                words = _next_words(text, after, end)
            if not (item and words < end and text[words] in " \t"):  # what is indented still is of the item
                if begin >= 0:
                    yield begin, at
                begin, item = -1, False
            at = after
            continue
        is_item = (first in "-*+" or first.isdecimal()) and _ITEM.match(text, at, end) is not None
        if is_item and begin >= 0:  # a new top-level item
            yield begin, at
            begin = -1
        if begin < 0:
            begin, item = at, is_item
        if fenced and (opened := _FENCE.match(text, at, end)):
            at = _fence_end(text, at, end, opened[1])
            continue
        telling = _TELLING.search(text, at, end)
        at = telling.start() + 1 if telling else end
    if begin >= 0:
        yield begin, end


def _fence_end(text: str, at: int, end: int, fence: str) -> int:
    """Where the line after a fence begins that opens on this line; the end when it is never closed."""
    while (after := text.find("\n", at, end) + 1) and (mark := text.find(fence, after, end)) >= 0:
        at = text.rfind("\n", after - 1, mark) + 1
        if _closes(text[at : text.find("\n", mark, end) + 1 or end], fence):
            return text.find("\n", mark, end) + 1 or end
    return end


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
