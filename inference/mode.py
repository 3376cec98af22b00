"""The mode of a node: whether its machine is there for models now, or for something else, a game for instance."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inference.node import InferenceError
from inference.profile import NodeConfig

NORMAL, GAMING = "NORMAL", "GAMING"
MODES = (NORMAL, GAMING)
FILE = "modes.json"
# Seconds between two questions to a mode source: with its answer, a change is known within two.
POLL_SECONDS = 1.5
# Seconds that a decision waits at most for a source that has not told anything yet.
_LOOK_SECONDS = 0.5


class ModeToldElsewhere(InferenceError):  # noqa: N818 - named for the fact
    """The mode of a node is what its source tells, so nobody sets it here."""

    code = "conflict"


class NoModes(InferenceError):  # noqa: N818 - named for the fact
    """There is no such node, or it has no modes."""

    code = "not_found"


@dataclass(frozen=True, slots=True)
class Mode:
    """The mode of a node.

    Attributes:
        mode: NORMAL or GAMING, or another word of its source; "" if that has told none yet.
        age: seconds since that was told; 0 for what is set here.
        told_by: `source` or `person`.
        error: why the source tells nothing now, "" if it does.
    """

    mode: str
    age: float
    told_by: str
    error: str = ""


@dataclass(slots=True)
class _Told:
    mode: str = ""
    at: float = 0.0
    error: str = ""


class Modes:
    """The modes of all nodes. Lives on one event loop.

    A node with a `mode_url` has the mode that is told there, which is asked for again and again. Another one that loads
    models itself has the mode that the person sets, which is kept.

    Args:
        nodes: by name.
        ask: asks the source of a node for its mode; raises `InferenceError`.
        free: makes room at a node that is GAMING; called again and again while it is, so it should be quick to see that
            nothing is to be done. Raises nothing.
        clock: seconds.
        sleep: waits for so many of them.
        folder: the state folder of the vault, None to keep nothing beyond the process.
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeConfig],
        ask: Callable[[NodeConfig], Awaitable[str]],
        free: Callable[[str], Awaitable[None]],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        folder: Path | None = None,
    ) -> None:
        self._nodes = {name: node for name, node in nodes.items() if node.mode_url or node.kind == "ollama"}
        self._ask = ask
        self._free = free
        self._clock = clock
        self._sleep = sleep
        self._file = folder / FILE if folder is not None else None
        self._told = {name: _Told() for name, node in self._nodes.items() if node.mode_url}
        self._gaming = (_read(self._file) if self._file else set()) & (self._nodes.keys() - self._told.keys())
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._first: dict[str, asyncio.Event] = {}

    def of(self, name: str) -> Mode | None:
        """The mode of a node, None for one that has none."""
        if name not in self._nodes:
            return None
        told = self._told.get(name)
        if told is None:
            return Mode(GAMING if name in self._gaming else NORMAL, 0.0, "person")
        return Mode(told.mode, self._clock() - told.at if told.mode else 0.0, "source", told.error)

    def all(self) -> dict[str, Mode]:
        """The modes of the nodes that have one, by name."""
        return {name: mode for name in self._nodes if (mode := self.of(name)) is not None}

    def put(self, name: str | None, mode: str) -> None:
        """Set the mode of a node, or of all whose mode is set here, until another is set, also over a restart.

        Raises:
            NoModes: no such node has modes.
            ModeToldElsewhere: its source tells it.
            OSError: it cannot be kept; it holds all the same while this process runs.
        """
        names = self._settable(name)
        self._gaming = self._gaming | names if mode == GAMING else self._gaming - names
        self.follow()
        if self._file is not None:
            _write(self._file, self._gaming)

    def _settable(self, name: str | None) -> set[str]:
        names = self._nodes.keys() - self._told.keys() if name is None else {name}
        if not names or not names <= self._nodes.keys():
            hint = f"Nodes that have modes are {', '.join(self._nodes)}." if self._nodes else ""
            what = "no node has modes that are set here" if name is None else f"no node that has modes is called {name}"
            raise NoModes(what, hint=hint)
        if told := names & self._told.keys():
            node = self._nodes[min(told)]
            hint = "Set it there, or take `mode_url` out of the profile."
            raise ModeToldElsewhere(f"the mode of node {node.name} is what {node.mode_url} tells", hint=hint)
        return names

    def heard(self, name: str, mode: str) -> None:
        """The source of a node has told its mode."""
        told = self._told[name]
        told.mode, told.at, told.error = mode, self._clock(), ""

    def follow(self) -> None:
        """From now on ask the sources, and keep nodes free that are GAMING. Once is enough, more does no harm."""
        for name in self._told.keys() | self._gaming:
            if name not in self._followed:
                self._first.setdefault(name, asyncio.Event())
                self._followed[name] = asyncio.create_task(self._follow(name))

    async def look(self) -> None:
        """As `follow`, and wait until each source has answered once, or has had the time to."""
        self.follow()
        waiting = [self._first[name].wait() for name in self._told if not self._first[name].is_set()]
        if waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await asyncio.gather(*waiting)

    async def close(self) -> None:
        """Ask no more."""
        tasks = tuple(self._followed.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str) -> None:
        told = self._told.get(name)
        while told is not None or name in self._gaming:
            if told is not None:
                await self._hear(name, told)
            self._first[name].set()
            mode = self.of(name)
            if mode is not None and mode.mode == GAMING:
                await self._free(name)
            await self._sleep(POLL_SECONDS)
        self._followed.pop(name, None)

    async def _hear(self, name: str, told: _Told) -> None:
        try:
            mode = await self._ask(self._nodes[name])
        except InferenceError as error:
            told.error = str(error)
        else:
            self.heard(name, mode)


def _read(file: Path) -> set[str]:
    """The nodes that were set to GAMING, none where that cannot be read."""
    try:
        return {str(name) for name in json.loads(file.read_bytes())["gaming"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()


def _write(file: Path, gaming: set[str]) -> None:
    """Put it in the place of what was there, in one step.

    Raises:
        OSError: it cannot be written.
    """
    made = file.with_name(f"{file.name}.{os.getpid()}.new")
    made.touch(0o600)
    try:
        made.write_text(json.dumps({"gaming": sorted(gaming)}), "utf-8")
        made.replace(file)
    finally:
        made.unlink(missing_ok=True)
