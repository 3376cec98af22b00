"""Changes follow their lines through what others write, to the byte, or are refused: no line of anybody is lost."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.edits import Change, Draft, Hunk, StaleError, digest, splice
from commands.rebase import inverse, rebase

DAY = "# Day\n## Log\n- one\n- two\n\n## Next\n- [ ] call Anna\n"


def drafted(text: str) -> Change:
    draft = Draft("N.md", text.encode())
    draft.append_to(("Day", "Log"), "- ours")
    draft.tick(draft.note.tasks[0])
    return draft.change()


def carried(text: str, now: str) -> str:
    found = rebase(drafted(text), text.encode(), now.encode())
    assert found.base == digest(now.encode())
    assert [hunk.id for hunk in found.hunks] == ["1.1", "1.2"]
    for hunk in found.hunks:
        units = now.removeprefix("\ufeff").encode("utf-16-le")
        assert units[2 * hunk.start16 : 2 * hunk.end16].decode("utf-16-le") == hunk.old
    return found.apply(now.encode()).decode()


@pytest.mark.parametrize(
    ("now", "after"),
    [
        (DAY, DAY),
        (f"---\nmood: 😀\n---\n{DAY}", f"---\nmood: 😀\n---\n{DAY}"),
        (f"{DAY}- [ ] write\n", f"{DAY}- [ ] write\n"),
        (DAY.replace("- one\n", ""), DAY.replace("- one\n", "")),
        (DAY.replace("- one", "- zero\n- ones"), DAY.replace("- one", "- zero\n- ones")),
        (DAY.replace("# Day", "\ufeff# Tag"), DAY.replace("# Day", "\ufeff# Tag")),
        (DAY.replace("\n", "\r\n"), DAY.replace("\n", "\r\n")),
    ],
)
def test_a_change_goes_where_its_lines_stand(now: str, after: str) -> None:
    assert carried(DAY, now) == after.replace("- two", "- two\n- ours").replace("[ ] call", "[x] call")


@pytest.mark.parametrize("items", ["- theirs", "- [ ] theirs\n  and more", "1. theirs\n\t- below"])
def test_list_items_that_were_put_behind_the_same_line_stay_above(items: str) -> None:
    now = DAY.replace("- two", f"- two\n{items}")
    assert carried(DAY, now) == now.replace(items, f"{items}\n- ours").replace("[ ] call", "[x] call")


@pytest.mark.parametrize("text", ["", "\n## Other\n- theirs", "theirs", "```\n- theirs\n```"])
def test_other_lines_that_were_put_there_stay_below(text: str) -> None:
    now = DAY.replace("- two", f"- two\n{text}")
    assert carried(DAY, now) == now.replace("- two", "- two\n- ours").replace("[ ] call", "[x] call")


def test_a_section_that_is_new_at_the_end_comes_at_the_end() -> None:
    draft = Draft("N.md", b"one\n")
    draft.append_to(("Synthesis",), "- all is well", ensure=True)
    found = rebase(draft.change(), b"one\n", b"one\ntwo\n")
    after = found.apply(b"one\ntwo\n")
    assert after == b"one\ntwo\n\n## Synthesis\n- all is well\n"
    back = rebase(inverse(found, b"one\ntwo\n"), after, after + b"three\n")
    assert back.apply(after + b"three\n") == b"one\ntwo\nthree\n"


@pytest.mark.parametrize(
    "now",
    [
        "",
        DAY.replace("- two", "- two and more"),
        DAY.replace("- two\n", ""),
        DAY.replace("call Anna", "call Anna today"),
        DAY.replace("[ ] call", "[x] call"),
    ],
)
def test_a_line_that_is_another_by_now_is_left_alone(now: str) -> None:
    with pytest.raises(StaleError, match=r"N\.md was changed where the edit is to change it"):
        carried(DAY, now)


def test_lines_that_are_alike_are_told_by_those_beside_them() -> None:
    text = "a\n- [ ] x\nb\nc\n- [ ] x\nd\n"
    draft = Draft("N.md", text.encode())
    draft.tick(draft.note.tasks[1])
    change = draft.change()

    def ticked(now: str) -> str:
        return rebase(change, text.encode(), now.encode()).apply(now.encode()).decode()

    assert ticked(f"new\n{text}end\n") == f"new\n{text}end\n".replace("c\n- [ ]", "c\n- [x]")
    for now in (text.replace("d\n", ""), text.replace("c\n", ""), text.replace("d\n", "- [ ] x\nd\n")):
        with pytest.raises(StaleError):
            ticked(now)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(StaleError):
        rebase(drafted(DAY), DAY.encode(), DAY.encode() + b"\xff")


LINES = st.lists(st.sampled_from(["", "a", "b", "- x", "- [ ] é😀", "## H"]), max_size=12)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, Change]:
    """A text of lines, and hunks at any places of it."""
    text = "\n".join(draw(LINES))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    hunks = []
    for number, (start, end) in enumerate(zip(cuts[::2], cuts[1::2], strict=False)):
        first, last = len(text[:start].encode()), len(text[:end].encode())
        new = draw(st.sampled_from(["", "new", "\n- new", "new\n"]))
        hunks.append(Hunk(f"1.{number}", first, last, 0, 0, text[start:end], new, ""))
    return text, Change("N.md", digest(text.encode()), tuple(hunks))


@given(made=changes(), now=LINES)
def test_nothing_but_the_hunks_changes_and_all_of_it_can_be_taken_back(
    made: tuple[str, Change], now: list[str]
) -> None:
    text, change = made
    theirs = "\n".join(now).encode()
    try:
        found = rebase(change, text.encode(), theirs)
    except StaleError:
        return
    after = found.apply(theirs)
    assert [(one.old, one.new) for one in found.hunks] == [(one.old, one.new) for one in change.hunks]
    assert inverse(found, theirs).apply(after) == theirs


@given(made=changes(), above=LINES, below=LINES)
def test_what_is_written_above_and_below_makes_no_difference(
    made: tuple[str, Change], above: list[str], below: list[str]
) -> None:
    text, change = made
    head, tail = "".join(f"{line}\n" for line in ("first", *above)), "".join(f"\n{line}" for line in (*below, "last"))
    whole = f"first\n{text}\nlast".encode()
    moved = Change(
        "N.md",
        digest(whole),
        tuple(replace(one, start=one.start + len("first\n"), end=one.end + len("first\n")) for one in change.hunks),
    )
    now = f"{head}first\n{text}\nlast{tail}".encode()
    try:
        found = rebase(moved, whole, now).apply(now)
    except StaleError:
        assert {*above, *below} & {*text.split("\n")}, "its lines are not to be mistaken for others"
        return
    assert inverse(rebase(moved, whole, now), now).apply(found) == now
    if not {*above, *below} & {*text.split("\n")}:
        assert found == f"{head}first\n".encode() + splice(text.encode(), change.hunks) + f"\nlast{tail}".encode()
