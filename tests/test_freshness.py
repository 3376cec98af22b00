"""Never stale: whatever happens to the notes, the request, the day and the store, what is served is what the notes say now.

Two houses live on one vault. One has a cache and keeps everything it can; the other makes everything anew. Their node
answers with a digest of the prompt, so that an answer to another prompt is seen.
"""

import asyncio
import hashlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from redis import ResponseError

from commands.contexts import build_context
from commands.house import House
from commands.latest import Latest
from commands.request import CommandError, Request
from context.cache import Address, Cache, CacheStats, pack, unpack
from context.index import Index
from context.note import decode
from context.query import QueryError
from context.redis_cache import RedisCache
from context.sqlite_cache import SqliteCache
from context.vault import Vault
from inference.node import Chat, Chunk
from tests.false_redis import EVERY, something
from tests.houses import Nodes, ScriptedNode, done, events, house, usage
from tests.redis_server import RedisServer
from tests.vaults import write

FILES = {
    ".obsidian/daily-notes.json": '{"folder": "Daily"}',
    "Home.md": "# Home\n- [[Garden MOC]]\n- [[Pump]]\n",
    "Garden MOC.md": "# Garden\n- [[Hedge]]\n## Lately\n```dataview\nLIST FROM #tale SORT file.mtime DESC LIMIT 1\n```\n"
    "## Today\n```dataview\nLIST FROM #tale WHERE file.mday = date(today)\n```\n",
    "Clock MOC.md": "# Clock\n```dataview\nLIST WHERE due AND due < date(now)\n```\n![[Old.base]]\n![[Seen.base]]\n",
    "Seen.base": "filters:\n  or:\n    - due == date('2025-09-14')\n    - file.name == 'Far' && file('plan.png').size > 9\n"
    "views:\n  - type: table\n",
    "plan.png": "small",
    "Old.base": "filters: 'file.mtime < now() - \"30 days\"'\nviews:\n  - type: table\n    name: Old\n",
    "Hedge.md": "---\ntags: [plant]\n---\n# Hedge\nQuince and hawthorn.\n## Later\nNothing yet.\n",
    "Shed.md": "---\ndue: 2025-09-14T12:00\n---\n# Shed\nA ladder, and mulch.\n",
    "Pump.md": "---\ntype: hardware\nstatus: running\n---\n# Pump\nQuiet.\n",
    "Projects/Quince.md": "---\ntype: project\nstatus: active\ndue: 2025-09-20\n---\n# Quince\n## Next\n- [ ] prune 📅 2025-09-15\n## Log\n- began\n",
    "Lore/Far.md": "# Far\nA quince in a #tale.\n",
    "Lore/Near.md": "# Near\nNo #tale.\n",
    "Daily/2025-09-13.md": "# Saturday\nSwept the [[Shed]].\n",
    "Daily/2025-09-14.md": "# Sunday\nPruned the quince. See [[Hedge]].\n## Log\n",
}  # fmt: skip
CANARY = "canary-of-the-quince"
NAMES = (
    *("Hedge", "Shed", "Pump", "Garden MOC", "Far", "Aside", "Lore/Far", "Lore/Near", "Lore/Else"),
    *("Projects/Quince", "Projects/Wall", "Daily/2025-09-13", "Daily/2025-09-14", "Daily/2025-09-15"),
)
HEADS = (
    "",
    "---\ntype: project\nstatus: active\n---\n",
    "---\ntype: project\nstatus: done\n---\n",
    "---\ntype: hardware\nstatus: broken\n---\n",
    f"---\nprivate: true\n---\n{CANARY}\n",
    f"---\nprivate: true\n---\n# Head\nquince {CANARY}\n",
    '---\ndue: 2025-09-14T10:00\nup: "[[Home]]"\n---\n',
    "---\na: [\n---\n",
)  # fmt: skip
LINES = (
    *("# Head", "quince", "quinces", "hawthorn", "mulch ladder", "[[Hedge]]", "[[Pump]] hums", "#plant", "#tale", ""),
    *("ぬか床", "- [ ] prune 📅 2025-09-15", "- [x] prune 📅 2025-09-15", "- [ ] sweep 📅 2025-09-01", "## Log"),
)
QUESTIONS = (
    "what does the clock say",
    "the quince",
    "quince hawthorn",
    "[[Hedge]] mulch",
    "is the pump broken?",
    "a tale",
    "ぬか床",
)
MOMENTS = ("2025-09-14T09:00", "2025-09-14T09:30", "2025-09-14T15:00", "2025-09-15T09:00", "2025-09-13T23:59")
ZONES = ("UTC", "Asia/Tokyo")
GATHERS = (
    None,
    ["search"],
    ["maps"],
    ["maps", "search"],
    ["recent", "projects", "tasks", "systems"],
    {"maps": 50, "changed": 30, "recent": 20},
)
SCOPES = (None, None, {"folder": "Lore"}, {"project": "Quince"}, {"tags": ["plant"]}, {"where": {"status": "active"}})
# What must be the same whether it was made anew or not.
SAME = ("answer", "sources", "findings", "edits", "receipt", "degraded")
SECRET = b"ours"


class Forgetful:
    """A cache that keeps nothing."""

    def get(self, key: str) -> Any | None:
        return None

    def set(self, key: str, value: Any, *, private: bool = False) -> None:
        pass

    def stats(self) -> CacheStats:
        return CacheStats("nothing", 0, 0, 0, 0, "")

    def close(self) -> None:
        pass


class Short(Latest):
    """Nothing is at hand: the store is asked each time."""

    def put(self, key: str, given: Any) -> None:
        pass


def held(redis: RedisServer) -> dict[bytes, bytes]:
    """What a Redis keeps."""
    found = {}
    for name in redis.admin.keys("kos:*"):
        value = redis.admin.get(name)
        if isinstance(name, bytes) and isinstance(value, bytes):
            found[name] = value
    return found


def said(chat: Chat) -> str:
    """A digest of a prompt."""
    return hashlib.sha256(repr([(one.role, one.content) for one in chat.messages]).encode()).hexdigest()


@dataclass
class Echo(ScriptedNode):
    """A node whose answer is a function of the prompt."""

    async def chat(self, chat: Chat) -> AsyncGenerator[Chunk, None]:
        self.nodes.chats.append(chat)
        yield Chunk(f"[[Hedge]] {said(chat)}")
        yield Chunk(usage=usage())


@dataclass
class Echoes(Nodes):
    """Makes nodes that echo."""

    def make(self, config: Any) -> Echo:
        return Echo(config, self)


@dataclass
class Store:
    """A cache that a test can hurt.

    Attributes:
        path: the SQLite file.
        port: of the Redis, 0 for SQLite alone.
        shared: whether that counts as another machine.
        pause: seconds for which a Redis that failed is left alone.
        away: whether it takes no values now.
    """

    path: Path
    port: int
    shared: bool
    pause: float
    away: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(1))

    def open(self) -> Cache:
        local = SqliteCache(self.path, vault_id="v", secret=SECRET)
        if not self.port:
            return local
        address = Address("127.0.0.1", self.port)
        more: Any = {"local": local, "shared": self.shared, "pause_seconds": self.pause}
        return RedisCache(address, vault_id="v", secret=SECRET, **more)

    def forge(self, values: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Other values under some of these names."""
        chosen = self.dice.sample(sorted(values), min(len(values), 12))
        forged: dict[bytes, bytes] = {}
        for name in chosen:
            value, other = values[name], values[self.dice.choice(sorted(values))]
            kind = self.dice.randrange(5)
            if kind == 0:
                forged[name] = b"\x00not a value"
            elif kind == 1:
                forged[name] = value[:-3]
            elif kind == 2:
                forged[name] = other
            elif kind == 3:
                forged[name] = pack(name, {"text": "forged", "receipt": "0" * 64, "scores": []}, b"a guess")
            else:
                forged[name] = bytes([value[0], value[1] ^ 1]) + value[2:]
        return forged


class World:
    """A vault in use: a house with a cache, and what happens around it, by the dice.

    Args:
        dice: decide what happens.
        redis: the store; None for SQLite.
        port: of the store when it is something else that only listens.
        shared: whether the Redis counts as another machine.
        pause: seconds for which a Redis that failed is left alone.
    """

    def __init__(
        self,
        dice: random.Random,
        *,
        redis: RedisServer | None = None,
        port: int = 0,
        shared: bool = False,
        pause: float = 0.02,
    ) -> None:
        self.dice = dice
        self.redis = redis
        self.base = Path(tempfile.mkdtemp())
        self.root = write(self.base / "vault", FILES)
        if redis is not None:
            redis.restart()
        self.store = Store(self.base / "cache.sqlite", redis.port if redis else port, shared, pause, dice=dice)
        self.at_hand = dice.random() < 0.5
        self.moment = MOMENTS[0]
        self.nodes, self.others = Echoes(), Echoes()
        self.answered: set[str] = set()
        self.hits = {"context": 0, "answer": 0}
        self.requests = [self.request() for _ in range(4)]
        self.questions = ["", *dice.sample(QUESTIONS, 2)]
        self.loop = asyncio.Runner()
        self.live = self.opened()
        self.other = house(self.live.vault, self.others, cache=Forgetful(), timezone="UTC")

    def opened(self) -> House:
        vault = Vault(self.root, Index(self.base / "index.sqlite"))
        self.faults = 0
        live = house(vault, self.nodes, cache=self.store.open(), timezone="UTC")
        live.latest = Latest() if self.at_hand else Short()
        for command in live.prompts:
            if vault.index.last_run(command) is None:
                vault.index.record_run(command, time.time())
        return live

    def close(self) -> None:
        self.loop.run(self.live.close())
        self.loop.close()
        shutil.rmtree(self.base)

    def truth(self, *, anew: bool = False) -> House:
        """A house that keeps nothing, over the same vault, or over one that is read anew."""
        vault = Vault(self.root, Index(None)) if anew else self.live.vault
        return replace(self.other, vault=vault, latest=Latest())

    def ran(self, of: House, command: str, **fields: Any) -> dict[str, Any]:
        """What a command ends with."""
        return done(self.loop.run(events(of, command, now=self.moment, **fields)))

    def step(self) -> None:
        """Something happens, and then the same is asked as before."""
        happens, request = (
            self.dice.choice(NOTES if self.dice.random() < 0.6 else OTHERS),
            self.dice.choice(self.requests),
        )
        self.context(self.live, request)
        getattr(self, happens)()
        self.live.vault.refresh()
        self.read(request)
        if self.dice.random() < 0.3:
            self.read(replace(request, timezone=self.dice.choice(ZONES)))
        self.ask(*self.dice.choice([("ask", self.questions[1]), ("ask", self.questions[2]), ("orient", "")]))
        if self.dice.random() < 0.1:
            self.requests[self.dice.randrange(4)] = self.request()

    # --- what happens to the notes

    def path(self) -> str:
        return f"{self.dice.choice(NAMES)}.md"

    def text(self) -> str:
        lines = self.dice.choices(LINES, k=self.dice.randrange(1, 8))
        return self.dice.choice(HEADS) + "\n".join(lines) + "\n"

    def put(self, path: str, text: str) -> None:
        file = self.root / path
        before = file.stat() if file.exists() else None
        write(self.root, {path: text})
        after = file.stat()
        # Two writes within one tick of the file system's clock, of one size: no stat tells them apart.
        if before is not None and (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            os.utime(file, ns=(after.st_atime_ns, after.st_mtime_ns + 1))

    def save(self) -> None:
        self.put(self.path(), self.text())

    def add(self) -> None:
        path = self.path()
        if (self.root / path).exists():
            self.put(path, (self.root / path).read_text("utf-8") + self.dice.choice(LINES) + "\n")

    def elsewhere(self) -> None:
        """A note that no question is about."""
        self.put(f"Attic/{self.dice.randrange(5)}.md", self.dice.choice(("dust\n", "cobwebs and dust\n")))

    def delete(self) -> None:
        (self.root / self.path()).unlink(missing_ok=True)

    def rename(self) -> None:
        path, other = self.root / self.path(), self.root / self.path()
        if path.exists():
            other.parent.mkdir(exist_ok=True)
            path.replace(other)

    def touch(self) -> None:
        path = self.root / self.path()
        if path.exists():  # it is another day in Tokyo
            os.utime(path, (1_757_800_000 - self.dice.choice((0, 0, 1, 60)) * 86_400,) * 2)

    def put_back(self) -> None:
        for file in self.root.rglob("*.md"):
            if file.relative_to(self.root).as_posix() not in FILES:
                file.unlink()
        for path, text in FILES.items():
            self.put(path, text)

    def settings(self) -> None:
        folder = self.dice.choice(("Daily", "Daily", "Lore"))
        types = self.dice.choice(('{"due": "date"}', '{"due": "text"}', "{}", "broken"))
        write(self.root, {".obsidian/daily-notes.json": f'{{"folder": "{folder}"}}'})
        write(self.root, {".obsidian/types.json": f'{{"types": {types}}}'})

    def attach(self) -> None:
        write(self.root, {"plan.png": self.dice.choice(("small", "a large picture"))})

    def update(self) -> None:
        self.ran(self.live, "update", text=self.dice.choice(QUESTIONS), apply="capture")

    def unseen(self) -> None:
        """An edit before the vault has looked: what is quoted is the note's own text all the same."""
        request = self.dice.choice(self.requests)
        self.context(self.live, request)
        self.put(self.path(), self.text())
        found = self.context(self.live, request)
        for one in found["passages"] if isinstance(found, dict) else ():
            assert one["text"] in (self.root / one["path"]).read_bytes().decode()

    # --- what happens beside them

    def nothing(self) -> None:
        pass

    def time_goes_on(self) -> None:
        self.moment = self.dice.choice(MOMENTS)

    def restart(self) -> None:
        self.loop.run(self.live.close())
        self.live = self.opened()

    def look_into_the_store(self) -> None:
        """A Redis on another machine has nothing private, nor anything that was made of it."""
        if self.redis is not None and self.store.shared and not self.store.away:
            told = [unpack(name, value, SECRET) for name, value in held(self.redis).items()]
            assert CANARY not in repr(told)

    def kill(self) -> None:
        if self.redis is not None:
            self.look_into_the_store()
            self.redis.kill()
            self.store.away = True
            self.answered.clear()

    def begin_again(self) -> None:
        if self.redis is None:
            return
        self.look_into_the_store()
        self.redis.restart()
        self.store.away = False
        self.answered.clear()
        for _ in range(100):
            self.live.cache.get("knock")
            if self.live.cache.stats().breaker != "open":
                return
            time.sleep(self.store.pause)

    def fill(self) -> None:
        if self.redis is not None and not self.store.away:
            self.redis.config_set("maxmemory", self.dice.choice(("0", "1mb")))

    def poison(self) -> None:
        self.answered.clear()
        if self.redis is not None and not self.store.away:
            for name, value in self.store.forge(held(self.redis)).items():
                with suppress(ResponseError):  # it is full
                    self.redis.admin.set(name, value)
        elif isinstance(self.live.cache, SqliteCache):
            self.live.cache._work(self.forge)

    def forge(self, db: Any) -> None:
        for name, value in self.store.forge(dict(db.execute("SELECT name, value FROM cache"))).items():
            db.execute("UPDATE cache SET value = ? WHERE name = ?", (value, name))

    # --- what is asked

    def request(self) -> Request:
        choice = self.dice.choice
        return Request(
            choice(("", *QUESTIONS)),
            choice((None, None, "Home.md", "Hedge.md", "Clock MOC.md")),
            scope=choice(SCOPES),
            budget_tokens=choice((300, 2000)),
            gather=choice(GATHERS),
            timezone=choice(ZONES),
        )

    def read(self, request: Request) -> None:
        # Ranks count chunks that are gone until full text clears them away, so a question is asked of the same index.
        other = self.truth(anew=not request.text)
        true = self.context(other, request)
        if other.vault is not self.live.vault:
            other.vault.close()
        for fresh in (False, self.dice.random() < 0.2):
            told = self.context(self.live, request, fresh=fresh)
            assert told == true
        for passage in told["passages"] if isinstance(told, dict) else ():
            assert passage["text"] in decode((self.root / passage["path"]).read_bytes())[0]

    def context(self, of: House, request: Request, *, fresh: bool = False) -> Any:
        """A context without what may differ, or what is wrong with the request."""
        try:
            found = self.loop.run(build_context(of, replace(request, fresh=fresh, now=self.moment)))
        except (CommandError, QueryError) as error:
            return str(error)
        self.hits["context"] += found["cached"]
        assert not (fresh and found["cached"])
        return {name: value for name, value in found.items() if name not in ("cached", "timings")}

    def ask(self, command: str, text: str) -> None:
        index, fresh = self.live.vault.index, self.dice.random() < 0.1
        since, asked, before = index.last_run(command), len(self.nodes.chats), len(self.others.chats)
        kept = self.ran(self.live, command, text=text, fresh=fresh)
        assert not (fresh and kept["cached"])
        assert since is not None
        index.record_run(command, since)  # the other house shall know of no later one either
        true = self.ran(self.truth(), command, text=text)
        assert {name: kept[name] for name in SAME} == {name: true[name] for name in SAME}
        if len(self.others.chats) == before:  # the vault says nothing of now, so no model is asked
            assert not kept["cached"]
            assert len(self.nodes.chats) == asked
            return
        prompt = said(self.others.chats[-1])
        assert prompt in true["answer"]
        assert [said(chat) for chat in self.nodes.chats[asked:]] == ([] if kept["cached"] else [prompt])
        self.hits["answer"] += kept["cached"]
        faults = self.live.cache.stats().errors
        if faults != self.faults:  # a store that failed, or was slow on a busy machine, may have been left alone
            self.faults = faults
            self.answered.clear()
        if not self.store.away:
            if prompt in self.answered and not fresh:
                assert kept["cached"], "the prompt is the same, and so is its answer"
            self.answered.add(prompt)


NOTES = (
    *("save", "save", "add", "add", "add", "elsewhere", "elsewhere", "delete", "rename", "touch", "touch"),
    *("put_back", "settings", "attach", "update", "unseen", "unseen"),
)
OTHERS = (
    "nothing",
    "time_goes_on",
    "time_goes_on",
    "time_goes_on",
    "restart",
    "kill",
    "begin_again",
    "begin_again",
    "fill",
    "poison",
)


def never_stale(steps: int, seed: int, **more: Any) -> None:
    """So many steps, in a new world every hundred of them."""
    hits = {"context": 0, "answer": 0}
    for begin in range(0, steps, 100):
        dice = random.Random(seed + begin)
        world = World(dice, **more)
        for step in range(min(100, steps - begin)):
            try:
                world.step()
            except BaseException as error:
                error.add_note(f"in step {step} of random.Random({seed + begin})")
                raise
        world.look_into_the_store()
        hits = {kind: count + world.hits[kind] for kind, count in hits.items()}
        world.close()
    assert min(hits.values()) > steps / 20, f"the cache was used at all: {hits}"


SHORT = pytest.param(1000, marks=pytest.mark.timeout(600))
LONG = pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(7200)])


@pytest.mark.parametrize("steps", [SHORT, LONG])
def test_never_stale_on_sqlite(steps: int) -> None:
    never_stale(steps, 1)


@pytest.mark.parametrize("steps", [SHORT, LONG])
def test_never_stale_on_redis_killed_full_and_poisoned(steps: int) -> None:
    with RedisServer() as redis:
        never_stale(steps // 2, 2, redis=redis)
        never_stale(steps // 2, 3, redis=redis, shared=True)


@pytest.mark.parametrize("serve", EVERY, ids=lambda serve: serve.__name__)
def test_never_stale_on_what_is_no_redis(serve: Any) -> None:
    with something(serve) as port:
        never_stale(15, 4, port=port, pause=5.0)
