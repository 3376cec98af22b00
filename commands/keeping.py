"""Keeping: a person's words go into the note of the day at once; what they mean for other notes is filed after that."""

from contextlib import suppress
from typing import Any

from commands.capture import capture
from commands.edits import StaleError, change_of
from commands.filing import filing
from commands.house import House
from commands.journal import ConfirmError, Edit, Journal
from commands.places import PlaceError
from commands.report import Report
from commands.request import Asked, CommandError
from commands.routing import Choice, Routing
from commands.transaction import ClashError
from context.vault import NoteGoneError

# A note may be saved by the person in the moment their words go into it; then it is read anew.
_TRIES = 5


def history(house: House) -> Journal:
    """The journal of a house that can write.

    Raises:
        CommandError: there is no place for the history, without which nothing is written.
    """
    if house.journal is None:
        raise CommandError(
            "conflict",
            "the state folder cannot be written, and nothing is written that could not be undone",
            "Give --state-dir a folder that can be written; your words are not saved.",
        )
    return house.journal


def keep(house: House, journal: Journal, asked: Asked, run: str) -> Edit:
    """Put the person's words into their daily note, or propose it if that was asked. Writes: runs in a thread.

    Args:
        house: the vault and its settings.
        journal: the history.
        asked: what the person asks.
        run: the run's id.

    Raises:
        PlaceError, OSError: the note cannot be written.
        ClashError: it was written by others each time.
    """
    vault, request = house.vault, asked.request
    for tries in range(_TRIES):
        change = capture(vault, asked.calendar, request.text, house.settings.capture_heading)
        edit = journal.propose([change], title="your words", command=asked.prompt.name, run=run)
        if request.apply == "none":
            break
        try:
            edit = journal.apply(edit.id)
        except (ClashError, PlaceError):  # the note was written, or made, in this very moment
            if tries == _TRIES - 1:
                raise
        else:
            vault.refresh()
            break
    return edit


def file(
    house: House,
    asked: Asked,
    report: Report,
    run: str,
    *,
    kept: dict[str, Any],
    routing: Routing,
    choice: Choice | None,
    synthesis: str,
) -> Edit | None:
    """Propose what kept words mean for other notes, and apply it if that was asked. Writes: runs in a thread.

    Args:
        house: the vault, the journal and the settings.
        asked: what the person asks.
        report: where it is told that it could not be applied.
        run: the run's id.
        kept: the edit that keeps the words (see `commands.journal.Edit.as_dict`).
        routing: the projects they may belong to.
        choice: what a model chose of them.
        synthesis: what the words come to, on one line; "" for none.

    Returns:
        The edit; None when there is nothing to file.
    """
    vault, journal, request = house.vault, house.journal, asked.request
    if journal is None:
        return None
    change = change_of(kept["changes"][0])
    try:
        data: bytes | None = vault.data(change.path)
    except NoteGoneError:
        data = None
    # What comes to the note of the day is for the version that it has once the words are in it; a client that writes
    # them itself may have done so by now.
    with suppress(StaleError):
        data = change.apply(data)
    changes = filing(
        vault,
        routing.entities,
        asked.calendar,
        request.text,
        (change.path, data or b""),
        heading=house.settings.capture_heading,
        choices=routing.candidates,
        choice=choice,
        synthesis=synthesis,
    )
    if not changes:
        return None
    edit = journal.propose(
        changes,
        title="what your words mean for other notes",
        command=asked.prompt.name,
        run=run,
        notes={change.path: data or b""},
    )
    if request.apply == "all":
        try:
            edit = journal.apply(edit.id)
        except (ClashError, ConfirmError, PlaceError, OSError) as error:
            hint = getattr(error, "hint", "") or "Look at it with `kos edits`, and apply it from there."
            report.notice("not_applied", f"{edit.title}: {error}", hint)
        else:
            vault.refresh()
    return edit
