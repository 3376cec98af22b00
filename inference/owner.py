"""The owner of a node: lets requests to it in as its schedule says, and loads ahead what is to stay in its memory."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf

from inference.node import InferenceError, NodeBusy
from inference.schedule import Drop, Effect, Preload, Schedule, Start, Ticket

# Seconds for which what is known of a node's memory is not looked at again.
_SURE_SECONDS = 60.0
# The same for a node that did not tell.
_VAIN_SECONDS = 10.0


@dataclass(eq=False, slots=True)
class _Waiter:
    """One that waits for its turn. `place` counts from 1; `turn` is set when it has come."""

    place: int = 0
    turn: Start | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class Owner:
    """The one that decides who speaks to a node. All of it lives on one event loop.

    Whoever is cancelled leaves no hole: the turn of one that is gone goes to the next.

    Args:
        schedule: how it decides.
        load: loads the model of a runner and returns when that is done; raises `InferenceError`.
        clock: seconds.
        sleep: waits for so many of them.
    """

    def __init__(
        self,
        schedule: Schedule,
        load: Callable[[str], Awaitable[None]],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.schedule = schedule
        self._load = load
        self._clock = clock
        self._sleep = sleep
        self._numbers = itertools.count(1)
        self._waiters: dict[int, _Waiter] = {}
        self._ahead: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._wakes_at = inf
        self._is_closed = False
        self._sure_until = -inf
        # What is in the node's memory is not known at all before it has told, or answered.
        self.has_seen = schedule.rules.served

    async def close(self) -> None:
        """Load nothing more ahead."""
        self._is_closed = True
        tasks = [task for task in (self._ahead, self._timer) if task is not None]
        self._ahead = self._timer = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what is known

    @property
    def is_busy(self) -> bool:
        """Whether anybody has a turn or waits for one."""
        return bool(self.schedule.running or self.schedule.waiting)

    @property
    def is_sure(self) -> bool:
        """Whether what is known of the node's memory holds; else it should be looked at before the next turn."""
        return self.schedule.rules.served or self._clock() < self._sure_until

    def doubt(self) -> None:
        """Something happened that may have changed the node's memory."""
        self._sure_until = -inf

    def observed(self, runners: Iterable[str]) -> None:
        """The node told which runners are in its memory."""
        self.has_seen = True
        self._sure_until = self._clock() + _SURE_SECONDS
        self._do(self.schedule.observed(runners, self._clock()))

    def not_told(self) -> None:
        """The node did not tell what is in its memory. It is not asked again at once: it may be off for the night."""
        self._sure_until = self._clock() + _VAIN_SECONDS

    def loaded(self, runner: str) -> None:
        """A model has begun to answer, so it is in memory. What had to go for it the node will tell."""
        self.has_seen = True
        if self.schedule.loading == runner:
            self.doubt()
        self._do(self.schedule.loaded(runner, self._clock()))

    def eta(self, runner: str, seconds: float) -> float:
        """Seconds until a request for so much work that came now could probably begin to be answered."""
        now = self._clock()
        return self.schedule.forecast(now, Ticket(0, runner, now, seconds))[0]

    def load_seconds(self, runner: str) -> float:
        """Seconds to load the model of a runner; 0 if it is in memory or on its way, or if the memory is not known."""
        there = runner == self.schedule.loading or runner in self.schedule.resident(self._clock())
        if there or not self.has_seen:
            return 0.0
        return self.schedule.load_seconds(runner)

    def retry_after(self) -> float:
        """Seconds until a place in the line is likely to be free."""
        return max(1.0, self.schedule.free_in(self._clock()))

    # --- turns

    @asynccontextmanager
    async def turn(
        self, runner: str, seconds: float, on_wait: Callable[[int], None] = lambda _: None, *, aside: bool = False
    ) -> AsyncIterator[bool]:
        """Wait for a turn, and keep it for the body of the `async with`.

        Args:
            runner: what answers.
            seconds: that it will probably take.
            on_wait: told the place in the line when it is taken and whenever it changes; 1 is next. Not called for one
                that has its turn at once.
            aside: whether it takes no place (`inference.schedule.Ticket`).

        Yields:
            Whether its model must be loaded, as far as that is known.

        Raises:
            NodeBusy: the line is full; says when to come back.
        """
        ticket = Ticket(next(self._numbers), runner, self._clock(), seconds, aside)
        waiter = self._waiters[ticket.id] = _Waiter()
        try:
            self._do(self.schedule.arrive(ticket, self._clock()))
            if waiter.turn is None and not aside and self.schedule.waiting > self.schedule.rules.queue:
                raise self._busy()
            while waiter.turn is None:
                waiter.moved.clear()
                if waiter.place:
                    on_wait(waiter.place)
                await waiter.moved.wait()
            yield waiter.turn.loads and self.has_seen
        finally:
            del self._waiters[ticket.id]
            self._do(self.schedule.leave(ticket.id, self._clock()))

    def _busy(self) -> NodeBusy:
        schedule = self.schedule
        return NodeBusy(
            f"{schedule.running} running and {schedule.rules.queue} waiting: the line is full",
            hint="Try again in a moment, or raise `queue` of the node in the profile.",
            retry_after=self.retry_after(),
        )

    # --- effects

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start(ticket):
                    # Of one that was cancelled in this very moment the turn comes back with its `leave`.
                    if waiter := self._waiters.get(ticket.id):
                        waiter.turn = effect
                        waiter.moved.set()
                case Preload(runner):
                    self._ahead = asyncio.create_task(self._load_ahead(runner))
                case Drop():
                    if self._ahead is not None:
                        self._ahead.cancel()
                        self._ahead = None
        self._tell_places()
        self._set_timer()

    def _tell_places(self) -> None:
        if not any(waiter.turn is None for waiter in self._waiters.values()):
            return
        for place, identity in enumerate(self.schedule.line(self._clock()), 1):
            waiter = self._waiters.get(identity)
            if waiter is not None and waiter.place != place:
                waiter.place = place
                waiter.moved.set()

    async def _load_ahead(self, runner: str) -> None:
        try:
            await self._load(runner)
        except InferenceError:
            self._ahead = None
            self.doubt()
            self._do(self.schedule.not_loaded(runner, self._clock()))
        else:
            self._ahead = None
            self.loaded(runner)

    def _set_timer(self) -> None:
        """Wake the schedule when it wants to be; one timer at most, and none while there is nothing to wake for."""
        at = inf if self._is_closed else self.schedule.wakes_at()
        if at == self._wakes_at:
            return
        self._wakes_at = at
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at < inf:
            self._timer = asyncio.create_task(self._wake(at))

    async def _wake(self, at: float) -> None:
        await self._sleep(max(0.0, at - self._clock()))
        self._timer, self._wakes_at = None, inf
        self._do(self.schedule.wake(self._clock()))
