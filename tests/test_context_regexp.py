"""JavaScript's regular expressions: what they match, and which are refused."""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.regexp import Regexp
from context.unsupported import UnsupportedError


@pytest.mark.parametrize(
    ("pattern", "flags", "text", "matches"),
    [
        ("abc", "", "xabcx", True), ("^abc$", "", "abc\n", False), ("^b", "m", "a\nb", True), ("A", "i", "a", True),
        (r"^\d{4}-\d\d$", "", "2025-09", True), (r"\d", "", "٣", False), (r"\w", "", "é", False), (r"\bb", "", "é b", True),
        (r"\s", "", "\u00a0", True), (r"\S", "", "\u00a0", False), ("a.b", "", "a\nb", False), ("a.b", "s", "a\nb", True),
        ("[^a-c]", "", "abc", False), (r"[\w-]+", "", "a-b", True), (r"\u00e9", "", "é", True), ("(?:a|b)c", "", "bc", True),
        ("(?<year>\\d+)x", "", "12x", True), ("a(?=b)", "", "ab", True), ("a(?!b)", "", "ab", False), ("(?<=a)b", "", "ab", True),
        ("a{2,3}?b", "", "aab", True), (r"\/", "", "a/b", True), ("日本", "", "日本語", True), ("[]", "", "a", False), ("[^]", "", "a", True),
        (r"a\.b", "", "axb", False), ("[[]", "", "[", True), (r"[\]]", "", "]", True), ("", "", "anything", True), (r"a$", "m", "a\nb", True),
    ],
)  # fmt: skip
def test_matching(pattern: str, flags: str, text: str, *, matches: bool) -> None:
    assert Regexp(pattern, flags).matches(text) is matches


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        ("(a+)+", ""), ("(a*)*b", ""), ("(a|b)*c", ""), ("(a?){30}", ""), ("((ab)*c)*", ""), ("a?" * 40 + "a" * 40, ""),
        ("(a|a)" * 30, ""), (r"\1", ""), (r"\p{L}", "u"), ("(?i)a", ""), ("a", "y"), ("a", "k"), ("a" * 400, ""), ("[a", ""), ("a)", ""),
        ("(a", ""), ("*a", ""), ("a**", ""), ("\\", ""), (r"\u12", ""), ("a{5000}", ""), (r"[\W]", ""), (".*" * 8, ""), ("(?<1a>b)", ""),
    ],
)  # fmt: skip
def test_what_is_refused(pattern: str, flags: str) -> None:
    with pytest.raises(UnsupportedError, match="regular expression"):
        Regexp(pattern, flags).check()


def test_replacement_knows_groups_and_the_flag_for_all() -> None:
    assert Regexp("(a)(b)?", "").replace("aba", "<$2|$1|$&|$$|$3>") == "<b|a|ab|$|$3>a"
    assert Regexp("(?<x>a)", "g").replace("aa", "[$<x>$<y>]") == "[a][a]"
    assert Regexp("a", "").replace("aa", r"\1") == r"\1a"
    assert Regexp("(a)", "").replace("a", "$12") == "a2"


def test_splitting() -> None:
    assert Regexp(r"\s*,\s*", "").split("a , b,c") == ["a", "b", "c"]
    assert Regexp("", "").split("ab") == ["a", "b"]
    with pytest.raises(UnsupportedError, match="groups"):
        Regexp("(,)", "").split("a,b")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab.*+?()[]{}|\\d^$2,", max_size=14), st.sampled_from(["a" * 60, "ab" * 40, "aaab", ""]))
def test_no_pattern_runs_away(pattern: str, text: str) -> None:
    began = time.thread_time()
    with suppress(UnsupportedError):
        Regexp(pattern, "").matches(text)
    assert time.thread_time() - began < 1


@given(st.from_regex(re.compile(r"[a-c.^$*+?|()]{1,8}"), fullmatch=True), st.text(alphabet="abc", max_size=8))
def test_simple_patterns_match_as_python_has_them(pattern: str, text: str) -> None:
    try:
        found = Regexp(pattern, "").matches(text)
    except UnsupportedError:
        return
    assert found is (re.search(pattern, text) is not None)
