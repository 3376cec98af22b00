"""Runs the kos command line as people do: each command a process, with settings, state and vault of its own."""

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROGRAM = [sys.executable, str(ROOT / "knowledge_os.py")]
SAMPLE = ROOT / "examples" / "vault"
TODAY = "2025-09-14"  # of the sample vault
# A machine under load takes its time; nothing here is a measurement.
PATIENCE = 60

# A test run in the background ignores Ctrl-C, and so would every command it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one line of JSON on standard output."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


class Person:
    """Somebody with a folder for settings and state, and a vault.

    Args:
        folder: where all of it lies.
        vault: of the person; None for a copy of the sample vault.
        ollama: address of Ollama; "" for one where nobody answers.
    """

    def __init__(self, folder: Path, vault: Path | None = None, ollama: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = folder / "state"
        self.vault = vault or Path(shutil.copytree(SAMPLE, folder / "vault"))
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "no-state"),
            "TZ": "UTC",
            "KOS_VAULT": str(self.vault),
            "KOS_STATE_DIR": str(self.state),
            "KOS_OLLAMA_URL": ollama or f"http://127.0.0.1:{closed_port()}",
            "KOS_CACHE": "sqlite",
            "KOS_NOW": TODAY,
        }

    def start(self, *arguments: str, env: Mapping[str, str] | None = None, **more: Any) -> "subprocess.Popen[bytes]":
        """Start a command; whoever does waits for its end."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        given = {"env": {**self.env, **(env or {})}, "cwd": self.folder, **streams, **more}
        return subprocess.Popen([*PROGRAM, *arguments], **given)

    def run(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, **more: Any) -> Ran:
        """Run a command to its end."""
        process = self.start(*arguments, env=env, stdin=subprocess.PIPE, **more)
        try:
            out, err = process.communicate(stdin, timeout=PATIENCE)
        finally:
            process.kill()
        return Ran(process.returncode, (out or b"").decode("utf-8"), (err or b"").decode("utf-8"))

    @contextlib.contextmanager
    def serving(self, *arguments: str, **more: Any) -> Iterator["Serving"]:
        """A service, ready; gone at the end."""
        process = self.start("serve", "--port", "0", "--json", *arguments, **more)
        try:
            yield Serving(process, json.loads(line_of(process)))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=PATIENCE)
            finally:
                process.kill()

    def on_terminal(self, *arguments: str, env: Mapping[str, str] | None = None) -> "Terminal":
        """Start a command on a terminal."""
        ours, theirs = pty.openpty()
        # The first of a session that opens a terminal is who gets its Ctrl-C.
        script = f'exec "$@" <>{os.ttyname(theirs)} >&0 2>&0'
        process = subprocess.Popen(
            ["sh", "-c", script, "sh", *PROGRAM, *arguments],
            env={**self.env, "TERM": "xterm", **(env or {})},
            cwd=self.folder,
            start_new_session=True,
        )
        return Terminal(process, ours, theirs)


@dataclass(frozen=True, slots=True)
class Serving:
    """A service that is ready, and what it said about itself."""

    process: "subprocess.Popen[bytes]"
    said: Mapping[str, Any]


class Terminal:
    """What a command writes to its terminal."""

    def __init__(self, process: "subprocess.Popen[bytes]", ours: int, theirs: int) -> None:
        self.process = process
        self.text = ""
        self._data = b""
        self._ours = ours
        self._theirs = theirs  # held open: what is written before the command ends is not lost

    def read(self, until: str = "") -> str:
        """All it wrote up to now, once that holds `until`; without it, once it ended."""
        end = time.monotonic() + PATIENCE
        while not until or until not in self.text:
            assert time.monotonic() < end, self.text
            over = self.process.poll() is not None
            if select.select([self._ours], [], [], 0 if over else 0.1)[0]:
                self._data += os.read(self._ours, 65536)
                self.text = self._data.decode("utf-8", "replace")
            elif over:
                assert not until, self.text
                break
        return self.text

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._ours, keys)

    def end(self) -> int:
        """Read to the end; the exit code."""
        try:
            self.read()
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self._ours)
            os.close(self._theirs)


def line_of(process: "subprocess.Popen[bytes]") -> str:
    """The next line a process writes to standard output."""
    assert process.stdout is not None
    found = b""
    end = time.monotonic() + PATIENCE
    while not found.endswith(b"\n"):
        assert select.select([process.stdout], [], [], max(0, end - time.monotonic()))[0], "it says nothing"
        piece = os.read(process.stdout.fileno(), 1)
        assert piece, process.communicate()[1].decode()
        found += piece
    return found.decode("utf-8")


def until(holds: Any) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.01)


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a folder: path, time of change, and bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }
