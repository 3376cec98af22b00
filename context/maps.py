"""Maps of content: which notes are maps, and the walk outward from them."""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from context.graph import Graph
from context.kinds import Kind, lies_in, tagged_as, type_of
from context.names import base_of, fold, folder_of
from context.note import Note

# A hub with little prose is a map even without a name that says so: at least this many links, and at least this share
# of links among its words (on a real vault of 6,571 notes these two find 16 maps, all of them true).
_HUB_LINKS = 10
_HUB_DENSITY = 0.08
# An average English word with its blank, in characters: the length of a text over this is its number of words.
_WORD = 6
# A note that more of the notes link to than this share, and than this many, is known to all and leads nowhere.
_HUB_SHARE = 0.1
_HUB_BACKLINKS = 50
# After so many members of a section the next weighs half.
_TURNS = 20
_WORDS, _SAYS_MAP = re.compile(r"[^\W_]+"), re.compile("moc|map|home|dashboard|index")
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
        weight: 1.0 for the map the walk began at; less with each step outward and each place down a section, the less
            so the better the note's place fits.
        via: the map that led here and its section, as "path" or "path#section"; "" for a beginning.
        depth: steps from the beginning.
        fit: how well its place in that map fits what is looked for, in 0..1.
        first: it stands for its section of the first map that the walk began at.
    """

    path: str
    weight: float
    via: str
    depth: int
    fit: float = 0.0
    first: bool = False


def map_reason(note: Note, out: Mapping[str, tuple[str, ...]], kind: Kind) -> str:
    """Why a note is a map of content, in a few words; "" when it is none.

    Args:
        note: the note.
        out: what notes link to.
        kind: what makes one; names and links do as well.
    """
    if not note.is_text:
        return note.path.rpartition(".")[2]
    if type_of(note) in kind.types:
        return f"type: {note.properties['type'].strip()}"
    if tagged_as(note, kind.tags):
        return f"tagged #{kind.tags[0]}"
    if lies_in(note, kind.folder):
        return f"in the folder {kind.folder}"
    return _named_as_map(note.path) or _hub_reason(note, out)


def _named_as_map(path: str) -> str:
    name = base_of(path)
    folded, folder = fold(name), _folder(folder_of(path))
    if name.startswith("@"):
        return "name begins with @"
    if _SAYS_MAP.search(folded):
        words = _WORDS.findall(folded)
        # "Home" must be the whole name ("Home lab" is about a lab); "Index" may lead or close it ("Project index").
        if (
            "moc" in words
            or "map of" in " ".join(words)
            or words in (["home"], ["dashboard"])
            or "index" in (words[:1] + words[-1:])
        ):
            return "named as a map"
    if folder == folded:
        return "folder note"
    if folder in _MAP_FOLDERS:
        return f"in the folder {folder}"
    return ""


@lru_cache(maxsize=1 << 12)
def _folder(path: str) -> str:
    """The name of the last folder of a path, folded."""
    return fold(path).rstrip("/").split("/")[-1]


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
    fit: Callable[[str, Member], float] = lambda _, __: 0.0,
    limit: int = 200,
    decay: float = 0.5,
    depth: int = 2,
) -> list[Step]:
    """Walk outward from maps, best first, and give the notes reached by falling weight.

    Within a map the sections take turns, the best fitting member of each first. One note of every section of the first
    map has its place kept, however much else fits: so a hub of thousands of links stays fair, and the walk is bounded
    by `limit`. Maps found on the way are opened in turn; the links of an ordinary note count half. A note that much of
    the vault links to says little by what it links to: it is reached and not opened. A note keeps the best weight that
    reached it; cycles end because no note is opened twice.

    Args:
        starts: maps to begin with and their weights in 0..1.
        notes: all notes by path.
        graph: their links.
        is_map: path → reason, for every map (see `map_reason`).
        gathered: what a map gathers, in its order (see `context.members`).
        fit: how well a member's place in a map fits what is looked for, in 0..1.
        limit: how many notes are returned at most.
        decay: factor per step outward, of a member that does not fit at all.
        depth: steps outward at most.
    """
    best: dict[str, Step] = {}
    kept: dict[str, Step] = {}  # one note of each section, until the walk comes to it by itself
    # The least comes first, so weights are negative. A step is made when the walk comes to it: to most it never does.
    queue = [(-weight, 0, place, path, "", 0.0) for place, (path, weight) in enumerate(starts)]
    heapq.heapify(queue)
    pushed = len(queue)
    known_by_all = max(_HUB_BACKLINKS, len(graph.out) * _HUB_SHARE)
    while queue and len(best) + len(kept) < limit:
        weight, far, _, path, via, fits = heapq.heappop(queue)
        if path in best or path not in notes:
            continue
        best[path] = Step(path, -weight, via, far, fits, kept.pop(path, None) is not None)
        if far >= depth or (far and len(graph.back.get(path, ())) > known_by_all):
            continue
        # A note that is no map is context for its map, not a map of its own: its links count half.
        fade = decay if path in is_map else decay / 2
        told = gathered(path) if path in is_map else _links(graph, path)
        sections = _sections((one for one in told if one.path in notes), path, fit)
        if len(best) == 1 and not far:
            for turn, _, member, fits in _one_of_each(sections, notes)[: limit * 3 // 4]:
                heavy = -weight * (fade + (1 - fade) * fits) / (1 + turn / _TURNS)
                kept[member.path] = Step(member.path, heavy, _via(path, member), 1, fits)
        steps = [
            (weight * (fade + (1 - fade) * fits) / (1 + turn / _TURNS), turn, place, member, fits)
            for place, section in enumerate(sections)
            for turn, (member, fits) in enumerate(section[:limit])  # what is behind these weighs less than each
        ]
        for lighter, _, _, member, fits in heapq.nsmallest(limit, steps):
            if member.path not in best:
                pushed += 1
                heapq.heappush(queue, (lighter, far + 1, pushed, member.path, _via(path, member), fits))
    steps_taken = [*best.values(), *(replace(one, first=True) for one in kept.values())]
    return sorted(steps_taken, key=lambda step: -step.weight)


def _via(path: str, member: Member) -> str:
    return f"{path}#{member.section}" if member.section else path


def _links(graph: Graph, path: str) -> Iterator[Member]:
    return (Member(target, "", "link") for target in graph.out.get(path, ()))


def _sections(
    members: Iterable[Member], path: str, fit: Callable[[str, Member], float]
) -> list[list[tuple[Member, float]]]:
    """The members of each section with how well they fit, the best first."""
    sections: dict[str, list[tuple[Member, float]]] = {}
    for member in members:
        sections.setdefault(member.section, []).append((member, fit(path, member)))
    for section in sections.values():
        section.sort(key=_by_fit)
    return list(sections.values())


def _by_fit(pair: tuple[Member, float]) -> float:
    return -pair[1]


def _one_of_each(
    sections: Sequence[Sequence[tuple[Member, float]]], notes: Mapping[str, Note]
) -> list[tuple[int, int, Member, float]]:
    """The first note of each section that can be quoted: its turn, the section's place, itself and how well it fits."""
    firsts: list[tuple[int, int, Member, float]] = []
    for place, section in enumerate(sections):
        quotable = ((turn, place, *one) for turn, one in enumerate(section) if notes[one[0].path].is_text)
        firsts += islice(quotable, 1)
    return sorted(firsts, key=lambda first: first[:2])
