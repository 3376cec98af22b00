"""A run ends once, in time and with the documented code, whatever its node does, and the node is let go."""

import asyncio
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import run as module
from commands.events import Event
from commands.house import House
from context.vault import Vault
from inference.breaker import Breaker
from inference.fleet import Fleet
from inference.ollama import OllamaNode
from inference.openai import OpenAINode
from inference.profile import NodeConfig
from inference.wire import LINE_LIMIT, Patience
from tests.eventually import AT_ONCE, eventually
from tests.houses import done, events, failed, house, profile
from tests.raw_server import CLOSE, END, HANG, HEAD, RawServer, piece, raw_server, status
from tests.vaults import open_vault

DOCS = Path(__file__).parent.parent / "docs" / "http.md"
VAULT = {
    ".obsidian/daily-notes.json": '{"folder": "Daily"}',
    "Projects/Quince.md": "---\ntype: project\nstatus: active\n---\n# Quince\n## Next\n- [ ] graft the quince hedge\n",
}
KINDS = ("ollama", "openai")
CHAT = {"ollama": "/api/chat", "openai": "/v1/chat/completions"}
DEADLINE = 0.5
# What a deadline may be overstepped by on a machine that does other things too.
TOLERANCE = 1.0
Script = tuple[Any, ...]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return open_vault(tmp_path / "vault", VAULT)


def said(kind: str, text: str) -> bytes:
    """A line of an answer, or an event."""
    if kind == "ollama":
        return json.dumps({"message": {"content": text}, "done": False}).encode() + b"\n"
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


def ended(kind: str) -> bytes:
    if kind == "ollama":
        return b'{"message":{"content":""},"done":true,"done_reason":"stop"}\n'
    return b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def error(kind: str, words: str) -> bytes:
    if kind == "ollama":
        return json.dumps({"error": words}).encode() + b"\n"
    return b"data: " + json.dumps({"error": {"message": words, "code": 500}}).encode() + b"\n\n"


def stream(kind: str, *more: Any) -> Script:
    """An answer that begins well."""
    return (HEAD, piece(said(kind, "Quinces are ")), *(piece(one) if isinstance(one, bytes) else one for one in more))


def whole(kind: str) -> Script:
    return (*stream(kind, ended(kind)), END)


def refused(kind: str, answer: int, words: str, **more: str) -> Script:
    return (status(answer, {"error": words if kind == "ollama" else {"message": words} | more}),)


def answering(server: RawServer, kind: str) -> None:
    """The rest of a node that is well; its model must be loaded."""
    if kind == "ollama":
        server.answer(status(200, {"version": "0.33.0", "models": []}))
    else:
        server.answer(status(200, {"data": []}))


def over(vault: Vault, server: RawServer, kind: str, *, patience: Patience | None = None, **settings: Any) -> House:
    """A house with one node of a kind, which is the server."""

    def make(config: NodeConfig) -> OllamaNode | OpenAINode:
        return (OllamaNode if kind == "ollama" else OpenAINode)(config, patience or Patience())

    base = profile()
    desk = replace(base.nodes["desk"], kind=kind, url=server.url, parallel=1, queue=2)
    of = house(vault, **settings)
    of.fleet = Fleet(replace(base, nodes={"desk": desk}), make)
    return of


def asked(server: RawServer, kind: str) -> list[Any]:
    return [seen for seen in server.seen if seen.path == CHAT[kind]]


# --- the table of faults

TOO_LONG = "the prompt is longer than the context length currently available to the model"
DIED = "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error"
NO_MEMORY = "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory"
FAULTS: Mapping[str, Callable[[str], Script]] = {
    "an error inside the stream": lambda kind: (*stream(kind, error(kind, "unexpected EOF")), END),
    "an error inside the stream: out of memory": lambda kind: (*stream(kind, error(kind, "CUDA out of memory")), END),
    "an end without saying that it is one": lambda kind: (*stream(kind), END),
    "the same token over and over, then such an end": lambda kind: (*stream(kind, *[said(kind, " the")] * 31), END),
    "silence for longer than is borne": lambda kind: stream(kind, HANG),
    "a line that is no part of an answer": lambda kind: (
        *stream(kind, b"<html>502</html>\n" if kind == "ollama" else b"data: <html>502</html>\n\n"),
        END,
    ),
    "a line or event of more than 8 MiB": lambda kind: stream(kind, b"data: " + b"x" * LINE_LIMIT, HANG),
    "a connection that breaks": lambda kind: stream(kind, CLOSE),
    "status 404, the model is not there": lambda kind: refused(kind, 404, "model 'small' not found"),
    "status 404, anything else": lambda _: (status(404, b"<h1>Not Found</h1>"),),
    "status 499": lambda kind: refused(kind, 499, "request canceled"),
    "status 503 or 429, others keep it busy": lambda kind: refused(kind, 503, "server busy, please try again."),
    "status 500, out of memory": lambda kind: refused(kind, 500, NO_MEMORY),
    "status 500, its runner died": lambda kind: refused(kind, 500, DIED),
    "status 400, the prompt is too long even when it was packed anew": lambda kind: refused(
        kind, 400, TOO_LONG, code="context_length_exceeded"
    ),
    "status 401 or 403": lambda kind: refused(kind, 401, "no"),
    "no connection": lambda _: (),
    "still at work, or silent, when the command's time is over": lambda kind: stream(kind, HANG),
}


def documented() -> dict[str, str]:
    """The table of the docs: what a node does, and the code."""
    section = DOCS.read_text("utf-8").partition("## Nodes that fail")[2]
    rows = re.findall(r"^\| (.+?)(?: \(.*\))? \| `(\w+)` \|$", section, re.MULTILINE)
    return dict(rows)


def test_every_fault_of_the_docs_is_tried_and_no_other() -> None:
    assert documented().keys() == FAULTS.keys()


def codes(found: list[Event]) -> set[str]:
    """The codes of all that went wrong in a run."""
    last = found[-1]
    return {last.data["code"]} if last.name == "failed" else {one["code"] for one in last.data["findings"]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_node_is_the_code_that_is_documented(vault: Vault, kind: str, fault: str) -> None:
    async def test() -> None:
        async with raw_server() as server:
            expected = documented()[fault]
            server.answer(*FAULTS[fault](kind), path=CHAT[kind])
            answering(server, kind)
            seconds = DEADLINE if expected == "deadline" else 30
            patience = Patience(first=30, between=30 if expected == "deadline" else 0.3)
            of = over(vault, server, kind, patience=patience, deadline_seconds=seconds)
            if fault == "no connection":
                server.url = "http://127.0.0.1:9"
                of = over(vault, server, kind)
            for command in ("ask", "update", "orient"):
                found = await events(of, command, text="quince", now="2025-09-14")
                assert codes(found) == {expected}, command
                assert (found[-1].name == "done") is (command == "update" or expected == "node_unavailable") or (
                    command == "orient"
                    and expected in ("model_missing", "over_budget", "upstream", "context_too_large")
                )
                # What is tried here is the fault, not the breaker.
                of.fleet.nodes.breakers["desk"] = Breaker(time.monotonic)
            await of.fleet.close()

    asyncio.run(asyncio.wait_for(test(), 30))


# --- deadlines


def applied(command: str) -> str:
    return "capture" if command == "update" else "none"


STALLS: Mapping[str, Callable[[str], list[Script]]] = {
    "before the head": lambda _: [(HANG,)],
    "after the head": lambda _: [(HEAD, HANG)],
    "between two pieces": lambda kind: [stream(kind, HANG)],
    "in the middle of a line": lambda kind: [(HEAD, piece(said(kind, "Quinces")[:9]), HANG)],
    "a byte every half second": lambda kind: [
        (HEAD, *itertools.chain.from_iterable((piece(bytes([byte])), 0.5) for byte in said(kind, "Quinces")))
    ],
    "words without end": lambda kind: [stream(kind, *[said(kind, "and "), 0.02] * 500)],
    "in a refusal": lambda _: [(b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\n{", HANG)],
    "in the second question": lambda kind: [whole(kind), (HANG,)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stall", STALLS)
def test_nothing_outlives_the_deadline(vault: Vault, kind: str, stall: str) -> None:
    async def test() -> None:
        async with raw_server() as server:
            for script in STALLS[stall](kind):
                server.answer(*script, path=CHAT[kind])
            answering(server, kind)
            of = over(vault, server, kind, deadline_seconds=DEADLINE)
            command = "update" if stall == "in the second question" else "ask"
            began = time.monotonic()
            found = await events(of, command, text="the quince hedge is grafted", apply=applied(command))
            over_by = time.monotonic() - began - DEADLINE
            assert -0.05 < over_by < TOLERANCE
            assert codes(found) == {"deadline"}
            if command == "update":
                assert done(found)["answer"].startswith("Quinces are"), "what was answered stays"
            else:
                assert failed(found)["message"] == f"ask took longer than its {DEADLINE} seconds"
            assert len(asked(server, kind)) == len(STALLS[stall](kind))
            await eventually(lambda: asked(server, kind)[-1].closed)
            assert asked(server, kind)[-1].closed - began < DEADLINE + AT_ONCE
            await of.fleet.close()

    asyncio.run(asyncio.wait_for(test(), 30))


@pytest.mark.parametrize("kind", KINDS)
def test_the_wait_in_line_ends_at_the_deadline(vault: Vault, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else nobody would be taken whose time is so short.
    monkeypatch.setattr("inference.pace.Pace.work", lambda *_: 0.0)
    monkeypatch.setattr("inference.pace.Pace.load", 0.0)

    async def test() -> None:
        async with raw_server() as server:
            server.answer(*stream(kind, HANG), path=CHAT[kind])
            answering(server, kind)
            of = over(vault, server, kind)
            first = asyncio.create_task(events(of, "ask", text="quince"))
            await eventually(lambda: asked(server, kind))
            of.settings = replace(of.settings, deadline_seconds=DEADLINE)  # type: ignore[arg-type]
            began = time.monotonic()
            found = await events(of, "ask", text="hedge")
            assert time.monotonic() - began < DEADLINE + TOLERANCE
            assert (failed(found)["code"], len(asked(server, kind))) == ("deadline", 1)
            assert "queued" in [event.data["name"] for event in found if event.name == "phase"]
            server.scripts[CHAT[kind]] = [whole(kind)]
            first.cancel()
            await asyncio.wait([first])
            assert done(await events(of, "ask", text="hedge"))["answer"] == "Quinces are "
            await of.fleet.close()

    asyncio.run(asyncio.wait_for(test(), 30))


@pytest.mark.parametrize("command", ["ask", "update"])
def test_a_vault_that_stalls_does_not_outlive_the_deadline(
    vault: Vault, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gathering waits for a disk that does not come back, and so does the second attempt of /update."""
    back = threading.Event()
    monkeypatch.setattr(module, "prepare", lambda *_: back.wait(20))
    monkeypatch.setattr(module, "_LAST_SECONDS", 0.2)

    async def test() -> None:
        async with raw_server() as server:
            of = over(vault, server, "ollama", deadline_seconds=DEADLINE)
            began = time.monotonic()
            found = await events(of, command, text="the quince hedge", apply=applied(command))
            assert time.monotonic() - began < DEADLINE + 0.2 + TOLERANCE
            assert codes(found) == {"deadline"}
            if command == "update":
                final = done(found)
                assert (final["answer"], final["degraded"], len(final["edits"])) == ("", ["model"], 1)
            else:
                failed(found)
            assert asked(server, "ollama") == []
            await of.fleet.close()

    async def released() -> None:
        try:
            await test()
        finally:
            back.set()

    asyncio.run(asyncio.wait_for(released(), 30))


def test_what_is_being_filed_at_the_deadline_is_filed_once(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    filed: list[Any] = []
    file = module._file

    def slowly(job: Any) -> bool:
        filed.append(job)
        time.sleep(DEADLINE + 0.2)
        return file(job)

    monkeypatch.setattr(module, "_file", slowly)

    async def test() -> None:
        async with raw_server() as server:
            server.answer(*whole("ollama"), path=CHAT["ollama"])
            answering(server, "ollama")
            of = over(vault, server, "ollama", deadline_seconds=DEADLINE)
            final = done(
                await events(of, "update", text="[[Quince]]: hedge grafted", apply="capture", now="2025-09-14")
            )
            assert len(filed) == 1
            assert [edit["title"] for edit in final["edits"]] == ["your words", "what your words mean for other notes"]
            await of.fleet.close()

    asyncio.run(asyncio.wait_for(test(), 30))


def test_deadlines_that_pass_while_a_node_is_silent_open_its_breaker(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.breaker.SILENT_SECONDS", 0.1)

    async def test() -> None:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(raw_server())
            server.answer(HANG, path=CHAT["ollama"])
            answering(server, "ollama")
            of = over(vault, server, "ollama", deadline_seconds=DEADLINE)
            for _ in range(3):
                assert failed(await events(of, "ask", text="quince"))["code"] == "deadline"
            began = time.monotonic()
            final = done(await events(of, "ask", text="quince"))
            assert time.monotonic() - began < DEADLINE
            assert final["degraded"] == ["model"]
            assert "failed several times" in final["findings"][0]["message"]
            assert len(asked(server, "ollama")) == 3
            await of.fleet.close()

    asyncio.run(asyncio.wait_for(test(), 30))
