"""The gate: what passes, what is mended, what never gets through, however the answer is cut into tokens."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from commands.gate import Gate
from context.snapshot import Snapshot
from tests.vaults import open_vault

FILES = {
    "Plan.md": "# Next week\n## Monday: start\ntext ^b1",
    "a/Twin.md": "",
    "b/Twin.md": "",
    "Kitchen.md": "---\naliases: [Küche]\n---\n# Salt & pepper",
}
SOURCE = "See https://example.org/page?x=1 and https://example.org/other."
# Escapes stay apart from their neighbours: `[\\[` is no wikilink to anybody.
RENDERER = MarkdownIt("gfm-like", {"linkify": False, "html": True}).disable("text_join")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return open_vault(tmp_path_factory.mktemp("v"), FILES).snapshot


def _through(snapshot: Snapshot, text: str, size: int = 3) -> str:
    gate = Gate(snapshot, [SOURCE])
    out = "".join(gate.feed(text[at : at + size]) for at in range(0, len(text), size)) + gate.finish()
    assert out == gate.given
    return out


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("See [[Plan]].", "See [[Plan]]."),
        ("See [[plan]].", "See [[Plan]]."),
        ("[[Plan#Next week]]", "[[Plan#Next week]]"),
        ("[[Plan#Next week > Monday: start]]", "[[Plan#Monday: start]]"),
        ("[[Plan.md#Monday start|Mon]]", "[[Plan#Monday: start|Mon]]"),
        ("[[Plan#Nowhere]]", "[[Plan]]"),
        ("[[Plan#^b1]] [[Plan#^b2]]", "[[Plan#^b1]] [[Plan]]"),
        ("[[Küche]]", "[[Kitchen|Küche]]"),
        ("[[a/Twin]] [[b/Twin.md]]", "[[a/Twin]] [[b/Twin]]"),
        ("[[Invented note]] and [[Invented|this]]", "Invented note and this"),
        ("![[Plan]]", "[[Plan]]"),
        ("[the plan](Plan.md)", "[[Plan|the plan]]"),
        ("[x](Salt%20and.md)", "x"),
        ("open [[Plan and no end\nnext [[Plan]]", "open Plan and no end\nnext [[Plan]]"),
        ("[[", ""),
        ("- [ ] task [x] a[1] [^1]", "- [ ] task [x] a[1] [^1]"),
        ("![alt](https://evil.example/?q=secret)", "alt"),
        ("![alt][ref]", "alt"),
        ("[text](https://evil.example/)", "text"),
        ("[text](https://example.org/page?x=1)", "[text](https://example.org/page?x=1)"),
        ("[text](https://example.org/page?x=1&leak=2)", "text"),
        ("[text](javascript:alert(1))", "text)"),
        ("[text](obsidian://open?vault=x)", "text"),
        ("<https://example.org/other>", "<https://example.org/other>"),
        ("<https://evil.example>", "(address removed)"),
        ("go to https://evil.example/a.", "go to (address removed)."),
        ("go to https://example.org/other.", "go to https://example.org/other."),
        ("www.evil.example", "(address removed)"),
        ("[ref]: https://evil.example", "ref: (address removed)"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)>"),
        ("a <b>bold</b> <!-- c --> <%* tp %>", "a &lt;b>bold&lt;/b> &lt;!-- c --> &lt;%* tp %>"),
        ("1 < 2 and a <3", "1 < 2 and a <3"),
        ("metadata: yes, data: no, file: x", "metadata: yes, data: no, file: x"),
        ("`[[Invented]]` stays", "`[[Invented]]` stays"),
        ("```\n[[Invented]] <b>\n```\n[[Invented]]", "```\n[[Invented]] <b>\n```\nInvented"),
        ("```dataviewjs\ndv.pages()\n```", "```text\ndv.pages()\n```"),
        ("`$= dv.current()`", " dv.current()"),
        ("```\n<% tp.file %>\n```", "```\n< % tp.file %>\n```"),
        ("a `b", "a `b"),
        ("it is h", "it is h"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_passes_the_gate(snapshot: Snapshot, written: str, shown: str, size: int) -> None:
    assert _through(snapshot, written, size) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("![![[Ghost]", "!Ghost"),
        ("<[[Ghost]]>", "&lt;Ghost>"),
        ("- ```\n  [[Ghost]]\n  ```", "- \\```\n  Ghost\n  \\```"),
        ("> ```\nout [[Ghost]]", "> \\```\nout Ghost"),
        ("| `a | [[Ghost]]` |", "| `a | Ghost` |"),
        ("[a\nb](//evil.example)", "[a\nb] (//evil.example)"),
        ("ht[[tp]]://evil.example", "ht tp://evil.example"),
        ("\\`[[Ghost]]`", "\\`Ghost`"),
        ("[<img src=x>](https://example.org/other)", "[img src=x](https://example.org/other)"),
        ("`` x\n`[[Ghost]]`", "`` x\n`Ghost`"),
        ("[[project]]s", "projects"),
        ("~~~dataviewjs\nx\n~~~\n[[Ghost]]", "~~~text\nx\n~~~\nGhost"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_what_is_taken_out_makes_nothing_of_what_is_left(
    snapshot: Snapshot, written: str, shown: str, size: int
) -> None:
    assert _through(snapshot, written, size) == shown
    _leads_nowhere(shown, snapshot)


PARTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "[[", "]]", "![", "[", "]", "(", ")", "](", "[[Plan]]", "[[Plan#Next week]]", "[[Ghost]]",
                "![[Ghost]]", "|", "#", "\n", "\n\n", "```", "```\n", "`", "~~~\n", "<", ">", "<img src=", "<%",
                "<script>", "https://evil.example/x", "http://", "HTTPS://evil.example", "javascript:alert(1)",
                "data:text/html,x", "obsidian://x", "www.evil.example", "//evil.example", "[a]: ", "[a][b]",
                "![a][b]", "\\", "&#106;avascript:", "> ", "- ", "    ", "$=", "dataviewjs", " ", "word", "é",
                "\t", "//", "\r\n", "!", "0", "http", "``", ":", "1. ", "| ",
            ]
        ),
        st.text(max_size=8),
    ),
    max_size=30,
).map("".join)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(PARTS, st.integers(1, 12))
def test_however_it_is_cut_the_answer_is_the_same_and_leads_nowhere(snapshot: Snapshot, text: str, size: int) -> None:
    shown = _through(snapshot, text, size)
    assert shown == _through(snapshot, text, 10_000)
    _leads_nowhere(shown, snapshot)


def _leads_nowhere(shown: str, snapshot: Snapshot) -> None:
    """What a reader's renderer makes of the answer: no image, no HTML, no address that is not in a source."""
    for token in RENDERER.parse(shown):
        assert token.type != "html_block", shown
        for child in token.children or []:
            assert child.type not in {"image", "html_inline"}, shown
            if child.type == "link_open":
                href = str(child.attrs["href"])
                assert not re.match(r"[a-z][a-z0-9+.-]*:|//", href, re.IGNORECASE) or href in SOURCE, shown
            if child.type == "text":
                for link in re.findall(r"\[\[([^\[\]\n|#]+)", child.content):
                    assert snapshot.names.resolve(link, "") is not None, shown


def test_the_gate_is_linear(snapshot: Snapshot) -> None:
    for part in ("[", "[[", "`", "<a", "h", "![", "http:", "]( ", "` ", "~~~", "```\n", "[a]("):
        hostile = part * (20_000 // len(part))
        gate = Gate(snapshot)
        for at in range(0, len(hostile), 7):
            gate.feed(hostile[at : at + 7])
        gate.finish()
