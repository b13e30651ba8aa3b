"""
From an environment to a service that may start: settings, keys, schema.

Whatever is wrong is told before anything is written, and nothing is made beside data that needs
something else: no new key where there is data under an old one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sft_adapters import extras, setting_types
from sft_adapters.container import Container, check_keys, one_writer
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.disk import keyfiles
from sft_adapters.settings import Settings
from sft_adapters.sql import inspection, migrate
from sft_adapters.sql.engine import opened, sqlite_file
from sft_adapters.system import SystemEntropy
from sft_core.errors import ConfigurationError

_EMPTY: Final[Mapping[str, str]] = {}
_KEYS: Final = ("SECRET_KEY", "ENCRYPTION_KEY")


def settings_for(data_dir: Path, environ: Mapping[str, str] = _EMPTY, *, make_keys: bool = True) -> Settings:
    """
    Settings for a data folder: the environment's, with keys from key files where it gives none.

    The folder and, on the first start, the keys are made, readable by their owner only. Without
    `make_keys` nothing is written, and a key that is missing is one of the moment: good for
    looking at the storage, not for opening what is in it.
    """
    stand_ins = throwaway_keys()
    settings = Settings.from_env(environ, data_dir=data_dir, secrets=stand_ins)
    check_configuration(settings)
    not_given = [name for name in _KEYS if not environ.get(name, "").strip()]
    if make_keys:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = keyfiles.read_or_make(data_dir / "keys", not_given, may_make=lambda: not holds_data(settings))
    else:
        keys = stand_ins | keyfiles.read(data_dir / "keys", not_given)
    settings = Settings.from_env(environ, data_dir=data_dir, secrets=keys)
    check_configuration(settings)
    return settings


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
    for part in (container.keyring, container.hasher, container.signer, container.codes, container.spend_totp_code):
        part()
    container.engine().dispose()
    if settings.redis_url:
        container.redis().close()
    if settings.minio_endpoint:
        container.s3().close()


def key_files(settings: Settings) -> list[Path]:
    """
    The key files that these settings have their keys from; none if the environment gave them.
    """
    folder = settings.data_dir / "keys"
    texts = keyfiles.read(folder, _KEYS)
    used = {"SECRET_KEY": settings.secret_key, "ENCRYPTION_KEY": settings.encryption_key}
    read = {"SECRET_KEY": setting_types.secret_key, "ENCRYPTION_KEY": setting_types.encryption_key}
    return [keyfiles.path_of(folder, name) for name, text in texts.items() if read[name](text) == used[name]]


def holds_data(settings: Settings) -> bool:
    """
    Whether there are accounts or blobs where the settings point, stored under keys that exist already.
    """
    blobs = settings.blob_folder
    if blobs.is_dir() and any(blobs.iterdir()):
        return True
    file = sqlite_file(settings.database)
    if file is not None and not file.exists():
        return False
    with opened(settings.database, busy_seconds=settings.database_timeout_seconds) as engine:
        return inspection.holds_accounts(engine)


def prepare(settings: Settings) -> None:
    """
    Make what is missing of the storage: schema, folder or bucket; safe when several start at once.

    `ConfigurationError` says by name what is wrong with a key or a server's settings, `DatabaseUnavailable`
    or `BlobStoreUnavailable` that it does not answer. Redis may be absent: nothing depends on it.
    """
    if settings.redis_url:
        extras.check_redis(settings)
    if settings.blob_store_kind == "s3":
        extras.prepare_bucket(settings)
    else:
        settings.blob_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    seconds = settings.database_timeout_seconds
    with one_writer(settings, wait_seconds=seconds), opened(settings.database, busy_seconds=seconds) as engine:
        migrate.upgrade(engine, seconds=settings.database_migration_seconds)
        check_keys(inspection.key_ids(engine), AesKeyRing(settings.encryption_key))


def check_schema(settings: Settings) -> None:
    """
    Raise `ConfigurationError` unless the schema is the one this version works with; nothing is made.
    """
    file = sqlite_file(settings.database)
    if file is not None and not file.exists():
        raise ConfigurationError(f"there is no database at {file} yet: run `sft migrate`")
    with opened(settings.database, busy_seconds=settings.database_timeout_seconds) as engine:
        migrate.check(engine)
