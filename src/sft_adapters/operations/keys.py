"""
The operators' view of the key ring: sources, uses and rotation of keys.
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
    A key of the ring, or one that is missing and needed.

    It never contains the key itself. The key is in `file`, in the environment, or in both; a missing key is in
    neither. `created_at` is set for a key in a file only.
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
        Whether a stored secret needs the key and the ring does not contain it.
        """
        return self.file is None and not self.in_environment

    @property
    def is_needed(self) -> bool:
        """
        Whether a stored secret needs the key.
        """
        return any(self.needed_by.values())


def list_keys(settings: Settings) -> list[RingKey]:
    """
    Return every key of the ring and every missing one, with their uses.

    The active key is the first. Nothing is changed or locked.
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
    from_environment = {key_id(key) for key in keys.environment_retiring_keys}
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
    Return the keys of the ring as they are stored now.

    Raises:
        ConfigurationError: The file of the active key is missing.
    """
    return load_keys(settings, stand_ins={"SECRET_KEY": ephemeral_keys()["SECRET_KEY"]})


def active_id(settings: Settings) -> str:
    """
    Return the id of the active key.

    Raises:
        ConfigurationError: The file of the active key is missing.
    """
    return key_id(_load(settings).encryption_key)


def add(settings: Settings) -> tuple[str, str]:
    """
    Create a new active key in the data folder.

    Return the ids of the previous and the new one.

    Raises:
        ConfigurationError: The active key is in the environment, where only the operator can replace it.
    """
    if settings.security.encryption_key is not None:
        raise ConfigurationError("ENCRYPTION_KEY is set in the environment: set the new key there too")
    with _ring_lock(settings):
        before = active_id(settings)
        key_files.rotate_active(settings.key_folder, before)
        return before, active_id(settings)


def write_key(path: Path) -> str:
    """
    Create a new key in a new file, readable by its owner only.

    Return its id.
    """
    return key_id(parsers.encryption_key(key_files.generate(path)))


def retire(settings: Settings, name: str) -> RingKey:
    """
    Remove a key from the ring, with its file if it has one.

    Return the key.

    Raises:
        ConfigurationError: A stored secret needs the key, or it is the active key or not in the ring.
            Its file is not changed.
    """
    with _ring_lock(settings):
        found = next((key for key in list_keys(settings) if key.id == name), None)
        if found is None or found.is_missing:
            raise ConfigurationError(f"the ring does not contain key {name}")
        if found.active:
            raise ConfigurationError(f"key {name} is the active one: create a new one first with `sft keys add`")
        if found.is_needed:
            raise ConfigurationError(_still_needed(found))
        # First, or a start after a crash would require a key that no longer exists.
        transfer_ownership(settings)
        _retire_in_storage(settings, name)
        if found.file is not None:
            return attrs.evolve(found, file=key_files.retire(settings.key_folder, name))
        return found


def _still_needed(key: RingKey) -> str:
    needs = ", ".join(f"{number} {label(kind)}" for kind, number in key.needed_by.items() if number)
    return f"key {key.id} is still needed by {needs}: run `sft keys rotate` first; it lists what does not unwrap"


def _retire_in_storage(settings: Settings, name: str) -> None:
    """
    Reject new secrets under the key from now on.

    Raises:
        ConfigurationError: A service has just wrapped a secret under the key.
    """
    seconds = settings.database.timeout_seconds
    with (
        single_writer_lock(settings, wait_seconds=seconds),
        temporary_engine(settings.database_url, busy_seconds=seconds) as engine,
    ):
        is_retired = SqlWrappedSecrets(engine, settings.database.migration_seconds).retire(name)
    if not is_retired:
        raise ConfigurationError(
            f"key {name} is needed again, because a service still wraps under it: run `sft keys rotate` and retry"
        )


def transfer_ownership(settings: Settings) -> None:
    """
    Make the active key the owner of the storage.

    No stored secret may need another key.
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
    Open the use case that re-wraps secrets under the active key.

    It may run beside services, unless only one process may write to the database; a dry run always may.
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
    Lock the key files of the data folder against other commands until the block ends.
    """
    folder = settings.key_folder
    if not folder.is_dir():
        yield
        return
    with file_lock(folder / "ring.lock", reason=_LOCK_REASON, wait_seconds=settings.database.timeout_seconds):
        yield


def label(kind: SecretKind) -> str:
    """
    Return the plural name of a kind of secret, for messages.
    """
    return _LABELS[kind]


_LABELS: Final = {
    SecretKind.FILE_KEY: "file keys",
    SecretKind.LINK_TOKEN: "link tokens",
    SecretKind.TOTP_SEED: "TOTP seeds",
}
