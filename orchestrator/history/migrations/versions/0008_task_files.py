"""Which files a task has processed, so that history counts a recording once that was processed twice."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Nobody knows which files earlier tasks had: they all count, as they did."""
    raw_sql.run_file("0008_task_files.sql")
