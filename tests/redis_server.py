"""A real redis-server of a test's own: on a Unix socket and a free loopback port, nothing on disk, ended by its pid."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import redis

START_SECONDS = 10.0


def free_port() -> int:
    """A loopback port nobody listens on at this moment."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


class RedisServer:
    """A running redis-server; as a context manager it is gone afterwards, whatever happened to it.

    Attributes:
        port: Its port on 127.0.0.1. It stays the same across `restart`.
        socket: Its Unix socket.
        admin: An ordinary client for looking inside and turning knobs.
    """

    def __init__(self, *options: str, password: str | None = None) -> None:
        """Start one and wait until it answers.

        Args:
            options: More options of redis-server, such as "--maxmemory", "2mb".
            password: What it asks of every client.

        Raises:
            RuntimeError: redis-server is not installed, or does not answer.
        """
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is not installed: ./check installs it, or apt-get install redis-server")
        # Not in pytest's folder: the path of a Unix socket is at most 107 bytes long.
        self._folder = tempfile.TemporaryDirectory(prefix="kos-redis-")
        self.port = free_port()
        self.socket = Path(self._folder.name, "redis.sock")
        self._command = [program, "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", str(self.socket)]
        self._command += ["--dir", self._folder.name, "--save", "", "--appendonly", "no", *options]
        if password is not None:
            self._command += ["--requirepass", password]
        self.admin = redis.Redis(unix_socket_path=str(self.socket), password=password)
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    @property
    def url(self) -> str:
        """Its address over TCP."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def unix_url(self) -> str:
        """Its address over the Unix socket."""
        return f"unix://{self.socket}"

    def stop(self) -> None:
        """Freeze it: connections are accepted by the kernel, nothing answers."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """End it and start another, empty, at the same place."""
        self.kill()
        self._start()

    def config_set(self, option: str, value: str) -> None:
        """Turn a knob while it runs."""
        self.admin.config_set(option, value)

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        self.admin.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server has been killed"
        self._process.send_signal(number)

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.admin.ping()
            except redis.RedisError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.close()
                    raise RuntimeError("redis-server does not start") from None
                time.sleep(0.01)
            else:
                return
