"""Cutting notes into passages."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.note import parse
from context.passage import Piece, blocks, bytes4, cut


def _cut(text: str, limit: int, count: Callable[[str], int] = bytes4) -> list[Piece]:
    return cut(parse("x.md", text.encode()), text, limit=limit, count=count)


def _texts(text: str, limit: int) -> list[tuple[str, str]]:
    return [(" > ".join(piece.heading), text[piece.start : piece.end]) for piece in _cut(text, limit)]


def test_a_note_that_fits_stays_whole_without_its_properties() -> None:
    text = "---\na: 1\n---\n# One\ntext\n\n## Two\nmore\n"
    assert _texts(text, 100) == [("", "# One\ntext\n\n## Two\nmore")]


def test_properties_come_along_when_asked_for() -> None:
    text = "---\na: 1\n---\n\n# One\n"
    piece = cut(parse("x.md", text.encode()), text, properties=True)[0]
    assert text[piece.start : piece.end].startswith("---\na: 1")


def test_a_long_note_is_cut_at_its_highest_headings_first() -> None:
    text = "lead\n# A\n" + "a " * 60 + "\n## A1\n" + "b " * 60 + "\n# B\n" + "c " * 40 + "\n## B1\nshort\n"
    assert [heading for heading, _ in _texts(text, 40)] == ["", "A", "A > A1", "B"]
    assert _texts(text, 40)[3][1].endswith("## B1\nshort")


def test_a_deeper_heading_before_the_first_high_one_is_not_lost() -> None:
    text = "### Deep\n" + "x " * 100 + "\n# High\n" + "y " * 100
    assert [heading for heading, _ in _texts(text, 60)] == ["Deep", "High"]


@pytest.mark.parametrize(
    "block",
    [
        "```python\nline = 1\n\n# no heading\nline = 2\n```",
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
        "> [!note] Title\n> first\n>\n> second",
        "- item\n  more of it\n\n  still more\n    - nested",
        "1. first\n   text below",
    ],
)
def test_a_block_is_never_cut_while_it_fits(block: str) -> None:
    filler = "word " * 30
    text = f"{filler}\n\n{block}\n\n{filler}\n"
    pieces = _texts(text, bytes4(block) + 6)
    assert sum(block in piece for _, piece in pieces) == 1


def test_a_block_above_the_limit_is_cut_at_lines_and_marked() -> None:
    rows = "\n".join(f"| row {n} | value {n} |" for n in range(40))
    text = f"# Table\n{rows}\n"
    pieces = _cut(text, 50)
    assert all(piece.partial for piece in pieces[1:])
    assert all(
        line in rows or line == "# Table" for piece in pieces for line in text[piece.start : piece.end].splitlines()
    )


def test_list_items_are_cut_apart_but_kept_whole() -> None:
    text = "".join(f"- item {n} " + "word " * 10 + "\n  - child\n" for n in range(10))
    for piece in _cut(text, 60):
        stretch = text[piece.start : piece.end]
        assert stretch.startswith("- item")
        assert stretch.count("- item") == stretch.count("  - child")


MARKDOWN = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "# A",
                "## B",
                "### C",
                "",
                "",
                "```",
                "~~~",
                "- item",
                "  - child",
                "> quote",
                "| a | b |",
                "    code",
                "---",
                "1. x",
            ]
        ),
        st.text(max_size=60),
        st.text(min_size=200, max_size=400),
    ),
    max_size=40,
).map("\n".join)


@settings(max_examples=300, deadline=None)
@given(
    MARKDOWN,
    st.integers(8, 120),
    st.booleans(),
    st.sampled_from([bytes4, len, lambda text: -(-len(text.encode("utf-8", "replace")) // 3)]),
)
def test_pieces_fit_are_verbatim_in_order_and_lose_nothing(
    text: str, limit: int, properties: bool, count: Callable[[str], int]
) -> None:
    text = text.encode("utf-8", "replace").decode()
    note = parse("x.md", text.encode())
    pieces = cut(note, text, limit=limit, count=count, properties=properties)
    at = 0 if properties else note.body
    for piece in pieces:
        assert piece.start >= at
        assert not text[at : piece.start].strip().strip("\ufeff")  # only blanks between pieces
        assert count(text[piece.start : piece.end]) <= limit
        at = piece.end
    assert not text[at:].strip().strip("\ufeff")


@given(MARKDOWN)
def test_blocks_cover_every_line_with_text_once(text: str) -> None:
    at = 0
    for start, end in blocks(text, 0, len(text)):
        assert not text[at:start].strip()
        assert text[start:end].strip()
        at = end
    assert not text[at:].strip()
