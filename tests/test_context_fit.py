"""How a member's place in a map fits the words of a request."""

from pathlib import Path

import pytest

from context.calendar import calendar
from context.fit import Fit
from context.maps import Member
from context.members import members_of
from context.vault import Vault
from tests.vaults import open_vault

MAP = """---
depot: "[[Property]]"
---
## Bees
- [[Zinc strips]] – notes
- [[Straps]] – notes
## Vehicles
- [[Tractor]] – notes, inspection in November
- [[Trailer|the tipping one]] – notes
- [[Car]] and [[Van]] – notes
## Other
""" + "".join(f"- [[n{n}]] – notes\n" for n in range(20))
FILES = {
    "@Farm.md": MAP,
    "Straps.md": "---\naliases: [Belts against gales]\n---\n",
    "Cellar MOC.md": "- [[Left rack]]\n",
    "plain.md": "[[Zinc strips]]",
    **{f"{name}.md": "" for name in ("Zinc strips", "Tractor", "Trailer", "Car", "Van", "Left rack", "Property")},
    **{f"n{n}.md": "" for n in range(20)},
}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return open_vault(tmp_path_factory.mktemp("fit"), FILES)


def fit(vault: Vault, text: str, hits: dict[str, float] | None = None, *, stale: bool = False) -> Fit:
    snapshot = vault.snapshot
    members = members_of(snapshot, calendar("2025-09-14", "UTC"))
    return Fit(
        text,
        snapshot,
        lambda path: "" if stale else vault.text(path)[1],
        lambda path: members.of(path).members,
        hits or {},
    )


def places(vault: Vault, text: str, path: str = "@Farm.md", *, stale: bool = False) -> dict[str, float]:
    """Member → how its place fits; those that do not fit left out."""
    found = fit(vault, text, stale=stale)
    members = members_of(vault.snapshot, calendar("2025-09-14", "UTC")).of(path).members
    values = {one.path.removesuffix(".md"): found.place(path, one) for one in members}
    return {path: value for path, value in values.items() if value}


def test_name_then_section_then_line(vault: Vault) -> None:
    assert places(vault, "the tractor") == {"Tractor": 1.0}
    assert places(vault, "vehicles?") == dict.fromkeys(("Tractor", "Trailer", "Car", "Van"), pytest.approx(0.8))
    assert places(vault, "Which has an inspection?") == {"Tractor": pytest.approx(0.6)}


def test_other_names_other_forms_and_other_words_of_a_link_count(vault: Vault) -> None:
    assert places(vault, "belt") == {"Straps": 1.0}, "by its alias"
    assert places(vault, "bee") == dict.fromkeys(("Zinc strips", "Straps"), pytest.approx(0.8))
    assert places(vault, "tipping") == {"Trailer": pytest.approx(0.6)}, "by the words the link shows"
    assert "Car" in places(vault, "notes")
    assert places(vault, "depot") == {}, "what stands in the properties has no line"


def test_the_name_of_a_map_goes_for_all_it_gathers(vault: Vault) -> None:
    assert places(vault, "what is in the cellar", "Cellar MOC.md") == {"Left rack": pytest.approx(0.6)}


def test_words_that_stand_everywhere_say_little(vault: Vault) -> None:
    found = places(vault, "notes on the inspection")
    assert found["Tractor"] > 0.55
    assert found["Trailer"] < 0.15


def test_what_is_asked_and_said_nowhere_counts_against_the_rest(vault: Vault) -> None:
    assert places(vault, "tractor, harvester and plough")["Tractor"] < 0.5


def test_a_fitting_text_adds_to_the_place(vault: Vault) -> None:
    member, other = Member("Tractor.md", "Vehicles", "link"), Member("Car.md", "Vehicles", "link")
    found = fit(vault, "vehicles", {"Tractor.md": 1.0})
    assert found("@Farm.md", member) == pytest.approx(0.9)
    assert found("@Farm.md", other) == pytest.approx(0.8)
    assert fit(vault, "nothing of it", {"Car.md": 1.0})("@Farm.md", other) == pytest.approx(0.5)


def test_without_words_nothing_fits(vault: Vault) -> None:
    assert places(vault, "") == {}
    assert fit(vault, "")("@Farm.md", Member("Tractor.md", "Vehicles", "link")) == 0


def test_a_note_that_is_no_map_shows_only_names(vault: Vault) -> None:
    found = fit(vault, "zinc plain")
    assert found.place("plain.md", Member("Zinc strips.md", "", "link")) == pytest.approx(0.5)


def test_of_a_map_that_changed_meanwhile_no_line_is_read(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, FILES)
    assert places(vault, "inspection", stale=True) == {}
    assert places(vault, "inspection") == {"Tractor": pytest.approx(0.6)}, "and it is not taken for good"


def test_one_endless_line_is_read_around_each_link_only(tmp_path: Path) -> None:
    links = " ".join(f"[[n{n}]] word{n} " + "x " * 200 for n in range(20))
    found = places(open_vault(tmp_path, {**FILES, "@Farm.md": links}), "word7")
    assert set(found) <= {"n7", "n8"}
