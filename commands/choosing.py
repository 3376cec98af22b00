"""Choosing: a model is asked, behind its own answer, which projects kept words belong to."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from commands.gate import Gate
from commands.messages import tokens_of
from commands.preparation import Ready
from commands.routing import ANSWER_TOKENS, Candidate, Choice, ChoiceError, question, read_choice, schema
from commands.talk import Talk
from context.snapshot import Snapshot
from inference.node import ContextTooLarge, InferenceError, Message

# A model that chose what is not there is told so, once.
_TRIES = 2


async def choose(
    talk: Talk, ready: Ready, answer: str, candidates: Sequence[Candidate], states: Sequence[str]
) -> Choice | None:
    """Let a model choose among projects, once more if what it says is no choice.

    It is asked behind its own answer, so the node reads only the question anew.

    Args:
        talk: with the model.
        ready: what it was asked before.
        answer: what it answered.
        candidates: the projects, all of which it may know.
        states: what a status may be.

    Returns:
        What it chose; None when it did not, which is told: then a rule has to.
    """
    asked, before, form = question(candidates, states), Message("assistant", answer), schema(candidates, states)
    for _ in range(_TRIES):
        try:
            said = await _ask_in_room(talk, ready, (before, Message("user", asked)), form)
            return read_choice(said, candidates, states)
        except ChoiceError as error:
            asked += f"\nAn answer before this one could not be used: {error}."
        except InferenceError as error:
            talk.report.notice(error.code, f"The words were filed by rule: {error}", error.hint)
            break
    else:
        hint = "Name the project in your words, or with #project, when one is missing."
        talk.report.notice("no_choice", f"{talk.decision.model} chose no projects; the rule did.", hint)
    talk.report.degraded.append("routing")
    return None


def cleaned(choice: Choice, snapshot: Snapshot, words: str) -> Choice:
    """A choice with each of its texts through a gate of its own: they go into notes.

    Args:
        choice: what a model chose.
        snapshot: the vault.
        words: the person's own, whose addresses may be repeated.
    """

    def through(text: str) -> str:
        gate = Gate(snapshot, [words])
        gate.feed(text)
        gate.finish()
        return " ".join(gate.given.split())

    updates = {path: replace(one, log=through(one.log), next=through(one.next)) for path, one in choice.updates.items()}
    return replace(choice, updates=updates)


async def _ask_in_room(talk: Talk, ready: Ready, more: tuple[Message, ...], form: Mapping[str, Any]) -> str:
    """The same as `_ask`, behind the whole prompt; when that is too long, once more behind the one without notes."""
    try:
        return await _ask(talk, (*ready.messages, *more), form)
    except ContextTooLarge:
        if ready.bare == ready.messages:
            raise
        return await _ask(talk, (*ready.bare, *more), form)


async def _ask(talk: Talk, prompt: Sequence[Message], form: Mapping[str, Any]) -> str:
    """One answer in a form, whole.

    Raises:
        InferenceError: see `inference.node`; also when question and answer do not fit the window.
    """
    tokens, model, num_ctx = tokens_of(prompt, talk.counter), talk.decision.model, talk.decision.num_ctx
    if tokens + ANSWER_TOKENS > num_ctx:
        hint = "Name a tier with a larger window, or file less at once."
        message = f"choosing projects takes about {tokens} tokens, and {model} takes {num_ctx}"
        raise ContextTooLarge(message, prompt_tokens=tokens, num_ctx=num_ctx, hint=hint)
    parts: list[str] = []
    stream = talk.stream(prompt, answer_tokens=ANSWER_TOKENS, about="which projects it belongs to", schema=form)
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            parts.append(chunk.text)
            if chunk.usage is not None:
                talk.was_whole(prompt, tokens, chunk.usage, ANSWER_TOKENS)
    return "".join(parts)
