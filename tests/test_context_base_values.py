"""The values of Bases: durations, dates that are moved, order, and their texts."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from context.base_values import (
    Date,
    Duration,
    File,
    FormulaError,
    Link,
    Tag,
    Values,
    duration,
    equal,
    is_true,
    kind,
    length,
    number_of,
    order,
    shifted,
    sort_key,
    text_of,
)
from context.unsupported import UnsupportedError

VALUES = Values(lambda target, _: {"ann": "Ann.md"}.get(target.lower()), UTC)


def day(text: str) -> Date:
    found = VALUES.date(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1M", Duration(1, 0)), ("1m", Duration(0, 60_000)), ("1 Month", Duration(1, 0)), ("2y 1d", Duration(24, 86_400_000)),
        ("-2 h", Duration(0, -7_200_000)), ("1.5d", Duration(0, 129_600_000)), ("P1Y2M3DT4H", Duration(14, 273_600_000)),
        ("-P1D", Duration(0, -86_400_000)), ("", None), ("soon", None), ("1", None), ("1 D", None), ("P", None), ("1d x", None),
    ],
)  # fmt: skip
def test_durations(text: str, found: Duration | None) -> None:
    assert duration(text) == found


def test_a_month_keeps_the_day_where_it_has_it() -> None:
    assert shifted(day("2024-01-31"), Duration(1, 0)).when == datetime(2024, 2, 29)  # noqa: DTZ001
    assert shifted(day("2024-12-15"), Duration(1, 0), -1).when == datetime(2024, 11, 15)  # noqa: DTZ001
    assert shifted(day("2024-11-30"), Duration(1, 0)).when == datetime(2024, 12, 30)  # noqa: DTZ001
    assert not shifted(day("2024-01-31"), Duration(0, 86_400_000)).timed
    with pytest.raises(FormulaError):
        shifted(day("0001-01-01"), Duration(1, 0), -1)
    with pytest.raises(FormulaError):
        shifted(day("9999-12-31"), Duration(1, 0))
    with pytest.raises(UnsupportedError):
        shifted(day("2024-01-31"), Duration(0.5, 0))
    with pytest.raises(UnsupportedError):
        length(Duration(1, 0))


@pytest.mark.parametrize(
    "text", ["2025-13-01", "2025-02-30", "20250101", "2025-01-01 25:00", "2025-01-01x", "0000-01-01"]
)
def test_what_is_no_date(text: str) -> None:
    assert VALUES.date(text) is None


def test_dates_have_times_and_zones() -> None:
    assert day("2025-09-14").timed is False
    assert day("2025-09-14 10:30").when == datetime(2025, 9, 14, 10, 30)  # noqa: DTZ001
    assert day("2025-09-14T10:30:15.5+02:00").when == datetime(2025, 9, 14, 8, 30, 15, 500_000)  # noqa: DTZ001
    assert VALUES.epoch(day("1970-01-02")) == 86_400_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "true"), (1.0, "1"), (1.5, "1.5"), (1e21, "1e+21"), (1e-7, "1e-7"), (0.00001, "0.00001"), (-0.0, "0"),
        (math.nan, "NaN"), (-math.inf, "-Infinity"), (["a", 1, None], "a, 1, "), (Tag("x"), "x"), (File("a/b.md"), "a/b.md"),
        (Link("Ann", "", "Ann.md"), "[[Ann]]"), (Link("Ann", "she", "Ann.md"), "[[Ann|she]]"), (day("2025-09-14"), "2025-09-14"),
        (day("2025-09-14 08:00"), "2025-09-14T08:00:00"),
    ],
)  # fmt: skip
def test_texts(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("value", [{}, Duration(0, 1)])
def test_values_whose_text_nobody_says(value: Any) -> None:
    with pytest.raises(UnsupportedError, match="the text of"):
        text_of(value)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("1", 1, True), ("", 0, True), (True, 1, True), (True, "true", False), ("a", "A", False), (Tag("A/b"), "#a/B", True),
        (Tag("a"), "a/b", False), ([1], 1, True), ([1, 2], 1, False), ([[1]], [1], True), (None, "", False), (None, None, True),
        ({"a": 1}, {"a": "1"}, True), ({"a": 1}, {"b": 1}, False), (day("2025-01-01"), "2025-01-01T00:00", True),
        (day("2025-01-01"), 1, False), (Link("x", "", ""), Link("y", "", ""), False), (Link("x", "1", ""), Link("x", "2", ""), True),
        (Link("Ann", "", "Ann.md"), "[[ann]]", True), (Link("Ann", "", "Ann.md"), File("Ann.md"), True), (File("a"), File("b"), False),
        (Duration(0, 5), 5, True), (math.nan, math.nan, False),
    ],
)  # fmt: skip
def test_equality(left: Any, right: Any, *, same: bool) -> None:
    assert equal(left, right, VALUES) is same
    assert equal(right, left, VALUES) is same


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        (1, 2, -1), ("b", "a", 1), ("10", 9, 1), ("x", 9, None), (day("2025-01-01"), day("2025-01-02"), -1), (day("2025-01-01"), "2025-01-01", 0),
        (day("2025-01-01"), "x", None), (Duration(0, 5), 4, 1), (True, 0, 1), ([1], 1, None), (math.nan, 1, None), (day("1970-01-01"), 0, 0),
        (day("2025-01-01"), True, None), (File("a"), File("b"), None),
    ],
)  # fmt: skip
def test_order(left: Any, right: Any, found: int | None) -> None:
    assert order(left, right, VALUES) == found


def test_truth_types_and_numbers() -> None:
    nothing: list[Any] = [0, "", [], {}, None, math.nan, Duration(0, 0)]
    something: list[Any] = [1, "0", [0], {"a": 0}, Duration(1, 0), File("")]
    assert [is_true(one) for one in nothing + something] == [False] * 7 + [True] * 6
    kinds: list[Any] = [None, True, 1, "", [], {}, day("2025-01-01"), Link("", "", "")]
    assert " ".join(map(kind, kinds)) == "null boolean number string list object date link"
    assert [number_of(one) for one in ("", " 1.5 ", "-2e3", "1x", "0x10", "+.5")] == [0, 1.5, -2000, None, None, 0.5]


def test_sorting_puts_types_apart() -> None:
    values: list[Any] = [
        "b",
        3,
        True,
        day("2025-01-01"),
        "A",
        Link("Ann", "ab", ""),
        ["c", "d"],
        {},
        math.nan,
        Duration(0, 1),
    ]
    assert [text_of(one) if not isinstance(one, dict | Duration) else "-" for one in sorted(values, key=sort_key)] == [
        "true", "3", "NaN", "-", "2025-01-01", "A", "[[Ann|ab]]", "b", "c, d", "-",
    ]  # fmt: skip
