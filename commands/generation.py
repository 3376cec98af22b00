"""The generation of an answer: by a model, through the gate; or the one from before, for the very same prompt."""

import asyncio
from contextlib import aclosing
from typing import Any

from commands.gate import Gate
from commands.house import House
from commands.preparation import Ready
from commands.talk import Talk
from context.cache import Cache, digest
from inference.node import UpstreamFault, Usage

_SCHEMA = 1
_COUNTS = ("prompt_eval_count", "completion_tokens")


async def generate(house: House, talk: Talk, ready: Ready, gate: Gate, *, fresh: bool) -> bool:
    """Answer a prompt; each piece is told as it passes the gate.

    Args:
        house: the cache of answers, and the runners.
        talk: with the model.
        ready: the prompt.
        gate: what judges the answer; new.
        fresh: ask the model, whatever the cache holds.

    Returns:
        Whether it is the answer from before.

    Raises:
        InferenceError: see `inference.node`.
    """
    report, key = talk.report, _key(house, talk, ready)
    if not fresh:
        before = await asyncio.to_thread(_before, house.cache, key)
        house.rates.count("answer", hit=before is not None)
        if before is not None:
            report.usage |= {name: count for name in _COUNTS if isinstance(count := before.get(name), int)}
            report.say(gate.feed(before["text"]) + gate.finish())
            return True
    said, usage = await _streamed(talk, ready, gate)
    if usage is None or _was_whole(talk, ready, usage):
        value = {"text": said} | {name: report.usage[name] for name in _COUNTS}
        await asyncio.to_thread(house.cache.set, key, value, private=ready.private)
    return False


def _key(house: House, talk: Talk, ready: Ready) -> str:
    """All that an answer depends on."""
    decision = talk.decision
    sent = [[message.role, message.content] for message in ready.messages]
    runner = repr(house.fleet.profile.runners.get(decision.runner))
    return f"answer:{digest(_SCHEMA, sent, decision.model, decision.num_ctx, ready.answer_tokens, runner)}"


def _before(cache: Cache, key: str) -> dict[str, Any] | None:
    """The answer from before; None when there is none, or what is kept is none."""
    kept = cache.get(key)
    return kept if isinstance(kept, dict) and isinstance(kept.get("text"), str) else None


async def _streamed(talk: Talk, ready: Ready, gate: Gate) -> tuple[str, Usage | None]:
    """The model's words before the gate, and what the node tells of them."""
    model, report = talk.decision.model, talk.report
    raw: list[str] = []
    usage: Usage | None = None
    async with aclosing(talk.stream(ready.messages, answer_tokens=ready.answer_tokens)) as chunks:
        async for chunk in chunks:
            text = chunk.text if raw else chunk.text.lstrip()
            if text:
                if not raw:
                    report.clock("first_token_ms")
                    # Only the passages count from here on; what was read for them is most of what a run holds.
                    ready.selected.gathering.texts.clear()
                    report.phase("writing", model)
                raw.append(text)
                report.say(gate.feed(text))
            usage = chunk.usage or usage
    if not raw:
        raise UpstreamFault(f"{model} ended without a word", hint="Ask again, or name another model.")
    report.say(gate.finish())
    return "".join(raw), usage


def _was_whole(talk: Talk, ready: Ready, usage: Usage) -> bool:
    """Say what is missing of the prompt or the answer; whether nothing is, so that it may be given again."""
    report = talk.report
    report.usage |= {"prompt_eval_count": usage.prompt_eval_count, "completion_tokens": usage.completion_tokens}
    whole = talk.was_whole(ready.messages, ready.tokens, usage, ready.answer_tokens)
    if usage.done_reason == "length":
        report.notice("answer_cut", "The answer reached its token limit and ends early.", "Ask for less at once.")
    return whole and usage.done_reason != "length"
