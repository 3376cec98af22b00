"""Routing: the projects that kept words may belong to, what a model may choose of them, and what it chose."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from commands.entities import Entities
from commands.survey import FINISHED, is_open, is_template, status
from context.kinds import PROJECT
from context.names import base_of, fold
from context.note import Note, Task
from context.scan import scan
from context.snapshot import Snapshot
from context.vault import Vault
from context.words import asked

# Chunks that are looked at for projects that fit the words.
_MOST_HITS = 60
# So many projects and tasks are put before a model: more would crowd the window, and it chooses worse among many.
MOST_PROJECTS = 6
_MOST_TASKS = 4
_MOST_CHARS = 80
_MOST_STATES = 10
_STATE_CHARS = 30
# What question and answer may take of the window, in tokens; the caps above keep within it.
QUESTION_TOKENS = 1500
ANSWER_TOKENS = 500
# Words of an update that are answered by the fast tier: see `complexity`.
SIMPLE_WORDS = 40
SIMPLE_SENTENCES = 3
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_NOT_A_WORD = re.compile(r"[\W_]+")
_BLANKS = re.compile(r"\s+")
_LEADING = re.compile(r"^(?:(?:[#>*+-]+|\[.\]|\d{4}-\d\d-\d\d:?)(?: |$))+")


class ChoiceError(ValueError):
    """What a model answered is no choice among the candidates; the message tells the model why."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A project that words may belong to.

    Attributes:
        note: its note.
        sure: whether the person named it: by scope, link, tag, or its very name.
        tasks: its first open tasks.
    """

    note: Note
    sure: bool
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """What words mean for one project; "" for what they leave as it is.

    Attributes:
        log: a sentence for its log.
        status: its status from now on, as the vault writes it.
        next: its next action.
    """

    log: str = ""
    status: str = ""
    next: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen among the candidates.

    Attributes:
        updates: by path of the project, in the order of the candidates.
        finished: path of the project and the task, of each that the words tell as done.
    """

    updates: Mapping[str, Update]
    finished: frozenset[tuple[str, Task]]


@dataclass(frozen=True, slots=True)
class Routing:
    """The vault's names, the projects that words may belong to, and what a project's status may be."""

    entities: Entities
    candidates: tuple[Candidate, ...]
    states: tuple[str, ...]


def route(vault: Vault, words: str, *, project: str = "", private: bool = True) -> Routing:
    """Look for the projects that words may belong to. Searches: runs in a thread.

    Args:
        vault: the vault.
        words: what the person typed.
        project: the name of a project that the request names itself; "" for none.
        private: whether private notes may be among those that are not named.
    """
    snapshot = vault.snapshot
    path = snapshot.names.resolve(project, "") if project else None
    entities = Entities(snapshot, private=True)
    found = candidates(vault, entities, words, projects=[path] if path else [], private=private)
    return Routing(entities, found, states(snapshot, private=private))


def complexity(text: str, *, more: bool = False) -> str:
    """Why words are too much for the fast tier; "" when they are simple.

    The rule: they are complex with more than 40 words, with more than 3 sentences or lines, or when they come with a
    selected text or follow an earlier answer. Text written without blanks counts two characters as a word.

    Args:
        text: what the person typed.
        more: whether a selection or an earlier answer comes with it.
    """
    count = sum(max(1, len(word) // 2) if not word.isascii() and len(word) > 12 else 1 for word in text.split())
    parts = sum(1 for part in _SENTENCE.split(text) if part.strip())
    if more:
        return "more than the words themselves is to be read"
    if count > SIMPLE_WORDS:
        return f"{count} words are more than {SIMPLE_WORDS}"
    return f"{parts} sentences are more than {SIMPLE_SENTENCES}" if parts > SIMPLE_SENTENCES else ""


def sentences(words: str) -> list[str]:
    """The sentences and lines of a text."""
    return [part.strip() for part in _SENTENCE.split(words) if part.strip()]


def named(entities: Entities, words: str) -> list[str]:
    """The notes that words name, by a name of theirs, a link, or a tag made of one."""
    snapshot = entities.snapshot
    found = scan(words)
    linked = [snapshot.names.resolve(link.target, "") for link in found.links]
    tags = {_bare(tag) for tag in found.tags}
    tagged = [path for path, one in entities.by_path.items() if tags and any(_bare(name) in tags for name in one.names)]
    mentioned = [mention.path for mention in entities.mentions(words) if mention.path and mention.exact]
    return [path for path in (*linked, *tagged, *mentioned) if path is not None and path in snapshot.notes]


def candidates(
    vault: Vault, entities: Entities, words: str, *, projects: Iterable[str] = (), private: bool = True
) -> tuple[Candidate, ...]:
    """The projects that words may belong to: those the person named, then those whose notes fit the words best.

    Args:
        vault: the vault.
        entities: its names.
        words: what the person typed.
        projects: paths of projects that the request names itself.
        private: whether private notes may be among those that are not named.
    """
    snapshot = entities.snapshot
    sure = dict.fromkeys(path for path in (*projects, *named(entities, words)) if _open(snapshot, path))
    likely = dict.fromkeys(
        hit.path
        for hit in vault.search(asked(words), _MOST_HITS)  # what names lead to is not what the words say
        if hit.path not in sure and _open(snapshot, hit.path)
    )
    rest = [path for path in likely if private or not snapshot.notes[path].private]
    return tuple(
        Candidate(note := snapshot.notes[path], path in sure, tuple(filter(is_open, note.tasks))[:_MOST_TASKS])
        for path in (*sure, *rest[: max(0, MOST_PROJECTS - len(sure))])
    )


def _open(snapshot: Snapshot, path: str) -> bool:
    note = snapshot.notes.get(path)
    return (
        note is not None
        and snapshot.kind(note) == PROJECT
        and status(note) not in FINISHED
        and not is_template(snapshot, path)
    )


def states(snapshot: Snapshot, *, private: bool = True) -> tuple[str, ...]:
    """The words that the vault's projects have for their status, the most used first: a model may set no other.

    Args:
        snapshot: the vault.
        private: whether private notes count.
    """
    counted: dict[str, int] = {}
    for note in snapshot.notes.values():
        said = note.properties.get("status")
        if not isinstance(said, str) or not 0 < len(said.strip()) <= _STATE_CHARS or (note.private and not private):
            continue
        if snapshot.kind(note) == PROJECT:
            counted[said] = counted.get(said, 0) + 1
    return tuple(sorted(counted, key=lambda word: (-counted[word], word))[:_MOST_STATES])


def question(choices: Sequence[Candidate], words: Sequence[str]) -> str:
    """What a model is asked after its answer: to choose among the candidates, in JSON.

    Args:
        choices: the candidates.
        words: what a status may be.
    """
    lines = []
    for number, one in enumerate(choices, 1):
        lines.append(f"{number}. {_told(base_of(one.note.path))} (status: {_told(status(one.note)) or 'none'})")
        lines += [f"   {number}.{place} {_told(task.text)}" for place, task in enumerate(one.tasks, 1)]
    return "\n".join(
        (
            "Now file the person's words. These are the projects they may belong to, with their open tasks:",
            "<facts>",
            *lines,
            "</facts>",
            "Answer with one JSON object and nothing else:",
            '{"projects": [{"project": 1, "log": "", "status": "", "next": ""}], "finished": ["1.1"]}',
            "projects: only those that the words are about, by their number; an empty list is a good answer.",
            "log: what happened there, in one sentence, from the words alone, in their language.",
            f"status: only if the words tell a change, one of {', '.join(map(_told, words)) or 'none'}; else empty.",
            "next: the next action, only if the words name one; else empty.",
            "finished: the numbers of tasks that the words say are done; else an empty list.",
        )
    )


def schema(choices: Sequence[Candidate], words: Sequence[str]) -> dict[str, Any]:
    """JSON Schema of the answer: nothing can be named in it that is no candidate."""
    text = {"type": "string"}
    project = {"type": "integer", "enum": list(range(1, len(choices) + 1))}
    fields = {"project": project, "log": text, "status": {"type": "string", "enum": ["", *words]}, "next": text}
    tasks = [f"{number}.{place}" for number, one in enumerate(choices, 1) for place in range(1, len(one.tasks) + 1)]
    finished: dict[str, Any] = {"type": "string", "enum": tasks} if tasks else {"type": "string"}
    lists = {
        "projects": {
            "type": "array",
            "maxItems": len(choices),
            "items": {
                "type": "object",
                "properties": fields,
                "required": list(fields),
                "additionalProperties": False,
            },
        },
        "finished": {"type": "array", "maxItems": len(tasks), "items": finished},
    }
    return {"type": "object", "properties": lists, "required": list(lists), "additionalProperties": False}


def read_choice(answer: str, choices: Sequence[Candidate], words: Sequence[str]) -> Choice:
    """What a model chose. Whatever the node promised, it is looked at here.

    Args:
        answer: the model's words; what stands around the JSON object does not count.
        choices: the candidates.
        words: what a status may be.

    Raises:
        ChoiceError: it is no choice among them.
    """
    begin, end = answer.find("{"), answer.rfind("}")
    try:
        value = json.loads(answer[begin : end + 1]) if begin >= 0 else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ChoiceError("the answer is not one JSON object")
    rows, numbers = value.get("projects"), value.get("finished", [])
    if not isinstance(rows, list) or not isinstance(numbers, list):
        raise ChoiceError('"projects" and "finished" must be lists')
    updates: dict[str, Update] = {}
    for row in rows:
        path, update = _update(row, choices, words)
        if path in updates:
            raise ChoiceError("a project stands in the answer twice")
        updates[path] = update
    tasks = {
        f"{number}.{place}": (one.note.path, task)
        for number, one in enumerate(choices, 1)
        for place, task in enumerate(one.tasks, 1)
    }
    if not all(isinstance(one, str) and one in tasks for one in numbers):
        raise ChoiceError(f'"finished" may only hold: {", ".join(tasks) or "nothing"}')
    order = [one.note.path for one in choices]
    return Choice(
        dict(sorted(updates.items(), key=lambda pair: order.index(pair[0]))), frozenset(tasks[one] for one in numbers)
    )


def _update(row: Any, choices: Sequence[Candidate], words: Sequence[str]) -> tuple[str, Update]:
    if not isinstance(row, dict):
        raise ChoiceError('each of "projects" must be an object')
    number = row.get("project")
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= len(choices):
        raise ChoiceError(f'"project" must be a number from 1 to {len(choices)}')
    log, state, following = (row.get(name) or "" for name in ("log", "status", "next"))
    if not all(isinstance(one, str) for one in (log, state, following)):
        raise ChoiceError('"log", "status" and "next" must be text')
    if state and fold(state) not in {fold(word) for word in words}:
        raise ChoiceError(f'"status" may only be empty or one of: {", ".join(words) or "nothing"}')
    written = next((word for word in words if fold(word) == fold(state)), "")
    return choices[number - 1].note.path, Update(_plain(log), written, _plain(following))


def _line(text: str) -> str:
    """A text on one line."""
    return _BLANKS.sub(" ", text).strip()


def _plain(text: str) -> str:
    """A model's sentence as it goes into a line of a list: without marks or a date of its own before it."""
    return _LEADING.sub("", _line(text))


def _told(text: str) -> str:
    """A text of a note as it stands in the question: short, on one line, and without the marks that end it."""
    return _line(text)[:_MOST_CHARS].replace("<", "(")


def _bare(name: str) -> str:
    return _NOT_A_WORD.sub("", fold(name))
