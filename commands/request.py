"""A request: what a person asks, what that means in a house, and what is wrong with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from commands.capture import daily_path
from commands.gather import WAYS
from commands.house import House, Settings
from commands.templates import template_text
from context.calendar import Calendar, CalendarError, calendar
from context.snapshot import Snapshot
from context.vault import Vault
from prompts import Prompt


class CommandError(Exception):
    """A request that cannot be carried out as it stands.

    Attributes:
        code: `invalid`, `not_found`, `context_too_large`, `conflict` or `cancelled`.
        hint: what to do about it.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in, its shape already checked; None and "" mean "as the command says".

    `force` asks for the big model, whatever the mode of its node is.
    """

    text: str = ""
    note: str | None = None
    selection: str | None = None
    scope: Mapping[str, Any] | None = None
    tier: str | None = None
    model: str | None = None
    node: str | None = None
    budget_tokens: int | None = None
    timezone: str | None = None
    now: str | None = None
    apply: str | None = None
    dry_run: bool = False
    fresh: bool = False
    follows: str | None = None
    force: bool = False
    gather: Sequence[str] | Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier run that a request follows: what was asked, what was answered, and by which node ("": by none)."""

    question: str
    answer: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a command, as a house understands it.

    Attributes:
        prompt: the command.
        request: as it came in.
        earlier: the run it follows.
        calendar: the person's today.
        open_note: the path of the note the person has open, "" for none.
    """

    prompt: Prompt
    request: Request
    earlier: Earlier | None
    calendar: Calendar
    open_note: str


def understand(house: House, command: str, request: Request, earlier: Callable[[str], Earlier | None]) -> Asked:
    """What a request for a command means.

    Args:
        house: where it is carried out.
        command: a name out of `house.prompts`.
        request: what the person asks.
        earlier: finds an earlier run by its id.

    Raises:
        CommandError: there is no such command, or it cannot do what is asked.
    """
    prompt = house.prompts.get(command)
    if prompt is None:
        raise CommandError(
            "not_found", f"there is no command {command[:40]!r}", f"Commands: {', '.join(house.prompts)}."
        )
    if prompt.text == "required" and not request.text.strip():
        raise CommandError("invalid", f"{command} needs a text", f"For example: kos {command} {prompt.argument_hint}")
    if request.apply not in (None, "none") and not prompt.writes:
        hint = "Leave apply out, or send none; the answer says what belongs where."
        raise CommandError("invalid", f"{command} writes nothing, so there is nothing to apply", hint)
    before = None
    if request.follows:
        before = earlier(request.follows)
        if before is None:
            raise CommandError(
                "not_found", "the run that this one follows is not known", "Leave `follows` out, or name a kept run."
            )
    today = calendar_of(request, house.settings)
    return Asked(prompt, request, before, today, open_note_of(request, house.vault.snapshot))


def calendar_of(request: Request, settings: Settings) -> Calendar:
    """The person's today.

    Raises:
        CommandError: the date or the zone cannot be read.
    """
    try:
        return calendar(request.now or settings.now, request.timezone or settings.timezone)
    except CalendarError as error:
        raise CommandError("invalid", str(error)) from None


def open_note_of(request: Request, snapshot: Snapshot) -> str:
    """The path of the note the person has open, "" for none.

    Raises:
        CommandError: it is no note of the vault.
    """
    if not request.note:
        return ""
    path = snapshot.names.resolve(request.note, "")
    if path is None or path not in snapshot.notes:
        raise CommandError(
            "not_found", "the open note is not in the vault", "Send `note` as a path relative to the vault."
        )
    return path


def shares_of(request: Request, default: Mapping[str, float]) -> Mapping[str, float]:
    """Way of gathering → part of the budget (0..1).

    Ways asked for by name share the budget evenly; as a mapping they name their percent.

    Args:
        request: what the person asks.
        default: what holds when they name no ways.

    Raises:
        CommandError: an unknown way.
    """
    gather = request.gather
    if not gather:
        return default
    for way in gather:
        if way not in WAYS:
            raise CommandError(
                "invalid", f"gather has no way {str(way)[:40]!r}", f"It takes {', '.join(sorted(WAYS))}."
            )
    if isinstance(gather, Mapping):
        return {way: max(0.0, min(float(share), 100.0)) / 100 for way, share in gather.items()}
    return {way: 1 / len(gather) for way in gather}


def is_private(house: House, asked: Asked) -> bool:
    """Whether a request itself carries private words: they say so, or stand in, go to, or follow what is private."""
    vault, request = house.vault, asked.request
    notes = vault.snapshot.notes
    if asked.open_note and (asked.open_note not in notes or notes[asked.open_note].private):
        return True  # one that is gone by now may have been private
    if any(vault.makes_private(text) for text in (request.text, request.selection) if text):
        return True
    if "capture" in asked.prompt.writes and _is_kept_in_private(vault, asked.calendar):
        return True
    inside = asked.earlier is not None and house.stays_inside(asked.earlier.node)
    return inside and any(note.private for note in notes.values())


def _is_kept_in_private(vault: Vault, calendar: Calendar) -> bool:
    """Whether the note of the day, where words are kept, is private, or will be by its template."""
    path = daily_path(vault, calendar)
    if path in vault.snapshot.notes or vault.is_private_place(path):
        return vault.is_private_place(path)
    return vault.makes_private(template_text(vault, vault.snapshot.settings.daily.template))
