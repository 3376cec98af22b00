"""Runs a command from request to checked answer: one stream of events."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from commands import events, health
from commands.brief import ANSWERS, Matter, facts
from commands.check import citations
from commands.events import FINAL, Event
from commands.gate import Gate
from commands.gather import WAYS
from commands.house import House
from commands.select import Selected, Selection, build, kept_receipt
from commands.select import replay as replay_receipt
from context.assemble import BYTES4, Context, Counter, Passage
from context.cache import digest
from context.calendar import WEEKDAYS, Calendar, CalendarError, calendar
from context.query import scope
from inference.node import (
    DeadlineExceeded,
    InferenceError,
    Message,
    ModelMissing,
    NodeUnavailable,
    OverBudget,
    UpstreamFault,
    Usage,
)
from inference.policy import Decision, Wanted
from prompts import Prompt

# What a chat template adds around two messages, in tokens; generous for every template known.
_TEMPLATE_TOKENS = 64
# Faults of the model side after which a command still answers from the vault alone.
_WITHOUT_MODEL = (NodeUnavailable, ModelMissing, OverBudget, UpstreamFault)
# A context asked for without a command, and without naming ways of gathering.
_DEFAULT_GATHER = {"search": 0.75, "maps": 0.25}
_DEFAULT_BUDGET = 4000
_ANSWER_SCHEMA = 1


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
    """A request as it came in, its shape already checked; None and "" mean "as the command says"."""

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
    gather: Sequence[str] | Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier run that a request follows: what was asked and what was answered."""

    question: str
    answer: str


@dataclass
class _Job:
    """One run under way."""

    house: House
    prompt: Prompt
    request: Request
    id: str
    emit: Callable[[Event], None]
    earlier: Earlier | None
    calendar: Calendar
    began: float
    timings: dict[str, float] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def clock(self, name: str) -> None:
        """Note the milliseconds since the run began."""
        self.timings[name] = round((time.perf_counter() - self.began) * 1000, 1)


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
        job = _job(house, command, request, run_id, earlier, emit)
        seconds = min(filter(None, (job.prompt.deadline, house.settings.deadline_seconds)))
        try:
            async with asyncio.timeout(seconds):
                await _carry_out(job)
        except TimeoutError:
            raise DeadlineExceeded(f"{command} took longer than its {seconds} seconds") from None
    except asyncio.CancelledError:
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
    if request.apply not in (None, "none"):
        hint = "Leave apply out, or send none; the answer says what belongs where."
        raise CommandError("invalid", f"{command} writes nothing, so there is nothing to apply", hint)
    before = None
    if request.follows:
        before = earlier(request.follows)
        if before is None:
            raise CommandError(
                "not_found", "the run that this one follows is not known", "Leave `follows` out, or name a kept run."
            )
    return _Job(house, prompt, request, run_id, emit, before, _calendar(house, request), time.perf_counter())


def _calendar(house: House, request: Request) -> Calendar:
    try:
        return calendar(request.now or house.settings.now, request.timezone or house.settings.timezone)
    except CalendarError as error:
        raise CommandError("invalid", str(error)) from None


async def _carry_out(job: _Job) -> None:
    house, prompt = job.house, job.prompt
    decision, fault = _decide(job)
    counter = _counter(decision)
    job.emit(events.phase("reading", f"{len(house.vault.snapshot.notes)} notes"))
    selected, matter, messages, usage = await asyncio.to_thread(_prepare, job, decision, counter)
    job.clock("gathered_ms")
    _say_gathered(job, selected)
    if decision is not None:
        job.emit(Event("decided", {"stage": "answer", "decision": decision.as_dict()}))
    answer, cached = "", False
    gate = Gate(matter.snapshot, [passage.text for passage in selected.context.passages] + [job.request.text])
    if job.request.dry_run:
        usage["completion_tokens"] = 0
    else:
        if decision is not None:
            try:
                answer, cached = await _generate(job, decision, messages, gate, usage, private=selected.context.private)
            except _WITHOUT_MODEL as error:
                if gate.given or not _can_do_without(prompt, error):
                    raise
                fault = error
        if decision is None or fault is not None:
            answer = await asyncio.to_thread(_alone, job, matter, gate, fault)
    await _finish(job, selected, decision, answer, gate, usage, cached=cached)


def _can_do_without(prompt: Prompt, error: InferenceError) -> bool:
    """A node that is away never ends a command; a fault that a person can mend ends those that need a model's words."""
    return isinstance(error, NodeUnavailable) or prompt.without_model in {"briefing", "health"}


def _decide(job: _Job) -> tuple[Decision | None, InferenceError | None]:
    """The node and model, or why there is none although the command could do without."""
    request = job.request
    if job.prompt.tier == "none":
        return None, None
    wanted = Wanted(
        command=job.prompt.name, tier=request.tier or "", model=request.model or "", node=request.node or ""
    )
    try:
        return job.house.fleet.decide(wanted, job.prompt.tier), None
    except NodeUnavailable as error:
        return None, error


def _counter(decision: Decision | None) -> Counter:
    """Tokens of a model not yet measured are taken as 3 bytes: more than the 4 or so of prose, so nothing overflows."""
    if decision is None:
        return BYTES4
    return Counter("bytes/3", lambda text: -(-len(text.encode("utf-8", "replace")) // 3))


def _prepare(
    job: _Job, decision: Decision | None, counter: Counter
) -> tuple[Selected, Matter, tuple[Message, ...], dict[str, Any]]:
    """Gather within what the model's window leaves, survey, and write the prompt. Reads files: runs in a thread."""
    house, prompt, request = job.house, job.prompt, job.request
    wanted = Selection(
        text=" ".join(filter(None, (request.text, request.selection))),
        gather=_shares(request.gather) if request.gather else prompt.gather,
        budget=min(prompt.budget, request.budget_tokens or prompt.budget),
        counter=counter,
        scope=scope(request.scope),
        calendar=job.calendar,
        recent_days=prompt.recent_days,
        since=house.vault.index.last_run(prompt.name),
        open_note=_open_note(house, request.note),
        private=decision is None or decision.klass == "local" or decision.node in house.settings.trusted_nodes,
        fresh=request.fresh,
    )
    budget = wanted.budget
    for _ in range(4):
        selected = build(house.vault, house.cache, Selection(**{**_fields(wanted), "budget": budget}))
        matter = _matter(job, selected)
        messages = _messages(job, selected.context, matter)
        tokens = sum(counter.count(message.content) for message in messages) + _TEMPLATE_TOKENS
        over = tokens + _answer_tokens(prompt, decision) - decision.num_ctx if decision else 0
        if over <= 0:
            return selected, matter, messages, {"prompt_tokens": tokens, "num_ctx": decision.num_ctx if decision else 0}
        if not selected.context.passages:
            break
        budget = min(budget, selected.context.tokens) - over
    limit = f"{decision.model} takes {decision.num_ctx}" if decision else "no model is set"
    raise CommandError(
        "context_too_large",
        f"the text alone is about {tokens} tokens, and {limit} with the answer",
        "Shorten the text, or name a tier with a larger window.",
    )


def _fields(selection: Selection) -> dict[str, Any]:
    return {name: getattr(selection, name) for name in selection.__slots__}


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


def _matter(job: _Job, selected: Selected) -> Matter:
    ready = selected.gathering

    def text(path: str) -> str:
        read = ready.read(path)
        known = ready.snapshot.notes.get(path)
        # Offsets of the snapshot's headings and tasks only mean something in the text they were read from.
        return read[1] if read and known and read[0].digest == known.digest else ""

    found = health.check(ready.snapshot, ready.notes, ready.survey) if job.prompt.without_model == "health" else []
    return Matter(ready.snapshot, ready.survey, selected.context, found, text)


def _messages(job: _Job, context: Context, matter: Matter) -> tuple[Message, ...]:
    """The shared preamble, the passages in their stable order, instructions and question last (KV prefix reuse)."""
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
        "facts": facts(matter, job.prompt.without_model) if "facts" in job.prompt.instructions else "",
        "earlier": f"Earlier they asked:\n{earlier.question}\nand were answered:\n{earlier.answer}" if earlier else "",
        "language": f"Answer in {language}."
        if language
        else "Answer in the language of the person's words, else of the notes.",
    }
    instructions = "\n".join(line for line in _paragraphs(job.prompt.render(blanks)))
    notes = "\n".join(_fenced(passage) for passage in context.passages)
    return (
        Message("system", job.house.preamble),
        Message("user", f"{notes}\n\n{instructions}" if notes else instructions),
    )


def _paragraphs(text: str) -> list[str]:
    """The lines of a text with runs of blank lines, left by empty blanks, made one."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip() or (lines and lines[-1].strip()):
            lines.append(line)
    return lines


def _fenced(passage: Passage) -> str:
    """A passage between marks that its own text cannot close."""
    attributes = f'path="{_quoted(passage.path)}" heading="{_quoted(passage.heading)}"'
    return f"<note {attributes}>\n{_defused(passage.text)}\n</note>"


def _quoted(text: str) -> str:
    return text.replace('"', "'").replace("<", "‹").replace(">", "›") if '"' in text or "<" in text else text


def _defused(text: str) -> str:
    return text.replace("</note", "< /note").replace("</selection", "< /selection")


def _answer_tokens(prompt: Prompt, decision: Decision | None) -> int:
    return min(prompt.answer, decision.answer_tokens) if decision else 0


def _say_gathered(job: _Job, selected: Selected) -> None:
    survey, context = selected.gathering.survey, selected.context
    if survey.late and "recent" in job.prompt.gather:
        job.findings.append(
            _notice("no_recent_notes", survey.late, "Fix the day with --now, or write today's daily note.")
        )
    passages = [
        {"path": p.path, "heading": p.heading, "tokens": p.tokens, "why": p.why, "via": p.via} for p in context.passages
    ]
    data = {"stage": "answer", "tokens": context.tokens, "budget": context.budget, "passages": passages}
    job.emit(Event("gathered", data | {"receipt": selected.receipt["receipt"]}))


def _notice(code: str, message: str, hint: str) -> dict[str, Any]:
    return {"code": code, "weight": "notice", "path": "", "message": message, "hint": hint}


async def _generate(
    job: _Job, decision: Decision, messages: tuple[Message, ...], gate: Gate, usage: dict[str, Any], *, private: bool
) -> tuple[str, bool]:
    """The model's answer through the gate; or the same answer from before, when the very same prompt was sent."""
    house = job.house
    answer_tokens = _answer_tokens(job.prompt, decision)
    sent = [[message.role, message.content] for message in messages]
    runner = repr(house.fleet.profile.runners.get(decision.runner))
    key = f"answer:{digest(_ANSWER_SCHEMA, sent, decision.model, decision.num_ctx, answer_tokens, runner)}"
    kept = None if job.request.fresh else await asyncio.to_thread(house.cache.get, key)
    if isinstance(kept, dict) and isinstance(kept.get("text"), str):
        _say(job, gate.feed(kept["text"]) + gate.finish())
        usage |= {
            "prompt_eval_count": kept.get("prompt_eval_count"),
            "completion_tokens": kept.get("completion_tokens"),
        }
        return gate.given, True
    raw: list[str] = []
    final: Usage | None = None

    def on_phase(name: str, detail: str, n: int, total: int) -> None:
        job.emit(events.phase(name, detail, n, total))

    async for chunk in house.fleet.chat(decision, messages, answer_tokens=answer_tokens, on_phase=on_phase):
        if chunk.text:
            if not raw:
                job.clock("first_token_ms")
                job.emit(events.phase("writing", decision.model))
            raw.append(chunk.text)
            _say(job, gate.feed(chunk.text))
        final = chunk.usage or final
    _say(job, gate.finish())
    if final is not None:
        usage |= {"prompt_eval_count": final.prompt_eval_count, "completion_tokens": final.completion_tokens}
        _compare(job, usage)
        if final.done_reason == "length":
            job.findings.append(
                _notice("answer_cut", "The answer reached its token limit and ends early.", "Ask for less at once.")
            )
    if raw:
        await asyncio.to_thread(house.cache.set, key, {"text": "".join(raw), **_counts(usage)}, private=private)
    return gate.given, False


def _compare(job: _Job, usage: Mapping[str, Any]) -> None:
    """No silent truncation: what was sent, what the model says it read, and its window must agree.

    The counter takes 3 bytes for a token, and no tokenizer of the models known makes tokens of more than 6 bytes on
    average, so a count below half of ours means that the node dropped a part of the prompt.
    """
    read = usage.get("prompt_eval_count")
    if isinstance(read, int) and read * 2 < usage["prompt_tokens"] - 2 * _TEMPLATE_TOKENS:
        message = (
            f"The node read {read} tokens of about {usage['prompt_tokens']} sent: a part of the notes was cut off."
        )
        job.findings.append(_notice("truncated", message, "Check the node's context length; answers may miss notes."))
        job.degraded.append("context")


def _counts(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {name: usage.get(name) for name in ("prompt_eval_count", "completion_tokens")}


def _say(job: _Job, text: str) -> None:
    if text:
        job.emit(Event("token", {"stage": "answer", "text": text}))


def _alone(job: _Job, matter: Matter, gate: Gate, fault: InferenceError | None) -> str:
    """The answer from the vault alone, and why there is no better one."""
    if fault is not None:
        job.degraded.append("model")
        code = str(getattr(fault, "code", "node_unavailable"))
        job.findings.append({"code": code, "weight": "error", "path": "", "message": str(fault), "hint": fault.hint})
    _say(job, gate.feed(ANSWERS[job.prompt.without_model](matter)) + gate.finish())
    return gate.given


async def _finish(
    job: _Job,
    selected: Selected,
    decision: Decision | None,
    answer: str,
    gate: Gate,
    usage: dict[str, Any],
    *,
    cached: bool,
) -> None:
    snapshot, passages = selected.gathering.snapshot, selected.context.passages
    cited, unsupported = (
        citations(answer, passages, snapshot) if decision is not None and "model" not in job.degraded else ([], [])
    )
    job.emit(Event("checked", {"links": gate.links.as_dict(), "citations": cited, "unsupported": unsupported}))
    if job.prompt.without_model == "health":
        found = await asyncio.to_thread(health.check, snapshot, selected.gathering.notes, selected.gathering.survey)
        job.findings += [one.as_dict() for one in found]
    if not job.request.dry_run:
        await asyncio.to_thread(job.house.vault.index.record_run, job.prompt.name, time.time())
    job.clock("total_ms")
    data = {
        "run": job.id,
        "command": job.prompt.name,
        "answer": answer,
        "sources": [{"path": p.path, "heading": p.heading, "why": p.why, "via": p.via} for p in passages],
        "edits": [],
        "findings": job.findings,
        "decision": decision.as_dict() if decision is not None else None,
        "usage": {"prompt_tokens": 0, "prompt_eval_count": None, "num_ctx": 0, "completion_tokens": None} | usage,
        "timings": job.timings,
        "degraded": job.degraded,
        "cached": cached,
        "receipt": selected.receipt["receipt"],
    }
    job.emit(Event("done", data))


async def build_context(house: House, request: Request) -> dict[str, Any]:
    """The answer of `POST /v1/context`: passages for a question, without a model.

    Raises:
        CommandError: an unknown way of gathering, note, date or zone.
        context.query.QueryError: a scope that cannot be read.
    """
    began = time.perf_counter()
    wanted = Selection(
        text=request.text,
        gather=_shares(request.gather) if request.gather else _DEFAULT_GATHER,
        budget=request.budget_tokens or _DEFAULT_BUDGET,
        counter=BYTES4,
        scope=scope(request.scope),
        calendar=_calendar(house, request),
        open_note=_open_note(house, request.note),
        fresh=request.fresh,
    )
    selected = await asyncio.to_thread(build, house.vault, house.cache, wanted)
    context = selected.context
    return {
        "passages": [
            {
                "path": p.path,
                "heading": p.heading,
                "text": p.text,
                "tokens": p.tokens,
                "score": round(p.score, 6),
                "why": p.why,
                "via": p.via,
            }
            | ({"partial": True} if p.partial else {})
            for p in context.passages
        ],
        "cut": [{"path": c.path, "heading": c.heading, "tokens": c.tokens, "why": c.why} for c in context.cut],
        "tokens": context.tokens,
        "budget_tokens": context.budget,
        "receipt": selected.receipt["receipt"],
        "cached": selected.cached,
        "timings": {"total_ms": round((time.perf_counter() - began) * 1000, 1)},
    }


def receipt(house: House, identity: str) -> dict[str, Any] | None:
    """The receipt of an earlier context, None when it is no longer kept."""
    return kept_receipt(house.cache, identity)


async def replay(house: House, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Read a receipt's passages again: identical, or the notes that changed (see `commands.select.replay`)."""
    return await asyncio.to_thread(replay_receipt, house.vault, kept)
