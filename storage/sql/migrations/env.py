"""Run by Alembic for each command; takes the connection that `storage.sql.migrations` opened."""

from __future__ import annotations

from alembic import context

from storage.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
