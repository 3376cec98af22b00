"""Breaker: after a failure, asks nothing for a while, then lets one question through to see."""

import threading
import time
from collections.abc import Callable


class Breaker:
    """A guard before something that may be away, for several threads.

    Closed, everything passes. A failure opens it: nothing passes for `seconds`. Then one question passes
    (half-open): its success closes the breaker, its failure opens it again; without a report another passes later.

    Args:
        seconds: How long nothing is asked after a failure.
        clock: Seconds from any start, never going back.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._shut_until: float | None = None

    def allows(self) -> bool:
        """Whether to ask now. Whoever gets True reports with `success` or `failure`."""
        with self._lock:
            if self._shut_until is None:
                return True
            now = self._clock()
            if now < self._shut_until:
                return False
            self._shut_until = now + self._seconds
            return True

    def success(self) -> None:
        """It answered."""
        with self._lock:
            self._shut_until = None

    def failure(self) -> None:
        """It did not answer as it should."""
        with self._lock:
            self._shut_until = self._clock() + self._seconds

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open` (the next question is a probe)."""
        with self._lock:
            if self._shut_until is None:
                return "closed"
            return "open" if self._clock() < self._shut_until else "half-open"
