"""A task and its state machine, kept in PostgreSQL.

Every change is one guarded UPDATE, so API and worker may race: the loser is told by ``IllegalTransitionError``.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict, Unpack

from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from orchestrator.errors import IllegalTransitionError, TooManyTasksError, UnknownTaskError
from orchestrator.history.pool import Connection, Pool, transaction


class TaskStatus(StrEnum):
    """Where a task stands."""

    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    DOWNLOADING = "DOWNLOADING"
    PROCESSING = "PROCESSING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """No transition leaves this state."""
        return self in FINAL


FINAL = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})
WORKING = frozenset({TaskStatus.INITIALIZING, TaskStatus.DOWNLOADING, TaskStatus.PROCESSING})
ACTIVE = WORKING | {TaskStatus.QUEUED, TaskStatus.PAUSED}

_STOPS = frozenset({TaskStatus.PAUSED, TaskStatus.FAILED, TaskStatus.CANCELLED})
LEGAL: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    # INITIALIZING follows any working state when a job comes back after its worker's death.
    TaskStatus.QUEUED: _STOPS | {TaskStatus.INITIALIZING},
    # COMPLETED straight from it: the former worker died after the last checkpoint.
    TaskStatus.INITIALIZING: _STOPS | {TaskStatus.INITIALIZING, TaskStatus.DOWNLOADING, TaskStatus.COMPLETED},
    TaskStatus.DOWNLOADING: _STOPS | {TaskStatus.INITIALIZING, TaskStatus.PROCESSING},
    TaskStatus.PROCESSING: _STOPS | {TaskStatus.INITIALIZING, TaskStatus.DOWNLOADING, TaskStatus.COMPLETED},
    # COMPLETED: the pause came after the last tick, so nothing was left to hold back.
    TaskStatus.PAUSED: WORKING | FINAL | {TaskStatus.QUEUED},
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
}

Query = sql.SQL | sql.Composed
Place = tuple[datetime, str]
"""Where a task stands in the list: when it was created, and its id."""

_CREATE_LOCK = 0x53504F54_0003


@dataclass(frozen=True, slots=True)
class Task:
    """One recording to be processed, as the database holds it."""

    id: str
    environment_id: str
    cameras: tuple[str, ...] | None
    """Camera ids asked for; None for all of the environment."""
    start_batch: int | None
    end_batch: int | None
    """0-based, exclusive."""
    status: TaskStatus
    progress: float
    """0..1."""
    current_step: str
    details: dict[str, Any]
    focus_global_id: str | None
    total_sub_video_batches: int | None
    completed_sub_video_batches: int
    processed_frames: int
    attempt: int
    """How often a worker has taken it; what a former attempt writes later is refused."""
    created_at: datetime
    updated_at: datetime
    recorded_from: datetime | None = None
    """When frame 0 was; fixed by the first attempt, None before it."""

    @property
    def is_final(self) -> bool:
        """Nothing more will happen to it."""
        return self.status.is_final


class Progress(TypedDict, total=False):
    """What a worker reports; absent keys stay as they are."""

    progress: float
    current_step: str
    details: Mapping[str, Any]
    """Merged into the stored object key by key."""
    total_sub_video_batches: int
    completed_sub_video_batches: int
    processed_frames: int
    recorded_from: datetime
    """Kept from the first time that it is said."""


_REPORT = sql.SQL("""
    progress = COALESCE(%(progress)s, progress),
    current_step = COALESCE(%(current_step)s, current_step),
    details = details || COALESCE(%(details)s, '{}'::jsonb),
    total_sub_video_batches = COALESCE(%(total_sub_video_batches)s, total_sub_video_batches),
    completed_sub_video_batches = COALESCE(%(completed_sub_video_batches)s, completed_sub_video_batches),
    processed_frames = COALESCE(%(processed_frames)s, processed_frames),
    recorded_from = COALESCE(recorded_from, %(recorded_from)s),
    failures = CASE WHEN %(completed_sub_video_batches)s > completed_sub_video_batches THEN 0 ELSE failures END,
    deaths = CASE WHEN %(completed_sub_video_batches)s > completed_sub_video_batches THEN 0 ELSE deaths END,
    updated_at = clock_timestamp()""")

_HELD = sql.SQL("(status = 'PAUSED' AND %(to_works)s)")
"""A worker moves on while the task is paused: the move is kept for the resume, and the task stays paused."""

_ADVANCE = sql.SQL("""
WITH moved AS (
    UPDATE tasks SET
        status = CASE WHEN {held} THEN status ELSE %(to)s END,
        paused_from = CASE WHEN {held} THEN %(to)s END,
        attempt = attempt + (%(to)s = 'INITIALIZING')::integer,
        {report}
    WHERE id = %(id)s
      AND CASE WHEN {held} THEN paused_from ELSE status END = ANY(%(sources)s)
      AND attempt = COALESCE(%(attempt)s, attempt)
    RETURNING *
), forgotten AS (
    DELETE FROM checkpoints WHERE task_id IN (SELECT id FROM moved WHERE status = ANY(%(final)s))
)
SELECT * FROM moved""").format(held=_HELD, report=_REPORT)

_UPDATE = sql.SQL("""
UPDATE tasks SET {report}
WHERE id = %(id)s AND status = ANY(%(active)s) AND attempt = COALESCE(%(attempt)s, attempt)
RETURNING *""").format(report=_REPORT)

_PAUSE = sql.SQL("""
UPDATE tasks SET status = 'PAUSED', paused_from = status, updated_at = clock_timestamp()
WHERE id = %(id)s AND status = ANY(%(sources)s)
RETURNING *""")

_RESUME = sql.SQL("""
UPDATE tasks SET status = paused_from, paused_from = NULL, updated_at = clock_timestamp()
WHERE id = %(id)s AND status = 'PAUSED'
RETURNING *""")

_FOCUS = sql.SQL("""
UPDATE tasks SET focus_global_id = %(global_id)s, updated_at = clock_timestamp()
WHERE id = %(id)s AND status = ANY(%(active)s)
RETURNING *""")

_COUNT = sql.SQL("UPDATE tasks SET {what} = {what} + 1 WHERE id = %s RETURNING {what}")

_GET = sql.SQL("SELECT * FROM tasks WHERE id = %(id)s")

_PAGE = sql.SQL("""
SELECT * FROM tasks
WHERE (%(id)s::uuid IS NULL OR (created_at, id) < (%(created_at)s::timestamptz, %(id)s::uuid))
  AND (%(environments)s::text[] IS NULL OR environment_id = ANY(%(environments)s::text[]))
ORDER BY created_at DESC, id DESC LIMIT %(limit)s""")

_INSERT = sql.SQL("""
INSERT INTO tasks (id, environment_id, cameras, start_batch, end_batch)
VALUES (%(id)s, %(environment_id)s, %(cameras)s, %(start_batch)s, %(end_batch)s)
RETURNING *""")


class TaskStore:
    """The tasks of one database. Every method may raise ``HistoryError``."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(
        self,
        environment_id: str,
        cameras: Sequence[str] | None = None,
        start_batch: int | None = None,
        end_batch: int | None = None,
        *,
        max_active: int,
        in_transaction: Callable[[Connection, str], Awaitable[object]] | None = None,
    ) -> Task:
        """Adds a queued task unless ``max_active`` are waiting or running already.

        ``in_transaction(connection, task_id)`` runs before the commit: what it writes (the job) comes with the row.

        Raises:
            TooManyTasksError: the limit is reached; nothing was written.
        """
        row = {
            "id": str(uuid.uuid4()),
            "environment_id": environment_id,
            "cameras": None if cameras is None else list(cameras),
            "start_batch": start_batch,
            "end_batch": end_batch,
        }
        async with transaction(self._pool, "create a task") as connection:
            await _refuse_over(connection, max_active)
            created = await _one(connection, _INSERT, row)
            assert created is not None
            if in_transaction is not None:
                await in_transaction(connection, created.id)
        return created

    async def get(self, task_id: str) -> Task:
        """The task as it stands.

        Raises:
            UnknownTaskError: no such task.
        """
        key = _key(task_id)
        async with transaction(self._pool, "read a task") as connection:
            task = await _one(connection, _GET, {"id": key})
        if task is None:
            raise UnknownTaskError(f"there is no task {task_id!r}")
        return task

    async def page(
        self, limit: int, before: Place | None = None, environments: Collection[str] | None = None
    ) -> tuple[Task, ...]:
        """At most ``limit`` tasks, newest first, from behind ``before``; of these environments where given.

        The place is a value and no row, so that it stays where it is when tasks come and go.
        """
        created_at, task_id = before or (None, None)
        values = {
            "limit": limit,
            "created_at": created_at,
            "id": task_id,
            "environments": None if environments is None else sorted(environments),
        }
        async with transaction(self._pool, "list the tasks") as connection:
            rows = await _rows(connection, _PAGE, values)
        return tuple(_task(row) for row in rows)

    async def advance(
        self, task_id: str, to: TaskStatus, *, attempt: int | None = None, **report: Unpack[Progress]
    ) -> Task:
        """Moves the task on, and reports with it. INITIALIZING begins a new attempt.

        A worker's move while the task is paused takes effect on resume; the task returned still says PAUSED.

        Raises:
            IllegalTransitionError: its state forbids it, or ``attempt`` is no longer the task's current one.
            UnknownTaskError: no such task.
        """
        values = {
            **_values(task_id, attempt, report),
            "to": str(to),
            "to_works": to in WORKING,
            "sources": [str(state) for state in TaskStatus if to in LEGAL[state]],
            "final": sorted(FINAL),
        }
        return await self._change(_ADVANCE, values, f"become {to}")

    async def update_progress(self, task_id: str, *, attempt: int | None = None, **report: Unpack[Progress]) -> Task:
        """Reports progress without a change of state; raises as ``advance`` does."""
        return await self._change(
            _UPDATE, {**_values(task_id, attempt, report), "active": sorted(ACTIVE)}, "report progress"
        )

    async def pause(self, task_id: str) -> Task:
        """Holds the task; raises as ``advance`` does."""
        sources = [str(state) for state in TaskStatus if TaskStatus.PAUSED in LEGAL[state]]
        return await self._change(_PAUSE, {"id": _key(task_id), "sources": sources}, "be paused")

    async def resume(self, task_id: str) -> Task:
        """Back to where it was paused, or has moved since; raises as ``advance`` does."""
        return await self._change(_RESUME, {"id": _key(task_id)}, "be resumed")

    async def cancel(self, task_id: str) -> Task:
        """Ends the task; raises as ``advance`` does."""
        return await self.advance(task_id, TaskStatus.CANCELLED, current_step="Cancelled")

    async def focus(self, task_id: str, global_id: str | None) -> Task:
        """Remembers who is being followed; raises as ``advance`` does."""
        values = {"id": _key(task_id), "global_id": global_id, "active": sorted(ACTIVE)}
        return await self._change(_FOCUS, values, "follow a person")

    async def count_failure(self, task_id: str) -> int:
        """Notes a passing failure and gives their number since a batch was last completed; 0 for an unknown task."""
        return await self._count("failures", task_id)

    async def count_death(self, task_id: str) -> int:
        """Notes that the task's worker died; else as ``count_failure``."""
        return await self._count("deaths", task_id)

    async def _count(self, what: str, task_id: str) -> int:
        async with transaction(self._pool, "count the failures of a task") as connection:
            cursor = await connection.execute(_COUNT.format(what=sql.Identifier(what)), (_key(task_id),))
            row = await cursor.fetchone()
        return 0 if row is None else int(row[0])

    async def _change(self, statement: Query, values: Mapping[str, Any], action: str) -> Task:
        async with transaction(self._pool, "change a task") as connection:
            task = await _one(connection, statement, values)
        if task is None:
            raise await self._refusal(values, action)
        return task

    async def _refusal(self, values: Mapping[str, Any], action: str) -> IllegalTransitionError:
        task = await self.get(values["id"])
        attempt = values.get("attempt")
        if attempt is not None and attempt != task.attempt:
            return IllegalTransitionError(
                f"task {task.id} cannot {action}: attempt {attempt} was replaced by attempt {task.attempt}"
            )
        return IllegalTransitionError(f"task {task.id} is {task.status} and cannot {action}")


def _key(task_id: str) -> str:
    try:
        return str(uuid.UUID(task_id))
    except ValueError:
        raise UnknownTaskError(f"there is no task {task_id!r}") from None


def _values(task_id: str, attempt: int | None, report: Progress) -> dict[str, Any]:
    values: dict[str, Any] = {name: report.get(name) for name in Progress.__annotations__}
    details = values["details"]
    return {**values, "id": _key(task_id), "attempt": attempt, "details": None if details is None else Jsonb(details)}


async def _rows(connection: Connection, statement: Query, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, values)
        return await cursor.fetchall()


async def _one(connection: Connection, statement: Query, values: Mapping[str, Any]) -> Task | None:
    rows = await _rows(connection, statement, values)
    return _task(rows[0]) if rows else None


def _task(row: Mapping[str, Any]) -> Task:
    values = {field.name: row[field.name] for field in fields(Task)}
    cameras = row["cameras"]
    values["id"] = str(row["id"])
    values["status"] = TaskStatus(row["status"])
    values["cameras"] = None if cameras is None else tuple(cameras)
    return Task(**values)


async def _refuse_over(connection: Connection, max_active: int) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATE_LOCK,))
    cursor = await connection.execute("SELECT count(*) FROM tasks WHERE status = ANY(%s)", (sorted(ACTIVE),))
    row = await cursor.fetchone()
    if row is not None and row[0] >= max_active:
        raise TooManyTasksError(f"{row[0]} tasks are waiting or running; the limit is {max_active}")
