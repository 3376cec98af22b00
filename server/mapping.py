"""What `kos map` shows: the maps of content, and what one gathers and how."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from server.config import Config
from server.screen import Screen, line_of


def address(name: str, config: Config) -> str:
    """Where a service tells of all maps, or of the one that is named. The person's day travels with the question."""
    known = {key: value for key in ("now", "timezone") if (value := getattr(config, key))}
    return f"/v1/maps{f'/{quote(name)}' if name else ''}{f'?{urlencode(known)}' if known else ''}"


def show(screen: Screen, found: Mapping[str, Any]) -> None:
    """Show it to a person: a line for each map, or the members of one under their headings."""
    if "maps" in found:
        for entry in found["maps"]:
            _write(screen, f"{entry['members']:5}  {entry['path']}  ({entry['why']})")
        if not found["maps"]:
            screen.notice("this vault has no map of content", "`type: moc` in a note's properties makes it one.")
        return
    screen.heading(f"{found['path']} ({found['why']})")
    section = ""
    for member in found["places"]:
        if member["section"] != section:
            section = member["section"]
            screen.write("\n")
            _write(screen, section or "Elsewhere")
        _write(screen, f"  {member['path']}  ({member['how']})")
    for one in found["unsupported"]:
        place = f" below {one['section']}" if one["section"] else ""
        screen.notice(f"a query ({one['kind']}){place} is not evaluated: {one['why']}")
    count, lost = len(found["members"]), found["unresolved"]
    nowhere = f", {lost} {'link leads' if lost == 1 else 'links lead'} nowhere" if lost else ""
    screen.notice(f"{count} {'member' if count == 1 else 'members'}{nowhere}")


def _write(screen: Screen, line: str) -> None:
    screen.write(line_of(line) + "\n")
