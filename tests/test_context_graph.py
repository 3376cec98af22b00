"""The link graph."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from context.graph import build, cycles, update
from context.names import Names
from context.note import parse
from tests.vaults import open_vault

FILES = {
    "A.md": '---\nup: "[[Map]]"\n---\n[[B]] ![[C#Part]] [[B|again]] [here](B.md) [[Nowhere]] [[A]]',
    "B.md": "[[A]] `[[C]]`",
    "C.md": "# Part\n[c](https://example.org) [[Nowhere]]",
    "Map.md": "no link",
}


def test_edges_are_links_embeds_and_properties_each_once(tmp_path: Path) -> None:
    graph = open_vault(tmp_path, FILES).snapshot.graph
    assert set(graph.out["A.md"]) == {"B.md", "C.md", "Map.md"}
    assert graph.out["B.md"] == ("A.md",)  # a link in code is no link
    assert graph.back == {"A.md": ("B.md",), "B.md": ("A.md",), "C.md": ("A.md",), "Map.md": ("A.md",)}
    assert graph.unresolved == {"A.md": ("Nowhere",), "C.md": ("Nowhere",)}


def test_the_graph_for_algorithms_has_the_same_edges(tmp_path: Path) -> None:
    graph = open_vault(tmp_path, FILES).snapshot.graph
    assert set(graph.networkx().edges) == {(a, b) for a, targets in graph.out.items() for b in targets}


NAMES = ["A", "B", "C", "D"]
TEXTS = st.lists(st.sampled_from([*NAMES, "Missing"]), max_size=5).map(
    lambda names: " ".join(f"[[{name}]]" for name in names)
)


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(NAMES, TEXTS)),
    st.lists(st.tuples(st.sampled_from(NAMES), TEXTS), max_size=6),
)
def test_updating_note_by_note_equals_building_anew(first: dict[str, str], edits: list[tuple[str, str]]) -> None:
    notes = {f"{name}.md": parse(f"{name}.md", text.encode()) for name, text in first.items()}
    names = Names(notes)
    graph = build(notes, names)
    for name, text in edits:
        notes[f"{name}.md"] = parse(f"{name}.md", text.encode())
        graph = update(graph, [notes[f"{name}.md"]], names)
    assert graph == build(notes, names)


def test_knots_of_prerequisites_are_named() -> None:
    assert cycles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"], "e": ["e"]}) == [["a", "b", "c"], ["e"]]
    assert cycles({"a": ["b", "c"], "b": ["c"]}) == []
