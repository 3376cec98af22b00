"""Diffs say what changed, in the form that people and tools read: held against git, and against the texts themselves."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.diff import of_hunks, of_strays, of_texts
from commands.edits import Hunk, StaleError, splice
from tests.kos import PATIENCE

HEAD = re.compile(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@\n")


def lines_of(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def patched(before: str, diff: str) -> str:
    """The text after a diff, every line and number of which must be true of the text before."""
    old, result, at = lines_of(before), [], 0
    rows = lines_of(diff)[2:]
    while rows:
        match = HEAD.fullmatch(rows.pop(0))
        assert match, rows
        first, count, new_first, new_count = map(int, match.groups())
        start = first - 1 if count else first
        assert start >= at
        result += old[at:start]
        assert (new_first - 1 if new_count else new_first) == len(result)
        seen, made = [], []
        while rows and not rows[0].startswith("@@"):
            mark, line = rows[0][0], rows[0][1:]
            rows.pop(0)
            if rows and rows[0].startswith("\\"):
                rows.pop(0)
                line = line[:-1]
            assert mark in " -+"
            seen += [line] * (mark != "+")
            made += [line] * (mark != "-")
        assert seen == old[start : start + count]
        assert len(made) == new_count
        result += made
        at = start + count
    result += old[at:]
    assert all(line.endswith("\n") for line in result[:-1]), "a line runs into the next one"
    return "".join(result)


PIECES = st.sampled_from(["a", "- x", "", " ", "é", "🙂", "\u2028", "\r", "\x0c"])
TEXTS = st.lists(PIECES | st.just("\n"), max_size=40).map("".join)


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, list[Hunk]]:
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6).map(lambda found: found[: len(found) // 2 * 2])))
    hunks = []
    for number, (start, end) in enumerate(zip(cuts[::2], cuts[1::2], strict=True), 1):
        first, last = len(text[:start].encode()), len(text[:end].encode())
        hunks.append(Hunk(f"1.{number}", first, last, 0, 0, text[start:end], draw(TEXTS), "try"))
    return text, hunks


@settings(max_examples=300, deadline=None)
@given(edits())
def test_the_diff_of_hunks_leads_to_the_text_they_make(edit: tuple[str, list[Hunk]]) -> None:
    text, hunks = edit
    diff = of_hunks("Note.md", text.encode(), hunks)
    after = splice(text.encode(), hunks).decode()
    assert patched(text, diff) == after


def test_what_is_put_in_at_the_end_may_be_in_parts() -> None:
    parts = [Hunk(f"1.{number}", 2, 2, 0, 0, "", text, "") for number, text in enumerate(("b", "c\n", "d"), 1)]
    assert patched("a\n", of_hunks("Note.md", b"a\n", parts)) == "a\nbc\nd"
    assert patched("ab", of_hunks("Note.md", b"ab", parts)) == "abbc\nd"


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_the_diff_of_texts_leads_from_one_to_the_other(one: str, other: str) -> None:
    assert patched(one, of_texts("Note.md", one, other)) == other


@pytest.mark.skipif(not shutil.which("git"), reason="no git on this machine")
@pytest.mark.parametrize("path", ["Note.md", "Daily/A note of 🙂.md", "it's [x] (y).md"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n", "a\nB\nc\nd\ne\nf\ng\nh\nI\n\nj\n"),
        ("a\r\nb\r\n", "a\r\nb\r\nc\r\n"),
        ("no end", "no end\nmore"),
        (None, "new\n"),
        ("old\n", None),
        ("one\n" * 3, "one\n" * 2 + "two\u2028\x0c\n"),
    ],
    ids=range(6),
)
def test_git_takes_it(tmp_path: Path, path: str, before: str | None, after: str | None) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if before is not None:
        file.write_bytes(before.encode())
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", "-"],
        input=of_texts(path, before, after).encode(),
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(tmp_path)},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (file.read_bytes() if file.exists() else None) == (None if after is None else after.encode())


def test_a_line_among_many_that_are_the_same_is_found() -> None:
    """What the standard library makes of such a note is that every line of it changed."""
    text = "- [ ] water\n" * 5000
    hunks = [Hunk("1.1", 12, 12, 0, 0, "", "top\n", ""), Hunk("1.2", len(text), len(text), 0, 0, "", "end\n", "")]
    assert len(lines_of(of_hunks("Note.md", text.encode(), hunks))) < 20


def test_hunks_for_another_text_are_refused() -> None:
    hunk = Hunk("1.1", 0, 3, 0, 0, "abc", "x", "")
    with pytest.raises(StaleError):
        of_hunks("Note.md", b"something else", [hunk])
    assert of_strays("Note.md", [hunk]).splitlines() == [
        "--- a/Note.md",
        "+++ b/Note.md",
        "@@ 1.1: the note changed since @@",
        "-abc",
        "\\ No newline at end of file",
        "+x",
        "\\ No newline at end of file",
    ]


def test_texts_that_are_the_same_give_nothing() -> None:
    assert of_texts("Note.md", "a\n", "a\n") == of_texts("Note.md", None, None) == ""
    assert of_hunks("Note.md", b"a\n", []) == ""
    assert of_texts("Note.md", None, "") == "--- /dev/null\n+++ b/Note.md\n"
