"""Which file a link means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.names import Names, base_of, fold

PATHS = [
    "Home.md",
    "a/Note.md",
    "b/Note.md",
    "b/deep/Note.md",
    "b/deep/Other.md",
    "b/Plan.md",
    "Images/photo.png",
    "Boards/Map.canvas",
    "Ümlaut/Café.md",
    "data.v2.md",
]


@pytest.mark.parametrize(
    ("target", "source", "path"),
    [
        ("", "a/Note.md", "a/Note.md"),
        ("Home", "a/Note.md", "Home.md"),
        ("home", "a/Note.md", "Home.md"),
        ("Home.md", "a/Note.md", "Home.md"),
        ("Plan", "a/Note.md", "b/Plan.md"),
        ("Note", "a/Other.md", "a/Note.md"),  # the same folder first
        ("Note", "b/deep/Other.md", "b/deep/Note.md"),
        ("Note", "Home.md", "a/Note.md"),  # then the shortest path
        ("deep/Note", "Home.md", "b/deep/Note.md"),
        ("b/Note", "a/Note.md", "b/Note.md"),
        ("/Note", "a/Note.md", None),  # absolute: there is none in the root
        ("/b/Note", "a/Note.md", "b/Note.md"),
        ("./Other", "b/deep/Note.md", "b/deep/Other.md"),
        ("../Plan", "b/deep/Note.md", "b/Plan.md"),
        ("../../../../etc/passwd", "b/deep/Note.md", None),
        ("x/Note", "a/Note.md", None),  # a path that misses is not a bare name
        ("photo.png", "a/Note.md", "Images/photo.png"),
        ("photo", "a/Note.md", None),
        ("Map.canvas", "a/Note.md", "Boards/Map.canvas"),
        ("cafe\u0301", "Home.md", "Ümlaut/Café.md"),  # decomposed, as typed on another system
        ("data.v2", "Home.md", "data.v2.md"),
        ("Missing", "Home.md", None),
    ],
)
def test_a_link_resolves_as_in_obsidian(target: str, source: str, path: str | None) -> None:
    assert Names(PATHS).resolve(target, source) == path


def test_files_of_one_name_are_all_known() -> None:
    assert Names(PATHS).same_name("note") == ("a/Note.md", "b/Note.md", "b/deep/Note.md")


SEGMENT = (
    st.text(
        st.characters(codec="utf-8", exclude_characters="/\\.\0", exclude_categories=("Cs", "Cc")),
        min_size=1,
        max_size=8,
    )
    .map(str.strip)
    .filter(bool)
)


@given(
    st.lists(
        st.lists(SEGMENT, min_size=1, max_size=3).map(lambda s: "/".join(s) + ".md"),
        min_size=1,
        max_size=12,
        unique_by=fold,
    )
)
def test_every_note_is_found_by_its_path_and_a_unique_one_by_its_name(paths: list[str]) -> None:
    names = Names(paths)
    for path in paths:
        assert names.resolve(path, "") == path
        if len(names.same_name(base_of(path))) == 1:
            assert names.resolve(base_of(path), "") == path


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_target_gives_a_file_of_the_vault_or_none(target: str, source: str) -> None:
    found = Names(PATHS).resolve(target, source)
    assert found is None or found in PATHS or found == source
