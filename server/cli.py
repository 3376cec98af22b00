"""The kos command line: each command asks the running service of the vault, else works in this process."""

import errno
import io
import math
import os
import sys
from argparse import Namespace
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, closing, suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from pathlib import Path

    from commands.events import Event
    from commands.house import House
    from server.client import Service
    from server.config import Config
    from server.screen import Screen

T = TypeVar("T")

# Exit codes; a failure that is not named here is 1.
FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
EXIT: Mapping[str, int] = {"invalid": USAGE, "node_unavailable": 3, "model_missing": 4, "over_budget": 4}
# Given by hand, these say what a service that already runs may not work with: the command then runs in this process.
_OF_THIS_PROCESS = ("profile", "ollama_url", "cache")
# After Ctrl-C, what a thread still does (reading a large vault, say) is not waited for any longer, in seconds.
_LEAVE_SECONDS = 1.5


class ConfigFileExistsError(Exception):
    """The configuration file is there already."""

    code = "conflict"
    hint = "Edit it, or have it overwritten with --force."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what stands after the program's name; None for those of this process.

    Returns:
        Exit code: 0 done, 1 failure, 2 usage or configuration, 3 no node reachable, 4 model missing or over the memory
        budget, 130 interrupted, 141 the reader of the output went away.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _make_writable()
    try:
        code = _told(given)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        with suppress(OSError):
            _say("interrupted")
        return INTERRUPTED
    except OSError as error:
        with suppress(OSError):
            _say(f"the output cannot be written ({error.strerror or error})")
        _drop_output()
        return FAILED
    return code


def _told(given: Sequence[str]) -> int:
    """Run one command; an error that says what is wrong is told as such, any other is a fault of the program.

    Raises:
        OSError: standard output cannot be written.
    """
    try:
        return _run(given)
    except Exception as error:
        data = _failure(error)
        if data is None:
            raise
        return _fail(data, as_json="--json" in given)


def _failure(error: Exception) -> Mapping[str, Any] | None:
    """The data of an error that is told: those that name themselves by a code, and files that cannot be used."""
    if isinstance(getattr(error, "code", None), str):
        known = {name: getattr(error, name, None) for name in ("code", "hint", "run", "retry_after")}
        return {**known, "message": str(error), **(getattr(error, "details", None) or {})}
    if isinstance(error, OSError) and error.filename is not None:
        code = "disk_full" if error.errno == errno.ENOSPC else "internal"
        return {"code": code, "message": f"{error.filename}: {error.strerror}"}
    return None


def _run(given: Sequence[str]) -> int:
    if given[:1] == ["--version"]:  # does not wait for a parser
        return _version()
    from server.parser import parse, parser

    try:
        arguments = parse(given)
    except SystemExit:  # help, which is still to be written out
        return 0
    if arguments.version:
        return _version()
    if not arguments.command:
        sys.stderr.write(parser().format_help())
        return USAGE
    return _COMMANDS.get(arguments.command, _ask)(arguments)


def _version() -> int:
    from server.version import version

    print(f"kos {version()}")
    return 0


def _config(arguments: Namespace) -> "Config":
    from server.config import config_file, load
    from server.parser import flags

    path = config_file({"KOS_CONFIG": arguments.config}) if "config" in arguments else None
    return load(flags(arguments), os.environ, path)


# --- the commands that ask


def _ask(arguments: Namespace) -> int:
    from server.screen import Screen

    config, fields, service = _prepared(arguments)
    screen = Screen(stream=arguments.stream, silent=arguments.json)
    try:
        if service:
            _ask_service(service, arguments.command, fields, screen)
        else:
            _log_to_stderr("kos: %(message)s")
            screen.progress("reading the vault")
            _in_process(_ask_here(config, arguments.command, fields, screen))
    finally:
        screen.clear()
    return _conclude(screen, arguments)


def _context(arguments: Namespace) -> int:
    from server.client import ask
    from server.passages import show
    from server.screen import Screen
    from server.wording import as_typed

    config, fields, service = _prepared(arguments)
    screen = Screen(silent=arguments.json)
    try:
        if service:
            found = ask(service, "POST", "/v1/context", fields)
        else:
            _log_to_stderr("kos: %(message)s")
            screen.progress("reading the vault")
            found = _in_process(_context_here(config, fields))
    finally:
        screen.clear()
    if arguments.json:
        _print_json(found)
        return 0
    show(screen, found | {"findings": as_typed(found.get("findings", ()), arguments)})
    return 0


def _map(arguments: Namespace) -> int:
    from server.client import ask
    from server.mapping import address, show
    from server.screen import Screen

    config = _config(arguments)
    service = _service(config, arguments)
    name = " ".join(arguments.text)
    screen = Screen(silent=arguments.json)
    try:
        if service:
            found = ask(service, "GET", address(name, config))
        else:
            _log_to_stderr("kos: %(message)s")
            screen.progress("reading the vault")
            found = _in_process(_map_here(config, name))
    finally:
        screen.clear()
    if arguments.json:
        _print_json(found)
    else:
        show(screen, found)
    return 0


async def _map_here(config: "Config", name: str) -> dict[str, Any]:
    from context.atlas import told
    from context.calendar import calendar
    from context.members import members_of

    house = await _open(config)
    try:
        return told(members_of(house.vault.snapshot, calendar(config.now, config.timezone)), name)
    finally:
        await house.close()


def _service(config: "Config", arguments: Namespace) -> "Service | None":
    """The service of the vault if one runs and the person asks for nothing that it does not work with.

    What else was set for this command, and is not what the service works with, is told.
    """
    from server.client import find
    from server.screen import Screen

    if any(config.sources[name] == "flag" for name in _OF_THIS_PROCESS):
        return None
    service = find(config)
    unlike = _unlike(config, service, arguments) if service else []
    if unlike:
        told = f"the running service decides {', '.join(unlike)}: it was started with other settings"
        hint = "Start it anew with these. With --profile, --ollama-url or --cache a command runs in its own process."
        Screen(silent=arguments.json).notice(told, hint)
    return service


def _unlike(config: "Config", service: "Service", arguments: Namespace) -> list[str]:
    """What was set for this command alone and is not what a service works with, each as it was set."""
    from server.config import marks
    from server.options import OPTIONS

    named = "config" in arguments or bool(os.environ.get("KOS_CONFIG"))
    mine, ways = marks(config), []
    for option in OPTIONS:
        source, mark = config.sources[option.name], mine.get(option.name)
        way = {"flag": option.flag, f"environment {option.env}": option.env, "file": option.name * named}.get(source)
        if way and service.settings.get(option.name, mark) != mark:
            ways.append(way)
    return ways


def _prepared(arguments: Namespace) -> "tuple[Config, dict[str, Any], Service | None]":
    """The configuration, the request, and the service to send it to if one runs."""
    from server.config import vault_of
    from server.parser import request

    config = _config(arguments)
    fields = request(arguments, vault_of(config))
    # A service has a configuration of its own: the person's day travels with the request.
    fields |= {name: value for name in ("now", "timezone") if (value := getattr(config, name))}
    return config, fields, _service(config, arguments)


def _ask_service(service: "Service", command: str, fields: Mapping[str, Any], screen: "Screen") -> None:
    from server.client import events

    with closing(events(service, command, fields)) as stream:
        for event in stream:
            screen.event(event)


async def _ask_here(config: "Config", command: str, fields: Mapping[str, Any], screen: "Screen") -> None:
    import secrets

    from commands.request import Request
    from commands.run import run

    house = await _open(config)
    try:
        stream = run(house, command, Request(**fields), run_id=secrets.token_hex(8))
        async with aclosing(cast("AsyncGenerator[Event, None]", stream)):
            async for event in stream:
                screen.event(event)
    finally:
        await house.close()


async def _context_here(config: "Config", fields: Mapping[str, Any]) -> dict[str, Any]:
    from commands.contexts import build_context
    from commands.request import Request

    house = await _open(config)
    try:
        return await build_context(house, Request(**fields))
    finally:
        await house.close()


async def _open(config: "Config") -> "House":
    from server.config import ConfigError
    from server.house import open_house

    try:
        return await open_house(config)
    except ConfigError:
        raise
    except ValueError as error:  # a profile or a cache setting that cannot be used
        raise ConfigError(str(error)) from None


def _in_process(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine; Ctrl-C cancels it and all it began."""
    import asyncio
    import threading

    async def watched() -> T:
        try:
            return await work
        except asyncio.CancelledError:
            leave = threading.Timer(_LEAVE_SECONDS, os._exit, (INTERRUPTED,))
            leave.daemon = True
            leave.start()
            raise

    return asyncio.run(watched())


def _conclude(screen: "Screen", arguments: Namespace) -> int:
    """Show how a run ended."""
    from server.wording import as_typed

    final = screen.final
    if final is None:  # `run` and `events` promise one
        raise RuntimeError("a run gave no final event")
    if final.name == "failed":
        return _fail(final.data, as_json=arguments.json)
    if arguments.json:
        _print_json(final.data)
    else:
        findings = as_typed(final.data["findings"], arguments)
        screen.done({**final.data, "findings": findings}, dry_run=arguments.dry_run)
    return 0


# --- the other commands


def _serve(arguments: Namespace) -> int:
    import asyncio

    from server.app import serve
    from server.config import token_file, vault_of
    from server.screen import Screen

    config = _config(arguments)
    vault = vault_of(config)
    screen = Screen(silent=arguments.json)
    _log_to_stderr("%(asctime)s %(levelname)s %(message)s")

    def ready(url: str) -> None:
        if arguments.json:
            _print_json({"url": url, "token_file": str(token_file(config)), "pid": os.getpid()})
        else:
            screen.write(f"Knowledge-OS serves {vault} at {config.uds or url}\n")
            screen.write(f"Try it:\n  {_curl(config, arguments, url)}\n")

    screen.progress("reading the vault")
    try:
        return asyncio.run(serve(config, ready=ready))
    finally:
        screen.clear()


def _curl(config: "Config", arguments: Namespace, url: str) -> str:
    """A line for the shell that asks the service for a briefing."""
    import shlex

    # What leads to the token is said again unless every shell finds it.
    options = [] if config.sources["state_dir"] in ("default", "file") else ["--state-dir", str(config.state_dir)]
    options += ["--config", str(config.file)] if "config" in arguments or os.environ.get("KOS_CONFIG") else []
    token = f"{_program()} {shlex.join(['token', *options])}"
    socket = f"--unix-socket {shlex.quote(config.uds)} " if config.uds else ""
    return (
        f'curl {socket}-H "Authorization: Bearer $({token})" -H "Content-Type: application/json" '
        f"-d '{{}}' {url}/orient"
    )


def _program() -> str:
    """How this program is called from the current folder."""
    import shlex
    import shutil
    from pathlib import Path

    script = Path(__file__).parents[1] / "kos"
    if script.is_file():  # a checkout
        return "./kos" if script.parent == Path.cwd() else shlex.quote(str(script))
    called = Path(sys.argv[0])
    known = shutil.which(called.name)
    return shlex.quote(called.name if known and called.exists() and Path(known).samefile(called) else str(called))


def _token(arguments: Namespace) -> int:
    from server.config import read_token, token_file

    config = _config(arguments)
    print(token_file(config) if arguments.path else read_token(config, create=True))
    return 0


def _show_config(arguments: Namespace) -> int:
    from server.config import rows
    from server.screen import line_of

    config = _config(arguments)
    there = config.file is not None and config.file.is_file()
    table = rows(config)
    if arguments.json:
        _print_json({"file": str(config.file), "exists": there, "options": table})
        return 0
    print(f"file: {line_of(str(config.file))}" + ("" if there else " (not there; `kos init` writes it)"))
    names, values = max(len(row["option"]) for row in table), [_shown(row["value"]) for row in table]
    width = min(max(map(len, values)), 48)
    for row, value in zip(table, values, strict=True):
        print(f"{row['option']:{names}}  {value:{width}}  {row['source']}")
    return 0


def _shown(value: Any) -> str:
    from server.screen import line_of

    return line_of(", ".join(value) if isinstance(value, list | dict) else str(value)) or "-"


def _edits(arguments: Namespace) -> int:
    from server import editing

    act = editing.undo if arguments.command == "undo" else editing.edits
    found = act(arguments, _config(arguments))
    if arguments.json:
        _print_json(found)
    return 0


def _plugin(arguments: Namespace) -> int:
    from server.plugin import install

    found = install(arguments, _config(arguments))
    if arguments.json:
        _print_json(found)
    return 0


def _doctor(arguments: Namespace) -> int:
    from server.doctor import examine

    return examine(lambda: _config(arguments), as_json=arguments.json)


def _plan_memory(arguments: Namespace) -> int:
    from server.planning import show
    from server.screen import Screen

    code, plan = show(_config(arguments), Screen(silent=arguments.json), as_json=arguments.json)
    if arguments.json:
        _print_json(plan)
    return code


def _decisions(arguments: Namespace) -> int:
    from server.deciding import show
    from server.screen import Screen

    code, found = show(_config(arguments), arguments, Screen(silent=arguments.json))
    if arguments.json:
        _print_json(found)
    return code


def _mode(arguments: Namespace) -> int:
    from server.modes import show
    from server.screen import Screen

    config = _config(arguments)
    found = show(config, _service(config, arguments), arguments, Screen(silent=arguments.json))
    if arguments.json:
        _print_json(found)
    return 0


def _eval(arguments: Namespace) -> int:
    import asyncio

    from server.evaluation import evaluate
    from server.screen import Screen

    config, screen = _config(arguments), Screen(silent=arguments.json)
    found = _in_process(asyncio.to_thread(evaluate, arguments, config, screen))
    if arguments.json:
        _print_json(found)
    return 0


def _init(arguments: Namespace) -> int:
    from pathlib import Path

    from server.config import ConfigError, config_file, load, vault_of
    from server.options import OPTIONS, template
    from server.parser import flags

    given = flags(arguments)
    # The file that is there may be the one that cannot be read: only the options given here are looked at.
    config = load(given, {"KOS_CONFIG": os.devnull})
    if "vault" in given:
        vault_of(config)
    values = {option.name: getattr(config, option.name) for option in OPTIONS if option.name in given}
    text = template({name: str(value) if isinstance(value, Path) else value for name, value in values.items()})
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(
            "a path given here is not UTF-8, and cannot stand in the file", "Rename the folder."
        ) from None
    file = config_file({"KOS_CONFIG": arguments.config} if "config" in arguments else os.environ)
    _write_new(file, data, force=arguments.force)
    print(f"wrote {file}")
    if "vault" not in given:
        print("Set `vault` in it, or KOS_VAULT, to the folder of your vault.")
    print("`kos doctor` tells what else is needed.")
    return 0


def _write_new(file: "Path", data: bytes, *, force: bool) -> None:
    """Write the configuration file, readable by its owner only: it may come to hold a token.

    Raises:
        ConfigFileExistsError: it is there already.
        OSError: it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    place = file.with_name(f".{file.name}-{os.getpid()}") if force else file
    try:
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigFileExistsError(f"the configuration file {file} is there already") from None
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
        place.replace(file)
    except OSError:
        place.unlink(missing_ok=True)
        raise


# --- the terminal


def _fail(data: Mapping[str, Any], *, as_json: bool) -> int:
    """Tell a failure, as the object that HTTP answers with or in words; its exit code."""
    code, hint = data["code"], data.get("hint") or ""
    if as_json:
        error = {"code": code, "message": data["message"], "hint": hint, "run": data.get("run")}
        _print_json({"error": error, **_beside(data)})
        return EXIT.get(code, FAILED)
    if data.get("retry_after"):
        hint = f"{hint} Try again in {math.ceil(data['retry_after'])} s.".strip()
    _say(data["message"], hint)
    return EXIT.get(code, FAILED)


def _beside(data: Mapping[str, Any]) -> dict[str, Any]:
    from server.wire import BESIDE

    return {name: data[name] for name in BESIDE if name in data}


def _say(message: str, hint: str = "") -> None:
    from server.screen import Screen

    Screen().notice(message, hint)


def _print_json(value: Any) -> None:
    """One line of JSON in UTF-8, whatever the encoding of the terminal."""
    from server.wire import dump

    sys.stdout.flush()
    sys.stdout.buffer.write(dump(value) + b"\n")
    sys.stdout.flush()


def _log_to_stderr(form: str) -> None:
    import logging

    logging.basicConfig(format=form)


def _make_writable() -> None:
    """Words that the terminal's encoding lacks become "?", and closed streams swallow what is written."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that Python has nothing to complain about when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


_COMMANDS: Mapping[str, Callable[[Namespace], int]] = {
    "context": _context,
    "map": _map,
    "serve": _serve,
    "edits": _edits,
    "undo": _edits,
    "plugin": _plugin,
    "token": _token,
    "doctor": _doctor,
    "plan-memory": _plan_memory,
    "decisions": _decisions,
    "mode": _mode,
    "eval": _eval,
    "config": _show_config,
    "init": _init,
}
