"""How long a decision takes with 50 rules and 10 nodes, how long writing it down, and whether 10,000 come out again.

Run: python benchmarks/decisions.py. Takes ten seconds.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.decision import Decision, Known, NodeView, RunnerView, Wanted  # noqa: E402
from inference.ledger import Inputs, Ledger, replay  # noqa: E402 - the path must be set first
from inference.node import InferenceError  # noqa: E402
from inference.policy import decide  # noqa: E402
from inference.profile import ROLES, TIERS, NodeConfig, Profile, RunnerProfile  # noqa: E402

NODES, RULES, DECISIONS = 10, 50, 10_000


def profile(random: Random) -> Profile:
    """Ten nodes of every class and role with five runners each, fifty commands with a rule of their own."""
    nodes = {}
    for n in range(NODES):
        klass = ("local", "lan", "lan", "cloud")[n % 4]
        role = "cloud" if klass == "cloud" else ROLES[n % 3]
        mode = "http://10.0.0.1:18000" if n % 3 == 0 else ""
        node = NodeConfig(
            f"node-{n}", "ollama", "", klass, trusted=klass == "lan" and n % 2 == 0, role=role, mode_url=mode
        )
        nodes[node.name] = node
    runners = {}
    for n in range(NODES * 5):
        name = f"runner-{n}"
        others = (f"runner-{(n + NODES) % (NODES * 5)}",) if n % 2 else ()
        model = f"model-{n // 2}:7b"
        facts = (f"node-{n % NODES}", model, "Q4_K_M", 8192 << n % 3, 1024)
        runners[name] = RunnerProfile(name, *facts, substitutes=others)
    tiers = {tier: tuple(random.sample(list(runners), 10)) for tier in TIERS}
    commands = {f"command-{n}": random.choice((*tiers, *runners)) for n in range(RULES)}
    soft = tuple(random.sample(list(runners), 8))
    return Profile("large", "", nodes, runners, tiers, commands, (), fail_soft=soft)


def inputs(random: Random, of: Profile) -> Inputs:
    """A request with any target, in any state of the nodes."""
    views = {
        name: NodeView(
            answers=random.random() > 0.2,
            mode=random.choice(("NORMAL", "NORMAL", "GAMING", "")),
            mode_age=random.uniform(0, 8),
            eta_seconds=random.choice((0.0, random.uniform(0, 90))),
            full=random.random() < 0.1,
        )
        for name in of.nodes
    }
    over = {name: "over the memory budget: needs 9.41 GiB of 8.50" for name in of.runners if random.random() < 0.1}
    wanted = Wanted(
        command=f"command-{random.randrange(RULES)}",
        tier=random.choice(("", "", "", "deep")),
        node=random.choice(("", "", "", f"node-{random.randrange(NODES)}")),
        private=random.random() < 0.3,
        force=random.choice(("", "", "", "pattern")),
        text_tokens=random.choice((20, 9000)),
        deadline_seconds=60.0,
    )
    runners = {}
    for name in of.runners:
        load = random.choice((0.0, 0.0, 3.5))
        runners[name] = RunnerView(load + random.choice((0.0, random.uniform(0, 90))), load)
    return Inputs(wanted, "fast", Known(views, over, runners=runners))


def made(of: Profile, drawn: Inputs, identity: str) -> Decision | InferenceError:
    """The decision, or why there is none."""
    try:
        return decide(of, drawn.wanted, default_tier=drawn.default_tier, id=identity, known=drawn.known)
    except InferenceError as error:
        return error


def timed(rounds: int, work: Callable[[int], object]) -> str:
    """Median, 99 of 100, and the longest, in ms."""
    took = []
    for n in range(rounds):
        began = time.perf_counter()
        work(n)
        took.append(1e3 * (time.perf_counter() - began))
    took.sort()
    return f"{took[rounds // 2]:.3f} | {took[rounds * 99 // 100]:.3f} | {took[-1]:.3f}"


def main() -> None:
    """Print the figures."""
    random = Random(1)
    of = profile(random)
    drawn = [inputs(random, of) for _ in range(DECISIONS)]
    outcomes = [made(of, one, f"d-{n}") for n, one in enumerate(drawn)]
    print("| what | p50 ms | p99 ms | longest ms |\n|---|---|---|---|")
    print(f"| a decision | {timed(DECISIONS, lambda n: made(of, drawn[n], 'd'))} |")
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder), of, file_bytes=1 << 30)
        print(f"| writing it down | {timed(DECISIONS, lambda n: ledger.write(drawn[n], outcomes[n], f'd-{n}'))} |")
        ledger.close()
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        began = time.perf_counter()
        found = replay(Path(folder))
        took = time.perf_counter() - began
    refused = sum(isinstance(one, InferenceError) for one in outcomes)
    print(f"\n{found.identical} of {found.decisions} decisions ({refused} refusals) come out again, in {took:.1f} s;")
    print(f"a line has {size / DECISIONS:.0f} bytes on average.")


if __name__ == "__main__":
    main()
