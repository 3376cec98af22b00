"""The routes of maps: the maps of content of the vault, and what one gathers."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from context import atlas
from context.vault import Snapshot
from server.api import answer, service_of

router = APIRouter()


@router.get("/v1/maps")
async def list_maps(request: Request) -> Response:
    """The maps of content of the vault."""
    return await _looked_up(request, lambda snapshot: {"maps": [asdict(entry) for entry in atlas.maps(snapshot)]})


@router.get("/v1/maps/{path:path}")
async def show_map(path: str, request: Request) -> Response:
    """One map with what it gathers, in its own order."""
    return await _looked_up(request, lambda snapshot: asdict(atlas.find(snapshot, path)))


async def _looked_up(request: Request, look: Callable[[Snapshot], Any]) -> Response:
    """Answer from the snapshot of this moment, in a thread: every link of a map is resolved."""
    snapshot = service_of(request).open_house().vault.snapshot
    return answer(await asyncio.to_thread(look, snapshot))
