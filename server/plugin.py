"""What `kos plugin install` does: checks the built plugin, asks, and copies it into the settings of a vault."""

import json
import os
import re
from argparse import Namespace
from collections.abc import Mapping
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

from server.config import Config, vault_of
from server.parser import to_be_asked
from server.screen import Screen, line_of

ID = "knowledge-os"
# In the order in which they take their places: the app reads the version last.
FILES = ("main.js", "styles.css", "manifest.json")
# Of one file, in bytes: many times what the plugin has.
MOST_BYTES = 4 << 20
_SETTINGS = ".obsidian"
_VERSION = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}")


class NoObsidianVaultError(Exception):
    """The folder was never opened in Obsidian."""

    code = "not_found"
    hint = "Open the folder once in Obsidian as a vault, then try again; --vault PATH names another."


class NotBuiltError(Exception):
    """There is no built plugin beside this program."""

    code = "not_found"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class NotThePluginError(Exception):
    """What --from names is not this plugin, or more or less than it; nothing was written."""

    code = "invalid"
    hint = "--from takes the folder or the ZIP of a release: main.js, manifest.json and styles.css, nothing else."


def install(arguments: Namespace, config: Config) -> Mapping[str, Any]:
    """Copy the plugin into the vault, after asking. Its settings, and which plugins are enabled, are left alone.

    Returns:
        What was installed, for `--json`; `replaced` is the version that was there, "" where it does not say, or None.

    Raises:
        UsageError: nobody is there to be asked, and `--yes` was not given.
        NoObsidianVaultError: the vault has no settings.
        NotBuiltError: there is no plugin to install.
        NotThePluginError: `--from` names something else.
        DeclinedError: the person said no.
        OSError: the files cannot be written; those that were there are whole.
    """
    asked = to_be_asked(arguments)
    vault = vault_of(config)
    if not (vault / _SETTINGS).is_dir():
        raise NoObsidianVaultError(f"{vault} is no Obsidian vault: it holds no folder {_SETTINGS}")
    if arguments.source is None:
        data = _shipped(Path(__file__).parents[1])
    else:
        data = read(Path(os.path.expanduser(arguments.source)))  # noqa: PTH111 - ~nobody is a name, not an error
    version = _version(data["manifest.json"])
    title = str(_manifest(data["manifest.json"]).get("name") or ID)  # as the app lists it
    folder = vault / _SETTINGS / "plugins" / ID
    there = _there(folder)
    screen = Screen(silent=arguments.json)
    if asked:
        instead = "" if there is None else f", in place of {there or 'the one that is there'}"
        _say(screen, f"{title} {version} for {vault}{instead}:")
        for name in FILES:
            _say(screen, f"  {folder / name}  {len(data[name])} bytes")
        screen.confirm("Write these files?")
    _write(folder, data)
    _say(screen, f"installed {title} {version} in {folder}")
    for line in _next_steps(title, again=there is not None):
        _say(screen, line)
    return {"plugin": ID, "version": version, "replaced": there, "folder": str(folder), "files": list(FILES)}


def _say(screen: Screen, line: str) -> None:
    screen.write(line_of(line) + "\n")


def _next_steps(title: str, *, again: bool) -> tuple[str, ...]:
    if again:
        return (f"Next: turn {title} off and on in Settings > Community plugins, or start Obsidian anew.",)
    return (
        "Next, in Obsidian:",
        f"  1. Settings > Community plugins: turn them on, and enable {title} in the list.",
        f"  2. Settings > {title}: paste the address that `kos serve` prints, and what `kos token` prints.",
    )


# --- what is installed


def _shipped(home: Path) -> dict[str, bytes]:
    """The plugin that came with the program in this folder: in its package, or as a checkout has built it.

    Raises:
        NotBuiltError: it is not there, or not whole.
    """
    in_checkout = (home / "pyproject.toml").is_file()
    folder = home / "obsidian-plugin" / "dist" if in_checkout else home / "plugin"
    try:
        return _checked(_of_folder(folder), folder)
    except NotThePluginError as error:
        if in_checkout:
            raise NotBuiltError(f"the plugin is not built: {error}", f"Run {home}/scripts/plugin build") from None
        hint = "Take the ZIP of a release: kos plugin install --from ZIP"
        raise NotBuiltError(f"this package was made without the plugin: {error}", hint) from None


def read(source: Path) -> dict[str, bytes]:
    """The files of the plugin, checked.

    Args:
        source: a folder that holds them, or a ZIP of them.

    Raises:
        NotThePluginError: they are not there, cannot be read, or are not those of this plugin.
    """
    return _checked(_of_folder(source) if source.is_dir() else _of_zip(source), source)


def _checked(data: dict[str, bytes], source: Path) -> dict[str, bytes]:
    for name, one in data.items():
        if len(one) > MOST_BYTES:
            raise NotThePluginError(f"{name} of {source} is larger than {MOST_BYTES >> 20} MiB")
        try:
            one.decode("utf-8")
        except UnicodeDecodeError:
            raise NotThePluginError(f"{name} of {source} is not text in UTF-8") from None
    if not data["main.js"].strip():
        raise NotThePluginError(f"main.js of {source} is empty")
    if _manifest(data["manifest.json"]).get("id") != ID:
        raise NotThePluginError(f"manifest.json of {source} is not that of the plugin {ID}")
    if not _version(data["manifest.json"]):
        raise NotThePluginError(f"manifest.json of {source} has no version such as 1.2.3")
    return data


def _of_folder(folder: Path) -> dict[str, bytes]:
    data = {}
    for name in FILES:
        file = folder / name
        if not file.is_file():  # also what would be waited for, such as a pipe
            raise NotThePluginError(f"there is no {name} in {folder}")
        data[name] = _bytes(file, MOST_BYTES)
    return data


def _of_zip(file: Path) -> dict[str, bytes]:
    import zipfile  # noqa: PLC0415 - only where one is named
    import zlib  # noqa: PLC0415

    if not file.is_file():
        raise NotThePluginError(f"there is no folder or ZIP {file}")
    try:
        with zipfile.ZipFile(BytesIO(_bytes(file, len(FILES) * MOST_BYTES))) as packed:
            if sorted(packed.namelist()) != sorted(FILES):
                raise NotThePluginError(f"{file} holds other files than {', '.join(FILES)}")
            data = {}
            for entry in packed.infolist():
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise NotImplementedError
                with packed.open(entry) as opened:  # what it says of its size may be a lie
                    data[entry.filename] = opened.read(MOST_BYTES + 1)
            return data
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError):  # RuntimeError: encrypted, unknown
        raise NotThePluginError(f"{file} is no ZIP that can be read") from None


def _bytes(file: Path, most: int) -> bytes:
    """What a file holds, one byte more than allowed at most."""
    with file.open("rb") as opened:
        return opened.read(most + 1)


def _version(manifest: bytes) -> str:
    """The version a manifest names, "" when it cannot be told."""
    found = _manifest(manifest).get("version")
    return found if isinstance(found, str) and _VERSION.fullmatch(found) else ""


def _manifest(data: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _there(folder: Path) -> str | None:
    """The version that is installed: None for none, "" for one that does not say."""
    if not any((folder / name).exists() for name in FILES):
        return None
    try:
        return _version(_bytes(folder / "manifest.json", MOST_BYTES))
    except OSError:
        return ""


# --- where it is written


def _write(folder: Path, data: Mapping[str, bytes]) -> None:
    """Put the files into their folder: all are written out beside their places before the first takes its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undone:
        places = []
        for name in FILES:
            place = folder / f".{name}-{os.getpid()}"
            undone.callback(place.unlink, missing_ok=True)
            with place.open("wb") as opened:
                opened.write(data[name])
                opened.flush()
                os.fsync(opened.fileno())
            places.append(place)
        for name, place in zip(FILES, places, strict=True):
            place.replace(folder / name)
