"""Who was seen in a task: people, and for each the stretches of time in which a camera saw them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from orchestrator.history.pool import Pool, transaction
from orchestrator.history.queries import task_key

_PAGE: LiteralString = """
SELECT global_id, min(first_frame) FROM tracklets
WHERE task_id = %(task_id)s::uuid AND global_id IS NOT NULL
GROUP BY global_id
HAVING %(frame)s::int IS NULL OR (min(first_frame), global_id) > (%(frame)s::int, %(global_id)s::text)
ORDER BY 2, 1 LIMIT %(limit)s"""

_STRETCHES: LiteralString = """
SELECT global_id, camera_id, track_id, first_frame, last_frame, first_time, last_time FROM tracklets
WHERE task_id = %s::uuid AND global_id = ANY(%s)
ORDER BY first_frame, camera_id, track_id"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """One track: a camera saw a person from one frame to another, both inclusive."""

    camera_id: str
    track_id: int
    first_frame: int
    last_frame: int
    first_time: datetime
    last_time: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, with every stretch in which a camera saw them, in time order."""

    global_id: str
    stretches: list[Stretch]


async def people_of_task(
    pool: Pool, task_id: str, limit: int, after: tuple[int, str] | None = None
) -> tuple[Person, ...]:
    """At most ``limit`` people by the frame at which they were first seen, from behind ``after`` (frame, global id).

    Raises:
        UnknownTaskError: ``task_id`` is no task id.
        HistoryError: the database does not answer.
    """
    key = task_key(task_id)
    frame, name = after or (None, None)
    async with transaction(pool, "list the people of a task") as connection:
        page = {"task_id": key, "frame": frame, "global_id": name, "limit": limit}
        names = [row[0] for row in await (await connection.execute(_PAGE, page)).fetchall()]
        rows = await (await connection.execute(_STRETCHES, (key, names))).fetchall()
    stretches: dict[str, list[Stretch]] = {name: [] for name in names}
    for name, *values in rows:
        stretches[name].append(Stretch(*values))
    return tuple(Person(name, found) for name, found in stretches.items())
