"""The schedule of a node: whose turn it is, what is in its memory, and what is loaded while nobody waits. Pure.

A node's memory has one owner (`inference.owner`), and this is how it decides: an event comes in with its time, effects
come out. Nothing here waits, and nothing reads a clock.

    Ticket      a request that waits for its turn, or has it
    Start       its turn has come
    Preload     load a model, since nobody waits; Drop: give that up, since somebody does
    Room        what fits into the memory together (`inference.plan.NodePlan`)

Rules, in this order:
1. Never more than one model is being loaded, so Ollama's own line never holds more than one request of ours: behind
   that one it would let all others wait, whatever they ask for.
2. No more requests at a model than it has slots, and no more at the node than `parallel`.
3. Those that waited for a model when it was loaded are its gate. A gate is served whole before anything else is loaded.
4. Then whoever finds its model in memory goes first, the shortest work before the longer, and each second of waiting
   makes work count for less.
5. Once a request for another model has waited longer than `patience`, nobody passes it any more whose model would have
   to go for it: it waits no longer than that, what then runs, and one gate.
6. Of those the one that came first is next.

Sources: gated batches bound the starvation that "loaded model first" allows, and save most of its swaps; ordering by
deadline, or by age alone, makes a busy card load without end (`benchmarks/schedule.py` has the figures).
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

# Seconds that a request for a model that is not loaded lets others pass, at least, and in loads of its model.
PATIENCE_SECONDS, PATIENCE_LOADS = 10.0, 3.0
# Seconds of work that a second of waiting makes up for.
_AGEING = 0.3
# Seconds of quiet after which what is to stay is loaded again.
QUIET_SECONDS = 5.0
# Seconds for which nothing is loaded ahead after it did not succeed.
_SULK_SECONDS = 60.0
# Requests that a forecast looks at one by one; those behind them are counted.
_FORESEEN = 48
# A request that has taken longer than was thought is taken to need so much more of the time it had.
_OVERRUN = 0.25


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request for a turn.

    Attributes:
        id: of this request.
        runner: what answers it.
        at: when it came, in seconds.
        seconds: that it will probably take once its model is loaded.
        aside: whether it takes none of the places: a text that becomes a vector does not wait behind a chat.
    """

    id: int
    runner: str
    at: float
    seconds: float
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """The turn of a ticket has come; `loads` says whether its model must be loaded for it."""

    ticket: Ticket
    loads: bool


@dataclass(frozen=True, slots=True)
class Preload:
    """Load the model of a runner, since nobody waits."""

    runner: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Give up loading ahead: somebody waits for another model."""

    runner: str


Effect = Start | Preload | Drop


class Room(Protocol):
    """What the memory of a node holds at once."""

    def pushed_out(self, resident: Sequence[str], runner: str) -> tuple[str, ...]:
        """The runners in memory that must go when one more is loaded, in the order they go."""
        ...

    @property
    def order(self) -> Sequence[str]:
        """The runners that are to stay loaded, in the order they must be loaded in."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not change while the service runs.

    Attributes:
        parallel: requests that run at the node at once; aside ones do not count.
        queue: requests that may wait.
        slots: requests that run at a model at once.
        keep: seconds that a model stays when nobody uses it; infinite for one that stays.
        served: whether the node serves what it has and loads nothing: all of it is there, always.
        preload: whether anything is loaded ahead.
    """

    parallel: int
    queue: int
    slots: Mapping[str, int]
    keep: Mapping[str, float]
    served: bool = False
    preload: bool = True


@dataclass(frozen=True, slots=True)
class _Turn:
    ticket: Ticket
    began: float
    ends: float


class Schedule:
    """The state of one node's schedule. Every method that takes `now` is an event, and returns what is to be done.

    Args:
        rules: what does not change.
        room: what fits together; may be set anew when more is known.
        load_seconds: how long a runner's model takes to load, by what is known now.
    """

    def __init__(self, rules: Rules, room: Room, load_seconds: Callable[[str], float]) -> None:
        self.rules = rules
        self.room = room
        self.load_seconds = load_seconds
        # In the order they were loaded in, each with the time at which the node lets it go.
        self._resident: dict[str, float] = dict.fromkeys(rules.slots, inf) if rules.served else {}
        self._running: dict[int, _Turn] = {}
        self._waiting: list[Ticket] = []
        self._gate: frozenset[int] = frozenset()
        # The runner that is being loaded, when it will be there, and whether that is ahead of any request.
        self._loading, self._loaded_at, self._ahead = "", 0.0, False
        self._quiet_since, self._sulks_until = inf, 0.0

    # --- what is known

    @property
    def running(self) -> int:
        """How many have a turn, aside ones not counted."""
        return sum(not turn.ticket.aside for turn in self._running.values())

    @property
    def waiting(self) -> int:
        """How many wait, aside ones not counted."""
        return sum(not ticket.aside for ticket in self._waiting)

    @property
    def full(self) -> bool:
        """Whether one more that has to wait is told to come back later."""
        return self.waiting >= self.rules.queue and (self.waiting > 0 or self.running >= self.rules.parallel)

    @property
    def loading(self) -> str:
        """The runner that is being loaded, "" if none is."""
        return self._loading

    def resident(self, now: float) -> tuple[str, ...]:
        """The runners in memory, in the order they were loaded in; one that is being loaded is not among them."""
        return tuple(name for name, until in self._resident.items() if until > now and name != self._loading)

    def wakes_at(self) -> float:
        """When `wake` is to be called if nothing happens before; infinite if there is nothing to wake for."""
        if not self.rules.preload or self._running or self._waiting or self._loading or not self._missing():
            return inf
        return max(self._quiet_since + QUIET_SECONDS, self._sulks_until)

    # --- events

    def arrive(self, ticket: Ticket, now: float) -> list[Effect]:
        """A request comes. Whether there is room for it in the line is asked before, with `full`."""
        self._waiting.append(ticket)
        return self._next(now)

    def leave(self, identity: int, now: float) -> list[Effect]:
        """A request is over, or does not want its turn any more."""
        turn = self._running.pop(identity, None)
        if turn is None:
            self._waiting = [ticket for ticket in self._waiting if ticket.id != identity]
        else:
            self._end(turn.ticket.runner, now)
        self._gate -= {identity}
        self._quiet_since = now
        return self._next(now)

    def loaded(self, runner: str, now: float) -> list[Effect]:
        """A model is in memory now: its first word came, or loading it ahead is done."""
        if self._loading == runner:
            self._loading = ""
            if self._ahead:
                self._end(runner, now)
            for turn in [turn for turn in self._running.values() if turn.ticket.runner == runner]:
                self._running[turn.ticket.id] = _Turn(turn.ticket, turn.began, now + turn.ticket.seconds)
        return self._next(now)

    def not_loaded(self, runner: str, now: float) -> list[Effect]:
        """Loading a model ahead did not succeed: nothing is loaded ahead for a while."""
        if self._loading == runner and self._ahead:
            self._forget(runner)
            self._sulks_until = now + _SULK_SECONDS
        return self._next(now)

    def observed(self, runners: Iterable[str], now: float) -> list[Effect]:
        """The node told what is in its memory: others may use it too."""
        if not self.rules.served:
            there = set(runners)
            used = {turn.ticket.runner for turn in self._running.values()} | {self._loading}
            kept = {name: until for name, until in self._resident.items() if name in there or name in used}
            new = {name: now + self.rules.keep[name] for name in self.rules.slots if name in there - kept.keys()}
            self._resident = kept | new
        return self._next(now)

    def wake(self, now: float) -> list[Effect]:
        """Time has passed."""
        return self._next(now)

    # --- decisions

    def _next(self, now: float) -> list[Effect]:
        self._expire(now)
        effects: list[Effect] = []
        if self._ahead and self._loading and self._is_wanted_else():
            effects.append(Drop(self._loading))
            self._forget(self._loading)
        while (ticket := self._choose(now)) is not None:
            effects.append(self._start(ticket, now))
        if now >= self.wakes_at():
            runner = self._missing()
            self._load(runner, now, ahead=True)
            effects.append(Preload(runner))
        return effects

    def _choose(self, now: float) -> Ticket | None:
        """The ticket whose turn it is, None if all have to wait."""
        if not self._waiting:
            return None
        used = {turn.ticket.runner for turn in self._running.values()}
        here = [one for one in self._waiting if self._is_there(one.runner) and self._has_place(one)]
        first = min((one for one in self._waiting if one.runner not in self._resident), key=_by_age, default=None)
        if gated := [one for one in here if one.id in self._gate]:
            return min(gated, key=lambda one: _aged(one, now))
        if first is None:
            return min(here, key=lambda one: _aged(one, now), default=None)
        leaving = self.room.pushed_out(tuple(self._resident), first.runner)
        if now - first.at >= self._patience(first.runner):
            here = [one for one in here if one.runner not in leaving]
        if here:
            return min(here, key=lambda one: _aged(one, now))
        free = self._has_place(first) and not self._loading and used.isdisjoint(leaving)
        return first if free else None

    def _has_place(self, ticket: Ticket) -> bool:
        at_model = sum(turn.ticket.runner == ticket.runner for turn in self._running.values())
        return at_model < self.rules.slots[ticket.runner] and (ticket.aside or self.running < self.rules.parallel)

    def _is_there(self, runner: str) -> bool:
        return runner in self._resident and runner != self._loading

    def _is_wanted_else(self) -> bool:
        """Whether somebody waits who would be served, or could be loaded for, were nothing loaded ahead."""
        return any(one.runner != self._loading and not self._is_there(one.runner) for one in self._waiting)

    def _patience(self, runner: str) -> float:
        return max(PATIENCE_SECONDS, PATIENCE_LOADS * self.load_seconds(runner))

    def _missing(self) -> str:
        """The next runner to be loaded ahead, "" if none is; what would push out one before it is not."""
        for place, runner in enumerate(self.room.order):
            if runner in self._resident:
                continue
            gone = self.room.pushed_out(tuple(self._resident), runner)
            return "" if any(name in gone for name in self.room.order[:place]) else runner
        return ""

    # --- changes

    def _start(self, ticket: Ticket, now: float) -> Start:
        self._waiting.remove(ticket)
        loads = ticket.runner not in self._resident
        if loads:
            self._load(ticket.runner, now, ahead=False)
            self._gate = frozenset(one.id for one in self._waiting if one.runner == ticket.runner)
        self._resident[ticket.runner] = inf
        begins = self._loaded_at if loads else now
        self._running[ticket.id] = _Turn(ticket, now, begins + ticket.seconds)
        return Start(ticket, loads)

    def _load(self, runner: str, now: float, *, ahead: bool) -> None:
        for name in self.room.pushed_out(tuple(self._resident), runner):
            self._resident.pop(name, None)
        self._resident[runner] = inf
        self._loading, self._loaded_at, self._ahead = runner, now + self.load_seconds(runner), ahead

    def _forget(self, runner: str) -> None:
        """A model was not loaded after all."""
        self._resident.pop(runner, None)
        self._loading, self._ahead = "", False

    def _end(self, runner: str, now: float) -> None:
        """Nobody, or one less, uses a runner."""
        if self.rules.served or any(turn.ticket.runner == runner for turn in self._running.values()):
            return
        if self._loading == runner:
            self._forget(runner)
        elif self.rules.keep[runner] <= 0:
            self._resident.pop(runner, None)
        elif runner in self._resident:
            self._resident[runner] = now + self.rules.keep[runner]

    def _expire(self, now: float) -> None:
        self._resident = {name: until for name, until in self._resident.items() if until > now}

    # --- forecasts

    def forecast(self, now: float, *more: Ticket) -> dict[int, float]:
        """Seconds until each that waits, and some more that would come now, can begin to be answered.

        It is what this schedule would do were every guess right, in the order in which they would begin.
        """
        turns = self._foreseen(now, more)
        begins = {turn.ticket.id: turn.ends - turn.ticket.seconds - now for turn in turns}
        last = max((turn.ends - now for turn in turns), default=0.0)
        if behind := self._waiting[_FORESEEN:]:
            for ticket in (*behind, *more):
                begins[ticket.id] = last
                last += ticket.seconds / self.rules.parallel
        return {identity: max(0.0, seconds) for identity, seconds in begins.items()}

    def line(self, now: float) -> list[int]:
        """The ids of those that wait, in the order in which their turns will probably come; aside ones left out."""
        foreseen = [turn.ticket.id for turn in self._foreseen(now) if not turn.ticket.aside]
        here = {ticket.id for ticket in self._waiting}
        ahead = [identity for identity in foreseen if identity in here]
        return ahead + [one.id for one in self._waiting if not one.aside and one.id not in set(ahead)]

    def free_in(self, now: float) -> float:
        """Seconds until a place in the line is likely to be free: until the next of those that wait has its turn."""
        return min((turn.began - now for turn in self._foreseen(now) if not turn.ticket.aside), default=0.0)

    def _foreseen(self, now: float, more: Sequence[Ticket] = ()) -> list[_Turn]:
        """The turns to come, in their order: all that wait are served, by a copy of this that is not told of more."""
        mirror = Schedule(self.rules, self.room, self.load_seconds)
        mirror._resident, mirror._running = dict(self._resident), dict(self._running)
        mirror._waiting, mirror._gate = [*self._waiting[:_FORESEEN], *more], self._gate
        mirror._loading, mirror._loaded_at, mirror._ahead = self._loading, self._loaded_at, self._ahead
        return mirror._run_out(now)

    def _run_out(self, now: float) -> list[_Turn]:
        turns: list[_Turn] = []
        number = itertools.count()
        events: list[tuple[float, int, str, int]] = []

        def put(at: float, loaded: str, over: int) -> None:
            heapq.heappush(events, (at, next(number), loaded, over))

        for identity, turn in self._running.items():
            put(max(turn.ends, now + _OVERRUN * (now - turn.began)), "", identity)
        if self._loading:
            put(max(self._loaded_at, now), self._loading, 0)
        effects, at = self._next(now), now
        while True:
            for effect in effects:
                if isinstance(effect, Start):
                    turn = self._running[effect.ticket.id]
                    turns.append(turn)
                    if effect.loads:
                        put(self._loaded_at, effect.ticket.runner, 0)
                    put(turn.ends, "", effect.ticket.id)
            if not self._waiting or not events:
                return turns
            at, _, loaded, over = heapq.heappop(events)
            effects = self.loaded(loaded, at) if loaded else self.leave(over, at)


def _by_age(ticket: Ticket) -> tuple[float, int]:
    return ticket.at, ticket.id


def _aged(ticket: Ticket, now: float) -> tuple[float, float, int]:
    """What a ticket is served by: its work, less what its waiting makes up for."""
    return ticket.seconds - _AGEING * (now - ticket.at), ticket.at, ticket.id
