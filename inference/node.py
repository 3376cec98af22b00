"""A node: a machine that runs models; what is asked of it, what it answers, and how it fails.

    InferenceError
    ├── NothingFits        invalid            no runner is what was asked for, or none may take it
    ├── NodeUnavailable    node_unavailable   the node cannot be reached, or refuses us
    ├── ModelMissing       model_missing      the node does not have the model
    ├── OverBudget         over_budget        the model does not fit into memory, by the plan or as the node says
    ├── NodeBusy           busy               all places are taken; `retry_after` says when to try again
    ├── ContextTooLarge    context_too_large  the prompt is longer than the model's window
    ├── UpstreamFault      upstream           the node broke off, or spoke what it should not
    └── DeadlineExceeded   deadline           the caller's time is over

Messages and hints name nodes, models and numbers. They never quote what a node said: its words may quote the prompt.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from inference.model import ModelFacts
from inference.profile import EmbeddingModel, NodeConfig, RunnerProfile


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat.

    Attributes:
        role: `system`, `user` or `assistant`.
        content: its text.
    """

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A request for one answer.

    Attributes:
        runner: the model and how it is run; fixed for the life of the process.
        messages: at least one, in order.
        answer_tokens: the most tokens the answer may have.
        schema: JSON Schema that the answer must follow; None for free text.
    """

    runner: RunnerProfile
    messages: tuple[Message, ...]
    answer_tokens: int
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took, as far as the node tells.

    Attributes:
        prompt_eval_count: tokens of the prompt as the model read it, cached ones included; None if not told, which
            is not zero.
        completion_tokens: tokens of the answer, None if not told.
        num_ctx: the window in tokens that was asked for.
        done_reason: `stop`, or `length` when the answer was cut at its limit or at the end of the window.
        load_seconds: spent on loading the model; 0 if not told.
        prompt_seconds: spent on reading what was not cached of the prompt.
        answer_seconds: spent on the answer.
        cached_tokens: tokens of the prompt that the node did not have to read again, None if not told.
    """

    prompt_eval_count: int | None
    completion_tokens: int | None
    num_ctx: int
    done_reason: str
    load_seconds: float
    prompt_seconds: float
    answer_seconds: float
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer.

    Attributes:
        text: its words, "" if this piece has none.
        thinking: what the model thinks aloud before it answers; no part of the answer.
        usage: on the last chunk, and only there.
    """

    text: str = ""
    thinking: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory.

    Attributes:
        model: its name.
        size: bytes in all.
        size_vram: bytes on the GPU; below `size`, a part of it runs on the CPU.
        context_length: window in tokens of one slot; 0 if not told.
    """

    model: str
    size: int
    size_vram: int
    context_length: int


@dataclass(frozen=True, slots=True)
class NodeState:
    """How a node is, right now.

    Attributes:
        name: the node's name in the profile.
        reachable: whether it answers us.
        version: of its software, "" if not told.
        models: what it can run.
        loaded: what is in its memory; empty if not told.
        error: what is wrong, "" if nothing is.
        hint: what to do about it.
        code: the code of the fault why it is not reachable; "" if it is.
    """

    name: str
    reachable: bool
    version: str = ""
    models: tuple[str, ...] = ()
    loaded: tuple[Loaded, ...] = ()
    error: str = ""
    hint: str = ""
    code: str = ""


class Node(Protocol):
    """A machine that runs models, spoken to in its own way."""

    @property
    def config(self) -> NodeConfig:
        """Where it is and what it may see."""
        ...

    def chat(self, chat: Chat) -> AsyncGenerator[Chunk, None]:
        """Ask for an answer. The last chunk carries the usage; closing the iterator ends the request at once.

        Raises:
            InferenceError: one of the tree above; an answer that breaks off is never passed off as whole.
        """
        ...

    async def embed(self, model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of texts, in order, each of length 1. Cancelling it ends the request at once.

        Raises:
            InferenceError: one of the tree above; `ContextTooLarge` when any text is longer than the window.
        """
        ...

    async def state(self) -> NodeState:
        """How it is, within a second; a node that is away is a state and no error."""
        ...

    async def facts(self, models: Sequence[str]) -> Mapping[str, ModelFacts]:
        """What it tells of some of its models, as far as it does; a node that tells nothing is no error."""
        ...

    async def unload(self, model: str) -> None:
        """Let a model go from memory, once its last request has ended; one that is not there is no error.

        Raises:
            InferenceError: the node did not do so. Nodes that serve what they have do nothing.
        """
        ...

    async def close(self) -> None:
        """Let go of its connections."""
        ...


class InferenceError(Exception):
    """A request to a model that did not succeed.

    Attributes:
        code: what a program branches on.
        hint: what to do about it.
        retry_after: seconds after which trying again is useful, None if that is not known.
    """

    code: ClassVar[str] = "upstream"

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.retry_after = retry_after


class NothingFits(InferenceError):  # noqa: N818 - named for the fact, as all of this tree
    """No runner is what was asked for, or none may take the request."""

    code = "invalid"


class NodeUnavailable(InferenceError):  # noqa: N818 - named for the fact
    """The node cannot be reached, or refuses us."""

    code = "node_unavailable"


class ModelMissing(InferenceError):  # noqa: N818 - named for the fact
    """The node does not have the model."""

    code = "model_missing"


class OverBudget(InferenceError):  # noqa: N818 - named for the fact
    """The model does not fit into memory: by the plan, or because the node could not load it."""

    code = "over_budget"


class NodeBusy(InferenceError):  # noqa: N818 - named for the fact
    """All places are taken, here or at the node."""

    code = "busy"


class ContextTooLarge(InferenceError):  # noqa: N818 - named for the fact
    """The prompt is longer than the model's window.

    Attributes:
        prompt_tokens: its length as the node counted it, None if not told.
        num_ctx: the window in tokens.
    """

    code = "context_too_large"

    def __init__(self, message: str, *, prompt_tokens: int | None, num_ctx: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.prompt_tokens = prompt_tokens
        self.num_ctx = num_ctx


class UpstreamFault(InferenceError):  # noqa: N818 - named for the fact
    """The node broke off, or spoke what it should not.

    Attributes:
        by_node: whether it is the node's own doing, and not that of what was asked: another request may fare no better.
    """

    code = "upstream"

    def __init__(self, message: str, *, hint: str = "", by_node: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.by_node = by_node


class DeadlineExceeded(InferenceError):  # noqa: N818 - named for the fact
    """The caller's time is over."""

    code = "deadline"


def start_hint(node: NodeConfig) -> str:
    """What to do when a node does not answer."""
    if node.kind == "ollama" and node.klass == "local":
        return "Start it with `ollama serve`, or set KOS_OLLAMA_URL to where it runs."
    return f"Start the server of node {node.name!r}, or correct its url in the profile."
