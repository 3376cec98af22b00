"""The routes: commands as JSON, streams and polls, the runs behind them, and what the service says of itself."""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.events import FINAL, Event
from inference.decision import Wanted
from inference.fleet import Fleet
from inference.ledger import Ledger
from inference.profile import load
from prompts import SHIPPED
from server import api, status
from server.app import create_app
from server.config import Config
from server.house import open_house
from server.security import door
from tests.edge import (
    AUTH,
    HOST,
    TOKEN,
    Call,
    House,
    Live,
    Reply,
    Script,
    aask,
    answers,
    ask,
    config,
    done,
    live,
    make,
    refuses,
    rest,
    service_of,
    sse,
    started,
    token,
    until,
    works,
)
from tests.eventually import eventually
from tests.ollama_double import double_in_thread
from tests.vaults import write

SSE = {"Accept": "text/event-stream"}
NDJSON = {"Accept": "application/x-ndjson"}
# The promise is 0.2 s from the moment the client goes away; the rest is for a busy machine. Nothing here ends by itself
# in less than a minute.
CANCEL_SECONDS = 2.0


def lines(text: str) -> list[tuple[int, str, Any]]:
    """The events of NDJSON, as `sse` has them."""
    return [(one["id"], one["event"], one["data"]) for one in map(json.loads, text.splitlines())]


def ordered(events: list[tuple[int, str, Any]]) -> list[str]:
    """The names of the events of a whole run, which has the order that is promised."""
    names = [name for _, name, _ in events]
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [name for name in names if name in FINAL] == [names[-1]]
    assert names.index("gathered") < names.index("token")
    return names


@contextlib.contextmanager
def serving(folder: Path, script: Script | None = None) -> Iterator[tuple[Live, House, httpx.Client]]:
    house = House(script=script)
    with live(folder, house) as service, service.client() as client:
        yield service, house, client


def held(gate: threading.Event) -> Script:
    """A script that waits for the test before it answers."""

    async def script(call: Call) -> AsyncIterator[Event]:
        yield started(call)
        await asyncio.to_thread(gate.wait, 30)
        async for event in answers(call):
            if event.name != "started":
                yield event

    return script


# --- commands


@pytest.mark.parametrize("path", [*(f"/{name}" for name in SHIPPED), *(f"/v1/commands/{name}" for name in SHIPPED)])
def test_a_command_answers_with_its_done_event(tmp_path: Path, path: str) -> None:
    house = House()
    reply = ask(make(tmp_path, house), "POST", path, {"text": "hello"})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    (call,) = house.calls
    assert (call.command, call.request.text) == (path.rpartition("/")[2], "hello")
    assert reply.json == dict(done(call).data)


def test_a_command_of_the_vault_has_no_alias(tmp_path: Path) -> None:
    app = make(tmp_path, House())
    assert ask(app, "POST", "/v1/commands/own", {}).json["command"] == "own"
    assert ask(app, "POST", "/own", {}).error["code"] == "not_found"


@pytest.mark.parametrize("name", ["nothing", "Orient", "orient%20", "..", "%2e%2e", "orient%00"])
def test_a_command_that_does_not_exist_is_not_found(tmp_path: Path, name: str) -> None:
    house = House()
    assert ask(make(tmp_path, house), "POST", f"/v1/commands/{name}", {}).error["code"] == "not_found"
    assert not house.calls


def test_the_commands_are_listed(tmp_path: Path) -> None:
    house = House()
    assert ask(make(tmp_path, house), "GET", "/v1/commands").json == {"commands": house.commands()}


def test_every_field_reaches_the_command_but_those_of_the_edge(tmp_path: Path) -> None:
    house = House()
    app = make(tmp_path, house)
    body = {
        "text": "x",
        "note": "A.md",
        "selection": "y",
        "scope": {
            "project": "P",
            "folder": "F",
            "tags": ["a"],
            "since": "2025-09-01",
            "where": {"level": {"in": [1, 2]}, "due": {"lte": "2025-01-01"}, "x": {"exists": True}, "s": "active"},
        },
        "tier": "fast",
        "model": "m",
        "node": "n",
        "budget_tokens": 1000,
        "timezone": "Europe/Berlin",
        "now": "2025-09-14",
        "apply": "none",
        "dry_run": True,
        "fresh": True,
    }
    ask(app, "POST", "/ask", {**body, "stream": False, "detach": False, "idempotency_key": "k", "follows": None})
    assert vars(house.calls[0].request) == body
    ask(app, "POST", "/ask", {**dict.fromkeys(body), "text": "", "dry_run": False, "fresh": False})
    assert vars(house.calls[1].request) == {"text": "", "dry_run": False, "fresh": False}
    ask(app, "POST", "/ask", b"")
    assert vars(house.calls[2].request) == {"text": "", "dry_run": False, "fresh": False}


@pytest.mark.parametrize(("said", "forced"), [("true", True), (" TRUE ", True), ("false", False), (None, False)])
def test_the_header_forces_the_big_model(tmp_path: Path, said: str | None, forced: bool) -> None:
    house = House()
    headers = {} if said is None else {"X-Force-Big": said}
    assert ask(make(tmp_path, house), "POST", "/ask", {"text": "x"}, headers).status == 200
    assert getattr(house.calls[0].request, "force", False) is forced


def test_the_header_says_true_or_false_and_no_body_says_it(tmp_path: Path) -> None:
    house = House()
    app = make(tmp_path, house)
    assert ask(app, "POST", "/ask", {"text": "x"}, {"X-Force-Big": "yes"}).error["code"] == "invalid"
    assert ask(app, "POST", "/ask", {"text": "x", "force": True}).error["code"] == "invalid"
    assert not house.calls


def test_decisions_are_told_newest_first(tmp_path: Path) -> None:
    house = House()
    app = make(tmp_path, house)
    assert ask(app, "GET", "/v1/decisions").json == {"decisions": []}
    profile = load("rtx3080")
    house.ledger = Ledger(tmp_path, profile)
    fleet = Fleet(profile, ledger=house.ledger)
    for command in ("orient", "plan", "research"):
        fleet.decide(Wanted(command), "fast")
    found = ask(app, "GET", "/v1/decisions?limit=2").json["decisions"]
    assert [entry["inputs"]["wanted"]["command"] for entry in found] == ["research", "plan"]
    assert found[0]["decision"]["model"] == "qwen3:8b"
    assert len(ask(app, "GET", "/v1/decisions").json["decisions"]) == 3
    for limit in ("0", "1001", "x"):
        assert ask(app, "GET", f"/v1/decisions?limit={limit}").error["code"] == "invalid"


def test_a_failed_run_is_an_error_with_its_id(tmp_path: Path) -> None:
    app = make(tmp_path, House(script=refuses("over_budget", "too big")))
    reply = ask(app, "POST", "/ask", {})
    assert (reply.status, reply.error["code"], reply.error["message"]) == (424, "over_budget", "too big")
    assert len(reply.error["run"]) == 16


# --- streams


@pytest.mark.parametrize(
    ("headers", "body", "kind"),
    [
        (SSE, {}, "text/event-stream"),
        ({}, {"stream": True}, "text/event-stream"),
        ({"Accept": "application/json"}, {"stream": True}, "text/event-stream"),
        (NDJSON, {}, "application/x-ndjson"),
        (NDJSON, {"stream": True}, "application/x-ndjson"),
        ({"Accept": "Text/Event-Stream; q=1, */*"}, {}, "text/event-stream"),
        ({"Accept": "application/json, text/event-stream"}, {}, "application/json"),
        ({"Accept": "*/*"}, {}, "application/json"),
    ],
)
def test_the_client_chooses_the_form(tmp_path: Path, headers: dict[str, str], body: Any, kind: str) -> None:
    reply = ask(make(tmp_path, House()), "POST", "/orient", body, headers)
    assert reply.headers["content-type"].partition(";")[0] == kind
    if kind == "application/json":
        assert reply.json["answer"] == "One two."
        return
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-accel-buffering"] == "no"
    events = (sse if kind == "text/event-stream" else lines)(reply.body.decode())
    assert ordered(events) == ["started", "gathered", "token", "token", "done"]
    assert "".join(data["text"] for _, name, data in events if name == "token") == events[-1][2]["answer"]


def test_events_come_as_they_happen(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, held(gate)) as (_, _, client):
        for headers in (SSE, NDJSON):
            gate.clear()
            with client.stream("POST", "/orient", json={}, headers=headers) as answer:
                pieces = answer.iter_text()
                first = next(pieces)
                assert "started" in first
                assert "gathered" not in first
                gate.set()
                assert "done" in "".join(pieces)


def test_a_failed_run_ends_its_stream_with_failed(tmp_path: Path) -> None:
    reply = ask(make(tmp_path, House(script=refuses("deadline"))), "POST", "/ask", {}, SSE)
    events = sse(reply.body.decode())
    assert (reply.status, [name for _, name, _ in events]) == (200, ["started", "failed"])
    assert events[-1][2]["code"] == "deadline"


def test_a_silent_stream_says_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api.PING_SECONDS == 10
    monkeypatch.setattr(api, "PING_SECONDS", 0.03)
    gate = threading.Event()
    with serving(tmp_path, held(gate)) as (_, _, client), client.stream("POST", "/ask", json={}, headers=SSE) as answer:
        text = ""
        for piece in answer.iter_text():
            text += piece
            if text.count(": ping\n\n") >= 3:
                gate.set()
    assert ordered(sse(text))[-1] == "done"


def test_a_body_that_is_refused_is_told_as_json_to_a_stream_as_well(tmp_path: Path) -> None:
    reply = ask(make(tmp_path, House()), "POST", "/orient", {"tier": "huge"}, SSE)
    assert (reply.status, reply.error["code"], reply.headers["content-type"]) == (422, "invalid", "application/json")


# --- following a run


def one_run(app: Any, body: Any = None) -> str:
    return str(ask(app, "POST", "/orient", body or {}).json["run"])


def test_a_run_is_told_again_from_anywhere(tmp_path: Path) -> None:
    app = make(tmp_path, House())
    path = f"/v1/runs/{one_run(app)}/events"
    whole = ask(app, "GET", path).json
    assert whole["done"] is True
    assert ordered([(one["id"], one["event"], one["data"]) for one in whole["events"]])
    assert ask(app, "GET", f"{path}?after=3").json["events"] == whole["events"][3:]
    assert ask(app, "GET", f"{path}?after=5").json == {"events": [], "done": True}
    assert ask(app, "GET", f"{path}?after=99999999999999999999").json == {"events": [], "done": True}
    for headers, parse in ((SSE, sse), (NDJSON, lines)):
        told = parse(ask(app, "GET", path, headers=headers).body.decode())
        assert [{"event": name, "id": number, "data": data} for number, name, data in told] == whole["events"]
        assert parse(ask(app, "GET", f"{path}?after=3", headers=headers).body.decode()) == told[3:]
        last = ask(app, "GET", f"{path}?after=1", headers={**headers, "Last-Event-ID": "4"})
        assert parse(last.body.decode()) == told[4:]
        for odd in ("x", "-1", "1e3", "9" * 5000, "²"):
            again = ask(app, "GET", f"{path}?after=3", headers={**headers, "Last-Event-ID": odd})
            assert parse(again.body.decode()) == told[3:]


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=1.5", "wait=31", "wait=-1", "wait=nan", "wait=inf", "wait=x", "after=" + "9" * 5000],
)
def test_a_question_after_events_that_means_nothing_is_refused(tmp_path: Path, query: str) -> None:
    app = make(tmp_path, House())
    reply = ask(app, "GET", f"/v1/runs/{one_run(app)}/events?{query}")
    assert (reply.status, reply.error["code"]) == (422, "invalid")


def polled(client: httpx.Client, run: str, after: int) -> list[Any]:
    """The events of a run after one of them, to its end, by as many polls as it takes."""
    found: list[Any] = []
    while True:
        news = client.get(f"/v1/runs/{run}/events", params={"after": after + len(found), "wait": 20}).json()
        assert news["events"] or news["done"]
        found += news["events"]
        if news["done"]:
            return found


def test_a_long_poll_waits_for_news_and_no_longer(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, held(gate)) as (_, _, client):
        run = client.post("/orient", json={"detach": True}).json()["run"]
        path = f"/v1/runs/{run}/events"
        first = client.get(path, params={"wait": 10}).json()
        assert (first["done"], [one["event"] for one in first["events"]]) == (False, ["started"])
        assert client.get(path, params={"after": 1}).json() == {"events": [], "done": False}
        begun = time.monotonic()
        assert client.get(path, params={"after": 1, "wait": 0.3}).json() == {"events": [], "done": False}
        assert time.monotonic() - begun >= 0.3
        threading.Timer(0.2, gate.set).start()
        assert [one["id"] for one in polled(client, run, 1)] == [2, 3, 4, 5]
        begun = time.monotonic()
        assert client.get(path, params={"after": 5, "wait": 20}).json() == {"events": [], "done": True}
        assert time.monotonic() - begun < 5


def test_several_readers_follow_one_run(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, held(gate)) as (service, house, client):
        run = client.post("/orient", json={"detach": True}).json()["run"]
        texts: list[str] = []

        def read(headers: dict[str, str], after: int) -> None:
            with service.client() as other:
                texts.append(other.get(f"/v1/runs/{run}/events", params={"after": after}, headers=headers).text)

        readers = [threading.Thread(target=read, args=(headers, n % 2)) for headers in (SSE, NDJSON) for n in range(4)]
        for reader in readers:
            reader.start()
        time.sleep(0.1)
        gate.set()
        for reader in readers:
            reader.join(10)
        told = [(sse if text.startswith("event: ") else lines)(text) for text in texts]
        assert sorted(len(events) for events in told) == [4, 4, 4, 4, 5, 5, 5, 5]
        whole = max(told, key=len)
        assert all(events == whole[-len(events) :] for events in told)
        assert len(house.calls) == 1


def test_a_reader_that_does_not_read_holds_up_neither_the_run_nor_others(tmp_path: Path) -> None:
    async def floods(call: Call) -> AsyncIterator[Event]:
        yield started(call)
        for _ in range(2000):
            yield token("x" * 10_000)
            await asyncio.sleep(0)
        yield done(call)

    with serving(tmp_path, floods) as (service, _, client), contextlib.ExitStack() as stack:
        run = client.post("/orient", json={"detach": True}).json()["run"]
        for _ in range(3):
            link = stack.enter_context(service.socket())
            link.sendall(raw_request(service, "GET", f"/v1/runs/{run}/events", "Accept: text/event-stream"))
        text = client.get(f"/v1/runs/{run}/events", headers=NDJSON).text
        assert lines(text)[-1][1] == "done"
        assert len(text) > 20_000_000
        assert client.get("/healthz").status_code == 200


# --- going away


def raw_request(service: Live, method: str, path: str, *more: str, body: bytes = b"") -> bytes:
    head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{service.port}", f"Authorization: Bearer {TOKEN}", *more]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


async def silent(call: Call) -> AsyncIterator[Event]:
    """A command that says nothing before a minute is over."""
    try:
        await asyncio.sleep(60)
    finally:
        call.closed = time.monotonic()
    yield done(call)


async def busy(call: Call) -> AsyncIterator[Event]:
    """A command that always says something."""
    try:
        while True:
            yield token("x")
            await asyncio.sleep(0.001)
    finally:
        call.closed = time.monotonic()


FORMS = {
    "json": "Accept: application/json",
    "sse": "Accept: text/event-stream",
    "ndjson": "Accept: application/x-ndjson",
}


@pytest.mark.parametrize("script", [works, silent, busy], ids=lambda script: script.__name__)
@pytest.mark.parametrize("form", FORMS)
def test_a_client_that_goes_away_cancels_its_command(tmp_path: Path, form: str, script: Script) -> None:
    with serving(tmp_path, script) as (service, house, client):
        link = service.socket()
        link.sendall(raw_request(service, "POST", "/orient", FORMS[form], body=b"{}"))
        until(lambda: house.calls and (script is silent or service.service.runs.all()[0].events))
        if form != "json" and script is not silent:
            assert link.recv(1)
        time.sleep(0.05)
        assert not house.calls[0].closed
        if script is busy:  # and rudely: a reset instead of an end
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left = time.monotonic()
        link.close()
        until(lambda: house.calls[0].closed, 10)
        assert house.calls[0].closed - left < CANCEL_SECONDS
        run = client.get("/v1/runs").json()["runs"][0]
        assert (run["state"], run["code"]) == ("failed", "cancelled")


def test_a_client_that_does_not_wait_for_a_context_cancels_it(tmp_path: Path) -> None:
    closed: list[float] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append(time.monotonic())

    house = House(context=slow)
    with live(tmp_path, house) as service:
        link = service.socket()
        link.sendall(raw_request(service, "POST", "/v1/context", body=b"{}"))
        until(lambda: house.contexts)
        left = time.monotonic()
        link.close()
        until(lambda: closed, 10)
        assert closed[0] - left < CANCEL_SECONDS


def test_a_reader_that_goes_away_does_not_cancel_what_others_wait_for(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, held(gate)) as (service, house, client):
        key = b'{"idempotency_key":"k"}'
        first, second = service.socket(), service.socket()
        with second:
            for link in (first, second):
                link.sendall(raw_request(service, "POST", "/orient", "Connection: close", body=key))
            until(lambda: service.service.runs.all() and service.service.runs.all()[0].waiting == 2)
            reader = service.socket()
            run = house.calls[0].run
            reader.sendall(raw_request(service, "GET", f"/v1/runs/{run}/events", "Accept: text/event-stream"))
            assert reader.recv(1)
            reader.close()
            first.close()
            until(lambda: service.service.runs.all()[0].waiting == 1)
            gate.set()
            assert b'"answer":"One two."' in rest(second)
        assert len(house.calls) == 1
        assert client.get(f"/v1/runs/{run}").json()["state"] == "done"


def test_a_detached_run_goes_on_without_anybody(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, held(gate)) as (service, _, client):
        with service.client() as other:
            reply = other.post("/ask", json={"detach": True, "stream": True})
        run = reply.json()["run"]
        where = f"/v1/runs/{run}/events"
        assert (reply.status_code, reply.headers["location"]) == (202, where)
        assert reply.json() == {"run": run, "events": where}
        assert client.get(f"/v1/runs/{run}").json()["state"] == "running"
        gate.set()
        assert polled(client, run, 0)[-1]["event"] == "done"
        shown = client.get(f"/v1/runs/{run}").json()
        assert (shown["state"], shown["result"]["answer"], shown["error"]) == ("done", "One two.", None)


# --- the runs


def test_the_same_key_is_the_same_run(tmp_path: Path) -> None:
    house = House()
    app = make(tmp_path, house)
    body = {"text": "a", "idempotency_key": "k"}
    first = ask(app, "POST", "/ask", body)
    assert ask(app, "POST", "/ask", body).body == first.body
    assert sse(ask(app, "POST", "/v1/commands/ask", {**body, "stream": True}).body.decode())[-1][2] == first.json
    assert len(house.calls) == 1
    for path, other in (("/ask", {**body, "text": "b"}), ("/ask", {**body, "fresh": True}), ("/orient", body)):
        assert (ask(app, "POST", path, other).status, len(house.calls)) == (409, 1)
    assert ask(app, "POST", "/ask", {**body, "idempotency_key": "other"}).json["run"] != first.json["run"]


def test_the_same_key_at_the_same_time_is_one_run(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, held(gate)) as (service, house, _):
        replies: list[Any] = []

        def post() -> None:
            with service.client() as client:
                replies.append(client.post("/ask", json={"idempotency_key": "k"}).json())

        threads = [threading.Thread(target=post) for _ in range(5)]
        for thread in threads:
            thread.start()
        until(lambda: service.service.runs.all() and service.service.runs.all()[0].waiting == 5)
        gate.set()
        for thread in threads:
            thread.join(10)
        assert len({reply["run"] for reply in replies}) == 1
        assert len(house.calls) == 1


def test_a_client_that_was_cut_off_tries_again_under_its_key(tmp_path: Path) -> None:
    with serving(tmp_path, works) as (service, house, client):
        with service.socket() as link:
            link.sendall(raw_request(service, "POST", "/ask", body=b'{"idempotency_key":"k"}'))
            until(lambda: house.calls)
        until(lambda: client.get("/v1/runs").json()["runs"][0]["state"] == "failed")
        house.script = answers
        assert client.post("/ask", json={"idempotency_key": "k"}).json()["answer"] == "One two."


def test_a_request_follows_an_earlier_run(tmp_path: Path) -> None:
    house = House()
    app = make(tmp_path, house)
    first = one_run(app, {"text": "What is due?"})
    assert ask(app, "POST", "/ask", {"text": "And then?", "follows": first}).status == 200
    call = house.calls[1]
    assert call.request.follows == first
    assert vars(call.earlier(first)) == {"question": "What is due?", "answer": "One two.", "node": ""}
    missing = ask(app, "POST", "/ask", {"follows": "0000000000000000"})
    assert (missing.status, missing.error["code"]) == (404, "not_found")
    house.script = refuses("upstream")
    failed = ask(app, "POST", "/ask", {}).error["run"]
    refused = ask(app, "POST", "/ask", {"follows": failed})
    assert (refused.status, refused.error["code"]) == (409, "conflict")
    assert len(house.calls) == 3


def test_the_runs_are_listed_newest_first_without_their_words(tmp_path: Path) -> None:
    house = House()
    app = make(tmp_path, house)
    first = one_run(app, {"text": "canary"})
    house.script = refuses("busy", retry_after=3)
    second = ask(app, "POST", "/ask", {"text": "canary"}).error["run"]
    reply = ask(app, "GET", "/v1/runs")
    assert [(one["run"], one["command"], one["state"], one["code"]) for one in reply.json["runs"]] == [
        (second, "ask", "failed", "busy"),
        (first, "orient", "done", None),
    ]
    assert b"canary" not in reply.body
    shown = ask(app, "GET", f"/v1/runs/{second}").json
    assert shown["result"] is None
    assert shown["error"] == {"run": second, "code": "busy", "message": "told", "hint": "a hint", "retry_after": 3}


def test_a_run_is_ended_by_deleting_it(tmp_path: Path) -> None:
    with serving(tmp_path, works) as (service, house, client):
        run = client.post("/orient", json={"detach": True}).json()["run"]
        until(lambda: service.service.runs.get(run).events)
        with client.stream("GET", f"/v1/runs/{run}/events", headers=SSE) as answer:
            left = time.monotonic()
            ended = client.delete(f"/v1/runs/{run}").json()
            assert (ended["state"], ended["code"]) == ("failed", "cancelled")
            assert sse(answer.read().decode())[-1][1:] == (
                "failed",
                {"run": run, "code": "cancelled", "message": "the command was cancelled", "hint": ""},
            )
        assert 0 < house.calls[0].closed - left < CANCEL_SECONDS
        assert client.delete(f"/v1/runs/{run}").json() == ended
        house.script = answers
        over = client.post("/orient").json()["run"]
        assert client.delete(f"/v1/runs/{over}").json()["state"] == "done"


def test_a_client_whose_run_is_ended_by_another_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, works) as (service, house, client):
        reply: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: reply.append(client.post("/orient")))
        thread.start()
        until(lambda: house.calls)
        with service.client() as other:
            other.delete(f"/v1/runs/{house.calls[0].run}")
        thread.join(10)
        assert (reply[0].status_code, reply[0].json()["error"]["code"]) == (499, "cancelled")
        assert reply[0].json()["error"]["run"] == house.calls[0].run


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/events"), ("GET", "/receipt"), ("DELETE", ""), ("POST", "/replay")],
)
def test_a_run_that_is_not_known_is_not_found(tmp_path: Path, method: str, path: str) -> None:
    app = make(tmp_path, House())
    for run in ("0000000000000000", "x", "%2e%2e", "%00", "x" * 1000):
        reply = ask(app, method, f"/v1/runs/{run}{path}")
        assert (reply.status, reply.error["code"]) == (404, "not_found")


def test_a_run_has_a_receipt_that_replays(tmp_path: Path) -> None:
    kept = {"receipt": "receipt-1", "digest": "d", "passages": []}
    house = House(kept={"receipt-1": kept})
    app = make(tmp_path, house)
    run = one_run(app)
    assert ask(app, "GET", f"/v1/runs/{run}/receipt").json == kept
    assert ask(app, "POST", f"/v1/runs/{run}/replay").json == {"identical": True, "digest": "d", "changed": []}
    house.kept.clear()
    gone = ask(app, "GET", f"/v1/runs/{run}/receipt")
    assert (gone.status, gone.error["run"]) == (404, run)
    house.script = refuses("node_unavailable")
    without = ask(app, "POST", "/orient", {}).error["run"]
    assert ask(app, "POST", f"/v1/runs/{without}/replay").error == {
        "code": "not_found",
        "message": "this run has no receipt",
        "hint": "A receipt is made once the passages are chosen.",
        "run": without,
    }


# --- what the service says of itself


def test_it_is_alive_before_it_is_ready(tmp_path: Path) -> None:
    app = make(tmp_path, None)
    assert ask(app, "GET", "/healthz").json == {"status": "ok"}
    waiting = ask(app, "GET", "/readyz")
    assert (waiting.status, waiting.error["code"], waiting.headers["retry-after"]) == (503, "busy", "1")
    for method, path in (("GET", "/v1/commands"), ("POST", "/orient"), ("POST", "/v1/context"), ("GET", "/v1/nodes")):
        reply = ask(app, method, path)
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (429, "busy", "1")
    told = ask(app, "GET", "/v1/status").json
    assert (told["ready"], told["nodes"]) == (False, [])
    service_of(app).house = House()
    assert ask(app, "GET", "/readyz").json == {"status": "ready"}
    assert ask(app, "GET", "/v1/status").json["ready"] is True


def test_it_is_alive_but_not_ready_when_it_ends(tmp_path: Path) -> None:
    app = make(tmp_path, House())

    async def ends() -> list[Reply]:
        await service_of(app).runs.close()
        asked = (("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/v1/status"), ("POST", "/orient"))
        return [await aask(app, method, path) for method, path in asked]

    alive, ready, told, refused = asyncio.run(ends())
    assert alive.status == 200
    assert (ready.status, ready.error["code"], ready.headers["retry-after"]) == (503, "shutting_down", "2")
    assert told.json["ready"] is False
    assert (refused.status, refused.error["code"]) == (503, "shutting_down")


def test_the_status_tells_no_secret_and_no_path(tmp_path: Path) -> None:
    app = make(tmp_path, House(), profile=str(tmp_path / "mine.toml"))
    one_run(app)
    told = ask(app, "GET", "/v1/status")
    assert told.json["vault"] == {"name": "vault", "notes": 3}
    assert told.json["runs"] == {"running": 0, "done": 1, "failed": 0}
    assert told.json["config"]["cache"] == "redis"
    assert told.json["config"]["profile"] == "mine.toml"
    line = {"running": 0, "waiting": 0, "models": []}
    breaker = {"state": "open", "failures": 3, "last_error": "it broke off", "probe_seconds": 1.5}
    state = {"name": "desk", "reachable": True, "loaded": [{"model": "small", "size": 3}], "error": ""}
    state |= {"url": "http://127.0.0.1:11434", "line": line, "breaker": breaker}
    assert told.json["nodes"] == [state]
    assert ask(app, "GET", "/v1/nodes").json == {"nodes": [state]}
    for secret in (TOKEN, "secret", str(tmp_path)):
        assert secret not in told.body.decode()


def test_a_context_is_asked_for_without_a_command(tmp_path: Path) -> None:
    house = House()
    app = make(tmp_path, house)
    body = {
        "text": "x",
        "budget_tokens": 2000,
        "gather": {"search": 70, "maps": 30},
        "scope": {"folder": "Projects"},
        "note": "A.md",
        "timezone": "UTC",
        "now": "2025-09-14T10:00:00+02:00",
        "fresh": True,
    }
    assert ask(app, "POST", "/v1/context", body).json["budget_tokens"] == 200
    assert vars(house.contexts[0]) == body
    assert ask(app, "POST", "/v1/context", {"gather": ["recent"]}).status == 200
    assert vars(house.contexts[1]) == {"text": "", "gather": ["recent"], "fresh": False}
    gathers: list[Any] = [[], [1], {"search": 0}, {"search": 101}, {"search": True}, "search"]
    for wrong in ({"tier": "fast"}, *({"gather": one} for one in gathers)):
        assert ask(app, "POST", "/v1/context", wrong).status == 422
    assert len(house.contexts) == 2


def test_a_fault_of_the_commands_floor_keeps_its_code(tmp_path: Path) -> None:
    class GoneError(Exception):
        code = "not_found"
        hint = "a hint"

    async def fails() -> None:
        raise GoneError("no such note")

    reply = ask(make(tmp_path, House(context=fails)), "POST", "/v1/context", {})
    assert (reply.status, reply.error["message"], reply.error["hint"]) == (404, "no such note", "a hint")


# --- with the real pipeline

VAULT = {
    "Daily/2025-09-14.md": "# Sunday\n- [ ] pay the [[Riser]]\n",
    "Projects/Riser.md": "---\ntype: project\nstatus: active\n---\n# Riser\r\nAbout pipes  &\tKörper.\r\n",
    "Maps/Home.md": "---\ntype: moc\n---\n# Home\n- [[Riser]]\n",
    "Diary.md": "---\nprivate: true\n---\n# Diary\nA secret about pipes.\n",
}
CLOSED = "http://127.0.0.1:9"


def real(folder: Path, test: Callable[[Any, Config], Coroutine[Any, Any, None]], url: str = CLOSED) -> None:
    """Run a test on the application with everything real, but no model unless `url` is one's."""

    async def whole() -> None:
        known = config(folder, ollama_url=url, cache="memory", now="2025-09-14", port=8765)
        write(folder / "vault", VAULT)
        house = await open_house(known)
        try:
            await test(create_app(house, known, entrance=door("127.0.0.1", 8765, TOKEN)), known)
        finally:
            await house.close()

    asyncio.run(whole())


def test_every_command_answers_without_a_model(tmp_path: Path) -> None:
    async def test(app: Any, known: Config) -> None:
        listed = (await aask(app, "GET", "/v1/commands")).json["commands"]
        assert [one["name"] for one in listed] == list(SHIPPED)
        for name in SHIPPED:
            reply = await aask(app, "POST", f"/{name}", {"text": "the riser?"})
            assert (reply.status, reply.json["degraded"]) == (200, ["model"]), name
            assert "[[Riser]]" in reply.json["answer"] or name == "validate"
            events = sse((await aask(app, "POST", f"/{name}", {"text": "the riser?"}, SSE)).body.decode())
            assert "checked" in ordered(events)
        told = (await aask(app, "GET", "/v1/status")).json
        notes = len(VAULT) + 1  # /update kept its words in the note of the day
        assert (told["ready"], told["vault"]["notes"], told["nodes"][0]["reachable"]) == (True, notes, False)

    real(tmp_path, test)


def test_a_context_holds_the_bytes_of_the_notes(tmp_path: Path) -> None:
    async def test(app: Any, known: Config) -> None:
        body = {"text": "pipes", "gather": ["search"], "scope": {"folder": "Projects"}}
        reply = await aask(app, "POST", "/v1/context", body)
        (passage,) = reply.json["passages"]
        assert passage["path"] == "Projects/Riser.md"
        assert passage["text"].encode() in (tmp_path / "vault" / "Projects" / "Riser.md").read_bytes()
        assert "About pipes  &\tKörper." in passage["text"]
        assert set(passage) >= {"path", "heading", "text", "tokens", "score", "why", "via"}
        whole = {"passages", "cut", "tokens", "budget_tokens", "receipt", "findings", "cached", "timings"}
        assert set(reply.json) == whole
        nothing = (await aask(app, "POST", "/v1/context", {"scope": {"folder": "Nowhere"}})).json
        assert (nothing["passages"], nothing["findings"][0]["code"]) == ([], "nothing_in_scope")
        assert (await aask(app, "POST", "/v1/context", body)).json["cached"] is True
        assert (await aask(app, "POST", "/v1/context", {**body, "fresh": True})).json["cached"] is False
        assert (await aask(app, "POST", "/v1/context", {"note": "Nowhere.md"})).error["code"] == "not_found"
        assert (await aask(app, "POST", "/v1/context", {"scope": {"project": "Nowhere"}})).error["code"] == "invalid"
        assert (await aask(app, "POST", "/v1/context", {"gather": ["nothing"]})).error["code"] == "invalid"

    real(tmp_path, test)


def test_a_receipt_replays_until_a_note_changes(tmp_path: Path) -> None:
    async def test(app: Any, known: Config) -> None:
        run = (await aask(app, "POST", "/ask", {"text": "pipes"})).json["run"]
        receipt = (await aask(app, "GET", f"/v1/runs/{run}/receipt")).json
        assert "Projects/Riser.md" in [one["path"] for one in receipt["passages"]]
        assert "About pipes" not in json.dumps(receipt)
        replayed = (await aask(app, "POST", f"/v1/runs/{run}/replay")).json
        assert (replayed["identical"], replayed["changed"]) == (True, [])
        write(tmp_path / "vault", {"Projects/Riser.md": "# Riser\nAbout other pipes.\n"})
        replayed = (await aask(app, "POST", f"/v1/runs/{run}/replay")).json
        assert (replayed["identical"], replayed["changed"]) == (False, ["Projects/Riser.md"])

    real(tmp_path, test)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(file.relative_to(folder)): (file.read_bytes() if file.is_file() else b"", file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if "index.text" not in str(file)  # full text puts its pieces together by itself, a moment after a change
    }


def test_no_get_changes_anything(tmp_path: Path) -> None:
    async def test(app: Any, known: Config) -> None:
        run = (await aask(app, "POST", "/ask", {"text": "pipes"})).json["run"]
        before = contents(tmp_path)
        runs = (await aask(app, "GET", "/v1/runs")).body
        routes = [route for one in (api.router, status.router) for route in one.routes if isinstance(route, APIRoute)]
        paths = [route.path for route in routes if "GET" in (route.methods or ())]
        assert len(paths) >= 10
        for path in paths:
            reply = await aask(app, "GET", path.replace("{run_id}", run))
            assert reply.status == 200, path
        for path in (f"/v1/runs/{run}/replay", "/orient", "/v1/context", "/v1/commands/orient"):
            assert (await aask(app, "GET", path)).status == 405
        assert (await aask(app, "GET", "/v1/runs")).body == runs
        assert contents(tmp_path) == before

    real(tmp_path, test)


@pytest.mark.parametrize("form", FORMS)
def test_a_client_that_goes_away_closes_the_connection_to_the_node(tmp_path: Path, form: str) -> None:
    with double_in_thread(decode=5.0) as node:

        async def test(app: Any, known: Config) -> None:
            gone = asyncio.Event()
            scope, receive = leaving(gone, FORMS[form].partition(": ")[2])
            call = asyncio.create_task(app(scope, receive, ignore))
            await asyncio.to_thread(until, lambda: node.chats() and node.chats()[0].chunks, 10)
            left = time.monotonic()
            gone.set()
            await asyncio.to_thread(until, lambda: node.chats()[0].closed, 10)
            assert node.chats()[0].closed - left < CANCEL_SECONDS
            await asyncio.wait_for(asyncio.gather(call, return_exceptions=True), 5)
            reply = await aask(app, "GET", "/v1/runs")
            assert reply.json["runs"][0]["code"] == "cancelled"

        real(tmp_path, test, node.url)


@pytest.mark.parametrize("where", ["in the line", "while it loads", "before the head", "in the stream"])
@pytest.mark.parametrize("how", ["sse", "json", "delete"])
def test_a_cancel_reaches_the_node_wherever_it_finds_the_run(tmp_path: Path, how: str, where: str) -> None:
    with double_in_thread(decode=5.0, load_seconds=60 if where == "while it loads" else 0) as node:
        if where == "before the head":
            node.fault("slow_first", seconds=60)

        async def test(app: Any, known: Config) -> None:
            first = ""
            if where == "in the line":
                first = (await aask(app, "POST", "/ask", {"text": "the riser?", "detach": True})).json["run"]
                await asyncio.to_thread(until, lambda: node.chats() and node.chats()[0].chunks, 10)
            gone = asyncio.Event()
            scope, receive = leaving(gone, FORMS["json" if how == "delete" else how].partition(": ")[2])
            call = asyncio.create_task(app(scope, receive, ignore))
            [run] = [one for one in await running(app, where) if one.id != first]
            left = time.monotonic()
            if how == "delete":
                assert (await aask(app, "DELETE", f"/v1/runs/{run.id}")).json["code"] == "cancelled"
            else:
                gone.set()
            await run.ended()
            assert time.monotonic() - left < CANCEL_SECONDS
            await asyncio.wait_for(asyncio.gather(call, return_exceptions=True), 5)
            assert [one.name for one in run.events if one.name in FINAL] == ["failed"]
            assert run.outcome()["code"] == "cancelled"
            if where == "in the line":
                await asyncio.sleep(0.1)
                assert [(seen.closed, seen.ended) for seen in node.chats()] == [(0.0, 0.0)], "the other one goes on"
                await aask(app, "DELETE", f"/v1/runs/{first}")
            await asyncio.to_thread(until, lambda: node.chats()[0].closed, 10)
            assert len(node.chats()) == 1
            if where != "in the line":
                assert node.chats()[0].closed - left < CANCEL_SECONDS

        async def running(app: Any, where: str) -> list[Any]:
            """The runs, once the last is where it is to be found."""
            mark = {"in the line": "queued", "while it loads": "loading", "in the stream": "writing"}.get(where)

            def is_there() -> bool:
                runs = app.state.service.runs.all()
                said = [json.loads(one.data)["name"] for one in runs[0].events if one.name == "phase"] if runs else []
                return bool(node.chats()) and (mark is None or mark in said)

            await eventually(is_there)
            return list(app.state.service.runs.all())

        real(tmp_path, test, node.url)


async def ignore(_: Any) -> None:
    """What is sent to a client that is gone."""


def leaving(gone: asyncio.Event, accept: str) -> tuple[dict[str, Any], Callable[[], Coroutine[Any, Any, Any]]]:
    """A request whose client goes away when the event is set."""
    body = json.dumps({"text": "the riser?"}).encode()
    headers = {"host": HOST, "accept": accept, "content-type": "application/json", "content-length": str(len(body))}
    headers["authorization"] = AUTH["Authorization"]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/ask",
        "raw_path": b"/ask",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "state": {},
    }
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if waiting:
            return waiting.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    return scope, receive


WORDS = st.sampled_from(
    ["riser", "Riser.md", "Projects", "../..", "/etc", "", " ", "#tag", "[[Riser]]", "Körper", "日本"]
)
TEXTS = WORDS | st.text(max_size=30)
SCALARS = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | TEXTS
TESTS = st.one_of(
    SCALARS,
    st.dictionaries(st.sampled_from(["eq", "ne", "lt", "lte", "gt", "gte", "contains"]), SCALARS, max_size=2),
    st.fixed_dictionaries({"in": st.lists(SCALARS, max_size=3)}),
    st.fixed_dictionaries({"exists": st.booleans()}),
)
SCOPES = st.fixed_dictionaries(
    {},
    optional={
        "project": TEXTS,
        "folder": TEXTS,
        "tags": st.lists(TEXTS, max_size=3),
        "since": st.dates().map(str),
        "where": st.dictionaries(st.sampled_from(["status", "type", "due", "title", "x"]) | TEXTS, TESTS, max_size=3),
    },
)
REQUESTS = st.fixed_dictionaries(
    {"text": TEXTS},
    optional={
        "scope": SCOPES,
        "note": TEXTS,
        "selection": TEXTS,
        "budget_tokens": st.integers(200, 200_000),
        "now": st.datetimes().map(lambda moment: moment.isoformat()) | st.dates().map(str),
        "timezone": st.sampled_from(["UTC", "Asia/Kathmandu", "America/New_York"]),
        "fresh": st.booleans(),
        "dry_run": st.booleans(),
    },
)


def test_no_request_breaks_the_commands(tmp_path: Path) -> None:
    """Whatever a well-formed request asks for, the answer is an answer or a refusal that names what is wrong."""

    async def test(app: Any, known: Config) -> None:
        loop = asyncio.get_running_loop()

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(body=REQUESTS, path=st.sampled_from(["/v1/context", "/orient", "/ask", "/validate"]))
        def fuzz(body: dict[str, Any], path: str) -> None:
            sent = {k: v for k, v in body.items() if path != "/v1/context" or k not in {"selection", "dry_run"}}
            reply = asyncio.run_coroutine_threadsafe(aask(app, "POST", path, sent), loop).result(60)
            assert reply.status in {200, 404, 413, 422}, reply.body

        await asyncio.to_thread(fuzz)

    real(tmp_path, test)
