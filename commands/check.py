"""Checks the citations of an answer: each cited sentence is matched to the passages it cites."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt

from context.assemble import Passage
from context.names import base_of
from context.snapshot import Snapshot
from context.words import words

_NUMBER = re.compile(r"\d+(?:[.,:-]\d+)*")
_WIKILINK = re.compile(r"\[\[([^\[\]\n|#]{1,300})(#[^\[\]\n|]{0,300})?(?:\|[^\[\]\n]{0,300})?\]\]")
# A sentence counts as supported when at least this share of its telling words stands in the passages it cites.
_SUPPORT = 0.5


def citations(
    answer: str, passages: Sequence[Passage], snapshot: Snapshot
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Match each cited sentence to the passages it cites.

    Returns:
        The citations, [{"link", "path", "in_context", "supported"}], and the sentences that their notes do not support,
        [{"start", "end", "paths", "why"}] with character offsets in the answer.
    """
    texts: dict[str, str] = {}
    for passage in passages:
        texts[passage.path] = f"{texts.get(passage.path, base_of(passage.path))}\n{passage.heading}\n{passage.text}"

    @cache
    def known(path: str) -> tuple[set[str], set[str]]:
        terms = words(texts[path])
        return set(terms) | _stems(terms), set(_NUMBER.findall(texts[path]))

    cited: list[dict[str, Any]] = []
    unsupported: list[dict[str, Any]] = []
    for start, end in sentences(answer):
        sentence = answer[start:end]
        found = [(m[0], snapshot.names.resolve(m[1], "")) for m in _WIKILINK.finditer(sentence)]
        if not found:
            continue
        paths = [path for _, path in found if path in texts]
        why = "" if paths else "the cited note is not among the passages"
        if paths and not _supported(_WIKILINK.sub(" ", sentence), [known(path) for path in paths if path is not None]):
            why = "its words or numbers do not stand in the cited passages"
        cited += [
            {"link": link, "path": path or "", "in_context": path in texts, "supported": path in texts and not why}
            for link, path in found
        ]
        if why:
            unsupported.append({"start": start, "end": end, "paths": [path for _, path in found if path], "why": why})
    return cited, unsupported


def _stems(terms: Iterable[str]) -> set[str]:
    return {term[:5] for term in terms if len(term) > 5}


def _supported(sentence: str, known: Sequence[tuple[set[str], set[str]]]) -> bool:
    terms = words(sentence)
    if not terms:
        return True
    numbers = set(_NUMBER.findall(sentence))
    have = set().union(*(one[0] for one in known))
    if numbers and not numbers <= set().union(*(one[1] for one in known)) | have:
        return False
    fitting = sum(term in have or (len(term) > 5 and term[:5] in have) for term in terms)
    return fitting / len(terms) >= _SUPPORT


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a Markdown answer stand, in characters; headings and code hold none, a line ends one."""
    flat = text.replace("\r", "\n").replace("\v", " ").replace("\f", " ")
    starts = [0]
    for line in flat.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    spans: list[tuple[int, int]] = []
    tokens = MarkdownIt("commonmark").parse(flat)
    for before, token in pairwise(tokens):
        if token.type == "inline" and token.map and before.type != "heading_open":
            for number in range(*token.map):
                spans += _split(text[starts[number] : starts[number + 1]], starts[number])
    return spans


def _split(line: str, offset: int) -> list[tuple[int, int]]:
    """Sentences of a line: after `.`, `!`, `?` and a blank; a link right after the mark belongs to what it follows."""
    spans: list[tuple[int, int]] = []
    start = 0
    for mark in re.finditer(r"[.!?。！？](?:\s+(?=\S)|$)(?!\s*\(?\[\[)", line):
        spans.append((offset + start, offset + mark.start() + 1))
        start = mark.end()
    rest = line[start:].rstrip()
    if rest.strip():
        spans.append((offset + start, offset + start + len(rest)))
    return spans
