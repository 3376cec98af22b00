"""A house and a pipeline that follow a script, a service over them, and bare sockets to knock with."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI

from commands.events import Event
from inference.breaker import Standing
from inference.mode import Modes
from inference.plan import Plan
from inference.profile import NodeConfig
from prompts import SHIPPED
from server.api import Pipeline, Service
from server.app import create_app, http_server
from server.config import Config
from server.security import Door, door

TOKEN = "k" * 43
AUTH = {"Authorization": f"Bearer {TOKEN}"}
Script = Callable[["Call"], AsyncIterator[Event]]


@dataclass(frozen=True, slots=True)
class Loaded:
    model: str
    size: int


@dataclass(frozen=True, slots=True)
class State:
    name: str
    reachable: bool
    loaded: tuple[Loaded, ...] = ()
    error: str = ""


@dataclass(slots=True)
class Call:
    """One call of the pipeline, as the house remembers it."""

    command: str
    request: SimpleNamespace
    run: str
    earlier: Callable[[str], Any]
    closed: float = 0.0  # time.monotonic() at which the command noticed that it was cancelled


def modes_of(nodes: dict[str, NodeConfig]) -> Modes:
    """The modes of nodes without a source, and nothing to make room for."""

    async def nothing(_: object) -> str:
        return ""

    async def free(_: str) -> None: ...

    return Modes(nodes, nothing, free, clock=lambda: 0.0)


@dataclass
class House:
    """What the edge asks of a house, and the calls that reached it."""

    script: Script | None = None
    calls: list[Call] = field(default_factory=list)
    contexts: list[SimpleNamespace] = field(default_factory=list)
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    context: Callable[[], Any] | None = None
    closed: bool = False
    vault: Any = None
    journal: Any = None
    ledger: Any = None
    modes: Modes = field(default_factory=lambda: modes_of({}))

    @property
    def fleet(self) -> "House":
        return self

    @property
    def plan(self) -> Plan:
        return Plan()

    def lines(self) -> dict[str, Any]:
        return {"desk": {"running": 0, "waiting": 0, "models": []}}

    async def states(self) -> tuple[State, ...]:
        return (State("desk", True, (Loaded("small", 3),)),)

    def breakers(self) -> dict[str, Standing]:
        return {"desk": Standing("open", 3, "it broke off", 1.5)}

    def addresses(self) -> dict[str, str]:
        return {"desk": "http://127.0.0.1:11434"}

    def commands(self) -> list[dict[str, Any]]:
        return [{"name": name, "description": f"The command {name}."} for name in (*SHIPPED, "own")]

    def status(self) -> dict[str, Any]:
        return {"vault": {"name": "vault", "notes": 3}, "cache": {"name": "memory"}}

    async def close(self) -> None:
        self.closed = True


def done(call: Call, **more: Any) -> Event:
    """A whole `done` event."""
    data: dict[str, Any] = {
        "run": call.run,
        "command": call.command,
        "answer": "One two.",
        "sources": [],
        "edits": [],
        "findings": [],
        "decision": None,
        "usage": {"prompt_tokens": 1, "prompt_eval_count": 1, "num_ctx": 4096, "completion_tokens": 2},
        "timings": {"total_ms": 1.5},
        "degraded": [],
        "cached": False,
    }
    return Event("done", data | more)


def started(call: Call) -> Event:
    return Event("started", {"run": call.run, "command": call.command})


def token(text: str) -> Event:
    return Event("token", {"stage": "answer", "text": text})


async def answers(call: Call) -> AsyncIterator[Event]:
    """The usual script: two tokens and the end."""
    yield started(call)
    yield Event("gathered", {"stage": "answer", "tokens": 0, "budget": 200, "passages": [], "receipt": "receipt-1"})
    yield token("One ")
    await asyncio.sleep(0)
    yield token("two.")
    yield done(call)


async def works(call: Call) -> AsyncIterator[Event]:
    """A generation of a minute; says when it was cancelled."""
    yield started(call)
    yield token("One ")
    try:
        await asyncio.sleep(60)
    finally:
        call.closed = time.monotonic()
    yield done(call)


def refuses(code: str, message: str = "told", **more: Any) -> Script:
    """A script that ends as failed."""

    async def script(call: Call) -> AsyncIterator[Event]:
        yield started(call)
        yield Event("failed", {"run": call.run, "code": code, "message": message, "hint": "a hint", **more})

    return script


async def run(house: House, command: str, request: Any, *, run_id: str, earlier: Any) -> AsyncIterator[Event]:
    call = Call(command, request, run_id, earlier)
    house.calls.append(call)
    async for event in (house.script or answers)(call):
        yield event


async def build_context(house: House, request: Any) -> dict[str, Any]:
    house.contexts.append(request)
    if house.context is not None:
        await house.context()
    return {"passages": [], "cut": [], "tokens": 0, "budget_tokens": 200, "receipt": "receipt-1", "cached": False}


async def replay(house: House, receipt: Mapping[str, Any]) -> dict[str, Any]:
    return {"identical": True, "digest": receipt["digest"], "changed": []}


PIPELINE = Pipeline(
    run=run,
    build_context=build_context,
    receipt=lambda house, name: house.kept.get(name),
    replay=replay,
    request=SimpleNamespace,
    earlier=SimpleNamespace,
)


def config(folder: Path, **changes: Any) -> Config:
    """A whole configuration whose files lie in `folder`."""
    whole: dict[str, Any] = {
        "vault": folder / "vault",
        "state_dir": folder / "state",
        "profile": "rtx3080",
        "ollama_url": "",
        "cache": "redis://:secret@127.0.0.1:6379/0",
        "cache_ttl_seconds": 86400,
        "host": "127.0.0.1",
        "port": 0,
        "uds": "",
        "token": TOKEN,
        "timezone": "UTC",
        "now": "",
        "language": "",
        "deadline_seconds": 0,
        "private_tags": ("private",),
        "private_folders": (),
        "trusted_nodes": (),
        "capture_heading": "Log",
        "force_pattern": "#force_big",
        "origins": (),
        "sources": {},
    }
    (folder / "vault").mkdir(exist_ok=True)
    return Config(**(whole | changes))


def service_of(app: FastAPI) -> Service:
    found: Service = app.state.service
    return found


# --- inside this process, without a server


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["error"]
        assert set(found) == {"code", "message", "hint", "run"}
        return found


HOST = "127.0.0.1:8765"


def make(folder: Path, house: House | None, entrance: Door | None = None, **changes: Any) -> FastAPI:
    known = config(folder, **changes)
    return create_app(house, known, pipeline=PIPELINE, entrance=entrance or door("127.0.0.1", 8765, TOKEN))


def ask(app: FastAPI, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """One request to the application, with token and JSON type unless `headers` says otherwise ("" leaves one out)."""
    return asyncio.run(aask(app, method, path, body, headers))


async def aask(
    app: FastAPI, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Reply:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    given = {"Host": HOST, **AUTH, **({"Content-Type": "application/json"} if raw else {}), **(headers or {})}
    given.setdefault("Content-Length", str(len(raw)))
    plain, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items() if value],
        "server": ("127.0.0.1", 8765),
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    sent: list[Any] = []
    came = [{"type": "http.request", "body": raw, "more_body": False}]

    async def receive() -> Any:
        if not came:
            await asyncio.Event().wait()
        return came.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    head = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))


# --- a real server in a thread


@dataclass
class Live:
    """A service that listens on a free port of this process."""

    app: FastAPI
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def service(self) -> Service:
        return service_of(self.app)

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=AUTH, timeout=10, trust_env=False, **more)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def close_runs(self) -> None:
        """What the service does first when it is told to stop."""
        asyncio.run_coroutine_threadsafe(self.service.runs.close(), self.loop).result(5)


@contextlib.contextmanager
def live(folder: Path, house: House) -> Iterator[Live]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = make(folder, house, door("127.0.0.1", port, TOKEN))
    server = http_server(app)
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve(sockets=[listener])
        await service_of(app).runs.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    until(lambda: server.started)
    try:
        yield Live(app, port, loops[0])
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def until(true: Callable[[], Any], seconds: float = 5) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.005)


def exchange(port: int, request: bytes, seconds: float = 5) -> bytes:
    """Send bytes, read until the other side closes or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as link:
        with contextlib.suppress(ConnectionError):
            link.sendall(request)
        return rest(link)


def rest(link: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while data := link.recv(65536):
            found += data
    return found


def sse(text: str) -> list[tuple[int, str, Any]]:
    """The events of a stream as (id, event, data)."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if lines:
            assert list(lines) == ["event", "id", "data"]
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found
