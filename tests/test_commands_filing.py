"""Filing: what kept words mean for other notes, proposed and never guessed; applied all together or not at all."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from commands.capture import capture
from commands.edits import Change, change_of
from commands.entities import Entities
from commands.filing import filing
from commands.journal import Journal
from commands.request import Request
from commands.routing import candidates
from commands.run import run
from context.calendar import calendar
from context.kinds import configured
from context.note import parse
from context.vault import Vault, VaultOptions
from tests.houses import done, house, ran
from tests.vaults import open_vault, write

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


def changes(vault: Vault, words: str, projects: Sequence[str] = (), **options: Any) -> list[Change]:
    """What filing proposes once the words are kept."""
    journal = Journal(vault.root, vault.root.parent / "state")
    change = capture(vault, NOW, words, "Log")
    journal.apply(journal.propose([change]).id)
    vault.refresh()
    entities = Entities(vault.snapshot, private=True)
    day = (change.path, vault.data(change.path))
    choices = candidates(vault, entities, words, projects=projects)
    return filing(vault, entities, NOW, words, day, heading="Log", choices=choices, **options)


def filed(vault: Vault, words: str, projects: Sequence[str] = (), **options: Any) -> dict[str, str]:
    """What the notes would say: path → the lines that are new."""
    found = {}
    for one in changes(vault, words, projects, **options):
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


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_recurring_task_is_ticked_with_its_next_one_or_left_to_obsidian(tmp_path: Path, end: str) -> None:
    tasks = "- [ ] Change the filter 🔁 every month 📅 2025-09-30 ^f{end}- [ ] Empty the bucket 🔁 every 2nd Friday 📅 2025-09-12"
    text = PROJECT.replace("- [ ] {task}", tasks).format(name="Kitchen", end="\n").replace("\n", end)
    made = changes(
        open_vault(tmp_path / "vault", {"Kitchen.md": text}), "Kitchen: changed the filter, emptied the bucket."
    )
    (one,) = (one for one in made if one.path == "Kitchen.md")
    whys = {hunk.why: hunk for hunk in one.hunks}
    assert list(whys) == [
        "done: Change the filter; the next one stands above it",
        "log line; “Empty the bucket” recurs, tick it in Obsidian",
    ]
    after = one.apply(text.encode()).decode().split(end)
    assert [line for line in after if line.startswith("- [")] == [
        "- [ ] Change the filter 🔁 every month 📅 2025-10-30",
        "- [x] Change the filter 🔁 every month 📅 2025-09-30 ✅ 2025-09-14 ^f",
        "- [ ] Empty the bucket 🔁 every 2nd Friday 📅 2025-09-12",
    ]


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
    with (vault.root / "2025-09-14.md").open("a") as day:
        day.write("- later\n")
    assert journal.apply(proposal["id"]).status == "applied"
    assert "the [[Quince Wall]] stands\n- later\n\n## Synthesis" in (vault.root / "2025-09-14.md").read_text()


def test_each_project_gets_the_sentences_that_name_it(tmp_path: Path) -> None:
    two = {**VAULT, "Projects/Green Door.md": PROJECT.format(name="Green Door", task="Sand it")}
    vault = open_vault(tmp_path / "vault", two)
    found = filed(vault, "Rain. The Quince Wall leans! Green Door waits.\nQuince Wall again: two bricks gone")
    assert found["Projects/Quince Wall.md"] == (
        "- 2025-09-14: The Quince Wall leans! Quince Wall again: two bricks gone ([[2025-09-14#Log]])"
    )
    assert found["Projects/Green Door.md"] == "- 2025-09-14: Green Door waits. ([[2025-09-14#Log]])"


# --- new notes of a kind

KINDS = configured(
    {
        "project": {"folder": "Projects", "tags": ["project", "effort"], "template": "Templates/Project.md"},
        "dish": {"folder": "Kitchen"},
        "place": {"tags": ["place"]},  # without folder and template: nothing to make it of
    }
)
TEMPLATE = "---\nstatus: planned\nstarted: {{date}}\ntags:\n  - effort\n---\n# {{title}}\n## Log\n\n## Next\n- [ ] Think it over\n"


@pytest.fixture
def kinds(tmp_path: Path) -> Vault:
    files = {**VAULT, "Templates/Project.md": TEMPLATE, "Known.md": "---\naliases: [Old Name]\n---\n"}
    return open_vault(tmp_path / "vault", files, VaultOptions(kinds=KINDS))


def made(vault: Vault, words: str) -> dict[str, str]:
    """The new notes that are proposed."""
    return {one.path: one.apply(None).decode() for one in changes(vault, words) if not one.base}


def test_a_new_note_of_a_kind_is_made_from_its_template(kinds: Vault) -> None:
    found = made(kinds, "Felix likes it.\nBegan [[Greenhouse Roof]] #project today.")
    assert list(found) == ["Projects/Greenhouse Roof.md"]
    note = parse("x.md", found["Projects/Greenhouse Roof.md"].encode())
    assert note.properties == {
        "status": "planned", "started": "2025-09-14", "tags": ["effort", "project"], "type": "project",
    }  # fmt: skip
    text = found["Projects/Greenhouse Roof.md"]
    assert (
        "# Greenhouse Roof\n## Log\n- 2025-09-14: Began [[Greenhouse Roof]] #project today. ([[2025-09-14#Log]])\n"
        in text
    )
    assert text.endswith("## Next\n- [ ] Think it over\n")


def test_without_a_template_it_has_its_type_and_place(kinds: Vault) -> None:
    assert made(kinds, "Cooked [[Leek Soup]] (#dish).") == {"Kitchen/Leek Soup.md": "---\ntype: dish\n---\n"}


@pytest.mark.parametrize(
    "words",
    [
        "Began [[Greenhouse Roof]] today", "#project nothing", "Again [[Known]] #project", "of [[Old Name]] #project",
        "[[Attic]] #place", "[[Greenhouse Roof]]\n#project", "[[Greenhouse Roof]] #projects", "[[../x]] #project",
        "[[a:b]] #project", "[[.hidden/x]] #project", "`[[Roof]]` #project", "[[Roof]] #daily",
    ],
)  # fmt: skip
def test_what_asks_for_no_new_note(kinds: Vault, words: str) -> None:
    assert made(kinds, words) == {}


def test_a_tag_goes_with_the_nearest_link_and_each_note_is_made_once(kinds: Vault) -> None:
    words = (
        "[[Greenhouse Roof]] #project with [[Ines]]\n[[Ines]], then [[Leek Soup]] #dish\n#effort [[greenhouse roof]]"
    )
    assert list(made(kinds, words)) == ["Projects/Greenhouse Roof.md", "Kitchen/Leek Soup.md"]


def test_a_template_that_cannot_be_read_is_used_as_it_is(kinds: Vault, tmp_path: Path) -> None:
    write(tmp_path / "vault", {"Templates/Project.md": "---\na: [<% tp.x %>\n---\n# {{title}}\n"})
    kinds.refresh()
    assert made(kinds, "[[Roof]] #project") == {"Projects/Roof.md": "---\na: [<% tp.x %>\n---\n# Roof\n"}


def test_nothing_is_made_before_the_person_says_so(kinds: Vault) -> None:
    def asked(apply: str | None) -> dict[str, Any]:
        words = "Began [[Roof]] #project."
        return done(ran(house(kinds), "update", text=words, now="2025-09-14T10:00:00", apply=apply))

    answer = asked(None)
    assert [one["status"] for one in answer["edits"]] == ["applied", "proposed"]
    assert "Projects/Roof.md" in [change["path"] for change in answer["edits"][1]["changes"]]
    assert not (kinds.root / "Projects/Roof.md").exists()
    asked("all")
    assert "type: project" in (kinds.root / "Projects/Roof.md").read_text("utf-8")
