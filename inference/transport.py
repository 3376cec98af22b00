"""How requests of httpx go to a node: over asyncio's own streams, each with its head and body in one piece.

httpx sends them apart and by way of anyio: the node then wakes up twice, and the first word comes 1 ms later
(docs/benchmarks.md, Relay).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

# Seconds after which another address of the same name is tried beside the first (RFC 8305).
_NEXT_ADDRESS_SECONDS = 0.25


class NodeTransport(httpx.AsyncBaseTransport):
    """Connections to one node, which are used again.

    Args:
        context: of TLS.
        keepalive: idle connections that are kept at most.
    """

    def __init__(self, context: ssl.SSLContext, *, keepalive: int) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=keepalive,
            keepalive_expiry=5.0,
            network_backend=_Asyncio(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait for the head of its answer.

        Raises:
            httpx.TransportError: no connection, or none that held.
        """
        url = request.url
        assert isinstance(request.stream, httpx.AsyncByteStream)  # noqa: S101 - as an AsyncClient makes it
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _of_httpx():
            answer = await self._pool.handle_async_request(asked)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    async def aclose(self) -> None:
        """Close all connections."""
        with _of_httpx():
            await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _of_httpx():
            async for piece in self._answer.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        with _of_httpx():
            await self._answer.aclose()


@contextmanager
def _of_httpx() -> Iterator[None]:
    """Name an error of the pool as httpx does: both have the same names."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error


class _Asyncio(httpcore.AsyncNetworkBackend):
    """Connections as asyncio makes them."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del local_address, socket_options
        with _unconnected():
            async with asyncio.timeout(timeout):
                streams = await asyncio.open_connection(host, port, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
        return _Stream(*streams)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """A connection. What is written goes out when an answer is to be read: all of it at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._held: list[bytes] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as httpcore has it
        if self._held:
            held, self._held = self._held, []
            self._writer.write(b"".join(held))
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as httpcore has it
        del timeout
        self._held.append(buffer)

    async def aclose(self) -> None:
        self._writer.transport.abort()
        await asyncio.sleep(0)  # it is closed then

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore has it
    ) -> httpcore.AsyncNetworkStream:
        with _unconnected():
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        # A connection that can be read while nothing is asked has been closed by the node.
        return self._reader.at_eof() if info == "is_readable" else self._writer.get_extra_info(info)


@contextmanager
def _unconnected() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise httpcore.ConnectTimeout from None
    except OSError as error:  # also what is wrong with a certificate
        raise httpcore.ConnectError(str(error)) from error
