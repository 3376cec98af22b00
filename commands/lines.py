"""Which lines of one text stand in another: blocks of the same lines, in the order of both."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

# With more pairs of lines to compare it may take seconds: then what two texts share at their beginning and end is taken
# first, though a line that was doubled there is told apart less well.
_MOST_PAIRS = 1_000_000


class Block(NamedTuple):
    """Lines `a` to `a + size` of one text, which are lines `b` to `b + size` of the other."""

    a: int
    b: int
    size: int


def matching(old: Sequence[bytes], new: Sequence[bytes]) -> list[Block]:
    """The blocks of lines that two texts share, each as long as it can be; the last one is empty, at the end of both.

    Where the texts differ in much, what they share between their beginnings and ends may be left out.
    """
    is_short = len(old) * len(new) <= _MOST_PAIRS
    head = 0 if is_short else _shared(old, new)
    tail = 0 if is_short else _shared(old[head:][::-1], new[head:][::-1])
    rest, other = old[head : len(old) - tail], new[head : len(new) - tail]
    found = [Block(0, 0, head)]
    if len(rest) * len(other) <= _MOST_PAIRS:
        inner = SequenceMatcher(None, rest, other, autojunk=False).get_matching_blocks()
        found += [Block(head + a, head + b, size) for a, b, size in inner]
    found.append(Block(len(old) - tail, len(new) - tail, tail))
    joined: list[Block] = []
    for block in found:
        if not block.size:
            continue
        last = joined[-1] if joined else None
        if last is not None and (last.a + last.size, last.b + last.size) == (block.a, block.b):
            joined[-1] = Block(last.a, last.b, last.size + block.size)
        else:
            joined.append(block)
    return [*joined, Block(len(old), len(new), 0)]


def _shared(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many lines two texts have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (mine, theirs) in enumerate(pairs) if mine != theirs), min(len(one), len(other)))
