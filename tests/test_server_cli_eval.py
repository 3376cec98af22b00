"""`kos eval` as people run it: figures and paths, never a word of a note; beside a service without disturbing it."""

from pathlib import Path
from typing import Any

import pytest

from tests.kos import Person, files_of
from tests.vaults import write

WORDS = ("brass", "birthday", "heron", "winter", "sharpen")
FILES = {
    "Pond.md": "# Herons in winter\nThe heron waits beside the pond until small fish swim near [[Safe]] banks.\n",
    "Safe.md": "---\nprivate: true\n---\n# Opening the box\nSeven brass wheels must show one birthday before the lid lifts.\n",
    "Tools.md": "Sharpen every blade before winter comes back to the old garden wall.\n",
}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path, write(tmp_path / "vault", FILES))


def test_the_sample_vault(tmp_path: Path) -> None:
    person = Person(tmp_path)
    before = files_of(person.vault)
    ran = person.run("eval", "--questions", "8")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].endswith("notes, seed 0; found at each budget, with the 95 % interval")
    assert [line.partition(":")[0] for line in lines if "(8 questions)" in line] == ["links", "headings", "sentences"]
    figures = [line.split()[:2] for line in lines if " % (" in line]
    ways = ["context", "search", "maps", "words"]
    assert figures == [[part, way] for part in ("note", *("note", "passage") * 2) for way in ways]
    assert files_of(person.vault) == before
    assert not person.state.exists(), "nothing is kept"


def test_json_has_the_figures_and_the_same_every_time(tmp_path: Path) -> None:
    person = Person(tmp_path)
    first, second, other = (
        person.run("eval", "--questions", "5", "--rows", "--json", "--seed", seed).json for seed in ("0", "0", "1")
    )
    assert set(first) == {"notes", "seed", "budgets", "scores", "rows"}
    assert first["budgets"] == [1000, 2000, 4000]
    assert len(first["scores"]) == 3 * 4 * 3
    for one in first["scores"]:
        assert 0 <= one["note"]["low"] <= one["note"]["mean"] <= one["note"]["high"] <= 1
        assert (one["passage"] is None) == (one["task"] == "links")
        assert 0 < one["tokens"] <= one["budget"]
        assert one["questions"] == 5

    def bare(told: dict[str, Any]) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name != "ms"} for row in told["rows"]]

    assert bare(first) == bare(second)
    assert bare(first) != bare(other)
    assert "rows" not in person.run("eval", "--questions", "1", "--json").json


def test_rows_name_notes_and_say_no_word_of_them(person: Person) -> None:
    for words in ([], ["--rows"], ["--json"], ["--rows", "--json"]):
        ran = person.run("eval", *words)
        assert (ran.code, ran.err) == (0, "")
        assert not any(word in ran.out.casefold() for word in WORDS)
        assert ("Safe.md" in ran.out) == ("--rows" in words)
    last = person.run("eval", "--rows").out.splitlines()
    assert any(line.startswith("sentences  Safe.md: context 1000, search 1000, maps -") for line in last)
    assert any(line.startswith("links  Pond.md -> Safe.md: ") for line in last)


def test_progress_on_a_terminal(person: Person) -> None:
    terminal = person.on_terminal("eval")
    assert terminal.end() == 0
    assert "reading the vault" in terminal.text
    assert "asking 1 of " in terminal.text
    assert not any(word in terminal.text.casefold() for word in WORDS)


def test_a_service_is_not_disturbed(person: Person) -> None:
    with person.serving():
        before = files_of(person.state)
        assert person.run("eval").code == 0
        after = files_of(person.state)
        assert after == before
        write(person.vault, {"New.md": "A quince grew overnight.\n"})
        assert person.run("context", "quince", "--fresh").code == 0


@pytest.mark.parametrize("words", [["--questions", "0"], ["--questions", "x"], ["--seed", "-1"], ["more"]])
def test_wrong_usage(person: Person, words: list[str]) -> None:
    ran = person.run("eval", *words)
    assert (ran.code, ran.out) == (2, "")


def test_a_vault_that_gives_no_question(tmp_path: Path) -> None:
    person = Person(tmp_path, write(tmp_path / "vault", {"a.md": "few words\n"}))
    ran = person.run("eval")
    assert (ran.code, ran.out) == (1, "")
    assert "no question can be made of the 1 notes of this vault" in ran.err
    assert person.run("eval", "--json").json["error"]["code"] == "not_found"


def test_a_vault_that_is_not_there(tmp_path: Path) -> None:
    ran = Person(tmp_path, tmp_path / "nowhere").run("eval")
    assert ran.code == 2
    assert "nowhere" in ran.err
