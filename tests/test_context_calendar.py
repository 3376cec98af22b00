"""The calendar: zones, fixed days, and moment.js patterns."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.calendar import CalendarError, calendar, iso_date, moment, reader

NOON = datetime(2025, 9, 14, 12, 30, 5, tzinfo=UTC)


def test_a_date_means_nine_in_the_morning_of_the_persons_zone() -> None:
    now = calendar("2025-09-14", "America/New_York").now
    assert (now.hour, now.utcoffset()) == (9, timedelta(hours=-4))


def test_the_day_is_the_persons_not_that_of_utc() -> None:
    late = calendar(None, "America/New_York", clock=lambda: datetime(2025, 9, 15, 3, 30, tzinfo=UTC))
    assert late.today == date(2025, 9, 14)


def test_an_instant_with_an_offset_is_that_instant_in_the_zone() -> None:
    assert calendar("2025-09-14T23:30:00-04:00", "Europe/Berlin").today == date(2025, 9, 15)


def test_calendar_days_cross_summer_time_whole() -> None:
    after = calendar("2025-03-09T00:30:00", "America/New_York")  # the clocks go forward at 2:00
    assert after.today - timedelta(days=1) == date(2025, 3, 8)


@pytest.mark.parametrize(
    "now", ["yesterday", "2025-13-01", "2025-09-14T99:00", "9999-99-99", "0001-01-01", "9999-12-31"]
)
def test_what_is_no_date_is_said_so(now: str) -> None:
    with pytest.raises(CalendarError, match="ISO date"):
        calendar(now)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "x" * 300])
def test_an_unknown_zone_is_said_so(zone: str) -> None:
    with pytest.raises(CalendarError, match="IANA"):
        calendar(None, zone)


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("YYYY-MM-DD", "2025-09-14"),
        ("YYYY/MM-MMMM/YYYY-MM-DD-dddd", "2025/09-September/2025-09-14-Sunday"),
        ("dddd, MMMM Do YYYY", "Sunday, September 14th 2025"),
        ("gggg-[W]ww", "2025-W38"),
        ("GGGG-[W]WW", "2025-W37"),
        ("YYYY-[Q]Q", "2025-Q3"),
        ("[Day] DDD [of] YY", "Day 257 of 25"),
        ("h:mm a", "12:30 pm"),
        ("HH:mm:ss", "12:30:05"),
    ],
)
def test_moment_patterns_are_written_as_moment_writes_them(pattern: str, written: str) -> None:
    assert moment(pattern, NOON) == written


@pytest.mark.parametrize(
    ("day", "locale", "iso"),
    [
        (date(2024, 12, 29), "2025-W01", "2024-W52"),
        (date(2024, 12, 31), "2025-W01", "2025-W01"),
        (date(2026, 12, 31), "2027-W01", "2026-W53"),
        (date(2027, 1, 3), "2027-W02", "2026-W53"),
    ],
)
def test_weeks_at_the_turn_of_the_year(day: date, locale: str, iso: str) -> None:
    when = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert (moment("gggg-[W]ww", when), moment("GGGG-[W]WW", when)) == (locale, iso)


PATTERNS = st.sampled_from(
    [
        "YYYY-MM-DD",
        "YYYY/MM/YYYY-MM-DD",
        "DD.MM.YYYY",
        "YYYYMMDD",
        "MMMM Do, YYYY",
        "YYYY-DDDD",
        "dddd YYYY-M-D",
        "[daily]-YY-MM-DD",
    ]
)


@given(PATTERNS, st.dates(date(2001, 1, 1), date(2099, 12, 31)))
def test_a_written_day_is_read_back(pattern: str, day: date) -> None:
    written = moment(pattern, datetime(day.year, day.month, day.day, tzinfo=UTC))
    assert reader(pattern)(written) == day


@given(
    st.dates(date(2001, 1, 1), date(2099, 12, 31)),
    st.sampled_from([("gggg-[W]ww", 0), ("gggg-[W]ww", 1), ("GGGG-[W]WW", 1)]),
)
def test_a_written_week_is_read_back_as_its_first_day(day: date, form: tuple[str, int]) -> None:
    pattern, start = form
    written = moment(pattern, datetime(day.year, day.month, day.day, tzinfo=UTC), week_start=start)
    first = reader(pattern, week_start=start)(written)
    assert first is not None
    assert 0 <= (day - first).days < 7


@given(st.text(max_size=40))
def test_any_name_is_read_without_error(name: str) -> None:
    reader("YYYY-MM-DD")(name)
    iso_date(name)


def test_a_day_that_does_not_exist_is_no_day() -> None:
    assert reader("YYYY-MM-DD")("2025-02-30") is None
    assert iso_date("2025-02-30") is None


@pytest.mark.parametrize(
    ("pattern", "name"), [("gggg-[W]ww", "0001-W01"), ("gggg-[W]ww", "9999-W99"), ("YYYY-DDDD", "0001-000")]
)
def test_a_name_beyond_the_years_there_are_holds_no_day(pattern: str, name: str) -> None:
    assert reader(pattern)(name) is None
