"""Runs a command from request to checked answer: one stream of events."""

import asyncio
import math
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from commands import events, health
from commands.brief import ANSWERS, Matter, facts
from commands.capture import capture
from commands.check import citations
from commands.edits import StaleError, change_of
from commands.entities import Entities
from commands.events import FINAL, Event
from commands.filing import filing, synthesis_of
from commands.gate import Gate
from commands.gather import WAYS, Gathering
from commands.house import House
from commands.journal import ClashError, ConfirmError
from commands.order import days_begin
from commands.places import PlaceError
from commands.routing import (
    ANSWER_TOKENS,
    QUESTION_TOKENS,
    Candidate,
    Choice,
    ChoiceError,
    candidates,
    complexity,
    question,
    read_choice,
    schema,
    states,
)
from commands.select import Selected, Selection, at_hand, build, gathering, kept_receipt
from commands.select import replay as replay_receipt
from context.assemble import BYTES4, Context, Counter, Passage
from context.cache import digest
from context.calendar import WEEKDAYS, Calendar, CalendarError, calendar
from context.query import scope, select
from context.vault import NoteGoneError, Snapshot
from inference.decision import Decision, Wanted
from inference.node import (
    Chunk,
    ContextTooLarge,
    DeadlineExceeded,
    InferenceError,
    Message,
    ModelMissing,
    NodeBusy,
    NodeUnavailable,
    NothingFits,
    OverBudget,
    UpstreamFault,
    Usage,
)
from inference.policy import BIG, decide, forced
from inference.tokens import Rates, Size, size_of
from prompts import Prompt

# What a chat template adds around two messages, in tokens; generous for every template known.
_TEMPLATE_TOKENS = 64
# Faults of the model side after which a command still answers from the vault alone.
_WITHOUT_MODEL = (NodeUnavailable, ModelMissing, OverBudget, UpstreamFault, ContextTooLarge)
# A context asked for without a command, and without naming ways of gathering.
DEFAULT_GATHER = {"search": 0.75, "maps": 0.25}
_DEFAULT_BUDGET = 4000
_ANSWER_SCHEMA = 1
# A note may be saved by the person in the moment their words go into it; then it is read anew.
_TRIES = 5
# A model that chose what is not there is told so, once.
_CHOICES = 2
_COUNTS = ("prompt_eval_count", "completion_tokens")
_NO_USAGE = {"prompt_tokens": 0, "prompt_eval_count": None, "num_ctx": 0, "completion_tokens": None}
# Seconds in which a run that has kept the person's words ends after its deadline.
_LAST_SECONDS = 2.0
_NOTHING = Context((), (), 0, 0, "")
# A prompt that has so many times the tokens that it was counted with is longer than expected.
_MORE = 1.15
# What the window leaves for passages is rounded down to whole steps of so many tokens: an edit elsewhere that makes the
# prompt a few words longer then still leads to the same passages, and the node reads them out of its cache.
_STEP = 128
# The marks between which notes and other texts stand in the prompt; none may begin or end inside of one.
_MARK = re.compile(r"<(?=\s*/?\s*(?:note|selection|facts)\b)", re.IGNORECASE)


class CommandError(Exception):
    """A request that cannot be carried out as it stands.

    Attributes:
        code: `invalid`, `not_found` or `context_too_large`.
        hint: what to do about it.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in, its shape already checked; None and "" mean "as the command says".

    `force` asks for the big model, whatever the mode of its node is.
    """

    text: str = ""
    note: str | None = None
    selection: str | None = None
    scope: Mapping[str, Any] | None = None
    tier: str | None = None
    model: str | None = None
    node: str | None = None
    budget_tokens: int | None = None
    timezone: str | None = None
    now: str | None = None
    apply: str | None = None
    dry_run: bool = False
    fresh: bool = False
    follows: str | None = None
    force: bool = False
    gather: Sequence[str] | Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier run that a request follows: what was asked, what was answered, and by which node ("": by none)."""

    question: str
    answer: str
    node: str = ""


@dataclass
class _Job:
    """One run under way.

    Attributes:
        house, prompt, request, id, emit: what it was begun with.
        earlier: the run it follows.
        calendar: the person's today.
        open_note: the path of the note the person has open, "" for none.
        at: when it began, in seconds since the epoch: what changes from then on is news to the next run.
        began: the same by the clock that timings are taken with.
        until: when its time is over, by the clock of the event loop.
        edits: what was written or is proposed.
        ready, gate: how far it has come.
        routing, choice: which projects the words may belong to, and what a model chose of them.
        filing: whether anything was proposed for other notes, once that has begun.
    """

    house: House
    prompt: Prompt
    request: Request
    id: str
    emit: Callable[[Event], None]
    earlier: Earlier | None
    calendar: Calendar
    open_note: str
    at: float
    began: float
    timings: dict[str, float] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    ready: "_Ready | None" = None
    gate: Gate | None = None
    routing: "_Routing | None" = None
    choice: Choice | None = None
    until: float = math.inf
    filing: "asyncio.Future[bool] | None" = None

    def clock(self, name: str) -> None:
        """Note the milliseconds since the run began."""
        self.timings[name] = round((time.perf_counter() - self.began) * 1000, 1)

    @property
    def private(self) -> bool:
        """Whether the request itself carries private words: the open note, or an answer made where they may be read."""
        notes = self.house.vault.snapshot.notes
        if self.open_note and notes[self.open_note].private:
            return True
        inside = self.earlier is not None and _stays_inside(self.house, self.earlier.node)
        return inside and any(note.private for note in notes.values())


@dataclass(frozen=True, slots=True)
class _Routing:
    """The vault's names, the projects that words may belong to, and what a project's status may be."""

    entities: Entities
    choices: tuple[Candidate, ...]
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Ready:
    """What is sent to a model, and what an answer without one is made of; `bare` is the prompt without passages."""

    selected: Selected
    matter: Matter
    messages: tuple[Message, ...]
    usage: dict[str, Any]
    private: bool
    bare: tuple[Message, ...] = ()


async def run(
    house: House,
    command: str,
    request: Request,
    *,
    run_id: str,
    earlier: Callable[[str], Earlier | None] = lambda _: None,
) -> AsyncIterator[Event]:
    """Run a command. Yields `started` first and exactly one `done` or `failed` last, whatever happens.

    Closing the iterator, or cancelling the task that reads it, ends the work behind it, the node's included.

    Args:
        house: what it works with.
        command: a name out of `house.prompts`.
        request: what the person asks.
        run_id: the run's id, in every first and last event.
        earlier: finds an earlier run by its id, for `follows`.
    """
    queue: asyncio.Queue[Event] = asyncio.Queue()
    work = asyncio.create_task(_work(house, command, request, run_id, earlier, queue.put_nowait))
    try:
        while True:
            event = await queue.get()
            yield event
            if event.name in FINAL:
                return
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def _work(
    house: House,
    command: str,
    request: Request,
    run_id: str,
    earlier: Callable[[str], Earlier | None],
    emit: Callable[[Event], None],
) -> None:
    emit(Event("started", {"run": run_id, "command": command}))
    try:
        await _carry_out(_job(house, command, request, run_id, earlier, emit))
    except asyncio.CancelledError:
        # Nobody hears it who ended the run himself; it is for a cancel that came from below.
        emit(events.failed(run_id, CommandError("cancelled", "the work was broken off", "Run the command again.")))
        raise
    except Exception as error:  # noqa: BLE001 - whatever happens, a run ends with one event that says so
        _report(error)
        emit(events.failed(run_id, error))


def _report(error: Exception) -> None:
    """What nobody foresaw goes to the log with its trace; the person gets the event."""
    if not isinstance(getattr(error, "code", None), str):
        import logging  # noqa: PLC0415 - only on a fault

        logging.getLogger("knowledge_os").error("a command failed unexpectedly", exc_info=error)


def _job(
    house: House,
    command: str,
    request: Request,
    run_id: str,
    earlier: Callable[[str], Earlier | None],
    emit: Callable[[Event], None],
) -> _Job:
    prompt = house.prompts.get(command)
    if prompt is None:
        raise CommandError(
            "not_found", f"there is no command {command[:40]!r}", f"Commands: {', '.join(house.prompts)}."
        )
    if prompt.text == "required" and not request.text.strip():
        raise CommandError("invalid", f"{command} needs a text", f"For example: kos {command} {prompt.argument_hint}")
    if request.apply not in (None, "none") and not prompt.writes:
        hint = "Leave apply out, or send none; the answer says what belongs where."
        raise CommandError("invalid", f"{command} writes nothing, so there is nothing to apply", hint)
    before = None
    if request.follows:
        before = earlier(request.follows)
        if before is None:
            raise CommandError(
                "not_found", "the run that this one follows is not known", "Leave `follows` out, or name a kept run."
            )
    today, note = _calendar(house, request), _open_note(house, request.note)
    return _Job(house, prompt, request, run_id, emit, before, today, note, time.time(), time.perf_counter())


def _calendar(house: House, request: Request) -> Calendar:
    try:
        return calendar(request.now or house.settings.now, request.timezone or house.settings.timezone)
    except CalendarError as error:
        raise CommandError("invalid", str(error)) from None


async def _carry_out(job: _Job) -> None:
    seconds = _deadline(job)
    job.until = asyncio.get_running_loop().time() + seconds
    if job.prompt.tier != "none":
        await job.house.fleet.look()
    decision, fault = _decide(job)
    if "capture" in job.prompt.writes and not job.request.dry_run:
        # What is wrong with the request is said before anything is written.
        await asyncio.to_thread(select, job.house.vault.snapshot, scope(job.request.scope))
        await asyncio.to_thread(_capture, job)
        job.emit(Event("proposed", {"edits": job.edits}))
        job.clock("captured_ms")
    try:
        async with asyncio.timeout_at(job.until):
            await _answer(job, decision, fault)
    except TimeoutError:
        hint = "Ask again, ask for less, or name a faster tier."
        late = DeadlineExceeded(f"{job.prompt.name} took longer than its {seconds} seconds", hint=hint)
        if not job.edits:
            raise late from None
        await _end_with_what_is_kept(job, late)
    except (InferenceError, CommandError) as error:
        if not job.edits:
            raise
        await _end_with_what_is_kept(job, error)


async def _end_with_what_is_kept(job: _Job, error: InferenceError | CommandError) -> None:
    """End a run that has kept the words: if it failed, the person would send them again, and have them twice.

    What is said beside them must not take long any more: the time may be over because the vault is slow.
    """
    try:
        async with asyncio.timeout(_LAST_SECONDS):
            ready, gate = job.ready, job.gate
            if ready is None:
                ready = await _gathered(job, None, BYTES4)
            if gate is None or not gate.given:
                gate = _gate(job, ready)
                await asyncio.to_thread(_alone, job, ready.matter, gate)
            else:
                _say(job, gate.finish())
            _say_fault(job, error)
            await _finish(job, ready, None, gate, cached=False)
    except TimeoutError:
        _say_fault(job, error)
        _done(job, job.ready, None, job.gate, cached=False)


async def _answer(job: _Job, decision: Decision | None, fault: InferenceError | None) -> None:
    job.emit(events.phase("reading", f"{len(job.house.vault.snapshot.notes)} notes"))
    ready = await _gathered(job, decision, BYTES4 if decision is None else _counter(_rates(job, decision)))
    about_now = job.prompt.without_model in {"briefing", "skeleton"}
    if about_now and ready.matter.survey.empty and not job.request.text.strip():
        decision = fault = None  # a model asked about nothing makes something up
    if decision is not None:
        job.emit(Event("decided", {"stage": "answer", "decision": decision.as_dict()}))
        if decision.degraded:
            job.degraded.append("tier")
            hint = "Start the node that is away, or change `fail_soft` in the profile."
            job.findings.append(_notice("stand_in", decision.why, hint))
    gate, cached = _gate(job, ready), False
    if decision is not None and not job.request.dry_run:
        try:
            try:
                cached = await _generate(job, decision, ready, gate)
            except ContextTooLarge as error:
                if gate.given:
                    raise
                tight = replace(decision, num_ctx=min(decision.num_ctx, error.num_ctx))
                counter = _counter(_recounted(job, tight, ready.messages, error))
                try:
                    ready = await _gathered(job, tight, counter)
                except CommandError:  # not even the words alone fit
                    raise error from None
                gate = _gate(job, ready)
                cached = await _generate(job, decision, ready, gate)
        except _WITHOUT_MODEL as error:
            if gate.given or not _can_do_without(job.prompt, error):
                raise
            fault, gate = error, _gate(job, ready)
    if fault is not None:
        _say_fault(job, fault)
    elif decision is not None and job.edits:
        await _choose(job, decision, ready, gate)
    if (decision is None or fault is not None) and not job.request.dry_run:
        await asyncio.to_thread(_alone, job, ready.matter, gate)
    await _finish(job, ready, decision, gate, cached=cached)


def _capture(job: _Job) -> None:
    """Put the person's words into their daily note, at once and before anything can fail that the words do not need.

    Raises:
        CommandError: there is no place for the history, without which nothing is written.
        PlaceError, OSError: the note cannot be written.
    """
    vault, journal, request = job.house.vault, job.house.journal, job.request
    if journal is None:
        raise CommandError(
            "conflict",
            "the state folder cannot be written, and nothing is written that could not be undone",
            "Give --state-dir a folder that can be written; your words are not saved.",
        )
    job.emit(events.phase("writing", "your words"))
    for tries in range(_TRIES):
        change = capture(vault, job.calendar, request.text, job.house.settings.capture_heading)
        edit = journal.propose([change], title="your words", command=job.prompt.name, run=job.id)
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
    job.edits.append(edit.as_dict())


def _file(job: _Job) -> bool:
    """Propose what the kept words mean for other notes, and apply it if that was asked; whether there is anything."""
    vault, journal, request = job.house.vault, job.house.journal, job.request
    if journal is None:
        return False
    kept = change_of(job.edits[0]["changes"][0])
    try:
        data: bytes | None = vault.data(kept.path)
    except NoteGoneError:
        data = None
    # What comes to the note of the day is for the version that it has once the words are in it; a client that writes
    # them itself may have done so by now.
    with suppress(StaleError):
        data = kept.apply(data)
    routing = _routing(job, private=True)
    changes = filing(
        vault,
        routing.entities,
        job.calendar,
        request.text,
        (kept.path, data or b""),
        heading=job.house.settings.capture_heading,
        choices=routing.choices,
        choice=job.choice,
        synthesis=synthesis_of(job.gate.given) if job.gate is not None and "model" not in job.degraded else "",
    )
    if not changes:
        return False
    edit = journal.propose(changes, title="what your words mean for other notes", command=job.prompt.name, run=job.id)
    if request.apply == "all":
        try:
            edit = journal.apply(edit.id)
        except (ClashError, ConfirmError, PlaceError, OSError) as error:
            hint = getattr(error, "hint", "") or "Look at it with `kos edits`, and apply it from there."
            job.findings.append(_notice("not_applied", f"{edit.title}: {error}", hint))
        else:
            vault.refresh()
    job.edits.append(edit.as_dict())
    return True


def _routing(job: _Job, *, private: bool) -> _Routing:
    """The projects the words may belong to; looked for once. Searches: runs in a thread."""
    if job.routing is None:
        vault, request = job.house.vault, job.request
        snapshot = vault.snapshot
        project = scope(request.scope).project
        path = snapshot.names.resolve(project, "") if project else None
        entities = Entities(snapshot, private=True)
        found = candidates(vault, entities, request.text, projects=[path] if path else [], private=private)
        job.routing = _Routing(entities, found, states(snapshot, private=private))
    return job.routing


async def _choose(job: _Job, decision: Decision, ready: _Ready, gate: Gate) -> None:
    """Let the model choose among the projects that the words may belong to, once more if what it says is no choice.

    It is asked behind its own answer, so the node reads only the question anew. Should it not choose, the rule does.
    """
    inside = _stays_inside(job.house, decision.node)
    routing = await asyncio.to_thread(_routing, job, private=inside)
    shown = [one for one in routing.choices if inside or not one.note.private]
    if not shown:
        return
    asked, before = question(shown, routing.states), Message("assistant", gate.given)
    for _ in range(_CHOICES):
        try:
            said = await _ask_in_room(job, decision, ready, before, asked, schema(shown, routing.states))
            job.choice = _clean(job, read_choice(said, shown, routing.states))
        except ChoiceError as error:
            asked += f"\nAn answer before this one could not be used: {error}."
        except InferenceError as error:
            job.findings.append(_notice(error.code, f"The words were filed by rule: {error}", error.hint))
            break
        else:
            return
    else:
        hint = "Name the project in your words, or with #project, when one is missing."
        job.findings.append(_notice("no_choice", f"{decision.model} chose no projects; the rule did.", hint))
    job.degraded.append("routing")


async def _ask_in_room(
    job: _Job, decision: Decision, ready: _Ready, before: Message, asked: str, form: Mapping[str, Any]
) -> str:
    """The same as `_ask`, behind the whole prompt; when that is too long, once more behind the one without notes."""
    more = (before, Message("user", asked))
    try:
        return await _ask(job, decision, (*ready.messages, *more), form)
    except ContextTooLarge:
        if ready.bare == ready.messages:
            raise
        return await _ask(job, decision, (*ready.bare, *more), form)


async def _ask(job: _Job, decision: Decision, messages: Sequence[Message], form: Mapping[str, Any]) -> str:
    """One answer in a form, whole.

    Raises:
        InferenceError: see `inference.node`; also when question and answer do not fit the window.
    """
    tokens = _tokens(messages, _counter(_rates(job, decision)))
    if tokens + ANSWER_TOKENS > decision.num_ctx:
        hint = "Name a tier with a larger window, or file less at once."
        message = f"choosing projects takes about {tokens} tokens, and {decision.model} takes {decision.num_ctx}"
        raise ContextTooLarge(message, prompt_tokens=tokens, num_ctx=decision.num_ctx, hint=hint)
    parts: list[str] = []

    def on_phase(name: str, _: str, n: int, total: int) -> None:
        job.emit(events.phase(name, "which projects it belongs to", n, total))

    stream = _chat(job, decision, messages, answer_tokens=ANSWER_TOKENS, on_phase=on_phase, schema=form)
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            parts.append(chunk.text)
            if chunk.usage is not None:
                _compare(job, decision, messages, tokens, chunk.usage, ANSWER_TOKENS)
    return "".join(parts)


def _clean(job: _Job, choice: Choice) -> Choice:
    """The choice with its texts through a gate of their own: they go into notes."""

    def through(text: str) -> str:
        gate = Gate(job.house.vault.snapshot, [job.request.text])
        gate.feed(text)
        gate.finish()
        return " ".join(gate.given.split())

    updates = {path: replace(one, log=through(one.log), next=through(one.next)) for path, one in choice.updates.items()}
    return replace(choice, updates=updates)


def _gate(job: _Job, ready: _Ready) -> Gate:
    """A gate that repeats only addresses of the passages and of the person's own words."""
    texts = [passage.text for passage in ready.selected.context.passages]
    job.gate = Gate(ready.matter.snapshot, [*texts, job.request.text])
    return job.gate


def _say_fault(job: _Job, fault: InferenceError | CommandError) -> None:
    """Why no model answered; said once."""
    if any(one["message"] == str(fault) for one in job.findings):
        return
    if "model" not in job.degraded:
        job.degraded.append("model")
    job.findings.append({"code": fault.code, "weight": "error", "path": "", "message": str(fault), "hint": fault.hint})


def _can_do_without(prompt: Prompt, error: InferenceError) -> bool:
    """A node that is away never ends a command; a fault that a person can mend ends those that need a model's words."""
    return isinstance(error, NodeUnavailable) or prompt.without_model in {"briefing", "health"}


def _decide(job: _Job) -> tuple[Decision | None, InferenceError | None]:
    """The node and model, or why there is none although the command could do without."""
    request, fleet, prompt = job.request, job.house.fleet, job.prompt
    if prompt.tier == "none":
        return None, None
    tier, task = prompt.tier, ""
    if prompt.complex_tier != tier:
        hard = complexity(request.text, more=bool(request.selection or request.follows))
        tier, task = (prompt.complex_tier, f"complex words ({hard})") if hard else (tier, "simple words")
    force = _force(job)
    wanted = Wanted(
        prompt.name,
        tier=request.tier or "",
        model="" if force == "model" else request.model or "",
        node=request.node or "",
        task=task,
        force=force,
    )
    now = replace(
        wanted,
        private=job.private,
        text_tokens=Rates().count(request.text + (request.selection or "")),
        answer_tokens=prompt.answer,
        deadline_seconds=float(_deadline(job)),
    )
    try:
        return fleet.decide(now, tier), None
    except NodeUnavailable as error:
        return None, error
    except (OverBudget, NodeBusy, ContextTooLarge) as error:
        # The words of the person are kept, whatever is wrong with the models.
        if "capture" in prompt.writes or (isinstance(error, OverBudget) and _can_do_without(prompt, error)):
            return None, error
        raise
    except NothingFits as error:
        if not job.private:
            raise
        # Whatever else is wrong with the request is said; words that no node may see are answered by the vault alone.
        decide(fleet.profile, wanted, default_tier=tier, id="")
        return None, error


def _force(job: _Job) -> str:
    """How the person forces the big model, "" if they do not.

    The pattern is looked for in their own words only: not in notes, nor in what is selected there, nor in what was said
    before.
    """
    if job.request.force:
        return "header"
    if (job.request.model or "").casefold() == BIG:
        return "model"
    return "pattern" if forced(job.request.text, job.house.settings.force_pattern) else ""


def _deadline(job: _Job) -> int:
    """Seconds after which the run ends."""
    return min(filter(None, (job.prompt.deadline, job.house.settings.deadline_seconds)))


def _stays_inside(house: House, node: str) -> bool:
    """Whether what a node sees stays in the house: no node at all, a local one, or a trusted one in the LAN."""
    config = house.fleet.profile.nodes.get(node)
    return config is None or config.sees_private


def _rates(job: _Job, decision: Decision) -> Rates:
    return job.house.fleet.tokens.of(decision.node, decision.model).rates


def _counter(rates: Rates) -> Counter:
    return Counter(rates.id, rates.count)


def _size(messages: Sequence[Message]) -> Size:
    return size_of(message.content for message in messages)


def _recounted(job: _Job, decision: Decision, messages: Sequence[Message], error: ContextTooLarge) -> Rates:
    """The rates that fit what the node counted in a prompt too long for it, or, untold, half a window too much.

    A tenth is added to what is untold, since other passages of the same notes may count worse.
    """
    size, rates = _size(messages), _rates(job, decision)
    counted = error.prompt_tokens or decision.num_ctx * 3 / 2 * 1.1
    return rates.denser(max(1.0, counted / (rates.tokens(size) + _TEMPLATE_TOKENS)))


async def _gathered(job: _Job, decision: Decision | None, counter: Counter) -> _Ready:
    """Gather and write the prompt, and say what was gathered."""
    ready = job.ready = await asyncio.to_thread(_prepare, job, decision, counter)
    job.clock("gathered_ms")
    _say_gathered(job, ready.selected)
    return ready


def _prepare(job: _Job, decision: Decision | None, counter: Counter) -> _Ready:
    """Survey, gather within what the model's window leaves, and write the prompt. Reads files: runs in a thread."""
    house, prompt, request = job.house, job.prompt, job.request
    wanted = Selection(
        text=" ".join(filter(None, (request.text, request.selection))),
        gather=_shares(request.gather) if request.gather else prompt.gather,
        budget=min(prompt.budget, request.budget_tokens or prompt.budget),
        counter=_with_fence(counter),
        scope=scope(request.scope),
        calendar=job.calendar,
        recent_days=prompt.recent_days,
        since=house.vault.index.last_run(prompt.name),
        open_note=job.open_note,
        private=decision is None or _stays_inside(house, decision.node),
        fresh=request.fresh,
        stable=True,
        vectors=house.vectors_for(private=job.private),
    )
    found = gathering(house.vault, wanted)
    matter = _matter(job, found)
    instructions, told = _instructions(job), _facts(job, matter)
    alone = _messages(job, instructions, told, found.snapshot)
    bare = _tokens(alone, counter)
    if decision is not None:
        room = decision.num_ctx - _answer_tokens(prompt, decision) - bare
        if room < 0:
            raise CommandError(
                "context_too_large",
                f"the text alone is about {bare} tokens, and {decision.model} takes {decision.num_ctx} with the answer",
                "Shorten the text, or name a tier with a larger window.",
            )
        if prompt.writes:  # the model is asked once more, behind its answer
            room = max(0, room - QUESTION_TOKENS - ANSWER_TOKENS)
        if room < wanted.budget:
            wanted = replace(wanted, budget=room // _STEP * _STEP)
    selected = _built(house, wanted, found)
    messages = _messages(job, instructions, told, found.snapshot, selected.context.passages)
    usage = {
        "prompt_tokens": _tokens(messages, counter) if decision else 0,
        "prompt_eval_count": None,
        "num_ctx": decision.num_ctx if decision else 0,
        "completion_tokens": None,
    }
    matter = replace(matter, context=selected.context)
    return _Ready(selected, matter, messages, usage, job.private or found.holds_private, alone)


def _built(house: House, wanted: Selection, found: Gathering | None = None) -> Selected:
    selected = build(house.vault, house.cache, wanted, found, house.latest)
    if not wanted.fresh:
        house.rates.count("context", hit=selected.cached)
    return selected


def _tokens(messages: Sequence[Message], counter: Counter) -> int:
    return sum(counter.count(message.content) for message in messages) + _TEMPLATE_TOKENS


def _with_fence(counter: Counter) -> Counter:
    """The counter of passages that counts the marks around each as well: their sum is then what the prompt grows by."""
    marks = counter.count(_fenced("", "", "") + "\n\n")
    return Counter(f"{counter.id}+{marks}", lambda text: counter.count(text) + marks)


def _shares(gather: Sequence[str] | Mapping[str, float]) -> dict[str, float]:
    """Ways of gathering asked for by name share the budget evenly; as a mapping they name their percent.

    Raises:
        CommandError: an unknown way.
    """
    for way in gather:
        if way not in WAYS:
            raise CommandError(
                "invalid", f"gather has no way {str(way)[:40]!r}", f"It takes {', '.join(sorted(WAYS))}."
            )
    if isinstance(gather, Mapping):
        return {way: max(0.0, min(float(share), 100.0)) / 100 for way, share in gather.items()}
    return {way: 1 / len(gather) for way in gather}


def _open_note(house: House, note: str | None) -> str:
    """The path of the note the person has open.

    Raises:
        CommandError: it is no note of the vault.
    """
    if not note:
        return ""
    path = house.vault.snapshot.names.resolve(note, "")
    if path is None or path not in house.vault.snapshot.notes:
        raise CommandError(
            "not_found", "the open note is not in the vault", "Send `note` as a path relative to the vault."
        )
    return path


def _matter(job: _Job, ready: Gathering) -> Matter:
    """What an answer without a model is made of, its passages still to come."""

    def text(path: str) -> str:
        read = ready.read(path)
        known = ready.notes.get(path)
        # Offsets of the snapshot's headings and tasks only mean something in the text they were read from.
        return read[1] if read and known and read[0].digest == known.digest else ""

    found = health.check(ready.snapshot, ready.notes, ready.survey) if job.prompt.without_model == "health" else []
    return Matter(ready.snapshot, ready.notes, ready.survey, _NOTHING, found, text)


def _facts(job: _Job, matter: Matter) -> str:
    """What the vault says of now, for a prompt that speaks of facts; "" for one that does not."""
    if "facts" not in job.prompt.blanks:
        return ""
    return f"<facts>\n{_defused(facts(matter, job.prompt.without_model))}\n</facts>"


def _instructions(job: _Job) -> str:
    """What the model is told to do, with the person's words."""
    request, today = job.request, job.calendar.today
    earlier = job.earlier
    language = job.house.settings.language
    blanks = {
        "today": today.isoformat(),
        "weekday": WEEKDAYS[today.weekday()],
        "text": f"The person says:\n{request.text.strip()}" if request.text.strip() else "",
        "selection": f"They have selected this text:\n<selection>\n{_defused(request.selection)}\n</selection>"
        if request.selection
        else "",
        "facts": "the facts above",
        "earlier": f"Earlier they asked:\n{earlier.question}\nand were answered:\n{earlier.answer}" if earlier else "",
        "language": f"Answer in {language}."
        if language
        else "Answer in the language of the person's words, else of the notes.",
    }
    return "\n".join(_paragraphs(job.prompt.render(blanks)))


def _messages(
    job: _Job, instructions: str, told: str, snapshot: Snapshot, passages: Sequence[Passage] = ()
) -> tuple[Message, ...]:
    """The shared preamble, the passages in their stable order, instructions and question last (KV prefix reuse).

    The facts stand before the days: they change less often than these.
    """
    days = days_begin(passages, snapshot)
    notes = [_fenced(passage.path, passage.heading, passage.text) for passage in passages]
    data = "\n".join(filter(None, (*notes[:days], told, *notes[days:])))
    return (
        Message("system", job.house.preamble),
        Message("user", f"{data}\n\n{instructions}" if data else instructions),
    )


def _paragraphs(text: str) -> list[str]:
    """The lines of a text with runs of blank lines, left by empty blanks, made one."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip() or (lines and lines[-1].strip()):
            lines.append(line)
    return lines


def _fenced(path: str, heading: str, text: str) -> str:
    """A passage between marks that its own text cannot close."""
    return f'<note path="{_quoted(path)}" heading="{_quoted(heading)}">\n{_defused(text)}\n</note>'


# Both put a character of one byte in the place of another, so that a text is never longer than it was counted.
_QUOTED = str.maketrans('"<\r\n', "'(  ")


def _quoted(text: str) -> str:
    return text.translate(_QUOTED)


def _defused(text: str) -> str:
    return _MARK.sub("(", text)


def _answer_tokens(prompt: Prompt, decision: Decision) -> int:
    return min(prompt.answer, decision.answer_tokens)


def _say_gathered(job: _Job, selected: Selected) -> None:
    context = selected.context
    passages = [
        {"path": p.path, "heading": p.heading, "tokens": p.tokens, "why": p.why, "via": p.via} for p in context.passages
    ]
    data = {"stage": "answer", "tokens": context.tokens, "budget": context.budget, "passages": passages}
    job.emit(Event("gathered", data | {"receipt": selected.receipt["receipt"]}))


def _out_of_scope(request: Request, selected: Selected) -> list[dict[str, Any]]:
    """That a scope leaves no note, since a name in it is most likely misspelt."""
    if selected.gathering.notes or not scope(request.scope):
        return []
    told = ", ".join(f"{name} {value}" for name, value in (request.scope or {}).items())
    hint = "Look at how the folder, tag or property is written in the notes, or leave a part of the scope out."
    return [_notice("nothing_in_scope", f"no note fits the scope ({told[:200]})", hint)]


def _notice(code: str, message: str, hint: str) -> dict[str, Any]:
    return {"code": code, "weight": "notice", "path": "", "message": message, "hint": hint}


async def _generate(job: _Job, decision: Decision, ready: _Ready, gate: Gate) -> bool:
    """The model's answer through the gate; or the one from before, when the very same prompt was answered already.

    Returns:
        Whether it is the one from before.

    Raises:
        InferenceError: see `inference.node`.
    """
    house, usage = job.house, ready.usage
    answer_tokens = _answer_tokens(job.prompt, decision)
    sent = [[message.role, message.content] for message in ready.messages]
    runner = repr(house.fleet.profile.runners.get(decision.runner))
    key = f"answer:{digest(_ANSWER_SCHEMA, sent, decision.model, decision.num_ctx, answer_tokens, runner)}"
    kept = None if job.request.fresh else await asyncio.to_thread(house.cache.get, key)
    before = kept if isinstance(kept, dict) and isinstance(kept.get("text"), str) else None
    if not job.request.fresh:
        house.rates.count("answer", hit=before is not None)
    if before is not None:
        usage |= {name: count for name in _COUNTS if isinstance(count := before.get(name), int)}
        _say(job, gate.feed(before["text"]) + gate.finish())
        return True
    raw: list[str] = []
    final: Usage | None = None

    def on_phase(name: str, detail: str, n: int, total: int) -> None:
        job.emit(events.phase(name, detail, n, total))

    stream = _chat(job, decision, ready.messages, answer_tokens=answer_tokens, on_phase=on_phase)
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            text = chunk.text if raw else chunk.text.lstrip()
            if text:
                if not raw:
                    job.clock("first_token_ms")
                    # Only the passages count from here on; what was read for them is most of what a run holds.
                    ready.selected.gathering.texts.clear()
                    job.emit(events.phase("writing", decision.model))
                raw.append(text)
                _say(job, gate.feed(text))
            final = chunk.usage or final
    if not raw:
        raise UpstreamFault(f"{decision.model} ended without a word", hint="Ask again, or name another model.")
    _say(job, gate.finish())
    whole = True
    if final is not None:
        usage |= {"prompt_eval_count": final.prompt_eval_count, "completion_tokens": final.completion_tokens}
        whole = _told_whole(job, decision, ready, final)
    if whole:
        value = {"text": "".join(raw)} | {name: usage[name] for name in _COUNTS}
        await asyncio.to_thread(house.cache.set, key, value, private=ready.private)
    return False


async def _chat(job: _Job, decision: Decision, messages: Sequence[Message], **more: Any) -> AsyncGenerator[Chunk, None]:
    """The node's answer (see `inference.fleet.Fleet.chat`); what it counts in a prompt that it refuses is learned."""
    fleet = job.house.fleet
    try:
        async with aclosing(fleet.chat(decision, messages, until=job.until, **more)) as chunks:
            async for chunk in chunks:
                yield chunk
    except ContextTooLarge as error:
        if error.prompt_tokens:
            fleet.tokens.learn(decision.node, decision.model, _size(messages), error.prompt_tokens)
        raise


def _told_whole(job: _Job, decision: Decision, ready: _Ready, final: Usage) -> bool:
    """Say what is missing of the prompt or the answer; whether nothing is, so that it may be given again."""
    answer_tokens = _answer_tokens(job.prompt, decision)
    whole = _compare(job, decision, ready.messages, ready.usage["prompt_tokens"], final, answer_tokens)
    if final.done_reason == "length":
        job.findings.append(
            _notice("answer_cut", "The answer reached its token limit and ends early.", "Ask for less at once.")
        )
    return whole and final.done_reason != "length"


def _compare(
    job: _Job, decision: Decision, messages: Sequence[Message], sent: int, final: Usage, answer_tokens: int
) -> bool:
    """No silent truncation: what was sent, what the model says it read, and its window must agree.

    What was read is learned from, and what does not agree is said.

    Returns:
        Whether nothing was cut off, as far as the node tells.
    """
    read, num_ctx, tokens = final.prompt_eval_count, final.num_ctx, job.house.fleet.tokens
    if read is None:
        return True
    size = _size(messages)
    cut = tokens.of(decision.node, decision.model).is_cut(size, read, num_ctx)
    tokens.learn(decision.node, decision.model, size, read, num_ctx)
    left = num_ctx - read
    if cut:
        message = f"The node read {read} tokens of about {sent} sent: a part of the notes seems to be cut off."
        job.findings.append(_notice("truncated", message, "Check the node's context length; answers may miss notes."))
        job.degraded.append("context")
    elif read > sent * _MORE and left < answer_tokens:
        message = f"The prompt had {read} tokens, not about {sent}: it left {max(0, left)} of {num_ctx} for the answer."
        hint = "It is counted better from now on; ask again if the answer ends early."
        job.findings.append(_notice("little_room", message, hint))
    return not cut


def _say(job: _Job, text: str) -> None:
    if text:
        job.emit(Event("token", {"stage": "answer", "text": text}))


def _alone(job: _Job, matter: Matter, gate: Gate) -> None:
    """The answer from the vault alone."""
    _say(job, gate.feed(ANSWERS[job.prompt.without_model](matter)) + gate.finish())


async def _finish(job: _Job, ready: _Ready, decision: Decision | None, gate: Gate, *, cached: bool) -> None:
    selected, passages = ready.selected, ready.selected.context.passages
    written = decision is not None and "model" not in job.degraded
    cited, unsupported = citations(gate.given, passages, selected.gathering.snapshot) if written else ([], [])
    job.emit(Event("checked", {"links": gate.links.as_dict(), "citations": cited, "unsupported": unsupported}))
    if ready.matter.survey.late and "recent" in job.prompt.gather:
        hint = "Fix the day with --now, or write today's daily note."
        job.findings.append(_notice("no_recent_notes", ready.matter.survey.late, hint))
    job.findings += [one.as_dict() for one in ready.matter.findings]
    job.findings += _out_of_scope(job.request, selected)
    if selected.gathering.is_missing_likeness:
        job.degraded.append("embeddings")
    if job.edits:
        # Begun once, whatever comes between: done again, it would stand in the notes twice.
        job.filing = job.filing or asyncio.ensure_future(asyncio.to_thread(_file, job))
        if await asyncio.shield(job.filing):
            job.emit(Event("proposed", {"edits": job.edits[1:]}))
    if not job.request.dry_run:
        await asyncio.to_thread(job.house.vault.index.record_run, job.prompt.name, job.at)
    _done(job, ready, decision, gate, cached=cached)


def _done(job: _Job, ready: _Ready | None, decision: Decision | None, gate: Gate | None, *, cached: bool) -> None:
    """The end, with what there is."""
    passages = ready.selected.context.passages if ready else ()
    job.clock("total_ms")
    data = {
        "run": job.id,
        "command": job.prompt.name,
        "answer": gate.given if gate else "",
        "sources": [{"path": p.path, "heading": p.heading, "why": p.why, "via": p.via} for p in passages],
        "edits": job.edits,
        "findings": job.findings,
        "decision": decision.as_dict() if decision is not None else None,
        "usage": ready.usage if ready else _NO_USAGE,
        "timings": job.timings,
        "degraded": job.degraded,
        "cached": cached,
        "receipt": ready.selected.receipt["receipt"] if ready else "",
    }
    job.emit(Event("done", data))


async def build_context(house: House, request: Request) -> dict[str, Any]:
    """The answer of `POST /v1/context`: passages for a question, without a model.

    Raises:
        CommandError: an unknown way of gathering, note, date or zone.
        context.query.QueryError: a scope that cannot be read.
    """
    began = time.perf_counter()
    note = _open_note(house, request.note)
    wanted = Selection(
        text=request.text,
        gather=_shares(request.gather) if request.gather else DEFAULT_GATHER,
        budget=request.budget_tokens or _DEFAULT_BUDGET,
        counter=BYTES4,
        scope=scope(request.scope),
        calendar=_calendar(house, request),
        open_note=note,
        fresh=request.fresh,
        vectors=house.vectors_for(private=bool(note) and house.vault.snapshot.notes[note].private),
    )
    # Without a thread when nothing has to be waited for: two changes of threads are half of what it then takes.
    given, findings, cached = at_hand(house.vault, wanted, house.latest), [], True
    if given is None:
        selected = await asyncio.to_thread(_built, house, wanted)
        findings, cached = _out_of_scope(request, selected), selected.cached
        if selected.gathering.is_missing_likeness:
            hint = "Ask again in a moment; `kos doctor` tells what is wrong with the model for embeddings."
            findings.append(
                _notice("words_alone", "the question could not be embedded: words alone were looked for", hint)
            )
        given = selected.context, selected.receipt
    else:
        house.rates.count("context", hit=True)
    context, told = given
    return {
        "passages": [
            {
                "path": p.path,
                "heading": p.heading,
                "text": p.text,
                "tokens": p.tokens,
                "score": round(p.score, 6),
                "rank": p.rank,
                "why": p.why,
                "via": p.via,
            }
            | ({"partial": True} if p.partial else {})
            for p in context.passages
        ],
        "cut": [{"path": c.path, "heading": c.heading, "tokens": c.tokens, "why": c.why} for c in context.cut],
        "tokens": context.tokens,
        "budget_tokens": context.budget,
        "receipt": told["receipt"],
        "findings": findings,
        "cached": cached,
        "timings": {"total_ms": round((time.perf_counter() - began) * 1000, 1)},
    }


def receipt(house: House, identity: str) -> dict[str, Any] | None:
    """The receipt of an earlier context, None when it is no longer kept."""
    return kept_receipt(house.cache, identity)


async def replay(house: House, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Read a receipt's passages again: identical, or the notes that changed (see `commands.select.replay`)."""
    return await asyncio.to_thread(replay_receipt, house.vault, kept)
