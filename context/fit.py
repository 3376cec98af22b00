"""How well a member's place in a map fits a request: by its name, its section, and the line its link stands in."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from context.maps import Member
from context.names import base_of
from context.vault import Snapshot
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
class _Told:
    """What a map says: how telling each word of the request is in it, all of them together, its own name, its lines."""

    weights: Mapping[str, float]
    most: float
    name: frozenset[str] = frozenset()
    lines: Mapping[str, frozenset[str]] = field(default_factory=dict)


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
        self._maps: dict[str, _Told] = {}
        self._names: dict[str, frozenset[str]] = snapshot.kept.setdefault("names as words", {})

    def __call__(self, path: str, member: Member) -> float:
        """How well a member of a map fits, by its place and its text, in 0..1."""
        return 1 - (1 - self.place(path, member)) * (1 - _TEXT * self._hits.get(member.path, 0.0))

    def place(self, path: str, member: Member) -> float:
        """How well the place of a member fits the words, in 0..1. Of a note that is no map only names are known."""
        if not self._words:
            return 0.0
        told = self._maps.get(path)
        if told is None:
            told = self._maps[path] = self._told(path)
        name, section, line = self._named(member.path), _stems(member.section), told.lines.get(member.path, _NOTHING)
        said = 0.0
        for word, weight in told.weights.items():
            if word in name:
                said += _NAME * weight
            elif word in section:
                said += _SECTION * weight
            elif word in told.name or word in line:
                said += _MAP * weight
        return said / told.most

    def _told(self, path: str) -> _Told:
        if path not in self._snapshot.maps:
            return _Told(dict.fromkeys(self._words, 1.0), len(self._words) or 1.0)
        members, lines = list(self._gathered(path)), self._lines(path)
        sections = {member.section for member in members}
        places = [*(self._named(member.path) for member in members), *map(_stems, sections), *lines.values()]
        # A word in every line ("notes", "more on this") tells no member from another: weighed as BM25 does.
        weights = {}
        for word in self._words:
            there = sum(word in place for place in places)
            weights[word] = math.log(1 + (len(places) - there + 0.5) / (there + 0.5))
        return _Told(weights, sum(weights.values()) or 1.0, _stems(base_of(path)), lines)

    def _lines(self, path: str) -> Mapping[str, frozenset[str]]:
        """Member → the words of the line that links it, links left out."""
        kept, key = self._snapshot.kept, f"lines {path}"
        text = self._read(path)
        if key in kept or not text:
            return kept.get(key) or {}
        found: dict[str, frozenset[str]] = {}
        for link in self._snapshot.notes[path].links:
            target = self._snapshot.names.resolve(link.target, path)
            if target is not None and target not in found and link.kind != "frontmatter":
                before = text[max(0, link.start - _LINE_CHARS) : link.start].rpartition("\n")[2]
                after = text[link.end : link.end + _LINE_CHARS].partition("\n")[0]
                found[target] = _stems(f"{before} {link.alias} {after}")
        kept[key] = found
        return found

    def _named(self, path: str) -> frozenset[str]:
        if path not in self._names:
            note = self._snapshot.notes.get(path)
            self._names[path] = _stems(" ".join((base_of(path), *(note.aliases if note else ()))))
        return self._names[path]


@lru_cache(maxsize=1 << 14)
def _stems(text: str) -> frozenset[str]:
    return frozenset(map(stem, words(text)))
