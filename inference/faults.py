"""What the faults of a node mean, told in our own words: a node's words may quote the prompt."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from inference.node import (
    ContextTooLarge,
    InferenceError,
    ModelMissing,
    NodeUnavailable,
    OverBudget,
    UpstreamFault,
    start_hint,
)
from inference.profile import EmbeddingModel, NodeConfig, RunnerProfile
from inference.values import loads

_NO_MEMORY = re.compile(
    r"out of memory|cudaMalloc|requires more system memory|insufficient memory|(?:unable|failed) to allocate",
    re.IGNORECASE,
)
_NO_LOAD = re.compile(
    r"(?:llama-server|llama runner) process has terminated|timed out waiting for .{0,40}to start"
    r"|may be incompatible with|(?:unable|failed) to load model|error loading model",
    re.IGNORECASE,
)
Model = RunnerProfile | EmbeddingModel

_LOG_HINT = "The log of the node says why."


def unwrapped(text: str) -> tuple[str, Mapping[str, Any]]:
    """The words of an error, and llama-server's own error if one is inside, as an object or as JSON in a text."""
    said: Any = text
    for _ in range(4):
        if isinstance(said, str) and said.lstrip().startswith("{"):
            try:
                said = loads(said)
            except ValueError:
                break
        if not isinstance(said, dict):
            break
        if "error" not in said:
            return str(said.get("message", "")), said
        said = said["error"]
    return str(said), {}


def told(node: NodeConfig) -> str:
    """What messages call a node."""
    return f"node {node.name!r} at {node.url}"


def unreached(error: httpx.HTTPError, node: NodeConfig) -> InferenceError:
    """What it means that no answer began."""
    if isinstance(error, httpx.ConnectTimeout):
        how = "does not take the connection in time"
    elif isinstance(error, httpx.ConnectError):
        how = _why_no_connection(error)
    else:
        return UpstreamFault(f"{told(node)} closed the connection before it answered", hint=_LOG_HINT)
    return NodeUnavailable(f"{told(node)} {how}", hint=start_hint(node))


def _why_no_connection(error: BaseException) -> str:
    causes = list(_causes(error))
    for kind, how in (
        (socket.gaierror, "has a name that cannot be looked up"),
        (ssl.SSLError, "shows a certificate that is not accepted"),
        (ConnectionRefusedError, "refuses connections"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return how
    return "cannot be reached"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    if error is None:
        return
    yield error
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _causes(inner)
    yield from _causes(error.__cause__ or error.__context__)


def refused(status: int, node: NodeConfig) -> NodeUnavailable:
    """The fault of a node that does not let us in."""
    if node.key_env:
        hint = f"Is the key in the environment variable {node.key_env} still good?"
    elif node.kind == "ollama":
        hint = "It, or a proxy before it, lets only others in: see OLLAMA_HOST and OLLAMA_ORIGINS there."
    else:
        hint = "It wants a key: name its environment variable as key_env of the node in the profile."
    return NodeUnavailable(f"{told(node)} refuses us (status {status})", hint=hint)


def silent(node: NodeConfig, seconds: float) -> UpstreamFault:
    """The fault of a node that says nothing."""
    return UpstreamFault(f"{told(node)} has sent nothing for {seconds:g} s", hint=_LOG_HINT)


def broken_off(node: NodeConfig) -> UpstreamFault:
    """The fault of an answer without its end."""
    return UpstreamFault(f"{told(node)} broke off before the end of the answer", hint=_LOG_HINT)


def line_too_long(node: NodeConfig) -> UpstreamFault:
    """The fault of an answer that is not cut into lines of a reasonable length."""
    return not_understood(node, "a line that does not end")


def not_understood(node: NodeConfig, what: str) -> UpstreamFault:
    """The fault of an answer in no known form."""
    return UpstreamFault(f"{told(node)} sent {what}", hint=f"Is this the address of a server of kind {node.kind}?")


def missing(runner: Model, node: NodeConfig) -> ModelMissing:
    """The fault of a model that the node does not have."""
    get_it = (
        f"Get it with `ollama pull {runner.model}`." if node.kind == "ollama" else "Serve it there, or name another."
    )
    return ModelMissing(f"{told(node)} does not have the model {runner.model}", hint=get_it)


def too_large(runner: Model, prompt_tokens: int | None, num_ctx: int | None) -> ContextTooLarge:
    """The fault of a prompt that is longer than the window, with the node's numbers as far as it told them."""
    window = num_ctx or runner.num_ctx
    prompt = f"the prompt has {prompt_tokens} tokens" if prompt_tokens else "the prompt is too long"
    return ContextTooLarge(
        f"{prompt}; {runner.model} has a window of {window}",
        prompt_tokens=prompt_tokens,
        num_ctx=window,
        hint="Ask for less at once, or name a tier with a larger window.",
    )


def over_budget(text: str, runner: Model, node: NodeConfig) -> OverBudget | None:
    """The fault of a model that did not load, told by the words of the node; None if they say something else."""
    if _NO_MEMORY.search(text):
        return OverBudget(
            f"{told(node)} has not enough memory for {runner.model} with a window of {runner.num_ctx} tokens",
            hint="Close what else uses the GPU, or take a profile with a smaller model or window.",
        )
    if _NO_LOAD.search(text):
        hint = "The log of the node says why; an old server cannot load a new model."
        return OverBudget(f"{told(node)} could not load {runner.model}", hint=hint)
    return None
