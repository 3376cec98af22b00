"""Dates in words: which days a text speaks of, which words are no dates, and that any text can be read."""

import time
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from context.dates import spans

TODAY = date(2025, 9, 14)  # a Sunday

ONE = """
    yesterday                         | 2025-09-13
    What did I do last Friday?        | 2025-09-12
    WHAT ABOUT LAST FRIDAY            | 2025-09-12
    the Friday before last            | 2025-09-05
    on Tuesday                        | 2025-09-09
    this Tuesday                      | 2025-09-09
    this coming Tuesday               | 2025-09-16
    next Monday                       | 2025-09-15
    next Sunday                       | 2025-09-21
    Sunday's lunch                    | 2025-09-14
    last Sunday                       | 2025-09-07
    on Sat.                           | 2025-09-13
    last Fri                          | 2025-09-12
    on Tuesday of last week           | 2025-09-02
    last week on Tuesday              | 2025-09-02
    on Monday two weeks ago           | 2025-09-01
    two weeks ago on Monday           | 2025-09-01
    tonight                           | 2025-09-14
    last night                        | 2025-09-13
    tomorrow                          | 2025-09-15
    the day before yesterday          | 2025-09-12
    3 days ago                        | 2025-09-11
    a couple of days ago              | 2025-09-12
    in three days                     | 2025-09-17
    two weeks ago                     | 2025-08-31
    a week ago today                  | 2025-09-07
    two months ago                    | 2025-07-14..2025-07-20
    a year ago                        | 2024-09-01..2024-09-30
    in the last 3 days                | 2025-09-11..2025-09-14
    in the past week                  | 2025-09-07..2025-09-14
    last week                         | 2025-09-01..2025-09-07
    the week before last              | 2025-08-25..2025-08-31
    this month                        | 2025-09-01..2025-09-30
    last month                        | 2025-08-01..2025-08-31
    last year                         | 2024-01-01..2024-12-31
    the weekend                       | 2025-09-13..2025-09-14
    last weekend                      | 2025-09-06..2025-09-07
    next weekend                      | 2025-09-20..2025-09-21
    week 36                           | 2025-09-01..2025-09-07
    week 37                           | 2025-09-08..2025-09-14
    week 38                           | 2024-09-16..2024-09-22
    week 36 of 2024                   | 2024-09-02..2024-09-08
    week 53                           | 2020-12-28..2021-01-03
    2025-W36                          | 2025-09-01..2025-09-07
    2025-W36-2                        | 2025-09-02
    2025-09-08                        | 2025-09-08
    [[2025-09-08]]                    | 2025-09-08
    Monday 2025-09-08T10:00           | 2025-09-08
    2025-09                           | 2025-09-01..2025-09-30
    in May                            | 2025-05-01..2025-05-31
    in september                      | 2025-09-01..2025-09-30
    How was October?                  | 2024-10-01..2024-10-31
    last May                          | 2025-05-01..2025-05-31
    next May                          | 2026-05-01..2026-05-31
    last September                    | 2024-09-01..2024-09-30
    last October                      | 2024-10-01..2024-10-31
    in May last year                  | 2024-05-01..2024-05-31
    May 2024                          | 2024-05-01..2024-05-31
    May 4                             | 2025-05-04
    the 20th of September             | 2025-09-20
    September 20                      | 2025-09-20
    20 Sep 2024                       | 2024-09-20
    Sept. 20th, 2024                  | 2024-09-20
    October 3                         | 2024-10-03
    Friday, 5 September               | 2025-09-05
    February 29                       | 2024-02-29
    20.09.2025                        | 2025-09-20
    at the beginning of August        | 2025-08-01..2025-08-10
    in mid-August                     | 2025-08-11..2025-08-20
    at the end of last month          | 2025-08-21..2025-08-31
    between 3 and 7 September         | 2025-09-03..2025-09-07
    the 3rd to the 7th of September   | 2025-09-03..2025-09-07
    September 3–7, 2024               | 2024-09-03..2024-09-07
    from Monday to Wednesday          | 2025-09-08..2025-09-10
    next Monday to Wednesday          | 2025-09-15..2025-09-17
    between Monday and Wednesday      | 2025-09-08..2025-09-10
    from May to July                  | 2025-05-01..2025-07-31
    between November and February     | 2024-11-01..2025-02-28
    20 December to 3 January          | 2024-12-20..2025-01-03
    20 September to 3 October         | 2025-09-20..2025-10-03
    20 September to 3 October 2024    | 2024-09-20..2024-10-03
    2025-09-01 - 2025-09-03           | 2025-09-01..2025-09-03
    since Tuesday                     | 2025-09-09..2025-09-14
    since last week                   | 2025-09-01..2025-09-14
    since Monday until Wednesday      | 2025-09-08..2025-09-10
    gestern                           | 2025-09-13
    vorgestern                        | 2025-09-12
    heute Morgen                      | 2025-09-14
    heute morgen                      | 2025-09-14
    Was mache ich morgen?             | 2025-09-15
    Übermorgen                        | 2025-09-16
    letzte Woche                      | 2025-09-01..2025-09-07
    Dienstag letzter Woche            | 2025-09-02
    vor zwei Wochen                   | 2025-08-31
    vor einem Jahr                    | 2024-09-01..2024-09-30
    seit drei Tagen                   | 2025-09-11..2025-09-14
    am 20. September                  | 2025-09-20
    am 3.9. war                       | 2025-09-03
    im Mai                            | 2025-05-01..2025-05-31
    im März letzten Jahres            | 2024-03-01..2024-03-31
    Anfang August                     | 2025-08-01..2025-08-10
    letzten Freitag                   | 2025-09-12
    nächsten Montag                   | 2025-09-15
    am Wochenende                     | 2025-09-13..2025-09-14
    vom 3. bis zum 7. September       | 2025-09-03..2025-09-07
    KW 36                             | 2025-09-01..2025-09-07
    今日は何をした                      | 2025-09-14
    私は昨日行った                      | 2025-09-13
    一昨日                             | 2025-09-12
    おととい                           | 2025-09-12
    明日                              | 2025-09-15
    先週                              | 2025-09-01..2025-09-07
    先週の金曜日                        | 2025-09-05
    先月                              | 2025-08-01..2025-08-31
    会議は9月20日です                   | 2025-09-20
    2024年9月20日                      | 2024-09-20
"""


@pytest.mark.parametrize("line", ONE.strip().splitlines())
def test_the_days_of_a_phrase(line: str) -> None:
    phrase, days = (part.strip() for part in line.split("|"))
    assert [f"{first}..{last}" if first != last else f"{first}" for first, last, _ in spans(phrase, TODAY)] == [days]


@pytest.mark.parametrize(
    "text",
    [
        "it may rain, may it not?", "We march on.", "wait a second", "the sun sat on a mon", "Sat by the fire", "Sun and wind",
        "I met May and June", "April has called", "I gave it to May", "in may", "What may 3 people do?", "they march 20 km",
        "8/9/2025", "08/09/25", "last summer", "31 February", "February 30", "September 31", "2025-02-31", "2025-13-01",
        "31.02.2025", "2025-W54", "week 99", "week 3 of the course", "last week of school", "half a year ago", "a weekend", "between 7 and 3 September",
        "twenty one days ago", "1.5 years ago", "Mondays", "Guten Morgen", "guten morgen", "version 1.2.3", "1999-2024-11",
        "0 of 3", "daylight", "yesterdays", "decade", "13月1日", "",
    ],
)  # fmt: skip
def test_words_that_are_no_days(text: str) -> None:
    assert spans(text, TODAY) == []


def test_several_stand_in_the_order_of_the_text_with_their_words() -> None:
    found = spans("Was it yesterday, on 20 Sep 2024 or in the week of 2025-09-08 (last week)?", TODAY)
    assert [span.words for span in found] == ["yesterday", "20 Sep 2024", "2025-09-08", "last week"]


def test_and_alone_joins_nothing() -> None:
    assert [span.words for span in spans("on Monday and Wednesday", TODAY)] == ["Monday", "Wednesday"]


def test_a_range_of_weekdays_goes_on_beyond_today() -> None:
    [span] = spans("from Monday to Wednesday", date(2025, 9, 16))
    assert (span.first, span.last) == (date(2025, 9, 15), date(2025, 9, 17))


@pytest.mark.parametrize(
    ("phrase", "first"),
    [("the weekend", 6), ("last weekend", 6), ("this weekend", 13), ("next weekend", 13), ("last Wednesday", 3),
     ("Wednesday", 10), ("this Wednesday", 10), ("next Wednesday", 17), ("last Friday", 5), ("this Friday", 12)],
)  # fmt: skip
def test_on_a_wednesday(phrase: str, first: int) -> None:
    assert spans(phrase, date(2025, 9, 10))[0].first == date(2025, 9, first)


def test_at_most_eight() -> None:
    assert len(spans("yesterday, " * 50, TODAY)) == 8


PIECES = st.sampled_from(
    [
        *"0123456789-./:,– \n年月日先週の火曜一昨ſıKİ²٣\0",
        *" ".join(line.split("|")[0] for line in ONE.strip().splitlines()).split(),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES, max_size=25).map("".join))


@given(TEXTS, st.dates())
@example("from 0001 to 9999 years ago, 999 weeks ago, next year", date.min)
@example("in 999 years, next month, since tomorrow, between tomorrow and Monday", date.max)
@example("laſt weeK, thıs Frıday, MÄRZ 3", TODAY)
def test_any_text_can_be_read(text: str, today: date) -> None:
    found = spans(text, today)
    assert len(found) <= 8
    at = 0
    for first, last, words in found:
        assert first <= last
        at = text.index(words, at) + len(words)
    assert found == spans(text, today)


@pytest.mark.parametrize(
    "piece", ["a ", "1", " ", "last ", "31 February ", "20. ", "2025-13-", "月9", "from Monday to ", "\n\t "]
)
def test_a_long_text_is_read_in_no_time(piece: str) -> None:
    start = time.perf_counter()
    spans(piece * 500_000, TODAY)
    assert time.perf_counter() - start < 5
