"""Speaks to an Ollama node, in Ollama's own API: the one that takes a window with each request and tells of a cut."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from inference import faults, wire
from inference.embedding import vectors_of
from inference.model import ModelFacts, facts_of_show
from inference.node import (
    Chat,
    Chunk,
    InferenceError,
    Loaded,
    NodeBusy,
    NodeState,
    UpstreamFault,
    Usage,
)
from inference.profile import EmbeddingModel, NodeConfig, same_model
from inference.values import count_of, loads, seconds_of, text_of
from inference.wire import Lines, Patience

_NANOSECOND = 1e-9
# For a question that takes a node no work.
_SHORT = Patience(wire.PROBE_SECONDS, wire.PROBE_SECONDS)
# What a model may not support, and what to do then.
_UNABLE = {
    "thinking": "Set think = false in the profile.",
    "embeddings": "Name a model made for embeddings, such as nomic-embed-text.",
    "chat": "Name a model made for chat.",
}
_TOO_LONG = ("longer than the context length", "exceeds the context length", "exceeds the available context size")
_NO_VECTORS = "what is not one vector for each text"
_UNEXPECTED = "what is no answer of Ollama"


class OllamaNode:
    """A machine that runs Ollama.

    Args:
        config: where it is.
        patience: how long its silence is borne.
    """

    def __init__(self, config: NodeConfig, patience: Patience = Patience()) -> None:  # noqa: B008 - it is frozen
        self.config = config
        self._patience = patience
        self._http = wire.client(config)

    async def chat(self, chat: Chat) -> AsyncGenerator[Chunk, None]:
        """Ask for an answer; see `inference.node.Node.chat`.

        A failure is a status of 400 or more, any line with an error, a line that is no answer, and an end without the
        line that says `done`: a token repeated too often, or a runner that died, ends a stream without a word.
        """
        response = await wire.post(self._http, "/api/chat", body(chat), self.config, self._patience)
        try:
            if response.status_code != 200:
                text = await wire.error_text(response, self.config, self._patience)
                raise fault(response.status_code, text, chat.runner, self.config)
            lines = Lines(response, self.config, self._patience)
            async for line in lines:
                if not line:
                    continue
                chunk = self._chunk(line, chat)
                yield chunk
                if chunk.usage is not None:
                    await lines.drain()
                    return
            raise faults.broken_off(self.config)
        finally:
            await response.aclose()

    def _chunk(self, line: bytes, chat: Chat) -> Chunk:
        try:
            value = loads(line)
            if "error" in value:
                raise fault(500, text_of(value["error"]), chat.runner, self.config)
            message, done = value.get("message") or {}, value["done"]
            text, thinking = text_of(message.get("content")), text_of(message.get("thinking"))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise faults.not_understood(self.config, _UNEXPECTED) from None
        return Chunk(text, thinking, _usage(value, chat) if done is True else None)

    async def embed(self, model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of texts; see `inference.node.Node.embed`."""
        response = await wire.post(self._http, "/api/embed", embed_body(model, texts), self.config, self._patience)
        try:
            if response.status_code != 200:
                text = await wire.error_text(response, self.config, self._patience)
                raise fault(response.status_code, text, model, self.config)
            data = await wire.whole(response, self.config, self._patience)
        finally:
            await response.aclose()
        try:
            # In a thread: a batch has tens of thousands of numbers.
            return await asyncio.to_thread(lambda: vectors_of(loads(data)["embeddings"], len(texts), model.dimensions))
        except (ValueError, TypeError, KeyError):
            raise faults.not_understood(self.config, _NO_VECTORS) from None

    async def state(self) -> NodeState:
        """How it is, within a second; see `inference.node.Node.state`."""
        paths = ("/api/version", "/api/tags", "/api/ps")
        try:
            (status, version), (_, tags), (_, loaded) = await wire.probe(self._http, paths, self.config)
            if status != 200 or not isinstance(version, dict):
                raise faults.not_understood(self.config, _UNEXPECTED)
        except InferenceError as error:
            return NodeState(self.config.name, reachable=False, error=str(error), hint=error.hint, code=error.code)
        return NodeState(
            self.config.name,
            reachable=True,
            version=str(version.get("version", "")),
            models=tuple(str(model.get("name", "")) for model in _models(tags)),
            loaded=tuple(_loaded(model) for model in _models(loaded)),
        )

    async def facts(self, models: Sequence[str]) -> Mapping[str, ModelFacts]:
        """What `/api/show` tells of models, and `/api/tags` of their sizes; those that cannot be had are left out."""
        found: dict[str, ModelFacts] = {}
        try:
            [(_, tags)] = await wire.probe(self._http, ("/api/tags",), self.config)
            sizes = {str(one.get("name", "")): count_of(one.get("size")) or 0 for one in _models(tags)}
            for model in models:
                size = next((size for name, size in sizes.items() if same_model(name, model)), 0)
                with suppress(ValueError):
                    found[model] = facts_of_show(model, await self._show(model), size)
        except InferenceError:
            pass  # what was told before counts
        return found

    async def _show(self, model: str) -> Mapping[str, Any]:
        """What is said of a model.

        Raises:
            InferenceError: nothing comes.
            ValueError: it is no JSON object; a refusal is one without facts.
        """
        response = await wire.post(self._http, "/api/show", {"model": model}, self.config, _SHORT)
        try:
            value = loads(await wire.whole(response, self.config, _SHORT))
        finally:
            await response.aclose()
        if not isinstance(value, dict):
            raise ValueError("no object")  # noqa: TRY004 - as other JSON that is not understood
        return value

    async def unload(self, model: str) -> None:
        """Let a model go; see `inference.node.Node.unload`.

        This endpoint takes any model, since it unloads before it looks at what that can do (`server/routes.go`).
        """
        request = {"model": model, "keep_alive": 0}
        response = await wire.post(self._http, "/api/generate", request, self.config, _SHORT)
        try:
            await wire.whole(response, self.config, _SHORT)
        finally:
            await response.aclose()
        if response.status_code != 200:
            raise faults.not_understood(self.config, _UNEXPECTED)

    async def close(self) -> None:
        """Let go of its connections."""
        await self._http.aclose()


def body(chat: Chat) -> dict[str, Any]:
    """The request. It always says what Ollama would otherwise choose by itself.

    `num_ctx` and `shift` are the same in every request for a model, since another value loads it anew. `truncate` and
    `shift` off make a prompt that is too long an error instead of a cut without a word.
    """
    runner = chat.runner
    request: dict[str, Any] = {
        "model": runner.model,
        "messages": [{"role": message.role, "content": message.content} for message in chat.messages],
        "stream": True,
        "think": runner.think,
        "truncate": False,
        "shift": False,
        "keep_alive": runner.keep_alive,
        "options": {**runner.options, "num_ctx": runner.num_ctx, "num_predict": chat.answer_tokens},
    }
    return request if chat.schema is None else request | {"format": chat.schema}


def embed_body(model: EmbeddingModel, texts: Sequence[str]) -> dict[str, Any]:
    """The request for vectors. With `truncate` off a text that is too long is an error, not cut without a word."""
    request: dict[str, Any] = {
        "model": model.model,
        "input": list(texts),
        "truncate": False,
        "keep_alive": model.keep_alive,
        "options": {**model.options, "num_ctx": model.num_ctx},
    }
    return request | ({"dimensions": model.dimensions} if model.dimensions else {})


def fault(status: int, text: str, runner: faults.Model, node: NodeConfig) -> InferenceError:
    """What a refusal means. Its words are read but never repeated: they may quote the prompt.

    Args:
        status: of HTTP; 500 for a line with an error inside a stream.
        text: the body, or the error of the line.
        runner: what was asked.
        node: who refuses.
    """
    said, inner = faults.unwrapped(text)
    name = faults.told(node)
    if inner.get("type") == "exceed_context_size_error" or any(words in said for words in _TOO_LONG):
        tokens, window = count_of(inner.get("n_prompt_tokens")), count_of(inner.get("n_ctx"))
        return faults.too_large(runner, tokens, window)
    if status == 404 and "model" in said:
        return faults.missing(runner, node)
    if status in (429, 503):
        hint = "Other programs keep it busy; try again in a moment."
        return NodeBusy(f"{name} has too many requests waiting", hint=hint, retry_after=wire.BUSY_SECONDS)
    if status in (401, 403):
        return faults.refused(status, node)
    if status >= 500 and (budget := faults.over_budget(said, runner, node)):
        return budget
    if "does not support" in said:
        what = next((what for what in _UNABLE if what in said), "chat")
        return UpstreamFault(f"{runner.model} on {name} does not support {what}", hint=_UNABLE[what], by_node=False)
    if "unexpectedly stopped" in said or "error was encountered while running" in said:
        hint = "It often means too little memory; the log of the node says more."
        return UpstreamFault(f"{name}: the runner of {runner.model} died", hint=hint)
    if status in (404, 405) or 300 <= status < 400:
        return faults.not_understood(node, f"status {status} where Ollama answers")
    return UpstreamFault(
        f"{name} failed with status {status}", hint="The log of the node says why.", by_node=status >= 500
    )


def _usage(value: Mapping[str, Any], chat: Chat) -> Usage:
    def seconds(name: str) -> float:
        return seconds_of(value.get(name), _NANOSECOND)

    return Usage(
        prompt_eval_count=count_of(value.get("prompt_eval_count")),
        completion_tokens=count_of(value.get("eval_count")),
        num_ctx=chat.runner.num_ctx,
        done_reason=text_of(value.get("done_reason")) if isinstance(value.get("done_reason"), str) else "",
        load_seconds=seconds("load_duration"),
        prompt_seconds=seconds("prompt_eval_duration"),
        answer_seconds=seconds("eval_duration"),
    )


def _models(answer: Any) -> list[Mapping[str, Any]]:
    models = answer.get("models") if isinstance(answer, dict) else None
    return [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []


def _loaded(model: Mapping[str, Any]) -> Loaded:
    size, vram, window = (count_of(model.get(name)) or 0 for name in ("size", "size_vram", "context_length"))
    return Loaded(str(model.get("name", "")), size, vram, window)
