"""The nodes of a profile: made when first spoken to, asked how they are, and the memory plan by what they tell."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from inference.breaker import OPEN, Breaker, Standing
from inference.model import ModelFacts
from inference.node import Loaded, Node, NodeState, NodeUnavailable, UpstreamFault
from inference.plan import EMBEDDING, Plan, make_plan
from inference.profile import NodeConfig, Profile, same_model

# Seconds for which it is remembered how all nodes are.
MEMORY_SECONDS = 2.0
# Seconds that a chat waits at most for the answer what is in a node's memory.
_LOOK_SECONDS = 0.2


def make_node(config: NodeConfig) -> Node:
    """The node of a configuration. Its HTTP client is imported with it, so that whoever asks no node pays nothing."""
    if config.kind == "ollama":
        from inference.ollama import OllamaNode  # noqa: PLC0415 - see above

        return OllamaNode(config)
    from inference.openai import OpenAINode  # noqa: PLC0415 - see above

    return OpenAINode(config)


class Nodes:
    """All nodes of a profile, each behind its breaker. Lives on one event loop; may be made anywhere.

    Args:
        profile: what there is.
        make: makes a node when it is first spoken to.
        embeds: whether the embedding model takes its place in the memory plan.
        clock: seconds.
        on_state: told how a node is, whenever one answered that.

    Attributes:
        breakers: by name; each has its node probed while it is open.
    """

    def __init__(
        self,
        profile: Profile,
        make: Callable[[NodeConfig], Node],
        *,
        embeds: bool,
        clock: Callable[[], float],
        on_state: Callable[[NodeState], None],
    ) -> None:
        self.breakers = {name: Breaker(clock, self._watch) for name in profile.nodes}
        self._profile = profile
        self._make = make
        self._embeds = embeds
        self._clock = clock
        self._on_state = on_state
        self._made: dict[str, Node] = {}
        self._states: tuple[float, tuple[NodeState, ...]] = (0.0, ())
        self._looks: dict[str, asyncio.Task[NodeState]] = {}
        self._probing: asyncio.Task[None] | None = None
        self._closed = False
        # What nodes told of their models, and how they last had each in memory.
        self._told: dict[tuple[str, str], ModelFacts] = {}
        self._seen: dict[str, dict[str, Loaded]] = {name: {} for name in profile.nodes}
        self._plan: Plan | None = None

    def __getitem__(self, name: str) -> Node:
        """The node of a name."""
        if name not in self._made:
            self._made[name] = self._make(self._profile.nodes[name])
        return self._made[name]

    async def close(self) -> None:
        """Let go of all connections; what is under way breaks off."""
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()
            with suppress(asyncio.CancelledError):
                await self._probing
        for look in self._looks.values():
            look.cancel()
        for node in self._made.values():
            await node.close()

    def plan(self) -> Plan:
        """The memory plan: by what nodes told, else by the catalogue. When more is known it is another object."""
        if self._plan is None:
            loaded = {name: tuple(seen.values()) for name, seen in self._seen.items()}
            self._plan = make_plan(self._profile, told=self._told, loaded=loaded, embeds=self._embeds)
        return self._plan

    def models(self, node: str) -> dict[str, str]:
        """The node's names for the models of its runners, by runner, and of the one for embeddings."""
        models = {one.name: one.model for one in self._profile.runners.values() if one.node == node}
        embedding = self._profile.embedding
        return models | ({EMBEDDING: embedding.model} if embedding is not None and embedding.node == node else {})

    def in_memory(self, state: NodeState) -> list[str]:
        """The runners whose models a node told to be in its memory."""
        models = self.models(state.name)
        return [name for name, model in models.items() if any(same_model(one.model, model) for one in state.loaded)]

    def strangers(self, state: NodeState) -> list[str]:
        """The models in a node's memory that are none of ours: another program uses them."""
        ours = self.models(state.name).values()
        return [one.model for one in state.loaded if not any(same_model(one.model, model) for model in ours)]

    def standings(self) -> Mapping[str, Standing]:
        """How the breaker of each node stands."""
        return {name: breaker.standing() for name, breaker in self.breakers.items()}

    async def look(self, name: str) -> NodeState | None:
        """How a node is, None if it does not tell soon. Those who ask meanwhile wait for one answer, in their order."""
        look = self._looks.get(name)
        if look is None:
            look = self._looks[name] = asyncio.create_task(self[name].state())
            look.add_done_callback(lambda _: self._looks.pop(name, None))
        await asyncio.wait({look}, timeout=_LOOK_SECONDS)
        told = look.result() if look.done() and not look.cancelled() and look.exception() is None else None
        if told is None or not told.reachable:
            return None
        self._on_state(told)
        return told

    async def states(self) -> tuple[NodeState, ...]:
        """How all nodes are, asked at once; what was asked in the last two seconds is remembered.

        What they tell of their models and have in memory corrects the plan.
        """
        at, kept = self._states
        if kept and self._clock() - at < MEMORY_SECONDS:
            return kept
        found = await self._ask(self._profile.nodes)
        self._states = (self._clock(), found)
        return found

    async def _ask(self, names: Iterable[str]) -> tuple[NodeState, ...]:
        """How some nodes are, asked at once; corrects breakers and the plan."""
        found = tuple(await asyncio.gather(*(self[name].state() for name in names)))
        for state in found:
            breaker = self.breakers[state.name]
            # One that is there and is not understood may still do its work: the next request will tell.
            if state.reachable or state.code == UpstreamFault.code:
                breaker.answered()
            else:
                breaker.fail("", NodeUnavailable(state.error, hint=state.hint))
        await asyncio.gather(*(self._learn(state) for state in found))
        return found

    async def _learn(self, state: NodeState) -> None:
        """Correct the plan by how a node is. Each of its models is asked for once."""
        if not state.reachable:
            return
        self._on_state(state)
        config, seen = self._profile.nodes[state.name], self._seen[state.name]
        if config.memory is None:
            return
        wanted = [model for name, model in self.models(state.name).items() if self._embeds or name != EMBEDDING]
        there = [model for model in wanted if any(same_model(model, one) for one in state.models)]
        if new := [model for model in there if (state.name, model) not in self._told]:
            told = await self[state.name].facts(new)
            self._told.update({(state.name, model): facts for model, facts in told.items()})
            self._plan = None
        if changed := {one.model: one for one in state.loaded if seen.get(one.model) != one}:
            seen.update(changed)
            self._plan = None

    def _watch(self) -> None:
        """A breaker has opened: have its node probed until it answers."""
        self._states = (0.0, ())
        if not self._closed and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        while rests := {name: one.rest for name, one in self.breakers.items() if one.state == OPEN}:
            rest = min(rests.values())
            await asyncio.sleep(rest)
            await self._ask([name for name, left in rests.items() if left <= rest])
            self._states = (0.0, ())
