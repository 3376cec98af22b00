"""The file of vectors: whole or not there, through damage, other makers, full disks and kills."""

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from context.vector_file import VectorFile, count_notes, is_damage
from tests.kos import ROOT

ONE, TWO = b"1" * 16, b"2" * 16


def opened(path: Path | None, embedder: str = "m", chunks: str = "1") -> VectorFile:
    return VectorFile(path, embedder=embedder, chunks=chunks)


def filled(path: Path) -> VectorFile:
    file = opened(path)
    file.keep([(ONE, b"abcd"), (TWO, b"efgh")], [("a.md", "d" * 64, b"pieces")])
    return file


def test_what_is_kept_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    file = filled(path)
    assert path.stat().st_mode & 0o777 == 0o600
    file.keep([(TWO, b"ijkl")], [("a.md", "e" * 64, b"others"), ("ä.md", "f" * 64, b"")])
    file.close()
    file = opened(path)
    assert file.known([ONE, TWO, b"3" * 16]) == {ONE: b"abcd", TWO: b"ijkl"}
    assert file.known([]) == {}
    assert sorted(file.notes()) == [("a.md", "e" * 64, b"others"), ("ä.md", "f" * 64, b"")]
    assert (file.width(), count_notes(path)) == (2, 2)
    file.drop(["a.md", "not there"])
    assert [path for path, *_ in file.notes()] == ["ä.md"]
    assert file.known([ONE]) == {ONE: b"abcd"}, "vectors stay until they are swept"
    file.sweep({TWO})
    assert file.known([ONE, TWO]) == {TWO: b"ijkl"}
    file.close()


def test_many_keys_are_asked_for_at_once(tmp_path: Path) -> None:
    file = opened(None)
    keys = [n.to_bytes(16) for n in range(1700)]
    file.keep([(key, key) for key in keys])
    assert file.known(keys) == {key: key for key in keys}
    file.sweep(set(keys[:10]))
    assert sorted(file.known(keys)) == keys[:10]
    file.close()


def test_a_file_of_another_embedder_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    filled(path).close()
    file = opened(path, embedder="other")
    assert (file.known([ONE]), list(file.notes()), file.width()) == ({}, [], 0)
    file.close()


def test_notes_cut_otherwise_are_looked_at_again_and_no_vector_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    filled(path).close()
    file = opened(path, chunks="2")
    assert (sorted(file.known([ONE, TWO])), list(file.notes())) == ([ONE, TWO], [])
    file.close()


def test_a_row_with_a_flipped_bit_counts_as_not_there(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    filled(path).close()
    data = path.read_bytes()
    for text in (b"abcd", b"pieces"):
        assert data.count(text) == 1
        data = data.replace(text, text[:-1] + bytes([text[-1] ^ 1]))
    path.write_bytes(data)
    file = opened(path)
    assert (file.known([ONE, TWO]), list(file.notes())) == ({TWO: b"efgh"}, [])
    file.keep([(ONE, b"abcd")])
    assert file.known([ONE]) == {ONE: b"abcd"}
    file.close()


@pytest.mark.parametrize(
    "how", ["no database", "empty", "half", "middle", "zeros", "another version", "another program", "no row"]
)
def test_a_damaged_or_foreign_file_is_made_anew(tmp_path: Path, how: str) -> None:
    path = tmp_path / "vectors.db"
    file = opened(path)
    file.keep([(n.to_bytes(16), bytes(700)) for n in range(300)])
    file.close()
    data = path.read_bytes()
    if how in ("no database", "empty", "half", "middle", "zeros"):
        half = len(data) // 2
        whole = {"no database": b"note" * 999, "empty": b"", "half": data[:half], "zeros": bytes(len(data))}
        path.write_bytes(whole.get(how, data[:32768] + b"?" * (len(data) - 32768)))
    else:
        with sqlite3.connect(path) as db:
            done = {"another version": "PRAGMA user_version=99", "no row": "DELETE FROM made_with"}
            db.execute(done.get(how, "DROP TABLE made_with"))
        db.close()
    file = opened(path)
    if how == "middle":  # it opens well, and is found damaged when it is read
        with pytest.raises(sqlite3.DatabaseError) as caught:
            file.known([n.to_bytes(16) for n in range(300)])
        assert is_damage(caught.value)
        file.rebuild(caught.value)
    assert file.known([n.to_bytes(16) for n in range(300)]) == {}
    file.keep([(ONE, b"abcd")])
    assert file.known([ONE]) == {ONE: b"abcd"}
    file.close()
    assert count_notes(path) == 0
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_where_no_file_can_be_made_memory_will_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    for path in (None, tmp_path / "file" / "vectors.db", tmp_path):
        file = opened(path)
        file.keep([(ONE, b"abcd")])
        assert file.known([ONE]) == {ONE: b"abcd"}
        file.close()
    assert count_notes(tmp_path / "no.db") == 0
    assert count_notes(tmp_path) == 0


def test_a_fault_that_a_new_file_would_meet_too_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    file = filled(path)
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert not is_damage(error)
    file.rebuild(error)
    assert file.known([ONE]) == {}
    file.close()
    file = opened(path)
    assert file.known([ONE]) == {ONE: b"abcd"}
    file.close()


_WRITER = """
import sys
from pathlib import Path
from context.vector_file import VectorFile
file = VectorFile(Path(sys.argv[1]), embedder="m", chunks="1")
for n in range(100_000):
    file.keep([((8 * n + k).to_bytes(16), bytes([n % 251]) * 600) for k in range(8)], [(f"{n}.md", "d", bytes([n % 251]))])
    print(n, flush=True)
"""


@pytest.mark.parametrize("after", [0, 3, 40, 200])
def test_a_kill_leaves_every_write_whole_or_not_there(tmp_path: Path, after: int) -> None:
    path = tmp_path / "vectors.db"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = -1
        for line in process.stdout:
            told = int(line)
            if told >= after:
                break
        time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
    file = opened(path)
    notes = {int(name.removesuffix(".md")) for name, *_ in file.notes()}
    assert notes >= set(range(told + 1)), "what was told as kept is kept"
    for n in range(max(notes) + 2):
        found = file.known([(8 * n + k).to_bytes(16) for k in range(8)])
        assert len(found) == (8 if n in notes else 0)
        assert set(found.values()) <= {bytes([n % 251]) * 600}
    file.close()
