"""Works out what kept words mean for other notes: links to what they name, a line in each project's log, tasks done."""

import re
from collections.abc import Iterable, Sequence

from commands.capture import entry
from commands.edits import Change, Draft, NotEditableError, TargetError
from commands.entities import Entities, evidence, suggest
from commands.survey import FINISHED, cite, is_open, status
from context.calendar import Calendar
from context.maps import heading_paths
from context.names import fold
from context.note import Note, Task
from context.scan import scan
from context.search import words as telling
from context.vault import NoteGoneError, Vault, kind

# Headings under which projects keep what happened.
LOG_HEADINGS = frozenset({"log", "progress", "history", "journal", "updates", "project log", "work log"})
# A line of a log is read at a glance; the whole of the words stands in the note of the day.
_LOG_CHARS = 240
# A task of one telling word ("Clean") is named by chance.
_TASK_WORDS = 2
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_NOT_A_WORD = re.compile(r"[\W_]+")


def filing(
    vault: Vault, calendar: Calendar, words: str, daily: str, *, heading: str, projects: Iterable[str] = (), kept: bool
) -> list[Change]:
    """The changes that file words which were kept in the note of the day. Nothing is guessed: who reads them decides.

    Args:
        vault: the vault, with the words in it if they are kept already.
        calendar: the person's now.
        words: what they typed.
        daily: the note of the day.
        heading: the heading in it under which the words stand.
        projects: paths of projects that the request names itself.
        kept: whether the words stand in the note already; only then they are linked there.
    """
    snapshot = vault.snapshot
    entities = Entities(snapshot, private=True)
    named = [snapshot.notes[path] for path in dict.fromkeys((*projects, *_named(entities, words)))]
    touched = [note for note in named if kind(note) == "project" and status(note) not in FINISHED]
    today = snapshot.notes.get(daily)
    source = cite(today, heading, snapshot) if today is not None else ""
    changes: list[Change] = []
    if kept:
        _add(changes, _linked(vault, entities, calendar, words, daily))
    for note in touched:
        said = _about(entities, words, note.path)
        _add(changes, _logged(vault, note, calendar, words, said, source, number=len(changes) + 1))
    return changes


def _add(changes: list[Change], change: Change | None) -> None:
    if change is not None and change.hunks:
        changes.append(change)


def _named(entities: Entities, words: str) -> list[str]:
    """The notes that words name, by a name of theirs, a link, or a tag made of one."""
    snapshot = entities.snapshot
    found = scan(words)
    linked = [snapshot.names.resolve(link.target, "") for link in found.links]
    tags = {_bare(tag) for tag in found.tags}
    tagged = [path for path, one in entities.by_path.items() if tags and any(_bare(name) in tags for name in one.names)]
    mentioned = [mention.path for mention in entities.mentions(words) if mention.path and mention.exact]
    return [path for path in (*linked, *tagged, *mentioned) if path is not None and path in snapshot.notes]


def _linked(vault: Vault, entities: Entities, calendar: Calendar, words: str, daily: str) -> Change | None:
    """Links from the words to what they name, where they stand in the note of the day."""
    line = entry(words, calendar, vault.snapshot.settings.time_format)
    found = suggest(line, entities, evidence(vault, entities), source=daily)
    try:
        draft = Draft(daily, vault.data(daily))
    except (NoteGoneError, NotEditableError):
        return None
    at = draft.text.rfind(line.replace("\n", draft.line_end))
    if not found.links or at < 0:
        return None
    for link in found.links:
        moved = line.count("\n", 0, link.start) * (len(draft.line_end) - 1)
        draft.replace(at + link.start + moved, at + link.end + moved, link.text, why=f"link to {link.name}")
    return _change(draft, 1)


def _about(entities: Entities, words: str, path: str) -> str:
    """The sentences that name a note, on one line; the first line of the words when none of them does."""
    sentences = [part.strip() for part in _SENTENCE.split(words) if part.strip()]
    told = [sentence for sentence in sentences if path in _named(entities, sentence)]
    return _short(" ".join(" ".join(told or [words.strip().split("\n")[0]]).split()))


def _logged(
    vault: Vault, note: Note, calendar: Calendar, words: str, said: str, source: str, *, number: int
) -> Change | None:
    """A line in the log of a project, and ticks for its open tasks that the words tell as done."""
    day = calendar.today
    try:
        draft = Draft(note.path, vault.data(note.path))
    except (NoteGoneError, NotEditableError):
        return None
    path = next((path for _, path in heading_paths(draft.note) if fold(path[-1].strip()) in LOG_HEADINGS), None)
    if path is not None:
        try:
            draft.append_to(path, f"- {day.isoformat()}: {said}" + (f" ({source})" if source else ""), why="log line")
        except TargetError:
            return None
    for task in _done(draft.note.tasks, words):
        draft.tick(task, day, why=f"done: {task.text}")
    return _change(draft, number)


def _change(draft: Draft, number: int) -> Change | None:
    try:
        return draft.change(number)
    except TargetError:
        return None


def _done(tasks: Sequence[Task], words: str) -> list[Task]:
    """Open tasks of which every telling word stands in the words, as a past tense or plural too."""
    have = {_stem(word) for word in telling(words)}
    found = []
    for task in tasks:
        wanted = {_stem(word) for word in telling(task.text)}
        if is_open(task) and len(wanted) >= _TASK_WORDS and wanted <= have:
            found.append(task)
    return found


def _stem(word: str) -> str:
    """The beginning of a word: enough to see "ordered" in "order" and "plums" in "plum"."""
    return word if len(word) < 4 else word[: max(4, len(word) - 3)] if len(word) > 6 else word[:4]


def _bare(name: str) -> str:
    return _NOT_A_WORD.sub("", fold(name))


def _short(text: str) -> str:
    return text if len(text) <= _LOG_CHARS else text[:_LOG_CHARS].rsplit(" ", 1)[0] + " …"
