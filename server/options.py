"""The options there are: one table that loading, `kos config` and the commented example file are made from."""

import json
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# What the kernel takes as the path of a Unix socket, in bytes (108 with the closing NUL on Linux, 104 on macOS).
_SOCKET_BYTES = 103
_LIST_ITEMS = 64
_ITEM_CHARS = 200
_WIDTH = 112
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*\\]+")
_TOKEN = re.compile(r"[!-~]{16,512}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The kinds that are there without being named, and their types; as `context.kinds` has them, which costs time to load.
TYPES = {
    "project": ("project",),
    "hardware": ("hardware", "system", "infrastructure", "service", "server", "device"),
    "person": ("person", "people", "contact"),
    "knowledge": (
        "knowledge", "research", "technique", "recipe", "book", "article", "paper", "concept", "decision", "reference",
    ),
    "daily": ("daily",),
    "moc": ("moc", "map"),
}  # fmt: skip


class PartError(ValueError):
    """A part of an option that is not allowed; the message says what it is and what is allowed.

    Attributes:
        part: its name, such as "kinds.project.folder".
        hint: what to do.
    """

    def __init__(self, part: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.part = part
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: in the file; with dashes it is the flag, if it has one.
        kind: type of its value: str, int, Path (text in the file, made absolute), tuple (a list of texts) or dict (a
            table of tables).
        default: used when nobody says anything.
        help: what it does, for people.
        allowed: what its value may be, in words.
        rule: brings a value of the right type into its one form; raises ValueError for what is not allowed.
        env: the environment variable that sets it, "" for none.
        flag: what the command line calls it, "" when no flag sets it.
        instead: what is used by default, in words, where `default` alone does not say it.
        example: shown in the commented file where the default is empty.
        secret: never shown.
    """

    name: str
    kind: type
    default: Any
    help: str
    allowed: str
    rule: Callable[[Any], Any] = lambda value: value
    env: str = ""
    flag: str = ""
    instead: str = ""
    example: Any = None
    secret: bool = False


def _between(least: int, most: int) -> Callable[[int], int]:
    def rule(value: int) -> int:
        if not least <= value <= most:
            raise ValueError
        return value

    return rule


def _line(least: int, most: int) -> Callable[[str], str]:
    """One line of text with so many characters, blanks around it not counted."""

    def rule(value: str) -> str:
        clean = value.strip()
        if not least <= len(clean) <= most or _CONTROL.search(clean):
            raise ValueError
        return clean

    return rule


def _zone(value: str) -> str:
    from context.calendar import calendar  # noqa: PLC0415 - most people set no zone, and starting must be quick

    calendar(timezone=value.strip())
    return value.strip()


def _now(value: str) -> str:
    from context.calendar import calendar  # noqa: PLC0415 - see above

    calendar(value, "UTC")
    return value.strip()


def _cache(value: str) -> str:
    if value not in ("auto", "sqlite", "memory"):
        from context.cache import parse_setting  # noqa: PLC0415 - see above

        parse_setting(value)
    return value


def _switch(value: str) -> str:
    if value not in ("off", "on"):
        raise ValueError
    return value


def _web(value: str) -> str:
    url = urlsplit(value.strip())
    sound = url.scheme in ("http", "https") and url.hostname and "@" not in url.netloc and url.port != 0
    if value and (not sound or url.query or url.fragment or re.search(r"\s", value.strip())):
        raise ValueError
    return value.strip()


def _host(value: str) -> str:
    clean = value.strip().removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", clean):
        raise ValueError
    return clean


def _socket(value: Path | None) -> Path | None:
    if value is not None and len(str(value).encode("utf-8", "surrogateescape")) > _SOCKET_BYTES:
        raise ValueError
    return value


def _token(value: str) -> str:
    if value and not _TOKEN.fullmatch(value):
        raise ValueError
    return value


def _each(rule: Callable[[str], str]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    def every(values: tuple[str, ...]) -> tuple[str, ...]:
        if len(values) > _LIST_ITEMS:
            raise ValueError
        return tuple(dict.fromkeys(rule(value) for value in values))

    return every


def _pattern(value: str) -> str:
    clean = value.strip()
    if clean and (not 2 <= len(clean) <= 60 or re.search(r"[\s\x00-\x1f\x7f]", clean)):
        raise ValueError
    return clean


def _tag(value: str) -> str:
    clean = value.strip().removeprefix("#")
    if not clean or len(clean) > _ITEM_CHARS or re.search(r"[\s#,]", clean):
        raise ValueError
    return clean


def _folder(value: str) -> str:
    clean = _line(1, 1000)(value).strip("/")
    if value.startswith(("/", "~")) or not clean or any(part in ("", ".", "..") for part in clean.split("/")):
        raise ValueError
    return clean


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value) or value != value.lower() or len(value) > _ITEM_CHARS:
        raise ValueError
    return value


def _path(value: str) -> str:
    return _folder(value) if value.strip("/ ") else ""


_KIND_NAME = re.compile(r"[^\W_A-Z][^\WA-Z]*(?:-[^\WA-Z]+)*")
_TEXTS = f"a list of at most {_LIST_ITEMS} texts of at most {_ITEM_CHARS} characters"
_PATH = "a path from the top of the vault, without .. in it"
# The fields of a kind: rule, and what is allowed in words.
_FIELDS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "types": (_each(_line(1, _ITEM_CHARS)), _TEXTS),
    "folder": (_path, _PATH),
    "tags": (_each(_tag), f"a list of at most {_LIST_ITEMS} tags, with or without #"),
    "keywords": (_each(_line(1, _ITEM_CHARS)), _TEXTS),
    "template": (_path, _PATH),
}


def _kinds(value: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The table of kinds, each field in its one form.

    Raises:
        PartError: a name, field or value that is not allowed.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, fields in value.items():
        part = f"kinds.{name}"
        if not _KIND_NAME.fullmatch(name) or len(name) > _ITEM_CHARS:
            hint = "It is also the tag that asks for a new note: small letters, digits, - and _."
            raise PartError(part[:_ITEM_CHARS], "is no name of a kind", hint)
        if not isinstance(fields, dict):
            raise PartError(part, f"is {fields!r:.200}; allowed: a table", f"Write [{part}] with its fields below it.")
        found[name] = {key: _field(f"{part}.{key}", key, one) for key, one in fields.items()}
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _field(part: str, key: str, value: Any) -> Any:
    if key not in _FIELDS:
        from difflib import get_close_matches  # noqa: PLC0415 - only for those who misspelt

        near = get_close_matches(key, _FIELDS, 1)
        raise PartError(
            part,
            "is no field of a kind",
            f"{f'Did you mean {near[0]}? ' if near else ''}Fields are {', '.join(_FIELDS)}.",
        )
    rule, allowed = _FIELDS[key]
    try:
        if key in ("folder", "template"):
            return rule(_text(value))
        if not isinstance(value, list):
            raise TypeError
        return list(rule(tuple(map(_text, value))))
    except (TypeError, ValueError):
        raise PartError(part, f"is {value!r:.200}; allowed: {allowed}", "Correct it, or leave the line out.") from None


_NAMES = f"a list of at most {_LIST_ITEMS} names of at most {_ITEM_CHARS} characters"
_name = _line(1, _ITEM_CHARS)

OPTIONS = (
    Option(
        "vault", Path, None,
        "The folder of the vault. It is only read by what answers, and nothing of this program is kept in it.",
        "the path of a folder", env="KOS_VAULT", flag="--vault", example="~/Documents/Vault",
        instead="the current folder, or the nearest one above it, that holds .obsidian",
    ),
    Option(
        "state_dir", Path, None,
        "Where index, cache and token are kept, with a folder for each vault. Losing it costs one rebuild of the index"
        " and a new token. On a disk of this machine, please: SQLite files do not like network folders.",
        "the path of a folder outside the vault; it is made when missing", env="KOS_STATE_DIR", flag="--state-dir",
        instead="the system's folder for state (knowledge-os in $XDG_STATE_HOME or ~/.local/state)",
        example="~/.local/state/knowledge-os",
    ),
    Option(
        "profile", str, "rtx3080",
        "Which models run where, and which command gets which. A profile of your own is a copy of a shipped one.",
        "the name of a shipped profile, or the path of a file that ends in .toml; at most 1000 characters",
        _line(1, 1000), env="KOS_PROFILE", flag="--profile",
    ),
    Option(
        "ollama_url", str, "",
        "The address of Ollama, instead of the one in the profile. On another machine it counts as a LAN node, which"
        " sees no private notes until trusted_nodes names it.",
        "an address such as http://127.0.0.1:11434, without user, query or fragment; empty for the profile's",
        _web, env="KOS_OLLAMA_URL", flag="--ollama-url", example="http://127.0.0.1:11434",
    ),
    Option(
        "trusted_nodes", tuple, (),
        "Nodes of class lan in the profile that may see private notes. A node in the cloud never does.",
        _NAMES, _each(_name), example=["attic"],
    ),
    Option(
        "cache", str, "auto",
        "Where contexts and answers are kept. auto takes a Redis on this machine if one answers, else a SQLite file."
        " Private text never goes to a Redis elsewhere.",
        "auto, sqlite, memory, redis://[user:password@]host[:port][/db], rediss://… (over TLS) or"
        " unix:///path/to/redis.sock[?db=N]",
        _cache, env="KOS_CACHE", flag="--cache",
    ),
    Option(
        "cache_ttl_seconds", int, 86_400,
        "How long a context or an answer is kept, in seconds. It is never stale: what changed is looked for anew.",
        "a whole number from 60 to 31536000", _between(60, 31_536_000),
    ),
    Option(
        "embeddings", str, "off",
        "Whether notes are also found by what they mean, not by their words alone. The model named by [embedding] of"
        " the profile turns each piece of each note into a vector, in the background of `kos serve` and kept on this"
        " machine; private notes only on a node that may see them. Needs that model on its node, and numpy.",
        "off or on", _switch, flag="--embeddings",
    ),
    Option(
        "host", str, "127.0.0.1",
        "The address the service listens on. Any other than this machine's own lets others knock, and wants a token"
        " made before (`kos token`).",
        "the address or name of a network interface", _host, flag="--host",
    ),
    Option(
        "port", int, 8765, "The port the service listens on; 0 takes a free one.", "a whole number from 0 to 65535",
        _between(0, 65_535), env="KOS_PORT", flag="--port",
    ),
    Option(
        "uds", Path, None, "A Unix socket to listen on instead of host and port; only its owner may use it.",
        f"a path of at most {_SOCKET_BYTES} bytes", _socket, flag="--uds", instead="none",
        example="~/.cache/knowledge-os.sock",
    ),
    Option(
        "origins", tuple, (),
        "Web pages that may use the service, beside Obsidian on every platform and the service's own.",
        f"a list of at most {_LIST_ITEMS} exact origins such as https://notes.example.org, without path or wildcard",
        _each(_origin), example=["https://notes.example.org"],
    ),
    Option(
        "token", str, "",
        "The token that clients of the service show, instead of the one in the state folder. Keep this file to"
        " yourself (chmod 600) if you set it.",
        "16 to 512 visible ASCII characters; empty for the one in the state folder",
        _token, env="KOS_TOKEN", secret=True,
    ),
    Option(
        "timezone", str, "", "The zone that decides which day it is.",
        "an IANA name such as Europe/Berlin; empty for the machine's zone", _zone, flag="--timezone",
        example="Europe/Berlin",
    ),
    Option(
        "now", str, "",
        "Takes this day or moment for the present, for trying things out. A date means nine in the morning.",
        "an ISO date or instant such as 2025-09-14 or 2025-09-14T18:30:00+02:00; empty for the clock's",
        _now, env="KOS_NOW", flag="--now", example="2025-09-14",
    ),
    Option(
        "language", str, "", "The language of the answers.",
        "the name of a language, at most 60 characters; empty for the language of your words", _line(0, 60),
        example="German",
    ),
    Option(
        "deadline_seconds", int, 0, "A limit for every command, in seconds. Each command has one of its own as well.",
        "a whole number from 0 to 3600; 0 for none beside their own", _between(0, 3_600),
    ),
    Option(
        "private_tags", tuple, ("private",),
        "Tags that make a note private, beside `private: true`, also where Obsidian sees none, as in `(#private)`: it"
        " is never sent to a node that is not yours.",
        f"a list of at most {_LIST_ITEMS} tags, with or without #", _each(_tag),
    ),
    Option(
        "private_folders", tuple, (), "Folders whose notes are private.",
        f"a list of at most {_LIST_ITEMS} folders, as paths from the top of the vault", _each(_folder),
        example=["Personal", "Work/Clients"],
    ),
    Option(
        "capture_heading", str, "Log", "The heading of the daily note under which captured words go.",
        "the text of a heading, 1 to 200 characters", _line(1, 200),
    ),
    Option(
        "force_pattern", str, "#force_big",
        "What forces the big model when it stands in your own words, even while its node is kept free for something"
        " else. What notes say forces nothing.",
        "one word of 2 to 60 characters; empty for none", _pattern,
    ),
    Option(
        "kinds", dict, {},
        "Kinds of notes, a table [kinds.NAME] each; keep them last in this file. A note is of a kind by its type; one"
        " without a type by a tag or its folder. project is what /orient and /plan speak of, hardware the systems,"
        " daily the days, moc the maps of content; person and knowledge are names to link to, and so is any kind of"
        " your own. A new note is proposed when an update links one that is not there, with the kind's name as a tag"
        " in the same line ([[Greenhouse]] #project): made from the template, in the folder, with the first type and"
        " the tags.",
        "tables of types, tags and keywords (lists of texts), folder and template (paths from the top of the vault)."
        " keywords are words that make sure of a name beside them",
        _kinds, instead="the types " + "; ".join(f"{name}: {' '.join(types)}" for name, types in TYPES.items())
        + "; for moc also the tags moc and map-of-content",
        example={"project": {"types": ["project"], "folder": "02-Projects", "tags": ["project"], "keywords": [],
                             "template": "01-Journal/Templates/Project.md"}},
    ),
)  # fmt: skip

_HEAD = """\
Knowledge-OS: every option there is, what it does, what it may be, and its default.

A line that begins with # says nothing. Take the # away to set an option.
An environment variable wins over this file, and a flag over both. `kos config` prints what is in force, from
where, and where this file belongs. Paths may begin with ~; others are taken from the folder of this file.
"""


def template(values: Mapping[str, Any] | None = None) -> str:
    """The commented configuration file (TOML): every option explained and commented out.

    Args:
        values: options to set: name → value as the file has it.
    """
    parts = [_comment(_HEAD) + "\n"]
    for option in OPTIONS:
        set_to = (values or {}).get(option.name)
        shown = option.default if option.example is None else option.example
        lines = _lines(option.name, shown if set_to is None else set_to)
        text = "\n".join(f"# {line}" if set_to is None else line for line in lines)
        parts.append(_comment(_explained(option)) + "\n" + text + "\n")
    return "\n".join(parts)


def _lines(name: str, value: Any) -> list[str]:
    """An option as it stands in the file: one line, or a table for each part."""
    if not isinstance(value, Mapping):
        return [f"{name} = {_toml(value)}"]
    return [
        line
        for part, fields in value.items()
        for line in (f"[{name}.{part}]", *(f"{key} = {_toml(one)}" for key, one in fields.items()))
    ]


def _explained(option: Option) -> str:
    default = option.instead or (_toml(option.default) if option.default not in ("", ()) else "empty")
    ways = [f"environment {option.env}"] * bool(option.env) + [f"flag {option.flag}"] * bool(option.flag)
    also = f"\nAlso set by: {', '.join(ways)}." if ways else ""
    return f"{option.help}\nAllowed: {option.allowed}.\nDefault: {default}.{also}"


def _comment(text: str) -> str:
    lines = (line for part in text.splitlines() for line in textwrap.wrap(part, _WIDTH, break_on_hyphens=False) or [""])
    return "\n".join(f"# {line}".rstrip() for line in lines)


def _toml(value: Any) -> str:
    """A value in TOML: its texts, numbers and lists of texts are written as in JSON."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
