"""Answers from the vault alone: the sample vault's briefing to the letter, and what each line may say.

After a change that is meant, write the briefing anew with `KOS_REWRITE=1 python -m pytest tests/test_commands_brief.py`
and read the difference.
"""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import health
from commands.brief import ANSWERS, Matter, facts
from commands.excerpt import short as shorten
from commands.gate import Gate
from commands.select import Selection, build
from context.assemble import BYTES4
from context.cache import open_cache
from context.calendar import calendar
from context.index import Index
from context.kinds import configured
from context.members import members_of
from context.query import scope
from context.vault import Vault, VaultOptions
from inference.node import NodeUnavailable
from prompts import FALLBACKS
from tests.houses import Nodes, done, house, ran
from tests.vaults import open_vault, write

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "examples" / "vault"
GOLDEN = ROOT / "tests" / "cases" / "orient.md"
DAILY = {".obsidian/daily-notes.json": '{"folder": "Daily"}'}


@pytest.fixture(scope="module")
def sample() -> Vault:
    return Vault(SAMPLE, Index(None))


def matter(vault: Vault, text: str = "", *, within: Any = None, now: str = "2025-09-14") -> Matter:
    """What answers are made of, as a run puts it together."""
    gather = {"search": 0.5, "projects": 0.5}
    wanted = Selection(text, gather, 4000, BYTES4, scope(within), calendar(now, "Europe/Berlin"))
    chosen = build(vault, open_cache("memory", vault_id="t", path=None), wanted)
    ready = chosen.gathering
    found = health.check(members_of(ready.snapshot, ready.calendar), ready.notes, ready.survey)

    def read(path: str) -> str:
        return (ready.read(path) or (None, ""))[1]

    return Matter(ready.snapshot, ready.notes, ready.survey, chosen.context, found, read, text)


def sections(answer: str) -> dict[str, list[str]]:
    """The lines below each heading."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", answer, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        found[title] = [line for line in body.splitlines() if line.strip()]
    return found


def said(kind: str, vault: Vault, text: str = "", **more: Any) -> dict[str, list[str]]:
    return sections(ANSWERS[kind](matter(vault, text, **more)))


# --- the sample vault on 14 September 2025


def test_the_briefing_of_the_sample_vault_to_the_letter(sample: Vault) -> None:
    answer = done(ran(house(sample, Nodes([[NodeUnavailable("away")]])), "orient"))["answer"] + "\n"
    if os.environ.get("KOS_REWRITE"):
        GOLDEN.write_text(answer, "utf-8")
    assert answer == GOLDEN.read_text("utf-8")


def test_the_briefing_says_what_matters(sample: Vault) -> None:
    found = said("briefing", sample)
    assert list(found) == [
        "Last days", "Active projects", "Overdue", "Due this week", "Blocked", "Changed", "Systems",
    ]  # fmt: skip
    assert [line.split("]]")[0] for line in found["Active projects"]] == [
        "- [[Fermentation Chamber", "- [[Vault Commands", "- [[Kitchen Notebook", "- [[Family Photo Archive",
    ]  # fmt: skip
    assert found["Overdue"][0] == (
        "- overdue since 2025-07-27: Close the port on Furnace for everyone but Kettle ([[2025-07-20#Tasks]])"
    )
    assert "- today: Plan the week with Daniel ([[2025-W37#Next Week]])" in found["Due this week"]
    assert found["Due this week"][-1] == "- and 23 more"
    assert found["Blocked"] == [
        "- [[Off-Site Backup]] is blocked: pool larder on Pantry is degraded, no big reads before the resilver is through"
    ]
    assert found["Systems"][0].startswith("- [[03-Infrastructure/Pantry]] is degraded: ")
    assert found["Systems"][1] == "- running: [[Ballast]], [[Crumb]], [[Furnace]], [[Gatepost]], [[Kettle]]"


def test_the_plan_says_what_unlocks_what(sample: Vault) -> None:
    found = said("skeleton", sample)
    assert found["Ready to start"] == ["- [[Speech Notes]]: its prerequisites are done"]
    projects = found["Projects"]
    at = next(place for place, line in enumerate(projects) if "[[Off-Site Backup]] is blocked" in line)
    assert projects[at + 1] == "  - unlocks [[The House Without Me]]"
    assert "Koji at Home" not in str(found["Ready to start"]), "its chamber is not built yet"


def test_the_health_of_the_sample_vault(sample: Vault) -> None:
    found = said("health", sample)
    assert list(found) == [
        "Unreadable properties (1)", "Unresolved link (6)", "Overdue task (7)", "Ambiguous name (1)", "Orphan (2)",
    ]  # fmt: skip
    assert found["Unresolved link (6)"][0] == "Write the missing note, or correct the link."


def test_what_the_words_found_comes_first(sample: Vault) -> None:
    answer = ANSWERS["findings"](matter(sample, "carbon steel"))
    first, quote = answer.splitlines()[2:4]
    assert first == "- [[Carbon Steel Seasoning]]"
    assert quote.startswith("  > The pan is a 28 cm lyonnaise")
    assert "title:" not in answer, "properties are no quotation"


def test_a_quote_has_the_lines_of_the_note_and_no_query(tmp_path: Path) -> None:
    text = """---
status: open
---
# Plums
```dataview
LIST FROM #plums
```

How to keep plums. ^keep
- wash them
  - in cold water
- dry them

## Shelf
![[Shelf.base#Plums]]

> ```tasks
> not done
> ```

~~~sh
ls plums
~~~
---
{}
"""
    files = {"Plums.md": text.format("a long line " * 40), "Query.md": "# Plums\n```base\nviews: []\n```\n"}
    answer = ANSWERS["findings"](matter(open_vault(tmp_path, files), "plums"))
    assert answer.splitlines()[2:] == [
        "- [[Plums]]",
        "  > How to keep plums.",
        "  > - wash them",
        "  >   - in cold water",
        "  > - dry them",
        "  >",
        "  > ## Shelf",
        "  >",
        "  >     ls plums …",
    ], "what is a query alone says nothing"
    long = {"Long.md": "# Figs\n" + "a long line " * 40}
    last = ANSWERS["findings"](matter(open_vault(tmp_path / "1", long), "figs")).splitlines()[-1]
    assert last.startswith("  > a long line a long line")
    assert re.search(r" (?:a|long|line) …$", last), "cut at a word"
    assert 220 < len(last) < 250
    short = {"List.md": "# Pears\n" + "".join(f"- pear {n}\n" for n in range(9))}
    answer = ANSWERS["findings"](matter(open_vault(tmp_path / "2", short), "pears"))
    assert answer.splitlines()[3:] == [*(f"  > - pear {n}" for n in range(5)), "  > - pear 5 …"]


ROUTER = """---
type: hardware
vendor: AVM
---
# Router
The box in the hallway, behind the coats. It came from the provider when we moved in, and nobody has touched it since.

Login: user admin on the usual page, the password is in the safe.
Reset: hold the button at the back for ten seconds until all lamps are on.
Ports: one WAN, four LAN with a gigabit each, two USB for printers.

- Placed in the hallway since 2021
- Firmware of last spring, updates by itself at night

Reboot script:
```sh
ssh admin@router reboot
```

Warranty ends on 2027-03-31, the bill is in the blue folder.
"""
INSURANCE = """# Insurance
All the policies of the family, as of this year.

| Company | What | Number | Renews |
|---|---|---|---|
| Allianz | household contents, glass too | 4711-22 | 2026-01-01 |
| HUK | liability of all four of us | 815-99 | 2026-02-01 |
| Debeka | Felix's teeth, and the braces | 77-12 | 2026-02-15 |
| R+V | legal, without rent | 100-200-3 | 2026-04-01 |
| ADAC | breakdown and trips abroad | 55501 | 2026-05-01 |
| Barmer | health of all of us | 9 | never |
"""
PAPERS = """# Papers
My identity card was issued in the town hall on the third of May and it is good for ten years from then on, which means
that I need a new one before the summer of that year comes, with a photo that is not older than half a year. My passport
has the number C01X00T47 and lies in the upper drawer. The driving licence is from 2003 and has no end.
"""
FACTS = {
    "Router.md": ROUTER,
    "Insurance.md": INSURANCE,
    "Papers.md": PAPERS,
    "Papers in one line.md": PAPERS.replace("\n", " ").removeprefix("# Papers "),
    "Piano.md": "---\nteacher: Mr Brandt\nday: Thursday\n---\n",
    "台所.md": "# 台所\n" + "今日も雨が降っていて、特に何も起こらなかった。\n" * 20 + "味噌は冷蔵庫の奥にある。\n",
}


@pytest.mark.parametrize(
    ("question", "note", "fact"),
    [
        ("Which ports does the router have?", "Router", "Ports: one WAN, four LAN with a gigabit each"),
        ("What is the reboot script of the router?", "Router", "Reboot script:\n  >\n  >     ssh admin@router reboot"),
        ("When does the router's warranty end?", "Router", "Warranty ends on 2027-03-31"),
        ("Who is the vendor of the router?", "Router", "vendor: AVM"),
        ("When does my insurance at ADAC renew?", "Insurance", "| ADAC | breakdown and trips abroad | 55501 | 2026-05-01 |"),
        ("When does my insurance at ADAC renew?", "Insurance", "| Company | What | Number | Renews |\n  > |---|---|---|---|"),
        ("What is the number of my passport?", "Papers", "has the number C01X00T47"),
        ("What is the number of my passport?", "Papers in one line", "has the number C01X00T47"),
        ("Who is the piano teacher?", "Piano", "  > teacher: Mr Brandt"),
        ("味噌はどこ", "台所", "味噌は冷蔵庫の奥にある。"),
    ],
)  # fmt: skip
def test_the_fact_that_is_asked_for_is_quoted(tmp_path: Path, question: str, note: str, fact: str) -> None:
    answer = ANSWERS["findings"](matter(open_vault(tmp_path, {f"{note}.md": FACTS[f"{note}.md"]}), question))
    assert fact in answer


def test_an_excerpt_is_cited_by_the_heading_it_stands_under(tmp_path: Path) -> None:
    text = "# Start\n## Due soon\n- the tax\n## Standing rules\n1. No more than three projects are active.\n"
    answer = ANSWERS["findings"](matter(open_vault(tmp_path, {"Home.md": text}), "What projects are active?"))
    assert answer.splitlines()[2:] == [
        "- [[Home#Standing rules]]",
        "  > 1. No more than three projects are active.",
    ]


def test_a_note_that_changed_meanwhile_is_cited_without_a_heading(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, {"Home.md": "# Start\n## Rules\nThree projects are active.\n"})
    known = matter(vault, "active projects")
    write(tmp_path, {"Home.md": "# Old\n## Moved\n"})
    vault.refresh()
    answer = ANSWERS["findings"](replace(known, snapshot=vault.snapshot))
    assert answer.splitlines()[2:] == ["- [[Home]]", "  > Three projects are active."]


def test_what_says_nothing_is_no_answer(tmp_path: Path) -> None:
    answer = ANSWERS["findings"](matter(open_vault(tmp_path, {"Figs.md": ""}), "figs"))
    assert answer == "The vault holds nothing that fits these words."


ACTIVE = "---\ntype: project\nstatus: active\n---\n"


@pytest.mark.parametrize("command", ["ask", "research", "update"])
def test_what_is_only_at_work_is_no_answer(tmp_path: Path, command: str) -> None:
    vault = open_vault(
        tmp_path, DAILY | {"Shed.md": ACTIVE + "# Shed\nPaint it.\n", "Kompost.md": "Turn it monthly.\n"}
    )
    of = house(vault, Nodes([[NodeUnavailable("away")]]))
    nothing = done(ran(of, command, text="xyzzy"))["answer"]
    assert nothing == "The vault holds nothing that fits these words."
    found = done(ran(of, command, text="Kompost"))["answer"]
    assert found.splitlines()[2:] == ["- [[Kompost]]", "  > Turn it monthly."]


def test_a_project_that_holds_the_words_is_quoted(tmp_path: Path) -> None:
    text = ACTIVE + "# Beds\n" + "".join(f"## Part {n}\n{'soil and seed ' * 60}\n" for n in range(6)) + "The kompost.\n"
    vault = open_vault(tmp_path, {"Beds.md": text, "Shed.md": ACTIVE + "# Shed\nPaint it.\n"})
    known = matter(vault, "kompost")
    passages = tuple(replace(one, lane="projects") for one in known.context.passages)
    assert {one.path for one in passages} == {"Beds.md", "Shed.md"}
    answer = ANSWERS["findings"](replace(known, context=replace(known.context, passages=passages)))
    assert "The kompost." in answer
    assert "[[Shed]]" not in answer


def test_the_answer_of_a_run_quotes_what_was_asked_for(tmp_path: Path) -> None:
    of = house(open_vault(tmp_path, FACTS), Nodes([[NodeUnavailable("away")]]))
    answer = done(ran(of, "ask", text="When does the router's warranty end?"))["answer"]
    assert "Warranty ends on 2027-03-31" in answer


@pytest.mark.parametrize("kind", FALLBACKS)
def test_every_line_is_cited_and_every_link_resolves(sample: Vault, kind: str) -> None:
    assert set(ANSWERS) == set(FALLBACKS)
    known = matter(sample, "disk koji salt")
    for answer in (ANSWERS[kind](known), facts(known, kind)):
        lines = [line for line in answer.splitlines() if re.match(r" *- (?!and \d+ more)", line)]
        assert lines
        for line in lines:
            assert "[[" in line, line
        gate = Gate(sample.snapshot)
        gate.feed(answer)
        gate.finish()
        assert gate.links.plain == 0, answer
        assert gate.links.repaired == 0, answer


# --- one by one


def test_an_empty_vault_is_told_as_one(tmp_path: Path) -> None:
    empty = matter(open_vault(tmp_path))
    for kind in ("briefing", "skeleton"):
        assert ANSWERS[kind](empty).startswith("The vault holds no daily notes, projects, dated tasks or systems yet.")
    assert ANSWERS["findings"](empty) == "The vault holds nothing that fits these words."
    assert ANSWERS["health"](empty) == "No fault was found in the notes of this scope."
    assert facts(empty, "briefing").startswith("- the vault holds no")
    assert facts(empty, "health") == "- none"


def test_that_the_latest_notes_stand_in_is_said_first(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, DAILY | {"Daily/2024-01-05.md": "Walked to the lake and back."})
    answer = ANSWERS["briefing"](matter(vault))
    assert answer.startswith("*There is no daily note from 2025-09-12 to 2025-09-14; the latest ones are used (2024-")
    assert "- **2024-01-05** Walked to the lake and back. ([[2024-01-05]])" in answer
    assert facts(matter(vault), "briefing").startswith("- There is no daily note from")


def test_a_day_is_told_by_what_happened(tmp_path: Path) -> None:
    text = """---
energy: a long property that is no event
---
# Sunday, the 14th of September

> a quotation that somebody else has said
## Log
- 08:00 Walked to the lake and back. ^walk
- [ ] a task that is still to be done
- mood:: very good and rather sunny
- short
| a table | that is not prose |
```
code that is no prose either
```
%% hidden words of the writer %%
%%
more hidden words of the same writer
%%
Then it rained for hours and hours.
"""
    found = said("briefing", open_vault(tmp_path, DAILY | {"Daily/2025-09-14.md": text, "Daily/2025-09-13.md": "#x"}))
    assert found["Last days"] == [
        "- **2025-09-14** 08:00 Walked to the lake and back. ([[2025-09-14#Log]])",
        "- Then it rained for hours and hours. ([[2025-09-14#Log]])",
        "- [[2025-09-13]]",
    ]


def test_of_a_long_day_the_last_lines_are_told(tmp_path: Path) -> None:
    log = "# Log\n" + "".join(f"- 1{n}:00 this is entry {n}\n" for n in range(6))
    files = {f"Daily/2025-09-{day:02}.md": log for day in range(8, 15)}
    vault = open_vault(tmp_path, DAILY | files)
    told = said("briefing", vault)["Last days"]
    assert told[:4] == [
        "- **2025-09-14** (and 3 earlier) 13:00 this is entry 3 ([[2025-09-14#Log]])",
        "- 14:00 this is entry 4 ([[2025-09-14#Log]])",
        "- 15:00 this is entry 5 ([[2025-09-14#Log]])",
        "- **2025-09-13** (and 3 earlier) 13:00 this is entry 3 ([[2025-09-13#Log]])",
    ]
    assert told[6:] == [
        "- **2025-09-12** (and 4 earlier) 14:00 this is entry 4 ([[2025-09-12#Log]])",
        "- 15:00 this is entry 5 ([[2025-09-12#Log]])",
    ], "what has no room is the beginning of a day, not its end"
    plan = done(ran(house(vault, Nodes([[NodeUnavailable("away")]])), "plan"))["answer"]
    week = sections(plan)["Reflection"]
    assert len(week) == 16
    assert week[:3] == told[:3]
    assert [line[4:14] for line in week if line.startswith("- **")] == [f"2025-09-{day:02}" for day in range(14, 7, -1)]
    assert week[-1] == "- **2025-09-08** (and 5 earlier) 15:00 this is entry 5 ([[2025-09-08#Log]])"


def test_what_was_kept_last_is_told_of_a_day_that_says_more_behind_its_log(tmp_path: Path) -> None:
    text = "## Log\n- 08:00 Walked to the lake.\n## Reflection\n" + "It was a day of many thoughts.\n" * 5
    vault = open_vault(tmp_path, DAILY | {"Daily/2025-09-14.md": text})
    of = house(vault, Nodes([[NodeUnavailable("away")]]), now="2025-09-14T21:00:00")
    done(ran(of, "update", text="The pump runs again.", apply="capture"))
    for command, section in (("orient", "Last days"), ("plan", "Reflection")):
        assert sections(done(ran(of, command))["answer"])[section] == [
            "- **2025-09-14** (and 4 earlier) 21:00 The pump runs again. ([[2025-09-14#Log]])",
            *["- It was a day of many thoughts. ([[2025-09-14#Reflection]])"] * 2,
        ]


@pytest.mark.parametrize(
    ("properties", "body", "line"),
    [
        ("blocked-by: the weather", "", "is blocked: the weather"),
        ("blocked-since: 2025-09-01\nblocked-by: the weather", "", "is blocked: the weather"),
        ("blocker: ['[[Q]]', the weather]", "", "is blocked: [[Q]], the weather"),
        ("blocks: '[[Q]]'", "", "is blocked"),
        (
            "blocks: '[[Q]]'",
            "## Log\nWaiting for the paint to dry.",
            "#Log]] is blocked: Waiting for the paint to dry.",
        ),
        ("x: y", "All is well, only slow and dull.", "is blocked"),
    ],
)
def test_why_a_project_is_blocked(tmp_path: Path, properties: str, body: str, line: str) -> None:
    text = f"---\ntype: project\nstatus: blocked\n{properties}\n---\n{body}\n"
    found = said("briefing", open_vault(tmp_path, {"P.md": text, "Q.md": ""}))
    assert len(found["Blocked"]) == 1
    assert found["Blocked"][0].endswith(line)


def test_a_project_says_where_it_stands(tmp_path: Path) -> None:
    def project(**properties: str) -> str:
        return "---\ntype: project\nstatus: active\n" + "".join(f"{k}: {v}\n" for k, v in properties.items()) + "---\n"

    files = {
        "A.md": project(due="2025-09-13", level="mastery") + "## Next\n- [ ] call [[B]]\n",
        "B.md": project(),
    }
    assert said("briefing", open_vault(tmp_path, files))["Active projects"] == [
        "- [[A]] (mastery), due 2025-09-13 (overdue). Next: call [[B]] ([[A#Next]])",
        "- [[B]]: no open task",
    ]


def test_what_a_system_lacks(tmp_path: Path) -> None:
    files = {
        "Pump.md": "---\ntype: device\nstatus: broken\n---\n## History\nBought in the spring.\n## Problems\nIt leaks a little.\n",
        "Lamp.md": "---\ntype: device\nstatus: ok\n---\n",
        "Box.md": "---\ntype: device\n---\n",
    }
    assert said("briefing", open_vault(tmp_path, files))["Systems"] == [
        "- [[Pump]] is broken: It leaks a little.",
        "- running: [[Lamp]]",
    ]


def test_what_is_ready_stays_in_scope(tmp_path: Path) -> None:
    planned = "---\ntype: project\nstatus: planned\nprerequisites: ['[[Base]]']\n---\n"
    files = {
        "In/Go.md": planned,
        "Out/Gone.md": planned,
        "In/Wait.md": planned.replace("Base", "Go"),
        "Out/Base.md": "---\ntype: project\nstatus: done\n---\n",
    }
    vault = open_vault(tmp_path, files)
    assert said("skeleton", vault, within={"folder": "In"})["Ready to start"] == [
        "- [[Go]]: its prerequisites are done"
    ]
    assert len(said("skeleton", vault)["Ready to start"]) == 2


def test_open_ends_are_tasks_without_a_day(tmp_path: Path) -> None:
    text = "## Tasks\n- [ ] sweep\n- [x] dust\n- [-] polish\n- [ ] wash 📅 2025-09-15\n"
    found = said("skeleton", open_vault(tmp_path, DAILY | {"Daily/2025-09-14.md": text}))
    assert found["Open ends"] == ["- [ ] sweep ([[2025-09-14#Tasks]])"]


def test_a_note_that_changed_meanwhile_is_not_quoted_from_the_wrong_place(tmp_path: Path) -> None:
    vault = open_vault(tmp_path, DAILY | {"Daily/2025-09-14.md": "# Log\nWalked to the lake and back.\n"})
    write(tmp_path, {"Daily/2025-09-14.md": "# Other\nSomething quite different and longer than before.\n"})
    answer = done(ran(house(vault, Nodes([[NodeUnavailable("away")]])), "orient"))["answer"]
    assert sections(answer)["Last days"] == ["- [[2025-09-14]]"]


def test_sections_are_read_in_a_minute(tmp_path: Path) -> None:
    files = {f"P{n:02}.md": "---\ntype: project\nstatus: active\n---\n" for n in range(30)}
    found = said("briefing", open_vault(tmp_path, files))["Active projects"]
    assert (len(found), found[-1]) == (9, "- and 22 more")


@given(st.text(st.sampled_from("ab [[]]|"), max_size=600))
def test_a_line_is_cut_at_a_word_and_never_inside_a_link(text: str) -> None:
    short = shorten(text)
    if len(text) <= 240:
        assert short == text
        return
    assert len(short) <= 242
    assert short.endswith(" …")
    body = short.removesuffix(" …")
    assert text.startswith(body)
    assert body.count("[[") <= body.count("]]")


def test_an_empty_vault_is_told_what_its_own_kinds_are_known_by(tmp_path: Path) -> None:
    kinds = configured({"project": {"types": ["effort"], "tags": ["doing"], "folder": "Efforts"}})
    told = ANSWERS["briefing"](matter(open_vault(tmp_path, {}, VaultOptions(kinds=kinds))))
    assert "a project has `type: effort` among its properties or is tagged #doing or lies in Efforts" in told
    assert "a system has `type: hardware` among its properties." in told


def test_what_is_ready_to_start_goes_by_the_kinds(tmp_path: Path) -> None:
    files = {
        "Efforts/A.md": '---\nstatus: planned\nprerequisites: ["[[B]]"]\n---\n',
        "Efforts/B.md": "---\nstatus: active\n---\n",
        "Efforts/C.md": "---\nstatus: planned\n---\n",
    }
    vault = open_vault(tmp_path, files, VaultOptions(kinds=configured({"project": {"folder": "Efforts"}})))
    plan = ANSWERS["skeleton"](matter(vault))
    assert "[[C]]: no project has to come first" in plan
    assert "[[A]]: its prerequisites" not in plan
