"""Kinds of notes: told by type, else tag, else folder; and what a configuration makes of them."""

import json
from pathlib import Path

import pytest

from context.kinds import KINDS, Kind, Kinds, configured
from context.note import parse
from context.vault import VaultOptions
from tests.vaults import open_vault

TABLE = configured(
    {
        "project": {"folder": "Efforts", "tags": ["Effort"]},
        "dish": {"types": ["Dish", "meal"], "folder": "Kitchen/Dishes"},
        "moc": {"types": ["atlas"], "tags": ["atlas"], "folder": "Atlas"},
    }
)


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("a.md", "---\ntype: Project\n---\n", "project"),
        ("a.md", "---\ntype: ' meal '\n---\n", "dish"),
        ("a.md", "#effort/house\n", "project"),
        ("efforts/deep/a.md", "", "project"),
        ("Efforts of mine/a.md", "", ""),
        ("Kitchen/a.md", "", ""),
        ("Kitchen/Dishes/a.md", "#Effort", "project"),  # a tag before a folder
        ("Kitchen/Dishes/a.md", "---\ntype: server\n---\n#Effort", "hardware"),  # a type before both
        ("Efforts/a.md", "---\ntype: meeting\n---\n", ""),  # what it says it is, it is
        ("Efforts/@Map.md", "", "moc"),
        ("Efforts/2025-09-14.md", "#Effort", ""),  # a day speaks of projects and is none
        ("2025-09-14.md", "---\ntype: daily\n---\n", "daily"),
        ("a.md", "---\ntype: [project]\n---\n", ""),
    ],
)
def test_the_kind_of_a_note(tmp_path: Path, path: str, text: str, kind: str) -> None:
    daily = {".obsidian/daily-notes.json": json.dumps({"folder": path.rpartition("/")[0]})}
    snapshot = open_vault(tmp_path, {path: text, **daily}, VaultOptions(kinds=TABLE)).snapshot
    assert snapshot.kind(snapshot.notes[path]) == kind


def test_by_default_only_types_and_the_tag_of_maps_count(tmp_path: Path) -> None:
    texts = {"Projects/a.md": "#project", "Hardware/b.md": "", "c.md": "#moc", "d.md": "---\ntype: device\n---\n"}
    snapshot = open_vault(tmp_path, texts).snapshot
    assert [snapshot.kind(snapshot.notes[path]) for path in texts] == ["", "", "moc", "hardware"]


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("a.md", "---\ntype: Atlas\n---\n", "type: Atlas"),
        ("a.md", "---\ntype: moc\n---\n", ""),  # its types are others now
        ("a.md", "#atlas", "tagged #atlas"),
        ("a.md", "#moc", ""),
        ("Atlas/a.md", "", "in the folder Atlas"),
        ("@a.md", "", "name begins with @"),
    ],
)
def test_maps_by_the_configured_kind(tmp_path: Path, path: str, text: str, why: str) -> None:
    assert open_vault(tmp_path, {path: text}, VaultOptions(kinds=TABLE)).snapshot.maps.get(path, "") == why


def test_a_configuration_changes_what_it_says_and_adds() -> None:
    found = {kind.name: kind for kind in configured({"project": {"folder": "P"}, "dish": {"keywords": ["cook"]}})}
    assert found["project"] == Kind("project", ("project",), "P")
    assert found["dish"] == Kind("dish", ("dish",), keywords=("cook",))
    assert {name: kind for name, kind in found.items() if name not in {"project", "dish"}} == {
        kind.name: kind for kind in KINDS if kind.name != "project"
    }
    assert configured({}) == KINDS


def test_no_note_is_of_a_kind_that_is_not_there() -> None:
    assert Kinds()["nothing"] == Kind("nothing")
    assert Kinds((Kind("bare"),)).of(parse("a.md", b"---\ntype: ''\n---\n")) == ""
