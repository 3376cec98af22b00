"""How fast a runner is: guessed by the plan, then learned."""

from dataclasses import replace

import pytest

from inference.node import Usage
from inference.pace import Pace, first_pace
from inference.plan import make_plan
from inference.profile import load

PACE = Pace(cold=8.0, warm=3.0, reads=1000.0, writes=50.0)


def used(**more: float) -> Usage:
    usual = Usage(2000, 100, 8192, "stop", 0.0, 0.0, 0.0)
    return replace(usual, **more)  # type: ignore[arg-type]


def test_the_plan_says_how_fast_a_model_may_be() -> None:
    seats = {seat.runner.name: seat for node in make_plan(load("rtx3080")).nodes for seat in node.seats}
    small, large = first_pace(seats["llama-3b"]), first_pace(seats["qwen-8b"])
    assert small.load == small.cold < large.cold
    assert small.warm < small.cold
    assert small.writes > large.writes
    assert first_pace(None).writes == 20


def test_work_is_reading_and_writing() -> None:
    assert PACE.work(2000, 100) == 4.0


def test_the_first_load_is_cold_and_those_after_it_are_warm() -> None:
    first = PACE.learned(used(load_seconds=6.0), 0)
    assert (first.cold, first.warm, first.load) == (6.0, 3.0, 3.0)
    second = first.learned(used(load_seconds=2.0), 0)
    assert second.cold == 6.0
    assert second.load == pytest.approx(2.7)
    assert PACE.learned(used(load_seconds=2.0), 0).warm == 2.0, "a cold load says what a warm one takes at most"
    assert PACE.learned(used(load_seconds=0.05), 0).load == 3.0, "it was there"


def test_speeds_follow_what_answers_take() -> None:
    pace = PACE
    for _ in range(30):
        pace = pace.learned(used(prompt_seconds=4.0, answer_seconds=10.0), 0)
    assert pace.reads == pytest.approx(500, rel=0.01)
    assert pace.writes == pytest.approx(10, rel=0.01)


def test_what_is_not_told_or_too_short_teaches_nothing_but_what_was_sent() -> None:
    short = Usage(3, 2, 8192, "stop", 0.0, 9.0, 9.0)
    assert replace(PACE.learned(short, 3), known=False) == PACE
    untold = Usage(None, None, 8192, "stop", 0.0, 4.0, 4.0)
    pace = PACE.learned(untold, 2000)
    assert (pace.reads < PACE.reads, pace.writes) == (True, PACE.writes)
