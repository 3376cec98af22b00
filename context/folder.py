"""The files of a vault's folder: what is there, what counts as a note, and what is left out."""

import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path

from msgspec import Struct

from context.obsidian import ObsidianSettings

# A copy that a sync service left beside a note after a conflict (Syncthing, Dropbox): never a note of its own.
_CONFLICT = re.compile(r"\.sync-conflict-\d{8}-\d{6}|\(.{0,80}conflicted copy.{0,40}\)", re.IGNORECASE)
_NOTES = (".md", ".canvas", ".base")
_NAME = attrgetter("name")


class VaultError(Exception):
    """The folder cannot be used as a vault; the message says why, the hint what to do."""

    code = "not_found"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Listing(Struct, frozen=True):
    """What a walk found.

    Attributes:
        files: every file of the vault, notes and attachments.
        notes: note → (mtime in nanoseconds, size in bytes).
        attachments: the same of every other file.
        digest: SHA-256 of the paths of all files.
        skipped: how many files were left out: conflict copies, links out of the vault, what cannot be looked at.
    """

    files: frozenset[str]
    notes: dict[str, tuple[int, int]]
    attachments: dict[str, tuple[int, int]]
    digest: str
    skipped: int


def checked(root: Path) -> Path:
    """The folder of a vault, resolved.

    Raises:
        VaultError: it is missing, is no folder, or cannot be listed.
    """
    name = root.name or str(root)
    try:
        with os.scandir(root):
            return root.resolve()
    except FileNotFoundError:
        hint = "Name the folder of your vault with --vault PATH or KOS_VAULT."
        raise VaultError(f"there is no folder {name!r}", hint) from None
    except NotADirectoryError:
        hint = "Name the folder that holds your notes, not one of them."
        raise VaultError(f"{name!r} is a file, not a vault", hint) from None
    except OSError:
        raise VaultError(f"the folder {name!r} cannot be listed", "Give yourself read permission on it.") from None


def walk(
    root: Path, settings: ObsidianSettings, *, many: int = sys.maxsize, told: Callable[[], object] = bool
) -> Listing:
    """Every file of the vault with its status. Dot folders and linked folders are not entered.

    Args:
        root: the vault's folder.
        settings: of the vault.
        many: so many notes are worth a word.
        told: called once, on the way, when so many were found.
    """
    notes: dict[str, tuple[int, int]] = {}
    attachments: dict[str, tuple[int, int]] = {}
    skipped, ignoring = 0, bool(settings.ignored)
    waiting = [("", str(root))]
    while waiting:
        if len(notes) >= many:
            told()
            many = sys.maxsize
        prefix, folder = waiting.pop()
        for entry in _entries(folder):
            name = entry.name
            if name[0] == "." or not (name.isascii() or _is_text(name)):
                continue
            path = prefix + name
            try:
                # In the order of how often it is so: a large vault is walked at every start.
                if not entry.is_file(follow_symlinks=False):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((path + "/", entry.path))
                        continue
                    if not entry.is_file() or settings.is_ignored(path):
                        continue
                    if not _stays(entry.path, root):
                        skipped += 1
                        continue
                elif ignoring and settings.is_ignored(path):
                    continue
                if "conflict" in name.lower() and _CONFLICT.search(name):
                    skipped += 1
                    continue
                status = entry.stat()
                (notes if name.endswith(_NOTES) else attachments)[path] = status.st_mtime_ns, status.st_size
            except OSError:
                skipped += 1
    files = frozenset((*notes, *attachments))
    return Listing(files, notes, attachments, _digest(files), skipped)


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as listing:
            return sorted(listing, key=_NAME)
    except OSError:
        return []  # a folder that went away or may not be listed costs its own notes only


def look(root: Path, settings: ObsidianSettings, before: Listing, paths: Iterable[str]) -> Listing | None:
    """What a walk would find, from what one found before, when nothing but these files may have changed.

    None when one of them is a folder: only a walk tells what is in it.
    """
    looked = set(paths)
    notes, attachments = dict(before.notes), before.attachments
    if not all(path.endswith(_NOTES) for path in looked):
        attachments = dict(attachments)
    for path in looked:
        known = notes if path.endswith(_NOTES) else attachments
        known.pop(path, None)
        if not _counts(path, settings):
            continue
        try:
            status = _status(root, path)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            return None
        if stat.S_ISREG(status.st_mode):
            known[path] = status.st_mtime_ns, status.st_size
    if looked & before.files == {path for path in looked if path in notes or path in attachments}:
        return Listing(before.files, notes, attachments, before.digest, before.skipped)
    files = frozenset((*notes, *attachments))
    return Listing(files, notes, attachments, _digest(files), before.skipped)


def _counts(path: str, settings: ObsidianSettings) -> bool:
    """Whether a file of this path belongs to the vault, by its path alone."""
    name = path[path.rfind("/") + 1 :]
    return (
        not (path.startswith(".") or "/." in path)
        and _is_text(path)
        and not settings.is_ignored(path)
        and not _CONFLICT.search(name)
    )


def _status(root: Path, path: str) -> os.stat_result:
    """The status of a file, also through a link that stays in the vault.

    Raises:
        OSError: it is not there, lies in a linked folder, or leads out of the vault.
    """
    folder = root
    for part in path.split("/")[:-1]:
        folder /= part
        if folder.is_symlink():
            raise FileNotFoundError(path)
    file = root / path
    status = file.lstat()
    if not stat.S_ISLNK(status.st_mode):
        return status
    if not _stays(file, root) or stat.S_ISDIR((status := file.stat()).st_mode):
        raise FileNotFoundError(path)
    return status


def _is_text(name: str) -> bool:
    """Whether a name can be linked to, shown and sent."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stays(file: str | Path, root: Path) -> bool:
    return Path(os.path.realpath(file)).is_relative_to(root)


def _digest(files: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(sorted(files)).encode()).hexdigest()
