"""What the vault says of now: the sample vault on its day, and the rules one by one."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from commands.survey import Survey, cite, heading_at, next_action, status, survey, unwell
from context.calendar import calendar
from context.index import Index
from context.kinds import configured
from context.note import Note, parse
from context.vault import Vault, VaultOptions
from tests.vaults import open_vault

SAMPLE = Path(__file__).parent.parent / "examples" / "vault"


def surveyed(vault: Vault, now: str = "2025-09-14", *, days: int = 3, **more: Any) -> Survey:
    notes = dict(sorted(vault.snapshot.notes.items()))
    return survey(vault.snapshot, notes, calendar(now, "Europe/Berlin"), recent_days=days, **more)


@pytest.fixture(scope="module")
def today() -> Survey:
    return surveyed(Vault(SAMPLE, Index(None)))


def note(text: str) -> Note:
    return parse("N.md", text.encode())


# --- the sample vault on 14 September 2025, as examples/README.md tells it


def test_the_last_days(today: Survey) -> None:
    assert [(one.title, day) for one, day in today.recent] == [
        ("2025-09-13", date(2025, 9, 13)),
        ("2025-09-12", date(2025, 9, 12)),
    ], "there is no daily note for the 14th yet"
    assert today.late == ""
    assert today.today == date(2025, 9, 14)


def test_the_projects(today: Survey) -> None:
    assert [(one.note.title, one.status, str(one.due)) for one in today.projects] == [
        ("Fermentation Chamber", "active", "2025-09-21"),
        ("Vault Commands", "active", "2025-09-26"),
        ("Kitchen Notebook", "active", "2025-09-28"),
        ("Off-Site Backup", "blocked", "2025-09-30"),
        ("Family Photo Archive", "active", "2025-10-12"),
    ]
    assert [one.note.title for one in today.projects if one.blocked] == ["Off-Site Backup"]
    assert {one.note.title: one.next.text for one in today.projects if one.next} == {
        "Fermentation Chamber": "Tape over the upper vent, wider bowl, repeat the humidity test",
        "Vault Commands": "Fix capture for sentences that name two projects",
        "Kitchen Notebook": "Card for Daniel's dal, he weighs nothing, I follow him with scales",
        "Off-Site Backup": "Send Felix the list of ports his router must let through",
        "Family Photo Archive": "Dates for the 2011 Kanazawa scans (about 380 pictures)",
    }


def test_the_tasks(today: Survey) -> None:
    overdue = [(one.note.title, one.task.text, str(one.day)) for one in today.tasks if one.overdue]
    assert overdue == [
        ("2025-07-20", "Close the port on Furnace for everyone but Kettle", "2025-07-27"),
        ("2025-09-01", "Renew the library card", "2025-09-10"),
        ("2025-09-07", "List of ports for Felix's router", "2025-09-11"),
        ("Off-Site Backup", "Send Felix the list of ports his router must let through", "2025-09-11"),
        ("2025-09-10", "Sleeves for the cards, stationer's", "2025-09-12"),
        ("Kitchen Notebook", "Dishwasher-proof sleeves: ask at the stationer's", "2025-09-12"),
        ("2025-09-03", "Read the other machines' open ports, one evening", "2025-09-13"),
    ]
    on_the_day = [(one.note.title, one.task.text) for one in today.tasks if one.day == today.today]
    assert on_the_day == [
        ("2025-09-13", "Label Juna's school things"),
        ("2025-09-13", "Lunch box list for the week, with Juna"),
        ("2025-W37", "Plan the week with Daniel"),
    ]
    assert max(one.day for one in today.tasks) == date(2025, 9, 21)
    soon = {(one.note.title, str(one.day)) for one in today.tasks if not one.overdue}
    assert {("2025-09-08", "2025-09-19"), ("Pantry", "2025-09-17")} <= soon, "inline fields count as dates"
    assert not any("bay 3 again" in one.task.text for one in today.tasks), "a cancelled task is no task"


def test_the_systems(today: Survey) -> None:
    assert [(one.title, status(one)) for one in today.systems] == [
        ("Pantry", "degraded"),
        ("Ballast", "running"),
        ("Crumb", "running"),
        ("Furnace", "running"),
        ("Gatepost", "running"),
        ("Kettle", "running"),
    ]
    assert [one.title for one in today.systems if unwell(one)] == ["Pantry"]
    assert today.systems[0].path == "03-Infrastructure/Pantry.md", "the one of two with this name that is a machine"


def test_what_changed(today: Survey) -> None:
    assert [(one.path, why) for one, why in today.changed] == [
        ("03-Infrastructure/Backup Runbook.md", "dated 2025-09-13"),
        ("04-Knowledge/Kitchen/Pantry.md", "dated 2025-09-13"),
    ]


def test_another_day_of_the_same_vault() -> None:
    vault = Vault(SAMPLE, Index(None))
    gap = surveyed(vault, "2025-09-06", days=1)
    assert [one.title for one, _ in gap.recent] == ["2025-09-05"]
    assert gap.late == (
        "There is no daily note from 2025-09-06 to 2025-09-06; the latest ones are used (2025-09-05)."
    )  # fmt: skip
    week = surveyed(vault, "2025-09-07", days=7)
    assert [one.title for one, _ in week.recent] == [f"2025-09-0{day}" for day in (7, 5, 3, 2, 1)]
    year = surveyed(vault, "2026-09-14")
    assert "2025-09-11 to 2025-09-13" in year.late
    assert all(one.overdue for one in year.tasks)


# --- the rules


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# P\n- [ ] one\n## Next actions\n- [ ] two\n", "two"),
        ("# P\n- [ ] one\n## Next\n### Today\n- [ ] two\n## Later\n- [ ] three\n", "two"),
        ("# P\n- [ ] one\n## Next\n- [x] done\n## Later\n- [ ] three\n", "one"),
        ("# P\n## Next\n- [-] no\n- [X] done\n- [/] half\n", "half"),
        ("# P\n## What is NEXT\n- [ ] two\n", "two"),
        ("# P\nno task\n", None),
    ],
)
def test_the_next_action(text: str, expected: str | None) -> None:
    found = next_action(note(text))
    assert (found.text if found else None) == expected


def test_a_status_is_text_and_folded() -> None:
    assert status(note("---\nstatus: ' In Progress '\n---\n")) == "in progress"
    assert status(note("---\nstatus: [active]\n---\n")) == ""
    assert status(note("---\nstatus: true\n---\n")) == ""
    assert not unwell(note("no status"))
    assert not unwell(note("---\nstatus: retired\n---\n"))
    assert unwell(note("---\nstatus: strange noise\n---\n"))


def test_projects_count_by_type_and_status(tmp_path: Path) -> None:
    files = {
        f"{name}.md": f"---\ntype: {kind}\nstatus: {state}\ndue: {due}\n---\n"
        for name, kind, state, due in (
            ("a", "project", "In Progress", "2025-12-01"),
            ("b", "PROJECT", "waiting", "2025-11-01T10:00:00"),
            ("c", "project", "on hold", "soon"),
            ("d", "project", "someday", "2025-10-01"),
            ("e", "idea", "active", "2025-10-01"),
        )
    }
    found = surveyed(open_vault(tmp_path, files)).projects
    assert [(one.note.title, str(one.due), one.blocked) for one in found] == [
        ("b", "2025-11-01", True),
        ("a", "2025-12-01", False),
        ("c", "None", True),
    ]


def test_tasks_go_by_day_and_stay_within_a_week(tmp_path: Path) -> None:
    lines = [f"- [ ] t{day} 📅 2025-09-{day}" for day in (22, 21, 14, 13)]
    both = "- [ ] both ⏳ 2025-09-01 📅 2025-09-15"
    found = surveyed(open_vault(tmp_path, {"a.md": "\n".join([*lines, both]), "b.md": "- [ ] b 📅 2025-09-14"})).tasks
    assert [(one.task.text, one.day.day, one.overdue) for one in found] == [
        ("t13", 13, True),
        ("t14", 14, False),
        ("b", 14, False),
        ("both", 15, False),
        ("t21", 21, False),
    ]


def test_the_heading_above_an_offset() -> None:
    text = "intro\n# A\nx\n### B\ny\n## C\nz\n# D\n"
    one = note(text)
    assert [heading_at(one, text.index(mark)) for mark in ("intro", "x", "y", "z")] == ["", "A", "A > B", "A > C"]
    assert heading_at(one, len(text)) == "D"


def test_a_citation_is_a_link_that_resolves(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"a/Twin.md": "", "b/Twin.md": "", "One.md": ""})
    notes = vault.snapshot.notes
    assert cite(notes["One.md"], "", vault.snapshot) == "[[One]]"
    assert cite(notes["One.md"], "A > B [x] | #c ^d", vault.snapshot) == "[[One#B  x     c  d]]"
    assert cite(notes["b/Twin.md"], "H", vault.snapshot) == "[[b/Twin#H]]"
    assert cite(notes["b/Twin.md"]) == "[[Twin]]"


def test_an_empty_vault_has_nothing_to_say(tmp_path: Path) -> None:
    assert surveyed(open_vault(tmp_path)) == Survey(date(2025, 9, 14), (), "", (), (), (), ())


def test_projects_systems_and_days_are_what_the_configuration_says(tmp_path: Path) -> None:
    kinds = configured(
        {
            "project": {"types": ["effort"], "folder": "Efforts", "template": "Efforts/Blank"},
            "hardware": {"tags": ["machine"]},
            "daily": {"types": ["day"]},
        }
    )
    active = "---\nstatus: active\n---\n"
    files = {
        "typed.md": "---\ntype: Effort\nstatus: active\n---\n",
        "Efforts/lying.md": active,
        "Efforts/Blank.md": active,
        "old.md": "---\ntype: project\nstatus: active\n---\n",
        "Mill.md": "---\ntags: [machine/large]\nstatus: broken\n---\n",
        "Sunday.md": "---\ntype: day\ndate: 2025-09-14\n---\n",
    }
    found = surveyed(open_vault(tmp_path, files, VaultOptions(kinds=kinds)))
    assert [one.note.path for one in found.projects] == ["Efforts/lying.md", "typed.md"]
    assert [one.path for one in found.systems] == ["Mill.md"]
    assert [one.path for one, _ in found.recent] == ["Sunday.md"]
