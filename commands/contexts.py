"""Contexts of a house: built and counted, for a run or asked for without a model, and read again by their receipts."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from commands.gather import Gathering
from commands.house import House
from commands.report import notice
from commands.request import Request, calendar_of, open_note_of, shares_of
from commands.select import Selected, Selection, at_hand, build, kept_receipt
from commands.select import replay as replay_receipt
from context.assemble import BYTES4, Context
from context.query import scope

# A context asked for without a command, and without naming ways of gathering.
DEFAULT_GATHER = {"search": 0.75, "maps": 0.25}
_DEFAULT_BUDGET = 4000


def built(house: House, wanted: Selection, found: Gathering | None = None) -> Selected:
    """The context of a request (see `commands.select.build`); counted whether the cache held it. Reads files."""
    selected = build(house.vault, house.cache, wanted, found, house.latest)
    if not wanted.fresh:
        house.rates.count("context", hit=selected.cached)
    return selected


def out_of_scope(request: Request, selected: Selected) -> list[dict[str, Any]]:
    """The finding that a scope leaves no note, since a name in it is most likely misspelt."""
    if selected.gathering.notes or selected.gathering.withheld or not scope(request.scope):
        return []
    told = ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in (request.scope or {}).items()
    )
    hint = "Look at how the folder, tag or property is written in the notes, or leave a part of the scope out."
    return [notice("nothing_in_scope", f"no note fits the scope ({told[:200]})", hint)]


def withheld(selected: Selected) -> list[dict[str, Any]]:
    """The finding that private notes in scope were left out; which ones, or whether they would fit, nobody looked."""
    count = selected.gathering.withheld
    if not count:
        return []
    told = "1 private note was" if count == 1 else f"{count} private notes were"
    hint = "Ask a model on this machine, or name the node in `trusted_nodes` if it is of class lan."
    return [notice("private_withheld", f"{told} not looked at: the node is not trusted with them", hint)]


def nothing_fits(request: Request, selected: Selected) -> list[dict[str, Any]]:
    """The finding that no passage fits the words."""
    if not request.text.strip() or not selected.gathering.notes or selected.context.passages or selected.context.cut:
        return []
    hint = "Ask with words that stand in the notes, or name a note, a tag or a day."
    return [notice("nothing_fits", "the vault holds nothing that fits these words", hint)]


async def build_context(house: House, request: Request) -> dict[str, Any]:
    """The answer of `POST /v1/context`: passages for a question, without a model.

    Raises:
        CommandError: an unknown way of gathering, note, date or zone.
        context.query.QueryError: a scope that cannot be read.
    """
    began = time.perf_counter()
    snapshot = house.vault.snapshot
    note = open_note_of(request, snapshot)
    wanted = Selection(
        text=request.text,
        gather=shares_of(request, DEFAULT_GATHER),
        budget=request.budget_tokens or _DEFAULT_BUDGET,
        counter=BYTES4,
        scope=scope(request.scope),
        calendar=calendar_of(request, house.settings),
        open_note=note,
        fresh=request.fresh,
        vectors=house.vectors_for(private=bool(note) and snapshot.notes[note].private),
    )
    # Without a thread when nothing has to be waited for: two changes of threads are half of what it then takes.
    given, findings, cached = at_hand(house.vault, wanted, house.latest), [], True
    if given is None:
        selected = await asyncio.to_thread(built, house, wanted)
        findings = out_of_scope(request, selected) + nothing_fits(request, selected)
        cached = selected.cached
        if selected.gathering.is_missing_likeness:
            hint = "Ask again in a moment; `kos doctor` tells what is wrong with the model for embeddings."
            findings.append(
                notice("words_alone", "the question could not be embedded: words alone were looked for", hint)
            )
        given = selected.context, selected.receipt
    else:
        house.rates.count("context", hit=True)
    context, told = given
    return _told(context) | {
        "receipt": told["receipt"],
        "findings": findings,
        "cached": cached,
        "timings": {"total_ms": round((time.perf_counter() - began) * 1000, 1)},
    }


def _told(context: Context) -> dict[str, Any]:
    return {
        "passages": [
            {
                "path": p.path,
                "heading": p.heading,
                "text": p.text,
                "tokens": p.tokens,
                "score": round(p.score, 6),
                "rank": p.rank,
                "why": p.why,
                "via": p.via,
            }
            | ({"partial": True} if p.partial else {})
            | ({"private": True} if p.private else {})
            for p in context.passages
        ],
        "cut": [{"path": c.path, "heading": c.heading, "tokens": c.tokens, "why": c.why} for c in context.cut],
        "tokens": context.tokens,
        "budget_tokens": context.budget,
    }


def receipt(house: House, identity: str) -> dict[str, Any] | None:
    """The receipt of an earlier context, None when it is no longer kept."""
    return kept_receipt(house.cache, identity)


async def replay(house: House, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Read a receipt's passages again: identical, or the notes that changed (see `commands.select.replay`)."""
    return await asyncio.to_thread(replay_receipt, house.vault, kept)
