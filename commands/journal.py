"""The journal of edits: applies each so that all its notes change or none does, keeps what was there, and undoes it.

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
import os
import secrets
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from commands import diff
from commands.disk import Disk
from commands.edits import Change, StaleError, change_of, digest
from commands.merge import ConflictError, merge
from commands.places import PlaceError, check_place

SCHEMA = 1
KEEP_EDITS = 500
KEEP_SECONDS = 90 * 24 * 3600
KEEP_BYTES = 256 << 20
# An edit of more notes than this, or that takes away more than this part of one, is applied after a second yes only.
MANY_NOTES = 10
MOST_REMOVED = 0.5
# Short notes may lose most of their bytes without anybody being sorry.
_FEW_BYTES = 400
_SUFFIX = ".kos-tmp"
_ID_CHARS = 16
# What becomes of an edit after it was proposed; told from the files beside it.
_LATER = frozenset({"status", "chosen", "kept", "applied"})
# An editor that saves in place empties the file first and writes a moment later.
_SETTLE_SECONDS = 0.05
_SETTLE_TRIES = 20
# Looking through the history costs more than an edit, so it is done now and then.
_PRUNE_EVERY = 50
# The least time between two edits, in seconds; above what is lost of it in a float of today.
_TICK = 2e-6
# What must stay free on the disk beside what is written, in bytes.
_RESERVE = 1 << 20


class ConfirmError(ValueError):
    """An edit that removes most of a note or touches many, and wants a second yes.

    Attributes:
        details: tells programs so, beside the error.
    """

    code = "conflict"
    hint = "Look at it once more; apply it with confirm if it is meant."
    details: Mapping[str, Any] = {"confirm": True}


class ClashError(ValueError):
    """A note changed between the proposal and the apply; nothing was written.

    Attributes:
        path: the note.
        theirs: its text now; None when it is gone.
        ours: the text the edit would have given it; where that cannot be told any more, what it would have put in.
        details: path and both texts, for programs.
    """

    code = "conflict"
    hint = "Your text stands as it is. Ask for the edit again, or take over by hand what is still wanted."

    def __init__(self, path: str, theirs: str | None, ours: str) -> None:
        super().__init__(f"{path} changed since the edit was proposed")
        self.path = path
        self.theirs = theirs
        self.ours = ours
        self.details = {"conflict": {"path": path, "theirs": theirs, "ours": ours}}


class NoHistoryError(Exception):
    """There is no place for the history of edits, without which nothing is written."""

    code = "conflict"
    hint = "Make the state folder writable, or name another one (KOS_STATE_DIR)."

    def __init__(self) -> None:
        super().__init__("the history of edits cannot be kept, and nothing is written that could not be undone")


class UnknownEditError(LookupError):
    """There is no edit of this id, or its history is gone."""

    code = "not_found"
    hint = "`kos edits` lists the edits that are kept."


class EditStateError(ValueError):
    """An edit that cannot be applied or undone from the state it is in."""

    code = "conflict"
    hint = "`kos edits` shows the state of each."


class DiskFullError(OSError):
    """There is no room for the edit; nothing was written."""

    code = "disk_full"
    hint = "Free some space and try again."


@dataclass(frozen=True, slots=True)
class Edit:
    """A set of changes over several notes, and what became of it.

    Attributes:
        id: 16 hex characters.
        title: what it does, for people.
        command, run: where it came from.
        created: ISO instant.
        changes: what becomes of each note.
        status: proposed, applied or undone.
        chosen: ids of the hunks that were applied; empty while it is proposed.
        kept: notes of which another program saved a version meanwhile that is kept in the history.
        applied: ISO instant at which it was applied, "" while it was not.
    """

    id: str
    title: str
    command: str
    run: str
    created: str
    changes: tuple[Change, ...]
    status: str = "proposed"
    chosen: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    applied: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """The same without any text of a note: the paths in place of the changes."""
        rest = {name: value for name, value in self.as_dict().items() if name not in ("changes", "chosen")}
        return rest | {"paths": [change.path for change in self.changes]}


@dataclass(frozen=True, slots=True)
class _Write:
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
class _Record:
    """A transaction as it is kept: what an apply did and an undo needs.

    On disk it is one line of JSON and then all texts, one after the other.
    """

    id: str
    kind: str
    chosen: tuple[str, ...]
    writes: tuple[_Write, ...]
    at: str

    def pack(self) -> bytes:
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


def _unpack(data: bytes) -> _Record:
    """The record in these bytes.

    Raises:
        ValueError, KeyError, TypeError: they are none, or damaged.
    """
    line, _, texts = data.partition(b"\n")
    head = _head(line)
    writes = []
    for row in head["writes"]:
        pair: list[bytes | None] = []
        for known in row["texts"]:
            text = None if known is None else texts[: known[0]]
            if text is not None and digest(text) != known[1]:
                raise ValueError("a damaged record")
            texts = texts[len(text or b"") :]
            pair.append(text)
        writes.append(_Write(row["path"], row["temporary"], pair[0], pair[1], tuple(row["made"])))
    return _Record(head["id"], head["kind"], tuple(head["chosen"]), tuple(writes), head["at"])


def _head(line: bytes) -> dict[str, Any]:
    """The first line of a record.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    head: dict[str, Any] = json.loads(line)
    if head["schema"] != SCHEMA:
        raise ValueError("a record of another version")
    return head


class Journal:
    """The edits of one vault. Safe for several threads and several processes of ours."""

    def __init__(
        self, root: Path, folder: Path, *, disk: Disk | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the journal and mend what a crash left.

        Args:
            root: the vault.
            folder: where edits are kept, outside the vault; made when missing.
            disk: how files are written.
            clock: seconds since the epoch.
        """
        self.root = root
        self.folder = folder
        self._disk = disk or Disk()
        self._clock = clock
        self._thread = threading.RLock()
        self._proposed = 0
        self._latest = 0.0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            self._recover()

    def propose(self, changes: Iterable[Change], *, title: str = "", command: str = "", run: str = "") -> Edit:
        """Keep an edit for later.

        Raises:
            PlaceError: a path that no edit may write.
            OSError: it cannot be kept.
        """
        changes = tuple(changes)
        for change in changes:
            # The note may be made by an edit that was proposed before this one.
            check_place(self.root, change.path, new=not change.base, gone=True)
        with self._alone():
            # Later than the one before, also by a clock that stands: edits are listed in the order they were made.
            self._latest = max(self._clock(), self._latest + _TICK)
            edit = Edit(secrets.token_hex(_ID_CHARS // 2), title, command, run, _instant(self._latest), changes)
            kept = {name: value for name, value in edit.as_dict().items() if name not in _LATER}
            if self._proposed % _PRUNE_EVERY == 0:
                self._prune()
            self._proposed += 1
            text = json.dumps({"schema": SCHEMA, "edit": kept}, ensure_ascii=False)
            self._disk.put(self.folder / f"{edit.id}.edit", text.encode("utf-8", "replace"), durable=False)
        return edit

    def get(self, identity: str) -> Edit:
        """An edit by its id.

        Raises:
            UnknownEditError: there is none.
        """
        return self._edit(identity, self._files().get(identity, ()))

    def all(self) -> list[Edit]:
        """The edits that are kept, newest first."""
        found = []
        for identity, names in self._files().items():
            with contextlib.suppress(UnknownEditError):
                found.append(self._edit(identity, names))
        return sorted(found, key=lambda edit: (edit.created, edit.id), reverse=True)

    def whole(self, edit: Edit) -> dict[str, Any]:
        """An edit as JSON has it, with its `diff`: what it does or did to each note, as one unified diff.

        Raises:
            UnknownEditError: its history is gone.
        """
        done = {write.path: write.before for write in self._record(edit.id).writes} if edit.chosen else None
        return edit.as_dict() | {"diff": "".join(self._diff(edit, change, done) for change in edit.changes)}

    def _diff(self, edit: Edit, change: Change, done: Mapping[str, bytes | None] | None) -> str:
        """The diff of one note; `done` holds the texts from before an edit that was applied."""
        if done is not None:
            hunks = change.choose(edit.chosen).hunks
            return diff.of_hunks(change.path, done[change.path], hunks) if change.path in done else ""
        try:
            now = self._disk.read(check_place(self.root, change.path, new=not change.base))
            change.apply(now)
        except (StaleError, PlaceError, OSError):
            return diff.of_strays(change.path, change.hunks)
        return diff.of_hunks(change.path, now, change.hunks)

    def apply(self, identity: str, hunks: Sequence[str] | None = None, *, confirm: bool = False) -> Edit:
        """Apply an edit, or some of its hunks: all notes change or none does.

        Applying what is applied already is no second write.

        Args:
            identity: of the edit.
            hunks: ids of the hunks wanted; None for all.
            confirm: the second yes for an edit that removes most of a note or touches many.

        Raises:
            UnknownEditError, EditStateError, ConfirmError, ClashError, PlaceError: nothing was written.
            DiskFullError, OSError: nothing was written, or what was written is undone.
        """
        with self._alone():
            edit = self.get(identity)
            chosen = _chosen(edit, hunks)
            if edit.status == "applied" and chosen == edit.chosen:
                return edit
            if edit.status != "proposed":
                raise EditStateError(f"this edit is {edit.status} already")
            writes = [self._write(change.choose(chosen)) for change in edit.changes]
            writes = [write for write in writes if write.before != write.after]
            if not confirm:
                _confirmed(writes)
            self._carry_out(_Record(identity, "apply", chosen, tuple(writes), self._now()))
            return self.get(identity)

    def undo(self, identity: str) -> Edit:
        """Take an applied edit back: to the byte while the notes are as it left them, else merged with what came since.

        Raises:
            UnknownEditError, EditStateError: nothing was written.
            ConflictError: what was written since touches the same lines; carries both texts. Nothing was written.
            DiskFullError, OSError: nothing was written, or what was written is undone.
        """
        with self._alone():
            edit = self.get(identity)
            if edit.status != "applied":
                raise EditStateError(f"this edit is {edit.status}, so there is nothing to undo")
            done = self._record(identity).writes
            found = [self._unwrite(write) for write in done]
            writes = tuple(write for write in found if write is not None)
            self._carry_out(_Record(identity, "undo", edit.chosen, writes, self._now()))
            _remove_empty(self.root, done)
            return self.get(identity)

    def applied_elsewhere(self, identity: str, hunks: Sequence[str] | None = None) -> Edit:
        """Record that Obsidian applied an edit itself; the notes must read as the edit says.

        Raises:
            UnknownEditError, EditStateError: it is undone, or a note reads otherwise.
        """
        with self._alone():
            edit = self.get(identity)
            if edit.status == "applied":
                return edit
            chosen = _chosen(edit, hunks)
            writes = []
            for change in edit.changes:
                now = self._disk.read(check_place(self.root, change.path, new=False, gone=True))
                before = _undone(change.choose(chosen), now)
                if edit.status != "proposed" or now is None or before is None:
                    raise EditStateError(f"{change.path} does not read as the edit says")
                writes.append(_Write(change.path, _temporary(), before if change.base else None, now))
            record = _Record(identity, "apply", chosen, tuple(writes), self._now())
            self._disk.put(self.folder / f"{identity}.apply", record.pack())
            return self.get(identity)

    # -- one transaction

    def _write(self, change: Change) -> _Write:
        path = check_place(self.root, change.path, new=not change.base)
        now = self._disk.read(path)
        if now == b"":  # an editor may be about to write what it emptied, and would write it into a file we took away
            now = self._settled(path, now)
        try:
            after = change.apply(now) if change.hunks else now
        except StaleError:
            ours = "".join(hunk.new for hunk in change.hunks)
            raise ClashError(change.path, _shown(now), ours) from None
        made = tuple(str(one.relative_to(self.root)) for one in reversed(path.parents) if not one.exists())
        return _Write(change.path, _temporary(), now, after, made)

    def _unwrite(self, write: _Write) -> _Write | None:
        """What undoes one write; None when there is nothing left to undo."""
        now = self._disk.read(check_place(self.root, write.path, new=False, gone=True))
        if now == write.before:
            return None
        if now == write.after:
            return _Write(write.path, _temporary(), now, write.before)
        if now is None or write.before is None or write.after is None:
            raise ConflictError(write.path, _shown(now), _shown(write.before) or "")
        return _Write(write.path, _temporary(), now, merge(write.path, write.after, write.before, now))

    def _carry_out(self, record: _Record) -> None:
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

    def _swap(self, write: _Write) -> None:
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

    def _clash(self, write: _Write) -> ClashError:
        path = self.root / write.path
        texts = (self._look(path.with_name(write.temporary)), self._look(path))
        theirs = next((text for text in texts if text not in (None, write.before, write.after)), None)
        return ClashError(write.path, _shown(theirs), _shown(write.after) or "")

    def _roll_back(self, record: _Record) -> bool:
        """Bring back what the writes took the place of; whether all of it went well."""
        whole = True
        for write in reversed(record.writes):
            try:
                self._restore(record.id, write)
            except OSError:  # the record stays an intent: the next start tries again
                whole = False
        return whole

    def _restore(self, identity: str, write: _Write) -> None:
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
            aside = self._settled(temporary, aside)
            if now != write.before or not (write.after or b"").startswith(aside):
                self._keep(identity, write.path, aside)
        self._disk.remove(temporary)
        _remove_empty(self.root, [write])
        if path.parent.exists():
            self._disk.sync(path.parent)

    def _sweep(self, identity: str, write: _Write) -> None:
        """Take away the old text that came out, unless an editor that had it open wrote into it since."""
        temporary = (self.root / write.path).with_name(write.temporary)
        out = self._look(temporary)
        if out == b"":
            out = self._settled(temporary, out)
        if out is not None and out not in (write.before, write.after):
            out = self._settled(temporary, out)
            self._keep(identity, write.path, out)
        self._disk.remove(temporary)

    def _settled(self, path: Path, data: bytes) -> bytes:
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

    def _record(self, identity: str) -> _Record:
        """What an apply did.

        Raises:
            UnknownEditError: it is not kept any more, or damaged.
        """
        try:
            return _unpack((self.folder / f"{identity}.apply").read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            raise UnknownEditError("the history of this edit is gone") from None

    def _recover(self) -> None:
        """Undo what a crash left half done."""
        intent = self.folder / "intent"
        data = self._disk.read(intent)
        if data is None:
            return
        try:
            record = _unpack(data)
        except (ValueError, KeyError, TypeError):  # not ours, or of a later version: it is not guessed at
            intent.replace(self.folder / f"intent.{secrets.token_hex(4)}.unreadable")
            return
        if self._roll_back(record):
            self._disk.remove(intent)
            self._disk.sync(self.folder)

    def _prune(self) -> None:
        """Let go of the oldest edits beyond what is kept."""
        edits = {
            identity: [self.folder / name for name in names]
            for identity, names in self._files().items()
            if len(identity) == _ID_CHARS
        }
        ages = {name: max(file.stat().st_mtime for file in files) for name, files in edits.items()}
        size = 0
        for number, name in enumerate(sorted(ages, key=ages.__getitem__, reverse=True), 1):
            size += sum(file.stat().st_size for file in edits[name])
            if number > KEEP_EDITS or size > KEEP_BYTES or ages[name] < self._clock() - KEEP_SECONDS:
                for file in edits[name]:
                    file.unlink(missing_ok=True)

    def _files(self) -> dict[str, list[str]]:
        """The names of the files of each edit."""
        found: dict[str, list[str]] = {}
        for name in os.listdir(self.folder):  # noqa: PTH208 - names alone
            found.setdefault(name.split(".")[0], []).append(name)
        return found

    def _edit(self, identity: str, names: Iterable[str]) -> Edit:
        """The edit that is kept in these files.

        Raises:
            UnknownEditError: there is none, or it cannot be read.
        """
        known = {name.removeprefix(f"{identity}.") for name in names}
        try:
            if "edit" not in known:
                raise KeyError("edit")
            value = json.loads((self.folder / f"{identity}.edit").read_bytes())
            if value["schema"] != SCHEMA:
                raise KeyError("schema")
            edit = value["edit"] | {"changes": tuple(change_of(change) for change in value["edit"]["changes"])}
            status = "undone" if "undo" in known else "applied" if "apply" in known else "proposed"
            kept = sorted(name.split(".", 2)[-1] for name in known if name.startswith("kept."))
            done = {}
            if "apply" in known:
                with (self.folder / f"{identity}.apply").open("rb") as file:
                    head = _head(file.readline())
                done = {"chosen": tuple(head["chosen"]), "applied": head["at"]}
            return Edit(**edit, status=status, kept=tuple(kept), **done)
        except (OSError, ValueError, TypeError, KeyError):
            raise UnknownEditError("there is no such edit") from None

    def _now(self) -> str:
        return _instant(self._clock())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, among threads and processes of ours."""
        with self._thread, (self.folder / "lock").open("ab") as held:
            if sys.platform != "win32":
                import fcntl  # noqa: PLC0415 - not on Windows

                fcntl.flock(held, fcntl.LOCK_EX)
            yield


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def _temporary() -> str:
    return f".{secrets.token_hex(8)}{_SUFFIX}"


def _remove_empty(root: Path, writes: Iterable[_Write]) -> None:
    """Remove the folders that writes had made, unless something is in them."""
    for folder in {name: None for write in writes for name in reversed(write.made)}:
        with contextlib.suppress(OSError):
            (root / folder).rmdir()


def _shown(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")


def _chosen(edit: Edit, hunks: Sequence[str] | None) -> tuple[str, ...]:
    """The ids of the hunks that are wanted, in their order.

    Raises:
        EditStateError: one of them is not in the edit, or none is wanted.
    """
    known = [hunk.id for change in edit.changes for hunk in change.hunks]
    if hunks is not None and (not hunks or not set(hunks) <= set(known)):
        raise EditStateError(f"the hunks of this edit are {', '.join(known) or 'none'}")
    return tuple(one for one in known if hunks is None or one in hunks)


def _confirmed(writes: Sequence[_Write]) -> None:
    """Whether an edit may be applied without a second yes.

    Raises:
        ConfirmError: it may not.
    """
    if len(writes) > MANY_NOTES:
        raise ConfirmError(f"this edit changes {len(writes)} notes")
    for write in writes:
        old, new = len(write.before or b""), len(write.after or b"")
        if old > _FEW_BYTES and new < old * (1 - MOST_REMOVED):
            raise ConfirmError(f"this edit removes most of {write.path}")


def _undone(change: Change, now: bytes | None) -> bytes | None:
    """The bytes a note had before a change that it reads as done; None when it does not read so."""
    if now is None:
        return None
    parts: list[bytes] = []
    at = moved = 0
    for hunk in change.hunks:
        start, new = hunk.start + moved, hunk.new.encode()
        if now[start : start + len(new)] != new:
            return None
        parts += (now[at:start], hunk.old.encode())
        at = start + len(new)
        moved += len(new) - (hunk.end - hunk.start)
    before = b"".join((*parts, now[at:]))
    return before if not change.base or digest(before) == change.base else None
