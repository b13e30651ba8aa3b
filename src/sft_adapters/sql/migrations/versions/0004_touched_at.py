"""
Add the time at which bytes of each file were last received.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """
    Create the column; existing files get their creation time, since no later one is recorded.
    """
    op.execute("ALTER TABLE files ADD COLUMN touched_at BIGINT DEFAULT 0 NOT NULL")
    op.execute("UPDATE files SET touched_at = created_at")


def downgrade() -> None:
    op.execute("ALTER TABLE files DROP COLUMN touched_at")
