"""The Ollama client against scripted bytes and against the double: one typed fault each, and nothing left hanging."""

import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

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
from inference.ollama import OllamaNode, body
from inference.profile import NodeConfig, RunnerProfile, load
from inference.wire import LINE_LIMIT, LineReader, LineTooLong, Patience
from tests.eventually import AT_ONCE, eventually
from tests.ollama_answers import rendered
from tests.ollama_api import Double
from tests.ollama_double import double
from tests.ollama_http import FAULTS
from tests.ollama_machine import CATALOG
from tests.raw_server import CLOSE, END, HANG, HEAD, RawServer, piece, raw_server, status

SECRET = "Grandmother's recipe: seven plums and one stone"
RUNNER = RunnerProfile(
    "small", "desk", "llama3.2:3b", "Q4_K_M", 8192, 1024, "q8_0", 1, -1, options={"num_batch": 512, "temperature": 0.3}
)
CHAT = Chat(RUNNER, (Message("system", "Be brief."), Message("user", SECRET)), 700)
DONE = {
    "model": "llama3.2:3b",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 4883583458,
    "load_duration": 1334875,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 342546000,
    "eval_count": 282,
    "eval_duration": 4535599000,
}


def run(test: Callable[[], Awaitable[None]], seconds: float = 20) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await test()

    asyncio.run(bounded())


def line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def said(text: str, **more: Any) -> bytes:
    return line({"model": "m", "message": {"role": "assistant", "content": text, **more}, "done": False})


@asynccontextmanager
async def node_at(url: str, patience: Patience | None = None) -> AsyncGenerator[OllamaNode, None]:
    node = OllamaNode(NodeConfig("desk", "ollama", url, "local"), patience or Patience())
    try:
        yield node
    finally:
        await node.close()


async def chunks(node: OllamaNode, chat: Chat = CHAT) -> list[Chunk]:
    async with aclosing(node.chat(chat)) as stream:
        return [chunk async for chunk in stream]


def whole(*lines: bytes) -> tuple[bytes, ...]:
    return (HEAD, *(piece(one) for one in lines), END)


GOOD = whole(said("Hello"), said(" there"), line(DONE))


async def fault_of(node: OllamaNode, chat: Chat = CHAT) -> InferenceError:
    """The fault of a chat; it never repeats the prompt, and always says what to do."""
    with pytest.raises(InferenceError) as caught:
        await chunks(node, chat)
    for text in (str(caught.value), caught.value.hint):
        assert "plums" not in text
        assert "recipe" not in text
    assert caught.value.hint
    assert "desk" in str(caught.value) or isinstance(caught.value, ContextTooLarge)
    return caught.value


async def then_works(server: RawServer, node: OllamaNode) -> None:
    server.scripts.clear()
    server.answer(*GOOD)
    assert "".join(chunk.text for chunk in await chunks(node)) == "Hello there"


def test_a_request_says_everything_that_ollama_would_choose_by_itself() -> None:
    assert body(CHAT) == {
        "model": "llama3.2:3b",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": SECRET}],
        "stream": True,
        "think": False,
        "truncate": False,
        "shift": False,
        "keep_alive": -1,
        "options": {"num_batch": 512, "temperature": 0.3, "num_ctx": 8192, "num_predict": 700},
    }
    schema = {"type": "object"}
    thinking = RunnerProfile("r", "desk", "m", "Q4", 4096, 100, keep_alive="5m", think="low")
    request = body(Chat(thinking, CHAT.messages, 50, schema))
    assert (request["think"], request["keep_alive"], request["format"]) == ("low", "5m", schema)


def test_an_answer_comes_in_pieces_and_its_usage_last() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*GOOD)
            *texts, last = await chunks(node)
            assert [chunk.text for chunk in texts] == ["Hello", " there"]
            assert all(chunk.usage is None for chunk in texts)
            usage = last.usage
            assert usage is not None
            assert (usage.prompt_eval_count, usage.completion_tokens, usage.num_ctx) == (26, 282, 8192)
            assert usage.done_reason == "stop"
            assert usage.load_seconds == pytest.approx(0.001334875)
            assert usage.prompt_seconds == pytest.approx(0.342546)
            assert usage.answer_seconds == pytest.approx(4.535599)
            request = server.seen[0]
            assert (request.method, request.path, request.body) == ("POST", "/api/chat", body(CHAT))
            assert request.headers["content-type"] == "application/json"

    run(test)


def test_an_absent_count_is_not_a_zero() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            bare = {"message": {"content": "last words"}, "done": True, "prompt_eval_count": "many", "eval_count": True}
            server.answer(*whole(line(bare)))
            (last,) = await chunks(node)
            assert last.text == "last words"
            assert last.usage is not None
            assert (last.usage.prompt_eval_count, last.usage.completion_tokens) == (None, None)
            assert (last.usage.done_reason, last.usage.load_seconds) == ("", 0.0)

    run(test)


def test_what_the_model_thinks_is_kept_apart() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*whole(said("", thinking="Hm."), said("Yes"), line(DONE)))
            found = await chunks(node)
            assert [(chunk.thinking, chunk.text) for chunk in found] == [("Hm.", ""), ("", "Yes"), ("", "")]

    run(test)


def test_connections_are_used_again() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*GOOD)
            for _ in range(5):
                await chunks(node)
            assert server.connections == 1

    run(test)


def test_half_a_character_neither_breaks_the_request_nor_the_answer() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            broken = b'{"message":{"content":"a\\ud83db"},"done":false}\n'
            server.answer(*whole(broken, line(DONE)))
            found = await chunks(node, Chat(RUNNER, (Message("user", "x\ud83dy"),), 10))
            assert found[0].text == "a\ufffdb"
            assert server.seen[0].body["messages"][0]["content"] == "x?y"

    run(test)


def test_a_character_split_between_two_pieces_is_whole() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            data = said("ぬか床 🥒") + line(DONE)
            server.answer(HEAD, *(piece(data[n : n + 1]) for n in range(len(data))), END)
            assert "".join(chunk.text for chunk in await chunks(node)) == "ぬか床 🥒"

    run(test)


def test_a_line_of_almost_8_mb_is_read_and_a_longer_one_refused() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            room = LINE_LIMIT - len(said("")) + 1
            server.answer(*whole(said("x" * room), line(DONE)))
            server.answer(*whole(said("x" * (room + 1)), line(DONE)))
            assert len((await chunks(node))[0].text) == room
            assert isinstance(await fault_of(node), UpstreamFault)
            server.scripts.clear()
            server.answer(HEAD, *(piece(b"x" * 1_000_000) for _ in range(9)), HANG)
            assert isinstance(await fault_of(node), UpstreamFault), "a line that never ends is not waited for"
            await then_works(server, node)

    run(test)


MODEL = RUNNER.model
INNER = {
    "error": {
        "code": 400,
        "message": "request (7900 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 7900,
        "n_ctx": 4096,
    }
}
LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)
RUNNER_DIED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama "
    "server logs for details"
)
REFUSALS: list[tuple[str, int, Any, type[InferenceError], str]] = [
    ("no model", 404, f"model '{MODEL}' not found", ModelMissing, "ollama pull llama3.2:3b"),
    ("no model, scheduler", 404, f'model "{MODEL}" not found, try pulling it first', ModelMissing, "ollama pull"),
    ("empty model", 400, "model is required", UpstreamFault, "log"),
    ("no chat", 400, '"bert" does not support chat', UpstreamFault, "made for chat"),
    ("no thinking", 400, '"test" does not support thinking', UpstreamFault, "think = false"),
    ("busy", 503, "server busy, please try again.  maximum pending requests exceeded", NodeBusy, "try again"),
    ("gone", 499, "request canceled", UpstreamFault, "log"),
    (
        "out of memory",
        500,
        "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory",
        OverBudget,
        "smaller",
    ),
    ("slow load", 500, "timed out waiting for llama-server to start - progress 0.93", OverBudget, "log"),
    (
        "incompatible",
        500,
        "llama-server: this model may be incompatible with your version of Ollama. Update it",
        OverBudget,
        "old server",
    ),
    (
        "too little RAM",
        500,
        "model requires more system memory (9.1 GiB) than is available (4.0 GiB)",
        OverBudget,
        "smaller",
    ),
    ("long, rendered", 400, LONG, ContextTooLarge, "larger window"),
    ("long, native", 400, json.dumps(INNER), ContextTooLarge, "larger window"),
    ("runner died", 500, RUNNER_DIED, UpstreamFault, "memory"),
    ("option", 500, 'option "num_ctx" must be of type integer', UpstreamFault, "log"),
    ("a proxy's key", 401, "no", NodeUnavailable, "OLLAMA_HOST"),
    ("echo", 400, f"cannot parse: {SECRET}", UpstreamFault, "log"),
]


@pytest.mark.parametrize(
    ("code", "words", "kind", "hint"), [case[1:] for case in REFUSALS], ids=[c[0] for c in REFUSALS]
)
def test_each_refusal_is_one_fault_with_a_way_out_and_the_next_request_works(
    code: int, words: str, kind: type[InferenceError], hint: str
) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(status(code, {"error": words}))
            fault = await fault_of(node)
            assert type(fault) is kind
            assert hint in fault.hint
            if kind is NodeBusy:
                assert fault.retry_after
            await then_works(server, node)

    run(test)


@pytest.mark.parametrize(
    ("words", "prompt", "window"),
    [
        (LONG, None, 8192),
        (json.dumps(INNER), 7900, 4096),
        (INNER["error"], 7900, 4096),
        (json.dumps(INNER["error"]), 7900, 4096),
    ],
)
def test_a_prompt_that_is_too_long_is_told_with_the_node_s_numbers(words: Any, prompt: int | None, window: int) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(status(400, {"error": words}))
            fault = await fault_of(node)
            assert isinstance(fault, ContextTooLarge)
            assert (fault.prompt_tokens, fault.num_ctx) == (prompt, window)
            assert str(window) in str(fault)
            assert prompt is None or str(prompt) in str(fault)

    run(test)


ODD = [
    ("not JSON", (status(500, b"<html>Bad Gateway</html>"),)),
    ("empty", (status(502),)),
    ("endless", (b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n", *[piece(b"x" * 50_000)] * 4, HANG)),
    ("a list", (status(500, b'["error"]'),)),
    ("deep", (status(500, b'{"error":' * 5000),)),
    ("redirect", (status(302, b"", "Location: http://127.0.0.1:1/secret"),)),
    ("other server", (status(404, b"<h1>Not Found</h1>"),)),
    ("no body", (status(204),)),
    ("another success", (status(201, line(DONE)),)),
]


@pytest.mark.parametrize("script", [case[1] for case in ODD], ids=[case[0] for case in ODD])
def test_a_refusal_in_no_known_form_is_an_upstream_fault(script: tuple[Any, ...]) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*script)
            assert type(await fault_of(node)) is UpstreamFault
            assert all(request.path == "/api/chat" for request in server.seen), "no redirect is followed"
            await then_works(server, node)

    run(test)


EOF = "an error was encountered while running the model: unexpected EOF"
BROKEN: list[tuple[str, tuple[Any, ...], type[InferenceError]]] = [
    ("error line", whole(said("Hello"), line({"error": EOF})), UpstreamFault),
    ("error line first", whole(line({"error": "something"})), UpstreamFault),
    ("error line, memory", whole(said("Hello"), line({"error": "CUDA error: out of memory"})), OverBudget),
    ("error line, too long", whole(line({"error": LONG})), ContextTooLarge),
    ("error that is no text", whole(line({"error": {"what": 1}})), UpstreamFault),
    ("end without done", whole(said("Hello"), said(" there")), UpstreamFault),
    ("end at once", whole(), UpstreamFault),
    ("cut in a chunk", (HEAD, piece(said("Hello")), b"50\r\n{", CLOSE), UpstreamFault),
    ("cut between chunks", (HEAD, piece(said("Hello")), CLOSE), UpstreamFault),
    ("cut before the head", (CLOSE,), UpstreamFault),
    ("cut in the head", (b"HTTP/1.1 20", CLOSE), UpstreamFault),
    ("no HTTP", (b"\x00\xff" * 50, CLOSE), UpstreamFault),
    ("half a line", whole(said("Hello"), b'{"message":{"cont'), UpstreamFault),
    ("garbage", whole(b"<html>\n"), UpstreamFault),
    ("bytes", whole(b"\xff\xfe\n"), UpstreamFault),
    ("number", whole(b"3\n"), UpstreamFault),
    ("list", whole(b'["error"]\n'), UpstreamFault),
    ("text", whole(b'"an error"\n'), UpstreamFault),
    ("no done", whole(b'{"message":{"content":"a"}}\n'), UpstreamFault),
    ("content that is no text", whole(b'{"message":{"content":3},"done":false}\n'), UpstreamFault),
    ("message that is no object", whole(b'{"message":"a","done":false}\n'), UpstreamFault),
    ("done that is no true", whole(b'{"message":{},"done":1}\n'), UpstreamFault),
    ("nested", whole(b'{"a":' * 100_000 + b"\n"), UpstreamFault),
    ("compressed", (status(200, b"\x1f\x8b\x08\x00", "Content-Encoding: gzip"),), UpstreamFault),
]  # fmt: skip


@pytest.mark.parametrize(("script", "kind"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_an_answer_that_breaks_is_never_passed_off_as_whole(
    script: tuple[Any, ...], kind: type[InferenceError]
) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*script)
            assert type(await fault_of(node)) is kind
            await then_works(server, node)

    run(test)


def test_empty_lines_and_line_ends_of_windows_are_no_garbage() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*whole(b"\n", said("Hello").replace(b"\n", b"\r\n"), b"\r\n", line(DONE).rstrip()))
            assert [chunk.text for chunk in await chunks(node)] == ["Hello", ""]

    run(test)


def test_of_lines_that_came_together_the_first_is_passed_on_before_the_others_are_read() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(HEAD + piece(b"".join([*(said(str(n)) for n in range(50)), line(DONE)])) + END)
            passed: asyncio.Queue[str] = asyncio.Queue()
            behind = []

            async def reader() -> None:
                while text := await passed.get():
                    behind.append((text, passed.qsize()))

            reading = asyncio.create_task(reader())
            async with aclosing(node.chat(CHAT)) as stream:
                async for chunk in stream:
                    passed.put_nowait(chunk.text)
            await reading
            assert [text for text, _ in behind] == [str(n) for n in range(50)]
            assert max(left for _, left in behind) <= 1, "whoever shows them keeps up"

    run(test)


def test_nothing_after_the_end_counts() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(HEAD, piece(said("Hello")), piece(line(DONE) + said("more") + b"junk"), HANG)
            began = time.monotonic()
            assert [chunk.text for chunk in await chunks(node)] == ["Hello", ""]
            assert time.monotonic() - began < 5, "a node that does not end its answer is not waited for"

    run(test)


def test_silence_before_the_first_byte_has_more_time_than_silence_after_it() -> None:
    async def test() -> None:
        patience = Patience(first=3.0, between=1.0)
        async with raw_server() as server, node_at(server.url, patience) as node:
            server.answer(0.5, HEAD, 1.2, piece(said("Hello")), piece(line(DONE)), END)
            assert [chunk.text for chunk in await chunks(node)] == ["Hello", ""]
            server.scripts.clear()
            server.answer(HEAD, piece(said("Hello")), HANG)
            fault = await fault_of(node)
            assert isinstance(fault, UpstreamFault)
            assert "nothing for 1 s" in str(fault)
            await eventually(lambda: server.seen[-1].closed)
            await then_works(server, node)

    run(test)


@pytest.mark.parametrize(
    "script", [(HANG,), (HEAD, HANG), (status(500)[:-2], HANG)], ids=["no head", "no body", "no end"]
)
def test_a_node_that_never_answers_is_given_up(script: tuple[Any, ...]) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url, Patience(first=1.0, between=1.0)) as node:
            server.answer(*script)
            assert isinstance(await fault_of(node), UpstreamFault)
            await eventually(lambda: server.seen[-1].closed)
            await then_works(server, node)

    run(test)


def test_bytes_that_drip_are_no_silence() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url, Patience(first=1.0, between=1.0)) as node:
            data = said("Hi") + line(DONE)
            drip = [part for n in range(0, len(data), 40) for part in (piece(data[n : n + 40]), 0.4)]
            server.answer(HEAD, *drip, END)
            assert [chunk.text for chunk in await chunks(node)] == ["Hi", ""]

    run(test)


@pytest.mark.parametrize("where", ["before the head", "in the stream"])
def test_a_cancel_reaches_the_node_at_once(where: str) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*((HANG,) if where == "before the head" else (HEAD, piece(said("Hello")), HANG)))
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


def test_closing_the_iterator_closes_the_connection_at_once() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(HEAD, piece(said("Hello")), HANG)
            stream = node.chat(CHAT)
            assert (await anext(stream)).text == "Hello"
            began = time.monotonic()
            await stream.aclose()
            pool: Any = node._http._transport
            assert pool._pool.connections == [], "closed, not left to the garbage collector"
            await eventually(lambda: server.seen[0].closed)
            assert server.seen[0].closed - began < AT_ONCE
            await then_works(server, node)

    run(test)


def test_the_caller_s_deadline_closes_the_connection() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(HEAD, piece(said("Hello")), HANG)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await chunks(node)
            await eventually(lambda: server.seen[0].closed)

    run(test)


UNREACHED = [
    ("http://127.0.0.1:9", "local", "refuses connections", "ollama serve"),
    ("http://127.0.0.1:9", "lan", "refuses connections", "correct its url"),
    ("http://no-such-host.invalid:11434", "lan", "name that cannot be looked up", "correct its url"),
]


@pytest.mark.parametrize(("url", "klass", "how", "hint"), UNREACHED)
def test_a_node_that_is_not_there_is_unavailable_with_what_to_start(url: str, klass: str, how: str, hint: str) -> None:
    async def test() -> None:
        node = OllamaNode(NodeConfig("desk", "ollama", url, klass))
        began = time.monotonic()
        fault = await fault_of(node)
        assert isinstance(fault, NodeUnavailable)
        assert how in str(fault)
        assert hint in fault.hint
        assert klass != "local" or "KOS_OLLAMA_URL" in fault.hint
        assert time.monotonic() - began < 5
        state = await node.state()
        assert (state.reachable, state.error, state.hint) == (False, str(fault), fault.hint)
        await node.close()

    run(test)


def test_a_connection_that_is_not_taken_is_given_up_within_a_second() -> None:
    async def test() -> None:
        # A listener nobody accepts from, its line of connections full, answers no further ones.
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            async with node_at(f"http://127.0.0.1:{listener.getsockname()[1]}") as node:
                began = time.monotonic()
                fault = await fault_of(node)
                assert isinstance(fault, NodeUnavailable)
                assert "in time" in str(fault)
                assert 0.8 < time.monotonic() - began < 5

    run(test)


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with raw_server() as server, node_at(server.url) as node:
            await then_works(server, node)

    run(test)


def test_the_state_of_a_node_is_what_it_runs_and_holds() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            held = {"name": "llama3.2:3b", "size": 100, "size_vram": 60, "context_length": 8192}
            server.answer(status(200, {"version": "0.33.0"}), path="/api/version")
            server.answer(status(200, {"models": [{"name": "llama3.2:3b"}, {"name": "x"}, 3]}), path="/api/tags")
            server.answer(status(200, {"models": [held, {"name": "y", "size": "big"}]}), path="/api/ps")
            state = await node.state()
            assert (state.name, state.reachable, state.version, state.error) == ("desk", True, "0.33.0", "")
            assert state.models == ("llama3.2:3b", "x")
            first, second = state.loaded
            assert (first.model, first.size, first.size_vram, first.context_length) == ("llama3.2:3b", 100, 60, 8192)
            assert (second.model, second.size, second.size_vram, second.context_length) == ("y", 0, 0, 0)

    run(test)


@pytest.mark.parametrize(
    "script",
    [
        (status(404),),
        (status(500),),
        (status(200, b"<html>"),),
        (status(200, b"[]"),),
        (CLOSE,),
        (HANG,),
        (status(403),),
    ],
    ids=["404", "500", "html", "list", "cut", "silent", "forbidden"],
)
def test_what_does_not_answer_as_ollama_is_not_reachable(script: tuple[Any, ...]) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(*script)
            began = time.monotonic()
            state = await node.state()
            assert not state.reachable
            assert "desk" in state.error
            assert state.hint
            assert time.monotonic() - began < 5

    run(test)


def test_a_node_without_lists_is_still_a_node() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(server.url) as node:
            server.answer(status(200, {"version": "0.1"}), path="/api/version")
            server.answer(status(200, {"models": None}))
            state = await node.state()
            assert (state.reachable, state.models, state.loaded) == (True, (), ())

    run(test)


def lines_of(pieces: list[bytes], limit: int) -> list[bytes | None]:
    """The lines, and None at the end where one was too long."""
    reader, found = LineReader(limit), list[bytes | None]()
    try:
        for one in pieces:
            found.extend(reader.feed(one))
    except LineTooLong:
        return [*found, None]
    return [*found, reader.rest()]


@settings(max_examples=300, deadline=None)
@given(
    data=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"a", "ぬ🥒".encode(), b"", b"x" * 9]), max_size=30).map(
        b"".join
    ),
    cuts=st.lists(st.integers(0, 200), max_size=12),
    limit=st.integers(1, 40),
)
def test_lines_are_the_same_however_the_bytes_are_cut(data: bytes, cuts: list[int], limit: int) -> None:
    places = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    found = lines_of(pieces, limit)
    assert found == lines_of([data], limit)
    if None not in found:
        assert found == [one.removesuffix(b"\r") for one in data.split(b"\n")]
    else:
        assert any(len(one) > limit for one in data.split(b"\n"))


# Against the double, which schedules, cuts and fails as Ollama does.


@asynccontextmanager
async def desk(patience: Patience | None = None, **knobs: Any) -> AsyncGenerator[tuple[Double, OllamaNode], None]:
    """A double, and a node of it."""
    knobs = {"answers": ["Plums are due today."], "answer": lambda _: "Next.", **knobs}
    async with double(**knobs) as ollama, node_at(ollama.url, patience) as node:
        yield ollama, node


def text_of(found: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in found)


async def works(ollama: Double, node: OllamaNode, chat: Chat = CHAT) -> None:
    """Nothing is left of what was before: no request at the machine, no connection in use, and the next is answered."""
    await eventually(lambda: not ollama.machine.running and not ollama.machine.waiting)
    ollama.answers, ollama.machine.decode = [], float("inf")
    assert text_of(await chunks(node, chat)) == "Next."
    pool: Any = node._http._transport
    assert all(connection.is_idle() for connection in pool._pool.connections)
    assert all(seen.ended or seen.closed for seen in ollama.requests)


def test_a_whole_answer_with_all_its_figures() -> None:
    async def test() -> None:
        async with desk() as (ollama, node):
            found = await chunks(node)
            assert text_of(found) == "Plums are due today."
            usage = found[-1].usage
            assert usage is not None
            sent = [{"role": one.role, "content": one.content} for one in CHAT.messages]
            assert usage.prompt_eval_count == ollama.count(rendered(sent))
            assert usage.completion_tokens == len(found) - 1
            assert (usage.num_ctx, usage.done_reason) == (8192, "stop")
            assert ollama.chats()[0].body == body(CHAT)
            (held,) = (await node.state()).loaded
            assert (held.model, held.context_length) == ("llama3.2:3b", 8192)
            assert held.size == held.size_vram > CATALOG["llama3.2:3b"].size
            await works(ollama, node)

    run(test)


def test_a_model_that_thinks_does_so_only_if_its_runner_says_so() -> None:
    async def test() -> None:
        async with desk(answers=(), answer=lambda _: "Yes.", thinking="Hm.") as (_, node):
            for think, thought in ((False, ""), (True, "Hm."), ("low", "Hm.")):
                runner = replace(RUNNER, model="qwen3:8b", think=think)
                found = await chunks(node, replace(CHAT, runner=runner))
                assert ("".join(chunk.thinking for chunk in found), text_of(found)) == (thought, "Yes.")

    run(test)


def test_an_answer_in_a_form_that_was_asked_for() -> None:
    async def test() -> None:
        async with desk() as (_, node):
            schema = {"type": "object", "properties": {"due": {"type": "array", "items": {"type": "string"}}}}
            found = await chunks(node, replace(CHAT, schema=schema))
            assert json.loads(text_of(found)) == {"due": ["Plums are due today."]}

    run(test)


def test_a_model_that_is_not_there_is_one_to_be_pulled() -> None:
    async def test() -> None:
        async with desk(models=["qwen3:8b"]) as (ollama, node):
            fault = await fault_of(node)
            assert isinstance(fault, ModelMissing)
            assert "`ollama pull llama3.2:3b`" in fault.hint
            assert ollama.machine.loads == 0
            await works(ollama, node, replace(CHAT, runner=replace(RUNNER, model="qwen3:8b")))

    run(test)


@pytest.mark.parametrize("native", [False, True], ids=["rendered by Ollama", "rendered by llama-server"])
def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers_by_either_kind_of_model(native: bool) -> None:
    async def test() -> None:
        async with desk(models=[replace(CATALOG["llama3.2:3b"], native=native)]) as (ollama, node):
            runner = replace(RUNNER, num_ctx=1024)
            long = Chat(runner, (Message("user", SECRET * 200),), 100)
            fault = await fault_of(node, long)
            assert isinstance(fault, ContextTooLarge)
            assert fault.prompt_tokens == ollama.count(rendered([{"role": "user", "content": SECRET * 200}]))
            assert fault.num_ctx == 1024
            await works(ollama, node, replace(CHAT, runner=runner))

    run(test)


def test_a_prompt_that_was_cut_without_a_word_shows_in_its_count() -> None:
    async def test() -> None:
        async with desk() as (ollama, node):
            chat = Chat(RUNNER, (Message("user", SECRET * 100),), 100)
            counts = []
            for kind in ("half", None):
                if kind:
                    ollama.fault(kind)
                usage = (await chunks(node, chat))[-1].usage
                assert usage is not None
                assert usage.prompt_eval_count is not None
                counts.append(usage.prompt_eval_count)
            assert counts[0] == pytest.approx(counts[1] / 2, abs=1)

    run(test)


def test_the_answer_ends_at_its_reserve_and_says_so() -> None:
    async def test() -> None:
        async with desk(answers=["plum " * 500]) as (_, node):
            found = await chunks(node, replace(CHAT, answer_tokens=40))
            usage = found[-1].usage
            assert usage is not None
            assert (usage.completion_tokens, usage.done_reason) == (40, "length")

    run(test)


def test_the_frozen_runners_of_a_profile_never_make_ollama_load_a_model_anew() -> None:
    runners = load("rtx3080").runners
    small, middle, deep = (runners[name] for name in ("llama-3b", "qwen-7b", "qwen-8b"))

    async def test() -> None:
        # The card beside a desktop, and the settings that the profile was planned for.
        async with desk(vram_gib=8.5, kv_type="q8_0", max_loaded=3, answers=()) as (ollama, node):
            machine = ollama.machine

            async def ask(runner: RunnerProfile, n: int) -> None:
                schema = {"type": "object"} if n % 5 == 0 else None
                messages = (Message("user", SECRET * (n % 40 + 1)),)
                await chunks(node, Chat(runner, messages, 16 + n * 7 % runner.answer_tokens, schema))
                state = await node.state()
                assert all(one.size == one.size_vram for one in state.loaded), "all of it on the GPU"

            await ask(middle, 1)  # the larger one first: the plan's order
            for n in range(60):
                await ask((small, middle)[n * n % 3 % 2], n)
            assert (machine.loads, machine.reloads, machine.unloads) == (2, 0, 0), "both stay"
            await ask(deep, 1)
            await ask(small, 2)
            assert machine.reloads == 0
            assert {seen.body["options"]["num_ctx"] for seen in ollama.chats()} == {7168, 8192, 16384}

    run(test)


@pytest.mark.parametrize("where", ["while it loads", "before the head", "in the stream"])
def test_a_cancel_reaches_ollama_at_once_and_frees_its_slot(where: str) -> None:
    async def test() -> None:
        async with desk(decode=20, load_seconds=60 if where == "while it loads" else 0) as (ollama, node):
            if where == "before the head":
                ollama.fault("slow_first", seconds=60)
            task = asyncio.create_task(chunks(node))
            await eventually(lambda: ollama.requests and (where != "in the stream" or ollama.requests[0].chunks > 1))
            await asyncio.sleep(0.02)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: ollama.requests[0].closed)
            assert ollama.requests[0].closed - began < AT_ONCE
            ollama.machine.load_seconds = 0
            await works(ollama, node)

    run(test)


# Each fault, how it is set, and what comes of it; None is a whole answer.
EVERY_FAULT: dict[str, tuple[dict[str, Any], type[InferenceError] | None]] = {
    "missing": ({}, ModelMissing),
    "busy": ({}, NodeBusy),
    "gone": ({}, UpstreamFault),
    "no_memory": ({}, OverBudget),
    "died": ({}, UpstreamFault),
    "error_line": ({}, UpstreamFault),
    "cut": ({}, UpstreamFault),
    "repeated": ({}, UpstreamFault),
    "stall": ({"seconds": 60}, UpstreamFault),
    "slow_first": ({"seconds": 60}, UpstreamFault),
    "drip": ({"seconds": 0.001}, None),
    "garbage": ({}, UpstreamFault),
    "half_line": ({}, UpstreamFault),
    "huge_line": ({}, UpstreamFault),
    "split_utf8": ({}, None),
    "half": ({}, None),
    "spill": ({}, None),
    "no_count": ({}, None),
}


def test_every_fault_that_the_double_knows_is_tried() -> None:
    assert EVERY_FAULT.keys() == FAULTS.keys()


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("kind", EVERY_FAULT)
def test_each_fault_is_one_typed_error_or_none_and_leaves_nothing_behind(kind: str, after: int) -> None:
    async def test() -> None:
        patience = Patience(first=0.5, between=0.5)
        async with desk(patience, answers=["ぬか床 is due 🥒."]) as (ollama, node):
            more, expected = EVERY_FAULT[kind]
            ollama.fault(kind, after=after, **more)
            if expected is None:
                found = await chunks(node)
                assert text_of(found) == "ぬか床 is due 🥒."
                usage = found[-1].usage
                assert usage is not None
                assert (usage.prompt_eval_count is None) is (kind == "no_count")
                (held,) = (await node.state()).loaded
                assert (held.size_vram < held.size) is (kind == "spill")
            else:
                assert type(await fault_of(node)) is expected
                assert ollama.faults == []
            assert len(ollama.chats()) == 1, "it is not tried again behind the caller's back"
            await works(ollama, node)

    run(test)


def test_a_node_that_drips_for_ever_is_ended_by_the_deadline_alone() -> None:
    async def test() -> None:
        async with desk(Patience(first=5, between=5)) as (ollama, node):
            ollama.fault("drip", seconds=0.5)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.7):
                    await chunks(node)
            await eventually(lambda: ollama.requests[0].closed)
            await works(ollama, node)

    run(test)
