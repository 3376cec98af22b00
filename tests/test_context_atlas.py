"""The maps of a vault, looked up: the list, one map with its members, and what is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from context.atlas import Entry, Map, NoMapError, find, maps
from context.calendar import calendar
from context.kinds import configured
from context.maps import Member
from context.members import Members
from context.vault import VaultOptions
from tests.vaults import open_vault

FILES: dict[str, str | bytes] = {
    "Maps/Garden.md": '---\nup: "[[Home]]"\n---\n# Beds\n[[Leek]] [[Nowhere]] [[Nowhere]]\n## North\n![[plan.png]] [[Kale]] [[Leek]]\n',
    "Home.md": "[[Garden]] [[Soon]] [[Later]]\n",
    "Board.canvas": json.dumps(
        {
            "nodes": [
                {"id": "1", "type": "file", "file": "Beds/Leek.md"},
                {"id": "2", "type": "text", "text": "see [[Kale]] and [[Nowhere]]"},
            ]
        }
    ),
    "Beds/Leek.md": "prose\n",
    "Beds/Kale.md": "[[Leek]]\n",
    "Beds/Garden.md": "a note of the same name, further away\n",
    "plan.png": b"\x89PNG",
}

TODAY = calendar("2025-09-14", "Europe/Berlin")


@pytest.fixture
def vault(tmp_path: Path) -> Members:
    return Members(open_vault(tmp_path, FILES).snapshot, TODAY)


def test_every_map_is_listed_with_its_reason_and_size(vault: Members) -> None:
    assert maps(vault) == [
        Entry("Board.canvas", "canvas", 2),
        Entry("Home.md", "named as a map", 2),
        Entry("Maps/Garden.md", "in the folder maps", 4),
    ]
    assert [entry.members for entry in maps(vault)] == [len(find(vault, entry.path).members) for entry in maps(vault)]


def test_a_map_has_its_members_in_its_own_order(vault: Members) -> None:
    assert find(vault, "Maps/Garden.md") == Map(
        "Maps/Garden.md",
        "in the folder maps",
        (
            Member("Home.md", "", "property"),
            Member("Beds/Leek.md", "Beds", "link"),
            Member("plan.png", "Beds > North", "embed"),
            Member("Beds/Kale.md", "Beds > North", "link"),
        ),
        (
            Member("Home.md", "", "property"),
            Member("Beds/Leek.md", "Beds", "link"),
            Member("plan.png", "Beds > North", "embed"),
            Member("Beds/Kale.md", "Beds > North", "link"),
            Member("Beds/Leek.md", "Beds > North", "link"),
        ),
        1,
        (),
    )
    assert find(vault, "Home.md").unresolved == 2


def test_a_canvas_gathers_its_files_and_links(vault: Members) -> None:
    members = (Member("Beds/Leek.md", "", "link"), Member("Beds/Kale.md", "", "link"))
    assert find(vault, "Board.canvas") == Map("Board.canvas", "canvas", members, members, 1, ())


@pytest.mark.parametrize("name", ["Maps/Garden.md", "Maps/Garden", "maps/GARDEN", "/Maps/Garden", "./Maps/Garden"])
def test_a_map_is_named_as_a_link_names_it(vault: Members, name: str) -> None:
    assert find(vault, name).path == "Maps/Garden.md"
    assert find(vault, "home").path == "Home.md"


@pytest.mark.parametrize("name", ["", " ", "Nowhere", "../Home", "plan.png", "Home.md/", "\0", "x" * 5000])
def test_what_is_no_note_is_not_found(vault: Members, name: str) -> None:
    with pytest.raises(NoMapError, match="there is no note") as refused:
        find(vault, name)
    assert refused.value.code == "not_found"


def test_a_note_that_is_no_map_is_told_what_makes_one(tmp_path: Path) -> None:
    told_by: list[tuple[dict[str, Any], str]] = [
        ({}, "`type: map`, `type: moc`, #moc, a name such"),
        ({"types": [], "tags": ["atlas"], "folder": "Maps of it"}, "is a map by #atlas, the folder Maps of it, a name"),
    ]
    for fields, told in told_by:
        options = VaultOptions(kinds=configured({"moc": fields}))
        snapshot = Members(open_vault(tmp_path, {"Leek.md": "prose\n"}, options).snapshot, TODAY)
        with pytest.raises(NoMapError, match="a note, but no map") as refused:
            find(snapshot, "Leek")
        assert told in refused.value.hint


def test_what_the_hint_names_makes_a_note_a_map(tmp_path: Path) -> None:
    links = " ".join(f"[[n{number}]]" for number in range(10))
    files = {
        "typed.md": "---\ntype: map\n---\n", "tagged.md": "#moc\n", "@Topic.md": "", "Topic MOC.md": "", "Map of it.md": "",
        "Index.md": "", "Home.md": "", "Beds/Beds.md": "", "Maps/one.md": "", "hub.md": links,
    }  # fmt: skip
    found = Members(open_vault(tmp_path, files | {f"n{number}.md": "" for number in range(10)}).snapshot, TODAY)
    assert {entry.path for entry in maps(found)} == set(files)


def test_a_map_is_named_by_what_people_call_it(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "Maps/Beds.md": "---\naliases: [Garden, Café, Both, Board, Leek]\n---\n",
        "Maps/Shed.md": "---\naliases: [Both]\n---\n",
        "Leek.md": "",
        "Deep/Board.canvas": "{}",
        "Deep/Shelf.base": "",
        "Deep/Plan.canvas": "{}",
        "Plan.png": b"",
        "Twin.base": "",
        "Twin.canvas": "{}",
    }
    members = Members(open_vault(tmp_path, files).snapshot, TODAY)
    meant = {
        "garden": "Maps/Beds.md",
        " Cafe\u0301": "Maps/Beds.md",
        "Board": "Maps/Beds.md",
        "Shelf": "Deep/Shelf.base",
    }
    meant |= {"deep/board": "Deep/Board.canvas", "Plan": "Deep/Plan.canvas", "Twin": "Twin.canvas"}
    assert {name: find(members, name).path for name in meant} == meant
    for name, why in (
        ("Both", "no note of this path"),
        ("Leek", "no map"),
        ("Plan.png", "no note"),
        ("Nowhere", "no note"),
    ):
        with pytest.raises(NoMapError, match=why):
            find(members, name)
