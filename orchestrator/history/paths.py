"""Everybody's path on the map, one person after the other, however many there are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np
from psycopg import sql

from orchestrator.history.extent import narrowed
from orchestrator.history.files import IN_PART, PARTS
from orchestrator.history.motion import MapPath
from orchestrator.history.pool import Pool, transaction
from orchestrator.history.queries import stream
from orchestrator.history.scope import Scope

# Positions come already averaged over the cameras of a tick; a track without a name is a person of its own.
_PATHS = sql.SQL("""
WITH {parts}
SELECT d.task_id::text, COALESCE(t.global_id, d.camera_id || ' ' || d.track_id) AS who, t.global_id, p.seconds,
       d.time, avg(d.map_x), avg(d.map_y)
FROM parts p JOIN detections d ON {in_part}
JOIN tracklets t
  ON (d.task_id, d.camera_id, d.track_id) = (t.task_id, t.camera_id, t.track_id)
 AND d.global_frame_index BETWEEN t.first_frame AND t.last_frame
WHERE d.map_x IS NOT NULL
  AND (%(start)s::timestamptz IS NULL OR d.time >= %(start)s::timestamptz)
  AND (%(end)s::timestamptz IS NULL OR d.time < %(end)s::timestamptz)
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2, 5""").format(parts=PARTS, in_part=IN_PART)


@dataclass(frozen=True, slots=True)
class PersonPath:
    """One person's way."""

    task_id: str
    who: str
    """The global id, or camera and track of somebody without one."""
    global_id: str | None
    tick_s: float
    """Seconds from one tick of the task to the next."""
    began: datetime
    """When the path's first position was."""
    path: MapPath


async def paths(pool: Pool, scope: Scope) -> AsyncGenerator[PersonPath, None]:
    """The paths of all people in the scope that have one.

    Raises:
        HistoryError: the database does not answer, or not in time.
    """
    person: list[tuple[Any, ...]] = []
    async with transaction(pool, "look for a task's rows") as connection:
        scope = await narrowed(connection, scope)
    async with aclosing(stream(pool, "read where people went", _PATHS, scope.values())) as blocks:
        async for rows in blocks:
            for _, group in groupby(rows, key=lambda row: row[:2]):
                found = list(group)
                if person and found[0][:2] != person[0][:2]:
                    yield _path(person)
                    person = []
                person += found
    if person:
        yield _path(person)


def _path(rows: list[tuple[Any, ...]]) -> PersonPath:
    task_id, who, global_id, tick_s, began, *_ = rows[0]
    times_s = np.array([(row[4] - began).total_seconds() for row in rows])
    xy = np.array([row[5:7] for row in rows], np.float64)
    return PersonPath(task_id, who, global_id, tick_s, began, MapPath.of(times_s, xy))
