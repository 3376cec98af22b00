"""What the functions of the Bases language check of the values they are given."""

import math
from collections.abc import Callable
from typing import Any

from context.base_files import Files
from context.base_values import FormulaError
from context.unsupported import UnsupportedError

# No text or list that a query makes may be longer.
LONGEST = 100_000

Function = Callable[[Files, tuple[Any, ...]], Any]
Method = Callable[[Files, Any, tuple[Any, ...]], Any]


def needs(given: tuple[Any, ...], least: int, most: int | None, name: str) -> None:
    """Check how many values a function is given.

    Raises:
        FormulaError: too few or too many.
    """
    if len(given) < least or (most is not None and len(given) > most):
        raise FormulaError(f"{name}() with {len(given)} values")


def as_text(value: Any, name: str) -> str:
    """A value that must be a text.

    Raises:
        FormulaError: it is none.
    """
    if not isinstance(value, str):
        raise FormulaError(f"{name}() of a value that is no text")
    return value


def as_number(value: Any, name: str) -> float:
    """A value that must be a number.

    Raises:
        FormulaError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormulaError(f"{name}() of a value that is no number")
    return value


def as_whole(value: Any, name: str) -> int:
    """A number without what stands behind its point.

    Raises:
        FormulaError: it is no finite number.
    """
    number = as_number(value, name)
    if not math.isfinite(number):
        raise FormulaError(f"{name}() of no finite number")
    return int(number)


def bounded(text: str) -> str:
    """A text that a query made, when it is not too long.

    Raises:
        UnsupportedError: it is.
    """
    if len(text) > LONGEST:
        raise UnsupportedError("too much: a text of more than a hundred thousand characters")
    return text
