"""Puts the built plugin into a folder as a release: its three files, and a ZIP of them. scripts/plugin calls it."""

import json
import sys
import zipfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from server.plugin import FILES, ID, NotThePluginError, read  # noqa: E402 - of this checkout
from server.version import version  # noqa: E402


def versions(plugin: Path) -> dict[str, str]:
    """The version as each file names it; versions.json must name it for the app that the manifest wants."""
    manifest, package, known = (
        json.loads((plugin / name).read_text("utf-8")) for name in ("manifest.json", "package.json", "versions.json")
    )
    named = known.get(manifest["version"]) == manifest["minAppVersion"]
    return {
        "pyproject.toml": version(),
        "manifest.json": manifest["version"],
        "package.json": package["version"],
        "versions.json": manifest["version"] if named else "names another",
    }


def packed(data: dict[str, bytes]) -> bytes:
    """A ZIP that is the same to the byte each time: no times, no rights, nothing that a compressor may do otherwise."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as written:
        for name in sorted(data):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            written.writestr(entry, data[name])
    return out.getvalue()


def release(plugin: Path, folder: Path) -> str:
    """Write a release; returns what was done, or raises SystemExit with why it cannot be."""
    found = versions(plugin)
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name} {one}" for name, one in found.items())
        raise SystemExit(f"release: the versions do not agree: {told}")
    try:
        data = read(plugin / "dist")
    except NotThePluginError as error:
        raise SystemExit(f"release: {error}") from None
    if data["manifest.json"] != (plugin / "manifest.json").read_bytes():
        raise SystemExit("release: the manifest that was built is not manifest.json")
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_bytes(data[name])
    whole = folder / f"{ID}-{found['manifest.json']}.zip"
    whole.write_bytes(packed(data))
    return f"{whole}\n"


if __name__ == "__main__":
    sys.stdout.write(release(Path(sys.argv[1]), Path(sys.argv[2])))
