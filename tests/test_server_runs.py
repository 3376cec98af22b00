"""A run is recorded, followed by many, and ends exactly once, whatever happens."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from commands.events import FINAL, Event
from server import runs as module
from server.errors import Refusal
from server.runs import Run, Runs


def alone(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(limited())


def finals(run: Run) -> list[str]:
    return [event.name for event in run.events if event.name in FINAL]


def code(run: Run) -> str:
    return str(run.outcome().get("code"))


async def short(run_id: str) -> AsyncIterator[Event]:
    yield Event("started", {"run": run_id, "command": "ask"})
    yield Event("token", {"stage": "answer", "text": "x"})
    yield Event("done", {"run": run_id, "answer": "x"})


async def endless(run_id: str) -> AsyncIterator[Event]:
    yield Event("started", {"run": run_id, "command": "ask"})
    await asyncio.sleep(60)


def test_events_are_numbered_from_one_and_kept() -> None:
    async def test() -> None:
        run = Runs().start("ask", short)
        assert (await run.ended()).name == "done"
        assert [(one.id, one.name) for one in run.events] == [(1, "started"), (2, "token"), (3, "done")]
        assert json.loads(run.events[1].data) == {"stage": "answer", "text": "x"}
        assert run.state == "done"
        assert run.outcome() == {"run": run.id, "answer": "x"}

    alone(test)


def test_ids_are_long_and_differ() -> None:
    async def test() -> None:
        registry = Runs()
        names = {registry.start("ask", short).id for _ in range(50)}
        assert len(names) == 50
        assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)

    alone(test)


def test_several_readers_see_the_same_whether_early_or_late() -> None:
    async def test() -> None:
        gate = asyncio.Event()

        async def work(run_id: str) -> AsyncIterator[Event]:
            yield Event("started", {"run": run_id})
            await gate.wait()
            for n in range(5):
                yield Event("token", {"text": str(n)})
                await asyncio.sleep(0)
            yield Event("done", {"run": run_id})

        run = Runs().start("ask", work)

        async def read(after: int) -> list[int]:
            return [one.id async for batch in run.follow(after, 5) for one in batch]

        early = asyncio.create_task(read(0))
        await asyncio.sleep(0)
        late = asyncio.create_task(read(3))
        gate.set()
        assert await early == [1, 2, 3, 4, 5, 6, 7]
        assert await late == [4, 5, 6, 7]
        assert await read(6) == [7]
        assert await read(99) == []

    alone(test)


def test_a_reader_that_does_not_read_does_not_hold_up_the_run() -> None:
    async def test() -> None:
        async def work(run_id: str) -> AsyncIterator[Event]:
            for n in range(1000):
                yield Event("token", {"text": str(n)})
                await asyncio.sleep(0)
            yield Event("done", {})

        run = Runs().start("ask", work)
        reader = run.follow(0, 5)
        first = await anext(reader)
        await asyncio.wait_for(run.ended(), 5)
        assert len(first) < 1000
        assert [one.id for one in first] + [one.id async for batch in reader for one in batch] == list(range(1, 1002))

    alone(test)


def test_silence_is_told_to_a_reader() -> None:
    async def test() -> None:
        registry = Runs()
        run = registry.start("ask", endless)
        seen: list[int] = []
        async for batch in run.follow(0, 0.02):
            seen.append(len(batch))
            if len(seen) == 3:
                break
        assert seen == [1, 0, 0]
        await registry.close()

    alone(test)


async def raises(run_id: str) -> AsyncIterator[Event]:
    yield Event("started", {})
    raise KeyError("canary")


async def raises_named(run_id: str) -> AsyncIterator[Event]:
    yield Event("started", {})
    raise Refusal("over_budget", "too big")


async def mute(run_id: str) -> AsyncIterator[Event]:
    yield Event("started", {})


async def twice(run_id: str) -> AsyncIterator[Event]:
    yield Event("failed", {"run": run_id, "code": "deadline", "message": "late", "hint": ""})
    yield Event("done", {"run": run_id})
    yield Event("failed", {"run": run_id, "code": "internal", "message": "again", "hint": ""})


async def odd(run_id: str) -> AsyncIterator[Event]:
    yield Event("token", {"text": float("nan")})
    yield Event("done", {"run": run_id})


async def silent(run_id: str) -> AsyncIterator[Event]:
    return
    yield


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (raises, "internal"),
        (raises_named, "over_budget"),
        (mute, "internal"),
        (twice, "deadline"),
        (odd, "internal"),
        (silent, "internal"),
    ],
)
def test_a_command_that_misbehaves_still_ends_once(work: module.Work, expected: str) -> None:
    async def test() -> None:
        run = Runs().start("ask", work)
        await run.ended()
        await asyncio.sleep(0.01)
        assert finals(run) == ["failed"]
        assert run.events[-1].name == "failed"
        assert code(run) == expected
        assert run.outcome()["run"] == run.id
        assert "canary" not in repr(run.events)

    alone(test)


def test_a_command_that_cannot_even_begin_ends_as_failed() -> None:
    async def test() -> None:
        def work(run_id: str) -> AsyncIterator[Event]:
            raise RuntimeError("no")

        run = Runs().start("ask", work)
        await run.ended()
        assert code(run) == "internal"

    alone(test)


def test_cancelling_ends_a_run_at_once_as_cancelled() -> None:
    async def test() -> None:
        registry = Runs()
        run = registry.start("ask", endless)
        await asyncio.sleep(0.01)
        async with asyncio.timeout(0.2):
            await registry.cancel(run)
        assert finals(run) == ["failed"]
        assert code(run) == "cancelled"
        await registry.cancel(run)
        assert finals(run) == ["failed"]

    alone(test)


def test_a_run_that_is_cancelled_before_it_begins_has_an_end() -> None:
    async def test() -> None:
        registry = Runs()
        run = registry.start("ask", endless)
        await registry.cancel(run)
        assert [one.name for one in run.events] == ["failed"]
        assert code(run) == "cancelled"

    alone(test)


def test_a_finished_run_stays_as_it_ended() -> None:
    async def test() -> None:
        registry = Runs()
        run = registry.start("ask", short)
        await run.ended()
        await registry.cancel(run)
        await registry.close()
        assert finals(run) == ["done"]

    alone(test)


def test_a_command_that_ignores_its_cancelling_is_ended_for_it() -> None:
    async def test() -> None:
        release = asyncio.Event()

        async def stubborn(run_id: str) -> AsyncIterator[Event]:
            yield Event("started", {})
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            yield Event("done", {})

        registry = Runs()
        run = registry.start("ask", stubborn)
        await asyncio.sleep(0.01)
        async with asyncio.timeout(module.GRACE_SECONDS + 0.3):
            await registry.cancel(run)
        assert code(run) == "cancelled"
        release.set()
        assert run.task is not None
        await asyncio.wait({run.task}, timeout=1)
        assert finals(run) == ["failed"]

    alone(test)


def test_what_a_cancelled_command_still_says_counts() -> None:
    async def test() -> None:
        async def writes(run_id: str) -> AsyncIterator[Event]:
            yield Event("started", {})
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0.02)
            yield Event("done", {"run": run_id, "answer": "captured"})

        registry = Runs()
        run = registry.start("update", writes)
        await asyncio.sleep(0.01)
        await registry.cancel(run)
        assert finals(run) == ["done"]
        assert run.outcome()["answer"] == "captured"

    alone(test)


def test_a_fault_while_being_cancelled_is_a_cancelling() -> None:
    async def test() -> None:
        async def clumsy(run_id: str) -> AsyncIterator[Event]:
            yield Event("started", {})
            try:
                await asyncio.sleep(60)
            finally:
                raise RuntimeError("closing failed")

        registry = Runs()
        run = registry.start("ask", clumsy)
        await asyncio.sleep(0.01)
        await registry.cancel(run)
        assert code(run) == "cancelled"

    alone(test)


def test_closing_ends_every_run_as_shutting_down_and_starts_no_more() -> None:
    async def test() -> None:
        registry = Runs()
        many = [registry.start("ask", endless) for _ in range(5)]
        over = registry.start("ask", short)
        await over.ended()
        async with asyncio.timeout(0.3):
            await registry.close()
        assert {code(run) for run in many} == {"shutting_down"}
        assert [finals(run) for run in many] == [["failed"]] * 5
        assert over.state == "done"
        with pytest.raises(Refusal) as refused:
            registry.start("ask", short)
        assert refused.value.code == "shutting_down"

    alone(test)


def test_a_run_whose_task_dies_with_the_loop_has_an_end() -> None:
    async def test() -> None:
        run = Runs().start("ask", endless)
        await asyncio.sleep(0.01)
        assert run.task is not None
        run.task.cancel()
        await run.ended()
        assert code(run) == "shutting_down"

    alone(test)


def test_the_last_client_that_leaves_cancels_the_run() -> None:
    async def test() -> None:
        registry = Runs()
        run = registry.start("ask", endless)
        with registry.attend(run):
            with registry.attend(run):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            assert run.state == "running"
        await asyncio.wait_for(run.ended(), 0.2)
        assert code(run) == "cancelled"

    alone(test)


def test_a_detached_run_goes_on_without_clients() -> None:
    async def test() -> None:
        registry = Runs()
        run = registry.start("ask", endless, detached=True)
        with registry.attend(run):
            pass
        await asyncio.sleep(0.05)
        assert run.state == "running"
        await registry.close()

    alone(test)


def test_the_same_key_is_the_same_run_and_another_request_under_it_a_conflict() -> None:
    async def test() -> None:
        registry = Runs()
        run = registry.start("ask", short, key="k", digest="a")
        assert registry.start("ask", endless, key="k", digest="a") is run
        await run.ended()
        assert registry.start("ask", endless, key="k", digest="a") is run
        with pytest.raises(Refusal) as refused:
            registry.start("ask", short, key="k", digest="b")
        assert refused.value.code == "conflict"
        assert registry.start("ask", short, digest="a") is not run

    alone(test)


def test_a_failed_run_lets_go_of_its_key() -> None:
    async def test() -> None:
        registry = Runs(keep=1)
        cut = registry.start("ask", endless, key="k", digest="a")
        with registry.attend(cut):
            pass
        await cut.ended()
        again = registry.start("ask", short, key="k", digest="a")
        assert again is not cut
        await again.ended()
        assert not known(registry, cut)
        assert registry.start("ask", short, key="k", digest="a") is again

    alone(test)


def test_a_later_detached_request_under_the_key_detaches_the_run() -> None:
    async def test() -> None:
        registry = Runs()
        run = registry.start("ask", endless, key="k")
        registry.start("ask", endless, key="k", detached=True)
        with registry.attend(run):
            pass
        await asyncio.sleep(0.02)
        assert run.state == "running"
        await registry.close()

    alone(test)


def known(registry: Runs, run: Run) -> bool:
    return run in registry.all()


def test_only_so_many_finished_runs_are_kept_and_their_keys_go_with_them() -> None:
    async def test() -> None:
        registry = Runs(keep=3)
        waiting = registry.start("ask", endless, detached=True)
        over = [registry.start("ask", short, key=f"k{n}") for n in range(5)]
        for run in over:
            await run.ended()
        assert [known(registry, run) for run in over] == [False, False, True, True, True]
        assert known(registry, waiting)
        assert registry.start("ask", short, key="k0") is not over[0]
        assert registry.start("ask", short, key="k4") is over[4]
        with pytest.raises(Refusal) as refused:
            registry.get(over[0].id)
        assert refused.value.code == "not_found"
        await registry.close()

    alone(test)


def test_finished_runs_are_forgotten_after_a_day() -> None:
    async def test() -> None:
        now = [0.0]
        registry = Runs(clock=lambda: now[0])
        old = registry.start("ask", short)
        await old.ended()
        now[0] = 23 * 3600
        young = registry.start("ask", short)
        await young.ended()
        assert known(registry, old)
        now[0] = 24 * 3600 + 1
        assert not known(registry, old)
        assert known(registry, young)

    alone(test)


def test_the_memory_of_finished_runs_is_bounded() -> None:
    async def test() -> None:
        async def long(run_id: str) -> AsyncIterator[Event]:
            yield Event("done", {"answer": "x" * 1000})

        registry = Runs(size=3500)
        runs = [registry.start("ask", long) for _ in range(4)]
        for run in runs:
            await run.ended()
        assert [known(registry, run) for run in runs] == [False, False, True, True]

    alone(test)


def test_too_many_runs_at_once_are_refused_as_busy() -> None:
    async def test() -> None:
        registry = Runs(live=2)
        first = registry.start("ask", endless)
        registry.start("ask", endless)
        with pytest.raises(Refusal) as refused:
            registry.start("ask", endless)
        assert refused.value.code == "busy"
        assert refused.value.retry_after
        await registry.cancel(first)
        registry.start("ask", endless)
        await registry.close()

    alone(test)


def test_the_summary_tells_neither_question_nor_answer() -> None:
    async def test() -> None:
        run = Runs().start("ask", short, question="canary question")
        await run.ended()
        summary = run.summary()
        assert "canary" not in str(summary)
        assert {name: summary[name] for name in ("run", "command", "state", "code", "events", "detached")} == {
            "run": run.id,
            "command": "ask",
            "state": "done",
            "code": None,
            "events": 3,
            "detached": False,
        }

    alone(test)


def test_a_run_remembers_the_receipt_its_events_name() -> None:
    async def test() -> None:
        async def work(run_id: str) -> AsyncIterator[Event]:
            yield Event("gathered", {"receipt": "r-1"})
            yield Event("done", {})

        run = Runs().start("ask", work)
        await run.ended()
        assert run.receipt == "r-1"

    alone(test)
