"""The configuration in force, and from where each option comes: flags above environment above file above defaults."""

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.options import OPTIONS, Option, PartError

APP = "knowledge-os"
_FILE_BYTES = 1 << 20
# Options that say where a service is found, who may ask it, or the person's day, which travels with a request.
_NOT_OF_WORK = frozenset({"vault", "state_dir", "host", "port", "uds", "origins", "token", "timezone", "now"})
# Everything a URL may hold before its host; greedy, because a password may hold an @ itself.
_LOGIN = re.compile(r"(?<=://).*@")


class ConfigError(ValueError):
    """An option that cannot be used; the message names it, its value (never a secret) and what is allowed.

    Attributes:
        hint: what to do about it.
    """

    code = "invalid"

    def __init__(self, message: str, hint: str = "`kos config` prints every option and where it comes from.") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Config:
    """The options in force; what each means stands in `server.options`.

    Attributes:
        vault: absolute path, not looked at yet (see `vault_of`); None when none is named.
        sources: option → "default", "current folder" (of the vault), "file", "environment KOS_X" or "flag".
        file: the configuration file, read or not; None when it is not known.
    """

    vault: Path | None
    state_dir: Path
    profile: str
    ollama_url: str
    cache: str
    cache_ttl_seconds: int
    host: str
    port: int
    uds: str
    token: str = field(repr=False)
    timezone: str
    now: str
    language: str
    deadline_seconds: int
    private_tags: tuple[str, ...]
    private_folders: tuple[str, ...]
    trusted_nodes: tuple[str, ...]
    capture_heading: str
    force_pattern: str = "#force_big"
    kinds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origins: tuple[str, ...] = ()
    embeddings: str = "off"
    sources: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None


def load(flags: Mapping[str, Any], env: Mapping[str, str], path: Path | None = None) -> Config:
    """Read the configuration.

    Whether the vault is there is not looked at: `vault_of` does that, for those who need one.

    Args:
        flags: option → value as given on the command line; None for one that was not given.
        env: the environment; an empty variable counts as not set.
        path: the configuration file; None for KOS_CONFIG or the usual place, where it need not be.

    Raises:
        ConfigError: an unknown option, a value that is not allowed, a file that cannot be read, or a state folder
            inside the vault.
    """
    file = path or config_file(env)
    table = _read(file, needed=path is not None or bool(env.get("KOS_CONFIG")))
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for option in OPTIONS:
        values[option.name], sources[option.name] = _pick(option, flags, env, table, file)
    if values["vault"] is None:
        values["vault"] = _vault_here()
        sources["vault"] = "current folder" if values["vault"] else "default"
    values["state_dir"] = values["state_dir"] or _default_state_dir()
    values["uds"] = str(values["uds"] or "")
    config = Config(**values, sources=sources, file=file)
    _keep_apart(config)
    return config


def config_file(env: Mapping[str, str]) -> Path:
    """Where the configuration file belongs: KOS_CONFIG, else the system's folder for configuration.

    Raises:
        ConfigError: KOS_CONFIG is no path.
    """
    if env.get("KOS_CONFIG"):
        try:
            return _absolute(env["KOS_CONFIG"], Path())
        except ValueError:
            raise ConfigError(f"KOS_CONFIG is {env['KOS_CONFIG']!r}; allowed: the path of a file") from None
    from platformdirs import user_config_path  # noqa: PLC0415 - not needed when KOS_CONFIG says it

    return user_config_path(APP, appauthor=False) / "config.toml"


def _read(file: Path, *, needed: bool) -> dict[str, Any]:
    """The file's table; empty when it is not there and nobody named it."""
    import tomllib  # noqa: PLC0415 - not needed by those who have no file

    try:
        with file.open("rb") as opened:
            data = opened.read(_FILE_BYTES + 1)
    except FileNotFoundError:
        if needed:
            raise ConfigError(
                f"the configuration file {file} does not exist", "`kos init` writes one with every option explained."
            ) from None
        return {}
    except OSError as error:
        raise ConfigError(f"the configuration file {file} cannot be read ({error.strerror})") from None
    if len(data) > _FILE_BYTES:
        raise ConfigError(f"the configuration file {file} is longer than {_FILE_BYTES} bytes")
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"the configuration file {file} is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"the configuration file {file} is not TOML: {error}") from None
    names = [option.name for option in OPTIONS]
    for name in table:
        if name not in names:
            from difflib import get_close_matches  # noqa: PLC0415 - only for those who misspelt

            near = get_close_matches(name, names, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Options are {', '.join(names)}."
            raise ConfigError(f"{name!r} in {file} is no option", hint)
    return table


def _pick(
    option: Option, flags: Mapping[str, Any], env: Mapping[str, str], table: Mapping[str, Any], file: Path
) -> tuple[Any, str]:
    """The value of an option and its source."""
    if flags.get(option.name) is not None:
        return _value(option, flags[option.name], option.flag, Path()), "flag"
    if option.env and env.get(option.env):
        return _value(option, env[option.env], option.env, Path()), f"environment {option.env}"
    if option.name in table:
        return _value(option, table[option.name], f"{option.name} in {file}", file.parent, typed=True), "file"
    return option.default, "default"


def _value(option: Option, raw: Any, where: str, base: Path, *, typed: bool = False) -> Any:
    """A raw value as the option has it. Text is read as the option's type unless the value is `typed` already."""
    try:
        value = option.rule(_as_kind(option.kind, raw, base, typed=typed))
        return str(_absolute(value, base)) if option.name == "profile" and value.endswith(".toml") else value
    except PartError as error:
        told = where.replace(option.name, error.part, 1)
        raise ConfigError(f"{told} {error}", error.hint) from None
    except (ValueError, TypeError):
        told = "cannot be used" if option.secret or _LOGIN.search(str(raw)) else f"is {raw!r:.200}"
        raise ConfigError(f"{where} {told}; allowed: {option.allowed}") from None


def _as_kind(kind: type, raw: Any, base: Path, *, typed: bool) -> Any:
    if kind is int and isinstance(raw, str) and not typed:
        return int(raw)
    if kind is tuple:
        items = raw.split(",") if isinstance(raw, str) and not typed else raw
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise TypeError
        return tuple(items)
    if kind is Path:
        return _absolute(_as_kind(str, raw, base, typed=typed), base) if raw != "" else None
    if not isinstance(raw, kind) or isinstance(raw, bool):
        raise TypeError
    if isinstance(raw, str) and "\0" in raw:
        raise ValueError
    return raw


def _absolute(text: str, base: Path) -> Path:
    """A path with ~ and .. resolved, links left as they are."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # ~somebody, whom nobody knows
        raise ValueError from None
    return Path(os.path.abspath(base / path))  # noqa: PTH100 - `resolve` would follow links


def _vault_here() -> Path | None:
    """The current folder, or the nearest one above, that Obsidian has opened as a vault."""
    with suppress(OSError):
        here = Path.cwd()
        return next((folder for folder in (here, *here.parents) if (folder / ".obsidian").is_dir()), None)
    return None


def _default_state_dir() -> Path:
    from platformdirs import user_state_path  # noqa: PLC0415 - not needed when KOS_STATE_DIR says it

    return user_state_path(APP, appauthor=False)


def _keep_apart(config: Config) -> None:
    """Hold the state folder out of the vault: what Obsidian or a sync service sees there would be taken for notes."""
    if config.vault is None:
        return
    state = config.state_dir.resolve()
    for folder in (state, *state.parents):
        with suppress(OSError):
            if folder.samefile(config.vault):
                raise ConfigError(
                    f"state_dir is {str(config.state_dir)!r}, which lies in the vault; allowed: a folder outside it",
                    "Set KOS_STATE_DIR or state_dir to a folder outside the vault.",
                )


def vault_of(config: Config) -> Path:
    """The folder of the vault, which is there.

    Raises:
        ConfigError: none is named, or it is no folder that can be read.
    """
    vault = config.vault
    if vault is None:
        hint = "Give --vault PATH, set KOS_VAULT or `vault` in the configuration file, or go to the vault's folder."
        raise ConfigError("no vault is named, and the current folder is in none", hint)
    hint = f"It was named by {_told(config, 'vault')}. Name the folder that Obsidian opens as the vault."
    if not vault.exists():
        raise ConfigError(f"the vault {vault} does not exist", hint)
    if not vault.is_dir():
        raise ConfigError(f"the vault {vault} is a file; a vault is a folder", hint)
    if not os.access(vault, os.R_OK | os.X_OK):
        raise ConfigError(
            f"the vault {vault} cannot be read (permission denied)", "Give yourself the right to read it."
        )
    return vault


def _told(config: Config, option: str) -> str:
    source = config.sources.get(option, "")
    return {"flag": f"--{option}", "file": str(config.file), "current folder": "the current folder"}.get(
        source, source.removeprefix("environment ")
    )


def vault_folder(config: Config) -> Path:
    """The state folder of this vault, made or not; named by the real path, so that links to a vault share it."""
    real = os.path.realpath(vault_of(config))
    return config.state_dir / "vaults" / hashlib.sha256(os.fsencode(real)).hexdigest()[:16]


def vault_dir(config: Config) -> Path:
    """The state folder of this vault, made (mode 0700) when it is missing.

    Raises:
        OSError: it cannot be made.
    """
    folder = vault_folder(config)
    config.state_dir.parent.mkdir(parents=True, exist_ok=True)
    for one in (config.state_dir, folder.parent, folder):
        one.mkdir(mode=0o700, exist_ok=True)
    return folder


def token_file(config: Config) -> Path:
    """Where the token of the service is kept."""
    return config.state_dir / "token"


def read_token(config: Config, *, create: bool = False) -> str:
    """The token of the service: KOS_TOKEN or the configured one, else the one in the state folder.

    Args:
        config: the configuration in force.
        create: make one when there is none: 32 random bytes, in a file of mode 0600.

    Raises:
        ConfigError: there is none, or its file holds none or cannot be read or made.
    """
    if config.token:
        return config.token
    file = token_file(config)
    try:
        if create and not file.exists():
            make_secret(file)
        token = file.read_text("ascii").strip()
    except FileNotFoundError:
        raise ConfigError(f"there is no token yet ({file})", "`kos token` makes one.") from None
    except UnicodeDecodeError:
        token = ""
    except OSError as error:
        raise ConfigError(f"the token file {file} cannot be used ({error.strerror})") from None
    if not re.fullmatch(r"[!-~]{16,512}", token):
        raise ConfigError(f"the token file {file} holds no token", "Remove it; `kos token` makes a new one.")
    return token


def make_secret(file: Path) -> None:
    """Write 32 random bytes, as text, to a file.

    To one of its own first (O_EXCL, 0600), which is then linked into place: nobody ever reads half of it.
    """
    file.parent.parent.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(secrets.token_urlsafe(32) + "\n")
        try:
            os.link(name, file)
        except FileExistsError:
            pass  # another process was quicker: its token is the one
        except OSError:  # a file system without links
            Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


def marks(config: Config) -> dict[str, str]:
    """A digest of the value of each option that a running service works with, whatever a request says."""
    return {
        option.name: hashlib.sha256(repr(getattr(config, option.name)).encode()).hexdigest()[:16]
        for option in OPTIONS
        if option.name not in _NOT_OF_WORK
    }


def rows(config: Config) -> list[dict[str, Any]]:
    """Every option with its value (a secret masked), its source and its default, for `kos config`."""
    return [
        {
            "option": option.name,
            "value": _shown(option, getattr(config, option.name)),
            "source": config.sources.get(option.name, "default"),
            "default": _shown(option, option.default),
        }
        for option in OPTIONS
    ]


def _shown(option: Option, value: Any) -> Any:
    if option.secret:
        return "(hidden)" if value else ""
    if option.kind is tuple:
        return list(value)
    if option.kind is dict:
        return {name: dict(fields) for name, fields in value.items()}
    if option.kind is Path:
        return str(value or "")
    return _LOGIN.sub("***@", value) if isinstance(value, str) else value
