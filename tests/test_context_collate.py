"""The order of texts: what the collator of the app (ICU, English) makes of these, and what it holds for equal."""

import random

import pytest

from context.collate import order, same

# Put in order by `Intl.Collator("en")`.
SORTED = ["", " ", "_a", "-a", "'a", "’a", "(a", "🎄", "$1", "1", "½", "10", "2", "²", "a", "A", "á", "a b", "ab", "aB", "Ab", "ae", "æ", "b", "cafe", "Café", "Café2", "é", "n", "ñ", "ø", "ss", "ß", "Strasse", "Straße", "z", "α", "я", "한", "あ", "ア", "漢字"]  # fmt: skip


def test_texts_are_ordered_as_the_app_orders_them() -> None:
    mixed = SORTED[:]
    random.Random(1).shuffle(mixed)
    assert sorted(mixed, key=order) == SORTED


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("é", "e\u0301", True),
        ("⚙", "⚙\ufe0f", True),
        ("a\u200bb", "ab", True),
        ("a\x00b", "ab", True),
        ("a b", "ab", False),
        ("a-b", "ab", False),
        ("e", "é", False),
    ],
)
def test_equal_is_what_is_written_alike(first: str, second: str, expected: bool) -> None:
    assert same(first, second) is expected
