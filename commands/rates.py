"""How often the cache spared work, for each kind of it."""

import threading
from typing import Any, Literal

Kind = Literal["context", "answer"]


class Rates:
    """Counts what was asked of the cache since the service began. Several threads may use it.

    What was asked for fresh is not counted: it asked no cache.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Kind, list[int]] = {"context": [0, 0], "answer": [0, 0]}

    def count(self, kind: Kind, *, hit: bool) -> None:
        """Count one."""
        with self._lock:
            self._counts[kind][0 if hit else 1] += 1

    def as_dict(self) -> dict[str, Any]:
        """{hits, misses, rate}, and the same of each of `kinds`; a rate is a part of 1, None when nothing was asked."""
        with self._lock:
            counts = {kind: tuple(count) for kind, count in self._counts.items()}
        hits, misses = map(sum, zip(*counts.values(), strict=True))
        return _rated(hits, misses) | {"kinds": {kind: _rated(*count) for kind, count in counts.items()}}


def _rated(hits: int, misses: int) -> dict[str, Any]:
    asked = hits + misses
    return {"hits": hits, "misses": misses, "rate": round(hits / asked, 3) if asked else None}
