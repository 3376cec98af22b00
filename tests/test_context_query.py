"""Scopes and conditions on properties."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.query import QueryError, Scope, conditions, dated, scope, select
from context.snapshot import Snapshot
from tests.vaults import open_vault

FILES = {
    "P/Alpha.md": "---\ntype: project\nstatus: Active\nlevel: foundation\ndue: 2025-09-20\nrank: 3\nunlocks: ['[[Beta]]']\ndone: false\n---\n#home/lab\n[[Log]]",
    "P/Beta.md": "---\ntype: project\nstatus: planned\nlevel: integration\ndue: 2025-10-01\nrank: 10\naliases: [Second]\n---\n[[Alpha]]",
    "P/sub/Gamma.md": "---\nstatus: done\ntags: [home, rest]\ncreated: 2025-08-01\n---\n",
    "Log.md": "---\nupdated: 2025-09-10\ncreated: 2024-01-01\n---\n",
    "2025-09-12.md": "nothing",
}  # fmt: skip


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return open_vault(tmp_path, FILES).snapshot


def _found(snapshot: Snapshot, value: dict[str, Any]) -> set[str]:
    return {note.title for note in select(snapshot, scope(value)).values()}


@pytest.mark.parametrize(
    ("value", "titles"),
    [
        ({}, {"Alpha", "Beta", "Gamma", "Log", "2025-09-12"}),
        ({"folder": "P"}, {"Alpha", "Beta", "Gamma"}),
        ({"folder": "p/sub/"}, {"Gamma"}),
        ({"tags": ["home"]}, {"Alpha", "Gamma"}),
        ({"tags": ["#home/lab"]}, {"Alpha"}),
        ({"tags": "hom"}, set()),
        ({"project": "Alpha"}, {"Alpha", "Beta", "Log"}),
        ({"project": "[[Second]]"}, {"Alpha", "Beta"}),
        ({"since": "2025-09-10"}, {"Log", "2025-09-12"}),
        ({"where": {"status": "active"}}, {"Alpha"}),
        ({"where": {"status": {"ne": "active"}}}, {"Beta", "Gamma", "Log", "2025-09-12"}),
        ({"where": {"level": {"in": ["integration", "foundation"]}}}, {"Alpha", "Beta"}),
        ({"where": {"level": {"nin": ["integration"]}, "type": "project"}}, {"Alpha"}),
        ({"where": {"due": {"lte": "2025-09-30"}}}, {"Alpha"}),
        ({"where": {"due": {"gt": "2025-09-20"}}}, {"Beta"}),
        ({"where": {"rank": {"gte": 10}}}, {"Beta"}),  # numbers, not text: "3" > "10"
        ({"where": {"rank": {"lt": 10}}}, {"Alpha"}),
        ({"where": {"tags": {"contains": "home"}}}, {"Alpha", "Gamma"}),
        ({"where": {"unlocks": {"contains": "Beta"}}}, {"Alpha"}),
        ({"where": {"unlocks": "[[Beta]]"}}, {"Alpha"}),
        ({"where": {"due": {"exists": True}}}, {"Alpha", "Beta"}),
        ({"where": {"type": {"exists": False}}}, {"Gamma", "Log", "2025-09-12"}),
        ({"where": {"done": False}}, {"Alpha"}),
        ({"where": {"rank": True}}, set()),
        ({"where": {"STATUS": "PLANNED"}}, {"Beta"}),
        ({"folder": "P", "where": {"status": "active"}}, {"Alpha"}),
    ],
)
def test_a_scope_selects(snapshot: Snapshot, value: dict[str, Any], titles: set[str]) -> None:
    assert _found(snapshot, value) == titles


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"folders": "x"}, "no field 'folders'"),
        ({"since": "soon"}, "ISO date"),
        ({"tags": [1]}, "list of tag names"),
        ({"folder": 3}, "scope.folder"),
        ({"where": {"a": {"like": "x"}}}, "no operator 'like'"),
        ({"where": {"a": {"in": "x"}}}, "takes a list"),
        ({"where": {"a": {"exists": "yes"}}}, "true or false"),
        ({"where": ["a"]}, "object"),
    ],
)
def test_what_cannot_be_read_is_named(value: dict[str, Any], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        scope(value)


def test_a_project_that_does_not_exist_is_named(snapshot: Snapshot) -> None:
    with pytest.raises(QueryError, match="no note is called 'Omega'"):
        select(snapshot, Scope(project="Omega"))


def test_the_day_of_a_note_is_its_name_then_its_dates(snapshot: Snapshot) -> None:
    assert dated(snapshot, snapshot.notes["2025-09-12.md"]) == date(2025, 9, 12)
    assert dated(snapshot, snapshot.notes["Log.md"]) == date(2025, 9, 10)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3),
    max_leaves=5,
)
OPERANDS = {"in": st.lists(VALUES, max_size=3), "nin": st.lists(VALUES, max_size=3), "exists": st.booleans()}


@given(VALUES, st.sampled_from(["eq", "ne", "in", "nin", "lt", "lte", "gt", "gte", "contains", "exists"]), st.data())
def test_any_value_meets_any_operand_without_error(value: Any, operator: str, data: st.DataObject) -> None:
    from context.query import OPERATORS

    operand = data.draw(OPERANDS.get(operator, VALUES))
    assert OPERATORS[operator](value, operand) in {True, False}
    assert conditions({"x": {operator: operand}}) == [("x", operator, operand)]
