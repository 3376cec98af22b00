"""The few things the writer asks of the system, in one place: durable, never in place, each open to a fault."""

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EXCHANGE, _NOREPLACE = 2, 1  # flags of Linux's renameat2(2)
_AT_FDCWD = -100
_NOT_THERE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})


def _renameat2() -> Callable[[Path, Path, int], None] | None:
    """Linux's rename with flags, or None where there is none."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if function is None:
        return None

    def rename(one: Path, other: Path, flags: int) -> None:
        if function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flags):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(one))

    return rename


class Disk:
    """Writes files so that a crash or fault leaves the old text or the new one, whole.

    Args:
        calls: the system calls, as the module `os` has them; a test gives some that fail.
        rename: renames with flags as renameat2(2) does; None where the system has no such call.
    """

    def __init__(self, calls: Any = os, rename: Callable[[Path, Path, int], None] | None = _renameat2()) -> None:  # noqa: B008 - looked up once
        self._os = calls
        self._rename = rename

    def read(self, path: Path) -> bytes | None:
        """The bytes of a regular file, None when there is none.

        Raises:
            OSError: it is a link, a folder, or cannot be read.
        """
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            handle = self._os.open(path, flags)
        except FileNotFoundError:
            return None
        try:
            if not stat.S_ISREG(self._os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            parts = []
            while part := self._os.read(handle, 1 << 20):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(handle)

    def write_new(self, path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
        """Write a file that is not there yet, to the platter; on a fault it is not there.

        Raises:
            OSError: it is there, or cannot be written.
        """
        handle = self._os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    if not (count := self._os.write(handle, rest)):
                        raise OSError(errno.EIO, "not written", str(path))
                    rest = rest[count:]
                if mode != 0o600:
                    self._os.chmod(path, mode)
                if durable:
                    self._os.fsync(handle)
            finally:
                os.close(handle)
        except BaseException:
            os.unlink(path)  # noqa: PTH108 - not through a call that a test lets fail
            raise

    def put(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        """Write one of our own files in place of what was there.

        Args:
            path: the file.
            data: its bytes.
            durable: whether it must survive a loss of power.

        Raises:
            OSError: it cannot be written; the old one is still there.
        """
        temporary = path.with_name(f"{path.name}.new")
        temporary.unlink(missing_ok=True)
        self.write_new(temporary, data, durable=durable)
        try:
            self._os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            self.sync(path.parent)

    def exchange(self, one: Path, other: Path) -> None:
        """Let two files of one folder change places, at once: whoever looks sees one text or the other.

        Where the system cannot, the second is kept under a third name before the first takes its place; what another
        program puts there within that moment, by renaming, would be lost.

        Raises:
            OSError: they did not change places.
        """
        if self._rename is not None:
            try:
                self._rename(one, other, _EXCHANGE)
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
            else:
                return
        aside = self.aside(one)
        self._os.link(other, aside)
        try:
            self._os.replace(one, other)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        self._os.replace(aside, one)

    def aside(self, path: Path) -> Path:
        """Where an exchange without a system call keeps the second file while the first takes its place."""
        return path.with_name(f"{path.name}.old")

    def place(self, temporary: Path, path: Path) -> None:
        """Give a file its name, if that is free.

        Raises:
            FileExistsError: it is taken.
            OSError: it cannot be.
        """
        if self._rename is not None:
            try:
                self._rename(temporary, path, _NOREPLACE)
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
            else:
                return
        self._os.link(temporary, path)
        self._os.unlink(temporary)

    def remove(self, path: Path) -> None:
        """Take a file away, if it is there.

        Raises:
            OSError: it cannot be.
        """
        try:
            self._os.unlink(path)
        except FileNotFoundError:
            return

    def rename(self, path: Path, other: Path) -> None:
        """Give a file another name in place of whatever had it.

        Raises:
            OSError: it cannot be.
        """
        self._os.replace(path, other)

    def sync(self, folder: Path) -> None:
        """Make the names in a folder durable.

        Raises:
            OSError: that failed, and a loss of power now may bring back the old names.
        """
        if sys.platform == "win32":
            return
        handle = self._os.open(folder, os.O_RDONLY)
        try:
            self._os.fsync(handle)
        finally:
            os.close(handle)

    def free_bytes(self, folder: Path) -> int:
        """Bytes that may still be written where a folder is."""
        if not hasattr(os, "statvfs"):
            return 1 << 62
        found = self._os.statvfs(folder)
        return int(found.f_bavail * found.f_frsize)
