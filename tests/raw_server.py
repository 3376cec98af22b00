"""A server that answers with the very bytes it is told, for what no well-behaved double can send."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

# In a script: send nothing more, and wait until the client leaves.
HANG = object()
# In a script: close the connection.
CLOSE = object()


@dataclass
class Seen:
    """A request that came in, and when its connection was found closed by the client."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    closed: float = 0.0


@dataclass
class RawServer:
    """Answers each request with the next script of its path ("" for any): pieces of bytes, each sent by itself."""

    url: str = ""
    scripts: dict[str, list[Sequence[Any]]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    _tasks: list[Any] = field(default_factory=list)

    def answer(self, *pieces: Any, path: str = "") -> None:
        """Add a script; the last one of a path is used again and again. A float is a pause in seconds."""
        self.scripts.setdefault(path, []).append(pieces)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.append(asyncio.current_task())
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        data = await reader.readexactly(int(headers.get("content-length", "0")))
        seen = Seen(method, path, headers, json.loads(data) if data else None)
        self.seen.append(seen)
        scripts = self.scripts.get(path) or self.scripts.get("") or [[status(404)]]
        try:
            return await self._say(scripts.pop(0) if len(scripts) > 1 else scripts[0], seen, reader, writer)
        except ConnectionError:
            seen.closed = time.monotonic()
            return False

    async def _say(
        self, script: Sequence[Any], seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        for piece in script:
            if isinstance(piece, float) or piece is HANG:
                with suppress(TimeoutError):
                    async with asyncio.timeout(piece if isinstance(piece, float) else None):
                        await reader.read(1)
                    seen.closed = time.monotonic()
                    return False
            elif piece is CLOSE:
                writer.close()
                await writer.wait_closed()
                return False
            else:
                writer.write(piece)
                await writer.drain()
        return True


def status(code: int, body: bytes | str | dict[str, Any] = b"", *headers: str) -> bytes:
    """A whole answer."""
    data = json.dumps(body) if isinstance(body, dict) else body
    data = data.encode() if isinstance(data, str) else data
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(data)}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def piece(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    """A running server."""
    found = RawServer()
    server = await asyncio.start_server(found._serve, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for task in found._tasks:
            task.cancel()
        await asyncio.gather(*found._tasks, return_exceptions=True)
