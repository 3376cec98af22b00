"""The order in which passages are sent to a model: what rarely changes first, so that its KV cache keeps its prefix.

Two prompts share what the model has read up to the first byte in which they differ. So the order goes by what a note
is and not by how it was found: maps, systems, projects, other notes, the note that is open, single tasks, and then the
days, oldest first. Among those alike it goes by what the vault says of them: a small change of scores moves nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import date

from commands.survey import WELL, status
from context.assemble import Passage
from context.calendar import iso_date
from context.kinds import DAILY, PROJECT, SYSTEM
from context.names import base_of, fold
from context.note import Note
from context.snapshot import Snapshot

_MAP, _SYSTEM, _PROJECT, _OTHER, _OPEN, _TASK, _DAY = range(7)


def stable_first(passages: Iterable[Passage], snapshot: Snapshot, open_note: str = "") -> tuple[Passage, ...]:
    """The passages in the order in which they are sent.

    Args:
        passages: what was chosen.
        snapshot: the vault.
        open_note: the path of the note the person has open: it is about to change.
    """
    return tuple(sorted(passages, key=lambda one: (*_place(one, snapshot, open_note), one.path, one.start)))


def days_begin(passages: Sequence[Passage], snapshot: Snapshot) -> int:
    """Where among passages in this order the notes of days begin; their number when there are none."""
    days = (at for at, one in enumerate(passages) if _place(one, snapshot, "")[0] == _DAY)
    return next(days, len(passages))


def _place(passage: Passage, snapshot: Snapshot, open_note: str) -> tuple[int, float]:
    """What a passage is, and what counts among those that are the same."""
    path = passage.path
    note = snapshot.notes.get(path)
    if note is None:
        return _OTHER, 0
    day = _day(snapshot, note)
    if day is not None:
        return _DAY, day.toordinal()
    if passage.lane == "tasks":
        return _TASK, 0
    if path == open_note:
        return _OPEN, 0
    if path in snapshot.maps:  # first the home note, then those that gather most, as the walk without words begins
        home = fold(base_of(path)) == "home"
        return _MAP, -float("inf") if home else -len(snapshot.graph.out.get(path, ()))
    kind = snapshot.kind(note)
    if kind == SYSTEM:
        return _SYSTEM, status(note) in WELL
    if kind == PROJECT:
        return _PROJECT, (iso_date(note.properties.get("due")) or date.max).toordinal()
    return _OTHER, 0


def _day(snapshot: Snapshot, note: Note) -> date | None:
    """The first day of what a periodic note is about; None for a note that is none."""
    period = snapshot.settings.period(note.path)
    if period is not None:
        return period[1]
    return iso_date(note.properties.get("date")) if snapshot.kind(note) == DAILY else None
