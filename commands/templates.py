"""Fills a vault's own template for a new note, as Obsidian's core plugins and Periodic Notes do."""

import re
from datetime import datetime, timedelta

from context.calendar import moment
from context.names import base_of, fold
from context.obsidian import ObsidianSettings
from context.snapshot import Snapshot
from context.vault import NoteGoneError, Vault

# {{title}}, {{date}}, {{time:HH:mm}}, {{date+1d:YYYY-MM-DD}}, {{yesterday}}, {{tomorrow}}
_BLANK = re.compile(
    r"\{\{\s*(title|date|time|yesterday|tomorrow)\s*([+-]\s*\d{1,4}\s*[dwMyhm])?\s*(?::([^{}\n]{1,100}))?\s*\}\}"
)
_UNITS = {"d": "days", "w": "weeks", "h": "hours", "m": "minutes"}


def fill(text: str, title: str, when: datetime, settings: ObsidianSettings) -> str:
    """A template with its blanks filled; other marks (of Templater, say) stay as they are.

    Args:
        text: of the template.
        title: name of the new note.
        when: the day of a periodic note, or now.
        settings: of the vault: its date and time formats, and the first day of its week.
    """

    def one(match: re.Match[str]) -> str:
        name, shift, pattern = match[1], match[2], match[3]
        if name == "title":
            return title
        day = {"yesterday": timedelta(days=-1), "tomorrow": timedelta(days=1)}.get(name, timedelta())
        usual = settings.time_format if name == "time" else settings.date_format
        return moment((pattern or usual).strip(), _shifted(when + day, shift or ""), week_start=settings.week_start)

    return _BLANK.sub(one, text)


def _shifted(when: datetime, shift: str) -> datetime:
    """An instant moved by something like `+1d`; months and years keep the day, or take the last of a shorter month."""
    if not shift:
        return when
    bare = "".join(shift.split())
    number, unit = int(bare[:-1]), bare[-1]
    try:
        if unit in _UNITS:
            return when + timedelta(**{_UNITS[unit]: number})
        months = when.year * 12 + when.month - 1 + number * (12 if unit == "y" else 1)
        for day in range(when.day, when.day - 4, -1):
            try:
                return when.replace(year=months // 12, month=months % 12 + 1, day=day)
            except ValueError:
                continue
    except OverflowError:
        pass
    return when


def template_path(snapshot: Snapshot, name: str) -> str | None:
    """The note that a template's name or path means, None when there is none."""
    if not name:
        return None
    wanted = fold(name.strip("/").removesuffix(".md"))
    path = next((path for path in snapshot.notes if fold(path.removesuffix(".md")) == wanted), None)
    return path or snapshot.names.resolve(base_of(name.strip("/")), "")


def template_text(vault: Vault, name: str) -> str:
    """The text of a template that the settings name, "" when there is none."""
    path = template_path(vault.snapshot, name)
    try:
        return vault.text(path)[1].removeprefix("\ufeff") if path else ""
    except NoteGoneError:
        return ""
