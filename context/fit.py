"""How well a member's place in a map fits a request: by its name, its section, and the line its link stands in."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

from context.maps import Member
from context.names import base_of
from context.snapshot import Snapshot
from context.words import stem, words

# What a word says by where it stands: in the name of the member, in the headings above it, in the name of the map
# (which goes for all its members alike) or in the member's line.
_NAME, _SECTION, _MAP = 1.0, 0.8, 0.6
# What a chunk of the member that fits the words adds; the search has a lane of its own.
_TEXT = 0.5
# What is read of a line on each side of a link, in characters.
_LINE_CHARS = 300
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Places:
    """The words of the places in a map, whoever asks.

    Attributes:
        members: what the map gathers; for others this does not hold.
        name: the words of its own name.
        said: word → member → what the word says there.
        there: word → in how many places it stands, of names, sections and lines.
        most: how many places there are.
    """

    members: Iterable[Member]
    name: frozenset[str]
    said: Mapping[str, Mapping[str, float]]
    there: Mapping[str, int]
    most: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a snapshot: note → the words of its names; map → the words of its places."""

    names: dict[str, frozenset[str]] = field(default_factory=dict)
    places: dict[str, _Places] = field(default_factory=dict)

    def updated(self, snapshot: Snapshot, paths: AbstractSet[str]) -> "_Known":
        """What still holds after some notes changed."""
        names = self.names.copy()
        now = {path: _words_of_names(snapshot, path) for path in paths if path in names}
        renamed = {path for path, words in now.items() if names[path] != words}
        names.update(now)
        places = {
            path: one
            for path, one in self.places.copy().items()
            if path not in paths and not any(member.path in renamed for member in one.members)
        }
        return _Known(names, places)


def _words_of_names(snapshot: Snapshot, path: str) -> frozenset[str]:
    note = snapshot.notes.get(path)
    return _stems(" ".join((base_of(path), *(note.aliases if note else ()))))


class Fit:
    """How well members of maps fit the words of one request."""

    def __init__(
        self,
        text: str,
        snapshot: Snapshot,
        read: Callable[[str], str],
        gathered: Callable[[str], Iterable[Member]],
        hits: Mapping[str, float],
    ) -> None:
        """Begin.

        Args:
            text: the request.
            snapshot: the vault.
            read: the text of a note as the snapshot knows it, "" when it changed meanwhile.
            gathered: what a map gathers.
            hits: note → how well its text fits the words, in 0..1.
        """
        self._words = _stems(text)
        self._snapshot, self._read, self._gathered, self._hits = snapshot, read, gathered, hits
        # Map → member → how its place fits, and how those fit that are not named there.
        self._maps: dict[str, tuple[Mapping[str, float], float]] = {}
        known: _Known = snapshot.lasts("words of maps", _Known, lambda known, paths: known.updated(snapshot, paths))
        self._names, self._places = known.names, known.places

    def __call__(self, path: str, member: Member) -> float:
        """How well a member of a map fits, by its place and its text, in 0..1."""
        return 1 - (1 - self.place(path, member)) * (1 - _TEXT * self._hits.get(member.path, 0.0))

    def place(self, path: str, member: Member) -> float:
        """How well the place of a member fits the words, in 0..1. Of a note that is no map only names are known."""
        if not self._words:
            return 0.0
        if path not in self._snapshot.maps:
            return len(self._words & self._named(member.path)) / len(self._words)
        fits = self._maps.get(path)
        if fits is None:
            fits = self._maps[path] = self._of_map(path)
        return fits[0].get(member.path, fits[1])

    def _of_map(self, path: str) -> tuple[Mapping[str, float], float]:
        """How the places in a map fit: of each member of which words speak, and of the others."""
        places = self.learn(path)
        # A word in every line ("notes", "more on this") tells no member from another: weighed as BM25 does.
        weights = {}
        for word in self._words:
            there = places.there.get(word, 0)
            weights[word] = math.log(1 + (places.most - there + 0.5) / (there + 0.5))
        fits = {member: 0.0 for word in weights for member in places.said.get(word, ())}
        others = 0.0
        for word, weight in weights.items():
            here = places.said.get(word, {})
            if word in places.name:  # it goes for all alike
                others += _MAP * weight
                for member in fits:
                    fits[member] += here.get(member, _MAP) * weight
            else:
                for member, says in here.items():
                    fits[member] += says * weight
        most = sum(weights.values()) or 1.0
        return {member: said / most for member, said in fits.items()}, others / most

    def learn(self, path: str) -> _Places:
        """The words of the places in a map; they are kept for others who ask about the snapshot."""
        members = self._gathered(path)
        known = self._places.get(path)
        if known is not None and known.members is members:
            return known
        text = self._read(path)
        lines = self._lines(path, text) if text else {}
        sections = {member.section: _stems(member.section) for member in members}
        said: dict[str, dict[str, float]] = {}
        for member in members:
            for here, says in (
                (lines.get(member.path, _NOTHING), _MAP),
                (sections[member.section], _SECTION),
                (self._named(member.path), _NAME),
            ):
                for word in here:
                    said.setdefault(word, {})[member.path] = says
        words_of = [*(self._named(member.path) for member in members), *sections.values(), *lines.values()]
        found = _Places(members, _stems(base_of(path)), said, Counter(chain.from_iterable(words_of)), len(words_of))
        if text or not self._snapshot.notes[path].length:
            self._places[path] = found
        return found

    def _lines(self, path: str, text: str) -> Mapping[str, frozenset[str]]:
        """Member → the words of the line that links it, links left out."""
        found: dict[str, frozenset[str]] = {}
        for link in self._snapshot.notes[path].links:
            target = self._snapshot.names.resolve(link.target, path)
            if target is not None and target not in found and link.kind != "frontmatter":
                before = text[max(0, link.start - _LINE_CHARS) : link.start].rpartition("\n")[2]
                after = text[link.end : link.end + _LINE_CHARS].partition("\n")[0]
                found[target] = _stems(f"{before} {link.alias} {after}")
        return found

    def _named(self, path: str) -> frozenset[str]:
        found = self._names.get(path)
        if found is None:
            found = self._names[path] = _words_of_names(self._snapshot, path)
        return found


@lru_cache(maxsize=1 << 14)
def _stems(text: str) -> frozenset[str]:
    return frozenset(map(stem, words(text)))
