"""The names of notes, where a text speaks them, and a lexicon that is taken along through changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.lexicon import Lexicon, spoken
from context.note import Note
from tests.vaults import open_vault

FILES = {
    "People/Ada Lovelace.md": "---\naliases: [the Countess]\n---\n",
    "Ada.md": "",
    "Mercury (planet).md": "",
    "Mercury (god).md": "",
    "Café Vert.md": "",
    "Rezepte/ぬか床.md": "---\naliases: [nukadoko]\n---\n",
}


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Lexicon:
    return open_vault(tmp_path_factory.mktemp("v"), FILES).snapshot.lexicon


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Did Ada Lovelace write to ada?", {"ada lovelace": ("People/Ada Lovelace.md",), "ada": ("Ada.md",)}),
        ("the COUNTESS, of course", {"the countess": ("People/Ada Lovelace.md",)}),
        ("Mercury rises", {"mercury": ("Mercury (god).md", "Mercury (planet).md")}),
        ("mercury, planet", {"mercury planet": ("Mercury (planet).md",)}),
        ("at the Cafe\u0301 Vert!", {"café vert": ("Café Vert.md",)}),
        ("今日はぬか床を混ぜた。", {"ぬ か 床": ("Rezepte/ぬか床.md",)}),
        ("Adamant lovelace", {}),
        ("", {}),
    ],
)
def test_a_text_speaks_names(lexicon: Lexicon, text: str, named: dict[str, tuple[str, ...]]) -> None:
    assert lexicon.names_in(text) == named


def _note(path: str, aliases: list[str]) -> Note:
    from context.note import parse

    return parse(path, f"---\naliases: {aliases}\n---\n".encode())


NAMES = st.sampled_from(["Ada", "Ada Lovelace", "Quince (tree)", "Quince", "The Art of It", "x"])
NOTES = st.dictionaries(NAMES.map(lambda name: f"{name}.md"), st.lists(NAMES, max_size=2), max_size=4)


@given(NOTES, NOTES, st.text(alphabet="Ada Lovelcquin(tr)Thof", max_size=40))
def test_taken_along_it_is_as_made_anew(before: dict[str, list[str]], after: dict[str, list[str]], text: str) -> None:
    old = {path: _note(path, aliases) for path, aliases in before.items()}
    new = {path: _note(path, aliases) for path, aliases in after.items()}
    changed = [note for path, note in new.items() if before.get(path) != after[path]]
    went = [note for path, note in old.items() if before[path] != after.get(path)]
    taken, fresh = Lexicon(old).updated(changed, went), Lexicon(new)
    for said in (text, "Ada Lovelace and the quince, The Art of It by Ada", *after):
        assert taken.names_in(said) == fresh.names_in(said)


@given(st.text(max_size=80))
def test_any_text_is_heard(lexicon: Lexicon, text: str) -> None:
    for name, paths in lexicon.names_in(text).items():
        assert name in " ".join(spoken(text))
        assert lexicon[name] == paths
