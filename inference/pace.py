"""Pace: how long a runner takes to load, read and write; guessed at first, then learned from its answers. Pure."""

from dataclasses import dataclass, replace

from inference.node import Usage
from inference.seat import Seat

# First guesses, each an assumption until an answer corrects it: a server starts in a second and a half; a file is read
# with 3 GB/s when the machine still has it in memory and with 1 GB/s from its disk; a prompt is read 20 times as fast
# as an answer is written; a model of which nothing is known writes 20 tokens per second and has 5 GB.
START_SECONDS, WARM_BYTES, COLD_BYTES = 1.5, 3e9, 1e9
READS_TO_WRITES = 20.0
_TOKENS, _BYTES = 20.0, 5e9
# Weight of the latest answer in the moving averages: about the last six count.
_WEIGHT = 0.3
# Tokens below which a count says little about a speed.
_LEAST = 16
# A model that is in memory needs micro- to milliseconds to be "loaded"; more means that it was not, in seconds.
LOADED_AT_ONCE = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a runner is.

    Attributes:
        cold: seconds to load its model for the first time.
        warm: seconds to load it when it was in memory before, and its file still is in the machine's.
        reads: tokens of a prompt read in a second, cached ones counted too.
        writes: tokens of an answer written in a second.
        known: whether the model was in memory at any time since the start.
    """

    cold: float
    warm: float
    reads: float
    writes: float
    known: bool = False

    @property
    def load(self) -> float:
        """Seconds to load it now."""
        return self.warm if self.known else self.cold

    def work(self, prompt_tokens: float, answer_tokens: float) -> float:
        """Seconds for an answer once the model is loaded."""
        return prompt_tokens / self.reads + answer_tokens / self.writes

    def learned(self, usage: Usage, prompt_tokens: float) -> "Pace":
        """The pace after one more answer.

        Args:
            usage: what it took.
            prompt_tokens: tokens of the prompt as they were counted here, for a node that does not tell.
        """
        pace = replace(self, known=True)
        if usage.load_seconds > LOADED_AT_ONCE:
            if self.known:
                pace = replace(pace, warm=_mean(self.warm, usage.load_seconds))
            else:
                # A cold load says what a warm one takes at most.
                pace = replace(pace, cold=usage.load_seconds, warm=min(self.warm, usage.load_seconds))
        read = usage.prompt_eval_count or prompt_tokens
        if read >= _LEAST and usage.prompt_seconds > 0:
            pace = replace(pace, reads=1 / _mean(1 / self.reads, usage.prompt_seconds / read))
        written = usage.completion_tokens or 0
        if written >= _LEAST and usage.answer_seconds > 0:
            pace = replace(pace, writes=1 / _mean(1 / self.writes, usage.answer_seconds / written))
        return pace


def first_pace(seat: Seat | None) -> Pace:
    """The pace of a runner that has not answered yet, by its place in the plan."""
    size = seat.facts.size if seat is not None and seat.facts is not None and seat.facts.size else _BYTES
    writes = (seat.tokens_per_second if seat is not None else 0.0) or _TOKENS
    cold, warm = START_SECONDS + size / COLD_BYTES, START_SECONDS + size / WARM_BYTES
    return Pace(cold, warm, READS_TO_WRITES * writes, writes)


def _mean(before: float, now: float) -> float:
    return before + _WEIGHT * (now - before)
