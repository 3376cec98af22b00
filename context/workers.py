"""Worker processes that read notes, so that a whole vault is read on every core. Made for one job, gone after it."""

import gc
import json
import logging
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from msgspec import DecodeError, Struct, msgpack

from context.chunk import Chunk, chunks
from context.note import Note
from context.reader import Reader

# More gain nothing: what one process does with their answers is then the longest part.
_MOST = 3
# What a worker is given before its first answer is back: it never waits for us.
_AHEAD = 2
# Answers that wait to be taken; a worker that is this far ahead of us rests.
_READY = 8
_HEAD = struct.Struct("<I")
# On Linux a pipe is made as long as a whole answer, in bytes, so that a worker does not wait until it is read.
_PIPE_BYTES, _SETPIPE_SZ = 1 << 20, 1031
# The worker finds its modules where this process does.
_CODE = """
import json, sys
sys.path[:], sys.pycache_prefix, sys.dont_write_bytecode = json.loads(sys.argv[1])
from context.workers import serve
serve()
"""


class Chunked(Struct, frozen=True, array_like=True):
    """A note and its chunks; none when its file has other bytes by now."""

    note: Note
    chunks: list[Chunk]


class _Job(Struct, frozen=True, array_like=True):
    """What a worker is asked: to read and parse the notes of these paths, or to cut these notes."""

    paths: list[str] = []
    notes: list[Note] = []


class _Answer(Struct, frozen=True, array_like=True):
    notes: list[Note] = []
    chunked: list[Chunked] = []


def _done(reader: Reader, job: _Job) -> _Answer:
    return _Answer([reader.note(path)[0] for path in job.paths], [_chunked(reader, note) for note in job.notes])


def _chunked(reader: Reader, note: Note) -> Chunked:
    text = reader.text(note)
    return Chunked(note, [] if text is None else chunks(note, text))


class Workers:
    """Reads notes in this process and, where there are cores for it, in others beside it. A context manager.

    A worker that cannot be started, or dies, is done without: its share is read here.
    """

    def __init__(self, reader: Reader, count: int | None = None) -> None:
        """Start them.

        Args:
            reader: how notes are read.
            count: how many processes besides this one; None takes what the machine has cores for.
        """
        self._reader = reader
        wanted = min(_cores() - 1, _MOST) if count is None else count
        self._workers = [worker for _ in range(wanted) if (worker := _Worker.start(reader)) is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.stop()

    def parsed(self, batches: Iterable[list[str]]) -> Iterator[list[Note]]:
        """The notes of these paths, batch by batch; the batches come in any order."""
        return (answer.notes for answer in self._each([_Job(paths=paths) for paths in batches]))

    def chunked(self, batches: Iterable[list[Note]]) -> Iterator[list[Chunked]]:
        """These notes with the chunks of their texts, batch by batch; the batches come in any order."""
        return (answer.chunked for answer in self._each([_Job(notes=notes) for notes in batches]))

    def _each(self, jobs: Iterable[_Job]) -> Iterator[_Answer]:
        waiting = deque(jobs)
        ready: queue.Queue[_Answer | _Worker] = queue.Queue(_READY)
        busy = set(self._workers)
        for worker in busy:
            threading.Thread(target=worker.drive, args=(waiting, ready), name="vault-worker", daemon=True).start()
        try:
            while True:
                try:
                    answer = ready.get_nowait()
                except queue.Empty:
                    with suppress(IndexError):
                        yield _done(self._reader, waiting.popleft())
                        continue
                    if not busy:
                        return
                    answer = ready.get()
                if isinstance(answer, _Worker):
                    busy.discard(answer)
                else:
                    yield answer
        finally:
            waiting.clear()
            while busy:
                answer = ready.get()
                if isinstance(answer, _Worker):
                    busy.discard(answer)


class _Worker:
    """One process, its pipes, and whether it lives."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        self._process = process
        self._to, self._from = process.stdin.fileno(), process.stdout.fileno()

    @classmethod
    def start(cls, reader: Reader) -> "_Worker | None":
        if not sys.executable:
            return None
        where = json.dumps([sys.path, sys.pycache_prefix, True])
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [sys.executable, "-I", "-S", "-c", _CODE, where],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
            worker = cls(process)
            _lengthen(worker._from)
            _send(worker._to, msgpack.encode(reader))
        except OSError:
            logging.getLogger("knowledge_os").warning(
                "no process can be started: the vault is read in one", exc_info=True
            )
            return None
        return worker

    def drive(self, waiting: "deque[_Job]", ready: "queue.Queue[_Answer | _Worker]") -> None:
        """Give the worker jobs until none is left, and say itself when through; what it does not answer goes back."""
        sent: deque[_Job] = deque()
        try:
            while True:
                with suppress(IndexError):
                    while len(sent) < _AHEAD:
                        sent.append(waiting.popleft())
                        _send(self._to, msgpack.encode(sent[-1]))
                if not sent:
                    return
                answer = msgpack.decode(_receive(self._from), type=_Answer)
                sent.popleft()
                ready.put(answer)
        except (OSError, EOFError, DecodeError):
            logging.getLogger("knowledge_os").warning("a process that reads notes has ended; its share is read here")
            waiting.extend(sent)
        finally:
            ready.put(self)

    def stop(self) -> None:
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _lengthen(pipe: int) -> None:
    with suppress(ImportError, OSError):
        from fcntl import fcntl  # noqa: PLC0415 - not on Windows

        fcntl(pipe, _SETPIPE_SZ, _PIPE_BYTES)


def _send(pipe: int, data: bytes) -> None:
    rest = memoryview(_HEAD.pack(len(data)) + data)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _receive(pipe: int) -> bytes:
    """One message.

    Raises:
        EOFError: the other side has ended.
    """
    (length,) = _HEAD.unpack(_read(pipe, _HEAD.size))
    return _read(pipe, length)


def _read(pipe: int, length: int) -> bytes:
    parts: list[bytes] = []
    while length:
        part = os.read(pipe, length)
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def serve() -> None:
    """What a worker does: answer job after job, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that is asked
    gc.disable()  # a batch makes many objects and no cycles, and is gone with its answer
    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    with suppress(EOFError, BrokenPipeError):
        reader = msgpack.decode(_receive(source), type=Reader)
        while True:
            answer = _done(reader, msgpack.decode(_receive(source), type=_Job))
            _send(sink, msgpack.encode(answer))
