"""The choice of node and model: the same for the same inputs, recorded with reasons, never by chance."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.node import InferenceError, NodeUnavailable, NothingFits, OverBudget
from inference.policy import Decision, Wanted, decide
from inference.profile import NodeConfig, Profile, RunnerProfile, load

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
    healthy = {name: name not in away for name in NODES}
    return decide(PROFILE, wanted, default_tier=default_tier, healthy=healthy, id="d-1")


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
    assert set(data) == set("id command tier runner node class model num_ctx answer_tokens rule why rejected".split())


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
            healthy={},
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
    assert decide(PROFILE, Wanted("orient"), default_tier="fast", healthy={}, id="d").runner == "small"


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
        decide(small, Wanted("own"), default_tier="deep", healthy={}, id="d")


def test_every_command_of_the_default_profile_gets_its_tier() -> None:
    profile = load("rtx3080")
    for command, tier in profile.commands.items():
        decision = decide(profile, Wanted(command), default_tier="fast", healthy={}, id="d")
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
    def once() -> Decision | str:
        try:
            return decide(PROFILE, wanted, default_tier=tier, healthy=healthy, id="d")
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
        healthy = {name: name not in away for name in NODES}
        return decide(PROFILE, wanted, default_tier="fast", healthy=healthy, id="d-1", over=over)

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
