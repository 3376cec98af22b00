"""A release of the plugin: the same to the byte each time, installable, and refused when its parts do not agree."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts.release import release
from server.plugin import FILES, read
from server.version import version
from tests.kos import ROOT
from tests.vaults import write


def plugin(folder: Path, **changes: Any) -> Path:
    """The folder of a plugin that is built; `changes` replace the content of a file by its name before the ending."""
    manifest = {"id": "knowledge-os", "version": version(), "minAppVersion": "1.13.0"}
    found = {
        "manifest": manifest,
        "package": {"version": version()},
        "versions": {"0.0.1": "1.0.0", version(): "1.13.0"},
        **changes,
    }
    write(folder, {f"{name}.json": json.dumps(value) for name, value in found.items()})
    return write(folder, {"dist/main.js": "x", "dist/styles.css": "y", "dist/manifest.json": json.dumps(manifest)})


def test_a_release_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    source = plugin(tmp_path / "plugin")
    whole = f"knowledge-os-{version()}.zip"
    assert release(source, tmp_path / "one") == f"{tmp_path / 'one' / whole}\n"
    for name in FILES:
        os.utime(source / "dist" / name, (0, 2_000_000_000))
        (source / "dist" / name).chmod(0o600)
    release(source, tmp_path / "deep" / "two")
    assert {file.name for file in (tmp_path / "one").iterdir()} == {*FILES, whole}
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "deep" / "two" / file.name).read_bytes()
    assert read(tmp_path / "one") == read(tmp_path / "one" / whole)
    with zipfile.ZipFile(tmp_path / "one" / whole) as packed:
        assert packed.namelist() == sorted(FILES)
        assert {(entry.date_time, entry.external_attr >> 16) for entry in packed.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), 0o644)
        }


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"package": {"version": "9.9.9"}}, "package.json 9.9.9"),
        ({"manifest": {"id": "knowledge-os", "version": "9.9.9", "minAppVersion": "1.13.0"}}, "manifest.json 9.9.9"),
        ({"versions": {"0.0.1": "1.13.0"}}, "versions.json names another"),
        ({"versions": {version(): "1.0.0"}}, "versions.json names another"),
        ({"manifest": {"id": "knowledge-os", "version": version(), "minAppVersion": "1.13.0", "author": "x"}}, "not manifest.json"),
    ],
)  # fmt: skip
def test_parts_that_do_not_agree_are_no_release(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    source = plugin(tmp_path / "plugin", **changes)
    with pytest.raises(SystemExit, match=told.replace(".", r"\.")):
        release(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_not_built_is_told_in_one_line(tmp_path: Path) -> None:
    source = plugin(tmp_path / "plugin")
    (source / "dist" / "main.js").unlink()
    ran = subprocess.run(
        [sys.executable, str(ROOT / "scripts/release.py"), str(source), "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"release: there is no main.js in {source / 'dist'}\n"
    assert not (tmp_path / "out").exists()
