"""The ways of gathering passages: recent notes, projects, tasks, changes, systems, maps, search, and the open note."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from commands.survey import Survey, heading_at, is_template, survey, unwell
from context.assemble import Passage
from context.calendar import Calendar
from context.dates import spans
from context.fit import Fit
from context.index import Hit
from context.maps import Member, Step, walk
from context.members import members_of
from context.named import linked, named
from context.names import base_of, fold
from context.note import Note, unpacked_properties
from context.passage import Piece, bytes4, pieces
from context.search import asks_for_notes, search
from context.snapshot import Snapshot
from context.vault import NoteGoneError, Vault
from context.words import asked as asking
from context.words import stem, words

if TYPE_CHECKING:
    from context.embed import Likeness, Vectors

# Tokens (bytes/4) of one gathered passage: a budget of 4,000 holds a dozen, and each can be read alone.
PASSAGE_TOKENS = 400
# So few notes that are named outright are given whole; of more, so many chunks.
_FEW_NAMED, _MOST_NAMED = 3, 8
# A found chunk is seldom smaller, in tokens: so many fill a budget.
_HIT_TOKENS = 40
# A found note is given whole when it is this small, or so small a part of the budget: what stands around a chunk helps.
_WHOLE_TOKENS, _WHOLE_SHARE = 400, 5
# What one lane reads at most: more could not be sent, and each costs a file.
_MOST_NOTES = 40
_MOST_TASKS = 60
_WEEK = timedelta(7)
_MOST_HITS = 80
_MOST_MAPS = 4
# The walk over maps: so many notes and so far outward; a map in a map in a map is three steps away.
_MOST_STEPS = 120
_DEPTH = 3
# A place in a map that says at least this share of what was asked fits; below, the words meet by chance.
_FITS = 0.2
# So many that fit come before the sections of the map.
_MOST_FITTING = 4
# A piece of a map of which links are at least this share is a list of links.
_LINKS_SHARE = 0.4
# How a note begins, in tokens (bytes/4): what stands for a section of a map. Thirty take less than 2,000 with names.
_LEAD_TOKENS = 40

# The order in which lanes are sent: what rarely changes first, so that the KV cache keeps its prefix.
ORDER = ("maps", "systems", "search", "note", "projects", "changed", "tasks", "recent")
# Those that give what the person is at work on.
VOLATILE = ("note", "changed", "recent")

_BLANK = re.compile(r"\s*")
_BARE = re.compile(r"(?:\s*#{1,6}(?:[ \t][^\n]*|(?=\n|\Z)))*\s*")

# Headings of a project that say where it stands, before those that say what it is.
_STANDING = ("next", "action", "status", "log", "block", "progress", "task")


@dataclass(frozen=True)
class Gathering:
    """What a request gathers from.

    Attributes:
        vault, whole: the notes as they are, and as they were when the request began.
        snapshot: what of these may be known; without private notes when the answer leaves the house.
        notes: those in scope, in path order; private ones only when the answer stays in the house.
        calendar: the person's today.
        text: what the person typed.
        recent_days: calendar days that count as recent.
        since: when the command last ran; None when it never did.
        open_note: the note the person has open, if any.
        private: whether private notes may be used, because the answer stays in the house.
        withheld: how many notes in scope may not.
        budget: tokens that may be filled.
        texts: what was read, by path.
        hourly: maps that were walked and whose queries ask for the time of day.
        vectors: of the chunks of all notes; None where embeddings are off, or the question may not be embedded.
    """

    vault: Vault
    whole: Snapshot
    snapshot: Snapshot
    notes: Mapping[str, Note]
    calendar: Calendar
    text: str = ""
    recent_days: int = 3
    since: float | None = None
    open_note: str = ""
    private: bool = True
    withheld: int = 0
    budget: int = 4000
    vectors: "Vectors | None" = None
    texts: dict[str, tuple[Note, str] | None] = field(default_factory=dict)
    hourly: set[str] = field(default_factory=set)

    @cached_property
    def survey(self) -> Survey:
        """What the notes in scope say of now."""
        return survey(self.snapshot, self.notes, self.calendar, recent_days=self.recent_days, since=self.since)

    @cached_property
    def hits(self) -> list[Hit]:
        """Chunks in scope that answer the person's words, best first."""
        most = max(_MOST_HITS, self.budget // _HIT_TOKENS)
        near = "" if self.open_note in self.snapshot.maps else self.open_note  # a map is walked instead
        found = search(
            self.vault,
            self.text,
            limit=most,
            snapshot=self.snapshot,
            inside=self.notes,
            open_note=near,
            like=self.likeness,
        )
        return [hit for hit in found if not is_template(self.snapshot, hit.path)]

    @cached_property
    def whole_tokens(self) -> int:
        """A found note of at most so many tokens is given whole; none when notes are asked for, not what they say."""
        return 0 if asks_for_notes(self.text) else min(_WHOLE_TOKENS, self.budget // _WHOLE_SHARE)

    @property
    def holds_private(self) -> bool:
        """Whether a note in scope is private, or was when it was read: then so is what is made of them all."""
        return self._scope_is_private or any(read is not None and read[0].private for read in self.texts.values())

    @cached_property
    def likeness(self) -> "Likeness | None":
        """How near chunks in scope are to the person's words in meaning; None without vectors for them."""
        return self.vectors.like(self.text, self.notes) if self.vectors and self.text.strip() else None

    @property
    def is_missing_likeness(self) -> bool:
        """Whether the vector of the person's words was wanted, and did not come in time."""
        return self.vectors is not None and self.__dict__.get("likeness", self) is None and bool(self.text.strip())

    @cached_property
    def _scope_is_private(self) -> bool:
        return any(path in self.notes for path in self.snapshot.private)

    @property
    def settled(self) -> bool:
        """Whether what was gathered follows from the snapshot and the day, so that it may be given again.

        Not when a note that was read, or the index that was searched, was newer, nor when a query asked for the hour or
        something that was wanted is missing.
        """
        return (
            not self.hourly
            and not self.is_missing_likeness
            and self.vault.rests_at(self.whole)
            and all(read is not None and read[0].digest == self.notes[path].digest for path, read in self.texts.items())
        )

    def read(self, path: str) -> tuple[Note, str] | None:
        """A note in scope and its text as they stand now; None when it went away meanwhile, or became private."""
        if path not in self.notes:
            return None
        if path not in self.texts:
            try:
                read = self.vault.text(path)
                self.texts[path] = read if self.private or not read[0].private else None
            except NoteGoneError:
                self.texts[path] = None
        return self.texts[path]

    def known_text(self, path: str) -> str:
        """The text of a note when it is still the one of the snapshot, whose offsets it then has; else ""."""
        read = self.read(path)
        return read[1] if read is not None and read[0].digest == self.notes[path].digest else ""

    def passage_text(self, passage: Passage) -> str:
        """The text of the note that a passage is of, as its offsets mean it; "" when it changed meanwhile."""
        read = self.texts.get(passage.path)
        return read[1] if read is not None and read[0].digest == passage.digest else ""

    def pieces(
        self, path: str, *, properties: bool = False, limit: int = PASSAGE_TOKENS
    ) -> Iterator[tuple[Note, str, Piece]]:
        """A note cut into pieces, as far as they are asked for; none when it went away meanwhile."""
        read = self.read(path)
        if read is not None:
            yield from ((*read, piece) for piece in pieces(*read, limit=limit, properties=properties))

    def beginning(self, path: str, *, properties: bool = False) -> Iterator[tuple[Note, str, Piece]]:
        """The first piece of a note that says more than a heading or properties; its very first where none does."""
        first = None
        for part in self.pieces(path, properties=properties):
            first = first or part
            if not _is_bare(*part):
                yield part
                return
        if first is not None:
            yield first


def gather(wanted: Iterable[str], gathering: Gathering) -> list[Passage]:
    """Run ways of gathering by name, in order.

    Raises:
        KeyError: a name that is not in `WAYS`; callers check names before.
    """
    found: list[Passage] = []
    for way in wanted:
        found += WAYS[way](gathering)
    return found


def _passage(note: Note, text: str, piece: Piece, lane: str, score: float, why: str, via: str = "") -> Passage:
    return Passage(
        path=note.path,
        heading=" > ".join(piece.heading),
        text=text[piece.start : piece.end],
        start=piece.start,
        end=piece.end,
        digest=note.digest,
        lane=lane,
        score=score,
        why=why,
        via=via,
        partial=piece.partial,
        private=note.private,
    )


def _recent(g: Gathering) -> Iterator[Passage]:
    stale = " (the latest there is)" if g.survey.late else ""
    for place, (note, day) in enumerate(g.survey.recent):
        for index, (fresh, text, piece) in enumerate(g.pieces(note.path, properties=True)):
            yield _passage(
                fresh, text, piece, "recent", 100 - place - index / 100, f"daily note of {day.isoformat()}{stale}"
            )


def _projects(g: Gathering) -> Iterator[Passage]:
    for place, project in enumerate(g.survey.projects[:_MOST_NOTES]):
        due = f", due {project.due.isoformat()}" if project.due else ""
        for index, (note, text, piece) in enumerate(g.pieces(project.note.path, properties=True)):
            standing = any(word in fold(" ".join(piece.heading)) for word in _STANDING)
            # Every project's head and standing come before any project's detail.
            rank = 2 if index == 0 else 1 if standing else 0
            yield _passage(
                note, text, piece, "projects", rank * 1000 - place - index / 100, f"{project.status} project{due}"
            )


def _tasks(g: Gathering) -> Iterator[Passage]:
    """Open tasks by day, those of the days that the person names before the others."""
    named = [(span.first, span.last) for span in spans(g.text, g.calendar.today)]
    # "Friday" alone is the one that was; of tasks, the one that comes is meant as well.
    gone = (day for day, last in named if day == last and timedelta(0) < g.calendar.today - day < _WEEK)
    named += [(day + _WEEK, day + _WEEK) for day in tuple(gone)]
    ranked = sorted(g.survey.tasks, key=lambda due: not any(first <= due.day <= last for first, last in named))
    for place, due in enumerate(ranked[:_MOST_TASKS]):
        read = g.read(due.note.path)
        if read is None or read[0].digest != due.note.digest:
            continue  # its offsets are of an older text; the next run sees the new one
        note, text = read
        heading = tuple(part for part in heading_at(note, due.task.start).split(" > ") if part)
        why = f"overdue since {due.day.isoformat()}" if due.overdue else f"due {due.day.isoformat()}"
        yield _passage(note, text, Piece(heading, due.task.start, due.task.end), "tasks", 100 - place, why)


def _changed(g: Gathering) -> Iterator[Passage]:
    for place, (note, why) in enumerate(g.survey.changed[:_MOST_NOTES]):
        for index, (fresh, text, piece) in enumerate(islice(g.pieces(note.path, properties=True), 2)):
            yield _passage(fresh, text, piece, "changed", 100 - place - index * 50, why)


def _systems(g: Gathering) -> Iterator[Passage]:
    """Systems that are not well first, then those that recent notes speak of."""
    spoken = {target for note, _ in g.survey.recent for target in g.snapshot.graph.out.get(note.path, ())}
    for place, system in enumerate(g.survey.systems[:_MOST_NOTES]):
        ill = unwell(system)
        base = 300 if ill else 200 if system.path in spoken else 100
        why = (
            "system that is not running well"
            if ill
            else "system in recent notes"
            if system.path in spoken
            else "system"
        )
        for index, (note, text, piece) in enumerate(islice(g.pieces(system.path, properties=True), 3 if ill else 1)):
            yield _passage(note, text, piece, "systems", base - place - index * 50, why)


def _search(g: Gathering) -> Iterator[Passage]:
    yield from _named(g)
    asked = frozenset(map(stem, words(g.text)))
    if not g.hits and len(g.notes) < len(g.snapshot.notes):
        yield from _scope(g)
    for hit in g.hits:
        for note, text, piece in _found(g, hit, asked):
            yield _passage(note, text, piece, "search", hit.score, hit.why, hit.via)


def _named(g: Gathering) -> Iterator[Passage]:
    """What the person names outright: a few notes whole; of many the chunks that fit best, then how others begin."""
    for turn, (paths, why) in enumerate(named(g.snapshot, g.notes, g.text, g.calendar.today)):
        if len(paths) <= _FEW_NAMED:
            for place, path in enumerate(paths):
                for index, (note, text, piece) in enumerate(g.pieces(path, properties=True)):
                    yield _passage(note, text, piece, "search", 10_000 - turn * 100 - place - index / 100, why)
            continue
        hits = g.vault.search(asking(g.text), _MOST_NAMED, paths)
        for place, hit in enumerate(hits):
            for note, text, piece in _found(g, hit, frozenset()):
                yield _passage(note, text, piece, "search", 2.0 - place / 100, why)
        known = {hit.path for hit in hits}
        rest = islice((path for path in paths if path not in known), _MOST_NAMED - len(hits))
        for place, path in enumerate(rest, len(hits)):
            for note, text, piece in islice(g.pieces(path, properties=True), 1):
                yield _passage(note, text, piece, "search", 2.0 - place / 100, why)


def _scope(g: Gathering) -> Iterator[Passage]:
    """How the notes in a scope begin, when no word finds anything in it: the scope itself says what is meant."""
    latest = sorted(g.notes.values(), key=lambda note: (-note.mtime_ns, note.path))
    for place, note in enumerate(latest[:_MOST_NOTES]):
        for index, (fresh, text, piece) in enumerate(g.pieces(note.path, properties=True)):
            yield _passage(fresh, text, piece, "search", -place - index / 100, "in the scope")


def _found(g: Gathering, hit: Hit, asked: frozenset[str]) -> Iterator[tuple[Note, str, Piece]]:
    """The chunk that was found, the whole note when it is small, with the properties when they say what was asked."""
    read = g.read(hit.path)
    if read is None:
        return
    note, text = read
    if note.digest != g.snapshot.notes[hit.path].digest:  # it changed since: what fits now is looked for in it
        yield from (part for part in g.pieces(hit.path) if not asked.isdisjoint(_stems(text, part[2])))
        return
    heading = tuple(part for part in hit.heading.split(" > ") if part)
    # A token has at most four characters here: a long text need not be counted.
    whole = len(text) - note.body <= 4 * g.whole_tokens and bytes4(text[note.body :]) <= g.whole_tokens
    if not note.is_text:
        return  # a canvas is found by its maps, and says nothing to quote
    if hit.start >= hit.end:  # a note without text is found by its name and properties: those are what it can show
        yield from g.pieces(hit.path, properties=True)
    elif whole:
        said = not asked.isdisjoint(_said_in_properties(note.front))
        yield from ((note, text, piece) for piece in pieces(note, text, properties=said))
    elif _BLANK.fullmatch(text, note.body, hit.start) and not asked.isdisjoint(_said_in_properties(note.front)):
        yield note, text, Piece(heading, 0, hit.end)
    else:
        yield note, text, Piece(heading, hit.start, hit.end)


def _is_bare(note: Note, text: str, piece: Piece) -> bool:
    """Whether a piece of a note says no more than a heading or the properties."""
    return _BARE.fullmatch(text, max(piece.start, note.body), max(piece.end, note.body)) is not None


def _stems(text: str, piece: Piece) -> frozenset[str]:
    return frozenset(map(stem, words(text[piece.start : piece.end])))


@lru_cache(maxsize=1 << 13)
def _said_in_properties(front: bytes) -> frozenset[str]:
    """The stems of the words in the properties of a note, their names among them, given as the note has them."""
    properties = unpacked_properties(front)
    said = " ".join(text for name, value in properties.items() for text in (name, *_texts(value)))
    return frozenset(map(stem, words(said)))


def _texts(value: object) -> Iterator[str]:
    """What a property says, as texts."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _maps(g: Gathering) -> Iterator[Passage]:
    """What fits the words around the maps, and the beginning of one note of each section of the first map.

    The few that fit best come before the sections and the others behind them: so a small budget holds what was asked
    for, and a larger one also what else there is.
    """
    starts = fitting_maps(g)
    gathered = _gathered(g)
    by_path: dict[str, Hit] = {}
    for hit in g.hits:
        if not hit.via:  # what names lead to fits by other words
            by_path.setdefault(hit.path, hit)
    best = g.hits[0].score if g.hits else 1.0
    fit = Fit(g.text, g.snapshot, g.known_text, gathered, {path: hit.score / best for path, hit in by_path.items()})
    steps = walk(
        starts,
        g.notes,
        g.snapshot.graph,
        is_map=g.snapshot.maps,
        gathered=gathered,
        fit=fit,
        limit=_MOST_STEPS,
        depth=_DEPTH,
    )
    asked = bool(words(g.text))
    fitting = 0
    for step in steps:
        if not g.snapshot.notes[step.path].is_text:
            continue
        fits = step.fit >= _FITS or step.path in by_path if asked else fitting < _MOST_NOTES
        fitting += fits
        ahead = fits and fitting <= (_MOST_FITTING if asked else 1)
        if fits:
            yield from _member(g, step, by_path.get(step.path), 2.0 if ahead else 0.0)
        if step.first and not ahead:
            for note, text, piece in _lead(g, step.path):
                yield _passage(note, text, piece, "maps", 1.0 + step.weight, _why(g, step), step.via)


def _gathered(g: Gathering) -> Callable[[str], Iterable[Member]]:
    members = members_of(g.snapshot, g.calendar)

    def gathered(path: str) -> Iterable[Member]:
        found = members.of(path)
        if found.at is not None:
            g.hourly.add(path)
        return found.members

    return gathered


def _why(g: Gathering, step: Step) -> str:
    return "map of content" if step.path in g.snapshot.maps else "gathered by a map"


def _member(g: Gathering, step: Step, hit: Hit | None, ahead: float) -> Iterator[Passage]:
    """What a note on the walk gives: the chunk that fits the words, else how it begins."""
    score = ahead + step.weight
    read = g.read(step.path)
    if hit and hit.end > hit.start and read is not None and read[0].digest == g.snapshot.notes[step.path].digest:
        heading = tuple(part for part in hit.heading.split(" > ") if part)
        why = f"{_why(g, step)}; fits the words"
        yield _passage(*read, Piece(heading, hit.start, hit.end), "maps", score, why, step.via)
        return
    for note, text, piece in g.beginning(step.path, properties=step.path not in g.snapshot.maps):
        yield _passage(note, text, piece, "maps", score, _why(g, step), step.via)


def _lead(g: Gathering, path: str) -> Iterator[tuple[Note, str, Piece]]:
    """The beginning of a note in a few lines, more than a heading; nothing when it has no such lines."""
    read = g.read(path)
    if read is None:
        return
    for piece in pieces(*read, limit=_LEAD_TOKENS):
        lines = read[1][piece.start : piece.end].splitlines()
        if any(line.strip() and not line.startswith("#") for line in lines):
            yield (*read, piece)
            return


def fitting_maps(g: Gathering) -> list[tuple[str, float]]:
    """The maps that fit a request, with weights in 0..1: those its words name and those that gather what search found.

    Without words: the maps that gather most, the person's home note among them.
    """
    maps = _open_maps(g.snapshot)
    out = g.snapshot.graph.out
    scores: dict[str, float] = {}
    terms = set(words(g.text))
    if not terms:
        for path in filter(g.notes.__contains__, maps):
            home = 1000 if fold(base_of(path)) == "home" else 0
            scores[path] = float(home + len(out.get(path, ())))
    else:
        for path, title in maps.items():
            if not title.isdisjoint(terms) and path in g.notes:
                scores[path] = 1.0 + len(title & terms)
        best = g.hits[0].score if g.hits else 1.0
        for hit in g.hits[:20]:
            for source in g.snapshot.graph.back.get(hit.path, ()):
                if source in maps and source in g.notes:
                    # A map of everything says little: its voice is spread over all it gathers.
                    voice = hit.score / best / max(1, len(out.get(source, ()))) ** 0.5
                    scores[source] = scores.get(source, 0.0) + voice
    chosen = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_MAPS]
    top = chosen[0][1] if chosen else 1.0
    weighed = {path: score / top if top else 1.0 for path, score in chosen}
    if g.open_note in maps and g.open_note in g.notes:  # where the person stands, before all others
        weighed = {g.open_note: 1.0, **weighed} | {g.open_note: 1.0}
    return list(weighed.items())


def _open_maps(snapshot: Snapshot) -> Mapping[str, frozenset[str]]:
    """The maps that are no templates, each with the words of its title."""
    if "open maps" not in snapshot.kept:
        maps = (path for path in snapshot.maps if not is_template(snapshot, path))
        snapshot.kept["open maps"] = {path: _title(path) for path in maps}
    found: Mapping[str, frozenset[str]] = snapshot.kept["open maps"]
    return found


@lru_cache(maxsize=1 << 12)
def _title(path: str) -> frozenset[str]:
    return frozenset(words(base_of(path)))


def meant_maps(g: Gathering) -> list[str]:
    """The maps that a request means: it names them, or the person stands in one."""
    spoken = (path for paths in g.snapshot.lexicon.names_in(g.text).values() for path in paths)
    wanted = dict.fromkeys((*linked(g.snapshot, g.text), *spoken, *([g.open_note] if g.open_note else ())))
    return [path for path in wanted if path in g.snapshot.maps and path in g.notes]


def _note(g: Gathering) -> Iterator[Passage]:
    is_map = g.open_note in g.snapshot.maps
    for index, (note, text, piece) in enumerate(g.pieces(g.open_note, properties=True) if g.open_note else ()):
        # Lists of links say less than the notes behind them, and the walk over maps begins there.
        if not (is_map and _mostly_links(note, piece)):
            yield _passage(note, text, piece, "note", 100 - index, "the open note")


def _mostly_links(note: Note, piece: Piece) -> bool:
    linked = sum(one.end - one.start for one in note.links if piece.start <= one.start and one.end <= piece.end)
    return linked >= (piece.end - piece.start) * _LINKS_SHARE


WAYS: Mapping[str, Callable[[Gathering], Iterable[Passage]]] = {
    "note": _note,
    "recent": _recent,
    "projects": _projects,
    "tasks": _tasks,
    "changed": _changed,
    "systems": _systems,
    "maps": _maps,
    "search": _search,
}
