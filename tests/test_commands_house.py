"""The house: what it offers, what it tells of itself, and how it is built from the configuration."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from commands.contexts import build_context
from commands.house import shipped_prompts
from commands.request import Request
from context.cache import open_cache, pack
from context.index import Index
from context.vault import Vault
from inference.profile import ProfileError
from prompts import SHIPPED
from server.config import vault_dir
from server.house import open_house
from tests.edge import config
from tests.houses import Nodes, done, events, house, ran
from tests.redis_server import RedisServer
from tests.vaults import open_vault, write


def test_the_commands_a_client_may_offer(tmp_path: Path) -> None:
    of = house(open_vault(tmp_path))
    found = {one["name"]: one for one in of.commands()}
    assert tuple(found) == SHIPPED
    assert found["orient"] == {
        "name": "orient",
        "description": shipped_prompts()["orient"].description,
        "argument_hint": "[what matters today]",
        "text": "optional",
        "tier": "fast",
        "writes": [],
    }
    assert found["ask"]["text"] == "required"
    json.dumps(of.commands())


def test_the_status_tells_counts_and_never_words(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.md": "# Secret words\n[[b]]",
        "b.md": "---\n: [\n---\nSecret words",
        "Home.md": "",
        "c.png": b"\x89",
    }
    files["a (conflicted copy 2025-09-14).md"] = "Secret words"
    of = house(open_vault(tmp_path / "My notes", files))
    told = of.status()
    assert told["vault"] | {"flagged": None} == {
        "name": "My notes",
        "notes": 3,
        "files": 4,
        "maps": 1,
        "skipped": 1,
        "full_text": "ready",
        "flagged": None,
        "watching": "",
    }
    assert [one["path"] for one in told["vault"]["flagged"]] == ["b.md"]
    assert told["vault"]["flagged"][0]["flags"][0].startswith("frontmatter: ")
    assert told["profile"] == "test"
    nothing = {"hits": 0, "misses": 0, "rate": None}
    assert told["cache"] == nothing | {
        "name": "memory",
        "live": "memory",
        "breaker": "",
        "sets": 0,
        "errors": 0,
        "last_error": "",
        "kinds": {"context": nothing, "answer": nothing},
    }
    ran(of, "orient", text="What now?")
    assert of.status()["cache"]["sets"] >= 3
    assert "Secret" not in json.dumps(told)
    assert str(tmp_path) not in json.dumps(told)


def test_the_hit_rate_is_told_for_each_kind(tmp_path: Path) -> None:
    of = house(
        open_vault(tmp_path, {"Daily/2025-09-14.md": "quince", ".obsidian/daily-notes.json": '{"folder": "Daily"}'})
    )
    for text in ("one", "one", "one", "two", "one"):
        ran(of, "ask", text=text)
    ran(of, "ask", text="one", fresh=True)
    asyncio.run(build_context(of, Request(text="three")))
    asyncio.run(build_context(of, Request(text="three")))
    asyncio.run(build_context(of, Request(text="three", fresh=True)))
    kinds = of.status()["cache"]["kinds"]
    assert kinds["answer"] == {"hits": 3, "misses": 2, "rate": 0.6}
    assert kinds["context"] == {"hits": 4, "misses": 3, "rate": 0.571}
    assert of.status()["cache"]["rate"] == 0.583


def test_a_context_at_hand_waits_for_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, {"A.md": "quince", "Lore/B.md": "a quince, too"})
    of = house(Vault(root, Index(None)))

    async def test() -> None:
        for scope in (None, {"folder": "Lore"}):
            request = Request(text="quince", scope=scope)
            first = await build_context(of, request)
            with monkeypatch.context() as patch:
                patch.setattr("asyncio.to_thread", None)
                again = await build_context(of, request)
            assert (first["cached"], again["cached"]) == (False, True)
            assert {**first, "cached": True, "timings": again["timings"]} == again
        nowhere = Request(text="quince", scope={"folder": "Nowhere"})
        for cached in (False, True):
            told = await build_context(of, nowhere)
            assert ([one["code"] for one in told["findings"]], told["cached"]) == (["nothing_in_scope"], cached)
        write(root, {"Lore/B.md": "another quince, too"})
        after = await build_context(of, Request(text="quince", scope={"folder": "Lore"}))
        assert (after["cached"], [one["text"] for one in after["passages"]]) == (False, ["another quince, too"])

    asyncio.run(test())


def test_a_context_of_words_that_nothing_fits_says_so(tmp_path: Path) -> None:
    of = house(open_vault(tmp_path, {"A.md": "quince"}))

    def codes(**fields: Any) -> list[str]:
        return [one["code"] for one in asyncio.run(build_context(of, Request(**fields)))["findings"]]

    assert codes(text="zzzqqq") == ["nothing_fits"]
    assert codes(text="zzzqqq", scope={"folder": "Nowhere"}) == ["nothing_in_scope"]
    assert codes(text="quince") == []
    assert codes(text="quince", budget_tokens=1) == [], "it found no room"
    assert codes(text="", gather=["tasks"]) == [], "no words were given"


def test_the_store_that_stands_in_is_told(tmp_path: Path) -> None:
    with RedisServer() as redis:
        cache = open_cache(redis.url, vault_id="t", path=tmp_path / "cache.sqlite")
        of = house(open_vault(tmp_path / "vault"), cache=cache)
        name = f"redis at 127.0.0.1:{redis.port}"
        assert (of.status()["cache"]["name"], of.status()["cache"]["live"]) == (name, name)
        redis.kill()
        asyncio.run(build_context(of, Request(text="three")))
        assert (of.status()["cache"]["name"], of.status()["cache"]["live"]) == (name, "sqlite")
        asyncio.run(of.close())


def test_what_others_wrote_into_a_store_is_not_believed(tmp_path: Path) -> None:
    with RedisServer() as redis:
        known = config(tmp_path, cache=redis.url)
        of = asyncio.run(open_house(known))
        of.cache.set("answer:1", {"text": "true"})
        (name,) = redis.admin.keys("*")
        vault = vault_dir(known)
        assert name == f"kos:{vault.name}:answer:1".encode()
        asyncio.run(of.close())
        again = asyncio.run(open_house(known))
        assert again.cache.get("answer:1") == {"text": "true"}, "the key is kept"
        for guess in (b"", b"a guess"):
            redis.admin.set(name, pack(name, {"text": "forged"}, guess))
            assert again.cache.get("answer:1") is None
        asyncio.run(again.close())
        assert (vault / "cache.key").stat().st_mode & 0o777 == 0o600


def test_closing_lets_go_of_everything(tmp_path: Path) -> None:
    closed: list[str] = []

    class Watch:
        how = "inotify"

        def stop(self) -> None:
            closed.append("watch")

    of = house(open_vault(tmp_path), Nodes())
    of.watch = Watch()  # type: ignore[assignment]
    assert of.status()["vault"]["watching"] == "inotify"

    async def test() -> None:
        done(await events(of, "orient"))
        of.cache.set("a", 1)
        assert of.cache.get("a") == 1
        await of.close()

    asyncio.run(test())
    assert closed == ["watch"]
    assert of.cache.get("a") is None
    with pytest.raises(Exception, match="closed"):
        of.vault.index.last_run("orient")


@pytest.mark.parametrize(
    ("url", "trusted", "inside"),
    [
        ("http://127.0.0.1:11434", (), True),
        ("http://10.0.0.7:11434", (), False),
        ("http://10.0.0.7:11434", ("local",), True),
    ],
)
def test_the_configuration_says_which_node_is_trusted(
    tmp_path: Path, url: str, trusted: tuple[str, ...], inside: bool
) -> None:
    async def test() -> None:
        write(tmp_path / "vault", {"a.md": "x"})
        of = await open_house(config(tmp_path, ollama_url=url, trusted_nodes=trusted, cache="memory"))
        assert of.stays_inside("local") is inside
        assert of.stays_inside(""), "the vault alone is the house itself"
        await of.close()

    asyncio.run(test())


def test_a_node_that_cannot_be_trusted_is_refused_at_the_start(tmp_path: Path) -> None:
    write(tmp_path / "vault", {"a.md": "x"})
    with pytest.raises(ProfileError, match="'attic' cannot be trusted"):
        asyncio.run(open_house(config(tmp_path, trusted_nodes=("attic",), cache="memory")))


def test_one_house_serves_several_loops_and_threads_of_requests(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"a.md": "quince"})
    of = house(vault, Nodes(), cache=open_cache("memory", vault_id="t", path=None))
    answers = {done(ran(of, "ask", text="quince", fresh=True))["answer"] for _ in range(3)}
    assert answers == {"All is well."}

    async def together() -> list[str]:
        found = await asyncio.gather(*(events(of, "ask", text=f"quince {n}") for n in range(8)))
        return [done(one)["answer"] for one in found]

    assert asyncio.run(together()) == ["All is well."] * 8
