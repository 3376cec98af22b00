"""Inline fields of notes and the list items of their tasks: places, a plain reading, the index; see cases/markdown."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.inline import Field, Item, bracketed, canonical
from context.note import Note, parse


def note(text: str) -> Note:
    return parse("x.md", text.encode())


def test_a_field_knows_where_it_begins() -> None:
    text = "---\nk: v\n---\n\nSome [a:: b] text\n- item one\n  more (c:: d)\n- e:: f\n"
    assert [text[field.start :][:6] for field in note(text).fields] == ["[a:: b", "(c:: d", "e:: f\n"]
    text = "  **Bold**:: x\n"
    assert note(text).fields[0].start == text.index("Bold")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("status", "status"),
        ("Basic Field", "basic-field"),
        ("Hello!", "hello"),
        ("A  \t b", "a-b"),
        ("due_date-2", "due_date-2"),
        ("Straße & Café", "straße--café"),
        ("🎄 Xmas", "🎄-xmas"),
        ("...", ""),
    ],
)
def test_names_as_queries_write_them(name: str, expected: str) -> None:
    assert canonical(name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- [ ] one", [Item(0, -1, -1, 0, "one")]),
        ("\n# H\n1. [x] one 📅 2025-09-14 [a:: b] ^id", [Item(2, -1, -1, 0, "one 📅 2025-09-14 [a:: b] ^id")]),
        ("- [ ] one\n  two\n three\n\n  four", [Item(0, -1, -1, 0, "one\ntwo\nthree\nfour")]),
        ("- [ ] a\n  - [x] b\n    - [ ] c\n- [ ] d", [Item(0, -1, -1, 0, "a"), Item(1, 0, 0, 0, "b"), Item(2, 1, 1, 0, "c"), Item(3, -1, -1, 0, "d")]),
        ("- [ ] a\n\t- plain\n\t\t- [ ] b\n\t- plain", [Item(0, -1, -1, 2, "a"), Item(2, 1, 0, 0, "b")]),
        ("- top\n\n    - [ ] a", [Item(2, 0, -1, 0, "a")]),
        ("- [ ] a\n - [ ] b", [Item(0, -1, -1, 0, "a"), Item(1, -1, -1, 0, "b")]),
        ("1. [ ] a\n  - [ ] b\n   - [ ] c", [Item(0, -1, -1, 0, "a"), Item(1, -1, -1, 0, "b"), Item(2, -1, -1, 0, "c")]),
        ("> - [ ] a\n>   - [ ] b\n\n- [ ] c", [Item(0, -1, -1, 0, "a"), Item(1, 0, 0, 0, "b"), Item(3, -1, -1, 0, "c")]),
        ("- [ ] a\n\npara\n\n  - [ ] b", [Item(0, -1, -1, 0, "a"), Item(4, -1, -1, 0, "b")]),
        ("---\na: b\n---\n- [ ] x", [Item(3, -1, -1, 0, "x")]),
    ],
)  # fmt: skip
def test_the_list_item_of_a_task(text: str, expected: list[Item]) -> None:
    assert list(note(text).items) == expected


def test_every_task_has_its_item() -> None:
    found = note("a:: 1\n- [ ] one [b:: 2]\n  - [x] two\n- c:: 3\n> - [ ] three\n")
    assert len(found.items) == len(found.tasks) == 3
    assert found.fields[1] == Field("b", "2", found.fields[1].start, "task")


def plain(line: str) -> list[tuple[str, str]]:
    """Dataview's own way, written out: from each bracket look for `::`, then for the bracket that closes."""
    found: list[tuple[int, str, str]] = []
    for mark, close in ("[]", "()"):
        at = line.find(mark)
        while at >= 0:
            separator = line.find("::", at + 1)
            name = line[at + 1 : separator].strip() if separator >= 0 else "["
            end, depth, skip = -1, 0, False
            for index in range(separator + 2, len(line)) if not set(name) & set("[]()") else ():
                if skip:
                    skip = False
                elif line[index] == "\\":
                    skip = True
                else:
                    depth += (line[index] == mark) - (line[index] == close)
                    if depth < 0:
                        end = index
                        break
            if end < 0:
                at = line.find(mark, at + 1)
                continue
            found.append((at, name, line[separator + 2 : end].strip()))
            at = line.find(mark, end + 1)
    return [(name, value) for _, name, value in sorted(found) if name]


@given(st.text(alphabet="[]()::: ab", max_size=40))
def test_brackets_as_dataview_reads_them(line: str) -> None:
    assert bracketed(line) == plain(line)


@given(st.text(alphabet="-*1. \t\n>[]():a`#", max_size=80))
def test_any_text_is_read(text: str) -> None:
    found = note(text)
    assert len(found.items) == len(found.tasks)
    assert all(0 <= field.start <= len(text) and field.name.strip() for field in found.fields)
    lines = [item.line for item in found.items]
    assert lines == sorted(set(lines))
    assert all(item.above <= item.parent < item.line for item in found.items)


@pytest.mark.parametrize(
    "text",
    ["[a:: " * 200_000, "[" * 200_000 + ":: ", "- [ ] [a:: b] x\n" * 30_000, ("[" * 16_000 + "::\n") * 30, "a::" * 300_000, ("  " * 90 + "- [ ] x\n") * 5000],
    ids=["open", "brackets", "tasks", "lines", "separators", "deep"],
)  # fmt: skip
def test_awkward_texts_are_read_in_linear_time(text: str) -> None:
    before = time.process_time()
    note(text)
    assert time.process_time() - before < 5
