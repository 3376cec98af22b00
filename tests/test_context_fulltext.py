"""Full text by itself: what is found, what is not found any more, and what a fault of its folder does."""

import sqlite3
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from context import fulltext
from context.chunk import Chunk
from context.fulltext import FullText, FullTextError
from context.words import asked


def chunk(body: str, title: str = "") -> Chunk:
    return Chunk(0, len(body), "", title, body, "")


def filled(folder: Path | None, notes: Iterable[tuple[int, list[tuple[int, Chunk]]]]) -> FullText:
    words = FullText(folder, fresh=True)
    for note, chunks in notes:
        words.add(note, chunks)
    words.commit()
    return words


def numbers(words: FullText, text: str, notes: list[int] | None = None) -> list[int]:
    return [number for number, _ in words.search(asked(text), 10, notes)]


NOTES = [
    (1, [(10, chunk("The quince tree stands by the wall.", "Garden")), (11, chunk("A pear has scab.", "Garden"))]),
    (2, [(20, chunk("Walls were painted white. Kris Benson came.", "House"))]),
]


def test_words_are_found_by_stem_and_form_and_in_some_notes_alone(tmp_path: Path) -> None:
    for words in (filled(None, NOTES), filled(tmp_path / "w", NOTES)):
        assert numbers(words, "quinces") == [10]
        assert set(numbers(words, "wall")) == {10, 20}
        assert numbers(words, "wall")[0] == 10  # its exact form
        assert numbers(words, "wall", [2]) == [20]
        assert numbers(words, "wall", []) == []
        assert numbers(words, "") == []
        assert (words.size, words.frequency("scab"), words.frequency("benson scab")) == (3, 1, 1)
        assert words.holding("Kris Benson", 5) == [20]
        assert words.holding("Benson Kris", 5) == []


def test_nothing_is_found_before_it_is_committed_nor_after_it_was_dropped(tmp_path: Path) -> None:
    words = filled(tmp_path / "w", NOTES)
    words.add(3, [(30, chunk("quince again"))])
    words.drop([1])
    assert numbers(words, "quince") == [10]
    words.commit()
    assert numbers(words, "quince") == [30]
    assert words.size == 2
    words.add(4, [(40, chunk("quince never"))])
    words.rollback()
    words.commit()
    assert numbers(words, "quince") == [30]


def test_what_holds_a_phrase_is_asked_anew_after_each_change(tmp_path: Path) -> None:
    words = filled(tmp_path / "w", NOTES)
    assert words.holding("Kris Benson", 5) == [20]
    words.add(3, [(30, chunk("Kris Benson again."))])
    words.drop([2])
    assert words.holding("Kris Benson", 5) == [20]
    words.commit()
    assert words.holding("Kris Benson", 5) == [30]
    assert words.holding("kris", 5, stemmed=True) == [30]


def test_common_words_side_by_side_count_no_more_than_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = [(1, [(1, chunk("pale moon over the tower"))]), (2, [(2, chunk("moon tower over the pale"))])]
    words = filled(None, [*notes, *((n, [(n, chunk("something of else"))]) for n in range(3, 9))])
    (first, best), (second, less) = words.search(asked("pale moon"), 2)
    assert (first, second) == (1, 2)
    assert best > less
    monkeypatch.setattr(fulltext, "_COMMON", 1)
    (_, best), (_, less) = words.search(asked("pale moon"), 2)
    assert best == pytest.approx(less)


def test_it_lasts_until_begun_anew(tmp_path: Path) -> None:
    filled(tmp_path / "w", NOTES).close()
    again = FullText(tmp_path / "w", fresh=False)
    assert numbers(again, "quince") == [10]
    again.close()
    assert numbers(FullText(tmp_path / "w", fresh=True), "quince") == []


def test_a_folder_that_is_none_of_ours_is_said(tmp_path: Path) -> None:
    with pytest.raises(FullTextError):
        FullText(tmp_path / "nothing", fresh=False)
    filled(tmp_path / "w", NOTES).close()
    (tmp_path / "w" / "meta.json").write_text("{}")
    with pytest.raises(FullTextError) as damaged:
        FullText(tmp_path / "w", fresh=False)
    assert damaged.value.sqlite_errorcode == sqlite3.SQLITE_CORRUPT


def test_a_second_writer_is_another_process_not_damage(tmp_path: Path) -> None:
    holder = filled(tmp_path / "w", NOTES)
    holder.add(5, [(50, chunk("held"))])
    other = FullText(tmp_path / "w", fresh=False)
    with pytest.raises(FullTextError) as busy:
        other.add(6, [(60, chunk("mine"))])
    assert busy.value.sqlite_errorcode == sqlite3.SQLITE_FULL


def test_texts_that_no_encoding_has_are_taken(tmp_path: Path) -> None:
    words = filled(tmp_path / "w", [(1, [(1, chunk("half \ud800 and nul \0 and quince"))])])
    assert numbers(words, "quince") == [1]


def test_a_folder_goes_though_pieces_are_still_put_together_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    filled(folder, NOTES).close()
    began, over = threading.Event(), threading.Event()

    def write() -> None:  # as a thread of tantivy does that merges what was committed last
        for number in range(3000):
            with suppress(FileNotFoundError):
                (folder / f"{number}.idx").write_bytes(b"x")
            began.set()
        over.set()

    writing = threading.Thread(target=write)
    writing.start()
    began.wait()
    while not over.is_set():
        folder.mkdir(exist_ok=True)
        fulltext.discard(folder)
    writing.join()
    fulltext.discard(folder)
    assert not folder.exists()
