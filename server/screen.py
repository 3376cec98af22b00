"""What people see: the answer on standard output; progress, sources and notices on standard error."""

import os
import select
import sys
import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import zip_longest
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from commands.events import FINAL, Event
from server.wording import worded

# What a terminal would obey: control characters but for tab and newline, those of eight bits included.
_OBEYED = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\ufffd")
_ERASE = "\r\x1b[2K"
_DIM, _BOLD, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_WIDTH = 80
# Between the columns of a table.
_GAP = "  "
# Marks of a unified diff; the longer ones come first.
_TINTS = {"--- ": _BOLD, "+++ ": _BOLD, "@@ ": "\x1b[36m", "-": "\x1b[31m", "+": "\x1b[32m"}
# Notes named in one line of progress.
_NAMED = 4
# Reasons for one note in the list of sources.
_REASONS = 3
# Findings in notes that are listed.
_FINDINGS = 20
# How often a wait for a person looks for signals, in seconds.
_SIGNAL_SECONDS = 0.5


class DeclinedError(Exception):
    """The person was asked and did not say yes; nothing was written."""

    code = "cancelled"


class Screen:
    """Shows one run.

    Standard output gets the answer, to the byte, and nothing else. Progress is one line on standard error that is
    written over and erased; where that is no terminal, or one that cannot erase, there is none.

    Args:
        stream: show the answer as it comes; None does so on a terminal.
        silent: show nothing, for a program that reads.
    """

    def __init__(self, *, stream: bool | None = None, silent: bool = False) -> None:
        self.final: Event | None = None
        self._out: TextIO = sys.stdout
        self._err: TextIO = sys.stderr
        self._silent = silent
        self._stream = (self._out.isatty() if stream is None else stream) and not silent
        self._person = self._err.isatty() and not silent
        self._smart = self._person and os.environ.get("TERM", "") not in ("", "dumb")
        self._colour = self._smart and not os.environ.get("NO_COLOR")
        self._line = False  # a line of progress stands there
        self._given = ""  # the end of what was streamed
        self._model = ""

    def event(self, event: Event) -> None:
        """Show one event of a run, and keep the one that ends it in `final`."""
        if event.name in FINAL:
            self.final = event
        elif event.name == "token" and self._stream:
            self._token(str(event.data["text"]))
        elif event.name == "decided":
            decision = event.data["decision"]
            tier = f", tier {decision['tier']}" if decision["tier"] else ""
            self._model = f"{decision['model']} on {decision['node']}{tier}"
            self.progress(self._model)
        elif event.name == "gathered":
            self.progress(_gathered(event.data))
        elif event.name == "phase":
            self.progress(_phase(event.data))
        elif event.name == "proposed":
            for edit in event.data["edits"]:
                paths = ", ".join(change["path"] for change in edit["changes"])
                if edit["status"] == "applied":
                    self.notice(f"written: {edit['title']} ({paths})", "`kos undo` takes it back.")
                else:
                    hint = f"`kos edits {edit['id']}` shows it, `kos edits apply {edit['id']}` does it."
                    self.notice(f"proposed: {edit['title']} ({paths})", hint)

    def progress(self, text: str) -> None:
        """Say what is being done, in the place of what was said before."""
        # On the terminal that shows the answer, a line in the middle of it would be in the way.
        if not self._smart or (self._given and self._out.isatty()):
            return
        self._write(self._err, _ERASE + self._dim(_clipped(line_of(text), _columns(self._err) - 1)))
        self._line = True

    def clear(self) -> None:
        """Erase the line of progress, and end the line of an answer that was streamed."""
        self._erase()
        if self._given and not self._given.endswith("\n"):
            self._given = "\n"
            self._write(self._out, "\n")

    def done(self, data: Mapping[str, Any], *, dry_run: bool) -> None:
        """Show the end of a run that was answered: the answer unless it was streamed, sources, notices."""
        self.clear()
        if dry_run:
            self._sources(self._out, data["sources"])
        elif not self._given and data["answer"]:
            self._write(self._out, self._shown(data["answer"]) + ("" if data["answer"].endswith("\n") else "\n"))
        if self._person:
            if not dry_run:
                self._sources(self._err, self._used(data), lead="\n", answer=data["answer"])
                self._findings(data)
            self._summary(data, dry_run=dry_run)
        for finding in data["findings"]:
            if not finding["path"]:
                away = "model" in data["degraded"] and finding["weight"] == "error"
                lead = "answered from the vault alone: " if away else ""
                self.notice(f"{lead}{finding['message']}", finding["hint"])

    def notice(self, message: str, hint: str = "") -> None:
        """Tell a person something; seen by those who read standard error, on a terminal or not.

        What was written for those who speak HTTP is put into the words of the command line.
        """
        message, hint = worded(message), worded(hint)
        self.clear()
        self._write(self._err, f"kos: {line_of(message)}\n" + (f"     {line_of(hint)}\n" if hint else ""))

    def write(self, text: str) -> None:
        """Write to standard output; a terminal gets nothing that it would obey."""
        self.clear()
        self._write(self._out, self._shown(text))

    def heading(self, text: str) -> None:
        """Write a line to standard output that stands out on a terminal."""
        bold = self._colour and self._out.isatty()
        self.clear()
        self._write(self._out, f"{_BOLD}{line_of(text)}{_PLAIN}\n" if bold else f"{line_of(text)}\n")

    def diff(self, text: str) -> None:
        """Write a unified diff to standard output, coloured on a terminal."""
        self.clear()
        if not (self._colour and self._out.isatty()):
            self._write(self._out, self._shown(text))
            return
        for line in self._shown(text).splitlines():
            tint = next((tint for mark, tint in _TINTS.items() if line.startswith(mark)), "")
            self._write(self._out, f"{tint}{line}{_PLAIN}\n" if tint else f"{line}\n")

    def confirm(self, question: str) -> None:
        """Ask a person at the terminal.

        Raises:
            DeclinedError: they did not say yes.
        """
        self.clear()
        self._write(self._err, f"{line_of(question)} [y/N] ")
        said = _typed()
        if not said.endswith("\n"):
            self._write(self._err, "\n")
        if said.strip().lower() not in ("y", "yes"):
            raise DeclinedError("nothing was changed")

    def _token(self, text: str) -> None:
        if text:
            self._erase()
            self._given = text
            self._write(self._out, self._shown(text))

    def _erase(self) -> None:
        if self._line:
            self._line = False
            self._write(self._err, _ERASE)

    def _sources(self, to: TextIO, sources: Iterable[Mapping[str, Any]], lead: str = "", answer: str = "") -> None:
        """One line for each note, with the reasons for all its passages; of an answer, the notes that it cites."""
        notes: dict[str, dict[str, None]] = {}
        for source in sources:
            notes.setdefault(source["path"], {}).update(dict.fromkeys(source["why"].split("; ")))
        if notes:
            cited = {path: why for path, why in notes.items() if _cites(answer, path)} or notes
            lines = [f"  {path}: {_several(reasons)}" for path, reasons in cited.items()]
            lines += [f"  and {len(notes) - len(cited)} more were read; --json names them"] * (len(cited) < len(notes))
            title = f"{_BOLD}Sources{_PLAIN}" if self._colour and to.isatty() else "Sources"
            self._write(to, lead + "\n".join([title, *map(line_of, lines)]) + "\n")

    def _used(self, data: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
        """What an answer is made of: one from the vault alone cites it, and one that cites nothing has nothing."""
        sources: Iterable[Mapping[str, Any]] = data["sources"]
        cited = not self._is_alone(data) or any(_cites(data["answer"], source["path"]) for source in sources)
        return sources if cited else ()

    def _is_alone(self, data: Mapping[str, Any]) -> bool:
        return not self._model or "model" in data["degraded"]

    def _findings(self, data: Mapping[str, Any]) -> None:
        """What was found in notes, unless the answer is that list itself: without a model it is."""
        found = [finding for finding in data["findings"] if finding["path"]]
        if found and data["decision"] is not None and "model" not in data["degraded"]:
            lines = [f"  {finding['weight']}: {finding['path']}: {finding['message']}" for finding in found[:_FINDINGS]]
            more = [f"  and {len(found) - _FINDINGS} more; --json has them all"] * (len(found) > _FINDINGS)
            self._write(self._err, "\n".join([f"\nFindings ({len(found)})", *map(line_of, lines), *more]) + "\n")

    def _summary(self, data: Mapping[str, Any], *, dry_run: bool) -> None:
        seconds = data["timings"].get("total_ms", 0) / 1000
        usage = data["usage"]
        if dry_run:
            text = f"Dry run: {usage['prompt_tokens']} tokens would go to {self._model or 'no model'}."
        else:
            kept = ", kept from before" if data["cached"] else ""
            text = f"{'no model' if self._is_alone(data) else self._model}{kept}, {seconds:.1f} s"
        self._write(self._err, self._dim(line_of(text)) + "\n")

    def _shown(self, text: str) -> str:
        return text.replace("\r\n", "\n").translate(_OBEYED) if self._out.isatty() else text

    def _dim(self, text: str) -> str:
        return f"{_DIM}{text}{_PLAIN}" if self._colour else text

    def _write(self, to: TextIO, text: str) -> None:
        if not self._silent:
            to.write(text)
            to.flush()


def _typed() -> str:
    """A line that a person types. A Ctrl-C in the moment before the wait begins is not seen by the wait itself."""
    with suppress(OSError):  # on Windows only sockets can be waited for so
        while not select.select([sys.stdin], [], [], _SIGNAL_SECONDS)[0]:
            pass
    return sys.stdin.readline()


def table_of(rows: Sequence[Sequence[str]], widest: Sequence[int], columns: int) -> str:
    """Rows of cells under one another, each cell wrapped within its column; lines of at most so many characters.

    Args:
        rows: the first is the heading; the last cell of each gets what room the others leave.
        widest: of every column but the last, the most characters.
        columns: of a line.
    """
    lines = [list(map(line_of, row)) for row in rows]
    widths = [min(most, max(len(row[at]) for row in lines)) for at, most in enumerate(widest)]
    widths.append(columns - sum(widths) - len(_GAP) * len(widths))
    out = []
    for row in lines:
        cells = [textwrap.wrap(cell, width, break_on_hyphens=False) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = (f"{part:{width}}" for part, width in zip(parts, widths, strict=True))
            out.append(_GAP.join(padded).rstrip() + "\n")
    return "".join(out)


def moment(instant: str, timezone: str) -> str:
    """An ISO instant for people, to the minute, in a zone; "" for the machine's."""
    zone = ZoneInfo(timezone) if timezone else None
    return datetime.fromisoformat(instant).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def line_of(text: str) -> str:
    """A text on one line, without anything that a terminal would obey."""
    return " ".join(text.split("\n")).translate(_OBEYED)


def _gathered(data: Mapping[str, Any]) -> str:
    reasons = {passage["path"]: passage["why"] for passage in data["passages"]}
    first = ", ".join(f"{path} ({why})" for path, why in list(reasons.items())[:_NAMED])
    return f"{len(data['passages'])} passages of {len(reasons)} notes, {data['tokens']} tokens: {first}"


def _phase(data: Mapping[str, Any]) -> str:
    of = f": {data['n']} of {data['total']}" if data["total"] else ""
    detail = f" {data['detail']}" if data["detail"] else ""
    return f"{data['name']}{detail}{of}"


def _cites(answer: str, path: str) -> bool:
    """Whether an answer has a link to a note, by its name or its path."""
    whole = path.removesuffix(".md")
    names = (whole, whole.rpartition("/")[2])
    return any(f"[[{name}{end}" in answer for name in names for end in ("]]", "#", "|"))


def _several(reasons: Collection[str]) -> str:
    """The first reasons; a note full of due tasks has dozens."""
    first, more = list(reasons)[:_REASONS], len(reasons) - _REASONS
    return "; ".join(first) + (f"; and {more} more" if more > 0 else "")


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH
    except (OSError, ValueError):
        return _WIDTH


def _clipped(text: str, columns: int) -> str:
    """A text cut to so many columns, so that it fills one line and can be erased."""
    width = 0
    for place, letter in enumerate(text):
        width += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if width > columns:
            return text[: max(place - 1, 0)] + "…"
    return text
