"""The matrix against plain arithmetic over the same vectors, through every order of changes."""

import random
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from context import matrix as module
from context.matrix import Floats, Matrix, Row
from context.note import Note, parse

WIDTH = 24
# What one byte a number costs at most at this width; at 384 numbers it is less than 0.002.
NEAR = 0.01
_dice = np.random.default_rng(7)


def note(path: str, text: str = "") -> Note:
    return parse(path, text.encode())


def vectors(count: int, width: int = WIDTH) -> Floats:
    found = _dice.standard_normal((count, width)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def places(count: int) -> Any:
    return np.array([(10 * n, 10 * n + 9) for n in range(count)], np.uint32).reshape(-1, 2)


def put(matrix: Matrix, one: Note, found: Floats, there: list[bool] | None = None) -> None:
    flags = np.array([True] * len(found) if there is None else there, np.bool_)
    matrix.put([(one.path, one.digest, len(found))], places(len(found)), found, flags)


class Plain:
    """What the matrix should say: every vector as it was given, and a sort."""

    def __init__(self) -> None:
        self.notes: dict[str, Note] = {}
        self.held: dict[str, list[Floats | None]] = {}

    def nearest(self, vector: Floats, limit: int, notes: Mapping[str, Note]) -> list[tuple[str, int, float]]:
        found = [
            (path, 10 * n, float(np.dot(one.astype(np.float64), vector.astype(np.float64))))
            for path, rows in self.held.items()
            for n, one in enumerate(rows)
            if one is not None and path in notes and notes[path].digest == self.notes[path].digest
        ]
        return sorted(found, key=lambda row: -row[2])[:limit]


def same(got: list[Row], wanted: list[tuple[str, int, float]]) -> None:
    """Equal but for the last digits: the cosines at each place, and the chunks where they differ by more."""
    assert len(got) == len(wanted)
    for row, (_, _, cosine) in zip(got, wanted, strict=True):
        assert row.cosine == pytest.approx(cosine, abs=NEAR)
        assert row.stop == row.start + 9
    known = {(path, start): cosine for path, start, cosine in wanted}
    for row in got:
        if (row.path, row.start) in known:
            assert known[row.path, row.start] == pytest.approx(row.cosine, abs=NEAR)


def test_every_row_is_looked_at_and_the_nearest_come_first() -> None:
    matrix, plain = Matrix(384), Plain()
    for n in range(300):
        one, found = note(f"{n}.md", str(n)), vectors(n % 7, 384)
        put(matrix, one, found)
        plain.notes[one.path], plain.held[one.path] = one, list(found)
    assert matrix.rows == sum(len(rows) for rows in plain.held.values())
    assert (matrix.left, matrix.whole) == (0, 300)
    for _ in range(20):
        (question,) = vectors(1, 384)
        for limit in (1, 10, 5000):
            got = matrix.nearest(question, limit, plain.notes)
            same(got, plain.nearest(question, limit, plain.notes))
            assert [row.cosine for row in got] == sorted((row.cosine for row in got), reverse=True)


def test_one_byte_a_number_changes_a_cosine_by_less_than_two_thousandths() -> None:
    found, (question,) = vectors(2000, 384), vectors(1, 384)
    matrix, one = Matrix(384), note("a.md")
    put(matrix, one, found)
    got = matrix.cosines(question, [("a.md", 10 * n, 10 * n + 9) for n in range(2000)], {"a.md": one})
    off = np.abs(np.array(got, np.float64) - found.astype(np.float64) @ question)
    assert off.max() < 2e-3
    assert off.mean() < 5e-4


def test_cosines_are_of_chunks_that_are_there_and_cut_so() -> None:
    matrix, one, found = Matrix(WIDTH), note("a.md"), vectors(3)
    put(matrix, one, found, [True, False, True])
    put(matrix, note("empty.md"), vectors(0))
    asked = [("a.md", 0, 9), ("a.md", 10, 19), ("a.md", 20, 29), ("a.md", 20, 28), ("b.md", 0, 9), ("empty.md", 0, 9)]
    notes = {"a.md": one, "empty.md": note("empty.md")}
    got = matrix.cosines(found[2], asked, notes)
    assert got[0] == pytest.approx(float(found[0] @ found[2]), abs=NEAR)
    assert got[2] == pytest.approx(1.0, abs=NEAR)
    assert [got[1], *got[3:]] == [None] * 4
    assert matrix.cosines(found[2], asked, {"a.md": note("a.md", "other bytes")}) == [None] * 6
    assert matrix.cosines(found[2], asked, {}) == [None] * 6


def test_a_note_that_changed_meanwhile_is_not_found() -> None:
    matrix, old, new = Matrix(WIDTH), note("a.md", "old"), note("a.md", "new")
    (one,) = vectors(1)
    put(matrix, old, one[np.newaxis])
    assert matrix.nearest(one, 5, {"a.md": old})
    assert matrix.nearest(one, 5, {"a.md": new}) == []
    matrix.fill("a.md", new.digest, 0, one)
    put(matrix, new, one[np.newaxis], [False])
    matrix.fill("a.md", old.digest, 0, one)
    assert (matrix.left, matrix.whole, matrix.is_whole("a.md")) == (1, 0, False)
    assert matrix.nearest(one, 5, {"a.md": new}) == []
    matrix.fill("a.md", new.digest, 0, one)
    matrix.fill("a.md", new.digest, 0, vectors(1)[0])
    assert (matrix.left, matrix.whole, matrix.is_whole("a.md")) == (0, 1, True)
    assert matrix.nearest(one, 5, {"a.md": new})[0].cosine == pytest.approx(1.0, abs=NEAR)


def test_what_lies_outside_of_the_notes_that_count_never_crowds_out_what_lies_inside() -> None:
    matrix = Matrix(WIDTH)
    (question,) = vectors(1)
    near = np.repeat(question[np.newaxis], 50, axis=0)
    outside = [note(f"out/{n}.md", str(n)) for n in range(40)]
    for one in outside:
        put(matrix, one, near)
    far = vectors(1)
    inside = [note(f"in/{n}.md", str(n)) for n in range(6)]
    for one in inside:
        put(matrix, one, far)
    for count in (1, 6):  # looked at alone; or among all, further and further down
        got = matrix.nearest(question, 3, {one.path: one for one in inside[:count]})
        assert {row.path for row in got} <= {one.path for one in inside}
        assert len(got) == min(count, 3)


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_changes_leaves_what_plain_arithmetic_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SEGMENT", 64)
    dice = random.Random(seed)
    matrix, plain = Matrix(WIDTH), Plain()
    for step in range(600):
        path = f"{dice.randrange(30)}.md"
        doing = dice.random()
        if doing < 0.45:
            one, found = note(path, str(step)), vectors(dice.choice([0, 1, 2, 5, 80]))
            there = [dice.random() < 0.7 for _ in found]
            put(matrix, one, found, there)
            plain.notes[path] = one
            plain.held[path] = [row if is_there else None for row, is_there in zip(found, there, strict=True)]
        elif doing < 0.65 and plain.held.get(path):
            number = dice.randrange(len(plain.held[path]))
            (found,) = vectors(1)
            matrix.fill(path, plain.notes[path].digest, number, found)
            if plain.held[path][number] is None:
                plain.held[path][number] = found
        elif doing < 0.9:
            matrix.drop(path)
            plain.notes.pop(path, None)
            plain.held.pop(path, None)
        else:
            batch = [(note(f"{path}{n}", str(step)), vectors(dice.choice([0, 1, 3]))) for n in range(4)]
            rows = np.concatenate([found for _, found in batch])
            spots = np.concatenate([places(len(found)) for _, found in batch])
            matrix.put(
                [(one.path, one.digest, len(found)) for one, found in batch], spots, rows, np.ones(len(rows), np.bool_)
            )
            for one, found in batch:
                plain.notes[one.path], plain.held[one.path] = one, list(found)
        if step % 20 == 0:
            (question,) = vectors(1)
            scope = {path: one for path, one in plain.notes.items() if dice.random() < dice.choice([0.05, 0.5, 1.1])}
            same(matrix.nearest(question, 12, scope), plain.nearest(question, 12, scope))
        assert matrix.rows == sum(map(len, plain.held.values()))
        assert matrix.left == sum(row is None for rows in plain.held.values() for row in rows)
        assert matrix.whole == sum(all(row is not None for row in rows) for rows in plain.held.values())
        assert all(matrix.digest(path) == one.digest for path, one in plain.notes.items())
    held = sum(len(one.data) for one in matrix._segments)
    assert held < 4 * matrix.rows + 500, "what is gone gives its room back"


def test_searches_beside_changes_see_only_what_is_true_of_some_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SEGMENT", 256)
    matrix = Matrix(WIDTH)
    (question,) = vectors(1)
    steady = [note(f"steady {n}.md", str(n)) for n in range(20)]
    own = {one.path: vectors(4) for one in steady}
    for one in steady:
        put(matrix, one, own[one.path])
    notes = {one.path: one for one in steady}
    wanted = {(path, 10 * n): float(row @ question) for path, rows in own.items() for n, row in enumerate(rows)}
    stop = threading.Event()
    faults: list[Any] = []

    def change() -> None:
        dice = random.Random(1)
        while not stop.is_set():
            one = note(f"{dice.randrange(20)}.md", str(dice.random()))
            put(matrix, one, vectors(dice.randrange(30)))
            matrix.drop(f"{dice.randrange(20)}.md")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            got = matrix.nearest(question, 80, notes)
            if {(row.path, row.start) for row in got} != set(wanted):
                faults.append("some are missing")
            faults += [row for row in got if abs(wanted[row.path, row.start] - row.cosine) > NEAR]
    finally:
        stop.set()
        thread.join()
    assert not faults


def test_an_empty_matrix_finds_nothing() -> None:
    matrix = Matrix(WIDTH)
    (question,) = vectors(1)
    assert matrix.nearest(question, 5, {}) == []
    matrix.drop("a.md")
    assert (matrix.digest("a.md"), matrix.is_whole("a.md"), matrix.nbytes) == ("", False, 0)
    matrix.put([], places(0), vectors(0), np.zeros(0, np.bool_))
    assert matrix.nearest(question, 5, {"a.md": note("a.md")}) == []
