"""API tokens and the audit log, which the API made by itself before."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Makes what is not there; tables that are there are as this makes them."""
    raw_sql.run("SET LOCAL client_min_messages = warning")
    raw_sql.run_file("0007_access.sql")
