"""Run by Alembic: every missing revision in one transaction, one process after the other."""

from __future__ import annotations

from alembic import context

LOCK = 0x53504F54_0001
"""Advisory lock: processes that start together migrate one after the other; the later ones find nothing to do."""

connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    context.run_migrations()
