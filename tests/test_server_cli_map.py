"""`kos map` as people run it: in a process of its own and through a service, the same; and what it says when it cannot."""

from pathlib import Path

import pytest

from tests.kos import Person
from tests.vaults import write

FILES = {
    "Home.md": "[[One]] [[Nowhere]]\n# Open\n```dataview\nLIST WHERE due <= date(today)\n```\n# Code\n```dataviewjs\nx\n```\n",
    "One.md": "---\ndue: 2025-09-20\n---\n",
    "Two.md": "---\ndue: 2025-09-10\nup: '[[Home]]'\n---\n",
    ".obsidian/app.json": "{}",
}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path, write(tmp_path / "vault", FILES))


def test_a_map_shows_its_members_and_how_each_was_found(person: Person) -> None:
    ran = person.run("map", "home")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "Home.md (named as a map)",
        "  One.md  (link)",
        "",
        "Open",
        "  Two.md  (dataview)",
    ]
    assert "a query (dataviewjs) below Code is not evaluated: JavaScript is not run here" in ran.err
    assert "2 members, 1 link leads nowhere" in ran.err


def test_all_maps_are_listed_with_their_size(person: Person) -> None:
    assert person.run("map").out == "    2  Home.md  (named as a map)\n"


def test_a_service_and_a_process_of_its_own_say_the_same_also_of_another_day(person: Person) -> None:
    asked = [["map", "--json"], ["map", "Home", "--json"], ["map", "Home", "--json", "--now", "2025-09-05"]]
    alone = [person.run(*words).json for words in asked]
    with person.serving():
        assert [person.run(*words).json for words in asked] == alone
    late, early = (" ".join(member["path"] for member in found["members"]) for found in alone[1:])
    assert (late, early) == ("One.md Two.md", "One.md Two.md")
    assert [member["how"] for member in alone[1]["members"]] == ["link", "dataview"]
    assert [member["how"] for member in alone[2]["members"]] == ["link", "belongs: up"], (
        "nothing is due on that day yet"
    )


@pytest.mark.parametrize(("name", "told"), [("Nope", "there is no note"), ("One", "a note, but no map")])
def test_what_is_no_map_is_said(person: Person, name: str, told: str) -> None:
    for ran in (person.run("map", name), person.run("map", name, "--json")):
        assert ran.code == 1
        assert told in ran.out + ran.err


def test_a_vault_without_maps_is_told_how_one_is_made(tmp_path: Path) -> None:
    ran = Person(tmp_path, write(tmp_path / "vault", {"a.md": "prose\n"})).run("map")
    assert (ran.code, ran.out) == (0, "")
    assert "type: moc" in ran.err
