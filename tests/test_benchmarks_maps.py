"""The labelled set around a map of 500 links: ours against a dump of its members and against full-text search alone."""

import re
from pathlib import Path

import pytest

from benchmarks.maps import BUDGETS, Row, measure, needed, ours
from context.calendar import calendar
from context.members import members_of
from context.vault import Vault
from tests.map_cases import CASES, LINKS, MAP, TODAY, Household, household, make
from tests.vaults import open_vault

Set = tuple[Vault, Household]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Set:
    root = tmp_path_factory.mktemp("homestead")
    return open_vault(root, make(root).files), household()


@pytest.fixture(scope="module")
def rows(made: Set) -> dict[tuple[str, int], Row]:
    """What each way finds at the budget of the promise, and ours at all."""
    wanted = [("ours", budget) for budget in BUDGETS]
    wanted += [(way, 8000) for way in ("ours, no map open", "one-hop dump", "one-hop dump of beginnings", "BM25")]
    return {(way, budget): measure(*made, way, budget) for way, budget in wanted}


def test_the_set_is_what_it_says(made: Set) -> None:
    vault, home = made
    assert home == household(), "the same at each call"
    assert len(re.findall(r"(?<!!)\[\[", home.files[MAP])) == LINKS
    assert len(CASES) >= 24
    members = {one.path: one for one in members_of(vault.snapshot, calendar(TODAY, "UTC")).of(MAP).members}
    for case in CASES:
        paths = [home.paths[title] for title in case.needs]
        assert all(home.answers[title] in home.files[path] for title, path in zip(case.needs, paths, strict=True))
        hows = {members[path].how if path in members else "" for path in paths}
        assert hows <= {"query": {"dataview", "base"}, "below": {""}}.get(case.how, {"link"}), case.text
    most = max(len(sources) for sources in vault.snapshot.graph.back.values())
    assert most > len(vault.snapshot.notes) / 2, "one note that half of the vault links to"


def test_the_budget_always_holds(rows: dict[tuple[str, int], Row]) -> None:
    assert all(0 < row.tokens <= budget for (_, budget), row in rows.items())


def test_every_section_is_there(rows: dict[tuple[str, int], Row]) -> None:
    assert rows["ours", 8000].sections == 1.0


@pytest.mark.parametrize("simple", ["one-hop dump", "one-hop dump of beginnings", "BM25"])
@pytest.mark.parametrize("way", ["ours", "ours, no map open"])
def test_more_of_the_needed_notes_is_found(rows: dict[tuple[str, int], Row], way: str, simple: str) -> None:
    we, they = rows[way, 8000], rows[simple, 8000]
    assert we.needed > they.needed + 0.2
    assert we.whole > they.whole + 0.2
    assert we.answers > they.answers + 0.2, "not the notes alone: what they say"


@pytest.mark.parametrize("how", ["words", "section", "line", "below", "query"])
def test_wherever_the_notes_lie(made: Set, how: str) -> None:
    cases = [case for case in CASES if case.how == how]
    we, they = measure(*made, "ours", 8000, cases), measure(*made, "BM25", 8000, cases)
    assert we.needed >= they.needed
    assert we.needed > 0.5


def test_the_hubs_bring_nothing_along(made: Set) -> None:
    """A note that half of the vault links to, and a list of a third of it, lead to no more than their own place."""
    vault, _ = made
    for case in CASES:
        vias = [passage.via for passage in ours(vault, case, 8000).passages if passage.lane == "maps"]
        assert "People/Mara.md" not in vias
        assert sum(via == "Inventory.md" for via in vias) <= 3


def test_a_note_without_its_map_is_missed(made: Set, tmp_path: Path) -> None:
    """What finds the notes is the map: with its headings and links taken away, so are they."""
    _, home = made
    files = {path: text for path, text in home.files.items() if path != MAP and not path.endswith((" MOC.md", ".base"))}
    vault = open_vault(tmp_path, {**files, MAP: "---\ntype: moc\n---\n"})
    cases = [case for case in CASES if case.how in ("section", "line")]
    found = [needed(home, case, ours(vault, case, 8000))[0] for case in cases]
    whole = [needed(home, case, ours(made[0], case, 8000))[0] for case in cases]
    assert sum(found) < sum(whole) - 3
