"""What is asked of history. Results are streamed in blocks, so their size does not matter.

A generator holds a connection until it ends: use it under ``contextlib.aclosing``.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from orchestrator.errors import UnknownTaskError
from orchestrator.history.extent import extent_of_person, extent_of_task
from orchestrator.history.pool import Patience, Pool, database_errors, transaction

BLOCK_ROWS = 5_000

_TRAJECTORY: LiteralString = """
SELECT d.task_id::text, d.camera_id, d.track_id, t.global_id, d.global_frame_index, d.time, d.media_time_s,
       d.x1, d.y1, d.x2, d.y2, d.confidence, d.map_x, d.map_y
FROM tracklets t JOIN detections d
  ON (d.task_id, d.camera_id, d.track_id) = (t.task_id, t.camera_id, t.track_id)
 AND d.time BETWEEN t.first_time AND t.last_time
WHERE t.global_id = %(global_id)s
  AND (%(task_id)s::uuid IS NULL OR t.task_id = %(task_id)s::uuid)
  AND (%(environments)s::text[] IS NULL
    OR t.task_id IN (SELECT id FROM tasks WHERE environment_id = ANY(%(environments)s::text[])))
  AND (%(start)s::timestamptz IS NULL OR d.time >= %(start)s::timestamptz)
  AND (%(end)s::timestamptz IS NULL OR d.time < %(end)s::timestamptz)
ORDER BY d.time, d.camera_id, d.track_id"""

_TASK_TRACKS: LiteralString = """
SELECT d.task_id::text, d.camera_id, d.track_id, t.global_id, d.global_frame_index, d.time, d.media_time_s,
       d.x1, d.y1, d.x2, d.y2, d.confidence, d.map_x, d.map_y
FROM detections d LEFT JOIN tracklets t
  ON (d.task_id, d.camera_id, d.track_id) = (t.task_id, t.camera_id, t.track_id)
 AND d.global_frame_index BETWEEN t.first_frame AND t.last_frame
WHERE d.task_id = %(task_id)s::uuid AND (%(camera_id)s::text IS NULL OR d.camera_id = %(camera_id)s)
  AND (%(start)s::timestamptz IS NULL OR d.time >= %(start)s::timestamptz)
  AND (%(end)s::timestamptz IS NULL OR d.time < %(end)s::timestamptz)
ORDER BY d.camera_id, d.global_frame_index, d.track_id"""


class TrackRow(NamedTuple):
    """One track at one tick."""

    task_id: str
    camera_id: str
    track_id: int
    global_id: str | None
    global_frame_index: int
    time: datetime
    media_time_s: float
    """Presentation time within the file."""
    x1: float
    """Box, px of the source frame."""
    y1: float
    x2: float
    y2: float
    confidence: float
    map_x: float | None
    """Metres."""
    map_y: float | None

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """xyxy, px of the source frame."""
        return self.x1, self.y1, self.x2, self.y2


Rows = Sequence[TrackRow]


async def trajectory(
    pool: Pool,
    global_id: str,
    task_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    environments: Collection[str] | None = None,
) -> AsyncGenerator[Rows, None]:
    """A person's sightings from ``start`` to before ``end`` in time order, cameras merged; nothing for an unknown id.

    ``environments`` keeps to tasks of these environments.

    Raises:
        UnknownTaskError: ``task_id`` is no task id.
        HistoryError: the database does not answer.
    """
    key = None if task_id is None else task_key(task_id)
    async with transaction(pool, "look for a person") as connection:
        extent = await extent_of_person(connection, global_id, key, environments)
    if extent is None:
        return
    start, end = extent.within(start, end)
    theirs = None if environments is None else sorted(environments)
    values = {"global_id": global_id, "task_id": key, "start": start, "end": end, "environments": theirs}
    async with aclosing(stream(pool, "read a trajectory", _TRAJECTORY, values)) as found:
        async for rows in found:
            yield [TrackRow._make(row) for row in rows]


async def task_tracks(pool: Pool, task_id: str, camera_id: str | None = None) -> AsyncGenerator[Rows, None]:
    """All tracks of a task, or of one camera in it, by camera, frame and track.

    Tracks of a batch under way have no name yet.

    Raises:
        UnknownTaskError: ``task_id`` is no task id.
        HistoryError: the database does not answer.
    """
    key = task_key(task_id)
    async with transaction(pool, "look for a task's rows") as connection:
        extent = await extent_of_task(connection, key)
    values = {"task_id": key, "camera_id": camera_id, **extent._asdict()}
    async with aclosing(stream(pool, "read the tracks of a task", _TASK_TRACKS, values)) as found:
        async for rows in found:
            yield [TrackRow._make(row) for row in rows]


def task_key(task_id: str) -> str:
    """The id as the database spells it.

    Raises:
        UnknownTaskError: it is no task id at all.
    """
    try:
        return str(uuid.UUID(task_id))
    except ValueError:
        raise UnknownTaskError(f"there is no task {task_id!r}") from None


async def stream(
    pool: Pool, action: str, statement: LiteralString | sql.Composed, values: dict[str, Any]
) -> AsyncGenerator[list[tuple[Any, ...]], None]:
    """The rows of any question, in blocks; holds a connection until it ends.

    Raises:
        HistoryError: ``cannot <action>: <reason>``, also when the server does not give a block in time.
    """
    with database_errors(action), Patience() as patience:
        async with pool.connection() as connection, connection.cursor(name="history", binary=True) as cursor:
            patience.begin(connection, pool.statement_s)
            await cursor.execute(statement, values)
            while rows := await cursor.fetchmany(BLOCK_ROWS):
                patience.end()
                try:
                    yield rows
                finally:
                    patience.begin(connection, pool.statement_s)
