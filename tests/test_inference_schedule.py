"""The line before a node: bounded, in order, and whole whoever is cancelled."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from inference.node import NodeBusy
from inference.schedule import NodeQueue


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Visit:
    """One request: notes its places, runs until it is let go."""

    def __init__(self, queue: NodeQueue, name: str = "", log: list[str] | None = None) -> None:
        self.places: list[int] = []
        self.name = name
        self.log = log if log is not None else []
        self.go = asyncio.Event()
        self.running = False
        self.task = asyncio.create_task(self._visit(queue))

    async def _visit(self, queue: NodeQueue) -> None:
        async with queue.place(self.places.append):
            self.running = True
            self.log.append(self.name)
            await self.go.wait()
        self.running = False


def test_those_that_wait_are_served_in_order_and_told_their_place() -> None:
    async def test() -> None:
        queue, log = NodeQueue(1, 3), list[str]()
        visits = [Visit(queue, name, log) for name in "abcd"]
        await settle()
        assert (queue.running, queue.waiting) == (1, 3)
        assert [visit.places for visit in visits] == [[], [1], [2], [3]]
        for visit in visits:
            visit.go.set()
            await settle()
        assert log == list("abcd")
        assert [visit.places for visit in visits] == [[], [1], [2, 1], [3, 2, 1]]
        assert (queue.running, queue.waiting) == (0, 0)

    run(test)


def test_a_full_line_refuses_the_next_one_and_says_when_to_come_back() -> None:
    async def test() -> None:
        now = [100.0]
        queue = NodeQueue(1, 1, clock=lambda: now[0])
        first, second = Visit(queue), Visit(queue)
        await settle()
        now[0] += 4
        with pytest.raises(NodeBusy) as caught:
            async with queue.place():
                pytest.fail("there was no place")
        assert caught.value.code == "busy"
        assert caught.value.retry_after == pytest.approx(6.0), "10 s are guessed at first, 4 have passed"
        assert caught.value.hint
        first.go.set()
        await settle()
        third = Visit(queue)
        await settle()
        assert third.places == [1]
        second.go.set()
        third.go.set()
        await settle()

    run(test)


def test_the_estimate_follows_how_long_requests_last() -> None:
    async def test() -> None:
        now = [0.0]
        queue = NodeQueue(1, 0, clock=lambda: now[0])
        for _ in range(20):
            async with queue.place():
                now[0] += 40
        async with queue.place():
            now[0] += 15
            assert queue.retry_after() == pytest.approx(25, rel=0.05)
            now[0] += 100
            assert queue.retry_after() == 1.0, "late is not never"

    run(test)


def test_what_fails_at_once_does_not_make_the_estimate_short() -> None:
    async def test() -> None:
        now = [0.0]
        queue = NodeQueue(1, 0, clock=lambda: now[0])
        for _ in range(20):
            with pytest.raises(ValueError, match="broken"):
                async with queue.place():
                    raise ValueError("broken")
        assert queue.retry_after() == 10.0

    run(test)


def test_no_waiting_places_means_refused_at_once() -> None:
    async def test() -> None:
        queue = NodeQueue(1, 0)
        first = Visit(queue)
        await settle()
        with pytest.raises(NodeBusy):
            await queue.place().__aenter__()
        first.go.set()
        await first.task
        async with queue.place():
            assert queue.running == 1

    run(test)


def test_one_that_is_cancelled_while_it_waits_leaves_no_hole() -> None:
    async def test() -> None:
        queue, log = NodeQueue(1, 3), list[str]()
        visits = [Visit(queue, name, log) for name in "abcd"]
        await settle()
        visits[1].task.cancel()
        await settle()
        assert queue.waiting == 2
        assert [visit.places for visit in visits] == [[], [1], [2, 1], [3, 2]]
        late = Visit(queue, "e", log)
        await settle()
        assert late.places == [3]
        for visit in (visits[0], visits[2], visits[3], late):
            visit.go.set()
            await settle()
        assert log == list("acde")

    run(test)


def test_one_that_is_cancelled_while_it_runs_frees_its_slot() -> None:
    async def test() -> None:
        queue = NodeQueue(1, 1)
        first, second = Visit(queue), Visit(queue)
        await settle()
        first.task.cancel()
        await settle()
        assert second.running
        second.task.cancel()
        await settle()
        assert (queue.running, queue.waiting) == (0, 0)

    run(test)


def test_a_slot_given_to_one_that_is_cancelled_in_that_moment_goes_to_the_next() -> None:
    async def test() -> None:
        queue = NodeQueue(1, 2)
        first, second, third = Visit(queue), Visit(queue), Visit(queue)
        await settle()
        first.go.set()
        while queue.waiting == 2:  # noqa: ASYNC110 - the moment itself is what is tested
            await asyncio.sleep(0)
        second.task.cancel()
        await settle()
        assert not second.running
        assert third.running
        third.go.set()
        await settle()
        assert (queue.running, queue.waiting) == (0, 0)

    run(test)


def test_a_listener_that_fails_ends_its_own_request_only() -> None:
    async def test() -> None:
        queue = NodeQueue(1, 3)
        first, second = Visit(queue), Visit(queue)
        await settle()

        def broken(place: int) -> None:
            if place == 1:
                raise ValueError("broken listener")

        async def visit() -> None:
            async with queue.place(broken):
                pytest.fail("it must not run")

        third = asyncio.create_task(visit())
        await settle()
        fourth = Visit(queue)
        await settle()
        first.go.set()
        await settle()
        with pytest.raises(ValueError, match="broken listener"):
            await third
        second.go.set()
        await settle()
        assert fourth.running
        fourth.go.set()
        await settle()

    run(test)


@pytest.mark.parametrize("seed", range(30))
def test_never_more_run_than_allowed_and_none_is_lost_in_any_disorder(seed: int) -> None:
    async def test() -> None:
        dice = random.Random(seed)
        parallel, waiting = dice.randint(1, 3), dice.randint(0, 4)
        queue = NodeQueue(parallel, waiting)
        running = most = served = refused = 0

        async def visit() -> None:
            nonlocal running, most, served, refused
            try:
                async with queue.place():
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
            tasks.append(asyncio.create_task(visit()))
            if dice.random() < 0.4:
                dice.choice(tasks).cancel()
            if dice.random() < 0.7:
                await asyncio.sleep(0)
            assert queue.waiting <= waiting
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= parallel
        assert (queue.running, queue.waiting, running) == (0, 0, 0)
        assert served > 0
        for _ in range(parallel):
            await queue.place().__aenter__()
        assert queue.running == parallel, "every slot came back"

    run(test)


def test_it_tells_when_one_that_comes_now_is_likely_to_run() -> None:
    async def test() -> None:
        now = [100.0]
        queue = NodeQueue(2, 3, clock=lambda: now[0])
        assert (queue.eta(), queue.full) == (0.0, False)
        first = Visit(queue)
        await settle()
        assert queue.eta() == 0.0, "one slot is free"
        now[0] += 4
        visits = [first, Visit(queue)]
        await settle()
        assert queue.eta() == 6.0, "the first guess is ten seconds, and four of them are over"
        etas = []
        for _ in range(3):
            visits.append(Visit(queue))
            await settle()
            etas.append(queue.eta())
        assert etas == [10.0, 16.0, 20.0], "places come free at 6, 10, 16, 20"
        assert queue.full
        now[0] += 60
        assert queue.eta() == 10.0, "one that lasts longer than most may be done at any moment"
        for visit in visits:
            visit.go.set()
            await settle()
        assert (queue.eta(), queue.full) == (0.0, False)

    run(test)
