"""Tasks handed to workers: procrastinate on the same PostgreSQL.

A job is one task id. A worker that dies stops its heartbeat, and whoever still works puts its job back in the queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import procrastinate
from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from orchestrator.errors import HistoryError, IllegalTransitionError, SpotOnError, UnknownTaskError
from orchestrator.history.pool import Connection, Pool, connection_options, transaction
from orchestrator.settings import Settings
from orchestrator.tasks import ACTIVE, TaskStatus, TaskStore

QUEUE = "processing"
JOB = "process_videos"

Handler = Callable[[str], Awaitable[None]]
"""Runs the task with the given id; a retryable ``SpotOnError`` that it raises asks for another try later."""

RETRY_DELAYS_S = (2, 8, 30)
"""Waits before a job that failed for a passing reason runs again; after the last one the task has failed. Counted anew
from every batch that is completed, so that a long task outlives any number of failures that pass."""
MAX_DEATHS = 20
"""A task that takes its worker down with it so often within one batch is given up; a worker that stops is no death."""
_HEARTBEATS_MISSED = 5
"""A worker that is this many heartbeats late is dead; one whose event loop hung for a moment is not."""
_STOP_GRACE_S = 1.0
"""What a running job gets to end by itself when its worker stops."""
_SWEEP_LOCK = 0x53504F54_0004

# A worker that was thought dead may come back and finish the job that another one has by now.
_TASKS_WITHOUT_JOB = """
SELECT id::text FROM tasks
WHERE status = ANY(%s)
  AND NOT EXISTS (SELECT FROM procrastinate_jobs WHERE lock = tasks.id::text AND status IN ('todo', 'doing'))"""

logger = logging.getLogger(__name__)


def create_queue(settings: Settings, handler: Handler | None) -> procrastinate.App:
    """The job queue, to be opened by ``async with queue.open_async()``.

    With ``handler`` None the process only adds jobs; a worker gives what is to be done with a task.
    """
    connector = PsycopgConnector(
        pool_factory=Pool,
        conninfo=settings.postgres_dsn.get_secret_value(),
        kwargs=connection_options(settings),
        min_size=1,
        max_size=4,
        timeout=settings.postgres_timeout_s,
    )
    queue = procrastinate.App(connector=connector)

    @queue.task(name=JOB, queue=QUEUE, retry=_Redelivery())
    async def process_videos(task_id: str) -> None:
        if handler is None:
            raise RuntimeError("this process adds jobs and runs none")
        await _run_job(TaskStore(_pool_of(queue)), handler, task_id)

    return queue


async def enqueue(queue: procrastinate.App, task_id: str, connection: Connection | None = None) -> None:
    """Adds the job of a task; inside the transaction of ``connection`` if one is given.

    Raises:
        HistoryError: the database cannot be reached or refused.
    """
    job = queue.configure_task(JOB, queue=QUEUE, lock=task_id, connection=connection)
    try:
        await job.defer_async(task_id=task_id)
    except ConnectorException as error:
        raise HistoryError(f"cannot add a job for task {task_id}: {error.__cause__ or error}") from error


async def consume(queue: procrastinate.App, settings: Settings) -> None:
    """Runs jobs until cancelled; then gives running ones a moment to end and puts the others back in the queue.

    A database that goes away ends procrastinate's worker; a new one is started until the database is back.
    """
    sweeper = asyncio.create_task(_sweep(queue, settings), name="sweep stalled jobs")
    try:
        while True:
            await _run_worker(queue, settings)
            await asyncio.sleep(settings.worker_heartbeat_s)
    finally:
        sweeper.cancel()
        await asyncio.gather(sweeper, return_exceptions=True)


async def retry_stalled(queue: procrastinate.App, settings: Settings) -> int:
    """Puts the jobs of dead workers back in the queue, and gives tasks that lost their job a new one.

    One process sweeps at a time: a second one with an old list would take a job away from its new worker.

    Returns:
        How many jobs of dead workers, and tasks without a job, there were.

    Raises:
        HistoryError: the database cannot be reached or refused.
    """
    pool, jobs = _pool_of(queue), queue.job_manager
    try:
        async with transaction(pool, "look for stalled jobs") as connection:
            cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_SWEEP_LOCK,))
            if await cursor.fetchone() != (True,):
                return 0
            stalled = list(await jobs.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=_stalled_s(settings)))
            for job in stalled:
                await _redeliver(queue, TaskStore(pool), job)
            cursor = await connection.execute(_TASKS_WITHOUT_JOB, (sorted(ACTIVE),))
            orphans = [task_id for (task_id,) in await cursor.fetchall()]
    except ConnectorException as error:
        raise HistoryError(f"cannot look for stalled jobs: {error.__cause__ or error}") from error
    for task_id in orphans:
        logger.warning("task %s has no job; it gets a new one", task_id)
        await enqueue(queue, task_id)
    return len(stalled) + len(orphans)


class _RunLaterError(Exception):
    """A job failed for a passing reason, its cause."""

    def __init__(self, delay_s: int) -> None:
        super().__init__(f"it runs again in {delay_s} s")
        self.delay_s = delay_s


class _Redelivery(BaseRetryStrategy):
    """A stopped worker's job goes back at once, a passing failure waits, anything else is final."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:  # noqa: ARG002 (what it is called with)
        """When the job runs again; None for never."""
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, _RunLaterError):
            return RetryDecision(retry_in={"seconds": exception.delay_s})
        return None


async def _run_job(store: TaskStore, handler: Handler, task_id: str) -> None:
    """A job whose task is over, or gone, is nothing to do."""
    try:
        if (await store.get(task_id)).is_final:
            return
    except UnknownTaskError as error:
        logger.warning("job without a task: %s", error)
        return
    try:
        await handler(task_id)
    except IllegalTransitionError as error:
        logger.warning("left to another worker: %s", error)
    except Exception as error:
        if (delay_s := await _delay_s(store, task_id, error)) is not None:
            raise _RunLaterError(delay_s) from error
        await _give_up(store, task_id, str(error))
        raise


async def _delay_s(store: TaskStore, task_id: str, error: Exception) -> int | None:
    if not (isinstance(error, SpotOnError) and error.retryable):
        return None
    try:
        failures = await store.count_failure(task_id)
    except HistoryError:  # which may be the failure itself: not counted, but waited for
        return RETRY_DELAYS_S[-1]
    return RETRY_DELAYS_S[max(failures, 1) - 1] if failures <= len(RETRY_DELAYS_S) else None


async def _redeliver(queue: procrastinate.App, store: TaskStore, job: Job) -> None:
    task_id = str(job.task_kwargs["task_id"])
    deaths = await store.count_death(task_id)
    if deaths >= MAX_DEATHS:
        await _give_up(store, task_id, f"its workers died {deaths} times within one batch")
        await queue.job_manager.finish_job(job, Status.FAILED, delete_job=False)
    else:
        logger.warning("the worker of task %s is gone; its job is queued again", task_id)
        await queue.job_manager.retry_job(job)


async def _give_up(store: TaskStore, task_id: str, sentence: str) -> None:
    logger.error("task %s failed: %s", task_id, sentence)
    with suppress(IllegalTransitionError):
        await store.advance(task_id, TaskStatus.FAILED, current_step="failed", details={"error": sentence})


async def _run_worker(queue: procrastinate.App, settings: Settings) -> None:
    try:
        await queue.run_worker_async(
            queues=[QUEUE],
            concurrency=settings.worker_concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=settings.worker_heartbeat_s,
            update_heartbeat_interval=settings.worker_heartbeat_s,
            stalled_worker_timeout=_stalled_s(settings),
            shutdown_graceful_timeout=_STOP_GRACE_S,
            delete_jobs="successful",
        )
    except ConnectorException as error:
        logger.warning("the queue is interrupted: %s", error.__cause__ or error)


async def _sweep(queue: procrastinate.App, settings: Settings) -> None:
    while True:
        try:
            await retry_stalled(queue, settings)
        except HistoryError as error:
            logger.warning("%s", error)
        await asyncio.sleep(_stalled_s(settings))


def _stalled_s(settings: Settings) -> float:
    return _HEARTBEATS_MISSED * settings.worker_heartbeat_s


def _pool_of(queue: procrastinate.App) -> Pool:
    connector = queue.connector
    assert isinstance(connector, PsycopgConnector)
    assert isinstance(connector.pool, Pool)
    return connector.pool
