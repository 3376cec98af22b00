"""The functions of the Bases language, each by the type of value it is called on."""

import math
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from context.base_checks import Function, Method, as_number, as_text, as_whole, bounded, needs
from context.base_files import Files
from context.base_texts import TEXTS, sliced
from context.base_values import (
    Date,
    Duration,
    File,
    FormulaError,
    Link,
    Rendered,
    duration,
    is_true,
    kind,
    length,
    number_of,
    sort_key,
    text_of,
)
from context.calendar import moment
from context.names import fold
from context.regexp import Regexp
from context.unsupported import UnsupportedError

# What moment.js would write for these letters is not ours to write.
_OTHER_TOKENS = re.compile(r"\[[^\]]*\]|[SxXzZlLNyk]|(?:[dwWQ]|DDD)o|(?<!Y)Y(?!Y)")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}

# Functions by themselves


def _date(files: Files, given: tuple[Any, ...]) -> Date:
    needs(given, 1, 1, "date")
    if isinstance(given[0], Date):
        return given[0]
    found = files.values.date(given[0]) if isinstance(given[0], str) else None
    if found is None:
        raise FormulaError("a text that is no date")
    return Date(found.when, found.timed)


def _duration(_: Files, given: tuple[Any, ...]) -> Duration:
    needs(given, 1, 1, "duration")
    if isinstance(given[0], Duration):
        return given[0]
    found = duration(as_text(given[0], "duration"))
    if found is None:
        raise FormulaError("a text that is no duration")
    return found


def _file(files: Files, given: tuple[Any, ...]) -> File | None:
    needs(given, 1, 1, "file")
    one = given[0]
    if isinstance(one, File):
        return one
    link = one if isinstance(one, Link) else files.values.link(as_text(one, "file"), "")
    return File(link.path) if link.path else None


def _link(files: Files, given: tuple[Any, ...]) -> Link:
    needs(given, 1, 2, "link")
    one = given[0]
    display = text_of(given[1]) if len(given) > 1 and given[1] is not None else ""
    if isinstance(one, File):
        return Link(one.path.removesuffix(".md"), display, one.path)
    if isinstance(one, Link):
        return Link(one.target, display or one.display, one.path)
    return files.values.link(as_text(one, "link"), "", display)


def _number_from(files: Files, given: tuple[Any, ...]) -> float:
    needs(given, 1, 1, "number")
    one = given[0]
    if isinstance(one, bool | int | float):
        return int(one) if isinstance(one, bool) else one
    if isinstance(one, Date):
        return files.values.epoch(one)
    if isinstance(one, Duration):
        return length(one)
    found = number_of(one) if isinstance(one, str) and one.strip() else None
    if found is None:
        raise FormulaError("a value that is no number")
    return found


def _extreme(choose: Callable[[Any], Any], name: str) -> Function:
    def function(_: Files, given: tuple[Any, ...]) -> Any:
        needs(given, 1, None, name)
        return choose([as_number(one, name) for one in given])

    return function


def _listed(_: Files, given: tuple[Any, ...]) -> list[Any]:
    needs(given, 1, 1, "list")
    return given[0] if isinstance(given[0], list) else [given[0]]


def _rendered(_: Files, given: tuple[Any, ...]) -> Rendered:
    needs(given, 1, 1, "html")
    return Rendered(text_of(given[0]))


def _escaped(_: Files, given: tuple[Any, ...]) -> str:
    needs(given, 1, 1, "escapeHTML")
    return "".join(_HTML.get(char, char) for char in as_text(given[0], "escapeHTML"))


def _random(_: Files, __: tuple[Any, ...]) -> Any:
    raise UnsupportedError("random(), which is another number each time")


FUNCTIONS: Mapping[str, Function] = {
    "date": _date,
    "duration": _duration,
    "escapeHTML": _escaped,
    "file": _file,
    "html": _rendered,
    "icon": _rendered,
    "image": _rendered,
    "link": _link,
    "list": _listed,
    "max": _extreme(max, "max"),
    "min": _extreme(min, "min"),
    "now": lambda files, _: files.now,
    "number": _number_from,
    "random": _random,
    "today": lambda files, _: files.today,
}


# Functions of any value


def _is_type(_: Files, value: Any, given: tuple[Any, ...]) -> bool:
    needs(given, 1, 1, "isType")
    return kind(value) == as_text(given[0], "isType").lower()


def _is_empty(_: Files, value: Any, __: tuple[Any, ...]) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


_ANY: Mapping[str, Method] = {
    "isEmpty": _is_empty,
    "isTruthy": lambda _, value, __: is_true(value),
    "isType": _is_type,
    "toString": lambda _, value, __: bounded(text_of(value)),
}


# Numbers


def _digits(given: tuple[Any, ...], name: str) -> int:
    needs(given, 0, 1, name)
    digits = as_whole(given[0], name) if given and given[0] is not None else 0
    if not 0 <= digits <= 100:
        raise FormulaError(f"{name}() to {digits} places")
    return digits


def _round(_: Files, number: float, given: tuple[Any, ...]) -> float:
    digits = _digits(given, "round")
    if not math.isfinite(number):
        return number
    if digits > 15:
        return number
    scale = 10.0**digits
    scaled = math.floor(number * scale + 0.5)  # halves go up, as Math.round has it
    return scaled / scale if digits else scaled


def _fixed(_: Files, number: float, given: tuple[Any, ...]) -> str:
    digits = _digits(given, "toFixed")
    if not math.isfinite(number) or abs(number) >= 1e21:
        return text_of(number)
    fixed = Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) if digits < 25 else None
    if fixed is None:
        raise UnsupportedError("toFixed() to more than 24 places")
    return f"{fixed:f}"


def _towards(choose: Callable[[float], int]) -> Method:
    return lambda _, number, __: choose(number) if math.isfinite(number) else number


_NUMBER: Mapping[str, Method] = {
    "abs": lambda _, number, __: abs(number),
    "ceil": _towards(math.ceil),
    "floor": _towards(math.floor),
    "round": _round,
    "toFixed": _fixed,
}


# Dates and durations


def _formatted(files: Files, when: Date, given: tuple[Any, ...]) -> str:
    needs(given, 1, 1, "format")
    pattern = as_text(given[0], "format")
    if any(not found[0].startswith("[") for found in _OTHER_TOKENS.finditer(pattern)):
        raise UnsupportedError(f"the date format {pattern[:60]!r}")
    return moment(pattern, when.when, week_start=files.snapshot.settings.week_start)


def _relative(_: Files, __: Any, ___: tuple[Any, ...]) -> Any:
    raise UnsupportedError("relative(), which is a text in the language of the app")


_DATE: Mapping[str, Method] = {
    "date": lambda _, when, __: Date(when.when.replace(hour=0, minute=0, second=0, microsecond=0), timed=False),
    "format": _formatted,
    "relative": _relative,
    "time": lambda _, when, __: when.when.strftime("%H:%M:%S"),
}


# Lists


def _has(files: Files, items: list[Any], one: Any) -> bool:
    files.step()
    return any(files.same(item, one) for item in items)


def _list_contains(files: Files, items: list[Any], given: tuple[Any, ...]) -> bool:
    needs(given, 1, 1, "contains")
    return _has(files, items, given[0])


def _joined(_: Files, items: list[Any], given: tuple[Any, ...]) -> str:
    needs(given, 1, 1, "join")
    return bounded(as_text(given[0], "join").join(map(text_of, items)))


def _flat(_: Files, items: list[Any], __: tuple[Any, ...]) -> list[Any]:
    return [one for item in items for one in (item if isinstance(item, list) else [item])]


def _sorted(_: Files, items: list[Any], __: tuple[Any, ...]) -> list[Any]:
    if len({kind(item) for item in items}) > 1:
        raise UnsupportedError("sort() of values of several types")
    return sorted(items, key=sort_key)


def _unique(files: Files, items: list[Any], __: tuple[Any, ...]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not _has(files, found, item):
            found.append(item)
    return found


_LIST: Mapping[str, Method] = {
    "contains": _list_contains,
    "containsAll": lambda files, items, given: all(_has(files, items, one) for one in given),
    "containsAny": lambda files, items, given: any(_has(files, items, one) for one in given),
    "flat": _flat,
    "join": _joined,
    "reverse": lambda _, items, __: items[::-1],
    "slice": sliced,
    "sort": _sorted,
    "unique": _unique,
}


# Links and files


def _as_file(_: Files, link: Link, __: tuple[Any, ...]) -> File | None:
    return File(link.path) if link.path else None


def _to(other: Any, name: str) -> str | File | Link:
    if not isinstance(other, str | File | Link):
        raise FormulaError(f"{name}() of a value that is no file")
    return other


def _links_to(files: Files, one: Link | File, given: tuple[Any, ...]) -> bool:
    needs(given, 1, 1, "hasLink")
    return bool(one.path) and files.has_link(one.path, _to(given[0], "hasLink"))


def _link_contains(files: Files, link: Link, given: tuple[Any, ...], name: str, test: Callable[..., bool]) -> bool:
    """A test of a link's text, which may be its target or as it is written, when both say the same."""
    if name == "contains" and len(given) == 1 and isinstance(given[0], Link | File) and files.same(link, given[0]):
        return True
    found = {test(files, text, given) for text in (link.target, text_of(link))}
    if len(found) > 1:
        raise UnsupportedError(f"{name}() of a link")
    return found.pop()


def _of_link(name: str, test: Callable[..., bool]) -> Method:
    return lambda files, link, given: _link_contains(files, link, given, name, test)


def _as_link(_: Files, file: File, given: tuple[Any, ...]) -> Link:
    needs(given, 0, 1, "asLink")
    return Link(file.path.removesuffix(".md"), text_of(given[0]) if given else "", file.path)


def _has_property(files: Files, file: File, given: tuple[Any, ...]) -> bool:
    needs(given, 1, 1, "hasProperty")
    note = files.snapshot.notes.get(file.path)
    return note is not None and as_text(given[0], "hasProperty") in note.properties


def _has_tag(files: Files, file: File, given: tuple[Any, ...]) -> bool:
    return files.has_tag(file.path, tuple(fold(as_text(one, "hasTag").lstrip("#")) for one in given))


def _in_folder(files: Files, file: File, given: tuple[Any, ...]) -> bool:
    needs(given, 1, 1, "inFolder")
    return files.in_folder(file.path, as_text(given[0], "inFolder"))


def _matches(_: Files, expression: Regexp, given: tuple[Any, ...]) -> bool:
    needs(given, 1, 1, "matches")
    return expression.matches(as_text(given[0], "matches"))


METHODS: Mapping[str, Mapping[str, Method]] = {
    "string": {**_ANY, **TEXTS},
    "number": {**_ANY, **_NUMBER},
    "boolean": _ANY,
    "null": _ANY,
    "date": {**_ANY, **_DATE},
    "duration": _ANY,
    "list": {**_ANY, **_LIST},
    "object": {
        **_ANY,
        "keys": lambda _, value, __: list(value),
        "values": lambda _, value, __: list(value.values()),
    },
    "link": {
        **_ANY,
        "asFile": _as_file,
        "linksTo": _links_to,
        **{name: _of_link(name, TEXTS[name]) for name in ("contains", "containsAll", "containsAny")},
        **{name: _of_link(name, TEXTS[name]) for name in ("startsWith", "endsWith")},
    },
    "file": {
        **_ANY,
        "asLink": _as_link,
        "hasLink": _links_to,
        "hasProperty": _has_property,
        "hasTag": _has_tag,
        "inFolder": _in_folder,
    },
    "regexp": {**_ANY, "matches": _matches},
}
# Those that run an expression for each item, and every other one, by name.
OVER_ITEMS = frozenset({"filter", "map", "reduce"})
NAMES = frozenset(name for methods in METHODS.values() for name in methods) | OVER_ITEMS


def call(files: Files, value: Any, name: str, given: tuple[Any, ...]) -> Any:
    """Call a function of a value.

    Nothing has no function but those of any value, and the call gives nothing.

    Raises:
        FormulaError: values of this type have no such function, or not with what is given.
        UnsupportedError: it has no documented meaning here.
    """
    method = METHODS[kind(value)].get(name)
    if method is not None:
        return method(files, value, given)
    if value is None:
        return None
    if isinstance(value, Date) and value.raw and name in TEXTS:
        return TEXTS[name](files, value.raw, given)  # of a property to which no type is assigned: it may be text
    raise FormulaError(f"{name}() of a value of type {kind(value)}")
