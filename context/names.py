"""Finds the file a link means, as Obsidian does: by path, by name, nearest and shortest first."""

import posixpath
import unicodedata
from collections.abc import Iterable
from functools import cached_property


def fold(name: str) -> str:
    """The form in which names are compared: NFC and case-folded, so that "Café" typed on any system is one name."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def folder_of(path: str) -> str:
    """The folder of a vault path with its closing slash, "" for the vault's root."""
    return path[: path.rfind("/") + 1]


def base_of(path: str) -> str:
    """The name of a file without its folder, and for a note without `.md`: what a person types in a link."""
    name = path[path.rfind("/") + 1 :]
    return name.removesuffix(".md")


def _name_key(path: str) -> str:
    """The folded name of a file, of a note without `.md`."""
    key = fold(path)
    return key[key.rfind("/") + 1 :].removesuffix(".md")


class Names:
    """Every file of a vault by folded path and by folded name. Immutable; made when the first name is asked for."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._files = paths if isinstance(paths, frozenset) else frozenset(paths)
        self._known: dict[str, str | None] = {}  # what targets mean that mean the same wherever they stand

    @cached_property
    def _paths(self) -> dict[str, str]:
        """Folded path → the path; of paths that fold alike the first."""
        found: dict[str, str] = {}
        for path in sorted(self._files):
            found.setdefault(fold(path), path)
        return found

    @cached_property
    def _bases(self) -> dict[str, tuple[str, ...]]:
        """Folded name → the files of this name, in path order."""
        found: dict[str, list[str]] = {}
        for path in sorted(self._files):
            found.setdefault(_name_key(path), []).append(path)
        return {key: tuple(paths) for key, paths in found.items()}

    def updated(self, came: Iterable[str], went: Iterable[str]) -> "Names":
        """The same after a few files came or went."""
        added, gone = frozenset(came), frozenset(went)
        after = Names((self._files | added) - gone)
        paths, bases = dict(self._paths), dict(self._bases)
        touched: dict[str, set[str]] = {}
        for path in added | gone:
            touched.setdefault(_name_key(path), set()).add(path)
        for key, changed in touched.items():
            named = sorted((set(bases.pop(key, ())) - gone) | (changed - gone))
            if named:
                bases[key] = tuple(named)
            for folded in map(fold, changed):
                paths.pop(folded, None)
                paths.update((folded, path) for path in reversed(named) if fold(path) == folded)
        after._paths, after._bases = paths, bases
        return after

    def same_name(self, name: str) -> tuple[str, ...]:
        """All files with this base name, in path order; more than one makes a bare link ambiguous."""
        return self._bases.get(fold(name).removesuffix(".md"), ())

    def resolve(self, target: str, source: str) -> str | None:
        """The path a link means, or None when no file fits.

        The rule is Obsidian's "first link path destination": `./` and `../` are relative to the linking note and `/` is
        absolute, each exact; otherwise the exact path from the root, else every file whose path ends with the target,
        those in the linking note's folder first, then the shortest path. Aliases do not resolve (Obsidian writes
        `[[Note|alias]]`).

        Args:
            target: what stands before `#` and `|`; "" means the linking note itself.
            source: the path of the linking note.
        """
        known = self._known.get(target, "")
        if known != "":
            return known
        key = fold(target.strip())
        if not key:
            return source
        if key.startswith(("./", "../")):
            joined = posixpath.normpath(posixpath.join(fold(folder_of(source)), key))
            return None if joined.startswith("..") else self._exact(joined)
        exact = self._exact(key.removeprefix("/"))
        if exact is not None or key.startswith("/"):
            self._known[target] = exact
            return exact
        base = key[key.rfind("/") + 1 :]
        found = self._bases.get(base) or self._bases.get(base.removesuffix(".md")) or ()
        if "/" in key:
            tail = "/" + key.removesuffix(".md")
            found = tuple(path for path in found if fold(path).removesuffix(".md").endswith(tail))
        if len(found) < 2:
            self._known[target] = found[0] if found else None
            return self._known[target]
        near = folder_of(source)
        return min(found, key=lambda path: (not path.startswith(near), len(path), path))

    def _exact(self, key: str) -> str | None:
        return self._paths.get(key + ".md") or self._paths.get(key)
