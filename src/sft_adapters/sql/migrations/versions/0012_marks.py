"""
Add the store id that a database shares with its blob store.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """
    Create the table; a start of the service inserts the id.
    """
    op.create_table(
        "marks",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.String(length=32), nullable=False),
        sa.CheckConstraint("number = 1", name=op.f("ck_marks_there_is_one")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_marks")),
    )


def downgrade() -> None:
    """
    Drop the table.

    After another upgrade a database with files counts as an old copy of itself until an operator
    removes the id from its blob store.
    """
    op.drop_table("marks")
