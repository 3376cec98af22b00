"""Warm: what the first questions after a start would wait for, worked out before anybody asks."""

from commands.survey import survey
from context.calendar import Calendar
from context.fit import Fit
from context.members import members_of
from context.vault import NoteGoneError, Vault

# The words of all maps of a larger vault take seconds and much memory, and most maps are never walked.
_FEW_NOTES = 20_000


def warm(vault: Vault, today: Calendar) -> None:
    """Work out names, maps and the state of things of a vault as it is. All of it goes along through later changes.

    Args:
        vault: the notes.
        today: the person's present.
    """
    snapshot = vault.snapshot
    # Each is made when it is first looked at.
    _ = snapshot.lexicon, snapshot.digest, snapshot.private
    survey(snapshot, snapshot.ordered, today, recent_days=1)
    if len(snapshot.notes) > _FEW_NOTES:
        return
    members = members_of(snapshot, today)

    def read(path: str) -> str:
        try:
            note, text = vault.text(path)
        except NoteGoneError:
            return ""
        return text if note.digest == snapshot.notes[path].digest else ""

    fit = Fit("", snapshot, read, lambda path: members.of(path).members, {})
    for path in snapshot.maps:
        fit.learn(path)
