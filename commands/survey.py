"""What the vault says of now, read without a model: recent notes, projects, tasks, systems, what changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from typing import TypeVar

from context.calendar import Calendar, iso_date
from context.kinds import DAILY, PROJECT, SYSTEM
from context.names import base_of, fold
from context.note import Note, Task
from context.query import dated
from context.snapshot import Snapshot

ACTIVE = frozenset({"active", "in progress", "in-progress", "doing", "started", "ongoing"})
BLOCKED = frozenset({"blocked", "waiting", "on hold", "on-hold", "stuck"})
FINISHED = frozenset({"done", "completed", "complete", "finished", "archived", "cancelled", "canceled", "dropped"})
WELL = frozenset({"running", "ok", "active", "online", "healthy", "up", "stable"})
RETIRED = frozenset({"retired", "sold", "archived", "decommissioned", "off"})
# A task is soon due within a week.
SOON = timedelta(days=7)

_T = TypeVar("_T")


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
    told = snapshot.lasts(
        "survey", lambda: _Told().updated(snapshot, snapshot.notes), lambda told, paths: told.updated(snapshot, paths)
    )
    recent, late = _recent(_within(told.days, notes), notes, calendar.today, recent_days)
    return Survey(
        today=calendar.today,
        recent=recent,
        late=late,
        projects=_projects(_within(told.projects, notes).values()),
        tasks=_tasks(_within(told.tasks, notes), notes, calendar.today),
        systems=_systems(notes[path] for path in told.systems if path in notes),
        changed=_changed(snapshot, told, notes, calendar, recent_days, since),
    )


@dataclass(slots=True)
class _Told:
    """What the notes of a vault say, whatever the day; templates say nothing. A note has a place only where it says so.

    Attributes:
        days: daily note → its day.
        projects: project note → what it says of its state, those at work or blocked.
        tasks: note → its open tasks with a day, in their order.
        systems: the systems that are not retired.
        dated: day → the notes that speak of it, those of a day left out.
        dates: the same by note.
    """

    days: dict[str, date] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    tasks: dict[str, tuple[tuple[Task, date], ...]] = field(default_factory=dict)
    systems: dict[str, None] = field(default_factory=dict)
    dated: dict[date, frozenset[str]] = field(default_factory=dict)
    dates: dict[str, date] = field(default_factory=dict)

    def updated(self, snapshot: Snapshot, paths: Iterable[str]) -> "_Told":
        """The same after some notes changed, came or went."""
        after = _Told(*(getattr(self, one.name).copy() for one in fields(self)))
        moved: dict[date, tuple[set[str], set[str]]] = {}
        for path in paths:
            for said in (after.days, after.projects, after.tasks, after.systems):
                said.pop(path, None)
            before = after.dates.pop(path, None)
            note = snapshot.notes.get(path)
            if note is not None and not is_template(snapshot, path):
                after._add(snapshot, note)
            now = after.dates.get(path)
            if before != now:
                if before is not None:
                    moved.setdefault(before, (set(), set()))[1].add(path)
                if now is not None:
                    moved.setdefault(now, (set(), set()))[0].add(path)
        for day, (came, went) in moved.items():
            after.dated[day] = (after.dated.get(day, frozenset()) | came) - went
        return after

    def _add(self, snapshot: Snapshot, note: Note) -> None:
        path, kind, said = note.path, snapshot.kind(note), status(note)
        period = snapshot.settings.period(path)
        daily = period is not None and period[0] == "daily"
        day = period[1] if period and daily else iso_date(note.properties.get("date")) if kind == DAILY else None
        if day is not None:
            self.days[path] = day
        if kind == PROJECT and said in ACTIVE | BLOCKED:
            self.projects[path] = Project(note, said, iso_date(note.properties.get("due")), next_action(note))
        if kind == SYSTEM and said not in RETIRED:
            self.systems[path] = None
        if said not in FINISHED and note.tasks:
            when = ((task, iso_date(task.due) or iso_date(task.scheduled)) for task in note.tasks if is_open(task))
            due = tuple((task, day) for task, day in when if day is not None)
            if due:
                self.tasks[path] = due
        spoken = None if daily else dated(snapshot, note)
        if spoken is not None:
            self.dates[path] = spoken


def _within(told: Mapping[str, _T], notes: Mapping[str, Note]) -> dict[str, _T]:
    """What is told of some notes alone."""
    return {path: said for path, said in told.items() if path in notes}


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
    told: Mapping[str, date], notes: Mapping[str, Note], today: date, days: int
) -> tuple[tuple[tuple[Note, date], ...], str]:
    daily = [(day, notes[path]) for path, day in told.items()]
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


def _projects(found: Iterable[Project]) -> tuple[Project, ...]:
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


def _tasks(
    told: Mapping[str, Iterable[tuple[Task, date]]], notes: Mapping[str, Note], today: date
) -> tuple[DueTask, ...]:
    found = [
        DueTask(notes[path], task, day, overdue=day < today)
        for path, tasks in told.items()
        for task, day in tasks
        if day <= today + SOON
    ]
    return tuple(sorted(found, key=lambda one: (one.day, one.note.path, one.task.start)))


def _systems(found: Iterable[Note]) -> tuple[Note, ...]:
    return tuple(sorted(found, key=lambda note: (status(note) in WELL, note.path)))


def unwell(note: Note) -> bool:
    """Whether a system's note says that it is not running well."""
    return bool(status(note)) and status(note) not in WELL | RETIRED


def _changed(
    snapshot: Snapshot,
    told: _Told,
    notes: Mapping[str, Note],
    calendar: Calendar,
    days: int,
    since: float | None,
) -> tuple[tuple[Note, str], ...]:
    """Notes seen to change since the last run, and notes whose own dates say so; never by file times."""
    found: dict[str, tuple[float, str]] = {}
    for day in (calendar.today - timedelta(days=ago) for ago in range(days)):
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=calendar.now.tzinfo).timestamp()
        found.update((path, (noon, f"dated {day.isoformat()}")) for path in told.dated.get(day, ()) if path in notes)
    for path, seen in snapshot.changed_at.items():
        if (
            since is not None
            and seen > since
            and path in notes
            and not is_daily(snapshot, path)
            and not is_template(snapshot, path)
        ):
            found[path] = (seen, "changed since the last briefing")
    newest = sorted(found.items(), key=lambda one: (-one[1][0], one[0]))
    return tuple((notes[path], why) for path, (_, why) in newest)


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
