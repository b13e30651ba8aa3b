"""
The storage and its keys: created on the first start, and checked before use.

No key is created beside data that is stored under another one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final
from uuid import uuid4

from sft_adapters.bootstrap import optional_drivers
from sft_adapters.bootstrap.container import Container, open_container
from sft_adapters.bootstrap.open_application import check_keys
from sft_adapters.bootstrap.single_writer import single_writer_lock
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.disk import directories, key_files
from sft_adapters.disk.blobs import has_blobs
from sft_adapters.keyring.loading import KeySet, key_file_paths, load_keys, missing_from_environment
from sft_adapters.settings import Settings
from sft_adapters.sql import key_ownership, migrate
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import Engine, sqlite_file
from sft_adapters.sql.errors import DatabaseMisconfigured
from sft_core.errors import BlobStoreFull, BlobStoreUnavailable, ConfigurationError, DatabaseUnavailable, StoreMismatch
from sft_core.maintenance.store_identity import STORE_ID_NAME, check_store_ids, require_known_blobs
from sft_core.vault.ports import IdentifiedBlobStore, StoreIdentity

log: Final = logging.getLogger("sft.store")


def prepare(settings: Settings, keys: KeySet | None = None, *, on_wait: Callable[[str], None] | None = None) -> KeySet:
    """
    Create what is missing of keys and storage, as `prepare_storage` does, and return the keys.
    """
    with open_container(settings) as container:
        return prepare_storage(container, keys, on_wait=on_wait)


def prepare_storage(
    container: Container, keys: KeySet | None = None, *, on_wait: Callable[[str], None] | None = None
) -> KeySet:
    """
    Create what is missing: keys (unless given), schema, folder or bucket.

    Several processes may start at once. While another one has the database for itself, it is waited for, and `on_wait`
    is called first. Redis may be absent: the service works without it. The database gets its store identity, and the
    blob store the same one unless it has one. That it has another one's is only logged, as a warning.

    Raises:
        ConfigurationError: a key or a setting of a server is wrong; or the database has files and no identity, beside
            a blob store that has one: the database may be an old copy.
        DatabaseUnavailable: the database does not answer.
        BlobStoreUnavailable: the blob store does not answer.
    """
    settings = container.settings()
    if keys is None:
        keys = create_keys(container)
    if settings.redis.url:
        container.redis().check()
    if settings.blob_store_kind == "s3":
        optional_drivers.prepare_bucket(settings.s3, container.s3())
    else:
        directories.make(settings.blob_folder)
    seconds, ring = settings.database.timeout_seconds, AesKeyRing(keys.encryption_key, keys.retiring_keys)
    verify = partial(_check_keys_or_quarantine, settings, keys, ring)
    with single_writer_lock(settings, wait_seconds=seconds, on_wait=on_wait), _connected(container) as engine:
        set_owner = key_ownership.ownership_step(ring.active_id, verify=verify)
        migrate.upgrade(engine, seconds=settings.database.migration_seconds, before_commit=set_owner)
        _set_store_id(SqlDatabase(engine), container.blobs())
    return keys


def create_keys(container: Container) -> KeySet:
    """
    Create missing key files, readable by their owner only, and load all keys.

    Raises:
        ConfigurationError: the storage is in use, so its keys must be restored, or a key cannot be loaded.
        DatabaseUnavailable: the database does not answer whether it is in use.
    """
    settings = container.settings()
    names = missing_from_environment(settings)
    directories.make(settings.data_dir)
    created = key_files.create_missing(settings.key_folder, names, may_create=lambda: not is_in_use(container))
    return load_keys(settings, created=created)


def is_in_use(container: Container) -> bool:
    """
    Return whether a service has started on this storage, or left accounts or blobs.
    """
    settings = container.settings()
    if has_blobs(settings.blob_folder):
        return True
    file = sqlite_file(settings.database_url)
    if file is not None and not file.exists():
        return False
    with _connected(container) as engine:
        return key_ownership.is_in_use(engine)


@contextmanager
def _connected(container: Container) -> Iterator[Engine]:
    settings, engine = container.settings(), container.engine()
    subject = "DATABASE_URL" if settings.database.url else str(sqlite_file(settings.database_url))
    try:
        yield engine
    except DatabaseMisconfigured as error:
        raise ConfigurationError(f"{subject}: the database cannot be used: {error.detail}") from None
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(f"{subject}: the database cannot be used: {error.detail}") from None
    finally:
        engine.dispose()


def _set_store_id(begin: SqlDatabase, store: IdentifiedBlobStore) -> None:
    try:
        own = _own_store_id(begin, store)
        if store.store_id() is None:
            require_known_blobs(begin, store)
        check_store_ids(own, store.set_store_id(own))
    except (StoreMismatch, BlobStoreFull, BlobStoreUnavailable) as error:
        fields = {"code": error.code, "detail": error.detail}
        log.warning("parts of no file will not be removed: %s", error.detail, extra={"fields": fields})


def _own_store_id(begin: SqlDatabase, store: StoreIdentity) -> str:
    fresh = uuid4().hex
    with begin() as unit:
        own = unit.store_identity.set_store_id(fresh)
        # No other process on this database can have marked the store before this is committed.
        if own == fresh and unit.inventory.files(after=None, limit=1) and store.store_id() is not None:
            raise ConfigurationError(
                "the database has files and no mark, and the blob store has a mark: the database may be an old copy. "
                f"If it is the one to stay, remove the store's mark ({STORE_ID_NAME}) by hand"
            )
        unit.commit()
    return own


def _check_keys_or_quarantine(settings: Settings, keys: KeySet, ring: AesKeyRing, required: set[str]) -> None:
    try:
        _check_ring(settings, ring, required)
    except ConfigurationError as error:
        # Keys of a start that lost to another one would look like the storage's own at the next start.
        quarantined = key_files.quarantine(keys.folder, keys.created_keys)
        note = f"; those made for this start are now {', '.join(map(str, quarantined))}" if quarantined else ""
        raise ConfigurationError(error.detail + note) from None


def _check_ring(settings: Settings, ring: AesKeyRing, required: set[str]) -> None:
    path = key_file_paths(settings)["ENCRYPTION_KEY"]
    check_keys(required, ring, source=f"ENCRYPTION_KEY{f' in {path}' if path else ''}")


def check_required_keys(settings: Settings, keys: KeySet) -> None:
    """
    Raise `ConfigurationError`, as `prepare` would, if the storage needs other keys; nothing is changed.

    The schema has to be the one that this version works with.
    """
    with open_container(settings) as container, _connected(container) as engine:
        required = key_ownership.required_key_ids(engine)
    _check_ring(settings, AesKeyRing(keys.encryption_key, keys.retiring_keys), required)


def check_schema(settings: Settings) -> None:
    """
    Raise `ConfigurationError` unless the schema is of this version; nothing is changed.
    """
    file = sqlite_file(settings.database_url)
    if file is not None and not file.exists():
        raise ConfigurationError(f"there is no database at {file} yet: run `sft migrate`")
    with open_container(settings) as container, _connected(container) as engine:
        migrate.check(engine)
