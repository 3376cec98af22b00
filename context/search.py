"""Search: the chunks that answer a question, by its words, by what stands around them, and by the names they speak."""

import heapq
import math
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from context.fusion import blended, together
from context.index import Hit
from context.lexicon import spoken
from context.names import base_of, fold
from context.note import Note
from context.regions import live
from context.snapshot import Snapshot
from context.vault import NoteGoneError, Vault
from context.words import STOP_WORDS, asked, joined

if TYPE_CHECKING:
    from context.embed import Likeness

# What the constants below gave on five vaults, one by one, stands in docs/benchmarks.md ("Search").

# So many chunks are looked at, by words and by meaning: what lies behind them is no better for its note or its names.
_BEST = 300
# The second hop: so many chunks lead on, those at least half as good as the best.
_SEEDS, _SEED_SHARE = 5, 0.5
# What a chunk that is led to is worth: what its name gives it, and what it has of its own.
_GIVEN, _OWN = 0.55, 0.45
# A question without a name asks less for what names lead to. So many names in a chunk say what it is about; more of
# them are a list, and each says less.
_NAMELESS, _LIST = 0.6, 20
# The note that is named is more than one that speaks of the same; its name may be common.
_TITLE, _TITLE_GIVES = 1.5, 0.6
# A name in more chunks than this is a word of the vault; one of more notes than this says nothing.
_MOST_HOLDING, _MOST_NAMED = 60, 5
# How rare the rarest word of a name must be for the question's sake, and from where on rarer is no better.
_RARE, _RARE_ENOUGH = 0.35, 1 / 1.2
# A question names a note: this, and what its best chunk has of its own.
_NAMED, _NAMED_OWN = 0.7, 0.3
# What is embedded is worth nearly as much as where it is shown; what is linked with the open note a good part of what
# fits best. A note with more links says nothing by each.
_EMBEDDED, _NEAR, _MOST_LINKING = 0.95, 0.7, 40
# A scope of more notes is looked through afterwards.
_MOST_INSIDE = 20_000

# A question that asks for notes, not for what stands in one.
_FOR_NOTES = re.compile(
    r"\b(?:(?:which|what|list|find|show|any|all) (?:\w+ ){0,2}notes?"
    r"|have i (?:\w+ )?(?:written|noted)|do i have (?:\w+ )?on)\b",
    re.IGNORECASE,
)
# Words that begin with capitals, and small words between them: "Bank of the River".
_CAPITAL = r"[^\W\d_a-z]\w*(?:[’'.-]\w+)*"
_SMALL = r"(?: (?:of|de|the|la|von|van|der|du|and|el|al|bin|ibn|di|da|le|d'))"
_PROPER = re.compile(rf"\b{_CAPITAL}(?:{_SMALL}{{0,2}} {_CAPITAL})*")
_MOST_PROPER = 6
# A section of one word, as templates make them in every note: Tasks, Log, Next.
_SECTION = re.compile(r"^ {0,3}#{2,6}[ \t]+[^\W\d_]+[ \t]*$", re.MULTILINE)
# A letter alone is an initial or a key.
_LEAST_PROPER = 2


def search(
    vault: Vault,
    text: str,
    *,
    limit: int = 60,
    snapshot: Snapshot | None = None,
    inside: Mapping[str, object] | None = None,
    open_note: str = "",
    like: "Likeness | None" = None,
) -> list[Hit]:
    """The chunks that answer a question, best first; none for a question without words.

    Three steps. Small chunks are ranked by BM25, stemmed and exact, and by likeness of meaning where there are vectors;
    how much each counts follows the question. Each chunk is seen together with its note and neighbours.
    From the best of them, and from the question itself, names lead on: to the notes that are named, and to chunks that
    speak of the same rare name, so that what a question needs in two steps is found in one.

    Args:
        vault: the notes.
        text: the question.
        limit: how many.
        snapshot: of the vault, if not the present one.
        inside: the only notes looked at, by path; None for all.
        open_note: where the person stands: what it links to, and what links to it, is likely meant.
        like: how near the chunks of the notes looked at are to the question in meaning; None without vectors.

    Returns:
        Hits whose score is 1 for the best by words and meaning; `why` and `via` say what led to each.
    """
    snapshot = snapshot or vault.snapshot
    inside = snapshot.notes if inside is None else inside
    found = _direct(vault, text, inside, whole=len(inside) >= len(vault.snapshot.notes))
    hits = {hit.number: hit for hit in found}
    words = own = {hit.number: hit.score for hit in found}
    if like is not None:
        cosines, least = _cosines(vault, hits, like)
        own = blended(words, cosines, least)
    worth = together(own, {number: hit.path for number, hit in hits.items()})
    whys = {number: "fits the words" if words.get(number) else "near in meaning" for number in own}
    ranking = _Ranking(vault, snapshot, text, inside, hits, worth, whys)
    ranking.take_named()
    ranking.follow_names()
    ranking.follow_embeds()
    if open_note:
        ranking.follow_links(open_note)
    return ranking.best(limit)


def _direct(vault: Vault, text: str, inside: Mapping[str, object], *, whole: bool) -> list[Hit]:
    """The best chunks by their words, within the scope."""
    question = asked(text)
    if not whole and len(inside) <= _MOST_INSIDE:
        return vault.search(question, _BEST, inside)
    most = _BEST
    while True:
        found = vault.search(question, most)
        within = [hit for hit in found if hit.path in inside]
        if whole or len(within) >= _BEST or len(found) < most:
            return within[:_BEST]
        most *= 8  # what fits better lies outside the scope: look further down the list


def _cosines(vault: Vault, hits: dict[int, Hit], like: "Likeness") -> tuple[dict[int, float | None], float]:
    """How near chunks are to the question: those found, and the nearest of all, which join them; the last of these."""
    nearest = like.nearest(_BEST)
    near: dict[tuple[str, int], float | None] = {(row.path, row.start): row.cosine for row in nearest}
    known = {(hit.path, hit.start) for hit in hits.values()}
    hits.update((hit.number, hit) for hit in vault.chunks_at(place for place in near if place not in known))
    rest = [hit for hit in hits.values() if (hit.path, hit.start) not in near]
    places = [(hit.path, hit.start, hit.end) for hit in rest]
    near.update(zip(((path, start) for path, start, _ in places), like.cosines(places), strict=True))
    least = nearest[-1].cosine if nearest else 0.0
    return {number: near[hit.path, hit.start] for number, hit in hits.items()}, least


def _in_turns(found: list[Hit]) -> list[Hit]:
    """The best chunk of each note before the second of any, which then is worth no more than the last of those."""
    turns: dict[str, int] = {}
    ranked: list[tuple[int, Hit]] = []
    for hit in found:
        turn = turns[hit.path] = turns.get(hit.path, -1) + 1
        ranked.append((turn, replace(hit, score=hit.score / (1 + turn))))
    ranked.sort(key=lambda one: (one[0] > 0, -one[1].score))
    least = min((hit.score for turn, hit in ranked if not turn), default=0.0)
    return [hit if not turn else replace(hit, score=min(hit.score, least) * 0.99) for turn, hit in ranked]


def asks_for_notes(text: str) -> bool:
    """Whether a question asks which notes there are, more than what stands in one."""
    return _FOR_NOTES.search(text) is not None


def place_of(note: Note, sub: str) -> int:
    """Where in a note the part begins that a link means by what follows its `#`; its text when there is none such."""
    wanted = fold(sub.lstrip("#").rpartition("#")[2].strip())
    if wanted.startswith("^"):
        return next((block.start for block in note.blocks if fold(block.id) == wanted[1:]), note.body)
    return next((heading.start for heading in note.headings if fold(heading.text) == wanted), note.body)


@dataclass(slots=True)
class _Standing:
    """What a chunk is worth so far, and what led to it."""

    score: float
    why: str
    via: str = ""


class _Step(NamedTuple):
    """From a chunk to others: its note, what it is worth, a name it speaks, and the notes of that name."""

    source: str
    score: float
    name: str
    notes: list[str]


class _Ranking:
    """The chunks found for one question, and what they are worth.

    Args:
        vault, snapshot, text, inside: as for `search`.
        hits: the chunks by number.
        worth: of each, in 0..1.
        whys: what led to each.
    """

    def __init__(
        self,
        vault: Vault,
        snapshot: Snapshot,
        text: str,
        inside: Container[str],
        hits: dict[int, Hit],
        worth: Mapping[int, float],
        whys: Mapping[int, str],
    ) -> None:
        self._vault, self._snapshot, self._inside = vault, snapshot, inside
        self._text = text
        self._names_notes = False
        self._said = f" {' '.join(spoken(text))} "
        self._hits, self._worth = hits, worth
        self._standing = {number: _Standing(score, whys[number]) for number, score in worth.items()}
        self._first: dict[str, int] = {}  # note → its best chunk
        for number in sorted(worth, key=lambda number: -worth[number]):
            self._first.setdefault(hits[number].path, number)

    def take_named(self) -> None:
        """Notes whose names the question speaks."""
        named = {}
        for name, paths in self._snapshot.lexicon.names_in(self._text).items():
            if len(paths) <= _MOST_NAMED and self._rarity(self._vault.frequency(name)) >= _RARE:
                named.update(dict.fromkeys(filter(self._is_inside, paths), name))
        self._names_notes = bool(named)
        self._know(named)
        for path in named:
            number = self._first.get(path)
            if number is not None:
                self._raise(number, _NAMED + _NAMED_OWN * self._own(number), "its name is in the question")

    def follow_names(self) -> None:
        """From the best chunks to the notes they name, and to chunks that speak of the same."""
        steps: list[_Step] = []
        asks = 1.0 if self._has_name() else _NAMELESS
        for number in self._seeds():
            hit, score = self._hits[number], self._standing[number].score * asks
            names = self._names(hit)
            score *= min(1.0, _LIST / max(1, len(names))) ** 0.5
            for name, paths in names.items():
                if hit.path not in paths:  # a note that speaks its own name leads nowhere
                    others = [path for path in paths if self._is_inside(path)]
                    steps.append(_Step(hit.path, score, name, others))
        self._know(path for step in steps for path in step.notes)
        spoken_of = list(dict.fromkeys(step.name for step in steps))
        holding = dict(zip(spoken_of, self._vault.holding(spoken_of, _MOST_HOLDING + 1), strict=True))
        for step in steps:
            numbers = holding[step.name]
            gives = min(1.0, self._rarity((len(numbers) + 1) / self._size) / _RARE_ENOUGH) ** 2
            if len(numbers) <= _MOST_HOLDING:
                for number in numbers:
                    if self._path(number) != step.source and self._path(number) not in step.notes:
                        worth = step.score * gives * (_GIVEN + _OWN * self._own(number))
                        self._raise(number, worth, f"speaks of {self._written(step)}", step.source)
            for path in step.notes:
                number = self._first.get(path, 0)
                worth = _TITLE * step.score * max(gives, _TITLE_GIVES) * (_GIVEN + _OWN * self._own(number))
                self._raise(number, min(1.0, worth), "named in a note that fits", step.source)

    def follow_embeds(self) -> None:
        """From the best chunks to what they embed: it is read there, and stands in another note."""
        for number in self._seeds():
            hit, score = self._hits[number], self._standing[number].score
            note = self._snapshot.notes[hit.path]
            for link in note.links:
                if link.kind != "embed" or not hit.start <= link.start < hit.end:
                    continue
                path = self._snapshot.names.resolve(link.target, hit.path) or ""
                if self._is_inside(path) and path != hit.path:
                    for shown in self._vault.chunk_at(path, place_of(self._snapshot.notes[path], link.sub)):
                        self._hits.setdefault(shown.number, shown)
                        self._raise(shown.number, score * _EMBEDDED, "embedded in a note that fits", hit.path)

    def follow_links(self, path: str) -> None:
        """From a note to those it links to and those that link to it; not from one that everything links to."""
        graph = self._snapshot.graph
        sources = graph.back.get(path, ())
        near = [*graph.out.get(path, ()), *(sources if len(sources) <= _MOST_LINKING else ())]
        near = [one for one in dict.fromkeys(near) if one != path and self._is_inside(one)][:_MOST_LINKING]
        self._know(near)
        for one in near:
            number = self._first.get(one)
            if number is not None:
                self._raise(number, _NEAR * (_GIVEN + _OWN * self._own(number)), "linked with the open note", path)

    def best(self, limit: int) -> list[Hit]:
        """The best chunks, each with its place, score and reason."""
        ranked = heapq.nsmallest(limit * 2, self._standing, key=lambda number: (-self._standing[number].score, number))
        unknown = [number for number in ranked if number not in self._hits]
        self._hits.update((hit.number, hit) for hit in self._vault.places(unknown))
        found = []
        for number in ranked:
            hit, standing = self._hits.get(number), self._standing[number]
            if hit is not None and hit.path != standing.via and self._is_inside(hit.path):
                found.append(replace(hit, score=standing.score, why=standing.why, via=standing.via))
        found.sort(key=lambda hit: (-hit.score, hit.path, hit.start))
        return _in_turns(found)[:limit] if asks_for_notes(self._text) else found[:limit]

    def _has_name(self) -> bool:
        """Whether the question names anything: a note, or what begins with a capital."""
        return self._names_notes or any(match.start() for match in _PROPER.finditer(self._text))

    @property
    def _size(self) -> int:
        return max(2, self._vault.size)

    def _rarity(self, share: float) -> float:
        """1 for what stands in one chunk alone, 0 for what stands in all."""
        return max(0.0, math.log(1 / max(share, 1 / self._size)) / math.log(self._size))

    def _own(self, number: int) -> float:
        return self._worth.get(number, 0.0)

    def _path(self, number: int) -> str:
        hit = self._hits.get(number)
        return hit.path if hit is not None else ""

    def _is_inside(self, path: str) -> bool:
        return path in self._inside and path in self._snapshot.notes

    def _raise(self, number: int, score: float, why: str, via: str = "") -> None:
        known = self._standing.get(number)
        if known is None or score > known.score:
            self._standing[number] = _Standing(score, why, via)

    def _know(self, paths: Iterable[str]) -> None:
        """Find the first chunks of notes of which no chunk is known."""
        missing = [path for path in dict.fromkeys(paths) if path not in self._first]
        for hit in self._vault.beginnings(missing) if missing else ():
            self._first[hit.path] = hit.number
            self._hits.setdefault(hit.number, hit)

    def _written(self, step: _Step) -> str:
        """The name of a step for people: as its notes have it where its script is written without blanks."""
        if not step.name.isascii():
            notes = (self._snapshot.notes[path] for path in step.notes)
            forms = (form for note in notes for form in (base_of(note.path), *note.aliases))
            return next((form for form in forms if " ".join(spoken(form)) == step.name), joined(step.name))
        return step.name

    def _seeds(self) -> list[int]:
        ranked = heapq.nsmallest(_SEEDS, self._standing, key=lambda number: (-self._standing[number].score, number))
        unknown = [number for number in ranked if number not in self._hits]
        self._hits.update((hit.number, hit) for hit in self._vault.places(unknown))
        ranked = [number for number in ranked if number in self._hits and self._is_inside(self._hits[number].path)]
        least = self._standing[ranked[0]].score * _SEED_SHARE if ranked else 0.0
        return [number for number in ranked if self._standing[number].score >= least]

    def _names(self, hit: Hit) -> dict[str, tuple[str, ...]]:
        """The names that a chunk speaks and the question does not, and the notes of each; most names are of none."""
        try:
            note, text = self._vault.text(hit.path)
        except NoteGoneError:
            return {}
        if note.digest != self._snapshot.notes[hit.path].digest:
            return {}  # its offsets are of an older text
        piece = live(text[hit.start : hit.end])  # what a query asks for is no subject
        lexicon = self._snapshot.lexicon
        names = lexicon.names_in(piece) | {name: lexicon[name] for name in _proper(piece)}
        return {
            name: paths if len(paths) <= _MOST_NAMED else ()
            for name, paths in names.items()
            if f" {name} " not in self._said
        }


def _proper(text: str) -> Iterator[str]:
    """What looks like a name in a text, as its words."""
    for match in _PROPER.finditer(_SECTION.sub("", text)):
        words = spoken(match[0])
        while words and words[0] in STOP_WORDS:
            words.pop(0)
        while words and words[-1] in STOP_WORDS:
            words.pop()
        name = " ".join(words)
        if len(words) <= _MOST_PROPER and len(name) >= _LEAST_PROPER:
            yield name
