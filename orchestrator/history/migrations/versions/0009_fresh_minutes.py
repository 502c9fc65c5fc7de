"""With TimescaleDB, minutes of a recording older than those added up already were missing for up to an hour."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Adds up every minute what has changed."""
    if raw_sql.has_timescaledb():
        raw_sql.run_file("0009_fresh_minutes.sql")
