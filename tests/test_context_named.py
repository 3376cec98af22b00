"""What a text names outright: links, tags, properties, folders and days."""

from datetime import date

import pytest

from context.named import named
from context.vault import Vault
from tests.vaults import open_vault

TODAY = date(2025, 9, 14)
FILES = {
    "Projects/Shed.md": "---\nstatus: blocked\nowner: '[[Ada]]'\n---\n#build/wood",
    "Projects/Pond.md": "---\nstatus: active\ntags: [build]\n---\n",
    "Ada.md": "---\naliases: [Countess]\n---\n",
    "2025-09-12.md": "Friday",
    "2025-09-13.md": "Saturday",
    "2025-W37.md": "the week",
    "2025-08.md": "the month",
}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return open_vault(tmp_path_factory.mktemp("v"), FILES)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("see [[Shed]] and [[Countess]]", ["Projects/Shed.md", "Ada.md"]),
        ("what is tagged #build?", ["Projects/Pond.md", "Projects/Shed.md"]),
        ("what is tagged #build/wood?", ["Projects/Shed.md"]),
        ("which have status: blocked?", ["Projects/Shed.md"]),
        ('which have status="active"', ["Projects/Pond.md"]),
        ("owner: Ada", ["Projects/Shed.md"]),
        ("what lies in Projects/?", ["Projects/Pond.md", "Projects/Shed.md"]),
        ("what did I do yesterday?", ["2025-09-13.md"]),
        ("what happened on Friday?", ["2025-09-12.md"]),
        ("what did I do this week?", ["2025-09-13.md", "2025-09-12.md", "2025-W37.md"]),
        ("what was in August 2025?", ["2025-08.md"]),
        ("Remember: the pond, at 10:30, and C#.", []),
        ("", []),
    ],
)
def test_what_a_text_names(vault: Vault, text: str, paths: list[str]) -> None:
    found = [path for one in named(vault.snapshot, vault.snapshot.notes, text, TODAY) for path in one.paths]
    assert sorted(found) == sorted(paths)


def test_only_notes_that_may_be_named_are(vault: Vault) -> None:
    inside = {"Ada.md": vault.snapshot.notes["Ada.md"]}
    assert not named(vault.snapshot, inside, "#build yesterday [[Shed]] status: active in Projects/", TODAY)
