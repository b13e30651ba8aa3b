"""
Preflight checks: whether the service could start, without changing anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import attrs

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
    The result of one check; an error `code` means that dependent checks cannot run.
    """

    name: str
    ok: bool
    detail: str
    code: str = ""


def failed_check(name: str, error: SftError) -> Check:
    """
    Return the result of a failed check of something that the service requires.
    """
    return Check(name, ok=False, detail=error.detail or error.public, code=error.code)


def check_prerequisites(settings: Settings, key_set: KeySet) -> Iterator[Check]:
    """
    Check the keys, the database and the schema, up to the first fatal result.
    """
    keys = _run_check("keys", lambda: _describe_keys(settings))
    if not keys.ok:
        yield keys
        return
    database = _run_check("database", lambda: _describe_database(settings))
    yield _with_required_keys(keys, settings, key_set) if database.ok else keys
    yield database


def _with_required_keys(keys: Check, settings: Settings, key_set: KeySet) -> Check:
    # No code: if no service could start with the keys, the data that they decrypt can still be checked.
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
            raise ConfigurationError(f"{name} is neither set nor in {path}: stored data needs it")
    folders = sorted({str(path.parent) for path in paths.values() if path is not None})
    return f"in {', '.join(folders)}" if folders else "from the environment"


def check_servers(settings: Settings, unverified: UnverifiedApplication) -> Iterator[Check]:
    """
    Check the blob store, which most other checks require, and Redis, which is optional.
    """
    store = _run_check("store", lambda: _describe_blob_store(settings, unverified))
    yield _check_store_identity(store, unverified) if store.ok else store
    if settings.redis.url:
        with open_container(settings) as container:
            is_available = container.redis().check()
        detail = "it responds" if is_available else "no response: the database takes its place"
        yield Check("redis", ok=is_available, detail=detail)


def _check_store_identity(store: Check, unverified: UnverifiedApplication) -> Check:
    # No code for a store of another database: everything but its unreferenced blobs can still be checked.
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
    # One listing suffices: the store exists, grants access, and responds as a store does.
    next(iter(unverified.application.maintenance.check_integrity.check_file.blobs.list()), None)
    return f"bucket {settings.s3.bucket} at {settings.s3.endpoint}" if is_s3 else str(folder)
