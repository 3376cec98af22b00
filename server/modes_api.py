"""The routes of modes: whether the machine of a node is there for models now, or for something else."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.api import answer, service_of
from server.body import ModeBody, read
from server.modes import as_json

router = APIRouter()


@router.get("/v1/mode")
async def show_modes(request: Request) -> Response:
    """The modes of the nodes that have one."""
    modes = service_of(request).open_house().fleet.modes
    await modes.look()
    return answer(as_json(modes.all()))


@router.put("/v1/mode")
async def set_mode(request: Request) -> Response:
    """Set the mode of a node, or of all whose mode is set here; answers with all modes."""
    modes = service_of(request).open_house().fleet.modes
    body = read(ModeBody, await request.body())
    modes.put(body.node, body.mode)
    return answer(as_json(modes.all()))
