"""What a running command reports, in order: one stream that every client, log and metric reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Exactly one of these ends a run.
FINAL = frozenset({"done", "failed"})
NAMES = ("started", "phase", "gathered", "decided", "token", "checked", "proposed", "done", "failed")


@dataclass(frozen=True, slots=True)
class Event:
    """One report: a name of `NAMES` and its data, JSON-able (schemas in docs/schema)."""

    name: str
    data: Mapping[str, Any]


def phase(name: str, detail: str = "", n: int = 0, total: int = 0) -> Event:
    """What is being done (reading, queued, loading, thinking, writing …); `n` of `total`, 0 where nothing counts."""
    return Event("phase", {"name": name, "detail": detail, "n": n, "total": total})


def fault(error: Exception) -> dict[str, Any]:
    """What is told of a fault: `code`, `message`, `hint`. Errors that do not name themselves are internal."""
    code = getattr(error, "code", None)
    if isinstance(code, str):
        return {"code": code, "message": str(error), "hint": getattr(error, "hint", "")}
    hint = "Run the command again; if it fails again, report it with the lines of the service's log."
    return {"code": "internal", "message": f"an unexpected fault ({type(error).__name__})", "hint": hint}


def failed(run: str, error: Exception) -> Event:
    """The end of a run that failed."""
    data = {"run": run, **fault(error), **getattr(error, "details", {})}
    retry = getattr(error, "retry_after", None)
    return Event("failed", data | ({"retry_after": retry} if retry else {}))
