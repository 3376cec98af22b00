"""How well contexts hold what they should: asks a vault its own questions by each way of gathering, and scores."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from commands.contexts import DEFAULT_GATHER
from commands.gather import Gathering
from commands.questions import Question
from commands.select import Selection, collect, gathering, pack
from context.assemble import BYTES4, Context, Passage
from context.calendar import Calendar
from context.query import Scope
from context.vault import Vault
from context.words import asked

# In tokens, the largest last.
BUDGETS = (1000, 2000, 4000)
# Ways of gathering, as parts of the budget; "words" stands below them all: chunks by their words alone, best first.
GATHER: Mapping[str, Mapping[str, float]] = {
    "context": DEFAULT_GATHER,
    "search": {"search": 1.0},
    "maps": {"maps": 1.0},
}
FLOOR = "words"
WAYS = (*GATHER, FLOOR)
# More chunks than fit into any budget here.
_MOST_HITS = 300
# The 95 % interval of a normal distribution reaches so many standard deviations to each side.
_DEVIATIONS = 1.96


@dataclass(frozen=True, slots=True)
class Found:
    """What a context held of what it should: the note, the passage of it that is meant, and the tokens it took."""

    note: bool
    passage: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class Row:
    """What one way found for one question, by budget in tokens, and how long the largest context took it."""

    question: Question
    way: str
    found: Mapping[int, Found]
    ms: float


@dataclass(frozen=True, slots=True)
class Share:
    """In which part of the questions something was found, with its 95 % interval, all in 0..1."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Score:
    """What one way found at one budget.

    Attributes:
        task, way, budget: of which questions, how, in how many tokens.
        questions: how many.
        note, passage: recall of the note and of the passage; no passage where questions mean a note as a whole.
        tokens: used, on average.
        ms: median time of a context of the largest budget.
    """

    task: str
    way: str
    budget: int
    questions: int
    note: Share
    passage: Share | None
    tokens: float
    ms: float


def measure(
    vault: Vault, calendar: Calendar, asking: Sequence[Question], *, progress: Callable[[int], None] = lambda _: None
) -> Iterator[Row]:
    """Ask every question by every way.

    Args:
        vault: the notes; private ones too, since nothing leaves the house.
        calendar: the person's today.
        asking: the questions.
        progress: told how many were asked.
    """
    for number, question in enumerate(asking):
        yield from _rows(vault, calendar, question)
        progress(number + 1)


def _rows(vault: Vault, calendar: Calendar, question: Question) -> Iterator[Row]:
    wanted = Selection(question.text, {}, BUDGETS[-1], BYTES4, Scope(), calendar)
    began = time.perf_counter()
    ready = gathering(vault, wanted)
    if question.hidden:
        ready = replace(ready, notes={path: note for path, note in ready.notes.items() if path != question.hidden})
    _ = ready.hits  # all ways but the floor need them: they are searched for once, and their time counts for each
    searched = time.perf_counter() - began
    for way in WAYS:
        ready.texts.clear()
        began = time.perf_counter()
        own = replace(wanted, gather=GATHER.get(way, {FLOOR: 1.0}))
        contexts = {own.budget: _context(ready, own, way)}
        seconds = time.perf_counter() - began + (searched if way != FLOOR else 0.0)
        contexts |= {budget: _context(ready, replace(own, budget=budget), way) for budget in BUDGETS[:-1]}
        found = {budget: judge(question, contexts[budget].passages) for budget in BUDGETS}
        yield Row(question, way, found, seconds * 1000)


def _context(ready: Gathering, wanted: Selection, way: str) -> Context:
    own = replace(ready, budget=wanted.budget)
    vars(own)["hits"] = ready.hits  # of the largest budget: a smaller one takes the best of them
    return pack(_by_words(own) if way == FLOOR else collect(own, wanted), own, wanted)


def _by_words(ready: Gathering) -> Iterator[Passage]:
    """The chunks that fit best by their words alone."""
    for hit in ready.vault.search(asked(ready.text), _MOST_HITS):
        read = ready.read(hit.path)
        if read is not None and hit.end > hit.start:
            piece = read[1][hit.start : hit.end]
            digest = read[0].digest
            yield Passage(hit.path, hit.heading, piece, hit.start, hit.end, digest, FLOOR, hit.score, "fits the words")


def judge(question: Question, passages: Iterable[Passage]) -> Found:
    """What passages hold of what a question means."""
    every = list(passages)
    own = [one for one in every if one.path == question.gold]
    passage = any(question.quote in one.text for one in own)
    return Found(bool(own), passage, sum(one.tokens for one in every))


def scores(rows: Iterable[Row]) -> list[Score]:
    """The figures of rows, by task, way and budget."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row.question.task, row.way), []).append(row)
    return [_score(task, way, budget, some) for (task, way), some in grouped.items() for budget in BUDGETS]


def _score(task: str, way: str, budget: int, rows: Sequence[Row]) -> Score:
    found = [row.found[budget] for row in rows]
    quoted = all(row.question.quote for row in rows)
    return Score(
        task,
        way,
        budget,
        len(rows),
        share(sum(one.note for one in found), len(rows)),
        share(sum(one.passage for one in found), len(rows)) if quoted else None,
        fmean(one.tokens for one in found),
        median(row.ms for row in rows),
    )


def share(part: int, whole: int) -> Share:
    """So many of so many, at least one, with Wilson's interval: true to few questions and to shares near 0 and 1."""
    mean, square = part / whole, _DEVIATIONS**2
    middle = (mean + square / (2 * whole)) / (1 + square / whole)
    reach = _DEVIATIONS * math.sqrt(mean * (1 - mean) / whole + square / (4 * whole**2)) / (1 + square / whole)
    return Share(mean, min(mean, max(0.0, middle - reach)), max(mean, min(1.0, middle + reach)))
