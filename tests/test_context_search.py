"""From a question to words, from words to chunks; and the notes that a text names."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.chunk import chunks
from context.embed import Likeness
from context.matrix import Matrix
from context.named import linked
from context.search import search
from context.vault import Vault
from context.words import asked, joined, spaced, stem, words
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
    assert linked(vault.snapshot, text) == ["Quince jam.md", "Garden.md"]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_no_text_is_an_expression_of_its_own(vault: Vault, text: str) -> None:
    search(vault, text)
    vault.index.search(asked(text), 3)


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


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """Notes of which some are reached only through another: by a name without a note, by a title, by an alias."""
    files = {f"Filler/{n}.md": f"Harbour towns and weather number {n}, with nothing to tell." for n in range(60)}
    files |= {
        "Blue Boat.md": "# Blue Boat\nA picture of 1956, in which Rita Moss plays the captain's aunt.\n",
        "Tram.md": "# Tram\nThe yellow line stops beside the flat of Rita Moss.\n",
        "Anna Quill.md": "---\naliases: [the aunt of Olaf]\n---\nBorn in Bergen.\n",
        "Red Door.md": "# Red Door\nDirected by Anna Quill in a summer.\n",
        "Secret.md": "---\nprivate: true\n---\nRita Moss owes money.\n",
    }
    return open_vault(tmp_path_factory.mktemp("films"), files)


def test_a_name_without_a_note_leads_to_others_that_speak_of_it(films: Vault) -> None:
    question = "Beside which line did the actress of Blue Boat live?"
    hits = search(films, question)
    tram = next(hit for hit in hits[:4] if hit.path == "Tram.md")
    assert hits[0].path == "Blue Boat.md"
    assert (tram.via, tram.why) == ("Blue Boat.md", "speaks of rita moss")


def test_a_reason_has_a_name_as_it_is_written(tmp_path: Path) -> None:
    """Scripts without blanks are taken apart to be searched, and not for people."""
    files = {f"{n}.md": f"Filler {n} of many." for n in range(40)}
    files |= {
        "Lathe.md": "The lathe is for 庭の計画 and for 할 일.",
        "庭の計画.md": "A plan.",
        "할 일.md": "A list.",
        "Wall.md": "Stones for 庭の計画.",
        "Tools.md": "More for 할 일.",
    }
    whys = {hit.path: hit.why for hit in search(open_vault(tmp_path, files), "lathe")}
    assert whys["Wall.md"] == "speaks of 庭の計画"
    assert whys["Tools.md"] == "speaks of 할 일"


def test_what_was_spaced_is_joined() -> None:
    assert joined(" ".join(spaced("2025年の計画 v2 and 桃").split())) == "2025 年の計画 v2 and 桃"


def test_the_section_of_a_template_and_the_word_of_a_query_are_no_subjects(tmp_path: Path) -> None:
    days = {f"Daily/2025-09-0{n}.md": f"## Tasks\n- [ ] chore {n}\n## Log\n- Day {n}.\n" for n in range(1, 8)}
    query = "```dataview\nLIST FROM #chore\n```\n"
    vault = open_vault(
        tmp_path, {**days, "Alpha.md": f"# Alpha\n## Tasks\n- zephyrine work\n{query}", "B.md": "A List.\n"}
    )
    assert [hit.path for hit in search(vault, "zephyrine")] == ["Alpha.md"]


def test_a_letter_alone_is_no_name(tmp_path: Path) -> None:
    files = {f"{n}.md": f"Filler {n} of many." for n in range(40)}
    files |= {"Keys.md": "The marmot uses J to move.", "Table.md": "Press J or K."}
    hits = search(open_vault(tmp_path, files), "marmot")
    assert [hit.path for hit in hits] == ["Keys.md"]


def test_a_title_leads_to_its_note_though_no_word_of_the_question_stands_there(films: Vault) -> None:
    question = "Where was the director of Red Door from?"
    assert "Anna Quill.md" not in [hit.path for hit in films.search(asked(question), 60)]
    assert [hit.path for hit in search(films, question)][:2] == ["Red Door.md", "Anna Quill.md"]


def test_an_alias_in_the_question_is_its_note(films: Vault) -> None:
    hit = next(hit for hit in search(films, "What do we know of the aunt of Olaf?") if hit.path == "Anna Quill.md")
    assert hit.why in ("its name is in the question", "fits the words")


def test_what_lies_outside_the_scope_is_neither_found_nor_led_to(films: Vault) -> None:
    notes = {path: note for path, note in films.snapshot.notes.items() if not note.private and path != "Tram.md"}
    found = {hit.path for hit in search(films, "Who was Rita Moss in Blue Boat?", inside=notes)}
    assert "Blue Boat.md" in found
    assert found <= notes.keys()
    few = {path: note for path, note in notes.items() if not path.startswith("Filler")}
    assert {hit.path for hit in search(films, "Who was Rita Moss in Blue Boat?", inside=few)} <= few.keys()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Which notes are about bees?", {"bees"}),
        ("梅の木", {"梅 の", "の 木"}),
        ("梅", {"梅"}),
        ("Café x", {"café"}),
        ("the of", {"the", "of"}),
    ],
)
def test_what_is_asked_for(text: str, terms: set[str]) -> None:
    assert set(asked(text).terms) == terms


def test_names_say_more_and_pairs_stand_side_by_side() -> None:
    found = asked("Did old Rita Moss sail?")
    assert found.terms["rita"] > found.terms["sail"] == 1.0
    assert ("rita", "moss") in found.pairs


def test_what_is_embedded_comes_with_where_it_is_shown(tmp_path: Path) -> None:
    shown = "# Rules\n## Salt\nTwo in a hundred, by weight. " + "More of it. " * 60 + "\n## Time\nThree weeks. ^weeks\n"
    files = {
        "Kraut.md": "# Kraut\nFermented cabbage:\n![[Rules#Salt]]\n![[Rules#^weeks]]\n",
        "Rules.md": f"# Rules\n{'Nothing here. ' * 60}\n{shown}",
    }
    vault = open_vault(tmp_path, files)
    hits = search(vault, "fermented cabbage")
    texts = [vault.text(hit.path)[1][hit.start : hit.end] for hit in hits if hit.why == "embedded in a note that fits"]
    assert [text.splitlines()[0] for text in texts] == ["## Salt", "## Time"]


def test_what_the_open_note_is_linked_with_is_likely_meant(films: Vault, tmp_path: Path) -> None:
    files = {f"{n}.md": f"Harbour number {n}." for n in range(30)} | {
        "Sums.md": "# Sums\nSee [[Verdict]].\n",
        "Verdict.md": "# Verdict\nTwo small ones.\n",
        "Log.md": "# Log\nWent over [[Sums]].\n",
    }
    vault = open_vault(tmp_path, files)
    asked_for = "What came of the harbour in the end?"
    assert not {"Verdict.md", "Log.md"} & {hit.path for hit in search(vault, asked_for)}
    found = [hit.path for hit in search(vault, asked_for, open_note="Sums.md")]
    assert {"Verdict.md", "Log.md"} <= set(found)


def test_who_asks_for_notes_gets_one_chunk_of_each_before_a_second_of_any(tmp_path: Path) -> None:
    long = "\n".join(f"## Hive {n}\n{'Bees and bees again, says the almanac. ' * 8}" for n in range(6))
    vault = open_vault(tmp_path, {"Bees.md": long, "Meadow.md": "Where bees fly.", "Wax.md": "Made by bees."})
    paths = [hit.path for hit in search(vault, "Which notes are about bees?")]
    assert set(paths[:3]) == {"Bees.md", "Meadow.md", "Wax.md"}
    assert paths.count("Bees.md") > 1
    assert [hit.path for hit in search(vault, "What do bees do?")][:2] == ["Bees.md", "Bees.md"]


def like(vault: Vault, meanings: dict[str, list[float]], question: list[float]) -> Likeness:
    """Vectors by the note they are of, and that of the question."""
    matrix = Matrix(len(question))
    for path, vector in meanings.items():
        note, text = vault.text(path)
        found = chunks(note, text)
        places = np.array([(one.start, one.stop) for one in found], np.uint32)
        rows = np.array([vector] * len(found), np.float32)
        matrix.put([(path, note.digest, len(found))], places, rows, np.ones(len(found), np.bool_))
    return Likeness(vault.snapshot.notes, matrix, np.array(question, np.float32))


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    files = {f"Shed/{n}.md": f"Shelf number {n} of the shed, and what stands on it." for n in range(30)}
    files |= {"Boiler.md": "The boiler is drained in May.", "Lodger.md": "Rita Moss pays on the first."}
    return open_vault(tmp_path_factory.mktemp("household"), files)


def meanings(vault: Vault) -> dict[str, list[float]]:
    known = {path: [0.0, 1.0] for path in vault.snapshot.notes}
    return known | {"Boiler.md": [1.0, 0.0], "Lodger.md": [0.6, 0.8]}


def test_what_has_none_of_the_words_is_found_by_its_meaning(household: Vault) -> None:
    question = "hot water maintenance"
    assert search(household, question) == []
    near = search(household, question, like=like(household, meanings(household), [1.0, 0.0]))
    assert (near[0].path, near[0].why) == ("Boiler.md", "near in meaning")
    assert household.text("Boiler.md")[1][near[0].start : near[0].end] == "The boiler is drained in May."


def test_words_and_meaning_are_one_ranking(household: Vault) -> None:
    hits = search(household, "shelf number 17", like=like(household, meanings(household), [0.0, 1.0]))
    assert (hits[0].path, hits[0].why) == ("Shed/17.md", "fits the words")
    assert len({hit.number for hit in hits}) == len(hits)


def test_meaning_finds_nothing_outside_the_scope_or_of_another_version(household: Vault, tmp_path: Path) -> None:
    some = {path: note for path, note in household.snapshot.notes.items() if path != "Boiler.md"}
    near = replace(like(household, meanings(household), [1.0, 0.0]), notes=some)
    assert "Boiler.md" not in {hit.path for hit in search(household, "hot water", inside=some, like=near)}
    other = open_vault(tmp_path, {"Boiler.md": "The boiler is broken."})
    stale = replace(near, notes=other.snapshot.notes)
    assert search(other, "hot water", like=stale) == []


def test_an_embedder_by_chance_takes_nothing_from_the_words(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    tales = {f"{n}.md": f"Tale {n} of the {'harbour' if n % 50 == 0 else 'moor'}, told at night." for n in range(2000)}
    vault = open_vault(tmp_path, tales)
    vectors = chance.standard_normal((len(tales) + 1, 64))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    by_chance = like(vault, dict(zip(tales, vectors.tolist(), strict=False)), vectors[-1].tolist())
    hits = search(vault, "harbour", limit=20, like=by_chance)
    assert all("harbour" in tales[hit.path] for hit in hits)
