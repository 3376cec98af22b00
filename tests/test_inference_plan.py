"""The plan: what fits with what is never said too hopefully, what does not is told with numbers and a way out."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from inference.catalogue import known
from inference.memory import GIB, need, predicted
from inference.model import ModelFacts, facts_of_show
from inference.node import Loaded
from inference.plan import EMBEDDING, Plan, make_plan
from inference.profile import EmbeddingModel, NodeConfig, NodeMemory, Profile, RunnerProfile, Setting, load, shipped
from inference.seat import Seat
from tests.ollama_api import _details, _model_info
from tests.ollama_machine import Launch, Machine, Model

CARD = NodeMemory(10, reserve_gib=0.5, vram_gbs=760, ram_gbs=40)
BUDGET = round(9.5 * GIB)


def node(memory: NodeMemory | None = CARD, kind: str = "ollama", name: str = "desk") -> NodeConfig:
    return NodeConfig(name, kind, "http://127.0.0.1:9", "local", memory=memory)


def runner(name: str, model: str, **more: Any) -> RunnerProfile:
    usual: dict[str, Any] = {
        "quantisation": "Q4_K_M",
        "num_ctx": 8192,
        "answer_tokens": 512,
        "kv_type": "q8_0",
        "keep_alive": -1,
    }
    one = RunnerProfile(name, "desk", model, **usual | more)
    return replace(one, options={"num_batch": 512, **one.options})


def profile(*runners: RunnerProfile, on: NodeConfig | None = None, max_loaded: str = "", **more: Any) -> Profile:
    on = on or node()
    names = tuple(one.name for one in runners)
    said = (Setting("OLLAMA_MAX_LOADED_MODELS", "", max_loaded, "test"),) if max_loaded else ()
    return Profile("test", "", {on.name: on}, {one.name: one for one in runners}, {"fast": names}, {}, said, **more)


def seat(plan: Plan, name: str) -> Seat:
    return next(one for node in plan.nodes for one in node.seats if one.runner.name == name)


# --- one model


def test_a_model_that_fits_is_told_with_its_sum() -> None:
    plan = make_plan(profile(runner("one", "mistral:7b")))
    one = seat(plan, "one")
    assert (one.verdict, plan.over, plan.disabled) == ("fits", {}, ())
    assert one.why == "5.09 GiB (weights 4.07 + KV 0.53 + compute 0.14 + context 0.35) of 9.50"


# What was once claimed for a card of 10 GB and others, and what arithmetic says of it: GiB with an f16, q8_0, q4_0 cache.
CLAIMS = [
    ("codellama:13b", "Q4_K_M", 16384, 1, (20.33, 14.47, 11.34)),
    ("codellama:7b", "Q6_K", 16384, 1, (13.6, 9.86, 7.86)),
    ("codellama:7b", "Q6_K", 8192, 1, (9.6, 7.73, 6.73)),
    ("deepseek-coder:6.7b", "Q6_K", 8192, 1, (9.6, 7.73, 6.73)),
    ("mistral:7b", "Q6_K", 16384, 1, (8.0, 7.1, 6.56)),
    ("mistral:7b", "Q6_K", 8192, 4, (10.03, 8.14, 7.16)),
    ("llama3.1:8b", "Q4_K_M", 8192, 4, (9.2, 7.3, 6.3)),
    ("codellama:34b", "Q3_K_S", 4096, 1, (14.9, 14.6, 14.4)),
]


@pytest.mark.parametrize(("model", "quantisation", "num_ctx", "slots", "sizes"), CLAIMS)
def test_what_was_once_claimed(
    model: str, quantisation: str, num_ctx: int, slots: int, sizes: tuple[float, float, float]
) -> None:
    for kv_type, size in zip(("f16", "q8_0", "q4_0"), sizes, strict=True):
        more = {"quantisation": quantisation, "num_ctx": num_ctx, "slots": slots, "kv_type": kv_type}
        one = seat(make_plan(profile(runner("one", model, **more))), "one")
        assert one.need is not None
        assert one.need.card / GIB == pytest.approx(size, abs=0.15)
        assert (one.verdict == "fits") is (one.need.card <= BUDGET)


def test_what_is_over_is_disabled_with_the_numbers_and_what_would_fit() -> None:
    big = runner("big", "codellama:13b", num_ctx=16384, kv_type="f16", slots=2)
    base = profile(big, runner("small", "mistral:7b"))
    plan = make_plan(replace(base, tiers={"fast": ("small",), "balanced": ("big", "small"), "deep": ("big",)}))
    assert plan.disabled == ("deep",)
    assert set(plan.over) == {"big"}
    assert "of 9.50" in plan.over["big"]
    assert "weights 7.33 + KV 25.00" in plan.over["big"]
    assert plan.over["big"].endswith("would fit")
    assert seat(plan, "big").nearest


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
@pytest.mark.parametrize("model", ["codellama:13b", "qwen2.5:14b", "gemma3:12b", "phi4:14b"])
def test_the_nearest_that_fits_does_and_the_next_step_does_not(model: str, kv_type: str, slots: int) -> None:
    base = runner("one", model, num_ctx=16384, kv_type=kv_type, slots=slots)
    one = seat(make_plan(profile(base)), "one")
    for fit in one.nearest:
        changed = replace(base, num_ctx=fit.num_ctx, kv_type=fit.kv_type, slots=fit.slots)
        assert seat(make_plan(profile(changed)), "one").verdict == "fits"
        assert fit.card <= BUDGET
        if fit.num_ctx < base.num_ctx:
            more = replace(changed, num_ctx=fit.num_ctx + 1024)
            assert seat(make_plan(profile(more)), "one").verdict == "over"
    assert bool(one.nearest) or one.verdict == "fits" or model == "qwen2.5:14b"


def test_nothing_smaller_may_fit() -> None:
    one = seat(make_plan(profile(runner("one", "codellama:34b", quantisation="Q3_K_S"))), "one")
    assert (one.verdict, one.nearest) == ("over", ())


def test_a_window_beyond_what_the_model_was_trained_for_is_over() -> None:
    one = seat(make_plan(profile(runner("one", "codellama:7b", num_ctx=32768, kv_type="q4_0"))), "one")
    assert (one.verdict, one.why) == ("over", "num_ctx is 32768, and codellama:7b was trained for 16384")
    assert [fit.num_ctx for fit in one.nearest] == [16384]


def test_a_model_nobody_knows_is_used_all_the_same() -> None:
    plan = make_plan(profile(runner("one", "unheard:9b"), runner("two", "mistral:7b")))
    assert (seat(plan, "one").verdict, plan.over) == ("unknown", {})
    assert plan.nodes[0].order == ("two",)


def test_what_the_node_tells_goes_before_the_catalogue() -> None:
    facts = known("mistral:7b", "Q4_K_M")
    assert facts is not None
    larger = replace(facts, size=2 * facts.size, source="node", vocabulary=0)
    one = seat(make_plan(profile(runner("one", "mistral:7b")), told={("desk", "mistral:7b"): larger}), "one")
    assert one.need is not None
    assert one.need.weights == 2 * facts.size
    assert one.facts == replace(larger, vocabulary=facts.vocabulary), "the catalogue knows what the file does not say"


def test_a_node_without_a_table_of_memory_is_not_planned() -> None:
    assert make_plan(profile(runner("one", "codellama:34b"), on=node(None))) == Plan()


# --- a part on the CPU


def test_a_part_on_the_cpu_must_be_declared() -> None:
    some = {"options": {"num_gpu": 20}}
    silent = seat(make_plan(profile(runner("one", "codellama:13b", num_ctx=4096, **some))), "one")
    assert silent.verdict == "over"
    assert "offload does not say so" in silent.why
    said = seat(make_plan(profile(runner("one", "codellama:13b", num_ctx=4096, offload="cpu", **some))), "one")
    assert said.verdict == "fits"
    assert said.need is not None
    assert said.need.host > 0
    assert 3 < said.tokens_per_second < 20


def test_without_a_number_of_layers_as_many_are_on_the_card_as_fit() -> None:
    base = runner("one", "codellama:13b", num_ctx=16384, offload="cpu")
    one = seat(make_plan(profile(base)), "one")
    assert one.need is not None
    assert one.verdict == "fits"
    assert 0 < one.need.share < 1
    model = known("codellama:13b", "Q4_K_M")
    assert model is not None
    wider = next(
        wanted
        for layers in range(42)
        if (wanted := need(replace(base, options={**base.options, "num_gpu": layers}), model)).weights
        > one.need.weights
    )
    assert one.need.card <= BUDGET < wider.card


def test_without_a_card_the_memory_of_the_cpu_is_the_limit() -> None:
    for ram, verdict in ((4, "fits"), (1, "over"), (0, "fits")):
        on = node(NodeMemory(0, ram_gib=ram, ram_gbs=40))
        one = seat(make_plan(profile(runner("one", "llama3.2:1b", offload="cpu"), on=on)), "one")
        assert one.verdict == verdict
    undeclared = seat(make_plan(profile(runner("one", "llama3.2:1b"), on=on)), "one")
    assert "offload does not say so" in undeclared.why


# --- what the node has in memory


def test_the_node_s_own_size_corrects_the_sum() -> None:
    base = profile(runner("one", "mistral:7b"))
    before = seat(make_plan(base), "one").need
    assert before is not None
    size = before.card - before.context - 50_000_000
    now = make_plan(base, loaded={"desk": [Loaded("MISTRAL:7B", size, size, 8192)]})
    after = seat(now, "one").need
    assert after is not None
    assert after.card - after.context == size
    other = make_plan(base, loaded={"desk": [Loaded("mistral:7b", size, size, 4096)]})
    assert seat(other, "one").need == before, "it was loaded by somebody else, with another window"


def test_a_part_on_the_cpu_that_was_not_planned_is_an_alarm() -> None:
    spilled = {"desk": [Loaded("mistral:7b", 5 * GIB, 4 * GIB, 8192)]}
    one = seat(make_plan(profile(runner("one", "mistral:7b")), loaded=spilled), "one")
    assert one.alarm == "1.00 GiB of 5.00 GiB run on the CPU, which was not planned."
    declared = seat(make_plan(profile(runner("one", "mistral:7b", offload="cpu")), loaded=spilled), "one")
    assert declared.alarm == ""
    unknown = seat(
        make_plan(profile(runner("one", "unheard:7b")), loaded={"desk": [Loaded("unheard:7b", 2, 1, 1)]}), "one"
    )
    assert unknown.alarm


def test_a_server_with_other_settings_shows_by_what_it_takes() -> None:
    base = profile(runner("one", "mistral:7b"))
    planned = seat(make_plan(base), "one").need
    assert planned is not None
    for kv_type, slots, said in (("q8_0", 1, ""), ("f16", 1, "0.47 GiB more"), ("q8_0", 4, "1.59 GiB more")):
        real = seat(make_plan(profile(runner("one", "mistral:7b", kv_type=kv_type, slots=slots))), "one").need
        assert real is not None
        size = real.card - real.context
        one = seat(make_plan(base, loaded={"desk": [Loaded("mistral:7b", size, size, 8192)]}), "one")
        assert said in one.alarm
        assert bool(one.alarm) is bool(said)
    assert one.alarm.endswith("started with OLLAMA_KV_CACHE_TYPE=q8_0 and OLLAMA_NUM_PARALLEL=1?")


# --- several models

# Of two models with windows of 8192 in q8_0 on 9.7 GiB: whether the second may come when the first, or the larger, is there.
PAIRS = [
    ("llama3.2:3b", "mistral:7b", True, True),
    ("llama3.2:3b", "qwen2.5:7b", True, True),
    ("qwen3:4b", "qwen2.5:7b", True, True),
    ("qwen3:4b", "mistral:7b", False, True),
    ("llama3.2:3b", "llama3.1:8b", False, True),
    ("llama3.2:3b", "qwen3:8b", False, True),
    ("qwen3:4b", "llama3.1:8b", False, True),
    ("qwen3:4b", "qwen3:8b", False, False),
]


@pytest.mark.parametrize(("small", "large", "small_first", "large_first"), PAIRS)
def test_the_order_of_loading_decides_what_ollama_keeps(
    small: str, large: str, small_first: bool, large_first: bool
) -> None:
    on = node(NodeMemory(10, reserve_gib=0.3))
    one, two = runner("small", small), runner("large", large)
    facts = [known(small, "Q4_K_M"), known(large, "Q4_K_M")]
    assert facts[0] is not None
    assert facts[1] is not None
    free = 9.7 * GIB
    assert (predicted(two, facts[1]) <= 0.8 * (free - need(one, facts[0]).card)) is small_first
    [planned] = make_plan(profile(one, two, on=on)).nodes
    assert planned.order == (("large", "small") if large_first else ())
    assert bool(planned.finding) is not large_first
    if not large_first:
        assert planned.finding.startswith("large, small are to stay loaded and cannot be loaded at once")
        assert set(planned.together) == {("large",), ("small",)}


def test_what_swaps_is_part_of_no_set_with_those_that_fill_the_card() -> None:
    deep = runner("deep", "qwen3:8b", num_ctx=16384, keep_alive="5m")
    [planned] = make_plan(profile(runner("a", "llama3.2:3b"), runner("b", "qwen2.5:7b"), deep)).nodes
    assert planned.stay == planned.order == ("b", "a")
    assert set(planned.together) == {("b", "a"), ("deep",)}
    assert planned.staying == sum(one.need.card for one in planned.seats if one.need and one.runner.name != "deep")


def test_ollama_keeps_no_more_models_than_it_is_told_to() -> None:
    small = [runner(f"n{n}", model) for n, model in enumerate(("llama3.2:1b", "llama3.2:3b", "qwen3:4b"))]
    for said, most in (("1", 1), ("2", 2), ("0", 3), ("", 3)):
        [planned] = make_plan(profile(*small, max_loaded=said, on=node(NodeMemory(24)))).nodes
        assert max(map(len, planned.together)) == most
        assert bool(planned.finding) is (most < 3)


def test_the_embedding_model_takes_its_place_when_it_is_used() -> None:
    embedding = EmbeddingModel("desk", "nomic-embed-text", 2048, keep_alive=-1, options={"num_gpu": 0})
    base = profile(runner("one", "mistral:7b"), embedding=embedding)
    [without] = make_plan(base).nodes
    [used] = make_plan(base, embeds=True).nodes
    assert without.order == ("one",)
    assert used.order == ("one", EMBEDDING)
    assert seat(Plan((used,)), EMBEDDING).verdict == "fits"


def test_another_server_has_all_its_models_at_once() -> None:
    both = runner("a", "llama3.1:8b", keep_alive=0), runner("b", "llama3.1:8b", keep_alive=0)
    one = [replace(both[0], model="llama3.1:8b"), replace(both[1], model="mistral:7b")]
    [planned] = make_plan(profile(*one, on=node(kind="openai"))).nodes
    assert planned.stay == ("a", "b")
    assert "cannot be loaded at once" in planned.finding
    [roomy] = make_plan(profile(*one, on=node(NodeMemory(24), kind="openai"))).nodes
    assert set(roomy.order) == {"a", "b"}


def test_a_model_wider_than_one_card_is_split_between_all() -> None:
    base = runner("one", "llama3.3:70b")
    for cards, verdict in ((1, "over"), (2, "fits")):
        plan = make_plan(profile(base, on=node(NodeMemory(24, cards=cards, reserve_gib=0.7))))
        assert seat(plan, "one").verdict == verdict
    wider = replace(base, model="qwen2.5:72b")
    assert seat(make_plan(profile(wider, on=node(NodeMemory(24, cards=2, reserve_gib=0.7)))), "one").verdict == "over"
    small = [runner("a", "qwen3:14b"), runner("b", "qwen3:8b")]
    [planned] = make_plan(profile(*small, on=node(NodeMemory(12, cards=2)))).nodes
    assert planned.order == ("a", "b"), "each on a card of its own"


def test_the_same_arguments_give_the_same_plan() -> None:
    for name in shipped():
        assert make_plan(load(name), embeds=True) == make_plan(load(name), embeds=True)
        assert make_plan(load(name)).as_dict() == make_plan(load(name)).as_dict()


# --- never too hopeful: held against the double, which counts in its own way


@st.composite
def models(draw: st.DrawFn) -> Model:
    """A model of any geometry that llama.cpp could run."""
    kv_heads = draw(st.sampled_from([1, 2, 4, 8, 16]))
    heads = kv_heads * draw(st.sampled_from([1, 2, 4, 7]))
    family = draw(st.sampled_from(["llama", "qwen3", "gemma3", "gemma2"]))
    period = {"gemma3": 6, "gemma2": 2}.get(family, 0)
    return Model(
        name=f"m{draw(st.integers(0, 10**9))}:latest",
        size=draw(st.integers(200, 9000)) << 20,
        family=family,
        parameters="7.0B",
        layers=draw(st.integers(2, 64)),
        embedding=heads * draw(st.sampled_from([32, 64, 80, 128])),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=draw(st.sampled_from([32, 64, 128, 256])),
        vocabulary=draw(st.sampled_from([32_000, 128_256, 262_144])),
        context=131_072,
        feed_forward=draw(st.integers(512, 32_768)),
        window=draw(st.sampled_from([512, 1024, 4096])) if period else 0,
        global_every=period,
    )


@st.composite
def machines(draw: st.DrawFn) -> tuple[Profile, dict[tuple[str, str], ModelFacts], list[Model]]:
    """A node with models, and what it tells of them."""
    those = draw(st.lists(models(), min_size=2, max_size=4, unique_by=lambda one: one.name))
    kv_type, slots = draw(st.sampled_from(["f16", "q8_0", "q4_0"])), draw(st.sampled_from([1, 1, 2, 4]))
    runners = [
        replace(
            runner(f"r{n}", one.name, num_ctx=draw(st.integers(1024, 24_000)), kv_type=kv_type, slots=slots),
            options=draw(st.sampled_from([{}, {"num_batch": 256}, {"num_batch": 512}, {"num_batch": 1024}])),
        )
        for n, one in enumerate(those)
    ]
    gib = draw(st.integers(16, 96)) / 4
    told = {
        ("desk", one.name): facts_of_show(
            one.name,
            {"model_info": _model_info(one), "details": _details(one), "capabilities": list(one.capabilities)},
            one.size,
        )
        for one in those
    }
    return profile(*runners, on=node(NodeMemory(gib, reserve_gib=0)), max_loaded="9"), told, those


async def loaded(of: Profile, those: Sequence[Model], order: Sequence[str]) -> Machine:
    """The double's machine once models were asked for in this order, each to stay."""
    first = next(iter(of.runners.values()))
    memory = of.nodes["desk"].memory
    assert memory is not None
    machine = Machine(those, vram_gib=memory.vram_gib, parallel=first.slots, kv_type=first.kv_type, max_loaded=9)
    async with machine:
        for name in order:
            one = of.runners[name]
            model = machine.find(one.model)
            assert model is not None
            options = {key: one.options[key] for key in ("num_batch", "num_gpu") if key in one.options}
            launch = Launch(num_ctx=one.num_ctx, shift=False, **options)
            async with machine.runner(model, launch, math.inf):
                pass
    return machine


def as_double(name: str, facts: ModelFacts) -> Model:
    """A model of the double with these facts."""
    first, windows = facts.layers[0], [one.window for one in facts.layers]
    return Model(
        name=name if ":" in name else f"{name}:latest",
        size=facts.size,
        family="llama",
        parameters="7.0B",
        layers=len(facts.layers),
        embedding=facts.width,
        heads=facts.heads,
        kv_heads=first.kv_heads,
        head_dim=first.key,
        vocabulary=facts.vocabulary,
        context=facts.trained,
        capabilities=("embedding",) if facts.encoder else ("completion",),
        feed_forward=facts.feed_forward,
        window=max(windows),
    )


@pytest.mark.parametrize("name", shipped())
def test_what_stays_by_a_shipped_profile_stays_in_ollama_when_loaded_in_its_order(name: str) -> None:
    of = load(name)
    for planned in make_plan(of, embeds=True).nodes:
        if len(planned.cards) != 1:
            continue
        seats = {one.runner.name: one for one in planned.seats}
        those = [as_double(one.runner.model, one.facts) for one in seats.values() if one.facts]
        for order in planned.together:
            if any(0 < one.need.share < 1 for one in map(seats.__getitem__, order) if one.need):
                continue  # the double has a model on the card whole or not at all
            gib = planned.budget / GIB
            on = profile(*(seats[one].runner for one in order), on=node(NodeMemory(gib, reserve_gib=0)))
            machine = asyncio.run(loaded(on, those, order))
            assert len(machine.loaded) == len(order)
            assert (machine.loads, machine.unloads) == (len(order), 0)
            assert machine.free >= 0
            assert all(one.on_gpu in (0, one.size) for one in machine.loaded.values())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(machines())
def test_what_the_plan_calls_together_is_together_in_ollama_s_own_accounts(
    drawn: tuple[Profile, dict[tuple[str, str], ModelFacts], list[Model]],
) -> None:
    of, told, those = drawn
    [planned] = make_plan(of, told=told).nodes
    event(f"largest set: {max(map(len, planned.together), default=0)}")
    for order in planned.together:
        machine = asyncio.run(loaded(of, those, order))
        assert {one.model for one in of.runners.values() if one.name in order} == set(machine.loaded)
        assert machine.unloads == 0
        assert machine.free >= 0
        assert all(one.on_gpu == one.size for one in machine.loaded.values()), "nothing on the CPU"
    for one in planned.seats:
        if one.verdict == "fits":
            machine = asyncio.run(loaded(of, those, [one.runner.name]))
            assert all(held.on_gpu == held.size for held in machine.loaded.values())
