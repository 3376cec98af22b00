"""Works out what kept words mean for other notes: links, a synthesis, and what becomes of each project they touch."""

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial

from commands.capture import entry
from commands.edits import Change, Draft, NotEditableError, TargetError, create
from commands.entities import Entities, evidence, suggest
from commands.places import PlaceError, check_place
from commands.recurrence import next_line
from commands.routing import Candidate, Choice, Update, named, sentences
from commands.survey import cite, is_open, status
from commands.templates import fill, template_text
from context.calendar import Calendar, moment
from context.kinds import DAILY, Kind, tagged_as, type_of
from context.names import base_of, fold
from context.note import Link, Note, Task, parse
from context.scan import heading_paths, scan
from context.snapshot import Snapshot
from context.vault import NoteGoneError, Vault
from context.words import words as telling

# Headings under which projects keep what happened, and what comes next.
LOG_HEADINGS = frozenset({"log", "progress", "history", "journal", "updates", "project log", "work log"})
NEXT_HEADINGS = frozenset({"next", "next action", "next actions", "next steps", "tasks", "to do", "todo", "actions"})
NEXT_PROPERTIES = ("next", "next_action", "next-action", "next action")
# The heading in the note of the day under which it is kept what the words come to.
SYNTHESIS = "Synthesis"
# A line of a log is read at a glance; the whole of the words stands in the note of the day.
_LOG_CHARS = 240
_SYNTHESIS_CHARS = 1000
# A task of one telling word ("Clean") is named by chance.
_TASK_WORDS = 2
_TAG = re.compile(r"(?<![^\s(])#([^\s#,.;:!?()\[\]]+)")


def filing(
    vault: Vault,
    entities: Entities,
    calendar: Calendar,
    words: str,
    daily: tuple[str, bytes],
    *,
    heading: str,
    choices: Sequence[Candidate],
    choice: Choice | None = None,
    synthesis: str = "",
) -> list[Change]:
    """The changes that file words which were kept in the note of the day. Nothing is guessed: who reads them decides.

    A link to a note that is not there, with a kind as a tag beside it, asks for that note (see `new_notes`).

    Without a choice the rule is: every project the person named gets the sentences that name it as a line in its log,
    and those of its open tasks are ticked of which all telling words were said. With one, what was chosen comes to it.

    Args:
        vault: the vault.
        entities: its names.
        calendar: the person's now.
        words: what they typed.
        daily: path of the note of the day, and its bytes with the words in it.
        heading: the heading in it under which the words stand.
        choices: the projects the words may belong to.
        choice: what was chosen of them; None when nothing could choose.
        synthesis: what the words come to, on one line; "" for none.
    """
    path, data = daily
    source = cite(vault.snapshot.notes[path], heading, vault.snapshot) if path in vault.snapshot.notes else ""
    changes: list[Change] = []

    def add(change: Change | None) -> None:
        if change is not None and change.hunks:
            changes.append(change)

    add(_day(vault, entities, calendar, words, path, data, synthesis, 1))
    for one in choices:
        chosen = choice.updates.get(one.note.path) if choice else None
        if chosen is None and not one.sure:
            continue
        update = chosen or Update()
        said = _short(update.log or _about(entities, words, one.note.path)) + (f" ({source})" if source else "")
        done = {task for where, task in choice.finished if where == one.note.path} if choice else set()
        add(_project(vault, one.note, calendar, words, said, update, done, len(changes) + 1))
    for kind, title, line in new_notes(vault.snapshot, words):
        said = _short(" ".join(line.split())) + (f" ({source})" if source else "")
        add(_new(vault, kind, title, calendar, said, len(changes) + 1))
    return changes


def new_notes(snapshot: Snapshot, words: str) -> list[tuple[Kind, str, str]]:
    """The notes that words ask for: kind, title and line of each link to no note with a kind's name or tag beside it.

    The tag goes with the nearest such link of its line. Only kinds with a folder or a template are made.
    """
    kinds = [kind for kind in snapshot.kinds.all if (kind.folder or kind.template) and kind.name != DAILY]
    found: dict[str, tuple[Kind, str, str]] = {}
    for line in words.splitlines():
        missing = [link for link in scan(line).links if _is_new(snapshot, link)]
        for tag in _TAG.finditer(line) if missing else ():
            said = fold(tag[1])
            kind = next((one for one in kinds if said in {fold(own) for own in (one.name, *one.tags)}), None)
            if kind is not None:
                link = min(missing, key=lambda one: min(abs(tag.start() - one.end), abs(one.start - tag.end())))
                found.setdefault(fold(link.target), (kind, link.target, line))
    return list(found.values())


def _is_new(snapshot: Snapshot, link: Link) -> bool:
    target = link.target.strip()
    return bool(target) and snapshot.names.resolve(target, "") is None and fold(target) not in snapshot.aliases


def _new(vault: Vault, kind: Kind, title: str, calendar: Calendar, said: str, number: int) -> Change | None:
    """A new note of a kind, from its template: with its type, its tags, and a first line in its log if it has one."""
    name = title.strip().removesuffix(".md")
    path = f"{kind.folder}/{name}.md" if kind.folder and "/" not in name else f"{name}.md"
    settings = vault.snapshot.settings
    text = fill(template_text(vault, kind.template), base_of(path), calendar.now, settings)
    try:
        check_place(vault.root, path, new=True)
        if kind.types and type_of(parse(path, text.encode())) not in kind.types:
            text = _edited(path, text, lambda draft: draft.set_property("type", kind.types[0]))
        for tag in kind.tags:
            if not tagged_as(parse(path, text.encode()), (tag,)):
                text = _edited(path, text, partial(_tag, tag=tag))
        log = _heading(parse(path, text.encode()), LOG_HEADINGS)
        if log:
            text = _edited(path, text, lambda draft: draft.append_to(log, f"- {calendar.today.isoformat()}: {said}"))
    except PlaceError:
        return None
    except (NotEditableError, TargetError):
        pass  # a template that cannot be read as a note is used as it is
    why = f"new {kind.name}" + (f", from {kind.template}" if kind.template else "")
    return create(path, text, why=why, number=number)


def _tag(draft: Draft, tag: str) -> None:
    name = next((name for name in draft.note.properties if fold(name) == "tags"), "tags")
    draft.add_to_property(name, tag)


def _edited(path: str, text: str, edit: Callable[[Draft], None]) -> str:
    draft = Draft(path, text.encode())
    edit(draft)
    return draft.change().apply(text.encode()).decode()


def synthesis_of(answer: str) -> str:
    """What an answer comes to, on one line: the text of its first section, or of all of it when it has none."""
    lines = answer.strip().split("\n")
    first = next((place for place, line in enumerate(lines) if line.startswith("#")), -1)
    rest = lines[first + 1 :]
    end = next((place for place, line in enumerate(rest) if line.startswith("#")), len(rest))
    told = " ".join(" ".join(line.strip().removeprefix("- ") for line in rest[:end]).split())
    return told if len(told) <= _SYNTHESIS_CHARS and "```" not in told else ""


def _day(
    vault: Vault,
    entities: Entities,
    calendar: Calendar,
    words: str,
    daily: str,
    data: bytes,
    synthesis: str,
    number: int,
) -> Change | None:
    """The note of the day: links from the words to what they name, and the synthesis."""
    time_format = vault.snapshot.settings.time_format
    line = entry(words, calendar, time_format)
    found = suggest(line, entities, evidence(vault, entities), source=daily)
    try:
        draft = Draft(daily, data)
    except NotEditableError:
        return None
    at = draft.text.rfind(line.replace("\n", draft.line_end))
    for link in found.links if at >= 0 else ():
        moved = line.count("\n", 0, link.start) * (len(draft.line_end) - 1)
        draft.replace(at + link.start + moved, at + link.end + moved, link.text, why=f"link to {link.name}")
    if synthesis:
        told = f"- {moment(time_format, calendar.now)} {synthesis}"
        try:
            draft.append_to((SYNTHESIS,), told, why="synthesis", ensure=True)
            return draft.change(number)
        except TargetError:
            return _day(vault, entities, calendar, words, daily, data, "", number)
    return _change(draft, number)


def _about(entities: Entities, words: str, path: str) -> str:
    """The sentences that name a note, on one line; the first line of the words when none of them does."""
    told = [sentence for sentence in sentences(words) if path in named(entities, sentence)]
    return " ".join(" ".join(told or [words.strip().split("\n")[0]]).split())


def _project(
    vault: Vault,
    note: Note,
    calendar: Calendar,
    words: str,
    said: str,
    update: Update,
    finished: Collection[Task],
    number: int,
) -> Change | None:
    """A line in the log of a project, its status, its next action, and ticks for tasks that are done."""
    day = calendar.today
    try:
        draft = Draft(note.path, vault.data(note.path))
        done = [task for task in draft.note.tasks if is_open(task) and (task in finished or _told(task, words))]
        coming = {
            task: next_line(draft.text[task.start : task.end], task, day) if task.repeats else "" for task in done
        }
        path = _heading(draft.note, LOG_HEADINGS)
        if path:
            left = [f"“{task.text}” recurs, tick it in Obsidian" for task in done if coming[task] is None]
            draft.append_to(path, f"- {day.isoformat()}: {said}", why="; ".join(["log line", *left]))
        if update.status and fold(update.status) != status(draft.note):
            draft.set_property("status", update.status, why=f"status: {update.status}")
        for task, following in coming.items():
            if following is not None:
                recurs = "; the next one stands above it" if following else ""
                draft.tick(task, day, following=following, why=f"done: {task.text}{recurs}")
        _next(draft, _short(update.next), done)
    except (NoteGoneError, NotEditableError, TargetError):
        return None
    return _change(draft, number)


def _next(draft: Draft, action: str, done: Sequence[Task]) -> None:
    """Write a next action where the note keeps them: in its property, else as a task below the fitting heading."""
    note = draft.note
    if not action or any(fold(task.text) == fold(action) for task in note.tasks if task not in done):
        return
    key = next((name for name in NEXT_PROPERTIES if isinstance(note.properties.get(name), str)), None)
    if key is not None:
        draft.set_property(key, action, why="next action")
        return
    path = _heading(note, NEXT_HEADINGS)
    if path:
        draft.append_to(path, f"- [ ] {action}", why="next action")


def _heading(note: Note, names: Collection[str]) -> tuple[str, ...] | None:
    return next((path for _, path in heading_paths(note.headings) if fold(path[-1].strip()) in names), None)


def _change(draft: Draft, number: int) -> Change | None:
    try:
        return draft.change(number)
    except TargetError:
        return None


def _told(task: Task, words: str) -> bool:
    """Whether every telling word of a task stands in the words, as a past tense or plural too."""
    have = {_stem(word) for word in telling(words)}
    wanted = {_stem(word) for word in telling(task.text)}
    return len(wanted) >= _TASK_WORDS and wanted <= have


def _stem(word: str) -> str:
    """The beginning of a word: enough to see "ordered" in "order" and "plums" in "plum"."""
    return word if len(word) < 4 else word[: max(4, len(word) - 3)] if len(word) > 6 else word[:4]


def _short(text: str) -> str:
    return text if len(text) <= _LOG_CHARS else text[:_LOG_CHARS].rsplit(" ", 1)[0] + " …"
