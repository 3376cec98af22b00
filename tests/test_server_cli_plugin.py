"""`kos plugin install` as people run it: what it writes and what it never touches, asked and told, and every refusal."""

import contextlib
import io
import json
import os
import stat
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server import plugin
from tests.kos import ROOT, Person, Ran, files_of
from tests.vaults import write

MANIFEST = json.dumps({"id": "knowledge-os", "name": "Knowledge OS", "version": "1.2.3"})
BUILT: dict[str, str | bytes] = {
    "main.js": "module.exports = 'Ü';\n",
    "manifest.json": MANIFEST,
    "styles.css": ".kos {}\n",
}
PLACE = ".obsidian/plugins/knowledge-os"
# What is the person's: which plugins are enabled, and the settings of this one.
THEIRS = {
    "Note.md": "# Note\n",
    ".obsidian/app.json": "{}",
    ".obsidian/community-plugins.json": '["dataview"]',
    f"{PLACE}/data.json": '{"token": "secret"}',
}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path, write(tmp_path / "vault", THEIRS))


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return write(tmp_path / "built", BUILT)


def packed(file: Path, entries: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as written:
        for name, text in entries.items():
            written.writestr(name, text)
    return file


def installed(vault: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (vault / PLACE).iterdir()}


def as_bytes(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    return {name: text if isinstance(text, bytes) else text.encode() for name, text in files.items()}


def refused(person: Person, *words: str, code: int = 2) -> Ran:
    """A command that fails and changes nothing, the temporary files of a write included."""
    before = files_of(person.vault)
    ran = person.run("plugin", *words)
    assert ran.code == code, ran
    assert "Traceback" not in ran.err
    assert files_of(person.vault) == before
    return ran


@pytest.mark.parametrize("form", ["folder", "zip", "stored"])
def test_the_three_files_are_installed_and_nothing_else_changes(person: Person, built: Path, form: str) -> None:
    methods = {"zip": zipfile.ZIP_DEFLATED, "stored": zipfile.ZIP_STORED}
    source = packed(built.with_suffix(".zip"), BUILT, methods[form]) if form in methods else built
    ran = person.run("plugin", "install", "--from", str(source), "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"installed Knowledge OS 1.2.3 in {person.vault / PLACE}\nNext, in Obsidian:\n")
    for told in ("Settings > Community plugins", "enable Knowledge OS", "`kos serve`", "`kos token`"):
        assert told in ran.out
    assert installed(person.vault) == as_bytes(BUILT) | {"data.json": THEIRS[f"{PLACE}/data.json"].encode()}
    for path, text in THEIRS.items():
        assert (person.vault / path).read_text() == text
    assert not person.state.exists()
    mode = stat.S_IMODE((person.vault / PLACE / "main.js").stat().st_mode)
    assert mode == stat.S_IMODE((person.vault / "Note.md").stat().st_mode)


def test_a_vault_without_any_plugin_gets_the_folders(tmp_path: Path, built: Path) -> None:
    person = Person(tmp_path, write(tmp_path / "vault", {".obsidian/app.json": "{}"}))
    ran = person.run("plugin", "install", "--json", "--yes", "--from", str(built))
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "plugin": "knowledge-os",
        "version": "1.2.3",
        "replaced": None,
        "folder": str(person.vault / PLACE),
        "files": ["main.js", "styles.css", "manifest.json"],
    }
    assert installed(person.vault) == as_bytes(BUILT)


@pytest.mark.parametrize(
    ("there", "version"),
    [
        ({"manifest.json": MANIFEST.replace("1.2.3", "1.0.0")}, "1.0.0"),
        ({"manifest.json": MANIFEST}, "1.2.3"),
        ({"manifest.json": '{"version": "evil\\u001b[2J"}'}, ""),
        ({"manifest.json": "no json"}, ""),
        ({"main.js": "old"}, ""),
    ],
)
def test_what_is_replaced_is_told(person: Person, built: Path, there: dict[str, str], version: str) -> None:
    write(person.vault / PLACE, there)
    told = person.run("plugin", "install", "--json", "--yes", "--from", str(built)).json
    assert told["replaced"] == version
    assert installed(person.vault).items() > as_bytes(BUILT).items()
    ran = person.run("plugin", "install", "--yes", "--from", str(built))
    assert "turn Knowledge OS off and on" in ran.out
    assert "`kos token`" not in ran.out


def test_a_person_is_asked_and_sees_what_will_be_written(person: Person, built: Path) -> None:
    before = files_of(person.vault)
    words = ("plugin", "install", "--from", str(built))
    for answer in (b"n\r", b"\r", b"\x04"):
        terminal = person.on_terminal(*words)
        said = terminal.read("Write these files? [y/N] ")
        assert f"Knowledge OS 1.2.3 for {person.vault}:\r\n" in said
        for name, data in as_bytes(BUILT).items():
            assert f"  {person.vault / PLACE / name}  {len(data)} bytes\r\n" in said
        terminal.press(answer)
        assert terminal.end() == 1
        assert "nothing was changed" in terminal.text
        assert files_of(person.vault) == before
    write(person.vault / PLACE, {"manifest.json": MANIFEST.replace("1.2.3", "1.0.0")})
    terminal = person.on_terminal(*words)
    assert f"Knowledge OS 1.2.3 for {person.vault}, in place of 1.0.0:\r\n" in terminal.read("[y/N] ")
    terminal.press(b"y\r")
    assert terminal.end() == 0
    assert installed(person.vault).items() > as_bytes(BUILT).items()


def test_without_anybody_to_ask_it_wants_yes(person: Person, built: Path) -> None:
    for words in (["install"], ["install", "--json"]):
        ran = refused(person, *words, "--from", str(built))
        assert "--yes" in ran.out + ran.err
    terminal = person.on_terminal("plugin", "install", "--json", "--from", str(built))
    assert terminal.end() == 2
    assert "--yes" in terminal.text


def test_a_folder_that_is_no_vault_is_told(tmp_path: Path, built: Path) -> None:
    person = Person(tmp_path, write(tmp_path / "vault", {"Note.md": ""}))
    ran = refused(person, "install", "--yes", "--from", str(built), code=1)
    assert f"{person.vault} is no Obsidian vault" in ran.err
    assert "Open the folder once in Obsidian" in ran.err
    assert refused(person, "install", "--yes", "--json", code=1).json["error"]["code"] == "not_found"
    (person.vault / ".obsidian").write_text("a file")
    refused(person, "install", "--yes", "--from", str(built), code=1)


def without(name: str) -> dict[str, str | bytes]:
    return {one: text for one, text in BUILT.items() if one != name}


WRONG: dict[str, dict[str, str | bytes]] = {
    "another plugin": BUILT | {"manifest.json": MANIFEST.replace("knowledge-os", "dataview")},
    "no version": BUILT | {"manifest.json": '{"id": "knowledge-os"}'},
    "a version of another form": BUILT | {"manifest.json": MANIFEST.replace("1.2.3", "../../1")},
    "a version that is no text": BUILT | {"manifest.json": MANIFEST.replace('"1.2.3"', "1.2")},
    "no JSON": BUILT | {"manifest.json": "{"},
    "deep JSON": BUILT | {"manifest.json": "[" * 100_000},
    "a list": BUILT | {"manifest.json": "[]"},
    "no text": BUILT | {"main.js": b"\xff\xfe"},
    "nothing in it": BUILT | {"main.js": " \n"},
    "too large": BUILT | {"main.js": "x" * (plugin.MOST_BYTES + 1)},
    **{f"without {name}": without(name) for name in BUILT},
}


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_not_this_plugin_is_refused_before_anything_is_written(
    person: Person, tmp_path: Path, wrong: str, form: str
) -> None:
    files = WRONG[wrong]
    source = packed(tmp_path / "x.zip", files) if form == "zip" else write(tmp_path / "x", files)
    ran = refused(person, "install", "--yes", "--from", str(source))
    assert str(source) in ran.err
    assert "main.js, manifest.json and styles.css" in ran.err


@pytest.mark.parametrize(
    "name", ["data.json", "../evil.js", "/tmp/evil.js", "sub/main.js", "main.js/", "..\\evil.js", ".", "MAIN.JS"]
)
def test_a_zip_holds_the_three_names_and_no_other(person: Person, tmp_path: Path, name: str) -> None:
    for entries in (BUILT | {name: "evil"}, without("main.js") | {name: "evil"}):
        ran = refused(person, "install", "--yes", "--from", str(packed(tmp_path / "x.zip", entries)))
        assert "holds other files than" in ran.err


def twice() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as written, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, text in [*BUILT.items(), ("main.js", "evil")]:
            written.writestr(name, text)
    return out.getvalue()


def whole(method: int = zipfile.ZIP_DEFLATED, files: Mapping[str, str | bytes] = BUILT) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as written:
        for name, text in files.items():
            written.writestr(name, text)
    return out.getvalue()


def encrypted() -> bytes:
    """Every entry says that it is."""
    data = bytearray(whole())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + place] |= 1
            at = data.find(mark, at + 1)
    return bytes(data)


def bomb() -> bytes:
    """A gigabyte of one letter would be as easy; it says that it holds three bytes."""
    data = whole(files=BUILT | {"main.js": "x" * (plugin.MOST_BYTES * 4)})
    return data.replace(struct.pack("<L", plugin.MOST_BYTES * 4), struct.pack("<L", 3))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no zip at all", whole()[:-30], whole()[40:], twice(), encrypted(), bomb(), whole(zipfile.ZIP_LZMA), whole(zipfile.ZIP_BZIP2),
        whole(zipfile.ZIP_STORED).replace(b"module", b"nodule"),
    ],
    ids=["empty", "text", "cut", "headless", "twice", "encrypted", "bomb", "lzma", "bzip2", "bit rot"],
)  # fmt: skip
def test_a_zip_that_is_broken_or_a_trap_is_refused(person: Person, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    ran = refused(person, "install", "--yes", "--from", str(tmp_path / "x.zip"))
    assert str(tmp_path / "x.zip") in ran.err


WHOLE = whole()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_zip_is_read_as_it_was_or_refused(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(WHOLE)
    for place, byte in damage:
        data[place] = byte
    file = tmp_path_factory.getbasetemp() / f"{os.getpid()}.zip"
    file.write_bytes(data)
    with contextlib.suppress(plugin.NotThePluginError):
        assert plugin.read(file) == as_bytes(BUILT)


def test_a_source_that_is_not_there_or_no_file(person: Person, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path / "half", without("main.js"))
    os.mkfifo(tmp_path / "half" / "main.js")
    for source in ("nowhere", "pipe", "half", "", "~nobody-has-this-name/x"):
        ran = refused(person, "install", "--yes", "--from", source)
        assert ran.err.startswith("kos: there is no ")


@pytest.mark.parametrize("words", [[], ["install", "x"], ["remove"], ["install", "--nonsense"], ["install", "--from"]])
def test_words_that_do_not_go_together_are_told(person: Person, words: list[str]) -> None:
    ran = refused(person, *words)
    assert ran.err.startswith("kos: ")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, built: Path) -> None:
    person = Person(tmp_path, write(tmp_path / "vault", {".obsidian/plugins": "a file"}))
    ran = refused(person, "install", "--yes", "--from", str(built), code=1)
    assert ".obsidian/plugins" in ran.err


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write(tmp_path / "knowledge-os", dict.fromkeys(plugin.FILES, "old") | {"data.json": "{}"})
    before = files_of(old)
    synced: list[int] = []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 3:
            raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        plugin._write(old, as_bytes(BUILT))
    assert files_of(old) == before


def test_a_link_to_a_file_is_replaced_and_not_followed(person: Person, built: Path, tmp_path: Path) -> None:
    write(tmp_path, {"mine.js": "my own build"})
    (person.vault / PLACE / "main.js").symlink_to(tmp_path / "mine.js")
    assert person.run("plugin", "install", "--yes", "--from", str(built)).code == 0
    assert (tmp_path / "mine.js").read_text() == "my own build"
    assert installed(person.vault).items() > as_bytes(BUILT).items()


# --- where it comes from when nothing is said


def test_a_checkout_installs_what_it_has_built(tmp_path: Path) -> None:
    home = write(tmp_path, {"pyproject.toml": ""})
    with pytest.raises(plugin.NotBuiltError, match=r"the plugin is not built: there is no main\.js") as refusal:
        plugin._shipped(home)
    assert refusal.value.hint == f"Run {home}/scripts/plugin build"
    write(home / "obsidian-plugin" / "dist", without("styles.css"))
    with pytest.raises(plugin.NotBuiltError, match=r"there is no styles\.css"):
        plugin._shipped(home)
    write(home / "obsidian-plugin" / "dist", BUILT)
    assert plugin._shipped(home) == as_bytes(BUILT)


def test_a_package_installs_what_came_with_it(tmp_path: Path) -> None:
    with pytest.raises(plugin.NotBuiltError, match="made without the plugin") as refusal:
        plugin._shipped(tmp_path)
    assert "--from ZIP" in refusal.value.hint
    write(tmp_path / "plugin", BUILT)
    assert plugin._shipped(tmp_path) == as_bytes(BUILT)


def test_this_checkout_says_how_to_build_it_or_installs_it(person: Person) -> None:
    if (ROOT / "obsidian-plugin" / "dist" / "main.js").is_file():
        assert person.run("plugin", "install", "--yes").code == 0
    else:
        assert "scripts/plugin build" in refused(person, "install", "--yes", code=1).err
