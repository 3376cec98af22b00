"""The routes of maps: the maps of content of the vault, and what one gathers."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from server import mapping
from server.api import answer, service_of

router = APIRouter()


@router.get("/v1/maps")
async def list_maps(request: Request) -> Response:
    """The maps of content of the vault."""
    return await _looked_up(request, "")


@router.get("/v1/maps/{path:path}")
async def show_map(path: str, request: Request) -> Response:
    """One map with what it gathers, in its own order."""
    return await _looked_up(request, path or "/")


async def _looked_up(request: Request, name: str) -> Response:
    service = service_of(request)
    snapshot = service.open_house().vault.snapshot
    return answer(await asyncio.to_thread(mapping.answer, snapshot, service.config, name))
