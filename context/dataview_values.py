"""The values of Dataview's query language: dates, durations, links, objects; how they compare and read as text."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple
from zoneinfo import ZoneInfo

from context.calendar import MONTHS
from context.collate import order, same
from context.inline import EMOJI
from context.unsupported import UnsupportedError

# Longer texts, lists and nestings than these are no values of a note.
MOST_CHARS = 1_000_000
MOST_SPAN_CHARS = 200
_MOST_EXACT = 1 << 53


class RowError(Exception):
    """An expression has no value for this row: Dataview leaves the row out, and shows the error if all rows have it."""


class Thing:
    """An object whose fields are found when they are asked for."""

    __slots__ = ()

    def get(self, key: str) -> Any:
        """The value of a field; None when there is none."""
        raise NotImplementedError

    def has(self, key: str) -> bool:
        """Whether there is such a field, be it empty."""
        raise NotImplementedError

    def keys(self) -> list[str]:
        """The names of all fields."""
        raise NotImplementedError


class Widget(str):
    """What is shown as it is, like a link to the web: no text to the language."""

    __slots__ = ()


class Link(NamedTuple):
    """A link: path, what it shows, and the heading or block in the file; `kind` is file, header or block."""

    path: str
    display: str | None = None
    subpath: str | None = None
    embed: bool = False
    kind: str = "file"


Normal = Callable[[str], str]

# Accounts for the size of what is compared or written as text: a small list may hold another one many times over.
SPEND: ContextVar[Callable[[int], None]] = ContextVar("SPEND", default=lambda _: None)


def spend(steps: int) -> None:
    """Account for work that is done below the expressions.

    Raises:
        UnsupportedError: it is more than a query may take.
    """
    SPEND.get()(steps)


# How many characters cost as much as one part of an expression.
CHARS_A_STEP = 64


# ------------------------------------------------------------------------------------------------ durations

UNITS = ("years", "months", "weeks", "days", "hours", "minutes", "seconds", "milliseconds")
# How the units are converted where nobody says from which day on (luxon, "Duration Math", the casual matrix).
_INTO: tuple[dict[str, float], ...] = (
    {"months": 12, "weeks": 52, "days": 365, "hours": 8760, "minutes": 525600, "seconds": 31536000},
    {"weeks": 4, "days": 30, "hours": 720, "minutes": 43200, "seconds": 2592000},
    {"days": 7, "hours": 168, "minutes": 10080, "seconds": 604800},
    {"hours": 24, "minutes": 1440, "seconds": 86400},
    {"minutes": 60, "seconds": 3600},
    {"seconds": 60},
    {"seconds": 1},
    {"seconds": 0.001},
)
_MATRIX = {unit: {**into, "milliseconds": into["seconds"] * 1000} for unit, into in zip(UNITS, _INTO, strict=True)}


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time by its units, in the order of `UNITS`; a month stays a month until it is measured."""

    values: tuple[float, ...] = (0,) * len(UNITS)

    ZERO: ClassVar["Duration"]

    @classmethod
    def of(cls, **values: float) -> "Duration":
        """A duration of some units: Duration.of(days=2)."""
        return cls(tuple(values.get(unit, 0) for unit in UNITS))

    @property
    def milliseconds(self) -> float:
        """How long it is, a year counted as 365 days and a month as 30."""
        return sum(value * _MATRIX[unit]["milliseconds"] for value, unit in zip(self.values, UNITS, strict=True))

    def plus(self, other: "Duration", sign: int = 1) -> "Duration":
        """Unit by unit."""
        return Duration(tuple(one + sign * two for one, two in zip(self.values, other.values, strict=True)))

    def times(self, factor: float) -> "Duration":
        """Each unit by a number."""
        return Duration(tuple(value * factor for value in self.values))

    def shifted(self, units: Iterable[str] = UNITS) -> dict[str, float]:
        """The same duration in these units, each whole but for the last, none larger than the next one holds."""
        wanted = [unit for unit in UNITS if unit in set(units)]
        built: dict[str, float] = {}
        left: dict[str, float] = {}
        last = wanted[-1]
        for unit, value in zip(UNITS, self.values, strict=True):
            if unit not in wanted:
                left[unit] = value
                continue
            own = value + sum(_MATRIX[higher][unit] * amount for higher, amount in left.items() if amount)
            left = dict.fromkeys(left, 0)
            built[unit] = math.trunc(own)
            left[unit] = (own * 1000 - built[unit] * 1000) / 1000
        for unit, amount in left.items():
            if amount:
                built[last] += amount if unit == last else amount / _MATRIX[last][unit]
        return _carried(built)

    def normal(self) -> "Duration":
        """In all units, as Dataview keeps what it reckons: 40 days are a month, a week and five days."""
        shifted = self.shifted()
        return Duration(tuple(_carried(shifted).values()))


Duration.ZERO = Duration()


def _carried(values: dict[str, float]) -> dict[str, float]:
    """Units above what the next higher holds go up, and parts of units go down."""
    total = sum(value * _MATRIX[unit]["milliseconds"] for unit, value in values.items())
    sign = -1 if total < 0 else 1
    units = [unit for unit in UNITS if unit in values]
    values = dict(values)
    for higher, lower in zip(units[-2::-1], units[:0:-1], strict=True):
        up = math.floor(values[lower] * sign / _MATRIX[higher][lower])
        values[higher] += up * sign
        values[lower] -= up * _MATRIX[higher][lower] * sign
    for higher, lower in pairwise(units):
        part = math.fmod(values[higher], 1)
        values[higher] -= part
        values[lower] += part * _MATRIX[higher][lower]
    return values


# ------------------------------------------------------------------------------------------------ dates


class Zone:
    """The person's zone. Dates in it are kept as the clock on the wall shows them; others carry their own zone."""

    def __init__(self, now: datetime) -> None:
        """The zone of an instant; an offset that is the machine's own of that instant stands for the machine's zone."""
        zone = now.tzinfo
        own = zone is None or (isinstance(zone, timezone) and now.astimezone().utcoffset() == now.utcoffset())
        self._zone: tzinfo | None = None if own and zone is not UTC else zone
        self.now = now.replace(tzinfo=None, microsecond=now.microsecond // 1000 * 1000)

    def instant(self, when: datetime) -> datetime:
        """The instant of a date, in UTC."""
        if when.tzinfo is None:
            when = when.replace(tzinfo=self._zone) if self._zone is not None else when.astimezone()
        return when.astimezone(UTC)

    def local(self, when: datetime) -> datetime:
        """An instant as the person's clock shows it."""
        return when.astimezone(self._zone).replace(tzinfo=None)

    def at(self, milliseconds: float) -> datetime:
        """The date of an instant given in milliseconds since the epoch.

        Raises:
            RowError: there is no such date.
        """
        try:
            return datetime.fromtimestamp(math.floor(milliseconds) / 1000, self._zone).replace(tzinfo=None)
        except (OverflowError, ValueError, OSError):
            raise RowError("no such date") from None

    def milliseconds(self, when: datetime) -> int:
        """Milliseconds since the epoch."""
        return round((self.instant(when) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def moved(when: datetime, by: Duration, sign: int, zone: Zone) -> datetime:
    """A date later or earlier: years and months by the calendar, the day kept within the month, hours as time passes.

    Raises:
        RowError: the result is out of the calendar.
    """
    years, months, weeks, days, *times = (sign * value for value in by.values)
    whole = when.year * 12 + when.month - 1 + math.trunc(years) * 12 + math.trunc(months)
    year, month = divmod(whole, 12)
    parts = Duration((*(math.fmod(value, 1) for value in (years, months, weeks, days)), *times))
    try:
        day = min(when.day, _days_in(year, month + 1))
        found = when.replace(year=year, month=month + 1, day=day)
        found += timedelta(days=math.trunc(days) + math.trunc(weeks) * 7)
        rest = parts.milliseconds
        if not rest:
            return found
        later = zone.instant(found) + timedelta(milliseconds=round(rest))
        return zone.local(later) if found.tzinfo is None else later.astimezone(found.tzinfo)
    except (OverflowError, ValueError):
        raise RowError("no such date") from None


def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def between(earlier: datetime, later: datetime, zone: Zone) -> Duration:
    """How long it is from one date to another, in all units but weeks; negative when it is the other way."""
    sign = 1
    first, second = zone.instant(earlier), zone.instant(later)
    if second < first:
        earlier, later, first, second, sign = later, earlier, second, first, -1
    counted = {"years": 0, "months": 0, "days": 0}
    cursor = earlier
    for unit in counted:
        counted[unit] = {
            "years": later.year - cursor.year,
            "months": later.month - cursor.month + (later.year - cursor.year) * 12,
            "days": (later.date() - cursor.date()).days,
        }[unit]
        ahead = moved(earlier, Duration.of(**counted), 1, zone)
        while zone.instant(ahead) > second:
            counted[unit] -= 1
            ahead = moved(earlier, Duration.of(**counted), 1, zone)
        cursor = ahead
    rest = (second - zone.instant(cursor)) / timedelta(milliseconds=1)
    found = Duration.of(**counted).plus(Duration(tuple(_pad(Duration.of(milliseconds=rest).shifted(UNITS[4:])))))
    return found.times(sign).normal()


def _pad(values: Mapping[str, float]) -> list[float]:
    return [values.get(unit, 0) for unit in UNITS]


def midnight(when: datetime) -> datetime:
    """The day of a date, without its time, in the person's zone."""
    return datetime(when.year, when.month, when.day)  # noqa: DTZ001 - dates of the person's zone carry none


# ------------------------------------------------------------------------------------------------ reading values

_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{3}))?"
    r"(Z|[+-][0-9]{1,2}(?::[0-9]{2})?|\[[0-9A-Za-z+\-./,]+\])?)?)?)?)?"
)
_UNIT_NAMES = {
    "years": ("year", "years", "yr", "yrs"), "months": ("month", "months", "mo", "mos"),
    "weeks": ("week", "weeks", "wk", "wks", "w"), "days": ("day", "days", "d"),
    "hours": ("hour", "hours", "hr", "hrs", "h"), "minutes": ("minute", "minutes", "min", "mins", "m"),
    "seconds": ("second", "seconds", "sec", "secs", "s"),
}  # fmt: skip
_UNIT_OF = {name: unit for unit, names in _UNIT_NAMES.items() for name in names}
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_UNIT = "|".join(sorted(_UNIT_OF, key=len, reverse=True))
_SPAN = re.compile(rf"({_NUMBER})\s*({_UNIT})")
_SPANS = re.compile(rf"{_NUMBER}\s*(?:{_UNIT})(?:(?:\s*,\s*|\s*){_NUMBER}\s*(?:{_UNIT}))*")
TAG = r"#[^\u2000-\u206f\u2e00-\u2e7f'!\"#$%&()*+,.:;<=>?@^`{|}~\[\]\\\s]*"
TEXT = r'"(?:[^"\\]|\\.)*"'
_ESCAPE = re.compile(r'\\(["\\])')
_LINK = re.compile(r"!?\[\[([^\[\]]*?)\]\]")


def unquoted(text: str) -> str:
    """The text between quotes; a backslash before another character than a quote or itself stays."""
    return _ESCAPE.sub(r"\1", text[1:-1])


def number(text: str) -> float:
    """The number of a text that is one; whole ones stay whole."""
    return float(text) if "." in text or len(text) > 15 else int(text)


# What an inline field may hold beside dates, durations and links: (pattern, what it means), the first that fits.
_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(TEXT, re.DOTALL), unquoted),
    (re.compile(TAG), str),
    (_LINK, lambda found: read_link(found[found.index("[") + 2 : -2], embed=found[0] == "!")),
    (re.compile("true|false|True|False"), lambda found: found.lower() == "true"),
    (re.compile(_NUMBER), number),
    (re.compile("null"), str),  # a text, unlike in a query
)
_COMMA = re.compile(r"\s*,\s*")
_HEADING_PART = re.compile(rf"[{EMOJI}\w-]+")


def read_date(text: str, at: int = 0) -> tuple[datetime, int] | None:
    """The date that a text begins with, and where it ends: YYYY-MM[-DD[THH[:mm[:ss[.SSS][zone]]]]].

    Nothing is checked but the month: a day too many counts into the next month (luxon, `DateTime.set`).
    """
    found = _DATE.match(text, at)
    if found is None:
        return None
    year, month, day, hour, minute, second, thousandth = (int(part) if part else 0 for part in found.groups()[:7])
    try:
        when = datetime(year, month, 1) + timedelta(  # noqa: DTZ001 - dates of the person's zone carry none
            days=(day if found[3] else 1) - 1, hours=hour, minutes=minute, seconds=second, milliseconds=thousandth
        )
        return (when.replace(tzinfo=_zone(found[8])) if found[8] else when), found.end()
    except (ValueError, OverflowError, KeyError, OSError):
        return None


@lru_cache(maxsize=64)
def _zone(text: str) -> tzinfo:
    """The zone written after a time: Z, an offset, or a name in brackets.

    Raises:
        ValueError, KeyError: there is no such zone.
    """
    if text == "Z":
        return UTC
    if text.startswith("["):
        return ZoneInfo(text[1:-1])
    hours, _, minutes = text[1:].partition(":")
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return timezone(offset if text[0] == "+" else -offset)


def read_duration(text: str, at: int = 0) -> tuple[Duration, int] | None:
    """The duration that a text begins with, and where it ends: `2 weeks`, `6 hours, 4 minutes`, `6hr4min`."""
    found = _SPANS.match(text, at)
    if found is None:
        return None
    total = Duration.ZERO
    if len(found[0]) > MOST_SPAN_CHARS:
        return None
    for part in _SPAN.finditer(found[0]):
        total = total.plus(Duration.of(**{_UNIT_OF[part[2]]: number(part[1])}))
    return total, found.end()


def read_link(inner: str, *, embed: bool = False) -> Link:
    """The link of what stands between `[[` and `]]`."""
    path, bar, display = re.sub(r"\\\|", "\0", inner).partition("|")
    path = path.replace("\0", "|")
    shown = display.replace("\0", "\\|") if bar else None
    if "#^" in path:
        path, _, sub = path.partition("#^")
        return Link(path, shown, sub.split("#^")[0], embed, "block")
    if "#" in path:
        path, _, sub = path.partition("#")
        return heading(path, sub.split("#")[0], shown, embed=embed)
    return Link(path, shown, None, embed)


def heading(path: str, text: str, display: str | None = None, *, embed: bool = False) -> Link:
    """A link to a heading, its text as links have it: without punctuation."""
    return Link(path, display, " ".join(_HEADING_PART.findall(text)), embed, "header")


@lru_cache(maxsize=1 << 15)
def of_property(text: str) -> Any:
    """The value of a text in a property: a date, a duration, a link, or the text (Dataview docs, "Field Types")."""
    first = text[:1]
    if first.isdigit() or first == "-":
        if (date := read_date(text)) and date[1] == len(text):
            return date[0]
        if (span := read_duration(text)) and span[1] == len(text):
            return span[0]
    elif first in ("[", "!") and (found := _LINK.fullmatch(text)):
        return read_link(found[1], embed=first == "!")
    return text


@lru_cache(maxsize=1 << 15)
def of_field(text: str) -> Any:
    """The value of an inline field, or several of them separated by commas (Dataview docs, "Field Types").

    A value is a date, duration, quoted text, tag, link, number, true or false; anything else makes the whole a text,
    and nothing at all is null.
    """
    if not text.strip():
        return None
    atom = _atom(text, 0)
    if atom is None:
        return text
    value, end = atom
    if end == len(text):
        return value
    values = [value]
    while comma := _COMMA.match(text, end):
        atom = _atom(text, comma.end())
        if atom is None:
            end = comma.end() if len(values) == 1 else end  # a comma may follow the first value alone
            break
        values.append(atom[0])
        end = atom[1]
    return values if end == len(text) else text


def _atom(text: str, at: int) -> tuple[Any, int] | None:
    if date := read_date(text, at):
        return date
    if span := read_duration(text, at):
        return span[0].normal(), span[1]
    for pattern, meaning in _PLAIN:
        if found := pattern.match(text, at):
            return meaning(found[0]), found.end()
    return None


# ------------------------------------------------------------------------------------------------ what values are

_TYPES: dict[type, str] = {
    type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", datetime: "date",
    Duration: "duration", Link: "link", list: "array", dict: "object", Widget: "widget",
}  # fmt: skip


def kind(value: Any) -> str:
    """The type of a value, as `typeof` calls it."""
    found = _TYPES.get(type(value))
    if found is None:
        return "object" if isinstance(value, Thing) else "function"
    return found


def truthy(value: Any) -> bool:
    """Whether a value counts as true: nothing, 0, false, and what is empty do not."""
    shape = type(value)
    if shape is Link:
        return bool(value.path)
    if shape is Duration:
        return bool(value.milliseconds)
    if shape is datetime or shape is Widget:
        return True
    return bool(value.keys()) if isinstance(value, Thing) else bool(value)


def entries(value: Any) -> dict[str, Any]:
    """The fields of an object."""
    return {key: value.get(key) for key in value.keys()} if isinstance(value, Thing) else value  # noqa: SIM118


def equal(first: Any, second: Any, zone: Zone, normal: Normal) -> bool:
    """Whether two values are equal (`=`): of one type and the same; dates of one zone, durations of equal units."""
    shape = type(first)
    if shape is type(second):
        if shape is str:
            return same(first, second)
        if shape is int or shape is bool:
            return bool(first == second)
        if shape is Link:
            return (
                same(normal(first.path), normal(second.path))
                and first.kind == second.kind
                and same(first.subpath or "", second.subpath or "")
            )
    return compare(first, second, zone, normal) == 0


def compare(first: Any, second: Any, zone: Zone, normal: Normal | None = None) -> int:
    """The order of two values of any types: below 0, 0, above 0. Nothing comes first, then type by type by name."""
    if first is None or second is None:
        return (first is not None) - (second is not None)
    one, two = kind(first), kind(second)
    if one != two:
        return -1 if one < two else 1
    if one == "string":
        return 0 if same(first, second) else _sign(order(first), order(second))
    if one in ("number", "boolean"):
        return -1 if first < second else 0 if first == second else 1
    if one == "date":
        if first.tzinfo is second.tzinfo:
            return _sign(first, second)
        before = zone.instant(first) < zone.instant(second)
        # Dates of two zones are never equal, be they the same instant (luxon, `equals`).
        return -1 if before else 1
    if one == "duration":
        if first.milliseconds < second.milliseconds:
            return -1
        return 0 if first.values == second.values else 1
    if one == "link":
        return _compare_links(first, second, normal or (lambda path: path))
    if one == "array":
        spend(3 + min(len(first), len(second)))
        for left, right in zip(first, second, strict=False):
            if difference := compare(left, right, zone):
                return difference
        return len(first) - len(second)
    if one == "object":
        left, right = entries(first), entries(second)
        spend(3 + len(left))
        if difference := compare(sorted(left), sorted(right), zone):
            return difference
        return next((found for key in sorted(left) if (found := compare(left[key], right[key], zone))), 0)
    return 0


def _sign(first: Any, second: Any) -> int:
    return int(first > second) - int(first < second)


def _compare_links(first: Link, second: Link, normal: Normal) -> int:
    """By the file they mean, then by kind, then by heading or block; what they show does not count."""
    if difference := _sign(order(normal(first.path)), order(normal(second.path))):
        return difference
    if first.kind != second.kind:
        return _sign(first.kind, second.kind)
    if bool(first.subpath) != bool(second.subpath):
        return 1 if first.subpath else -1
    return _sign(order(first.subpath or ""), order(second.subpath or ""))


def sort_key(value: Any, zone: Zone, normal: Normal | None) -> tuple[Any, ...]:
    """A key that orders values as `compare` does."""
    if value is None:
        return ("",)
    name = kind(value)
    if name == "string":
        return (name, order(value))
    if name in ("number", "boolean"):
        return (name, math.inf if value != value else value)  # noqa: PLR0124 - that is what tells a NaN
    if name == "date":
        return (name, zone.local(value) if value.tzinfo else value)
    if name == "duration":
        return (name, value.milliseconds)
    if name == "link":
        path = normal(value.path) if normal else value.path
        return (name, order(path), value.kind, order(value.subpath or ""))
    if name == "array":
        spend(3 + len(value))
        return (name, *(sort_key(item, zone, None) for item in value))
    if name == "object":
        items = sorted(entries(value).items())
        spend(3 + len(items))
        return (name, [order(key) for key, _ in items], [sort_key(item, zone, None) for _, item in items])
    return (name,)


# ------------------------------------------------------------------------------------------------ as text


def text(value: Any, *, inside: bool = False) -> str:
    """A value as Dataview writes it into a text, by its default settings and in English."""
    if value is None:
        return "\\-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, datetime):
        day = f"{MONTHS[value.month - 1]} {value.day:02}, {value.year:04}"
        if value.hour == value.minute == value.second == 0:
            return day
        return f"{value.hour % 12 or 12}:{value.minute:02} {'AM' if value.hour < 12 else 'PM'} - {day}"
    if isinstance(value, Duration):
        return duration_text(value)
    if isinstance(value, Link):
        return link_text(value)
    if isinstance(value, list):
        joined = joined_texts(", ", [text(item, inside=True) for item in value])
        return f"[{joined}]" if inside else joined
    if isinstance(value, dict | Thing):
        pairs = [f"{key}: {text(item, inside=True)}" for key, item in entries(value).items()]
        return "{ " + joined_texts(", ", pairs) + " }"
    return "<function>"


def joined_texts(separator: str, parts: list[str]) -> str:
    """Texts with a separator between them, accounted for before they are put together."""
    spend(3 + len(parts) + (sum(map(len, parts)) + len(separator) * len(parts)) // CHARS_A_STEP)
    return separator.join(parts)


def number_text(value: float) -> str:
    """A number as JavaScript writes it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    digits = repr(float(value))
    mantissa, exponent, power = digits.partition("e")
    if not exponent:
        return digits
    if -7 < int(power) < 0:
        return f"{value:.{-int(power) + len(mantissa.lstrip('-').replace('.', '').rstrip('0')) - 1}f}"
    return f"{mantissa.removesuffix('.0')}e{'+' if int(power) > 0 else '-'}{abs(int(power))}"


def duration_text(value: Duration) -> str:
    """The units of a duration that are not 0: "1 week, 2 days"."""
    parts = zip(UNITS, value.normal().values, strict=True)
    return ", ".join(
        f"{_grouped(amount)} {unit[:-1] if abs(amount) == 1 else unit}" for unit, amount in parts if amount
    )


def _grouped(amount: float) -> str:
    return f"{amount:,.3f}".rstrip("0").rstrip(".") if amount % 1 else f"{int(amount):,}"


def link_text(link: Link) -> str:
    """A link as it is written in a note."""
    mark = {"header": "#", "block": "#^"}.get(link.kind, "")
    target = link.path.replace("|", "\\|") + (mark + (link.subpath or "").replace("|", "\\|") if mark else "")
    name = link.path[link.path.rfind("/") + 1 :].removesuffix(".md")
    shown = link.display or (f"{name} > {link.subpath}" if mark else name)
    return f"{'!' if link.embed else ''}[[{target}|{shown}]]"


def shown(link: Link, display: str | None) -> Link:
    """The link with another text to show."""
    return link._replace(display=display)


def limited(value: Any) -> Any:
    """A value that is not longer than any of a note.

    Raises:
        UnsupportedError: it is.
    """
    if isinstance(value, str | list) and len(value) > MOST_CHARS:
        raise UnsupportedError("too much: a value longer than a million characters or items")
    if type(value) is int and abs(value) > _MOST_EXACT:
        return float(value)
    return value
