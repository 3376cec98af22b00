"""Edits find their place, say what was meant, and leave every other byte alone."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.edits import Change, Draft, NotEditableError, StaleError, TargetError, change_of, create, splice
from context.frontmatter import read
from context.note import parse
from tests.kos import SAMPLE

Edit = Callable[[Draft], None]


def edited(text: str | bytes, *edits: Edit) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    draft = Draft("x.md", data)
    for edit in edits:
        edit(draft)
    change = draft.change()
    return change.apply(data).decode()


@pytest.mark.parametrize(
    ("text", "heading", "result"),
    [
        ("# P\n## Log\n- a\n\n## Next\n", ("P", "Log"), "# P\n## Log\n- a\n- NEW\n\n## Next\n"),
        ("## Log", ("Log",), "## Log\n- NEW"),
        ("## Log\n", ("Log",), "## Log\n- NEW\n"),
        ("## Log\n\n\n## B\n", ("Log",), "## Log\n- NEW\n\n\n## B\n"),
        ("## Log\n## B", ("Log",), "## Log\n- NEW\n## B"),
        ("## Log\r\n- a\r\n", ("Log",), "## Log\r\n- a\r\n- NEW\r\n"),
        (
            "## Log\n- a\n  - b\n\n    text\n### Deep\nx",
            ("Log",),
            "## Log\n- a\n  - b\n\n    text\n- NEW\n### Deep\nx",
        ),
        ("## Log\npara", ("Log",), "## Log\npara\n\n- NEW"),
        ("Log\n---\n- a\n", ("Log",), "Log\n---\n- a\n- NEW\n"),
        ("Log\n===", ("Log",), "Log\n===\n- NEW"),
        ("## 🚀 Log\n- a", ("🚀 log",), "## 🚀 Log\n- a\n- NEW"),
        ("\ufeff## Log\n- a\n", ("Log",), "\ufeff## Log\n- a\n- NEW\n"),
        ("---\na: 1\n---\ntext\n# H\n", (), "---\na: 1\n---\ntext\n\n- NEW\n# H\n"),
        ("", (), "- NEW"),
        ("## A\n```\n## Log\n---\n```\n## Log\n- a", ("Log",), "## A\n```\n## Log\n---\n```\n## Log\n- a\n- NEW"),
    ],
)
def test_a_line_goes_to_the_end_of_its_section(text: str, heading: tuple[str, ...], result: str) -> None:
    assert edited(text, lambda draft: draft.append_to(heading, "- NEW")) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", "## Log\n- NEW"),
        ("text", "text\n\n## Log\n- NEW"),
        ("text\n", "text\n\n## Log\n- NEW\n"),
        ("text\n\n", "text\n\n## Log\n- NEW\n"),
        ("text\r\nmore\r\n", "text\r\nmore\r\n\r\n## Log\r\n- NEW\r\n"),
        ("---\na: 1\n---\n", "---\na: 1\n---\n\n## Log\n- NEW\n"),
        ("# Day\n### Log\n- a\n", "# Day\n### Log\n- a\n- NEW\n"),
        ("## Log\n- a\n## Log\n- b\n", "## Log\n- a\n- NEW\n## Log\n- b\n"),
    ],
)
def test_capture_makes_its_section_when_there_is_none(text: str, result: str) -> None:
    assert edited(text, lambda draft: draft.append_to(("Log",), "- NEW", ensure=True)) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("## Log\n- a\n", "## Log\n- NEW\n- a\n"),
        ("## Log", "## Log\n- NEW"),
        ("Log\n===\n\ntext", "Log\n===\n- NEW\n\ntext"),
        ("## Log\r\n\r\n- a", "## Log\r\n- NEW\r\n\r\n- a"),
    ],
)
def test_a_line_goes_right_under_its_heading(text: str, result: str) -> None:
    assert edited(text, lambda draft: draft.insert_under(("Log",), "- NEW")) == result


@pytest.mark.parametrize(
    ("text", "heading", "candidates"),
    [
        ("# P\n## Log\n# Q\n## Log\n", ("Log",), ("P > Log", "Q > Log")),
        ("# P\n", ("Log",), ("P",)),
        ("## Log\n## Log\n", ("Log",), ()),
        ("```\n## Log\n```\n", ("Log",), ()),
        ("", ("Log",), ()),
    ],
)
def test_a_place_that_is_not_there_or_not_alone_changes_nothing(
    text: str, heading: tuple[str, ...], candidates: tuple[str, ...]
) -> None:
    with pytest.raises(TargetError) as caught:
        edited(text, lambda draft: draft.append_to(heading, "- NEW"))
    assert (caught.value.code, caught.value.candidates) == ("conflict", candidates)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "heading"),
    [("## Log\n```\nopen", ("Log",)), ("## Log\n%%\nopen", ("Log",)), ("## Log\n~~~\n- a\n", ("Log",))],
)
def test_a_line_never_falls_into_an_open_code_block(text: str, heading: tuple[str, ...]) -> None:
    with pytest.raises(TargetError, match="not closed"):
        edited(text, lambda draft: draft.append_to(heading, "- NEW"))


@pytest.mark.parametrize(
    ("text", "day", "result"),
    [
        ("- [ ] do it", None, "- [x] do it"),
        ("- [ ] do [ ] it ^id\r\n", date(2025, 9, 14), "- [x] do [ ] it ✅ 2025-09-14 ^id\r\n"),
        ("> - [/] x 📅 2025-09-20\n", date(2025, 9, 14), "> - [x] x 📅 2025-09-20 ✅ 2025-09-14\n"),
    ],
)
def test_a_task_is_ticked(text: str, day: date | None, result: str) -> None:
    task = parse("x.md", text.encode()).tasks[0]
    assert edited(text, lambda draft: draft.tick(task, day)) == result


def test_only_an_open_task_of_the_note_is_ticked() -> None:
    done, other = parse("x.md", b"- [x] a").tasks[0], parse("x.md", b"text\n- [ ] b").tasks[0]
    for task in (done, other):
        with pytest.raises(TargetError):
            edited("- [x] a\n- [ ] c", lambda draft, task=task: draft.tick(task))  # type: ignore[misc]


PROPERTIES = """---
title: A note # said once
tags: [a, "b c"] # mine
list:
  - one
  # between
  - "two"  # last
quoted: 'it is'
empty:
text: |
  line
nested: {deep: 1}
---
body
"""


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (lambda d: d.set_property("title", "B: c"), "title: A note #", 'title: "B: c" #'),
        (lambda d: d.set_property("title", True), "title: A note #", "title: true #"),
        (lambda d: d.set_property("title", None), "title: A note #", "title:  #"),
        (lambda d: d.set_property("quoted", "now"), "quoted: 'it is'", "quoted: 'now'"),
        (lambda d: d.set_property("quoted", "it's"), "quoted: 'it is'", 'quoted: "it\'s"'),
        (lambda d: d.set_property("empty", "2025-09-14"), "empty:\n", "empty: 2025-09-14\n"),
        (lambda d: d.set_property("empty", "[[Home]]"), "empty:\n", 'empty: "[[Home]]"\n'),
        (lambda d: d.set_property("text", "x"), "text: |\n  line\n", "text: x\n"),
        (lambda d: d.set_property("tags", ["x", "y, z"]), 'tags: [a, "b c"] #', 'tags: [x, "y, z"] #'),
        (lambda d: d.set_property("new", "12"), "nested: {deep: 1}\n", 'nested: {deep: 1}\nnew: "12"\n'),
        (lambda d: d.add_to_property("tags", "n"), '"b c"]', '"b c", n]'),
        (lambda d: d.add_to_property("list", "[[C]]"), '  - "two"  # last\n', '  - "two"  # last\n  - "[[C]]"\n'),
        (lambda d: d.add_to_property("empty", "x"), "empty:\n", "empty: [x]\n"),
        (lambda d: d.add_to_property("quoted", "x"), "quoted: 'it is'", "quoted: [it is, x]"),
        (lambda d: d.add_to_property("fresh", "x"), "nested: {deep: 1}\n", "nested: {deep: 1}\nfresh: [x]\n"),
        (lambda d: d.add_to_property("tags", "a"), "", ""),
        (lambda d: d.remove_property("quoted"), "quoted: 'it is'\n", ""),
        (lambda d: d.remove_property("text"), "text: |\n  line\n", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_property_is_changed_by_its_line(edit: Edit, old: str, new: str, ends: str) -> None:
    text = PROPERTIES.replace("\n", ends)
    assert edited(text, edit) == PROPERTIES.replace(old, new, 1).replace("\n", ends)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", "---\nk: v\n---\n"),
        ("body", "---\nk: v\n---\nbody"),
        ("\ufeff# H\r\n", "\ufeff---\r\nk: v\r\n---\r\n# H\r\n"),
        ("---\n---\nbody", "---\nk: v\n---\nbody"),
        ("---\na: 1\n---", "---\na: 1\nk: v\n---"),
        ("text\n---\nmore", "---\nk: v\n---\ntext\n---\nmore"),
    ],
)
def test_there_is_never_a_second_block_of_properties(text: str, result: str) -> None:
    assert edited(text, lambda draft: draft.set_property("k", "v")) == result


@pytest.mark.parametrize("head", ["a: b: c", "created: {{date}}", "- list", "a: 1\na: 2", "x: *y"])
def test_properties_that_cannot_be_read_are_not_touched(head: str) -> None:
    for edit in (
        lambda d: d.set_property("k", "v"),
        lambda d: d.add_to_property("k", "v"),
        lambda d: d.remove_property("k"),
    ):
        with pytest.raises(NotEditableError):
            edited(f"---\n{head}\n---\n", edit)
    assert edited(f"---\n{head}\n---\n## Log\n", lambda d: d.append_to(("Log",), "- x")).endswith("## Log\n- x\n")


@pytest.mark.parametrize("data", [b"caf\xe9", "wide".encode("utf-16"), b"a\0b"])
def test_what_is_no_text_is_not_edited(data: bytes) -> None:
    with pytest.raises(NotEditableError):
        Draft("x.md", data)


@pytest.mark.parametrize(
    ("name", "value"), [("a: b", "x"), ("", "x"), ("#a", "x"), ("k", "two\nlines"), ("k", float("nan"))]
)
def test_what_cannot_be_written_as_a_property_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TargetError):
        edited("", lambda draft: draft.set_property(name, value))


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda d: d.replace(2, 1, "x"), "range"),
        (lambda d: d.replace(0, 10_000, "x"), "range"),
        (lambda d: d.add_to_property("nested", "x"), "no list"),
        (lambda d: d.remove_property("missing"), "no property"),
    ],
)
def test_what_is_not_there_to_change_is_refused(edit: Edit, told: str) -> None:
    with pytest.raises(TargetError, match=told):
        edited(PROPERTIES, edit)


def test_several_edits_of_one_note_are_one_change() -> None:
    text = "---\nstatus: active\n---\n# P\n- [ ] a\n## Log\n- x\n"
    task = parse("x.md", text.encode()).tasks[0]
    draft = Draft("x.md", text.encode())
    draft.append_to(("P", "Log"), "- y", why="log")
    draft.append_to(("P", "Log"), "- z", why="log")
    draft.tick(task)
    draft.set_property("status", "done")
    change = draft.change(3)
    assert change.apply(text.encode()).decode() == "---\nstatus: done\n---\n# P\n- [x] a\n## Log\n- x\n- y\n- z\n"
    assert [hunk.id for hunk in change.hunks] == ["3.1", "3.2", "3.3"]
    only = change.choose(["3.2"])
    assert only.apply(text.encode()).decode() == text.replace("[ ]", "[x]")
    assert change_of(change.as_dict()) == change


def test_edits_that_touch_the_same_text_are_refused() -> None:
    draft = Draft("x.md", b"abcdef")
    draft.replace(0, 4, "x")
    draft.replace(2, 6, "y")
    with pytest.raises(TargetError, match="same text"):
        draft.change()


def test_a_change_is_for_one_version_of_its_note() -> None:
    draft = Draft("x.md", b"abc")
    draft.replace(0, 1, "x")
    change = draft.change()
    for data in (b"abd", b"", None):
        with pytest.raises(StaleError):
            change.apply(data)
    made = create("new.md", "text")
    assert made.apply(None) == b"text"
    with pytest.raises(StaleError):
        made.apply(b"")
    with pytest.raises(StaleError):
        splice(
            b"abd",
            Change("x.md", "", change.hunks).choose(["1.1"]).hunks[:0]
            + tuple(draft.change().hunks[:0])
            + _shifted(change),
        )


def _shifted(change: Change) -> Any:
    from dataclasses import replace

    return tuple(replace(hunk, start=1, end=2) for hunk in change.hunks)


@pytest.mark.parametrize("text", ["\ufeffé🚀 x", "🚀é x", "x"])
def test_places_are_told_in_bytes_and_in_utf_16_without_the_mark(text: str) -> None:
    at = text.index("x")
    draft = Draft("x.md", text.encode())
    draft.replace(at, at + 1, "y")
    hunk = draft.change().hunks[0]
    assert text.encode()[hunk.start : hunk.end] == b"x"
    wide = text.removeprefix("\ufeff").encode("utf-16-le")
    assert wide[2 * hunk.start16 : 2 * hunk.end16].decode("utf-16-le") == "x"


@pytest.mark.parametrize(
    ("start", "end", "new"), [(0, 0, "y"), (0, 1, "y"), (0, 2, "y"), (1, 2, "y"), (0, 2, "\ufeffy")]
)
def test_the_byte_order_mark_stays_first_and_alone(start: int, end: int, new: str) -> None:
    draft = Draft("x.md", "\ufeffx🚀".encode())
    draft.replace(start, end, new)
    change = draft.change()
    old = "x" if end == 2 else ""
    assert change.apply("\ufeffx🚀".encode()) == f"\ufeffy{'x'.removeprefix(old)}🚀".encode()
    assert [(hunk.start, hunk.start16, hunk.end16, hunk.old) for hunk in change.hunks] == [(3, 0, len(old), old)]


def _outside(before: bytes, after: bytes, change: Change) -> None:
    """Every byte outside the hunks is where it was, in order."""
    at_before = at_after = 0
    for hunk in change.hunks:
        kept = hunk.start - at_before
        assert before[at_before : hunk.start] == after[at_after : at_after + kept]
        at_before, at_after = hunk.end, at_after + kept + len(hunk.new.encode())
    assert before[at_before:] == after[at_after:]


def every_edit(data: bytes) -> list[tuple[bytes, Change]]:
    """What each kind of edit makes of a note, as far as it has a place there."""
    found = []
    note = parse("x.md", data)
    edits: list[Edit] = [lambda d: d.append_to(("Log",), "- NEW", ensure=True), lambda d: d.append_to((), "- NEW")]
    edits += [
        lambda d: d.set_property("kos", "x"),
        lambda d: d.add_to_property("tags", "new"),
        lambda d: d.set_property("tags", None),
    ]
    edits += [lambda d, one=name: d.remove_property(one) for name in list(note.properties)[:3]]  # type: ignore[misc]
    edits += [lambda d, one=task: d.tick(one, date(2025, 9, 14)) for task in note.tasks[:2]]  # type: ignore[misc]
    from context.scan import heading_paths

    edits += [lambda d, one=path: d.append_to(one, "- NEW") for _, path in heading_paths(note.headings)[:4]]  # type: ignore[misc]
    edits += [lambda d, one=path: d.insert_under(one, "- NEW") for _, path in heading_paths(note.headings)[:2]]  # type: ignore[misc]
    for edit in edits:
        try:
            draft = Draft("x.md", data)
            edit(draft)
            change = draft.change()
        except (TargetError, NotEditableError):
            continue
        found.append((change.apply(data), change))
    return found


def test_every_kind_of_edit_on_every_note_of_the_sample_vault_leaves_the_other_bytes() -> None:
    count = 0
    for file in sorted(SAMPLE.rglob("*.md")):
        data = file.read_bytes()
        for after, change in every_edit(data):
            _outside(data, after, change)
            count += 1
    assert count > 500


NOTES = st.lists(
    st.sampled_from(
        ["---\n", "---\na: 1\n---\n", "tags: [a]\n", "# H\n", "## Log\n", "- [ ] t\n", "- a\n", "  - b\n", "text", "\n", "\r\n", "```\n", "\ufeff",
         "> q\n", "| a |\n", "🚀 ", "Log\n===\n", "%%\n", "    code\n", "text ^id\n", "***\n", "1. x\n", "$$\n", "<!--\n"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(NOTES)
def test_on_any_note_an_edit_says_what_was_meant_and_no_more(text: str) -> None:
    data = text.encode()
    before = parse("x.md", data)
    for after, change in every_edit(data):
        _outside(data, after, change)
        now = parse("x.md", after)
        assert not any(flag.startswith("frontmatter") for flag in now.flags) or before.flags
        assert after.decode().count("NEW") - text.count("NEW") in (0, 1)
        if any("NEW" in hunk.new for hunk in change.hunks):
            assert read(after.decode()).properties == read(text).properties


def test_a_note_on_disk_is_not_written_by_a_draft(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"text")
    Draft("a.md", file.read_bytes()).append_to(("Log",), "- x", ensure=True)
    assert file.read_bytes() == b"text"


def test_an_edit_that_would_break_the_properties_or_change_another_is_refused() -> None:
    data = b"---\na: 1\nb: 1\n---\ntext\n"
    draft = Draft("N.md", data)
    draft.replace(4, 8, "a: b: c")
    with pytest.raises(TargetError, match="could not be read any more"):
        draft.change()
    draft = Draft("N.md", data)
    draft.set_property("a", 2)
    draft.replace(12, 13, "9")
    with pytest.raises(TargetError, match="read as another value"):
        draft.change()
