"""The endpoints of the Ollama double: what each takes, checks and answers; made after Ollama 0.33."""

import asyncio
import json
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.ollama_answers import briefing, count, cut, in_form, normalised, pieces, rendered, vector
from tests.ollama_http import REFUSALS, Exchange, Fault, Refused, Seen, to_json
from tests.ollama_machine import Launch, Machine, Model, QueueFull, Runner

VERSION = "0.33.0"
TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)
# Options of a request and their types in Go. Those of the runner load a model anew; the others ask for an answer.
_RUNNER_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys("num_ctx num_batch num_gpu main_gpu num_thread draft_num_predict".split(), "integer"),
    "use_mmap": "boolean",
}
_OPTIONS: Mapping[str, str] = {
    **_RUNNER_OPTIONS,
    **dict.fromkeys("num_keep seed num_predict top_k repeat_last_n".split(), "integer"),
    **dict.fromkeys("top_p min_p typical_p temperature repeat_penalty".split(), "float32"),
    **dict.fromkeys("presence_penalty frequency_penalty".split(), "float32"),
    "stop": "array",
}
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "integer": (int, float),
    "float32": (int, float),
    "boolean": bool,
    "array": list,
}
_NAME = re.compile(r"(?:[\w.:-]+/)?(?:[\w.-]+/)?[\w.-]+(?::[\w.-]+)?", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_ORIGIN = re.compile(r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?|(app|file|tauri|vscode-webview)://.*")
# What Go makes of a time that never comes.
_NEVER = timedelta(days=365 * 292)
_MODIFIED = "2025-05-04T17:37:44.706015396-07:00"
# An answer without a limit ends after so many windows.
_WINDOWS = 10
_READ = ("GET", "HEAD")

Answer = Callable[[str], str]
Shape = Callable[[str, str], dict[str, Any]]
T = TypeVar("T")


class Double:
    """A running double.

    Args:
        machine: what is behind it.
        answers: what it says next, one text per answer; afterwards `answer` is asked.
        answer: makes an answer of a prompt.
        thinking: what a thinking model thinks aloud.
        bytes_per_token, others_per_token: how it counts, the marks of the chat template included; see `count`.
        deaf: whether it heeds neither `truncate` nor `shift`, and cuts what is too long without a word, as versions of
            old and some other servers do.
        omit_zeros: whether numbers that are 0 vanish from answers, as they do in Go.

    Attributes:
        url: its address.
        requests: all that came in, but for those to its own control endpoints.
        faults: those to come, in order; a request meets one of them.
        connections: how many were opened.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        answers: Iterable[str] = (),
        answer: Answer = briefing,
        thinking: str = "The notes say enough.",
        bytes_per_token: float = 4.0,
        others_per_token: float = 0.0,
        deaf: bool = False,
        omit_zeros: bool = True,
    ) -> None:
        self.machine = machine
        self.answers = list(answers)
        self.answer = answer
        self.thinking = thinking
        self.bytes_per_token = bytes_per_token
        self.others_per_token = others_per_token
        self.deaf = deaf
        self.omit_zeros = omit_zeros
        self.url = ""
        self.requests: list[Seen] = []
        self.faults: list[Fault] = []
        self.connections = 0

    def fault(self, kind: str, **more: Any) -> None:
        """Let the next request to a model go wrong; see `Fault`."""
        self.faults.append(Fault(kind, **more))

    def chats(self) -> list[Seen]:
        """The requests for an answer."""
        return [seen for seen in self.requests if seen.path == "/api/chat" and not loads_only(seen)]

    def record(self) -> dict[str, Any]:
        """What `GET /double` tells."""
        names = "loads reloads unloads running waiting pending running_peak pending_peak".split()
        return {
            **{name: getattr(self.machine, name) for name in names},
            "loaded": list(self.machine.loaded),
            "connections": self.connections,
            "faults": [asdict(fault) for fault in self.faults],
            "requests": [asdict(seen) for seen in self.requests],
        }

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return count(text, self.bytes_per_token, self.others_per_token)

    async def handle(self, seen: Seen, transport: asyncio.Transport) -> None:
        """Answer a request."""
        if not seen.path.startswith("/double"):
            self.requests.append(seen)
        call = _Call(self, seen, transport)
        try:
            await call.route()
        except QueueFull:
            await call.refuse(Refused(*REFUSALS["busy"]))
        except Refused as error:
            await call.refuse(error)

    def take_fault(self, seen: Seen) -> Fault | None:
        """The fault that a request meets."""
        # What is loaded ahead comes at any time, and is not what a fault is meant for.
        fault = self.faults[0] if self.faults and not loads_only(seen) else None
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
        return fault


class _Call(Exchange):
    """One request on its way through an endpoint."""

    def __init__(self, double: Double, seen: Seen, transport: asyncio.Transport) -> None:
        super().__init__(seen, transport)
        self.double = double
        self.machine = double.machine
        self.clock = double.machine.clock
        self.began = self.clock.now()

    async def route(self) -> None:
        """Find the endpoint, if the one who asks may have it."""
        host = urlsplit(f"//{self.seen.headers.get('host', '')}").hostname or ""
        origin = self.seen.headers.get("origin", "")
        methods, endpoint = _ROUTES.get(self.seen.path, ((), None))
        if not _is_local(host) or (origin and not _ORIGIN.fullmatch(origin)):
            await self.whole(403, "")
        elif self.seen.method == "OPTIONS":
            await self.whole(204, "")
        elif endpoint is None:
            await self.whole(404, "404 page not found")
        elif self.seen.method not in methods:
            await self.whole(405, "405 method not allowed")
        else:
            await endpoint(self)

    # What a request says.

    def body(self) -> Mapping[str, Any]:
        """The object that was sent."""
        body = self.seen.body
        if body is None:
            raise Refused(400, "missing request body")
        if isinstance(body, bytes):
            first = body.lstrip()[:1].decode("latin-1")
            raise Refused(400, f"invalid character {first!r} looking for beginning of value")
        if not isinstance(body, dict):
            raise Refused(400, "json: cannot unmarshal into Go value of type api.Request")
        return body

    def field(self, name: str, kind: type[T], default: T) -> T:
        """A field of it; null and absent are the same."""
        value = self.body().get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise Refused(400, f"json: cannot unmarshal into Go struct field Request.{name}")
        return value

    def model(self) -> Model:
        """The model that is named."""
        name = self.field("model", str, "") or self.field("name", str, "")
        if name and not _NAME.fullmatch(name):
            raise Refused(400, "invalid model name")
        model = self.machine.find(name)
        if model is None:
            raise Refused(404, f"model '{name}' not found")
        return model

    def options(self) -> dict[str, Any]:
        """The options that are known."""
        found: dict[str, Any] = {}
        options: dict[str, Any] = self.field("options", dict, {})
        for name, value in options.items():
            kind = _OPTIONS.get(name)
            if kind is None or value is None:
                continue
            fits = isinstance(value, _TYPES[kind]) and isinstance(value, bool) == (kind == "boolean")
            if not fits:
                raise Refused(500, f'option "{name}" must be of type {kind}')
            found[name] = int(value) if kind == "integer" else value
        return found

    def launch(self, options: Mapping[str, Any], model: Model) -> Launch:
        """What it asks of the runner."""
        asked = {name: options[name] for name in _RUNNER_OPTIONS if name in options}
        return Launch(**asked, shift=self.field("shift", bool, model.family != "deepseek2"))

    def keep(self) -> float | None:
        """`keep_alive` in seconds, infinite for ever; None if it is not said."""
        value = self.body().get("keep_alive")
        if value is None:
            return None
        if isinstance(value, str):
            bare = value.removeprefix("-")
            parts = _DURATION.findall(bare)
            if bare != "0" and (not parts or "".join(number + unit for number, unit in parts) != bare):
                raise Refused(400, f'time: invalid duration "{value}"')
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
            value = -seconds if value.startswith("-") else seconds
        return math.inf if value < 0 else float(value)

    def thinks(self, model: Model) -> bool:
        """Whether it is to think aloud: a model that can does, unless told not to."""
        wish = self.body().get("think")
        if wish:
            self.require(model, "thinking")
        return "thinking" in model.capabilities and wish is not False

    def form(self) -> Any:
        """The form of the answer: none, "json" or a schema."""
        form = self.body().get("format")
        if form in (None, "", "json") or isinstance(form, dict):
            return form
        shown = json.dumps(json.dumps(form))
        raise Refused(500, f'invalid format: {shown}; expected "json" or a valid JSON Schema object')

    def require(self, model: Model, capability: str, what: str = "") -> None:
        """The model must be able to do that."""
        if capability not in model.capabilities:
            raise Refused(400, f'"{self.field("model", str, "")}" does not support {what or capability}')

    async def meet_fault(self) -> None:
        """Take the fault that is due; those that come before an answer come here."""
        self.fault = fault = self.double.take_fault(self.seen)
        if fault is None:
            return
        if fault.kind in REFUSALS:
            status, text = REFUSALS[fault.kind]
            raise Refused(status, text.format(model=self.field("model", str, "")))
        if fault.kind == "slow_first":
            await asyncio.sleep(fault.seconds)

    # Answers of a model.

    async def chat(self) -> None:
        """POST /api/chat."""
        if not self.field("model", str, ""):
            raise Refused(400, "model is required")
        model = self.model()
        await self.meet_fault()
        if not 0 <= self.field("top_logprobs", int, 0) <= 20:
            raise Refused(400, "top_logprobs must be between 0 and 20")
        if not self.field("messages", list, []) and self.keep() == 0:
            await self.let_go(model, _as_message)
            return
        self.require(model, "completion", "chat")
        if self.field("tools", list, []) and "tools" not in model.capabilities:
            raise Refused(400, f"registry.ollama.ai/library/{model.name} does not support tools")
        messages: list[Any] = self.field("messages", list, [])
        if not all(isinstance(message, dict) for message in messages):
            raise Refused(400, "json: cannot unmarshal into Go struct field ChatRequest.messages of type api.Message")
        turns = [{**message, "role": str(message.get("role", "")).lower()} for message in messages]
        await self.generate_with(model, turns, _as_message)

    async def generate(self) -> None:
        """POST /api/generate."""
        model = self.model()
        await self.meet_fault()
        if not self.field("prompt", str, "") and self.keep() == 0:
            await self.let_go(model, _as_response)
            return
        self.require(model, "completion", "generate")
        raw = self.field("raw", bool, False)
        if raw and any(self.body().get(name) for name in ("template", "system", "context")):
            raise Refused(400, "raw mode does not support template, system, or context")
        if self.field("suffix", str, ""):
            self.require(model, "insert")
        prompt, system = self.field("prompt", str, ""), self.field("system", str, "")
        turns = [{"role": "system", "content": system}] if system and prompt else []
        turns += [{"role": "user", "content": prompt}] if prompt else []
        await self.generate_with(model, turns, _as_response, {} if raw else {"context": [1, 2, 3]})

    async def let_go(self, model: Model, shape: Shape) -> None:
        """Unload a model, whatever it can do."""
        self.machine.expire(model)
        await self.whole(200, self.chunk(shape("", ""), done=True, done_reason="unload"))

    async def generate_with(
        self, model: Model, turns: Sequence[Mapping[str, Any]], shape: Shape, last: Mapping[str, Any] | None = None
    ) -> None:
        """Answer in the shape of the endpoint; without a question, load the model."""
        keep, thinks = self.keep(), self.thinks(model)
        options = self.options()
        async with self.machine.runner(model, self.launch(options, model), keep) as runner:
            loaded = self.clock.now() - self.began
            if self.meets("spill"):
                runner.on_gpu = min(runner.on_gpu, runner.size // 2)
            if not turns:
                await self.whole(200, self.chunk(shape("", ""), done=True, done_reason="load"))
                return
            async with self.machine.slot(runner):
                await self.answer(runner, turns, options, shape, thinks=thinks, loaded=loaded, last=last or {})

    async def answer(
        self,
        runner: Runner,
        turns: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        shape: Shape,
        *,
        thinks: bool,
        loaded: float,
        last: Mapping[str, Any],
    ) -> None:
        """Read the prompt and write the answer; `loaded` is how long the model took to be there."""
        stream = self.field("stream", bool, True)
        prompt, read = self.fitted(runner, turns, options.get("num_keep", 4))
        wanted = self.words(prompt, options, thinks=thinks)
        read_seconds = await self.read(runner, prompt, read)
        began, limit = self.clock.now(), self.limit(runner, read, options.get("num_predict", -1))
        written: list[tuple[str, str]] = []
        for number, piece in enumerate([*wanted[:limit], None]):
            if await self.strike(number, last=piece is None, stream=stream):
                return
            if piece is not None:
                await self.clock.sleep(1 / self.machine.decode)
                written.append(piece)
                if stream:
                    await self.line(self.chunk(shape(*piece), done=False))
        said, thought = ("".join(parts) for parts in zip(("", ""), *written, strict=True))
        runner.kept = prompt.encode() + said.encode()
        counts = {
            "done_reason": "length" if len(wanted) > limit else "stop",
            **last,
            "total_duration": _nanoseconds(self.clock.now() - self.began),
            "load_duration": max(1000, _nanoseconds(loaded)),
            "prompt_eval_count": read,
            "prompt_eval_duration": _nanoseconds(read_seconds),
            "eval_count": len(written),
            "eval_duration": _nanoseconds(self.clock.now() - began),
        }
        if self.meets("no_count"):
            del counts["prompt_eval_count"]
        if stream:
            await self.line(self.chunk(shape("", ""), done=True, **counts))
            await self.end()
        else:
            await self.whole(200, self.chunk(shape(said, thought), done=True, **counts))

    def chunk(self, part: Mapping[str, Any], *, done: bool, **more: Any) -> dict[str, Any]:
        """A line of an answer, its figures last."""
        return {
            "model": self.field("model", str, ""),
            "created_at": _utc_now(),
            **part,
            "done": done,
            **self.without_zeros(more),
        }

    def without_zeros(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """What Go leaves of figures."""
        return {name: value for name, value in figures.items() if value != 0 or not self.double.omit_zeros}

    def words(self, prompt: str, options: Mapping[str, Any], *, thinks: bool) -> list[tuple[str, str]]:
        """The answer in pieces of text and of thinking, as if nothing limited it."""
        form = self.form()
        text = self.double.answers.pop(0) if self.double.answers else self.double.answer(prompt)
        text = in_form(text, form) if form else text
        for stop in options.get("stop", ()):
            text = text.partition(stop)[0]
        thought = pieces(self.double.thinking) if thinks else []
        return [("", piece) for piece in thought] + [(piece, "") for piece in pieces(text)]

    def fitted(self, runner: Runner, turns: Sequence[Mapping[str, Any]], num_keep: int) -> tuple[str, int]:
        """The prompt as it reaches the model: whole, without its oldest messages, or without its middle; its tokens.

        Raises:
            Refused: it is too long, and the request or the model leaves no other way.
        """
        deaf, window = self.double.deaf, runner.num_ctx
        truncate = deaf or self.field("truncate", bool, True)
        prompt = rendered(self.without_oldest(turns, window) if truncate else turns)
        tokens = self.double.count(prompt)
        per = len(prompt.encode()) / tokens
        if self.meets("half"):
            return cut(prompt, 4, tokens // 2 - 4, per), tokens // 2
        if tokens < window:
            return prompt, tokens
        if not truncate or (runner.model.native and not deaf):
            raise Refused(400, _exceeds(tokens, window))
        if not runner.launch.shift and not deaf:
            raise Refused(400, TOO_LONG)
        first = min(num_keep if num_keep >= 0 else tokens, window - 1)
        limit = window - max((window - first) // 2, 1)
        return cut(prompt, first, limit - first, per), limit

    def without_oldest(self, turns: Sequence[Mapping[str, Any]], window: int) -> Sequence[Mapping[str, Any]]:
        """The messages from where on they fit, and all system messages; the last one always stays."""
        kept = turns
        for at in range(len(turns)):
            kept = [*(turn for turn in turns[:at] if turn["role"] == "system"), *turns[at:]]
            if self.double.count(rendered(kept)) <= window:
                break
        return kept

    async def read(self, runner: Runner, prompt: str, tokens: int) -> float:
        """Let the model read what its cache does not hold of the prompt; the seconds that takes."""
        pairs = enumerate(zip(prompt.encode(), runner.kept, strict=False))
        same = next((at for at, (new, old) in pairs if new != old), min(len(prompt.encode()), len(runner.kept)))
        began = self.clock.now()
        await self.clock.sleep((tokens - int(same / self.double.bytes_per_token)) / self.machine.prefill)
        return self.clock.now() - began

    def limit(self, runner: Runner, read: int, num_predict: int) -> int:
        """Pieces the answer may have: as asked for, and within the window if nothing may be dropped from it."""
        most = _WINDOWS * runner.num_ctx
        asked = min(num_predict, most) if num_predict > 0 else most
        return asked if runner.launch.shift else min(asked, runner.num_ctx - read)

    async def embed(self) -> None:
        """POST /api/embed."""
        model = self.model()
        await self.meet_fault()
        texts = self.body().get("input") or []
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise Refused(400, "invalid input type")
        tokens, per = [self.double.count(text) for text in texts], self.double.bytes_per_token
        async with self.machine.runner(model, self.launch(self.options(), model), self.keep()) as runner:
            loaded, window = self.clock.now() - self.began, runner.num_ctx
            async with self.machine.slot(runner):
                if max(tokens, default=0) > window and not self.field("truncate", bool, True):
                    raise Refused(400, "the input length exceeds the context length")
                read = [min(one, window) for one in tokens]
                await self.clock.sleep(sum(read) / self.machine.prefill)
        width = self.field("dimensions", int, 0) or model.embedding
        kept = [cut(text, one, 0, per) for text, one in zip(texts, read, strict=True)]
        figures = {
            "total_duration": _nanoseconds(self.clock.now() - self.began),
            "load_duration": max(1000, _nanoseconds(loaded)),
            "prompt_eval_count": sum(read),
        }
        answer = {
            "model": self.field("model", str, ""),
            "embeddings": [normalised(vector(text, model.embedding)[:width]) for text in kept],
            **self.without_zeros(figures),
        }
        await self.whole(200, answer)

    # What there is.

    async def root(self) -> None:
        """GET /."""
        await self.whole(200, "Ollama is running")

    async def version(self) -> None:
        """GET /api/version."""
        await self.whole(200, {"version": VERSION})

    async def tags(self) -> None:
        """GET /api/tags."""
        await self.whole(200, {"models": [_tag(model) for model in self.machine.models.values()]})

    async def ps(self) -> None:
        """GET /api/ps."""
        runners = sorted(self.machine.loaded.values(), key=lambda runner: -runner.expires)
        now = self.clock.now()
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
        if not (self.field("model", str, "") or self.field("name", str, "")):
            raise Refused(400, "model is required")
        model = self.model()
        answer = {
            "license": "",
            "modelfile": f"FROM {model.name}\n",
            "parameters": f"num_ctx {model.num_ctx}" if model.num_ctx else "",
            "template": "" if model.native else "{{ .Prompt }}",
            "details": _details(model),
            "model_info": _model_info(model),
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
                self.double.faults.append(Fault(**self.body()))
            except (TypeError, ValueError) as error:
                raise Refused(400, str(error)) from None
        await self.whole(200, {"faults": [asdict(fault) for fault in self.double.faults]})

    async def control_answers(self) -> None:
        """POST /double/answers says what is answered next."""
        self.double.answers = [str(one) for one in self.field("answers", list, [])]
        await self.whole(200, {"answers": self.double.answers})


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


def loads_only(seen: Seen) -> bool:
    """Whether a request for an answer has no words, and so only loads its model, or lets it go."""
    return seen.path == "/api/chat" and isinstance(seen.body, dict) and seen.body.get("messages") == []


def _as_message(text: str, thinking: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text} | ({"thinking": thinking} if thinking else {})}


def _as_response(text: str, thinking: str) -> dict[str, Any]:
    return {"response": text} | ({"thinking": thinking} if thinking else {})


def _exceeds(tokens: int, window: int) -> str:
    """What llama-server says, which Ollama hands on as a text."""
    message = f"request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"
    error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    return to_json({"error": error | {"n_prompt_tokens": tokens, "n_ctx": window}}).decode()


def _tag(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": _MODIFIED,
        "size": model.size,
        "digest": model.digest,
        "details": _details(model) | {"context_length": model.context, "embedding_length": model.embedding},
        "capabilities": list(model.capabilities),
    }


def _details(model: Model) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.family,
        "families": [model.family],
        "parameter_size": model.parameters,
        "quantization_level": model.quantisation,
    }


def _model_info(model: Model) -> dict[str, Any]:
    """All that the arithmetic of memory needs."""
    number, unit = float(model.parameters[:-1]), model.parameters[-1]
    geometry = {
        "block_count": model.layers,
        "attention.head_count": model.heads,
        "attention.head_count_kv": model.kv_heads,
        "attention.key_length": model.head_dim,
        "attention.value_length": model.head_dim,
        "context_length": model.context,
        "embedding_length": model.embedding,
    } | ({"attention.sliding_window": model.window} if model.window else {})
    # Of the vocabulary only files of this family tell.
    geometry |= {"vocab_size": model.vocabulary} if model.family == "llama" else {}
    geometry |= {"feed_forward_length": model.feed_forward} if model.feed_forward else {}
    return {
        "general.architecture": model.family,
        "general.parameter_count": int(number * {"B": 1e9, "M": 1e6}[unit]),
        **{f"{model.family}.{name}": value for name, value in geometry.items()},
    }


def _is_local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host in ("", "localhost") or host.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_unspecified


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _utc_now() -> str:
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"


def _local_in(seconds: float) -> str:
    return (datetime.now().astimezone() + (_NEVER if seconds == math.inf else timedelta(seconds=seconds))).isoformat()
