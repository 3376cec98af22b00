"""What `kos context` shows: each passage verbatim, and one line for what says nothing beyond its heading."""

from typing import Any

import pytest

from server.passages import show
from server.screen import Screen


def passage(rank: int, path: str, text: str, via: str = "") -> dict[str, Any]:
    return {"path": path, "heading": "", "text": text, "tokens": 9, "rank": rank, "why": "fits the words", "via": via}


def test_the_best_comes_first_and_headings_alone_take_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        "passages": [
            passage(3, "D.md", "---\nstatus: done\n---\n# D\n## Log\n"),
            passage(0, "A.md", "# A\nWords.\n"),
            passage(2, "C.md", "---\r\ntags: [x]\r\n---"),
            passage(1, "B.md", "# B\n\n", via="A.md"),
            passage(4, "E.md", "#tag of E"),
            passage(5, "F.md", "---\nno properties\n") | {"private": True},
        ],
        "cut": [{}],
        "tokens": 54,
        "budget_tokens": 60,
        "findings": [{"message": "mind", "hint": "this"}],
    }
    show(Screen(), found)
    out, err = capsys.readouterr()
    assert out == (
        "--- A.md (9 tokens: fits the words)\n# A\nWords.\n\n"
        "--- B.md (9 tokens: fits the words, via A.md)\n"
        "--- C.md (9 tokens: fits the words)\n"
        "--- D.md (9 tokens: fits the words)\n"
        "--- E.md (9 tokens: fits the words)\n#tag of E\n\n"
        "--- F.md (private) (9 tokens: fits the words)\n---\nno properties\n\n"
    )
    assert err == "kos: 6 passages, 54 of 60 tokens, 1 left out for want of room\nkos: mind\n     this\n"
