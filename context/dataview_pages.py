"""Notes as Dataview's queries see them: properties and inline fields, and the implicit fields of files and tasks."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from context import scan
from context.dataview_values import TAG, Link, Thing, Zone, heading, midnight, of_field, of_property, spend
from context.inline import Field, canonical
from context.names import base_of, fold, folder_of
from context.note import Note
from context.snapshot import Snapshot
from context.unsupported import UnsupportedError

_DAY = (re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})"), re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})"))
# Dates of tasks as the Tasks plugin writes them, and the fields they fill (Dataview docs, "Field Shorthands").
_SHORTHANDS = {
    name: re.compile(rf"(?:{marks})\s*([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})")
    for name, marks in (
        ("created", "➕"),
        ("start", "🛫"),
        ("scheduled", "⏳|⌛"),
        ("due", "📅|📆|🗓|\ufe0f"),
        ("completion", "✅"),
    )
}
# Which fields of a task fill its dates, the first that is there.
_DATES = {
    "created": ("created", "ctime", "cday"),
    "due": ("due", "duetime", "dueday"),
    "completion": ("completed", "completion", "comptime", "compday"),
    "start": ("start",),
    "scheduled": ("scheduled",),
}
_start = attrgetter("start")
_TASK_TAG = re.compile(r"#[^\s,;.:!?'\"`()\[\]{}]+")
_WHOLE_TAG = re.compile(TAG)


class Pages:
    """All notes of a snapshot as pages, each made when it is first asked for."""

    def __init__(self, snapshot: Snapshot, zone: Zone) -> None:
        self.snapshot = snapshot
        self.zone = zone
        # What is said of files without being known for certain.
        self.approximate: set[str] = set()
        self._pages: dict[str, Page] = {}
        self._resolved: dict[str, dict[str, str | None]] = {}

    def page(self, path: str) -> "Page | None":
        """The page of a note; None for other files."""
        page = self._pages.get(path)
        if page is None:
            note = self.snapshot.notes.get(path)
            if note is None or not path.endswith(".md"):
                return None
            page = self._pages[path] = Page(self, note)
        return page

    def resolve(self, target: str, source: str) -> str | None:
        """The path of the file a link means; None when there is none."""
        return self.resolve_all((target,), source)[0]

    def resolve_all(self, targets: Iterable[str], source: str) -> list[str | None]:
        """The paths of the files that the links of a note mean. What they mean depends on the note's folder alone."""
        known = self._resolved.setdefault(folder_of(source), {})
        found: list[str | None] = []
        for target in targets:
            if target not in known and target:
                known[target] = self.snapshot.names.resolve(target, source)
            found.append(known[target] if target else source)
        return found

    def resolved(self, link: Link, source: str) -> Link:
        """A link with the path of the file it means; as it is when there is none."""
        path = self.resolve(link.path, source)
        return link if path is None or path == link.path else link._replace(path=path)

    def links_to(self, path: str) -> list[str]:
        """The notes that link to a file, in path order; a note that links to its own headings is among them."""
        found = [source for source in self.snapshot.graph.back.get(path, ()) if source.endswith(".md")]
        spend(len(found) // 4)
        if self._links_to_itself(path):
            found = sorted([*found, path])
        return found

    def links_from(self, path: str) -> list[str]:
        """The files that a note links to."""
        return [*self.snapshot.graph.out.get(path, ()), *([path] if self._links_to_itself(path) else [])]

    def _links_to_itself(self, path: str) -> bool:
        note = self.snapshot.notes.get(path)
        if note is None or not path.endswith(".md"):
            return False
        name = fold(base_of(path))
        return any(
            not link.target or (fold(base_of(link.target)) == name and self.resolve(link.target, path) == path)
            for link in note.links
        )

    def links_to_missing(self, name: str) -> list[str]:
        """The notes with a link of exactly this text for which there is no file."""
        return [
            path
            for path, missing in sorted(self.snapshot.graph.unresolved.items())
            if name in missing and path.endswith(".md")
        ]


class Page(Thing):
    """A note: its fields by their names as written and in canonical form, and `file`."""

    __slots__ = ("_file", "_tasks", "note", "pages", "path")

    def __init__(self, pages: Pages, note: Note) -> None:
        self.pages = pages
        self.note = note
        self.path = note.path
        self._file: File | None = None
        self._tasks: list[Task] | None = None

    def get(self, key: str) -> Any:
        """A field; None when there is none."""
        found = self._look_up(key)
        return None if found is _MISSING else found

    def has(self, key: str) -> bool:
        """Whether there is such a field."""
        return self._look_up(key) is not _MISSING

    def keys(self) -> list[str]:
        """`file`, the names as written, and their canonical forms."""
        written = [*self.note.properties, *(field.name for field in self._fields())]
        return list(dict.fromkeys(("file", *written, *filter(None, map(canonical, written)))))

    def _look_up(self, key: str) -> Any:
        """All values of a name as it is written; else of all names whose canonical form it is."""
        note = self.note
        if key == "file":
            self._file = self._file or File(self)
            return self._file
        spend(len(note.fields) // 16)
        for field in note.fields:
            if field.name == key and field.place != "task":
                values = self._named(lambda name: name == key)
                break
        else:
            if key in note.properties and key != "position":
                value = note.properties[key]
                return value if type(value) is bool or type(value) is int else self._value(value)
            values = self._named(lambda name: canonical(name) == key)
        return _MISSING if not values or not key else values[0] if len(values) == 1 else values

    def _named(self, test: Callable[[str], bool]) -> list[Any]:
        found = [
            self._value(value) for name, value in self.note.properties.items() if test(name) and name != "position"
        ]
        return found + [self.linked(of_field(field.value)) for field in self._fields() if test(field.name)]

    def _fields(self) -> list[Field]:
        """The inline fields of the note, those of its list items first; fields of tasks are the tasks' own."""
        fields = self.note.fields
        return [field for place in ("item", "text") for field in fields if field.place == place]

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.linked(of_property(value))
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {name: self._value(item) for name, item in value.items()}
        return value

    def linked(self, value: Any) -> Any:
        """A value with the links in it resolved from this note."""
        if isinstance(value, Link):
            return self.pages.resolved(value, self.path)
        if isinstance(value, list):
            return [self.linked(item) for item in value]
        return value

    def day(self) -> datetime | None:
        """The day a note is of: of a field `date` or `day`, else in its name; None for neither."""
        named: dict[str, Any] = {}
        for name, value in self.note.properties.items():
            named.setdefault(name, self._value(value))
        for field in self._fields():
            named.setdefault(field.name, of_field(field.value))
        for name, value in named.items():
            if name.lower() in ("date", "day") and isinstance(value, datetime):
                return value
        return _day_in(base_of(self.path))

    def tasks(self) -> list["Task"]:
        """The tasks of the note, in its order."""
        if self._tasks is None:
            self._tasks = [Task(self, place) for place in range(len(self.note.tasks))]
        return self._tasks


_MISSING = object()


def _day_in(name: str) -> datetime | None:
    found = _DAY[0].search(name) or _DAY[1].search(name)
    if found is None:
        return None
    try:
        return datetime(int(found[1]), int(found[2]), int(found[3]))  # noqa: DTZ001 - dates of the person's zone carry none
    except ValueError:
        return None


class TaskRow(Thing):
    """A task as a row of a query: its fields, and those of its page that it has not itself."""

    __slots__ = ("page", "task")

    def __init__(self, task: "Task") -> None:
        self.task = task
        self.page = task.page

    def get(self, key: str) -> Any:
        """A field; None when there is none."""
        found = self.task.look_up(key)
        return self.page.get(key) if found is _MISSING else found

    def has(self, key: str) -> bool:
        """Whether there is such a field."""
        return self.task.has(key) or self.page.has(key)

    def keys(self) -> list[str]:
        """The names of all fields."""
        return list(dict.fromkeys((*self.task.keys(), *self.page.keys())))


class Lazy(Thing):
    """An object whose fields are functions, each called when its field is first asked for."""

    __slots__ = ("_cache", "_makers")

    def __init__(self, makers: dict[str, Callable[[], Any]]) -> None:
        self._makers = makers
        self._cache: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """A field; None when there is none."""
        if key not in self._cache:
            maker = self._makers.get(key)
            self._cache[key] = maker() if maker else None
        return self._cache[key]

    def has(self, key: str) -> bool:
        """Whether there is such a field."""
        return key in self._makers

    def keys(self) -> list[str]:
        """The names of all fields."""
        return list(self._makers)


class File(Thing):
    """The implicit fields of a page (Dataview docs, "Metadata on Pages").

    When a file was created is not known: `ctime` and `cday` are when it was last modified, and are said to be
    approximate. Bookmarks, lists and tables are not kept, and asking for them is not supported.
    """

    __slots__ = ("_cache", "page")

    def __init__(self, page: Page) -> None:
        self.page = page
        self._cache: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """A field; None when there is none."""
        if key in self._cache:
            return self._cache[key]
        maker = FILE_FIELDS.get(key)
        found = self._cache[key] = maker(self.page) if maker else None
        return found

    def has(self, key: str) -> bool:
        """Whether there is such a field: `day` only when the note has one."""
        return key in FILE_FIELDS and (key != "day" or self.get("day") is not None)

    def keys(self) -> list[str]:
        """The names of all fields."""
        return [key for key in FILE_FIELDS if self.has(key)]


def _written(page: Page) -> datetime:
    return page.pages.zone.at(page.note.mtime_ns // 1_000_000)


def _created(page: Page) -> datetime:
    page.pages.approximate.add("file.ctime")
    return _written(page)


def _etags(page: Page) -> list[str]:
    """The tags of a note, those of its text first, as Obsidian lists them."""
    own = set(_property_tags(page.note.properties))
    return [f"#{tag}" for tag in sorted(page.note.tags, key=lambda tag: tag in own)]


def _tags(page: Page) -> list[str]:
    """Its tags, each followed by those it is nested in."""
    found: dict[str, None] = {}
    for tag in _etags(page):
        parts = tag.split("/")
        found |= dict.fromkeys("/".join(parts[:size]) for size in range(len(parts), 0, -1))
    return list(found)


def _outlinks(page: Page) -> list[Link]:
    """The links of a note: those of its properties, those of its text, and embeds."""
    links = page.note.links
    spend(len(links))
    if any(link.kind == "embed" for link in links):
        links = tuple(sorted(links, key=lambda link: link.kind == "embed"))
    paths = page.pages.resolve_all((link.target for link in links), page.path)
    return [link_of(link, path) for link, path in zip(links, paths, strict=True)]


def _property_tags(properties: Mapping[str, Any]) -> Iterable[str]:
    """The tags in the properties of a note."""
    for name, value in properties.items():
        if name.lower() in ("tags", "tag"):
            for item in value if isinstance(value, list) else [value]:
                yield from (part.strip("#/ ") for part in re.split(r"[\s,]+", str(item)))


def link_of(link: scan.Link, path: str | None = None) -> Link:
    """A link of a note as the language has it, to a path when it is known; it shows its text when it has no other."""
    path = link.target if path is None else path
    if not link.sub:
        return Link(path, link.alias or link.target, None, link.kind == "embed")
    display = link.alias or (f"{link.target} > {link.sub}" if link.target else link.sub)
    if link.sub.startswith("^"):
        return Link(path, display, link.sub[1:], link.kind == "embed", "block")
    return heading(path, link.sub.split("#")[0], display, embed=link.kind == "embed")


def _unsupported(what: str) -> Any:
    raise UnsupportedError(what)


FILE_FIELDS: dict[str, Callable[[Page], Any]] = {
    "path": lambda page: page.path,
    "folder": lambda page: folder_of(page.path).rstrip("/"),
    "name": lambda page: base_of(page.path),
    "link": lambda page: Link(page.path),
    "outlinks": _outlinks,
    "inlinks": lambda page: [Link(path) for path in page.pages.links_to(page.path)],
    "etags": _etags,
    "tags": _tags,
    "aliases": lambda page: list(page.note.aliases),
    "lists": lambda _: _unsupported("file.lists"),
    "tasks": lambda page: list(page.tasks()),
    "tables": lambda _: _unsupported("file.tables"),
    "ctime": _created,
    "cday": lambda page: midnight(_created(page)),
    "mtime": _written,
    "mday": lambda page: midnight(_written(page)),
    "size": lambda page: page.note.size,
    "starred": lambda _: _unsupported("file.starred"),
    "frontmatter": lambda page: dict(page.note.properties),
    "ext": lambda page: page.path.rpartition(".")[2],
    "day": lambda page: page.day(),
}


class Task(Thing):
    """A task with its own fields (Dataview docs, "Metadata on Tasks")."""

    __slots__ = ("_given", "_place", "item", "page", "task")

    def __init__(self, page: Page, place: int) -> None:
        self.page = page
        self._place = place
        self.task = page.note.tasks[place]
        self.item = page.note.items[place]
        self._given: dict[str, list[Any]] | None = None

    def get(self, key: str) -> Any:
        """A field; None when there is none."""
        found = self.look_up(key)
        return None if found is _MISSING else found

    def has(self, key: str) -> bool:
        """Whether there is such a field."""
        return self.look_up(key) is not _MISSING

    def keys(self) -> list[str]:
        """The names of all fields."""
        optional = ("parent", "blockId", *_DATES, *self.given())
        return list(dict.fromkeys((*_TASK_FIELDS, *(key for key in optional if self.has(key)))))

    def look_up(self, key: str) -> Any:
        """A field, or what says that there is none."""
        maker = _TASK_FIELDS.get(key)
        if maker is not None:
            return maker(self)
        if key == "parent" and self.item.parent >= 0:
            return self.item.parent
        if key == "blockId" and (block := self.block()) is not None:
            return block
        given = self.given()
        if key in _DATES:
            first = next((given[source][0] for source in _DATES[key] if source in given), None)
            if first is not None and first not in (False, "", 0):
                return first
        values = given.get(key)
        return _MISSING if values is None else values[0] if len(values) == 1 else values

    def given(self) -> dict[str, list[Any]]:
        """The fields written in the task, in its order, each with all its values."""
        if self._given is None:
            words, note = self.item.words, self.page.note
            found: list[tuple[int, str, Any]] = []
            if "::" in words:
                after = note.tasks[self._place + 1].start if self._place + 1 < len(note.tasks) else note.length + 1
                first, last = (bisect_left(note.fields, at, key=_start) for at in (self.task.start, after))
                found = [
                    (field.start, field.name, self.page.linked(of_field(field.value)))
                    for field in note.fields[first:last]
                    if field.place == "task"
                ]
            if not words.isascii():
                line = words.replace("\n", " ")
                begin = self.task.end - len(words.partition("\n")[0])
                for name, pattern in _SHORTHANDS.items():
                    if match := pattern.search(line):
                        found.append((begin + match.start(), name, of_field(match[1])))
                found.sort(key=lambda one: one[0])
            self._given = {}
            for _, name, value in found:
                self._given.setdefault(name, []).append(value)
        return self._given

    def block(self) -> str | None:
        """The id by which the task can be linked to."""
        return next((block.id for block in self.page.note.blocks if block.start == self.task.start), None)


def _section(task: Task) -> Link:
    above = [one for one in task.page.note.headings if one.start <= task.task.start]
    return heading(task.page.path, above[-1].text) if above else Link(task.page.path)


def _link(task: Task) -> Link:
    block = task.block()
    return _section(task) if block is None else Link(task.page.path, None, block, kind="block")


def _task_outlinks(task: Task) -> list[Link]:
    if "\n" in task.item.words:
        _unsupported("the links of a task of several lines")
    spend(len(task.page.note.links) // 4)
    here = (one for one in task.page.note.links if task.task.start <= one.start < task.task.end)
    found = [one for one in here if one.kind != "frontmatter"]
    return [link_of(one) for one in sorted(found, key=lambda one: one.kind == "embed")]


def _children(task: Task) -> list[Task]:
    if task.item.plain:
        _unsupported("children of a task that are no tasks")
    spend(len(task.page.note.tasks) // 4)
    return [one for one in task.page.tasks() if one.item.parent == task.item.line]


def _all_done(task: Task) -> bool:
    """Whether it and all tasks below it are done."""
    below = {task.item.line}
    spend(len(task.page.note.tasks) // 4)
    for one in task.page.tasks():
        if one.item.line == task.item.line or one.item.above in below:
            below.add(one.item.line)
            if one.task.status not in ("x", "X"):
                return False
    return True


_TASK_FIELDS: dict[str, Callable[[Task], Any]] = {
    "symbol": lambda _: _unsupported("the symbol of a task"),
    "link": _link,
    "section": _section,
    "text": lambda task: task.item.words,
    "tags": lambda task: list(dict.fromkeys(_tags_in(task.item.words))),
    "line": lambda task: task.item.line,
    "lineCount": lambda task: task.item.words.count("\n") + 1,
    "list": lambda _: _unsupported("the list of a task"),
    "outlinks": _task_outlinks,
    "path": lambda task: task.page.path,
    "children": _children,
    "task": lambda _: True,
    "annotated": lambda task: bool(task.given()),
    "position": lambda task: _position(task.item.line),
    "subtasks": _children,
    "real": lambda _: True,
    "header": _section,
    "status": lambda task: task.task.status,
    "checked": lambda task: task.task.status != " ",
    "completed": lambda task: task.task.status in ("x", "X"),
    "fullyCompleted": _all_done,
}


def _position(line: int) -> Lazy:
    def unknown() -> Any:
        return _unsupported("the position of a task in its line")

    start = Lazy({"line": lambda: line, "col": unknown, "offset": unknown})
    return Lazy({"start": lambda: start, "end": unknown})


def _tags_in(words: str) -> Iterable[str]:
    for found in _TASK_TAG.finditer(words):
        if _WHOLE_TAG.fullmatch(found[0]):
            yield found[0]
