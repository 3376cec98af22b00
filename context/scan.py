"""Finds what Obsidian knows in a Markdown text, in linear time: headings, links, tags, tasks, block ids."""

import re
import string
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from msgspec import Struct

from context.inline import Field, Item, inline
from context.regions import Lists, Region, blank, blanked, escaped, is_html_tag, line_start, live, regions

# Longer than any real link or tag; the bound keeps a text of open brackets from being read over and over.
_LINK_CHARS = 1000
_MOST_BRACKETS = 12
# What is kept of a heading: it is written beside each passage below it, so an endless one would fill the index.
_HEADING_CHARS = 300

# Patterns begin with the character they look for: that lets the engine skip to it, five times faster than `^`.
_HEADING = re.compile(r"##{0,5}(?=[ \t\r\n]|\Z)([^\n]*)")
_HEADING_LINE = re.compile(r" {0,3}#{1,6}(?=[ \t\r\n]|\Z)")
_CODE_LINE = re.compile(r" {0,3}`{1,2}(?!`)")  # a paragraph of inline code; a fence has three
# One of these is in every text with an underlined heading, and in few without.
_UNDERLINE_ENDS = ("-\n", "=\n", "- \n", "= \n", "-\t", "=\t", "-\r", "=\r", "-  ", "=  ", "- \r", "= \r")
_UNDERLINE = re.compile(r"\n {0,3}(=+|-+)[ \t\r]*(?=\n|\Z)")
# Lines that end or are no paragraph, so that an underline below them makes no heading.
_NO_PARAGRAPH = re.compile(r" {0,3}(?:[>|]|[-*+](?:[ \t]|$)|\d{1,9}[.)](?:[ \t]|$))")
_RULE = re.compile(r" {0,3}(?:=+|-+|([-*_])[ \t]*(?:\1[ \t]*){2,})[ \t]*")
# What may make a part of a comment no Markdown.
_ALIVE = re.compile(r"[`~$<%\t]|    ")
_WIKILINK = re.compile(rf"\[\[([^\[\]\n]{{1,{_LINK_CHARS}}})\]\]")
# A link whose address is none of the web: its target in <…>, or without blanks and with brackets in pairs; a title.
_INNER = rf"[^()\s\0]{{0,{_LINK_CHARS}}}"
_MARKDOWN_LINK = re.compile(
    r"\]\([ \t]*(?!<?(?:[A-Za-z][A-Za-z0-9+.-]*:|//))"
    rf"(?:<([^<>\n\0]{{1,{_LINK_CHARS}}})>|(?![<)])({_INNER}(?:\([^()\s\0]{{0,200}}\){_INNER}){{0,8}}))"
    r"(?:[ \t]+(?:\"[^\"\n]{0,1000}\"|'[^'\n]{0,1000}'|\([^()\n]{0,1000}\)))?[ \t]*\)"
)
# A tag ends at a blank, at ASCII punctuation but _ - /, and at two blocks of punctuation of Unicode.
_TAG = re.compile(r"#([^\s\0-\x1f!\"#$%&'()*+,.:;<=>?@\[\\\]^`{|}~\u2000-\u206f\u2e00-\u2e7f]{1,200})")
_PUNCTUATION = frozenset(string.punctuation)
_DIGITS = re.compile(r"[0-9]+")
_QUOTED = re.compile(r"[ \t]*(?:>[ \t]*)+")
_TABLE = re.compile(r"\n[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t\r]*(?=\n|\Z)")
# How far above a cell the line under the head of its table is looked for, in characters.
_TABLE_CHARS = 2000
_TASK = re.compile(r"\[([^\n\[])\][ \t]+(\S[^\n]*)")
_BEFORE_TASK = re.compile(r"[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+")
_BLOCK = re.compile(r"\^([A-Za-z0-9-]{1,100})[ \t\r]*(?=\n|\Z)")

_BLOCK_AT_END = re.compile(r"(?:^|[ \t])\^[A-Za-z0-9-]{1,100}[ \t]*$")

# Fields of the Tasks plugin, as emoji and as inline fields of Dataview (obsidian-tasks-group/obsidian-tasks,
# src/TaskSerializer). The plugin reads them only at the end of a task, Dataview reads dates anywhere: so do we.
_DAY = r"[ \t]*(\d{4}-\d\d-\d\d)"


def _field(emoji: str, name: str, emoji_value: str, value: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{emoji})\ufe0f?{emoji_value}|[\[(][ \t]*{name}::{value}[^\])\n]{{0,20}}[\])](?:[ \t]*,)?")


# The dates of a task by their names here: the day is the only group that matches.
DATE_FIELDS = {
    "due": _field("📅|📆|🗓", "due", _DAY, _DAY),
    "scheduled": _field("⏳|⌛", "scheduled", _DAY, _DAY),
    "starts": _field("🛫", "start", _DAY, _DAY),
    "created": _field("➕", "created", _DAY, _DAY),
    "completed": _field("✅", "completion", _DAY, _DAY),
    "cancelled": _field("❌", "cancelled", _DAY, _DAY),
}
_REPEATS = _field("🔁", "repeat", r"[ \t]*([A-Za-z0-9, !]{1,80})", r"[ \t]*([^\])\n]{1,80})")
_PRIORITIES = {"🔺": "highest", "⏫": "high", "🔼": "medium", "🔽": "low", "⏬": "lowest"}
_PRIORITY = re.compile(
    r"([🔺⏫🔼🔽⏬])\ufe0f?|[\[(][ \t]*priority::[ \t]*(highest|high|medium|low|lowest)[ \t]*[\])](?:[ \t]*,)?"
)
# What the plugin keeps for itself: ids, what must be done before, reminders, what happens on completion.
_WORD = r"[ \t]*[A-Za-z0-9_-]{1,80}"
_KEPT = re.compile(
    rf"(?:🆔|🏁)\ufe0f?{_WORD}|⛔\ufe0f?{_WORD}(?:[ \t]*,{_WORD})*|⏰\ufe0f?[ \t]*\d{{4}}-\d\d-\d\d(?:[ \t]\d\d:\d\d)?"
    r"|[\[(][ \t]*(?:id|dependsOn|onCompletion|reminder)::[^\])\n]{1,200}[\])](?:[ \t]*,)?"
)


class Heading(Struct, frozen=True, array_like=True, gc=False):
    """A heading: its level 1..6, its text without marks, and where its line begins, in characters."""

    level: int
    text: str
    start: int


class Link(Struct, frozen=True, array_like=True, gc=False):
    """A link to a file of the vault; addresses of the web are none.

    Attributes:
        kind: `wikilink`, `embed`, `markdown`, `frontmatter` (a wikilink in a property) or `canvas`.
        target: what stands before `#` and `|`, decoded; "" means the note itself.
        sub: what follows `#`: a heading path, or `^` and a block id; "" for none.
        alias: what is shown instead, "" for none; the size of an embedded image also stands here.
        start, end: where it stands, in characters.
        prop: the property it stands in, "" for links in the text.
    """

    kind: str
    target: str
    sub: str
    alias: str
    start: int
    end: int
    prop: str = ""


class Task(Struct, frozen=True, array_like=True, gc=False):
    """A checkbox item.

    Attributes:
        status: the character in the box: " " open, "x" done, "-" cancelled, or one of the person's own.
        text: its words, without dates, priority, recurrence and block id.
        start, end: its line, without the line end, in characters.
        due, scheduled, starts, created, completed, cancelled: ISO dates of the Tasks plugin, "" for none.
        priority: highest, high, medium, low, lowest, or "".
        repeats: the recurrence rule as it is written, "" for none.
    """

    status: str
    text: str
    start: int
    end: int
    due: str = ""
    scheduled: str = ""
    starts: str = ""
    created: str = ""
    completed: str = ""
    cancelled: str = ""
    priority: str = ""
    repeats: str = ""


class Block(Struct, frozen=True, array_like=True, gc=False):
    """A block that can be linked to: its id without `^`, and where the line with the id begins."""

    id: str
    start: int


class Scanned(Struct):
    """What a text holds, each list in the order of the text; `dead` is where it is no Markdown."""

    headings: tuple[Heading, ...]
    links: tuple[Link, ...]
    tags: tuple[str, ...]
    tasks: tuple[Task, ...]
    blocks: tuple[Block, ...]
    items: tuple[Item, ...]
    fields: tuple[Field, ...]
    dead: list[Region]


def scan(text: str, start: int = 0) -> Scanned:
    """Scan a Markdown text from `start` on (the end of its properties).

    Code, HTML and math hold nothing. A comment (`%% … %%`) holds links and tags, as in Obsidian's own index, but no
    headings, tasks and block ids: docs/markdown.md has the sources.
    """
    dead = list(regions(text, start))
    live = blanked(text, start, dead)
    # The same with what stands in comments, where it is no code itself.
    told = live
    if "%%" in text and any(mark == "%%" and _tells(text, begin, end) for begin, end, mark in dead):
        told = _with_comments(text, start, dead)
    links: list[Link] = []
    if "[[" in told:
        every = _WIKILINK.finditer(told, start)
        links = [_wikilink(one, text) for one in every if told[one.start() - 1] != "\\" or not _literal(told, one)]
    if "](" in told and (others := list(_markdown_links(told, text, start))):
        links = sorted((*links, *others), key=lambda link: link.start)
    tasks = tuple(_tasks(live, text, start)) if "] " in live or "]\t" in live else ()
    items: tuple[Item, ...] = ()
    fields: tuple[Field, ...] = ()
    if tasks or "::" in text:
        items, fields = inline(text, start, [(begin, end) for begin, end, mark in dead if mark[0] in "`~\t"], tasks)
    return Scanned(
        tuple(_headings(live, text, start, dead)),
        tuple(links),
        tuple(_tags(told, start)) if "#" in told else (),
        tasks,
        tuple(_blocks(live, start)) if "^" in live else (),
        items,
        fields,
        dead,
    )


def _tells(text: str, begin: int, end: int) -> bool:
    """Whether a stretch of text may hold links or tags."""
    return text.find("[", begin, end) >= 0 or text.find("#", begin, end) >= 0


def _with_comments(text: str, start: int, dead: list[Region]) -> str:
    """The live text together with that of its comments."""
    parts = [text[:start]]
    kept = start
    for begin, end, mark in dead:
        close = end - 2 if text.endswith("%%", begin + 2, end) else end
        if mark == "%%" and _tells(text, begin, end):
            inner = text[begin + 2 : close]
            inner = live(inner) if _ALIVE.search(inner) else inner
            parts += (text[kept:begin], "\0\0", inner, blank(text, close, end))
        else:
            parts += (text[kept:begin], blank(text, begin, end))
        kept = end
    return "".join((*parts, text[kept:]))


def _wikilink(found: re.Match[str], text: str, prop: str = "") -> Link:
    """The link of a match of the wikilink pattern; its words are read from `text`, which has nothing masked."""
    start, end = found.span()
    name, sub, alias = text[start + 2 : end - 2], "", ""
    embed = not prop and start > found.pos and text[start - 1] == "!" and not escaped(text, start - 1, found.pos)
    if "|" in name:
        name, _, alias = name.partition("|")
        name = name.removesuffix("\\")  # in a table the bar is written \|
    if "#" in name:
        name, _, sub = name.partition("#")
    kind = "frontmatter" if prop else "embed" if embed else "wikilink"
    return Link(kind, name.strip(), sub.strip(), alias.strip(), start - embed, end, prop)


def wikilinks(text: str, start: int, end: int, prop: str = "") -> Iterator[Link]:
    """The wikilinks between two offsets, where nothing is Markdown (a property)."""
    return (_wikilink(found, text, prop) for found in _WIKILINK.finditer(text, start, end))


def heading_paths(headings: Iterable[Heading]) -> list[tuple[int, tuple[str, ...]]]:
    """Where each heading stands and the path of headings down to it, in order: [(offset, ("Scope", "Later")), …]."""
    stack: list[tuple[int, str]] = []
    paths: list[tuple[int, tuple[str, ...]]] = []
    for heading in headings:
        while stack and stack[-1][0] >= heading.level:
            stack.pop()
        stack.append((heading.level, heading.text))
        paths.append((heading.start, tuple(text for _, text in stack)))
    return paths


def _headings(live: str, text: str, start: int, dead: Iterable[Region]) -> list[Heading]:
    found: list[Heading] = []
    nested = _Nested(text, start, dead)
    for match in _HEADING.finditer(live, start):
        at = match.start()
        line = at
        if at > start and live[at - 1] != "\n":
            line = max(start, live.rfind("\n", max(start, at - 4), at) + 1)
            if at - line > 3 or live[line:at].strip(" ") or (line > start and live[line - 1] != "\n") or nested(line):
                continue
        begin, end = match.span(1)
        words = text[begin:end].strip()
        if words[-1:] == "#":  # a closing run of # is no part of it, when a blank stands before
            bare = words.rstrip("#")
            words = bare.rstrip() if not bare or bare[-1] in " \t" else words
        found.append(Heading(begin - at, words[:_HEADING_CHARS], line))
    if not (live.endswith(("-", "=", "- ", "= ")) or any(end in live for end in _UNDERLINE_ENDS)):
        return found
    nested = _Nested(text, start, dead)
    underlined = [
        one
        for match in _UNDERLINE.finditer(live, start)
        if (one := _underlined(live, text, match, start)) and not (text[one.start] in " \t" and nested(one.start))
    ]
    return sorted([*found, *underlined], key=lambda heading: heading.start) if underlined else found


class _Nested:
    """Tells whether an indented line belongs to a list item; asked for lines in their order."""

    def __init__(self, text: str, start: int, dead: Iterable[Region]) -> None:
        self._made = text, start, dead
        self._lists: Lists | None = None

    def __call__(self, line: int) -> bool:
        if self._lists is None:
            text, start, dead = self._made
            self._lists = Lists(text, start, [(begin, end) for begin, end, _ in dead if "\n" in text[begin:end]])
        return self._lists.nested(line)


def _underlined(live: str, text: str, match: re.Match[str], start: int) -> Heading | None:
    """The heading of a paragraph underlined with = or - (CommonMark 4.3, "setext headings"); None when it is a rule."""
    end = match.start()
    begin = end + 1
    # A paragraph of a heading has a few lines; the bound keeps a wall of dashes from being read over and over.
    for _ in range(20):
        if begin <= start:
            break
        line = max(start, live.rfind("\n", start, begin - 1) + 1)
        words = live[line : begin - 1].rstrip("\r")
        blank = not words.strip(" \t\0") and not _CODE_LINE.match(text, line)
        if blank or _RULE.fullmatch(words) or _HEADING_LINE.match(words):
            break  # a block of its own: the paragraph begins below it
        if _NO_PARAGRAPH.match(words):
            return None
        begin = line
    if begin > end:
        return None
    return Heading(1 if match[1][0] == "=" else 2, " ".join(text[begin:end].split())[:_HEADING_CHARS], begin)


def _markdown_links(live: str, text: str, start: int) -> Iterator[Link]:
    for match in _MARKDOWN_LINK.finditer(live, start):
        begin = _opening(live, match.start(), start)
        if begin < 0:
            continue
        group = 1 if match[1] is not None else 2
        embed = begin > start and live[begin - 1] == "!" and not escaped(live, begin - 1, start)
        path, _, sub = unquote(text[match.start(group) : match.end(group)]).partition("#")
        words = text[begin + 1 : match.start()]
        yield Link("embed" if embed else "markdown", path.strip(), sub.strip(), words, begin - embed, match.end())


def _opening(live: str, close: int, start: int) -> int:
    """The bracket that a bracket closes, in the same paragraph; -1 for none."""
    if escaped(live, close, start):
        return -1
    reach = max(start, close - _LINK_CHARS)
    at, depth = close, 1
    for _ in range(_MOST_BRACKETS):
        at = max(live.rfind("[", reach, at), live.rfind("]", reach, at))
        if at < 0:
            return -1
        if not escaped(live, at, start):
            depth += 1 if live[at] == "]" else -1
        if not depth:
            return -1 if _parted(live, at, close) else at
    return -1


def _parted(live: str, begin: int, end: int) -> bool:
    """Whether a blank line stands between two places."""
    return "\n\n" in live[begin:end].replace("\r", "")


def _literal(live: str, found: re.Match[str]) -> bool:
    return live[found.start() - 1 : found.start()] == "\\" and escaped(live, found.start())


def _tags(live: str, start: int) -> Iterator[str]:
    chained = -1  # where the tag before ends: one may follow at once
    for match in _TAG.finditer(live, start):
        at, raw = match.start(), match[1]
        if (at in {chained, start} or _may_begin(live, at, match.end(), start)) and not _DIGITS.fullmatch(raw):
            chained = match.end()
            tag = (raw.rstrip("_") if live[at - 1] == "_" else raw).rstrip("/")
            if tag:
                yield tag


def _may_begin(live: str, at: int, end: int, start: int) -> bool:
    """Whether a tag may begin at this #.

    It may after a blank, and after what is no text but a mark: of emphasis, a quote, a cell, a link, HTML or an escape
    (read from Obsidian's cache, cyanheads/obsidian-mcp-server #138 and #140).
    """
    before = live[at - 1]
    if before.isspace() or before == "\0":
        return not _in_link(live, at, start)
    if before == "\\":
        return not escaped(live, at, start)
    if before in _PUNCTUATION and escaped(live, at - 1, start):
        return True
    line = _reach(live, at, start)
    if before in "*=~_":
        return _paired(live, before, at, end, line)
    if before == "[":
        close = live.find("]", at, at + _LINK_CHARS)
        return (
            close > 0
            and live.find("[", at, close) < 0
            and not _parted(live, at, close)
            and (at < 2 or live[at - 2] not in "[!")
            and live[close + 1 : close + 2] != "]"
        )
    if before == "]":
        return live[at - 2] != "[" and _opening(live, at - 1, start) >= 0
    if before == ")":
        opened = live.rfind("](", line, at)
        return opened >= 0 and live.find(")", opened, at) == at - 1
    if before == ">":
        return _QUOTED.fullmatch(live, line, at) is not None or is_html_tag(live, live.rfind("<", line, at), at)
    return before == "|" and _in_table(live, line, end, start)


def _in_table(live: str, line: int, end: int, start: int) -> bool:
    """Whether a line belongs to a table: the one under its head stands next to it or above it, with no gap."""
    for _ in range(2):
        found = live.find("\n", end, end + _LINK_CHARS)
        end = found + 1 if found >= 0 else end
    found_row = None
    for found_row in _TABLE.finditer(live, max(start - 1, 0, line - _TABLE_CHARS), end):  # noqa: B007 - the last counts
        pass
    return found_row is not None and not _parted(live, found_row.start() + 1, line)


def _paired(live: str, mark: str, at: int, end: int, line: int) -> bool:
    """Whether the run of marks before a # has a partner on its line, so that it is no text."""
    begin = at
    while begin > line and live[begin - 1] == mark:
        begin -= 1
    if mark in "=~":
        if at - begin < 2:
            return False
        mark *= 2
    stop = live.find("\n", end, end + _LINK_CHARS)
    if mark == "_":  # it belongs to a tag, but as its last
        return live[end - 1] == "_" or live.find(mark, line, begin) >= 0
    return live.find(mark, line, begin) >= 0 or live.find(mark, end, stop if stop >= 0 else end + _LINK_CHARS) >= 0


def _reach(live: str, at: int, start: int) -> int:
    """The beginning of the line of an offset, or as far before it as a link can be long."""
    reach = max(start, at - _LINK_CHARS)
    return max(reach, live.rfind("\n", reach, at) + 1)


def _in_link(live: str, at: int, start: int) -> bool:
    """Whether a # stands inside a link, but not in words that are shown: `[[C #part]]`, `[t](<a #b>)`, `![a #b](c)`."""
    line = _reach(live, at, start)
    opened = live.rfind("[[", line, at)
    if opened >= 0 and live.find("]]", opened, at) < 0 <= live.find("]]", at, at + _LINK_CHARS):
        return True
    opened = live.rfind("](", line, at)
    if opened >= 0 and live.find(")", opened, at) < 0:
        return True
    opened = live.rfind("![", line, at)
    if opened < 0 or live.find("]", opened, at) >= 0:
        return False
    close = live.find("]", at, at + _LINK_CHARS)
    return close >= 0 and live[close + 1 : close + 2] in ("(", "[")


def _tasks(live: str, text: str, start: int) -> Iterator[Task]:
    for match in _TASK.finditer(live, start):
        line = line_start(live, match.start(), start)
        if line < 0 or not _BEFORE_TASK.fullmatch(live, line, match.start()):
            continue
        words = text[match.start(2) : match.end(2)].rstrip()
        fields: dict[str, str] = {}
        repeats = priority = ""
        if "::" in words or not words.isascii():  # a field has the one or an emoji
            for name, pattern in DATE_FIELDS.items():
                words, fields[name] = _taken(pattern, words)
            words, repeats = _taken(_REPEATS, words)
            words, priority = _taken(_PRIORITY, words)
            words = _KEPT.sub("", words)
        end = match.start() + len(text[match.start() : match.end()].rstrip())
        yield Task(
            match[1],
            " ".join((_BLOCK_AT_END.sub("", words) if "^" in words else words).split()),
            line,
            end,
            **fields,
            priority=_PRIORITIES.get(priority, priority),
            repeats=repeats.strip(),
        )


def _taken(pattern: re.Pattern[str], words: str) -> tuple[str, str]:
    """The words without the first match of a field, and the field's value."""
    found = pattern.search(words)
    if found is None:
        return words, ""
    value = next(group for group in found.groups() if group is not None)
    return words[: found.start()] + words[found.end() :], value


def _blocks(live: str, start: int) -> Iterator[Block]:
    for match in _BLOCK.finditer(live, start):
        at = match.start()
        if at == start or live[at - 1] in " \t\n":
            yield Block(match[1], max(start, live.rfind("\n", start, at) + 1))
