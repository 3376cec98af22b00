"""Modes as people set them: over HTTP, with `kos mode`, and what the status and the doctor say then."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.profile import NodeConfig
from tests.edge import House, ask, make, modes_of
from tests.kos import Person, Serving, until
from tests.ollama_api import Double
from tests.ollama_double import double_in_thread

DESK = NodeConfig("desk", "ollama", "http://127.0.0.1:9", "local")


@pytest.fixture
def ollama() -> Iterator[Double]:
    with double_in_thread(models=["qwen2.5:7b", "llama3.2:3b", "qwen3:8b"], kv_type="q8_0") as found:
        yield found


def row(mode: str, node: str = "desk") -> dict[str, Any]:
    return {"node": node, "mode": mode, "told_by": "person", "age_seconds": 0.0, "error": ""}


def client_of(person: Person, service: Serving) -> httpx.Client:
    headers = {"Authorization": f"Bearer {person.run('token').out.strip()}"}
    return httpx.Client(base_url=str(service.said["url"]), headers=headers, trust_env=False, timeout=60)


def test_a_mode_is_told_and_set_over_http(tmp_path: Path) -> None:
    app = make(tmp_path, House(modes=modes_of({"desk": DESK})))
    assert ask(app, "GET", "/v1/mode").json == {"nodes": [row("NORMAL")]}
    assert ask(app, "GET", "/v1/nodes").json["nodes"][0]["mode"] == "NORMAL"


def test_nodes_without_modes_have_none(tmp_path: Path) -> None:
    app = make(tmp_path, House())
    assert ask(app, "GET", "/v1/mode").json == {"nodes": []}
    assert "mode" not in ask(app, "GET", "/v1/nodes").json["nodes"][0]
    refused = ask(app, "PUT", "/v1/mode", {"mode": "GAMING"})
    assert (refused.status, refused.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 422, "mode"),
        ({"mode": "gaming"}, 422, "GAMING"),
        ({"mode": "GAMING", "node": "x" * 2000}, 422, "node"),
        ({"mode": "GAMING", "for": 3}, 422, "It takes node, mode."),
        ({"mode": "GAMING", "node": "rack"}, 404, "called rack"),
        ({"mode": "GAMING", "node": "tower"}, 409, "http://tower.local:18000 tells"),
    ],
)
def test_what_cannot_be_set_is_refused_and_changes_nothing(
    tmp_path: Path, body: dict[str, Any], status: int, says: str
) -> None:
    tower = NodeConfig("tower", "ollama", "http://tower.local:11434", "lan", mode_url="http://tower.local:18000")
    app = make(tmp_path, House(modes=modes_of({"desk": DESK, "tower": tower})))
    refused = ask(app, "PUT", "/v1/mode", body)
    assert refused.status == status
    assert says in refused.body.decode()
    assert ask(app, "GET", "/v1/nodes").json["nodes"][0]["mode"] == "NORMAL"


def test_gaming_frees_the_card_of_a_service_and_the_vault_answers_alone(tmp_path: Path, ollama: Double) -> None:
    person = Person(tmp_path, ollama=ollama.url)
    assert person.run("mode").out == "local  NORMAL  set here\n"
    with person.serving() as service, client_of(person, service) as client:
        assert client.post("/ask", json={"text": "What is due?"}).json()["degraded"] == []
        assert ollama.machine.loaded
        assert person.run("mode", "gaming", "--json").json == {"nodes": [row("GAMING", "local")]}
        until(lambda: not ollama.machine.loaded)
        alone = client.post("/ask", json={"text": "What is due now?"}).json()
        assert "model" in alone["degraded"]
        assert "in mode GAMING" in json.dumps(alone["findings"])
        assert client.get("/v1/status").json()["nodes"][0]["mode"] == "GAMING"
        forced = client.post("/ask", json={"text": "What is due at once?"}, headers={"X-Force-Big": "true"}).json()
        assert forced["degraded"] == []
        until(lambda: not ollama.machine.loaded)
        assert "node local is in mode GAMING" in person.run("doctor").out
    with person.serving() as service, client_of(person, service) as client:
        assert client.get("/v1/mode").json() == {"nodes": [row("GAMING", "local")]}, "it is kept over a restart"
        back = client.put("/v1/mode", json={"node": "local", "mode": "NORMAL"}).json()
        assert back == {"nodes": [row("NORMAL", "local")]}
        assert client.post("/ask", json={"text": "And now?"}).json()["degraded"] == []


def test_without_a_service_the_mode_is_kept_and_the_card_freed_all_the_same(tmp_path: Path, ollama: Double) -> None:
    person = Person(tmp_path, ollama=ollama.url)
    assert person.run("ask", "What is due?", "--json").json["degraded"] == []
    assert ollama.machine.loaded
    ran = person.run("mode", "GAMING", "--node", "local")
    assert (ran.code, ran.out) == (0, "local  GAMING  set here\n")
    until(lambda: not ollama.machine.loaded)
    assert "model" in person.run("ask", "What is due?", "--json").json["degraded"]
    assert "node local is in mode GAMING" in person.run("doctor").out
    wrong = person.run("mode", "GAMING", "--node", "rack")
    assert (wrong.code, wrong.out) == (1, "")
    assert "Nodes that have modes are local." in wrong.err
    assert person.run("mode", "sleeping").code == 2
    assert person.run("mode", "normal").out == "local  NORMAL  set here\n"
    assert person.run("ask", "What is due?", "--json").json["degraded"] == []


def test_a_profile_that_is_named_is_looked_at_here_and_the_service_hears_of_its_machine(
    tmp_path: Path, ollama: Double
) -> None:
    person = Person(tmp_path, ollama=ollama.url)
    with person.serving() as service, client_of(person, service) as client:
        told = person.run("mode", "GAMING", "--profile", "cpu")
        assert (told.code, told.out) == (0, "local  GAMING  set here\n")
        until(lambda: client.get("/v1/mode").json()["nodes"][0]["mode"] == "GAMING")
        other = Person(tmp_path / "other", ollama=ollama.url)
        other.env["KOS_STATE_DIR"] = str(person.state)
        assert other.run("mode").out == "local  GAMING  set here\n", "another vault, the same card"
        assert person.run("mode", "--profile", "nosuch").code == 2
