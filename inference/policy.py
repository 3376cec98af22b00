"""Which node and model a request gets: named filters and rules in a fixed order, and a record of why. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from inference.node import NodeUnavailable, NothingFits, OverBudget, start_hint
from inference.profile import Profile, RunnerProfile, same_model

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks of the model side; "" means "as the command says".

    Attributes:
        command: the command's name.
        tier: fast, balanced or deep.
        model: the node's name for a model, or the name of a runner.
        node: the name of a node.
        private: whether private notes are in the prompt.
        task: what the command has to do and why that is so, for example "simple words"; it chose the default tier.
    """

    command: str
    tier: str = ""
    model: str = ""
    node: str = ""
    private: bool = False
    task: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Which node and model, by which rule, and why not the others.

    Attributes:
        id: of this decision.
        command: what was asked for.
        tier: the tier it went by, "" if the runner was chosen outside of one.
        runner: the runner chosen.
        node: where it runs.
        klass: the node's class.
        model: the node's name for the model.
        num_ctx: the window in tokens.
        answer_tokens: the reserve for the answer in tokens.
        rule: `target:` with node, model and tier as far as the request named them, joined by `+`; `command` when the
            profile's table decided, `default` when the prompt's tier did.
        why: a sentence for people.
        rejected: every other runner of the profile, with the reason.
    """

    id: str
    command: str
    tier: str
    runner: str
    node: str
    klass: str
    model: str
    num_ctx: int
    answer_tokens: int
    rule: str
    why: str
    rejected: tuple[tuple[str, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; `klass` is `class` there."""
        data = {name: getattr(self, name) for name in self.__slots__ if name not in ("klass", "rejected")}
        rejected = [{"runner": runner, "reason": reason} for runner, reason in self.rejected]
        return data | {"class": self.klass, "rejected": rejected}


@dataclass(frozen=True, slots=True)
class _Rule:
    """What the candidates are chosen by.

    Attributes:
        name: as a decision records it.
        tier: whose list it is, "" for a single runner.
        order: runners in order of preference.
        strict: whether no other runner will do. A named node or model opens the choice, unless a tier is named too.
        says: the rule as the beginning of a sentence.
    """

    name: str
    tier: str
    order: tuple[str, ...]
    strict: bool
    says: str

    def label(self) -> str:
        """What the order belongs to."""
        return f"tier {self.tier}" if self.tier else f"runner {self.order[0]}"


def decide(
    profile: Profile,
    wanted: Wanted,
    *,
    default_tier: str,
    healthy: Mapping[str, bool],
    id: str,  # noqa: A002 - the name of the field it fills
    over: Mapping[str, str] = _NONE,
) -> Decision:
    """Choose a runner. The same arguments give the same decision, always.

    In this order: the target narrows the candidates to a named node or model; the filters take away those whose node
    may not see private notes, those whose node does not answer, and those that do not fit into its memory; the rule (a
    named tier, else the profile's table, else the prompt's tier) says which of the rest are asked, and in which order.

    Args:
        profile: what there is.
        wanted: what is asked for.
        default_tier: the tier the command's prompt names.
        healthy: whether a node answers, by name; one that is not named is taken to.
        id: of the decision.
        over: the runners that do not fit into memory by the plan, each with the numbers.

    Raises:
        NothingFits: a named tier, model or node is unknown, or nothing is left for another reason than health.
        NodeUnavailable: nothing is left because a node does not answer.
        OverBudget: nothing is left because of memory.
    """
    _check_names(profile, wanted)
    rule = _rule(profile, wanted, default_tier)
    reasons = {
        runner.name: _reason(profile, wanted, rule, runner, healthy, over) for runner in profile.runners.values()
    }
    ranked = sorted(profile.runners, key=lambda name: rule.order.index(name) if name in rule.order else len(rule.order))
    left = [name for name in ranked if not reasons[name]]
    if not left:
        raise _nothing(profile, wanted, rule, reasons, over)
    chosen = profile.runners[left[0]]
    reasons |= dict.fromkeys(left[1:], f"comes after {chosen.name}")
    before = [f"{name} is out ({reasons[name]})" for name in rule.order if name in ranked[: ranked.index(chosen.name)]]
    return Decision(
        id=id,
        command=wanted.command,
        tier=rule.tier if chosen.name in rule.order else "",
        runner=chosen.name,
        node=chosen.node,
        klass=profile.nodes[chosen.node].klass,
        model=chosen.model,
        num_ctx=chosen.num_ctx,
        answer_tokens=chosen.answer_tokens,
        rule=rule.name,
        why=f"{rule.says}; {', '.join([*before, f'{chosen.name} is the first that fits'])}.",
        rejected=tuple((name, reasons[name]) for name in profile.runners if name != chosen.name),
    )


def _check_names(profile: Profile, wanted: Wanted) -> None:
    models = [runner.model for runner in profile.runners.values()]
    if wanted.node and wanted.node not in profile.nodes:
        raise _unknown("node", wanted.node, profile.nodes)
    if wanted.tier and wanted.tier not in profile.tiers:
        raise _unknown("tier", wanted.tier, profile.tiers)
    if wanted.model and not any(_is_model(wanted.model, runner) for runner in profile.runners.values()):
        raise _unknown("model", wanted.model, dict.fromkeys(models))


def _unknown(what: str, name: str, known: Iterable[str]) -> NothingFits:
    return NothingFits(f"the profile has no {what} {name[:60]!r}", hint=f"It has: {', '.join(known)}.")


def _is_model(name: str, runner: RunnerProfile) -> bool:
    return name == runner.name or same_model(name, runner.model)


def _rule(profile: Profile, wanted: Wanted, default_tier: str) -> _Rule:
    """The order of preference, and where it comes from."""
    named = [what for what in ("node", "model", "tier") if getattr(wanted, what)]
    target = wanted.tier or profile.commands.get(wanted.command) or default_tier
    if target in profile.tiers:
        tier, order = target, profile.tiers[target]
    elif target in profile.runners:
        tier, order = "", (target,)
    else:
        raise _unknown("tier", target, profile.tiers)
    if named:
        says = f"The request names {' and '.join(f'{what} {getattr(wanted, what)}' for what in named)}"
        return _Rule(f"target:{'+'.join(named)}", tier, order, strict=bool(wanted.tier), says=says)
    label = f"tier {tier}" if tier else f"runner {target}"
    if wanted.command in profile.commands:
        return _Rule("command", tier, order, strict=True, says=f"Profile {profile.name} gives {wanted.command} {label}")
    says = f"The prompt of {wanted.command} names {label}" + (f" for {wanted.task}" if wanted.task else "")
    return _Rule("default", tier, order, strict=True, says=says)


def _reason(
    profile: Profile,
    wanted: Wanted,
    rule: _Rule,
    runner: RunnerProfile,
    healthy: Mapping[str, bool],
    over: Mapping[str, str],
) -> str:
    """Why a runner is no candidate, "" if it is one. The order of the checks is the order of the rules."""
    node = profile.nodes[runner.node]
    if wanted.node and node.name != wanted.node:
        return f"not on node {wanted.node}"
    if wanted.model and not _is_model(wanted.model, runner):
        return f"not model {wanted.model}"
    if wanted.private and not node.sees_private:
        return f"private notes do not go to {node.klass} node {node.name}"
    if not healthy.get(node.name, True):
        return f"node {node.name} does not answer"
    if runner.name in over:
        return over[runner.name]
    if rule.strict and runner.name not in rule.order:
        return f"not in {rule.label()}"
    return ""


def _nothing(
    profile: Profile, wanted: Wanted, rule: _Rule, reasons: Mapping[str, str], over: Mapping[str, str]
) -> NothingFits | NodeUnavailable | OverBudget:
    """What to raise when no runner is left: a node that is away if starting it would help, else what was asked for."""
    asked = [name for name in profile.runners if name in rule.order or not rule.strict]
    told = "; ".join(f"{name}: {reasons[name]}" for name in asked)
    for name in asked:
        node = profile.nodes[profile.runners[name].node]
        if reasons[name] == f"node {node.name} does not answer":
            return NodeUnavailable(f"no node can do {wanted.command} now ({told})", hint=start_hint(node))
    if any(reasons[name] == over.get(name) for name in asked):
        hint = "`kos plan-memory` shows the numbers; change the profile as it says, or name another tier."
        return OverBudget(f"no model for {wanted.command} fits into memory ({told})", hint=hint)
    private = any(reasons[name].startswith("private") for name in asked)
    hint = "Private notes need a local node, or a trusted one in the LAN." if private else "Name less, or another tier."
    return NothingFits(f"no runner fits {wanted.command} ({told})", hint=hint)
