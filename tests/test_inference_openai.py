"""The OpenAI client against scripted bytes and a real llama.cpp server."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.node import (
    Chat,
    Chunk,
    ContextTooLarge,
    InferenceError,
    Message,
    ModelMissing,
    NodeBusy,
    NodeUnavailable,
    OverBudget,
    UpstreamFault,
)
from inference.openai import EventReader, OpenAINode, ServerEvent, body
from inference.profile import NodeConfig, RunnerProfile
from inference.wire import LineReader, Patience
from tests.eventually import AT_ONCE, eventually
from tests.raw_server import CLOSE, END, HANG, HEAD, RawServer, piece, raw_server, status
from tests.tiny_engine import tiny_engine

SECRET = "Grandmother's recipe: seven plums and one stone"
RUNNER = RunnerProfile("large", "rack", "Qwen/Qwen3-32B", "AWQ", 4096, 1024, options={"temperature": 0.3})
CHAT = Chat(RUNNER, (Message("system", "Be brief."), Message("user", SECRET)), 700)


def run(test: Callable[[], Awaitable[None]], seconds: float = 20) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await test()

    asyncio.run(bounded())


def config(url: str, **more: Any) -> NodeConfig:
    return NodeConfig(**{"name": "rack", "kind": "openai", "url": url, "klass": "lan"} | more)


@asynccontextmanager
async def node_at(url: str, patience: Patience | None = None, **more: Any) -> AsyncGenerator[OpenAINode, None]:
    node = OpenAINode(config(url, **more), patience or Patience())
    try:
        yield node
    finally:
        await node.close()


async def chunks(node: OpenAINode, chat: Chat = CHAT) -> list[Chunk]:
    async with aclosing(node.chat(chat)) as stream:
        return [chunk async for chunk in stream]


def event(value: Any) -> bytes:
    data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {data}\n\n".encode()


def said(text: str | None, reason: str | None = None, **more: Any) -> bytes:
    delta = {"content": text} if text is not None else {}
    return event({"choices": [{"index": 0, "delta": delta | more, "finish_reason": reason}], "usage": None})


USAGE = {"prompt_tokens": 26, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 20}}
LAST = event({"choices": [], "usage": USAGE})
DONE = event("[DONE]")


def whole(*events: bytes) -> tuple[bytes, ...]:
    return (HEAD, *(piece(one) for one in events), END)


GOOD = whole(said("", role="assistant"), said("Hello"), said(" there"), said(None, "stop"), LAST, DONE)


async def fault_of(node: OpenAINode, chat: Chat = CHAT) -> InferenceError:
    with pytest.raises(InferenceError) as caught:
        await chunks(node, chat)
    for text in (str(caught.value), caught.value.hint):
        assert "plums" not in text
    assert caught.value.hint
    return caught.value


async def then_works(server: RawServer, node: OpenAINode) -> None:
    server.scripts.clear()
    server.answer(*GOOD)
    assert "".join(chunk.text for chunk in await chunks(node)) == "Hello there"


def test_a_request_carries_runner_messages_and_the_wish_for_usage() -> None:
    assert body(CHAT, config("http://x")) == {
        "model": "Qwen/Qwen3-32B",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": SECRET}],
        "max_tokens": 700,
        "temperature": 0.3,
        "stream": True,
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"enable_thinking": False},
    }
    cloud = body(CHAT, config("https://x", klass="cloud"))
    assert "chat_template_kwargs" not in cloud
    level = body(replace(CHAT, runner=replace(RUNNER, think="high")), config("http://x"))
    assert level["reasoning_effort"] == "high"
    assert "chat_template_kwargs" not in level
    schema = {"type": "object"}
    form = body(replace(CHAT, schema=schema), config("http://x"))["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def test_an_answer_comes_in_pieces_and_its_usage_last() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*GOOD)
            *texts, last = await chunks(node)
            assert [chunk.text for chunk in texts] == ["Hello", " there"]
            usage = last.usage
            assert usage is not None
            assert (usage.prompt_eval_count, usage.completion_tokens, usage.cached_tokens) == (26, 5, 20)
            assert (usage.num_ctx, usage.done_reason, usage.load_seconds) == (4096, "stop", 0.0)
            assert 0 <= usage.prompt_seconds < 1
            assert 0 <= usage.answer_seconds < 1
            assert server.seen[0].path == "/v1/chat/completions"
            assert server.seen[0].body == body(CHAT, node.config)
            assert "authorization" not in server.seen[0].headers

    run(test)


def test_the_times_of_llama_cpp_are_taken_as_it_measured_them() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            timings = {"prompt_ms": 1500.0, "predicted_ms": 250.5}
            final = event({"choices": [], "usage": USAGE, "timings": timings})
            server.answer(*whole(said("Hi"), said(None, "length"), final, DONE))
            usage = (await chunks(node))[-1].usage
            assert usage is not None
            assert (usage.prompt_seconds, usage.answer_seconds, usage.done_reason) == (1.5, 0.2505, "length")

    run(test)


def test_a_server_that_does_not_count_leaves_the_counts_unknown() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            odd = event({"choices": [], "usage": [1], "timings": 3})
            for tail in ((DONE,), (odd, DONE), ()):
                server.scripts.clear()
                server.answer(*whole(said("Hi"), said(None, "stop"), *tail))
                usage = (await chunks(node))[-1].usage
                assert usage is not None
                assert (usage.prompt_eval_count, usage.completion_tokens, usage.cached_tokens) == (None, None, None)

    run(test)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_what_the_model_thinks_is_kept_apart(name: str) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*whole(said(None, **{name: "Hm."}), said("Yes"), said(None, "stop"), DONE))
            found = [(chunk.thinking, chunk.text) for chunk in await chunks(node)]
            assert found == [("Hm.", ""), ("", "Yes"), ("", "")]

    run(test)


def test_every_form_of_the_stream_that_the_standard_allows_is_read() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            split = json.dumps({"choices": [{"delta": {"content": "ぬか床"}}]}, ensure_ascii=False, indent=1)
            lines = [
                b"\xef\xbb\xbf" + said("Oh. "),
                b": keep-alive\r\n\r\n",
                b"retry: 3000\nid: 7\n\n",
                b"event: ping\ndata: {}\n\n",
                said("Hello").replace(b"\n", b"\r\n"),
                said(" there").replace(b"data: ", b"data:"),
                b"".join(b"data: " + part.encode() + b"\n" for part in split.split("\n")) + b"\n",
                b"event: message\n" + said(None, "stop"),
                LAST,
                b"data: [DONE]",
            ]
            data = b"".join(lines)
            server.answer(HEAD, *(piece(data[n : n + 7]) for n in range(0, len(data), 7)), END)
            assert "".join(chunk.text for chunk in await chunks(node)) == "Oh. Hello thereぬか床"

    run(test)


def test_nothing_after_the_end_counts() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(HEAD, piece(said("Hi") + said(None, "stop") + DONE + said("more")), HANG)
            began = time.monotonic()
            assert [chunk.text for chunk in await chunks(node)] == ["Hi", ""]
            assert time.monotonic() - began < 5

    run(test)


def test_connections_are_used_again() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*GOOD)
            for _ in range(5):
                await chunks(node)
            assert server.connections == 1

    run(test)


def openai_error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None} | more}


LLAMA_CPP = {
    "error": {
        "code": 400,
        "message": "request (7900 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 7900,
        "n_ctx": 4096,
    }
}
REFUSALS: list[tuple[str, int, Any, type[InferenceError], str]] = [
    ("no key", 401, openai_error("Incorrect API key provided"), NodeUnavailable, "key_env"),
    ("not allowed", 403, {"detail": "Not authenticated"}, NodeUnavailable, "key"),
    ("no model", 404, openai_error("The model `x` does not exist", code="model_not_found"), ModelMissing, "Serve it"),
    ("no model, vLLM", 404, {"object": "error", "message": "The model `x` is unknown."}, ModelMissing, "Serve it"),
    ("no model, 400", 400, openai_error("nothing", code="model_not_found"), ModelMissing, "Serve it"),
    ("other server", 404, "<h1>Not Found</h1>", UpstreamFault, "kind openai"),
    ("moved", 301, "", UpstreamFault, "kind openai"),
    ("rate", 429, openai_error("Rate limit reached"), NodeBusy, "try again"),
    (
        "loading",
        503,
        {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}},
        NodeBusy,
        "loading",
    ),
    ("memory", 500, openai_error("CUDA out of memory. Tried to allocate 2 GiB"), OverBudget, "smaller"),
    ("inside", 500, openai_error("Internal error"), UpstreamFault, "log"),
    ("gateway", 502, "", UpstreamFault, "log"),
    ("echo", 400, openai_error(f"cannot parse {SECRET}"), UpstreamFault, "log"),
]


@pytest.mark.parametrize(
    ("code", "answer", "kind", "hint"), [case[1:] for case in REFUSALS], ids=[c[0] for c in REFUSALS]
)
def test_each_refusal_is_one_fault_with_a_way_out(
    code: int, answer: Any, kind: type[InferenceError], hint: str
) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(status(code, answer, "Location: http://127.0.0.1:1/"))
            fault = await fault_of(node)
            assert type(fault) is kind
            assert hint in fault.hint
            await then_works(server, node)

    run(test)


TOO_LONG = [
    (LLAMA_CPP, 7900, 4096),
    (
        openai_error(
            "This model's maximum context length is 8192 tokens. However, you requested 9100 tokens (8400 in the "
            "messages, 700 in the completion). Please reduce the length.",
            code="context_length_exceeded",
        ),
        8400,
        8192,
    ),
    (
        openai_error(
            "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.",
            type="BadRequestError",
        ),
        5000,
        4096,
    ),
    (openai_error("The input (5000 tokens) is longer than the model's context length (2048 tokens)."), 5000, 2048),
    (
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` "
            "tokens and 700 `max_new_tokens`",
            "error_type": "validation",
        },
        5000,
        4096,
    ),
    (
        openai_error("The model is loaded with context length of only 4000 tokens, which is not enough."),
        None,
        4000,
    ),
    (openai_error("too much", code="context_length_exceeded"), None, 4096),
]


@pytest.mark.parametrize(("answer", "prompt", "window"), TOO_LONG)
def test_a_prompt_that_is_too_long_is_told_with_the_node_s_numbers(
    answer: Any, prompt: int | None, window: int
) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(status(422 if "error_type" in answer else 400, answer))
            fault = await fault_of(node)
            assert isinstance(fault, ContextTooLarge)
            assert (fault.prompt_tokens, fault.num_ctx) == (prompt, window)

    run(test)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 1), ("-3", 1), ("2.5", 2.5), ("999999", 3600), ("nan", 1), ("soon", 5), (None, 5), ("date", 30)],
)
@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_node_says_when_to_come_back(code: int, header: str | None, seconds: float) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            value = (
                format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True) if header == "date" else header
            )
            server.answer(status(code, openai_error("busy"), *([f"Retry-After: {value}"] if value else [])))
            fault = await fault_of(node)
            assert isinstance(fault, NodeBusy)
            assert fault.retry_after == pytest.approx(seconds, abs=2 if header == "date" else 0.001)

    run(test)


def test_the_key_comes_from_the_environment_and_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setenv("RACK_KEY", "sk-plums-1234")
        async with raw_server() as server, node_at(server.url, key_env="RACK_KEY") as node:
            server.answer(*GOOD)
            await chunks(node)
            assert server.seen[0].headers["authorization"] == "Bearer sk-plums-1234"
            server.scripts.clear()
            server.answer(status(401, openai_error("Incorrect API key provided: sk-plums-1234")))
            fault = await fault_of(node)
            assert "RACK_KEY" in fault.hint
        monkeypatch.delenv("RACK_KEY")
        async with raw_server() as server, node_at(server.url, key_env="RACK_KEY") as node:
            fault = await fault_of(node)
            assert isinstance(fault, NodeUnavailable)
            assert fault.hint == "Set the environment variable RACK_KEY."
            assert not (await node.state()).reachable
            assert server.seen == []

    run(test)


BROKEN: list[tuple[str, tuple[Any, ...], type[InferenceError]]] = [
    ("error event", whole(said("Hi"), event(openai_error("boom"))), UpstreamFault),
    ("error event, then done", whole(said("Hi"), event(openai_error("boom")), DONE), UpstreamFault),
    ("named error", whole(said("Hi"), b"event: error\n" + event({"message": "boom"})), UpstreamFault),
    ("error line of llama.cpp", whole(said("Hi"), b'error: {"code":500,"message":"out of memory"}\n\n'), OverBudget),
    ("error, memory", whole(said("Hi"), event(openai_error("CUDA out of memory", code=500))), OverBudget),
    ("error, too long", whole(event(LLAMA_CPP)), ContextTooLarge),
    ("error, vLLM", whole(event({"object": "error", "message": "cudaMalloc failed", "code": 500})), OverBudget),
    ("end without reason", whole(said("Hi")), UpstreamFault),
    ("done without reason", whole(said("Hi"), DONE), UpstreamFault),
    ("end at once", whole(), UpstreamFault),
    ("done at once", whole(DONE), UpstreamFault),
    ("cut in a chunk", (HEAD, piece(said("Hi")), b"50\r\ndata: {", CLOSE), UpstreamFault),
    ("cut between chunks", (HEAD, piece(said("Hi")), CLOSE), UpstreamFault),
    ("half an event", whole(said("Hi"), b'data: {"choices":[{"de'), UpstreamFault),
    ("not JSON", whole(event("<html>")), UpstreamFault),
    ("a whole answer", (status(200, {"choices": [{"message": {"content": "Hi"}}]}),), UpstreamFault),
    ("a page", (status(200, b"<html>\n<p>Hello</p>\n"),), UpstreamFault),
    ("no choices", whole(event({"hello": 1})), UpstreamFault),
    ("choices that are none", whole(event({"choices": 3})), UpstreamFault),
    ("content that is no text", whole(event({"choices": [{"delta": {"content": 3}}]})), UpstreamFault),
    ("delta that is no object", whole(event({"choices": [{"delta": "a"}]})), UpstreamFault),
    ("a number", whole(event("3")), UpstreamFault),
    ("bytes", whole(b"data: \xff\xfe\n\n"), UpstreamFault),
    ("an event without end", (HEAD, *[piece(b"data: " + b"x" * 900_000 + b"\n")] * 10, HANG), UpstreamFault),
]


@pytest.mark.parametrize(("script", "kind"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_answer_is_never_passed_off_as_whole(script: tuple[Any, ...], kind: type[InferenceError]) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*script)
            assert type(await fault_of(node)) is kind
            await then_works(server, node)

    run(test)


def test_silence_in_the_stream_is_given_up_and_its_connection_closed() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url, Patience(first=3.0, between=1.0)) as node:
            server.answer(HEAD, piece(said("Hi")), HANG)
            assert isinstance(await fault_of(node), UpstreamFault)
            await eventually(lambda: server.seen[0].closed)
            await then_works(server, node)

    run(test)


@pytest.mark.parametrize("where", ["before the head", "in the stream"])
def test_a_cancel_reaches_the_node_at_once(where: str) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*((HANG,) if where == "before the head" else (HEAD, piece(said("Hi")), HANG)))
            task = asyncio.create_task(chunks(node))
            await eventually(lambda: server.seen)
            await asyncio.sleep(0.05)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: server.seen[0].closed)
            assert server.seen[0].closed - began < AT_ONCE
            await then_works(server, node)

    run(test)


MODELS = {"object": "list", "data": [{"id": "Qwen/Qwen3-32B"}, {"id": 3}, "x"]}


@pytest.mark.parametrize(
    ("models", "health", "reachable", "names", "error"),
    [
        (status(200, MODELS), status(200, {"status": "ok"}), True, ("Qwen/Qwen3-32B",), ""),
        (status(200, MODELS), status(404), True, ("Qwen/Qwen3-32B",), ""),
        (status(200, MODELS), status(503, {"error": {"message": "Loading model"}}), True, (), "not ready"),
        (status(503), status(503), True, (), "not ready"),
        (status(200, b"<html>"), status(200), False, (), "no answer of the OpenAI API"),
        (status(404), status(404), False, (), "no answer of the OpenAI API"),
        (status(401), status(200), False, (), "refuses us"),
        (HANG, status(200), False, (), "did not answer within 1 s"),
    ],
)
def test_the_state_of_a_node_follows_from_its_models_and_health(
    models: Any, health: Any, reachable: bool, names: tuple[str, ...], error: str
) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(models, path="/v1/models")
            server.answer(health, path="/health")
            state = await node.state()
            assert (state.reachable, state.models) == (reachable, names)
            assert error in state.error
            assert bool(error) == bool(state.error) == bool(state.hint)

    run(test)


def test_a_node_that_is_not_there_is_unavailable() -> None:
    async def test() -> None:
        async with node_at("http://127.0.0.1:9") as node:
            fault = await fault_of(node)
            assert isinstance(fault, NodeUnavailable)
            assert "Start the server of node 'rack'" in fault.hint
            assert not (await node.state()).reachable

    run(test)


def events_of(pieces: list[bytes]) -> list[ServerEvent]:
    lines, reader, found = LineReader(), EventReader(), list[ServerEvent | None]()
    for one in pieces:
        found += [reader.feed(line) for line in lines.feed(one)]
    found += [reader.feed(lines.rest()), reader.rest()]
    return [one for one in found if one is not None]


WORDS = [
    b"data:",
    b"data: ",
    b"event: ",
    b"error: ",
    b": note",
    b"id: 1",
    b"data",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"{}",
    b"a:b",
]


@settings(max_examples=300, deadline=None)
@given(
    data=st.lists(st.sampled_from([*WORDS, "ぬ🥒".encode(), b"\xef\xbb\xbf"]), max_size=30).map(b"".join),
    cuts=st.lists(st.integers(0, 150), max_size=12),
)
def test_events_are_the_same_however_the_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    found = events_of([data[a:b] for a, b in itertools.pairwise(places)])
    assert found == events_of([data])
    assert all(one.data or one.name for one in found) or b"data" in data


def test_the_parts_of_an_event_are_put_together_as_the_standard_says() -> None:
    data = b"data: a\ndata:b\ndata:  c\n\n\nevent: x\ndata\n\nevent: gone\n\ndata: d\n\n:data: e\n\ndata: f"
    assert events_of([data]) == [
        ServerEvent("", b"a\nb\n c"),
        ServerEvent("x", b""),
        ServerEvent("", b"d"),
        ServerEvent("", b"f"),
    ]


# Against llama.cpp's own server, with a model that answers nonsense and counts right.

WINDOW = 32768
# Greedy, so that the answer is the same each time and does not end by itself.
NONSENSE = RunnerProfile("tiny", "rack", "tiny", "F16", WINDOW, 1024, options={"temperature": 0.0})


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[str]:
    with tiny_engine(window=WINDOW, slots=2) as url:
        yield url


def ask(text: str, answer_tokens: int) -> Chat:
    return Chat(NONSENSE, (Message("system", "Be brief."), Message("user", text)), answer_tokens)


async def busy_slots(url: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as http:
        return sum(slot["is_processing"] for slot in (await http.get(f"{url}/slots")).json())


def test_llama_cpp_streams_an_answer_and_its_usage(llama_cpp: str) -> None:
    async def test() -> None:
        async with node_at(llama_cpp) as node:
            *texts, last = await chunks(node, ask("review the daily note", 40))
            assert len(texts) > 20
            assert all(chunk.text and not chunk.usage for chunk in texts)
            usage = last.usage
            assert usage is not None
            assert usage.prompt_eval_count is not None
            assert 20 < usage.prompt_eval_count < 100
            assert (usage.completion_tokens, usage.done_reason) == (40, "length")
            assert 0 < usage.prompt_seconds < 10
            assert 0 < usage.answer_seconds < 10
            again = await chunks(node, ask("review the daily note", 40))
            assert [chunk.text for chunk in again[:-1]] == [chunk.text for chunk in texts]
            assert again[-1].usage is not None
            assert again[-1].usage.prompt_eval_count == usage.prompt_eval_count
            assert again[-1].usage.cached_tokens is not None

    run(test, 60)


def test_llama_cpp_answers_two_at_once(llama_cpp: str) -> None:
    async def test() -> None:
        async with node_at(llama_cpp) as node:
            found = await asyncio.gather(*(chunks(node, ask("the plan", 30)) for _ in range(4)))
            assert all(one[-1].usage and one[-1].usage.completion_tokens == 30 for one in found)

    run(test, 60)


def test_llama_cpp_refuses_a_prompt_that_is_too_long_with_its_numbers(llama_cpp: str) -> None:
    async def test() -> None:
        async with node_at(llama_cpp) as node:
            fault = await fault_of(node, ask(f"{SECRET} note " * 2000, 30))
            assert isinstance(fault, ContextTooLarge)
            assert fault.num_ctx == WINDOW
            assert fault.prompt_tokens is not None
            assert fault.prompt_tokens > WINDOW
            assert str(fault.prompt_tokens) in str(fault)
            assert (await chunks(node, ask("the plan", 5)))[-1].usage

    run(test, 60)


@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_llama_cpp_frees_its_slot_when_the_answer_is_no_longer_wanted(llama_cpp: str, how: str) -> None:
    async def test() -> None:
        async with node_at(llama_cpp) as node:
            stream = node.chat(ask("the note", WINDOW - 500))
            assert (await anext(stream)).text
            assert await busy_slots(llama_cpp) == 1
            if how == "closed":
                await stream.aclose()
                pool: Any = node._http._transport
                assert pool._pool.connections == [], "closed, not left to the garbage collector"
            else:
                reading = asyncio.ensure_future(chunks_of(stream))
                await asyncio.sleep(0.05)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            began = time.monotonic()
            while await busy_slots(llama_cpp):  # noqa: ASYNC110 - the slots of another process
                await asyncio.sleep(0.01)
            assert time.monotonic() - began < 5.0, "the whole answer takes a minute"
            assert (await chunks(node, ask("the plan", 5)))[-1].usage

    run(test, 60)


async def chunks_of(stream: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    async with aclosing(stream):
        return [chunk async for chunk in stream]


def test_llama_cpp_says_that_it_is_there_and_what_it_runs(llama_cpp: str) -> None:
    async def test() -> None:
        async with node_at(llama_cpp) as node:
            state = await node.state()
            assert (state.reachable, state.error, state.loaded) == (True, "", ())
            (model,) = state.models
            assert model.endswith("tiny.gguf")

    run(test, 60)
