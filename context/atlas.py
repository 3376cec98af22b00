"""The maps of a vault as they are looked up: all of them in a list, and one with what it gathers."""

from dataclasses import asdict, dataclass
from typing import Any

from context.kinds import MAP
from context.maps import Member
from context.members import Members, Unsupported
from context.names import fold
from context.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Entry:
    """A map in the list.

    Attributes:
        path: of the map.
        why: it is one, in a few words.
        members: how many files it gathers.
    """

    path: str
    why: str
    members: int


@dataclass(frozen=True, slots=True)
class Map:
    """A map with what it gathers.

    Attributes:
        path: of the map.
        why: it is one, in a few words.
        members: the files it gathers, each once, in its own order.
        places: the same under every section, or view of a base, that names them.
        unresolved: how many names it links to for which there is no file.
        unsupported: its queries that are not evaluated here, each with the reason.
    """

    path: str
    why: str
    members: tuple[Member, ...]
    places: tuple[Member, ...]
    unresolved: int
    unsupported: tuple[Unsupported, ...]


class NoMapError(Exception):
    """What was asked for is not there, or is no map of content; the hint says what makes a note one."""

    code = "not_found"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def told(members: Members, name: str = "") -> dict[str, Any]:
    """All maps, or the one that is meant by a name, as JSON has them. Evaluates queries: for a thread.

    Raises:
        NoMapError: no map is meant.
    """
    return asdict(find(members, name)) if name else {"maps": [asdict(entry) for entry in maps(members)]}


def maps(members: Members) -> list[Entry]:
    """Every map of the vault, in path order."""
    return [Entry(path, why, len(members.of(path).members)) for path, why in sorted(members.snapshot.maps.items())]


def find(members: Members, name: str) -> Map:
    """The map that is meant by a path or a name, as a link would mean it, or by what only people call it.

    Where there is no such note, an alias that one note alone has means it, and the name of a canvas or base without its
    ending that file.

    Raises:
        NoMapError: no note is meant, or one that is no map.
    """
    snapshot = members.snapshot
    path = _meant(snapshot, name)
    if path is None:
        raise NoMapError(
            "there is no note of this path or name", "`kos map` and GET /v1/maps list the maps of the vault."
        )
    why = snapshot.maps.get(path)
    if why is None:
        kind = snapshot.kinds[MAP]
        signs = [*(f"`type: {one}`" for one in sorted(kind.types)), *(f"#{one}" for one in kind.tags[:1])]
        signs += [f"the folder {kind.folder}"] if kind.folder else []
        raise NoMapError(
            "this is a note, but no map of content",
            f"A note is a map by {', '.join([*signs, 'a name'])} such as @Topic, Topic MOC, Map of …, Index or Home, "
            "the name of its folder, a folder Maps, or ten links and more with little prose.",
        )
    missing = snapshot.graph.unresolved.get(path, ())
    gathered = members.of(path)
    return Map(path, why, gathered.members, gathered.places, len(missing), gathered.unsupported)


def _meant(snapshot: Snapshot, name: str) -> str | None:
    """The note, canvas or base that is meant by a path, a name or an alias; None when there is none."""
    called = snapshot.names.resolve(name, "")
    if called in snapshot.notes:
        return called
    aliased = snapshot.aliases.get(fold(name.strip()), ())
    if len(aliased) == 1:
        return aliased[0]
    named = (snapshot.names.resolve(name.strip() + ending, "") for ending in (".canvas", ".base"))
    return next((path for path in named if path in snapshot.notes), None)
