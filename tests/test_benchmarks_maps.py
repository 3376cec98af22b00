"""The labelled set around a map of 500 links: ours against a dump of its members and against full-text search alone."""

import re

import pytest

from benchmarks.maps import BUDGETS, Row, measure, ours
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


@pytest.mark.parametrize("simple", ["one-hop dump", "one-hop dump of beginnings"])
@pytest.mark.parametrize("way", ["ours", "ours, no map open"])
def test_more_is_found_than_by_handing_the_map_on(rows: dict[tuple[str, int], Row], way: str, simple: str) -> None:
    we, they = rows[way, 8000], rows[simple, 8000]
    assert we.needed > they.needed + 0.2
    assert we.whole > they.whole + 0.2
    assert we.answers > they.answers + 0.2, "not the notes alone: what they say"


def test_more_is_found_than_by_words_alone(rows: dict[tuple[str, int], Row]) -> None:
    """Small chunks find most notes; what the notes say to the question is another thing, and a map knows more."""
    we, they = rows["ours", 8000], rows["BM25", 8000]
    assert (we.needed > they.needed, we.whole > they.whole) == (True, True)
    assert we.answers > they.answers + 0.1
    assert rows["ours, no map open", 8000].answers > they.answers


@pytest.mark.parametrize("how", ["words", "section", "line", "below", "query"])
def test_wherever_the_notes_lie(made: Set, how: str) -> None:
    cases = [case for case in CASES if case.how == how]
    we, they = measure(*made, "ours", 8000, cases), measure(*made, "BM25", 8000, cases)
    assert we.answers >= they.answers
    assert we.needed > 0.5


def test_the_hubs_bring_nothing_along(made: Set) -> None:
    """A note that half of the vault links to, and a list of a third of it, lead to no more than their own place."""
    vault, _ = made
    for case in CASES:
        vias = [passage.via for passage in ours(vault, case, 8000).passages if passage.lane == "maps"]
        assert "People/Mara.md" not in vias
        assert sum(via == "Inventory.md" for via in vias) <= 3
