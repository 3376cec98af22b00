"""The citations of an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.check import citations, sentences
from context.assemble import Passage
from context.snapshot import Snapshot
from tests.vaults import open_vault

FILES = {
    "Plan.md": "# Next week\n## Monday: start\ntext ^b1",
    "a/Twin.md": "",
    "b/Twin.md": "",
    "Kitchen.md": "---\naliases: [Küche]\n---\n# Salt & pepper",
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return open_vault(tmp_path_factory.mktemp("v"), FILES).snapshot


def _passage(path: str, text: str) -> Passage:
    return Passage(path, "", text, 0, len(text), "d", "search", 1.0, "why")


def test_citations_are_matched_to_what_they_cite(snapshot: Snapshot) -> None:
    passages = [
        _passage("Plan.md", "The disk arrives on 16 September and costs 189 euro."),
        _passage("Kitchen.md", "Bread at 230 degrees."),
    ]
    answer = (
        "The disk arrives on 16 September [[Plan]]. It costs 199 euro [[Plan]].\n"
        "- Bread bakes at 230 degrees ([[Kitchen#Salt & pepper]])\n"
        "- The moon consists of cheese entirely [[Kitchen]]\n"
        "- Twins are there [[a/Twin]]\n\nNo citation here."
    )
    cited, unsupported = citations(answer, passages, snapshot)
    assert [(c["path"], c["in_context"], c["supported"]) for c in cited] == [
        ("Plan.md", True, True),
        ("Plan.md", True, False),
        ("Kitchen.md", True, True),
        ("Kitchen.md", True, False),
        ("a/Twin.md", False, False),
    ]
    assert [answer[u["start"] : u["end"]].strip("- ") for u in unsupported] == [
        "It costs 199 euro [[Plan]].",
        "The moon consists of cheese entirely [[Kitchen]]",
        "Twins are there [[a/Twin]]",
    ]


def test_a_link_after_the_full_stop_belongs_to_its_sentence() -> None:
    text = "One thing. [[A]] Another thing [[B]]."
    assert [text[a:b] for a, b in sentences(text)] == ["One thing. [[A]] Another thing [[B]]."]


@given(st.text(st.sampled_from("ab .!?\n\r\u2028#`[]-|>é。"), max_size=60) | st.text(max_size=40))
def test_any_text_has_sentences_in_order(text: str) -> None:
    at = 0
    for start, end in sentences(text):
        assert at <= start < end <= len(text)
        at = end
