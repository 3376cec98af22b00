"""Words, meaning, notes and neighbours: what each adds to what a chunk is worth."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.fusion import blended, together

_WORDS = {n: 20.0 - n for n in range(20)}
_NUMBERS = st.dictionaries(st.integers(0, 60), st.integers(1, 5000).map(lambda hundredth: hundredth / 100), max_size=30)
_COSINES = st.none() | st.floats(-1, 1)


def test_a_chunk_is_seen_with_its_note_and_neighbours() -> None:
    worth = together({1: 10.0, 5: 9.0, 6: 8.0}, {1: "a.md", 5: "b.md", 6: "b.md"})
    assert worth[5] == 1.0  # together the two say more than the one
    assert worth[1] < worth[5]
    assert together({}, {}) == {}


def test_a_neighbour_of_another_note_adds_nothing() -> None:
    apart = together({1: 10.0, 5: 9.0}, {1: "a.md", 5: "b.md"})
    beside = together({1: 10.0, 2: 9.0}, {1: "a.md", 2: "b.md"})
    assert list(apart.values()) == list(beside.values())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 50)), max_size=12))
def test_what_a_chunk_is_worth_lies_between_nothing_and_one(found: list[tuple[str, float]]) -> None:
    found.sort(key=lambda one: -one[1])
    worth = together({n: score for n, (_, score) in enumerate(found)}, {n: path for n, (path, _) in enumerate(found)})
    assert list(worth) == list(range(len(found)))
    assert all(0 <= one <= 1 for one in worth.values())


def test_what_is_near_in_meaning_comes_first_when_words_tell_little_apart() -> None:
    flat = {n: 10.0 - n / 1000 for n in range(20)}
    cosines = dict.fromkeys(range(20), 0.2) | {17: 0.8, 90: 0.7}
    assert list(blended(flat, cosines, 0.2))[:2] == [17, 90]


def test_words_count_when_meaning_tells_little_apart() -> None:
    steep = {n: 2.0**-n for n in range(20)}
    cosines = {n: 0.5 + n / 1000 for n in range(20)} | {90: -0.5}
    assert list(blended(steep, cosines, -0.5))[:3] == [0, 1, 2]


@given(_NUMBERS, st.floats(-1, 1))
def test_an_embedder_that_sees_no_difference_changes_nothing(words: dict[int, float], same: float) -> None:
    alone = sorted(words, key=lambda number: (-words[number] / max(words.values()), number))
    assert list(blended(words, dict.fromkeys(words, same), same)) == alone
    assert list(blended(words, dict.fromkeys(words, None), 0.0)) == alone


def test_a_chunk_without_a_vector_loses_nothing_by_it() -> None:
    cosines: dict[int, float | None] = {n: 0.9 - n / 25 for n in range(20)}
    before = list(blended(_WORDS, cosines, -1.0)).index(3)
    assert list(blended(_WORDS, cosines | {3: None}, -1.0)).index(3) <= before


@given(_NUMBERS, st.dictionaries(st.integers(0, 60), _COSINES, max_size=30), st.floats(-1, 1))
def test_what_both_say_is_one_order_of_all(
    words: dict[int, float], more: dict[int, float | None], least: float
) -> None:
    cosines = {number: more.get(number) for number in words} | more
    worth = blended(words, cosines, least)
    assert worth.keys() == cosines.keys()
    assert list(worth.values()) == sorted(worth.values(), reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_noise_in_the_last_digits_changes_no_order(seed: int) -> None:
    chance = random.Random(seed)
    cosines: dict[int, float | None] = {n: chance.randrange(-1000, 1000) / 1000 for n in range(30)}
    shaken = {n: one + chance.uniform(-1e-7, 1e-7) for n, one in cosines.items() if one is not None}
    assert list(blended(_WORDS, cosines, -1.0)) == list(blended(_WORDS, dict(shaken), -1.0))


def test_meaning_counts_less_when_nothing_near_has_any_of_the_many_words() -> None:
    words = {n: 10.0 - n / 100 for n in range(300)}
    far = dict.fromkeys(words, 0.1)
    apart = blended(words, far | {n: 0.9 - n / 1e4 for n in range(1000, 1010)}, 0.1)
    joined = blended(words, far | {n: 0.9 - n / 1e4 for n in (*range(1000, 1005), *range(5))}, 0.1)
    assert joined[1000] > 2 * apart[1000]
    few = {n: words[n] for n in range(12)}
    assert blended(few, far | {n: 0.9 - n / 1e4 for n in range(1000, 1010)}, 0.1)[1000] > 2 * apart[1000]
