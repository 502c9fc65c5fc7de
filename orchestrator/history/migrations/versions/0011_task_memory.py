"""What a task remembers across its attempts: when its frame 0 was, and what went wrong since its last batch."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Tasks that have rows keep the times of these."""
    raw_sql.run_file("0011_task_memory.sql")
