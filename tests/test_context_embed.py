"""Vectors of a vault: each text embedded once, kept fresh, forgotten when gone, and nobody waits for any of it."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from context import embed as module
from context.chunk import chunks
from context.embed import Embedder, EmbedderAwayError, Likeness, Vectors, text_of
from context.vault import Vault
from context.vector_file import VectorFile
from tests.kos import ROOT
from tests.ollama_answers import vector
from tests.vaults import open_vault, write

WIDTH = 256
NOTES: dict[str, str | bytes] = {
    "Plums.md": "# Plums\nSeven plums ripen on the wall.\n\n# Stones\nOne stone in each.\n",
    "Engine.md": "---\naliases: [motor]\n---\nThe diesel engine drips oil.",
    "Empty.md": "---\nstatus: active\n---\n",
    "Diary/2025-09-14.md": "Rain all day, and a letter from Ida.",
    "Secret.md": "---\nprivate: true\n---\nThe code of the safe.",
    "Board.canvas": '{"nodes": []}',
}


@dataclass
class Words:
    """An embedder that knows which texts share words; remembers what it was asked, and fails as a test says.

    Attributes:
        texts, questions: what was embedded.
        fault: raised instead, if there is one.
        refuses: words of texts that cannot be embedded.
        hold: while set, nothing comes.
    """

    texts: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    calls: int = 0
    fault: Exception | None = None
    refuses: str = ""
    hold: threading.Event | None = None
    width: int = WIDTH
    seconds: float = 0.0
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def embedder(self, **more: Any) -> Embedder:
        given: dict[str, Any] = {"id": "words", "name": "words", "embed": self.embed, "deadline_seconds": 2.0}
        return Embedder(**given | more)

    def embed(self, texts: Sequence[str], question: bool) -> "Future[list[list[float]]]":
        self.calls += 1
        done: Future[list[list[float]]] = Future()

        def work() -> None:
            with suppress(InvalidStateError):  # nobody wants it any more
                try:
                    done.set_result(self._work(list(texts), question))
                except Exception as error:  # noqa: BLE001 - handed on
                    done.set_exception(error)

        self.pool.submit(work)
        return done

    def _work(self, texts: list[str], question: bool) -> list[list[float]]:
        if self.hold is not None:
            self.hold.wait(10)
        time.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault
        if self.refuses and any(self.refuses in text for text in texts):
            raise RuntimeError(f"cannot embed {texts}")
        (self.questions if question else self.texts).extend(texts)
        return [vector(text, self.width) for text in texts]

    def taken(self) -> list[str]:
        """The texts embedded since this was asked last, without the one that only asks for the width."""
        found = [text for text in self.texts if text != "."]
        self.texts.clear()
        return found


def until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


@contextmanager
def vectors(
    vault: Vault, words: Words, path: Path | None = None, *, fill: bool = True, **more: Any
) -> Iterator[Vectors]:
    found = Vectors(vault, words.embedder(**more), path, fill=fill)
    try:
        yield found
    finally:
        found.close()
        assert not found._thread.is_alive()


def whole(found: Vectors) -> Vectors:
    """The same, once every chunk has its vector."""
    found.wake()
    until(lambda: found.is_complete)
    return found


def edit(vault: Vault, path: str, text: str | None) -> None:
    """Write a note, or remove it, and let the vault see it."""
    if text is None:
        (vault.root / path).unlink()
    else:
        write(vault.root, {path: text})
    vault.refresh()


def near(found: Vectors, text: str, limit: int = 3) -> list[str]:
    like = found.like(text, found._vault.snapshot.notes)
    assert like is not None, found.status()
    return [row.path for row in like.nearest(limit)]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return open_vault(tmp_path / "vault", NOTES)


# --- what is embedded


def test_names_headings_and_text_of_each_chunk_are_embedded(vault: Vault) -> None:
    def texts(path: str) -> list[str]:
        note, text = vault.text(path)
        return [text_of(note, text, one) for one in chunks(note, text)]

    assert texts("Engine.md") == ["Engine motor\nThe diesel engine drips oil."]
    assert texts("Empty.md") == ["Empty\nEmpty status active"]
    assert texts("Plums.md")[0].startswith("Plums > Plums\n# Plums\nSeven plums") or texts("Plums.md")[0].startswith(
        "Plums\n# Plums\nSeven plums"
    )


def test_every_text_has_its_vector_and_the_nearest_is_found(vault: Vault) -> None:
    words = Words()
    with vectors(vault, words) as found:
        whole(found)
        assert near(found, "diesel motor", 1) == ["Engine.md"]
        assert near(found, "seven plums ripen", 1) == ["Plums.md"]
        assert set(near(found, "x", 99)) == {path for path in NOTES if path.endswith(".md")}, "a canvas says nothing"
        told = found.status()
        assert told | {"bytes": 0} == {
            "model": "words",
            "state": "ready",
            "notes": {"embedded": 5, "total": 5},
            "chunks": {"embedded": len(words.taken()), "known": told["chunks"]["embedded"]},
            "bytes": 0,
            "last_fault": "",
        }


def test_a_place_found_is_that_of_a_chunk_of_the_note_as_it_is(vault: Vault) -> None:
    with vectors(vault, Words()) as found:
        whole(found)
        like = found.like("plums", vault.snapshot.notes)
        assert like is not None
        for row in like.nearest(10):
            note, text = vault.text(row.path)
            assert (row.start, row.stop) in [(one.start, one.stop) for one in chunks(note, text)]
        rows = like.nearest(10)
        cosines = like.cosines([(row.path, row.start, row.stop) for row in rows] + [("Plums.md", 1, 2)])
        assert cosines[:-1] == pytest.approx([row.cosine for row in rows], abs=1e-5)
        assert cosines[-1] is None


def test_an_empty_vault_is_complete(tmp_path: Path) -> None:
    words = Words()
    with vectors(open_vault(tmp_path), words) as found:
        whole(found)
        assert found.like("anything", {}) is None
    assert words.calls <= 1


# --- once, and only what changed


def test_equal_texts_are_embedded_once_and_a_start_asks_nothing(vault: Vault, tmp_path: Path) -> None:
    write(vault.root, {f"Copy {n}/Plums.md": NOTES["Plums.md"] for n in range(5)})
    vault.refresh()
    words, path = Words(), tmp_path / "vectors.db"
    with vectors(vault, words, path) as found:
        whole(found)
        first = words.taken()
        assert len(first) == len(set(first))
        paths = near(found, "seven plums ripen", 6)
        assert sorted(paths) == sorted(["Plums.md", *(f"Copy {n}/Plums.md" for n in range(5))])
        mark = found.mark
    with vectors(vault, words, path) as found:
        whole(found)
        assert words.calls == 0 or not words.taken()
        assert near(found, "diesel motor", 1) == ["Engine.md"]
        assert found.mark == mark, "what was made before still stands"


def test_equal_texts_are_embedded_once_wherever_one_batch_ends(tmp_path: Path) -> None:
    long = "".join(f"# Part {n}\n{f'word{n} ' * 200}\n\n" for n in range(10))
    words = Words()
    with vectors(open_vault(tmp_path, {f"{n}/Long.md": long for n in range(3)}), words) as found:
        whole(found)
        texts = words.taken()
        assert len(texts) == len(set(texts)) >= 10
        assert found.status()["chunks"]["embedded"] == 3 * len(texts)


def test_a_note_that_moves_costs_nothing(vault: Vault, tmp_path: Path) -> None:
    words = Words()
    with vectors(vault, words, tmp_path / "vectors.db") as found:
        whole(found)
        words.taken()
        (vault.root / "Deep").mkdir()
        (vault.root / "Plums.md").rename(vault.root / "Deep" / "Plums.md")
        vault.refresh()
        whole(found)
        assert words.taken() == []
        assert near(found, "seven plums ripen", 1) == ["Deep/Plums.md"]
        edit(vault, "Engine.md", None)
        whole(found)
        edit(vault, "Shed/Engine.md", str(NOTES["Engine.md"]))
        whole(found)
        assert words.taken() == [], "also when it was away in between"


def test_an_edit_embeds_the_chunk_that_changed(vault: Vault, tmp_path: Path) -> None:
    long = "".join(f"# Part {n}\n{f'word{n} ' * 200}\n\n" for n in range(8))
    edit(vault, "Long.md", long)
    words = Words()
    with vectors(vault, words, tmp_path / "vectors.db") as found:
        whole(found)
        words.taken()
        edit(vault, "Long.md", long.replace("word5 ", "wyrd5 ", 1))
        whole(found)
        (new,) = words.taken()
        assert "wyrd5" in new
        assert near(found, "wyrd5", 1) == ["Long.md"]


def test_a_touched_note_is_left_alone(vault: Vault) -> None:
    words = Words()
    with vectors(vault, words) as found:
        whole(found)
        words.taken()
        mark = found._revision
        os.utime(vault.root / "Plums.md", ns=(1, 1))
        vault.refresh()
        whole(found)
        assert (words.taken(), found._revision) == ([], mark)


def test_the_notes_written_last_come_first(tmp_path: Path) -> None:
    root = write(tmp_path / "vault", {f"{n:02}.md": f"note {n}" for n in range(30)})
    for n in range(30):
        os.utime(root / f"{n:02}.md", ns=(n * 10**9, n * 10**9))
    words = Words()
    with vectors(open_vault(root), words) as found:
        whole(found)
        assert [text.split("\n")[0] for text in words.taken()] == [f"{n:02}" for n in reversed(range(30))]


# --- what goes


def test_a_note_that_is_gone_is_not_found_and_then_forgotten(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, words = tmp_path / "vectors.db", Words()
    with vectors(vault, words, path) as found:
        whole(found)
        edit(vault, "Engine.md", None)
        whole(found)
        assert "Engine.md" not in near(found, "diesel engine", 99)
        before = kept(path)
        monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.0)
        found.wake()
        until(lambda: found._swept)
    assert len(kept(path)) == len(before) - 1
    with vectors(vault, words, path) as found:
        whole(found)
        words.taken()
        edit(vault, "Engine.md", str(NOTES["Engine.md"]))
        whole(found)
        assert len(words.taken()) == 1, "it was forgotten"


def kept(path: Path) -> set[bytes]:
    with sqlite3.connect(path) as db:
        found = {key for (key,) in db.execute("SELECT key FROM vector")}
    db.close()
    return found


def test_nothing_is_forgotten_while_something_is_still_to_be_looked_at(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, words = tmp_path / "vectors.db", Words()
    with vectors(vault, words, path) as found:
        whole(found)
    before = kept(path)
    with sqlite3.connect(path) as db:  # as after a kill between two writes
        db.execute("DELETE FROM note")
    db.close()
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.0)
    words.taken()
    with vectors(vault, words, path) as found:
        whole(found)
        until(lambda: found._swept)
        assert words.taken() == []
    assert kept(path) == before


# --- private notes


def test_private_notes_are_not_shown_to_an_embedder_that_may_not_see_them(vault: Vault) -> None:
    words = Words()
    with vectors(vault, words, sees_private=False) as found:
        whole(found)
        assert not any("safe" in text or "Secret" in text for text in words.taken())
        assert found.status()["notes"] == {"embedded": 4, "total": 4}
        edit(vault, "Engine.md", "---\nprivate: true\n---\nThe diesel engine hides a key.")
        whole(found)
        assert words.taken() == []
        assert "Engine.md" not in near(found, "diesel engine", 99)
        edit(vault, "Secret.md", "No longer: the code of the safe.")
        whole(found)
        assert [text for text in words.taken() if "safe" in text]


def test_a_note_that_became_private_on_disk_alone_is_not_shown(vault: Vault) -> None:
    words = Words(hold=threading.Event())
    with vectors(vault, words, sees_private=False) as found:
        until(lambda: words.calls)  # it asks for the width, and has looked at no note
        write(vault.root, {"Engine.md": "---\nprivate: true\n---\nhidden key"})
        assert words.hold is not None
        words.hold.set()
        until(lambda: len(words.texts) >= 4)
        vault.refresh()
        whole(found)
        assert not any("hidden" in text for text in words.texts)


# --- faults of the embedder


def test_an_embedder_that_is_away_is_left_alone_and_filling_goes_on_when_it_is_back(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.05)
    words = Words(fault=EmbedderAwayError("node 'desk' does not answer"))
    with vectors(vault, words, deadline_seconds=0.2) as found:
        until(lambda: words.calls >= 3)
        time.sleep(0.3)
        assert words.calls < 8, "less and less often"
        assert found.status() | {"bytes": 0, "chunks": 0} == {
            "model": "words",
            "state": "waiting",
            "notes": {"embedded": 0, "total": 5},
            "chunks": 0,
            "bytes": 0,
            "last_fault": "node 'desk' does not answer",
        }
        assert found.like("plums", vault.snapshot.notes) is None
        words.fault = None
        until(lambda: found.is_complete)
        found._breaker.success()
        assert near(found, "diesel motor", 1) == ["Engine.md"]


def test_what_is_known_of_edited_notes_is_found_while_the_embedder_is_away(tmp_path: Path) -> None:
    texts = {f"{n}.md": f"# One\n{'plum ' * 350}\n\n# Two\n{f'word{n} ' * 250}\n" for n in range(100)}
    vault = open_vault(tmp_path, dict(texts))
    words = Words()
    with vectors(vault, words) as found:
        whole(found)
        near(found, "word3", 1)
        words.fault = EmbedderAwayError("away")
        write(vault.root, {name: text.replace("# One", "# First", 1) for name, text in texts.items()})
        vault.refresh()
        found.wake()
        until(lambda: found._seen is vault.snapshot.notes)
        assert not found.is_complete
        like = found.like("word3", vault.snapshot.notes)
        assert like is not None
        rows = like.nearest(999)
        assert rows[0].path == "3.md"
        assert {row.path for row in rows} == set(texts), "one piece of each is as it was"


def test_one_text_that_is_refused_holds_up_no_other(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    words = Words(refuses="diesel")
    with vectors(vault, words) as found:
        until(lambda: found.status()["notes"]["embedded"] == 4)
        assert found.status()["last_fault"] == "RuntimeError", "the words of the error may quote the text"
        assert not found.is_complete
        assert near(found, "seven plums ripen", 1) == ["Plums.md"]
        words.refuses = ""
        monkeypatch.setattr(module, "_REFUSED_SECONDS", 0.0)
        found._refused = dict.fromkeys(found._refused, 0.0)
        whole(found)
        assert near(found, "diesel engine", 1) == ["Engine.md"]


def test_an_embedder_that_refuses_everything_is_left_alone(vault: Vault) -> None:
    words = Words()
    with vectors(vault, words) as found:
        whole(found)
        for n in range(30):
            write(vault.root, {f"n{n}.md": f"text {n}"})
        words.refuses, calls = "text", words.calls
        vault.refresh()
        found.wake()
        time.sleep(0.5)
        assert words.calls - calls < 12


def test_vectors_of_another_length_mean_another_embedder(vault: Vault, tmp_path: Path) -> None:
    words, path = Words(), tmp_path / "vectors.db"
    with vectors(vault, words, path) as found:
        whole(found)
        words.width = 32
        edit(vault, "New.md", "Something new.")
        whole(found)
        assert found.status()["notes"] == {"embedded": 6, "total": 6}
        assert near(found, "diesel motor", 1) == ["Engine.md"]
        assert found._matrix is not None
        assert found._matrix.width == 32


def test_a_batch_is_as_long_as_a_question_can_wait(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {f"{n}.md": f"text {n}" for n in range(150)})
    sizes: list[int] = []

    class Slow(Words):
        def _work(self, texts: list[str], question: bool) -> list[list[float]]:
            sizes.append(len(texts))
            time.sleep(len(texts) * 0.02)
            return super()._work(texts, question)

    with vectors(vault, Slow()) as found:
        whole(found)
    assert max(sizes[3:]) <= 6
    assert sum(sizes) == 151
    sizes.clear()
    with vectors(vault, Words()) as found:
        whole(found)
        assert found._batch == 64


# --- questions


def test_a_question_that_is_not_embedded_in_time_is_not_waited_for_and_there_the_next_time(vault: Vault) -> None:
    words = Words()
    with vectors(vault, words, deadline_seconds=0.15) as found:
        whole(found)
        words.hold = threading.Event()
        began = time.monotonic()
        assert found.like("plums", vault.snapshot.notes) is None
        assert 0.1 < time.monotonic() - began < 1.0
        assert found.status()["last_fault"] == "a question was not embedded within 0.15 s"
        began = time.monotonic()
        assert found.like("another", vault.snapshot.notes) is None
        assert time.monotonic() - began < 0.1, "the next ones do not even ask"
        words.hold.set()
        until(lambda: words.questions == ["plums"])
        words.hold = None
        until(lambda: found.like("plums", vault.snapshot.notes) is not None)
        assert words.questions == ["plums"]
        assert found.like("another", vault.snapshot.notes) is not None, "it answers again"
        assert found.status()["last_fault"] == "", "what is over is not told"


def test_a_question_is_embedded_once(vault: Vault) -> None:
    words = Words()
    with vectors(vault, words) as found:
        whole(found)
        for _ in range(3):
            near(found, "plums")
        assert words.questions == ["plums"]
        for n in range(80):
            near(found, f"question {n}")
        near(found, "plums")
        assert words.questions.count("plums") == 2, "the oldest are forgotten"
        assert len(found._asked) == 64


def test_a_question_during_filling_is_answered_by_what_is_there(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {f"{n}.md": f"text {n}" for n in range(200)})
    with vectors(vault, Words(seconds=0.02), deadline_seconds=1.0) as found:
        until(lambda: found.status()["chunks"]["embedded"] >= 5)
        began = time.monotonic()
        assert found.like("text 7", vault.snapshot.notes) is not None
        assert time.monotonic() - began < 0.5
        assert not found.is_complete


def test_a_fault_of_a_question_is_told_and_not_kept(vault: Vault) -> None:
    words = Words()
    with vectors(vault, words) as found:
        whole(found)
        words.fault = EmbedderAwayError("node 'desk' does not answer")
        assert found.like("plums", vault.snapshot.notes) is None
        assert found.status()["last_fault"] == "node 'desk' does not answer"
        words.fault = None
        found._breaker.success()
        assert found.like("plums", vault.snapshot.notes) is not None


def test_an_embedder_that_cannot_even_be_asked_is_a_fault_like_any_other(vault: Vault) -> None:
    words = Words()
    with vectors(vault, words) as found:
        whole(found)

        def embed(texts: Sequence[str], question: bool) -> "Future[list[list[float]]]":
            raise EmbedderAwayError("the service is stopping")

        found.embedder = replace(found.embedder, embed=embed)
        assert found.like("plums", vault.snapshot.notes) is None
        assert found.status()["last_fault"] == "the service is stopping"


def test_only_notes_in_scope_count(vault: Vault) -> None:
    with vectors(vault, Words()) as found:
        whole(found)
        notes = {"Engine.md": vault.snapshot.notes["Engine.md"]}
        like = found.like("seven plums ripen", notes)
        assert isinstance(like, Likeness)
        assert [row.path for row in like.nearest(5)] == ["Engine.md"]


# --- what stands in keys


def test_a_mark_is_never_that_of_two_states(vault: Vault, tmp_path: Path) -> None:
    words, path = Words(), tmp_path / "vectors.db"
    with vectors(vault, words, path) as found:
        marks = [whole(found).mark]
        words.hold = threading.Event()
        edit(vault, "Plums.md", "No plums at all.")
        marks.append(found.mark)
        found.wake()
        until(lambda: found._seen is vault.snapshot.notes)
        marks.append(found.mark)
        words.hold.set()
        whole(found)
        assert found.mark == marks[0], "the notes themselves stand in the key too"
        assert len(set(marks)) >= 2
        edit(vault, "More.md", "More.")
        marks.append(found.mark)
    with vectors(vault, words, path, fill=False) as found:
        until(found._loaded.is_set)
        assert found.mark not in marks, "another start, another mark, as long as something is missing"


def test_without_filling_what_is_known_is_used_and_nothing_is_embedded(vault: Vault, tmp_path: Path) -> None:
    words, path = Words(), tmp_path / "vectors.db"
    with vectors(vault, words, path) as found:
        whole(found)
    edit(vault, "New.md", "Something new.")
    words.taken()
    with vectors(vault, words, path, fill=False, deadline_seconds=0.5) as found:
        assert near(found, "diesel motor", 1) == ["Engine.md"]
        assert "New.md" not in near(found, "Something new", 99)
        assert found.status()["state"] == "waiting"
        time.sleep(0.1)
    assert words.taken() == []


# --- the file


@pytest.mark.parametrize("how", ["garbage", "middle", "no tables"])
def test_a_damaged_file_costs_the_vectors_in_it_and_nothing_else(tmp_path: Path, how: str) -> None:
    vault = open_vault(tmp_path / "vault", NOTES | {f"n{n}.md": f"number {n} " * 30 for n in range(200)})
    words, path = Words(), tmp_path / "vectors.db"
    with vectors(vault, words, path) as found:
        whole(found)
    data = path.read_bytes()
    if how == "no tables":
        with sqlite3.connect(path) as db:
            db.execute("DROP TABLE vector")
        db.close()
    else:
        path.write_bytes(b"?" * 5000 if how == "garbage" else data[:16384] + b"?" * (len(data) - 16384))
    words.taken()
    with vectors(vault, words, path) as found:
        whole(found)
        assert len(words.taken()) > 150
        assert near(found, "diesel motor", 1) == ["Engine.md"]
    with vectors(vault, words, path) as found:
        whole(found)
        assert words.taken() == []


def test_a_file_that_breaks_while_it_is_used_is_made_anew(vault: Vault, tmp_path: Path) -> None:
    words, path = Words(), tmp_path / "vectors.db"
    with vectors(vault, words, path) as found:
        whole(found)
        with sqlite3.connect(path) as db:
            db.execute("DROP TABLE note")
        db.close()
        edit(vault, "New.md", "Something new.")
        whole(found)
        assert near(found, "something new", 1) == ["New.md"]
        assert near(found, "diesel motor", 1) == ["Engine.md"]
    words.taken()
    with vectors(vault, words, path) as found:
        whole(found)
        assert words.taken() == []


def test_on_a_full_disk_vectors_live_in_memory(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"

    def full(*_: Any) -> None:
        raise error

    words, path = Words(), tmp_path / "vectors.db"
    monkeypatch.setattr(VectorFile, "keep", full)
    with vectors(vault, words, path) as found:
        whole(found)
        assert near(found, "diesel motor", 1) == ["Engine.md"]
        assert found.status()["last_fault"] == "vectors cannot be kept (SQLITE_FULL)"
    monkeypatch.undo()
    words.taken()
    with vectors(vault, words, path) as found:
        whole(found)
        assert words.taken()


def test_an_index_that_cuts_otherwise_loses_no_vector(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, path = Words(), tmp_path / "vectors.db"
    with vectors(vault, words, path) as found:
        whole(found)
    words.taken()
    monkeypatch.setattr(module, "INDEX_SCHEMA", 99)
    with vectors(vault, words, path) as found:
        whole(found)
        assert words.taken() == []


_FILLER = """
import sys, time
from concurrent.futures import Future
from pathlib import Path
from context.embed import Embedder, Vectors
from context.index import Index
from context.vault import Vault
from tests.ollama_answers import vector

def embed(texts, question):
    time.sleep(0.001 * len(texts))
    done = Future()
    done.set_result([vector(text, 256) for text in texts])
    return done

vault = Vault(Path(sys.argv[1]), Index(None))
found = Vectors(vault, Embedder("words", "words", embed), Path(sys.argv[2]))
while True:
    print(found.status()["chunks"]["embedded"], flush=True)
    time.sleep(0.002)
"""


def test_kills_while_filling_lose_no_more_than_a_batch(tmp_path: Path) -> None:
    root = write(tmp_path / "vault", {f"{n}.md": f"text number {n}" for n in range(1500)})
    path, total = tmp_path / "vectors.db", 0
    for goal in (50, 300, 700):
        with subprocess.Popen(
            [sys.executable, "-c", _FILLER, str(root), str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            told = 0
            for line in process.stdout:
                told = int(line)
                if told >= goal:
                    break
            process.send_signal(signal.SIGKILL)
        assert len(kept(path)) >= told >= goal
        total = len(kept(path))
    words = Words()
    with vectors(open_vault(root), words, path) as found:
        whole(found)
        texts = words.taken()
        assert len(texts) == 1500 - total
        assert len(found._known([found._key(f"{n}\ntext number {n}") for n in range(1500)])) == 1500


# --- the end


@pytest.mark.parametrize("busy", ["texts", "question", "width"])
def test_closing_breaks_off_what_is_under_way(vault: Vault, busy: str) -> None:
    words = Words(hold=threading.Event() if busy == "width" else None)
    found = Vectors(vault, words.embedder(), None)
    if busy != "width":
        whole(found)
        words.hold, calls = threading.Event(), words.calls
        if busy == "texts":
            edit(vault, "New.md", "new")
            found.wake()
        else:
            threading.Thread(target=found.like, args=("plums", vault.snapshot.notes)).start()
        until(lambda: words.calls > calls)
    else:
        until(lambda: words.calls)
    began = time.monotonic()
    found.close()
    assert time.monotonic() - began < 1.0
    assert not found._thread.is_alive()
    assert words.hold is not None
    words.hold.set()


@pytest.mark.parametrize("seed", [3, 4])
def test_any_order_of_changes_leaves_the_vectors_of_the_notes_as_they_are(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    vault = open_vault(tmp_path / "vault", {f"{n}.md": f"note {n}" for n in range(20)})
    words = Words()

    def text() -> str:
        private = "---\nprivate: true\n---\n" if dice.random() < 0.1 else ""
        parts = (f"# Part {k}\n" + f"word{dice.randrange(9)} " * 120 for k in range(dice.randrange(5)))
        return private + "\n".join(parts)

    with vectors(vault, words, tmp_path / "vectors.db") as found:
        for step in range(300):
            file, other = (vault.root / f"{dice.randrange(25)}.md" for _ in range(2))
            doing = dice.random()
            if doing < 0.2 and file.exists():
                file.unlink()
            elif doing < 0.4 and file.exists():
                file.rename(other)
            else:
                write(vault.root, {file.name: text()})
            vault.refresh()
            if dice.random() < 0.1:
                found.wake()
            if step % 50 == 49:
                check(whole(found))
    texts = words.taken()
    assert len(texts) == len(set(texts)), "no text was embedded twice"


def check(found: Vectors) -> None:
    """Every chunk of the vault has its vector, and there is no other."""
    vault = found._vault
    wanted: dict[tuple[str, int], str] = {}
    for note in vault.snapshot.notes.values():
        text = vault.text(note.path)[1]
        wanted |= {(note.path, one.start): text_of(note, text, one) for one in chunks(note, text)}
    like = found.like("word3", vault.snapshot.notes)
    assert like is not None
    rows = like.nearest(10_000)
    assert {(row.path, row.start) for row in rows} == set(wanted)
    question = vector("word3", WIDTH)
    for row in rows:
        one = vector(wanted[row.path, row.start], WIDTH)
        assert row.cosine == pytest.approx(sum(map(float.__mul__, one, question)), abs=6e-3)
