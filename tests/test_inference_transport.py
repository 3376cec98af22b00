"""How requests reach a node: in one piece, over connections that are used again, also by TLS; and how they fail."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from inference.transport import NodeTransport
from tests.kos import closed_port
from tests.raw_server import CLOSE, END, HEAD, piece, raw_server, status

BODY = b"x" * 200_000


def run(test: Callable[[], Awaitable[None]], seconds: float = 20) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await test()

    asyncio.run(bounded())


@asynccontextmanager
async def client(context: ssl.SSLContext | None = None) -> AsyncIterator[httpx.AsyncClient]:
    transport = NodeTransport(context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), keepalive=8)
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=5) as found:
        yield found


def test_head_and_body_of_a_request_arrive_in_one_piece() -> None:
    async def test() -> None:
        pieces = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pieces.append(await reader.read(1 << 16))
            writer.write(status(200, "ok"))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, client() as http:
            port = server.sockets[0].getsockname()[1]
            assert (await http.post(f"http://127.0.0.1:{port}/api", content=b"the body")).text == "ok"
        assert pieces[0].startswith(b"POST /api HTTP/1.1\r\n")
        assert pieces[0].endswith(b"\r\n\r\nthe body")

    run(test)


def test_a_long_body_and_a_long_answer_are_whole_and_the_connection_is_used_again() -> None:
    async def test() -> None:
        async with raw_server() as server, client() as http:
            answer = b"y" * 3_000_000
            server.answer(HEAD, *(piece(answer[at : at + 70_000]) for at in range(0, len(answer), 70_000)), END)
            for _ in range(3):
                found = await http.post(server.url, json={"text": BODY.decode()})
                assert found.content == answer
            assert [len(seen.body["text"]) for seen in server.seen] == [len(BODY)] * 3
            assert server.connections == 1

    run(test)


def test_a_connection_that_the_node_closed_meanwhile_is_not_used_again() -> None:
    async def test() -> None:
        async with raw_server() as server, client() as http:
            server.answer(status(200, "one"), CLOSE)
            server.answer(status(200, "two"))
            assert (await http.get(server.url)).text == "one"
            await asyncio.sleep(0.05)
            assert (await http.get(server.url)).text == "two"
            assert server.connections == 2

    run(test)


def test_what_goes_wrong_has_the_name_that_httpx_gives_it() -> None:
    async def test() -> None:
        async with raw_server() as server, client() as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(f"http://127.0.0.1:{closed_port()}")
            with pytest.raises(httpx.ConnectError):
                await http.get("http://no-such-name.invalid")
            server.answer(CLOSE, path="/gone")
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get(f"{server.url}/gone")
            server.answer(HEAD, piece(b"begun"), CLOSE, path="/broken")
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get(f"{server.url}/broken")
            server.answer(1.0, path="/slow")
            with pytest.raises(httpx.ReadTimeout):
                await http.get(f"{server.url}/slow", timeout=0.1)
            server.answer(status(200, "well"), path="/")
            assert (await http.get(server.url)).text == "well"

    run(test)


def test_a_cancel_closes_the_connection_at_once() -> None:
    async def test() -> None:
        gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            with suppress(ConnectionError):
                await reader.read()
            gone.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, client() as http:
            asking = asyncio.create_task(http.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
            await asyncio.sleep(0.1)
            asking.cancel()
            async with asyncio.timeout(0.2):
                await gone.wait()
            with pytest.raises(asyncio.CancelledError):
                await asking

    run(test)


# TLS, with a certificate of its own.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    subprocess.run([*made, *names], check=True, capture_output=True)
    return folder


@asynccontextmanager
async def secure(certificate: Path) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(status(200, head[:3]))
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=context, family=socket.AF_INET)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


def test_tls_is_spoken_with_whoever_is_trusted(certificate: Path) -> None:
    async def test() -> None:
        trusted = ssl.create_default_context(cafile=str(certificate / "cert"))
        async with secure(certificate) as url, client(trusted) as http:
            assert [(await http.get(url)).text for _ in range(2)] == ["GET", "GET"]

    run(test)


def test_tls_is_not_spoken_with_others(certificate: Path) -> None:
    async def test() -> None:
        async with secure(certificate) as url, client(ssl.create_default_context()) as http:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await http.get(url)
        async with raw_server() as server, client(ssl.create_default_context()) as http:
            server.answer(status(200))
            with pytest.raises(httpx.ConnectTimeout):
                await http.get(server.url.replace("http:", "https:"), timeout=0.3)

    run(test)
