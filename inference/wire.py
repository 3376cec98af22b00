"""The one way to speak to a node over HTTP: a client without surprises, lines within a limit, patience with an end."""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any

import httpx

from inference import faults
from inference.node import NodeUnavailable, UpstreamFault, start_hint
from inference.profile import NodeConfig
from inference.transport import NodeTransport
from inference.values import loads

# httpcore tries to import it four times in each request: that it is not there is now known without a look at the disk.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]

# The longest line Ollama's own client accepts, in bytes.
LINE_LIMIT = 8 * 1024 * 1024
# Seconds until a connection must stand, by class of node.
CONNECT_SECONDS = {"local": 1.0, "lan": 2.0, "cloud": 5.0}
# Seconds that a probe of a node may take in all.
PROBE_SECONDS = 1.0
# When a busy node does not say for how long, in seconds.
BUSY_SECONDS = 5.0

_WRITE_SECONDS = 30.0
# Seconds within which the end of a body should follow its last line, so that the connection can be used again.
_DRAIN_SECONDS = 0.1
_ERROR_BYTES = 64 * 1024
# The longest answer that is no stream, in bytes: a thousand vectors of the longest kind.
_WHOLE_BYTES = 256 * 1024 * 1024
_PROBE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is borne; the total is the caller's business.

    Attributes:
        first: seconds until the first bytes; a model may have to be loaded, which takes minutes from a slow disk.
        between: seconds between any two pieces after that.
    """

    first: float = 600.0
    between: float = 120.0


class LineTooLong(Exception):  # noqa: N818 - named for the fact
    """A line is longer than the limit."""


class LineReader:
    """Cuts bytes into lines, wherever the pieces they come in end.

    Args:
        limit: bytes that a line may have.
    """

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._open: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that end in these bytes, without their line end. To be read to its end before the next piece.

        Raises:
            LineTooLong: after the lines before it.
        """
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._add(end)
            yield self.rest()
        self._add(rest)

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise LineTooLong
        self._open.append(part)

    def rest(self) -> bytes:
        """What has come since the last line end."""
        line = b"".join(self._open)
        self._open, self._size = [], 0
        return line.removesuffix(b"\r")


class Lines:
    """The lines of an answer as they come; the last one counts also without a line end.

    Args:
        response: the answer, its head read.
        node: who sends it.
        patience: how long silence is borne.
    """

    def __init__(self, response: httpx.Response, node: NodeConfig, patience: Patience) -> None:
        self._pieces = response.aiter_raw()
        self._node = node
        self._seconds, self._between = patience.first, patience.between
        self._reader = LineReader()
        self._ready: Iterator[bytes] = iter(())
        self._ended = False

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> bytes:
        """The next line.

        Raises:
            UpstreamFault: silence for too long, a line too long, or the connection broke.
        """
        while True:
            try:
                line = next(self._ready, None)
            except LineTooLong:
                raise faults.line_too_long(self._node) from None
            if line is not None:
                # Lines that came together are given one by one: what the first one brought goes out before the last.
                await asyncio.sleep(0)
                return line
            if self._ended:
                raise StopAsyncIteration
            data = await self._read()
            self._ended = data is None
            self._ready = self._reader.feed(data) if data is not None else iter(filter(None, [self._reader.rest()]))

    async def _read(self) -> bytes | None:
        try:
            async with asyncio.timeout(self._seconds):
                data = await anext(self._pieces, None)
        except TimeoutError:
            raise faults.silent(self._node, self._seconds) from None
        except httpx.HTTPError:
            raise faults.broken_off(self._node) from None
        self._seconds = self._between
        return data

    async def drain(self) -> None:
        """Read the end of the body, so that the connection can be used again; not worth waiting for."""
        with suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await anext(self._pieces, None) is not None:
                    pass


def client(node: NodeConfig, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    """The one HTTP client of a node: no proxy, no redirects, no compression; silence is borne by `Lines`."""
    # A context that trusts nobody costs nothing; loading the certificates of the world takes 20 ms.
    context = httpx.create_ssl_context() if node.url.startswith("https:") else SSLContext(PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(
        base_url=node.url,
        headers={"Accept-Encoding": "identity", "User-Agent": "knowledge-os", **(headers or {})},
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS[node.klass], write=_WRITE_SECONDS),
        transport=NodeTransport(context, keepalive=8),
        follow_redirects=False,
        trust_env=False,
    )


async def post(
    http: httpx.AsyncClient, path: str, body: Mapping[str, Any], node: NodeConfig, patience: Patience
) -> httpx.Response:
    """Send a request and wait for the head of its answer. The caller closes it.

    Raises:
        NodeUnavailable: no connection.
        UpstreamFault: none that held, or the client has been closed.
    """
    if http.is_closed:
        hint = "The service is stopping."
        raise UpstreamFault(f"the connections to {faults.told(node)} have been closed", hint=hint, by_node=False)
    # A lone surrogate, which JSON can spell and UTF-8 cannot, becomes a question mark.
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    request = http.build_request("POST", path, content=content, headers={"Content-Type": "application/json"})
    try:
        async with asyncio.timeout(patience.first):
            return await http.send(request, stream=True)
    except TimeoutError:
        raise faults.silent(node, patience.first) from None
    except httpx.HTTPError as error:
        raise faults.unreached(error, node) from None


async def probe(http: httpx.AsyncClient, paths: Sequence[str], node: NodeConfig) -> list[tuple[int, Any]]:
    """Status and body of some GET requests, all at once and within a second; a body that is no JSON is None.

    Raises:
        NodeUnavailable: no connection, no answer in time, or it refuses us.
        UpstreamFault: none that held.
    """
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            found = await asyncio.gather(*(_get(http, path, node) for path in paths), return_exceptions=True)
    except TimeoutError:
        how = f"did not answer within {PROBE_SECONDS:g} s"
        raise NodeUnavailable(f"{faults.told(node)} {how}", hint=start_hint(node)) from None
    answers = []
    for one in found:
        if isinstance(one, BaseException):
            raise one
        answers.append(one)
    return answers


async def _get(http: httpx.AsyncClient, path: str, node: NodeConfig) -> tuple[int, Any]:
    try:
        async with http.stream("GET", path) as response:
            if response.status_code in (401, 403):
                raise faults.refused(response.status_code, node)
            data = await _head(response, _PROBE_BYTES)
    except httpx.HTTPError as error:
        raise faults.unreached(error, node) from None
    with suppress(ValueError):
        return response.status_code, loads(data)
    return response.status_code, None


async def whole(response: httpx.Response, node: NodeConfig, patience: Patience) -> bytes:
    """The body of an answer that is no stream.

    Raises:
        UpstreamFault: it breaks off, is longer than any answer, or does not come.
    """
    try:
        async with asyncio.timeout(patience.first):
            data = await _head(response, _WHOLE_BYTES)
    except TimeoutError:
        raise faults.silent(node, patience.first) from None
    except httpx.HTTPError:
        raise faults.broken_off(node) from None
    if len(data) >= _WHOLE_BYTES:
        raise faults.line_too_long(node)
    return data


async def error_text(response: httpx.Response, node: NodeConfig, patience: Patience) -> str:
    """The body of a refusal, as much of it as is worth reading.

    Raises:
        UpstreamFault: it does not come.
    """
    seconds = min(patience.between, 10.0)
    try:
        async with asyncio.timeout(seconds):
            return (await _head(response, _ERROR_BYTES)).decode("utf-8", "replace")
    except TimeoutError:
        raise faults.silent(node, seconds) from None
    except httpx.HTTPError:
        raise faults.broken_off(node) from None


async def _head(response: httpx.Response, limit: int) -> bytes:
    data = bytearray()
    async for piece in response.aiter_raw():
        data += piece
        if len(data) >= limit:
            break
    return bytes(data[:limit])
