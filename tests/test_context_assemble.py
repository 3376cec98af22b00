"""Packing passages into a budget."""

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from context.assemble import BYTES4, Counter, Passage, assemble

BASE = Passage("a.md", "H", "text", 0, 4, "d", "search", 1.0, "why")


def _passage(path: str, start: int, size: int, lane: str, score: float, why: str = "why") -> Passage:
    return replace(BASE, path=path, text="x" * size, start=start, end=start + size, lane=lane, score=score, why=why)


def test_each_lane_gets_its_share_before_any_gets_more() -> None:
    many = [_passage(f"r{n}.md", 0, 480, "recent", 100 - n) for n in range(20)]
    few = [_passage("p.md", 0, 480, "projects", 1)]
    context = assemble([*many, *few], 500, shares={"recent": 0.5, "projects": 0.3}, order=["projects", "recent"])
    assert [p.lane for p in context.passages] == ["projects", "recent", "recent", "recent"]
    assert {p.path for p in context.passages} == {"p.md", "r0.md", "r1.md", "r2.md"}
    assert all(one.why.startswith("no room") for one in context.cut)
    assert len(context.cut) == 17


def test_what_is_left_of_a_share_goes_to_the_others() -> None:
    context = assemble(
        [_passage(f"{n}.md", 0, 500, "b", n) for n in range(4)], 400, shares={"a": 0.9, "b": 0.1}, order=["a", "b"]
    )
    assert len(context.passages) == 3


def test_what_grows_a_little_drives_nothing_out() -> None:
    others = [_passage(f"p{n}.md", 0, 72, "projects", 50 - n) for n in range(50)]  # 20 tokens each
    shares = {"recent": 0.4, "projects": 0.1}

    def chosen(size: int, **more: Any) -> list[str]:
        day = _passage("day.md", 0, size, "recent", 1)
        context = assemble([day, *others], 800, shares=shares, order=["projects", "recent"], **more)
        assert context.tokens <= 800
        assert "day.md" in {one.path for one in context.passages}
        return [one.path for one in context.passages if one.lane == "projects"]

    sizes = range(200, 1200, 40)
    free = [chosen(size) for size in sizes]
    rounded = [chosen(size, volatile=("recent",), step=100) for size in sizes]
    assert sum(a != b for a, b in itertools.pairwise(free)) > 10
    assert sum(a != b for a, b in itertools.pairwise(rounded)) == 2, "once in a hundred tokens"
    assert all(len(one) <= len(other) < len(one) + 6 for one, other in zip(rounded, free, strict=True))


def test_a_passage_inside_a_chosen_one_lends_its_reason() -> None:
    whole, line = _passage("a.md", 0, 100, "projects", 1, "active"), _passage("a.md", 10, 20, "tasks", 9, "overdue")
    context = assemble([whole, line], 1000, shares={"projects": 0.5, "tasks": 0.5}, order=["projects", "tasks"])
    assert [(p.start, p.end, p.why) for p in context.passages] == [(0, 100, "active; overdue")]


def test_a_section_takes_the_place_of_its_own_line() -> None:
    line, whole = _passage("a.md", 10, 20, "tasks", 9, "overdue"), _passage("a.md", 0, 100, "projects", 1, "active")
    context = assemble([line, whole], 1000, shares={"tasks": 0.5, "projects": 0.5}, order=["tasks", "projects"])
    assert [(p.start, p.end, p.why) for p in context.passages] == [(0, 100, "active; overdue")]
    assert context.tokens == sum(p.tokens for p in context.passages)


def test_the_receipt_names_everything_and_holds_no_text() -> None:
    context = assemble([replace(BASE, text="secret words")], 100, shares={"search": 1.0}, order=["search"])
    receipt = context.receipt()
    assert "secret" not in repr(receipt)
    assert receipt["passages"][0]["note"] == "d"
    assert (
        receipt["receipt"]
        == assemble([replace(BASE, text="secret words")], 100, shares={"search": 1.0}, order=["search"]).receipt()[
            "receipt"
        ]
    )
    assert receipt["receipt"] != assemble([BASE], 100, shares={"search": 1.0}, order=["search"]).receipt()["receipt"]


PASSAGES = st.lists(
    st.builds(
        _passage,
        st.sampled_from(["a.md", "b.md", "ü/ç.md"]),
        st.integers(0, 300),
        st.integers(1, 400),
        st.sampled_from(["x", "y", "z"]),
        st.floats(-5, 5),
        st.text(max_size=3),
    ),
    max_size=40,
)
COUNTERS = st.sampled_from([BYTES4, Counter("chars", len), Counter("words", lambda text: len(text.split()))])


@settings(max_examples=300)
@given(PASSAGES, st.integers(0, 500), st.floats(0, 1), COUNTERS)
def test_never_over_budget_never_twice_nothing_lost(
    passages: list[Passage], budget: int, share: float, counter: Counter
) -> None:
    context = assemble(passages, budget, shares={"x": share, "y": 1 - share}, order=["y", "x"], counter=counter)
    assert context.tokens == sum(p.cost(counter) for p in context.passages) <= budget
    for one in context.passages:
        for other in context.passages:
            assert one is other or one.path != other.path or one.end <= other.start or other.end <= one.start
    places = {(p.path, p.start, p.end, p.lane) for p in passages}
    assert all((p.path, p.start, p.end, p.lane) in places for p in context.passages)
    # Every candidate is in, inside one that is in, covered by one that took its place, or listed as cut.
    covered = sum(
        any(p.path == q.path and q.start <= p.start and p.end <= q.end for q in context.passages) for p in passages
    )
    assert covered + len(context.cut) >= len(passages)


TEXT = "One two three four five.\n\nSix seven eight nine ten.\n\nEleven twelve thirteen."


def _cut_of(start: int, end: int, **more: Any) -> Passage:
    return replace(BASE, path="T.md", lane="search", text=TEXT[start:end], start=start, end=end, **more)


def test_neighbours_become_one_passage_that_costs_less() -> None:
    first, second, third = _cut_of(0, 24), _cut_of(26, 51, score=2.0, why="b"), _cut_of(53, len(TEXT))
    parts = assemble([first, second, third], 500, shares={"search": 1.0}, order=["search"])
    whole = assemble([first, second, third], 500, shares={"search": 1.0}, order=["search"], text_of=lambda _: TEXT)
    assert [one.text for one in whole.passages] == [TEXT]
    assert whole.tokens == whole.passages[0].tokens == whole.passages[0].cost(BYTES4) < parts.tokens
    assert whole.passages[0].score == 2.0
    assert "b" in whole.passages[0].why


def test_passages_that_are_no_neighbours_stay_apart() -> None:
    first, third = _cut_of(0, 24), _cut_of(53, len(TEXT))
    other = replace(_cut_of(26, 51), digest="another text")
    context = assemble([first, third, other], 500, shares={"search": 1.0}, order=["search"], text_of=lambda _: TEXT)
    assert len(context.passages) == 3


def test_neighbours_are_not_joined_beyond_the_budget() -> None:
    first, second = _cut_of(0, 24, score=9.0), _cut_of(26, 51)
    room = first.cost(BYTES4) + 2
    context = assemble([first, second], room, shares={"search": 1.0}, order=["search"], text_of=lambda _: TEXT)
    assert [one.text for one in context.passages] == [first.text]
    assert context.cut[0].why.startswith("no room")


def test_what_is_said_already_is_left_out_where_it_is_to_be_said_once() -> None:
    said = " ".join(f"word{n}" for n in range(40))
    first = replace(BASE, path="A.md", lane="search", text=said, score=2.0, end=len(said))
    again = replace(BASE, path="B.md", lane="search", text=f"{said} more", score=1.0, end=len(said) + 5)
    once = assemble([first, again], 5000, shares={"search": 1.0}, order=["search"], once=["search"])
    assert [one.path for one in once.passages] == ["A.md"]
    assert [(one.path, one.why[:16]) for one in once.cut] == [("B.md", "says nothing new")]
    assert len(assemble([first, again], 5000, shares={"search": 1.0}, order=["search"]).passages) == 2


def test_the_passage_that_was_taken_first_ranks_first() -> None:
    low, high = replace(BASE, path="A.md", score=1.0), replace(BASE, path="B.md", score=2.0)
    context = assemble([low, high], 5000, shares={BASE.lane: 1.0}, order=[BASE.lane])
    assert {one.path: one.rank for one in context.passages} == {"B.md": 0, "A.md": 1}
