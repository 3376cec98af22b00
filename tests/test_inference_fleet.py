"""The fleet: places, phases, a short memory for what is away, and nothing left running behind a cancel."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from inference.decision import Wanted
from inference.fleet import Fleet
from inference.model import ModelFacts
from inference.node import (
    Chat,
    Chunk,
    Loaded,
    Message,
    NodeBusy,
    NodeState,
    NodeUnavailable,
    NothingFits,
    OverBudget,
    UpstreamFault,
    Usage,
)
from inference.nodes import make_node
from inference.ollama import OllamaNode
from inference.openai import OpenAINode
from inference.profile import EmbeddingModel, NodeConfig, NodeMemory, Profile, RunnerProfile, load, with_url
from tests.eventually import AT_ONCE, eventually
from tests.ollama_api import Double
from tests.ollama_double import double
from tests.ollama_machine import CATALOG, Launch
from tests.raw_server import END, HANG, HEAD, RawServer, piece, raw_server, status

MESSAGES = (Message("user", "What is due?"),)


def run(test: Callable[[], Awaitable[None]], seconds: float = 20) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await test()

    asyncio.run(bounded())


def profile(url: str = "http://127.0.0.1:9", **more: Any) -> Profile:
    desk = NodeConfig("desk", "ollama", url, "local", **{"queue": 2, "parallel": 1} | more)
    runners = {
        "small": RunnerProfile(
            "small", "desk", "llama3.2:3b", "Q4_K_M", 8192, 1000, slots=desk.parallel, keep_alive=-1
        ),
        "large": RunnerProfile("large", "desk", "qwen3:8b", "Q4_K_M", 16384, 3000, slots=desk.parallel),
    }
    return Profile(
        "test", "", {"desk": desk}, runners, {"fast": ("small",), "deep": ("large",)}, {"orient": "fast"}, ()
    )


@dataclass
class Talk:
    """One chat through the fleet: its chunks, its phases, how it ended."""

    fleet: Fleet
    tier: str = "fast"
    command: str = "own"
    chunks: list[Chunk] = field(default_factory=list)
    phases: list[tuple[str, str, int, int]] = field(default_factory=list)

    def begin(self, answer_tokens: int | None = None) -> asyncio.Task[None]:
        return asyncio.create_task(self.all(answer_tokens))

    async def all(self, answer_tokens: int | None = None) -> None:
        decision = self.fleet.decide(Wanted(self.command, tier=self.tier), "fast")
        stream = self.fleet.chat(decision, MESSAGES, on_phase=self._phase, answer_tokens=answer_tokens)
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                self.chunks.append(chunk)

    def _phase(self, *phase: Any) -> None:
        assert not self.chunks, "phases come before the first chunk"
        self.phases.append(phase)

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)


def line(value: Any) -> bytes:
    return piece(json.dumps(value).encode() + b"\n")


HELLO = line({"message": {"content": "Hello"}, "done": False})


def last(load_seconds: float = 0.001) -> bytes:
    return line(
        {"message": {"content": ""}, "done": True, "done_reason": "stop", "load_duration": int(load_seconds * 1e9)}
    )


GOOD = (HEAD, HELLO, last(), END)


def loaded(*models: str) -> bytes:
    return status(200, {"models": [{"name": model, "size": 1, "size_vram": 1} for model in models]})


@asynccontextmanager
async def desk(*in_memory: str, **more: Any) -> AsyncGenerator[tuple[RawServer, Fleet], None]:
    """A node that answers well, and a fleet of it alone."""
    async with raw_server() as server:
        server.answer(*GOOD, path="/api/chat")
        server.answer(status(200, {"version": "0.33.0"}), path="/api/version")
        server.answer(status(200, {"models": [{"name": "llama3.2:3b"}]}), path="/api/tags")
        server.answer(loaded(*in_memory), path="/api/ps")
        fleet = Fleet(profile(server.url, **more))
        try:
            yield server, fleet
        finally:
            await fleet.close()


def script(server: RawServer, *pieces: Any, path: str = "/api/chat") -> None:
    server.scripts.pop(path, None)
    server.answer(*pieces, path=path)


def chats(server: RawServer) -> list[Any]:
    return [request for request in server.seen if request.path == "/api/chat"]


def test_each_kind_of_node_has_its_client() -> None:
    async def test() -> None:
        nodes = [make_node(NodeConfig("n", kind, "http://127.0.0.1:9", "local")) for kind in ("ollama", "openai")]
        assert [type(node) for node in nodes] == [OllamaNode, OpenAINode]
        for node in nodes:
            await node.close()

    run(test)


def test_a_fleet_may_be_made_in_another_thread_than_it_lives_in() -> None:
    async def test() -> None:
        async with raw_server() as server:
            server.answer(*GOOD)
            fleet = await asyncio.to_thread(Fleet, profile(server.url))
            talk = Talk(fleet)
            await talk.all()
            assert talk.text == "Hello"
            await fleet.close()

    run(test)


def test_decisions_are_made_by_the_policy_and_kept() -> None:
    fleet = Fleet(profile())
    first = fleet.decide(Wanted("orient"), "deep")
    second = fleet.decide(Wanted("own"), "deep")
    assert [first.runner, second.runner] == ["small", "large"]
    assert fleet.decisions == (first, second)
    assert first.id != second.id
    with pytest.raises(NothingFits):
        fleet.decide(Wanted("orient", node="moon"), "deep")
    for _ in range(300):
        fleet.decide(Wanted("orient"), "deep")
    assert len(fleet.decisions) == 200


def test_the_answer_is_limited_by_the_command_within_the_reserve() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            for tokens in (None, 300, 5000):
                await Talk(fleet).all(tokens)
            limits = [request.body["options"]["num_predict"] for request in chats(server)]
            assert limits == [1000, 300, 1000]
            assert {request.body["options"]["num_ctx"] for request in chats(server)} == {8192}

    run(test)


def test_those_that_wait_hear_their_place_and_are_served_one_at_a_time() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            script(server, HEAD, 0.2, HELLO, last(), END)
            talks = [Talk(fleet) for _ in range(3)]
            tasks = []
            for talk in talks:
                tasks.append(talk.begin())
                await asyncio.sleep(0)
            await asyncio.gather(*tasks)
            queued = [[(n, total) for name, _, n, total in talk.phases if name == "queued"] for talk in talks]
            assert queued == [[], [(1, 1)], [(2, 2), (1, 1)]]
            assert all(talk.phases[-1][:2] == ("thinking", "llama3.2:3b") for talk in talks)
            assert all(talk.text == "Hello" for talk in talks)

    run(test)


def test_never_more_requests_are_at_the_node_than_it_takes() -> None:
    @dataclass
    class Counting:
        config: NodeConfig
        at_once: int = 0
        most: int = 0
        kept: list[Any] = field(default_factory=list)

        def chat(self, chat: Chat) -> AsyncGenerator[Chunk, None]:
            # Kept, so that only a stream that is closed ends, and not one that is collected as garbage.
            self.kept.append(self.stream())
            return self.kept[-1]  # type: ignore[no-any-return]

        async def stream(self) -> AsyncGenerator[Chunk, None]:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                await asyncio.sleep(0.002)
                yield Chunk("a")
                await asyncio.sleep(0.002)
                yield Chunk(usage=Usage(1, 1, 1, "stop", 0, 0, 0))
            finally:
                self.at_once -= 1

        async def embed(self, model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
            raise NotImplementedError

        async def state(self) -> NodeState:
            return NodeState("desk", reachable=True)

        async def facts(self, models: Sequence[str]) -> Mapping[str, ModelFacts]:
            return {}

        async def unload(self, model: str) -> None: ...

        async def close(self) -> None: ...

    async def test() -> None:
        node = Counting(NodeConfig("desk", "openai", "", "local"))
        fleet = Fleet(profile(parallel=3, queue=100), lambda _: node)
        tasks = [Talk(fleet).begin() for _ in range(60)]
        await asyncio.sleep(0.01)
        for task in tasks[::7]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert node.most == 3
        assert node.at_once == 0
        stream = fleet.chat(fleet.decide(Wanted("orient"), "fast"), MESSAGES, on_phase=lambda *_: None)
        await anext(stream)
        assert node.at_once == 1
        await stream.aclose()
        assert node.at_once == 0

    run(test)


def test_a_full_line_is_busy_with_a_time_to_come_back() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b", queue=0) as (server, fleet):
            script(server, HEAD, HELLO, HANG)
            first = Talk(fleet).begin()
            await eventually(lambda: chats(server))
            with pytest.raises(NodeBusy) as caught:
                await Talk(fleet).all()
            assert caught.value.retry_after
            assert len(chats(server)) == 1
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            script(server, *GOOD)
            await Talk(fleet).all()

    run(test)


@pytest.mark.parametrize(
    ("in_memory", "phase"),
    [(("llama3.2:3b",), "thinking"), ((), "loading"), (("qwen3:8b",), "loading"), (("Llama3.2:3B", "x"), "thinking")],
)
def test_it_says_whether_the_model_must_be_loaded_first(in_memory: tuple[str, ...], phase: str) -> None:
    async def test() -> None:
        async with desk(*in_memory) as (server, fleet):
            script(server, 0.2, *GOOD)
            talk = Talk(fleet)
            await talk.all()
            assert talk.phases == [(phase, "llama3.2:3b", 0, 0)]

    run(test)


def test_the_question_whether_it_is_loaded_never_delays_the_chat() -> None:
    async def test() -> None:
        async with desk() as (server, fleet):
            for path in ("/api/ps", "/api/version"):
                script(server, HANG, path=path)
            began = time.monotonic()
            talk = Talk(fleet)
            await talk.all()
            assert time.monotonic() - began < 0.9, "an answer would be waited for a second"
            assert talk.phases == [("thinking", "llama3.2:3b", 0, 0)]
            await fleet.look()
            began = time.monotonic()
            await fleet.look()
            assert time.monotonic() - began < 0.1, "one that does not tell is not asked again at once"

    run(test)


def test_a_model_that_has_just_answered_is_not_asked_for_again() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b", "qwen3:8b") as (server, fleet):
            for tier in ("fast", "deep"):
                await Talk(fleet, tier).all()
            asked = len(server.seen)
            script(server, 0.05, *GOOD)
            for tier in ("fast", "deep", "fast"):
                talk = Talk(fleet, tier)
                await talk.all()
                assert talk.phases[0][0] == "thinking"
            assert len(server.seen) == asked + 3
            script(server, HEAD, HELLO, last(load_seconds=3), END)
            await Talk(fleet, "deep").all()
            script(server, 0.2, *GOOD)
            script(server, loaded("qwen3:8b"), path="/api/ps")
            talk = Talk(fleet)
            await talk.all()
            assert talk.phases[0][0] == "loading", "what was loaded may have pushed out the other"

    run(test)


def test_a_dead_node_is_not_waited_on_twice() -> None:
    async def test() -> None:
        fleet = Fleet(profile())
        earlier = fleet.decide(Wanted("orient"), "fast")
        with pytest.raises(NodeUnavailable, match="refuses connections"):
            await Talk(fleet).all()
        with pytest.raises(NodeUnavailable, match="node desk does not answer") as caught:
            fleet.decide(Wanted("orient"), "fast")
        assert "ollama serve" in caught.value.hint
        assert len(fleet.decisions) == 2
        asked: list[Chat] = []
        fleet.nodes._made["desk"].chat = asked.append  # type: ignore[method-assign,assignment]
        with pytest.raises(NodeUnavailable, match="refuses connections") as caught:
            async for _ in fleet.chat(earlier, MESSAGES, on_phase=lambda *_: None):
                pass
        assert "ollama serve" in caught.value.hint
        assert asked == []
        await fleet.close()

    run(test)


def test_a_node_that_comes_back_is_used_again() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            script(server, status(403))
            with pytest.raises(NodeUnavailable):
                await Talk(fleet).all()
            with pytest.raises(NodeUnavailable):
                fleet.decide(Wanted("orient"), "fast")
            script(server, *GOOD)
            (state,) = await fleet.states()
            assert state.reachable
            await Talk(fleet).all()

    run(test)


def test_other_faults_do_not_make_a_node_absent() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            script(server, HEAD, HELLO, END)
            with pytest.raises(UpstreamFault):
                await Talk(fleet).all()
            script(server, *GOOD)
            await Talk(fleet).all()

    run(test)


def test_states_are_asked_at_once_and_remembered_for_two_seconds() -> None:
    async def test() -> None:
        now = [100.0]
        base = profile()
        asked: list[str] = []

        @dataclass
        class Slow:
            config: NodeConfig

            def chat(self, chat: Chat) -> AsyncGenerator[Chunk, None]:
                raise NotImplementedError

            async def embed(self, model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
                raise NotImplementedError

            async def state(self) -> NodeState:
                asked.append(self.config.name)
                await asyncio.sleep(0.2)
                return NodeState(self.config.name, reachable=self.config.name != "away", error="x", hint="start it")

            async def facts(self, models: Sequence[str]) -> Mapping[str, ModelFacts]:
                return {}

            async def unload(self, model: str) -> None: ...

            async def close(self) -> None: ...

        nodes = {name: replace(base.nodes["desk"], name=name) for name in ("desk", "rack", "away")}
        runners = {**base.runners, "far": replace(base.runners["small"], name="far", node="away")}
        fleet = Fleet(replace(base, nodes=nodes, runners=runners), Slow, clock=lambda: now[0])
        began = time.monotonic()
        states = await fleet.states()
        assert time.monotonic() - began < 0.55, "one after the other they take 0.6 s"
        assert [(state.name, state.reachable) for state in states] == [("desk", True), ("rack", True), ("away", False)]
        assert await fleet.states() is states
        assert len(asked) == 3
        with pytest.raises(NodeUnavailable):
            fleet.decide(Wanted("orient", node="away"), "fast")
        now[0] += 2.1
        await fleet.states()
        assert len(asked) == 6
        await fleet.close()

    run(test)


@pytest.mark.parametrize("where", ["in the line", "before the head", "in the stream"])
def test_a_cancelled_chat_ends_at_the_node_and_leaves_its_place(where: str) -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            script(server, *((HANG,) if where == "before the head" else (HEAD, HELLO, HANG)))
            first, waits = Talk(fleet).begin(), Talk(fleet)
            await eventually(lambda: chats(server))
            second = waits.begin()
            await eventually(lambda: waits.phases)
            began = time.monotonic()
            (second if where == "in the line" else first).cancel()
            if where == "in the line":
                await asyncio.wait({second})
                assert second.cancelled()
                assert len(chats(server)) == 1
                assert not chats(server)[0].closed
                first.cancel()
            else:
                await eventually(lambda: len(chats(server)) == 2)
                assert 0 < chats(server)[0].closed - began < AT_ONCE
                second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            script(server, *GOOD)
            talk = Talk(fleet)
            await talk.all()
            assert talk.text == "Hello"

    run(test)


def test_an_iterator_closed_early_closes_the_connection_and_frees_the_place() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            script(server, HEAD, HELLO, HANG)
            stream = fleet.chat(fleet.decide(Wanted("orient"), "fast"), MESSAGES, on_phase=lambda *_: None)
            assert (await anext(stream)).text == "Hello"
            began = time.monotonic()
            await stream.aclose()
            await eventually(lambda: chats(server)[0].closed)
            assert chats(server)[0].closed - began < AT_ONCE
            script(server, *GOOD)
            await Talk(fleet).all()

    run(test)


def test_an_iterator_that_is_dropped_closes_the_connection_too() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            script(server, HEAD, HELLO, HANG)
            decision = fleet.decide(Wanted("orient"), "fast")
            async for chunk in fleet.chat(decision, MESSAGES, on_phase=lambda *_: None):
                assert chunk.text == "Hello"
                break
            gc.collect()
            await eventually(lambda: chats(server)[0].closed)

    run(test)


def test_closing_the_fleet_breaks_off_what_is_under_way() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (server, fleet):
            script(server, HEAD, HELLO, HANG)
            task, waits = Talk(fleet).begin(), Talk(fleet)
            await eventually(lambda: chats(server))
            waiting = waits.begin()
            await eventually(lambda: waits.phases)
            await fleet.close()
            for one in (task, waiting):
                with pytest.raises(UpstreamFault):
                    await one
            assert len(chats(server)) == 1
            await eventually(lambda: chats(server)[0].closed)

    run(test)


def test_the_state_of_what_is_in_memory_comes_through() -> None:
    async def test() -> None:
        async with desk("llama3.2:3b") as (_, fleet):
            (state,) = await fleet.states()
            assert state == NodeState(
                "desk", True, "0.33.0", ("llama3.2:3b",), (Loaded("llama3.2:3b", 1, 1, 0),), "", ""
            )

    run(test)


# Against the double, which schedules and loads as Ollama does.


@asynccontextmanager
async def ollama_desk(shipped: str = "", **knobs: Any) -> AsyncGenerator[tuple[Double, Fleet], None]:
    """A double, and a fleet of it alone; `parallel` and `queue` are those of the node."""
    ours = {name: knobs.pop(name) for name in ("queue", "parallel") if name in knobs}
    async with double(**{"answer": lambda _: "Plums are due today."} | knobs) as ollama:
        fleet = Fleet(with_url(load(shipped), ollama.url) if shipped else profile(ollama.url, **ours))
        try:
            yield ollama, fleet
        finally:
            await fleet.close()


def test_the_line_tells_how_near_each_model_is() -> None:
    async def test() -> None:
        async with ollama_desk(vram_gib=8.5, load_seconds=0.3) as (ollama, _):
            fleet = Fleet(profile(ollama.url, memory=NodeMemory(9, reserve_gib=0.5)))
            await fleet.states()

            def near() -> dict[str, str]:
                return {one["runner"]: one["state"] for one in fleet.lines()["desk"]["models"]}

            assert near() == {"small": "cold", "large": "cold"}
            task = Talk(fleet).begin()
            await eventually(lambda: near()["small"] == "loading")
            assert fleet.lines()["desk"]["running"] == 1
            await task
            assert near() == {"small": "hot", "large": "cold"}
            await Talk(fleet, "deep").all()
            assert near() == {"small": "warm", "large": "hot"}
            small = fleet.lines()["desk"]["models"][0]
            assert 0.3 <= small["load_seconds"] < 2, "as it was measured"
            assert ollama.machine.loads == 2
            await fleet.close()

    run(test)


@pytest.mark.parametrize("stranger", [False, True])
def test_what_stays_is_loaded_again_unless_another_program_uses_the_node(
    stranger: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.schedule.QUIET_SECONDS", 0.2)

    async def test() -> None:
        async with ollama_desk("rtx3080", vram_gib=8.5, kv_type="q8_0", load_seconds=0.15) as (ollama, fleet):
            machine = ollama.machine
            await Talk(fleet, "", "research").all()
            assert set(machine.loaded) == {"qwen3:8b"}
            if stranger:
                machine.models["mistral:7b"] = CATALOG["mistral:7b"]
                async with machine.runner(CATALOG["mistral:7b"], Launch(num_ctx=4096)):
                    pass
                await asyncio.sleep(0.6)
                assert set(machine.loaded) == {"mistral:7b"}
            else:
                await eventually(lambda: set(machine.loaded) == {"qwen2.5:7b", "llama3.2:3b"})
                await eventually(lambda: fleet.lines()["local"]["models"][0]["state"] == "hot")
                assert fleet.lines()["local"]["models"][0]["load_seconds"] < 1, "as it was measured"
                asked = len(ollama.chats())
                await Talk(fleet, "", "orient").all()
                await Talk(fleet, "", "plan").all()
                assert machine.loads == 3
                assert len(ollama.chats()) == asked + 2

    run(test)


def test_the_line_is_kept_here_and_never_at_ollama() -> None:
    async def test() -> None:
        async with ollama_desk(queue=12, decode=200, vram_gib=4) as (ollama, fleet):
            machine = ollama.machine
            talks = [Talk(fleet, tier) for tier in ("fast", "deep", "fast", "fast", "deep", "fast")]
            tasks = [talk.begin() for talk in talks]
            crowd = 0
            while not all(task.done() for task in tasks):
                crowd = max(crowd, machine.running + machine.waiting + machine.pending)
                await asyncio.sleep(0.001)
            await asyncio.gather(*tasks)
            assert all(talk.text == "Plums are due today." for talk in talks)
            assert (crowd, machine.running_peak, machine.pending_peak) == (1, 1, 1)
            first = sorted(talk.phases[0][0] for talk in talks)
            assert first == ["loading", *["queued"] * 5]
            asked = [seen.body["model"] for seen in ollama.chats()]
            assert asked == ["llama3.2:3b"] * 4 + ["qwen3:8b"] * 2, "who finds its model there goes first for a while"
            assert machine.loads == 2

    run(test)


def test_as_many_run_at_once_as_the_node_takes() -> None:
    async def test() -> None:
        async with ollama_desk(queue=12, parallel=2, decode=100) as (ollama, fleet):
            ollama.machine.parallel = 2
            await asyncio.gather(*(Talk(fleet).begin() for _ in range(6)))
            assert (ollama.machine.running_peak, ollama.machine.loads) == (2, 1)

    run(test)


def test_a_load_is_told_of_while_it_lasts_and_only_then() -> None:
    async def test() -> None:
        async with ollama_desk(load_seconds=0.3, vram_gib=6) as (ollama, fleet):
            phases = []
            for tier in ("fast", "fast", "deep", "fast"):
                talk = Talk(fleet, tier)
                await talk.all()
                phases.append(talk.phases[0][:2])
            assert phases == [
                ("loading", "llama3.2:3b"),
                ("thinking", "llama3.2:3b"),
                ("loading", "qwen3:8b"),
                ("loading", "llama3.2:3b"),
            ], "each pushes the other out of a card that has no room for both"
            assert (ollama.machine.loads, ollama.machine.unloads) == (3, 2)

    run(test)


def test_the_shipped_profile_serves_a_day_with_one_load_per_model() -> None:
    async def test() -> None:
        async with ollama_desk("rtx3080", vram_gib=9.5, kv_type="q8_0", max_loaded=2) as (ollama, fleet):
            for command in ("orient", "update", "plan", "ask", "orient", "ask", "update", "orient"):
                await Talk(fleet, "", command).all()
            machine = ollama.machine
            assert (machine.loads, machine.reloads, machine.unloads) == (2, 0, 0)
            await Talk(fleet, "", "research").all()
            await Talk(fleet, "", "orient").all()
            assert machine.reloads == 0

    run(test)


@pytest.mark.parametrize("where", ["in the line", "while it loads", "in the stream"])
def test_a_cancel_ends_at_ollama_and_the_next_in_the_line_is_served(where: str) -> None:
    async def test() -> None:
        async with ollama_desk(decode=20, load_seconds=30 if where == "while it loads" else 0) as (ollama, fleet):
            first = Talk(fleet).begin()
            await eventually(lambda: ollama.chats() and (where == "while it loads" or ollama.chats()[0].chunks))
            second, third = Talk(fleet), Talk(fleet)
            waiting = [second.begin(), third.begin()]
            await asyncio.sleep(0.05)
            began = time.monotonic()
            gone = waiting[0] if where == "in the line" else first
            gone.cancel()
            ollama.machine.decode, ollama.machine.load_seconds = float("inf"), 0
            await asyncio.gather(first, *waiting, return_exceptions=True)
            assert gone.cancelled()
            assert third.text == "Plums are due today."
            chat = ollama.chats()[0]
            if where == "in the line":
                assert not chat.closed
                assert len(ollama.chats()) == 2, "who left the line never came to Ollama"
            else:
                assert 0 < chat.closed - began < AT_ONCE
                assert second.text == "Plums are due today."
            assert ollama.machine.running == ollama.machine.waiting == ollama.machine.pending == 0

    run(test)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("busy", NodeBusy), ("cut", UpstreamFault), ("repeated", UpstreamFault), ("died", UpstreamFault)],
)
def test_a_fault_frees_the_place_and_the_node_stays_in_use(kind: str, error: type[Exception]) -> None:
    async def test() -> None:
        async with ollama_desk() as (ollama, fleet):
            ollama.fault(kind)
            talks = [Talk(fleet), Talk(fleet)]
            ends = await asyncio.gather(*(talk.begin() for talk in talks), return_exceptions=True)
            assert [type(end) for end in ends] == [error, type(None)]
            assert talks[1].text == "Plums are due today."
            assert len(ollama.chats()) == 2, "nothing is tried again behind the caller's back"

    run(test)


def test_states_tell_what_ollama_has_in_memory() -> None:
    async def test() -> None:
        async with ollama_desk(kv_type="q8_0", models=["llama3.2:3b"]) as (ollama, fleet):
            await Talk(fleet).all()
            (state,) = await fleet.states()
            held = ollama.machine.loaded["llama3.2:3b"]
            assert state.models == ("llama3.2:3b",)
            assert state.loaded == (Loaded("llama3.2:3b", held.size, held.size, 8192),)

    run(test)


# --- the plan of memory


def planned(url: str, **more: Any) -> Profile:
    """The default profile, on the double."""
    return with_url(replace(load("rtx3080"), **more), url)


def test_nodes_tell_the_sizes_of_their_models_once() -> None:
    async def test() -> None:
        own = replace(CATALOG["llama3.2:3b"], size=CATALOG["llama3.2:3b"].size + 100_000_000)
        async with double(models=[own, "qwen2.5:7b"], kv_type="q8_0", vram_gib=8.5) as server:
            now = [100.0]
            fleet = Fleet(planned(server.url), clock=lambda: now[0])
            seats = {seat.runner.name: seat for seat in fleet.plan.nodes[0].seats}
            assert {seat.facts.source for seat in seats.values() if seat.facts} == {"catalogue"}
            await fleet.states()
            after = {seat.runner.name: seat for seat in fleet.plan.nodes[0].seats}
            sources = {name: seat.facts.source for name, seat in after.items() if seat.facts}
            assert sources == {"llama-3b": "node", "qwen-7b": "node", "qwen-8b": "catalogue"}, "the last is not there"
            assert after["llama-3b"].need is not None
            assert after["llama-3b"].need.weights == own.size
            before = seats["qwen-7b"].need
            assert before is not None
            size = CATALOG["qwen2.5:7b"].size
            assert after["qwen-7b"].need == replace(before, weights=size, block=(size + before.kv) // 28)
            now[0] += 5
            await fleet.states()
            assert [seen.path for seen in server.requests].count("/api/show") == 2
            await fleet.close()

    run(test)


def test_what_a_node_has_in_memory_corrects_the_plan_and_may_be_an_alarm() -> None:
    async def test() -> None:
        async with double(kv_type="q8_0", vram_gib=8.5) as server:
            now = [100.0]
            fleet = Fleet(planned(server.url), clock=lambda: now[0])
            server.fault("spill")
            for told in (True, False):
                decision = fleet.decide(Wanted("orient"), "fast")
                async with aclosing(fleet.chat(decision, MESSAGES, on_phase=lambda *_: None)) as chunks:
                    assert [chunk async for chunk in chunks]
                now[0] += 5
                await fleet.states()
                [seat] = [seat for seat in fleet.plan.nodes[0].seats if seat.runner.name == "llama-3b"]
                assert bool(seat.alarm) is told
                # Whoever else used the card has gone, and the model is loaded anew.
                for model in list(server.machine.models.values()):
                    server.machine.expire(model)
            assert seat.observed is not None
            assert seat.need is not None
            assert seat.need.card - seat.need.context == seat.observed.size
            await fleet.close()

    run(test)


def test_a_runner_that_does_not_fit_is_not_used_and_the_others_are() -> None:
    async def test() -> None:
        async with double(models=["mistral:7b"]) as server:
            base = planned(server.url)
            runners = {name: replace(one, num_ctx=32768) for name, one in base.runners.items()}
            runners["qwen-8b"] = replace(base.runners["qwen-8b"], model="codellama:13b", num_ctx=16384)
            fleet = Fleet(replace(base, runners=runners))
            assert set(fleet.plan.over) == {"qwen-8b"}
            assert fleet.plan.disabled == ("deep",)
            with pytest.raises(OverBudget, match=r"codellama|would fit"):
                fleet.decide(Wanted("research"), "deep")
            assert fleet.decide(Wanted("orient"), "fast").runner == "llama-3b"
            await fleet.close()

    run(test)


@pytest.mark.parametrize("said", [b"not json", b"[]", b'{"error":"model not found"}'])
def test_a_node_that_tells_nothing_of_a_model_is_no_fault(said: bytes) -> None:
    async def test() -> None:
        async with raw_server() as server:
            script(server, HEAD, said, END)
            node = OllamaNode(NodeConfig("desk", "ollama", server.url, "local"))
            assert await node.facts(["one"]) == {}
            await node.close()
        away = OllamaNode(NodeConfig("desk", "ollama", "http://127.0.0.1:9", "local"))
        assert await away.facts(["one"]) == {}
        await away.close()

    run(test)
