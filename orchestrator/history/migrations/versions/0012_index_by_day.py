"""The index for searches can be made for one partition, before that of all embeddings takes it in."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """A form of the function that takes a table; the index stays the same."""
    raw_sql.run_file("0012_index_by_day.sql")
