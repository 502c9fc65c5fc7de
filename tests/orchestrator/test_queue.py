"""Jobs and their redelivery, with procrastinate on a real PostgreSQL and a worker process that is really killed."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import procrastinate
import pytest

from orchestrator.errors import HistoryError, InferenceError, VideoError
from orchestrator.history.pool import Pool, transaction
from orchestrator.queue import MAX_DEATHS, consume, create_queue, enqueue, retry_stalled
from orchestrator.settings import Settings
from orchestrator.tasks import Task, TaskStatus, TaskStore

pytestmark = pytest.mark.servers

Handler = Callable[[str], Awaitable[None]]
DEADLINE_S = 20.0


@asynccontextmanager
async def working(settings: Settings, handler: Handler) -> AsyncIterator[procrastinate.App]:
    queue = create_queue(settings, handler)
    async with queue.open_async():
        consumer = asyncio.create_task(consume(queue, settings))
        try:
            yield queue
        finally:
            consumer.cancel()
            with suppress(asyncio.CancelledError):
                await consumer


async def queued_task(store: TaskStore, settings: Settings) -> Task:
    queue = create_queue(settings, None)
    async with queue.open_async():
        return await store.create(
            "campus", max_active=8, in_transaction=lambda connection, task_id: enqueue(queue, task_id, connection)
        )


async def jobs(pool: Pool) -> list[tuple[str, int, bool]]:
    """State, attempts and whether it waits for a later time, of every job."""
    async with transaction(pool, "look at the jobs") as connection:
        cursor = await connection.execute(
            "SELECT status::text, attempts, coalesce(scheduled_at > now(), false) FROM procrastinate_jobs ORDER BY id"
        )
        return list(await cursor.fetchall())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(round(DEADLINE_S / 0.02)):
        if await condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not come to that in time")


def ending(store: TaskStore, ran: asyncio.Queue[str]) -> Handler:
    """Ends every task and notes it."""

    async def handler(task_id: str) -> None:
        await store.cancel(task_id)
        await ran.put(task_id)

    return handler


async def test_a_job_runs_once_and_is_gone(store: TaskStore, pool: Pool, database_settings: Settings) -> None:
    ran: asyncio.Queue[str] = asyncio.Queue()
    async with working(database_settings, ending(store, ran)):
        task = await queued_task(store, database_settings)
        assert await asyncio.wait_for(ran.get(), DEADLINE_S) == task.id

        async def done() -> bool:
            return not await jobs(pool)

        await until(done)
    assert ran.empty()


async def test_a_job_whose_task_is_over_does_nothing(store: TaskStore, pool: Pool, database_settings: Settings) -> None:
    async def handler(task_id: str) -> None:
        pytest.fail("the task was cancelled before")

    task = await queued_task(store, database_settings)
    await store.cancel(task.id)
    async with working(database_settings, handler):

        async def done() -> bool:
            return not await jobs(pool)

        await until(done)


async def test_row_and_job_come_together_or_not_at_all(
    store: TaskStore, pool: Pool, database_settings: Settings
) -> None:
    queue = create_queue(database_settings, None)

    async def add_and_break(connection: object, task_id: str) -> None:
        await enqueue(queue, task_id, connection)  # type: ignore[arg-type]
        raise HistoryError("broken")

    async with queue.open_async():
        with pytest.raises(HistoryError, match="broken"):
            await store.create("campus", max_active=8, in_transaction=add_and_break)
    assert await jobs(pool) == []


async def test_a_passing_failure_is_tried_again_later(
    store: TaskStore, pool: Pool, database_settings: Settings
) -> None:
    async def handler(task_id: str) -> None:
        raise InferenceError("Triton is away")

    task = await queued_task(store, database_settings)
    async with working(database_settings, handler):

        async def waits() -> bool:
            return await jobs(pool) == [("todo", 1, True)]

        await until(waits)
    assert (await store.get(task.id)).status is TaskStatus.QUEUED


async def jobs_after(store: TaskStore, pool: Pool, settings: Settings, handler: Handler) -> list[tuple[str, int, bool]]:
    """Lets the waiting job run once, at once."""
    async with transaction(pool, "wait for nothing") as connection:
        await connection.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL")
    before = (await jobs(pool))[0][1]
    async with working(settings, handler):

        async def ran() -> bool:
            return (await jobs(pool))[0][1] > before

        await until(ran)
    return await jobs(pool)


async def test_passing_failures_are_counted_anew_once_a_batch_is_completed(
    store: TaskStore, pool: Pool, database_settings: Settings
) -> None:
    completed = iter((0, 0, 0, 1, 1, 1, 1))

    async def handler(task_id: str) -> None:
        await store.update_progress(task_id, completed_sub_video_batches=next(completed))
        raise InferenceError("Triton is away")

    task = await queued_task(store, database_settings)
    for _ in range(6):
        ((state, _, later),) = await jobs_after(store, pool, database_settings, handler)
        assert (state, later) == ("todo", True)
    ((state, *_),) = await jobs_after(store, pool, database_settings, handler)
    assert state == "failed"
    assert (await store.get(task.id)).details["error"] == "Triton is away"


async def test_a_worker_that_is_stopped_uses_up_no_attempt(
    store: TaskStore, pool: Pool, database_settings: Settings
) -> None:
    async def failing(task_id: str) -> None:
        raise InferenceError("Triton is away")

    await queued_task(store, database_settings)
    async with transaction(pool, "as after many deploys") as connection:
        await connection.execute("UPDATE procrastinate_jobs SET attempts = 20")
    ((state, _, later),) = await jobs_after(store, pool, database_settings, failing)
    assert (state, later) == ("todo", True)


async def test_a_lasting_failure_fails_the_task(store: TaskStore, pool: Pool, database_settings: Settings) -> None:
    async def handler(task_id: str) -> None:
        raise VideoError("sub_video_01.mp4", "not a video")

    task = await queued_task(store, database_settings)
    async with working(database_settings, handler):

        async def failed() -> bool:
            return (await jobs(pool))[0][0] == "failed"

        await until(failed)
    stored = await store.get(task.id)
    assert stored.status is TaskStatus.FAILED
    assert stored.details["error"] == "sub_video_01.mp4: not a video"


async def test_a_stopped_workers_job_goes_back(store: TaskStore, pool: Pool, database_settings: Settings) -> None:
    started = asyncio.Event()

    async def handler(task_id: str) -> None:
        started.set()
        await asyncio.Event().wait()

    await queued_task(store, database_settings)
    async with working(database_settings, handler):
        await asyncio.wait_for(started.wait(), DEADLINE_S)
    assert await jobs(pool) == [("todo", 1, False)]


WORKER = """
    import asyncio, sys
    from orchestrator.queue import consume, create_queue
    from orchestrator.settings import load_settings

    async def handler(task_id):
        print(task_id, flush=True)
        await asyncio.Event().wait()

    async def main():
        settings = load_settings(_env_file=None, postgres_dsn=sys.argv[1], worker_heartbeat_s=0.2)
        queue = create_queue(settings, handler)
        async with queue.open_async():
            await consume(queue, settings)

    asyncio.run(main())
"""


async def test_a_killed_workers_job_is_redelivered(store: TaskStore, pool: Pool, database_settings: Settings) -> None:
    task = await queued_task(store, database_settings)
    dsn = database_settings.postgres_dsn.get_secret_value()
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(WORKER), dsn),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert worker.stdout is not None
        line = await asyncio.wait_for(worker.stdout.readline(), DEADLINE_S)
        assert line.decode().strip() == task.id
        assert await jobs(pool) == [("doing", 0, False)]
    finally:
        worker.kill()
        await worker.communicate()
    ran: asyncio.Queue[str] = asyncio.Queue()
    async with working(database_settings, ending(store, ran)):
        assert await asyncio.wait_for(ran.get(), DEADLINE_S) == task.id


async def test_a_task_that_kills_its_workers_is_given_up(
    store: TaskStore, pool: Pool, database_settings: Settings
) -> None:
    task = await queued_task(store, database_settings)
    async with transaction(pool, "prepare a test") as connection:
        await connection.execute("UPDATE procrastinate_jobs SET status = 'doing', attempts = 99")
        await connection.execute("UPDATE tasks SET deaths = %s", (MAX_DEATHS - 1,))
    queue = create_queue(database_settings, None)
    async with queue.open_async():
        assert await retry_stalled(queue, database_settings) == 1
        assert await retry_stalled(queue, database_settings) == 0
    assert (await store.get(task.id)).status is TaskStatus.FAILED


async def test_a_task_that_lost_its_job_gets_one(store: TaskStore, pool: Pool, database_settings: Settings) -> None:
    lost, over = [await store.create("campus", max_active=8) for _ in range(2)]
    await store.cancel(over.id)
    queue = create_queue(database_settings, None)
    async with queue.open_async():
        assert await retry_stalled(queue, database_settings) == 1
        assert await retry_stalled(queue, database_settings) == 0
    ran: asyncio.Queue[str] = asyncio.Queue()
    async with working(database_settings, ending(store, ran)):
        assert await asyncio.wait_for(ran.get(), DEADLINE_S) == lost.id


async def test_a_worker_outlives_its_connections(store: TaskStore, pool: Pool, database_settings: Settings) -> None:
    ran: asyncio.Queue[str] = asyncio.Queue()
    async with working(database_settings, ending(store, ran)):
        await queued_task(store, database_settings)
        await asyncio.wait_for(ran.get(), DEADLINE_S)
        async with transaction(pool, "cut all other connections") as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        second = await queued_task(store, database_settings)
        assert await asyncio.wait_for(ran.get(), DEADLINE_S) == second.id


async def test_a_database_that_is_away_is_an_error_of_history(database_settings: Settings) -> None:
    queue = create_queue(database_settings, None)
    async with queue.open_async():
        await queue.connector.pool.close()  # type: ignore[attr-defined]
        with pytest.raises(HistoryError, match="look for stalled jobs"):
            await retry_stalled(queue, database_settings)
