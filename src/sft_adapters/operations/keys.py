"""
The key ring as an operator sees it: where its keys come from, what needs them, how they change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs

from sft_adapters.bootstrap.single_writer import single_writer_lock
from sft_adapters.bootstrap.storage import check_schema
from sft_adapters.crypto.keyring import AesKeyRing, key_id
from sft_adapters.disk import key_files
from sft_adapters.disk.locks import file_lock
from sft_adapters.keyring.loading import KeySet, ephemeral_keys, load_keys
from sft_adapters.settings import Settings, parsers
from sft_adapters.sql import key_ownership
from sft_adapters.sql.engine import temporary_engine
from sft_adapters.sql.wrapped_secrets import SqlWrappedSecrets
from sft_core.errors import ConfigurationError
from sft_core.keys.model import SecretKind
from sft_core.keys.use_cases import RewrapSecrets

_LOCK_REASON: Final = "another command is changing the key ring"


@attrs.frozen(kw_only=True)
class RingKey:
    """
    A key of the ring, or one that is missing from it; never the key itself.

    `file` holds it, or the environment gave it, or both; a missing key has neither. `created_at` is
    known of files only.
    """

    id: str
    active: bool = False
    file: Path | None = None
    in_environment: bool = False
    created_at: datetime | None = None
    needed_by: Mapping[SecretKind, int] = attrs.field(factory=dict)

    @property
    def is_missing(self) -> bool:
        """
        Whether something stored needs the key and the ring does not hold it.
        """
        return self.file is None and not self.in_environment

    @property
    def is_needed(self) -> bool:
        """
        Whether something stored needs the key.
        """
        return any(self.needed_by.values())


def list_keys(settings: Settings) -> list[RingKey]:
    """
    Every key of the ring, the active one first, and those that are missing; with all that needs them.

    Nothing is changed, and nobody is kept from changing anything.
    """
    keys = _load(settings)
    check_schema(settings)
    with temporary_engine(settings.database_url, busy_seconds=settings.database.timeout_seconds) as engine:
        counts = SqlWrappedSecrets(engine, settings.database.migration_seconds).count()
    ring = AesKeyRing(keys.encryption_key, keys.retiring_keys)
    known = list(dict.fromkeys([ring.active_id, *map(key_id, keys.retiring_keys)]))
    missing = sorted({name for kind in counts.values() for name in kind} - ring.ids)
    return [_ring_key(keys, name, counts) for name in (*known, *missing)]


def _ring_key(keys: KeySet, name: str, counts: Mapping[SecretKind, Mapping[str, int]]) -> RingKey:
    active, is_in_a_file = key_id(keys.encryption_key), "ENCRYPTION_KEY" in keys.keys_from_files
    file: Path | None = None
    if name == active and is_in_a_file:
        file = key_files.path_of(keys.folder, "ENCRYPTION_KEY")
    elif name in map(key_id, keys.retiring_key_files):
        file = key_files.path_of_retiring(keys.folder, name)
    from_environment = {key_id(key) for key in keys.retiring_keys}
    if not is_in_a_file:
        from_environment.add(active)
    return RingKey(
        id=name,
        active=name == active,
        file=file,
        in_environment=name in from_environment,
        created_at=key_files.created_at(file) if file else None,
        needed_by={kind: counts[kind].get(name, 0) for kind in SecretKind},
    )


def _load(settings: Settings) -> KeySet:
    """
    Load the keys of the ring, which is all that is used here; `ConfigurationError` if the active one is missing.
    """
    return load_keys(settings, stand_ins={"SECRET_KEY": ephemeral_keys()["SECRET_KEY"]})


def active_id(settings: Settings) -> str:
    """
    The id of the active key; `ConfigurationError` if it was never made, or is lost.
    """
    return key_id(_load(settings).encryption_key)


def add(settings: Settings) -> tuple[str, str]:
    """
    Make a new active key in the data folder; the ids of the key before and of the new one.

    `ConfigurationError` if the active key comes from the environment, where nobody but the operator
    can put another one.
    """
    if settings.security.encryption_key is not None:
        raise ConfigurationError("ENCRYPTION_KEY comes from the environment, so its successor has to be put there too")
    with _ring_lock(settings):
        before = active_id(settings)
        key_files.rotate_active(settings.key_folder, before)
        return before, active_id(settings)


def write_key(path: Path) -> str:
    """
    Make a new key in a new file, readable by its owner only; its id.
    """
    return key_id(parsers.encryption_key(key_files.generate(path)))


def retire(settings: Settings, name: str) -> RingKey:
    """
    Take a key out of the ring as far as it is in a file; what the key was.

    `ConfigurationError`, changing nothing, if something stored still needs it, or if it is the
    active one or none of the ring's.
    """
    with _ring_lock(settings):
        found = next((key for key in list_keys(settings) if key.id == name), None)
        if found is None or found.is_missing:
            raise ConfigurationError(f"the ring holds no key {name}")
        if found.active:
            raise ConfigurationError(f"key {name} is the active one: `sft keys add` makes its successor first")
        if found.is_needed:
            raise ConfigurationError(_still_needed(found))
        # First, or a start after a crash would look for a key that is gone.
        transfer_ownership(settings)
        _retire_in_storage(settings, name)
        if found.file is not None:
            return attrs.evolve(found, file=key_files.retire(settings.key_folder, name))
        return found


def _still_needed(key: RingKey) -> str:
    needs = ", ".join(f"{number} {label(kind)}" for kind, number in key.needed_by.items() if number)
    return f"key {key.id} is still needed by {needs}: run `sft keys rotate` first, which tells of what does not open"


def _retire_in_storage(settings: Settings, name: str) -> None:
    """
    Let no service wrap under the key any more; `ConfigurationError` if one has done so just now.
    """
    seconds = settings.database.timeout_seconds
    with (
        single_writer_lock(settings, wait_seconds=seconds),
        temporary_engine(settings.database_url, busy_seconds=seconds) as engine,
    ):
        is_retired = SqlWrappedSecrets(engine, settings.database.migration_seconds).retire(name)
    if not is_retired:
        raise ConfigurationError(
            f"key {name} is needed again, because a service still wraps under it: run `sft keys rotate`, and this again"
        )


def transfer_ownership(settings: Settings) -> None:
    """
    Let the storage belong to the active key, once nothing needs another one.
    """
    active, seconds = active_id(settings), settings.database.timeout_seconds
    with temporary_engine(settings.database_url, busy_seconds=seconds) as engine:
        if key_ownership.owner_key_id(engine) not in {None, active}:
            with single_writer_lock(settings, wait_seconds=seconds):
                key_ownership.transfer_ownership(engine, active)


@contextmanager
def open_rewrapping(
    settings: Settings, *, dry_run: bool = False, on_wait: Callable[[str], None] | None = None
) -> Iterator[RewrapSecrets]:
    """
    The use case that brings secrets under the active key, on the storage that the settings name.

    It may be used beside running services, except where only one process may write; a dry run
    always may.
    """
    keys = _load(settings)
    check_schema(settings)
    seconds = settings.database.timeout_seconds
    with (
        nullcontext() if dry_run else single_writer_lock(settings, wait_seconds=seconds, on_wait=on_wait),
        temporary_engine(settings.database_url, busy_seconds=seconds) as engine,
    ):
        secrets = SqlWrappedSecrets(engine, settings.database.migration_seconds)
        yield RewrapSecrets(secrets=secrets, keyring=AesKeyRing(keys.encryption_key, keys.retiring_keys))


@contextmanager
def _ring_lock(settings: Settings) -> Iterator[None]:
    """
    Nobody else changes the key files of this folder meanwhile.
    """
    folder = settings.key_folder
    if not folder.is_dir():
        yield
        return
    with file_lock(folder / "ring.lock", reason=_LOCK_REASON, wait_seconds=settings.database.timeout_seconds):
        yield


def label(kind: SecretKind) -> str:
    """
    What people call secrets of a kind.
    """
    return _LABELS[kind]


_LABELS: Final = {
    SecretKind.FILE_KEY: "file keys",
    SecretKind.LINK_TOKEN: "link tokens",
    SecretKind.TOTP_SEED: "TOTP seeds",
}
