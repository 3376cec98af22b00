"""Vectors out of a node's answer, checked; and texts that are too long for the model, shortened until they fit."""

import math
from collections.abc import Sequence
from typing import Any

from inference.node import ContextTooLarge, Node
from inference.profile import MOST_DIMENSIONS, EmbeddingModel

Vector = list[float]

# What a token of prose has at least, in bytes: a text of more than so many for each token of the window is shortened
# before it is sent. The node may still refuse it, since only the model counts its own tokens.
_BYTES_PER_TOKEN = 4
# What is kept of a text that the node refused, and where that ends, in bytes.
_KEPT, _LEAST_BYTES = 0.75, 16


def vectors_of(found: Any, count: int, dimensions: int = 0) -> list[Vector]:
    """The vectors of an answer, each made one of length 1.

    Args:
        found: what should be `count` lists of numbers.
        count: how many texts were sent.
        dimensions: numbers that each must have; 0 for any, as long as all have the same.

    Raises:
        ValueError: it is something else, has an infinite number in it, or a vector without direction.
    """
    if not isinstance(found, list) or len(found) != count or not all(isinstance(one, list) for one in found):
        raise ValueError("not one vector for each text")
    width = dimensions or (len(found[0]) if found else 0)
    if found and not 0 < width <= MOST_DIMENSIONS:
        raise ValueError("vectors of no reasonable length")
    return [_unit(one, width) for one in found]


def _unit(numbers: list[Any], width: int) -> Vector:
    if len(numbers) != width or not all(type(one) is float or type(one) is int for one in numbers):
        raise ValueError("a vector with another number of dimensions, or with what is no number")
    try:
        length = math.sqrt(math.fsum(one * one for one in numbers))
        vector = [one / length for one in numbers]
    except (OverflowError, ZeroDivisionError):
        raise ValueError("a vector too long, or without direction") from None
    if not math.isfinite(length):
        raise ValueError("a number that is not finite")
    return vector


async def embedded(node: Node, model: EmbeddingModel, texts: Sequence[str], prefix: str = "") -> list[Vector]:
    """The vectors of texts, in order, each of length 1. Of a text longer than the window the beginning counts.

    The node is asked to refuse what is too long, so that what is left out is left out here and the same by every kind
    of server: a refused batch is halved until the long text is alone, and that one shortened.

    Raises:
        InferenceError: see `inference.node`.
    """
    room = model.num_ctx * _BYTES_PER_TOKEN
    return await _refused_halved(node, model, [shortened(prefix + text, room) for text in texts])


async def _refused_halved(node: Node, model: EmbeddingModel, texts: list[str]) -> list[Vector]:
    try:
        return await node.embed(model, texts)
    except ContextTooLarge:
        if len(texts) > 1:
            half = len(texts) // 2
            first = await _refused_halved(node, model, texts[:half])
            return first + await _refused_halved(node, model, texts[half:])
        size = int(len(texts[0].encode("utf-8", "replace")) * _KEPT)
        if size < _LEAST_BYTES:
            raise
        return await _refused_halved(node, model, [shortened(texts[0], size)])


def shortened(text: str, size: int) -> str:
    """The beginning of a text in at most so many bytes of UTF-8, without a broken character at its end."""
    if len(text) * 4 <= size:
        return text
    data = text.encode("utf-8", "replace")
    return text if len(data) <= size else data[:size].decode("utf-8", "ignore")
