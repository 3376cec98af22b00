"""JavaScript's regular expressions for Python, refused when a text could make them run away."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from context.unsupported import UnsupportedError

_LONGEST = 300
# Steps that one match may take at most, reckoned from the pattern's shape: about a tenth of a second.
_STEPS = 2_000_000
_LONGEST_TEXT = 100_000

_QUANTIFIER = re.compile(r"[*+?]|\{(\d{1,4})(?:(,)(\d{0,4}))?\}")
# What is written otherwise in Python. JavaScript's \d \w \b know ASCII alone, its \s and . know more line ends.
_SPACE = r"\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACE}
_ANY = r"[^\n\r\u2028\u2029]"
_EDGE = r"(?:(?<![A-Za-z0-9_])(?=[A-Za-z0-9_])|(?<=[A-Za-z0-9_])(?![A-Za-z0-9_]))"
_NO_EDGE = r"(?:(?<![A-Za-z0-9_])(?![A-Za-z0-9_])|(?<=[A-Za-z0-9_])(?=[A-Za-z0-9_]))"
_LITERAL = frozenset("\\/^$.*+?()[]{}|-\"'` ,:;<>=!@#%&~_")
_CONTROL = {"n": r"\n", "r": r"\r", "t": r"\t", "v": r"\v", "f": r"\f", "0": r"\x00"}
_REFERENCE = re.compile(r"\$(?:(\$)|(&)|(\d{1,2})|<([^>]*)>)")


@dataclass
class _Group:
    """An open group: what it holds so far that makes matching cost more."""

    varies: bool = False
    options: int = 1


@dataclass(frozen=True)
class Regexp:
    """A regular expression of JavaScript: its pattern and flags as written between and after the slashes."""

    pattern: str
    flags: str

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], int]:
        return _compile(self.pattern, self.flags)

    def check(self) -> None:
        """Whether it can be evaluated.

        Raises:
            UnsupportedError: it cannot, or could run away.
        """
        _ = self._compiled

    def _bounded(self, text: str) -> re.Pattern[str]:
        compiled, longest = self._compiled
        if len(text) > longest:
            raise UnsupportedError("a regular expression that may take too long on a long text")
        return compiled

    def matches(self, text: str) -> bool:
        """Whether it matches anywhere in a text."""
        return self._bounded(text).search(text) is not None

    def replace(self, text: str, replacement: str) -> str:
        """The text with the first match replaced, with all when the flag g is set; `$1` stands for a group."""
        return self._bounded(text).sub(
            lambda found: _REFERENCE.sub(_reference(found), replacement), text, count=0 if "g" in self.flags else 1
        )

    def split(self, text: str) -> list[str]:
        """The parts of a text between the matches."""
        compiled = self._bounded(text)
        if compiled.groups:
            raise UnsupportedError("splitting at a regular expression with groups")
        parts, at = [], 0
        for found in compiled.finditer(text):
            if found.end() == found.start() and found.end() in (0, len(text)):
                continue
            parts.append(text[at : found.start()])
            at = found.end()
        return [*parts, text[at:]]


def _reference(found: re.Match[str]) -> Callable[[re.Match[str]], str]:
    """What stands for `$…` in a replacement; what names no group stands for itself."""

    def value(mark: re.Match[str]) -> str:
        if mark[1]:
            return "$"
        if mark[2]:
            return found[0]
        if mark[4] is not None:
            return found.groupdict().get(mark[4]) or ""
        for digits in (mark[3], mark[3][:1]):
            if 0 < int(digits) <= (found.re.groups):
                return (found[int(digits)] or "") + mark[3][len(digits) :]
        return mark[0]

    return value


def _compile(pattern: str, flags: str) -> tuple[re.Pattern[str], int]:
    """The pattern in Python's writing, and the longest text it is tried on."""
    if len(pattern) > _LONGEST or set(flags) - set("gimsuy") or "y" in flags:
        raise UnsupportedError(f"the regular expression /{pattern[:60]}/{flags}")
    translated, cost, power = _Translation(pattern, flags).run()
    options = re.NOFLAG
    for flag, option in (("i", re.IGNORECASE), ("m", re.MULTILINE)):
        options |= option if flag in flags else re.NOFLAG
    try:
        compiled = re.compile(translated, options)
    except (re.error, OverflowError, RecursionError):
        raise UnsupportedError(f"the regular expression /{pattern[:60]}/{flags}") from None
    longest = int((_STEPS / cost) ** (1 / power)) if power else _LONGEST_TEXT
    if longest < 20:
        raise UnsupportedError(f"the regular expression /{pattern[:60]}/, which may take too long")
    return compiled, min(longest, _LONGEST_TEXT)


class _Translation:
    """One pattern on its way to Python, with the cost of matching it reckoned on the way.

    A match tries each way to share out a text among the quantifiers: a text of n characters in n to the power of their
    number, doubled by each `?`, and once for each alternative. A quantifier around another one has no such bound, and
    is refused.
    """

    def __init__(self, pattern: str, flags: str) -> None:
        self.pattern = pattern
        self.flags = flags
        self.at = 0
        self.out: list[str] = []
        self.open: list[_Group] = [_Group()]
        self.cost = 1.0
        self.power = 0 if pattern.startswith("^") and "m" not in flags and "|" not in pattern else 1

    def run(self) -> tuple[str, float, int]:
        while self.at < len(self.pattern):
            self._atom()
        if len(self.open) != 1:
            raise self._refused()
        return "".join(self.out), self.cost * self.open[0].options, self.power

    def _refused(self) -> UnsupportedError:
        return UnsupportedError(f"the regular expression /{self.pattern[:60]}/{self.flags}")

    def _atom(self) -> None:
        char = self.pattern[self.at]
        self.at += 1
        inner = _Group()
        if char == "(":
            self._opened()
            return
        if char == ")":
            if len(self.open) == 1:
                raise self._refused()
            inner = self.open.pop()
            self.out.append(")")
        elif char == "|":
            self.open[-1].options += 1
            self.out.append("|")
            return
        elif char == "[":
            self.out.append(self._set())
        elif char == "\\":
            self.out.append(self._escape(inside=False))
        elif char in "^$":
            self.out.append(char if char == "^" or "m" in self.flags else r"\Z")
            return
        elif char == ".":
            self.out.append(r"[\s\S]" if "s" in self.flags else _ANY)
        elif char in "*+?":
            raise self._refused()
        else:
            self.out.append(re.escape(char))
        self._quantified(inner)

    def _opened(self) -> None:
        for mark, python in (("?:", "(?:"), ("?=", "(?="), ("?!", "(?!"), ("?<=", "(?<="), ("?<!", "(?<!")):
            if self.pattern.startswith(mark, self.at):
                self.at += len(mark)
                self.out.append(python)
                break
        else:
            named = re.compile(r"\?<([A-Za-z_]\w{0,30})>", re.ASCII).match(self.pattern, self.at)
            if named is None and self.pattern.startswith("?", self.at):
                raise self._refused()
            self.at = named.end() if named else self.at
            self.out.append(f"(?P<{named[1]}>" if named else "(")
        self.open.append(_Group())

    def _quantified(self, inner: _Group) -> None:
        """Take the quantifier after an atom, if one stands there."""
        outer = self.open[-1]
        found = _QUANTIFIER.match(self.pattern, self.at)
        self.cost *= inner.options
        if found is None:
            outer.varies |= inner.varies
            return
        self.at = found.end()
        lazy = self.pattern.startswith("?", self.at)
        self.at += lazy
        self.out.append(found[0] + ("?" if lazy else ""))
        least, most = _bounds(found)
        if most != 1 and (inner.varies or inner.options > 1):
            raise UnsupportedError(
                f"the regular expression /{self.pattern[:60]}/, which repeats what repeats and may take too long"
            )
        if least != most:
            outer.varies = True
            if most is None:
                self.power += 1
            else:
                self.cost *= most - least + 1
        if most is not None and most > 1000:
            raise self._refused()

    def _set(self) -> str:
        negated = self.pattern.startswith("^", self.at)
        self.at += negated
        parts: list[str] = []
        while self.at < len(self.pattern) and self.pattern[self.at] != "]":
            char = self.pattern[self.at]
            self.at += 1
            parts.append(self._escape(inside=True) if char == "\\" else "\\[" if char == "[" else char)
            if parts[-1] in ("&", "~", "|") and len(parts) > 1 and parts[-2] == parts[-1]:
                parts[-1] = "\\" + parts[-1]
        if self.at >= len(self.pattern):
            raise self._refused()
        self.at += 1
        if not parts:
            return r"[\s\S]" if negated else r"(?!)"
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _escape(self, *, inside: bool) -> str:
        if self.at >= len(self.pattern):
            raise self._refused()
        char = self.pattern[self.at]
        self.at += 1
        if char in _CLASSES:
            return _CLASSES[char] if inside else f"[{_CLASSES[char]}]"
        if char.lower() in _CLASSES:
            if inside:
                raise self._refused()
            return f"[^{_CLASSES[char.lower()]}]"
        if char in "bB" and not inside:
            return _EDGE if char == "b" else _NO_EDGE
        if char in _CONTROL:
            return _CONTROL[char]
        if char in "ux":
            found = re.compile(r"[0-9A-Fa-f]{4}" if char == "u" else r"[0-9A-Fa-f]{2}").match(self.pattern, self.at)
            if found is None:
                raise self._refused()
            self.at = found.end()
            return f"\\{char}{found[0]}"
        if char in _LITERAL:
            return "\\" + char if inside else re.escape(char)
        raise self._refused()  # references to groups, properties of characters, and what is no escape


def _bounds(found: re.Match[str]) -> tuple[int, int | None]:
    """How often a quantifier repeats: at least, and at most; None for no end."""
    if found[1] is None:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[found[0]]
    if found[2] is None:
        return int(found[1]), int(found[1])
    return int(found[1]), int(found[3]) if found[3] else None
