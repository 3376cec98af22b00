"""The command line's way to a service: found when alive, spoken to as agreed, and every end of it told."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from commands.events import Event
from server.client import Service, ServiceError, ask, cancel, events, find
from server.config import Config, ConfigError, vault_dir
from tests import edge
from tests.raw_server import CLOSE, END, HANG, HEAD, RawServer, piece, raw_server, status


def announce(config: Config, content: Any) -> None:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (vault_dir(config) / "service.json").write_bytes(text)


def at(url: str, pid: int = 0) -> dict[str, Any]:
    return {"url": url, "uds": "", "pid": pid or os.getpid()}


def service(url: str, token: str = edge.TOKEN) -> Service:
    return Service(url, "", os.getpid(), token)


@contextmanager
def raw() -> Iterator[RawServer]:
    """A server that answers with the very bytes it is told, in a thread."""
    ready: list[tuple[RawServer, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def live() -> None:
        async with raw_server() as found:
            end = asyncio.Event()
            ready.append((found, asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    edge.until(lambda: ready)
    found, loop, end = ready[0]
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


# --- whether there is one


def test_a_service_that_is_alive_is_found(tmp_path: Path) -> None:
    config = edge.config(tmp_path)
    assert find(config) is None
    with edge.live(tmp_path, edge.House()) as live:
        announce(config, at(live.url))
        found = find(config)
        assert found == Service(live.url, "", os.getpid(), edge.TOKEN)
        assert str(found) == live.url
        assert edge.TOKEN not in repr(found)
        # A process that is gone: whoever has its port now is somebody else.
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        announce(config, at(live.url, ended.pid))
        assert find(config) is None
    announce(config, at(live.url))
    assert find(config) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        {"url": "http://127.0.0.1:1"},
        at("http://127.0.0.1:port"),
        at("no address"),
        at("http://127.0.0.1:1", -1),
        at("http://127.0.0.1:1", 1 << 80),
        {"url": "http://127.0.0.1:1", "uds": "", "pid": "x"},
        {**at("http://127.0.0.1:1"), "settings": "profile"},
        {**at("http://127.0.0.1:1"), "settings": 3},
        {"url": "http://localhost", "uds": "/nowhere.sock", "pid": os.getpid()},
        {"url": "http://localhost", "uds": "/" + "x" * 200, "pid": os.getpid()},
    ],
    ids=lambda content: repr(content)[:40],
)
def test_what_is_no_trace_of_a_service_counts_as_none(tmp_path: Path, content: Any) -> None:
    config = edge.config(tmp_path)
    announce(config, content)
    assert find(config) is None


@pytest.mark.parametrize("answer", [(HANG,), (CLOSE,), (status(503),), (b"not HTTP\r\n\r\n", CLOSE)])
def test_a_port_that_answers_otherwise_is_no_service(tmp_path: Path, answer: tuple[Any, ...]) -> None:
    config = edge.config(tmp_path)
    with raw() as server:
        server.answer(*answer)
        announce(config, at(server.url))
        began = time.monotonic()
        assert find(config) is None
        assert time.monotonic() - began < 5


def test_without_a_vault_there_is_no_service_to_look_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        find(edge.config(tmp_path, vault=tmp_path / "nowhere"))


def test_a_unix_socket_is_found_and_spoken_to(tmp_path: Path) -> None:
    where = str(tmp_path / "kos.sock")
    config = edge.config(tmp_path, uds=where)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(where)
        listener.listen()

        def serve() -> None:
            for _ in range(2):
                link, _ = listener.accept()
                with link:
                    request = link.recv(4096).decode()
                    assert "Host: localhost\r\n" in request
                    link.sendall(status(200, {"status": "ok"}, "Connection: close"))

        thread = threading.Thread(target=serve)
        thread.start()
        announce(config, {"url": "http://localhost", "uds": where, "pid": os.getpid()})
        found = find(config)
        assert found is not None
        assert str(found) == where
        assert ask(found, "GET", "/v1/status") == {"status": "ok"}
        thread.join()


# --- one answer


def test_a_question_carries_the_token_and_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with edge.live(tmp_path, edge.House()) as live:
        found = ask(service(live.url), "GET", "/v1/status")
        assert found["ready"] is True
        body = {"text": "Grüße 花 \udcff", "budget_tokens": 900}
        assert ask(service(live.url), "POST", "/v1/context", body)["receipt"] == "receipt-1"
        house: Any = live.service.house
        assert house.contexts[0].text == "Grüße 花 ?"
        with pytest.raises(ServiceError) as refused:
            ask(service(live.url, "wrong"), "GET", "/v1/status")
    assert refused.value.code == "unauthorized"
    assert "kos token" in refused.value.hint


def test_a_refusal_keeps_all_it_says(tmp_path: Path) -> None:
    with raw() as server:
        error = {"code": "busy", "message": "full", "hint": "wait", "run": "r1"}
        server.answer(status(429, {"error": error}, "Retry-After: 7"))
        with pytest.raises(ServiceError, match="full") as refused:
            ask(service(server.url), "GET", "/v1/status")
    told = refused.value
    assert (told.code, told.hint, told.run, told.retry_after) == ("busy", "wait", "r1", 7.0)


@pytest.mark.parametrize(
    "answer",
    [
        (CLOSE,),
        (status(200, b"no JSON"),),
        (status(200, b"[1]"),),
        (status(200, b"\xff"),),
        (status(500, b"<html>"),),
        (status(404, {"detail": "another program"}),),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", CLOSE),
    ],
)
def test_an_answer_in_no_form_agreed_on_is_a_service_that_went_away(answer: tuple[Any, ...]) -> None:
    with raw() as server:
        server.answer(*answer)
        with pytest.raises(ServiceError, match="went away") as refused:
            ask(service(server.url), "GET", "/v1/status")
    assert refused.value.code == "upstream"
    assert refused.value.hint


# --- a stream


def test_a_run_is_given_event_by_event(tmp_path: Path) -> None:
    with edge.live(tmp_path, edge.House()) as live:
        found = list(events(service(live.url), "orient", {"text": "now", "scope": {"tags": ["a"]}}))
        house: Any = live.service.house
        call = house.calls[0]
    assert [event.name for event in found] == ["started", "gathered", "token", "token", "done"]
    assert "".join(event.data["text"] for event in found if event.name == "token") == found[-1].data["answer"]
    assert (call.command, call.request.text, call.request.scope) == ("orient", "now", {"tags": ["a"]})
    assert found[0] == Event("started", {"run": call.run, "command": "orient"})


def test_a_run_that_fails_is_given_to_its_end(tmp_path: Path) -> None:
    house = edge.House(script=edge.refuses("model_missing", "no model"))
    with edge.live(tmp_path, house) as live:
        found = list(events(service(live.url), "ask", {"text": "x"}))
    assert [event.name for event in found] == ["started", "failed"]
    assert found[-1].data["code"] == "model_missing"


def test_a_request_that_is_refused(tmp_path: Path) -> None:
    with edge.live(tmp_path, edge.House()) as live:
        for command, body, code in (("nope", {}, "not_found"), ("ask", {"tier": "huge"}, "invalid")):
            with pytest.raises(ServiceError) as refused:
                next(events(service(live.url), command, body))
            assert refused.value.code == code


def test_closing_cancels_the_run(tmp_path: Path) -> None:
    with edge.live(tmp_path, edge.House(script=edge.works)) as live:
        stream = events(service(live.url), "ask", {"text": "x"})
        assert [next(stream).name, next(stream).name] == ["started", "token"]
        house: Any = live.service.house
        assert not house.calls[0].closed
        stream.close()
        edge.until(lambda: house.calls[0].closed)
        edge.until(lambda: live.service.runs.all()[0].state == "failed")
        assert live.service.runs.all()[0].outcome()["code"] == "cancelled"
        cancel(service(live.url), "no-such-run")


def test_closing_says_so_and_does_not_only_hang_up() -> None:
    with raw() as server:
        server.answer(HEAD, piece(sse("started", {"run": "r1"})), HANG, path="/v1/commands/ask")
        server.answer(status(200, {}), path="/v1/runs/r1")
        stream = events(service(server.url), "ask", {})
        next(stream)
        stream.close()
        assert [(seen.method, seen.path) for seen in server.seen][1:] == [("DELETE", "/v1/runs/r1")]


def test_a_run_that_has_ended_is_not_cancelled() -> None:
    with raw() as server:
        done = b'event: done\nid: 1\ndata: {"run": "r1"}\n\n'
        server.answer(HEAD, piece(done), END)
        assert [event.name for event in events(service(server.url), "ask", {})] == ["done"]
        assert [seen.method for seen in server.seen] == ["POST"]


def sse(name: str, data: Any) -> bytes:
    return f"event: {name}\nid: 1\ndata: {json.dumps(data)}\n\n".encode()


def test_the_form_of_the_stream_is_read_as_the_standard_says() -> None:
    """Bytes in any pieces, comments, CRLF, several data lines, a field without blank, unknown fields."""
    text = (
        b': ping\r\n\r\nevent: token\r\nid: 1\r\ndata: {"text":\r\ndata: "\xc3\xb6\xe8\x8a\xb1"}\r\n\r\n'
        b'retry: 5\n\nevent:done\ndata:{"run": "r1"}\n\n'
    )
    with raw() as server:
        server.answer(HEAD, *(piece(text[place : place + 1]) for place in range(len(text))), END)
        found = list(events(service(server.url), "ask", {}))
    assert found == [Event("token", {"text": "ö花"}), Event("done", {"run": "r1"})]


@pytest.mark.parametrize(
    "pieces",
    [
        (CLOSE,),
        (END, CLOSE),
        (piece(b"event: token\ndata: no JSON\n\n"), END),
        (piece(b"event: token\ndata: [1]\n\n"), END),
        (piece(b"event: token\n\xff\n\n"), END),
        (b"zzz\r\n", CLOSE),
        (HANG,),
    ],
    ids=["closed", "ended", "no JSON", "no object", "no text", "no chunk", "silent"],
)
def test_a_stream_without_its_end_is_a_service_that_went_away(pieces: tuple[Any, ...]) -> None:
    with raw() as server:
        server.answer(HEAD, piece(sse("started", {"run": "r1"})), *pieces, path="/v1/commands/ask")
        stream = events(service(server.url), "ask", {}, silence=0.5)
        assert next(stream).name == "started"
        with pytest.raises(ServiceError, match="went away") as refused:
            next(stream)
    assert (refused.value.code, refused.value.run) == ("upstream", "r1")


def test_a_service_that_says_that_it_lives_is_waited_for() -> None:
    with raw() as server:
        pings: list[Any] = [part for _ in range(6) for part in (0.2, piece(b": ping\n\n"))]
        server.answer(HEAD, *pings, piece(sse("done", {"run": "r1"})), END)
        assert [event.name for event in events(service(server.url), "ask", {}, silence=0.9)] == ["done"]


def test_many_streams_at_once(tmp_path: Path) -> None:
    names: list[list[str]] = []
    with edge.live(tmp_path, edge.House()) as live:

        def read() -> None:
            names.append([event.name for event in events(service(live.url), "ask", {"text": "x"})])

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert names == [["started", "gathered", "token", "token", "done"]] * 8
