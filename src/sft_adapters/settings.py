"""
Settings: read once from the environment or a `.env` file, checked as a whole, immutable after.

One table, `SETTINGS`, says what there is. It drives the parsing, `docs/reference/settings.md` and
`.env.example`. Whatever is wrong is reported at once and by name, never with a secret's value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from dotenv import dotenv_values

from sft_adapters import setting_types as types
from sft_adapters.crypto.passwords import MAX_ITERATIONS, MAX_LANES, MAX_MEMORY_KIB
from sft_core.errors import ConfigurationError
from sft_core.values import Secret
from sft_core.version import __version__

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30


@attrs.frozen
class Setting:
    """
    One setting: its name, how its text is read, its default, its unit and what it is for.
    """

    name: str
    read: Callable[[str], Any]
    default: Any
    meaning: str
    unit: str = ""
    example: str = ""

    @property
    def field(self) -> str:
        """
        The attribute of `Settings` that holds it.
        """
        return self.name.lower()


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("APP_NAME", types.text, "Secure File Transfer", "The name the service goes by."),
    Setting("APP_VERSION", types.text, __version__, "The version the service tells."),
    Setting("DEBUG", types.boolean, False, "More in the log; never more in an answer."),
    Setting("API_V1_PREFIX", types.path_prefix, "/api/v1", "What the paths of the API begin with."),
    Setting(
        "SECRET_KEY",
        types.secret_key,
        None,
        "Signs tokens. At least 32 random bytes; made on first start if it is not given.",
        "text",
    ),
    Setting("ALGORITHM", types.one_of("HS256", "HS384", "HS512"), "HS256", "How tokens are signed."),
    Setting(
        "ACCESS_TOKEN_EXPIRE_MINUTES", types.whole(1, 1440), 30, "How long an access token is good for.", "minutes"
    ),
    Setting("REFRESH_TOKEN_EXPIRE_DAYS", types.whole(1, 365), 7, "How long a refresh token is good for.", "days"),
    Setting(
        "ENCRYPTION_KEY",
        types.encryption_key,
        None,
        "Wraps every file's key. 32 random bytes; made on first start if it is not given.",
        "base64",
    ),
    Setting("DATABASE_URL", types.server_url, None, "The database; without it SQLite in the data folder.", "URL"),
    Setting("DB_ECHO", types.boolean, False, "Log every statement, without its values."),
    Setting(
        "DATABASE_TIMEOUT_SECONDS", types.number(0.1, 300), 10.0, "How long a caller waits for the database.", "seconds"
    ),
    Setting(
        "REDIS_URL", types.server_url, None, "A Redis server for sessions; without it they are in the database.", "URL"
    ),
    Setting("REDIS_SESSION_DB", types.whole(0, 1_000_000), 0, "The Redis database for sessions."),
    Setting("MINIO_ENDPOINT", types.text, None, "An S3 server; without it blobs are in the data folder.", "host:port"),
    Setting("MINIO_ACCESS_KEY", types.text, None, "Its access key."),
    Setting("MINIO_SECRET_KEY", types.shared_secret, None, "Its secret key."),
    Setting("MINIO_BUCKET_NAME", types.text, "secure-files", "Its bucket."),
    Setting("MINIO_SECURE", types.boolean, True, "Speak TLS to it."),
    Setting("MINIO_REGION", types.text, "us-east-1", "Its region."),
    Setting(
        "MAX_FILE_SIZE",
        types.whole(1, 2**50),
        64 * _GIB,
        "The largest file. Generous, because a transfer's memory does not depend on it.",
        "bytes",
    ),
    Setting(
        "ALLOWED_EXTENSIONS",
        types.extensions,
        frozenset(),
        "Which files are taken, by extension; none named means any.",
        "list",
        ".pdf,.doc,.docx,.xls,.xlsx,.txt,.jpg,.png,.zip",
    ),
    Setting(
        "ALLOWED_ORIGINS",
        types.origins,
        (),
        "Which pages of other origins may call the API; `*` means every one, without credentials.",
        "list",
        "https://files.example.org",
    ),
    Setting("TWO_FACTOR_ISSUER", types.issuer, "Secure File Transfer", "The name that authenticator apps show."),
    Setting(
        "SIGN_IN_ATTEMPTS", types.whole(1, 10_000), 10, "Sign-ins that an account may fail from one network in a while."
    ),
    Setting("TOTP_ATTEMPTS", types.whole(1, 10_000), 5, "One-time codes that a user may get wrong in a while."),
    Setting("ATTEMPTS_WINDOW_MINUTES", types.whole(1, 1440), 15, "How long that while is.", "minutes"),
    Setting(
        "PART_SIZE",
        types.whole(64 << 10, 8 * _MIB),
        4 * _MIB,
        "How much of a file is encrypted and stored at a time.",
        "bytes",
    ),
    Setting("JSON_BODY_LIMIT", types.whole(1024, 16 * _MIB), 64 << 10, "The largest JSON body.", "bytes"),
    Setting("CONTROL_THREADS", types.whole(1, 256), 8, "Threads for rows, in each worker."),
    Setting("TRANSFER_THREADS", types.whole(1, 256), 4, "Threads for encryption and blobs, in each worker."),
    Setting("HASH_CONCURRENCY", types.whole(1, 64), 2, "Passwords hashed at once, in each worker."),
    Setting(
        "HASH_WAIT_SECONDS",
        types.number(0, 60),
        5.0,
        "How long one more waits before it is told to come again.",
        "seconds",
    ),
    Setting(
        "QUEUE_LIMIT", types.whole(1, 100_000), 256, "Calls that may wait for a thread of a kind before one is refused."
    ),
    Setting("ARGON2_MEMORY_KIB", types.whole(8192, MAX_MEMORY_KIB), 47104, "Memory of one password hash.", "KiB"),
    Setting("ARGON2_ITERATIONS", types.whole(1, MAX_ITERATIONS), 1, "Passes of one password hash over its memory."),
    Setting("ARGON2_LANES", types.whole(1, MAX_LANES), 1, "Lanes of one password hash."),
    Setting(
        "GRACEFUL_STOP_SECONDS",
        types.whole(0, 3600),
        30,
        "How long requests under way may finish after SIGTERM.",
        "seconds",
    ),
    Setting(
        "HEADER_TIMEOUT_SECONDS",
        types.number(1, 300),
        20.0,
        "How long a new connection may take to send the head of its first request.",
        "seconds",
    ),
    Setting("KEEPALIVE_SECONDS", types.whole(0, 3600), 15, "How long an idle connection is kept.", "seconds"),
    Setting(
        "WORKER_TIMEOUT_SECONDS",
        types.whole(5, 3600),
        30,
        "After how long a worker that does not answer is replaced, and a body that does not come is given up.",
        "seconds",
    ),
)


@attrs.frozen(kw_only=True)
class Settings:
    """
    What the service runs with. Names, units and defaults are those of `SETTINGS`.
    """

    secret_key: Secret
    encryption_key: Secret
    data_dir: Path
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
    redis_url: str | None = attrs.field(repr=False)
    redis_session_db: int
    minio_endpoint: str | None
    minio_access_key: str | None = attrs.field(repr=False)
    minio_secret_key: Secret | None
    minio_bucket_name: str
    minio_secure: bool
    minio_region: str
    max_file_size: int
    allowed_extensions: frozenset[str]
    allowed_origins: tuple[str, ...]
    two_factor_issuer: str
    sign_in_attempts: int
    totp_attempts: int
    attempts_window_minutes: int
    part_size: int
    json_body_limit: int
    control_threads: int
    transfer_threads: int
    hash_concurrency: int
    hash_wait_seconds: float
    queue_limit: int
    argon2_memory_kib: int
    argon2_iterations: int
    argon2_lanes: int
    graceful_stop_seconds: int
    header_timeout_seconds: float
    keepalive_seconds: int
    worker_timeout_seconds: int

    @property
    def database(self) -> str:
        """
        Where the rows are: the configured database, or a SQLite file in the data folder.
        """
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'sft.db'}"

    @property
    def blob_folder(self) -> Path:
        """
        Where the embedded default keeps its blobs.
        """
        return self.data_dir.absolute() / "blobs"

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str], *, data_dir: Path, secrets: Mapping[str, str] | None = None
    ) -> Settings:
        """
        Read the settings from an environment; `secrets` stand in for keys that it does not give.

        `ConfigurationError` names every setting that is missing, malformed or insecure.
        """
        values: dict[str, Any] = {"data_dir": data_dir}
        faults: list[str] = []
        for setting in SETTINGS:
            text = environ.get(setting.name, "").strip() or (secrets or {}).get(setting.name, "")
            try:
                values[setting.field] = setting.read(text) if text else setting.default
            except ValueError as error:
                faults.append(f"{setting.name} {error}")
        faults += _across(values)
        if faults:
            raise ConfigurationError("; ".join(faults))
        return cls(**values)


def _across(values: Mapping[str, Any]) -> Iterable[str]:
    """
    What is wrong with settings together.
    """
    for name in ("secret_key", "encryption_key"):
        if name in values and values[name] is None:
            yield f"{name.upper()} is not set"
    secret, encryption = values.get("secret_key"), values.get("encryption_key")
    if secret is not None and encryption is not None and types.is_same_key(secret, encryption):
        yield "SECRET_KEY and ENCRYPTION_KEY are the same: each purpose needs a key of its own"
    algorithm, shortest = values.get("algorithm", "HS256"), {"HS384": 48, "HS512": 64}
    if secret is not None and len(secret) < shortest.get(algorithm, 0):
        yield f"SECRET_KEY must have at least {shortest[algorithm]} bytes for {algorithm}"


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
