"""What `kos edits` and `kos undo` do: show, apply and take back edits, through the service of the vault if one runs."""

from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from server.client import Service, ask, find
from server.config import Config
from server.parser import UsageError, to_be_asked
from server.screen import Screen, line_of, moment

if TYPE_CHECKING:
    from commands.journal import Journal

_APPLY = "apply"
# So many of the first characters of an id will do, where no other edit has the same.
_LEAST_CHARS = 4


class NothingAppliedError(Exception):
    """There is no applied edit that could be taken back."""

    code = "conflict"
    hint = "`kos edits` shows the state of each."


class _Desk(Protocol):
    """Where edits are; everything is answered as HTTP does."""

    def all(self) -> Sequence[Mapping[str, Any]]: ...
    def one(self, identity: str) -> Mapping[str, Any]: ...
    def apply(self, identity: str, hunks: Sequence[str] | None, *, confirm: bool) -> Mapping[str, Any]: ...
    def undo(self, identity: str) -> Mapping[str, Any]: ...


class _There:
    """The edits of a service that runs."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def all(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = ask(self._service, "GET", "/v1/edits")["edits"]
        return found

    def one(self, identity: str) -> Mapping[str, Any]:
        return ask(self._service, "GET", _address(identity))

    def apply(self, identity: str, hunks: Sequence[str] | None, *, confirm: bool) -> Mapping[str, Any]:
        return ask(self._service, "POST", _address(identity, _APPLY), {"hunks": hunks, "confirm": confirm})

    def undo(self, identity: str) -> Mapping[str, Any]:
        return ask(self._service, "POST", _address(identity, "undo"), {})


class _Here:
    """The edits in the state folder, where no service runs."""

    def __init__(self, journal: "Journal") -> None:
        self._journal = journal

    def all(self) -> Sequence[Mapping[str, Any]]:
        return [edit.summary() for edit in self._journal.all()]

    def one(self, identity: str) -> Mapping[str, Any]:
        return self._journal.whole(self._journal.get(identity))

    def apply(self, identity: str, hunks: Sequence[str] | None, *, confirm: bool) -> Mapping[str, Any]:
        return self._journal.whole(self._journal.apply(identity, hunks, confirm=confirm))

    def undo(self, identity: str) -> Mapping[str, Any]:
        return self._journal.whole(self._journal.undo(identity))


def _address(identity: str, act: str = "") -> str:
    return "/".join(filter(None, ("/v1/edits", identity, act)))


def _desk(config: Config) -> _Desk:
    service = find(config)
    if service is not None:
        return _There(service)
    from server.house import open_journal  # noqa: PLC0415 - brings in what only a process of its own needs

    return _Here(open_journal(config))


def edits(arguments: Namespace, config: Config) -> Any:
    """List the edits, show one, or apply one.

    Returns:
        What HTTP answers to the same, for `--json`.

    Raises:
        UsageError: the words or options do not go together, or nobody is there to be asked whether to apply an edit and
            `--yes` was not given.
        DeclinedError: the person said no.
        Exception: whatever the journal or the service refuses, named by its `code`.
    """
    words: Sequence[str] = arguments.text
    applies = words[:1] == [_APPLY]
    if applies and len(words) == 1:
        raise UsageError("edits apply wants the id of an edit", "`kos edits` lists them; then kos edits apply ID")
    if len(words) > 1 + applies:
        raise UsageError(f"edits takes no {' '.join(words)[:80]!r}", "kos edits | kos edits ID | kos edits apply ID")
    given = _given(words[-1:])
    if not applies and (arguments.hunk or arguments.confirm or arguments.yes):
        told = "--hunk, --confirm and --yes are for applying an edit"
        raise UsageError(told, "kos edits apply ID --hunk 1.1 --confirm --yes")
    asked = applies and to_be_asked(arguments)
    screen, desk = Screen(silent=arguments.json), _desk(config)
    identity = _whole(desk, given)
    if applies:
        return _apply(desk, identity, screen, arguments, config, asked=asked)
    if words:
        whole = desk.one(identity)
        _show(screen, whole, config)
        return whole
    found = desk.all()
    for edit in found:
        told = edit["title"] or ", ".join(edit["paths"])
        _write(screen, [f"{edit['id']}  {edit['status']:8}  {_when(edit['created'], config)}  {told}"])
    if not found:
        screen.notice("no edit is kept")
    return {"edits": found}


def undo(arguments: Namespace, config: Config) -> Any:
    """Take an applied edit back, the last one unless an id says otherwise.

    Returns:
        The edit as HTTP answers it, for `--json`.

    Raises:
        UsageError: nobody is there to be asked, and `--yes` was not given.
        NothingAppliedError: there is none.
        DeclinedError: the person said no.
        Exception: whatever the journal or the service refuses, named by its `code`.
    """
    given = _given([] if arguments.id is None else [arguments.id])
    asked = to_be_asked(arguments)
    screen, desk = Screen(silent=arguments.json), _desk(config)
    identity = _whole(desk, given) or _last(desk.all())
    if asked:
        _ask(desk.one(identity), "applied", "Take this back?", screen, config)
    try:
        whole = desk.undo(identity)
    except Exception as error:
        conflict = getattr(error, "details", {}).get("conflict")
        if conflict:
            from commands.diff import of_texts  # noqa: PLC0415 - brings in the reading of notes

            screen.diff(of_texts(conflict["path"], conflict["theirs"], conflict["ours"]))
        raise
    _write(screen, [f"took back {identity}: {_paths(whole)}"])
    return whole


def _given(words: Sequence[str]) -> str:
    """The id of an edit as it was typed, "" for none."""
    for word in words:
        if not (word.isascii() and word.isalnum()):
            raise UsageError(f"{word[:80]!r} is no id of an edit", "`kos edits` lists them.")
    return "".join(words)


def _whole(desk: _Desk, given: str) -> str:
    """The id that begins with what was typed; what was typed itself where none does."""
    if len(given) < _LEAST_CHARS:
        return given
    found = [str(edit["id"]) for edit in desk.all() if edit["id"].startswith(given)]
    if len(found) > 1:
        raise UsageError(
            f"the ids of {len(found)} edits begin with {given}", "Type more of it; `kos edits` lists them."
        )
    return found[0] if found else given


def _last(found: Iterable[Mapping[str, Any]]) -> str:
    """The id of the edit that was applied last."""
    applied = [edit for edit in found if edit["status"] == "applied"]
    if not applied:
        raise NothingAppliedError("no edit is applied, so there is nothing to take back")
    return str(max(applied, key=lambda edit: edit["applied"])["id"])


def _ask(whole: Mapping[str, Any], status: str, question: str, screen: Screen, config: Config) -> None:
    """Show an edit and ask; not one of another status, which will be refused.

    Raises:
        DeclinedError: the person said no.
    """
    if whole["status"] == status:
        _show(screen, whole, config)
        screen.confirm(question)


def _apply(
    desk: _Desk, identity: str, screen: Screen, arguments: Namespace, config: Config, *, asked: bool
) -> Mapping[str, Any]:
    if asked:
        which = (
            f"hunk{'s' * (len(arguments.hunk) > 1)} {', '.join(arguments.hunk)} of this" if arguments.hunk else "this"
        )
        _ask(desk.one(identity), "proposed", f"Write {which}?", screen, config)
    try:
        whole = desk.apply(identity, arguments.hunk, confirm=arguments.confirm)
    except Exception as error:
        if getattr(error, "details", {}).get("conflict"):
            # The note holds their text; what the edit wanted in it stands here.
            screen.diff(desk.one(identity)["diff"])
        raise
    _write(screen, [f"applied {identity}: {_paths(whole)}"])
    for path in whole["kept"]:
        where = f"that version is kept in the state folder (edits/{identity}.kept.*)"
        screen.notice(f"another program saved {path} in that moment; {where}")
    return whole


def _show(screen: Screen, whole: Mapping[str, Any], config: Config) -> None:
    """An edit for people: what it is, its hunks, and the diff."""
    title = f": {whole['title']}" if whole["title"] else ""
    screen.heading(f"{whole['status']} {whole['id']}{title}")
    by = f" by {whole['command']}" if whole["command"] else ""
    applied = f", applied {_when(whole['applied'], config)}" if whole["applied"] else ""
    lines = [f"made {_when(whole['created'], config)}{by}{applied}"]
    for change in whole["changes"]:
        for hunk in change["hunks"]:
            left_out = " (not applied)" if whole["chosen"] and hunk["id"] not in whole["chosen"] else ""
            lines.append(f"  {hunk['id']}  {change['path']}: {hunk['why']}{left_out}")
    _write(screen, [*lines, ""])
    screen.diff(whole["diff"])


def _write(screen: Screen, lines: Iterable[str]) -> None:
    for line in lines:
        screen.write(line_of(line) + "\n")


def _paths(whole: Mapping[str, Any]) -> str:
    chosen = set(whole["chosen"])
    notes = (change for change in whole["changes"] if any(hunk["id"] in chosen for hunk in change["hunks"]))
    return ", ".join(change["path"] for change in notes)


def _when(instant: str, config: Config) -> str:
    return moment(instant, config.timezone)
