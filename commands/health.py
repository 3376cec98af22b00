"""The health of a vault: faults that a check can find for certain, each with its note."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from commands.survey import ACTIVE, FINISHED, Survey, is_template, status
from commands.templates import template_path
from context.calendar import iso_date
from context.graph import cycles
from context.kinds import PROJECT
from context.members import Members
from context.names import base_of
from context.note import Note
from context.query import dated
from context.snapshot import Snapshot

# An active project without a dated trace for this long is stale.
_STALE = timedelta(days=21)

# Every kind of fault: its weight for people, and what to do.
KINDS = {
    "unreadable_properties": (
        "error",
        "Correct the YAML between the --- lines; until then the note counts as private.",
    ),
    "unreadable_note": ("error", "Give yourself read permission, or move the file out of the vault."),
    "prerequisite_cycle": ("error", "Take one of the links out of prerequisites."),
    "unresolved_link": ("warning", "Write the missing note, or correct the link."),
    "overdue_task": ("warning", "Do it, or give it another day."),
    "overdue_project": ("warning", "Give it another due date, or close it."),
    "missing_template": ("warning", "Write the template, or correct its path in the configuration (kinds)."),
    "stale_project": ("warning", "Log where it stands, or set its status to blocked or done."),
    "started_before_prerequisite": ("warning", "Finish the prerequisite first, or correct the status of one of them."),
    "broken_query": ("warning", "Correct the query, or the name of the view; until then it shows nothing."),
    "ambiguous_name": ("notice", "Links by bare name reach only one of them; write the folder in the link."),
    "orphan": ("notice", "Link it from a map or a project, or file it away."),
    "unevaluated_query": ("notice", "It may well be right: what it shows is only not counted here."),
    "impossible_date": ("notice", "Correct the date; until then the task counts as one without it."),
    "flagged_note": ("notice", "Open the note and correct what is said."),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: its kind (a key of `KINDS`), the note, and what is said of it, for people."""

    kind: str
    path: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the `findings` of an answer."""
        weight, hint = KINDS[self.kind]
        return {"code": self.kind, "weight": weight, "path": self.path, "message": self.message, "hint": hint}


def check(members: Members, notes: Mapping[str, Note], survey: Survey) -> list[Finding]:
    """All faults of the notes in scope, the gravest kinds first, then by path. Evaluates queries: for a thread.

    Args:
        members: of the maps of a snapshot, which the notes are of.
        notes: those in scope.
        survey: of them.
    """
    snapshot = members.snapshot
    own = {path: note for path, note in notes.items() if not is_template(snapshot, path)}
    found = [
        *_flags(own.values()),
        *_links(snapshot, own),
        *_work(snapshot, own.values(), survey),
        *_prerequisites(snapshot, own),
        *_places(snapshot, own),
        *_orphans(members, own),
        *_queries(members, own),
        *_dates(own.values()),
        *_templates(snapshot),
    ]
    order = list(KINDS)
    return sorted(found, key=lambda one: (order.index(one.kind), one.path, one.message))


def _flags(notes: Iterable[Note]) -> Iterator[Finding]:
    for note in notes:
        for flag in note.flags:
            about = flag.split(":", 1)[0]
            code = {"frontmatter": "unreadable_properties", "unreadable": "unreadable_note"}.get(about, "flagged_note")
            yield Finding(code, note.path, flag)


def _links(snapshot: Snapshot, notes: Mapping[str, Note]) -> Iterator[Finding]:
    for path, targets in snapshot.graph.unresolved.items():
        if path in notes:
            for target in targets:
                yield Finding("unresolved_link", path, f"links to “{target}”, which does not exist")


def _work(snapshot: Snapshot, notes: Iterable[Note], survey: Survey) -> Iterator[Finding]:
    for due in survey.tasks:
        if due.overdue:
            yield Finding(
                "overdue_task",
                due.note.path,
                f"{due.task.text.strip()[:120]} (since {due.day})",
            )
    for project in survey.projects:
        if project.due and project.due < survey.today:
            yield Finding("overdue_project", project.note.path, f"was due on {project.due}")
    for note in notes:
        if status(note) not in ACTIVE or snapshot.kind(note) != PROJECT:
            continue
        days = [dated(snapshot, note)]
        days += [
            dated(snapshot, snapshot.notes[path])
            for path in snapshot.graph.back.get(note.path, ())
            if path in snapshot.notes
        ]
        last = max((day for day in days if day and day <= survey.today), default=None)
        if last is not None and survey.today - last > _STALE:
            yield Finding("stale_project", note.path, f"is active, but nothing speaks of it since {last}")


def _prerequisites(snapshot: Snapshot, notes: Mapping[str, Note]) -> Iterator[Finding]:
    needs = {path: prerequisites(snapshot, note) for path, note in notes.items() if snapshot.kind(note) == PROJECT}
    for knot in cycles(needs):
        names = " → ".join(base_of(path) for path in [*knot, knot[0]])
        yield Finding("prerequisite_cycle", knot[0], f"these projects wait for each other: {names}")
    for path, needed in needs.items():
        for one in needed:
            other = snapshot.notes[one]
            if status(notes[path]) in ACTIVE and snapshot.kind(other) == PROJECT and status(other) not in FINISHED:
                state = status(other) or "without a status"
                message = f"is active, but its prerequisite {base_of(one)} is {state}"
                yield Finding("started_before_prerequisite", path, message)


def prerequisites(snapshot: Snapshot, note: Note) -> list[str]:
    """The notes that a project names in its property `prerequisites`, in order; missing ones are left out."""
    found = (snapshot.names.resolve(link.target, note.path) for link in note.links if link.prop == "prerequisites")
    return [path for path in found if path is not None and path in snapshot.notes]


def _places(snapshot: Snapshot, notes: Mapping[str, Note]) -> Iterator[Finding]:
    seen: set[str] = set()
    for path in notes:
        name = base_of(path)
        same = [one for one in snapshot.names.same_name(name) if one.endswith(".md") and one in snapshot.notes]
        if len(same) > 1 and name not in seen:
            seen.add(name)
            yield Finding("ambiguous_name", path, f"{len(same)} notes have this name: {', '.join(same)}")


def _orphans(members: Members, notes: Mapping[str, Note]) -> Iterator[Finding]:
    """Notes without a link that no map gathers. A bare base is no such map: it may list the whole vault."""
    snapshot = members.snapshot
    graph = snapshot.graph
    alone = [
        path
        for path, note in notes.items()
        if note.is_text
        and not (graph.back.get(path) or graph.out.get(path) or path in snapshot.maps or snapshot.settings.period(path))
    ]
    asking = [path for path in snapshot.maps if path.endswith(".md") and members.asks(path)] if alone else []
    gathered = {one.path for path in asking for one in members.of(path).members}
    for path in alone:
        if path not in gathered:
            yield Finding("orphan", path, "neither links to a note nor is linked from one")


def _queries(members: Members, notes: Mapping[str, Note]) -> Iterator[Finding]:
    """Queries of maps that show nothing. JavaScript is left out: whether it is right cannot be told."""
    for path in members.snapshot.maps:
        if path not in notes or not members.asks(path):
            continue
        for one in members.of(path).unsupported:
            if one.kind == "dataviewjs":
                continue
            place = f"the {one.kind} query{f' of “{one.section}”' if one.section else ''}"
            if one.broken:
                yield Finding("broken_query", path, f"{place} shows nothing: {one.why}")
            else:
                yield Finding("unevaluated_query", path, f"{place} is not evaluated here: {one.why}")


def _dates(notes: Iterable[Note]) -> Iterator[Finding]:
    for note in notes:
        for task in note.tasks:
            for day in (task.due, task.scheduled, task.starts, task.created, task.completed, task.cancelled):
                if day and iso_date(day) is None:
                    yield Finding("impossible_date", note.path, f"{task.text[:120]} (there is no {day})")


def _templates(snapshot: Snapshot) -> Iterator[Finding]:
    for kind in snapshot.kinds.all:
        if kind.template and template_path(snapshot, kind.template) is None:
            yield Finding("missing_template", "", f"the template of {kind.name} is not there: {kind.template}")


def counted(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings by kind, in the order of their weight."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    return kinds
