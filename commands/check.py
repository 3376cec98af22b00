"""Checks an answer while it streams: links resolve or become text, nothing leads out of the house, citations hold."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt

from context.assemble import Passage
from context.names import base_of, fold
from context.search import words
from context.vault import Snapshot

# Longer than any real link; what stays open beyond it is text.
_LINK_CHARS = 500
_URL_CHARS = 2000
# Where something may begin that has to be judged before it is shown.
_SCHEMES = ("http", "https", "ftp", "file", "obsidian", "javascript", "data", "vbscript")
_SPECIAL = re.compile(rf"!?\[|<|`+|~{{3,}}|\b(?:{'|'.join(_SCHEMES)})(?=:)|\bwww(?=\.)", re.IGNORECASE)
# The end of a text that could still become one of them: an opening mark, or a word that a scheme begins with.
_MAYBE_MARK = re.compile(r"(?:!|~{1,2})$")
_LAST_WORD = re.compile(r"\b[a-z]{1,10}$", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_URL_END = re.compile(r"[\s<>\"`|]")
_NUMBER = re.compile(r"\d+(?:[.,:-]\d+)*")
_WIKILINK = re.compile(r"\[\[([^\[\]\n|#]{1,300})(#[^\[\]\n|]{0,300})?(?:\|[^\[\]\n]{0,300})?\]\]")
# A sentence counts as supported when at least this share of its telling words stands in the passages it cites.
_SUPPORT = 0.5


@dataclass
class Links:
    """What became of the links of an answer."""

    kept: int = 0
    repaired: int = 0
    plain: int = 0
    removed: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Counts, and the kinds of what was removed (never the addresses themselves)."""
        return {"kept": self.kept, "repaired": self.repaired, "plain": self.plain, "removed": sorted(set(self.removed))}


class Gate:
    """Lets tokens pass once they can be judged; what it gave out, put together (`given`), is the answer.

    Held back while open: `[[`, `![`, `[`, `<`, a code span, and an address. A wikilink is kept when it resolves,
    repaired when it plainly means a note (an alias, a path written as a heading path, a wrong ending), else becomes its
    text. Images, HTML, Templater and dataviewjs blocks are defused; an address passes only when a source holds it.
    """

    def __init__(self, snapshot: Snapshot, sources: Iterable[str] = ()) -> None:
        self.links = Links()
        self.given = ""
        self._snapshot = snapshot
        self._sources = tuple(sources)
        self._held = ""
        self._fence = ""
        self._line_start = True

    def feed(self, text: str) -> str:
        """Take a token; returns what can be shown now."""
        self._held += text
        return self._give(final=False)

    def finish(self) -> str:
        """The rest, when the model has ended."""
        return self._give(final=True)

    def _give(self, *, final: bool) -> str:
        shown = self._drain(final=final)
        self.given += shown
        return shown

    def _drain(self, *, final: bool) -> str:
        out: list[str] = []
        while self._held:
            taken = self._fenced(final=final) if self._fence else self._open(final=final)
            if taken is None:
                break
            shown, used = taken
            out.append(shown)
            passed = self._held[:used]
            self._held = self._held[used:]
            if passed:
                blank = not passed.rsplit("\n", 1)[-1].strip(" \t>")
                self._line_start = blank and (self._line_start or "\n" in passed)
        return "".join(out)

    def _fenced(self, *, final: bool) -> tuple[str, int] | None:
        """Inside a code fence whole lines pass as they are, but for Templater's opening mark."""
        end = self._held.find("\n") + 1
        if not end and not final:
            return None
        line = self._held[: end or len(self._held)]
        bare = line.strip().lstrip("> \t")
        if bare.startswith(self._fence) and not bare.strip(self._fence[0]):
            self._fence = ""
        return line.replace("<%", "< %"), len(line)

    def _open(self, *, final: bool) -> tuple[str, int] | None:
        held = self._held
        found = _SPECIAL.search(held)
        if found is None:
            safe = len(held) if final else _safe(held)
            return (held[:safe], safe) if safe else None
        if found.start():
            return held[: found.start()], found.start()
        judge = self._judge(found[0])
        taken = judge(held, final)
        if taken is not None or not final:
            return taken
        return held[0], 1

    def _judge(self, mark: str) -> Callable[[str, bool], tuple[str, int] | None]:
        if mark[0] in "`~":
            return self._code
        if mark == "<":
            return self._angle
        if mark.endswith("["):
            return self._bracket
        return self._address

    def _code(self, held: str, final: bool) -> tuple[str, int] | None:
        run = len(held) - len(held.lstrip(held[0]))
        if run == len(held) and not final:
            return None
        mark = held[:run]
        if run >= 3 and self._line_start:
            end = held.find("\n") + 1
            if not end and not final:
                return None
            line = held[: end or len(held)]
            self._fence = mark
            language = line[run:].strip()
            if fold(language).startswith(("dataviewjs", "js-engine", "templater")):
                self.links.removed.append("code that would run in the vault")
                return line.replace(language, "text"), len(line)
            return line, len(line)
        if held[0] == "~":
            return mark, run
        close = held.find(mark, run)
        stop = held.find("\n\n", run)
        if close < 0 or (0 <= stop < close):
            if stop < 0 and not final and len(held) < _URL_CHARS:
                return None
            return mark, run
        end = close + run
        if fold(held[run:close].strip()).startswith(("dv.", "$=", "=")):  # inline queries run in the vault
            self.links.removed.append("code that would run in the vault")
            return held[run:close].strip().lstrip("$="), end
        return held[:end].replace("<%", "< %"), end

    def _angle(self, held: str, final: bool) -> tuple[str, int] | None:
        if len(held) == 1:
            return None
        if not (held[1].isalpha() or held[1] in "/!?%"):
            return "<", 1
        if _SCHEME.match(held, 1):
            close = held.find(">")
            blank = next((i for i, c in enumerate(held) if c.isspace()), -1)
            if close < 0 and blank < 0 and not final and len(held) < _URL_CHARS:
                return None
            if close > 0 and (blank < 0 or close < blank):
                url = held[1:close]
                return (f"<{url}>" if self._allowed(url) else "(address removed)"), close + 1
        elif not final and len(held) < 40 and held[1:].isalnum():
            return None  # could still become a scheme
        self.links.removed.append("HTML")
        return "&lt;", 1

    def _bracket(self, held: str, final: bool) -> tuple[str, int] | None:
        embed = held.startswith("!")
        at = int(embed)
        if held.startswith("[[", at):
            end = held.find("]]", at)
            line = held.find("\n", at)
            if end < 0 or 0 <= line < end:
                if line < 0 and not final and len(held) < _LINK_CHARS:
                    return None
                self.links.plain += 1
                return "", at + 2  # never closed on its line: the brackets go, the words stay
            inside = held[at + 2 : end].strip("[")
            return self._wikilink(inside), end + 2
        if len(held) == at + 1 and not final:
            return None
        return self._markdown(held, at, final=final)

    def _markdown(self, held: str, at: int, *, final: bool) -> tuple[str, int] | None:
        """`[text](target)`, `![alt](target)`, `[text][ref]`, `[ref]: target`."""
        close = held.find("]", at)
        line = held.find("\n", at)
        if close < 0 or 0 <= line < close:
            if line < 0 and not final and len(held) < _LINK_CHARS:
                return None
            return ("", at + 1) if at else ("[", 1)
        inner = held[at + 1 : close]
        if close + 1 == len(held) and not final:
            return None
        after = held[close + 1 : close + 2]
        if after == "(":
            end = held.find(")", close)
            if end < 0:
                if not final and len(held) < _URL_CHARS and "\n" not in held[close:]:
                    return None
                return ("" if at else inner), close + 1
            return self._target(inner, held[close + 2 : end], image=bool(at)), end + 1
        if at or (after == "[" and not held.startswith("[[", close + 1)):
            end = held.find("]", close + 1) if after == "[" else close
            if end < 0 and not final and len(held) < _LINK_CHARS:
                return None
            self.links.removed.append("image" if at else "reference link")
            return inner, (end if end >= 0 else close) + 1
        if after == ":" and self._line_start and not inner.startswith("^"):
            return f"{inner}", close + 1
        return "[", 1  # a checkbox, a footnote, plain brackets

    def _target(self, text: str, target: str, *, image: bool) -> str:
        target = target.strip().strip("<>").split(" ")[0] if not target.startswith("<") else target.strip("<> ")
        if image:
            self.links.removed.append("image")
            return text
        if _SCHEME.match(target) or target.startswith(("//", "www.")):
            if self._allowed(target):
                return f"[{text}]({target})"
            return text
        path, _, sub = unquote(target).partition("#")
        return self._wikilink(f"{path}{'#' + sub if sub else ''}|{text}")

    def _address(self, held: str, final: bool) -> tuple[str, int] | None:
        end = _URL_END.search(held)
        if end is None and not final and len(held) < _URL_CHARS:
            return None
        stop = end.start() if end else len(held)
        url = held[:stop].rstrip(".,;:!?)]}'*_")
        scheme = fold(url.split(":", 1)[0])
        if (
            not url.startswith("www")
            and "://" not in url
            and scheme in {"data", "file", "javascript"}
            and len(url) <= len(scheme) + 1
        ):
            return held[:stop], stop  # "data:" or "file:" as a word of a sentence
        return (url if self._allowed(url) else "(address removed)"), len(url)

    def _allowed(self, url: str) -> bool:
        """Whether an address is a web address that stands in one of the sources, whole."""
        good = fold(url).startswith(("http://", "https://", "www.")) and any(
            _holds(source, url) for source in self._sources
        )
        if not good:
            self.links.removed.append("address")
        return good

    def _wikilink(self, inside: str) -> str:
        target, _, alias = inside.partition("|")
        name, _, sub = target.partition("#")
        path = self._find(name.strip())
        if path is None or not name.strip():
            self.links.plain += 1
            return (alias or name or sub).strip()
        written = self._written(path)
        heading = self._heading(path, sub.strip())
        link = f"{written}#{heading}" if heading else written
        label = alias.strip() or (name.strip() if self._snapshot.names.resolve(name.strip(), "") is None else "")
        repaired = f"[[{link}|{label}]]" if label and label != written else f"[[{link}]]"
        if repaired == f"[[{inside}]]":
            self.links.kept += 1
        else:
            self.links.repaired += 1
        return repaired

    def _find(self, name: str) -> str | None:
        """The file a name means: by Obsidian's rule, else by an alias that one note alone carries."""
        found = self._snapshot.names.resolve(name, "") if name else None
        if found is None and " > " in name:
            found = self._snapshot.names.resolve(name.split(" > ", maxsplit=1)[0], "")
        carriers = self._snapshot.aliases.get(fold(name), ())
        return found if found is not None else carriers[0] if len(carriers) == 1 else None

    def _written(self, path: str) -> str:
        name = base_of(path)
        return name if len(self._snapshot.names.same_name(name)) == 1 else path.removesuffix(".md")

    def _heading(self, path: str, sub: str) -> str:
        """The part after `#` as Obsidian follows it: an existing heading or block, else nothing."""
        note = self._snapshot.notes.get(path)
        if note is None or not sub:
            return ""
        if sub.startswith("^"):
            return sub if any(block.id == sub[1:] for block in note.blocks) else ""
        last = sub.replace(" > ", "#").rsplit("#", 1)[-1].strip()
        wanted = _bare(last)
        return next((_linkable(heading.text) for heading in note.headings if _bare(heading.text) == wanted), "")


def _safe(held: str) -> int:
    """How much of a text without a special mark can be shown: not the end that could still become one."""
    mark = _MAYBE_MARK.search(held)
    if mark:
        return mark.start()
    word = _LAST_WORD.search(held)
    if word and any(scheme.startswith(fold(word[0])) for scheme in (*_SCHEMES, "www")):
        return word.start()
    return len(held)


def _linkable(heading: str) -> str:
    return "".join(" " if c in "[]|#^" else c for c in heading).strip()


def _bare(heading: str) -> str:
    """A heading as links are compared: letters and digits only, folded."""
    return "".join(c for c in fold(heading) if c.isalnum())


def _holds(source: str, url: str) -> bool:
    at = source.find(url)
    while at >= 0:
        after = source[at + len(url) : at + len(url) + 1]
        if not after or not (after.isalnum() or after in "/?&=%#-_~+@"):
            return True
        at = source.find(url, at + 1)
    return False


def citations(
    answer: str, passages: Sequence[Passage], snapshot: Snapshot
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Match each cited sentence to the passages it cites.

    Returns:
        The citations, [{"link", "path", "in_context", "supported"}], and the sentences that their notes do not support,
        [{"start", "end", "paths", "why"}] with character offsets in the answer.
    """
    texts: dict[str, str] = {}
    for passage in passages:
        texts[passage.path] = f"{texts.get(passage.path, base_of(passage.path))}\n{passage.heading}\n{passage.text}"
    known = {path: (set(words(text)) | _stems(words(text)), set(_NUMBER.findall(text))) for path, text in texts.items()}
    cited: list[dict[str, Any]] = []
    unsupported: list[dict[str, Any]] = []
    for start, end in sentences(answer):
        sentence = answer[start:end]
        found = [(m[0], snapshot.names.resolve(m[1], "")) for m in _WIKILINK.finditer(sentence)]
        if not found:
            continue
        paths = [path for _, path in found if path in texts]
        why = "" if paths else "the cited note is not among the passages"
        if paths and not _supported(_WIKILINK.sub(" ", sentence), [known[path] for path in paths if path is not None]):
            why = "its words or numbers do not stand in the cited passages"
        cited += [
            {"link": link, "path": path or "", "in_context": path in texts, "supported": path in texts and not why}
            for link, path in found
        ]
        if why:
            unsupported.append({"start": start, "end": end, "paths": [path for _, path in found if path], "why": why})
    return cited, unsupported


def _stems(terms: Iterable[str]) -> set[str]:
    return {term[:5] for term in terms if len(term) > 5}


def _supported(sentence: str, known: Sequence[tuple[set[str], set[str]]]) -> bool:
    terms = words(sentence)
    if not terms:
        return True
    numbers = set(_NUMBER.findall(sentence))
    have = set().union(*(one[0] for one in known))
    if numbers and not numbers <= set().union(*(one[1] for one in known)) | have:
        return False
    fitting = sum(term in have or (len(term) > 5 and term[:5] in have) for term in terms)
    return fitting / len(terms) >= _SUPPORT


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a Markdown answer stand, in characters; headings and code hold none, a line ends one."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans: list[tuple[int, int]] = []
    tokens = MarkdownIt("commonmark").parse(text.replace("\r", "\n").replace("\v", " ").replace("\f", " "))
    for before, token in pairwise(tokens):
        if token.type == "inline" and token.map and before.type != "heading_open":
            for number in range(*token.map):
                spans += _split(text[starts[number] : starts[number + 1]], starts[number])
    return spans


def _split(line: str, offset: int) -> list[tuple[int, int]]:
    """Sentences of a line: after `.`, `!`, `?` and a blank; a link right after the mark belongs to what it follows."""
    spans: list[tuple[int, int]] = []
    start = 0
    for mark in re.finditer(r"[.!?。！？](?:\s+(?=\S)|$)(?!\s*\(?\[\[)", line):
        spans.append((offset + start, offset + mark.start() + 1))
        start = mark.end()
    rest = line[start:].rstrip()
    if rest.strip():
        spans.append((offset + start, offset + start + len(rest)))
    return spans
