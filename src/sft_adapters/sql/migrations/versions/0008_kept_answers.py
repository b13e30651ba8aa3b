"""
Add idempotency records.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "kept_answers",
        sa.Column("key_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("file_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_kept_answers_owner_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_digest", name=op.f("pk_kept_answers")),
    )


def downgrade() -> None:
    """
    Drop the table; files and links are kept, and a repeated request creates them again.
    """
    op.drop_table("kept_answers")
