"""When the rows of a task or a person were, from small tables.

A question that gives times as values is planned with, and locks, the partitions of these days alone; one that names a
task or a person only would be with those of every day that history holds.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import LiteralString, NamedTuple

from orchestrator.history.pool import Connection
from orchestrator.history.scope import Scope

# Tracklets know what has a checkpoint, sub-videos what is under way; where there are none nobody knows.
_OF_TASK: LiteralString = """
SELECT LEAST(files.first, seen.first), GREATEST(files.last, seen.last) + interval '1 second'
FROM (
    SELECT min(first_time) AS first, max(first_time + frames / rate * interval '1 second') AS last
    FROM sub_videos WHERE task_id = %(task_id)s::uuid
) AS files, (
    SELECT min(first_time) AS first, max(last_time) AS last FROM tracklets WHERE task_id = %(task_id)s::uuid
) AS seen
WHERE files.first IS NOT NULL"""

_OF_PERSON: LiteralString = """
SELECT min(first_time), max(last_time) + interval '1 second' FROM tracklets
WHERE global_id = %(global_id)s AND (%(task_id)s::uuid IS NULL OR task_id = %(task_id)s::uuid)
  AND (%(environments)s::text[] IS NULL
    OR task_id IN (SELECT id FROM tasks WHERE environment_id = ANY(%(environments)s::text[])))"""


class Extent(NamedTuple):
    """From ``start`` to before ``end``; None for no known bound."""

    start: datetime | None
    end: datetime | None

    def within(self, start: datetime | None, end: datetime | None) -> Extent:
        """The part of it that lies in another one."""
        return Extent(
            max((each for each in (self.start, start) if each is not None), default=None),
            min((each for each in (self.end, end) if each is not None), default=None),
        )


async def extent_of_task(connection: Connection, task_id: str) -> Extent:
    """What holds all rows of a task, those of a batch under way too."""
    row = await (await connection.execute(_OF_TASK, {"task_id": task_id})).fetchone()
    return Extent(None, None) if row is None else Extent(*row)


async def extent_of_person(
    connection: Connection, global_id: str, task_id: str | None, environments: Collection[str] | None
) -> Extent | None:
    """What holds all rows of a person; None where nobody has this id."""
    theirs = None if environments is None else sorted(environments)
    values = {"global_id": global_id, "task_id": task_id, "environments": theirs}
    row = await (await connection.execute(_OF_PERSON, values)).fetchone()
    return None if row is None or row[0] is None else Extent(*row)


async def narrowed(connection: Connection, scope: Scope) -> Scope:
    """The same scope with the bounds that its task gives it."""
    if scope.task_id is None:
        return scope
    start, end = (await extent_of_task(connection, scope.task_id)).within(scope.start, scope.end)
    return replace(scope, start=start, end=end)
