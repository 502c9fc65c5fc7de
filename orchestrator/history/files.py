"""Which files a task has processed and when their frames were, so that a recording processed twice counts once.

Questions about an environment are answered from ``PARTS``: of every camera's file the latest completed task counts, and
where none has completed, the latest that got through it. A file is known by its ETag, so a new recording under an old
name is another one. A question about one task is about all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import LiteralString

from psycopg import sql

from orchestrator.history.pool import Connection, Pool, transaction

_FILES = sql.SQL("""
SELECT f.task_id, f.camera_id, f.first_time, f.end_time,
       first_value(f.task_id) OVER (
           PARTITION BY tasks.environment_id, f.camera_id, f.etag
           ORDER BY tasks.status = 'COMPLETED' DESC, tasks.created_at DESC, tasks.id
       ) AS counts
FROM task_files f JOIN tasks ON tasks.id = f.task_id""")

PARTS = sql.SQL("""
files AS (
    {files}
    WHERE tasks.environment_id = %(environment_id)s AND (%(task_id)s::uuid IS NULL OR tasks.id = %(task_id)s::uuid)
), parts AS MATERIALIZED (
    SELECT f.task_id, f.camera_id, k.seconds, unnest(range_agg(tstzrange(f.first_time, f.end_time))) AS span
    FROM files f JOIN task_ticks k USING (task_id) WHERE f.task_id = f.counts GROUP BY 1, 2, 3
)""").format(files=_FILES)
"""Parts of a ``WITH``: task, camera, seconds of a tick and span of time of what counts in a ``Scope``."""

_SUPERSEDED = sql.SQL("""
SELECT task_id::text, camera_id, range_agg(tstzrange(first_time, end_time))::text FROM (
    {files} WHERE %(environments)s::text[] IS NULL OR tasks.environment_id = ANY(%(environments)s::text[])
) AS files WHERE task_id <> counts GROUP BY 1, 2""").format(files=_FILES)

IN_PART = sql.SQL("""
(d.task_id, d.camera_id) = (p.task_id, p.camera_id) AND d.time >= lower(p.span) AND d.time < upper(p.span)""")
"""When a detection ``d`` is of a part ``p``."""

_STORE: LiteralString = """
INSERT INTO task_files (task_id, camera_id, batch, etag, first_time, end_time)
SELECT %s, camera_id, %s, etag, %s, %s FROM unnest(%s::text[], %s::text[]) AS given (camera_id, etag)
ON CONFLICT (task_id, camera_id, batch) DO UPDATE
SET etag = EXCLUDED.etag, first_time = EXCLUDED.first_time, end_time = EXCLUDED.end_time"""

_TICKS: LiteralString = """
SELECT count(*), max(ticks) FROM (
    SELECT s.camera_id, max(s.frames) AS ticks
    FROM unnest(%s::text[], %s::text[]) AS given (camera_id, etag) JOIN task_files f USING (camera_id, etag)
    JOIN sub_videos s USING (task_id, camera_id, batch)
    WHERE s.batch = %s AND s.rate = %s GROUP BY 1
) AS known"""


async def known_ticks(pool: Pool, batch: int, etags: Mapping[str, str], rate: float) -> int | None:
    """How many ticks a batch of these files lasts at ``rate`` ticks a second, if tasks have processed all of them.

    Raises:
        HistoryError: the database does not answer.
    """
    async with transaction(pool, "look for ticks that are known") as connection:
        values = (list(etags), list(etags.values()), batch, rate)
        row = await (await connection.execute(_TICKS, values)).fetchone()
    return int(row[1]) if row is not None and row[0] == len(etags) else None


async def superseded(connection: Connection, environments: Collection[str] | None) -> Sequence[tuple[str, str, str]]:
    """What does not count beside ``PARTS``: task, camera, and spans of time as a ``tstzmultirange`` is written."""
    values = {"environments": None if environments is None else sorted(environments)}
    return await (await connection.execute(_SUPERSEDED, values)).fetchall()


async def store_files(
    connection: Connection, task_id: str, batch: int, etags: Mapping[str, str], first: datetime, end: datetime
) -> None:
    """Writes down what a batch was made of: the ETag of each camera's file; ``end`` is when the next batch begins."""
    await connection.execute(_STORE, (task_id, batch, first, end, list(etags), list(etags.values())))
