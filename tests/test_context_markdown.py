"""Headings, code, HTML and links as markdown-it-py sees them: in notes made up, in the sample vault and in notes of people.

Where we differ on purpose:

- What only Obsidian knows: comments (%%), math ($) and wikilinks are made words before both read a note; properties are cut.
- Code, math and HTML blocks go on without the marks of their quote or list, as in Obsidian (lazy lines).
- An item whose text stands five columns behind its marker is text; to CommonMark it is code.
- An HTML comment in a line ends at the first `--`, as in Obsidian; CommonMark now lets it stand.
- References (`[a][b]`) are no links: Obsidian's index has none of them either.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from context.frontmatter import read
from context.regions import regions
from context.scan import scan
from tests.kos import SAMPLE

# Folders with notes of people, set by hand to look at them too: TEST_VAULTS=/one:/two python -m pytest tests/...
VAULTS = [Path(place) for place in os.environ.get("TEST_VAULTS", "").split(os.pathsep) if place]
# How many notes of people may differ, as a share: what is listed above, and what nobody has looked at yet.
MOST_DIFFERENT = 0.01

ORACLE = MarkdownIt("commonmark", {"html": True}).enable("table").disable("reference")
BEFORE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+[ \t>]*)*")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
Seen = dict[str, Any]


def plain(text: str) -> str:
    """The text with what only Obsidian knows made words, of the same length."""
    text = re.sub(r"!?\[\[|\]\]", lambda found: "w" * len(found[0]), text)
    return text.replace("%%", "ww").replace("$", "w")


def ours(text: str) -> Seen:
    found = scan(text)
    code: set[int] = set()
    spans: list[str] = []
    for begin, end, mark in regions(text):
        line = text.rfind("\n", 0, begin) + 1
        block = BEFORE.fullmatch(text, line, begin) is not None
        first = text[begin + len(mark) : end].split("\n", maxsplit=1)[0]
        if mark[0] == "`" and not (block and len(mark) >= 3 and "`" not in first):
            spans.append(" ".join(text[begin + len(mark) : end - len(mark)].split()))
        elif mark[0] in "`~\t" or (block and text[end : end + 1] in ("", "\n", "\r")):
            code |= lines(text, text.count("\n", 0, begin), text.count("\n", 0, end) + 1)
    return {
        "headings": [(one.level, " ".join(one.text.split()), text.count("\n", 0, one.start)) for one in found.headings],
        "code": code,
        "spans": spans,
        "links": Counter((one.kind, f"{one.target}#{one.sub}".rstrip("#")) for one in found.links),
    }


def theirs(text: str) -> Seen:
    code: set[int] = set()
    headings, spans = [], []
    links: Counter[tuple[str, str]] = Counter()
    tokens = ORACLE.parse(text)
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            headings.append((int(token.tag[1]), " ".join(tokens[place + 1].content.split()), token.map[0]))
        elif token.type in {"fence", "code_block", "html_block"} and token.map:
            code |= lines(text, *token.map)
        for child in token.children or ():
            if child.type == "code_inline":
                spans.append(" ".join(child.content.split()))
            links += Counter(targets(child))
    return {"headings": headings, "code": code, "spans": spans, "links": links}


def targets(token: Token) -> Iterable[tuple[str, str]]:
    """The links of an inline token, and of the pictures in it."""
    address = str(token.attrs.get("href" if token.type == "link_open" else "src", ""))
    if token.type in {"link_open", "image"} and address and token.info != "auto" and not SCHEME.match(address):
        path, _, sub = unquote(address).partition("#")
        yield "markdown" if token.type == "link_open" else "embed", f"{path.strip()}#{sub.strip()}".rstrip("#")
    for child in token.children or ():
        yield from targets(child)


def lines(text: str, first: int, after: int) -> set[int]:
    """The lines of a stretch that are not blank."""
    every = text.split("\n")
    return {number for number in range(first, min(after, len(every))) if every[number].strip(" \t\r>")}


def differences(text: str) -> list[str]:
    mine, other = ours(text), theirs(text)
    return [f"{name}: {mine[name]} != {other[name]}" for name in mine if mine[name] != other[name]]


def note(data: bytes) -> str:
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").lstrip("\ufeff")
    return plain(text[read(text).body :])


def looked_at(files: Iterable[Path]) -> tuple[int, dict[Path, list[str]]]:
    notes, different = 0, {}
    for file in files:
        if file.is_file():
            notes += 1
            found = differences(note(file.read_bytes()))
            if found:
                different[file] = found
    return notes, different


def test_the_notes_of_the_sample_vault_hold_what_a_commonmark_parser_sees() -> None:
    notes, different = looked_at(sorted(SAMPLE.rglob("*.md")))
    assert notes > 50
    assert not different


@pytest.mark.skipif(not VAULTS, reason="TEST_VAULTS names no folders with notes")
@pytest.mark.timeout(3600)
def test_the_notes_of_people_hold_what_a_commonmark_parser_sees() -> None:
    notes, different = looked_at(file for folder in VAULTS for file in sorted(folder.rglob("*.md")))
    for file, found in different.items():
        print(file, *found, sep="\n    ")
    print(f"{len(different)} of {notes} notes differ")
    assert len(different) <= MOST_DIFFERENT * notes


WORDS = (
    "", "", "word", "two words", "# Head", "## Head ##", "#", "title\n===", "---", "```", "````", "~~~", "```sh", "`a`", "a ``b ` c`` d", "***", "<div>", "</div>", "<b>", "<b>x</b>", "<pre>", "</pre>", "<!--", "-->", "[t](N.md)", "![t](a.png)",
    "[a [b] c](<M n.md>)", r"\` a", r"\[t](N.md)", "x <a title='# `b`'> y", "a <!-- b --> c", "x ```y``` z",
)  # fmt: skip
INDENTS = ("", "", "", "", " ", "   ", "    ", "\t", "      ")
LINES = st.lists(st.tuples(st.sampled_from(INDENTS), st.sampled_from(WORDS)).map("".join), min_size=1, max_size=5)


def item(marker: str, lines: list[str]) -> str:
    """Lines as a list item, or as a quote."""
    around = marker if marker == "> " else " " * len(marker)
    return "\n".join(
        (marker if number == 0 else around) + line for number, line in enumerate("\n".join(lines).split("\n"))
    )


TABLE = "| a | [t](N.md) |\n|---|:-:|\n| `c` | <b> |"
PARTS = LINES.map("\n".join) | st.just(TABLE) | st.builds(item, st.sampled_from(("- ", "1. ", "> ", "10) ")), LINES)
MADE = st.lists(PARTS, max_size=4).map("\n\nword\n\n".join)


# Lines that nobody writes and that we read otherwise: an item that begins with a blank line or an indent, and a
# mark of code or a comment, or an underline below, where a line is indented like code.
ODD = re.compile(r"(?m)^(?:[-*]|\d+[.)])[ \t]+(?:$|[ \t])|^[ \t>]*(?: {4}|\t)[^\n]*(?:`|<!--|\n[> ]*===)")


@settings(max_examples=1500, deadline=None)
@given(MADE.filter(lambda text: not ODD.search(text)))
def test_made_up_notes_hold_what_a_commonmark_parser_sees(text: str) -> None:
    assert not differences(text)
