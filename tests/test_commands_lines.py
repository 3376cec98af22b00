"""Blocks of lines that two texts share: true, in order, as long as they can be, and found at once in long texts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.lines import Block, matching

LINES = st.lists(st.sampled_from([b"", b"a", b"b", b"c"]), max_size=14)


@pytest.mark.parametrize("most", [0, 30, 1_000_000])
@given(old=LINES, new=LINES)
def test_blocks_are_of_the_same_lines_in_the_order_of_both(most: int, old: list[bytes], new: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("commands.lines._MOST_PAIRS", most)
        found = matching(old, new)
    assert found[-1] == Block(len(old), len(new), 0)
    for block, then in pairwise(found):
        assert block.size
        assert old[block.a : block.a + block.size] == new[block.b : block.b + block.size]
        ends = block.a + block.size, block.b + block.size
        assert ends[0] <= then.a
        assert ends[1] <= then.b
        assert ends != (then.a, then.b) or not then.size, "two that go on in each other are one"


@pytest.mark.parametrize("most", [0, 1_000_000])
@given(lines=LINES, at=st.integers(0, 14), put=st.lists(st.sampled_from([b"x", b"y"]), max_size=4))
def test_what_was_put_in_leaves_the_lines_around_it(most: int, lines: list[bytes], at: int, put: list[bytes]) -> None:
    at = min(at, len(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("commands.lines._MOST_PAIRS", most)
        assert sum(block.size for block in matching(lines, lines[:at] + put + lines[at:])) == len(lines)


def test_texts_that_differ_in_much_share_their_beginning_and_end_at_least() -> None:
    old, new = [b""] * 3000, [b"", b"x", *[b""] * 3000, b"y", b""]
    assert matching([b"head", *old, b"tail"], [b"head", *new, b"tail"]) == [
        Block(0, 0, 2),
        Block(3000, 3004, 2),
        Block(3002, 3006, 0),
    ]
