"""A house for tests: real vault, cache and fleet, over nodes that say what a test wrote for them."""

import asyncio
import atexit
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands.events import FINAL, Event
from commands.house import House, Settings, shipped_prompts
from commands.journal import Journal
from commands.request import Earlier, Request
from commands.run import run
from context.cache import Cache, open_cache
from context.vault import Vault
from inference.fleet import Fleet
from inference.model import ModelFacts
from inference.node import Chat, Chunk, NodeState, Usage
from inference.profile import EmbeddingModel, NodeConfig, Profile, RunnerProfile
from prompts import shipped_text

RUN = "0123456789abcdef"
TODAY = "2025-09-14"
HANG = object()
"""A step of a script at which the node says nothing more."""

Step = str | Usage | BaseException | object


def usage(read: int | None = 5000, wrote: int | None = 3, why: str = "stop") -> Usage:
    """What a node tells at the end of an answer."""
    return Usage(read, wrote, 8192, why, 0.0, 0.0, 0.0)


@dataclass
class Nodes:
    """Makes nodes, and remembers what all of them were asked.

    Attributes:
        scripts: what is answered, one script for each chat in turn: texts to say, an error to raise, `HANG`, or a
            usage to end with; the last one goes for all chats that follow.
        chats: what was asked.
        open: chats under way.
    """

    scripts: list[Sequence[Step]] = field(default_factory=lambda: [["All is ", "well."]])
    chats: list[Chat] = field(default_factory=list)
    open: int = 0

    def make(self, config: NodeConfig) -> "ScriptedNode":
        return ScriptedNode(config, self)

    @property
    def heard(self) -> str:
        """Everything that was sent to any node."""
        return "\n".join(message.content for chat in self.chats for message in chat.messages)

    @property
    def prompt(self) -> str:
        """The person's side of the latest chat."""
        return self.chats[-1].messages[-1].content


@dataclass
class ScriptedNode:
    """A node that follows the scripts of its maker."""

    config: NodeConfig
    nodes: Nodes

    async def chat(self, chat: Chat) -> AsyncGenerator[Chunk, None]:
        nodes = self.nodes
        script = nodes.scripts[min(len(nodes.chats), len(nodes.scripts) - 1)]
        nodes.chats.append(chat)
        nodes.open += 1
        try:
            for step in script:
                await asyncio.sleep(0)
                if isinstance(step, BaseException):
                    raise step
                if step is HANG:
                    await asyncio.Event().wait()
                if isinstance(step, Usage):
                    yield Chunk(usage=step)
                    return
                yield Chunk(str(step))
            yield Chunk(usage=usage())
        finally:
            nodes.open -= 1

    async def embed(self, model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
        raise NotImplementedError

    async def state(self) -> NodeState:
        return NodeState(self.config.name, reachable=True)

    async def facts(self, models: Sequence[str]) -> Mapping[str, ModelFacts]:
        return {}

    async def unload(self, model: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def profile(
    klass: str = "local", *, num_ctx: int = 8192, answer_tokens: int = 1024, trusted: bool = False, **more: Any
) -> Profile:
    """One node `desk` with two models: `small` for fast work, `large` for the rest."""
    url = "https://desk.example" if klass == "cloud" else "http://127.0.0.1:9"
    desk = NodeConfig("desk", "ollama", url, klass, trusted=trusted, **more)
    runners = {
        name: RunnerProfile(name, "desk", model, "Q4_K_M", num_ctx, answer_tokens)
        for name, model in (("small", "llama3.2:3b"), ("large", "qwen3:8b"))
    }
    tiers = {"fast": ("small",), "balanced": ("large",), "deep": ("large",)}
    return Profile("test", "", {"desk": desk}, runners, tiers, {}, ())


_JOURNALS = tempfile.mkdtemp()
atexit.register(shutil.rmtree, _JOURNALS, ignore_errors=True)


def house(
    vault: Vault,
    nodes: Nodes | None = None,
    *,
    on: Profile | None = None,
    cache: Cache | None = None,
    clock: Callable[[], float] | None = None,
    **settings: Any,
) -> House:
    """A house over a vault. Its today is that of the sample vault, in Berlin, unless the settings say otherwise."""
    fleet = Fleet(on or profile(), (nodes or Nodes()).make, clock=clock or time.monotonic)
    known = {"now": TODAY, "timezone": "Europe/Berlin"} | settings
    kept = cache or open_cache("memory", vault_id="test", path=None)
    journal = Journal(vault.root, Path(tempfile.mkdtemp(dir=_JOURNALS)))
    preamble = shipped_text("preamble").strip()
    return House(vault, kept, fleet, shipped_prompts(), preamble, Settings(**known), journal=journal)


async def events(
    of: House, command: str, earlier: Callable[[str], Earlier | None] = lambda _: None, **fields: Any
) -> list[Event]:
    """The events of a run, read to its end. Nothing is written unless it is said: most tests share one vault."""
    fields = {"apply": "none"} | fields
    stream: Any = run(of, command, Request(**fields), run_id=RUN, earlier=earlier)
    async with aclosing(stream):
        found = [event async for event in stream]
    assert [event.name for event in found if event.name in FINAL] == [found[-1].name]
    return found


def ran(
    of: House, command: str, earlier: Callable[[str], Earlier | None] = lambda _: None, **fields: Any
) -> list[Event]:
    """The same from a test that has no loop."""

    async def bounded() -> list[Event]:
        async with asyncio.timeout(60):
            return await events(of, command, earlier, **fields)

    return asyncio.run(bounded())


def done(found: Iterable[Event]) -> dict[str, Any]:
    """The data of the end of a run that was answered."""
    last = list(found)[-1]
    assert last.name == "done", last
    return dict(last.data)


def failed(found: Iterable[Event]) -> dict[str, Any]:
    """The data of the end of a run that failed."""
    last = list(found)[-1]
    assert last.name == "failed", last
    return dict(last.data)
