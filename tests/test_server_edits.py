"""Edits over HTTP, with the real journal on a real vault: seen, applied whole or in part, taken back, refused in words."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from commands.disk import Disk
from commands.edits import Change, Draft, TargetError, change_of, create, digest
from commands.house import House
from commands.journal import Edit, Journal
from server.app import create_app
from server.errors import refusal
from server.house import open_house
from server.security import door
from tests.edge import TOKEN, Reply, aask, config, until
from tests.edge import House as Scripted
from tests.kos import PATIENCE, ROOT
from tests.test_server_api import contents
from tests.vaults import write

CONTRACT: dict[str, Any] = json.loads((ROOT / "tests/contract/edits.json").read_text("utf-8"))
CHECKS = {
    name: Draft202012Validator(json.loads((ROOT / f"docs/schema/{name}.json").read_text("utf-8")))
    for name in ("edit", "error")
}
CASES = {case["name"]: case for case in CONTRACT["cases"]}
ERRORS = {case["name"]: case for case in CONTRACT["errors"]}
NOTES = {
    "Daily.md": "# Day\n## Log\n- one\n",
    "Projects/Riser.md": "---\nstatus: active\n---\r\n# Riser\r\n## Log\r\n- canary words\r\n",
    "Map.md": "no end",
}
CLOSED = "http://127.0.0.1:9"
ACTS = ("apply", "applied", "undo")


@dataclass
class Desk:
    """A vault and the service over it."""

    root: Path
    house: House
    app: FastAPI
    runner: "asyncio.Runner"

    @property
    def journal(self) -> Journal:
        assert self.house.journal is not None
        return self.house.journal

    @property
    def notes(self) -> dict[str, str]:
        found = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes().decode() for path in found}

    def ask(self, method: str, path: str, body: Any = None) -> Reply:
        return self.runner.run(aask(self.app, method, path, body))

    def get(self, edit: Edit | str = "") -> Any:
        identity = edit.id if isinstance(edit, Edit) else edit
        reply = self.ask("GET", "/v1/edits" + f"/{identity}" * bool(identity))
        assert reply.status == 200, reply.body
        return reply.json

    def act(self, edit: Edit, act: str, **body: Any) -> Any:
        """What an act that is carried out answers."""
        reply = self.ask("POST", f"/v1/edits/{edit.id}/{act}", body or None)
        assert reply.status == 200, reply.body
        assert reply.json == self.get(edit)
        CHECKS["edit"].validate(reply.json)
        return reply.json

    def refused(self, edit: Edit | str, act: str, code: str = "conflict", body: Any = None) -> Any:
        """The body of a refusal; nothing was written by it."""
        before = self.notes
        reply = self.ask("POST", f"/v1/edits/{edit.id if isinstance(edit, Edit) else edit}/{act}", body)
        assert reply.json["error"]["code"] == code, reply.body
        CHECKS["error"].validate(reply.json)
        assert self.notes == before
        for told in reply.json["error"].values():
            assert "canary" not in str(told)
            assert str(self.root) not in str(told)
        return reply.json

    def appended(self, *names: str, line: str = "- new", number: int = 1) -> list[Change]:
        changes = []
        for place, name in enumerate(names, number):
            draft = Draft(name, (self.root / name).read_bytes())
            draft.append_to(("Log",), line, ensure=True)
            changes.append(draft.change(place))
        return changes

    def propose(self, *names: str, **more: Any) -> Edit:
        return self.journal.propose(self.appended(*(names or NOTES), **more), title="a try", command="update", run="r")

    def found(self, words: str) -> list[str]:
        """The notes of a context that is asked for now that fit by their words; names may lead to others."""
        reply = self.ask("POST", "/v1/context", {"text": words, "gather": ["search"]})
        return [passage["path"] for passage in reply.json["passages"] if passage["why"] == "fits the words"]


def opened(folder: Path, runner: "asyncio.Runner") -> Desk:
    known = config(folder, ollama_url=CLOSED, cache="memory", now="2025-09-14", port=8765)
    house = runner.run(open_house(known))
    app = create_app(house, known, entrance=door("127.0.0.1", 8765, TOKEN))
    return Desk(folder / "vault", house, app, runner)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    write(tmp_path / "vault", NOTES)
    with asyncio.Runner() as runner:
        found = opened(tmp_path, runner)
        yield found
        runner.run(found.house.close())


# --- seen


def test_edits_are_listed_newest_first_without_a_word_of_a_note(desk: Desk) -> None:
    assert desk.get() == {"edits": []}
    one, two = desk.propose("Daily.md", line="- canary"), desk.propose(*NOTES, line="- canary")
    listed = desk.get()["edits"]
    assert [edit["id"] for edit in listed] == [two.id, one.id]
    assert "canary" not in json.dumps(listed)
    assert listed[0] == {
        "id": two.id,
        "title": "a try",
        "command": "update",
        "run": "r",
        "created": two.created,
        "status": "proposed",
        "applied": "",
        "paths": list(NOTES),
        "kept": [],
    }


def test_an_edit_is_shown_whole_with_its_diff(desk: Desk) -> None:
    edit = desk.propose("Daily.md", "Map.md")
    whole = desk.get(edit)
    CHECKS["edit"].validate(whole)
    assert [change_of(change) for change in whole["changes"]] == list(edit.changes)
    assert whole["changes"][0]["base"] == digest(NOTES["Daily.md"].encode())
    assert whole["diff"].startswith(
        "--- a/Daily.md\n+++ b/Daily.md\n@@ -1,3 +1,4 @@\n # Day\n ## Log\n - one\n+- new\n--- a/Map.md\n"
    )
    assert whole["diff"].endswith(
        "-no end\n\\ No newline at end of file\n+no end\n+\n+## Log\n+- new\n\\ No newline at end of file\n"
    )


def test_the_diff_of_a_note_that_changed_since_shows_the_hunks_alone(desk: Desk) -> None:
    edit = desk.propose("Daily.md", "Map.md")
    write(desk.root, {"Daily.md": "# Another\n"})
    (desk.root / "Map.md").unlink()
    assert desk.get(edit)["diff"] == (
        "--- a/Daily.md\n+++ b/Daily.md\n@@ 1.1: the note changed since @@\n+\n+- new\n\\ No newline at end of file\n"
        "--- a/Map.md\n+++ b/Map.md\n@@ 2.1: the note changed since @@\n+\n+\n+## Log\n+- new\n\\ No newline at end of file\n"
    )


def test_no_get_writes_anything(desk: Desk, tmp_path: Path) -> None:
    edits = [desk.propose(*NOTES) for _ in range(3)]
    desk.act(edits[0], "apply")
    desk.act(edits[0], "undo")
    desk.act(edits[1], "apply")
    before = contents(tmp_path)
    for path in ("/v1/edits", *(f"/v1/edits/{edit.id}" for edit in edits)):
        assert desk.ask("GET", path).status == 200
    for act in ACTS:
        assert desk.ask("GET", f"/v1/edits/{edits[1].id}/{act}").status == 405
    assert contents(tmp_path) == before


# --- applied and taken back


def test_an_edit_is_applied_and_taken_back_to_the_byte(desk: Desk) -> None:
    made = create("New/Note.md", "made\n", number=4)
    edit = desk.journal.propose([*desk.appended(*NOTES), made])
    proposed = desk.get(edit)
    done = desk.act(edit, "apply")
    assert done == {**proposed, "status": "applied", "chosen": ["1.1", "2.1", "3.1", "4.1"], "applied": done["applied"]}
    assert done["applied"] >= done["created"]
    assert desk.notes == {
        "Daily.md": "# Day\n## Log\n- one\n- new\n",
        "Map.md": "no end\n\n## Log\n- new",
        "New/Note.md": "made\n",
        "Projects/Riser.md": NOTES["Projects/Riser.md"] + "- new\r\n",
    }
    undone = desk.act(edit, "undo")
    assert undone == {**done, "status": "undone"}
    assert desk.notes == NOTES


@pytest.mark.parametrize("body", [None, {}, {"hunks": None, "confirm": False}])
def test_applying_twice_is_once(desk: Desk, body: Any) -> None:
    edit = desk.propose()
    first = desk.ask("POST", f"/v1/edits/{edit.id}/apply", body)
    before = contents(desk.root)
    again = desk.ask("POST", f"/v1/edits/{edit.id}/apply", body)
    assert (first.status, again.status, again.json) == (200, 200, first.json)
    assert contents(desk.root) == before


def test_many_who_apply_at_once_write_once(desk: Desk) -> None:
    edit = desk.propose()

    async def all_at_once() -> list[Reply]:
        return await asyncio.gather(*(aask(desk.app, "POST", f"/v1/edits/{edit.id}/apply") for _ in range(8)))

    replies = desk.runner.run(all_at_once())
    assert [reply.status for reply in replies] == [200] * 8
    assert len({reply.body for reply in replies}) == 1
    assert desk.notes["Daily.md"] == "# Day\n## Log\n- one\n- new\n"


def test_hunks_are_chosen(desk: Desk) -> None:
    draft = Draft("Projects/Riser.md", NOTES["Projects/Riser.md"].encode())
    draft.set_property("status", "done")
    draft.append_to(("Riser", "Log"), "- new")
    edit = desk.journal.propose([draft.change(), *desk.appended("Daily.md", number=2)])
    assert "1.1, 1.2, 2.1" in desk.refused(edit, "apply", body={"hunks": ["9.9"]})["error"]["message"]
    done = desk.act(edit, "apply", hunks=["1.2"])
    assert done["chosen"] == ["1.2"]
    assert desk.notes == {**NOTES, "Projects/Riser.md": NOTES["Projects/Riser.md"] + "- new\r\n"}
    assert done["diff"].splitlines()[-1] == "+- new"
    assert "status" not in done["diff"].replace(" status: active", "")
    assert "applied already" in desk.refused(edit, "apply")["error"]["message"]
    desk.act(edit, "undo")
    assert desk.notes == NOTES


def test_what_follows_sees_the_notes_as_they_are_now(desk: Desk) -> None:
    edit = desk.journal.propose(
        [*desk.appended("Daily.md", line="- zucchini"), create("Zucchini.md", "zucchini\n", number=2)]
    )
    assert desk.found("zucchini") == []
    desk.act(edit, "apply")
    assert set(desk.found("zucchini")) == {"Daily.md", "Zucchini.md"}
    desk.act(edit, "undo")
    assert desk.found("zucchini") == []
    for change in edit.changes:
        (desk.root / change.path).write_bytes(change.apply(NOTES[change.path].encode() if change.base else None))
    second = desk.journal.propose([create("Zucchini 2.md", "zucchini\n")])
    (desk.root / "Zucchini 2.md").write_text("zucchini\n")
    desk.act(second, "applied")
    assert set(desk.found("zucchini")) == {"Daily.md", "Zucchini.md", "Zucchini 2.md"}


def test_undo_merges_with_what_came_since(desk: Desk) -> None:
    edit = desk.propose("Daily.md")
    desk.act(edit, "apply")
    write(desk.root, {"Daily.md": "a line on top\n" + desk.notes["Daily.md"]})
    desk.act(edit, "undo")
    assert desk.notes["Daily.md"] == "a line on top\n" + NOTES["Daily.md"]


def test_obsidian_applies_it_itself(desk: Desk) -> None:
    edit = desk.propose("Daily.md", "Map.md")
    desk.refused(edit, "applied")
    change = edit.changes[0]
    write(desk.root, {change.path: change.apply(NOTES[change.path].encode())})
    desk.refused(edit, "applied")
    assert desk.act(edit, "applied", hunks=["1.1"])["chosen"] == ["1.1"]
    before = contents(desk.root)
    desk.act(edit, "applied")
    assert contents(desk.root) == before
    desk.act(edit, "undo")
    assert desk.notes == NOTES


class Waits(Disk):
    """A disk that holds the first exchange of two notes until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go = threading.Event(), threading.Event()

    def exchange(self, one: Path, other: Path) -> None:
        self.reached.set()
        assert self.go.wait(PATIENCE)
        super().exchange(one, other)


def test_a_client_that_goes_away_leaves_no_half_edit(desk: Desk) -> None:
    disk = Waits()
    desk.house.journal = Journal(desk.root, desk.journal.folder, disk=disk)
    edit = desk.propose()

    async def leaves() -> None:
        call = asyncio.create_task(aask(desk.app, "POST", f"/v1/edits/{edit.id}/apply"))
        await asyncio.to_thread(disk.reached.wait, PATIENCE)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    desk.runner.run(leaves())
    disk.go.set()
    until(lambda: desk.journal.get(edit.id).status == "applied", PATIENCE)
    assert all("- new" in text for text in desk.notes.values())


# --- refused


def test_a_note_that_changed_since_is_shown_with_what_the_edit_wanted(desk: Desk) -> None:
    edit = desk.propose()
    write(desk.root, {"Map.md": "canary: the person's own words"})
    body = desk.refused(edit, "apply")
    assert body["conflict"] == {
        "path": "Map.md",
        "theirs": "canary: the person's own words",
        "ours": "\n\n## Log\n- new",
    }
    assert body["error"]["message"] == "Map.md changed since the edit was proposed"
    assert desk.get(edit)["status"] == "proposed"


def test_an_undo_that_would_lose_words_shows_both_texts(desk: Desk) -> None:
    edit = desk.propose()
    desk.act(edit, "apply")
    mine = desk.notes["Daily.md"].replace("- new", "- new canary")
    write(desk.root, {"Daily.md": mine})
    assert desk.refused(edit, "undo")["conflict"] == {"path": "Daily.md", "theirs": mine, "ours": NOTES["Daily.md"]}
    (desk.root / "Daily.md").unlink()
    assert desk.refused(edit, "undo")["conflict"] == {"path": "Daily.md", "theirs": None, "ours": NOTES["Daily.md"]}
    assert desk.get(edit)["status"] == "applied"


def test_an_edit_that_takes_much_wants_a_second_yes(desk: Desk) -> None:
    write(desk.root, {"Long.md": "words " * 200})
    draft = Draft("Long.md", ("words " * 200).encode())
    draft.replace(0, 1000, "")
    edit = desk.journal.propose([draft.change()])
    body = desk.refused(edit, "apply")
    assert body["confirm"] is True
    assert "conflict" not in body
    desk.act(edit, "apply", confirm=True)
    assert len(desk.notes["Long.md"]) == 200


def test_a_place_that_was_lost_or_taken_meanwhile(desk: Desk, tmp_path: Path) -> None:
    edit = desk.propose("Daily.md")
    new = desk.journal.propose([create("New.md", "ours")])
    (desk.root / "Daily.md").unlink()
    write(desk.root, {"new.md": "theirs"})
    assert "no note Daily.md" in desk.refused(edit, "apply")["error"]["message"]
    assert "there already" in desk.refused(new, "apply")["error"]["message"]
    outside = write(tmp_path / "outside", {"Daily.md": NOTES["Daily.md"]})
    (desk.root / "Daily.md").symlink_to(outside / "Daily.md")
    assert "links" in desk.refused(edit, "apply")["error"]["message"]
    assert "changed since" in desk.get(edit)["diff"]
    assert (outside / "Daily.md").read_text() == NOTES["Daily.md"]


def test_what_cannot_be_done_from_where_an_edit_stands(desk: Desk) -> None:
    edit = desk.propose()
    assert "nothing to undo" in desk.refused(edit, "undo")["error"]["message"]
    desk.act(edit, "apply")
    desk.act(edit, "undo")
    for act in ACTS:
        desk.refused(edit, act)


def test_nobody_comes_to_edits_but_through_the_front_door(desk: Desk) -> None:
    edit = desk.propose()
    addresses = [("GET", ""), ("GET", f"/{edit.id}"), *(("POST", f"/{edit.id}/{act}") for act in ACTS)]
    for method, path in addresses:
        for headers, code in (
            ({"Authorization": ""}, "unauthorized"),
            ({"Origin": "https://evil.example"}, "forbidden_origin"),
            ({"Host": "evil.example"}, "wrong_host"),
        ):
            reply = desk.runner.run(aask(desk.app, method, f"/v1/edits{path}", None, headers))
            assert reply.error["code"] == code
        if method == "POST":
            plain = {"Content-Type": "text/plain"}
            reply = desk.runner.run(aask(desk.app, method, f"/v1/edits{path}", b"{}", plain))
            assert reply.error["code"] == "unsupported_media"
    assert desk.notes == NOTES


@pytest.mark.parametrize("identity", ["0" * 16, "intent", "lock", "..", "%2e%2e%2flock", "x" * 5000, "%00", "é"])
def test_an_edit_that_is_not_there(desk: Desk, identity: str) -> None:
    desk.propose()
    assert desk.ask("GET", f"/v1/edits/{identity}").error["code"] == "not_found"
    for act in ACTS:
        desk.refused(identity, act, "not_found")


def test_an_edit_whose_history_is_damaged(desk: Desk) -> None:
    edit = desk.propose()
    desk.act(edit, "apply")
    record = desk.journal.folder / f"{edit.id}.apply"
    record.write_bytes(record.read_bytes()[:-3])
    assert [one["status"] for one in desk.get()["edits"]] == ["applied"]
    assert desk.ask("GET", f"/v1/edits/{edit.id}").error["code"] == "not_found"
    desk.refused(edit, "undo", "not_found")
    record.write_bytes(b"{}\n")
    assert desk.get() == {"edits": []}


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("apply", {"hunk": ["1.1"]}),
        ("apply", {"hunks": "1.1"}),
        ("apply", {"hunks": [1.1]}),
        ("apply", {"hunks": []}),
        ("apply", {"hunks": ["1" * 33]}),
        ("apply", {"confirm": 1}),
        ("apply", {"confirm": None}),
        ("apply", [1]),
        ("apply", b"{"),
        ("apply", b'{"confirm": true, "confirm": false}'),
        ("applied", {"confirm": True}),
        ("applied", {"hunks": []}),
        ("undo", {"hunks": ["1.1"]}),
        ("undo", {"confirm": True}),
    ],
)
def test_a_body_of_another_shape_is_refused(desk: Desk, act: str, body: Any) -> None:
    edit = desk.propose()
    if act != "apply":
        desk.act(edit, "apply")
    desk.refused(edit, act, "invalid", body)


def test_a_refusal_names_what_is_allowed(desk: Desk) -> None:
    edit = desk.propose()
    assert desk.refused(edit, "apply", "invalid", {"x": 1})["error"]["hint"] == "It takes hunks, confirm."
    assert desk.refused(edit, "undo", "invalid", {"x": 1})["error"]["hint"] == "It takes no fields."


def test_a_full_disk_changes_nothing(desk: Desk) -> None:
    class Full(Disk):
        def free_bytes(self, folder: Path) -> int:
            return 100

    edit = desk.propose()
    desk.house.journal = Journal(desk.root, desk.journal.folder, disk=Full())
    desk.refused(edit, "apply", "disk_full")
    assert desk.ask("POST", f"/v1/edits/{edit.id}/apply").status == 507


@pytest.mark.parametrize("blocked", ["state", "edits"])
def test_without_a_folder_for_the_history_nothing_is_written(
    tmp_path: Path, blocked: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "vault", NOTES)
    with asyncio.Runner() as runner:
        if blocked == "state":
            (tmp_path / "state").write_text("a file where the folder should be")
        else:
            first = opened(tmp_path, runner)
            folder = first.journal.folder
            runner.run(first.house.close())
            (folder / "lock").unlink()
            folder.rmdir()
            folder.write_text("a file where the folder should be")
        found = opened(tmp_path, runner)
        assert "cannot be" in caplog.text
        assert found.house.journal is None
        for path in ("/v1/edits", f"/v1/edits/{'0' * 16}"):
            reply = found.ask("GET", path)
            assert (reply.status, reply.error["code"]) == (409, "conflict")
            assert "KOS_STATE_DIR" in reply.error["hint"]
        for act in ACTS:
            found.refused("0" * 16, act)
        assert found.found("canary") == ["Projects/Riser.md"]
        runner.run(found.house.close())


def test_while_the_vault_is_read(tmp_path: Path) -> None:
    known = config(tmp_path)
    app = create_app(None, known, entrance=door("127.0.0.1", 8765, TOKEN))
    for method, path in (("GET", "/v1/edits"), ("POST", f"/v1/edits/{'0' * 16}/apply")):
        assert asyncio.run(aask(app, method, path)).error["code"] == "busy"
    scripted = create_app(Scripted(), known, entrance=door("127.0.0.1", 8765, TOKEN))
    assert asyncio.run(aask(scripted, "GET", "/v1/edits")).error["code"] == "conflict"


DIES = """
import os, sys
from pathlib import Path
from commands.disk import Disk
from commands.journal import Journal

class Dies(Disk):
    def rename(self, path, other):
        os._exit(9)

Journal(Path(sys.argv[1]), Path(sys.argv[2]), disk=Dies()).apply(sys.argv[3])
"""


def test_a_start_takes_back_what_a_crash_left_before_the_notes_are_read(tmp_path: Path) -> None:
    write(tmp_path / "vault", NOTES)
    with asyncio.Runner() as runner:
        first = opened(tmp_path, runner)
        edit = first.propose(line="- zucchini")
        folder = first.journal.folder
        runner.run(first.house.close())
        died = subprocess.run(
            [sys.executable, "-c", DIES, first.root, folder, edit.id], cwd=ROOT, timeout=PATIENCE, check=False
        )
        assert died.returncode == 9
        assert "zucchini" in first.notes["Daily.md"]
        second = opened(tmp_path, runner)
        assert second.notes == NOTES
        assert second.found("zucchini") == []
        assert second.get(edit)["status"] == "proposed"
        runner.run(second.house.close())


# --- what clients are told to expect


@pytest.mark.parametrize("name", CASES)
def test_the_example_of_an_edit_is_what_happens(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    write(tmp_path / "vault", case["notes"])
    with asyncio.Runner() as runner:
        found = opened(tmp_path, runner)
        edit = found.journal.propose(
            map(change_of, case["edit"]["changes"]), title=name, command="update", run="0" * 16
        )
        given = {"id": edit.id, "created": edit.created, "run": edit.run}
        assert found.get(edit) == {**case["edit"], **given}
        CHECKS["edit"].validate(case["edit"])
        found.act(edit, "apply", hunks=case["hunks"])
        assert found.notes == case["after"]
        found.act(edit, "undo")
        assert found.notes == case["notes"]
        runner.run(found.house.close())


@pytest.mark.parametrize("name", CASES)
def test_the_example_of_an_edit_in_the_units_of_obsidian(name: str) -> None:
    case = CASES[name]
    for change in case["edit"]["changes"]:
        path, text = change["path"], case["notes"].get(change["path"])
        assert change["base"] == ("" if text is None else digest(text.encode()))
        units = (text or "").removeprefix("\ufeff").encode("utf-16-le")
        for hunk in reversed(change["hunks"]):
            if case["hunks"] is None or hunk["id"] in case["hunks"]:
                start, end = 2 * hunk["start16"], 2 * hunk["end16"]
                assert units[start:end].decode("utf-16-le") == hunk["old"]
                units = units[:start] + hunk["new"].encode("utf-16-le") + units[end:]
        assert units.decode("utf-16-le") == case["after"].get(path, "").removeprefix("\ufeff")


def test_the_examples_hold_what_is_hard() -> None:
    texts = [text for case in CASES.values() for text in case["notes"].values()]
    assert any("\r\n" in text for text in texts)
    assert any(text.startswith("\ufeff") for text in texts)
    assert any(ord(letter) > 0xFFFF for text in texts for letter in text)
    assert any(not text.endswith("\n") for text in texts)
    hunks = [(case, hunk) for case in CASES.values() for change in case["edit"]["changes"] for hunk in change["hunks"]]
    assert any(hunk["start"] != hunk["start16"] for _, hunk in hunks)
    assert any(case["hunks"] for case, _ in hunks)
    assert any(not change["base"] for case in CASES.values() for change in case["edit"]["changes"])


@pytest.mark.parametrize("name", ERRORS)
def test_the_example_of_a_refusal_is_what_happens(desk: Desk, name: str) -> None:
    """Each is made the way a person comes by it, on the notes of the example."""
    example = ERRORS[name]
    CHECKS["error"].validate(example["body"])
    write(desk.root, {"Daily.md": "## Log\n- one\n", "Long.md": "words " * 200})
    if name == "a heading that is not there":
        with pytest.raises(TargetError) as caught:
            Draft("Daily.md", b"# Day\n## Log\n").append_to(("Log",), "x")
        response = refusal(caught.value).response()
        assert (response.status_code, json.loads(bytes(response.body))) == (example["status"], example["body"])
        return
    draft = Draft("Long.md", ("words " * 200).encode())
    draft.replace(0, 1000, "")
    edit = desk.journal.propose([draft.change()] if "second yes" in name else desk.appended("Daily.md", line="- two"))
    act = "apply"
    if "had changed it" in name:
        desk.act(edit, "apply")
        act = "undo"
    if "conflict" in example["body"]:
        write(desk.root, {"Daily.md": example["body"]["conflict"]["theirs"]})
    assert desk.refused(edit, act) == example["body"]
    assert desk.ask("POST", f"/v1/edits/{edit.id}/{act}").status == example["status"]
