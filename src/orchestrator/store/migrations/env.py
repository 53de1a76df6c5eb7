"""Run by Alembic for every upgrade; the connection and its transaction are the caller's."""

from alembic import context

from orchestrator.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)

with context.begin_transaction():
    context.run_migrations()
