"""
Add the retired keys, under which no secret may be stored.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """
    Create the table; `sft keys retire` inserts rows.
    """
    op.create_table(
        "retired_keys",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.String(length=32), nullable=False),
        sa.Column("is_settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_retired_keys")),
    )


def downgrade() -> None:
    op.drop_table("retired_keys")
