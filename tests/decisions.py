"""Draws profiles, requests and what is known of nodes, for tests of the policy and of its ledger."""

from dataclasses import replace
from random import Random

from inference.decision import Known, NodeView, RunnerView, Wanted
from inference.ledger import Inputs
from inference.profile import ROLES, NodeConfig, Profile, RunnerProfile

NODES = {
    "desk": NodeConfig("desk", "ollama", "http://127.0.0.1:1", "local"),
    "rack": NodeConfig("rack", "ollama", "http://10.0.0.2:1", "lan"),
    "loft": NodeConfig("loft", "ollama", "http://10.0.0.3:1", "lan", trusted=True),
    "sky": NodeConfig("sky", "openai", "https://sky.example", "cloud", price_in=2.0, price_out=10.0),
}
RUNNERS = {
    one.name: one
    for one in (
        RunnerProfile("small", "desk", "llama3.2:3b", "Q4", 8192, 1000),
        RunnerProfile("middle", "desk", "qwen2.5:7b", "Q4", 8192, 1000),
        RunnerProfile("rack-middle", "rack", "qwen2.5:7b", "Q4", 8192, 1000),
        RunnerProfile("loft-large", "loft", "qwen3:32b", "Q4", 32768, 2000),
        RunnerProfile("sky-large", "sky", "grand", "", 65536, 3000),
    )
}


def profile_of(random: Random) -> Profile:
    """A profile of four nodes with any roles, mode sources and caps."""

    def some() -> tuple[str, ...]:
        return tuple(random.sample(list(RUNNERS), random.randint(1, 4)))

    nodes = {
        name: replace(
            node,
            role=random.choice(ROLES),
            mode_url=random.choice(("", "", "http://10.0.0.9:18000")),
            daily_cap=random.choice((0.0, 1.0)),
            request_cap=random.choice((0.0, 0.0, 0.1)),
        )
        for name, node in NODES.items()
    }
    runners = RUNNERS | {"small": replace(RUNNERS["small"], substitutes=random.choice(((), ("middle",))))}
    tiers = {tier: some() for tier in ("fast", "balanced", "deep")} | random.choice(({}, {"big": some()}))
    commands = {"orient": random.choice(("fast", "deep")), "draft": "middle"}
    return Profile("drawn", "", nodes, runners, tiers, commands, (), fail_soft=random.choice(((), some())))


def inputs_of(random: Random) -> Inputs:
    """A request with any target and labels, and what may be known of some of the nodes and models."""
    choice = random.choice
    wanted = Wanted(
        command=choice(("orient", "plan", "draft", "own")),
        tier=choice(("", "", "", "fast", "balanced", "deep")),
        model=choice(("", "", "", "", "qwen2.5:7b", "grand", "small", "nobody")),
        node=choice(("", "", "", "", "", *NODES, "moon")),
        private=choice((True, False)),
        task=choice(("", "simple words")),
        force=choice(("", "", "header", "model", "pattern")),
        text_tokens=choice((0, 10, 7500, 40_000)),
        answer_tokens=choice((0, 700)),
        deadline_seconds=choice((0.0, 60.0)),
    )
    nodes = {
        name: NodeView(
            answers=choice((True, True, True, False)),
            broken=choice((False, False, False, True)),
            mode=choice(("", "NORMAL", "NORMAL", "GAMING")),
            mode_age=random.uniform(0, 12),
            eta_seconds=choice((0.0, 0.0, 5.5, random.uniform(0, 120))),
            full=choice((False, False, False, True)),
            retry_seconds=random.uniform(1, 30),
            spent=choice((0.0, 0.0, 0.9)),
        )
        for name in NODES
        if choice((True, True, False))
    }
    over = {name: "over the memory budget: 9 of 8" for name in RUNNERS if choice((True, *[False] * 5))}
    runners = {
        name: RunnerView(load + choice((0.0, 0.0, random.uniform(0, 90))), load)
        for name in RUNNERS
        if choice((True, False))
        for load in (choice((0.0, 3.5)),)
    }
    return Inputs(wanted, choice(("fast", "balanced", "deep")), Known(nodes, over, runners=runners))
