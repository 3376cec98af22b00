"""Recurring tasks: the next line is the one that the Tasks plugin writes, or none is made."""

from datetime import date

import pytest

from commands.recurrence import next_line
from context.note import parse

TODAY = date(2021, 4, 24)


def after(line: str) -> str | None:
    (task,) = parse("N.md", line.encode()).tasks
    return next_line(line, task, TODAY)


@pytest.mark.parametrize(
    ("rule", "day", "then"),
    [
        ("every Sunday", "2021-04-25", "2021-05-02"),
        ("every sunday", "2021-04-24", "2021-04-25"),
        ("every week on Sunday", "2021-04-25", "2021-05-02"),
        ("every day", "2021-04-25", "2021-04-26"),
        ("every 3 days", "2021-12-30", "2022-01-02"),
        ("every day when done", "2020-01-01", "2021-04-25"),
        ("every Sunday when done", "2020-01-01", "2021-04-25"),
        ("every weekday", "2021-04-23", "2021-04-26"),
        ("every weekday", "2021-04-26", "2021-04-27"),
        ("every weekday when done", "2020-01-01", "2021-04-26"),
        ("every week", "2021-04-25", "2021-05-02"),
        ("every 2 weeks", "2021-04-25", "2021-05-09"),
        ("every month", "2021-01-31", "2021-02-28"),
        ("every month", "2021-12-15", "2022-01-15"),
        ("every 3 months", "2022-01-31", "2022-04-30"),
        ("Every Month When Done", "2021-04-01", "2021-05-24"),
        ("every year", "2024-02-29", "2025-02-28"),
        ("every 2 years", "2021-04-25", "2023-04-25"),
    ],
)
def test_the_next_day_is_told(rule: str, day: str, then: str) -> None:
    assert after(f"- [ ] take out the trash 🔁 {rule} 📅 {day}") == f"- [ ] take out the trash 🔁 {rule} 📅 {then}"
    fields = f"- [ ] take out the trash [repeat:: {rule}] [due:: {day}]"
    assert after(fields) == fields.replace(day, then)


def test_all_dates_go_on_together_and_the_rest_stays() -> None:
    line = "  > 1. [/] *trash* of 2021-04-25 🔼 🔁 every week 🛫 2021-04-20 ⏳ 2021-04-22 📅 2021-04-25 #home ^trash"
    task = parse("N.md", f"> text\n{line.strip()}".encode()).tasks[0]
    assert (
        next_line(line, task, TODAY)
        == "  > 1. [ ] *trash* of 2021-04-25 🔼 🔁 every week 🛫 2021-04-27 ⏳ 2021-04-29 📅 2021-05-02 #home"
    )
    assert after("- [ ] x 🔁 every day ⏳ 2021-04-22") == "- [ ] x 🔁 every day ⏳ 2021-04-23"


@pytest.mark.parametrize(
    "line",
    [
        "- [ ] x 🔁 every month",
        "- [ ] x 🔁 every 2nd Friday 📅 2021-04-25",
        "- [ ] x 🔁 every month on the 31st 📅 2021-04-25",
        "- [ ] x 🔁 every month on the last 📅 2021-04-25",
        "- [ ] x 🔁 every 3 weeks on Friday 📅 2021-04-25",
        "- [ ] x 🔁 every month on Friday 📅 2021-04-25",
        "- [ ] x 🔁 every Someday 📅 2021-04-25",
        "- [ ] x 🔁 every 0 days 📅 2021-04-25",
        "- [ ] x 🔁 daily 📅 2021-04-25",
        "- [ ] x 🔁 every day 📅 2021-13-45",
        "- [ ] x 🔁 every 900 years 📅 9500-01-01",
        "- [ ] x 🔁 every day 📅 2021-04-25 🆔 abc",
        "- [ ] x 🔁 every day ⛔ abc 📅 2021-04-25",
        "- [ ] x 🔁 every day 🏁 delete 📅 2021-04-25",
        "- [ ] x 🔁 every day ➕ 2021-01-01 📅 2021-04-25",
    ],
)
def test_what_is_not_known_for_sure_is_not_made(line: str) -> None:
    assert after(line) is None
