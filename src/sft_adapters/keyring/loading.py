"""
The keys that files hold, read and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs

from sft_adapters.crypto.keyring import key_id
from sft_adapters.disk import key_files
from sft_adapters.settings import Settings, parsers
from sft_core.errors import ConfigurationError
from sft_core.values import Secret

KEYS: Final[Mapping[str, Callable[[str], Secret]]] = {
    "SECRET_KEY": parsers.secret_key,
    "ENCRYPTION_KEY": parsers.encryption_key,
}
"""The keys that a data folder has files for, and how their texts are read."""


def earlier_keys(folder: Path) -> tuple[Secret, ...]:
    """
    The keys of the ring that a folder holds beside the active one; `ConfigurationError` names a spoilt file.
    """
    return tuple(_earlier_key(folder, name, text) for name, text in key_files.earlier(folder).items())


def _earlier_key(folder: Path, name: str, text: str) -> Secret:
    path = key_files.path_of_earlier(folder, name)
    try:
        key = parsers.encryption_key(text)
    except ValueError as error:
        raise ConfigurationError(f"{path} holds no key of the ring: it {error}") from None
    if key_id(key) != name:
        raise ConfigurationError(f"{path} holds key {key_id(key)} and not the one that it is named after")
    return key


def with_keys_read_again(settings: Settings) -> Settings:
    """
    The same settings with the ring as its key files are now; what the environment gave stays.
    """
    folder, active = settings.data_dir / "keys", settings.encryption_key
    if "ENCRYPTION_KEY" in settings.stood_in_for:
        # The active one first: its successor is made only when it is among the earlier ones already.
        texts = key_files.read(folder, ["ENCRYPTION_KEY"])
        if not texts:
            raise ConfigurationError(f"{key_files.path_of(folder, 'ENCRYPTION_KEY')} is missing: bring the key back")
        check_key_files(folder, texts)
        active = parsers.encryption_key(texts["ENCRYPTION_KEY"])
    return attrs.evolve(settings, encryption_key=active, earlier_key_files=earlier_keys(folder))


def check_key_files(folder: Path, keys: Mapping[str, str]) -> None:
    """
    Raise `ConfigurationError` if one of the texts in a folder's files is not the key that it is there for.
    """
    for name, text in keys.items():
        try:
            KEYS[name](text)
        except ValueError as error:
            raise ConfigurationError(f"{key_files.path_of(folder, name)} holds no {name}: it {error}") from None


def key_file_paths(settings: Settings) -> dict[str, Path | None]:
    """
    Of each key the file that these settings have it from, or None if the environment gave it.
    """
    folder = settings.data_dir / "keys"
    return {name: key_files.path_of(folder, name) if name in settings.stood_in_for else None for name in KEYS}
