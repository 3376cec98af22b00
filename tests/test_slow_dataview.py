"""The slow evaluator of Dataview itself, against the examples of Dataview's documentation."""

from datetime import UTC, datetime

import pytest

from tests.slow_dataview import members, tasks

NOW = datetime(2025, 9, 17, 9, 30, tzinfo=UTC)
FILES = {
    "Games/LoL.md": '---\ntype: game\ntags: [games/moba]\nstarted: 2021-05-16\nrating: 8\nowner: "[[Ann]]"\n---\nSee [[Dash]].\n',
    "Games/finished/Stardew.md": "---\ntype: game\ntags: [games/simulation]\nstarted: 2021-04-04\nrating: 9\n---\n**Mood**:: okay\n[length:: 2 hours] and [length:: 3 hours]\n",
    "Dash.md": "---\ntype: moc\nthoughts:\n  rating: 8\n---\n[[LoL]]\n- [ ] Buy shoes #shopping [due:: 2025-09-20]\n\t- [x] find them ✅2025-09-01\n- [x] done\n",
    "Ann.md": "---\nage: 30\naliases: [Annie]\n---\n",
    "2025-09-16 Tuesday.md": "Basic Field:: 1, 2, 3\n",
}


def where(clause: str, this: str = "Ann.md") -> list[str] | str:
    return members(FILES, f"LIST WHERE {clause}", this, NOW)


@pytest.mark.parametrize(
    "clause",
    [
        'lower("YES") = "yes"', 'lower(["YES", "NO"]) = ["yes", "no"]', 'replace(["yes", "ree"], "e", "a") = ["yas", "raa"]',
        "date(2021-07-14).year = 2021", 'number("18 years") = 18', "number(34) = 34", 'number("hmm") = null',
        'typeof([1, 2, 3]) = "array"', 'typeof(dur(8 minutes)) = "duration"', "round(16.555555, 2) = 16.56",
        "trunc(-93.33333) = -93", "floor(-0.837764) = -1", "min(1, 2, 3) = 1", "max([1, 2, 3]) = 3", "sum([1, 2, 3]) = 6",
        "sum([]) = null", "sum(nonnull([null, 1, 8])) = 9", "product([1,2,3]) = 6", "average([1, 2, 3]) = 2",
        'contains("Hello", "lo")', '!contains("Hello", "Lo")', 'icontains("Hello", "Lo")', "contains(list(1, 2, 3), 3)",
        'econtains(["this","is","example"], "is")', '!econtains(["this","is","example"], "ex")',
        'containsword("Hello there!", "hello")', 'containsword(["word", "Words"], "Word") = [true, false]',
        "sort(list(3, 2, 1)) = list(1, 2, 3)", 'sort(list("a", "b", "aa")) = list("a", "aa", "b")', "length([1, 2, 3]) = 3",
        'length(object("hello", 1, "goodbye", 2)) = 2', "all([1, 2, 3])", "!all(true, false)", "all([1, 2, 3], (x) => x > 0)",
        "any(list(true, false))", "none([false, false])", "none([1, 2, 3], (x) => x = 0)", 'join(list(1, 2, 3)) = "1, 2, 3"',
        "filter([1, 2, 3], (x) => x >= 2) = [2, 3]", "map([1, 2, 3], (x) => x + 2) = [3, 4, 5]",
        "flat(list(1, 2, 3, list(4, 5), 6)) = list(1, 2, 3, 4, 5, 6)", "slice([1, 2, 3, 4, 5], -2) = [4, 5]",
        'regextest("\\w+", "hello")', '!regexmatch("what", "what\'s up dog?")', 'regexreplace("yes", "[ys]", "a") = "aea"',
        'split("hello  world", "\\s+") = list("hello", "world")', 'startswith("yes", "ye")', 'padleft("hello", 7) = "  hello"',
        'substring("hello", 2, 4) = "ll"', 'truncate("Hello there!", 8, "/") = "Hello t/"', "default(missing, 3) = 3",
        "default(list(1, 2, null), 3) = list(1, 2, 3)", 'choice(true, "yes", "no") = "yes"', "dur(1 day) = dur(24h)",
        'dur("8 minutes, 4 seconds") = dur(484 s)', "list(1, 2, 3)[0] = 1", 'meta([[LoL#Part|x]]).subpath = "Part"',
        "date(today) - date(yesterday) = dur(1 d)", "date(sow) = date(2025-09-15)", "date(som) = date(2025-09-01)",
        'dateformat(date(2022-01-05), "yyyy-MM-dd") = "2022-01-05"', "{ a: 1, b: 2 }.b = 2", "[[Ann]].age = 30",
    ],
)  # fmt: skip
def test_what_the_documentation_says_is_true(clause: str) -> None:
    assert where(f'file.name = "Ann" AND {clause}') == ["Ann.md"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("LIST FROM #games", ["Games/LoL.md", "Games/finished/Stardew.md"]),
        ('LIST FROM "Games" AND -"Games/finished"', ["Games/LoL.md"]),
        ('LIST FROM "Games/LoL"', ["Games/LoL.md"]),
        ("LIST FROM [[Ann]]", ["Games/LoL.md"]),
        ("LIST FROM [[]]", ["Games/LoL.md"]),
        ("LIST FROM outgoing([[LoL]])", ["Ann.md", "Dash.md"]),
        ('TABLE started, rating AS "R" FROM #games SORT rating DESC', ["Games/finished/Stardew.md", "Games/LoL.md"]),
        ("LIST FROM #games SORT rating LIMIT 1", ["Games/LoL.md"]),
        ("LIST WHERE thoughts.rating = 8", ["Dash.md"]),
        ("LIST WHERE owner.age = 30", ["Games/LoL.md"]),
        ('LIST WHERE mood = "okay"', ["Games/finished/Stardew.md"]),
        ("LIST WHERE length(length) = 2", ["Games/finished/Stardew.md"]),
        ("LIST WHERE basic-field = [1, 2, 3]", ["2025-09-16 Tuesday.md"]),
        ("LIST WHERE file.day = date(yesterday)", ["2025-09-16 Tuesday.md"]),
        ('LIST WHERE contains(file.etags, "#games/moba")', ["Games/LoL.md"]),
        ("LIST rows.file.link WHERE type GROUP BY type", ["Dash.md", "Games/LoL.md", "Games/finished/Stardew.md"]),
        ("LIST FLATTEN file.outlinks AS one WHERE one = [[Ann]]", "undocumented: to flatten an empty list"),
        ("LIST WHERE rating > 8", "undocumented: the order of number and null"),
        ("LIST WHERE rating AND rating > 8", ["Games/finished/Stardew.md"]),
        ("LIST LIMIT 2", "undocumented: the order in which the limit cuts"),
    ],
)  # fmt: skip
def test_queries(query: str, found: list[str] | str) -> None:
    assert members(FILES, query, "Ann.md", NOW) == found


def test_tasks_are_rows_of_their_own() -> None:
    assert tasks(FILES, "TASK", "Ann.md", NOW) == [("Dash.md", 6), ("Dash.md", 7), ("Dash.md", 8)]
    assert tasks(FILES, "TASK WHERE !completed AND due <= date(today) + dur(7 d)", "Ann.md", NOW) == [("Dash.md", 6)]
    assert tasks(FILES, "TASK WHERE completion = date(2025-09-01)", "Ann.md", NOW) == [("Dash.md", 7)]
    assert tasks(FILES, 'TASK WHERE contains(tags, "#shopping")', "Ann.md", NOW) == [("Dash.md", 6)]
    assert members(FILES, "TASK WHERE fullyCompleted", "Ann.md", NOW) == ["Dash.md"]


def test_the_set_is_known_where_only_the_order_is_not() -> None:
    assert where("file.name SORT rating") == "undocumented: the order of values of several kinds"
    assert members(FILES, "LIST WHERE type SORT rating", "Ann.md", NOW, ordered=False) == [
        "Dash.md",
        "Games/LoL.md",
        "Games/finished/Stardew.md",
    ]
