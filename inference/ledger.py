"""The ledger: every decision with its inputs, as JSON lines in the state folder, and the same decisions made again.

A line is a profile as far as the policy looks at it (`{"profile": digest, "of": {...}}`), written when a file is
opened; or a decision made with it (`{"schema", "at", "id", "profile", "inputs", "decision" | "refused"}`). Nothing of
it is a word of the person or the name of a note: the policy sees labels and lengths. Inputs that have their default are
left out.

Files are `decisions.jsonl` and, from when it was full, `decisions.1.jsonl` (newer) to `decisions.4.jsonl` (older).
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.decision import Decision, Known, NodeView, RunnerView, Wanted
from inference.node import InferenceError
from inference.policy import decide, most_cost
from inference.profile import NodeConfig, Profile, RunnerProfile

SCHEMA = 1
FILE = "decisions.jsonl"
# Bytes after which a file is full, and how many full ones are kept. A decision takes one to two thousand.
FILE_BYTES = 4 << 20
KEPT = 4
# No name in a profile is longer than 200 characters: of a longer one so much shows that it is none of them.
_NAME_CHARS = 201
# What the policy looks at of a node and of a runner; addresses and keys are not among it.
_OF_NODE = ("kind", "klass", "trusted", "role", "price_in", "price_out", "request_cap", "daily_cap")
_OF_RUNNER = ("node", "model", "quantisation", "num_ctx", "answer_tokens")
_SUBSTITUTES = "substitutes"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a decision is made from, beside the profile."""

    wanted: Wanted
    default_tier: str
    known: Known


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of the decisions of a ledger when they were made again.

    Attributes:
        decisions: how many there are.
        identical: of those, the same to the letter.
        different: ids of the others.
        damaged: lines that could not be read.
    """

    decisions: int
    identical: int
    different: tuple[str, ...]
    damaged: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in self.__slots__} | {"different": list(self.different)}


class Ledger:
    """Writes decisions down. A fault of the disk loses lines and never a request; `error` tells it.

    Args:
        folder: the state folder of the vault.
        profile: with which decisions are made.
        file_bytes: after which a file is full.
        now: seconds since the epoch.
    """

    def __init__(
        self, folder: Path, profile: Profile, *, file_bytes: int = FILE_BYTES, now: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self.error = ""
        self.lost = 0
        self._profile = profile
        self._of = seen_of(profile)
        self._digest = hashlib.sha256(_dump(self._of)).hexdigest()[:16]
        self._file_bytes = file_bytes
        self._now = now
        self._handle: int | None = None

    def write(self, inputs: Inputs, made: Decision | InferenceError, identity: str) -> None:
        """Write down a decision, or why there is none. Not synced: it costs microseconds and raises nothing."""
        at = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        head = {"schema": SCHEMA, "at": at, "id": identity, "profile": self._digest}
        line = _dump(head | {"inputs": _told(inputs)} | outcome(made)) + b"\n"
        try:
            self._write(line)
        except OSError as error:
            self.error = error.strerror or str(error)
            self.lost += 1
            self.close()
        else:
            self.error = ""

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None

    def status(self) -> dict[str, Any]:
        """Whether decisions are written down, for people."""
        return {"error": self.error, "lost": self.lost}

    def spent(self, day: str) -> dict[str, float]:
        """What each node cost on a day (ISO date) as far as it was written down; a request under way counts in full."""
        found: dict[str, float] = {}
        with suppress(OSError):
            for entry in _newest_first(self.folder):
                if entry is None or "of" in entry:
                    continue
                if not str(entry["at"]).startswith(day):
                    break
                with suppress(KeyError, TypeError, AttributeError):  # a line of another form tells nothing
                    self._add(found, entry)
        return found

    def _add(self, found: dict[str, float], entry: Mapping[str, Any]) -> None:
        decision = entry.get("decision") or {}
        for name, view in entry["inputs"]["nodes"].items():
            own = self._cost(decision) if decision.get("node") == name else 0.0
            found[name] = max(found.get(name, 0.0), view.get("spent", 0.0) + own)

    def _cost(self, decision: Mapping[str, Any]) -> float:
        node, runner = self._profile.nodes.get(decision["node"]), self._profile.runners.get(decision["runner"])
        return most_cost(node, runner) if node and runner else 0.0

    def _write(self, line: bytes) -> None:
        handle = self._opened()
        if os.write(handle, line) != len(line):
            raise OSError(0, "the disk is full")

    def _opened(self) -> int:
        """The file that takes the next line. Several processes may write to it, each whole lines (O_APPEND)."""
        if self._handle is not None and os.fstat(self._handle).st_size >= self._file_bytes:
            self._rotate(self._handle)
            self.close()
        if self._handle is None:
            handle = self._handle = os.open(
                self.folder / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600
            )
            if sys.platform != "win32":
                os.fchmod(handle, 0o600)
            size = os.fstat(handle).st_size
            if size >= self._file_bytes:
                return self._opened()
            # Half a line that a crash left must not swallow the next one.
            whole = not size or os.pread(handle, 1, size - 1) == b"\n"
            os.write(handle, b"\n" * (not whole) + _dump({"profile": self._digest, "of": self._of}) + b"\n")
        return self._handle

    def _rotate(self, handle: int) -> None:
        """Put a full file away, unless another process has done so."""
        current = self.folder / FILE
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415 - not on Windows

            fcntl.flock(handle, fcntl.LOCK_EX)  # let go of with the handle
        with suppress(FileNotFoundError):
            if not os.path.samestat(current.stat(), os.fstat(handle)):
                return
            for n in range(KEPT - 1, 0, -1):
                with suppress(FileNotFoundError):
                    _kept(self.folder, n).replace(_kept(self.folder, n + 1))
            current.replace(_kept(self.folder, 1))


def outcome(made: Decision | InferenceError) -> dict[str, Any]:
    """What a decision came to, as JSON has it."""
    if isinstance(made, Decision):
        return {"decision": made.as_dict()}
    refused = {"code": made.code, "message": str(made), "hint": made.hint, "retry_after": made.retry_after}
    return {"refused": refused}


def latest(folder: Path, limit: int) -> list[dict[str, Any]]:
    """The latest decisions as they were written, newest first; lines that cannot be read are left out.

    Raises:
        OSError: a file cannot be read.
    """
    found: list[dict[str, Any]] = []
    for entry in _newest_first(folder):
        if len(found) >= limit:
            break
        if entry is not None and "of" not in entry:
            found.append(entry)
    return found


def replay(folder: Path) -> Replay:
    """Make every decision of a ledger again, from what was written down, and compare.

    Raises:
        OSError: a file cannot be read.
    """
    profiles: dict[str, Profile] = {}
    count = damaged = 0
    different: list[str] = []
    for file in reversed(_files(folder)):
        for line in _lines(file):
            entry = _parsed(line)
            if entry is None:
                damaged += 1
            elif "of" in entry:
                with suppress(KeyError, TypeError, AttributeError):  # as below: its decisions then count as different
                    profiles[entry["profile"]] = _profile(entry["of"])
            else:
                count += 1
                if not _is_same(profiles.get(entry["profile"]), entry):
                    different.append(str(entry["id"]))
    return Replay(count, count - len(different), tuple(different), damaged)


def _is_same(profile: Profile | None, entry: Mapping[str, Any]) -> bool:
    """Whether a decision comes out as it was written down."""
    if profile is None:
        return False
    try:
        made = _made(profile, _inputs(entry["inputs"]), entry["id"])
    except (KeyError, TypeError, AttributeError):  # written by a program that looked at something else
        return False
    written = {name: entry[name] for name in ("decision", "refused") if name in entry}
    return bool(json.loads(_dump(outcome(made))) == written)


def _made(profile: Profile, inputs: Inputs, identity: str) -> Decision | InferenceError:
    try:
        return decide(profile, inputs.wanted, default_tier=inputs.default_tier, id=identity, known=inputs.known)
    except InferenceError as error:
        return error


# --- lines


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _told(inputs: Inputs) -> dict[str, Any]:
    wanted = {
        name: value[:_NAME_CHARS] if isinstance(value, str) else value for name, value in _sparse(inputs.wanted).items()
    }
    known = inputs.known
    told: dict[str, Any] = {"wanted": wanted, "default_tier": inputs.default_tier}
    told["nodes"] = {name: _sparse(view) for name, view in known.nodes.items()}
    if known.runners:
        told["runners"] = {name: _sparse(view) for name, view in known.runners.items()}
    return told | {name: dict(value) for name in ("over", "unable") if (value := getattr(known, name))}


def _sparse(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that do not have their default."""
    return {
        one.name: getattr(value, one.name)
        for one in fields(value)
        if one.default is MISSING or getattr(value, one.name) != one.default
    }


def _inputs(told: Mapping[str, Any]) -> Inputs:
    nodes = {name: NodeView(**view) for name, view in told["nodes"].items()}
    runners = {name: RunnerView(**view) for name, view in told.get("runners", {}).items()}
    known = Known(nodes, told.get("over", {}), told.get("unable", {}), runners)
    return Inputs(Wanted(**told["wanted"]), told["default_tier"], known)


def seen_of(profile: Profile) -> dict[str, Any]:
    """A profile as far as the policy looks at it, as JSON has it."""
    nodes = {
        name: {key: getattr(node, key) for key in _OF_NODE} | {"has_mode": bool(node.mode_url)}
        for name, node in profile.nodes.items()
    }
    runners = {
        name: {key: getattr(runner, key) for key in _OF_RUNNER}
        | ({_SUBSTITUTES: list(runner.substitutes)} if runner.substitutes else {})
        for name, runner in profile.runners.items()
    }
    return {
        "name": profile.name,
        "nodes": nodes,
        "runners": runners,
        "tiers": {tier: list(names) for tier, names in profile.tiers.items()},
        "commands": dict(profile.commands),
        "fail_soft": list(profile.fail_soft),
    }


def _profile(of: Mapping[str, Any]) -> Profile:
    """A profile with which the policy decides as with the one it was written of."""
    nodes = {}
    for name, node in of["nodes"].items():
        known = {key: node[key] for key in _OF_NODE}
        nodes[name] = NodeConfig(name=name, url="", mode_url="told" if node["has_mode"] else "", **known)
    return Profile(
        name=of["name"],
        description="",
        nodes=nodes,
        runners={
            name: RunnerProfile(name=name, **runner | {_SUBSTITUTES: tuple(runner.get(_SUBSTITUTES, ()))})
            for name, runner in of["runners"].items()
        },
        tiers={tier: tuple(names) for tier, names in of["tiers"].items()},
        commands=of["commands"],
        settings=(),
        fail_soft=tuple(of["fail_soft"]),
    )


# --- files


def _kept(folder: Path, n: int) -> Path:
    return folder / f"decisions.{n}.jsonl"


def _files(folder: Path) -> list[Path]:
    """The files that are there, newest first."""
    return [file for file in (folder / FILE, *(_kept(folder, n) for n in range(1, KEPT + 1))) if file.is_file()]


def _lines(file: Path) -> list[bytes]:
    return [line for line in file.read_bytes().split(b"\n") if line]


def _newest_first(folder: Path) -> Iterator[dict[str, Any] | None]:
    """Every line, newest first; None for one that cannot be read."""
    for file in _files(folder):
        for line in reversed(_lines(file)):
            yield _parsed(line)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """What a line holds, None if it is damaged."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and (_is_profile(entry) or _is_decision(entry)) else None


def _is_profile(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("profile"), str) and isinstance(entry.get("of"), dict)


def _is_decision(entry: Mapping[str, Any]) -> bool:
    inputs, made = entry.get("inputs"), entry.get("decision", entry.get("refused"))
    texts = all(isinstance(entry.get(name), str) for name in ("at", "id", "profile"))
    return entry.get("schema") == SCHEMA and texts and isinstance(inputs, dict) and isinstance(made, dict)
