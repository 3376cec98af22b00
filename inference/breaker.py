"""A breaker: after failures a node is left alone, until it answers again."""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from inference.node import InferenceError, NodeUnavailable, UpstreamFault

# Failures of one model in a row after which its node is left alone, and for how many seconds at least.
FAILURES = 3
REST_SECONDS = 2.0
# A deadline speaks against a node only if that has kept silent for so many seconds; the time may have gone elsewhere.
SILENT_SECONDS = 5.0
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"

# A timer may come early by what a coarse clock does not show, in seconds.
_EARLY = 0.02


@dataclass(frozen=True, slots=True)
class Standing:
    """How a breaker stands.

    Attributes:
        state: `closed` (every request goes through), `open` (none does), or `half-open` (one does, to see).
        failures: of requests to one model in a row, the most of any; probes are none.
        last_error: what was wrong last, "" if nothing since the last good answer.
        probe_seconds: until the node is asked again how it is; None unless it is open.
    """

    state: str
    failures: int
    last_error: str
    probe_seconds: float | None


class Breaker:
    """Guards one node. It decides, and asks nobody: probes are the business of its owner.

    Closed, every request goes through. It opens when one model fails `FAILURES` times in a row by the node's own doing,
    and at once when the node cannot be reached. Open, no request goes through; after `REST_SECONDS` the node is to be
    probed. An answer to that closes it if the node was away. If the node failed at its work, which a probe does not
    show, one request goes through (half-open): its first words close it, its failure opens it again.

    Args:
        clock: seconds from any start, never going back.
        on_open: told whenever it opens.
    """

    def __init__(self, clock: Callable[[], float], on_open: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._on_open = on_open
        self._state = CLOSED
        self._rests_until = 0.0
        self._trial: object | None = None
        self._failures: dict[str, int] = {}
        self._error: InferenceError | None = None

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return self._state

    @property
    def stops(self) -> bool:
        """Whether a request that comes now does not go through."""
        return self._state == OPEN or (self._state == HALF_OPEN and self._trial is not None)

    @property
    def is_away(self) -> bool:
        """Whether the last thing that was wrong is that the node could not be reached."""
        return isinstance(self._error, NodeUnavailable)

    @property
    def rest(self) -> float:
        """Seconds until the node is to be probed; 0 if it is time."""
        return max(0.0, self._rests_until - self._clock()) if self._state == OPEN else 0.0

    def standing(self) -> Standing:
        """How it stands, for people."""
        most = max(self._failures.values(), default=0)
        wait = round(self.rest, 2) if self._state == OPEN else None
        return Standing(self._state, most, str(self._error or ""), wait)

    def refusal(self) -> NodeUnavailable:
        """What a request is told that does not go through."""
        error = self._error
        if error is None or self.is_away:
            return NodeUnavailable(str(error or ""), hint=error.hint if error else "")
        return NodeUnavailable(f"{error}; it is left alone for a while, after several failures", hint=error.hint)

    @contextmanager
    def asking(self, model: str, until: float = math.inf) -> Iterator[Callable[[], None]]:
        """Keep watch over one request: how the block ends is what is learnt of the node.

        Args:
            model: which model is asked.
            until: when the caller's time is over, by the clock; a cancel from then on is a deadline.

        Yields:
            To be called whenever the node has said something.

        Raises:
            NodeUnavailable: the request does not go through.
        """
        if self.stops:
            raise self.refusal()
        trial = object() if self._state == HALF_OPEN else None
        self._trial = trial or self._trial
        last = self._clock()

        def heard() -> None:
            nonlocal last
            last = self._clock()
            if trial is not None and self._trial is trial:
                self._close()

        try:
            yield heard
        except (NodeUnavailable, UpstreamFault) as error:
            self.fail(model, error)
            raise
        except asyncio.CancelledError:
            now = self._clock()
            if now >= until - _EARLY and now - last >= SILENT_SECONDS:
                silence = f"the node has said nothing for {now - last:.0f} s, and the time of a request was over"
                self.fail(model, UpstreamFault(silence, hint="The log of the node says why."))
            raise
        else:
            self.succeed(model)
        finally:
            if trial is not None and self._trial is trial:
                self._trial = None

    def succeed(self, model: str) -> None:
        """A model has answered whole."""
        self._failures.pop(model, None)
        if not self._failures:
            self._error = None
        self._close()

    def fail(self, model: str, error: NodeUnavailable | UpstreamFault) -> None:
        """A request to a model failed, or a probe (of no model, ""), which opens it and is not counted as a failure.

        What is to be blamed on the request does not count either.
        """
        if isinstance(error, UpstreamFault) and not error.by_node:
            return
        self._error = error
        failures = 0
        if model:
            failures = self._failures[model] = self._failures.get(model, 0) + 1
        if isinstance(error, NodeUnavailable) or self._state != CLOSED or failures >= FAILURES:
            self._state, self._trial = OPEN, None
            self._rests_until = self._clock() + REST_SECONDS
            self._on_open()

    def answered(self) -> None:
        """The node has answered a probe."""
        if self._state != OPEN:
            return
        if self.is_away:
            self._failures.clear()
            self._error = None
            self._close()
        elif not self.rest:
            self._state = HALF_OPEN

    def _close(self) -> None:
        self._state, self._trial = CLOSED, None
