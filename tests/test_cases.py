"""What is read in notes, by the cases of tests/cases/markdown: a case more needs no Python."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from context.note import Note, parse

FOLDER = Path(__file__).parent / "cases" / "markdown"
CASE = re.compile(
    r"^## (?P<title>[^\n]+)\n(?P<about>(?:[^~\n][^\n]*\n|\n)*)"
    r"~{6} input ?(?P<path>[^\n]*)\n(?P<input>.*?)\n?^~{6}\n\s*~{6} finds\n(?P<finds>.*?)^~{6}\n",
    re.MULTILINE | re.DOTALL,
)
# What cannot be seen in a file is written so.
SIGNS = {"⇥": "\t", "␍": "\r", "␣": " ", "⟦BOM⟧": "\ufeff", "⟦NBSP⟧": "\xa0", "⟦U+3000⟧": "\u3000"}


def link(one: Any) -> str:
    said = f"{one.kind} {one.target}" + (f"#{one.sub}" if one.sub else "") + (f"|{one.alias}" if one.alias else "")
    return said + (f" in {one.prop}" if one.prop else "")


TASK = ("due", "scheduled", "starts", "created", "completed", "cancelled", "priority", "repeats")
FINDS: dict[str, Any] = {
    "headings": lambda note, _: [f"{one.level} {one.text}" for one in note.headings],
    "links": lambda note, _: [link(one) for one in note.links],
    "tags": lambda note, _: list(note.tags),
    "tasks": lambda note, _: [
        {"box": one.status, "text": one.text} | {name: value for name in TASK if (value := getattr(one, name))}
        for one in note.tasks
    ],
    "blocks": lambda note, text: {one.id: text[one.start :].split("\n")[0].strip() for one in note.blocks},
    "fields": lambda note, _: [f"{one.place} {one.name}: {one.value}" for one in note.fields],
    "queries": lambda note, _: [f"{one.kind} {one.source}" for one in note.queries],
    "aliases": lambda note, _: list(note.aliases),
    "flags": lambda note, _: [flag.split(":")[0] for flag in note.flags],
    "private": lambda note, _: str(note.private).lower(),
}


def cases() -> list[Any]:
    found = []
    for file in sorted(FOLDER.glob("*.md")):
        text = file.read_text("utf-8")
        here = list(CASE.finditer(text))
        titles = [one["title"] for one in here]
        assert len(here) == len(re.findall(r"^~{6} input", text, re.MULTILINE)) > 0, (
            f"{file.name}: a case that cannot be read"
        )
        assert len(set(titles)) == len(titles), f"{file.name}: two cases of one title"
        found += [pytest.param(one, id=f"{file.stem}: {one['title']}") for one in here]
    return found


def written(text: str) -> str:
    for sign, meant in SIGNS.items():
        text = text.replace(sign, meant)
    return text


@pytest.mark.parametrize("case", cases())
def test_a_note_holds_what_its_case_says(case: re.Match[str]) -> None:
    text = written(case["input"])
    note: Note = parse(case["path"] or "Note.md", text.encode())
    wanted = yaml.load(case["finds"], yaml.BaseLoader)
    assert isinstance(wanted, dict), wanted
    assert wanted, "a case that says nothing"
    assert {name: FINDS[name](note, text) or [] for name in wanted} == wanted
