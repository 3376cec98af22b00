"""Bases against the slow evaluator: thousands of made filters, formulas, sorts and limits over awkward notes.

What the slow evaluator calls undocumented is left out; what both evaluate must agree.
"""

import json
import random
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from context import graph as graphs
from context.bases import evaluate
from context.calendar import calendar
from context.kinds import Kinds
from context.names import Names
from context.note import parse
from context.obsidian import ObsidianSettings
from context.snapshot import Snapshot
from tests.slow_bases import Around, members

SAMPLE = Path(__file__).parent.parent / "examples" / "vault"
CALENDAR = calendar("2025-09-14T09:30:00", "Europe/Berlin")
NOW = datetime(2025, 9, 14, 9, 30, tzinfo=CALENDAR.now.tzinfo)

AWKWARD: dict[str, str] = {
    "Home.md": "---\nid: 1\ntype: moc\n---\n[[Alpha]] ![[plan.png]] [[Nowhere]]\n",
    "Projects/Alpha.md": '---\nid: 2\nstatus: active\nrating: 3\ndue: 2025-09-20\ntags: [work, area/home]\nauthor: "[[Ann]]"\ndone: false\n---\nText with #inline/deep and [[Beta|b]].\n',
    "Projects/Beta.md": '---\nid: 3\nstatus: done\nrating: 4.5\ndue: 2025-01-31T18:00\ntags: work\nauthor: ["[[Ann]]", "[[Nobody]]"]\ndone: true\n---\n[[Alpha]] and [[Ann]]\n',
    "Projects/Archive/Alpha.md": "---\nid: 4\nstatus: [active, old]\nrating: '3'\ndue: someday\ntags:\n---\n[[Home]]\n",
    "Projects/Empty.md": "",
    "Projects/No properties.md": "Only words, #Work and `#nocode`.\n```\n[[Ann]] #code\n```\n",
    "People/Ann.md": '---\nid: 5\naliases: [Annie, "Ann O."]\nage: 30\nfriends: ["[[Ben]]", "[[ann]]"]\nnested:\n  city: Bonn\n  level: 2\n---\n[[Ann]]\n',
    "People/Ben.md": '---\nid: 6\naliases: Benny\nage: 0\nstatus: ""\nrating: -2\nfriends: []\nauthor: "[[Ann|she]]"\n---\n#area #area/work\n',
    "People/日本.md": '---\nid: 7\nstatus: "進行中"\nrating: 10\ntags: ["日本/東京", "area"]\ndue: 2024-02-29\n---\n[[日本]] [x](Ann.md)\n',
    "Deep/er/er/Note 10.md": "---\nid: 8\nstatus: Active\nrating: 1000000\ndue: 2025-09-14\nlist: [1, two, [3, 4], null, true]\n---\n[[../../Nowhere]] [[Beta#Part]]\n",
    "Deep/Note 9.md": '---\nid: 9\nstatus: null\nrating: 0.5\ndue: 2025-09-14T09:30:00\nlist: [a, b, a]\ntext: "a:b:c"\n---\n',
    "Deep/Broken.md": "---\nstatus: [unclosed\n---\n#area\n",
    "plan.png": "not a picture",
    "Board.canvas": '{"nodes": []}',
    "Things.base": "filters:\n  and: []\n",
}


# Types as a person may have assigned them; not all values are of theirs.
TYPES = {"due": "date", "rating": "number", "done": "checkbox", "text": "text", "status": "text", "age": "datetime"}


def snapshot(files: Mapping[str, str], types: Mapping[str, str] | None = None) -> Snapshot:
    notes = {
        path: parse(path, text.encode(), _stamp(path))
        for path, text in files.items()
        if path.endswith((".md", ".canvas"))
    }
    others = {path: (_stamp(path), len(text.encode())) for path, text in files.items() if path not in notes}
    names = Names(files)
    links = graphs.build(notes, names)
    return Snapshot(notes, frozenset(files), names, links, ObsidianSettings(types=types or {}), {}, Kinds(), others)


def _stamp(path: str) -> int:
    """When a file was written, in nanoseconds: all of them within the days before now, none at the same time."""
    return int(NOW.timestamp() - crc32(path.encode()) % 2_000_000) * 1_000_000_000


def sample() -> dict[str, str]:
    return {
        path.relative_to(SAMPLE).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(SAMPLE.rglob("*"))
        if path.is_file() and ".obsidian" not in path.parts
    }


class Maker:
    """Makes queries at random from what the language has, with values that occur in the notes."""

    def __init__(
        self, seed: int, files: Mapping[str, str], words: list[str], numbers: list[str], often: Iterable[str] = ()
    ) -> None:
        self.random = random.Random(seed)
        self.often = sorted(often)
        self.words = words
        self.numbers = numbers
        self.names = sorted({path.rsplit("/", 1)[-1].removesuffix(".md") for path in files})
        self.folders = sorted({path.rpartition("/")[0] for path in files if "/" in path})
        self.properties = sorted(
            {name for path, text in files.items() if path.endswith(".md") for name in self._of(text)}
        )

    @staticmethod
    def _of(text: str) -> list[str]:
        return [name for name in parse("x.md", text.encode()).properties if name.isidentifier()] or ["missing"]

    def one(self, *options: Any) -> Any:
        return self.random.choice(options)

    def property(self) -> str:
        names = self.often if self.often and self.random.random() < 0.6 else self.properties
        name = self.random.choice(names)
        return str(self.one(name, name, f"note.{name}", f'note["{name}"]'))

    def text(self) -> str:
        return json.dumps(self.random.choice(self.words), ensure_ascii=False)

    def day(self) -> str:
        return str(
            self.one('date("2025-09-14")', "today()", "now()", 'date("2025-09-14 09:30:00")', 'today() + "1M"', 'date("2024-02-29") - "1 year"', 'date("2025-01-31 12:00:00")', 'now() - "2 weeks"')
        )  # fmt: skip

    def number(self, depth: int = 2) -> str:
        if depth and self.random.random() < 0.4:
            return f"({self.number(depth - 1)} {self.one(*'+-*/%')} {self.number(depth - 1)})"
        return str(
            self.one(
                self.random.choice(self.numbers), self.property(), f"list({self.property()}).length", "file.name.length",
                f"max({self.random.choice(self.numbers)}, 2)", f"if({self.property()}, 1, 2)",
                f"{self.property()}.{self.one('abs', 'round', 'floor', 'ceil')}()", "file.size", "file.tags.length",
                f"number({self.random.choice(self.numbers)})", f"{self.property()}.{self.one('year', 'month', 'day', 'hour')}",
            )
        )  # fmt: skip

    def string(self) -> str:
        return str(
            self.one(
                self.text(), self.property(), "file.name", "file.basename", "file.ext", "file.path", "file.folder",
                f"{self.property()}.lower()", f"file.name.slice({self.one(0, 1, 2)}, {self.one(3, 4)})",
                f'{self.property()}.format("YYYY-MM")', f'{self.property()}.trim().replace("a", "b")',
                f'file.name.split(" ")[{self.one(0, 1)}]', f'"x" + {self.text()}', f"{self.text()}.title()",
                f'list({self.property()}).filter(value.isType("string")).join("-")', f"{self.text()}.reverse()",
            )
        )  # fmt: skip

    def items(self) -> str:
        return str(
            self.one(
                f"list({self.property()})", "file.tags.map(value)", "file.links", "file.embeds", "[1, 2, 3]",
                f"[{self.text()}, {self.text()}]", f"list({self.property()}).filter(value == {self.text()})",
                f"list({self.property()}).reverse()", f"list({self.property()}).unique()",
                "file.properties.keys()", f"list({self.property()}).slice(0, 1)", "[1, [2, 3]].flat()",
            )
        )  # fmt: skip

    def link(self) -> str:
        name = json.dumps(self.random.choice(self.names), ensure_ascii=False)
        return str(self.one(f"link({name})", "this", "this.file", "file", f"file({name})", 'link("Nowhere")'))

    def statement(self, depth: int = 2) -> str:
        if depth and self.random.random() < 0.35:
            joined = f" {self.one('&&', '||')} ".join(self.statement(depth - 1) for _ in range(2))
            return str(self.one(f"({joined})", f"!({joined})", joined))
        if self.random.random() < 0.12:
            return f"!{self.test()}"
        return self.test()

    def test(self) -> str:
        folder = json.dumps(self.random.choice(self.folders), ensure_ascii=False)
        name = json.dumps(self.random.choice(self.names), ensure_ascii=False)
        order = self.one("<", "<=", ">", ">=")
        equals = self.one("==", "!=")
        return str(
            self.one(
                f"{self.property()} {equals} {self.text()}", f"{self.property()} {equals} {self.random.choice(self.numbers)}",
                f"{self.property()} {order} {self.random.choice(self.numbers)}", f"{self.property()} {order} {self.day()}",
                f"{self.property()} {equals} {self.day()}", f"file.mtime {order} {self.day()}", f"file.size {order} {self.one(13, 60, 120)}", f"{self.number()} {order} {self.number()}",
                f"{self.string()} {equals} {self.string()}", f"{self.string()} {order} {self.string()}",
                f"file.hasTag({self.text()})", f"file.hasTag({self.text()}, {self.text()})", f"file.inFolder({folder})",
                f"file.folder {equals} {folder}", f"file.hasLink({name})", "file.hasLink(this.file)", f"file.hasProperty({self.text()})",
                f"{self.property()}.isEmpty()", f"{self.property()}", f"{self.string()}.{self.one('contains', 'startsWith', 'endsWith')}({self.text()})",
                f"{self.string()}.containsAny({self.text()}, {self.text()})", f"{self.property()}.contains({self.text()})",
                f"{self.items()}.contains({self.one(self.text(), self.link(), self.random.choice(self.numbers))})",
                f"{self.items()}.containsAny({self.text()}, {self.link()})", f"{self.items()}.length {order} {self.one(0, 1, 2)}",
                f"{self.property()} {equals} {self.link()}", f"{self.property()}.isType('{self.one('string', 'number', 'list', 'date', 'boolean')}')",
                f"/{self.one('a', '^[A-Z]', '[0-9]+$', '(a|e)n', '.l.h')}/{self.one('', 'i')}.matches({self.string()})",
                f'{self.property()} + "{self.one("1d", "2 weeks", "1M", "3 hours")}" {order} {self.day()}',
                f"list({self.property()}).map(value == {self.text()}).contains(true)", "formula.one", f"formula.two {order} 3", 'file.ext == "md"',
                f"list({self.property()}).reduce(acc + 1, 0) {order} 2", f"{self.property()}.city {equals} {self.text()}",
                f"if({self.property()}, {self.property()} == {self.text()}, {self.one('true', 'false')})",
            )
        )  # fmt: skip

    def filters(self, depth: int = 2) -> Any:
        if not depth or self.random.random() < 0.4:
            return self.statement()
        return {self.one("and", "or", "not"): [self.filters(depth - 1) for _ in range(self.random.randint(1, 3))]}

    def base(self) -> dict[str, Any]:
        view: dict[str, Any] = {"type": self.one("table", "cards", "list"), "name": "One"}
        if self.random.random() < 0.7:
            view["filters"] = self.filters()
        base: dict[str, Any] = {"formulas": {"one": self.statement(1), "two": self.number()}, "views": [view]}
        if self.random.random() < 0.5:
            base["filters"] = self.filters()
        if self.random.random() < 0.3 and "id" in self.properties:
            # Only among files with an id of their own is there an order that the documentation knows.
            base["filters"] = {"and": [*([base["filters"]] if "filters" in base else []), 'file.hasProperty("id")']}
            first = self.one("id", "note.id", "due", "rating", "formula.two", "file.size", "file.mtime")
            view["sort"] = [
                {"property": first, "direction": self.one("ASC", "DESC")},
                {"property": "id", "direction": self.one("ASC", "DESC")},
            ]
            if self.random.random() < 0.5:
                view["limit"] = self.random.randint(1, 5)
        return base


def compared(
    files: Mapping[str, str], maker: Maker, rounds: int, types: Mapping[str, str] | None = None
) -> tuple[int, list[str]]:
    """How many of so many queries both evaluate, and where they disagree."""
    vault = snapshot(files, types)
    zone = CALENDAR.now.tzinfo
    written = {path: datetime.fromtimestamp(_stamp(path) / 1e9, zone).replace(tzinfo=None) for path in files}
    around = Around(types or {}, written)
    this = next(path for path in files if path.endswith(("Ann.md", "@Projects.md")))
    both, wrong = 0, []
    for _ in range(rounds):
        source = json.dumps(maker.base(), ensure_ascii=False)  # JSON is YAML
        slow = members(files, source, 0, this, NOW, around)
        view = evaluate(source, vault, this, CALENDAR).views[0]
        if isinstance(slow, str) or view.unsupported:
            continue
        both += 1
        mine = list(view.members)
        if "sort" not in source:
            mine, slow = sorted(mine), sorted(slow)
        if mine != slow:
            wrong.append(f"{source}\nours: {mine}\nslow: {slow}")
    return both, wrong


@pytest.mark.parametrize("types", [{}, TYPES, dict.fromkeys(("due", "text", "list"), "text"), {"due": "datetime"}])
def test_made_queries_over_awkward_notes(types: dict[str, str]) -> None:
    seed = len(str(types))
    words = [
        "active",
        "done",
        "area",
        "area/home",
        "Work",
        "日本",
        "a",
        "Alpha",
        "Bonn",
        "",
        "two",
        "進行中",
        "status",
        "[[Ann]]",
    ]
    maker = Maker(seed, AWKWARD, words, ["0", "1", "2", "3", "4.5", "10", "-2", "2025"], types)
    both, wrong = compared(AWKWARD, maker, 600, types)
    assert not wrong, "\n\n".join(wrong[:5])
    assert both >= 100


def test_made_queries_over_the_sample_vault() -> None:
    words = [
        "project",
        "active",
        "done",
        "hardware",
        "infra",
        "kitchen",
        "book",
        "Ballast",
        "running",
        "foundation",
        "status",
    ]
    files = sample()
    both, wrong = compared(files, Maker(5, files, words, ["0", "1", "5", "30", "2025"]), 150)
    assert not wrong, "\n\n".join(wrong[:5])
    assert both >= 40
