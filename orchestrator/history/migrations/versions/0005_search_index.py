"""A denser index for searches: with pgvector's defaults it lost a quarter of the nearest looks among 100,000."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Builds every index for searches anew."""
    raw_sql.run_file("0005_search_index.sql")
