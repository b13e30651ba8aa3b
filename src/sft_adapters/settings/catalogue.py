"""
Every setting there is, in one table: it drives the parsing, the reference page and `.env.example`.
"""

from __future__ import annotations

from typing import Final

from sft_adapters.settings import parsers as types
from sft_adapters.settings.field import Setting
from sft_adapters.settings.limits import LIMITS
from sft_core.version import __version__

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("APP_NAME", types.text, "Secure File Transfer", "The name the service goes by."),
    Setting("APP_VERSION", types.text, __version__, "The version the service tells."),
    Setting("DEBUG", types.boolean, False, "More in the log; never more in an answer."),
    Setting("API_V1_PREFIX", types.path_prefix, "/api/v1", "What the paths of the API begin with."),
    Setting(
        "SECRET_KEY",
        types.secret_key,
        None,
        "Signs tokens. At least 32 random bytes, of which two hexadecimal digits are one; made on first start "
        "if it is not given.",
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
    Setting(
        "ENCRYPTION_KEYS_RETIRING",
        types.encryption_keys,
        (),
        "Other keys that still open what they wrapped, and wrap nothing new; see `sft keys`.",
        "list of base64",
    ),
    Setting("DATABASE_URL", types.server_url, None, "The database; without it SQLite in the data folder.", "URL"),
    Setting("DB_ECHO", types.boolean, False, "Log every statement, without its values."),
    Setting(
        "DATABASE_TIMEOUT_SECONDS", types.number(0.1, 300), 10.0, "How long a caller waits for the database.", "seconds"
    ),
    Setting("DATABASE_CONNECTIONS", types.whole(1, 1000), 16, "Connections to the database, in each worker."),
    Setting(
        "DATABASE_CONNECT_SECONDS",
        types.whole(2, 60),
        3,
        "PostgreSQL: how long a new connection, or the sign of life of a kept one, may take.",
        "seconds",
    ),
    Setting(
        "DATABASE_STATEMENT_SECONDS",
        types.number(0.1, 3600),
        15.0,
        "PostgreSQL: how long one statement may take.",
        "seconds",
    ),
    Setting(
        "DATABASE_IDLE_SECONDS",
        types.number(0.1, 3600),
        15.0,
        "PostgreSQL: how long a transaction in which nothing happens is kept.",
        "seconds",
    ),
    Setting(
        "DATABASE_SILENCE_SECONDS",
        types.number(0.1, 60),
        3.0,
        "PostgreSQL: how long after a statement's time a server that does not answer is given up.",
        "seconds",
    ),
    Setting(
        "DATABASE_PEER_SECONDS",
        types.whole(3, 600),
        10,
        "PostgreSQL: how long a network that acknowledges nothing is waited for.",
        "seconds",
    ),
    Setting(
        "DATABASE_RECYCLE_SECONDS",
        types.whole(1, 86_400),
        1800,
        "PostgreSQL: after how long a connection is replaced, so that all of them follow a server that moves.",
        "seconds",
    ),
    Setting(
        "DATABASE_MIGRATION_SECONDS",
        types.number(1, 86_400),
        600.0,
        "How long one step of a migration may take, and how long a second one waits for the first.",
        "seconds",
    ),
    Setting(
        "SESSION_STORE",
        types.one_of("database", "redis", "memory"),
        None,
        "Where sessions are: in the database, in Redis in front of it, or in the memory of a single worker. "
        "Redis if there is a REDIS_URL, else the database.",
    ),
    Setting(
        "SESSION_CACHE_SECONDS",
        types.number(0.1, 3600),
        30.0,
        "How long Redis keeps a session. So long may another worker believe a revoked one if Redis was cut off then.",
        "seconds",
    ),
    Setting(
        "SESSION_LEASE_SECONDS",
        types.number(0.01, 60),
        2.0,
        "How long who has read a session from the database may take to put it into Redis.",
        "seconds",
    ),
    Setting(
        "REDIS_URL",
        types.server_url,
        None,
        "A Redis or Valkey server that caches sessions and counts attempts; without it the database does both.",
        "URL",
    ),
    Setting("REDIS_SESSION_DB", types.whole(0, 1_000_000), 0, "The number of the database on it."),
    Setting(
        "REDIS_TIMEOUT_SECONDS",
        types.number(0.01, 60),
        0.25,
        "How long connecting to it, or one answer of it, may take.",
        "seconds",
    ),
    Setting(
        "REDIS_REST_SECONDS", types.number(0.01, 300), 1.0, "How long nobody asks it again after a fault.", "seconds"
    ),
    Setting(
        "REDIS_WAIT_SECONDS",
        types.number(0, 60),
        0.05,
        "How long a caller waits for a connection to it before it does without.",
        "seconds",
    ),
    Setting("REDIS_OWED_KEYS", types.whole(1, 10_000_000), 10_000, "Deletions owed to it, at most, while it is away."),
    Setting("REDIS_CONNECTIONS", types.whole(1, 1000), 16, "Connections to it, in each worker."),
    Setting("MINIO_ENDPOINT", types.text, None, "An S3 server; without it blobs are in the data folder.", "host:port"),
    Setting("MINIO_ACCESS_KEY", types.text, None, "Its access key."),
    Setting("MINIO_SECRET_KEY", types.shared_secret, None, "Its secret key."),
    Setting("MINIO_BUCKET_NAME", types.text, "secure-files", "Its bucket; made at the first start."),
    Setting("MINIO_SECURE", types.boolean, True, "Speak TLS to it."),
    Setting(
        "MINIO_CA_FILE",
        types.text,
        None,
        "The authorities whose certificates it may show; without it the public ones.",
        "path",
    ),
    Setting("MINIO_REGION", types.text, "us-east-1", "Its region."),
    Setting(
        "MINIO_CONDITIONAL_WRITES",
        types.boolean,
        False,
        "It keeps to `If-None-Match: *`, which saves a request for each part; checked at start.",
    ),
    Setting("MINIO_CONNECT_SECONDS", types.number(0.1, 60), 2.0, "How long connecting to it may take.", "seconds"),
    Setting("MINIO_READ_SECONDS", types.number(0.1, 600), 10.0, "How long each sign of life may take.", "seconds"),
    Setting("MINIO_CALL_SECONDS", types.number(1, 3600), 60.0, "How long one request may take in all.", "seconds"),
    Setting("MINIO_CONNECTIONS", types.whole(1, 1000), 16, "Connections to it, in each worker."),
    Setting(
        "MAX_FILE_SIZE",
        types.whole(1, 2**50),
        64 * _GIB,
        "The largest file. Generous, because a transfer's memory does not depend on it.",
        "bytes",
    ),
    Setting(
        "USER_QUOTA",
        types.whole(0, 2**60),
        256 * _GIB,
        "How much the files of a user may hold together, those under way included; 0 is no limit.",
        "bytes",
    ),
    Setting(
        "DISK_RESERVE",
        types.whole(0, 2**50),
        64 * _MIB,
        "How much of their disk the blobs leave free, so that a database beside them can work on; 0 is nothing.",
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
    Setting(
        "UPLOAD_IDLE_HOURS",
        types.whole(1, 8760),
        24,
        "How long an unfinished upload is kept after its last byte, no less than one that nobody can go on with.",
        "hours",
    ),
    Setting(
        "IDEMPOTENCY_HOURS",
        types.whole(1, 8760),
        24,
        "How long a request with an `Idempotency-Key` can be repeated without being done again.",
        "hours",
    ),
    Setting(
        "FORM_IDLE_MINUTES",
        types.whole(5, 525_600),
        15,
        "How long one that nobody can go on with, a form or a plain body, is kept after its next part should have "
        "come: PART_SIZE at MIN_BYTES_PER_SECOND, and STALL_SECONDS. Never more than UPLOAD_IDLE_HOURS after it.",
        "minutes",
    ),
    *LIMITS,
)
