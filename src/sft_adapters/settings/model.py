"""
Settings: read once from the environment or a `.env` file, checked as a whole, immutable after.

The table in `catalogue.py` says what there is. Whatever is wrong is reported at once and by
name, never with a secret's value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
from dotenv import dotenv_values

from sft_adapters.settings import parsers as types
from sft_adapters.settings.catalogue import SETTINGS
from sft_adapters.settings.limits import LEAST_OF_AN_UPLOAD_KIB
from sft_core.errors import ConfigurationError
from sft_core.values import Secret

SessionStoreKind = Literal["database", "redis", "memory"]


@attrs.frozen(kw_only=True)
class Settings:
    """
    What the service runs with. Names, units and defaults are those of `SETTINGS`.
    """

    secret_key: Secret
    encryption_key: Secret
    encryption_keys_retiring: tuple[Secret, ...]
    earlier_key_files: tuple[Secret, ...] = ()
    """Keys of the ring from key files, beside those of `encryption_keys_retiring`."""
    data_dir: Path
    stood_in_for: frozenset[str] = frozenset()
    """The names of the settings that `secrets` stood in for: keys that the environment does not give."""
    made_now: frozenset[str] = frozenset()
    """The names of those whose key was made by this very start, so that nothing can need it yet."""
    app_name: str
    app_version: str
    debug: bool
    api_v1_prefix: str
    algorithm: types.Algorithm
    access_token_expire_minutes: int
    refresh_token_expire_days: int
    database_url: str | None = attrs.field(repr=False)
    db_echo: bool
    database_timeout_seconds: float
    database_connections: int
    database_connect_seconds: int
    database_statement_seconds: float
    database_idle_seconds: float
    database_silence_seconds: float
    database_peer_seconds: int
    database_recycle_seconds: int
    database_migration_seconds: float
    session_store: SessionStoreKind
    session_cache_seconds: float
    session_lease_seconds: float
    redis_url: str | None = attrs.field(repr=False)
    redis_session_db: int
    redis_timeout_seconds: float
    redis_rest_seconds: float
    redis_wait_seconds: float
    redis_owed_keys: int
    redis_connections: int
    minio_endpoint: str | None
    minio_access_key: str | None = attrs.field(repr=False)
    minio_secret_key: Secret | None
    minio_bucket_name: str
    minio_secure: bool
    minio_ca_file: str | None
    minio_region: str
    minio_conditional_writes: bool
    minio_connect_seconds: float
    minio_read_seconds: float
    minio_call_seconds: float
    minio_connections: int
    max_file_size: int
    user_quota: int
    disk_reserve: int
    allowed_extensions: frozenset[str]
    allowed_origins: tuple[str, ...]
    two_factor_issuer: str
    sign_in_attempts: int
    totp_attempts: int
    attempts_window_minutes: int
    part_size: int
    upload_idle_hours: int
    idempotency_hours: int
    form_idle_minutes: int
    max_connections: int
    max_uploads: int
    max_uploads_per_user: int
    transfer_memory_mib: int
    read_ahead_mib: int
    unsent_kib: int
    json_body_limit: int
    control_threads: int
    transfer_threads: int
    hash_concurrency: int
    hash_wait_seconds: float
    queue_limit: int
    argon2_memory_kib: int
    argon2_iterations: int
    argon2_lanes: int
    sweep_interval_seconds: float
    sweep_batch: int
    expiry_grace_minutes: int
    orphan_grace_hours: float
    graceful_stop_seconds: int
    header_timeout_seconds: float
    stall_seconds: int
    min_bytes_per_second: int
    linger_seconds: float
    cleanup_seconds: int
    queue_wait_seconds: float
    keepalive_seconds: int
    worker_timeout_seconds: int

    @property
    def database(self) -> str:
        """
        Where the rows are: the configured database, or a SQLite file in the data folder.
        """
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'sft.db'}"

    @property
    def earlier_keys(self) -> tuple[Secret, ...]:
        """
        Every key of the ring but the active one, each once.
        """
        others = (*self.encryption_keys_retiring, *self.earlier_key_files)
        return tuple(key for n, key in enumerate(others) if key not in (self.encryption_key, *others[:n]))

    @property
    def blob_folder(self) -> Path:
        """
        Where the embedded default keeps its blobs.
        """
        return self.data_dir.absolute() / "blobs"

    @property
    def quota(self) -> int | None:
        """
        How many bytes a user's files may hold together; None is no limit.
        """
        return self.user_quota or None

    @property
    def single_idle_seconds(self) -> float:
        """
        How long nothing may come of an upload that nobody can go on with before it is given up.

        Its row tells that it moves when a part is stored, so it cannot be less than the slowest
        client takes for one.
        """
        slowest = self.part_size / self.min_bytes_per_second + self.stall_seconds
        return min(60 * self.form_idle_minutes, 3600 * self.upload_idle_hours) + slowest

    @property
    def resumable_idle_seconds(self) -> float:
        """
        The same of an upload that somebody can go on with, whose row tells no more while it is written to.
        """
        return max(3600 * self.upload_idle_hours, self.single_idle_seconds)

    @property
    def limiter_kind(self) -> Literal["database", "redis"]:
        """
        Where attempts are counted.
        """
        return "redis" if self.redis_url else "database"

    @property
    def blob_store_kind(self) -> Literal["disk", "s3"]:
        """
        Where blobs are.
        """
        return "s3" if self.minio_endpoint else "disk"

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str], *, data_dir: Path, secrets: Mapping[str, str] | None = None
    ) -> Settings:
        """
        Read the settings from an environment; `secrets` stand in for keys that it does not give.

        `ConfigurationError` names every setting that is missing, malformed or insecure.
        """
        values: dict[str, Any] = {"data_dir": data_dir, "stood_in_for": _not_given(environ, secrets or {})}
        faults: list[str] = []
        for setting in SETTINGS:
            text = environ.get(setting.name, "").strip() or (secrets or {}).get(setting.name, "")
            try:
                values[setting.field] = setting.read(types.utf8(text)) if text else setting.default
            except ValueError as error:
                faults.append(f"{setting.name} {error}")
        if values.get("session_store", "") is None:
            values["session_store"] = "redis" if values.get("redis_url") else "database"
        faults += _across(values)
        if faults:
            raise ConfigurationError("; ".join(faults))
        return cls(**values)


def _not_given(environ: Mapping[str, str], secrets: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name in secrets if not environ.get(name, "").strip())


def _across(values: Mapping[str, Any]) -> Iterable[str]:
    """
    What is wrong with settings together.
    """
    yield from _across_keys(values)
    if values.get("session_store") == "redis" and "redis_url" in values and not values["redis_url"]:
        yield "SESSION_STORE is redis, but REDIS_URL is not set"
    yield from _about_s3(values)
    uploads, memory = values.get("max_uploads", 0), values.get("transfer_memory_mib", math.inf)
    if uploads * LEAST_OF_AN_UPLOAD_KIB > memory * 1024:
        yield f"TRANSFER_MEMORY_MIB is less than {LEAST_OF_AN_UPLOAD_KIB} KiB for each of MAX_UPLOADS"
    lease, entry = values.get("session_lease_seconds", 0.0), values.get("session_cache_seconds", math.inf)
    if lease > entry:
        yield "SESSION_LEASE_SECONDS is longer than SESSION_CACHE_SECONDS"


def _across_keys(values: Mapping[str, Any]) -> Iterable[str]:
    """
    What is wrong with the keys, alone or together.
    """
    for name in ("secret_key", "encryption_key"):
        if name in values and values[name] is None:
            yield f"{name.upper()} is not set"
    secret, encryption = values.get("secret_key"), values.get("encryption_key")
    if secret is not None and encryption is not None and types.is_same_key(secret, encryption):
        yield "SECRET_KEY and ENCRYPTION_KEY are the same: each purpose needs a key of its own"
    if secret is not None and any(types.is_same_key(secret, key) for key in values.get("encryption_keys_retiring", ())):
        yield "SECRET_KEY and a key of ENCRYPTION_KEYS_RETIRING are the same: each purpose needs a key of its own"
    algorithm, shortest = values.get("algorithm", "HS256"), {"HS384": 48, "HS512": 64}
    if secret is not None and len(secret) < shortest.get(algorithm, 0):
        yield f"SECRET_KEY must have at least {shortest[algorithm]} bytes for {algorithm}"


def _about_s3(values: Mapping[str, Any]) -> Iterable[str]:
    """
    An endpoint without credentials, or what is of use with an endpoint only: files would go to the local disk.
    """
    if values.get("minio_endpoint"):
        for name in ("minio_access_key", "minio_secret_key"):
            if name in values and not values[name]:
                yield f"{name.upper()} is not set, but MINIO_ENDPOINT is"
    elif "minio_endpoint" in values:
        for name in ("minio_access_key", "minio_secret_key", "minio_ca_file", "minio_conditional_writes"):
            if values.get(name):
                yield f"{name.upper()} is set, but MINIO_ENDPOINT is not"


def environment(environ: Mapping[str, str], env_file: Path | None) -> dict[str, str]:
    """
    The environment with a `.env` file below it: what the environment says wins.
    """
    if env_file is None:
        return dict(environ)
    if not env_file.is_file():
        raise ConfigurationError(f"the file {env_file} is not there")
    try:
        below = dotenv_values(env_file, interpolate=False)
    except UnicodeDecodeError:
        raise ConfigurationError(f"the file {env_file} is not UTF-8") from None
    return {name: value for name, value in below.items() if value is not None} | dict(environ)
