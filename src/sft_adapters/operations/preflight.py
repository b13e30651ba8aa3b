"""
Whether the service could start: each thing that it stands on, looked at without changing it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import attrs

from sft_adapters.bootstrap import optional_drivers
from sft_adapters.bootstrap.container import open_container
from sft_adapters.bootstrap.open_application import UnverifiedApplication
from sft_adapters.bootstrap.storage import check_required_keys, check_schema
from sft_adapters.keyring.loading import KeySet, key_file_paths
from sft_adapters.settings import Settings
from sft_adapters.sql.engine import describe_database
from sft_core.errors import BlobStoreUnavailable, ConfigurationError, SftError, StoreMismatch
from sft_core.maintenance.store_identity import require_same_store


@attrs.frozen
class Check:
    """
    One thing that the service stands on: its name, whether it is well, and what it is or lacks.

    Without one that has a `code`, an error's, what comes after it cannot be looked at.
    """

    name: str
    ok: bool
    detail: str
    code: str = ""


def failed_check(name: str, error: SftError) -> Check:
    """
    What is told of a thing that the service cannot do without.
    """
    return Check(name, ok=False, detail=error.detail or error.public, code=error.code)


def check_prerequisites(settings: Settings, key_set: KeySet) -> Iterator[Check]:
    """
    Keys, database and schema: the first without which nothing can be examined is the last.
    """
    keys = _run_check("keys", lambda: _describe_keys(settings))
    if not keys.ok:
        yield keys
        return
    database = _run_check("database", lambda: _describe_database(settings))
    yield _with_required_keys(keys, settings, key_set) if database.ok else keys
    yield database


def _with_required_keys(keys: Check, settings: Settings, key_set: KeySet) -> Check:
    """
    Keys that no service could start with on this storage are not well, but what they open can be examined.
    """
    try:
        check_required_keys(settings, key_set)
    except ConfigurationError as error:
        return Check(keys.name, ok=False, detail=error.detail)
    except SftError as error:
        return failed_check(keys.name, error)
    return keys


def _run_check(name: str, probe: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=probe())
    except SftError as error:
        return failed_check(name, error)


def _describe_database(settings: Settings) -> str:
    check_schema(settings)
    return describe_database(settings.database_url)


def _describe_keys(settings: Settings) -> str:
    paths = key_file_paths(settings)
    for name, path in paths.items():
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{name} is neither given nor in {path}: what is stored needs it")
    folders = sorted({str(path.parent) for path in paths.values() if path is not None})
    return f"in {', '.join(folders)}" if folders else "from the environment"


def check_servers(settings: Settings, unverified: UnverifiedApplication) -> Iterator[Check]:
    """
    The blob store, without which little can be examined, and Redis, which the service can do without.
    """
    store = _run_check("store", lambda: _describe_blob_store(settings, unverified))
    yield _check_store_identity(store, unverified) if store.ok else store
    if settings.redis.url:
        with open_container(settings) as container:
            is_available = optional_drivers.check_redis(container.redis())
        detail = "it answers" if is_available else "no answer: the database does its work"
        yield Check("redis", ok=is_available, detail=detail)


def _check_store_identity(store: Check, unverified: UnverifiedApplication) -> Check:
    """
    The store, which is not well if it is another database's: all but the parts of no file can be examined.
    """
    check_integrity = unverified.application.maintenance.check_integrity
    try:
        require_same_store(check_integrity.begin, check_integrity.check_file.blobs)
    except StoreMismatch as error:
        return attrs.evolve(store, ok=False, detail=f"{store.detail}: {error.detail}")
    except SftError as error:
        return failed_check("store", error)
    return store


def _describe_blob_store(settings: Settings, unverified: UnverifiedApplication) -> str:
    folder, is_s3 = settings.blob_folder, settings.blob_store_kind == "s3"
    if not is_s3:
        try:
            os.scandir(folder).close()
        except OSError as error:
            raise BlobStoreUnavailable(f"{folder}, the folder of blobs: {error.strerror}") from None
    # One look is enough: it is found, it lets us in, and it answers as a store does.
    next(iter(unverified.application.maintenance.check_integrity.check_file.blobs.list()), None)
    return f"bucket {settings.s3.bucket} at {settings.s3.endpoint}" if is_s3 else str(folder)
