"""Filing: what kept words mean for other notes, proposed and never guessed; applied all together or not at all."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from commands.capture import capture
from commands.edits import change_of
from commands.entities import Entities
from commands.filing import filing
from commands.journal import Journal
from commands.routing import candidates
from commands.run import Request, run
from context.calendar import calendar
from context.vault import Vault
from tests.houses import done, house, ran
from tests.vaults import open_vault

NOW = calendar("2025-09-14T10:05:00", "Europe/Berlin")
PROJECT = "---\ntype: project\nstatus: active\n---\n# {name}\n## Next\n- [ ] {task}\n## Log\n- 2025-09-01: opened.\n\n## Ideas\n"
VAULT: dict[str, Any] = {
    "Projects/Quince Wall.md": PROJECT.format(name="Quince Wall", task="Order twelve bricks 📅 2025-09-20 ^b1"),
    "Projects/Old Oven.md": PROJECT.format(name="Old Oven", task="Sweep it").replace("active", "done"),
    "Projects/No Log.md": "---\ntype: project\nstatus: active\n---\n- [ ] Paint the blue door\n",
    "Felix Hartwig.md": "---\ntype: person\naliases: [Felix]\n---\n",
    **{f"talk{n}.md": "Spoke with [[Felix Hartwig]] about it." for n in range(6)},
}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return open_vault(tmp_path / "vault", VAULT)


def filed(vault: Vault, words: str, projects: Sequence[str] = (), **options: Any) -> dict[str, str]:
    """What the notes would say: path → the lines that are new."""
    journal = Journal(vault.root, vault.root.parent / "state")
    change = capture(vault, NOW, words, "Log")
    journal.apply(journal.propose([change]).id)
    vault.refresh()
    found = {}
    entities = Entities(vault.snapshot, private=True)
    day = (change.path, vault.data(change.path))
    choices = candidates(vault, entities, words, projects=projects)
    for one in filing(vault, entities, NOW, words, day, heading="Log", choices=choices, **options):
        before = vault.data(one.path).decode()
        after = one.apply(before.encode()).decode()
        found[one.path] = "\n".join(line for line in after.split("\n") if line not in before.split("\n"))
    return found


def test_a_project_that_is_named_gets_a_line_and_its_finished_task_a_tick(vault: Vault) -> None:
    found = filed(vault, "Ordered twelve bricks for the Quince Wall.")
    assert "- [x] Order twelve bricks 📅 2025-09-20 ✅ 2025-09-14 ^b1" in found["Projects/Quince Wall.md"]
    assert "- 2025-09-14: Ordered twelve bricks" in found["Projects/Quince Wall.md"]
    assert found["Projects/Quince Wall.md"].endswith("([[2025-09-14#Log]])")


@pytest.mark.parametrize("words", ["about [[Quince Wall]]", "more stones #quince-wall", "more stones #QuinceWall"])
def test_a_link_or_a_tag_names_a_project_as_well(vault: Vault, words: str) -> None:
    assert "Projects/Quince Wall.md" in filed(vault, words)


def test_a_project_that_the_request_names_needs_no_name_in_the_words(vault: Vault) -> None:
    assert list(filed(vault, "more stones", projects=["Projects/Quince Wall.md"])) == ["Projects/Quince Wall.md"]


@pytest.mark.parametrize(
    "words", ["nothing in particular", "the Old Oven is cold", "a quince by a wall", "`Quince Wall`"]
)
def test_what_names_no_open_project_files_nothing_there(vault: Vault, words: str) -> None:
    assert not [path for path in filed(vault, words) if path.startswith("Projects/")]


def test_without_a_log_only_what_is_done_is_ticked(vault: Vault) -> None:
    assert "Projects/No Log.md" not in filed(vault, "No Log: thought about it")
    assert (
        filed(vault, "No Log: painted the blue door")["Projects/No Log.md"] == "- [x] Paint the blue door ✅ 2025-09-14"
    )


@pytest.mark.parametrize("words", ["bricks for the Quince Wall", "ordered bricks, Quince Wall", "Quince Wall twelve"])
def test_a_task_is_only_done_when_all_of_it_is_told(vault: Vault, words: str) -> None:
    assert "[x]" not in filed(vault, words)["Projects/Quince Wall.md"]


def test_names_that_people_link_are_linked_in_the_words(vault: Vault) -> None:
    found = filed(vault, "Felix Hartwig rang,\nand Felix Hartwig wants plums")
    assert found["2025-09-14.md"] == "- 10:05 [[Felix Hartwig]] rang,"


def test_the_same_words_in_windows_line_ends_are_linked_in_their_place(vault: Vault) -> None:
    (vault.root / "2025-09-14.md").write_bytes(b"## Log\r\n- 08:00 up\r\n")
    vault.refresh()
    found = filed(vault, "first\nFelix Hartwig rang")
    assert found["2025-09-14.md"] == "  [[Felix Hartwig]] rang\r"


def test_a_run_proposes_all_of_it_as_one_edit_and_applies_it_when_asked(vault: Vault) -> None:
    of = house(vault)
    words = "Ordered twelve bricks for the Quince Wall"
    before = (vault.root / "Projects/Quince Wall.md").read_text()
    found = ran(of, "update", text=words, apply="capture")
    kept, proposal = done(found)["edits"]
    assert (kept["status"], proposal["status"]) == ("applied", "proposed")
    assert [event.name for event in found].count("proposed") == 2
    assert (vault.root / "Projects/Quince Wall.md").read_text() == before
    assert of.journal is not None
    of.journal.apply(proposal["id"])
    assert "[x] Order twelve bricks" in (vault.root / "Projects/Quince Wall.md").read_text()
    of.journal.undo(proposal["id"])
    of.journal.undo(kept["id"])
    assert (vault.root / "Projects/Quince Wall.md").read_text() == before
    assert not (vault.root / "2025-09-14.md").exists()
    vault.refresh()
    kept, proposal = done(ran(of, "update", text=words, apply="all"))["edits"]
    assert (kept["status"], proposal["status"]) == ("applied", "applied")
    assert "[x] Order twelve bricks" in (vault.root / "Projects/Quince Wall.md").read_text()


def test_where_nothing_is_written_the_proposal_is_still_made(vault: Vault) -> None:
    edits = done(ran(house(vault), "update", text="the Quince Wall stands", apply="none"))["edits"]
    assert [edit["status"] for edit in edits] == ["proposed", "proposed"]
    assert [change["path"] for change in edits[1]["changes"]] == ["2025-09-14.md", "Projects/Quince Wall.md"]


def test_a_client_that_writes_the_words_itself_gets_a_proposal_for_the_note_as_it_then_is(vault: Vault) -> None:
    of = house(vault)
    journal = of.journal
    assert journal is not None

    async def as_obsidian_does() -> dict[str, Any]:
        edits: list[dict[str, Any]] = []
        async for event in run(of, "update", Request(text="the Quince Wall stands", apply="none"), run_id="r"):
            if event.name == "proposed" and not edits:
                edits = event.data["edits"]
                change = change_of(edits[0]["changes"][0])
                (vault.root / change.path).write_bytes(change.apply(None))
                journal.applied_elsewhere(edits[0]["id"])
        return dict(event.data)

    kept, proposal = asyncio.run(as_obsidian_does())["edits"]
    assert journal.get(kept["id"]).status == "applied"
    assert journal.apply(proposal["id"]).status == "applied"
    assert "the [[Quince Wall]] stands" in (vault.root / "2025-09-14.md").read_text()


def test_each_project_gets_the_sentences_that_name_it(tmp_path: Path) -> None:
    two = {**VAULT, "Projects/Green Door.md": PROJECT.format(name="Green Door", task="Sand it")}
    vault = open_vault(tmp_path / "vault", two)
    found = filed(vault, "Rain. The Quince Wall leans! Green Door waits.\nQuince Wall again: two bricks gone")
    assert found["Projects/Quince Wall.md"] == (
        "- 2025-09-14: The Quince Wall leans! Quince Wall again: two bricks gone ([[2025-09-14#Log]])"
    )
    assert found["Projects/Green Door.md"] == "- 2025-09-14: Green Door waits. ([[2025-09-14#Log]])"
