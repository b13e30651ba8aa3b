"""
Every setting, in groups: what each adapter and the server are configured with.

The parsing, the reference page and `.env.example` are derived from these classes; the text below a setting describes
it to operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_type_hints

import attrs

from sft_adapters.settings import parsers as read
from sft_adapters.settings.field import Setting, setting, settings_of
from sft_core.values import Secret
from sft_core.version import __version__

MIN_UPLOAD_MEMORY_KIB: Final = 128
"""Memory set aside for each upload: a buffer, and what is received at once."""

_ALGORITHM: Final[read.Algorithm] = "HS256"
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30


@attrs.frozen(kw_only=True)
class AppSettings:
    """
    The application: its name, its API and its logs.
    """

    name: str = setting("APP_NAME", read.text, "Secure File Transfer")
    """Name that the service reports."""
    version: str = setting("APP_VERSION", read.text, __version__)
    """Version that the service reports."""
    debug: bool = setting("DEBUG", read.boolean, False)
    """Log at level DEBUG; responses stay the same."""
    api_prefix: str = setting("API_V1_PREFIX", read.path_prefix, "/api/v1")
    """Prefix of every path of the API."""
    allowed_origins: tuple[str, ...] = setting(
        "ALLOWED_ORIGINS", read.origins, (), "list", example="https://files.example.org"
    )
    """Origins whose pages may call the API from a browser; `*` allows every origin, without credentials."""


@attrs.frozen(kw_only=True)
class SecuritySettings:
    """
    Keys, tokens and limits on failed sign-ins.
    """

    secret_key: Secret | None = setting("SECRET_KEY", read.secret_key, None, "text")
    """Key that signs tokens: random text of at least 32 bytes, of which two hexadecimal digits are one; no passphrase.
    If it is not set, the first start creates it in a file."""
    algorithm: read.Algorithm = setting("ALGORITHM", read.algorithm, _ALGORITHM)
    """Algorithm that signs tokens."""
    access_token_minutes: int = setting("ACCESS_TOKEN_EXPIRE_MINUTES", read.whole(1, 1440), 30, "minutes")
    """Lifetime of an access token; then the client refreshes it."""
    refresh_token_days: int = setting("REFRESH_TOKEN_EXPIRE_DAYS", read.whole(1, 365), 7, "days")
    """Lifetime of a refresh token; then the user signs in again."""
    encryption_key: Secret | None = setting("ENCRYPTION_KEY", read.encryption_key, None, "base64")
    """Active key-encryption key, which wraps every file key: 32 random bytes. If it is not set, the first start creates
    it in a file."""
    encryption_keys_retiring: tuple[Secret, ...] = setting(
        "ENCRYPTION_KEYS_RETIRING", read.encryption_keys, (), "list of base64"
    )
    """Retiring key-encryption keys: they unwrap what they wrapped, and wrap nothing new; see `sft keys`."""
    two_factor_issuer: str = setting("TWO_FACTOR_ISSUER", read.issuer, "Secure File Transfer")
    """Name of the service in authenticator apps."""
    sign_in_attempts: int = setting("SIGN_IN_ATTEMPTS", read.whole(1, 10_000), 10)
    """Failed sign-ins to an account from one network in ATTEMPTS_WINDOW_MINUTES; further ones are refused."""
    totp_attempts: int = setting("TOTP_ATTEMPTS", read.whole(1, 10_000), 5)
    """Wrong one-time codes of a user in ATTEMPTS_WINDOW_MINUTES; further ones are refused."""
    attempts_window_minutes: int = setting("ATTEMPTS_WINDOW_MINUTES", read.whole(1, 1440), 15, "minutes")
    """Time over which failed attempts are counted."""


@attrs.frozen(kw_only=True)
class DatabaseSettings:
    """
    The database, and how long each wait for it may take.
    """

    url: str | None = setting("DATABASE_URL", read.server_url, None, "URL", secret=True)
    """SQLite or PostgreSQL database; if it is not set, SQLite in the data folder."""
    echo: bool = setting("DB_ECHO", read.boolean, False)
    """Log every SQL statement, without its values."""
    timeout_seconds: float = setting("DATABASE_TIMEOUT_SECONDS", read.number(0.1, 300), 10.0, "seconds")
    """Time a request waits for a connection, or for rows that another transaction has locked, before it fails."""
    connections: int = setting("DATABASE_CONNECTIONS", read.whole(1, 1000), 16)
    """Connections of each worker, at most."""
    connect_seconds: int = setting("DATABASE_CONNECT_SECONDS", read.whole(2, 60), 3, "seconds")
    """PostgreSQL: time to open a connection, or to get an answer on a pooled one, before it counts as failed."""
    statement_seconds: float = setting("DATABASE_STATEMENT_SECONDS", read.number(0.1, 3600), 15.0, "seconds")
    """PostgreSQL: time one statement may take; then the server cancels it."""
    idle_seconds: float = setting("DATABASE_IDLE_SECONDS", read.number(0.1, 3600), 15.0, "seconds")
    """PostgreSQL: time a transaction may be idle; then the server ends it."""
    response_grace_seconds: float = setting(
        "DATABASE_RESPONSE_GRACE_SECONDS", read.number(0.1, 60), 3.0, "seconds", former_name="DATABASE_SILENCE_SECONDS"
    )
    """PostgreSQL: time after DATABASE_STATEMENT_SECONDS in which the server must respond; then the connection is
    closed."""
    tcp_timeout_seconds: int = setting(
        "DATABASE_TCP_TIMEOUT_SECONDS", read.whole(3, 600), 10, "seconds", former_name="DATABASE_PEER_SECONDS"
    )
    """PostgreSQL: time in which the server's network must acknowledge data; then the connection is closed."""
    recycle_seconds: int = setting("DATABASE_RECYCLE_SECONDS", read.whole(1, 86_400), 1800, "seconds")
    """PostgreSQL: age at which a connection is replaced, so that all of them follow a server that moves."""
    migration_seconds: float = setting("DATABASE_MIGRATION_SECONDS", read.number(1, 86_400), 600.0, "seconds")
    """Time one migration step may take, and time a second process waits for the migration of the first."""


@attrs.frozen(kw_only=True)
class SessionSettings:
    """
    Sessions, and how long Redis caches them.
    """

    store: read.SessionStoreKind | None = setting("SESSION_STORE", read.session_store, None)
    """Where sessions are kept: `database`, `redis` (a cache in front of the database) or `memory` (of a single worker).
    If it is not set, `redis` with a REDIS_URL, else `database`."""
    cache_seconds: float = setting("SESSION_CACHE_SECONDS", read.number(0.1, 3600), 30.0, "seconds")
    """Time Redis caches a session. A worker may accept a session revoked by another one for as long, if Redis was
    unreachable at the revocation."""
    lease_seconds: float = setting("SESSION_LEASE_SECONDS", read.number(0.01, 60), 2.0, "seconds")
    """Time a worker has to write a session it has read from the database to Redis; later writes are ignored."""


@attrs.frozen(kw_only=True)
class RedisSettings:
    """
    Redis or Valkey, an optional cache and counter.
    """

    url: str | None = setting("REDIS_URL", read.server_url, None, "URL", secret=True)
    """Redis or Valkey server that caches sessions and counts attempts; if it is not set, the database does both."""
    database: int = setting("REDIS_SESSION_DB", read.whole(0, 1_000_000), 0)
    """Number of the database on that server."""
    timeout_seconds: float = setting("REDIS_TIMEOUT_SECONDS", read.number(0.01, 60), 0.25, "seconds")
    """Time to connect or to receive a response; then the database is used instead."""
    cooldown_seconds: float = setting(
        "REDIS_COOLDOWN_SECONDS", read.number(0.01, 300), 1.0, "seconds", former_name="REDIS_REST_SECONDS"
    )
    """Time after a failure in which a worker does not use Redis; then one request tries again."""
    wait_seconds: float = setting("REDIS_WAIT_SECONDS", read.number(0, 60), 0.05, "seconds")
    """Time a request waits for a free connection; then the database is used instead."""
    max_pending_deletes: int = setting(
        "REDIS_MAX_PENDING_DELETES", read.whole(1, 10_000_000), 10_000, former_name="REDIS_OWED_KEYS"
    )
    """Deletions each worker remembers while Redis is unreachable; entries beyond them stay until they expire."""
    connections: int = setting("REDIS_CONNECTIONS", read.whole(1, 1000), 16)
    """Connections of each worker, at most."""


@attrs.frozen(kw_only=True)
class S3Settings:
    """
    An S3 server for blobs; without one they are in the data folder.
    """

    endpoint: str | None = setting("MINIO_ENDPOINT", read.text, None, "host:port")
    """S3 server that stores blobs; if it is not set, they are stored in the data folder."""
    access_key: str | None = setting("MINIO_ACCESS_KEY", read.text, None, secret=True)
    """Access key of the S3 server."""
    secret_key: Secret | None = setting("MINIO_SECRET_KEY", read.shared_secret, None)
    """Secret key of the S3 server: at least 8 characters."""
    bucket: str = setting("MINIO_BUCKET_NAME", read.text, "secure-files")
    """Bucket for the blobs; the first start creates it."""
    secure: bool = setting("MINIO_SECURE", read.boolean, True)
    """Connect by TLS."""
    ca_file: str | None = setting("MINIO_CA_FILE", read.text, None, "path")
    """Certificate authorities to trust; if it is not set, the public ones."""
    region: str = setting("MINIO_REGION", read.text, "us-east-1")
    """Region of the bucket."""
    conditional_writes: bool = setting("MINIO_CONDITIONAL_WRITES", read.boolean, False)
    """The server honours `If-None-Match: *`, which saves a request for each part; the start checks that it does."""
    connect_seconds: float = setting("MINIO_CONNECT_SECONDS", read.number(0.1, 60), 2.0, "seconds")
    """Time to connect before a request fails."""
    read_seconds: float = setting("MINIO_READ_SECONDS", read.number(0.1, 600), 10.0, "seconds")
    """Time between two packets of a response before a request fails."""
    call_seconds: float = setting("MINIO_CALL_SECONDS", read.number(1, 3600), 60.0, "seconds")
    """Time one request may take in all before it fails."""
    connections: int = setting("MINIO_CONNECTIONS", read.whole(1, 1000), 16)
    """Connections of each worker, at most."""


@attrs.frozen(kw_only=True)
class UploadSettings:
    """
    Uploads: sizes, quotas, memory and how long unfinished ones are kept.
    """

    max_file_size: int = setting("MAX_FILE_SIZE", read.whole(1, 2**50), 64 * _GIB, "bytes")
    """Size of the largest file; a larger upload is refused. The memory of a transfer does not depend on it."""
    user_quota: int = setting("USER_QUOTA", read.whole(0, 2**60), 256 * _GIB, "bytes")
    """Size of all files of a user, unfinished uploads included; an upload beyond it is refused. 0 is no limit."""
    disk_reserve: int = setting("DISK_RESERVE", read.whole(0, 2**50), 64 * _MIB, "bytes")
    """Space that blobs leave free on their disk, for a database beside them; uploads are refused before it is used. 0
    reserves nothing."""
    allowed_extensions: frozenset[str] = setting(
        "ALLOWED_EXTENSIONS",
        read.extensions,
        frozenset[str](),
        "list",
        example=".pdf,.doc,.docx,.xls,.xlsx,.txt,.jpg,.png,.zip",
    )
    """File extensions that are accepted, in any case; if none is set, every one."""
    part_size: int = setting("PART_SIZE", read.whole(64 << 10, 8 * _MIB), 4 * _MIB, "bytes")
    """Size of the parts in which a file is encrypted and stored."""
    idle_hours: int = setting("UPLOAD_IDLE_HOURS", read.whole(1, 8760), 24, "hours")
    """Time after its last byte at which a resumable upload is aborted, but not before a non-resumable one would be."""
    non_resumable_idle_minutes: int = setting(
        "NON_RESUMABLE_IDLE_MINUTES", read.whole(5, 525_600), 15, "minutes", former_name="FORM_IDLE_MINUTES"
    )
    """Time after which a non-resumable upload (a form or a plain body) is aborted, counted from when its next part was
    due: PART_SIZE at MIN_BYTES_PER_SECOND, plus STALL_SECONDS. At most UPLOAD_IDLE_HOURS."""
    idempotency_hours: int = setting("IDEMPOTENCY_HOURS", read.whole(1, 8760), 24, "hours")
    """Time in which a request repeated with its `Idempotency-Key` gets the first result and is not done again."""
    max_concurrent: int = setting("MAX_UPLOADS", read.whole(1, 100_000), 512, "requests")
    """File bodies that each worker receives at once; one more waits for QUEUE_WAIT_SECONDS and is then refused."""
    max_per_user: int = setting("MAX_UPLOADS_PER_USER", read.whole(1, 100_000), 128, "requests")
    """File bodies of one user that each worker receives at once; one more is refused immediately."""
    memory_mib: int = setting("TRANSFER_MEMORY_MIB", read.whole(1, 1_048_576), 512, "MiB")
    """Memory of each worker for received data: at most two parts for each upload, allocated as data arrives. Beyond it
    uploads continue in smaller parts; 128 KiB for each of MAX_UPLOADS are set aside for them."""

    @property
    def quota(self) -> int | None:
        """
        Bytes that the files of a user may have together; None is no limit.
        """
        return self.user_quota or None


@attrs.frozen(kw_only=True)
class DownloadSettings:
    """
    Downloads: memory for data that clients have not received yet.
    """

    read_ahead_mib: int = setting("READ_AHEAD_MIB", read.whole(0, 1_048_576), 64, "MiB")
    """Memory of each worker for data read for downloads that wait for their client or a thread: at most 4 MiB for each.
    Beyond it the data of the longest wait is dropped and read again later, and new downloads start with 64 KiB. Each of
    TRANSFER_THREADS uses up to 6 MiB more while it works."""
    send_buffer_kib: int = setting("SEND_BUFFER_KIB", read.whole(16, 65_536), 1_024, "KiB", former_name="UNSENT_KIB")
    """Unsent data of a response that the kernel buffers for each client; a smaller buffer costs processor time when
    many clients are slow."""


@attrs.frozen(kw_only=True)
class ServerSettings:
    """
    The HTTP server: connections, threads, and how long it waits for clients.
    """

    json_body_limit: int = setting("JSON_BODY_LIMIT", read.whole(1024, 16 * _MIB), 64 << 10, "bytes")
    """Size of the largest JSON body; a larger one is refused."""
    max_connections: int = setting("MAX_CONNECTIONS", read.whole(1, 1_000_000), 4096, "connections")
    """Client connections of each worker; fewer if it may not open as many files (`ulimit -n`). Beyond them only /health
    is served."""
    control_threads: int = setting("CONTROL_THREADS", read.whole(1, 256), 8)
    """Threads of each worker that use the database."""
    transfer_threads: int = setting("TRANSFER_THREADS", read.whole(1, 256), 4)
    """Threads of each worker that encrypt, decrypt and use the blob store."""
    queue_limit: int = setting("QUEUE_LIMIT", read.whole(1, 100_000), 256)
    """Calls that wait for threads of one kind; one more is refused."""
    queue_wait_seconds: float = setting("QUEUE_WAIT_SECONDS", read.number(0.01, 300), 5.0, "seconds")
    """Time a call waits for a thread; then it is refused and the client may retry."""
    header_timeout_seconds: float = setting("HEADER_TIMEOUT_SECONDS", read.number(1, 300), 20.0, "seconds")
    """Time a new connection has to send the header of its first request before it is closed."""
    stall_seconds: int = setting("STALL_SECONDS", read.whole(1, 3600), 60, "seconds")
    """Time a client may send or receive nothing of a body, or less than MIN_BYTES_PER_SECOND, before its connection is
    closed."""
    min_bytes_per_second: int = setting("MIN_BYTES_PER_SECOND", read.whole(1, 2**30), 1024, "bytes a second")
    """Slowest rate at which a client may send or receive a body for longer than STALL_SECONDS."""
    linger_seconds: float = setting("LINGER_SECONDS", read.number(0, 60), 2.0, "seconds")
    """Time a client may continue to send the body of a refused request before its connection is closed."""
    keepalive_seconds: int = setting("KEEPALIVE_SECONDS", read.whole(0, 3600), 15, "seconds")
    """Time an idle connection is kept open."""
    graceful_stop_seconds: int = setting("GRACEFUL_STOP_SECONDS", read.whole(0, 3600), 30, "seconds")
    """Time requests have to finish after SIGTERM; then they are cut off."""
    cleanup_seconds: int = setting("CLEANUP_SECONDS", read.whole(1, 600), 15, "seconds")
    """Time a worker then has to delete what was cut off; then it is killed."""
    worker_timeout_seconds: int = setting("WORKER_TIMEOUT_SECONDS", read.whole(5, 3600), 30, "seconds")
    """Time a worker may not respond to the main process; then it is replaced."""


@attrs.frozen(kw_only=True)
class HashingSettings:
    """
    Password hashing by Argon2id.
    """

    concurrency: int = setting("HASH_CONCURRENCY", read.whole(1, 64), 2)
    """Passwords that each worker hashes at once; one more waits."""
    wait_seconds: float = setting("HASH_WAIT_SECONDS", read.number(0, 60), 5.0, "seconds")
    """Time a password waits to be hashed; then the request is refused and the client may retry."""
    # The hasher checks its own bounds again.
    memory_kib: int = setting("ARGON2_MEMORY_KIB", read.whole(8192, 262_144), 47_104, "KiB")
    """Memory of one password hash."""
    iterations: int = setting("ARGON2_ITERATIONS", read.whole(1, 16), 1)
    """Passes of one password hash over its memory."""
    lanes: int = setting("ARGON2_LANES", read.whole(1, 16), 1)
    """Lanes of one password hash."""


@attrs.frozen(kw_only=True)
class SweepSettings:
    """
    The sweep, which deletes expired files and the remains of unfinished work.
    """

    interval_seconds: float = setting("SWEEP_INTERVAL_SECONDS", read.number(0, 86_400), 300.0, "seconds")
    """Time between two sweeps, each by one of all workers; 0 leaves them to `sft sweep`."""
    batch: int = setting("SWEEP_BATCH", read.whole(1, 1000), 100)
    """Rows and blobs that a sweep examines at a time."""
    expiry_grace_minutes: int = setting("EXPIRY_GRACE_MINUTES", read.whole(0, 10_080), 60, "minutes")
    """Time after its expiry at which a file is deleted, because clocks jump; no client can read it in that time."""
    orphan_grace_hours: float = setting("ORPHAN_GRACE_HOURS", read.number(1, 8760), 24.0, "hours")
    """Age at which a stored part without a row is deleted; a small file's row is written after its part."""


@attrs.frozen(kw_only=True)
class SettingGroups:
    """
    Every group.
    """

    app: AppSettings
    security: SecuritySettings
    database: DatabaseSettings
    sessions: SessionSettings
    redis: RedisSettings
    s3: S3Settings
    uploads: UploadSettings
    downloads: DownloadSettings
    server: ServerSettings
    hashing: HashingSettings
    sweep: SweepSettings


GROUPS: Final[Mapping[str, type[attrs.AttrsInstance]]] = get_type_hints(SettingGroups)
"""Each group by the attribute that holds it."""

SETTINGS: Final[tuple[Setting, ...]] = tuple(s for group in GROUPS.values() for s in settings_of(group).values())
