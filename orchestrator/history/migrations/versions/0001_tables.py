"""Tasks, detections, embeddings, tracklets, checkpoints and the job queue: what there was before revisions."""

from __future__ import annotations

from procrastinate.schema import SchemaManager

from orchestrator.history.migrations import raw_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes what is not there."""
    raw_sql.run("SET LOCAL client_min_messages = warning")
    raw_sql.run_file("0001_tables.sql")
    if not raw_sql.value("SELECT to_regclass('procrastinate_jobs')"):
        raw_sql.run(SchemaManager.get_schema())
