"""The vault's own settings: what is missing or broken takes Obsidian's default."""

from datetime import date
from pathlib import Path

import pytest

from context.obsidian import ObsidianSettings, Periodic, load
from tests.vaults import write


def test_without_settings_everything_is_obsidians_default(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found == ObsidianSettings()
    assert found.period("2025-09-14.md") == ("daily", date(2025, 9, 14))
    assert found.period("2025-W37.md") == ("weekly", date(2025, 9, 7))  # weeks of the English locale begin on Sunday
    assert found.period("2025-09.md") == ("monthly", date(2025, 9, 1))
    assert found.period("Notes/2025-09-14.txt") is None


def test_every_setting_is_honoured(tmp_path: Path) -> None:
    files = {
        ".obsidian/app.json": '{"userIgnoreFilters": ["Archive/", "/regex/", "", 3]}',
        ".obsidian/daily-notes.json": '{"folder": "/J/Daily/", "format": "YYYY/MM/YYYY-MM-DD", "template": "T/Daily"}',
        ".obsidian/templates.json": '{"folder": "T/", "dateFormat": "D.M.YYYY", "timeFormat": "HH.mm"}',
        ".obsidian/plugins/periodic-notes/data.json": '{"daily": {"folder": "No"}, "weekly": {"folder": "J/W", "format": '
        '"gggg-[W]ww", "template": "T/Weekly.md"}, "monthly": {"folder": "J/M"}}',
        ".obsidian/plugins/calendar/data.json": '{"weekStart": "monday"}',
        ".obsidian/types.json": '{"types": {"Due": "date", "Größe": "number", "odd": 3, "none": "", "at": " datetime "}}',
    }
    found = load(write(tmp_path, files))
    assert found.daily == Periodic("J/Daily", "YYYY/MM/YYYY-MM-DD", "T/Daily")
    assert found.weekly == Periodic("J/W", "gggg-[W]ww", "T/Weekly.md")
    assert found.monthly == Periodic("J/M", "YYYY-MM")
    assert (found.templates, found.date_format, found.time_format, found.week_start) == ("T", "D.M.YYYY", "HH.mm", 1)
    assert list(found.types.items()) == [("at", "datetime"), ("due", "date"), ("grösse", "number")]
    assert [found.is_ignored(path) for path in ("Archive/x.md", "Archives/x.md", "x.md")] == [True, False, False]
    assert found.period("J/Daily/2025/09/2025-09-14.md") == ("daily", date(2025, 9, 14))
    assert found.period("J/Daily/2025/08/2025-09-14.md") is None
    assert found.period("2025-09-14.md") is None
    assert found.period("J/W/2025-W37.md") == ("weekly", date(2025, 9, 8))


def test_the_folder_of_the_settings_may_have_another_name(tmp_path: Path) -> None:
    write(tmp_path, {".obsidian-phone/daily-notes.json": '{"folder": "D"}'})
    assert load(tmp_path, ".obsidian-phone").daily.folder == "D"
    assert load(tmp_path).daily.folder == ""


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '{"folder": 3, "format": null, "types": ["date"]}',
        "[" * 100_000,
        "\ud800".encode("utf-8", "surrogatepass"),
    ],
)
def test_a_broken_file_is_as_none(tmp_path: Path, broken: str | bytes) -> None:
    names = (
        "app.json",
        "daily-notes.json",
        "templates.json",
        "types.json",
        "plugins/periodic-notes/data.json",
        "plugins/calendar/data.json",
    )
    assert load(write(tmp_path, {f".obsidian/{name}": broken for name in names})) == ObsidianSettings()


def test_a_folder_or_a_giant_in_the_place_of_a_file_is_as_none(tmp_path: Path) -> None:
    write(tmp_path, {".obsidian/app.json/x": "", ".obsidian/daily-notes.json": '{"folder": "' + "x" * (1 << 20) + '"}'})
    assert load(tmp_path) == ObsidianSettings()
