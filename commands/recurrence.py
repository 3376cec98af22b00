"""Recurring tasks: the line that comes next when one is ticked, as the Tasks plugin makes it."""

import re
from datetime import date, timedelta

from commands.edits import BLOCK_ID
from context.calendar import WEEKDAYS
from context.dates import moved
from context.scan import DATE_FIELDS, Task

_RULE = re.compile(
    r"every(?:\s+(?P<count>\d{1,3}))?\s+(?P<unit>day|week|month|year)s?(?:\s+on\s+(?P<on>[a-z]+day))?(?P<done>\s+when\s+done)?"
    r"|every\s+(?P<weekday>[a-z]+day)(?P<late>\s+when\s+done)?",
    re.IGNORECASE,
)
_DAYS = [name.lower() for name in WEEKDAYS]
_SATURDAY = 5
_BOX = re.compile(r"\[.\]")
# What belongs to one task alone: the day it was made, its id, what it waits for, what happens on completion.
_OWN = re.compile(r"🆔|⛔|🏁|➕|\[(?:id|dependsOn|onCompletion|created)::")


def next_line(line: str, task: Task, today: date) -> str | None:
    """The line of the next occurrence of a task, which goes above the one that is ticked.

    The dates of the task go on by as much as the first of due, scheduled and start does; a day that a month does not
    have becomes its last one (Tasks plugin, "Recurring Tasks").

    Args:
        line: of the task, without its line end.
        task: it.
        today: counts in the place of its own date for a rule "when done".

    Returns:
        None where this is not told for sure: a rule beyond `every [N] day|week|month|year`, `every weekday`, `every
        [week on] Monday`; a task without a date, or with more that is its own (an id, what it waits for).
    """
    own = task.due or task.scheduled or task.starts
    rule = _RULE.fullmatch(task.repeats.strip())
    if not own or rule is None or _OWN.search(line):
        return None
    try:
        before = date.fromisoformat(own)
        then = _after(today if rule["done"] or rule["late"] else before, rule)
        if then is None:
            return None
        step = then - before
        for name in ("due", "scheduled", "starts"):
            found = DATE_FIELDS[name].search(line)
            if found is not None:
                group = found.lastindex or 0
                day = date.fromisoformat(found[group]) + step
                line = f"{line[: found.start(group)]}{day.isoformat()}{line[found.end(group) :]}"
    except (ValueError, OverflowError):
        return None
    return _BOX.sub("[ ]", BLOCK_ID.sub("", line), count=1)


def _after(day: date, rule: re.Match[str]) -> date | None:
    """The first day after this one that a rule names; None when it names none for sure."""
    count = int(rule["count"] or 1)
    name = (rule["weekday"] or rule["on"] or "").lower()
    if name == "weekday" and rule["weekday"]:
        ahead = next(n for n in range(1, 4) if (day + timedelta(n)).weekday() < _SATURDAY)
        return day + timedelta(ahead)
    if name:
        if name not in _DAYS or count > 1 or (rule["unit"] or "week").lower() != "week":
            return None
        return day + timedelta((_DAYS.index(name) - day.weekday() - 1) % 7 + 1)
    return moved(day, rule["unit"].lower(), count) if count else None
