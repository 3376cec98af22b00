"""The runs of this process: each a recorded stream of events that several readers may follow, and that ends once."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from commands.events import FINAL, Event
from server.errors import Refusal, refusal
from server.wire import dump

# A finished run is kept for followers, replays and `follows`, within these bounds; the oldest go first.
KEEP_RUNS = 200
KEEP_SECONDS = 24 * 3600
KEEP_BYTES = 32 << 20
# More at once than the queues of any profile hold; beyond it the answer is "busy" at once.
LIVE_RUNS = 128
# What a cancelled command gets to end by itself (close its upstream, say what it wrote); then it is said for it.
GRACE_SECONDS = 0.5
# Memory of one event beside its data, roughly.
_EVENT_BYTES = 160

Work = Callable[[str], AsyncIterator[Event]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event of a run: its number from 1, its name, and its data as JSON on one line."""

    id: int
    name: str
    data: bytes


@dataclass(slots=True, eq=False)
class Run:
    """One command from request to answer.

    Attributes:
        id: 16 hex characters, not guessable.
        command: name of the command.
        question: the person's own text, for runs that follow this one.
        detached: goes on when the clients that wait for it go away.
        key: the idempotency key it was started under, or "".
        digest: of the request, to tell another request under the same key.
        created: when it was asked for.
        events: all so far, in order.
        receipt: id of the receipt that its events named, or "".
        waiting: clients that wait for its answer now.
    """

    id: str
    command: str
    question: str
    detached: bool
    key: str
    digest: str
    created: datetime
    begun: float
    events: list[Recorded] = field(default_factory=list)
    receipt: str = ""
    waiting: int = 0
    size: int = 0
    task: "asyncio.Task[None] | None" = None
    stopped: Refusal | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def final(self) -> Recorded | None:
        """The event that ended it, or None while it runs."""
        return self.events[-1] if self.events and self.events[-1].name in FINAL else None

    @property
    def state(self) -> str:
        """running, done, or failed."""
        return self.final.name if self.final else "running"

    def outcome(self) -> dict[str, Any]:
        """Data of the final event; empty while it runs."""
        found: dict[str, Any] = json.loads(self.final.data) if self.final else {}
        return found

    def summary(self) -> dict[str, Any]:
        """What `GET /v1/runs` tells: never the person's text or the answer."""
        code = self.outcome().get("code") if self.state == "failed" else None
        return {
            "run": self.id,
            "command": self.command,
            "state": self.state,
            "code": code,
            "created": self.created.isoformat(timespec="milliseconds"),
            "events": len(self.events),
            "detached": self.detached,
        }

    async def ended(self) -> Recorded:
        """Wait for the event that ends it."""
        while not (final := self.final):
            await self.news.wait()
        return final

    async def follow(self, after: int, pause: float) -> AsyncIterator[list[Recorded]]:
        """What is recorded after event `after`, as it comes, until the end.

        An empty list stands for each `pause` seconds of silence. A reader only looks at the record: however slow it is,
        the run does not wait for it.
        """
        while True:
            fresh = self.events[after:]
            after += len(fresh)
            if fresh:
                yield fresh
            elif self.final:
                return
            elif not await self.heard(pause):
                yield []

    async def heard(self, seconds: float) -> bool:
        """Wait for the next event, at most so many seconds; whether one came."""
        news = self.news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return False
        return True


def _record(run: Run, name: str, data: Any) -> None:
    """Add an event, unless the run has ended, and wake who waits for it."""
    if run.final:
        return
    line = dump(data)
    if isinstance(data.get("receipt"), str):
        run.receipt = data["receipt"]
    run.events.append(Recorded(len(run.events) + 1, name, line))
    run.size += len(line) + _EVENT_BYTES
    run.news.set()
    run.news = asyncio.Event()


async def _drive(run: Run, work: Work) -> None:
    """Record what a command reports. It may go on after its final event: nobody hears of it."""
    try:
        async for event in work(run.id):
            _record(run, event.name, event.data)
    except Exception as error:  # noqa: BLE001 - whatever a command raises ends its run, not the service
        _end(run, run.stopped or refusal(error))


def _end(run: Run, why: Refusal) -> None:
    """Record the end of a run that has none yet."""
    _record(run, "failed", why.event(run.id))


def _settle(run: Run, task: "asyncio.Task[None]") -> None:
    """When the task of a run is over, however it came to that, the run has its end."""
    if run.final:
        return
    if task.cancelled():
        _end(run, run.stopped or ending())
    else:
        _end(run, refusal(RuntimeError("a command gave no final event")))


def _cancel(run: Run, why: Refusal) -> None:
    if run.final or run.task is None:
        return
    run.stopped = why
    run.task.cancel()
    asyncio.get_running_loop().call_later(GRACE_SECONDS, _end, run, why)


def ending() -> Refusal:
    """The answer of a service that is about to end."""
    return Refusal(
        "shutting_down", "the service is shutting down", "Start it again, then repeat the request.", retry_after=2
    )


class Runs:
    """All runs that are alive, and the last ones that ended.

    Args:
        keep: finished runs kept at most.
        seconds: age at which a finished run is forgotten.
        size: bytes of events of finished runs kept at most.
        live: runs at the same time at most.
        clock: seconds, monotonic; for tests.
    """

    def __init__(
        self,
        *,
        keep: int = KEEP_RUNS,
        seconds: float = KEEP_SECONDS,
        size: int = KEEP_BYTES,
        live: int = LIVE_RUNS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.closing = asyncio.Event()
        self._keep = keep
        self._seconds = seconds
        self._size = size
        self._live = live
        self._clock = clock
        self._runs: dict[str, Run] = {}
        self._keys: dict[str, str] = {}

    def start(
        self, command: str, work: Work, *, question: str = "", detached: bool = False, key: str = "", digest: str = ""
    ) -> Run:
        """Start a command; under an idempotency key seen before, the run it started then, unless that one failed.

        Args:
            command: its name.
            work: gives the events of the run with this id.
            question: the person's text.
            detached: whether it goes on without a client.
            key: idempotency key, or "".
            digest: of the request; another one under the same key is refused.

        Raises:
            Refusal: conflict, shutting_down, or busy.
        """
        self._forget()
        known = self._runs[self._keys[key]] if key in self._keys else None
        if known and known.state != "failed":  # a client that was cut off tries again under its key
            if known.digest != digest:
                raise Refusal(
                    "conflict", "this idempotency key belongs to another request", "Use a new key for a new request."
                )
            known.detached |= detached
            return known
        if self.closing.is_set():
            raise ending()
        if sum(1 for run in self._runs.values() if not run.final) >= self._live:
            raise Refusal("busy", f"{self._live} commands are running already", "Wait for one to end.", retry_after=5)
        run = Run(secrets.token_hex(8), command, question, detached, key, digest, datetime.now(UTC), self._clock())
        self._runs[run.id] = run
        if key:
            self._keys[key] = run.id
        run.task = asyncio.create_task(_drive(run, work))
        run.task.add_done_callback(partial(_settle, run))
        return run

    def get(self, run_id: str) -> Run:
        """The run of this id.

        Raises:
            Refusal: not_found, also when it was forgotten.
        """
        self._forget()
        run = self._runs.get(run_id)
        if run is None:
            raise Refusal(
                "not_found", "there is no such run", "Runs are kept until the service ends, the last 200 for a day."
            )
        return run

    def all(self) -> list[Run]:
        """The runs, newest first."""
        self._forget()
        return list(reversed(self._runs.values()))

    @contextlib.contextmanager
    def attend(self, run: Run) -> Iterator[None]:
        """Wait for a run's answer. When the last client that does goes away, the run is cancelled, unless detached."""
        run.waiting += 1
        try:
            yield
        finally:
            run.waiting -= 1
            if not run.waiting and not run.detached:
                _cancel(run, Refusal("cancelled", "the client went away"))

    async def cancel(self, run: Run) -> None:
        """End a run, if it runs, as cancelled; returns when its final event is recorded."""
        _cancel(run, Refusal("cancelled", "the command was cancelled"))
        await run.ended()

    async def close(self) -> None:
        """End every run as shutting_down and start no more; returns when all have their final event."""
        self.closing.set()
        runs = list(self._runs.values())
        for run in runs:
            _cancel(run, ending())
        for run in runs:
            await run.ended()

    def _forget(self) -> None:
        """Drop finished runs that are too old, too many, or too large, oldest first."""
        finished = [run for run in self._runs.values() if run.final]
        size = sum(run.size for run in finished)
        oldest = self._clock() - self._seconds
        for left, run in zip(range(len(finished), 0, -1), finished, strict=True):
            if left <= self._keep and size <= self._size and run.begun >= oldest:
                break
            size -= run.size
            del self._runs[run.id]
            if self._keys.get(run.key) == run.id:
                del self._keys[run.key]
