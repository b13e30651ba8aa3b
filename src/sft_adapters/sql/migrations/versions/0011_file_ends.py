"""
The end that an owner sets for a file.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """
    Add it, and a short way to the few files that have one. What is stored already has none.
    """
    op.add_column("files", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    expires = sa.text("expires_at IS NOT NULL")
    op.create_index("ix_files_ending", "files", ["id", "expires_at"], sqlite_where=expires, postgresql_where=expires)


def downgrade() -> None:
    """
    Drop them: files stay until they are deleted.
    """
    op.drop_index("ix_files_ending", "files")
    op.drop_column("files", "expires_at")
