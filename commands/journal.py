"""The journal of edits: keeps each from its proposal on, applies it in one transaction, and undoes it."""

import base64
import contextlib
import json
import os
import secrets
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from commands import diff
from commands.disk import Disk
from commands.edits import Change, StaleError, change_of, digest, splice
from commands.merge import ConflictError, merge
from commands.places import PlaceError, check_place
from commands.rebase import inverse, rebase
from commands.transaction import (
    ClashError,
    Record,
    Transactions,
    Write,
    head_of,
    remove_empty,
    shown,
    temporary_name,
    unpack,
)

SCHEMA = 1
KEEP_EDITS = 500
KEEP_SECONDS = 90 * 24 * 3600
KEEP_BYTES = 256 << 20
# An edit of more notes than this, or that takes away more than this part of one, is applied after a second yes only.
MANY_NOTES = 10
MOST_REMOVED = 0.5
# Short notes may lose most of their bytes without anybody being sorry.
_FEW_BYTES = 400
_ID_CHARS = 16
# Longer notes are not kept with a proposal: it waits for them to be as they were, in bytes.
_MOST_BASE = 1 << 20
# What becomes of an edit after it was proposed; told from the files beside it.
_LATER = frozenset({"status", "chosen", "kept", "applied"})
# Looking through the history costs more than an edit, so it is done now and then.
_PRUNE_EVERY = 50
# The least time between two edits, in seconds; above what is lost of it in a float of today.
_TICK = 2e-6


class ConfirmError(ValueError):
    """An edit that removes most of a note or touches many, and wants a second yes.

    Attributes:
        details: tells programs so, beside the error.
    """

    code = "conflict"
    hint = "Look at it once more; apply it with confirm if it is meant."
    details: Mapping[str, Any] = {"confirm": True}


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
        self._transactions = Transactions(root, folder, self._disk)
        self._clock = clock
        self._thread = threading.RLock()
        self._proposed = 0
        self._latest = 0.0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            self._transactions.recover()

    def propose(
        self,
        changes: Iterable[Change],
        *,
        title: str = "",
        command: str = "",
        run: str = "",
        notes: Mapping[str, bytes] | None = None,
    ) -> Edit:
        """Keep an edit for later.

        Args:
            changes: what becomes of each note.
            title: what it does, for people.
            command: where it came from.
            run: likewise.
            notes: the bytes that changes are for, by path, where others are to write them first.

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
            value = {"schema": SCHEMA, "edit": kept, "bases": self._bases(changes, notes or {})}
            text = json.dumps(value, ensure_ascii=False)
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

        Its hunks are those for the notes as they are, where they still fit; of one that was applied, as they were then.

        Raises:
            UnknownEditError: its history is gone.
        """
        done = {write.path: write.before for write in self._record(edit.id).writes} if edit.chosen else None
        seen = [self._seen(edit, change, done) for change in edit.changes]
        edit = replace(edit, changes=tuple(change for change, _ in seen))
        return edit.as_dict() | {"diff": "".join(text for _, text in seen)}

    def _seen(self, edit: Edit, change: Change, done: Mapping[str, bytes | None] | None) -> tuple[Change, str]:
        """A change for its note, as it was made where it does not fit, and its diff.

        Args:
            edit: whose change it is.
            change: of one note.
            done: the notes before an edit that was applied; None for one that was not: the notes as they are count.
        """
        if done is not None and change.path not in done:
            return change, ""
        fitting, wanted = change, change if done is None else change.choose(edit.chosen)
        try:
            text = (
                self._disk.read(check_place(self.root, change.path, new=not change.base))
                if done is None
                else done[change.path]
            )
            with contextlib.suppress(StaleError):  # some of its hunks alone may fit
                fitting = self._fitting(edit.id, change, text)
            wanted = self._fitting(edit.id, fitting if done is None else fitting.choose(edit.chosen), text)
            wanted.apply(text)
        except (StaleError, PlaceError, OSError):
            return fitting, diff.of_strays(change.path, wanted.hunks)
        return fitting, diff.of_hunks(change.path, text, wanted.hunks)

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
            writes = [self._write(identity, change.choose(chosen)) for change in edit.changes]
            writes = [write for write in writes if write.before != write.after]
            if not confirm:
                _confirmed(writes)
            self._transactions.carry_out(Record(identity, "apply", chosen, tuple(writes), self._now()))
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
            changes = {change.path: change.choose(edit.chosen) for change in edit.changes}
            found = [self._unwrite(identity, changes.get(write.path), write) for write in done]
            writes = tuple(write for write in found if write is not None)
            self._transactions.carry_out(Record(identity, "undo", edit.chosen, writes, self._now()))
            remove_empty(self.root, done)
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
                before = None if now is None else self._before(identity, change.choose(chosen), now)
                if edit.status != "proposed" or now is None or before is None:
                    raise EditStateError(f"{change.path} does not read as the edit says")
                writes.append(Write(change.path, temporary_name(), before if change.base else None, now))
            record = Record(identity, "apply", chosen, tuple(writes), self._now())
            self._disk.put(self.folder / f"{identity}.apply", record.pack())
            return self.get(identity)

    def _bases(self, changes: Iterable[Change], notes: Mapping[str, bytes]) -> dict[str, str]:
        """The notes that changes are for, by their digests: with them a change can follow its lines later."""
        found: dict[str, str] = {}
        for change in changes:
            data = notes.get(change.path)
            if change.base and data is None:
                with contextlib.suppress(OSError):
                    data = self._disk.read(self.root / change.path)
            if data is not None and digest(data) == change.base and len(data) <= _MOST_BASE:
                found[change.base] = base64.b64encode(zlib.compress(data)).decode()
        return found

    def _base(self, identity: str, change: Change) -> bytes:
        """The bytes of a note for which a change was made.

        Raises:
            StaleError: they are not kept.
        """
        try:
            kept = json.loads((self.folder / f"{identity}.edit").read_bytes())["bases"][change.base]
            data = zlib.decompress(base64.b64decode(kept))
        except (OSError, ValueError, KeyError, TypeError, zlib.error):
            data = b""
        if digest(data) != change.base:
            raise StaleError(f"{change.path} is not as it was when the edit was made")
        return data

    def _fitting(self, identity: str, change: Change, now: bytes | None) -> Change:
        """A change as it fits a note as it is.

        Raises:
            StaleError: it does not fit any more.
        """
        if not change.base or now is None or digest(now) == change.base:
            return change
        return rebase(change, self._base(identity, change), now)

    def _before(self, identity: str, change: Change, now: bytes) -> bytes | None:
        """The bytes a note had before a change that it reads as done; None when it does not read so."""
        found = _undone(change, now)
        if found is not None or not change.base:
            return found
        try:
            base = self._base(identity, change)
            back = inverse(change, base)
            found = rebase(back, splice(base, change.hunks), now).apply(now)
            return found if rebase(change, base, found).apply(found) == now else None
        except StaleError:
            return None

    def _write(self, identity: str, change: Change) -> Write:
        path = check_place(self.root, change.path, new=not change.base)
        now = self._disk.read(path)
        if now == b"":  # an editor may be about to write what it emptied, and would write it into a file we took away
            now = self._transactions.settled(path, now)
        try:
            after = self._fitting(identity, change, now).apply(now) if change.hunks else now
        except StaleError:
            ours = "".join(hunk.new for hunk in change.hunks)
            raise ClashError(change.path, shown(now), ours) from None
        made = tuple(str(one.relative_to(self.root)) for one in reversed(path.parents) if not one.exists())
        return Write(change.path, temporary_name(), now, after, made)

    def _unwrite(self, identity: str, change: Change | None, write: Write) -> Write | None:
        """What undoes one write; None when there is nothing left to undo."""
        now = self._disk.read(check_place(self.root, write.path, new=False, gone=True))
        if now == write.before:
            return None
        if now == write.after:
            return Write(write.path, temporary_name(), now, write.before)
        if now is None or write.before is None or write.after is None:
            raise ConflictError(write.path, shown(now), shown(write.before) or "")
        try:  # what the edit did is known more closely than by two texts
            if change is None:
                raise StaleError("the edit does not tell of this note")
            done = self._fitting(identity, change, write.before)
            if done.apply(write.before) != write.after:
                raise StaleError("the edit was done otherwise")
            reverted = rebase(inverse(done, write.before), write.after, now).apply(now)
        except StaleError:
            reverted = merge(write.path, write.after, write.before, now)
        return Write(write.path, temporary_name(), now, reverted)

    def _record(self, identity: str) -> Record:
        """What an apply did.

        Raises:
            UnknownEditError: it is not kept any more, or damaged.
        """
        try:
            return unpack((self.folder / f"{identity}.apply").read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            raise UnknownEditError("the history of this edit is gone") from None

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
                    head = head_of(file.readline())
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


def _chosen(edit: Edit, hunks: Sequence[str] | None) -> tuple[str, ...]:
    """The ids of the hunks that are wanted, in their order.

    Raises:
        EditStateError: one of them is not in the edit, or none is wanted.
    """
    known = [hunk.id for change in edit.changes for hunk in change.hunks]
    if hunks is not None and (not hunks or not set(hunks) <= set(known)):
        raise EditStateError(f"the hunks of this edit are {', '.join(known) or 'none'}")
    return tuple(one for one in known if hunks is None or one in hunks)


def _confirmed(writes: Sequence[Write]) -> None:
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
