"""The questions about the example vault: the context of each against plain full-text search, and how both are judged."""

import pytest

from benchmarks.questions import VAULT, WAYS, Found, Place, Question, Score, judge, load, measure, scores
from tests.vaults import open_vault

BUDGET = 2000
QUESTION = Question(
    "due-1",
    "due",
    "When?",
    "2025-09-14",
    ((Place("A.md", "", "on Monday"), Place("B.md")), (Place("C.md", "", "at six"),)),
)


@pytest.fixture(scope="module")
def figures() -> dict[str, Score]:
    rows = measure(open_vault(VAULT), load(), [BUDGET])
    return {one.way: one for one in scores(rows) if not one.kind}


def test_nothing_is_over_its_budget(figures: dict[str, Score]) -> None:
    assert figures["ours"].questions == len(load())
    assert all(one.over == 0 for one in figures.values())


def test_the_evidence_is_found_no_worse_than_by_plain_search(figures: dict[str, Score]) -> None:
    assert figures["ours"].evidence >= figures["FTS5"].evidence


def test_what_is_needed_comes_sooner_than_by_plain_search(figures: dict[str, Score]) -> None:
    assert figures["ours"].first >= figures["FTS5"].first


@pytest.mark.parametrize(
    ("found", "evidence", "first"),
    [
        ([], 0, 0),
        ([("A.md", "It is on Monday."), ("C.md", "It is at six.")], 1, 1),
        ([("B.md", "anything"), ("C.md", "It is at six.")], 1, 1),
        ([("A.md", "It is on Tuesday."), ("C.md", "It is at seven.")], 0, 1),
        ([("D.md", "on Monday at six")], 0, 0),
        ([*((f"{n}.md", "") for n in range(4)), ("C.md", "It"), ("C.md", "is at six"), ("B.md", "")], 1, 0.5),
        ([("A.md", "on "), ("A.md", "Monday")], 0, 0.5),
    ],
)
def test_evidence_counts_where_it_stands(found: list[tuple[str, str]], evidence: float, first: float) -> None:
    row = judge("ours", BUDGET, QUESTION, [Found(path, "", text) for path, text in found])
    assert (row.evidence, row.first, row.over) == (evidence, first, False)
    assert len(row.missed) == (1 - evidence) * 2


def test_more_notes_than_five_need_not_all_be_first() -> None:
    question = Question("map-1", "map", "Which?", "2025-09-14", tuple((Place(f"{n}.md"),) for n in range(7)))
    assert judge("ours", BUDGET, question, [Found(f"{n}.md", "", "") for n in range(7)]).first == 1


def test_a_context_over_its_budget_is_seen() -> None:
    row = judge("ours", 9, QUESTION, [Found("A.md", "B", "x" * 29)])
    assert (row.tokens, row.over) == (9, False)
    assert judge("ours", 8, QUESTION, [Found("A.md", "B", "x" * 29)]).over
    assert scores([row, judge("ours", 8, QUESTION, [])])[0].over == 0


@pytest.mark.parametrize("way", WAYS)
def test_every_way_keeps_to_the_scope(way: str) -> None:
    question = Question("scope-1", "scope", "salt", "2025-09-14", (), scope={"folder": "04-Knowledge/Recipes"})
    found = WAYS[way](open_vault(VAULT))(question, BUDGET)
    assert found
    assert all(one.path.startswith("04-Knowledge/Recipes/") for one in found)
