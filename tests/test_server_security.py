"""The front door: who is let in, what is refused before a handler sees it, and what a refusal never costs or tells."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server import security
from server.api import router
from server.errors import STATUS, Refusal
from server.security import APP_ORIGINS, BODY_BYTES, HEAD_BYTES, HEAD_SECONDS, Door, DoorProtocol, _check_address, door
from server.status import router as status_router
from tests.edge import AUTH, TOKEN, House, Live, Reply, ask, exchange, live, make, rest, until, works
from tests.serving import program

JSON = "Content-Type: application/json"
ROUTES = [route for one in (router, status_router) for route in one.routes if isinstance(route, APIRoute)]
POSTS = sorted(route.path for route in ROUTES if "POST" in (route.methods or ()))
GETS = sorted(route.path for route in ROUTES if "GET" in (route.methods or ()))
CANARY = "canary-7f3a"
# Statuses of the HTTP protocol itself, beside those of the table.
PROTOCOL = {400, 405, 408, 431}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("edge"), House()) as running:
        yield running


def reached(service: Live) -> int:
    """How many requests a handler passed on to the house."""
    house = service.service.house
    assert isinstance(house, House)
    return len(house.calls) + len(house.contexts)


def request(
    service: Live,
    method: str = "GET",
    path: str = "/v1/commands",
    lines: Sequence[str] = (),
    body: bytes = b"",
    *,
    host: str | None = "127.0.0.1:{port}",
    token: str | None = TOKEN,
) -> bytes:
    """A request as bytes; `lines` are further headers, {port} stands for the port of the service."""
    head = [f"{method} {path} HTTP/1.1", "Connection: close"]
    head += [] if host is None else [f"Host: {host}"]
    head += [] if token is None else [f"Authorization: Bearer {token}"]
    head += [*lines, *([f"Content-Length: {len(body)}"] if body else [])]
    return "\r\n".join([*head, "", ""]).replace("{port}", str(service.port)).encode("latin-1") + body


def kept_alive(raw: bytes) -> bytes:
    return raw.replace(b"Connection: close\r\n", b"")


def parsed(answer: bytes) -> Reply:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert len(headers) == len(lines), "a header is there twice"
    return Reply(int(first.split()[1]), headers, body)


def knock(service: Live, *args: Any, **more: Any) -> Reply:
    return parsed(exchange(service.port, request(service, *args, **more)))


# --- Host

WRONG_HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "",
    "localhost.evil.example:{port}",
    "localhost.evil:{port}",
    "127.0.0.1:1",
    "127.0.0.1",
    "localhost",
    "[::1]:1",
    "127.0.0.1:{port}.evil.example",
    "user@127.0.0.1:{port}",
    "127.0.0.1:{port},evil.example",
    "127.0.0.1:{port}/",
    "0.0.0.0:{port}",
    "127.1:{port}",
    "2130706433:{port}",
    "127.0.0.1:0{port}",
    "localhost.:{port}",
    "::1:{port}",
]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("host", WRONG_HOSTS)
def test_a_host_that_is_not_this_service_is_refused(service: Live, method: str, host: str) -> None:
    before = reached(service)
    lines = {
        "POST": [JSON],
        "OPTIONS": ["Origin: app://obsidian.md", "Access-Control-Request-Method: POST"],
    }.get(method, ["Origin: http://127.0.0.1:{port}"])
    reply = knock(service, method, "/orient" if method == "POST" else "/v1/commands", lines, b"{}", host=host)
    assert (reply.status, reply.error["code"]) == (421, "wrong_host")
    assert "access-control-allow-origin" not in reply.headers
    assert reached(service) == before


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/status"])
def test_the_open_paths_too_want_the_right_host(service: Live, path: str) -> None:
    assert knock(service, path=path, host="evil.example").status == 421


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_request_without_a_host_is_refused(service: Live, method: str, version: str) -> None:
    raw = request(service, method, "/healthz", host=None).replace(b"HTTP/1.1", b"HTTP/" + version.encode())
    assert parsed(exchange(service.port, raw)).status == 421


def test_two_hosts_are_refused(service: Live) -> None:
    assert knock(service, lines=["Host: 127.0.0.1:{port}"]).status == 421
    assert knock(service, lines=["Host: evil.example"]).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LocalHost:{port}", "[::1]:{port}"])
def test_this_machine_by_any_of_its_names_is_let_in(service: Live, host: str) -> None:
    assert knock(service, host=host).status == 200


def test_a_forwarded_host_counts_for_nothing(service: Live) -> None:
    forwarded = ["X-Forwarded-Host: 127.0.0.1:{port}", "X-Forwarded-For: 127.0.0.1", "Forwarded: host=localhost"]
    assert knock(service, host="evil.example", lines=forwarded).status == 421


def test_the_hosts_of_a_door_are_exactly_those_it_is_bound_to() -> None:
    loopback = {"127.0.0.1:80", "localhost:80", "[::1]:80", "127.0.0.1", "localhost", "[::1]"}
    assert door("127.0.0.1", 80, TOKEN).hosts == loopback
    assert door("desk.example", 8765, TOKEN).hosts == {"desk.example:8765"}
    assert door("fd00::7", 8765, TOKEN).hosts == {"[fd00::7]:8765"}
    assert door("127.0.0.1", 8765, TOKEN, uds="/run/kos.sock").hosts == {"localhost"}
    extra = door("192.168.1.5", 8765, TOKEN, extra=["https://notes.example.org", "app://other"])
    assert extra.hosts == {"192.168.1.5:8765", "notes.example.org"}
    assert {"https://notes.example.org", "app://other"} < extra.origins


def scope(host: str, came_in_on: str) -> dict[str, Any]:
    return {
        "headers": [(b"host", host.encode())],
        "server": (came_in_on, 8765),
        "raw_path": b"/",
        "query_string": b"",
    }


@pytest.mark.parametrize(
    ("bound", "host", "allowed"),
    [
        ("0.0.0.0", "192.168.1.5:8765", True),
        ("::", "192.168.1.5:8765", True),
        ("0.0.0.0", "localhost:8765", True),
        ("0.0.0.0", "192.168.1.6:8765", False),
        ("0.0.0.0", "rebound.example:8765", False),
        ("127.0.0.1", "192.168.1.5:8765", False),
    ],
)
def test_bound_to_every_address_the_one_a_connection_came_in_on_is_its_host(
    bound: str, host: str, allowed: bool
) -> None:
    refusing: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if not allowed:
        refusing = pytest.raises(Refusal, match="Host")
    with refusing:
        _check_address(door(bound, 8765, TOKEN), scope(host, "192.168.1.5"))


# --- Origin

WRONG_ORIGINS = [
    "https://evil.example",
    "null",
    "",
    "http://localhost:9999",
    "https://localhost:{port}",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}.evil.example",
    "app://evil",
    "app://obsidian.md.evil.example",
    "APP://OBSIDIAN.MD",
    "capacitor://localhost:1",
    "file://",
    "*",
    "app://obsidian.md, https://evil.example",
]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("origin", WRONG_ORIGINS)
def test_a_page_that_is_not_on_the_list_is_refused(service: Live, method: str, origin: str) -> None:
    before = reached(service)
    lines = [f"Origin: {origin}", JSON, "Access-Control-Request-Method: POST"]
    reply = knock(service, method, "/orient" if method == "POST" else "/v1/commands", lines, b"{}")
    assert (reply.status, reply.error["code"]) == (403, "forbidden_origin")
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert reached(service) == before


def test_two_origins_are_refused(service: Live) -> None:
    reply = knock(service, lines=["Origin: app://obsidian.md", "Origin: app://obsidian.md"])
    assert (reply.status, reply.error["code"]) == (403, "forbidden_origin")


@pytest.mark.parametrize("origin", [*APP_ORIGINS, "http://127.0.0.1:{port}", "http://localhost:{port}"])
@pytest.mark.parametrize(("path", "status"), [("/v1/commands", 200), ("/v1/nowhere", 404)])
def test_a_page_on_the_list_reads_answers_and_errors(service: Live, origin: str, path: str, status: int) -> None:
    reply = knock(service, path=path, lines=[f"Origin: {origin}"])
    assert reply.status == status
    assert reply.headers["access-control-allow-origin"] == origin.replace("{port}", str(service.port))
    assert reply.headers["vary"] == "origin"
    assert "access-control-allow-credentials" not in reply.headers
    assert knock(service, path=path, lines=[f"Origin: {origin}"], token=None).headers["access-control-allow-origin"]


def test_a_client_without_an_origin_is_no_page(service: Live) -> None:
    reply = knock(service)
    assert reply.status == 200
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_the_origins_are_exactly_those_that_are_promised() -> None:
    assert set(APP_ORIGINS) == {"app://obsidian.md", "capacitor://localhost", "http://localhost", "https://localhost"}
    own = {"http://127.0.0.1:8765", "http://localhost:8765", "http://[::1]:8765"}
    assert door("127.0.0.1", 8765, TOKEN).origins == {*APP_ORIGINS, *own}


@pytest.mark.parametrize("path", ["/orient", "/v1/nowhere"])
def test_a_preflight_lists_what_is_needed_and_no_more(service: Live, path: str) -> None:
    asked = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization, x-anything"]
    reply = knock(service, "OPTIONS", path, ["Origin: app://obsidian.md", *asked], token=None)
    assert (reply.status, reply.body) == (204, b"")
    assert {name: value for name, value in reply.headers.items() if name.startswith("access-control")} == {
        "access-control-allow-origin": "app://obsidian.md",
        "access-control-allow-methods": "get, post, put, delete",
        "access-control-allow-headers": "authorization, content-type, last-event-id, x-force-big",
        "access-control-expose-headers": "retry-after",
        "access-control-max-age": "600",
    }


def test_a_preflight_without_an_origin_is_none(service: Live) -> None:
    reply = knock(service, "OPTIONS", "/orient", ["Access-Control-Request-Method: POST"])
    assert (reply.status, reply.error["code"]) == (405, "invalid")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_are_not_spoken(service: Live, method: str) -> None:
    reply = knock(service, method)
    assert (reply.status, reply.headers["allow"]) == (405, "get, post, put, delete")


# --- the token

WRONG_TOKENS = [
    ["Authorization: Bearer " + "x" * len(TOKEN)],
    ["Authorization: Bearer " + TOKEN[:-1]],
    ["Authorization: Bearer " + TOKEN + "k"],
    ["Authorization: Bearer k"],
    ["Authorization: Bearer "],
    ["Authorization: Bearer"],
    ["Authorization: "],
    ["Authorization: " + TOKEN],
    ["Authorization: Basic " + TOKEN],
    ["Authorization: Bearer: " + TOKEN],
    ["Authorization: Bearer " + TOKEN.upper()],
    ["Authorization: Bearer \xe9"],
    ["Authorization: Bearer " + TOKEN, "Authorization: Bearer " + TOKEN],
    ["Authorization: Bearer " + TOKEN, "Authorization: Bearer wrong"],
    ["Cookie: token=" + TOKEN],
    ["X-Authorization: Bearer " + TOKEN],
    [],
]


@pytest.mark.parametrize("lines", WRONG_TOKENS, ids=lambda lines: " | ".join(lines)[:40])
def test_without_the_token_every_path_answers_the_same(service: Live, lines: list[str]) -> None:
    before = reached(service)
    with service.client() as client:
        run = client.post("/orient").json()["run"]
    paths = ["/v1/commands", "/v1/nowhere", f"/v1/runs/{run}", "/v1/runs/0000000000000000", "/docs", "/healthz/", "//"]
    replies = [knock(service, path=path, lines=lines, token=None) for path in paths]
    replies += [knock(service, path=f"/v1/commands?token={TOKEN}", lines=lines, token=None)]
    replies += [knock(service, "POST", path, [*lines, "Content-Type: text/plain"], b"{", token=None) for path in POSTS]
    for reply in replies:
        assert (reply.status, reply.error["code"]) == (401, "unauthorized")
        reply.headers.pop("date")
    assert len({(tuple(reply.headers.items()), reply.body) for reply in replies}) == 1
    assert replies[0].headers["www-authenticate"] == "bearer"
    assert reached(service) == before + 1


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_opens(service: Live, scheme: str) -> None:
    assert knock(service, lines=[f"Authorization: {scheme} {TOKEN}"], token=None).status == 200


def test_nobody_has_the_empty_token(tmp_path: Path) -> None:
    app = make(tmp_path, House(), Door(frozenset({"127.0.0.1:8765"}), frozenset(), ""))
    for given_token in ("Bearer ", "Bearer", "", f"Bearer {TOKEN}"):
        assert ask(app, "GET", "/v1/commands", headers={"Authorization": given_token}).status == 401


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_the_open_paths_hold_no_data(service: Live, path: str) -> None:
    reply = knock(service, path=path, token=None)
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert b"vault" not in reply.body
    assert TOKEN.encode() not in reply.body


def test_the_page_runs_nothing_and_loads_nothing(service: Live) -> None:
    reply = knock(service, path="/", token=None)
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert b"<script" not in reply.body
    assert b"src=" not in reply.body


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
def test_there_is_no_documentation_to_read(service: Live, path: str) -> None:
    assert knock(service, path=path, token=None).status == 401
    assert knock(service, path=path).status == 404


# --- the body

WRONG_TYPES = [
    ["Content-Type: text/plain"],
    ["Content-Type: text/plain;charset=UTF-8"],
    ["Content-Type: application/x-www-form-urlencoded"],
    ["Content-Type: multipart/form-data; boundary=x"],
    ["Content-Type: text/json"],
    ["Content-Type: application/json-patch+json"],
    ["Content-Type: application/json; charset=utf-16"],
    ["Content-Type: application/json, text/plain"],
    [JSON, "Content-Type: text/plain"],
    [JSON, JSON],
    ["Content-Type: "],
    [JSON, "Content-Encoding: gzip"],
    [],
]


@pytest.mark.parametrize("lines", WRONG_TYPES, ids=lambda lines: " | ".join(lines)[:50])
def test_what_is_not_json_is_refused_on_every_post(service: Live, lines: list[str]) -> None:
    before = reached(service)
    for path in POSTS:
        reply = knock(service, "POST", path.replace("{name}", "orient"), lines, b'{"text":"x"}')
        assert (reply.status, reply.error["code"]) == (415, "unsupported_media"), path
    chunked = request(service, "POST", "/orient", [*lines, "Transfer-Encoding: chunked"]) + b"2\r\n{}\r\n0\r\n\r\n"
    assert parsed(exchange(service.port, chunked)).status == 415
    assert reached(service) == before


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_is_taken_however_it_is_spelt(service: Live, kind: str) -> None:
    assert knock(service, "POST", "/orient", [f"Content-Type: {kind}"], b"{}").status == 200


def test_no_body_needs_no_type(service: Live) -> None:
    assert knock(service, "POST", "/orient").status == 200
    assert knock(service, "POST", "/orient", ["Content-Length: 0"]).status == 200


NOT_A_REQUEST = {
    "NaN": b'{"budget_tokens":NaN}',
    "Infinity": b'{"budget_tokens":Infinity}',
    "-Infinity": b'{"budget_tokens":-Infinity}',
    "NaN in a condition": b'{"scope":{"where":{"level":NaN}}}',
    "Infinity in a condition": b'{"scope":{"where":{"level":{"lt":-Infinity}}}}',
    "huge float in a condition": b'{"scope":{"where":{"level":{"in":[1e999]}}}}',
    "huge integer in a condition": b'{"scope":{"where":{"level":1' + b"0" * 5000 + b"}}}",
    "huge float": b'{"budget_tokens":1e999}',
    "huge integer": b'{"budget_tokens":' + b"9" * 100_000 + b"}",
    "negative": b'{"budget_tokens":-1}',
    "fraction": b'{"budget_tokens":1000.5}',
    "true for a number": b'{"budget_tokens":true}',
    "lone surrogate": rb'{"text":"\ud800"}',
    "lone low surrogate": rb'{"text":"a\udfffb"}',
    "lone surrogate in a name": rb'{"scope":{"where":{"\ud800":1}}}',
    "raw surrogate": b'{"text":"\xed\xa0\x80"}',
    "escaped NUL": rb'{"text":"a\u0000b"}',
    "raw NUL": b'{"text":"a\0b"}',
    "NUL in a name": rb'{"scope":{"where":{"\u0000":1}}}',
    "control character": b'{"text":"a\x01b"}',
    "latin-1": b'{"text":"caf\xe9"}',
    "utf-16": '{"text":"x"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"text":"x"}',
    "a field twice": b'{"text":"a","text":"b"}',
    "a field twice by escapes": rb'{"text":"a","t\u0065xt":"b"}',
    "deep list": b'{"text":' + b"[" * 200_000,
    "deep and whole": b'{"scope":{"where":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}}",
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "many fields": json.dumps({f"f{n}": n for n in range(20_000)}).encode(),
    "list": b"[]",
    "text": b'"text"',
    "null": b"null",
    "number": b"1",
    "two values": b"{}{}",
    "half": b'{"text":"',
    "not JSON": b"text=x&stream=true",
    "binary": bytes(range(256)) * 10,
    "unknown field": b'{"txt":"x"}',
    "unknown field of the scope": b'{"scope":{"projects":"x"}}',
    "wrong kind": b'{"text":["x"]}',
    "number for text": b'{"text":1}',
    "null for a flag": b'{"stream":null}',
    "text for a flag": b'{"fresh":"true"}',
    "long text": json.dumps({"text": "x" * 200_001}).encode(),
    "no tier": b'{"tier":"huge"}',
    "no zone": b'{"timezone":"Mars/Olympus"}',
    "zone as path": b'{"timezone":"../../etc/passwd"}',
    "no day": b'{"now":"2025-02-30"}',
    "no operator": b'{"scope":{"where":{"a":{"like":"x"}}}}',
    "object for an operand": b'{"scope":{"where":{"a":{"eq":{"b":1}}}}}',
    "text for a list": b'{"scope":{"where":{"a":{"in":"x"}}}}',
}


@pytest.mark.parametrize("name", NOT_A_REQUEST)
@pytest.mark.parametrize("path", ["/orient", "/v1/context"])
def test_a_body_that_is_no_request_is_told_as_invalid(service: Live, path: str, name: str) -> None:
    before = reached(service)
    reply = knock(service, "POST", path, [JSON], NOT_A_REQUEST[name])
    assert (reply.status, reply.error["code"]) == (422, "invalid")
    assert len(reply.body) < 1000
    assert reached(service) == before


def post(service: Live, *lines: str) -> bytes:
    return request(service, "POST", "/orient", [JSON, *lines])


def test_a_body_of_one_mebibyte_is_read_and_one_byte_more_is_not(service: Live) -> None:
    whole = b'{"text":"' + b"x" * (BODY_BYTES - 11) + b'"}'
    assert knock(service, "POST", "/orient", [JSON], whole).error["message"].startswith("text: ")
    reply = knock(service, "POST", "/orient", [JSON], whole + b" ")
    assert (reply.status, reply.error["code"]) == (413, "too_large")


def test_a_body_that_says_it_is_too_large_is_refused_unread(service: Live) -> None:
    for size in ("1048577", "18446744073709551615"):
        assert parsed(exchange(service.port, post(service, f"Content-Length: {size}"))).status == 413
    expecting = post(service, "Content-Length: 2000000", "Expect: 100-continue")
    assert exchange(service.port, expecting).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_is_counted_as_it_comes(service: Live) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    fits = post(service, "Transfer-Encoding: chunked") + chunk * 15 + b"2\r\n{}\r\n0\r\n\r\n"
    assert parsed(exchange(service.port, fits)).status == 200
    reply = parsed(exchange(service.port, post(service, "Transfer-Encoding: chunked") + chunk * 17))
    assert (reply.status, reply.error["code"]) == (413, "too_large")


def test_a_body_that_does_not_come_is_not_waited_for_long(service: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "BODY_SECONDS", 0.2)
    reply = parsed(exchange(service.port, post(service, "Content-Length: 10") + b"{"))
    assert (reply.status, reply.error["code"]) == (408, "invalid")


FLOODS = {
    "length": (["Content-Length: 500000000"], b"x" * 65536),
    "chunks": (["Transfer-Encoding: chunked"], b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "chunks of a byte": (["Transfer-Encoding: chunked"], b"1\r\nx\r\n" * 10_000),
    "extensions": (["Transfer-Encoding: chunked"], b"1;a=" + b"x" * 60_000 + b"\r\nx\r\n"),
    "trailers": (["Transfer-Encoding: chunked"], b"X: x\r\n" * 10_000),
    "one trailer": (["Transfer-Encoding: chunked"], b"x" * 65536),
}


@pytest.mark.parametrize("authorized", [True, False])
def test_no_body_costs_much_memory(tmp_path: Path, authorized: bool) -> None:
    with program(tmp_path) as running:
        with running.client() as client:
            assert client.post("/orient", json={"text": "x" * 190_000}).status_code == 200
        head = f"POST /orient HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n{JSON}\r\n"
        head += f"Authorization: Bearer {TOKEN}\r\n" * authorized
        before = running.peak()
        for name, (lines, piece) in FLOODS.items():
            with socket.create_connection(("127.0.0.1", running.port), timeout=20) as link:
                start = "\r\n".join([head + lines[0], "", ""]).encode()
                start += {"trailers": b"0\r\n", "one trailer": b"0\r\nX: "}.get(name, b"")
                with contextlib.suppress(ConnectionError):
                    link.sendall(start)
                    for _ in range((64 << 20) // len(piece)):
                        link.sendall(piece)
                    pytest.fail(f"64 MiB were taken: {name}")
        assert running.peak() - before < 8 << 20


# --- the head


@pytest.mark.parametrize(
    "lines",
    [
        ["X: " + "x" * HEAD_BYTES],
        [f"X-{n}: {'x' * 100}" for n in range(200)],
        ["Cookie: " + "a=b; " * 4000],
    ],
    ids=["one", "many", "cookie"],
)
def test_a_head_above_16_kib_is_refused(service: Live, lines: list[str]) -> None:
    for path in ("/healthz", "/v1/commands"):
        reply = knock(service, path=path, lines=lines, token=None)
        assert (reply.status, reply.error["code"]) == (431, "too_large")


def test_a_long_address_counts_as_head(service: Live) -> None:
    for path in ("/healthz?" + "x" * HEAD_BYTES, "/v1/" + "x" * HEAD_BYTES):
        assert knock(service, path=path).status == 431


def test_a_head_below_16_kib_is_read(service: Live) -> None:
    assert knock(service, lines=["X: " + "x" * (HEAD_BYTES - 1000)]).status == 200


def test_a_head_that_never_ends_is_refused_while_it_comes(service: Live) -> None:
    with service.socket() as link:
        link.sendall(request(service)[:-2])
        time.sleep(0.05)
        with contextlib.suppress(ConnectionError):
            for _ in range(17):
                link.sendall(b"X: " + b"x" * 1000 + b"\r\n")
        reply = parsed(rest(link))
    assert (reply.status, reply.error["code"]) == (431, "too_large")
    assert reply.headers["connection"] == "close"


def gone(link: socket.socket) -> bool:
    """Send one more byte; whether the other side has closed."""
    try:
        link.send(b"x")
        return link.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_half_open_connections_are_closed_and_keep_nobody_out(service: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HEAD_SECONDS <= 15
    monkeypatch.setattr(DoorProtocol, "head_seconds", 3)
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(service.socket()) for _ in range(200)]
        for link in links:
            link.setblocking(False)
        for link in links[20:]:  # the first ones say nothing at all
            link.send(b"GET /healthz HTTP/1.1\r\nX: ")
        begun = time.monotonic()
        with service.client() as client:
            assert client.get("/v1/commands").status_code == 200
        assert time.monotonic() - begun < 1.5
        assert not any(map(gone, links[-20:]))

        def closed() -> bool:
            links[:] = [link for link in links if not gone(link)]
            time.sleep(0.05)
            return not links

        until(closed, 15)
    with service.client() as client:
        assert client.get("/v1/commands").status_code == 200


def test_a_connection_that_is_kept_alive_has_a_new_deadline(service: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DoorProtocol, "head_seconds", 1)
    with service.socket() as link:
        for _ in range(3):
            link.sendall(kept_alive(request(service, path="/healthz")))
            found = b""
            while not found.endswith(b"}"):
                found += link.recv(65536)
            assert parsed(found).status == 200
            time.sleep(0.5)
        link.sendall(b"GET /healthz HT")
        assert link.recv(1) == b""


# --- bytes that are not HTTP, or not quite


GARBAGE = {
    "text": b"hello\r\n\r\n",
    "binary": bytes(range(256)),
    "TLS": bytes.fromhex("16030100c8010000c403034d6e9f"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": b"BREW /orient HTTP/1.1\r\nHost: x\r\n\r\n",
    "tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "latin-1 target": b"GET /caf\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: x\n\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "endless length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "unknown coding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_not_http_is_refused(service: Live, name: str) -> None:
    with service.socket() as link:
        link.sendall(GARBAGE[name])
        reply = parsed(link.recv(65536))
    assert reply.status in {400, 421}
    assert reply.error["code"] in {"invalid", "wrong_host"}


def test_a_broken_chunk_is_refused_in_the_shape_of_all_errors(service: Live) -> None:
    reply = parsed(exchange(service.port, post(service, "Transfer-Encoding: chunked") + b"ZZ\r\n"))
    assert (reply.status, reply.error["code"]) == (400, "invalid")


def test_what_follows_a_whole_request_does_not_take_its_answer(service: Live) -> None:
    asked = kept_alive(request(service, path="/healthz"))
    reply = parsed(exchange(service.port, asked + b"garbage\r\n\r\n"))
    assert (reply.status, reply.json) == (200, {"status": "ok"})
    assert reply.headers["connection"] == "close"


def test_an_endless_head_behind_a_request_that_works_ends_the_connection(tmp_path: Path) -> None:
    house = House(script=works)
    with live(tmp_path, house) as running, running.socket() as link:
        body = b'{"stream":true}'
        asked = kept_alive(request(running, "POST", "/orient", [JSON], body))
        link.sendall(asked + b"GET /healthz HTTP/1.1\r\n")
        until(lambda: house.calls)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                link.sendall(b"X: " + b"x" * 1000 + b"\r\n")
                time.sleep(0.002)
        assert b"HTTP/1.1 431 " not in rest(link)
        until(lambda: house.calls[0].closed)


def test_an_upgrade_is_answered_as_if_it_were_not_asked_for(service: Live) -> None:
    upgrade = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x"]
    for method, path, body in (("GET", "/healthz", b""), ("POST", "/orient", b"{}")):
        asked = kept_alive(request(service, method, path, [*upgrade, JSON], body))
        reply = parsed(exchange(service.port, asked + request(service, path="/healthz")))
        assert reply.status == 200
        assert reply.headers["connection"] == "close"  # else a client would wait for ever on its next request


def test_a_trailer_is_no_header(service: Live) -> None:
    raw = (
        post(service, "Transfer-Encoding: chunked")
        + b"2\r\n{}\r\n0\r\nHost: evil.example\r\nAccept: text/event-stream\r\n\r\n"
    )
    reply = parsed(exchange(service.port, raw))
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")


# --- what a refusal tells


def test_no_error_tells_what_was_sent(service: Live) -> None:
    bodies: list[Any] = [
        {CANARY: 1},
        {"scope": {CANARY: 1}},
        {"scope": {"where": {CANARY: {CANARY: CANARY}}}},
        {"scope": {"where": {CANARY: {"in": CANARY}}}},
        {"scope": {"since": CANARY}},
        {"scope": {"tags": CANARY}},
        {"tier": CANARY},
        {"apply": CANARY},
        {"now": CANARY},
        {"timezone": CANARY},
        {"budget_tokens": CANARY},
        {"stream": CANARY},
        {"text": [CANARY]},
        {"gather": {CANARY: CANARY}},
        {"gather": CANARY},
        {"follows": CANARY},
        {"idempotency_key": CANARY * 100},
    ]
    raw = [json.dumps(one).encode() for one in bodies] + [CANARY.encode(), b'{"' + CANARY.encode() + b'":NaN}']
    replies = [knock(service, "POST", path, [JSON], body) for body in raw for path in ("/orient", "/v1/context")]
    header = [f"X: {CANARY}", f"Cookie: {CANARY}"]
    for path in (
        f"/{CANARY}",
        f"/v1/commands/{CANARY}",
        f"/v1/runs/{CANARY}",
        f"/v1/runs/{CANARY}/events?after={CANARY}",
    ):
        replies += [knock(service, method, path, header) for method in ("GET", "POST", "DELETE", "PATCH")]
    replies += [
        knock(service, token=CANARY),
        knock(service, host=CANARY),
        knock(service, lines=[f"Origin: https://{CANARY}"]),
        knock(service, "POST", "/orient", [f"Content-Type: {CANARY}"], b"{}"),
        parsed(exchange(service.port, CANARY.encode() + b"\r\n\r\n")),
    ]
    for reply in replies:
        assert 400 <= reply.status < 500
        assert CANARY.encode() not in reply.body + repr(reply.headers).encode()
        assert TOKEN.encode() not in reply.body
        assert reply.error["code"] in STATUS


def test_no_error_tells_where_the_vault_lies(tmp_path: Path) -> None:
    async def broken() -> None:
        raise FileNotFoundError(2, "No such file", str(tmp_path / "vault" / f"{CANARY}.md"))

    async def script(call: Any) -> Any:
        await broken()
        yield

    app = make(tmp_path, House(script=script, context=broken))
    for path in ("/v1/context", "/orient"):
        reply = ask(app, "POST", path, {})
        assert (reply.status, reply.error["code"]) == (500, "internal")
        assert CANARY not in reply.body.decode()
        assert str(tmp_path) not in reply.body.decode()


# --- fuzz

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "\ud800", "\0", "2025-09-14", "UTC", "fast", "none", "../x", "a" * 2000, 10**30, 1e308]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    "text note selection scope tier model node budget_tokens timezone now apply dry_run fresh detach follows"
    " idempotency_key stream gather where tags folder project since eq in exists".split()
)
OBJECTS = st.dictionaries(FIELDS, VALUES | st.dictionaries(FIELDS, VALUES, max_size=3), max_size=5)
NEAR_JSON = OBJECTS.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """JSON with a few bytes changed."""
    body = bytearray(draw(NEAR_JSON))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(body)))
        body[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | NEAR_JSON | damaged(), path=st.sampled_from(["/orient", "/v1/context"]))
def test_no_body_breaks_the_service(tmp_path: Path, body: bytes, path: str) -> None:
    reply = ask(make(tmp_path, House()), "POST", path, body)
    assert reply.status < 300 or reply.status in {404, 422}
    if reply.status >= 400:
        assert STATUS[reply.error["code"]] == reply.status


PIECES = st.sampled_from(
    [
        b"GET ", b"POST ", b"OPTIONS ", b"HEAD ", b"/", b"/orient", b"/healthz", b"/v1/commands", b"*", b"http://x/",
        b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"\r\n", b"\n", b"\r", b" ", b":", b"\0", b"\xff",
        b"Host: HERE\r\n", b"Host: evil\r\n", b"Authorization: Bearer TOKEN\r\n", b"Origin: app://obsidian.md\r\n",
        b"Content-Type: application/json\r\n", b"Content-Length: 2\r\n", b"Content-Length: 0\r\n", b"{}",
        b"Content-Length: 99\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"2\r\n{}\r\n",
        b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n",
        b"ffffffff\r\n", b"%00", b"?a=b", b"Accept: text/event-stream\r\n",
    ]
)  # fmt: skip
USUAL = b"POST /orient HTTP/1.1\r\nHost: HERE\r\nAuthorization: Bearer TOKEN\r\nContent-Type: application/json\r\n"
RAW = st.tuples(
    st.sampled_from([b"", USUAL, USUAL + b"Content-Length: 2\r\n\r\n{}", b"GET /healthz HTTP/1.1\r\nHost: HERE\r\n"]),
    st.lists(PIECES | st.binary(max_size=8), max_size=12).map(b"".join),
).map(b"".join)


def read_some(link: socket.socket, end: float) -> bytes:
    """What the other side says until it closes, or has said all of a first answer."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                data = link.recv(65536)
                found += data
                if not data or found.endswith((b"}", b"0\r\n\r\n")):
                    return found
    assert found or time.monotonic() < end, "it neither answers nor closes"
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(many=st.lists(RAW, min_size=1, max_size=25))
def test_no_bytes_break_the_service(service: Live, monkeypatch: pytest.MonkeyPatch, many: list[bytes]) -> None:
    monkeypatch.setattr(DoorProtocol, "head_seconds", 0.1)
    monkeypatch.setattr(security, "BODY_SECONDS", 0.1)
    here = {b"HERE": f"127.0.0.1:{service.port}".encode(), b"TOKEN": TOKEN.encode()}
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(service.socket()) for _ in many]
        for link, raw in zip(links, many, strict=True):
            link.settimeout(0.2)
            with contextlib.suppress(ConnectionError):
                link.sendall(raw.replace(b"HERE", here[b"HERE"]).replace(b"TOKEN", here[b"TOKEN"]))
        end = time.monotonic() + 10
        answers = [read_some(link, end) for link in links]
    for answer in answers:
        for part in answer.split(b"HTTP/1.1 ")[1:]:
            status = int(part[:3])
            assert status < 500, answer
            assert status < 400 or status in {*STATUS.values(), *PROTOCOL}, answer
    with service.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}


def test_the_loop_is_never_blocked(service: Live) -> None:
    """Parsing the worst bodies does not keep others waiting."""
    worst = [NOT_A_REQUEST[name] for name in ("deep list", "many fields", "huge integer", "long text")]
    slowest = asyncio.run(_slowest(service, worst))
    assert slowest < 2


async def _slowest(service: Live, bodies: list[bytes]) -> float:
    async with httpx.AsyncClient(base_url=service.url, headers=AUTH, trust_env=False, timeout=30) as client:
        head = {"Content-Type": "application/json"}
        posts = [asyncio.create_task(client.post("/orient", content=one, headers=head)) for one in bodies * 5]
        slowest = 0.0
        while not all(one.done() for one in posts):
            begun = time.monotonic()
            await client.get("/healthz")
            slowest = max(slowest, time.monotonic() - begun)
        assert {(await one).status_code for one in posts} == {422}
        return slowest
