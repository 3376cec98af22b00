"""The schedule of a node: whose turn it is, by rules that hold whatever happens."""

import random
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from benchmarks.schedule import card, loaded_first, picked, scheduled, seed_card, starving, trace
from inference.profile import load
from inference.schedule import (
    PATIENCE_SECONDS,
    QUIET_SECONDS,
    Drop,
    Effect,
    Preload,
    Rules,
    Schedule,
    Start,
    Ticket,
)

# Units that each runner takes, of so many that there are.
SIZES: Mapping[str, int] = {"small": 2, "middle": 4, "large": 6, "vectors": 1}
ROOM = 7
LOAD_SECONDS = 3.0


class Shelf:
    """A room by sums: what was loaded first goes first."""

    def __init__(self, order: Sequence[str] = ()) -> None:
        self.order = order

    def pushed_out(self, resident: Sequence[str], runner: str) -> tuple[str, ...]:
        left = [name for name in resident if name != runner]
        gone = []
        while left and sum(SIZES[name] for name in (*left, runner)) > ROOM:
            gone.append(left.pop(0))
        return tuple(gone)


def schedule(order: Sequence[str] = (), **more: Any) -> Schedule:
    facts: dict[str, Any] = {"parallel": 1, "queue": 8, "slots": dict.fromkeys(SIZES, 1)}
    facts |= {"keep": dict.fromkeys(SIZES, inf)} | more
    return Schedule(Rules(**facts), Shelf(order), lambda _: LOAD_SECONDS)


class Play:
    """A schedule with a clock, on which requests are named by a letter."""

    def __init__(self, order: Sequence[str] = (), **more: Any) -> None:
        self.schedule = schedule(order, **more)
        self.now = 0.0
        self.names: dict[int, str] = {}
        self.log: list[str] = []

    def come(self, name: str, runner: str, seconds: float = 5.0, *, aside: bool = False) -> list[str]:
        identity = len(self.names) + 1
        self.names[identity] = name
        return self._say(self.schedule.arrive(Ticket(identity, runner, self.now, seconds, aside), self.now))

    def go(self, name: str) -> list[str]:
        identity = next(identity for identity, one in self.names.items() if one == name)
        return self._say(self.schedule.leave(identity, self.now))

    def loaded(self, runner: str) -> list[str]:
        return self._say(self.schedule.loaded(runner, self.now))

    def wait(self, seconds: float) -> list[str]:
        self.now += seconds
        return self._say(self.schedule.wake(self.now))

    def _say(self, effects: Iterable[Effect]) -> list[str]:
        said = []
        for effect in effects:
            match effect:
                case Start(ticket, loads):
                    said.append(self.names[ticket.id] + "+" * loads)
                case Preload(runner):
                    said.append(f"preload {runner}")
                case Drop(runner):
                    said.append(f"drop {runner}")
        self.log += said
        return said

    def there(self) -> tuple[str, ...]:
        return self.schedule.resident(self.now)


def test_the_first_loads_its_model_and_the_next_finds_it() -> None:
    play = Play()
    assert play.come("a", "small") == ["a+"]
    assert play.there() == (), "it is not there while it is loaded"
    assert play.loaded("small") == []
    assert play.there() == ("small",)
    assert play.go("a") == []
    assert play.come("b", "small") == ["b"]


def test_who_finds_its_model_there_goes_first_and_the_shorter_before_the_longer() -> None:
    play = Play()
    play.come("a", "middle")
    play.loaded("middle")
    assert play.come("far", "large", 1.0) == []
    assert play.come("long", "middle", 9.0) == []
    assert play.come("short", "middle", 2.0) == []
    assert play.schedule.line(play.now) == [4, 3, 2]
    assert play.go("a") == ["short"]
    assert play.go("short") == ["long"]
    assert play.go("long") == ["far+"]


def test_a_second_of_waiting_makes_up_for_work() -> None:
    play = Play()
    play.come("a", "small")
    play.loaded("small")
    play.come("long", "small", 6.0)
    play.now += 15
    play.come("short", "small", 2.0)
    assert play.go("a") == ["long"]


def test_nobody_passes_a_request_that_has_waited_long_enough() -> None:
    play = Play()
    play.come("a", "middle")
    play.loaded("middle")
    play.come("far", "large")
    play.now += PATIENCE_SECONDS - 0.1
    play.come("b", "middle")
    assert play.go("a") == ["b"]
    play.now += 0.2
    play.come("c", "middle")
    assert play.go("b") == ["far+"]
    assert play.there() == ()


def test_who_does_not_have_to_go_for_it_may_still_pass() -> None:
    play = Play(parallel=1)
    for name, runner in (("a", "small"), ("b", "middle")):
        play.come(name, runner)
        play.loaded(runner)
        play.go(name)
    play.come("c", "middle")
    play.come("far", "vectors")
    play.now += PATIENCE_SECONDS + 1
    play.come("d", "small")
    # 2 + 4 + 1 have room: nothing has to go.
    assert play.go("c") == ["d"]


def test_those_that_waited_for_a_model_are_served_before_it_goes_again() -> None:
    play = Play()
    play.come("a", "middle")
    play.loaded("middle")
    for name in ("far 1", "far 2"):
        play.come(name, "large", 5.0)
    play.now += PATIENCE_SECONDS + 1
    play.come("b", "middle", 1.0)
    assert play.go("a") == ["far 1+"]
    play.loaded("large")
    play.come("late", "large", 1.0)
    play.now += PATIENCE_SECONDS + 1
    assert play.go("far 1") == ["far 2"], "it is of the gate"
    assert play.go("far 2") == ["b+"], "one that came behind the gate is not"


def test_only_one_model_is_loaded_at_a_time() -> None:
    play = Play(parallel=3)
    assert play.come("a", "small") == ["a+"]
    assert play.come("b", "middle") == []
    assert play.come("c", "small") == [], "its model is not there yet"
    assert play.loaded("small") == ["b+"]
    assert play.loaded("middle") == []
    assert play.go("a") == ["c"]


def test_a_model_in_use_is_not_pushed_out() -> None:
    play = Play(parallel=3)
    play.come("a", "middle")
    play.loaded("middle")
    assert play.come("far", "large") == []
    assert play.go("a") == ["far+"]


def test_a_model_takes_no_more_than_its_slots() -> None:
    play = Play(parallel=4, slots={"small": 2, "middle": 1, "large": 1, "vectors": 1})
    play.come("a", "small")
    play.loaded("small")
    assert [play.come(name, "small") for name in "bcd"] == [["b"], [], []]
    assert play.go("a") == ["c"]


def test_what_is_aside_takes_no_place_but_loads_in_its_turn() -> None:
    play = Play(slots=dict.fromkeys(SIZES, 9))
    play.come("a", "small")
    assert play.come("v", "vectors", aside=True) == []
    assert play.loaded("small") == ["v+"]
    assert (play.schedule.running, play.schedule.waiting) == (1, 0)
    play.loaded("vectors")
    assert play.come("w", "vectors", aside=True) == ["w"]


def test_one_that_leaves_while_its_model_is_loaded_leaves_nothing_behind() -> None:
    play = Play()
    play.come("a", "small")
    play.come("b", "small")
    assert play.go("a") == ["b+"]


def test_a_model_without_users_goes_when_its_time_is_over() -> None:
    play = Play(keep={"small": 30.0, "middle": 0.0, "large": inf, "vectors": inf})
    play.come("a", "small")
    play.loaded("small")
    play.now += 100
    assert play.there() == ("small",)
    play.go("a")
    play.now += 29
    assert play.there() == ("small",)
    play.now += 2
    assert play.come("b", "small") == ["b+"]
    play.loaded("small")
    play.go("b")
    play.come("c", "middle")
    play.loaded("middle")
    assert play.go("c") == []
    assert play.there() == ("small",)


# --- loading ahead


def test_what_is_to_stay_is_loaded_again_in_its_order_once_it_is_quiet() -> None:
    play = Play(("middle", "small"))
    assert play.schedule.wakes_at() == inf, "nothing is loaded before there was a request"
    play.come("deep", "large")
    play.loaded("large")
    play.go("deep")
    assert play.schedule.wakes_at() == play.now + QUIET_SECONDS
    assert play.wait(QUIET_SECONDS - 0.1) == []
    assert play.wait(0.2) == ["preload middle"]
    assert play.there() == ()
    assert play.loaded("middle") == ["preload small"]
    assert play.loaded("small") == []
    assert play.there() == ("middle", "small")
    assert play.schedule.wakes_at() == inf


def test_who_comes_for_another_model_does_not_wait_for_what_is_loaded_ahead() -> None:
    play = Play(("middle",))
    play.come("deep", "large")
    play.loaded("large")
    play.go("deep")
    play.wait(QUIET_SECONDS)
    assert play.come("a", "large") == ["drop middle", "a+"]
    play.loaded("large")
    play.go("a")
    play.wait(QUIET_SECONDS)
    assert play.come("b", "middle") == [], "it is just what is being loaded"
    assert play.loaded("middle") == ["b"]


def test_what_could_not_be_loaded_ahead_is_not_tried_again_at_once() -> None:
    play = Play(("middle",))
    play.come("a", "small")
    play.loaded("small")
    play.go("a")
    assert play.wait(QUIET_SECONDS) == ["preload middle"]
    play.schedule.not_loaded("middle", play.now)
    assert play.wait(30) == []
    assert play.wait(31) == ["preload middle"]


def test_nothing_is_loaded_ahead_that_would_push_out_what_comes_before_it() -> None:
    play = Play(("middle", "large"))
    play.come("a", "middle")
    play.loaded("middle")
    play.go("a")
    assert play.wait(3600) == []
    assert Play(("middle",), preload=False).schedule.wakes_at() == inf


def test_a_node_that_serves_what_it_has_loads_nothing() -> None:
    play = Play(("middle",), served=True)
    assert play.there() == tuple(SIZES)
    assert play.come("a", "large") == ["a"]
    play.go("a")
    assert play.wait(3600) == []


def test_the_node_tells_what_is_there() -> None:
    play = Play(parallel=2)
    play.come("a", "small")
    play.loaded("small")
    play.schedule.observed(["middle"], play.now)
    assert set(play.there()) == {"small", "middle"}, "what is in use is there, whatever was told"
    play.go("a")
    play.schedule.observed(["middle"], play.now)
    assert play.there() == ("middle",)


# --- forecasts


def test_a_forecast_is_what_happens_when_every_guess_is_right() -> None:
    for seed in range(60):
        dice = random.Random(seed)
        play = Play(parallel=dice.choice((1, 1, 2)), queue=100)
        for n in range(dice.randint(1, 12)):
            play.come(str(n), dice.choice(("small", "middle", "large")), dice.uniform(1, 9))
        foreseen = play.schedule.forecast(play.now)
        line = play.schedule.line(play.now)
        assert sorted(line) == sorted(foreseen)
        begun = _played_out(play)
        assert foreseen == pytest.approx({identity: begun[identity] for identity in foreseen})
        assert line == list(begun), "in the order of their turns"


def _played_out(play: Play) -> dict[int, float]:
    """When each of those that wait begins to be answered, in seconds from now, all guesses being right."""
    begun: dict[int, float] = {}
    state = play.schedule
    events = [(turn.ends, "", identity) for identity, turn in state._running.items()]
    if state.loading:
        events.append((state._loaded_at, state.loading, 0))
    start = play.now
    while events:
        events.sort()
        play.now, runner, identity = events.pop(0)
        for effect in state.loaded(runner, play.now) if runner else state.leave(identity, play.now):
            assert isinstance(effect, Start)
            at = play.now + LOAD_SECONDS * effect.loads
            begun[effect.ticket.id] = at - start
            events.append((at + effect.ticket.seconds, "", effect.ticket.id))
            if effect.loads:
                events.append((at, effect.ticket.runner, 0))
    return begun


def test_a_forecast_changes_nothing_and_reaches_beyond_what_it_looks_at() -> None:
    play = Play(queue=1000)
    for n in range(200):
        play.come(str(n), ("small", "large")[n % 2], 2.0)
    before = repr(vars(play.schedule) | {"room": None, "load_seconds": None})
    ready = play.schedule.forecast(play.now, Ticket(0, "small", play.now, 2.0))
    assert len(ready) == 200
    assert ready[0] == max(ready.values()) > 300
    assert len(play.schedule.line(play.now)) == 199
    assert repr(vars(play.schedule) | {"room": None, "load_seconds": None}) == before


def test_a_place_is_free_when_the_next_one_begins() -> None:
    play = Play(queue=1)
    assert not play.schedule.full
    play.come("a", "small", 20.0)
    play.loaded("small")
    assert play.schedule.free_in(play.now) == 0.0
    play.come("b", "small", 20.0)
    assert play.schedule.full
    play.now += 5
    assert play.schedule.free_in(play.now) == 15.0
    play.now += 55
    assert play.schedule.free_in(play.now) == 15.0, "it took three times as long as was thought"


# --- whatever happens


class Anything(RuleBasedStateMachine):
    """Requests come and go, models are loaded and told of, and time passes, in any order."""

    @initialize(
        parallel=st.integers(1, 3),
        slots=st.integers(1, 2),
        keep=st.sampled_from([0.0, 8.0, inf]),
        order=st.sampled_from([(), ("middle", "small"), ("small", "middle", "vectors"), ("large", "middle")]),
    )
    def begin(self, parallel: int, slots: int, keep: float, order: tuple[str, ...]) -> None:
        keeps = dict.fromkeys(SIZES, inf) | {"large": keep}
        self.state = schedule(order, parallel=parallel, slots=dict.fromkeys(SIZES, slots), keep=keeps, queue=50)
        self.now = 0.0
        self.tickets: dict[int, Ticket] = {}
        self.running: dict[int, Ticket] = {}
        self.waits: dict[int, float] = {}
        self.loading: str = ""
        self.ahead = False

    def take(self, effects: list[Effect]) -> None:
        used = {one.runner for one in self.running.values()}
        for effect in effects:
            match effect:
                case Drop(runner):
                    assert (self.ahead, self.loading) == (True, runner)
                    self.loading, self.ahead = "", False
                case Preload(runner):
                    assert not self.running
                    assert not self.tickets
                    assert not self.loading
                    self.loading, self.ahead = runner, True
                case Start(ticket, loads):
                    del self.tickets[ticket.id]
                    if loads:
                        assert not self.loading, "one load at a time"
                        gone = set(self.state.room.pushed_out((*used,), ticket.runner))
                        assert not gone & used, "nothing in use goes"
                        self.loading, self.ahead = ticket.runner, False
                    else:
                        assert self.loading != ticket.runner
                    self.running[ticket.id] = ticket
                    used.add(ticket.runner)

    @rule(runner=st.sampled_from(list(SIZES)), seconds=st.floats(0.1, 20))
    def comes(self, runner: str, seconds: float) -> None:
        aside = runner == "vectors"
        identity = len(self.tickets) + len(self.running) + len(self.waits) + 1
        while identity in self.tickets or identity in self.running:
            identity += 1
        ticket = Ticket(identity, runner, self.now, seconds, aside)
        self.tickets[identity] = ticket
        self.take(self.state.arrive(ticket, self.now))

    @precondition(lambda self: self.tickets or self.running)
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        identity = data.draw(st.sampled_from(sorted({**self.tickets, **self.running})))
        one = self.running.pop(identity, None) or self.tickets.pop(identity)
        if (
            self.loading == one.runner
            and not self.ahead
            and not any(other.runner == one.runner for other in self.running.values())
        ):
            self.loading = ""
        self.take(self.state.leave(identity, self.now))

    @precondition(lambda self: self.loading)
    @rule()
    def is_loaded(self) -> None:
        runner, self.loading, self.ahead = self.loading, "", False
        self.take(self.state.loaded(runner, self.now))

    @precondition(lambda self: self.loading and self.ahead)
    @rule()
    def is_not_loaded(self) -> None:
        runner, self.loading, self.ahead = self.loading, "", False
        self.take(self.state.not_loaded(runner, self.now))

    @rule(there=st.sets(st.sampled_from(list(SIZES))))
    def is_told(self, there: set[str]) -> None:
        self.take(self.state.observed(there, self.now))

    @rule(seconds=st.floats(0, 30))
    def waits_for(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.state.wake(self.now))

    @invariant()
    def bounds_hold(self) -> None:
        if not hasattr(self, "state"):
            return
        chats = [one for one in self.running.values() if not one.aside]
        assert len(chats) == self.state.running <= self.state.rules.parallel
        for runner, slots in self.state.rules.slots.items():
            assert sum(one.runner == runner for one in self.running.values()) <= slots
        assert self.state.waiting == sum(not one.aside for one in self.tickets.values())
        assert self.state.loading == self.loading

    @invariant()
    def somebody_is_served_if_anybody_waits(self) -> None:
        if hasattr(self, "state") and self.tickets:
            assert self.running or self.loading

    def teardown(self) -> None:
        """Everybody is served in the end."""
        if not hasattr(self, "state"):
            return
        for _ in range(10 * (len(self.tickets) + len(self.running)) + 10):
            if self.loading:
                self.is_loaded()
            elif self.running:
                identity = min(self.running)
                del self.running[identity]
                self.now += 1
                self.take(self.state.leave(identity, self.now))
        assert not self.tickets
        assert not self.running


Anything.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnything = Anything.TestCase


# --- what it is for: simulated, as `benchmarks/schedule.py` says


def test_the_default_profile_loads_and_misses_far_less_than_the_first_recommendation() -> None:
    first, ours = [], []
    for seed in range(6):
        requests = trace(seed, 200, 10)
        first.append(picked(seed_card(), requests, lambda waiting, *_: waiting[0]))
        ours.append(scheduled(card(load("rtx3080")), requests))
    assert sum(one.loads for one in ours) <= 0.42 * sum(one.loads for one in first)
    assert sum(one.missed for one in ours) <= 0.4 * sum(one.missed for one in first)


def test_declared_substitutes_spare_the_first_recommendation_its_loads() -> None:
    seeds = card(load("rtx3080-seed"))
    first, ours = [], []
    for seed in range(3):
        requests = trace(seed, 200, 20)
        first.append(picked(seed_card(), requests, lambda waiting, *_: waiting[0]))
        ours.append(scheduled(seeds, requests))
    assert sum(one.loads for one in ours) <= 0.4 * sum(one.loads for one in first)


def test_a_request_for_another_model_is_not_starved() -> None:
    begun = {name: seconds for name, seconds, _ in starving(card(load("rtx3080-seed")))}
    assert begun["loaded first"] > 200
    assert begun["the schedule"] <= 30


def test_waits_are_hardly_longer_than_with_the_loaded_model_first() -> None:
    default = card(load("rtx3080"))
    for every in (20, 10):
        requests = [trace(seed, 200, every) for seed in range(6)]
        plain = sum(picked(default, one, loaded_first).mean for one in requests)
        assert sum(scheduled(default, one).mean for one in requests) <= 1.1 * plain
