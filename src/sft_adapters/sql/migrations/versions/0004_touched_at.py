"""
When bytes of each file last came.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """
    Make the column; of what is stored already it is known only when it was begun.
    """
    op.execute("ALTER TABLE files ADD COLUMN touched_at BIGINT DEFAULT 0 NOT NULL")
    op.execute("UPDATE files SET touched_at = created_at")


def downgrade() -> None:
    """
    Drop it.
    """
    op.execute("ALTER TABLE files DROP COLUMN touched_at")
