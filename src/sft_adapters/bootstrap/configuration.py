"""
The settings and the keys of a process, read and checked before anything is connected.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sft_adapters.bootstrap.container import open_container
from sft_adapters.bootstrap.storage import create_keys
from sft_adapters.keyring.loading import KeySet, ephemeral_keys
from sft_adapters.settings import Settings

__all__ = ["ephemeral_keys", "keys_for", "settings_for"]


def settings_for(data_dir: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """
    Return the settings of a data folder and an environment; nothing is written or connected.

    `ConfigurationError` is raised if settings are wrong, or a driver that they need is not installed.
    """
    settings = Settings.from_env(environ or {}, data_dir=data_dir)
    with open_container(settings):
        return settings


def keys_for(settings: Settings) -> KeySet:
    """
    Create missing key files and return all keys; see `create_keys`.
    """
    with open_container(settings) as container:
        return create_keys(container)
