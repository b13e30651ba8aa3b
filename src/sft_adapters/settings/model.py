"""
Settings: read once from the environment or a `.env` file, checked as a whole, immutable.

All faults are reported together, each by the name of its setting and never with its value.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import attrs
from dotenv import dotenv_values

from sft_adapters.settings import catalogue, parsers
from sft_adapters.settings.field import Setting, settings_of
from sft_core.errors import ConfigurationError
from sft_core.values import Secret

log: Final = logging.getLogger("sft.settings")


@attrs.frozen(kw_only=True)
class Settings(catalogue.SettingGroups):
    """
    What an operator has set, in groups, and the data folder.
    """

    data_dir: Path

    @property
    def database_url(self) -> str:
        """
        URL of the configured database, or of a SQLite file in the data folder.
        """
        return self.database.url or f"sqlite:///{self.data_dir.absolute() / 'sft.db'}"

    @property
    def key_folder(self) -> Path:
        return self.data_dir / "keys"

    @property
    def blob_folder(self) -> Path:
        """
        Folder of the blobs, unless an S3 server stores them.
        """
        return self.data_dir.absolute() / "blobs"

    @property
    def blob_store_kind(self) -> Literal["disk", "s3"]:
        return "s3" if self.s3.endpoint else "disk"

    @property
    def session_store(self) -> parsers.SessionStoreKind:
        return self.sessions.store or ("redis" if self.redis.url else "database")

    @property
    def limiter_kind(self) -> Literal["database", "redis"]:
        return "redis" if self.redis.url else "database"

    @property
    def non_resumable_idle_seconds(self) -> float:
        """
        Time without a new part after which a non-resumable upload is aborted.

        Its row is updated once a part is stored, so the time includes what the slowest client takes for one.
        """
        uploads, server = self.uploads, self.server
        slowest = uploads.part_size / server.min_bytes_per_second + server.stall_seconds
        return min(60 * uploads.non_resumable_idle_minutes, 3600 * uploads.idle_hours) + slowest

    @property
    def resumable_idle_seconds(self) -> float:
        """
        Idle time after which a resumable upload is aborted, at least that of other uploads.
        """
        return max(3600 * self.uploads.idle_hours, self.non_resumable_idle_seconds)

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, data_dir: Path) -> Settings:
        """
        Read the settings from an environment; an empty value counts as not set.

        `ConfigurationError` names all settings that are malformed, insecure, or contradict one another.
        """
        groups: dict[str, Any] = {}
        faults: dict[str, str] = {}
        for group, kind in catalogue.GROUPS.items():
            values: dict[str, Any] = {}
            for field, setting in settings_of(kind).items():
                name, text = _given(setting, environ)
                try:
                    if text:
                        values[field] = setting.read(parsers.utf8(text))
                except ValueError as error:
                    faults[setting.name] = f"{name} {error}"
            groups[group] = kind(**values)
        settings = cls(data_dir=data_dir, **groups)
        # A setting that could not be read has its default here, which contradicts nothing.
        together = [sentence for involved, sentence in _contradictions(settings) if not involved & faults.keys()]
        sentences = [*faults.values(), *_two_names(environ), *together]
        if sentences:
            raise ConfigurationError("; ".join(sentences))
        return settings


def key_faults(
    secret_key: Secret | None, encryption_key: Secret | None, retiring: Sequence[Secret], algorithm: parsers.Algorithm
) -> Iterator[str]:
    """
    Yield what is wrong with keys together.
    """
    if secret_key is None:
        return
    for name, keys in (("ENCRYPTION_KEY", [encryption_key]), ("a key of ENCRYPTION_KEYS_RETIRING", retiring)):
        if any(key is not None and parsers.is_same_key(secret_key, key) for key in keys):
            yield f"SECRET_KEY and {name} are the same: each purpose needs a key of its own"
    shortest = {"HS256": 32, "HS384": 48, "HS512": 64}[algorithm]
    if len(secret_key) < shortest:
        yield f"SECRET_KEY must have at least {shortest} bytes for {algorithm}"


def environment(environ: Mapping[str, str], env_file: Path | None) -> dict[str, str]:
    """
    Return a `.env` file merged with the environment, which takes precedence.

    `ConfigurationError` is raised if the file does not exist or is not UTF-8.
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


def _given(setting: Setting, environ: Mapping[str, str]) -> tuple[str, str]:
    """
    Return the name by which a setting is given, and its text, empty if unset.
    """
    for name in filter(None, (setting.name, setting.former_name)):
        if text := environ.get(name, "").strip():
            if name == setting.former_name:
                log.warning("%s is now called %s: the next release ignores the former name", name, setting.name)
            return name, text
    return setting.name, ""


def _two_names(environ: Mapping[str, str]) -> Iterator[str]:
    """
    Yield the settings whose name and former name are given with different values.
    """
    for setting in catalogue.SETTINGS:
        texts = {text for name in (setting.name, setting.former_name) if (text := environ.get(name, "").strip())}
        if len(texts) > 1:
            former = setting.former_name
            yield f"{setting.name} and {former}, its former name, have different values: remove {former}"


def _contradictions(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """
    Yield what is wrong with settings together, each with the names of those involved.
    """
    keys, uploads, sessions = settings.security, settings.uploads, settings.sessions
    for sentence in key_faults(keys.secret_key, keys.encryption_key, keys.encryption_keys_retiring, keys.algorithm):
        yield set(), sentence
    if sessions.store == "redis" and not settings.redis.url:
        yield {"REDIS_URL"}, "SESSION_STORE is redis, but REDIS_URL is not set"
    yield from _s3_contradictions(settings.s3)
    if uploads.max_concurrent * catalogue.MIN_UPLOAD_MEMORY_KIB > uploads.memory_mib * 1024:
        least = f"{catalogue.MIN_UPLOAD_MEMORY_KIB} KiB for each of MAX_UPLOADS"
        yield {"MAX_UPLOADS", "TRANSFER_MEMORY_MIB"}, f"TRANSFER_MEMORY_MIB is less than {least}"
    if sessions.lease_seconds > sessions.cache_seconds:
        involved = {"SESSION_LEASE_SECONDS", "SESSION_CACHE_SECONDS"}
        yield involved, "SESSION_LEASE_SECONDS is longer than SESSION_CACHE_SECONDS"


def _s3_contradictions(s3: catalogue.S3Settings) -> Iterator[tuple[set[str], str]]:
    """
    Yield what an endpoint lacks, or what needs an endpoint.

    Without one, files would be stored on the local disk.
    """
    needed: dict[str, object] = {"MINIO_ACCESS_KEY": s3.access_key, "MINIO_SECRET_KEY": s3.secret_key}
    useful = {"MINIO_CA_FILE": s3.ca_file, "MINIO_CONDITIONAL_WRITES": s3.conditional_writes}
    for name, value in (needed | useful).items():
        if s3.endpoint and name in needed and not value:
            yield {name}, f"{name} is not set, but MINIO_ENDPOINT is"
        if value and not s3.endpoint:
            yield {"MINIO_ENDPOINT"}, f"{name} is set, but MINIO_ENDPOINT is not"
