"""A mode source: an address at a node's machine that tells whether that is there for models: `{"mode": "NORMAL"}`."""

from inference import wire
from inference.mode import MODES
from inference.node import NodeUnavailable, UpstreamFault
from inference.profile import NodeConfig

_HINT = "Start it, or take `mode_url` out of the profile."


class ModeSource:
    """Asks the mode source of a node, which never sees the node's key.

    Args:
        node: has a `mode_url`.
    """

    def __init__(self, node: NodeConfig) -> None:
        self._node = node
        self._http = wire.client(node)

    async def ask(self) -> str:
        """The mode it tells now, within a second.

        Raises:
            NodeUnavailable: it does not answer.
            UpstreamFault: it tells no mode.
        """
        told = f"the mode source of node {self._node.name} at {self._node.mode_url}"
        try:
            [(status, value)] = await wire.probe(self._http, (self._node.mode_url,), self._node)
        except (NodeUnavailable, UpstreamFault):
            raise NodeUnavailable(f"{told} does not answer", hint=_HINT) from None
        mode = value.get("mode") if isinstance(value, dict) else None
        if status != 200 or mode not in MODES:
            answers = f'It should answer {{"mode": "{MODES[0]}"}} or {{"mode": "{MODES[1]}"}}.'
            raise UpstreamFault(f"{told} answers with status {status} and tells no mode", hint=answers)
        return str(mode)

    async def close(self) -> None:
        """Let go of its connection."""
        await self._http.aclose()
