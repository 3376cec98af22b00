"""What the operators of the Bases language make of values, and which fields values have."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from context.base_checks import bounded
from context.base_files import Files
from context.base_values import (
    Date,
    Duration,
    File,
    FormulaError,
    Link,
    Milliseconds,
    duration,
    kind,
    length,
    shifted,
    text_of,
)
from context.regexp import Regexp
from context.unsupported import UnsupportedError

_DATE_FIELDS: Mapping[str, Callable[[Date], int]] = {
    "year": lambda when: when.when.year,
    "month": lambda when: when.when.month,
    "day": lambda when: when.when.day,
    "hour": lambda when: when.when.hour,
    "minute": lambda when: when.when.minute,
    "second": lambda when: when.when.second,
    "millisecond": lambda when: when.when.microsecond // 1000,
}
_SPANS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000, "milliseconds": 1}


def member(files: Files, value: Any, name: str) -> Any:
    """A field of a value; null when it has none of this name."""
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, File):
        return files.field(name)(value.path)
    if isinstance(value, Date):
        read = _DATE_FIELDS.get(name)
        return read(value) if read else None
    if isinstance(value, Milliseconds):
        return value / _SPANS[name] if name in _SPANS else None
    if isinstance(value, Duration):
        return length(value) / _SPANS[name] if name in _SPANS else None
    if name == "length":
        if isinstance(value, list):
            return len(value)
        if isinstance(value, str):
            return len(value) if value.isascii() else len(value.encode("utf-16-le", "surrogatepass")) // 2
    return None


def negative(value: Any) -> Any:
    """`-value`; nothing of nothing."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormulaError(f"minus a value of type {kind(value)}")
    return -value


def at(files: Files, value: Any, key: Any) -> Any:
    """`list[0]`, `object["name"]`, and `file["name"]` with a name that is known only then."""
    if isinstance(value, list):
        if isinstance(key, bool) or not isinstance(key, int | float) or key != int(key):
            return None
        return value[int(key)] if 0 <= key < len(value) else None
    return member(files, value, key) if isinstance(key, str) else None


def arithmetic(files: Files, sign: str, left: Any, right: Any) -> Any:
    """`+ - * / %`. With nothing on a side there is no value; a text on a side of `+` makes a text."""
    if isinstance(left, Date):
        return _of_date(files, sign, left, right)
    if sign == "+" and (_is_text(left) or _is_text(right)):
        return bounded(text_of(left) + text_of(right))
    if left is None or right is None:
        return None
    if isinstance(left, Duration):
        return _of_duration(sign, left, right)
    numbers = [_number(one) for one in (left, right)]
    if numbers[0] is None or numbers[1] is None:
        raise FormulaError(f"{kind(left)} {sign} {kind(right)}")
    return _computed(sign, numbers[0], numbers[1])


def _is_text(value: Any) -> bool:
    return isinstance(value, str | Link)


def _number(value: Any) -> float | None:
    """A number or boolean as a number. Texts are none: what arithmetic makes of them is documented nowhere."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        raise UnsupportedError("arithmetic with a text")
    if isinstance(value, list | dict | Regexp):
        raise UnsupportedError(f"arithmetic with a value of type {kind(value)}")
    return value if isinstance(value, int | float) else None


def _computed(sign: str, left: float, right: float) -> float:
    if sign == "+":
        found: float = left + right
    elif sign == "-":
        found = left - right
    elif sign == "*":
        found = left * right
    elif not right:
        found = math.nan if sign == "%" or not left or math.isnan(left) else math.copysign(math.inf, left)
    elif sign == "/":
        found = left / right
    else:
        found = math.fmod(left, right) if math.isfinite(left) else math.nan
    # Integers are kept exact only as far as a number of JavaScript is.
    return found if abs(found) < 2**53 or math.isnan(found) else float(found)


def _of_date(files: Files, sign: str, left: Date, right: Any) -> Any:
    if right is None:
        return None
    if sign == "-" and isinstance(right, Date):
        return Milliseconds(files.values.epoch(left) - files.values.epoch(right))
    by = duration(right) if isinstance(right, str) else right
    if isinstance(by, Milliseconds):
        by = Duration(0, float(by))
    if sign in "+-" and isinstance(by, Duration):
        return shifted(left, by, 1 if sign == "+" else -1)
    if sign == "+" and _is_text(right):
        return bounded(text_of(left) + text_of(right))
    raise FormulaError(f"date {sign} {kind(right)}")


def _of_duration(sign: str, left: Duration, right: Any) -> Any:
    if sign in "*/" and isinstance(right, int | float) and not isinstance(right, bool):
        by = right if sign == "*" else 1 / right if right else math.inf
        return Duration(left.months * by, left.milliseconds * by)
    if isinstance(right, Milliseconds):
        right = Duration(0, float(right))
    if isinstance(right, str):
        right = duration(right)
    if sign in "+-" and isinstance(right, Duration):
        by = 1 if sign == "+" else -1
        return Duration(left.months + by * right.months, left.milliseconds + by * right.milliseconds)
    if sign == "+" and isinstance(right, Date):
        return shifted(right, left)
    raise FormulaError(f"duration {sign} {kind(right)}")
