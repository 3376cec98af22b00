"""All nodes of a profile: their lines, what is known of their health, and the decisions made."""

import asyncio
import math
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.breaker import Standing
from inference.calibrations import Calibrations
from inference.decision import Decision, Known, NodeView, RunnerView, Wanted
from inference.embedding import Vector, embedded
from inference.ledger import Inputs, Ledger
from inference.mode import GAMING, Modes
from inference.node import (
    Chat,
    Chunk,
    InferenceError,
    Message,
    Node,
    NodeBusy,
    NodeState,
    NodeUnavailable,
    NothingFits,
    Usage,
)
from inference.nodes import Nodes, make_node
from inference.owner import Owner
from inference.pace import LOADED_AT_ONCE, Pace, first_pace
from inference.plan import EMBEDDING, Plan
from inference.policy import decide, mode_hint, why_gated
from inference.profile import NodeConfig, Profile, RunnerProfile, keep_seconds
from inference.room import PlannedRoom
from inference.schedule import Rules, Schedule
from inference.spending import Spending

if TYPE_CHECKING:
    from inference.mode_source import ModeSource

# What is told of a run's progress: name, detail, n of total.
OnPhase = Callable[[str, str, int, int], None]

# Tokens of a prompt and of an answer before one was seen, and bytes of a token for what is only a guess of time.
_PROMPT_TOKENS, _ANSWER_TOKENS, _BYTES = 2000, 250, 4
# Weight of the latest answer in the average length of a command's answers.
_WEIGHT = 0.3
# Seconds of work of texts that become vectors, of loading their model, and how many requests for them run at once.
_EMBED_SECONDS, _EMBED_LOAD_SECONDS, _MOST_ASIDE = 0.1, 1.0, 64
# How often texts that make way for others look whether they may go, in seconds.
_QUIET_SECONDS = 0.05
_KEPT_DECISIONS = 200


class Fleet:
    """The nodes of a profile, each with its line. Lives on one event loop; may be made anywhere.

    Args:
        profile: what there is.
        make_node: makes a node when it is first spoken to.
        embeds: whether the embedding model is used; it takes its place in the memory plan then.
        clock: seconds, for what is remembered and how long things take.
        sleep: waits for so many of them, before something is loaded ahead.
        ledger: where decisions are written down; None where nothing can be kept.
        day: the present day (UTC) as an ISO date, for what nodes may cost in one.
        modes_file: where it is kept which nodes a person set to GAMING; None where nothing can be kept.
    """

    def __init__(
        self,
        profile: Profile,
        make_node: Callable[[NodeConfig], Node] = make_node,
        *,
        embeds: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ledger: Ledger | None = None,
        day: Callable[[], str] = lambda: datetime.now(UTC).date().isoformat(),
        modes_file: Path | None = None,
    ) -> None:
        self.profile = profile
        self.ledger = ledger
        self.tokens = Calibrations(ledger.folder if ledger is not None else None)
        self._clock = clock
        self.nodes = Nodes(profile, make_node, embeds=embeds, clock=clock, on_state=self._observe)
        self._sleep = sleep
        self._answers: dict[str, float] = {}
        self._decisions: deque[Decision] = deque(maxlen=_KEPT_DECISIONS)
        self._questions = 0
        self._spending = Spending(profile, ledger, day)
        self._sources: dict[str, ModeSource] = {}
        self.modes = Modes(profile.nodes, self._ask_mode, self.free, clock=clock, sleep=sleep, file=modes_file)
        self._planned: Plan | None = None
        self._paces: dict[str, Pace] = {}
        self._owners: dict[str, Owner] = {}
        self._owners = {name: self._owner(node) for name, node in profile.nodes.items()}

    def _first_paces(self, plan: Plan) -> dict[str, Pace]:
        """How fast runners are by the plan, those that have answered left out."""
        seats = {seat.runner.name: seat for node in plan.nodes for seat in node.seats}
        new = (name for name in self.profile.runners if name not in self._paces or not self._paces[name].known)
        return {name: first_pace(seats.get(name)) for name in new}

    def _owner(self, node: NodeConfig) -> Owner:
        runners = [one for one in self.profile.runners.values() if one.node == node.name]
        slots = {one.name: one.slots for one in runners}
        keep = {one.name: keep_seconds(one.keep_alive) for one in runners}
        model = self.profile.embedding
        if model is not None and model.node == node.name:
            slots[EMBEDDING], keep[EMBEDDING] = _MOST_ASIDE, keep_seconds(model.keep_alive)
        rules = Rules(node.parallel, node.queue, slots, keep, served=node.kind != "ollama", preload=node.preload)
        schedule = Schedule(rules, self._room(node.name), self._load_seconds)
        return Owner(schedule, lambda name: self._preload(node.name, name), clock=self._clock, sleep=self._sleep)

    def _room(self, node: str) -> PlannedRoom:
        return PlannedRoom(next((one for one in self.plan.nodes if one.node.name == node), None))

    def _load_seconds(self, runner: str) -> float:
        pace = self._paces.get(runner)
        return _EMBED_LOAD_SECONDS if pace is None else pace.load

    async def close(self) -> None:
        """Let go of all connections; what is under way breaks off."""
        await self.modes.close()
        for source in self._sources.values():
            await source.close()
        for owner in self._owners.values():
            await owner.close()
        await self.nodes.close()
        if self.ledger is not None:
            self.ledger.close()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The latest decisions, oldest first."""
        return tuple(self._decisions)

    @property
    def plan(self) -> Plan:
        """The memory plan, by what is known now: what nodes told, else the catalogue."""
        plan = self.nodes.plan()
        if plan is not self._planned:
            self._planned = plan
            self._paces |= self._first_paces(plan)
            for name, owner in self._owners.items():
                owner.schedule.room = self._room(name)
        return plan

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

    def _known(self) -> Known:
        """What is known of nodes and models at this moment."""
        spent = self._spending.today()
        views = {}
        for name, owner in self._owners.items():
            full, breaker, mode = owner.schedule.full, self.nodes.breakers[name], self.modes.of(name)
            views[name] = NodeView(
                answers=not (breaker.stops and breaker.is_away),
                broken=breaker.stops and not breaker.is_away,
                mode=mode.mode if mode is not None else "",
                mode_age=mode.age if mode is not None else 0.0,
                full=full,
                retry_seconds=owner.retry_after() if full else 1.0,
                spent=spent.get(name, 0.0),
            )
        runners = {name: self._runner_view(runner) for name, runner in self.profile.runners.items()}
        return Known(views, self.plan.over, self.plan.unable, runners)

    def _runner_view(self, runner: RunnerProfile) -> RunnerView:
        owner = self._owners[runner.node]
        load = owner.load_seconds(runner.name)
        if not owner.is_busy and not owner.schedule.loading:
            return RunnerView(load, load)
        return RunnerView(owner.eta(runner.name, self._paces[runner.name].work(_PROMPT_TOKENS, _ANSWER_TOKENS)), load)

    def _write(self, inputs: Inputs, made: Decision | InferenceError, identity: str) -> None:
        if self.ledger is not None:
            self.ledger.write(inputs, made, identity)

    async def chat(
        self,
        decision: Decision,
        messages: Sequence[Message],
        *,
        on_phase: OnPhase,
        answer_tokens: int | None = None,
        schema: Mapping[str, Any] | None = None,
        until: float = math.inf,
    ) -> AsyncGenerator[Chunk, None]:
        """Wait for a place at the node, then stream the answer. Closing the iterator, or cancelling it, ends both.

        Args:
            decision: where, and with which model.
            messages: the prompt.
            on_phase: told "queued" with the place in the line and its length while waiting ("loading" while it waits
                for its own model alone), then once, before the first chunk, "loading" if the model is not in memory,
                else "thinking".
            answer_tokens: the most the answer may have, if less than the decision reserves.
            schema: JSON Schema that the node is asked to keep the answer to; not every node does.
            until: when the caller's time is over, by the clock of the event loop; a node that is silent then failed.

        Raises:
            InferenceError: see `inference.node`. To end it at the deadline is the caller's business.
        """
        runner = self.profile.runners[decision.runner]
        mode = self.modes.of(runner.node)
        if mode is not None and mode.now == GAMING:
            runner = replace(runner, keep_alive=0)  # it was forced, and goes again when it is done
        tokens = min(answer_tokens or decision.answer_tokens, decision.answer_tokens)
        chat = Chat(runner, tuple(messages), tokens, schema)
        owner = self._owners[runner.node]
        if not owner.is_sure:
            await self._look(runner.node)

        def on_wait(place: int) -> None:
            if owner.schedule.loading == runner.name and not owner.schedule.running:
                on_phase("loading", runner.model, 0, 0)
            else:
                on_phase("queued", runner.model, place, owner.schedule.waiting)

        async with owner.turn(runner.name, self._work(chat, decision.command), on_wait) as loads:
            if not decision.is_forced:
                self._check_mode(decision.node)
            cost = self._spending.reserve(runner)
            try:
                # Those that waited behind a node that went away need not find out one by one.
                with self.nodes.breakers[decision.node].asking(runner.model, until) as heard:
                    on_phase("loading" if loads else "thinking", runner.model, 0, 0)
                    async with aclosing(self._stream(chat, decision.command, owner)) as chunks:
                        async for chunk in chunks:
                            heard()
                            if chunk.usage is not None:
                                self._spending.settle(runner, cost, chunk.usage)
                            yield chunk
            except NodeUnavailable:
                self._spending.give_back(runner, cost)
                raise

    def _work(self, chat: Chat, command: str) -> float:
        """Seconds that an answer will probably take: its prompt is known, and how long such answers were."""
        answer = min(self._answers.get(command, _ANSWER_TOKENS), chat.answer_tokens)
        return self._paces[chat.runner.name].work(_prompt_tokens(chat), answer)

    async def _stream(self, chat: Chat, command: str, owner: Owner) -> AsyncGenerator[Chunk, None]:
        """The answer of a node whose turn is ours. One that is not whole says nothing of the node's memory."""
        begun = whole = False
        try:
            async with aclosing(self.nodes[chat.runner.node].chat(chat)) as chunks:
                async for chunk in chunks:
                    if not begun:
                        begun = True
                        owner.loaded(chat.runner.name)
                    if chunk.usage is not None:
                        whole = True
                        self._learn_pace(chat, command, chunk.usage, owner)
                    yield chunk
        finally:
            if not whole:
                owner.doubt()
                if begun:
                    self._was_loaded(chat.runner.name)

    def _learn_pace(self, chat: Chat, command: str, usage: Usage, owner: Owner) -> None:
        name = chat.runner.name
        self._paces[name] = self._paces[name].learned(usage, _prompt_tokens(chat))
        if usage.load_seconds > LOADED_AT_ONCE:
            owner.doubt()  # what was loaded may have pushed out others than was thought
        if usage.completion_tokens:
            before = self._answers.get(command, usage.completion_tokens)
            self._answers[command] = before + _WEIGHT * (usage.completion_tokens - before)

    def _check_mode(self, name: str) -> None:
        """Let nobody in whom a node's mode keeps away; that may have changed while they waited.

        Raises:
            NodeUnavailable: it does.
        """
        node, mode = self.profile.nodes[name], self.modes.of(name)
        if mode is not None and (reason := why_gated(node, mode.mode, mode.age)):
            raise NodeUnavailable(reason, hint=mode_hint(node))

    async def _ask_mode(self, node: NodeConfig) -> str:
        from inference.mode_source import ModeSource  # noqa: PLC0415 - as `make_node`

        source = self._sources.get(node.name) or self._sources.setdefault(node.name, ModeSource(node))
        return await source.ask()

    async def free(self, name: str) -> None:
        """Take our models out of the memory of a node that is there for a game now, unless somebody uses one."""
        owner = self._owners[name]
        is_empty = owner.is_sure and not owner.schedule.resident(self._clock())
        if owner.is_busy or is_empty or owner.schedule.rules.served:
            return
        state = await self.nodes[name].state()
        if not state.reachable:
            owner.not_told()
            return
        self._observe(state)
        for runner in self.nodes.in_memory(state):
            owner.doubt()  # it takes a moment until it is gone
            with suppress(InferenceError):
                await self.nodes[name].unload(self.nodes.models(name)[runner])

    async def look(self) -> None:
        """Ask nodes for what is not known of their memory and modes, so that a decision goes by it. Not for long."""
        await self.modes.look()
        names = [name for name, owner in self._owners.items() if not (owner.is_sure or self.nodes.breakers[name].stops)]
        if names:
            await asyncio.gather(*(self._look(name) for name in names))

    async def _look(self, name: str) -> None:
        """Ask a node what is in its memory, and do not wait long."""
        if await self.nodes.look(name) is None:
            self._owners[name].not_told()

    def _observe(self, state: NodeState) -> None:
        """A node told how it is, and so what is in its memory."""
        if self.profile.nodes[state.name].kind != "ollama":
            return
        there = self.nodes.in_memory(state)
        self._owners[state.name].observed(there)
        for name in there:
            self._was_loaded(name)

    def _was_loaded(self, runner: str) -> None:
        """A model is in memory, so its file is in the machine's for a while."""
        if runner in self._paces:
            self._paces[runner] = replace(self._paces[runner], known=True)

    async def _preload(self, node: str, runner: str) -> None:
        """Load a model that is to stay, while nobody waits: a request without words does that.

        Raises:
            InferenceError: it could not be loaded, or another program has a model there that would have to go.
        """
        await self.modes.look()
        self._check_mode(node)
        state = await self.nodes[node].state()
        if strange := self.nodes.strangers(state):
            raise NodeBusy(f"another program has {strange[0]} in the memory of node {node}")
        if runner == EMBEDDING and self.profile.embedding is not None:
            with self.nodes.breakers[node].asking(self.profile.embedding.model):
                await self.nodes[node].embed(self.profile.embedding, [])
            return
        chat, began = Chat(self.profile.runners[runner], (), 1), self._clock()
        with self.nodes.breakers[node].asking(chat.runner.model) as heard:
            async with aclosing(self.nodes[node].chat(chat)) as chunks:
                async for chunk in chunks:
                    heard()
                    if chunk.usage is not None:  # an answer without words does not tell how long it took
                        usage = replace(chunk.usage, load_seconds=self._clock() - began)
                        self._paces[runner] = self._paces[runner].learned(usage, 0)

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
        owner = self._owners[model.node]
        await self.modes.look()
        while not question and (self._questions or owner.is_busy):  # noqa: ASYNC110 - no one event says it
            await asyncio.sleep(_QUIET_SECONDS)
        prefix = model.query_prefix if question else model.document_prefix
        self._questions += question
        try:
            async with owner.turn(EMBEDDING, _EMBED_SECONDS, aside=True):
                self._check_mode(model.node)
                with self.nodes.breakers[model.node].asking(model.model):
                    vectors = await embedded(self.nodes[model.node], model, texts, prefix)
                owner.loaded(EMBEDDING)
                return vectors
        finally:
            self._questions -= question

    async def states(self) -> tuple[NodeState, ...]:
        """How all nodes are, and their modes; see `inference.nodes.Nodes.states`."""
        found, _ = await asyncio.gather(self.nodes.states(), self.modes.look())
        _ = self.plan  # made here, so that no decision waits for it
        return found

    def breakers(self) -> Mapping[str, Standing]:
        """How the breaker of each node stands."""
        return self.nodes.standings()

    def addresses(self) -> dict[str, str]:
        """The address of each node."""
        return {name: node.url for name, node in self.profile.nodes.items()}

    def lines(self) -> dict[str, dict[str, Any]]:
        """The line before each node, and how near its models are: hot (in memory), loading, warm or cold."""
        return {name: self._line(name, owner) for name, owner in self._owners.items()}

    def _line(self, node: str, owner: Owner) -> dict[str, Any]:
        schedule, there = owner.schedule, owner.schedule.resident(self._clock())
        models = []
        for name, runner in self.profile.runners.items():
            if runner.node == node:
                pace = self._paces[name]
                heat = "hot" if name in there else "warm" if pace.known else "cold"
                models.append(
                    {
                        "runner": name,
                        "model": runner.model,
                        "state": "loading" if name == schedule.loading else heat,
                        "load_seconds": round(pace.load, 1),
                        "tokens_per_second": round(pace.writes, 1),
                    }
                )
        return {"running": schedule.running, "waiting": schedule.waiting, "models": models}


def _prompt_tokens(chat: Chat) -> float:
    """Tokens of a prompt, roughly: what follows from it is a guess of time."""
    return sum(len(message.content.encode("utf-8", "replace")) for message in chat.messages) / _BYTES
