"""Routing: a model chooses among the candidates only, its choice is looked at here, and without one the rule decides."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.entities import Entities
from commands.filing import synthesis_of
from commands.journal import Journal
from commands.routing import (
    ANSWER_TOKENS,
    MOST_PROJECTS,
    QUESTION_TOKENS,
    Candidate,
    Choice,
    ChoiceError,
    candidates,
    complexity,
    question,
    read_choice,
    schema,
    states,
)
from context.vault import Vault
from inference.node import ContextTooLarge
from tests.houses import HANG, Nodes, done, house, profile, ran
from tests.vaults import open_vault

PROJECT = (
    "---\ntype: project\nstatus: active # since May\n---\n# {name}\n{about}\n## Next\n- [ ] {task}\n## Log\n- opened\n"
)
VAULT: dict[str, Any] = {
    "Projects/Quince Wall.md": PROJECT.format(name="Quince Wall", about="Stones.", task="Order twelve bricks"),
    "Projects/Cellar.md": PROJECT.format(name="Cellar", about="Where the cider ferments.", task="Rack the cider"),
    "Projects/Attic.md": PROJECT.format(name="Attic", about="Boxes.", task="Sort the boxes").replace(
        "active # since May", "Waiting"
    ),
    "Projects/Press.md": PROJECT.format(name="Press", about="The cider press.", task="Oil it").replace(
        "active", "done"
    ),
    "Secret/Cider Plot.md": "---\ntype: project\nstatus: hidden\nprivate: true\n---\ncider\n- [ ] Bury the kanarie\n## Log\n",
    "Templates/Project.md": PROJECT.format(name="x", about="cider", task="y"),
    ".obsidian/templates.json": '{"folder": "Templates"}',
}
WORDS = "Racked the cider into the second vessel."


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return open_vault(tmp_path_factory.mktemp("sample") / "vault", VAULT)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return open_vault(tmp_path / "vault", VAULT)


def found(vault: Vault, words: str, **options: Any) -> list[tuple[str, bool]]:
    entities = Entities(vault.snapshot, private=True)
    return [(one.note.path, one.sure) for one in candidates(vault, entities, words, **options)]


# -- candidates


def test_candidates_are_open_projects_that_are_named_and_then_those_that_fit(vault: Vault) -> None:
    assert found(vault, "cider for the Attic") == [
        ("Projects/Attic.md", True),
        *[(path, False) for path in ("Secret/Cider Plot.md", "Projects/Cellar.md")],
    ]
    assert found(vault, WORDS, private=False) == [("Projects/Cellar.md", False)]
    assert found(vault, "rain", projects=["Projects/Cellar.md"]) == [("Projects/Cellar.md", True)]
    assert found(vault, "rain all day") == []


def test_a_private_status_is_not_told(vault: Vault) -> None:
    assert states(vault.snapshot) == ("active", "Waiting", "done", "hidden")
    assert states(vault.snapshot, private=False) == ("active", "Waiting", "done")


def test_the_question_keeps_within_what_is_kept_free_for_it(tmp_path: Path) -> None:
    task = "cider " + "word " * 60
    many = {
        f"P{n} {'x' * 150}.md": f"---\ntype: project\nstatus: s{n}{'y' * 25}\n---\ncider\n" + f"- [ ] {task}\n" * 9
        for n in range(30)
    }
    vault = open_vault(tmp_path, many)
    choices = candidates(vault, Entities(vault.snapshot, private=True), "cider")
    assert len(choices) == MOST_PROJECTS
    assert len(question(choices, states(vault.snapshot)).encode()) / 3 <= QUESTION_TOKENS


# -- the choice


def choices_of(vault: Vault) -> tuple[Candidate, ...]:
    return candidates(vault, Entities(vault.snapshot, private=True), "cider for the Attic", private=False)


def test_a_choice_is_read_whatever_stands_around_it(vault: Vault) -> None:
    choices = choices_of(vault)
    answer = {
        "projects": [{"project": 2, "log": "Racked\n it.", "status": "WAITING"}, {"project": 1}],
        "finished": ["2.1"],
    }
    for text in (json.dumps(answer), f"Here it is:\n```json\n{json.dumps(answer, indent=1)}\n```\nDone."):
        choice = read_choice(text, choices, ("active", "Waiting"))
        assert list(choice.updates) == ["Projects/Attic.md", "Projects/Cellar.md"]
        assert choice.updates["Projects/Cellar.md"].log == "Racked it."
        assert choice.updates["Projects/Cellar.md"].status == "Waiting"
        assert {task.text for _, task in choice.finished} == {"Rack the cider"}


@pytest.mark.parametrize(
    ("said", "kept"),
    [("- [ ] Taste it", "Taste it"), ("## 2025-09-14: Racked", "Racked"), ("-5 degrees", "-5 degrees"), ("- ", "")],
)
def test_marks_before_a_sentence_are_left_out(vault: Vault, said: str, kept: str) -> None:
    answer = json.dumps({"projects": [{"project": 1, "log": said, "next": said}]})
    (update,) = read_choice(answer, choices_of(vault), ()).updates.values()
    assert (update.log, update.next) == (kept, kept)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no",
        "[]",
        "{",
        '{"finished": []}',
        '{"projects": {}}',
        '{"projects": [], "finished": {}}',
        '{"projects": [1]}',
        '{"projects": [{"project": 3}]}',
        '{"projects": [{"project": 0}]}',
        '{"projects": [{"project": true}]}',
        '{"projects": [{"project": "Projects/Press.md"}]}',
        '{"projects": [{"project": 1}, {"project": 1}]}',
        '{"projects": [{"project": 1, "status": "conquered"}]}',
        '{"projects": [{"project": 1, "log": 5}]}',
        '{"projects": [], "finished": ["9.1"]}',
        '{"projects": [], "finished": [1.1]}',
        '{"projects": [' + "[" * 100_000,
    ],
)
def test_what_is_no_choice_among_the_candidates_is_refused(vault: Vault, answer: str) -> None:
    with pytest.raises(ChoiceError):
        read_choice(answer, choices_of(vault), ("active",))


def test_what_the_schema_allows_is_a_choice(vault: Vault) -> None:
    choices, words = choices_of(vault), ("active", "Waiting")
    form = schema(choices, words)
    jsonschema.Draft202012Validator.check_schema(form)
    good: dict[str, Any] = {
        "projects": [{"project": 1, "log": "a", "status": "", "next": "b"}, {"project": 2, "log": "", "status": "Waiting", "next": ""}],
        "finished": ["1.1", "2.1"],
    }  # fmt: skip
    jsonschema.validate(good, form)
    assert len(read_choice(json.dumps(good), choices, words).updates) == 2
    for wrong in ({"projects": [{**good["projects"][0], "project": 3}]}, {"finished": ["1.2"]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good | wrong, form)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 4) | st.text(max_size=5) | st.sampled_from(["1.1", "2.1", "active"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["projects", "finished", "project", "log", "status", "next"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    _JSON | st.fixed_dictionaries({"projects": st.lists(_JSON, max_size=3), "finished": st.lists(_JSON, max_size=3)})
)
def test_no_answer_is_worth_more_than_the_candidates(sample: Vault, value: Any) -> None:
    choices = candidates(sample, Entities(sample.snapshot, private=True), "cider for the Attic")
    try:
        choice = read_choice(json.dumps(value), choices, ("active",))
    except ChoiceError:
        return
    assert isinstance(choice, Choice)
    assert set(choice.updates) <= {one.note.path for one in choices}
    assert {update.status for update in choice.updates.values()} <= {"", "active"}
    assert set(choice.finished) <= {(one.note.path, task) for one in choices for task in one.tasks}


# -- how much there is to do


@pytest.mark.parametrize(
    ("text", "hard"),
    [
        ("Racked the cider.", False),
        ("word " * 40, False),
        ("word " * 41, True),
        ("One. Two. Three.", False),
        ("One. Two. Three. Four.", True),
        ("a\nb\nc\nd", True),
        ("苹果酒今天换桶了", False),
        ("苹果酒今天换桶了" * 12, True),
        ("https://example.org/" + "x" * 200, False),
    ],
)
def test_words_are_simple_or_complex_by_one_rule(text: str, hard: bool) -> None:
    assert bool(complexity(text)) is hard
    assert complexity(text, more=True)


@pytest.mark.parametrize(("words", "tier"), [("Racked it.", "fast"), ("word " * 50, "balanced")])
def test_simple_words_go_to_the_fast_tier_and_the_decision_says_why(vault: Vault, words: str, tier: str) -> None:
    decision = done(ran(house(vault), "update", text=words))["decision"]
    assert (decision["tier"], decision["rule"]) == (tier, "default")
    assert ("complex words (50 words are more than 40)" if tier == "balanced" else "simple words") in decision["why"]
    assert done(ran(house(vault), "update", text=words, tier="deep"))["decision"]["tier"] == "deep"


# -- a run

ANSWER = "## Synthesis\nThe cider is racked,\nthe [[Cellar]] waits. See [[Nowhere]].\n## Touches\n- [[Cellar]]\n"
CHOICE = {
    "projects": [{"project": 1, "log": "Racked <img src=x> with [[Nobody]].", "status": "Waiting", "next": "Taste it"}],
    "finished": ["1.1"],
}


def cellar(vault: Vault) -> str:
    return (vault.root / "Projects/Cellar.md").read_text()


def test_what_a_model_chose_is_proposed_and_applied_whole(vault: Vault) -> None:
    nodes = Nodes([[ANSWER], [json.dumps(CHOICE)]])
    of = house(vault, nodes, on=profile("cloud"))
    before = cellar(vault)
    final = done(ran(of, "update", text=WORDS, apply="capture"))
    assert (final["degraded"], len(nodes.chats)) == ([], 2)
    first, second = nodes.chats
    assert second.messages[: len(first.messages)] == first.messages, "so that the node reads only the question anew"
    assert second.messages[-2].content == final["answer"]
    assert (first.schema, second.answer_tokens) == (None, ANSWER_TOKENS)
    assert second.schema is not None
    assert second.schema["properties"]["projects"]["items"]["properties"]["project"]["enum"] == [1]
    assert "hidden" not in nodes.heard
    assert cellar(vault) == before
    kept, proposal = final["edits"]
    assert isinstance(of.journal, Journal)
    of.journal.apply(proposal["id"])
    assert cellar(vault) == (
        "---\ntype: project\nstatus: Waiting # since May\n---\n# Cellar\nWhere the cider ferments.\n## Next\n"
        "- [x] Rack the cider ✅ 2025-09-14\n- [ ] Taste it\n## Log\n- opened\n"
        "- 2025-09-14: Racked &lt;img src=x> with Nobody. ([[2025-09-14#Log]])\n"
    )
    day = (vault.root / "2025-09-14.md").read_text()
    assert day == (
        f"## Log\n- 09:00 {WORDS}\n\n## Synthesis\n- 09:00 The cider is racked, the [[Cellar]] waits. See Nowhere.\n"
    )
    of.journal.undo(proposal["id"])
    assert cellar(vault) == before
    of.journal.undo(kept["id"])
    assert not (vault.root / "2025-09-14.md").exists()


def test_where_nothing_is_written_the_proposal_is_for_the_note_with_the_words_in_it(vault: Vault) -> None:
    of = house(vault, Nodes([[ANSWER], [json.dumps(CHOICE)]]))
    kept, proposal = done(ran(of, "update", text=WORDS, apply="none"))["edits"]
    assert not (vault.root / "2025-09-14.md").exists()
    assert of.journal is not None
    of.journal.apply(kept["id"])
    of.journal.apply(proposal["id"])
    assert "The cider is racked" in (vault.root / "2025-09-14.md").read_text()


def test_a_model_that_chose_what_is_not_there_is_told_so_once(vault: Vault) -> None:
    wrong = json.dumps({"projects": [{"project": 7}], "finished": []})
    nodes = Nodes([[ANSWER], [wrong], [json.dumps(CHOICE)]])
    final = done(ran(house(vault, nodes), "update", text=WORDS, scope={"project": "Cellar"}))
    assert (final["degraded"], len(nodes.chats)) == ([], 3)
    assert "a number from 1 to" in nodes.prompt
    nodes = Nodes([[ANSWER], [wrong]])
    final = done(ran(house(vault, nodes), "update", text=WORDS))
    assert (final["degraded"], len(nodes.chats)) == (["routing"], 3)
    assert [one["code"] for one in final["findings"]] == ["no_choice"]
    assert [change["path"] for change in final["edits"][1]["changes"]] == ["2025-09-14.md"], "nothing is guessed"


def test_without_a_choice_a_project_that_is_named_is_filed_by_rule(vault: Vault) -> None:
    final = done(ran(house(vault, Nodes([[ANSWER], ["no"]])), "update", text=f"Cellar: {WORDS}", apply="all"))
    assert final["degraded"] == ["routing"]
    assert "- [x] Rack the cider" in cellar(vault)
    assert f"- 2025-09-14: Cellar: {WORDS}" in cellar(vault)


def test_a_choice_that_never_comes_ends_with_the_deadline_and_loses_nothing(vault: Vault) -> None:
    of = house(vault, Nodes([[ANSWER], [HANG]]), deadline_seconds=1)
    final = done(ran(of, "update", text=f"Cellar: {WORDS}", apply="capture"))
    assert final["degraded"] == ["model"]
    assert final["answer"].startswith("## Synthesis")
    assert "Projects/Cellar.md" in [change["path"] for change in final["edits"][1]["changes"]]
    assert WORDS in (vault.root / "2025-09-14.md").read_text()


def test_a_window_too_small_for_the_question_leaves_it_to_the_rule(vault: Vault) -> None:
    nodes = Nodes([[ANSWER], [json.dumps(CHOICE)]])
    final = done(ran(house(vault, nodes, on=profile(num_ctx=1350)), "update", text=WORDS))
    assert (len(nodes.chats), final["degraded"]) == (1, ["routing"])
    assert final["findings"][0]["code"] == "context_too_large"


def test_notes_leave_room_for_the_question(tmp_path: Path) -> None:
    days = range(200)
    long = {f"Cider {n}.md": "\n".join(f"Cider {n}-{day} waits." for day in days) for n in range(20)}
    vault = open_vault(tmp_path / "vault", VAULT | long)
    nodes = Nodes([[ANSWER], [json.dumps(CHOICE)]])
    final = done(ran(house(vault, nodes, on=profile(num_ctx=4096)), "update", text=WORDS, gather=["search"]))
    assert (len(nodes.chats), final["degraded"]) == (2, [])
    left = 4096 - 700 - QUESTION_TOKENS - ANSWER_TOKENS
    assert left / 2 < final["usage"]["prompt_tokens"] <= left


@pytest.mark.parametrize("refused", [True, False])
def test_a_question_that_does_not_fit_is_asked_without_the_notes(tmp_path: Path, *, refused: bool) -> None:
    vault = open_vault(tmp_path / "vault", VAULT | {"Cider.md": "Cider waits. " * 2000})
    long = ContextTooLarge("too long", prompt_tokens=9000, num_ctx=8192, hint="Ask for less.")
    script: list[Any] = [long] if refused else [ANSWER, long]
    nodes = Nodes([[ANSWER], script, [json.dumps(CHOICE)]])
    final = done(ran(house(vault, nodes), "update", text=WORDS, gather=["search"]))
    assert (len(nodes.chats), final["degraded"]) == (3, [])
    assert ["<note" in chat.messages[1].content for chat in nodes.chats] == [True, True, False]
    assert nodes.chats[2].messages[2:] == nodes.chats[1].messages[2:]
    assert WORDS in nodes.chats[2].messages[1].content


def test_a_private_project_is_filed_here_and_told_to_no_node_outside(vault: Vault) -> None:
    nodes = Nodes([[ANSWER], [json.dumps(CHOICE)]])
    of = house(vault, nodes, on=profile("cloud"))
    final = done(ran(of, "update", text=f"Cider Plot. {WORDS}", apply="all"))
    assert [chat.schema is None for chat in nodes.chats] == [True, False]
    assert "kanarie" not in nodes.heard
    assert final["degraded"] == []
    assert "- 2025-09-14: Cider Plot." in (vault.root / "Secret/Cider Plot.md").read_text()


def test_nothing_is_asked_where_no_project_fits(vault: Vault) -> None:
    nodes = Nodes([[ANSWER]])
    assert done(ran(house(vault, nodes), "update", text="rain all day"))["degraded"] == []
    assert len(nodes.chats) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("## Synthesis\nOne.\nTwo.\n\n## Touches\nx", "One. Two."),
        ("Intro\n# S\n- One.\n", "One."),
        ("No heading.", "No heading."),
        ("## S\n```\ncode\n```", ""),
        ("## S\n" + "long " * 400, ""),
        ("", ""),
    ],
)
def test_the_synthesis_is_the_first_section_on_one_line(answer: str, told: str) -> None:
    assert synthesis_of(answer) == told


@pytest.mark.parametrize("key", ["next", "next_action"])
def test_a_next_action_is_written_where_the_note_keeps_it(tmp_path: Path, key: str) -> None:
    note = f"---\ntype: project\nstatus: active\n{key}: Rack it\n---\ncider\n"
    vault = open_vault(tmp_path / "vault", {"Projects/Cellar.md": note})
    choice = {"projects": [{"project": 1, "log": "x", "status": "", "next": "Taste it"}], "finished": []}
    of = house(vault, Nodes([[ANSWER], [json.dumps(choice)]]))
    done(ran(of, "update", text=WORDS, apply="all"))
    assert cellar(vault) == note.replace("Rack it", "Taste it")
