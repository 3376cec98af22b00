"""Entities: the notes a text may be linked to, where it mentions them, and which of the mentions deserve a link."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from commands.survey import is_template
from context.frontmatter import read
from context.index import Hit
from context.kinds import DAILY, MAP, PROJECT, SYSTEM, lies_in, tagged_as
from context.names import Names, base_of, fold
from context.note import Note
from context.regions import live
from context.scan import scan, wikilinks
from context.snapshot import Snapshot
from context.vault import NoteGoneError, Vault
from context.words import stem, words

# The share of the notes with a name that must link it for us to do so. On three vaults this is right in at least 95 of
# 100 links (docs/benchmarks.md, "Linking"); lower finds more and is wrong more often.
THRESHOLD = 0.92
# What a name is worth before any other note has shown what people do with it, as if this many notes had.
_SHOWN = 2
# The worth of such a name beside a keyword of its kind.
_TOLD = 0.97
# A name in another case or in the plural, and one that goes on ("Furnace Creek"), is rarely meant.
_OTHER_FORM = 0.7
_GOES_ON = 0.8
# Characters of a line that are looked at to see whether it is a row of a table.
_ROW = 2000

# Characters on each side of a name among which a keyword of its kind counts: about a sentence.
_NEAR = 120

# What is looked at to see what people do with a name: found pieces, notes that link it, notes read again.
_MOST_HITS = 400
_MOST_LINKING = 400
_MOST_READ = 80

# A longer name is a sentence; the bound keeps matching linear in the text whatever the names are.
_NAME_WORDS = 32
# No link can be written to a note, nor with a name, that holds these.
_UNLINKABLE = re.compile(r"[\[\]#^|\\\n\r\0]")
_NUMBER = re.compile(r"\d+[\s._-]*")

# Scripts whose words stand without blanks between them: those that `context.chunk.spaced` takes apart.
_SCRIPTS = {
    "thai": "\u0e00-\u0e7f",
    "hiragana": "\u3040-\u309f",
    "katakana": "\u30a0-\u30ff",
    "han": "\u3005\u3400-\u9fff\uf900-\ufaff",
    "hangul": "\uac00-\ud7af",
}
_UNSPACED = "".join(_SCRIPTS.values())
_SCRIPT = re.compile("|".join(f"(?P<{name}>[{characters}])" for name, characters in _SCRIPTS.items()))
_BLANKS = " \t\u00a0\u3000"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+|\0+|[^{_BLANKS}]")
# A letter and its marks apart, as macOS writes the names of files.
_APART = re.compile(r"[^\W_][\u0300-\u036f\u3099\u309a]{1,4}|[\u1100-\u115f][\u1160-\u11ff]{1,2}")

# Beside these a name is part of something else: a tag, a path, an address, a link, a longer word ...
_NOT_AFTER = frozenset("#^@\\/\0[!<{&+$-.")
_NOT_BEFORE = frozenset("#^@\\/\0[(<{&+$-")
# ... and beside these when a word follows at once: a_b, a:b, a.b, a'b.
_INSIDE = frozenset("_:.'’")

_BUT_LINE_ENDS = re.compile(r"[^\n]")
_LINK = r"(?<=\[)\[[^\n]*?(?:\]\]|$)"  # of the vault, also one that is not closed yet
_ADDRESS = r"(?<=:)//\S+"
# Begins with the characters it looks for, like the patterns of `context.scan`.
_NO_PROSE = re.compile(
    rf"""[\[\]<{{:]                                                (?:
      {_LINK} | {_ADDRESS} | (?<=\])\([^()\n]*\)
    | (?<=\[)(?:[^\[\]\n]|\n(?![ \t\r]*\n)|\[[^\[\]\n]*\](?:\([^()\n]*\))?){{0,1000}}\]
      (?:\((?:[^()\n]|\([^()\n]*\)){{0,2000}}\)|\[[^\[\]\n]*\])?    # a Markdown link, a box, a footnote
    | (?<=<)%[\s\S]*?(?:%>|\Z)    # Templater
    | (?<=<)[A-Za-z/!?][^<>]{{0,1000}}>    # a tag of HTML
    | (?<=\{{)\{{[^\n]*?(?:\}}\}}|$)    # the place of a template's value
    )""",
    re.VERBOSE | re.MULTILINE,
)
# Lines that are no prose: headings, blocks of HTML, both in quotes and lists too; the names of inline fields.
_BEFORE = r"^[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t>]+){0,8}"
_NO_PROSE_LINES = re.compile(
    rf"{_BEFORE}<(?:[!?]|/?[A-Za-z][A-Za-z0-9-]*(?=[\s/>]|$))[\s\S]*?(?=\n[ \t>\r]*\n|\Z)"
    rf"|{_BEFORE}#{{1,6}}[ \t][^\n]*|^[^\n:\[\]\0]*::",
    re.MULTILINE,
)
# Elements in which Markdown means nothing.
_RAW = re.compile(r"<(?:a|button|code|kbd|pre|samp|script|style|textarea)\b", re.IGNORECASE)
_UNDERLINE = re.compile(r"\n {0,3}(?:=+|-+)[ \t\r]*(?=\n|\Z)")
_LINE = re.compile(r"^((?: {0,3}> ?)*)([^\n]*)", re.MULTILINE)
_ITEM = re.compile(r"(?:(?:[-*+]|\d{1,9}[.)])(?=[ \r]|\Z)|>)( *)")  # also a quote in it
_RULE = re.compile(r" {0,3}([-*])[ \t\r]*(?:\1[ \t\r]*){2,}")


# Folders, without the number before their names ("02-Projects" is "projects"), and tags that are usual for a kind.
# Where the vault's own kinds say nothing, these tell what a name is worth; nothing else is made of them.
_USUAL = (
    (PROJECT, "projects", "project"),
    (SYSTEM, "infrastructure hardware systems homelab", "hardware infrastructure"),
    ("person", "people persons contacts", "person people contact"),
    ("knowledge", "knowledge research concepts resources reference", "knowledge research concept"),
)
# A day and a map are no entities.
_NO_ENTITIES = frozenset({DAILY, MAP})
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Entity:
    """A note that may be linked to.

    Attributes:
        path: of the note.
        kind: the name of one of the vault's kinds, or "other"; maps of content are "other" unless their type says more.
        names: its title, then its aliases.
        tags: of the note.
    """

    path: str
    kind: str
    names: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mention:
    """A name of an entity in a text, at a place where a link could stand.

    Attributes:
        start, end: where it stands, in characters.
        path: the note with that name; "" when several have it.
        name: the name, as the note has it.
        kind: of the entity; "" when several notes have the name.
        exact: whether the text has it just so, capitals included.
        candidates: the notes with that name, when they are several.
    """

    start: int
    end: int
    path: str
    name: str
    kind: str
    exact: bool
    candidates: tuple[str, ...] = ()


class Entities:
    """What may be linked to in one snapshot of the vault. Worth keeping as long as the snapshot is.

    Not among them: periodic notes, templates, canvases, notes with flags, and private notes unless they may be named.

    Attributes:
        snapshot: the vault.
        private: whether private notes are among them.
        by_path: the entities.
    """

    def __init__(self, snapshot: Snapshot, *, private: bool = False) -> None:
        """Gather them.

        Args:
            snapshot: the vault.
            private: whether private notes may be named to whom the links are for.
        """
        self.snapshot = snapshot
        self.private = private
        kind_of = _kinds(snapshot)
        self.by_path: Mapping[str, Entity] = {
            path: Entity(path, kind_of(note), _names(note), note.tags)
            for path, note in snapshot.notes.items()
            if path.endswith(".md")
            and not note.flags
            and (private or not note.private)
            and not _UNLINKABLE.search(path)
            and not snapshot.settings.period(path)
            and not is_template(snapshot, path)
        }
        # Names by their first word. What may follow it is laid out as a tree when a text first holds that word.
        self._starts: dict[str, list[tuple[Entity, str]]] = {}
        self._trees: dict[str, dict[str, Any]] = {}
        self._links: dict[str, frozenset[tuple[str, str]]] = {}
        for entity in self.by_path.values():
            for name in entity.names:
                first = _WORD.search(_composed(name)[0])
                if first:
                    self._starts.setdefault(fold(first[0]), []).append((entity, name))

    def mentions(self, text: str, start: int | None = None) -> list[Mention]:
        """The mentions in a Markdown text, in its order; where names overlap, the first counts, then the longest.

        A name counts as a whole word in any case, in the plural with s, and before 's. It never counts in properties,
        headings, code, links, addresses, formulas, comments, HTML, templates, tags, names of fields and block ids.

        Args:
            text: the text.
            start: where its body begins, in characters; None: behind its properties.
        """
        body = read(text).body if start is None else start
        prose, place = _composed(_prose(text, body)[body:])
        words = list(_words(prose))
        found: list[Mention] = []
        at = 0
        while at < len(words):
            last, bearers = self._longest(prose, words, at)
            if bearers:
                begin, end = words[at][0], words[last][1]
                written = " ".join(prose[begin:end].split())
                found.append(_mention(body + place(begin), body + place(end), written, bearers))
            at = last + 1
        return found

    def _longest(
        self, text: str, words: Sequence[tuple[int, int, str]], at: int
    ) -> tuple[int, Sequence[tuple[Entity, str]]]:
        """The longest name that begins with a word: the place of its last word, and who bears it, if anyone."""
        last, bearers = at, ()
        node = None
        for place in range(at, min(at + _NAME_WORDS, len(words))):
            word = words[place][2]
            step = self._tree if node is None else node.get
            word = word.lstrip(" ") if node is None else word
            plural = (step(word[:-1]) or {}).get("") if len(word) > 3 and word.endswith("s") else None
            node = step(word)
            ends = (node or {}).get("") or plural
            if ends and _whole(text, words[at][0], words[place][1]):
                last, bearers = place, ends
            if node is None:
                break
        return last, bearers

    def _tree(self, first: str) -> dict[str, Any] | None:
        """What may follow the first word of a name, as a tree of words; "" leads to who bears the name ending there."""
        tree = self._trees.get(first)
        if tree is None and first in self._starts:
            tree = {}
            for entity, name in self._starts[first]:
                words = [word for _, _, word in _words(_composed(name)[0])]
                if len(words) <= _NAME_WORDS and any(map(str.isalnum, name)):
                    node = tree
                    for word in words[1:]:
                        node = node.setdefault(word, {})
                    node.setdefault("", []).append((entity, name))
            self._trees[first] = tree
        return tree

    def links(self, path: str) -> frozenset[tuple[str, str]]:
        """What a note links to, each with the words it shows, folded."""
        shown = self._links.get(path)
        if shown is None:
            names, note = self.snapshot.names, self.snapshot.notes[path]
            pairs = ((names.resolve(link.target, path), link.alias or base_of(link.target)) for link in note.links)
            shown = self._links[path] = frozenset((target, fold(words)) for target, words in pairs if target)
        return shown


def _kinds(snapshot: Snapshot) -> Callable[[Note], str]:
    """A function that tells the kind of a note: by its type, else by a tag, else by the folders it lies in."""
    kinds = [kind for kind in snapshot.kinds.all if kind.name not in _NO_ENTITIES]
    folders, tags = ({word: row[0] for row in reversed(_USUAL) for word in row[column].split()} for column in (1, 2))

    def kind_of(note: Note) -> str:
        said = snapshot.kinds.typed(note)
        if said and said not in _NO_ENTITIES:
            return said
        found = (
            *(kind.name for kind in kinds if tagged_as(note, kind.tags)),
            *(tags.get(fold(tag).partition("/")[0]) for tag in note.tags),
            *(kind.name for kind in kinds if lies_in(note, kind.folder)),
            *(folders.get(_NUMBER.sub("", part, count=1)) for part in reversed(fold(note.path).split("/")[:-1])),
        )
        name = next(filter(None, found), None)
        return name if name and note.path not in snapshot.maps else OTHER

    return kind_of


def _names(note: Note) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys((note.title, *note.aliases)) if not _UNLINKABLE.search(name))


def _mention(start: int, end: int, written: str, bearers: Sequence[tuple[Entity, str]]) -> Mention:
    exact = next((pair for pair in bearers if _composed(pair[1])[0] == written), None)
    entity, name = exact or bearers[0]
    paths = tuple(sorted({one.path for one, _ in bearers}))
    if len(paths) > 1:
        return Mention(start, end, "", name, "", exact is not None, paths)
    return Mention(start, end, entity.path, name, entity.kind, exact is not None)


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    """The words and signs of a text: from, to, and itself folded, led by a blank where one stands before it."""
    for found in _WORD.finditer(text):
        begin = found.start()
        yield begin, found.end(), (" " if begin and text[begin - 1] in _BLANKS else "") + fold(found[0])


def _composed(text: str) -> tuple[str, Callable[[int], int]]:
    """A text with letters and their marks put together, and a function that gives the places of it as it was."""
    if text.isascii():
        return text, int
    parts: list[str] = []
    ends: list[int] = []
    shifts = [0]
    at = length = 0
    for found in _APART.finditer(text):
        whole = unicodedata.normalize("NFC", found[0])
        parts += (text[at : found.start()], whole)
        length += found.start() - at + len(whole)
        at = found.end()
        ends.append(length)
        shifts.append(at - length)
    return "".join((*parts, text[at:])), lambda place: place + shifts[bisect_right(ends, place)]


def _whole(text: str, start: int, end: int) -> bool:
    """Whether a name stands as a whole word, and is no part of something else."""
    length = end - start
    if start:
        before = text[start - 1]
        if before in _NOT_AFTER or _joined(text[start], before, length):
            return False
        if before in _INSIDE and start > 1 and _lettered(text[start - 2]):
            return False
    if end < len(text):
        after, beyond = text[end], text[end + 1 : end + 2]
        if after in _NOT_BEFORE or _joined(text[end - 1], after, length):
            return False
        if after in _INSIDE and beyond and (_lettered(beyond) or beyond == ":"):
            return after in "'’" and beyond in "sS" and not _lettered(text[end + 2 : end + 3] or " ")
    return True


def _lettered(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _joined(inner: str, outer: str, length: int) -> bool:
    """Whether the character at an edge of a name and the one beside it belong to one word; `length` is the name's."""
    if not _lettered(outer):
        return inner == outer  # C++ in C+++
    one, other = _SCRIPT.match(inner), _SCRIPT.match(outer)
    if one is None or other is None:
        return other is None
    # Where words stand without blanks, only its length tells a word from a part of one: 京都 in 東京都.
    same = one.lastgroup == other.lastgroup
    return length == 1 or (same and (length == 2 or one.lastgroup == "katakana"))


def _prose(text: str, start: int) -> str:
    """The text, of the same length, with all that is no prose from `start` on blanked out by NUL; lines stay."""
    shown = live(text, start)
    spans = sorted((*_underlined(text, shown, start), *_indented(shown, start), *_raw(text, start)))
    for pattern in (_NO_PROSE_LINES, _NO_PROSE):
        shown = pattern.sub(lambda found: _BUT_LINE_ENDS.sub("\0", found[0]), shown)
    parts: list[str] = []
    at = 0
    for begin, end in spans:
        if end > at:
            parts += (shown[at:begin], _BUT_LINE_ENDS.sub("\0", shown[max(begin, at) : end]))
            at = end
    return "".join((*parts, shown[at:]))


def _underlined(text: str, shown: str, start: int) -> Iterator[tuple[int, int]]:
    """Headings underlined with = or -."""
    for heading in scan(text, start).headings if _UNDERLINE.search(shown, start) else ():
        end = None if text[heading.start : heading.start + 4].lstrip(" ").startswith("#") else heading.start
        line = _UNDERLINE.search(text, heading.start) if end is not None else None
        if line:
            yield heading.start, line.end()


def _indented(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Lines that stand four columns and more behind where their list item, or else the line, begins: mostly code."""
    margins, quotes = [0], 0
    for found in _LINE.finditer(text, start):
        line = found[2].expandtabs(4)
        at = len(line) - len(line.lstrip(" "))
        if not line.strip():
            continue
        if found[1].count(">") != quotes:
            margins, quotes = [0], found[1].count(">")
        while at < margins[-1]:
            margins.pop()
        code = at >= margins[-1] + 4
        while not code and (item := _ITEM.match(line, at)) and not _RULE.fullmatch(line, at):
            at = item.end()
            gap = len(item[1])
            code = gap > 4
            margins.append(at if 0 < gap <= 4 else at - gap + 1)
        if code:
            yield found.span()


def _raw(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Elements of HTML in which Markdown means nothing, to the last tag of their line."""
    at = start
    while found := _RAW.search(text, at):
        at = text.find("\n", found.end())
        at = len(text) if at < 0 else at
        yield found.start(), max(found.end(), text.rfind(">", found.end(), at) + 1)


Evidence = Callable[[Mention, str], tuple[int, Iterable[str]]]
"""What people do with the name of a mention: how many notes link its note by it, and the notes that have it as mere
words, found one by one as they are asked for. The second argument is a note that is not counted."""


def evidence(vault: Vault, entities: Entities) -> Evidence:
    """What the notes of a vault do with names. Reads notes; private ones only when the entities hold private notes."""
    snapshot = entities.snapshot

    def shown(mention: Mention, source: str) -> tuple[int, Iterator[str]]:
        linking = [path for path in snapshot.graph.back.get(mention.path, ()) if path != source]
        name = fold(mention.name)
        linked = sum(
            (mention.path, name) in entities.links(path) for path in linking[:_MOST_LINKING] if path in snapshot.notes
        )
        return linked, _unlinked(vault, entities, mention, {source, mention.path, *linking})

    return shown


def _unlinked(vault: Vault, entities: Entities, mention: Mention, without: set[str]) -> Iterator[str]:
    hits: dict[str, list[Hit]] = {}
    for hit in vault.places(vault.holding([mention.name], _MOST_HITS, stemmed=True)[0]):
        note = entities.snapshot.notes.get(hit.path)
        if hit.path not in without and note and (entities.private or not note.private):
            hits.setdefault(hit.path, []).append(hit)
    paths = list(hits)
    yield from paths[_MOST_READ:]  # a name found so often is a word; which of the notes mean it is not worth reading
    for path in paths[:_MOST_READ]:
        if _has_words(vault, entities, mention, hits[path]):
            yield path


def _has_words(vault: Vault, entities: Entities, mention: Mention, hits: Iterable[Hit]) -> bool:
    """Whether found pieces of a note mention it by that name: full text knows no code from words."""
    for hit in hits:
        try:
            note, text = vault.text(hit.path)
        except NoteGoneError:
            return False
        if note.digest != entities.snapshot.notes[hit.path].digest:
            return True  # where its pieces stand now is not known
        there = entities.mentions(text[hit.start : hit.end], start=0)
        if any(one.path == mention.path and fold(one.name) == fold(mention.name) for one in there):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A link worth writing.

    Attributes:
        start, end: the words it takes the place of, in characters.
        text: the link as it is to be written; it shows the same words.
        path: the note it leads to.
        name: the name that was found.
        kind: of the entity.
        score: 0..1, the estimated share of writers who would link it.
        why: for people.
    """

    start: int
    end: int
    text: str
    path: str
    name: str
    kind: str
    score: float
    why: str


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What to do about the mentions of a text.

    Attributes:
        links: worth writing, in the order of the text, one per entity.
        unclear: names written just as several notes have them, once each: who wrote them must say which is meant.
    """

    links: tuple[Suggestion, ...]
    unclear: tuple[Mention, ...]


def suggest(
    text: str, entities: Entities, evidence: Evidence, *, source: str = "", threshold: float = THRESHOLD
) -> Suggestions:
    """Suggest links for a text: only to notes that exist, only where people who know the vault would set one.

    One per entity, none to an entity that the text links already, none to a note whose name others share, none to the
    note itself. Whether a name is a word like any other is learned from the vault.

    Args:
        text: Markdown, such as a note or what a person typed.
        entities: what may be linked to.
        evidence: what other notes do with a name.
        source: the note the text stands in or will stand in; "" when there is none.
        threshold: 0..1, the score that a link must reach.
    """
    body = read(text).body
    names = entities.snapshot.names
    links = (*wikilinks(text, 0, body), *scan(text, body).links)
    done: set[str | None] = {names.resolve(link.target, source) for link in links} | {source}
    found: list[Suggestion] = []
    unclear: dict[str, Mention] = {}
    weighed: dict[tuple[str, str, bool, bool], tuple[float, str]] = {}
    for mention in entities.mentions(text):
        if mention.candidates:
            if mention.exact and done.isdisjoint(mention.candidates):
                unclear.setdefault(fold(mention.name), mention)
            continue
        target = _target(mention.path, names, source)
        if mention.path in done or not target:
            continue
        written = text[mention.start : mention.end]
        goes_on = _goes_on(text[mention.end : mention.end + 2])
        told = _beside(text, mention, entities.snapshot.kinds[mention.kind].keywords)
        how = (mention.path, written, goes_on, told)
        if how not in weighed:
            weighed[how] = _weigh(mention, written, evidence(mention, source), threshold, goes_on=goes_on, told=told)
        score, why = weighed[how]
        link = f"[[{target}]]" if target == written else f"[[{target}|{written}]]"
        if score < threshold or ("|" in link and _in_row(text, mention.start)):
            continue
        done.add(mention.path)
        found.append(Suggestion(mention.start, mention.end, link, mention.path, mention.name, mention.kind, score, why))
    return Suggestions(tuple(found), tuple(unclear.values()))


def linked(text: str, links: Iterable[Suggestion]) -> str:
    """The text with links written; nothing else of it changes, and it reads as before."""
    parts: list[str] = []
    at = 0
    for link in sorted(links, key=lambda link: link.start):
        parts += (text[at : link.start], link.text)
        at = link.end
    return "".join((*parts, text[at:]))


def _target(path: str, names: Names, source: str) -> str:
    """What to write so that a link leads to a note: its name, or its path when others share it; "" if nothing does."""
    name = base_of(path)
    short = (name,) if len(names.same_name(name)) == 1 else ()
    return next((one for one in (*short, path.removesuffix(".md"), path) if names.resolve(one, source) == path), "")


def _goes_on(after: str) -> bool:
    """Whether a name goes on behind what was found: with a capital or a number after one blank or hyphen."""
    return after[:1] in {" ", "-"} and (after[1:].isupper() or after[1:].isdigit())


def _in_row(text: str, at: int) -> bool:
    """Whether a place may lie in a row of a table, where the bar of a link would part two cells."""
    before, after = text[max(0, at - _ROW) : at], text[at : at + _ROW]
    return "|" in before[before.rfind("\n") + 1 :] + after.partition("\n")[0]


def _beside(text: str, mention: Mention, keywords: Sequence[str]) -> bool:
    """Whether one of some keywords stands near a mention, in the same line."""
    if not keywords:
        return False
    before = text[max(0, mention.start - _NEAR) : mention.start].rpartition("\n")[2]
    after = text[mention.end : mention.end + _NEAR].partition("\n")[0]
    there = {stem(word) for word in words(f"{before} {after}")}
    return any(wanted and wanted <= there for wanted in ({stem(word) for word in words(one)} for one in keywords))


def _weigh(
    mention: Mention, written: str, shown: tuple[int, Iterable[str]], threshold: float, *, goes_on: bool, told: bool
) -> tuple[float, str]:
    """The score of a mention, and why. Notes that leave the name unlinked are only counted as long as they matter."""
    linked, others = shown
    form = (1.0 if mention.exact else _OTHER_FORM) * (_GOES_ON if goes_on else 1.0)
    weight = form * (linked + _SHOWN * (_TOLD if told else _prior(mention, written)))
    bearable = int(weight / threshold - linked - _SHOWN) if threshold > 0 else _MOST_HITS
    unlinked = sum(1 for _ in islice(others, max(0, bearable + 1)))
    why = f"{linked} other notes link it by this name, {unlinked} have the name without a link"
    return weight / (linked + unlinked + _SHOWN), why


def _prior(mention: Mention, written: str) -> float:
    """What a name is worth that no other note has, by its form and by what it names."""
    if len(written.split()) > 1:
        return 0.75 if written.islower() else 0.95
    return 0.6 if mention.kind == OTHER else 0.9
