"""What goes when one more model is loaded: as the plan says, and never other than the machine of the double does."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.plan import make_plan
from inference.profile import NodeConfig, NodeMemory, Profile, keep_seconds, load, shipped
from inference.room import PlannedRoom
from tests.ollama_machine import HandClock, Launch, Machine, settle


def room(name: str, **more: Any) -> PlannedRoom:
    return PlannedRoom(next(iter(make_plan(load(name), **more).nodes)))


def test_the_larger_model_goes_first_where_ollama_refuses_it_beside_the_smaller_one() -> None:
    default = room("rtx3080")
    assert default.order == ("qwen-7b", "llama-3b")
    assert default.pushed_out(["qwen-7b"], "llama-3b") == ()
    assert default.pushed_out(["llama-3b"], "qwen-7b") == ("llama-3b",)
    assert set(default.pushed_out(["qwen-7b", "llama-3b"], "qwen-8b")) == {"qwen-7b", "llama-3b"}
    assert default.pushed_out(["qwen-8b"], "qwen-7b") == ("qwen-8b",)
    assert default.pushed_out(["qwen-7b", "llama-3b"], "llama-3b") == ()


def test_the_one_with_the_shortest_keep_alive_goes_first() -> None:
    wide = load("rtx3080")
    nodes = {"local": replace(wide.nodes["local"], memory=NodeMemory(14, reserve_gib=0.5))}
    plan = PlannedRoom(make_plan(replace(wide, nodes=nodes)).nodes[0])
    assert plan.pushed_out(["llama-3b", "qwen-8b"], "qwen-7b") == ("qwen-8b",)


def test_no_more_models_are_kept_than_the_server_keeps() -> None:
    kept = [
        replace(one, ours="1") if one.name == "OLLAMA_MAX_LOADED_MODELS" else one for one in load("rtx3080").settings
    ]
    alone = PlannedRoom(make_plan(replace(load("rtx3080"), settings=tuple(kept))).nodes[0])
    assert alone.pushed_out(["qwen-7b"], "llama-3b") == ("qwen-7b",)


def test_what_is_not_planned_is_taken_to_fit() -> None:
    assert PlannedRoom(None).pushed_out(["a", "b"], "c") == ()
    assert room("rtx3080").pushed_out(["qwen-7b", "nobody"], "nobody else") == ()


def test_models_on_the_processor_go_when_its_memory_is_full() -> None:
    cpu = load("cpu")
    small = replace(cpu.runners["llama-1b"], name="more", model="llama3.2:3b", offload="cpu")
    node: NodeConfig = replace(cpu.nodes["local"], memory=NodeMemory(0, ram_gib=3))
    wide: Profile = replace(cpu, nodes={"local": node}, runners={**cpu.runners, "more": small})
    assert PlannedRoom(make_plan(wide).nodes[0]).pushed_out(["llama-1b"], "more") == ("llama-1b",)
    large = replace(wide, nodes={"local": replace(node, memory=NodeMemory(0, ram_gib=30))})
    assert PlannedRoom(make_plan(large).nodes[0]).pushed_out(["llama-1b"], "more") == ()


@pytest.mark.parametrize(
    ("keep_alive", "seconds"),
    [
        (0, 0),
        (90, 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        (-1, float("inf")),
        ("-1s", float("inf")),
    ],
)
def test_keep_alive_in_seconds(keep_alive: str | int, seconds: float) -> None:
    assert keep_seconds(keep_alive) == seconds


def test_every_shipped_profile_has_a_room() -> None:
    for name in shipped():
        for node in make_plan(load(name), embeds=True).nodes:
            planned = PlannedRoom(node)
            there: list[str] = []
            for runner in planned.order:
                assert planned.pushed_out(there, runner) == (), "the order of loading is one in which all stay"
                there.append(runner)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["llama-3b", "qwen-7b", "qwen-8b"]), min_size=1, max_size=12))
def test_the_machine_of_the_double_keeps_what_the_room_says(asked: list[str]) -> None:
    profile = load("rtx3080")
    planned = room("rtx3080")

    async def test() -> None:
        clock = HandClock()
        models = [one.model for one in profile.runners.values()]
        async with Machine(models, vram_gib=8.5, kv_type="q8_0", clock=clock) as machine:
            there: list[str] = []
            for name in asked:
                runner = profile.runners[name]
                model = machine.find(runner.model)
                assert model is not None
                launch = Launch(runner.num_ctx, runner.options["num_batch"], shift=False)
                async with machine.runner(model, launch, keep_seconds(runner.keep_alive)):
                    await settle()
                if name not in there:
                    gone = planned.pushed_out(there, name)
                    there = [*(one for one in there if one not in gone), name]
                assert set(machine.loaded) == {profile.runners[one].model for one in there}

    asyncio.run(test())
