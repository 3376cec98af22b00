"""What a map gathers: links, embeds, bases, queries and the notes that say they belong, in the order of the map."""

from pathlib import Path
from typing import Any

import pytest

from context.calendar import calendar
from context.maps import Member, walk
from context.members import Members, Unsupported, members_of
from context.snapshot import Snapshot
from tests.vaults import open_vault

TODAY = calendar("2025-09-14", "Europe/Berlin")
BOOKS = """filters: 'status == "open"'
views:
  - {type: table, name: Open}
  - {type: table, name: Short, filters: 'file.name == "One"'}
"""


def book(status: str, more: str = "") -> str:
    return f"---\nstatus: {status}\n{more}---\n"


FILES: dict[str, Any] = {
    "Books/One.md": book("open"),
    "Books/Two.md": book("open", 'categories: ["[[Shelf]]"]\n'),
    "Books/Three.md": book("closed", 'up: "[[Shelf]]"\nabout: "[[Other]]"\n'),
    "Books.base": BOOKS,
    "Shelf.md": "---\ntype: moc\nsee: '[[Other]]'\n---\n[[Nowhere]]\n# Open\n![[Books.base#Short]]\n# All\n```dataview\n"
    'LIST FROM "Books" WHERE status = "closed"\n```\n# Text\n[[Books/Two|the second]]\n# Code\n'
    "```dataviewjs\ndv.pages()\n```\n```base\nfilters: random() > 1\n```\n",
    "Other.md": "prose\n",
}


def gathered(root: Path, files: dict[str, Any], path: str) -> tuple[list[Member], list[Unsupported]]:
    found = Members(open_vault(root, files).snapshot, TODAY).of(path)
    return list(found.members), list(found.unsupported)


def test_members_come_in_the_order_of_the_map_each_once(tmp_path: Path) -> None:
    members, unsupported = gathered(tmp_path, FILES, "Shelf.md")
    assert members == [
        Member("Other.md", "", "property"),
        Member("Books/One.md", "Open", "base"),
        Member("Books/Three.md", "All", "dataview"),
        Member("Books/Two.md", "Text", "link"),
    ]
    assert [(one.section, one.kind) for one in unsupported] == [("Code", "dataviewjs"), ("Code", "base")]
    assert all(one.why for one in unsupported)


def test_places_name_a_member_under_every_section_that_has_it(tmp_path: Path) -> None:
    views = "views:\n  - {type: list, name: All}\n  - {type: list, name: Done, filters: 'status == \"closed\"'}\n"
    books = {path: text for path, text in FILES.items() if path.startswith("Books/")}
    files = {**books, "Shelf.base": f"filters: 'file.inFolder(\"Books\")'\n{views}", "Shelf.md": "[[Shelf.base]]"}
    shelf = Members(open_vault(tmp_path / "base", files).snapshot, TODAY).of("Shelf.base")
    names = [(one.section, one.path.removeprefix("Books/")) for one in shelf.places]
    assert names == [("All", "One.md"), ("All", "Three.md"), ("All", "Two.md"), ("Done", "Three.md")]
    assert [one.section for one in shelf.members] == ["All"] * 3
    own = {"Shelf.md": "[[Books/Two]]\n# A\n[[Books/Two]] [[Books/Two]] [[Books/One]]\n# B\n[[Books/One]] [[Shelf]]\n"}
    shelf = Members(open_vault(tmp_path / "links", {**books, **own}).snapshot, TODAY).of("Shelf.md")
    assert [(one.section, one.path.removeprefix("Books/"), one.how) for one in shelf.places] == [
        ("", "Two.md", "link"),
        ("A", "Two.md", "link"),
        ("A", "One.md", "link"),
        ("B", "One.md", "link"),
        ("", "Three.md", "belongs: up"),
    ], "what says itself that it belongs has no other place"


def test_a_note_says_itself_what_it_belongs_to(tmp_path: Path) -> None:
    files = {**FILES, "Shelf.md": "---\ntype: moc\n---\n"}
    assert gathered(tmp_path, files, "Shelf.md")[0] == [
        Member("Books/Three.md", "", "belongs: up"),
        Member("Books/Two.md", "", "belongs: categories"),
    ]
    assert gathered(tmp_path, files, "Other.md")[0] == [], "a property like `about` says nothing of that kind"


def test_a_base_is_a_map_of_its_views(tmp_path: Path) -> None:
    assert gathered(tmp_path, FILES, "Books.base")[0] == [
        Member("Books/One.md", "Open", "base"),
        Member("Books/Two.md", "Open", "base"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [("![[Books.base#Long]]", "no view 'Long'"), ("```base\n: [\n```", ""), ("```dataview\nLIST FROM (\n```", "")],
)
def test_what_cannot_be_evaluated_is_said_and_the_rest_is_there(tmp_path: Path, text: str, why: str) -> None:
    members, unsupported = gathered(tmp_path, {**FILES, "Shelf.md": f"[[Other]]\n{text}\n"}, "Shelf.md")
    assert members[0] == Member("Other.md", "", "link")
    assert len(unsupported) == 1
    assert why in unsupported[0].why


def test_a_link_to_a_base_is_a_link(tmp_path: Path) -> None:
    assert gathered(tmp_path, {**FILES, "Shelf.md": "[[Books.base]]"}, "Shelf.md")[0][0] == Member(
        "Books.base", "", "link"
    )


def test_the_walk_goes_over_what_queries_gather(tmp_path: Path) -> None:
    snapshot = open_vault(tmp_path, FILES).snapshot
    members = members_of(snapshot, TODAY)
    steps = walk(
        [("Shelf.md", 1.0)],
        snapshot.notes,
        snapshot.graph,
        is_map=snapshot.maps,
        gathered=lambda path: members.of(path).members,
    )
    via = {step.path: step.via for step in steps}
    assert via["Books/One.md"] == "Shelf.md#Open"
    assert via["Books/Three.md"] == "Shelf.md#All"


def test_members_of_one_snapshot_and_day_are_worked_out_once(tmp_path: Path) -> None:
    snapshot: Snapshot = open_vault(tmp_path, FILES).snapshot
    shelf = members_of(snapshot, TODAY).of("Shelf.md")
    assert shelf is members_of(snapshot, calendar("2025-09-14T20:00", "Europe/Berlin")).of("Shelf.md")
    assert shelf is not members_of(snapshot, calendar("2025-09-15", "Europe/Berlin")).of("Shelf.md")
    assert shelf is not members_of(snapshot, calendar("2025-09-14", "Asia/Tokyo")).of("Shelf.md")


def test_members_that_depend_on_the_hour_hold_for_that_moment(tmp_path: Path) -> None:
    base = "filters: 'due < now()'\nviews:\n  - type: table\n    name: All\n"
    files = {
        "Map.md": "# Map\n![[Due.base]]\n",
        "Due.base": base,
        "Known.md": "# Map\n[[Known]]\n```dataview\nLIST FROM #known\n```\n",
        "Tea.md": "---\ndue: 2025-09-14T12:00:00\n---\n",
    }
    snapshot = open_vault(tmp_path, files).snapshot
    early, late = calendar("2025-09-14T10:00", "UTC"), calendar("2025-09-14T14:00", "UTC")
    for when, found in ((early, []), (late, ["Tea.md"]), (early, [])):
        told = members_of(snapshot, when).of("Map.md")
        assert [one.path for one in told.members] == found
        assert told.at == when.now
    assert members_of(snapshot, late).of("Map.md") is members_of(snapshot, late).of("Map.md")
    assert members_of(snapshot, late).of("Known.md").at is None, "a word that only holds the letters asks for nothing"


def test_queries_outlive_the_index(tmp_path: Path) -> None:
    first = open_vault(tmp_path, FILES).snapshot.notes
    assert [query.kind for query in first["Shelf.md"].queries] == ["dataview", "dataviewjs", "base"]
    assert first["Books.base"].queries[0].source == BOOKS
