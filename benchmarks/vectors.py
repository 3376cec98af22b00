"""Measures the vectors of a vault without a model: filling beside the embedder, loading, searching.

`python benchmarks/vectors.py VAULT [WIDTH]` makes the vectors by chance, of 384 numbers unless WIDTH says otherwise:
what is in them makes no difference here. Times are those of the processor, since the machine may be shared.
"""

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from context.embed import Embedder, Vectors
from context.index import Index
from context.vault import Vault

_ROUNDS = 31


def embedder(width: int, own: list[float]) -> Embedder:
    """An embedder whose vectors are made of chance, always the same for a text; `own` gets the CPU seconds it takes."""

    def one(text: str) -> list[float]:
        seed = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        found = np.random.default_rng(int.from_bytes(seed)).standard_normal(width).astype(np.float32)
        return (found / np.linalg.norm(found)).tolist()  # type: ignore[no-any-return]

    def embed(texts: Sequence[str], _: bool) -> "Future[list[list[float]]]":
        done: Future[list[list[float]]] = Future()
        began = time.thread_time()
        done.set_result([one(text) for text in texts])
        own.append(time.thread_time() - began)
        return done

    return Embedder("chance", "chance", embed, deadline_seconds=10.0)


def timed(work: Callable[[], object]) -> str:
    """p50 and the most of some rounds, in CPU milliseconds."""
    times = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        work()
        times.append((time.thread_time() - began) * 1000)
    return f"p50 {sorted(times)[_ROUNDS // 2]:.1f} ms, most {max(times):.1f} ms"


def complete(vectors: Vectors) -> float:
    """Wait until every chunk has its vector; CPU seconds of the process meanwhile."""
    began = time.process_time()
    vectors.wake()
    while not vectors.is_complete:
        time.sleep(0.01)
    return time.process_time() - began


def main(root: Path, width: int) -> None:
    """Measure one vault."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.db"
        vault = Vault(root, Index(Path(folder) / "index.sqlite"))
        own: list[float] = []
        made = embedder(width, own)
        vectors = Vectors(vault, made, file)
        seconds = complete(vectors)
        told = vectors.status()
        rows = told["chunks"]["embedded"]
        print(f"{told['notes']['total']} notes, {rows} chunks, {told['bytes'] / 1e6:.0f} MB in memory")
        print(f"filling: {(seconds - sum(own)) / rows * 1e6:.0f} µs a chunk beside the embedder")
        vectors.close()
        print(f"file: {file.stat().st_size / 1e6:.0f} MB")
        vectors = Vectors(vault, made, file)
        print(f"loading: {complete(vectors):.1f} s")
        notes = vault.snapshot.notes
        like = vectors.like("a question", notes)
        assert like is not None
        near = [(row.path, row.start, row.stop) for row in like.nearest(200)]
        print(f"the nearest 100 of all: {timed(lambda: like.nearest(100))}")
        few = vectors.like("a question", dict(list(notes.items())[: max(1, len(notes) // 100)]))
        assert few is not None
        print(f"the nearest 100 of a hundredth of the notes: {timed(lambda: few.nearest(100))}")
        print(f"cosines of 200 chunks: {timed(lambda: like.cosines(near))}")
        vectors.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 384)
