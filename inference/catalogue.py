"""Models we know the geometry of, so that a plan can be made before a node is asked; the facts are in catalogue.csv."""

import csv
import importlib.resources
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from inference.model import Attention, ModelFacts, windows

# Bytes per weight of each format of ggml: those of a block, by the weights in it.
_BYTES = {
    "F32": 4.0,
    "F16": 2.0,
    "Q8_0": 34 / 32,
    "Q6_K": 210 / 256,
    "Q5_K": 176 / 256,
    "Q4_K": 144 / 256,
    "Q3_K": 110 / 256,
    "Q5_1": 24 / 32,
    "Q5_0": 22 / 32,
    "Q4_0": 18 / 32,
}
# The format that most matrices of a file have, by its quantisation.
_FORMAT = {
    "Q3_K_S": "Q3_K",
    "Q4_K_M": "Q4_K",
    "Q5_K_M": "Q5_K",
    "Q6_K": "Q6_K",
    "Q8_0": "Q8_0",
    "F16": "F16",
    "BF16": "F16",
}
# What a matrix gets instead whose rows are no multiple of 256, the block of these formats.
_UNEVEN = {"Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_MIXED = ("Q4_K_M", "Q5_K_M")
# In models of 70 billion, where heads share much, the values get more bits: few weights, and much depends on them.
_LAYERS_OF_70B = 80

QUANTISATIONS = tuple(_FORMAT)


@dataclass(frozen=True, slots=True)
class Known:
    """A model of the catalogue.

    Attributes:
        model: Ollama's name for it, without what a tag says of the quantisation.
        name: its publisher's name.
        layers, width, heads, kv_heads, head_size, feed_forward, vocabulary, trained: see `ModelFacts`.
        window: tokens of its sliding window, 0 for none; one layer in every `period` sees all.
        parts: what sets its tensors apart: `tied` (no output matrix of its own), `qkv_bias`, `qk_norm`, `fused_qkv`,
            `four_norms` (in each layer, instead of two), `encoder`.
        tower: bytes of what sees pictures, 0 for none.
        published: bytes of the file, by quantisation, as Ollama's `/api/tags` tells it of the one in its library.
    """

    model: str
    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    feed_forward: int
    vocabulary: int
    trained: int
    window: int
    period: int
    parts: frozenset[str]
    tower: int
    published: Mapping[str, int]

    def _tensors(self) -> Iterator[tuple[int, int, str, int]]:
        """Columns, rows, role and layer of every tensor of weights; the order of llama.cpp's own files."""
        yield self.width, self.vocabulary, "output" if "tied" in self.parts else "plain", 0
        if "tied" not in self.parts:
            yield self.width, self.vocabulary, "output", 0
        yield self.width, 1, "norm", 0
        asked, kept = self.heads * self.head_size, self.kv_heads * self.head_size
        for layer in range(self.layers):
            yield self.width, 4 if "four_norms" in self.parts else 2, "norm", layer
            if "qk_norm" in self.parts:
                yield self.head_size, 2, "norm", layer
            if "qkv_bias" in self.parts:
                yield asked + 2 * kept, 1, "norm", layer
            if "fused_qkv" in self.parts:
                yield self.width, asked + 2 * kept, "value", layer
            else:
                yield self.width, asked + kept, "plain", layer
                yield self.width, kept, "value", layer
            yield asked, self.width, "plain", layer
            yield self.width, 2 * self.feed_forward, "plain", layer
            yield self.feed_forward, self.width, "down", layer

    def weights(self, quantisation: str) -> int:
        """Bytes of its weights, tensor by tensor, as llama.cpp quantises them (`llama_tensor_get_type`).

        Within 0.5 % of published files made so; Ollama's files of Qwen3 8B and 14B have more bits, and are 3 to 4 %
        larger. The `_M` mixtures give values and the way down of the feed-forward part Q6_K
        in the first and last eighth of the layers and in every third between; the output matrix is Q6_K in all but
        Q8_0 and F16; norms and biases stay F32.

        Args:
            quantisation: one of `QUANTISATIONS`.

        Raises:
            KeyError: it is none of them.
        """
        base, total = _FORMAT[quantisation], 0.0
        for columns, rows, role, layer in self._tensors():
            total += columns * rows * _BYTES[self._format(base, quantisation, role, layer, columns)]
        return round(total)

    def _format(self, base: str, quantisation: str, role: str, layer: int, columns: int) -> str:
        if role == "norm":
            return "F32"
        if base == "F16":
            return base
        found = base
        if role == "output":
            found = base if base == "Q8_0" else "Q6_K"
        elif role in ("value", "down") and quantisation in _MIXED and _more_bits(layer, self.layers):
            found = "Q6_K"
        if role == "value" and self.layers == _LAYERS_OF_70B and found in ("Q3_K", "Q4_K"):
            found = "Q5_K"
        return _UNEVEN.get(found, found) if columns % 256 else found

    def facts(self, model: str, quantisation: str) -> ModelFacts | None:
        """What the plan needs; None when nobody knows the size of such a file.

        Args:
            model: the node's name for it.
            quantisation: of its weights.
        """
        if quantisation in self.published:
            size = self.published[quantisation]
        elif quantisation in _FORMAT and "encoder" not in self.parts:
            size = self.weights(quantisation) + self.tower
        else:
            return None
        far = windows(self.layers, self.window, self.period)
        return ModelFacts(
            model=model,
            source="catalogue",
            quantisation=quantisation,
            size=size,
            width=self.width,
            heads=self.heads,
            layers=tuple(Attention(self.kv_heads, self.head_size, self.head_size, one) for one in far),
            feed_forward=self.feed_forward,
            vocabulary=self.vocabulary,
            trained=self.trained,
            encoder="encoder" in self.parts,
            vision=self.tower > 0,
        )


def _more_bits(layer: int, layers: int) -> bool:
    """The layers of which a mixture keeps more (llama.cpp, `use_more_bits`)."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


@cache
def catalogue() -> tuple[Known, ...]:
    """All models of the catalogue."""
    text = (importlib.resources.files("inference") / "catalogue.csv").read_text("utf-8")
    return tuple(_known(row) for row in csv.DictReader(text.splitlines()))


def _known(row: Mapping[str, str]) -> Known:
    numbers = "layers width heads kv_heads head_size feed_forward vocabulary trained window period tower".split()
    published = dict(one.split("=") for one in row["published"].split())
    return Known(
        model=row["model"],
        name=row["name"],
        parts=frozenset(row["parts"].split()),
        published={quantisation: int(size) for quantisation, size in published.items()},
        **{name: int(row[name]) for name in numbers},
    )


@lru_cache(256)
def known(model: str, quantisation: str) -> ModelFacts | None:
    """The facts of a model that no node has told of; None if we know no such model.

    Args:
        model: as a node names it: `qwen3:8b`, `qwen3:8b-q8_0`, `Qwen/Qwen3-8B`. A tag that goes on says nothing more
            than the quantisation and what the model was tuned for.
        quantisation: of its weights; "" for the one the catalogue has a published file of.
    """
    plain = model.rpartition("/")[2].casefold().replace(":", "-")
    for one in catalogue():
        begin = one.model.replace(":", "-")
        if plain.removesuffix("-latest") == begin or plain.startswith(f"{begin}-"):
            return one.facts(model, quantisation or next(iter(one.published), ""))
    return None
