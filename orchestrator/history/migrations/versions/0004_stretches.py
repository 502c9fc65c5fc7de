"""Tracklets in stretches: the second pass may find that one track was several people, one after another."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Numbers the stretches of a track; all tracks so far are one stretch."""
    raw_sql.run_file("0004_stretches.sql")
