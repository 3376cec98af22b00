"""The mode of a node: whether its machine is there for models now, or for something else, a game for instance."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inference.kept import put
from inference.node import InferenceError
from inference.profile import NodeConfig

NORMAL, GAMING = "NORMAL", "GAMING"
MODES = (NORMAL, GAMING)
FILE = "modes.json"
_ELSEWHERE = "Set it there, or take `mode_url` out of the profile."
# What a source told longer ago, in seconds, is not known any more.
MODE_SECONDS = 6.0
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

    @property
    def now(self) -> str:
        """The mode as far as it is still known, "" for one that was told too long ago."""
        return self.mode if self.age <= MODE_SECONDS else ""


@dataclass(slots=True)
class _Told:
    mode: str = ""
    at: float = 0.0
    error: str = ""


class Modes:
    """The modes of all nodes. Lives on one event loop.

    A node with a `mode_url` has the mode that is told there, which is asked for again and again. Another one that loads
    models itself has the mode that the person sets.

    Args:
        nodes: by name.
        ask: asks the source of a node for its mode; raises `InferenceError`.
        free: makes room at a node that is GAMING; called again and again while it is, so it should be quick to see that
            nothing is to be done. Raises nothing.
        clock: seconds.
        sleep: waits for so many of them.
        file: where it is kept what the person sets, for every program that shares it; None to keep it to this one.
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeConfig],
        ask: Callable[[NodeConfig], Awaitable[str]],
        free: Callable[[str], Awaitable[None]],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        file: Path | None = None,
    ) -> None:
        self._nodes = {name: node for name, node in nodes.items() if node.mode_url or node.kind == "ollama"}
        self._ask = ask
        self._free = free
        self._clock = clock
        self._sleep = sleep
        self._gaming = _Gaming(file)
        self._told = {name: _Told() for name, node in self._nodes.items() if node.mode_url}
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._first: dict[str, asyncio.Event] = {}

    def of(self, name: str) -> Mode | None:
        """The mode of a node, None for one that has none."""
        if name not in self._nodes:
            return None
        told = self._told.get(name)
        if told is None:
            return Mode(GAMING if self._nodes[name].url in self._gaming.urls() else NORMAL, 0.0, "person")
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
        urls = {self._nodes[one].url for one in self._settable(name)}
        self._gaming.put(urls, gaming=mode == GAMING)
        self.follow()

    def _settable(self, name: str | None) -> set[str]:
        names = self._nodes.keys() - self._told.keys() if name is None else {name}
        if not names or not names <= self._nodes.keys():
            if name is None and self._told:
                raise ModeToldElsewhere("sources tell the modes of all nodes", hint=_ELSEWHERE)
            hint = f"Nodes that have modes are {', '.join(self._nodes)}." if self._nodes else ""
            what = "no node has modes" if name is None else f"no node that has modes is called {name}"
            raise NoModes(what, hint=hint)
        if told := names & self._told.keys():
            node = self._nodes[min(told)]
            raise ModeToldElsewhere(f"the mode of node {node.name} is what {node.mode_url} tells", hint=_ELSEWHERE)
        return names

    def heard(self, name: str, mode: str) -> None:
        """The source of a node has told its mode."""
        told = self._told[name]
        told.mode, told.at, told.error = mode, self._clock(), ""

    def follow(self) -> None:
        """From now on ask the sources, and keep nodes free that are GAMING. Once is enough, more does no harm."""
        for name in self._nodes if self._gaming.is_shared else self._told.keys() | self._set_to_gaming():
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
        while told is not None or self._gaming.is_shared or name in self._set_to_gaming():
            if told is not None:
                await self._hear(name, told)
            self._first[name].set()
            mode = self.of(name)
            if mode is not None and mode.now == GAMING:
                await self._free(name)
            await self._sleep(POLL_SECONDS)
        self._followed.pop(name, None)

    def _set_to_gaming(self) -> set[str]:
        gaming = self._gaming.urls()
        return {name for name, node in self._nodes.items() if name not in self._told and node.url in gaming}

    async def _hear(self, name: str, told: _Told) -> None:
        try:
            mode = await self._ask(self._nodes[name])
        except InferenceError as error:
            told.error = str(error)
        else:
            self.heard(name, mode)


class _Gaming:
    """The addresses of nodes that are set to GAMING. They are machines, so all vaults and profiles share them.

    Args:
        file: where they are kept, None to keep them to this process.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._urls: frozenset[str] = frozenset()

    @property
    def is_shared(self) -> bool:
        """Whether another program may change them."""
        return self._file is not None

    def urls(self) -> frozenset[str]:
        """Those that are set now; none where that cannot be read."""
        if self._file is not None and (stamp := _stamp(self._file)) != self._stamp:
            self._stamp, self._urls = stamp, _read(self._file)
        return self._urls

    def put(self, urls: AbstractSet[str], *, gaming: bool) -> None:
        """Add some, or take them out.

        Raises:
            OSError: that cannot be kept; it holds all the same until another program changes them.
        """
        known = self.urls()
        self._urls = known | urls if gaming else known - urls
        if self._file is not None:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            put(self._file, json.dumps({"gaming": sorted(self._urls)}))
            self._stamp = _stamp(self._file)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(file: Path) -> frozenset[str]:
    try:
        return frozenset(map(str, json.loads(file.read_bytes())["gaming"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return frozenset()
