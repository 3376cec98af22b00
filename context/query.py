"""Filters on notes: the scope of a request, and conditions on properties."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import chain
from typing import Any

from context.calendar import iso_date
from context.names import base_of, fold, folder_of
from context.note import Note
from context.snapshot import Snapshot

Condition = tuple[str, str, Any]


class QueryError(ValueError):
    """A scope or condition that cannot be read; the message names the part and what is allowed."""

    code = "invalid"
    hint: str = (
        'For example {"where": {"status": "active", "due": {"lte": "2025-09-30"}, "tags": {"contains": "homelab"}}}.'
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """Which notes a request may use; every field narrows.

    Attributes:
        project: name or path of a note: it, what it links to, and what links to it.
        folder: a folder of the vault and all below it.
        tags: each of them must be on the note; `a` also fits `a/b`.
        since: notes dated on or after this day (periodic notes by their name, others by a date property).
        where: (property, operator, value), all of which must hold.
    """

    project: str = ""
    folder: str = ""
    tags: tuple[str, ...] = ()
    since: date | None = None
    where: tuple[Condition, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.project or self.folder or self.tags or self.since or self.where)


def scope(value: Mapping[str, Any] | None) -> Scope:
    """Read the scope of a request.

    Raises:
        QueryError: an unknown field or operator, or a value of the wrong type.
    """
    given = dict(value or {})
    unknown = sorted(set(given) - {"project", "folder", "tags", "since", "where"})
    if unknown:
        raise QueryError(f"scope has no field {unknown[0]!r}; it takes project, folder, tags, since, where")
    tags = given.get("tags") or []
    if isinstance(tags, str):
        tags = [tags]
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise QueryError("scope.tags must be a list of tag names")
    for name in ("project", "folder"):
        if not isinstance(given.get(name) or "", str):
            raise QueryError(f"scope.{name} must be text")
    since = given.get("since")
    if since and iso_date(since) is None:
        raise QueryError("scope.since must be an ISO date such as 2025-09-01")
    return Scope(
        project=(given.get("project") or "").strip().removeprefix("[[").removesuffix("]]"),
        folder=(given.get("folder") or "").strip("/ "),
        tags=tuple(tag.lstrip("#") for tag in tags),
        since=iso_date(since),
        where=tuple(conditions(given.get("where") or {})),
    )


def conditions(where: Mapping[str, Any]) -> list[Condition]:
    """Read `where`: {"status": "active", "level": {"in": […]}} → [("status", "eq", "active"), ("level", "in", […])].

    Raises:
        QueryError: not an object, an unknown operator, or an operand of the wrong type.
    """
    if not isinstance(where, Mapping):
        raise QueryError("where must be an object of property names")
    found: list[Condition] = []
    for name, wanted in where.items():
        tests = wanted if isinstance(wanted, Mapping) else {"eq": wanted}
        for operator, operand in tests.items():
            if operator not in OPERATORS:
                raise QueryError(f"where has no operator {operator!r}; it takes {', '.join(OPERATORS)}")
            if operator in {"in", "nin"} and not isinstance(operand, list):
                raise QueryError(f"where: the operator {operator!r} takes a list")
            if operator == "exists" and not isinstance(operand, bool):
                raise QueryError("where: the operator 'exists' takes true or false")
            found.append((name, operator, operand))
    return found


def select(snapshot: Snapshot, wanted: Scope) -> Mapping[str, Note]:
    """The notes inside a scope, in path order; all of them when the scope is empty.

    Raises:
        QueryError: the project is no note of the vault.
    """
    notes = _in_folder(snapshot, wanted.folder) if wanted.folder else snapshot.ordered
    if wanted.project:
        notes = {path: note for path, note in sorted(_project(snapshot, wanted.project).items()) if path in notes}
    tests = _tests(snapshot, wanted)
    return {path: note for path, note in notes.items() if all(test(note) for test in tests)} if tests else notes


def _in_folder(snapshot: Snapshot, name: str) -> Mapping[str, Note]:
    """The notes that lie in a folder or below it, in path order; those of the folder asked for last are kept."""
    prefix, kept = fold(name) + "/", snapshot.kept.get("in folder")
    if kept is None or kept[0] != prefix:
        folders = snapshot.lasts(
            "folders",
            lambda: _by_folder(snapshot, {}, snapshot.notes),
            lambda known, paths: _by_folder(snapshot, known, paths),
        )
        inside = [paths for folder, paths in folders.items() if fold(folder).startswith(prefix)]
        kept = prefix, {path: snapshot.notes[path] for path in sorted(chain.from_iterable(inside))}
        snapshot.kept["in folder"] = kept
    found: Mapping[str, Note] = kept[1]
    return found


def _by_folder(
    snapshot: Snapshot, known: Mapping[str, frozenset[str]], paths: Iterable[str]
) -> dict[str, frozenset[str]]:
    """Folder → its notes, of those known and of those at some paths."""
    touched: dict[str, set[str]] = {}
    for path in paths:
        touched.setdefault(folder_of(path), set()).add(path)
    found = dict(known)
    for folder, changed in touched.items():
        here = {path for path in changed if path in snapshot.notes}
        found[folder] = (found.get(folder, frozenset()) - changed) | here
    return found


def _project(snapshot: Snapshot, name: str) -> dict[str, Note]:
    path = snapshot.names.resolve(name, "")
    if path is None or path not in snapshot.notes:
        path = next(iter(snapshot.aliases.get(fold(name), ())), None)
    if path is None:
        error = QueryError(f"scope.project: no note is called {name[:80]!r}")
        error.hint = "Give the name of a project's note as it stands in the vault, or its path."
        raise error
    around = (path, *snapshot.graph.out.get(path, ()), *snapshot.graph.back.get(path, ()))
    return {near: snapshot.notes[near] for near in around if near in snapshot.notes}


def _tests(snapshot: Snapshot, wanted: Scope) -> list[Callable[[Note], bool]]:
    tests: list[Callable[[Note], bool]] = []
    tests += [partial(has_tag, tag=tag) for tag in wanted.tags]
    if wanted.since:
        since = wanted.since
        tests.append(lambda note: (dated(snapshot, note) or date.min) >= since)
    tests += [partial(holds, condition=condition) for condition in wanted.where]
    return tests


def has_tag(note: Note, tag: str) -> bool:
    """Whether a note carries a tag or one nested in it."""
    wanted = fold(tag)
    return any(own == wanted or own.startswith(wanted + "/") for own in map(fold, note.tags))


def dated(snapshot: Snapshot, note: Note) -> date | None:
    """The day a note speaks of: a periodic note's by its name, else the latest of its own date properties."""
    period = snapshot.settings.period(note.path)
    if period is not None:
        return period[1]
    days = (iso_date(note.properties.get(name)) for name in ("updated", "modified", "date", "completed", "created"))
    return max((day for day in days if day), default=None)


def holds(note: Note, condition: Condition) -> bool:
    """Whether one condition holds for a note.

    Text compares folded; `[[Note]]` equals the note's name; a list property fits when one of its items does (and for
    `ne` and `nin` when none does). Numbers compare as numbers, everything else with an order as text, which is right
    for ISO dates.
    """
    name, operator, operand = condition
    value = _value(note, name)
    return OPERATORS[operator](value, operand)


def _value(note: Note, name: str) -> Any:
    if fold(name) == "tags":
        return list(note.tags)
    if name in note.properties:
        return note.properties[name]
    return next((value for key, value in note.properties.items() if fold(key) == fold(name)), None)


def plain(value: Any) -> Any:
    """A value as it is compared: folded text, a link as the name of its note, numbers as they are."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("[[") and text.endswith("]]"):
            text = base_of(text[2:-2].split("|")[0].split("#")[0])
        return fold(text)
    return value


def _items(value: Any) -> list[Any]:
    return [plain(item) for item in value] if isinstance(value, list) else [] if value is None else [plain(value)]


def _equal(value: Any, operand: Any) -> bool:
    wanted = plain(operand)
    if wanted is None:
        return value is None or value in ("", [])
    return any(item == wanted and isinstance(item, bool) == isinstance(wanted, bool) for item in _items(value))


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(value: Any, operand: Any) -> bool:
        wanted = plain(operand)
        for item in _items(value):
            if isinstance(item, bool) or isinstance(wanted, bool):
                continue
            both = _numbers(item, wanted)
            if both is not None:
                if compare(*both):
                    return True
            elif isinstance(item, str) and isinstance(wanted, str) and compare(item, wanted):
                return True
        return False

    return test


def _numbers(left: Any, right: Any) -> tuple[float, float] | None:
    try:
        both = float(left), float(right)
    except (TypeError, ValueError, OverflowError):
        return None
    return both if all(map(math.isfinite, both)) else None


def _contains(value: Any, operand: Any) -> bool:
    wanted = plain(operand)
    if isinstance(value, list):
        return any(
            item == wanted or (isinstance(item, str) and item.startswith(f"{wanted}/")) for item in _items(value)
        )
    return isinstance(value, str) and isinstance(wanted, str) and wanted in plain(value)


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "ne": lambda value, operand: not _equal(value, operand),
    "in": lambda value, operand: any(_equal(value, one) for one in operand),
    "nin": lambda value, operand: not any(_equal(value, one) for one in operand),
    "lt": _ordered(lambda a, b: a < b),
    "lte": _ordered(lambda a, b: a <= b),
    "gt": _ordered(lambda a, b: a > b),
    "gte": _ordered(lambda a, b: a >= b),
    "contains": _contains,
    "exists": lambda value, operand: (value is not None) is operand,
}
