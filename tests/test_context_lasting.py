"""What goes along from snapshot to snapshot is what would be worked out anew."""

import random
from pathlib import Path
from typing import Any

import pytest

from commands.survey import survey
from context.calendar import calendar
from context.fit import Fit
from context.members import members_of
from context.named import named
from context.query import scope, select
from context.snapshot import Snapshot
from context.vault import Vault
from tests.vaults import open_vault

TODAY = calendar("2025-09-14", "Europe/Berlin")
NAMES = ["@Garden", "@House", "Bed", "Beet", "Roof", "Wall", "Plans/Shed", "Plans/Bed", "Daily/2025-09-13", "Index"]
WORDS = "the shed needs new bees and a roof of zinc before the wall is dug".split()


def text(dice: random.Random) -> str:
    """A note of chance: properties, links, tasks, a query."""
    front = dice.sample(
        [
            "type: project\nstatus: active\ndue: 2025-09-20",
            "type: hardware\nstatus: degraded",
            "type: moc",
            "private: true",
            f"up: '[[{dice.choice(NAMES)}]]'",
            f"aliases: [{' '.join(dice.sample(WORDS, 2))}]",
            "created: 2025-09-12",
        ],
        dice.randint(0, 3),
    )
    if sum(one.startswith("type") for one in front) > 1:
        front = front[:1]
    body = [" ".join(dice.sample(WORDS, 4))]
    body += [
        f"## {dice.choice(WORDS)}\n- {dice.choice(WORDS)} [[{dice.choice(NAMES)}]]" for _ in range(dice.randint(0, 9))
    ]
    body += ["- [ ] dig 📅 2025-09-15"] * dice.randint(0, 1)
    body += ["```dataview\nLIST FROM #bees\n```"] * (dice.random() < 0.1) + ["#bees"] * (dice.random() < 0.3)
    return "---\n" + "\n".join(front) + "\n---\n" + "\n".join(body)


def told(vault: Vault, snapshot: Snapshot) -> dict[str, Any]:
    """All that is worked out of a snapshot, in an order of its own."""
    members = members_of(snapshot, TODAY)
    read = lambda path: vault.text(path)[1]  # noqa: E731 - a parameter
    fit = Fit("zinc roof of the shed", snapshot, read, lambda path: members.of(path).members, {})
    maps = sorted(snapshot.maps)
    return {
        "maps": dict(sorted(snapshot.maps.items())),
        "ordered": list(snapshot.ordered.items()),
        "kinds": {path: snapshot.kind(note) for path, note in snapshot.ordered.items()},
        "private": sorted(snapshot.private),
        "names": snapshot.lexicon.names_in(" ".join(WORDS)),
        "folder": list(select(snapshot, scope({"folder": "Plans"}))),
        "days": named(snapshot, snapshot.notes, "what was yesterday", TODAY.today),
        "members": {path: members.of(path) for path in maps},
        "fits": {path: [fit.place(path, one) for one in members.of(path).members] for path in maps},
        "survey": survey(snapshot, snapshot.ordered, TODAY, recent_days=3),
    }


@pytest.mark.parametrize("seed", range(6))
def test_after_any_change_all_is_as_if_worked_out_anew(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    vault = open_vault(tmp_path, {f"{name}.md": text(dice) for name in NAMES[:7]})
    for step in range(25):
        for _ in range(dice.randint(1, 2)):
            file = tmp_path / f"{dice.choice(NAMES)}.md"
            if dice.random() < 0.3:
                file.unlink(missing_ok=True)
            else:
                file.parent.mkdir(exist_ok=True)
                file.write_text(text(dice) + "\n" * step, "utf-8")
        vault.refresh()
        if dice.random() < 0.7:  # else it is asked after the next change
            snapshot = vault.snapshot
            assert told(vault, snapshot) == told(vault, snapshot.apart(snapshot.notes))


def test_of_many_changes_nothing_goes_along(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {f"{n}.md": "" for n in range(300)})
    assert not vault.snapshot.private
    assert "private" in vault.snapshot.lasting
    for n in range(300):
        (tmp_path / f"{n}.md").write_text("---\nprivate: true\n---\n", "utf-8")
    vault.refresh()
    assert not vault.snapshot.lasting
    assert len(vault.snapshot.private) == 300
