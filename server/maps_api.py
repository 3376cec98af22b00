"""The routes of maps: the maps of content of the vault, and what one gathers."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from context import atlas
from context.calendar import CalendarError, calendar
from context.members import members_of
from server.api import answer, service_of
from server.errors import Refusal

router = APIRouter()
# The person's day and zone, for queries that ask for them; "" for those of the service.
Word = Annotated[str, Query(max_length=64)]


@router.get("/v1/maps")
async def list_maps(request: Request, now: Word = "", timezone: Word = "") -> Response:
    """The maps of content of the vault."""
    return await _told(request, "", now, timezone)


@router.get("/v1/maps/{path:path}")
async def show_map(path: str, request: Request, now: Word = "", timezone: Word = "") -> Response:
    """One map with what it gathers, in its own order."""
    return await _told(request, path or "/", now, timezone)


async def _told(request: Request, name: str, now: str, timezone: str) -> Response:
    service = service_of(request)
    snapshot = service.open_house().vault.snapshot
    try:
        today = calendar(now or service.config.now, timezone or service.config.timezone)
    except CalendarError as error:
        raise Refusal("invalid", str(error)) from None
    return answer(await asyncio.to_thread(atlas.told, members_of(snapshot, today), name))
