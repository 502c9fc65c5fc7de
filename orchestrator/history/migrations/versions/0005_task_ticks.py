"""How long a tick of a task is, told by its tracklets: a view, since several questions need it."""

from __future__ import annotations

from orchestrator.history.migrations import raw_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """A tracklet of a single frame cannot tell."""
    raw_sql.run("""
        CREATE VIEW task_ticks AS
        SELECT task_id, max(extract(epoch FROM last_time - first_time) / (last_frame - first_frame))::float8 AS seconds
        FROM tracklets WHERE last_frame > first_frame GROUP BY task_id""")
