"""Maps of content: which notes are maps, and the walk outward from them."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from context.graph import Graph
from context.names import base_of, fold, folder_of
from context.note import Note

# A hub with little prose is a map even without a name that says so: at least this many links, and at least this share
# of links among its words (on a real vault of 6,571 notes these two find 16 maps, all of them true).
_HUB_LINKS = 10
_HUB_DENSITY = 0.08
# An average English word with its blank, in characters: the length of a text over this is its number of words.
_WORD = 6
_MAP_FOLDERS = ("maps", "categories", "mocs")


@dataclass(frozen=True, slots=True)
class Member:
    """A file that a map gathers.

    Attributes:
        path: the member.
        section: the heading path in the map under which it stands, "" above all headings or in the properties.
        how: "link", "embed", "property" (a link in the map's frontmatter), "base", "dataview", or "belongs: NAME" for a
            note whose property NAME links to the map.
    """

    path: str
    section: str
    how: str


@dataclass(frozen=True, slots=True)
class Step:
    """A note that the walk reached.

    Attributes:
        path: the note.
        weight: 1.0 for a map the walk began at, less with each step outward and each place down a section.
        via: the map that led here and its section, as "path" or "path#section"; "" for a beginning.
        depth: steps from the beginning.
    """

    path: str
    weight: float
    via: str
    depth: int


def map_reason(
    note: Note, out: Mapping[str, tuple[str, ...]], types: frozenset[str] = frozenset({"moc", "map"})
) -> str:
    """Why a note is a map of content, in a few words; "" when it is none."""
    if not note.is_text:
        return note.path.rpartition(".")[2]
    kind = note.properties.get("type")
    if isinstance(kind, str) and kind.casefold() in types:
        return f"type: {kind}"
    if any(tag.casefold() in {"moc", "map-of-content"} for tag in note.tags):
        return "tagged #moc"
    return _named_as_map(note.path) or _hub_reason(note, out)


def _named_as_map(path: str) -> str:
    name = base_of(path)
    words = "".join(c if c.isalnum() else " " for c in fold(name)).split()
    folders = fold(folder_of(path)).rstrip("/").split("/")
    if name.startswith("@"):
        return "name begins with @"
    # "Home" must be the whole name ("Home lab" is a note about a lab); "Index" may lead or close it ("Project index").
    if (
        "moc" in words
        or "map of" in " ".join(words)
        or words in (["home"], ["dashboard"])
        or "index" in (words[:1] + words[-1:])
    ):
        return "named as a map"
    if folders[-1] == fold(name):
        return "folder note"
    if folders[-1] in _MAP_FOLDERS:
        return f"in the folder {folders[-1]}"
    return ""


def _hub_reason(note: Note, out: Mapping[str, tuple[str, ...]]) -> str:
    links = len(out.get(note.path, ()))
    if links < _HUB_LINKS:
        return ""
    written = sum(link.end - link.start for link in note.links if link.kind != "frontmatter")
    words = links + max(0, note.length - note.body - written) // _WORD
    return f"a hub of {links} links" if links / words > _HUB_DENSITY else ""


def walk(
    starts: Iterable[tuple[str, float]],
    notes: Mapping[str, Note],
    graph: Graph,
    *,
    is_map: Mapping[str, str],
    gathered: Callable[[str], Iterable[Member]],
    limit: int = 200,
    decay: float = 0.5,
    depth: int = 2,
) -> list[Step]:
    """Walk outward from maps, best first, and give the notes reached by falling weight.

    Within a map the sections take turns, so that each is represented before any gives its second member; that keeps a
    hub of thousands of links fair and the walk bounded by `limit`. Maps found on the way are opened in turn; the links
    of an ordinary note count half. A note keeps the best weight that reached it; cycles end because no note is opened
    twice.

    Args:
        starts: maps to begin with and their weights in 0..1.
        notes: all notes by path.
        graph: their links.
        is_map: path → reason, for every map (see `map_reason`).
        gathered: what a map gathers, in its order (see `context.members`).
        limit: how many notes are returned at most.
        decay: factor per step outward.
        depth: steps outward at most.
    """
    queue: list[tuple[float, int, str, str]] = []
    best: dict[str, Step] = {}
    for path, weight in starts:
        heapq.heappush(queue, (-weight, 0, path, ""))
    while queue and len(best) < limit:
        negative, far, path, via = heapq.heappop(queue)
        if path in best or path not in notes:
            continue
        best[path] = Step(path, -negative, via, far)
        if far >= depth:
            continue
        # A note that is no map is context for its map, not a map of its own: its links count half.
        fade = decay if path in is_map else decay / 2
        told = _in_turns(gathered(path)) if path in is_map else _links(graph, path)
        for place, (target, section) in enumerate(told):
            if place >= limit:
                break
            if target in notes and target not in best:
                step = f"{path}#{section}" if section else path
                heapq.heappush(queue, (negative * fade / (1 + place / 50), far + 1, target, step))
    return list(best.values())


def _links(graph: Graph, path: str) -> Iterator[tuple[str, str]]:
    return ((target, "") for target in graph.out.get(path, ()))


def _in_turns(members: Iterable[Member]) -> Iterator[tuple[str, str]]:
    """Members section by section in turns: the first of each, then the second of each."""
    sections: dict[str, deque[str]] = {}
    for member in members:
        sections.setdefault(member.section, deque()).append(member.path)
    waiting = deque(sections.items())
    while waiting:
        section, paths = waiting.popleft()
        yield paths.popleft(), section
        if paths:
            waiting.append((section, paths))
