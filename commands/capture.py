"""Captures words in the daily note: verbatim, with the time, without a model; nothing that was typed is ever lost."""

from commands.edits import Change, Draft, NotEditableError, TargetError, create
from commands.templates import fill, template_text
from context.calendar import Calendar, moment
from context.names import base_of
from context.vault import NoteGoneError, Vault

# How many names are tried for a note beside one that cannot be written into.
_BESIDE = 50


def daily_path(vault: Vault, calendar: Calendar) -> str:
    """The path of today's daily note, by the vault's own settings, whether it is there or not."""
    daily = vault.snapshot.settings.daily
    name = moment(daily.pattern, calendar.now, week_start=vault.snapshot.settings.week_start)
    path = f"{daily.folder}/{name}.md" if daily.folder else f"{name}.md"
    # On a disk that tells case apart the note may be there in another writing.
    there = vault.snapshot.names.resolve("/" + path, "")
    if path in vault.snapshot.notes or there is None or there not in vault.snapshot.notes:
        return path
    return there


def entry(words: str, calendar: Calendar, time_format: str = "HH:mm") -> str:
    """The item of a list that holds the words: the time, then every line as it was typed, indented below it."""
    first, *more = words.strip("\r\n").replace("\r\n", "\n").split("\n")
    return "\n".join(
        [f"- {moment(time_format, calendar.now)} {first}", *(f"  {line}" if line else "" for line in more)]
    )


def capture(vault: Vault, calendar: Calendar, words: str, heading: str) -> Change:
    """The change that puts words under a heading of today's daily note, which is made from its template if need be.

    A note that cannot be written into (no UTF-8, an open code block at the place) is left alone: the words go into a
    note of their own beside it.

    Args:
        vault: the vault.
        calendar: the person's now.
        words: what they typed.
        heading: the heading it goes under; made at the end of the note when there is none.
    """
    path = daily_path(vault, calendar)
    settings = vault.snapshot.settings
    line = entry(words, calendar, settings.time_format)
    why = "your words, with the time"
    try:
        data: bytes | None = vault.data(path)
    except NoteGoneError:
        data = None
    if data is None:
        text = fill(template_text(vault, settings.daily.template), base_of(path), calendar.now, settings)
        try:
            return create(path, _with_line(path, text, heading, line), why=why)
        except (TargetError, NotEditableError):
            return create(path, f"{text}\n\n## {heading}\n{line}\n", why=why)
    try:
        draft = Draft(path, data)
        draft.append_to((heading,), line, why=why, ensure=True)
        return draft.change()
    except (TargetError, NotEditableError):
        return create(
            _beside(vault, path), f"## {heading}\n{line}\n", why=f"{why}; {base_of(path)} cannot be written into"
        )


def _with_line(path: str, text: str, heading: str, line: str) -> str:
    draft = Draft(path, text.encode())
    draft.append_to((heading,), line, ensure=True)
    made = draft.change().apply(text.encode()).decode()
    return made if made.endswith("\n") else made + draft.line_end


def _beside(vault: Vault, path: str) -> str:
    stem = path.removesuffix(".md")
    names = (f"{stem} captured{'' if number == 1 else f' {number}'}.md" for number in range(1, _BESIDE))
    return next(name for name in names if vault.snapshot.names.resolve("/" + name, "") is None)
