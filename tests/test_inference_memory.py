"""Bytes of a loaded model: weights against published files, cache and buffer against a real llama.cpp."""

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.catalogue import QUANTISATIONS, catalogue, known
from inference.memory import (
    CUDA_CONTEXT,
    GIB,
    batch,
    compute_bytes,
    kv_bytes,
    need,
    predicted,
    span,
    tokens_per_second,
)
from inference.model import Attention, ModelFacts, windows
from inference.profile import RunnerProfile
from tests.tiny_engine import engine, write_model

MIB = 1 << 20


def runner(**more: Any) -> RunnerProfile:
    usual: dict[str, Any] = {"quantisation": "Q4_K_M", "num_ctx": 8192, "answer_tokens": 512, "kv_type": "q8_0"}
    return RunnerProfile("one", "desk", **{"model": "llama3.2:3b"} | usual | more)


def facts(model: str, quantisation: str = "Q4_K_M") -> ModelFacts:
    found = known(model, quantisation)
    assert found is not None
    return found


# --- weights

# llama.cpp's table for Llama 3.1 8B, in GiB as printed there; the others as Ollama's API tells them of its library, in bytes.
PUBLISHED = [
    ("llama3.1:8b", "Q3_K_S", 3.41 * GIB),
    ("llama3.1:8b", "Q4_K_M", 4.58 * GIB),
    ("llama3.1:8b", "Q5_K_M", 5.33 * GIB),
    ("llama3.1:8b", "Q6_K", 6.14 * GIB),
    ("llama3.1:8b", "Q8_0", 7.95 * GIB),
    ("llama3.1:8b", "F16", 14.96 * GIB),
    ("llama3.1:8b", "Q4_K_M", 4_920_753_328),
    ("qwen2.5-coder:7b", "Q4_K_M", 4_683_075_271),
    ("qwen2.5:7b", "Q4_K_M", 4_683_087_332),
    ("llama3.2:3b", "Q4_K_M", 2_019_393_189),
    ("mistral:7b", "Q4_K_M", 4_372_824_384),
    ("qwen3:4b", "Q4_K_M", 2_497_293_931),
    ("llama3.3:70b", "Q4_K_M", 42_520_413_916),
]


@pytest.mark.parametrize(("model", "quantisation", "published"), PUBLISHED)
def test_weights_are_within_half_a_percent_of_published_files(model: str, quantisation: str, published: float) -> None:
    [entry] = [one for one in catalogue() if one.model == model]
    assert entry.weights(quantisation) == pytest.approx(published, rel=0.005)


def test_a_file_with_more_bits_than_its_name_says_has_its_own_size() -> None:
    for model, size in (("qwen3:8b", 5_225_388_164), ("qwen3:14b", 9_276_198_565)):
        [entry] = [one for one in catalogue() if one.model == model]
        assert 0.95 < entry.weights("Q4_K_M") / size < 0.975
        assert facts(model).size == size


def test_a_published_size_goes_before_the_sum() -> None:
    assert facts("llama3.2:3b").size == 2_019_393_189
    assert facts("llama3.2:3b", "Q8_0").size == pytest.approx(3.414e9, rel=0.001)
    assert facts("nomic-embed-text", "").size == 274_302_450


def test_what_sees_pictures_is_part_of_the_weights() -> None:
    [entry] = [one for one in catalogue() if one.model == "gemma3:4b"]
    assert facts("gemma3:4b").size == pytest.approx(entry.weights("Q4_K_M") + 850_000_000, rel=0.005)
    assert facts("gemma3:4b", "Q8_0").size == entry.weights("Q8_0") + 850_000_000


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("qwen3:8b", "qwen3:8b"),
        ("QWEN3:8B", "qwen3:8b"),
        ("codellama:7b-instruct-q6_K", "codellama:7b"),
        ("Qwen/Qwen2.5-Coder-7B-Instruct", "qwen2.5-coder:7b"),
        ("qwen2.5:7b", "qwen2.5:7b"),
        ("nomic-embed-text:latest", "nomic-embed-text"),
        ("llama3.2:3b-instruct-q4_K_M", "llama3.2:3b"),
    ],
)
def test_a_model_is_known_by_the_names_nodes_have_for_it(name: str, entry: str) -> None:
    other = facts(entry, "") if entry == "nomic-embed-text" else facts(entry)
    found = known(name, other.quantisation)
    assert found == replace(other, model=name)


@pytest.mark.parametrize("name", ["qwen3:80b", "qwen3", "qwen30:8b", "mistral:latest", ""])
def test_a_model_that_is_only_named_alike_is_not_known(name: str) -> None:
    assert known(name, "Q4_K_M") is None


def test_of_a_quantisation_that_nobody_told_nothing_is_known() -> None:
    assert known("qwen3:8b", "AWQ") is None
    assert known("phi4:14b", "") is None


def test_every_model_of_the_catalogue_is_sound() -> None:
    for entry in catalogue():
        for quantisation in QUANTISATIONS:
            found = entry.facts(entry.model, quantisation)
            if found is None:
                assert "encoder" in entry.parts
                continue
            assert len(found.layers) == entry.layers
            assert found.heads % found.layers[0].kv_heads == 0
            assert need(runner(num_ctx=4096), found).card > 0
    sizes = [catalogue()[0].weights(one) for one in ("Q3_K_S", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16")]
    assert sizes == sorted(sizes)


# --- the cache, and the buffer for what is computed

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "every head its own": {"kv_heads": 4},
    "groups": {"kv_heads": 2},
    "one for all": {"kv_heads": 1},
    "head size said": {"architecture": "qwen3", "kv_heads": 2, "head_size": 128},
    "every other layer a window": {"architecture": "gemma2", "kv_heads": 2, "head_size": 64, "window": 512},
    "five of six layers a window": {"architecture": "gemma3", "kv_heads": 2, "head_size": 64, "window": 600},
}
PERIODS = {"gemma2": 2, "gemma3": 6}
WIDTH, HEADS, LAYERS, FEED_FORWARD, VOCABULARY = 256, 4, 6, 1024, 447


def tiny_facts(more: Mapping[str, Any]) -> ModelFacts:
    size = more.get("head_size", WIDTH // HEADS)
    far = windows(LAYERS, more.get("window", 0), PERIODS.get(more.get("architecture", ""), 0))
    layers = tuple(Attention(more["kv_heads"], size, size, one) for one in far)
    return ModelFacts("tiny", "node", "F16", 1, WIDTH, HEADS, layers, FEED_FORWARD, VOCABULARY, 32768)


def _told(log: Path) -> str:
    """What the engine told of its buffers; a thread of its own writes that down, so it may come a little later."""
    for _ in range(200):
        said = log.read_text(errors="replace")
        if re.search(r"compute buffer size =.*\n", said):
            break
        time.sleep(0.05)
    return said


@pytest.mark.parametrize(("num_ctx", "slots"), [(4096, 1), (1800, 3)])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_cache_is_what_a_real_llama_cpp_allocates(
    tmp_path: Path, name: str, kv_type: str, num_ctx: int, slots: int
) -> None:
    more = ARCHITECTURES[name]
    file = write_model(
        tmp_path / "tiny.gguf", width=WIDTH, layers=LAYERS, heads=HEADS, feed_forward=FEED_FORWARD, **more
    )
    with engine(file, window=num_ctx, slots=slots, kv_type=kv_type, log=True):
        said = _told(file.with_suffix(".log"))
    found = [float(size) for size in re.findall(r"KV buffer size =\s+([\d.]+) MiB", said)]
    one, known_facts = runner(num_ctx=num_ctx, slots=slots, kv_type=kv_type), tiny_facts(more)
    tokens, window = batch(replace(one, options={"num_batch": 512}), known_facts), span(one, known_facts)
    parts = [kv_bytes(layer, window, one, tokens) for layer in known_facts.layers]
    # What it prints of each of its caches is rounded to two decimals.
    assert sum(found) == pytest.approx(sum(parts) / MIB, abs=0.0051 * len(found)), said[-3000:]
    [computed] = re.findall(r"compute buffer size =\s+([\d.]+) MiB", said)
    ours = compute_bytes(known_facts, window, tokens) / MIB
    assert float(computed) <= ours < 2.5 * float(computed), "a bound, and no wild one"


def test_a_window_costs_at_least_what_fits_into_it_and_a_batch() -> None:
    gemma = replace(facts("gemma3:4b"), vision=False)
    short, long = (need(runner(num_ctx=num_ctx), gemma).kv for num_ctx in (1024, 32768))
    wide = replace(gemma, layers=tuple(replace(one, window=0) for one in gemma.layers))
    assert short == need(runner(num_ctx=1024), wide).kv
    # Five layers of 34 see everything, 29 the last 1024 tokens, with room for 512.
    per_cell = 2 * 4 * 256 * 34 // 32
    assert long == per_cell * (5 * 32768 + 29 * 2048), "an automatic batch of 1024 is counted on"


def test_slots_multiply_the_cache_alone() -> None:
    one, four = (
        need(runner(options={"num_batch": 512}), facts("qwen3:8b")),
        need(runner(slots=4, options={"num_batch": 512}), facts("qwen3:8b")),
    )
    assert four.kv == 4 * one.kv
    assert replace(four, kv=one.kv, block=one.block) == one


def test_an_encoder_keeps_nothing_of_what_it_read() -> None:
    embedder = facts("nomic-embed-text", "")
    one = need(runner(num_ctx=2048, options={"num_gpu": 0}), embedder)
    assert (one.kv, one.weights, one.host, one.context) == (0, 0, embedder.size, CUDA_CONTEXT)


@pytest.mark.parametrize(
    ("num_ctx", "slots", "options", "tokens"),
    [
        (8192, 1, {"num_batch": 256}, 256),
        (1024, 1, {"num_batch": 2048}, 1024),
        (4096, 1, {}, 512),
        (4352, 1, {}, 1024),
        (2048, 4, {}, 1024),
        (32768, 1, {}, 1024),
        (16384, 4, {}, 2048),
    ],
)
def test_a_batch_that_is_not_said_is_the_most_that_ollama_takes(
    num_ctx: int, slots: int, options: dict[str, Any], tokens: int
) -> None:
    assert batch(runner(num_ctx=num_ctx, slots=slots, options=options), facts("qwen3:8b")) == tokens


# --- what Ollama expects

# Model, window, KV type; how far Ollama's own expectation is from the need without its buffers.
EXPECTED = [
    ("qwen3:4b", 16384, "q8_0", 0.9),
    ("qwen3:4b", 16384, "f16", 0.71),
    ("codellama:7b", 16384, "q8_0", 1.35),
    ("gemma3:12b", 16384, "q8_0", 1.4),
]


@pytest.mark.parametrize(("model", "num_ctx", "kv_type", "ratio"), EXPECTED)
def test_ollama_is_blind_to_kv_types_head_sizes_and_windows(
    model: str, num_ctx: int, kv_type: str, ratio: float
) -> None:
    one = runner(num_ctx=num_ctx, kv_type=kv_type, options={"num_batch": 512})
    expected, wanted = predicted(one, facts(model)), need(one, facts(model))
    assert expected / wanted.card == pytest.approx(ratio, abs=0.06)


def test_an_explicit_batch_costs_extra_in_the_eyes_of_ollama() -> None:
    plain = predicted(runner(), facts("qwen3:8b"))
    extra = [predicted(runner(options={"num_batch": size}), facts("qwen3:8b")) - plain for size in (512, 1024, 2048)]
    assert extra == [0, 768 * MIB, 2 * GIB]


# --- a part on the CPU


def test_each_layer_on_the_card_takes_weights_and_cache_with_it() -> None:
    model, before = facts("codellama:13b"), need(runner(options={"num_gpu": 0}), facts("codellama:13b"))
    assert (before.weights, before.kv, before.share) == (0, 0, 0)
    for layers in range(1, 42):
        now = need(runner(options={"num_gpu": layers}), model)
        assert now.weights > before.weights
        assert now.kv >= before.kv
        assert now.weights + now.kv + now.host == before.weights + before.kv + before.host
        before = now
    assert before == replace(need(runner(), model))
    assert (before.host, before.share) == (0, 1)


def test_without_a_card_everything_is_in_the_memory_of_the_cpu() -> None:
    model = facts("llama3.2:1b", "Q8_0")
    one = need(runner(kv_type="f16", num_ctx=4096), model, card=False)
    assert one.card == 0
    assert one.host == model.size + 16 * 2 * 8 * 64 * 2 * 4096 + compute_bytes(model, 4096, 512)


def test_the_slower_memory_sets_the_speed() -> None:
    model = facts("codellama:13b")
    whole = tokens_per_second(need(runner(), model), model, 760, 40)
    assert whole == pytest.approx(0.65 * 760e9 / model.size)
    none = tokens_per_second(need(runner(options={"num_gpu": 0}), model), model, 760, 40)
    assert none == pytest.approx(0.65 * 40e9 / model.size)
    part = tokens_per_second(need(runner(options={"num_gpu": 28}), model), model, 760, 40)
    assert none < part < whole / 5
    assert tokens_per_second(need(runner(), model), model, 0, 40) == 0
    assert tokens_per_second(need(runner(options={"num_gpu": 28}), model), model, 760, 0) == 0
