"""The choice of node and model: the same for the same inputs, recorded with reasons, never by chance."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.decision import Decision, Known, NodeView, RunnerView, Wanted
from inference.mode import MODE_SECONDS
from inference.node import ContextTooLarge, InferenceError, NodeBusy, NodeUnavailable, NothingFits, OverBudget
from inference.policy import decide, forced, most_cost
from inference.profile import NodeConfig, Profile, RunnerProfile, load
from tests.decisions import inputs_of, profile_of

NODES = {
    "desk": NodeConfig("desk", "ollama", "http://127.0.0.1:1", "local"),
    "rack": NodeConfig("rack", "ollama", "http://10.0.0.2:1", "lan"),
    "vault": NodeConfig("vault", "ollama", "http://10.0.0.3:1", "lan", trusted=True),
    "sky": NodeConfig("sky", "openai", "https://sky.example", "cloud"),
}


def runner(name: str, node: str, model: str, num_ctx: int = 8192) -> RunnerProfile:
    return RunnerProfile(name, node, model, "Q4", num_ctx, 1000)


RUNNERS = {
    one.name: one
    for one in (
        runner("small", "desk", "llama3.2:3b"),
        runner("middle", "desk", "qwen2.5:7b"),
        runner("rack-middle", "rack", "qwen2.5:7b", 16384),
        runner("vault-large", "vault", "qwen3:32b", 32768),
        runner("sky-large", "sky", "grand", 65536),
    )
}
TIERS = {
    "fast": ("small",),
    "balanced": ("rack-middle", "middle"),
    "deep": ("sky-large", "vault-large"),
}
PROFILE = Profile("test", "", NODES, RUNNERS, TIERS, {"orient": "fast", "plan": "balanced", "draft": "middle"}, ())


def choose(wanted: Wanted, default_tier: str = "balanced", away: tuple[str, ...] = ()) -> Decision:
    return decide(PROFILE, wanted, default_tier=default_tier, id="d-1", known=without(*away))


def without(*away: str, **more: Any) -> Known:
    return Known({name: NodeView(answers=name not in away) for name in NODES}, **more)


@pytest.mark.parametrize(
    ("wanted", "default_tier", "chosen", "tier", "rule"),
    [
        (Wanted("orient"), "deep", "small", "fast", "command"),
        (Wanted("plan"), "fast", "rack-middle", "balanced", "command"),
        (Wanted("draft"), "fast", "middle", "", "command"),
        (Wanted("own"), "deep", "sky-large", "deep", "default"),
        (Wanted("orient", tier="deep"), "fast", "sky-large", "deep", "target:tier"),
        (Wanted("orient", model="qwen2.5:7b"), "fast", "middle", "", "target:model"),
        (Wanted("plan", model="qwen2.5:7b"), "fast", "rack-middle", "balanced", "target:model"),
        (Wanted("orient", model="vault-large"), "fast", "vault-large", "", "target:model"),
        (Wanted("orient", node="desk"), "fast", "small", "fast", "target:node"),
        (Wanted("plan", node="desk"), "fast", "middle", "balanced", "target:node"),
        (Wanted("orient", node="vault"), "fast", "vault-large", "", "target:node"),
        (Wanted("orient", node="desk", model="qwen2.5:7b"), "fast", "middle", "", "target:node+model"),
        (Wanted("orient", node="vault", tier="deep"), "fast", "vault-large", "deep", "target:node+tier"),
        (
            Wanted("x", node="rack", model="QWEN2.5:7B", tier="balanced"),
            "",
            "rack-middle",
            "balanced",
            "target:node+model+tier",
        ),
    ],
)
def test_the_runner_follows_from_target_table_and_prompt(
    wanted: Wanted, default_tier: str, chosen: str, tier: str, rule: str
) -> None:
    decision = choose(wanted, default_tier)
    assert (decision.runner, decision.tier, decision.rule) == (chosen, tier, rule)
    picked = RUNNERS[chosen]
    assert (decision.node, decision.klass) == (picked.node, NODES[picked.node].klass)
    assert (decision.model, decision.num_ctx, decision.answer_tokens) == (picked.model, picked.num_ctx, 1000)


def test_the_record_names_every_other_runner_with_its_reason() -> None:
    decision = choose(Wanted("plan"))
    assert dict(decision.rejected) == {
        "small": "not in tier balanced",
        "middle": "comes after rack-middle",
        "vault-large": "not in tier balanced",
        "sky-large": "not in tier balanced",
    }
    assert decision.why == "Profile test gives plan tier balanced; rack-middle is the first that fits."


def test_the_sentence_says_who_was_passed_over_and_why() -> None:
    decision = choose(Wanted("plan", private=True))
    assert decision.runner == "middle"
    assert decision.why == (
        "Profile test gives plan tier balanced; rack-middle is out (private notes do not go to lan node rack), "
        "middle is the first that fits."
    )
    assert choose(Wanted("own")).why.startswith("The prompt of own names tier balanced;")
    assert choose(Wanted("own", node="desk", tier="fast")).why.startswith("The request names node desk and tier fast;")


def test_as_json_it_has_class_and_reasons_by_name() -> None:
    data = json.loads(json.dumps(choose(Wanted("orient")).as_dict()))
    assert data["class"] == "local"
    assert "klass" not in data
    assert {"runner": "middle", "reason": "not in tier fast"} in data["rejected"]
    assert set(data) == set(
        "id command tier runner node class model num_ctx answer_tokens rule why rejected degraded eta_seconds".split()
    )


def test_private_notes_stay_on_local_nodes_and_trusted_ones() -> None:
    assert choose(Wanted("plan", private=True)).klass == "local"
    assert choose(Wanted("own", private=True), "deep").node == "vault"
    for target in (Wanted("own", node="sky", private=True), Wanted("own", model="grand", private=True)):
        with pytest.raises(NothingFits, match="private notes do not go to cloud node sky") as caught:
            choose(target)
        assert "local node" in caught.value.hint


def test_trust_never_opens_the_cloud() -> None:
    nodes = NODES | {"sky": replace(NODES["sky"], trusted=True)}
    with pytest.raises(NothingFits):
        decide(
            replace(PROFILE, nodes=nodes),
            Wanted("own", node="sky", private=True),
            default_tier="deep",
            id="d",
        )


def test_a_node_that_does_not_answer_is_passed_over() -> None:
    decision = choose(Wanted("plan"), away=("rack",))
    assert decision.runner == "middle"
    assert dict(decision.rejected)["rack-middle"] == "node rack does not answer"


def test_no_other_tier_is_taken_because_a_node_is_away() -> None:
    with pytest.raises(
        NodeUnavailable, match=r"no node can do orient now \(small: node desk does not answer\)"
    ) as caught:
        choose(Wanted("orient"), away=("desk",))
    assert "ollama serve" in caught.value.hint
    assert "KOS_OLLAMA_URL" in caught.value.hint


def test_a_named_node_that_is_away_is_not_replaced() -> None:
    with pytest.raises(NodeUnavailable, match="node vault does not answer") as caught:
        choose(Wanted("orient", node="vault"), away=("vault",))
    assert "vault" in caught.value.hint


def test_a_node_nothing_is_known_of_is_taken_to_answer() -> None:
    assert decide(PROFILE, Wanted("orient"), default_tier="fast", id="d").runner == "small"


@pytest.mark.parametrize(
    ("wanted", "default_tier", "said", "hint"),
    [
        (Wanted("orient", tier="huge"), "fast", "no tier 'huge'", "fast, balanced, deep"),
        (Wanted("orient", model="gpt-9"), "fast", "no model 'gpt-9'", "llama3.2:3b, qwen2.5:7b"),
        (Wanted("orient", node="moon"), "fast", "no node 'moon'", "desk, rack, vault, sky"),
        (Wanted("own"), "huge", "no tier 'huge'", "fast, balanced, deep"),
        (Wanted("own"), "", "no tier ''", "fast, balanced, deep"),
        (Wanted("orient", tier="fast", node="rack"), "fast", "small: not on node rack", "another tier"),
        (Wanted("orient", tier="fast", model="grand"), "fast", "small: not model grand", "another tier"),
        (Wanted("orient", node="rack", model="grand"), "fast", "rack-middle: not model grand", "another tier"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(wanted: Wanted, default_tier: str, said: str, hint: str) -> None:
    with pytest.raises(NothingFits) as caught:
        choose(wanted, default_tier)
    assert said in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.code == "invalid"


def test_a_tier_a_profile_does_not_have_is_refused() -> None:
    small = replace(PROFILE, tiers={"fast": ("small",)})
    with pytest.raises(NothingFits, match="no tier 'deep'"):
        decide(small, Wanted("own"), default_tier="deep", id="d")


def test_every_command_of_the_default_profile_gets_its_tier() -> None:
    profile = load("rtx3080")
    for command, tier in profile.commands.items():
        decision = decide(profile, Wanted(command), default_tier="fast", id="d")
        assert decision.tier == tier
        assert decision.rule == "command"


names = st.sampled_from
wishes = st.builds(
    Wanted,
    command=names(["orient", "plan", "draft", "own"]),
    tier=names(["", "", "fast", "balanced", "deep"]),
    model=names(["", "", "qwen2.5:7b", "grand", "small"]),
    node=names(["", "", *NODES]),
    private=st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(
    wanted=wishes, tier=names(["fast", "balanced", "deep"]), healthy=st.dictionaries(names(list(NODES)), st.booleans())
)
def test_no_wish_breaks_a_filter_and_the_same_wish_gives_the_same_decision(
    wanted: Wanted, tier: str, healthy: dict[str, bool]
) -> None:
    known = Known({name: NodeView(answers=answers) for name, answers in healthy.items()})

    def once() -> Decision | str:
        try:
            return decide(PROFILE, wanted, default_tier=tier, id="d", known=known)
        except InferenceError as error:
            return f"{type(error).__name__} {error} {error.hint}"

    decision = once()
    assert decision == once()
    if isinstance(decision, str):
        return
    node, chosen = NODES[decision.node], RUNNERS[decision.runner]
    assert not wanted.private or node.klass == "local" or (node.klass == "lan" and node.trusted)
    assert healthy.get(decision.node, True)
    assert wanted.node in ("", decision.node)
    assert wanted.model in ("", chosen.model, chosen.name)
    assert wanted.tier in ("", decision.tier)
    assert {name for name, _ in decision.rejected} == set(RUNNERS) - {decision.runner}
    assert all(reason for _, reason in decision.rejected)


# --- memory


def test_a_runner_over_the_budget_is_no_candidate() -> None:
    over = {"rack-middle": "over the memory budget: needs 20 GiB of 8"}

    def chosen(wanted: Wanted, over: dict[str, str], away: tuple[str, ...] = ()) -> Decision:
        return decide(PROFILE, wanted, default_tier="fast", id="d-1", known=without(*away, over=over))

    found = chosen(Wanted("plan"), over)
    assert found.runner == "middle"
    assert ("rack-middle", over["rack-middle"]) in found.rejected
    assert "rack-middle is out (over the memory budget" in found.why
    both = over | {"middle": "over the memory budget: needs 9 GiB of 8"}
    with pytest.raises(
        OverBudget, match=r"no model for plan fits into memory \(middle: over .* of 8; rack-middle: "
    ) as told:
        chosen(Wanted("plan"), both)
    assert told.value.code == "over_budget"
    assert "kos plan-memory" in told.value.hint
    with pytest.raises(NodeUnavailable):  # starting it comes first: until then the vault answers alone
        chosen(Wanted("plan"), both, away=("desk",))
    with pytest.raises(OverBudget):
        chosen(Wanted("plan", model="middle", node="desk"), both | {"small": "over the memory budget: x"})


# --- force


def test_a_force_asks_for_the_big_tier_and_else_for_the_deepest() -> None:
    forced_by = choose(Wanted("orient", force="header"), "fast")
    assert (forced_by.runner, forced_by.tier, forced_by.rule) == ("sky-large", "deep", "force:header")
    assert forced_by.why.startswith("The request forces the big model by its header; ")
    big = replace(PROFILE, tiers=TIERS | {"big": ("vault-large",)})
    assert decide(big, Wanted("orient", force="model"), default_tier="fast", id="d").runner == "vault-large"
    flat = replace(PROFILE, tiers={"fast": ("small",), "balanced": ("middle",)}, commands={})
    assert decide(flat, Wanted("orient", force="pattern"), default_tier="fast", id="d").runner == "middle"


def test_a_force_and_a_name_hold_both() -> None:
    decision = choose(Wanted("orient", force="header", node="rack"), "fast")
    assert (decision.runner, decision.rule) == ("rack-middle", "force:header")
    assert "and names node rack" in decision.why
    assert choose(Wanted("orient", force="header", node="desk", tier="balanced"), "fast").runner == "middle"


def test_a_force_never_opens_a_private_word_to_the_cloud() -> None:
    assert choose(Wanted("orient", force="header", private=True), "fast").node == "vault"
    with pytest.raises(NothingFits, match="private notes do not go to cloud node sky"):
        choose(Wanted("orient", force="header", node="sky", private=True), "fast")


@pytest.mark.parametrize(
    ("text", "pattern", "found"),
    [
        ("think hard #force_big", "#force_big", True),
        ("#Force_Big: think", "#force_big", True),
        ("(#force_big)", "#force_big", True),
        ("#force_bigger", "#force_big", False),
        ("#force_big/none", "#force_big", False),
        ("a/#force_big", "#force_big", False),
        ("x#force_big", "#force_big", False),
        ("force_big", "#force_big", False),
        ("anything", "", False),
        ("so !!big it is", "!!big", True),
        ("a.b", "a?b", False),
    ],
)
def test_the_pattern_is_a_word_of_its_own(text: str, pattern: str, found: bool) -> None:
    assert forced(text, pattern) is found


# --- filters


def of(**nodes: dict[str, Any]) -> Profile:
    """The profile with other fields of some nodes."""
    return replace(PROFILE, nodes=NODES | {name: replace(NODES[name], **more) for name, more in nodes.items()})


def test_a_node_for_humans_takes_what_names_it() -> None:
    profile = of(rack={"role": "human-only"})
    decision = decide(profile, Wanted("plan"), default_tier="fast", id="d")
    assert decision.runner == "middle"
    assert dict(decision.rejected)["rack-middle"] == "node rack is for those who name it"
    assert decide(profile, Wanted("plan", node="rack"), default_tier="fast", id="d").runner == "rack-middle"
    with pytest.raises(NothingFits) as caught:
        decide(profile, Wanted("x", model="rack-middle"), default_tier="fast", id="d")
    assert caught.value.hint == "Name node rack if you mean it."


@pytest.mark.parametrize(
    ("mode", "age", "reason"),
    [
        ("NORMAL", 0.0, ""),
        ("NORMAL", 6.0, ""),
        ("NORMAL", 6.5, "the mode of node rack is not known: its source told it last 6 s ago"),
        ("GAMING", 0.0, "node rack is in mode GAMING"),
        ("GAMING", 60.0, "the mode of node rack is not known: its source told it last 60 s ago"),
        ("", 0.0, "the mode of node rack is not known"),
        ("gaming?", 0.0, "the mode of node rack is not known"),
    ],
)
def test_a_node_with_a_mode_source_takes_work_only_in_a_fresh_normal(mode: str, age: float, reason: str) -> None:
    profile = of(rack={"mode_url": "http://10.0.0.2:18000"})
    known = Known({"rack": NodeView(mode=mode, mode_age=age)})
    decision = decide(profile, Wanted("plan"), default_tier="fast", id="d", known=known)
    assert dict(decision.rejected).get("rack-middle", "") == reason
    assert decision.runner == ("middle" if reason else "rack-middle")
    wish = Wanted("plan", force="header", tier="balanced")
    assert decide(profile, wish, default_tier="fast", id="d", known=known).runner == "rack-middle", "a force lifts it"
    if reason:
        with pytest.raises(NodeUnavailable, match=reason) as caught:
            decide(profile, Wanted("plan", node="rack"), default_tier="fast", id="d", known=known)
        assert "force" in caught.value.hint


def test_a_broken_node_is_left_alone() -> None:
    known = Known({"rack": NodeView(broken=True)})
    decision = decide(PROFILE, Wanted("plan"), default_tier="fast", id="d", known=known)
    assert "failed several times" in dict(decision.rejected)["rack-middle"]


def test_a_window_too_small_for_the_text_leaves_it_to_a_larger_one() -> None:
    profile = replace(PROFILE, tiers=TIERS | {"balanced": ("middle", "rack-middle")})
    decision = decide(profile, Wanted("plan", text_tokens=9000), default_tier="fast", id="d")
    assert decision.runner == "rack-middle"
    assert "the text alone is about 9000 tokens, and qwen2.5:7b takes 8192 with the answer" in decision.why
    for answer, chosen in ((0, "rack-middle"), (692, "middle"), (693, "rack-middle"), (5000, "rack-middle")):
        wanted = Wanted("plan", text_tokens=7500, answer_tokens=answer)
        assert decide(profile, wanted, default_tier="fast", id="d").runner == chosen
    with pytest.raises(ContextTooLarge) as caught:
        decide(profile, Wanted("plan", text_tokens=16_000), default_tier="fast", id="d")
    assert (caught.value.prompt_tokens, caught.value.num_ctx) == (16_000, 16_384)


def test_a_model_that_cannot_answer_is_not_asked() -> None:
    known = without(unable={"rack-middle": "it only gives vectors"})
    assert decide(PROFILE, Wanted("plan"), default_tier="fast", id="d", known=known).runner == "middle"


def test_what_costs_too_much_is_not_asked() -> None:
    # A full window of sky-large: 64,536 tokens of prompt at 2, 1,000 of answer at 10 for a million: 0.139.
    priced: dict[str, Any] = {"price_in": 2.0, "price_out": 10.0}
    assert most_cost(replace(NODES["sky"], **priced), RUNNERS["sky-large"]) == pytest.approx(0.139072)

    def chosen(spent: float, **caps: float) -> Decision:
        known = Known({"sky": NodeView(spent=spent)})
        return decide(of(sky=priced | caps), Wanted("own"), default_tier="deep", id="d", known=known)

    assert chosen(5.0).runner == "sky-large"
    assert chosen(0.86, daily_cap=1.0).runner == "sky-large"
    late = chosen(0.87, daily_cap=1.0)
    assert late.runner == "vault-large"
    assert dict(late.rejected)["sky-large"] == "node sky has cost 0.87 today, and its cap is 1"
    dear = chosen(0.0, request_cap=0.1)
    assert dict(dear.rejected)["sky-large"] == "a request may cost 0.1391 at node sky, and its cap is 0.1"
    known = Known({"sky": NodeView(spent=2.0)})
    with pytest.raises(NodeUnavailable, match="has cost 2 today") as caught:
        decide(of(sky=priced | {"daily_cap": 1.0}), Wanted("own", node="sky"), default_tier="deep", id="d", known=known)
    assert "tomorrow" in caught.value.hint


# --- choice, overflow, fail-soft, admission

TWINS = NODES | {"loft": replace(NODES["rack"], name="loft")}


def twins(**more: dict[str, Any]) -> Profile:
    """Two nodes with the same model, and one in the cloud behind them."""
    nodes = {name: replace(node, **more.get(name, {})) for name, node in TWINS.items()}
    runners = RUNNERS | {"loft-middle": replace(RUNNERS["rack-middle"], name="loft-middle", node="loft")}
    tiers = TIERS | {"balanced": ("rack-middle", "loft-middle", "sky-large")}
    return replace(PROFILE, nodes=nodes, runners=runners, tiers=tiers)


def lines(profile: Profile, deadline: float = 60.0, **etas: float) -> Decision:
    """The decision when places at nodes are free in so many seconds; below 0 when the line is full."""
    views = {name: NodeView(eta_seconds=max(0.0, eta), full=eta < 0, retry_seconds=7.0) for name, eta in etas.items()}
    wanted = Wanted("plan", deadline_seconds=deadline)
    return decide(profile, wanted, default_tier="fast", id="d", known=Known(views))


def test_of_equals_the_one_that_is_free_first_takes_it() -> None:
    assert lines(twins()).runner == "rack-middle"
    decision = lines(twins(), rack=12, loft=3)
    assert (decision.runner, decision.eta_seconds, decision.rule) == ("loft-middle", 3, "command")
    assert dict(decision.rejected)["rack-middle"] == "node rack is free in about 12 s"
    assert "rack-middle is out (node rack is free in about 12 s)" in decision.why
    assert lines(twins(), rack=-1, loft=50).runner == "loft-middle"
    # middle is no equal of vault-large: the declared order decides.
    unlike = replace(PROFILE, tiers=TIERS | {"balanced": ("middle", "vault-large")})
    assert lines(unlike, desk=30).runner == "middle"


def test_what_a_line_cannot_take_in_time_goes_only_where_that_is_declared() -> None:
    with pytest.raises(NodeBusy) as caught:
        lines(twins(), rack=70, loft=65)
    assert "node loft is free in about 65 s, past the deadline of 60 s" in str(caught.value)
    assert caught.value.retry_after == 5.0
    assert "deadline_seconds" in caught.value.hint
    with pytest.raises(NodeBusy, match="the line of node rack is full") as caught:
        lines(twins(), rack=-1, loft=-1)
    assert caught.value.retry_after == 7.0
    assert "`queue`" in caught.value.hint
    for role in ("cloud", "burst"):
        decision = lines(twins(sky={"role": role}), rack=70, loft=-1)
        assert (decision.runner, decision.rule, decision.degraded) == ("sky-large", "command+overflow", False)
        assert "sky-large takes what overflows" in decision.why
        assert dict(decision.rejected)["loft-middle"] == "the line of node loft is full"
    assert lines(twins(sky={"role": "cloud"}), deadline=0, rack=900, loft=800).runner == "loft-middle"


def swapping(wanted: Wanted, **views: tuple[float, float]) -> Decision:
    """The decision when runners begin in so many seconds, of which so many are for loading; two stand in for `small`."""
    nodes = NODES | {"desk": replace(NODES["desk"], role="primary")}
    other = replace(RUNNERS["middle"], name="other", model="mistral:7b")
    small = replace(RUNNERS["small"], substitutes=("middle", "other"))
    profile = replace(PROFILE, nodes=nodes, runners=RUNNERS | {"small": small, "other": other})
    known = Known(runners={name: RunnerView(*view) for name, view in views.items()})
    return decide(profile, wanted, default_tier="fast", id="d", known=known)


def test_a_declared_substitute_takes_it_when_that_saves_a_load() -> None:
    own = Wanted("own")
    assert swapping(own, small=(0, 0), middle=(0, 0)).runner == "small"
    assert swapping(own, small=(9, 0), middle=(0, 0)).runner == "small", "its model is there; it only has to wait"
    decision = swapping(own, small=(3, 3), middle=(0, 0), other=(5, 5))
    assert (decision.runner, decision.rule, decision.degraded) == ("middle", "default+substitute", False)
    assert decision.tier == "fast", "it does the tier's work"
    assert decision.eta_seconds == 0
    assert dict(decision.rejected)["small"] == (
        "llama3.2:3b would have to be loaded on node desk, and begins in about 3 s"
    )
    assert decision.why.endswith("about 3 s), middle stands in for it.")
    assert swapping(own, small=(3, 3), middle=(4, 4), other=(4.6, 4.6)).runner == "middle", "about as soon"
    assert swapping(own, small=(3, 3), middle=(4.6, 4.6), other=(4.6, 0)).runner == "small"
    assert swapping(own, small=(3, 3), middle=(4, 4), other=(1, 0)).runner == "other", "the one that begins first"


def test_what_is_named_or_forced_has_no_substitute() -> None:
    for wanted in (Wanted("own", tier="fast"), Wanted("own", model="llama3.2:3b")):
        assert swapping(wanted, small=(3, 3), middle=(0, 0)).runner == "small"
    assert swapping(Wanted("own", node="desk"), small=(3, 3), middle=(0, 0)).runner == "middle"


def test_a_substitute_passes_every_filter_and_its_own_line() -> None:
    small = replace(RUNNERS["small"], substitutes=("middle",))
    profile = replace(PROFILE, runners=RUNNERS | {"small": small})
    views = {"small": RunnerView(70, 3), "middle": RunnerView(10, 0)}  # 67 s in the line
    wanted = Wanted("own", deadline_seconds=60)
    late = decide(profile, wanted, default_tier="fast", id="d", known=Known(runners=views))
    assert (late.runner, late.rule) == ("middle", "default+substitute"), "it rescues what would be late"
    assert "past the deadline of 60 s" in late.why
    over = Known(runners=views, over={"middle": "over"})
    with pytest.raises(NodeBusy, match="would have to be loaded"):
        decide(profile, wanted, default_tier="fast", id="d", known=over)


def test_a_backup_takes_nothing_while_a_primary_is_there() -> None:
    profile = twins(rack={"role": "backup"})
    assert lines(profile, loft=20).runner == "loft-middle", "though it is named first and free sooner"
    with pytest.raises(NodeBusy):
        lines(replace(profile, tiers=TIERS | {"balanced": ("loft-middle", "rack-middle")}), loft=-1)
    known = Known({"loft": NodeView(answers=False), "sky": NodeView(answers=False)})
    assert decide(profile, Wanted("plan"), default_tier="fast", id="d", known=known).runner == "rack-middle"


def test_if_nothing_is_left_the_fail_soft_list_is_and_says_so() -> None:
    soft = replace(PROFILE, fail_soft=("sky-large", "vault-large", "middle"))
    away = without("rack", "desk")
    decision = decide(soft, Wanted("plan"), default_tier="fast", id="d", known=away)
    assert (decision.runner, decision.tier, decision.degraded) == ("sky-large", "", True)
    assert decision.rule == "command+fail-soft"
    assert "rack-middle is out (node rack does not answer)" in decision.why
    assert decision.why.endswith("sky-large is the first that fits of the fail-soft list.")
    private = decide(soft, Wanted("plan", private=True), default_tier="fast", id="d", known=away)
    assert (private.runner, private.degraded) == ("vault-large", True)
    over = without(over={"rack-middle": "over", "middle": "over"})
    assert decide(soft, Wanted("plan", tier="balanced"), default_tier="fast", id="d", known=over).degraded
    assert not decide(soft, Wanted("plan"), default_tier="fast", id="d", known=without("rack")).degraded
    with pytest.raises(NodeUnavailable):
        decide(soft, Wanted("plan", node="rack", tier="balanced"), default_tier="fast", id="d", known=away)
    with pytest.raises(NodeUnavailable):
        decide(soft, Wanted("plan", node="rack"), default_tier="fast", id="d", known=away)


# --- properties


@settings(max_examples=600, deadline=None)
@given(st.randoms(use_true_random=False))
def test_whatever_is_asked_of_whatever_there_is(random: Random) -> None:
    profile, drawn = profile_of(random), inputs_of(random)
    wanted, tier, known = drawn.wanted, drawn.default_tier, drawn.known

    def once() -> Decision | str:
        try:
            return decide(profile, wanted, default_tier=tier, id="d", known=known)
        except InferenceError as error:
            return f"{type(error).__name__} {error} {error.hint} {error.retry_after}"

    decision = once()
    assert decision == once()
    if isinstance(decision, str):
        assert not decision.startswith("NodeBusy") or known.nodes
        return
    node, runner = profile.nodes[decision.node], profile.runners[decision.runner]
    view = known.nodes.get(node.name, NodeView())
    assert not wanted.private or node.klass == "local" or (node.klass == "lan" and node.trusted), "never forceable"
    assert node.role != "human-only" or wanted.node == node.name
    assert view.answers
    assert not view.broken
    assert not node.mode_url or wanted.force or (view.mode == "NORMAL" and view.mode_age <= MODE_SECONDS)
    answer = min(wanted.answer_tokens or runner.answer_tokens, runner.answer_tokens)
    assert wanted.text_tokens + answer <= runner.num_ctx
    assert runner.name not in known.over
    assert not node.daily_cap or view.spent + most_cost(node, runner) <= node.daily_cap
    assert not view.full
    one = known.runners.get(runner.name, RunnerView(view.eta_seconds))
    assert not wanted.deadline_seconds or one.eta_seconds - one.load_seconds < wanted.deadline_seconds
    if decision.rule.endswith("+substitute"):
        assert any(
            runner.name in other.substitutes and known.runners[other.name].load_seconds
            for other in profile.runners.values()
            if other.name in known.runners
        )
        assert (wanted.force, wanted.tier, wanted.model) == ("", "", "")
    assert wanted.node in ("", node.name)
    assert wanted.model in ("", runner.model, runner.name)
    assert decision.degraded == ("+fail-soft" in decision.rule)
    assert not decision.degraded or runner.name in profile.fail_soft
    assert not wanted.tier or runner.name in profile.tiers[wanted.tier] or decision.degraded
    assert {name for name, _ in decision.rejected} == set(profile.runners) - {runner.name}
    assert all(reason for _, reason in decision.rejected)
