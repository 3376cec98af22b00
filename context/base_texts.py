"""The functions of texts in the Bases language."""

import re
from collections.abc import Mapping
from typing import Any

from context.base_checks import LONGEST, Method, as_text, as_whole, bounded, needs
from context.base_files import Files
from context.base_values import File, FormulaError, Link, text_of
from context.regexp import Regexp
from context.unsupported import UnsupportedError


def _part_of(text: str, one: Any) -> bool:
    """Whether a text contains another one; a link may be meant by its target or as it is written."""
    if isinstance(one, Link | File):
        texts = {one.target, text_of(one)} if isinstance(one, Link) else {one.path}
        found = {part in text for part in texts}
        if len(found) > 1:
            raise UnsupportedError("a link as a part of a text")
        return found.pop()
    return as_text(one, "contains") in text


def _contains(_: Files, text: str, given: tuple[Any, ...]) -> bool:
    needs(given, 1, 1, "contains")
    return _part_of(text, given[0])


def _starts(_: Files, text: str, given: tuple[Any, ...]) -> bool:
    needs(given, 1, 1, "startsWith")
    return text.startswith(as_text(given[0], "startsWith"))


def _ends(_: Files, text: str, given: tuple[Any, ...]) -> bool:
    needs(given, 1, 1, "endsWith")
    return text.endswith(as_text(given[0], "endsWith"))


def _replace(_: Files, text: str, given: tuple[Any, ...]) -> str:
    needs(given, 2, 2, "replace")
    by = as_text(given[1], "replace")
    if isinstance(given[0], Regexp):
        return bounded(given[0].replace(text, by))
    old = as_text(given[0], "replace")
    if len(by) * (text.count(old) + 1) > LONGEST:
        raise UnsupportedError("too much: a text of more than a hundred thousand characters")
    return bounded(text.replace(old, by))


def _repeat(_: Files, text: str, given: tuple[Any, ...]) -> str:
    needs(given, 1, 1, "repeat")
    count = as_whole(given[0], "repeat")
    if count < 0:
        raise FormulaError("repeat() less than not at all")
    if count * len(text) > LONGEST:
        raise UnsupportedError("too much: a text of more than a hundred thousand characters")
    return text * count


def sliced(_: Files, value: Any, given: tuple[Any, ...]) -> Any:
    """A part of a text or list."""
    needs(given, 1, 2, "slice")
    end = None if len(given) == 1 or given[1] is None else as_whole(given[1], "slice")
    return value[as_whole(given[0], "slice") : end]


def _split(_: Files, text: str, given: tuple[Any, ...]) -> list[str]:
    needs(given, 1, 2, "split")
    separator = given[0]
    if isinstance(separator, Regexp):
        parts = separator.split(text)
    else:
        parts = text.split(separator) if as_text(separator, "split") else list(text)
    return parts if len(given) == 1 else parts[: max(0, as_whole(given[1], "split"))]


def _title(_: Files, text: str, __: tuple[Any, ...]) -> str:
    kept = re.sub(r"(?<!\S)\S", lambda found: found[0].upper(), text)
    if kept != re.sub(r"(?<!\S)\S", lambda found: found[0].upper(), text.lower()):
        raise UnsupportedError("title() of a word with capitals inside")
    return kept


TEXTS: Mapping[str, Method] = {
    "contains": _contains,
    "containsAll": lambda _, text, given: all(_part_of(text, one) for one in given),
    "containsAny": lambda _, text, given: any(_part_of(text, one) for one in given),
    "endsWith": _ends,
    "lower": lambda _, text, __: text.lower(),
    "repeat": _repeat,
    "replace": _replace,
    "reverse": lambda _, text, __: text[::-1],
    "slice": sliced,
    "split": _split,
    "startsWith": _starts,
    "title": _title,
    "trim": lambda _, text, __: text.strip(),
}
