"""The house: what it offers, what it tells of itself, and how it is built from the configuration."""

import asyncio
import json
from pathlib import Path

import pytest

from commands.house import shipped_prompts
from commands.run import _stays_inside
from context.cache import open_cache
from inference.profile import ProfileError
from prompts import SHIPPED
from server.house import open_house
from tests.edge import config
from tests.houses import Nodes, done, events, house, ran
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
    assert (told["cache"]["name"], told["cache"]["hits"]) == ("memory", 0)
    ran(of, "orient", text="What now?")
    assert of.status()["cache"]["sets"] >= 3
    assert "Secret" not in json.dumps(told)
    assert str(tmp_path) not in json.dumps(told)


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
        assert _stays_inside(of, "local") is inside
        assert _stays_inside(of, ""), "the vault alone is the house itself"
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
