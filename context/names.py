"""Finds the file a link means, as Obsidian does: by path, by name, nearest and shortest first."""

import posixpath
import unicodedata
from collections.abc import Iterable


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


class Names:
    """Every file of a vault by folded path and by folded name. Immutable once made."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths: dict[str, str] = {}
        self._bases: dict[str, list[str]] = {}
        for path in sorted(paths):
            key = fold(path)
            self._paths.setdefault(key, path)
            self._bases.setdefault(key[key.rfind("/") + 1 :].removesuffix(".md"), []).append(path)

    def same_name(self, name: str) -> tuple[str, ...]:
        """All files with this base name, in path order; more than one makes a bare link ambiguous."""
        return tuple(self._bases.get(fold(name).removesuffix(".md"), ()))

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
        key = fold(target.strip())
        if not key:
            return source
        if key.startswith(("./", "../")):
            joined = posixpath.normpath(posixpath.join(fold(folder_of(source)), key))
            return None if joined.startswith("..") else self._exact(joined)
        if key.startswith("/"):
            return self._exact(key[1:])
        exact = self._exact(key)
        if exact is not None:
            return exact
        base = key[key.rfind("/") + 1 :]
        found = self._bases.get(base) or self._bases.get(base.removesuffix(".md")) or []
        if "/" in key:
            tail = "/" + key.removesuffix(".md")
            found = [path for path in found if fold(path).removesuffix(".md").endswith(tail)]
        if len(found) < 2:
            return found[0] if found else None
        near = folder_of(source)
        return min(found, key=lambda path: (not path.startswith(near), len(path), path))

    def _exact(self, key: str) -> str | None:
        return self._paths.get(key + ".md") or self._paths.get(key)
