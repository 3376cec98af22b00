"""A profile: the nodes there are, the models they run and how, and which command gets which; one TOML file."""

import importlib.resources
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference.table import Table

KINDS = ("ollama", "openai")
CLASSES = ("local", "lan", "cloud")
ROLES = ("primary", "backup", "burst", "cloud", "human-only")
# `big` is what a force asks for; without it that is the deepest one there is.
TIERS = ("fast", "balanced", "deep", "big")
KV_TYPES = ("f16", "q8_0", "q4_0")
OFFLOADS = ("", "cpu")
THINK_LEVELS = ("low", "medium", "high", "max")
# What must be left of a window for the prompt once the answer has its reserve, in tokens.
MIN_PROMPT_TOKENS = 512
# Numbers of a vector, at most: more than any model known gives.
MOST_DIMENSIONS = 8192

_MAX_TOKENS = 16_777_216
_MOST_GIB, _MOST_GBS = 16_384, 100_000
_MOST_MONEY = 1_000_000
_MAX_BYTES = 1_000_000
_MODEL = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}")
_PREFIX = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A Go duration, the only form of text that Ollama takes for keep_alive: "-1" without a unit is not one.
_DURATION = re.compile(r"-?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")
_UNITS: Mapping[str, float] = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# Names that lead to this machine: its own, and the ones a container has for the machine it runs on.
_THIS_MACHINE = ("localhost", "host.docker.internal", "host.containers.internal")

_SAMPLING: Mapping[str, type] = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "min_p": float,
    "seed": int,
    "repeat_penalty": float,
    "presence_penalty": float,
    "frequency_penalty": float,
    "stop": list,
}
_OLLAMA_ONLY: Mapping[str, type] = {
    "num_keep": int,
    "typical_p": float,
    "repeat_last_n": int,
    "num_batch": int,
    "num_gpu": int,
    "main_gpu": int,
    "num_thread": int,
    "use_mmap": bool,
    "draft_num_predict": int,
}
# Options a runner may set, by kind of node. Ollama ignores an option it does not know, so a slip of the pen would pass
# unseen. num_ctx and num_predict are not here: they come from `num_ctx` and `answer_tokens`.
OPTIONS: Mapping[str, Mapping[str, type]] = {"ollama": {**_SAMPLING, **_OLLAMA_ONLY}, "openai": _SAMPLING}


class ProfileError(ValueError):
    """A profile that cannot be used: says which file, which key, and what is allowed."""


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """What a machine has to keep models in.

    Attributes:
        vram_gib: GiB of one card; 0 for a machine without.
        cards: how many such cards there are.
        reserve_gib: GiB of each card that are not for models: what driver, desktop and other programs take.
        vram_gbs: 10^9 bytes that a card's memory gives in a second; 0 if not known.
        ram_gib: GiB of the CPU's memory that models may take; 0 if that is not looked at.
        ram_gbs: 10^9 bytes that the CPU's memory gives in a second; 0 if not known.
    """

    vram_gib: float
    cards: int = 1
    reserve_gib: float = 0.5
    vram_gbs: float = 0.0
    ram_gib: float = 0.0
    ram_gbs: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """A machine that runs models.

    Attributes:
        name: its name in the profile.
        kind: one of `KINDS`: what it speaks.
        url: its address, without `/api` or `/v1`.
        klass: one of `CLASSES` (`class` in the file). Private notes go to `local` nodes, or to a `lan` one if trusted.
        queue: requests that may wait here for a place at the node.
        parallel: requests that may run at the node at once.
        key_env: environment variable that holds its API key, "" for none.
        trusted: whether a `lan` node may see private notes.
        memory: what its models have to fit into; None for a node whose memory is not planned.
        role: one of `ROLES`. `primary` takes work in the order of a tier; `backup` when no primary is left; `burst`
            also what the ones before it cannot take in time; `cloud` likewise, after all others; `human-only` takes
            what names it.
        preload: whether models that stay are loaded while nobody waits.
        mode_url: where its mode is told (`{"mode": "NORMAL"}` or `GAMING`), "" for a node that always takes work.
        price_in, price_out: of a million tokens of prompt and of answer, in one currency for all nodes.
        request_cap, daily_cap: what one request, and all of a day (UTC), may cost there at most; 0 for no cap.
    """

    name: str
    kind: str
    url: str
    klass: str
    queue: int = 8
    parallel: int = 1
    key_env: str = ""
    trusted: bool = False
    memory: NodeMemory | None = None
    role: str = "primary"
    preload: bool = True
    mode_url: str = ""
    price_in: float = 0.0
    price_out: float = 0.0
    request_cap: float = 0.0
    daily_cap: float = 0.0

    @property
    def sees_private(self) -> bool:
        """Whether private notes may go there: to this machine, or to a trusted one in the LAN."""
        return self.klass == "local" or (self.klass == "lan" and self.trusted)


@dataclass(frozen=True, slots=True)
class RunnerProfile:
    """A model and how it is run: one per model and node, so that no request makes the node load it anew.

    Attributes:
        name: its name in the profile.
        node: the node that runs it.
        model: the node's name for the model.
        quantisation: of its weights, such as `Q4_K_M`; for the memory plan and for people.
        num_ctx: window in tokens of one request, prompt and answer together.
        answer_tokens: how many of them are kept for the answer.
        kv_type: one of `KV_TYPES`: how keys and values are kept in memory.
        slots: windows the node keeps for this model (`OLLAMA_NUM_PARALLEL`); each costs its memory.
        keep_alive: how long the model stays loaded after a request: seconds, negative for ever, or a text such as "5m".
        offload: "cpu" where a part may run on the CPU, "" where that is a fault.
        think: whether the model thinks aloud first; one of `THINK_LEVELS` for models that take a level.
        options: those of `OPTIONS`.
        substitutes: runners of the same node that take its work when they can begin sooner, in order of preference.
    """

    name: str
    node: str
    model: str
    quantisation: str
    num_ctx: int
    answer_tokens: int
    kv_type: str = "f16"
    slots: int = 1
    keep_alive: str | int = "5m"
    offload: str = ""
    think: bool | str = False
    options: Mapping[str, Any] = field(default_factory=dict)
    substitutes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model that turns texts into vectors, so that texts of like meaning are found.

    Attributes:
        node: the node that runs it.
        model: the node's name for the model.
        num_ctx: window in tokens; of a longer text only the beginning counts.
        query_prefix, document_prefix: what the model was trained to see before a question and before a text.
        dimensions: numbers of a vector that are asked for; 0 leaves it to the model.
        deadline_ms: how long a question waits for its vector.
        keep_alive: how long the model stays loaded after a request, as for a runner.
        options: those of `OPTIONS`.
    """

    node: str
    model: str
    num_ctx: int
    query_prefix: str = ""
    document_prefix: str = ""
    dimensions: int = 0
    deadline_ms: int = 300
    keep_alive: str | int = "5m"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Equal when and only when the vectors of texts are: everything that decides them, as one text."""
        parts = (self.model, f"{self.num_ctx} tokens", f"{self.dimensions} dimensions", self.document_prefix)
        return " | ".join(parts)


def stays(keep_alive: str | int) -> bool:
    """Whether a model with that `keep_alive` is never unloaded for want of use."""
    return keep_seconds(keep_alive) == inf


def keep_seconds(keep_alive: str | int) -> float:
    """Seconds that a model with that `keep_alive` stays when nobody uses it; infinite for one that always does."""
    if isinstance(keep_alive, int):
        return keep_alive if keep_alive >= 0 else inf
    if keep_alive.startswith("-"):
        return inf
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(keep_alive))


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the model server: the value first recommended, the one this profile counts on, and why."""

    name: str
    seed: str
    ours: str
    why: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that is known of the model side.

    Attributes:
        name: of the file, without its ending.
        description: one sentence for people.
        nodes: by name, in declared order.
        runners: by name, in declared order.
        tiers: names of runners in order of preference, for each tier there is.
        commands: the tier or runner of each command; others go by the tier their prompt names.
        settings: of the model server, for people and for checks.
        embedding: the model that turns texts into vectors, None if there is none.
        fail_soft: names of the runners that take what nothing else is left for, in order of preference.
    """

    name: str
    description: str
    nodes: Mapping[str, NodeConfig]
    runners: Mapping[str, RunnerProfile]
    tiers: Mapping[str, tuple[str, ...]]
    commands: Mapping[str, str]
    settings: tuple[Setting, ...]
    embedding: EmbeddingModel | None = None
    fail_soft: tuple[str, ...] = ()


def shipped() -> tuple[str, ...]:
    """Names of the profiles that come with the product."""
    folder = importlib.resources.files("inference") / "profiles"
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml")))


def load(name_or_path: str) -> Profile:
    """Read a shipped profile by its name, or one's own by its path, which ends in `.toml`.

    Raises:
        ProfileError: there is none, or it cannot be used.
    """
    if name_or_path in shipped():
        text = (importlib.resources.files("inference") / "profiles" / f"{name_or_path}.toml").read_text("utf-8")
        return parse(text, name_or_path)
    if not name_or_path.endswith(".toml"):
        raise ProfileError(
            f"there is no profile {name_or_path[:80]!r}; allowed: {', '.join(shipped())}, or a path that ends in .toml"
        )
    path = Path(name_or_path).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ProfileError(f"profile {path.name}: cannot be read ({error.strerror})") from None
    if len(data) > _MAX_BYTES:
        raise ProfileError(f"profile {path.name}: longer than {_MAX_BYTES} bytes")
    try:
        return parse(data.decode("utf-8-sig"), path.stem)
    except UnicodeDecodeError:
        raise ProfileError(f"profile {path.name}: is not UTF-8 text") from None


def parse(text: str, name: str) -> Profile:
    """Read a profile and hold it against every rule there is.

    Args:
        text: TOML.
        name: of the file, without its ending; for messages.

    Raises:
        ProfileError: names the file, the key and what is allowed.
    """
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(f"profile {name}.toml: is not TOML: {error}") from None
    top = Table(f"profile {name}.toml", "", value, ProfileError)
    description = top.text("description", "")
    nodes = {key: _node(key, table) for key, table in top.tables("nodes").items()}
    tables = top.tables("runners")
    runners = {key: _runner(key, table, nodes, tables) for key, table in tables.items()}
    tiers = _tiers(top, runners)
    fail_soft = _names(top, "fail_soft", runners)
    commands = _commands(top, tiers, runners)
    settings = tuple(_setting(table) for table in top.array("settings"))
    table = top.table("embedding")
    embedding = _embedding(table, nodes) if "embedding" in value else None
    top.end()
    _together(top, nodes, runners, embedding)
    return Profile(name, description, nodes, runners, tiers, commands, settings, embedding, fail_soft)


def with_url(profile: Profile, url: str) -> Profile:
    """The profile with another address for its local Ollama, as `KOS_OLLAMA_URL` sets it.

    An address on another machine makes it a `lan` node: private notes do not go there until it is trusted by name.

    Raises:
        ProfileError: the address cannot be used.
    """
    clean, host = _url(url, "KOS_OLLAMA_URL")
    klass = "local" if _here(host) else "lan"
    nodes = {
        name: replace(node, url=clean, klass=klass) if node.kind == "ollama" and node.klass == "local" else node
        for name, node in profile.nodes.items()
    }
    return replace(profile, nodes=nodes)


def with_trust(profile: Profile, names: Sequence[str]) -> Profile:
    """The profile with these `lan` nodes trusted with private notes.

    Raises:
        ProfileError: a name is that of no node, or of a node in the cloud, which is never trusted.
    """
    for name in names:
        node = profile.nodes.get(name)
        allowed = ", ".join(other.name for other in profile.nodes.values() if other.klass != "cloud")
        if node is None or node.klass == "cloud":
            raise ProfileError(f"profile {profile.name}.toml: node {name[:40]!r} cannot be trusted; allowed: {allowed}")
    nodes = {
        name: replace(node, trusted=True) if name in names and node.klass == "lan" else node
        for name, node in profile.nodes.items()
    }
    return replace(profile, nodes=nodes)


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model: a name without a tag means `latest`, and case does not count."""
    return _whole(one) == _whole(other)


def _whole(model: str) -> str:
    tagged = ":" in model.rpartition("/")[2]
    return (model if tagged else f"{model}:latest").casefold()


def _node(name: str, table: Table) -> NodeConfig:
    kind = table.choice("kind", KINDS)
    klass = table.choice("class", CLASSES)
    url, host = _url(table.text("url"), f"{table.file}: {table.place}.url")
    if klass == "local" and not _here(host):
        raise table.wrong(
            "class", f'is local, but {host!r} is not this machine; allowed: class = "lan" with trusted = true, or cloud'
        )
    if klass == "cloud" and not url.startswith("https:"):
        raise table.wrong("url", "takes an https:// address for a node of class cloud")
    node = NodeConfig(
        name=name,
        kind=kind,
        url=url,
        klass=klass,
        queue=table.number("queue", 0, 1000, 8),
        parallel=table.number("parallel", 1, 256, 1),
        key_env=table.text("key_env", "", like=_VARIABLE, of="name of an environment variable"),
        trusted=table.flag("trusted", default=False),
        memory=_memory(table.table("memory")) if "memory" in table.value else None,
        role=table.choice("role", ROLES, "primary"),
        preload=table.flag("preload", default=True),
        mode_url=_mode_url(table),
        price_in=table.decimal("price_in", 0, _MOST_MONEY, 0),
        price_out=table.decimal("price_out", 0, _MOST_MONEY, 0),
        request_cap=table.decimal("request_cap", 0, _MOST_MONEY, 0),
        daily_cap=table.decimal("daily_cap", 0, _MOST_MONEY, 0),
    )
    if node.role == "cloud" and klass != "cloud":
        raise table.wrong("role", "is cloud, and the class is not; allowed: burst, for what overflows to another node")
    for cap in ("request_cap", "daily_cap"):
        if getattr(node, cap) and not (node.price_in or node.price_out):
            raise table.wrong(cap, "counts nothing without price_in and price_out")
    if node.trusted and klass != "lan":
        raise table.wrong("trusted", "is for class lan: a local node sees private notes, one in the cloud never")
    table.end()
    return node


def _mode_url(table: Table) -> str:
    url = table.text("mode_url", "")
    return _url(url, f"{table.file}: {table.place}.mode_url")[0] if url else ""


def _memory(table: Table) -> NodeMemory:
    memory = NodeMemory(
        vram_gib=table.decimal("vram_gib", 0, _MOST_GIB),
        cards=table.number("cards", 1, 64, 1),
        reserve_gib=table.decimal("reserve_gib", 0, _MOST_GIB, 0.5),
        vram_gbs=table.decimal("vram_gbs", 0, _MOST_GBS, 0),
        ram_gib=table.decimal("ram_gib", 0, _MOST_GIB, 0),
        ram_gbs=table.decimal("ram_gbs", 0, _MOST_GBS, 0),
    )
    if memory.vram_gib and memory.reserve_gib >= memory.vram_gib:
        raise table.wrong("reserve_gib", f"is {memory.reserve_gib:g}; vram_gib {memory.vram_gib:g} leaves nothing then")
    table.end()
    return memory


def _url(url: str, place: str) -> tuple[str, str]:
    """The address in one form, and its host."""
    wanted = "takes an address such as http://127.0.0.1:11434, without user, query or fragment"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ProfileError(f"{place} {wanted}") from None
    bad = parts.scheme not in ("http", "https") or not host or port == 0 or "@" in parts.netloc
    if bad or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise ProfileError(f"{place} {wanted}")
    return url.rstrip("/").removesuffix("/v1").rstrip("/"), host


def _here(host: str) -> bool:
    """Whether a host is this machine, by its name alone: no look-up, which others could answer."""
    try:
        address = ip_address(host)
    except ValueError:
        return host in _THIS_MACHINE or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _runner(name: str, table: Table, nodes: Mapping[str, NodeConfig], names: Mapping[str, object]) -> RunnerProfile:
    if name in TIERS:
        raise table.wrong("", "has the name of a tier; a runner needs one of its own")
    node = table.choice("node", tuple(nodes))
    levels = ", ".join(THINK_LEVELS)
    think: bool | str = table.take("think", (bool, str), f"true, false or one of: {levels}", default=False)
    if isinstance(think, str) and think not in THINK_LEVELS:
        raise table.wrong("think", f"is {think[:80]!r}; allowed: true, false, {levels}")
    runner = RunnerProfile(
        name=name,
        node=node,
        model=table.text("model", like=_MODEL, of="name of a model"),
        quantisation=table.text("quantisation"),
        num_ctx=table.number("num_ctx", 1024, _MAX_TOKENS),
        answer_tokens=table.number("answer_tokens", 16, _MAX_TOKENS),
        kv_type=table.choice("kv_type", KV_TYPES, "f16"),
        slots=table.number("slots", 1, 256, 1),
        keep_alive=_keep_alive(table),
        offload=table.choice("offload", OFFLOADS, ""),
        think=think,
        options=_options(table, nodes[node].kind),
        substitutes=_names(table, "substitutes", [other for other in names if other != name]),
    )
    if runner.num_ctx - runner.answer_tokens < MIN_PROMPT_TOKENS:
        most = runner.num_ctx - MIN_PROMPT_TOKENS
        raise table.wrong("answer_tokens", f"is {runner.answer_tokens}; num_ctx {runner.num_ctx} allows at most {most}")
    table.end()
    return runner


def _keep_alive(table: Table) -> str | int:
    kept: str | int = table.take("keep_alive", (int, str), 'seconds, -1 for ever, or a text such as "5m"', "5m")
    if isinstance(kept, str) and not _DURATION.fullmatch(kept):
        hint = " (write -1 without quotes)" if kept == "-1" else ""
        raise table.wrong("keep_alive", f'is {kept[:80]!r}{hint}; allowed: seconds, -1, or a text such as "5m"')
    return kept


def _embedding(table: Table, nodes: Mapping[str, NodeConfig]) -> EmbeddingModel:
    node = table.choice("node", tuple(nodes))
    model = EmbeddingModel(
        node=node,
        model=table.text("model", like=_MODEL, of="name of a model"),
        num_ctx=table.number("num_ctx", 64, _MAX_TOKENS),
        query_prefix=table.text("query_prefix", "", like=_PREFIX, of="text of one line, at most 1000 characters"),
        document_prefix=table.text("document_prefix", "", like=_PREFIX, of="text of one line, at most 1000 characters"),
        dimensions=table.number("dimensions", 0, MOST_DIMENSIONS, 0),
        deadline_ms=table.number("deadline_ms", 10, 10_000, 300),
        keep_alive=_keep_alive(table),
        options=_options(table, nodes[node].kind),
    )
    table.end()
    return model


def _options(table: Table, kind: str) -> dict[str, Any]:
    options, known = table.table("options").value, OPTIONS[kind]
    names = {float: "a number", int: "a whole number", bool: "true or false", list: "a list of texts"}
    for key, value in options.items():
        place = f"options.{key[:80]}"
        if key in ("num_ctx", "num_predict"):
            raise table.wrong(place, f"is set by {'num_ctx' if key == 'num_ctx' else 'answer_tokens'} of the runner")
        if key not in known:
            raise table.wrong(place, f"is unknown; allowed here: {', '.join(sorted(known))}")
        kinds = (float, int) if known[key] is float else (known[key],)
        fits = isinstance(value, kinds) and (isinstance(value, bool) == (known[key] is bool))
        if not fits or (isinstance(value, list) and not all(isinstance(one, str) for one in value)):
            raise table.wrong(place, f"takes {names[known[key]]}")
    return dict(options)


def _names(table: Table, key: str, runners: Collection[str]) -> tuple[str, ...]:
    """A list of some of these runners, which may be empty."""
    names: list[Any] = table.take(key, (list,), "a list of runners", [])
    for name in names:
        if not isinstance(name, str) or name not in runners:
            allowed = ", ".join(runners) or "none, since there is no other runner"
            raise table.wrong(key, f"names {str(name)[:80]!r}; allowed: {allowed}")
    if len(set(names)) < len(names):
        raise table.wrong(key, "names a runner twice")
    return tuple(names)


def _tiers(top: Table, runners: Mapping[str, RunnerProfile]) -> dict[str, tuple[str, ...]]:
    table = top.table("tiers")
    found: dict[str, tuple[str, ...]] = {}
    for tier in TIERS:
        if names := _names(table, tier, runners):
            found[tier] = names
    table.end()
    if not found:
        raise table.wrong("", f"is missing; it takes at least one of: {', '.join(TIERS)}")
    return found


def _commands(top: Table, tiers: Mapping[str, tuple[str, ...]], runners: Mapping[str, RunnerProfile]) -> dict[str, str]:
    table = top.table("commands")
    return {command: table.choice(command, (*tiers, *runners)) for command in table.value}


def _setting(table: Table) -> Setting:
    setting = Setting(*(table.text(key) for key in ("name", "seed", "ours", "why")))
    table.end()
    return setting


def _together(
    top: Table,
    nodes: Mapping[str, NodeConfig],
    runners: Mapping[str, RunnerProfile],
    embedding: EmbeddingModel | None,
) -> None:
    """What no table alone can break: one runner per model, one KV type and slot count per Ollama, places within slots.

    Sources: Ollama reloads a model whose window changes, and has one KV type and one number of slots for all models.
    """
    for node in nodes.values():
        here = [runner for runner in runners.values() if runner.node == node.name]
        if not here and (embedding is None or embedding.node != node.name):
            raise top.wrong(f"nodes.{node.name}", "runs nothing: no runner names it")
        for n, runner in enumerate(here):
            for other in here[:n]:
                if same_model(runner.model, other.model):
                    raise top.wrong(
                        f"runners.{runner.name}.model", f"is already run by {other.name} on node {node.name}"
                    )
                for key in ("kv_type", "slots") if node.kind == "ollama" else ():
                    if getattr(runner, key) != getattr(other, key):
                        allowed = getattr(other, key)
                        raise top.wrong(
                            f"runners.{runner.name}.{key}",
                            f"differs from {other.name} on node {node.name}, which has one for all; allowed: {allowed}",
                        )
        for runner in here:
            for name in runner.substitutes:
                if runners[name].node != node.name:
                    problem = f"names {name}, which is no other runner of node {node.name}"
                    raise top.wrong(f"runners.{runner.name}.substitutes", problem)
        places = sum(runner.slots for runner in here)
        if here and node.parallel > places:
            raise top.wrong(
                f"nodes.{node.name}.parallel", f"is {node.parallel}; the slots of its runners allow {places}"
            )
