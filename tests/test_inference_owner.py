"""The owner of a node: turns in order and within bounds, whole whoever is cancelled, and quiet when it is closed."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from math import inf

import pytest

from inference.node import NodeBusy, UpstreamFault
from inference.owner import Owner
from inference.schedule import QUIET_SECONDS, Rules, Schedule
from tests.ollama_machine import HandClock, settle


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()
            await settle()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "nothing is left running"

    asyncio.run(bounded())


class Pair:
    """A room in which `small` and `large` never are together, and `large` is to stay."""

    order = ("large",)

    def pushed_out(self, resident: object, runner: str) -> tuple[str, ...]:
        return ("large",) if runner == "small" else ("small",)


class Stage:
    """An owner by a clock that is moved by hand, and what it loaded ahead."""

    def __init__(self, parallel: int = 1, queue: int = 8, *, slots: int = 0, preload: bool = False) -> None:
        self.clock = HandClock()
        slotted = dict.fromkeys(("small", "large"), slots or parallel)
        rules = Rules(parallel, queue, slotted, dict.fromkeys(slotted, inf), preload=preload)
        self.ahead: list[str] = []
        self.fault: Exception | None = None
        schedule = Schedule(rules, Pair(), lambda _: 3.0)
        self.owner = Owner(schedule, self._load, clock=self.clock.now, sleep=self.clock.sleep)

    async def _load(self, runner: str) -> None:
        self.ahead.append(f"{runner}?")
        try:
            await self.clock.sleep(3.0)
        except asyncio.CancelledError:
            self.ahead.append(f"{runner} dropped")
            raise
        if self.fault is not None:
            raise self.fault
        self.ahead.append(runner)


class Visit:
    """One request: notes its places, runs until it is let go."""

    def __init__(self, stage: Stage, name: str = "", log: list[str] | None = None, runner: str = "small") -> None:
        self.places: list[int] = []
        self.name = name
        self.log = log if log is not None else []
        self.go = asyncio.Event()
        self.running, self.loads = False, False
        self.task = asyncio.create_task(self._visit(stage.owner, runner))

    async def _visit(self, owner: Owner, runner: str) -> None:
        async with owner.turn(runner, 5.0, self.places.append) as self.loads:
            owner.loaded(runner)
            self.running = True
            self.log.append(self.name)
            await self.go.wait()
        self.running = False


async def end(*visits: Visit) -> None:
    for visit in visits:
        visit.go.set()
        await settle()


def test_those_that_wait_are_served_in_order_and_told_their_place() -> None:
    async def test() -> None:
        stage, log = Stage(), list[str]()
        visits = [Visit(stage, name, log) for name in "abcd"]
        await settle()
        schedule = stage.owner.schedule
        assert (schedule.running, schedule.waiting) == (1, 3)
        assert [visit.places for visit in visits] == [[], [1], [2], [3]]
        await end(*visits)
        assert log == list("abcd")
        assert [visit.places for visit in visits] == [[], [1], [2, 1], [3, 2, 1]]
        assert not stage.owner.is_busy

    run(test)


def test_it_tells_whether_the_model_must_be_loaded_as_far_as_that_is_known() -> None:
    async def test() -> None:
        stage = Stage()
        assert (stage.owner.load_seconds("small"), stage.owner.has_seen) == (0.0, False)
        for runner, loads in (("small", False), ("small", False), ("large", True), ("small", True)):
            visit = Visit(stage, runner=runner)
            await settle()
            assert visit.loads == loads
            await end(visit)
        assert (stage.owner.load_seconds("small"), stage.owner.load_seconds("large")) == (0.0, 3.0)
        stage.owner.observed(["large"])
        assert (stage.owner.load_seconds("small"), stage.owner.load_seconds("large")) == (3.0, 0.0)

    run(test)


def test_it_is_sure_of_what_it_knows_for_a_minute_and_until_it_is_in_doubt() -> None:
    async def test() -> None:
        stage = Stage()
        assert not stage.owner.is_sure
        stage.owner.observed(["small"])
        assert stage.owner.is_sure
        await stage.clock.advance(61)
        assert not stage.owner.is_sure
        stage.owner.observed([])
        stage.owner.doubt()
        assert not stage.owner.is_sure
        stage.owner.not_told()
        assert stage.owner.is_sure, "it is not asked again at once"
        await stage.clock.advance(11)
        assert not stage.owner.is_sure

    run(test)


def test_a_full_line_refuses_the_next_one_and_says_when_to_come_back() -> None:
    async def test() -> None:
        stage = Stage(queue=1)
        first, second = Visit(stage), Visit(stage)
        await settle()
        await stage.clock.advance(2)
        with pytest.raises(NodeBusy) as caught:
            async with stage.owner.turn("small", 5.0):
                pytest.fail("there was no place")
        assert caught.value.code == "busy"
        assert caught.value.retry_after == pytest.approx(3.0)
        assert caught.value.hint
        await end(first)
        third = Visit(stage)
        await settle()
        assert third.places == [1]
        await end(second, third)

    run(test)


def test_no_waiting_places_means_refused_at_once() -> None:
    async def test() -> None:
        stage = Stage(queue=0)
        first = Visit(stage)
        await settle()
        with pytest.raises(NodeBusy):
            await stage.owner.turn("small", 5.0).__aenter__()
        await end(first)
        async with stage.owner.turn("small", 5.0):
            assert stage.owner.schedule.running == 1

    run(test)


def test_who_is_aside_waits_behind_nobody_and_counts_for_nobody() -> None:
    async def test() -> None:
        stage = Stage(queue=0, slots=9)
        first = Visit(stage)
        await settle()
        async with stage.owner.turn("small", 0.1, aside=True):
            assert stage.owner.schedule.running == 1
        await end(first)

    run(test)


def test_one_that_is_cancelled_while_it_waits_leaves_no_hole() -> None:
    async def test() -> None:
        stage, log = Stage(queue=3), list[str]()
        visits = [Visit(stage, name, log) for name in "abcd"]
        await settle()
        visits[1].task.cancel()
        await settle()
        assert stage.owner.schedule.waiting == 2
        assert [visit.places for visit in visits] == [[], [1], [2, 1], [3, 2]]
        late = Visit(stage, "e", log)
        await settle()
        assert late.places == [3]
        await end(visits[0], visits[2], visits[3], late)
        assert log == list("acde")

    run(test)


def test_one_that_is_cancelled_while_it_runs_frees_its_slot() -> None:
    async def test() -> None:
        stage = Stage(queue=1)
        first, second = Visit(stage), Visit(stage)
        await settle()
        first.task.cancel()
        await settle()
        assert second.running
        second.task.cancel()
        await settle()
        assert not stage.owner.is_busy

    run(test)


def test_a_turn_given_to_one_that_is_cancelled_in_that_moment_goes_to_the_next() -> None:
    async def test() -> None:
        stage = Stage(queue=2)
        first, second, third = Visit(stage), Visit(stage), Visit(stage)
        await settle()
        first.go.set()
        while stage.owner.schedule.waiting == 2:  # noqa: ASYNC110 - the moment itself is what is tested
            await asyncio.sleep(0)
        second.task.cancel()
        await settle()
        assert not second.running
        assert third.running
        await end(third)
        assert not stage.owner.is_busy

    run(test)


def test_a_listener_that_fails_ends_its_own_request_only() -> None:
    async def test() -> None:
        stage = Stage()
        first, second = Visit(stage), Visit(stage)
        await settle()

        def broken(place: int) -> None:
            if place == 1:
                raise ValueError("broken listener")

        async def visit() -> None:
            async with stage.owner.turn("small", 5.0, broken):
                pytest.fail("it must not run")

        third = asyncio.create_task(visit())
        await settle()
        fourth = Visit(stage)
        await settle()
        await end(first)
        with pytest.raises(ValueError, match="broken listener"):
            await third
        await end(second)
        assert fourth.running
        await end(fourth)

    run(test)


@pytest.mark.parametrize("seed", range(30))
def test_never_more_run_than_allowed_and_none_is_lost_in_any_disorder(seed: int) -> None:
    async def test() -> None:
        dice = random.Random(seed)
        parallel, waiting = dice.randint(1, 3), dice.randint(0, 4)
        stage = Stage(parallel, waiting)
        running = most = served = refused = 0

        async def visit(runner: str) -> None:
            nonlocal running, most, served, refused
            try:
                async with stage.owner.turn(runner, dice.uniform(1, 9)):
                    if dice.random() < 0.8:
                        stage.owner.loaded(runner)
                    running += 1
                    most = max(most, running)
                    try:
                        for _ in range(dice.randint(0, 4)):
                            await asyncio.sleep(0)
                        if dice.random() < 0.2:
                            raise ValueError("broken")
                    finally:
                        running -= 1
                    served += 1
            except NodeBusy:
                refused += 1
            except ValueError:
                pass

        tasks = []
        for _ in range(200):
            tasks.append(asyncio.create_task(visit(dice.choice(("small", "small", "large")))))
            if dice.random() < 0.4:
                dice.choice(tasks).cancel()
            if dice.random() < 0.7:
                await asyncio.sleep(0)
            assert stage.owner.schedule.waiting <= waiting
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= parallel
        assert (stage.owner.is_busy, running) == (False, 0)
        assert served > 0
        turns = [stage.owner.turn("small", 1.0) for _ in range(parallel)]
        for turn in turns:
            await turn.__aenter__()
            stage.owner.loaded("small")
        assert stage.owner.schedule.running == parallel, "every slot came back"
        for turn in turns:
            await turn.__aexit__(None, None, None)

    run(test)


# --- loading ahead


def test_what_is_to_stay_is_loaded_while_nobody_waits_and_given_up_for_who_comes() -> None:
    async def test() -> None:
        stage = Stage(preload=True)
        visit = Visit(stage)
        await settle()
        await end(visit)
        await stage.clock.advance(QUIET_SECONDS + 1)
        assert stage.ahead == ["large?"]
        other = Visit(stage)
        await settle()
        assert (stage.ahead, other.running) == (["large?", "large dropped"], True)
        await end(other)
        await stage.clock.advance(QUIET_SECONDS + 4)
        assert stage.ahead[2:] == ["large?", "large"]
        assert stage.owner.load_seconds("large") == 0.0
        await stage.clock.advance(3600)
        assert len(stage.ahead) == 4, "there is no more to load"
        await stage.owner.close()

    run(test)


def test_a_fault_of_loading_ahead_is_no_fault_of_anybody() -> None:
    async def test() -> None:
        stage = Stage(preload=True)
        stage.fault = UpstreamFault("no")
        visit = Visit(stage)
        await settle()
        await end(visit)
        await stage.clock.advance(QUIET_SECONDS + 4)
        assert stage.ahead == ["large?"]
        assert not stage.owner.is_sure
        await stage.clock.advance(30)
        assert stage.ahead == ["large?"], "not again at once"
        stage.fault = None
        await stage.clock.advance(40)
        assert stage.ahead == ["large?", "large?", "large"]
        await stage.owner.close()

    run(test)


def test_an_owner_that_is_closed_loads_nothing_more() -> None:
    async def test() -> None:
        stage = Stage(preload=True)
        visit = Visit(stage)
        await settle()
        await end(visit)
        await stage.clock.advance(QUIET_SECONDS + 1)
        await stage.owner.close()
        assert stage.ahead == ["large?", "large dropped"]
        other = Visit(stage)
        await settle()
        await end(other)
        await stage.clock.advance(3600)
        assert len(stage.ahead) == 2

    run(test)
