"""A runner held against its node: what it takes, whether that fits, and what would if it does not. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inference.memory import GIB, Need, need, tokens_per_second
from inference.model import ModelFacts
from inference.node import Loaded
from inference.profile import KV_TYPES, NodeConfig, RunnerProfile

# Verdicts. Only what is `over` is disabled; what is not known may well fit.
FITS, OVER, UNKNOWN = "fits", "over", "unknown"
# Steps in which a smaller window is looked for, and the least that is worth naming, in tokens.
_STEP, _LEAST = 1024, 2048
# What a node may take beyond our sum before it is worth a word, in bytes.
_SLACK = 64 << 20


@dataclass(frozen=True, slots=True)
class Fit:
    """A way to run a model that would fit: as declared but for what stands here.

    Attributes:
        num_ctx, kv_type, slots: of the runner.
        card: bytes on the card.
    """

    num_ctx: int
    kv_type: str
    slots: int
    card: int

    def told(self, runner: RunnerProfile) -> str:
        """What would have to change, and what it takes."""
        names = ("num_ctx", "kv_type", "slots")
        changed = [f"{name} = {getattr(self, name)}" for name in names if getattr(self, name) != getattr(runner, name)]
        return f"{', '.join(changed)} ({gib(self.card)})"


@dataclass(frozen=True, slots=True)
class Seat:
    """A runner in the plan.

    Attributes:
        runner: how the model is run.
        tiers: of which it is part.
        facts: what is known of its model, None if nothing is.
        need: bytes it takes, None if that is not known.
        verdict: `fits`, `over` or `unknown`.
        why: a sentence for people.
        nearest: what would fit instead, best first; only for one that is over.
        tokens_per_second: written by one request, about; 0 if not known.
        observed: how the node has it in memory, None if it has not.
        alarm: what is wrong with that, "" if nothing is.
    """

    runner: RunnerProfile
    tiers: tuple[str, ...]
    facts: ModelFacts | None
    need: Need | None
    verdict: str
    why: str
    nearest: tuple[Fit, ...] = ()
    tokens_per_second: float = 0.0
    observed: Loaded | None = None
    alarm: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; sizes in bytes."""
        parts = ("weights", "kv", "compute", "context", "host", "card")
        return {
            "runner": self.runner.name,
            "model": self.runner.model,
            "tiers": list(self.tiers),
            "num_ctx": self.runner.num_ctx,
            "kv_type": self.runner.kv_type,
            "slots": self.runner.slots,
            "offload": self.runner.offload,
            "source": self.facts.source if self.facts else "",
            "need": {name: getattr(self.need, name) for name in parts} if self.need else None,
            "verdict": self.verdict,
            "why": self.why,
            "nearest": [{name: getattr(fit, name) for name in Fit.__slots__} for fit in self.nearest],
            "tokens_per_second": round(self.tokens_per_second, 1),
            "observed": {"size": self.observed.size, "size_vram": self.observed.size_vram} if self.observed else None,
            "alarm": self.alarm,
        }


def gib(size: float) -> str:
    """Bytes for people."""
    return f"{size / GIB:.2f} GiB"


def cards_of(node: NodeConfig) -> tuple[int, ...]:
    """Bytes of each card of a node that are for models; empty without one."""
    memory = node.memory
    if memory is None or not memory.vram_gib:
        return ()
    return (round((memory.vram_gib - memory.reserve_gib) * GIB),) * memory.cards


def placed(wanted: Need, free: tuple[int, ...]) -> tuple[int, ...] | None:
    """What is free on each card once a model is there, None if it does not fit: on one card if it can, else on all."""
    most = max(range(len(free)), key=lambda card: free[card])
    if wanted.card <= free[most]:
        return (*free[:most], free[most] - wanted.card, *free[most + 1 :])
    # Layers are not split between cards, so one may have one more than its part; each has a buffer and a context.
    part = -(-(wanted.weights + wanted.kv) // len(free)) + wanted.block + wanted.compute + wanted.context
    if len(free) > 1 and min(free) >= part:
        return tuple(one - part for one in free)
    return None


def take_seat(
    node: NodeConfig,
    runner: RunnerProfile,
    tiers: tuple[str, ...],
    facts: ModelFacts | None,
    observed: Loaded | None,
) -> Seat:
    """Hold a runner against its node.

    Args:
        node: where it runs; its memory is planned.
        runner: how its model is run.
        tiers: of which it is part.
        facts: what is known of its model.
        observed: how the node last had it in memory.
    """
    memory = node.memory
    if facts is None or memory is None:
        why = f"nothing is known of {runner.model} with {runner.quantisation or 'its'} weights until the node is asked"
        return Seat(runner, tiers, facts, None, UNKNOWN, why, observed=observed, alarm=_alarm(runner, observed))
    cards = cards_of(node)
    planned = _wanted(node, runner, facts)
    wanted = _corrected(planned, runner, observed)
    why = _against(runner, facts, wanted, cards, round(memory.ram_gib * GIB))
    return Seat(
        runner=runner,
        tiers=tiers,
        facts=facts,
        need=wanted,
        verdict=OVER if why else FITS,
        why=why or _sum(wanted, cards),
        nearest=tuple(_nearest(node, runner, facts)) if why else (),
        tokens_per_second=tokens_per_second(wanted, facts, memory.vram_gbs, memory.ram_gbs),
        observed=observed,
        alarm=_alarm(runner, observed) or _excess(planned, runner, observed),
    )


def _wanted(node: NodeConfig, runner: RunnerProfile, facts: ModelFacts) -> Need:
    """What a runner takes. Where a part may run on the CPU and nothing says how much, what fits is on the card."""
    cards = cards_of(node)
    whole = need(runner, facts, card=bool(cards))
    if not cards or runner.offload != "cpu" or "num_gpu" in runner.options or placed(whole, cards) is not None:
        return whole
    for layers in range(len(facts.layers), 0, -1):
        part = need(replace(runner, options={**runner.options, "num_gpu": layers}), facts)
        if placed(part, cards) is not None:
            return part
    return need(replace(runner, options={**runner.options, "num_gpu": 0}), facts)


def _corrected(wanted: Need, runner: RunnerProfile, observed: Loaded | None) -> Need:
    """The need with the size that the node tells instead of ours: it knows what it allocated."""
    if observed is None or not _alike(wanted, runner, observed):
        return wanted
    return replace(wanted, compute=wanted.compute + observed.size - (wanted.card - wanted.context))


def _alike(wanted: Need, runner: RunnerProfile, observed: Loaded) -> bool:
    """Whether what a node has in memory can be compared with our sum: all of it on the card, with our window."""
    whole = observed.size_vram >= observed.size and not wanted.host
    return whole and observed.context_length == runner.num_ctx


def _excess(planned: Need, runner: RunnerProfile, observed: Loaded | None) -> str:
    """What it means that a node takes more than our sum, which is a bound: settings that no address tells of."""
    if observed is None or not _alike(planned, runner, observed):
        return ""
    more = observed.size - (planned.card - planned.context)
    if more <= _SLACK:
        return ""
    settings = f"OLLAMA_KV_CACHE_TYPE={runner.kv_type} and OLLAMA_NUM_PARALLEL={runner.slots}"
    return f"takes {gib(more)} more than the plan says: is its server started with {settings}?"


def _alarm(runner: RunnerProfile, observed: Loaded | None) -> str:
    if observed is None or runner.offload or observed.size_vram >= observed.size:
        return ""
    part = gib(observed.size - observed.size_vram)
    return f"{part} of {gib(observed.size)} run on the CPU, which was not planned."


def _against(runner: RunnerProfile, facts: ModelFacts, wanted: Need, cards: tuple[int, ...], ram: int) -> str:
    """What speaks against a runner, "" if nothing does."""
    if facts.trained and runner.num_ctx > facts.trained:
        return f"num_ctx is {runner.num_ctx}, and {runner.model} was trained for {facts.trained}"
    if wanted.share < 1 and not runner.offload:
        return f"{100 * (1 - wanted.share):.0f} % of the weights are on the CPU, and offload does not say so"
    if cards and placed(wanted, cards) is None:
        return f"needs {_sum(wanted, cards)}"
    if ram and wanted.host > ram:
        return f"needs {gib(wanted.host)} of the CPU's memory, of {gib(ram)}"
    return ""


def _sum(wanted: Need, cards: tuple[int, ...]) -> str:
    """The sum of what is on the card, and of how much."""
    names = ("weights", "KV", "compute", "context")
    sizes = (wanted.weights, wanted.kv, wanted.compute, wanted.context)
    parts = " + ".join(f"{name} {size / GIB:.2f}" for name, size in zip(names, sizes, strict=True))
    on_card = f"{gib(wanted.card)} ({parts}) of {sum(cards) / GIB:.2f}" if cards else ""
    host = f"{gib(wanted.host)} in the CPU's memory" if wanted.host else ""
    return ", ".join(filter(None, (on_card, host)))


def _nearest(node: NodeConfig, runner: RunnerProfile, facts: ModelFacts) -> Iterator[Fit]:
    """What would fit: fewer slots, a smaller KV type, a smaller window, in the order of what is lost least."""
    memory = node.memory
    if memory is None:
        return
    cards, ram = cards_of(node), round(memory.ram_gib * GIB)

    def fit(changed: RunnerProfile) -> Fit | None:
        wanted = _wanted(node, changed, facts)
        if _against(changed, facts, wanted, cards, ram):
            return None
        return Fit(changed.num_ctx, changed.kv_type, changed.slots, wanted.card)

    types = KV_TYPES[KV_TYPES.index(runner.kv_type) :]
    for slots in dict.fromkeys((runner.slots, 1)):
        for kv_type in types:
            # With each cache the largest window that fits: there is one only if the least does.
            changed = replace(runner, slots=slots, kv_type=kv_type)
            top = min(runner.num_ctx, facts.trained or runner.num_ctx)
            steps = [top, *range((top - 1) // _STEP * _STEP, _LEAST - 1, -_STEP)]
            found = _first([replace(changed, num_ctx=window) for window in steps], fit)
            if found is not None:
                yield found
                if found.num_ctx == top:
                    break


def _first(steps: Sequence[RunnerProfile], fit: Callable[[RunnerProfile], Fit | None]) -> Fit | None:
    """The first step that fits: steps get smaller, and what is smaller fits if a larger one does."""
    low, high, best = 0, len(steps) - 1, None
    while low <= high:
        middle = (low + high) // 2
        found = fit(steps[middle])
        if found is None:
            low = middle + 1
        else:
            best, high = found, middle - 1
    return best
