"""HTTP of the Ollama double: reads requests, writes whole answers and streams, and lets faults strike on the wire."""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

EOF = "an error was encountered while running the model: unexpected EOF"
DIED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama "
    "server logs for details"
)
# Faults that come instead of an answer.
REFUSALS: Mapping[str, tuple[int, str]] = {
    "missing": (404, "model '{model}' not found"),
    "busy": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "gone": (499, "request canceled"),
    "no_memory": (500, "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory"),
    "died": (500, DIED),
}
FAULTS: Mapping[str, str] = {
    **{kind: f"status {status}: {text}" for kind, (status, text) in REFUSALS.items()},
    "error_line": "after so many chunks a line with an error, then the end without done",
    "cut": "after so many chunks the connection breaks",
    "repeated": "after so many chunks one token over and over, then the end with neither done nor error",
    "stall": "after so many chunks silence for so many seconds",
    "slow_first": "silence for so many seconds before the first byte",
    "drip": "after so many chunks one byte every so many seconds",
    "garbage": "after so many chunks a line that is no JSON",
    "half_line": "after so many chunks half a line, then the end",
    "huge_line": "after so many chunks a line of 10 MB",
    "split_utf8": "characters that are split between pieces of the body",
    "half": "the prompt is cut to half; nothing tells but its count",
    "spill": "half of the model is on the CPU: size_vram < size",
    "no_count": "prompt_eval_count is absent",
}
# Those that can strike an answer that is no stream.
_WITHOUT_STREAM = ("error_line", "cut", "stall")
_BODY_LIMIT = 256 * 1024 * 1024


@dataclass
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: one of `FAULTS`.
        after: chunks that come before it.
        seconds: how long it takes.
        times: requests it still meets, None for all that come.
    """

    kind: str
    after: int = 1
    seconds: float = 0.5
    times: int | None = 1

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"{self.kind!r} is no fault; allowed: {', '.join(FAULTS)}")


@dataclass
class Seen:
    """A request that came in. Times are of `time.monotonic()`, 0 for never.

    Attributes:
        body: as JSON, whatever it says it is; bytes if it is none, None if there is none.
        chunks: lines of the answer so far.
        began, ended: when the request was read, and when the end of its answer was given to the network.
        closed: when it was noticed that the client had gone before that.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    chunks: int = 0
    ended: float = 0.0
    closed: float = 0.0


class Refused(Exception):  # noqa: N818 - named for the fact
    """A request that is not answered; the text is Ollama's own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Exchange:
    """A request and its answer, while it is written."""

    def __init__(self, seen: Seen, transport: asyncio.Transport) -> None:
        self.seen = seen
        self.transport = transport
        self.fault: Fault | None = None

    def meets(self, kind: str) -> bool:
        """Whether this is the fault of the request."""
        return self.fault is not None and self.fault.kind == kind

    def _head(self, status: int, kind: str, length: int | None = None) -> bytes:
        self.seen.status = status
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}"]
        lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        if origin := self.seen.headers.get("origin"):
            lines.append(f"Access-Control-Allow-Origin: {origin}")
        return "\r\n".join([*lines, "", ""]).encode()

    async def whole(self, status: int, value: Any) -> None:
        """Answer with one object, or with a text."""
        kind = "text/plain" if isinstance(value, str) else "application/json"
        data = value.encode() if isinstance(value, str) else to_json(value)
        head = self._head(status, f"{kind}; charset=utf-8", len(data))
        await self._send(head + (b"" if self.seen.method == "HEAD" else data), last=True)

    async def line(self, value: Any) -> None:
        """Answer with one more line of a stream: an object, or bytes as they are."""
        if not self.seen.status:
            self.transport.write(self._head(200, "application/x-ndjson"))
        data = value if isinstance(value, bytes) else to_json(value) + b"\n"
        for part in _split(data) if self.meets("split_utf8") else [data]:
            await self._send(b"%x\r\n%s\r\n" % (len(part), part))
        self.seen.chunks += 1

    async def end(self) -> None:
        """End a stream."""
        await self._send(b"0\r\n\r\n", last=True)

    async def refuse(self, error: Refused) -> None:
        """Say why there is no answer, or no more of it."""
        refusal = {"error": str(error)}
        if self.seen.status:
            await self.line(refusal)
            await self.end()
        else:
            await self.whole(error.status, refusal)

    async def _send(self, data: bytes, *, last: bool = False) -> None:
        if self.fault is not None and self.meets("drip") and self.seen.chunks >= self.fault.after:
            for byte in data:
                self.transport.write(bytes([byte]))
                await asyncio.sleep(self.fault.seconds)
        else:
            self.transport.write(data)
        if last:
            self.seen.ended = time.monotonic()
        await asyncio.sleep(0)

    async def strike(self, chunks: int, *, last: bool, stream: bool) -> bool:
        """Let the fault strike if it is due: after so many chunks, or after all of them.

        Returns:
            Whether that was the end of the answer.

        Raises:
            Refused: the fault is an error.
        """
        fault = self.fault
        if fault is None or not (chunks == fault.after or (last and chunks < fault.after)):
            return False
        if not stream and fault.kind not in _WITHOUT_STREAM:
            return False
        match fault.kind:
            case "error_line":
                raise Refused(500, EOF)
            case "cut":
                self.seen.ended = time.monotonic()
                self.transport.abort()
                return True
            case "stall":
                await asyncio.sleep(fault.seconds)
            case "garbage":
                await self.line(b"<html>502 Bad Gateway</html>\n")
            case "huge_line":
                await self.line(to_json({"message": {"content": "x" * 10_000_000}, "done": False}) + b"\n")
            case "half_line":
                await self.line(b'{"model":"x","message":{"role":"assist')
                await self.end()
                return True
            case "repeated":
                for _ in range(31):
                    await self.line({"message": {"role": "assistant", "content": " the"}, "done": False})
                await self.end()
                return True
        return False


class Connection(asyncio.Protocol):
    """One client. Its leaving cancels what is done for it, as in Go.

    Args:
        handle: answers a request.
        tasks: where its task is kept, so that it can be ended.
    """

    def __init__(
        self, handle: Callable[[Seen, asyncio.Transport], Awaitable[None]], tasks: set[asyncio.Task[None]]
    ) -> None:
        self._handle = handle
        self._tasks = tasks
        self._reader = asyncio.StreamReader(limit=_BODY_LIMIT)
        self._seen: Seen | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._task = asyncio.create_task(self._serve())
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def eof_received(self) -> None:
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()

    def _gone(self) -> None:
        if self._seen is not None and not self._seen.ended and not self._seen.closed:
            self._seen.closed = time.monotonic()
        self._task.cancel()

    async def _serve(self) -> None:
        try:
            with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ValueError):
                while await self._one():
                    pass
        finally:
            self._transport.close()

    async def _one(self) -> bool:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, version = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._seen = Seen(method, urlsplit(target).path, headers, await self._body(headers))
        await self._handle(self._seen, self._transport)
        return version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"

    async def _body(self, headers: Mapping[str, str]) -> Any:
        if "chunked" in headers.get("transfer-encoding", ""):
            data = b""
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                data += await self._reader.readexactly(size)
                await self._reader.readexactly(2)
            await self._reader.readuntil(b"\r\n")
        else:
            data = await self._reader.readexactly(int(headers.get("content-length", "0")))
        try:
            return json.loads(data) if data.strip() else None
        except ValueError:
            return data


def to_json(value: Any) -> bytes:
    """As Go writes it: without spaces, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _split(data: bytes) -> list[bytes]:
    """Bytes cut within each character that has more than one of them, else as they are."""
    cuts = [0, *(at for at, byte in enumerate(data) if 0x80 <= byte < 0xC0), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(cuts) if b > a]
