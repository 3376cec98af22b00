"""Tokens: how many a text takes for a model, as learned from what its node counted.

No node tells its tokenizer, but each answer tells how many tokens the prompt had. Two rates follow from these counts,
one for bytes of ASCII and one for all other bytes (UTF-8), since prose and CJK differ. They are careful: every text of
late would have been counted as long as it was, or longer. And they are steady, since the choice of passages goes by
them: they change when they were too hopeful, and else only for much.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

# Bytes of a token of a model that is not measured yet.
_SAFE = 3.0
# Bytes of a token on average, at least and at most, of any tokenizer known: a token for each byte, up to the largest
# vocabularies, whose tokens of other scripts hold three to four characters.
_FEWEST, _MOST_ASCII, _MOST_OTHER = 1.0, 6.0, 10.0
# Counts that are remembered of a model, and how many of them it takes to believe them.
KEPT, _ENOUGH = 32, 3
# What is added to the densest text of late: little, or more while few texts are known.
_MARGIN, _FIRST_MARGIN = 1.03, 1.10
# By so much the rates must have been too careful before others are taken, but for when so many counts are there first.
_WORTH, _ANEW = 0.90, (_ENOUGH, 8, KEPT)
# Rates go in steps of so many bytes.
_STEP = 0.05
# Tokens that a chat template takes for a message. Of a shorter prompt they are too large a part to learn from it.
_PER_MESSAGE, _LEAST = 8, 512
# A text that is as long as this less than any like it of late was cut.
_CUT = 0.85
# Of a count that is doubted so much is believed: another language may be behind it, and is believed after a while.
_DOUBT = 0.95
# So many times what was expected a prompt had, at least, that was cut to its window.
_MORE = 1.25
# Texts are alike when their parts of other bytes differ by less.
_ALIKE = 0.15
# Weight of what is taken for granted before anything is measured, in texts.
_PRIOR = 0.02
# Tokens that Ollama keeps of the beginning when it cuts a prompt (`num_keep`).
_KEEP = 4


@dataclass(frozen=True, slots=True)
class Size:
    """What a prompt measures: bytes of ASCII and all other bytes of its texts, and how many messages they are."""

    ascii: int
    other: int
    messages: int = 0

    @property
    def bytes(self) -> int:
        """All of them."""
        return self.ascii + self.other

    def is_like(self, other: "Size") -> bool:
        """Whether its mix of characters is about that of another."""
        return abs(self.other / max(self.bytes, 1) - other.other / max(other.bytes, 1)) < _ALIKE


def size_of(texts: Iterable[str]) -> Size:
    """The size of a prompt of these messages."""
    parts = [_bytes(text) for text in texts]
    return Size(sum(ascii_ for ascii_, _ in parts), sum(other for _, other in parts), len(parts))


def _bytes(text: str) -> tuple[int, int]:
    if text.isascii():  # known of each text without looking
        return len(text), 0
    plain = len(text.encode("ascii", "ignore"))
    return plain, len(text.encode("utf-8", "replace")) - plain


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes per token: of ASCII, and of all other characters."""

    ascii: float = _SAFE
    other: float = _SAFE

    @property
    def id(self) -> str:
        """Names them, in keys and receipts."""
        return f"bytes/{self.ascii:.3g}" + (f"+{self.other:.3g}" if self.other != self.ascii else "")

    def count(self, text: str) -> int:
        """Tokens of a text, rounded up: parts never count less than their whole."""
        plain, other = _bytes(text)
        return math.ceil(plain / self.ascii + other / self.other)

    def tokens(self, size: Size) -> float:
        """Tokens of a prompt of this size, without those of the chat template."""
        return size.ascii / self.ascii + size.other / self.other

    def denser(self, times: float) -> "Rates":
        """Rates by which everything takes so many times the tokens."""
        return Rates(self.ascii / times, self.other / times)


@dataclass(frozen=True, slots=True)
class Observation:
    """A prompt's size, and the tokens a node counted in it, without those of the chat template."""

    size: Size
    tokens: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of a model's tokens.

    Attributes:
        rates: what texts are counted with.
        seen: the latest counts, oldest first.
    """

    rates: Rates = Rates()
    seen: tuple[Observation, ...] = ()

    def with_count(self, size: Size, count: int, num_ctx: int = 0) -> "Calibration":
        """What is known once a node has counted a prompt.

        A count of a short prompt teaches nothing, nor does one that no tokenizer comes to. One that Ollama cuts to says
        that the prompt had more tokens than expected.

        Args:
            size: of the prompt.
            count: `prompt_eval_count`, or what a node tells that refuses a prompt.
            num_ctx: the window in tokens of a prompt that was answered.
        """
        tokens = float(count - _PER_MESSAGE * size.messages)
        if self._is_at_a_cut(count, num_ctx) and self.is_cut(size, count, num_ctx):
            tokens = min(num_ctx, self.rates.tokens(size) * _MORE)
        if count < _LEAST or not _least(size) <= tokens <= size.bytes / _FEWEST:
            return self
        frugal = self._frugal(size)
        if tokens < frugal * _CUT:
            tokens = frugal * _DOUBT
        seen = (*self.seen, Observation(size, tokens))[-KEPT:]
        return replace(self, seen=seen, rates=self._adopted(seen))

    def _adopted(self, seen: Sequence[Observation]) -> Rates:
        """Other rates when the latest count shows these to be too hopeful, or enough of them to be far too careful.

        A few times they are taken anew because more counts tell more of each rate.
        """
        latest, found = seen[-1], _careful(seen)
        if latest.tokens > self.rates.tokens(latest.size) or len(self.seen) < len(seen) in _ANEW:
            return found
        before, after = (sum(rates.tokens(one.size) for one in seen) for rates in (self.rates, found))
        return found if len(seen) >= _ENOUGH and after < before * _WORTH else self.rates

    def is_cut(self, size: Size, count: int, num_ctx: int) -> bool:
        """Whether a node that counted so many tokens has read less than was sent.

        The count is below what any tokenizer makes of it, or well below what this one made of texts of the same mix.
        Where no such text is known, it is at a size to which Ollama cuts; that it is so by chance is one in thousands.

        Args:
            size: of the prompt.
            count: `prompt_eval_count`.
            num_ctx: the window in tokens.
        """
        if count in (num_ctx - 1, num_ctx):
            return True
        frugal = self._frugal(size)
        if not frugal and self._is_at_a_cut(count, num_ctx):
            return size.bytes / _FEWEST >= num_ctx
        return count < max(_least(size), frugal * _CUT)

    @staticmethod
    def _is_at_a_cut(count: int, num_ctx: int) -> bool:
        """Whether Ollama cuts to so many tokens: to the window, or to half of what is not kept of its beginning."""
        return count in (num_ctx - 1, num_ctx, num_ctx - (num_ctx - _KEEP) // 2)

    def _frugal(self, size: Size) -> float:
        """The fewest tokens that a text of this size would have as the texts like it had; 0 if too few are known.

        The fewest but one: a cut that could not be noticed shall not hide the next.
        """
        alike = [one for one in self.seen if one.size.is_like(size)]
        if len(alike) < _ENOUGH:
            return 0.0
        fitted = _fitted(self.seen)
        return sorted(one.tokens / fitted.tokens(one.size) for one in alike)[1] * fitted.tokens(size)


def _least(size: Size) -> float:
    """Tokens that any tokenizer makes of a text, at least."""
    return size.ascii / _MOST_ASCII + size.other / _MOST_OTHER


def _careful(seen: Sequence[Observation]) -> Rates:
    """Rates by which each of these counts as it did, or more."""
    fitted = _fitted(seen)
    margin = _MARGIN if len(seen) >= _ENOUGH else _FIRST_MARGIN
    rates = fitted.denser(max(1.0, *(one.tokens / fitted.tokens(one.size) for one in seen)) * margin)
    steps = (math.floor(rate / _STEP) for rate in (rates.ascii, rates.other))
    return Rates(*(round(step * _STEP, 2) for step in steps))


def _fitted(seen: Sequence[Observation]) -> Rates:
    """The rates that fit these counts best: least squares of the relative error, held to what is safe by a ridge.

    Each text weighs the same. A rate that these texts do not tell of stays near to what is safe.
    """
    aa = bb = _PRIOR
    ab, at, bt = 0.0, _PRIOR, _PRIOR
    for one in seen:
        # Tokens by safe rates, as a part of the tokens that were counted: 1 where these are right.
        a, b = one.size.ascii / _SAFE / one.tokens, one.size.other / _SAFE / one.tokens
        aa, ab, bb, at, bt = aa + a * a, ab + a * b, bb + b * b, at + a, bt + b
    whole = aa * bb - ab * ab
    dense_a, dense_b = (at * bb - bt * ab) / whole, (bt * aa - at * ab) / whole
    return Rates(_rate(dense_a, _MOST_ASCII), _rate(dense_b, _MOST_OTHER))


def _rate(density: float, most: float) -> float:
    """Bytes per token of what takes so many times the tokens of safe rates."""
    return min(most, max(_FEWEST, _SAFE / density)) if density > 0 else most
