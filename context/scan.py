"""Finds what Obsidian knows in a Markdown text, in linear time: headings, links, tags, tasks, block ids."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from context.inline import Field, Item, inline

# Longer than any real link or tag; the bound keeps a text of open brackets from being read over and over.
_LINK_CHARS = 1000
# What may stand before a fence on its line, in characters: deeper lists and quotes are not written by people.
_PREFIX_CHARS = 200
_BLANK = "\0"

# Patterns begin with the character they look for: that lets the engine skip to it, five times faster than `^`.
# Where a region may begin whose text is no Markdown: code, comments, HTML comments, math.
_DEAD = re.compile(r"[`~%<$](?:(?<=`)`*|(?<=~)~~+|(?<=%)%|(?<=<)!--|(?<=\$)\$?)")
# What stands before a fence on its line: quote marks, and list markers.
_BEFORE_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+[ \t>]*){0,8}")
# Inline math (Obsidian follows MathJax's rule): no blank inside the dollars, no digit after them.
_MATH = re.compile(r"\$(?=[^\s$])[^$\n]{1,1000}(?<=[^\s\\])\$(?!\d)")

# The end of a paragraph: a blank line, or one that begins a block of another kind.
_PARAGRAPH_END = re.compile(
    r"\n[ \t\r]*(?=\n|\Z|>|#{1,6}(?:[ \t\r\n]|\Z)|[-*+][ \t]|\d{1,9}[.)][ \t]|`{3}|~{3}"
    r"|(?:=+|-+|(?:\*[ \t]*){3,})[ \t\r]*(?:\n|\Z))"
)

_HEADING = re.compile(r"#{1,6}(?=[ \t\r\n]|\Z)([^\n]*)")
_HEADING_LINE = re.compile(r" {0,3}#{1,6}(?=[ \t\r\n]|\Z)")
_CODE_LINE = re.compile(r" {0,3}`{1,2}(?!`)")  # a paragraph of inline code; a fence has three
_LINE_END = re.compile(r"\n")
_UNDERLINE = re.compile(r"\n {0,3}(=+|-+)[ \t\r]*(?=\n|\Z)")
# Lines that end or are no paragraph, so that an underline below them makes no heading.
_NO_PARAGRAPH = re.compile(r" {0,3}(?:[>|]|[-*+](?:[ \t]|$)|\d{1,9}[.)](?:[ \t]|$))|\t| {4}")
_RULE = re.compile(r" {0,3}(?:=+|-+|([-*_])[ \t]*(?:\1[ \t]*){2,})[ \t]*")
_WIKILINK = re.compile(rf"\[\[([^\[\]\n\0]{{1,{_LINK_CHARS}}})\]\]")
_INNER = r"[^()\s\0]|\([^()\s\0]{0,200}\)"
_MARKDOWN_LINK = re.compile(
    rf"\]\((?:<([^<>\n\0]{{1,{_LINK_CHARS}}})>|(?!<)((?:{_INNER}){{1,{_LINK_CHARS}}}))(?=[ \t]*\)|[ \t]+[\"'])"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
# A tag ends at a blank, at ASCII punctuation but _ - /, and at the punctuation of other scripts.
_TAG = re.compile(r"#([^\s\0-\x1f!\"#$%&'()*+,.:;<=>?@\[\\\]^`{|}~\u2000-\u206f\u2e00-\u2e7f\u3000-\u303f]{1,200})")
_BEFORE_TAG = frozenset(" \t\n\r\u3000({,;*_>\"'")
_TASK = re.compile(r"\[([^\n\[])\][ \t]+(\S[^\n]*)")
_BEFORE_TASK = re.compile(r"[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+")
_BLOCK = re.compile(r"\^([A-Za-z0-9-]{1,100})[ \t\r]*(?=\n|\Z)")

_BLOCK_AT_END = re.compile(r"(?:^|[ \t])\^[A-Za-z0-9-]{1,100}[ \t]*$")

_DAY = r"[ \t]*(\d{4}-\d\d-\d\d)"
# Fields of the Tasks plugin, as emoji and as inline fields of Dataview.
_DATES = {
    "due": re.compile(rf"(?:📅|📆|🗓)\ufe0f?{_DAY}|[\[(]due::{_DAY}[^\])\n]{{0,20}}[\])]"),
    "scheduled": re.compile(rf"(?:⏳|⌛)\ufe0f?{_DAY}|[\[(]scheduled::{_DAY}[^\])\n]{{0,20}}[\])]"),
    "starts": re.compile(rf"🛫\ufe0f?{_DAY}|[\[(]start::{_DAY}[^\])\n]{{0,20}}[\])]"),
    "created": re.compile(rf"➕\ufe0f?{_DAY}|[\[(]created::{_DAY}[^\])\n]{{0,20}}[\])]"),
    "completed": re.compile(rf"✅\ufe0f?{_DAY}|[\[(]completion::{_DAY}[^\])\n]{{0,20}}[\])]"),
    "cancelled": re.compile(rf"❌\ufe0f?{_DAY}|[\[(]cancelled::{_DAY}[^\])\n]{{0,20}}[\])]"),
}
_REPEATS = re.compile(r"🔁\ufe0f?[ \t]*([A-Za-z0-9, ]{1,80})|[\[(]repeat::[ \t]*([^\])\n]{1,80})[\])]")
_PRIORITIES = {"🔺": "highest", "⏫": "high", "🔼": "medium", "🔽": "low", "⏬": "lowest"}
_PRIORITY = re.compile(r"([🔺⏫🔼🔽⏬])\ufe0f?|[\[(]priority::[ \t]*([A-Za-z]{1,20})[ \t]*[\])]")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its level 1..6, its text without marks, and where its line begins, in characters."""

    level: int
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Link:
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


@dataclass(frozen=True, slots=True)
class Task:
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


@dataclass(frozen=True, slots=True)
class Block:
    """A block that can be linked to: its id without `^`, and where the line with the id begins."""

    id: str
    start: int


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a text holds, each list in the order of the text."""

    headings: tuple[Heading, ...]
    links: tuple[Link, ...]
    tags: tuple[str, ...]
    tasks: tuple[Task, ...]
    blocks: tuple[Block, ...]
    items: tuple[Item, ...]
    fields: tuple[Field, ...]


def scan(text: str, start: int = 0) -> Scanned:
    """Scan a Markdown text from `start` on (the end of its properties).

    Code, comments, HTML comments and math hold nothing, but for links in `%% comments %%`, which Obsidian's own index
    keeps: writing a link there is how people give the graph one that is not shown (ebullient/obsidian-admonition #18).
    """
    live, dead = _masked(text, start)
    comments = [(begin, end) for begin, end, mark in dead if mark == "%%"]
    headings = _headings(live, text, start)
    links: list[Link] = []
    if "[[" in live:
        links += (_wikilink(found, text) for found in _WIKILINK.finditer(live, start) if not _escaped(live, found))
    for begin, end in comments:
        links += (_wikilink(found, text) for found in _WIKILINK.finditer(text, begin, end))
    if "](" in live:
        links += _markdown_links(live, text, start)
    if len(links) > 1:
        links.sort(key=lambda link: link.start)
    tasks = tuple(_tasks(live, text, start)) if "] " in live or "]\t" in live else ()
    items, fields = inline(text, start, [(begin, end) for begin, end, mark in dead if mark[0] in "`~"], tasks)
    return Scanned(
        tuple(headings),
        tuple(links),
        tuple(_tags(live, start)) if "#" in live else (),
        tasks,
        tuple(_blocks(live, start)) if "^" in live else (),
        items,
        fields,
    )


def _wikilink(found: re.Match[str], text: str, prop: str = "") -> Link:
    """The link of a match of the wikilink pattern; its words are read from `text`, which has nothing masked."""
    inside = text[found.start(1) : found.end(1)]
    start = found.start()
    embed = not prop and start > found.pos and text[start - 1] == "!"
    target, bar, alias = inside.partition("|")
    if bar and target.endswith("\\"):  # in a table the bar is written \|
        target = target[:-1]
    name, _, sub = target.partition("#")
    kind = "frontmatter" if prop else "embed" if embed else "wikilink"
    return Link(kind, name.strip(), sub.strip(), alias.strip(), start - embed, found.end(), prop)


def live(text: str, start: int = 0) -> str:
    """The text from `start` on with code, comments and math blanked out by NUL; of the same length, lines kept."""
    return _masked(text, start)[0]


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


def regions(text: str, start: int = 0) -> Iterator[tuple[int, int, str]]:
    """Where the text is no Markdown, in order: (begin, end, opening mark) of all code, comments and math."""
    missing: dict[str, int] = {}
    at = start
    while (found := _DEAD.search(text, at)) is not None:
        begin, mark = found.span()[0], found[0]
        end = _region_end(text, begin, mark, missing, start)
        at = found.end() if end < 0 else end
        if end >= 0:
            yield begin, end, mark


def _masked(text: str, start: int) -> tuple[str, list[tuple[int, int, str]]]:
    """The text with its dead regions blanked out but for line ends; and each region with the mark that opens it."""
    parts: list[str] = []
    dead: list[tuple[int, int, str]] = []
    kept = start
    for begin, end, mark in regions(text, start):
        dead.append((begin, end, mark))
        parts += (text[kept:begin], "\n".join(_BLANK * len(line) for line in text[begin:end].split("\n")))
        kept = end
    if not parts:
        return text, dead
    return "".join((text[:start], *parts, text[kept:])), dead


def _region_end(text: str, begin: int, mark: str, missing: dict[str, int], start: int) -> int:
    """Where the dead region that may begin here ends; -1 when none does. `missing` remembers marks with no end."""
    after = begin + len(mark)
    if begin > start and text[begin - 1] == "\\":
        return -1
    if mark[0] in "`~" and len(mark) >= 3 and _opens_fence(text, begin, after, start):
        return _fence_end(text, after, mark)
    if mark[0] == "`":
        return _code_end(text, after, mark, missing, start)
    if mark[0] == "~":
        return -1
    if mark == "$":
        found = _MATH.match(text, begin)
        return found.end() if found else -1
    close = {"%%": "%%", "<!--": "-->", "$$": "$$"}[mark]
    if close in missing:
        return -1
    end = text.find(close, after)
    if end < 0:
        missing[close] = len(text)
        # Obsidian hides everything below a comment that is never closed; a formula or tag left open is only text.
        return len(text) if mark == "%%" and _alone(text, begin, after) else -1
    return end + len(close)


def _opens_fence(text: str, begin: int, after: int, start: int) -> bool:
    """Whether a run of ``` or ~~~ stands where a fence may (CommonMark 4.5).

    It is the first on its line but for quote and list marks, and no backtick follows on a ``` line.
    """
    line = _line_start(text, begin, start)
    if line < 0 or not _BEFORE_FENCE.fullmatch(text, line, begin):
        return False
    stop = text.find("\n", after)
    return text[begin] == "~" or text.find("`", after, stop if stop >= 0 else len(text)) < 0


def _alone(text: str, begin: int, after: int) -> bool:
    """Whether a mark has its line to itself."""
    line = text.rfind("\n", 0, begin) + 1
    stop = text.find("\n", after)
    return not text[line:begin].strip() and not text[after : stop if stop >= 0 else len(text)].strip()


def _fence_end(text: str, after: int, mark: str) -> int:
    close = re.compile(rf"^[ \t>]*{mark[0]}{{{len(mark)},}}[ \t\r]*$", re.MULTILINE)
    line = text.find("\n", after)
    found = close.search(text, line + 1) if line >= 0 else None
    return found.end() if found else len(text)


def _code_end(text: str, after: int, mark: str, missing: dict[str, int], start: int) -> int:
    """The end of an inline code span: a run of as many backticks in the same paragraph."""
    if after <= missing.get(mark, -1):  # looked for before, up to that end of a paragraph
        return -1
    stop = missing.get("", -1)  # the end of the paragraph, found before
    if after > stop:
        line = _line_start(text, after - len(mark), start)
        ends = _LINE_END if line >= 0 and _HEADING_LINE.match(text, line) else _PARAGRAPH_END
        found_end = ends.search(text, after)
        stop = missing[""] = found_end.start() if found_end else len(text)
    at = after
    while (found := text.find(mark, at, stop)) >= 0:
        end = found + len(mark)
        while end < stop and text[end] == "`":
            end += 1
        if end - found == len(mark):
            return end
        at = end
    missing[mark] = stop
    return -1


def _headings(live: str, text: str, start: int) -> list[Heading]:
    found: list[Heading] = []
    for match in _HEADING.finditer(live, start) if "#" in live else ():
        at = match.start()
        line = max(start, live.rfind("\n", max(start, at - 4), at) + 1)
        if at - line > 3 or live[line:at].strip(" ") or (line > start and live[line - 1] != "\n"):
            continue
        words = text[match.start(1) : match.end(1)].strip()
        bare = words.rstrip("#")  # a closing run of # is no part of it, when a blank stands before
        words = bare.rstrip() if not bare or bare[-1] in " \t" else words
        found.append(Heading(match.start(1) - at, words, line))
    underlined = [one for match in _UNDERLINE.finditer(live, start) if (one := _underlined(live, text, match, start))]
    return sorted([*found, *underlined], key=lambda heading: heading.start) if underlined else found


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
    return Heading(1 if match[1][0] == "=" else 2, " ".join(text[begin:end].split()), begin)


def _markdown_links(live: str, text: str, start: int) -> Iterator[Link]:
    for match in _MARKDOWN_LINK.finditer(live, start):
        group = 1 if match[1] is not None else 2
        target = text[match.start(group) : match.end(group)]
        if _SCHEME.match(target):
            continue
        begin = live.rfind("[", max(start, match.start() - _LINK_CHARS), match.start())
        if begin < 0 or "\n\n" in live[begin : match.start()]:
            continue
        embed = begin > start and live[begin - 1] == "!"
        path, _, sub = unquote(target).partition("#")
        close = live.find(")", match.end(), match.end() + _LINK_CHARS)
        if close < 0:
            continue
        yield Link(
            "embed" if embed else "markdown",
            path.strip(),
            sub.strip(),
            text[begin + 1 : match.start()],
            begin - embed,
            close + 1,
        )


def _escaped(live: str, found: re.Match[str]) -> bool:
    at = found.start()
    while at and live[at - 1] == "\\":
        at -= 1
    return (found.start() - at) % 2 == 1


def _tags(live: str, start: int) -> Iterator[str]:
    for match in _TAG.finditer(live, start):
        at = match.start()
        tag = match[1].rstrip("/")
        if tag and not tag.isdigit() and (at == start or live[at - 1] in _BEFORE_TAG) and not _in_link(live, at, start):
            yield tag


def _in_link(live: str, at: int, start: int) -> bool:
    """Whether a # stands inside a link: `[[C #part]]`, `[part](#part)`."""
    if live[max(start, at - 2) : at] == "](":
        return True
    line = live.rfind("\n", max(start, at - _LINK_CHARS), at)
    opened = live.rfind("[[", max(start, line, at - _LINK_CHARS), at)
    return opened >= 0 and live.find("]]", opened, at) < 0


def _tasks(live: str, text: str, start: int) -> Iterator[Task]:
    for match in _TASK.finditer(live, start):
        line = _line_start(live, match.start(), start)
        if line < 0 or not _BEFORE_TASK.fullmatch(live, line, match.start()):
            continue
        words = text[match.start(2) : match.end(2)].rstrip()
        fields: dict[str, str] = {}
        for name, pattern in _DATES.items():
            words, fields[name] = _taken(pattern, words)
        words, repeats = _taken(_REPEATS, words)
        words, priority = _taken(_PRIORITY, words)
        end = match.start() + len(text[match.start() : match.end()].rstrip())
        yield Task(
            match[1],
            " ".join(_BLOCK_AT_END.sub("", words).split()),
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


def _line_start(live: str, at: int, start: int) -> int:
    """Where the line of an offset begins; -1 when that is farther off than any list or quote mark."""
    reach = max(start, at - _PREFIX_CHARS)
    found = live.rfind("\n", reach, at) + 1
    return found or (start if reach == start else -1)
