"""Small files of the state folder: put in the place of the one before in one step, and read by their owner alone."""

import os
from contextlib import suppress
from pathlib import Path


def put(file: Path, text: str) -> None:
    """Give a file this text; whoever reads meanwhile finds the one before.

    Raises:
        OSError: it cannot be written, and is as it was.
    """
    made = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
        made.replace(file)
    except OSError:
        with suppress(OSError):
            made.unlink()
        raise
