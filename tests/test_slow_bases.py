"""The plain evaluator of Bases itself: what the documentation shows, it gives."""

import json
from datetime import UTC, datetime

import pytest

from tests.slow_bases import members

NOW = datetime(2025, 9, 14, 18, 30, 15, tzinfo=UTC)
FILES = {
    "Book.md": '---\ntags: [book]\nprice: 3\nage: 2\nstatus: done\nauthor: "[[Ann]]"\n---\n#tag1/a [[Textbook]]\n',
    "Deep/Notes/Other.md": "---\nprice: 10\ndue: 2025-09-01\nlist: [1, [2, 3]]\nobj: {a: 1, b: x}\n---\n",
    "Textbook.md": "text",
    "Ann.md": "---\nyes: true\n---\n",
    "pic.png": "",
}


def found(statement: str, this: str = "Book.md") -> list[str] | str:
    source = f"filters:\n  and:\n    - {json.dumps(statement)}\nviews:\n  - type: table\n"
    return members(FILES, source, 0, this, NOW)


@pytest.mark.parametrize(
    "statement",
    [
        "1.isTruthy()", '"example".isType("string")', "true.isType('boolean')", '123.toString() == "123"',
        'now().date().format("YYYY-MM-DD HH:mm:ss") == "2025-09-14 00:00:00"', 'now().time() == "18:30:15"',
        '"hello".contains("ell")', '"hello".containsAll("h", "e")', '"hello".containsAny("x", "y", "e")',
        '"hello".endsWith("lo")', '"".isEmpty()', '!"Hello world".isEmpty()', '"123".repeat(2) == "123123"',
        '"hello".reverse() == "olleh"', '"hello".slice(1, 4) == "ell"', '"a,b,c,d".split(",", 3) == ["a", "b", "c"]',
        '"a:b:c:d".replace(/:/, "-") == "a-b:c:d"', '"a:b:c:d".replace(/:/g, "-") == "a-b-c-d"',
        '"John Smith".replace(/(\\w+) (\\w+)/, "$2, $1") == "Smith, John"', '"hello".startsWith("he")',
        '"hello world".title() == "Hello World"', '"  hi  ".trim() == "hi"', "(-5).abs() == 5", "(2.1).ceil() == 3",
        "(2.9).floor() == 2", "!5.isEmpty()", "(2.5).round() == 3", "(2.3333).round(2) == 2.33",
        '(3.14159).toFixed(2) == "3.14"', "[1,2,3].contains(2)", "[1,2,3].containsAll(2,3)", "[1,2,3].containsAny(3,4)",
        "[1,2,3,4].filter(value > 2) == [3,4]", "[1,[2,3]].flat() == [1,2,3]", "![1,2,3].isEmpty()",
        '[1,2,3].join(",") == "1,2,3"', "[1,2,3,4].map(value + 1) == [2,3,4,5]", "[1,2,3].reduce(acc + value, 0) == 6",
        '[1, "a", 7].filter(value.isType("number")).reduce(if(acc == null || value > acc, value, acc), null) == 7',
        "[1,2,3].reverse() == [3,2,1]", "[1,2,3,4].slice(1,3) == [2,3]", "[3, 1, 2].sort() == [1, 2, 3]",
        "[1,2,2,3].unique() == [1,2,3]", "{}.isEmpty()", '/abc/.matches("abcde")', 'number("3.4") == 3.4',
        'list("value") == ["value"]', 'date("2024-12-01") + "1M" + "4h" + "3m" == date("2025-01-01 04:03:00")',
        '(now() + "1d") - now() == 86400000', "now() + (duration('1d') * 2) > now() + '47 hours'", "now().hour == 18",
    ],
)  # fmt: skip
def test_the_examples_of_the_documentation(statement: str) -> None:
    assert found(statement) == sorted(FILES)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ('file.hasTag("tag1", "tag2")', ["Book.md"]),
        ('file.hasTag("BOOK")', ["Book.md"]),
        ('file.inFolder("Deep")', ["Deep/Notes/Other.md"]),
        ('file.hasLink("Textbook")', ["Book.md"]),
        ("price > 2.1 && age < 18", ["Book.md"]),
        ("due < today()", ["Deep/Notes/Other.md"]),
        ('file.ext == "png"', ["pic.png"]),
        ("author == link('Ann')", ["Book.md"]),
        ("author == this", "undocumented: a link compared with a text"),
        ("list[1][0] == 2", ["Deep/Notes/Other.md"]),
        ('obj.b == "x"', ["Deep/Notes/Other.md"]),
        ("file == this.file", ["Book.md"]),
        ('status.contains("done")', ["Book.md"]),
        ('!status.contains("done")', "undocumented: a function of a value that has none of that name, used further"),
        ("status.isEmpty()", ["Ann.md", "Deep/Notes/Other.md", "Textbook.md", "pic.png"]),
        ("1 +", "does not parse"),
    ],
)
def test_files_and_properties(statement: str, expected: list[str] | str) -> None:
    result = found(statement, "Ann.md" if statement == "author == this" else "Book.md")
    assert result == (["Book.md"] if statement == "author == this" else expected)


def test_views_filter_sort_group_and_limit() -> None:
    source = """
filters:
  not: [file.ext == "png"]
formulas:
  ppu: price / age
views:
  - {type: table, filters: price, sort: [{property: price, direction: DESC}], limit: 1}
  - {type: cards, filters: formula.ppu == 1.5}
  - {type: list, limit: 2}
"""
    assert members(FILES, source, 0, "Book.md", NOW) == ["Deep/Notes/Other.md"]
    assert members(FILES, source, 1, "Book.md", NOW) == "undocumented: arithmetic of what are no numbers"
    assert members(FILES, source, 2, "Book.md", NOW) == "undocumented: the order in which the limit cuts"
    assert members(FILES, source, 3, "Book.md", NOW) == "there is no such view"
