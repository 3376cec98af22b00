"""The machine behind the Ollama double: models on its disk, memory, and which of them are loaded, by Ollama's rules."""

import asyncio
import hashlib
import heapq
import itertools
import math
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

GIB = 1 << 30
MIB = 1 << 20
# Bytes of GPU memory that each process takes for itself, beside its buffers: an assumption, not a measurement.
CUDA_CONTEXT = int(0.35 * GIB)
# Bytes of 32 numbers of a KV type.
KV_BYTES = {"f16": 64, "q8_0": 34, "q4_0": 18}
_PAGE = 256
# Automatic num_batch: size, tokens above which it is tried, share of free memory, bytes of memory it costs more.
_BATCHES = ((2048, 32768, 0.60, 2 * GIB), (1024, 4096, 0.75, 768 * MIB))
_SURCHARGE = {size: surcharge for size, _, _, surcharge in _BATCHES}
_BATCH = 512
_EMBED_BATCH = 2048
_COLOAD_SHARE = 0.8
# Families whose runners always have one slot.
_ONE_SLOT = re.compile(r"mllama|qwen3vl|qwen35|qwen3next|lfm2|nemotron_h")


class QueueFull(Exception):  # noqa: N818 - named for the fact
    """Too many requests wait for their model to be loaded."""


class Clock:
    """The time of the machine, in seconds."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class HandClock(Clock):
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._number), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking each sleeper in its turn and letting it act."""
        until = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self._now = until


async def settle() -> None:
    """Let every task go as far as it can without time passing."""
    for _ in range(50):
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Model:
    """A model on the disk of the machine.

    Attributes:
        name: with its tag.
        size: bytes of its file.
        layers, embedding, heads, kv_heads, head_dim, vocabulary, feed_forward: its geometry.
        context: window it was trained for, in tokens.
        parameters: as people say it.
        native: whether llama-server renders its chat template; otherwise Ollama does, which cuts differently.
        window, global_every: tokens of its sliding window, and every how many layers one sees everything; 0 for none.
        num_ctx: PARAMETER num_ctx of its Modelfile, 0 for none.
    """

    name: str
    size: int
    family: str
    parameters: str
    layers: int
    embedding: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    capabilities: tuple[str, ...] = ("completion", "tools")
    quantisation: str = "Q4_K_M"
    native: bool = False
    window: int = 0
    global_every: int = 0
    num_ctx: int = 0
    feed_forward: int = 0

    @property
    def digest(self) -> str:
        """Names its blob."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    def predicted(self, num_ctx: int, slots: int) -> int:
        """Bytes that Ollama takes it to need: blind to the KV type, an explicit head_dim and sliding windows."""
        cells = num_ctx * slots
        return self.size + 2 * self.layers * self.kv_heads * (self.embedding // self.heads) * cells * 2

    def buffers(self, num_ctx: int, slots: int, batch: int, kv_type: str) -> int:
        """Bytes of weights, KV cache and compute buffer that it truly has, with flash attention.

        Counted as llama.cpp allocates: tensor after tensor, each a page at a time.
        """
        pages = -(-num_ctx // _PAGE)
        total = self.size
        for layer in range(self.layers if "completion" in self.capabilities else 0):
            sees_all = not self.window or (self.global_every > 0 and (layer + 1) % self.global_every == 0)
            own = pages if sees_all else min(pages, -(-(self.window + batch) // _PAGE))
            for _ in ("keys", "values"):
                numbers = self.kv_heads * self.head_dim * own * _PAGE * slots
                total += numbers // 32 * KV_BYTES[kv_type]
        row = max(self.vocabulary + self.embedding, 3 * self.feed_forward + 5 * self.embedding)
        return total + batch * (4 * row + 2 * num_ctx)


def _model(name: str, size: int, family: str, parameters: str, geometry: str, **more: Any) -> Model:
    """A model; the geometry is layers, width, heads, KV heads, head size, vocabulary, trained context, feed-forward."""
    names = ("layers", "embedding", "heads", "kv_heads", "head_dim", "vocabulary", "context", "feed_forward")
    more |= zip(names, map(int, geometry.split()), strict=True)
    return Model(name, size, family, parameters, **more)


CATALOG: Mapping[str, Model] = {
    model.name: model
    for model in (
        _model("llama3.2:1b", 799862784, "llama", "1.2B", "16 2048 32 8 64 128256 131072 8192"),
        _model("llama3.2:3b", 2011539456, "llama", "3.2B", "28 3072 24 8 128 128256 131072 8192"),
        _model("llama3.1:8b", 4912898048, "llama", "8.0B", "32 4096 32 8 128 128256 131072 14336"),
        _model("mistral:7b", 4372054016, "llama", "7.2B", "32 4096 32 8 128 32768 32768 14336"),
        _model("codellama:7b", 4080353792, "llama", "6.7B", "32 4096 32 32 128 32016 16384 11008",
               capabilities=("completion",)),
        _model("qwen2.5:7b", 4677120000, "qwen2", "7.6B", "28 3584 28 4 128 152064 32768 18944"),
        _model("qwen3:4b", 2491323904, "qwen3", "4.0B", "36 2560 32 8 128 151936 40960 9728",
               capabilities=("completion", "tools", "thinking")),
        _model("qwen3:8b", 5021827072, "qwen3", "8.2B", "36 4096 32 8 128 151936 40960 12288",
               capabilities=("completion", "tools", "thinking")),
        _model("gemma3:4b", 2483218432, "gemma3", "3.9B", "34 2560 8 4 256 262144 131072 10240",
               capabilities=("completion", "vision"), window=1024, global_every=6),
        _model("all-minilm:latest", 45960996, "bert", "23M", "6 384 12 12 32 30522 512 1536",
               capabilities=("embedding",), quantisation="F16"),
        _model("nomic-embed-text:latest", 274302450, "nomic-bert", "137M", "12 768 12 12 64 30522 2048 3072",
               capabilities=("embedding",), quantisation="F16"),
    )
}  # fmt: skip


def model_named(name: str) -> Model:
    """A model of the catalogue, or one made up to a name nobody knows: the nearest in size that its tag tells."""
    full = name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
    if full in CATALOG:
        return CATALOG[full]
    billions = re.search(r"(\d+(?:\.\d+)?)b\b", full)
    size = float(billions[1]) * 0.6e9 if billions else CATALOG["llama3.2:3b"].size
    like = min((one for one in CATALOG.values() if "completion" in one.capabilities), key=lambda m: abs(m.size - size))
    return replace(like, name=full)


@dataclass(frozen=True, slots=True)
class Launch:
    """What a request asks of the runner itself; None and -1 leave the choice to Ollama."""

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int = -1
    main_gpu: int = 0
    use_mmap: bool | None = None
    num_thread: int = 0
    draft_num_predict: int = 0
    shift: bool = True


@dataclass(eq=False, slots=True)
class Runner:
    """A model in memory.

    Attributes:
        num_ctx: window of one slot, in tokens.
        slots: requests it runs at once.
        batch: tokens it reads at once.
        size, on_gpu: bytes of its buffers, and how many of them are on the GPU.
        keep: seconds it stays when nobody uses it.
        users: requests that hold it, whether they run or wait for a slot.
        expires: time at which it goes.
        kept: the text its cache holds.
    """

    model: Model
    launch: Launch
    num_ctx: int
    slots: int
    batch: int
    size: int
    on_gpu: int
    keep: float
    users: int
    expires: float
    places: asyncio.Semaphore
    kept: bytes = b""
    gone: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.Task[None] | None = None


@dataclass(eq=False, slots=True)
class _Pending:
    """A request whose model is not loaded as it wants it."""

    model: Model
    launch: Launch
    keep: float | None
    runner: "asyncio.Future[Runner]"


class Machine:
    """Ollama's scheduler over one GPU. Lives on one event loop, between `async with` and its end.

    Args:
        models: names of the catalogue, names to be made up, or models of one's own.
        vram_gib: GPU memory that is free when nothing is loaded.
        load_seconds: how long a model takes to load, for all or for each; unload_seconds until the memory of one that went is back.
        prefill, decode: tokens per second that are read and written.
        parallel: OLLAMA_NUM_PARALLEL. max_loaded: OLLAMA_MAX_LOADED_MODELS. max_queue: OLLAMA_MAX_QUEUE.
        kv_type: OLLAMA_KV_CACHE_TYPE. keep_alive: OLLAMA_KEEP_ALIVE, in seconds. context: OLLAMA_CONTEXT_LENGTH.
        clock: of all waiting and measuring.

    Attributes:
        loads, reloads, unloads: loads begun, those of them that only other options forced, models that went.
        running, waiting: requests that have a slot, or wait for one at a loaded model; `running_peak` their most.
        pending_peak: most requests that waited at once for a model to be loaded.
    """

    def __init__(
        self,
        models: Iterable[str | Model] = ("llama3.2:3b", "qwen2.5:7b", "qwen3:8b", "all-minilm"),
        *,
        vram_gib: float = 9.7,
        load_seconds: float | Callable[[Model], float] = 0.0,
        unload_seconds: float = 0.0,
        prefill: float = math.inf,
        decode: float = math.inf,
        parallel: int = 1,
        max_loaded: int = 3,
        max_queue: int = 512,
        kv_type: str = "f16",
        keep_alive: float = 300.0,
        context: int = 4096,
        clock: Clock | None = None,
    ) -> None:
        found = [model_named(one) if isinstance(one, str) else one for one in models]
        self.models = {model.name: model for model in found}
        self.vram = int(vram_gib * GIB)
        self.load_seconds = load_seconds
        self.unload_seconds = unload_seconds
        self.prefill = prefill
        self.decode = decode
        self.parallel = parallel
        self.max_loaded = max_loaded
        self.max_queue = max_queue
        self.kv_type = kv_type
        self.keep_alive = keep_alive
        self.context = context
        self.clock = clock or Clock()
        self.loaded: dict[str, Runner] = {}
        self.loads = self.reloads = self.unloads = 0
        self.running = self.waiting = self.running_peak = self.pending_peak = 0
        self._leaving = 0
        self._pending: deque[_Pending] = deque()
        self._arrived = asyncio.Event()
        self._unloaded = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._spawn(self._schedule())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def pending(self) -> int:
        """Requests that wait for their model, the one that is being served not counted."""
        return len(self._pending)

    @property
    def free(self) -> int:
        """Bytes of the GPU's memory that nobody holds."""
        return self.vram - self._leaving - sum(runner.on_gpu + CUDA_CONTEXT for runner in self.loaded.values())

    def find(self, name: str) -> Model | None:
        """The model of a name as people write it."""
        bare = name.casefold().removeprefix("registry.ollama.ai/").removeprefix("library/")
        full = bare if ":" in bare.rsplit("/", 1)[-1] else f"{bare}:latest"
        return next((model for model in self.models.values() if model.name.casefold() == full), None)

    @asynccontextmanager
    async def runner(self, model: Model, launch: Launch, keep: float | None = None) -> AsyncIterator[Runner]:
        """A runner for the body of the `async with`, loaded first if need be.

        Args:
            model: of this machine.
            launch: how it must be loaded.
            keep: seconds it stays afterwards, infinite for ever; None leaves what was said before.

        Raises:
            QueueFull: too many wait.
        """
        runner = await self._runner(model, launch, keep)
        try:
            yield runner
        finally:
            self._release(runner)

    async def _runner(self, model: Model, launch: Launch, keep: float | None) -> Runner:
        while True:
            runner = self.loaded.get(model.name)
            if runner is None or self._differs(runner, launch):
                return await self._wait_in_line(model, launch, keep)
            # Those whose model is loaded, or about to be, pass by the line and by its limit.
            self._use(runner, keep)
            try:
                await runner.ready.wait()
            except asyncio.CancelledError:
                self._release(runner)
                raise
            if not runner.gone:
                return runner

    async def _wait_in_line(self, model: Model, launch: Launch, keep: float | None) -> Runner:
        if len(self._pending) >= self.max_queue:
            raise QueueFull
        future: asyncio.Future[Runner] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(model, launch, keep, future))
        self.pending_peak = max(self.pending_peak, len(self._pending))
        self._arrived.set()
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled():
                self._release(future.result())
            raise

    @asynccontextmanager
    async def slot(self, runner: Runner) -> AsyncIterator[None]:
        """A slot of a runner, waited for without any bound."""
        self.waiting += 1
        try:
            await runner.places.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        self.running_peak = max(self.running_peak, self.running)
        try:
            yield
        finally:
            self.running -= 1
            runner.places.release()

    def expire(self, model: Model) -> None:
        """Let a model go as soon as nobody uses it."""
        if runner := self.loaded.get(model.name):
            self._let_go(runner)

    # The line: one request at a time is given its model, and the others wait for as long as that takes.

    async def _schedule(self) -> None:
        while True:
            while not self._pending:
                self._arrived.clear()
                await self._arrived.wait()
            request = self._pending.popleft()
            reload = False
            while not request.runner.done():
                victim, reload = self._in_the_way(request, reload=reload)
                if victim is not None:
                    self._unloaded.clear()
                    self._let_go(victim)
                    # If somebody uses it again meanwhile it is revived, and this may take as long as they like.
                    await self._unloaded.wait()
                elif not request.runner.done():
                    await self._load(request, reload=reload)

    def _in_the_way(self, request: _Pending, *, reload: bool) -> tuple[Runner | None, bool]:
        """The runner that must go first, and whether it is the same model with other options."""
        same = self.loaded.get(request.model.name)
        if same is not None and not self._differs(same, request.launch):
            self._use(same, request.keep)
            request.runner.set_result(same)
            return None, False
        if same is not None:
            return same, True
        if len(self.loaded) >= self.max_loaded or (self.loaded and not self._fits(request.model, request.launch)):
            order = sorted(self.loaded.values(), key=lambda one: (one.users > 0, one.keep, one.model.digest))
            return order[0], reload
        return None, reload

    async def _load(self, request: _Pending, *, reload: bool) -> None:
        runner = self._new(request)
        self.loaded[request.model.name] = runner
        self.loads += 1
        self.reloads += reload
        seconds = self.load_seconds if isinstance(self.load_seconds, int | float) else self.load_seconds(request.model)
        loading = asyncio.ensure_future(self.clock.sleep(seconds))
        try:
            either: list[asyncio.Future[Any]] = [loading, request.runner]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not loading.done():
                loading.cancel()
                await asyncio.wait({loading})  # a cancel of this task must not be taken for that one
        if request.runner.done():
            # Who asked for it left, and the load is given up. Others that wait for it ask again.
            self._unload(runner)
            runner.ready.set()
            return
        runner.ready.set()
        request.runner.set_result(runner)

    def _new(self, request: _Pending) -> Runner:
        model, launch = request.model, request.launch
        num_ctx, slots = self.window(model, launch), self.slots(model)
        batch = self._batch(model, launch)
        size = model.buffers(num_ctx, slots, batch, self.kv_type)
        # What does not fit stays in the memory of the CPU.
        on_gpu = 0 if launch.num_gpu == 0 else max(0, min(size, self.free - CUDA_CONTEXT))
        keep = self.keep_alive if request.keep is None else request.keep
        expires = self.clock.now() + keep
        places = asyncio.Semaphore(slots)
        return Runner(model, launch, num_ctx, slots, batch, size, on_gpu, keep, 1, expires, places)

    def window(self, model: Model, launch: Launch) -> int:
        """The window a request gets, in tokens: what was asked for within what the model was trained for."""
        asked = launch.num_ctx or model.num_ctx or self.context
        return min(max(asked, 2048 if "vision" in model.capabilities else 4), model.context)

    def slots(self, model: Model) -> int:
        """Windows its runner keeps."""
        single = "completion" not in model.capabilities or _ONE_SLOT.match(model.family)
        return 1 if single else self.parallel

    def _batch(self, model: Model, launch: Launch) -> int:
        num_ctx, slots = self.window(model, launch), self.slots(model)
        if launch.num_batch is not None:
            return launch.num_batch
        if "completion" not in model.capabilities:
            return min(_EMBED_BATCH, num_ctx)
        predicted = model.predicted(num_ctx, slots)
        for size, above, share, surcharge in _BATCHES:
            fits = predicted <= share * self.free and predicted + surcharge <= _COLOAD_SHARE * self.free
            if num_ctx * slots > above and fits:
                return size
        return _BATCH

    def _fits(self, model: Model, launch: Launch) -> bool:
        """Whether Ollama loads it beside what is loaded."""
        predicted = model.predicted(self.window(model, launch), self.slots(model))
        return predicted + _SURCHARGE.get(launch.num_batch or 0, 0) <= _COLOAD_SHARE * self.free

    def _differs(self, runner: Runner, launch: Launch) -> bool:
        """Whether a request needs the model loaded anew."""
        had = runner.launch
        automatic_ctx = had.num_ctx is None and launch.num_ctx is None
        automatic_batch = had.num_batch is None and launch.num_batch is None
        return (
            (not automatic_ctx and runner.num_ctx != self.window(runner.model, launch))
            or (not automatic_batch and runner.batch != (launch.num_batch or _BATCH))
            or (launch.num_gpu >= 0 and launch.num_gpu != had.num_gpu)
            or any(
                getattr(had, name) != getattr(launch, name)
                for name in ("main_gpu", "use_mmap", "num_thread", "draft_num_predict", "shift")
            )
        )

    # Use and end of a runner.

    def _use(self, runner: Runner, keep: float | None) -> None:
        runner.users += 1
        self._stop_timer(runner)
        if keep is not None:
            runner.keep = keep

    def _release(self, runner: Runner) -> None:
        runner.users -= 1
        if runner.users or runner.gone:
            return
        if runner.keep <= 0:
            self._unload(runner)
            return
        runner.expires = self.clock.now() + runner.keep
        if runner.keep < math.inf:
            runner.timer = self._spawn(self._expire_later(runner))

    async def _expire_later(self, runner: Runner) -> None:
        await self.clock.sleep(runner.keep)
        runner.timer = None
        self._unload(runner)

    def _let_go(self, runner: Runner) -> None:
        self._stop_timer(runner)
        runner.keep = 0.0
        if not runner.users:
            self._unload(runner)

    def _stop_timer(self, runner: Runner) -> None:
        if runner.timer is not None:
            runner.timer.cancel()
            runner.timer = None

    def _unload(self, runner: Runner) -> None:
        runner.gone = True
        del self.loaded[runner.model.name]
        self.unloads += 1
        held = runner.on_gpu + CUDA_CONTEXT
        self._leaving += held
        self._spawn(self._give_back(held))

    async def _give_back(self, held: int) -> None:
        await self.clock.sleep(self.unload_seconds)
        self._leaving -= held
        self._unloaded.set()
