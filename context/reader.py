"""Reads the files of a vault: their bytes, never waiting and never outside the vault, and the notes in them."""

import errno
import hashlib
import os
import stat
from pathlib import Path

from msgspec import Struct, structs

from context.note import CUT_SHORT, Note, decode, parse, parse_text

# What is read of one note at most, in bytes; the rest of a longer file is left out and the note is flagged. This much
# of any script, the text of a long book, is parsed and indexed well within the second that a note may take.
READ_BYTES = 1 << 20
# A larger buffer costs a mapping of memory for each file: three times slower.
_BUFFER = 65536
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Reader(Struct, frozen=True):
    """How the notes of one vault are read.

    Attributes:
        root: the vault's folder, resolved.
        private_tags: tags that make a note private.
        private_folders: folders whose notes are private, as vault paths.
    """

    root: str
    private_tags: frozenset[str] = frozenset()
    private_folders: tuple[str, ...] = ()

    def note(self, path: str) -> tuple[Note, str]:
        """A note and its text as they are on disk. Never raises: what cannot be read is flagged, and private."""
        try:
            data, status = self.data(path)
        except OSError as error:
            reason = "permission denied" if error.errno in (errno.EACCES, errno.EPERM) else "cannot be read"
            empty = parse(path, b"", private_tags=self.private_tags)
            return structs.replace(empty, flags=(f"unreadable: {reason}",), private=True), ""
        return self.parsed(path, data, status)

    def text(self, note: Note) -> str | None:
        """The text that a note was parsed from; None when its file has other bytes by now."""
        data = self._same(note)
        return None if data is None else decode(data)[0]

    def is_same(self, note: Note) -> bool:
        """Whether the file of a note still has the bytes that it was parsed from."""
        return self._same(note) is not None

    def _same(self, note: Note) -> bytes | None:
        try:
            data = self.data(note.path)[0]
        except OSError:
            data = b""
        return data if hashlib.sha256(data).hexdigest() == note.digest else None

    def parsed(self, path: str, data: bytes, status: os.stat_result) -> tuple[Note, str]:
        """A note of these bytes, and its text."""
        note, text = parse_text(path, data, status.st_mtime_ns, private_tags=self.private_tags)
        if status.st_size > len(data):
            flag = f"{CUT_SHORT}: only its first {READ_BYTES >> 20} MiB are read"
            note = structs.replace(note, size=status.st_size, flags=(*note.flags, flag), private=True)
        if any(path.startswith(folder.rstrip("/") + "/") for folder in self.private_folders):
            note = structs.replace(note, private=True)
        return note, text

    def data(self, path: str) -> tuple[bytes, os.stat_result]:
        """The first READ_BYTES of a regular file, and its status.

        Raises:
            OSError: it is not there, cannot be read, is no regular file, or leads out of the vault.
        """
        handle = self._open(path)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            data = os.read(handle, _BUFFER)
            if len(data) != status.st_size:
                parts = [data]
                left = READ_BYTES - len(data)
                while left and parts[-1]:
                    parts.append(os.read(handle, min(left, _BUFFER)))
                    left -= len(parts[-1])
                data = b"".join(parts)
            return data, status
        finally:
            os.close(handle)

    def _open(self, path: str) -> int:
        """Open a file without waiting, so that a pipe named like a note cannot hang us."""
        name = f"{self.root}/{path}"
        try:
            return os.open(name, _FLAGS)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        real = os.path.realpath(name)
        if not Path(real).is_relative_to(self.root):
            raise OSError(errno.ELOOP, "leads out of the vault")
        return os.open(real, _FLAGS)
