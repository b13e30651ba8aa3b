"""
From an environment to checked settings, with keys from key files.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import attrs

from sft_adapters.bootstrap.container import Container
from sft_adapters.bootstrap.storage import (
    _EMPTY,
    is_in_use,
)
from sft_adapters.disk import directories, key_files
from sft_adapters.keyring.loading import KEYS, check_key_files, earlier_keys
from sft_adapters.settings import Settings
from sft_adapters.system import SystemEntropy


def settings_for(data_dir: Path, environ: Mapping[str, str] = _EMPTY, *, make_keys: bool = True) -> Settings:
    """
    Settings for a data folder: the environment's, with keys from key files where it gives none.

    The folder and, on the first start, the keys are made, readable by their owner only. Without
    `make_keys` nothing is written, and a key that is missing is one of the moment: good for
    looking at the storage, not for opening what is in it.
    """
    stand_ins, made = throwaway_keys(), frozenset[str]()
    settings = Settings.from_env(environ, data_dir=data_dir, secrets=stand_ins)
    check_configuration(settings)
    not_given = [name for name in KEYS if not environ.get(name, "").strip()]
    if make_keys:
        directories.make(data_dir)
        made = key_files.make_missing(data_dir / "keys", not_given, may_make=lambda: not is_in_use(settings))
        keys = key_files.read(data_dir / "keys", not_given)
    else:
        keys = stand_ins | key_files.read(data_dir / "keys", not_given)
    check_key_files(data_dir / "keys", {name: keys[name] for name in not_given})
    settings = Settings.from_env(environ, data_dir=data_dir, secrets={name: keys[name] for name in not_given})
    check_configuration(settings)
    return attrs.evolve(settings, earlier_key_files=earlier_keys(data_dir / "keys"), made_now=made)


def throwaway_keys() -> dict[str, str]:
    """
    Fresh keys that nobody keeps.
    """
    draw = SystemEntropy().draw
    return {"SECRET_KEY": draw(64).hex(), "ENCRYPTION_KEY": base64.b64encode(draw(32)).decode()}


def check_configuration(settings: Settings) -> None:
    """
    Raise `ConfigurationError` if something cannot be built from the settings; nothing is connected.
    """
    container = Container(settings=settings)
    container.application()
    container.engine().dispose()
    if settings.redis_url:
        container.redis().close()
    if settings.minio_endpoint:
        container.s3().close()
