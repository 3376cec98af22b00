"""Dates: the days a text speaks of, in English and German words, the commonest Japanese ones, and ISO forms.

The grammar is a list of rules, each a pattern and a reader that reckons the days of what it found. Of the places where
rules apply the first counts, of those that begin together the longest. What it covers is spent, also when there is no
such day: the 31st of February does not mean February.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple

from context.calendar import MONTHS, WEEKDAYS


class Span(NamedTuple):
    """Days that a text speaks of: the first and the last of them, and the words as they stand in the text."""

    first: date
    last: date
    words: str


_Days = tuple[date, date]
_Groups = Mapping[str, str | None]
_Reader = Callable[[_Groups, date], _Days]


class _Found(NamedTuple):
    start: int
    end: int
    days: _Days
    read: Callable[[date], _Days | None]
    opener: str  # the word before: "since", "from", "between" …


# A question is short, and speaks of few days.
_MOST_CHARACTERS = 10_000
_MOST = 8


def spans(text: str, today: date) -> list[Span]:
    """The days that a text speaks of, in its order: at most 8 spans, of its first 10,000 characters.

    A weekday without more is the latest one not after today; a month, or a day of a month, is that of the latest such
    month not after the present one. Weeks begin on Monday. "Two weeks ago" is that day, two months ago the week of
    that day, two years ago its month. What can be read in two ways (8/9/2025) is left out.
    """
    said: list[_Found] = []
    for found in _found(text[:_MOST_CHARACTERS], today):
        whole = _range(text, said[-1], found) if said else None
        if whole:
            said[-1] = whole
        elif len(said) == _MOST:
            break
        else:
            said.append(found)
    return [
        Span(first, max(last, today) if opener in {"since", "seit"} else last, text[start:end])
        for start, end, (first, last), _, opener in said
    ]


def _found(text: str, today: date) -> Iterator[_Found]:
    at = 0
    while begin := _BEGIN.search(text, at):
        start = begin.start()
        matches = [(match, reader) for rule, reader in _RULES if (match := rule.match(text, start))]
        if not matches:
            at = start + 1
            continue
        match, reader = max(matches, key=lambda found: found[0].end())
        at = match.end()
        read = partial(_read, reader, match.groupdict())
        days = read(today)
        if days:
            opener = _OPENER.search(text, max(0, start - 20), start)
            yield _Found(opener.start() if opener else start, at, days, read, opener[1].lower() if opener else "")


def _read(reader: _Reader, groups: _Groups, today: date) -> _Days | None:
    try:
        first, last = reader(groups, today)
    except (ValueError, OverflowError):  # no such day, or one beyond the years of `date`
        return None
    return (first, last) if first <= last else None


def _range(text: str, first: _Found, last: _Found) -> _Found | None:
    """Both as one when the text says "from … to …", "between … and …"."""
    gap = _GAP.fullmatch(text, first.end, last.start) if last.start - first.end <= 20 else None
    if not gap or (gap["and"] and first.opener not in {"between", "zwischen"}):
        return None
    begin, end = first.days, last.days
    for days in (6, 364):  # from Monday to Wednesday, said on a Tuesday; from 20 September to 3 October
        if end[1] < begin[0]:
            end = last.read(date.fromordinal(min(begin[0].toordinal() + days, date.max.toordinal()))) or end
    if end[1] < begin[0]:  # from 20 September to 3 October 2024
        begin = first.read(end[0]) or begin
    return first._replace(end=last.end, days=(begin[0], end[1]), opener="") if begin[0] <= end[1] else None


# Words and what they mean, in small letters with single blanks.
_DAYS = {
    "today": 0, "tonight": 0, "this morning": 0, "this afternoon": 0, "this evening": 0, "yesterday": -1,
    "last night": -1, "day before yesterday": -2, "tomorrow": 1, "day after tomorrow": 2,
    "heute": 0, "gestern": -1, "vorgestern": -2, "morgen": 1, "übermorgen": 2,
}  # fmt: skip
_JAPANESE_DAYS = {"今日": 0, "昨日": -1, "一昨日": -2, "おととい": -2, "明日": 1, "明後日": 2}
_STEMS = {"letzt": -1, "vergangen": -1, "vorig": -1, "vorletzt": -2, "dies": 0, "nächst": 1, "kommend": 1}
_BEFORE = {
    "last": -1, "past": -1, "previous": -1, "this": 0, "current": 0, "next": 1, "coming": 1, "this coming": 1,
    "upcoming": 1, **{stem + end: turn for stem, turn in _STEMS.items() for end in ("e", "en", "er", "es", "em")},
}  # fmt: skip
_TURNS = {**_BEFORE, "before last": -2, "seit": -1, "先": -1, "昨": -1, "去": -1, "今": 0, "来": 1}
_COUNTS = {
    **{word: n for n, word in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)},
    **{word: n for n, word in enumerate("ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf".split(), 1)},
    **dict.fromkeys(["a", "an", "eine", "einem", "einen", "einer"], 1), "a couple of": 2,
}  # fmt: skip
# Units, weekdays and months are known by their first letters.
_UNITS = {
    **dict.fromkeys("dt", "day"), **dict.fromkeys("w週", "week"), **dict.fromkeys("m月", "month"),
    **dict.fromkeys("yj年", "year"),
}  # fmt: skip
_WEEKDAYS = {
    **{name[:2].lower(): n for n, name in enumerate(WEEKDAYS)}, "di": 1, "mi": 2, "do": 3, "so": 6,
    **{name + "曜": n for n, name in enumerate("月火水木金土日")},
}  # fmt: skip
_MONTHS = {
    **{name[:3].lower(): n for n, name in enumerate(MONTHS, 1)}, "jän": 1, "mär": 3, "mai": 5, "okt": 10, "dez": 12,
}  # fmt: skip
_PARTS = {
    **dict.fromkeys(["beginning of", "start of", "early", "anfang"], (1, 10)),
    **dict.fromkeys(["middle of", "mid", "mitte"], (11, 20)), **dict.fromkeys(["end of", "late", "ende"], (21, 31)),
}  # fmt: skip


def _key(said: str | None) -> str:
    return " ".join((said or "").casefold().split())


def _turn(groups: _Groups, name: str = "turn") -> int | None:
    return _TURNS.get(_key(groups.get(name)))


def _number(said: str | None) -> int:
    """The number of a count, a day or a month."""
    key = _key(said)
    return int(key) if key.isdecimal() else _COUNTS.get(key) or _MONTHS[key[:3]]


def moved(day: date, unit: str, count: int) -> date:
    """A day so many units on: "day", "week", "month" or "year"; where a month has no such day, its last one.

    Raises:
        ValueError, OverflowError: there is no such year.
    """
    if unit in {"day", "week"}:
        return day + timedelta(count * (7 if unit == "week" else 1))
    year, month = divmod(day.year * 12 + day.month - 1 + count * (12 if unit == "year" else 1), 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _whole(day: date, unit: str) -> _Days:
    """The day, or the week, month or year that holds it."""
    begins = {"day": day, "week": day - timedelta(day.weekday()), "month": day.replace(day=1)}
    first = begins.get(unit) or day.replace(month=1, day=1)
    return first, moved(first, unit, 1) - timedelta(1)


# Readers: the groups of a match, and today → days. ValueError or OverflowError: there are none.


def _day(groups: _Groups, today: date) -> _Days:
    return _whole(today + timedelta({**_DAYS, **_JAPANESE_DAYS}[_key(groups["said"])]), "day")


def _weekday(groups: _Groups, today: date) -> _Days:
    turn, week = _turn(groups), _turn(groups, "week")
    ahead = _WEEKDAYS[_key(groups["weekday"])[:2]] - today.weekday()
    ahead += 7 * (_rounds(turn, ahead) if week is None else week)
    return _whole(today + timedelta(ahead), "day")


def _weekend(groups: _Groups, today: date) -> _Days:
    saturday = _weekday({**groups, "weekday": "sa"}, today - timedelta(today.weekday() == 6))[0]
    return saturday, saturday + timedelta(1)


def _period(groups: _Groups, today: date) -> _Days:
    unit = _UNITS[_key(groups["unit"])[0]]
    return _part(groups, _whole(moved(today, unit, _turn(groups) or 0), unit))


def _ago(groups: _Groups, today: date) -> _Days:
    unit, count = _UNITS[_key(groups["unit"])[0]], _number(groups["number"])
    day = moved(today, unit, count if groups.get("ahead") else -count)
    if groups.get("weekday"):  # the nearest to that day
        ahead = _WEEKDAYS[_key(groups["weekday"])[:2]] - day.weekday()
        return _whole(day + timedelta((ahead + 3) % 7 - 3), "day")
    return _whole(day, {"month": "week", "year": "month"}.get(unit, "day"))


def _stretch(groups: _Groups, today: date) -> _Days:
    count = (_turn(groups) or 0) * _number(groups.get("number") or "a")
    far = moved(today, _UNITS[_key(groups["unit"])[0]], count)
    return min(far, today), max(far, today)


def _week(groups: _Groups, today: date) -> _Days:
    week, day = _number(groups["number"]), int(groups.get("day") or 0)
    year, present, _ = today.isocalendar()

    def days(year: int) -> _Days:
        return _whole(date.fromisocalendar(year, week, day or 1), "day" if day else "week")

    return _in_year(groups, today, days, year - (week > present))


def _month(groups: _Groups, today: date) -> _Days:
    """A month or a part of it or a day in it; from `since`, another day or month."""
    month, day = _number(groups["month"]), int(groups.get("day") or 0)
    since = _number(groups.get("since") or groups.get("day") or groups["month"])

    def days(year: int) -> _Days:
        if day:
            return date(year, month, since), date(year, month, day)
        first, last = _part(groups, _whole(date(year, month, 1), "month"))
        return first.replace(year - (since > month), since), last

    return _in_year(groups, today, days, today.year + _rounds(_turn(groups), month - today.month))


def _in_year(groups: _Groups, today: date, days: Callable[[int], _Days], nearest: int) -> _Days:
    """The days in the year that is named; else in the nearest that has them (29 February, week 53)."""
    turn = _turn(groups, "year_turn")
    if groups.get("year") or turn is not None:
        return days(int(groups.get("year") or today.year + (turn or 0)))
    step = 1 if (_turn(groups) or 0) > 0 else -1
    for year in range(nearest, nearest + 8 * step, step):
        with suppress(ValueError):
            return days(year)
    return days(nearest + 8 * step)


def _part(groups: _Groups, month: _Days) -> _Days:
    first, last = _PARTS.get(_key(groups.get("part")), (1, 366))
    return month[0] + timedelta(first - 1), min(month[1], month[0] + timedelta(last - 1))


def _rounds(turn: int | None, ahead: int) -> int:
    """How many weeks (years) from the present one the weekday (month) meant lies; `ahead`: where in it, from today."""
    if not turn:
        return -(turn is None and ahead > 0)
    return turn + (ahead < 0) if turn < 0 else turn - (ahead > 0)


# Patterns. Only ASCII letters stand in either case, so that every word found is in its table.
_S = r"\s{1,3}"


def _any(words: Iterable[str]) -> str:
    return "(?ai:" + "|".join(sorted(words, key=len, reverse=True)).replace(" ", _S) + ")"


def _after(*words: str) -> str:
    return "(?:" + "|".join(rf"(?<=\b(?ai:{word})\s)" for word in words) + ")"


_TURN = f"(?:(?P<turn>{_any(_BEFORE)}){_S})"
_OF_WEEK = f"(?P<week>{_any(_BEFORE)}){_S}(?ai:week|Woche)"
_COUNT = rf"(?P<number>\d{{1,3}}|{_any(_COUNTS)}){_S}"
_UNIT = "(?P<unit>(?ai:days?|weeks?|months?|years?|Tage?n?|Wochen?|Monate?n?|Jahre?n?))"
_ONE = "(?P<unit>(?ai:week|month|year|Woche|Monat(?:e?s)?|Jahr(?:e?s)?))"
_WEEKDAY_NAME = _any([*WEEKDAYS, *"Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonnabend Sonntag".split()])
_A_WEEKDAY = f"(?P<weekday>{_WEEKDAY_NAME})"
_SHORT_WEEKDAY = "(?P<weekday>(?:Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun))"
# Month names that are seldom anything else.
_PLAIN = _any(
    """January February July August September October November December
    Januar Jänner Februar März Juni Juli Oktober Dezember""".split()
)
_NAME = rf"(?:{_PLAIN}|(?ai:April|June)|March|May|Mai|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Okt|Nov|Dec|Dez)\b\.?)"
_A_MONTH = f"(?P<month>{_NAME})"
_OF_YEAR = rf"(?:(?P<year>(?:19|20)\d\d)|(?P<year_turn>{_any(_BEFORE)}){_S}(?ai:year|Jahr(?:e?s)?))"
_YEAR = rf"(?:,?{_S}(?:of{_S})?{_OF_YEAR})"
_A_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_THE = rf"(?:(?ai:on|the|den|dem|der|zum){_S})?"
_ON = rf"(?:{_WEEKDAY_NAME},?{_S}{_THE})?"
_TO = rf"\s{{0,3}}(?:(?ai:to|until|till|through|bis)|[-–—])\s{{0,3}}{_THE}"
_AND = rf"{_S}(?ai:and|und){_S}{_THE}"
_SINCE_DAY = r"(?P<since>\d{1,2})(?:st|nd|rd|th|\b\.?)"
_AGO = rf"(?<![.,-])(?<!ty\s)(?<!\bhalf\s){_COUNT}{_UNIT}{_S}(?ai:ago(?:{_S}today)?)"
_VOR = f"(?ai:(?:heute{_S})?vor){_S}{_COUNT}{_UNIT}"
_DAY_OF = rf"(?<![/.-])(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?{_S}(?:(?ai:of){_S})?"
_FROM = f"(?:(?ai:from|von|vom){_S}{_THE})?"
_BETWEEN = f"(?ai:between|zwischen){_S}{_THE}"
_WEEK = rf"(?ai:calendar{_S})?(?ai:week|Woche|KW)\s{{0,2}}(?P<number>\d{{1,2}})"
_BEFORE_LAST = rf"{_S}(?P<turn>(?ai:before{_S}last))"
_PART = rf"(?P<part>{_any(_PARTS)})(?:{_S}|-)(?:(?ai:the|des){_S})?"
_OPENER = re.compile(rf"(?<!\w)((?ai:since|seit|from|von|vom|between|zwischen)){_S}(?:(?ai:the|dem|den|der){_S})?$")
_GAP = re.compile(rf"{_TO}|(?P<and>{_AND})|\s?(?:から|[〜～])\s?")

# Rules of whole words.
_SPOKEN: list[tuple[str, _Reader]] = [
    (f"(?P<said>{_any(_DAYS.keys() - {'morgen'})}|Übermorgen)", _day),
    (r"(?<!heute\s)(?<!gestern\s)(?<!jeden\s)(?<!guten\s)(?<!am\s)(?P<said>morgen)", _day),
    (f"{_TURN}?{_A_WEEKDAY}", _weekday),
    (f"(?:{_after('on')}|{_TURN}){_SHORT_WEEKDAY}", _weekday),
    (_A_WEEKDAY + _BEFORE_LAST, _weekday),
    (rf"{_A_WEEKDAY},?{_S}(?:(?ai:of|in){_S})?{_OF_WEEK}", _weekday),
    (rf"{_OF_WEEK},?{_S}(?:(?ai:on|am){_S})?{_A_WEEKDAY}", _weekday),
    (rf"{_TURN}?(?<!\ba\s)(?ai:weekend|Wochenende)", _weekend),
    (f"(?ai:weekend){_BEFORE_LAST}", _weekend),
    (f"(?P<turn>(?ai:past)){_S}{_ONE}", _stretch),  # the seven days before, not the week before this one
    (rf"{_TURN}{_ONE}(?!{_S}of\b)", _period),
    (_ONE + _BEFORE_LAST, _period),
    (rf"{_PART}{_TURN}?(?P<unit>(?ai:month|Monat(?:e?s)?))", _period),
    *(
        (pattern, _ago)
        for ago in (_AGO, _VOR)
        for pattern in (ago, rf"{ago},?{_S}(?:(?ai:on|am){_S})?{_A_WEEKDAY}", f"{_A_WEEKDAY},?{_S}(?:{ago})")
    ),
    (f"(?P<ahead>(?ai:in)){_S}{_COUNT}{_UNIT}", _ago),
    (f"(?P<turn>{_any(_BEFORE)}|(?ai:seit)){_S}{_COUNT}{_UNIT}", _stretch),
    (rf"{_WEEK}(?:/(?P<year>(?:19|20)\d\d))?(?!{_S}of\b)", _week),
    (_WEEK + _YEAR, _week),
    (_TURN + _A_MONTH, _month),
    (_A_MONTH + _YEAR, _month),
    (_after(*"in during since until till of im seit bis".split()) + _A_MONTH, _month),
    (f"(?P<month>{_PLAIN})", _month),
    (f"{_PART}{_TURN}?{_A_MONTH}{_YEAR}?", _month),
    (f"{_FROM}(?P<since>{_NAME}){_TO}{_A_MONTH}{_YEAR}?", _month),
    (f"{_BETWEEN}(?P<since>{_NAME}){_AND}{_A_MONTH}{_YEAR}?", _month),
    (f"{_ON}{_DAY_OF}{_A_MONTH}{_YEAR}?", _month),
    (f"{_FROM}{_SINCE_DAY}{_TO}{_DAY_OF}{_A_MONTH}{_YEAR}?", _month),
    (f"{_BETWEEN}{_SINCE_DAY}{_AND}{_DAY_OF}{_A_MONTH}{_YEAR}?", _month),
    (rf"{_ON}{_TURN}?{_A_MONTH}{_S}{_THE}{_A_DAY}{_YEAR}?(?![.:]\d)", _month),
    (rf"{_FROM}{_A_MONTH}{_S}{_SINCE_DAY}{_TO}{_A_DAY}{_YEAR}?(?![.:]\d)", _month),
    (rf"{_BETWEEN}{_A_MONTH}{_S}{_THE}{_SINCE_DAY}{_AND}{_A_DAY}{_YEAR}?(?![.:]\d)", _month),
]
_WRITTEN: list[tuple[str, _Reader]] = [
    (rf"{_ON}(?<!\d)(?<!\d-)(?P<year>(?:19|20)\d\d)-(?P<month>\d\d)-(?P<day>\d\d)(?!\d|-\d)", _month),
    (r"(?<!\d)(?<!\d-)(?P<year>(?:19|20)\d\d)-(?P<month>\d\d)(?![\w-])", _month),
    (r"(?<!\d)(?<!\d-)(?P<year>(?:19|20)\d\d)-?W(?P<number>\d\d)(?:-(?P<day>[1-7]))?(?!\w)", _week),
    (rf"{_ON}(?<![\w.])(?P<day>\d{{1,2}})\.\s?(?P<month>\d{{1,2}})\.\s?(?P<year>(?:19|20)\d\d)(?!\w|\.\d)", _month),
    (r"(?<=\bam\s)(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.(?!\s?\d)", _month),
    (f"(?P<said>{'|'.join(_JAPANESE_DAYS)})", _day),
    (r"(?P<turn>[先今来昨去])(?P<unit>[週月年])", _period),
    (r"(?:(?P<week>[先今来])週の?)?(?P<weekday>[月火水木金土日]曜)日?", _weekday),
    (r"(?<!\d)(?:(?P<year>(?:19|20)\d\d)年)?(?P<month>\d{1,2})月(?P<day>\d{1,2})日", _month),
    (r"(?<!\d)(?:(?P<year>(?:19|20)\d\d)年)?(?P<month>\d{1,2})月(?!\d)", _month),
]
_RULES = [
    *((re.compile(rf"(?<!\w)(?:{pattern})(?!\w)"), reader) for pattern, reader in _SPOKEN),
    *((re.compile(pattern), reader) for pattern, reader in _WRITTEN),
]
# Where a rule may begin: its first words, which make the search quick.
_FIRST = {name.split()[0] for table in (_DAYS, _BEFORE, _COUNTS, _PARTS) for name in table}
_FIRST |= set(
    "from von vom between zwischen in vor seit week woche kw calendar weekend wochenende month monat year jahr".split()
)
_BEGIN = re.compile(
    rf"(?<!\w)(?:{_any(_FIRST)}|Übermorgen|{_WEEKDAY_NAME}|{_SHORT_WEEKDAY}|{_NAME})(?![^\W\d])"
    r"|(?<!\d)\d|[今昨一お明先来去月火水木金土日]"
)
