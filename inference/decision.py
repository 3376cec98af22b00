"""A decision of the policy: what is wanted, what is known of the nodes, and what was chosen, with the reasons. Data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
        force: how the big model was forced: `header`, `model` or `pattern`.
        text_tokens: what the window must hold beside the answer, whatever else is left out; 0 if that is not known.
        answer_tokens: the most the command's answer has; 0 for what the runner reserves.
        deadline_seconds: how long the person waits at most; 0 for as long as it takes.
    """

    command: str
    tier: str = ""
    model: str = ""
    node: str = ""
    private: bool = False
    task: str = ""
    force: str = ""
    text_tokens: int = 0
    answer_tokens: int = 0
    deadline_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeView:
    """What is known of a node at the moment of a decision.

    Attributes:
        answers: whether it answered when it was last asked.
        broken: whether it failed so often that it is left alone for a while (circuit breaker).
        mode: what its mode source told last, "" if nothing.
        mode_age: seconds since then.
        eta_seconds: until a place at the node is likely to be free for a request whose runner has no view of its own.
        full: whether its line takes nobody more.
        retry_seconds: until its line is likely to take somebody again.
        spent: what it cost today, in the currency of its price.
    """

    answers: bool = True
    broken: bool = False
    mode: str = ""
    mode_age: float = 0.0
    eta_seconds: float = 0.0
    full: bool = False
    retry_seconds: float = 1.0
    spent: float = 0.0


@dataclass(frozen=True, slots=True)
class RunnerView:
    """What is known of a runner at the moment of a decision.

    Attributes:
        eta_seconds: until it can probably begin to answer this request: the line before it, and loading its model.
        load_seconds: that loading takes of them; 0 for a model that is in memory.
    """

    eta_seconds: float = 0.0
    load_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the model side at the moment of a decision.

    Attributes:
        nodes: by name; one that is not named is taken to answer, with nobody in its line.
        over: the runners that do not fit into memory by the plan, each with the numbers.
        unable: the runners whose model cannot answer, each with the reason.
        runners: by name; one that is not named is taken to be in memory, behind the line of its node.
    """

    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    over: Mapping[str, str] = field(default_factory=dict)
    unable: Mapping[str, str] = field(default_factory=dict)
    runners: Mapping[str, RunnerView] = field(default_factory=dict)


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
        rule: `force:` and how; else `target:` with node, model and tier as far as the request named them, joined by
            `+`; else `command` when the profile's table decided, `default` when the prompt's tier did. `+substitute`,
            `+overflow` and `+fail-soft` are added when another than these say took it.
        why: a sentence for people.
        rejected: every other runner of the profile, with the reason.
        degraded: whether it is of the fail-soft list, since nothing of what was asked for was left.
        eta_seconds: until it can probably begin to answer.
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
    degraded: bool = False
    eta_seconds: float = 0.0

    @property
    def is_forced(self) -> bool:
        """Whether the request forced the big model, which lifts the mode of a node."""
        return self.rule.startswith("force:")

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; `klass` is `class` there."""
        data = {name: getattr(self, name) for name in self.__slots__ if name not in ("klass", "rejected")}
        rejected = [{"runner": runner, "reason": reason} for runner, reason in self.rejected]
        return data | {"class": self.klass, "rejected": rejected}
