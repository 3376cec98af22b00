"""The preparation of an answer: what is gathered for it within what the model's window leaves, and the prompt."""

from dataclasses import dataclass, replace

from commands import health
from commands.brief import Matter, facts
from commands.contexts import built
from commands.gather import Gathering
from commands.house import House
from commands.messages import instructions, messages, tokens_of, with_fence
from commands.request import Asked, CommandError, is_private, shares_of
from commands.routing import ANSWER_TOKENS, QUESTION_TOKENS
from commands.select import Selected, Selection, gathering
from context.assemble import Context, Counter
from context.members import members_of
from context.query import scope
from inference.decision import Decision
from inference.node import Message
from prompts import Prompt

_NOTHING = Context((), (), 0, 0, "")
# What the window leaves for passages is rounded down to whole steps of so many tokens: an edit elsewhere that makes the
# prompt a few words longer then still leads to the same passages, and the node reads them out of its cache.
_STEP = 128


@dataclass(frozen=True, slots=True)
class Ready:
    """What is sent to a model, and what an answer without one is made of.

    Attributes:
        selected: the passages, with what they were gathered from.
        matter: what an answer without a model is made of.
        messages, bare: the prompt, and the same without passages.
        tokens: of the prompt, as counted here.
        answer_tokens: what the window keeps for the answer.
        private: whether private words may be in any of it.
    """

    selected: Selected
    matter: Matter
    messages: tuple[Message, ...]
    bare: tuple[Message, ...]
    tokens: int
    answer_tokens: int
    private: bool


def prepare(house: House, asked: Asked, decision: Decision | None, counter: Counter) -> Ready:
    """Survey, gather within what the model's window leaves, and write the prompt. Reads files: runs in a thread.

    Args:
        house: the vault, the cache, the preamble.
        asked: what the person asks.
        decision: which model answers, None for none.
        counter: how its tokens are counted.

    Raises:
        CommandError: the text alone does not fit the window, or an unknown way of gathering.
        context.query.QueryError: a scope that cannot be read.
    """
    prompt = asked.prompt
    wanted = _wanted(house, asked, decision, counter)
    found = gathering(house.vault, wanted)
    matter = _matter(house, prompt, found)
    told = facts(matter, prompt.without_model) if "facts" in prompt.blanks else ""
    head = (house.preamble, instructions(asked, house.settings.language), told, found.snapshot)
    bare = messages(*head)
    answer_tokens = min(prompt.answer, decision.answer_tokens) if decision else 0
    if decision is not None:
        room = _room(prompt, decision, tokens_of(bare, counter), answer_tokens)
        if room < wanted.budget:
            wanted = replace(wanted, budget=room // _STEP * _STEP)
    selected = built(house, wanted, found)
    whole = messages(*head, selected.context.passages)
    return Ready(
        selected,
        replace(matter, context=selected.context, words=wanted.text),
        messages=whole,
        bare=bare,
        tokens=tokens_of(whole, counter),
        answer_tokens=answer_tokens,
        private=is_private(house, asked) or found.holds_private,
    )


def _wanted(house: House, asked: Asked, decision: Decision | None, counter: Counter) -> Selection:
    """What is asked of the vault, with the budget that the command has in a window without end."""
    prompt, request = asked.prompt, asked.request
    return Selection(
        text=" ".join(filter(None, (request.text, request.selection))),
        gather=shares_of(request, prompt.gather),
        budget=min(prompt.budget, request.budget_tokens or prompt.budget),
        counter=with_fence(counter),
        scope=scope(request.scope),
        calendar=asked.calendar,
        recent_days=prompt.recent_days,
        since=house.vault.index.last_run(prompt.name),
        open_note=asked.open_note,
        private=decision is None or house.stays_inside(decision.node),
        fresh=request.fresh,
        stable=True,
        vectors=house.vectors_for(private=is_private(house, asked)),
    )


def _room(prompt: Prompt, decision: Decision, bare: int, answer_tokens: int) -> int:
    """The tokens that a window leaves for passages beside a prompt without any, and the answer.

    Raises:
        CommandError: not even these fit.
    """
    room = decision.num_ctx - answer_tokens - bare
    if room < 0:
        raise CommandError(
            "context_too_large",
            f"the text alone is about {bare} tokens, and {decision.model} takes {decision.num_ctx} with the answer",
            "Shorten the text, or name a tier with a larger window.",
        )
    if prompt.writes:  # the model is asked once more, behind its answer
        room = max(0, room - QUESTION_TOKENS - ANSWER_TOKENS)
    return room


def _matter(house: House, prompt: Prompt, ready: Gathering) -> Matter:
    """What an answer without a model is made of, its passages still to come."""

    def text(path: str) -> str:
        read = ready.read(path)
        known = ready.notes.get(path)
        # Offsets of the snapshot's headings and tasks only mean something in the text they were read from.
        return read[1] if read and known and read[0].digest == known.digest else ""

    found: list[health.Finding] = []
    if prompt.without_model == "health":
        found = health.check(members_of(ready.snapshot, ready.calendar), ready.notes, ready.survey)
    log = house.settings.capture_heading
    return Matter(ready.snapshot, ready.notes, ready.survey, _NOTHING, found, text, log=log)
