"""Turns an expression of the Bases language into a function of a file."""

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from context.base_files import Files
from context.base_functions import FUNCTIONS, NAMES, OVER_ITEMS, call
from context.base_operators import arithmetic, at, member, negative
from context.base_syntax import Binary, Call, Constant, Index, Items, Member, Name, Node, Unary, parse
from context.base_values import Date, File, FormulaError, is_true, kind, order, text_of
from context.note import Note
from context.unsupported import BrokenError, UnsupportedError

# What an expression inside filter(), map() and reduce() may call by these names.
_ITEM_NAMES = frozenset({"value", "index", "acc"})
_MISSING = object()
_NOTHING: Mapping[str, Any] = {}


class Row:
    """One file while it is evaluated; made for every file of a vault, so it is kept light.

    Attributes:
        path: of the file.
        note: the same, when it is a note.
        formulas: the values it has of formulas, as far as they were asked for.
        bound: the names that an expression for each item of a list sees.
    """

    __slots__ = ("bound", "formulas", "note", "path")

    def __init__(self, path: str, note: Note | None) -> None:
        self.path = path
        self.note = note
        self.formulas: Mapping[str, Any] = _NOTHING
        self.bound: Mapping[str, Any] = _NOTHING


Evaluate = Callable[[Row], Any]


class Formulas:
    """The formulas of one base, made into functions when they are first used."""

    def __init__(self, files: Files, sources: Mapping[str, Any]) -> None:
        self.files = files
        self._sources = sources
        self._ready: dict[str, Evaluate] = {}
        self._opened: list[str] = []

    def expression(self, source: str) -> Evaluate:
        """The function of an expression.

        Raises:
            UnsupportedError: it cannot be read, or uses what has no documented meaning.
        """
        return _Compiler(self).run(parse(source))

    def formula(self, name: str) -> Evaluate:
        """The function of a formula by its name; the value of a file is kept in its row.

        Raises:
            UnsupportedError: there is none of this name, it refers to itself, or it is not supported.
        """
        if name in self._ready:
            return self._ready[name]
        source = self._sources.get(name)
        if source is None:
            raise BrokenError(f"formula.{name}, which the base does not have")
        if name in self._opened:
            raise BrokenError(f"formula.{name}, which refers to itself")
        self._opened.append(name)
        try:
            run = self.expression(source if isinstance(source, str) else text_of(source))
        finally:
            self._opened.pop()

        def value(row: Row) -> Any:
            known = row.formulas.get(name, _MISSING)
            if known is _MISSING:
                try:
                    known = run(row)
                except (FormulaError, UnsupportedError) as error:
                    known = error
                row.formulas = {**row.formulas, name: known}
            if isinstance(known, Exception):
                raise known
            return known

        self._ready[name] = value
        return value

    def property(self, name: str) -> Evaluate:
        """The function of a property as sort and groupBy name it: `file.name`, `note.due`, `due`, `formula.x`.

        Raises:
            UnsupportedError: there is no such field of a file, or the formula is not supported.
        """
        space, _, rest = name.partition(".")
        files = self.files
        if space == "file" and rest:
            read = files.field(rest)
            return lambda row: read(row.path)
        if space == "formula" and rest:
            return self.formula(rest)
        key = rest if space == "note" and rest else name
        return lambda row: files.property(row.note, key)


class _Compiler:
    """Makes one expression into a function, from its leaves up."""

    def __init__(self, formulas: Formulas) -> None:
        self.formulas = formulas
        self.files = formulas.files
        self.items = 0  # how many expressions for each item are around what is made now

    def run(self, node: Node) -> Evaluate:
        made = self._make(node)
        return self._once(made) if not isinstance(node, Constant) and self._is_constant(node) else made

    @staticmethod
    def _once(made: Evaluate) -> Evaluate:
        """A function that has the same value for every file, computed when it is first asked for."""
        known: list[Any] = []

        def value(row: Row) -> Any:
            if not known:
                known.append(made(row))
            return known[0]

        return value

    def _is_constant(self, node: Node) -> bool:
        if isinstance(node, Constant):
            return True
        if isinstance(node, Name):
            return node.name == "this"
        if isinstance(node, Member):
            return self._is_constant(node.of)
        if isinstance(node, Index):
            return self._is_constant(node.of) and self._is_constant(node.key)
        if isinstance(node, Call):
            return (
                node.name not in OVER_ITEMS
                and (node.of is None or self._is_constant(node.of))
                and all(map(self._is_constant, node.given))
            )
        if isinstance(node, Unary):
            return self._is_constant(node.value)
        if isinstance(node, Binary):
            return self._is_constant(node.left) and self._is_constant(node.right)
        return isinstance(node, Items) and all(map(self._is_constant, node.items))

    def _make(self, node: Node) -> Evaluate:
        if isinstance(node, Constant):
            literal = node.value
            return lambda _: literal
        if isinstance(node, Name):
            return self._name(node.name)
        if isinstance(node, Member):
            return self._member(node)
        if isinstance(node, Index):
            return self._index(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, Unary):
            value = self.run(node.value)
            if node.sign == "!":
                return lambda row: not is_true(value(row))
            return lambda row: negative(value(row))
        if isinstance(node, Binary):
            return self._binary(node)
        if isinstance(node, Items):
            items = [self.run(one) for one in node.items]
            return lambda row: [one(row) for one in items]
        pairs = [(name, self.run(one)) for name, one in node.pairs]
        return lambda row: {name: one(row) for name, one in pairs}

    def _name(self, name: str) -> Evaluate:
        files = self.files
        if name in _ITEM_NAMES and self.items:
            return lambda row: row.bound.get(name)
        if name == "this":
            this = files.this
            return lambda _: this
        if name == "file":
            return lambda row: File(row.path)
        if name == "note":
            return lambda row: files.properties(row.path)
        if name == "formula":
            raise UnsupportedError("all formulas at once")
        return lambda row: files.property(row.note, name)

    def _member(self, node: Member) -> Evaluate:
        files, name = self.files, node.name
        if isinstance(node.of, Name):
            space = node.of.name
            if space == "file":
                read = files.field(name)
                return lambda row: read(row.path)
            if space == "note":
                return lambda row: files.property(row.note, name)
            if space == "formula":
                return self.formulas.formula(name)
            if space == "this":
                return self._of_this(name)
        of = self.run(node.of)
        return lambda row: member(files, of(row), name)

    def _of_this(self, name: str) -> Evaluate:
        """`this.file`, `this.note`, a property of this file, or else one of its fields."""
        files, path = self.files, self.files.this.path
        if name == "file":
            return lambda _: files.this
        if name == "note":
            return lambda _: files.properties(path)
        value = files.property(files.snapshot.notes.get(path), name)
        if value is None and name in ("name", "path", "folder", "ext", "basename", "tags", "links", "properties"):
            value = files.field(name)(path)
        return lambda _: value

    def _index(self, node: Index) -> Evaluate:
        files = self.files
        if isinstance(node.of, Name) and isinstance(node.key, Constant) and isinstance(node.key.value, str):
            name = node.key.value
            if node.of.name == "note":
                return lambda row: files.property(row.note, name)
            if node.of.name == "formula":
                return self.formulas.formula(name)
            if node.of.name in ("file", "this"):
                return self._member(Member(node.of, name))
        of, key = self.run(node.of), self.run(node.key)
        return lambda row: at(files, of(row), key(row))

    def _call(self, node: Call) -> Evaluate:
        files = self.files
        if node.of is None:
            return self._function(node)
        if node.name not in NAMES:
            raise UnsupportedError(f"the function {node.name}()")
        of = self.run(node.of)
        name = node.name
        if name in OVER_ITEMS:
            return self._over_items(name, of, node.given)
        given = [self.run(one) for one in node.given]
        if len(given) == 1:
            only = given[0]
            return lambda row: call(files, of(row), name, (only(row),))
        return lambda row: call(files, of(row), name, tuple(one(row) for one in given))

    def _function(self, node: Call) -> Evaluate:
        files = self.files
        if node.name == "if":
            if not 2 <= len(node.given) <= 3:
                raise UnsupportedError(f"if() with {len(node.given)} values")
            condition, then = self.run(node.given[0]), self.run(node.given[1])
            other = self.run(node.given[2]) if len(node.given) == 3 else lambda _: None
            return lambda row: then(row) if is_true(condition(row)) else other(row)
        function = FUNCTIONS.get(node.name)
        if function is None:
            raise UnsupportedError(f"the function {node.name}()")
        given = [self.run(one) for one in node.given]
        return lambda row: function(files, tuple(one(row) for one in given))

    def _over_items(self, name: str, of: Evaluate, given: tuple[Node, ...]) -> Evaluate:
        """filter(), map() and reduce(), which evaluate an expression for each item of a list."""
        if len(given) != (2 if name == "reduce" else 1):
            raise UnsupportedError(f"{name}() with {len(given)} values")
        self.items += 1
        each = self._make(given[0])
        self.items -= 1
        start = self.run(given[1]) if name == "reduce" else lambda _: None
        files = self.files

        def value(row: Row) -> Any:
            items = of(row)
            if items is None:
                return None
            if not isinstance(items, list):
                raise FormulaError(f"{name}() of a value of type {kind(items)}")
            acc, found = start(row), []
            around = row.bound
            try:
                for index, item in enumerate(items):
                    files.step()
                    row.bound = {"value": item, "index": index, "acc": acc}
                    one = each(row)
                    if name == "reduce":
                        acc = one
                    elif name == "map" or is_true(one):
                        found.append(one if name == "map" else item)
            finally:
                row.bound = around
            return acc if name == "reduce" else found

        return value

    def _binary(self, node: Binary) -> Evaluate:
        left, right = self.run(node.left), self.run(node.right)
        sign, files = node.sign, self.files
        if sign in ("&&", "||"):
            return partial(_joined, left, right, sign == "||")
        if sign == "==":
            return lambda row: files.same(left(row), right(row))
        if sign == "!=":
            return lambda row: not files.same(left(row), right(row))
        if sign in _ORDERS:
            holds = _ORDERS[sign]

            def compared(row: Row) -> bool | None:
                a, b = left(row), right(row)
                if a is None or b is None:
                    return None
                if type(a) in _PLAIN and type(b) in _PLAIN:
                    return holds(a, b)
                if type(a) is Date and type(b) is Date:
                    return holds(a.when, b.when)
                found = order(a, b, files.values)
                return found is not None and holds(found, 0)

            return compared
        compute = partial(arithmetic, files, sign)
        return lambda row: compute(left(row), right(row))


_PLAIN = (int, float)
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _joined(left: Evaluate, right: Evaluate, either: bool, row: Row) -> bool:
    """`&&` and `||`; what is not supported on one side does not matter where the other side decides."""
    try:
        if is_true(left(row)) == either:
            return either
    except UnsupportedError:
        if is_true(right(row)) == either:
            return either
        raise
    return is_true(right(row))
