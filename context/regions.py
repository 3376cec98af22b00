"""Finds where a Markdown text is none, in linear time: code, comments, HTML and math. What is left is live."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator

_BLANK = "\0"
_TAB = 4
# What may stand before a block on its line, in characters: deeper lists and quotes are not written by people.
_PREFIX_CHARS = 200

# Patterns begin with the character they look for: that lets the engine skip to it, five times faster than `^`.
# Where HTML of interest may begin: a tag that may begin a block, or one in which something could be taken for Markdown.
_HTML = re.compile(r"<(?!https?:)(?:!--|(?<![^\s>]<)(?=[A-Za-z/!?])|(?=[A-Za-z/][^<>]{0,200}[#\[`$%]))")
_TICKS, _TILDES = re.compile(r"`+"), re.compile(r"~+")
# A line that is indented as far as code; it is none below a line that may be of a paragraph.
_DEEP = r"(?:[ \t]{0,3}>[ \t]?)*(?: {4}| {0,3}\t)[ \t]*[^\s>]"
_FIRST_INDENTED = re.compile(_DEEP)
_INDENTED = re.compile(rf"\n(?=[ \t>])(?={_DEEP})")
_ENDED = re.compile(
    r"(?:[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(?:#{1,6}(?:[ \t][^\n]*)?|[-*_]{3,})?"
    r"|[-=*_`~$> \t]{2,}|[^\n]*(?:-->|</(?:pre|script|style)>)[^\n]*)\r?"
)

# What stands before the text of a line: quote marks, and the indent after them.
_LEAD = re.compile(r"(?:((?:[ \t]{0,3}>)+) ?)?([ \t]*)")
_MARKER = re.compile(r"(?:[-*+]|\d{1,9}[.)])(?=[ \t\r]|\Z)([ \t]*)")
# What may stand before a block on its line: quote marks, and list markers.
_BEFORE_BLOCK = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+[ \t>]*){0,8}")
_RULE = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}\r?|=+[ \t]*\r?")
_LEAF = re.compile(r"#{1,6}(?:[ \t\r]|\Z)")
# Lines that end the paragraph above them, whatever their indent within a list.
_BREAK = re.compile(r"#{1,6}(?:[ \t\r]|\Z)|`{3}|~{3}|>|[-*+][ \t]|\d{1,9}[.)][ \t]")

_HEADING_LINE = re.compile(r" {0,3}#{1,6}(?=[ \t\r\n]|\Z)")
_LINE_END = re.compile(r"\n")
_BLANK_LINE = re.compile(r"\n[ \t]*\r?(?=\n|\Z)")
# The end of a paragraph: a blank line, or one that begins a block of another kind.
_PARAGRAPH_END = re.compile(
    r"\n[ \t\r]*(?=\n|\Z|>|#{1,6}(?:[ \t\r\n]|\Z)|[-*+][ \t]|\d{1,9}[.)][ \t]|`{3}|~{3}"
    r"|(?:=+|-+|(?:\*[ \t]*){3,})[ \t\r]*(?:\n|\Z))"
)

# What ends inline math, or the paragraph before it: a $ with no blank before it and no digit after it.
_MATH_END = re.compile(r"(?<![ \t])\$(?!\d)|\n[ \t]*\r?(?=\n|\Z)")
_MATH_BLOCK_END = re.compile(r"[ \t]*\$\$[ \t]*\r?")

_HTML_TAG = re.compile(
    r"<(?:[A-Za-z][A-Za-z0-9-]*+(?:\s++[A-Za-z_:][\w.:-]*+"
    r"(?:\s*+=\s*+(?:[^\s\"'=<>`]++|'[^']{0,2000}'|\"[^\"]{0,2000}\"))?+)*+\s*+/?|/[A-Za-z][A-Za-z0-9-]*+\s*+)>"
)
_TELLING = re.compile(r"[#\[`$%]")  # what in a tag could be taken for Markdown
# The kinds of HTML blocks (CommonMark 4.6) and what ends each; those without a name end at a blank line.
_HTML_BLOCK = re.compile(
    r"<(?:(?P<raw>pre|script|style|textarea)(?=[\s>]|\Z)|(?P<comment>!--)|(?P<instruction>\?)|(?P<cdata>!\[CDATA\[)"
    r"|(?P<declaration>![A-Za-z])|/?(?:address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup"
    r"|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html"
    r"|iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table"
    r"|tbody|td|tfoot|th|thead|title|tr|track|ul)(?=\s|/?>|\Z))",
    re.IGNORECASE,
)
_HTML_ENDS = {
    "raw": re.compile(r"</(?:pre|script|style|textarea)>", re.IGNORECASE),
    "comment": re.compile(r"-->"),
    "instruction": re.compile(r"\?>"),
    "cdata": re.compile(r"\]\]>"),
    "declaration": re.compile(r">"),
}


# Where a text is no Markdown: (begin, end, opening mark), in characters.
Region = tuple[int, int, str]
_NONE = sys.maxsize


def _mark(text: str, at: int) -> str:
    """The mark that may open a region here."""
    first = text[at]
    if first in "`~":
        return (_TICKS if first == "`" else _TILDES).match(text, at)[0]  # type: ignore[index]  # one is here
    if first == "<":
        return "<!--" if text.startswith("<!--", at) else "<"
    return "$" if first == "$" and text[at + 1 : at + 2] != "$" else first * 2


def regions(text: str, start: int = 0) -> Iterator[Region]:
    """Where the text from `start` on, the beginning of a line, is no Markdown.

    In order, as (begin, end, opening mark): runs of ` or ~ open code, a tab stands for code that is indented, %% opens
    a comment of Obsidian, <!-- one of HTML, < other HTML, $ and $$ math. See docs/markdown.md for the rules.
    """
    reader = _Reader(text, start)
    dead, find = reader.dead, text.find
    after = start
    # Where each kind may begin next: one search a kind, and none for what a text has no more of.
    tick = percent = angle = dollar = tilde = -1
    indented = reader.indented()
    spot = next(indented, _NONE)
    while True:
        if tick < after and (tick := find("`", after)) < 0:
            tick = _NONE
        if percent < after and (percent := find("%%", after)) < 0:
            percent = _NONE
        if angle < after:
            found = _HTML.search(text, after)
            angle = found.start() if found else _NONE
        if dollar < after and (dollar := find("$", after)) < 0:
            dollar = _NONE
        if tilde < after and (tilde := find("~~~", after)) < 0:
            tilde = _NONE
        begin = min(tick, percent, angle, dollar, tilde)
        while spot < after:
            spot = next(indented, _NONE)
        if spot < begin:
            begin, mark, end, after = spot, "\t", reader.code_end(spot), spot + 1
        elif begin == _NONE:
            return
        # The two most common ones at their simplest; `reader` knows all.
        elif begin == percent and (end := find("%%", begin + 2)) >= 0 and text[begin - 1 : begin] != "\\":
            mark, end, reader.block = "%%", end + 2, False
        elif begin == angle and text.startswith("<!--", begin) and (begin == start or text[begin - 1] == "\n"):
            close = find("-->", begin + 4)
            end = find("\n", close) if close >= 0 else -1
            mark, end, reader.block = "<!--", end if end >= 0 else len(text), True
        else:
            mark = _mark(text, begin)
            after = begin + len(mark)
            end = reader.end(begin, mark)
        if end > begin:
            if reader.block:
                dead.append((begin, end))
            yield begin, end, mark
            after = end


def live(text: str, start: int = 0) -> str:
    """The text with all that is no Markdown from `start` on blanked out by NUL; of the same length, lines kept."""
    return blanked(text, start, regions(text, start))


def blanked(text: str, start: int, dead: Iterable[Region]) -> str:
    """The text with these regions, in order, blanked out by NUL but for line ends."""
    parts = [text[:start]]
    add, find = parts.append, text.find
    kept = start
    for begin, end, _ in dead:
        add(text[kept:begin])
        add(_BLANK * (end - begin) if find("\n", begin, end) < 0 else blank(text, begin, end))
        kept = end
    if len(parts) == 1:
        return text
    add(text[kept:])
    return "".join(parts)


def blank(text: str, begin: int, end: int) -> str:
    """As many NUL as a stretch of text has characters, with its line ends."""
    if text.find("\n", begin, end) < 0:
        return _BLANK * (end - begin)
    return "\n".join([_BLANK * len(line) for line in text[begin:end].split("\n")])


def line_start(text: str, at: int, start: int) -> int:
    """Where the line of an offset begins; -1 when that is farther off than any list or quote mark."""
    reach = max(start, at - _PREFIX_CHARS)
    found = text.rfind("\n", reach, at) + 1
    return found or (start if reach == start else -1)


def escaped(text: str, at: int, start: int = 0) -> bool:
    """Whether a character is taken literally: an odd number of backslashes stands before it."""
    before = at
    while before > start and text[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 1


def is_html_tag(text: str, begin: int, end: int) -> bool:
    """Whether a stretch of text is one HTML tag."""
    return begin >= 0 and _HTML_TAG.fullmatch(text, begin, end) is not None


class _Reader:
    """Finds the ends of regions; remembers what was looked for in vain, so that nothing is looked for twice.

    Attributes:
        dead: the blocks found so far, in order.
        block: whether the last region is a block of its own rather than a part of a line.
    """

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._start = start
        self._missing: dict[str, int] = {}  # mark → up to where it was looked for
        self.dead: list[tuple[int, int]] = []
        self.block = False
        self._lists = Lists(text, start, self.dead)

    def end(self, begin: int, mark: str) -> int:
        """Where the region that may begin here ends; -1 when none does."""
        text = self._text
        self.block = False
        if text[begin - 1 : begin] == "\\" and escaped(text, begin, self._start):
            return -1
        first = mark[0]
        if first == "%":
            return self._comment_end(begin)
        if first == "$":
            return self._math_end(begin, mark)
        if first == "<":
            return self._html_end(begin, mark)
        if len(mark) >= 3 and (end := self._fence_end(begin, mark)) >= 0:
            return end
        return self._span_end(begin, mark) if first == "`" else -1

    def indented(self) -> Iterator[int]:
        """The beginnings of lines that may be indented code."""
        text, start = self._text, self._start
        if "    " not in text and "\t" not in text:
            return
        if _FIRST_INDENTED.match(text, start):
            yield start
        for found in _INDENTED.finditer(text, start):
            at = found.start()
            if text[at - 1] == "\n" or _ENDED.fullmatch(text, max(start, text.rfind("\n", start, at) + 1), at):
                yield at + 1

    def code_end(self, line: int) -> int:
        """The end of the indented code that may begin on this line (CommonMark 4.4); the line itself for none."""
        text = self._text
        self.block = True
        quotes, indent, _ = _lead(text, line)
        least = self._lists.column(line, quotes, indent) + _TAB
        end = line
        for at, stop, marks, width in _lines(text, line):
            if at == stop:
                continue
            if marks != quotes or width < least:
                break
            end = stop
        return end

    def _place(self, begin: int) -> tuple[int, int] | None:
        """Where a block may begin: the quote marks and the column of the list item around it. None where none may."""
        text, start = self._text, self._start
        place: tuple[int, int] | None = (0, 0)
        if begin != start and text[begin - 1] != "\n":
            line = line_start(text, begin, start)
            place = self._lists.place(line) if line >= 0 and _BEFORE_BLOCK.fullmatch(text, line, begin) else None
        self.block = place is not None
        return place

    def _block_end(self, after: int, place: tuple[int, int], closes: Callable[[int, int, int], bool]) -> int:
        """The end of a block: of the first line below that closes it, else of what it stands in.

        Args:
            after: the end of its first line.
            place: the quote marks and the column of the list item around it.
            closes: whether a line does, by where its text begins and ends, and how far it is indented in its item.
        """
        text = self._text
        quotes, column = place
        end, apart = after, False
        for at, stop, marks, width in _lines(text, after + 1):
            inside = marks >= quotes and (width >= column or at == stop)
            # Lines go on without the marks of what they stand in, until a blank line or another block (read from
            # Obsidian's cache, cyanheads/obsidian-mcp-server #140).
            if not inside and (apart or at == stop or _BREAK.match(text, at, stop)):
                return end
            if inside and closes(at, stop, width - column):
                return stop
            end, apart = stop, at == stop
        return end

    def _fence_end(self, begin: int, mark: str) -> int:
        """The end of fenced code (CommonMark 4.5), also of one never closed; -1 when no fence stands here."""
        text = self._text
        after = begin + len(mark)
        stop = text.find("\n", after)
        if mark[0] == "`" and text.find("`", after, stop if stop >= 0 else len(text)) >= 0:
            return -1
        place = self._place(begin)
        if place is None:
            return -1
        if stop < 0:
            return len(text)
        if place == (0, 0):
            close = re.compile(rf"\n {{0,3}}{mark[0]}{{{len(mark)},}}[ \t]*\r?(?=\n|\Z)")
            found = close.search(text, stop)
            return found.end() if found else len(text)
        close = re.compile(rf"{mark[0]}{{{len(mark)},}}[ \t]*\r?")
        return self._block_end(
            stop, place, lambda at, end, indent: indent < _TAB and close.fullmatch(text, at, end) is not None
        )

    def _span_end(self, begin: int, mark: str) -> int:
        """The end of an inline code span: a run of as many backticks in the same paragraph."""
        text, missing = self._text, self._missing
        after = begin + len(mark)
        if after <= missing.get(mark, -1):  # looked for before, up to that end of a paragraph
            return -1
        stop = missing.get("", -1)  # the end of the paragraph, found before
        if after > stop:
            line = line_start(text, begin, self._start)
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

    def _comment_end(self, begin: int) -> int:
        text = self._text
        end = text.find("%%", begin + 2)
        if end >= 0:
            return end + 2
        # Obsidian hides everything below a comment that is never closed, when its mark has its line to itself.
        line = text.rfind("\n", 0, begin) + 1
        stop = text.find("\n", begin)
        alone = not text[line:begin].strip() and not text[begin + 2 : stop if stop >= 0 else len(text)].strip()
        return len(text) if alone else -1

    def _math_end(self, begin: int, mark: str) -> int:
        text, missing = self._text, self._missing
        after = begin + len(mark)
        if mark == "$":
            if text[after : after + 1] in ("", " ", "\t") or after <= missing.get("$", -1):
                return -1
            at = after
            while (found := _MATH_END.search(text, at)) is not None and found[0] == "$":
                if not escaped(text, found.start(), after):
                    return found.end()
                at = found.end()
            missing["$"] = found.start() if found else len(text)  # where it may end depends on no beginning
            return -1
        close = text.find("$$", after) if missing.get("$$", 0) < after else -1
        stop = text.find("\n", after)
        if (close < 0 or 0 <= stop < close) and (place := self._place(begin)) is not None:
            return self._block_end(
                stop if stop >= 0 else len(text),
                place,
                lambda at, end, _: _MATH_BLOCK_END.fullmatch(text, at, end) is not None,
            )
        if close < 0:
            missing["$$"] = len(text)
            return -1
        return -1 if _BLANK_LINE.search(text, after, close) else close + 2

    def _html_end(self, begin: int, mark: str) -> int:
        text = self._text
        block = _HTML_BLOCK.match(text, begin)
        tag = None if block else _HTML_TAG.match(text, begin)
        if (block or (tag and self._stands_alone(begin, tag.end()))) and (place := self._place(begin)) is not None:
            kind = block.lastgroup if block else None
            stop = text.find("\n", begin)
            stop = stop if stop >= 0 else len(text)
            if kind is None:
                return self._html_run_end(stop, place)
            close = _HTML_ENDS[kind]
            if close.search(text, begin + len(block[0] if block else ""), stop):
                return stop
            if place == (0, 0) and kind != "declaration":  # the marks before a line cannot be what closes it
                last = close.search(text, stop)
                stop = text.find("\n", last.end()) if last else -1
                return stop if stop >= 0 else len(text)
            return self._block_end(stop, place, lambda at, end, _: close.search(text, at, end) is not None)
        if mark == "<!--":
            after = begin + 4
            end = text.find("--", after)
            if end < 0 or text[end + 2 : end + 3] != ">" or text.startswith((">", "->"), after):
                return -1
            return -1 if _BLANK_LINE.search(text, after, end) else end + 3
        tag = tag or _HTML_TAG.match(text, begin)
        return tag.end() if tag and _TELLING.search(text, begin, tag.end()) else -1

    def _html_run_end(self, stop: int, place: tuple[int, int]) -> int:
        """The end of an HTML block that goes on to a blank line."""
        text = self._text
        if place == (0, 0):
            found = _BLANK_LINE.search(text, stop)
            return found.start() if found else len(text)
        return self._block_end(stop, place, lambda at, end, _: at == end)

    def _stands_alone(self, begin: int, end: int) -> bool:
        """Whether a tag is the whole line, and no paragraph goes on there."""
        text = self._text
        stop = text.find("\n", end)
        if text[end : stop if stop >= 0 else len(text)].strip():
            return False
        line = text.rfind("\n", self._start, begin) + 1 or self._start
        return bool(text[line:begin].strip(" \t>")) or self._lists.apart(line)


def _lead(text: str, line: int, stop: int | None = None) -> tuple[int, int, int]:
    """Of a line: its quote marks, the width of its indent after them, and where its text begins."""
    found = _LEAD.match(text, line, len(text) if stop is None else stop)
    assert found is not None  # noqa: S101 - it fits every line: each of its parts may be empty
    if not found[1]:
        return 0, _width(found[2]), found.end()
    before = found.start(2) - line
    return found[1].count(">"), _width(found[2], before) - before, found.end()


def _lines(text: str, at: int) -> Iterator[tuple[int, int, int, int]]:
    """The lines from an offset on: where text begins and ends (the same when blank), quote marks, indent."""
    while at <= len(text):
        stop = text.find("\n", at)
        stop = stop if stop >= 0 else len(text)
        quotes, indent, words = _lead(text, at, stop)
        yield (words if text[words:stop].strip() else stop), stop, quotes, indent
        at = stop + 1


def _width(blanks: str, column: int = 0) -> int:
    """The column after some blanks, tabs counted to their stops."""
    if "\t" not in blanks:
        return column + len(blanks)
    for blank_ in blanks:
        column += _TAB - column % _TAB if blank_ == "\t" else 1
    return column


class Lists:
    """Knows which list item a line stands in: reads the lines from top to bottom, each once, only as far as asked."""

    def __init__(self, text: str, start: int, dead: list[tuple[int, int]]) -> None:
        self._text = text
        self._at = start
        self._dead = dead
        self._passed = 0
        # Open items, outermost first: the quote marks around each, and the column where its text begins.
        self._open: list[tuple[int, int]] = []
        self._apart = True  # no paragraph goes on

    def column(self, line: int, quotes: int, indent: int) -> int:
        """The column of the list item that a line stands in, 0 outside; a huge one when it goes on a paragraph."""
        self._read_to(line)
        if not self._apart:
            return len(self._text)
        return max((column for marks, column in self._open if marks == quotes and column <= indent), default=0)

    def apart(self, line: int) -> bool:
        """Whether no paragraph goes on to a line."""
        self._read_to(line)
        return self._apart

    def nested(self, line: int) -> bool:
        """Whether a line outside quotes belongs to a list item by its indent."""
        self._read_to(line)
        _, indent, _ = _lead(self._text, line)
        return any(not marks and column <= indent for marks, column in self._open)

    def place(self, line: int) -> tuple[int, int] | None:
        """The quote marks and the column of the list item around the block that begins on this line.

        None when the line is indented too far to begin one.
        """
        self._read_to(line)
        stop = self._text.find("\n", line)
        stop = stop if stop >= 0 else len(self._text)
        deep = self._read(line, stop)
        self._at = stop + 1
        if deep:
            return None
        quotes, _, _ = _lead(self._text, line, stop)
        return quotes, self._base(quotes)

    def _base(self, quotes: int) -> int:
        return self._open[-1][1] if self._open and self._open[-1][0] == quotes else 0

    def _read_to(self, line: int) -> None:
        text, dead = self._text, self._dead
        while True:
            while self._passed < len(dead) and dead[self._passed][0] < self._at:
                end = dead[self._passed][1]
                if end >= self._at - 1:
                    stop = text.find("\n", end)
                    self._at = stop + 1 if stop >= 0 else len(text)
                    self._apart = True
                self._passed += 1
            if self._at >= line:
                return
            stop = text.find("\n", self._at)
            stop = stop if stop >= 0 else len(text)
            self._read(self._at, stop)
            self._at = stop + 1

    def _read(self, line: int, stop: int) -> bool:
        """Read one line; whether it is indented so far that it begins no block."""
        text = self._text
        quotes, indent, at = _lead(text, line, stop)
        blank_line = not text[at:stop].strip()
        marker = None if blank_line else _MARKER.match(text, at, stop)
        if marker and _RULE.fullmatch(text, at, stop):
            marker = None
        rule = _RULE.fullmatch(text, at, stop)
        if rule and self._apart and text[at] == "=":  # it underlines nothing
            rule = None
        breaks = marker or _BREAK.match(text, at, stop) or rule
        if blank_line or breaks or self._apart or quotes > (self._open[-1][0] if self._open else 0):
            while self._open and self._open[-1][0] > quotes:
                self._open.pop()
        if blank_line:
            self._apart = True
            return False
        if breaks or self._apart:
            while self._open and self._open[-1][0] == quotes and indent < self._open[-1][1]:
                self._open.pop()
        deep = indent - self._base(quotes) >= _TAB
        if deep:
            return True
        while marker is not None:
            after = indent + len(marker[0]) - len(marker[1])
            gap = _width(marker[1], after) - after
            indent = after + (gap if 1 <= gap <= _TAB else 1)
            self._open.append((quotes, indent))
            at = marker.end()
            marker = None if _RULE.fullmatch(text, at, stop) else _MARKER.match(text, at, stop)
        self._apart = _LEAF.match(text, at, stop) is not None or (rule or _RULE.fullmatch(text, at, stop)) is not None
        return False
