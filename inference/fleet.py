"""All nodes of a profile: their lines, what is known of their health, and the decisions made."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from inference.decision import Decision, Known, NodeView, Wanted
from inference.embedding import Vector, embedded
from inference.ledger import Inputs, Ledger
from inference.model import ModelFacts
from inference.node import (
    Chat,
    Chunk,
    InferenceError,
    Loaded,
    Message,
    Node,
    NodeState,
    NodeUnavailable,
    NothingFits,
    Usage,
)
from inference.plan import Plan, make_plan
from inference.policy import decide, most_cost
from inference.profile import NodeConfig, Profile, RunnerProfile, same_model
from inference.schedule import NodeQueue

# What is told of a run's progress: name, detail, n of total.
OnPhase = Callable[[str, str, int, int], None]

# Seconds for which a node that did not answer is not asked again, and for which probes are remembered.
MEMORY_SECONDS = 2.0
# Seconds for which a model that has just answered is taken to be still in memory.
_WARM_SECONDS = 60.0
# A model that is in memory needs micro- to milliseconds to be "loaded"; more means that it was not, in seconds.
_LOADED_AT_ONCE = 0.1
# Seconds that a chat waits at most for the answer whether its model must be loaded.
_LOOK_SECONDS = 0.2
# How often texts that make way for others look whether they may go, in seconds.
_QUIET_SECONDS = 0.05
_KEPT_DECISIONS = 200


def make_node(config: NodeConfig) -> Node:
    """The node of a configuration. Its HTTP client is imported with it, so that whoever asks no node pays nothing."""
    if config.kind == "ollama":
        from inference.ollama import OllamaNode  # noqa: PLC0415 - see above

        return OllamaNode(config)
    from inference.openai import OpenAINode  # noqa: PLC0415 - see above

    return OpenAINode(config)


@dataclass(frozen=True, slots=True)
class _Absence:
    """A node did not answer."""

    until: float
    message: str
    hint: str


class Fleet:
    """The nodes of a profile, each with its line. Lives on one event loop; may be made anywhere.

    Args:
        profile: what there is.
        make_node: makes a node when it is first spoken to.
        embeds: whether the embedding model is used; it takes its place in the memory plan then.
        clock: seconds, for what is remembered.
        ledger: where decisions are written down; None where nothing can be kept.
        day: the present day (UTC) as an ISO date, for what nodes may cost in one.
    """

    def __init__(
        self,
        profile: Profile,
        make_node: Callable[[NodeConfig], Node] = make_node,
        *,
        embeds: bool = False,
        clock: Callable[[], float] = time.monotonic,
        ledger: Ledger | None = None,
        day: Callable[[], str] = lambda: datetime.now(UTC).date().isoformat(),
    ) -> None:
        self.profile = profile
        self.ledger = ledger
        self._embeds = embeds
        self._make = make_node
        self._clock = clock
        self._nodes: dict[str, Node] = {}
        self._queues = {node.name: NodeQueue(node.parallel, node.queue) for node in profile.nodes.values()}
        self._absent: dict[str, _Absence] = {}
        self._states: tuple[float, tuple[NodeState, ...]] = (0.0, ())
        self._warm: dict[str, dict[str, float]] = {name: {} for name in profile.nodes}
        self._decisions: deque[Decision] = deque(maxlen=_KEPT_DECISIONS)
        self._questions = 0
        # What mode sources told last, and when; what nodes cost on the day that stands there.
        self._modes: dict[str, tuple[str, float]] = {}
        self._day = day
        self._spent: tuple[str, dict[str, float]] = ("", {})
        # What nodes told of their models, and how they last had each in memory.
        self._told: dict[tuple[str, str], ModelFacts] = {}
        self._seen: dict[str, dict[str, Loaded]] = {name: {} for name in profile.nodes}
        self._plan: Plan | None = None

    async def close(self) -> None:
        """Let go of all connections; what is under way breaks off."""
        for node in self._nodes.values():
            await node.close()
        if self.ledger is not None:
            self.ledger.close()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The latest decisions, oldest first."""
        return tuple(self._decisions)

    @property
    def plan(self) -> Plan:
        """The memory plan, by what is known now: what nodes told, else the catalogue."""
        if self._plan is None:
            loaded = {name: tuple(seen.values()) for name, seen in self._seen.items()}
            self._plan = make_plan(self.profile, told=self._told, loaded=loaded, embeds=self._embeds)
        return self._plan

    def decide(self, wanted: Wanted, default_tier: str) -> Decision:
        """Choose node and model, by what is known now, and write it down; see `inference.policy.decide`.

        Raises:
            InferenceError: nothing can be chosen; as there.
        """
        known = self._known()
        identity = f"d-{secrets.token_hex(6)}"
        try:
            decision = decide(self.profile, wanted, default_tier=default_tier, id=identity, known=known)
        except InferenceError as error:
            self._write(Inputs(wanted, default_tier, known), error, identity)
            raise
        self._write(Inputs(wanted, default_tier, known), decision, identity)
        self._decisions.append(decision)
        return decision

    def note_mode(self, name: str, mode: str) -> None:
        """Take down what the mode source of a node tells: NORMAL or GAMING."""
        self._modes[name] = (mode, self._clock())

    def _known(self) -> Known:
        """What is known of nodes and models at this moment."""
        now, spent = self._clock(), self._spent_today()
        views = {}
        for name, queue in self._queues.items():
            mode, told = self._modes.get(name, ("", now))
            views[name] = NodeView(
                answers=self._absence(name) is None,
                mode=mode,
                mode_age=now - told,
                eta_seconds=queue.eta(),
                full=queue.full,
                retry_seconds=queue.retry_after() if queue.full else 1.0,
                spent=spent.get(name, 0.0),
            )
        return Known(views, self.plan.over, self.plan.unable)

    def _write(self, inputs: Inputs, made: Decision | InferenceError, identity: str) -> None:
        if self.ledger is not None:
            self.ledger.write(inputs, made, identity)

    def _spent_today(self) -> dict[str, float]:
        """What each node cost today. At a start it is what was written down, so that a cap holds beyond it."""
        today = self._day()
        if self._spent[0] != today:
            kept = self.ledger.spent(today) if self.ledger is not None and self._has_cap() else {}
            self._spent = (today, kept)
        return self._spent[1]

    def _has_cap(self) -> bool:
        return any(node.daily_cap for node in self.profile.nodes.values())

    async def chat(
        self,
        decision: Decision,
        messages: Sequence[Message],
        *,
        on_phase: OnPhase,
        answer_tokens: int | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """Wait for a place at the node, then stream the answer. Closing the iterator, or cancelling it, ends both.

        Args:
            decision: where, and with which model.
            messages: the prompt.
            on_phase: told "queued" with the place in the line and its length while waiting, then once, before the first
                chunk, "loading" if the model is not in memory, else "thinking".
            answer_tokens: the most the answer may have, if less than the decision reserves.
            schema: JSON Schema that the node is asked to keep the answer to; not every node does.

        Raises:
            InferenceError: see `inference.node`. The deadline is the caller's business.
        """
        runner = self.profile.runners[decision.runner]
        tokens = min(answer_tokens or decision.answer_tokens, decision.answer_tokens)
        queue = self._queues[decision.node]
        async with queue.place(lambda place: on_phase("queued", runner.model, place, queue.waiting)):
            # Those that waited behind a node that went away need not find out one by one.
            if absence := self._absence(decision.node):
                raise NodeUnavailable(absence.message, hint=absence.hint)
            cost = self._reserve(runner)
            try:
                async with aclosing(self._stream(Chat(runner, tuple(messages), tokens, schema), on_phase)) as chunks:
                    async for chunk in chunks:
                        if chunk.usage is not None:
                            self._spend(runner, self._cost(runner, chunk.usage) - cost)
                        yield chunk
            except NodeUnavailable as error:
                self._spend(runner, -cost)
                self._note_absence(decision.node, str(error), error.hint)
                raise

    def _reserve(self, runner: RunnerProfile) -> float:
        """Count a request in full until its answer tells what it took; what it may cost.

        Raises:
            NodeUnavailable: requests decided in the same moment have used up the cap.
        """
        node = self.profile.nodes[runner.node]
        cost = most_cost(node, runner)
        if node.daily_cap and self._spent_today().get(node.name, 0.0) + cost > node.daily_cap:
            hint = "Wait until tomorrow, or raise the cap of the node in the profile."
            raise NodeUnavailable(f"node {node.name} has cost its cap of today", hint=hint)
        self._spend(runner, cost)
        return cost

    def _spend(self, runner: RunnerProfile, cost: float) -> None:
        spent = self._spent_today()
        if cost:
            spent[runner.node] = max(0.0, spent.get(runner.node, 0.0) + cost)

    def _cost(self, runner: RunnerProfile, usage: Usage) -> float:
        """What an answer cost; what is not told is taken to be the most it can be."""
        node = self.profile.nodes[runner.node]
        read, wrote = usage.prompt_eval_count, usage.completion_tokens
        read = runner.num_ctx - runner.answer_tokens if read is None else read
        wrote = runner.answer_tokens if wrote is None else wrote
        return (read * node.price_in + wrote * node.price_out) / 1e6

    async def _stream(self, chat: Chat, on_phase: OnPhase) -> AsyncGenerator[Chunk, None]:
        """The answer of a node that has a place for us."""
        runner, node = chat.runner, self._node(chat.runner.node)
        phases: list[str] = []

        def say(phase: str) -> None:
            if not phases:
                phases.append(phase)
                on_phase(phase, runner.model, 0, 0)

        look = None
        whole = False
        try:
            if node.config.kind == "ollama" and not self._is_warm(runner):
                look = asyncio.create_task(self._look(node, runner, say))
                # Before the chat: once that has begun to load the model, the node lists it as if it were there.
                await asyncio.wait({look}, timeout=_LOOK_SECONDS)
            else:
                say("thinking")
            async with aclosing(node.chat(chat)) as chunks:
                async for chunk in chunks:
                    say("thinking")
                    whole = chunk.usage is not None
                    if chunk.usage is not None:
                        self._note_answer(runner, chunk.usage)
                    yield chunk
        finally:
            if look is not None:
                look.cancel()
            if not whole:
                self._warm[runner.node].clear()

    async def _look(self, node: Node, runner: RunnerProfile, say: Callable[[str], None]) -> None:
        """Tell whether the model must be loaded first; a chat does not wait long for it."""
        state = await node.state()
        if state.reachable:
            say("thinking" if any(same_model(one.model, runner.model) for one in state.loaded) else "loading")

    async def embed(self, texts: Sequence[str], *, question: bool = False) -> list[Vector]:
        """The vectors of texts, in order, each of length 1.

        Texts of notes make way: they wait until nobody chats at the node or has a question embedded. A question goes
        there at once, since a chat may take a minute and the model for embeddings is another one.

        Args:
            texts: some; of one longer than the model's window the beginning counts.
            question: whether they are questions and not texts to be found.

        Raises:
            InferenceError: see `inference.node`; `NothingFits` when the profile names no model for it. The deadline is
                the caller's business.
        """
        model = self.profile.embedding
        if model is None:
            hint = "Add a table [embedding] to the profile."
            raise NothingFits(f"profile {self.profile.name} names no model for embeddings", hint=hint)
        while not question and (self._questions or self._queues[model.node].busy):  # noqa: ASYNC110 - no one event says it
            await asyncio.sleep(_QUIET_SECONDS)
        if absence := self._absence(model.node):
            raise NodeUnavailable(absence.message, hint=absence.hint)
        prefix = model.query_prefix if question else model.document_prefix
        self._questions += question
        try:
            return await embedded(self._node(model.node), model, texts, prefix)
        except NodeUnavailable as error:
            self._note_absence(model.node, str(error), error.hint)
            raise
        finally:
            self._questions -= question

    async def states(self) -> tuple[NodeState, ...]:
        """How all nodes are, asked at once; what was asked in the last two seconds is remembered.

        What they tell of their models and have in memory corrects the plan.
        """
        at, kept = self._states
        if kept and self._clock() - at < MEMORY_SECONDS:
            return kept
        found = tuple(await asyncio.gather(*(self._node(name).state() for name in self.profile.nodes)))
        for state in found:
            if state.reachable:
                self._absent.pop(state.name, None)
            else:
                self._note_absence(state.name, state.error, state.hint)
        await asyncio.gather(*(self._learn(state) for state in found))
        _ = self.plan  # made here, so that no decision waits for it
        self._states = (self._clock(), found)
        return found

    async def _learn(self, state: NodeState) -> None:
        """Correct the plan by how a node is. Each model is asked for once."""
        config, seen = self.profile.nodes[state.name], self._seen[state.name]
        if config.memory is None or not state.reachable:
            return
        models = [runner.model for runner in self.profile.runners.values() if runner.node == state.name]
        if self._embeds and self.profile.embedding is not None and self.profile.embedding.node == state.name:
            models.append(self.profile.embedding.model)
        there = [model for model in models if any(same_model(model, one) for one in state.models)]
        if new := [model for model in there if (state.name, model) not in self._told]:
            told = await self._node(state.name).facts(new)
            self._told.update({(state.name, model): facts for model, facts in told.items()})
            self._plan = None
        if changed := {one.model: one for one in state.loaded if seen.get(one.model) != one}:
            seen.update(changed)
            self._plan = None

    def _node(self, name: str) -> Node:
        if name not in self._nodes:
            self._nodes[name] = self._make(self.profile.nodes[name])
        return self._nodes[name]

    def _absence(self, name: str) -> _Absence | None:
        absence = self._absent.get(name)
        return absence if absence is not None and self._clock() < absence.until else None

    def _note_absence(self, name: str, message: str, hint: str) -> None:
        self._absent[name] = _Absence(self._clock() + MEMORY_SECONDS, message, hint)
        self._states = (0.0, ())

    def _is_warm(self, runner: RunnerProfile) -> bool:
        return self._clock() < self._warm[runner.node].get(runner.name, 0.0)

    def _note_answer(self, runner: RunnerProfile, usage: Usage) -> None:
        """An answer says that its model is in memory; one that was loaded for it may have pushed out the others."""
        warm = self._warm[runner.node]
        if usage.load_seconds > _LOADED_AT_ONCE:
            warm.clear()
        if runner.keep_alive != 0:
            warm[runner.name] = self._clock() + _WARM_SECONDS
