"""Answers without a model: cited Markdown made from the vault alone."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from commands.excerpt import Excerpt, Question, excerpt, short, without_id
from commands.health import KINDS, Finding, counted, prerequisites
from commands.survey import FINISHED, Project, Survey, cite, heading_at, is_template, status, unwell
from context.assemble import Context, Passage
from context.calendar import iso_date
from context.kinds import PROJECT, SYSTEM, Kind
from context.names import base_of, fold
from context.note import Note
from context.snapshot import Snapshot

# Lines of one section at most; a briefing is read in a minute. A plan looks back further.
_LINES, _PLAN_LINES = 8, 16
# Lines of one day at most.
_DAY_LINES = 3
# What these ways of gathering pick fits the person's words; what others pick may do so by chance.
_BY_WORDS = frozenset({"search", "maps", "note"})
# Properties that say what holds a project up: `blocked-by`, `blocker`; not `blocks`, which it holds up itself.
_BLOCKER = re.compile(r"block(?:ed|er)", re.IGNORECASE)
_OUT_OF_SCOPE = "No note of the vault fits the scope of this request."
_NOTHING_FITS = "The vault holds nothing that fits these words."
_WAITING = ("block", "wait", "stuck")


@dataclass(frozen=True, slots=True)
class Matter:
    """What an answer without a model is made of.

    Attributes:
        snapshot: the vault.
        notes: those in scope.
        survey: what they say of now.
        context: the passages picked.
        findings: faults found, for an answer about the vault's health.
        text: the text of a note in scope, "" when it changed meanwhile.
        words: what was asked, and the selection.
        log: the heading of a daily note under which the person's words are kept.
    """

    snapshot: Snapshot
    notes: Mapping[str, Note]
    survey: Survey
    context: Context
    findings: Sequence[Finding]
    text: Callable[[str], str]
    words: str = ""
    log: str = ""


def briefing(matter: Matter) -> str:
    """The state of things: last days, projects, due, blocked, changed, systems; each line cited."""
    survey = matter.survey
    sections = {
        "Last days": _days(matter),
        "Active projects": [_project(matter, one) for one in survey.projects if not one.blocked],
        "Overdue": list(_due(matter, overdue=True)),
        "Due this week": list(_due(matter, overdue=False)),
        "Blocked": [_blocked(matter, one) for one in survey.projects if one.blocked],
        "Changed": [f"- {_cite(matter, note)}: {why}." for note, why in survey.changed],
        "Systems": _systems(matter),
    }
    body = _sections(sections)
    lead = f"*{survey.late}*\n\n" if survey.late else ""
    return lead + (body or _nothing(matter))


def _out_of_scope(matter: Matter) -> bool:
    return not matter.notes and bool(matter.snapshot.notes)


def _nothing(matter: Matter) -> str:
    """What to say when there is nothing to say, and what would count."""
    if _out_of_scope(matter):
        return _OUT_OF_SCOPE
    kinds = matter.snapshot.kinds
    return (
        "The vault holds no daily notes, projects, dated tasks or systems yet. A daily note is named as the vault's "
        f"own settings say; a project {_signs(kinds[PROJECT])}, a system {_signs(kinds[SYSTEM])}."
    )


def _signs(kind: Kind) -> str:
    """What makes a note one of a kind, in words."""
    signs = [f"has `type: {kind.types[0]}` among its properties"] if kind.types else []
    signs += [f"is tagged #{tag}" for tag in kind.tags[:1]]
    signs += [f"lies in {kind.folder}"] if kind.folder else []
    return " or ".join(signs)


def skeleton(matter: Matter) -> str:
    """The frame of a plan: open ends of the last days, projects with next actions, what they unlock, what is due."""
    survey = matter.survey
    open_ends = [
        f"- [ ] {task.text.strip()} ({_cite(matter, note, heading_at(note, task.start))})"
        for note, _ in survey.recent
        for task in note.tasks
        if task.status not in {"x", "X", "-"} and not task.due and not task.scheduled
    ]
    sections = {
        "Reflection": _days(matter, _PLAN_LINES),
        "Open ends": open_ends,
        "Projects": [
            line
            for one in survey.projects
            for line in (_blocked(matter, one) if one.blocked else _project(matter, one), *_unlocks(matter, one))
        ],
        "Overdue": list(_due(matter, overdue=True)),
        "Due this week": list(_due(matter, overdue=False)),
        "Ready to start": _ready(matter),
    }
    return _sections(sections, _PLAN_LINES) or _nothing(matter)


def findings(matter: Matter) -> str:
    """The passages that fit the words: of each the lines that fit best, quoted and cited."""
    if _out_of_scope(matter):
        return _OUT_OF_SCOPE
    lines = []
    question = Question.of(matter.words)
    passages = [one for one in matter.context.passages if _fits(one, question)]
    # Scores compare within a lane only: what the words found comes first, then what was gathered for other reasons.
    for passage in sorted(passages, key=lambda one: (one.lane != "search", -one.score))[:_LINES]:
        note = matter.snapshot.notes.get(passage.path)
        found = _excerpt(passage, note, question) if note is not None else None
        if note is not None and found is not None:
            lines.append(f"- {_cite(matter, note, _heading(passage, note, found))}")
            lines += [f"  > {line}".rstrip() for line in found.lines]
    return "This is what the vault holds on it:\n\n" + "\n".join(lines) if lines else _NOTHING_FITS


def _fits(passage: Passage, question: Question) -> bool:
    """Whether a passage was picked for the words, or holds one: what is picked otherwise may cover what was found."""
    said = f"{base_of(passage.path)} {passage.heading} {passage.text}"
    return passage.lane in _BY_WORDS or bool(question.within(said))


def _excerpt(passage: Passage, note: Note, question: Question) -> Excerpt | None:
    # Offsets only mean something in the text they were read from.
    known = note.headings if note.digest == passage.digest else ()
    return excerpt(
        passage.text,
        question,
        body=min(max(0, note.body - passage.start), len(passage.text)),
        headings=[(heading.start - passage.start, heading.level) for heading in known],
        name=" ".join((base_of(note.path), *note.aliases)),
    )


def _heading(passage: Passage, note: Note, found: Excerpt) -> str:
    """The heading that an excerpt stands under; "" when that is the note's own name, or the note changed meanwhile."""
    heading = heading_at(note, passage.start + found.start) if note.digest == passage.digest else ""
    return "" if fold(heading) == fold(base_of(note.path)) else heading


def health(matter: Matter) -> str:
    """The faults found, by kind, the gravest first."""
    if not matter.findings:
        return "No fault was found in the notes of this scope."
    parts = []
    for code, found in counted(matter.findings).items():
        title = code.replace("_", " ").capitalize()
        lines = [f"- {_link(matter, one)}{one.message}" for one in found[: 2 * _LINES]]
        if len(found) > len(lines):
            lines.append(f"- and {len(found) - len(lines)} more")
        parts.append(f"## {title} ({len(found)})\n{KINDS[code][1]}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


ANSWERS: Mapping[str, Callable[[Matter], str]] = {
    "briefing": briefing,
    "skeleton": skeleton,
    "findings": findings,
    "health": health,
}


def facts(matter: Matter, kind: str) -> str:
    """What is exact and read without a model, for the instructions of a prompt."""
    if kind == "health":
        return "\n".join(f"- {_link(matter, one)}{one.message}" for one in matter.findings[:60]) or "- none"
    survey = matter.survey
    lines = [f"- {survey.late}"] if survey.late else []
    lines += [_project(matter, one) for one in survey.projects if not one.blocked]
    lines += [_blocked(matter, one) for one in survey.projects if one.blocked]
    lines += [line for overdue in (True, False) for line in islice(_due(matter, overdue=overdue), _LINES)]
    lines += [line for one in survey.projects for line in _unlocks(matter, one)] if kind == "skeleton" else []
    lines += _systems(matter, only_unwell=True)
    return "\n".join(lines) or "- the vault holds no projects, dated tasks or systems"


def _sections(sections: Mapping[str, Sequence[str]], lines: int = _LINES) -> str:
    parts = []
    for title, entries in sections.items():
        if entries:
            more = [f"- and {len(entries) - lines} more"] if len(entries) > lines else []
            parts.append(f"## {title}\n" + "\n".join([*entries[:lines], *more]))
    return "\n\n".join(parts)


def _days(matter: Matter, room: int = _LINES) -> list[str]:
    """The last lines of the last days, the newest day first; each day has one at least, and says how many it leaves."""
    lines: list[str] = []
    recent = matter.survey.recent
    for place, (note, day) in enumerate(recent, 1):
        said = [one for one in _log_lines(note, matter.text(note.path)) if one[1]]
        shown = _last(said, matter.log, max(1, min(_DAY_LINES, room - len(lines) - (len(recent) - place))))
        earlier = f" (and {len(said) - len(shown)} earlier)" if len(said) > len(shown) else ""
        lead = f"**{day.isoformat()}**{earlier} "
        for heading, line in shown:
            lines.append(f"- {lead}{line} ({_cite(matter, note, heading)})")
            lead = ""
        if not shown:
            lines.append(f"- {_cite(matter, note)}")
    return lines


def _last(said: Sequence[tuple[str, str]], log: str, most: int) -> list[tuple[str, str]]:
    """The last lines of a day, each with its heading, in their order.

    What was kept last is always among them: a day may have more to say behind its log.
    """
    last = list(said[-most:])
    kept = [one for one in said if log and fold(one[0].rsplit(" > ", 1)[-1]) == fold(log)]
    return last if not kept or kept[-1] in last else [kept[-1], *last[1:]]


def _log_lines(note: Note, text: str) -> Iterable[tuple[str, str]]:
    """The lines of a daily note that say what happened: items and prose, without tasks, quotes, code and fields."""
    at = note.body
    fence = hidden = False
    for line in text[note.body :].splitlines(keepends=True):
        bare = line.strip()
        if bare.startswith(("```", "~~~")):
            fence = not fence
        plain = bare.lstrip("-*+ ").strip()
        was_hidden, hidden = hidden, hidden ^ bool(bare.count("%%") % 2)
        skip = (
            fence
            or was_hidden
            or hidden
            or not plain
            or bare.startswith(("#", ">", "|", "%%", "```", "---", "![", "<", "[^"))
            or plain.startswith("[")
        )
        if not skip and "::" not in plain and len(plain) > 12:
            yield heading_at(note, at), short(without_id(plain))
        at += len(line)


def _project(matter: Matter, project: Project) -> str:
    due = f", due {project.due.isoformat()}" if project.due else ""
    late = " (overdue)" if project.due and project.due < matter.survey.today else ""
    level = project.note.properties.get("level")
    kind = f" ({level})" if isinstance(level, str) else ""
    line = f"- {_cite(matter, project.note)}{kind}{due}{late}"
    if project.next is None:
        return f"{line}: no open task"
    heading = heading_at(project.note, project.next.start)
    return f"{line}. Next: {short(project.next.text.strip())} ({_cite(matter, project.note, heading)})"


def _blocked(matter: Matter, project: Project) -> str:
    reason, heading = _blocker(project.note), ""
    if not reason:
        for heading, line in _log_lines(project.note, matter.text(project.note.path)):  # noqa: B007 - used below
            if any(word in fold(line) for word in _WAITING):
                reason = line
                break
        else:
            heading = ""
    return f"- {_cite(matter, project.note, heading)} is {project.status}" + (f": {short(reason)}" if reason else "")


def _blocker(note: Note) -> str:
    """What a project's properties say holds it up, dates left out; "" when they do not say."""
    for name, value in note.properties.items():
        if _BLOCKER.match(name):
            texts = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
            said = [one.strip() for one in texts if one.strip() and iso_date(one) is None]
            if said:
                return ", ".join(said)
    return ""


def _due(matter: Matter, *, overdue: bool) -> Iterator[str]:
    for due in matter.survey.tasks:
        if due.overdue is overdue:
            day = due.day.isoformat()
            when = f"overdue since {day}" if due.overdue else "today" if due.day == matter.survey.today else day
            place = _cite(matter, due.note, heading_at(due.note, due.task.start))
            yield f"- {when}: {short(due.task.text.strip())} ({place})"


def _systems(matter: Matter, *, only_unwell: bool = False) -> list[str]:
    systems = matter.survey.systems
    ill = [note for note in systems if unwell(note)]
    lines = [f"- {_cite(matter, note)} is {status(note)}" + _first_about(matter, note) for note in ill]
    well = [note for note in systems if note not in ill and status(note)]
    if well and not only_unwell:
        lines.append(f"- running: {', '.join(_cite(matter, note) for note in well)}")
    return lines


def _first_about(matter: Matter, note: Note) -> str:
    """The line of a system's note that says what is wrong."""
    for heading, line in _log_lines(note, matter.text(note.path)):
        if any(
            word in fold(f"{heading} {line}")
            for word in ("problem", "issue", "degraded", "fail", "error", "warn", "broken")
        ):
            return f": {line}"
    return ""


def _unlocks(matter: Matter, project: Project) -> list[str]:
    names = matter.snapshot.names
    targets = [names.resolve(link.target, project.note.path) for link in project.note.links if link.prop == "unlocks"]
    known = [matter.snapshot.notes[path] for path in targets if path is not None and path in matter.snapshot.notes]
    return [f"  - unlocks {', '.join(_cite(matter, note) for note in known)}"] if known else []


def _ready(matter: Matter) -> list[str]:
    """Planned projects whose prerequisites are all done, or that have none."""
    lines = []
    for note in matter.notes.values():
        if matter.snapshot.kind(note) != PROJECT or is_template(matter.snapshot, note.path):
            continue
        needed = [matter.snapshot.notes[path] for path in prerequisites(matter.snapshot, note)]
        waits = [one for one in needed if status(one) not in FINISHED and matter.snapshot.kind(one) == PROJECT]
        if status(note) == "planned" and not waits:
            why = "its prerequisites are done" if needed else "no project has to come first"
            lines.append(f"- {_cite(matter, note)}: {why}")
    return lines


def _cite(matter: Matter, note: Note, heading: str = "") -> str:
    return cite(note, heading, matter.snapshot)


def _link(matter: Matter, finding: Finding) -> str:
    note = matter.snapshot.notes.get(finding.path)
    return f"{_cite(matter, note)}: " if note is not None else ""
