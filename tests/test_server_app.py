"""The whole program: it starts, says where it is, keeps others out, and ends well when it is told to."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.events import FINAL
from server.app import _listener, serve
from tests.edge import TOKEN, config, sse, until
from tests.ollama_double import double_in_thread
from tests.serving import Program, program
from tests.vaults import write


def promised() -> float:
    """The seconds in which it ends: two where a core is free, and longer by as much as others want the cores."""
    return 2.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def state(folder: Path) -> Path:
    """The folder that the program keeps for its vault."""
    return next((folder / "state" / "vaults").iterdir())


def known(folder: Path) -> Any:
    return json.loads((state(folder) / "service.json").read_text("utf-8"))


def test_it_serves_on_a_free_port_and_says_where(tmp_path: Path) -> None:
    with program(tmp_path) as service:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", service.url)
        told = known(tmp_path)
        assert {"profile", "cache", "embeddings", "kinds"} < told.pop("settings").keys(), "only their digests"
        assert told == {"url": service.url, "uds": "", "pid": service.process.pid}
        assert stat.S_IMODE((state(tmp_path) / "service.json").stat().st_mode) == 0o600
        with service.client() as client:
            assert client.get("/readyz").json() == {"status": "ready"}
            assert client.post("/orient").json()["answer"] == "One two."
        told = service.signal()
        assert service.end() == (0, "")
        assert time.monotonic() - told < promised()
    assert not (state(tmp_path) / "service.json").exists()


def test_it_serves_on_ipv6(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with program(tmp_path, host="::1") as service, service.client() as client:
        assert service.url == f"http://[::1]:{service.port}"
        assert client.get("/v1/commands").status_code == 200


def test_it_serves_on_a_unix_socket_of_its_owner(tmp_path: Path) -> None:
    place = tmp_path / "kos.sock"
    with program(tmp_path, uds=str(place)) as service:
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        told = {"url": "http://localhost", "uds": str(place), "pid": service.process.pid}
        assert known(tmp_path) == told | {"settings": known(tmp_path)["settings"]}
        with service.client() as client:
            assert client.post("/orient").json()["answer"] == "One two."
            assert client.get("/v1/commands", headers={"Host": "evil.example"}).status_code == 421
            assert client.get("/v1/commands", headers={"Authorization": ""}).status_code == 401
        service.signal()
        assert service.end() == (0, "")
    assert not place.exists()


def test_a_unix_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "kos.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    with program(tmp_path, uds=str(place)) as service, service.client() as client:
        assert client.get("/healthz").status_code == 200


def test_a_unix_socket_of_another_service_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "kos.sock"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with program(tmp_path / "one", uds=str(place)) as first:
        with program(tmp_path / "two", wait=False, uds=str(place)) as second:
            code, told = second.end()
        assert (code, told) == (1, f"kos: cannot listen on {place}: Address already in use\n")
        with first.client() as client:
            assert client.get("/healthz").status_code == 200


def test_a_file_in_place_of_the_unix_socket_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "kos.sock"
    place.write_text("mine")
    with program(tmp_path, wait=False, uds=str(place)) as service:
        assert service.end()[0] == 1
    assert place.read_text() == "mine"


def test_a_token_is_made_at_first_start_for_its_owner_alone(tmp_path: Path) -> None:
    with program(tmp_path, token="") as service:
        file = tmp_path / "state" / "token"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        token = file.read_text("ascii").strip()
        assert len(token) >= 43  # 32 bytes
        with service.client() as client:
            assert client.get("/v1/commands").status_code == 401
            mine = {"Authorization": f"Bearer {token}"}
            assert client.get("/v1/commands", headers=mine).status_code == 200
        service.signal()
        assert service.end()[0] == 0
    with program(tmp_path, token="") as service:
        assert (tmp_path / "state" / "token").read_text("ascii").strip() == token


# --- the end


class Reader(threading.Thread):
    """A client whose answer is open when the service ends."""

    def __init__(self, service: Program, method: str, path: str, **more: Any) -> None:
        super().__init__()
        self._ask: Callable[[httpx.Client], Any] = lambda client: client.stream(method, path, **more)
        self._service = service
        self.text = ""
        self.status = 0
        self.fault: Exception | None = None

    def run(self) -> None:
        try:
            with self._service.client() as client, self._ask(client) as answer:
                self.status = answer.status_code
                for piece in answer.iter_text():
                    self.text += piece
        except Exception as error:  # noqa: BLE001 - told by the test
            self.fault = error


def lines(text: str) -> list[tuple[int, str, Any]]:
    return [(one["id"], one["event"], one["data"]) for one in map(json.loads, text.splitlines())]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("place", ["port", "socket"])
def test_every_open_answer_gets_one_last_event_and_a_clean_end(tmp_path: Path, place: str, number: int) -> None:
    with program(tmp_path, uds=str(tmp_path / "kos.sock") if place == "socket" else "") as service:
        work = {"text": "work"}
        with service.client() as client:
            polled = client.post("/orient", json={**work, "detach": True}).json()["run"]
            until(lambda: client.get(f"/v1/runs/{polled}").json()["events"] == 2)
        path = f"/v1/runs/{polled}/events"
        sse_, ndjson = ({"Accept": kind} for kind in ("text/event-stream", "application/x-ndjson"))
        readers = {
            "sse": Reader(service, "POST", "/orient", json=work, headers=sse_),
            "ndjson": Reader(service, "POST", "/ask", json=work, headers=ndjson),
            "json": Reader(service, "POST", "/plan", json=work),
            "poll": Reader(service, "GET", path, params={"after": 2, "wait": 30}),
            "follow": Reader(service, "GET", path, headers=sse_),
            "context": Reader(service, "POST", "/v1/context", json=work),
        }
        for reader in readers.values():
            reader.start()
        with service.client() as client:
            until(lambda: client.get("/v1/status").json()["runs"]["running"] == 4)
        until(lambda: readers["follow"].text and readers["sse"].text and readers["ndjson"].text)
        time.sleep(0.3)  # for the poll and the context, which show nothing while they wait
        told = service.signal(number)
        assert service.end() == (0, "")
        assert time.monotonic() - told < promised()
        assert (tmp_path / "state" / "closed").exists()
        for name, reader in readers.items():
            reader.join(10)
            assert reader.fault is None, (name, reader.fault)
        assert {name: reader.status for name, reader in readers.items()} == {
            "sse": 200, "ndjson": 200, "json": 503, "poll": 200, "follow": 200, "context": 503,
        }  # fmt: skip
        for events in (sse(readers["sse"].text), lines(readers["ndjson"].text), sse(readers["follow"].text)):
            assert [event for _, event, _ in events] == ["started", "token", "failed"]
            assert [number for number, _, _ in events] == [1, 2, 3]
            assert events[-1][2]["code"] == "shutting_down"
            assert events[-1][2]["run"] == events[0][2]["run"]
        poll = json.loads(readers["poll"].text)
        assert (poll["done"], [one["event"] for one in poll["events"]]) == (True, ["failed"])
        assert poll["events"][0]["data"]["code"] == "shutting_down"
        for name in ("json", "context"):
            assert json.loads(readers[name].text)["error"]["code"] == "shutting_down"


def half_sent(service: Program) -> socket.socket:
    """A client that never sends the rest of its body."""
    return sent(service, b"Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n{")


def sent(service: Program, rest: bytes) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", service.port))
    head = f"POST /orient HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
    link.sendall(head.encode() + rest)
    return link


def test_clients_that_neither_read_nor_send_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with program(tmp_path) as service, contextlib.ExitStack() as stack:
        body = b'{"text": "flood", "stream": true}'
        head = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        for _ in range(3):
            stack.enter_context(half_sent(service))
            stack.enter_context(sent(service, head + body))
        with service.client() as client:
            until(lambda: all(run["events"] > 4000 for run in client.get("/v1/runs").json()["runs"]), 30)
        told = service.signal()
        assert service.end() == (0, "")
        assert time.monotonic() - told < promised() + 0.5
        assert (tmp_path / "state" / "closed").exists()


@pytest.mark.parametrize("where", ["while it loads", "before the head", "in the stream"])
def test_the_real_program_lets_go_of_its_node_when_it_ends(tmp_path: Path, where: str) -> None:
    """One run is at the node, two wait in line: each ends once, and the line is never sent on."""
    write(tmp_path / "vault", {"Riser.md": "---\ntype: project\nstatus: active\n---\n# Riser\nAbout pipes.\n"})
    with (
        double_in_thread(decode=5.0, load_seconds=60 if where == "while it loads" else 0) as node,
        program(tmp_path, "real", ollama_url=node.url, cache="memory") as service,
    ):
        if where == "before the head":
            node.fault("slow_first", seconds=60)
        ask, accept = {"text": "the riser?"}, {"Accept": "text/event-stream"}
        first = Reader(service, "POST", "/ask", json=ask, headers=accept)
        first.start()
        until(lambda: ("event: token" in first.text) if where == "in the stream" else node.chats(), 30)
        waits = [Reader(service, "POST", "/ask", json=ask, headers=accept), Reader(service, "POST", "/ask", json=ask)]
        waits[0].start()
        until(lambda: '"queued"' in waits[0].text, 30)
        waits[1].start()
        with service.client() as client:
            until(lambda: client.get("/v1/status").json()["runs"]["running"] == 3)
        told = service.signal()
        assert service.end() == (0, "")
        assert time.monotonic() - told < promised()
        for reader in (first, *waits):
            reader.join(10)
            assert reader.fault is None
        for reader in (first, waits[0]):
            events = sse(reader.text)
            assert [name for _, name, _ in events if name in FINAL] == ["failed"]
            assert (events[-1][1], events[-1][2]["code"]) == ("failed", "shutting_down")
        assert (waits[1].status, json.loads(waits[1].text)["error"]["code"]) == (503, "shutting_down")
        until(lambda: node.chats()[0].closed)
        assert node.chats()[0].closed - told < 2
        assert len(node.chats()) == 1


def listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(str(place)) == 0


def test_it_is_alive_but_not_ready_while_the_vault_is_read_and_ends_even_then(tmp_path: Path) -> None:
    place = tmp_path / "kos.sock"
    with program(tmp_path, "slow", wait=False, uds=str(place)) as service:
        service.url = "http://localhost"
        until(lambda: listens(place), 30)
        with service.client() as client:
            assert client.get("/healthz").status_code == 200
            waiting = client.get("/readyz")
            assert (waiting.status_code, waiting.json()["error"]["code"]) == (503, "busy")
            assert client.get("/v1/status").json()["ready"] is False
            refused = client.post("/orient")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert not (state(tmp_path) / "service.json").exists()
        told = service.signal()
        assert service.end() == (0, "")
        assert time.monotonic() - told < promised() + 0.5


def test_a_second_signal_ends_it_there_and_then(tmp_path: Path) -> None:
    with program(tmp_path) as service, half_sent(service), service.client() as client:
        assert client.get("/healthz").status_code == 200
        service.signal()
        time.sleep(0.2)
        service.signal(signal.SIGINT)
        assert service.end()[0] == 128 + signal.SIGINT


# --- what keeps it from starting


def refusal(capsys: pytest.CaptureFixture[str], folder: Path, **changes: Any) -> str:
    """What is told when the service cannot start."""
    code = asyncio.run(serve(config(folder, **changes), ready=lambda url: pytest.fail(f"it serves at {url}")))
    assert code == 1
    return capsys.readouterr().err


def test_a_vault_that_is_served_is_told_with_its_process(tmp_path: Path) -> None:
    with program(tmp_path) as first:
        with program(tmp_path, wait=False) as second:
            code, told = second.end()
        assert code == 1
        process = f"process {first.process.pid} at {first.url}"
        assert told == f"kos: this vault is already served by {process}; stop that one first\n"
        with first.client() as client:
            assert client.get("/readyz").status_code == 200
            assert known(tmp_path)["pid"] == first.process.pid


def test_a_vault_that_is_still_being_opened_is_held_as_well(tmp_path: Path) -> None:
    with program(tmp_path) as killed:
        killed.signal(signal.SIGKILL)
        killed.end()
    assert known(tmp_path)["pid"] == killed.process.pid  # nobody was left to take it away
    with program(tmp_path, "slow", wait=False) as first:
        until(lambda: (state(tmp_path) / "lock").read_text() == str(first.process.pid), 30)
        with program(tmp_path, wait=False) as second:
            code, told = second.end()
        assert code == 1
        assert told == f"kos: this vault is already served by process {first.process.pid}; stop that one first\n"
        assert not (state(tmp_path) / "service.json").exists()


def test_the_lock_goes_with_its_process_however_that_ends(tmp_path: Path) -> None:
    with program(tmp_path) as first:
        first.signal(signal.SIGKILL)
        first.end()
        with program(tmp_path) as second:
            assert known(tmp_path)["pid"] == second.process.pid


def test_a_port_that_is_taken_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refusal(capsys, tmp_path, port=port)
    assert told == f"kos: cannot listen on 127.0.0.1:{port}: Address already in use; --port 0 takes a free port\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "desk.example"])
def test_it_does_not_open_to_others_before_there_is_a_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    told = refusal(capsys, tmp_path, host=host, token="")
    assert "there is no token yet" in told
    assert "kos token" in told
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("way", ["configured", "made before"])
def test_it_opens_to_others_with_a_token_somebody_has_seen(tmp_path: Path, way: str) -> None:
    if way == "made before":
        (tmp_path / "state").mkdir(mode=0o700)
        (tmp_path / "state" / "token").write_text(TOKEN + "\n")
    with program(tmp_path, host="0.0.0.0", token=TOKEN if way == "configured" else "") as service:
        assert service.url.startswith("http://127.0.0.1:")
        with service.client() as client:
            assert client.get("/v1/commands").status_code == 200
            assert client.get("/v1/commands", headers={"Host": "desk.example"}).status_code == 421
            assert httpx.get(f"{service.url}/v1/commands", trust_env=False).status_code == 401


def test_a_vault_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with program(tmp_path, "refused", wait=False) as service:
        assert service.end() == (1, "kos: the vault cannot be read\n")
    assert not (state(tmp_path) / "service.json").exists()


def test_a_state_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").write_text("a file in its place")
    told = refusal(capsys, tmp_path)
    assert told.startswith(f"kos: the state folder {tmp_path / 'state'} cannot be written: ")


def test_the_token_is_never_told(tmp_path: Path) -> None:
    with program(tmp_path) as service:
        with service.client() as client:
            assert TOKEN not in client.get("/v1/status").text
        service.signal()
        assert TOKEN not in "".join(map(str, service.end()))


def test_the_end_of_an_answer_does_not_wait_for_its_beginning(tmp_path: Path) -> None:
    """Nagle's algorithm is off for connections: with it, each answer on one that is kept takes 40 ms."""
    with _listener(config(tmp_path)) as listener, socket.create_connection(listener.getsockname()):
        line, _ = listener.accept()
        with line:
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
