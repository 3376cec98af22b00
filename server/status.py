"""How the service is: alive, ready, and what it works with; and the page that says that it runs."""

import asyncio
import base64
import hashlib
import time
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from inference.ledger import latest
from server.api import Service, answer, service_of
from server.config import Config
from server.errors import Refusal
from server.runs import ending
from server.version import version

MOST_DECISIONS = 1000
_began = time.monotonic()

_STYLE = """
:root { color-scheme: light dark; --text: #222; --ground: #fff; --soft: #f2f2f2; }
@media (prefers-color-scheme: dark) { :root { --text: #ddd; --ground: #1e1e1e; --soft: #2b2b2b; } }
body { font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 12vh auto; padding: 0 1.5rem;
  color: var(--text); background: var(--ground); }
pre { background: var(--soft); padding: 0.8rem 1rem; border-radius: 6px; overflow-x: auto; }
"""

_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Knowledge-OS</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Knowledge-OS is running</h1>
<p>This page holds no data: every other address asks for the token of this service.</p>
<p>In Obsidian, give the plugin this address and what <code>kos token</code> prints. In a shell:</p>
<pre>curl -H "Authorization: Bearer $(kos token)" <i>address</i>/v1/status</pre>
<p>Or leave the address to the command line: <code>kos orient</code>.</p>
</main>
</body>
</html>
"""
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

router = APIRouter()


@router.get("/")
async def page() -> Response:
    """The shell of a page: no data, no script, nothing from elsewhere."""
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return Response(_PAGE, headers=headers, media_type="text/html")


@router.get("/healthz")
async def healthz() -> Response:
    """Whether the process answers."""
    return answer({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether commands are answered; 503 while the vault is read for the first time, and at the end."""
    service = service_of(request)
    if service.runs.closing.is_set():
        raise ending()
    if service.house is None:
        starting = Refusal("busy", "the vault is still being read", "Ask again in a second.", retry_after=1, status=503)
        raise starting
    return answer({"status": "ready"})


@router.get("/v1/status")
async def status(request: Request) -> Response:
    """What the service works with: house, nodes, runs, and the settings in force."""
    service = service_of(request)
    house = service.house.status() if service.house else {}
    nodes = await _nodes(service)
    return answer(
        {
            "version": version(),
            "ready": service.house is not None and not service.runs.closing.is_set(),
            "uptime_seconds": round(time.monotonic() - _began, 1),
            **house,
            "nodes": nodes,
            "memory": service.house.fleet.plan.as_dict() if service.house else None,
            "runs": _counts(service),
            "config": settings(service.config),
        }
    )


@router.get("/v1/nodes")
async def nodes(request: Request) -> Response:
    """How each node is."""
    service = service_of(request)
    service.open_house()
    return answer({"nodes": await _nodes(service)})


@router.get("/v1/decisions")
async def decisions(request: Request, limit: Annotated[int, Query(ge=1, le=MOST_DECISIONS)] = 50) -> Response:
    """The latest decisions with their inputs, newest first."""
    ledger = service_of(request).open_house().fleet.ledger
    return answer({"decisions": await asyncio.to_thread(latest, ledger.folder, limit) if ledger else []})


async def _nodes(service: Service) -> list[dict[str, Any]]:
    """Each node as it told of itself, its address, the line before it, its breaker, and its mode if it has one."""
    if service.house is None:
        return []
    fleet = service.house.fleet
    states, breakers, lines = await fleet.states(), fleet.breakers(), fleet.lines()
    urls, modes = fleet.addresses(), fleet.modes.all()
    return [
        asdict(state)
        | {"url": urls[state.name], "line": lines[state.name], "breaker": asdict(breakers[state.name])}
        | ({"mode": modes[state.name].now} if state.name in modes else {})
        for state in states
    ]


def _counts(service: Service) -> dict[str, int]:
    states = [run.state for run in service.runs.all()]
    return {state: states.count(state) for state in ("running", "done", "failed")}


def settings(config: Config) -> dict[str, Any]:
    """The settings in force that a client may see: no secret, no absolute path, no address with a password in it."""
    return {
        "profile": config.profile.rpartition("/")[2],
        "cache": config.cache.partition(":")[0],
        "cache_ttl_seconds": config.cache_ttl_seconds,
        "embeddings": config.embeddings,
        "timezone": config.timezone,
        "now": config.now,
        "language": config.language,
        "deadline_seconds": config.deadline_seconds,
        "capture_heading": config.capture_heading,
        "force_pattern": config.force_pattern,
    }
