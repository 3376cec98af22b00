"""The grammar of Dataview's queries, with its own turns. The trees are those of the parser of Dataview 0.5.68."""

from datetime import datetime

import pytest

from context.dataview_syntax import (
    Binary,
    Call,
    Expression,
    Index,
    Items,
    Lambda,
    Literal,
    Named,
    Negated,
    Pairs,
    Source,
    Step,
    SyntaxFault,
    Variable,
    day_named,
    parse,
    parse_expression,
)
from context.dataview_values import Duration, Link
from context.unsupported import UnsupportedError

NOW = datetime(2025, 9, 17, 9, 30)  # noqa: DTZ001 - the clock on the wall
A, B, C = Variable("a"), Variable("b"), Variable("c")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a and b or c", Binary("|", Binary("&", A, B), C)),
        ("a or b and c", Binary("&", Binary("|", A, B), C)),  # no precedence among them
        ("a orb", Binary("|", A, B)),
        ("a-b", Variable("a-b")),
        ("a -b", Binary("-", A, B)),
        ("5-3", Binary("-", Literal(5), Literal(3))),
        ("a + b * c", Binary("+", A, Binary("*", B, C))),
        ("a = b = c", Binary("=", Binary("=", A, B), C)),
        ("a < b & c", Binary("&", Binary("<", A, B), C)),
        ("!a.b", Negated(Index(A, Literal("b")))),
        ("!!a", Negated(Negated(A))),
        ("![[A]]", Literal(Link("A", embed=True))),
        ("[[A#b|c]].d[0]", Index(Index(Literal(Link("A", "c", "b", kind="header")), Literal("d")), Literal(0))),
        ("f(a,b)(c)", Call(Call(Variable("f"), (A, B)), (C,))),
        ("(a)", A),
        ("(a, b) => a", Lambda(("a", "b"), A)),
        ("() => 1", Lambda((), Literal(1))),
        ("[1,[2]]", Items((Literal(1), Items((Literal(2),))))),
        ('{a: 1, "b c": 2}', Pairs((("a", Literal(1)), ("b c", Literal(2))))),
        ('"q\\"x\\w"', Literal('q"x\\w')),
        ("date(2025-02-31)", Literal(datetime(2025, 3, 3))),  # noqa: DTZ001
        ("date(foo)", Call(Variable("date"), (Variable("foo"),))),
        ("dur( 1d 2h )", Literal(Duration.of(days=1, hours=2))),
        ("dur(x)", Call(Variable("dur"), (Variable("x"),))),
        ("null", Literal(None)),
        ("True", Literal(value=True)),
        ("émile_1", Variable("émile_1")),
        ("🎄x", Variable("🎄x")),
        ("sort", Variable("sort")),
    ],
)
def test_expressions(text: str, tree: Expression) -> None:
    assert parse_expression(text, NOW) == tree


@pytest.mark.parametrize(
    "text", ["", "a b", "trueish", "nullable", "- 5", "from", "a ==b", "#tag", "[1,]", '"a', "a.", "f(", "{a}"]
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(SyntaxFault):
        parse_expression(text, NOW)


def test_a_query_has_its_parts_in_order() -> None:
    query = parse(
        'TABLE WITHOUT ID a AS "A name", b as x, a +\n  b\nFROM #t AND -("f" or outgoing([[L|x]]))\n// comment\n'
        "where a SORT b DESC, c ASCENDING, a\nLIMIT 5 GROUP BY a AS g flatten b",
        NOW,
    )
    assert (query.kind, query.ids) == ("table", False)
    assert query.fields == (Named("A name", A), Named("x", B), Named("a +b", Binary("+", A, B)))
    inner = Source("or", "", (Source("folder", "f"), Source("outgoing", "L")))
    assert query.source == Source("and", "", (Source("tag", "#t"), Source("not", "", (inner,))))
    assert query.steps == (
        Step("where", (Named("", A),)),
        Step("sort", (Named("", B), Named("", C), Named("", A)), (True, False, False)),
        Step("limit", (Named("", Literal(5)),)),
        Step("group", (Named("g", A),)),
        Step("flatten", (Named("b", B),)),
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("LISTS", "line 1, column 5"),
        ("LIST\nSORT file.name", "line 2, column 6"),
        ("LIST a\nWHERE b = \nSORT c", "line 3, column 6"),
        ("TABLE a,\nFROM #x", "line 2, column 5"),
        ("LIST FROM Folder", "line 1, column 11"),
        ("CALENDAR", "line 1, column 9"),
        ("LIST WHERE (a", "line 1, column 14"),
    ],
)
def test_where_a_query_is_none(text: str, place: str) -> None:
    with pytest.raises(SyntaxFault, match="does not parse") as fault:
        parse(text, NOW)
    assert place in str(fault.value)


def test_too_much_is_not_read() -> None:
    for text in ("LIST WHERE " + "(" * 41 + "a" + ")" * 41, "LIST " + "a" * 20_001, "LIST a" + " or a" * 250):
        with pytest.raises(UnsupportedError, match="too much"):
            parse(text, NOW)


@pytest.mark.parametrize(
    ("word", "day"),
    [
        ("now", "2025-09-17T09:30"), ("today", "2025-09-17"), ("tomorrow", "2025-09-18"), ("yesterday", "2025-09-16"), ("sow", "2025-09-15"),
        ("end-of-week", "2025-09-21T23:59:59.999"), ("som", "2025-09-01"), ("eom", "2025-09-30T23:59:59.999"), ("start-of-year", "2025-01-01"),
        ("eoy", "2025-12-31T23:59:59.999"),
    ],
)  # fmt: skip
def test_days_by_their_names(word: str, day: str) -> None:
    assert day_named(word, NOW) == datetime.fromisoformat(day)
