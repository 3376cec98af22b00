"""`kos decisions` as people run it: what was chosen and why, and whether it comes out again."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.kos import Person
from tests.vaults import write


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path, write(tmp_path / "vault", {"One.md": "# One\n"}))


def rows_of(table: str) -> list[list[str]]:
    """The cells of a table whose cells go on below themselves."""
    head, *lines = table.splitlines()
    starts = [match.start() for match in re.finditer(r"(?:^|(?<=  ))\S", head)]
    cut = [[line[at:to].strip() for at, to in pairwise((*starts, 200))] for line in (head, *lines)]
    rows: list[list[str]] = []
    for cells in cut:
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [" ".join(filter(None, pair)) for pair in zip(rows[-1], cells, strict=True)]
    return rows


def test_decisions_are_shown_and_made_again(person: Person) -> None:
    none = person.run("decisions")
    assert (none.code, none.out) == (0, "")
    assert "no decision is kept yet" in none.err
    # Nobody answers there, so the vault alone does; the decisions were made all the same, and one was refused.
    assert person.run("ask", "what is one?").code == 0
    assert person.run("ask", "what is one?", "--node", "moon").code == 2
    assert person.run("ask", "what is #force_big one?").code == 0
    shown = person.run("decisions")
    assert shown.code == 0
    assert max(map(len, shown.out.splitlines())) <= 100
    heading, *rows = rows_of(shown.out)
    assert heading == ["TIME", "COMMAND", "MODEL ON NODE", "RULE", "WHY"]
    assert [row[1:4] for row in rows] == [
        ["ask", "qwen3:8b on local", "force:pattern"],
        ["ask", "-", "refused"],
        ["ask", "qwen2.5:7b on local", "command"],
    ], "the newest first"
    forced, refused, first = (row[4] for row in rows)
    assert forced.startswith("The request forces the big model by its pattern; ")
    assert refused == "the profile has no node 'moon'"
    assert first.startswith("Profile rtx3080 gives ask tier balanced; ")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", row[0]) for row in rows)
    assert len(rows_of(person.run("decisions", "--limit", "2").out)) == 3
    found = person.run("decisions", "--json").json["decisions"]
    assert [entry["inputs"]["wanted"].get("force", "") for entry in found] == ["pattern", "", ""]
    again = person.run("decisions", "--replay")
    assert (again.code, again.out) == (0, "3 of 3 decisions come out as they were.\n")
    [file] = person.state.rglob("decisions.jsonl")
    assert file.stat().st_mode & 0o777 == 0o600
    with person.serving():
        assert person.run("ask", "what is one?").code == 0
        assert len(person.run("decisions", "--json").json["decisions"]) == 4
        assert "decisions.jsonl (0.0 MB)" in person.run("doctor").out


def test_a_difference_and_a_damaged_line_are_said(person: Person) -> None:
    person.run("ask", "what is one?")
    person.run("ask", "what is one?")
    [file] = person.state.rglob("decisions.jsonl")
    file.write_text(file.read_text()[:-20])
    again = person.run("decisions", "--replay")
    assert (again.code, again.out.splitlines()[-1]) == (0, "1 damaged line could not be read and is left out.")
    file.write_text(
        file.read_text().replace(
            '"num_ctx":8192,"answer_tokens":1536,"rule"', '"num_ctx":4096,"answer_tokens":1536,"rule"', 1
        )
    )
    again = person.run("decisions", "--replay")
    assert again.code == 1
    assert again.out.startswith("0 of 1 decisions come out as they were.\n")
    assert "different: d-" in again.err
    found = person.run("decisions", "--replay", "--json")
    assert found.code == 1
    assert found.json["identical"] == 0
    assert len(found.json["different"]) == found.json["damaged"] == 1


def test_what_cannot_be_written_or_is_open_to_others_is_said_by_the_doctor(person: Person) -> None:
    person.run("ask", "what is one?")
    [file] = person.state.rglob("decisions.jsonl")
    file.chmod(0o644)
    assert f"others can read {file}" in person.run("doctor").out
    file.unlink()
    file.mkdir()
    with person.serving():
        assert person.run("ask", "what is one?").code == 0, "a command needs no ledger"
        told = person.run("doctor").out
    assert "1 could not be written down (Is a directory)" in told
