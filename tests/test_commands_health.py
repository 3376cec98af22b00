"""The health of a vault: each fault is found, and nothing else."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from commands import health
from commands.health import KINDS, Finding, check, counted
from commands.select import Selection, gathering
from context.assemble import BYTES4
from context.calendar import calendar
from context.index import Index
from context.kinds import configured
from context.members import members_of
from context.query import scope
from context.vault import Vault, VaultOptions
from tests.vaults import open_vault

SAMPLE = Path(__file__).parent.parent / "examples" / "vault"


def checked(vault: Vault, within: Mapping[str, Any] | None = None, *, private: bool = True) -> list[Finding]:
    wanted = Selection("", {}, 1000, BYTES4, scope(within), calendar("2025-09-14", "UTC"), private=private)
    ready = gathering(vault, wanted)
    return check(members_of(ready.snapshot, ready.calendar), ready.notes, ready.survey)


def of(kind: str, vault: Vault, **more: Any) -> list[tuple[str, str]]:
    return [(one.path, one.message) for one in checked(vault, **more) if one.kind == kind]


def project(status: str, **properties: str) -> str:
    lines = "".join(f"{name}: {value}\n" for name, value in properties.items())
    return f"---\ntype: project\nstatus: {status}\n{lines}---\n[[Hub]]\n"


def test_the_sample_vault_on_its_day() -> None:
    found = checked(Vault(SAMPLE, Index(None)))
    assert Counter(one.kind for one in found) == {
        "unreadable_properties": 1,
        "unresolved_link": 6,
        "overdue_task": 7,
        "ambiguous_name": 1,
        "orphan": 2,
    }
    told = [(one.kind, one.path, one.message) for one in found]
    assert told[0][:2] == ("unreadable_properties", "04-Knowledge/Techniques/Carbon Steel Seasoning.md")
    assert "not YAML (line 3)" in told[0][2]
    missing = {message.split("“")[1].split("”")[0] for kind, _, message in told if kind == "unresolved_link"}
    assert missing == {"Cellar", "Winter Miso", "Solar on the Shed", "Tsukudani"}
    assert told[14] == (
        "ambiguous_name",
        "03-Infrastructure/Pantry.md",
        "2 notes have this name: 03-Infrastructure/Pantry.md, 04-Knowledge/Kitchen/Pantry.md",
    )
    assert {path for kind, path, _ in told if kind == "orphan"} == {
        "Untitled.md",
        "04-Knowledge/Techniques/Carbon Steel Seasoning.md",
    }


def test_a_sound_vault_has_none(tmp_path: Path) -> None:
    files = {"Hub.md": "[[P]]", "P.md": project("active", due="2025-09-14", updated="2025-09-10")}
    assert checked(open_vault(tmp_path, files)) == []
    assert checked(open_vault(tmp_path / "none")) == []


def test_unreadable_notes_are_named(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"a.md": "---\n: [\n---\n[[b]]", "b.md": b"\x00\x01", "c.md": b"[[b]] \xff"})
    kinds = {(one.kind, one.path) for one in checked(vault)}
    assert kinds == {("unreadable_properties", "a.md"), ("flagged_note", "b.md"), ("flagged_note", "c.md")}


def test_a_link_to_nowhere_is_told_with_its_target(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"a.md": "[[Ghost#h|x]] [[Ghost]] `[[code]]` [[a]] [[b]]", "b.md": ""})
    assert of("unresolved_link", vault) == [("a.md", "links to “Ghost”, which does not exist")]


def test_projects_that_are_late_or_forgotten(tmp_path: Path) -> None:
    files = {
        "Hub.md": "# Hub",
        "Late.md": project("active", due="2025-09-13", updated="2025-09-13"),
        "Blocked.md": project("blocked", due="2025-01-01"),
        "Done.md": project("done", due="2025-01-01", updated="2025-01-01"),
        "Stale.md": project("active", created="2025-08-23"),
        "Fresh.md": project("active", created="2025-08-24"),
        "Spoken of.md": project("active", created="2025-01-01"),
        "Undated.md": project("active"),
        "2025-09-10.md": "[[Spoken of]]",
        "2026-01-01.md": "[[Stale]], in a note ahead of its time",
    }
    vault = open_vault(tmp_path, files)
    assert of("overdue_project", vault) == [
        ("Blocked.md", "was due on 2025-01-01"),
        ("Late.md", "was due on 2025-09-13"),
    ]
    assert of("stale_project", vault) == [("Stale.md", "is active, but nothing speaks of it since 2025-08-23")]


def test_prerequisites_are_held_against_the_status(tmp_path: Path) -> None:
    files = {
        "Hub.md": "",
        "A.md": project("active", prerequisites="['[[B]]', '[[C]]', '[[Ghost]]', '[[Hub]]']"),
        "B.md": project("planned"),
        "C.md": project("completed"),
        "D.md": project("planned", prerequisites="['[[B]]']"),
        "E.md": project("active", prerequisites="'[[Nameless]]'"),
        "Nameless.md": "---\ntype: project\n---\n[[Hub]]",
    }
    assert of("started_before_prerequisite", open_vault(tmp_path, files)) == [
        ("A.md", "is active, but its prerequisite B is planned"),
        ("E.md", "is active, but its prerequisite Nameless is without a status"),
    ]


def test_a_ring_of_prerequisites_is_told_once(tmp_path: Path) -> None:
    ring = {f"{a}.md": project("planned", prerequisites=f"['[[{b}]]']") for a, b in ("AB", "BC", "CA", "DA", "EE")}
    assert of("prerequisite_cycle", open_vault(tmp_path, ring | {"Hub.md": ""})) == [
        ("A.md", "these projects wait for each other: A → B → C → A"),
        ("E.md", "these projects wait for each other: E → E"),
    ]


def test_places_without_a_link(tmp_path: Path) -> None:
    files = {
        ".obsidian/daily-notes.json": '{"folder": "Daily"}',
        "Daily/2025-09-14.md": "alone, as days may be",
        "Home.md": "a map may be empty",
        "Board.canvas": "{}",
        "Alone.md": "[[Ghost]]",
        "a/Same.md": "[[b/Same]]",
        "b/Same.md": "",
        "Same.png": "",
    }
    vault = open_vault(tmp_path, files)
    assert of("orphan", vault) == [("Alone.md", "neither links to a note nor is linked from one")]
    assert of("ambiguous_name", vault) == [("a/Same.md", "2 notes have this name: a/Same.md, b/Same.md")]


def test_templates_are_not_judged(tmp_path: Path) -> None:
    files = {".obsidian/templates.json": '{"folder": "Forms"}', "Forms/x.md": "---\n: [\n---\n[[{{title}}]]"}
    assert checked(open_vault(tmp_path, files)) == []


def test_a_scope_is_kept_to(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"In/a.md": "[[Ghost]] [[b]]", "Out/b.md": "[[Spectre]] [[a]]"})
    assert {one.path for one in checked(vault, {"folder": "In"})} == {"In/a.md"}


def test_nothing_is_said_of_private_notes_out_of_the_house(tmp_path: Path) -> None:
    files = {
        "Hub.md": "---\ntype: project\nstatus: active\nprerequisites: ['[[P]]']\ncreated: 2025-01-01\n---\n[[Twin]]",
        "P.md": "---\nprivate: true\ntype: project\nstatus: kanarie\nupdated: 2025-02-03\n---\n[[Hub]] [[Ghost]]",
        "a/Twin.md": "[[Hub]]",
        "kanarie/Twin.md": "---\nprivate: true\n---\n[[Hub]]",
    }
    vault = open_vault(tmp_path, files)
    inside, outside = str(checked(vault)), str(checked(vault, private=False))
    for secret in ("kanarie", "2025-02-03", "Ghost"):
        assert secret in inside
        assert secret not in outside
    assert of("stale_project", vault, private=False) == [
        ("Hub.md", "is active, but nothing speaks of it since 2025-01-01")
    ]
    assert of("ambiguous_name", vault, private=False) == []


def test_findings_go_from_grave_to_small() -> None:
    weights = ["error", "warning", "notice"]
    assert [weights.index(weight) for weight, _ in KINDS.values()] == sorted(
        weights.index(weight) for weight, _ in KINDS.values()
    )
    assert all(hint.endswith(".") for _, hint in KINDS.values())
    vault = Vault(SAMPLE, Index(None))
    found = checked(vault)
    places = [list(KINDS).index(one.kind) for one in found]
    assert places == sorted(places)
    assert list(counted(found)) == list(dict.fromkeys(one.kind for one in found))
    assert sum(len(ones) for ones in counted(found).values()) == len(found)


def test_a_finding_as_clients_see_it() -> None:
    assert Finding("orphan", "a.md", "neither").as_dict() == {
        "code": "orphan",
        "weight": "notice",
        "path": "a.md",
        "message": "neither",
        "hint": KINDS["orphan"][1],
    }
    with pytest.raises(KeyError):
        Finding("gossip", "a.md", "x").as_dict()


def test_prerequisites_in_the_order_they_are_named(tmp_path: Path) -> None:
    files = {"A.md": project("active", prerequisites="['[[C]]', '[[Ghost]]', '[[B|b]]']"), "B.md": "", "C.md": ""}
    snapshot = open_vault(tmp_path, files).snapshot
    assert health.prerequisites(snapshot, snapshot.notes["A.md"]) == ["C.md", "B.md"]


def test_a_template_that_is_not_there_is_told(tmp_path: Path) -> None:
    kinds = configured({"project": {"template": "Blanks/Project.md"}, "dish": {"template": "Blanks/Dish"}})
    vault = open_vault(tmp_path, {"Blanks/Dish.md": "[[Nowhere]]"}, VaultOptions(kinds=kinds))
    assert of("missing_template", vault) == [("", "the template of project is not there: Blanks/Project.md")]
    assert of("unresolved_link", vault) == [], "the other is known as a template"


def test_projects_by_folder_are_judged_as_projects(tmp_path: Path) -> None:
    files = {
        "Efforts/A.md": '---\nstatus: active\nprerequisites: ["[[B]]"]\n---\n',
        "Efforts/B.md": '---\nstatus: planned\nprerequisites: ["[[A]]"]\n---\n',
    }
    assert not of("prerequisite_cycle", open_vault(tmp_path, files))
    vault = open_vault(tmp_path, {}, VaultOptions(kinds=configured({"project": {"folder": "Efforts"}})))
    assert len(of("prerequisite_cycle", vault)) == 1
    assert [path for path, _ in of("started_before_prerequisite", vault)] == ["Efforts/A.md"]


def test_what_a_map_gathers_by_a_query_is_no_orphan(tmp_path: Path) -> None:
    files = {
        "Home.md": "# Dishes\n```dataview\nLIST FROM #dish\n```\n![[Tools.base]]\n",
        "Tools.base": "filters: 'file.inFolder(\"Tools\")'\nviews:\n  - type: table\n",
        "All.base": "views:\n  - type: table\n",
        "Leek.md": "#dish",
        "Tools/Spade.md": "",
        "Alone.md": "",
        "Note.md": "[[Home]]\n```dataview\nLIST\n```\n",
    }
    vault = open_vault(tmp_path, files)
    assert [path for path, _ in of("orphan", vault)] == ["Alone.md"], (
        "neither a bare base nor a note is a map that counts"
    )
    gathered = {path: text for path, text in files.items() if path not in ("Alone.md", "Home.md")}
    vault = open_vault(tmp_path / "other", gathered)
    assert [path for path, _ in of("orphan", vault)] == ["Leek.md", "Note.md", "Tools/Spade.md"]


def test_queries_of_maps_that_show_nothing(tmp_path: Path) -> None:
    files = {
        "Home.md": '# Work\n## Open\n```dataview\nLIST FROM "Projects WHERE\n```\n'
        "```dataview\nLIST WHERE file.lists\n```\n# Books\n![[Books.base#Nope]]\n![[Books.base#open]]\n"
        "```dataviewjs\ndv.pages()\n```\n```base\nfilters: random() > 1\n```\n",
        "Books.base": "views:\n  - {type: table, name: Open}\n",
        "Bad.base": "filters: 'file.foo('\nviews:\n  - {type: table, name: All}\n",
        "Torn.base": "views: [\n",
        "Long.base": f"views: [{{name: {'x' * 70_000}}}]\n",
        "Fails.md": "---\ntype: moc\n---\n```dataview\nLIST WHERE nofunction(1)\n```\n[[Home]]",
        "Note.md": "[[Home]]\n```dataview\nno query\n```\n",
    }
    vault = open_vault(tmp_path, files)
    broken = of("broken_query", vault)
    assert [message for path, message in broken if path == "Home.md"] == [
        "the base query of “Books” shows nothing: it has no view 'Nope'",
        "the dataview query of “Work > Open” shows nothing: the query does not parse (line 1, column 11)",
    ]
    assert [path for path, _ in broken] == ["Bad.base", "Fails.md", "Home.md", "Home.md", "Torn.base"]
    assert broken[0][1] == "the base query of “All” shows nothing: the expression 'file.foo(', which cannot be read"
    assert broken[1][1].startswith("the dataview query shows nothing: fails: WHERE: there is no function nofunction")
    assert "the base cannot be read: not YAML" in broken[-1][1]
    told = of("unevaluated_query", vault)
    assert [path for path, _ in told] == ["Home.md", "Home.md", "Long.base"], "and JavaScript is not judged at all"
    assert told[0][1].startswith("the base query of “Books” is not evaluated here: random()")
    assert told[1][1] == "the dataview query of “Work > Open” is not evaluated here: file.lists"


def test_nothing_private_is_said_by_a_query_out_of_the_house(tmp_path: Path) -> None:
    files = {
        "Home.md": "```base\nfilters: price + 1 > 2\n```\n",
        "Kanarie.md": "---\nprivate: true\nprice: [1]\n---\n```dataview\nkanarie\n```\n",
    }
    vault = open_vault(tmp_path, files)
    assert "Kanarie.md" in of("unevaluated_query", vault)[0][1]
    assert of("unevaluated_query", vault, private=False) == []


def test_a_broken_canvas_is_told_like_a_broken_note(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"Board.canvas": '{"nodes": [', "Shelf.base": b"\x00"})
    assert of("flagged_note", vault) == [
        ("Board.canvas", "canvas: not JSON"),
        ("Shelf.base", "binary: it holds NUL bytes and is no text"),
    ]


def test_a_day_that_no_calendar_has_is_told(tmp_path: Path) -> None:
    tasks = "- [ ] prune 📅 2026-13-45\n- [x] sow [scheduled:: 2025-02-29] ✅ 2025-02-28\n- [ ] dig 📅 2024-02-29\n"
    vault = open_vault(tmp_path, {"Hub.md": "[[Work]]", "Work.md": tasks})
    assert of("impossible_date", vault) == [
        ("Work.md", "prune (there is no 2026-13-45)"),
        ("Work.md", "sow (there is no 2025-02-29)"),
    ]
