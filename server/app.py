"""Builds the service from its configuration, and serves it until it is told to stop."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from server import api, edits_api, maps_api, modes_api, status
from server.api import House, Pipeline, Service, real_pipeline
from server.config import Config, marks, read_token, token_file, vault_dir
from server.errors import refusal
from server.runs import Runs
from server.security import Door, DoorProtocol, FrontDoor, door, is_loopback

Opener = Callable[[Config], Awaitable[House]]
# Parts of the two seconds in which the service ends: open answers, then the house.
_DRAIN_SECONDS = 1
_CLOSE_SECONDS = 0.3
# The process is gone by then, whatever a thread still does (reading a large vault, say).
_EXIT_SECONDS = 1.8
_BACKLOG = 1024


class ServeError(Exception):
    """The service cannot start; the message says why, for the person at the shell."""


def create_app(
    house: House | None, config: Config, *, pipeline: Pipeline | None = None, entrance: Door | None = None
) -> FastAPI:
    """The ASGI application.

    Args:
        house: what commands work with; None while it is being opened (then set it on `app.state.service`).
        config: the configuration in force.
        pipeline: the functions of the commands floor; None for the real ones.
        entrance: who may come in; None for the address and token of the configuration.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.service = Service(house, config, pipeline or real_pipeline(), Runs())
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refused)
    app.include_router(status.router)
    app.include_router(api.router)
    app.include_router(edits_api.router)
    app.include_router(maps_api.router)
    app.include_router(modes_api.router)
    app.add_middleware(FrontDoor, door=entrance or _entrance(config, config.port, read_token(config, create=True)))
    return app


async def _refused(_: Request, error: Exception) -> Response:
    return refusal(error).response()


def _entrance(config: Config, port: int, token: str) -> Door:
    return door(config.host, port, token, uds=config.uds, extra=config.origins)


class _Server(uvicorn.Server):
    """uvicorn whose signals are ours: open streams are told before they are closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def http_server(app: FastAPI) -> uvicorn.Server:
    """An HTTP server for the application: one process, since the queue of a graphics card has one owner."""
    config = uvicorn.Config(
        app,
        http=DoorProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="critical",  # faults are told by `errors`, without what clients sent
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    return _Server(config)


async def serve(
    config: Config,
    *,
    ready: Callable[[str], None],
    open_house: Opener | None = None,
    pipeline: Pipeline | None = None,
) -> int:
    """Serve a vault until SIGTERM or SIGINT; a second signal ends the process at once.

    Args:
        config: the configuration in force; port 0 takes a free one.
        ready: called once with the URL, when the vault is open and commands are answered.
        open_house: opens what commands work with; None for the real one.
        pipeline: the functions of the commands floor; None for the real ones.

    Returns:
        Exit code: 0 after a signal, 1 when the service could not start (told on stderr).
    """
    try:
        token = _token(config)
        folder = _folder(config)
        with _lock(folder), _listener(config) as listener:
            port = 0 if config.uds else listener.getsockname()[1]
            app = create_app(None, config, pipeline=pipeline, entrance=_entrance(config, port, token))
            await _serve(app, listener, _url(config, port), folder, open_house or _real_house, ready)
    except ServeError as error:
        sys.stderr.write(f"kos: {error}\n")
        return 1
    return 0


async def _serve(
    app: FastAPI, listener: socket.socket, url: str, folder: Path, open_house: Opener, ready: Callable[[str], None]
) -> None:
    service: Service = app.state.service
    server = http_server(app)
    with _signals() as stop:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        opening = asyncio.ensure_future(open_house(service.config))
        stopping = asyncio.create_task(stop.wait())
        asking: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({serving, opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                service.house = _opened(opening)
                # Nodes tell the sizes of their models, which the plan of memory was made without.
                asking = asyncio.create_task(service.house.fleet.states())
                with _announced(folder, url, service.config):
                    ready(url)
                    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await service.runs.close()
            server.should_exit = True
            await serving
            opening.cancel()
            stopping.cancel()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            if service.house is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(service.house.close(), _CLOSE_SECONDS)


def _opened(opening: "asyncio.Future[House]") -> House:
    """The house that was opened.

    Raises:
        ServeError: it could not be.
    """
    error = opening.exception()
    if error is None:
        return opening.result()
    if isinstance(getattr(error, "code", None), str) or isinstance(error, ValueError):
        raise ServeError(" ".join(filter(None, (str(error), getattr(error, "hint", ""))))) from None
    raise error


async def _real_house(config: Config) -> House:
    from server.house import open_house  # noqa: PLC0415 - brings in every part; tests of the edge bring their own

    return await open_house(config, watch=True)


def _token(config: Config) -> str:
    """The token of the service, made at first start.

    Raises:
        ServeError: the address can be reached from elsewhere and nobody has chosen or seen a token yet.
    """
    if not (config.uds or is_loopback(config.host) or config.token or token_file(config).exists()):
        raise ServeError(
            f"{config.host} can be reached from other machines, and there is no token yet: "
            "run `kos token` once, or set KOS_TOKEN"
        )
    return read_token(config, create=True)


def _folder(config: Config) -> Path:
    """The state folder of the vault.

    Raises:
        ServeError: it cannot be written.
    """
    try:
        return vault_dir(config)
    except OSError as error:
        raise ServeError(f"the state folder {config.state_dir} cannot be written: {error.strerror or error}") from None


def _url(config: Config, port: int) -> str:
    if config.uds:
        return "http://localhost"
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # noqa: S104 - it is replaced
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _listener(config: Config) -> Iterator[socket.socket]:
    """The bound socket; a Unix socket can be used by its owner only, and is removed at the end.

    Raises:
        ServeError: the address is taken or is none of this machine.
    """
    try:
        if config.uds:
            bound = _unix_socket(Path(config.uds))
        else:
            family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
            bound = socket.create_server((config.host, config.port), family=family, backlog=_BACKLOG)
            # For connections as well, which inherit it: the end of an answer would wait 40 ms for a receipt of its
            # beginning (Nagle's algorithm). asyncio does this only for sockets that name their protocol.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        where = config.uds or f"{config.host}:{config.port}"
        why = (error.strerror or str(error)).partition(" (while")[0]  # asyncio's sibling says the address again
        free = "" if config.uds else "; --port 0 takes a free port"
        raise ServeError(f"cannot listen on {where}: {why}{free}") from None
    try:
        yield bound
    finally:
        bound.close()
        if config.uds:
            Path(config.uds).unlink(missing_ok=True)


def _unix_socket(path: Path) -> socket.socket:
    if path.is_socket() and not _listens(path):  # left by a service that was killed
        path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(mask)
    bound.listen(_BACKLOG)
    return bound


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(1)
        try:
            link.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:  # busy, or not ours
            return True
        return True


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the vault's state folder for this process; the system lets go of it however the process ends.

    Raises:
        ServeError: another process holds it; says which.
    """
    with (folder / "lock").open("a+", encoding="utf-8") as held:
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415 - not on Windows

            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ServeError(f"this vault is already served by {_holder(folder)}; stop that one first") from None
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        (folder / "service.json").unlink(missing_ok=True)  # of a service that was killed
        yield


def _holder(folder: Path) -> str:
    holder = f"process {(folder / 'lock').read_text('utf-8').strip() or 'unknown'}"
    try:
        known = json.loads((folder / "service.json").read_text("utf-8"))
        return f"{holder} at {known['uds'] or known['url']}"
    except (OSError, ValueError, KeyError, TypeError):
        return holder


@contextlib.contextmanager
def _announced(folder: Path, url: str, config: Config) -> Iterator[None]:
    """While the service runs, `service.json` tells the command line where, and with what settings it works."""
    place = folder / "service.json"
    _write_private(place, {"url": url, "uds": config.uds, "pid": os.getpid(), "settings": marks(config)})
    try:
        yield
    finally:
        place.unlink(missing_ok=True)


def _write_private(place: Path, value: dict[str, Any]) -> None:
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".service-")  # made 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file)
    Path(name).replace(place)


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets; the second one ends the process there and then."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        last = threading.Timer(_EXIT_SECONDS, os._exit, (0,))
        last.daemon = True
        last.start()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        try:
            loop.add_signal_handler(number, told, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(told, number))
    try:
        yield stop
    finally:
        for number in numbers:
            signal.signal(number, before[number])
