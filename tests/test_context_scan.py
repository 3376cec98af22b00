"""What a Markdown text holds, by example, against markdown-it-py, and for hostile texts."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from context.scan import Link, Task, scan


def targets(text: str) -> list[str]:
    return [f"{link.kind}:{link.target}" for link in scan(text).links]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[[A]] and [[B|b]] [[C#h|x]] [[D#^id]]", ["wikilink:A", "wikilink:B", "wikilink:C", "wikilink:D"]),
        ("![[A.png|300]] ![[N#Part]]", ["embed:A.png", "embed:N"]),
        ("| [[A\\|b]] | x |", ["wikilink:A"]),
        ("[[#Here]]", ["wikilink:"]),
        ("[[ A ]]", ["wikilink:A"]),
        ("`[[A]]` ``[[B]] ` `` [[C]]", ["wikilink:C"]),
        ("```\n[[A]]\n```\n[[B]]", ["wikilink:B"]),
        ("~~~md\n[[A]]\n~~~~\n[[B]]", ["wikilink:B"]),
        ("> ```\n> [[A]]\n> ```\n> [[B]]", ["wikilink:B"]),
        ("- ```\n  [[A]]\n  ```\n- [[B]]", ["wikilink:B"]),
        ("```\n[[A]]", []),
        ("text ``` [[A]]", ["wikilink:A"]),
        ("`open [[A]]\n\n[[B]]`", ["wikilink:A", "wikilink:B"]),
        ("\\`[[A]]`", ["wikilink:A"]),
        ("<!-- [[A]] --> [[B]]", ["wikilink:B"]),
        ("%% [[A]] %% [[B]]", ["wikilink:A", "wikilink:B"]),
        ("$$ [[A]] $$ $[[B]]$ costs $5 and $6 [[C]]", ["wikilink:C"]),
        ("\\[[A]] \\\\[[B]]", ["wikilink:B"]),
        ("[[a\nb]] [[]] [[x[y]]", []),
        ("[t](N.md) [t](<My Note.md>) [t](My%20Note.md#Part) ![i](p.png)", ["markdown:N.md", "markdown:My Note.md", "markdown:My Note.md", "embed:p.png"]),
        ("[t](N (2).md) [t](N_(2).md 'title')", ["markdown:N_(2).md"]),
        ("[t](https://x.org/a.md) [t](mailto:a@b) [t](//x.org) <https://x.org>", []),
        ("[t](#part)", ["markdown:"]),
        ("[^1]: note [[A]]\n> [!tip] [[B]]", ["wikilink:A", "wikilink:B"]),
    ],
)  # fmt: skip
def test_links(text: str, found: list[str]) -> None:
    assert targets(text) == found


def test_a_link_says_all_about_itself() -> None:
    text = "see ![[My Note#Part > Deep|shown]]."
    assert scan(text).links == (Link("embed", "My Note", "Part > Deep", "shown", 4, len(text) - 1),)
    text = "a [shown](<x y.md#p>) b"
    assert scan(text).links == (Link("markdown", "x y.md", "p", "shown", 2, len(text) - 2),)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# A\n## B ##\n###### C\n####### no", [(1, "A"), (2, "B"), (6, "C")]),
        ("#no\n    # no\n   # yes\ntext # no", [(1, "yes")]),
        ("#\n# \n## #", [(1, ""), (1, ""), (2, "")]),
        ("# C#\n# F #sharp", [(1, "C#"), (1, "F #sharp")]),
        ("Title\n===\nSub\n---\n", [(1, "Title"), (2, "Sub")]),
        ("two\nlines\n---", [(2, "two lines")]),
        ("text\n\n---\n- item\n---\n> quote\n---\n# H\n---", [(1, "H")]),
        ("# A\r\ntext\r\n---\r\n", [(1, "A"), (2, "text")]),
        ("```\n# no\n```\n%%\n# no\n%%\n# yes", [(1, "yes")]),
        ("| a |\n|---|\n| b |\n", []),
    ],
)
def test_headings(text: str, found: list[tuple[int, str]]) -> None:
    assert [(heading.level, heading.text) for heading in scan(text).headings] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("#a #b/c #d-e_f, #ü #日本 (#g) **#h**", ["a", "b/c", "d-e_f", "ü", "日本", "g", "h"]),
        ("#1 #1a #2025 x#no https://x.org/#no", ["1a"]),
        ("`#no` ```#no``` [[A#no]] [[#no]] [t](#no) [[A #no]]", []),
        ("#trailing/ #dup #dup", ["trailing", "dup", "dup"]),
        ("# heading #tag", ["tag"]),
        ("- #task\n> #quote\n%% #hidden %%", ["task", "quote"]),
        ("color: #fff; &#35; \\#x", ["fff"]),
    ],
)
def test_tags(text: str, found: list[str]) -> None:
    assert list(scan(text).tags) == found


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("- [ ] do it", Task(" ", "do it", 0, 11)),
        ("* [x] done ✅ 2025-09-14", Task("x", "done", 0, 23, completed="2025-09-14")),
        ("1. [-] dropped", Task("-", "dropped", 0, 14)),
        ("- [ ] pay 📅 2025-09-20 ⏳ 2025-09-18 🛫 2025-09-01 ➕ 2025-08-01 ⏫ 🔁 every month ^b1",
         Task(" ", "pay", 0, 81, "2025-09-20", "2025-09-18", "2025-09-01", "2025-08-01", priority="high", repeats="every month")),
        ("- [/] call [due:: 2025-09-20] (scheduled:: 2025-09-19)", Task("/", "call", 0, 54, "2025-09-20", "2025-09-19")),
        ("  > - [ ] quoted  \r", Task(" ", "quoted", 0, 16)),
    ],
)  # fmt: skip
def test_tasks(text: str, task: Task) -> None:
    assert scan(text).tasks == (task,)
    assert text[task.start : task.end] == text.rstrip()


@pytest.mark.parametrize(
    "text", ["- [ ]", "- []", "[ ] bare", "- [x]no", "```\n- [ ] code\n```", "text - [ ] x", "- [[A]] b"]
)
def test_what_is_no_task(text: str) -> None:
    assert scan(text).tasks == ()


def test_block_ids() -> None:
    text = "para ^one\n- item ^two-2\n\n^three\nnot^four\n`x ^five`\n^ six"
    assert [(block.id, text[block.start :].split("\n", maxsplit=1)[0]) for block in scan(text).blocks] == [
        ("one", "para ^one"),
        ("two-2", "- item ^two-2"),
        ("three", "^three"),
    ]


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


def oracle(text: str) -> tuple[list[tuple[int, str]], int]:
    """Level and text of top-level headings, and how many wikilinks stand outside code, as CommonMark sees the text."""
    tokens = MarkdownIt("commonmark", {"html": False}).disable("link").parse(text)
    headings = [
        (int(token.tag[1]), " ".join(after.content.split()))
        for token, after in itertools.pairwise(tokens)
        if token.type == "heading_open" and token.level == 0
    ]
    links = sum(
        child.content.count("[[A]]") + child.content.count("[[B|b]]") + child.content.count("[[C]]")
        for token in tokens
        for child in token.children or []
        if child.type == "text"
    )
    return headings, links


# Where Obsidian's reader or ours differs from CommonMark on purpose, or the construct is not written by people:
# indented code, which our scanner takes for text, tables, and fences inside lists and quotes, which end with them.
def comparable(text: str) -> bool:
    if any(mark in text for mark in "\t\\|") or "    " in text:
        return False
    if "> " in text and "`" in text:
        return False
    return not (
        ("- " in text or "> " in text or "* " in text or "1. " in text)
        and ("```" in text or "~~~" in text or "``" in text)
    )


@settings(max_examples=500, deadline=None)
@given(PARTS.filter(comparable))
def test_headings_and_links_are_those_of_a_commonmark_parser(text: str) -> None:
    found = scan(text)
    headings, links = oracle(text)
    underlined_code = "`" in text and ("---" in text or "===" in text)
    if not underlined_code and not any(mark in text for mark in ("> ", "- ", "* ", "1. ")):
        assert [(one.level, " ".join(one.text.split())) for one in found.headings] == headings
    assert len([one for one in found.links if one.kind != "markdown"]) == links


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
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_the_time_grows_with_the_text_and_no_faster(part: str) -> None:
    def seconds(work: Callable[[], Any]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    small, large = part * (30_000 // len(part)), part * (480_000 // len(part))
    # Sixteen times the text: a quadratic reader takes 256 times as long. A floor keeps noise out.
    base = max(min(seconds(lambda: scan(small)) for _ in range(2)), 0.002)
    assert min(seconds(lambda: scan(large)) for _ in range(2)) < 80 * base
