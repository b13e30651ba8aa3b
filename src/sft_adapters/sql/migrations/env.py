"""
Alembic's environment: migrates over the given connection, in its transaction.
"""

from __future__ import annotations

from alembic import context

from sft_adapters.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
