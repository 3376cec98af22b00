"""`kos edits` and `kos undo` as people run them: with a service and without, on a terminal and in a pipe."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commands.edits import Change, Draft, create
from commands.journal import Edit, Journal
from server.config import load, vault_dir
from tests.kos import Person, Ran, files_of
from tests.vaults import write

NOTES = {
    "Daily.md": "# Day\n## Log\n- one\n",
    "A note.md": "---\nstatus: active # still\n---\r\n# A note\r\n## Log\r\n- a\r\n",
    "Map.md": "no end",
}
TINT = "\x1b["


@dataclass
class Desk:
    """A person at a vault, with a service or without."""

    person: Person
    journal: Journal

    @property
    def root(self) -> Path:
        return self.person.vault

    @property
    def notes(self) -> dict[str, str]:
        found = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes().decode() for path in found}

    def appended(self, *names: str, line: str = "- new", number: int = 1) -> list[Change]:
        changes = []
        for place, name in enumerate(names, number):
            draft = Draft(name, (self.root / name).read_bytes())
            draft.append_to(("Log",), line, why="your words", ensure=True)
            changes.append(draft.change(place))
        return changes

    def propose(self, *names: str, title: str = "a try", **more: Any) -> Edit:
        return self.journal.propose(self.appended(*(names or NOTES), **more), title=title, command="update")

    def does(self, *words: str) -> str:
        """What a command that goes well says."""
        ran = self.person.run(*words)
        assert (ran.code, ran.err) == (0, ""), ran
        return ran.out

    def fails(self, *words: str, code: int = 1) -> Ran:
        """A command that fails and writes nothing."""
        before = files_of(self.root)
        ran = self.person.run(*words)
        assert ran.code == code, ran
        assert "Traceback" not in ran.err
        assert files_of(self.root) == before
        return ran


def at_desk(folder: Path) -> Desk:
    person = Person(folder, write(folder / "vault", NOTES))
    config = load({"vault": str(person.vault), "state_dir": str(person.state)}, {"KOS_CONFIG": "/dev/null"})
    return Desk(person, Journal(person.vault, vault_dir(config) / "edits"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return at_desk(tmp_path)


@pytest.fixture(params=["process", "service"])
def both(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    found = at_desk(tmp_path)
    with found.person.serving() if request.param == "service" else contextlib.nullcontext():
        yield found


def test_edits_are_seen_applied_and_taken_back(both: Desk) -> None:
    assert both.person.run("edits") == Ran(0, "", "kos: no edit is kept\n")
    edit = both.journal.propose(
        [*both.appended("Daily.md", "A note.md", line="- zucchini"), create("New/N.md", "zucchini\n", number=3)],
        title="a try",
        command="update",
    )
    assert both.does("edits").split() == [edit.id, "proposed", edit.created[:10], edit.created[11:16], "a", "try"]
    shown = both.does("edits", edit.id)
    assert shown.startswith(f"proposed {edit.id}: a try\nmade {edit.created[:10]} {edit.created[11:16]} by update\n")
    assert "\n  1.1  Daily.md: your words\n" in shown
    whole = both.journal.whole(edit)
    assert shown.endswith("\n\n" + whole["diff"])
    assert TINT not in shown
    assert json.loads(both.does("edits", edit.id, "--json")) == json.loads(json.dumps(whole))
    assert both.notes == NOTES

    assert both.does("edits", "apply", edit.id, "--yes") == f"applied {edit.id}: Daily.md, A note.md, New/N.md\n"
    assert both.notes == {
        "A note.md": NOTES["A note.md"] + "- zucchini\r\n",
        "Daily.md": NOTES["Daily.md"] + "- zucchini\n",
        "Map.md": NOTES["Map.md"],
        "New/N.md": "zucchini\n",
    }
    found = json.loads(both.does("context", "zucchini", "--json"))
    assert {passage["path"] for passage in found["passages"]} == {"Daily.md", "A note.md", "New/N.md"}
    before = files_of(both.root)
    assert both.does("edits", "apply", edit.id, "--yes").startswith("applied")
    assert files_of(both.root) == before
    assert "applied" in both.does("edits")

    assert both.does("undo", "--yes") == f"took back {edit.id}: Daily.md, A note.md, New/N.md\n"
    assert both.notes == NOTES
    assert json.loads(both.does("edits", "--json"))["edits"][0]["status"] == "undone"
    assert json.loads(both.does("context", "zucchini", "--json"))["passages"] == []


def test_hunks_are_chosen(both: Desk) -> None:
    draft = Draft("A note.md", NOTES["A note.md"].encode())
    draft.set_property("status", "done")
    draft.append_to(("A note", "Log"), "- new")
    edit = both.journal.propose([draft.change(), *both.appended("Daily.md", "Map.md", number=2)])
    assert "1.1, 1.2, 2.1, 3.1" in both.fails("edits", "apply", edit.id, "--yes", "--hunk", "4.1").err
    said = both.does("edits", "apply", "--yes", "--hunk", "1.2", edit.id, "--hunk", "3.1")
    assert said == f"applied {edit.id}: A note.md, Map.md\n"
    assert both.notes["A note.md"] == NOTES["A note.md"] + "- new\r\n"
    assert both.notes["Daily.md"] == NOTES["Daily.md"]
    shown = both.does("edits", edit.id)
    assert "  2.1  Daily.md: your words (not applied)\n" in shown
    assert "+++ b/Daily.md" not in shown
    assert ", applied " in shown


def test_a_conflict_of_an_undo_shows_both_texts(both: Desk) -> None:
    edit = both.propose("Daily.md")
    both.does("edits", "apply", edit.id, "--yes")
    mine = NOTES["Daily.md"] + "- new, and more\n"
    write(both.root, {"Daily.md": mine})
    ran = both.fails("undo", edit.id, "--yes")
    assert ran.out == "--- a/Daily.md\n+++ b/Daily.md\n@@ -1,4 +1,3 @@\n # Day\n ## Log\n - one\n-- new, and more\n"
    assert ran.err.startswith("kos: Daily.md was changed where the edit had changed it\n     Both texts are shown")
    told = both.fails("undo", edit.id, "--yes", "--json")
    assert told.err == ""
    assert told.json["error"]["code"] == "conflict"
    assert told.json["conflict"] == {"path": "Daily.md", "theirs": mine, "ours": NOTES["Daily.md"]}


def test_a_note_that_changed_since_is_left_as_it_is(both: Desk) -> None:
    edit = both.propose("Daily.md")
    write(both.root, {"Daily.md": "my own words\n"})
    ran = both.fails("edits", "apply", edit.id, "--yes")
    assert ran.out == (
        "--- a/Daily.md\n+++ b/Daily.md\n@@ 1.1: the note changed since @@\n+\n+- new\n\\ No newline at end of file\n"
    )
    assert ran.err.startswith("kos: Daily.md changed since the edit was proposed\n     Your text stands as it is.")
    told = both.fails("edits", "apply", edit.id, "--yes", "--json").json
    assert told["conflict"] == {"path": "Daily.md", "theirs": "my own words\n", "ours": "\n- new"}


def test_an_edit_that_takes_much_wants_a_second_yes(both: Desk) -> None:
    write(both.root, {"Long.md": "words " * 200})
    draft = Draft("Long.md", ("words " * 200).encode())
    draft.replace(0, 1000, "")
    edit = both.journal.propose([draft.change()])
    assert both.fails("edits", "apply", edit.id, "--yes").out == ""
    assert both.fails("edits", "apply", edit.id, "--yes", "--json").json["confirm"] is True
    both.does("edits", "apply", edit.id, "--yes", "--confirm")
    assert len(both.notes["Long.md"]) == 200


@pytest.mark.parametrize("words", [["edits"], ["edits", "apply", "--yes"], ["undo", "--yes"]], ids=" ".join)
def test_an_edit_that_is_not_there(both: Desk, words: list[str]) -> None:
    both.propose()
    ran = both.fails(*words, "0" * 16)
    assert ran.out == ""
    assert "no such edit" in ran.err
    assert both.fails(*words, "0" * 16, "--json").json["error"]["code"] == "not_found"


def test_undo_takes_back_what_was_applied_last(desk: Desk) -> None:
    assert "nothing to take back" in desk.fails("undo", "--yes").err
    first, second, third = desk.propose("Daily.md"), desk.propose("Map.md"), desk.propose("A note.md")
    assert "nothing to take back" in desk.fails("undo", "--yes").err
    for edit in (second, first):
        desk.journal.apply(edit.id)
    assert first.id in desk.does("undo", "--yes")
    assert second.id in desk.does("undo", "--yes")
    assert desk.journal.get(third.id).status == "proposed"
    assert desk.notes == NOTES


def test_an_edit_that_nobody_named_is_not_taken_back_for_one_that_was(desk: Desk) -> None:
    ran = desk.person.run("undo", "", "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert "'' is no id of an edit" in ran.err
    ran = desk.person.run("edits", "apply", "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert "edits apply wants the id of an edit" in ran.err


def test_an_older_proposal_is_applied_and_taken_back_after_others(both: Desk) -> None:
    older, newer = both.propose("Daily.md", line="- older"), both.propose("Daily.md", line="- newer")
    before = both.notes
    assert both.does("edits", "apply", newer.id, "--yes") == f"applied {newer.id}: Daily.md\n"
    between = both.notes
    assert both.does("edits", "apply", older.id, "--yes") == f"applied {older.id}: Daily.md\n"
    assert both.notes["Daily.md"].endswith("- one\n- newer\n- older\n")
    assert "+- older\n" in both.does("edits", older.id)
    assert both.does("undo", newer.id, "--yes") == f"took back {newer.id}: Daily.md\n"
    assert both.does("undo", older.id, "--yes") == f"took back {older.id}: Daily.md\n"
    assert both.notes == before != between


def test_the_first_characters_of_an_id_will_do(both: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for digits in ("aaaa0000", "aaaabbbb", "cccc0000"):
        monkeypatch.setattr("commands.journal.secrets.token_hex", lambda _, digits=digits: digits * 2)
        both.propose("Daily.md", title=digits)
    monkeypatch.undo()
    assert both.does("edits", "aaaab").startswith("proposed aaaabbbbaaaabbbb: aaaabbbb")
    for words in (["edits", "aaaa"], ["edits", "apply", "aaaa", "--yes"], ["undo", "aaaa", "--yes"]):
        assert "the ids of 2 edits begin with aaaa" in both.fails(*words, code=2).err
    for words in (["edits", "ccc"], ["edits", "cccc1"], ["undo", "cccc1", "--yes"]):
        assert "there is no such edit" in both.fails(*words).err
    assert both.does("edits", "apply", "cccc", "--yes") == "applied cccc0000cccc0000: Daily.md\n"
    assert both.does("undo", "cccc", "--yes") == "took back cccc0000cccc0000: Daily.md\n"


def test_undo_asks_on_a_terminal_and_shows_what_it_takes_back(desk: Desk) -> None:
    edit = desk.propose("Daily.md")
    desk.journal.apply(edit.id)
    after = desk.notes
    for answer in (b"n\r", b"\r", b"\x04", b"maybe\r"):
        terminal = desk.person.on_terminal("undo")
        said = terminal.read("Take this back? [y/N] ")
        assert f"{TINT}32m+- new{TINT}0m" in said
        assert f"applied {edit.id}" in said
        terminal.press(answer)
        assert terminal.end() == 1
        assert "nothing was changed" in terminal.text
        assert desk.notes == after
    terminal = desk.person.on_terminal("undo", edit.id, env={"NO_COLOR": "1"})
    assert TINT not in terminal.read("Take this back? [y/N] ").replace("\x1b[2K", "")
    terminal.press(b"y\r")
    assert terminal.end() == 0
    assert f"took back {edit.id}" in terminal.text
    assert desk.notes == NOTES


def test_apply_asks_on_a_terminal_and_shows_what_it_writes(desk: Desk) -> None:
    edit = desk.propose("Daily.md", "Map.md")
    for answer in (b"n\r", b"\x04"):
        terminal = desk.person.on_terminal("edits", "apply", edit.id, "--hunk", "1.1")
        said = terminal.read("Write hunk 1.1 of this? [y/N] ")
        assert f"{TINT}32m+- new{TINT}0m" in said
        assert f"proposed {edit.id}" in said
        terminal.press(answer)
        assert terminal.end() == 1
        assert "nothing was changed" in terminal.text
        assert desk.notes == NOTES
    terminal = desk.person.on_terminal("edits", "apply", edit.id)
    terminal.read("Write this? [y/N] ")
    terminal.press(b"y\r")
    assert terminal.end() == 0
    assert f"applied {edit.id}: Daily.md, Map.md" in terminal.text
    after = desk.notes
    assert after != NOTES
    desk.does("undo", "--yes")
    terminal = desk.person.on_terminal("edits", "apply", edit.id)
    assert terminal.end() == 1, "what will be refused is not asked about"
    assert "[y/N]" not in terminal.text
    assert "undone already" in terminal.text


def test_undo_is_interrupted_at_its_question(desk: Desk) -> None:
    desk.journal.apply(desk.propose("Daily.md").id)
    after = desk.notes
    terminal = desk.person.on_terminal("undo")
    terminal.read("[y/N] ")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert desk.notes == after


def test_without_anybody_to_ask_a_write_wants_yes(desk: Desk) -> None:
    desk.journal.apply(desk.propose("Daily.md").id)
    edit = desk.propose("Map.md")
    for words in (["undo"], ["edits", "apply", edit.id]):
        told = f"{' '.join(words[:2])} asks before it writes, and here is nobody to ask"
        ran = desk.fails(*words, code=2)
        assert ran.err == f"kos: {told}\n     Say --yes if it is meant.\n"
        assert desk.fails(*words, "--json", code=2).json["error"]["message"] == told
        terminal = desk.person.on_terminal(*words, "--json")
        assert terminal.end() == 2
        assert "--yes" in terminal.text


@pytest.mark.parametrize(
    "words",
    [
        ["edits", "one", "two"],
        ["edits", "apply"],
        ["edits", "apply", "one", "two"],
        ["edits", "undo", "one"],
        ["edits", "--hunk", "1.1"],
        ["edits", "one", "--confirm"],
        ["edits", "one", "--yes"],
        ["edits", "--nonsense"],
        ["edits", "../../service"],
        ["edits", "apply", "é?#", "--yes"],
        ["undo", "../../service", "--yes"],
        ["edits", "apply", "one", "--hunk"],
        ["undo", "one", "two", "--yes"],
        ["undo", "--hunk", "1.1"],
    ],
    ids=" ".join,
)
def test_words_that_do_not_go_together_are_told(tmp_path: Path, words: list[str]) -> None:
    person = Person(tmp_path, write(tmp_path / "vault", NOTES))
    before = files_of(tmp_path)
    ran = person.run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("kos: ")
    assert "Traceback" not in ran.err
    assert files_of(tmp_path) == before


def test_what_a_terminal_would_obey_is_not_sent_to_it(desk: Desk) -> None:
    edit = desk.propose("Daily.md", title="\x1b]0;gotcha\x07 two\nlines", line="- \x1b[31mred\x9b2J")
    for words in (["edits"], ["edits", edit.id]):
        terminal = desk.person.on_terminal(*words)
        assert terminal.end() == 0
        for obeyed in ("\x1b]", "\x07", "\x1b[31mred", "\x9b"):
            assert obeyed not in terminal.text
        assert "two lines" in terminal.text
    assert "- \x1b[31mred\x9b2J" in desk.does("edits", edit.id)  # a pipe gets the note's own text


def test_where_no_history_can_be_kept_it_is_said(tmp_path: Path) -> None:
    person = Person(tmp_path, write(tmp_path / "vault", NOTES))
    person.state.write_text("a file where the folder should be")
    for words in (["edits"], ["edits", "apply", "0" * 16, "--yes"], ["undo", "--yes"]):
        ran = person.run(*words)
        assert (ran.code, ran.out) == (1, "")
        assert "KOS_STATE_DIR" in ran.err
        assert "Traceback" not in ran.err


def test_what_another_program_saved_in_that_moment_is_named(desk: Desk) -> None:
    edit = desk.propose("Daily.md")
    (desk.journal.folder / f"{edit.id}.kept.0badcafe.Daily.md").write_text("typed on")
    ran = desk.person.run("edits", "apply", edit.id, "--yes")
    assert ran.code == 0
    assert ran.err.startswith("kos: another program saved Daily.md in that moment")
