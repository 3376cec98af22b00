"""Counting tokens: careful, steady, and no cut unnoticed once texts of its mix are known."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.tokens import Calibration, Rates, Size, size_of

TEXTS = st.text(max_size=300)
RATES = st.builds(Rates, st.floats(1, 6), st.floats(1, 10))
SIZES = st.builds(Size, st.integers(0, 60_000), st.integers(0, 60_000), st.just(2))
COUNTS = st.lists(st.tuples(SIZES, st.integers(0, 60_000)), max_size=60)
WINDOW = 1 << 20


def tokens(size: Size, ascii_: float = 4.4, other: float = 3.1, noise: float = 1.0) -> int:
    """What a tokenizer counts in a prompt, its template included."""
    return round((size.ascii / ascii_ + size.other / other) * noise) + 20


def prompts(seed: int, count: int, others: float = 0.5) -> list[Size]:
    dice = random.Random(seed)
    totals = [dice.randrange(4000, 24_000) for _ in range(count)]
    return [Size(total - (part := int(total * dice.uniform(0, others))), part, 2) for total in totals]


def learned(sizes: list[Size], *, seed: int = 0, noise: float = 0.05, **rates: float) -> Calibration:
    dice, found = random.Random(seed), Calibration()
    for size in sizes:
        found = found.with_count(size, tokens(size, noise=dice.uniform(1 - noise, 1 + noise), **rates), WINDOW)
    return found


# --- counting


@given(TEXTS, TEXTS, RATES)
def test_parts_never_count_less_than_their_whole(one: str, other: str, rates: Rates) -> None:
    assert rates.count(one) + rates.count(other) >= rates.count(one + other) >= rates.count(one)


@given(st.lists(TEXTS, max_size=4), RATES)
def test_a_size_is_the_bytes_of_its_texts(texts: list[str], rates: Rates) -> None:
    size = size_of(texts)
    assert size.ascii == sum(ord(char) < 128 for text in texts for char in text)
    assert size.other == sum(len(char.encode()) for text in texts for char in text if ord(char) >= 128)
    assert size.messages == len(texts)
    assert 0 <= sum(map(rates.count, texts)) - rates.tokens(size) <= len(texts) + 1e-6


def test_half_a_character_counts_as_one() -> None:
    assert size_of(["a\ud800"]) == Size(1, 1, 1)


def test_an_unmeasured_model_takes_three_bytes() -> None:
    assert Calibration().rates == Rates(3.0, 3.0)
    assert (Rates().id, Rates().count("x" * 30), Rates().count("ぬか床")) == ("bytes/3", 10, 3)
    assert Rates(4.2, 2.85).id == "bytes/4.2+2.85"


# --- learning


@settings(max_examples=300)
@given(COUNTS)
def test_whatever_is_counted_rates_stay_those_of_a_tokenizer(counts: list[tuple[Size, int]]) -> None:
    found = Calibration()
    for size, count in counts:
        before, found = found, found.with_count(size, count, 8192)
        assert 0 < found.rates.ascii <= 6
        assert 0 < found.rates.other <= 10
        assert len(found.seen) <= 32
        if found is not before:
            assert found.rates.tokens(size) >= found.seen[-1].tokens - 1e-6, "no prompt is expected shorter than it was"


@pytest.mark.parametrize("ascii_", [1.3, 2.2, 3.4, 4.4, 5.6])
@pytest.mark.parametrize("other", [1.5, 2.0, 3.1, 4.5, 8.0])
def test_each_rate_is_found_from_counts_of_whole_prompts(ascii_: float, other: float) -> None:
    rates = learned(prompts(1, 30), ascii_=ascii_, other=other).rates
    for size in (Size(20_000, 0, 2), Size(10_000, 10_000, 2), *prompts(2, 50)):
        assert 0.97 < (rates.tokens(size) + 64) / tokens(size, ascii_, other) < 1.3, (rates, size)


def test_too_hopeful_rates_are_given_up_at_once() -> None:
    size = Size(15_000, 0, 2)
    found = Calibration().with_count(size, 9000, WINDOW)
    assert 9000 - 16 < found.rates.tokens(size) < 9000 * 1.15
    assert found.rates.other <= 3, "nothing was told of other bytes, so they are not taken to be cheaper"


def test_too_careful_rates_are_given_up_after_three_counts() -> None:
    found = Calibration()
    for number, size in enumerate(prompts(3, 6, others=0.0)):
        assert (found.rates == Rates()) == (number < 3)
        found = found.with_count(size, tokens(size), WINDOW)
    assert 4.0 < found.rates.ascii <= 4.4


@pytest.mark.parametrize("seed", range(8))
def test_rates_are_steady(seed: int) -> None:
    dice, found, changes = random.Random(seed), Calibration(), 0
    for size in prompts(seed, 300):
        before = found.rates
        found = found.with_count(size, tokens(size, noise=dice.uniform(0.9, 1.1)), WINDOW)
        changes += found.rates != before
    assert changes <= 12


def test_the_template_of_a_chat_does_not_count_as_text() -> None:
    found = Calibration()
    for size in (Size(300, 0, 2), Size(900, 0, 2), Size(1200, 0, 2), Size(1500, 0, 2)) * 3:
        found = found.with_count(size, tokens(size), WINDOW)
    assert found == Calibration(), "a short prompt teaches nothing"
    for size in (Size(2600, 0, 2), Size(2700, 0, 2), Size(2800, 0, 2)):
        found = found.with_count(size, tokens(size), WINDOW)
    assert 0 < found.rates.tokens(Size(20_000, 0, 2)) / tokens(Size(20_000, 0, 2)) < 1.15


@pytest.mark.parametrize("count", [0, 400, 1600, 10_200, 50_000])
def test_what_no_tokenizer_comes_to_teaches_nothing(count: int) -> None:
    assert Calibration().with_count(Size(10_000, 0, 2), count, WINDOW) == Calibration()


# --- cuts


@pytest.mark.parametrize("share", [0.5, 0.7, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_a_cut_is_noticed_and_a_whole_prompt_never_taken_for_one(seed: int, share: float) -> None:
    known, dice = learned(prompts(seed, 40), seed=seed), random.Random(seed)
    for size in prompts(seed + 100, 200):
        count = tokens(size, noise=dice.uniform(0.95, 1.05))
        assert not known.is_cut(size, count, WINDOW)
        assert known.is_cut(size, round(count * share), WINDOW) or share == 0.8 < count / tokens(size)


@given(SIZES)
def test_fewer_tokens_than_any_tokenizer_makes_are_a_cut(size: Size) -> None:
    least = size.ascii / 6 + size.other / 10
    assert Calibration().is_cut(size, int(least) - 1, WINDOW)
    assert not Calibration().is_cut(size, int(least) + 1, WINDOW)


def test_a_script_of_which_nothing_is_known_is_no_cut() -> None:
    known = learned(prompts(1, 32, others=0.0))
    assert not known.is_cut(Size(4000, 16_000, 2), round(4000 / 4.4 + 16_000 / 8), WINDOW)


@pytest.mark.parametrize(
    ("count", "cut"),
    [(4097, False), (4098, True), (4099, False), (8191, True), (8192, True), (8193, False)],
)
def test_the_sizes_to_which_ollama_cuts_are_known_of_any_model(count: int, cut: bool) -> None:
    size = Size(21_000, 0, 2)
    assert Calibration().is_cut(size, count, 8192) == cut
    known = Calibration()
    for _ in range(3):
        known = known.with_count(size, count, 8192)
    assert not cut or known.rates.tokens(size) > 8192, "it had as many tokens as the window, or more"


def test_a_whole_prompt_of_such_a_size_is_no_cut_where_it_was_expected() -> None:
    known = learned(prompts(1, 32, others=0.0))
    assert not known.is_cut(Size(round(4098 * 4.4), 0, 2), 4098, 8192)


def test_a_cut_that_nothing_could_tell_does_not_hide_the_next() -> None:
    sizes = prompts(1, 12, others=0.0)
    known = Calibration().with_count(sizes[0], tokens(sizes[0], 2.0) // 2, WINDOW)
    for size in sizes[1:]:
        known = known.with_count(size, tokens(size, 2.0), WINDOW)
    assert known.is_cut(sizes[0], tokens(sizes[0], 2.0) // 2, WINDOW)


def test_another_language_is_doubted_a_few_times_and_then_believed() -> None:
    known, doubts = learned(prompts(1, 32, others=0.0), ascii_=3.3), 0
    for size in prompts(2, 100, others=0.0):
        count = tokens(size, 4.6)
        doubts += known.is_cut(size, count, WINDOW)
        known = known.with_count(size, count, WINDOW)
    assert 1 <= doubts <= 8


def test_half_of_each_prompt_is_told_for_long() -> None:
    known = learned(prompts(1, 32, others=0.0), ascii_=2.0)
    for size in prompts(2, 12, others=0.0):
        assert known.is_cut(size, tokens(size, 4.0), WINDOW)
        known = known.with_count(size, tokens(size, 4.0), WINDOW)
