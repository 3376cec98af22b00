"""Large vaults: worker processes read as one process does, full text follows, and no worker is needed."""

import os
import signal
import sqlite3
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from context.index import Index
from context.reader import Reader
from context.vault import Vault
from context.words import asked
from context.workers import Workers
from tests.test_storms import EVERY, difference, state
from tests.vaults import write

COUNT = 700


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        f"{number % 7}/{number}.md": f"---\ntags: [t{number % 3}]\n---\n# H{number}\n{EVERY} apple [[{number + 1}]] [[gone]]\n- [ ] do\n"
        for number in range(COUNT)
    }
    return write(tmp_path_factory.mktemp("large") / "vault", files)


def alone(root: Path) -> dict[str, Any]:
    """What one process makes of a vault."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("context.vault._MANY", 10**9)
        vault = Vault(root, Index(None))
        try:
            return state(vault)
        finally:
            vault.close()


def test_workers_read_what_one_process_reads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("context.workers._cores", lambda: 3)
    vault = Vault(root, Index(None))
    assert state(vault) == alone(root)
    vault.close()


def test_full_text_follows_and_searches_wait_for_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    real = Index.fill

    def fill(self: Index, *arguments: Any, **more: Any) -> None:
        held.wait(20)
        real(self, *arguments, **more)

    monkeypatch.setattr(Index, "fill", fill)
    vault = Vault(root, Index(tmp_path / "i.sqlite"))
    assert not vault.is_searchable
    assert len(vault.snapshot.notes) == COUNT
    assert vault.snapshot.graph.out["1/1.md"] == ("2/2.md",)
    assert vault.index.last_run("orient") is None
    vault.index.record_run("orient", 5.0)
    threading.Timer(0.2, held.set).start()
    assert len(vault.search(asked(EVERY), COUNT)) == COUNT
    assert vault.is_searchable
    assert not difference(vault)
    vault.close()
    again = Index(tmp_path / "i.sqlite")
    assert not again.fresh
    assert again.last_run("orient") == 5.0
    monkeypatch.setattr("context.reader.parse_text", lambda *_, **__: pytest.fail("parsed again"))
    warm = Vault(root, again)
    assert len(warm.search(asked(EVERY), COUNT)) == COUNT
    warm.close()


def test_a_change_while_full_text_is_built_waits_its_turn(root: Path, tmp_path: Path) -> None:
    place = write(tmp_path / "vault", {f"{number}.md": f"{EVERY} {number}" for number in range(COUNT)})
    vault = Vault(place, Index(tmp_path / "i.sqlite"))
    (place / "7.md").write_text(f"{EVERY} pomegranate")
    (place / "new.md").write_text(f"{EVERY} [[7]]")
    assert vault.refresh() == 2
    assert [hit.path for hit in vault.search(asked("pomegranate"), 3)] == ["7.md"]
    assert not difference(vault)
    vault.close()


def test_an_index_whose_filling_was_cut_off_counts_for_nothing(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "i.sqlite"

    class CutOffError(Exception):
        pass

    def batches() -> Any:
        raise CutOffError
        yield

    index = Index(place)
    with pytest.raises(CutOffError):
        index.fill(batches(), "")
    index.close()
    database = sqlite3.connect(place)
    assert database.execute("PRAGMA user_version").fetchone() == (0,)
    database.close()
    vault = Vault(root, Index(place))
    assert state(vault) == alone(root)
    vault.close()


def test_a_whole_index_takes_changes_in_a_log_and_lets_others_read(root: Path, tmp_path: Path) -> None:
    vault = Vault(root, Index(tmp_path / "i.sqlite"))
    vault.search(asked(EVERY), 1)
    other = sqlite3.connect(tmp_path / "i.sqlite", timeout=0)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert other.execute("SELECT count(*) FROM note").fetchone() == (COUNT,)
    other.close()
    vault.close()


@pytest.mark.parametrize("fault", ["killed", "cannot start", "no interpreter"])
def test_without_workers_everything_is_read_here(root: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    batches = [[path.relative_to(root).as_posix()] for path in root.rglob("*.md")]
    if fault == "cannot start":
        monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: (_ for _ in ()).throw(OSError("no more processes")))
    elif fault == "no interpreter":
        monkeypatch.setattr("sys.executable", "")
    with Workers(Reader(str(root)), 2) as workers:
        pids = [worker._process.pid for worker in workers._workers]
        assert len(pids) == (2 if fault == "killed" else 0)
        found = workers.parsed(batches)
        read = [note.path for note in next(found)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        read += [note.path for batch in found for note in batch]
    assert sorted(read) == sorted(path for batch in batches for path in batch)


def test_no_worker_is_left_behind(root: Path) -> None:
    with Workers(Reader(str(root)), 2) as workers:
        processes = [worker._process for worker in workers._workers]
        found = workers.parsed([[path.relative_to(root).as_posix()] for path in root.rglob("*.md")])
        next(found)
        found.close()  # type: ignore[attr-defined]
    assert all(process.poll() is not None for process in processes)


def test_the_words_of_many_changes_are_made_last_together(tmp_path: Path) -> None:
    place = write(tmp_path / "vault", {f"{number}.md": f"{EVERY} {number}" for number in range(COUNT)})
    index = Index(tmp_path / "i.sqlite")
    vault = Vault(place, index)
    vault.settle()
    for number in range(40):
        (place / f"{number}.md").write_text(f"{EVERY} plum{number} " * 400)
        vault.refresh([f"{number}.md"])
    assert not vault.state, "words wait"
    index.tidy(lambda: True)
    assert vault.state
    assert not index._db.execute("SELECT * FROM unworded").fetchall()
    assert not difference(vault)
    vault.close()


def test_a_note_that_changes_twice_before_anybody_searches_costs_no_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write(tmp_path / "vault", {"a.md": "apple", "b.md": "pear"})
    index = Index(tmp_path / "i.sqlite")
    vault = Vault(place, index)
    rebuilt: list[Exception] = []
    monkeypatch.setattr(index, "rebuild", rebuilt.append)
    for text in ("plum one", "plum two more", "quince at last"):
        (place / "a.md").write_text(text)
        assert vault.refresh(["a.md"]) == 1
    assert not rebuilt
    assert [hit.path for hit in vault.search(asked("quince"), 3)] == ["a.md"]
    assert not vault.search(asked("plum"), 3)
    vault.close()


def test_words_that_a_failed_change_takes_along_are_said_to_be_lost(tmp_path: Path) -> None:
    place = write(tmp_path / "vault", {"a.md": "apple", "b.md": "pear"})
    index = Index(tmp_path / "i.sqlite")
    vault = Vault(place, index)
    (place / "a.md").write_text("plum")
    vault.refresh(["a.md"])

    def breaks() -> Any:
        raise RuntimeError
        yield

    with pytest.raises(sqlite3.DatabaseError):
        index.write(breaks(), files="x")
