"""Runs a command from request to checked answer: one stream of events."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from commands import events
from commands.brief import ANSWERS
from commands.check import citations
from commands.choosing import choose, cleaned
from commands.contexts import out_of_scope, withheld
from commands.demand import deadline, decision_for, does_without
from commands.events import FINAL, Event
from commands.filing import synthesis_of
from commands.gate import Gate
from commands.generation import generate
from commands.house import House
from commands.keeping import file, history, keep
from commands.preparation import Ready, prepare
from commands.report import Report
from commands.request import Asked, CommandError, Earlier, Request, understand
from commands.routing import Choice, Routing, route
from commands.talk import Talk
from context.assemble import BYTES4, Counter
from context.query import scope, select
from inference.decision import Decision
from inference.node import ContextTooLarge, DeadlineExceeded, InferenceError

# Seconds in which a run that has kept the person's words ends after its deadline.
_LAST_SECONDS = 2.0


@dataclass
class _Run:
    """One run under way.

    Attributes:
        house: what it works with.
        asked: what the person asks.
        id: its id.
        report: where it is told what happens.
        at: when it began, in seconds since the epoch: what changes from then on is news to the next run.
        until: when its time is over, by the clock of the event loop.
        edits: what was written or is proposed.
        ready, gate: how far it has come.
        routing, choice: which projects the words may belong to, and what a model chose of them.
        filing: whether anything was proposed for other notes, once that has begun.
    """

    house: House
    asked: Asked
    id: str
    report: Report
    at: float
    until: float
    edits: list[dict[str, Any]] = field(default_factory=list)
    ready: Ready | None = None
    gate: Gate | None = None
    routing: Routing | None = None
    choice: Choice | None = None
    filing: "asyncio.Future[bool] | None" = None


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
        asked = understand(house, command, request, earlier)
        await _carry_out(house, asked, run_id, Report(run_id, asked.prompt.name, emit))
    except asyncio.CancelledError:
        # Nobody hears it who ended the run himself; it is for a cancel that came from below.
        emit(events.failed(run_id, CommandError("cancelled", "the work was broken off", "Run the command again.")))
        raise
    except Exception as error:  # noqa: BLE001 - whatever happens, a run ends with one event that says so
        _log(error)
        emit(events.failed(run_id, error))


def _log(error: Exception) -> None:
    """What nobody foresaw goes to the log with its trace; the person gets the event."""
    if not isinstance(getattr(error, "code", None), str):
        import logging  # noqa: PLC0415 - only on a fault

        logging.getLogger("knowledge_os").error("a command failed unexpectedly", exc_info=error)


async def _carry_out(house: House, asked: Asked, run_id: str, report: Report) -> None:
    """Decide, keep the words, answer; at the deadline, end with what there is."""
    seconds = deadline(asked.prompt, house.settings)
    job = _Run(house, asked, run_id, report, time.time(), asyncio.get_running_loop().time() + seconds)
    if asked.prompt.tier != "none":
        await house.fleet.look()
    decision, fault = decision_for(house, asked)
    if "capture" in asked.prompt.writes and not asked.request.dry_run:
        await _keep(job)
    try:
        async with asyncio.timeout_at(job.until):
            await _answer(job, decision, fault)
    except TimeoutError:
        hint = "Ask again, ask for less, or name a faster tier."
        late = DeadlineExceeded(f"{asked.prompt.name} took longer than its {seconds} seconds", hint=hint)
        if not job.edits:
            raise late from None
        await _end_with_what_is_kept(job, late)
    except Exception as error:
        if not job.edits:
            raise
        _log(error)
        await _end_with_what_is_kept(job, error)


async def _keep(job: _Run) -> None:
    """Keep the person's words, at once and before anything can fail that the words do not need."""
    house, asked, report = job.house, job.asked, job.report
    # What is wrong with the request is said before anything is written.
    await asyncio.to_thread(select, house.vault.snapshot, scope(asked.request.scope))
    journal = history(house)
    report.phase("writing", "your words")
    edit = await asyncio.to_thread(keep, house, journal, asked, job.id)
    job.edits.append(edit.as_dict())
    report.proposed(job.edits)
    report.clock("captured_ms")


async def _answer(job: _Run, decision: Decision | None, fault: InferenceError | None) -> None:
    house, asked, report = job.house, job.asked, job.report
    prompt, request = asked.prompt, asked.request
    report.phase("reading", f"{len(house.vault.snapshot.notes)} notes")
    talk = Talk(house.fleet, decision, job.until, report) if decision else None
    ready = await _gathered(job, talk)
    about_now = prompt.without_model in {"briefing", "skeleton"}
    if about_now and ready.matter.survey.empty and not request.text.strip():
        talk = fault = None  # a model asked about nothing makes something up
    if talk is not None:
        report.decided(talk.decision)
    gate, cached = _gate(job, ready), False
    if talk is not None and not request.dry_run:
        try:
            try:
                cached = await generate(house, talk, ready, gate, fresh=request.fresh)
            except ContextTooLarge as error:
                if gate.given:
                    raise
                talk = talk.within(error.num_ctx)
                try:
                    ready = await _gathered(job, talk, talk.recounted(ready.messages, error))
                except CommandError:  # not even the words alone fit
                    raise error from None
                gate = _gate(job, ready)
                cached = await generate(house, talk, ready, gate, fresh=request.fresh)
        except InferenceError as error:
            if gate.given or not does_without(prompt, error):
                raise
            fault, gate = error, _gate(job, ready)
    if fault is not None:
        report.fault(fault)
    elif talk is not None and job.edits:
        await _choose(job, talk, ready, gate)
    if (talk is None or fault is not None) and not request.dry_run:
        await _answer_alone(job, ready, gate)
    await _finish(job, ready, gate, talk.decision if talk else None, cached=cached)


async def _gathered(job: _Run, talk: Talk | None, counter: Counter | None = None) -> Ready:
    """Gather and write the prompt, and say so. Tokens count as they do for the model, or by a better counter."""
    decision = talk.decision if talk else None
    counter = counter or (talk.counter if talk else BYTES4)
    ready = job.ready = await asyncio.to_thread(prepare, job.house, job.asked, decision, counter)
    context, receipt = ready.selected.context, ready.selected.receipt["receipt"]
    sent, num_ctx = (ready.tokens, decision.num_ctx) if decision else (0, 0)
    job.report.gathered(context, receipt, sent=sent, num_ctx=num_ctx)
    return ready


def _gate(job: _Run, ready: Ready) -> Gate:
    """A gate that repeats only addresses of the passages and of the person's own words."""
    texts = [passage.text for passage in ready.selected.context.passages]
    job.gate = Gate(ready.matter.snapshot, [*texts, job.asked.request.text])
    return job.gate


async def _answer_alone(job: _Run, ready: Ready, gate: Gate) -> None:
    """The answer from the vault alone."""
    text = await asyncio.to_thread(ANSWERS[job.asked.prompt.without_model], ready.matter)
    job.report.say(gate.feed(text) + gate.finish())


async def _choose(job: _Run, talk: Talk, ready: Ready, gate: Gate) -> None:
    """Let the model choose among the projects that the words may belong to. Should it not choose, the rule does."""
    inside = job.house.stays_inside(talk.decision.node)
    routing = job.routing = await asyncio.to_thread(_route, job, private=inside)
    shown = [one for one in routing.candidates if inside or not one.note.private]
    if not shown:
        return
    choice = await choose(talk, ready, gate.given, shown, routing.states)
    if choice is not None:
        job.choice = cleaned(choice, job.house.vault.snapshot, job.asked.request.text)


def _route(job: _Run, *, private: bool) -> Routing:
    request = job.asked.request
    return route(job.house.vault, request.text, project=scope(request.scope).project, private=private)


def _file(job: _Run) -> bool:
    """File the kept words into other notes; whether there is anything to file. Runs in a thread."""
    gate = job.gate if "model" not in job.report.degraded else None
    edit = file(
        job.house,
        job.asked,
        job.report,
        job.id,
        kept=job.edits[0],
        routing=job.routing or _route(job, private=True),
        choice=job.choice,
        synthesis=synthesis_of(gate.given) if gate is not None else "",
    )
    if edit is not None:
        job.edits.append(edit.as_dict())
    return edit is not None


async def _end_with_what_is_kept(job: _Run, error: Exception) -> None:
    """End a run that has kept the words: if it failed, the person would send them again, and have them twice.

    What is said beside them must not take long any more: the time may be over because the vault is slow.
    """
    try:
        async with asyncio.timeout(_LAST_SECONDS):
            ready = job.ready or await _gathered(job, None)
            gate = job.gate
            if gate is None or not gate.given:
                gate = _gate(job, ready)
                await _answer_alone(job, ready, gate)
            else:
                job.report.say(gate.finish())
            job.report.fault(error)
            await _finish(job, ready, gate, None, cached=False)
    except Exception as more:  # noqa: BLE001 - what went wrong may do so again; the words are kept, and that is said
        if not isinstance(more, TimeoutError):
            _log(more)
        job.report.fault(error)
        _done(job, None, cached=False)


async def _finish(job: _Run, ready: Ready, gate: Gate, decision: Decision | None, *, cached: bool) -> None:
    """Check the answer, file the words, and end."""
    house, asked, report, selected = job.house, job.asked, job.report, ready.selected
    written = decision is not None and "model" not in report.degraded
    passages, snapshot = selected.context.passages, selected.gathering.snapshot
    cited, unsupported = citations(gate.given, passages, snapshot) if written else ([], [])
    report.checked(gate.links.as_dict(), cited, unsupported)
    if ready.matter.survey.late and "recent" in asked.prompt.gather:
        hint = "Fix the day with --now, or write today's daily note."
        report.notice("no_recent_notes", ready.matter.survey.late, hint)
    report.findings += [one.as_dict() for one in ready.matter.findings]
    report.findings += out_of_scope(asked.request, selected) + withheld(selected)
    if selected.gathering.is_missing_likeness:
        report.degraded.append("embeddings")
    if job.edits:
        # Begun once, whatever comes between: done again, it would stand in the notes twice.
        job.filing = job.filing or asyncio.ensure_future(asyncio.to_thread(_file, job))
        if await asyncio.shield(job.filing):
            report.proposed(job.edits[1:])
    if not asked.request.dry_run:
        await asyncio.to_thread(house.vault.index.record_run, asked.prompt.name, job.at)
    _done(job, decision, cached=cached)


def _done(job: _Run, decision: Decision | None, *, cached: bool) -> None:
    """The end, with what there is."""
    selected = job.ready.selected if job.ready else None
    job.report.done(
        answer=job.gate.given if job.gate else "",
        passages=selected.context.passages if selected else (),
        edits=job.edits,
        decision=decision,
        cached=cached,
        receipt=selected.receipt["receipt"] if selected else "",
    )
