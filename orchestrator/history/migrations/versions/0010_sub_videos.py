"""Which files each batch of a task had and when their frames are shown, so that a task can be watched for ever."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Nobody knows the files of earlier tasks: they are watched for as long as their messages are kept."""
    raw_sql.run_file("0010_sub_videos.sql")
