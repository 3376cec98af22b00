"""What the service adds to a model's stream, and what a node that fails costs. Run: python benchmarks/relay.py [VAULT].

The service and the Ollama double are processes of their own; the double answers at once, so that what is left is the
way there and back. Takes two minutes. Without VAULT it is the example vault.

- First token: `POST /v1/commands/ask` as a stream, and `/api/chat` of the double with the very same request, in turns.
  The relay alone is counted from the event `gathered` on, when the prompt is ready; the context is a cached one.
- 100 streams at once: the most memory that the service held (VmHWM).
- The breaker: failures until it opens; what a request takes then beyond one that names the second node; and how long
  after the node is back requests go there again.
"""

import asyncio
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAIRS, STREAMS, OPEN = 300, 100, 150
MODEL = "llama3.2:3b"
TEXT = "What is due for the riser and the backup?"
# Longer than the reserve, so that no answer is whole, kept, and given again.
ANSWER = "word " * 400

NODE = """
[nodes.{name}]
kind = "ollama"
url = "{url}"
class = "local"
parallel = 128
queue = 8
[runners.{name}]
node = "{name}"
model = "{model}"
quantisation = "{name}" # no equals: the first is preferred, also when the other has its model in memory
num_ctx = 8192
answer_tokens = {answer}
slots = 128
"""


@contextlib.contextmanager
def process(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program that says on its first line where it is."""
    env = {**os.environ, **environment}
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as found:
        try:
            yield found
        finally:
            found.terminate()


def told(found: "subprocess.Popen[str]") -> str:
    """Its first line."""
    assert found.stdout is not None
    return found.stdout.readline().strip()


@contextlib.contextmanager
def double(port: int = 0, decode: float = 1e9) -> Iterator[str]:
    """A double; its address."""
    options = ["--port", str(port), "--decode", str(decode), "--parallel", "128", "--vram-gib", "500"]
    with process("-m", "tests.ollama_double", *options) as found:
        yield told(found)


class Service:
    """The service over some nodes, and a kept connection to it."""

    def __init__(self, url: str, token: str, pid: int) -> None:
        self.url, self.pid = url, pid
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.line = http.client.HTTPConnection(url.removeprefix("http://"))

    def ask(self, **body: Any) -> tuple[dict[str, float], dict[str, Any]]:
        """One command as a stream: when each kind of event first came, in ms, and the data of the last."""
        sent = json.dumps({"text": TEXT, "stream": True} | body).encode()
        came: dict[str, float] = {}
        name, last = "", b"{}"
        began = time.perf_counter()
        self.line.request("POST", "/v1/commands/ask", sent, self.headers)
        answer = self.line.getresponse()
        for line in answer:
            if line.startswith(b"event: "):
                name = line[7:-1].decode()
                came.setdefault(name, (time.perf_counter() - began) * 1000)
            elif line.startswith(b"data: "):
                last = line[6:]
        return came, json.loads(last)

    def peak(self) -> float:
        """The most memory it ever held, in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


@contextlib.contextmanager
def service(vault: str, *nodes: str, answer: int = 64) -> Iterator[Service]:
    """A running service over doubles at these addresses, the first one preferred."""
    names = ("desk", "rack")[: len(nodes)]
    parts = [
        NODE.format(name=name, url=url, model=MODEL, answer=answer) for name, url in zip(names, nodes, strict=True)
    ]
    tiers = "".join(f"{tier} = {json.dumps(names)}\n" for tier in ("fast", "balanced", "deep"))
    with tempfile.TemporaryDirectory() as state:
        profile = Path(state, "relay.toml")
        profile.write_text("".join([*parts, "[tiers]\n", tiers]), "utf-8")
        known = {"KOS_STATE_DIR": state, "KOS_CACHE": "sqlite", "KOS_NOW": "2025-09-14", "KOS_PROFILE": str(profile)}
        with process("knowledge_os.py", "serve", "--port", "0", "--json", "--vault", vault, **known) as found:
            url = json.loads(told(found))["url"]
            yield Service(url, Path(state, "token").read_text("ascii").strip(), found.pid)


def control(url: str, path: str, body: Any = None, method: str = "POST") -> Any:
    """Say something to a double, or ask what it was asked."""
    line = http.client.HTTPConnection(url.removeprefix("http://"))
    line.request(method, path, None if body is None else json.dumps(body).encode())
    found = json.loads(line.getresponse().read())
    line.close()
    return found


def chats(url: str) -> list[dict[str, Any]]:
    """The requests for an answer that a double got."""
    return [one for one in control(url, "/double", method="GET")["requests"] if one["path"] == "/api/chat"]


def shares(took: list[float]) -> str:
    """Median, 99 of 100."""
    took = sorted(took)
    return f"{statistics.median(took):.2f} | {took[int(len(took) * 0.99) - 1]:.2f}"


def first_token(vault: str) -> None:
    """Print what the service adds to the first token."""
    with double() as node, service(vault, node) as kos:
        control(node, "/double/answers", {"answers": [ANSWER] * (2 * PAIRS + 20)})
        for _ in range(5):
            kos.ask()
        body = json.dumps(chats(node)[-1]["body"]).encode()
        line = http.client.HTTPConnection(node.removeprefix("http://"))

        def direct() -> float:
            began = time.perf_counter()
            line.request("POST", "/api/chat", body)
            answer = line.getresponse()
            answer.readline()
            took = (time.perf_counter() - began) * 1000
            answer.read()
            return took

        direct()
        bare, relay, whole, command, fresh = [], [], [], [], []
        for _ in range(PAIRS):
            bare.append(direct())
            came, _ = kos.ask()
            command.append(came["token"])
            relay.append(came["token"] - came["gathered"] - bare[-1])
            whole.append(came["token"] - bare[-1])
        for _ in range(PAIRS // 10):
            bare.append(direct())
            fresh.append(kos.ask(fresh=True)[0]["token"] - bare[-1])
        print("| first token | p50 ms | p99 ms | goal |\n|---|---|---|---|")
        print(f"| the double, asked directly | {shares(bare)} | |")
        print(f"| `POST /v1/commands/ask` | {shares(command)} | |")
        print(f"| the relay alone, beyond direct | {shares(relay)} | 3, 15 |")
        print(f"| the whole command, cached context, beyond direct | {shares(whole)} | |")
        print(f"| the whole command, fresh context, beyond direct | {shares(fresh)} | |")


def many_streams(vault: str) -> None:
    """Print how much memory 100 streams at once take."""
    with double(decode=10.0) as node, service(vault, node, answer=120) as kos:
        control(node, "/double/answers", {"answers": [ANSWER] * (STREAMS + 1)})
        kos.ask()
        before = kos.peak()
        spans = asyncio.run(_together(kos))
        together = max(begun for begun, _ in spans) < min(ended for _, ended in spans)
        assert together, "they did not all stream at once"
        print(f"\n{STREAMS} streams at once: {kos.peak():.0f} MB at most (goal 150), {before:.0f} MB after one.")


async def _together(kos: Service) -> list[tuple[float, float]]:
    """When each of the streams began to speak, and ended."""
    host, _, port = kos.url.removeprefix("http://").partition(":")

    async def one(n: int) -> tuple[float, float]:
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({"text": f"{TEXT} {n}", "stream": True}).encode()
        head = [f"POST /v1/commands/ask HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in kos.headers.items()]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        begun = 0.0
        while line := await reader.readline():
            if line == b"event: token\n" and not begun:
                begun = time.monotonic()
            if line in (b"event: done\n", b"event: failed\n"):
                assert b"done" in line
                break
        writer.close()
        return begun, time.monotonic()

    return await asyncio.gather(*(one(n) for n in range(STREAMS)))


def breaker(vault: str) -> None:
    """Print what a node that fails costs."""
    with double() as rack, contextlib.ExitStack() as stack:
        desk = stack.enter_context(double())
        port = int(desk.rpartition(":")[2])
        with service(vault, desk, rack) as kos:
            assert kos.ask()[1]["decision"]["node"] == "desk"
            control(desk, "/double/fault", {"kind": "died", "times": None})
            before = len(chats(desk))
            failed = 0
            while (last := kos.ask(fresh=True)[1]).get("code") == "upstream":
                failed += 1
            assert last["decision"]["node"] == "rack"
            print(f"\nThe breaker opens after {failed} failures, {len(chats(desk)) - before} requests at the node.")
            stack.close()
            away = time.perf_counter()
            kos.ask(fresh=True)
            while time.perf_counter() - away < 3:  # the breaker learns that it is away
                kos.ask(fresh=True)
            control(rack, "/double/answers", {"answers": [ANSWER] * (2 * OPEN + 50)})
            kos.ask()
            extra, named = [], []
            for _ in range(OPEN):
                came, last = kos.ask()
                assert last["decision"]["node"] == "rack"
                named.append(kos.ask(node="rack")[0]["token"])
                extra.append(came["token"] - named[-1])
            print(f"While it is open a request takes {shares(extra)} ms (p50 | p99) more than one that names the other")
            took = []
            for _ in range(5):
                with double(port) as again:
                    assert again.endswith(str(port))
                    back = time.perf_counter()
                    while kos.ask(fresh=True)[1]["decision"]["node"] != "desk":
                        time.sleep(0.01)
                    took.append(time.perf_counter() - back)
                assert kos.ask(fresh=True)[1].get("decision", {}) is not None
                while kos.ask(fresh=True)[1]["degraded"]:
                    time.sleep(0.01)
            print(f"Back after {', '.join(f'{one:.2f}' for one in took)} s (goal: one probe, every 2 s).")


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "examples" / "vault")
    first_token(where)
    many_streams(where)
    breaker(where)
    print(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
