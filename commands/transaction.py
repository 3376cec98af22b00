"""A transaction: writes several notes of a vault so that all of them change or none does, through crashes too.

How an apply goes (write-ahead logging; the exchange of renameat2(2) closes the window in which an editor could save
unseen):

    1. every note is compared with the version the edit is for
    2. a record with the old and new bytes of all of them is written in the state folder as `intent`, and synced
    3. per note: the new text is written beside it, synced, and changes places with it; what came out is compared again
    4. notes are read again, what came out is taken away, folders are synced
    5. the record is renamed from `intent` to `ID.apply`: from here on the edit is applied

A crash before 5 is undone at the next start; a fault in between is undone at once. What another program saved in the
middle is put back, or kept in the history when it came too late for that. Undoing is one more transaction, `ID.undo`.
"""

import contextlib
import errno
import json
import secrets
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.disk import Disk
from commands.edits import digest

SCHEMA = 1
_SUFFIX = ".kos-tmp"
# An editor that saves in place empties the file first and writes a moment later.
_SETTLE_SECONDS = 0.05
_SETTLE_TRIES = 20
# What must stay free on the disk beside what is written, in bytes.
_RESERVE = 1 << 20


class ClashError(ValueError):
    """A note changed between the proposal and the apply; nothing was written.

    Attributes:
        path: the note.
        theirs: its text now; None when it is gone.
        ours: the text the edit would have given it; where that cannot be told any more, what it would have put in.
        details: path and both texts, for programs.
    """

    code = "conflict"
    hint = "Your text stands as it is. Apply the hunks that still fit, ask again, or take over by hand what is wanted."

    def __init__(self, path: str, theirs: str | None, ours: str) -> None:
        super().__init__(f"{path} changed since the edit was proposed")
        self.path = path
        self.theirs = theirs
        self.ours = ours
        self.details = {"conflict": {"path": path, "theirs": theirs, "ours": ours}}


class DiskFullError(OSError):
    """There is no room for the edit; nothing was written."""

    code = "disk_full"
    hint = "Free some space and try again."


@dataclass(frozen=True, slots=True)
class Write:
    """One file of a transaction: its bytes before and after, None where there is no file.

    Attributes:
        path: of the note.
        temporary: the name under which the new text is written and the old one comes out.
        made: folders that are made for it, the highest first.
    """

    path: str
    temporary: str
    before: bytes | None
    after: bytes | None
    made: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A transaction as it is kept: what an apply did and an undo needs.

    On disk it is one line of JSON and then all texts, one after the other.
    """

    id: str
    kind: str
    chosen: tuple[str, ...]
    writes: tuple[Write, ...]
    at: str

    def pack(self) -> bytes:
        """The bytes that are kept."""
        rows = [
            {
                "path": write.path,
                "temporary": write.temporary,
                "made": write.made,
                "texts": [None if text is None else [len(text), digest(text)] for text in (write.before, write.after)],
            }
            for write in self.writes
        ]
        about = {"schema": SCHEMA, "id": self.id, "kind": self.kind, "at": self.at}
        head = about | {"chosen": self.chosen, "writes": rows}
        texts = (text or b"" for write in self.writes for text in (write.before, write.after))
        return b"".join((json.dumps(head).encode(), b"\n", *texts))


def unpack(data: bytes) -> Record:
    """The record in these bytes.

    Raises:
        ValueError, KeyError, TypeError: they are none, or damaged.
    """
    line, _, texts = data.partition(b"\n")
    head = head_of(line)
    writes = []
    for row in head["writes"]:
        pair: list[bytes | None] = []
        for known in row["texts"]:
            text = None if known is None else texts[: known[0]]
            if text is not None and digest(text) != known[1]:
                raise ValueError("a damaged record")
            texts = texts[len(text or b"") :]
            pair.append(text)
        writes.append(Write(row["path"], row["temporary"], pair[0], pair[1], tuple(row["made"])))
    return Record(head["id"], head["kind"], tuple(head["chosen"]), tuple(writes), head["at"])


def head_of(line: bytes) -> dict[str, Any]:
    """The first line of a record.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    head: dict[str, Any] = json.loads(line)
    if head["schema"] != SCHEMA:
        raise ValueError("a record of another version")
    return head


class Transactions:
    """Carries out transactions in a vault, one at a time: who calls it keeps others out."""

    def __init__(self, root: Path, folder: Path, disk: Disk) -> None:
        """Of a vault.

        Args:
            root: the vault.
            folder: where records are kept, outside the vault.
            disk: how files are written.
        """
        self.root = root
        self.folder = folder
        self._disk = disk

    def recover(self) -> None:
        """Undo what a crash left half done."""
        intent = self.folder / "intent"
        data = self._disk.read(intent)
        if data is None:
            return
        try:
            record = unpack(data)
        except (ValueError, KeyError, TypeError):  # not ours, or of a later version: it is not guessed at
            intent.replace(self.folder / f"intent.{secrets.token_hex(4)}.unreadable")
            return
        if self._roll_back(record):
            self._disk.remove(intent)
            self._disk.sync(self.folder)

    def carry_out(self, record: Record) -> None:
        """Do all writes of a record or none.

        Raises:
            ClashError, OSError: none is done.
        """
        data = record.pack()
        for place in (self.root, self.folder):
            if self._disk.free_bytes(place) < len(data) + _RESERVE:
                raise DiskFullError(errno.ENOSPC, "there is not enough room on the disk for this edit")
        intent = self.folder / "intent"
        self._disk.put(intent, data)
        try:
            for write in record.writes:
                self._swap(write)
            for write in record.writes:
                if self._disk.read(self.root / write.path) != write.after:
                    raise self._clash(write)
                self._sweep(record.id, write)
            for folder in sorted({(self.root / n).parent for w in record.writes for n in (w.path, *w.made)}):
                self._disk.sync(folder)
            self._disk.rename(intent, self.folder / f"{record.id}.{record.kind}")
            self._disk.sync(self.folder)
        except BaseException:
            # The record must be an intent again before anything is taken back: a crash from here on finds it.
            with contextlib.suppress(OSError):
                (self.folder / f"{record.id}.{record.kind}").replace(intent)
            if self._roll_back(record):
                intent.unlink(missing_ok=True)
            raise

    def _swap(self, write: Write) -> None:
        path = self.root / write.path
        temporary = path.with_name(write.temporary)
        for folder in write.made:
            (self.root / folder).mkdir(exist_ok=True)
        if write.after is None:
            self._disk.rename(path, temporary)
        elif write.before is None:
            self._disk.write_new(temporary, write.after, 0o644)
            try:
                self._disk.place(temporary, path)
            except FileExistsError:
                raise self._clash(write) from None
            return
        else:
            self._disk.write_new(temporary, write.after, stat.S_IMODE(path.stat().st_mode))
            self._disk.exchange(temporary, path)
        if self._disk.read(temporary) != write.before:
            raise self._clash(write)

    def _clash(self, write: Write) -> ClashError:
        path = self.root / write.path
        texts = (self._look(path.with_name(write.temporary)), self._look(path))
        theirs = next((text for text in texts if text not in (None, write.before, write.after)), None)
        return ClashError(write.path, shown(theirs), shown(write.after) or "")

    def _roll_back(self, record: Record) -> bool:
        """Bring back what the writes took the place of; whether all of it went well."""
        whole = True
        for write in reversed(record.writes):
            try:
                self._restore(record.id, write)
            except OSError:  # the record stays an intent: the next start tries again
                whole = False
        return whole

    def _restore(self, identity: str, write: Write) -> None:
        """Bring back one note. A text that is neither old nor new is another program's, and stays in its place."""
        path = self.root / write.path
        temporary = path.with_name(write.temporary)
        halfway = self._disk.aside(temporary)  # left by an exchange that stopped in the middle
        if self._look(halfway) is not None:
            if self._look(temporary) is None:
                self._disk.rename(halfway, temporary)
            else:
                self._disk.remove(halfway)
        now, aside = self._look(path), self._look(temporary)
        if now == write.after != write.before:
            # What came out of its place goes back: the old text, or what an editor had saved in between.
            if aside in (None, write.after):
                self._disk.remove(temporary)
                if write.before is not None:
                    mode = stat.S_IMODE(path.stat().st_mode) if now is not None else 0o644
                    self._disk.write_new(temporary, write.before, mode)
                aside = write.before
            if aside is None:
                self._disk.rename(path, temporary)
            elif now is None:
                self._disk.place(temporary, path)
            else:
                self._disk.exchange(temporary, path)
            now, aside = self._look(path), self._look(temporary)
        if aside is not None and aside not in (write.before, write.after):
            # An editor's, that had our text open for a moment; or ours, half written when a crash came.
            aside = self.settled(temporary, aside)
            if now != write.before or not (write.after or b"").startswith(aside):
                self._keep(identity, write.path, aside)
        self._disk.remove(temporary)
        remove_empty(self.root, [write])
        if path.parent.exists():
            self._disk.sync(path.parent)

    def _sweep(self, identity: str, write: Write) -> None:
        """Take away the old text that came out, unless an editor that had it open wrote into it since."""
        temporary = (self.root / write.path).with_name(write.temporary)
        out = self._look(temporary)
        if out == b"":
            out = self.settled(temporary, out)
        if out is not None and out not in (write.before, write.after):
            out = self.settled(temporary, out)
            self._keep(identity, write.path, out)
        self._disk.remove(temporary)

    def settled(self, path: Path, data: bytes) -> bytes:
        """The bytes of a file that another program is writing, once it has stopped for a moment."""
        for _ in range(_SETTLE_TRIES):
            time.sleep(_SETTLE_SECONDS)
            now = self._look(path)
            if now is None or now == data:
                break
            data = now
        return data

    def _look(self, path: Path) -> bytes | None:
        """The bytes of a file, None when it or its folder is not there."""
        try:
            return self._disk.read(path)
        except NotADirectoryError:
            return None

    def _keep(self, identity: str, path: str, data: bytes) -> None:
        """Keep a text that another program saved in the middle of an edit."""
        name = f"{identity}.kept.{secrets.token_hex(4)}.{path.replace('/', '_')}"
        self._disk.put(self.folder / name.encode()[:200].decode("utf-8", "ignore"), data)


def temporary_name() -> str:
    """A name under which a new text is written beside its note; no note has it."""
    return f".{secrets.token_hex(8)}{_SUFFIX}"


def remove_empty(root: Path, writes: Iterable[Write]) -> None:
    """Remove the folders that writes had made, unless something is in them."""
    for folder in {name: None for write in writes for name in reversed(write.made)}:
        with contextlib.suppress(OSError):
            (root / folder).rmdir()


def shown(data: bytes | None) -> str | None:
    """The bytes of a note as a text for people; None where there is no note."""
    return None if data is None else data.decode("utf-8", "replace")
