"""What is worked out before the first question."""

from pathlib import Path

from commands.warm import warm
from context.calendar import calendar
from tests.vaults import open_vault

TODAY = calendar("2025-09-14", "Europe/Berlin")
FILES = {
    "@Garden.md": "[[Bed]]\n",
    "Gone MOC.md": "[[Bed]]\n",
    "Bed.md": "---\ntype: project\nstatus: active\n---\n- [ ] dig 📅 2025-09-15\n",
}


def test_what_first_questions_need_is_there_and_goes_along_through_a_change(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, FILES)
    (tmp_path / "Gone MOC.md").unlink()  # nobody has seen it yet
    warm(vault, TODAY)
    names = {"lexicon", "_sum", "ordered", "maps"}
    keys = {"survey", "private", "words of maps", f"members {TODAY.today} {TODAY.now.tzinfo}"}
    assert names <= vars(vault.snapshot).keys()
    assert keys <= vault.snapshot.lasting.keys()
    assert set(vault.snapshot.lasting["words of maps"][0].places) == {"@Garden.md"}
    (tmp_path / "Bed.md").write_text("Nothing grows.\n", "utf-8")
    vault.refresh()
    assert names <= vars(vault.snapshot).keys()
    assert keys <= vault.snapshot.lasting.keys()
