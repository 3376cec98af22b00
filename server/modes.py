"""What `kos mode` and `/v1/mode` tell: which nodes are there for models now; and setting that."""

import asyncio
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inference.mode import FILE, GAMING, Mode
from server.client import Service, ask
from server.config import Config, ConfigError
from server.screen import Screen, line_of

if TYPE_CHECKING:
    from inference.profile import Profile


def as_json(modes: Mapping[str, Mode]) -> dict[str, Any]:
    """The modes of nodes by name, as HTTP answers them; `age_seconds` since a source told it."""
    return {
        "nodes": [
            {
                "node": name,
                "mode": mode.now,
                "told_by": mode.told_by,
                "age_seconds": round(mode.age, 1),
                "error": mode.error,
            }
            for name, mode in modes.items()
        ]
    }


def show(config: Config, service: Service | None, arguments: Namespace, screen: Screen) -> dict[str, Any]:
    """Set a mode if one is given, and print all.

    Args:
        config: names the profile.
        service: that is asked; None to look here.
        arguments: `mode` (None to set none) and `node` (None for all).
        screen: where it is printed.

    Returns:
        What HTTP answers.

    Raises:
        ConfigError: the profile cannot be used.
        server.client.ServiceError: the service refused.
        inference.node.InferenceError: there is no such node, or its mode is not set here.
        OSError: it cannot be kept.
    """
    if service is None:
        found = asyncio.run(_here(config, arguments.node, arguments.mode))
    elif arguments.mode:
        found = ask(service, "PUT", "/v1/mode", {"node": arguments.node, "mode": arguments.mode})
    else:
        found = ask(service, "GET", "/v1/mode")
    width = max((len(node["node"]) for node in found["nodes"]), default=0)
    for node in found["nodes"]:
        screen.write(f"{line_of(node['node']):{width}}  {_told(node)}\n")
    if not found["nodes"]:
        screen.notice("no node has modes", "A node of kind `ollama` has them, and one with a `mode_url`.")
    return found


async def _here(config: Config, node: str | None, mode: str | None) -> dict[str, Any]:
    from inference.fleet import Fleet  # noqa: PLC0415 - not before it is needed

    profile = _profile(config)
    fleet = Fleet(profile, embeds=config.embeddings == "on", modes_file=config.state_dir / FILE)
    try:
        if mode:
            fleet.modes.put(node, mode)
        await fleet.modes.look()
        modes = fleet.modes.all()
        await asyncio.gather(*(fleet.free(name) for name, one in modes.items() if one.mode == GAMING))
        return as_json(modes)
    finally:
        await fleet.close()


def _profile(config: Config) -> "Profile":
    from inference.profile import ProfileError  # noqa: PLC0415 - not before it is needed
    from server.house import profile_of  # noqa: PLC0415 - brings in every part

    try:
        return profile_of(config)
    except ProfileError as error:
        raise ConfigError(str(error), "`kos config` tells where the profile is named.") from None


def _told(node: Mapping[str, Any]) -> str:
    if node["told_by"] == "person":
        return f"{node['mode']:6}  set here"
    age = f", told {node['age_seconds']:.0f} s ago" if node["age_seconds"] else ""
    fault = f" ({line_of(node['error'])})" if node["error"] else ""
    return f"{node['mode'] or 'unknown':6}  as its source tells{age}{fault}"
