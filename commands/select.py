"""Builds the context of a request: gathers, packs, remembers; replays a receipt."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from commands.gather import ORDER, Gathering, gather
from context.assemble import RECEIPT_SCHEMA, Context, Counter, Cut, Passage, assemble
from context.cache import Cache, digest
from context.calendar import Calendar
from context.query import Scope, select
from context.vault import NoteGoneError, Vault


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
    if not wanted.private:
        notes = {path: note for path, note in notes.items() if not note.private}
    return Gathering(
        vault, snapshot, notes, wanted.calendar, wanted.text, wanted.recent_days, wanted.since, wanted.open_note
    )


def build(vault: Vault, cache: Cache, wanted: Selection) -> Selected:
    """The context of a request.

    Two keys lead to it: the digest of the vault and the request gives the receipt's, and the receipt's digest the
    passages with their texts. The first is reached while nothing changed; the second also when a change elsewhere left
    the same passages. Nothing is ever invalidated: another vault has another key.

    Raises:
        context.query.QueryError: the scope names a project that does not exist.
    """
    ready = gathering(vault, wanted)
    key = f"selection:{_request_digest(ready, wanted)}"
    if not wanted.fresh:
        kept = _kept(cache, cache.get(key))
        if kept is not None:
            return Selected(kept[0], ready, kept[1], cached=True)
    ways = ["note", *wanted.gather] if wanted.open_note else list(wanted.gather)
    shares = {"note": 0.25, **wanted.gather} if wanted.open_note else wanted.gather
    context = assemble(gather(ways, ready), wanted.budget, shares=shares, order=ORDER, counter=wanted.counter)
    receipt = context.receipt()
    text = {"passages": [asdict(passage) for passage in context.passages], "receipt": receipt}
    cache.set(f"receipt:{receipt['receipt']}", text, private=context.private)
    cache.set(key, receipt["receipt"], private=context.private)
    return Selected(context, ready, receipt, cached=False)


def _request_digest(ready: Gathering, wanted: Selection) -> str:
    changed = [(note.path, why) for note, why in ready.survey.changed] if "changed" in wanted.gather else []
    return digest(
        RECEIPT_SCHEMA,
        ready.snapshot.digest,
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


def _kept(cache: Cache, identity: object) -> tuple[Context, dict[str, Any]] | None:
    """A context out of the cache, believed only when its texts have the digest its receipt names."""
    value = cache.get(f"receipt:{identity}") if isinstance(identity, str) else None
    try:
        receipt = value["receipt"]  # type: ignore[index]
        passages = tuple(Passage(**passage) for passage in value["passages"])  # type: ignore[index]
        cut = tuple(Cut(**one) for one in receipt["cut"])
        context = Context(passages, cut, receipt["tokens"], receipt["budget_tokens"], receipt["counter"])
        return (context, receipt) if context.receipt() == receipt else None
    except (TypeError, KeyError, AttributeError):
        return None


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
    identical = not gone and now == receipt["text"]
    # A note that changed below its passages still replays: what was sent is the same.
    return {"identical": identical, "text": now, "changed": [] if identical else list(changed), "gone": list(gone)}
