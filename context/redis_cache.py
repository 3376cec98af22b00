"""RedisCache: the cache in a Redis, with a local store for when it is away and for what must not leave the machine."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from context.breaker import Breaker
from context.cache import MAX_PACKED, TTL_SECONDS, Address, Cache, CacheStats, Tally, pack, stored_name, unpack

T = TypeVar("T")

LIMIT_SECONDS = 0.25  # for one question, all in: what is promised to a command is 0.3
SOCKET_SECONDS = 0.2
# An answer that takes longer is late. After late ones that took so long together, Redis is left alone for a while: a
# request asks up to five times, and shall not wait each time.
LATE_SECONDS = 0.05
LATE_TOGETHER_SECONDS = 0.1
PAUSE_SECONDS = 5.0


class RedisCache:
    """See `context.cache.Cache`.

    Reads look in the local store first: it holds what was private or came while Redis was away, and asking it costs
    a tenth of asking Redis. Nothing is flushed or deleted here: Redis lets values go by their age and its own limit.

    Args:
        address: Where the Redis is.
        vault_id: Keeps the keys of one vault apart.
        secret: See `context.cache.open_cache`.
        ttl_seconds: How long a value is kept.
        local: Keeps values while Redis does not, and private ones if Redis is shared. Closed with this cache.
        shared: The Redis is beyond this machine, so it never gets a private value.
        pause_seconds: How long Redis is left alone after a failure.
    """

    def __init__(
        self,
        address: Address,
        *,
        vault_id: str,
        local: Cache,
        shared: bool,
        secret: bytes = b"",
        ttl_seconds: int = TTL_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._address = address
        self._vault_id = vault_id
        self._secret = secret
        self._ttl = ttl_seconds
        self._local = local
        self._shared = shared
        self._breaker = Breaker(pause_seconds)
        self._late = 0.0  # seconds that late answers took since one came in time
        self._tally = Tally()
        self._client = _client(address)
        self._closed = False

    def get(self, key: str) -> Any | None:
        """See `Cache.get`."""
        value = self._local.get(key)
        if value is None:
            value = self._fetch(stored_name(self._vault_id, key))
        self._tally.add("misses" if value is None else "hits")
        return value

    def set(self, key: str, value: Any, *, private: bool = False) -> None:
        """See `Cache.set`."""
        self._tally.add("sets")
        if (private and self._shared) or not self._store(stored_name(self._vault_id, key), value):
            self._local.set(key, value, private=private)

    def stats(self) -> CacheStats:
        """See `Cache.stats`; errors of the local store count too."""
        mine, local = self._tally, self._local.stats()
        name, breaker = f"redis at {self._address}", self._breaker.state
        return CacheStats(
            name,
            mine.hits,
            mine.misses,
            mine.sets,
            mine.errors + local.errors,
            mine.last_error or local.last_error,
            breaker,
            live=name if breaker == "closed" else local.live,
        )

    def close(self) -> None:
        """See `Cache.close`."""
        self._closed = True
        self._hang_up()
        self._local.close()

    def _fetch(self, name: bytes) -> Any | None:
        """The value Redis keeps under a name. Reading a range bounds what a foreign value can make us load."""
        packed = self._ask(lambda client: client.getrange(name, 0, MAX_PACKED))  # one byte more than `pack` makes
        if not packed:
            return None
        value = unpack(name, packed, self._secret) if isinstance(packed, bytes) else None
        if value is None:
            self._tally.fault("unreadable value")
        return value

    def _store(self, name: bytes, value: Any) -> bool:
        """Whether Redis took the value."""
        if self._breaker.state == "open":
            return False
        try:
            packed = pack(name, value, self._secret)
        except ValueError:
            return False  # the local store refuses it too, and counts it
        return self._ask(lambda client: client.set(name, packed, ex=self._ttl)) is True

    def _ask(self, question: Callable[[redis.Redis], Any]) -> Any:
        """Redis's answer, or None if there is none in time or the breaker is open."""
        if self._closed or not self._breaker.allows():
            return None
        began = time.monotonic()
        try:
            answer = _within(LIMIT_SECONDS, lambda: question(self._client))
        except redis.ResponseError as fault:  # Redis is well and refuses this one: another type, full, read-only
            self._breaker.success()
            self._tally.fault(_kind(fault))
            return None
        except Exception as fault:  # noqa: BLE001 - redis-py has five families of errors, and a foreign port causes more
            self._breaker.failure()
            self._hang_up()
            self._tally.fault(_kind(fault))
            return None
        took = time.monotonic() - began
        self._late = self._late + took if took > LATE_SECONDS else 0.0
        if self._late > LATE_TOGETHER_SECONDS:
            self._late = 0.0
            self._breaker.failure()
            self._tally.fault("redis: slow")
        else:
            self._breaker.success()
        return answer

    def _hang_up(self) -> None:
        """Close all connections; a thread that still waits on one ends, and no late answer meets a later question."""
        with contextlib.suppress(Exception):  # a connection in use may be closing itself at this moment
            self._client.connection_pool.disconnect()


def _client(address: Address) -> redis.Redis:
    """A client that tries once. Protocol 2 without client names: a new connection costs no further round trips."""
    return redis.Redis(
        host=address.host,
        port=address.port,
        unix_socket_path=address.path or None,
        db=address.db,
        username=address.username,
        password=address.password,
        ssl=address.tls,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
    )


def _within(seconds: float, work: Callable[[], T]) -> T:
    """The result of work done in a thread of its own, waited for this long.

    Socket timeouts do not bound a call: name look-up has none, and each byte that drips in starts one anew.

    Raises:
        TimeoutError: It took longer; whatever it does later is nobody's concern.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as fault:  # noqa: BLE001 - handed to the caller
            result.set_exception(fault)

    threading.Thread(target=run, name="kos-redis", daemon=True).start()
    return result.result(seconds)


def _kind(fault: Exception) -> str:
    """A fault in two words. Redis's own words may repeat the command, and so the value: only its code is kept."""
    if isinstance(fault, redis.ResponseError):
        code = str(getattr(fault, "status_code", None) or str(fault).partition(" ")[0])
        if code.isascii() and code.isalpha() and code.isupper() and len(code) < 20:
            return f"redis: {code}"
    return f"redis: {type(fault).__name__}"
