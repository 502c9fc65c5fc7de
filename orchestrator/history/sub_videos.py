"""The files of a task's batches, and what was seen in them tick by tick: what its messages said, for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, LiteralString

from orchestrator.history.pool import Connection, Pool, transaction
from orchestrator.history.queries import TrackRow, task_key

_STORE: LiteralString = """
INSERT INTO sub_videos (task_id, batch, camera_id, filename, first_frame, first_time, rate, start_time_s, frames,
    media_times_s)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (task_id, batch, camera_id) DO UPDATE SET filename = EXCLUDED.filename,
    first_frame = EXCLUDED.first_frame, first_time = EXCLUDED.first_time, rate = EXCLUDED.rate,
    start_time_s = EXCLUDED.start_time_s, frames = EXCLUDED.frames, media_times_s = EXCLUDED.media_times_s"""

_OF_TASK: LiteralString = """
SELECT batch, camera_id, filename, first_frame, rate, start_time_s, frames FROM sub_videos
WHERE task_id = %s::uuid ORDER BY batch, camera_id"""

_TIMES: LiteralString = """
SELECT batch, camera_id, first_frame, greatest(first_frame, %(first)s),
       media_times_s[greatest(%(first)s - first_frame, 0) + 1 : %(end)s - first_frame]
FROM sub_videos
WHERE task_id = %(task_id)s::uuid AND first_frame < %(end)s AND first_frame + frames > %(first)s"""

_ENDS: LiteralString = """
SELECT min(first_frame), max(first_frame + frames), max(first_frame), max(first_time),
       max(first_time + (frames + 1) / rate * interval '1 second')
FROM sub_videos WHERE task_id = %s::uuid"""

_STORED: LiteralString = """
SELECT max(global_frame_index) + 1 FROM detections WHERE task_id = %s::uuid AND time >= %s AND time < %s"""

# Given to the next statement as values, which names few partitions then.
_BOUNDS: LiteralString = """
SELECT (SELECT min(first_time + (%(first)s - first_frame - 0.5) / rate * interval '1 second') FROM sub_videos
        WHERE task_id = %(task_id)s::uuid AND first_frame <= %(first)s AND first_frame + frames > %(first)s),
       (SELECT max(first_time + (%(end)s - first_frame - 0.5) / rate * interval '1 second') FROM sub_videos
        WHERE task_id = %(task_id)s::uuid AND first_frame < %(end)s AND first_frame + frames >= %(end)s)"""

_ROWS: LiteralString = """
SELECT d.task_id::text, d.camera_id, d.track_id, t.global_id, d.global_frame_index, d.time, d.media_time_s,
       d.x1, d.y1, d.x2, d.y2, d.confidence, d.map_x, d.map_y
FROM detections d LEFT JOIN tracklets t
  ON (d.task_id, d.camera_id, d.track_id) = (t.task_id, t.camera_id, t.track_id)
 AND d.global_frame_index BETWEEN t.first_frame AND t.last_frame
WHERE d.task_id = %(task_id)s::uuid AND d.global_frame_index >= %(first)s AND d.global_frame_index < %(end)s
  AND d.time >= %(from)s AND d.time < %(to)s
ORDER BY d.global_frame_index, d.camera_id, d.track_id"""


@dataclass(frozen=True, slots=True)
class SubVideoTicks:
    """One camera's file in a batch, and the ticks in it."""

    camera_id: str
    filename: str
    start_time_s: float
    """Presentation time of the first frame."""
    media_times_s: Sequence[float]
    """[K] presentation time of the frame of each tick."""


@dataclass(frozen=True, slots=True)
class StoredSubVideo:
    """One camera's file in a batch of a task."""

    batch: int
    camera_id: str
    filename: str
    first_frame: int
    """Global frame index."""
    rate: float
    """Ticks a second."""
    start_time_s: float
    frames: int
    """Ticks."""


@dataclass(slots=True)
class StoredTick:
    """What all cameras saw at one tick, under the names that hold now."""

    frame: int
    batch: int
    tick: int
    """Within the batch."""
    media_times_s: dict[str, float] = field(default_factory=dict)
    """By camera; without those that had no frame."""
    tracks: dict[str, list[TrackRow]] = field(default_factory=dict)


async def store_sub_videos(
    connection: Connection,
    task_id: str,
    batch: int,
    first_frame: int,
    first_time: datetime,
    rate: float,
    files: Sequence[SubVideoTicks],
) -> None:
    """Writes down the files of a batch; harmless when repeated."""
    of_batch = (first_frame, first_time, rate)
    rows = [
        (task_id, batch, file.camera_id, file.filename, *of_batch, file.start_time_s, len(times), times)
        for file, times in ((file, list(file.media_times_s)) for file in files)
    ]
    async with connection.cursor() as cursor:
        await cursor.executemany(_STORE, rows)


async def sub_videos_of_task(pool: Pool, task_id: str) -> tuple[StoredSubVideo, ...]:
    """The files of a task by batch and camera; nothing for a task of before they were written down.

    Raises:
        UnknownTaskError: ``task_id`` is no task id.
        HistoryError: the database does not answer.
    """
    async with transaction(pool, "list the sub-videos of a task") as connection:
        rows = await (await connection.execute(_OF_TASK, (task_key(task_id),))).fetchall()
    return tuple(StoredSubVideo(*row) for row in rows)


async def ticks_of_task(
    pool: Pool, task_id: str, first: int, limit: int, *, whole: bool
) -> tuple[list[StoredTick], int | None]:
    """At most ``limit`` ticks from frame ``first`` on, and the frame after them; None where nothing more is stored.

    Args:
        pool: the database.
        task_id: whose.
        first: global frame index; the task's own first one, where that is later.
        limit: how many.
        whole: whether the task got through all its batches. Otherwise the last sighting is where it ends.

    Raises:
        UnknownTaskError: ``task_id`` is no task id.
        HistoryError: the database does not answer.
    """
    key = task_key(task_id)
    async with transaction(pool, "read the ticks of a task") as connection:
        begins, known = await _known(connection, key, whole)
        first = max(first, begins)
        end = min(first + limit, known)
        if end <= first:
            return [], None
        span: dict[str, Any] = {"task_id": key, "first": first, "end": end}
        times = await (await connection.execute(_TIMES, span)).fetchall()
        bounds = await (await connection.execute(_BOUNDS, span)).fetchone() or (None, None)
        span |= {"from": bounds[0], "to": bounds[1]}
        rows = await (await connection.execute(_ROWS, span)).fetchall()
    return _ticks(times, [TrackRow._make(row) for row in rows]), end if end < known else None


async def _known(connection: Connection, key: str, whole: bool) -> tuple[int, int]:
    """The task's first frame, and the one after the last that is stored."""
    row = await (await connection.execute(_ENDS, (key,))).fetchone()
    if row is None or row[0] is None:
        return 0, 0
    begins, end, last, since, until = row
    if not whole:
        stored = await (await connection.execute(_STORED, (key, since, until))).fetchone()
        end = last if stored is None or stored[0] is None else stored[0]
    return begins, end


def _ticks(times: Sequence[tuple[Any, ...]], rows: Sequence[TrackRow]) -> list[StoredTick]:
    ticks: dict[int, StoredTick] = {}
    for batch, camera_id, first_frame, begin, media_times in times:
        for frame, time in enumerate(media_times, begin):
            tick = ticks.setdefault(frame, StoredTick(frame, batch, frame - first_frame))
            tick.media_times_s[camera_id] = time
    for row in rows:
        ticks[row.global_frame_index].tracks.setdefault(row.camera_id, []).append(row)
    return [ticks[frame] for frame in sorted(ticks)]
