"""Maps of content: what is one, what it gathers, and the walk."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.calendar import calendar
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


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 12), max_size=8), min_size=1), st.integers(1, 15))
def test_any_web_of_maps_is_walked_within_the_limit(
    tmp_path_factory: pytest.TempPathFactory, web: dict[int, list[int]], limit: int
) -> None:
    files = {f"@{n}.md": "".join(f"# {t % 3}\n[[@{t}]]\n" for t in targets) for n, targets in web.items()}
    steps = _walk(tmp_path_factory.mktemp("v"), files, [(path, 1.0) for path in files], limit)
    assert len(steps) <= limit
    assert len({step.path for step in steps}) == len(steps)
