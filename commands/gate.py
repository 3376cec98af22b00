"""The gate of an answer: each piece is judged before it is shown, so that nothing in it leads where it should not.

What is shown is Markdown that some renderer will read, so the gate thinks of the text it has shown, not of the text
that came in: taking a piece out must not make a link, a fence or an address of what is left. Code is shown as it is
only where every renderer agrees that it is code; elsewhere its content is judged like any other text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

from context.names import base_of, fold
from context.snapshot import Snapshot

# Longer than any real link, address or code span; what stays open beyond it is text. In characters.
_LINK_CHARS = 500
_URL_CHARS = 2000
_CODE_CHARS = 2000
_SCHEMES = ("http", "https", "ftp", "file", "obsidian", "javascript", "data", "vbscript")
# Where something may begin that has to be judged before it is shown.
_SPECIAL = re.compile(rf"!?\[|\]\(|<|`+|~{{3,}}|\b(?:{'|'.join(_SCHEMES)})(?=:)|\bwww(?=\.)", re.IGNORECASE)
# The end of a text that could still become one of them: an opening mark, or a word that a scheme begins with.
_MAYBE_MARK = re.compile(r"(?:!|\]|~{1,2})$")
_LAST_WORD = re.compile(r"\b[a-z]{1,10}$", re.IGNORECASE)
_FIRST_WORD = re.compile(r"[a-z]{1,10}", re.IGNORECASE)
_SCHEME_WORD = re.compile(rf"\b(?:{'|'.join(_SCHEMES)})(?=:)|\bwww(?=\.)", re.IGNORECASE)
_WORD_CHARS = max(map(len, _SCHEMES)) + 1
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_MAYBE_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_URL_END = re.compile(r"[\s<>\"`|\[\]\\]")
# What may stand on a line before a fence inside a quote or a list.
_BEFORE_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+[ \t>]*)*")
# After these, `<` opens no tag.
_NO_TAG = frozenset(" \t\n0123456789=-")
# Two characters that, put side by side by what was taken out between them, would make a mark of their own.
_NEVER_JOINED = frozenset({("[", "["), ("!", "["), ("]", "("), ("`", "`"), ("~", "~")})
_NO_MARKS = str.maketrans("", "", "[]<>`\\")
_NO_BRACKETS = str.maketrans("", "", "[]")
# Code blocks and inline code that a plugin runs inside the vault.
_RUNS = ("dataviewjs", "js-engine", "templater", "meta-bind-js")
_RUNS_INLINE = ("dv.", "$=", "=")


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


class _Verdict(NamedTuple):
    """What becomes of the text at hand: what is shown, how many characters it took, and what is judged once more."""

    shown: str
    used: int
    again: str = ""


class Gate:
    """Lets tokens pass once they can be judged; what it gave out, put together (`given`), is the answer.

    Held back while open: `[[`, `![`, `[`, `<`, a code span, and an address. A wikilink is kept when it resolves,
    repaired when it plainly means a note (an alias, a path written as a heading path, a wrong ending), else becomes its
    text. Images, HTML, Templater and dataviewjs blocks are defused; an address passes only when a source holds it.
    """

    def __init__(self, snapshot: Snapshot, sources: Iterable[str] = ()) -> None:
        """Make a gate.

        Args:
            snapshot: the vault that links are looked up in.
            sources: the texts whose addresses may be repeated.
        """
        self.links = Links()
        self.given = ""
        self._snapshot = snapshot
        self._sources = tuple(sources)
        self._held = ""
        self._line = ""  # of what was shown, since the last line end
        self._fence = ""
        self._loose = False  # a run of backticks without its partner was shown in this paragraph

    def feed(self, text: str) -> str:
        """Take a token; returns what can be shown now. Carriage returns go: some renderers take them for line ends."""
        self._held += text.replace("\r", "")
        return self._drain(final=False)

    def finish(self) -> str:
        """The rest, when the model has ended."""
        return self._drain(final=True)

    def _drain(self, *, final: bool) -> str:
        began = len(self.given)
        while self._held:
            verdict = self._fenced(final=final) if self._fence else self._judged(final=final)
            if verdict is None:
                break
            self._show(verdict.shown)
            if self._begins_address(verdict.again):
                self._show(" ")
            self._held = verdict.again + self._held[verdict.used :]
        return self.given[began:]

    def _show(self, text: str) -> None:
        if not text:
            return
        definition = text[0] == ":" and self.given.endswith("]") and not self.given.endswith("]]")
        if definition or (self.given[-1:], text[0]) in _NEVER_JOINED or self._joins_address(text):
            text = " " + text
        self.given += text
        *whole, last = (self._line + text).split("\n")
        if any(not line.strip() for line in whole):
            self._loose = False
        self._line = last

    def _begins_address(self, again: str) -> bool:
        """Whether a text to be judged once more would go on with the beginning of an address."""
        word, more = _LAST_WORD.search(self.given[-_WORD_CHARS:]), _FIRST_WORD.match(again)
        return word is not None and more is not None and _is_beginning(word[0] + more[0])

    def _joins_address(self, text: str) -> bool:
        """Whether an address would begin in what was shown and go on in this text."""
        shown = self.given[-_WORD_CHARS:]
        found = _SCHEME_WORD.search(shown + text[:_WORD_CHARS])
        return found is not None and found.start() < len(shown) <= found.end()

    def _fenced(self, *, final: bool) -> _Verdict | None:
        """Inside a code fence whole lines pass as they are, but for Templater's opening mark."""
        end = self._held.find("\n") + 1
        if not end and not final:
            return None
        line = self._held[: end or len(self._held)]
        if re.fullmatch(rf" {{0,3}}{self._fence[0]}{{{len(self._fence)},}}[ \t]*\n?", line):
            self._fence = ""
        return _Verdict(line.replace("<%", "< %"), len(line))

    def _judged(self, *, final: bool) -> _Verdict | None:
        """What becomes of the beginning of the held text; None when more of it must be seen."""
        held = self._held
        # A word that goes on ("0https") is judged with its beginning in sight, which may have been shown already.
        before = self.given[-1:]
        found = _SPECIAL.search(before + held, len(before))
        if found is None:
            safe = len(held) if final else _safe(held, before)
            return _Verdict(held[:safe], safe) if safe else None
        at = found.start() - len(before)
        if at:
            return _Verdict(held[:at], at)
        mark = found[0]
        if mark == "](":
            return _Verdict("] (", 2)
        if mark[0] in "`~":
            verdict = self._code(held, final=final)
        elif mark == "<":
            verdict = self._angle(held, final=final)
        elif mark.endswith("["):
            verdict = self._bracket(held, final=final)
        else:
            verdict = self._address(held, final=final)
        return verdict

    def _code(self, held: str, *, final: bool) -> _Verdict | None:
        run = len(held) - len(held.lstrip(held[0]))
        mark = held[:run]
        if run == len(held) and not final:
            return None
        if run >= 3 and not self._line:
            end = held.find("\n") + 1
            if not end and not final:
                return None
            line = held[: end or len(held)]
            if mark[0] == "~" or "`" not in line[run:]:
                return self._fence_opened(line, mark)
        elif run >= 3 and _BEFORE_FENCE.fullmatch(self._line):
            # A fence inside a quote or a list ends with it, where renderers differ: it becomes plain marks.
            self._loose = True
            return _Verdict("\\" + mark, run)
        return _Verdict(mark, run) if mark[0] == "~" else self._span(held, mark, final=final)

    def _fence_opened(self, line: str, mark: str) -> _Verdict:
        self._fence = mark
        language = line[len(mark) :].strip()
        if fold(language).lstrip("{").startswith(_RUNS):
            self.links.removed.append("code that would run in the vault")
            line = f"{mark}text\n" if line.endswith("\n") else f"{mark}text"
            return _Verdict(line, len(self._held) if "\n" not in self._held else self._held.find("\n") + 1)
        return _Verdict(line.replace("<%", "< %"), len(line))

    def _span(self, held: str, mark: str, *, final: bool) -> _Verdict | None:
        """An inline code span: closed by a run of the same length on the same line, with nothing doubtful before it."""
        run = len(mark)
        escaped = (len(self.given) - len(self.given.rstrip("\\"))) % 2
        stop = held.find("\n", run)
        stop = len(held) if stop < 0 else stop
        close = _closing(held, mark, stop)
        if not escaped and not self._loose:
            open_ended = stop == len(held) and not final and len(held) < _CODE_CHARS
            if open_ended and (close < 0 or close + run == len(held)):
                return None
            inside = held[run:close]
            if close >= 0 and "|" not in inside:  # a bar may end the cell of a table, and the code with it
                if fold(inside.strip()).startswith(_RUNS_INLINE):
                    self.links.removed.append("code that would run in the vault")
                    return _Verdict("", close + run, inside.strip().lstrip("$="))
                return _Verdict(held[: close + run].replace("<%", "< %"), close + run)
        self._loose = True
        return _Verdict(mark, run)

    def _angle(self, held: str, *, final: bool) -> _Verdict | None:
        if len(held) == 1 and not final:
            return None
        after = held[1:2]
        if not after or after in _NO_TAG:
            return _Verdict("<", 1)
        if _SCHEME.match(held, 1):
            close = held.find(">")
            blank = next((i for i, c in enumerate(held) if c.isspace()), -1)
            if close < 0 and blank < 0 and not final and len(held) < _URL_CHARS:
                return None
            if close > 0 and (blank < 0 or close < blank):
                url = held[1:close]
                return _Verdict(f"<{url}>" if self._allowed(url) else "(address removed)", close + 1)
        elif not final and len(held) < 40 and _MAYBE_SCHEME.fullmatch(held, 1):
            return None  # could still become a scheme
        if after.isalpha() or after in "/!?%":
            self.links.removed.append("HTML")
        return _Verdict("&lt;", 1)

    def _bracket(self, held: str, *, final: bool) -> _Verdict | None:
        at = int(held.startswith("!"))
        if not held.startswith("[[", at):
            return None if len(held) == at + 1 and not final else self._markdown(held, at, final=final)
        end = held.find("]]", at)
        line = held.find("\n", at)
        if end < 0 or 0 <= line < end:
            if line < 0 and not final and len(held) < _LINK_CHARS:
                return None
            self.links.plain += 1
            return _Verdict("", at + 2)  # never closed on its line: the brackets go, the words stay
        inside = held[at + 2 : end].strip("[")
        if "[[" in inside:  # the inner pair is the link; the outer brackets go
            self.links.plain += 1
            return _Verdict("", at + 2)
        return self._wikilink(inside, end + 2)

    def _markdown(self, held: str, at: int, *, final: bool) -> _Verdict | None:
        """`[text](target)`, `![alt](target)`, `[text][ref]`, `[ref]: target`."""
        close = held.find("]", at)
        line = held.find("\n", at)
        if close < 0 or 0 <= line < close:
            if line < 0 and not final and len(held) < _LINK_CHARS:
                return None
            return _Verdict("" if at else "[", at + 1)
        inner = held[at + 1 : close]
        if close + 1 == len(held) and not final:
            return None
        after = held[close + 1 : close + 2]
        if after == "(":
            end = held.find(")", close)
            line = held.find("\n", close)
            if end < 0 or 0 <= line < end:
                if line < 0 and not final and len(held) < _URL_CHARS:
                    return None
                return _Verdict("", close + 1, "" if at else inner.translate(_NO_BRACKETS))
            return self._target(inner, held[close + 2 : end], end + 1, image=bool(at))
        if at or (after == "[" and not held.startswith("[[", close + 1)):
            end = held.find("]", close + 1) if after == "[" else close
            if end < 0 and not final and len(held) < _LINK_CHARS:
                return None
            self.links.removed.append("image" if at else "reference link")
            return _Verdict("", max(end, close) + 1, inner.translate(_NO_BRACKETS))
        if after == ":" and not inner.startswith("^"):  # the definition of a reference
            return _Verdict("", close + 1, inner.translate(_NO_BRACKETS))
        return _Verdict("[", 1)  # a checkbox, a footnote, plain brackets

    def _target(self, text: str, target: str, used: int, *, image: bool) -> _Verdict:
        target = target.strip("<> ") if target.startswith("<") else target.strip().strip("<>").split(" ")[0]
        if image:
            self.links.removed.append("image")
            return _Verdict("", used, text.translate(_NO_BRACKETS))
        if _SCHEME.match(target) or target.startswith(("//", "\\", "www.")):
            label = text.translate(_NO_MARKS)
            return _Verdict(f"[{label}]({target})" if self._allowed(target) else label, used)
        path, _, sub = unquote(target).partition("#")
        return self._wikilink(f"{path}{'#' + sub if sub else ''}|{text}", used)

    def _address(self, held: str, *, final: bool) -> _Verdict | None:
        end = _URL_END.search(held)
        if end is None and not final and len(held) < _URL_CHARS:
            return None
        stop = end.start() if end else len(held)
        url = held[:stop].rstrip(".,;:!?)}'*_")
        scheme = fold(held.split(":", 1)[0])
        if scheme in {"data", "file", "javascript"} and "://" not in url and len(url) <= len(scheme) + 1:
            return _Verdict(held[:stop], stop)  # "data:" or "file:" as a word of a sentence
        return _Verdict(url if self._allowed(url) else "(address removed)", max(len(url), 1))

    def _allowed(self, url: str) -> bool:
        """Whether an address is a web address that stands in one of the sources, whole."""
        good = (
            fold(url).startswith(("http://", "https://", "www."))
            and not _URL_END.search(url)
            and any(_holds(source, url) for source in self._sources)
        )
        if not good:
            self.links.removed.append("address")
        return good

    def _wikilink(self, inside: str, used: int) -> _Verdict:
        target, _, alias = inside.partition("|")
        name, _, sub = target.partition("#")
        path = self._find(name.strip())
        written = self._written(path) if path else ""
        if path is None or not name.strip() or written.translate(_NO_MARKS) != written:
            self.links.plain += 1
            return _Verdict("", used, (alias or name or sub).translate(_NO_BRACKETS).strip())
        heading = self._heading(path, sub.strip())
        link = f"{written}#{heading}" if heading else written
        label = alias.strip() or (name.strip() if self._snapshot.names.resolve(name.strip(), "") is None else "")
        label = label.translate(_NO_MARKS)
        shown = f"[[{link}|{label}]]" if label and label != written else f"[[{link}]]"
        if shown == f"[[{inside}]]":
            self.links.kept += 1
        else:
            self.links.repaired += 1
        return _Verdict(shown, used)

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


def _closing(held: str, mark: str, stop: int) -> int:
    """Where the run of backticks that closes a span begins; -1 when there is none before `stop`."""
    at = len(mark)
    while (found := held.find(mark, at, stop)) >= 0:
        end = found + len(mark)
        while end < stop and held[end] == "`":
            end += 1
        if end - found == len(mark):
            return found
        at = end
    return -1


def _safe(held: str, before: str) -> int:
    """How much of a text without a special mark can be shown: not the end that could still become one."""
    mark = _MAYBE_MARK.search(held)
    if mark:
        return mark.start()
    word = _LAST_WORD.search(before + held, len(before))
    return word.start() - len(before) if word and _is_beginning(word[0]) else len(held)


def _is_beginning(word: str) -> bool:
    """Whether an address may begin with these letters."""
    return any(scheme.startswith(fold(word)) for scheme in (*_SCHEMES, "www"))


def _linkable(heading: str) -> str:
    """A heading as a link names it, "" when a renderer could read more than a name in it."""
    clean = "".join(" " if c in "[]|#^" else c for c in heading).strip()
    return clean if "<" not in clean and clean.count("`") % 2 == 0 else ""


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
