"""
Add each file's quota reservation, and the sum of each owner.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # Literal SQL that both databases accept: SQLite adds a constraint to a table only with its column.
    op.execute(
        "ALTER TABLE files ADD COLUMN held BIGINT DEFAULT 0 NOT NULL"
        " CONSTRAINT ck_files_held_is_not_negative CHECK (held >= 0)"
    )
    op.create_table(
        "usages",
        sa.Column("owner_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("bytes >= 0", name=op.f("ck_usages_bytes_are_not_negative")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_usages_owner_id")),
        sa.PrimaryKeyConstraint("owner_id", name=op.f("pk_usages")),
    )
    # An upload that was never sealed has no size, only the parts in its manifest.
    op.execute("UPDATE files SET held = size WHERE state IN ('sealed', 'deleting')")
    op.execute(
        "UPDATE files SET held = (SELECT coalesce(sum(parts.size), 0) FROM parts WHERE parts.file_id = files.id)"
        " WHERE state IN ('receiving', 'aborting')"
    )
    op.execute("INSERT INTO usages (owner_id, bytes) SELECT owner_id, sum(held) FROM files GROUP BY owner_id")


def downgrade() -> None:
    op.drop_table("usages")
    op.execute("ALTER TABLE files DROP COLUMN held")
