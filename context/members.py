"""What a map gathers: by its links, its queries and bases, and by what other notes say of themselves."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from context import bases, dataview
from context.calendar import Calendar
from context.maps import Member
from context.names import fold
from context.note import Note, QueryBlock
from context.scan import Link, heading_paths
from context.snapshot import Snapshot

# Properties by which a note says what it belongs to: kepano's `categories`, and what other vaults call the same.
_BELONGS = frozenset(
    {"category", "categories", "moc", "mocs", "map", "maps", "up", "parent", "parents", "topic", "topics"}
)
_SAYS = "belongs: "
# A query may match a whole vault; a map of more is no map of anything.
_MOST_MEMBERS = 5_000
# A base of many views may show each of them in every one.
_MOST_PLACES = 20_000
# A query that asks for the hour: with any of these words it is taken for one. The day is asked for by others.
_HOURLY = re.compile(r"\bnow\b", re.IGNORECASE)
# CPU seconds that the queries of one map may take in all; what comes after is not evaluated.
_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A query of a map that is not evaluated here.

    Attributes:
        section: the heading path under which it stands.
        kind: "base", "dataview" or "dataviewjs".
        why: what is not supported, or what is wrong with it.
        broken: it is wrong: it cannot be read, fails, or names a view that is not there.
    """

    section: str
    kind: str
    why: str
    broken: bool = False


@dataclass(frozen=True)
class Gathered:
    """All that a map gathers, and what could not be told.

    Attributes:
        places: the files under every section, or view of a base, that names them; each once in a section.
        unsupported: the queries that are not evaluated here.
        at: the instant this holds for, when a query asks for the hour; None: it holds all day.
        asks: whether queries are among what it gathers by, so that any note may become a member.
    """

    places: tuple[Member, ...]
    unsupported: tuple[Unsupported, ...] = ()
    at: datetime | None = None
    asks: bool = False

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """The files, each once, under the first section that names it."""
        found: dict[str, Member] = {}
        for one in self.places:
            found.setdefault(one.path, one)
        return tuple(found.values())

    @cached_property
    def belonging(self) -> frozenset[str]:
        """The members that say themselves that they belong here."""
        return frozenset(one.path for one in self.members if one.how.startswith(_SAYS))


class Members:
    """What the maps of one snapshot gather. Each is evaluated when it is first asked for.

    Args:
        snapshot: the vault.
        calendar: the person's present.
        known: what was evaluated of this snapshot on this day in this zone; it is added to.
    """

    def __init__(self, snapshot: Snapshot, calendar: Calendar, known: dict[str, Gathered] | None = None) -> None:
        self.snapshot = snapshot
        self.calendar = calendar
        self._known = {} if known is None else known

    def of(self, path: str) -> Gathered:
        """What a map gathers; nothing for a path that is no note."""
        found = self._known.get(path)
        if found is None or found.at not in (None, self.calendar.now):
            note = self.snapshot.notes.get(path)
            found = self._known[path] = self._gathered(note) if note else Gathered(())
        return found

    def asks(self, path: str) -> bool:
        """Whether a map gathers by queries. Evaluates none."""
        note = self.snapshot.notes.get(path)
        return note is not None and any(True for _ in self._sources(note))

    def _gathered(self, note: Note) -> Gathered:
        found: dict[tuple[str, str], Member] = {}
        paths: set[str] = set()
        unsupported: list[Unsupported] = []
        for one in self._told(note):
            if isinstance(one, Unsupported):
                unsupported.append(one)
            elif one.path not in paths:
                if one.path != note.path and len(paths) < _MOST_MEMBERS:
                    paths.add(one.path)
                    found[one.path, one.section] = one
            elif not one.how.startswith(_SAYS) and len(found) < _MOST_PLACES:  # the map itself has a place for it
                found.setdefault((one.path, one.section), one)
        sources = list(self._sources(note))
        hourly = any(map(_HOURLY.search, sources))
        at = self.calendar.now if hourly else None
        return Gathered(tuple(found.values()), tuple(unsupported), at, asks=bool(sources))

    def _sources(self, note: Note) -> Iterator[str]:
        """The queries of a note, those of the bases it embeds as well."""
        yield from (query.source for query in note.queries)
        for link in note.links:
            path = self.snapshot.names.resolve(link.target, note.path) if link.target.endswith(".base") else None
            base = self.snapshot.notes.get(path or "")
            yield from (query.source for query in base.queries) if base else ()

    def _told(self, note: Note) -> Iterator[Member | Unsupported]:
        """Links in properties, then what stands in the text in its order, then the notes that say they belong here."""
        spots = iter(heading_paths(note.headings))
        spot = next(spots, None)
        section: tuple[str, ...] = ()
        places: list[Link | QueryBlock] = [*note.links, *note.queries]
        stop = time.thread_time() + _SECONDS
        for one in sorted(places, key=_place):
            if isinstance(one, Link) and one.kind == "frontmatter":
                yield from self._linked(note, one, "", "property")
                continue
            while spot is not None and spot[0] <= one.start:
                section, spot = spot[1], next(spots, None)
            heading = " > ".join(section)
            kind = one.kind if isinstance(one, QueryBlock) else "base" if one.target.endswith(".base") else ""
            if kind and time.thread_time() > stop:
                yield Unsupported(heading, kind, "too much: the queries above it took all the time that a map has")
            elif isinstance(one, QueryBlock):
                yield from self._queried(note, one, heading)
            else:
                yield from self._linked(note, one, heading, "embed" if one.kind == "embed" else "link")
        yield from self._belonging(note)

    def _linked(self, note: Note, link: Link, section: str, how: str) -> Iterator[Member | Unsupported]:
        path = self.snapshot.names.resolve(link.target, note.path)
        if path is None:
            return
        base = self.snapshot.notes.get(path) if how == "embed" and path.endswith(".base") else None
        if base is None:
            yield Member(path, section, how)
        else:  # an embedded base shows its members, not itself
            yield from self._viewed(base.queries[0].source, note.path, section, link.sub)

    def _queried(self, note: Note, query: QueryBlock, section: str) -> Iterator[Member | Unsupported]:
        if query.kind == "base":
            whole = note.path.endswith(".base")
            yield from self._viewed(query.source, note.path, section, None if whole else "")
        elif query.kind == "dataview":
            result = dataview.evaluate(query.source, self.snapshot, note.path, self.calendar)
            if result.unsupported:
                yield Unsupported(section, "dataview", result.unsupported, result.broken)
            yield from (Member(path, section, "dataview") for path in result.members)
        elif query.kind == "dataviewjs":
            yield Unsupported(section, "dataviewjs", "JavaScript is not run here")

    def _viewed(self, source: str, this: str, section: str, name: str | None) -> Iterator[Member | Unsupported]:
        """The members of a view of a base: of the one that is named, of the first for "", of each for None."""
        base = bases.evaluate(source, self.snapshot, this, self.calendar)
        views: Iterable[bases.View | None] = base.views if name is None else [base.view(name)]
        if base.unsupported:
            yield Unsupported(section, "base", base.unsupported, base.broken)
            return
        for view in views:
            if view is None:
                yield Unsupported(section, "base", f"it has no view {name!r}", broken=True)
                continue
            under = view.name if name is None else section
            if view.unsupported:
                yield Unsupported(under, "base", view.unsupported, view.broken)
            yield from (Member(path, under, "base") for path in view.members)

    def _belonging(self, note: Note) -> Iterator[Member]:
        for path in self.snapshot.graph.back.get(note.path, ()):
            for link, target in _belongs(self.snapshot, path):
                if target == note.path:
                    yield Member(path, "", f"{_SAYS}{link.prop}")
                    break


def members_of(snapshot: Snapshot, calendar: Calendar) -> Members:
    """The members of a snapshot's maps; what holds all day is worked out once for all who ask."""
    key = f"members {calendar.today} {calendar.now.tzinfo}"
    made: Callable[[], dict[str, Gathered]] = dict
    return Members(snapshot, calendar, snapshot.lasts(key, made, lambda known, paths: _left(snapshot, known, paths)))


def _left(snapshot: Snapshot, known: dict[str, Gathered], paths: AbstractSet[str]) -> dict[str, Gathered]:
    """What still holds after some notes changed."""
    named = {target for path in paths if path in snapshot.notes for _, target in _belongs(snapshot, path)}
    return {
        path: gathered
        for path, gathered in known.copy().items()
        if not (gathered.asks or path in paths or path in named or not paths.isdisjoint(gathered.belonging))
    }


def _belongs(snapshot: Snapshot, path: str) -> Iterator[tuple[Link, str | None]]:
    """The links by which a note says what it belongs to, and where they lead."""
    for link in snapshot.notes[path].links:
        if link.kind != "frontmatter":  # those in properties come first
            return
        if fold(link.prop) in _BELONGS:
            yield link, snapshot.names.resolve(link.target, path)


def _place(one: Link | QueryBlock) -> tuple[bool, int]:
    """Links in properties first, then what stands in the text, in its order."""
    return getattr(one, "kind", "") != "frontmatter", one.start
