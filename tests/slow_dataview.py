"""Evaluates Dataview queries slowly and plainly, written from the documentation alone, to check ours against.

Every rule names the page it is from ("Functions", "Literals", "Sources", "Data Commands", "Query Types", "Metadata on
Pages", "Metadata on Tasks", "Field Types", "Adding Metadata", "Expressions" of Dataview's documentation). Where the
pages are silent and the answer depends on it, the result is a text that says so: a silence is not settled by guessing.
Knows nothing of `context`.
"""

import math
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import yaml


class SilentError(Exception):
    """The documentation does not say what comes out, or it is not evaluated here."""


def members(
    files: Mapping[str, str], source: str, this: str, now: datetime, *, ordered: bool = True
) -> list[str] | str:
    """The paths of the notes that a query shows, each once, in its order; or why that cannot be said.

    Without a SORT they stand in the order of their paths, and so does what a SORT does not tell apart: the
    documentation gives no order there. A grouped query shows the notes in its groups; a TASK query those of its tasks.

    Args:
        files: path → text, attachments included.
        source: the query.
        this: the path of the note it stands in.
        now: the person's time.
        ordered: whether the order counts; without, what is silent about the order alone does not matter.
    """
    try:
        return list(dict.fromkeys(_Query(files, source, this, now.replace(tzinfo=None), ordered=ordered).paths()))
    except SilentError as silence:
        return str(silence)


def tasks(files: Mapping[str, str], source: str, this: str, now: datetime) -> list[tuple[str, int]] | str:
    """The tasks that a TASK query finds by themselves, as (path, line from 0); their children are shown with them."""
    try:
        return [(one["path"], one["line"]) for one in _Query(files, source, this, now.replace(tzinfo=None)).items()]
    except SilentError as silence:
        return str(silence)


# ---------------------------------------------------------------------------------------------------- values


@dataclass(frozen=True)
class Link:
    """A link: the path it means (or its text when there is no such file), what follows #, what is shown, embedded."""

    path: str
    sub: str = ""
    display: str = ""
    embed: bool = False


@dataclass(frozen=True)
class Span:
    """A duration: calendar months, and seconds."""

    months: float
    seconds: float


@dataclass(frozen=True)
class Function:
    """A lambda with the names it was made among."""

    names: tuple[str, ...]
    body: Any
    scope: Any


_UNITS = {
    name: size
    for size, names in (
        ((0, 1), "s sec secs second seconds"),
        ((0, 60), "m min mins minute minutes"),
        ((0, 3600), "h hr hrs hour hours"),
        ((0, 86400), "d day days"),
        ((0, 604800), "w wk wks week weeks"),
        ((1, 0), "mo month months"),
        ((12, 0), "yr yrs year years"),
    )
    for name in names.split()
}
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*,?")


def span_of(text: str) -> Span | None:
    """ "Literals", "Durations": numbers with units, with or without blanks and commas between them."""
    at, months, seconds = 0, 0.0, 0.0
    while found := _SPAN.match(text, at):
        if found[2] not in _UNITS:
            return None
        month, second = _UNITS[found[2]]
        months += float(found[1]) * month
        seconds += float(found[1]) * second
        at = found.end()
    return Span(months, seconds) if at and at == len(text) else None


def date_of(text: str) -> datetime | None:
    """ "Field Types", "Date": `YYYY-MM[-DDTHH:mm:ss.nnn+ZZ]`, "everything after the month is optional"."""
    if re.fullmatch(r"\d{4}-\d{2}", text):
        text += "-01"
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?", text):
        if re.match(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}\S*[+Z]", text):
            raise SilentError("unsupported: a date with a zone")
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def moved(when: datetime, span: Span, sign: int) -> datetime:
    """A date and a duration; a day that its month does not have is its last one."""
    if span.months % 1:
        raise SilentError("undocumented: a part of a month")
    year, month = divmod(when.year * 12 + when.month - 1 + sign * int(span.months), 12)
    if not 1 <= year <= 9999:
        raise SilentError("undocumented: a year out of range")
    day = when.day
    while day > 28:
        try:
            date(year, month + 1, day)
            break
        except ValueError:
            day -= 1
    try:
        return when.replace(year=year, month=month + 1, day=day) + sign * timedelta(seconds=span.seconds)
    except OverflowError:
        raise SilentError("undocumented: a year out of range") from None


def is_number(value: Any) -> bool:
    """Whether a value is a number, which a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def kind(value: Any) -> str:
    """ "Functions", `typeof`."""
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "boolean"), (int | float, "number"), (str, "string"), (datetime, "date"), (Span, "duration"),
        (Link, "link"), (list, "array"), (dict, "object"), (Function, "function"),
    )  # fmt: skip
    return "null" if value is None else next(name for one, name in kinds if isinstance(value, one))


def truthy(value: Any) -> bool:
    """ "Functions", `choice`, `all`, `any`: "truthy", as JavaScript has it; it is not said for what is empty."""
    if isinstance(value, list | dict) and not value:
        raise SilentError("undocumented: whether an empty list or object is truthy")
    if isinstance(value, Span) and value == Span(0, 0):
        raise SilentError("undocumented: whether an empty duration is truthy")
    return not (value is None or value is False or value == "" or (is_number(value) and value == 0))


def equal(left: Any, right: Any) -> bool:
    """ "Expressions", "Comparison": whether a equals b."""
    if left is None or right is None:
        return left is right
    if kind(left) != kind(right):
        return False
    if isinstance(left, Link):
        if left.path == right.path and (left.sub, left.embed) != (right.sub, right.embed):
            raise SilentError("undocumented: links to one note that differ")
        return bool(left.path == right.path)
    if isinstance(left, Span) and left.months != right.months and (left.months or right.months):
        raise SilentError("undocumented: how long a month is")
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def before(left: Any, right: Any) -> bool:
    """Whether one value is smaller than another one of its kind; the documentation orders no others."""
    if kind(left) != kind(right) or kind(left) not in ("number", "string", "date", "duration"):
        raise SilentError(f"undocumented: the order of {kind(left)} and {kind(right)}")
    if isinstance(left, str):
        if left != right and left.lower() == right.lower():
            raise SilentError("undocumented: the order of texts that differ in case alone")
        return _letters(left) < _letters(right)
    if isinstance(left, Span):
        if left.months != right.months:
            raise SilentError("undocumented: how long a month is")
        return bool(left.seconds < right.seconds)
    return bool(left < right)


def _letters(text: str) -> str:
    """The text as it is ordered, where every way to order texts agrees."""
    if not re.fullmatch(r"[A-Za-z0-9 -]*", text):
        raise SilentError("undocumented: the order of punctuation and other scripts")
    return text.lower()


def text_of(value: Any) -> str:
    """A value beside a text with `+` between them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value) and value == int(value):
        return str(int(value))
    raise SilentError(f"undocumented: a {kind(value)} as text")


# ---------------------------------------------------------------------------------------------------- notes


class _Yaml(yaml.SafeLoader):
    """YAML 1.2 as properties are written: dates stay texts, and so do `yes` and `no`."""


_Yaml.yaml_implicit_resolvers = {}
_Yaml.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Yaml.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Yaml.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+\.[0-9]+$"), list("-+0123456789"))

_FRONT = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(?ms)^[ \t>]*(```+|~~~+).*?^[ \t>]*\1[ \t]*$|(`+)[^`\n]+\2")
_LINK = re.compile(r"(!?)\[\[([^\[\]\n]+)\]\]")
_ITEM = re.compile(r"([ \t]*)(?:[-*+]|\d+[.)])[ \t]+(?:\[(.)\][ \t]+)?(.*)")
_TAG = re.compile(r"(?:(?<=\s)|^)#([\w/-]*[^\W\d][\w/-]*)")
_BRACKETED = re.compile(r"\[([^\[\]():]+?)::([^\[\]]*(?:\[\[[^\]]*\]\][^\[\]]*)*)\]|\(([^\[\]():]+?)::([^()]*)\)")
_FULL_LINE = re.compile(r"[*_~ ]*([^\W\d_][\w /-]*?)[*_~]*::[ \t]*(.*)")
_EMOJI = (("🗓️", "due"), ("📅", "due"), ("✅", "completion"), ("➕", "created"), ("🛫", "start"), ("⏳", "scheduled"))


def sanitized(key: str) -> str:
    """ "Adding Metadata", "Field names": lower case, dashes instead of spaces, formatting and punctuation left out."""
    bare = re.sub(r"[*_~`]", "", key).strip() if not re.fullmatch(r"[\w-]+", key) else key
    return re.sub(r"[^\w/-]", "", re.sub(r"\s+", "-", bare)).lower()


@dataclass
class Page:
    """A note with all that is read from its text."""

    path: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    front: dict[str, Any] = field(default_factory=dict)
    body: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)


class _Vault:
    def __init__(self, files: Mapping[str, str]) -> None:
        self.paths = list(files)
        self.pages = {path: Page(path, text) for path, text in files.items() if path.endswith(".md")}
        for page in self.pages.values():
            self._read(page)

    def resolve(self, target: str, source: str) -> str | None:
        """The file a link means: the exact path, else the name, the nearest and shortest first."""
        name = target.split("#", maxsplit=1)[0].strip().lower()
        if not name:
            return source
        if name.startswith(("./", "../")):
            name = posixpath.normpath(posixpath.join(source.rpartition("/")[0].lower(), name))
        name = name.lstrip("/")
        for path in self.paths:
            if path.lower() in (name, name + ".md"):
                return path
        near = source.rpartition("/")[0]
        found = [path for path in self.paths if ("/" + path.lower()).endswith(("/" + name, "/" + name + ".md"))]
        return min(
            found, key=lambda path: (not path.startswith(near + "/" if near else ""), len(path), path), default=None
        )

    def link(self, inner: str, source: str, *, embed: bool = False) -> Link:
        """What stands in `[[…]]` as a link."""
        target, _, display = re.sub(r"\\\|", "|", inner).partition("|")
        name, _, sub = target.partition("#")
        return Link(self.resolve(name, source) or name.strip(), sub.strip().lstrip("^"), display.strip(), embed)

    def _read(self, page: Page) -> None:
        found = _FRONT.match(page.text)
        page.body = page.text[found.end() :] if found else page.text
        loaded: Any = None
        if found:
            try:
                loaded = yaml.load(found[1], _Yaml)
            except yaml.YAMLError:
                loaded = None
        page.front = {str(key): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}
        for key, value in page.front.items():
            self._put(page.fields, key, self._typed(value, page.path))
        first = page.text[: len(page.text) - len(page.body)].count("\n")
        section = ""
        stack: list[dict[str, Any]] = []
        for number, line in enumerate(_blanked(page.body).split("\n")):
            if heading := re.match(r"#{1,6}\s+(.*?)\s*$", line):
                section, stack = heading[1], []
            elif item := _ITEM.fullmatch(line.rstrip("\r")):
                stack = self._item(page, item, number + first, section, stack)
            else:
                if line.strip() == "" or not line.startswith((" ", "\t")):
                    stack = stack if line.strip() == "" else []
                self._inline(page.fields, line, page.path, whole=True)

    def _item(
        self, page: Page, found: re.Match[str], line: int, section: str, stack: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """ "Metadata on Tasks": a list item, and the ones above it that it stands under."""
        depth = len(found[1].expandtabs(4))
        stack = [one for one in stack if one["_depth"] < depth]
        words = found[3].strip()
        own: dict[str, Any] = {}
        self._inline(own, words, page.path, whole=False)
        page.unsure |= {key for key in own if key not in page.fields}
        if re.match(r"[*_~ ]*[^\W\d_][\w /-]*[*_~]*::", words):
            page.unsure.add(sanitized(words.split("::")[0]))
        for mark, name in _EMOJI:
            if shown := re.search(mark.rstrip("\ufe0f") + "\ufe0f?" + r"\s*(\d{4}-\d{2}-\d{2})", words):
                own.setdefault(name, date_of(shown[1]))
        status = found[2]
        item = {
            **own, "_own": own, "_depth": depth, "text": words, "line": line, "path": page.path, "task": status is not None,
            "section": Link(page.path, section), "children": [], "annotated": bool(own),
            "tags": ["#" + tag for tag in _TAG.findall(words)],
            "outlinks": [self.link(one[1], page.path) for one in _LINK.findall(words)],
            "parent": stack[-1]["line"] if stack else None,
        }  # fmt: skip
        if status is not None:
            item |= {"status": status, "checked": status != " ", "completed": status in "xX"}
        if stack:
            stack[-1]["children"].append(item)
        page.items.append(item)
        return [*stack, item]

    def _inline(self, fields: dict[str, Any], line: str, path: str, *, whole: bool) -> None:
        """ "Adding Metadata", "Inline Fields": a line of its own, or in brackets or parentheses within a sentence."""
        if "::" not in line:
            return
        bracketed = list(_BRACKETED.finditer(line))
        for found in bracketed:
            key, value = (found[1], found[2]) if found[1] else (found[3], found[4])
            self._put(fields, key.strip(), self._inline_value(value.strip(), path))
        if whole and not bracketed and (found := _FULL_LINE.fullmatch(line.strip())):  # type: ignore[assignment]
            self._put(fields, found[1].strip(), self._inline_value(found[2].strip(), path))

    def _put(self, fields: dict[str, Any], key: str, value: Any) -> None:
        """One more value under a key, by its own and by its sanitized name; several make a list."""
        for name in dict.fromkeys((key, sanitized(key))):
            if name in fields:
                known = fields[name] if isinstance(fields[name], list) else [fields[name]]
                fields[name] = [*known, *(value if isinstance(value, list) else [value])]
            else:
                fields[name] = value

    def _typed(self, value: Any, path: str) -> Any:
        """ "Field Types", for a value of the properties."""
        if isinstance(value, list):
            return [self._typed(item, path) for item in value]
        if isinstance(value, dict):
            return {str(key): self._typed(item, path) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        link = re.fullmatch(r"\s*(!?)\[\[([^\[\]]+)\]\]\s*", value)
        if link:
            return self.link(link[2], path, embed=bool(link[1]))
        return date_of(value) or span_of(value) or value

    def _inline_value(self, text: str, path: str) -> Any:
        """ "Field Types", for the value of an inline field: the first type whose form it has, else text."""
        if not text:
            return None
        if re.fullmatch(r"-?\d+(?:\.\d+)?", text):
            return float(text) if "." in text else int(text)
        if text in ("true", "false"):
            return text == "true"
        if re.fullmatch(r'"[^"]*"', text):
            return text[1:-1]
        typed = self._typed(text, path)
        if typed is not text:
            return typed
        parts = [part.strip() for part in re.split(r",(?![^\[]*\]\])", text)]
        values = [self._inline_value(part, path) for part in parts] if len(parts) > 1 and all(parts) else []
        quoted = [part.startswith('"') and part.endswith('"') for part in parts]
        plain = [isinstance(one, str) and not marked for one, marked in zip(values, quoted, strict=False)]
        if values and not any(plain):
            return values
        if values and not all(plain):
            raise SilentError("undocumented: a list with texts without quotes")
        return text

    def links(self, page: Page) -> tuple[list[Link], list[Link]]:
        """The links of a note, those of its properties first; and its embeds."""
        links: list[Link] = []
        embeds: list[Link] = []

        def gather(value: Any) -> None:
            if isinstance(value, Link):
                links.append(value)
            for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
                gather(item)

        gather([self._typed(value, page.path) for value in page.front.values()])
        for found in re.finditer(
            r"(!?)\[\[([^\[\]\n]+)\]\]|(!?)\[[^\[\]]*\]\(<?([^()<>\s]+)>?\)", _blanked(page.body, code=True)
        ):
            if found[4] and re.match(r"[a-z]+:", found[4]):
                continue
            inner = found[2] or found[4].replace("%20", " ")
            embed = bool(found[1] or found[3])
            (embeds if embed else links).append(self.link(inner, page.path, embed=embed))
        return links, embeds

    def tags(self, page: Page) -> list[str]:
        """The tags of a note as they are written, without #."""
        found: list[str] = []
        for name, value in page.front.items():
            if name.lower() in ("tags", "tag"):
                for item in value if isinstance(value, list) else [value]:
                    found += [] if item is None else re.split(r"[,\s]+", str(item))
        live = re.sub(r"(?s)%%.*?%%|<!--.*?-->|\[\[[^\]]*\]\]|\]\([^)]*\)", " ", _blanked(page.body, code=True))
        found += _TAG.findall(live)
        return list(dict.fromkeys(tag.strip("#/ ") for tag in found if tag.strip("#/ ")))


def _blanked(body: str, *, code: bool = False) -> str:
    """A text without code, in which nothing is data; its lines stay. Inline code keeps its words in a task's text."""

    def blank(found: re.Match[str]) -> str:
        if found[2] and not code:
            return found[0].replace("::", ": ")
        return re.sub(r"[^\n]", " ", found[0])

    return _CODE.sub(blank, body)


# ---------------------------------------------------------------------------------------------------- parsing

_TOKENS = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<tag>#[\w/-]+)|(?P<link>!?\[\[[^\[\]\n]*\]\])"
    r"|(?P<name>[^\W\d][\w-]*)|(?P<mark>=>|!=|<=|>=|[-+*/%<>=!()\[\]{}.,:&|]))"
)
_COMMANDS = ("from", "where", "sort", "limit", "flatten", "group")
_ORDERS = {"asc": 1, "ascending": 1, "desc": -1, "descending": -1}
_LEVELS = (("or", "|"), ("and", "&"), ("=", "!=", "<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))


class _Parser:
    """Reads a query into (kind, columns, [(command, …)]), and expressions into tuples."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> tuple[str, str]:
        found = _TOKENS.match(self.text, self.at)
        if not found:
            return ("odd" if self.text[self.at :].strip() else "end"), ""
        return str(found.lastgroup), found[str(found.lastgroup)]

    def take(self, mark: str = "") -> tuple[str, str]:
        found = _TOKENS.match(self.text, self.at)
        if not found or (mark and found[str(found.lastgroup)].lower() != mark):
            raise SilentError("does not parse")
        self.at = found.end()
        return str(found.lastgroup), found[str(found.lastgroup)]

    def word(self) -> str:
        """The next token when it is a name, in small letters: commands are written in any case."""
        group, token = self.peek()
        return token.lower() if group == "name" else ""

    def query(self) -> tuple[str, list[Any], list[tuple[Any, ...]]]:
        shape = self.take()[1].lower()
        if shape not in ("list", "table", "task", "calendar"):
            raise SilentError("does not parse")
        if self.word() == "without":
            self.take()
            self.take("id")
        columns: list[Any] = []
        while self.peek()[0] != "end" and self.word() not in _COMMANDS:
            columns.append(self.expression())
            if self.word() == "as":
                self.take()
                self.take()
            if self.peek() != ("mark", ","):
                break
            self.take()
        if len(columns) > 1 and shape != "table":
            raise SilentError("does not parse")
        commands = []
        while self.peek()[0] != "end":
            commands.append(self.command())
        return shape, columns, commands

    def command(self) -> tuple[Any, ...]:
        command = self.take()[1].lower()
        if command == "from":
            return "from", self.source()
        if command == "where":
            return "where", self.expression()
        if command == "sort":
            keys = []
            while True:
                key = self.expression()
                keys.append((key, _ORDERS[self.take()[1].lower()] if self.word() in _ORDERS else 1))
                if self.peek() != ("mark", ","):
                    return "sort", keys
                self.take()
        if command == "limit":
            return "limit", self.expression()
        if command == "group":
            self.take("by")
        elif command != "flatten":
            raise SilentError("does not parse")
        made = self.expression()
        name = made[1] if made[0] == "name" else ""
        if self.word() == "as":
            self.take()
            name = self.take()[1].strip('"')
        return command, made, name

    # "Sources"

    def source(self) -> Any:
        left = self.one_source()
        joins = set()
        while self.word() in ("and", "or"):
            joins.add(self.take()[1].lower())
            left = (max(joins), left, self.one_source())
        if len(joins) > 1:
            raise SilentError("undocumented: and beside or without parentheses")
        return left

    def one_source(self) -> Any:
        group, token = self.take()
        if token in ("-", "!"):
            return "not", self.one_source()
        if token == "(":
            inner = self.source()
            self.take(")")
            return inner
        if group == "tag":
            return "tag", token[1:]
        if group == "text":
            return "path", token[1:-1]
        if group == "link":
            return "to", token[2:-2]
        if token.lower() == "outgoing":
            self.take("(")
            _, link = self.take()
            self.take(")")
            return "from", link[2:-2]
        raise SilentError("does not parse")

    # "Expressions"

    def expression(self, depth: int = 0) -> Any:
        if depth == len(_LEVELS):
            return self.postfix()
        left = self.expression(depth + 1)
        while self.peek()[1].lower() in _LEVELS[depth] and self.peek()[0] in ("mark", "name"):
            operator = self.take()[1].lower()
            left = ("binary", {"|": "or", "&": "and"}.get(operator, operator), left, self.expression(depth + 1))
        return left

    def postfix(self) -> Any:
        value = self.primary()
        while True:
            if self.peek() == ("mark", "."):
                self.take()
                value = ("member", value, ("value", self.take()[1]))
            elif self.peek() == ("mark", "["):
                self.take()
                value = ("member", value, self.expression())
                self.take("]")
            elif self.peek() == ("mark", "(") and value[0] == "name":
                value = self.call(value[1])
            else:
                return value

    def call(self, name: str) -> Any:
        """A call; `date(…)` and `dur(…)` may hold words of their own ("Literals")."""
        literal = re.compile(r"\s*\(([^()\"]*)\)").match(self.text, self.at)
        if literal and name in ("date", "dur"):
            words = literal[1].strip()
            known = words in ("today", "now", "tomorrow", "yesterday", *"sow eow som eom soy eoy".split())
            if (name == "date" and (known or date_of(words))) or (name == "dur" and span_of(words)):
                self.at = literal.end()
                return name, words
        self.take("(")
        return "call", name.lower(), self.several(")")

    def several(self, close: str) -> list[Any]:
        found: list[Any] = []
        while self.peek() != ("mark", close):
            found.append(self.expression())
            if self.peek() != ("mark", close):
                self.take(",")
        self.take(close)
        return found

    def primary(self) -> Any:
        made = re.compile(r"\s*\(\s*((?:[A-Za-z]\w*\s*,?\s*)*)\)\s*=>").match(self.text, self.at)
        if made:
            self.at = made.end()
            return "lambda", tuple(re.findall(r"\w+", made[1])), self.expression()
        group, token = self.take()
        if group == "number":
            return "value", float(token) if "." in token else int(token)
        if group == "text":
            # A backslash stays one before what it does not escape: "\s" in a pattern.
            return "value", re.sub(r'\\(["\\])', r"\1", token[1:-1])
        if group == "link":
            return "link", token.removeprefix("!")[2:-2]
        if group == "name":
            words = {"true": True, "false": False, "null": None}
            return ("value", words[token.lower()]) if token.lower() in words else ("name", token)
        if token == "!":
            return "not", self.postfix()
        if token == "-":
            return "binary", "-", ("value", 0), self.postfix()
        if token == "(":
            value = self.expression()
            self.take(")")
            return value
        if token == "[":
            return "list", self.several("]")
        if token == "{":
            pairs = []
            while self.peek() != ("mark", "}"):
                key = self.take()[1].strip('"')
                self.take(":")
                pairs.append((key, self.expression()))
                if self.peek() != ("mark", "}"):
                    self.take(",")
            self.take("}")
            return "object", pairs
        raise SilentError("does not parse")


# ---------------------------------------------------------------------------------------------------- queries


@dataclass
class _Row:
    """A row: where its fields are from, names that commands gave it, and the pages it stands for."""

    page: Page | None
    item: dict[str, Any] | None = None
    names: dict[str, Any] = field(default_factory=dict)
    rows: "list[_Row] | None" = None

    def paths(self) -> Iterable[str]:
        if self.rows is not None:
            for row in self.rows:
                yield from row.paths()
        elif self.page:
            yield self.page.path


class _Query:
    def __init__(
        self, files: Mapping[str, str], source: str, this: str, now: datetime, *, ordered: bool = True
    ) -> None:
        self.vault = _Vault(files)
        self.this = this
        self.now = now
        self.shape, self.columns, self.commands = _Parser(source).query()
        if not ordered:
            self.commands = [command for command in self.commands if command[0] != "sort"]
        self.ordered = False
        self.keys: dict[int, list[Any]] = {}

    def paths(self) -> list[str]:
        return [path for row in self._rows() for path in row.paths()]

    def items(self) -> list[dict[str, Any]]:
        return [one.item for row in self._rows() for one in _flat_rows(row) if one.item is not None]

    def _rows(self) -> list[_Row]:
        pages = [page for _, page in sorted(self.vault.pages.items())]
        commands = list(self.commands)
        if commands and commands[0][0] == "from":
            chosen = commands.pop(0)[1]
            pages = [page for page in pages if self._in_source(chosen, page)]
        if any(command[0] == "from" for command in commands):
            raise SilentError("does not parse")
        rows = [_Row(page) for page in pages]
        if self.shape == "task":
            rows = [_Row(page, item) for page in pages for item in page.items if item["task"]]
        for command in commands:
            rows = getattr(self, "_" + command[0])(rows, *command[1:])
        if self.shape == "calendar":
            for row in rows:
                if not isinstance(self._value(self.columns[0], row), datetime | None):
                    raise SilentError("undocumented: a calendar of what is no date")
        return rows

    def _in_source(self, source: Any, page: Page) -> bool:
        if source[0] in ("and", "or"):
            return (all if source[0] == "and" else any)(self._in_source(one, page) for one in source[1:])
        if source[0] == "not":
            return not self._in_source(source[1], page)
        if source[0] == "tag":
            wanted = source[1].lower()
            return any(tag == wanted or tag.startswith(wanted + "/") for tag in map(str.lower, self.vault.tags(page)))
        if source[0] == "path":
            return self._in_path(source[1], page)
        inner = source[1].split("|")[0]
        other = self.this if inner.strip() in ("", "#") else self.vault.resolve(inner, self.this)
        if other is None:
            raise SilentError("undocumented: a link to a note that is not there as a source")
        if source[0] == "to":
            return self._links_to(page, other)
        return other in self.vault.pages and self._links_to(self.vault.pages[other], page.path)

    def _in_path(self, wanted: str, page: Page) -> bool:
        if wanted.endswith("/"):
            return False  # "trailing slashes are not supported"
        if any(path.startswith(wanted + "/") for path in self.vault.paths):
            return page.path.startswith(wanted + "/")
        if not wanted:
            raise SilentError("undocumented: the folder at the top")
        return page.path in (wanted, wanted + ".md")

    def _links_to(self, page: Page, other: str) -> bool:
        links, embeds = self.vault.links(page)
        if any(link.path == other for link in links):
            return True
        if any(link.path == other for link in embeds):
            raise SilentError("undocumented: whether an embed is a link")
        return False

    def _where(self, rows: list[_Row], clause: Any) -> list[_Row]:
        return [row for row in rows if truthy(self._value(clause, row))]

    def _sort(self, rows: list[_Row], keys: list[tuple[Any, int]]) -> list[_Row]:
        """ "Data Commands", "SORT": by the first field, ties by the second one, and so on."""
        self.ordered = True
        found = [(row, [self._value(key, row) for key, _ in keys]) for row in rows]
        for place in reversed(range(len(keys))):
            values = [key[place] for _, key in found]
            if len({kind(one) for one in values} - ({"null"} if all(one is None for one in values) else set())) > 1:
                raise SilentError("undocumented: the order of values of several kinds")
            if values and values[0] is None:
                continue
            found = _inserted(found, place, keys[place][1])
        self.keys = {id(row): key for row, key in found}
        return [row for row, _ in found]

    def _limit(self, rows: list[_Row], most: Any) -> list[_Row]:
        count = self._value(most, _Row(None))
        if not isinstance(count, int) or count < 0:
            raise SilentError("undocumented: such a limit")
        tied = self.ordered and 0 < count < len(rows) and [self.keys[id(row)] for row in rows[count - 1 : count + 1]]
        if count < len(rows) and (not self.ordered or (tied and all(map(equal, *tied)))):
            raise SilentError("undocumented: the order in which the limit cuts")
        return rows[:count]

    def _flatten(self, rows: list[_Row], made: Any, name: str) -> list[_Row]:
        found: list[_Row] = []
        self.ordered = False
        for row in rows:
            value = self._value(made, row)
            if value == []:
                raise SilentError("undocumented: to flatten an empty list")
            found += [
                _Row(row.page, row.item, {**row.names, **({name: one} if name else {})}, row.rows)
                for one in (value if isinstance(value, list) else [value])
            ]
        return found

    def _group(self, rows: list[_Row], made: Any, name: str) -> list[_Row]:
        """ "Data Commands", "GROUP BY": one row for each value, with the field and the `rows`."""
        groups: list[tuple[Any, list[_Row]]] = []
        self.ordered = False
        for row in rows:
            value = self._value(made, row)
            for key, inside in groups:
                if equal(key, value):
                    inside.append(row)
                    break
            else:
                groups.append((value, [row]))
        return [_Row(None, None, {"key": key, **({name: key} if name else {})}, rows=inside) for key, inside in groups]

    # ------------------------------------------------------------------------------------------------ values

    def _value(self, node: Any, row: _Row) -> Any:
        return getattr(self, "_x_" + node[0])(*node[1:], row)

    def _x_value(self, value: Any, _: _Row) -> Any:
        return value

    def _x_list(self, items: list[Any], row: _Row) -> list[Any]:
        return [self._value(item, row) for item in items]

    def _x_object(self, pairs: list[tuple[str, Any]], row: _Row) -> dict[str, Any]:
        return {key: self._value(value, row) for key, value in pairs}

    def _x_lambda(self, names: tuple[str, ...], body: Any, row: _Row) -> Function:
        return Function(names, body, row)

    def _x_link(self, inner: str, _: _Row) -> Link:
        if inner.strip() in ("", "#"):
            return Link(self.this)
        return self.vault.link(inner, self.this)

    def _x_dur(self, words: str, _: _Row) -> Span | None:
        return span_of(words)

    def _x_date(self, words: str, _: _Row) -> datetime | None:
        """ "Literals", "Dates"."""
        today = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        week, month, year = today - timedelta(today.weekday()), today.replace(day=1), today.replace(month=1, day=1)
        instant = timedelta(milliseconds=1)
        named = {
            "today": today, "now": self.now, "tomorrow": today + timedelta(1), "yesterday": today - timedelta(1),
            "sow": week, "eow": week + timedelta(7) - instant, "som": month,
            "eom": moved(month, Span(1, 0), 1) - instant, "soy": year, "eoy": moved(year, Span(12, 0), 1) - instant,
        }  # fmt: skip
        return named.get(words) or date_of(words)

    def _x_name(self, name: str, row: _Row) -> Any:
        if name in row.names:
            return row.names[name]
        if name == "this":
            return self.vault.pages.get(self.this)
        if name == "row":
            return row
        return self._field(row, name)

    def _field(self, row: _Row, name: str) -> Any:
        if row.rows is not None:
            return row.rows if name == "rows" else None
        if row.item is not None:
            found = self._of_item(row.item, name)
            if found is not None or name in row.item:
                return found
        return self._of_page(row.page, name) if row.page else None

    def _of_item(self, item: dict[str, Any], name: str) -> Any:
        if name.startswith("_") or name in ("link", "blockId", "lineCount", "position", "header"):
            raise SilentError(f"unsupported: {name} of a task")
        if name == "fullyCompleted":
            return item.get("completed", True) and all(self._of_item(one, name) for one in item["children"])
        return item.get(name, item.get(name.lower()) if name.lower() in item["_own"] else None)

    def _of_page(self, page: Page, name: str) -> Any:
        if name == "file":
            return ("file", page)
        if name in page.fields:
            return page.fields[name]
        if name.lower() in page.fields or name in page.unsure:
            raise SilentError("undocumented: a field under another name, or of a list item")
        return None

    def _of_file(self, page: Page, name: str) -> Any:
        """ "Metadata on Pages", "Implicit Fields"."""
        base = page.path.rsplit("/", 1)[-1]
        if name in ("name", "folder", "path", "ext", "size"):
            return {
                "name": base.removesuffix(".md"), "folder": page.path.rpartition("/")[0], "path": page.path,
                "ext": "md", "size": len(page.text.encode()),
            }[name]  # fmt: skip
        if name == "link":
            return Link(page.path)
        if name == "etags":
            return ["#" + tag for tag in self.vault.tags(page)]
        if name == "tags":
            parts = [tag.split("/") for tag in self.vault.tags(page)]
            return list(dict.fromkeys("#" + "/".join(one[: end + 1]) for one in parts for end in range(len(one))))
        if name == "outlinks":
            links, embeds = self.vault.links(page)
            if embeds:
                raise SilentError("undocumented: whether an embed is a link")
            return links
        if name == "inlinks":
            return [Link(one.path) for one in self.vault.pages.values() if self._links_to(one, page.path)]
        if name == "aliases":
            found = page.front.get("aliases", page.front.get("alias"))
            return [] if found is None else found if isinstance(found, list) else [found]
        if name in ("tasks", "lists"):
            return [item for item in page.items if name == "lists" or item["task"]]
        if name == "frontmatter":
            return page.front
        if name == "day":
            return self._day(page, base)
        raise SilentError(f"not in the texts: file.{name}")

    def _day(self, page: Page, base: str) -> datetime | None:
        """ "Only available if the file has a date inside its file name", or a `Date` field."""
        found = re.search(r"\d{4}-\d{2}-\d{2}", base) or re.search(r"\d{8}", base)
        if found:
            text = found[0] if "-" in found[0] else f"{found[0][:4]}-{found[0][4:6]}-{found[0][6:]}"
            return date_of(text)
        value = page.fields.get("date")
        if value is not None and not isinstance(value, datetime):
            raise SilentError("undocumented: a date field that is none")
        return value

    def _x_not(self, inner: Any, row: _Row) -> bool:
        return not truthy(self._value(inner, row))

    def _x_binary(self, operator: str, left: Any, right: Any, row: _Row) -> Any:
        if operator in ("and", "or"):
            # The pages do not say that the second side is left alone where the first one decides, and it is not: where
            # it has an error, the whole has one (blacksmithgu/obsidian-dataview, src/expression/context.ts, "binaryop").
            # A comparison never has (src/data-model/value.ts, "compareValue": "a total ordering over any value").
            first = truthy(self._value(left, row))
            try:
                second = truthy(self._value(right, row))
            except SilentError as silence:
                if first is (operator == "or") and str(silence).startswith(
                    ("undocumented: the order of", "undocumented: a field")
                ):
                    return first
                raise
            return first or second if operator == "or" else first and second
        a, b = self._value(left, row), self._value(right, row)
        if operator in ("=", "!="):
            return equal(_as_link(a), _as_link(b)) is (operator == "=")
        if operator in ("<", ">="):
            return before(a, b) is (operator == "<")
        if operator in (">", "<="):
            return before(b, a) is (operator == ">")
        return _reckoned(operator, a, b)

    def _x_member(self, owner: Any, index: Any, row: _Row) -> Any:
        return self._member(self._value(owner, row), self._value(index, row))

    def _member(self, value: Any, name: Any) -> Any:
        if isinstance(value, Page):
            return self._of_page(value, name)
        if isinstance(value, _Row):
            return self._field(value, name) if name not in value.names else value.names[name]
        if isinstance(value, tuple):
            return self._of_file(value[1], name)
        if isinstance(value, list):
            if is_number(name):
                return value[int(name)] if 0 <= name < len(value) else None
            return [self._member(item, name) for item in value]  # "swizzling"
        if isinstance(value, dict):
            return self._of_item(value, name) if "_own" in value else value.get(name)
        if isinstance(value, Link):
            page = self.vault.pages.get(value.path)
            return None if page is None else self._of_page(page, name)
        if isinstance(value, datetime) and name in ("year", "month", "day", "hour", "minute", "second"):
            return getattr(value, name)
        if isinstance(value, datetime) and name in ("week", "weekyear"):
            return value.isocalendar()[1 if name == "week" else 0]
        if value is None:
            return None
        raise SilentError(f"undocumented: {name} of a {kind(value)}")

    # ------------------------------------------------------------------------------------------------ functions

    def _x_call(self, name: str, args: list[Any], row: _Row) -> Any:
        values = [_as_link(self._value(arg, row)) for arg in args]
        function = getattr(self, "_f_" + name, None)
        if function is None:
            raise SilentError(f"unsupported: the function {name}")
        if name in _OVER_LISTS and values and isinstance(values[0], list):
            return [self._called(name, function, [item, *values[1:]]) for item in values[0]]
        return self._called(name, function, values)

    def _called(self, name: str, function: Callable[..., Any], values: list[Any]) -> Any:
        if name not in (
            "default",
            "ldefault",
            "choice",
            "list",
            "array",
            "typeof",
            "length",
            "object",
            "any",
            "all",
            "none",
        ) and (not values or values[0] is None):
            return None
        if name not in ("default", "ldefault", "choice", "list", "array", "object") and None in values[1:]:
            raise SilentError("undocumented: a function with null")
        try:
            return function(*values)
        except (TypeError, AttributeError, ValueError):
            raise SilentError(f"undocumented: {name} with such values") from None

    def _apply(self, function: Any, *values: Any) -> Any:
        if not isinstance(function, Function) or len(function.names) > len(values):
            raise SilentError("undocumented: such a function")
        row = function.scope
        names = {**row.names, **dict(zip(function.names, values, strict=False))}
        return self._value(function.body, _Row(row.page, row.item, names, row.rows))

    def _f_list(self, *values: Any) -> list[Any]:
        return list(values)

    _f_array = _f_list

    def _f_object(self, *values: Any) -> dict[str, Any]:
        return dict(zip(values[::2], values[1::2], strict=True))

    def _f_date(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return value
        if isinstance(value, Link):
            page = self.vault.pages.get(value.path)
            return self._of_file(page, "day") if page else None
        return date_of(value) if isinstance(value, str) else None

    def _f_dur(self, value: Any) -> Any:
        return value if isinstance(value, Span) else span_of(value) if isinstance(value, str) else None

    def _f_number(self, value: Any) -> Any:
        if is_number(value):
            return value
        if not isinstance(value, str):
            raise SilentError("undocumented: number() of this kind")
        found = re.search(r"-?\d+(?:\.\d+)?", value)
        return None if not found else float(found[0]) if "." in found[0] else int(found[0])

    def _f_string(self, value: Any) -> str:
        return text_of(value)

    def _f_link(self, path: Any, display: str = "") -> Any:
        return path if isinstance(path, Link) else self.vault.link(f"{path}|{display}" if display else path, self.this)

    def _f_typeof(self, value: Any) -> str:
        return kind(value)

    def _f_round(self, number: float, digits: int = 0) -> float:
        scaled = number * 10**digits
        if abs(scaled % 1 - 0.5) < 1e-6:
            raise SilentError("undocumented: how halves are rounded")
        return float(round(scaled) / 10**digits) if digits else round(scaled)

    def _f_floor(self, number: float) -> int:
        return math.floor(number)

    def _f_ceil(self, number: float) -> int:
        return math.ceil(number)

    def _f_trunc(self, number: float) -> int:
        return math.trunc(number)

    def _extreme(self, values: tuple[Any, ...], sign: int) -> Any:
        items = values[0] if len(values) == 1 and isinstance(values[0], list) else list(values)
        if not items:
            raise SilentError("undocumented: the least of nothing")
        best = items[0]
        for item in items[1:]:
            if before(item, best) if sign < 0 else before(best, item):
                best = item
        return best

    def _f_min(self, *values: Any) -> Any:
        return self._extreme(values, -1)

    def _f_max(self, *values: Any) -> Any:
        return self._extreme(values, 1)

    def _f_sum(self, items: list[Any]) -> Any:
        return sum(_numbers(items)) if items else None

    def _f_product(self, items: list[Any]) -> Any:
        return math.prod(_numbers(items)) if items else None

    def _f_average(self, items: list[Any]) -> Any:
        return sum(_numbers(items)) / len(items) if items else None

    def _f_contains(self, holder: Any, value: Any) -> bool:
        if isinstance(holder, dict | tuple):
            raise SilentError("unsupported: contains() of an object")
        if isinstance(holder, str):
            return value in holder
        if isinstance(holder, list):
            if any(equal(item, value) for item in holder):
                return True
            if any(
                isinstance(item, list) or (isinstance(item, str) and isinstance(value, str) and value in item)
                for item in holder
            ):
                raise SilentError("undocumented: a part of an item (econtains() says it is none there)")
            return False
        raise SilentError("undocumented: contains() of this kind")

    def _f_icontains(self, holder: Any, value: Any) -> bool:
        def folded(one: Any) -> Any:
            return (
                one.lower()
                if isinstance(one, str)
                else [folded(item) for item in one]
                if isinstance(one, list)
                else one
            )

        return self._f_contains(folded(holder), folded(value))

    def _f_econtains(self, holder: Any, value: Any) -> bool:
        if isinstance(holder, str):
            return value in holder
        if isinstance(holder, list):
            return any(equal(item, value) for item in holder)
        raise SilentError("unsupported: econtains() of an object")

    def _f_containsword(self, holder: Any, word: str) -> Any:
        if isinstance(holder, list):
            return [self._f_containsword(item, word) for item in holder]
        return re.search(rf"(?i)(?<!\w){re.escape(word)}(?!\w)", holder) is not None

    def _f_length(self, items: Any) -> int:
        if items is None:  # not in the pages, but in the source: functions.ts, "length"
            return 0
        if not isinstance(items, list | dict):
            raise SilentError("undocumented: length() of this kind")
        return len(items)

    def _f_sort(self, items: list[Any], *more: Any) -> list[Any]:
        if more:
            raise SilentError("undocumented: sort() by a function")
        found: list[Any] = []
        for item in items:
            place = len(found)
            while place and before(item, found[place - 1]):
                place -= 1
            found.insert(place, item)
        return found

    def _f_reverse(self, items: list[Any]) -> list[Any]:
        if not isinstance(items, list):
            raise SilentError("undocumented: reverse() of this kind")
        return items[::-1]

    def _f_nonnull(self, items: list[Any]) -> list[Any]:
        return [item for item in items if item is not None]

    def _test(self, values: tuple[Any, ...], how: Callable[[Iterable[bool]], bool]) -> bool:
        if len(values) == 2 and isinstance(values[1], Function):
            return how([truthy(self._apply(values[1], item)) for item in values[0]])
        items = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        return how([truthy(item) for item in items])

    def _f_all(self, *values: Any) -> bool:
        return self._test(values, all)

    def _f_any(self, *values: Any) -> bool:
        return self._test(values, any)

    def _f_none(self, *values: Any) -> bool:
        return not self._test(values, any)

    def _f_join(self, items: Any, separator: str = ", ") -> str:
        return separator.join(map(text_of, items if isinstance(items, list) else [items]))

    def _f_filter(self, items: list[Any], test: Any) -> list[Any]:
        return [item for item in items if truthy(self._apply(test, item))]

    def _f_map(self, items: list[Any], change: Any) -> list[Any]:
        return [self._apply(change, item) for item in items]

    def _f_flat(self, items: list[Any], depth: int = 1) -> list[Any]:
        for _ in range(depth):
            items = [one for item in items for one in (item if isinstance(item, list) else [item])]
        return items

    def _f_slice(self, items: list[Any], start: int = 0, end: int | None = None) -> list[Any]:
        if not isinstance(items, list):
            raise SilentError("undocumented: slice() of this kind")
        return items[start:end]

    def _f_regextest(self, pattern: str, text: str) -> bool:
        return _compiled(pattern).search(text) is not None

    def _f_regexmatch(self, pattern: str, text: str) -> bool:
        return _compiled(pattern).fullmatch(text) is not None

    def _f_regexreplace(self, text: str, pattern: str, by: str) -> str:
        made = re.sub(r"\$(\d)", r"\\\1", by.replace("\\", "\\\\"))
        return _compiled(pattern).sub(made, text)

    def _f_replace(self, text: str, old: str, by: str) -> str:
        return text.replace(old, by)

    def _f_lower(self, text: str) -> str:
        return text.lower()

    def _f_upper(self, text: str) -> str:
        return text.upper()

    def _f_split(self, text: str, pattern: str, most: int | None = None) -> list[str]:
        parts = [part or "" for part in _compiled(pattern).split(text)]
        return parts if most is None else parts[:most]

    def _f_startswith(self, text: str, start: str) -> bool:
        return text.startswith(start)

    def _f_endswith(self, text: str, end: str) -> bool:
        return text.endswith(end)

    def _f_padleft(self, text: str, length: int, padding: str = " ") -> str:
        return text.rjust(length, padding)

    def _f_padright(self, text: str, length: int, padding: str = " ") -> str:
        return text.ljust(length, padding)

    def _f_substring(self, text: str, start: int, end: int | None = None) -> str:
        if start < 0 or (end is not None and end < start):
            raise SilentError("undocumented: substring() of such places")
        return text[start:end]

    def _f_truncate(self, text: str, length: int, suffix: str = "...") -> str:
        if length < len(suffix):
            raise SilentError("undocumented: a suffix longer than the text may be")
        return text if len(text) <= length else text[: length - len(suffix)] + suffix

    def _f_default(self, value: Any, other: Any) -> Any:
        if isinstance(value, list):
            return [other if item is None else item for item in value]
        return other if value is None else value

    def _f_ldefault(self, value: Any, other: Any) -> Any:
        return other if value is None else value

    def _f_choice(self, condition: Any, left: Any, right: Any) -> Any:
        return left if truthy(condition) else right

    def _f_striptime(self, when: datetime) -> datetime:
        return when.replace(hour=0, minute=0, second=0, microsecond=0)

    def _f_dateformat(self, when: datetime, pattern: str) -> str:
        """Tokens of Luxon, the ones that are numbers."""
        values = {
            "yyyy": f"{when.year:04}", "yy": f"{when.year % 100:02}", "MM": f"{when.month:02}", "M": str(when.month),
            "dd": f"{when.day:02}", "d": str(when.day), "HH": f"{when.hour:02}", "H": str(when.hour),
            "mm": f"{when.minute:02}", "ss": f"{when.second:02}", "WW": f"{when.isocalendar()[1]:02}",
            "kkkk": f"{when.isocalendar()[0]:04}", "o": str(when.timetuple().tm_yday),
        }  # fmt: skip

        def token(found: re.Match[str]) -> str:
            if found[0] not in values:
                raise SilentError(f"unsupported: the date token {found[0]}")
            return values[found[0]]

        return re.sub(r"([A-Za-z])\1*", token, pattern)

    def _f_meta(self, link: Link) -> dict[str, Any]:
        if not isinstance(link, Link):
            raise SilentError("undocumented: meta() of this kind")
        return {"display": link.display or None, "embed": link.embed, "subpath": link.sub or None}


# "Calling functions on lists of values": those that are for one text, number or date.
_OVER_LISTS = frozenset(
    "lower upper replace regexreplace startswith endswith round trunc floor ceil number string striptime dateformat "
    "padleft padright substring truncate date dur".split()
)


def _flat_rows(row: _Row) -> Iterable[_Row]:
    if row.rows is None:
        yield row
    else:
        for one in row.rows:
            yield from _flat_rows(one)


def _inserted(found: list[tuple[_Row, list[Any]]], place: int, sign: int) -> list[tuple[_Row, list[Any]]]:
    """The rows in the order of one of their keys, by insertion; what is equal stays as it was."""
    made: list[tuple[_Row, list[Any]]] = []
    for one in found:
        at = len(made)
        while at:
            left, right = one[1][place], made[at - 1][1][place]
            if isinstance(left, bool | Link | list | dict):
                if equal(left, right):
                    break
                raise SilentError(f"undocumented: the order of values that are {kind(left)}")
            if not (before(left, right) if sign > 0 else before(right, left)):
                break
            at -= 1
        made.insert(at, one)
    return made


def _as_link(value: Any) -> Any:
    """A page that a name stands for is no value of its own."""
    if isinstance(value, Page | _Row | tuple):
        raise SilentError("undocumented: a page as a value")
    return value


def _numbers(items: Any) -> list[float]:
    if not isinstance(items, list) or not all(map(is_number, items)):
        raise SilentError("undocumented: reckoning with what are no numbers")
    return items


def _reckoned(operator: str, left: Any, right: Any) -> Any:
    if left is None or right is None:
        raise SilentError("undocumented: reckoning with null")
    if isinstance(left, datetime) and isinstance(right, Span) and operator in "+-":
        return moved(left, right, 1 if operator == "+" else -1)
    if isinstance(left, datetime) and isinstance(right, datetime) and operator == "-":
        return Span(0, (left - right).total_seconds())
    if isinstance(left, Span) and isinstance(right, Span) and operator in "+-":
        sign = 1 if operator == "+" else -1
        return Span(left.months + sign * right.months, left.seconds + sign * right.seconds)
    if isinstance(left, Span) and isinstance(right, datetime) and operator == "+":
        return moved(right, left, 1)
    if operator == "+" and isinstance(left, str | int | float) and isinstance(right, str | int | float):
        return _plus(left, right)
    if not (is_number(left) and is_number(right)):
        raise SilentError(f"undocumented: {kind(left)} {operator} {kind(right)}")
    if operator in "/%" and not right:
        raise SilentError("undocumented: to divide by 0")
    if operator == "%":
        return math.fmod(left, right) if left < 0 or right < 0 else left % right
    return {"+": left + right, "-": left - right, "*": left * right, "/": left / right if right else 0}[operator]


def _plus(left: Any, right: Any) -> Any:
    return left + right if is_number(left) and is_number(right) else text_of(left) + text_of(right)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error:
        raise SilentError("unsupported: this regular expression") from None
