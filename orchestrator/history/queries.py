"""What is asked of history. Results are streamed, so their size does not matter.

A generator holds a connection until it ends: use it under ``contextlib.aclosing``.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from orchestrator.errors import UnknownTaskError
from orchestrator.history.pool import Pool, database_errors

_CHUNK_ROWS = 2_000

_TRAJECTORY: LiteralString = """
SELECT d.time, d.task_id::text, d.camera_id, d.track_id, d.global_frame_index, d.map_x, d.map_y,
       ARRAY[d.x1, d.y1, d.x2, d.y2], d.confidence
FROM tracklets t JOIN detections d
  ON (d.task_id, d.camera_id, d.track_id) = (t.task_id, t.camera_id, t.track_id)
 AND d.time BETWEEN t.first_time AND t.last_time
WHERE t.global_id = %(global_id)s
  AND (%(task_id)s::uuid IS NULL OR t.task_id = %(task_id)s::uuid)
  AND (%(environments)s::text[] IS NULL
    OR t.task_id IN (SELECT id FROM tasks WHERE environment_id = ANY(%(environments)s::text[])))
  AND (%(start)s::timestamptz IS NULL OR d.time >= %(start)s::timestamptz)
  AND (%(end)s::timestamptz IS NULL OR d.time < %(end)s::timestamptz)
ORDER BY d.time, d.camera_id"""

_TASK_TRACKS: LiteralString = """
SELECT d.camera_id, d.global_frame_index, d.track_id, t.global_id, d.time, d.media_time_s, d.map_x, d.map_y,
       ARRAY[d.x1, d.y1, d.x2, d.y2], d.confidence
FROM detections d LEFT JOIN tracklets t USING (task_id, camera_id, track_id)
WHERE d.task_id = %(task_id)s::uuid
ORDER BY d.camera_id, d.global_frame_index, d.track_id"""


@dataclass(frozen=True, slots=True)
class TrajectoryPoint:
    """Where a person was seen by one camera at one tick."""

    time: datetime
    task_id: str
    camera_id: str
    track_id: int
    global_frame_index: int
    map_x: float | None
    """Metres."""
    map_y: float | None
    bbox: Sequence[float]
    """xyxy, px of the source frame."""
    confidence: float


@dataclass(frozen=True, slots=True)
class TrackRow:
    """One track at one tick."""

    camera_id: str
    global_frame_index: int
    track_id: int
    global_id: str | None
    time: datetime
    media_time_s: float
    map_x: float | None
    """Metres."""
    map_y: float | None
    bbox: Sequence[float]
    """xyxy, px of the source frame."""
    confidence: float


async def trajectory(
    pool: Pool,
    global_id: str,
    task_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    environments: Collection[str] | None = None,
) -> AsyncGenerator[TrajectoryPoint, None]:
    """A person's sightings from ``start`` to before ``end`` in time order, cameras merged; nothing for an unknown id.

    ``environments`` keeps to tasks of these environments.

    Raises:
        UnknownTaskError: ``task_id`` is no task id.
        HistoryError: the database does not answer.
    """
    key = None if task_id is None else _key(task_id)
    theirs = None if environments is None else sorted(environments)
    values = {"global_id": global_id, "task_id": key, "start": start, "end": end, "environments": theirs}
    async with aclosing(_stream(pool, "read a trajectory", _TRAJECTORY, values)) as rows:
        async for row in rows:
            yield TrajectoryPoint(*row)


async def task_tracks(pool: Pool, task_id: str) -> AsyncGenerator[TrackRow, None]:
    """All tracks of a task by camera, frame and track; tracks of a batch under way have no name yet.

    Raises:
        UnknownTaskError: ``task_id`` is no task id.
        HistoryError: the database does not answer.
    """
    values = {"task_id": _key(task_id)}
    async with aclosing(_stream(pool, "read the tracks of a task", _TASK_TRACKS, values)) as rows:
        async for row in rows:
            yield TrackRow(*row)


async def _stream(
    pool: Pool, action: str, statement: LiteralString, values: dict[str, Any]
) -> AsyncGenerator[tuple[Any, ...], None]:
    with database_errors(action):
        async with pool.connection() as connection, connection.cursor(name="history") as cursor:
            cursor.itersize = _CHUNK_ROWS
            await cursor.execute(statement, values)
            async for row in cursor:
                yield row


def _key(task_id: str) -> str:
    try:
        return str(uuid.UUID(task_id))
    except ValueError:
        raise UnknownTaskError(f"there is no task {task_id!r}") from None
