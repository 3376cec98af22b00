"""Questions that a vault asks of itself: made of its own links, headings and sentences, each with what answers it."""

import hashlib
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from typing import TypeVar

from commands.survey import is_template
from context.lexicon import spoken
from context.names import base_of, fold
from context.note import Link, Note
from context.regions import live
from context.vault import NoteGoneError, Vault
from context.words import STOP_WORDS, asked, stem

# A question that says less is none, in telling words.
_LEAST, _LEAST_HEADING = 3, 2
# With fewer, a sentence that has lost its rarest word may be anybody's.
_LEAST_SENTENCE = 6
# What is longer speaks of more than one thing, in characters.
_MOST_CHARS = 300

# What stands before the first word of a line: marks of lists, quotes, callouts and tasks.
_MARKS = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t]|\[.\][ \t]|\[![^\]\n]*\][+-]?)*")
# A heading, or a row of a table.
_NO_PROSE = re.compile(r"#{1,6}(?:[ \t\r]|$)|\|")
_BETWEEN = re.compile(r"(?<=[.!?])[ \t]+|(?<=[。！？])")
_EMBED = re.compile(r"!\[\[[^\[\]\n]*\]\]|!\[[^\[\]\n]*\]\([^()\n]*\)")
_WIKILINK = re.compile(r"\[\[([^\[\]\n|#]*)[^\[\]\n|]*(?:\|([^\[\]\n]*))?\]\]")
_MARKDOWN_LINK = re.compile(r"\[([^\[\]\n]*)\]\((?:<[^<>\n]*>|[^()\n]*(?:\([^()\n]*\)[^()\n]*)*)\)")
_NO_WORDS = re.compile(r"<[^<>\n]*>|\w+://\S+|[*`~=|\\]|[ \t]\^[A-Za-z0-9-]+[ \t]*$", re.MULTILINE)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what a context for it should hold. Its texts are the person's own, and not shown.

    Attributes:
        task: what it is made of, a name in `TASKS`.
        source: the note it is made of.
        gold: the note that should be found.
        text: what is asked.
        quote: the words of that note that should be there, verbatim; "" when the note as a whole is meant.
        hidden: the note that may not be found, since it holds the question itself; "" for none.
    """

    task: str
    source: str
    gold: str
    text: str = field(repr=False)
    quote: str = field(default="", repr=False)
    hidden: str = ""


def questions(vault: Vault, task: str, most: int, seed: int = 0) -> list[Question]:
    """Questions of one task, the same ones for the same vault and seed.

    Notes take turns: none asks a second time before every other has asked once.

    Args:
        vault: the notes.
        task: a name in `TASKS`.
        most: how many.
        seed: which of all that could be asked.

    Raises:
        KeyError: there is no such task.
    """
    make, drawn = TASKS[task], _Drawn(vault, seed)
    found: dict[str, Question] = {}
    for question in _in_turns(make(drawn, page) for page in drawn.pages()):
        found.setdefault(question.text, question)
        if len(found) >= most:
            break
    return list(found.values())


def telling(text: str) -> list[str]:
    """The words of a text that say what it is about, folded, no numbers; without blanks between them, by twos."""
    terms = asked(text).terms
    return [term for term in terms if len(term) > 1 and term not in STOP_WORDS and not term.isdigit()]


@dataclass(frozen=True)
class _Page:
    """A note and its text.

    Attributes:
        note: the note.
        text: its text.
        live: the same, of the same length, without what is no Markdown.
    """

    note: Note
    text: str
    live: str

    @cached_property
    def lines(self) -> list[tuple[int, int]]:
        """Where the lines stand that are no headings and no rows, without the marks before them.

        A paragraph is one line, as people write in the app: there a line break is shown as one.
        """
        found = []
        at = self.note.body
        while at < len(self.live):
            after = self.live.find("\n", at) + 1 or len(self.live)
            marks = _MARKS.match(self.live, at, after)
            start = marks.end() if marks else at
            close = start + len(self.live[start:after].rstrip())
            if close > start and not _NO_PROSE.match(self.live, start, close):
                found.append((start, close))
            at = after
        return found

    def line(self, at: int) -> tuple[int, int] | None:
        """The line of an offset."""
        place = bisect_right(self.lines, at, key=itemgetter(0)) - 1
        return self.lines[place] if place >= 0 and at < self.lines[place][1] else None

    def sentences(self, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Where the sentences between the beginnings of two lines stand that are prose, and not long."""
        first, last = (bisect_left(self.lines, (at,)) for at in (begin, len(self.text) if end is None else end))
        for line in self.lines[first:last]:
            for start, close in _split(self.live, *line):
                raw = self.live[start:close]
                if 0 < len(raw) <= _MOST_CHARS and "\0" not in raw and "://" not in raw:
                    yield start, close


class _Drawn:
    """What chance and the seed give of a vault."""

    def __init__(self, vault: Vault, seed: int) -> None:
        self.vault = vault
        self._seed = seed

    def pages(self) -> Iterator[_Page]:
        """The notes of the vault, but for its templates."""
        snapshot = self.vault.snapshot
        for path in self.order((one for one, note in snapshot.notes.items() if note.is_text), str):
            page = None if is_template(snapshot, path) else self.page(path)
            if page is not None:
                yield page

    def page(self, path: str) -> _Page | None:
        """One note; None when it went away."""
        try:
            note, text = self.vault.text(path)
        except NoteGoneError:
            return None
        return _Page(note, text, live(text, note.body))

    def order(self, things: Iterable[_T], name: Callable[[_T], str]) -> list[_T]:
        """Things in the order of chance: one that comes or goes leaves the others in theirs."""
        return sorted(things, key=lambda one: hashlib.sha256(f"{self._seed}\0{name(one)}".encode()).digest())

    @cached_property
    def headings(self) -> Mapping[str, int]:
        """How often each heading stands in the vault, folded."""
        notes = self.vault.snapshot.notes.values()
        return Counter(fold(heading.text) for note in notes for heading in note.headings)


def _in_turns(sources: Iterable[Iterator[_T]]) -> Iterator[_T]:
    """The first of each source, then the second of each, and so on; a source is not looked at before its turn."""
    going: list[Iterator[_T]] = []
    for source in sources:
        for one in source:
            yield one
            going.append(source)
            break
    while going:
        left = []
        for source in going:
            for one in source:
                yield one
                left.append(source)
                break
        going = left


# --- what questions are made of


def _of_links(drawn: _Drawn, page: _Page) -> Iterator[Question]:
    """What is said around a link, without the link and every name of the note it leads to; that note is meant."""
    snapshot, note = drawn.vault.snapshot, page.note
    meant: dict[str, list[Link]] = {}
    for link in note.links:
        linked = snapshot.notes.get(snapshot.names.resolve(link.target, note.path) or "")
        if linked is not None and linked.path != note.path and linked.is_text and linked.length > linked.body:
            meant.setdefault(linked.path, []).append(link)
    places = [
        (link, gold)
        for gold, links in meant.items()
        for link in links
        if link.kind in ("wikilink", "markdown") and page.live[link.start] != "\0"
    ]
    told: set[str] = set()
    for link, gold in drawn.order(places, lambda one: f"{note.path}\0{one[0].start}"):
        if gold in told or is_template(snapshot, gold):
            continue
        text = _around(drawn.vault, page, link, meant[gold], _names(snapshot.notes[gold], meant[gold]))
        if text:
            told.add(gold)
            yield Question("links", note.path, gold, text, hidden=note.path)


def _around(vault: Vault, page: _Page, link: Link, same: Sequence[Link], names: Iterable[str]) -> str:
    """The sentence around a link, else its line, without these links and names; "" when that says little."""
    line = page.line(link.start)
    if line is None:
        return ""
    # The name of a link may look like the end of a sentence.
    parts = [part for part in _split(page.live, *line) if part[1] > link.start and part[0] < link.end]
    for begin, end in dict.fromkeys(((parts[0][0], parts[-1][1]), line)):
        if end - begin > _MOST_CHARS:
            continue
        raw, at = [], begin
        for one in sorted((one for one in same if begin <= one.start < end), key=lambda one: one.start):
            raw.append(page.text[at : one.start])
            at = one.end
        raw.append(page.text[at:end])
        text = without(plain(" ".join(raw)), names)
        if len(telling(text)) >= _LEAST and not _speaks(text, names) and _stands_once(vault, raw):
            return text
    return ""


def _names(note: Note, links: Iterable[Link]) -> list[str]:
    """All that a note is called, the longest first."""
    called = (name for link in links for name in (base_of(link.target), link.alias))
    return sorted(
        {name for name in (note.title, *note.aliases, *called) if spoken(name)}, key=lambda one: (-len(one), one)
    )


def without(text: str, names: Iterable[str]) -> str:
    """A text without these names, in any case."""
    for name in names:
        text = re.sub(_whole(unicodedata.normalize("NFC", name)), " ", text, flags=re.IGNORECASE)
    return " ".join(text.split())


def _whole(words: str) -> str:
    """A pattern of words that are not a part of others; scripts without blanks have no such borders."""
    begin, end = (r"(?<!\w)" if words[:1].isascii() else ""), (r"(?!\w)" if words[-1:].isascii() else "")
    return begin + re.escape(words) + end


def _speaks(text: str, names: Iterable[str]) -> bool:
    """Whether a text still speaks one of the names in some way."""
    said = f" {' '.join(spoken(text))} "
    return any(f" {' '.join(spoken(name))} " in said for name in names)


def _of_headings(drawn: _Drawn, page: _Page) -> Iterator[Question]:
    """A heading that stands once in the vault; a sentence below it that repeats none of its words is meant."""
    headings = page.note.headings
    ends = {one.start: two.start for one, two in pairwise(headings)}
    for heading in drawn.order(headings, lambda one: f"{page.note.path}\0{one.text}"):
        text = plain(heading.text)
        words = telling(text)
        if len(words) < _LEAST_HEADING or drawn.headings[fold(heading.text)] != 1:
            continue
        begin = page.text.find("\n", heading.start) + 1
        stems = {stem(word) for word in words}
        for first, last in page.sentences(begin, ends.get(heading.start)) if begin else ():
            said = telling(plain(page.text[first:last]))
            if len(said) >= _LEAST and stems.isdisjoint(map(stem, said)):
                path = page.note.path
                yield Question("headings", path, path, text, page.text[first:last])
                break


def _of_sentences(drawn: _Drawn, page: _Page) -> Iterator[Question]:
    """A sentence without its rarest word; it is meant itself, and nothing else says the rest of it."""
    vault, path = drawn.vault, page.note.path
    for first, last in drawn.order(page.sentences(), lambda one: f"{path}\0{page.text[one[0] : one[1]]}"):
        quote = page.text[first:last]
        text = plain(quote)
        words = telling(text)
        if len(words) < _LEAST_SENTENCE:
            continue
        rarest = min(words, key=lambda word: (vault.frequency(word), word)).replace(" ", "")
        rest = without(text, [rarest])
        if rarest in (word.replace(" ", "") for word in telling(rest)):
            continue
        if _stands_once(vault, re.split(_whole(rarest), quote, flags=re.IGNORECASE)):
            yield Question("sentences", path, path, rest, quote)


def _stands_once(vault: Vault, parts: Iterable[str]) -> bool:
    """Whether some part of a text stands nowhere else: what a template wrote into many notes is nobody's."""
    return any(len(numbers) == 1 for numbers in vault.holding([part for part in parts if telling(part)], 2))


TASKS: Mapping[str, Callable[[_Drawn, _Page], Iterator[Question]]] = {
    "links": _of_links,
    "headings": _of_headings,
    "sentences": _of_sentences,
}


# --- texts


def _split(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Where the sentences of a line stand."""
    cuts = [(one.start(), one.end()) for one in _BETWEEN.finditer(text, start, end)]
    return list(zip([start, *(after for _, after in cuts)], [*(before for before, _ in cuts), end], strict=True))


def plain(text: str) -> str:
    """The words of Markdown on one line, without marks: what a link shows stands for it."""
    shown = _WIKILINK.sub(lambda one: one[2] or base_of(one[1].strip()), _EMBED.sub(" ", text))
    bare = _NO_WORDS.sub(" ", _MARKDOWN_LINK.sub(r"\1", shown))
    return unicodedata.normalize("NFC", " ".join(bare.split()))
