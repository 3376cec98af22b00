"""Keeps what is learned of each model's tokens, in one small file of the state folder."""

import json
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

from inference.kept import put
from inference.tokens import KEPT, Calibration, Observation, Rates, Size

FILE = "tokens.json"
_SCHEMA = 1
# Nothing that is kept is larger, in bytes of a text or tokens.
_MOST = 1 << 40


class Calibrations:
    """The calibrations of a node's models. No fault of the file ends a request: what cannot be read is learned anew.

    Two processes may keep the same file; what the last one knows stays.

    Args:
        folder: the state folder of the vault, None to keep nothing beyond the process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = folder / FILE if folder else None
        self._known: dict[str, Calibration] = _read(self._file) if self._file else {}

    def of(self, node: str, model: str) -> Calibration:
        """What is known of a model."""
        return self._known.get(_key(node, model), Calibration())

    def learn(self, node: str, model: str, size: Size, count: int, num_ctx: int = 0) -> None:
        """Take down what a node counted in a prompt; see `inference.tokens.Calibration.with_count`."""
        before = self.of(node, model)
        after = before.with_count(size, count, num_ctx)
        if after is not before:
            self._known[_key(node, model)] = after
            if self._file is not None:
                with suppress(OSError):
                    _write(self._file, self._known)


def _key(node: str, model: str) -> str:
    return f"{node} {model}"


def _write(file: Path, known: Mapping[str, Calibration]) -> None:
    """Keep all of it."""
    models = {
        key: {
            "rates": [one.rates.ascii, one.rates.other],
            "seen": [[*_numbers(seen.size), round(seen.tokens, 1)] for seen in one.seen],
        }
        for key, one in known.items()
    }
    put(file, json.dumps({"schema": _SCHEMA, "models": models}, separators=(",", ":")))


def _numbers(size: Size) -> tuple[int, int, int]:
    return size.ascii, size.other, size.messages


def _read(file: Path) -> dict[str, Calibration]:
    """What was kept, {} where that cannot be read or is not ours."""
    try:
        kept = json.loads(file.read_bytes())
        if kept["schema"] != _SCHEMA:
            return {}
        return {str(key): _calibration(one) for key, one in kept["models"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _calibration(value: Mapping[str, Any]) -> Calibration:
    """A calibration out of the file.

    Raises:
        ValueError: it is none.
    """
    ascii_, other_ = (_within(one, 0.01, 100) for one in value["rates"])
    seen = []
    for plain, other, messages, tokens in value["seen"][-KEPT:]:
        sizes = (int(_within(one, 0, _MOST)) for one in (plain, other, messages))
        seen.append(Observation(Size(*sizes), _within(tokens, 1, _MOST)))
        if not seen[-1].size.bytes:
            raise ValueError("a count of nothing")
    return Calibration(Rates(ascii_, other_), tuple(seen))


def _within(number: Any, least: float, most: float) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
        raise ValueError("no number")
    if not least <= number <= most:
        raise ValueError("out of range")
    return number
