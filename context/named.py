"""Named: what a text names outright, by a link, a tag, a property, a folder or a day; always part of a context."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from context.dates import Span, spans
from context.names import fold, folder_of
from context.note import Note
from context.snapshot import Snapshot

_LINK = re.compile(r"\[\[([^\[\]\n|#]{1,300})(?:[|#][^\[\]\n]{0,300})?\]\]")
_TAG = re.compile(r"(?<![\w#&/])#([^\W\d][\w/-]*)")
_PROPERTY = re.compile(r"([^\W\d][\w-]{0,60})\s{0,2}[:=]\s{0,2}(?:\"([^\"\n]{1,120})\"|([^\s,;?!\"\]]{1,120}))")
# From so many days on a text means the week or the month as a whole, whose own notes then count.
_WEEK_DAYS, _MONTH_DAYS = 5, 25


class Named(NamedTuple):
    """Notes that a text names in one way: their paths, and how they are named, for people."""

    paths: tuple[str, ...]
    why: str


def named(snapshot: Snapshot, notes: Mapping[str, Note], text: str, today: date) -> list[Named]:
    """What a text names outright among some notes; each way of naming on its own, and only those that name any.

    Args:
        snapshot: the vault.
        notes: those that may be named, by path.
        text: the text.
        today: the person's day, for "yesterday".
    """
    found = [Named(tuple(linked(snapshot, text)), "named in the request")]
    tags = dict.fromkeys(fold(tag).rstrip("/-") for tag in _TAG.findall(text))
    found += [Named(tuple(_tagged(notes, tag)), f"tagged #{tag}") for tag in tags]
    found += _by_property(notes, text)
    found += _by_folder(notes, text)
    for span in spans(text, today):
        found.append(Named(tuple(_of_days(snapshot, notes, span)), f"of {span.words}"))
    inside = (Named(tuple(path for path in one.paths if path in notes), one.why) for one in found)
    return [one for one in inside if one.paths]


def linked(snapshot: Snapshot, text: str) -> list[str]:
    """The notes that a text names by a wikilink, in order."""
    found: dict[str, None] = {}
    for match in _LINK.finditer(text):
        path = snapshot.names.resolve(match[1], "") or next(
            iter(snapshot.aliases.get(fold(match[1].strip()), ())), None
        )
        if path in snapshot.notes:
            found[str(path)] = None
    return list(found)


def _tagged(notes: Mapping[str, Note], tag: str) -> Iterator[str]:
    for path, note in notes.items():
        if any(fold(one) == tag or fold(one).startswith(f"{tag}/") for one in note.tags):
            yield path


def _by_property(notes: Mapping[str, Note], text: str) -> Iterator[Named]:
    """`status: blocked`, as it stands in properties; a colon in a sentence names none."""
    for match in _PROPERTY.finditer(text):
        name, value = fold(match[1]), fold((match[2] or match[3]).rstrip("."))
        paths = tuple(path for path, note in notes.items() if _has(note, name, value))
        yield Named(paths, f"{match[1]}: {match[2] or match[3]}")


def _has(note: Note, name: str, value: str) -> bool:
    for key, held in note.properties.items():
        if fold(key) == name:
            return any(fold(str(one).strip("[]")) == value for one in (held if isinstance(held, list) else [held]))
    return False


def _by_folder(notes: Mapping[str, Note], text: str) -> Iterator[Named]:
    """A folder with its slash: "in 02-Projects/"."""
    if "/" not in text:
        return
    said = fold(text)
    for folder in sorted({folder_of(path) for path in notes} - {""}, key=len, reverse=True):
        if re.search(rf"(?<![\w/]){re.escape(fold(folder))}(?!\w)", said):
            yield Named(tuple(path for path in notes if path.startswith(folder)), f"in {folder}")
            return


def _of_days(snapshot: Snapshot, notes: Iterable[str], span: Span) -> Iterator[str]:
    """Daily notes of the days, and the weekly or monthly ones when a whole week or month is meant; the latest first."""
    periods = snapshot.lasts(
        "periods",
        lambda: _periods(snapshot, {}, snapshot.notes),
        lambda known, paths: _periods(snapshot, known, paths),
    )
    length = (span.last - span.first).days + 1
    found: list[tuple[date, str]] = []
    for path, (kind, day) in periods.items():
        last = day + timedelta(days={"weekly": 6, "monthly": 27}.get(kind, 0))
        meant = kind == "daily" or length >= (_WEEK_DAYS if kind == "weekly" else _MONTH_DAYS)
        if meant and day <= span.last and last >= span.first and path in notes:
            found.append((day, path))
    yield from (path for _, path in sorted(found, reverse=True))


def _periods(
    snapshot: Snapshot, known: Mapping[str, tuple[str, date]], paths: Iterable[str]
) -> dict[str, tuple[str, date]]:
    """Kind and first day of every daily, weekly and monthly note, of those known and of those at some paths."""
    found = dict(known)
    for path in paths:
        period = snapshot.settings.period(path) if path in snapshot.notes else None
        if period:
            found[path] = period
        else:
            found.pop(path, None)
    return found
