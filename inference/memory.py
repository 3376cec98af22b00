"""How many bytes a model takes once it is loaded: weights, cache, compute buffer, CUDA context. Arithmetic only.

    need    = weights + KV cache + compute buffer + CUDA context
    weights = the size of its file
    KV      = sum over layers of cells x (key + value) x KV heads x bytes of the KV type, once for each slot
    cells   = window, or for a layer with a sliding window: that window and one batch, if less; in steps of 256
    compute <= batch x 4 bytes x the widest moment of one token's way through the model, and 2 bytes for each cell
    context = 0.35 GiB for each process

Sources: llama.cpp (`llama_kv_cache`, `llama_kv_cache_iswa`: sizes of the cache; `llama_context`: the window is rounded
up to 256), the block formats of ggml (q8_0: 34 bytes for 32 numbers, q4_0: 18), and Ollama (`llm/llama_server.go`,
`server/sched.go`: one process for each model, started with the window times the slots). What a real llama.cpp prints
is compared with this in the tests: the cache is equal, the compute buffer never larger. Flash attention is taken to be
on, as a KV type other than f16 needs it. The context is an assumption: no process tells it.
"""

import math
from dataclasses import dataclass

from inference.model import Attention, ModelFacts
from inference.profile import RunnerProfile

GIB = 1 << 30
# Bytes that a process takes on the card for itself, beside its buffers: assumed, not measured.
CUDA_CONTEXT = round(0.35 * GIB)
# Numbers in a block of a KV type, and its bytes.
KV_BLOCKS = {"f16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18)}
# Steps in which the cache grows, in tokens.
_STEP = 256
# Tokens read at once when a request does not say it: Ollama takes at most so many, by tokens of all slots together.
_BATCHES = ((32_768, 2048), (4096, 1024))
_BATCH = 512
_EMBED_BATCH = 2048
# Extra bytes that Ollama takes an explicit batch to cost, from so many tokens on.
_SURCHARGES = ((2048, 2 * GIB), (1024, 768 << 20))
# Of a vocabulary that nobody tells: the largest known.
MOST_TOKENS = 262_144
# The least window of a model that sees pictures, in tokens.
_VISION_CTX = 2048
# Of the memory that is free, what Ollama lets a second model take.
COLOAD_SHARE = 0.8
# Of the bandwidth of a memory, what reading weights for one token reaches: assumed.
_EFFICIENCY = 0.65


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of a loaded model.

    Attributes:
        weights, kv, compute, context: on the card.
        host: in the memory of the CPU: what of weights and cache is not on the card.
        share: part of the weights that is on the card, 0 to 1.
        block: bytes on the card of the largest piece that cannot be split between cards: one layer.
    """

    weights: int
    kv: int
    compute: int
    context: int
    host: int = 0
    share: float = 1.0
    block: int = 0

    @property
    def card(self) -> int:
        """Bytes on the card in all."""
        return self.weights + self.kv + self.compute + self.context


def need(runner: RunnerProfile, facts: ModelFacts, *, card: bool = True) -> Need:
    """What a runner takes.

    Args:
        runner: how the model is run. With `num_gpu` among its options only so many layers are on the card.
        facts: of its model.
        card: whether there is a card at all.
    """
    count = len(facts.layers)
    asked = runner.options.get("num_gpu", -1) if card else 0
    # As llama.cpp counts: the last layers are on the card, and the output matrix is one more.
    there = count + 1 if asked < 0 else min(asked, count + 1)
    tokens, window = batch(runner, facts), span(runner, facts)
    per_layer = [0 if facts.encoder else kv_bytes(one, window, runner, tokens) for one in facts.layers]
    on_card = per_layer[max(0, count + 1 - there) :] if there > 1 else []
    weights = _weights_on_card(facts, there)
    compute = compute_bytes(facts, window, tokens) if card else 0
    host = facts.size - weights + sum(per_layer) - sum(on_card) + (0 if card else compute_bytes(facts, window, tokens))
    block = (facts.size + sum(per_layer)) // count
    share = weights / facts.size
    return Need(weights, sum(on_card), compute, CUDA_CONTEXT if card else 0, host, share, block)


def _weights_on_card(facts: ModelFacts, there: int) -> int:
    """At most so many bytes of weights lie on the card when so many layers are there, the output counted as one.

    A layer is taken to be an even part of the whole file, and the output matrix to have eight bits: each is less.
    """
    count = len(facts.layers)
    if there > count or not there:
        return facts.size if there else 0
    output = (facts.vocabulary or MOST_TOKENS) * facts.width * 34 // 32
    return min(facts.size, facts.size * (there - 1) // count + output)


def batch(runner: RunnerProfile, facts: ModelFacts) -> int:
    """Tokens read at once; when the request leaves it to Ollama, the most it would choose.

    Source: Ollama, `applyAutomaticGenerationBatch`.
    """
    if asked := runner.options.get("num_batch"):
        return int(min(asked, span(runner, facts)))
    if facts.encoder:
        return min(_EMBED_BATCH, span(runner, facts))
    whole = span(runner, facts) * runner.slots
    return next((size for above, size in _BATCHES if whole > above), _BATCH)


def span(runner: RunnerProfile, facts: ModelFacts) -> int:
    """Tokens of one slot's cache: the window, rounded up as llama.cpp does."""
    asked = max(runner.num_ctx, _VISION_CTX) if facts.vision else runner.num_ctx
    return _stepped(asked)


def _stepped(tokens: int) -> int:
    return math.ceil(tokens / _STEP) * _STEP


def kv_bytes(layer: Attention, window: int, runner: RunnerProfile, tokens: int) -> int:
    """Bytes of one layer's keys and values.

    Args:
        layer: what it keeps of a token.
        window: cells of one slot.
        runner: for its KV type and slots.
        tokens: read at once; a layer with a sliding window needs room for them beside it.
    """
    cells = min(window, _stepped(layer.window + tokens)) if layer.window else window
    size, length = KV_BLOCKS[runner.kv_type]
    rows = (math.ceil(layer.kv_heads * one / size) * length for one in (layer.key, layer.value))
    return sum(rows) * cells * runner.slots


def compute_bytes(facts: ModelFacts, window: int, tokens: int) -> int:
    """At most so many bytes has the buffer for what is computed, with flash attention.

    The widest moment of a token is one of three: all logits (newer llama.cpp keeps fewer), the feed-forward part with
    its gate, its way up and their product, or the queries, keys and values; with the residual stream and its copies
    beside them. The factors bound what a real llama.cpp prints; they are held by a test. The mask of attention has two
    bytes for each cell and token, for layers with a sliding window once more.
    """
    asked = facts.heads * max(one.key for one in facts.layers)
    kept = max(one.kv_heads * (one.key + one.value) for one in facts.layers)
    logits = 0 if facts.encoder else (facts.vocabulary or MOST_TOKENS) + facts.width
    inner = 3 * facts.feed_forward + 6 * facts.width
    attention = 6 * max(facts.width, asked) + kept
    masks = 2 * window * (2 if any(one.window for one in facts.layers) else 1)
    return tokens * (4 * max(logits, inner, attention) + masks)


def predicted(runner: RunnerProfile, facts: ModelFacts) -> int:
    """Bytes that Ollama 0.33 takes a model to need when it decides whether to load it beside others.

    Blind to the KV type, to a head size other than width / heads, and to sliding windows. A second model is loaded only
    if this is at most `COLOAD_SHARE` of what is free. Source: Ollama, `PredictServerVRAM` and `server/sched.go`.
    """
    per_token = 2 * len(facts.layers) * min(one.kv_heads for one in facts.layers) * (facts.width // facts.heads) * 2
    window = max(runner.num_ctx, _VISION_CTX) if facts.vision else runner.num_ctx
    surcharge = next((extra for least, extra in _SURCHARGES if runner.options.get("num_batch", 0) >= least), 0)
    return facts.size + per_token * window * runner.slots + surcharge


def tokens_per_second(wanted: Need, facts: ModelFacts, card_gbs: float, host_gbs: float) -> float:
    """Tokens that can be written in a second, about; 0 when a bandwidth that counts is not known.

    Each token reads all weights once, so the bandwidth of the memory they lie in is the limit. Experts that do not work
    on a token are not known of, and counted.

    Args:
        wanted: where the weights lie.
        facts: how many there are.
        card_gbs: 10^9 bytes per second of the card's memory.
        host_gbs: the same of the CPU's.
    """
    there, here = facts.size * wanted.share / 1e9, facts.size * (1 - wanted.share) / 1e9
    if (there and not card_gbs) or (here and not host_gbs):
        return 0.0
    return _EFFICIENCY / ((there / card_gbs if there else 0.0) + (here / host_gbs if here else 0.0))
