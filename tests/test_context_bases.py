"""Bases: filters, views, sort, limit, groups; what is unsupported is said, and nothing a note says can hang or raise."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.base_files import Files
from context.bases import Base, View, evaluate
from context.calendar import calendar
from context.snapshot import Snapshot
from context.unsupported import UnsupportedError
from tests.vaults import open_vault, write

CALENDAR = calendar("2025-09-14T09:30:00", "Europe/Berlin")
SAMPLE = Path(__file__).parent.parent / "examples" / "vault"
FILES: dict[str, str | bytes] = {
    "Books/Momo.md": "---\ntype: book\nrating: 5\nread: 2025-01-02\nby: '[[Ende]]'\n---\n",
    "Books/Alice.md": "---\ntype: book\nrating: 3\nby: '[[Carroll]]'\n---\n",
    "Books/zebra.md": "---\ntype: book\nrating: 3\nread: 2024-01-02\n---\n#x\n",
    "Ende.md": "---\ntype: person\n---\n[[Momo]]\n",
    "cover.png": b"\x89PNG",
    "Books.base": "views: []\n",
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return open_vault(tmp_path_factory.mktemp("vault"), FILES).snapshot


def one(snapshot: Snapshot, source: Mapping[str, Any] | str, this: str = "Books.base") -> View:
    """The only view of a base."""
    (view,) = evaluate(source if isinstance(source, str) else json.dumps(source), snapshot, this, CALENDAR).views
    return view


def names(view: View) -> list[str]:
    assert not view.unsupported
    return [path.rsplit("/", 1)[-1].removesuffix(".md") for path in view.members]


def test_without_filters_every_file_is_shown_by_name(snapshot: Snapshot) -> None:
    everything = ["Alice", "Books.base", "cover.png", "Ende", "Momo", "zebra"]
    assert names(one(snapshot, "")) == everything
    assert names(one(snapshot, {"filters": {"and": []}})) == everything
    assert names(one(snapshot, {"filters": None, "views": [{"type": "map"}]})) == everything


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ('type == "book"', ["Alice", "Momo", "zebra"]),
        ({"and": ['type == "book"', "rating > 3"]}, ["Momo"]),
        ({"or": ['type == "person"', "rating > 3"]}, ["Ende", "Momo"]),
        ({"not": ['type == "person"', "rating > 3"]}, ["Alice", "Books.base", "cover.png", "zebra"]),
        ({"and": [{"not": ['file.hasTag("x")']}, {"or": ["rating == 3", "rating == 4"]}]}, ["Alice"]),
        ({"and": 'type == "person"'}, ["Ende"]),
        ({"not": ["rating.lower()"]}, ["Alice", "Books.base", "cover.png", "Ende", "Momo", "zebra"]),
        ("file.hasLink(this.file)", []),
        (True, ["Alice", "Books.base", "cover.png", "Ende", "Momo", "zebra"]),
    ],
)
def test_filters(snapshot: Snapshot, filters: Any, found: list[str]) -> None:
    assert names(one(snapshot, {"filters": filters})) == found


def test_views_have_filters_of_their_own_and_keep_their_names(snapshot: Snapshot) -> None:
    base = evaluate(
        """
filters: 'type == "book"'
views:
  - type: table
    name: Good
    filters: rating > 4
    order: [formula.broken, "nonsense ("]
    summaries: {rating: Median}
  - type: cards
  - type: kanban
    name: 3
formulas:
  broken: "random( +"
properties:
  note.rating: {displayName: Stars}
""",
        snapshot,
        "Books.base",
        CALENDAR,
    )
    assert [(view.name, view.kind, len(view.members), view.unsupported) for view in base.views] == [
        ("Good", "table", 1, ""),
        ("Cards", "cards", 3, ""),
        ("3", "kanban", 3, ""),
    ]
    assert base.view("") == base.view("good") == base.views[0]
    assert base.view("Bad") is None


def test_sort_orders_by_each_property_in_turn_and_puts_nothing_last(snapshot: Snapshot) -> None:
    def by(*sort: Any, **more: Any) -> list[str]:
        return names(one(snapshot, {"filters": 'type == "book"', "views": [{"type": "table", "sort": sort, **more}]}))

    assert by({"property": "rating", "direction": "DESC"}) == ["Momo", "Alice", "zebra"]
    assert by({"property": "rating"}, {"property": "file.name", "direction": "DESC"}) == ["zebra", "Alice", "Momo"]
    assert by({"property": "note.read", "direction": "ASC"}) == ["zebra", "Momo", "Alice"]
    assert by({"property": "read", "direction": "DESC"}) == ["Momo", "zebra", "Alice"]
    assert by({"column": "file.name", "direction": "desc"}) == ["zebra", "Momo", "Alice"]
    assert by("by") == ["Alice", "Momo", "zebra"]
    assert by({"property": "rating", "direction": "DESC"}, limit=2) == ["Momo", "Alice"]
    assert by(limit=1) == ["Alice"]
    assert by(limit=0) == by(limit="2") == by(limit=True) == ["Alice", "Momo", "zebra"]


def test_sort_by_a_formula(snapshot: Snapshot) -> None:
    base = {
        "filters": 'type == "book"',
        "formulas": {"back": "formula.up * -1", "up": "rating + file.name.length"},
        "views": [{"type": "table", "sort": [{"property": "formula.back", "direction": "ASC"}]}],
    }
    assert names(one(snapshot, base)) == ["Momo", "Alice", "zebra"]


def test_groups_follow_their_values_and_members_stand_in_them(snapshot: Snapshot) -> None:
    view = one(
        snapshot,
        {
            "filters": 'file.ext == "md"',
            "views": [
                {
                    "type": "table",
                    "groupBy": {"property": "rating", "direction": "DESC"},
                    "sort": [{"property": "file.name", "direction": "DESC"}],
                }
            ],
        },
    )
    assert view.groups == (
        ("5", ("Books/Momo.md",)),
        ("3", ("Books/zebra.md", "Books/Alice.md")),
        ("", ("Ende.md",)),
    )
    assert names(view) == ["Momo", "zebra", "Alice", "Ende"]


TYPED: dict[str, str | bytes] = {
    "A.md": "---\nday: 2025-09-14T18:00\nat: 2025-09-14\nwords: 2025-09-14\nsize: '10'\ndone: 'false'\n---\n",
    "B.md": "---\nDay: 2025-09-15\nat: later\nwords: '[[A]]'\nsize: '9'\ndone: 'true'\n---\n",
    "C.md": "---\nday: soon\nat: [2025-09-14]\nwords: 7\nsize: many\ndone: maybe\n---\n",
    ".obsidian/types.json": '{"types": {"day": "date", "AT": "datetime", "words": "text", "size": "number", '
    '"done": "checkbox"}}',
}


@pytest.mark.parametrize(
    ("statement", "typed", "untyped"),
    [
        # A date has no time, and a moment has one.
        ('day == date("2025-09-14")', "A", ""),
        ("day.hour == 18", "", "A"),
        ("day <= today()", "A", ""),
        ('at.toString() == "2025-09-14T00:00:00"', "A", ""),
        ('note["Day"] == date("2025-09-15")', "B", "B"),
        # Texts are no dates, but links; what is known to be a date has no functions of texts.
        ('words.isType("date")', "", "A"),
        ('words.isType("link")', "B", "B"),
        ('words > date("2025-01-01")', "A", "A"),
        ('day.startsWith("2025")', "", "A"),
        ('file.properties.words.isType("string")', "A", ""),
        # Numbers and checkboxes that stand in quotation marks.
        ("size.toFixed(1).length == 4", "A", ""),
        ('done.isType("boolean")', "AB", ""),
        ("!done", "A", ""),
        # What is not of its type stays as it is written.
        ('day == "soon"', "C", "C"),
        ('size.isType("string")', "C", "ABC"),
        ("words == 7", "C", "C"),
        ('list(at)[0] == date("2025-09-14")', "AC", "AC"),
    ],
)
def test_types_that_the_person_assigned(tmp_path: Path, statement: str, typed: str, untyped: str) -> None:
    base = {"filters": {"and": ['file.ext == "md"', statement]}}
    vault = open_vault(tmp_path, TYPED)
    assert "".join(names(one(vault.snapshot, base, "A.md"))) == typed
    for broken in ('{"types": ', "[]", '{"types": {"day": 3, "words": null, "size": "a plugin\'s own"}}'):
        write(tmp_path, {".obsidian/types.json": broken})
        vault.refresh()
        assert "".join(names(one(vault.snapshot, base, "A.md"))) == untyped
    (tmp_path / ".obsidian/types.json").unlink()
    vault.refresh()
    assert "".join(names(one(vault.snapshot, base, "A.md"))) == untyped


def test_numbers_in_quotation_marks_are_sorted_by_size_where_they_are_numbers(tmp_path: Path) -> None:
    base = {"filters": 'file.ext == "md"', "views": [{"type": "table", "sort": [{"property": "size"}]}]}
    vault = open_vault(tmp_path, TYPED)
    assert names(one(vault.snapshot, base, "A.md")) == ["B", "A", "C"]
    (tmp_path / ".obsidian/types.json").unlink()
    vault.refresh()
    assert names(one(vault.snapshot, base, "A.md")) == ["A", "B", "C"]


def test_attachments_have_sizes_and_times(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "A.md": "![[big.png]] of 26 bytes. ", "Pics/big.png": bytes(9000), "Pics/small.PNG": b"1", "Deed.pdf": bytes(70),
    }  # fmt: skip
    write(tmp_path, files)
    for days, path in enumerate(sorted(files)):
        moment = CALENDAR.now.timestamp() - days * 86_400
        os.utime(tmp_path / path, (moment, moment))
    vault = open_vault(tmp_path)

    def shown(filters: Any, sort: str = "file.name") -> list[str]:
        view = {"type": "table", "sort": [{"property": sort, "direction": "ASC"}]}
        return names(one(vault.snapshot, {"filters": filters, "views": [view]}, "A.md"))

    assert shown("file.size > 26") == ["big.png", "Deed.pdf"]
    assert shown({"not": ["file.size > 26"]}) == ["A", "small.PNG"]
    assert shown("file.size", "file.size") == ["small.PNG", "A", "Deed.pdf", "big.png"]
    assert shown("file.mtime", "file.mtime") == ["small.PNG", "big.png", "Deed.pdf", "A"]
    assert shown('file.mtime > now() - "36 hours" && file.ctime == file.mtime') == ["A", "Deed.pdf"]
    assert shown('file.ext == "PNG"') == ["small.PNG"]
    assert shown('file.inFolder("Pics") && file.mtime < date("2025-09-12")') == ["small.PNG"]
    assert shown('file("big.png").size == 9000 && file.name == "A"') == ["A"]
    (tmp_path / "Deed.pdf").write_bytes(b"")
    assert vault.refresh(["Deed.pdf"]) == 0
    assert shown("file.size > 26") == ["big.png"]
    (tmp_path / "Deed.pdf").unlink()
    (tmp_path / "Pics/small.PNG").rename(tmp_path / "larger.png")
    vault.refresh()
    assert shown('file.ext != "md"') == ["big.png", "larger.png"]


def test_a_note_that_is_not_to_be_seen_is_no_file_either(snapshot: Snapshot) -> None:
    seen = snapshot.apart({path: note for path, note in snapshot.notes.items() if path != "Ende.md"})
    assert names(one(seen, "")) == ["Alice", "Books.base", "cover.png", "Momo", "zebra"]
    assert names(one(seen, {"filters": 'file.size < 10 && file.mtime > date("2000-01-01")'})) == ["cover.png"]
    limited = {"views": [{"type": "table", "limit": 4}]}
    assert names(one(seen, limited)) == ["Alice", "Books.base", "cover.png", "Momo"]
    assert "not looked at" in one(seen, {"filters": 'file("Ende").size > 3'}).unsupported


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("filters: [a", "not YAML"),
        ("- a\n- b", "not a list of properties"),
        ("views: 3", "views is no list"),
        ("views: [3]", "views is no mapping"),
        ("formulas: [a]", "formulas is no mapping"),
        ("a: 1\n---\nb: 2", "more than one YAML document"),
        ("filters: &a b\nx: *a", "anchors"),
        ("views: [" + "{}," * 101 + "]", "more than 100 views"),
        ("x: " + "y" * 70_000, "longer than"),
    ],
)
def test_what_cannot_be_read_is_said_once(snapshot: Snapshot, source: str, why: str) -> None:
    base = evaluate(source, snapshot, "Books.base", CALENDAR)
    assert base.views == ()
    assert why in base.unsupported


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"filters": {"xor": ["a"]}}, "it takes one of and, or, not"),
        ({"filters": {"and": ["a"], "or": ["b"]}}, "it takes one of and, or, not"),
        ({"filters": [1]}, "neither a text nor an object"),
        ({"filters": {"and": [3]}}, "neither a text nor an object"),
        ({"filters": {"and": ["a"] * 501}}, "too much"),
        ("filters:\n  and:\n    - !file.inFolder('x')\n", "needs quotes"),
        ({"filters": "formula.a", "formulas": {"a": "formula.b", "b": "formula.a"}}, "refers to itself"),
        ({"views": [{"type": "table", "sort": [{"direction": "ASC"}]}]}, "a sort without a property"),
        ({"views": [{"type": "table", "sort": [{"property": "file.nothing"}]}]}, "file.nothing"),
        ({"views": [{"type": "table", "sort": [{"property": "formula.f"}]}], "formulas": {"f": "random()"}}, "random"),
        ({"views": [{"type": "table", "groupBy": {"property": "formula.none"}}]}, "formula.none"),
        ({"views": [{"type": "table", "sort": 3}]}, "sort is no list"),
    ],
)
def test_a_view_that_cannot_be_evaluated_says_why(snapshot: Snapshot, source: Any, why: str) -> None:
    view = one(snapshot, source)
    assert view.members == ()
    assert why in view.unsupported


@pytest.mark.parametrize(
    "source",
    [
        {"filters": "price + 1 > 2"},
        {"views": [{"type": "table", "filters": "price + 1 > 2"}]},
        {"views": [{"type": "table", "sort": [{"property": "formula.f"}]}], "formulas": {"f": "price * 2"}},
        {"views": [{"type": "table", "groupBy": {"property": "formula.f"}}], "formulas": {"f": "price * 2"}},
    ],
)
def test_a_value_that_cannot_be_reckoned_with_is_named_by_its_file(tmp_path: Path, source: Any) -> None:
    prices = {"A.md": "---\nprice: 3\n---\n", "in/B.md": "---\nprice: [1, 2]\n---\n", "C.md": "none"}
    view = one(open_vault(tmp_path, prices).snapshot, source)
    assert (view.members, view.unsupported) == ((), "arithmetic with a value of type list (first in in/B.md)")


def test_a_byte_order_mark_and_a_document_start_are_no_part_of_the_base(snapshot: Snapshot) -> None:
    assert names(one(snapshot, '\ufeff---\nfilters: type == "person"\n')) == ["Ende"]


def test_a_query_that_takes_long_is_cut(snapshot: Snapshot) -> None:
    ten = json.dumps(list(range(30)))
    inner = "value > 99"
    for _ in range(6):
        inner = f"{ten}.filter({inner}).length > 99"
    began = time.thread_time()
    view = one(snapshot, {"filters": inner})
    assert view.unsupported.startswith("too much")
    assert time.thread_time() - began < 5


def test_the_clock_is_looked_at_between_files(snapshot: Snapshot) -> None:
    files = Files(snapshot, "Ende.md", CALENDAR, seconds=-1)
    for _ in range(63):
        files.step()
    with pytest.raises(UnsupportedError, match="too much"):
        files.step()


def test_long_texts_of_notes_are_not_matched_with_costly_patterns(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"Long.md": f"---\ntext: {'a' * 5000}b\n---\n"}).snapshot
    began = time.thread_time()
    view = one(vault, {"filters": "/a*a*a*c/.matches(text)"})
    assert "long text" in view.unsupported
    assert time.thread_time() - began < 1


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                "file note this formula value price list due \"a\" 'b' 1 2.5 . ( ) [ ] { } , : ! - + * / % == != < > <= >= && || if "
                "map filter reduce contains date today /a/ .length".split()
            ),
            max_size=14,
        ).map(" ".join),
    )
)
def test_no_statement_raises(statement: str) -> None:
    vault = _small()
    base = evaluate(json.dumps({"filters": {"and": [statement]}}), vault, "A.md", CALENDAR)
    assert isinstance(base, Base)
    assert evaluate(statement, vault, "A.md", CALENDAR) is not None


def _small() -> Snapshot:
    from tests.test_context_bases_slow import AWKWARD, snapshot

    if not _KEPT:
        _KEPT.append(snapshot(AWKWARD))
    return _KEPT[0]


_KEPT: list[Snapshot] = []


def test_the_bases_of_the_sample_vault(tmp_path: Path) -> None:
    vault = open_vault(SAMPLE).snapshot
    hardware = (SAMPLE / "03-Infrastructure" / "Hardware.base").read_text(encoding="utf-8")
    base = evaluate(hardware, vault, "@Infrastructure.md", CALENDAR)
    assert {view.name: names(view) for view in base.views} == {
        "All machines": ["Attic", "Ballast", "Crumb", "Furnace", "Gatepost", "Kettle", "Pantry"],
        "In service": ["Pantry", "Ballast", "Crumb", "Furnace", "Gatepost", "Kettle"],
        "Needs attention": ["Pantry"],
    }
