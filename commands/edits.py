"""An edit: new bytes for ranges of notes, valid for one version of each; and how each kind of edit finds its place."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from context.frontmatter import FrontmatterError, Place, places, read
from context.names import fold
from context.note import Note, Task, decode, parse
from context.regions import regions
from context.scan import heading_paths

_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_RULE = re.compile(r" {0,3}(?:=+|-+)[ \t]*")
_DONE_TODAY = "✅"
BLOCK_ID = re.compile(r"[ \t]+\^[A-Za-z0-9-]{1,100}[ \t]*$")
_NAME = re.compile(r"[^\s:#\[\]{},&*!|>'\"%@`-][^:#\[\]{},\n\r\t]{0,99}")


class TargetError(ValueError):
    """The place of an edit is not there, or there more than once; nothing was changed.

    Attributes:
        code: "conflict".
        hint: what to do.
        candidates: places that may have been meant, for people.
        details: the same, for programs.
    """

    code = "conflict"

    def __init__(self, message: str, candidates: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)
        self.details = {"candidates": list(self.candidates)}
        near = f"It may be one of: {'; '.join(self.candidates[:8])}." if self.candidates else ""
        self.hint = " ".join(filter(None, (hint, near))) or "Read the note again and name the place anew."


class NotEditableError(ValueError):
    """A note whose bytes cannot be changed in part: it is no UTF-8 text, or its properties cannot be read."""

    code = "conflict"

    def __init__(self, message: str, hint: str = "Mend the note in Obsidian first.") -> None:
        super().__init__(message)
        self.hint = hint


class StaleError(ValueError):
    """The bytes of a note are not those an edit was made for."""

    code = "conflict"
    hint = "The note changed meanwhile: ask for the edit again."


@dataclass(frozen=True, slots=True)
class Hunk:
    """New text in place of old, in one note.

    Attributes:
        id: within its edit, such as "1.2": the second hunk of the first note.
        start, end: byte range of the old text in the file.
        start16, end16: the same in UTF-16 code units of the text as Obsidian has it, without a byte order mark.
        old, new: the texts.
        why: what it does, for people.
    """

    id: str
    start: int
    end: int
    start16: int
    end16: int
    old: str
    new: str
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one note.

    Attributes:
        path: the note.
        base: SHA-256 of the bytes that the hunks are for, 64 hex; "" for a note that is made.
        hunks: in the order of the note, apart from each other.
    """

    path: str
    base: str
    hunks: tuple[Hunk, ...]

    def choose(self, ids: Iterable[str]) -> "Change":
        """The change with these hunks alone."""
        wanted = set(ids)
        return replace(self, hunks=tuple(hunk for hunk in self.hunks if hunk.id in wanted))

    def apply(self, data: bytes | None) -> bytes:
        """The bytes of the note with all hunks done.

        Args:
            data: the bytes of the note as they are; None when there is no such note.

        Raises:
            StaleError: they are not those the change was made for.
        """
        if (data is None) != (not self.base) or (data is not None and digest(data) != self.base):
            raise StaleError(f"{self.path} is not as it was when the edit was made")
        return splice(data or b"", self.hunks)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def change_of(value: Mapping[str, Any]) -> Change:
    """The change that `Change.as_dict` made a mapping of.

    Raises:
        TypeError, KeyError: it is no such mapping.
    """
    return Change(value["path"], value["base"], tuple(Hunk(**hunk) for hunk in value["hunks"]))


def digest(data: bytes) -> str:
    """The name of a version of a note: SHA-256, 64 hex."""
    return hashlib.sha256(data).hexdigest()


def splice(data: bytes, hunks: Iterable[Hunk]) -> bytes:
    """Bytes with hunks done; every byte outside their ranges stays.

    Raises:
        StaleError: the old text of a hunk does not stand where it says.
    """
    parts: list[bytes] = []
    at = 0
    for hunk in sorted(hunks, key=lambda hunk: (hunk.start, hunk.end)):
        if hunk.start < at or data[hunk.start : hunk.end] != hunk.old.encode():
            raise StaleError("the text to be replaced is not there any more")
        parts += (data[at : hunk.start], hunk.new.encode())
        at = hunk.end
    return b"".join((*parts, data[at:]))


@dataclass(frozen=True, slots=True)
class _Splice:
    """A change of the text while a draft is made, in characters."""

    start: int
    end: int
    new: str
    why: str


class Draft:
    """Edits of one note, gathered against the text it has now. Nothing is written here.

    Several edits may be made, each in the words of the note as it stands; they must not touch the same text. What is
    put in takes the line ends of the note. `change` proves that the result says what was meant before it gives it out.
    """

    def __init__(self, path: str, data: bytes) -> None:
        """Begin.

        Args:
            path: the note.
            data: its bytes.

        Raises:
            NotEditableError: it is no UTF-8 text.
        """
        text, fault = decode(data)
        if fault:
            raise NotEditableError(f"{path} cannot be edited ({fault})")
        self.path = path
        self.text = text
        self.note: Note = parse(path, data)
        self._data = data
        self._splices: list[_Splice] = []
        self._properties: dict[str, Any] = dict(self.note.properties)
        windows = text.count("\r\n")
        self.line_end = "\r\n" if windows and windows * 2 >= text.count("\n") else "\n"

    def insert_under(self, heading: Sequence[str], content: str, *, why: str = "insert") -> None:
        """Put lines right below a heading.

        Args:
            heading: its full path, from the highest heading down, such as ("Project", "Log").
            content: whole lines, without a line end at the last.
            why: for people.

        Raises:
            TargetError: no such heading, or more than one.
        """
        index = self._heading(heading)
        start = self._line_after(self.note.headings[index].start, underlined=True)
        self._put_line(start, content, why)

    def append_to(self, heading: Sequence[str], content: str, *, why: str = "append", ensure: bool = False) -> None:
        """Put lines at the end of a section, above its sub-headings and below its last line that has text.

        Args:
            heading: its full path; () is the text above all headings.
            content: whole lines, without a line end at the last.
            why: for people.
            ensure: make the section, as a heading of level 2 at the end of the note, when there is none of this name;
                only a heading given by its name alone can be made. Of several the first is taken.

        Raises:
            TargetError: no such heading, or more than one, and `ensure` is not set.
        """
        if ensure and len(heading) == 1:
            found = [i for i, one in enumerate(self.note.headings) if _same(one.text, heading[0])]
            if not found:
                self._put_line(len(self.text), f"## {heading[0]}\n{content}", why, apart=True)
                return
            index = found[0]
        elif heading:
            index = self._heading(heading)
        else:
            index = -1
        begin = self.note.body if index < 0 else self._line_after(self.note.headings[index].start, underlined=True)
        headings = self.note.headings
        end = headings[index + 1].start if index + 1 < len(headings) else len(self.text)
        self._put_line(
            begin + len(self.text[begin:end].rstrip()) if self.text[begin:end].strip() else begin, content, why
        )

    def replace(self, start: int, end: int, new: str, *, why: str = "replace") -> None:
        """Put new text in place of a range, in characters of the text. A byte order mark is no text and stays first."""
        if not 0 <= start <= end <= len(self.text):
            raise TargetError("the range to replace is not in the note")
        if start == 0 and self.text.startswith("\ufeff"):
            start, end, new = 1, max(end, 1), new.removeprefix("\ufeff")
        self._splices.append(_Splice(start, end, self._own_ends(new), why))

    def tick(self, task: Task, day: date | None = None, *, following: str = "", why: str = "tick") -> None:
        """Mark a task done.

        Args:
            task: one of the note's tasks.
            day: the day it was done, written the way of the Tasks plugin (✅ and the date); None writes none.
            following: a line that goes above it, its next occurrence; "" for none.
            why: for people.

        Raises:
            TargetError: it is no open task of the note as it stands.
        """
        if task not in self.note.tasks or task.status in "xX":
            raise TargetError(
                "the task is not open in the note", [one.text for one in self.note.tasks if one.status == " "]
            )
        line = self.text[task.start : task.end]
        box = line.index("[") + 1
        begin, end, done = box, box + 1, ""
        if day is not None:
            end = len(line) - (len(found[0]) if (found := BLOCK_ID.search(line)) else 0)
            done = f" {_DONE_TODAY} {day.isoformat()}"
        if following:
            begin, following = 0, following + self.line_end
        # In one piece: nobody wants a box without its date, or an occurrence that comes next to one that is open.
        new = f"{following}{line[begin:box]}x{line[box + 1 : end]}{done}"
        self._splices.append(_Splice(task.start + begin, task.start + end, new, why))

    def set_property(self, name: str, value: Any, *, why: str = "") -> None:
        """Give a property a value; quotes, comments, order and all other lines stay.

        Args:
            name: its name.
            value: text, number, true, false, None, or a list of these.
            why: for people.

        Raises:
            NotEditableError: the properties cannot be read.
            TargetError: the name or value is none that can be written on one line.
        """
        why = why or f"set {name}"
        found = self._places().get(name)
        self._properties[name] = value
        if found is None:
            self._add_property(name, _written(value), why)
        elif found.style == "block":
            line = self.text.find("\n", found.colon, found.start)  # what stands before it is a comment, which stays
            head = found.colon if line < 0 else line - (self.text[line - 1] == "\r")
            self._splices.append(_Splice(found.colon, found.colon, f" {_written(value)}".rstrip(), why))
            self._splices.append(_Splice(head, found.end, "", why))
        else:
            quote = self.text[found.start] if found.style == "quoted" else ""
            new = _written(value, quote)
            lead = " " if new and found.start == found.colon else ""
            self._splices.append(_Splice(found.start, found.end, lead + new, why))

    def add_to_property(self, name: str, item: str, *, why: str = "") -> None:
        """Add an item to a list property, in the form the list has; a single value becomes a list.

        Raises:
            NotEditableError: the properties cannot be read.
            TargetError: the property is a mapping, or the item cannot be written on one line.
        """
        why = why or f"add to {name}"
        found = self._places().get(name)
        now = self._properties.get(name)
        if isinstance(now, dict):
            raise TargetError(f"the property {name} is no list")
        items = now if isinstance(now, list) else [] if now is None else [now]
        if item in items:
            return
        self._properties[name] = [*items, item]
        if found is None:
            self._add_property(name, f"[{_written(item)}]", why)
        elif not isinstance(now, list) or (found.style == "flow" and not found.items):
            self._splices.append(
                _Splice(
                    found.start, found.end, ("" if found.start > found.colon else " ") + _written([*items, item]), why
                )
            )
        elif found.style == "flow":
            self._splices.append(_Splice(found.items[-1][1], found.items[-1][1], f", {_written(item)}", why))
        else:
            last = found.items[-1][0]
            line = self.text.rfind("\n", 0, last) + 1
            stop = self.text.find("\n", found.items[-1][1])
            stop = len(self.text) if stop < 0 else stop - (self.text[stop - 1] == "\r")
            lead = re.match(r"[ \t]*-[ \t]+", self.text[line:last])
            self._splices.append(_Splice(stop, stop, self.line_end + (lead[0] if lead else "- ") + _written(item), why))

    def remove_property(self, name: str, *, why: str = "") -> None:
        """Take a property out, its lines with it.

        Raises:
            NotEditableError: the properties cannot be read.
            TargetError: there is no such property.
        """
        known = self._places()
        found = known.get(name)
        if found is None:
            raise TargetError(f"there is no property {name!r}", list(known))
        del self._properties[name]
        stop = self.text.find("\n", found.end) + 1
        self._splices.append(_Splice(found.key, stop, "", why or f"remove {name}"))

    def change(self, number: int = 1) -> Change:
        """The change that all edits make together.

        Args:
            number: of the note within its edit, for the ids of the hunks.

        Raises:
            TargetError: two edits touch the same text, or the result would not say what was meant (a line that falls
                into an open code block, a property that reads as another value).
        """
        joined = _joined(self._splices)
        hunks = tuple(self._hunk(one, f"{number}.{place}") for place, one in enumerate(joined, 1))
        found = Change(self.path, digest(self._data), hunks)
        self._prove(found.apply(self._data), joined)
        return found

    def _hunk(self, one: _Splice, identity: str) -> Hunk:
        before, old = self.text[: one.start], self.text[one.start : one.end]
        start, start16 = len(before.encode()), utf16_units(before.removeprefix("\ufeff"))
        return Hunk(
            identity, start, start + len(old.encode()), start16, start16 + utf16_units(old), old, one.new, one.why
        )

    def _prove(self, data: bytes, splices: Sequence[_Splice]) -> None:
        after = parse(self.path, data)
        text, _ = decode(data)
        if any(flag.startswith("frontmatter") for flag in after.flags) and not self.note.flags:
            raise TargetError("the properties could not be read any more after this edit")
        if self._properties != self.note.properties and dict(after.properties) != self._properties:
            raise TargetError("a property would read as another value after this edit")
        dead = [(begin, end) for begin, end, _ in regions(text, after.body)]
        moved = 0
        for one in splices:
            start = one.start + moved
            moved += len(one.new) - (one.end - one.start)
            first = start + len(one.new) - len(one.new.lstrip())
            if one.start == one.end and any(begin < start and first < end for begin, end in dead):
                raise TargetError("the line would fall into a code block, comment or formula that is not closed")

    def _heading(self, wanted: Sequence[str]) -> int:
        paths = [path for _, path in heading_paths(self.note.headings)]
        found = [i for i, path in enumerate(paths) if len(path) == len(wanted) and all(map(_same, path, wanted))]
        if len(found) == 1:
            return found[0]
        told = " > ".join(wanted)
        if found:
            raise TargetError(f"{self.path} has the heading {told!r} {len(found)} times")
        near = [" > ".join(path) for path in paths if wanted and _same(path[-1], wanted[-1])]
        raise TargetError(f"{self.path} has no heading {told!r}", near or [" > ".join(path) for path in paths])

    def _line_after(self, start: int, *, underlined: bool = False) -> int:
        """Where the line of an offset ends, before its line end; for an underlined heading that of its underline."""
        if underlined and not self.text[start:].lstrip(" ").startswith("#"):
            found = re.compile(r"^ {0,3}(?:=+|-+)[ \t]*\r?$", re.MULTILINE).search(self.text, start)
            start = found.start() if found else start
        stop = self.text.find("\n", start)
        return len(self.text) if stop < 0 else stop - (self.text[stop - 1 : stop] == "\r")

    def _put_line(self, at: int, content: str, why: str, *, apart: bool = False) -> None:
        """Put whole lines below the line that ends at an offset."""
        before = self.text[:at].removeprefix("\ufeff")
        above = (
            before[before.rfind("\n", 0, len(before.rstrip("\r\n")) or 0) + 1 :].strip("\r\n") if before.strip() else ""
        )
        ends = "" if not before or before.endswith("\n") else "\n"
        # An indented line goes on with the item above it.
        both_lists = bool(_LIST_ITEM.match(content) and (_LIST_ITEM.match(above) or above[:1] in ("\t", " ")))
        blank = apart or not (both_lists or not above or above.lstrip().startswith("#") or _RULE.fullmatch(above))
        if before.endswith(("\n\n", "\r\n\r\n")) or not before.strip():
            blank = False
        if self.text[at:].strip("\ufeff"):
            stop = "" if self.text[at : at + 2].startswith(("\n", "\r\n")) else "\n"
        else:
            stop = "\n" if before.endswith("\n") else ""  # the note ends as it ended
        self._splices.append(_Splice(at, at, self._own_ends(ends + "\n" * blank + content + stop), why))

    def _add_property(self, name: str, value: str, why: str) -> None:
        if not _NAME.fullmatch(name):
            raise TargetError(f"{name[:40]!r} cannot be the name of a property")
        line = f"{name}: {value}".rstrip() + self.line_end
        if self.text[: self.note.body].strip("\ufeff"):
            at = self.text.rfind("---", 0, self.note.body)
            self._splices.append(_Splice(at, at, line, why))
        else:
            at = int(self.text.startswith("\ufeff"))
            self._splices.append(_Splice(at, at, f"---{self.line_end}{line}---{self.line_end}", why))

    def _places(self) -> dict[str, Place]:
        try:
            return places(self.text)
        except FrontmatterError as error:
            raise NotEditableError(f"the properties of {self.path} cannot be read ({error})") from None

    def _own_ends(self, text: str) -> str:
        return text.replace("\r\n", "\n").replace("\n", self.line_end)


def create(path: str, text: str, *, why: str = "new note", number: int = 1) -> Change:
    """The change that makes a note. That none of this name is there is proved when it is applied."""
    return Change(path, "", (Hunk(f"{number}.1", 0, 0, 0, 0, "", text, why),))


def _joined(splices: Iterable[_Splice]) -> list[_Splice]:
    """Splices in the order of the text; insertions at one place are put together in the order they were made.

    Raises:
        TargetError: two of them touch the same text.
    """
    found: list[_Splice] = []
    for one in sorted(splices, key=lambda one: (one.start, one.end)):
        last = found[-1] if found else None
        if last is not None and last.start == last.end == one.start:
            whys = last.why if one.why in last.why else f"{last.why}; {one.why}"
            found[-1] = _Splice(last.start, one.end, last.new + one.new, whys)
        elif last is not None and one.start < last.end:
            raise TargetError("two edits touch the same text")
        else:
            found.append(one)
    return [one for one in found if one.new or one.start < one.end]


def _same(one: str, other: str) -> bool:
    return fold(" ".join(one.split())) == fold(" ".join(other.split()))


def utf16_units(text: str) -> int:
    """The length of a text as Obsidian counts it: in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def _written(value: Any, quote: str = "") -> str:
    """A property value on one line of YAML that reads as this value.

    Raises:
        TargetError: there is no such line.
    """
    if isinstance(value, list):
        return f"[{', '.join(_written(item) for item in value)}]"
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if "\n" in value or "\r" in value:
            raise TargetError("a property value of several lines is not written")
        single = [f"'{value}'"] if quote == "'" and "'" not in value else []
        # A link in brackets alone is a list in a list to other readers of YAML, so it gets its quotes.
        forms = [*single, *([] if quote or "[[" in value else [value]), json.dumps(value, ensure_ascii=False)]
    else:
        forms = [repr(value)]
    for form in forms:
        # In a list as well, so that a comma or bracket in it cannot be read as the list's own.
        if read(f"---\nv: {form}\nl: [{form}]\n---\n").properties == {"v": value, "l": [value]}:
            return form
    raise TargetError("this value cannot be written as a property")
