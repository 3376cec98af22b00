"""The talk with a model: messages there, its answer back; tokens are counted, compared and learned from."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from commands.messages import TEMPLATE_TOKENS
from commands.report import Report
from context.assemble import Counter
from inference.decision import Decision
from inference.fleet import Fleet
from inference.node import Chunk, ContextTooLarge, Message, Usage
from inference.tokens import Rates, Size, size_of

# A prompt that has so many times the tokens that it was counted with is longer than expected.
_MORE = 1.15


@dataclass(frozen=True, slots=True)
class Talk:
    """A talk with the model of a decision.

    Attributes:
        fleet: what brings messages to nodes.
        decision: which node and model.
        until: when the time of the run is over, by the clock of the event loop.
        report: where it is told what happens.
    """

    fleet: Fleet
    decision: Decision
    until: float
    report: Report

    @property
    def counter(self) -> Counter:
        """How the model's tokens are counted, by what is known of them now."""
        return _counter(self._rates)

    @property
    def _rates(self) -> Rates:
        return self.fleet.tokens.of(self.decision.node, self.decision.model).rates

    def within(self, num_ctx: int) -> "Talk":
        """The same in a window of at most so many tokens."""
        return replace(self, decision=replace(self.decision, num_ctx=min(self.decision.num_ctx, num_ctx)))

    def recounted(self, prompt: Sequence[Message], error: ContextTooLarge) -> Counter:
        """A counter that fits what the node counted in a prompt too long for it, or, untold, half a window too much.

        A tenth is added to what is untold, since other passages of the same notes may count worse.
        """
        rates = self._rates
        counted = error.prompt_tokens or self.decision.num_ctx * 3 / 2 * 1.1
        return _counter(rates.denser(max(1.0, counted / (rates.tokens(_size(prompt)) + TEMPLATE_TOKENS))))

    async def stream(
        self,
        prompt: Sequence[Message],
        *,
        answer_tokens: int,
        about: str = "",
        schema: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """The model's answer. What the node counts in a prompt that it refuses is learned.

        Args:
            prompt: the messages.
            answer_tokens: the most tokens the answer may have.
            about: what is said of it while it is waited for; "" for what the node says.
            schema: JSON Schema that the node is asked to keep the answer to.

        Raises:
            InferenceError: see `inference.node`.
        """

        def on_phase(name: str, detail: str, n: int, total: int) -> None:
            self.report.phase(name, about or detail, n, total)

        chunks = self.fleet.chat(
            self.decision, prompt, on_phase=on_phase, answer_tokens=answer_tokens, schema=schema, until=self.until
        )
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        except ContextTooLarge as error:
            if error.prompt_tokens:
                self.fleet.tokens.learn(self.decision.node, self.decision.model, _size(prompt), error.prompt_tokens)
            raise

    def was_whole(self, prompt: Sequence[Message], sent: int, usage: Usage, answer_tokens: int) -> bool:
        """No silent truncation: what was sent, what the model says it read, and its window must agree.

        What was read is learned from, and what does not agree is said.

        Args:
            prompt: what was sent.
            sent: its tokens, as counted before.
            usage: what the node tells of the answer.
            answer_tokens: what was kept for the answer.

        Returns:
            Whether nothing was cut off, as far as the node tells.
        """
        read, num_ctx, tokens = usage.prompt_eval_count, usage.num_ctx, self.fleet.tokens
        if read is None:
            return True
        node, model, size = self.decision.node, self.decision.model, _size(prompt)
        cut = tokens.of(node, model).is_cut(size, read, num_ctx)
        tokens.learn(node, model, size, read, num_ctx)
        left = num_ctx - read
        if cut:
            message = f"The node read {read} tokens of about {sent} sent: a part of the notes seems to be cut off."
            self.report.notice("truncated", message, "Check the node's context length; answers may miss notes.")
            self.report.degraded.append("context")
        elif read > sent * _MORE and left < answer_tokens:
            message = (
                f"The prompt had {read} tokens, not about {sent}: it left {max(0, left)} of {num_ctx} for the answer."
            )
            hint = "It is counted better from now on; ask again if the answer ends early."
            self.report.notice("little_room", message, hint)
        return not cut


def _counter(rates: Rates) -> Counter:
    return Counter(rates.id, rates.count)


def _size(prompt: Sequence[Message]) -> Size:
    return size_of(message.content for message in prompt)
