"""
Which key-encryption key the storage belongs to.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """
    Make the table; its one row is written by the start that holds the keys.
    """
    op.create_table(
        "claims",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.CheckConstraint("number = 1", name=op.f("ck_claims_there_is_one")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_claims")),
    )


def downgrade() -> None:
    """
    Drop it.
    """
    op.drop_table("claims")
