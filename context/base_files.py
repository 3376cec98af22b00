"""What the Bases language sees of a vault: the fields of a file, and what `file.has…` and `file.in…` ask."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from context.base_values import Date, File, Link, Tag, Values, equal
from context.calendar import Calendar
from context.names import base_of, fold, folder_of
from context.note import Note
from context.snapshot import Snapshot
from context.unsupported import UnsupportedError

# A query that takes longer, of its own thread's time, is cut: the promise is 50 ms for 10,000 notes.
_SECONDS = 1.0
# Steps between two looks at the clock.
_PATIENCE = 64


class Files:
    """A snapshot as one evaluation sees it: values are made once, and its time is limited.

    `file.ctime` is `file.mtime`: a snapshot keeps no time of creation, which a checkout or a sync service would have
    reset anyway.
    """

    def __init__(self, snapshot: Snapshot, this: str, calendar: Calendar, seconds: float = _SECONDS) -> None:
        self.snapshot = snapshot
        self.this = File(this)
        self.now = Date(calendar.now.replace(tzinfo=None), timed=True)
        self.today = Date(self.now.when.replace(hour=0, minute=0, second=0, microsecond=0), timed=False)
        self.values = Values(snapshot.names.resolve, calendar.now.tzinfo)
        self._stop = time.thread_time() + seconds
        self._steps = 0
        self._linking: dict[File | Link, frozenset[str]] = {}
        self._folders: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        self._types = dict(self.snapshot.settings.types)  # by the names that notes use, as far as they were asked for

    def step(self) -> None:
        """Count one step of work.

        Raises:
            UnsupportedError: the time is over.
        """
        self._steps += 1
        if self._steps % _PATIENCE == 0 and time.thread_time() > self._stop:
            raise UnsupportedError("too much: it takes longer than a second")

    def property(self, note: Note | None, name: str) -> Any:
        """A property of a note; null when it has none of this name. Names are told apart by case."""
        value = None if note is None else note.properties.get(name)
        return None if note is None or value is None else self._value(note, name, value)

    def properties(self, path: str) -> dict[str, Any]:
        """All properties of a file."""
        note = self.snapshot.notes.get(path)
        return {name: self._value(note, name, value) for name, value in note.properties.items()} if note else {}

    def _value(self, note: Note, name: str, value: Any) -> Any:
        """The value of a property, of the type that the person assigned to its name, else of what it looks like."""
        assigned = self._types.get(name) if self._types else ""
        if assigned is None:
            assigned = self._types[name] = self.snapshot.settings.types.get(fold(name), "")
        return self.values.typed(value, note.path, assigned) if assigned else self.values.of(value, note.path)

    def field(self, name: str) -> Callable[[str], Any]:
        """How a field of a file is read from its path.

        Raises:
            UnsupportedError: no file has such a field.
        """
        read = _FIELDS.get(name)
        if read is None:
            raise UnsupportedError(f"file.{name}")
        return lambda path: read(self, path)

    def status(self, path: str, what: str) -> tuple[int, int]:
        """When a file was last changed, in nanoseconds since the epoch, and its size in bytes.

        Raises:
            UnsupportedError: it is none of those that are looked at here.
        """
        note = self.snapshot.notes.get(path)
        if note is not None:
            return note.mtime_ns, note.size
        if path not in self.snapshot.attachments:
            raise UnsupportedError(f"file.{what} of a file that is not looked at")
        return self.snapshot.attachments[path]

    def has_tag(self, path: str, tags: tuple[str, ...]) -> bool:
        """Whether a file has one of these tags, or one nested in them."""
        note = self.snapshot.notes.get(path)
        if note is None or not note.tags:
            return False
        for own in note.tags:
            folded = self._folded.get(own)
            if folded is None:
                folded = self._folded[own] = fold(own)
            for tag in tags:
                if folded == tag or folded.startswith(tag + "/"):
                    return True
        return False

    def in_folder(self, path: str, folder: str) -> bool:
        """Whether a file lies in a folder or in one below it."""
        wanted = self._folders.get(folder)
        if wanted is None:
            bare = folder.strip("/ ")
            wanted = self._folders[folder] = bare + "/" if bare else ""
        return path.startswith(wanted)

    def has_link(self, path: str, other: str | File | Link) -> bool:
        """Whether a file links to or embeds another one, which may be given by its name or path."""
        link = self.values.link(other, "") if isinstance(other, str) else other
        linking = self._linking.get(link)
        if linking is None:
            linking = self._linking[link] = self._who_links(link)
        return path in linking if path != link.path else self._links_itself(path)

    def _who_links(self, to: File | Link) -> frozenset[str]:
        graph = self.snapshot.graph
        if to.path or isinstance(to, File):
            return frozenset(graph.back.get(to.path, ()))
        name = fold(to.target.partition("#")[0])
        return frozenset(
            path for path, missing in graph.unresolved.items() if any(fold(target) == name for target in missing)
        )

    def _links_itself(self, path: str) -> bool:
        """Whether a note links to itself, which the graph leaves out."""
        note = self.snapshot.notes.get(path)
        return note is not None and any(self.snapshot.names.resolve(link.target, path) == path for link in note.links)

    def same(self, left: Any, right: Any) -> bool:
        """Whether two values are loosely equal."""
        return equal(left, right, self.values)


def extension(path: str) -> str:
    """The ending of a file's name without its dot, "" for none."""
    name = path[path.rfind("/") + 1 :]
    return name[name.rfind(".") + 1 :] if name.rfind(".") > 0 else ""


def basename(path: str) -> str:
    """The name of a file without its ending."""
    name = path[path.rfind("/") + 1 :]
    return name[: name.rfind(".")] if name.rfind(".") > 0 else name


def _mtime(files: Files, path: str) -> Date:
    seconds = files.status(path, "mtime and file.ctime")[0] / 1e9
    try:
        when = datetime.fromtimestamp(seconds, UTC).astimezone(files.values.zone)
    except (ValueError, OverflowError, OSError):
        when = datetime(1970, 1, 1, tzinfo=UTC)
    return Date(when.replace(tzinfo=None), timed=True)


def _links(*embeds: bool) -> Callable[[Files, str], list[Link]]:
    def read(files: Files, path: str) -> list[Link]:
        note = files.snapshot.notes.get(path)
        if note is None:
            return []
        return [
            files.values.link(f"{link.target}#{link.sub}" if link.sub else link.target, path, link.alias)
            for link in note.links
            if (link.kind == "embed") in embeds
        ]

    return read


def _tags(files: Files, path: str) -> list[Tag]:
    note = files.snapshot.notes.get(path)
    return [Tag(tag) for tag in note.tags] if note else []


_FIELDS: Mapping[str, Callable[[Files, str], Any]] = {
    "backlinks": lambda files, path: [File(one) for one in files.snapshot.graph.back.get(path, ())],
    "basename": lambda _, path: basename(path),
    "ctime": _mtime,
    "embeds": _links(True),
    "ext": lambda _, path: extension(path),
    "file": lambda _, path: File(path),
    "folder": lambda _, path: folder_of(path)[:-1] or "/",
    "links": _links(False),
    "mtime": _mtime,
    # Without `.md`, as the app has it (1.13.7), against its documentation.
    "name": lambda _, path: base_of(path),
    "path": lambda _, path: path,
    "properties": lambda files, path: files.properties(path),
    "size": lambda files, path: files.status(path, "size")[1],
    "tags": _tags,
}
