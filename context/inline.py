"""Inline fields of a text (`key:: value`), as Dataview reads them, and the list items that tasks stand in."""

import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from msgspec import Struct

# Dataview reads no line that is longer.
_LINE_CHARS = 32768
_TAB = 4

# The start of a line: quote marks, indent, list marker and the blanks after it.
_LEAD = re.compile(r"((?:[ \t]*>)*)([ \t]*)(?:([-*+]|\d{1,9}[.)])(?=[ \t\r]|\Z)([ \t]*))?")
# How a line may begin that stands in no list.
_WORDS = frozenset(string.ascii_letters + "#[(!")
_BOX = re.compile(r"[ \t]*(?:\[.?\])?[ \t]*")
_RULE = re.compile(r"[ \t>]*(?:([-*_])[ \t]*(?:\1[ \t]*){2,}|=+[ \t]*)\r?")
# Blocks that end the paragraph of a list item although no blank line stands between.
_BREAK = re.compile(r"[ \t>]*(?:#{1,6}(?:[ \t\r]|\Z)|`{3}|~{3})")

_BRACKETS = re.compile(r"\\.|[\[\]()]", re.DOTALL)
_CLOSES = {"[": "]", "(": ")"}
EMOJI = (
    "\\U0001f000-\\U0001faff\\u2600-\\u27bf\\u2b00-\\u2bff\\u2190-\\u21ff\\u2300-\\u23ff\\u25a0-\\u25ff\\u2900-\\u297f"
    "\\u3030\\u303d\\u3297\\u3299\\u00a9\\u00ae\\u203c\\u2049\\u2122\\u2139\\ufe0f\\u200d\\u20e3"
)
# The key of a field that has its line to itself: marks before and after it are no part of it.
_KEY = re.compile(rf"[^\w]*((?:[\w\s/-]|[{EMOJI}])*)[_*~`]*")
_NAME_PART = re.compile(rf"([{EMOJI}]+)|([\w-]+)|(\s+)|.", re.DOTALL)


class Field(Struct, frozen=True, array_like=True, gc=False):
    """An inline field.

    Attributes:
        name: as it is written, without marks around it; see `canonical`.
        value: its text, "" for none.
        start: where the field begins, in characters.
        place: "text", "item" (a list item) or "task" (an item with a box; it is a field of the task alone).
    """

    name: str
    value: str
    start: int
    place: str = "text"


class Item(Struct, frozen=True, array_like=True, gc=False):
    """The list item of a task.

    Attributes:
        line: its line in the file, from 0.
        parent: the line of the list item it is nested in, -1 for none.
        above: the line of the nearest task it is nested in, -1 for none.
        plain: how many list items without a box are nested directly in it.
        words: all its text as it is written, without marker and box; its lines trimmed.
    """

    line: int
    parent: int
    above: int
    plain: int
    words: str


class _Placed(Protocol):
    @property
    def start(self) -> int: ...
    @property
    def text(self) -> str: ...


@dataclass(slots=True)
class _Open:
    """A list item while its lines are gathered: from which column on what is below belongs to it."""

    line: int
    quote: int
    column: int
    box: bool
    parent: "_Open | None"
    parts: list[tuple[int, int]] = field(default_factory=list)
    plain: int = 0


def canonical(name: str) -> str:
    """The form in which a query names a field: lower case, a dash for blanks, without other punctuation.

    "Basic Field!" → "basic-field" (Dataview docs, "Field names").
    """
    return name if name.isascii() and name.isalpha() and name.islower() else _canonical(name)


@lru_cache(maxsize=4096)
def _canonical(name: str) -> str:
    return "".join(
        emoji or words.lower() or ("-" if blanks else "") for emoji, words, blanks in _NAME_PART.findall(name)
    )


def inline(
    text: str, start: int, code: Iterable[tuple[int, int]], tasks: Sequence[_Placed]
) -> tuple[tuple[Item, ...], tuple[Field, ...]]:
    """The list item of each task, and every inline field, in the order of the text.

    Fields stand in lines of their own (`key:: value`) or in brackets (`[key:: value]`, `(key:: value)`) anywhere but in
    code (blacksmithgu/obsidian-dataview, docs "Adding metadata"); in tasks only in brackets. Comments may hold fields.

    Args:
        text: of the note.
        start: where its properties end; the beginning of a line.
        code: where code stands, in order.
        tasks: the tasks of the text, in order.
    """
    if not tasks and text.find("::", start) < 0:
        return (), ()
    lines = _Lines(text, start, _without(text, code), {task.start for task in tasks})
    lines.read()
    items = [lines.boxes.get(task.start) for task in tasks]
    return tuple(
        _item(item, text) if item else Item(text.count("\n", 0, task.start), -1, -1, 0, task.text)
        for item, task in zip(items, tasks, strict=True)
    ), tuple(lines.fields)


def _item(item: _Open, text: str) -> Item:
    above = item.parent
    while above is not None and not above.box:
        above = above.parent
    return Item(
        item.line,
        item.parent.line if item.parent else -1,
        above.line if above else -1,
        item.plain,
        "\n".join(text[begin:end] for begin, end in item.parts),
    )


def _without(text: str, code: Iterable[tuple[int, int]]) -> str:
    """The text with its code blanked out, of the same length, line ends kept."""
    parts: list[str] = []
    kept = 0
    for begin, end in code:
        parts += (text[kept:begin], "\n".join("\0" * len(line) for line in text[begin:end].split("\n")))
        kept = end
    return "".join((*parts, text[kept:])) if parts else text


class _Lines:
    """Reads the lines of a text once, from top to bottom."""

    def __init__(self, text: str, start: int, coded: str, boxes: set[int]) -> None:
        self.text = text
        self.coded = coded
        self.start = start
        self.starts = boxes
        self.boxes: dict[int, _Open] = {}
        self.fields: list[Field] = []
        self.open: list[_Open] = []
        self.current: _Open | None = None

    def read(self) -> None:
        at, blank = self.start, False
        number = self.text.count("\n", 0, at)
        for line in self.coded[at:].split("\n"):
            end = at + len(line)
            if not line or (line[0] in _WORDS and not self.open and "::" not in line):  # as most are
                blank = not line
                at = end + 1
                number += 1
                continue
            lead = _LEAD.match(line)
            assert lead is not None  # noqa: S101 - it fits every line: each of its parts may be empty
            if not self.text[at + len(lead[1]) : end].strip():
                blank = True
            elif lead[3] and not _RULE.fullmatch(line):
                self._begin(number, at, end, lead)
                blank = False
            elif self._goes_on(line, lead, blank=blank):
                if self.current is not None:
                    self.current.parts.append(_trimmed(self.text, at + len(lead[1]), end))
                blank = False
            else:
                self._end()
                blank = False
                if "::" in line and len(line) <= _LINE_CHARS:
                    self._find([_trimmed(self.text, at, end)], "text")
            at = end + 1
            number += 1
        self._end()

    def _begin(self, number: int, at: int, end: int, lead: re.Match[str]) -> None:
        self._close()
        quote = lead[1].count(">")
        indent = _width(lead[2], 0)
        while self.open and (self.open[-1].quote != quote or indent < self.open[-1].column):
            self.open.pop()
        parent = self.open[-1] if self.open else None
        after = indent + len(lead[3])
        gap = _width(lead[4], after) - after
        box = at in self.starts
        item = _Open(number, quote, after + (gap if 1 <= gap <= _TAB else 1), box, parent)
        words = _BOX.match(self.text, at + lead.end(3), end)
        item.parts.append(_trimmed(self.text, words.end() if words else at + lead.end(), end))
        if parent is not None and not box:
            parent.plain += 1
        if box:
            self.boxes[at] = item
        self.open.append(item)
        self.current = item

    def _goes_on(self, line: str, lead: re.Match[str], *, blank: bool) -> bool:
        """Whether a line of text belongs to a list item above it."""
        if not self.open or self.open[-1].quote != lead[1].count(">"):
            return False
        if not blank and not _BREAK.match(line) and not _RULE.fullmatch(line):
            return True
        indent = _width(lead[2], 0)
        if indent >= self.open[-1].column:
            return True
        inside = any(indent >= item.column for item in self.open)
        if inside:
            self._close()  # it belongs to an item further out, whose own text ended before
        return inside

    def _close(self) -> None:
        if self.current is not None:
            self._find(self.current.parts, "task" if self.current.box else "item")
            self.current = None

    def _end(self) -> None:
        self._close()
        self.open.clear()

    def _find(self, parts: list[tuple[int, int]], place: str) -> None:
        """The fields of a line, or of the lines of a list item, which count as one."""
        line = " ".join(self.coded[begin:end] for begin, end in parts)
        if "::" not in line or len(line) > _LINE_CHARS:
            return
        raw = " ".join(self.text[begin:end] for begin, end in parts)
        found = list(_bracketed(line, raw))
        if not found and place != "task":
            found = list(_whole(line, raw))
        for offset, name, value in found:
            if name.strip():
                self.fields.append(Field(name, value, _offset(parts, offset), place))


def _offset(parts: list[tuple[int, int]], at: int) -> int:
    for begin, end in parts:
        if at <= end - begin:
            return begin + at
        at -= end - begin + 1
    return parts[-1][1]


def _trimmed(text: str, begin: int, end: int) -> tuple[int, int]:
    """A span without the blanks around what it holds."""
    words = text[begin:end]
    begin += len(words) - len(words.lstrip())
    return begin, begin + len(words.strip())


def _width(blanks: str, column: int) -> int:
    """The column after some blanks, tabs counted to their stops."""
    for blank in blanks:
        column += _TAB - column % _TAB if blank == "\t" else 1
    return column


def bracketed(line: str) -> list[tuple[str, str]]:
    """The fields in brackets on a line, as (name, value)."""
    return [(name, value) for _, name, value in _bracketed(line, line) if name.strip()]


def _bracketed(line: str, raw: str) -> Iterator[tuple[int, str, str]]:
    """Fields in brackets, as (offset, name, value); brackets nest, a backslash hides the next.

    A name holds no bracket, so a field begins at the nearest bracket before its `::`.
    """
    partner, places = _partners(line)
    begun = dict.fromkeys(_CLOSES, 0)
    found: list[tuple[int, str, str]] = []
    last, at = -1, line.find("::")
    nearest = iter(places)
    opener, ahead = -1, next(nearest, -1)
    while at >= 0:
        while 0 <= ahead < at:
            opener, ahead = ahead, next(nearest, -1)
        mark = line[opener] if opener > last else ""
        close = partner.get(opener, -1)
        if mark in _CLOSES and opener >= begun[mark] and close > at + 1:
            found.append((opener, line[opener + 1 : at].strip(), raw[at + 2 : close].strip()))
            begun[mark] = close + 1
        last = at
        at = line.find("::", at + 1)
    return iter(sorted(found))


def _partners(line: str) -> tuple[dict[int, int], list[int]]:
    """Which bracket closes which, and where brackets stand at all."""
    partner: dict[int, int] = {}
    places: list[int] = []
    waiting: dict[str, list[int]] = {"]": [], ")": []}
    for match in _BRACKETS.finditer(line):
        mark = match[0]
        if mark in _CLOSES:
            waiting[_CLOSES[mark]].append(match.start())
        elif mark in waiting:
            if waiting[mark]:
                partner[waiting[mark].pop()] = match.start()
        elif mark[1] not in "[]()":
            continue
        places.append(match.end() - 1)  # one taken literally opens nothing, but no name goes across it either
    return partner, places


def _whole(line: str, raw: str) -> Iterator[tuple[int, str, str]]:
    """The field that has its line to itself."""
    at = line.find("::")
    key = line[:at].strip()
    found = _KEY.fullmatch(key)
    if found:
        yield line.find(found[1]) if found[1] else 0, found[1], raw[at + 2 :].strip()
