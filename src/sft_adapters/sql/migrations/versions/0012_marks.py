"""
The mark that a database and its blob store have in common.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """
    Make the table; a start of the service fills it.
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
    Drop it: up again, a database that has files is taken for an old copy until its store's mark is removed.
    """
    op.drop_table("marks")
