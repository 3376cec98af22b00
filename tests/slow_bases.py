"""Evaluates Obsidian Bases slowly and plainly, written from the official documentation alone, to check ours against.

Every rule names the page it is from ("Bases syntax", "Functions", "Views", "Properties" of Obsidian's help). Where the
pages are silent and the answer depends on it, the result is a text that says so: a silence is not settled by guessing.
Knows nothing of `context`.
"""

import math
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import yaml


class SilentError(Exception):
    """The documentation does not say what comes out, or it is not evaluated here."""


class Unclear:
    """What a function gives that does not exist for its value: an error or nothing. Falsy, and no more is known."""


UNCLEAR = Unclear()
# A property written `[[Link]]` without quotes, which is a list in a list to YAML: nobody says what it is to the app.
UNQUOTED = object()


@dataclass(frozen=True)
class Around:
    """What is known beside the texts: property (in small letters) → assigned type, and when each file was written."""

    types: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, datetime] = field(default_factory=dict)


def members(
    files: Mapping[str, str], source: str, view: int, this: str, now: datetime, around: Around = Around()
) -> list[str] | str:
    """The paths that one view of a base shows, in its order; or why that cannot be said.

    Args:
        files: path → text, attachments included.
        source: the base, in YAML.
        view: which of its views, from 0.
        this: the path of the note or base that shows it.
        now: the person's time.
        around: what is known beside the texts.
    """
    try:
        return _Base(files, source, this, now.replace(tzinfo=None), around).members(view)
    except SilentError as silence:
        return str(silence)


# ---------------------------------------------------------------------------------------------------- values


@dataclass(frozen=True)
class Link:
    """A link: its text before `|`, and the note it stands in."""

    target: str
    source: str


@dataclass(frozen=True)
class Tag:
    """A tag of `file.tags`, without its #."""

    name: str


@dataclass(frozen=True)
class Pattern:
    """A regular expression with its flags."""

    source: str
    flags: str


@dataclass(frozen=True)
class Span:
    """A duration: months are as long as the calendar says, the rest is milliseconds (days too: "exactly 24 hours")."""

    months: float
    milliseconds: float


@dataclass
class File:
    """A file of the vault with all that is read from its text."""

    path: str
    text: str
    properties: dict[str, Any] = field(default_factory=dict)
    body: str = ""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def ext(self) -> str:
        return self.name.rsplit(".", 1)[-1] if "." in self.name else ""

    @property
    def basename(self) -> str:
        return self.name.rsplit(".", 1)[0]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


# Units of "Bases syntax", "Date arithmetic".
_UNITS = {
    "y": ("months", 12), "year": ("months", 12), "years": ("months", 12),
    "M": ("months", 1), "month": ("months", 1), "months": ("months", 1),
    "w": ("ms", 604_800_000), "week": ("ms", 604_800_000), "weeks": ("ms", 604_800_000),
    "d": ("ms", 86_400_000), "day": ("ms", 86_400_000), "days": ("ms", 86_400_000),
    "h": ("ms", 3_600_000), "hour": ("ms", 3_600_000), "hours": ("ms", 3_600_000),
    "m": ("ms", 60_000), "minute": ("ms", 60_000), "minutes": ("ms", 60_000),
    "s": ("ms", 1000), "second": ("ms", 1000), "seconds": ("ms", 1000),
}  # fmt: skip


def _span(text: str) -> Span | None:
    found = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if not found or found[2] not in _UNITS:
        return None
    kind, size = _UNITS[found[2]]
    amount = float(found[1]) * size
    return Span(amount, 0) if kind == "months" else Span(0, amount)


def _moved(when: datetime, span: Span, sign: int) -> datetime:
    if span.months % 1:
        raise SilentError("undocumented: a part of a month")
    month = when.year * 12 + when.month - 1 + sign * int(span.months)
    year, month = divmod(month, 12)
    if not 1 <= year <= 9999:
        raise SilentError("undocumented: a year out of range")
    day = when.day
    while True:
        try:
            moved = when.replace(year=year, month=month + 1, day=day)
            break
        except ValueError:
            day -= 1
    try:
        return moved + sign * timedelta(milliseconds=span.milliseconds)
    except OverflowError:
        raise SilentError("undocumented: a year out of range") from None


def _date(text: str) -> datetime | None:
    """A date as properties and `date()` write it ("Properties", "Date" and "Date & time"; "Functions", `date()`)."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?", text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _moment(when: datetime, pattern: str) -> str:
    """A moment.js format (momentjs.com/docs, "Format"); the tokens of numbers."""
    months = "January February March April May June July August September October November December".split()
    days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    values = {
        "YYYY": f"{when.year:04}", "YY": f"{when.year % 100:02}", "MMMM": months[when.month - 1],
        "MMM": months[when.month - 1][:3], "MM": f"{when.month:02}", "M": str(when.month), "DD": f"{when.day:02}",
        "D": str(when.day), "dddd": days[when.weekday()], "ddd": days[when.weekday()][:3], "HH": f"{when.hour:02}",
        "H": str(when.hour), "mm": f"{when.minute:02}", "m": str(when.minute), "ss": f"{when.second:02}",
        "s": str(when.second),
    }  # fmt: skip

    def token(found: re.Match[str]) -> str:
        if found[0].startswith("["):
            return found[0][1:-1]
        if found[0] not in values:
            raise SilentError(f"unsupported: the date token {found[0]}")
        return values[found[0]]

    return re.sub(r"\[[^\]]*\]|([A-Za-z])\1*", token, pattern)


def _number_text(number: float) -> str:
    if isinstance(number, float) and (math.isnan(number) or math.isinf(number)):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if number == int(number) and abs(number) < 1e21:
        return str(int(number))
    if abs(number) < 1e-6 or abs(number) >= 1e21:
        raise SilentError("unsupported: a number in exponent form")
    return repr(float(number))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _truthy(value: Any) -> bool:
    """ "Functions": they "follow JavaScript behavior"; what is nothing, 0, "" and false is falsy."""
    if isinstance(value, list | dict):
        if not value:
            raise SilentError("undocumented: whether an empty list or object is truthy")
        return True
    if value is UNCLEAR or value is None or value is False or value == "":
        return False
    return not (_is_number(value) and (value == 0 or math.isnan(value)))


def _kind(value: Any) -> str:
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "boolean"), (int | float, "number"), (str, "string"), (datetime, "date"), (Span, "duration"),
        (list, "list"), (dict, "object"), (Link, "link"), (File, "file"), (Tag, "tag"), (Pattern, "regexp"),
    )  # fmt: skip
    return "null" if value is None else next(name for kind, name in kinds if isinstance(value, kind))


# ---------------------------------------------------------------------------------------------------- parsing

_TOKENS = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<string>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<name>[^\W\d]\w*(?:-[^\W\d]\w*)*)|(?P<mark>\|\||&&|==|!=|<=|>=|[-+*/%<>!()\[\]{}.,:]))"
)
_REGEX = re.compile(r"\s*/((?:[^/\\\[\n]|\\.|\[(?:[^\]\\]|\\.)*\])+)/([a-z]*)")
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))


class _Parser:
    """Reads an expression into tuples: ("number", 1), ("binary", "+", left, right), ("call", callee, args), …"""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def whole(self) -> Any:
        found = self.level(0)
        if self.text[self.at :].strip():
            raise SilentError("does not parse")
        return found

    def peek(self) -> tuple[str, str]:
        found = _TOKENS.match(self.text, self.at)
        if not found:
            return ("end", "") if not self.text[self.at :].strip() else ("odd", "")
        return str(found.lastgroup), found[str(found.lastgroup)]

    def take(self, mark: str = "") -> tuple[str, str]:
        found = _TOKENS.match(self.text, self.at)
        if not found or (mark and found["mark"] != mark):
            raise SilentError("does not parse")
        self.at = found.end()
        return str(found.lastgroup), found[str(found.lastgroup)]

    def level(self, depth: int) -> Any:
        if depth == len(_LEVELS):
            return self.unary()
        left = self.level(depth + 1)
        while self.peek()[0] == "mark" and self.peek()[1] in _LEVELS[depth]:
            operator = self.take()[1]
            left = ("binary", operator, left, self.level(depth + 1))
        return left

    def unary(self) -> Any:
        if self.peek() in (("mark", "!"), ("mark", "-")):
            operator = self.take()[1]
            return ("unary", operator, self.unary())
        return self.postfix()

    def postfix(self) -> Any:
        value = self.primary()
        while True:
            if self.peek() == ("mark", "."):
                self.take()
                kind, name = self.take()
                if kind != "name":
                    raise SilentError("does not parse")
                value = ("member", value, ("string", name))
            elif self.peek() == ("mark", "["):
                self.take()
                value = ("member", value, self.level(0))
                self.take("]")
            elif self.peek() == ("mark", "("):
                self.take()
                value = ("call", value, self.several(")"))
            else:
                return value

    def several(self, close: str) -> list[Any]:
        found: list[Any] = []
        while self.peek() != ("mark", close):
            found.append(self.level(0))
            if self.peek() != ("mark", close):
                self.take(",")
        self.take(close)
        return found

    def primary(self) -> Any:
        regex = _REGEX.match(self.text, self.at)
        if regex and self.peek() == ("mark", "/"):
            self.at = regex.end()
            return ("regex", regex[1], regex[2])
        kind, token = self.take()
        if kind == "number":
            return ("number", float(token) if "." in token else int(token))
        if kind == "string":
            escapes = {"n": "\n", "t": "\t"}
            return ("string", re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), token[1:-1]))
        if kind == "name":
            constants = {"true": True, "false": False, "null": None}
            return ("constant", constants[token]) if token in constants else ("name", token)
        if token == "(":
            value = self.level(0)
            self.take(")")
            return value
        if token == "[":
            return ("list", self.several("]"))
        if token == "{":
            return self.pairs()
        raise SilentError("does not parse")

    def pairs(self) -> Any:
        found = []
        while self.peek() != ("mark", "}"):
            kind, name = self.take()
            if kind not in ("name", "string"):
                raise SilentError("does not parse")
            self.take(":")
            found.append((name[1:-1] if kind == "string" else name, self.level(0)))
            if self.peek() != ("mark", "}"):
                self.take(",")
        self.take("}")
        return ("object", found)


# ---------------------------------------------------------------------------------------------------- the vault


class _Vault:
    def __init__(self, files: Mapping[str, str], types: Mapping[str, str]) -> None:
        self.types = types
        self.files = {path: self._read(path, text) for path, text in files.items()}

    def _read(self, path: str, text: str) -> File:
        found = re.match(r"---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", text, re.DOTALL | re.MULTILINE)
        file = File(path, text, {}, text)
        if path.endswith(".md") and found:
            file.body = text[found.end() :]
            try:
                loaded = yaml.load(found[1], _Yaml)
            except yaml.YAMLError:
                loaded = None
            file.properties = {str(key): self._typed(str(key), value, path) for key, value in (loaded or {}).items()}
        return file

    def _typed(self, name: str, value: Any, path: str) -> Any:
        """ "Dates and durations": what is a date, and one with a time, goes by the type assigned to the property;
        "Properties": a property's type is that of its name, in the whole vault."""
        plain = self._value(value, path)
        match self.types.get(name.lower()):
            case "text" if isinstance(plain, datetime):
                return value
            case "date" if isinstance(plain, datetime):
                return datetime.combine(plain.date(), datetime.min.time())
            case "number" if isinstance(plain, str) and re.fullmatch(r"-?\d+(\.\d+)?", plain):
                return float(plain)
            case "checkbox" if plain in ("true", "false"):
                return plain == "true"
        return plain

    def _value(self, value: Any, path: str) -> Any:
        """ "Files and links": wikilinks in properties are links; "Properties": dates are written as in ISO 8601."""
        if isinstance(value, str):
            link = re.fullmatch(r"\s*\[\[([^\[\]]+)\]\]\s*", value)
            return Link(link[1].split("|")[0].strip(), path) if link else _date(value) or value
        if isinstance(value, list):
            if len(value) == 1 and isinstance(value[0], list) and value[0]:
                return UNQUOTED
            return [self._value(item, path) for item in value]
        if isinstance(value, dict):
            return {str(key): self._value(item, path) for key, item in value.items()}
        return value

    def resolve(self, target: str, source: str) -> File | None:
        """The file a link means: the exact path, else the name ("Internal links", "shortest path when possible")."""
        name = target.split("#", maxsplit=1)[0].strip().lower()
        if not name:
            return self.files.get(source)
        if name.startswith(("./", "../")):
            name = posixpath.normpath(posixpath.join(source.rpartition("/")[0].lower(), name))
        name = name.lstrip("/")
        for path, file in self.files.items():
            if path.lower() in (name, name + ".md"):
                return file
        near = source.rpartition("/")[0]
        found = [
            file for path, file in self.files.items() if ("/" + path.lower()).endswith(("/" + name, "/" + name + ".md"))
        ]
        return min(
            found,
            key=lambda file: (not file.path.startswith(near and near + "/"), len(file.path), file.path),
            default=None,
        )

    def links(self, file: File) -> tuple[list[Link], list[Link]]:
        """The links of a note, those in properties first, and its embeds; nothing in code is a link."""
        if not file.path.endswith(".md"):
            return [], []
        live = re.sub(r"(?ms)^(```+|~~~+).*?^\1[ \t]*$|(`+)[^`]+\2", " ", file.body)
        links: list[Link] = []
        embeds: list[Link] = []

        def gather(value: Any) -> None:
            if isinstance(value, Link):
                links.append(value)
            _quoted(value)
            for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
                gather(item)

        gather(file.properties)
        for found in re.finditer(r"(!?)\[\[([^\[\]\n]+)\]\]|(!?)\[[^\[\]]*\]\(<?([^()<>\s]+)>?\)", live):
            target = found[2] or found[4]
            if found[4] and re.match(r"[a-z]+:", target):
                continue
            target = re.split(r"\\?\|", target)[0].replace("%20", " ").strip()
            (embeds if found[1] or found[3] else links).append(Link(target, file.path))
        return links, embeds

    def tags(self, file: File) -> list[Tag]:
        if not file.path.endswith(".md"):
            return []
        found: list[str] = []
        for name, value in file.properties.items():
            if name.lower() in ("tags", "tag"):
                items = value if isinstance(value, list) else [value]
                for item in items:
                    found += [part for part in re.split(r"[,\s]+", str(item)) if part] if item is not None else []
        live = re.sub(
            r"(?ms)^(```+|~~~+).*?^\1[ \t]*$|(`+)[^`]+\2|%%.*?%%|<!--.*?-->|\[\[[^\]]*\]\]|\]\([^)]*\)", " ", file.body
        )
        found += re.findall(r"(?:(?<=\s)|^)#([\w/-]*[^\W\d][\w/-]*)", live)
        return [Tag(tag) for tag in dict.fromkeys(tag.strip("#/ ") for tag in found)]


class _Yaml(yaml.SafeLoader):
    """YAML as properties are written: dates stay texts, and so do `yes` and `no`."""


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":timestamp", ":bool"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|false|True|False|TRUE|FALSE)$"), list("tfTF")
)


# ---------------------------------------------------------------------------------------------------- evaluation


class _Base:
    def __init__(self, files: Mapping[str, str], source: str, this: str, now: datetime, around: Around) -> None:
        self.vault = _Vault(files, around.types)
        self.written = around.written
        try:
            self.base = yaml.load(source, _Yaml)
        except yaml.YAMLError:
            raise SilentError("not YAML") from None
        if not isinstance(self.base, dict):
            raise SilentError("not a base")
        self.this = self.vault.files.get(this)
        self.now = now

    def members(self, view: int) -> list[str]:
        views = self.base.get("views") or []
        if view >= len(views):
            raise SilentError("there is no such view")
        chosen = views[view]
        filters = [one for one in (self.base.get("filters"), chosen.get("filters")) if one is not None]
        found = [
            file for _, file in sorted(self.vault.files.items()) if all(self._passes(one, file) for one in filters)
        ]
        sorts = [(one["property"], one.get("direction", "ASC")) for one in chosen.get("sort") or []]
        group = chosen.get("groupBy")
        if isinstance(group, dict):
            sorts.insert(0, (group["property"], group.get("direction", "ASC")))
        found = self._sorted(found, sorts)
        limit = chosen.get("limit")
        if _is_number(limit) and limit and limit < len(found):
            cut = self._keys(found[int(limit) - 1], sorts), self._keys(found[int(limit)], sorts)
            if cut[0] == cut[1]:
                raise SilentError("undocumented: the order in which the limit cuts")
            found = found[: int(limit)]
        return [file.path for file in found]

    def _passes(self, filters: Any, file: File) -> bool:
        """ "Bases syntax", "Filters": a statement, or one of `and`, `or`, `not` with a list of filters."""
        if isinstance(filters, str):
            return _truthy(self._evaluate(_Parser(filters).whole(), _Row(file)))
        if not isinstance(filters, dict) or len(filters) != 1:
            raise SilentError("undocumented: a filter of another shape")
        ((word, inner),) = filters.items()
        results = [self._passes(one, file) for one in (inner if isinstance(inner, list) else [inner])]
        if word == "and":
            return all(results)
        if word == "or":
            return any(results)
        if word == "not":  # "Views", "Conjunctions": none of the following are true
            return not any(results)
        raise SilentError(f"undocumented: the filter {word}")

    def _keys(self, file: File, sorts: list[tuple[str, str]]) -> list[tuple[str, Any]]:
        found = []
        for name, _ in sorts:
            value = self._evaluate(_Parser(name).whole(), _Row(file)) if "." in name else self._property(file, name)
            kind = _kind(value) if value is not UNCLEAR else "null"
            if kind == "number" and math.isnan(value):
                raise SilentError("undocumented: the order of NaN")
            found.append((kind, value.lower() if kind == "string" else value))
        return found

    def _sorted(self, files: list[File], sorts: list[tuple[str, str]]) -> list[File]:
        """ "Views", "Add a sort": text A→Z, numbers from smallest, dates from old to new; DESC the other way."""
        for place in range(len(sorts) - 1, -1, -1):
            keys = {file.path: self._keys(file, sorts)[place] for file in files}
            if len({kind for kind, _ in keys.values()}) > 1 or {kind for kind, _ in keys.values()} - {
                "string", "number", "date", "null"
            }:  # fmt: skip
                raise SilentError("undocumented: the order of values of several kinds")
            if "string" in {kind for kind, _ in keys.values()} and any(
                not re.fullmatch(r"[a-z0-9 ]*", value) for kind, value in keys.values() if kind == "string"
            ):
                raise SilentError("undocumented: the order of punctuation and other scripts")
            if all(kind == "null" for kind, _ in keys.values()):
                continue
            files = sorted(files, key=lambda file: keys[file.path][1], reverse=sorts[place][1].upper() == "DESC")
        return files

    def _property(self, file: File, name: str) -> Any:
        if name in file.properties:
            return _quoted(file.properties[name])
        if any(key.lower() == name.lower() for key in file.properties):
            raise SilentError("undocumented: whether the case of a property's name counts")
        return None

    def _evaluate(self, node: Any, row: "_Row") -> Any:
        return getattr(self, "_" + node[0])(*node[1:], row)

    def _number(self, value: float, _: "_Row") -> float:
        return value

    def _string(self, value: str, _: "_Row") -> str:
        return value

    def _constant(self, value: Any, _: "_Row") -> Any:
        return value

    def _regex(self, source: str, flags: str, _: "_Row") -> Pattern:
        return Pattern(source, flags)

    def _list(self, items: list[Any], row: "_Row") -> list[Any]:
        return [self._clear(self._evaluate(item, row)) for item in items]

    def _object(self, pairs: list[tuple[str, Any]], row: "_Row") -> dict[str, Any]:
        return {name: self._clear(self._evaluate(value, row)) for name, value in pairs}

    def _clear(self, value: Any) -> Any:
        if value is UNCLEAR:
            raise SilentError("undocumented: a function of a value that has none of that name, used further")
        return value

    def _name(self, name: str, row: "_Row") -> Any:
        if name in row.names:
            return row.names[name]
        if name == "file":
            return row.file
        if name in ("note", "formula"):
            raise SilentError(f"undocumented: {name} by itself")
        if name == "this":
            return self.this
        return self._property(row.file, name)

    def _unary(self, operator: str, inner: Any, row: "_Row") -> Any:
        value = self._clear(self._evaluate(inner, row))
        if operator == "!":
            return not _truthy(value)
        if not _is_number(value):
            raise SilentError("undocumented: minus of what is no number")
        return -value

    def _binary(self, operator: str, left: Any, right: Any, row: "_Row") -> Any:
        first = self._evaluate(left, row)
        if operator == "&&":
            return self._evaluate(right, row) if _truthy(first) else first
        if operator == "||":
            if _truthy(first):
                return first
            second = self._evaluate(right, row)
            if first is UNCLEAR and _truthy(second):
                self._clear(first)
            return UNCLEAR if first is UNCLEAR else second
        second = self._evaluate(right, row)
        if first is UNCLEAR and second is UNCLEAR:
            self._clear(first)  # two errors are no match, but nothing equals nothing
        if UNCLEAR in (first, second) and None not in (first, second) and operator in ("==", "<", ">", "<=", ">="):
            return UNCLEAR  # no match, whether it is an error or nothing
        first, second = self._clear(first), self._clear(second)
        if operator in ("==", "!="):
            return self._equal(first, second) is (operator == "==")
        if operator in ("<", ">", "<=", ">="):
            return self._ordered(operator, first, second)
        return self._reckoned(operator, first, second)

    def _ordered(self, operator: str, first: Any, second: Any) -> bool:
        """ "Comparison operators": they "can be used to compare numbers, or Date objects"; what is none is no match."""
        for one, other in ((first, second), (second, first)):
            if isinstance(one, datetime) and isinstance(other, str) and (_date(other) or _span(other)):
                raise SilentError("undocumented: a date compared with a text")
            if isinstance(one, Span) or (isinstance(one, datetime) and _is_number(other)) or isinstance(one, bool):
                raise SilentError("undocumented: the order of these kinds")
            if _is_number(one) and isinstance(other, str):
                raise SilentError("undocumented: a number compared with a text")
        if isinstance(first, str) and isinstance(second, str):
            if not (first + second).isascii():
                raise SilentError("undocumented: the order of texts in other scripts")
        elif not (_is_number(first) and _is_number(second)) and not (
            isinstance(first, datetime) and isinstance(second, datetime)
        ):
            return False
        return bool({"<": first < second, ">": first > second, "<=": first <= second, ">=": first >= second}[operator])

    def _equal(self, first: Any, second: Any) -> bool:
        if isinstance(second, Link | File | Tag):
            first, second = second, first
        if isinstance(first, Link | File):
            return self._same_file(first, second)
        if isinstance(first, Tag):
            if isinstance(second, str) and second.lower() == first.name.lower():
                raise SilentError("undocumented: a tag compared with its name")
            return isinstance(second, Tag | str) and _tag(second) == _tag(first)
        if isinstance(first, list) and isinstance(second, list):
            return len(first) == len(second) and all(map(self._equal, first, second))
        if _kind(first) == _kind(second):
            return bool(first == second)
        if isinstance(first, datetime) and isinstance(second, str) and _date(second):
            raise SilentError("undocumented: a date compared with a text")
        if isinstance(second, datetime) and isinstance(first, str) and _date(first):
            raise SilentError("undocumented: a date compared with a text")
        if {_kind(first), _kind(second)} & {"boolean", "number", "null"} and (
            any(one == 0 or one in ("", "0") for one in (first, second) if not isinstance(one, list | dict))
        ):
            raise SilentError("undocumented: equality of an empty value and another kind")
        if {_kind(first), _kind(second)} == {"number", "string"}:
            raise SilentError("undocumented: a number compared with a text")
        return False

    def _same_file(self, first: Link | File, second: Any) -> bool:
        """ "Files and links": links are equal that mean one file, or have one text when there is none."""
        if isinstance(second, str):
            raise SilentError("undocumented: a link compared with a text")
        if not isinstance(second, Link | File):
            return False
        one, other = self._file_of(first), self._file_of(second)
        if one is None and other is None and isinstance(first, Link) and isinstance(second, Link):
            return first.target == second.target
        return one is not None and one is other

    def _file_of(self, value: Link | File) -> File | None:
        return value if isinstance(value, File) else self.vault.resolve(value.target, value.source)

    def _reckoned(self, operator: str, first: Any, second: Any) -> Any:
        if isinstance(first, datetime) and operator in "+-":
            sign = 1 if operator == "+" else -1
            span = second if isinstance(second, Span) else _span(second) if isinstance(second, str) else None
            if span is not None:
                return _moved(first, span, sign)
            if isinstance(second, datetime) and operator == "-":
                return (first - second) / timedelta(milliseconds=1)
            raise SilentError("undocumented: a date and something else")
        if isinstance(first, Span) and _is_number(second) and operator in "*/":
            if not second and operator == "/":
                raise SilentError("undocumented: a duration by 0")
            factor = second if operator == "*" else 1 / second
            return Span(first.months * factor, first.milliseconds * factor)
        if operator == "+" and (isinstance(first, str) or isinstance(second, str)):
            return self._text(first) + self._text(second)
        if not (_is_number(first) and _is_number(second)):
            raise SilentError("undocumented: arithmetic of what are no numbers")
        if operator == "%" and math.isinf(first):
            return math.nan
        if operator in "/%" and second == 0:
            return math.nan if first == 0 or operator == "%" else math.copysign(math.inf, first)
        if operator in "/%":
            return first / second if operator == "/" else math.fmod(first, second)
        return first + second if operator == "+" else first - second if operator == "-" else first * second

    def _text(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if _is_number(value):
            return _number_text(value)
        raise SilentError(f"undocumented: a {_kind(value)} as text")

    # ------------------------------------------------------------------------------------------------ members

    def _member(self, owner: Any, index: Any, row: "_Row") -> Any:
        name = self._evaluate(index, row)
        if owner == ("name", "note") and isinstance(name, str):
            return self._property(row.file, name)
        if owner == ("name", "formula") and isinstance(name, str):
            return self._formula(name, row)
        value = self._evaluate(owner, row)
        if value is UNCLEAR or value is None:
            return UNCLEAR
        if owner == ("name", "this"):
            if name == "file":
                return value
            if name in self._file_fields(value):
                raise SilentError("undocumented: whether `this` has the fields of a file beside properties")
            return self._property(value, str(name))
        if isinstance(value, list):
            if name == "length":
                return len(value)
            if not _is_number(name):
                return UNCLEAR
            return value[int(name)] if 0 <= name < len(value) and name == int(name) else UNCLEAR
        if isinstance(value, dict):
            return value.get(name)
        if isinstance(value, str) and name == "length":
            return len(value.encode("utf-16-le")) // 2
        if isinstance(value, datetime) and name in ("year", "month", "day", "hour", "minute", "second"):
            return getattr(value, name)
        if isinstance(value, datetime) and name == "millisecond":
            return value.microsecond // 1000
        if isinstance(value, File):
            return self._file_field(value, name)
        if isinstance(value, Link) or _kind(value) == "duration":
            raise SilentError("undocumented: a field of a link or duration")
        return UNCLEAR

    def _formula(self, name: str, row: "_Row") -> Any:
        formulas = self.base.get("formulas") or {}
        if name not in formulas:
            return None
        if name in row.formulas:
            raise SilentError("undocumented: what a circular formula gives")
        return self._evaluate(_Parser(str(formulas[name])).whole(), _Row(row.file, {}, (*row.formulas, name)))

    def _file_fields(self, file: File) -> dict[str, Callable[[], Any]]:
        """ "File properties"; `file.name` is without `.md`, as measured in Obsidian 1.13.7 against its pages."""
        return {
            "name": lambda: file.path.rsplit("/", 1)[-1].removesuffix(".md"), "basename": lambda: file.basename, "path": lambda: file.path,
            "ext": lambda: file.ext, "size": lambda: len(file.text.encode()), "properties": lambda: {name: _quoted(value) for name, value in file.properties.items()},
            "tags": lambda: self.vault.tags(file), "links": lambda: self.vault.links(file)[0],
            "embeds": lambda: self.vault.links(file)[1], "file": lambda: file, "folder": lambda: file.folder,
            "backlinks": lambda: [one for one in self.vault.files.values() if self._links_to(one, file)],
        }  # fmt: skip

    def _file_field(self, file: File, name: Any) -> Any:
        if name == "mtime" and file.path in self.written:
            return self.written[file.path]
        if name in ("ctime", "mtime"):
            raise SilentError("not in the texts: when files were written")
        if name == "folder" and not file.folder:
            raise SilentError("undocumented: the folder of a file at the top")
        found = self._file_fields(file).get(name)
        return found() if found else UNCLEAR

    def _links_to(self, source: File, target: File) -> bool:
        links, embeds = self.vault.links(source)
        if any(self._file_of(link) is target for link in links):
            return True
        if any(self._file_of(link) is target for link in embeds):
            raise SilentError("undocumented: whether an embed is a link")
        return False

    # ------------------------------------------------------------------------------------------------ functions

    def _call(self, callee: Any, args: list[Any], row: "_Row") -> Any:
        if callee[0] == "name":
            return self._global(callee[1], args, row)
        if callee[0] != "member" or callee[2][0] != "string":
            raise SilentError("undocumented: a call of what is no function")
        owner, name = self._evaluate(callee[1], row), callee[2][1]
        if owner is UNCLEAR:
            return UNCLEAR
        if isinstance(owner, list) and name in ("filter", "map", "reduce"):
            return self._each(owner, name, args, row)
        values = [self._clear(self._evaluate(arg, row)) for arg in args]
        if name == "isTruthy":
            return _truthy(owner)
        if name == "isType":
            return _kind(owner) == values[0]
        if name == "toString":
            return self._text(owner)
        if name == "isEmpty":
            return self._empty(owner)
        method = getattr(self, f"_{_kind(owner)}_{name}", None)
        if method is None and isinstance(owner, datetime) and hasattr(self, f"_string_{name}"):
            raise SilentError("unknown here: whether a property that looks like a date has the type text")
        if method is None:
            return UNCLEAR
        try:
            return method(owner, *values)
        except (TypeError, AttributeError, IndexError):
            raise SilentError(f"undocumented: {name} with such arguments") from None

    def _empty(self, owner: Any) -> bool:
        if owner is None or isinstance(owner, str | list | dict):
            return not owner
        if isinstance(owner, datetime) or _is_number(owner):
            return False
        raise SilentError("undocumented: isEmpty of this kind")

    def _each(self, items: list[Any], name: str, args: list[Any], row: "_Row") -> Any:
        def inner(**names: Any) -> Any:
            return self._clear(self._evaluate(args[0], _Row(row.file, {**row.names, **names}, row.formulas)))

        if name == "filter":
            return [item for place, item in enumerate(items) if _truthy(inner(value=item, index=place))]
        if name == "map":
            return [inner(value=item, index=place) for place, item in enumerate(items)]
        total = self._clear(self._evaluate(args[1], row)) if len(args) > 1 else None
        for place, item in enumerate(items):
            total = inner(value=item, index=place, acc=total)
        return total

    def _global(self, name: str, args: list[Any], row: "_Row") -> Any:
        if name == "if":
            if not 2 <= len(args) <= 3:
                raise SilentError("undocumented: if with so many arguments")
            condition = self._clear(self._evaluate(args[0], row))
            if _truthy(condition):
                return self._evaluate(args[1], row)
            return self._evaluate(args[2], row) if len(args) == 3 else None
        values = [self._clear(self._evaluate(arg, row)) for arg in args]
        functions: dict[str, Callable[..., Any]] = {
            "now": lambda: self.now,
            "today": lambda: self.now.replace(hour=0, minute=0, second=0, microsecond=0),
            "date": self._to_date, "duration": self._to_span, "number": self._to_number,
            "list": lambda value: value if isinstance(value, list) else [value],
            "min": lambda *numbers: self._extreme(min, numbers), "max": lambda *numbers: self._extreme(max, numbers),
            "link": lambda target, _display=None: self._to_link(target, row), "file": lambda path: self._to_file(path, row),
            "escapeHTML": self._escaped,
        }  # fmt: skip
        if name not in functions:
            raise SilentError(f"unsupported: the function {name}")
        try:
            return functions[name](*values)
        except TypeError:
            raise SilentError(f"undocumented: {name} with such arguments") from None

    def _to_date(self, value: Any) -> datetime:
        found = value if isinstance(value, datetime) else _date(value) if isinstance(value, str) else None
        if found is None:
            raise SilentError("undocumented: date() of what is no date")
        return found

    def _to_span(self, value: Any) -> Span:
        found = value if isinstance(value, Span) else _span(value) if isinstance(value, str) else None
        if found is None:
            raise SilentError("undocumented: duration() of what is none")
        return found

    def _to_number(self, value: Any) -> Any:
        if isinstance(value, bool):
            return int(value)
        if _is_number(value):
            return value
        if isinstance(value, datetime):
            raise SilentError("unsupported: a date as a number needs the zone")
        if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
            return float(value)
        return UNCLEAR  # "returns an error if the string is not a valid number"

    def _extreme(self, choose: Callable[..., Any], numbers: tuple[Any, ...]) -> Any:
        if not numbers or not all(map(_is_number, numbers)):
            raise SilentError("undocumented: min or max of what are no numbers")
        return choose(numbers)

    def _to_link(self, target: Any, row: "_Row") -> Any:
        if isinstance(target, Link):
            return target
        if isinstance(target, File):
            return Link(target.path, row.file.path)
        if not isinstance(target, str):
            raise SilentError("undocumented: link() of this kind")
        inner = re.fullmatch(r"\[\[([^\[\]]+)\]\]", target)
        return Link((inner[1] if inner else target).split("|")[0], row.file.path)

    def _to_file(self, path: Any, row: "_Row") -> Any:
        if isinstance(path, File):
            return path
        if not isinstance(path, Link | str):
            raise SilentError("undocumented: file() of this kind")
        return self._file_of(path if isinstance(path, Link) else Link(path, row.file.path))

    def _escaped(self, text: str) -> str:
        raise SilentError("unsupported: escapeHTML")

    # dates

    def _date_date(self, when: datetime) -> datetime:
        return when.replace(hour=0, minute=0, second=0, microsecond=0)

    def _date_format(self, when: datetime, pattern: str) -> str:
        return _moment(when, pattern)

    def _date_time(self, when: datetime) -> str:
        return _moment(when, "HH:mm:ss")

    def _date_relative(self, when: datetime) -> str:
        raise SilentError("unsupported: relative")

    # texts

    def _string_contains(self, text: str, value: str) -> bool:
        return value in text

    def _string_containsAll(self, text: str, *values: str) -> bool:  # noqa: N802 - named as in Bases
        return all(value in text for value in values)

    def _string_containsAny(self, text: str, *values: str) -> bool:  # noqa: N802
        return any(value in text for value in values)

    def _string_startsWith(self, text: str, query: str) -> bool:  # noqa: N802
        return text.startswith(query)

    def _string_endsWith(self, text: str, query: str) -> bool:  # noqa: N802
        return text.endswith(query)

    def _string_lower(self, text: str) -> str:
        return text.lower()

    def _string_trim(self, text: str) -> str:
        return text.strip()

    def _string_title(self, text: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9 ]*", text):
            raise SilentError("undocumented: where words begin")
        return " ".join(word[:1].upper() + word[1:].lower() for word in text.split(" "))

    def _string_reverse(self, text: str) -> str:
        return text[::-1]

    def _string_repeat(self, text: str, count: float) -> str:
        if count < 0 or count > 1000:
            raise SilentError("undocumented: repeat so often")
        return text * int(count)

    def _string_slice(self, text: str, start: float, end: float | None = None) -> str:
        return text[int(start) : None if end is None else int(end)]

    def _string_split(self, text: str, separator: Any, most: float | None = None) -> list[str]:
        if isinstance(separator, Pattern):
            parts = _compiled(separator).split(text)
        else:
            parts = text.split(separator) if separator else list(text)
        return parts if most is None else parts[: int(most)]

    def _string_replace(self, text: str, pattern: Any, replacement: str) -> str:
        if isinstance(pattern, Pattern):
            made = re.sub(r"\$(\d)", r"\\\1", replacement.replace("\\", "\\\\"))
            return _compiled(pattern).sub(made, text, count=0 if "g" in pattern.flags else 1)
        return text.replace(pattern, replacement)

    def _regexp_matches(self, pattern: Pattern, text: str) -> bool:
        return _compiled(pattern).search(text) is not None

    # numbers

    def _number_abs(self, number: float) -> float:
        return abs(number)

    def _number_ceil(self, number: float) -> float:
        return math.ceil(number)

    def _number_floor(self, number: float) -> float:
        return math.floor(number)

    def _number_round(self, number: float, digits: float = 0) -> float:
        scaled = number * 10 ** int(digits)
        if abs(scaled % 1 - 0.5) < 1e-6 and digits:
            raise SilentError("undocumented: how halves of decimals are rounded")
        rounded = math.floor(scaled + 0.5)
        return float(rounded / 10 ** int(digits)) if digits else rounded

    def _number_toFixed(self, number: float, digits: float) -> str:  # noqa: N802
        return f"{number:.{int(digits)}f}"

    # lists

    def _list_contains(self, items: list[Any], value: Any) -> bool:
        return any(self._equal(item, value) for item in items)

    def _list_containsAll(self, items: list[Any], *values: Any) -> bool:  # noqa: N802
        return all(self._list_contains(items, value) for value in values)

    def _list_containsAny(self, items: list[Any], *values: Any) -> bool:  # noqa: N802
        return any(self._list_contains(items, value) for value in values)

    def _list_flat(self, items: list[Any]) -> list[Any]:
        found: list[Any] = []
        for item in items:
            if isinstance(item, list) and any(isinstance(one, list) for one in item):
                raise SilentError("undocumented: how deep a list is made flat")
            found += item if isinstance(item, list) else [item]
        return found

    def _list_join(self, items: list[Any], separator: str) -> str:
        return separator.join(self._text(item) for item in items)

    def _list_reverse(self, items: list[Any]) -> list[Any]:
        return items[::-1]

    def _list_slice(self, items: list[Any], start: float, end: float | None = None) -> list[Any]:
        return items[int(start) : None if end is None else int(end)]

    def _list_sort(self, items: list[Any]) -> list[Any]:
        if len({_kind(item) for item in items}) > 1:
            raise SilentError("undocumented: the order of several kinds")
        return sorted(items)

    def _list_unique(self, items: list[Any]) -> list[Any]:
        found: list[Any] = []
        for item in items:
            if not any(self._equal(item, one) for one in found):
                found.append(item)
        return found

    # links and files

    def _link_asFile(self, link: Link) -> Any:  # noqa: N802
        return self._file_of(link)

    def _link_linksTo(self, link: Link, target: Any) -> Any:  # noqa: N802
        source = self._file_of(link)
        return UNCLEAR if source is None else self._file_hasLink(source, target)

    def _file_asLink(self, file: File, _display: Any = None) -> Link:  # noqa: N802
        return Link(file.path, file.path)

    def _file_hasLink(self, file: File, target: Any) -> bool:  # noqa: N802
        if isinstance(target, str):
            target = Link(target, file.path)
        found = self._file_of(target)
        if found is None:
            raise SilentError("undocumented: a link to a file that is not there")
        return self._links_to(file, found)

    def _file_hasProperty(self, file: File, name: str) -> bool:  # noqa: N802
        if name not in file.properties and any(key.lower() == name.lower() for key in file.properties):
            raise SilentError("undocumented: whether the case of a property's name counts")
        return name in file.properties

    def _file_hasTag(self, file: File, *tags: str) -> bool:  # noqa: N802
        """ "It also includes any nested tags"; "Tags": they are case-insensitive."""
        own = [tag.name.lower() for tag in self.vault.tags(file)]
        return any(tag == _tag(one) or tag.startswith(_tag(one) + "/") for tag in own for one in tags)

    def _file_inFolder(self, file: File, folder: str) -> bool:  # noqa: N802
        """ "Returns true if the file is in the specified folder or one of its sub-folders"."""
        if not folder.strip("/"):
            raise SilentError("undocumented: the folder at the top")
        return (file.folder + "/").startswith(folder.rstrip("/") + "/")

    # objects

    def _object_keys(self, value: dict[str, Any]) -> list[str]:
        return list(value)

    def _object_values(self, value: dict[str, Any]) -> list[Any]:
        return list(value.values())


def _quoted(value: Any) -> Any:
    """A value of a property, when it is known what it is."""
    if value is UNQUOTED or (isinstance(value, list) and UNQUOTED in value):
        raise SilentError("undocumented: a link without quotes")
    return value


def _tag(value: Any) -> str:
    return (value.name if isinstance(value, Tag) else value).lstrip("#").lower()


def _compiled(pattern: Pattern) -> re.Pattern[str]:
    try:
        return re.compile(pattern.source, re.IGNORECASE if "i" in pattern.flags else 0)
    except re.error:
        raise SilentError("unsupported: this regular expression") from None


@dataclass(frozen=True)
class _Row:
    """The file under test, with the names that `filter`, `map` and `reduce` give, and the formulas being evaluated."""

    file: File
    names: Mapping[str, Any] = field(default_factory=dict)
    formulas: tuple[str, ...] = ()
