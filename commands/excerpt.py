"""Excerpts: of a passage the lines that fit a question best, and where they stand.

A line counts with what stands above it: its headings, the items it hangs below, the title of its callout, the header of
its table, the words that end in a colon before it. An excerpt is a stretch of lines under one heading, with those of
these that it needs to be understood.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, NamedTuple

from context.words import asked, stem, stems

# An excerpt in lines and characters, and what it may have when what is asked for stands further on.
_LINES, _CHARS = 6, 240
_MOST_LINES, _MOST_CHARS = 8, 320
# A line of more characters is taken by its sentences: pieces of at least and at most so many.
_LONG, _PIECE, _LONGEST = 160, 60, 120
# A word of the note's own name says little of where in it to look; a word said once has this share of its weight.
_OWN_NAME, _ONCE = 0.25, 0.7
_MORE = "…"

_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}|~{3,})[ \t]*(\w*)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]|$)")
_RULE, _BASE = re.compile(r"\s*(?:-[ \t]*){3,}"), re.compile(r"\s*!\[\[[^\[\]]+\.base(?:[#|][^\[\]]*)?\]\]\s*")
# The languages of code blocks that ask for notes: of Bases, Dataview, Tasks and Obsidian's own search.
_QUERIES = frozenset({"base", "dataview", "dataviewjs", "tasks", "query"})
_BLOCK_ID = re.compile(r"\s+\^[A-Za-z0-9-]+$")
_QUOTED = re.compile(r"(?: {0,3}>[ \t]?)*")
_UNDERLINE = re.compile(r" {0,3}=+")
_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]")
_UNDER_HEADER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_SENTENCE = re.compile(r"(?<=[.!?;])[ \t]+|(?<=[。！？；])")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a passage: stem of a word → how much it says."""

    terms: Mapping[str, float]

    @classmethod
    def of(cls, text: str) -> "Question":
        """The question that a text asks."""
        return cls({stem(term): weight for term, weight in asked(text).terms.items()})

    def within(self, text: str) -> frozenset[str]:
        """Those of its words that stand in a text."""
        return stems(text) & self.terms.keys()


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines of a passage, as they are shown, and where the first of them stands in its text, in characters."""

    start: int
    lines: tuple[str, ...]


@dataclass(slots=True)
class _Line:
    """A line of a passage, or a piece of a long one.

    Attributes:
        start: where the line begins in the passage.
        text: as it is shown; the header of a table has two lines.
        kind: what it is; an item and the title of a callout are a "mark".
        said: the words of the question in it.
        holds: those in it and in what it hangs below.
        under: those in its headings.
        depth: the level of the heading it stands under, of a heading its own; 0 above all headings.
        parent: the number of the line that it hangs below, -1 for none.
        quote: the marks of the quotes it stands in.
        apart: what parts it from the line before: "", or the mark of a quote; None for nothing.
        joins: it goes on in the line of the piece before.
    """

    start: int
    text: str
    kind: Literal["heading", "prose", "mark", "row", "code", "property"]
    said: frozenset[str]
    holds: frozenset[str]
    under: frozenset[str] = frozenset()
    depth: int = 0
    parent: int = -1
    quote: str = ""
    apart: str | None = None
    joins: bool = False

    @property
    def heads(self) -> bool:
        """Whether it is a heading."""
        return self.kind == "heading"

    @property
    def chars(self) -> int:
        """Its length without blanks that only align it."""
        return len(" ".join(self.text.partition("\n")[0].split()))

    @property
    def count(self) -> int:
        """How many lines it adds."""
        return 0 if self.joins else 1 + self.text.count("\n")


def excerpt(
    text: str, question: Question, *, body: int = 0, headings: Sequence[tuple[int, int]] = (), name: str = ""
) -> Excerpt | None:
    """The lines of a passage that fit a question best, its first lines when none fits; None when it says nothing.

    Properties are quoted when they fit better than the text, or when there is no text. Headings are shown between lines
    only; rules and queries never are.

    Args:
        text: the passage.
        question: what is asked.
        body: how many of its characters are properties.
        headings: of the note, where each begins in the text (below 0 before it) and its level; () when not known.
        name: the name of the note and its aliases.
    """
    front, lines = _properties(text[:body], question), _Reading(text, question, headings).lines(body)
    own = question.within(name)
    held = Counter(term for line in (*front, *lines) for term in line.holds)
    every = len(front) + len(lines)
    weights = {
        term: question.terms[term] * math.log1p(every / count) * (_OWN_NAME if term in own else 1)
        for term, count in held.items()
    }
    window, fit = _best(lines, weights)
    fitting = _fitting(front, question, weights, own, fit)
    if fitting or not window:
        return _quoted(front, fitting)
    return Excerpt(lines[window[0]].start, _shown(lines, window))


def short(text: str, most: int = _CHARS) -> str:
    """A line of at most so many characters, cut at a word and never inside a wikilink."""
    if len(text) <= most:
        return text
    cut = text[:most].rsplit(" ", 1)[0]
    if cut.count("[[") > cut.count("]]"):
        cut = cut[: cut.rfind("[[")]
    return cut.rstrip(" ,;:(") + f" {_MORE}"


def without_id(line: str) -> str:
    """A line without the block id at its end."""
    return _BLOCK_ID.sub("", line)


# --- which lines


def _best(lines: Sequence[_Line], weights: Mapping[str, float]) -> tuple[list[int], float]:
    """The numbers of the lines shown, and how well they fit; the beginning when nothing fits."""
    first = next((at for at, line in enumerate(lines) if not line.heads), None)
    if first is None:
        return [], 0.0
    starts: set[int] = set()
    for at, line in enumerate(lines):
        if line.heads:
            continue
        if line.said:
            starts |= {at, _block(lines, at)}
        if at and lines[at - 1].heads and line.under:
            starts.add(at)
    found, fit = _window(lines, first), 0.0
    for start in sorted(starts):
        window = _window(lines, start)
        score = _fit([lines[window[0]].under, *(lines[at].holds for at in window)], weights)
        if score > fit + 1e-9:
            found, fit = window, score
    return _filled(lines, found), fit


def _fit(said: Iterable[Collection[str]], weights: Mapping[str, float]) -> float:
    """What the words are worth that lines hold; the same word again adds ever less."""
    times = Counter(term for words in said for term in words)
    return sum(weights[term] * (1 - (1 - _ONCE) * 0.5 ** (count - 1)) for term, count in times.items())


def _block(lines: Sequence[_Line], at: int) -> int:
    """The first line of the block that a line stands in, not further up than an excerpt is long."""
    first = at
    while first > max(0, at - _MOST_LINES) and lines[first].apart is None and not lines[first - 1].heads:
        first -= 1
    return first


def _window(lines: Sequence[_Line], start: int) -> list[int]:
    """The lines from one on that fit an excerpt, and those above that it hangs below."""
    chosen: list[int] = []
    chars, count = lines[start].chars, max(1, lines[start].count)
    over = lines[start].parent
    while over >= 0:
        chars, count = chars + lines[over].chars, count + lines[over].count
        if chars > _MOST_CHARS or count > _MOST_LINES:
            break
        chosen.insert(0, over)
        over = lines[over].parent
    chars, count = (sum(lines[at].chars for at in chosen), sum(lines[at].count for at in chosen))
    seen: set[str] = set()
    told = stop = start
    for at in range(start, len(lines)):
        line = lines[at]
        chars, count = chars + line.chars, count + line.count
        if at > start and (chars > _MOST_CHARS or count > _MOST_LINES or _leaves(lines, start, at)):
            break
        if not line.said <= seen or line.parent == told:
            seen |= line.said
            told = stop = at
        elif chars <= _CHARS and count <= _LINES:
            stop = at
    # What only opens what is left out says nothing.
    while stop > start and (
        lines[stop].heads or (stop != told and lines[min(stop + 1, len(lines) - 1)].parent == stop)
    ):
        stop -= 1
    return [*chosen, *range(start, stop + 1)]


def _leaves(lines: Sequence[_Line], start: int, at: int) -> bool:
    """Whether a line no longer stands under the heading of one before it."""
    return at == len(lines) or (lines[at].heads and lines[at].depth <= lines[start].depth)


def _filled(lines: Sequence[_Line], window: list[int]) -> list[int]:
    """A window with the lines before it, as far as there is room for them."""
    chars, count = (sum(lines[at].chars for at in window), sum(lines[at].count for at in window))
    at = window[-1]
    while at in window:
        at -= 1
    while at >= 0 and not lines[at].heads:
        if at not in window:
            chars, count = chars + lines[at].chars, count + lines[at].count
            if chars > _CHARS or count > _LINES:
                break
            window = [*window, at]
        at -= 1
    return sorted(window)


# --- how they are shown


def _shown(lines: Sequence[_Line], window: Sequence[int]) -> tuple[str, ...]:
    """The lines of a window as Markdown, with "…" where something before, between or behind them is left out."""
    margin = min(
        (_indent(lines[at].text) for at in window if not (lines[at].kind == "code" or lines[at].joins)), default=0
    )
    shown: list[str] = []
    before = -1
    for at in window:
        line = lines[at]
        begins = before < 0 and (at == 0 or lines[at - 1].heads)
        follows = before >= 0 and at == before + 1
        before = at
        if follows and line.joins:
            shown[-1] += line.text
            continue
        if follows and line.apart is not None:
            shown.append(line.apart)
        if not (begins or follows):
            shown += _gap(line, shown)
        if line.joins or (line.kind == "prose" and at == window[0] and not begins):
            shown.append(f"{line.quote}{_MORE} {line.text.removeprefix(line.quote).lstrip()}")
        elif line.kind == "code":
            shown.append(line.text)
        else:
            shown += [text[margin:] for text in line.text.split("\n")]
    if not _leaves(lines, window[0], before + 1):
        shown[-1] += f" {_MORE}"
    return tuple(shown)


def _gap(line: _Line, shown: list[str]) -> list[str]:
    """What stands before a line where others are left out, after those shown."""
    if not shown:
        return [] if line.joins or line.kind == "prose" else [_MORE, ""]
    if line.kind == "row":
        return [f"{line.quote}| {_MORE} |"]
    shown[-1] += f" {_MORE}"
    return [line.quote.rstrip()] if line.kind == "code" else []


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" \t"))


# --- properties


def _properties(text: str, question: Question) -> list[_Line]:
    """The lines of properties; what is indented or listed hangs below the name before it."""
    lines: list[_Line] = []
    start, name = 0, -1
    for line in text.splitlines(keepends=True):
        bare = line.strip("\ufeff").rstrip()
        if bare and not _RULE.fullmatch(bare):
            hangs = name >= 0 and bare[0] in " \t-"
            name = name if hangs else len(lines)
            said = question.within(bare)
            holds = said | lines[name].holds if hangs else said
            lines.append(_Line(start, bare, "property", said, holds, parent=name if hangs else -1))
        start += len(line)
    return lines


def _fitting(
    front: Sequence[_Line], question: Question, weights: Mapping[str, float], own: frozenset[str], least: float
) -> list[int]:
    """The numbers of the properties that say more of what is asked than the text does, which is worth `least`."""
    chosen = [at for at, line in enumerate(front) if line.holds]
    if all(front[at].said <= own for at in chosen):
        return []
    # A name counts as a heading does.
    names = [question.within(front[at].text.partition(":")[0]) for at in chosen]
    fit = _fit([*names, *(front[at].holds for at in chosen)], weights)
    return sorted({*chosen, *(front[at].parent for at in chosen if front[at].parent >= 0)}) if fit > least else []


def _quoted(front: Sequence[_Line], fitting: Sequence[int]) -> Excerpt | None:
    """Properties as they are written: those that fit, else the first."""
    if not front:
        return None
    shown: list[str] = []
    chars = 0
    for at in fitting or range(len(front)):
        text = short(front[at].text)
        chars += len(text)
        if shown and (chars > _CHARS or len(shown) == _LINES):
            break
        shown.append(text)
    return Excerpt(0, (*shown, *[_MORE] * (len(shown) < len(front))))


# --- reading


class _Open(NamedTuple):
    """A line that others may hang below: marks of quotes before it, its indentation in columns, its number."""

    quotes: int
    indent: float
    number: int


class _Reading:
    """Reads the lines of a Markdown text but for rules and queries, each with what it hangs below."""

    def __init__(self, text: str, question: Question, headings: Sequence[tuple[int, int]]) -> None:
        self._text, self._question = text, question
        self._levels = dict(headings)
        self._lines: list[_Line] = []
        self._depth = next((level for start, level in reversed(headings) if start < 0), 0)
        self._above: list[tuple[int, frozenset[str]]] = []  # the headings above: level, words
        self._under: frozenset[str] = frozenset()  # the words of all of them
        self._open: list[_Open] = []
        self._table = -1
        self._fence, self._hidden, self._indent = "", False, 0
        self._apart: str | None = None

    def lines(self, start: int) -> list[_Line]:
        """The lines from an offset on."""
        for line in self._text[start:].splitlines(keepends=True):
            self._take(start, line.rstrip())
            start += len(line)
        return self._lines

    def _take(self, start: int, line: str) -> None:
        mark = _FENCE.match(line)
        quote = (_QUOTED.match(line) or [""])[0]
        if self._fence:
            if mark and mark[1].startswith(self._fence) and not mark[2]:
                self._fence, self._apart = "", quote.rstrip()
            elif not self._hidden:
                self._add(start, f"{quote}    {line[len(quote) :]}", quote, "code", self._indent)
            return
        if mark:
            self._fence, self._hidden = mark[1], mark[2].lower() in _QUERIES
            self._indent = _columns(line[len(quote) :])
            self._part(quote)
        elif level := self._level(start, line):
            self._head(start, line, level)
        elif not line[len(quote) :].strip() or _RULE.fullmatch(line) or _BASE.fullmatch(line):
            self._part(quote)
        elif not (_UNDERLINE.fullmatch(line) and self._lines and self._lines[-1].heads):
            self._said(start, without_id(line), quote)

    def _part(self, quote: str) -> None:
        """A block ends; so does a callout where a line has no mark of it."""
        self._apart, self._table = quote.rstrip(), -1
        if not quote:
            self._open = [one for one in self._open if not one.quotes]

    def _level(self, start: int, line: str) -> int:
        if self._levels:
            return self._levels.get(start, 0)
        mark = _HEADING.match(line)
        return len(mark[1]) if mark else 0

    def _head(self, start: int, line: str, level: int) -> None:
        said = self._question.within(line)
        self._above = [*takewhile(lambda one: one[0] < level, self._above), (level, said)]
        self._under = frozenset[str]().union(*(words for _, words in self._above))
        self._depth = level
        self._lines.append(_Line(start, line, "heading", said, said, depth=level, apart=""))
        self._open, self._table, self._apart = [], -1, ""

    def _said(self, start: int, line: str, quote: str) -> None:
        """A line of text: the row of a table, an item, the title of a callout or prose."""
        bare = line[len(quote) :]
        before = self._lines[-1] if self._lines and self._apart is None else None
        if self._table < 0 and before and "|" in before.text and "|" in bare and _UNDER_HEADER.fullmatch(bare):
            before.text, before.kind = f"{before.text}\n{line}", "row"
            self._table = len(self._lines) - 1
            return
        if self._table >= 0 and "|" in bare:
            self._add(start, line, quote, "row")
            return
        self._table = -1
        indent = _columns(bare)
        if quote and bare.startswith("[!"):
            self._add(start, line, quote, "mark", -1, opens=-1)
        elif _ITEM.match(bare.lstrip()):
            self._add(start, line, quote, "mark", indent, opens=indent)
        elif bare.lstrip().startswith("|"):
            self._add(start, line, quote, "row", indent)
        else:
            # What a colon announces is no deeper than itself; prose that is no deeper is something new.
            announces = bare.rstrip("*_ ").endswith((":", "：")) or None
            self._add(start, line, quote, "prose", indent - 0.5, opens=announces and indent - 0.5)

    def _add(
        self,
        start: int,
        line: str,
        quote: str,
        kind: Literal["prose", "mark", "row", "code"],
        indent: float = 0,
        opens: float | None = None,
    ) -> None:
        """Add a line below what is open at its indentation; deeper ones than `opens` will hang below it."""
        quotes, parent = quote.count(">"), self._table
        if parent < 0:
            while self._open and (self._open[-1].quotes, self._open[-1].indent) >= (quotes, indent):
                self._open.pop()
            parent = self._open[-1].number if self._open else -1
        if opens is not None:
            self._open.append(_Open(quotes, opens, len(self._lines)))
        above = self._lines[parent].holds if parent >= 0 else frozenset[str]()
        apart, joins = self._apart, False
        self._apart = None
        for piece in _pieces(line):
            said = self._question.within(piece)
            self._lines.append(
                _Line(start, piece, kind, said, said | above, self._under, self._depth, parent, quote, apart, joins)
            )
            apart, joins = None, True


def _columns(text: str) -> int:
    return _indent(text.expandtabs(4))


def _pieces(line: str) -> Iterator[str]:
    """A line, or its sentences when it is long; a row of a table only when no excerpt could hold it."""
    if len(line) <= (_MOST_CHARS if line.lstrip("> \t").startswith("|") else _LONG):
        yield line
        return
    start = 0
    for end in (*(match.start() for match in _SENTENCE.finditer(line)), len(line)):
        if end < len(line) and (end - start < _PIECE or _in_link(line[start:end])):
            continue
        while end - start > _LONGEST:
            cut = line.rfind(" ", start + 1, start + _LONGEST)
            if cut > 0 and _in_link(line[start:cut]):
                cut = line.rfind("[[", start, cut)
            cut = cut if cut > start else start + _LONGEST
            yield line[start:cut]
            start = cut
        yield line[start:end]
        start = end


def _in_link(text: str) -> bool:
    return text.count("[[") > text.count("]]")
