"""Finds the queries that stand in a note: code blocks of Bases and Dataview, and Dataview's inline queries."""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from context.regions import Region
from context.scan import Heading, heading_paths

# The languages of code blocks that are queries. Dataview knows its own by exactly these words, in small letters.
_LANGUAGES = frozenset({"base", "dataview", "dataviewjs"})
_LANGUAGE = re.compile(r"[ \t]*([A-Za-z]+)(?=[ \t\r{]|\Z)")
_MARKERS = re.compile(r"[-*+]|\d{1,9}[.)]")
# The prefixes of inline queries, as Dataview has them out of the box: `= expression` and `$= JavaScript`.
_INLINE = (("=", "inline"), ("$=", "inlinejs"))


class QueryBlock(Struct, frozen=True, array_like=True, gc=False):
    """A query as it stands in a note.

    Attributes:
        kind: `base`, `dataview`, `dataviewjs`, `inline` (Dataview's `= expression`) or `inlinejs` (`$= expression`).
        source: its text, without fences, quote marks and the indentation of the list it stands in.
        start, end: where it stands with its fences, in characters.
        heading: the heading path above it, as members of maps have it; "" above all headings.
    """

    kind: str
    source: str
    start: int
    end: int
    heading: str


def find(text: str, headings: Iterable[Heading], dead: Iterable[Region]) -> list[QueryBlock]:
    """The queries in a note's text, in order.

    Args:
        text: of the note, decoded.
        headings: of exactly this text.
        dead: where this text is no Markdown, in order.
    """
    if "`" not in text and "~~~" not in text:
        return []
    queries = list(_queries(text, [region for region in dead if region[2][0] in "`~"]))
    if not queries:
        return []
    spots = iter(heading_paths(headings))
    spot = next(spots, None)
    section: tuple[str, ...] = ()
    found: list[QueryBlock] = []
    for kind, source, start, end in queries:
        while spot is not None and spot[0] <= start:
            section, spot = spot[1], next(spots, None)
        found.append(QueryBlock(kind, source, start, end, " > ".join(section)))
    return found


def _queries(text: str, code: Iterable[Region]) -> Iterator[tuple[str, str, int, int]]:
    for start, end, mark in code:
        inside = text[start + len(mark) : end]
        if len(mark) >= 3 and "\n" in inside:
            first, _, rest = inside.partition("\n")
            word = _LANGUAGE.match(first)
            if word and word[1] in _LANGUAGES:
                yield word[1], _source(rest, text[text.rfind("\n", 0, start) + 1 : start], mark), start, end
        elif mark[0] == "`" and len(mark) < 3:
            words = inside.removesuffix(mark).strip()
            for prefix, kind in _INLINE:
                source = words[len(prefix) :].strip()
                # No expression is empty or begins with another sign of equality: `==marked==` is about Markdown.
                if words.startswith(prefix) and source and source[0] not in "=>":
                    yield kind, source, start, end


def _source(rest: str, before: str, mark: str) -> str:
    """The lines of a fenced block without the closing fence, and without what stands before its opening fence."""
    lines = rest.split("\n")
    if re.fullmatch(rf"[ \t>]*{re.escape(mark[0])}{{{len(mark)},}}[ \t\r]*", lines[-1]):
        lines.pop()
    quotes = before.count(">")
    indent = len(_MARKERS.sub(lambda found: " " * len(found[0]), before[before.rfind(">") + 1 :]).expandtabs(4))
    shed = re.compile(rf"\A(?:[ \t]{{0,3}}>){{0,{quotes}}}")
    return "\n".join(_outdented(shed.sub("", line, count=1).rstrip("\r"), indent) for line in lines)


def _outdented(line: str, indent: int) -> str:
    """A line without as much of its indentation as its block has."""
    words = line.lstrip(" \t")
    own = len(line[: len(line) - len(words)].expandtabs(4))
    return " " * max(0, own - indent) + words
