"""Dates and durations by Luxon's format tokens, in English, as Dataview's `dateformat` has them."""

import math
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from context.calendar import MONTHS, WEEKDAYS
from context.dataview_values import Duration, RowError, Zone
from context.unsupported import UnsupportedError

_PIECES = re.compile(r"'([^']*)(?:'|\Z)|(\s+)|(([^\s'])\4*)")


@lru_cache(maxsize=256)
def _pieces(pattern: str) -> tuple[tuple[bool, str], ...]:
    """The pieces of a pattern: (whether it stands for itself, text). `'…'` and blanks stand for themselves."""
    return tuple(
        (bool(blank) or not token, quoted or blank or token) for quoted, blank, token, _ in _PIECES.findall(pattern)
    )


def formatted(when: datetime, pattern: str, zone: Zone) -> str:
    """A date by a pattern such as `yyyy-MM-dd` (Luxon, "Formatting", "Table of tokens").

    Raises:
        UnsupportedError: a token that is written by the language of the machine, or names a zone.
    """
    return "".join(piece if literal else _token(piece, when, zone) for literal, piece in _pieces(pattern))


def _token(token: str, when: datetime, zone: Zone) -> str:
    writer = _TOKENS.get(token)
    if writer is not None:
        return writer(when, zone)
    if token in _BY_MACHINE:
        raise UnsupportedError(f"the date token {token}")
    return token


def _millisecond(when: datetime) -> int:
    return when.microsecond // 1000


def _short(when: datetime) -> str:
    return f"{when.month}/{when.day}/{when.year}"


def _clock(when: datetime, seconds: str = "") -> str:
    return f"{when.hour % 12 or 12}:{when.minute:02}{seconds} {'AM' if when.hour < 12 else 'PM'}"


_BY_MACHINE = frozenset("Z ZZ ZZZ ZZZZ ZZZZZ z t tt ttt tttt TTT TTTT f ff fff ffff F FF FFF FFFF".split())
_TOKENS: dict[str, Callable[[datetime, Zone], str]] = {
    "S": lambda when, _: str(_millisecond(when)),
    "SSS": lambda when, _: f"{_millisecond(when):03}",
    "u": lambda when, _: f"{_millisecond(when):03}",
    "uu": lambda when, _: f"{_millisecond(when) // 10:02}",
    "uuu": lambda when, _: str(_millisecond(when) // 100),
    "s": lambda when, _: str(when.second),
    "ss": lambda when, _: f"{when.second:02}",
    "m": lambda when, _: str(when.minute),
    "mm": lambda when, _: f"{when.minute:02}",
    "h": lambda when, _: str(when.hour % 12 or 12),
    "hh": lambda when, _: f"{when.hour % 12 or 12:02}",
    "H": lambda when, _: str(when.hour),
    "HH": lambda when, _: f"{when.hour:02}",
    "a": lambda when, _: "AM" if when.hour < 12 else "PM",
    "d": lambda when, _: str(when.day),
    "dd": lambda when, _: f"{when.day:02}",
    "y": lambda when, _: str(when.year),
    "yy": lambda when, _: f"{when.year % 100:02}",
    "yyyy": lambda when, _: f"{when.year:04}",
    "yyyyyy": lambda when, _: f"{when.year:06}",
    "G": lambda *_: "AD",
    "GG": lambda *_: "Anno Domini",
    "GGGGG": lambda *_: "A",
    "kk": lambda when, _: f"{when.isocalendar().year % 100:02}",
    "kkkk": lambda when, _: f"{when.isocalendar().year:04}",
    "W": lambda when, _: str(when.isocalendar().week),
    "WW": lambda when, _: f"{when.isocalendar().week:02}",
    "o": lambda when, _: str(when.timetuple().tm_yday),
    "ooo": lambda when, _: f"{when.timetuple().tm_yday:03}",
    "q": lambda when, _: str((when.month + 2) // 3),
    "qq": lambda when, _: f"{(when.month + 2) // 3:02}",
    "X": lambda when, zone: str(zone.milliseconds(when) // 1000),
    "x": lambda when, zone: str(zone.milliseconds(when)),
    "D": lambda when, _: _short(when),
    "DD": lambda when, _: f"{MONTHS[when.month - 1][:3]} {when.day}, {when.year}",
    "DDD": lambda when, _: f"{MONTHS[when.month - 1]} {when.day}, {when.year}",
    "DDDD": lambda when, _: f"{WEEKDAYS[when.weekday()]}, {MONTHS[when.month - 1]} {when.day}, {when.year}",
    "T": lambda when, _: f"{when.hour:02}:{when.minute:02}",
    "TT": lambda when, _: f"{when.hour:02}:{when.minute:02}:{when.second:02}",
}
for _letter in "cE":
    _TOKENS |= {
        _letter: lambda when, _: str(when.isoweekday()),
        _letter * 3: lambda when, _: WEEKDAYS[when.weekday()][:3],
        _letter * 4: lambda when, _: WEEKDAYS[when.weekday()],
        _letter * 5: lambda when, _: WEEKDAYS[when.weekday()][0],
    }
for _letter in "LM":
    _TOKENS |= {
        _letter: lambda when, _: str(when.month),
        _letter * 2: lambda when, _: f"{when.month:02}",
        _letter * 3: lambda when, _: MONTHS[when.month - 1][:3],
        _letter * 4: lambda when, _: MONTHS[when.month - 1],
        _letter * 5: lambda when, _: MONTHS[when.month - 1][0],
    }


_UNITS = {
    "S": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", "M": "months",
    "y": "years",
}  # fmt: skip


def formatted_duration(span: Duration, pattern: str) -> str:
    """A duration by a pattern such as `hh:mm` (Dataview docs, "durationformat"): in the units the pattern names."""
    pieces = _pieces(pattern)
    wanted = {_UNITS[piece[0]] for literal, piece in pieces if not literal and piece[0] in _UNITS}
    values = span.shifted(wanted) if wanted else {}
    return "".join(
        piece if literal or piece[0] not in _UNITS else _padded(values[_UNITS[piece[0]]], len(piece))
        for literal, piece in pieces
    )


def _padded(value: float, digits: int) -> str:
    whole = math.floor(value)
    return f"{'-' if whole < 0 else ''}{abs(whole):0{digits}}"


# ------------------------------------------------------------------------------------------------ reading

_TWO, _SOME = r"\d\d", r"\d{1,2}"
_READ: dict[str, tuple[str, str]] = {
    "yyyy": ("year", r"\d{4}"), "yy": ("short", r"\d{2}"), "y": ("year", r"\d{1,6}"),
    "MM": ("month", _TWO), "M": ("month", _SOME), "LL": ("month", _TWO), "L": ("month", _SOME),
    "MMM": ("name", r"[A-Za-z]{3}"), "MMMM": ("name", r"[A-Za-z]+"), "LLL": ("name", r"[A-Za-z]{3}"),
    "LLLL": ("name", r"[A-Za-z]+"),
    "dd": ("day", _TWO), "d": ("day", _SOME), "HH": ("hour", _TWO), "H": ("hour", _SOME), "hh": ("half", _TWO),
    "h": ("half", _SOME), "mm": ("minute", _TWO), "m": ("minute", _SOME), "ss": ("second", _TWO),
    "s": ("second", _SOME), "SSS": ("thousandth", r"\d{3}"), "a": ("noon", r"[AaPp][Mm]"),
    "ZZ": ("offset", r"[+-]\d\d:\d\d"),
}  # fmt: skip


def read_formatted(text: str, pattern: str) -> datetime:
    """The date in a text that is written by a pattern.

    Raises:
        RowError: the text is not written so, or names no date.
        UnsupportedError: a token that is not read here.
    """
    found = _reader(pattern).fullmatch(text)
    if found is None:
        raise RowError("a text that is not written by the format of its date")
    parts: dict[str, Any] = found.groupdict()
    try:
        year = int(parts.get("year") or 0)
        if parts.get("short"):  # a year of two digits lies before 2060 (luxon, `twoDigitCutoffYear`)
            year = int(parts["short"]) + (2000 if int(parts["short"]) <= 60 else 1900)
        hour = int(parts.get("hour") or 0)
        if parts.get("half"):
            hour = int(parts["half"]) % 12 + 12 * ((parts.get("noon") or "am").lower() == "pm")
        month = int(parts.get("month") or 1)
        if parts.get("name"):
            month = next(
                place
                for place, name in enumerate(MONTHS, 1)
                if parts["name"].lower() in (name.lower(), name[:3].lower())
            )
        if not year:
            raise UnsupportedError("a date read without a year")
        when = datetime(  # noqa: DTZ001 - dates of the person's zone carry none
            year, month, int(parts.get("day") or 1), hour, int(parts.get("minute") or 0), int(parts.get("second") or 0),
            int(parts.get("thousandth") or 0) * 1000,
        )  # fmt: skip
        if parts.get("offset"):
            raise UnsupportedError("a date read with an offset")
    except (ValueError, StopIteration):
        raise RowError("a text that names no date") from None
    return when


@lru_cache(maxsize=64)
def _reader(pattern: str) -> re.Pattern[str]:
    seen: set[str] = set()
    parts: list[str] = []
    for literal, piece in _pieces(pattern):
        if literal or not piece.isalpha():
            parts.append(re.escape(piece))
            continue
        if piece not in _READ or _READ[piece][0] in seen:
            raise UnsupportedError(f"a date read by the token {piece}")
        name, shape = _READ[piece]
        seen.add(name)
        parts.append(f"(?P<{name}>{shape})")
    return re.compile("".join(parts))
