"""Tells whether a note says that it is private: by a property, a tag, or a mark that is no tag to Obsidian."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from context.names import fold
from context.regions import Region, blank, escaped, is_html_tag, live

# What people write for "no"; anything else in `private` counts as yes.
_NOT_PRIVATE = frozenset({"", "no", "false", "off", "0"})
# A # that follows no letter and no digit, and what may be the name of a tag.
_MARK = re.compile(r"#(?<![^\W_]#)([^\s\0-\x1f!\"#$%&'()*+,.:;<=>?@\[\\\]^`{|}~\u2000-\u206f\u2e00-\u2e7f]{1,200})")
# How far around a mark a link or an address is looked for, in characters.
_REACH = 1000
_OPENING = "([{<\"'"
# What an address does not hold, and what begins the title of a Markdown link.
_NO_ADDRESS = re.compile(r"[\s\"<>\[\]{}|\\^`\u2000-\u206f]")
_BRACKET = re.compile(r"[()]")
_TITLE = re.compile(r"\s[\"'(]")
# HTML whose text is code.
_CODE = re.compile(r"<(?:pre|script|style|textarea)\b", re.IGNORECASE)


def says_private(properties: Mapping[str, Any], tags: Iterable[str], private_tags: frozenset[str]) -> bool:
    """Whether the property `private` or a tag makes a note private; a nested tag counts as its parents."""
    for name, value in properties.items():
        if (
            len(name) == 7
            and name.lower() == "private"
            and value not in (False, None, 0)
            and fold(str(value).strip()) not in _NOT_PRIVATE
        ):
            return True
    wanted = _folded(private_tags)
    return any(_is_wanted(fold(tag), wanted) for tag in tags)


def is_marked(text: str, start: int, dead: Iterable[Region], private_tags: frozenset[str]) -> bool:
    """Whether a text holds a private tag where a person may mean one, though Obsidian sees none: `(#private)`.

    It does not count in code, within a word, an address or the target of a link, and behind a backslash.

    Args:
        text: of the note, its properties included.
        start: where it is to be looked at from.
        dead: where it is no Markdown.
        private_tags: tags that make a note private.
    """
    if "#" not in text or not private_tags:
        return False
    wanted = _folded(private_tags)
    places = [found.start() for found in _MARK.finditer(text, start) if _is_wanted(_name(found[1]), wanted)]
    if not places:
        return False
    shown = _without_code(text, start, dead)
    return any(_is_meant(shown, at, start) for at in places)


@lru_cache(maxsize=8)
def _folded(tags: frozenset[str]) -> frozenset[str]:
    return frozenset(map(fold, tags))


def _is_wanted(tag: str, wanted: frozenset[str]) -> bool:
    return any(parent in wanted for parent in _parents(tag)) if "/" in tag else tag in wanted


def _parents(tag: str) -> Iterator[str]:
    """A nested tag and all above it: a/b/c, a/b, a."""
    while tag:
        yield tag
        tag = tag.rpartition("/")[0]


def _name(raw: str) -> str:
    """The folded name of a tag, without punctuation of any script behind it: `private」` is private."""
    name = fold(raw)
    if not name.isascii():
        ends = (at for at, char in enumerate(name) if char not in "_-/" and unicodedata.category(char)[0] in "PSZC")
        name = name[: next(ends, len(name))]
    return name.rstrip("/_")


def _without_code(text: str, start: int, dead: Iterable[Region]) -> str:
    """The text with its code blanked out, also that in comments; of the same length."""
    parts = [text[:start]]
    kept = start
    for begin, end, mark in dead:
        inner = text[begin:end]
        if mark[0] in "`~\t" or (mark == "<" and _CODE.match(inner)):
            inner = blank(text, begin, end)
        elif mark in ("%%", "<!--"):
            inner = mark + live(inner[len(mark) :])
        parts += (text[kept:begin], inner)
        kept = end
    return "".join((*parts, text[kept:]))


def _is_meant(shown: str, at: int, start: int) -> bool:
    """Whether a mark stands where words are shown."""
    if shown[at] != "#" or escaped(shown, at, start):
        return False
    line = max(start, at - _REACH)
    line = max(line, shown.rfind("\n", line, at) + 1)
    before, after = shown[line:at], shown[at : at + _REACH].partition("\n")[0]
    if before.endswith("_") and before.rstrip("_")[-1:].isalnum():
        return False
    return not (_in_wikilink(before, after) or _in_address(before, after) or _in_html(shown, at, start))


def _in_wikilink(before: str, after: str) -> bool:
    """Whether a mark belongs to the target of a wikilink, not to its words: `[[Note#private]]`, `[[#private]]`."""
    target = before[before.rfind("[[") :] if "[[" in before else "|"
    return "|" not in target and "]]" not in target and "]]" in after


def _in_address(before: str, after: str) -> bool:
    """Whether a mark belongs to an address: that of a Markdown link, or one that stands in the text."""
    begin = before.rfind("](")
    if begin >= 0 and not before.endswith("]", 0, begin) and ")" in after:
        target = before[begin + 2 :]
        if _is_open(target) and not _TITLE.search(target):
            return True
    begin = max(before.rfind("://"), before.rfind("www."))
    address = before[begin:]
    return begin >= 0 and address[-1] not in _OPENING and _is_open(address) and not _NO_ADDRESS.search(address)


def _is_open(address: str) -> bool:
    """Whether every bracket that is closed was opened, so that the address may go on."""
    depth = 0
    for bracket in _BRACKET.findall(address):
        depth += 1 if bracket == "(" else -1
        if depth < 0:
            return False
    return True


def _in_html(shown: str, at: int, start: int) -> bool:
    """Whether a mark belongs to a tag of HTML: `<a href="#private">`."""
    opened, close = shown.rfind("<", max(start, at - _REACH), at), shown.find(">", at, at + _REACH)
    return opened >= 0 and close >= 0 and is_html_tag(shown, opened, close + 1)
