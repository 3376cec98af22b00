"""The functions of Dataview's query language: chosen by the types of their arguments, applied to lists by item."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cmp_to_key, lru_cache, reduce
from typing import Any, Protocol

from context.collate import same
from context.dataview_values import (
    CHARS_A_STEP,
    MOST_CHARS,
    Duration,
    Link,
    RowError,
    Thing,
    Widget,
    Zone,
    between,
    compare,
    entries,
    equal,
    joined_texts,
    kind,
    limited,
    midnight,
    moved,
    read_date,
    read_duration,
    shown,
    text,
    truthy,
)
from context.luxon import formatted, formatted_duration, read_formatted
from context.regexp import Regexp
from context.unsupported import UnsupportedError

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class Environment(Protocol):
    """What functions know of the vault and of the query they stand in."""

    zone: Zone

    def normal(self, path: str) -> str:
        """The path of the file a link means, or the path as it is written."""

    def field(self, value: Any, key: Any) -> Any:
        """A field of a value: `value[key]`."""

    def call(self, function: Any, *arguments: Any) -> Any:
        """Call a function that was given as a value."""

    def charge(self, steps: int) -> None:
        """Account for work; stops a query that takes too much."""


Implementation = Callable[..., Any]


Variants = tuple[tuple[tuple[str, ...] | None, Implementation], ...]


class Function:
    """A function: what it does depends on the types of its arguments alone, so that is found once for each of them."""

    __slots__ = ("_known", "_over", "_variants")

    def __init__(self, variants: Variants, over: Mapping[int, tuple[int, ...]]) -> None:
        """Make a function.

        Args:
            variants: (types, what to do), the first that fits; the type "*" is any, and None instead of types is any
                number of arguments of any types.
            over: number of arguments → places that may be lists: the function is then applied to each item of them.
        """
        self._variants = variants
        self._over = over
        self._known: dict[tuple[type, ...], tuple[list[int], Implementation | None]] = {}

    def __call__(self, environment: Environment, *arguments: Any) -> Any:
        """Apply it.

        Raises:
            RowError: there is no variant for such arguments, or it has no value for them.
            UnsupportedError: it cannot be evaluated.
        """
        types = tuple(map(type, arguments))
        known = self._known.get(types)
        if known is None:
            known = self._known[types] = self._chosen(arguments)
        lists, implementation = known
        if lists:
            return self._over_lists(environment, lists, arguments)
        if implementation is None:
            raise RowError(f"a function that takes no {', '.join(map(kind, arguments)) or 'nothing'}")
        found = implementation(environment, *arguments)
        if type(found) is str and len(found) > CHARS_A_STEP:
            environment.charge(len(found) // CHARS_A_STEP)
        return found

    def _chosen(self, arguments: tuple[Any, ...]) -> tuple[list[int], Implementation | None]:
        lists = [place for place in self._over.get(len(arguments), ()) if type(arguments[place]) is list]
        types = [kind(value) for value in arguments]
        for wanted, implementation in self._variants:
            if wanted is None or (
                len(wanted) == len(types) and all(one in ("*", two) for one, two in zip(wanted, types, strict=True))
            ):
                return lists, implementation
        return lists, None

    def _over_lists(self, environment: Environment, lists: list[int], arguments: tuple[Any, ...]) -> list[Any]:
        shortest = min(len(arguments[place]) for place in lists)
        environment.charge(shortest)
        rows = (
            [value[row] if place in lists else value for place, value in enumerate(arguments)]
            for row in range(shortest)
        )
        return [self(environment, *row) for row in rows]


def _null(*_: Any) -> None:
    return None


def _function(*variants: tuple[str, Implementation], over: Mapping[int, tuple[int, ...]] | None = None) -> Function:
    """A function of variants given as ("string number", what to do); "…" is any number of any arguments."""
    return Function(tuple((None if types == "…" else tuple(types.split()), do) for types, do in variants), over or {})


_NONE2 = (("null *", _null), ("* null", _null))
_NONE3 = (("null * *", _null), ("* null *", _null), ("* * null", _null))


# ------------------------------------------------------------------------------------------------ operators


def operate(environment: Environment, operator: str, left: Any, right: Any) -> Any:
    """The value of `left operator right`.

    Raises:
        RowError: the operator does not know these types.
    """
    if operator == "&":
        return truthy(left) and truthy(right)
    if operator == "|":
        return truthy(left) or truthy(right)
    if operator in _COMPARISONS:
        if operator in ("=", "!="):
            return equal(left, right, environment.zone, environment.normal) is (operator == "=")
        return _COMPARISONS[operator](compare(left, right, environment.zone, environment.normal))
    found = _reckon(environment, operator, left, right)
    if type(found) is str and len(found) > CHARS_A_STEP:
        environment.charge(len(found) // CHARS_A_STEP)
    return limited(found)


_COMPARISONS: dict[str, Callable[[int], bool]] = {
    "=": lambda sign: sign == 0,
    "!=": lambda sign: sign != 0,
    "<": lambda sign: sign < 0,
    "<=": lambda sign: sign <= 0,
    ">": lambda sign: sign > 0,
    ">=": lambda sign: sign >= 0,
}


def _reckon(environment: Environment, operator: str, left: Any, right: Any) -> Any:
    one, two = kind(left), kind(right)
    if one == two == "number":
        return _arithmetic(operator, left, right)
    if operator == "+" and "string" in (one, two):
        return text(left) + text(right)
    if operator == "*" and {one, two} == {"string", "number"}:
        return _repeated(*((left, right) if one == "string" else (right, left)))
    if "date" in (one, two) and operator in "+-":
        return _dated(environment, operator, left, right)
    if "duration" in (one, two):
        found = _spanned(operator, left, right)
        if found is not None:
            return found
    if operator == "+" and one == two == "array":
        environment.charge(len(left) + len(right))
        return [*left, *right]
    if operator == "+" and one == two == "object":
        return {**entries(left), **entries(right)}
    if one == two == "null":
        return None
    raise RowError(f"no operation {one} {operator} {two}")


def _arithmetic(operator: str, left: float, right: float) -> float:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "/":
        if right:
            return left / right
        return math.nan if not left or math.isnan(left) else math.copysign(math.inf, left)
    if not right or math.isnan(left) or math.isinf(left):
        return math.nan
    return math.fmod(left, right)


def _repeated(words: str, times: float) -> str:
    if times < 0:
        return ""
    if not math.isfinite(times):
        raise RowError("a text repeated without an end")
    if len(words) * times > MOST_CHARS:
        raise UnsupportedError("too much: a value longer than a million characters or items")
    return words * int(times)


def _dated(environment: Environment, operator: str, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if isinstance(left, datetime) and isinstance(right, datetime) and operator == "-":
        return between(right, left, environment.zone)
    if isinstance(left, datetime) and isinstance(right, Duration):
        return moved(left, right, 1 if operator == "+" else -1, environment.zone)
    if isinstance(left, Duration) and isinstance(right, datetime) and operator == "+":
        return moved(right, left, 1, environment.zone)
    raise RowError(f"no operation {kind(left)} {operator} {kind(right)}")


def _spanned(operator: str, left: Any, right: Any) -> Duration | None:
    if isinstance(left, Duration) and isinstance(right, Duration):
        return left.plus(right, 1 if operator == "+" else -1).normal() if operator in "+-" else None
    if operator == "*" and (kind(left) == "number" or kind(right) == "number"):
        span, factor = (left, right) if isinstance(left, Duration) else (right, left)
        return _finite(span.times(factor))
    if operator == "/" and isinstance(left, Duration) and kind(right) == "number":
        return _finite(left.times(1 / right)) if right else _finite(left.times(math.inf))
    return None


def _finite(span: Duration) -> Duration:
    if not math.isfinite(span.milliseconds):
        raise RowError("a duration without an end")
    return span.normal()


# ------------------------------------------------------------------------------------------------ constructors


def _object(_: Environment, *arguments: Any) -> dict[str, Any]:
    if len(arguments) % 2 or not all(isinstance(key, str) for key in arguments[::2]):
        raise RowError("object() takes names and values in turn")
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


def _date_of_text(_: Environment, words: str) -> datetime | None:
    found = read_date(words)
    return found[0] if found and found[1] == len(words) else None


def _date_of_link(environment: Environment, link: Link) -> Any:
    for words in (link.display, link.path):
        if words and (found := _date_of_text(environment, words)):
            return found
    file = environment.field(link, "file")
    return environment.field(file, "day") if file is not None else None


def _date_of_format(environment: Environment, words: str, pattern: str) -> datetime:
    if pattern in ("x", "X"):
        found = _NUMBER.search(words)
        if not found:
            raise RowError("no number where a date was looked for")
        return environment.zone.at(int(float(found[0])) * (1000 if pattern == "X" else 1))
    return read_formatted(words, pattern)


def _duration(_: Environment, words: str) -> Duration | None:
    words = words.strip()
    found = read_duration(words)
    return found[0] if found and found[1] == len(words) else None


def _number(_: Environment, words: str) -> float | None:
    found = _NUMBER.search(words)
    if found is None:
        return None
    return float(found[0]) if "." in found[0] or len(found[0]) > 15 else int(found[0])


def _link(environment: Environment, path: str, display: str | None = None) -> Link:
    return Link(environment.normal(path), display)


def _link_shown_plainly(environment: Environment, target: Any, _: None) -> Any:
    return _LINK(environment, target)


_LINK: Function = _function(
    ("string", _link),
    ("link", lambda _, link: link),
    ("null", _null),
    ("string string", _link),
    ("link string", lambda _, link, display: shown(link, display)),
    ("null *", _null),
    ("* null", _link_shown_plainly),
    over={1: (0,), 2: (0, 1)},
)


def _embed(_: Environment, link: Link, embed: bool = True) -> Link:
    return Link(link.path, link.display, link.subpath, embed, link.kind)


# ------------------------------------------------------------------------------------------------ numbers


def _round(_: Environment, value: float, digits: float = 0) -> float:
    if not math.isfinite(value):
        return value
    if digits <= 0:
        return math.floor(value + 0.5)
    return float(f"{value:.{min(int(digits), 100)}f}")


def _whole(rounding: Callable[[float], int]) -> Implementation:
    return lambda _, value: rounding(value) if math.isfinite(value) else value


def _extreme(*, least: bool) -> Function:
    def better(environment: Environment, one: Any, two: Any) -> Any:
        sign = compare(one, two, environment.zone, environment.normal)
        return one if (sign <= 0 if least else sign > 0) else two

    def of(environment: Environment, *values: Any) -> Any:
        environment.charge(len(values))
        return reduce(lambda one, two: extreme(environment, one, two), values) if values else None

    extreme: Function = _function(
        ("* null", lambda _, one, __: one),
        ("null *", lambda _, __, two: two),
        ("* *", better),
        ("array", lambda environment, values: extreme(environment, *values)),
        ("…", of),
    )
    return extreme


def _extreme_by(*, least: bool) -> Implementation:
    def of(environment: Environment, values: list[Any], function: Any) -> Any:
        if not values:
            return None
        mapped = [(environment.call(function, value), value) for value in values]
        mapped = [pair for pair in mapped if pair[0] is not None]
        if not mapped:
            return values[0]
        best = mapped[0]
        for pair in mapped[1:]:
            sign = compare(best[0], pair[0], environment.zone, environment.normal)
            if sign > 0 if least else sign <= 0:
                best = pair
        return best[1]

    return of


def _reduce_by_operator(environment: Environment, values: list[Any], operator: str) -> Any:
    if not values:
        return None
    if operator not in ("+", "-", "*", "/", "&", "|"):
        raise RowError("reduce() knows + - * / & and |")
    environment.charge(len(values))
    return reduce(lambda total, value: operate(environment, operator, total, value), values)


def _reduce_by_function(environment: Environment, values: list[Any], function: Any) -> Any:
    if not values:
        return None
    return reduce(
        lambda total, value: total if value is None else environment.call(function, total, value), values[1:], values[0]
    )


_REDUCE = _function(
    ("array string", _reduce_by_operator), ("array function", _reduce_by_function), *_NONE2, over={2: (1,)}
)


def _average(environment: Environment, values: list[Any]) -> Any:
    total = _REDUCE(environment, values, "+")
    return None if total is None else operate(environment, "/", total, len(values))


# ------------------------------------------------------------------------------------------------ lists and objects


def _has(value: Any, key: str) -> bool:
    return value.has(key) if isinstance(value, Thing) else key in value


def _equals(environment: Environment, one: Any, two: Any) -> bool:
    return equal(one, two, environment.zone, environment.normal)


def _has_link(environment: Environment, values: list[Link], wanted: Link) -> bool:
    """Whether a list of links has one that is equal to another, which is looked up once."""
    normal = environment.normal
    path = normal(wanted.path)
    return any(
        value.kind == wanted.kind
        and (value.path == path or same(normal(value.path), path))
        and same(value.subpath or "", wanted.subpath or "")
        for value in values
    )


def _containing(within: Callable[[str, str], bool], *, deep: bool) -> Function:
    def some(environment: Environment, values: list[Any], wanted: Any) -> bool:
        environment.charge(len(values))
        if type(wanted) is Link and all(type(value) is Link for value in values):
            return _has_link(environment, values, wanted)
        test = contains if deep else _equals
        return any(test(environment, value, wanted) for value in values)

    contains: Function = _function(
        ("array *", some),
        ("string string", lambda _, hay, needle: within(hay, needle)),
        ("object string", lambda _, value, key: _has(value, key)),
        ("* *", _equals),
        over={2: (1,)},
    )
    return contains


def _contains_word(_: Environment, hay: str, needle: str) -> bool:
    edges = r"(?:(?<![A-Za-z0-9_])(?=[A-Za-z0-9_])|(?<=[A-Za-z0-9_])(?![A-Za-z0-9_]))"
    return re.search(edges + re.escape(needle) + edges, hay, re.IGNORECASE) is not None


def _extract(environment: Environment, *arguments: Any) -> Any:
    if not arguments:
        return "extract(object, key1, ...) requires at least 1 argument"
    value, *keys = arguments
    if isinstance(value, list):
        return [_extract(environment, one, *keys) for one in value]
    if not all(isinstance(key, str) for key in keys):
        raise RowError("extract() takes names of fields")
    return {key: environment.field(value, key) for key in keys}


def _sorted(environment: Environment, values: list[Any], function: Any = None) -> list[Any]:
    environment.charge(len(values) * 4)
    keys = [value if function is None else environment.call(function, value) for value in values]

    def order(one: int, two: int) -> int:
        return compare(keys[one], keys[two], environment.zone, environment.normal)

    return [values[place] for place in sorted(range(len(values)), key=cmp_to_key(order))]


def _some(test: Callable[[Any], bool]) -> Function:
    """any, all and none: of a list, of a list by a function, or of the arguments."""
    return _function(
        ("array", lambda _, values: test(map(truthy, values))),
        ("array function", lambda env, values, function: test(truthy(env.call(function, value)) for value in values)),
        ("…", lambda _, *values: test(map(truthy, values))),
    )


def _join(_: Environment, values: Any, separator: Any = None) -> str:
    return joined_texts(", " if separator is None else separator, [text(value) for value in values])


def _unique(environment: Environment, values: list[Any]) -> list[Any]:
    """Sorted, and the first of those that are equal: `unique` gives no longer the order it was given."""
    environment.charge(len(values) * 4)
    found: list[Any] = []
    for value in sorted(values, key=cmp_to_key(lambda one, two: compare(one, two, environment.zone))):
        if not found or compare(found[-1], value, environment.zone):
            found.append(value)
    return found


def _flat(environment: Environment, values: list[Any], depth: float = 1) -> list[Any]:
    environment.charge(len(values))
    found: list[Any] = []
    for value in values:
        if isinstance(value, list) and depth >= 1:
            found += _flat(environment, value, depth - 1)
        else:
            found.append(value)
    return found


def _slice(_: Environment, values: list[Any], start: float = 0, end: float = math.inf) -> list[Any]:
    def place(at: float) -> int:
        at = 0 if math.isnan(at) else max(-len(values), min(at, len(values)))
        return int(at) if at >= 0 else len(values) + int(at)

    return values[place(start) : place(end)]


def _nonnull(_: Environment, *values: Any) -> list[Any]:
    return [value for value in values if value is not None]


# ------------------------------------------------------------------------------------------------ texts


def units(words: str) -> str:
    """A text with a character for each UTF-16 unit, as JavaScript counts them; `joined` makes it one again."""
    if words.isascii() or max(words) < "\U00010000":
        return words
    data = words.encode("utf-16-le", "surrogatepass")
    return "".join(chr(int.from_bytes(data[at : at + 2], "little")) for at in range(0, len(data), 2))


def joined(words: str) -> str:
    """The text of UTF-16 units."""
    if words.isascii() or not any("\ud800" <= unit <= "\udfff" for unit in words):
        return words
    return words.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@lru_cache(maxsize=64)
def _regexp(pattern: str, flags: str = "") -> Regexp:
    made = Regexp(pattern, flags)
    made.check()
    return made


def _regex_test(environment: Environment, pattern: str, words: str) -> bool:
    environment.charge(1 + len(words) // 16)
    return _regexp(pattern).matches(words)


def _regex_match(environment: Environment, pattern: str, words: str) -> bool:
    if not pattern.startswith("^") and not pattern.endswith("$"):
        pattern = f"^{pattern}$"
    return _regex_test(environment, pattern, words)


def _regex_replace(environment: Environment, words: str, pattern: str, replacement: str) -> str:
    environment.charge(1 + len(words) // 8)
    if len(words) * len(replacement) > 10 * MOST_CHARS:
        raise UnsupportedError("too much: a replacement of so many characters")
    return str(limited(_regexp(pattern, "g").replace(words, replacement)))


def _replace(environment: Environment, words: str, old: str, new: str) -> str:
    environment.charge(1 + len(words) // 16)
    if not old:
        if len(new) * len(words) > MOST_CHARS:
            raise UnsupportedError("too much: a value longer than a million characters or items")
        return new.join(words)
    if len(new) * words.count(old) > MOST_CHARS:
        raise UnsupportedError("too much: a value longer than a million characters or items")
    return words.replace(old, new)


def _split(environment: Environment, words: str, separator: str, most: float = math.inf) -> list[str]:
    environment.charge(1 + len(words) // 8)
    if "(" in separator.replace("\\(", ""):
        raise UnsupportedError("split() with groups in its pattern")
    parts = list(words) if not separator else _regexp(separator).split(words)
    return parts if most < 0 or math.isinf(most) else parts[: int(most)]


def _padded(*, left: bool) -> Implementation:
    def pad(_: Environment, words: str, length: float, padding: str = " ") -> str:
        missing = int(min(length, MOST_CHARS)) - len(units(words)) if math.isfinite(length) else 0
        if missing <= 0 or not padding:
            return words
        fill = (padding * (missing // len(padding) + 1))[:missing]
        return str(limited(fill + words if left else words + fill))

    return pad


def _substring(_: Environment, words: str, start: float, end: float = math.inf) -> str:
    counted = units(words)

    def place(at: float) -> int:
        return 0 if math.isnan(at) else int(max(0, min(at, len(counted))))

    first, last = sorted((place(start), place(end)))
    return joined(counted[first:last])


def _truncate(_: Environment, words: str, length: float, suffix: str = "...") -> str:
    counted = units(words)
    most = length - len(units(suffix))
    return joined(counted[: int(max(0, most))]) + suffix if len(counted) > most else words


_PADDED = {2: (0, 1), 3: (0, 1, 2)}


# ------------------------------------------------------------------------------------------------ the rest


def _meta(_: Environment, link: Link) -> dict[str, Any]:
    return {
        "display": link.display, "embed": link.embed, "path": link.path, "subpath": link.subpath, "type": link.kind,
    }  # fmt: skip


def _hash(_: Environment, seed: str, extra: Any = None, variant: Any = None) -> float:
    """cyrb53, by which `hash` mixes: 53 bits of the seed, the text and the variant."""
    words = seed + (extra if isinstance(extra, str) else "")
    number = int(extra if isinstance(extra, int | float) else variant or 0) & 0xFFFFFFFF
    first, second = 0xDEADBEEF ^ number, 0x41C6CE57 ^ number
    for unit in units(words):
        first = (first ^ ord(unit)) * 2654435761 & 0xFFFFFFFF
        second = (second ^ ord(unit)) * 1597334677 & 0xFFFFFFFF
    first &= 0xFFFFFFFF
    second &= 0xFFFFFFFF
    first = ((first ^ first >> 16) * 2246822507 & 0xFFFFFFFF) ^ ((second ^ second >> 13) * 3266489909 & 0xFFFFFFFF)
    second = ((second ^ second >> 16) * 2246822507 & 0xFFFFFFFF) ^ ((first ^ first >> 13) * 3266489909 & 0xFFFFFFFF)
    return 4294967296 * (2097151 & second) + first


def _unsupported(what: str) -> Function:
    def fail(*_: Any) -> Any:
        raise UnsupportedError(what)

    return _function(("…", fail))


_DEFAULT = ("* *", lambda _, value, other: other if value is None else value)

FUNCTIONS: dict[str, Function] = {
    # Constructors
    "object": _function(("…", _object)),
    "list": _function(("…", lambda _, *values: list(values))),
    "array": _function(("…", lambda _, *values: list(values))),
    "date": _function(
        ("string", _date_of_text),
        ("date", lambda _, date: date),
        ("link", _date_of_link),
        ("string string", _date_of_format),
        ("null string", _null),
        ("null", _null),
        over={1: (0,)},
    ),
    "dur": _function(("string", _duration), ("duration", lambda _, span: span), ("null", _null), over={1: (0,)}),
    "number": _function(("number", lambda _, value: value), ("string", _number), ("null", _null), over={1: (0,)}),
    "string": _function(("*", lambda _, value: text(value))),
    "link": _LINK,
    "embed": _function(
        ("link", _embed), ("link boolean", _embed), ("null", _null), ("null *", _null), over={1: (0,), 2: (0, 1)}
    ),
    "elink": _function(
        ("string string", lambda _, url, display: Widget(f"[{display}]({url})")),
        ("string null", lambda _, url, __: Widget(f"[{url}]({url})")),
        ("null *", _null),
        ("string", lambda _, url: Widget(f"[{url}]({url})")),
        ("null", _null),
        over={1: (0,), 2: (0,)},
    ),
    "typeof": _function(("*", lambda _, value: kind(value))),
    # Numbers
    "round": _function(
        ("number", _round),
        ("null", _null),
        ("number number", _round),
        ("number null", lambda env, value, _: _round(env, value)),
        ("null *", _null),
        over={1: (0,), 2: (0,)},
    ),
    "trunc": _function(("number", _whole(math.trunc)), ("null", _null), over={1: (0,)}),
    "floor": _function(("number", _whole(math.floor)), ("null", _null), over={1: (0,)}),
    "ceil": _function(("number", _whole(math.ceil)), ("null", _null), over={1: (0,)}),
    "min": _extreme(least=True),
    "max": _extreme(least=False),
    "sum": _function(("array", lambda env, values: _REDUCE(env, values, "+")), ("*", lambda _, value: value)),
    "product": _function(("array", lambda env, values: _REDUCE(env, values, "*")), ("*", lambda _, value: value)),
    "average": _function(("array", _average), ("*", lambda _, value: value)),
    "minby": _function(("array function", _extreme_by(least=True)), ("null function", _null)),
    "maxby": _function(("array function", _extreme_by(least=False)), ("null function", _null)),
    "reduce": _REDUCE,
    # Objects, lists and texts
    "contains": _containing(lambda hay, needle: needle in hay, deep=True),
    "icontains": _containing(lambda hay, needle: needle.lower() in hay.lower(), deep=True),
    "econtains": _containing(lambda hay, needle: needle in hay, deep=False),
    "containsword": _function(("string string", _contains_word), *_NONE2, over={2: (0, 1)}),
    "extract": _function(("…", _extract)),
    "sort": _function(("array", _sorted), ("array function", _sorted), ("*", lambda _, value: value)),
    "reverse": _function(
        ("array", lambda _, values: values[::-1]),
        ("string", lambda _, words: joined(units(words)[::-1])),
        ("*", lambda _, value: value),
    ),
    "length": _function(
        ("array", lambda _, values: len(values)),
        ("object", lambda _, value: len(entries(value))),
        ("string", lambda _, words: len(units(words))),
        ("null", lambda _, __: 0),
    ),
    "nonnull": _function(("array", lambda env, values: _nonnull(env, *values)), ("…", _nonnull)),
    "firstvalue": _function(
        ("array", lambda _, values: next((value for value in values if value is not None), None)), ("null", _null)
    ),
    "all": _some(all),
    "any": _some(any),
    "none": _some(lambda tests: not any(tests)),
    "join": _function(
        ("array string", _join),
        ("array null", _join),
        ("* string", lambda _, value, __: text(value)),
        ("array", _join),
        ("*", lambda _, value: text(value)),
        over={2: (1,)},
    ),
    "filter": _function(
        ("array function", lambda env, values, test: [value for value in values if truthy(env.call(test, value))]),
        ("null *", _null),
    ),
    "map": _function(
        ("array function", lambda env, values, function: [env.call(function, value) for value in values]),
        ("null *", _null),
    ),
    "flat": _function(("array", _flat), ("array number", _flat), ("null", _null)),
    "slice": _function(("array", _slice), ("array number", _slice), ("array number number", _slice), ("null", _null)),
    "unique": _function(("array", _unique), ("null", _null)),
    # Texts
    "regextest": _function(
        ("string string", _regex_test),
        ("null *", lambda *_: False),
        ("* null", lambda *_: False),
        over={2: (0, 1)},
    ),
    "regexmatch": _function(
        ("string string", _regex_match),
        ("null *", lambda *_: False),
        ("* null", lambda *_: False),
        over={2: (0, 1)},
    ),
    "regexreplace": _function(("string string string", _regex_replace), *_NONE3, over={3: (0, 1, 2)}),
    "replace": _function(("string string string", _replace), *_NONE3, over={3: (0, 1, 2)}),
    "lower": _function(("string", lambda _, words: words.lower()), ("null", _null), over={1: (0,)}),
    "upper": _function(("string", lambda _, words: words.upper()), ("null", _null), over={1: (0,)}),
    "split": _function(("string string", _split), ("string string number", _split), *_NONE2, *_NONE3),
    "startswith": _function(
        ("string string", lambda _, words, start: words.startswith(start)), *_NONE2, over={2: (0, 1)}
    ),
    "endswith": _function(("string string", lambda _, words, end: words.endswith(end)), *_NONE2, over={2: (0, 1)}),
    "padleft": _function(
        ("string number", _padded(left=True)),
        ("string number string", _padded(left=True)),
        *_NONE2,
        *_NONE3,
        over=_PADDED,
    ),
    "padright": _function(
        ("string number", _padded(left=False)),
        ("string number string", _padded(left=False)),
        *_NONE2,
        *_NONE3,
        over=_PADDED,
    ),
    "substring": _function(
        ("string number", _substring), ("string number number", _substring), *_NONE2, *_NONE3, over=_PADDED
    ),
    "truncate": _function(
        ("string number string", _truncate), ("string number", _truncate), *_NONE2, *_NONE3, over=_PADDED
    ),
    # Utilities
    "default": _function(_DEFAULT, over={2: (0, 1)}),
    "ldefault": _function(_DEFAULT),
    "choice": _function(("* * *", lambda _, test, left, right: left if truthy(test) else right), over={3: (0,)}),
    "hash": _function(("string number", _hash), ("string string", _hash), ("string string number", _hash)),
    "striptime": _function(("date", lambda _, date: midnight(date)), ("null", _null), over={1: (0,)}),
    "dateformat": _function(
        ("date string", lambda env, date, pattern: formatted(date, pattern, env.zone)),
        ("null string", _null),
        over={2: (0,)},
    ),
    "durationformat": _function(
        ("duration string", lambda _, span, pattern: formatted_duration(span, pattern)),
        ("null string", _null),
        over={2: (0,)},
    ),
    "localtime": _function(
        ("date", lambda env, date: env.zone.local(env.zone.instant(date)) if date.tzinfo else date),
        ("null", _null),
        over={1: (0,)},
    ),
    "meta": _function(("link", _meta)),
    "display": _unsupported("the function display"),
    "currencyformat": _unsupported("the function currencyformat"),
}
