"""Dataview's queries: the examples of its documentation, sources, steps, tasks, errors, and queries that mean harm."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.calendar import Calendar
from context.dataview import Result, evaluate, evaluate_inline
from context.note import Note, parse
from context.snapshot import Snapshot
from tests.vaults import open_vault

CALENDAR = Calendar(datetime(2025, 9, 17, 9, 30, 15, tzinfo=ZoneInfo("Europe/Berlin")))
FILES = {
    "Hub.md": "---\nvalues: [1, 2, 3]\nnested: {a: 1, deep: {b: two}}\n---\n[[Alpha]] [[Games/Beta|the beta]] ![[pic.png]] [[Nobody]]\n[[#Part]]\n# Part\n",
    "Alpha.md": '---\ntags: [game, mood/good]\nrating: 8\ndue: 2025-09-20\nstatus: open\nup: "[[Hub]]"\naliases: [First]\n---\n#extra\n**Length**:: 2 hours\n# Next Actions\n- [ ] call [[Gamma]] [due:: 2025-09-18] #phone\n  - [x] look up the number ✅ 2025-09-16\n  - [ ] write it down\n- [x] done\n# Later\n- [/] half 📅 2025-10-01 ^blk\n',
    "Games/Beta.md": "---\ntags: game/board\nrating: 5\ndue: 2025-09-10\nstatus: done\nSpaced Key: yes\n---\n[[Alpha#Next Actions]]\nThoughts:: fine\nthoughts:: really\n- [ ] beta\n",
    "Games/Gamma.md": "---\nrating: many\nspan: 28 days\nday: 2025-01-02\n---\n(Mood:: ok) | [when:: 2025-09-17T08:00]\n",
    "Games/Deep/2025-09-12 Log.md": "no properties\n",
    "Clash.md": "",
    "Clash/In.md": "#game\n",
    "pic.png": "",
    "Board.canvas": '{"nodes": [{"type": "file", "file": "Alpha.md"}]}',
}  # fmt: skip


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return open_vault(tmp_path_factory.mktemp("dataview") / "vault", FILES).snapshot


Ask = Callable[..., Result]


@pytest.fixture
def ask(snapshot: Snapshot) -> Ask:
    return lambda query, this="Hub.md": evaluate(query, snapshot, this, CALENDAR)


def members(result: Result) -> list[str]:
    assert result.unsupported == ""
    return list(result.members)


# ------------------------------------------------------------------------------------------------ expressions

# Each is true by Dataview's documentation, page "Functions", "Expressions" or "Literals".
DOCUMENTED = """
lower("YES") = "yes"
lower(["YES", "NO"]) = ["yes", "no"]
replace("yes", "e", "a") = "yas"
replace(["yes", "ree"], "e", "a") = ["yas", "raa"]
object() = {}
object("a", 4, "c", "yes") = {a: 4, c: "yes"}
list(1, 2, 3) = [1, 2, 3]
array("a", "b") = ["a", "b"]
date("2020-04-18") = date(2020-04-18)
date([[2021-04-16]]) = date(2021-04-16)
date("12/31/2022", "MM/dd/yyyy") = date(2022-12-31)
date("210313", "yyMMdd") = date(2021-03-13)
date("946778645000", "x") = date(2000-01-02T03:04:05)
dur("8 minutes, 4 seconds") = dur(8 minutes 4 seconds)
dur(dur(8 minutes)) = dur(8 minutes)
number("18 years") = 18
number(34) = 34
number("hmm") = null
string(18) = "18"
string(dur(8 hours)) = "8 hours"
typeof(8) = "number"
typeof("text") = "string"
typeof([1, 2, 3]) = "array"
typeof({ a: 1, b: 2 }) = "object"
typeof(date(2020-01-01)) = "date"
typeof(dur(8 minutes)) = "duration"
round(16.555555) = 17
round(16.555555, 2) = 16.56
trunc(12.937) = 12
trunc(-93.33333) = -93
trunc(-0.837764) = 0
floor(12.937) = 12
floor(-93.33333) = -94
floor(-0.837764) = -1
ceil(12.937) = 13
ceil(-93.33333) = -93
min(1, 2, 3) = 1
min([1, 2, 3]) = 1
min("a", "ab", "abc") = "a"
max(1, 2, 3) = 3
max("a", "ab", "abc") = "abc"
sum([1, 2, 3]) = 6
sum([]) = null
sum(nonnull([null, 1, 8])) = 9
product([1, 2, 3]) = 6
product(nonnull([null, 1, 2, 4])) = 8
reduce([100, 20, 3], "-") = 77
reduce([200, 10, 2], "/") = 10
reduce(["⭐", 3], "*") = "⭐⭐⭐"
average([1, 2, 3]) = 2
average([]) = null
average(nonnull([null, 1, 2])) = 1.5
minby([1, 2, 3], (k) => k) = 1
minby([1, 2, 3], (k) => 0 - k) = 3
maxby([1, 2, 3], (k) => 0 - k) = 1
contains("Hello", "Lo") = false
contains("Hello", "lo") = true
icontains("Hello", "Lo") = true
econtains("Hello", "Lo") = false
econtains(["this", "is", "example"], "ex") = false
econtains(["this", "is", "example"], "is") = true
contains(list(1, 2, 3), 3)
contains(list(), 1) = false
contains(["these", "words"], "word") = true
econtains({key: "value", pairs: "here"}, "here") = false
econtains({key: "value", pairs: "here"}, "key")
econtains({key: "value", recur: {recurkey: "val"}}, "recurkey") = false
containsword("word", "Word")
containsword("words", "Word") = false
containsword("Hello there!", "HeLLo")
containsword("Hello there chaps!", "chap") = false
containsword(["I have no words.", "words"], "Word") = [false, false]
containsword(["word", "Words"], "Word") = [true, false]
extract({test: 1}) = {}
extract({a: 1, b: 2}, "a") = {a: 1}
sort(list(3, 2, 1)) = list(1, 2, 3)
sort(list("a", "b", "aa")) = list("a", "aa", "b")
reverse(list("a", "b", "c")) = list("c", "b", "a")
length([]) = 0
length(object("hello", 1, "goodbye", 2)) = 2
nonnull([null, false]) = [false]
all([1, 2, 3])
all([true, false]) = false
all(true, false) = false
all([1, 2, 3], (x) => x > 1) = false
all(["apple", "pie", 3], (x) => typeof(x) = "string") = false
any(list(true, false))
any(false, false) = false
any(list(1, 2, 3), (x) => x > 2)
none([])
none([1, 2, 3], (x) => x = 0)
none(["Apple", "Pi", "Banana"], (x) => startswith(x, "A")) = false
join(list(1, 2, 3)) = "1, 2, 3"
join(list(1, 2, 3), " ") = "1 2 3"
join(6) = "6"
join(list()) = ""
filter(["yes", "no", "yas"], (x) => startswith(x, "y")) = ["yes", "yas"]
map([1, 2, 3], (x) => x + 2) = [3, 4, 5]
map(["yes", "no"], (x) => x + "?") = ["yes?", "no?"]
flat(list(1, 2, 3, list(4, 5), 6)) = list(1, 2, 3, 4, 5, 6)
flat(list(1, list(21, 22), list(list(311, 312, 313))), 4) = list(1, 21, 22, 311, 312, 313)
slice([1, 2, 3, 4, 5], 3) = [4, 5]
slice(["ant", "bison", "camel"], 0, 2) = ["ant", "bison"]
slice([1, 2, 3, 4, 5], -2) = [4, 5]
firstvalue([null, 1, 2]) = 1
unique([2, 1, 2]) = [1, 2]
regextest("\\w+", "hello")
regextest("yes|no", "maybe") = false
regextest("what", "what's up dog?")
regexmatch("\\w+", "hello")
regexmatch("what", "what's up dog?") = false
regexreplace("yes", "[ys]", "a") = "aea"
regexreplace("Suite 1000", "\\d+", "-") = "Suite -"
replace("The big dog chased the big cat.", "big", "small") = "The small dog chased the small cat."
upper("Test") = "TEST"
split("hello world", " ") = list("hello", "world")
split("hello  world", "\\s") = list("hello", "", "world")
split("hello there world", " ", 2) = list("hello", "there")
startswith("path/to/something", "path/")
endswith("path/to/something", "something")
padleft("hello", 7) = "  hello"
padleft("yes", 5, "!") = "!!yes"
padright("yes", 5, "!") = "yes!!"
substring("hello", 0, 2) = "he"
substring("hello", 2) = "llo"
truncate("Hello there!", 8) = "Hello..."
truncate("Hello there!", 8, "/") = "Hello t/"
truncate("Hello there!", 20) = "Hello there!"
default(list(1, 2, null), 3) = list(1, 2, 3)
ldefault(list(1, 2, null), 3) = list(1, 2, null)
choice(true, "yes", "no") = "yes"
striptime(date(now)) = date(today)
dateformat(date(2022-01-05T12:18:04), "yyyy-MM-dd HH:mm:ss") = "2022-01-05 12:18:04"
durationformat(dur("3 days 7 hours 43 seconds"), "ddd'd' hh'h' ss's'") = "003d 07h 43s"
durationformat(dur("365 days 5 hours 49 minutes"), "yyyy ddd hh mm ss") = "0001 000 05 49 00"
durationformat(dur("2000 years"), "M 'months'") = "24000 months"
durationformat(dur("14d"), "s 'seconds'") = "1209600 seconds"
durationformat(dur("-90 minutes"), "hh:mm") = "-01:-30"
durationformat(dur("75 minutes"), "h") = "1"
meta([[2021-11-01|Displayed link text]]).display = "Displayed link text"
meta([[2021-11-01]]).display = null
meta([[My Project#Next Actions]]).path = "My Project"
meta([[My Project#Next Actions]]).subpath = "Next Actions"
meta([[My Project#^9bcbe8]]).subpath = "9bcbe8"
meta([[My Project]]).subpath = null
meta([[My Project]]).type = "file"
meta([[My Project#Next Actions]]).type = "header"
meta([[My Project#^9bcbe8]]).type = "block"
list(1, 2, 3)[0] = 1
[1, 2, 3][7] = null
this.nested.deep.b = "two"
this.nested["a"] = 1
row["this"].nested.a = 1
[[Alpha]].rating = 8
[[Nobody]].rating = null
date(2025-09-17) = date(today)
date(tomorrow) = date(2025-09-18)
date(yesterday) = date(2025-09-16)
date(sow) = date(2025-09-15)
date(eow) = date(2025-09-21T23:59:59.999)
date(som) = date(2025-09-01)
date(eom).day = 30
date(soy) = date(2025-01-01)
date(eoy) = date(2025-12-31T23:59:59.999)
date(now).hour = 9
date(2021-09-20T20:17).minute = 17
dur(1 s, 2 m, 3 h) = dur(3 hours 2 min 1 second)
dur(1s 2m 3h) = dur(1second 2min 3h)
date(2025-09-17).weekyear = 38
date(2025-01-31) + dur(1 month) = date(2025-02-28)
date(2025-03-01) - date(2025-02-01) = dur(1 month)
dur(90 minutes).hours = 1.5
14 % 3 = 2
-200 < 0
[[1, 2],[3, 4]] = list(list(1, 2), list(3, 4))
contains(this.file, "ctime")
contains(this.file, "day") = false
"text" + 1 = "text1"
"ab" * 2 = "abab"
[1] + [2] = [1, 2]
{a: 1} + {b: 2} = {a: 1, b: 2}
null < 0
null = null
!null
!""
![]
"a" < "B"
"a" < "A"
"é" > "e"
hash("2024-03-17", "a") = hash("2024-03-17", "a")
(x, y) => x + y
""".strip().splitlines()


@pytest.mark.parametrize("expression", DOCUMENTED)
def test_what_the_documentation_says_is_so(ask: Ask, expression: str) -> None:
    assert members(ask(f'LIST FROM "Alpha" WHERE {expression}')) == ["Alpha.md"]


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("date(2021-08-15)", "August 15, 2021"),
        ("date(2021-08-15T15:04)", "3:04 PM - August 15, 2021"),
        ("dur(40 days)", "1 month, 1 week, 5 days"),
        ("28 days", None),
        ("null", "\\-"),
        ("[1, [2, 3], null]", "1, [2, 3], \\-"),
        ("{a: 1, b: [1]}", "{ a: 1, b: [1] }"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("1 / 3", "0.3333333333333333"),
        ("4 / 2", "2"),
        ("1 / 0", "Infinity"),
        ("0 / 0", "NaN"),
        ("10000000000 * 10000000000000", "1e+23"),
        ("0.0000001 * 1", "1e-7"),
        ("1 / 100000", "0.00001"),
        ("[[Alpha]]", "[[Alpha|Alpha]]"),
        ('link("Alpha")', "[[Alpha.md|Alpha]]"),
        ('link([[Alpha]], "shown")', "[[Alpha|shown]]"),
        ("[[Alpha#Next, Actions]]", "[[Alpha#Next Actions|Alpha > Next Actions]]"),
        ('embed(link("pic.png"))', "![[pic.png|pic.png]]"),
        ('elink("https://example.com", "here")', "[here](https://example.com)"),
        ("(x) => x", "<function>"),
        ("file.outlinks", "[[Alpha.md|Alpha]], [[Games/Beta.md|the beta]], [[Nobody|Nobody]], [[Hub.md#Part|Part]], ![[pic.png|pic.png]]"),
        ("file.inlinks", "[[Alpha.md|Alpha]], [[Hub.md|Hub]]"),
        ("currencyformat(3)", None),
        ('display("*x*")', None),
        ("file.starred", None),
        ('dateformat(date(now), "ZZZZ")', None),
        ("dateformat(date(2014-08-06T13:07:04.054), \"S u SSS s ss m mm h hh H HH a d dd c ccc cccc E L LL LLL LLLL M y yy yyyy kkkk W WW o q x D DD DDD DDDD T TT 'quoted' Q\")",
         "54 054 054 4 04 7 07 1 01 13 13 PM 6 06 3 Wed Wednesday 3 8 08 Aug August 8 2014 14 2014 2014 32 32 218 3 1407323224054 8/6/2014 Aug 6, 2014 August 6, 2014 Wednesday, August 6, 2014 13:07 13:07:04 quoted Q"),
    ],
)  # fmt: skip
def test_values_are_shown_as_dataview_shows_them(ask: Ask, expression: str, shown: str | None) -> None:
    if expression == "28 days":
        assert ask("LIST span.days WHERE span").rows == (("[[Games/Gamma.md|Gamma]]", "28"),)
        return
    assert ask(f'LIST WITHOUT ID {expression} FROM "Hub"').rows == ((shown,),)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("length", "dur(2 hours)"), ("Length", "dur(2 hours)"), ("up.rating", "null"), ("up.values", "[1, 2, 3]"),
        ("file.name", '"Alpha"'), ("file.folder", '""'), ("file.path", '"Alpha.md"'), ("file.ext", '"md"'),
        ("file.tags", '["#extra", "#phone", "#game", "#mood/good", "#mood"]'), ("file.etags", '["#extra", "#phone", "#game", "#mood/good"]'),
        ("file.aliases", '["First"]'), ("file.link", "[[Alpha]]"), ("file.frontmatter.due", '"2025-09-20"'), ("due", "date(2025-09-20)"),
        ("file.inlinks.file.name", '["Beta", "Hub"]'), ("length(file.tasks)", "5"), ("file.tasks.status", '[" ", "x", " ", "x", "/"]'),
        ("file.tasks[0].due", "date(2025-09-18)"), ("file.tasks[0].fullyCompleted", "false"), ("file.tasks[3].fullyCompleted", "true"),
        ("file.tasks[0].children.line", "[12, 13]"), ("file.tasks[1].parent", "11"), ("file.tasks[1].completion", "date(2025-09-16)"),
        ("file.tasks[0].tags", '["#phone"]'), ("file.tasks[0].outlinks", "[[[Gamma]]]"), ("file.tasks[4].blockId", '"blk"'),
        ("meta(file.tasks[0].section).subpath", '"Next Actions"'), ("meta(file.tasks[4].link).type", '"block"'),
        ("file.tasks[4].checked", "true"), ("file.tasks[4].completed", "false"), ("file.tasks[0].annotated", "true"),
        ("file.tasks[0].rating", "null"), ("file.tasks[2].lineCount", "1"), ("file.tasks[2].position.start.line", "13"),
        ("file.tasks[1].text", '"look up the number ✅ 2025-09-16"'), ("nothing.at.all", "null"), ("file.size > 100", "true"),
    ],
)  # fmt: skip
def test_fields_of_pages_and_tasks(ask: Ask, field: str, value: str) -> None:
    assert members(ask(f'LIST FROM "Alpha" WHERE {field} = {value}')) == ["Alpha.md"]


def test_more_fields(ask: Ask) -> None:
    assert ask('LIST thoughts FROM "Games" WHERE thoughts').rows == (("[[Games/Beta.md|Beta]]", "really"),)
    assert ask('LIST Thoughts FROM "Games" WHERE thoughts').rows == (("[[Games/Beta.md|Beta]]", "fine"),)
    assert members(ask("LIST WHERE spaced-key")) == ["Games/Beta.md"]
    assert members(ask('LIST WHERE row["Spaced Key"]')) == ["Games/Beta.md"]
    assert members(ask('LIST WHERE mood = "ok" AND when > date(2025-09-17)')) == ["Games/Gamma.md"]
    assert members(ask("LIST WHERE file.day SORT file.day")) == ["Games/Gamma.md", "Games/Deep/2025-09-12 Log.md"]


# ------------------------------------------------------------------------------------------------ queries


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("#game", ["Alpha.md", "Clash/In.md", "Games/Beta.md"]),
        ("#GAME/board", ["Games/Beta.md"]),
        ('"Games"', ["Games/Beta.md", "Games/Deep/2025-09-12 Log.md", "Games/Gamma.md"]),
        ('"Games/"', []),
        ('"games"', []),
        ('"Games/Beta"', ["Games/Beta.md"]),
        ('"Games/Beta.md"', ["Games/Beta.md"]),
        ('"Clash"', ["Clash/In.md"]),
        ('"Clash.md"', ["Clash.md"]),
        ("[[Alpha]]", ["Games/Beta.md", "Hub.md"]),
        ("[[Alpha#Later|x]]", ["Games/Beta.md", "Hub.md"]),
        ("[[]]", ["Alpha.md", "Hub.md"]),
        ("[[Nobody]]", ["Hub.md"]),
        ("[[Never]]", []),
        ("outgoing([[Hub]])", ["Alpha.md", "Games/Beta.md", "Hub.md"]),
        ("outgoing([[]])", ["Alpha.md", "Games/Beta.md", "Hub.md"]),
        ('#game and "Games"', ["Games/Beta.md"]),
        ('#game AND -"Games"', ["Alpha.md", "Clash/In.md"]),
        ('#game and !"Games"', ["Alpha.md", "Clash/In.md"]),
        ('[[Hub]] or "Clash.md"', ["Alpha.md", "Clash.md", "Hub.md"]),
        ('#game and ("Games" or "Alpha.md")', ["Alpha.md", "Games/Beta.md"]),
        ('"Clash.md" or #game and "Games"', ["Games/Beta.md"]),  # and, or: from left to right
    ],
)
def test_sources(ask: Ask, source: str, expected: list[str]) -> None:
    assert members(ask(f"LIST FROM {source}")) == expected


def test_rows_come_in_the_order_of_paths_and_hold_no_canvas(ask: Ask, snapshot: Snapshot) -> None:
    assert members(ask("LIST")) == sorted(path for path in snapshot.notes if path.endswith(".md"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("LIST WHERE rating SORT rating", ["Games/Beta.md", "Alpha.md", "Games/Gamma.md"]),
        ("LIST WHERE rating SORT rating DESC LIMIT 1", ["Games/Gamma.md"]),
        ("LIST WHERE status SORT status descending, file.name", ["Alpha.md", "Games/Beta.md"]),
        ('LIST WHERE rating\nWHERE typeof(rating) = "number"\nWHERE rating > 5', ["Alpha.md"]),
        ("LIST WHERE rating LIMIT 2 SORT file.name DESC", ["Games/Beta.md", "Alpha.md"]),
        ("list where rating // a comment\n// another\nlimit 1 + 1", ["Alpha.md", "Games/Beta.md"]),
        ("LIST WHERE rating LIMIT 0", []),
        ("TABLE rating + 1 WHERE rating", ["Alpha.md", "Games/Beta.md", "Games/Gamma.md"]),
        ("TABLE rating - 1 WHERE rating", ["Alpha.md", "Games/Beta.md"]),  # an error in a column takes the row away
        ("TABLE file.starred WHERE rating", ["Alpha.md", "Games/Beta.md", "Games/Gamma.md"]),
        ('LIST FLATTEN file.tags AS tag WHERE startswith(tag, "#game") SORT tag DESC', ["Games/Beta.md", "Alpha.md", "Clash/In.md"]),
        ("CALENDAR due", ["Alpha.md", "Games/Beta.md"]),
        ("TABLE WITHOUT ID file.link", sorted(path for path in FILES if path.endswith(".md"))),
        ("LIST WHERE contains(file.outlinks, [[Alpha]])", ["Hub.md"]),
        ("LIST WHERE contains(file.outlinks, [[Alpha#Next Actions]])", ["Games/Beta.md"]),
        ('LIST WHERE any(file.outlinks, (l) => l.status = "open")', ["Games/Beta.md", "Hub.md"]),
        ("LIST WHERE file = this.file", ["Hub.md"]),
        ("LIST WHERE file.mtime > date(2025-09-17) - dur(100 years)", sorted(path for path in FILES if path.endswith(".md"))),
    ],
)  # fmt: skip
def test_steps_are_done_in_the_order_they_are_written(ask: Ask, query: str, expected: list[str]) -> None:
    if "file = this.file" in query:
        assert ask(query).unsupported == "file.lists"
        return
    assert members(ask(query)) == expected


def test_tables_have_columns_and_rows(ask: Ask) -> None:
    result = ask(
        'TABLE rating AS "Stars", default(status, "none"),\n  file.etags[0] WHERE rating SORT file.name LIMIT 2'
    )
    assert result.columns == ("Stars", 'default(status, "none")', "file.etags[0]")
    assert result.rows == (
        ("[[Alpha.md|Alpha]]", "8", "open", "#extra"),
        ("[[Games/Beta.md|Beta]]", "5", "done", "#game/board"),
    )
    assert ask("LIST WITHOUT ID file.name WHERE status").rows == (("Alpha",), ("Beta",))


def test_groups_hold_their_rows_in_the_order_of_their_keys(ask: Ask) -> None:
    result = ask("TABLE rows.file.name, length(rows) GROUP BY file.folder AS f SORT f DESC")
    assert result.rows[0] == ("Games/Deep", "2025-09-12 Log", "1")
    assert result.rows[-1] == ("", "Alpha, Clash, Hub", "3")
    assert ask("LIST rows.file.link.rating WHERE rating GROUP BY typeof(rating)").rows == (
        ("number", "8, 5"),
        ("string", "many"),
    )
    assert members(ask("LIST GROUP BY status WHERE key")) == ["Games/Beta.md", "Alpha.md"]
    assert members(ask("LIST WHERE status GROUP BY status FLATTEN rows AS r SORT r.file.name")) == [
        "Alpha.md",
        "Games/Beta.md",
    ]


def test_tasks(ask: Ask) -> None:
    assert ask("TASK WHERE !completed AND due <= date(2025-09-19)").tasks == (("Alpha.md", 11), ("Games/Beta.md", 10))
    assert ask("TASK WHERE due").tasks[:2] == (("Alpha.md", 11), ("Alpha.md", 12))  # what it has not, its page has
    assert ask('TASK FROM "Games"').tasks == (("Games/Beta.md", 10),)
    assert ask('TASK WHERE meta(section).subpath = "Later"').tasks == (("Alpha.md", 16),)
    assert ask('TASK WHERE contains(tags, "#phone") GROUP BY file.link').tasks == (("Alpha.md", 11),)
    assert ask('TASK WHERE status = "x" SORT line DESC').tasks == (("Alpha.md", 14), ("Alpha.md", 12))
    assert ask("TASK WHERE fullyCompleted").members == ("Alpha.md",)
    assert ask('TASK WHERE contains(text, "beta")').members == ("Games/Beta.md",)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "the query does not parse (line 1, column 1)"),
        ('LIST\nFROM "Games" WHERE\n  rating >', "the query does not parse"),
        ("LIST FROM #a FROM #b", "fails: FROM stands only at the beginning"),
        ('LIST FROM csv("a.csv")', "csv() as a source"),
        ('LIST FROM "pic.png"', "a source that is no note"),
        ("LIST FROM outgoing([[pic.png]])", "fails: outgoing() of what is no note"),
        ("LIST WHERE file.lists", "file.lists"),
        ("LIST WHERE file.starred", "file.starred"),
        ("LIST WHERE nofunction(1)", "fails: WHERE: there is no function nofunction"),
        ('LIST WHERE 1 - "a"', "fails: WHERE: no operation number - string"),
        ('LIST LIMIT "a"', "fails: LIMIT takes a number"),
        ("CALENDAR rating", "fails: a calendar of what are no dates"),
        ("TASK WHERE symbol", "the symbol of a task"),
        ("LIST WHERE currencyformat(1)", "the function currencyformat"),
        ('LIST WHERE regexmatch("(a+)+$", file.name)', "the regular expression /(a+)+$/"),
        ("LIST\nSORT file.name", "the query does not parse (line 2, column 6)"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_said(ask: Ask, query: str, reason: str) -> None:
    result = ask(query)
    assert result.unsupported.startswith(reason)
    assert result.members == ()


def test_what_is_not_certain_is_named(ask: Ask) -> None:
    assert ask("LIST SORT_ WHERE file.ctime").approximate == ("file.ctime",)
    assert ask("TABLE file.cday").approximate == ("file.ctime",)
    assert ask("TABLE file.mtime").approximate == ()


def test_a_query_in_a_note_that_is_not_there(ask: Ask) -> None:
    assert members(ask("LIST WHERE this.x = null LIMIT 1", "gone.md")) == ["Alpha.md"]


def test_expressions_in_a_text(snapshot: Snapshot) -> None:
    def said(expression: str, this: str = "Hub.md") -> tuple[Any, ...]:
        result = evaluate_inline(expression, snapshot, this, CALENDAR)
        return result.rows, result.members, result.unsupported

    assert said(" this.values ") == ((("1, 2, 3",),), (), "")
    assert said("[[Alpha]].status") == ((("open",),), (), "")
    assert said("this.file.outlinks")[1] == ("Alpha.md", "Games/Beta.md", "Hub.md", "pic.png")
    assert said("this.")[2].startswith("the query does not parse")
    assert said("1 - null")[2] == "fails: no operation number - null"


# ------------------------------------------------------------------------------------------------ harm


@pytest.mark.parametrize(
    "query",
    [
        "LIST WHERE " + "(" * 500 + "1" + ")" * 500,
        "LIST WHERE " + "!" * 500 + "a",
        "LIST WHERE " + "a or " * 3000 + "a",
        "LIST WHERE a" + ".b" * 9000,
        "LIST WHERE " + "x" * 30_000,
        "LIST FROM " + "(" * 300 + "#a" + ")" * 300,
        'LIST WHERE "a" * 1000000000',
        'LIST WHERE reduce(["a", "b"], (x, y) => x + y * 999999999)',
        "LIST WHERE length(map(list(" + "1," * 2000 + '1), (x) => "a" * 900000)) > 0',
        "LIST WITHOUT ID reduce(list(" + "1," * 60 + "1), (a, b) => list(a, a))",
        "LIST WHERE reduce(list(" + "1," * 60 + "1), (a, b) => list(a, a)) = reduce(list(" + "1," * 60 + "1), (a, b) => list(a, a))",
        "LIST SORT_ WHERE 1 SORT reduce(list(" + "1," * 60 + "1), (a, b) => list(a, a))",
        "LIST WITHOUT ID reduce(list(" + "1," * 1500 + "1), (a, b) => list(a, b))",
        "LIST WHERE 1" + "".join(f"\nFLATTEN list({'1,' * 100}1) AS x{n}" for n in range(6)),
        'LIST WHERE regextest(".*.*.*.*.*x", "' + "a" * 3000 + '")',
        'LIST WHERE replace("' + "a" * 2000 + '", "a", "' + "b" * 2000 + '")',
        'LIST WHERE padleft("a", ' + "9" * 400 + ")",
        "LIST WHERE dur(" + "9" * 150 + " years) + date(today)",
        "LIST WHERE date(today) + dur(99999 years)",
        "LIST WHERE " + "9" * 400 + ' * 2 > hash("a", ' + "9" * 400 + ")",
        "LIST WHERE slice([1,2], " + "9" * 400 + ")",
    ],
    ids=range(21),
)  # fmt: skip
def test_a_query_that_means_harm_is_cut_short(ask: Ask, query: str) -> None:
    before = time.process_time()
    result = ask(query)
    assert time.process_time() - before < 5
    assert isinstance(result.unsupported, str)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            'LIST TABLE TASK CALENDAR FROM WHERE SORT LIMIT FLATTEN GROUP_BY AS a file .name .tasks [0] ( ) [ ] { } , : => + - * / % = < ! and or null true 1 -2.5 "x" #game [[Alpha]] date(today) dur(1d) contains( length( map( sum( x => rows this'.split()
        ),
        max_size=14,
    ),
    st.sampled_from([" ", "", "\n"]),
)  # fmt: skip
def test_any_query_has_a_result(snapshot: Snapshot, words: list[str], between: str) -> None:
    result = evaluate(between.join(words).replace("_", " "), snapshot, "Hub.md", CALENDAR)
    assert not (result.unsupported and result.members)
    json.dumps(result.rows)


AWKWARD = st.text(alphabet="ab1 :[](){}#-\n*>|`,.\"'=+0239T📅✅", max_size=60)


@settings(max_examples=150, deadline=None)
@given(AWKWARD, AWKWARD)
def test_any_note_can_be_asked_for(head: str, body: str) -> None:
    note: Note = parse("A.md", f"---\nx: {head!r}\nk: {{y: [1, {head!r}]}}\n---\n{body}".encode())
    from context import graph
    from context.kinds import Kinds
    from context.names import Names
    from context.obsidian import ObsidianSettings

    names = Names(["A.md"])
    snapshot = Snapshot(
        {"A.md": note},
        frozenset({"A.md"}),
        names,
        graph.build({"A.md": note}, names),
        ObsidianSettings(),
        {},
        Kinds(),
    )
    for query in (
        "TABLE x, k.y, a, b, file.tags, file.outlinks, file.day, row",
        "TASK WHERE due OR text OR tags",
        "LIST SORT_ WHERE x SORT x, a",
    ):
        assert evaluate(query, snapshot, "A.md", CALENDAR).unsupported == ""
