"""
The keys of a process, from its environment and its key files.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs

from sft_adapters.crypto.keyring import key_id
from sft_adapters.disk import key_files
from sft_adapters.settings import Settings, parsers
from sft_adapters.settings.model import key_faults
from sft_adapters.system import SystemEntropy
from sft_core.errors import ConfigurationError
from sft_core.values import Secret

KEY_PARSERS: Final[Mapping[str, Callable[[str], Secret]]] = {
    "SECRET_KEY": parsers.secret_key,
    "ENCRYPTION_KEY": parsers.encryption_key,
}
"""The keys that may be in files, by the settings in whose place they are, and how their texts are parsed."""


@attrs.frozen(kw_only=True)
class KeySet:
    """
    The keys of a process: from the environment, or else from key files.
    """

    folder: Path
    secret_key: Secret
    encryption_key: Secret
    environment_retiring_keys: tuple[Secret, ...] = ()
    """Retiring keys of the ring that the environment sets."""
    retiring_key_files: tuple[Secret, ...] = ()
    """Retiring keys of the ring from key files."""
    keys_from_files: frozenset[str] = frozenset()
    """Names of the keys that the environment does not set."""
    created_keys: frozenset[str] = frozenset()
    """Names of the keys that this start has created, under which nothing can be stored yet."""

    @property
    def retiring_keys(self) -> tuple[Secret, ...]:
        """
        Every key of the ring but the active one, each once.
        """
        others = (*self.environment_retiring_keys, *self.retiring_key_files)
        return tuple(key for n, key in enumerate(others) if key not in (self.encryption_key, *others[:n]))


def load_keys(
    settings: Settings, *, stand_ins: Mapping[str, str] | None = None, created: frozenset[str] = frozenset()
) -> KeySet:
    """
    Load each key from the environment, its file, or else its text in `stand_ins`.

    Raises `ConfigurationError` if a key is missing, a key file cannot be read or holds another thing, or two keys are
    the same.
    """
    folder, security, stand_ins = settings.key_folder, settings.security, stand_ins or {}
    names = missing_from_environment(settings)
    files = _read_keys(folder, names)
    absent = [name for name in names if name not in files and name not in stand_ins]
    if absent:
        raise ConfigurationError("; ".join(_not_set(folder, name) for name in absent))
    loaded = files | {name: KEY_PARSERS[name](stand_ins[name]) for name in names if name not in files}
    secret_key = security.secret_key or loaded["SECRET_KEY"]
    encryption_key = security.encryption_key or loaded["ENCRYPTION_KEY"]
    faults = key_faults(secret_key, encryption_key, security.encryption_keys_retiring, security.algorithm)
    if sentences := "; ".join(faults):
        raise ConfigurationError(sentences)
    return KeySet(
        folder=folder,
        secret_key=secret_key,
        encryption_key=encryption_key,
        environment_retiring_keys=security.encryption_keys_retiring,
        retiring_key_files=_retiring_key_files(folder),
        keys_from_files=frozenset(names),
        created_keys=created,
    )


def ephemeral_keys() -> dict[str, str]:
    """
    Return the texts of fresh keys, for commands that unwrap nothing and for tests.
    """
    draw = SystemEntropy().random_bytes
    return {"SECRET_KEY": draw(64).hex(), "ENCRYPTION_KEY": base64.b64encode(draw(32)).decode()}


def reload_keys(keys: KeySet) -> KeySet:
    """
    Return the keys with the ring's files read again; keys of the environment stay.

    Raises `ConfigurationError` if the file of the active key is missing, or a file of the ring cannot be read.
    """
    folder, active = keys.folder, keys.encryption_key
    if "ENCRYPTION_KEY" in keys.keys_from_files:
        # The active key first: its successor is written only once it is among the earlier ones.
        found = _read_keys(folder, ["ENCRYPTION_KEY"])
        if not found:
            raise ConfigurationError(f"{key_files.path_of(folder, 'ENCRYPTION_KEY')} is missing: restore the key")
        active = found["ENCRYPTION_KEY"]
    return attrs.evolve(keys, encryption_key=active, retiring_key_files=_retiring_key_files(folder))


def missing_from_environment(settings: Settings) -> list[str]:
    """
    Return the names of the keys that the environment does not set.
    """
    security = settings.security
    given = {"SECRET_KEY": security.secret_key, "ENCRYPTION_KEY": security.encryption_key}
    return [name for name in KEY_PARSERS if given[name] is None]


def key_file_paths(settings: Settings) -> dict[str, Path | None]:
    """
    Return the file of each key, or None if the environment sets the key.
    """
    names = missing_from_environment(settings)
    return {name: key_files.path_of(settings.key_folder, name) if name in names else None for name in KEY_PARSERS}


def _read_keys(folder: Path, names: list[str]) -> dict[str, Secret]:
    keys = {}
    for name, text in key_files.read(folder, names).items():
        try:
            keys[name] = KEY_PARSERS[name](text)
        except ValueError as error:
            raise ConfigurationError(f"{key_files.path_of(folder, name)} holds no {name}: it {error}") from None
    return keys


def _not_set(folder: Path, name: str) -> str:
    path = key_files.path_of(folder, name)
    return f"{name} is not set, and {path} is missing: the first start creates it, and if it was lost, restore it"


def _retiring_key_files(folder: Path) -> tuple[Secret, ...]:
    keys = []
    for name, text in key_files.read_retiring(folder).items():
        path = key_files.path_of_retiring(folder, name)
        try:
            keys.append(parsers.encryption_key(text))
        except ValueError as error:
            raise ConfigurationError(f"{path} holds no key of the ring: it {error}") from None
        if key_id(keys[-1]) != name:
            raise ConfigurationError(f"{path} holds key {key_id(keys[-1])} and not the one that it is named after")
    return tuple(keys)
