"""The values of the Bases language: their types, and when they are equal, true, ordered, and what text they have."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from context import collate
from context.names import fold
from context.unsupported import UnsupportedError

# A wikilink that is the whole of a text: in a property it is a link, not a text (Bases syntax, "Files and links").
_LINK = re.compile(r"\[\[([^\[\]\n|]{0,1000})(?:\|([^\[\]\n]{0,1000}))?\]\]")
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?[ ]?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_PART = re.compile(r"\s*([+-]?\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z]+)\s*", re.ASCII)
_ISO_DURATION = re.compile(
    r"(-?)P(?:(\d{1,9})Y)?(?:(\d{1,9})M)?(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)

_CHECKED = {"true": True, "false": False}

_MILLISECONDS = {"d": 86_400_000, "w": 604_800_000, "h": 3_600_000, "m": 60_000, "s": 1000}
# Bases syntax, "Date arithmetic": the letters are told apart by case (M month, m minute), the words are not.
_UNITS = {
    word: unit
    for unit, words in {
        "y": "year years", "M": "month months", "d": "day days", "w": "week weeks", "h": "hour hours",
        "m": "minute minutes", "s": "second seconds",
    }.items()
    for word in (unit, *words.split())
}  # fmt: skip


class FormulaError(Exception):
    """An expression has no value for one file, where the app would show an error instead of one."""


class Tag(str):
    """A tag without its `#`. Equal to a text that names it with or without `#`, in any case."""

    __slots__ = ()


class Rendered(str):
    """What html(), image() and icon() give: shown in a column, nothing to compare with."""

    __slots__ = ()


class Milliseconds(float):
    """The difference of two dates: a number, as the documentation says, with the fields that the app gives it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Date:
    """A day or a moment, in the person's zone; `raw` is the text of the property it comes from."""

    when: datetime
    timed: bool
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: calendar months and milliseconds, as months have no fixed length."""

    months: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class File:
    """A file of the vault."""

    path: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link: the text of its target, the text shown for it, and the file it points to, "" when there is none."""

    target: str
    display: str
    path: str


@dataclass(frozen=True, slots=True)
class Values:
    """Makes values of what properties hold.

    Attributes:
        resolve: (target, path of the linking file) → the path a link means, or None.
        zone: of the person.
    """

    resolve: Callable[[str, str], str | None]
    zone: tzinfo | None
    links: dict[tuple[str, str, str], Link] = field(default_factory=dict)
    dates: dict[str, Date | None] = field(default_factory=dict)

    def of(self, value: Any, source: str) -> Any:
        """The value of a property, as JSON has it, of the file `source`."""
        if isinstance(value, str):
            if value.startswith("[[") and _LINK.fullmatch(value.strip()):
                return self.link(value, source)
            if len(value) >= 10 and value[4] == "-":
                return self.date(value) or value
            return value
        if isinstance(value, list):
            return [self.of(item, source) for item in value]
        if isinstance(value, dict):
            return {name: self.of(item, source) for name, item in value.items()}
        return value

    def typed(self, value: Any, source: str, assigned: str) -> Any:
        """The value of a property to which the person assigned a type; what is not of it stays as it is written.

        "Dates represent a specific date, or a date and time depending on … that type that has been assigned to the
        property" (Bases syntax, "Dates and durations"); texts sort as texts, numbers by size (Views, "Add a sort").
        """
        if not isinstance(value, str):
            return self.of(value, source)
        if assigned == "text":
            return self.link(value, source) if _LINK.fullmatch(value.strip()) else value
        if assigned in ("date", "datetime"):
            found = self.date(value)
            if found is not None and assigned == "date":
                return Date(found.when.replace(hour=0, minute=0, second=0, microsecond=0), timed=False)
            return self.of(value, source) if found is None else Date(found.when, timed=True)
        read: bool | float | None = None
        if assigned == "checkbox":
            read = _CHECKED.get(value)
        elif assigned == "number":
            read = number_of(value) if value.strip() else None
        return self.of(value, source) if read is None else read

    def link(self, text: str, source: str, display: str = "") -> Link:
        """The link that a text means: `Note`, `Folder/Note.md`, `[[Note#Heading|shown]]`, or an address."""
        known = self.links.get((text, source, display))
        if known is None:
            known = self.links[text, source, display] = self._link(text, source, display)
        return known

    def _link(self, text: str, source: str, display: str) -> Link:
        found = _LINK.fullmatch(text.strip())
        target, shown = (found[1].strip(), (found[2] or "").strip()) if found else (text.strip(), "")
        path = None if "://" in target else self.resolve(target.partition("#")[0], source)
        return Link(target, display or shown, path or "")

    def date(self, text: str) -> Date | None:
        """The date a text writes (ISO 8601), or None."""
        if text not in self.dates:
            self.dates[text] = self._date(text)
        return self.dates[text]

    def _date(self, text: str) -> Date | None:
        found = _DATE.fullmatch(text.strip())
        if found is None:
            return None
        year, month, day, hour, minute, second, fraction, offset = found.groups()
        try:
            if hour is None:
                return Date(datetime(int(year), int(month), int(day)), timed=False, raw=text)  # noqa: DTZ001 - local
            when = datetime(  # noqa: DTZ001 - the person's zone, or moved to it below
                int(year), int(month), int(day), int(hour), int(minute), int(second or 0),
                int((fraction or "0")[:6].ljust(6, "0")),
            )  # fmt: skip
            if offset:
                zoned = datetime.strptime(offset.replace(":", ""), "%z").tzinfo
                when = when.replace(tzinfo=zoned).astimezone(self.zone).replace(tzinfo=None)
        except (ValueError, OverflowError):
            return None
        return Date(when, timed=True, raw=text)

    def epoch(self, when: Date) -> float:
        """Milliseconds since 1970 UTC."""
        try:
            return when.when.replace(tzinfo=self.zone).timestamp() * 1000
        except (ValueError, OverflowError):
            raise FormulaError("a date out of range") from None


def duration(text: str) -> Duration | None:
    """The duration a text writes: `1d`, `2 weeks`, `1M 2h`, or ISO 8601; None when it writes none."""
    months = milliseconds = 0.0
    at = 0
    while found := _PART.match(text, at):
        unit = _UNITS.get(found[2]) or _UNITS.get(found[2].lower() if len(found[2]) > 1 else "")
        if unit is None:
            return None
        if unit in "yM":
            months += float(found[1]) * (12 if unit == "y" else 1)
        else:
            milliseconds += float(found[1]) * _MILLISECONDS[unit]
        at = found.end()
    if at and at == len(text):
        return Duration(months, milliseconds)
    iso = _ISO_DURATION.fullmatch(text.strip())
    if at or iso is None or not any(iso.groups()[1:]):
        return None
    sign = -1 if iso[1] else 1
    years, month, weeks, days, hours, minutes, seconds = (int(part or 0) * sign for part in iso.groups()[1:])
    span = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return Duration(years * 12 + month, span.total_seconds() * 1000)


def shifted(start: Date, by: Duration, sign: int = 1) -> Date:
    """A date moved by a duration: months keep the day where the month has it, else its last day (moment.js)."""
    if by.months % 1:
        raise UnsupportedError("a part of a month")
    try:
        count = start.when.year * 12 + start.when.month - 1 + sign * int(by.months)
        year, month = divmod(count, 12)
        last = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
        when = start.when.replace(year=year, month=month + 1, day=min(start.when.day, last))
        when += sign * timedelta(milliseconds=by.milliseconds)
    except (ValueError, OverflowError):
        raise FormulaError("a date out of range") from None
    return Date(when, timed=start.timed or bool(by.milliseconds % _MILLISECONDS["d"]))


def length(span: Duration) -> float:
    """A duration in milliseconds."""
    if span.months:
        raise UnsupportedError("the length of a month")
    return span.milliseconds


_KINDS = {
    bool: "boolean", int: "number", float: "number", Milliseconds: "number", str: "string", Tag: "string",
    Rendered: "string", list: "list", dict: "object",
}  # fmt: skip


def kind(value: Any) -> str:
    """The name of a value's type, as isType() has it."""
    if value is None:
        return "null"
    exact = _KINDS.get(type(value))
    return exact or type(value).__name__.lower()


def is_true(value: Any) -> bool:
    """Whether a value counts as true: null, false, 0, NaN, "" and what is empty do not."""
    if value is True or value is False:
        return value
    if isinstance(value, float) and math.isnan(value):
        return False
    if isinstance(value, Duration):
        return bool(value.months or value.milliseconds)
    return bool(value)


def number_of(text: str) -> float | None:
    """The number a text writes, as JavaScript's Number() reads it; None for no number. A blank text is 0."""
    bare = text.strip()
    if not bare:
        return 0
    return float(bare) if _NUMBER.fullmatch(bare) else None


def equal(left: Any, right: Any, values: Values) -> bool:
    """Whether two values are loosely equal.

    Links and files are equal when they mean the same file, and links to nothing when their text is (Bases syntax,
    "Files and links"). A text and a number, a date or a boolean are compared as what the text writes, as `==` of
    JavaScript does; a list of one is equal to what it holds; null is equal to null alone.
    """
    if type(left) is str and type(right) is str:
        return left == right
    if left is None or right is None:
        return left is right
    a, b = kind(left), kind(right)
    if a != b:
        return _across(left, right, a, b, values)
    if a == "string":
        if isinstance(left, Tag) or isinstance(right, Tag):
            return fold(left.removeprefix("#")) == fold(right.removeprefix("#"))
        return str(left) == str(right)
    if a == "list":
        return len(left) == len(right) and all(equal(x, y, values) for x, y in zip(left, right, strict=True))
    if a == "object":
        return left.keys() == right.keys() and all(equal(left[name], right[name], values) for name in left)
    if a == "date":
        return bool(left.when == right.when)
    if a == "link":
        return bool(left.path == right.path if left.path or right.path else left.target == right.target)
    return bool(left == right)


def _across(left: Any, right: Any, a: str, b: str, values: Values) -> bool:
    """Equality of values of two types."""
    if (one := {a: left, b: right}.get("list")) is not None:
        other = right if a == "list" else left
        return len(one) == 1 and not isinstance(one[0], list) and equal(one[0], other, values)
    pair = {a: left, b: right}
    if pair.keys() == {"link", "file"}:
        return bool(pair["link"].path == pair["file"].path)
    if pair.keys() == {"link", "string"}:
        link = pair["link"]
        named = values.link(pair["string"], "")
        return equal(link, named, values) or pair["string"] in (link.target, text_of(link))
    if pair.keys() == {"date", "string"}:
        read = values.date(pair["string"])
        return read is not None and read.when == pair["date"].when
    if pair.keys() <= {"number", "boolean", "string"}:
        x, y = (number_of(one) if isinstance(one, str) else one for one in (left, right))
        return x is not None and y is not None and x == y
    if pair.keys() == {"number", "duration"}:
        return bool(length(pair["duration"]) == pair["number"])
    return False


def order(left: Any, right: Any, values: Values) -> int | None:
    """-1, 0 or 1 as left is smaller, equal or larger; None when the two have no order."""
    a, b = kind(left), kind(right)
    if a == b == "string":
        x, y = str(left), str(right)
        return (x > y) - (x < y)
    if {a, b} == {"date", "string"}:
        left, right = (values.date(one) if isinstance(one, str) else one for one in (left, right))
        a = b = "date" if left and right else ""
    if a == b == "date":
        return int(left.when > right.when) - int(left.when < right.when)
    numbers = [_number(one, values) for one in (left, right)]
    if "date" in (a, b) and not {a, b} <= {"date", "number"}:
        return None
    if numbers[0] is None or numbers[1] is None or math.isnan(numbers[0]) or math.isnan(numbers[1]):
        return None
    return (numbers[0] > numbers[1]) - (numbers[0] < numbers[1])


def _number(value: Any, values: Values) -> float | None:
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        return number_of(value)
    if isinstance(value, Duration):
        return length(value)
    return values.epoch(value) if isinstance(value, Date) else None


def text_of(value: Any) -> str:
    """The text of a value, as toString() gives it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        return ", ".join(map(text_of, value))
    if isinstance(value, Date):
        return value.when.strftime("%Y-%m-%dT%H:%M:%S" if value.timed else "%Y-%m-%d").rjust(10, "0")
    if isinstance(value, Link):
        return f"[[{value.target}|{value.display}]]" if value.display else f"[[{value.target}]]"
    if isinstance(value, File):
        return value.path
    raise UnsupportedError(f"the text of a value of type {kind(value)}")


def number_text(value: float) -> str:
    """A number as JavaScript writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    text = repr(float(value))
    if "e" not in text or 1e-6 <= abs(value) < 1e21:
        return text if "e" not in text else f"{value:.20f}".rstrip("0")
    digits, _, exponent = text.partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent):+d}"


# How values of different types follow one another in a sorted list; nothing comes last whatever the direction.
_RANKS = {"boolean": 0, "number": 1, "duration": 2, "date": 3, "string": 4, "link": 4, "file": 4, "list": 4}


def sort_key(value: Any) -> tuple[int, float, tuple[str, ...]]:
    """What a value is sorted by: texts alphabetically, numbers and dates by size."""
    rank = _RANKS.get(kind(value), 5)
    if isinstance(value, bool | int | float):
        return rank, math.inf if math.isnan(value) else float(value), ()
    if isinstance(value, Duration):
        return rank, value.months * 30 * _MILLISECONDS["d"] + value.milliseconds, ()
    if isinstance(value, Date):
        # Days and microseconds apart: one float would lose the microseconds.
        day = value.when - datetime(1, 1, 1)  # noqa: DTZ001 - both are local
        return rank, day.days, (f"{day.seconds:05}{day.microseconds:06}",)
    return rank, 0, collate.order(_sorted_text(value)) if rank == _RANKS["string"] else ()


def _sorted_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_sorted_text, value))
    if isinstance(value, Link):
        return value.display or value.target
    return "" if isinstance(value, dict | Duration) else text_of(value)


def is_nothing(value: Any) -> bool:
    """Whether a value is missing or empty, for sorting and grouping."""
    return value is None or (isinstance(value, str | list | dict) and not value)
