"""Kinds of notes: what makes a note one of a kind, where new ones go and what they are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from context.names import fold
from context.note import Note

# The kinds that commands ask for by name.
PROJECT, SYSTEM, DAILY, MAP = "project", "hardware", "daily", "moc"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of note. A note is of it by its type; one without a type that is known, by a tag or its folder.

    Attributes:
        name: of the kind.
        types: values of the property `type`, folded.
        folder: where notes of the kind lie and new ones go, as a vault path; "" for no folder of its own.
        tags: of its notes, without #; a nested tag counts as those above it.
        keywords: words that show that a text speaks of this kind: beside one of them a name is surely meant.
        template: the note that a new one is made from, as a vault path; "" for none.
    """

    name: str
    types: tuple[str, ...] = ()
    folder: str = ""
    tags: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    template: str = ""


def _kind(name: str, types: str, tags: str = "") -> Kind:
    return Kind(name, tuple(types.split()), tags=tuple(tags.split()))


# The kinds there are when nobody says more.
KINDS = (
    _kind(PROJECT, "project"),
    _kind(SYSTEM, "hardware system infrastructure service server device"),
    _kind("person", "person people contact"),
    _kind("knowledge", "knowledge research technique recipe book article paper concept decision reference"),
    _kind(DAILY, "daily"),
    _kind(MAP, "moc map", "moc map-of-content"),
)


@dataclass(frozen=True)
class Kinds:
    """The kinds of one vault. Where several fit a note, the first counts."""

    all: tuple[Kind, ...] = KINDS

    def __getitem__(self, name: str) -> Kind:
        """The kind of a name; one that no note is of when there is none."""
        return next((kind for kind in self.all if kind.name == name), Kind(name))

    @cached_property
    def _by_type(self) -> Mapping[str, str]:
        return {said: kind.name for kind in reversed(self.all) for said in kind.types}

    @cached_property
    def _signs(self) -> tuple[tuple[Kind, ...], tuple[Kind, ...]]:
        """The kinds that have tags, and those that have a folder: most have neither."""
        return tuple(kind for kind in self.all if kind.tags), tuple(kind for kind in self.all if kind.folder)

    def typed(self, note: Note) -> str:
        """The name of the kind that a note's type says; "" for none."""
        return self._by_type.get(type_of(note), "")

    def of(self, note: Note) -> str:
        """The name of a note's kind: by its type, else by a tag, else by its folder; "" for none.

        A type that no kind knows is still what the note says it is: neither tags nor folder speak against it.
        """
        said = type_of(note)
        if said:
            return self._by_type.get(said, "")
        by_tag, by_folder = self._signs
        tagged = (kind.name for kind in by_tag if tagged_as(note, kind.tags)) if note.tags else ()
        return next(iter(tagged), "") or next((kind.name for kind in by_folder if lies_in(note, kind.folder)), "")


def type_of(note: Note) -> str:
    """The property `type` of a note, folded; "" when there is none."""
    value = note.properties.get("type")
    return _folded(value) if isinstance(value, str) else ""


# Each is asked of every note, and a vault has few types and tags.
@lru_cache(maxsize=4096)
def _folded(value: str) -> str:
    return fold(value.strip())


def tagged_as(note: Note, tags: tuple[str, ...]) -> bool:
    """Whether a note carries one of some tags, or one nested in them."""
    if tags:
        for own in note.tags:  # a plain loop: half the time of a generator
            if _within(own, tags):
                return True
    return False


@lru_cache(maxsize=4096)
def _within(own: str, tags: tuple[str, ...]) -> bool:
    return any(f"{fold(own)}/".startswith(f"{fold(tag)}/") for tag in tags)


def lies_in(note: Note, folder: str) -> bool:
    """Whether a note lies in a folder or one below it."""
    return bool(folder) and fold(note.path).startswith(f"{fold(folder)}/")


def configured(table: Mapping[str, Mapping[str, Any]]) -> tuple[Kind, ...]:
    """The kinds there are with what a configuration says of them, and those it adds.

    Args:
        table: name of a kind → its fields as the configuration has them. A kind that is new, and says no types, has
            its own name as its type.
    """
    known = {kind.name: kind for kind in KINDS}
    for name, fields in table.items():
        shape: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
        }
        if "types" in shape:
            shape["types"] = tuple(map(fold, shape["types"]))
        known[name] = replace(known.get(name) or Kind(name, (fold(name),)), **shape)
    return tuple(known.values())
