"""What is learned of tokens outlives the process, and no fault of its file ends a request."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from inference.calibrations import FILE, Calibrations
from inference.fleet import Fleet
from inference.ledger import Ledger
from inference.tokens import Calibration, Size
from tests.houses import profile

SIZES = (Size(12_000, 0, 2), Size(15_000, 3000, 2), Size(9000, 200, 2), Size(18_000, 6000, 4))


def teach(known: Calibrations, model: str = "qwen3:8b") -> Calibration:
    for size in SIZES:
        known.learn("desk", model, size, round(size.ascii / 4.3 + size.other / 2.1), 8192)
    return known.of("desk", model)


def test_what_was_learned_is_known_after_a_restart(tmp_path: Path) -> None:
    learned = teach(Calibrations(tmp_path))
    after = Calibrations(tmp_path)
    assert after.of("desk", "qwen3:8b") == learned != Calibration()
    assert after.of("desk", "llama3.2:3b") == after.of("shed", "qwen3:8b") == Calibration(), (
        "each model counts in its own way"
    )
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_fleet_keeps_it_beside_its_decisions(tmp_path: Path) -> None:
    of = profile()
    teach(Fleet(of, ledger=Ledger(tmp_path, of)).tokens)
    assert Fleet(of, ledger=Ledger(tmp_path, of)).tokens.of("desk", "qwen3:8b").seen
    assert not Fleet(of).tokens.of("desk", "qwen3:8b").seen


ENTRY: dict[str, Any] = {"rates": [4.0, 3.0], "seen": [[12_000, 0, 2, 2790.7]]}


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\xff\x00", b"[]", b"3", b"{}", b'{"schema": 1}', b"[" * 100_000,
        *(
            json.dumps({"schema": 1, "models": {"desk qwen3:8b": ENTRY | change}}).encode()
            for change in (
                {"rates": [4.0]}, {"rates": [0, 3]}, {"rates": [4.0, "3"]}, {"rates": [4.0, True]}, {"rates": None},
                {"seen": [[1, 2, 3]]}, {"seen": [[0, 0, 2, 900]]}, {"seen": [[9, 9, 2, 0]]}, {"seen": [[-9, 9, 2, 9]]},
                {"seen": [[9, 9, 2, float("nan")]]}, {"seen": [[9, 9, 2, float("inf")]]}, {"seen": "text"}, {"seen": 3},
            )
        ),
        json.dumps({"schema": 2, "models": {"desk qwen3:8b": ENTRY}}).encode(),
        json.dumps({"schema": 1, "models": [ENTRY]}).encode(),
    ],
)  # fmt: skip
def test_a_file_that_is_damaged_or_not_ours_is_begun_anew(tmp_path: Path, text: bytes) -> None:
    (tmp_path / FILE).write_bytes(text)
    known = Calibrations(tmp_path)
    assert known.of("desk", "qwen3:8b") == Calibration()
    learned = teach(known)
    assert Calibrations(tmp_path).of("desk", "qwen3:8b") == learned


def test_a_file_as_it_should_be_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"schema": 1, "models": {"desk qwen3:8b": ENTRY}}))
    assert Calibrations(tmp_path).of("desk", "qwen3:8b").rates.ascii == 4.0


def test_a_place_that_takes_no_file_costs_nothing_but_the_file(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert teach(Calibrations(tmp_path)).seen
    assert teach(Calibrations(tmp_path / "gone")).seen
    assert list(tmp_path.iterdir()) == [tmp_path / FILE], "and nothing half written is left"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps rights elsewhere")
def test_its_owner_alone_reads_it(tmp_path: Path) -> None:
    (tmp_path / FILE).touch(0o644)
    before = os.umask(0o022)
    try:
        teach(Calibrations(tmp_path))
    finally:
        os.umask(before)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Calibrations(tmp_path)
    teach(known)
    before = (tmp_path / FILE).read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    teach(known)
    assert (tmp_path / FILE).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
