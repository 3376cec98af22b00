"""Reads a TOML table strictly: every value has a type and limits, and a key nobody asked for is a fault."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


class Table:
    """A table while it is read. Every message names the file, the key and what is allowed.

    Args:
        file: what messages call the file.
        place: dotted path of the table in it, "" for the whole file.
        value: the table.
        error: what is raised.
    """

    def __init__(self, file: str, place: str, value: Mapping[str, Any], error: type[ValueError]) -> None:
        self.file = file
        self.place = place
        self.value = value
        self.error = error
        self._asked: list[str] = []

    def wrong(self, key: str, problem: str) -> ValueError:
        """The error to raise for a key; "" is the table itself."""
        return self.error(f"{self.file}: {self._path(key)} {problem}")

    def _path(self, key: str) -> str:
        return ".".join(part for part in (self.place, key) if part)

    def take(self, key: str, kinds: tuple[type, ...], wanted: str, default: Any = None) -> Any:
        """The value of a key, which must be there if it has no default. True and false are no numbers."""
        self._asked.append(key)
        value = self.value.get(key, default)
        if value is None:
            raise self.wrong(key, f"is missing; it takes {wanted}")
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.wrong(key, f"takes {wanted}")
        return value

    def text(self, key: str, default: str | None = None, *, like: re.Pattern[str] | None = None, of: str = "") -> str:
        """A text; `of` says what it is when it must look `like` something."""
        text: str = self.take(key, (str,), f"the {of}" if of else "a text", default)
        if like is not None and text != default and not like.fullmatch(text):
            raise self.wrong(key, f"is {text[:80]!r}, which is no {of}")
        return text

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        """One of several texts."""
        told = ", ".join(one or "''" for one in allowed)
        text: str = self.take(key, (str,), f"one of: {told}", default)
        if text not in allowed:
            raise self.wrong(key, f"is {text[:80]!r}; allowed: {told}")
        return text

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number within limits."""
        value: int = self.take(key, (int,), f"a whole number from {low} to {high}", default)
        if not low <= value <= high:
            raise self.wrong(key, f"is {value}; allowed: {low} to {high}")
        return value

    def decimal(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A number within limits, whole or not."""
        value: float = self.take(key, (int, float), f"a number from {low:g} to {high:g}", default)
        if not low <= value <= high:
            raise self.wrong(key, f"is {value:g}; allowed: {low:g} to {high:g}")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        return bool(self.take(key, (bool,), "true or false", default))

    def table(self, key: str) -> "Table":
        """A table inside this one, empty if it is not there."""
        return self._inner(key, self.take(key, (dict,), "a table", {}))

    def tables(self, key: str) -> dict[str, "Table"]:
        """A table of named tables, at least one."""
        wanted = f"at least one table such as [{key}.NAME]"
        found = self.take(key, (dict,), wanted, {})
        if not found:
            raise self.wrong(key, f"is missing; it takes {wanted}")
        for name, value in found.items():
            if not _NAME.fullmatch(name):
                raise self.wrong(f"{key}.{name[:80]}", "is no name: letters, digits and . _ + - only, at most 64")
            if not isinstance(value, dict):
                raise self.wrong(f"{key}.{name}", "takes a table")
        return {name: self._inner(f"{key}.{name}", value) for name, value in found.items()}

    def array(self, key: str) -> list["Table"]:
        """A list of tables, which may be empty."""
        wanted = f"tables such as [[{key}]]"
        found = self.take(key, (list,), wanted, [])
        if not all(isinstance(value, dict) for value in found):
            raise self.wrong(key, f"takes {wanted}")
        return [self._inner(f"{key}[{n}]", value) for n, value in enumerate(found)]

    def _inner(self, key: str, value: Mapping[str, Any]) -> "Table":
        return Table(self.file, self._path(key), value, self.error)

    def end(self) -> None:
        """Nothing may be left over."""
        for key in self.value:
            if key not in self._asked:
                raise self.wrong(key[:80], f"is unknown; allowed here: {', '.join(sorted(self._asked))}")
