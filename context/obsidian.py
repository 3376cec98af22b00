"""The vault's own settings, read from its configuration folder and never written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from context.calendar import reader
from context.names import fold

# A settings file larger than this is not a settings file.
_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Periodic:
    """Where notes of one period lie: a folder ("" is the vault's root), a moment.js pattern, a template path."""

    folder: str
    pattern: str
    template: str = ""


@dataclass(frozen=True, slots=True)
class ObsidianSettings:
    """What the vault says about itself; every field has Obsidian's default.

    Attributes:
        types: folded name of a property → the type that the person assigned to it: "text", "multitext", "number",
            "checkbox", "date", "datetime", or one of a plugin.
    """

    daily: Periodic = Periodic("", "YYYY-MM-DD")
    weekly: Periodic = Periodic("", "gggg-[W]ww")
    monthly: Periodic = Periodic("", "YYYY-MM")
    templates: str = ""
    date_format: str = "YYYY-MM-DD"
    time_format: str = "HH:mm"
    ignored: tuple[str, ...] = ()
    week_start: int = 0
    types: Mapping[str, str] = field(default_factory=dict, hash=False)
    readers: Mapping[str, tuple[str, Callable[[str], date | None]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def period(self, path: str) -> tuple[str, date] | None:
        """Which periodic note a path is: ("daily" | "weekly" | "monthly", its first day), or None."""
        if not path.endswith(".md"):
            return None
        for kind, (folder, read) in self.readers.items():
            if folder and not path.startswith(folder):
                continue
            day = read(path[len(folder) : -3])
            if day is not None:
                return kind, day
        return None

    def is_ignored(self, path: str) -> bool:
        """Whether the vault's "excluded files" name this path (by folder; patterns written /…/ are left out)."""
        return any(path.startswith(prefix) for prefix in self.ignored)


def load(root: Path, folder: str = ".obsidian") -> ObsidianSettings:
    """Read the settings of the vault at `root`; what is missing or unreadable takes Obsidian's default."""
    here = root / folder
    app = _json(here / "app.json")
    daily = _json(here / "daily-notes.json")
    periodic = _json(here / "plugins" / "periodic-notes" / "data.json")
    week_start = 1 if _json(here / "plugins" / "calendar" / "data.json").get("weekStart") == "monday" else 0
    periods = {
        "daily": _periodic(daily or _part(periodic, "daily"), "YYYY-MM-DD"),
        "weekly": _periodic(_part(periodic, "weekly"), "gggg-[W]ww"),
        "monthly": _periodic(_part(periodic, "monthly"), "YYYY-MM"),
    }
    filters = app.get("userIgnoreFilters")
    templates = _json(here / "templates.json")
    types = _part(_json(here / "types.json"), "types")
    return ObsidianSettings(
        **periods,
        templates=_text(templates.get("folder")).strip("/"),
        date_format=_text(templates.get("dateFormat")) or "YYYY-MM-DD",
        time_format=_text(templates.get("timeFormat")) or "HH:mm",
        ignored=tuple(_text(f) for f in filters if _text(f).strip("/") and not _text(f).startswith("/"))
        if isinstance(filters, list)
        else (),
        week_start=week_start,
        # In one order, whatever that of the file: contexts are kept under these settings in words.
        types=dict(sorted((fold(name), _text(kind)) for name, kind in types.items() if _text(kind))),
        readers={
            kind: (f"{p.folder}/" if p.folder else "", reader(p.pattern, week_start=week_start))
            for kind, p in periods.items()
        },
    )


def _periodic(settings: Mapping[str, Any], pattern: str) -> Periodic:
    return Periodic(
        _text(settings.get("folder")).strip("/"),
        _text(settings.get("format")) or pattern,
        _text(settings.get("template")),
    )


def _part(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = settings.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file() or path.stat().st_size > _LIMIT_BYTES:
            return {}
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
