"""The link graph."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from context.graph import affected, build, cycles, unpacked, update
from context.names import Names
from context.note import Note, parse
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


_FILES = st.sampled_from(
    [
        "a.md",
        "A.md",
        "b.md",
        "x/a.md",
        "x/b.md",
        "y/a.md",
        "x/y/a.md",
        "a.md.md",
        "a",
        "b.png",
        "x/b.png",
        "é.md",
        "x/É.md",
        "a.b.md",
    ]
)
_TARGETS = st.sampled_from(
    [
        "a",
        "A",
        "b",
        "x/a",
        "y/a",
        "./a",
        "../a",
        "/a",
        "/x/a.md",
        "a.md",
        "a.md.md",
        "b.png",
        "x/b.png",
        "É",
        "a.b",
        "a#h",
        "",
        " a ",
        "x/y/",
        "./x/../b",
    ]
)


@given(
    st.dictionaries(_FILES, st.lists(_TARGETS, max_size=4), max_size=9),
    st.dictionaries(_FILES, st.lists(_TARGETS, max_size=4), max_size=4),
    st.sets(_FILES, max_size=4),
)
@settings(max_examples=600, deadline=None)
def test_following_only_the_links_concerned_gives_what_following_all_gives(
    before: dict[str, list[str]], come: dict[str, list[str]], go: set[str]
) -> None:
    def notes_of(links: dict[str, list[str]]) -> dict[str, Note]:
        return {
            path: parse(path, "".join(f"[[{target}]] " for target in targets).encode())
            for path, targets in links.items()
            if path.endswith(".md")
        }

    names = Names(before)
    graph = build(notes_of(before), names)
    after = {path: links for path, links in before.items() if path not in go} | come
    came, went = after.keys() - before.keys(), before.keys() - after.keys()
    notes, there = notes_of(after), Names(after)
    again = affected(graph, names, came, went)
    changed = {notes[path].path: notes[path] for path in (*again, *come) if path in notes}
    updated = names.updated(came, went)
    for path in after:
        for target in ("a", "b", "b.png", "x/a", "É", "a.md.md"):
            assert updated.resolve(target, path) == there.resolve(target, path)
            assert updated.same_name(target) == there.same_name(target)
    assert update(graph, changed.values(), updated, gone=[path for path in went if path.endswith(".md")]) == build(
        notes, there
    )
    packed = {path: graph.packed(path) for path in graph.out}
    assert unpacked(packed, before) == graph
