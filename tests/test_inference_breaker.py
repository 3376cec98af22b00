"""The breaker: what counts against a node, when it is left alone, and how it comes back without a sacrifice."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from inference import breaker as module
from inference.breaker import CLOSED, FAILURES, HALF_OPEN, OPEN, REST_SECONDS, SILENT_SECONDS, Breaker
from inference.decision import Wanted
from inference.fleet import Fleet
from inference.node import (
    ContextTooLarge,
    InferenceError,
    ModelMissing,
    NodeBusy,
    NodeUnavailable,
    OverBudget,
    UpstreamFault,
)
from inference.profile import RunnerProfile
from tests.eventually import eventually
from tests.raw_server import END, HEAD, raw_server, status
from tests.test_inference_fleet import GOOD, HELLO, MESSAGES, Talk, chats, desk, line, run, script

BROKE = UpstreamFault("node 'desk' broke off", hint="The log says why.")
AWAY = NodeUnavailable("node 'desk' refuses connections", hint="Start it.")
DIED = (HEAD, HELLO, line({"error": "an error was encountered while running the model: unexpected EOF"}), END)


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def ask(breaker: Breaker, end: BaseException | None = None, model: str = "small", **more: Any) -> None:
    """One request that says something and ends so."""
    with suppress(InferenceError, asyncio.CancelledError), breaker.asking(model, **more) as heard:
        heard()
        if end is not None:
            raise end


def opened(clock: Clock, error: InferenceError = BROKE) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        ask(breaker, error)
    assert breaker.state == OPEN
    return breaker


# --- what counts


def test_it_opens_after_three_failures_of_a_model_in_a_row() -> None:
    breaker = Breaker(Clock())
    for end in (BROKE, BROKE, None, BROKE, BROKE):
        ask(breaker, end)
        ask(breaker, None, "large")
    assert (breaker.state, breaker.standing().failures) == (CLOSED, 2)
    ask(breaker, BROKE)
    assert (breaker.state, FAILURES) == (OPEN, 3)


def test_a_node_that_cannot_be_reached_is_left_alone_at_once() -> None:
    breaker = Breaker(Clock())
    ask(breaker, AWAY)
    assert (breaker.state, breaker.is_away, breaker.stops) == (OPEN, True, True)
    with pytest.raises(NodeUnavailable, match="refuses connections") as caught, breaker.asking("small"):
        raise AssertionError("it goes through")
    assert caught.value.hint == "Start it."


@pytest.mark.parametrize(
    "end",
    [
        ModelMissing("m"),
        OverBudget("m"),
        NodeBusy("m"),
        ContextTooLarge("m", prompt_tokens=1, num_ctx=1),
        UpstreamFault("m cannot think", by_node=False),
        asyncio.CancelledError(),
        GeneratorExit(),
    ],
    ids=lambda end: type(end).__name__,
)
def test_what_is_not_the_nodes_doing_does_not_count(end: BaseException) -> None:
    breaker = Breaker(Clock())
    for _ in range(FAILURES + 1):
        with suppress(GeneratorExit):
            ask(breaker, end)
    assert breaker.standing() == module.Standing(CLOSED, 0, "", None)


@pytest.mark.parametrize(
    ("waits", "until", "counts"),
    [
        (SILENT_SECONDS + 1, SILENT_SECONDS + 1, True),
        (SILENT_SECONDS + 1, SILENT_SECONDS + 2, False),
        (SILENT_SECONDS - 1, SILENT_SECONDS - 1, False),
    ],
    ids=["deadline", "a person's cancel", "little time was left"],
)
def test_a_deadline_counts_when_the_node_was_silent(waits: float, until: float, counts: bool) -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        with suppress(asyncio.CancelledError), breaker.asking("small", clock() + until):
            clock.now += waits
            raise asyncio.CancelledError
    assert breaker.state == (OPEN if counts else CLOSED)


def test_a_deadline_does_not_count_while_the_node_speaks() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        with suppress(asyncio.CancelledError), breaker.asking("small", clock() + 20) as heard:
            clock.now += 20
            heard()
            raise asyncio.CancelledError
    assert breaker.state == CLOSED


# --- how it comes back


def test_a_node_that_was_away_is_back_when_it_answers_a_probe() -> None:
    breaker = Breaker(Clock())
    breaker.fail("", AWAY)
    breaker.answered()
    assert breaker.standing() == module.Standing(CLOSED, 0, "", None)


def test_a_node_that_failed_at_its_work_is_tried_by_one_request() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += REST_SECONDS - 0.1
    breaker.answered()
    assert breaker.state == OPEN, "not before it has rested"
    clock.now += 0.1
    assert breaker.stops
    breaker.answered()
    assert (breaker.state, breaker.stops) == (HALF_OPEN, False)
    with breaker.asking("small") as heard:
        assert breaker.stops
        with pytest.raises(NodeUnavailable, match="left alone for a while"), breaker.asking("small"):
            raise AssertionError("a second one goes through")
        heard()
        assert (breaker.state, breaker.stops) == (CLOSED, False), "its first words are enough"
        assert breaker.standing().failures == FAILURES, "and one more failure is too much"
    assert breaker.standing() == module.Standing(CLOSED, 0, "", None)


@pytest.mark.parametrize("speaks", [True, False])
def test_a_trial_that_fails_opens_it_again(speaks: bool) -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += REST_SECONDS
    breaker.answered()
    with suppress(UpstreamFault), breaker.asking("small") as heard:
        if speaks:
            heard()
        raise BROKE
    assert (breaker.state, breaker.rest) == (OPEN, REST_SECONDS)


def test_a_trial_that_is_called_off_leaves_it_to_the_next() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += REST_SECONDS
    breaker.answered()
    for _ in range(2):
        with suppress(asyncio.CancelledError), breaker.asking("small"):
            raise asyncio.CancelledError
        assert (breaker.state, breaker.stops) == (HALF_OPEN, False)


def test_probes_are_no_failures_of_requests() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(5):
        breaker.fail("", AWAY)
    assert breaker.standing() == module.Standing(OPEN, 0, str(AWAY), REST_SECONDS)
    breaker.answered()
    assert breaker.standing() == module.Standing(CLOSED, 0, "", None)
    ask(breaker, AWAY)
    for _ in range(5):
        clock.now += REST_SECONDS
        breaker.fail("", AWAY)
    assert breaker.standing().failures == 1, "what it was asked for failed once"


def test_its_standing_is_told() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 0.5
    assert breaker.standing() == module.Standing(OPEN, FAILURES, "node 'desk' broke off", REST_SECONDS - 0.5)


# --- in the fleet


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node rests a moment only."""
    monkeypatch.setattr(module, "REST_SECONDS", 0.05)


async def breaks(fleet: Fleet, times: int = FAILURES) -> None:
    for _ in range(times):
        with pytest.raises(UpstreamFault):
            await Talk(fleet).all()


def left(fleet: Fleet) -> Sequence[str]:
    return [str(task) for task in asyncio.all_tasks() if "_probe" in repr(task.get_coro())]


def test_while_it_is_open_a_request_costs_nothing_and_goes_elsewhere() -> None:
    async def test() -> None:
        async with desk() as (server, alone), raw_server() as other:
            other.answer(*GOOD)
            base = alone.profile
            nodes = {**base.nodes, "rack": replace(base.nodes["desk"], name="rack", url=other.url)}
            second = RunnerProfile("second", "rack", "llama3.2:3b", "Q4_K_M", 8192, 1000)
            runners = {**base.runners, "second": second}
            both = replace(base, nodes=nodes, runners=runners, tiers={"fast": ("small", "second")})
            script(server, *DIED)
            fleet = Fleet(both)
            await breaks(fleet)
            asked = len(chats(server))
            assert asked == FAILURES
            took = []
            for _ in range(20):
                began = time.perf_counter()
                decision = fleet.decide(Wanted("orient"), "fast")
                took.append(time.perf_counter() - began)
                assert decision.node == "rack"
                assert "failed several times" in dict(decision.rejected)["small"]
            assert sorted(took)[10] < 0.005
            await Talk(fleet).all()
            assert (len(chats(server)), len(other.seen) > 0) == (asked, True)
            with pytest.raises(NodeUnavailable, match="failed several times"):
                fleet.decide(Wanted("orient", node="desk"), "fast")
            await fleet.close()
            assert left(fleet) == []

    run(test)


@pytest.mark.usefixtures("soon")
def test_a_node_that_comes_back_is_found_without_a_request() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            for path in ("/api/chat", "/api/version"):
                script(server, status(403), path=path)
            with pytest.raises(NodeUnavailable):
                await Talk(fleet).all()
            assert len(left(fleet)) == 1, "one for all nodes"
            asked = len(server.seen)
            await eventually(lambda: len(server.seen) > asked + 5)
            assert fleet.breakers()["desk"].state == OPEN
            script(server, status(200, {"version": "0.33.0"}), path="/api/version")
            script(server, *GOOD)
            await eventually(lambda: fleet.breakers()["desk"].state == CLOSED)
            assert len(chats(server)) == 1, "no request was sacrificed"
            await eventually(lambda: not left(fleet))
            await Talk(fleet).all()

    run(test)


@pytest.mark.usefixtures("soon")
def test_a_node_that_answers_probes_and_fails_at_its_work_is_tried_by_one_request() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b", parallel=4) as (server, fleet):
            script(server, *DIED)
            await breaks(fleet)
            script(server, 0.2, *DIED)
            await eventually(lambda: fleet.breakers()["desk"].state == HALF_OPEN)
            decision = fleet.decide(Wanted("orient"), "fast")
            tried = [asyncio.create_task(asked(fleet, decision)) for _ in range(4)]
            await eventually(lambda: len(chats(server)) > FAILURES)
            with pytest.raises(NodeUnavailable, match="failed several times"):
                fleet.decide(Wanted("orient"), "fast")
            found = await asyncio.gather(*tried)
            assert sorted(type(one).__name__ for one in found) == ["NodeUnavailable"] * 3 + ["UpstreamFault"]
            assert len(chats(server)) == FAILURES + 1
            assert fleet.breakers()["desk"].state == OPEN
            script(server, *GOOD)
            await eventually(lambda: fleet.breakers()["desk"].state == HALF_OPEN)
            await Talk(fleet).all()
            assert fleet.breakers()["desk"] == module.Standing(CLOSED, 0, "", None)
            assert left(fleet) == []

    run(test)


async def asked(fleet: Fleet, decision: Any) -> BaseException | None:
    try:
        async for _ in fleet.chat(decision, MESSAGES, on_phase=lambda *_: None):
            pass
    except InferenceError as error:
        return error
    return None


def test_what_is_under_way_when_the_fleet_closes_starts_no_probe() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b", parallel=4) as (server, fleet):
            script(server, HEAD, HELLO, 0.05, b"3\r\nx")
            talks = [Talk(fleet) for _ in range(4)]
            tasks = [talk.begin() for talk in talks]
            await eventually(lambda: all(talk.chunks for talk in talks))
            await fleet.close()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert left(fleet) == []

    run(test)


@pytest.mark.usefixtures("soon")
def test_a_node_that_no_probe_understands_may_still_do_its_work() -> None:
    async def test() -> None:
        async with desk() as (server, fleet):
            script(server, status(404), path="/api/version")
            (state,) = await fleet.states()
            assert (state.reachable, state.code) == (False, "upstream")
            await Talk(fleet).all()
            script(server, *DIED)
            await breaks(fleet)
            await eventually(lambda: fleet.breakers()["desk"].state == HALF_OPEN)
            script(server, *GOOD)
            await Talk(fleet).all()

    run(test)


def test_a_server_is_not_blamed_for_what_it_was_asked() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            script(server, status(400, {"error": '"llama3.2:3b" does not support thinking'}))
            await breaks(fleet, FAILURES + 1)
            assert fleet.breakers()["desk"].state == CLOSED

    run(test)
