"""Capture: the right note, the right heading, the very words; templates filled as the vault says."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.capture import capture, daily_path, entry
from commands.journal import Journal
from commands.templates import fill
from context.calendar import calendar
from context.obsidian import ObsidianSettings
from tests.kos import SAMPLE
from tests.vaults import open_vault, write

NOW = calendar("2025-09-14T22:30:00+00:00", "Europe/Berlin")  # there it is half past midnight, the day after
SETTINGS = {
    ".obsidian/daily-notes.json": '{"folder": "J/D", "format": "YYYY/MM-MMMM/YYYY-MM-DD", "template": "T/Daily"}'
}


def captured(root: Path, files: dict[str, Any], words: str = "hello", heading: str = "Log") -> dict[str, str]:
    vault = open_vault(root / "vault", files)
    journal = Journal(vault.root, root / "state")
    journal.apply(journal.propose([capture(vault, NOW, words, heading)]).id)
    return {
        str(path.relative_to(vault.root)): path.read_bytes().decode("utf-8", "replace")
        for path in vault.root.rglob("*.md")
        if files.get(str(path.relative_to(vault.root))) != path.read_bytes().decode("utf-8", "replace")
    }


def test_the_day_is_that_of_the_person_and_the_place_that_of_the_vault(tmp_path: Path) -> None:
    assert daily_path(open_vault(tmp_path / "a", SETTINGS), NOW) == "J/D/2025/09-September/2025-09-15.md"
    assert daily_path(open_vault(tmp_path / "b"), NOW) == "2025-09-15.md"
    assert daily_path(open_vault(tmp_path / "c", {"2025-09-15.MD": "", "2025-09-15.md": ""}), NOW) == "2025-09-15.md"


def test_a_note_of_the_day_gets_the_words_under_its_heading(tmp_path: Path) -> None:
    files = {**SETTINGS, "J/D/2025/09-September/2025-09-15.md": "# Day\n\n## Log\n- 00:10 up\n\n## Tasks\n- [ ] x\n"}
    assert captured(tmp_path, files, "  bought *plums* [[A]] #b\n\n  - and more ") == {
        "J/D/2025/09-September/2025-09-15.md": "# Day\n\n## Log\n- 00:10 up\n- 00:30   bought *plums* [[A]] #b\n\n"
        "    - and more \n\n## Tasks\n- [ ] x\n"
    }


def test_a_missing_note_is_made_from_the_vault_s_template(tmp_path: Path) -> None:
    template = "---\r\ndate: {{date:YYYY-MM-DD}}\r\n---\r\n# {{title}} at {{time}}\r\n\r\n## Log\r\n\r\n## Tasks\r\n<% tp.now %>\r\n"
    made = captured(tmp_path, {**SETTINGS, "T/Daily.md": template})
    assert made == {
        "J/D/2025/09-September/2025-09-15.md": "---\r\ndate: 2025-09-15\r\n---\r\n# 2025-09-15 at 00:30\r\n\r\n"
        "## Log\r\n- 00:30 hello\r\n\r\n## Tasks\r\n<% tp.now %>\r\n"
    }


@pytest.mark.parametrize(
    ("template", "made"),
    [
        (None, "## Log\n- 00:30 hello\n"),
        ("", "## Log\n- 00:30 hello\n"),
        ("# Day", "# Day\n\n## Log\n- 00:30 hello\n"),
        ("```\nopen", "```\nopen\n\n## Log\n- 00:30 hello\n"),
    ],
)
def test_without_a_template_or_a_heading_in_it_both_are_made(tmp_path: Path, template: str | None, made: str) -> None:
    files = dict(SETTINGS) if template is None else {**SETTINGS, "T/Daily.md": template}
    assert captured(tmp_path, files) == {"J/D/2025/09-September/2025-09-15.md": made}


@pytest.mark.parametrize("data", ["wide".encode("utf-16"), b"caf\xe9", b"## Log\n```\nopen"])
def test_a_note_that_cannot_be_written_into_is_left_alone_and_nothing_is_lost(tmp_path: Path, data: bytes) -> None:
    vault = open_vault(tmp_path / "vault", {"2025-09-15.md": data, "2025-09-15 captured.md": "there already"})
    journal = Journal(vault.root, tmp_path / "state")
    journal.apply(journal.propose([capture(vault, NOW, "hello", "Log")]).id)
    assert (vault.root / "2025-09-15.md").read_bytes() == data
    assert (vault.root / "2025-09-15 captured 2.md").read_text() == "## Log\n- 00:30 hello\n"


def test_a_capture_in_the_sample_vault_reads_as_its_own_days_do(tmp_path: Path) -> None:
    import shutil

    vault = open_vault(Path(shutil.copytree(SAMPLE, tmp_path / "vault")))
    today = calendar("2025-09-14T10:05:00", "Europe/Berlin")
    change = capture(vault, today, "Label printer found behind the flour.", "Log")
    text = change.apply(None).decode()
    assert change.path == "01-Journal/Daily/2025-09-14.md"
    assert "date: 2025-09-14\n" in text
    assert "# Sunday, 14 September 2025\n" in text
    assert "## Log\n- 10:05 Label printer found behind the flour.\n\n## Tasks\n" in text


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), min_size=1, max_size=80).filter(
        str.strip
    )
)
def test_every_line_of_the_words_stands_there(words: str) -> None:
    lines = entry(words, NOW).split("\n")
    typed = words.strip("\r\n").split("\n")
    assert lines[0] == f"- 00:30 {typed[0]}"
    assert [line.removeprefix("  ") for line in lines[1:]] == typed[1:]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{title}} {{ date }} {{time}}", "T 2024-01-31 09:05"),
        ("{{date:dddd D. MMMM}} {{time:h:mm a}}", "Wednesday 31. January 9:05 am"),
        ("{{yesterday}} {{tomorrow:DD}}", "2024-01-30 01"),
        ("{{date+1d}} {{date-1w:DD}} {{date+1M}} {{date+1y:YYYY}}", "2024-02-01 24 2024-02-29 2025"),
        ("{{date:gggg-[W]ww}}", "2024-W05"),
        ("{{other}} {date} {{date", "{{other}} {date} {{date"),
        ("{{date+9999y}}", "2024-01-31"),
    ],
)
def test_blanks_of_a_template(text: str, filled: str) -> None:
    assert fill(text, "T", datetime(2024, 1, 31, 9, 5, tzinfo=UTC), ObsidianSettings()) == filled


def test_formats_of_the_templates_plugin_are_honoured(tmp_path: Path) -> None:
    files = {".obsidian/templates.json": '{"folder": "T", "dateFormat": "DD.MM.YYYY", "timeFormat": "HH-mm"}'}
    vault = open_vault(write(tmp_path, files))
    assert (
        fill("{{date}} {{time}}", "", datetime(2024, 1, 31, 9, 5, tzinfo=UTC), vault.snapshot.settings)
        == "31.01.2024 09-05"
    )
