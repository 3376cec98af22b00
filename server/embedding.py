"""Lets notes be embedded by a node: notes are read in threads, nodes are spoken to on the event loop."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future

from context.embed import Embedder, EmbedderAwayError
from inference.fleet import Fleet
from inference.node import DeadlineExceeded, ModelMissing, NodeBusy, NodeUnavailable, NothingFits, OverBudget
from inference.profile import EmbeddingModel

# Seconds for one batch of texts, in which a model may have to be loaded; and for a question, which goes on when nobody
# waits for it any more, so that its vector is there when it is asked again.
_TEXTS_SECONDS, _QUESTION_SECONDS = 600.0, 30.0
# Faults that no other text would mend.
_AWAY = (NodeUnavailable, NodeBusy, ModelMissing, OverBudget, NothingFits, DeadlineExceeded)


def embedder_of(fleet: Fleet, model: EmbeddingModel, loop: asyncio.AbstractEventLoop) -> Embedder:
    """The embedder of a profile.

    Args:
        fleet: the nodes.
        model: the one of its profile.
        loop: the event loop that the fleet lives on.
    """

    def embed(texts: Sequence[str], question: bool) -> "Future[list[list[float]]]":
        work = _embed(fleet, texts, question=question)
        try:
            return asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError:
            work.close()
            raise EmbedderAwayError("the service is stopping") from None

    return Embedder(
        id=model.id,
        name=model.model,
        embed=embed,
        sees_private=fleet.profile.nodes[model.node].sees_private,
        deadline_seconds=model.deadline_ms / 1000,
    )


async def _embed(fleet: Fleet, texts: Sequence[str], *, question: bool) -> list[list[float]]:
    seconds = _QUESTION_SECONDS if question else _TEXTS_SECONDS
    try:
        async with asyncio.timeout(seconds):
            return await fleet.embed(texts, question=question)
    except TimeoutError:
        raise EmbedderAwayError(f"no vectors came within {seconds:g} s") from None
    except _AWAY as error:
        raise EmbedderAwayError(str(error)) from error
