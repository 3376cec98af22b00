"""The health of a vault: faults that a check can find for certain, each with its note."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from commands.survey import ACTIVE, FINISHED, Survey, is_template, status
from commands.templates import template_path
from context.graph import cycles
from context.kinds import PROJECT
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
    "ambiguous_name": ("notice", "Links by bare name reach only one of them; write the folder in the link."),
    "orphan": ("notice", "Link it from a map or a project, or file it away."),
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


def check(snapshot: Snapshot, notes: Mapping[str, Note], survey: Survey) -> list[Finding]:
    """All faults of the notes in scope, the gravest kinds first, then by path."""
    own = {path: note for path, note in notes.items() if not is_template(snapshot, path)}
    found = [
        *_flags(own.values()),
        *_links(snapshot, own),
        *_work(snapshot, own.values(), survey),
        *_prerequisites(snapshot, own),
        *_places(snapshot, own),
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
    for path, note in notes.items():
        name = base_of(path)
        same = [one for one in snapshot.names.same_name(name) if one.endswith(".md") and one in snapshot.notes]
        if len(same) > 1 and name not in seen:
            seen.add(name)
            yield Finding("ambiguous_name", path, f"{len(same)} notes have this name: {', '.join(same)}")
        linked = snapshot.graph.back.get(path) or snapshot.graph.out.get(path)
        if not linked and not snapshot.settings.period(path) and path not in snapshot.maps and note.is_text:
            yield Finding("orphan", path, "neither links to a note nor is linked from one")


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
