"""What a cached context takes over HTTP, on a connection that is kept. Run: python benchmarks/cached.py VAULT [CACHE].

CACHE is a cache setting, `sqlite` if it is left out. Each question is asked until it is cached, then 1,000 times; the
server's own part is what it tells in `timings`. `/healthz` shows what any request takes on this machine.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 1000
QUESTIONS: dict[str, dict[str, Any]] = {
    "a question": {"text": "kalo mi ren"},
    "16,000 tokens": {"text": "kalo miren tasvel", "budget_tokens": 16_000},
    "days, projects, tasks": {"gather": ["recent", "projects", "tasks", "maps", "systems"]},
    "a scope": {"text": "kalo mi ren", "scope": {"folder": "Topics"}},
}


def main(vault: str, cache: str) -> None:
    """Print a row for each question."""
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, "KOS_STATE_DIR": state, "KOS_CACHE": cache, "KOS_NOW": "2025-09-14"}
        program = [sys.executable, str(ROOT / "knowledge_os.py")]
        serve = [*program, "serve", "--port", "0", "--json", "--vault", vault]
        with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as service:
            try:
                assert service.stdout is not None
                url = json.loads(service.stdout.readline())["url"]
                _measure(url, Path(state, "token").read_text("ascii").strip())
            finally:
                service.terminate()


def _measure(url: str, token: str) -> None:
    line = http.client.HTTPConnection(url.removeprefix("http://"))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(method: str, path: str, body: Any = None) -> tuple[float, bytes]:
        sent = None if body is None else json.dumps(body).encode()
        began = time.perf_counter()
        line.request(method, path, sent, headers)
        answer = line.getresponse().read()
        return (time.perf_counter() - began) * 1000, answer

    print("| what | kB | first ms | cached p50 | p99 | least | inside p50 |\n|---|---|---|---|---|---|---|")
    took = sorted(ask("GET", "/healthz")[0] for _ in range(ROUNDS))
    print(f"| /healthz | | | {_three(took)} | |")
    for name, body in QUESTIONS.items():
        first, _ = ask("POST", "/v1/context", body)
        answers = [ask("POST", "/v1/context", body) for _ in range(ROUNDS)]
        found = [json.loads(answer) for _, answer in answers]
        assert all(one["cached"] for one in found)
        inside = statistics.median(one["timings"]["total_ms"] for one in found)
        size, took = len(answers[0][1]) / 1000, sorted(milliseconds for milliseconds, _ in answers)
        print(f"| {name} | {size:.0f} | {first:.0f} | {_three(took)} | {inside:.2f} |", flush=True)


def _three(took: list[float]) -> str:
    return f"{statistics.median(took):.2f} | {took[int(len(took) * 0.99) - 1]:.2f} | {took[0]:.2f}"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "sqlite")
