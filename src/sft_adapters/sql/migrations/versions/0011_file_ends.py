"""
Add the expiry that an owner may set for a file.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """
    Add the column, null for existing files, and an index on files with an expiry.
    """
    op.add_column("files", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    expires = sa.text("expires_at IS NOT NULL")
    op.create_index("ix_files_ending", "files", ["id", "expires_at"], sqlite_where=expires, postgresql_where=expires)


def downgrade() -> None:
    """
    Drop the index and the column: files no longer expire.
    """
    op.drop_index("ix_files_ending", "files")
    op.drop_column("files", "expires_at")
