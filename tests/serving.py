"""The whole program in a process of its own: serves as `kos serve` does, over the scripted house or the real one."""

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from commands.events import Event
from server.app import serve
from server.config import Config
from tests.edge import AUTH, PIPELINE, Call, House, answers, config, token, works

ROOT = Path(__file__).parent.parent


@dataclass
class Program:
    """A process that serves. `url` is "" until it is ready."""

    process: "subprocess.Popen[str]"
    uds: str = ""
    url: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, **more: Any) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=self.uds or None)
        return httpx.Client(transport=transport, base_url=self.url, headers=AUTH, timeout=20, **more)

    def ready(self, seconds: float = 30) -> "Program":
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], seconds)[0], "it does not become ready"
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.communicate()[1]
        return self

    def signal(self, number: int = signal.SIGTERM) -> float:
        """Send a signal; the time it was sent."""
        self.process.send_signal(number)
        return time.monotonic()

    def end(self, seconds: float = 30) -> tuple[int, str]:
        """Wait for the end: exit code, and what was told on stderr."""
        told = self.process.communicate(timeout=seconds)[1]
        return self.process.returncode, told

    def peak(self) -> int:
        """The most memory it ever held, in bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) << 10


@contextlib.contextmanager
def program(folder: Path, house: str = "scripted", *, wait: bool = True, **changes: Any) -> Iterator[Program]:
    """Start the program; it is gone at the end.

    Args:
        folder: of its vault and state.
        house: "scripted" works for a minute on the text "work" and in /v1/context, and says 40 MB on the text "flood";
            "slow" takes half a minute in a thread to open; "refused" cannot be opened; "real" is the real one.
        wait: until it is ready.
        changes: to the configuration.
    """
    order = json.dumps({"folder": str(folder), "house": house, "changes": changes})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.serving", order],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    found = Program(process, uds=changes.get("uds", ""))
    try:
        yield found.ready() if wait else found
    finally:
        process.kill()
        process.communicate()


async def floods(call: Call) -> AsyncIterator[Event]:
    for _ in range(4000):
        yield token("x" * 10_000)
        await asyncio.sleep(0)
    async for event in works(call):
        yield event


async def by_text(call: Call) -> AsyncIterator[Event]:
    async for event in {"work": works, "flood": floods}.get(call.request.text, answers)(call):
        yield event


@dataclass
class Marked(House):
    """A house that leaves a file named `closed` in the state folder when it is closed."""

    mark: Path = Path("closed")

    async def close(self) -> None:
        self.mark.touch()


async def scripted(known: Config) -> House:
    return Marked(by_text, context=lambda: asyncio.sleep(60), mark=known.state_dir / "closed")


async def slow(known: Config) -> House:
    await asyncio.to_thread(time.sleep, 30)
    return await scripted(known)


async def refused(_: Config) -> House:
    raise ValueError("the vault cannot be read")


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    known = config(Path(order["folder"]), **order["changes"])
    opener = {"scripted": scripted, "slow": slow, "refused": refused, "real": None}[order["house"]]
    sys.exit(asyncio.run(serve(known, ready=print, open_house=opener, pipeline=PIPELINE if opener else None)))
