"""The demand of a command: which model it wants, how long it waits, and which faults it can do without a model for."""

from dataclasses import replace

from commands.house import House, Settings
from commands.request import Asked, Request, is_private
from commands.routing import complexity
from inference.decision import Decision, Wanted
from inference.node import (
    ContextTooLarge,
    InferenceError,
    ModelMissing,
    NodeBusy,
    NodeUnavailable,
    NothingFits,
    OverBudget,
    UpstreamFault,
)
from inference.policy import BIG, decide, forced
from inference.tokens import Rates
from prompts import Prompt

# Faults of the model side after which a command still answers from the vault alone.
_WITHOUT_MODEL = (NodeUnavailable, ModelMissing, OverBudget, UpstreamFault, ContextTooLarge)


def decision_for(house: House, asked: Asked) -> tuple[Decision | None, InferenceError | None]:
    """The node and model, or why there is none although the command could do without; neither if it needs none.

    Raises:
        InferenceError: there is none, and the command cannot do without.
    """
    request, prompt, fleet = asked.request, asked.prompt, house.fleet
    if prompt.tier == "none":
        return None, None
    tier, task = _tier(prompt, request)
    force = _force(request, house.settings.force_pattern)
    wanted = Wanted(
        prompt.name,
        tier=request.tier or "",
        model="" if force == "model" else request.model or "",
        node=request.node or "",
        task=task,
        force=force,
    )
    private = is_private(house, asked)
    now = replace(
        wanted,
        private=private,
        text_tokens=Rates().count(request.text + (request.selection or "")),
        answer_tokens=prompt.answer,
        deadline_seconds=float(deadline(prompt, house.settings)),
    )
    try:
        return fleet.decide(now, tier), None
    except NodeUnavailable as error:
        return None, error
    except (OverBudget, NodeBusy, ContextTooLarge) as error:
        # The words of the person are kept, whatever is wrong with the models.
        if "capture" in prompt.writes or (isinstance(error, OverBudget) and does_without(prompt, error)):
            return None, error
        raise
    except NothingFits as error:
        if not private:
            raise
        # Whatever else is wrong with the request is said; words that no node may see are answered by the vault alone.
        decide(fleet.profile, wanted, default_tier=tier, id="")
        return None, error


def deadline(prompt: Prompt, settings: Settings) -> int:
    """Seconds after which a run of a command ends."""
    return min(filter(None, (prompt.deadline, settings.deadline_seconds)))


def does_without(prompt: Prompt, error: InferenceError) -> bool:
    """Whether a command answers from the vault alone after a fault.

    A node that is away never ends a command; a fault that a person can mend ends those that need a model's words.
    """
    return isinstance(error, _WITHOUT_MODEL) and (
        isinstance(error, NodeUnavailable) or prompt.without_model in {"briefing", "health"}
    )


def _tier(prompt: Prompt, request: Request) -> tuple[str, str]:
    """The class of work that the command asks for, and why, where the words decide that."""
    if prompt.complex_tier == prompt.tier:
        return prompt.tier, ""
    hard = complexity(request.text, more=bool(request.selection or request.follows))
    return (prompt.complex_tier, f"complex words ({hard})") if hard else (prompt.tier, "simple words")


def _force(request: Request, pattern: str) -> str:
    """How the person forces the big model, "" if they do not.

    The pattern is looked for in their own words only: not in notes, nor in what is selected there, nor in what was said
    before.
    """
    if request.force:
        return "header"
    if (request.model or "").casefold() == BIG:
        return "model"
    return "pattern" if forced(request.text, pattern) else ""
