"""What is known of a model: its geometry, the bytes of its weights, the window it was trained for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Bits per weight of a whole file, embeddings and norms included: the table of llama.cpp's quantisation tool for an 8B
# model. Only for a model whose file nobody has told the size of.
BITS = {
    "Q3_K_S": 3.66,
    "Q3_K_M": 4.00,
    "Q4_0": 4.67,
    "Q4_K_S": 4.68,
    "Q4_K_M": 4.90,
    "Q5_K_M": 5.71,
    "Q6_K": 6.57,
    "Q8_0": 8.51,
    "F16": 16.01,
    "BF16": 16.01,
}
# Every how many layers one sees the whole window, for architectures whose files do not say so (llama.cpp,
# `set_swa_pattern` in the loader of each). A window of another architecture is not counted on: llama.cpp ignores some.
_PERIOD = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2, "gptoss": 2, "cohere2": 4}
# More layers than any model has: a file may say anything.
_MOST_LAYERS = 1024


@dataclass(frozen=True, slots=True)
class Attention:
    """What one layer keeps of each token.

    Attributes:
        kv_heads: heads that have a key and a value of their own; fewer than the heads that ask, in grouped attention.
        key, value: numbers of a key and of a value.
        window: how many tokens back the layer sees; 0 for all.
    """

    kv_heads: int
    key: int
    value: int
    window: int = 0


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as the memory plan sees it.

    Attributes:
        model: the node's name for it.
        source: `node` when the node told, `catalogue` when we only know such a model.
        quantisation: of its weights.
        size: bytes of its weights: of its file, as far as known.
        width: numbers that a token is inside the model (embedding length).
        heads: that ask.
        layers: in order; one for each block.
        feed_forward: numbers inside the feed-forward part of a layer, of all experts that work on one token.
        vocabulary: tokens there are; 0 if not told.
        trained: window it was trained for, in tokens; 0 if not told.
        encoder: whether it only gives vectors, and so keeps nothing of what it read.
        vision: whether it sees pictures; Ollama gives such a model a window of at least 2048.
    """

    model: str
    source: str
    quantisation: str
    size: int
    width: int
    heads: int
    layers: tuple[Attention, ...]
    feed_forward: int
    vocabulary: int
    trained: int
    encoder: bool = False
    vision: bool = False


def windows(count: int, window: int, period: int, pattern: Sequence[bool] = ()) -> tuple[int, ...]:
    """How far back each layer sees: the window, but for one layer in every `period`, the last of each, which sees all.

    Args:
        count: of layers.
        window: tokens; 0 for all layers that see everything.
        period: 0 when it is not known; then no layer is taken to have a window.
        pattern: whether each layer has it, where the file says so.
    """
    if len(pattern) == count:
        return tuple(window if has else 0 for has in pattern)
    return tuple(window if period and n % period != period - 1 else 0 for n in range(count))


def facts_of_show(model: str, answer: Mapping[str, Any], size: int) -> ModelFacts:
    """The facts in an answer of Ollama's `/api/show`. What is not told is taken to be what costs most.

    Args:
        model: its name.
        answer: what the node said; nothing in it is trusted to be there or to have its type.
        size: bytes of its file, as `/api/tags` says; 0 if not told.

    Raises:
        ValueError: too little is told to plan with.
    """
    info, details = _object(answer.get("model_info")), _object(answer.get("details"))
    architecture = info.get("general.architecture")
    if not isinstance(architecture, str):
        raise ValueError("no architecture")  # noqa: TRY004 - not a wrong type, but nothing to plan with

    def of(name: str) -> Any:
        return info.get(f"{architecture}.{name}")

    count, width, heads = _number(of("block_count")), _number(of("embedding_length")), _most(of("attention.head_count"))
    if not (0 < count <= _MOST_LAYERS and width and heads):
        raise ValueError("no geometry")
    kv_heads = _each(of("attention.head_count_kv"), count, heads)
    key = _number(of("attention.key_length")) or width // heads
    value = _number(of("attention.value_length")) or width // heads
    pattern = of("attention.sliding_window_pattern")
    period = pattern if _number(pattern) else _PERIOD.get(architecture, 0)
    told = pattern if isinstance(pattern, list) and all(isinstance(one, bool) for one in pattern) else ()
    far = windows(count, _number(of("attention.sliding_window")), period, told)
    # A layer with a window may have longer keys and values than the others.
    key_near, value_near = _number(of("attention.key_length_swa")), _number(of("attention.value_length_swa"))
    layers = tuple(
        Attention(one, key_near or key, value_near or value, window) if window else Attention(one, key, value)
        for one, window in zip(kv_heads, far, strict=True)
    )
    quantisation = details.get("quantization_level")
    quantisation = quantisation if isinstance(quantisation, str) else ""
    bits = BITS.get(quantisation, BITS["F16"])
    weights = size or int(_number(info.get("general.parameter_count")) * bits / 8)
    if not weights:
        raise ValueError("no size")
    experts = _number(of("expert_used_count")) * _number(of("expert_feed_forward_length"))
    tokens = info.get("tokenizer.ggml.tokens")
    able = answer.get("capabilities")
    able = able if isinstance(able, list) else []
    return ModelFacts(
        model=model,
        source="node",
        quantisation=quantisation,
        size=weights,
        width=width,
        heads=heads,
        layers=layers,
        feed_forward=max(_most(of("feed_forward_length")), experts) or 4 * width,
        vocabulary=_number(of("vocab_size")) or (len(tokens) if isinstance(tokens, list) else 0),
        trained=_number(of("context_length")),
        encoder="embedding" in able and "completion" not in able,
        vision="vision" in able,
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int:
    """A number of GGUF, 0 for none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _most(value: Any) -> int:
    """A number, or the largest of one for each layer."""
    return max(map(_number, value), default=0) if isinstance(value, list) else _number(value)


def _each(value: Any, count: int, default: int) -> tuple[int, ...]:
    """One number for each layer; a list that Ollama left out to keep its answer short counts as not told."""
    if isinstance(value, list) and len(value) == count:
        return tuple(map(_number, value))
    return (_number(value) or default,) * count
