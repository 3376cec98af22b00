"""The schedule over days of requests, against the machine of the Ollama double: it counts loads by its own rules."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from benchmarks.schedule import Card, Request, card, fifo, loaded_first, picked, scheduled, trace
from inference.decision import Decision, Wanted
from inference.fleet import Fleet
from inference.model import ModelFacts
from inference.node import Chat, Chunk, Loaded, Message, NodeState, Usage
from inference.profile import EmbeddingModel, NodeConfig, keep_seconds, load
from tests.ollama_machine import HandClock, Launch, Machine, Model, settle

PROFILE = load("rtx3080")


@dataclass
class MachineNode:
    """A node that is the machine itself, without HTTP, so that a day lasts a second."""

    config: NodeConfig
    machine: Machine
    card: Card
    answers: dict[str, float] = field(default_factory=dict)
    launches: list[tuple[str, Launch]] = field(default_factory=list)
    at_once: int = 0

    async def chat(self, chat: Chat) -> AsyncGenerator[Chunk, None]:
        runner, clock, began = chat.runner, self.machine.clock, self.machine.clock.now()
        launch = Launch(runner.num_ctx, runner.options.get("num_batch"), runner.options.get("num_gpu", -1), shift=False)
        self.launches.append((runner.name, launch))
        model = self.machine.find(runner.model)
        assert model is not None
        async with self.machine.runner(model, launch, keep_seconds(runner.keep_alive)) as there:
            load_seconds = clock.now() - began
            if not chat.messages:
                yield Chunk(usage=Usage(None, None, runner.num_ctx, "load", load_seconds, 0, 0))
                return
            async with self.machine.slot(there):
                text, pace = chat.messages[0].content, self.card.paces[runner.name]
                prompt, answer = len(text) / 4, self.answers[text[:20]]
                await clock.sleep(prompt / pace.reads)
                yield Chunk("An answer")
                await clock.sleep(answer / pace.writes)
                used = (int(prompt), int(answer), runner.num_ctx)
                yield Chunk(usage=Usage(*used, "stop", load_seconds, prompt / pace.reads, answer / pace.writes))

    async def embed(self, model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
        raise NotImplementedError

    async def state(self) -> NodeState:
        there = tuple(
            Loaded(name, one.size, one.on_gpu, one.num_ctx) for name, one in self.machine.loaded.items() if not one.gone
        )
        return NodeState(self.config.name, reachable=True, models=tuple(self.machine.models), loaded=there)

    async def facts(self, models: Sequence[str]) -> Mapping[str, ModelFacts]:
        return {}

    async def unload(self, model: str) -> None: ...

    async def close(self) -> None: ...


@dataclass
class Day:
    """What became of a trace: loads as the machine counted them and as the schedule did, waits, the worst crowd."""

    machine: Machine
    node: MachineNode
    believed: int
    waits: dict[Request, float]


async def served(requests: Sequence[Request]) -> Day:
    """Serve a trace through the fleet, by a clock that moves from event to event."""
    ours, clock = card(PROFILE), HandClock()
    names = {runner.model: runner.name for runner in PROFILE.runners.values()}

    def seconds(model: Model) -> float:
        return ours.paces[names[model.name]].warm

    async with Machine(list(names), clock=clock, vram_gib=8.5, kv_type="q8_0", load_seconds=seconds) as machine:
        nodes: list[MachineNode] = []

        def make(config: NodeConfig) -> MachineNode:
            nodes.append(MachineNode(config, machine, ours))
            return nodes[-1]

        fleet = Fleet(PROFILE, make, clock=clock.now, sleep=clock.sleep)
        await fleet.states()
        [node] = nodes
        state, believed = fleet._owners["local"].schedule, 0
        plain_load = state._load

        def counted(runner: str, now: float, *, ahead: bool) -> None:
            nonlocal believed
            believed += 1
            plain_load(runner, now, ahead=ahead)

        state._load = counted  # type: ignore[method-assign]
        waits: dict[Request, float] = {}

        async def one(n: int, request: Request) -> None:
            text = f"{n:020d}".ljust(int(request.prompt * 4))
            node.answers[text[:20]] = request.answer
            decision = decide(fleet, request)
            stream = fleet.chat(decision, (Message("user", text),), on_phase=lambda *_: None)
            async with aclosing(stream) as chunks:
                async for _ in chunks:
                    assert machine.pending <= 1
                    assert machine.waiting == 0, "nobody waits inside of Ollama"
            waits[request] = clock.now() - start - request.at

        start, tasks = clock.now(), []
        for n, request in enumerate(requests):
            await clock.advance(start + request.at - clock.now())
            tasks.append(asyncio.create_task(one(n, request)))
            await settle()
        while not all(task.done() for task in tasks):
            await clock.advance(10)
        await asyncio.gather(*tasks)
        await fleet.close()
        return Day(machine, node, believed, waits)


def decide(fleet: Fleet, request: Request) -> Decision:
    command, _, complex_words = request.command.partition(",")
    return fleet.decide(Wanted(command), "balanced" if complex_words else "fast")


@pytest.mark.parametrize(("seed", "every"), [(1, 20), (2, 10), (3, 10), (4, 6)])
def test_the_machine_loads_what_the_schedule_meant_it_to(seed: int, every: float) -> None:
    requests = trace(seed, 200, every)
    day = asyncio.run(served(requests))
    assert len(day.waits) == 200
    assert day.machine.loads == day.believed
    assert day.machine.reloads == 0
    simulated = scheduled(card(PROFILE), requests)
    assert day.machine.loads == pytest.approx(simulated.loads, rel=0.15)
    mean = sum(day.waits.values()) / len(day.waits)
    assert mean == pytest.approx(simulated.mean, rel=0.15)


def test_a_thousand_mixed_requests_load_nothing_anew_for_a_setting() -> None:
    day = asyncio.run(served(trace(5, 1000, 8)))
    assert len(day.waits) == 1000
    assert (day.machine.reloads, day.machine.loads) == (0, day.believed)
    launches = {runner: {launch for name, launch in day.node.launches if name == runner} for runner in PROFILE.runners}
    assert all(len(kinds) == 1 for kinds in launches.values()), "one way to run each model, however it is asked"
    assert all(launch.num_ctx for _, launch in day.node.launches)
    assert (day.machine.pending_peak, day.machine.running_peak) == (1, 1)


def test_the_other_ways_to_queue_cost_the_machine_as_much_as_was_simulated() -> None:
    """FIFO and loaded-first, with the same models: the machine is asked in the order of the simulation."""
    ours = card(PROFILE)
    requests = trace(6, 200, 10)
    for pick in (fifo, loaded_first):
        order = sorted(picked(ours, requests, pick).begun.items(), key=lambda one: one[0].at + one[1])
        assert asyncio.run(_loads(ours, [request for request, _ in order])) == picked(ours, requests, pick).loads


async def _loads(ours: Card, requests: Sequence[Request]) -> int:
    clock = HandClock()
    names = {runner.name: runner for runner in PROFILE.runners.values()}
    models = [runner.model for runner in PROFILE.runners.values()]
    async with Machine(models, vram_gib=8.5, kv_type="q8_0", clock=clock) as machine:
        node = MachineNode(PROFILE.nodes["local"], machine, ours)
        for n, request in enumerate(requests):
            text = f"{n:020d}".ljust(int(request.prompt * 4))
            node.answers[text[:20]] = request.answer
            chat = Chat(names[ours.commands[request.command]], (Message("user", text),), 100)

            async def drain(chat: Chat = chat) -> None:
                async for _ in node.chat(chat):
                    pass

            task = asyncio.create_task(drain())
            while not task.done():
                await clock.advance(30)
        return machine.loads
