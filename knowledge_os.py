"""Starts the program: installed, its packages lie in the folder of this file's name; in a checkout, beside it."""

import sys
from pathlib import Path


def main() -> None:
    """Run the command line."""
    sys.path.insert(0, str(Path(__file__).with_suffix("")))
    from server.cli import main as run  # noqa: PLC0415 - the path must be set first

    sys.exit(run())


if __name__ == "__main__":
    main()
