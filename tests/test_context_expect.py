"""Words that are given to full text before their note is written: found when it is, and otherwise never."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from context.index import Entry, Index
from context.vault import Vault
from context.words import asked
from tests.vaults import write


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    root = write(tmp_path / "vault", {f"{number}.md": f"# H\napple {number}" for number in range(6)})
    vault = Vault(root, Index(tmp_path / "i.sqlite"))
    vault.settle()
    return vault


def paths(vault: Vault, word: str) -> list[str]:
    return sorted(hit.path for hit in vault.search(asked(word), 9))


def whole(vault: Vault) -> None:
    """The index fits its full text, so that nothing is built again."""
    vault.close()
    again = Index(vault.index._path)
    assert not again.fresh
    assert again._words.size == again._db.execute("SELECT count(*) FROM chunk").fetchone()[0]
    again.close()


def test_what_is_expected_and_written_is_added_once(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    (vault.root / "2.md").write_text("# Quince\nquince " * 90)
    vault.expect(["2.md", "never.md"])
    assert paths(vault, "quince") == []
    added: list[int] = []
    monkeypatch.setattr(vault.index._words, "add", lambda note, *_, **__: added.append(note))
    assert vault.refresh(["2.md"]) == 1
    assert not added
    assert set(paths(vault, "quince")) == {"2.md"}
    whole(vault)


def test_a_note_that_goes_on_to_change_is_found_as_it_is_in_the_end(vault: Vault) -> None:
    for text in ("plum", "plum and more plum", "quince"):
        (vault.root / "2.md").write_text(text)
        vault.expect(["2.md"])
    (vault.root / "2.md").write_text("medlar at last")
    assert vault.refresh(["2.md"]) == 1
    assert (paths(vault, "plum"), paths(vault, "quince"), paths(vault, "medlar")) == ([], [], ["2.md"])
    whole(vault)


def test_other_notes_that_are_written_first_take_nothing_over(vault: Vault) -> None:
    (vault.root / "2.md").write_text("plum")
    (vault.root / "3.md").write_text("quince")
    vault.expect(["2.md"])
    assert vault.refresh(["3.md"]) == 1
    assert (paths(vault, "plum"), paths(vault, "quince")) == ([], ["3.md"])
    assert vault.refresh() == 1
    assert (paths(vault, "plum"), paths(vault, "quince")) == (["2.md"], ["3.md"])
    whole(vault)


def test_what_is_never_written_is_never_found(vault: Vault) -> None:
    (vault.root / "2.md").write_text("plum")
    vault.expect(["2.md"])
    (vault.root / "2.md").unlink()
    assert vault.refresh() == 1
    assert paths(vault, "plum") == []
    vault.expect(["3.md"])  # which is as it was
    (vault.root / "3.md").write_text("quince")
    vault.expect(["3.md"])
    whole(vault)


def test_a_write_that_fails_takes_what_was_expected_along(vault: Vault) -> None:
    (vault.root / "2.md").write_text("plum")
    vault.expect(["2.md"])
    with pytest.raises(RuntimeError):
        vault.index.write(_breaks(), files="x")
    assert vault.refresh(["2.md"]) == 1
    assert paths(vault, "plum") == ["2.md"]
    whole(vault)


def test_full_text_that_cannot_be_written_is_met_by_the_refresh(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    real = vault.index._words.add
    monkeypatch.setattr(vault.index._words, "add", lambda *_, **__: _fails())
    (vault.root / "2.md").write_text("plum")
    vault.expect(["2.md"])
    monkeypatch.setattr(vault.index._words, "add", real)
    assert vault.refresh(["2.md"]) == 1
    assert paths(vault, "plum") == ["2.md"]
    whole(vault)


def _breaks() -> Iterator[list[Entry]]:
    raise RuntimeError
    yield


def _fails() -> None:
    raise sqlite3.DatabaseError("full")
