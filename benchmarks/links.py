"""How well links are suggested: hides the links that people set, and looks which of them come back.

Run: python benchmarks/links.py VAULT [VAULT …]. In a note, every wikilink to another note is replaced by the words it
shows; then links are suggested for what is left. One is right when the note did link that note. What the note itself
shows of its names is left out of the evidence, so nothing of the answer leaks. Links in headings stay, and what is
linked there, in properties or by an embed is not asked for.

Two ways of hiding: `all` links, or those `in sentences` alone, on lines with at least three more words; the others are
then left standing. Notes fall into two halves by the digest of their path: the default threshold, and all else there is
to choose, was chosen on the first half alone. Prints Markdown tables.
"""

import hashlib
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from commands.entities import THRESHOLD, Entities, Evidence, evidence, suggest  # noqa: E402
from commands.survey import is_template  # noqa: E402
from context.index import Index  # noqa: E402
from context.note import Note  # noqa: E402
from context.regions import live  # noqa: E402
from context.snapshot import Snapshot  # noqa: E402
from context.vault import Vault  # noqa: E402

# Notes looked at per vault and half, those whose digest is lowest: a run takes less than two minutes.
MOST_NOTES = 600
CURVE_NOTES = 150
CURVE = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, THRESHOLD, 0.95)
HALVES = ("tuned on", "held out")
_OTHER_LINKS = re.compile(r"\[\[[^\]\n]*\]\]|\]\([^)\n]*\)")
_LETTERS = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class Hidden:
    """A note with its links hidden: its path, its text, and the notes it linked."""

    path: str
    text: str
    linked: frozenset[str]


@dataclass
class Tally:
    """How many links were hidden, of those how many leave a name in the text, how many were suggested, and rightly."""

    hidden: int = 0
    named: int = 0
    suggested: int = 0
    right: int = 0
    notes: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        """Both together."""
        mine, theirs = vars(self), vars(other)
        return Tally(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def precision(self) -> float:
        """Right ones among the suggested."""
        return self.right / self.suggested if self.suggested else 1.0

    @property
    def recall(self) -> float:
        """Right ones among the hidden."""
        return self.right / self.hidden if self.hidden else 0.0


def hide(note: Note, text: str, snapshot: Snapshot, *, sentences: bool) -> Hidden:
    """Replace the links of a note by the words they show."""
    shown = live(text, note.body)
    parts: list[str] = []
    targets: set[str] = set()
    at = 0
    for link in note.links:
        target = snapshot.names.resolve(link.target, note.path)
        if link.kind != "wikilink" or shown[link.start] == "\0" or target not in snapshot.notes or target == note.path:
            continue
        begin, end = text.rfind("\n", 0, link.start) + 1, text.find("\n", link.end)
        line = text[begin : end if end >= 0 else len(text)]
        if line.lstrip().startswith("#") or (sentences and len(_LETTERS.findall(_OTHER_LINKS.sub(" ", line))) < 3):
            continue
        words = link.alias or (f"{link.target} > {link.sub}" if link.sub else link.target)
        parts += (text[at : link.start], words)
        at = link.end
        targets.add(str(target))
    return Hidden(note.path, "".join((*parts, text[at:])), frozenset(targets))


def half(path: str) -> int:
    """Which half a note belongs to."""
    return hashlib.sha256(path.encode()).digest()[0] % 2


def sample(vault: Vault, part: int, most: int, *, sentences: bool) -> Iterator[Hidden]:
    """Notes of one half with their links hidden."""
    snapshot = vault.snapshot
    own = [
        path for path, note in snapshot.notes.items() if path.endswith(".md") and not note.flags and half(path) == part
    ]
    own = [path for path in own if not is_template(snapshot, path)]
    for path in sorted(own, key=lambda path: hashlib.sha256(path.encode()).digest())[:most]:
        note, text = vault.text(path)
        yield hide(note, text, snapshot, sentences=sentences)


def measure(entities: Entities, shown: Evidence, notes: list[Hidden], threshold: float) -> Tally:
    """Suggest links for notes, and count."""
    total = Tally(notes=len(notes))
    for note in notes:
        linked = note.linked & entities.by_path.keys()
        began = time.perf_counter()
        found = {link.path for link in suggest(note.text, entities, shown, source=note.path, threshold=threshold).links}
        total.seconds += time.perf_counter() - began
        total.hidden += len(linked)
        total.named += len(linked & {mention.path for mention in entities.mentions(note.text)})
        total.suggested += len(found)
        total.right += len(found & note.linked)
    return total


def row(*cells: object) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def main(vaults: list[str]) -> None:
    """Print what is found at the default threshold, and the curve over thresholds on the half held out."""
    print(
        row(
            "vault",
            "links hidden",
            "half",
            "notes",
            "links",
            "left a name",
            "suggested",
            "precision",
            "recall",
            "ms per note",
        )
    )
    print("|---" * 10 + "|")
    sums: dict[tuple[bool, int], Tally] = {}
    curves: dict[str, list[Tally]] = {}
    for name in vaults:
        vault = Vault(Path(name), Index(None))
        entities = Entities(vault.snapshot)
        shown = evidence(vault, entities)
        label = vault.root.parent.name if vault.root.name == "vault" else vault.root.name
        for sentences in (False, True):
            for part in (0, 1):
                notes = list(sample(vault, part, MOST_NOTES, sentences=sentences))
                tally = measure(entities, shown, notes, THRESHOLD)
                sums[sentences, part] = sums.get((sentences, part), Tally()) + tally
                print(line(label, tally, sentences=sentences, part=part), flush=True)
        notes = list(sample(vault, 1, CURVE_NOTES, sentences=False))
        curves[label] = [measure(entities, shown, notes, threshold) for threshold in CURVE]
    for (sentences, part), tally in sums.items():
        print(line("in all", tally, sentences=sentences, part=part))
    print()
    print(row("threshold", *curves))
    print("|---" * (len(curves) + 1) + "|")
    for place, threshold in enumerate(CURVE):
        cells = (f"{tallies[place].precision:.3f} / {tallies[place].recall:.2f}" for tallies in curves.values())
        print(row(f"{threshold}{' (default)' if threshold == THRESHOLD else ''}", *cells))


def line(label: str, tally: Tally, *, sentences: bool, part: int) -> str:
    """A row of the first table."""
    return row(
        label,
        "in sentences" if sentences else "all",
        HALVES[part],
        tally.notes,
        tally.hidden,
        tally.named,
        tally.suggested,
        f"{tally.precision:.3f}",
        f"{tally.recall:.2f}",
        f"{tally.seconds / max(1, tally.notes) * 1000:.1f}",
    )


if __name__ == "__main__":
    main(sys.argv[1:] or [str(ROOT / "examples" / "vault")])
