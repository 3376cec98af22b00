"""JSON as it crosses the wire."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.wire import dump, load

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_reads_as_it_was(value: Any) -> None:
    assert json.loads(dump(value)) == json.loads(json.dumps(value))
    assert b"\n" not in dump(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("beside", [1, None, "null"])
def test_what_is_no_number_is_refused(number: float, beside: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump({"a": number, "b": beside})


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert dump({"name": "caf\udce9.md", "b": None}) == b'{"name":"caf?.md","b":null}'
    assert dump(["\ud83e\udd52", "\u00e9"]) == '["??","é"]'.encode()


def test_what_is_written_is_read_by_the_strict_reader() -> None:
    value = {"text": "ぬか床 🥒\t\u2028", "numbers": [0, -1, 1.5e300]}
    assert load(dump(value)) == value
