"""Every kind of edit on many notes of every make: each byte outside its ranges stays, and each can be taken back."""

import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path

import pytest

from commands.edits import Change, Draft, NotEditableError, TargetError, create
from commands.journal import Journal
from context.scan import heading_paths
from tests.kos import SAMPLE
from tests.vaults import write

# How many notes are made up, and how many of all tries must end in an edit: an edit may be refused, but seldom.
MADE = 3000
LEAST_DONE = 0.8
DAY = date(2025, 9, 14)
# Folders with notes of people, set by hand to look at them too: TEST_VAULTS=/one:/two python -m pytest tests/...
VAULTS = [Path(place) for place in os.environ.get("TEST_VAULTS", "").split(os.pathsep) if place]
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

HEADS = (
    *("", "", ""),
    "---\n---\n",
    "---\nstatus: active\n---\n",
    "---\n# said once\nstatus: 'open' # and why\ntags: [a, \"b c\"]\n---\n",
    '---\ntags:\n  - one\n  # between\n  - "two"  # last\nstatus: on hold\n\nup: "[[Home 🏠]]"\n---\n',
    '---\ntitle: "日本語: ノート"\naliases: []\nempty:\nstatus: 3\n---\n\n',
    "---\ntext: |\n  a line\n  - no item\n\n  🚀\nnested: {deep: [1, 2]}\nstatus: >-\n  two\n  lines\n---\n",
    "---\ncreated: 2025-09-14\ndone: false\ntags: solo\n---\ntext right below\n",
    "---\nstatus: {{later}}\n---\n",
    "---\na: b: c\n---\n",
)  # fmt: skip
BLOCKS = (
    "# Project\n",
    "## Log\n- 10:00 began\n- 11:00 ended\n",
    "## 🚀 Launch — 👩‍👩‍👧\n\nSome prose with 𝄞 and é.\n",
    "### 見出し\n日本語の文。\n",
    "# Same\none\n\n# Same\ntwo\n",
    "Set out\n=======\n\nbelow\n",
    "Set lower\n---\n- a\n",
    "- [ ] a task ^id-1\n- [x] done\n  - [ ] below 📅 2025-09-20\n",
    "1. one\n   - two\n\n     text of two\n2. three\n",
    "\t- by tabs\n\t\t- deeper\n- back\n",
    "```yaml\n---\nstatus: no property\n---\n# No heading\n- [ ] no task\n```\n",
    "~~~~\n```\nstill code\n```\n~~~~\n",
    "    code by indent\n\n",
    "| a | b |\n|---|---|\n| [[x\\|y]] | 🧮 |\n",
    "> [!note]- Title\n> - [ ] inside\n> text\n\n",
    "%% a comment\n## Not shown\n%%\n",
    "$$\nx^2\n$$\n",
    "***\n",
    "text\n---\nmore text\n",
    "\n\n\n",
    "trailing spaces  \nand a tab\t\n",
    "<!-- html\n# no -->\n",
    "[[Link]] ![[Embed.png]] #tag/deep\n",
    "closed ## \n#not a heading\n####### nor this\n",
)  # fmt: skip
OPEN = ("```\nnever closed\n", "%%\nopen\n", "$$\nopen\n")


def made(number: int) -> bytes:
    """The note of a number: the same each time, unlike those of other numbers."""
    dice = random.Random(number)
    if number % 97 == 0:
        return dice.choice(
            (b"", b"\n", b"\r\n", b"\xef\xbb\xbf", b" ", b"\t\n\n", b"x", b"---", b"\xef\xbb\xbf---\r\n---")
        )
    text = dice.choice(HEADS) + "".join(dice.choices(BLOCKS, k=dice.randint(0, 7)))
    if dice.random() < 0.03:
        text += dice.choice(OPEN)
    if dice.random() < 0.3:
        text = text.rstrip("\n")
    ends = dice.random()
    if ends < 0.3:
        text = text.replace("\n", "\r\n")
    elif ends < 0.4:
        text = "".join(line + dice.choice(("\n", "\r\n")) for line in text.split("\n"))
    return ("\ufeff" * (dice.random() < 0.15) + text).encode()


def of_folders(folders: Iterable[Path]) -> Iterator[bytes]:
    for folder in folders:
        for file in sorted(folder.rglob("*.md")):
            if file.is_file():
                yield file.read_bytes()


Edit = Callable[[Draft], None]


def kinds(draft: Draft, dice: random.Random) -> dict[str, Edit]:
    """One edit of each kind that has a place in the note."""
    found: dict[str, Edit] = {
        "append with ensure": lambda d: d.append_to(("Log",), "- NEW 🚀\n  - below", ensure=True),
        "append above all": lambda d: d.append_to((), "NEW é"),
        "set a new property": lambda d: d.set_property("kos", ["NEW", "b, c"]),
        "add to a property": lambda d: d.add_to_property("tags", "NEW"),
    }
    length = len(draft.text)
    begin = dice.randint(0, length)
    end = min(length, begin + dice.choice((0, 1, 5, 40)))
    found["replace"] = lambda d: d.replace(begin, end, dice.choice(("", "𝄞", "NEW\nline", "é")))
    paths = [path for _, path in heading_paths(draft.note.headings)]
    once = [path for path in paths if paths.count(path) == 1]
    if once:
        path = dice.choice(once)
        found["insert under"] = lambda d: d.insert_under(path, "- NEW 日本")
        found["append"] = lambda d: d.append_to(path, "NEW\n\nprose")
    tasks = [task for task in draft.note.tasks if task.status not in "xX"]
    if tasks:
        task = dice.choice(tasks)
        found["tick"] = lambda d: d.tick(task, DAY)
    if draft.note.properties:
        name = dice.choice(sorted(draft.note.properties))
        found["set a property"] = lambda d: d.set_property(name, dice.choice(("NEW: x", None, True, ["NEW", "y"])))
        found["remove a property"] = lambda d: d.remove_property(name)
    return found


def holds(before: bytes, after: bytes, change: Change) -> None:
    """The ranges are right in bytes and in UTF-16, every byte outside them stayed, and the old texts bring all back."""
    before_at = after_at = 0
    restored = b""
    for hunk in change.hunks:
        assert before_at <= hunk.start <= hunk.end <= len(before)
        kept = before[before_at : hunk.start]
        assert after[after_at : after_at + len(kept)] == kept
        restored += after[after_at : after_at + len(kept)] + hunk.old.encode()
        before_at, after_at = hunk.end, after_at + len(kept)
        new = hunk.new.encode()
        assert before[hunk.start : hunk.end] == hunk.old.encode()
        assert after[after_at : after_at + len(new)] == new
        after_at += len(new)
        for place, place16 in ((hunk.start, hunk.start16), (hunk.end, hunk.end16)):
            text = before[:place].decode()
            units = sum(2 if ord(char) > 0xFFFF else 1 for char in text) - text.startswith("\ufeff")
            assert place16 == units, hunk
    assert after[after_at:] == before[before_at:]
    assert restored + after[after_at:] == before


def tried(notes: Iterable[bytes]) -> tuple[Counter[str], Counter[str]]:
    """Every kind of edit on every note: how many of each were done, and how many refused."""
    done: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for number, data in enumerate(notes):
        done["notes"] += 1
        try:
            first = Draft("x.md", data)
        except NotEditableError:
            refused["notes"] += 1
            continue
        for kind, edit in kinds(first, random.Random(number)).items():
            draft = Draft("x.md", data)
            try:
                edit(draft)
                change = draft.change()
            except (TargetError, NotEditableError):
                refused[kind] += 1
                continue
            holds(data, change.apply(data), change)
            done[kind] += 1
        change = create("x.md", first.text)
        assert change.apply(None) == data
        holds(b"", data, change)
        done["create"] += 1
    return done, refused


def mostly(done: Counter[str], refused: Counter[str], least: int) -> None:
    tries = done.total() + refused.total() - done["notes"]
    assert done.total() - done["notes"] >= LEAST_DONE * tries, (done, refused)
    assert len(done) == 12
    assert min(done.values()) >= least, (done, refused)


@pytest.mark.parametrize("part", range(3))
def test_every_kind_of_edit_leaves_every_other_byte_of_notes_of_every_make(part: int) -> None:
    done, refused = tried(made(number) for number in range(part, MADE, 3))
    assert done["notes"] == MADE // 3
    mostly(done, refused, 200)


def test_every_kind_of_edit_leaves_every_other_byte_of_the_sample_vault() -> None:
    mostly(*tried(of_folders([SAMPLE])), 10)


@pytest.mark.skipif(not VAULTS, reason="TEST_VAULTS names no folders with notes")
@pytest.mark.timeout(3600)
def test_every_kind_of_edit_leaves_every_other_byte_of_the_notes_of_people() -> None:
    done, refused = tried(of_folders(VAULTS))
    print(f"done {dict(done)}\nrefused {dict(refused)}")
    mostly(done, refused, 1)


def test_many_edits_applied_and_undone_bring_back_every_byte() -> None:
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        numbers = [number for number in range(1, 80) if number % 97][:60]
        root = write(Path(place) / "vault", {f"{number % 3}/Note {number} 🚀.md": made(number) for number in numbers})
        journal = Journal(root, Path(place) / "state")
        before = {path: path.read_bytes() for path in root.rglob("*.md")}
        names = sorted(before)
        dice = random.Random(1)
        changed: Counter[str] = Counter()
        for at in range(0, len(names), 3):
            changes = [create(f"made/{at}.md", made(at + 1).decode(), number=4)]
            for number, file in enumerate(names[at : at + 3], 1):
                path = str(file.relative_to(root))
                edits = list(kinds(Draft(path, before[file]), dice).items())
                for kind, edit in sorted(edits, key=lambda one: changed[one[0]]):  # the rarest first
                    draft = Draft(path, before[file])
                    try:
                        edit(draft)
                        change = draft.change(number)
                    except (TargetError, NotEditableError):
                        continue
                    if change.hunks:
                        changes.append(change)
                        changed[kind] += 1
                        break
            identity = journal.apply(journal.propose(changes).id, confirm=True).id
            now = {path: path.read_bytes() for path in root.rglob("*.md")}
            assert now == before | {root / one.path: one.apply(before.get(root / one.path)) for one in changes}
            for one in changes:
                holds(before.get(root / one.path, b""), now[root / one.path], one)
            journal.undo(identity)
            assert {path: path.read_bytes() for path in root.rglob("*.md")} == before
        assert changed.total() == len(names) == 60
        assert len(changed) == 10
        assert min(changed.values()) >= 3, changed
