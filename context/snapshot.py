"""A snapshot: a vault at one moment, immutable, with all that is worked out of it and taken along through changes."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from context.graph import Graph
from context.kinds import MAP, Kinds, type_of
from context.lexicon import Lexicon
from context.maps import map_reason
from context.names import Names, fold
from context.note import Note
from context.obsidian import ObsidianSettings

# With more files changed, come or gone at once, it costs less to work things out of all files again.
FEW_CHANGES = 200

# One block of SHAKE-128: more would cost twice the time.
_TERM_BYTES = 168

_T = TypeVar("_T")


@dataclass(frozen=True)
class Snapshot:
    """The vault at one moment. Immutable: a request keeps the snapshot it began with.

    Attributes:
        notes: every note by path.
        files: every file of the vault, notes and attachments.
        names: finds what a link means.
        graph: who links to whom.
        settings: the vault's own settings.
        changed_at: note → when its text was last seen to change; notes known since the first index are absent.
        kinds: of its notes.
        attachments: every file that is no note → (mtime in nanoseconds, size in bytes).
        kept: what others worked out from this snapshot and may use again, by their own keys; it goes with the snapshot.
        lasting: what others worked out of an earlier snapshot, and the files in which this one differs; see `lasts`.
    """

    notes: Mapping[str, Note]
    files: frozenset[str]
    names: Names
    graph: Graph
    settings: ObsidianSettings
    changed_at: Mapping[str, float]
    kinds: Kinds
    attachments: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    lasting: dict[str, tuple[Any, AbstractSet[str]]] = field(default_factory=dict, compare=False, repr=False)

    def lasts(self, key: str, made: Callable[[], _T], updated: Callable[[_T, AbstractSet[str]], _T]) -> _T:
        """What is worked out of all notes, of an earlier snapshot and of what changed since, where that is known.

        Args:
            key: of those who ask.
            made: works it out of all.
            updated: makes of what it was, and of the paths at which notes or what they link to may be others by now,
                what it is. What it was belongs to readers of the snapshot before: it must stay as it is.
        """
        known, paths = self.lasting.get(key) or (None, frozenset())
        if known is None or paths:
            known = made() if known is None else updated(known, paths)
            self.lasting[key] = known, frozenset()
        return known

    def apart(self, notes: Mapping[str, Note]) -> "Snapshot":
        """The same vault as if there were only some of its notes; what is worked out of it is kept apart, too."""
        return replace(self, notes=notes, kept={}, lasting={})

    @cached_property
    def digest(self) -> str:
        """64 hex, equal when the paths of all files are, with the bytes, time stamp and privacy of every note.

        Of other files their size and time stamp count instead of their bytes.
        """
        return hashlib.sha256(f"{self._sum:x}".encode()).hexdigest()

    @cached_property
    def _sum(self) -> int:
        """What `digest` is made from: one number for each file, added up, so that a change costs no more than itself.

        Bellare and Micciancio, "A New Paradigm for Collision-free Hashing: Incrementality at Reduced Cost", 1997.
        """
        return sum(_term(path, self) for path in self.files)

    def follow(self, before: "Snapshot", paths: AbstractSet[str]) -> None:
        """Take over from the snapshot before what is as it was there. Of what nobody asked for there is nothing.

        Args:
            before: another snapshot of the vault, with the same settings.
            paths: all files in which this one may differ from it, or whose links may mean something else.
        """
        for key, (known, earlier) in before.lasting.copy().items():
            if len(earlier | paths) <= FEW_CHANGES:
                self.lasting[key] = known, earlier | paths
        mine, asked = vars(self), vars(before)
        if "_sum" in asked:
            total: int = asked["_sum"]
            for path in paths:
                total -= _term(path, before) if path in before.files else 0
                total += _term(path, self) if path in self.files else 0
            mine["_sum"] = total
        if len(paths) > FEW_CHANGES:
            return
        here = {path: self.notes[path] for path in paths if path in self.notes}
        if "ordered" in asked:
            ordered = {**asked["ordered"], **here}
            for path in paths - here.keys():
                ordered.pop(path, None)
            came = any(path not in before.notes for path in here)
            mine["ordered"] = dict(sorted(ordered.items())) if came else ordered
        if "maps" in asked:
            maps = {path: reason for path, reason in asked["maps"].items() if path not in paths}
            mine["maps"] = maps | self._maps_of(here)
        if "_known" in asked:
            mine["_known"] = {path: kind for path, kind in asked["_known"].copy().items() if path not in paths}

    @cached_property
    def ordered(self) -> Mapping[str, Note]:
        """Every note, in path order."""
        return dict(sorted(self.notes.items()))

    @cached_property
    def maps(self) -> Mapping[str, str]:
        """Every map of content with the reason why it is one."""
        return self._maps_of(self.notes)

    def _maps_of(self, notes: Mapping[str, Note]) -> dict[str, str]:
        kind = self.kinds[MAP]
        found = ((path, map_reason(note, self.graph.out, kind)) for path, note in notes.items())
        return {path: reason for path, reason in found if reason}

    @property
    def private(self) -> Mapping[str, None]:
        """The notes that must stay in the house."""

        def among(paths: Iterable[str], known: Mapping[str, None]) -> dict[str, None]:
            found = dict(known)
            for path in paths:
                found.pop(path, None)
                if path in self.notes and self.notes[path].private:
                    found[path] = None
            return found

        return self.lasts("private", lambda: among(self.notes, {}), lambda known, paths: among(paths, known))

    @cached_property
    def aliases(self) -> Mapping[str, tuple[str, ...]]:
        """Folded alias → the notes that carry it."""
        found: dict[str, list[str]] = {}
        for path, note in self.notes.items():
            for alias in note.aliases:
                found.setdefault(fold(alias), []).append(path)
        return {alias: tuple(paths) for alias, paths in found.items()}

    @cached_property
    def lexicon(self) -> Lexicon:
        """The names by which notes are spoken of."""
        return Lexicon(self.notes)

    def kind(self, note: Note) -> str:
        """The name of a note's kind, "" for none. Tags and folders say nothing of periodic notes and maps."""
        known = self._known.get(note.path)
        if known is None:
            known = self.kinds.of(note)
            if known and not type_of(note):
                known = MAP if note.path in self.maps else "" if self.settings.period(note.path) else known
            self._known[note.path] = known
        return known

    @cached_property
    def _known(self) -> dict[str, str]:
        """The kinds of notes that were asked for, by path."""
        return {}


def _term(path: str, snapshot: Snapshot) -> int:
    """The number that stands for a file. So many bits that finding other files with the same sum is out of reach."""
    said, note = path, snapshot.notes.get(path)
    if note is not None:
        said = f"{path}\0{note.digest} {note.mtime_ns} {note.private}"
    elif path in snapshot.attachments:
        mtime, size = snapshot.attachments[path]
        said = f"{path}\0{size} {mtime}"
    return int.from_bytes(hashlib.shake_128(said.encode("utf-8", "surrogatepass")).digest(_TERM_BYTES), "little")
