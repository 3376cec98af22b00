"""Vectors from nodes: of both kinds, whole, of length 1 and in order, or one typed fault that quotes nothing."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from inference.decision import Wanted
from inference.embedding import embedded, shortened, vectors_of
from inference.fleet import Fleet
from inference.model import ModelFacts
from inference.node import (
    Chat,
    Chunk,
    ContextTooLarge,
    InferenceError,
    Message,
    ModelMissing,
    Node,
    NodeBusy,
    NodeState,
    NodeUnavailable,
    NothingFits,
    OverBudget,
    UpstreamFault,
)
from inference.ollama import OllamaNode
from inference.openai import OpenAINode
from inference.profile import EmbeddingModel, NodeConfig, Profile, RunnerProfile, load, with_url
from inference.wire import Patience
from tests.eventually import AT_ONCE, eventually
from tests.ollama_answers import normalised, vector
from tests.ollama_api import Double
from tests.ollama_double import double
from tests.raw_server import CLOSE, HANG, HEAD, piece, raw_server, status
from tests.tiny_engine import tiny_engine

SECRET = "Grandmother's recipe: seven plums and one stone"
MODEL = EmbeddingModel("desk", "all-minilm", 256, keep_alive=-1, options={"num_thread": 2})
KINDS = ("ollama", "openai")
PATHS = {"ollama": "/api/embed", "openai": "/v1/embeddings"}


def run(test: Callable[[], Awaitable[None]], seconds: float = 20) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await test()

    asyncio.run(bounded())


def node_of(kind: str, url: str, **more: Any) -> Node:
    config = NodeConfig("desk", kind, url, "local")
    return OllamaNode(config, **more) if kind == "ollama" else OpenAINode(config, **more)


@asynccontextmanager
async def node_at(kind: str, url: str, **more: Any) -> AsyncGenerator[Node, None]:
    node = node_of(kind, url, **more)
    try:
        yield node
    finally:
        await node.close()


def answer(kind: str, vectors: Any) -> dict[str, Any]:
    """What a server of a kind says."""
    if kind == "ollama":
        return {"model": "all-minilm", "embeddings": vectors, "total_duration": 1, "prompt_eval_count": 8}
    data = [{"object": "embedding", "index": n, "embedding": one} for n, one in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8}}


async def fault_of(node: Node, texts: Sequence[str] = (SECRET,), model: EmbeddingModel = MODEL) -> InferenceError:
    with pytest.raises(InferenceError) as caught:
        await node.embed(model, texts)
    for said in (str(caught.value), caught.value.hint):
        assert "plums" not in said
        assert "recipe" not in said
    assert caught.value.hint
    return caught.value


# --- what counts as vectors


def test_every_vector_gets_length_one() -> None:
    assert vectors_of([[3.0, 4.0], [0, -2]], 2) == [[0.6, 0.8], [0.0, -1.0]]
    assert vectors_of([], 0) == []
    assert vectors_of([[1e-30, 0.0]], 1) == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("found", "count", "dimensions"),
    [
        (None, 1, 0),
        ({"0": [1.0]}, 1, 0),
        ([[1.0]], 2, 0),
        ([[1.0], [1.0]], 1, 0),
        ([1.0], 1, 0),
        ([[]], 1, 0),
        ([[1.0, 2.0], [1.0]], 2, 0),
        ([[1.0, 2.0]], 1, 3),
        ([[1.0, "2"]], 1, 0),
        ([[1.0, None]], 1, 0),
        ([[1.0, True]], 1, 0),
        ([[0.0, 0.0]], 1, 0),
        ([[float("inf"), 0.0]], 1, 0),
        ([[float("nan"), 0.0]], 1, 0),
        ([[1e200, 1e200]], 1, 0),
        ([[10**400, 1]], 1, 0),
        ([[1.0] * 8193], 1, 0),
    ],
)
def test_what_is_no_vector_is_refused(found: Any, count: int, dimensions: int) -> None:
    with pytest.raises(ValueError, match=r"vector|number"):
        vectors_of(found, count, dimensions)


@pytest.mark.parametrize("text", ["", "plum", "pflaume ä" * 9, "梅" * 40, "\U0001f351" * 10, "a\ud800b"])
def test_a_text_is_shortened_between_characters(text: str) -> None:
    whole = text.encode("utf-8", "replace").decode()
    for size in range(len(whole.encode()) + 3):
        short = shortened(text, size)
        assert len(short.encode("utf-8", "replace")) <= size
        assert whole.startswith(short.encode("utf-8", "replace").decode())
        assert len(whole.encode()) > size or short == text
        assert len(short.encode("utf-8", "replace")) > size - 4 or short == text


# --- the wire


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_says_everything_a_server_would_choose_by_itself(kind: str) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(kind, server.url) as node:
            server.answer(status(200, answer(kind, [[3.0, 4.0], [1.0, 0.0]])), path=PATHS[kind])
            assert await node.embed(MODEL, ["one", "a\ud800b"]) == [[0.6, 0.8], [1.0, 0.0]]
            told: dict[str, Any] = {"model": "all-minilm", "input": ["one", "a?b"]}
            if kind == "ollama":
                told |= {"truncate": False, "keep_alive": -1, "options": {"num_thread": 2, "num_ctx": 256}}
            else:
                told |= {"encoding_format": "float"}
            assert server.seen[0].body == told
            await node.embed(replace(MODEL, dimensions=2), ["one", "two"])
            assert server.seen[1].body["dimensions"] == 2
            assert server.connections == 1

    run(test)


def test_vectors_stand_in_the_order_of_the_texts_whatever_the_order_of_the_answer() -> None:
    async def test() -> None:
        async with raw_server() as server, node_at("openai", server.url) as node:
            data = [{"index": 1, "embedding": [0.0, 1.0]}, {"index": 0, "embedding": [1.0, 0.0]}]
            server.answer(status(200, {"data": data}))
            server.answer(status(200, {"data": [{"embedding": [1.0]}, {"embedding": [-1.0]}]}))
            assert await node.embed(MODEL, ["a", "b"]) == [[1.0, 0.0], [0.0, 1.0]]
            assert await node.embed(MODEL, ["a", "b"]) == [[1.0], [-1.0]]

    run(test)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[]",
        "3",
        "{}",
        '{"embeddings": null, "data": null}',
        '{"embeddings": [[]], "data": [{"index": 0, "embedding": []}]}',
        '{"embeddings": [[1, NaN]], "data": [{"index": 0, "embedding": [1, NaN]}]}',
        '{"embeddings": [[1e999]], "data": [{"index": 0, "embedding": [1e999]}]}',
        '{"embeddings": [[1], [1]], "data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1]}]}',
        '{"data": [{"index": 5, "embedding": [1]}]}',
        '{"data": [{"index": [], "embedding": [1]}]}',
        '{"data": [{"index": 0}]}',
        '{"data": ["x"]}',
        '{"data": 3}',
        b"\xff\xfe",
        "[" * 100_000,
    ],
)
def test_an_answer_that_is_no_vectors_is_one_fault(kind: str, body: str | bytes) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(kind, server.url) as node:
            server.answer(status(200, body))
            error = await fault_of(node)
            assert type(error) is UpstreamFault
            assert "what is not one vector for each text" in str(error)
            server.scripts.clear()
            server.answer(status(200, answer(kind, [[1.0]])))
            assert await node.embed(MODEL, ["next"]) == [[1.0]]

    run(test)


LONG = "the input length exceeds the context length"
OLLAMA_REFUSALS: list[tuple[int, str, type[InferenceError]]] = [
    (400, LONG, ContextTooLarge),
    (404, 'model "all-minilm" not found, try pulling it first', ModelMissing),
    (400, '"llama3.2" does not support embeddings', UpstreamFault),
    (503, "server busy, please try again.  maximum pending requests exceeded", NodeBusy),
    (500, "llama-server process has terminated: cudaMalloc failed: out of memory", OverBudget),
    (500, f"failed to encode response: {SECRET}", UpstreamFault),
    (401, "unauthorized", NodeUnavailable),
]
OPENAI_REFUSALS: list[tuple[int, Any, type[InferenceError]]] = [
    # llama.cpp, twice; text-embeddings-inference; vLLM
    (500, "input (600 tokens) is too large to process. increase the physical batch size", ContextTooLarge),
    (400, {"type": "exceed_context_size_error", "message": "x", "n_prompt_tokens": 9, "n_ctx": 8}, ContextTooLarge),
    (413, "Input validation error: `inputs` must have less than 512 tokens. Given: 600", ContextTooLarge),
    (400, "This model's maximum context length is 512 tokens. However, you requested 600 tokens", ContextTooLarge),
    (501, {"type": "not_supported_error", "message": "This server does not support embeddings."}, UpstreamFault),
    (404, {"code": "model_not_found", "message": "The model does not exist"}, ModelMissing),
    (422, f"batch size 64 > maximum allowed batch size 32: {SECRET}", UpstreamFault),
    (429, "slow down", NodeBusy),
    (403, "no", NodeUnavailable),
    (405, "method not allowed", UpstreamFault),
]


@pytest.mark.parametrize(
    ("kind", "code", "said", "fault"),
    [("ollama", *one) for one in OLLAMA_REFUSALS] + [("openai", *one) for one in OPENAI_REFUSALS],
)
def test_each_refusal_is_one_fault_with_a_way_out(kind: str, code: int, said: Any, fault: type[InferenceError]) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(kind, server.url) as node:
            server.answer(
                status(code, {"error": said if kind == "ollama" or isinstance(said, dict) else {"message": said}})
            )
            error = await fault_of(node)
            assert type(error) is fault
            if "embeddings" in str(said):
                assert "embeddings" in str(error)

    run(test)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", [[HEAD, piece(b'{"embe'), CLOSE], [CLOSE], [HANG], [HEAD, HANG]])
def test_an_answer_that_breaks_off_or_does_not_come_is_a_fault(kind: str, script: list[Any]) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(kind, server.url, patience=Patience(0.2, 0.2)) as node:
            server.answer(*script)
            began = time.monotonic()
            assert isinstance(await fault_of(node), UpstreamFault)
            assert time.monotonic() - began < 1.0

    run(test)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", [[HANG], [HEAD, piece(b"{"), HANG]])
def test_a_cancel_reaches_the_node_at_once(kind: str, script: list[Any]) -> None:
    async def test() -> None:
        async with raw_server() as server, node_at(kind, server.url) as node:
            server.answer(*script)
            task = asyncio.create_task(node.embed(MODEL, ["one"]))
            await eventually(lambda: server.seen)
            await asyncio.sleep(0.05)
            ended = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: server.seen[0].closed)
            assert server.seen[0].closed - ended < AT_ONCE

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_is_not_there_is_unavailable(kind: str) -> None:
    async def test() -> None:
        async with node_at(kind, "http://127.0.0.1:9") as node:
            assert isinstance(await fault_of(node), NodeUnavailable)

    run(test)


def test_a_key_that_is_missing_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RACK_KEY", raising=False)

    async def test() -> None:
        async with raw_server() as server:
            node = OpenAINode(NodeConfig("rack", "openai", server.url, "lan", key_env="RACK_KEY"))
            with pytest.raises(NodeUnavailable, match="there is no key"):
                await node.embed(MODEL, ["one"])
            assert not server.seen
            await node.close()

    run(test)


# --- texts that are too long


@dataclass
class Strict:
    """A node with a window in characters, which refuses what is longer and counts what it is asked."""

    window: int
    asked: list[list[str]] = field(default_factory=list)
    config: NodeConfig = field(default_factory=lambda: NodeConfig("desk", "ollama", "http://x", "local"))

    async def embed(self, model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
        self.asked.append(list(texts))
        if any(len(text) > self.window for text in texts):
            raise ContextTooLarge("too long", prompt_tokens=None, num_ctx=model.num_ctx)
        return [[float(len(text)), 1.0] for text in texts]

    def chat(self, chat: Chat) -> AsyncGenerator[Chunk, None]:
        raise NotImplementedError

    async def state(self) -> NodeState:
        raise NotImplementedError

    async def facts(self, models: Sequence[str]) -> Mapping[str, ModelFacts]:
        return {}

    async def unload(self, model: str) -> None: ...

    async def close(self) -> None: ...


def test_a_long_text_is_found_among_others_and_shortened_alone() -> None:
    async def test() -> None:
        node = Strict(100)
        texts = ["a" * 10, "b" * 90, "c" * 500, "d" * 20, "e" * 101]
        found = await embedded(node, replace(MODEL, num_ctx=64), texts)
        lengths = [round(one[0]) for one in found]
        assert [lengths[0], lengths[1], lengths[3]] == [10, 90, 20]
        assert 75 <= lengths[2] <= 100
        assert 75 <= lengths[4] <= 100
        assert max(map(len, node.asked[0])) == 256, "four bytes for each token of the window, before anything is sent"
        assert len(node.asked) < 20

    run(test)


def test_prefixes_count_and_whole_texts_are_sent_at_once() -> None:
    async def test() -> None:
        node = Strict(1000)
        await embedded(node, MODEL, ["one", "two"], "search_document: ")
        assert node.asked == [["search_document: one", "search_document: two"]]

    run(test)


def test_a_window_that_nothing_fits_is_a_fault_and_no_endless_loop() -> None:
    async def test() -> None:
        node = Strict(0)
        with pytest.raises(ContextTooLarge):
            await embedded(node, MODEL, ["plum " * 400])
        assert len(node.asked) < 20

    run(test)


# --- the fleet


def profile(url: str = "http://127.0.0.1:9", **more: Any) -> Profile:
    desk = NodeConfig("desk", "ollama", url, "local")
    runners = {"small": RunnerProfile("small", "desk", "llama3.2:3b", "Q4_K_M", 8192, 1000, keep_alive=-1)}
    model = replace(MODEL, query_prefix="search_query: ", document_prefix="search_document: ", **more)
    return Profile("test", "", {"desk": desk}, runners, {"fast": ("small",)}, {}, (), model)


@asynccontextmanager
async def desk(fleet_profile: Profile | None = None, **knobs: Any) -> AsyncGenerator[tuple[Double, Fleet], None]:
    async with double(**knobs) as ollama:
        fleet = Fleet(with_url(fleet_profile or profile(), ollama.url))
        try:
            yield ollama, fleet
        finally:
            await fleet.close()


def embeds(ollama: Double) -> list[Any]:
    return [seen for seen in ollama.requests if seen.path == "/api/embed"]


def test_the_double_gives_vectors_and_questions_and_texts_have_their_prefix() -> None:
    async def test() -> None:
        async with desk() as (ollama, fleet):
            found = await fleet.embed(["seven plums", "one stone"])
            assert [len(one) for one in found] == [384, 384]
            assert all(math.hypot(*one) == pytest.approx(1) for one in found)
            assert found[1] == pytest.approx(normalised(vector("search_document: one stone", 384)))
            (question,) = await fleet.embed(["plums"], question=True)
            assert question == pytest.approx(normalised(vector("search_query: plums", 384)))
            told = ollama.machine
            assert (told.loads, told.reloads) == (1, 0)
            assert list(told.loaded) == ["all-minilm:latest"]

    run(test)


def test_a_text_beyond_the_window_is_embedded_by_its_beginning_and_none_is_cut_by_the_server() -> None:
    async def test() -> None:
        async with desk(bytes_per_token=3.0) as (ollama, fleet):
            long = "plums and stones " * 200
            short, cut = await fleet.embed(["plums", long])
            assert short == pytest.approx(normalised(vector("search_document: plums", 384)))
            sent = embeds(ollama)
            assert not any(one.body["truncate"] for one in sent)
            last = sent[-1].body["input"][0]
            assert f"search_document: {long}".startswith(last)
            assert 500 < len(last) <= 256 * 3
            assert cut == pytest.approx(normalised(vector(last, 384)))

    run(test)


def test_texts_wait_for_chats_and_questions_do_not() -> None:
    async def test() -> None:
        async with desk(decode=20, answer=lambda _: "one two three four five six") as (ollama, fleet):
            decision = fleet.decide(Wanted("own"), "fast")
            stream = fleet.chat(decision, (Message("user", "x"),), on_phase=lambda *_: None)
            async with aclosing(stream) as chunks:
                await anext(chunks)
                texts = asyncio.create_task(fleet.embed(["plums"]))
                await asyncio.wait_for(fleet.embed(["plums"], question=True), 0.25)
                await asyncio.sleep(0.1)
                assert [seen.body["input"] for seen in embeds(ollama)] == [["search_query: plums"]]
                assert not texts.done()
                async for _ in chunks:
                    pass
            await asyncio.wait_for(texts, 1)
            assert len(embeds(ollama)) == 2

    run(test)


def test_texts_wait_for_a_question_that_is_under_way() -> None:
    async def test() -> None:
        async with desk() as (ollama, fleet):
            ollama.fault("slow_first", seconds=0.3)
            question = asyncio.create_task(fleet.embed(["plums"], question=True))
            await asyncio.sleep(0.05)
            await fleet.embed(["text"])
            assert question.done()
            assert fleet._questions == 0

    run(test)


def test_a_node_that_was_away_a_moment_ago_is_not_asked_again_until_it_answers() -> None:
    async def test() -> None:
        async with raw_server() as server:
            fleet = Fleet(profile(server.url))
            server.answer(status(401))
            for _ in range(3):
                with pytest.raises(NodeUnavailable):
                    await fleet.embed(["plums"])
            assert len(server.seen) == 1
            server.scripts.clear()
            server.answer(status(200, {"embeddings": [[1.0]], "version": "0.33.0"}))
            assert (await fleet.states())[0].reachable
            assert await fleet.embed(["plums"]) == [[1.0]]
            await fleet.close()

    run(test)


def test_a_profile_without_a_model_for_it_says_so() -> None:
    async def test() -> None:
        fleet = Fleet(replace(profile(), embedding=None))
        with pytest.raises(NothingFits, match="names no model for embeddings"):
            await fleet.embed(["plums"])
        await fleet.close()

    run(test)


@pytest.mark.parametrize("kind", ["missing", "busy", "no_memory", "died"])
def test_faults_of_the_double_are_typed_and_the_next_request_works(kind: str) -> None:
    async def test() -> None:
        async with desk() as (ollama, fleet):
            ollama.fault(kind)
            with pytest.raises((ModelMissing, NodeBusy, OverBudget, UpstreamFault)) as caught:
                await fleet.embed([SECRET])
            assert "plums" not in str(caught.value)
            assert len(await fleet.embed([SECRET])) == 1

    run(test)


def test_the_shipped_model_for_embeddings_pushes_no_other_out() -> None:
    async def test() -> None:
        shipped = load("rtx3080")
        async with desk(
            shipped,
            models=("llama3.2:3b", "qwen2.5:7b", "qwen3:8b", "nomic-embed-text"),
            vram_gib=9.5,
            kv_type="q8_0",
            max_loaded=3,
        ) as (ollama, fleet):
            for command in ("orient", "ask", "orient", "ask"):
                await fleet.embed(["a question"], question=True)
                decision = fleet.decide(Wanted(command), "fast")
                async with aclosing(fleet.chat(decision, (Message("user", "x"),), on_phase=lambda *_: None)) as chunks:
                    _ = [chunk async for chunk in chunks]
                await fleet.embed(["a text"])
            machine = ollama.machine
            assert (machine.loads, machine.reloads, machine.unloads) == (3, 0, 0)
            assert machine.loaded["nomic-embed-text:latest"].on_gpu == 0

    run(test)


# --- a real server


def test_llama_cpp_gives_vectors_and_a_text_beyond_its_window_counts_by_its_beginning() -> None:
    async def test() -> None:
        with tiny_engine(window=128, embeds=True) as url:
            async with node_at("openai", url) as node:
                model = replace(MODEL, model="tiny", num_ctx=128)
                texts = ["the plan of the week", "note", "the plan of the week", "xyz " * 300]
                found = await embedded(node, model, texts)
                assert {len(one) for one in found} == {64}
                assert all(math.hypot(*one) == pytest.approx(1) for one in found)
                assert found[0] == pytest.approx(found[2], abs=1e-3)
                assert found[0] != pytest.approx(found[1], abs=1e-2)

    run(test, 60)


def test_llama_cpp_without_embeddings_is_told_how_to_start_it() -> None:
    async def test() -> None:
        with tiny_engine(window=512) as url:
            async with node_at("openai", url) as node:
                assert "--embeddings" in (await fault_of(node)).hint

    run(test, 60)
