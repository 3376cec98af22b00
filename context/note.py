"""A note: one file of the vault, parsed into properties, headings, links, tags and tasks; carries its privacy label."""

import codecs
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from operator import attrgetter
from typing import Any

from context.frontmatter import read
from context.inline import Field, Item
from context.names import base_of, fold
from context.queries import QueryBlock, find
from context.scan import Block, Heading, Link, Task, scan, wikilinks

__all__ = [
    "Block",
    "Field",
    "Heading",
    "Item",
    "Link",
    "Note",
    "QueryBlock",
    "Task",
    "decode",
    "from_row",
    "parse",
    "to_row",
]

_TAGS = re.compile(r"tags?", re.IGNORECASE)
_ALIASES = re.compile(r"alias(?:es)?", re.IGNORECASE)
_BETWEEN_TAGS = re.compile(r"[\s,]+")
# What people write for "no"; anything else in `private` counts as yes.
_NOT_PRIVATE = frozenset({"", "no", "false", "off", "0"})
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


@dataclass(frozen=True, slots=True)
class Note:
    """One file of Markdown, a canvas or a base, parsed. All offsets are in characters of its decoded text.

    Attributes:
        path: from the root of the vault, with `/`.
        mtime_ns, size: of the file, in nanoseconds and bytes; for telling whether it may have changed.
        digest: SHA-256 of its bytes, 64 hex.
        length: characters of its text.
        body: where the text after the properties begins.
        properties: as JSON has them; empty when they cannot be read.
        headings, links, tasks, blocks, fields: in the order of the text; links in properties come first.
        items: the list item of each task.
        queries: of Bases and Dataview, blocks and inline ones, in the order of the text; of a base the whole file.
        tags: from properties and text, without `#`, each once.
        aliases: other names, from the properties.
        flags: what is wrong with it, for people, as "about: what"; a flagged note is still served as far as it goes.
        private: whether it must stay in the house: it says so by `private: true` or a tag, or its properties or its end
            cannot be read, so that nobody knows what they say.
    """

    path: str
    mtime_ns: int
    size: int
    digest: str
    length: int
    body: int
    properties: Mapping[str, Any]
    headings: tuple[Heading, ...]
    links: tuple[Link, ...]
    tags: tuple[str, ...]
    aliases: tuple[str, ...]
    tasks: tuple[Task, ...]
    blocks: tuple[Block, ...]
    flags: tuple[str, ...]
    private: bool
    items: tuple[Item, ...] = ()
    fields: tuple[Field, ...] = ()
    queries: tuple[QueryBlock, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether it is Markdown, which can be quoted; a canvas or a base only says what belongs together."""
        return self.path.endswith(".md")

    @property
    def title(self) -> str:
        """Its name: that of the file without folder and ending, as Obsidian shows it."""
        return base_of(self.path)


def decode(data: bytes) -> tuple[str, str]:
    """The text of a file and what is wrong with it, "" when nothing is.

    A byte order mark stays the first character of the text, and line ends stay as they are. UTF-16 is read by its
    mark; bytes that are no UTF-8 become U+FFFD; a file with NUL bytes is no text. A text with more than MOST_MARKS
    marks ends before the line that has one too many, and one with more than MOST_UNSPACED words before the next.
    """
    text, fault = _decoded(data)
    end = _end(text)
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
    text, fault = decode(data)
    flags = [fault] if fault else []
    digest = hashlib.sha256(data).hexdigest()
    if path.endswith(".canvas"):
        links, problem = _canvas(text)
        flags += [problem] if problem else []
        return Note(
            path, mtime_ns, len(data), digest, len(text), 0, {}, (), links, (), (), (), (), tuple(flags), private=False
        )
    if path.endswith(".base"):
        whole = (QueryBlock("base", text, 0, len(text), ""),)
        no = ((), (), (), (), (), ())
        return Note(
            path, mtime_ns, len(data), digest, len(text), 0, {}, *no, tuple(flags), private=False, queries=whole
        )
    front = read(text)
    if front.problem:
        flags.append(f"frontmatter: {front.problem}")
    found = scan(text, front.body)
    props = [link for prop, start, end in front.spans for link in wikilinks(text, start, end, prop)]
    tags = tuple(dict.fromkeys((*_property_tags(front.properties), *found.tags)))
    return Note(
        path=path,
        mtime_ns=mtime_ns,
        size=len(data),
        digest=digest,
        length=len(text),
        body=front.body,
        properties=front.properties,
        headings=found.headings,
        links=(*props, *found.links) if props else found.links,
        tags=tags,
        aliases=tuple(dict.fromkeys(_aliases(front.properties))),
        tasks=found.tasks,
        blocks=found.blocks,
        flags=tuple(flags),
        private=bool(front.problem)
        or fault.startswith(CUT_SHORT)
        or _says_private(front.properties, tags, private_tags),
        items=found.items,
        fields=found.fields,
        queries=tuple(find(text, front.body, found.headings)),
    )


def _says_private(properties: Mapping[str, Any], tags: Iterable[str], private_tags: frozenset[str]) -> bool:
    for name, value in properties.items():
        if fold(name) == "private" and value not in (False, None, 0) and fold(str(value).strip()) not in _NOT_PRIVATE:
            return True
    wanted = {fold(tag) for tag in private_tags}
    return any(parent in wanted for tag in tags for parent in _parents(fold(tag)))


def _parents(tag: str) -> Iterator[str]:
    """A nested tag and all above it: a/b/c, a/b, a."""
    while tag:
        yield tag
        tag = tag.rpartition("/")[0]


def _property_tags(properties: Mapping[str, Any]) -> Iterator[str]:
    for name, value in properties.items():
        if _TAGS.fullmatch(name):
            for item in _texts(value):
                yield from (tag for part in _BETWEEN_TAGS.split(item) if (tag := part.strip("#/ ")))


def _aliases(properties: Mapping[str, Any]) -> Iterator[str]:
    for name, value in properties.items():
        if _ALIASES.fullmatch(name):
            for item in _texts(value):
                parts = item.split(",") if isinstance(value, str) else [item]
                yield from (alias for part in parts if (alias := part.strip()))


def _texts(value: Any) -> list[str]:
    """The texts in a property; a number is the text a person meant (`aliases: [1984]`)."""
    items = value if isinstance(value, list) else [value]
    return [str(item) for item in items if isinstance(item, str | int | float) and not isinstance(item, bool)]


def _canvas(text: str) -> tuple[tuple[Link, ...], str]:
    """The links of a canvas (JSON Canvas 1.0): its file nodes, and the wikilinks in its text nodes."""
    if text.count("{") > _CANVAS_BRACES:
        return (), "canvas: made by a program, with more nodes than are read"
    try:
        nodes = json.loads(text.lstrip("\ufeff") or "{}").get("nodes", [])
        if not isinstance(nodes, list):
            return (), "canvas: it holds no list of nodes"
    except (ValueError, AttributeError, RecursionError):
        return (), "canvas: not JSON"
    links: list[Link] = []
    for node in nodes[:_CANVAS_NODES]:
        if not isinstance(node, dict):
            continue
        if isinstance(node.get("file"), str):
            sub = node.get("subpath")
            links.append(Link("canvas", node["file"], sub.lstrip("#") if isinstance(sub, str) else "", "", 0, 0))
        elif isinstance(node.get("text"), str):
            links += (Link("canvas", one.target, one.sub, one.alias, 0, 0) for one in scan(node["text"]).links)
    return tuple(links), ""


# `dataclasses.astuple` copies every value: a quarter of the time of a cold index.
_HEADING, _LINK, _TASK, _BLOCK, _ITEM, _FIELD, _QUERY = (
    attrgetter(*(field.name for field in fields(kind)))
    for kind in (Heading, Link, Task, Block, Item, Field, QueryBlock)
)


def to_row(note: Note) -> list[Any]:
    """A note as a JSON-able list, for the index."""
    return [
        note.path,
        note.mtime_ns,
        note.size,
        note.digest,
        note.length,
        note.body,
        note.properties,
        [_HEADING(one) for one in note.headings],
        [_LINK(one) for one in note.links],
        note.tags,
        note.aliases,
        [_TASK(one) for one in note.tasks],
        [_BLOCK(one) for one in note.blocks],
        note.flags,
        note.private,
        [_ITEM(one) for one in note.items],
        [_FIELD(one) for one in note.fields],
        [_QUERY(one) for one in note.queries],
    ]


def from_row(row: Sequence[Any]) -> Note:
    """The note that `to_row` made a list of.

    Raises:
        TypeError, ValueError: it is no such list.
    """
    (
        path,
        mtime,
        size,
        digest,
        length,
        body,
        properties,
        headings,
        links,
        tags,
        aliases,
        tasks,
        blocks,
        flags,
        private,
        items,
        inline,
        queries,
    ) = row
    return Note(
        path,
        mtime,
        size,
        digest,
        length,
        body,
        properties,
        tuple(Heading(*one) for one in headings),
        tuple(Link(*one) for one in links),
        tuple(tags),
        tuple(aliases),
        tuple(Task(*one) for one in tasks),
        tuple(Block(*one) for one in blocks),
        tuple(flags),
        private,
        tuple(Item(*one) for one in items),
        tuple(Field(*one) for one in inline),
        tuple(QueryBlock(*one) for one in queries),
    )
