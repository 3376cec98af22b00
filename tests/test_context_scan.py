"""The places of what a Markdown text holds, and hostile texts; what it holds is in cases/markdown."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.scan import Link, scan


def test_a_link_says_all_about_itself() -> None:
    text = "see ![[My Note#Part > Deep|shown]]."
    assert scan(text).links == (Link("embed", "My Note", "Part > Deep", "shown", 4, len(text) - 1),)
    text = "a [shown](<x y.md#p>) b"
    assert scan(text).links == (Link("markdown", "x y.md", "p", "shown", 2, len(text) - 2),)


def test_nothing_before_the_start_counts_and_places_are_of_the_whole_text() -> None:
    text = "[[no]] # no\n# A\n[[B]] #c\n- [ ] d\n"
    found = scan(text, 12)
    assert [text[link.start : link.end] for link in found.links] == ["[[B]]"]
    assert (found.headings[0].start, found.tags, found.tasks[0].start) == (12, ("c",), 25)


PARTS = st.lists(
    st.sampled_from(
        ["# ", "## ", "#", "word", " ", "\n", "\n\n", "[[A]]", "[[B|b]]", "![[C]]", "`", "``", "```\n", "~~~\n", "> ", "- ",
         "    ", "\n\ntext\n===\n\n", "---\n", "\n---\n", "* ", "1. ", "\\", "[t](N.md)", "| a |\n", "***\n", "é", "text\n", "\t"]
    ),
    max_size=14,
).map("".join)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(PARTS | st.text(max_size=80), st.integers(0, 10))
def test_every_place_is_in_the_text_and_in_order(text: str, start: int) -> None:
    start = min(start, len(text))
    found = scan(text, start)
    for link in found.links:
        assert start <= link.start < link.end <= len(text)
        assert text[link.start : link.end].lstrip("!").startswith("[")
    for task in found.tasks:
        assert start <= task.start < task.end <= len(text)
    headings, blocks = [one.start for one in found.headings], [one.start for one in found.blocks]
    assert all(start <= place < len(text) for place in (*headings, *blocks))
    for places in (headings, blocks, [one.start for one in found.links], [one.start for one in found.tasks]):
        assert places == sorted(places)


HOSTILE = [
    "[[", "![", "`", "` ``  ", "``` ", "```\n", "#", "# ", " ", "\t", "\n", "\r\n", "-", "-\n", "a\n=\n", "](",
    "](a", "[a](((", "$", "$a ", "$$ ", "%% ", "<!--", "- [ ] ", "- [ ] a 📅 2025-01-01\n", "#a ", "#a[[", "^",
    " ^a", "\\", "\\[[", "> ", "* ", "  - ", "~~~", "|a|\n", "- [ ] (due:: ", "[[a]] ", "[[a\n", "](()()()",
    "a\n---\n", "](<", "`[[$%%<!--#", "a`", "[" * 40 + "]", "- [ ] x 🔁 every ",
    "#a#b ", "**#a ", "_#a ", "[#a", "a]#b", "![a #b", "|-|\n|#a", "\\#a", ">#a", "<a>#b", "%% #a %%", "%%\n#a\n%%\n", "[[a|<b #c>]]",
    "<a b=' ", "<a #", "<a\n", "<div>\n", "> <div>\n", "<!--\n", "<!-- ", "<pre\n", "<? ", "<!a ", "-->\n    a\n",
    "    \n", "\n\n    a", "\n\n\t", "# a\n    b\n", "- a\n\n      b\n", "> \n>     a\n", "- - - a\n\n", "    ```\n", " ```\n",
    "- ```\n", "> ```\n", "  - ```\n\n", "$a", "a $$ ", "$$\n", "a $$\n\n", "- $$\n", " # a\n", "  a\n---\n", "- [ ] ⛔ a, ",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_the_time_grows_with_the_text_and_no_faster(part: str) -> None:
    def seconds(work: Callable[[], Any]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    small, large = part * (15_000 // len(part)), part * (240_000 // len(part))
    # Sixteen times the text: a quadratic reader takes 256 times as long. A floor keeps noise out.
    base = max(min(seconds(lambda: scan(small)) for _ in range(2)), 0.002)
    assert min(seconds(lambda: scan(large)) for _ in range(2)) < 80 * base
