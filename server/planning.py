"""Shows the memory plan: what each model takes, of how much, what stays loaded together, and what would fit instead."""

import asyncio
from typing import TYPE_CHECKING, Any

from inference.memory import GIB
from inference.plan import NodePlan, Plan
from inference.profile import ProfileError
from inference.seat import OVER, Seat
from server.config import Config, ConfigError

if TYPE_CHECKING:
    from inference.profile import Profile
    from server.screen import Screen

ALARM_FIX = "Close what else uses the card, set the server as the profile says, or lower num_ctx there."
_HEAD = ("tier", "runner", "model", "window", "KV", "weights", "cache", "compute", "context", "sum", "verdict")


def show(config: Config, screen: "Screen", *, as_json: bool) -> tuple[int, dict[str, Any]]:
    """Ask the nodes what they have, and print the plan.

    Args:
        config: names the profile.
        screen: where it is printed.
        as_json: print nothing: the caller does.

    Returns:
        Exit code, 4 when a model does not fit, and the plan.

    Raises:
        ConfigError: the profile cannot be used.
    """
    from server.house import profile_of  # noqa: PLC0415 - brings in every part

    try:
        profile = profile_of(config)
    except ProfileError as error:
        raise ConfigError(str(error), "`kos config` tells where the profile is named.") from None
    screen.progress("asking the nodes")
    try:
        plan, away = asyncio.run(_asked(profile, embeds=config.embeddings == "on"))
    finally:
        screen.clear()
    found = {"profile": profile.name, **plan.as_dict()}
    if not as_json:
        _print(screen, profile, plan, away)
    return (4 if plan.over else 0), found


async def _asked(profile: "Profile", *, embeds: bool) -> tuple[Plan, list[str]]:
    """The plan, and the nodes that do not answer."""
    from inference.fleet import Fleet  # noqa: PLC0415 - not before it is needed

    fleet = Fleet(profile, embeds=embeds)
    try:
        states = await fleet.states()
    finally:
        await fleet.close()
    return fleet.plan, [state.name for state in states if not state.reachable]


def _print(screen: "Screen", profile: "Profile", plan: Plan, away: list[str]) -> None:
    for node in plan.nodes:
        screen.heading(f"{node.node.name}: {budget(node)}")
        if node.node.name in away:
            screen.write("It does not answer: planned with what is known of such models.\n")
        rows = [_HEAD, *(_row(seat) for seat in node.seats)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            screen.write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")
        for line in _notes(node):
            screen.write(f"{line}\n")
        screen.write("\n")
    for name in profile.nodes:
        if all(node.node.name != name for node in plan.nodes):
            screen.write(
                f"{name}: its memory is not planned; the profile says nothing of it ([nodes.{name}.memory]).\n"
            )
    if plan.disabled:
        others = (
            "The other tiers work." if set(profile.tiers) - set(plan.disabled) else "Commands go by the vault alone."
        )
        screen.write(f"Disabled: {', '.join(plan.disabled)}. {others}\n")


def _row(seat: Seat) -> tuple[str, ...]:
    runner, wanted = seat.runner, seat.need
    told = ["?"] * 5
    if wanted and wanted.card:
        sizes = (wanted.weights, wanted.kv, wanted.compute, wanted.context, wanted.card)
        told = [f"{size / GIB:.2f}" for size in sizes]
    elif wanted:  # nothing of it is on a card
        told = ["-"] * 4 + [f"{wanted.host / GIB:.2f}"]
    window = f"{runner.num_ctx}" + (f" x {runner.slots}" if runner.slots > 1 else "")
    return (", ".join(seat.tiers) or "-", runner.name, runner.model, window, runner.kv_type, *told, seat.verdict)


def _notes(node: NodePlan) -> list[str]:
    found = []
    for seat in node.seats:
        name = seat.runner.name
        if seat.verdict == OVER:
            found.append(f"{name}: {seat.why}. {nearest(seat)}")
        elif seat.need is None:
            found.append(f"{name}: {seat.why}.")
        elif seat.need.host:
            found.append(f"{name}: {cpu_part(seat)}.")
        if seat.alarm:
            found.append(f"{name}: {seat.alarm} {ALARM_FIX}")
    found += [f"{one}." for one in (residents(node), node.finding) if one]
    return found


def budget(node: NodePlan) -> str:
    """What the models of a node have to fit into."""
    memory = node.node.memory
    if memory is None or not node.cards:
        room = f"{memory.ram_gib:g} GiB of the CPU's memory" if memory and memory.ram_gib else "the CPU's memory"
        return f"no card; {room} for models"
    cards = (
        f"{len(node.cards)} cards of {memory.vram_gib:g}" if len(node.cards) > 1 else f"a card of {memory.vram_gib:g}"
    )
    return f"{node.budget / GIB:.2f} GiB for models, of {cards} with {memory.reserve_gib:g} for others"


def nearest(seat: Seat) -> str:
    """What would fit instead of a model that does not."""
    told = [fit.told(seat.runner) for fit in seat.nearest]
    if told:
        return f"What fits: {'; or '.join(told)}."
    return 'Nothing smaller of it fits: take another model, or let a part run on the CPU with offload = "cpu".'


def cpu_part(seat: Seat) -> str:
    """What of a model runs on the CPU, and how fast it is then."""
    wanted = seat.need
    if wanted is None:
        return ""
    speed = f", about {seat.tokens_per_second:.0f} tokens per second" if seat.tokens_per_second else ""
    return f"{wanted.host / GIB:.2f} GiB in the CPU's memory, as declared{speed}"


def residents(node: NodePlan) -> str:
    """What stays loaded together and in which order it must be loaded; "" if nothing does."""
    if len(node.order) < 2:
        return f"{node.order[0]} stays loaded" if node.order else ""
    size = f" ({node.staying / GIB:.2f} GiB)" if node.cards else ""
    order = f", loaded in this order: {', then '.join(node.order)}" if node.node.kind == "ollama" and node.cards else ""
    return f"{' and '.join(node.order)} stay loaded together{size}{order}"
