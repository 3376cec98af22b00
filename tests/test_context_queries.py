"""The queries in a note: what counts as one, and how its text is cut out."""

import pytest

from context.note import parse
from context.queries import QueryBlock, find
from context.regions import regions


def queries(text: str) -> list[QueryBlock]:
    note = parse("Note.md", text.encode())
    return find(text, note.headings, regions(text, note.body))


def test_blocks_come_in_order_with_their_heading_path() -> None:
    text = (
        "---\ntype: moc\n---\n```base\nviews: []\n```\n# A\n## B\nIt has `= this.file.name` in it.\n\n"
        "~~~dataview\nLIST\nFROM #x\n~~~\n# C\n```dataviewjs\ndv.list([])\n```\n`$= 1 + 1` and `x = 1`\n"
    )
    found = queries(text)
    assert [(one.kind, one.source, one.heading) for one in found] == [
        ("base", "views: []", ""),
        ("inline", "this.file.name", "A > B"),
        ("dataview", "LIST\nFROM #x", "A > B"),
        ("dataviewjs", "dv.list([])", "C"),
        ("inlinejs", "1 + 1", "C"),
    ]
    assert text[found[0].start : found[0].end] == "```base\nviews: []\n```"


@pytest.mark.parametrize(
    ("text", "kind", "source"),
    [
        pytest.param("```base\r\nfilters: a\r\n  b\r\n```\r\n", "base", "filters: a\n  b", id="line ends"),
        pytest.param(
            "> [!note]\n>> ```base\n>> views:\n>>   - type: list\n>> ```\n",
            "base",
            "views:\n  - type: list",
            id="quote",
        ),
        pytest.param("- item\n  ```base\n  a:\n    b: 1\n  ```\n", "base", "a:\n  b: 1", id="list"),
        pytest.param("- ```dataview\n  LIST\n  ```\n", "dataview", "LIST", id="list item"),
        pytest.param("````base\n```\n````\n", "base", "```", id="longer fence"),
        pytest.param("```base\na: 1", "base", "a: 1", id="never closed"),
        pytest.param("```base\n```", "base", "", id="empty"),
        pytest.param("```dataview {cmd}\nTASK\n```", "dataview", "TASK", id="more on the line"),
        pytest.param("``= a``", "inline", "a", id="two backticks"),
        pytest.param("```base\n- a\n\n  - b\n```", "base", "- a\n\n  - b", id="blank line"),
    ],
)
def test_what_a_query_says(text: str, kind: str, source: str) -> None:
    assert [(one.kind, one.source) for one in queries(text)] == [(kind, source)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("````md\n```base\na: 1\n```\n````\n", id="inside another block"),
        pytest.param("%%\n```base\na: 1\n```\n%%\n", id="in a comment"),
        pytest.param("---\na: '`= b`'\n---\n", id="in the properties"),
        pytest.param("```basement\na: 1\n```", id="another language"),
        pytest.param("```Dataview\nLIST\n```", id="a large letter"),
        pytest.param("```python base\na\n```", id="not the first word"),
        pytest.param("no query at all, only the word base", id="none"),
        pytest.param("`=` and `==` and `==marked==` and `=> a`", id="signs of equality"),
        pytest.param("a `base` and ```base``` in a line", id="inline code"),
    ],
)
def test_what_is_no_query(text: str) -> None:
    assert queries(text) == []
