"""Evaluates Dataview's queries (DQL) over a snapshot, without the app: which notes and tasks they show, in order."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any

from context.calendar import Calendar
from context.dataview_functions import FUNCTIONS, operate, units
from context.dataview_pages import FILE_FIELDS, Page, Pages, TaskRow
from context.dataview_syntax import (
    Binary,
    Call,
    Expression,
    Index,
    Items,
    Lambda,
    Literal,
    Named,
    Negated,
    Pairs,
    Query,
    Source,
    Step,
    SyntaxFault,
    Variable,
    parse,
    parse_expression,
    parts,
)
from context.dataview_values import (
    CHARS_A_STEP,
    SPEND,
    UNITS,
    Duration,
    Link,
    RowError,
    Thing,
    Zone,
    equal,
    kind,
    sort_key,
    text,
    truthy,
)
from context.snapshot import Snapshot
from context.unsupported import UnsupportedError

# What one query may cost, in evaluated parts of expressions: about a second.
_MOST_STEPS = 2_000_000
_ROW_STEPS = 4


@dataclass(frozen=True, slots=True)
class Result:
    """What a query shows.

    Attributes:
        kind: list, table, task or calendar; "inline" for an expression in a text, "" for what is no query.
        members: paths of the notes it shows, each once, in the order of its rows; of grouped rows those of the groups.
        columns: names of the columns of a table, without the first one that shows the file or group.
        rows: what stands in each row of a list or table, as text: the file or group unless it is left out, then the
            columns; None for what cannot be evaluated.
        tasks: (path, line from 0) of the tasks that a TASK query finds.
        approximate: fields whose values are not known for certain: "file.ctime" is when the file was last modified.
        unsupported: why there is no result, "" when there is one: what is not evaluated here, or the error that
            Dataview itself shows.
        broken: it is that error: the query is written wrongly.
    """

    kind: str
    members: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    tasks: tuple[tuple[str, int], ...] = ()
    approximate: tuple[str, ...] = ()
    unsupported: str = ""
    broken: bool = False


def evaluate(source: str, snapshot: Snapshot, this: str, calendar: Calendar) -> Result:
    """Evaluate a query. Never raises: what cannot be evaluated is said.

    Without SORT the rows stand in the order of their paths; Dataview itself promises none. Only notes are rows, no
    canvas. The settings of the plugin are its defaults, and its language is English.

    Args:
        source: the text of a `dataview` block.
        snapshot: of the vault; every note of it is looked at.
        this: the path of the note the query stands in.
        calendar: what now means, and the person's zone.
    """
    run = _Run(snapshot, this, calendar)

    def result() -> Result:
        return run.result(parse(source, run.zone.now))

    return _said(run, result, _kind_of(source))


def evaluate_inline(source: str, snapshot: Snapshot, this: str, calendar: Calendar) -> Result:
    """Evaluate an expression that stands in a text (`= this.status`): its text, and as members the files it links to.

    Args:
        source: the expression, without the `=`.
        snapshot: of the vault.
        this: the path of the note it stands in.
        calendar: what now means, and the person's zone.
    """
    run = _Run(snapshot, this, calendar)

    def result() -> Result:
        value = run.compiled(parse_expression(source, run.zone.now))(Record({}))
        found = [link.path for link in _links_in(value) if link.path in snapshot.files]
        return Result("inline", tuple(dict.fromkeys(found)), (), ((text(value),),), (), run.approximate())

    return _said(run, result, "inline")


def _said(run: "_Run", result: Callable[[], Result], shape: str) -> Result:
    """A result, or one that says why there is none."""
    token = SPEND.set(run.charge)
    try:
        return result()
    except (SyntaxFault, UnsupportedError) as reason:
        return Result(shape, unsupported=str(reason), broken=isinstance(reason, SyntaxFault))
    except RowError as error:
        return Result(shape, unsupported=f"fails: {error}", broken=True)
    except (RecursionError, OverflowError):
        return Result(shape, unsupported="too much: a value too large or nested too deep")
    finally:
        SPEND.reset(token)


def _kind_of(source: str) -> str:
    """The kind of a query by its first word."""
    word = source.split(maxsplit=1)[:1]
    return word[0].lower() if word and word[0].lower() in ("list", "table", "task", "calendar") else ""


def _links_in(value: Any) -> Iterable[Link]:
    if isinstance(value, Link):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _links_in(item)


class Record(Thing):
    """An object with these fields."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def get(self, key: str) -> Any:
        """A field; None when there is none."""
        return self.values.get(key)

    def has(self, key: str) -> bool:
        """Whether there is such a field."""
        return key in self.values

    def keys(self) -> list[str]:
        """The names of all fields."""
        return list(self.values)


class Overlay(Thing):
    """An object with further fields: what FLATTEN makes of a row, and the arguments of a function."""

    __slots__ = ("base", "values")

    def __init__(self, base: Thing, values: dict[str, Any]) -> None:
        self.base = base
        self.values = values

    def get(self, key: str) -> Any:
        """A field; None when there is none."""
        return self.values[key] if key in self.values else self.base.get(key)

    def has(self, key: str) -> bool:
        """Whether there is such a field."""
        return key in self.values or self.base.has(key)

    def keys(self) -> list[str]:
        """The names of all fields."""
        return list(dict.fromkeys((*self.base.keys(), *self.values)))


class Group(Record):
    """A row that GROUP BY makes of others."""

    __slots__ = ("key",)

    def __init__(self, key: Any, rows: list[Thing], name: str) -> None:
        super().__init__({"key": key, "rows": rows, name: key})
        self.key = key


def shown(row: Thing) -> Any:
    """What stands for a row: a link to its note, or what it is grouped by."""
    while isinstance(row, Overlay):
        row = row.base
    if isinstance(row, Page):
        return Link(row.path)
    return row.key if isinstance(row, Group) else None


def origins(rows: Iterable[Thing]) -> Iterator[tuple[str, int]]:
    """The (path, line) of the notes and tasks that rows are made of; a note has the line -1."""
    for row in rows:
        base = row
        while isinstance(base, Overlay):
            base = base.base
        if isinstance(base, Page):
            yield base.path, -1
        elif isinstance(base, TaskRow):
            yield base.page.path, base.task.item.line
        elif isinstance(base, Group):
            yield from origins(base.values["rows"] if type(base.values["rows"]) is list else ())


@dataclass(frozen=True, slots=True)
class Closure:
    """A function written in a query, with the row it was written for."""

    names: tuple[str, ...]
    body: "Compiled"
    row: Thing
    cost: int


Compiled = Callable[[Thing], Any]


class _Run:
    """One evaluation: the environment that the functions of the language ask."""

    def __init__(self, snapshot: Snapshot, this: str, calendar: Calendar) -> None:
        self.snapshot = snapshot
        self.origin = this
        self.zone = Zone(calendar.now)
        self.pages = Pages(snapshot, self.zone)
        self.this: Any = self.pages.page(this) or {}
        self.steps = 0

    def approximate(self) -> tuple[str, ...]:
        """What was asked for that is not known for certain."""
        return tuple(sorted(self.pages.approximate))

    # ------------------------------------------------------------------------------------ what functions ask

    def charge(self, steps: int) -> None:
        """Account for work.

        Raises:
            UnsupportedError: it is more than a query may take.
        """
        self.steps += steps
        if self.steps > _MOST_STEPS:
            raise UnsupportedError("too much: the query takes longer than a second or so")

    def normal(self, path: str) -> str:
        """The path of the file a link means, seen from the note of the query; as it is when there is none."""
        if path in self.snapshot.files:
            return path
        return self.snapshot.names.resolve(path, self.origin) or path

    def call(self, function: Any, *arguments: Any) -> Any:
        """Call a function written in the query."""
        if not isinstance(function, Closure):
            raise RowError("a call of what is no function")
        self.charge(function.cost)
        named = dict(zip(function.names, arguments, strict=False))
        return function.body(Overlay(function.row, named))

    def field(self, value: Any, key: Any) -> Any:
        """A field of a value (Dataview docs, "Expressions", "Type-specific interactions").

        Raises:
            RowError: the value is not asked for by such a key.
        """
        if key is None:
            return None
        by_name = type(key) is str
        if not by_name and kind(key) != "number":
            raise RowError("a field is named by text or number")
        shape = kind(value)
        if shape == "array":
            return self._of_all(value, key) if by_name else _item(value, key)
        if shape == "string":
            if by_name:
                raise RowError("a field of a text")
            return _item(units(value), key)
        if shape not in ("object", "link", "date", "duration"):
            return None
        if not by_name:
            raise RowError(f"an item of a {shape}")
        if shape == "object":
            return value.get(key)
        if shape == "link":
            path = self.normal(value.path)
            page = self.pages.page(path)
            return page.get(key) if page else None
        return _DATE_FIELDS.get(key, _nothing)(value) if shape == "date" else _of_duration(value, key)

    def _of_all(self, values: list[Any], key: str) -> list[Any]:
        self.charge(len(values))
        found = []
        for value in values:
            try:
                found.append(self.field(value, key))
            except RowError:
                continue
        return found

    # ------------------------------------------------------------------------------------ expressions

    def compiled(self, expression: Expression) -> Compiled:
        """An expression as a function of a row."""
        match expression:
            case Literal(value):
                return lambda _: value
            case Variable(name):
                return self._variable(name)
            case Negated(inner):
                test = self.compiled(inner)
                return lambda row: not truthy(test(row))
            case Binary():
                return self._binary(expression)
            case Index(owner, index):
                return self._index(owner, index)
            case Items(items):
                makers = [self.compiled(item) for item in items]
                return lambda row: [maker(row) for maker in makers]
            case Pairs(pairs):
                fields = [(name, self.compiled(value)) for name, value in pairs]
                return lambda row: {name: maker(row) for name, maker in fields}
            case Lambda(names, body):
                inner_body, cost = self.compiled(body), size(body)
                return lambda row: Closure(names, inner_body, row, cost)
            case Call(function, arguments):
                return self._call(function, [self.compiled(argument) for argument in arguments])
        raise AssertionError(expression)

    def _variable(self, name: str) -> Compiled:
        this = self.this
        if name == "this":
            return lambda row: row.get("this") if row.has("this") else this
        return lambda row: row.get(name)

    def _binary(self, expression: Binary) -> Compiled:
        operator = expression.operator
        left, right = self.compiled(expression.left), self.compiled(expression.right)
        if is_constant(expression):
            return self._constant(lambda row: operate(self, operator, left(row), right(row)))
        zone, normal = self.zone, self.normal
        if operator == "=":
            return lambda row: equal(left(row), right(row), zone, normal)
        if operator == "!=":
            return lambda row: not equal(left(row), right(row), zone, normal)
        # Both sides are evaluated, also where one of them decides: an error in either is an error of the whole.
        if operator == "&":
            return lambda row: truthy(left(row)) & truthy(right(row))
        if operator == "|":
            return lambda row: truthy(left(row)) | truthy(right(row))
        direct = _DIRECT.get(operator)
        if direct is None:
            return lambda row: operate(self, operator, left(row), right(row))

        def ordered(row: Thing) -> Any:
            one, two = left(row), right(row)
            shape = type(one)
            if shape is type(two) and (shape is int or (shape is datetime and one.tzinfo is two.tzinfo)):
                return direct(one, two)
            return operate(self, operator, one, two)

        return ordered

    def _constant(self, value: Compiled) -> Compiled:
        """What is the same for every row, evaluated once; an error in it stays the error of each row."""
        try:
            found = value(Record({}))
        except RowError:
            return value
        return lambda _: found

    def _index(self, owner: Expression, index: Expression) -> Compiled:
        key = self.compiled(index)
        if owner == Variable("row"):
            this = self._variable("this")

            def of_row(row: Thing) -> Any:
                name = key(row)
                if name is not None and type(name) is not str:
                    raise RowError("an item of a row")
                return None if name is None else this(row) if name == "this" else row.get(name)

            return of_row
        value = self.compiled(owner)
        if isinstance(index, Literal) and type(index.value) is str:
            name, field = index.value, self.field
            implicit = FILE_FIELDS.get(name) if owner == Variable("file") else None
            if implicit is not None:

                def of_file(row: Thing) -> Any:
                    if type(row) is Page:  # what nothing can come before, without making the object in between
                        return implicit(row)
                    found = value(row)
                    return found.get(name) if isinstance(found, Thing) else field(found, name)

                return of_file

            def by_name(row: Thing) -> Any:
                found = value(row)
                return found.get(name) if isinstance(found, Thing) else field(found, name)

            return by_name
        return lambda row: self.field(value(row), key(row))

    def _call(self, function: Expression, arguments: list[Compiled]) -> Compiled:
        if isinstance(function, Variable) or (isinstance(function, Literal) and isinstance(function.value, str)):
            name = function.name if isinstance(function, Variable) else function.value
            known = FUNCTIONS.get(name)
            if known is None:

                def unknown(_: Thing) -> Any:
                    raise RowError(f"there is no function {name[:40]}")

                return unknown
            return lambda row: known(self, *(argument(row) for argument in arguments))
        callee = self.compiled(function)
        return lambda row: self.call(callee(row), *(argument(row) for argument in arguments))

    # ------------------------------------------------------------------------------------ the query

    def result(self, query: Query) -> Result:
        """What the query shows.

        Raises:
            UnsupportedError, RowError: there is no result, and why.
        """
        rows = self._begin(query)
        for step in query.steps:
            rows = self._step(step, rows)
        if query.kind == "calendar":
            rows = self._dated(query.fields[0], rows)
        cells: list[tuple[str | None, ...]] = []
        if query.kind in ("list", "table"):
            rows, cells = self._extracted(query, rows)
        found = list(dict.fromkeys(origins(rows)))
        return Result(
            query.kind,
            tuple(dict.fromkeys(path for path, _ in found)),
            tuple(field.name for field in query.fields) if query.kind == "table" else (),
            tuple(cells),
            tuple(found) if query.kind == "task" else (),
            self.approximate(),
        )

    def _begin(self, query: Query) -> list[Thing]:
        paths = sorted(self._paths(query.source))
        self.charge(len(paths))
        pages = [page for path in paths if (page := self.pages.page(path)) is not None]
        if query.kind != "task":
            return list(pages)
        return [TaskRow(task) for page in pages if page.note.tasks for task in page.tasks()]

    def _paths(self, source: Source) -> set[str]:
        notes = self.snapshot.notes
        if source.kind == "all":
            return {path for path in notes if path.endswith(".md")}
        if source.kind == "tag":
            wanted = source.text[1:].lower()
            return {
                path
                for path, note in notes.items()
                if any((own := tag.lower()) == wanted or own.startswith(wanted + "/") for tag in note.tags)
            }
        if source.kind == "folder":
            return self._in_folder(source.text)
        if source.kind in ("incoming", "outgoing"):
            return set(self._linked(source))
        if source.kind == "not":
            return {path for path in notes if path.endswith(".md")} - self._paths(source.parts[0])
        if source.kind == "csv":
            raise UnsupportedError("csv() as a source")
        left, right = (self._paths(part) for part in source.parts)
        return left & right if source.kind == "and" else left | right

    def _in_folder(self, folder: str) -> set[str]:
        """The notes of a folder and below it; when there is no such folder, the note of that path."""
        if not folder or folder == "/":
            return self._paths(Source("all"))
        prefix = folder + "/"
        found = {path for path in self.snapshot.files if path.startswith(prefix)}
        if found:
            return {path for path in found if path.endswith(".md")}
        one = next((path for path in (folder, folder + ".md") if path in self.snapshot.files), None)
        if one is not None and not one.endswith(".md"):
            raise UnsupportedError("a source that is no note")
        return {one} if one else set()

    def _linked(self, source: Source) -> Iterable[str]:
        path = self.snapshot.names.resolve(source.text, self.origin)
        if path is None:
            return self.pages.links_to_missing(source.text)
        if source.kind == "incoming":
            return self.pages.links_to(path)
        if self.pages.page(path) is None:
            raise RowError("outgoing() of what is no note")
        return self.pages.links_from(path)

    # ------------------------------------------------------------------------------------ steps

    def _step(self, step: Step, rows: list[Thing]) -> list[Thing]:
        if step.kind == "from":
            raise RowError("FROM stands only at the beginning")
        if step.kind == "limit":
            return self._limited(step, rows)
        steps = {"where": self._where, "sort": self._sorted, "group": self._grouped, "flatten": self._flattened}
        return steps[step.kind](step, rows)

    def _evaluated(self, expressions: list[Expression], rows: list[Thing], what: str) -> list[tuple[Thing, list[Any]]]:
        """The rows with the values of some expressions; rows for which there is an error are left out.

        Raises:
            RowError: there is an error for every row.
        """
        compiled = [self.compiled(expression) for expression in expressions]
        cost = _ROW_STEPS + sum(map(size, expressions))
        found: list[tuple[Thing, list[Any]]] = []
        error: RowError | None = None
        for row in rows:
            self.charge(cost)
            try:
                found.append((row, [value(row) for value in compiled]))
            except RowError as fault:
                error = error or fault
        if error is not None and not found:
            raise RowError(f"{what}: {error}")
        return found

    def _where(self, step: Step, rows: list[Thing]) -> list[Thing]:
        """The rows for which the expression is true."""
        expression = step.fields[0].expression
        test, cost = self.compiled(expression), _ROW_STEPS + size(expression)
        found: list[Thing] = []
        errors: list[RowError] = []
        for row in rows:
            self.charge(cost)
            try:
                if truthy(test(row)):
                    found.append(row)
            except RowError as fault:
                errors.append(fault)
        if errors and len(errors) == len(rows):
            raise RowError(f"WHERE: {errors[0]}")
        return found

    def _sorted(self, step: Step, rows: list[Thing]) -> list[Thing]:
        keyed = self._evaluated([field.expression for field in step.fields], rows, "SORT")
        for place, descending in reversed(list(enumerate(step.descending))):
            keys = [sort_key(values[place], self.zone, self.normal) for _, values in keyed]
            order = sorted(range(len(keyed)), key=keys.__getitem__, reverse=descending)
            keyed = [keyed[index] for index in order]
        return [row for row, _ in keyed]

    def _limited(self, step: Step, rows: list[Thing]) -> list[Thing]:
        most = self.compiled(step.fields[0].expression)(Record({}))
        if kind(most) != "number":
            raise RowError("LIMIT takes a number")
        if not math.isfinite(most):
            return rows if most > 0 else []
        return rows[: int(most)]

    def _grouped(self, step: Step, rows: list[Thing]) -> list[Thing]:
        """A row for each value, in the order of the values (engine.ts, "group")."""
        field = step.fields[0]
        keyed = [(row, values[0]) for row, values in self._evaluated([field.expression], rows, "GROUP BY")]
        keyed.sort(key=lambda pair: sort_key(pair[1], self.zone, self.normal))
        groups: list[tuple[Any, list[Thing]]] = []
        last: Any = None
        for row, key in keyed:
            if groups and equal(key, last, self.zone, self.normal):
                groups[-1][1].append(row)
            else:
                groups.append((key, [row]))
            last = key
        return [Group(key, inside, field.name) for key, inside in groups]

    def _flattened(self, step: Step, rows: list[Thing]) -> list[Thing]:
        field = step.fields[0]
        found: list[Thing] = []
        for row, (value,) in self._evaluated([field.expression], rows, "FLATTEN"):
            items = value if isinstance(value, list) else [value]
            self.charge(len(items) * _ROW_STEPS)
            found += (Overlay(row, {field.name: item}) for item in items)
        return found

    def _dated(self, field: Named, rows: list[Thing]) -> list[Thing]:
        """The rows of a calendar: those with a date; another value than a date or nothing leaves it empty."""
        found = []
        for row, (value,) in self._evaluated([field.expression], rows, "CALENDAR"):
            if value is not None and not isinstance(value, datetime):
                raise RowError("a calendar of what are no dates")
            if value is not None:
                found.append(row)
        return found

    def _extracted(self, query: Query, rows: list[Thing]) -> tuple[list[Thing], list[tuple[str | None, ...]]]:
        """The rows as they are shown: those whose columns have an error are not."""
        compiled = [self.compiled(field.expression) for field in query.fields]
        cost = _ROW_STEPS + sum(size(field.expression) for field in query.fields)
        first = query.ids or (query.kind == "list" and not query.fields)
        kept: list[Thing] = []
        cells: list[tuple[str | None, ...]] = []
        error: RowError | None = None
        for row in rows:
            self.charge(cost)
            try:
                columns = [self._cell(value, row) for value in compiled]
            except RowError as fault:
                error = error or fault
                continue
            kept.append(row)
            cells.append((text(shown(row)), *columns) if first else tuple(columns))
            self.charge(sum(len(cell or "") for cell in cells[-1]) // CHARS_A_STEP)
        if error is not None and not kept:
            raise RowError(f"{query.kind.upper()}: {error}")
        return kept, cells

    def _cell(self, value: Compiled, row: Thing) -> str | None:
        try:
            return text(value(row))
        except UnsupportedError:
            if self.steps > _MOST_STEPS:
                raise
            return None  # what cannot be shown changes nothing of what is a member


# Numbers without a fraction and dates of one zone are compared as they are, without what `compare` asks of the others.
_DIRECT: dict[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def is_constant(expression: Expression) -> bool:
    """Whether an expression is the same for every row."""
    if isinstance(expression, Variable | Call | Lambda | Index):
        return False
    return all(map(is_constant, parts(expression)))


def size(expression: Expression) -> int:
    """How many parts an expression has."""
    return 1 + sum(map(size, parts(expression)))


def _item(values: Any, at: float) -> Any:
    return values[int(at)] if 0 <= at < len(values) and at == int(at) else None


def _nothing(_: datetime) -> None:
    return None


_DATE_FIELDS: dict[str, Callable[[datetime], Any]] = {
    "year": lambda date: date.year,
    "month": lambda date: date.month,
    "weekyear": lambda date: date.isocalendar().week,
    "week": lambda date: date.day // 7 + 1,
    "weekday": lambda date: date.isoweekday(),
    "day": lambda date: date.day,
    "hour": lambda date: date.hour,
    "minute": lambda date: date.minute,
    "second": lambda date: date.second,
    "millisecond": lambda date: date.microsecond // 1000,
}


def _of_duration(span: Duration, key: str) -> float | None:
    unit = key if key in UNITS else f"{key}s" if f"{key}s" in UNITS and key != "week" else ""
    return span.shifted([unit])[unit] if unit else None
