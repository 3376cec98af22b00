"""The properties at the top of a note: split off by python-frontmatter, read behind a guard, always plain JSON."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import frontmatter
import yaml
from frontmatter.default_handlers import BaseHandler

# Larger or deeper than any properties a person keeps. What they guard against: libyaml's composer overflows the stack
# of the process at some 24,000 nested mappings, which no handler can catch; time and memory grow with the size.
LIMIT_CHARS = 64 * 1024
LIMIT_DEPTH = 32
# Longer numbers are texts: JSON readers round them, and Python refuses to print them from 4,300 digits on.
_MOST_DIGITS = 18

_BLOCK = re.compile(r"\A(\ufeff?)---[ \t]*\r?\n(.*?)(?:^---[ \t]*(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE)
# YAML 1.2, core schema (spec 10.3.2), as Obsidian reads properties. Dates stay texts, as do `yes`, `010`, `12:30:00`.
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(rf"[-+]?(?:0|[1-9][0-9]{{0,{_MOST_DIGITS - 1}}})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,2})?")
_NUMERIC = frozenset("+-.0123456789")

# Characters that YAML forbids or takes for the end of a line.
_UNUSUAL = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LONE_RETURN = re.compile(r"\r(?!\n)")
# A line of a simple block: `name: value`, `name:`, `- value`, or nothing. A value without quotes begins with no
# character that has a meaning in YAML, and holds no `: ` and no ` #`.
_FLAT_LINE = re.compile(
    r"(?:(?P<key>[A-Za-z_][\w -]*(?<! )):|(?P<lead>[ ]*)-)(?=[ \t\r\n]|\Z)"
    r"(?:[ \t]+(?P<value>[^\s\"'\[\]{}>|*&!%#`@,:?=<-][^:#\n\r]*(?:(?::(?![ \t\r\n]|\Z)|(?<![ \t])#)[^:#\n\r]*)*"
    r"|\"[^\"\\\n\r]*\"|'[^'\n\r]*'|\[[^\[\]{}\"'#:&*!|>%@`\n\r]*\]))?[ \t]*\r?(?:\n|\Z)|[ ]*\r?\n"
)

_Loader: Any = getattr(yaml, "CLoader", yaml.Loader)


# How the problems begin that are faults of the text; all others are limits of what is read here.
FAULT = "not "


class FrontmatterError(ValueError):
    """The block between the `---` lines is not a list of properties; the message says why and on which line."""


@dataclass(frozen=True, slots=True)
class Front:
    """What stands at the top of a text.

    Attributes:
        properties: name → value: text, number, true, false, None, lists and mappings of these. Empty on a problem.
        body: where the text after the properties, or after a byte order mark, begins, in characters.
        spans: (property, start, end) of every value that may hold a wikilink, in characters of the text.
        problem: why the properties cannot be read, "" when they can.
    """

    properties: dict[str, Any] = field(default_factory=dict)
    body: int = 0
    spans: tuple[tuple[str, int, int], ...] = ()
    problem: str = ""


class _Guarded(BaseHandler):
    """python-frontmatter's handler for this product; one is made for each text, as it keeps the spans."""

    FM_BOUNDARY = re.compile(r"^---[ \t]*\r?$", re.MULTILINE)

    def __init__(self, block: str, offset: int) -> None:
        super().__init__()
        # python-frontmatter hands on a text with other line ends, in which nothing stands where it was.
        self._block = block
        self._offset = offset
        self.spans: list[tuple[str, int, int]] = []

    def split(self, text: str) -> tuple[str, str]:
        """The block between the `---` lines; the caller has found that they are there."""
        found = _BLOCK.match(text)
        return (found[2], "") if found else ("", "")

    def load(self, fm: str, **_: object) -> dict[str, Any]:
        """The properties of a block.

        Raises:
            FrontmatterError: it is too long or deep, uses anchors, or is no YAML mapping.
        """
        del fm
        if len(self._block) > LIMIT_CHARS:
            raise FrontmatterError(f"longer than {LIMIT_CHARS // 1024} thousand characters")
        try:
            return _Composer(self._block, self._offset, self.spans).properties()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f" (line {mark.line + 2})" if mark is not None else ""
            raise FrontmatterError(f"{FAULT}YAML{line}: {getattr(error, 'problem', None) or 'unreadable'}") from None


def read(text: str) -> Front:
    """Read the properties of a text. Never raises: what cannot be read is said in `problem`.

    A block begins on the first line with `---` and ends at the next line that holds only `---`; without that end there
    are no properties.
    """
    found = _BLOCK.match(text) if text.startswith(("---", "\ufeff---")) else None
    if found is None:
        return Front(body=int(text.startswith("\ufeff")))
    flat = _flat(found[2], found.start(2))
    if flat is not None:
        return Front(flat[0], found.end(), flat[1])
    handler = _Guarded(found[2], found.start(2))
    try:
        # A block that splits but loads to nothing is empty properties, not a fault.
        properties, _ = frontmatter.parse(text[len(found[1]) : found.end()], handler=handler)
    except FrontmatterError as error:
        return Front(body=found.end(), problem=str(error))
    return Front(properties, found.end(), tuple(handler.spans))


def _flat(block: str, offset: int) -> tuple[dict[str, Any], tuple[tuple[str, int, int], ...]] | None:
    """The properties and spans of a block that is simple, as most are: texts, numbers and lists of them, line by line.

    It takes a third of the time of the parser. None leaves to that one whatever is not surely read alike by both.
    """
    if len(block) > LIMIT_CHARS or _UNUSUAL.search(block) or ("\r" in block and _LONE_RETURN.search(block)):
        return None
    found: dict[str, Any] = {}
    spans: list[tuple[str, int, int]] = []
    name, indent = "", ""
    items: list[Any] | None = None
    at, end = 0, len(block)
    while at < end:
        line = _FLAT_LINE.match(block, at)
        if line is None:
            return None
        at = line.end()
        key, lead, value = line["key"], line["lead"], line["value"]
        if key is not None:
            name, items = key, None
            if name in found:
                return None
            found[name] = None
            if value is None:
                items = []
            elif value[0] == "[":
                members = _flow(value)
                if members is None:
                    return None
                found[name] = members
                continue
        elif lead is None:
            continue
        elif items is None or (items and lead != indent) or "\t" in line[0] or (value or "")[:1] == "[":
            return None
        else:
            indent = lead
        if value is not None and "[[" in value:
            begin = offset + line.start("value")
            spans.append((name, begin, begin + len(value.rstrip(" \t"))))
        one = None if value is None else value[1:-1] if value[0] in "\"'" else _plain(value.rstrip(" \t"))
        if items is not None and lead is not None:
            items.append(one)
            found[name] = items
        elif value is not None:
            found[name] = one
    return found, tuple(spans)


def _flow(value: str) -> list[Any] | None:
    """The items of `[one, two]`; None when it is not as simple."""
    inside = value[1:-1].strip(" \t")
    if not inside:
        return []
    items = [item.strip(" \t") for item in inside.split(",")]
    return [_plain(item) for item in items] if all(item and item[0] not in "-?~=<" for item in items) else None


class _Composer:
    """Builds values from the events of the YAML parser, which keeps no recursion of its own."""

    def __init__(self, block: str, offset: int, spans: list[tuple[str, int, int]]) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(block, Loader=_Loader))
        self._offset = offset
        self._spans = spans
        self._property = ""

    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] | None = None
        for event in self._events:
            if isinstance(event, yaml.MappingStartEvent) and found is None:
                found = self._mapping(0)
            elif isinstance(event, yaml.ScalarEvent) and found is None and event.value in _NULL:
                found = {}
            elif isinstance(event, yaml.NodeEvent):
                raise FrontmatterError(f"{FAULT}a list of properties (name: value)")
        return found or {}

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                raise FrontmatterError(f"a property without a plain name (line {_line(event)})")
            if event.value in found:
                raise FrontmatterError(f"the property {event.value[:60]!r} is there twice")
            if depth == 0:
                self._property = event.value
            found[event.value] = self._value(next(self._events), depth + 1)
        return found

    def _sequence(self, depth: int) -> tuple[list[Any], int]:
        """The items, and where the list ends in the block."""
        found: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                return found, _end(event)
            found.append(self._value(event, depth + 1))
        return found, 0

    def _value(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            if "[[" in event.value:
                self._note_span(_start(event), _end(event))
            return event.value if event.style or event.tag else _plain(event.value)
        if isinstance(event, yaml.AliasEvent):
            raise FrontmatterError(f"anchors and merge keys are not read (line {_line(event)})")
        if depth > LIMIT_DEPTH:
            raise FrontmatterError(f"nested more than {LIMIT_DEPTH} deep")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth)
        found, end = self._sequence(depth)
        if event.flow_style and _is_link(found):  # `up: [[Home]]`, which YAML takes for a list in a list
            self._note_span(_start(event), end)
            return f"[[{found[0][0]}]]"
        return found

    def _note_span(self, start: int, end: int) -> None:
        self._spans.append((self._property, self._offset + start, self._offset + end))


def _start(event: Any) -> int:
    return int(event.start_mark.index)


def _end(event: Any) -> int:
    return int(event.end_mark.index)


def _line(event: Any) -> int:
    """The line of the file: the first one holds the opening `---`."""
    return int(event.start_mark.line) + 2


def _is_link(value: list[Any]) -> bool:
    return len(value) == 1 and isinstance(value[0], list) and len(value[0]) == 1 and isinstance(value[0][0], str)


def _plain(text: str) -> Any:
    """The value of a scalar without quotes."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] in _NUMERIC:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and not (text.isdigit() or text[1:].isdigit()):
            return float(text)
    return text


@dataclass(frozen=True, slots=True)
class Place:
    """Where a property stands in a text, in characters.

    Attributes:
        key: where its line begins.
        colon: the character after the colon of its name.
        start, end: its value, without blanks and comments around it; equal when it has none.
        style: "plain", "quoted" (with the quote at `start`), "flow" (a list or mapping in brackets), or "block" (over
            several lines).
        items: of a list, where each item stands.
    """

    key: int
    colon: int
    start: int
    end: int
    style: str
    items: tuple[tuple[int, int], ...] = ()


def places(text: str) -> dict[str, Place]:
    """Where each property of a text stands; nothing when it has none.

    Raises:
        FrontmatterError: the properties cannot be read.
    """
    front = read(text)
    if front.problem:
        raise FrontmatterError(front.problem)
    block = _BLOCK.match(text)
    if block is None or not front.properties:
        return {}
    offset = block.start(2)
    found: dict[str, Place] = {}
    events = iter(yaml.parse(block[2], Loader=_Loader))
    next(event for event in events if isinstance(event, yaml.MappingStartEvent))
    for event in events:
        if not isinstance(event, yaml.ScalarEvent):
            break
        key, after = offset + _start(event), offset + _end(event)
        colon = text.index(":", after) + 1
        found[event.value] = _place(next(events), events, text, offset, key, colon)
    return found


def _place(event: Any, events: Iterator[Any], text: str, offset: int, key: int, colon: int) -> Place:
    """The place of one value, whose first event was taken; takes the rest of its events."""
    start = offset + _start(event)
    if isinstance(event, yaml.ScalarEvent):
        style = "quoted" if event.style in ("'", '"') else "block" if event.style else "plain"
        end = offset + _end(event)
        return Place(key, colon, start, start + len(text[start:end].rstrip()), style)
    depth, last, items, began = 1, start, [], start
    while depth:
        inner = next(events)
        if isinstance(inner, yaml.CollectionStartEvent | yaml.ScalarEvent) and depth == 1:
            began = offset + _start(inner)
        depth += isinstance(inner, yaml.CollectionStartEvent) - isinstance(inner, yaml.CollectionEndEvent)
        if isinstance(inner, yaml.ScalarEvent) or (
            isinstance(inner, yaml.CollectionEndEvent) and _end(inner) > _start(inner)
        ):
            last = offset + _end(
                inner
            )  # the end of a block is where the next one begins: only flow has a mark of its own
        if depth == 1 and not isinstance(inner, yaml.CollectionStartEvent):
            items.append((began, last))
    flow = bool(event.flow_style)
    is_list = isinstance(event, yaml.SequenceStartEvent)
    return Place(
        key,
        colon,
        start,
        start + len(text[start:last].rstrip()),
        "flow" if flow else "block",
        tuple(items) if is_list else (),
    )
