"""Reads an expression of the Bases language into a tree."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from context.regexp import Regexp
from context.unsupported import BrokenError, UnsupportedError

# Longer or deeper than any expression a person writes. A nesting costs the reader the frames of several operators.
_LONGEST = 5000
_PARTS = 300
_NESTING = 6

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
    (?P<number>\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?)
    |(?P<name>[^\W\d]\w*)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<sign>&&|\|\||[=!]=|[<>]=?|[-+*/%!().,\[\]{}:])
    )""",
    re.VERBOSE | re.DOTALL,
)
_REGEX = re.compile(r"[ \t\r\n]*/((?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)/([a-z]*)")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_WORDS = {"true": True, "false": False, "null": None}

# Operators by how tightly they bind, loosest first, as in JavaScript.
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="), ("+", "-"), ("*", "/", "%"))


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    """A name by itself: a property, or one of the names the language has."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`of.name`."""

    of: "Node"
    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """`of[key]`."""

    of: "Node"
    key: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """`name(…)`, or `of.name(…)`."""

    of: "Node | None"
    name: str
    given: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """`!x` or `-x`."""

    sign: str
    value: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions with an operator between them."""

    sign: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Items:
    """`[a, b]`."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """`{"a": b}`."""

    pairs: tuple[tuple[str, "Node"], ...]


Node = Constant | Name | Member | Index | Call | Unary | Binary | Items | Pairs


def parse(source: str) -> Node:
    """The tree of an expression.

    Raises:
        UnsupportedError: it cannot be read, is too long or too deep.
    """
    if len(source) > _LONGEST:
        raise UnsupportedError("an expression of more than five thousand characters")
    reader = _Reader(source)
    node = reader.expression()
    if reader.kind:
        raise reader.unread()
    return node


class _Reader:
    """A recursive-descent parser with one token of sight."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.kind = ""
        self.word = ""
        self.depth = 0
        self._next()

    def unread(self) -> BrokenError:
        """What to raise where the next token does not belong."""
        return BrokenError(f"the expression {self.source[:80]!r}, which cannot be read")

    def _next(self) -> None:
        """Step to the next token; the kind of the end is ""."""
        found = _TOKEN.match(self.source, self.at)
        if found is None:
            if self.source[self.at :].strip():
                raise self.unread()
            self.kind = self.word = ""
            return
        self.kind = found.lastgroup or ""
        self.word = found[self.kind]
        self.at = found.end()

    def _takes(self, sign: str) -> bool:
        if self.kind != "sign" or self.word != sign:
            return False
        self._next()
        return True

    def _needs(self, sign: str) -> None:
        if not self._takes(sign):
            raise self.unread()

    def expression(self, level: int = 0) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self.expression(level + 1)
        while self.kind == "sign" and self.word in _LEVELS[level]:
            sign = self.word
            self._next()
            left = Binary(sign, left, self.expression(level + 1))
            self._deeper()
        return left

    def _deeper(self) -> None:
        # A chain of operators makes a tree as deep as it is long.
        self.depth += 1
        if self.depth > _PARTS:
            raise UnsupportedError("an expression with too many parts")

    def _unary(self) -> Node:
        for sign in "!-":
            if self._takes(sign):
                return Unary(sign, self._nested(self._unary))
        return self._postfix()

    def _nested(self, read: Callable[[], Node]) -> Node:
        self.depth += _NESTING
        if self.depth > _PARTS:
            raise UnsupportedError("an expression nested too deeply")
        node = read()
        self.depth -= _NESTING
        return node

    def _postfix(self) -> Node:
        node = self._primary()
        while True:
            if self._takes("."):
                name = self._name()
                node = Call(node, name, self._given()) if self._takes("(") else Member(node, name)
            elif self._takes("["):
                node = Index(node, self._nested(self.expression))
                self._needs("]")
            else:
                return node
            self._deeper()

    def _name(self) -> str:
        if self.kind != "name":
            raise self.unread()
        name = self.word
        self._next()
        return name

    def _given(self) -> tuple[Node, ...]:
        return self._list(")")

    def _list(self, close: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._takes(close):
            if found:
                self._needs(",")
                if self._takes(close):
                    break
            found.append(self._nested(self.expression))
        return tuple(found)

    def _primary(self) -> Node:
        if self.kind == "number":
            digits = self.word
            self._next()
            return Constant(int(digits) if digits.isdigit() else float(digits))
        if self.kind == "text":
            text = _unquoted(self.word)
            self._next()
            return Constant(text)
        if self.kind == "name":
            name = self._name()
            if name in _WORDS:
                return Constant(_WORDS[name])
            return Call(None, name, self._given()) if self._takes("(") else Name(name)
        if self.kind == "sign" and self.word == "/":
            return self._regex()
        if self._takes("("):
            node = self._nested(self.expression)
            self._needs(")")
            return node
        if self._takes("["):
            return Items(self._list("]"))
        if self._takes("{"):
            return self._pairs()
        raise self.unread()

    def _regex(self) -> Node:
        """A regular expression: a slash stands where a value must."""
        found = _REGEX.match(self.source, self.at - 1)
        if found is None:
            raise self.unread()
        expression = Regexp(found[1], found[2])
        expression.check()
        self.at = found.end()
        self._next()
        return Constant(expression)

    def _pairs(self) -> Node:
        pairs: list[tuple[str, Node]] = []
        while not self._takes("}"):
            if pairs:
                self._needs(",")
            key = _unquoted(self.word) if self.kind == "text" else self.word
            if self.kind not in ("text", "name", "number"):
                raise self.unread()
            self._next()
            self._needs(":")
            pairs.append((key, self._nested(self.expression)))
        return Pairs(tuple(pairs))


def _unquoted(token: str) -> str:
    if "\\" not in token:
        return token[1:-1]
    return _ESCAPE.sub(
        lambda found: chr(int(found[1] or found[2], 16)) if found[1] or found[2] else _ESCAPED.get(found[3], found[3]),
        token[1:-1],
    )
