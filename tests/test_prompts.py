"""Prompt files: the shipped ones can be used, and what is wrong with any is told with file and line."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompts
from commands.gather import WAYS
from commands.house import shipped_prompts
from prompts import BLANKS, FALLBACKS, SHIPPED, TIERS, Prompt, PromptError, parse, shipped_text

GOOD: dict[str, Any] = {
    "description": "Count the sheep.",
    "tier": "fast",
    "gather": {"search": 60, "maps": 40},
    "budget": 4000,
    "answer": 500,
    "without-model": "findings",
}
LINES = {name: number for number, name in enumerate(GOOD, 2)}


def made(body: str = "Count. {{text}}", **changes: Any) -> Prompt:
    properties = GOOD | {name.replace("_", "-"): value for name, value in changes.items()}
    return parse("sheep", properties, body, gathers=WAYS, lines=LINES, first_line=9)


def told(body: str = "Count. {{text}}", **changes: Any) -> str:
    with pytest.raises(PromptError) as caught:
        made(body, **changes)
    return str(caught.value)


def test_every_shipped_prompt_can_be_used() -> None:
    found = shipped_prompts()
    assert tuple(found) == SHIPPED == ("orient", "update", "plan", "research", "validate", "ask")
    for prompt in found.values():
        assert prompt.tier in TIERS
        assert prompt.without_model in FALLBACKS
        assert prompt.description.endswith(".")
        assert prompt.writes == (("capture",) if prompt.name == "update" else ())
        assert "{{text}}" in prompt.instructions, "the person's words are always read"
        assert "{{language}}" in prompt.instructions
        assert "{{earlier}}" in prompt.instructions
        assert prompt.answer < 8192
    assert {name for name, prompt in found.items() if prompt.text == "required"} == {"update", "research", "ask"}


def test_the_preamble_says_that_notes_are_data() -> None:
    text = shipped_text("preamble")
    for mark in ("<note", "</note>", "<facts>", "<selection>", "never instructions", "[["):
        assert mark in text, mark


def test_a_prompt_is_what_its_file_says() -> None:
    prompt = made(recent_days=5, text="required", deadline=30, writes=["capture"], argument_hint="[how many]")
    assert (prompt.name, prompt.description, prompt.argument_hint) == ("sheep", "Count the sheep.", "[how many]")
    assert (prompt.tier, prompt.budget, prompt.answer, prompt.recent_days, prompt.deadline) == (
        "fast",
        4000,
        500,
        5,
        30,
    )
    assert list(prompt.gather.items()) == [("search", 0.6), ("maps", 0.4)]
    assert (prompt.without_model, prompt.text, prompt.writes) == ("findings", "required", ("capture",))


def test_what_may_be_left_out() -> None:
    prompt = made()
    assert (prompt.argument_hint, prompt.recent_days, prompt.text, prompt.writes, prompt.deadline) == (
        "", 3, "optional", (), 120,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tire": "fast"}, "sheep.md: unknown key 'tire'; allowed are answer,"),
        ({"description": 5}, "sheep.md, line 2: description must be text"),
        ({"tier": "huge"}, "sheep.md, line 3: tier must be one of fast, balanced, deep, none"),
        ({"tier": ["fast"]}, "sheep.md, line 3: tier must be one of"),
        ({"gather": None}, "sheep.md, line 4: gather must name ways of gathering"),
        ({"gather": ["search"]}, "sheep.md, line 4: gather must name ways of gathering"),
        ({"gather": {"serach": 10}}, "sheep.md, line 4: gather has no way 'serach'; known are changed, maps,"),
        ({"gather": {"search": 101}}, "sheep.md, line 4: gather.search must be a whole number of percent from 0 to 100"),
        ({"gather": {"search": -1}}, "sheep.md, line 4: gather.search must be"),
        ({"gather": {"search": True}}, "sheep.md, line 4: gather.search must be"),
        ({"gather": {"search": 0.5}}, "sheep.md, line 4: gather.search must be"),
        ({"gather": {"search": 60, "maps": 41}}, "sheep.md, line 4: the percents of gather add up to more than 100"),
        ({"budget": 499}, "sheep.md, line 5: budget must be a whole number from 500 to 200000"),
        ({"budget": "4000"}, "sheep.md, line 5: budget must be"),
        ({"answer": 32_001}, "sheep.md, line 6: answer must be a whole number from 100 to 32000"),
        ({"answer": True}, "sheep.md, line 6: answer must be"),
        ({"without_model": "poem"}, "sheep.md, line 7: without-model must be one of briefing, skeleton,"),
        ({"recent_days": 0}, "sheep.md: recent-days must be a whole number from 1 to 366"),
        ({"text": "maybe"}, "sheep.md: text must be one of optional, required"),
        ({"writes": "daily"}, "sheep.md: writes must be a list of names"),
        ({"writes": ["daily"]}, "sheep.md: writes has no 'daily'; known are capture"),
        ({"writes": [1]}, "sheep.md: writes must be a list of names"),
        ({"deadline": 3601}, "sheep.md: deadline must be a whole number from 1 to 3600"),
        ({"body": "one\n\nthree {{txet}} {{text}}"}, "sheep.md, line 11: unknown blank {{txet}}; allowed are today,"),
        ({"body": "{{ facts | short }}"}, "sheep.md, line 9: unknown blank {{ facts | short }}; allowed are"),
        ({"body": "{{}}"}, "sheep.md, line 9: unknown blank {{}}"),
        ({"body": " \n "}, "sheep.md has no instructions below its frontmatter"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_and_line(changes: dict[str, Any], message: str) -> None:
    assert told(**changes).startswith(message)


def test_a_missing_key_is_named() -> None:
    for name in GOOD:
        rest = {key: value for key, value in GOOD.items() if key != name}
        with pytest.raises(PromptError, match=rf"sheep\.md: {name} must"):
            parse("sheep", rest, "Count.", gathers=WAYS)


def test_the_digest_tells_every_change() -> None:
    changes: list[dict[str, Any]] = [
        {"description": "Count."},
        {"tier": "deep"},
        {"gather": {"maps": 40, "search": 60}},
        {"budget": 4001},
        {"answer": 501},
        {"recent_days": 4},
        {"without_model": "health"},
        {"text": "required"},
        {"writes": ["capture"]},
        {"deadline": 121},
        {"body": "Count well."},
        {"argument_hint": "x"},
    ]
    digests = {made(**change).digest for change in changes}
    assert len(digests) == len(changes)
    assert made().digest == made().digest
    assert made().digest not in digests


def test_blanks_are_filled_and_never_read_again() -> None:
    prompt = made("{{ today }}: {{text}}\n{{selection}}")
    assert prompt.render({"today": "2025-09-14", "text": "say {{today}} and {{secret}}"}) == (
        "2025-09-14: say {{today}} and {{secret}}"
    )
    assert made("a {{text}} b").render({}) == "a  b"


@given(st.dictionaries(st.sampled_from(BLANKS), st.text(st.sampled_from("ab{}\\ \n1g<0>today"), max_size=30)))
def test_whatever_fills_a_blank_stands_there_as_it_is(blanks: dict[str, str]) -> None:
    rendered = made("|".join(f"{{{{{name}}}}}" for name in BLANKS)).render(blanks)
    assert rendered == "|".join(blanks.get(name, "") for name in BLANKS).strip()


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that may be damaged, in the place of the true one."""
    source = Path(prompts.__file__).parent
    (tmp_path / "prompts").mkdir()
    for file in source.iterdir():
        if file.is_file():
            (tmp_path / "prompts" / file.name).write_bytes(file.read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "prompts")
    importlib.import_module("prompts")
    return tmp_path / "prompts"


def test_a_missing_prompt_is_told(installation: Path) -> None:
    (installation / "plan.md").unlink()
    with pytest.raises(PromptError, match=r"prompts/plan\.md is missing .* install Knowledge-OS again"):
        shipped_prompts()
    (installation / "preamble.md").unlink()
    with pytest.raises(PromptError, match=r"prompts/preamble\.md is missing"):
        shipped_text("preamble")


def test_a_damaged_prompt_is_told_with_its_line(installation: Path) -> None:
    text = shipped_text("plan")
    (installation / "plan.md").write_text(text.replace("budget: 6000", "budget: much"), "utf-8")
    line = text[: text.index("budget:")].count("\n") + 1
    with pytest.raises(PromptError, match=rf"plan\.md, line {line}: budget must be a whole number"):
        shipped_prompts()
    (installation / "plan.md").write_text(text.replace("{{facts}}", "{{fact}}"), "utf-8")
    line = text[: text.index("{{facts}}")].count("\n") + 1
    with pytest.raises(PromptError, match=rf"plan\.md, line {line}: unknown blank {{{{fact}}}}"):
        shipped_prompts()
    (installation / "plan.md").write_text(text.replace("tier: ", "tier: : "), "utf-8")
    with pytest.raises(PromptError, match=r"plan\.md: the frontmatter cannot be read: not YAML \(line 4\)"):
        shipped_prompts()


def test_a_prompt_knows_the_blanks_it_holds() -> None:
    found = shipped_prompts()
    assert {name for name, prompt in found.items() if "facts" in prompt.blanks} == {"orient", "plan", "validate"}
    assert made(body="Say {{ today }}, and more facts about it.\n{{text}}").blanks == {"today", "text"}
