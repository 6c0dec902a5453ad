"""How alembic reaches the database: through the connection it is given, and never by a URL of its own."""

from __future__ import annotations

from alembic import context

from sfsync.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=False)
with context.begin_transaction():
    context.run_migrations()
