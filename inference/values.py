"""Takes values out of a node's JSON, none of which can be trusted to be what it should."""

import json
import math
from typing import Any


def loads(data: bytes | str) -> Any:
    """JSON in UTF-8.

    Raises:
        ValueError: it is not.
    """
    try:
        return json.loads(data.decode("utf-8") if isinstance(data, bytes) else data, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def text_of(value: Any) -> str:
    """A text out of an answer, "" for none; half a character, which JSON can spell, becomes U+FFFD.

    Raises:
        TypeError: it is no text.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("no text")
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def count_of(value: Any) -> int | None:
    """A number of tokens out of an answer, None for none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def seconds_of(value: Any, unit: float) -> float:
    """A duration out of an answer in seconds, 0 for none; `unit` is one of its units in seconds."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value * unit if is_number and 0 < value < math.inf else 0.0
