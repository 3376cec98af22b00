"""Builds the context of a request: gathers, packs, remembers; replays a receipt."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from commands.gather import ORDER, Gathering, gather
from context.assemble import RECEIPT_SCHEMA, Context, Counter, Cut, Passage, assemble
from context.cache import Cache, digest
from context.calendar import Calendar
from context.note import Note
from context.query import Scope, select
from context.vault import NoteGoneError, Vault

# The part of the budget that is kept for the note the person has open.
_NOTE = 0.25
# Far above any score there is.
_MOST_SCORE = 1e9


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked of the vault: everything the choice of passages depends on, but the vault itself.

    Attributes:
        text: the person's words.
        gather: way of gathering → part of the budget kept for it, in order of priority.
        budget: tokens.
        counter: how they are counted.
        scope: which notes may be used.
        calendar: the person's today.
        recent_days: calendar days that count as recent.
        since: when the command last ran, in seconds since the epoch.
        open_note: the path of the note the person has open.
        private: whether private notes may be used, because the answer stays in the house.
        fresh: make it anew, whatever the cache holds.
    """

    text: str
    gather: Mapping[str, float]
    budget: int
    counter: Counter
    scope: Scope
    calendar: Calendar
    recent_days: int = 3
    since: float | None = None
    open_note: str = ""
    private: bool = True
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Selected:
    """A context, the gathering it came from, its receipt, and whether the cache held it."""

    context: Context
    gathering: Gathering
    receipt: dict[str, Any]
    cached: bool


def gathering(vault: Vault, wanted: Selection) -> Gathering:
    """The notes in scope and what they say, before anything is picked.

    Raises:
        context.query.QueryError: the scope names a project that does not exist.
    """
    snapshot = vault.snapshot
    notes = select(snapshot, wanted.scope)
    if not wanted.private:  # as if they did not exist: no map leads through them, no check speaks of them
        if "public" not in snapshot.kept:  # what is worked out from it is kept apart, too
            snapshot.kept["public"] = replace(snapshot, notes=_public(snapshot.notes), kept={})
        snapshot = snapshot.kept["public"]
        notes = _public(notes)
    return Gathering(
        vault=vault,
        snapshot=snapshot,
        notes=notes,
        calendar=wanted.calendar,
        text=wanted.text,
        recent_days=wanted.recent_days,
        since=wanted.since,
        open_note=wanted.open_note,
        private=wanted.private,
    )


def _public(notes: Mapping[str, Note]) -> dict[str, Note]:
    return {path: note for path, note in notes.items() if not note.private}


def build(vault: Vault, cache: Cache, wanted: Selection, ready: Gathering | None = None) -> Selected:
    """The context of a request.

    Two keys lead to it: the digest of the vault and the request gives the receipt's, and the receipt's digest the
    passages with their texts. The first is reached while nothing changed; the second also when a change elsewhere left
    the same passages. Nothing is ever invalidated: another vault has another key. What the cache holds is believed
    only when the notes still say it.

    Args:
        vault: the notes.
        cache: where contexts are kept.
        wanted: what is asked for.
        ready: the gathering of the same request, if there is one already.

    Raises:
        context.query.QueryError: the scope names a project that does not exist.
    """
    ready = ready or gathering(vault, wanted)
    key = f"selection:{_request_digest(ready, wanted)}"
    if not wanted.fresh:
        kept = _chosen(cache, cache.get(key))
        if kept is not None and all(_stands(ready, passage) for passage in kept[0].passages):
            return Selected(kept[0], ready, kept[1], cached=True)
    ways = ["note", *wanted.gather] if wanted.open_note else list(wanted.gather)
    # The open note takes its part from all others alike: the last of them would find nothing left.
    beside = {"note": _NOTE} | {way: part * (1 - _NOTE) for way, part in wanted.gather.items()}
    shares = beside if wanted.open_note else wanted.gather
    context = assemble(gather(ways, ready), wanted.budget, shares=shares, order=ORDER, counter=wanted.counter)
    receipt = context.receipt()
    text = {"passages": [asdict(passage) for passage in context.passages], "receipt": receipt}
    # A receipt names what was cut as well: where private notes were gathered from, all of it stays on this machine.
    cache.set(f"receipt:{receipt['receipt']}", text, private=ready.holds_private)
    if ready.settled:  # else it was made of notes newer than the snapshot that the key stands for
        chosen = {"receipt": receipt["receipt"], "scores": [passage.score for passage in context.passages]}
        cache.set(key, chosen, private=ready.holds_private)
    return Selected(context, ready, receipt, cached=False)


def _request_digest(ready: Gathering, wanted: Selection) -> str:
    changed = [(note.path, why) for note, why in ready.survey.changed] if "changed" in wanted.gather else []
    return digest(
        RECEIPT_SCHEMA,
        ready.snapshot.digest,
        repr(ready.snapshot.settings),
        repr(ready.snapshot.kinds),
        wanted.text,
        list(wanted.gather.items()),
        wanted.budget,
        wanted.counter.id,
        repr(wanted.scope),
        wanted.calendar.today.isoformat(),
        wanted.recent_days,
        wanted.open_note,
        wanted.private,
        changed,
    )


def _chosen(cache: Cache, value: object) -> tuple[Context, dict[str, Any]] | None:
    """The context of a request from before. Its receipt is shared by all that sent the same; its scores are its own."""
    scores = value.get("scores") if isinstance(value, dict) else None
    kept = _kept(cache, value.get("receipt")) if isinstance(value, dict) else None
    if kept is None or not isinstance(scores, list) or len(scores) != len(kept[0].passages):
        return None
    passages = tuple(replace(one, score=score) for one, score in zip(kept[0].passages, scores, strict=True))
    return (replace(kept[0], passages=passages), kept[1]) if all(map(_sound, passages)) else None


def _kept(cache: Cache, identity: object) -> tuple[Context, dict[str, Any]] | None:
    """A context out of the cache, believed only when its texts have the digest its receipt names."""
    value = cache.get(f"receipt:{identity}") if isinstance(identity, str) else None
    try:
        receipt = value["receipt"]  # type: ignore[index]
        passages = tuple(Passage(**passage) for passage in value["passages"])  # type: ignore[index]
        cut = tuple(Cut(**one) for one in receipt["cut"])
        context = Context(passages, cut, receipt["tokens"], receipt["budget_tokens"], receipt["counter"])
        whole = context.receipt() == receipt and receipt["receipt"] == identity
    except (TypeError, KeyError, AttributeError, ValueError):
        return None
    return (context, receipt) if whole else None


def _sound(passage: Passage) -> bool:
    """Whether a passage out of the cache holds what a passage holds."""
    texts = (passage.path, passage.heading, passage.text, passage.digest, passage.lane, passage.why, passage.via)
    counts = (passage.start, passage.end, passage.tokens)
    return (
        all(isinstance(one, str) for one in texts)
        and all(isinstance(one, int) for one in counts)
        and isinstance(passage.score, int | float)
        and abs(passage.score) < _MOST_SCORE  # which no NaN is
    )


def _stands(ready: Gathering, passage: Passage) -> bool:
    """Whether a passage out of the cache may be used, and its note still says it."""
    read = ready.read(passage.path)
    return (
        read is not None
        and (read[0].digest, read[0].private) == (passage.digest, passage.private)
        and read[1][passage.start : passage.end] == passage.text
    )


def kept_receipt(cache: Cache, identity: str) -> dict[str, Any] | None:
    """The receipt of an earlier context, None when it is no longer kept."""
    kept = _kept(cache, identity)
    return kept[1] if kept else None


def replay(vault: Vault, receipt: Mapping[str, Any]) -> dict[str, Any]:
    """Read the passages of a receipt again.

    Returns:
        {"identical": whether every byte is the same, "text": digest now, "changed": paths of notes whose text differs,
        "gone": paths of notes that are no longer there}.
    """
    texts: list[str] = []
    changed: dict[str, None] = {}
    gone: dict[str, None] = {}
    for passage in receipt["passages"]:
        path = passage["path"]
        try:
            note, text = vault.text(path)
        except NoteGoneError:
            gone[path] = None
            continue
        texts.append(text[passage["start"] : passage["end"]])
        if note.digest != passage["note"]:
            changed[path] = None
    now = digest(texts)
    identical = now == receipt["text"]
    # A note that changed below its passages still replays: what was sent is the same.
    return {"identical": identical, "text": now, "changed": [] if identical else list(changed), "gone": list(gone)}
