"""Cache: keeps what was costly to make under a digest of what it was made from; every fault is a miss.

A key never means two values, so nothing is ever invalidated: what changed is asked for under another key.
The stores are `context.sqlite_cache` (a file, or memory) and `context.redis_cache`.
"""

import hashlib
import hmac
import ipaddress
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

TTL_SECONDS = 24 * 60 * 60
SCHEMA = 2  # of the stored form; a value written under another number is a miss
MAX_TEXT = 16 << 20  # bytes of JSON: more than any model's window holds, little enough to parse at once
MAX_PACKED = 4 << 20  # bytes stored for one value, and the most that is ever read back
LOOPBACK = ("127.0.0.1", 6379)
PROBE_SECONDS = 0.2
ALLOWED = (
    "auto, sqlite, memory, redis://[user:password@]host[:port][/db], rediss://… (the same over TLS)"
    " or unix:///path/to/redis.sock[?db=N]"
)


class CacheSettingError(ValueError):
    """The cache setting is none of those allowed; the message lists them and never repeats the setting (a password)."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache has done since it was opened.

    Attributes:
        name: The store, as shown to people: `redis at 127.0.0.1:6379`, `sqlite` or `memory`.
        hits: Values found.
        misses: Values not found, or found unreadable.
        sets: Values handed in to be kept.
        errors: Faults met; none of them reached the caller.
        last_error: The kind of the latest fault, "" if there was none. Holds no key, value, password or path.
        breaker: `closed`, `open` or `half-open` for Redis, "" for the other stores.
        live: The store that takes values at present: for a Redis that is away, the one that stands in for it.
        entries: Values held, None where counting them is not cheap.
        bytes: Bytes they take, None where that is not cheap to know.
    """

    name: str
    hits: int
    misses: int
    sets: int
    errors: int
    last_error: str
    breaker: str = ""
    live: str = ""
    entries: int | None = None
    bytes: int | None = None


class Cache(Protocol):
    """A store of JSON values. Its methods may be called from any thread, return soon and never raise."""

    def get(self, key: str) -> Any | None:
        """The value kept under a key, or None: never kept, too old, unreadable, or the store is away."""

    def set(self, key: str, value: Any, *, private: bool = False) -> None:
        """Keep a JSON value. One that is not JSON, or too large, counts as an error and is not kept.

        Args:
            key: What the value was made from: a word and a `digest`.
            value: JSON but not None; tuples come back as lists, keys as strings.
            private: It holds private text and stays on this machine.
        """

    def stats(self) -> CacheStats:
        """What happened so far."""

    def close(self) -> None:
        """Let go of files and connections; afterwards everything is a miss."""


@dataclass(slots=True)
class Tally:
    """The counters behind `CacheStats`, shared by threads."""

    hits: int = 0
    misses: int = 0
    sets: int = 0
    errors: int = 0
    last_error: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: Literal["hits", "misses", "sets"]) -> None:
        """Count one hit, miss or set."""
        with self._lock:
            setattr(self, what, getattr(self, what) + 1)

    def fault(self, text: str) -> None:
        """Count one error and remember its kind."""
        with self._lock:
            self.errors += 1
            self.last_error = text


def digest(*parts: Any) -> str:
    """SHA-256 (64 hex digits) of the parts as canonical JSON: the same for equal parts on every machine and run.

    Raises:
        TypeError: A part is not JSON.
        ValueError: A part holds NaN or an infinity.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def stored_name(vault_id: str, key: str) -> bytes:
    """The name a value has in a store that other vaults and programs share."""
    return f"kos:{vault_id}:{key}".encode("utf-8", "surrogatepass")


def _sealed(name: bytes, text: bytes, secret: bytes) -> bytes:
    """The JSON that is stored: schema number, what only the holder of the secret can write (HMAC), and the value."""
    seal = hmac.digest(secret, name + b"\0" + text, "sha256").hex()
    return f'[{SCHEMA},"{seal}",'.encode() + text + b"]"


_BEFORE = len(_sealed(b"", b"", b"")) - 1  # bytes before the value


def pack(name: bytes, value: Any, secret: bytes = b"") -> bytes:
    """The stored form: zlib of the JSON `[schema, seal, value]`; the seal is of the name and the value.

    Raises:
        ValueError: The value is not JSON or too large; the message does not show it.
    """
    if value is None:
        raise ValueError("nothing to keep")
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as fault:
        raise ValueError("a value that is not JSON") from fault
    body = _sealed(name, text.encode("utf-8", "surrogatepass"), secret)
    # Level 1: higher levels cost several times the time for a fifth of the size.
    packed = zlib.compress(body, 1)
    if len(body) > MAX_TEXT or len(packed) > MAX_PACKED:
        raise ValueError("a value too large to keep")
    return packed


def unpack(name: bytes, packed: bytes, secret: bytes = b"") -> Any | None:
    """The value of a stored form, or None if it is anything but what `pack` made for this name with this secret.

    Whoever can write to the store may have left anything there, so the size is bounded before it is unfolded and the
    seal is compared before it is parsed.
    """
    if len(packed) > MAX_PACKED:
        return None
    try:
        stream = zlib.decompressobj()
        body = stream.decompress(packed, MAX_TEXT + 1)
        if not stream.eof or stream.unused_data or len(body) > MAX_TEXT:
            return None
        text = body[_BEFORE:-1]
        if not hmac.compare_digest(body, _sealed(name, text, secret)):
            return None
        return json.loads(text.decode("utf-8", "surrogatepass"))
    except (zlib.error, ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is: `host` and `port`, or the `path` of its socket on this machine."""

    host: str = ""
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    def __str__(self) -> str:
        """As shown to people: never the password."""
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


def parse_setting(setting: str) -> str | Address:
    """`auto`, `sqlite` or `memory` as they are, a Redis URL as its address.

    Raises:
        CacheSettingError: It is none of these.
    """
    if setting in ("auto", "sqlite", "memory"):
        return setting
    try:
        url = urlsplit(setting)
        login = (unquote(url.username) if url.username else None, unquote(url.password) if url.password else None)
        options = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=True)) if url.query else {}
        if url.scheme == "unix":
            db = _db(options.pop("db", ""))
            address = Address(path=unquote(url.path), db=db, username=login[0], password=login[1])
            sound = not url.hostname and len(url.path) > 1 and "\0" not in address.path
        else:
            address = Address(
                url.hostname or "", url.port or 6379, "", _db(url.path[1:]), *login, tls=url.scheme == "rediss"
            )
            sound = url.scheme in ("redis", "rediss") and bool(url.hostname)
    except ValueError:
        sound = False
    # Client options in a URL (timeouts, unchecked certificates) would undo what is promised here.
    if not sound or options or url.fragment:
        raise CacheSettingError(f"cache is one of: {ALLOWED}")
    return address


def _db(text: str) -> int:
    """The number of a Redis database, 0 if none is named."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError("not a number")
    return int(text)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its spelling alone; any doubt counts as elsewhere."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def answers_ping(address: tuple[str, int], seconds: float = PROBE_SECONDS) -> bool:
    """Whether a Redis that needs no password answers PING there within this time."""
    deadline = time.monotonic() + seconds
    heard = b""
    try:
        with socket.create_connection(address, timeout=seconds) as line:
            line.sendall(b"PING\r\n")
            while len(heard) < len(b"+PONG\r\n"):
                line.settimeout(max(deadline - time.monotonic(), 0.001))
                piece = line.recv(64)
                if not piece:
                    return False
                heard += piece
    except OSError:
        return False
    return heard == b"+PONG\r\n"


def open_cache(
    setting: str,
    *,
    vault_id: str,
    path: Path | None,
    secret: bytes = b"",
    ttl_seconds: int = TTL_SECONDS,
    loopback: tuple[str, int] = LOOPBACK,
    is_local: Callable[[str], bool] = is_loopback,
) -> Cache:
    """The cache a setting asks for. Waits for nothing but the probe of `auto`; a store that is away is no error.

    Args:
        setting: See `ALLOWED`. `auto` takes the Redis on loopback if it answers now, else the SQLite file.
        vault_id: Keeps the keys of one vault apart: `kos:<vault id>:`.
        path: The SQLite file: the store itself, or what stands in for Redis and keeps private values. None keeps in
            memory what would lie there.
        secret: Of this installation. Who writes to the store without knowing it cannot make us believe a value.
        ttl_seconds: How long a value is kept.
        loopback: Where `auto` looks for a Redis.
        is_local: Whether private values may go to a Redis on this host. A Unix socket is always local.

    Raises:
        CacheSettingError: The setting is none of those allowed.
        ValueError: The vault id is empty or holds a colon, or the time is below one second.
    """
    if not vault_id or ":" in vault_id or ttl_seconds < 1:
        raise ValueError("a cache needs a vault id without colon and at least one second to keep values")
    from context.sqlite_cache import SqliteCache  # noqa: PLC0415 - it imports this module

    wanted = parse_setting(setting)
    if wanted == "auto":
        wanted = Address(*loopback) if answers_ping(loopback) else "sqlite"
    if wanted == "memory":
        return SqliteCache(None, vault_id=vault_id, secret=secret, ttl_seconds=ttl_seconds)
    file = SqliteCache(path, vault_id=vault_id, secret=secret, ttl_seconds=ttl_seconds)
    if not isinstance(wanted, Address):
        return file
    from context.redis_cache import RedisCache  # noqa: PLC0415 - costs a third of a second; few vaults use it

    shared = not wanted.path and not is_local(wanted.host)
    return RedisCache(wanted, vault_id=vault_id, secret=secret, ttl_seconds=ttl_seconds, local=file, shared=shared)
