"""What the vault says of now, read without a model: recent notes, projects, tasks, systems, what changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from context.calendar import Calendar, iso_date
from context.kinds import DAILY, PROJECT, SYSTEM
from context.names import base_of, fold
from context.note import Note, Task
from context.query import dated
from context.vault import Snapshot

ACTIVE = frozenset({"active", "in progress", "in-progress", "doing", "started", "ongoing"})
BLOCKED = frozenset({"blocked", "waiting", "on hold", "on-hold", "stuck"})
FINISHED = frozenset({"done", "completed", "complete", "finished", "archived", "cancelled", "canceled", "dropped"})
WELL = frozenset({"running", "ok", "active", "online", "healthy", "up", "stable"})
RETIRED = frozenset({"retired", "sold", "archived", "decommissioned", "off"})
# A task is soon due within a week.
SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Project:
    """A project note and what it says of its state."""

    note: Note
    status: str
    due: date | None
    next: Task | None

    @property
    def blocked(self) -> bool:
        """Whether it waits for something."""
        return self.status in BLOCKED


@dataclass(frozen=True, slots=True)
class DueTask:
    """An open task with a day: when it is due (or scheduled), and whether that day has passed."""

    note: Note
    task: Task
    day: date
    overdue: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """The state of the vault on one day.

    Attributes:
        today: the day.
        recent: daily notes of the last days, newest first.
        late: a sentence for people when there are no notes of the last days and older ones stand in; "" otherwise.
        projects: active and blocked ones; those due first, then by name.
        tasks: open tasks overdue or due within a week, by day.
        systems: hardware and services that are not retired; those not well first.
        changed: notes changed since `since`, newest first, and why each is thought so.
    """

    today: date
    recent: tuple[tuple[Note, date], ...]
    late: str
    projects: tuple[Project, ...]
    tasks: tuple[DueTask, ...]
    systems: tuple[Note, ...]
    changed: tuple[tuple[Note, str], ...]

    @property
    def empty(self) -> bool:
        """Whether the notes say nothing of now."""
        return not (self.recent or self.projects or self.tasks or self.systems or self.changed)


def survey(
    snapshot: Snapshot, notes: Mapping[str, Note], calendar: Calendar, *, recent_days: int, since: float | None = None
) -> Survey:
    """Survey the notes in a scope.

    Args:
        snapshot: the vault.
        notes: the notes in scope, in path order.
        calendar: today in the person's zone.
        recent_days: calendar days that count as recent, today included.
        since: when the command last ran, in seconds since the epoch; None when it never did.
    """
    own = {path: note for path, note in notes.items() if not is_template(snapshot, path)}
    recent, late = _recent(snapshot, own, calendar.today, recent_days)
    return Survey(
        today=calendar.today,
        recent=recent,
        late=late,
        projects=_projects(snapshot, own.values()),
        tasks=_tasks(own.values(), calendar.today),
        systems=_systems(snapshot, own.values()),
        changed=_changed(snapshot, own, calendar, recent_days, since),
    )


def is_template(snapshot: Snapshot, path: str) -> bool:
    """Whether a note is one of the vault's templates: it speaks of no day and no project."""
    settings = snapshot.settings
    if settings.templates and path.startswith(settings.templates + "/"):
        return True
    named: frozenset[str] | None = snapshot.kept.get("templates")
    if named is None:  # it is asked of every note
        templates = [one.template for one in (settings.daily, settings.weekly, settings.monthly)]
        templates += [one.template for one in snapshot.kinds.all]
        named = snapshot.kept["templates"] = frozenset(name.removesuffix(".md") for name in templates)
    return path.removesuffix(".md") in named


def is_daily(snapshot: Snapshot, path: str) -> bool:
    """Whether a path is that of a note of a day, by the vault's own settings."""
    period = snapshot.settings.period(path)
    return period is not None and period[0] == "daily"


def _recent(
    snapshot: Snapshot, notes: Mapping[str, Note], today: date, days: int
) -> tuple[tuple[tuple[Note, date], ...], str]:
    daily: list[tuple[date, Note]] = []
    for path, note in notes.items():
        period = snapshot.settings.period(path)
        day = (
            period[1]
            if period and period[0] == "daily"
            else iso_date(note.properties.get("date"))
            if snapshot.kind(note) == DAILY
            else None
        )
        if day is not None:
            daily.append((day, note))
    daily.sort(key=lambda pair: (pair[0], pair[1].path), reverse=True)
    first = today - timedelta(days=days - 1)
    recent = tuple((note, day) for day, note in daily if first <= day <= today)
    if recent or not daily:
        return recent, ""
    past = [(note, day) for day, note in daily if day <= today][:days] or [(note, day) for day, note in daily[-days:]]
    spoken = f"{past[-1][1].isoformat()} to {past[0][1].isoformat()}" if len(past) > 1 else past[0][1].isoformat()
    return tuple(
        past
    ), f"There is no daily note from {first.isoformat()} to {today.isoformat()}; the latest ones are used ({spoken})."


def status(note: Note) -> str:
    """The property `status`, folded; "" when there is none."""
    value = note.properties.get("status")
    return fold(value.strip()) if isinstance(value, str) else ""


def _projects(snapshot: Snapshot, notes: Iterable[Note]) -> tuple[Project, ...]:
    found = [
        Project(note, status(note), iso_date(note.properties.get("due")), next_action(note))
        for note in notes
        if status(note) in ACTIVE | BLOCKED and snapshot.kind(note) == PROJECT
    ]
    return tuple(sorted(found, key=lambda one: (one.due or date.max, one.note.path)))


def next_action(note: Note) -> Task | None:
    """The first open task below a heading that says "next", else the first open task."""
    open_tasks = [task for task in note.tasks if is_open(task)]
    for place, heading in enumerate(note.headings):
        if "next" in fold(heading.text):
            after = (other.start for other in note.headings[place + 1 :] if other.level <= heading.level)
            stop = next(after, note.length)
            for task in open_tasks:
                if heading.start <= task.start < stop:
                    return task
    return open_tasks[0] if open_tasks else None


def is_open(task: Task) -> bool:
    """Whether a task still has to be done: neither ticked nor cancelled (`[-]`)."""
    return task.status not in {"x", "X", "-"}


def _tasks(notes: Iterable[Note], today: date) -> tuple[DueTask, ...]:
    found: list[DueTask] = []
    for note in notes:
        if status(note) in FINISHED:
            continue
        for task in note.tasks:
            day = iso_date(task.due) or iso_date(task.scheduled)
            if day is not None and is_open(task) and day <= today + SOON:
                found.append(DueTask(note, task, day, overdue=day < today))
    return tuple(sorted(found, key=lambda one: (one.day, one.note.path, one.task.start)))


def _systems(snapshot: Snapshot, notes: Iterable[Note]) -> tuple[Note, ...]:
    found = [note for note in notes if snapshot.kind(note) == SYSTEM and status(note) not in RETIRED]
    return tuple(sorted(found, key=lambda note: (status(note) in WELL, note.path)))


def unwell(note: Note) -> bool:
    """Whether a system's note says that it is not running well."""
    return bool(status(note)) and status(note) not in WELL | RETIRED


def _changed(
    snapshot: Snapshot, notes: Mapping[str, Note], calendar: Calendar, days: int, since: float | None
) -> tuple[tuple[Note, str], ...]:
    """Notes seen to change since the last run, and notes whose own dates say so; never by file times."""
    found: list[tuple[float, Note, str]] = []
    first = calendar.today - timedelta(days=days - 1)
    for path, note in notes.items():
        if is_daily(snapshot, path):
            continue
        seen = snapshot.changed_at.get(path, 0.0)
        day = dated(snapshot, note)
        if since is not None and seen > since:
            found.append((seen, note, "changed since the last briefing"))
        elif day is not None and first <= day <= calendar.today:
            noon = datetime(day.year, day.month, day.day, 12, tzinfo=calendar.now.tzinfo).timestamp()
            found.append((noon, note, f"dated {day.isoformat()}"))
    found.sort(key=lambda one: (-one[0], one[1].path))
    return tuple((note, why) for _, note, why in found)


def heading_at(note: Note, offset: int) -> str:
    """The heading path above an offset, joined by " > "; "" above all headings."""
    stack: list[tuple[int, str]] = []
    for heading in note.headings:
        if heading.start > offset:
            break
        while stack and stack[-1][0] >= heading.level:
            stack.pop()
        stack.append((heading.level, heading.text))
    return " > ".join(text for _, text in stack)


def cite(note: Note, heading: str = "", snapshot: Snapshot | None = None) -> str:
    """A wikilink to a note or one of its headings; the last heading of a path is enough for Obsidian."""
    name = base_of(note.path)
    if snapshot is not None and len(snapshot.names.same_name(name)) > 1:
        name = note.path.removesuffix(".md")
    last = heading.rsplit(" > ", 1)[-1]
    clean = "".join(" " if c in "[]|#^" else c for c in last).strip()
    return f"[[{name}#{clean}]]" if clean else f"[[{name}]]"
