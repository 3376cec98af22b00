"""Builds small vaults for tests, and opens them as the service does."""

from collections.abc import Mapping
from pathlib import Path

from context.index import Index
from context.vault import Vault, VaultOptions


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder, making it; returns the folder."""
    root.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def open_vault(
    root: Path, files: Mapping[str, str | bytes] | None = None, options: VaultOptions | None = None
) -> Vault:
    """A vault of these files with its index in memory."""
    write(root, files or {})
    return Vault(root, Index(None), options)
