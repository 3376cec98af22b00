"""The plan of memory against what others print: weights of published files, cache and buffer of a real llama.cpp.

Run: python benchmarks/memory.py. Takes half a minute; the models are tiny, with random weights, made on the spot.
"""

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.catalogue import catalogue  # noqa: E402 - the path must be set first
from inference.memory import batch, compute_bytes, kv_bytes, span  # noqa: E402
from inference.plan import make_plan  # noqa: E402
from inference.profile import load, shipped  # noqa: E402
from tests.test_inference_memory import (  # noqa: E402
    ARCHITECTURES,
    FEED_FORWARD,
    HEADS,
    LAYERS,
    MIB,
    PUBLISHED,
    WIDTH,
    runner,
    tiny_facts,
)
from tests.tiny_engine import engine, write_model  # noqa: E402


def weights() -> None:
    """Print computed weights beside published ones."""
    print("| model | quantisation | published GB | computed GB | difference |\n|---|---|---|---|---|")
    for model, quantisation, published in PUBLISHED:
        ours = next(one for one in catalogue() if one.model == model).weights(quantisation)
        apart = 100 * (ours / published - 1)
        print(f"| {model} | {quantisation} | {published / 1e9:.3f} | {ours / 1e9:.3f} | {apart:+.2f} % |")


def buffers() -> None:
    """Print what llama.cpp says of its buffers beside our sums."""
    print(
        "\n| model | KV | window x slots | its cache | ours | its buffer | our bound |\n|---|---|---|---|---|---|---|"
    )
    for name, more in ARCHITECTURES.items():
        for kv_type in ("f16", "q8_0", "q4_0"):
            for num_ctx, slots in ((4096, 1), (1800, 3)):
                row = _compared(more, kv_type, num_ctx, slots)
                print(
                    f"| {name} | {kv_type} | {num_ctx} x {slots} | {' | '.join(f'{one:.2f}' for one in row)} |",
                    flush=True,
                )


def _compared(more: dict[str, Any], kv_type: str, num_ctx: int, slots: int) -> tuple[float, float, float, float]:
    """MiB of its cache and ours, its buffer and our bound."""
    shape = {"width": WIDTH, "layers": LAYERS, "heads": HEADS, "feed_forward": FEED_FORWARD, **more}
    with tempfile.TemporaryDirectory() as folder:
        file = write_model(Path(folder, "tiny.gguf"), **shape)
        with engine(file, window=num_ctx, slots=slots, kv_type=kv_type, log=True):
            said = file.with_suffix(".log").read_text(errors="replace")
    one, facts = runner(num_ctx=num_ctx, slots=slots, kv_type=kv_type, options={"num_batch": 512}), tiny_facts(more)
    tokens, window = batch(one, facts), span(one, facts)
    ours = sum(kv_bytes(layer, window, one, tokens) for layer in facts.layers) / MIB
    cache = sum(map(float, re.findall(r"KV buffer size =\s+([\d.]+) MiB", said)))
    [buffer] = map(float, re.findall(r"compute buffer size =\s+([\d.]+) MiB", said))
    return cache, ours, buffer, compute_bytes(facts, window, tokens) / MIB


def plans() -> None:
    """Print how long a plan takes to make."""
    profiles = [load(name) for name in shipped()]
    took = []
    for profile in profiles * 20:
        began = time.perf_counter()
        make_plan(profile, embeds=True)
        took.append(time.perf_counter() - began)
    print(f"\na plan takes {1e3 * sorted(took)[len(took) // 2]:.2f} ms (median), {1e3 * max(took):.2f} ms at most")


if __name__ == "__main__":
    weights()
    buffers()
    plans()
