"""Packs passages into a token budget and keeps the reason for each: the Context and its receipt."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from context.cache import digest
from context.passage import bytes4

# Receipts written in another form are not read: raise it when the fields change.
RECEIPT_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Counter:
    """How tokens are counted, with the name that stands in keys and receipts."""

    id: str
    count: Callable[[str], int]


# Where no model is set: ceil(UTF-8 bytes / 4).
BYTES4 = Counter("bytes/4", bytes4)


@dataclass(frozen=True, slots=True)
class Passage:
    """A quotable piece of a note, its place, and why it was picked.

    Attributes:
        path: the note.
        heading: heading path joined by " > ", "" above all headings.
        text: the note's own characters `start:end`, verbatim.
        start, end: character offsets in the note.
        digest: SHA-256 of the note's bytes from which the text was read.
        lane: the way of gathering that picked it.
        score: how well it fits within its lane; higher is better.
        why: a short reason for people.
        via: the map or note that led to it, "" for none.
        partial: it was cut inside a block that alone exceeds a passage.
        private: the note is private, and so is this.
        tokens: of path, heading and text; filled by `assemble`.
    """

    path: str
    heading: str
    text: str
    start: int
    end: int
    digest: str
    lane: str
    score: float
    why: str
    via: str = ""
    partial: bool = False
    private: bool = False
    tokens: int = 0

    def cost(self, counter: Counter) -> int:
        """Tokens of the passage as it is billed: path, heading and text."""
        return counter.count(f"{self.path}\n{self.heading}\n{self.text}")


@dataclass(frozen=True, slots=True)
class Cut:
    """A passage that found no room, or was left out for a reason."""

    path: str
    heading: str
    tokens: int
    why: str


@dataclass(frozen=True, slots=True)
class Context:
    """Passages within a token budget, in the order in which they are sent."""

    passages: tuple[Passage, ...]
    cut: tuple[Cut, ...]
    tokens: int
    budget: int
    counter: str

    @property
    def private(self) -> bool:
        """Whether any passage comes from a private note."""
        return any(passage.private for passage in self.passages)

    def receipt(self) -> dict[str, Any]:
        """All that is needed to show and replay this context, without a word of the notes' text."""
        body = {
            "schema": RECEIPT_SCHEMA,
            "counter": self.counter,
            "budget_tokens": self.budget,
            "tokens": self.tokens,
            "text": digest([passage.text for passage in self.passages]),
            "passages": [
                # Not the score: it changes with every note that is added, and what is sent does not.
                {k: v for k, v in asdict(passage).items() if k not in ("text", "score")} | {"note": passage.digest}
                for passage in self.passages
            ],
            "cut": [asdict(one) for one in self.cut],
        }
        for passage in body["passages"]:  # type: ignore[attr-defined]
            del passage["digest"]
        return {"receipt": digest(body), **body}


def assemble(
    candidates: Iterable[Passage],
    budget: int,
    *,
    shares: Mapping[str, float],
    order: Sequence[str],
    counter: Counter = BYTES4,
) -> Context:
    """Pack candidates into the budget.

    Lanes are served in the order of `shares`, which is their priority. First each lane may fill its own share of the
    budget, best score first, then what is left goes to the lanes in the same order: so no lane starves another, and no
    room stays empty while a passage would fit it. Passages that overlap one already taken are merged into its reason.

    Args:
        candidates: passages of all lanes.
        budget: tokens; the sum over the chosen passages never exceeds it.
        shares: lane → part of the budget (0..1) that is kept for it, in order of priority.
        order: lanes in the order in which their passages are sent; within a lane notes stay together.
        counter: the token counter.
    """
    lanes: dict[str, list[Passage]] = {lane: [] for lane in shares}
    for passage in candidates:
        lanes.setdefault(passage.lane, []).append(replace(passage, tokens=passage.cost(counter)))
    for passages in lanes.values():
        passages.sort(key=lambda passage: (-passage.score, passage.path, passage.start))
    taken = _Taken(budget)
    waiting: dict[str, list[Passage]] = {}
    for lane, passages in lanes.items():
        waiting[lane] = taken.fill(passages, int(budget * shares.get(lane, 0.0)))
    cut: list[Cut] = []
    for passages in waiting.values():
        left = taken.fill(passages, budget)
        cut += [Cut(one.path, one.heading, one.tokens, f"no room: {one.why}") for one in left]
    return Context(tuple(_ordered(taken.passages, order)), tuple(cut), taken.tokens, budget, counter.id)


class _Taken:
    """The passages chosen so far."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.tokens = 0
        self._chosen: dict[str, list[Passage]] = {}

    @property
    def passages(self) -> list[Passage]:
        return [passage for passages in self._chosen.values() for passage in passages]

    def fill(self, passages: list[Passage], share: int) -> list[Passage]:
        """Take what fits into `share` tokens more; returns what did not fit."""
        left: list[Passage] = []
        room = min(share, self.budget - self.tokens)
        for passage in passages:
            chosen = self._chosen.setdefault(passage.path, [])
            touching = [one for one in chosen if one.start < passage.end and passage.start < one.end]
            around = next((one for one in touching if one.start <= passage.start and passage.end <= one.end), None)
            if around is not None:
                chosen[chosen.index(around)] = _with_reason(around, passage)
                continue
            # What it covers is given back: a whole section takes the place of the single line picked from it before.
            extra = passage.tokens - sum(one.tokens for one in touching)
            if extra > room or any(one.start < passage.start or passage.end < one.end for one in touching):
                left.append(passage)
                continue
            for one in touching:
                chosen.remove(one)
                passage = _with_reason(passage, one)  # noqa: PLW2901 - the same passage, with the reasons of what it covers
            chosen.append(passage)
            self.tokens += extra
            room -= extra
        return left


def _with_reason(passage: Passage, other: Passage) -> Passage:
    """The passage with the reasons of another it covers, each once."""
    reasons = dict.fromkeys((*passage.why.split("; "), *other.why.split("; ")))
    return replace(passage, why="; ".join(reasons))


def _ordered(passages: Sequence[Passage], order: Sequence[str]) -> list[Passage]:
    """Lane by lane; in a lane the best note first and its passages in the order of the note."""
    places = {lane: place for place, lane in enumerate(order)}
    best: dict[tuple[str, str], float] = {}
    for passage in passages:
        key = (passage.lane, passage.path)
        best[key] = max(best.get(key, float("-inf")), passage.score)
    return sorted(passages, key=lambda p: (places.get(p.lane, len(places)), -best[(p.lane, p.path)], p.path, p.start))
