"""The line before a node: a few requests run, a few wait in order, and the next one is told when to come back."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from inference.node import NodeBusy

# Seconds a request is taken to last before one has been seen.
_FIRST_GUESS = 10.0
# Weight of the latest request in the moving average: about the last six count.
_WEIGHT = 0.3


@dataclass(eq=False, slots=True)
class _Waiter:
    """One that waits. `place` counts from 1; 0 means that it has a slot."""

    place: int
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class NodeQueue:
    """First come, first served, within bounds: never more than `parallel` run, never more than `queue` wait.

    Whoever is cancelled leaves no hole: those behind move up, and a slot given to one that is gone goes to the next.
    All of it lives on one event loop.

    Args:
        parallel: how many may run at once.
        queue: how many may wait.
        clock: seconds; for how long requests last.
    """

    def __init__(self, parallel: int, queue: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._free = parallel
        self._waiters: deque[_Waiter] = deque()
        self._began: list[float] = []
        self._average = _FIRST_GUESS

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._began)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    @property
    def busy(self) -> bool:
        """Whether anybody runs or waits."""
        return bool(self._began or self._waiters)

    def retry_after(self) -> float:
        """Seconds until a place in the line is likely to be free: until the next of those that run is done."""
        now = self._clock()
        return max(1.0, min((self._average - (now - began) for began in self._began), default=self._average))

    @property
    def full(self) -> bool:
        """Whether the next one is told to come back later."""
        return not self._free and len(self._waiters) >= self._queue

    def eta(self) -> float:
        """Seconds until one that comes now is likely to run: those that run, and all that wait, go first."""
        if self._free:
            return 0.0
        now = self._clock()
        left = sorted(max(0.0, self._average - (now - began)) for began in self._began) or [self._average]
        rounds, place = divmod(len(self._waiters), len(left))
        return left[place] + rounds * self._average

    @asynccontextmanager
    async def place(self, on_wait: Callable[[int], None] = lambda _: None) -> AsyncIterator[None]:
        """Wait for a slot, and keep it for the body of the `async with`.

        Args:
            on_wait: told the place in the line when it is taken and whenever it changes; 1 is next. Not called when a
                slot is free.

        Raises:
            NodeBusy: the line is full; says when to come back.
        """
        await self._take(on_wait)
        began = self._clock()
        self._began.append(began)
        try:
            yield
            # Only what ended well tells how long a request lasts: a fault is quick, and a cancel says nothing.
            self._average += _WEIGHT * (self._clock() - began - self._average)
        finally:
            self._began.remove(began)
            self._give()

    async def _take(self, on_wait: Callable[[int], None]) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._waiters) >= self._queue:
            raise NodeBusy(
                f"{self.running} running and {self.waiting} waiting: the line is full",
                hint="Try again in a moment, or raise `queue` of the node in the profile.",
                retry_after=self.retry_after(),
            )
        waiter = _Waiter(len(self._waiters) + 1)
        self._waiters.append(waiter)
        try:
            while waiter.place:
                on_wait(waiter.place)
                await waiter.moved.wait()
                waiter.moved.clear()
        except BaseException:
            if waiter.place:
                self._waiters.remove(waiter)
                self._renumber()
            else:
                self._give()
            raise

    def _give(self) -> None:
        """Hand a slot to the first in the line, else keep it free."""
        if not self._waiters:
            self._free += 1
            return
        first = self._waiters.popleft()
        first.place = 0
        first.moved.set()
        self._renumber()

    def _renumber(self) -> None:
        for place, waiter in enumerate(self._waiters, 1):
            if waiter.place != place:
                waiter.place = place
                waiter.moved.set()
