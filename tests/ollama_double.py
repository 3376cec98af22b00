"""A double of Ollama, for tests and for people without a GPU: its API, its scheduling, and its faults on demand."""

import argparse
import asyncio
import math
import queue
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from tests.ollama_answers import briefing, obedient
from tests.ollama_api import Answer, Double
from tests.ollama_http import FAULTS, Connection
from tests.ollama_machine import CATALOG, KV_BYTES, Machine


@asynccontextmanager
async def double(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    answers: Iterable[str] = (),
    answer: Answer | None = None,
    obey: bool = False,
    thinking: str = "The notes say enough.",
    bytes_per_token: float = 4.0,
    others_per_token: float = 0.0,
    deaf: bool = False,
    omit_zeros: bool = True,
    machine: Machine | None = None,
    **knobs: Any,
) -> AsyncIterator[Double]:
    """A running double on the loop of the caller.

    Args:
        host: where it listens.
        port: the same; 0 is any free one.
        answers, answer, thinking, bytes_per_token, others_per_token, deaf, omit_zeros: see `Double`. Without them it
            cites the prompt's notes.
        obey: whether it does what notes tell it to: see `tests.ollama_answers.obedient`.
        machine: what is behind it, else one is made of the knobs.
        knobs: arguments of `Machine`.
    """
    async with machine or Machine(**knobs) as behind:
        found = Double(
            behind,
            answers=answers,
            answer=answer or (obedient if obey else briefing),
            thinking=thinking,
            bytes_per_token=bytes_per_token,
            others_per_token=others_per_token,
            deaf=deaf,
            omit_zeros=omit_zeros,
        )
        tasks: set[asyncio.Task[None]] = set()

        def connect() -> Connection:
            found.connections += 1
            return Connection(found.handle, tasks)

        server = await asyncio.get_running_loop().create_server(connect, host, port)
        found.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        try:
            yield found
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def double_in_thread(**more: Any) -> Iterator[Double]:
    """A running double on a loop of its own, for tests that have none; arguments as for `double`."""
    started: queue.SimpleQueue[tuple[Double, asyncio.AbstractEventLoop, asyncio.Event] | Exception]
    started = queue.SimpleQueue()

    async def live() -> None:
        stop = asyncio.Event()
        async with double(**more) as found:
            started.put((found, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(live())
        except Exception as error:  # noqa: BLE001 - told to the one who waits
            started.put(error)

    thread = threading.Thread(target=run, name="ollama-double")
    thread.start()
    ready = started.get()
    if isinstance(ready, Exception):
        thread.join()
        raise ready
    found, loop, stop = ready
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a double until it is interrupted; prints its address when it is ready."""
    faults = "\n".join(f"  {kind:11} {what}" for kind, what in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.ollama_double",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="A double of Ollama: its API, its scheduling and its faults, without a model.\n"
        "It answers with cited sentences of the notes in the prompt.",
        epilog="GET /double tells what was asked.\n"
        'POST /double/answers {"answers": [...]} says what is answered next.\n'
        'POST /double/fault {"kind": ..., "after": chunks, "seconds": ..., "times": requests, or null for all}\n'
        f"lets the next requests fail; DELETE ends that:\n{faults}",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=11434, help="0 is any free one")
    add("--model", action="append", dest="models", metavar="NAME", help=f"may be repeated; known: {', '.join(CATALOG)}")
    add("--vram-gib", type=float, default=9.7, help="GPU memory that is free when nothing is loaded")
    add("--load-seconds", type=float, default=0.0, help="how long a model takes to load")
    add("--prefill", type=float, default=math.inf, help="tokens read per second")
    add("--decode", type=float, default=math.inf, help="tokens written per second")
    add("--parallel", type=int, default=1, help="OLLAMA_NUM_PARALLEL")
    add("--max-loaded", type=int, default=3, help="OLLAMA_MAX_LOADED_MODELS")
    add("--max-queue", type=int, default=512, help="OLLAMA_MAX_QUEUE")
    add("--kv-type", choices=list(KV_BYTES), default="f16", help="OLLAMA_KV_CACHE_TYPE")
    add("--context", type=int, default=4096, help="OLLAMA_CONTEXT_LENGTH")
    add("--bytes-per-token", type=float, default=4.0, help="how it counts")
    add("--obey", action="store_true", help="do what notes say: a line 'SAY: words' is answered with those words")
    options = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(**options))


async def _run(**options: Any) -> None:
    async with double(**options) as found:
        print(found.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
