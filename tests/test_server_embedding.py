"""Embeddings in the whole program: off unless wanted, filled by the service, told by status and doctor, never waited for."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.contexts import build_context
from commands.house import House
from commands.request import Request
from inference.profile import ProfileError
from server import doctor
from server.config import load
from server.house import open_house
from tests.edge import config
from tests.eventually import eventually
from tests.houses import done, events
from tests.kos import ROOT, Person, until
from tests.ollama_api import Double
from tests.ollama_double import double, double_in_thread
from tests.vaults import write

NOTES: dict[str, str | bytes] = {
    "Plums.md": "# Plums\nSeven plums ripen on the wall.",
    "Engine.md": "The diesel engine drips oil.",
    "Secret.md": "---\nprivate: true\n---\nThe code of the safe.",
}
MODELS = ("llama3.2:3b", "qwen2.5:7b", "qwen3:8b", "nomic-embed-text")


@asynccontextmanager
async def opened(folder: Path, ollama: Double, *, watch: bool = True, **changes: Any) -> AsyncIterator[House]:
    given: dict[str, Any] = {"embeddings": "on", "cache": "memory", "ollama_url": ollama.url, "now": "2025-09-14"}
    house = await open_house(config(folder, **given | changes), watch=watch)
    try:
        yield house
    finally:
        await house.close()


async def filled(house: House) -> None:
    assert house.vectors is not None
    vectors = house.vectors
    await eventually(lambda: vectors.is_complete)


def inputs(ollama: Double) -> list[str]:
    return [text for seen in ollama.requests if seen.path == "/api/embed" for text in seen.body["input"]]


def test_off_unless_wanted_and_then_numpy_is_not_even_imported(tmp_path: Path) -> None:
    write(tmp_path / "vault", NOTES)
    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom server.config import load\nfrom server.house import open_house\n"
        "async def main():\n"
        "    house = await open_house(load({'vault': sys.argv[1], 'state_dir': sys.argv[2], 'cache': 'memory'}, {}))\n"
        "    assert house.vectors is None and house.status()['embeddings'] is None\n"
        "    await house.close()\n"
        "asyncio.run(main())\nassert 'numpy' not in sys.modules and 'context.embed' not in sys.modules\n"
    )
    arguments = [str(tmp_path / "vault"), str(tmp_path / "state")]
    subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, check=True, timeout=60)


def test_without_numpy_the_program_goes_on_by_words_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "vault", NOTES)
    for name in ("context.embed", "context.matrix", "server.embedding"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)

    async def test() -> None:
        async with double() as ollama, opened(tmp_path, ollama) as house:
            assert house.vectors is None
            found = await build_context(house, Request(text="plums"))
            assert [one["path"] for one in found["passages"]] == ["Plums.md"]

    asyncio.run(test())
    assert "numpy is not installed; search goes by words alone" in caplog.text


def test_a_profile_without_a_model_for_it_is_refused_at_the_start(tmp_path: Path) -> None:
    write(tmp_path / "vault", NOTES)
    profile = (ROOT / "inference/profiles/cpu.toml").read_text("utf-8")
    own = write(tmp_path, {"own.toml": profile[: profile.index("# Used when `embeddings")]}) / "own.toml"
    with pytest.raises(ProfileError, match=r"own.toml: embedding is missing"):
        asyncio.run(open_house(config(tmp_path, embeddings="on", profile=str(own), cache="memory")))


def test_the_service_fills_in_vectors_keeps_them_fresh_and_tells_how_far_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        root = write(tmp_path / "vault", NOTES)
        async with double(models=MODELS) as ollama:
            async with opened(tmp_path, ollama) as house:
                await filled(house)
                sent = inputs(ollama)
                assert len(sent) == 4, "each note once, and one text that tells how long vectors are"
                assert all(text.startswith("search_document: ") for text in sent)
                assert {text.rpartition("\n")[2] for text in sent} >= {
                    "Seven plums ripen on the wall.",
                    "The diesel engine drips oil.",
                    "The code of the safe.",
                }
                told = house.status()["embeddings"]
                assert (told["model"], told["state"], told["notes"]) == (
                    "nomic-embed-text",
                    "ready",
                    {"embedded": 3, "total": 3},
                )
                assert "plums" not in json.dumps(house.status()["embeddings"]).casefold()
                found = await build_context(house, Request(text="diesel"))
                assert found["passages"][0]["path"] == "Engine.md"
                write(root, {"New.md": "The accordion wheezes."})
                await eventually(lambda: "New.md" in house.vault.snapshot.notes)
                await filled(house)
                found = await build_context(house, Request(text="accordion"))
                assert found["passages"][0]["path"] == "New.md"
                asked = len(inputs(ollama))
            assert (tmp_path / "state").is_dir()
            async with opened(tmp_path, ollama, watch=False) as house:
                found = await build_context(house, Request(text="accordion"))
                assert found["passages"][0]["path"] == "New.md"
                assert len(inputs(ollama)) == asked + 1, "only the question"

    asyncio.run(test())


def test_a_question_whose_vector_does_not_come_is_answered_without_and_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        write(tmp_path / "vault", NOTES)
        async with double(models=MODELS) as ollama, opened(tmp_path, ollama) as house:
            await filled(house)
            ollama.fault("slow_first", seconds=1.0)
            found = done(await events(house, "ask", text="What about plums?"))
            assert found["degraded"] == ["embeddings"]
            assert house.vectors is not None
            vectors = house.vectors
            assert "not embedded within 0.3 s" in house.status()["embeddings"]["last_fault"]
            await eventually(lambda: vectors._breaker.state == "closed")
            again = done(await events(house, "ask", text="What about plums?"))
            assert again["degraded"] == []
            assert "Plums.md" in [one["path"] for one in again["sources"]], "what was made without is not taken for it"

    asyncio.run(test())


def test_a_context_for_which_the_question_was_not_embedded_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        write(tmp_path / "vault", NOTES)
        async with double(models=MODELS) as ollama, opened(tmp_path, ollama) as house:
            await filled(house)
            assert (await build_context(house, Request(text="plums")))["findings"] == []
            monkeypatch.setattr(type(house.vectors), "like", lambda *_: None)
            found = await build_context(house, Request(text="diesel"))
            assert [one["code"] for one in found["findings"]] == ["words_alone"]
            assert [one["path"] for one in found["passages"]] == ["Engine.md"]

    asyncio.run(test())


def test_a_context_made_with_fewer_vectors_is_not_given_again(tmp_path: Path) -> None:
    async def test() -> None:
        write(tmp_path / "vault", NOTES)
        async with double(models=MODELS) as ollama, opened(tmp_path, ollama) as house:
            await filled(house)
            first = await build_context(house, Request(text="diesel"))
            assert not first["cached"]
            assert (await build_context(house, Request(text="diesel")))["cached"]
            assert house.vectors is not None
            house.vectors._refused["x"] = float("inf")  # as while something is missing
            assert not (await build_context(house, Request(text="diesel")))["cached"]
            del house.vectors._refused["x"]
            assert (await build_context(house, Request(text="diesel")))["cached"]

    asyncio.run(test())


@pytest.mark.parametrize("trusted", [False, True])
def test_private_words_and_notes_go_to_a_trusted_node_alone(tmp_path: Path, trusted: bool) -> None:
    async def test() -> None:
        write(tmp_path / "vault", NOTES)
        async with double(models=MODELS, host="127.0.0.1") as ollama:
            profile = (ROOT / "inference/profiles/rtx3080.toml").read_text("utf-8")
            node = profile.replace('class = "local" ', 'class = "lan" ').replace("http://127.0.0.1:11434", ollama.url)
            own = write(tmp_path, {"own.toml": node}) / "own.toml"
            names = ("local",) if trusted else ()
            async with opened(tmp_path, ollama, ollama_url="", profile=str(own), trusted_nodes=names) as house:
                await filled(house)
                assert any("safe" in text for text in inputs(ollama)) is trusted
                before = len(inputs(ollama))
                await build_context(house, Request(text="What is in it?", note="Secret.md"))
                assert (len(inputs(ollama)) > before) is trusted
                before = len(inputs(ollama))
                done(await events(house, "ask", text="And here?", note="Secret.md", selection="The code of the safe."))
                assert any("safe" in text for text in inputs(ollama)[before:]) is trusted
                await build_context(house, Request(text="diesel", note="Plums.md"))
                assert "search_query: diesel" in inputs(ollama)

    asyncio.run(test())


def test_closing_while_it_fills_takes_no_time(tmp_path: Path) -> None:
    async def test() -> None:
        write(tmp_path / "vault", NOTES | {f"{n}.md": f"note {n}" for n in range(50)})
        async with double(models=MODELS) as ollama:
            async with opened(tmp_path, ollama) as house:
                ollama.fault("slow_first", seconds=30, times=None)
                assert house.vectors is not None
                vectors = house.vectors
                await eventually(lambda: vectors._under_way)
                began = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - began < 1.0
            assert not vectors._thread.is_alive()

    asyncio.run(test())


@contextmanager
def person_with(folder: Path, models: tuple[str, ...] = MODELS) -> Iterator[tuple[Person, Double]]:
    with double_in_thread(models=models) as ollama:
        person = Person(folder, write(folder / "vault", NOTES), ollama.url)
        file = write(folder, {"kos.toml": 'embeddings = "on"\n'}) / "kos.toml"
        person.env |= {"KOS_CONFIG": str(file)}
        yield person, ollama


def test_as_people_run_it(tmp_path: Path) -> None:
    with person_with(tmp_path) as (person, ollama):
        before = person.run("doctor")
        assert "embeddings     on; 0 notes have been looked at" in before.out
        with person.serving() as service:
            token = person.run("token").out.strip()

            def status() -> dict[str, Any]:
                headers = {"Authorization": f"Bearer {token}"}
                answer = httpx.get(f"{service.said['url']}/v1/status", headers=headers, trust_env=False)
                return dict(answer.json())

            until(lambda: status()["embeddings"]["state"] == "ready")
            assert status()["embeddings"]["notes"] == {"embedded": 3, "total": 3}
            assert status()["config"]["embeddings"] == "on"
            told = person.run("doctor")
            assert told.code == 0
            assert "embeddings     nomic-embed-text: 3 of 3 notes, ready" in told.out
            assert "model          nomic-embed-text for embeddings" in told.out
        assert "embeddings     on; 3 notes have been looked at" in person.run("doctor").out
        asked = len(inputs(ollama))
        assert person.run("context", "plums").code == 0
        assert asked <= len(inputs(ollama)) <= asked + 1
        assert "embeddings " not in person.run("doctor", "--embeddings", "off").out


def test_the_doctor_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with person_with(tmp_path, MODELS[:3]) as (person, _):
        with person.serving():
            until(lambda: "0 of 3 notes, waiting; not asked" in person.run("doctor").out)
            told = person.run("doctor").out
        assert "0 of 3 notes, waiting; not asked: nomic-embed-text is not on node local\n" in told
        assert told.count("broken") == 1, "one fact, one fault"
        assert "warning  embeddings" not in told
        assert "broken   model          nomic-embed-text for embeddings is not on node local" in told
        assert "ollama pull nomic-embed-text" in told
    settings = load({"vault": str(tmp_path / "vault"), "state_dir": str(tmp_path / "s"), "embeddings": "on"}, {})
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (check,) = doctor._embeddings(settings, {}, doctor._Embeddings())
    assert (check.status, check.found) == (
        "broken",
        "they are on, and numpy is not installed: search goes by words alone",
    )
    assert "knowledge-os[embeddings]" in check.fix
