"""Dataview's queries against the plain evaluator, which is written from the documentation alone: hundreds of made ones."""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from context.calendar import Calendar
from context.dataview import evaluate
from context.snapshot import Snapshot
from tests import slow_dataview
from tests.vaults import open_vault

NOW = datetime(2025, 9, 14, 9, 30, tzinfo=ZoneInfo("Europe/Berlin"))
SAMPLE = Path(__file__).resolve().parents[1] / "examples" / "vault"

# Notes as people have them: missing, mixed and empty properties, lists, dates, nested tags, names twice, other scripts.
AWKWARD = {
    "A.md": '---\nstatus: active\nrating: 5\ntags: [x, y/z]\ndue: 2025-09-20\nup: "[[B]]"\n---\nSee [[B]] and [[Deep/A]].\n- [ ] one [due:: 2025-09-13] #t\n  - [x] two\n- [ ] three\n',
    "B.md": "---\nstatus: done\nrating: 2.5\ntags: y\ndue: 2025-08-01\n---\nlevel:: 3\n#X #other/Deep\n- [x] done ✅ 2025-09-01\n- [/] half 📅 2025-09-14\n",
    "Deep/A.md": "---\nstatus: [active, done]\nrating: many\n---\n[[A]] ![[pic.png]] Level:: 4\n[mood:: fine] and (Long Name:: yes)\n",
    "Deep/Down/2025-09-10.md": "---\nstatus:\nrating: 0\nflag: true\n---\n[[B]] level:: 3\nlevel:: 5\n",
    "Deep/Down/Café.md": "---\nstatus: Active\nrating: -3\nflag: false\nspan: 2 weeks\nobj: {a: 1, b: {c: text}}\n---\n#y/z [[Missing]] [[Missing#Part|m]]\n- [ ] task\n",
    "Empty.md": "",
    "Über/Straße.md": "---\nstatus: planned\nrating: 5\nitems: [1, 2, text]\nwords: [alpha, beta]\n---\ndate:: 2025-09-12\n#x\n",
    "Über/20250911 note.md": "---\nrating: 10\nwords: alpha\n---\nwhen:: 2025-09-14T08:00\n[[A#Part]] [[Straße]]\n",
    "pic.png": "",
}  # fmt: skip
SECOND = {
    "Home.md": "[[Work/One]] [[Two]] [[Work/Index|i]]\n",
    "Work/One.md": "---\ntype: project\npriority: 1\nstart: 2025-01-31\nend: 2025-03-01\nowner: [[Ann]]\n---\n- [ ] plan [priority:: high]\n- [ ] do it 🛫 2025-09-01 📅 2025-09-30\n".replace("[[Ann]]", '"[[Ann]]"'),
    "Work/Two.md": '---\ntype: project\npriority: 3\nstart: 2025-02-01\nend: 2025-02-01\nowner: ["[[Ann]]", "[[Ben]]"]\n---\n[[One]]\n- [x] finished [completion:: 2025-09-02]\n',
    "Work/Index.md": "---\ntype: index\n---\n[[Work/One]] [[Work/Two]] [[Home]]\n",
    "Ann.md": "---\ntype: person\naliases: [Anna]\nborn: 1990-05-17\n---\nmanager:: [[Ben]]\n",
    "People/Ben.md": "---\ntype: person\nborn: 1988-02-29\n---\nskills:: python\nskills:: bread\nrate:: 12.5\n#person/lead\n",
    "Two.md": "---\ntype: note\npriority: high\n---\nnothing:: \nyes:: true\n",
}  # fmt: skip

Pick = Callable[..., str]


def query(choose: random.Random, names: Mapping[str, list[str]]) -> str:
    """One query, made of parts that people write."""

    def one(*options: str) -> str:
        return choose.choice(options)

    def field() -> str:
        return choose.choice(names["fields"])

    def value() -> str:
        return choose.choice(names["values"])

    def test(depth: int = 2) -> str:
        kind = choose.random()
        if depth and kind < 0.3:
            return f"({test(depth - 1)}) {one('and', 'or', 'AND', '&', '|')} ({test(depth - 1)})"
        if depth and kind < 0.38:
            return f"!({test(depth - 1)})"
        return one(
            field(),
            f"!{field()}",
            f"{field()} {one('=', '!=', '<', '>', '<=', '>=')} {value()}",
            f"{field()} {one('=', '!=')} {field()}",
            f'contains({one("file.name", "file.path", "file.folder", "status", "words", "file.tags", "file.etags")}, "{choose.choice(names["words"])}")',
            f'icontains(file.name, "{choose.choice(names["words"])}")',
            f"contains(file.outlinks, [[{choose.choice(names['notes'])}]])",
            f"contains(file.inlinks, [[{choose.choice(names['notes'])}]])",
            f'startswith(file.path, "{choose.choice(names["folders"])}")',
            f"length({one('file.tags', 'file.outlinks', 'file.inlinks', 'file.tasks', 'words', 'file.name')}) {one('=', '>', '<')} {choose.randint(0, 4)}",
            f"file.day {one('>', '<', '=', '!=')} date(2025-09-{choose.randint(9, 14):02})",
            f"{choose.choice(names['dates'])} {one('<', '>', '<=', '>=')} date({one('today', 'tomorrow', 'sow', 'eom', '2025-09-01', '2025-02')}) {one('', '+ dur(2 weeks)', '- dur(3 days)', '+ dur(1 month)')}",
            f"default({field()}, {one('0', '1')}) {one('=', '>')} {choose.randint(0, 5)}",
            f'regexmatch("{one(".*e.*", "[A-D]", "2025.*", ".+")}", file.name)',
            f'regextest("{one("e", "^[A-D]", "[0-9]+")}", file.name)',
            f"any(file.tasks, (t) => {one('t.completed', '!t.completed', 't.due')})",
            f"all(map(file.tags, (t) => length(t) > {choose.randint(1, 4)}), (b) => b)",
            f'typeof({field()}) = "{one("string", "number", "null", "date", "array", "boolean", "link")}"',
            f"{field()}.{one('year', 'month', 'a', 'file.name', 'status', 'type')} {one('=', '!=')} {value()}",
            f'lower({one("status", "file.name")}) = "{choose.choice(names["words"])}"',
            f"choice({field()}, true, false)",
            f'econtains({one("words", "status", "file.aliases")}, "{choose.choice(names["words"])}")',
            f"number({one('rating', 'priority', 'level')}) > {choose.randint(0, 4)}",
            f"{one('rating', 'priority', 'level')} {one('+', '-', '*')} 1 > {choose.randint(0, 6)}",
            f"(end - start) {one('>', '<')} dur({one('10 days', '3 weeks', '40 days')})",
            f'dateformat({choose.choice(names["dates"])}, "yyyy-MM") = "{one("2025-09", "2025-08", "2025-01")}"',
        )

    def source(depth: int = 2) -> str:
        kind = choose.random()
        if depth and kind < 0.25:
            return f"({source(depth - 1)}) {one('and', 'or')} ({source(depth - 1)})"
        if depth and kind < 0.35:
            return f"{one('-', '!')}{source(0)}"
        return one(
            f"#{choose.choice(names['tags'])}",
            f'"{choose.choice(names["folders"])}"',
            f"[[{choose.choice(names['notes'])}]]",
            f"outgoing([[{choose.choice(names['notes'])}]])",
            "[[]]",
        )

    lines = [
        one(
            "LIST",
            "LIST",
            f"LIST {field()}",
            "TABLE",
            f"TABLE {field()}, file.name AS x",
            f"TABLE WITHOUT ID {field()}",
            "TASK",
        )
    ]
    if choose.random() < 0.55:
        lines.append(f"FROM {source()}")
    lines += [f"WHERE {test()}" for _ in range(choose.choice((0, 1, 1, 1, 2)))]
    if choose.random() < 0.15:
        lines.append(f"FLATTEN {one('file.tags', 'words', 'status', 'file.outlinks', 'file.tasks')} AS flat")
        lines.append(one("WHERE flat", f"WHERE flat = {value()}", "SORT file.path"))
    if choose.random() < 0.4:
        lines.append(
            f"SORT {choose.choice(names['sorts'])} {one('', 'ASC', 'DESC')}{one('', ', file.path', ', file.name DESC')}"
        )
    if choose.random() < 0.2:
        lines.append(f"LIMIT {choose.randint(1, 5)}")
    if choose.random() < 0.12:
        lines.append(f"GROUP BY {one('status', 'type', 'file.folder', 'rating')}")
    if lines[0] in ("LIST", "TABLE") and lines[1:] and lines[1].startswith("SORT"):
        lines[0] += " file.name"  # Dataview takes this SORT for a field (its issue 1569)
    return "\n".join(lines)


WORLDS = {
    "awkward": {
        "fields": ["status", "rating", "due", "level", "flag", "mood", "long-name", "words", "items", "obj", "up", "missing", "file.day", "file.name", "completed"],
        "values": ['"active"', '"done"', "5", "2.5", "0", "true", "null", "date(2025-09-20)", '"Active"', "[[B]]"],
        "words": ["a", "e", "active", "Deep", "alpha", "#x", "é", "done"],
        "notes": ["A", "B", "Deep/A", "Straße", "Missing", "Empty"],
        "folders": ["Deep", "Deep/Down", "Über", "B", "Nowhere"],
        "tags": ["x", "y", "y/z", "other", "X", "none"],
        "dates": ["due", "file.day", "when"],
        "sorts": ["file.name", "rating", "status", "due", "file.folder", "file.path", "level", "length(file.outlinks)"],
        "this": ["A.md", "Deep/A.md"],
    },
    "second": {
        "fields": ["type", "priority", "start", "owner", "born", "manager", "skills", "rate", "yes", "nothing", "file.folder", "text", "aliases"],
        "values": ['"project"', '"person"', "1", "3", '"high"', "true", "null", "[[Ann]]", "date(2025-02-01)", '"python"'],
        "words": ["o", "two", "project", "Work", "bread", "Anna", "#person"],
        "notes": ["Ann", "Ben", "Work/One", "Two", "Work/Two", "Home"],
        "folders": ["Work", "People", "Work/One"],
        "tags": ["person", "person/lead", "nobody"],
        "dates": ["start", "end", "born", "due"],
        "sorts": ["file.name", "type", "start", "born", "file.path", "priority"],
        "this": ["Home.md", "Work/Index.md"],
    },
    "sample": {
        "fields": ["type", "status", "level", "due", "hardware", "rating", "tags", "days", "language", "learned-from", "completed", "author"],
        "values": ['"project"', '"active"', '"recipe"', '"done"', "4", "2", "date(2025-09-20)", "null", "[[Hiroko Sato]]"],
        "words": ["e", "project", "#kitchen", "02-Projects", "Note", "infra"],
        "notes": ["Hiroko Sato", "@Projects", "Furnace", "Home", "Koji at Home"],
        "folders": ["02-Projects", "04-Knowledge", "04-Knowledge/Recipes", "03-Infrastructure", "01-Journal"],
        "tags": ["kitchen", "kitchen/fermentation", "infra", "moc"],
        "dates": ["due", "file.day", "created", "completed"],
        "sorts": ["file.name", "file.path", "due", "status", "days", "rating"],
        "this": ["@Projects.md", "Home.md"],
    },
}  # fmt: skip


def sample() -> dict[str, str]:
    files = (path for path in sorted(SAMPLE.rglob("*")) if path.is_file() and "/." not in str(path))
    texts = {path.relative_to(SAMPLE).as_posix(): path.read_text("utf-8", errors="replace") for path in files}
    # A link without quotes is a list in a list to YAML, and so to Dataview; this product reads it as the link it means.
    return {path: re.sub(r"(?m)^([\w-]+): (\[\[[^\]]+\]\])$", r'\1: "\2"', text) for path, text in texts.items()}


def compared(seed: int, world: str, files: Mapping[str, str], snapshot: Snapshot, count: int) -> Counter[str]:
    """Evaluate made queries both ways; how many could be compared, and why the others could not."""
    outcomes: Counter[str] = Counter()
    names = WORLDS[world]
    for number in range(count):
        choose = random.Random(f"{seed} {world} {number}")
        text, this = query(choose, names), choose.choice(names["this"])
        ours = evaluate(text, snapshot, this, Calendar(NOW))
        theirs = slow_dataview.members(files, text, this, NOW, ordered=False)
        if isinstance(theirs, str):
            outcomes[theirs.split(":")[0]] += 1
            continue
        if ours.unsupported.startswith("fails: "):  # every row has an error: no row fits, and Dataview says why
            assert theirs == [], f"{ours.unsupported}, for\n{text}"
            outcomes["errors"] += 1
            continue
        assert not ours.unsupported, f"{ours.unsupported}; they say {theirs}, for\n{text}"
        assert sorted(ours.members) == sorted(theirs), text
        outcomes["sets"] += 1
        # The documentation gives groups no order; Dataview, and we, have them by their keys.
        sorts = "SORT" in text and "GROUP BY" not in text
        ordered = slow_dataview.members(files, text, this, NOW) if sorts else ""
        if isinstance(ordered, list):
            assert list(ours.members) == ordered, text
            outcomes["orders"] += 1
        if text.startswith("TASK"):
            found = slow_dataview.tasks(files, text, this, NOW)
            if isinstance(found, list):
                assert sorted(ours.tasks) == sorted(set(found)), text
                outcomes["tasks"] += 1
        if theirs and len(theirs) < len(files):
            outcomes["telling"] += 1
    return outcomes


@pytest.mark.parametrize("world", WORLDS)
def test_made_queries_give_what_the_documentation_says(tmp_path: Path, world: str) -> None:
    files = {"awkward": AWKWARD, "second": SECOND, "sample": {}}[world] or sample()
    snapshot = open_vault(tmp_path / "vault", files).snapshot
    few = world == "sample"  # the plain evaluator reads all 76 notes anew for each query
    outcomes = compared(1, world, files, snapshot, 80 if few else 400)
    assert outcomes["sets"] >= (40 if few else 200), outcomes
    assert outcomes["telling"] >= (20 if few else 60), outcomes
    assert outcomes["orders"] >= 10, outcomes
