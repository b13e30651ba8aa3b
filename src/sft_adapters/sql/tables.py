"""
The tables of the schema. Migrations create them; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class UtcMicroseconds(TypeDecorator[datetime]):
    """
    A time-zone aware time, stored as UTC microseconds since 1970: exact on every database.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 (its shape)
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (its shape)
        return None if value is None else _EPOCH + value * _MICROSECOND


metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    },
)

UNFINISHED: Final = text("state != 'sealed'")
"""A condition on files, literally that of their index: with a bound parameter the index would not be used."""
_ENDS: Final = text("expires_at IS NOT NULL")
"""A condition that every comparison of the column with a time implies."""

# Identifiers are the 16 bytes of a UUID version 7, so they sort by creation time.
ID: Final = LargeBinary(16)

users: Final = Table(
    "users",
    metadata,
    Column("id", ID, primary_key=True),
    Column("email", String(254), nullable=False),
    Column("username", String(50), nullable=False),
    # Case folding may lengthen a name, to at most three characters for one.
    Column("username_key", String(1024), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("is_verified", Boolean, nullable=False),
    Column("totp_key_id", String(64)),
    Column("totp_seed", LargeBinary),
    Column("totp_confirmed", Boolean, nullable=False),
    Column("totp_last_step", BigInteger, nullable=False),
    Column("created_at", UtcMicroseconds, nullable=False),
    Column("last_login", UtcMicroseconds),
    Column("revision", BigInteger, nullable=False),
    UniqueConstraint("email"),
    UniqueConstraint("username_key"),
    CheckConstraint("(totp_key_id IS NULL) = (totp_seed IS NULL)", name="totp_is_whole"),
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcMicroseconds, nullable=False),
    Column("expires_at", UtcMicroseconds, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("revoked_at", UtcMicroseconds),
    Index(None, "user_id"),
)

files: Final = Table(
    "files",
    metadata,
    Column("id", ID, primary_key=True),
    Column("owner_id", ID, ForeignKey("users.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("original_name", String(255), nullable=False),
    Column("media_type", String(127), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("encryption", String(16), nullable=False),
    Column("key_id", String(64)),
    Column("wrapped_key", LargeBinary),
    Column("max_downloads", Integer),
    Column("expires_hours", Integer),
    Column("created_at", UtcMicroseconds, nullable=False),
    # The time of the last received bytes. A release without this column leaves it 0.
    Column("touched_at", UtcMicroseconds, nullable=False, server_default="0"),
    # The file's quota reservation in bytes.
    Column("held", BigInteger, nullable=False, server_default="0"),
    # The expiry that the owner has set.
    Column("expires_at", UtcMicroseconds),
    CheckConstraint("state IN ('receiving', 'sealed', 'aborting', 'deleting')", name="state_is_known"),
    CheckConstraint("encryption IN ('server', 'client')", name="encryption_is_known"),
    CheckConstraint("(key_id IS NULL) = (wrapped_key IS NULL)", name="key_is_whole"),
    CheckConstraint("size >= 0", name="size_is_not_negative"),
    CheckConstraint("held >= 0", name="held_is_not_negative"),
    Index(None, "owner_id", "state", "created_at", "id"),
    # The few unsealed files that a sweep reads, among many sealed ones.
    Index("ix_files_unfinished", "id", sqlite_where=UNFINISHED, postgresql_where=UNFINISHED),
    Index("ix_files_ending", "id", "expires_at", sqlite_where=_ENDS, postgresql_where=_ENDS),
)

usages: Final = Table(
    "usages",
    metadata,
    Column("owner_id", ID, ForeignKey("users.id"), primary_key=True),
    # The sum of the reservations of the owner's files.
    Column("bytes", BigInteger, nullable=False),
    CheckConstraint("bytes >= 0", name="bytes_are_not_negative"),
)

parts: Final = Table(
    "parts",
    metadata,
    Column("file_id", ID, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("stored_size", BigInteger, nullable=False),
    Column("blob_key", String(129), nullable=False),
    Column("header", LargeBinary(56), nullable=False),
    UniqueConstraint("blob_key"),
    CheckConstraint("number >= 0 AND start >= 0 AND size >= 0", name="bounds_are_not_negative"),
    Index(None, "file_id", "start"),
)

uploads: Final = Table(
    "uploads",
    metadata,
    Column("file_id", ID, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("length", BigInteger),
    Column("is_public", Boolean, nullable=False),
    Column("metadata", String(4096), nullable=False),
    # The ids of a final upload's sources, 16 bytes each, in order.
    Column("sources", LargeBinary, nullable=False),
    # The fencing token: the number of takeovers. Only the caller with the latest one may append.
    Column("writer", BigInteger, nullable=False),
    CheckConstraint("kind IN ('whole', 'partial', 'final')", name="kind_is_known"),
    CheckConstraint("length >= 0", name="length_is_not_negative"),
)

links: Final = Table(
    "links",
    metadata,
    Column("id", ID, primary_key=True),
    Column("file_id", ID, ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("owner_id", ID, ForeignKey("users.id"), nullable=False),
    Column("token_digest", LargeBinary(32), nullable=False),
    # Both are NULL once the token was deleted, some time after the link expired or was revoked.
    Column("token_key_id", String(64)),
    Column("wrapped_token", LargeBinary),
    Column("created_at", UtcMicroseconds, nullable=False),
    Column("expires_at", UtcMicroseconds, nullable=False),
    Column("max_downloads", Integer),
    Column("downloads", Integer, nullable=False),
    Column("revoked_at", UtcMicroseconds),
    UniqueConstraint("token_digest"),
    CheckConstraint("(token_key_id IS NULL) = (wrapped_token IS NULL)", name="token_is_whole"),
    CheckConstraint("downloads >= 0", name="downloads_are_not_negative"),
    CheckConstraint("max_downloads IS NULL OR downloads <= max_downloads", name="budget_is_kept"),
    Index(None, "file_id", "created_at", "id"),
)

# Results of requests with idempotency keys. They outlive the file, so that a repeat does not create it again.
kept_answers: Final = Table(
    "kept_answers",
    metadata,
    Column("key_digest", LargeBinary(32), primary_key=True),
    Column("owner_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("file_id", ID, nullable=False),
    Column("token_digest", LargeBinary(32)),
    Column("expires_at", UtcMicroseconds, nullable=False),
)

# At most one row: the active key-encryption key of the service that started last.
claims: Final = Table(
    "claims",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key_id", String(64), nullable=False),
    CheckConstraint("number = 1", name="there_is_one"),
)

# At most one row: the store id, which only the blob store of this database has too.
marks: Final = Table(
    "marks",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("mark", String(32), nullable=False),
    CheckConstraint("number = 1", name="there_is_one"),
)

# Keys under which no secret may be stored: an operator has removed them from the ring.
retired_keys: Final = Table(
    "retired_keys",
    metadata,
    Column("key_id", String(64), primary_key=True),
    # The id of the attempt to retire it, and whether that attempt was confirmed: only then the row is permanent.
    Column("attempt", String(32), nullable=False),
    Column("is_settled", Boolean, nullable=False),
)

throttles: Final = Table(
    "throttles",
    metadata,
    Column("key", String(100), primary_key=True),
    Column("comes_back", UtcMicroseconds, nullable=False),
)

leases: Final = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("until", UtcMicroseconds, nullable=False),
)
