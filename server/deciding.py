"""What `kos decisions` shows: the latest choices of node and model, or whether all that are kept come out again."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from inference.ledger import latest, replay
from server.config import Config, vault_folder
from server.screen import Screen, line_of, moment, table_of

# Ids of decisions that differ are told up to so many.
_SHOWN = 10
_HEADING = ("TIME", "COMMAND", "MODEL ON NODE", "RULE", "WHY")
# The most characters of a line, and of each column but the last.
_COLUMNS, _WIDEST = 100, (16, 10, 24, 18)


def show(config: Config, arguments: Namespace, screen: Screen) -> tuple[int, dict[str, Any]]:
    """Print them, newest first; a service need not run, since what it decides is in the state folder.

    Args:
        config: names the vault.
        arguments: `limit` and `replay`.
        screen: where it is printed.

    Returns:
        Exit code, 1 when a decision differs, and what HTTP answers, or what the replay found.

    Raises:
        ConfigError: the vault is not there.
        OSError: a file cannot be read.
    """
    folder = vault_folder(config)
    if arguments.replay:
        return _replay(folder, screen)
    found = latest(folder, arguments.limit)
    if found:
        screen.write(table_of([_HEADING, *(_row(entry, config) for entry in found)], _WIDEST, _COLUMNS))
    else:
        screen.notice("no decision is kept yet", "Each command that asks a model makes one.")
    return 0, {"decisions": found}


def _replay(folder: Any, screen: Screen) -> tuple[int, dict[str, Any]]:
    screen.progress("making every decision again")
    try:
        found = replay(folder)
    finally:
        screen.clear()
    screen.write(f"{found.identical} of {found.decisions} decisions come out as they were.\n")
    if found.damaged:
        lines = "line" if found.damaged == 1 else "lines"
        screen.write(
            f"{found.damaged} damaged {lines} could not be read and {'is' if found.damaged == 1 else 'are'} left out.\n"
        )
    if found.different:
        more = ", …" if len(found.different) > _SHOWN else ""
        screen.notice(
            f"different: {', '.join(map(line_of, found.different[:_SHOWN]))}{more}",
            "They were made by another version of this program, or their lines were changed.",
        )
    return (1 if found.different else 0), found.as_dict()


def _row(entry: Mapping[str, Any], config: Config) -> tuple[str, ...]:
    """A decision as a row of the table."""
    head = moment(entry["at"], config.timezone), entry["inputs"]["wanted"]["command"]
    if "decision" in entry:
        made = entry["decision"]
        return *head, f"{made['model']} on {made['node']}", made["rule"], made["why"]
    return *head, "-", "refused", entry["refused"]["message"]
