"""How many people are in view over time: of the whole environment, or of each camera."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg import sql

from orchestrator.history.extent import narrowed
from orchestrator.history.files import IN_PART, PARTS
from orchestrator.history.pool import Pool, transaction
from orchestrator.history.scope import Scope

MINUTE_S = 60

_OCCUPANCY = sql.SQL("""
WITH {parts}, seen AS (
    SELECT DISTINCT d.task_id, d.time, p.seconds, CASE WHEN %(by_camera)s THEN d.camera_id END AS camera_id,
           COALESCE(t.global_id, d.camera_id || ' ' || d.track_id) AS who
    FROM parts p JOIN detections d ON {in_part}
    JOIN tracklets t
      ON (d.task_id, d.camera_id, d.track_id) = (t.task_id, t.camera_id, t.track_id)
     AND d.global_frame_index BETWEEN t.first_frame AND t.last_frame
    WHERE (%(start)s::timestamptz IS NULL OR d.time >= %(start)s::timestamptz)
      AND (%(end)s::timestamptz IS NULL OR d.time < %(end)s::timestamptz)
), counted AS (
    SELECT task_id, camera_id, time, seconds, count(*) AS people FROM seen GROUP BY 1, 2, 3, 4
), means AS (
    SELECT date_bin(%(bucket)s::interval, time, '2000-01-01 00:00Z') AS bucket, camera_id,
           sum(people * seconds) / extract(epoch FROM %(bucket)s::interval) AS mean, max(people) AS peak
    FROM counted GROUP BY 1, 2
), distinct_people AS (
    SELECT date_bin(%(bucket)s::interval, time, '2000-01-01 00:00Z') AS bucket, camera_id,
           count(DISTINCT (task_id, who)) AS people
    FROM seen GROUP BY 1, 2
)
SELECT m.bucket, m.camera_id, m.mean::float8, m.peak, p.people
FROM means m JOIN distinct_people p ON p.bucket = m.bucket AND p.camera_id IS NOT DISTINCT FROM m.camera_id
ORDER BY 1, 2 LIMIT %(limit)s""").format(parts=PARTS, in_part=IN_PART)

# What is added up by minutes cannot be parted within one.
_MINUTES = sql.SQL("""
WITH {parts}, minutes AS (
    SELECT DISTINCT m.task_id, m.camera_id, m.minute, m.sightings, p.seconds
    FROM parts p JOIN sightings_by_minute m ON (m.task_id, m.camera_id) = (p.task_id, p.camera_id)
     AND m.minute + interval '1 minute' > lower(p.span) AND m.minute < upper(p.span)
)
SELECT date_bin(%(bucket)s::interval, minute, '2000-01-01 00:00Z'), camera_id,
       sum(sightings * seconds) / extract(epoch FROM %(bucket)s::interval)::float8, NULL::int, NULL::int
FROM minutes
WHERE (%(start)s::timestamptz IS NULL OR minute >= %(start)s::timestamptz)
  AND (%(end)s::timestamptz IS NULL OR minute < %(end)s::timestamptz)
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(limit)s""").format(parts=PARTS)


class By(StrEnum):
    """What is counted apart."""

    ENVIRONMENT = "environment"
    CAMERA = "camera"


@dataclass(frozen=True, slots=True)
class Occupancy:
    """One stretch of time, of one camera or of all together."""

    time: datetime
    """When it begins."""
    camera_id: str | None
    mean: float
    """People in view at a time, over the whole stretch."""
    peak: int | None
    """Most people at one tick; None where only means are known."""
    people: int | None
    """Different people; None where only means are known."""


async def occupancy(pool: Pool, scope: Scope, bucket_s: float, by: By, limit: int) -> list[Occupancy]:
    """Stretches of ``bucket_s`` in which anybody was seen, in time order; somebody seen by several cameras counts once.

    Raises:
        HistoryError: the database does not answer, or not in time.
    """
    values = {"by_camera": by is By.CAMERA, "bucket": f"{bucket_s} seconds", "limit": limit}
    async with transaction(pool, "count people over time") as connection:
        scope = await narrowed(connection, scope)
        rows = await (await connection.execute(_OCCUPANCY, {**scope.values(), **values})).fetchall()
    return [Occupancy(*row) for row in rows]


async def mean_of_cameras(pool: Pool, scope: Scope, minutes: int, limit: int) -> list[Occupancy]:
    """The means of each camera alone, over whole minutes: with TimescaleDB read from what is added up already.

    Raises:
        HistoryError: the database does not answer, or not in time.
    """
    values = {**scope.values(), "bucket": f"{minutes} minutes", "limit": limit}
    async with transaction(pool, "read how many people there were") as connection:
        rows = await (await connection.execute(_MINUTES, values)).fetchall()
    return [Occupancy(*row) for row in rows]
