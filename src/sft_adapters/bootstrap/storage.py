"""
From an environment to a service that may start: settings, keys, schema.

Whatever is wrong is told before anything is written, and nothing is made beside data that needs
something else: no new key where there is data under an old one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final
from uuid import uuid4

from sft_adapters.bootstrap import optional_drivers
from sft_adapters.bootstrap.container import Container
from sft_adapters.bootstrap.open_application import check_keys
from sft_adapters.bootstrap.single_writer import one_writer
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.disk import directories, key_files
from sft_adapters.disk.blobs import has_blobs
from sft_adapters.keyring.loading import key_file_paths
from sft_adapters.settings import Settings
from sft_adapters.sql import inspection, key_ownership, migrate
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import opened, sqlite_file
from sft_adapters.sql.errors import DatabaseRefused
from sft_core.errors import (
    BlobStoreFull,
    BlobStoreUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    StoreOfAnother,
)
from sft_core.maintenance.store_identity import MARK_NAME, check_marks, require_known_blobs
from sft_core.vault.ports import Marked

log: Final = logging.getLogger("sft.store")

_EMPTY: Final[Mapping[str, str]] = {}


def is_in_use(settings: Settings) -> bool:
    """
    Whether a service has started where the settings point, or left accounts or blobs: under keys that exist already.
    """
    if has_blobs(settings.blob_folder):
        return True
    file = sqlite_file(settings.database)
    if file is not None and not file.exists():
        return False
    with _named(settings), opened(settings.database, busy_seconds=settings.database_timeout_seconds) as engine:
        return inspection.is_in_use(engine)


@contextmanager
def _named(settings: Settings) -> Iterator[None]:
    """
    Say which setting or file it is about when the database cannot be used.
    """
    subject = "DATABASE_URL" if settings.database_url else str(sqlite_file(settings.database))
    try:
        yield
    except DatabaseRefused as refused:
        raise ConfigurationError(f"{subject}: the database cannot be used: {refused.detail}") from None
    except DatabaseUnavailable as unavailable:
        raise DatabaseUnavailable(f"{subject}: the database cannot be used: {unavailable.detail}") from None


def prepare(settings: Settings, *, when_waiting: Callable[[str], None] | None = None) -> None:
    """
    Make what is missing of the storage: schema, folder or bucket; safe when several start at once.

    `ConfigurationError` says by name what is wrong with a key or a server's settings, `DatabaseUnavailable`
    or `BlobStoreUnavailable` that it does not answer. Redis may be absent: nothing depends on it. If
    another process has the database for itself, `when_waiting` is told so before it is waited for.

    The database gets its mark, and the blob store the same one unless it has one (`vault.belonging`).
    That it has another one's is a warning in the log, and no reason not to start; but a database
    that has files and no mark, beside a store that has one, may be an old copy: `ConfigurationError`.
    """
    if settings.redis_url:
        optional_drivers.check_redis(settings)
    if settings.blob_store_kind == "s3":
        optional_drivers.prepare_bucket(settings)
    else:
        directories.make(settings.blob_folder)
    seconds = settings.database_timeout_seconds
    alone = one_writer(settings, wait_seconds=seconds, when_waiting=when_waiting)
    with _named(settings), alone, opened(settings.database, busy_seconds=seconds) as engine:
        ring = AesKeyRing(settings.encryption_key, settings.earlier_keys)
        claim = key_ownership.claiming(ring.active_id, allow=partial(_check_keys, settings, ring))
        migrate.upgrade(engine, seconds=settings.database_migration_seconds, then=claim)
        _mark(settings, SqlDatabase(engine))


def _mark(settings: Settings, begin: SqlDatabase) -> None:
    container = Container(settings=settings)
    store = container.blobs()
    try:
        own = _own_mark(begin, store)
        if store.mark() is None:
            require_known_blobs(begin, store)
        check_marks(own, store.set_mark(own))
    except (StoreOfAnother, BlobStoreFull, BlobStoreUnavailable) as error:
        fields = {"code": error.code, "detail": error.detail}
        log.warning("parts of no file will not be removed: %s", error.detail, extra={"fields": fields})
    finally:
        if settings.minio_endpoint:
            container.s3().close()


def _own_mark(begin: SqlDatabase, store: Marked) -> str:
    """
    The database's mark, made if there is none.
    """
    fresh = uuid4().hex
    with begin() as unit:
        own = unit.marked.set_mark(fresh)
        # Nobody who shares this database can have marked the store before this is committed.
        if own == fresh and unit.inventory.files(after=None, limit=1) and store.mark() is not None:
            raise ConfigurationError(
                "the database has files and no mark, and the blob store has a mark: the database may be an old copy. "
                f"If it is the one to stay, remove the store's mark ({MARK_NAME}) by hand"
            )
        unit.commit()
    return own


def _check_keys(settings: Settings, ring: AesKeyRing, needed: set[str]) -> None:
    try:
        _look_at_keys(settings, ring, needed)
    except ConfigurationError as refused:
        # Keys of a start that lost to another one would look like the storage's own at the next start.
        aside = key_files.set_aside(settings.data_dir / "keys", settings.made_now)
        told = f"; those made for this start are now {', '.join(map(str, aside))}" if aside else ""
        raise ConfigurationError(refused.detail + told) from None


def _look_at_keys(settings: Settings, ring: AesKeyRing, needed: set[str]) -> None:
    path = key_file_paths(settings)["ENCRYPTION_KEY"]
    check_keys(needed, ring, source=f"ENCRYPTION_KEY{f' in {path}' if path else ''}")


def check_needed_keys(settings: Settings) -> None:
    """
    Raise `ConfigurationError`, as `prepare` would, if the storage needs other keys; nothing is made or changed.

    The schema has to be the one that this version works with.
    """
    with _named(settings), opened(settings.database, busy_seconds=settings.database_timeout_seconds) as engine:
        needed = key_ownership.keys_needed(engine)
    _look_at_keys(settings, AesKeyRing(settings.encryption_key, settings.earlier_keys), needed)


def check_schema(settings: Settings) -> None:
    """
    Raise `ConfigurationError` unless the schema is the one this version works with; nothing is made.
    """
    file = sqlite_file(settings.database)
    if file is not None and not file.exists():
        raise ConfigurationError(f"there is no database at {file} yet: run `sft migrate`")
    with _named(settings), opened(settings.database, busy_seconds=settings.database_timeout_seconds) as engine:
        migrate.check(engine)
