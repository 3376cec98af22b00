"""From a question to words, from words to chunks; and the notes that a text names."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.search import expression, named, search, stem, words
from context.vault import Vault
from tests.vaults import open_vault


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    files = {
        "Garden.md": "# Garden\n## Quince\nThe quince tree stands by the wall.\n## Pear\nThe pear has scab.\n",
        "Quince jam.md": "---\naliases: [Membrillo]\n---\nSugar, water, patience.\n",
        "Essay.md": "A long text that mentions a quince once among very many other things. " * 3,
        "日記.md": "今日は梅の木を植えた。",
    }
    return open_vault(tmp_path_factory.mktemp("v"), files)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("When does the new disk arrive?", ["new", "disk", "arrive"]),
        ("The the THE", ["the"]),
        ("Café CAFE\u0301 x", ["café"]),
        ("", []),
        ("?!", []),
        ("word " * 100, ["word"]),
        (" ".join(f"w{n}" for n in range(90)), [f"w{n}" for n in range(48)]),
    ],
)
def test_words_say_what_a_question_is_about(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_a_title_says_more_than_a_text_and_the_chunk_is_the_one_that_fits(vault: Vault) -> None:
    hits = search(vault, "quince")
    assert hits[0].path == "Quince jam.md"
    assert {hit.path for hit in hits} == {"Quince jam.md", "Garden.md", "Essay.md"}
    assert all(one.score >= other.score for one, other in itertools.pairwise(hits))
    place = next(hit for hit in hits if hit.path == "Garden.md")
    assert "quince" in vault.text("Garden.md")[1][place.start : place.end]


def test_aliases_and_scripts_without_blanks_are_found(vault: Vault) -> None:
    assert [hit.path for hit in search(vault, "membrillo")] == ["Quince jam.md"]
    assert [hit.path for hit in search(vault, "梅の木")] == ["日記.md"]


def test_a_text_names_notes_by_links(vault: Vault) -> None:
    text = "see [[Quince jam#Sugar|jam]], [[membrillo]], [[Nowhere]] and [[Garden]] [[Quince jam]]"
    assert named(vault.snapshot, text) == ["Quince jam.md", "Garden.md"]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_no_text_is_an_expression_of_its_own(vault: Vault, text: str) -> None:
    search(vault, text)
    vault.index.search(expression(words(text)) or '"x"', 3)


def test_a_limit_is_kept(vault: Vault, tmp_path: Path) -> None:
    many = open_vault(tmp_path, {f"{n}.md": "same words" for n in range(30)})
    assert len(search(many, "words", limit=7)) == 7


@pytest.mark.parametrize(
    "forms",
    [
        "hive hives",
        "berry berries",
        "water watering waterings watered",
        "prune pruning pruned",
        "glass glasses",
        "bee bees",
    ],
)
def test_forms_of_an_english_word_have_one_stem(forms: str) -> None:
    assert len({stem(word) for word in forms.split()}) == 1


@pytest.mark.parametrize("word", ["gas", "red", "king", "grass", "ring", "梅", "bus", ""])
def test_short_words_and_those_without_an_ending_stay(word: str) -> None:
    assert stem(word) == word
