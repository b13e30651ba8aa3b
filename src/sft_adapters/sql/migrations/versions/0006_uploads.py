"""
Add resumable uploads.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("file_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("metadata", sa.String(length=4096), nullable=False),
        sa.Column("sources", sa.LargeBinary(), nullable=False),
        sa.Column("writer", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('whole', 'partial', 'final')", name=op.f("ck_uploads_kind_is_known")),
        sa.CheckConstraint("length >= 0", name=op.f("ck_uploads_length_is_not_negative")),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_uploads_file_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_uploads")),
    )


def downgrade() -> None:
    """
    Drop the table. Files received by resumable uploads are kept; uploads in progress must restart.
    """
    op.drop_table("uploads")
