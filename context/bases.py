"""Evaluates Obsidian Bases: which files each view of a `.base` file or a ```base block holds, without the app.

The language is Obsidian's documentation of Bases; what it leaves open, and what is decided then, stands in
docs/queries.md. Times of creation are approximate: they are those of the last change.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from context import collate
from context.base_files import Files
from context.base_formula import Evaluate, Formulas, Row
from context.base_values import FormulaError, is_nothing, is_true, sort_key, text_of
from context.calendar import Calendar
from context.frontmatter import FAULT, read
from context.names import base_of, fold
from context.snapshot import Snapshot
from context.unsupported import BrokenError, UnsupportedError

# A view without a name is shown by the name of its layout.
_LAYOUTS = {"table": "Table", "cards": "Cards", "list": "List", "map": "Map"}
_MOST_VIEWS = 100
_MOST_STATEMENTS = 500
_MARKER = re.compile(r"^---[ \t]*\r?$", re.MULTILINE)

# Whether a filter holds for a file; what could not be told is the reason why.
Verdict = bool | UnsupportedError
Filter = Callable[[Row], Verdict]


@dataclass(frozen=True, slots=True)
class View:
    """One view of a base.

    Attributes:
        name: of the view, as embeds name it (`![[Books.base#Read]]`).
        kind: its layout: table, cards, list, map, or one that a plugin adds.
        members: paths of the files it shows, in its order, after filters, sort and limit.
        groups: (text of the value, paths) when it is grouped, in order; the members stand in the same order.
        unsupported: why it cannot be evaluated, "" when it can; it then has no members.
        broken: it cannot because it is written wrongly, not because of what is supported here.
    """

    name: str
    kind: str
    members: tuple[str, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unsupported: str = ""
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Base:
    """A base: its views in order, the first one is what an embed shows; `unsupported` when it cannot be read at all."""

    views: tuple[View, ...]
    unsupported: str = ""
    broken: bool = False

    def view(self, name: str) -> View | None:
        """The view of a name, the first one for ""; None when there is none."""
        if not name:
            return next(iter(self.views), None)
        return next((view for view in self.views if fold(view.name) == fold(name)), None)


def evaluate(source: str, snapshot: Snapshot, this: str, calendar: Calendar) -> Base:
    """Evaluate a base. Never raises: what cannot be evaluated is said in the views.

    Args:
        source: the YAML of a `.base` file or block.
        snapshot: of the vault; every file of it is looked at.
        this: the path of the note the base is embedded in, or of the base itself.
        calendar: what now means, and the person's zone.
    """
    try:
        given = _yaml(source)
        files = Files(snapshot, this, calendar)
        formulas = Formulas(files, _mapping(given.get("formulas"), "formulas"))
        views = _listed(given.get("views"), "views") or [{"type": "table"}]
        if len(views) > _MOST_VIEWS:
            raise UnsupportedError(f"more than {_MOST_VIEWS} views")
        settings = [_mapping(one, "views") for one in views]
    except UnsupportedError as error:
        return Base((), *_why(error))
    budget = [_MOST_STATEMENTS]
    try:
        rows = [Row(path, note) for path, note in snapshot.notes.items()]
        rows += [Row(path, None) for path in snapshot.attachments]
        common = _verdicts(_filter(given.get("filters"), formulas, budget), rows, files)
    except UnsupportedError as error:
        return Base(tuple(View(*_title(one), (), (), *_why(error)) for one in settings))
    return Base(tuple(_view(one, common, formulas, budget) for one in settings))


def _why(error: UnsupportedError) -> tuple[str, bool]:
    """Why there is no result, and whether that is the fault of what is written."""
    return str(error), isinstance(error, BrokenError)


def _yaml(source: str) -> Mapping[str, Any]:
    """The mapping that the source writes, read behind the guard of the properties of notes."""
    text = source.lstrip("\ufeff")
    if text.startswith("---"):
        text = text.partition("\n")[2]
    if _MARKER.search(text):
        raise UnsupportedError("more than one YAML document")
    front = read(f"---\n{text}\n---\n")
    if front.problem:
        kind = BrokenError if front.problem.startswith(FAULT) else UnsupportedError
        raise kind(f"the base cannot be read: {front.problem}")
    return front.properties


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None or isinstance(value, dict):
        return value or {}
    raise BrokenError(f"the base cannot be read: {where} is no mapping")


def _listed(value: Any, where: str) -> list[Any]:
    if value is None or isinstance(value, list):
        return value or []
    raise BrokenError(f"the base cannot be read: {where} is no list")


def _title(settings: Mapping[str, Any]) -> tuple[str, str]:
    kind = settings.get("type")
    layout = kind if isinstance(kind, str) and kind else "table"
    name = settings.get("name")
    return (text_of(name) if isinstance(name, str | int | float) else _LAYOUTS.get(layout, layout)), layout


# Filters


def _filter(value: Any, formulas: Formulas, budget: list[int]) -> Filter:
    """A filter: a statement, or an object with one of `and`, `or`, `not` and a list of filters; nothing always holds.

    Raises:
        UnsupportedError: it is neither, or uses what is not supported.
    """
    if value is None:
        return lambda _: True
    if isinstance(value, str):
        return _statement(value, formulas, budget)
    if isinstance(value, bool):
        return lambda _: value
    if not isinstance(value, dict):
        raise BrokenError("a filter that is neither a text nor an object")
    if not value:
        return lambda _: True
    if len(value) != 1 or next(iter(value)) not in ("and", "or", "not"):
        raise UnsupportedError(f"a filter of {', '.join(map(str, value))[:60]}: it takes one of and, or, not")
    ((how, inner),) = value.items()
    parts = inner if isinstance(inner, list) else [] if inner is None else [inner]
    filters = [_filter(one, formulas, budget) for one in parts]
    if not filters:
        return lambda _: True
    if how == "and":
        return lambda row: _joined(filters, row, decides=False)
    if how == "or":
        return lambda row: _joined(filters, row, decides=True)
    return lambda row: _negated(_joined(filters, row, decides=True))


def _statement(source: str, formulas: Formulas, budget: list[int]) -> Filter:
    budget[0] -= 1
    if budget[0] < 0:
        raise UnsupportedError(f"too much: more than {_MOST_STATEMENTS} filter statements")
    if not source.strip():
        raise UnsupportedError("an empty filter statement (a statement that begins with ! needs quotes)")
    run = formulas.expression(source)

    def holds(row: Row) -> Verdict:
        try:
            return is_true(run(row))
        except FormulaError:
            return False  # where the app shows an error, the file is left out
        except UnsupportedError as error:
            return error

    return holds


def _joined(filters: Iterable[Filter], row: Row, *, decides: bool) -> Verdict:
    """Filters joined by `or`, where one that holds decides, or by `and`, where one that fails; else what is unknown."""
    joined: Verdict = not decides
    for one in filters:
        verdict = one(row)
        if verdict is decides:
            return decides
        if isinstance(verdict, UnsupportedError):
            joined = verdict
    return joined


def _negated(verdict: Verdict) -> Verdict:
    return not verdict if isinstance(verdict, bool) else verdict


Candidates = list[tuple[Row, Verdict]]


def _verdicts(test: Filter, rows: Iterable[Row], files: Files) -> Candidates:
    """The files for which a filter holds, or may hold.

    Raises:
        UnsupportedError: the time is over.
    """
    found: Candidates = []
    for row in rows:
        files.step()
        verdict = test(row)
        if verdict is not False:
            found.append((row, verdict))
    return found


# Views


def _view(settings: Mapping[str, Any], common: Candidates, formulas: Formulas, budget: list[int]) -> View:
    name, layout = _title(settings)
    try:
        test = _filter(settings.get("filters"), formulas, budget)
        rows: list[Row] = []
        for row, before in common:
            formulas.files.step()
            verdict = test(row)
            if verdict is False:
                continue
            for one in (before, verdict):
                if isinstance(one, UnsupportedError):
                    raise _named(one, row) from one
            rows.append(row)
        rows.sort(key=lambda row: (collate.order(base_of(row.path)), row.path))
        rows = _sorted(rows, settings, formulas)
        limit = settings.get("limit")
        if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0:
            rows = rows[:limit]
        groups = _groups(rows, settings.get("groupBy"), formulas)
    except UnsupportedError as error:
        return View(name, layout, (), (), *_why(error))
    members = [path for _, paths in groups for path in paths] if groups else [row.path for row in rows]
    return View(name, layout, tuple(members), groups)


def _named(error: UnsupportedError, row: Row) -> UnsupportedError:
    """The same, with the file of which it could not be told: its value may be the only one of its kind."""
    return type(error)(f"{error} (first in {row.path})")


def _sorted(rows: list[Row], settings: Mapping[str, Any], formulas: Formulas) -> list[Row]:
    """The files in the order of a view; what no sort tells apart stays in the order of names."""
    for one in reversed(_listed(settings.get("sort"), "sort")):
        given = {"property": one} if isinstance(one, str) else _mapping(one, "sort")
        name = given.get("property", given.get("column"))
        if not isinstance(name, str):
            raise UnsupportedError("a sort without a property")
        rows = [row for row, _ in _ordered(rows, formulas.property(name), down=_is_down(given))]
    return rows


def _is_down(given: Mapping[str, Any]) -> bool:
    direction = given.get("direction")
    return isinstance(direction, str) and direction.upper() == "DESC"


def _ordered(rows: Iterable[Row], value_of: Evaluate, *, down: bool) -> list[tuple[Row, Any]]:
    """Files with their values by size of these, those without one last."""
    filled: list[tuple[Row, Any]] = []
    empty: list[tuple[Row, Any]] = []
    for row in rows:
        try:
            value = value_of(row)
        except FormulaError:
            value = None
        except UnsupportedError as error:
            raise _named(error, row) from error
        (empty if is_nothing(value) else filled).append((row, value))
    filled.sort(key=lambda pair: sort_key(pair[1]), reverse=down)
    return filled + empty


def _groups(rows: Iterable[Row], given: Any, formulas: Formulas) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The groups of a view, by the values of its groupBy property; files without one make the last group."""
    if isinstance(given, str):
        given = {"property": given}
    name = given.get("property") if isinstance(given, dict) else None
    if not isinstance(name, str):
        return ()
    found: dict[str, list[str]] = {}
    for row, value in _ordered(rows, formulas.property(name), down=_is_down(given)):
        found.setdefault("" if is_nothing(value) else text_of(value), []).append(row.path)
    return tuple((text, tuple(paths)) for text, paths in found.items())
