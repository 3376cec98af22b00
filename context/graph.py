"""The link graph of a vault: who links to whom, and which links lead nowhere yet."""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct, msgpack

from context.names import Names, base_of, fold
from context.note import Note

if TYPE_CHECKING:
    import networkx as nx


class Edges(Struct, frozen=True, array_like=True, gc=False):
    """Where the links of one note lead: files in the order of its links, and targets for which there is no file."""

    out: tuple[str, ...]
    unresolved: tuple[str, ...]


# The files each note leads to, and the targets that are nowhere yet.
_Made = tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]
_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Edges).decode


class Graph:
    """Adjacency by path. Every tuple is in the order of the links in the note, each target once. Immutable."""

    def __init__(self, made: Callable[[], _Made], back: Mapping[str, tuple[str, ...]] | None = None) -> None:
        """A graph that is made when it is first looked at.

        Args:
            made: gives `out` and `unresolved`.
            back: when it is known already.
        """
        self._make = made
        if back is not None:
            self.back = back

    @cached_property
    def _made(self) -> _Made:
        return self._make()

    @property
    def out(self) -> Mapping[str, tuple[str, ...]]:
        """Note → files it links to or embeds (body and frontmatter), itself left out."""
        return self._made[0]

    @property
    def unresolved(self) -> Mapping[str, tuple[str, ...]]:
        """Note → link targets for which no file exists yet; they are data, not errors."""
        return self._made[1]

    @cached_property
    def back(self) -> Mapping[str, tuple[str, ...]]:
        """File → notes that link to it, in path order."""
        return _backlinks(self.out)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and (self.out, self.unresolved, self.back) == (
            other.out,
            other.unresolved,
            other.back,
        )

    __hash__ = None  # type: ignore[assignment]  # as Python does it for what can be compared

    def packed(self, path: str) -> bytes:
        """Where the links of a note lead, for the index."""
        return _encode(Edges(self.out.get(path, ()), self.unresolved.get(path, ())))

    def networkx(self) -> "nx.DiGraph[str]":
        """The graph for algorithms. Building it costs about 0.1 s for 10,000 notes: never on a request's way."""
        import networkx as nx  # noqa: PLC0415 - half a second to import, and only algorithms need it

        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.out)
        graph.add_edges_from((source, target) for source, targets in self.out.items() for target in targets)
        return graph


def build(notes: Mapping[str, Note], names: Names) -> Graph:
    """The graph of all notes."""
    return made({path: targets(note, names) for path, note in notes.items()})


def made(found: Mapping[str, Edges]) -> Graph:
    """The graph of all notes, each with where its links lead."""
    out = {path: edges.out for path, edges in found.items()}
    unresolved = {path: edges.unresolved for path, edges in found.items() if edges.unresolved}
    return Graph(lambda: (out, unresolved))


def unpacked(edges: Mapping[str, bytes], files: Iterable[str]) -> Graph:
    """The graph out of the index.

    Args:
        edges: note → its packed edges.
        files: every file of the vault; its names are used, so that each is in memory once.
    """

    def made() -> _Made:
        own = {path: path for path in files}
        out: dict[str, tuple[str, ...]] = {}
        unresolved: dict[str, tuple[str, ...]] = {}
        for path, data in edges.items():
            found = _decode(data)
            out[path] = tuple([own.get(target, target) for target in found.out])
            if found.unresolved:
                unresolved[path] = found.unresolved
        return out, unresolved

    return Graph(made)


def update(graph: Graph, changed: Iterable[Note], names: Names, *, gone: Iterable[str] = ()) -> Graph:
    """The graph after some notes changed.

    Args:
        graph: before.
        changed: notes whose text, or the meaning of whose links, is another now; see `affected`.
        names: of all files there are now.
        gone: files that are there no more.
    """
    out, back, unresolved = dict(graph.out), dict(graph.back), dict(graph.unresolved)
    now: dict[str, tuple[str, ...]] = dict.fromkeys(gone, ())
    for note in changed:
        edges = targets(note, names)
        now[note.path] = edges.out
        unresolved.pop(note.path, None)
        if edges.unresolved:
            unresolved[note.path] = edges.unresolved
    for path, leads in now.items():
        before, after = set(out.get(path, ())), set(leads)
        out[path] = leads
        for target in before - after:
            back[target] = tuple(source for source in back[target] if source != path)
            if not back[target]:
                del back[target]
        for target in after - before:
            back[target] = tuple(sorted({*back.get(target, ()), path}))
    for path in gone:
        del out[path]
        unresolved.pop(path, None)
    return Graph(lambda: (out, unresolved), back)


def affected(graph: Graph, names: Names, came: Iterable[str], went: Iterable[str]) -> set[str]:
    """The notes whose links may mean something else after files came or went; `graph` and `names` are of before.

    A link leads to a file of its own last name, with or without `.md`: so only those change that led to what went, to
    a namesake of what came, or nowhere under such a name.
    """
    new: set[str] = set()
    found = {source for path in went for source in graph.back.get(path, ())}
    for path in came:
        name = fold(base_of(path))
        new |= {name, name + ".md"}
        for key in (name, name + ".md", name.removesuffix(".md")):
            for other in names.same_name(key + ".md"):
                found |= {other, *graph.back.get(other, ())}
    if new:
        found |= {
            source
            for source, targets in graph.unresolved.items()
            if any(fold(posixpath.basename(posixpath.normpath(target.strip()))) in new for target in targets)
        }
    return found


def targets(note: Note, names: Names) -> Edges:
    """Where the links of a note lead."""
    found: dict[str, None] = {}
    missing: dict[str, None] = {}
    for target in note.targets:
        path = names.resolve(target, note.path)
        if path is None:
            missing[target] = None
        elif path != note.path:
            found[path] = None
    return Edges(tuple(found), tuple(missing))


def _backlinks(out: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    back: dict[str, list[str]] = {}
    for source in sorted(out):
        for target in out[source]:
            back.setdefault(target, []).append(source)
    return {target: tuple(sources) for target, sources in back.items()}


def cycles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The knots of a graph that should have none (prerequisites): each strongly connected set, in path order."""
    import networkx as nx  # noqa: PLC0415 - half a second to import, and only algorithms need it

    graph: Any = nx.DiGraph()
    graph.add_edges_from((source, target) for source, targets in edges.items() for target in targets)
    knots = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    knots += [[node] for node in nx.nodes_with_selfloops(graph)]
    return sorted(knots)
