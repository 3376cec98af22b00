"""Lexicon: the names by which notes are spoken of, titles and aliases, and which of them a text speaks."""

import re
from collections.abc import Iterable, Iterator, Mapping

from context.names import base_of, fold
from context.note import Note
from context.words import spaced

_WORD = re.compile(r"[^\W_]+")
# What stands in parentheses at the end of a name tells it from others and is seldom spoken: "Mercury (planet)".
_APART = re.compile(r"\s*\([^()]*\)\s*$")
# A longer name is a sentence.
_MOST_WORDS = 10


def spoken(text: str) -> list[str]:
    """The words of a text as names are compared by: folded, without marks, characters without blanks one by one."""
    return _WORD.findall(fold(spaced(text)))


class Lexicon:
    """Names → notes, by their words. Immutable."""

    def __init__(self, notes: Mapping[str, Note]) -> None:
        """Of all notes, by path."""
        self._named: dict[str, tuple[str, ...]] = {}
        # First word of names → how many words the longest of them has.
        self._longest: dict[str, int] = {}
        for path in sorted(notes):
            self._add(notes[path])

    def updated(self, came: Iterable[Note], went: Iterable[Note]) -> "Lexicon":
        """The same after some notes came and others went; one that changed does both."""
        after = Lexicon({})
        after._named, after._longest = dict(self._named), dict(self._longest)
        for note in went:
            for name in _names(note):
                left = tuple(path for path in after._named.get(name, ()) if path != note.path)
                if left:
                    after._named[name] = left
                else:
                    after._named.pop(name, None)
        for note in came:
            after._add(note)
        return after

    def __getitem__(self, name: str) -> tuple[str, ...]:
        """The notes of a name given as its words, in path order; none when no note has it."""
        return self._named.get(name, ())

    def names_in(self, text: str) -> dict[str, tuple[str, ...]]:
        """The names that a text speaks, each as its words, and their notes; the longest that begins at each word."""
        words = spoken(text)
        found: dict[str, tuple[str, ...]] = {}
        free = 0  # up to here words belong to a name
        for at, longest in enumerate(map(self._longest.get, words)):
            if longest is None or at < free:
                continue
            for count in range(min(longest, len(words) - at), 0, -1):
                name = " ".join(words[at : at + count])
                if name in self._named:
                    found[name] = self._named[name]
                    free = at + count
                    break
        return found

    def _add(self, note: Note) -> None:
        for name in _names(note):
            first = name.partition(" ")[0]
            self._longest[first] = max(self._longest.get(first, 0), name.count(" ") + 1)
            others = self._named.get(name)
            self._named[name] = tuple(sorted({*others, note.path})) if others else (note.path,)


def _names(note: Note) -> Iterator[str]:
    """The names of a note, each as its words, each once."""
    names = (base_of(note.path), *note.aliases)
    forms = dict.fromkeys(form for name in names for form in ((name, _APART.sub("", name)) if "(" in name else (name,)))
    words = map(spoken, forms)
    yield from dict.fromkeys(" ".join(name) for name in words if 0 < len(name) <= _MOST_WORDS)
