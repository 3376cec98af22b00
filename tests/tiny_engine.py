"""A real llama.cpp server over a tiny model made on the spot: nonsense for text, but true protocol and true counts."""

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_WORDS = "the of and to in note link project plan daily review update orient research vault context model".split()
_BLANK = "\u2581"
# <unk>, <s>, </s>, one token for each byte, and the marks of turns, either of which would end an answer.
_UNPRINTABLE = 261
# Norms that an architecture has beside those of llama, and those whose output matrix is the one of their tokens.
_NORMS = dict.fromkeys(("gemma2", "gemma3"), ("post_attention_norm", "post_ffw_norm"))
_TIED = ("gemma2", "gemma3")


def _vocabulary() -> list[tuple[str, float, int]]:
    """Text, score and type of each token: marks, bytes, printable ASCII, and a few whole words."""
    from gguf import TokenType

    out = [("<unk>", 0.0, TokenType.UNKNOWN), ("<s>", 0.0, TokenType.CONTROL), ("</s>", 0.0, TokenType.CONTROL)]
    out += [(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)]
    out += [(mark, 0.0, TokenType.CONTROL) for mark in ("<|im_start|>", "<|im_end|>")]
    out += [(_BLANK, -100.0, TokenType.NORMAL)]
    out += [(chr(code), -100.0 - code, TokenType.NORMAL) for code in range(33, 127)]
    # The tokenizer merges in pairs, so that a word is reached only if each of its beginnings is a token too.
    beginnings = dict.fromkeys((_BLANK + word)[:length] for word in _WORDS for length in range(2, len(word) + 2))
    out += [(text, float(len(text) - 51), TokenType.NORMAL) for text in beginnings]
    return [(text, score, int(kind)) for text, score, kind in out]


def write_model(
    path: Path,
    *,
    architecture: str = "llama",
    context: int = 32768,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    head_size: int = 0,
    window: int = 0,
    feed_forward: int = 128,
    more_tokens: int = 0,
    name: str = "tiny-random",
) -> Path:
    """Write a model with random weights, the same ones each time; takes half a second.

    Args:
        path: the file, GGUF in F16: matrices in F32 crash llama.cpp as xllamacpp has it.
        architecture: llama, qwen3, gemma2 or gemma3, as `general.architecture` says it.
        context: window it says it was trained for, in tokens.
        width, layers, heads, kv_heads, feed_forward: its geometry.
        head_size: numbers of a key; 0 leaves it out of the file, which makes it width / heads.
        window: tokens of its sliding window, 0 for none.
        more_tokens: added to the vocabulary, and never said.
        name: what it is called.
    """
    import numpy as np
    from gguf import GGUFWriter

    size, vocabulary, dice = head_size or width // heads, _vocabulary(), np.random.default_rng(1)
    vocabulary += [(f"<unused{n}>", 0.0, 5) for n in range(more_tokens)]
    writer = GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    if head_size:
        writer.add_key_length(head_size)
        writer.add_value_length(head_size)
    if window:
        writer.add_sliding_window(window)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(size)
    writer.add_vocab_size(len(vocabulary))
    writer.add_file_type(1)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text.encode() for text, _, _ in vocabulary])
    writer.add_token_scores([score for _, score, _ in vocabulary])
    writer.add_token_types([kind for _, _, kind in vocabulary])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(_CHATML)

    def matrix(place: str, rows: int, columns: int, scale: float) -> Any:
        values = dice.standard_normal((rows, columns)) * scale
        # Marks and lone bytes are made improbable, so that answers can be printed and do not end by themselves.
        values[: _UNPRINTABLE if place == "output.weight" else 0] *= 0.01
        writer.add_tensor(place, values.astype(np.float16))

    matrix("token_embd.weight", len(vocabulary), width, 1.0)
    norms = dict.fromkeys(("attn_norm", "ffn_norm", *_NORMS.get(architecture, ())), width)
    norms |= dict.fromkeys(("attn_q_norm", "attn_k_norm"), size) if architecture in ("qwen3", "gemma3") else {}
    for layer in range(layers):
        for part, length in norms.items():
            writer.add_tensor(f"blk.{layer}.{part}.weight", np.ones(length, np.float32))
        for part, rows, columns in (
            ("attn_q", heads * size, width),
            ("attn_k", kv_heads * size, width),
            ("attn_v", kv_heads * size, width),
            ("attn_output", width, heads * size),
            ("ffn_gate", feed_forward, width),
            ("ffn_up", feed_forward, width),
            ("ffn_down", width, feed_forward),
        ):
            matrix(f"blk.{layer}.{part}.weight", rows, columns, columns**-0.5)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    if architecture not in _TIED:
        matrix("output.weight", len(vocabulary), width, width**-0.5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@contextlib.contextmanager
def engine(
    model: Path, *, window: int = 4096, slots: int = 1, kv_type: str = "f16", log: bool = False, embeds: bool = False
) -> Iterator[str]:
    """A running server over a model, in a process of its own; gives its address.

    Args:
        model: the file.
        window: tokens of one slot.
        slots: requests it runs at once.
        kv_type: f16, q8_0 or q4_0.
        embeds: whether it gives vectors instead of answers.
        log: whether llama.cpp tells the sizes of its buffers; they are in `model` with the ending `.log`.

    Raises:
        RuntimeError: it does not start.
    """
    command = [sys.executable, "-m", "tests.tiny_engine", str(model), str(window), str(slots), kv_type]
    said = model.with_suffix(".log")
    with said.open("wb") as errors, contextlib.ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [*command, *(["--log"] if log else []), *(["--embeds"] if embeds else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=Path(__file__).parents[1],
            )
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"READY "):
                yield line.split()[1].decode()
                return
        raise RuntimeError(f"the engine does not start: {said.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def tiny_engine(**more: Any) -> Iterator[str]:
    """A running server over a model made for it; arguments as for `engine`."""
    with (
        tempfile.TemporaryDirectory(prefix="kos-engine-") as folder,
        engine(write_model(Path(folder, "tiny.gguf")), **more) as url,
    ):
        yield url


def _serve() -> None:
    """What the process of an engine does, until whoever started it is gone."""
    import xllamacpp

    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("window", type=int)
    parser.add_argument("slots", type=int)
    parser.add_argument("kv_type")
    parser.add_argument("--log", action="store_true")
    parser.add_argument("--embeds", action="store_true")
    options = parser.parse_args()
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port = line.getsockname()[1]
    wanted = xllamacpp.CommonParams()
    wanted.model.path = options.model
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = port
    # llama.cpp divides the window between the slots; Ollama multiplies it before.
    wanted.n_ctx = options.window * options.slots
    wanted.n_parallel = options.slots
    wanted.warmup = False
    wanted.endpoint_metrics = True
    wanted.cache_ram_mib = 0
    # More threads than one are slower on two cores that others use too.
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    wanted.embedding = options.embeds
    if options.embeds:
        wanted.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        wanted.n_ubatch = wanted.n_batch = options.window  # a text is read at once
    wanted.verbosity = 4 if options.log else wanted.verbosity
    if options.kv_type != "f16":
        wanted.cache_type_k = wanted.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{options.kv_type.upper()}")
    server = xllamacpp.Server(wanted)
    print(f"READY {server.listening_address}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
