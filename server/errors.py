"""Which failure is which HTTP answer: one table, one shape."""

import errno
import logging
import math
import secrets
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.responses import Response

from server.config import ConfigError
from server.wire import BESIDE, dump

# The closed set of codes that clients may branch on. Refusals of the HTTP protocol itself keep a code of this table and
# a narrower status: 400 and 408 (invalid), 405 (invalid), 431 (too_large).
STATUS: Mapping[str, int] = {
    "invalid": 422,
    "unauthorized": 401,
    "forbidden_origin": 403,
    "wrong_host": 421,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
    "context_too_large": 413,
    "unsupported_media": 415,
    "model_missing": 424,
    "over_budget": 424,
    "busy": 429,
    "cancelled": 499,
    "internal": 500,
    "upstream": 502,
    "node_unavailable": 503,
    "shutting_down": 503,
    "deadline": 504,
    "disk_full": 507,
}
_CODE_OF_HTTP = {404: "not_found", 405: "invalid", 413: "too_large", 415: "unsupported_media"}
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_log = logging.getLogger(__name__)


class Refusal(Exception):  # noqa: N818 - named for the fact, not for its kind
    """A request that is not answered as asked.

    Attributes:
        code: one of `STATUS`; what a program branches on.
        message: what is wrong, for a person; never note text, a token or an absolute path.
        hint: what to do about it.
        run: id of the run it ended, or None.
        retry_after: seconds after which trying again is useful, or None.
        details: what stands beside the error for programs, by its name in `server.wire.BESIDE`; may hold note text.
        status: the HTTP status; that of the code unless a narrower one was given.
        headers: further response headers.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        run: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.run = run
        self.retry_after = retry_after
        self.details = {name: value for name, value in (details or {}).items() if name in BESIDE}
        self.status = status or STATUS[code]
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The refusal as an HTTP answer in the one shape all errors have."""
        error = {"code": self.code, "message": self.message, "hint": self.hint, "run": self.run}
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        return Response(dump({"error": error, **self.details}), self.status, headers, "application/json")

    def event(self, run: str) -> dict[str, Any]:
        """The refusal as the data of a `failed` event."""
        data: dict[str, Any] = {"run": run, "code": self.code, "message": self.message, "hint": self.hint}
        data |= self.details
        return data if self.retry_after is None else data | {"retry_after": self.retry_after}


def refusal(error: BaseException) -> Refusal:
    """The answer to an error: errors that name themselves by a `code` of the table keep it, any other is internal.

    Args:
        error: whatever was raised. Of an unexpected one only type and place reach the log, under a short id that the
            answer names: its message could hold text of a note.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestValidationError | ValidationError):
        return invalid(error.errors())
    if isinstance(error, HTTPException):
        return _http(error)
    if isinstance(error, ConfigError):
        return Refusal("invalid", "a setting of the service cannot be used", "`kos config` shows what is in force.")
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return Refusal("disk_full", "the disk is full", "Free some space and try again.")
    code = getattr(error, "code", None)
    if isinstance(code, str) and code in STATUS:
        message = str(getattr(error, "message", "") or error)
        return Refusal(
            code,
            message,
            getattr(error, "hint", ""),
            retry_after=getattr(error, "retry_after", None),
            details=getattr(error, "details", None),
        )
    return _unexpected(error)


def failure(data: Mapping[str, Any]) -> Refusal:
    """The answer to a run that ended with a `failed` event; `data` is that of the event."""
    code = data.get("code")
    return Refusal(
        code if isinstance(code, str) and code in STATUS else "internal",
        str(data.get("message", "")),
        str(data.get("hint", "")),
        run=data.get("run"),
        retry_after=data.get("retry_after"),
        details=data,
    )


def invalid(problems: Sequence[ErrorDetails | Any], fields: Mapping[str, Sequence[str]] | None = None) -> Refusal:
    """What is wrong with the shape of a request: names the field and what is allowed, never what was sent.

    Args:
        problems: pydantic's list; the first is told.
        fields: names of the fields of each object by its place ("" is the request itself), to tell an unknown field.
    """
    first = problems[0]
    known = {name for names in (fields or {}).values() for name in names}
    place = ".".join(str(part) for part in first["loc"] if fields is None or part in known)
    if first["type"] == "extra_forbidden":
        allowed = ", ".join((fields or {}).get(place, ())) or "no fields"
        return Refusal("invalid", f"{place or 'the request'} has an unknown field", f"It takes {allowed}.")
    told = str(first["ctx"]["error"]) if first["type"] == "value_error" else _lower(first["msg"])
    named = told if not place or told.startswith(place) else f"{place}: {told}"
    return Refusal("invalid", named, "Correct the field and send the request again.")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _http(error: HTTPException) -> Refusal:
    code = _CODE_OF_HTTP.get(error.status_code, "invalid" if error.status_code < 500 else "internal")
    if error.status_code == 405:
        message, hint = "this method is not allowed here", "The Allow header names the ones that are."
    elif error.status_code == 404:
        message, hint = "there is nothing at this address", "GET /v1/commands lists the commands."
    else:
        message, hint = "the request cannot be answered", ""
    return Refusal(code, message, hint, status=error.status_code, headers=error.headers)


def _unexpected(error: BaseException) -> Refusal:
    name = secrets.token_hex(4)
    places = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in _frames(error)]
    _log.error("internal fault %s: %s at %s", name, type(error).__name__, " < ".join(reversed(places)))
    return Refusal(
        "internal", f"an unexpected fault (id {name})", "The log of the service tells its place under this id."
    )


def _frames(error: BaseException) -> Sequence[traceback.FrameSummary]:
    return traceback.extract_tb(error.__traceback__)[-8:]
