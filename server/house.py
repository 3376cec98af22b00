"""Builds what commands work with from the configuration: vault, index, cache, nodes, prompts."""

import asyncio
import logging
from pathlib import Path

from commands.house import House, Settings, shipped_prompts
from commands.journal import Journal, NoHistoryError
from context.cache import open_cache
from context.index import Index
from context.kinds import configured
from context.vault import Vault, VaultOptions
from inference.fleet import Fleet
from inference.profile import Profile, load, with_trust, with_url
from prompts import shipped_text
from server.config import Config, ConfigError, vault_dir, vault_of

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
    return await asyncio.to_thread(_open, config, watch=watch)


def _open(config: Config, *, watch: bool) -> House:
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
        ttl_seconds=config.cache_ttl_seconds,
    )
    house = House(
        vault=vault,
        cache=cache,
        fleet=Fleet(profile),
        prompts=prompts,
        preamble=shipped_text("preamble").strip(),
        settings=Settings(
            timezone=config.timezone,
            now=config.now,
            language=config.language,
            capture_heading=config.capture_heading,
            deadline_seconds=config.deadline_seconds,
        ),
        journal=journal,
    )
    if watch:
        from context.watch import Watch  # noqa: PLC0415 - only a service watches

        house.watch = Watch(vault)
    return house


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


def _writable(config: Config) -> Path | None:
    """The state folder of the vault; None where it cannot be written, so that a command still answers from memory."""
    try:
        return vault_dir(config)
    except OSError as error:
        log.warning(
            "the state folder cannot be written (%s); index and cache live in memory for this run", error.strerror
        )
        return None
