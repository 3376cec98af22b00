"""The command endpoints, as one JSON answer or as a stream, and the runs behind them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from commands.events import Event
from commands.journal import Journal
from context.vault import Vault
from inference.ledger import Ledger
from inference.mode import Modes
from prompts import SHIPPED
from server.body import CommandBody, ContextBody, fields, read
from server.config import Config
from server.errors import Refusal, failure
from server.runs import Recorded, Run, Runs, ending
from server.wire import dump

# Silence after which a stream says that it is alive, in seconds.
PING_SECONDS = 10.0
# A poll waits this long after the first news, so that one answer carries several tokens.
SETTLE_SECONDS = 0.2
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
T = TypeVar("T")


class Fleet(Protocol):
    """The nodes, as far as the edge asks them."""

    @property
    def plan(self) -> Any:
        """What fits into their memory."""
        ...

    def lines(self) -> Mapping[str, Any]:
        """The line before each node."""
        ...

    @property
    def ledger(self) -> Ledger | None:
        """The decisions made; None where none can be kept."""
        ...

    @property
    def modes(self) -> Modes:
        """Which of them are there for models now."""
        ...

    async def states(self) -> tuple[Any, ...]:
        """How each node is."""
        ...

    def breakers(self) -> Mapping[str, Any]:
        """Which nodes are left alone after failures."""
        ...

    def addresses(self) -> Mapping[str, str]:
        """Where each node is."""
        ...


class House(Protocol):
    """What commands work with, as far as the edge asks it."""

    @property
    def fleet(self) -> Fleet:
        """The nodes."""
        ...

    @property
    def vault(self) -> Vault:
        """The notes."""
        ...

    @property
    def journal(self) -> Journal | None:
        """The edits; None where none can be kept."""
        ...

    def commands(self) -> list[dict[str, Any]]:
        """The commands a client may offer."""
        ...

    def status(self) -> dict[str, Any]:
        """The vault, its index, the cache."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The functions of the commands floor that the edge calls; tests give their own.

    Attributes:
        run: (house, command, request, *, run_id, earlier) → events.
        build_context: (house, request) → the answer of POST /v1/context.
        receipt: (house, id) → a receipt or None; may read a file.
        replay: (house, receipt) → what a replay found.
        request: makes a request from its fields.
        earlier: makes what a run follows, from question, answer and the node that gave it.
    """

    run: Callable[..., AsyncIterator[Event]]
    build_context: Callable[[Any, Any], Awaitable[dict[str, Any]]]
    receipt: Callable[[Any, str], dict[str, Any] | None]
    replay: Callable[[Any, Mapping[str, Any]], Awaitable[dict[str, Any]]]
    request: Callable[..., Any]
    earlier: Callable[..., Any]


def real_pipeline() -> Pipeline:
    """The pipeline of the commands floor, imported when a service is made."""
    # Brings in the node clients, which no test of the edge needs.
    from commands import contexts, request, run  # noqa: PLC0415

    return Pipeline(
        run.run, contexts.build_context, contexts.receipt, contexts.replay, request.Request, request.Earlier
    )


@dataclass(slots=True)
class Service:
    """What the handlers work with. The house is None until it is open."""

    house: House | None
    config: Config
    pipeline: Pipeline
    runs: Runs

    def open_house(self) -> House:
        """The house.

        Raises:
            Refusal: busy, while the vault is read for the first time.
        """
        if self.house is None:
            raise Refusal("busy", "the vault is still being read", "GET /readyz tells when it is.", retry_after=1)
        return self.house


router = APIRouter()


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    found: Service = request.app.state.service
    return found


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(dump(value), status, headers, "application/json")


async def attended(request: Request, work: Awaitable[T], closing: asyncio.Event | None = None) -> T:
    """The result of work whose client waits for it: it is cancelled when the client goes away, or the service ends.

    Args:
        request: whose client it is.
        work: what is waited for.
        closing: set when the service ends; None when the work then ends by itself.

    Raises:
        Refusal: cancelled or shutting_down, beside what the work raises.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda over: over.cancelled() or over.exception())  # nobody may be left to ask for it
    gone = asyncio.create_task(_gone(request))
    end = asyncio.create_task((closing or asyncio.Event()).wait())
    try:
        await asyncio.wait({task, gone, end}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refusal("cancelled", "the client went away") if gone.done() else ending()
    finally:
        for one in (task, gone, end):
            one.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.get("/v1/commands")
async def commands(request: Request) -> Response:
    """The commands a client may offer."""
    return answer({"commands": service_of(request).open_house().commands()})


@router.post("/v1/commands/{name}")
async def command(name: str, request: Request) -> Response:
    """Run a command: one answer, a stream, or (detached) the address of its events."""
    service = service_of(request)
    house = service.open_house()
    if name not in {one["name"] for one in house.commands()}:
        raise Refusal("not_found", "there is no such command", "GET /v1/commands lists the commands.")
    body = read(CommandBody, await request.body())
    run = _start(service, house, name, body, force=_force(request))
    if body.detach:
        where = f"/v1/runs/{run.id}/events"
        return answer({"run": run.id, "events": where}, 202, {"Location": where})
    form = _form(request, SSE if body.stream else "")
    if form:
        return _Stream(run, form, runs=service.runs)
    with service.runs.attend(run):
        final = await attended(request, run.ended())
    return Response(final.data, media_type="application/json") if final.name == "done" else _failed(run)


def _force(request: Request) -> bool:
    """Whether the header asks for the big model.

    Raises:
        Refusal: it says something else than true or false.
    """
    said = request.headers.get("x-force-big", "false").strip().lower()
    if said not in ("true", "false"):
        raise Refusal("invalid", "X-Force-Big takes true or false", "Send X-Force-Big: true, or leave it out.")
    return said == "true"


def _start(service: Service, house: House, name: str, body: CommandBody, *, force: bool) -> Run:
    if body.follows:
        _answered(service.runs.get(body.follows))
    pipeline = service.pipeline
    asked = fields(body) | ({"force": True} if force else {})
    wanted = pipeline.request(**asked)

    def earlier(run_id: str) -> Any:
        run = service.runs.get(run_id)
        decision = run.outcome().get("decision") or {}
        return pipeline.earlier(question=run.question, answer=_answered(run), node=decision.get("node", ""))

    def work(run_id: str) -> AsyncIterator[Event]:
        return pipeline.run(house, name, wanted, run_id=run_id, earlier=earlier)

    digest = hashlib.sha256(dump([name, asked])).hexdigest()
    key = body.idempotency_key or ""
    return service.runs.start(name, work, question=body.text, detached=body.detach, key=key, digest=digest)


def _answered(run: Run) -> str:
    """The answer of a run that another one follows."""
    if run.state != "done":
        raise Refusal("conflict", "the run to follow has no answer", "Follow a run that is done.")
    return str(run.outcome().get("answer", ""))


def _failed(run: Run) -> Response:
    return failure(run.outcome() | {"run": run.id}).response()


def _alias(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def run_it(request: Request) -> Response:
        return await command(name, request)

    return run_it


for _name in SHIPPED:
    router.add_api_route(f"/{_name}", _alias(_name), methods=["POST"])


@router.post("/v1/context")
async def context(request: Request) -> Response:
    """Passages for a question, without a model."""
    service = service_of(request)
    house = service.open_house()
    wanted = service.pipeline.request(**fields(read(ContextBody, await request.body())))
    return answer(await attended(request, service.pipeline.build_context(house, wanted), service.runs.closing))


@router.get("/v1/runs")
async def list_runs(request: Request) -> Response:
    """The runs that are kept, newest first."""
    return answer({"runs": [run.summary() for run in service_of(request).runs.all()]})


@router.get("/v1/runs/{run_id}")
async def show_run(run_id: str, request: Request) -> Response:
    """One run; when it is over, with its done object or its error."""
    run = service_of(request).runs.get(run_id)
    result = run.outcome() if run.state == "done" else None
    error = {"hint": "", **run.outcome()} if run.state == "failed" else None
    return answer({**run.summary(), "result": result, "error": error})


@router.get("/v1/runs/{run_id}/events")
async def events(
    run_id: str,
    request: Request,
    after: Annotated[int, Query(ge=0)] = 0,
    wait: Annotated[float, Query(ge=0, le=30, allow_inf_nan=False)] = 0,
) -> Response:
    """What a run reported after event `after`: as a stream, or what is there within `wait` seconds."""
    service = service_of(request)
    run = service.runs.get(run_id)
    form = _form(request, "")
    if form:
        last = request.headers.get("last-event-id", "")
        return _Stream(run, form, after=int(last) if last.isdecimal() and len(last) < 10 else after)
    if wait and not run.final and not run.events[after:] and await run.heard(wait):
        await _settled(run, min(wait, SETTLE_SECONDS))
    lines = b",".join(_line(one) for one in run.events[after:])
    return Response(
        b'{"events":[%s],"done":%s}' % (lines, b"true" if run.final else b"false"), media_type="application/json"
    )


async def _settled(run: Run, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await run.ended()
    except TimeoutError:
        pass


@router.delete("/v1/runs/{run_id}")
async def cancel(run_id: str, request: Request) -> Response:
    """End a run, if it still runs; answers with how it ended."""
    runs = service_of(request).runs
    run = runs.get(run_id)
    await runs.cancel(run)
    return answer(run.summary())


@router.get("/v1/runs/{run_id}/receipt")
async def receipt(run_id: str, request: Request) -> Response:
    """Every passage a run used, why, and what was cut."""
    return answer(await _receipt(request, run_id))


@router.post("/v1/runs/{run_id}/replay")
async def replay(run_id: str, request: Request) -> Response:
    """Read the passages of a run again: identical, or the notes that changed."""
    service = service_of(request)
    kept = await _receipt(request, run_id)
    return answer(await attended(request, service.pipeline.replay(service.open_house(), kept), service.runs.closing))


async def _receipt(request: Request, run_id: str) -> dict[str, Any]:
    service = service_of(request)
    run = service.runs.get(run_id)
    kept = await asyncio.to_thread(service.pipeline.receipt, service.open_house(), run.receipt) if run.receipt else None
    if kept is None:
        raise Refusal(
            "not_found", "this run has no receipt", "A receipt is made once the passages are chosen.", run=run.id
        )
    return kept


def _form(request: Request, otherwise: str) -> str:
    """The stream format a client accepts first, or `otherwise`."""
    for part in request.headers.get("accept", "").lower().split(","):
        kind = part.partition(";")[0].strip()
        if kind in (SSE, NDJSON):
            return kind
        if kind == "application/json":
            break
    return otherwise


def _line(one: Recorded) -> bytes:
    return b'{"event":"%s","id":%d,"data":%s}' % (one.name.encode(), one.id, one.data)


class _Stream(StreamingResponse):
    """A run's events as they come.

    Plain bytes: measured, FastAPI's own event stream takes about nine times the processor time for each event.
    """

    def __init__(self, run: Run, form: str, *, after: int = 0, runs: Runs | None = None) -> None:
        self._run = run
        self._runs = runs
        super().__init__(_written(run, form, after), media_type=form, headers={"X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._runs is None:
            await super().__call__(scope, receive, send)
            return
        with self._runs.attend(self._run):
            await super().__call__(scope, receive, send)


async def _written(run: Run, form: str, after: int) -> AsyncIterator[bytes]:
    async for batch in run.follow(after, PING_SECONDS):
        if form == NDJSON:
            yield b"".join(_line(one) + b"\n" for one in batch)
        else:
            yield b"".join(map(_sse, batch)) or b": ping\n\n"


def _sse(one: Recorded) -> bytes:
    return b"event: %s\nid: %d\ndata: %s\n\n" % (one.name.encode(), one.id, one.data)
