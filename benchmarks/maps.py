"""What a context at a map of 500 links holds of the notes a question needs, against two simpler ways.

Run: python benchmarks/maps.py [--kinds | --json]. The vault and its labelled questions are made by tests/map_cases.py.
"ours" is the context of `/ask` with the map open, "ours, no map open" the same without it. The simpler ways are the
members of the map in its order, whole or the beginning of each, and the chunks that full-text search (BM25) finds, best
first; each fills the same budget. Tokens are ceil(bytes / 4).
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from commands.house import shipped_prompts  # noqa: E402
from commands.select import Selection, build  # noqa: E402
from context.assemble import BYTES4, Context, Passage, assemble  # noqa: E402
from context.cache import open_cache  # noqa: E402
from context.calendar import calendar  # noqa: E402
from context.members import members_of  # noqa: E402
from context.passage import cut  # noqa: E402
from context.query import scope  # noqa: E402
from context.vault import Vault  # noqa: E402
from context.words import asked  # noqa: E402
from tests.map_cases import CASES, MAP, TODAY, Case, Household, make  # noqa: E402
from tests.vaults import open_vault  # noqa: E402

BUDGETS = (2000, 4000, 8000)
_DAY = calendar(TODAY, "Europe/Berlin")
_GATHER = shipped_prompts()["ask"].gather
# The beginning of a note, in tokens, for the dump that takes one of each.
_BEGINNING = 60


@dataclass(frozen=True, slots=True)
class Row:
    """What one way found at one budget; shares are means over the questions.

    Attributes:
        way: its name.
        budget: tokens.
        needed: share of the needed notes of which a passage is there.
        whole: share of the questions all of whose notes are there.
        answers: share of the needed notes whose answering sentence is there.
        sections: share of the map's sections of which a note is there, in the worst question.
        tokens: used, in the fullest question.
        ms: p50 of one context.
    """

    way: str
    budget: int
    needed: float
    whole: float
    answers: float
    sections: float
    tokens: int
    ms: float


Way = Callable[[Vault, Case, int], Context]


def ours(vault: Vault, case: Case, budget: int, note: str = MAP) -> Context:
    """The context of `/ask`, the map open."""
    wanted = Selection(
        case.text,
        _GATHER,
        budget,
        BYTES4,
        scope(None),
        _DAY,
        open_note=note,
        fresh=True,
    )
    return build(vault, open_cache("memory", vault_id="bench", path=Path()), wanted).context


def alone(vault: Vault, case: Case, budget: int) -> Context:
    """The context of `/ask`, nothing open."""
    return ours(vault, case, budget, "")


def dump(vault: Vault, case: Case, budget: int, *, beginnings: bool = False) -> Context:  # noqa: ARG001 - asks nothing
    """The members of the map in its order, whole, or the beginning of each."""
    found: list[Passage] = []
    for place, member in enumerate(members_of(vault.snapshot, _DAY).of(MAP).members):
        if member.path in vault.snapshot.notes:
            note, text = vault.text(member.path)
            pieces = cut(note, text, limit=_BEGINNING)[:1] if beginnings else cut(note, text)
            found += [
                Passage(member.path, "", text[one.start : one.end], one.start, one.end, note.digest, "dump", -place, "")
                for one in pieces
            ]
    return _packed(found, budget)


def beginnings(vault: Vault, case: Case, budget: int) -> Context:
    """The beginning of each member of the map, in its order."""
    return dump(vault, case, budget, beginnings=True)


def bm25(vault: Vault, case: Case, budget: int) -> Context:
    """What full-text search finds, best first."""
    found = []
    for hit in vault.search(asked(case.text), 1000):
        note, text = vault.text(hit.path)
        said = text[hit.start : hit.end]
        found.append(
            Passage(hit.path, hit.heading, said, hit.start, hit.end, note.digest, "bm25", hit.score, "fits the words")
        )
    return _packed(found, budget)


def _packed(passages: Iterable[Passage], budget: int) -> Context:
    lane = next(iter(passages := list(passages))).lane
    return assemble(passages, budget, shares={lane: 1.0}, order=[lane])


WAYS: dict[str, Way] = {
    "ours": ours,
    "ours, no map open": alone,
    "one-hop dump": dump,
    "one-hop dump of beginnings": beginnings,
    "BM25": bm25,
}


def sections_kept(vault: Vault, context: Context) -> float:
    """The share of the map's sections of which the context holds a note."""
    members = members_of(vault.snapshot, _DAY).of(MAP).members
    there = {passage.path for passage in context.passages}
    kept = {member.section for member in members if member.path in there}
    return len(kept) / len({member.section for member in members})


def needed(home: Household, case: Case, context: Context) -> tuple[float, float]:
    """The shares of a question's notes that are there, and of the sentences that answer it."""
    texts: dict[str, str] = {}
    for passage in context.passages:
        texts[passage.path] = texts.get(passage.path, "") + passage.text
    found = [title for title in case.needs if home.paths[title] in texts]
    said = [title for title in found if home.answers[title] in texts[home.paths[title]]]
    return len(found) / len(case.needs), len(said) / len(case.needs)


def measure(vault: Vault, home: Household, way: str, budget: int, cases: Iterable[Case] = CASES) -> Row:
    """One way at one budget over all questions."""
    shares, sections, tokens, took = [], [], [], []
    for case in cases:
        began = time.perf_counter()
        context = WAYS[way](vault, case, budget)
        took.append((time.perf_counter() - began) * 1000)
        shares.append(needed(home, case, context))
        sections.append(sections_kept(vault, context))
        tokens.append(context.tokens)
    return Row(
        way,
        budget,
        fmean(found for found, _ in shares),
        fmean(found == 1 for found, _ in shares),
        fmean(said for _, said in shares),
        min(sections),
        max(tokens),
        sorted(took)[len(took) // 2],
    )


def main(arguments: list[str]) -> None:
    """Print a table, or JSON; with `--kinds` by the way the needed notes lie, at the largest budget."""
    with tempfile.TemporaryDirectory() as folder:
        home = make(Path(folder))
        vault = open_vault(Path(folder))
        if "--json" in arguments:
            rows = [measure(vault, home, way, budget) for budget in BUDGETS for way in WAYS]
            print(json.dumps([asdict(row) for row in rows], indent=1))
            return
        if "--kinds" in arguments:
            kinds = list(dict.fromkeys(case.how for case in CASES))
            print("| needed notes at 8000 tokens | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds))
            for way in WAYS:
                rows = [measure(vault, home, way, 8000, [case for case in CASES if case.how == kind]) for kind in kinds]
                print(f"| {way} | " + " | ".join(f"{row.needed:.2f}" for row in rows) + " |")
            return
        print("| budget | way | needed notes | whole questions | answers | sections kept | tokens | p50 ms |")
        print("|---|---|---|---|---|---|---|---|")
        for budget in BUDGETS:
            for way in WAYS:
                row = measure(vault, home, way, budget)
                told = f"{row.needed:.2f} | {row.whole:.2f} | {row.answers:.2f} | {row.sections:.2f}"
                print(f"| {budget} | {way} | {told} | {row.tokens} | {row.ms:.1f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
