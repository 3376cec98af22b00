"""What a context holds of the notes that questions about the example vault need, against plain full-text search.

Run: python benchmarks/questions.py [--rows | --json]. The questions and what each needs: tests/cases/questions.jsonl.
"ours" is the answer of `POST /v1/context`, with the open note, the scope and the command's gathering that a question
names; "FTS5" is SQLite's own full-text search with the porter stemmer over chunks of at most 400 tokens, best first, as
far as they fit. Each fills the same budget, with tokens of ceil(bytes / 4) of path, heading and text. `--rows` gives a
line for each question, budget and way, with what was missed; `--json` the figures. Without a model, in one process.
"""

import asyncio
import json
import re
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from commands.contexts import build_context  # noqa: E402
from commands.house import House  # noqa: E402
from commands.request import Request  # noqa: E402
from context.passage import bytes4  # noqa: E402
from context.query import scope, select  # noqa: E402
from context.vault import Vault  # noqa: E402
from tests.houses import house  # noqa: E402
from tests.vaults import open_vault  # noqa: E402

VAULT = ROOT / "examples" / "vault"
CASES = ROOT / "tests" / "cases" / "questions.jsonl"
BUDGETS = (1000, 2000, 4000)
# Notes among which what a question needs should be: what a person looks at first.
_FIRST = 5
# The unit of the plain search, in tokens.
_CHUNK = 400
_HEADING = re.compile(r"#{1,6}[ \t]+(.*)")
_FENCE = re.compile(r"[ \t]*(```|~~~)")
_WORD = re.compile(r"\w+")
# Words that carry no subject: with them the plain search finds less, and what we compare with should be good.
_STOP = frozenset(
    """
    a about all an and any are as at be been but by can could did do does for from had has have he her his how i if in
    into is it its me my no not of on or our she should so some than that the their them then there these they this
    those to up us was we were what when where which who whom whose why will with would you your
    """.split()
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer stands.

    Attributes:
        path: the note.
        heading: the nearest heading above the quote, "" for none.
        quote: the words on one line of the note, "" when the note as a whole is the answer.
    """

    path: str
    heading: str = ""
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what is needed to answer it.

    Attributes:
        id, kind: its name, and what it is an example of.
        text: what the person says.
        now: the day on which they say it.
        gold: the pieces of evidence; each is a set of places of which any one will do.
        note: the path of the note they have open, "" for none.
        scope: which notes may be used, as in a request.
        gather: the command whose ways of gathering are used; "" for those of a context asked for without a command.
    """

    id: str
    kind: str
    text: str
    now: str
    gold: tuple[tuple[Place, ...], ...]
    note: str = ""
    scope: dict[str, Any] = field(default_factory=dict)
    gather: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage of a context."""

    path: str
    heading: str
    text: str

    @property
    def tokens(self) -> int:
        """What it takes of the budget."""
        return bytes4(f"{self.path}\n{self.heading}\n{self.text}")


@dataclass(frozen=True, slots=True)
class Row:
    """What one way found for one question at one budget.

    Attributes:
        way, budget, id, kind: which way, tokens and question.
        evidence: share of the evidence that is there.
        first: share of the needed notes among the first five; of more than five, five count as all.
        tokens: used.
        missed: the places of evidence that is not there.
    """

    way: str
    budget: int
    id: str
    kind: str
    evidence: float
    first: float
    tokens: int
    missed: tuple[Place, ...]

    @property
    def over(self) -> bool:
        """Whether it takes more than its budget."""
        return self.tokens > self.budget


@dataclass(frozen=True, slots=True)
class Score:
    """What one way found at one budget; shares are means over the questions.

    Attributes:
        way, budget, kind: which questions; kind "" for all.
        questions: how many.
        evidence: share of the evidence that is there.
        whole: share of the questions all of whose evidence is there.
        first: share of the needed notes among the first five.
        over: contexts that took more than their budget.
    """

    way: str
    budget: int
    kind: str
    questions: int
    evidence: float
    whole: float
    first: float
    over: int


def load(file: Path = CASES) -> list[Question]:
    """The questions of a file, a JSON object a line."""
    return [_question(json.loads(line)) for line in file.read_text("utf-8").splitlines()]


def _question(told: dict[str, Any]) -> Question:
    gold = tuple(
        tuple(
            Place(**{name: value for name, value in one.items() if name != "or"})
            for one in (first, *first.get("or", ()))
        )
        for first in told["gold"]
    )
    return Question(**(told | {"gold": gold}))


class Plain:
    """SQLite's full-text search with the porter stemmer over chunks of the notes' files, properties included."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._chunks = [one for path in vault.snapshot.ordered for one in _chunks(path, vault.text(path)[1])]
        self._base = sqlite3.connect(":memory:")
        self._base.execute("CREATE VIRTUAL TABLE words USING fts5(title, heading, body, tokenize='porter unicode61')")
        rows = [(one.path.rpartition("/")[2].removesuffix(".md"), one.heading, one.text) for one in self._chunks]
        self._base.executemany("INSERT INTO words VALUES (?, ?, ?)", rows)

    def __call__(self, question: Question, budget: int) -> list[Found]:
        """The chunks that fit a question, best first, out of its scope and as far as they fit the budget."""
        inside = select(self._vault.snapshot, scope(question.scope))
        words = dict.fromkeys(_WORD.findall(question.text.lower()))
        wanted = " OR ".join(f'"{word}"' for word in [one for one in words if one not in _STOP] or words)
        ranking = self._base.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words)", (wanted,))
        found: list[Found] = []
        for (row,) in ranking:
            chunk = self._chunks[row - 1]
            if chunk.path in inside and chunk.tokens <= budget:
                found.append(chunk)
                budget -= chunk.tokens
        return found


def _chunks(path: str, text: str) -> Iterator[Found]:
    """A file cut at its headings, and at lines where that alone is too long."""
    heading, lines, fenced = "", "", False
    for line in text.splitlines(keepends=True):
        fenced ^= bool(_FENCE.match(line))
        found = None if fenced else _HEADING.match(line)
        if lines.strip() and (found or bytes4(lines + line) > _CHUNK):
            yield Found(path, heading, lines)
            lines = ""
        heading = found[1].strip() if found else heading
        lines += line
    if lines.strip():
        yield Found(path, heading, lines)


class Ours:
    """The answer of `POST /v1/context`, best passages first."""

    def __init__(self, vault: Vault) -> None:
        self._house: House = house(vault)

    def __call__(self, question: Question, budget: int) -> list[Found]:
        """The passages for a question."""
        shares = self._house.prompts[question.gather].gather if question.gather else {}
        request = Request(
            text=question.text,
            note=question.note,
            scope=question.scope,
            now=question.now,
            budget_tokens=budget,
            gather={way: share * 100 for way, share in shares.items()},
            fresh=True,
        )
        passages = asyncio.run(build_context(self._house, request))["passages"]
        passages.sort(key=lambda one: one["rank"])  # they come in the order in which a model reads them
        return [Found(one["path"], one["heading"], one["text"]) for one in passages]


WAYS: dict[str, Callable[[Vault], Callable[[Question, int], list[Found]]]] = {"ours": Ours, "FTS5": Plain}


def judge(way: str, budget: int, question: Question, found: Sequence[Found]) -> Row:
    """What passages, best first, hold of what a question needs."""
    notes = list(dict.fromkeys(one.path for one in found))[:_FIRST]
    missed = [places for places in question.gold if not any(_holds(found, place) for place in places)]
    # Evidence that stands in one note needs that note once.
    wanted = {frozenset(place.path for place in places) for places in question.gold}
    most = min(len(wanted), _FIRST)
    first = min(sum(not paths.isdisjoint(notes) for paths in wanted), most) / most
    return Row(
        way,
        budget,
        question.id,
        question.kind,
        1 - len(missed) / len(question.gold),
        first,
        sum(one.tokens for one in found),
        tuple(places[0] for places in missed),
    )


def _holds(found: Iterable[Found], place: Place) -> bool:
    return any(one.path == place.path and place.quote in one.text for one in found)


def measure(vault: Vault, questions: Sequence[Question], budgets: Iterable[int] = BUDGETS) -> list[Row]:
    """Every question by every way at every budget."""
    ways = {name: make(vault) for name, make in WAYS.items()}
    return [
        judge(name, budget, question, find(question, budget))
        for budget in budgets
        for name, find in ways.items()
        for question in questions
    ]


def scores(rows: Iterable[Row]) -> list[Score]:
    """The figures of rows: for each budget and way those of all questions, then of each kind."""
    grouped: dict[tuple[int, str, str], list[Row]] = {}
    for row in rows:
        for kind in ("", row.kind):
            grouped.setdefault((row.budget, kind, row.way), []).append(row)
    return [
        Score(
            way,
            budget,
            kind,
            len(some),
            fmean(row.evidence for row in some),
            fmean(row.evidence == 1 for row in some),
            fmean(row.first for row in some),
            sum(row.over for row in some),
        )
        for (budget, kind, way), some in grouped.items()
    ]


def main(arguments: list[str]) -> None:
    """Print a table for each budget, JSON, or a line for each question."""
    rows = measure(open_vault(VAULT), load())
    if "--rows" in arguments:
        for row in rows:
            print(json.dumps(asdict(row), ensure_ascii=False))
        return
    figures = scores(rows)
    if "--json" in arguments:
        print(json.dumps([asdict(one) for one in figures], indent=1))
        return
    for budget in BUDGETS:
        print(f"\n{budget} tokens, each cell: {' / '.join(WAYS)}")
        print("| kind | questions | evidence | all of it | notes in the first five | over budget |")
        print("|---|---|---|---|---|---|")
        for kind in dict.fromkeys(one.kind for one in figures):
            both = [one for one in figures if (one.budget, one.kind) == (budget, kind)]
            cells = [" / ".join(f"{getattr(one, name):.2f}" for one in both) for name in ("evidence", "whole", "first")]
            over = " / ".join(str(one.over) for one in both)
            print(f"| {kind or 'all'} | {both[0].questions} | {' | '.join(cells)} | {over} |")


if __name__ == "__main__":
    main(sys.argv[1:])
