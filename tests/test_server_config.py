"""The configuration: what wins over what, what is refused and how it is told, the token, the state folder."""

import dataclasses
import os
import re
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from context.kinds import KINDS, Kind
from server.config import (
    Config,
    ConfigError,
    config_file,
    load,
    read_token,
    rows,
    token_file,
    vault_dir,
    vault_folder,
    vault_of,
)
from server.house import vault_options
from server.options import OPTIONS, TYPES, template

# For each option: a value as a flag or variable has it, as the file has it, and what is meant.
GOOD: dict[str, tuple[Any, str, Any]] = {
    "vault": ("/v", '"/v"', Path("/v")),
    "state_dir": ("/s", '"/s"', Path("/s")),
    "profile": (" cpu ", '"cpu"', "cpu"),
    "ollama_url": ("http://localhost:1", '"http://localhost:1"', "http://localhost:1"),
    "cache": ("unix:///r.sock", '"unix:///r.sock"', "unix:///r.sock"),
    "cache_ttl_seconds": ("60", "60", 60),
    "embeddings": ("on", '"on"', "on"),
    "host": ("[::1]", '"::1"', "::1"),
    "port": ("0", "0", 0),
    "uds": ("/r.sock", '"/r.sock"', "/r.sock"),
    "token": ("t" * 16, f'"{"t" * 16}"', "t" * 16),
    "timezone": ("Europe/Berlin", '"Europe/Berlin"', "Europe/Berlin"),
    "now": ("2025-09-14", '"2025-09-14"', "2025-09-14"),
    "language": ("German", '"German"', "German"),
    "deadline_seconds": ("3600", "3600", 3600),
    "private_tags": ("#a,b", '["#a", "b", "a"]', ("a", "b")),
    "private_folders": ("A/B/,C", '["A/B", "C"]', ("A/B", "C")),
    "trusted_nodes": ("attic", '["attic"]', ("attic",)),
    "kinds": ({"dish": {"folder": "D/"}}, '{dish = {folder = "D/"}}', {"dish": {"folder": "D"}}),
    "capture_heading": ("Log", '"Log"', "Log"),
    "force_pattern": ("!!big", '" !!big "', "!!big"),
    "origins": ("https://n.example", '["https://n.example"]', ("https://n.example",)),
}
# Values that are not allowed, likewise; "" for an option that only the file sets.
BAD: dict[str, list[tuple[str, str]]] = {
    "vault": [("a\0b", "1"), ("~nobody-has-this-name/x", '["/v"]')],
    "state_dir": [("a\0b", "true")],
    "profile": [("   ", '""'), ("a\nb", "3"), ("x" * 1001, "[]")],
    "ollama_url": [("localhost:1", '"ftp://x"'), ("http://u:p@x", "5"), ("http://x/?q", '"http://a b"')],
    "cache": [("redis", '"sqlite:///x"'), ("redis://u:hidden@h:x", "1")],
    "cache_ttl_seconds": [("", "59"), ("", "60.0"), ("", "31536001"), ("", "true"), ("", '"60"')],
    "embeddings": [("yes", "true"), ("ON", '""')],
    "host": [("a b", '""'), ("http://x", "1")],
    "port": [("65536", "-1"), ("x", '"80"'), ("", "8.5")],
    "uds": [("/" + "x" * 103, "1")],
    "token": [("short", "1"), ("t" * 15 + "\n", f'"{"t" * 513}"')],
    "timezone": [("Mars", '"UTC+2"'), ("../../etc/passwd", "1")],
    "now": [("tomorrow", "2025-09-14"), ("2025-13-01", '"14.9.2025"')],
    "language": [("", '"a\\u001bb"'), ("", f'"{"x" * 61}"'), ("", "[]")],
    "deadline_seconds": [("", "3601"), ("", "-1")],
    "private_tags": [("", '["a b"]'), ("", '"a"'), ("", "[1]"), ("", str([str(n) for n in range(65)]))],
    "private_folders": [("", '["../x"]'), ("", '["/abs"]'), ("", '["~/x"]'), ("", '["a/../b"]')],
    "trusted_nodes": [("", '[""]'), ("", '["x\\ny"]')],
    "kinds": [("", '"project"'), ("", "3")],
    "capture_heading": [("", '" "'), ("", '""')],
    "force_pattern": [("", '"a b"'), ("", '"#"'), ("", "3")],
    "origins": [("", '["https://n.example/"]'), ("", '["*"]'), ("", '["HTTPS://N"]'), ("", "[1]")],
}


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests counts."""
    for name in [name for name in os.environ if name.startswith(("KOS_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def written(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text, "utf-8")
    return file


def value(config: Config, option: str) -> Any:
    return getattr(config, option)


# --- what wins


def test_good_and_bad_values_are_known_for_every_option() -> None:
    assert sorted(GOOD) == sorted(BAD) == sorted(option.name for option in OPTIONS)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_flag_above_environment_above_file_above_default(tmp_path: Path, option: Any) -> None:
    text, in_file, meant = GOOD[option.name]
    file = written(tmp_path, f"{option.name} = {in_file}\n")
    nothing = tmp_path / "nothing.toml"
    nothing.write_text("", "utf-8")

    bare = load({}, {}, nothing)
    assert bare.sources[option.name] == "default"
    if option.name != "state_dir":
        assert value(bare, option.name) == ("" if option.name == "uds" else option.default)

    from_file = load({}, {}, file)
    assert (value(from_file, option.name), from_file.sources[option.name]) == (meant, "file")
    if option.env:
        above = load({}, {option.env: text}, file)
        assert (value(above, option.name), above.sources[option.name]) == (meant, f"environment {option.env}")
        assert load({}, {option.env: ""}, file).sources[option.name] == "file"
    flags = load({option.name: text}, {option.env: "not looked at"} if option.env else {}, file)
    assert (value(flags, option.name), flags.sources[option.name]) == (meant, "flag")
    assert load({option.name: None}, {}, file).sources[option.name] == "file"


def test_the_environment_has_the_names_that_are_promised() -> None:
    names = {option.env for option in OPTIONS if option.env}
    promised = "VAULT STATE_DIR TOKEN PROFILE PORT CACHE OLLAMA_URL NOW".split()
    assert names == {f"KOS_{name}" for name in promised}


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_file({"KOS_CONFIG": "here.toml"}) == tmp_path / "here.toml"
    assert config_file({"KOS_CONFIG": "~/mine.toml"}) == tmp_path / "home" / "mine.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert config_file({}) == tmp_path / "xdg" / "knowledge-os" / "config.toml"
    assert load({}, {}).file == tmp_path / "xdg" / "knowledge-os" / "config.toml"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert load({}, {}).state_dir == tmp_path / "state" / "knowledge-os"


def test_paths_begin_where_they_were_written(tmp_path: Path) -> None:
    folder = tmp_path / "settings"
    folder.mkdir()
    file = written(folder, 'vault = "../notes"\nprofile = "mine.toml"\nuds = "~/kos.sock"\n')
    config = load({}, {}, file)
    assert config.vault == tmp_path / "notes"
    assert config.profile == str(folder / "mine.toml")
    assert config.uds == str(tmp_path / "home" / "kos.sock")
    assert load({"vault": "notes"}, {}, file).vault == tmp_path / "notes"
    assert load({}, {"KOS_PROFILE": "own.toml"}, file).profile == str(tmp_path / "own.toml")


def test_the_vault_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "vault" / "Folder" / "Deeper"
    inside.mkdir(parents=True)
    assert load({}, {}).vault is None
    (tmp_path / "vault" / ".obsidian").mkdir()
    monkeypatch.chdir(inside)
    config = load({}, {})
    assert (config.vault, config.sources["vault"]) == (tmp_path / "vault", "current folder")
    assert vault_of(config) == tmp_path / "vault"
    assert load({"vault": "/v"}, {}).vault == Path("/v")


# --- what is refused


@pytest.mark.parametrize(
    ("name", "text", "in_file"),
    [(name, *pair) for name, pairs in BAD.items() for pair in pairs],
    ids=lambda text: text[:20],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(tmp_path: Path, name: str, text: str, in_file: str) -> None:
    option = next(option for option in OPTIONS if option.name == name)
    file = written(tmp_path, f"{name} = {in_file}\n")
    ways: list[Callable[[], Any]] = [lambda: load({}, {}, file)]
    if text and option.flag:
        ways.append(lambda: load({name: text}, {}))
    if text and option.env:
        ways.append(lambda: load({}, {option.env: text}))
    for way in ways:
        with pytest.raises(ConfigError) as refused:
            way()
        told = str(refused.value)
        assert option.allowed in told
        assert re.search(f"{name}|{option.env or name}|{option.flag or name}", told)
        assert len(told) < 800 + len(str(file))
        assert refused.value.hint
        assert "hidden" not in told
        assert not (option.secret and text and text in told)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"port = ", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x = " + b"[" * 100_000, "is not TOML"),
        (b"#" * ((1 << 20) + 1), "longer than 1048576 bytes"),
        (b"prot = 1", "'prot' in"),
        (b"[server]\nport = 1", "'server' in"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, data: bytes, told: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=re.escape(told)) as refused:
        load({}, {"KOS_CONFIG": str(file)})
    if data == b"prot = 1":
        assert refused.value.hint == "Did you mean port?"


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    for way in ({"KOS_CONFIG": str(tmp_path / "no.toml")}, {}):
        with pytest.raises(ConfigError, match="does not exist") as refused:
            load({}, way, None if way else tmp_path / "no.toml")
        assert "kos init" in refused.value.hint
    assert load({}, {}).sources["port"] == "default"
    with pytest.raises(ConfigError, match="cannot be read"):
        load({}, {"KOS_CONFIG": str(tmp_path)})


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xef\xbb\xbfport = 1\n")
    assert load({}, {}, file).port == 1


# --- vault and state folder


def test_a_vault_must_be_a_folder_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file.md").write_text("", "utf-8")
    (tmp_path / "vault").mkdir()
    for flags, told in (
        ({}, "no vault is named"),
        ({"vault": "nowhere"}, "nowhere does not exist"),
        ({"vault": "file.md"}, "is a file; a vault is a folder"),
    ):
        with pytest.raises(ConfigError, match=told) as refused:
            vault_of(load(flags, {}))
        assert "--vault" in refused.value.hint
    with pytest.raises(ConfigError) as refused:
        vault_of(load({}, {"KOS_VAULT": "nowhere"}))
    assert "KOS_VAULT" in refused.value.hint
    config = load({"vault": "vault"}, {})
    assert vault_of(config) == tmp_path / "vault"
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="permission denied"):
        vault_of(config)


@pytest.mark.parametrize("state", ["vault", "vault/state", "vault/a/b", "link/state", "linked-state"])
def test_the_state_folder_lies_outside_the_vault(tmp_path: Path, state: str) -> None:
    vault = tmp_path / "vault"
    vault.mkdir()
    (tmp_path / "link").symlink_to(vault)
    (tmp_path / "linked-state").symlink_to(vault / "inside")
    for name in ("vault", "link"):
        with pytest.raises(ConfigError, match="lies in the vault"):
            load({"vault": str(tmp_path / name), "state_dir": str(tmp_path / state)}, {})
    beside = load({"vault": str(vault), "state_dir": str(tmp_path / "vault-state")}, {})
    assert vault_dir(beside).is_relative_to(tmp_path / "vault-state")
    assert list(vault.iterdir()) == []


def test_each_vault_has_a_state_folder_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "one")

    def folder(name: str) -> Path:
        return vault_folder(load({"vault": str(tmp_path / name), "state_dir": str(tmp_path / "state")}, {}))

    assert folder("one") == folder("link") == folder("two/../one")
    assert folder("one") != folder("two")
    assert not (tmp_path / "state").exists()
    made = vault_dir(load({"vault": str(tmp_path / "one"), "state_dir": str(tmp_path / "deep" / "state")}, {}))
    for one in (made, made.parent, tmp_path / "deep" / "state"):
        assert one.stat().st_mode & 0o777 == 0o700


# --- the token


def with_state(tmp_path: Path, **flags: str) -> Config:
    return load({"state_dir": str(tmp_path / "state"), **flags}, {})


def test_the_token_is_made_once(tmp_path: Path) -> None:
    config = with_state(tmp_path)
    with pytest.raises(ConfigError, match="there is no token yet") as refused:
        read_token(config)
    assert "kos token" in refused.value.hint
    start = threading.Barrier(8)
    found: list[str] = []

    def make() -> None:
        start.wait()
        found.append(read_token(config, create=True))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert re.fullmatch(r"[\w-]{43}", found[0])
    file = token_file(config)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["token"]
    assert read_token(config) == found[0]


def test_a_token_that_is_set_wins(tmp_path: Path) -> None:
    config = with_state(tmp_path, token="s" * 20)
    assert read_token(config, create=True) == "s" * 20
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("data", [b"", b"short", b"a" * 20 + b" " + b"b" * 20, b"\xff" * 20, b"a" * 513])
def test_a_token_file_that_holds_none(tmp_path: Path, data: bytes) -> None:
    config = with_state(tmp_path)
    config.state_dir.mkdir()
    token_file(config).write_bytes(data)
    for create in (False, True):
        with pytest.raises(ConfigError, match="holds no token") as refused:
            read_token(config, create=create)
        assert "Remove it" in refused.value.hint
    token_file(config).unlink()
    token_file(config).mkdir()
    with pytest.raises(ConfigError, match="cannot be used"):
        read_token(config)


# --- what is shown


def test_secrets_are_masked(tmp_path: Path) -> None:
    flags = {"token": "never-to-be-shown", "cache": "redis://me:p@ss@host:6379/1", "vault": "/v"}
    config = load(flags, {})
    shown = {row["option"]: row for row in rows(config)}
    assert list(shown) == [option.name for option in OPTIONS]
    assert shown["token"]["value"] == "(hidden)"
    assert shown["token"]["default"] == ""
    assert shown["cache"]["value"] == "redis://***@host:6379/1"
    assert shown["vault"] == {"option": "vault", "value": "/v", "source": "flag", "default": ""}
    assert shown["private_tags"]["value"] == ["private"]
    for told in (repr(shown), repr(config)):
        assert "never-to-be-shown" not in told
    assert "p@ss" not in repr(shown)


def test_the_template_is_toml_that_sets_nothing(tmp_path: Path) -> None:
    assert tomllib.loads(template()) == {}
    file = written(tmp_path, template())
    assert set(load({}, {}, file).sources.values()) == {"default"}
    for option in OPTIONS:
        # What is commented out can be used as it stands.
        lines = re.findall(rf"^# ({option.name} = .*|\[{option.name}\..*)$", template(), re.MULTILINE)
        assert lines
        assert load({}, {}, written(tmp_path, "\n".join(lines))).sources[option.name] == "file"
        for part in (option.env, option.flag):
            assert part in template()


def test_the_template_sets_what_it_is_given(tmp_path: Path) -> None:
    values = {"vault": '/a "b"\\c', "port": 1, "private_tags": ("x", "ö")}
    assert tomllib.loads(template(values)) == {"vault": '/a "b"\\c', "port": 1, "private_tags": ["x", "ö"]}
    assert load({}, {}, written(tmp_path, template(values))).private_tags == ("x", "ö")


# --- kinds


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("kinds.project.folder = 3", "kinds.project.folder in FILE is 3; allowed: a path", "Correct it"),
        (
            "kinds.project.tags = ['a b']",
            "kinds.project.tags in FILE is ['a b']; allowed: a list of at most 64 tags",
            "",
        ),
        ("[kinds.project]\nfoldr = 'x'", "kinds.project.foldr in FILE is no field of a kind", "Did you mean folder?"),
        ("[kinds.project]\nx = 'x'", "kinds.project.x in FILE", "Fields are types, folder, tags, keywords, template."),
        ("[kinds.'My Dish']", "kinds.My Dish in FILE is no name of a kind", "small letters"),
        ("kinds.project.types = 'project'", "kinds.project.types in FILE is 'project'; allowed: a list of", ""),
        ("kinds.project.types = [1]", "kinds.project.types in FILE is [1]; allowed: a list of", ""),
        ("kinds.project.keywords = ['']", "kinds.project.keywords in FILE is ['']; allowed: a list of", ""),
        ("kinds.project.folder = '../x'", "kinds.project.folder in FILE is '../x'; allowed: a path", ""),
        ("kinds.project.template = '/x.md'", "kinds.project.template in FILE is '/x.md'; allowed: a path", ""),
        ("kinds.Dish = {}", "kinds.Dish in FILE is no name of a kind", "small letters"),
        ("kinds.project = 1", "kinds.project in FILE is 1; allowed: a table", "Write [kinds.project]"),
    ],
)
def test_what_is_wrong_with_a_kind_is_told_by_its_field(tmp_path: Path, text: str, message: str, hint: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load({}, {}, file)
    assert message.replace("FILE", str(file)) in str(refused.value)
    assert hint in refused.value.hint


def test_the_kinds_that_are_told_are_those_there_are() -> None:
    assert {kind.name: kind.types for kind in KINDS} == TYPES
    fields = set(next(iter(next(one for one in OPTIONS if one.name == "kinds").example.values())))
    assert fields == {one.name for one in dataclasses.fields(Kind)} - {"name"}


def test_kinds_reach_the_vault_and_the_house(tmp_path: Path) -> None:
    config = load({}, {}, written(tmp_path, "[kinds.moc]\ntypes = ['Atlas']\n[kinds.dish]\nfolder = 'Kitchen/'\n"))
    kinds = {kind.name: kind for kind in vault_options(config).kinds}
    assert kinds["moc"].types == ("atlas",)
    assert kinds["dish"] == Kind("dish", ("dish",), "Kitchen")
    assert kinds["project"] == KINDS[0]
    assert next(row for row in rows(config) if row["option"] == "kinds")["value"]["dish"] == {"folder": "Kitchen"}
