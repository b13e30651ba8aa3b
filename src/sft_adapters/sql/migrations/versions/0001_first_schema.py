"""
Create the first schema: users, sessions, files, parts, links.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_users()
    _create_files()
    _create_sessions()
    _create_links()
    _create_parts()


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("username", sa.String(length=50), nullable=False),
        sa.Column("username_key", sa.String(length=1024), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_verified", sa.Boolean(), nullable=False),
        sa.Column("totp_key_id", sa.String(length=64), nullable=True),
        sa.Column("totp_seed", sa.LargeBinary(), nullable=True),
        sa.Column("totp_confirmed", sa.Boolean(), nullable=False),
        sa.Column("totp_last_step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_login", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(totp_key_id IS NULL) = (totp_seed IS NULL)", name=op.f("ck_users_totp_is_whole")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint("username_key", name=op.f("uq_users_username_key")),
    )


def _create_files() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("original_name", sa.String(length=255), nullable=False),
        sa.Column("media_type", sa.String(length=127), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("encryption", sa.String(length=16), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("max_downloads", sa.Integer(), nullable=True),
        sa.Column("expires_hours", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("encryption IN ('server', 'client')", name=op.f("ck_files_encryption_is_known")),
        sa.CheckConstraint(
            "state IN ('receiving', 'sealed', 'aborting', 'deleting')", name=op.f("ck_files_state_is_known")
        ),
        sa.CheckConstraint("(key_id IS NULL) = (wrapped_key IS NULL)", name=op.f("ck_files_key_is_whole")),
        sa.CheckConstraint("size >= 0", name=op.f("ck_files_size_is_not_negative")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_files_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    op.create_index(
        op.f("ix_files_owner_id_state_created_at_id"), "files", ["owner_id", "state", "created_at", "id"], unique=False
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("user_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)


def _create_links() -> None:
    op.create_table(
        "links",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("file_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("token_key_id", sa.String(length=64), nullable=False),
        sa.Column("wrapped_token", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("max_downloads", sa.Integer(), nullable=True),
        sa.Column("downloads", sa.Integer(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("downloads >= 0", name=op.f("ck_links_downloads_are_not_negative")),
        sa.CheckConstraint("max_downloads IS NULL OR downloads <= max_downloads", name=op.f("ck_links_budget_is_kept")),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_links_file_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_links_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_links")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_links_token_digest")),
    )
    op.create_index(op.f("ix_links_file_id_created_at_id"), "links", ["file_id", "created_at", "id"], unique=False)


def _create_parts() -> None:
    op.create_table(
        "parts",
        sa.Column("file_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored_size", sa.BigInteger(), nullable=False),
        sa.Column("blob_key", sa.String(length=129), nullable=False),
        sa.Column("header", sa.LargeBinary(length=56), nullable=False),
        sa.CheckConstraint("number >= 0 AND start >= 0 AND size >= 0", name=op.f("ck_parts_bounds_are_not_negative")),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_parts_file_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", "number", name=op.f("pk_parts")),
        sa.UniqueConstraint("blob_key", name=op.f("uq_parts_blob_key")),
    )
    op.create_index(op.f("ix_parts_file_id_start"), "parts", ["file_id", "start"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_parts_file_id_start"), table_name="parts")
    op.drop_table("parts")
    op.drop_index(op.f("ix_links_file_id_created_at_id"), table_name="links")
    op.drop_table("links")
    op.drop_index(op.f("ix_sessions_user_id"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_index(op.f("ix_files_owner_id_state_created_at_id"), table_name="files")
    op.drop_table("files")
    op.drop_table("users")
