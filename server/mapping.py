"""What `kos map` and the routes of maps look up: the maps of content, and what one gathers."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from context import atlas
from context.calendar import calendar
from context.members import members_of
from context.vault import Snapshot
from server.client import Service, ask
from server.config import Config
from server.screen import Screen, line_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def answer(snapshot: Snapshot, config: Config, name: str) -> dict[str, Any]:
    """All maps for "", else the one that is meant. Links are resolved and queries evaluated: for a thread.

    Raises:
        context.atlas.NoMapError: no map is meant.
    """
    members = members_of(snapshot, calendar(config.now, config.timezone))
    if name:
        return asdict(atlas.find(members, name))
    return {"maps": [asdict(entry) for entry in atlas.maps(members)]}


def looked_up(service: Service, name: str) -> "Mapping[str, Any]":
    """The same from a service that runs."""
    return ask(service, "GET", f"/v1/maps/{quote(name)}" if name else "/v1/maps")


def show(screen: Screen, found: "Mapping[str, Any]") -> None:
    """Show it to a person: a line for each map, or the members of one under their headings."""
    if "maps" in found:
        for entry in found["maps"]:
            _write(screen, f"{entry['members']:5}  {entry['path']}  ({entry['why']})")
        if not found["maps"]:
            screen.notice("this vault has no map of content", "`type: moc` in a note's properties makes it one.")
        return
    screen.heading(f"{found['path']} ({found['why']})")
    section = ""
    for member in found["members"]:
        if member["section"] != section:
            section = member["section"]
            _write(screen, f"\n{section}")
        _write(screen, f"  {member['path']}  ({member['how']})")
    for one in found["unsupported"]:
        place = f" below {one['section']}" if one["section"] else ""
        screen.notice(f"a query ({one['kind']}){place} is not evaluated: {one['why']}")
    lost = found["unresolved"]
    screen.notice(f"{len(found['members'])} members{f', {lost} links lead nowhere' if lost else ''}")


def _write(screen: Screen, line: str) -> None:
    screen.write("\n".join(line_of(part) for part in line.split("\n")) + "\n")
