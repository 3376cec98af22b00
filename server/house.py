"""Builds what commands work with from the configuration: vault, index, cache, nodes, prompts."""

import asyncio
import logging
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from commands.house import House, Settings, shipped_prompts
from commands.journal import Journal, NoHistoryError
from commands.latest import Latest
from commands.warm import warm
from context.cache import open_cache
from context.calendar import CalendarError, calendar
from context.index import Index
from context.kinds import configured
from context.vault import Vault, VaultOptions
from inference.fleet import Fleet
from inference.ledger import Ledger
from inference.mode import FILE
from inference.profile import Profile, ProfileError, load, with_trust, with_url
from prompts import shipped_text
from server.config import Config, ConfigError, make_secret, vault_dir, vault_of

if TYPE_CHECKING:
    from context.embed import Vectors

log = logging.getLogger("knowledge_os")


async def open_house(config: Config, *, watch: bool = False) -> House:
    """Open everything. The vault is read in a thread, so that a server can answer health checks meanwhile.

    Args:
        config: the configuration in force.
        watch: notice changes of files as they happen; for a service.

    Raises:
        ConfigError: no vault is named.
        context.vault.VaultError: the vault cannot be read.
        inference.profile.ProfileError: the profile cannot be used.
        context.cache.CacheSettingError: the cache setting is none of those allowed.
        prompts.PromptError: the installation is not whole.
    """
    return await asyncio.to_thread(_open, config, asyncio.get_running_loop(), watch=watch)


def _open(config: Config, loop: asyncio.AbstractEventLoop, *, watch: bool) -> House:
    if config.vault is None:
        raise ConfigError("no vault is named")
    prompts = shipped_prompts()
    profile = profile_of(config)
    options = vault_options(config)
    folder = _writable(config)
    # Before the notes are read: opening the journal mends what a crash left of an edit.
    journal = _journal(config) if folder else None
    index = Index(folder / "index.sqlite" if folder else None, made_with=options.fingerprint)
    vault = Vault(config.vault, index, options)
    cache = open_cache(
        config.cache,
        vault_id=folder.name if folder else "unnamed",
        path=folder / "cache.sqlite" if folder else None,
        secret=_secret(folder),
        ttl_seconds=config.cache_ttl_seconds,
    )
    house = House(
        vault=vault,
        cache=cache,
        fleet=_fleet(config, profile, folder),
        prompts=prompts,
        preamble=shipped_text("preamble").strip(),
        settings=Settings(
            timezone=config.timezone,
            now=config.now,
            language=config.language,
            capture_heading=config.capture_heading,
            deadline_seconds=config.deadline_seconds,
            force_pattern=config.force_pattern,
        ),
        journal=journal,
        latest=Latest(config.cache_ttl_seconds),
    )
    house.vectors = vectors = _vectors(config, house, folder, loop, fill=watch)
    if watch:
        from context.watch import Watch  # noqa: PLC0415 - only a service watches

        house.watch = Watch(vault, told=lambda _: vectors.wake() if vectors else None)
        threading.Thread(target=_warm, args=(vault, config), name="vault-warm", daemon=True).start()
    return house


def _fleet(config: Config, profile: Profile, folder: Path | None) -> Fleet:
    """The nodes. What does not fit into memory is not used, and the rest works on."""
    ledger = Ledger(folder, profile) if folder else None
    modes = config.state_dir / FILE if folder else None
    fleet = Fleet(profile, embeds=config.embeddings == "on", ledger=ledger, modes_file=modes)
    for runner, why in fleet.plan.over.items():
        log.warning("runner %s is not used: %s", runner, why)
    return fleet


def _warm(vault: Vault, config: Config) -> None:
    with suppress(CalendarError):  # said to the first who asks
        warm(vault, calendar(config.now, config.timezone))


def _vectors(
    config: Config, house: House, folder: Path | None, loop: asyncio.AbstractEventLoop, *, fill: bool
) -> "Vectors | None":
    """The vectors of the notes, if the configuration wants them. What they need is only imported then."""
    model = house.fleet.profile.embedding
    if config.embeddings == "off" or model is None:
        return None
    try:
        from context.embed import Vectors  # noqa: PLC0415 - see above
        from server.embedding import embedder_of  # noqa: PLC0415 - see above
    except ImportError as error:
        log.warning("embeddings are on, but %s is not installed; search goes by words alone", error.name)
        return None
    path = folder / "vectors.db" if folder else None
    return Vectors(house.vault, embedder_of(house.fleet, model, loop), path, fill=fill)


def open_journal(config: Config) -> Journal:
    """The journal of the vault's edits. Opening it takes back what a crash left half done, and reads no note.

    Raises:
        ConfigError: the vault is not there.
        NoHistoryError: the state folder cannot be written.
    """
    vault = vault_of(config)
    try:
        return Journal(vault, vault_dir(config) / "edits")
    except OSError as error:
        raise NoHistoryError from error


def profile_of(config: Config) -> Profile:
    """The profile in force, with the address and the trust that the configuration sets.

    Raises:
        inference.profile.ProfileError: it cannot be used.
    """
    profile = load(config.profile)
    if config.ollama_url:
        profile = with_url(profile, config.ollama_url)
    if config.embeddings == "on" and profile.embedding is None:
        raise ProfileError(
            f"profile {profile.name}.toml: embedding is missing, and embeddings are on; it takes a table as in the"
            " shipped profiles"
        )
    return with_trust(profile, config.trusted_nodes)


def vault_options(config: Config) -> VaultOptions:
    """How the vault is read; an index made with other options is built again."""
    return VaultOptions(
        private_tags=frozenset(config.private_tags),
        private_folders=config.private_folders,
        kinds=configured(config.kinds),
    )


def _journal(config: Config) -> Journal | None:
    """The journal; None where none can be kept, so that a command still answers."""
    try:
        return open_journal(config)
    except NoHistoryError as error:
        log.warning("%s", error)
        return None


def _secret(folder: Path | None) -> bytes:
    """What seals the values of the cache: kept beside them, where only their owner reads it, else made for this run."""
    if folder is not None:
        file = folder / "cache.key"
        try:
            if not file.exists():
                make_secret(file)
            return file.read_bytes()
        except OSError as error:
            log.warning("the key of the cache cannot be kept (%s); what is in it is not found again", error.strerror)
    return secrets.token_bytes()


def _writable(config: Config) -> Path | None:
    """The state folder of the vault; None where it cannot be written, so that a command still answers from memory."""
    try:
        return vault_dir(config)
    except OSError as error:
        log.warning(
            "the state folder cannot be written (%s); index and cache live in memory for this run", error.strerror
        )
        return None
