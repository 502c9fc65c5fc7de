"""Search by looks: which embeddings are in the index, and an index for every length of embedding there is."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the column; what is stored already is all searchable."""
    raw_sql.run_file("0002_search.sql")
