"""Speaks to a running service of the vault, over TCP or its Unix socket."""

import http.client
import json
import os
import socket
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from commands.events import FINAL, Event
from server.config import Config, ConfigError, read_token, vault_folder
from server.wire import BESIDE

# Seconds: to find out whether a service lives; of silence (it says something every 10); for an answer without a stream.
ALIVE_SECONDS = 1.0
SILENCE_SECONDS = 30.0
ANSWER_SECONDS = 120.0


class ServiceError(Exception):
    """The service refused, or went away.

    Attributes:
        code: one of `server.errors.STATUS`; "upstream" when it went away.
        hint: what to do about it.
        run: id of the run it ended, or None.
        retry_after: seconds after which trying again is useful, or None.
        details: what stood beside the error, by its name in `server.wire.BESIDE`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        run: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.run = run
        self.retry_after = retry_after
        self.details = dict(details or {})


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs.

    Attributes:
        url: where it listens.
        uds: the Unix socket it listens on instead, or "".
        pid: its process.
        token: what it wants to be shown.
        settings: what it works with, as `server.config.marks` has it; empty if it does not say.
    """

    url: str
    uds: str
    pid: int
    token: str = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.uds or self.url


def find(config: Config) -> Service | None:
    """The service of this vault, if one is alive: its process is there and it answers.

    Raises:
        ConfigError: the vault is not there.
    """
    try:
        known = json.loads((vault_folder(config) / "service.json").read_text("utf-8"))
        place = str(known["url"]), str(known["uds"]), int(known["pid"])
        service = Service(*place, _token(config), dict(known.get("settings", {})))
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        return None
    return service if _is_process(service.pid) and _answers(service) else None


def _token(config: Config) -> str:
    try:
        return read_token(config)
    except ConfigError:
        return ""  # the service will say that it wants one


def _is_process(pid: int) -> bool:
    if sys.platform == "win32":  # there, signal 0 is no question but Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid > 0


def _answers(service: Service) -> bool:
    try:
        with closing(_Connection(service, ALIVE_SECONDS)) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException, ValueError):
        return False


class _Connection(http.client.HTTPConnection):
    """A connection to a service; knows no proxy."""

    def __init__(self, service: Service, seconds: float) -> None:
        place = urlsplit(service.url)
        super().__init__(place.hostname or "localhost", place.port or 80, timeout=seconds)
        self._uds = service.uds

    def connect(self) -> None:
        """Connect, to the Unix socket if there is one."""
        if not self._uds:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._uds)


def events(
    service: Service, command: str, body: Mapping[str, Any], *, silence: float = SILENCE_SECONDS
) -> Generator[Event, None, None]:
    """Run a command and give its events as they come, `done` or `failed` last.

    Closing the iterator before that cancels the run at the service as well.

    Args:
        service: who runs it.
        command: its name.
        body: the fields of the request.
        silence: seconds after which a service that says nothing counts as gone.

    Raises:
        ServiceError: the service refused, or went away before the end.
    """
    run, ended = "", False
    try:
        with closing(_Connection(service, silence)) as connection:
            answer = _ask(connection, service, "POST", f"/v1/commands/{quote(command)}", body, "text/event-stream")
            for event in _parsed(answer):
                run = str(event.data.get("run", run))
                ended = event.name in FINAL
                yield event
                if ended:
                    return
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _gone(service, run) from error
    finally:
        if run and not ended:
            cancel(service, run)
    raise _gone(service, run)


def _parsed(lines: http.client.HTTPResponse) -> Iterator[Event]:
    """The events of a stream (WHATWG, "Server-sent events", 9.2.6), as far as the service uses the form.

    Raises:
        ValueError: the data of an event is no JSON object.
    """
    name, data = "", []
    for raw in lines:
        line = raw.decode("utf-8").rstrip("\r\n")
        field_, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field_ == "event":
            name = value
        elif field_ == "data":
            data.append(value)
        elif not line and name:
            found = json.loads("\n".join(data))
            if not isinstance(found, dict):
                raise ValueError("no object")
            yield Event(name, found)
            name, data = "", []


def ask(
    service: Service, method: str, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = ANSWER_SECONDS
) -> dict[str, Any]:
    """One JSON answer.

    Raises:
        ServiceError: the service refused, or is gone.
    """
    try:
        with closing(_Connection(service, seconds)) as connection:
            found = json.loads(_ask(connection, service, method, path, body, "application/json").read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _gone(service, "") from error
    if not isinstance(found, dict):
        raise _gone(service, "")
    return found


def cancel(service: Service, run: str) -> None:
    """End a run; a service that does not hear it has noticed the closed connection."""
    with suppress(ServiceError):
        ask(service, "DELETE", f"/v1/runs/{quote(run)}", seconds=ALIVE_SECONDS)


def _ask(
    connection: _Connection, service: Service, method: str, path: str, body: Mapping[str, Any] | None, accept: str
) -> http.client.HTTPResponse:
    """Send a request; its answer, if it is the one hoped for.

    Raises:
        ServiceError: what the service answered instead.
        OSError, http.client.HTTPException, ValueError: it did not answer, or not in the form agreed on.
    """
    headers = {"Authorization": f"Bearer {service.token}", "Accept": accept}
    content = None
    if body is not None:
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        headers["Content-Type"] = "application/json"
    connection.request(method, path, content, headers)
    answer = connection.getresponse()
    if answer.status == http.client.OK:
        return answer
    wait = answer.headers.get("Retry-After", "")
    try:
        body = json.loads(answer.read())
        error = body["error"]
        refusal = ServiceError(
            str(error["code"]), str(error["message"]), str(error.get("hint", "")),
            run=error.get("run"), retry_after=float(wait) if wait.isdecimal() else None,
            details={name: body[name] for name in BESIDE if name in body},
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError):
        raise ValueError("an error of another shape") from None
    raise refusal


def _gone(service: Service, run: str) -> ServiceError:
    return ServiceError(
        "upstream", f"the service at {service} went away before it had answered",
        "Run the command again; without a service it runs in this process.", run=run or None,
    )  # fmt: skip
