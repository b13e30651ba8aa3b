"""
Whether the service could start: each thing that it stands on, looked at without changing it.
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
from sft_core.errors import BlobStoreUnavailable, ConfigurationError, SftError, StoreMismatch
from sft_core.maintenance.store_identity import require_same_store


@attrs.frozen
class Check:
    """
    One thing that the service stands on: its name, whether it is well, and what it is or lacks.

    Without one that has a `code`, an error's, what comes after it cannot be looked at.
    """

    name: str
    is_well: bool
    detail: str
    code: str = ""


def failed(name: str, error: SftError) -> Check:
    """
    What is told of a thing that the service cannot do without.
    """
    return Check(name, is_well=False, detail=error.detail or error.public, code=error.code)


def check_ground(settings: Settings, key_set: KeySet) -> Iterator[Check]:
    """
    Keys, database and schema: the first without which nothing can be examined is the last.
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
    Keys that no service could start with on this storage are not well, but what they open can be examined.
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
            raise ConfigurationError(f"{name} is neither given nor in {path}: what is stored needs it")
    folders = sorted({str(path.parent) for path in places.values() if path is not None})
    return f"in {', '.join(folders)}" if folders else "from the environment"


def check_servers(settings: Settings, opened: Unchecked) -> Iterator[Check]:
    """
    The blob store, without which little can be examined, and Redis, which the service can do without.
    """
    store = _looked_at("store", lambda: _where_the_blobs_are(settings, opened))
    yield _whose_it_is(store, opened) if store.is_well else store
    if settings.redis.url:
        with open_container(settings) as container:
            answers = optional_drivers.check_redis(container.redis())
        detail = "it answers" if answers else "no answer: the database does its work"
        yield Check("redis", is_well=answers, detail=detail)


def _whose_it_is(store: Check, opened: Unchecked) -> Check:
    """
    The store, which is not well if it is another database's: all but the parts of no file can be examined.
    """
    check_integrity = opened.application.check_integrity
    try:
        require_same_store(check_integrity.begin, check_integrity.check_file.blobs)
    except StoreMismatch as another:
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
    # One look is enough: it is found, it lets us in, and it answers as a store does.
    next(iter(opened.application.check_integrity.check_file.blobs.list()), None)
    return f"bucket {settings.s3.bucket} at {settings.s3.endpoint}" if is_s3 else str(folder)
