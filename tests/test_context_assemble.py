"""Packing passages into a budget."""

from dataclasses import replace

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
