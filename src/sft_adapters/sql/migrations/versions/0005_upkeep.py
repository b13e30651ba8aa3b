"""
Add the leases of sweeps, and an index on the files that a sweep reads.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    unfinished = sa.text("state != 'sealed'")
    op.create_index("ix_files_unfinished", "files", ["id"], sqlite_where=unfinished, postgresql_where=unfinished)


def downgrade() -> None:
    op.drop_index("ix_files_unfinished", "files")
    op.drop_table("leases")
