"""What `kos eval` does: lets a vault ask its own questions, and shows how well contexts hold what they should."""

from argparse import Namespace
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from commands.evaluate import BUDGETS, WAYS, Row, Score, Share, measure, scores
from commands.questions import TASKS, Question, questions
from context.calendar import calendar
from context.index import Index
from context.vault import Vault
from server.config import Config, vault_of
from server.house import vault_options
from server.screen import Screen, line_of

# What is asked, for people.
_ASKED = {
    "links": "the words around a link, without it → the note it leads to",
    "headings": "a heading → what stands below it",
    "sentences": "a sentence without its rarest word → the note and the passage it stands in",
}


class NothingToAskError(Exception):
    """The notes of a vault give no question: they are too few, or hold too few words."""

    code = "not_found"
    hint = "It takes sentences of some words in the notes, links in them, or headings of two words and more."


def evaluate(arguments: Namespace, config: Config, screen: Screen) -> dict[str, Any]:
    """Measure, and show it to a person.

    The index is made anew in memory: a service that runs keeps its own to itself, and nothing is written anywhere.

    Args:
        arguments: `questions` (of each task at most), `seed`, and `rows` to tell of each question too.
        config: the configuration in force.
        screen: shows it.

    Returns:
        {"notes", "seed", "budgets", "scores": [...]} and, if asked for, "rows"; no word of any note is in it.

    Raises:
        context.vault.VaultError: the vault cannot be read.
        NothingToAskError: no question can be made of it.
    """
    screen.progress("reading the vault")
    options = vault_options(config)
    with closing(Vault(vault_of(config), Index(None, made_with=options.fingerprint), options)) as vault:
        asking: list[Question] = []
        for task in TASKS:
            screen.progress(f"making questions of {task}")
            asking += questions(vault, task, arguments.questions, arguments.seed)
        if not asking:
            raise NothingToAskError(f"no question can be made of the {len(vault.snapshot.notes)} notes of this vault")
        notes = len(vault.snapshot.notes)
        today = calendar(config.now, config.timezone)
        rows = list(measure(vault, today, asking, progress=lambda n: screen.progress(f"asking {n} of {len(asking)}")))
    figures = scores(rows)
    found = {"notes": notes, "seed": arguments.seed, "budgets": BUDGETS, "scores": [asdict(one) for one in figures]}
    screen.clear()
    screen.write(f"{notes} notes, seed {arguments.seed}; found at each budget, with the 95 % interval\n")
    for task in dict.fromkeys(one.task for one in figures):
        _show(screen, task, [one for one in figures if one.task == task])
    if arguments.rows:
        found["rows"] = [_told(row) for row in rows]
        screen.write("\n")
        for asked in asking:
            screen.write(line_of(_line(asked, [row for row in rows if row.question is asked])) + "\n")
    return found


def _show(screen: Screen, task: str, figures: Sequence[Score]) -> None:
    """A table: a line for each way and for what it should find, a column for each budget."""
    screen.write("\n")
    screen.heading(f"{task}: {_ASKED[task]} ({figures[0].questions} questions)")
    heads = "".join(f"{f'{budget:,} tokens':>18}" for budget in BUDGETS)
    screen.write(f"{'':18}{heads}{'tokens used':>22}{'ms':>8}\n")
    for part in ("note", "passage") if figures[0].passage else ("note",):
        for way in WAYS:
            own = [one for one in figures if one.way == way]
            cells = "".join(f"{_cell(getattr(one, part)):>18}" for one in own)
            used = " / ".join(f"{one.tokens:.0f}" for one in own)
            screen.write(f"{part:8}  {way:8}{cells}{used:>22}{own[0].ms:8.1f}\n")


def _cell(share: Share) -> str:
    return f"{100 * share.mean:.0f} % ({100 * share.low:.0f}–{100 * share.high:.0f})"


def _told(row: Row) -> dict[str, Any]:
    asked = row.question
    found = {str(budget): asdict(one) for budget, one in row.found.items()}
    return {
        "task": asked.task,
        "source": asked.source,
        "gold": asked.gold,
        "way": row.way,
        "found": found,
        "ms": row.ms,
    }


def _line(asked: Question, rows: Iterable[Row]) -> str:
    """A question by its notes, and the least budget at which each way held what it should."""
    least = []
    for row in rows:
        enough = [budget for budget, one in row.found.items() if one.passage]
        least.append(f"{row.way} {min(enough) if enough else '-'}")
    notes = asked.source if asked.source == asked.gold else f"{asked.source} -> {asked.gold}"
    return f"{asked.task}  {notes}: {', '.join(least)}"
