"""Looks at everything the program needs, and says what was found and how to mend what is wrong."""

import asyncio
import os
import re
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from server.config import Config, ConfigError, read_token, token_file, vault_dir, vault_of

if TYPE_CHECKING:
    from inference.mode import Mode
    from inference.node import NodeState
    from inference.plan import NodePlan, Plan
    from inference.profile import EmbeddingModel, NodeConfig, Profile
    from inference.seat import Seat
    from server.client import Service

# The first Ollama without a known way for others to read memory of the machine it runs on (CVE-2026-7482).
OLLAMA_AT_LEAST = (0, 17, 1)
_ROOT = Path(__file__).parents[1]
_KNOCK_SECONDS = 0.5
_LEFT_FIX = "Until it answers, other nodes or the vault alone do. The log of the node says more."
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*([^;]*)(;.*extra\s*==.*)?")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        status: "ok", "warning" (everything works, but something ought to be known) or "broken".
        found: what was found.
        fix: how to mend it, "" when nothing need be done.
    """

    name: str
    status: str
    found: str
    fix: str = ""


Checks = Iterable[Check]
# What a running service tells of itself; {} where none runs or it does not answer.
Status = Mapping[str, Any]


def examine(load: Callable[[], Config], *, as_json: bool) -> int:
    """Look at everything and print what was found.

    Args:
        load: reads the configuration; it may be what is wrong.
        as_json: print one JSON object instead of lines.

    Returns:
        Exit code: 1 when something is broken.
    """
    from server.screen import Screen

    screen = Screen(silent=as_json)
    found = []
    try:
        for check in checks(load, screen.progress):
            found.append(check)
            line = f"{check.status:8} {check.name:14} {check.found}"
            (screen.write if check.status == "ok" else screen.heading)(line + "\n" * (check.status == "ok"))
            if check.fix:
                screen.write(f"{'':24}{check.fix}\n")
    finally:
        screen.clear()
    broken = [check.name for check in found if check.status == "broken"]
    if as_json:
        from server.wire import dump

        sys.stdout.buffer.write(dump({"ok": not broken, "checks": [asdict(check) for check in found]}) + b"\n")
    else:
        screen.write(f"\nBroken: {', '.join(broken)}.\n" if broken else "\nNothing is broken.\n")
    return 1 if broken else 0


def checks(load: Callable[[], Config], progress: Callable[[str], None] = lambda _: None) -> Iterator[Check]:
    """What is found, one by one. Whatever is missing, all that can be looked at without it is.

    A fact is told once: what cannot be known because of it has no line of its own, or says what it waits for.

    Args:
        load: reads the configuration; it may be what is wrong.
        progress: told what is being looked at where that takes a while.
    """
    yield from _safely("python", _python)
    yield from _safely("packages", _packages)
    yield from _safely("full text", _index)
    yield from _safely("prompts", _prompts)
    try:
        config = load()
    except ConfigError as error:
        yield Check("configuration", "broken", str(error), error.hint)
        return
    yield from _safely("configuration", _configuration, config)
    yield from _safely("time zone", _time_zone, config)
    yield from _safely("token", _token, config)
    yield from _safely("state folder", _state_folder, config)
    progress("reading the vault")
    vault = list(_safely("vault", _vault, config))
    yield from vault
    cache = list(_safely("cache", _cache, config))
    yield from cache
    status: dict[str, Any] = {}
    if vault[0].status != "broken":
        yield from _safely("service", _service, config, status, any(check.status == "broken" for check in cache))
        yield from _safely("decisions", _decisions, config, status)
    progress("asking the nodes")
    embeddings = _Embeddings()
    yield from _safely("profile", _profile, config, status, embeddings)
    if vault[0].status != "broken":
        yield from _safely("embeddings", _embeddings, config, status, embeddings)


def _safely(name: str, look: Callable[..., Checks], *arguments: Any) -> Checks:
    """A look that fails is a finding too: the doctor never falls ill itself."""
    try:
        yield from look(*arguments)
    except ConfigError as error:
        yield Check(name, "broken", str(error), error.hint)
    except OSError as error:
        yield Check(
            name, "broken", f"{error.filename or name}: {error.strerror or error}", "Give yourself the right to it."
        )
    except Exception as error:  # noqa: BLE001 - see above
        yield Check(name, "broken", f"cannot be looked at ({type(error).__name__}: {error})", _again())


def _again() -> str:
    """What to do about an installation that is not whole."""
    if (_ROOT / "kos").is_file():
        return "Start it as ./kos, which sets up what it needs; if you did, this is a fault of the program."
    return "Install Knowledge-OS again."


# --- the program


def _python() -> Checks:
    yield Check("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")


def _packages() -> Checks:
    from importlib import metadata

    needed, wrong = 0, []
    for requirement in _requirements():
        match = _REQUIREMENT.fullmatch(requirement)
        if match is None or match[3]:
            continue
        needed += 1
        name, wanted = match[1], match[2].strip()
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if not _fits(there, wanted):
            wrong.append(f"{name} is {there}, not {wanted}")
    if wrong:
        yield Check("packages", "broken", "; ".join(wrong), _again())
    else:
        yield Check("packages", "ok", f"all {needed} are there")


def _requirements() -> list[str]:
    """What the program needs, as its own metadata say: of the checkout, else of the installed package."""
    from importlib import metadata

    project = _ROOT / "pyproject.toml"
    if project.is_file():
        import tomllib

        return list(tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"])
    return metadata.requires("knowledge-os") or []


def _fits(version: str, wanted: str) -> bool:
    """Whether a version is within bounds such as ">=0.28.1,<0.29"."""
    bounds = [part.strip() for part in wanted.split(",") if part.strip()]
    lower = all(_numbers(version) >= _numbers(bound) for bound in bounds if bound.startswith(">="))
    return lower and all(_numbers(version) < _numbers(bound) for bound in bounds if re.match("<[^=]", bound))


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, without what follows a letter or a dash."""
    release = re.search(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, release[0].split("."))) if release else ()


def _index() -> Checks:
    try:
        from context.fulltext import FullText, FullTextError

        FullText(None, fresh=True).close()
    except (ImportError, FullTextError) as error:
        yield Check("full text", "broken", str(error), _again())
    else:
        yield Check("full text", "ok", f"tantivy, with the index in SQLite {sqlite3.sqlite_version}")


def _prompts() -> Checks:
    from commands.house import shipped_prompts
    from prompts import PromptError, shipped_text

    try:
        names = list(shipped_prompts())
        shipped_text("preamble")
    except PromptError as error:
        yield Check("prompts", "broken", str(error), _again())
    else:
        yield Check("prompts", "ok", ", ".join(names))


# --- what the configuration names


def _configuration(config: Config) -> Checks:
    if config.file is None or not config.file.is_file():
        yield Check(
            "configuration",
            "ok",
            f"no file at {config.file}: defaults, environment and flags",
            "`kos init` writes one.",
        )
    elif config.sources["token"] == "file" and _open_to_all(config.file):  # noqa: S105 - where it comes from
        fix = f"chmod 600 {config.file}"
        yield Check("configuration", "warning", f"{config.file} holds the token, and others can read it", fix)
    else:
        yield Check("configuration", "ok", str(config.file))


def _time_zone(config: Config) -> Checks:
    from context.calendar import calendar

    now = calendar(config.now, config.timezone).now
    found = f"{config.timezone or now.tzname()}, {now:%A %Y-%m-%d %H:%M}"
    if config.now:
        yield Check(
            "time zone",
            "warning",
            f"the present is fixed: {found}",
            f"Set by {config.sources['now']}; take `now` away to follow the clock.",
        )
    else:
        yield Check("time zone", "ok", found)


def _token(config: Config) -> Checks:
    file = token_file(config)
    if config.token:
        yield Check("token", "ok", f"set by {config.sources['token']}")
    elif not file.exists():
        yield Check("token", "ok", "none yet", "`kos token` or the first `kos serve` makes it.")
    else:
        read_token(config)
        if _open_to_all(file):
            yield Check("token", "broken", f"others can read {file}", f"chmod 600 {file}, or remove it for a new one.")
        else:
            yield Check("token", "ok", str(file))


def _state_folder(config: Config) -> Checks:
    folder = config.state_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    made = "" if folder == config.state_dir else " (made when it is first needed)"
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        fix = "Give yourself the right to write there, or name another folder with KOS_STATE_DIR."
        yield Check(
            "state folder", "broken", f"{folder} cannot be written: nothing is kept, every start reads all notes", fix
        )
    elif not made and _open_to_all(folder):
        yield Check("state folder", "warning", f"others can look into {folder}", f"chmod 700 {folder}")
    else:
        yield Check("state folder", "ok", f"{config.state_dir}{made}")


def _open_to_all(path: Path) -> bool:
    """Whether others than its owner may use a file or folder; Windows keeps that elsewhere."""
    return bool(path.stat().st_mode & 0o077) and sys.platform != "win32"


def _vault(config: Config) -> Checks:
    from commands.survey import is_template
    from context.index import Index
    from context.vault import Vault, VaultError
    from server.house import vault_options

    vault_of(config)
    options = vault_options(config)
    try:
        file = vault_dir(config) / "index.sqlite"
    except OSError:
        file = None
    index = Index(file, made_with=options.fingerprint)
    try:
        vault = Vault(vault_of(config), index, options)
    except VaultError as error:
        index.close()
        yield Check("vault", "broken", str(error), error.hint)
        return
    vault.close()
    notes = vault.snapshot.notes
    ignored = vault.snapshot.settings.ignored
    left = [f"{vault.skipped} left out (conflict copies, links out of the vault)"] * bool(vault.skipped)
    left += [f"not looked at, as Obsidian is told: {', '.join(ignored)}"] * bool(ignored)
    found = "; ".join([f"{vault.root}: {len(notes)} notes, {len(vault.snapshot.maps)} maps", *left])
    yield Check(
        "vault", "ok" if notes else "warning", found, "" if notes else "Is this the folder that Obsidian opens?"
    )
    # As `kos validate` counts: what stands in a template is not yet what a note will have.
    flagged = [note for note in notes.values() if note.flags and not is_template(vault.snapshot, note.path)]
    if flagged:
        first = "; ".join(f"{note.path} ({note.flags[0]})" for note in flagged[:3])
        fix = "`kos validate` lists them all, and what to do."
        yield Check("flagged notes", "warning", f"{len(flagged)} cannot be read whole: {first}", fix)
    if file is not None:
        yield Check("index", "ok", f"{file} ({file.stat().st_size / 1e6:.1f} MB)")


def _cache(config: Config) -> Checks:
    from context.cache import Address, open_cache, parse_setting

    try:
        folder = vault_dir(config)
    except (ConfigError, OSError):
        folder = None
    path = folder / "cache.sqlite" if folder else None
    cache = open_cache(config.cache, vault_id=folder.name if folder else "unnamed", path=path)
    try:
        cache.get("doctor")
        stats = cache.stats()
    finally:
        cache.close()
    held = f", {stats.entries} values" if stats.entries is not None else ""
    if isinstance(parse_setting(config.cache), Address) and stats.last_error:
        fix = "Start that Redis, or correct `cache`. Until then a SQLite file stands in for it."
        yield Check("cache", "broken", f"{stats.name} does not answer ({stats.last_error})", fix)
    elif stats.last_error:
        yield Check(
            "cache", "warning", f"{stats.name}: {stats.last_error}", "Nothing is lost: what is not kept is made anew."
        )
    else:
        yield Check("cache", "ok", f"{stats.name}{held}")


def _service(config: Config, status: dict[str, Any], cache_told: bool) -> Checks:
    """The service, if one runs; what it tells of itself goes into `status`.

    Args:
        config: names the vault.
        status: filled.
        cache_told: that the cache is away has been told already.
    """
    from server.client import ServiceError, ask, find

    service = find(config)
    if service is None:
        yield Check(
            "service", "ok", "none runs for this vault; commands run in their own process", "`kos serve` starts one."
        )
        return
    try:
        status.update(ask(service, "GET", "/v1/status", seconds=10))
    except ServiceError as error:
        yield Check("service", "broken", f"{service}: {error}", error.hint)
        return
    cache = status["cache"]
    found = f"process {service.pid} at {service}; its cache is {cache['live']}{_spared(cache['kinds'])}"
    if cache["live"] != cache["name"] and not cache_told:
        fix = f"{cache['name']} is away ({cache['last_error']}); it is asked again every few seconds."
        yield Check("service", "warning", found, fix)
    elif other := _other(config, service):
        fix = (
            "What is said of models and the rest here need not hold for it. Give the doctor the same, or start it anew."
        )
        yield Check("service", "warning", f"{found}; it was started with another {', another '.join(other)}", fix)
    else:
        yield Check("service", "ok", found)


def _other(config: Config, service: "Service") -> list[str]:
    """The options for which a service works with another value than is looked at here."""
    from server.config import marks

    mine = marks(config)
    return [name for name, mark in service.settings.items() if mine.get(name, mark) != mark]


def _decisions(config: Config, status: Status) -> Checks:
    """Whether decisions are written down: as a running service tells, else as the file stands."""
    from inference.ledger import FILE
    from server.config import vault_folder

    told = status.get("decisions")
    file = vault_folder(config) / FILE
    if told and told["lost"]:
        found = f"{told['lost']} could not be written down"
        why = f" ({told['error']})" if told["error"] else ""
        yield Check("decisions", "warning", f"{found}{why}", "Commands work; only their record has holes.")
    elif not file.exists():
        yield Check("decisions", "ok", "none is kept yet")
    elif not os.access(file, os.R_OK | os.W_OK):
        fix = f"Give yourself the right to write {file}. Commands work; only their record has holes."
        yield Check("decisions", "warning", f"{file} cannot be written", fix)
    elif _open_to_all(file):
        yield Check("decisions", "warning", f"others can read {file}", f"chmod 600 {file}")
    else:
        yield Check("decisions", "ok", f"{file} ({file.stat().st_size / 1e6:.1f} MB)")


def _spared(kinds: dict[str, dict[str, Any]]) -> str:
    """How much of what was asked of a cache it had, in words."""
    told = [
        f"{round(100 * rated['rate'])} % of {rated['hits'] + rated['misses']} {kind}s"
        for kind, rated in kinds.items()
        if rated["rate"] is not None
    ]
    return f", which had {' and '.join(told)}" if told else ""


@dataclass(slots=True)
class _Embeddings:
    """What the look at the nodes found of embeddings: what is missing for them, "" for nothing."""

    missing: str = ""


def _embeddings(config: Config, status: Status, seen: _Embeddings) -> Checks:
    """How many notes have their vectors: as a running service tells, else as its file does."""
    from importlib.util import find_spec

    from context.vector_file import count_notes

    if config.embeddings == "off":
        return
    if find_spec("numpy") is None:
        fix = 'Install `knowledge-os[embeddings]`, or set embeddings = "off".'
        yield Check("embeddings", "broken", "they are on, and numpy is not installed: search goes by words alone", fix)
        return
    told = status.get("embeddings")
    if told is None:
        kept = count_notes(vault_dir(config) / "vectors.db")
        yield Check("embeddings", "ok", f"on; {kept} notes have been looked at", "`kos serve` embeds the rest.")
        return
    notes = told["notes"]
    found = f"{told['model']}: {notes['embedded']} of {notes['total']} notes, {told['state']}"
    if told["last_fault"] and seen.missing:
        yield Check("embeddings", "ok", f"{found}; not asked: {seen.missing}")
    elif told["last_fault"]:
        fix = "Until that is mended search goes by words alone, and says so."
        yield Check("embeddings", "warning", f"{found}; {told['last_fault']}", fix)
    else:
        yield Check("embeddings", "ok", found)


# --- the nodes


def _profile(config: Config, status: Status, embeddings: _Embeddings) -> Checks:
    """The profile, its nodes and their memory; what is missing for embeddings goes into `embeddings`."""
    from inference.profile import ProfileError
    from server.house import profile_of

    try:
        profile = profile_of(config)
    except ProfileError as error:
        yield Check("profile", "broken", str(error), "`kos config` tells where the profile is named.")
        return
    yield Check("profile", "ok", f"{profile.name}: {', '.join(profile.runners)}")
    embedding = profile.embedding if config.embeddings == "on" else None
    states, plan, modes = asyncio.run(_states(config, profile, embeds=embedding is not None))
    left = _left_alone(status.get("nodes", ()))
    for state in states:
        node = profile.nodes[state.name]
        yield from _node(profile, node, state, embedding, left.pop((node.name, node.url), ""))
        yield from _mode(node, modes.get(state.name))
    for (name, url), told in left.items():  # the service has a profile or an address of its own
        yield Check(f"node {name}", "warning", f"the service has it at {url} and {told}", _LEFT_FIX)
    known = {state.name: state for state in states}
    for planned in plan.nodes:
        yield from _memory(planned, known[planned.node.name])
    if embedding is not None:
        state = known[embedding.node]
        if not state.reachable:
            embeddings.missing = f"node {state.name} does not answer"
        elif _lists(state, profile.nodes[state.name]) and not _has(state, embedding.model):
            embeddings.missing = f"{embedding.model} is not on node {state.name}"


def _left_alone(nodes: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Nodes, by name and address, that the service asks nothing of after failures, and how it says that."""
    left = {}
    for node in nodes:
        breaker = node["breaker"]
        if breaker["state"] == "closed":
            continue
        wait, failures = breaker["probe_seconds"], breaker["failures"]
        after = f" after {failures} failure{'s' * (failures != 1)} in a row" if failures else ""
        then = "the next request goes there to see" if wait is None else f"it is asked again in {wait:.1f} s"
        left[node["name"], node.get("url", "")] = f"leaves it alone{after} ({breaker['last_error']}); {then}"
    return left


async def _states(
    config: Config, profile: "Profile", *, embeds: bool
) -> "tuple[tuple[NodeState, ...], Plan, dict[str, Mode]]":
    from inference.fleet import Fleet
    from inference.mode import FILE

    fleet = Fleet(profile, embeds=embeds, modes_file=config.state_dir / FILE)
    try:
        return await fleet.states(), fleet.plan, fleet.modes.all()
    finally:
        await fleet.close()


def _mode(node: "NodeConfig", mode: "Mode | None") -> Checks:
    """A node whose mode keeps work away."""
    from inference.policy import mode_hint, why_gated

    if mode is not None and (why := why_gated(node, mode.mode, mode.age)):
        yield Check(f"node {node.name}", "warning", f"{why}{f' ({mode.error})' if mode.error else ''}", mode_hint(node))


def _memory(node: "NodePlan", state: "NodeState") -> Checks:
    """What each model takes, by the plan, and what stays loaded together.

    Of a model that the node does not tell of, because it is away or has it not, nothing more is said.
    """
    from server.planning import budget, residents

    for seat in node.seats:
        missing = not state.reachable or (_lists(state, node.node) and not _has(state, seat.runner.model))
        if seat.need is not None or not missing:
            yield _seat(seat)
    if node.finding:
        fix = '`kos plan-memory` shows the numbers: shorten a window, or let one go with a keep_alive such as "5m".'
        yield Check("memory", "warning", f"{node.finding} ({budget(node)})", fix)
    else:
        yield Check("memory", "ok", "; ".join(filter(None, (f"{node.node.name}: {budget(node)}", residents(node)))))


def _seat(seat: "Seat") -> Check:
    from inference.seat import OVER
    from server.planning import ALARM_FIX, cpu_part, nearest

    tiers = f" for {', '.join(seat.tiers)}" if seat.tiers else ""
    name = f"{seat.runner.model}{tiers}"
    if seat.verdict == OVER:
        return Check("memory", "broken", f"{name} is not used: {seat.why}", nearest(seat))
    if seat.alarm:
        return Check("memory", "warning", f"{name}: {seat.alarm}", ALARM_FIX)
    if seat.need is None:
        return Check("memory", "warning", f"{name}: {seat.why}", "It is used all the same.")
    if seat.need.host and seat.need.share:
        return Check("memory", "ok", f"{name}: {seat.why}, as declared ({cpu_part(seat)})")
    return Check("memory", "ok", f"{name}: {seat.why}")


def _node(
    profile: "Profile", node: "NodeConfig", state: "NodeState", embedding: "EmbeddingModel | None", left: str
) -> Checks:
    """A node and its models; `left` is how the service leaves it alone, "" if it does not."""
    name = f"node {node.name}"
    if not state.reachable:  # which is why the service leaves it alone
        yield Check(name, "broken", f"{state.error}; commands answer from the vault alone", state.hint)
        return
    if state.error:
        yield Check(name, "warning", state.error, state.hint)
        return
    kind = "Ollama" if node.kind == "ollama" else "server"
    there = f"{kind} {state.version} at {node.url} ({node.klass})".replace("  ", " ")
    if left:
        yield Check(name, "warning", f"{there}; the service {left}", _LEFT_FIX)
    else:
        yield Check(name, "ok", there)
    if node.kind == "ollama" and (0,) < _numbers(state.version) < OLLAMA_AT_LEAST:
        least = ".".join(map(str, OLLAMA_AT_LEAST))
        yield Check(name, "warning", f"Ollama {state.version} has known holes", f"Update it to {least} or newer.")
    if node.klass == "local" and _open_to_others(node.url):
        found = "other machines can reach it, and it asks nobody for a password"
        yield Check(name, "warning", found, "Start it with OLLAMA_HOST=127.0.0.1, or guard the port.")
    yield from _models(profile, node, state)
    if embedding is not None and embedding.node == node.name and _lists(state, node):
        yield _embedding_model(embedding, node, state)


def _lists(state: "NodeState", node: "NodeConfig") -> bool:
    """Whether a node tells which models it has: some servers tell of none."""
    return node.kind == "ollama" or bool(state.models)


def _has(state: "NodeState", model: str) -> bool:
    from inference.profile import same_model

    return any(same_model(one, model) for one in state.models)


def _embedding_model(embedding: "EmbeddingModel", node: "NodeConfig", state: "NodeState") -> Check:
    if _has(state, embedding.model):
        return Check("model", "ok", f"{embedding.model} for embeddings")
    fix = f"ollama pull {embedding.model}" if node.kind == "ollama" else "Serve it there, or name another."
    return Check("model", "broken", f"{embedding.model} for embeddings is not on node {node.name}", fix)


def _models(profile: "Profile", node: "NodeConfig", state: "NodeState") -> Checks:
    from inference.profile import same_model

    for runner in profile.runners.values():
        if runner.node != node.name or not _lists(state, node):
            continue
        uses = [tier for tier, names in profile.tiers.items() if runner.name in names]
        role = f" for {', '.join(uses)}" if uses else ""
        loaded = [one for one in state.loaded if same_model(one.model, runner.model)]
        if not _has(state, runner.model):
            fix = f"ollama pull {runner.model}" if node.kind == "ollama" else "Serve it there, or name another."
            yield Check("model", "broken", f"{runner.model}{role} is not on node {node.name}", fix)
        elif node.memory is None and not runner.offload and any(one.size_vram < one.size for one in loaded):
            fix = "Close what else uses the GPU, or take a profile with a smaller model or window."
            yield Check("model", "warning", f"{runner.model}{role}: a part of it runs on the CPU", fix)
        else:
            yield Check("model", "ok", f"{runner.model}{role}" + (", loaded" if loaded else ""))


def _open_to_others(url: str) -> bool:
    """Whether a server of this machine answers at its outward address too: then it is not bound to loopback alone."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which of our addresses others would see
            outward = probe.getsockname()[0]
        place = urlsplit(url)
        with socket.create_connection((outward, place.port or 80), _KNOCK_SECONDS):
            return not outward.startswith("127.")
    except OSError:
        return False
