"""A vault on disk: what is a note, what stays fresh, what a bad note costs."""

import os
import random
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from context.index import Index
from context.note import Note
from context.reader import Reader
from context.vault import NoteGoneError, Vault, VaultError, VaultOptions
from context.words import asked
from tests.vaults import open_vault, write


def test_dot_folders_conflict_copies_and_ignored_folders_are_no_notes(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "A.md": "a",
        ".obsidian/app.json": '{"userIgnoreFilters": ["Archive/"]}',
        ".obsidian/x.md": "x",
        ".trash/T.md": "t",
        "Archive/Old.md": "o",
        "A.sync-conflict-20250914-101112-ABCDEFG.md": "conflict",
        "A (Lena's conflicted copy 2025-09-14).md": "conflict",
        "img/p.png": b"\x89PNG",
        "B.canvas": '{"nodes":[],"edges":[]}',
    }
    vault = open_vault(tmp_path, files)
    assert set(vault.snapshot.notes) == {"A.md", "B.canvas"}
    assert vault.snapshot.files == {"A.md", "B.canvas", "img/p.png"}
    assert vault.skipped == 2


def test_links_of_the_file_system_stay_in_the_vault(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"secret.md": "canary"})
    root = write(tmp_path / "vault", {"in/A.md": "a"})
    (root / "leaves.md").symlink_to(outside / "secret.md")
    (root / "folder").symlink_to(outside)
    (root / "ring").symlink_to(root)
    (root / "stays.md").symlink_to(root / "in" / "A.md")
    (root / "dangling.md").symlink_to(root / "nowhere.md")
    vault = open_vault(root)
    assert set(vault.snapshot.notes) == {"in/A.md", "stays.md"}


def test_a_note_that_became_a_link_out_of_the_vault_is_gone(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"secret.md": "canary"})
    root = write(tmp_path / "vault", {"A.md": "a"})
    vault = open_vault(root)
    (root / "A.md").unlink()
    (root / "A.md").symlink_to(outside / "secret.md")
    with pytest.raises(NoteGoneError):
        vault.text("A.md")


def test_a_pipe_a_folder_and_a_socket_named_like_notes_do_not_hang(tmp_path: Path) -> None:
    root = write(tmp_path, {"A.md": "a", "folder.md/B.md": "b"})
    os.mkfifo(root / "pipe.md")
    assert set(open_vault(root).snapshot.notes) == {"A.md", "folder.md/B.md"}


@pytest.mark.parametrize(("make", "said"), [("missing", "no folder"), ("file", "is a file, not a vault")])
def test_what_is_no_vault_is_said(tmp_path: Path, make: str, said: str) -> None:
    root = tmp_path / "vault"
    if make == "file":
        root.write_text("x")
    with pytest.raises(VaultError, match=said) as caught:
        Vault(root, Index(None))
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.hint


def test_bad_notes_are_flagged_and_the_rest_is_served(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "good.md": "# Good\n[[bomb]]",
        "bomb.md": "---\na: " + "{a: " * 24_000 + "\n---\nbody [[good]]",
        "utf16.md": "hello".encode("utf-16"),
        "binary.md": bytes(range(256)) * 40,
        "colon.md": "---\ntitle: a: b\n---\n[[good]]",
        "brackets.md": "[[" * 50_000,
        "empty.md": "",
    }
    vault = open_vault(tmp_path, files)
    notes = vault.snapshot.notes
    assert set(notes) == set(files)
    assert all(notes[path].flags for path in ("bomb.md", "utf16.md", "binary.md", "colon.md"))
    assert notes["bomb.md"].private
    assert notes["colon.md"].private  # who knows what its properties say
    assert vault.snapshot.graph.out["bomb.md"] == ("good.md",)
    assert not notes["good.md"].flags
    assert vault.search(asked("Good"), 5)


def test_an_unreadable_note_is_flagged(tmp_path: Path) -> None:
    root = write(tmp_path, {"A.md": "a", "B.md": "b"})
    (root / "B.md").chmod(0)
    code = f"""
import os
from pathlib import Path
from context.index import Index
from context.note import Note
from context.reader import Reader
from context.vault import Vault
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
vault = Vault(Path({str(root)!r}), Index(None))
print(vault.snapshot.notes["B.md"].flags, vault.snapshot.notes["A.md"].flags)
"""
    for folder in (root, *root.parents):  # whoever runs the child must reach the vault
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_import_env(), check=False)
    assert done.stdout == "('unreadable: permission denied',) ()\n", done.stderr


def _import_env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}


def test_nothing_in_the_vault_is_written(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {f"{n}.md": f"[[{n + 1}]] ---\n" for n in range(20)})
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in root.rglob("*") if file.is_file()}
    vault = Vault(root, Index(tmp_path / "index.sqlite"))
    vault.refresh()
    vault.text("1.md")
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in root.rglob("*") if file.is_file()} == before


def test_a_warm_start_parses_nothing_and_knows_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(
        tmp_path / "v", {"A.md": "---\nx: [1, 2.5, null]\n---\n# H\n- [ ] do [[B]] 📅 2025-09-14 ^id", "B.md": "#tag"}
    )
    first = Vault(root, Index(tmp_path / "i.sqlite")).snapshot
    monkeypatch.setattr("context.reader.parse_text", lambda *_args, **_kw: pytest.fail("parsed again"))
    second = Vault(root, Index(tmp_path / "i.sqlite")).snapshot
    assert dict(second.notes) == dict(first.notes)
    assert second.digest == first.digest


def test_changes_while_away_are_seen_at_start(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {"A.md": "one", "B.md": "two", "C.md": "three"})
    Vault(root, Index(tmp_path / "i.sqlite"), clock=lambda: 5.0).close()
    (root / "A.md").write_text("uno")
    (root / "B.md").unlink()
    write(root, {"D.md": "four"})
    vault = Vault(root, Index(tmp_path / "i.sqlite"), clock=lambda: 9.0)
    assert set(vault.snapshot.notes) == {"A.md", "C.md", "D.md"}
    assert [hit.path for word in ("uno", "one", "two", "four") for hit in vault.search(asked(word), 3)] == [
        "A.md",
        "D.md",
    ]
    assert dict(vault.snapshot.changed_at) == {"A.md": 9.0, "D.md": 9.0}  # and C.md is as old as the index


def rewritten(path: Path, text: str) -> None:
    """Give a file other words of the same length, and the time stamp that it has."""
    stamp = path.stat().st_mtime_ns
    path.write_text(text)
    os.utime(path, ns=(stamp, stamp))


def test_a_second_write_within_one_time_stamp_is_seen_at_the_next_look(tmp_path: Path) -> None:
    root = write(tmp_path / "vault", {"A.md": "apple", "B.md": "b"})
    vault = open_vault(root)
    rewritten(root / "A.md", "grape")
    assert vault.refresh() == 1
    assert vault.data("A.md") == b"grape"
    rewritten(root / "A.md", "peach")
    assert vault.refresh(["B.md"]) == 0, "this one alone was named"
    assert vault.refresh() == 1
    assert vault.search(asked("peach"), 5)
    assert vault.refresh() == 0


def test_what_an_event_names_is_read_whatever_its_time_stamp_says(tmp_path: Path) -> None:
    root = write(tmp_path / "vault", {"A.md": "apple"})
    os.utime(root / "A.md", (1, 1))
    vault = open_vault(root)
    rewritten(root / "A.md", "grape")  # as `cp -p` does
    assert vault.refresh() == 0, "nobody tells, and it is not lately that it was written"
    assert vault.refresh(["A.md"]) == 1
    assert vault.search(asked("grape"), 5)
    before = vault.snapshot
    assert vault.refresh(["A.md"]) == 0
    assert vault.snapshot is before


def test_a_touched_file_with_the_same_bytes_has_not_changed(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {"A.md": "one"})
    vault = Vault(root, Index(tmp_path / "i.sqlite"))
    os.utime(root / "A.md", ns=(1, 1))
    assert vault.refresh() == 0
    assert not vault.snapshot.changed_at
    assert vault.snapshot.notes["A.md"].mtime_ns == 1


def replaced_while_cut(monkeypatch: pytest.MonkeyPatch, path: Path, text: str) -> None:
    """Give a file other words after it was parsed and before its words are taken, once."""
    texts = [text]
    read = Reader.text

    def late(reader: Reader, note: Note) -> str | None:
        if texts and note.path == path.name:
            path.write_text(texts.pop())
        return read(reader, note)

    monkeypatch.setattr(Reader, "text", late)


@pytest.mark.parametrize("is_new", [True, False], ids=["a new index", "a change"])
@pytest.mark.parametrize("told", [["A.md"], ["B.md"], None], ids=["told", "told of another", "a look"])
@pytest.mark.parametrize("reopened", [True, False], ids=["reopened", "open"])
def test_a_note_that_had_other_words_while_its_own_were_taken_is_found_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool, told: list[str] | None, reopened: bool
) -> None:
    root = write(tmp_path / "v", {"A.md": "apple", "B.md": "b [[A]]"})
    if not is_new:
        Vault(root, Index(tmp_path / "i.sqlite")).close()
        write(root, {"A.md": "peach"})
    words = (root / "A.md").read_text()
    replaced_while_cut(monkeypatch, root / "A.md", "grapes")
    vault = Vault(root, Index(tmp_path / "i.sqlite"))
    write(root, {"A.md": words})
    if reopened:
        vault.close()
        vault = Vault(root, Index(tmp_path / "i.sqlite"))
    assert vault.refresh(told) == (0 if reopened else 1), "its words are new, though its bytes are not"
    assert [hit.path for hit in vault.search(asked(words), 5)] == ["A.md"]
    assert not vault.search(asked("grapes"), 5)
    assert vault.refresh() == 0
    vault.close()


def test_new_names_resolve_old_links(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"A.md": "[[New]]"})
    assert vault.snapshot.graph.unresolved == {"A.md": ("New",)}
    write(tmp_path, {"deep/New.md": ""})
    vault.refresh()
    assert vault.snapshot.graph.out["A.md"] == ("deep/New.md",)
    (tmp_path / "deep/New.md").rename(tmp_path / "deep/Old.md")
    vault.refresh()
    assert vault.snapshot.graph.unresolved == {"A.md": ("New",)}


def test_a_request_keeps_the_snapshot_it_began_with(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"A.md": "old"})
    before = vault.snapshot
    digest = before.digest
    write(tmp_path, {"A.md": "newer"})
    vault.refresh()
    assert before.digest == digest != vault.snapshot.digest
    assert before.notes["A.md"].digest != vault.snapshot.notes["A.md"].digest


@pytest.mark.parametrize("seed", range(3))
def test_a_digest_taken_along_is_the_one_made_anew(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    vault = open_vault(tmp_path, {f"{n}.md": "x" * n for n in range(6)} | {"a.png": ""})
    seen: dict[str, tuple[object, ...]] = {}
    for _ in range(60):
        path = tmp_path / f"{dice.choice('01234567')}.{dice.choice(('md', 'md', 'png'))}"
        what = dice.randrange(4)
        if what == 0:
            path.unlink(missing_ok=True)
        elif what == 1 and path.exists():
            os.utime(path, (dice.randrange(3), 0))
        elif what == 2 and path.exists():
            path.rename(path.with_stem(f"{path.stem}b"))
        else:
            path.write_text(dice.choice(("", "word", "---\nprivate: true\n---\n")), "utf-8")
        vault.refresh([path.name, f"{path.stem}b{path.suffix}"] if dice.random() < 0.5 else None)
        now = vault.snapshot
        assert now.digest == open_vault(tmp_path).snapshot.digest == replace(now).digest
        notes = sorted((one.path, one.digest, one.mtime_ns, one.private) for one in now.notes.values())
        state = (*sorted(now.files), *notes, *sorted(now.attachments.items()))
        assert seen.setdefault(now.digest, state) == state
        if dice.random() < 0.2:
            vault = open_vault(tmp_path)
    assert len(seen) > 30


def test_only_files_that_are_no_notes_have_their_status_apart(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"A.md": "one", "B.canvas": "{}", "C.base": ""})
    assert vault.snapshot.attachments == {}
    write(tmp_path, {"pic.png": "12345"})
    assert vault.refresh() == 0
    assert vault.snapshot.attachments == {"pic.png": ((tmp_path / "pic.png").stat().st_mtime_ns, 5)}


def test_an_attachment_that_changed_while_nobody_looked_is_seen_at_the_start(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {"A.md": "![[pic.png]]", "pic.png": "1"})
    Vault(root, Index(tmp_path / "i.sqlite")).close()
    write(root, {"pic.png": "12345"})
    vault = Vault(root, Index(tmp_path / "i.sqlite"))
    assert vault.snapshot.attachments["pic.png"][1] == 5
    vault.close()


def test_a_digest_that_nobody_asked_for_is_not_taken_along(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"A.md": "one"})
    write(tmp_path, {"A.md": "second"})
    vault.refresh()
    assert "_sum" not in vars(vault.snapshot)


def test_a_vault_rests_at_its_snapshot_while_nothing_is_read(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"A.md": "one"})
    before = vault.snapshot
    assert vault.rests_at(before)
    with vault._lock:
        assert not vault.rests_at(before)
    write(tmp_path, {"A.md": "second"})
    vault.refresh()
    assert (vault.rests_at(before), vault.rests_at(vault.snapshot)) == (False, True)
    assert vault.stamp("A.md") == ((tmp_path / "A.md").stat().st_mtime_ns, 6)
    assert vault.stamp("B.md") is vault.stamp("A\0.md") is None


def test_text_is_of_now_and_says_so_by_its_digest(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"A.md": "old", "B.md": "b"})
    write(tmp_path, {"A.md": "newer text"})
    note, text = vault.text("A.md")
    assert text == "newer text"
    assert note.digest != vault.snapshot.notes["A.md"].digest
    (tmp_path / "B.md").unlink()
    with pytest.raises(NoteGoneError):
        vault.text("B.md")
    with pytest.raises(NoteGoneError):
        vault.text("../outside.md")


@pytest.mark.parametrize("damage", ["garbage", "truncated", "row", "schema"])
def test_a_damaged_index_is_built_again(tmp_path: Path, damage: str) -> None:
    root = write(tmp_path / "v", {f"{n}.md": f"word{n} [[{n + 1}]]" for n in range(50)})
    file = tmp_path / "i.sqlite"
    Vault(root, Index(file)).close()
    if damage == "garbage":
        file.write_bytes(b"not a database at all" * 100)
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        db = sqlite3.connect(file)
        db.execute(
            "UPDATE note SET row=row || x'00' WHERE path='7.md'" if damage == "row" else "PRAGMA user_version=99"
        )
        db.commit()
        db.close()
    vault = Vault(root, Index(file))
    assert len(vault.snapshot.notes) == 50
    assert [hit.path for hit in vault.search(asked("word7"), 3)] == ["7.md"]


def test_other_privacy_rules_read_the_notes_again(tmp_path: Path) -> None:
    root = write(tmp_path / "v", {"A.md": "#secret", "Health/B.md": "b"})
    options = VaultOptions()
    first = Vault(root, Index(tmp_path / "i.sqlite", made_with=options.fingerprint), options)
    assert not any(note.private for note in first.snapshot.notes.values())
    first.close()
    options = replace(options, private_tags=frozenset({"secret"}), private_folders=("Health",))
    second = Vault(root, Index(tmp_path / "i.sqlite", made_with=options.fingerprint), options)
    assert all(note.private for note in second.snapshot.notes.values())


def test_full_text_finds_stems_diacritics_properties_and_cjk(tmp_path: Path) -> None:
    files = {
        "A.md": "The planners were planning a café.",
        "B.md": "---\nowner: Grete\n---\nx",
        "C.md": "これは日本語のノートです。",
        "Only name.md": "",
    }
    vault = open_vault(tmp_path, files)

    def paths(words: str) -> list[str]:
        from context.search import search

        return [hit.path for hit in search(vault, words)]

    assert paths("plan") == paths("cafe") == ["A.md"]
    assert paths("grete") == ["B.md"]
    assert paths("日本語") == ["C.md"]
    assert paths("only name") == ["Only name.md"]
    assert paths('") OR * NEAR( AND "') == paths("") == []
    assert paths("the") == ["A.md"]  # nothing but a common word: then that is what was asked for


def test_an_index_that_another_process_holds_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "v", {"A.md": "word"})
    file = tmp_path / "i.sqlite"
    Vault(root, Index(file)).close()
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    before = file.stat().st_ino
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **kw: real(*a, **(kw | {"timeout": 0.05})))
    write(root, {"B.md": "other"})
    vault = Vault(root, Index(file))
    assert set(vault.snapshot.notes) == {"A.md", "B.md"}
    assert [hit.path for hit in vault.search(asked("other"), 3)] == ["B.md"]
    holder.execute("ROLLBACK")
    assert file.stat().st_ino == before
    assert holder.execute("SELECT count(*) FROM note").fetchone() == (1,)
    holder.close()


def test_only_the_files_named_are_looked_at_however_they_are_given(tmp_path: Path) -> None:
    vault = open_vault(tmp_path / "v", {"A.md": "apple", "B.md": "pear", "C.md": "plum"})
    for name in ("A", "B", "New"):
        (tmp_path / f"v/{name}.md").write_text("quince and more")
    (tmp_path / "v/C.md").unlink()
    assert vault.refresh(iter(["A.md", "New.md", "C.md", "never.md"])) == 3
    assert sorted(hit.path for hit in vault.search(asked("quince"), 9)) == ["A.md", "New.md"]
    assert set(vault.snapshot.notes) == {"A.md", "B.md", "New.md"}
    assert vault.refresh() == 1
    assert sorted(hit.path for hit in vault.search(asked("quince"), 9)) == ["A.md", "B.md", "New.md"]
