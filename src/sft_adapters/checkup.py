"""
Whether the service could start: each thing that it stands on, looked at without changing it.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from sft_adapters import extras
from sft_adapters.bootstrap import check_schema, key_files
from sft_adapters.container import Unchecked
from sft_adapters.settings import Settings
from sft_adapters.sql.engine import described
from sft_core.errors import ConfigurationError


@attrs.frozen
class Check:
    """
    One thing that the service stands on: its name, whether it is well, and what it is or lacks.
    """

    name: str
    is_well: bool
    detail: str


def check_ground(settings: Settings) -> Iterator[Check]:
    """
    Keys, database and schema: without them nothing can be examined.

    `ConfigurationError` or `DatabaseUnavailable` says what is wrong with one of them.
    """
    yield Check("keys", is_well=True, detail=_where_the_keys_are(settings))
    check_schema(settings)
    yield Check("database", is_well=True, detail=described(settings.database))


def _where_the_keys_are(settings: Settings) -> str:
    places = key_files(settings)
    for name, path in places.items():
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{name} is neither given nor in {path}: what is stored needs it")
    folders = sorted({str(path.parent) for path in places.values() if path is not None})
    return f"in {', '.join(folders)}" if folders else "from the environment"


def check_servers(settings: Settings, opened: Unchecked) -> Iterator[Check]:
    """
    The blob store, without which little can be examined, and Redis, which the service can do without.

    `BlobStoreUnavailable` or `ConfigurationError` says what is wrong with them.
    """
    # One look is enough: it is found, it lets us in, and it answers as a store does.
    next(iter(opened.application.examine.examine_file.blobs.list()), None)
    s3 = settings.blob_store_kind == "s3"
    where = f"bucket {settings.minio_bucket_name} at {settings.minio_endpoint}" if s3 else str(settings.blob_folder)
    yield Check("store", is_well=True, detail=where)
    if settings.redis_url:
        answers = extras.check_redis(settings)
        detail = "it answers" if answers else "no answer: the database does its work"
        yield Check("redis", is_well=answers, detail=detail)
