"""What the command line costs before it does anything, over a bare Python. Run: python benchmarks/cli.py.

Bare Python and the commands alternate; each figure is the least of many rounds, which is what the program takes when
nothing else runs. The bar is that `kos --version` adds at most 60 ms.
"""

import subprocess
import sys
import time
from pathlib import Path

PROGRAM = [sys.executable, str(Path(__file__).resolve().parent.parent / "knowledge_os.py")]
COMMANDS = {
    "bare Python": [sys.executable, "-c", ""],
    "kos --version": [*PROGRAM, "--version"],
    "kos --help": [*PROGRAM, "--help"],
    "kos token --path": [*PROGRAM, "token", "--path"],
}
ROUNDS = 25


def main() -> None:
    """Print one row per command."""
    least = dict.fromkeys(COMMANDS, float("inf"))
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            least[name] = min(least[name], time.perf_counter() - began)
    bare = least["bare Python"]
    print("| command | ms | ms over bare | × bare |")
    print("|---|---|---|---|")
    for name, seconds in least.items():
        print(f"| {name} | {seconds * 1000:.0f} | {(seconds - bare) * 1000:.0f} | {seconds / bare:.1f} |")


if __name__ == "__main__":
    main()
