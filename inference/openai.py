"""Speaks to a node with the OpenAI API: llama.cpp, vLLM, SGLang, LM Studio, LiteLLM, or a cloud."""

import asyncio
import os
import re
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from inference import faults, wire
from inference.embedding import vectors_of
from inference.model import ModelFacts
from inference.node import (
    Chat,
    Chunk,
    InferenceError,
    NodeBusy,
    NodeState,
    NodeUnavailable,
    UpstreamFault,
    Usage,
)
from inference.profile import EmbeddingModel, NodeConfig
from inference.values import count_of, loads, seconds_of, text_of
from inference.wire import LINE_LIMIT, Lines, Patience

_MILLISECOND = 1e-3
_LONGEST_RETRY = 3600.0
_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"
_UNEXPECTED = "what is no answer of the OpenAI API"
# How servers say that a prompt is too long, and where their numbers stand: llama.cpp, vLLM, SGLang, TGI, LM Studio.
_TOO_LONG = re.compile(
    r"exceed_context_size|context_length_exceeded|(?:maximum |model's )?context (?:length|size)|inputs`? tokens \+",
    re.IGNORECASE,
)
# How they say it of a text to be embedded, whatever the status: llama.cpp (500), TEI (413).
_TEXT_TOO_LONG = re.compile(r"too large to process|must have less than \d+ tokens", re.IGNORECASE)
_WINDOW = (
    re.compile(
        r"(?:context length is|context length of only|context (?:length|size) \(|must be <=) ?(\d{1,9})", re.IGNORECASE
    ),
)
# The second form counts the answer too, so it is asked for only if the first is not there.
_PROMPT = (
    re.compile(
        r"(\d{1,9}) (?:in the messages|input tokens|`inputs` tokens)|(?:request|input) \((\d{1,9}) tokens",
        re.IGNORECASE,
    ),
    re.compile(r"(?:resulted in|requested) (\d{1,9}) tokens", re.IGNORECASE),
)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream: its name, "" for the usual one, and its data."""

    name: str
    data: bytes


class EventReader:
    """Puts the lines of a server-sent stream together to events, as the HTML standard says.

    A line that begins with `error:` counts as an event of that name: llama.cpp writes its errors so.
    """

    def __init__(self) -> None:
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        self._begun = False

    def feed(self, line: bytes) -> ServerEvent | None:
        """Take the next line, without its end.

        Returns:
            The event that it ends, if it ends one.

        Raises:
            wire.LineTooLong: the event is longer than a line may be.
        """
        if not self._begun:
            line, self._begun = line.removeprefix(_BOM), True
        if not line:
            return self.rest()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif name in (b"data", b"error"):
            self._name = "error" if name == b"error" else self._name
            self._size += len(value)
            if self._size > LINE_LIMIT:
                raise wire.LineTooLong
            self._data.append(value)
        return None

    def rest(self) -> ServerEvent | None:
        """The event that is open, if any."""
        event = ServerEvent(self._name, b"\n".join(self._data)) if self._data else None
        self._name, self._data, self._size = "", [], 0
        return event


@dataclass(slots=True)
class _Answer:
    """What is known of an answer while it comes."""

    began: float = field(default_factory=time.monotonic)
    first: float = 0.0
    reason: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)

    def take(self, value: Mapping[str, Any]) -> None:
        """Note when the answer began, and the figures an event carries."""
        self.first = self.first or time.monotonic()
        usage, timings = value.get("usage"), value.get("timings")
        self.usage = usage if isinstance(usage, dict) else self.usage
        self.timings = timings if isinstance(timings, dict) else self.timings


class OpenAINode:
    """A machine that speaks the OpenAI API.

    Args:
        config: where it is, and which environment variable holds its key.
        patience: how long its silence is borne.
    """

    def __init__(self, config: NodeConfig, patience: Patience = Patience()) -> None:  # noqa: B008 - it is frozen
        self.config = config
        self._patience = patience
        self._key = os.environ.get(config.key_env, "") if config.key_env else ""
        self._http = wire.client(config, {"Authorization": f"Bearer {self._key}"} if self._key else None)

    async def chat(self, chat: Chat) -> AsyncGenerator[Chunk, None]:
        """Ask for an answer; see `inference.node.Node.chat`.

        A failure is a status of 400 or more, an event with an error, one that is no answer, and an end before the model
        said why it stopped.
        """
        self._need_key()
        response = await wire.post(
            self._http, "/v1/chat/completions", body(chat, self.config), self.config, self._patience
        )
        try:
            if response.status_code != 200:
                text = await wire.error_text(response, self.config, self._patience)
                after = response.headers.get("Retry-After", "")
                raise fault(response.status_code, text, chat.runner, self.config, after)
            answer, lines, reader = _Answer(), Lines(response, self.config, self._patience), EventReader()
            while (event := await self._event(lines, reader)) is not None and event.data != _DONE:
                chunk = self._chunk(event, answer, chat)
                if chunk.text or chunk.thinking:
                    yield chunk
            if not answer.reason:
                raise faults.broken_off(self.config)
            yield Chunk(usage=_usage(answer, chat))
            await lines.drain()
        finally:
            await response.aclose()

    def _need_key(self) -> None:
        if self.config.key_env and not self._key:
            hint = f"Set the environment variable {self.config.key_env}."
            raise NodeUnavailable(f"there is no key for {faults.told(self.config)}", hint=hint)

    async def _event(self, lines: Lines, reader: EventReader) -> ServerEvent | None:
        """The next event, None at the end. One without the empty line behind it counts at the end of the stream."""
        try:
            async for line in lines:
                if event := reader.feed(line):
                    return event
        except wire.LineTooLong:
            raise faults.line_too_long(self.config) from None
        return reader.rest()

    def _chunk(self, event: ServerEvent, answer: _Answer, chat: Chat) -> Chunk:
        if event.name not in ("", "message", "error"):
            return Chunk()
        try:
            value = loads(event.data)
            if event.name == "error" or "error" in value or value.get("object") == "error":
                _, inner = faults.unwrapped(event.data.decode("utf-8"))
                raise fault(count_of(inner.get("code")) or 500, event.data.decode("utf-8"), chat.runner, self.config)
            answer.take(value)
            choice: Mapping[str, Any] = next(iter(value["choices"]), {})
            delta = choice.get("delta") or {}
            answer.reason = text_of(choice.get("finish_reason")) or answer.reason
            thinking = text_of(delta.get("reasoning_content") or delta.get("reasoning"))
            return Chunk(text_of(delta.get("content")), thinking)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise faults.not_understood(self.config, _UNEXPECTED) from None

    async def embed(self, model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of texts; see `inference.node.Node.embed`."""
        self._need_key()
        response = await wire.post(self._http, "/v1/embeddings", embed_body(model, texts), self.config, self._patience)
        try:
            if response.status_code != 200:
                text = await wire.error_text(response, self.config, self._patience)
                raise fault(response.status_code, text, model, self.config, response.headers.get("Retry-After", ""))
            data = await wire.whole(response, self.config, self._patience)
        finally:
            await response.aclose()
        try:
            # In a thread: a batch has tens of thousands of numbers.
            return await asyncio.to_thread(lambda: vectors_of(_in_order(loads(data)), len(texts), model.dimensions))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise faults.not_understood(self.config, "what is not one vector for each text") from None

    async def state(self) -> NodeState:
        """How it is, within a second; see `inference.node.Node.state`. What is in its memory it does not tell."""
        name = self.config.name
        try:
            self._need_key()
            (status, models), (health, _) = await wire.probe(self._http, ("/v1/models", "/health"), self.config)
            if 503 in (status, health):
                problem = f"{faults.told(self.config)} is not ready yet"
                return NodeState(name, reachable=True, error=problem, hint="It may be loading its model.")
            if status != 200 or not isinstance(models, dict) or not isinstance(models.get("data"), list):
                raise faults.not_understood(self.config, _UNEXPECTED)
        except InferenceError as error:
            return NodeState(name, reachable=False, error=str(error), hint=error.hint, code=error.code)
        ids = (model.get("id") for model in models["data"] if isinstance(model, dict))
        return NodeState(name, reachable=True, models=tuple(one for one in ids if isinstance(one, str)))

    async def facts(self, models: Sequence[str]) -> Mapping[str, ModelFacts]:  # noqa: ARG002 - nothing tells them
        """Nothing: there is no common way to ask for it."""
        return {}

    async def unload(self, model: str) -> None:
        """Do nothing: such a node serves what it has; see `inference.node.Node.unload`."""

    async def close(self) -> None:
        """Let go of its connections."""
        await self._http.aclose()


def body(chat: Chat, node: NodeConfig) -> dict[str, Any]:
    """The request. The window is the server's own; the rest is as the runner says."""
    runner = chat.runner
    request: dict[str, Any] = {
        **runner.options,
        "model": runner.model,
        "messages": [{"role": message.role, "content": message.content} for message in chat.messages],
        "max_tokens": chat.answer_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if isinstance(runner.think, str):
        request["reasoning_effort"] = runner.think
    elif node.klass != "cloud":
        # Servers of open models pass this on to the chat template; a cloud refuses what it does not know.
        request["chat_template_kwargs"] = {"enable_thinking": runner.think}
    if chat.schema is not None:
        schema = {"name": "answer", "schema": chat.schema, "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    return request


def embed_body(model: EmbeddingModel, texts: Sequence[str]) -> dict[str, Any]:
    """The request for vectors. The window is the server's own."""
    request: dict[str, Any] = {"model": model.model, "input": list(texts), "encoding_format": "float"}
    return request | ({"dimensions": model.dimensions} if model.dimensions else {})


def _in_order(value: Mapping[str, Any]) -> list[Any]:
    """The vectors of an answer in the order of the texts: each says which one it is of."""
    found = {one.get("index", place): one["embedding"] for place, one in enumerate(value["data"])}
    return [found[place] for place in range(len(value["data"]))]


def fault(status: int, text: str, runner: faults.Model, node: NodeConfig, retry_after: str = "") -> InferenceError:
    """What a refusal means. Its words are read but never repeated: they may quote the prompt.

    Args:
        status: of HTTP, or the code of an error inside a stream.
        text: the body, or the data of the event.
        runner: what was asked.
        node: who refuses.
        retry_after: the header of that name.
    """
    said, inner = faults.unwrapped(text)
    kind = f"{inner.get('type', '')} {inner.get('code', '')}"
    name = faults.told(node)
    if _TEXT_TOO_LONG.search(said) or (status < 500 and _TOO_LONG.search(f"{kind} {said}")):
        tokens = count_of(inner.get("n_prompt_tokens")) or _number(_PROMPT, said)
        return faults.too_large(runner, tokens, count_of(inner.get("n_ctx")) or _number(_WINDOW, said))
    if status in (401, 403):
        return faults.refused(status, node)
    if "model_not_found" in kind or (status == 404 and "model" in said):
        return faults.missing(runner, node)
    if status in (429, 503):
        hint = "It is loading its model, or others keep it busy; try again in a moment."
        return NodeBusy(f"{name} takes no more requests now", hint=hint, retry_after=_retry(retry_after))
    if "not support embeddings" in said:
        hint = "Start the server with embeddings (llama.cpp: --embeddings), or name another model."
        return UpstreamFault(f"{name} does not give embeddings", hint=hint, by_node=False)
    if status >= 500 and (budget := faults.over_budget(said, runner, node)):
        return budget
    if status in (404, 405) or 300 <= status < 400:
        return faults.not_understood(node, f"status {status} where the OpenAI API answers")
    return UpstreamFault(
        f"{name} failed with status {status}", hint="The log of the node says why.", by_node=status >= 500
    )


def _number(patterns: Iterable[re.Pattern[str]], said: str) -> int | None:
    """The number that the first pattern to match finds."""
    found = next(filter(None, (pattern.search(said) for pattern in patterns)), None)
    return int(next(filter(None, found.groups()))) if found else None


def _retry(header: str) -> float:
    """Seconds to wait, out of a header that holds seconds or a date."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return wire.BUSY_SECONDS
    return min(max(1.0, seconds), _LONGEST_RETRY)


def _usage(answer: _Answer, chat: Chat) -> Usage:
    """Tokens as the server counted them; times as it measured them, else as they were seen from here."""
    details = answer.usage.get("prompt_tokens_details")
    prompt = seconds_of(answer.timings.get("prompt_ms"), _MILLISECOND)
    written = seconds_of(answer.timings.get("predicted_ms"), _MILLISECOND)
    return Usage(
        prompt_eval_count=count_of(answer.usage.get("prompt_tokens")),
        completion_tokens=count_of(answer.usage.get("completion_tokens")),
        num_ctx=chat.runner.num_ctx,
        done_reason=answer.reason,
        load_seconds=0.0,
        prompt_seconds=prompt or answer.first - answer.began,
        answer_seconds=written or time.monotonic() - answer.first,
        cached_tokens=count_of(details.get("cached_tokens")) if isinstance(details, dict) else None,
    )
