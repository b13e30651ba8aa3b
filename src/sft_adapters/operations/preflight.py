"""
Preflight checks: whether the service could start, without changing anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import attrs

from sft_adapters.bootstrap import optional_drivers
from sft_adapters.bootstrap.container import open_container
from sft_adapters.bootstrap.open_application import Unchecked
from sft_adapters.bootstrap.storage import check_needed_keys, check_schema
from sft_adapters.keyring.loading import KeySet, key_file_paths
from sft_adapters.settings import Settings
from sft_adapters.sql.engine import described
from sft_core.errors import BlobStoreUnavailable, ConfigurationError, SftError, StoreOfAnother
from sft_core.maintenance.store_identity import require_own


@attrs.frozen
class Check:
    """
    The result of one check.

    If it has the `code` of an error, the checks that depend on it cannot run.
    """

    name: str
    is_well: bool
    detail: str
    code: str = ""


def failed(name: str, error: SftError) -> Check:
    """
    Return the result of a failed check of something that the service requires.
    """
    return Check(name, is_well=False, detail=error.detail or error.public, code=error.code)


def check_ground(settings: Settings, key_set: KeySet) -> Iterator[Check]:
    """
    Check the keys, the database and the schema.

    The last result is the first fatal one, if any.
    """
    keys = _looked_at("keys", lambda: _where_the_keys_are(settings))
    if not keys.is_well:
        yield keys
        return
    database = _looked_at("database", lambda: _what_the_database_is(settings))
    yield _as_the_storage_needs(keys, settings, key_set) if database.is_well else keys
    yield database


def _as_the_storage_needs(keys: Check, settings: Settings, key_set: KeySet) -> Check:
    """
    Fail the keys if no service could start with them.

    The data that they decrypt can still be checked.
    """
    try:
        check_needed_keys(settings, key_set)
    except ConfigurationError as refused:
        return Check(keys.name, is_well=False, detail=refused.detail)
    except SftError as error:
        return failed(keys.name, error)
    return keys


def _looked_at(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, is_well=True, detail=look())
    except SftError as error:
        return failed(name, error)


def _what_the_database_is(settings: Settings) -> str:
    check_schema(settings)
    return described(settings.database_url)


def _where_the_keys_are(settings: Settings) -> str:
    places = key_file_paths(settings)
    for name, path in places.items():
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{name} is neither set nor in {path}: stored data needs it")
    folders = sorted({str(path.parent) for path in places.values() if path is not None})
    return f"in {', '.join(folders)}" if folders else "from the environment"


def check_servers(settings: Settings, opened: Unchecked) -> Iterator[Check]:
    """
    Check the blob store, which most other checks require, and Redis, which is optional.
    """
    store = _looked_at("store", lambda: _where_the_blobs_are(settings, opened))
    yield _whose_it_is(store, opened) if store.is_well else store
    if settings.redis_url:
        answers = optional_drivers.check_redis(settings)
        detail = "it responds" if answers else "no response: the database takes its place"
        yield Check("redis", is_well=answers, detail=detail)


def _whose_it_is(store: Check, opened: Unchecked) -> Check:
    """
    Fail a store of another database; everything but its unreferenced blobs can still be checked.
    """
    examine = opened.application.examine
    try:
        require_own(examine.begin, examine.examine_file.blobs)
    except StoreOfAnother as another:
        return attrs.evolve(store, is_well=False, detail=f"{store.detail}: {another.detail}")
    except SftError as error:
        return failed("store", error)
    return store


def _where_the_blobs_are(settings: Settings, opened: Unchecked) -> str:
    folder, is_s3 = settings.blob_folder, settings.blob_store_kind == "s3"
    if not is_s3:
        try:
            os.scandir(folder).close()
        except OSError as error:
            raise BlobStoreUnavailable(f"{folder}, the folder of blobs: {error.strerror}") from None
    # One listing suffices: the store exists, grants access, and responds as a store does.
    next(iter(opened.application.examine.examine_file.blobs.list()), None)
    return f"bucket {settings.s3.bucket} at {settings.s3.endpoint}" if is_s3 else str(folder)
