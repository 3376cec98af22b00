"""Questions a vault asks of itself: nothing of the answer is left in them, the same seed gives the same ones."""

import time
from pathlib import Path

import pytest

from commands.questions import TASKS, Question, plain, questions, telling
from context.lexicon import spoken
from context.vault import Vault
from tests.vaults import open_vault

SAMPLE = Path(__file__).parent.parent / "examples" / "vault"
PUMP = {
    "Pond.md": "# The pond\nFish swim here. In summer the [[Garden/Old pump|big pump]] clears the water; the old pump's"
    " twin broke. See [[Old pump]].\n",
    "Garden/Old pump.md": "---\naliases: [Gurgler]\n---\nForty watts and a filter.\n",
}


def asked(folder: Path, files: dict[str, str], task: str, most: int = 100, seed: int = 0) -> list[Question]:
    return questions(open_vault(folder, files), task, most, seed)


def only(folder: Path, files: dict[str, str], task: str) -> Question:
    (one,) = asked(folder, files, task)
    return one


@pytest.fixture(scope="module")
def sample() -> Vault:
    return open_vault(SAMPLE)


# --- links


def test_the_words_around_a_link_ask_for_its_note_and_the_note_they_are_of_is_hidden(tmp_path: Path) -> None:
    assert only(tmp_path, PUMP, "links") == Question(
        "links",
        "Pond.md",
        "Garden/Old pump.md",
        "In summer the clears the water; the 's twin broke.",
        hidden="Pond.md",
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "- [ ] Order [[Pump]] seals before winter comes 📅 2025-09-14",
            "Order seals before winter comes 📅 2025-09-14",
        ),
        ("> [!note] Order *seals* for [[Pump]] before winter", "Order seals for before winter"),
        ("Order seals for [the thing](Pump.md) before winter", "Order seals for before winter"),
        ("Order [[Pump|seals. All]] of them before winter comes", "Order of them before winter comes"),
        ("Order seals for PUMP and [[Pump]] before winter", "Order seals for and before winter"),
        ("Order seals, pumps, [[Pump#Parts|parts]] before winter", "Order seals, pumps, before winter"),
        ("Seals for [[Pond|the pond]] and [[Pump]] before winter", "Seals for the pond and before winter"),
        (
            "Order seals before winter: see the old plan. Look at Gurgler, [[Pump]].",
            "Order seals before winter: see the old plan. Look at , .",
        ),
        ("For 梅の木の世話 see [[Pump]]", "For 梅の木の世話 see"),
    ],
)
def test_what_is_asked_around_a_link(tmp_path: Path, line: str, text: str) -> None:
    files = {"A.md": f"{line}\n", "Pump.md": "---\naliases: [Gurgler]\n---\nForty watts.\n", "Pond.md": "Fish.\n"}
    found = {one.gold: one.text for one in asked(tmp_path, files, "links")}
    assert found["Pump.md"] == text


@pytest.mark.parametrize(
    "line",
    [
        "[[Pump]]",
        "See [[Pump]] 2025-09-14 12:30",
        "Order seals. Then [[Pump]].",
        "Order big-pump seals and tools before winter for the [[Big pump]]",
        "![[Pump]] order seals before winter",
        "# Order seals for [[Pump]] before winter",
        "| Order seals for | [[Pump]] before winter |",
        "`Order seals for [[Pump]] before winter`",
        "%% Order seals for [[Pump]] before winter %%",
        "Order seals for [[A]] and [[Nowhere]] before winter",
        "Order seals for [[Picture.png]] and [[Empty]] before winter",
        "Order seals for [[Pump]] " + "and so on " * 40 + "before winter",
    ],
)
def test_no_question(tmp_path: Path, line: str) -> None:
    files = {
        "A.md": f"{line}\n",
        "Pump.md": "Forty watts.\n",
        "Big pump.md": "Fifty.\n",
        "Picture.png": "",
        "Empty.md": "",
    }
    assert asked(tmp_path, files, "links") == []


def test_what_a_template_wrote_beside_links_is_not_asked(tmp_path: Path) -> None:
    files = {f"{name}.md": f"Supports the settings of [[{name} style]] here\n" for name in ("One", "Two")}
    files |= {f"{name} style.md": "Forty watts.\n" for name in ("One", "Two")}
    assert asked(tmp_path, files, "links") == []


def test_a_note_asks_once_for_each_that_it_links(tmp_path: Path) -> None:
    files = PUMP | {"More.md": "Water runs by [[Old pump]] today\nRain fills what [[Old pump]] empties\n"}
    assert sorted(one.source for one in asked(tmp_path, files, "links")) == ["More.md", "Pond.md"]


def test_templates_ask_nothing(tmp_path: Path) -> None:
    files = PUMP | {".obsidian/templates.json": '{"folder": "T"}', "T/New.md": "Water runs by [[Old pump]] today\n"}
    assert [one.source for one in asked(tmp_path, files, "links")] == ["Pond.md"]


def test_in_the_sample_vault_no_question_speaks_of_the_note_it_asks_for(sample: Vault) -> None:
    found = questions(sample, "links", 100)
    assert len(found) == 100
    for one in found:
        note = sample.snapshot.notes[one.gold]
        said = f" {' '.join(spoken(one.text))} "
        assert not any(f" {' '.join(spoken(name))} " in said for name in (note.title, *note.aliases))
        assert one.hidden == one.source != one.gold
        assert len(telling(one.text)) >= 3
        assert len(one.text) <= 300


# --- headings


def test_a_heading_asks_for_what_stands_below_it_in_other_words(tmp_path: Path) -> None:
    text = "# Winter plans\nThe plan for winters is short. Cover every rose bush. Sharpen tools.\n## Later\nBuy more seeds soon.\n"
    one = only(tmp_path, {"A.md": text}, "headings")
    assert (one.text, one.quote, one.gold, one.hidden) == ("Winter plans", "Cover every rose bush.", "A.md", "")


@pytest.mark.parametrize(
    "text",
    [
        "# Winter\nCover every rose bush.\n",  # a single word
        "# 2025-09-14 12:30\nCover every rose bush.\n",
        "# Winter plans\nWinter plans again, these rose plans.\n",
        "# Winter plans\n## Later\nCover every rose bush.\n",  # nothing of its own
        "# Winter plans\n`Cover every rose bush.`\nSee https://example.org/cover/rose/bush.\n",
        "# Winter plans\nCover every rose bush.\n# winter PLANS\nSharpen the garden tools.\n",
        "# Winter plans",
    ],
)
def test_a_heading_that_asks_nothing(tmp_path: Path, text: str) -> None:
    assert asked(tmp_path, {"A.md": text}, "headings") == []


# --- sentences


def test_a_sentence_asks_for_itself_without_its_rarest_word(tmp_path: Path) -> None:
    sentence = "The heron waits beside the pond until small fish swim near the bank."
    files = {
        "A.md": f"First things.\n- {sentence} Short end.\n",
        "B.md": "The pond: small fish swim near the bank, nothing waits, nothing beside.\n",
    }
    found = {one.gold: one for one in asked(tmp_path, files, "sentences")}
    assert found["A.md"].quote == sentence
    assert found["A.md"].text == sentence.replace("heron ", "")
    assert found["A.md"].hidden == ""


def test_a_sentence_that_a_template_wrote_asks_nothing(tmp_path: Path) -> None:
    files = {
        f"{name}.md": f"This small plugin was first published by {name} in the old store.\n" for name in ("ada", "bob")
    }
    assert asked(tmp_path, files, "sentences") == []


def test_in_the_sample_vault_every_quote_stands_in_its_note(sample: Vault) -> None:
    for task in ("headings", "sentences"):
        found = questions(sample, task, 100)
        assert len(found) >= 60
        for one in found:
            assert one.quote in sample.text(one.gold)[1]
            assert one.source == one.gold
            assert telling(plain(one.quote)) != telling(one.text)


# --- chance


@pytest.mark.parametrize("task", TASKS)
def test_the_seed_decides(sample: Vault, task: str) -> None:
    first = questions(sample, task, 20, 7)
    assert first == questions(open_vault(SAMPLE), task, 20, 7)
    assert first == questions(sample, task, 40, 7)[:20]
    assert first != questions(sample, task, 20, 8)


def test_notes_take_turns(tmp_path: Path) -> None:
    many = "".join(f"# Great chapter {word}\nCover every rose bush.\n" for word in ("ax", "bo", "cy", "da"))
    files = {"Many.md": many, "One.md": "# Little chapter here\nSharpen the garden tools.\n"}
    assert {one.source for one in asked(tmp_path, files, "headings", 2)} == {"Many.md", "One.md"}
    assert len(asked(tmp_path, files, "headings")) == 5


def test_a_question_does_not_show_its_texts(tmp_path: Path) -> None:
    one = only(tmp_path, {"A.md": "# Winter plans\nCover every rose bush.\n"}, "headings")
    assert "inter" not in repr(one)
    assert "rose" not in repr(one)


def test_a_note_that_went_away_asks_nothing(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, PUMP)
    (tmp_path / "Pond.md").unlink()
    assert questions(vault, "links", 10) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A [[Folder/Note#Part|*shown*]] and [[Folder/Note]]", "A shown and Note"),
        ("[words](<a b.md>) [more](x(1).md) ![alt](y.png) ![[z]]", "words more"),
        ("**bold** ~~gone~~ ==mark== `code` <b>tag</b> https://x.y/z end ^block", "bold gone mark code tag end"),
    ],
)
def test_plain_words(text: str, words: str) -> None:
    assert plain(text) == words


def test_a_line_without_end_asks_nothing_and_costs_little(tmp_path: Path) -> None:
    began = time.perf_counter()
    files = PUMP | {
        "Long.md": f"# Winter plans\n{'word' * 100_000} [[Old pump]]\n{'[a](' * 20_000}\nCover every rose bush.\n"
    }
    assert [one.source for one in asked(tmp_path, files, "links")] == ["Pond.md"]
    assert [one.quote for one in asked(tmp_path, {}, "headings")] == ["Cover every rose bush."]
    assert asked(tmp_path, {}, "sentences") != []
    assert time.perf_counter() - began < 20
