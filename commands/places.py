"""Where an edit may write: notes of the vault, by names that every system can hold; nothing else, ever."""

import os
import re
import stat
from pathlib import Path

from context.names import fold

# What Windows cannot have in a name, Android and exFAT neither; notes are synced between all of them.
_HOSTILE = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
# Bytes of one name that common file systems hold, less what a temporary name beside it needs.
_NAME_BYTES = 240
_MOST_PARTS = 32


class PlaceError(ValueError):
    """A path that no edit may write, or the name of a new note that cannot be."""

    code = "conflict"

    def __init__(self, message: str, hint: str = "Name a note of the vault, as a path relative to it.") -> None:
        super().__init__(message)
        self.hint = hint


def check_place(root: Path, path: str, *, new: bool, gone: bool = False) -> Path:
    """The file of a note that an edit may write.

    Args:
        root: the vault.
        path: of the note, relative to it.
        new: the note is to be made: its name must be one that every system can hold and nobody has, in any case or
            Unicode form.
        gone: the note need not be there.

    Raises:
        PlaceError: it leads out of the vault, into a hidden folder, through a link, or is no note.
    """
    parts = path.split("/")
    if not path.endswith(".md") or len(parts) > _MOST_PARTS or "\\" in path or "\0" in path or Path(path).is_absolute():
        raise PlaceError("the path of an edit is that of a Markdown note in the vault")
    if any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise PlaceError("edits do not reach out of the vault or into its hidden folders")
    _no_links(root, parts, new=new, gone=gone)
    if new:
        for part in parts:
            _good_name(part)
        _free_name(root, parts)
    return root / path


def _no_links(root: Path, parts: list[str], *, new: bool, gone: bool) -> None:
    here = root
    for place, part in enumerate(parts, 1):
        here = here / part
        try:
            mode = os.lstat(here).st_mode
        except FileNotFoundError:
            if new or gone:
                return
            raise PlaceError(f"there is no note {'/'.join(parts)}", "It was renamed or removed meanwhile.") from None
        except OSError as error:
            raise PlaceError(f"the place of the note cannot be used ({error.strerror})") from None
        if stat.S_ISLNK(mode):
            raise PlaceError("edits do not follow links of the file system", "Edit the note it leads to instead.")
        if place < len(parts) and not stat.S_ISDIR(mode):
            raise PlaceError(f"{'/'.join(parts[:place])} is no folder")
        if place == len(parts) and not stat.S_ISREG(mode):
            raise PlaceError(f"{'/'.join(parts)} is no file")


def _good_name(name: str) -> None:
    if _HOSTILE.search(name) or _DEVICES.fullmatch(name) or name != name.rstrip(". "):
        hint = 'Leave out < > : " | ? * \\, a dot or blank at the end, and names such as CON.'
        raise PlaceError("a name that some of your systems cannot hold", hint)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise PlaceError("a name that is no text") from None
    if size > _NAME_BYTES:
        raise PlaceError(f"a name of more than {_NAME_BYTES} bytes", "Shorten it.")


def _free_name(root: Path, parts: list[str]) -> None:
    """Whether the name is nobody's, on systems that do not tell case or Unicode forms apart as well."""
    here = root
    for place, part in enumerate(parts, 1):
        try:
            names = os.listdir(here)  # noqa: PTH208 - names alone
        except FileNotFoundError:
            return
        same = [name for name in names if fold(name) == fold(part)]
        if place == len(parts) and same:
            raise PlaceError(
                f"a note of this name is there already: {same[0]}", "Choose another name, or edit that one."
            )
        if place < len(parts) and same and part not in same:
            raise PlaceError(f"the folder is written {same[0]} in this vault", "Write it the same way.")
        here = here / part
