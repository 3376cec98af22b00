"""Maps over HTTP: listed, shown, named in every way a client may write a path, and looked up beside the event loop."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from context.members import Members
from tests.edge import House, Reply, ask, live, make
from tests.test_server_api import contents
from tests.vaults import open_vault

FILES = {
    "Maps/Garden.md": "# Beds\n[[Leek]] [[Nowhere]]\n## North\n![[Kale]]\n",
    "Maps/50% wild & such.md": "[[Leek]]\n",
    "@Köche.md": '---\nup: "[[Garden]]"\n---\n',
    "Board.canvas": '{"nodes": [{"type": "file", "file": "Leek.md"}]}',
    "Leek.md": "canary prose\n",
    "Kale.md": "",
}
GARDEN: dict[str, Any] = {
    "path": "Maps/Garden.md",
    "why": "in the folder maps",
    "members": [
        {"path": "Leek.md", "section": "Beds", "how": "link"},
        {"path": "Kale.md", "section": "Beds > North", "how": "embed"},
        {"path": "@Köche.md", "section": "", "how": "belongs: up"},
    ],
    "places": [
        {"path": "Leek.md", "section": "Beds", "how": "link"},
        {"path": "Kale.md", "section": "Beds > North", "how": "embed"},
        {"path": "@Köche.md", "section": "", "how": "belongs: up"},
    ],
    "unresolved": 1,
    "unsupported": [],
}


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return make(tmp_path, House(vault=open_vault(tmp_path / "vault", FILES)))


def refused(reply: Reply) -> dict[str, Any]:
    assert (reply.status, reply.error["code"]) == (404, "not_found")
    assert "canary" not in reply.body.decode()
    return reply.error


def test_maps_are_listed(app: FastAPI) -> None:
    assert ask(app, "GET", "/v1/maps").json == {
        "maps": [
            {"path": "@Köche.md", "why": "name begins with @", "members": 1},
            {"path": "Board.canvas", "why": "canvas", "members": 1},
            {"path": "Maps/50% wild & such.md", "why": "in the folder maps", "members": 1},
            {"path": "Maps/Garden.md", "why": "in the folder maps", "members": 3},
        ]
    }


def test_a_map_is_shown_with_its_members(app: FastAPI) -> None:
    assert ask(app, "GET", "/v1/maps/Maps/Garden.md").json == GARDEN
    assert ask(app, "GET", "/v1/maps/Board.canvas").json == {
        "path": "Board.canvas",
        "why": "canvas",
        "members": [{"path": "Leek.md", "section": "", "how": "link"}],
        "places": [{"path": "Leek.md", "section": "", "how": "link"}],
        "unresolved": 0,
        "unsupported": [],
    }
    assert ask(app, "GET", "/v1/maps/@Köche").json["members"] == [
        {"path": "Maps/Garden.md", "section": "", "how": "property"}
    ]


def test_a_path_is_percent_encoded_on_the_wire(tmp_path: Path) -> None:
    vault = open_vault(tmp_path / "vault", FILES)
    with live(tmp_path, House(vault=vault)) as service, service.client() as client:
        for written in ("Maps/Garden.md", "Maps%2FGarden.md", "Maps/Garden", "Garden", "garden", "%2FMaps%2FGarden"):
            assert client.get(f"/v1/maps/{written}").json() == GARDEN
        for path in FILES:
            encoded = "".join(f"%{byte:02X}" for byte in path.encode())
            found = client.get(f"/v1/maps/{encoded}")
            assert found.status_code == (200 if path in vault.snapshot.maps else 404)
            assert found.json().get("path", path) == path
        for written in ("%00", "%FF%FE", "..%2F..%2Fetc%2Fpasswd", "%2e%2e/%2e%2e/etc/passwd", "", "%20"):
            assert client.get(f"/v1/maps/{written}").json()["error"]["code"] == "not_found"


def test_what_is_no_map_is_told_apart_from_what_is_not_there(app: FastAPI) -> None:
    note, nothing = refused(ask(app, "GET", "/v1/maps/Leek.md")), refused(ask(app, "GET", "/v1/maps/Nowhere"))
    assert note["message"] == "this is a note, but no map of content"
    assert "`type: moc`" in note["hint"]
    assert nothing["message"] == "there is no note of this path or name"
    assert "GET /v1/maps" in nothing["hint"]


def test_a_map_is_as_fresh_as_the_vault(tmp_path: Path) -> None:
    vault = open_vault(tmp_path / "vault", FILES)
    app = make(tmp_path, House(vault=vault))
    (vault.root / "Maps/Garden.md").write_text("[[Nowhere]]\n")
    (vault.root / "Nowhere.md").write_text("")
    vault.refresh()
    found = ask(app, "GET", "/v1/maps/Garden").json
    assert (found["members"], found["unresolved"]) == (
        [{"path": "Nowhere.md", "section": "", "how": "link"}, GARDEN["members"][2]],
        0,
    )


def test_maps_wait_for_the_vault_and_are_only_read(tmp_path: Path, app: FastAPI) -> None:
    before = contents(tmp_path / "vault")
    for path in ("/v1/maps", "/v1/maps/Garden"):
        assert ask(make(tmp_path, None), "GET", path).error["code"] == "busy"
        assert ask(app, "POST", path, {}).status == 405
        assert ask(app, "GET", path, headers={"Authorization": ""}).status == 401
        assert ask(app, "GET", path).status == 200
    assert contents(tmp_path / "vault") == before


@pytest.mark.parametrize("path", ["/v1/maps", "/v1/maps/Garden"])
def test_other_requests_are_answered_meanwhile(app: FastAPI, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[bool] = []

    of = Members.of

    def looked(members: Members, name: str) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            loops.append(threading.current_thread() is threading.main_thread())
        return of(members, name)

    monkeypatch.setattr(Members, "of", looked)
    assert ask(app, "GET", path).status == 200
    assert loops
    assert not any(loops)


def test_the_day_of_a_query_is_the_persons(tmp_path: Path) -> None:
    files = {"Home.md": "```dataview\nLIST WHERE due <= date(today)\n```\n", "One.md": "---\ndue: 2025-09-10\n---\n"}
    app = make(tmp_path, House(vault=open_vault(tmp_path / "vault", files)))
    assert ask(app, "GET", "/v1/maps/Home?now=2025-09-10").json["members"]
    assert not ask(app, "GET", "/v1/maps/Home?now=2025-09-09").json["members"]
    assert ask(app, "GET", "/v1/maps?timezone=Europe/Berlin").status == 200
    for wrong in ("now=never", "timezone=Nowhere/Here", f"now={'2' * 70}"):
        reply = ask(app, "GET", f"/v1/maps/Home?{wrong}")
        assert (reply.status, reply.error["code"]) == (422, "invalid")
