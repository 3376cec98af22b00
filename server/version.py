"""Which version this is: of the checkout it runs from, else of the installed package."""

import re
from pathlib import Path

_LINE = re.compile(r'^version = "([^"]+)"', re.MULTILINE)


def version() -> str:
    """The version, such as "0.1.0"; "0" where neither a checkout nor an installed package tells one."""
    try:
        # A checkout comes first: what is installed beside it is another copy. It is also read in no time.
        found = _LINE.search((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    except OSError:
        found = None
    if found:
        return found[1]
    from importlib import metadata  # noqa: PLC0415 - takes longer than everything else that `kos --version` does

    try:
        return metadata.version("knowledge-os")
    except metadata.PackageNotFoundError:
        return "0"
