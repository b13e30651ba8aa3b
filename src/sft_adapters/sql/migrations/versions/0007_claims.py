"""
Add the record of the key-encryption key that owns the storage.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """
    Create the table; the first start that has the keys inserts its one row.
    """
    op.create_table(
        "claims",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.CheckConstraint("number = 1", name=op.f("ck_claims_there_is_one")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_claims")),
    )


def downgrade() -> None:
    op.drop_table("claims")
