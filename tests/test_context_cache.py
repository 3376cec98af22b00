"""The contract every cache keeps, on real stores; the stored form; digests; settings; the probe of `auto`."""

import contextlib
import hashlib
import json
import pickle
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from context.cache import (
    MAX_PACKED,
    MAX_TEXT,
    SCHEMA,
    Address,
    Cache,
    CacheSettingError,
    answers_ping,
    digest,
    is_loopback,
    open_cache,
    pack,
    parse_setting,
    stored_name,
    unpack,
)
from tests.redis_server import RedisServer, free_port

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # characters() includes lone surrogates, which a request's text may hold
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)
NAME = stored_name("v", "context:1")


def nested(depth: int) -> list[Any]:
    """Lists in lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is slow because the machine is busy is a miss to people, but here it would be a false alarm."""
    monkeypatch.setattr("context.redis_cache.LIMIT_SECONDS", 20.0)
    monkeypatch.setattr("context.redis_cache.SOCKET_SECONDS", 20.0)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def opened(store: str, server: RedisServer, folder: Path, vault_id: str = "") -> Cache:
    setting = {"redis over TCP": server.url, "redis over a socket": server.unix_url}.get(store, store)
    return open_cache(setting, vault_id=vault_id or uuid.uuid4().hex, path=folder / "cache.sqlite")


@pytest.fixture(params=["redis over TCP", "redis over a socket", "sqlite", "memory"])
def cache(request: pytest.FixtureRequest, server: RedisServer, tmp_path: Path) -> Iterator[Cache]:
    opening = opened(request.param, server, tmp_path)
    yield opening
    opening.close()


def test_a_value_comes_back_as_it_was_kept(cache: Cache) -> None:
    value = {"text": "Ünï 日本 🗺", "n": [1, 2.5, -0.0, True, None], "deep": {"a": {"b": []}}}
    cache.set("context:1", value)
    assert cache.get("context:1") == value
    assert cache.stats().errors == 0


def test_what_was_never_kept_is_a_miss(cache: Cache) -> None:
    assert cache.get("context:none") is None
    assert cache.stats().misses == 1


def test_a_second_set_replaces_the_first(cache: Cache) -> None:
    cache.set("k", "first")
    cache.set("k", "second")
    assert cache.get("k") == "second"


def test_falsy_values_are_kept(cache: Cache) -> None:
    falsy: tuple[Any, ...] = (0, "", False, [], {})
    for value in falsy:
        cache.set("k", value)
        assert cache.get("k") == value


def test_private_values_are_found_again(cache: Cache) -> None:
    cache.set("k", "mine", private=True)
    assert cache.get("k") == "mine"


@pytest.mark.parametrize(
    "value",
    [None, float("nan"), float("inf"), {1, 2}, b"bytes", object(), "x" * (MAX_TEXT + 1), nested(100_000)],
    ids=["None", "NaN", "infinity", "set", "bytes", "object", "too large", "too deep"],
)
def test_what_cannot_be_kept_is_an_error_counted_and_never_raised(cache: Cache, value: Any) -> None:
    cache.set("k", value)
    assert cache.get("k") is None
    stats = cache.stats()
    assert stats.errors == 1
    assert stats.last_error in ("nothing to keep", "a value that is not JSON", "a value too large to keep")


def test_any_text_is_a_key(cache: Cache) -> None:
    for key in ("", " ", "日本", "a\0b", "\ud800", "k" * 10_000, "../..", "'; DROP TABLE cache; --"):
        cache.set(key, [key[:5]])
        assert cache.get(key) == [key[:5]]
    assert cache.stats().errors == 0


def test_hits_misses_and_sets_are_counted(cache: Cache) -> None:
    cache.set("a", 1)
    cache.set("b", 2)
    cache.get("a")
    cache.get("b")
    cache.get("c")
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.sets, stats.errors, stats.last_error) == (2, 1, 2, 0, "")


def test_many_threads_share_one_cache(cache: Cache) -> None:
    texts = {f"k{n}": f"{n} " * 2000 for n in range(20)}
    wrong: list[str] = []

    def hammer(start: int) -> None:
        for n in range(60):
            key = f"k{(start + n) % 20}"
            if n % 3 == 0:
                cache.set(key, texts[key])
            elif cache.get(key) not in (None, texts[key]):
                wrong.append(key)

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all(cache.get(key) == text for key, text in texts.items())


def test_after_close_everything_is_a_miss(cache: Cache) -> None:
    cache.set("k", 1)
    cache.close()
    cache.set("k", 2)
    assert cache.get("k") is None
    cache.close()


@pytest.mark.parametrize("store", ["redis over TCP", "sqlite"])
def test_two_caches_of_one_vault_share_and_other_vaults_do_not(store: str, server: RedisServer, tmp_path: Path) -> None:
    vault_id = uuid.uuid4().hex
    first, second = (opened(store, server, tmp_path, vault_id) for _ in range(2))
    other = opened(store, server, tmp_path)
    first.set("k", "shared")
    assert second.get("k") == "shared"
    assert other.get("k") is None
    for one in (first, second, other):
        one.close()


@pytest.mark.parametrize("store", ["redis over a socket", "sqlite", "memory"])
def test_any_json_makes_the_round_trip(store: str, server: RedisServer, tmp_path: Path) -> None:
    cache = opened(store, server, tmp_path)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(key=st.text(st.characters(), max_size=20), value=JSON.filter(lambda value: value is not None))
    def round_trip(key: str, value: Any) -> None:
        cache.set(key, value)
        assert cache.get(key) == value

    round_trip()
    assert cache.stats().errors == 0
    cache.close()


def test_names_shown_to_people(server: RedisServer, tmp_path: Path) -> None:
    shown = {}
    for store in ("redis over TCP", "redis over a socket", "sqlite", "memory"):
        cache = opened(store, server, tmp_path)
        cache.set("k", "v")
        shown[store] = cache.stats()
        cache.close()
    assert shown["redis over TCP"].name == f"redis at 127.0.0.1:{server.port}"
    assert shown["redis over a socket"].name == f"redis at {server.socket}"
    assert shown["redis over TCP"].breaker == "closed"
    assert (shown["sqlite"].name, shown["memory"].name) == ("sqlite", "memory")
    assert (shown["sqlite"].breaker, shown["sqlite"].entries, shown["memory"].entries) == ("", 1, 1)
    assert 4096 <= (shown["sqlite"].bytes or 0) < 65536


# The stored form


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_unpack(junk: bytes) -> None:
    assert unpack(NAME, junk) is None


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_or_a_cut_is_a_miss(where: int, flip: int) -> None:
    packed = pack(NAME, {"text": "some words of a note " * 20})
    where %= len(packed)
    bent = packed[:where] + bytes([packed[where] ^ flip]) + packed[where + 1 :]
    # Two header bytes hold bits that change nothing for the reader; then the value is the same.
    assert unpack(NAME, bent) in (None, unpack(NAME, packed))
    assert unpack(NAME, packed[:where]) is None
    assert unpack(NAME, packed + b"x") is None


def stored(body: str | bytes) -> bytes:
    return zlib.compress(body if isinstance(body, bytes) else body.encode(), 1)


def test_foreign_content_is_a_miss() -> None:
    body = zlib.decompress(pack(NAME, "v")).decode()
    assert body.startswith(f"[{SCHEMA},")
    assert unpack(NAME, stored(body)) == "v"
    foreign: dict[str, bytes] = {
        "another schema": stored(body.replace(f"[{SCHEMA},", f"[{SCHEMA + 1},", 1)),
        "another key": pack(stored_name("v", "context:2"), "v"),
        "another vault": pack(stored_name("w", "context:1"), "v"),
        "another secret": pack(NAME, "v", b"a guess"),
        "another value": stored(body.replace('"v"', '"w"')),
        "bare JSON": stored('"v"'),
        "an object": stored(json.dumps({"schema": SCHEMA, "value": "v"})),
        "not compressed": body.encode(),
        "pickle": pickle.dumps("v"),
        "compressed pickle": stored(pickle.dumps("v")),
        "more after it": stored(body + "[]"),
        "four parts": stored(body[:-1] + ",1]"),
        "two parts": stored(body[: body.rindex(",")] + "]"),
        "not UTF-8": stored(body.encode().replace(b'"v"', b'"\xff"')),
        "too deep": stored(body.replace('"v"', "[" * 100_000 + "]" * 100_000)),
        "an endless number": stored(body.replace('"v"', "9" * 5000)),
        "empty": b"",
    }
    assert {what for what, data in foreign.items() if unpack(NAME, data) is not None} == set()


def test_a_bomb_is_not_unfolded() -> None:
    squeeze = zlib.compressobj(9)
    bomb = squeeze.compress(zlib.decompress(pack(NAME, "v"))[:-4] + b'"')
    block = b"a" * (1 << 20)
    bomb += b"".join(squeeze.compress(block) for _ in range(128)) + squeeze.flush()
    assert len(bomb) < MAX_PACKED
    tracemalloc.start()
    assert unpack(NAME, bomb) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_TEXT


def test_what_is_kept_is_bounded() -> None:
    noise = "".join(chr(0x4E00 + (n * n * 7919 + n) % 20_000) for n in range(MAX_PACKED // 2))
    with pytest.raises(ValueError, match="too large"):
        pack(NAME, [noise, noise[::-1]])
    assert unpack(NAME, pack(NAME, "x" * (MAX_TEXT - 100))) == "x" * (MAX_TEXT - 100)
    body = zlib.decompress(pack(NAME, "x" * (MAX_PACKED + 1)))
    assert unpack(NAME, zlib.compress(body, 0)) is None, "sound, and larger than anything kept"


# Digests


def test_a_digest_is_canonical() -> None:
    assert digest({"b": 1, "a": ["ü", None]}) == digest({"a": ("ü", None), "b": 1})
    assert digest("ü", {"b": 1, "a": 2}) == hashlib.sha256('["ü",{"a":2,"b":1}]'.encode()).hexdigest()


def test_digests_tell_parts_apart() -> None:
    parts: list[tuple[Any, ...]] = [(), ("",), ("a", "b"), ("ab",), (["a", "b"],), ("a", ["b"]), (1,), (1.0,), (True,)]
    parts += [("1",), (None,), ("?",), ("\ud800",), ("\ud801",), ({},), ({"a": None},)]
    assert len({digest(*part) for part in parts}) == len(parts)


def test_what_is_not_json_has_no_digest() -> None:
    for part in (float("nan"), float("-inf"), {1, 2}, b"bytes"):
        with pytest.raises((TypeError, ValueError), match="JSON"):
            digest(part)


# Settings


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("redis://localhost", Address("localhost")),
        ("redis://127.0.0.1:7000/3", Address("127.0.0.1", 7000, db=3)),
        ("rediss://me:p%40ss@cache.home:6380", Address("cache.home", 6380, username="me", password="p@ss", tls=True)),
        ("redis://:word@[::1]:7000", Address("::1", 7000, password="word")),
        ("unix:///run/redis%20one.sock", Address(path="/run/redis one.sock")),
        ("unix://:word@/run/redis.sock?db=2", Address(path="/run/redis.sock", db=2, password="word")),
    ],
)
def test_redis_urls_are_read(setting: str, address: Address) -> None:
    assert parse_setting(setting) == address


@pytest.mark.parametrize(
    "setting",
    [
        *("", "Auto", "redis", "redis:", "redis://", "redis:///0", "redis://h:port", "redis://h:99999", "redis://h/x"),
        *(
            "redis://h/-1",
            "redis://h/0/1",
            "redis://h?socket_timeout=60",
            "rediss://h?ssl_cert_reqs=none",
            "redis://h#f",
        ),
        *("unix://", "unix:///", "unix://run/redis.sock", "unix:///r.sock?db=x", "unix:///r.sock?password=x&db=1"),
        *("http://h", "sqlite://x", "file:///x", "redis://[::1", "/run/redis.sock", "unix:///r%00.sock"),
    ],
)
def test_other_settings_are_refused_with_what_is_allowed(setting: str, tmp_path: Path) -> None:
    with pytest.raises(CacheSettingError, match=r"auto, sqlite, memory, redis://.*rediss://.*unix://"):
        open_cache(setting, vault_id="v", path=tmp_path / "c")


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(CacheSettingError) as refused:
        parse_setting("redis://me:hunter2@h:port")
    cache = open_cache(f"redis://me:hunter2@127.0.0.1:{free_port()}", vault_id="v", path=tmp_path / "c")
    cache.get("k")
    shown = (refused.value, cache.stats(), parse_setting("redis://me:hunter2@h"), str(Address("h", password="hunter2")))
    assert "hunter2" not in repr(shown)
    cache.close()


def test_a_vault_id_and_a_time_are_needed(tmp_path: Path) -> None:
    for vault_id, ttl_seconds in (("", 60), ("a:b", 60), ("v", 0)):
        with pytest.raises(ValueError, match="vault id"):
            open_cache("sqlite", vault_id=vault_id, path=tmp_path / "c", ttl_seconds=ttl_seconds)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True)),
        *(("192.168.1.5", False), ("10.0.0.1", False), ("0.0.0.0", False), ("::", False), ("", False)),
        *(("localhost.example", False), ("127.0.0.1.example", False), ("2130706433", False), ("redis", False)),
    ],
)
def test_only_what_is_surely_this_machine_is_local(host: str, local: bool) -> None:
    assert is_loopback(host) is local


# The probe of auto


def test_auto_takes_a_redis_that_answers(server: RedisServer, tmp_path: Path) -> None:
    cache = open_cache("auto", vault_id="v", path=tmp_path / "c", loopback=("127.0.0.1", server.port))
    assert cache.stats().name == f"redis at 127.0.0.1:{server.port}"
    cache.set("k", 1)
    assert cache.get("k") == 1
    cache.close()


def test_auto_takes_the_file_without_redis_or_with_a_password(tmp_path: Path) -> None:
    with RedisServer(password="word") as locked:
        for port in (free_port(), locked.port):
            cache = open_cache("auto", vault_id="v", path=tmp_path / "c", loopback=("127.0.0.1", port))
            assert cache.stats().name == "sqlite"
            cache.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+PONG", b"+PONG!!", b"-ERR\r\n", None])
def test_the_probe_is_not_fooled_and_not_kept_waiting(answer: bytes | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends: list[socket.socket] = []

        def serve() -> None:
            line, _ = listener.accept()
            ends.append(line)
            if answer is None:  # one byte at a time, each in time
                with contextlib.suppress(OSError):  # the probe hangs up
                    for byte in b"+PONG\r\n":
                        time.sleep(0.1)
                        line.sendall(bytes([byte]))
            else:
                line.sendall(answer)
            if answer == b"":
                line.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=serve)
        thread.start()
        started = time.perf_counter()
        assert not answers_ping(listener.getsockname())
        assert time.perf_counter() - started < 0.4
        thread.join()
        for line in ends:
            line.close()


def test_redis_is_imported_only_when_a_redis_is_used(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from context.cache import open_cache
for setting in ("memory", "sqlite", "auto"):
    cache = open_cache(setting, vault_id="v", path=Path({str(tmp_path)!r}, "c"), loopback=("127.0.0.1", {free_port()}))
    cache.set("k", 1)
    assert cache.get("k") == 1
    cache.close()
assert "redis" not in sys.modules
open_cache("redis://127.0.0.1:1", vault_id="v", path=Path({str(tmp_path)!r}, "c"))
assert "redis" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=Path(__file__).parent.parent)
