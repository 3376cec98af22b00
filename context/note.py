"""A note: one file of the vault, parsed into properties, headings, links, tags and tasks; carries its privacy label."""

import codecs
import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from msgspec import Raw, Struct, msgpack, to_builtins

from context.frontmatter import read
from context.inline import Field, Item
from context.names import base_of
from context.private import is_marked, says_private
from context.queries import QueryBlock, find
from context.scan import Block, Heading, Link, Scanned, Task, scan, wikilinks

__all__ = [
    "Block",
    "Field",
    "Front",
    "Heading",
    "Item",
    "Link",
    "Note",
    "Parts",
    "QueryBlock",
    "Task",
    "decode",
    "packed",
    "parse",
    "unpacked_properties",
]

_TAGS = frozenset({"tag", "tags"})
_ALIASES = frozenset({"alias", "aliases"})
_BETWEEN_TAGS = re.compile(r"[\s,]+")
# A canvas with more nodes than this is a file made by a program; each brace may open one.
_CANVAS_NODES = 10_000
_CANVAS_BRACES = 50_000
# What makes a text long to read is less its size than what stands in it: lines, and marks that may open a heading,
# link, tag, task, field or code. A book has some 20,000; a text with many more takes seconds and much memory.
MOST_MARKS = 30_000
_MARK = re.compile(r"[\n`~$%<#]|\[\[|\]\(|\] |::")
# Scripts written without blanks. Each of their characters is a word of its own in the index: a novel has 150,000.
UNSPACED = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
MOST_UNSPACED = 150_000
_UNSPACED = re.compile(f"[{UNSPACED}]")
# How the flag begins of a note that is not read to its end.
CUT_SHORT = "too much"


class Front(Struct, frozen=True, array_like=True):
    """What the properties of a note say: themselves, as JSON has them, and its tags and aliases (see `Note`)."""

    properties: dict[str, Any]
    tags: tuple[str, ...]
    aliases: tuple[str, ...]


class Parts(Struct, frozen=True, array_like=True, gc=False):
    """What stands in a note (see `Note`)."""

    headings: tuple[Heading, ...] = ()
    links: tuple[Link, ...] = ()
    tasks: tuple[Task, ...] = ()
    blocks: tuple[Block, ...] = ()
    items: tuple[Item, ...] = ()
    fields: tuple[Field, ...] = ()
    queries: tuple[QueryBlock, ...] = ()


class _Target(Struct, frozen=True, array_like=True, gc=False):
    """Of a `Link`, what it leads to."""

    kind: Raw
    target: str


class _Targets(Struct, frozen=True, array_like=True, gc=False):
    """Of `Parts`, where the links lead: all that is unpacked when every note of a vault is linked."""

    headings: Raw
    links: tuple[_Target, ...]


# Whoever looks at one note looks at it again soon; whoever looks at every note of a large vault pays 5 µs for each.
_KEPT_NOTES = 16384
_encode = msgpack.Encoder().encode
_front = lru_cache(maxsize=_KEPT_NOTES)(msgpack.Decoder(Front).decode)
_parts = lru_cache(maxsize=_KEPT_NOTES)(msgpack.Decoder(Parts).decode)
_targets = msgpack.Decoder(_Targets).decode
_NO_FRONT = Front({}, (), ())


class Note(Struct, frozen=True, array_like=True, gc=False):
    """One file of Markdown, a canvas or a base, parsed. All offsets are in characters of its decoded text.

    What was found in it is kept packed, as the index has it: a vault is opened without unpacking, and a large one fits
    into memory.

    Attributes:
        path: from the root of the vault, with `/`.
        mtime_ns, size: of the file, in nanoseconds and bytes; for telling whether it may have changed.
        digest: SHA-256 of its bytes, 64 hex.
        length: characters of its text.
        body: where the text after the properties begins.
        flags: what is wrong with it, for people, as "about: what"; a flagged note is still served as far as it goes.
        private: whether it must stay in the house: it says so by `private: true`, a tag, or what may be meant as one
            (see `context.private`), or its properties or its end cannot be read, so that nobody knows what they say.
        front, parts: a `Front` and a `Parts`, packed.
    """

    path: str
    mtime_ns: int
    size: int
    digest: str
    length: int
    body: int
    flags: tuple[str, ...]
    private: bool
    front: bytes
    parts: bytes

    @property
    def properties(self) -> Mapping[str, Any]:
        """By name, as JSON has them; none when they cannot be read."""
        return _front(self.front).properties

    @property
    def tags(self) -> tuple[str, ...]:
        """From properties and text, without `#`, each once."""
        return _front(self.front).tags

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names, from the properties."""
        return _front(self.front).aliases

    @property
    def headings(self) -> tuple[Heading, ...]:
        """In the order of the text."""
        return _parts(self.parts).headings

    @property
    def links(self) -> tuple[Link, ...]:
        """In the order of the text, those in properties first."""
        return _parts(self.parts).links

    @property
    def targets(self) -> list[str]:
        """What each link leads to, in their order."""
        return [link.target for link in _targets(self.parts).links]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """In the order of the text."""
        return _parts(self.parts).tasks

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Block ids, in the order of the text."""
        return _parts(self.parts).blocks

    @property
    def items(self) -> tuple[Item, ...]:
        """The list item of each task."""
        return _parts(self.parts).items

    @property
    def fields(self) -> tuple[Field, ...]:
        """Inline fields, in the order of the text."""
        return _parts(self.parts).fields

    @property
    def queries(self) -> tuple[QueryBlock, ...]:
        """Of Bases and Dataview, blocks and inline ones, in the order of the text; of a base the whole file."""
        return _parts(self.parts).queries

    @property
    def is_text(self) -> bool:
        """Whether it is Markdown, which can be quoted; a canvas or a base only says what belongs together."""
        return self.path.endswith(".md")

    @property
    def title(self) -> str:
        """Its name: that of the file without folder and ending, as Obsidian shows it."""
        return base_of(self.path)


def unpacked_properties(front: bytes) -> Mapping[str, Any]:
    """The properties in the packed front of a note (see `Note.front`)."""
    return _front(front).properties


def decode(data: bytes, length: int | None = None) -> tuple[str, str]:
    """The text of a file and what is wrong with it, "" when nothing is.

    A byte order mark stays the first character of the text, and line ends stay as they are. UTF-16 is read by its
    mark; bytes that are no UTF-8 become U+FFFD; a file with NUL bytes is no text. A text with more than MOST_MARKS
    marks ends before the line that has one too many, and one with more than MOST_UNSPACED words before the next.

    Args:
        data: the bytes of the file.
        length: how many characters of it are read, when these bytes were read before.
    """
    text, fault = _decoded(data)
    end = _end(text) if length is None else length
    if end == len(text):
        return text, fault
    return text[:end], f"{CUT_SHORT}: only its first {end} characters are read, as so many lines, marks or words follow"


def _end(text: str) -> int:
    """How much of a text is read, in characters."""
    if len(text) <= MOST_MARKS:
        return len(text)
    marked = next(islice(_MARK.finditer(text), MOST_MARKS, None), None)
    end = len(text) if marked is None else text.rfind("\n", 0, marked.start()) + 1 or marked.start()
    worded = None if end <= MOST_UNSPACED or text.isascii() else _UNSPACED.finditer(text, 0, end)
    beyond = next(islice(worded, MOST_UNSPACED, None), None) if worded else None
    return end if beyond is None else beyond.start()


def _decoded(data: bytes) -> tuple[str, str]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").replace(
            "\0", "\ufffd"
        ), "encoding: UTF-16, which Obsidian does not read"
    if b"\0" in data:
        return "", "binary: it holds NUL bytes and is no text"
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), "encoding: some bytes are no UTF-8"


def parse(path: str, data: bytes, mtime_ns: int = 0, *, private_tags: frozenset[str] = frozenset({"private"})) -> Note:
    """Parse the bytes of a note. Never raises: what is wrong becomes a flag.

    Args:
        path: from the root of the vault.
        data: its bytes.
        mtime_ns: of the file.
        private_tags: tags that make a note private; a nested tag counts as its parents.
    """
    return parse_text(path, data, mtime_ns, private_tags=private_tags)[0]


def parse_text(path: str, data: bytes, mtime_ns: int, *, private_tags: frozenset[str]) -> tuple[Note, str]:
    """The same, and the text that the offsets of the note are of."""
    text, fault = decode(data)
    flags = [fault] if fault else []
    body, private = 0, False
    front, parts = _NO_FRONT, Parts()
    if path.endswith(".canvas"):
        links, private, problem = _canvas(text, private_tags)
        parts = Parts(links=links)
        flags += [problem] if problem else []
    elif path.endswith(".base"):
        parts = Parts(queries=(QueryBlock("base", text, 0, len(text), ""),))
    else:
        read_front = read(text)
        properties, body = read_front.properties, read_front.body
        if read_front.problem:
            flags.append(f"frontmatter: {read_front.problem}")
        found = scan(text, body)
        props = [link for prop, start, end in read_front.spans for link in wikilinks(text, start, end, prop)]
        tags, aliases = _each_once([*_property_tags(properties), *found.tags]), _each_once(_aliases(properties))
        front = Front(properties, tags, aliases)
        private = bool(read_front.problem) or fault.startswith(CUT_SHORT)
        private = private or says_private(properties, tags, private_tags)
        private = private or _is_marked_private(text, found, private_tags)
        parts = Parts(
            found.headings,
            (*props, *found.links) if props else found.links,
            found.tasks,
            found.blocks,
            found.items,
            found.fields,
            tuple(find(text, found.headings, found.dead)),
        )
    digest = hashlib.sha256(data).hexdigest()
    note = Note(path, mtime_ns, len(data), digest, len(text), body, tuple(flags), private, packed(front), packed(parts))
    return note, text


def packed(value: Front | Parts) -> bytes:
    """What was found, as a note keeps it. A lone surrogate, which JSON can spell and UTF-8 cannot, becomes `?`."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        text = json.dumps(to_builtins(value), ensure_ascii=False)
        return _encode(json.loads(text.encode("utf-8", "replace")))


def _property_tags(properties: Mapping[str, Any]) -> list[str]:
    texts = [item for name in properties if name.lower() in _TAGS for item in _texts(properties[name])]
    return [tag for text in texts for part in _BETWEEN_TAGS.split(text) if (tag := part.strip("#/ "))]


def _aliases(properties: Mapping[str, Any]) -> list[str]:
    values = [value for name, value in properties.items() if name.lower() in _ALIASES]
    texts = [text for one in values for text in (one.split(",") if isinstance(one, str) else _texts(one))]
    return [alias for text in texts if (alias := text.strip())]


def _each_once(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts)) if texts else ()


def _texts(value: Any) -> list[str]:
    """The texts in a property; a number is the text a person meant (`aliases: [1984]`)."""
    items = value if isinstance(value, list) else [value]
    return [str(item) for item in items if isinstance(item, str | int | float) and not isinstance(item, bool)]


def _is_marked_private(text: str, found: Scanned, private_tags: frozenset[str]) -> bool:
    """Whether a Markdown text says by an inline field or a mark that it is private."""
    fields = any(says_private({one.name: one.value}, (), private_tags) for one in found.fields)
    return fields or is_marked(text, 0, found.dead, private_tags)


def _canvas(text: str, private_tags: frozenset[str]) -> tuple[tuple[Link, ...], bool, str]:
    """Of a canvas (JSON Canvas 1.0): its links, whether it says that it is private, and what is wrong with it.

    Its links are its file nodes, and the wikilinks in its text nodes.
    """
    if text.count("{") > _CANVAS_BRACES:
        return (), False, "canvas: made by a program, with more nodes than are read"
    try:
        nodes = json.loads(text.lstrip("\ufeff") or "{}").get("nodes", [])
        if not isinstance(nodes, list):
            return (), False, "canvas: it holds no list of nodes"
    except (ValueError, AttributeError, RecursionError):
        return (), False, "canvas: not JSON"
    links: list[Link] = []
    private = False
    for node in nodes[:_CANVAS_NODES]:
        if not isinstance(node, dict):
            continue
        if isinstance(node.get("file"), str):
            sub = node.get("subpath")
            links.append(Link("canvas", node["file"], sub.lstrip("#") if isinstance(sub, str) else "", "", 0, 0))
        elif isinstance(node.get("text"), str):
            found = scan(node["text"])
            links += (Link("canvas", one.target, one.sub, one.alias, 0, 0) for one in found.links)
            private = private or says_private({}, found.tags, private_tags)
            private = private or _is_marked_private(node["text"], found, private_tags)
    return tuple(links), private, ""
