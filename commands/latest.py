"""The contexts given last, whole and in memory: one that is asked for again waits for no store."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from context.assemble import Context
from context.cache import TTL_SECONDS

# So many; the largest window holds half a megabyte of text, and most contexts a twentieth of that.
_MOST = 32

Given = tuple[Context, dict[str, Any]]
"""A context and its receipt."""


class Latest:
    """Contexts with their receipts under the keys they have in the cache. Several threads may use it.

    Args:
        ttl_seconds: how long one is kept, like a value of the cache.
        clock: seconds from any start, never going back.
    """

    def __init__(self, ttl_seconds: float = TTL_SECONDS, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl = ttl_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Given]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._kept)

    def get(self, key: str) -> Given | None:
        """What was given under a key, None when that is too long ago."""
        with self._lock:
            until, given = self._kept.get(key, (0.0, None))
            return given if self._clock() < until else None

    def put(self, key: str, given: Given) -> None:
        """Keep what was given; what was given before all others goes."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (self._clock() + self._ttl, given)
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)
