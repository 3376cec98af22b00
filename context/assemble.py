"""Packs passages into a token budget and keeps the reason for each: the Context and its receipt."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from context.cache import digest
from context.passage import bytes4

# A passage of which less than this share is new says the same as those before it; so short a one is left in peace.
_NEW, _SHORT = 0.1, 12
# Of a passage first one part of so many is looked at.
_PART = 5
_SHINGLE = 4  # words
_WORD, _BLANK = re.compile(r"\w+"), re.compile(r"\s*")

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
        rank: 0 for the passage that was taken first, as the best; filled by `assemble`.
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
    rank: int = 0

    def cost(self, counter: Counter) -> int:
        """Tokens of the passage as it is billed: path, heading and text."""
        return counter.count(f"{self.path}\n{self.heading}\n{self.text}")


# What a receipt tells of a passage. Not score and rank: they change with every note that is added, and what is sent
# does not.
_TOLD = tuple(field.name for field in fields(Passage) if field.name not in ("text", "score", "rank", "digest"))


@dataclass(frozen=True, slots=True)
class Cut:
    """A passage that found no room, or was left out for a reason."""

    path: str
    heading: str
    tokens: int
    why: str


_CUT = tuple(field.name for field in fields(Cut))


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
                {name: getattr(passage, name) for name in _TOLD} | {"note": passage.digest} for passage in self.passages
            ],
            "cut": [{name: getattr(one, name) for name in _CUT} for one in self.cut],
        }
        return {"receipt": digest(body), **body}


def assemble(
    candidates: Iterable[Passage],
    budget: int,
    *,
    shares: Mapping[str, float],
    order: Sequence[str],
    counter: Counter = BYTES4,
    text_of: Callable[[Passage], str] | None = None,
    once: Collection[str] = (),
    volatile: Collection[str] = (),
    step: int = 1,
) -> Context:
    """Pack candidates into the budget.

    Lanes are served in the order of `shares`, which is their priority. First each lane may fill its own share of the
    budget, best score first, then what is left goes to the lanes in the same order: so no lane starves another, and no
    room stays empty while a passage would fit it. Passages that overlap one already taken are merged into its reason;
    neighbours in a note become one passage, which costs less and reads better.

    Args:
        candidates: passages of all lanes.
        budget: tokens; the sum over the chosen passages never exceeds it.
        shares: lane → part of the budget (0..1) that is kept for it, in order of priority.
        order: lanes in the order in which their passages are sent; within a lane notes stay together.
        counter: the token counter.
        text_of: the whole text of a passage's note, as its offsets mean it; without it neighbours are not joined.
        once: lanes that leave out what is said already, nearly word for word, by passages before it.
        volatile: lanes whose passages often change. What the other lanes get of the rest goes by the room that these
            take rounded up, so that a passage of theirs that grows by a few words seldom drives out another.
        step: to which that is rounded up, in tokens.
    """
    lanes: dict[str, list[_Candidate]] = {lane: [] for lane in shares}
    for passage in candidates:
        lanes.setdefault(passage.lane, []).append(_Candidate(passage, passage.cost(counter)))
    for offered in lanes.values():
        offered.sort(key=lambda one: (-one.passage.score, one.passage.path, one.passage.start))
    taken = _Taken(budget, counter, text_of, once)
    waiting: dict[str, list[_Candidate]] = {}
    for lane, offered in lanes.items():
        waiting[lane] = taken.fill(offered, int(budget * shares.get(lane, 0.0)))
    cut: list[Cut] = []
    for lane, offered in waiting.items():
        rounding = -sum(one.tokens for one in taken.passages if one.lane in volatile) % step
        taken.budget = budget if lane in volatile else budget - rounding
        cut += [one.cut("no room") for one in taken.fill(offered, budget)]
    cut += [one.cut("says nothing new") for one in taken.repeated]
    ranked = sorted(taken.passages, key=lambda passage: passage.rank)
    chosen = [replace(passage, rank=rank) for rank, passage in enumerate(ranked)]
    return Context(tuple(_ordered(chosen, order)), tuple(cut), taken.tokens, budget, counter.id)


@dataclass
class _Candidate:
    """A passage that may be chosen, and what it costs."""

    passage: Passage
    tokens: int

    @cached_property
    def words(self) -> list[str]:
        return _WORD.findall(self.passage.text.lower())

    def cut(self, reason: str) -> Cut:
        return Cut(self.passage.path, self.passage.heading, self.tokens, f"{reason}: {self.passage.why}")


class _Taken:
    """The passages chosen so far."""

    def __init__(
        self, budget: int, counter: Counter, text_of: Callable[[Passage], str] | None, once: Collection[str]
    ) -> None:
        self.budget = budget
        self.tokens = 0
        self.repeated: list[_Candidate] = []
        self._counter, self._text_of, self._once = counter, text_of, once
        self._chosen: dict[str, list[Passage]] = {}
        self._said: set[tuple[str, ...]] = set()
        self._ranks = 0

    @property
    def passages(self) -> list[Passage]:
        return [passage for passages in self._chosen.values() for passage in passages]

    def fill(self, offered: list[_Candidate], share: int) -> list[_Candidate]:
        """Take what fits into `share` tokens more; returns what did not fit."""
        left: list[_Candidate] = []
        room = min(share, self.budget - self.tokens)
        for candidate in offered:
            passage = candidate.passage
            chosen = self._chosen.setdefault(passage.path, [])
            around = next((one for one in chosen if one.start <= passage.start and passage.end <= one.end), None)
            if around is not None:
                chosen[chosen.index(around)] = _with_reason(around, passage)
                continue
            taken = self._fitting(candidate, chosen, room)
            if taken is None:  # first: what has no room need not be compared
                left.append(candidate)
                continue
            if passage.lane in self._once and self._is_repeated(candidate):
                self.repeated.append(candidate)
                continue
            whole, parts = taken
            for one in parts:
                chosen.remove(one)
                whole = _with_reason(whole, one)
            chosen.append(replace(whole, rank=min((self._ranks, *(one.rank for one in parts)))))
            self._ranks += 1
            if passage.lane in self._once:
                self._said |= _shingles(candidate.words)
            self.tokens += whole.tokens - _tokens(parts)
            room -= whole.tokens - _tokens(parts)
        return left

    def _is_repeated(self, candidate: _Candidate) -> bool:
        """Whether a passage says the same as those before it. Of most a part says enough else to tell."""
        words = candidate.words
        most = len(words) - _SHINGLE + 1
        middle = most // 3  # many notes begin alike
        if (
            most < _SHORT
            or len(_shingles(words[middle : middle + most // _PART + _SHINGLE]) - self._said) >= _NEW * most
        ):
            return False
        said = _shingles(words)
        return len(said) >= _SHORT and len(said - self._said) < _NEW * len(said)

    def _fitting(self, candidate: _Candidate, chosen: list[Passage], room: int) -> tuple[Passage, list[Passage]] | None:
        """What is taken for a candidate, and the chosen passages it takes the place of; None when there is no room."""
        passage = candidate.passage
        joined = self._joined(passage, chosen) if chosen else None
        if joined is not None and joined[0].tokens - _tokens(joined[1]) <= room:
            return joined
        # What it covers is given back: a whole section takes the place of the single line picked from it before.
        touching = [one for one in chosen if one.start < passage.end and passage.start < one.end]
        covers = all(passage.start <= one.start and one.end <= passage.end for one in touching)
        if covers and candidate.tokens - _tokens(touching) <= room:
            return replace(passage, tokens=candidate.tokens), touching
        return None

    def _joined(self, passage: Passage, chosen: Iterable[Passage]) -> tuple[Passage, list[Passage]] | None:
        """One passage of this and of those beside it in the note, with only blank lines between; and those."""
        text = self._text_of(passage) if self._text_of is not None else ""
        parts: list[Passage] = []
        start, end, first = passage.start, passage.end, passage
        for one in sorted(chosen, key=lambda one: one.start):
            if one.lane != passage.lane or one.digest != passage.digest:
                continue
            after, before = min(one.end, passage.end), max(one.start, passage.start)
            if text and (after >= before or _BLANK.fullmatch(text, after, before)):
                parts.append(one)
                first = one if one.start < first.start else first
                start, end = min(start, one.start), max(end, one.end)
        if not parts:
            return None
        whole = replace(
            passage,
            heading=first.heading,
            text=text[start:end],
            start=start,
            end=end,
            score=max(passage.score, *(one.score for one in parts)),
            partial=any(one.partial for one in (passage, *parts)),
        )
        return replace(whole, tokens=whole.cost(self._counter)), parts


def _tokens(passages: Iterable[Passage]) -> int:
    return sum(passage.tokens for passage in passages)


def _shingles(words: Sequence[str]) -> set[tuple[str, ...]]:
    """Each few words side by side (A. Broder, "On the resemblance and containment of documents", 1997)."""
    return set(zip(*(words[at:] for at in range(_SHINGLE)), strict=False))


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
