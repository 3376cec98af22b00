"""A double of Ollama for tests and for people without a GPU: its HTTP API, its errors, and its faults on demand."""

import argparse
import asyncio
import json
import math
import queue
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests import ollama_answers
from tests.ollama_machine import CATALOG, KV_BYTES, Launch, Machine, Model, Refused, Runner

# The release whose sources it was made after.
VERSION = "0.33.0"
TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)
DIED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama "
    "server logs for details"
)
EOF = "an error was encountered while running the model: unexpected EOF"
NO_MEMORY = "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory"

# What can go wrong, and what it looks like. Those with a status come instead of an answer.
REFUSALS: Mapping[str, tuple[int, str]] = {
    "missing": (404, "model '{model}' not found"),
    "busy": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "gone": (499, "request canceled"),
    "no_memory": (500, NO_MEMORY),
    "died": (500, DIED),
}
FAULTS: Mapping[str, str] = {
    **{kind: f"status {status}: {text}" for kind, (status, text) in REFUSALS.items()},
    "error_line": "after so many chunks a line with an error, then the end without done",
    "cut": "after so many chunks the connection breaks",
    "repeated": "after so many chunks one token over and over, then the end with neither done nor error",
    "stall": "after so many chunks silence for so many seconds",
    "slow_first": "silence for so many seconds before the first byte",
    "drip": "after so many chunks one byte every so many seconds",
    "garbage": "after so many chunks a line that is no JSON",
    "half_line": "after so many chunks half a line, then the end",
    "huge_line": "after so many chunks a line of 10 MB",
    "split_utf8": "characters that are split between pieces of the body",
    "half": "the prompt is cut to half without a word but its count",
    "spill": "half of the model is on the CPU: size_vram < size",
    "no_count": "prompt_eval_count is absent",
}
# Options of a request and their types in Go; those above the line of the runner load a model anew.
_RUNNER_OPTIONS: Mapping[str, str] = {
    "num_ctx": "integer",
    "num_batch": "integer",
    "num_gpu": "integer",
    "main_gpu": "integer",
    "use_mmap": "boolean",
    "num_thread": "integer",
    "draft_num_predict": "integer",
}
_OPTIONS: Mapping[str, str] = {
    **_RUNNER_OPTIONS,
    **dict.fromkeys(("num_keep", "seed", "num_predict", "top_k", "repeat_last_n"), "integer"),
    **dict.fromkeys(("top_p", "min_p", "typical_p", "temperature", "repeat_penalty"), "float32"),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), "float32"),
    "stop": "array",
}
_NAME = re.compile(r"(?:[\w.:-]+/)?(?:[\w.-]+/)?[\w.-]+(?::[\w.-]+)?", re.ASCII)
_UNIT = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_ORIGIN = re.compile(
    r"(?:https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::\d+)?|(?:app|file|tauri|vscode-webview)://.*)"
)
# What Go writes for a time that never comes.
_NEVER = timedelta(days=365 * 292)
_MODIFIED = "2025-05-04T17:37:44.706015396-07:00"
_OPEN_ENDED = 10
_BODY_LIMIT = 256 * 1024 * 1024

Answer = Callable[[str], str]
T = TypeVar("T")


@dataclass
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: one of `FAULTS`.
        after: chunks that come before it.
        seconds: how long it takes.
        times: requests it still meets, None for all that come.
    """

    kind: str
    after: int = 1
    seconds: float = 0.5
    times: int | None = 1

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"{self.kind!r} is no fault; allowed: {', '.join(FAULTS)}")


@dataclass
class Seen:
    """A request that came in. Times are of `time.monotonic()`, 0 for never.

    Attributes:
        began, ended: when it was read, and when its answer was given to the network.
        closed: when it was noticed that the client had gone before the end of the answer.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    chunks: int = 0
    ended: float = 0.0
    closed: float = 0.0


class Double:
    """A running double.

    Args:
        machine: what is behind it.
        answers: what it says next, one text per answer; afterwards `answer` is asked.
        answer: makes an answer of a prompt.
        thinking: what a thinking model thinks aloud.
        bytes_per_token: how it counts; a template adds its own marks.
        omit_zeros: whether numbers that are 0 vanish from answers, as they do in Go.

    Attributes:
        url: its address.
        requests: all that came in, but for its own control endpoints.
        faults: those to come, in order; one request meets one of them.
        connections: how many were opened.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        answers: Iterable[str] = (),
        answer: Answer = ollama_answers.briefing,
        thinking: str = "The notes say enough.",
        bytes_per_token: float = 4.0,
        omit_zeros: bool = True,
    ) -> None:
        self.machine = machine
        self.answers = list(answers)
        self.answer = answer
        self.thinking = thinking
        self.bytes_per_token = bytes_per_token
        self.omit_zeros = omit_zeros
        self.url = ""
        self.requests: list[Seen] = []
        self.faults: list[Fault] = []
        self.connections = 0

    def fault(self, kind: str, **more: Any) -> None:
        """Let the next request to a model go wrong; see `Fault`."""
        self.faults.append(Fault(kind, **more))

    def chats(self) -> list[Seen]:
        """The requests for chats."""
        return [seen for seen in self.requests if seen.path == "/api/chat"]

    def take_fault(self) -> Fault | None:
        """The fault that a request meets."""
        fault = self.faults[0] if self.faults else None
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
        return fault

    def says(self, prompt: str) -> str:
        """The answer to a prompt."""
        return self.answers.pop(0) if self.answers else self.answer(prompt)

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return ollama_answers.count(text, self.bytes_per_token)

    def record(self) -> dict[str, Any]:
        """What `GET /double` tells."""
        machine = self.machine
        names = "loads reloads unloads running waiting pending running_peak pending_peak".split()
        return {
            **{name: getattr(machine, name) for name in names},
            "loaded": list(machine.loaded),
            "connections": self.connections,
            "faults": [asdict(fault) for fault in self.faults],
            "requests": [asdict(seen) for seen in self.requests],
        }


class _Connection(asyncio.Protocol):
    """One client. Its leaving cancels what is done for it, as in Go."""

    def __init__(self, double: Double, tasks: set[asyncio.Task[None]]) -> None:
        self._double = double
        self._tasks = tasks
        self._reader = asyncio.StreamReader(limit=_BODY_LIMIT)
        self._seen: Seen | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._double.connections += 1
        self._task = asyncio.create_task(self._serve())
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def eof_received(self) -> None:
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()

    def _gone(self) -> None:
        if self._seen is not None and not self._seen.ended and not self._seen.closed:
            self._seen.closed = time.monotonic()
        self._task.cancel()

    async def _serve(self) -> None:
        try:
            with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ValueError):
                while await self._one():
                    pass
        finally:
            self._transport.close()

    async def _one(self) -> bool:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, version = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen = Seen(method, urlsplit(path).path, headers, await self._body(headers))
        if not seen.path.startswith("/double"):
            self._double.requests.append(seen)
        self._seen = seen
        await _Call(self._double, seen, self._transport).handle()
        seen.ended = time.monotonic()
        return version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"

    async def _body(self, headers: Mapping[str, str]) -> Any:
        """The body as JSON, whatever it says it is; bytes if it is none."""
        if "chunked" in headers.get("transfer-encoding", ""):
            data = b""
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                data += await self._reader.readexactly(size)
                await self._reader.readexactly(2)
            await self._reader.readuntil(b"\r\n")
        else:
            data = await self._reader.readexactly(int(headers.get("content-length", "0")))
        try:
            return json.loads(data) if data.strip() else None
        except ValueError:
            return data


class _Call:
    """One request and its answer."""

    def __init__(self, double: Double, seen: Seen, transport: asyncio.Transport) -> None:
        self.double = double
        self.machine = double.machine
        self.seen = seen
        self.transport = transport
        self.fault: Fault | None = None
        self.began = self.machine.clock.now()

    # Writing. An answer is one object of JSON, or lines of them in a chunked body.

    def _head(self, status: int, kind: str, length: int | None = None) -> bytes:
        self.seen.status = status
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}"]
        lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        if origin := self.seen.headers.get("origin"):
            lines.append(f"Access-Control-Allow-Origin: {origin}")
        return "\r\n".join([*lines, "", ""]).encode()

    async def whole(self, status: int, value: Any) -> None:
        """Answer with one object, or with a text."""
        kind = "text/plain" if isinstance(value, str) else "application/json"
        data = value.encode() if isinstance(value, str) else _json(value)
        body = b"" if self.seen.method == "HEAD" else data
        await self._send(self._head(status, f"{kind}; charset=utf-8", len(data)) + body)

    async def line(self, value: Any) -> None:
        """Answer with one more object of a stream; bytes go as they are."""
        if not self.seen.status:
            self.transport.write(self._head(200, "application/x-ndjson"))
        self.seen.chunks += 1
        data = value if isinstance(value, bytes) else _json(value) + b"\n"
        for part in _split(data) if self._meets("split_utf8") else [data]:
            await self._send(b"%x\r\n%s\r\n" % (len(part), part))

    async def end(self) -> None:
        """End a stream."""
        await self._send(b"0\r\n\r\n")

    async def _send(self, data: bytes) -> None:
        if self._meets("drip"):
            assert self.fault is not None
            for byte in data:
                self.transport.write(bytes([byte]))
                await asyncio.sleep(self.fault.seconds)
        self.transport.write(b"" if self._meets("drip") else data)
        await asyncio.sleep(0)

    def _meets(self, *kinds: str) -> bool:
        """Whether the request has come to where a fault of such a kind strikes."""
        fault = self.fault
        return fault is not None and fault.kind in kinds and self.seen.chunks >= fault.after

    # The way of a request.

    async def handle(self) -> None:
        """Answer it."""
        try:
            await self._route()
        except Refused as error:
            refusal = {"error": str(error)}
            if self.seen.status:
                await self.line(refusal)
                await self.end()
            else:
                await self.whole(error.status, refusal)

    async def _route(self) -> None:
        seen = self.seen
        host, origin = urlsplit(f"//{seen.headers.get('host', '')}").hostname or "", seen.headers.get("origin", "")
        if not _is_local(host) or (origin and not _ORIGIN.fullmatch(origin)):
            await self.whole(403, "")
            return
        if seen.method == "OPTIONS":
            await self.whole(204, "")
            return
        methods, handler = _ROUTES.get(seen.path, ((), None))
        if handler is None:
            await self.whole(404, "404 page not found")
        elif seen.method not in methods:
            await self.whole(405, "405 method not allowed")
        else:
            await handler(self)

    def _object(self) -> Mapping[str, Any]:
        body = self.seen.body
        if body is None:
            raise Refused(400, "missing request body")
        if isinstance(body, bytes):
            first = body.lstrip()[:1].decode("latin-1")
            raise Refused(400, f"invalid character {first!r} looking for beginning of value")
        if not isinstance(body, dict):
            raise Refused(400, "json: cannot unmarshal into Go value of type api.Request")
        return body

    def _field(self, name: str, kind: type[T], default: T) -> T:
        """A field of the body; null and absent are the same."""
        value = self._object().get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise Refused(400, f"json: cannot unmarshal into Go struct field .{name} of another type")
        return value

    def _model(self) -> Model:
        name = self._field("model", str, "") or self._field("name", str, "")
        if name and not _NAME.fullmatch(name):
            raise Refused(400, "invalid model name")
        model = self.machine.find(name)
        if model is None:
            raise Refused(404, f"model '{name}' not found")
        return model

    def _options(self) -> Mapping[str, Any]:
        options = self._field("options", dict, {})
        for name, value in options.items():
            kind = _OPTIONS.get(name)
            types: tuple[type, ...] = {"boolean": (bool,), "array": (list,)}.get(kind or "", (int, float))
            if (
                kind
                and value is not None
                and (not isinstance(value, types) or isinstance(value, bool) != (bool in types))
            ):
                raise Refused(500, f'option "{name}" must be of type {kind}')
        return {name: value for name, value in options.items() if value is not None}

    def _launch(self, options: Mapping[str, Any], model: Model) -> Launch:
        asked = {name: options[name] for name in _RUNNER_OPTIONS if name in options}
        return Launch(**asked, shift=self._field("shift", bool, model.family != "deepseek2"))

    def _keep(self) -> float | None:
        """`keep_alive` in seconds, infinite for ever; None if it is not said."""
        value = self._object().get("keep_alive")
        if value is None:
            return None
        if isinstance(value, str):
            bare = value.removeprefix("-")
            parts = _DURATION.findall(bare)
            if bare != "0" and "".join(map("".join, parts)) != bare:
                raise Refused(400, f'time: invalid duration "{value}"')
            seconds = sum(float(number) * _UNIT[unit] for number, unit in parts)
            value = -seconds if value.startswith("-") else seconds
        return math.inf if value < 0 else float(value)

    def _think(self, model: Model) -> bool:
        """Whether it thinks aloud: a model that can does, unless told not to."""
        wish = self._object().get("think")
        if wish and "thinking" not in model.capabilities:
            raise Refused(400, f'"{self._name}" does not support thinking')
        return "thinking" in model.capabilities and wish is not False

    @property
    def _name(self) -> str:
        return self._field("model", str, "")

    def _require(self, model: Model, *capabilities: str, what: str = "") -> None:
        for one in capabilities:
            if one not in model.capabilities:
                raise Refused(400, f'"{self._name}" does not support {what or one}')

    async def _meet_fault(self) -> None:
        """Take the fault that is due; those that come instead of an answer come here."""
        self.fault = fault = self.double.take_fault()
        if fault is None:
            return
        if fault.kind in REFUSALS:
            status, text = REFUSALS[fault.kind]
            raise Refused(status, text.format(model=self._name))
        if fault.kind == "slow_first":
            await self.machine.clock.sleep(fault.seconds)

    # Answers of a model.

    async def chat(self) -> None:
        """POST /api/chat."""
        if not self._field("model", str, ""):
            raise Refused(400, "model is required")
        model = self._model()
        await self._meet_fault()
        messages: list[Any] = self._field("messages", list, [])
        if not 0 <= self._field("top_logprobs", int, 0) <= 20:
            raise Refused(400, "top_logprobs must be between 0 and 20")
        self._require(model, "completion", what="chat")
        if self._field("tools", list, []) and "tools" not in model.capabilities:
            raise Refused(400, f"registry.ollama.ai/library/{model.name} does not support tools")
        turns = [{**message, "role": str(message.get("role", "")).lower()} for message in messages]
        await self._generate(model, turns, _as_message)

    async def generate(self) -> None:
        """POST /api/generate."""
        model = self._model()
        await self._meet_fault()
        self._require(model, "completion", what="generate")
        raw = self._field("raw", bool, False)
        if raw and any(self._object().get(name) for name in ("template", "system", "context")):
            raise Refused(400, "raw mode does not support template, system, or context")
        if self._field("suffix", str, ""):
            self._require(model, "insert")
        prompt, system = self._field("prompt", str, ""), self._field("system", str, "")
        turns = [{"role": "system", "content": system}] if system and prompt else []
        turns += [{"role": "user", "content": prompt}] if prompt else []
        await self._generate(model, turns, _as_response, {} if raw else {"context": [1, 2, 3]})

    async def _generate(
        self,
        model: Model,
        turns: Sequence[Mapping[str, Any]],
        shape: Callable[[str, str], dict[str, Any]],
        last: Mapping[str, Any] | None = None,
    ) -> None:
        """Load, unload, or answer, in the shape of the endpoint."""
        keep = self._keep()
        if not turns and keep == 0:
            self.machine.expire(model)
            await self.whole(200, self._chunk(shape("", ""), done=True, done_reason="unload"))
            return
        thinks = self._think(model)
        options = self._options()
        async with self.machine.runner(model, self._launch(options, model), keep) as runner:
            loaded = self.machine.clock.now() - self.began
            if self.fault is not None and self.fault.kind == "spill":
                runner.on_gpu = min(runner.on_gpu, runner.size // 2)
            if not turns:
                await self.whole(200, self._chunk(shape("", ""), done=True, done_reason="load"))
                return
            async with self.machine.slot(runner):
                await self._answer(runner, turns, options, shape, thinks=thinks, load=loaded, last=last or {})

    async def _answer(
        self,
        runner: Runner,
        turns: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        shape: Callable[[str, str], dict[str, Any]],
        *,
        thinks: bool,
        load: float,
        last: Mapping[str, Any],
    ) -> None:
        prompt = self._fitted(runner, turns, int(options.get("num_keep", 4)))
        form = self._form()
        read, read_seconds = await self._read(runner, prompt)
        text = self.double.says(prompt)
        text = ollama_answers.in_form(text, form) if form else text
        text = re.split("|".join(map(re.escape, options.get("stop") or ["\0"])), text, maxsplit=1)[0]
        thought = ollama_answers.pieces(self.double.thinking) if thinks else []
        all_pieces = [(piece, "") for piece in ollama_answers.pieces(text)]
        all_pieces = [("", piece) for piece in thought] + all_pieces
        limit = self._limit(runner, read, int(options.get("num_predict", -1)))
        clock, began = self.machine.clock, self.machine.clock.now()
        stream = self._field("stream", bool, True)
        written: list[tuple[str, str]] = []
        for said, thinking in all_pieces[:limit]:
            if await self._strike():
                return
            await clock.sleep(1 / self.machine.decode)
            written.append((said, thinking))
            if stream:
                await self.line(self._chunk(shape(said, thinking), done=False))
        if await self._strike(at_end=True):
            return
        runner.kept = (prompt + text).encode()
        reason = "length" if len(all_pieces) > limit else "stop"
        words = ("", "") if stream else ("".join(said for said, _ in written), "".join(aloud for _, aloud in written))
        counts: dict[str, Any] = {
            "done_reason": reason,
            **last,
            "total_duration": _nanoseconds(clock.now() - self.began),
            "load_duration": max(1000, _nanoseconds(load)),
            "prompt_eval_count": 0 if self._is("no_count") else read,
            "prompt_eval_duration": _nanoseconds(read_seconds),
            "eval_count": len(written),
            "eval_duration": _nanoseconds(clock.now() - began),
        }
        if self._is("no_count"):
            del counts["prompt_eval_count"]
        chunk = self._chunk(shape(*words), done=True, **counts)
        if stream:
            await self.line(chunk)
            await self.end()
        else:
            await self.whole(200, chunk)

    def _chunk(self, part: Mapping[str, Any], *, done: bool, **more: Any) -> dict[str, Any]:
        kept = {name: value for name, value in more.items() if value != 0 or not self.double.omit_zeros}
        return {"model": self._name, "created_at": _utc_now(), **part, "done": done, **kept}

    def _is(self, kind: str) -> bool:
        return self.fault is not None and self.fault.kind == kind

    async def _strike(self, *, at_end: bool = False) -> bool:
        """Let the fault strike if its time has come; whether it ended the answer."""
        fault = self.fault
        if fault is None or not (self.seen.chunks >= fault.after or at_end):
            return False
        match fault.kind:
            case "error_line":
                raise Refused(500, EOF)
            case "cut":
                self.transport.abort()
                raise asyncio.CancelledError
            case "stall":
                fault.kind, _ = "", await asyncio.sleep(fault.seconds)
            case "garbage":
                await self.line(b"<html>502 Bad Gateway</html>\n")
            case "half_line":
                await self.line(b'{"model":"x","message":{"role":"assist')
            case "huge_line":
                await self.line(_json({"message": {"content": "x" * 10_000_000}, "done": False}) + b"\n")
            case "repeated":
                for _ in range(31):
                    await self.line(self._chunk(_as_message(" the", ""), done=False))
            case _:
                return False
        if fault.kind in ("half_line", "repeated"):
            await self.end()
        return fault.kind in ("half_line", "repeated")

    def _form(self) -> Any:
        form = self._object().get("format")
        if form in (None, "", "json") or isinstance(form, dict):
            return form
        raise Refused(
            500, f'invalid format: {json.dumps(json.dumps(form))}; expected "json" or a valid JSON Schema object'
        )

    def _fitted(self, runner: Runner, turns: Sequence[Mapping[str, Any]], num_keep: int) -> str:
        """The prompt as it reaches the model: whole, without its oldest messages, or without its middle.

        Raises:
            Refused: it is too long, and the request or the model leaves no other way.
        """
        truncate = self._field("truncate", bool, True)
        count, window = self.double.count, runner.num_ctx
        if truncate:
            turns = self._without_oldest(turns, window)
        prompt = ollama_answers.rendered(turns)
        tokens, per = count(prompt), self.double.bytes_per_token
        if self._is("half"):
            return ollama_answers.cut(prompt, 4, tokens // 2 - 4, per)
        if tokens < window:
            return prompt
        if not truncate or runner.model.native:
            raise Refused(400, _exceeds(tokens, window))
        if not runner.launch.shift:
            raise Refused(400, TOO_LONG)
        first = min(num_keep if num_keep >= 0 else tokens, window - 1)
        limit = window - max((window - first) // 2, 1)
        return ollama_answers.cut(prompt, first, limit - first, per)

    def _without_oldest(self, turns: Sequence[Mapping[str, Any]], window: int) -> Sequence[Mapping[str, Any]]:
        """The messages from the first place on from which they fit, with all system messages; the last always stays."""
        for at in range(len(turns)):
            kept = [turn for turn in turns[:at] if turn["role"] == "system"] + list(turns[at:])
            if self.double.count(ollama_answers.rendered(kept)) <= window:
                return kept
        return kept

    async def _read(self, runner: Runner, prompt: str) -> tuple[int, float]:
        """Let the model read the prompt, what its cache holds excepted; tokens in all, and seconds."""
        data = prompt.encode()
        same = next((n for n, (a, b) in enumerate(zip(data, runner.kept, strict=False)) if a != b), len(runner.kept))
        tokens = self.double.count(prompt)
        fresh = tokens - int(min(same, len(data)) / self.double.bytes_per_token)
        began = self.machine.clock.now()
        await self.machine.clock.sleep(fresh / self.machine.prefill)
        return tokens, self.machine.clock.now() - began

    def _limit(self, runner: Runner, read: int, num_predict: int) -> int:
        """Pieces the answer may have: as asked for, and within the window if nothing may be dropped from it."""
        open_ended = _OPEN_ENDED * runner.num_ctx
        asked = min(num_predict, open_ended) if num_predict > 0 else open_ended
        return asked if runner.launch.shift else min(asked, runner.num_ctx - read)

    async def embed(self) -> None:
        """POST /api/embed."""
        model = self._model()
        await self._meet_fault()
        asked = self._object().get("input")
        texts = [asked] if isinstance(asked, str) and asked else [] if asked in (None, "") else asked
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise Refused(400, "invalid input type")
        options = self._options()
        async with self.machine.runner(model, self._launch(options, model), self._keep()) as runner:
            loaded = self.machine.clock.now() - self.began
            async with self.machine.slot(runner):
                tokens = [self.double.count(text) for text in texts]
                if max(tokens, default=0) > runner.num_ctx and not self._field("truncate", bool, True):
                    raise Refused(400, "the input length exceeds the context length")
                read = [min(one, runner.num_ctx) for one in tokens]
                await self.machine.clock.sleep(sum(read) / self.machine.prefill)
                width = self._field("dimensions", int, 0) or model.embedding
                per = self.double.bytes_per_token
                vectors = [
                    ollama_answers.vector(ollama_answers.cut(text, count, 0, per), model.embedding)
                    for text, count in zip(texts, read, strict=True)
                ]
        counts = {
            "total_duration": _nanoseconds(self.machine.clock.now() - self.began),
            "load_duration": max(1000, _nanoseconds(loaded)),
            "prompt_eval_count": sum(read),
        }
        shown = {name: value for name, value in counts.items() if value or not self.double.omit_zeros}
        embeddings = [ollama_answers.normalised(one[:width]) for one in vectors]
        await self.whole(200, {"model": self._name, "embeddings": embeddings, **shown})

    # What there is.

    async def root(self) -> None:
        """GET /."""
        await self.whole(200, "Ollama is running")

    async def version(self) -> None:
        """GET /api/version."""
        await self.whole(200, {"version": VERSION})

    async def tags(self) -> None:
        """GET /api/tags."""
        models = [
            {
                "name": model.name,
                "model": model.name,
                "modified_at": _MODIFIED,
                "size": model.size,
                "digest": model.digest,
                "details": {
                    **_details(model),
                    "context_length": model.context,
                    "embedding_length": model.embedding,
                },
                "capabilities": list(model.capabilities),
            }
            for model in self.machine.models.values()
        ]
        await self.whole(200, {"models": models})

    async def ps(self) -> None:
        """GET /api/ps."""
        runners = sorted(self.machine.loaded.values(), key=lambda runner: -runner.expires)
        now = self.machine.clock.now()
        models = [
            {
                "name": runner.model.name,
                "model": runner.model.name,
                "size": runner.size,
                "digest": runner.model.digest,
                "details": _details(runner.model),
                "expires_at": _local_in(runner.expires - now),
                "size_vram": runner.on_gpu,
                "context_length": runner.num_ctx,
            }
            for runner in runners
        ]
        await self.whole(200, {"models": models})

    async def show(self) -> None:
        """POST /api/show."""
        if not (self._field("model", str, "") or self._field("name", str, "")):
            raise Refused(400, "model is required")
        model = self._model()
        prefix = model.family
        info: dict[str, Any] = {
            "general.architecture": prefix,
            "general.parameter_count": int(float(model.parameters[:-1]) * {"B": 1e9, "M": 1e6}[model.parameters[-1]]),
            f"{prefix}.block_count": model.layers,
            f"{prefix}.attention.head_count": model.heads,
            f"{prefix}.attention.head_count_kv": model.kv_heads,
            f"{prefix}.attention.key_length": model.head_dim,
            f"{prefix}.attention.value_length": model.head_dim,
            f"{prefix}.context_length": model.context,
            f"{prefix}.embedding_length": model.embedding,
        }
        if model.window:
            info[f"{prefix}.attention.sliding_window"] = model.window
        answer = {
            "license": "",
            "modelfile": f"FROM {model.name}\n",
            "parameters": f"num_ctx {model.num_ctx}" if model.num_ctx else "",
            "template": "" if model.native else "{{ .Prompt }}",
            "details": _details(model),
            "model_info": info,
            "capabilities": list(model.capabilities),
            "modified_at": _MODIFIED,
        }
        await self.whole(200, answer)

    # What only the double has.

    async def show_record(self) -> None:
        """GET /double."""
        await self.whole(200, self.double.record())

    async def control_faults(self) -> None:
        """POST /double/fault adds a fault, DELETE takes all away."""
        if self.seen.method == "DELETE":
            self.double.faults.clear()
        else:
            try:
                self.double.faults.append(Fault(**self._object()))
            except (TypeError, ValueError) as error:
                raise Refused(400, str(error)) from None
        await self.whole(200, {"faults": [asdict(fault) for fault in self.double.faults]})

    async def control_answers(self) -> None:
        """POST /double/answers says what is answered next."""
        self.double.answers = [str(one) for one in self._field("answers", list, [])]
        await self.whole(200, {"answers": self.double.answers})


_READ = ("GET", "HEAD")
_ROUTES: Mapping[str, tuple[Sequence[str], Callable[[_Call], Awaitable[None]]]] = {
    "/": (_READ, _Call.root),
    "/api/version": (_READ, _Call.version),
    "/api/tags": (_READ, _Call.tags),
    "/api/ps": (("GET",), _Call.ps),
    "/api/show": (("POST",), _Call.show),
    "/api/chat": (("POST",), _Call.chat),
    "/api/generate": (("POST",), _Call.generate),
    "/api/embed": (("POST",), _Call.embed),
    "/double": (("GET",), _Call.show_record),
    "/double/fault": (("POST", "DELETE"), _Call.control_faults),
    "/double/answers": (("POST",), _Call.control_answers),
}


def _as_message(text: str, thinking: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text} | ({"thinking": thinking} if thinking else {})}


def _as_response(text: str, thinking: str) -> dict[str, Any]:
    return {"response": text} | ({"thinking": thinking} if thinking else {})


def _details(model: Model) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.family,
        "families": [model.family],
        "parameter_size": model.parameters,
        "quantization_level": model.quantisation,
    }


def _exceeds(tokens: int, window: int) -> str:
    """What llama-server says, which Ollama hands on as a text."""
    message = f"request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"
    error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    return _json({"error": error | {"n_prompt_tokens": tokens, "n_ctx": window}}).decode()


def _is_local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host in ("", "localhost") or host.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_unspecified


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _split(data: bytes) -> list[bytes]:
    """Bytes cut within each character that has more than one of them, else as they are."""
    cuts = [0, *(at for at, byte in enumerate(data) if 0x80 <= byte < 0xC0), len(data)]
    return [data[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if b > a]


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _utc_now() -> str:
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"


def _local_in(seconds: float) -> str:
    now = datetime.now().astimezone()
    return (now + (_NEVER if seconds == math.inf else timedelta(seconds=seconds))).isoformat()


@asynccontextmanager
async def double(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    obey: bool = False,
    machine: Machine | None = None,
    says: Mapping[str, Any] | None = None,
    **knobs: Any,
) -> AsyncIterator[Double]:
    """A running double on the loop of the caller.

    Args:
        host: where it listens; port 0 is any free one.
        port: see host.
        obey: whether it does what notes tell it to.
        machine: what is behind it, else one is made of the knobs.
        says: arguments of `Double`.
        knobs: arguments of `Machine`.
    """
    talk = {**({"answer": ollama_answers.obedient} if obey else {}), **(says or {})}
    async with machine or Machine(**knobs) as behind:
        found = Double(behind, **talk)
        tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.get_running_loop().create_server(partial(_Connection, found, tasks), host, port)
        found.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        try:
            yield found
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def double_in_thread(**more: Any) -> Iterator[Double]:
    """A running double on a loop of its own, for tests without one; arguments as for `double`."""
    started: queue.SimpleQueue[tuple[Double, asyncio.AbstractEventLoop, asyncio.Event] | BaseException]
    started = queue.SimpleQueue()

    async def live() -> None:
        stop = asyncio.Event()
        async with double(**more) as found:
            started.put((found, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            started.put(error)

    thread = threading.Thread(target=run, name="ollama-double")
    thread.start()
    ready = started.get()
    if isinstance(ready, BaseException):
        thread.join()
        raise ready
    found, loop, stop = ready
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a double until it is interrupted; prints its address when it is ready."""
    faults = "\n".join(f"  {kind:11} {what}" for kind, what in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.ollama_double",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="A double of Ollama: no model, but its API, its scheduling and its faults. It answers with cited "
        "sentences of the notes in the prompt.",
        epilog='POST /double/fault {"kind": ..., "after": chunks, "seconds": ..., "times": requests or null} makes the '
        f"next requests fail; DELETE ends that:\n{faults}\n"
        'POST /double/answers {"answers": [...]} says what is answered next. GET /double tells what was asked.',
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=11434, help="0 is any free one")
    add("--model", action="append", dest="models", metavar="NAME", help=f"may be repeated; known: {', '.join(CATALOG)}")
    add("--vram-gib", type=float, default=9.7, help="GPU memory that is free when nothing is loaded")
    add("--load-seconds", type=float, default=0.0)
    add("--prefill", type=float, default=math.inf, help="tokens read per second")
    add("--decode", type=float, default=math.inf, help="tokens written per second")
    add("--parallel", type=int, default=1, help="OLLAMA_NUM_PARALLEL")
    add("--max-loaded", type=int, default=3, help="OLLAMA_MAX_LOADED_MODELS")
    add("--max-queue", type=int, default=512, help="OLLAMA_MAX_QUEUE")
    add("--kv-type", choices=list(KV_BYTES), default="f16", help="OLLAMA_KV_CACHE_TYPE")
    add("--context", type=int, default=4096, help="OLLAMA_CONTEXT_LENGTH")
    add("--obey", action="store_true", help="do what notes say: a line 'SAY: words' is answered with those words")
    add("--bytes-per-token", type=float, default=4.0)
    options = vars(parser.parse_args(arguments))
    if options["models"] is None:
        del options["models"]
    says = {"bytes_per_token": options.pop("bytes_per_token")}
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(says=says, **options))


async def _run(**options: Any) -> None:
    async with double(**options) as found:
        print(found.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
