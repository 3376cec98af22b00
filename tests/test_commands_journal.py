"""The journal: all notes or none, through clashes, faults, kills and other writers; undo to the byte; history in bounds."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from commands import journal as module
from commands.disk import Disk
from commands.edits import Change, Draft, change_of, create, digest
from commands.journal import ConfirmError, EditStateError, Journal, UnknownEditError
from commands.merge import ConflictError, merge
from commands.places import PlaceError
from commands.transaction import ClashError, DiskFullError, Record, Write
from tests.kos import PATIENCE, ROOT
from tests.vaults import write

NOTES = {
    "Daily.md": "# Day\n## Log\n- one\n",
    "deep/Project.md": "---\nstatus: active\n---\n# P\r\n## Log\r\n- a\r\n",
    "Map.md": "no end",
}


# In memory where that can be: what is tested here is the order of things, not the platter.
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        yield Path(place)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "vault", NOTES)


@pytest.fixture
def journal(root: Path) -> Journal:
    return Journal(root, root.parent / "state")


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def appended(root: Path, *names: str, line: str = "- new") -> list[Change]:
    changes = []
    for number, name in enumerate(names or tuple(NOTES), 1):
        draft = Draft(name, (root / name).read_bytes())
        draft.append_to(("Log",), line, ensure=True)
        changes.append(draft.change(number))
    return changes


def left_over(root: Path, journal: Journal) -> list[Path]:
    return [*root.rglob(".*"), *journal.folder.glob("intent*"), *journal.folder.glob("*.new")]


def test_an_edit_changes_all_its_notes_and_undo_brings_back_every_byte(root: Path, journal: Journal) -> None:
    before = files(root)
    changes = [*appended(root), create("New/Note.md", "made\n", number=4)]
    edit = journal.propose(changes, title="a try", command="update", run="r1")
    assert files(root) == before
    assert (edit.status, edit.title, journal.get(edit.id)) == ("proposed", "a try", edit)
    done = journal.apply(edit.id)
    assert (done.status, len(done.chosen), done.kept) == ("applied", 4, ())
    after = files(root)
    assert after["New/Note.md"] == b"made\n"
    assert all(after[path] == change.apply(before.get(path)) for change in changes for path in [change.path])
    assert journal.apply(edit.id) == done  # twice is once
    assert files(root) == after
    assert journal.undo(edit.id).status == "undone"
    assert files(root) == before
    assert not (root / "New").exists()
    assert left_over(root, journal) == []
    for act in (journal.undo, journal.apply):
        with pytest.raises(EditStateError):
            act(edit.id)


def test_hunks_are_chosen_one_by_one(root: Path, journal: Journal) -> None:
    draft = Draft("deep/Project.md", (root / "deep/Project.md").read_bytes())
    draft.set_property("status", "done")
    draft.append_to(("P", "Log"), "- b")
    edit = journal.propose([draft.change(), *appended(root, "Map.md")])
    with pytest.raises(EditStateError, match="hunks"):
        journal.apply(edit.id, ["9.9"])
    with pytest.raises(EditStateError, match="hunks"):
        journal.apply(edit.id, [])
    assert journal.apply(edit.id, ["1.2"]).chosen == ("1.2",)
    assert files(root)["deep/Project.md"].decode() == NOTES["deep/Project.md"] + "- b\r\n"
    assert files(root)["Map.md"].decode() == NOTES["Map.md"]
    with pytest.raises(EditStateError, match="applied already"):
        journal.apply(edit.id)


def test_mode_and_modes_of_others_stay(root: Path, journal: Journal) -> None:
    (root / "Map.md").chmod(0o640)
    journal.apply(journal.propose(appended(root)).id)
    assert (root / "Map.md").stat().st_mode & 0o777 == 0o640


def test_a_note_that_changed_meanwhile_is_a_clash_that_shows_both_and_writes_nothing(
    root: Path, journal: Journal
) -> None:
    edit = journal.propose(appended(root))
    (root / "Map.md").write_text("the person's own words")
    before = files(root)
    with pytest.raises(ClashError) as caught:
        journal.apply(edit.id)
    assert caught.value.theirs == "the person's own words"
    assert "- new" in caught.value.ours
    assert files(root) == before
    (root / "Map.md").unlink()
    with pytest.raises((ClashError, PlaceError)):
        journal.apply(edit.id)
    assert left_over(root, journal) == []


WEEK = "# Day\n## Log\n- one\n\n## Next\n- [ ] call\n"


def said(root: Path, journal: Journal, *lines: str) -> list[str]:
    """Edits that each put a line behind the last one of a log, applied one after the other."""
    found = []
    for line in lines:
        draft = Draft("Week.md", (root / "Week.md").read_bytes())
        draft.append_to(("Day", "Log"), line)
        found.append(journal.apply(journal.propose([draft.change()]).id).id)
    return found


def week(root: Path) -> str:
    return (root / "Week.md").read_bytes().decode()


def test_a_proposal_waits_while_other_lines_of_its_note_change(root: Path, journal: Journal) -> None:
    write(root, {"Week.md": WEEK})
    draft = Draft("Week.md", WEEK.encode())
    draft.tick(draft.note.tasks[0])
    waiting = journal.propose([draft.change(), *appended(root, "Map.md")])
    said(root, journal, "- two", "- three 😀")
    write(root, {"Week.md": f"---\nmood: ü\n---\n{week(root)}"})
    now = week(root)
    shown = journal.whole(journal.get(waiting.id))
    (hunk,) = shown["changes"][0]["hunks"]
    assert (
        now.encode()[hunk["start"] : hunk["end"]].decode()
        == now[hunk["start16"] - 1 : hunk["end16"] - 1]
        == hunk["old"]
    )
    assert shown["changes"][0]["base"] == digest(now.encode())
    assert "-- [ ] call\n+- [x] call\n" in shown["diff"]
    applied = journal.whole(journal.apply(waiting.id))
    assert applied["diff"] == shown["diff"]
    assert applied["changes"] == shown["changes"]
    ticked = now.replace("[ ]", "[x]")
    assert week(root) == ticked
    (root / "Week.md").write_text(f"{ticked}- [ ] more\n")
    journal.undo(waiting.id)
    assert week(root) == f"{now}- [ ] more\n"
    assert journal.whole(journal.get(waiting.id)) == applied | {"status": "undone"}
    assert (root / "Map.md").read_text() == NOTES["Map.md"]
    assert left_over(root, journal) == []


def test_hunks_that_still_fit_are_applied_without_those_that_do_not(root: Path, journal: Journal) -> None:
    write(root, {"Week.md": WEEK})
    draft = Draft("Week.md", WEEK.encode())
    draft.append_to(("Day", "Log"), "- ours")
    draft.tick(draft.note.tasks[0])
    edit = journal.propose([draft.change()])
    write(root, {"Week.md": WEEK.replace("call", "call Anna").replace("# Day", "# Sunday")})
    with pytest.raises(ClashError):
        journal.apply(edit.id)
    assert journal.whole(edit)["changes"] == edit.as_dict()["changes"], "it fits no more as a whole"
    done = journal.whole(journal.apply(edit.id, ["1.1"]))
    assert "+- ours\n" in done["diff"]
    assert "[x]" not in done["diff"]
    assert week(root) == WEEK.replace("call", "call Anna").replace("# Day", "# Sunday").replace(
        "- one", "- one\n- ours"
    )


def test_a_proposal_whose_notes_are_not_kept_wants_them_as_they_were(root: Path, journal: Journal) -> None:
    edit = journal.propose(appended(root, "Daily.md"))
    kept = journal.folder / f"{edit.id}.edit"
    for bases in ({}, {"0" * 64: "eJw="}, {edit.changes[0].base: "no"}, {edit.changes[0].base: "eJwDAAAAAAE="}, None):
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"bases": bases}))
        (root / "Daily.md").write_text(f"{NOTES['Daily.md']}- theirs\n")
        with pytest.raises(ClashError):
            journal.apply(edit.id)
        (root / "Daily.md").write_text(NOTES["Daily.md"])
    journal.apply(edit.id)


def test_what_was_said_is_taken_back_in_any_order(root: Path, journal: Journal) -> None:
    write(root, {"Week.md": WEEK})
    first, second, third = said(root, journal, "- two", "- three", "- four")
    for identity, left in ((second, "- two\n- four"), (first, "- four"), (third, "")):
        journal.undo(identity)
        assert week(root) == WEEK.replace("- one", f"- one\n{left}".rstrip())


def test_obsidian_may_apply_it_itself_to_a_note_that_was_written_in_since(root: Path, journal: Journal) -> None:
    write(root, {"Week.md": WEEK})
    draft = Draft("Week.md", WEEK.encode())
    draft.append_to(("Day", "Log"), "- ours")
    edit = journal.propose([draft.change()])
    said(root, journal, "- theirs")
    before = week(root)
    (change,) = journal.whole(edit)["changes"]
    now = change_of(change).apply(before.encode())
    (root / "Week.md").write_bytes(now.replace(b"- ours", b"- other"))
    with pytest.raises(EditStateError, match="does not read as the edit says"):
        journal.applied_elsewhere(edit.id)
    (root / "Week.md").write_bytes(now)
    done = journal.whole(journal.applied_elsewhere(edit.id))
    assert (done["status"], done["changes"]) == ("applied", (change,))
    assert " - theirs\n+- ours\n" in done["diff"]
    assert week(root) == WEEK.replace("- one", "- one\n- theirs\n- ours")
    journal.undo(edit.id)
    assert week(root) == before


def test_a_name_that_was_taken_meanwhile_is_not_written_over(root: Path, journal: Journal) -> None:
    edit = journal.propose([*appended(root), create("New.md", "ours", number=4)])
    (root / "new.md").write_text("theirs")
    before = files(root)
    with pytest.raises(PlaceError, match="there already"):
        journal.apply(edit.id)
    assert files(root) == before


class Late(Disk):
    """A disk on which another program saves a note in the very moment before or after the exchange."""

    def __init__(self, act: Callable[[], None], *, after: bool = False) -> None:
        super().__init__()
        self._act: Callable[[], None] | None = act
        self._after = after

    def exchange(self, one: Path, other: Path) -> None:
        if not self._after:
            self._once(other)
        super().exchange(one, other)
        if self._after:
            self._once(other)

    def _once(self, other: Path) -> None:
        if other.name == "Map.md" and self._act is not None:
            act, self._act = self._act, None
            act()


@pytest.mark.parametrize("how", ["in place", "by rename"])
@pytest.mark.parametrize("after", [False, True])
def test_what_an_editor_saves_in_the_middle_is_never_lost(root: Path, tmp_path: Path, how: str, after: bool) -> None:
    note = root / "Map.md"

    def save() -> None:
        if how == "in place":
            note.write_text("typed just now")
        else:
            (tmp_path / "draft").write_text("typed just now")
            (tmp_path / "draft").replace(note)

    journal = Journal(root, tmp_path / "state", disk=Late(save, after=after))
    edit = journal.propose(appended(root, "Daily.md", "Map.md"))
    with pytest.raises(ClashError) as caught:
        journal.apply(edit.id)
    assert caught.value.theirs == "typed just now"
    assert note.read_text() == "typed just now"
    assert (root / "Daily.md").read_text() == NOTES["Daily.md"]
    assert left_over(root, journal) == []


def test_what_an_editor_writes_into_the_old_text_is_kept(root: Path, tmp_path: Path) -> None:
    """An editor that had the file open writes on into what has come out of its place."""
    held = (root / "Map.md").open("r+")

    def write_on() -> None:
        pass

    class Later(Late):
        def read(self, path: Path) -> bytes | None:
            found = super().read(path)
            if path.name == "Map.md" and found is not None and b"new" in found and not held.closed:
                held.write("typed on")
                held.close()
            return found

    journal = Journal(root, tmp_path / "state", disk=Later(write_on))
    done = journal.apply(journal.propose(appended(root, "Map.md")).id)
    assert done.kept == ("Map.md",)
    assert [place.read_text() for place in journal.folder.glob("*.kept.*")] == ["typed on"]
    assert "- new" in (root / "Map.md").read_text()


def test_an_editor_that_emptied_the_note_to_write_it_anew_loses_nothing(root: Path, journal: Journal) -> None:
    (root / "Map.md").write_bytes(b"")
    edit = journal.propose(appended(root, "Map.md"))
    with (root / "Map.md").open("wb", buffering=0) as editor:
        later = threading.Timer(0.01, lambda: editor.write(b"all of the text"))
        later.start()
        with pytest.raises(ClashError) as caught:
            journal.apply(edit.id)
        later.join()
    assert caught.value.theirs == "all of the text"
    assert files(root)["Map.md"] == b"all of the text"


def test_what_an_editor_writes_into_an_empty_note_that_was_taken_out_is_kept(root: Path, tmp_path: Path) -> None:
    (root / "Map.md").write_bytes(b"")

    class Editor(Disk):
        def exchange(self, one: Path, other: Path) -> None:
            opened = other.open("wb")
            super().exchange(one, other)

            def save() -> None:
                with opened:
                    opened.write(b"typed")

            threading.Timer(0.01, save).start()

    journal = Journal(root, tmp_path / "state", disk=Editor())
    edit = journal.apply(journal.propose(appended(root, "Map.md")).id)
    assert len(edit.kept) == 1
    assert [place.read_bytes() for place in journal.folder.glob("*.kept.*")] == [b"typed"]
    assert b"- new" in files(root)["Map.md"]
    assert left_over(root, journal) == []


def test_undo_merges_with_what_came_since(root: Path, journal: Journal) -> None:
    edit = journal.apply(journal.propose(appended(root)).id)
    note = root / "Daily.md"
    note.write_text("a line on top\n" + note.read_text())
    journal.undo(edit.id)
    assert note.read_text() == "a line on top\n" + NOTES["Daily.md"]
    assert (root / "Map.md").read_text() == NOTES["Map.md"]


def test_undo_shows_a_conflict_and_changes_nothing(root: Path, journal: Journal) -> None:
    edit = journal.apply(journal.propose(appended(root)).id)
    note = root / "Daily.md"
    note.write_text(note.read_text().replace("- new", "- new, and more"))
    before = files(root)
    with pytest.raises(ConflictError) as caught:
        journal.undo(edit.id)
    assert "and more" in (caught.value.theirs or "")
    assert caught.value.ours == NOTES["Daily.md"]
    assert files(root) == before
    note.unlink()
    with pytest.raises(ConflictError):
        journal.undo(edit.id)
    assert journal.get(edit.id).status == "applied"


def test_undo_of_a_new_note_that_was_written_in_is_a_conflict(root: Path, journal: Journal) -> None:
    edit = journal.apply(journal.propose([create("New.md", "made")]).id)
    (root / "New.md").write_text("made, and more")
    with pytest.raises(ConflictError):
        journal.undo(edit.id)
    (root / "New.md").write_text("made")
    journal.undo(edit.id)
    assert not (root / "New.md").exists()


def test_edits_that_take_much_or_touch_many_want_a_second_yes(root: Path, journal: Journal) -> None:
    write(root, {"Long.md": "words " * 200, **{f"n{n}.md": "x" for n in range(12)}})
    draft = Draft("Long.md", (root / "Long.md").read_bytes())
    draft.replace(0, 1000, "")
    removes = journal.propose([draft.change()])
    many = journal.propose(appended(root, *(f"n{n}.md" for n in range(12))))
    before = files(root)
    for edit in (removes, many):
        with pytest.raises(ConfirmError):
            journal.apply(edit.id)
        assert files(root) == before
    for edit in (removes, many):
        assert journal.apply(edit.id, confirm=True).status == "applied"


@pytest.mark.parametrize(
    "path",
    ["../x.md", "/etc/x.md", "a/../../x.md", ".obsidian/x.md", "a/.hidden/b.md", ".trash/x.md", "x.txt", "a\\b.md", "a//b.md", "", "link.md",
     "folder/x.md", "Daily.md/x.md", "CON.md", "a:b.md", "x?.md", "dot./x.md", "daily.md", "DEEP/x.md", "é" * 130 + ".md", "\0.md", "pipe.md"],
)  # fmt: skip
def test_no_edit_writes_elsewhere_or_by_a_name_that_cannot_be(
    root: Path, journal: Journal, tmp_path: Path, path: str
) -> None:
    outside = write(tmp_path / "outside", {"x.md": "canary"})
    (root / "link.md").symlink_to(outside / "x.md")
    (root / "folder").symlink_to(outside)
    os.mkfifo(root / "pipe.md")
    before = {place: files(place) for place in (root / "deep", outside)}
    with pytest.raises(PlaceError) as caught:
        journal.propose([create(path, "text")])
    assert caught.value.code == "conflict"
    assert str(tmp_path) not in str(caught.value)
    if path in ("link.md", "folder/x.md"):
        with pytest.raises(PlaceError):
            journal.propose([Change(path, "0" * 64, ())])
    assert before == {place: files(place) for place in (root / "deep", outside)}


def test_unicode_forms_of_a_name_are_one_name(root: Path, journal: Journal) -> None:
    write(root, {"Cafe\u0301.md": "x"})
    with pytest.raises(PlaceError, match="there already"):
        journal.propose([create("Café.md", "y")])


def test_obsidian_may_apply_it_itself(root: Path, journal: Journal) -> None:
    before = files(root)
    edit = journal.propose([*appended(root), create("New.md", "made", number=4)])
    with pytest.raises((EditStateError, PlaceError)):
        journal.applied_elsewhere(edit.id)
    for change in edit.changes:
        (root / change.path).write_bytes(change.apply(before.get(change.path)))
    assert journal.applied_elsewhere(edit.id).status == "applied"
    assert journal.applied_elsewhere(edit.id).status == "applied"
    journal.undo(edit.id)
    assert files(root) == before


def test_what_is_not_there_is_said(root: Path, journal: Journal) -> None:
    edit = journal.propose(appended(root))
    (journal.folder / f"{edit.id}.edit").rename(journal.folder.parent / f"{edit.id}.edit")
    for identity in ("0" * 16, "", "../../x", "x" * 5, f"../{edit.id}"):
        with pytest.raises(UnknownEditError):
            journal.get(identity)
    (journal.folder / f"{'a' * 16}.edit").write_text("{")
    assert journal.all() == []


def test_when_it_was_applied_is_told_and_kept(root: Path, tmp_path: Path) -> None:
    times = iter(range(1000))
    journal = Journal(root, tmp_path / "state", clock=lambda: float(next(times)))
    one, two = (journal.propose(appended(root, name)) for name in ("Daily.md", "Map.md"))
    assert (one.applied, one.created < two.created) == ("", True)
    later, sooner = journal.apply(two.id), journal.apply(one.id)
    assert two.created < later.applied < sooner.applied
    assert journal.undo(one.id).applied == sooner.applied
    assert [edit.applied for edit in Journal(root, tmp_path / "state").all()] == [later.applied, sooner.applied]


def test_edits_are_listed_in_the_order_they_were_made_also_by_a_clock_that_stands(root: Path, tmp_path: Path) -> None:
    for began in (0.0, 1_795_000_000.9999996):
        journal = Journal(root, tmp_path / f"state {began}", clock=lambda began=began: began)  # type: ignore[misc]
        made = [journal.propose(appended(root)).id for _ in range(20)]
        assert [edit.id for edit in journal.all()] == made[::-1]


def test_an_edit_is_shown_with_what_it_does_or_did(root: Path, journal: Journal) -> None:
    draft = Draft("deep/Project.md", (root / "deep/Project.md").read_bytes())
    draft.set_property("status", "done")
    draft.append_to(("P", "Log"), "- b")
    edit = journal.propose([draft.change(), create("New.md", "made\n", number=2)])
    shown = journal.whole(edit)
    assert {name: value for name, value in shown.items() if name != "diff"} == edit.as_dict()
    assert [line for line in shown["diff"].splitlines() if line[0] in "-+"] == [
        "--- a/deep/Project.md",
        "+++ b/deep/Project.md",
        "-status: active",
        "+status: done",
        "+- b",
        "--- /dev/null",
        "+++ b/New.md",
        "+made",
    ]
    done = journal.apply(edit.id, ["1.2", "2.1"])
    part = journal.whole(done)["diff"]
    assert "+- b" in part
    assert "status: done" not in part
    write(root, {"deep/Project.md": "another text", "New.md": "another"})
    assert journal.whole(done)["diff"] == part


def test_damaged_history_refuses_to_undo(root: Path, journal: Journal) -> None:
    edit = journal.apply(journal.propose(appended(root)).id)
    record = journal.folder / f"{edit.id}.apply"
    record.write_bytes(record.read_bytes()[:-3])
    before = files(root)
    with pytest.raises(UnknownEditError):
        journal.undo(edit.id)
    assert files(root) == before


def test_the_history_keeps_within_its_bounds(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_EDITS", 5)
    monkeypatch.setattr(module, "_PRUNE_EVERY", 1)
    journal = Journal(root, tmp_path / "state")
    made = [journal.apply(journal.propose(appended(root, "Map.md", line=f"- {n}")).id).id for n in range(9)]
    kept = [edit.id for edit in journal.all()]
    assert len(kept) <= 6
    assert kept[0] == made[-1]
    late = Journal(root, tmp_path / "state", clock=lambda: time.time() + 2 * module.KEEP_SECONDS)
    last = late.propose(appended(root, "Map.md"))
    assert [edit.id for edit in late.all()] == [last.id]


def test_an_intent_that_cannot_be_read_is_put_aside_not_guessed_at(root: Path, tmp_path: Path) -> None:
    state = write(tmp_path / "state", {"intent": b'{"schema": 99}\n'})
    before = files(root)
    Journal(root, state)
    assert files(root) == before
    assert [place.suffix for place in state.glob("intent*")] == [".unreadable"]


# -- faults of the system


class Faulty:
    """The calls of `os`, of which the k-th fails; afterwards they work again, unless the disk is full for good."""

    def __init__(self, fail_at: int, number: int, *, short: bool = False, for_good: bool = False) -> None:
        self.count = 0
        self._at, self._number, self._short, self._for_good = fail_at, number, short, for_good

    def __getattr__(self, name: str) -> Any:
        call = getattr(os, name)
        if name not in {"open", "write", "fsync", "replace", "link", "unlink", "chmod", "statvfs", "read", "fstat"}:
            return call

        def counted(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            due = self.count == self._at or (self._for_good and self.count > self._at and name in {"write", "open"})
            if due and self._short and name == "write":
                return call(arguments[0], bytes(arguments[1])[: max(1, len(arguments[1]) // 3)])
            if due and not self._short:
                raise OSError(self._number, os.strerror(self._number))
            return call(*arguments, **more)

        return counted


def _calls(
    root: Path, state: Path, act: Callable[[Journal], object], faulty: Faulty, *, renames: bool
) -> BaseException | None:
    def rename(one: Path, other: Path, flags: int) -> None:
        faulty.link  # noqa: B018 - counts nothing, but says that the call exists
        Disk()._rename(one, other, flags)  # type: ignore[misc]

    disk = Disk(faulty, rename=rename if renames else None)
    try:
        journal = Journal(root, state, disk=disk)
        faulty.count = 0
        act(journal)
    except (OSError, ValueError, LookupError) as error:
        return error
    return None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EINTR])
@pytest.mark.parametrize("renames", [True, False])
@pytest.mark.parametrize("short", [False, True])
def test_whichever_call_fails_the_notes_are_old_or_new_and_the_answer_is_true(
    folder: Path, number: int, renames: bool, short: bool
) -> None:
    reached = 0
    for at in range(1, 400):
        here = folder / f"{at}"
        root = write(here / "vault", NOTES)
        before = files(root)
        edit = Journal(root, here / "state").propose([*appended(root), create("New/N.md", "made", number=4)])
        after = {change.path: change.apply(before.get(change.path)) for change in edit.changes}
        faulty = Faulty(at, number, short=short)
        error = _calls(root, here / "state", lambda journal: journal.apply(edit.id), faulty, renames=renames)  # noqa: B023
        now = files(root)
        again = Journal(root, here / "state")
        settled = {path: data for path, data in files(root).items() if not path.split("/")[-1].startswith(".")}
        assert settled == (before if error else after), (at, error)
        if error is None:
            assert now == after, at
        assert left_over(root, again) == []
        assert again.get(edit.id).status == ("proposed" if error else "applied")
        shutil.rmtree(here)
        if faulty.count < at:
            reached = at
            break
    assert 20 < reached < 400


class Slow:
    """The calls of `os`, that read and write so many bytes at once at most."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def read(self, handle: int, size: int) -> bytes:
        return os.read(handle, min(size, self.most))

    def write(self, handle: int, data: memoryview) -> int:
        return os.write(handle, data[: self.most])


@pytest.mark.parametrize("most", [1, 7, 4096])
def test_texts_are_whole_where_a_call_reads_or_writes_less_than_asked(root: Path, tmp_path: Path, most: int) -> None:
    write(root, {"Map.md": "🚀 日本\r\n" * 700})
    before = files(root)
    disk = Disk(Slow(most))
    assert {path: disk.read(root / path) for path in before} == before
    journal = Journal(root, tmp_path / "state", disk=disk)
    changes = appended(root)
    edit = journal.apply(journal.propose(changes).id)
    assert files(root) == {change.path: change.apply(before[change.path]) for change in changes}
    write(root, {"Map.md": b"typed\r\n" + (root / "Map.md").read_bytes()})
    journal.undo(edit.id)
    assert files(root) == before | {"Map.md": b"typed\r\n" + before["Map.md"]}
    assert left_over(root, journal) == []


def test_a_disk_that_takes_no_byte_is_a_fault_and_not_waited_for(root: Path, tmp_path: Path) -> None:
    class Stuck(Slow):
        def write(self, handle: int, data: memoryview) -> int:
            return 0

    before = files(root)
    edit = Journal(root, tmp_path / "state").propose(appended(root))
    journal = Journal(root, tmp_path / "state", disk=Disk(Stuck(1 << 20)))
    with pytest.raises(OSError, match="not written"):
        journal.apply(edit.id)
    assert files(root) == before
    assert left_over(root, journal) == []


def test_signals_in_the_middle_of_calls_change_nothing(root: Path, journal: Journal) -> None:
    seen: list[int] = []
    was = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    stop = threading.Event()
    main = threading.main_thread().ident or 0

    def knock() -> None:
        while not stop.wait(0.0005):
            signal.pthread_kill(main, signal.SIGUSR1)

    knocking = threading.Thread(target=knock)
    knocking.start()
    before = files(root)
    try:
        for _ in range(50):
            edit = journal.apply(journal.propose(appended(root)).id)
            assert files(root) != before
            journal.undo(edit.id)
            assert files(root) == before
    finally:
        stop.set()
        knocking.join()
        signal.signal(signal.SIGUSR1, was)
    assert len(seen) > 20
    assert left_over(root, journal) == []


@pytest.mark.parametrize(
    ("number", "done"), [(errno.ENOSYS, True), (errno.EINVAL, True), (errno.EIO, False), (errno.EINTR, False)]
)
def test_without_renames_with_flags_there_is_another_way_and_a_fault_of_them_is_one(
    root: Path, tmp_path: Path, number: int, done: bool
) -> None:
    def rename(one: Path, other: Path, flags: int) -> None:
        raise OSError(number, os.strerror(number))

    before = files(root)
    for changes in (appended(root), [create("New.md", "made")]):
        journal = Journal(root, tmp_path / "state", disk=Disk(rename=rename))
        edit = journal.propose(changes)
        if done:
            journal.apply(edit.id)
            assert files(root) == before | {one.path: one.apply(before.get(one.path)) for one in changes}
            journal.undo(edit.id)
        else:
            with pytest.raises(OSError, match=os.strerror(number)):
                journal.apply(edit.id)
        assert {path: data for path, data in files(root).items() if "kos-tmp" not in path} == before
        assert left_over(root, Journal(root, tmp_path / "state")) == []


def test_a_folder_is_no_text(root: Path) -> None:
    with pytest.raises(OSError, match="regular"):
        Disk().read(root)
    with pytest.raises(OSError, match="exist"):
        Disk().place(root / "Map.md", root / "Daily.md")
    assert files(root) == {path: text.encode() for path, text in NOTES.items()}


def test_undoing_by_hand_what_an_edit_did_leaves_nothing_to_undo(root: Path, journal: Journal) -> None:
    before = files(root)
    edit = journal.apply(journal.propose(appended(root)).id)
    write(root, before)
    assert journal.undo(edit.id).status == "undone"
    assert files(root) == before


def test_what_cannot_be_merged_for_sure_is_a_conflict() -> None:
    with pytest.raises(ConflictError) as caught:
        merge("x.md", b"a\nb\n", b"a\nb", b"a\nb\nc\n")
    assert (caught.value.theirs, caught.value.ours) == ("a\nb\nc\n", "a\nb")


def test_long_notes_of_like_lines_are_merged_at_once_or_refused_at_once() -> None:
    lines = b"a\n" * 200_000
    assert merge("x.md", lines, b"b\n" + lines[2:], lines + b"c\n") == b"b\n" + lines[2:] + b"c\n"
    with pytest.raises(ConflictError):
        merge("x.md", lines, b"b\n" + lines, b"c\n" + lines[4:] + b"d\n")


def test_a_full_disk_changes_nothing_and_says_so(root: Path, tmp_path: Path) -> None:
    class Full(Disk):
        def free_bytes(self, folder: Path) -> int:
            return 100

    journal = Journal(root, tmp_path / "state", disk=Full())
    edit = journal.propose(appended(root))
    before = files(root)
    with pytest.raises(DiskFullError) as caught:
        journal.apply(edit.id)
    assert (caught.value.code, caught.value.errno) == ("disk_full", errno.ENOSPC)
    assert files(root) == before


def test_a_rollback_that_fails_is_finished_by_the_next_start(folder: Path) -> None:
    for at in range(8, 40):
        here = folder / f"{at}"
        root = write(here / "vault", NOTES)
        before = files(root)
        edit = Journal(root, here / "state").propose(appended(root))
        faulty = Faulty(at, errno.ENOSPC, for_good=True)
        error = _calls(root, here / "state", lambda journal: journal.apply(edit.id), faulty, renames=True)  # noqa: B023
        Journal(root, here / "state")
        now = files(root)
        assert now == (
            before if error else {change.path: change.apply(before[change.path]) for change in edit.changes}
        ), at


# -- kills, clashes, other processes


def _kill(folder: Path, kills: int, seed: int, seconds: float) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", str(folder), str(kills), str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment_all_notes_changed_or_none(folder: Path, seed: int) -> None:
    found = _kill(folder, 1000, seed, 280)
    assert found["middle"] > 0  # otherwise nothing was tried
    assert {name: count for name, count in found.items() if name not in ("kills", "middle")} == dict.fromkeys(
        ("torn", "half", "lost", "litter"), 0
    )


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_killed_very_often_all_notes_changed_or_none(folder: Path) -> None:
    found = _kill(folder, 100_000, 3, 7000)
    assert [found[name] for name in ("torn", "half", "lost", "litter")] == [0, 0, 0, 0]


WRITER = """
import sys
from pathlib import Path
from commands.edits import Draft
from commands.journal import Journal
from commands.transaction import ClashError
root, state, name, times = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
journal = Journal(root, state)
number = 0
while number < times:
    draft = Draft("N.md", (root / "N.md").read_bytes())
    draft.append_to(("Log",), f"- {name} {number}")
    try:
        journal.apply(journal.propose([draft.change()]).id)
        number += 1
    except ClashError:
        continue
"""


def _both(folder: Path, times: int, seconds: float) -> None:
    """Two processes put that many lines each into one note."""
    root = write(folder / "vault", {"N.md": "## Log\n"})
    command = [sys.executable, "-c", WRITER, str(root), str(folder / "state")]
    both = [
        subprocess.Popen([*command, name, str(times)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    for process in both:
        _, said = process.communicate(timeout=seconds)
        assert process.returncode == 0, said
    lines = (root / "N.md").read_text().splitlines()[1:]
    for name in ("a", "b"):
        assert [line for line in lines if line.startswith(f"- {name} ")] == [f"- {name} {n}" for n in range(times)]
    assert len(lines) == 2 * times


def test_two_processes_on_one_note_lose_nothing(folder: Path) -> None:
    _both(folder, 150, PATIENCE)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_processes_on_one_note_lose_nothing_in_ten_thousand_updates(folder: Path) -> None:
    for part in range(10):  # anew, since each update reads the whole note
        _both(folder / str(part), 500, 600)


def _clash(root: Path, state: Path, wanted: int, *, in_place: bool) -> int:
    """An editor saves its own lines while edits are applied: none of its saves may be gone from note and history both.

    Returns how many edits clashed with it: as many as wanted, unless the history would let go of the first by then.
    """
    note = root / "N.md"
    note.write_text("## Log\n")
    stop = threading.Event()
    saved: list[str] = []

    def kept() -> str:
        found = []
        for place in state.glob("*.kept.*"):
            with contextlib.suppress(FileNotFoundError):  # not at its name yet
                found.append(place.read_text())
        return "".join(found)

    def text_now() -> str:
        """The note, once it is not that of an edit about to be taken back, on which no editor would go on writing."""
        for _ in range(100):
            text = note.read_text()
            if not saved or saved[-1] in text or saved[-1] in kept():
                break
            time.sleep(0.005)
        return text

    def edit() -> None:
        number = 0
        while not stop.is_set():
            text = text_now()
            mine = f"{text}- editor {number}.\n"
            if in_place:
                note.write_text(mine)
            else:
                (root.parent / "draft").write_text(mine)
                (root.parent / "draft").replace(note)
            saved.append(f"- editor {number}.\n")
            number += 1
            time.sleep(0.002)

    editor = threading.Thread(target=edit)
    editor.start()
    journal = Journal(root, state)
    clashes = 0
    for number in range(module.KEEP_EDITS):
        try:
            draft = Draft("N.md", note.read_bytes())
            draft.append_to((), f"- ours {number}")
            journal.apply(journal.propose([draft.change()]).id)
        except ClashError:
            clashes += 1
        if clashes == wanted or len(note.read_bytes()) > 20_000:
            break
    stop.set()
    editor.join()
    everything = note.read_text() + kept()
    assert [line for line in saved if line not in everything] == []
    assert not list(root.rglob(".*"))
    return clashes


def _clashes(folder: Path, wanted: int, *, in_place: bool) -> None:
    root = write(folder / "vault", {"N.md": ""})
    while wanted:
        wanted -= _clash(root, folder / "state", min(wanted, 100), in_place=in_place)
        shutil.rmtree(folder / "state")


@pytest.mark.parametrize("in_place", [True, False])
def test_an_editor_that_types_meanwhile_loses_nothing(folder: Path, in_place: bool) -> None:
    _clashes(folder, 500, in_place=in_place)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("in_place", [True, False])
def test_an_editor_that_types_for_long_loses_nothing(folder: Path, in_place: bool) -> None:
    _clashes(folder, 5_000, in_place=in_place)


# -- a model of what the vault should hold


class Vault(RuleBasedStateMachine):
    """Applies, undoes, crashes and writes by hand; a mapping of texts says what must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=FAST))
        self.root = write(self.folder / "vault", NOTES)
        self.journal = Journal(self.root, self.folder / "state")
        self.model: dict[str, bytes] = {path: text.encode() for path, text in NOTES.items()}
        self.applied: list[tuple[str, dict[str, bytes | None], dict[str, bytes | None]]] = []
        self.number = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _changes(self, names: list[str], new: bool) -> list[Change]:
        self.number += 1
        changes = appended(self.root, *dict.fromkeys(names), line=f"- n {self.number}") if names else []
        return [*changes, create(f"made/{self.number}.md", "text", number=9)] if new or not changes else changes

    @rule(
        names=st.lists(st.sampled_from(sorted(NOTES)), max_size=3),
        new=st.booleans(),
        crash_at=st.none() | st.integers(1, 60),
    )
    def apply(self, names: list[str], new: bool, crash_at: int | None) -> None:
        edit = self.journal.propose(self._changes(names, new))
        paths = [change.path for change in edit.changes]
        before = {path: self.model.get(path) for path in paths}
        if crash_at is not None:
            error = _calls(
                self.root,
                self.folder / "state",
                lambda journal: journal.apply(edit.id),
                Faulty(crash_at, errno.EIO),
                renames=True,
            )
            self.journal = Journal(self.root, self.folder / "state")
            if error is not None:
                return
        else:
            self.journal.apply(edit.id)
        for change in edit.changes:
            self.model[change.path] = change.apply(before[change.path])
        self.applied.append((edit.id, before, {path: self.model[path] for path in paths}))

    @rule()
    def undo(self) -> None:
        if not self.applied:
            return
        identity, before, after = self.applied.pop()
        try:
            self.journal.undo(identity)
        except ConflictError:
            assert any(self.model.get(path) != text for path, text in after.items())
            return
        for path, text in before.items():
            if self.model.get(path) == after[path]:
                if text is None:
                    self.model.pop(path)
                else:
                    self.model[path] = text
            else:  # merged: what was typed since is there, what the edit put in is not
                self.model[path] = (self.root / path).read_bytes()
                assert b"typed" in self.model[path]

    @rule(name=st.sampled_from(sorted(NOTES)))
    def type_on_top(self, name: str) -> None:
        data = (
            b"typed\n" + self.model[name] if not self.model[name].startswith(b"---") else self.model[name] + b"\ntyped"
        )
        (self.root / name).write_bytes(data)
        self.model[name] = data

    @rule()
    def restart(self) -> None:
        self.journal = Journal(self.root, self.folder / "state")

    @invariant()
    def holds_what_it_should(self) -> None:
        assert files(self.root) == self.model


Vault.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestVault = Vault.TestCase


# -- what a crash may leave, put there by hand: an intent, and files in every state between old and new


def crashed(
    root: Path, state: Path, path: str, before: bytes | None, after: bytes | None, *, now: bytes | None, **aside: bytes
) -> Journal:
    """A start after a crash: `now` stands in the note; `out` under its temporary name, `halfway` beside that."""
    Journal(root, state)
    temporary = ".0123456789abcdef.kos-tmp"
    write = Write(path, temporary, before, after)
    record = Record("a" * 16, "apply", ("1.1",), (write,), "2025-09-14T10:00:00+00:00")
    (state / "intent").write_bytes(record.pack())
    places = {path: now, temporary: aside.get("out"), Disk().aside(Path(temporary)).name: aside.get("halfway")}
    for name, data in places.items():
        (root / name).unlink(missing_ok=True)
        if data is not None:
            (root / name).write_bytes(data)
    return Journal(root, state)


def kept(journal: Journal) -> list[bytes]:
    return [place.read_bytes() for place in journal.folder.glob("*.kept.*")]


@pytest.mark.parametrize(
    ("before", "after", "now", "aside", "then", "keeps"),
    [
        (b"old", b"new text", b"old", {"out": b"new"}, b"old", []),
        (b"old", b"new text", b"old", {"out": b"typed"}, b"old", [b"typed"]),
        (b"old", b"new text", b"typed", {"out": b"new"}, b"typed", [b"new"]),
        (b"old", b"new", b"new", {"out": b"old"}, b"old", []),
        (b"old", b"new", b"new", {}, b"old", []),
        (b"old", b"new", b"new", {"out": b"new"}, b"old", []),
        (b"old", b"new", b"new", {"out": b"typed"}, b"typed", []),
        (b"old", b"new", b"new", {"halfway": b"old"}, b"old", []),
        (b"old", b"new", b"old", {"out": b"new", "halfway": b"old"}, b"old", []),
        (b"old", None, None, {"out": b"old"}, b"old", []),
        (b"old", None, b"old", {}, b"old", []),
        (None, b"new", b"new", {}, None, []),
        (None, b"new", None, {"out": b"new"}, None, []),
        (None, b"new", b"typed", {}, b"typed", []),
    ],
)
def test_a_start_brings_back_the_old_text_and_keeps_every_other(
    root: Path,
    tmp_path: Path,
    before: bytes | None,
    after: bytes | None,
    now: bytes | None,
    aside: dict[str, bytes],
    then: bytes | None,
    keeps: list[bytes],
) -> None:
    others = {name: data for name, data in files(root).items() if name != "Map.md"}
    journal = crashed(root, tmp_path / "state", "Map.md", before, after, now=now, **aside)
    expected = others if then is None else others | {"Map.md": then}
    assert files(root) == expected
    assert kept(journal) == keeps
    assert not (journal.folder / "intent").exists()


def test_a_folder_that_became_a_file_is_left_as_it_is(root: Path, tmp_path: Path) -> None:
    (root / "Note").write_text("a file")
    before = files(root)
    crashed_in = "Note/New.md"
    write = Write(crashed_in, ".0123456789abcdef.kos-tmp", None, b"new")
    Journal(root, tmp_path / "state")
    record = Record("a" * 16, "apply", ("1.1",), (write,), "2025-09-14T10:00:00+00:00")
    (tmp_path / "state/intent").write_bytes(record.pack())
    Journal(root, tmp_path / "state")
    assert files(root) == before


def test_a_name_that_is_taken_in_that_very_moment_stays_with_who_took_it(root: Path, tmp_path: Path) -> None:
    class Taken(Disk):
        def place(self, one: Path, other: Path) -> None:
            if other.name == "New.md":
                other.write_text("theirs")
            super().place(one, other)

    journal = Journal(root, tmp_path / "state", disk=Taken())
    before = files(root)
    edit = journal.propose([*appended(root, "Daily.md"), create("New.md", "ours", number=2)])
    with pytest.raises(ClashError) as caught:
        journal.apply(edit.id)
    assert (caught.value.theirs, caught.value.ours) == ("theirs", "ours")
    assert files(root) == before | {"New.md": b"theirs"}
    assert left_over(root, journal) == []


def test_an_edit_of_another_version_of_the_program_is_unknown(root: Path, journal: Journal) -> None:
    edit = journal.propose(appended(root))
    place = journal.folder / f"{edit.id}.edit"
    place.write_text(place.read_text().replace('"schema": 1', '"schema": 999'))
    with pytest.raises(UnknownEditError):
        journal.get(edit.id)


def test_an_edit_that_obsidian_did_not_apply_is_not_recorded(root: Path, journal: Journal) -> None:
    edit = journal.propose(appended(root, "Map.md"))
    (root / "Map.md").unlink()
    with pytest.raises((ClashError, EditStateError)):
        journal.applied_elsewhere(edit.id)
    assert journal.get(edit.id).status == "proposed"
