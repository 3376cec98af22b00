"""Values of Dataview's language: what fields mean, and dates and durations. The results are those of Dataview 0.5.68."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from context.dataview_values import (
    UNITS,
    Duration,
    Link,
    RowError,
    Zone,
    between,
    compare,
    moved,
    of_field,
    of_property,
    read_date,
    read_duration,
    sort_key,
)

ZONE = Zone(datetime(2025, 9, 17, tzinfo=ZoneInfo("Europe/Berlin")))


def day(text: str) -> datetime:
    return datetime.fromisoformat(text)


def span(text: str) -> Duration:
    found = read_duration(text)
    assert found is not None
    assert found[1] == len(text)
    return found[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("  ", None), ("text", "text"), ("5", 5), ("-3.5", -3.5), ("007", 7), ("1.", "1."), ("5 mon", "5 mon"),
        ("true", True), ("False", False), ("trueish", "trueish"), ("null", "null"), ('"q"', "q"), ("#a/b", "#a/b"),
        ("1, 2, 3", [1, 2, 3]), ("1 , 2", [1, 2]), ("1,", [1]), ("1, 2,", "1, 2,"), ("1, text", "1, text"), ("#a, #b", ["#a", "#b"]),
        ("[[A|b]], [[C#d e^f]]", [Link("A", "b"), Link("C", None, "d e f", kind="header")]),
        ("![[A#^bl]]", Link("A", None, "bl", embed=True, kind="block")), ("[[x]] y", "[[x]] y"),
        ("2025-09", day("2025-09-01")), ("2025-09-14", day("2025-09-14")), ("2025-02-31", day("2025-03-03")), ("2025-09-00", day("2025-08-31")),
        ("2025-13", "2025-13"), ("2025-09-14 10:00", "2025-09-14 10:00"), ("2025-09-14T10:00", day("2025-09-14T10:00")),
        ("2025-09-14T25", day("2025-09-15T01:00")), ("2025-09-14T10:00Z", "2025-09-14T10:00Z"),
        ("2025-09-14T10:00:00.123", day("2025-09-14T10:00:00.123")),
        ("2025-09-14T10:00:00+02:00", datetime(2025, 9, 14, 10, tzinfo=timezone(timedelta(hours=2)))),
        ("2025-09-14T10:00:00Z", datetime(2025, 9, 14, 10, tzinfo=UTC)),
        ("2025-09-14T10:00:00[Europe/Berlin]", datetime(2025, 9, 14, 10, tzinfo=ZoneInfo("Europe/Berlin"))),
        ("2025-09-14T10:00:00[No/Where]", "2025-09-14T10:00:00[No/Where]"),
        ("5 days, 3 hours", Duration.of(days=5, hours=3)), ("4hr2min", Duration.of(hours=4, minutes=2)), ("28 days", Duration.of(months=1)),
    ],
)  # fmt: skip
def test_inline_fields(text: str, value: Any) -> None:
    assert of_field(text) == value
    assert type(of_field(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2025-09-14", day("2025-09-14")), ("28 days", Duration.of(days=28)), ("[[A|b]]", Link("A", "b")), ("![[A]]", Link("A", embed=True)),
        ("5", "5"), ("true", "true"), ("1, 2", "1, 2"), ("[[A]] and", "[[A]] and"), ("", ""), ("-", "-"), ("9" * 300 + " days", "9" * 300 + " days"),
    ],
)  # fmt: skip
def test_texts_of_properties(text: str, value: Any) -> None:
    assert of_property(text) == value


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("40 days", {"months": 1, "weeks": 1, "days": 5}), ("-3 days", {"days": -3}), ("1.5 months", {"months": 1, "weeks": 2}),
        ("365 days", {"years": 1, "months": 1, "days": 1}), ("-90 minutes", {"hours": -1, "minutes": -30}), ("7 d", {"weeks": 1}),
        ("1000000 s", {"weeks": 1, "days": 4, "hours": 13, "minutes": 46, "seconds": 40}),
    ],
)  # fmt: skip
def test_durations_in_all_units(text: str, normal: dict[str, float]) -> None:
    assert span(text).normal() == Duration.of(**normal)


@pytest.mark.parametrize(
    ("later", "earlier", "expected"),
    [
        ("2025-03-01", "2025-02-01", {"months": 1}),
        ("2025-01-29", "2025-01-01", {"months": 1}),  # four weeks count as a month
        ("2025-03-30T12:00", "2025-03-29", {"days": 1, "hours": 11}),  # summer time began
        ("2025-02-01", "2025-03-01T06:30", {"months": -1, "hours": -6, "minutes": -30}),
        ("2024-02-29", "2023-02-28", {"years": 1, "days": 1}),
        ("2025-10-26T12:00", "2025-10-25T12:00", {"days": 1}),
    ],
)
def test_between_dates(later: str, earlier: str, expected: dict[str, float]) -> None:
    assert between(day(earlier), day(later), ZONE) == Duration.of(**expected)


@pytest.mark.parametrize(
    ("when", "by", "later", "earlier"),
    [
        ("2025-01-31", "1 month", "2025-02-28", "2024-12-31"),
        ("2024-02-29", "1 year", "2025-02-28", "2023-02-28"),
        ("2025-03-29T12:00", "1 day", "2025-03-30T12:00", "2025-03-28T12:00"),
        ("2025-03-29T12:00", "24 hours", "2025-03-30T13:00", "2025-03-28T12:00"),
        ("2025-01-31", "1.5 months", "2025-03-15", "2024-12-16"),
        ("2025-01-01", "-1 month", "2024-12-01", "2025-02-01"),
    ],
)
def test_moved_dates(when: str, by: str, later: str, earlier: str) -> None:
    assert moved(day(when), span(by), 1, ZONE) == day(later)
    assert moved(day(when), span(by), -1, ZONE) == day(earlier)


def test_out_of_the_calendar() -> None:
    with pytest.raises(RowError):
        moved(day("2025-01-01"), span("9999 years"), 1, ZONE)
    with pytest.raises(RowError):
        ZONE.at(10**20)


def test_the_machines_zone_is_told_from_a_fixed_one() -> None:
    fixed = Zone(datetime(2025, 9, 17, 12, tzinfo=timezone(timedelta(hours=11, minutes=30))))
    assert fixed.local(datetime(2025, 1, 1, tzinfo=UTC)) == day("2025-01-01T11:30")
    own = Zone(datetime(2025, 9, 17, 12, tzinfo=UTC).astimezone())
    assert own.local(own.instant(day("2025-01-01T10:00"))) == day("2025-01-01T10:00")


def test_everything_has_an_order() -> None:
    values = [
        None, [], [1], [1, 2], True, False, day("2025-01-01"), datetime(2025, 1, 1, tzinfo=UTC), span("1 day"), span("24 hours"), lambda: 0,
        Link("A"), Link("A", None, "x", kind="header"), Link("B"), 1, 2.5, {"a": 1}, {"a": 2}, {"b": 0}, "a", "B",
    ]  # fmt: skip
    for first in values:
        for second in values:
            one, two = (sort_key(value, ZONE, None) for value in (first, second))
            sign = compare(first, second, ZONE)
            if sign < 0:
                assert one < two
            elif one != two:  # what is as long, or the same instant, is not equal for that
                assert one > two


def test_dates_of_two_zones_and_durations_of_other_units_are_not_equal() -> None:
    instant = datetime(2025, 1, 1, tzinfo=UTC)
    assert compare(ZONE.local(instant), instant, ZONE) == 1
    assert compare(span("7 days"), span("1 week"), ZONE) == 1
    assert compare(span("7 days"), span("1 week").normal(), ZONE) == 1
    assert len(UNITS) == len(span("1 d").values)


def test_a_date_ends_where_it_is_no_longer_one() -> None:
    assert read_date("x 2025-09-14T10 and", 2) == (day("2025-09-14T10:00"), 15)
    assert read_date("2025-9-14") is None
    assert read_duration("text") is None
