"""Writes docs/profiles.md out of the shipped profiles and their memory plans: `python scripts/profiles.py`."""

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.memory import GIB  # noqa: E402 - the path must be set first
from inference.plan import NodePlan, make_plan  # noqa: E402
from inference.profile import Profile, load, shipped  # noqa: E402
from inference.seat import Seat  # noqa: E402
from server.planning import budget, residents  # noqa: E402

PAGE = ROOT / "docs" / "profiles.md"
_BEGIN = """# Profiles

A profile says which machines there are, which models they run and how, and which command gets which. Each is one
commented TOML file in [inference/profiles](../inference/profiles); every key is explained in
[rtx3080.toml](../inference/profiles/rtx3080.toml). Choose one with `--profile NAME`, or copy a file, edit it, and
name the copy. This page is written by `scripts/profiles.py` out of the files, and a test holds it against them.

## The sum
A model takes, in the memory of the card: its weights (the size of its file), the KV cache of its window, a buffer for
what is computed, and 0.35 GiB for the process (CUDA context). `kos plan-memory` prints this for the profile in force,
by what the node tells of its models (`/api/show`, `/api/tags`), else by a catalogue of known ones; `kos doctor` and
`GET /v1/status` have it too. What is not measured but assumed: the 0.35 GiB; the 0.5 GiB that a card never gives;
that a model writes at 65 % of what the bandwidth of its memory allows. The buffer is an upper bound. When a node has
a model in memory with our window, its own figure (`/api/ps`) goes before the sum. It is an alarm if a part is on the
CPU that was not to be there, or if it takes more than the sum: then the server has other settings than the profile.

- **A model that does not fit is not used.** Its tier is disabled, with the numbers and the nearest that would fit (a
  smaller window, another KV type, fewer slots); the service starts and the other tiers work.
- **A part runs on the CPU only where `offload = "cpu"` says so**, and then the expected speed is told.
- **The order of loading is part of the plan.** Ollama loads a second model only if what it expects of it is at most
  80 % of what is free. That expectation knows nothing of KV types, head sizes and sliding windows, so a pair may fit
  in one order and push each other out in the other.

In the tables below sizes are in GiB, tokens per second are those of one request at most, about, and a setting that
was not first recommended is left empty."""


def page() -> str:
    """The whole page."""
    parts = [_BEGIN + "\n", *(_profile(load(name)) for name in _names())]
    return "\n".join(parts)


def _names() -> list[str]:
    """The default first, and what belongs to it."""
    return sorted(shipped(), key=lambda name: (not name.startswith("rtx3080"), name))


def _profile(profile: Profile) -> str:
    lines = [f"## {profile.name}", f"{profile.description}.", "", "```text", *_head(profile.name), "```", ""]
    plan = make_plan(profile)
    for node in plan.nodes:
        lines += _node(node)
    commands = ", ".join(f"`{command}` → {target}" for command, target in profile.commands.items())
    by_words = "" if "update" in profile.commands else ", `update` → fast or balanced, by its words"
    lines += [f"Commands: {commands}{by_words}.", ""]
    lines += ["| setting | first recommended | here | why |", "|---|---|---|---|"]
    lines += [f"| `{one.name}` | {one.seed} | {one.ours} | {one.why} |" for one in profile.settings]
    return "\n".join([*lines, ""])


def _head(name: str) -> Iterator[str]:
    """What a profile's file says at its beginning, without what it says of files."""
    for line in (ROOT / "inference" / "profiles" / f"{name}.toml").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            return
        yield line.removeprefix("#").removeprefix(" ").replace("Every key is explained in rtx3080.toml. ", "")


def _node(node: NodePlan) -> Iterator[str]:
    yield f"Node `{node.node.name}` ({node.node.klass}): {budget(node)}."
    yield ""
    yield "| tier | model | window | KV | weights | cache | compute | context | sum | on the CPU | tokens/s |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for seat in node.seats:
        yield _row(seat)
    yield ""
    if told := residents(node):
        yield f"{told}."
        yield ""


def _row(seat: Seat) -> str:
    one, need = seat.runner, seat.need
    if need is None:
        raise ValueError(f"nothing is known of {one.model}")
    sizes = (need.weights, need.kv, need.compute, need.context, need.card)
    told = [f"{size / GIB:.2f}" if need.card else "" for size in sizes]
    host = f"{need.host / GIB:.2f}" if need.host else ""
    model = f"`{one.model}` {one.quantisation}"
    speed = f"{seat.tokens_per_second:.0f}"
    cells = (", ".join(seat.tiers), model, str(one.num_ctx), one.kv_type, *told, host, speed)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
