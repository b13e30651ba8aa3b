"""
The operators' view of the key ring: sources, uses and rotation of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
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

LABELS: Final = {
    SecretKind.FILE_KEY: "file keys",
    SecretKind.LINK_TOKEN: "link tokens",
    SecretKind.TOTP_SEED: "TOTP seeds",
}
"""The plural name of each kind of secret, for messages."""


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
    with _stored_secrets(settings) as secrets:
        counts = secrets.count()
    ring = AesKeyRing(keys.encryption_key, keys.retiring_keys)
    known = list(dict.fromkeys([ring.active_id, *map(key_id, keys.retiring_keys)]))
    missing = sorted({name for kind in counts.values() for name in kind} - ring.ids)
    return [_ring_key(keys, name, counts) for name in (*known, *missing)]


def _ring_key(keys: KeySet, name: str, counts: Mapping[SecretKind, Mapping[str, int]]) -> RingKey:
    is_active, is_active_in_file = name == key_id(keys.encryption_key), "ENCRYPTION_KEY" in keys.keys_from_files
    file: Path | None = None
    if is_active and is_active_in_file:
        file = key_files.path_of(keys.folder, "ENCRYPTION_KEY")
    elif name in map(key_id, keys.retiring_key_files):
        file = key_files.path_of_retiring(keys.folder, name)
    is_retiring_in_environment = name in map(key_id, keys.environment_retiring_keys)
    return RingKey(
        id=name,
        active=is_active,
        file=file,
        in_environment=is_retiring_in_environment or (is_active and not is_active_in_file),
        created_at=key_files.created_at(file) if file else None,
        needed_by={kind: counts[kind].get(name, 0) for kind in SecretKind},
    )


def _load(settings: Settings) -> KeySet:
    return load_keys(settings, stand_ins={"SECRET_KEY": ephemeral_keys()["SECRET_KEY"]})


def active_id(settings: Settings) -> str:
    """
    Return the id of the active key; raise `ConfigurationError` if its file is missing.
    """
    return key_id(_load(settings).encryption_key)


def add(settings: Settings) -> tuple[str, str]:
    """
    Create a new active key in the data folder; return the old and new id.

    Raises `ConfigurationError` if the active key is in the environment, where only the operator can replace it.
    """
    if settings.security.encryption_key is not None:
        raise ConfigurationError("ENCRYPTION_KEY is set in the environment: set the new key there too")
    with _ring_lock(settings):
        before = active_id(settings)
        key_files.rotate_active(settings.key_folder, before)
        return before, active_id(settings)


def write_key(path: Path) -> str:
    """
    Create a key in a new file, readable by its owner only; return its id.
    """
    return key_id(parsers.encryption_key(key_files.generate(path)))


def retire(settings: Settings, name: str) -> RingKey:
    """
    Remove a key from the ring, with its file if any, and return it.

    Raises `ConfigurationError`, and leaves the file, if a stored secret needs the key, or if it is the active key or
    not in the ring.
    """
    with _ring_lock(settings):
        found = next((key for key in list_keys(settings) if key.id == name), None)
        if found is None or found.is_missing:
            raise ConfigurationError(f"the ring does not contain key {name}")
        if found.active:
            raise ConfigurationError(f"key {name} is the active one: create a new one first with `sft keys add`")
        if found.is_needed:
            needs = ", ".join(f"{number} {LABELS[kind]}" for kind, number in found.needed_by.items() if number)
            raise ConfigurationError(
                f"key {name} is still needed by {needs}: run `sft keys rotate` first; it lists what does not unwrap"
            )
        # First, or a start after a crash would require a key that no longer exists.
        transfer_ownership(settings)
        with _writing(settings), _stored_secrets(settings) as secrets:
            is_retired = secrets.retire(name)
        if not is_retired:
            raise ConfigurationError(
                f"key {name} is needed again, because a service still wraps under it: run `sft keys rotate` and retry"
            )
        if found.file is not None:
            return attrs.evolve(found, file=key_files.retire(settings.key_folder, name))
        return found


def transfer_ownership(settings: Settings) -> None:
    """
    Make the active key own the storage; no stored secret may need another key.
    """
    active = active_id(settings)
    with _stored_secrets(settings) as secrets:
        if key_ownership.owner_key_id(secrets.engine) not in {None, active}:
            with _writing(settings):
                key_ownership.transfer_ownership(secrets.engine, active)


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
    with nullcontext() if dry_run else _writing(settings, on_wait), _stored_secrets(settings) as secrets:
        yield RewrapSecrets(secrets=secrets, keyring=AesKeyRing(keys.encryption_key, keys.retiring_keys))


@contextmanager
def _stored_secrets(settings: Settings) -> Iterator[SqlWrappedSecrets]:
    with temporary_engine(settings.database_url, busy_seconds=settings.database.timeout_seconds) as engine:
        yield SqlWrappedSecrets(engine, settings.database.migration_seconds)


def _writing(settings: Settings, on_wait: Callable[[str], None] | None = None) -> AbstractContextManager[None]:
    return single_writer_lock(settings, wait_seconds=settings.database.timeout_seconds, on_wait=on_wait)


@contextmanager
def _ring_lock(settings: Settings) -> Iterator[None]:
    # Locks the key files of the data folder against other commands until the block ends.
    folder, reason = settings.key_folder, "another command is changing the key ring"
    if not folder.is_dir():
        yield
        return
    with file_lock(folder / "ring.lock", reason=reason, wait_seconds=settings.database.timeout_seconds):
        yield
