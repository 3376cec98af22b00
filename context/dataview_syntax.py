"""Reads a query of Dataview into a tree: header, source, steps, and the expressions in them."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from context.dataview_values import (
    TAG,
    TEXT,
    Duration,
    Link,
    midnight,
    number,
    read_date,
    read_duration,
    read_link,
    unquoted,
)
from context.inline import EMOJI
from context.unsupported import UnsupportedError

# Longer or deeper than any query a person writes.
MOST_CHARS = 20_000
_MOST_DEEP = 40
_MOST_NESTED = 200


class SyntaxFault(Exception):  # noqa: N818 - named for the fact
    """The query cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Variable:
    """A field of the row."""

    name: str


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions with an operator: + - * / % < > <= >= = != & |."""

    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Negated:
    """`!` and an expression."""

    inner: "Expression"


@dataclass(frozen=True, slots=True)
class Index:
    """A field of a value: `a.b`, `a["b"]`, `a[0]`."""

    owner: "Expression"
    index: "Expression"


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments."""

    function: "Expression"
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Lambda:
    """`(a, b) => expression`."""

    names: tuple[str, ...]
    body: "Expression"


@dataclass(frozen=True, slots=True)
class Items:
    """`[a, b]`."""

    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """`{a: 1, b: 2}`."""

    pairs: tuple[tuple[str, "Expression"], ...]


Expression = Literal | Variable | Binary | Negated | Index | Call | Lambda | Items | Pairs


@dataclass(frozen=True, slots=True)
class Named:
    """An expression with the name it is shown by."""

    name: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from.

    Attributes:
        kind: all, tag, folder, incoming, outgoing, csv; not, and, or.
        text: the tag with its #, the folder, or the path of the link.
        parts: of not, and, or.
    """

    kind: str
    text: str = ""
    parts: tuple["Source", ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with the rows.

    Attributes:
        kind: where, sort, limit, flatten, group, or from (a second source, which nothing can be done with).
        fields: the expressions, with names for flatten and group.
        descending: for each field of sort, whether the last come first.
    """

    kind: str
    fields: tuple[Named, ...] = ()
    descending: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    Attributes:
        kind: list, table, task or calendar.
        fields: the columns of a table, what a list shows beside its links, the date of a calendar.
        ids: whether the file or group is shown.
        source: where rows come from.
        steps: in the order in which they are written.
    """

    kind: str
    fields: tuple[Named, ...]
    ids: bool
    source: Source
    steps: tuple[Step, ...]


_KEYWORDS = frozenset({"FROM", "WHERE", "LIMIT", "GROUP", "FLATTEN"})
_BLANK = re.compile(r"\s*")
_BLANKS = re.compile(r"\s+")
_GAP = re.compile(r"(?:\s+|//[^\n]*)*")
_NAME = re.compile(rf"(?:[^\W\d_]|[{EMOJI}])(?:[\w-]|[{EMOJI}])*")
_TEXT = re.compile(TEXT, re.DOTALL)
_TAG = re.compile(TAG)
_LINK = re.compile(r"\[\[([^\[\]]*?)\]\]")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_BOOL = re.compile("true|false|True|False")
_LEVELS = (
    re.compile("and|or|&|\\|", re.IGNORECASE),
    re.compile(">=|<=|!=|>|<|="),
    re.compile(r"\+|-"),
    re.compile(r"\*|/|%"),
)
_WORDS = {"and": "&", "or": "|"}
_KIND = re.compile("TABLE|LIST|TASK|CALENDAR", re.IGNORECASE)
_WITHOUT = re.compile(r"WITHOUT\s+ID", re.IGNORECASE)
_AS = re.compile(r"\s+AS\s+", re.IGNORECASE)
_DIRECTION = re.compile("ASCENDING|DESCENDING|ASC|DESC", re.IGNORECASE)
_STEP = re.compile(r"(FROM|WHERE|SORT|LIMIT|GROUP BY|FLATTEN)\s+", re.IGNORECASE)
_MARK = {mark: re.compile(rf"\s*{re.escape(mark)}\s*") for mark in (",", ":", "=>")}

# The days of `date(…)`, from an instant of the person's clock (Dataview docs, "Literals"; weeks begin on Monday).
_DAYS: dict[str, Callable[[datetime], datetime]] = {
    "now": lambda now: now,
    "today": midnight,
    "yesterday": lambda now: midnight(now) - timedelta(days=1),
    "tomorrow": lambda now: midnight(now) + timedelta(days=1),
    "week": lambda now: midnight(now) - timedelta(days=now.weekday()),
    "month": lambda now: midnight(now).replace(day=1),
    "year": lambda now: midnight(now).replace(month=1, day=1),
}
_SHORTHANDS = {"now": "now", "today": "today", "yesterday": "yesterday", "tomorrow": "tomorrow"} | {
    word: unit
    for unit in ("week", "month", "year")
    for word in (f"so{unit[0]}", f"eo{unit[0]}", f"start-of-{unit}", f"end-of-{unit}")
}
_SHORTHAND = re.compile("|".join(sorted(_SHORTHANDS, key=len, reverse=True)))


def day_named(word: str, now: datetime) -> datetime:
    """The date of a shorthand: today, sow, eom, …; the end of a week, month or year is its last millisecond."""
    unit = _SHORTHANDS[word]
    start = _DAYS[unit](now)
    if not word.startswith("e"):
        return start
    after = {"week": timedelta(days=7), "month": timedelta(days=32), "year": timedelta(days=367)}[unit]
    return _DAYS[unit](start + after) - timedelta(milliseconds=1)


def parse(text: str, now: datetime) -> Query:
    """Read a query.

    Args:
        text: the query.
        now: the time on the person's clock, for `date(today)`.

    Raises:
        SyntaxFault: it is no query.
        UnsupportedError: it is longer or deeper than is read.
    """
    query: Query = _read(text, now, _Parser.query)
    _check_depth([field.expression for step in query.steps for field in step.fields])
    _check_depth([field.expression for field in query.fields])
    return query


def parse_expression(text: str, now: datetime) -> Expression:
    """Read one expression, as stands in a text: `= this.status`.

    Raises:
        SyntaxFault, UnsupportedError: as for `parse`.
    """
    expression: Expression = _read(text.strip(), now, _Parser.expression)
    _check_depth([expression])
    return expression


def _check_depth(expressions: list[Expression]) -> None:
    """A chain of operators is nested too, without its reader going deeper."""
    level: list[Expression] = expressions
    for _ in range(_MOST_NESTED):
        level = [inner for expression in level for inner in parts(expression)]
        if not level:
            return
    raise UnsupportedError("too much: an expression is nested more than 200 deep")


def parts(expression: Expression) -> tuple[Expression, ...]:
    """The expressions that one is made of."""
    match expression:
        case Binary(_, left, right) | Index(left, right):
            return left, right
        case Negated(inner) | Lambda(_, inner):
            return (inner,)
        case Call(function, arguments):
            return (function, *arguments)
        case Items(items):
            return items
        case Pairs(pairs):
            return tuple(value for _, value in pairs)
    return ()


def _read(text: str, now: datetime, rule: Callable[["_Parser"], Any]) -> Any:
    if len(text) > MOST_CHARS:
        raise UnsupportedError("too much: the query is longer than 20,000 characters")
    parser = _Parser(text, now)
    try:
        found = rule(parser)
    except _Miss:
        found = None
    if found is None or parser.at < len(text):
        line = text.count("\n", 0, parser.farthest) + 1
        column = parser.farthest - text.rfind("\n", 0, parser.farthest)
        raise SyntaxFault(f"the query does not parse (line {line}, column {column})")
    return found


class _Miss(Exception):  # noqa: N818 - no error, but a way not taken
    """What was looked for does not stand here."""


class _Parser:
    """Follows the grammar of Dataview, alternative by alternative in its order, each the first that fits.

    That order is part of the language: a field called `trueish` cannot be written, for `true` is read first.
    """

    def __init__(self, text: str, now: datetime) -> None:
        self.text = text
        self.now = now
        self.at = 0
        self.farthest = 0
        self._deep = 0

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _Miss
        self.at = found.end()
        self.farthest = max(self.farthest, self.at)
        return found

    def _mark(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise _Miss
        self.at += len(mark)
        self.farthest = max(self.farthest, self.at)

    def _first(self, *rules: Callable[[], Any]) -> Any:
        before = self.at
        for rule in rules:
            try:
                return rule()
            except _Miss:
                self.at = before
        raise _Miss

    def _maybe(self, rule: Callable[[], Any]) -> Any:
        before = self.at
        try:
            return rule()
        except _Miss:
            self.at = before
            return None

    def _several(self, rule: Callable[[], Any]) -> list[Any]:
        """None or more, separated by commas; a comma with nothing after it is not taken."""
        found = self._maybe(rule)
        if found is None:
            return []
        values = [found]
        while True:
            before = self.at
            try:
                self._take(_MARK[","])
                values.append(rule())
            except _Miss:
                self.at = before
                return values

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._deep += 1
        if self._deep > _MOST_DEEP:
            raise UnsupportedError("too much: the query is nested more than 40 deep")
        try:
            yield
        finally:
            self._deep -= 1

    # ---------------------------------------------------------------------------------------- the query

    def query(self) -> Query:
        self._take(_GAP)
        kind = self._take(_KIND)[0].lower()
        fields: tuple[Named, ...] = ()
        ids = True
        if kind == "calendar":
            self._take(_BLANKS)
            fields = (self._named(),)
        elif kind != "task" and self.at < len(self.text):
            self._take(_BLANKS)
            if self._maybe(lambda: self._take(_WITHOUT)):
                ids = False
                self._take(_BLANK)
            if kind == "table":
                fields = tuple(self._several(self._named))
            else:
                only = self._maybe(self.expression)
                fields = (Named("", only),) if only is not None else ()
        self._take(_GAP)
        source = Source("all")
        steps: list[Step] = []
        while (found := self._maybe(lambda: self._take(_STEP))) is not None:
            word = found[1].upper()
            if word == "FROM":
                given = self._source()
                if steps or source.kind != "all":
                    steps.append(Step("from"))
                source = given if not steps else source
            else:
                steps.append(self._step(word))
            self._take(_GAP)
        return Query(kind, fields, ids, source, tuple(steps))

    def _step(self, word: str) -> Step:
        if word == "SORT":
            sorts = self._several(self._sort)
            if not sorts:
                raise _Miss
            return Step("sort", tuple(field for field, _ in sorts), tuple(down for _, down in sorts))
        if word in ("WHERE", "LIMIT"):
            return Step(word.lower(), (Named("", self.expression()),))
        return Step("group" if word == "GROUP BY" else "flatten", (self._named(),))

    def _sort(self) -> tuple[Named, bool]:
        field = Named("", self.expression())
        self._take(_BLANK)
        word = self._maybe(lambda: self._take(_DIRECTION))
        return field, word is not None and word[0].lower().startswith("desc")

    def _named(self) -> Named:
        before = self.at
        expression = self.expression()
        name = "".join(line.strip() for line in re.split(r"[\r\n]+", self.text[before : self.at]))
        given = self._maybe(self._given_name)
        return Named(name if given is None else given, expression)

    def _given_name(self) -> str:
        self._take(_AS)
        return str(self._first(lambda: self._take(_NAME)[0], self._string))

    # ---------------------------------------------------------------------------------------- sources

    def _source(self) -> Source:
        with self._deeper():
            left = self._source_atom()
            while True:
                before = self.at
                try:
                    self._take(_BLANK)
                    operator = self._take(_LEVELS[0])[0].lower()
                    self._take(_BLANK)
                    right = self._source_atom()
                except _Miss:
                    self.at = before
                    return left
                left = Source("and" if operator in ("and", "&") else "or", "", (left, right))

    def _source_atom(self) -> Source:
        found: Source = self._first(
            self._source_in_parentheses,
            self._source_negated,
            self._source_outgoing,
            lambda: Source("incoming", self._link().path),
            lambda: Source("folder", self._string()),
            lambda: Source("tag", self._take(_TAG)[0]),
            self._source_csv,
        )
        return found

    def _source_in_parentheses(self) -> Source:
        self._mark("(")
        self._take(_BLANK)
        found = self._source()
        self._take(_BLANK)
        self._mark(")")
        return found

    def _source_negated(self) -> Source:
        self._first(lambda: self._mark("-"), lambda: self._mark("!"))
        with self._deeper():
            return Source("not", "", (self._source_atom(),))

    def _source_outgoing(self) -> Source:
        self._mark("outgoing(")
        self._take(_BLANK)
        link = self._link()
        self._mark(")")
        return Source("outgoing", link.path)

    def _source_csv(self) -> Source:
        self._mark("csv(")
        self._take(_BLANK)
        path = self._string()
        self._mark(")")
        return Source("csv", path)

    # ---------------------------------------------------------------------------------------- expressions

    def expression(self) -> Expression:
        with self._deeper():
            return self._level(0)

    def _level(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._postfixed()
        left = self._level(level + 1)
        while True:
            before = self.at
            try:
                self._take(_BLANK)
                operator = self._take(_LEVELS[level])[0].lower()
                self._take(_BLANK)
                right = self._level(level + 1)
            except _Miss:
                self.at = before
                return left
            left = Binary(_WORDS.get(operator, operator), left, right)

    def _postfixed(self) -> Expression:
        value: Expression = self._first(
            lambda: Literal(self._embed()),
            self._negated,
            self._list,
            self._object,
            self._lambda,
            self._in_parentheses,
            lambda: Literal(self._take(_BOOL)[0].lower() == "true"),
            lambda: Literal(number(self._take(_NUMBER)[0])),
            lambda: Literal(self._string()),
            self._date,
            self._duration,
            self._null,
            self._variable,
        )
        while True:
            following = self._maybe(lambda: self._first(self._dot, self._index, self._arguments))
            if following is None:
                return value
            value = Call(value, following) if isinstance(following, tuple) else Index(value, following)

    def _dot(self) -> Expression:
        self._mark(".")
        return Literal(self._take(_NAME)[0])

    def _index(self) -> Expression:
        self._mark("[")
        self._take(_BLANK)
        found = self.expression()
        self._take(_BLANK)
        self._mark("]")
        return found

    def _arguments(self) -> tuple[Expression, ...]:
        self._mark("(")
        self._take(_BLANK)
        found = tuple(self._several(self.expression))
        self._take(_BLANK)
        self._mark(")")
        return found

    def _link(self) -> Link:
        return read_link(self._take(_LINK)[1])

    def _embed(self) -> Link:
        mark = self._maybe(lambda: self._take(re.compile("!")))
        return read_link(self._take(_LINK)[1], embed=mark is not None)

    def _negated(self) -> Expression:
        self._mark("!")
        with self._deeper():
            return Negated(self._postfixed())

    def _list(self) -> Expression:
        self._mark("[")
        self._take(_BLANK)
        items = tuple(self._several(self.expression))
        self._take(_BLANK)
        self._mark("]")
        return Items(items)

    def _object(self) -> Expression:
        self._mark("{")
        self._take(_BLANK)
        pairs = tuple(self._several(self._pair))
        self._take(_BLANK)
        self._mark("}")
        return Pairs(pairs)

    def _pair(self) -> tuple[str, Expression]:
        name = self._first(lambda: self._take(_NAME)[0], self._string)
        self._take(_MARK[":"])
        return name, self.expression()

    def _lambda(self) -> Expression:
        self._take(_BLANK)
        self._mark("(")
        self._take(_BLANK)
        names = tuple(self._several(lambda: self._take(_NAME)[0]))
        self._take(_BLANK)
        self._mark(")")
        self._take(_MARK["=>"])
        return Lambda(names, self.expression())

    def _in_parentheses(self) -> Expression:
        self._mark("(")
        self._take(_BLANK)
        found = self.expression()
        self._take(_BLANK)
        self._mark(")")
        return found

    def _string(self) -> str:
        return unquoted(self._take(_TEXT)[0])

    def _date(self) -> Expression:
        self._mark("date(")
        self._take(_BLANK)
        word = self._maybe(lambda: self._take(_SHORTHAND))
        value = day_named(word[0], self.now) if word else self._read(read_date)
        self._take(_BLANK)
        self._mark(")")
        return Literal(value)

    def _duration(self) -> Expression:
        self._mark("dur(")
        self._take(_BLANK)
        value: Duration = self._read(read_duration)
        self._take(_BLANK)
        self._mark(")")
        return Literal(value)

    def _read(self, reader: Callable[[str, int], tuple[Any, int] | None]) -> Any:
        found = reader(self.text, self.at)
        if found is None:
            raise _Miss
        self.at = found[1]
        self.farthest = max(self.farthest, self.at)
        return found[0]

    def _null(self) -> Expression:
        self._mark("null")
        return Literal(None)

    def _variable(self) -> Expression:
        name = self._take(_NAME)[0]
        if name.upper() in _KEYWORDS:
            raise _Miss
        return Variable(name)
