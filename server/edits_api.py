"""The routes of edits: see, apply, take back. What they write is refreshed before they answer."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from commands.journal import Edit, Journal, NoHistoryError
from server.api import answer, service_of
from server.body import AppliedBody, ApplyBody, NoBody, read

router = APIRouter()


@router.get("/v1/edits")
async def list_edits(request: Request) -> Response:
    """The edits that are kept, newest first, without any text of a note."""
    edits = await asyncio.to_thread(_journal(request).all)
    return answer({"edits": [edit.summary() for edit in edits]})


@router.get("/v1/edits/{edit_id}")
async def show_edit(edit_id: str, request: Request) -> Response:
    """One edit whole, with its diff."""
    journal = _journal(request)
    return answer(await asyncio.to_thread(lambda: journal.whole(journal.get(edit_id))))


@router.post("/v1/edits/{edit_id}/apply")
async def apply_edit(edit_id: str, request: Request) -> Response:
    """Apply an edit, or some of its hunks."""
    body = read(ApplyBody, await request.body())
    return await _act(request, lambda journal: journal.apply(edit_id, body.hunks, confirm=body.confirm))


@router.post("/v1/edits/{edit_id}/applied")
async def mark_applied(edit_id: str, request: Request) -> Response:
    """Record that Obsidian applied an edit itself."""
    body = read(AppliedBody, await request.body())
    return await _act(request, lambda journal: journal.applied_elsewhere(edit_id, body.hunks))


@router.post("/v1/edits/{edit_id}/undo")
async def undo_edit(edit_id: str, request: Request) -> Response:
    """Take an applied edit back."""
    read(NoBody, await request.body())
    return await _act(request, lambda journal: journal.undo(edit_id))


async def _act(request: Request, act: Callable[[Journal], Edit]) -> Response:
    """Answer with what became of an edit. A client that goes away does not stop it halfway."""
    journal, vault = _journal(request), service_of(request).open_house().vault

    def work() -> dict[str, Any]:
        edit = act(journal)
        vault.refresh()
        return journal.whole(edit)

    return answer(await asyncio.to_thread(work))


def _journal(request: Request) -> Journal:
    """The journal of edits.

    Raises:
        Refusal: busy, while the vault is read for the first time.
        NoHistoryError: no edit can be kept.
    """
    journal = service_of(request).open_house().journal
    if journal is None:
        raise NoHistoryError
    return journal
