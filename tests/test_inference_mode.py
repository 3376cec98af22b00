"""Modes: what sources and people tell, how soon it counts, and that a node which is GAMING is left alone and emptied."""

import asyncio
import json
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.decision import Wanted
from inference.fleet import Fleet
from inference.mode import FILE, GAMING, MODE_SECONDS, NORMAL, POLL_SECONDS, Modes, ModeToldElsewhere, NoModes
from inference.mode_source import ModeSource
from inference.node import Message, NodeUnavailable, UpstreamFault
from inference.profile import EmbeddingModel, NodeConfig, NodeMemory, Profile, RunnerProfile
from tests.eventually import eventually
from tests.ollama_api import Double
from tests.ollama_double import double
from tests.ollama_machine import HandClock, settle
from tests.raw_server import CLOSE, HANG, RawServer, raw_server, status

DESK = NodeConfig("desk", "ollama", "http://127.0.0.1:9", "local")
TOWER = replace(DESK, name="tower", klass="lan", mode_url="http://tower.local:18000")
CLOUD = replace(DESK, name="sky", kind="openai", klass="cloud")
NODES = {node.name: node for node in (DESK, TOWER, CLOUD)}
WORDS = (Message("user", "What is due?"),)


def run(test: Callable[[], Awaitable[None]], seconds: float = 30) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await test()

    asyncio.run(bounded())


class Stage:
    """Modes by a hand-moved clock, a source that says `says`, and who was made room at."""

    def __init__(self, folder: Path | None = None) -> None:
        self.clock = HandClock()
        self.says: str | None = NORMAL
        self.asked: list[float] = []
        self.freed: list[str] = []
        file = folder / FILE if folder else None
        self.modes = Modes(NODES, self._ask, self._free, clock=self.clock.now, sleep=self.clock.sleep, file=file)

    async def _ask(self, node: NodeConfig) -> str:
        assert node.name == "tower", "only it has a source"
        self.asked.append(self.clock.now())
        if self.says is None:
            raise NodeUnavailable("the source is away")
        return self.says

    async def _free(self, name: str) -> None:
        self.freed.append(name)

    def tower(self) -> tuple[str, float, str]:
        mode = self.modes.of("tower")
        assert mode is not None
        assert mode.told_by == "source"
        return mode.mode, round(mode.age, 3), mode.error


def test_a_source_is_asked_again_and_again_and_a_change_counts_within_two_seconds() -> None:
    async def test() -> None:
        stage = Stage()
        assert stage.tower() == ("", 0.0, ""), "nobody has asked it yet"
        await stage.modes.look()
        assert stage.tower() == (NORMAL, 0.0, "")
        for _ in range(3):
            await stage.modes.look()
            stage.modes.follow()
        assert len(stage.asked) == 1, "one who asks is enough"
        await stage.clock.advance(1.0)
        stage.says = GAMING
        await stage.clock.advance(2.0)
        assert stage.tower()[0] == GAMING
        assert stage.freed, "and room is made there"
        stage.says = NORMAL
        await stage.clock.advance(2.0)
        assert stage.tower()[0] == NORMAL
        before = len(stage.freed)
        await stage.clock.advance(60)
        assert len(stage.freed) == before
        assert len(stage.asked) == pytest.approx(65 / POLL_SECONDS, abs=2)
        await stage.modes.close()
        await stage.clock.advance(60)
        assert len(stage.asked) == pytest.approx(65 / POLL_SECONDS, abs=2)

    run(test)


def test_a_source_that_falls_silent_tells_what_it_told_and_how_long_ago() -> None:
    async def test() -> None:
        stage = Stage()
        await stage.modes.look()
        stage.says = None
        await stage.clock.advance(10)
        assert stage.tower() == (NORMAL, 10.0, "the source is away")
        assert stage.modes.all()["tower"].now == "", "that is too long ago to be known"
        stage.says = GAMING
        await stage.clock.advance(2)
        mode, age, error = stage.tower()
        assert (mode, error) == (GAMING, "")
        assert age <= POLL_SECONDS
        await stage.modes.close()

    run(test)


def test_a_look_does_not_wait_for_a_source_that_says_nothing() -> None:
    async def test() -> None:
        async def never(_: NodeConfig) -> str:
            await asyncio.Event().wait()
            return ""

        async def free(_: str) -> None: ...

        modes = Modes(NODES, never, free, clock=lambda: 0.0)
        async with asyncio.timeout(5):
            await modes.look()
        assert modes.of("tower") is not None
        await modes.close()

    run(test)


def test_what_a_person_sets_holds_until_another_is_set_also_over_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        stage = Stage(tmp_path)
        assert {name: mode.mode for name, mode in stage.modes.all().items()} == {"desk": NORMAL, "tower": ""}
        stage.modes.put("desk", GAMING)
        await stage.clock.advance(3)
        assert stage.freed
        assert set(stage.freed) == {"desk"}
        await stage.modes.close()
        assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600

        again = Stage(tmp_path)
        desk = again.modes.of("desk")
        assert desk is not None
        assert (desk.mode, desk.age, desk.told_by) == (GAMING, 0.0, "person")
        again.modes.follow()
        await settle()
        assert again.freed == ["desk"], "what another program loaded meanwhile goes as well"
        again.modes.put(None, NORMAL)
        await again.clock.advance(3)
        before = len(again.freed)
        again.modes.put("desk", GAMING)
        again.modes.put("desk", NORMAL)
        await again.clock.advance(30)
        assert len(again.freed) <= before + 1
        await again.modes.close()
        assert json.loads((tmp_path / FILE).read_text()) == {"gaming": []}
        assert [file.name for file in tmp_path.iterdir()] == [FILE]  # noqa: ASYNC240

    run(test)


@pytest.mark.parametrize(
    "kept", [b"", b"{", b"[]", b'{"gaming": 3}', b'{"gaming": ["http://gone:1", "desk"]}', b"\xff", b"[" * 99_999]
)
def test_a_file_that_says_nothing_of_use_is_none(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / FILE).write_bytes(kept)
    modes = Stage(tmp_path).modes.all()
    assert modes["desk"].mode == NORMAL
    assert modes["tower"].told_by == "source"


def test_a_mode_is_of_a_machine_so_every_program_hears_of_it_whatever_its_profile_calls_it(tmp_path: Path) -> None:
    async def test() -> None:
        one, other = Stage(tmp_path), Stage(tmp_path)
        other.modes = Modes(
            {"card": replace(DESK, name="card"), "far": replace(DESK, name="far", url="http://10.0.0.9:1")},
            other._ask,
            other._free,
            clock=other.clock.now,
            sleep=other.clock.sleep,
            file=tmp_path / FILE,
        )
        other.modes.follow()
        await settle()
        one.modes.put("desk", GAMING)
        assert {name: mode.now for name, mode in other.modes.all().items()} == {"card": GAMING, "far": NORMAL}
        await other.clock.advance(2)
        assert set(other.freed) == {"card"}, "also while nobody asks it anything"
        other.modes.put("card", NORMAL)
        assert one.modes.all()["desk"].now == NORMAL
        await one.modes.close()
        await other.modes.close()

    run(test)


def test_only_a_node_whose_mode_is_set_here_takes_one(tmp_path: Path) -> None:
    async def test() -> None:
        modes = Stage(tmp_path).modes
        with pytest.raises(ModeToldElsewhere, match=r"is what http://tower\.local:18000 tells"):
            modes.put("tower", GAMING)
        for name in ("sky", "nobody"):
            with pytest.raises(NoModes, match=f"called {name}") as caught:
                modes.put(name, GAMING)
            assert caught.value.hint == "Nodes that have modes are desk, tower."
        for nodes, error, says in (
            ({"sky": CLOUD}, NoModes, "no node has modes"),
            ({"tower": TOWER}, ModeToldElsewhere, "sources tell the modes of all nodes"),
        ):
            with pytest.raises(error, match=says):
                Modes(nodes, Stage()._ask, Stage()._free, clock=lambda: 0.0).put(None, GAMING)
        assert not list(tmp_path.iterdir())  # noqa: ASYNC240

    run(test)


# The source, over HTTP.


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ([status(200, {"mode": "NORMAL"})], NORMAL),
        ([status(200, {"mode": "GAMING", "since": 3})], GAMING),
        ([status(200, {"mode": "gaming"})], UpstreamFault),
        ([status(200, "[]")], UpstreamFault),
        ([status(200, "NORMAL")], UpstreamFault),
        ([status(500, {"mode": "NORMAL"})], UpstreamFault),
        ([status(302, "", "Location: http://127.0.0.1:1/")], UpstreamFault),
        ([status(401)], NodeUnavailable),
        ([CLOSE], NodeUnavailable),
        ([HANG], NodeUnavailable),
    ],
)
def test_a_source_tells_a_mode_or_why_not(answer: Sequence[object], found: str | type[Exception]) -> None:
    async def test() -> None:
        async with raw_server() as server:
            server.answer(*answer, path="/mode")
            source = ModeSource(replace(TOWER, mode_url=f"{server.url}/mode", key_env="HOME"))
            if isinstance(found, str):
                assert await source.ask() == found
            else:
                with pytest.raises(found, match=f"mode source of node tower at {server.url}/mode"):
                    await source.ask()
            assert server.seen[0].method == "GET"
            assert "authorization" not in server.seen[0].headers, "it never sees the key of the node"
            await source.close()

    run(test)


# A fleet over the double: what GAMING keeps away, and what it takes out of memory.


def profile(url: str, mode_url: str = "") -> Profile:
    memory = NodeMemory(9, reserve_gib=0.5)
    desk = NodeConfig("desk", "ollama", url, "local", queue=4, memory=memory, mode_url=mode_url)
    runners = {
        "small": RunnerProfile("small", "desk", "llama3.2:3b", "Q4_K_M", 4096, 500, keep_alive=-1),
        "large": RunnerProfile("large", "desk", "qwen3:8b", "Q4_K_M", 4096, 500),
    }
    tiers = {"fast": ("small",), "balanced": ("large",), "deep": ("large",)}
    embedding = EmbeddingModel("desk", "all-minilm", 256, keep_alive=-1)
    return Profile("test", "", {"desk": desk}, runners, tiers, {}, (), embedding=embedding)


@asynccontextmanager
async def desk(
    mode_url: str = "", folder: Path | None = None, **knobs: object
) -> AsyncGenerator[tuple[Double, Fleet], None]:
    async with double(**{"answer": lambda _: "Plums are due.", "vram_gib": 16} | knobs) as ollama:  # type: ignore[arg-type]
        ours = profile(ollama.url, mode_url)
        fleet = Fleet(ours, embeds=True, modes_file=folder / FILE if folder else None)
        try:
            yield ollama, fleet
        finally:
            await fleet.close()


async def say(fleet: Fleet, tier: str = "fast", force: str = "") -> str:
    await fleet.look()
    decision = fleet.decide(Wanted("ask", tier=tier, force=force), tier)
    async with aclosing(fleet.chat(decision, WORDS, on_phase=lambda *_: None)) as chunks:
        return "".join([chunk.text async for chunk in chunks])


def test_gaming_empties_the_memory_and_keeps_everything_away_but_a_force(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk(folder=tmp_path) as (ollama, fleet):
            await say(fleet)
            await say(fleet, "deep")
            await fleet.embed(["a note"])
            assert set(ollama.machine.loaded) == {"llama3.2:3b", "qwen3:8b", "all-minilm:latest"}
            fleet.modes.put("desk", GAMING)
            await eventually(lambda: not ollama.machine.loaded, 4)
            asked = len(ollama.requests)
            with pytest.raises(NodeUnavailable, match="node desk is in mode GAMING") as caught:
                await say(fleet)
            assert "kos mode NORMAL" in caught.value.hint
            with pytest.raises(NodeUnavailable, match="in mode GAMING"):
                await fleet.embed(["a question"], question=True)
            with pytest.raises(NodeUnavailable, match="in mode GAMING"):
                await fleet._preload("desk", "small")
            assert all(seen.path == "/api/ps" for seen in ollama.requests[asked:] if seen.method == "POST")
            assert not ollama.machine.loaded
            assert await say(fleet, "balanced", force="header") == "Plums are due."
            assert ollama.chats()[-1].body["keep_alive"] == 0, "nobody may be there to take it out afterwards"
            await eventually(lambda: not ollama.machine.loaded, 6)
            assert ollama.machine.reloads == 0
            fleet.modes.put("desk", NORMAL)
            assert await say(fleet) == "Plums are due."

    run(test)


def test_an_answer_that_has_begun_is_finished_and_those_that_wait_are_turned_away() -> None:
    async def test() -> None:
        async with desk(decode=100.0, answer=lambda _: "word " * 60) as (ollama, fleet):
            first = asyncio.create_task(say(fleet))
            await eventually(lambda: ollama.machine.running > 0)
            waiting = [asyncio.create_task(say(fleet)), asyncio.create_task(say(fleet, "deep"))]
            await eventually(lambda: fleet.lines()["desk"]["waiting"] == 2)
            fleet.modes.put("desk", GAMING)
            forced = asyncio.create_task(say(fleet, "balanced", force="pattern"))
            assert await first == "word " * 60
            for task in waiting:
                with pytest.raises(NodeUnavailable, match="in mode GAMING"):
                    await task
            assert await forced == "word " * 60
            assert len(ollama.chats()) == 2
            await eventually(lambda: not ollama.machine.loaded, 6)

    run(test)


def test_the_source_of_a_node_rules_it() -> None:
    async def test() -> None:
        async with raw_server() as server, desk(f"{server.url}/mode") as (ollama, fleet):
            says(server, "GAMING")
            with pytest.raises(NodeUnavailable, match="in mode GAMING") as caught:
                await say(fleet)
            assert caught.value.hint.startswith("Wait until it is free")
            says(server, "NORMAL")
            mode = fleet.modes
            await eventually(lambda: mode.all()["desk"].mode == NORMAL, 3)
            assert await say(fleet) == "Plums are due."
            says(server, "GAMING")
            await eventually(lambda: not ollama.machine.loaded, 5)
            server.scripts["/mode"] = [[status(500)]]
            await asyncio.sleep(2)
            with pytest.raises(NodeUnavailable, match=r"in mode GAMING|last \d+ s ago"):
                await say(fleet)

    run(test)


def says(server: RawServer, mode: str) -> None:
    server.scripts["/mode"] = [[status(200, {"mode": mode})]]


STEPS = st.lists(
    st.one_of(st.sampled_from([NORMAL, GAMING, "away"]), st.floats(0.1, 9), st.sampled_from(["ask", "force"])),
    max_size=40,
)


@given(STEPS)
def test_no_trace_brings_work_to_a_gated_node_unless_it_is_forced(steps: list[str | float]) -> None:
    """The source, time and requests in any order: what is let in came soon after the source last meant NORMAL."""

    async def test() -> None:
        stage = Stage()
        ours = replace(profile(""), nodes={"desk": replace(TOWER, name="desk")})
        fleet = Fleet(ours, clock=stage.clock.now, sleep=stage.clock.sleep)
        fleet.modes = Modes(
            ours.nodes,
            lambda _: stage._ask(TOWER),
            stage._free,
            clock=stage.clock.now,
            sleep=stage.clock.sleep,
        )
        await fleet.modes.look()
        normal_at = stage.clock.now()
        for step in steps:
            if isinstance(step, float):
                await stage.clock.advance(step)
            elif step in ("ask", "force"):
                since = stage.clock.now() - normal_at
                try:
                    fleet.decide(Wanted("ask", force="header" if step == "force" else ""), "fast")
                except NodeUnavailable:
                    assert step == "ask"
                else:
                    assert step == "force" or since <= (2 if stage.says == GAMING else MODE_SECONDS + POLL_SECONDS)
            else:
                stage.says = None if step == "away" else step
            if stage.says == NORMAL:
                normal_at = stage.clock.now()
        await fleet.close()

    run(test)
