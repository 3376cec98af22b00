"""Maps of content: which notes are maps, what they gather, and the walk outward from them."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from context.graph import Graph
from context.names import Names, base_of, fold, folder_of
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
        how: "link", "embed", "property" (a link in the map's frontmatter).
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
    if note.path.endswith(".canvas"):
        return "canvas"
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


def members(note: Note, names: Names) -> list[Member]:
    """What a map gathers by static links, in its order; each member once, under the first section that names it."""
    found: dict[str, Member] = {}
    spots = iter(heading_paths(note))
    spot = next(spots, None)
    section: tuple[str, ...] = ()
    for link in sorted(note.links, key=lambda link: (link.kind != "frontmatter", link.start)):
        path = names.resolve(link.target, note.path)
        if link.kind != "frontmatter":
            while spot is not None and spot[0] <= link.start:
                section, spot = spot[1], next(spots, None)
        if path is None or path == note.path or path in found:
            continue
        how = {"frontmatter": "property", "embed": "embed"}.get(link.kind, "link")
        found[path] = Member(path, "" if how == "property" else " > ".join(section), how)
    return list(found.values())


def heading_paths(note: Note) -> list[tuple[int, tuple[str, ...]]]:
    """Where each heading stands and the path of headings down to it, in order: [(offset, ("Scope", "Later")), …]."""
    stack: list[tuple[int, str]] = []
    paths: list[tuple[int, tuple[str, ...]]] = []
    for heading in note.headings:
        while stack and stack[-1][0] >= heading.level:
            stack.pop()
        stack.append((heading.level, heading.text))
        paths.append((heading.start, tuple(text for _, text in stack)))
    return paths


def walk(
    starts: Iterable[tuple[str, float]],
    notes: Mapping[str, Note],
    graph: Graph,
    names: Names,
    *,
    is_map: Mapping[str, str],
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
        names: their names.
        is_map: path → reason, for every map (see `map_reason`).
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
        gathered = _in_turns(members(notes[path], names)) if path in is_map else _links(graph, path)
        for place, (target, section) in enumerate(gathered):
            if place >= limit:
                break
            if target in notes and target not in best:
                step = f"{path}#{section}" if section else path
                heapq.heappush(queue, (negative * fade / (1 + place / 50), far + 1, target, step))
    return list(best.values())


def _links(graph: Graph, path: str) -> Iterator[tuple[str, str]]:
    return ((target, "") for target in graph.out.get(path, ()))


def _in_turns(gathered: Iterable[Member]) -> Iterator[tuple[str, str]]:
    """Members section by section in turns: the first of each, then the second of each."""
    sections: dict[str, deque[str]] = {}
    for member in gathered:
        sections.setdefault(member.section, deque()).append(member.path)
    waiting = deque(sections.items())
    while waiting:
        section, paths = waiting.popleft()
        yield paths.popleft(), section
        if paths:
            waiting.append((section, paths))
