"""
Allow the token of a long-expired link to be deleted; its row is kept.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """
    Make the token nullable. Earlier releases never read the token of an expired link.
    """
    with op.batch_alter_table("links", copy_from=_links(sa.MetaData(), may_lack_token=False)) as links:
        links.alter_column("token_key_id", existing_type=sa.String(length=64), nullable=True)
        links.alter_column("wrapped_token", existing_type=sa.LargeBinary(), nullable=True)
        links.create_check_constraint(op.f("ck_links_token_is_whole"), _WHOLE)


def downgrade() -> None:
    """
    Delete links without a token, and their download counts: all are expired or revoked.
    """
    op.execute("DELETE FROM links WHERE token_key_id IS NULL")
    with op.batch_alter_table("links", copy_from=_links(sa.MetaData(), may_lack_token=True)) as links:
        links.drop_constraint(op.f("ck_links_token_is_whole"), type_="check")
        links.alter_column("token_key_id", existing_type=sa.String(length=64), nullable=False)
        links.alter_column("wrapped_token", existing_type=sa.LargeBinary(), nullable=False)


_WHOLE = "(token_key_id IS NULL) = (wrapped_token IS NULL)"


def _links(metadata: sa.MetaData, *, may_lack_token: bool) -> sa.Table:
    """
    Return the table before or after the change; SQLite recreates it, because reflection is incomplete.
    """
    checks = [
        sa.CheckConstraint("downloads >= 0", name=op.f("ck_links_downloads_are_not_negative")),
        sa.CheckConstraint("max_downloads IS NULL OR downloads <= max_downloads", name=op.f("ck_links_budget_is_kept")),
    ]
    if may_lack_token:
        checks.append(sa.CheckConstraint(_WHOLE, name=op.f("ck_links_token_is_whole")))
    return sa.Table(
        "links",
        metadata,
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("file_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("token_key_id", sa.String(length=64), nullable=may_lack_token),
        sa.Column("wrapped_token", sa.LargeBinary(), nullable=may_lack_token),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("max_downloads", sa.Integer(), nullable=True),
        sa.Column("downloads", sa.Integer(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        *checks,
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_links_file_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_links_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_links")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_links_token_digest")),
        sa.Index("ix_links_file_id_created_at_id", "file_id", "created_at", "id"),
    )
