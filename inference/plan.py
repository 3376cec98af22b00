"""What fits with what: holds the runners of a profile against the memory of their nodes. Pure.

    Plan
    └── NodePlan   one node: its budget, which models stay, in which order they must be loaded, which sets fit together
        └── Seat   one runner: bytes, verdict, and the nearest that would fit (`inference.seat`)

A model must fit into what its node has for models, wholly on the card unless `offload` says otherwise. For a second
one Ollama asks more: its own prediction (`inference.memory.predicted`) may be at most 80 % of what is then free. That
depends on what was loaded before, so the order of loading is part of the plan. What is free is taken to be the budget,
which is less than a driver says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inference.catalogue import known
from inference.memory import COLOAD_SHARE, GIB, predicted
from inference.model import ModelFacts
from inference.node import Loaded
from inference.profile import EmbeddingModel, NodeConfig, Profile, RunnerProfile, same_model, stays
from inference.seat import FITS, OVER, Seat, cards_of, gib, placed, take_seat

# What the embedding model is called among runners.
EMBEDDING = "embedding"
# Models of a node that are looked at together; the number of sets doubles with each.
_MOST_TOGETHER = 10
# Models that Ollama keeps, for each card, unless OLLAMA_MAX_LOADED_MODELS says otherwise.
_LOADED_PER_CARD = 3
_MAX_LOADED = "OLLAMA_MAX_LOADED_MODELS"


@dataclass(frozen=True, slots=True)
class NodePlan:
    """A node in the plan.

    Attributes:
        node: which one.
        cards: bytes of each card that are for models; empty for a node without cards.
        seats: its runners, and the embedding model if it is used.
        order: names of the runners that stay loaded, in the order they must be loaded in to be there together; empty
            when there is no such order, or nothing stays.
        stay: names of the runners that are to stay loaded.
        together: the largest sets of runners that can be loaded at once, each in such an order.
        most: how many models the node keeps at once.
        finding: what is wrong with the node's plan as a whole, "" if nothing is.
    """

    node: NodeConfig
    cards: tuple[int, ...]
    seats: tuple[Seat, ...]
    order: tuple[str, ...] = ()
    stay: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    most: int = _LOADED_PER_CARD
    finding: str = ""

    @property
    def budget(self) -> int:
        """Bytes for models on all cards."""
        return sum(self.cards)

    @property
    def staying(self) -> int:
        """Bytes on the card of what stays loaded."""
        return sum(seat.need.card for seat in self.seats if seat.need and seat.runner.name in self.order)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; sizes in bytes."""
        return {
            "node": self.node.name,
            "budget": self.budget,
            "cards": list(self.cards),
            "runners": [seat.as_dict() for seat in self.seats],
            "stay": list(self.stay),
            "load_order": list(self.order),
            "together": [list(names) for names in self.together],
            "finding": self.finding,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The memory plan of a profile.

    Attributes:
        nodes: those whose memory is planned, in declared order.
        over: runners that are disabled, each with the numbers and what would fit.
        disabled: tiers of which no runner is left.
        unable: runners whose model cannot answer, each with the reason.
    """

    nodes: tuple[NodePlan, ...] = ()
    over: Mapping[str, str] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    unable: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"nodes": [node.as_dict() for node in self.nodes], "disabled_tiers": list(self.disabled)}


def make_plan(
    profile: Profile,
    *,
    told: Mapping[tuple[str, str], ModelFacts] | None = None,
    loaded: Mapping[str, Sequence[Loaded]] | None = None,
    embeds: bool = False,
) -> Plan:
    """Hold every runner against its node. The same arguments give the same plan, always.

    Args:
        profile: what there is.
        told: what nodes said of their models, by node and model; the catalogue stands in for the rest.
        loaded: what nodes have in memory now: it corrects the sizes.
        embeds: whether the embedding model is used.
    """
    told, loaded = told or {}, loaded or {}
    nodes = []
    for node in profile.nodes.values():
        runners = [one for one in profile.runners.values() if one.node == node.name]
        if embeds and profile.embedding is not None and profile.embedding.node == node.name:
            runners.append(_as_runner(profile.embedding, node, runners))
        if node.memory is None or not runners:
            continue
        seats = tuple(
            take_seat(
                node,
                runner,
                tuple(tier for tier, names in profile.tiers.items() if runner.name in names),
                _facts(runner, told.get((node.name, runner.model))),
                next((one for one in loaded.get(node.name, ()) if same_model(one.model, runner.model)), None),
            )
            for runner in runners
        )
        nodes.append(_node_plan(profile, node, seats))
    over = {seat.runner.name: _refusal(seat) for node in nodes for seat in node.seats if seat.verdict == OVER}
    disabled = tuple(tier for tier, names in profile.tiers.items() if all(name in over for name in names))
    unable = {
        seat.runner.name: f"{seat.runner.model} gives vectors and writes no answer"
        for node in nodes
        for seat in node.seats
        if seat.facts is not None and seat.facts.encoder and seat.runner.name in profile.runners
    }
    return Plan(tuple(nodes), over, disabled, unable)


def _as_runner(embedding: EmbeddingModel, node: NodeConfig, others: Sequence[RunnerProfile]) -> RunnerProfile:
    """The embedding model as one more runner of its node. Ollama gives it one slot, and the KV type of all."""
    on_cpu = embedding.options.get("num_gpu") == 0 or not cards_of(node)
    return RunnerProfile(
        name=EMBEDDING,
        node=embedding.node,
        model=embedding.model,
        quantisation="",
        num_ctx=embedding.num_ctx,
        answer_tokens=0,
        kv_type=others[0].kv_type if others else "f16",
        keep_alive=embedding.keep_alive,
        offload="cpu" if on_cpu else "",
        options=embedding.options,
    )


def _facts(runner: RunnerProfile, told: ModelFacts | None) -> ModelFacts | None:
    """What the node told, else the catalogue, which also knows the vocabulary that many files do not tell."""
    listed = known(runner.model, runner.quantisation)
    if told is None or told.vocabulary or listed is None:
        return told or listed
    return replace(told, vocabulary=listed.vocabulary)


def _refusal(seat: Seat) -> str:
    nearest = f"; {seat.nearest[0].told(seat.runner)} would fit" if seat.nearest else ""
    return f"over the memory budget: {seat.why}{nearest}"


def accepts(seat: Seat, free: tuple[int, ...]) -> bool:
    """Whether Ollama loads a model beside others that leave so much free."""
    if seat.facts is None or seat.need is None:
        return False
    room = max(free) if seat.need.card <= max(free) else sum(free)
    return predicted(seat.runner, seat.facts) <= COLOAD_SHARE * room


def _orders(seats: Sequence[Seat], node: NodeConfig, cards: tuple[int, ...], most: int) -> list[tuple[Seat, ...]]:
    """Every set of runners that can be loaded at once, in one order in which that works.

    Sets grow by one model at a time; a set that cannot be reached from a smaller one cannot be reached at all.
    """
    reached: dict[frozenset[str], tuple[tuple[Seat, ...], tuple[int, ...]]] = {frozenset(): ((), cards)}
    found: list[tuple[Seat, ...]] = []
    level = list(reached.items())
    for _ in range(min(most, len(seats))):
        grown: dict[frozenset[str], tuple[tuple[Seat, ...], tuple[int, ...]]] = {}
        for names, (order, free) in level:
            for seat in seats:
                wider = names | {seat.runner.name}
                if seat.runner.name in names or wider in grown or seat.need is None:
                    continue
                if order and node.kind == "ollama" and not accepts(seat, free):
                    continue
                left = placed(seat.need, free)
                if left is not None:
                    grown[wider] = ((*order, seat), left)
        found += [order for order, _ in grown.values()]
        level = list(grown.items())
    return found


def _node_plan(profile: Profile, node: NodeConfig, seats: tuple[Seat, ...]) -> NodePlan:
    cards = cards_of(node)
    usable = [seat for seat in seats if seat.verdict == FITS and seat.need is not None]
    served = node.kind != "ollama"
    # What stays first, and the larger ones of it, which is the order that Ollama's rule mostly asks for.
    usable.sort(key=lambda seat: (not stays(seat.runner.keep_alive), -seat.need.card if seat.need else 0))
    stay = [seat.runner.name for seat in usable if served or stays(seat.runner.keep_alive)]
    # Another server than Ollama loads nothing by itself: what it serves is there together.
    most = len(usable) if served else _max_loaded(profile, node)
    if not cards:
        return replace(_without_card(node, seats, usable, stay), most=most)
    orders = _orders(usable[:_MOST_TOGETHER], node, cards, most)
    sets = [frozenset(seat.runner.name for seat in order) for order in orders]
    largest = tuple(
        tuple(seat.runner.name for seat in order)
        for order, names in zip(orders, sets, strict=True)
        if not any(names < other for other in sets)
    )
    order = next((one for one, names in zip(orders, sets, strict=True) if names == frozenset(stay)), ())
    finding = ""
    if stay and not order:
        finding = f"{', '.join(stay)} are to stay loaded and cannot be loaded at once: each pushes another one out"
    names = tuple(seat.runner.name for seat in order)
    return NodePlan(node, cards, seats, names, tuple(stay), largest, most, finding)


def _without_card(node: NodeConfig, seats: tuple[Seat, ...], usable: Sequence[Seat], stay: Sequence[str]) -> NodePlan:
    """On the CPU alone, where nothing but the sum counts."""
    ram = round(node.memory.ram_gib * GIB) if node.memory else 0
    held = sum(seat.need.host for seat in usable if seat.need and seat.runner.name in stay)
    names = tuple(seat.runner.name for seat in usable)
    if ram and held > ram:
        finding = f"{', '.join(stay)} are to stay loaded and need {gib(held)} together, of {gib(ram)}"
        return NodePlan(node, (), seats, (), tuple(stay), (), finding=finding)
    whole = sum(seat.need.host for seat in usable if seat.need)
    together = (names,) if not ram or whole <= ram else (tuple(stay),) if stay else ()
    return NodePlan(node, (), seats, tuple(stay), tuple(stay), together)


def _max_loaded(profile: Profile, node: NodeConfig) -> int:
    """How many models Ollama keeps at once: as the profile's settings say, else its default."""
    said = next((setting.ours for setting in profile.settings if setting.name == _MAX_LOADED), "")
    cards = node.memory.cards if node.memory else 1
    return int(said) if said.isdecimal() and int(said) else _LOADED_PER_CARD * cards
