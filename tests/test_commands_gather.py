"""The ways of gathering: each gives what it says, verbatim, and only from the notes in scope."""

import os
from pathlib import Path
from typing import Any

import pytest

from commands.gather import ORDER, PASSAGE_TOKENS, WAYS, Gathering, fitting_maps, gather
from commands.select import Selection, gathering
from context.assemble import BYTES4, Passage
from context.calendar import calendar
from context.index import Index
from context.note import decode
from context.passage import bytes4
from context.query import scope, select
from context.vault import Vault
from tests.vaults import open_vault, write

SAMPLE = Path(__file__).parent.parent / "examples" / "vault"
DAILY = {".obsidian/daily-notes.json": '{"folder": "Daily"}'}


@pytest.fixture(scope="module")
def sample() -> Vault:
    return Vault(SAMPLE, Index(None))


def over(
    vault: Vault, text: str = "", *, now: str = "2025-09-14", zone: str = "UTC", within: Any = None, **more: Any
) -> Gathering:
    """What a request gathers from."""
    wanted = Selection(text, {}, 4000, BYTES4, scope(within), calendar(now, zone), **more)
    return gathering(vault, wanted)


def found(way: str, vault: Vault, text: str = "", **more: Any) -> list[Passage]:
    """The passages of one way, best first."""
    passages = gather([way], over(vault, text, **more))
    assert all(one.lane == way for one in passages)
    return sorted(passages, key=lambda one: -one.score)


def paths(passages: list[Passage]) -> list[str]:
    """The notes, each once, in order."""
    return list(dict.fromkeys(one.path for one in passages))


def test_every_way_has_its_place_in_the_order() -> None:
    assert sorted(ORDER) == sorted(WAYS)
    assert ORDER[0] == "maps"
    assert ORDER[-1] == "recent"


# --- recent


def test_recent_notes_are_those_of_the_persons_days(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, DAILY | {f"Daily/2025-09-{day}.md": f"Day {day}." for day in (12, 13, 14, 15, 16)})
    instant = "2025-09-14T22:30:00+00:00"  # already the 15th in Berlin, still the 14th in New York
    for zone, days in (("Europe/Berlin", ["15", "14"]), ("America/New_York", ["14", "13"]), ("UTC", ["14", "13"])):
        passages = found("recent", vault, now=instant, zone=zone, recent_days=2)
        assert [one.text for one in passages] == [f"Day {day}." for day in days], zone
    assert [one.why for one in passages] == ["daily note of 2025-09-14", "daily note of 2025-09-13"]


def test_days_are_calendar_days_also_when_the_clock_is_changed(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, DAILY | {f"Daily/2025-10-{day}.md": f"Day {day}." for day in (24, 25, 26)})
    for now in ("2025-10-26T00:10:00+02:00", "2025-10-26T23:50:00+01:00"):
        assert [one.text for one in found("recent", vault, now=now, zone="Europe/Berlin", recent_days=2)] == [
            "Day 26.",
            "Day 25.",
        ]


def test_without_recent_notes_the_latest_ones_are_used_and_it_is_said(tmp_path: Path) -> None:
    days = ("2025-01-02", "2025-02-03", "2025-03-04", "2026-01-01")
    vault = open_vault(tmp_path, DAILY | {f"Daily/{day}.md": f"Day {day}." for day in days})
    passages = found("recent", vault, recent_days=2)
    assert [one.why for one in passages] == [
        "daily note of 2025-03-04 (the latest there is)",
        "daily note of 2025-02-03 (the latest there is)",
    ]
    assert "2025-02-03 to 2025-03-04" in over(vault, recent_days=2).survey.late
    later = found("recent", vault, now="2024-12-31", recent_days=1)
    assert paths(later) == ["Daily/2025-01-02.md"], "with nothing before today, the nearest there is"
    assert found("recent", open_vault(tmp_path / "none")) == []


def test_a_daily_note_may_be_one_by_its_properties(tmp_path: Path) -> None:
    note = "---\ntype: daily\ndate: 2025-09-13\n---\nWalked."
    assert paths(found("recent", open_vault(tmp_path, {"Log/Saturday.md": note}))) == ["Log/Saturday.md"]


# --- projects


def test_every_projects_standing_comes_before_any_projects_detail(tmp_path: Path) -> None:
    long = "word " * 300
    body = f"# P\n{long}\n## Story\n{long}\n## Next actions\n- [ ] go\n{long}\n"
    files = {
        "A.md": f"---\ntype: project\nstatus: active\ndue: 2025-10-01\n---\n{body}",
        "B.md": f"---\ntype: Project\nstatus: Blocked\ndue: 2025-09-20\n---\n{body}",
        "C.md": "---\ntype: project\nstatus: done\n---\n# C",
        "D.md": "---\ntype: project\nstatus: planned\n---\n# D",
        "E.md": "# E\nstatus: active",
    }
    passages = found("projects", open_vault(tmp_path, files))
    assert paths(passages) == ["B.md", "A.md"]
    assert [(one.path, one.start == 0) for one in passages[:2]] == [("B.md", True), ("A.md", True)]
    standing = [(one.path, one.heading) for one in passages if one.heading.endswith("Next actions")]
    detail = [(one.path, one.heading) for one in passages if one.heading.endswith("Story")]
    order = [(one.path, one.heading) for one in passages]
    assert max(order.index(one) for one in standing) < min(order.index(one) for one in detail)
    assert {one.why for one in passages} == {"blocked project, due 2025-09-20", "active project, due 2025-10-01"}


def test_templates_are_no_projects(tmp_path: Path) -> None:
    project = "---\ntype: project\nstatus: active\n---\n- [ ] x 📅 2025-09-14\n"
    vault = open_vault(
        tmp_path,
        {".obsidian/templates.json": '{"folder": "Forms"}', "Forms/P.md": project, "Forms2/Q.md": project},
    )
    assert paths(gather(["projects", "tasks"], over(vault))) == ["Forms2/Q.md"]


# --- tasks


def test_tasks_that_are_due_are_quoted_with_their_heading(tmp_path: Path) -> None:
    lines = [
        "- [ ] late 📅 2025-09-01",
        "- [/] begun 📅 2025-09-14",
        "- [ ] planned ⏳ 2025-09-21",
        "- [ ] later 📅 2025-09-22",
        "- [x] ticked 📅 2025-09-14",
        "- [-] cancelled 📅 2025-09-14",
        "- [ ] whenever",
    ]
    files = {
        "Work.md": "# Work\n## Soon\n" + "\n".join(lines) + "\n",
        "Closed.md": "---\nstatus: archived\n---\n- [ ] never 📅 2025-09-14\n",
    }
    passages = found("tasks", open_vault(tmp_path, files))
    assert [(one.text, one.why) for one in passages] == [
        ("- [ ] late 📅 2025-09-01", "overdue since 2025-09-01"),
        ("- [/] begun 📅 2025-09-14", "due 2025-09-14"),
        ("- [ ] planned ⏳ 2025-09-21", "due 2025-09-21"),
    ]
    assert {one.heading for one in passages} == {"Work > Soon"}


def test_tasks_of_a_day_that_is_named_come_first(tmp_path: Path) -> None:
    days = ("2025-09-01", "2025-09-14", "2025-09-19", "2025-09-20")
    vault = open_vault(tmp_path, {"Work.md": "".join(f"- [ ] of {day} 📅 {day}\n" for day in days)})
    assert [one.text[9:19] for one in found("tasks", vault, text="What falls due on Friday?")] == [
        "2025-09-19",
        "2025-09-01",
        "2025-09-14",
        "2025-09-20",
    ]


def test_a_day_that_is_named_is_not_the_one_a_week_later(tmp_path: Path) -> None:
    days = ("2025-09-01", "2025-09-14", "2025-09-21")
    vault = open_vault(tmp_path, {"Work.md": "".join(f"- [ ] of {day} 📅 {day}\n" for day in days)})
    texts = [one.text[9:19] for one in found("tasks", vault, text="What is due today?")]
    assert texts == ["2025-09-14", "2025-09-01", "2025-09-21"]


def test_a_task_of_a_note_that_changed_meanwhile_is_not_quoted_from_the_wrong_place(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"Work.md": "- [ ] late 📅 2025-09-01\n"})
    write(tmp_path, {"Work.md": "Something else entirely stands here now.\n"})
    assert found("tasks", vault) == []


# --- changed


def test_changed_is_what_was_seen_to_change_since_the_last_run(tmp_path: Path) -> None:
    now = 1000.0
    vault = Vault(write(tmp_path, {f"{name}.md": name for name in "abc"}), Index(None), clock=lambda: now)
    assert found("changed", vault, since=500.0) == [], "a first index says nothing of age"
    now = 2000.0
    write(tmp_path, {"a.md": "a more"})
    vault.refresh()
    now = 3000.0
    write(tmp_path, {"b.md": "b more", "new.md": "new"})
    vault.refresh()
    assert paths(found("changed", vault, since=1500.0)) == ["b.md", "new.md", "a.md"]
    assert paths(found("changed", vault, since=2500.0)) == ["b.md", "new.md"]
    assert found("changed", vault, since=3000.0) == []
    assert found("changed", vault) == [], "a first run has no before"
    assert {one.why for one in found("changed", vault, since=2500.0)} == {"changed since the last briefing"}


def test_file_times_change_nothing(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"a.md": "a", "b.md": "b"})
    for file in tmp_path.glob("*.md"):
        os.utime(file, (4e9, 4e9))
    assert vault.refresh() == 0
    assert found("changed", vault, since=1.0) == []


def test_changed_is_also_what_its_own_date_says(tmp_path: Path) -> None:
    files = DAILY | {
        "Daily/2025-09-14.md": "today",
        "New.md": "---\ncreated: 2025-09-12\n---\nnew",
        "Old.md": "---\ncreated: 2025-09-11\n---\nold",
        "Late.md": "---\nupdated: 2025-09-15\n---\nlate",
        "Both.md": "---\ncreated: 2020-01-01\nupdated: 2025-09-14T10:00:00\n---\nboth",
    }
    passages = found("changed", open_vault(tmp_path, files), recent_days=3)
    assert [(one.path, one.why) for one in passages] == [
        ("Both.md", "dated 2025-09-14"),
        ("New.md", "dated 2025-09-12"),
    ]


# --- systems


def test_systems_that_are_not_well_come_first_then_those_spoken_of(tmp_path: Path) -> None:
    def system(status: str) -> str:
        return f"---\ntype: hardware\nstatus: {status}\n---\n# It"

    files = DAILY | {
        "A.md": system("running"),
        "B.md": system("online"),
        "C.md": system("degraded"),
        "D.md": system("retired"),
        "Daily/2025-09-13.md": "Dusted [[B]].",
    }
    passages = found("systems", open_vault(tmp_path, files))
    assert [(one.path, one.why) for one in passages] == [
        ("C.md", "system that is not running well"),
        ("B.md", "system in recent notes"),
        ("A.md", "system"),
    ]


# --- maps


MAPS = {
    "Home.md": "# Home\n- [[Garden MOC]]\n- [[Bread]]\n",
    "Garden MOC.md": "# Trees\n- [[Quince]]\n- [[Pear]]\n# Tools\n- [[Saw]]\n",
    "Quince.md": "# Quince\nA hard fruit. Its map is [[Garden MOC]].\n",
    "Pear.md": "# Pear\nA soft fruit.\n",
    "Saw.md": "# Saw\nOil it in autumn.\n",
    "Bread.md": "# Bread\nFlour.\n",
    "Board.canvas": '{"nodes": [{"id": "1", "type": "file", "file": "Pear.md"}]}',
}


def test_maps_that_fit_the_words_are_walked(tmp_path: Path) -> None:
    passages = found("maps", open_vault(tmp_path, MAPS), "what is in the garden")
    assert paths(passages)[0] == "Garden MOC.md"
    reasons = {one.path: (one.why, one.via) for one in passages}
    assert reasons["Garden MOC.md"] == ("map of content; fits the words", "")
    assert reasons["Quince.md"] == ("gathered by a map; fits the words", "Garden MOC.md#Trees")
    assert reasons["Saw.md"] == ("gathered by a map", "Garden MOC.md#Tools")
    assert paths(passages).index("Saw.md") < paths(passages).index("Pear.md"), "each section before any's second"


def test_a_map_fits_by_what_it_gathers_and_shows_what_fits(tmp_path: Path) -> None:
    passages = found("maps", open_vault(tmp_path, MAPS), "when do I oil it?")
    assert ("Saw.md", "gathered by a map; fits the words") in [(one.path, one.why) for one in passages]
    assert over(open_vault(tmp_path), "oil").hits[0].path == "Saw.md"


def test_without_words_the_walk_begins_at_home(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, MAPS)
    assert fitting_maps(over(vault))[0] == ("Home.md", 1.0)
    passages = found("maps", vault)
    assert paths(passages)[0] == "Home.md"
    assert "Board.canvas" not in paths(passages), "a canvas leads on, but is no text to quote"


def test_a_long_note_begins_where_it_says_something(tmp_path: Path) -> None:
    files = {
        "Home.md": "# Home\n- [[Long]]\n- [[Bare]]\n",
        "Long.md": "---\nlevel: 1\n---\n# Long\n## First\nHere it begins.\n## Second\n" + "And so on. " * 200,
        "Bare.md": "---\nlevel: 2\n---\n# Bare\n",
    }
    texts = {one.path: one.text for one in found("maps", open_vault(tmp_path, files))}
    assert texts["Long.md"] == "## First\nHere it begins.", "not with its properties and title alone"
    assert texts["Bare.md"] == "---\nlevel: 2\n---\n# Bare", "it has no more"


def test_a_ring_of_maps_ends(tmp_path: Path) -> None:
    files = {f"M{n}.md": f"---\ntype: moc\n---\n- [[M{(n + 1) % 5}]]\n- [[M{n}]]\n" for n in range(5)}
    assert set(paths(found("maps", open_vault(tmp_path, files)))) == set(files)


def test_a_hub_of_thousands_stays_within_bounds(tmp_path: Path) -> None:
    files = {f"n/{n}.md": f"note {n}" for n in range(300)}
    files["Hub MOC.md"] = "\n".join(f"- [[{n % 300}]]" for n in range(3000))
    assert len(set(paths(found("maps", open_vault(tmp_path, files))))) <= 40


HUB = {
    "Hub MOC.md": "Kept since spring.\n"
    + "".join(f"## Part {n}\n" + "".join(f"- [[p{n} {m}]]\n" for m in range(20)) for n in range(20)),
    **{
        f"p{n} {m}.md": f"# p{n} {m}\n\nFirst words of it. {'More is told. ' * 80}"
        for n in range(20)
        for m in range(20)
    },
    "Far.md": "quince",
    "Other MOC.md": "[[Far]]",
}


def test_of_each_section_one_note_begins_in_a_few_lines(tmp_path: Path) -> None:
    passages = found("maps", open_vault(tmp_path, HUB), "quince", open_note="Hub MOC.md")
    leads = [one for one in passages if one.via.startswith("Hub MOC.md#") and one.score > 1]
    assert [one.via for one in leads] == [f"Hub MOC.md#Part {n}" for n in range(20)]
    for one in leads:
        assert "First words of it." in one.text, "more than its heading"
        assert bytes4(one.text) <= 40
    assert passages[0].path == "Far.md", "the few that fit best come before"


def test_the_walk_begins_where_the_person_stands(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, HUB)
    assert fitting_maps(over(vault, "quince"))[0][0] == "Other MOC.md"
    assert [path for path, _ in fitting_maps(over(vault, "quince", open_note="Hub MOC.md"))] == [
        "Hub MOC.md",
        "Other MOC.md",
    ]
    assert fitting_maps(over(vault, "quince", open_note="Far.md"))[0][0] == "Other MOC.md", (
        "an open note that is no map"
    )


def test_an_open_map_shows_its_words_and_not_its_lists_of_links(tmp_path: Path) -> None:
    files = {**HUB, "Garden MOC.md": "# Garden\nWhat we learned this year is written here.\n\n- [[Far]]\n"}
    vault = open_vault(tmp_path, files)
    assert [one.text[:6] for one in found("note", vault, open_note="Garden MOC.md")] == ["# Gard"]
    assert [one.text for one in found("note", vault, open_note="Hub MOC.md")] == ["Kept since spring."]
    assert found("note", open_vault(tmp_path, {"List.md": "[[Far]] [[Far]]"}), open_note="List.md"), "no map"


def test_what_only_the_place_in_a_map_tells_is_found(tmp_path: Path) -> None:
    files = {
        "Farm MOC.md": "## Vehicles\n- [[Old Fendt]]\n## Trees\n- [[Quince]] – has blight\n- [[Sheds MOC]]\n",
        "Sheds MOC.md": "## Barn\n- [[Left door]]\n",
        "Old Fendt.md": "It starts.",
        "Quince.md": "Brown leaves.",
        "Left door.md": "Squeaks.",
    }
    vault = open_vault(tmp_path, files)
    for text, path in (("vehicles", "Old Fendt.md"), ("blight", "Quince.md"), ("barn sheds", "Left door.md")):
        best = next(one for one in found("maps", vault, text, open_note="Farm MOC.md") if "MOC" not in one.path)
        assert (best.path, best.score > 2) == (path, True), text


# --- search


def test_days_that_are_named_are_there_though_no_word_fits(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, DAILY | {f"Daily/2025-09-{day:02}.md": f"Walked {day} miles." for day in range(1, 15)})
    for words in ("letzte Woche", "先週", "last week"):
        passages = found("search", vault, text=words)
        assert paths(passages)[:7] == [f"Daily/2025-09-{day:02}.md" for day in range(7, 0, -1)], words
        assert passages[0].text == "Walked 7 miles."


def test_search_finds_what_fits_and_what_is_named(tmp_path: Path) -> None:
    files = MAPS | {"Names.md": "---\naliases: [Eve]\n---\nNothing fits here."}
    vault = open_vault(tmp_path, files)
    passages = found("search", vault, "a soft fruit, [[Saw]] and [[Eve]]")
    assert paths(passages)[:2] == ["Saw.md", "Names.md"]
    assert [one.why for one in passages[:2]] == ["named in the request"] * 2
    assert ("Pear.md", "fits the words") in [(one.path, one.why) for one in passages]
    assert found("search", vault, "") == []
    assert found("search", vault, "?!") == []


def test_a_note_without_text_is_found_by_its_name_and_properties(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"Quince jelly.md": "---\nlevel: foundation\n---\n", "Empty quince.md": ""})
    passages = found("search", vault, "quince")
    assert [(one.path, one.text) for one in passages] == [("Quince jelly.md", "---\nlevel: foundation\n---")]


def test_words_of_scripts_without_blanks_are_found(sample: Vault) -> None:
    assert paths(found("search", sample, "ぬか床"))[0].endswith("ぬか床.md")
    assert any("Sauerkraut" in path for path in paths(found("search", sample, "Weißkohl Salz")))


def test_what_fits_better_outside_the_scope_does_not_hide_what_is_inside(tmp_path: Path) -> None:
    files = {f"Out/{n}.md": f"quince quince quince {n}" for n in range(200)}
    files |= {"In/one.md": "A long walk, a great many other words, and in the end somewhere a quince.\n" * 5}
    passages = found("search", open_vault(tmp_path, files), "quince", within={"folder": "In"})
    assert paths(passages) == ["In/one.md"]


def test_an_outdated_place_is_not_quoted(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"a.md": "one quince"})
    write(tmp_path, {"a.md": "nothing of the kind"})
    assert found("search", vault, "quince") == []
    (tmp_path / "a.md").unlink()
    assert found("search", vault, "quince [[a]]") == []


# --- the open note


def test_the_open_note_is_read_from_its_beginning(sample: Vault) -> None:
    passages = found("note", sample, open_note="03-Infrastructure/Furnace.md")
    assert passages[0].start == 0
    assert {one.path for one in passages} == {"03-Infrastructure/Furnace.md"}
    assert found("note", sample) == []
    assert found("note", sample, open_note="03-Infrastructure/Furnace.md", within={"folder": "02-Projects"}) == []


# --- all of them

TEXT = "the disk of [[Furnace]], koji and salt"
SCOPES: dict[str, dict[str, Any]] = {
    "everything": {},
    "project": {"project": "Off-Site Backup"},
    "folder": {"folder": "03-infrastructure/"},
    "tags": {"tags": ["homelab"]},
    "since": {"since": "2025-09-08"},
    "where": {"where": {"status": {"in": ["active", "degraded", "running"]}}},
    "two": {"folder": "02-Projects", "where": {"level": "foundation"}},
    "nothing": {"tags": ["no-such-tag"]},
}


@pytest.mark.parametrize("within", SCOPES.values(), ids=SCOPES)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_stays_in_scope_and_quotes_to_the_letter(sample: Vault, way: str, within: dict[str, Any]) -> None:
    inside = select(sample.snapshot, scope(within))
    note = next(iter(inside), "Home.md")
    passages = found(way, sample, TEXT, within=within, since=1.0, open_note=note, recent_days=7)
    if not within:
        assert passages, way
    for one in passages:
        assert one.path in inside
        data = (SAMPLE / one.path).read_bytes()
        text = decode(data)[0]
        assert one.text == text[one.start : one.end]
        assert one.text.strip()
        assert one.digest == sample.snapshot.notes[one.path].digest
        assert one.private == sample.snapshot.notes[one.path].private
        assert one.why
        own = max(one.start, sample.snapshot.notes[one.path].body)  # a note may be given whole with its properties
        assert bytes4(text[own : one.end]) <= PASSAGE_TOKENS
        known = [heading.text for heading in sample.snapshot.notes[one.path].headings]
        assert not one.heading or all(part in known for part in one.heading.split(" > "))


@pytest.mark.parametrize("way", WAYS)
def test_private_notes_are_gathered_only_for_the_house(sample: Vault, way: str) -> None:
    hidden = {path for path, note in sample.snapshot.notes.items() if note.private}
    assert len(hidden) == 4, "by property, by tag, and two whose properties cannot be read"
    text = "health record, household budget, carbon steel seasoning"
    note = "04-Knowledge/Personal/Health Record.md"
    outside = found(way, sample, text, private=False, open_note=note, recent_days=30)
    assert not hidden & set(paths(outside))
    assert not any(one.via.partition("#")[0] in hidden for one in outside)
    if way in {"search", "note"}:
        assert hidden & set(paths(found(way, sample, text, open_note=note)))


def test_a_note_that_goes_away_meanwhile_is_left_out(tmp_path: Path) -> None:
    files = MAPS | DAILY | {"Daily/2025-09-14.md": "- [ ] x 📅 2025-09-14\n", "S.md": "---\ntype: system\n---\nx"}
    files |= {"P.md": "---\ntype: project\nstatus: active\ncreated: 2025-09-14\n---\nquince"}
    vault = open_vault(tmp_path, files)
    ready = over(vault, "quince [[P]]", open_note="P.md")
    for file in tmp_path.rglob("*.md"):
        file.unlink()
    assert gather(WAYS, ready) == []
    assert not ready.settled


def test_what_is_read_is_settled_while_it_is_what_the_snapshot_says(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"a.md": "one"})
    ready = over(vault)
    assert ready.read("a.md")
    assert ready.settled
    assert ready.read("b.md") is None
    assert ready.settled, "what is not in scope is not read at all"
    write(tmp_path, {"a.md": "two"})
    assert over(vault).read("a.md") == vault.text("a.md")
    changed = over(vault)
    changed.read("a.md")
    assert not changed.settled
