"""Ports where something else than Redis listens: silent, slow, or saying what no Redis says."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def something(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on which each connection is served by a function."""
    lines: list[socket.socket] = []
    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def one(line: socket.socket) -> None:
        with contextlib.suppress(OSError):
            serve(line)

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            lines.append(line)
            threads.append(threading.Thread(target=one, args=(line,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for line in lines:
            line.close()


def silent(line: socket.socket) -> None:
    """Accepts and never answers."""
    while line.recv(1000):
        pass


def speaks_http(line: socket.socket) -> None:
    """A web server."""
    line.recv(1000)
    line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>" * 10)
    silent(line)


def hangs_up(line: socket.socket) -> None:
    """Closes after the question."""
    line.recv(1000)
    line.shutdown(socket.SHUT_RDWR)


def drips(line: socket.socket) -> None:
    """Each byte comes in time, the answer never."""
    line.recv(1000)
    line.sendall(b"$1000000\r\n")
    for _ in range(600):
        line.sendall(b"x")
        time.sleep(0.05)


def drips_a_line(line: socket.socket) -> None:
    """The same with a line that never ends."""
    line.recv(1000)
    for _ in range(600):
        line.sendall(b"$1")
        time.sleep(0.05)


def nests(line: socket.socket) -> None:
    """Arrays in arrays, to exhaust the reader's stack."""
    line.recv(1000)
    line.sendall(b"*1\r\n" * 100_000)
    silent(line)


def announces(line: socket.socket) -> None:
    """A value of a million gigabytes."""
    line.recv(1000)
    line.sendall(b"$999999999999999\r\nabc")
    silent(line)


def floods(line: socket.socket) -> None:
    """A line that never ends, as fast as it can."""
    line.recv(1000)
    while True:
        line.sendall(b"x" * 100_000)


EVERY = (silent, speaks_http, hangs_up, drips, drips_a_line, nests, announces, floods)
