"""JSON as it crosses the wire: read strictly, written safely."""

import json
import math
from typing import Any, NoReturn

import msgspec

# What may stand beside an error: both texts of a note that two have changed, places that may have been meant, that a
# second yes is wanted.
BESIDE = ("conflict", "candidates", "confirm")
# Many more fields than any object of a request has; keeps the list of what is wrong with one short.
_MOST_FIELDS = 64
_encode = msgspec.json.Encoder().encode


class MalformedError(ValueError):
    """A body that is not one well-formed JSON object; the message says what is wrong, never what was sent."""

    code = "invalid"
    hint = "Send one JSON object, encoded in UTF-8."


def dump(value: Any) -> bytes:
    """JSON in UTF-8 on one line.

    Half a surrogate pair (a file name that is not UTF-8) becomes "?", so that no name on a disk can break an answer.

    Raises:
        ValueError: NaN or an infinite number in it.
        TypeError: something that is not JSON.
    """
    try:
        encoded = _encode(value)
    except UnicodeEncodeError:
        encoded = b"null"
    # msgspec takes a tenth of the time, and writes null for NaN: where it wrote none, there was none.
    if b"null" not in encoded:
        return encoded
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def load(body: bytes) -> dict[str, Any]:
    """The object in a request body; an empty body is an empty object.

    Stricter than `json.loads`: UTF-8 only, no NaN or infinity, no key twice (programs disagree on which one counts), no
    NUL and no half surrogate pair in a text (files and encoders choke on them), no nesting that ends the recursion.

    Raises:
        MalformedError: anything else.
    """
    if not body.strip():
        return {}
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text, parse_constant=_not_a_number, parse_float=_finite, parse_int=_whole, object_pairs_hook=_unique
        )
    except UnicodeDecodeError:
        raise MalformedError("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedError(f"the body is not JSON (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise MalformedError("the body is nested too deeply") from None
    if not isinstance(value, dict):
        raise MalformedError("the body is not a JSON object")
    if "\\u" in text:  # raw ones are refused above: only an escape can bring in a NUL or half a pair
        _whole_text(value)
    return value


def _not_a_number(_: str) -> NoReturn:
    raise MalformedError("NaN and Infinity are not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedError("a number is too large")
    return number


def _whole(digits: str) -> int:
    if len(digits) > 20:  # 64 bits; also below the length at which int() itself refuses
        raise MalformedError("a number is too large")
    return int(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _MOST_FIELDS:
        raise MalformedError(f"an object has more than {_MOST_FIELDS} fields")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("a field is there twice")
    return found


def _whole_text(value: Any) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str) and ("\0" in item or not _encodes(item)):
            raise MalformedError("a text holds a NUL or half a surrogate pair")


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
