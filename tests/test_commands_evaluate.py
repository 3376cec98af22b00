"""What ways of gathering find of what questions mean: judged, scored, with the note of the question kept out."""

from pathlib import Path

import pytest

from commands.evaluate import BUDGETS, FLOOR, WAYS, Found, Row, Score, judge, measure, scores, share
from commands.questions import Question, questions
from context.assemble import Passage
from context.calendar import calendar
from context.vault import Vault
from tests.vaults import open_vault

TODAY = calendar("2025-09-14", "UTC")
FILES = {
    "Pond.md": "In summer clear water depends on the [[Pump]] alone.\n",
    "Pump.md": "It moves water and is clear of leaves in summer.\n",
    "Else.md": "Clear summer days.\n",
    "Secret.md": "---\nprivate: true\n---\nThe safe opens when seven brass wheels show the birthday.\n",
}


def passage(path: str, text: str, tokens: int = 10) -> Passage:
    return Passage(path, "", text, 0, len(text), "", "search", 1.0, "fits the words", tokens=tokens)


@pytest.mark.parametrize(
    ("passages", "found"),
    [
        ([], Found(False, False, 0)),
        ([passage("B.md", "the very words")], Found(False, False, 10)),
        ([passage("A.md", "other words")], Found(True, False, 10)),
        ([passage("A.md", "other"), passage("A.md", "all the very words.")], Found(True, True, 20)),
    ],
)
def test_a_context_is_judged_by_note_and_passage(passages: list[Passage], found: Found) -> None:
    assert judge(Question("sentences", "A.md", "A.md", "words", "the very words"), passages) == found


def test_where_the_note_as_a_whole_is_meant_any_passage_of_it_will_do() -> None:
    asked = Question("links", "B.md", "A.md", "words", hidden="B.md")
    assert judge(asked, [passage("A.md", "what it says")]) == Found(True, True, 10)
    assert judge(asked, [passage("C.md", "what it says")]) == Found(False, False, 10)


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    # Wilson's intervals as published tables have them (for example Brown, Cai, DasGupta 2001).
    [(0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (5, 10, 0.237, 0.763), (94, 100, 0.875, 0.972), (1, 1, 0.207, 1.0)],
)
def test_a_share_has_its_interval(part: int, whole: int, low: float, high: float) -> None:
    found = share(part, whole)
    assert found.mean == part / whole
    assert found.low == pytest.approx(low, abs=5e-4)
    assert found.high == pytest.approx(high, abs=5e-4)


def test_scores_are_by_task_way_and_budget() -> None:
    def row(task: str, quote: str, ms: float, *found: Found) -> Row:
        question = Question(task, "A.md", "B.md", "words", quote)
        return Row(question, FLOOR, dict(zip(BUDGETS, found, strict=True)), ms)

    none, note, both = Found(False, False, 100), Found(True, False, 200), Found(True, True, 300)
    rows = [
        row("headings", "q", 1.0, none, note, both),
        row("headings", "q", 9.0, none, both, both),
        row("links", "", 5.0, none, none, both),
    ]
    found = scores(rows)
    assert [(one.task, one.budget) for one in found] == [(t, b) for t in ("headings", "links") for b in BUDGETS]
    assert found[1] == Score("headings", FLOOR, 2000, 2, share(2, 2), share(1, 2), 250.0, 5.0)
    assert found[5] == Score("links", FLOOR, 4000, 1, share(1, 1), None, 300.0, 5.0)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return open_vault(tmp_path, FILES)


def test_every_way_is_asked_at_every_budget_and_none_goes_over(vault: Vault) -> None:
    asking = questions(vault, "links", 10) + questions(vault, "sentences", 10)
    told: list[int] = []
    rows = list(measure(vault, TODAY, asking, progress=told.append))
    assert told == list(range(1, len(asking) + 1))
    assert [row.way for row in rows] == [*WAYS] * len(asking)
    for row in rows:
        assert tuple(row.found) == BUDGETS
        assert all(one.tokens <= budget for budget, one in row.found.items())
        assert row.ms > 0


def test_the_note_that_holds_the_question_is_found_by_no_way(vault: Vault) -> None:
    """Its sentence and its link would lead straight to the answer."""
    text = "In summer clear water depends on the alone."
    for way, found in _found(vault, Question("links", "Pond.md", "Pond.md", text, hidden="Pond.md")).items():
        assert not found.note, way
    for way, found in _found(vault, Question("links", "Pond.md", "Pond.md", text)).items():
        assert found.note == (way != "maps"), way


def test_a_hidden_note_leads_nowhere(tmp_path: Path) -> None:
    """No word of the question is in the note that it asks for: only the link that is held out leads there."""
    files = {
        "Pond.md": "Herons wait beside still water, so [[Pump]]\n",
        "Pump.md": "Forty watts.\n",
        "C.md": "Herons.\n",
    }
    vault = open_vault(tmp_path, files)
    (asked,) = questions(vault, "links", 10)
    assert not any(found.note for found in _found(vault, asked).values())
    seen = Question(asked.task, asked.source, asked.gold, asked.text)
    assert _found(vault, seen)["search"].note, "with the note in sight its link leads there"


def test_private_notes_are_asked_too(vault: Vault) -> None:
    asking = [one for one in questions(vault, "sentences", 10) if one.gold == "Secret.md"]
    assert len(asking) == 1
    assert _found(vault, asking[0])["context"].passage


def _found(vault: Vault, asked: Question) -> dict[str, Found]:
    return {row.way: row.found[BUDGETS[-1]] for row in measure(vault, TODAY, [asked])}
