"""The front door: what is refused before any handler sees it."""

import asyncio
import hmac
import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from server.errors import Refusal, refusal

# Obsidian on desktop, iOS, newer and older Android.
APP_ORIGINS = ("app://obsidian.md", "capacitor://localhost", "https://localhost", "http://localhost")
# Shown to anybody who reaches the port: none of them holds data.
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz"})
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
METHODS = ("GET", "POST", "PUT", "DELETE")
BODY_BYTES = 1 << 20
BODY_SECONDS = 30
HEAD_BYTES = 16 << 10
HEAD_SECONDS = 10
# What is still read of a request that was refused, so that a client that sends first and reads later sees the answer.
_SPILL_BYTES = 16 << 20
# Sizes of chunks, their extensions and trailers: a body of the largest size in chunks of three bytes.
_FRAMING_BYTES = 2 << 20
_PREFLIGHT = (
    (b"access-control-allow-methods", ", ".join(METHODS).encode()),
    (b"access-control-allow-headers", b"authorization, content-type, last-event-id, x-force-big"),
    (b"access-control-max-age", b"600"),
)
_ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


@dataclass(frozen=True, slots=True)
class Door:
    """Who may come in.

    Attributes:
        hosts: allowed values of the Host header, lower case.
        origins: allowed values of the Origin header.
        token: the bearer token; nobody has the empty one.
        anywhere: bound to every address of the machine: then the address a connection came in on is allowed as well (a
            rebound name is never an address).
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    token: str
    anywhere: bool = False


def door(host: str, port: int, token: str, *, uds: str = "", extra: Collection[str] = ()) -> Door:
    """The front door of a service.

    Args:
        host: the address it is bound to.
        port: the port it is bound to.
        token: what clients must show.
        uds: path of the Unix socket it is bound to instead, or "".
        extra: further origins; the host of one that is a web address is allowed as well.
    """
    anywhere = not uds and host in ("", "0.0.0.0", "::")  # noqa: S104 - it is asked here, not bound
    names = (host, *_LOOPBACK) if anywhere or is_loopback(host) else (host,)
    hosts = {"localhost"} if uds else {_authority(name, port) for name in names}
    if port == 80:  # clients leave the default port out
        hosts |= {name.removesuffix(":80") for name in hosts}
    hosts |= {urlsplit(origin).netloc.lower() for origin in extra if origin.startswith(("http://", "https://"))}
    own = {f"http://{name}" for name in hosts}
    return Door(frozenset(hosts), frozenset({*APP_ORIGINS, *own, *extra}), token, anywhere)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host.lower()}:{port}"


class FrontDoor:
    """Pure ASGI middleware that lets in whom a `Door` names, and gives every error its one shape.

    In this order: Host (421), size of the head (431), Origin (403), preflight, method (405), token (401, the same for
    paths that exist and paths that do not), media type (415), size of the body (413).
    """

    def __init__(self, app: ASGIApp, *, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request; anything but HTTP is not spoken here."""
        if scope["type"] != "http":
            return
        answer = _Answer(send)
        try:
            origin = _check_address(self._door, scope)
            answer.origin = origin
            if origin and scope["method"] == "OPTIONS" and _values(scope, b"access-control-request-method"):
                await _preflight(answer)
                return
            _check_request(self._door, scope)
            body = await _read(scope, receive)
            if body is not None:
                await self._app(scope, _again(body, receive), answer)
        except Exception as error:  # noqa: BLE001 - the last place where an error becomes an answer
            told = refusal(error)
            if not answer.started:
                await told.response()(scope, receive, answer)


class _Answer:
    """An ASGI `send` that adds the headers every answer has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.origin = b""
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message.get("headers", ()), *_ALWAYS]
            if self.origin:
                headers += [
                    (b"access-control-allow-origin", self.origin),
                    (b"access-control-expose-headers", b"retry-after"),
                    (b"vary", b"origin"),
                ]
            message = {**message, "headers": headers}
        await self._send(message)


async def _preflight(answer: _Answer) -> None:
    await answer({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
    await answer({"type": "http.response.body"})


def _check_address(door: Door, scope: Scope) -> bytes:
    """The Origin of a request, b"" without one.

    Raises:
        Refusal: wrong_host, too_large (of the head), forbidden_origin.
    """
    hosts = _values(scope, b"host")
    allowed = door.hosts
    if door.anywhere and scope.get("server"):
        allowed |= {_authority(*scope["server"])}
    if len(hosts) != 1 or hosts[0].decode("latin-1").lower() not in allowed:
        raise Refusal(
            "wrong_host", "the Host header does not name this service", "Use the address that `kos serve` prints."
        )
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if size + sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES:
        raise _head_too_large()
    origins = _values(scope, b"origin")
    if origins and (len(origins) > 1 or origins[0].decode("latin-1") not in door.origins):
        raise Refusal(
            "forbidden_origin", "this web page may not use the service", "The option `origins` allows further ones."
        )
    return origins[0] if origins else b""


def _check_request(door: Door, scope: Scope) -> None:
    """Refuse by method, token and media type.

    Raises:
        Refusal: invalid (405), unauthorized, unsupported_media.
    """
    if scope["method"] not in METHODS:
        allow = ", ".join(METHODS)
        raise Refusal(
            "invalid", "this method is not spoken here", f"Use {allow}.", status=405, headers={"Allow": allow}
        )
    # `scope["path"]` is what the router reads; `request.url` is made from the Host header.
    if scope["path"] not in OPEN_PATHS and not _has_token(door, scope):
        hint = 'Send "Authorization: Bearer …" with what `kos token` prints.'
        raise Refusal("unauthorized", "the token is missing or wrong", hint, headers={"WWW-Authenticate": "Bearer"})
    types = _values(scope, b"content-type")
    if (types or _has_body(scope)) and not _is_json(types):
        raise Refusal("unsupported_media", "the body must be JSON", "Send Content-Type: application/json.")
    if any(coding.lower() != b"identity" for coding in _values(scope, b"content-encoding")):
        raise Refusal("unsupported_media", "the body must not be compressed", "Send it as it is.")


def _has_token(door: Door, scope: Scope) -> bool:
    given = _values(scope, b"authorization")
    if len(given) != 1 or not door.token:
        return False
    scheme, _, token = given[0].partition(b" ")
    return hmac.compare_digest(token.strip(), door.token.encode()) and scheme.lower() == b"bearer"


def _has_body(scope: Scope) -> bool:
    return bool(_values(scope, b"transfer-encoding")) or any(size != b"0" for size in _values(scope, b"content-length"))


def _is_json(types: Sequence[bytes]) -> bool:
    if len(types) != 1:
        return False
    kind, *parameters = (part.strip().lower() for part in types[0].split(b";"))
    return kind == b"application/json" and all(one in (b"", b"charset=utf-8", b'charset="utf-8"') for one in parameters)


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for given, value in scope["headers"] if given == name]


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body; None when the client went away in the middle of it.

    Raises:
        Refusal: too_large, before more than the limit is held; invalid (408) when it does not come.
    """
    if any(size.isdigit() and int(size[:12]) > BODY_BYTES for size in _values(scope, b"content-length")):
        raise _body_too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                body += message.get("body", b"")
                if len(body) > BODY_BYTES:
                    raise _body_too_large()
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refusal("invalid", f"the body did not arrive within {BODY_SECONDS} seconds", status=408) from None


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what comes after it: the news that the client went away."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _body_too_large() -> Refusal:
    return Refusal("too_large", "the body is larger than 1 MiB", "Send a shorter text, or name a note instead.")


def _head_too_large() -> Refusal:
    return Refusal("too_large", "the address and headers are larger than 16 KiB", status=431)


class DoorProtocol(HttpToolsProtocol):
    """HTTP for which a connection that asks for nothing is closed: its head must be complete 10 seconds after it began.

    uvicorn keeps half-open connections for ever, and its limit of connections would lock everybody out instead. It does
    not bound what follows a head either: trailers, the framing of chunks, the body of a request that was refused.
    """

    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._head = -1  # bytes of an unfinished head; -1 outside of one
        self._framing = 0  # bytes since the last head that are no body
        self._spilt = 0  # bytes of a body that nobody reads any more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn does
        """Start the clock."""
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; while nothing is being answered, the clock runs."""
        counted = self._head >= 0
        super().data_received(data)
        if self._head < 0:
            self._framing += len(data)
            if self._framing > _FRAMING_BYTES or self._spilt > _SPILL_BYTES:
                self.transport.abort()
        elif counted:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse(_head_too_large())
        if self.cycle is None or self.cycle.response_complete:
            self._arm()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after the head is a trailer, and nobody asks for one."""
        if self._head >= 0:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._head = -1
        self._framing = self._spilt = 0
        self._disarm()
        super().on_headers_complete()
        if self.parser.should_upgrade():  # not done; but the parser reads no further request on this connection
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        super().on_body(body)
        self._framing -= len(body)
        if self.cycle.response_complete:
            self._spilt += len(body)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are replaced by ours
        """Answer bytes that are not HTTP, in the shape of all errors."""
        if self._answering():
            self.cycle.keep_alive = False
        else:
            self._refuse(Refusal("invalid", "this is not well-formed HTTP", status=400))

    def _answering(self) -> bool:
        """Whether a request that came whole waits for its answer: then nothing else may be written now."""
        cycle = self.cycle
        if self.pipeline or cycle is None or cycle.response_complete:
            return bool(self.pipeline)
        return cycle.response_started or not cycle.more_body

    def _refuse(self, why: Refusal) -> None:
        if self.transport.is_closing():
            return
        if self._answering():
            self.transport.abort()
            return
        answer = why.response()
        head = [*answer.raw_headers, *_ALWAYS, (b"connection", b"close")]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in head)
        self.transport.write(STATUS_LINE[why.status] + lines + b"\r\n" + bytes(answer.body))
        self.transport.close()

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._close)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self.transport.close()
