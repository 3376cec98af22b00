"""Properties: read as Obsidian reads them, plain JSON always, and no note can hurt the process that reads it."""

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from context.frontmatter import LIMIT_CHARS, LIMIT_DEPTH, read


def properties(block: str) -> dict[str, Any]:
    front = read(f"---\n{block}\n---\nbody\n")
    assert not front.problem, front.problem
    return front.properties


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("---\na: 1\n---\nbody", 13),
        ("---\na: 1\n---", 12),
        ("---\r\na: 1\r\n---\r\nbody", 16),
        ("\ufeff---\na: 1\n---\nbody", 14),
        ("---  \na: 1\n--- \t\nbody", 17),
        ("---\n---\nbody", 8),
        ("---\na: |\n  ---\n  x\n---\nbody", 23),
    ],
)
def test_where_the_body_begins(text: str, body: int) -> None:
    front = read(text)
    assert (front.body, front.problem) == (body, "")


@pytest.mark.parametrize(
    "text", ["", "body", "\n---\na: 1\n---\n", "---\na: 1\n", "----\na: 1\n----\n", " ---\na: 1\n---\n"]
)
def test_what_is_no_block_of_properties(text: str) -> None:
    assert read(text) == type(read(""))()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2025-09-14", "2025-09-14"),
        ("2025-13-45", "2025-13-45"),
        ("2025-09-14T10:00:00", "2025-09-14T10:00:00"),
        ("12:30:00", "12:30:00"),
        ("yes", "yes"),
        ("no", "no"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("~", None),
        ("12", 12),
        ("-3", -3),
        ("010", "010"),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("NaN", "NaN"),
        (".inf", ".inf"),
        ("9" * 4300, "9" * 4300),
        ('"12"', "12"),
        ("!!python/name:os.system x", "x"),
        ("[a, [b], {c: 1}]", ["a", ["b"], {"c": 1}]),
        ("#tag", None),
        ("a: b", None),
        ("[[MOC]]", "[[MOC]]"),
        ("[[MOC|the map]]", "[[MOC|the map]]"),
        ('"[[MOC]]"', "[[MOC]]"),
        ("[[[A]], [[B]]]", ["[[A]]", "[[B]]"]),
    ],
)
def test_a_value_is_what_the_person_meant(written: str, value: Any) -> None:
    if written == "a: b":
        assert read("---\nx: a: b\n---\n").problem.startswith("not YAML (line 2)")
        return
    assert properties(f"x: {written}") == {"x": value}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("created: {{date:YYYY-MM-DD}}", "plain name (line 2)"),
        ("a: 1\nb:\n\t- c", "not YAML (line 4)"),
        ("just words", "not a list of properties"),
        ("- a\n- b", "not a list of properties"),
        ("a: 1\na: 2", "'a' is there twice"),
        ("a: &x [1]\nb: *x", "anchors and merge keys are not read (line 3)"),
        ("[a, b]: c", "plain name"),
        ("a: \x01", "not YAML"),
        ("a: " + "[" * (LIMIT_DEPTH + 2) + "]" * (LIMIT_DEPTH + 2), "deep"),
        ("a: " + "x" * LIMIT_CHARS, "longer than"),
        ("a: 'open", "not YAML"),
    ],
)
def test_what_cannot_be_read_is_said(block: str, said: str) -> None:
    front = read(f"---\n{block}\n---\nbody")
    assert said in front.problem
    assert (front.properties, front.spans) == ({}, ())
    assert front.body == len(f"---\n{block}\n---\n")


def test_python_frontmatter_alone_fails_on_a_note_that_ours_survives() -> None:
    """96 KB of nested mappings overflow the stack of older C loaders: no handler can catch that."""
    bomb = "---\\na: ' + '{a: ' * 24000 + '\\n---\\nbody"
    alone = subprocess.run(
        [sys.executable, "-c", f"import frontmatter; frontmatter.parse('{bomb}')"], capture_output=True, check=False
    )
    assert alone.returncode != 0  # by a signal, or by an error that only says where the loader gave up
    for depth in (24_000, 15_000, 1000, LIMIT_DEPTH + 2):  # above and below the limit of size
        assert read("---\na: " + "{a: " * depth + "\n---\nbody").problem
        assert read("---\na:\n  " + "- " * depth + "x\n---\nbody").problem
        assert read("---\na: " + "[" * depth + "\n---\nbody").problem
        assert read("---\n" + "".join(" " * n + "a:\n" for n in range(min(depth, 300))) + "---\nbody").problem


def test_a_bomb_of_merge_keys_or_aliases_costs_nothing() -> None:
    merges = "b0: &b0 {a: 1}\n" + "".join(
        f"b{n}: &b{n} {{<<: [{', '.join([f'*b{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
    )
    assert "anchors" in read(f"---\n{merges}---\n").problem


def test_the_places_of_links_are_those_of_their_values() -> None:
    text = '\ufeff---\nup: [[Home]]\nlist:\n  - "[[A]]"\n  - see [[B|b]] there\n# not: [[C]]\nnested: {deep: "[[D]]"}\n---\n'
    assert [(prop, text[start:end]) for prop, start, end in read(text).spans] == [
        ("up", "[[Home]]"),
        ("list", '"[[A]]"'),
        ("list", "see [[B|b]] there"),
        ("nested", '"[[D]]"'),
    ]


# Characters that YAML writers escape or fold come back changed by their own rules.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff"), max_size=20)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(10**17), 10**17), TEXT)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=6))
def test_what_a_yaml_writer_wrote_is_read_back(value: dict[str, Any]) -> None:
    block = yaml.safe_dump(value, allow_unicode=True, width=1000)
    front = read(f"---\n{block}---\n")
    assert (front.properties, front.problem) == (value, "")


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from("ab:-[]{}#&*!|>'\"%@`,? \t\n\r0195.~\ufeff\x00\x85é"), max_size=120))
@example("a: *b")
@example("? a\n: b")
@example("%YAML 1.1\n---\na: 1")
@example("a: 1\n...\nb: 2")
def test_any_block_is_properties_or_a_problem(block: str) -> None:
    front = read(f"---\n{block}\n---\nrest")
    json.dumps(front.properties, allow_nan=False)
    assert not (front.problem and front.properties)
    assert all(4 <= start < end <= front.body for _, start, end in front.spans)


# Pieces of which lines are made that are simple, or only look so.
_KEYS = st.sampled_from(
    ["a", "b_c", "Due date", "x-1", "é", "yes", "1", "a b ", " a", "?", "-", "a:b", '"q"', "<<", "a#", ""]
)
_VALUES = st.one_of(
    st.sampled_from(
        "text|a b|1|-2|1.5|007|true|null|~|2025-01-02|12:30|a: b|a:|a:b|# c|a #c|a#c|a\t#c|a, b|a]b|a}b|a\\b".split("|")
    ),
    st.sampled_from(
        ["'q'", '"q"', '"a\\n"', "'it''s'", '"x" y', '"[[A]]"', "'[[A]]' ", "see [[A]] [[B|c]] ", "''", '""']
    ),
    st.sampled_from(
        ["[a, b]", "[a, [b]]", "[a,, b]", "[a, ]", "[]", "[ ]", "[-a]", "[- a]", "[1, true]", "[[Home]]", "[[[A]], b]"]
    ),
    st.sampled_from("{a: 1};{};|;>-;&a b;*a;!!str 1;%a;@a;`a`;- a;-;? a;=;<<;...;---a;a|b;a\rb;\ta".split(";")),
    st.sampled_from(["a\u2028b", "a\x85b", "a\x07b", "a\u00a0b", "\ufeffa", "", "\u00a0", "a\u00a0"]),
    st.text(alphabet="ab: #-[]'\"\t,\\=<&*!|>%@`?~1.\u00e9", max_size=8),
)
_LINES = st.one_of(
    st.builds("{}:{}{}".format, _KEYS, st.sampled_from(["", " ", "\t", "  "]), _VALUES),
    st.builds(
        "{}-{}{}".format, st.sampled_from(["", "  ", " ", "\t", "    "]), st.sampled_from([" ", "", "  "]), _VALUES
    ),
    st.builds("{}{}".format, st.sampled_from(["", "  ", "\t"]), _VALUES),
)


@given(st.lists(_LINES, max_size=6), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", " ", "\t"]))
@settings(max_examples=1500, deadline=None)
def test_the_quick_way_reads_what_the_parser_reads(lines: list[str], end: str, after: str) -> None:
    text = end.join(("---", *(line + after for line in lines), "---", "text"))
    quick = read(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("context.frontmatter._flat", lambda *_: None)
        slow = read(text)
    assert repr(quick) == repr(slow)


def test_most_properties_are_read_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("context.frontmatter.frontmatter.parse", lambda *_, **__: pytest.fail("not the quick way"))
    text = '---\ntags: [a, b]\nup: "[[Home]]"\nn: 1\ndue: 2025-09-14\nlist:\n  - one\n  - "two"\nempty:\n---\n'
    assert read(text).properties == {
        "tags": ["a", "b"],
        "up": "[[Home]]",
        "n": 1,
        "due": "2025-09-14",
        "list": ["one", "two"],
        "empty": None,
    }
