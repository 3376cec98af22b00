"""A note: bytes in, properties, links, tags, privacy and flags out; and into the index and back."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import msgpack

from context.note import Front, Parts, decode, parse
from context.private import says_private

WHOLE = """---
title: A note
aliases: [Other name, 1984]
tags: [project, "#infra/backup"]
up: "[[Home]]"
---
# Heading
Text with [[Link|shown]] and #inline.
- [ ] task 📅 2025-09-14 ^id
"""


def note(text: str | bytes, path: str = "x.md", **options: Any) -> Any:
    return parse(path, text if isinstance(text, bytes) else text.encode(), **options)


def test_a_note_has_everything_in_its_place() -> None:
    found = note(WHOLE, "Folder/A note.md")
    assert found.title == "A note"
    assert found.aliases == ("Other name", "1984")
    assert found.tags == ("project", "infra/backup", "inline")
    assert [(link.kind, link.target, link.prop) for link in found.links] == [
        ("frontmatter", "Home", "up"),
        ("wikilink", "Link", ""),
    ]
    assert WHOLE[found.body :].startswith("# Heading")
    assert (found.tasks[0].text, found.tasks[0].due, found.blocks[0].id) == ("task", "2025-09-14", "id")
    assert (found.flags, found.private, found.length) == ((), False, len(WHOLE))


@pytest.mark.parametrize(
    ("head", "tags"),
    [
        ("tags: a, b c", ("a", "b", "c")),
        ("tag: one", ("one",)),
        ("Tags:\n  - x\n  - '#y/z/'", ("x", "y/z")),
        ("tags: [null, 3.5, true, a]", ("3.5", "a")),
        ("tags: {a: 1}", ()),
        ("tags:", ()),
    ],
)
def test_tags_in_properties(head: str, tags: tuple[str, ...]) -> None:
    assert note(f"---\n{head}\n---\n").tags == tags


@pytest.mark.parametrize(
    ("head", "aliases"),
    [
        ("alias: A, B", ("A", "B")),
        ("aliases: [A, 'B, C', A]", ("A", "B, C")),
        ("aliases: null", ()),
        ("Aliases: x", ("x",)),
    ],
)
def test_aliases_in_properties(head: str, aliases: tuple[str, ...]) -> None:
    assert note(f"---\n{head}\n---\n").aliases == aliases


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("---\nprivate: true\n---\n", True),
        ("---\nPrivate: yes\n---\n", True),
        ("---\nprivate: 1\n---\n", True),
        ("---\nprivate: false\n---\n", False),
        ("---\nprivate: no\n---\n", False),
        ("---\nprivate: 'False'\n---\n", False),
        ("---\nprivate: 0\n---\n", False),
        ("---\nprivate:\n---\n", False),
        ("---\ntags: [private]\n---\n", True),
        ("a #Private/health note", True),
        ("a #privately note", False),
        ("`#private`", False),
        ("---\ntitle: a: b\n---\n", True),  # nobody knows what it says
        ("plain", False),
    ],
)
def test_what_makes_a_note_private(text: str, private: bool) -> None:
    assert note(text).private is private


@pytest.mark.parametrize(
    "text",
    [
        *("(#private)", "[#private]", "{#private}", '"#private"', "'#private'", "“#private”", "„#private“", "«#private»"),
        *("「#private」", "（#private）", "see #private」 and", "#private, then", "#private.", "so:#private", "-#private", "—#private"),
        *("a,#private", "a.#Private/health.", "🔒#private", "##private", "!#private", "(#private/)", "_#private", "/#private"),
        *("[x](note.md)(#private)", "[(#private)](note.md)", '[x](note.md "#private")', "[[Note|(#private)]]", "[[Note]](#private)"),
        *("[[#Part]] (#private)", "(#private) [[Note]]", "https://x.org (#private)", '"https://x.org"(#private)', "<b>(#private)</b>"),
        *("%% (#private) %%", "<!-- #private -->", "<div>\n(#private)\n</div>", "$(#private)$", "| a |(#private)|", "> (#private)"),
        *("- [ ] (#private)", "`code` (#private) `code`", "note#private (#private)", "\\(#private", "# Head (#private)"),
    ],
)  # fmt: skip
def test_what_may_be_meant_as_a_private_tag_is_private(text: str) -> None:
    assert note(text).private
    assert note(f"---\ntitle: x\n---\nwords\n{text}\nwords").private
    assert not note(text.replace("rivate", "ublic")).private


@pytest.mark.parametrize(
    "text",
    [
        *("note#private", "C_#private", "Straße#private", "[[Note#private]]", "[[#private]]", "![[Note (x)#private|y]]", "[[a/#private]]"),
        *("[x](note.md#private)", "[x](#private)", "[x](<a b/#private>)", "[x](a(b)/#private)", "https://x.org/#private", "(www.x.org/?#private)"),
        *("<https://x.org/#private>", '<a href="#private">x</a>', "`(#private)`", "```\n(#private)\n```", "    (#private)", "\\#private"),
        *("%% `(#private)` %%", "<!-- `(#private)` -->", "<pre>\n(#private)\n</pre>", "(#privately)", "(#private-ish)", "(# private)", "(private)"),
        "(#my/private)",
    ],
)  # fmt: skip
def test_what_is_no_tag_at_all_makes_nothing_private(text: str) -> None:
    assert not note(text).private


def test_the_tags_of_a_note_stay_those_of_obsidian() -> None:
    assert note("(#private) #a").tags == ("a",)


@given(st.text(st.sampled_from("#private/ ()[]\"'`|\\_*,.:\n<>é%$!-"), max_size=40))
def test_the_wider_rule_never_makes_a_note_less_private(text: str) -> None:
    found = note(text)
    assert found.private or not says_private(found.properties, found.tags, frozenset({"private"}))
    assert note(f"{text} (#secret)", private_tags=frozenset({"private", "secret"})).private or not found.private


@pytest.mark.parametrize(
    "mark", ["[[#private]] ", "[x](#private) ", "`(#private)` ", "%% `(#private)` %% ", "https://x.org/#private "]
)
def test_very_many_marks_that_are_not_meant_cost_little(mark: str) -> None:
    began = time.process_time()
    assert not note(mark * 3000).private
    assert time.process_time() - began < 1


def test_other_tags_can_make_it_private() -> None:
    assert note("see ”#Geheim/x”", private_tags=frozenset({"geheim"})).private
    assert note("(#prive\u0301)", private_tags=frozenset({"Privé"})).private
    assert note("(#निजी)", private_tags=frozenset({"निजी"})).private
    assert not note("(#private)", private_tags=frozenset()).private
    assert note("#secret/x", private_tags=frozenset({"Secret"})).private
    assert not note("#private", private_tags=frozenset({"Secret"})).private


@pytest.mark.parametrize(
    ("data", "text", "fault"),
    [
        (b"plain", "plain", ""),
        (b"\xef\xbb\xbfwith mark\r\n", "\ufeffwith mark\r\n", ""),
        ("wide".encode("utf-16"), "wide", "encoding: UTF-16"),
        (b"caf\xe9", "caf\ufffd", "encoding: some bytes"),
        (bytes(range(256)), "", "binary"),
        (b"", "", ""),
    ],
)
def test_bytes_become_text_or_a_flag(data: bytes, text: str, fault: str) -> None:
    found, said = decode(data)
    assert (found.lstrip("\ufeff"), bool(said)) == (text.lstrip("\ufeff"), bool(fault))
    assert said.startswith(fault)


@pytest.mark.parametrize(
    ("card", "private"),
    [
        *((text, True) for text in ("#private", "about (#private)", "private:: yes", "# Head\n#private/salary", "- [ ] x #Private")),
        *((text, False) for text in ("`#private`", "[[Note#private]]", "private:: no", "#privately", "private")),
    ],
)  # fmt: skip
def test_a_canvas_is_private_when_a_card_of_it_says_so(card: str, private: bool) -> None:
    nodes = [{"type": "text", "text": "[[A]]"}, {"type": "text", "text": card}, {"type": "file", "file": "B.md"}]
    found = note(json.dumps({"nodes": nodes}), "x.canvas")
    assert found.private is private
    assert {"A", "B.md"} <= {link.target for link in found.links}


def test_a_canvas_too_deep_to_read_is_flagged() -> None:
    assert note("[" * 100_000, "x.canvas").flags[-1].startswith("canvas: ")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")), st.booleans())
def test_any_bytes_make_a_note_that_the_index_gives_back(data: bytes, canvas: bool) -> None:
    found = parse("x.canvas" if canvas else "x.md", data, 7)
    text, _ = decode(data)
    assert found.length == len(text)
    assert msgpack.decode(found.front, type=Front).properties == found.properties
    assert msgpack.decode(found.parts, type=Parts).links == found.links
    assert found == parse(found.path, data, 7)


@pytest.mark.parametrize(
    ("part", "longest"),
    [("- [[A]]\n", 15_000 * 8), ("# H\n", 15_000 * 4), ("字", 150_000), ("`", 30_000), ("word ", 0)],
)
def test_a_text_of_very_many_marks_or_words_is_read_to_a_point_and_private(part: str, longest: int) -> None:
    found = note(part * 160_000)
    assert found.length == (longest or len(part) * 160_000)
    assert [flag[:8] for flag in found.flags] == (["too much"] if longest else [])
    assert found.private == bool(longest)


def test_what_utf8_cannot_spell_is_replaced() -> None:
    found = parse("x.canvas", b'{"nodes": [{"type": "file", "file": "a\\ud800b.md"}]}')
    assert [link.target for link in found.links] == ["a?b.md"]
