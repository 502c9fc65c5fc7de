"""Rows in time as hypertables, compressed, with a continuous aggregate, where TimescaleDB is; else partitions stay."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes the one or the other; both end with a relation ``sightings_by_minute``."""
    raw_sql.run_file("0003_hypertables.sql" if raw_sql.has_timescaledb() else "0003_partitions.sql")
