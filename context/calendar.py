"""The person's calendar: their zone and today, and moment.js patterns as vaults use them in note names."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# Years of a fixed day: those around it can be reckoned with as well.
_YEARS = range(2, 9999)

# moment.js display tokens, longest first (momentjs.com/docs, "Display > Format"); `[…]` is literal text.
_TOKEN = re.compile(
    r"\[[^\]\n]*\]|YYYY|YY|gggg|GGGG|MMMM|MMM|MM|Mo|M|DDDD|DDD|DD|Do|D|dddd|ddd|dd|d|E|e|ww|w|WW|W|Q|HH|H|hh|h|mm|m|ss|s|A|a"
)


class CalendarError(ValueError):
    """A date, an instant or a zone that cannot be read; the message says what is expected."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """What "now" means to one request: an instant in the person's zone."""

    now: datetime

    @property
    def today(self) -> date:
        """The calendar day in the person's zone."""
        return self.now.date()


def calendar(
    now: str | None = None, timezone: str | None = None, *, clock: Callable[[], datetime] | None = None
) -> Calendar:
    """The calendar of a request.

    Args:
        now: an ISO instant or date; a date means 09:00 local. None: the clock.
        timezone: an IANA zone name; None or "": the machine's zone.
        clock: the present instant, aware; for tests.

    Raises:
        CalendarError: the zone is unknown or `now` is not an ISO date or instant.
    """
    zone = _zone(timezone)
    if now is None or not now.strip():
        present = clock() if clock else datetime.now(UTC)
        return Calendar(present.astimezone(zone))
    text = now.strip()
    try:
        if len(text) == len("2025-09-14"):
            found = _local(datetime.combine(date.fromisoformat(text), time(9)), zone)
        else:
            moment = datetime.fromisoformat(text)
            found = moment.astimezone(zone) if moment.tzinfo else _local(moment, zone)
        if found.year not in _YEARS:
            raise ValueError
        return Calendar(found)
    except (ValueError, OverflowError):
        raise CalendarError(
            "now must be an ISO date or instant such as 2025-09-14 or 2025-09-14T18:30:00+02:00"
        ) from None


def _zone(name: str | None) -> ZoneInfo | None:
    """None is the machine's own zone, which `astimezone` reads for the instant in question, summer time included."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CalendarError("timezone must be an IANA name such as Europe/Berlin or UTC") from None


def _local(naive: datetime, zone: ZoneInfo | None) -> datetime:
    return naive.replace(tzinfo=zone) if zone else naive.astimezone()


def iso_date(value: object) -> date | None:
    """The date in a property or task value: an ISO date, alone or at the start of an instant; else None."""
    if not isinstance(value, str) or len(value) < len("2025-09-14"):
        return None
    text = value.strip().removeprefix("[[")
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def moment(pattern: str, when: datetime, *, week_start: int = 0) -> str:
    """Write an instant by a moment.js pattern, in English.

    Args:
        pattern: for example `YYYY/MM-MMMM/YYYY-MM-DD`; text in `[…]` stands as it is.
        when: the instant.
        week_start: first day of the locale week for `gggg`, `ww`, `e`: 0 Sunday (English locale), 1 Monday (ISO).
    """
    return _TOKEN.sub(lambda match: _write(match[0], when, week_start), pattern)


def _write(token: str, when: datetime, week_start: int) -> str:
    if token.startswith("["):
        return token[1:-1]
    day = when.date()
    iso = day.isocalendar()
    locale_year, locale_week = _locale_week(day, week_start)
    hour = when.hour % 12 or 12
    sunday_first = day.isoweekday() % 7
    values: dict[str, str] = {
        "YYYY": f"{day.year:04}", "YY": f"{day.year % 100:02}", "gggg": f"{locale_year:04}", "GGGG": f"{iso.year:04}",
        "MMMM": MONTHS[day.month - 1], "MMM": MONTHS[day.month - 1][:3], "MM": f"{day.month:02}", "M": str(day.month),
        "Mo": _ordinal(day.month), "DDDD": f"{day.timetuple().tm_yday:03}", "DDD": str(day.timetuple().tm_yday),
        "DD": f"{day.day:02}", "D": str(day.day), "Do": _ordinal(day.day),
        "dddd": WEEKDAYS[day.weekday()], "ddd": WEEKDAYS[day.weekday()][:3], "dd": WEEKDAYS[day.weekday()][:2],
        "d": str(sunday_first), "E": str(day.isoweekday()), "e": str((sunday_first - week_start) % 7),
        "ww": f"{locale_week:02}", "w": str(locale_week), "WW": f"{iso.week:02}", "W": str(iso.week),
        "Q": str((day.month - 1) // 3 + 1), "HH": f"{when.hour:02}", "H": str(when.hour),
        "hh": f"{hour:02}", "h": str(hour),
        "mm": f"{when.minute:02}", "m": str(when.minute), "ss": f"{when.second:02}", "s": str(when.second),
        "A": "AM" if when.hour < 12 else "PM", "a": "am" if when.hour < 12 else "pm",
    }  # fmt: skip
    return values[token]


def _ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _locale_week(day: date, week_start: int) -> tuple[int, int]:
    """Week year and number: ISO for Monday; for Sunday week 1 is the one that holds January 1st (moment's "en")."""
    if week_start == 1:
        iso = day.isocalendar()
        return iso.year, iso.week
    sunday = day - timedelta(days=day.isoweekday() % 7)
    year = (sunday + timedelta(days=6)).year
    first = date(year, 1, 1)
    first_sunday = first - timedelta(days=first.isoweekday() % 7)
    return year, (sunday - first_sunday).days // 7 + 1


_READ = {
    "YYYY": r"(?P<year>\d{4})", "gggg": r"(?P<week_year>\d{4})", "GGGG": r"(?P<iso_year>\d{4})",
    "MM": r"(?P<month>\d\d)", "M": r"(?P<month>\d{1,2})", "MMMM": f"(?P<month_name>{'|'.join(MONTHS)})",
    "MMM": f"(?P<month_abbr>{'|'.join(m[:3] for m in MONTHS)})", "Mo": r"(?P<month>\d{1,2})(?:st|nd|rd|th)",
    "DD": r"(?P<day>\d\d)", "D": r"(?P<day>\d{1,2})", "Do": r"(?P<day>\d{1,2})(?:st|nd|rd|th)",
    "DDDD": r"(?P<yearday>\d{3})", "DDD": r"(?P<yearday>\d{1,3})",
    "ww": r"(?P<week>\d\d)", "w": r"(?P<week>\d{1,2})", "WW": r"(?P<iso_week>\d\d)", "W": r"(?P<iso_week>\d{1,2})",
    "Q": r"(?P<quarter>[1-4])", "dddd": f"(?:{'|'.join(WEEKDAYS)})", "ddd": r"[A-Z][a-z]{2}", "dd": r"[A-Z][a-z]",
    "d": r"\d", "E": r"\d", "e": r"\d", "YY": r"(?P<short_year>\d\d)",
}  # fmt: skip


def reader(pattern: str, *, week_start: int = 0) -> Callable[[str], date | None]:
    """A function that reads the date out of a name written by a moment.js pattern.

    A week gives its first day, a month or quarter likewise. Names that do not fit the pattern give None.
    """
    seen: set[str] = set()
    parts: list[str] = []
    at = 0
    for match in _TOKEN.finditer(pattern):
        parts.append(re.escape(pattern[at : match.start()]))
        at = match.end()
        token = match[0]
        expression = re.escape(token[1:-1]) if token.startswith("[") else _READ.get(token, r"\d{1,2}")
        group = re.search(r"\?P<(\w+)>", expression)
        if group and group[1] in seen:  # YYYY/MM/YYYY-MM-DD names the year twice: the same text must stand there
            expression = f"(?P={group[1]})"
        elif group:
            seen.add(group[1])
        parts.append(expression)
    parts.append(re.escape(pattern[at:]))
    shape = re.compile("".join(parts))

    def read(name: str) -> date | None:
        found = shape.fullmatch(name)
        return _date({k: v for k, v in found.groupdict().items() if v is not None}, week_start) if found else None

    return read


def _date(parts: dict[str, str], week_start: int) -> date | None:
    try:
        if "iso_week" in parts:
            year = int(parts.get("iso_year") or parts.get("week_year") or parts["year"])
            return date.fromisocalendar(year, int(parts["iso_week"]), 1)
        if "week" in parts:
            return _week_day(
                int(parts.get("week_year") or parts.get("iso_year") or parts["year"]), int(parts["week"]), week_start
            )
        year = int(parts["year"]) if "year" in parts else 2000 + int(parts["short_year"])
        if "yearday" in parts:
            return date(year, 1, 1) + timedelta(days=int(parts["yearday"]) - 1)
        month = int(parts.get("month", 0))
        if "month_name" in parts:
            month = MONTHS.index(parts["month_name"]) + 1
        elif "month_abbr" in parts:
            month = [m[:3] for m in MONTHS].index(parts["month_abbr"]) + 1
        elif "quarter" in parts and not month:
            month = int(parts["quarter"]) * 3 - 2
        return date(year, month or 1, int(parts.get("day", 1)))
    except (KeyError, ValueError, OverflowError):
        return None


def _week_day(year: int, week: int, week_start: int) -> date:
    if week_start == 1:
        return date.fromisocalendar(year, week, 1)
    first = date(year, 1, 1)
    return first - timedelta(days=first.isoweekday() % 7) + timedelta(weeks=week - 1)
