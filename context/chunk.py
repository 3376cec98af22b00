"""Chunks: the pieces of a note that full-text search finds, each with the words it is found by."""

from collections.abc import Iterable

from msgspec import Struct

from context.names import base_of, folder_of
from context.note import Note
from context.passage import bytes4, cut
from context.words import spaced

# The unit that is searched: small pieces rank better than large ones, and a paragraph is not torn (docs/benchmarks.md).
CHUNK_TOKENS = 150
BLOCK_TOKENS = 400
_MOST_VALUES = 1000


class Chunk(Struct, frozen=True, array_like=True, gc=False):
    """A piece of a note.

    Attributes:
        start, stop: where it stands in the note's text, in characters.
        heading: the heading path above it, joined by " > ".
        title, body, properties: its words: name and aliases of the note, its own text, and (in the first piece of a
            note alone) its name again, and what the properties, the tags and the folder say.
    """

    start: int
    stop: int
    heading: str
    title: str
    body: str
    properties: str


def chunks(note: Note, text: str) -> list[Chunk]:
    """The chunks of a note; one without text is still found by its name and properties."""
    title = spaced(" ".join((base_of(note.path), *note.aliases)))
    about = spaced(" ".join((title, _words_of([note.properties]), *note.tags, folder_of(note.path).replace("/", " "))))
    pieces = cut(note, text, limit=BLOCK_TOKENS, count=bytes4, pack=CHUNK_TOKENS) if note.is_text else []
    if not pieces:
        return [Chunk(note.body, note.body, "", title, "", about)]
    return [
        Chunk(piece.start, piece.end, " > ".join(piece.heading), title, spaced(text[piece.start : piece.end]), words)
        for piece, words in zip(pieces, (about, *[""] * (len(pieces) - 1)), strict=True)
    ]


def _words_of(values: Iterable[object]) -> str:
    words: list[str] = []
    waiting: list[object] = list(values)
    while waiting and len(words) < _MOST_VALUES:
        value = waiting.pop(0)
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, dict):
            words.extend(map(str, value))
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            words.append(str(value))
    return " ".join(words)
