"""The functions, operators and fields of Bases: the examples of the documentation, and what stands beside them."""

import json
from collections.abc import Mapping

import pytest

from context import graph as graphs
from context.bases import evaluate
from context.calendar import calendar
from context.kinds import Kinds
from context.names import Names
from context.note import parse
from context.obsidian import ObsidianSettings
from context.snapshot import Snapshot

NOTES = {
    "Notes/Here.md": (
        "---\nprice: 3\ntext: hello world\nlist: [1, 2, 2, 3]\ndue: 2025-09-20\nat: 2025-09-14T18:30:15.250\nzoned: 2025-09-14T18:30:00Z\n"
        'author: "[[Ann|she]]"\nboth: ["[[Ann]]", "[[Nobody]]"]\none: [a]\nnone:\nobject:\n  a: 1\n  b: {c: 2}\ndone: true\nnum: "7"\n"odd name": 5\ntags: [a/b]\n---\n'
        "[[Ann]] [[Nobody]] ![[Pic.png]] #x/y/z [[#Part]]\n"
    ),
    "Ann.md": "---\nage: 30\n---\n",
    "Pic.png": "",
}
CALENDAR = calendar("2025-09-14T09:30:00", "Europe/Berlin")


def snapshot(files: Mapping[str, str]) -> Snapshot:
    notes = {
        path: parse(path, text.encode(), 1_757_800_000_000_000_000)
        for path, text in files.items()
        if path.endswith(".md")
    }
    others = {path: (1_757_800_000_000_000_000, len(text)) for path, text in files.items() if path not in notes}
    names = Names(files)
    return Snapshot(notes, frozenset(files), names, graphs.build(notes, names), ObsidianSettings(), {}, Kinds(), others)


SNAPSHOT = snapshot(NOTES)


def holds(statement: str) -> bool | str:
    """Whether a statement holds for the note Here, or why that cannot be told."""
    source = {"filters": {"and": ['file.basename == "Here"', statement]}, "formulas": {"twice": "price * 2"}}
    view = evaluate(json.dumps(source, ensure_ascii=False), SNAPSHOT, "Ann.md", CALENDAR).views[0]
    return view.unsupported or view.members == ("Notes/Here.md",)


@pytest.mark.parametrize(
    "statement",
    [
        # Functions, in the order of the documentation
        'escapeHTML("<b>") == "&lt;b&gt;"', 'date("2025-09-20") == due', 'now() + (duration("1d") * 2) > today()',
        'file("Ann") == file("Ann.md")', 'file(link("[[Ann]]")) == this', 'if(price, "y", "n") == "y"', "if(none, 1) == null",
        'image("x") == "x"', 'link("Ann") == this.file', 'link("Ann", "display") == link("[[Ann]]")', 'list("value") == ["value"]',
        "list(list) == list", "max(1, 2, 3) == 3", "min(1, 2, 3) == 1", 'number("3.4") == 3.4', "number(true) == 1",
        "number(now()) > 1000000000000", "today() < now()", "1.isTruthy()", '"example".isType("string")', 'true.isType("boolean")',
        '123.toString() == "123"', 'now().date().format("YYYY-MM-DD HH:mm:ss") == "2025-09-14 00:00:00"',
        "due.year == 2025 && due.month == 9 && due.day == 20", "at.hour == 18 && at.minute == 30 && at.second == 15",
        "at.millisecond == 250", 'at.time() == "18:30:15"', "!due.isEmpty()", '"hello".contains("ell")',
        '"hello".containsAll("h", "e")', '"hello".containsAny("x", "y", "e")', '"hello".endsWith("lo")', '"".isEmpty()',
        "missing.isEmpty()", '"Hello".lower() == "hello"', '"a:b:c:d".replace(/:/, "-") == "a-b:c:d"',
        '"a:b:c:d".replace(/:/g, "-") == "a-b-c-d"', '"John Smith".replace(/(\\w+) (\\w+)/, "$2, $1") == "Smith, John"',
        '"123".repeat(2) == "123123"', '"hello".reverse() == "olleh"', '"hello".slice(1, 4) == "ell"', '"hello".slice(1) == "ello"',
        '"a,b,c,d".split(",", 3) == ["a", "b", "c"]', '"a,b,c,d".split(/,/, 3) == ["a", "b", "c"]', '"hello".startsWith("he")',
        '"hello world".title() == "Hello World"', '"  hi  ".trim() == "hi"', '"hello".length == 5', "(-5).abs() == 5",
        "(2.1).ceil() == 3", "(2.9).floor() == 2", "!5.isEmpty()", "(2.5).round() == 3", "(2.3333).round(2) == 2.33",
        '(3.14159).toFixed(2) == "3.14"', "[1,2,3].contains(2)", "[1,2,3].containsAll(2,3)", "[1,2,3].containsAny(3,4)",
        "[1,2,3,4].filter(value > 2) == [3,4]", "[1,2,3,4].filter(index > 2) == [4]", "[1,[2,3]].flat() == [1,2,3]",
        "![1,2,3].isEmpty()", '[1,2,3].join(",") == "1,2,3"', "[1,2,3,4].map(value + 1) == [2,3,4,5]",
        "[1,2,3].reduce(acc + value, 0) == 6", "[3,9,4].reduce(if(acc == null || value > acc, value, acc), null) == 9",
        "[1,2,3].reverse() == [3,2,1]", "[1,2,3,4].slice(1,3) == [2,3]", "[3, 1, 2].sort() == [1, 2, 3]",
        '["c", "a", "b"].sort() == ["a", "b", "c"]', "[1,2,2,3].unique() == [1,2,3]", "list.length == 4",
        'link("[[Ann]]").asFile() == this', "file.asLink() == file", 'file.hasLink("Ann")', "file.hasLink(this.file)",
        'file.hasProperty("price")', '!file.hasProperty("Price")', 'file.hasTag("x", "q")', 'file.hasTag("a")', 'file.hasTag("#X/Y")',
        '!file.hasTag("y")', 'file.inFolder("Notes")', 'file.inFolder("Notes/")', '!file.inFolder("Note")', "{}.isEmpty()",
        'object.keys() == ["a", "b"]', "object.values().length == 2", '/abc/.matches("abcde")',
        # Operators and dates
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9", "7 % 3 == 1", "-price == -3", '"a" + 1 + true == "a1true"',
        'date("2024-12-01") + "1M" + "4h" + "3m" == date("2025-01-01 04:03:00")', '(now() + "1d") - now() == 86400000',
        "due - today() == 518400000", "(due - today()).days == 6", 'due > now() - "1 week"', 'due == "2025-09-20"',
        'date("2024-01-31") + "1 month" == date("2024-02-29")', 'date("2024-02-29") - "1y" == date("2023-02-28")',
        'duration("5h") * 2 == duration("10h")', 'duration("P1DT2H") == duration("26 hours")', "zoned.hour == 20",
        # Properties, links, files
        "price == note.price", 'note["odd name"] == 5', "formula.twice == 6", 'formula["twice"] == 6', "object.b.c == 2",
        'object["a"] == 1', "list[0] == 1", "list[9] == null", "author == this", "this.age == 30", 'this.file.name == "Ann"',
        'this.path == "Ann.md"', "both.contains(this)", 'both.contains(link("Nobody"))', '!both.contains(link("Nobody else"))',
        'author.contains("Ann")', "list(author)[0].asFile().properties.age == 30", 'file.name == "Here"', 'file.ext == "md"',
        'file.folder == "Notes"', 'file.path == "Notes/Here.md"', "file.file == file", 'file.tags.contains("x/y/z")',
        'file.tags.contains("#X/Y/Z")', "file.links.contains(this)", "file.embeds.length == 1", 'file.embeds.contains(file("Pic.png"))',
        "file.properties.price == 3", "file.hasLink(file)", "file.size > 100", "file.mtime == file.ctime", "file.mtime.year == 2025",
        "this.file.backlinks.contains(file)", 'one == "a"', 'num == 7 && num > 6.5 && "8" > 7', "done == 1", '"é😀".length == 3',
        'due.startsWith("2025-09")',
    ],
)  # fmt: skip
def test_what_holds(statement: str) -> None:
    assert holds(statement) is True


@pytest.mark.parametrize(
    "statement",
    [
        "missing > 1", "missing < 1", "missing <= missing", "!(missing == null)", "missing", "none", '""', "0", "[]", "{}",
        '"abc" > 1', '"abc" < 1', "list < 3", 'number("x")', 'date("someday")', "price.lower()", "price.contains(3)",
        "text.contains(3)", "max(missing, 1)", "missing.lower()", "missing.length", "missing.a.b", "price + missing", '2 * duration("1d")',
        'text == "hello"', "list == [1, 2, 3]", 'list == "1"', 'due == "x"', 'link("Nobody") == link("Else")', 'author == "Ben"',
        "1 / 0 < 5", "0 / 0 == 0 / 0", "text.repeat(-1)", "price[0]", 'file.inFolder("Here")', "/^b/.matches(text)", "due.nothing",
        'date("2025-02-30")', 'date("9999-12-31") + "1y"', "text - 1 > 0 && false", "file.hasTag(3)", "file.hasLink(3)",
    ],
)  # fmt: skip
def test_what_does_not_hold(statement: str) -> None:
    assert holds(statement) is False


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("random() > 0.5", "random()"), ("due.relative() == 1", "relative()"), ("upper(text)", "the function upper()"),
        ("text.upper()", "the function upper()"), ("file.kind", "file.kind"), ("formula.other", "formula.other"),
        ("formula", "all formulas"), ('due.format("Do L")', "the date format"), ('"McDonald".title() == 1', "title()"),
        ("text - 1", "arithmetic with a text"), ("[1] + [2]", "arithmetic"), ("[1, text].sort()", "sort()"),
        ('due + duration("1M") * 0.5 > due', "a part of a month"), ('duration("1M") > 5', "the length of a month"),
        ('"x".repeat(100001)', "too much"), ("1 +", "which cannot be read"), ("status = 1", "which cannot be read"),
        ("a ? b : c", "which cannot be read"), ("(" * 60 + "1" + ")" * 60, "nested too deeply"), ("!" * 400 + "1", "nested too deeply"),
        ("1" + " + 1" * 400, "too many parts"), ("x" * 6000, "five thousand"), ("", "an empty filter"), ("if(1)", "if() with"),
        ("list.map()", "map() with"), ("/(a+)+$/.matches(text)", "may take too long"), ('author.startsWith("[[")', "of a link"),
        ("note.toString() == 1", "the text of a value of type object"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_said(statement: str, why: str) -> None:
    found = holds(statement)
    assert isinstance(found, str)
    assert why in found


def test_one_side_that_decides_makes_the_other_one_not_matter() -> None:
    assert holds("random() > 2 && false") is False
    assert holds("random() > 2 || true") is True
    assert holds("!(random() > 2 && false)") is True
    assert "random" in str(holds("random() > 2 || false"))
