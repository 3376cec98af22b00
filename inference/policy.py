"""Which node and model a request gets: named filters and rules in a fixed order, and a record of why. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from inference.decision import Decision, Known, NodeView, RunnerView, Wanted
from inference.mode import GAMING, MODE_SECONDS, MODES
from inference.node import (
    ContextTooLarge,
    InferenceError,
    NodeBusy,
    NodeUnavailable,
    NothingFits,
    OverBudget,
    start_hint,
)
from inference.profile import NodeConfig, Profile, RunnerProfile, same_model

# A force asks for the first of these that the profile has.
_BIG = ("big", "deep", "balanced", "fast")
# What a client sends as `model` to force the big one.
BIG = "big"
# Roles in the order in which they are asked; those that also take what the ones before them cannot take in time.
_STAGES: Mapping[str, int] = {"primary": 0, "human-only": 0, "backup": 1, "burst": 2, "cloud": 3}
_OVERFLOW = ("burst", "cloud")
# A substitute may begin so much of a load later than what it stands in for: a load keeps others waiting too.
_WORTH_OF_LOAD = 0.5
# Kinds of reasons that pass by themselves: the command goes on from the vault alone.
_AWAY = ("health", "broken", "mode", "cost")
# What is added to the name of a rule, and what a decision then says of the runner.
_SOFT, _SUBSTITUTE, _OVERFLOWS = "+fail-soft", "+substitute", "+overflow"
_FULL = "Try again later, or raise `queue` of the node in the profile."
_LATE = "Try again later, name a faster tier, or raise `deadline_seconds` in the configuration."
_HOW = {_SUBSTITUTE: "stands in for it", _OVERFLOWS: "takes what overflows"}


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


@dataclass(frozen=True, slots=True)
class _Out:
    """Why a runner is no candidate: the kind of the filter, and a sentence's end for people."""

    kind: str
    why: str


def forced(text: str, pattern: str) -> bool:
    """Whether a text holds the pattern that forces the big model, as a word of its own; "" is in no text.

    Args:
        text: the person's own words, and nothing else: what notes and earlier answers say forces nothing.
        pattern: such as `#force_big`; case does not count.
    """
    return bool(pattern) and bool(re.search(rf"(?<![\w#/-]){re.escape(pattern)}(?![\w/-])", text, re.IGNORECASE))


def decide(
    profile: Profile,
    wanted: Wanted,
    *,
    default_tier: str,
    id: str,  # noqa: A002 - the name of the field it fills
    known: Known | None = None,
) -> Decision:
    """Choose a runner. The same arguments give the same decision, always.

    In this order:
    1. Target: a force, or a named node, model or tier, narrows the candidates.
    2. Filters take away, each with its reason: private words and the node's class, nodes for humans only, nodes that do
       not answer, their mode, models that cannot answer or whose window is too small, memory, cost.
    3. Choice: the rule (a force, a named tier, else the profile's table, else the prompt's tier) says which of the rest
       are asked, and in which order; of equals the one that can begin first. If its model would have to be loaded, a
       declared substitute takes it that can begin about as soon, unless a model or tier is named. What no line of
       these takes in time goes to nodes whose role says so.
    4. Fail-soft: if nothing is left, the profile's list is, marked as degraded.
    5. Admission: what no line takes before the deadline is refused with the time to come back.

    Args:
        profile: what there is.
        wanted: what is asked for.
        default_tier: the tier the command's prompt names.
        id: of the decision.
        known: of nodes and models at this moment.

    Raises:
        NothingFits: a named tier, model or node is unknown, or nothing is left for a reason that does not pass.
        NodeUnavailable: nothing is left because a node does not answer, is in use or has cost enough today.
        OverBudget: nothing is left because of memory.
        ContextTooLarge: nothing is left because of the windows.
        NodeBusy: no line takes it before the deadline.
    """
    known = known or Known()
    _check_names(profile, wanted)
    rule = _rule(profile, wanted, default_tier)
    out = {name: _out(profile, wanted, rule, runner, known) for name, runner in profile.runners.items()}
    ranked = sorted(profile.runners, key=lambda name: rule.order.index(name) if name in rule.order else len(rule.order))
    left = [name for name in ranked if out[name] is None]
    soft = not left
    if soft:
        # What only the rule took away has passed every filter.
        left = [name for name in profile.fail_soft if (reason := out[name]) is not None and reason.kind == "rule"]
    if not left:
        raise _nothing(profile, wanted, rule, out)
    left.sort(key=lambda name: _STAGES[profile.nodes[profile.runners[name].node].role])
    chosen, how = _choice(profile, wanted, left, _substitutes(wanted, rule, out), known)
    reasons = {name: reason.why for name, reason in out.items() if reason is not None}
    reasons |= {name: _passed_over(profile, wanted, left, name, chosen, known) for name in left if name != chosen}
    return _decision(profile, wanted, rule, id, chosen, reasons, known, how="+fail-soft" * soft + how)


def _decision(
    profile: Profile,
    wanted: Wanted,
    rule: _Rule,
    id: str,  # noqa: A002 - as above
    chosen: str,
    reasons: Mapping[str, str],
    known: Known,
    *,
    how: str,
) -> Decision:
    runner = profile.runners[chosen]
    after = f"comes after {chosen}"
    before = [f"{name} is out ({reasons[name]})" for name in rule.order if reasons.get(name, after) != after]
    if not how and chosen in rule.order:
        earlier = rule.order[: rule.order.index(chosen)]
        before = [f"{name} is out ({reasons[name]})" for name in earlier if reasons[name] != after]
    last = next((said for name, said in _HOW.items() if how.endswith(name)), "is the first that fits")
    last += " of the fail-soft list" * how.startswith(_SOFT)
    return Decision(
        id=id,
        command=wanted.command,
        tier=rule.tier if chosen in rule.order or how.endswith(_SUBSTITUTE) else "",
        runner=chosen,
        node=runner.node,
        klass=profile.nodes[runner.node].klass,
        model=runner.model,
        num_ctx=runner.num_ctx,
        answer_tokens=runner.answer_tokens,
        rule=rule.name + how,
        why=f"{rule.says}; {', '.join([*before, f'{chosen} {last}'])}.",
        rejected=tuple((name, reasons[name]) for name in profile.runners if name != chosen),
        degraded=how.startswith(_SOFT),
        eta_seconds=_line(known, runner).eta,
    )


# What is taken of a node that nothing is known of.
_NEW = NodeView()


def _view(known: Known, node: str) -> NodeView:
    return known.nodes.get(node, _NEW)


@dataclass(frozen=True, slots=True)
class _Line:
    """The line before a runner: whether it is full, and seconds until it begins, of loading, and until it takes one."""

    full: bool
    eta: float
    load: float
    retry: float


def _line(known: Known, runner: RunnerProfile) -> _Line:
    node = _view(known, runner.node)
    view = known.runners.get(runner.name) or RunnerView(node.eta_seconds)
    return _Line(node.full, view.eta_seconds, view.load_seconds, node.retry_seconds)


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
    told = " and ".join(f"{what} {getattr(wanted, what)}" for what in named)
    if wanted.force:
        tier = wanted.tier or next(tier for tier in _BIG if tier in profile.tiers)
        strict = bool(wanted.tier) or not named
        says = f"The request forces the big model by its {wanted.force}" + (f" and names {told}" if named else "")
        return _Rule(f"force:{wanted.force}", tier, profile.tiers[tier], strict=strict, says=says)
    target = wanted.tier or profile.commands.get(wanted.command) or default_tier
    if target in profile.tiers:
        tier, order = target, profile.tiers[target]
    elif target in profile.runners:
        tier, order = "", (target,)
    else:
        raise _unknown("tier", target, profile.tiers)
    if named:
        says = f"The request names {told}"
        return _Rule(f"target:{'+'.join(named)}", tier, order, strict=bool(wanted.tier), says=says)
    label = f"tier {tier}" if tier else f"runner {target}"
    if wanted.command in profile.commands:
        return _Rule("command", tier, order, strict=True, says=f"Profile {profile.name} gives {wanted.command} {label}")
    says = f"The prompt of {wanted.command} names {label}" + (f" for {wanted.task}" if wanted.task else "")
    return _Rule("default", tier, order, strict=True, says=says)


def _out(profile: Profile, wanted: Wanted, rule: _Rule, runner: RunnerProfile, known: Known) -> _Out | None:
    """Why a runner is no candidate, None if it is one. The order of the checks is the order of the rules."""
    node = profile.nodes[runner.node]
    view = _view(known, node.name)
    if wanted.node and node.name != wanted.node:
        return _Out("target", f"not on node {wanted.node}")
    if wanted.model and not _is_model(wanted.model, runner):
        return _Out("target", f"not model {wanted.model}")
    if wanted.private and not node.sees_private:
        return _Out("private", f"private notes do not go to {node.klass} node {node.name}")
    if node.role == "human-only" and wanted.node != node.name:
        return _Out("human", f"node {node.name} is for those who name it")
    if not view.answers:
        return _Out("health", f"node {node.name} does not answer")
    if view.broken:
        return _Out("broken", f"node {node.name} failed several times and is left alone for a while")
    if not wanted.force and (gated := why_gated(node, view.mode, view.mode_age)):
        return _Out("mode", gated)
    if runner.name in known.unable:
        return _Out("unable", known.unable[runner.name])
    if wanted.text_tokens > runner.num_ctx - min(wanted.answer_tokens or runner.answer_tokens, runner.answer_tokens):
        takes = f"{runner.model} takes {runner.num_ctx} with the answer"
        return _Out("window", f"the text alone is about {wanted.text_tokens} tokens, and {takes}")
    if runner.name in known.over:
        return _Out("memory", known.over[runner.name])
    if cost := _too_dear(node, runner, view):
        return _Out("cost", cost)
    if rule.strict and runner.name not in rule.order:
        return _Out("rule", f"not in {rule.label()}")
    return None


def why_gated(node: NodeConfig, mode: str, age: float) -> str:
    """Why the mode of a node keeps work away that does not force it, "" if it does not.

    A node with a mode source is there only while that says so: one that says nothing may be in the midst of a game.

    Args:
        node: has a `mode_url` if a source tells its mode.
        mode: NORMAL or GAMING, "" if not known.
        age: seconds since that was told.
    """
    if mode == GAMING and age <= MODE_SECONDS:
        return f"node {node.name} is in mode {GAMING}"
    if not node.mode_url:
        return ""
    if mode not in MODES:
        return f"the mode of node {node.name} is not known"
    if age > MODE_SECONDS:
        return f"the mode of node {node.name} is not known: its source told it last {age:.0f} s ago"
    return ""


def most_cost(node: NodeConfig, runner: RunnerProfile) -> float:
    """What one request costs at most, by the price of its node: a full window, and the whole reserve for the answer."""
    prompt = runner.num_ctx - runner.answer_tokens
    return (prompt * node.price_in + runner.answer_tokens * node.price_out) / 1e6


def _too_dear(node: NodeConfig, runner: RunnerProfile, view: NodeView) -> str:
    cost = most_cost(node, runner)
    if node.request_cap and cost > node.request_cap:
        return f"a request may cost {cost:.4g} at node {node.name}, and its cap is {node.request_cap:g}"
    if node.daily_cap and view.spent + cost > node.daily_cap:
        return f"node {node.name} has cost {view.spent:.4g} today, and its cap is {node.daily_cap:g}"
    return ""


def _late(wanted: Wanted, line: _Line) -> bool:
    """Whether a line does not take a request before its deadline.

    What loading its own model takes is no reason: to come back later would not make it shorter.
    """
    return line.full or bool(wanted.deadline_seconds and line.eta - line.load >= wanted.deadline_seconds)


def _substitutes(wanted: Wanted, rule: _Rule, out: Mapping[str, _Out | None]) -> Sequence[str]:
    """The runners that may stand in for another: nobody named a model or a tier, and no filter takes them away."""
    if wanted.force or wanted.model or wanted.tier:
        return ()
    return [name for name, reason in out.items() if reason is None or (rule.strict and reason.kind == "rule")]


def _choice(profile: Profile, wanted: Wanted, left: Sequence[str], may: Sequence[str], known: Known) -> tuple[str, str]:
    """The runner that takes the request, and how it came to that: "", or what its rule is called then.

    Args:
        profile: as for `decide`.
        wanted: as for `decide`.
        left: the candidates, best first.
        may: the runners that may stand in for one of them.
        known: as for `decide`.

    Raises:
        NodeBusy: none takes it in time.
    """
    runners = profile.runners
    first = runners[left[0]]
    role = profile.nodes[first.node].role
    equals = [name for name in left if _alike(runners[name], first) and profile.nodes[runners[name].node].role == role]
    lines = {name: _line(known, runner) for name, runner in runners.items()}
    best = min(equals, key=lambda name: (_late(wanted, lines[name]), lines[name].eta))
    if other := _stand_in(wanted, [name for name in runners[best].substitutes if name in may], lines, best):
        return other, _SUBSTITUTE
    if not _late(wanted, lines[best]):
        return best, ""
    for name in left:
        if profile.nodes[runners[name].node].role in _OVERFLOW and not _late(wanted, lines[name]):
            return name, _OVERFLOWS
    line = lines[best]
    wait = line.retry if line.full else line.eta - line.load - wanted.deadline_seconds
    raise NodeBusy(
        f"no node can do {wanted.command} in time ({_waits(wanted, runners[best], known)})",
        hint=_FULL if line.full else _LATE,
        retry_after=max(1.0, wait),
    )


def _stand_in(wanted: Wanted, others: Sequence[str], lines: Mapping[str, _Line], best: str) -> str:
    """The substitute that takes the request, "" if none does."""
    line = lines[best]
    if not others or not line.load:
        return ""
    other = min(others, key=lambda name: lines[name].eta)
    soon = lines[other].eta <= line.eta + _WORTH_OF_LOAD * line.load
    return other if soon and not _late(wanted, lines[other]) else ""


def _alike(one: RunnerProfile, other: RunnerProfile) -> bool:
    """Whether two runners do the same work: the same model in the same form, on whatever node."""
    forms = [(runner.quantisation, runner.num_ctx, runner.answer_tokens) for runner in (one, other)]
    return forms[0] == forms[1] and same_model(one.model, other.model)


def _waits(wanted: Wanted, runner: RunnerProfile, known: Known) -> str:
    line = _line(known, runner)
    if line.full:
        return f"the line of node {runner.node} is full"
    late = f", past the deadline of {wanted.deadline_seconds:.0f} s" if _late(wanted, line) else ""
    if line.load:
        return (
            f"{runner.model} would have to be loaded on node {runner.node}, and begins in about {line.eta:.0f} s{late}"
        )
    return f"node {runner.node} is free in about {line.eta:.0f} s{late}"


def _passed_over(profile: Profile, wanted: Wanted, left: Sequence[str], name: str, chosen: str, known: Known) -> str:
    """Why a candidate is not the one chosen."""
    if chosen in left and left.index(name) > left.index(chosen):
        return f"comes after {chosen}"
    return _waits(wanted, profile.runners[name], known)


def _nothing(profile: Profile, wanted: Wanted, rule: _Rule, out: Mapping[str, _Out | None]) -> InferenceError:
    """What to raise when no runner is left: a node that is away if waiting would help, else what was asked for."""
    asked = [(name, reason) for name in profile.runners if (reason := out[name]) and _is_asked(rule, name)]
    told = "; ".join(f"{name}: {reason.why}" for name, reason in asked)
    kinds = {reason.kind: profile.runners[name] for name, reason in reversed(asked)}
    for kind in _AWAY:
        if kind in kinds:
            hint = _hint(kind, profile.nodes[kinds[kind].node])
            return NodeUnavailable(f"no node can do {wanted.command} now ({told})", hint=hint)
    if "memory" in kinds:
        hint = "`kos plan-memory` shows the numbers; change the profile as it says, or name another tier."
        return OverBudget(f"no model for {wanted.command} fits into memory ({told})", hint=hint)
    if "window" in kinds:
        hint = "Shorten the text, or name a tier with a larger window."
        message = f"no window for {wanted.command} is large enough ({told})"
        window = max(profile.runners[name].num_ctx for name, reason in asked if reason.kind == "window")
        return ContextTooLarge(message, prompt_tokens=wanted.text_tokens, num_ctx=window, hint=hint)
    hint = "Name less, or another tier."
    if "private" in kinds:
        hint = "Private notes need a local node, or a trusted one in the LAN."
    elif "human" in kinds:
        hint = f"Name node {kinds['human'].node} if you mean it."
    return NothingFits(f"no runner fits {wanted.command} ({told})", hint=hint)


def _is_asked(rule: _Rule, name: str) -> bool:
    return name in rule.order or not rule.strict


def _hint(kind: str, node: NodeConfig) -> str:
    """What to do about a node that takes no work now."""
    if kind == "health":
        return start_hint(node)
    if kind == "broken":
        return f"The log of node {node.name} says why; it is tried again every two seconds."
    if kind == "mode":
        return mode_hint(node)
    return "Wait until tomorrow, or raise the cap of the node in the profile."


def mode_hint(node: NodeConfig) -> str:
    """What to do about a node whose mode keeps work away."""
    first = "Wait until it is free" if node.mode_url else "`kos mode NORMAL` gives it back"
    return f'{first}, or force it: `model` "big", or the force pattern in your own words.'
