"""Maps of content: what is one, what it gathers, and the walk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.calendar import calendar
from context.graph import Graph
from context.maps import Member, Step, walk
from context.members import Members
from context.note import parse
from context.scan import heading_paths
from tests.vaults import open_vault

PROSE = "A long paragraph of plain prose about one thing. " * 40


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("x.md", "---\ntype: moc\n---\n", "type: moc"),
        ("x.md", "---\ntype: MOC\n---\n", "type: MOC"),
        ("x.md", "about #moc things", "tagged #moc"),
        ("@Infrastructure.md", PROSE, "name begins with @"),
        ("Cooking MOC.md", PROSE, "named as a map"),
        ("Map of Content.md", PROSE, "named as a map"),
        ("🏠 Home.md", PROSE, "named as a map"),
        ("Project index.md", PROSE, "named as a map"),
        ("Garden/Garden.md", PROSE, "folder note"),
        ("Maps/Birds.md", PROSE, "in the folder maps"),
        ("Categories/Books.md", PROSE, "in the folder categories"),
        ("x.canvas", '{"nodes": [], "edges": []}', "canvas"),
        ("hub.md", "\n".join(f"- [[n{i}]]" for i in range(12)), "a hub of 12 links"),
        ("essay.md", PROSE * 3 + " ".join(f"[[n{i}]]" for i in range(12)), ""),
        ("Home lab.md", PROSE, ""),
        ("Democe.md", PROSE, ""),
        ("plain.md", "[[n1]] [[n2]]", ""),
    ],
)
def test_what_is_a_map(tmp_path: Path, path: str, text: str, reason: str) -> None:
    snapshot = open_vault(tmp_path, {path: text, **{f"n{i}.md": "" for i in range(12)}}).snapshot
    assert snapshot.maps.get(path, "") == reason


def test_members_stand_under_their_sections_in_order(tmp_path: Path) -> None:
    text = '---\nrelated: ["[[P]]", "[[A]]"]\n---\n[[T]]\n# One\n- [[A]]\n## Deep\n- ![[B]]\n# Two\n- [[C]] [[T]] [[Missing]]\n'
    snapshot = open_vault(tmp_path, {"M.md": text, **{f"{n}.md": "" for n in "ABCPT"}}).snapshot
    assert list(Members(snapshot, TODAY).of("M.md").members) == [
        Member("P.md", "", "property"),
        Member("A.md", "", "property"),
        Member("T.md", "", "link"),
        Member("B.md", "One > Deep", "embed"),
        Member("C.md", "Two", "link"),
    ]


def test_heading_paths_follow_the_levels() -> None:
    note = parse("x.md", b"# A\n### B\n## C\n# D\n")
    assert [path for _, path in heading_paths(note.headings)] == [("A",), ("A", "B"), ("A", "C"), ("D",)]


TODAY = calendar("2025-09-14", "Europe/Berlin")


def _walk(root: Path, files: dict[str, str], starts: list[tuple[str, float]], limit: int = 200) -> list[Step]:
    snapshot = open_vault(root, files).snapshot
    members = Members(snapshot, TODAY)
    gathered = lambda path: members.of(path).members  # noqa: E731
    return walk(starts, snapshot.notes, snapshot.graph, is_map=snapshot.maps, gathered=gathered, limit=limit)


def test_every_section_of_a_hub_is_represented_before_any_repeats(tmp_path: Path) -> None:
    sections = {f"S{s}": [f"s{s}n{n}" for n in range(s * 100 + 1)] for s in range(5)}
    text = "".join(f"# {name}\n" + "".join(f"- [[{n}]]\n" for n in notes) for name, notes in sections.items())
    files = {"@Hub.md": text, **{f"{n}.md": "" for notes in sections.values() for n in notes}}
    steps = _walk(tmp_path, files, [("@Hub.md", 1.0)], limit=12)
    assert len(steps) == 12
    assert [step.via for step in steps[1:6]] == [f"@Hub.md#S{s}" for s in range(5)]


def test_weights_fall_outward_and_cycles_end(tmp_path: Path) -> None:
    files = {
        "@A.md": "[[@B]] [[x]]",
        "@B.md": "[[@A]] [[y]]",
        "x.md": "[[far]]",
        "y.md": "[[x]]",
        "far.md": "[[farther]]",
        "farther.md": "",
    }
    steps = _walk(tmp_path, files, [("@A.md", 1.0)])
    weights = {step.path: step.weight for step in steps}
    assert next(iter(weights)) == "@A.md"
    assert weights["@A.md"] > weights["@B.md"] > weights["y.md"]
    assert "farther.md" not in weights  # two steps outward at most
    assert sorted(weights.values(), reverse=True) == list(weights.values())


def test_what_fits_comes_first_in_its_section_and_keeps_its_weight_outward() -> None:
    members = {"@A.md": [Member(f"{n}.md", "S", "link") for n in "abc"] + [Member("@B.md", "T", "link")]}
    members["@B.md"] = [Member("far.md", "", "link")]
    fits = {"c.md": 1.0, "@B.md": 1.0, "far.md": 0.5}
    steps = _bare_walk(members, fit=lambda _, member: fits.get(member.path, 0.0))
    assert [step.path for step in steps] == ["@A.md", "c.md", "@B.md", "far.md", "a.md", "b.md"]
    assert [step.weight for step in steps[:4]] == [1.0, 1.0, 1.0, 0.75], "what fits wholly loses nothing on the way"
    assert {step.path: step.fit for step in steps}["far.md"] == 0.5
    assert {step.path for step in steps if step.first} == {"c.md", "@B.md"}, "the best fitting stand for their sections"


def test_every_section_keeps_its_place_however_much_else_fits() -> None:
    members = {"@A.md": [Member(f"{n}.md", "loud", "link") for n in range(100)] + [Member("quiet.md", "quiet", "link")]}
    steps = _bare_walk(members, limit=20, fit=lambda _, member: float(member.section == "loud"))
    assert len(steps) == 20
    assert [step.path for step in steps if step.first] == ["0.md", "quiet.md"]
    assert steps[-1].path == "quiet.md"


def test_what_cannot_be_quoted_stands_for_no_section() -> None:
    members = {"@A.md": [Member("Board.canvas", "S", "link"), Member("x.md", "S", "link")]}
    assert [step.path for step in _bare_walk(members) if step.first] == ["x.md"]


def test_a_note_that_everything_links_to_is_reached_and_not_opened() -> None:
    """Half of the vault links to a person's note, which links to a hundred others."""
    members = {"@A.md": [Member(f"{n}.md", f"S{n % 5}", "link") for n in range(40)] + [Member("Mara.md", "S0", "link")]}
    out = {f"{n}.md": ("Mara.md",) for n in range(200)} | {"Mara.md": tuple(f"{n}.md" for n in range(100, 300))}
    steps = _bare_walk(members, out=out, limit=200)
    assert {step.path for step in steps} == {"@A.md", "Mara.md", *(f"{n}.md" for n in range(40))}
    out = {f"{n}.md": ("Mara.md",) for n in range(49)} | {"Mara.md": tuple(f"{n}.md" for n in range(100, 300))}
    assert len(_bare_walk(members, out=out, limit=200)) > 42, "fifty notes that link to one are nothing special"


def _bare_walk(
    members: dict[str, list[Member]],
    *,
    starts: Sequence[tuple[str, float]] = (("@A.md", 1.0),),
    out: Mapping[str, tuple[str, ...]] | None = None,
    asked: list[str] | None = None,
    **how: Any,
) -> list[Step]:
    """A walk without a vault: `members` says which notes are maps, `out` what the others link to."""
    links = {**{path: tuple(one.path for one in told) for path, told in members.items()}, **(out or {})}
    paths = {*links, *(target for targets in links.values() for target in targets)}
    back: dict[str, tuple[str, ...]] = {}
    for source in sorted(links):
        for target in dict.fromkeys(links[source]):
            back[target] = (*back.get(target, ()), source)

    def gathered(path: str) -> list[Member]:
        if asked is not None:
            asked.append(path)
        return members[path]

    notes = {path: parse(path, b"") for path in paths if path != "gone.md"}
    is_map = dict.fromkeys(members, "a map")
    return walk(starts, notes, Graph(lambda: (links, {}), back), is_map=is_map, gathered=gathered, **how)


_PATHS = st.sampled_from([*(f"@{name}.md" for name in "ABCDEF"), *(f"{n}.md" for n in range(12)), "gone.md"])
_MEMBERS = st.lists(st.tuples(_PATHS, st.sampled_from(["", "One", "Two", "Two > Deep"])), max_size=14)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from([f"@{name}.md" for name in "ABCDEF"]), _MEMBERS, min_size=1),
    st.dictionaries(st.sampled_from([f"{n}.md" for n in range(12)]), st.lists(_PATHS, max_size=6).map(tuple)),
    st.dictionaries(_PATHS, st.floats(0, 1)),
    st.integers(1, 30),
    st.integers(0, 4),
)
def test_any_graph_is_walked_once_in_order_and_within_bounds(
    web: dict[str, list[tuple[str, str]]],
    out: dict[str, tuple[str, ...]],
    fits: dict[str, float],
    limit: int,
    depth: int,
) -> None:
    """Rings, links of maps to themselves, maps in maps, members that are gone: whatever the graph."""
    members = {
        path: [Member(target, section, "link") for target, section in dict(told).items() if target != path]
        for path, told in web.items()
    }
    starts = [(path, 1 - place / 10) for place, path in enumerate(members)]
    asked: list[str] = []
    how: dict[str, Any] = {"limit": limit, "depth": depth, "fit": lambda _, member: fits.get(member.path, 0.0)}
    steps = _bare_walk(members, starts=starts, out=out, asked=asked, **how)
    assert steps == _bare_walk(members, starts=starts, out=out, **how)
    reached = {step.path: step for step in steps}
    assert len(reached) == len(steps) <= limit
    assert [step.weight for step in steps] == sorted((step.weight for step in steps), reverse=True)
    assert len(set(asked)) == len(asked) <= limit, "no map is opened twice"
    first = members[starts[0][0]]
    for step in steps:
        assert 0 <= step.depth <= depth
        if step.via:
            source = reached[step.via.partition("#")[0]]
            assert (source.depth + 1, source.weight >= step.weight) == (step.depth, True)
    sections = {member.section for member in first if member.path != "gone.md"}
    if depth and len(sections) <= limit * 3 // 4:
        there = {member.section for member in first if member.path in reached}
        assert there == sections, "every section of the first map is there"


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.integers(0, 5), st.lists(st.integers(0, 8), max_size=6), min_size=1),
    st.dictionaries(st.integers(0, 8), st.sampled_from(["red", "blue"])),
    st.integers(1, 15),
)
def test_maps_with_links_and_queries_to_each_other_and_themselves(
    tmp_path_factory: pytest.TempPathFactory, web: dict[int, list[int]], tags: dict[int, str], limit: int
) -> None:
    query = "## By query\n```dataview\nLIST FROM #red\n```\n"
    files = {f"{n}.md": f"#{tags.get(n, 'none')}" for n in range(9)}
    files |= {f"@{n}.md": "".join(f"# {t % 3}\n[[@{t}]] [[{t}]]\n" for t in told) + query for n, told in web.items()}
    files |= {f"@{n}.md": f"#red\n{files[f'@{n}.md']}" for n in web if tags.get(n) == "red"}
    starts = [(f"@{n}.md", 1.0) for n in web]
    steps = _walk(tmp_path_factory.mktemp("v"), files, starts, limit)
    assert len(steps) <= limit
    assert len({step.path for step in steps}) == len(steps)
    if limit == 15:
        red = {f"{n}.md" for n in range(9) if tags.get(n) == "red"}
        assert not red or red & {step.path for step in steps}, "what a query gives is walked to"
