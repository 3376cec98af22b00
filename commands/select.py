"""Builds the context of a request: gathers, packs, remembers; replays a receipt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.gather import ORDER, VOLATILE, Gathering, gather, meant_maps
from commands.latest import Given, Latest
from commands.order import stable_first
from commands.survey import is_daily
from context.assemble import RECEIPT_SCHEMA, Context, Counter, Cut, Passage, assemble
from context.cache import Cache, digest
from context.calendar import Calendar
from context.note import Note
from context.query import Scope, select
from context.snapshot import Snapshot
from context.vault import NoteGoneError, Vault
from context.words import words

if TYPE_CHECKING:
    from context.embed import Vectors

# The part of the budget that is kept for the note the person has open.
_NOTE = 0.25
# Lanes whose passages need not be said twice; others show where a thing stands.
_ONCE = ("search", "maps")
# Into so many steps the budget is divided when a prompt shall stay the same through small changes.
_STEPS = 8
# Far above any score there is.
_MOST_SCORE = 1e9
# The packages whose code decides what is chosen.
_CODE = ("commands", "context")
_SAID = tuple(field.name for field in fields(Passage) if field.name not in ("digest", "score", "rank", "text"))
# The ways of gathering that ask full text.
_SEARCHES = frozenset({"search", "maps"})


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
        stable: put the passages into the order in which a model's cache keeps most of them (`commands.order`).
        vectors: of the chunks of all notes; None where embeddings are off, or the words may not be embedded.
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
    stable: bool = False
    vectors: "Vectors | None" = None


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
    whole = snapshot = vault.snapshot
    notes = inside = select(snapshot, wanted.scope)
    if not wanted.private:  # as if they did not exist: no map leads through them, no check speaks of them
        if "public" not in snapshot.kept:
            snapshot.kept["public"] = snapshot.apart(_public(snapshot.notes))
        snapshot = snapshot.kept["public"]
        notes = _public(notes)
    return Gathering(
        vault=vault,
        whole=whole,
        snapshot=snapshot,
        notes=notes,
        calendar=wanted.calendar,
        text=wanted.text,
        recent_days=wanted.recent_days,
        since=wanted.since,
        open_note=wanted.open_note,
        private=wanted.private,
        withheld=len(inside) - len(notes),
        budget=wanted.budget,
        vectors=wanted.vectors,
    )


def _public(notes: Mapping[str, Note]) -> dict[str, Note]:
    return {path: note for path, note in notes.items() if not note.private}


def at_hand(vault: Vault, wanted: Selection, latest: Latest) -> Given | None:
    """The context of a request with its receipt, if it is at hand; waits for nothing but the time stamps of its notes.

    None when it is not, and for one without passages, of which more would have to be said.
    """
    if wanted.fresh or not latest:
        return None
    snapshot = vault.snapshot
    state = vault.state if _SEARCHES & wanted.gather.keys() else ""
    given = latest.get(_key(snapshot, state, _request_digest(snapshot, wanted)))
    return given if given is not None and given[0].passages and _is_untouched(vault, snapshot, given) else None


def build(
    vault: Vault, cache: Cache, wanted: Selection, ready: Gathering | None = None, latest: Latest | None = None
) -> Selected:
    """The context of a request.

    Two keys lead to it. The digest of the vault's state and of the request gives the receipt: the fast way, open while
    nothing changed. The digest of the request and the receipt, which names every passage, gives the text: a change
    elsewhere leads to the same passages, and so to the same text. Nothing is ever invalidated: another vault has
    another key. What the cache holds is believed only when the notes still say it.

    Args:
        vault: the notes.
        cache: where contexts are kept.
        wanted: what is asked for.
        ready: the gathering of the same request, if there is one already.
        latest: contexts at hand, which are looked for before the cache is asked.

    Raises:
        context.query.QueryError: the scope names a project that does not exist.
    """
    ready = ready or gathering(vault, wanted)
    request = _request_digest(ready.whole, wanted)
    state = _settled(vault, wanted)
    key = _key(ready.whole, state, request)
    given = None if wanted.fresh else _given(ready, cache, latest, key, request)
    if given is not None:
        return Selected(given[0], ready, given[1], cached=True)
    context = pack(collect(ready, wanted), ready, wanted)
    receipt = context.receipt()
    identity = receipt["receipt"]
    # A receipt names what was cut as well: where private notes were gathered from, all of it stays on this machine.
    private = ready.holds_private
    text = {"receipt": receipt, "texts": [passage.text for passage in context.passages]}
    cached = not wanted.fresh and cache.get(_text_key(request, identity)) == text
    if not cached:
        cache.set(_text_key(request, identity), text, private=private)
    cache.set(f"receipt:{identity}", receipt, private=private)
    if ready.settled and state == _settled(vault, wanted):
        fits = [[passage.score, passage.rank] for passage in context.passages]
        cache.set(key, {"receipt": identity, "fits": fits}, private=private)
        if latest is not None:
            latest.put(key, (context, receipt))
    return Selected(context, ready, receipt, cached=cached)


def collect(ready: Gathering, wanted: Selection) -> list[Passage]:
    """All that the ways of gathering of a request find for it, before any of it is packed."""
    return gather(_shares(ready, wanted), ready)


def pack(found: Iterable[Passage], ready: Gathering, wanted: Selection) -> Context:
    """The context of a request, of what was found for it."""
    # Whatever comes after a passage that comes or goes is read anew by the model.
    rounded: dict[str, Any] = {"volatile": VOLATILE, "step": max(1, wanted.budget // _STEPS)} if wanted.stable else {}
    context = assemble(
        found,
        wanted.budget,
        shares=_shares(ready, wanted),
        order=ORDER,
        counter=wanted.counter,
        text_of=ready.passage_text,
        once=_ONCE,
        **rounded,
    )
    if wanted.stable:
        context = replace(context, passages=stable_first(context.passages, ready.snapshot, wanted.open_note))
    return context


def _shares(ready: Gathering, wanted: Selection) -> dict[str, float]:
    """The part of the budget for each way of gathering, in order of priority."""
    shares = dict(wanted.gather)
    # Maps beside a search answer for themselves: a map that fits by chance says less than what was found by words.
    if "search" in shares and "maps" in shares and words(wanted.text) and not meant_maps(ready):
        shares["search"] += shares.pop("maps")
    if not wanted.open_note:
        return shares
    # The open note takes its part from all others alike: the last of them would find nothing left.
    return {"note": _NOTE} | {way: part * (1 - _NOTE) for way, part in shares.items()}


def _settled(vault: Vault, wanted: Selection) -> str:
    """The state of full text for a request that asks it, once all words are in it; "" for one that does not."""
    return vault.settle() if _SEARCHES & wanted.gather.keys() else ""


def _key(snapshot: Snapshot, state: str, request: str) -> str:
    return f"context:{digest(snapshot.digest, state, request)}"


def _request_digest(snapshot: Snapshot, wanted: Selection) -> str:
    """All that the choice of passages depends on beside the state of the vault and of its full text."""
    today, told = wanted.calendar.now, snapshot.kept.get("settings in words")
    if told is None:
        told = snapshot.kept["settings in words"] = f"{snapshot.settings!r} {snapshot.kinds!r}"
    return digest(
        RECEIPT_SCHEMA,
        _program(),
        told,
        wanted.text,
        list(wanted.gather.items()),
        wanted.budget,
        wanted.counter.id,
        repr(wanted.scope),
        today.date().isoformat(),
        str(today.tzinfo),
        wanted.recent_days,
        wanted.open_note,
        wanted.private,
        wanted.stable,
        _seen_to_change(snapshot, wanted),
        wanted.vectors.mark if wanted.vectors and wanted.text.strip() else "",
    )


@lru_cache(maxsize=1)
def _program() -> str:
    """The code that chooses: another version may choose otherwise."""
    found = sha256()
    for package in _CODE:
        for file in sorted((Path(__file__).parents[1] / package).glob("*.py")):
            found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()


def _seen_to_change(snapshot: Snapshot, wanted: Selection) -> list[tuple[str, float]]:
    """The notes that changed since the last run, and when: the one thing that is not told by their text."""
    if wanted.since is None or "changed" not in wanted.gather:
        return []
    since = ((path, at) for path, at in snapshot.changed_at.items() if at > wanted.since)
    return sorted((path, at) for path, at in since if not is_daily(snapshot, path))


def _text_key(request: str, receipt: str) -> str:
    return f"text:{digest(request, receipt)}"


def _given(ready: Gathering, cache: Cache, latest: Latest | None, key: str, request: str) -> Given | None:
    """The context of a request from before: one at hand when its files are as they were, else out of the cache."""
    given = latest.get(key) if latest is not None else None
    if given is not None and _is_untouched(ready.vault, ready.whole, given):
        return given
    given = _chosen(cache, cache.get(key), request)
    if given is None or not all(_stands(ready, passage) for passage in given[0].passages):
        return None
    if latest is not None:
        latest.put(key, given)
    return given


def _is_untouched(vault: Vault, snapshot: Snapshot, given: Given) -> bool:
    """Whether the files of a context that was made here have the time stamps and sizes that the snapshot knows."""
    notes = snapshot.notes
    paths = {passage.path for passage in given[0].passages}
    return all(path in notes and vault.stamp(path) == (notes[path].mtime_ns, notes[path].size) for path in paths)


def _chosen(cache: Cache, value: object, request: str) -> Given | None:
    """A context out of the cache, believed only when it has the receipt under which it is kept."""
    try:
        identity, fits = value["receipt"], value["fits"]  # type: ignore[index]
        held = cache.get(_text_key(request, identity))
        receipt, texts = held["receipt"], held["texts"]  # type: ignore[index]
        passages = tuple(
            Passage(digest=said["note"], text=text, score=score, rank=rank, **{name: said[name] for name in _SAID})
            for said, text, (score, rank) in zip(receipt["passages"], texts, fits, strict=True)
        )
        cut = tuple(Cut(**one) for one in receipt["cut"])
        context = Context(passages, cut, receipt["tokens"], receipt["budget_tokens"], receipt["counter"])
        whole = context.receipt() == receipt and receipt["receipt"] == identity
    except (TypeError, KeyError, AttributeError, ValueError):
        return None
    return (context, receipt) if whole and all(map(_sound, passages)) else None


def _sound(passage: Passage) -> bool:
    """Whether a passage out of the cache holds what a passage holds."""
    texts = (passage.path, passage.heading, passage.text, passage.digest, passage.lane, passage.why, passage.via)
    counts = (passage.start, passage.end, passage.tokens, passage.rank)
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
    """The receipt of an earlier context, believed only when it has this digest; None when it is no longer kept."""
    receipt = cache.get(f"receipt:{identity}")
    if not isinstance(receipt, dict):
        return None
    body = {name: value for name, value in receipt.items() if name != "receipt"}
    try:
        return receipt if digest(body) == identity == receipt.get("receipt") else None
    except ValueError:  # an infinity is in it, which no receipt has
        return None


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
