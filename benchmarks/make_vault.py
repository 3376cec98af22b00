"""Makes a vault of any size for measurements: maps, projects, daily notes and topics, linked as people link.

Run: python benchmarks/make_vault.py FOLDER NOTES [SEED]. The same arguments make the same bytes.
"""

import random
import sys
from datetime import date, timedelta
from pathlib import Path

_SYLLABLES = "ka lo mi ren tas vel dor sun pel gra ith mon bra fen qui sar tol wyn zef hum".split()


def make(folder: Path, notes: int, seed: int = 1) -> None:
    """Write `notes` notes: 1 % maps, 4 % projects, 15 % daily notes, the rest topics; about 2 kB each."""
    dice = random.Random(seed)
    vocabulary = ["".join(dice.choices(_SYLLABLES, k=dice.randint(1, 3))) for _ in range(4000)]
    weights = [1 / (rank + 5) for rank in range(len(vocabulary))]  # Zipf, as words of any language
    counts = {"map": max(1, notes // 100), "project": max(1, notes // 25), "daily": max(1, notes * 15 // 100)}
    topics = [f"{dice.choice(vocabulary)} {dice.choice(vocabulary)} {n}" for n in range(notes - sum(counts.values()))]
    hubs = [topics[int(dice.paretovariate(1.2)) % len(topics)] for _ in range(10_000)]

    def prose(words: int) -> str:
        text = dice.choices(vocabulary, weights, k=words)
        for at in range(9, words, 23):
            text[at] = f"[[{dice.choice(hubs)}]]"
        return " ".join(text) + "."

    def write(path: str, properties: dict[str, str], sections: list[tuple[str, str]]) -> None:
        head = "".join(f"{key}: {value}\n" for key, value in properties.items())
        body = "".join(f"\n## {title}\n{text}\n" for title, text in sections)
        file = folder / f"{path}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"---\n{head}---\n# {path.rsplit('/', 1)[-1]}\n{body}", encoding="utf-8")

    today = date(2025, 9, 14)
    for n in range(counts["map"]):
        members = dice.sample(topics, min(len(topics), dice.randint(20, 120)))
        parts = [members[at : at + 20] for at in range(0, len(members), 20)]
        write(
            f"Maps/@Map {n}",
            {"type": "moc"},
            [(f"Part {i}", "\n".join(f"- [[{m}]]" for m in p)) for i, p in enumerate(parts)],
        )
    for n in range(counts["project"]):
        state = dice.choice(["active", "planned", "done", "done", "done", "blocked"])
        due = today + timedelta(days=dice.randint(-20, 60))
        tasks = "\n".join(f"- [ ] {prose(6)} 📅 {due}" for _ in range(4))
        write(
            f"Projects/Project {n}",
            {"type": "project", "status": state, "due": str(due)},
            [("Scope", prose(80)), ("Next", tasks)],
        )
    for n in range(counts["daily"]):
        day = today - timedelta(days=n)
        log = "\n".join(f"- {prose(12)}" for _ in range(8))
        write(
            f"Daily/{day}", {"type": "daily"}, [("Log", log), ("Tasks", f"- [ ] {prose(6)}"), ("Reflection", prose(60))]
        )
    for topic in topics:
        folder_name = topic[:2]
        tags = f"[{dice.choice(vocabulary)}, {dice.choice(vocabulary)}]"
        sections = [(f"{dice.choice(vocabulary)} {i}", prose(dice.randint(30, 110))) for i in range(dice.randint(1, 6))]
        write(f"Topics/{folder_name}/{topic}", {"tags": tags, "created": "2024-05-01"}, sections)
    settings = folder / ".obsidian"
    settings.mkdir(exist_ok=True)
    (settings / "daily-notes.json").write_text('{"folder": "Daily", "format": "YYYY-MM-DD"}', encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
