"""The labelled questions about the example vault are true: what they name is there, and the answers stand where they say."""

import json
import re
from collections import Counter
from typing import Any

import pytest

from benchmarks.questions import CASES, VAULT, Place, Question, load
from commands.house import shipped_prompts
from commands.survey import heading_at
from context.query import scope, select
from context.vault import Vault
from server.body import ContextBody
from tests.kos import ROOT
from tests.vaults import open_vault

QUESTIONS = load()
# Words of a question that say nothing of what it is about; shorter ones are left out anyway.
_EMPTY = frozenset("about does from have that them there these they this what when where which whom whose with".split())


@pytest.fixture(scope="module")
def vault() -> Vault:
    return open_vault(VAULT)


def places(question: Question) -> list[Place]:
    return [place for either in question.gold for place in either]


def telling(text: str) -> set[str]:
    """Words of four letters and more by their first five, so that "plan" and "plans" are mostly one."""
    return {word[:5] for word in re.findall(r"\w{4,}", text.lower()) if word not in _EMPTY}


def test_there_are_enough_of_each_kind() -> None:
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS) >= 80
    assert len({question.text for question in QUESTIONS}) == len(QUESTIONS)
    assert all(question.id.startswith(f"{question.kind}-") for question in QUESTIONS)
    kinds = Counter(question.kind for question in QUESTIONS)
    assert len(kinds) >= 15
    assert min(kinds.values()) >= 5, kinds
    several = [question for question in QUESTIONS if len({places[0].path for places in question.gold}) > 1]
    assert len(several) >= 30, "evidence in more than one note"


def test_they_are_asked_on_the_day_of_the_vault() -> None:
    (now,) = {question.now for question in QUESTIONS}
    assert f"**Sunday, {now}**" in (ROOT / "examples" / "README.md").read_text("utf-8")


def test_a_third_is_asked_in_other_words_than_the_answer() -> None:
    shared = []
    for question in QUESTIONS:
        answers = " ".join(f"{place.path} {place.heading} {place.quote}" for place in places(question))
        shared.append(len(telling(question.text) & telling(answers)))
    assert sum(few <= 1 for few in shared) >= len(shared) / 3


def test_each_is_a_request_that_may_be_sent() -> None:
    for line in CASES.read_text("utf-8").splitlines():
        told: dict[str, Any] = json.loads(line)
        ContextBody.model_validate({name: told[name] for name in ("text", "now", "note", "scope") if name in told})
        assert told.get("gather") is None or told["gather"] in shipped_prompts()


@pytest.mark.parametrize("question", QUESTIONS, ids=[question.id for question in QUESTIONS])
def test_the_answer_stands_where_it_says(vault: Vault, question: Question) -> None:
    inside = select(vault.snapshot, scope(question.scope))
    assert question.gold
    assert not question.note or question.note in inside
    assert len(set(question.gold)) == len(question.gold), "a piece of evidence named twice"
    for place in places(question):
        assert place.path in inside
        if not place.quote:
            assert not place.heading
            continue
        note, text = vault.text(place.path)
        assert text.count(place.quote) == 1
        assert "\n" not in place.quote, "so that no cut between lines divides it"
        assert heading_at(note, text.index(place.quote)).rpartition(" > ")[2] == place.heading
