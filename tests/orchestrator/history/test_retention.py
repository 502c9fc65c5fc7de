"""What is too old goes, day by day, and nothing that is in use."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.history import retention
from orchestrator.history.partitions import drop_a_day_before
from orchestrator.history.pool import Pool, transaction
from orchestrator.history.retention import forget, keep_to_policy
from orchestrator.history.writer import HistoryWriter
from orchestrator.tasks import Task, TaskStatus, TaskStore
from tests.orchestrator.history.test_writer import MODEL, run_batch, take

pytestmark = pytest.mark.servers

DAYS = [datetime(2026, 3, day, 9, tzinfo=UTC) for day in (1, 2, 3)]


async def record(pool: Pool, store: TaskStore, when: datetime, *, ended: bool = True) -> Task:
    task = await take(store, (await store.create("campus", max_active=100)).id)
    async with HistoryWriter(pool, task, MODEL, recorded_from=when) as writer:
        await run_batch(writer, 0, range(12))
    await store.update_progress(task.id, recorded_from=when)
    if ended:
        await store.advance(task.id, TaskStatus.FAILED)
    return task


async def ask(pool: Pool, query: str) -> list[Any]:
    async with transaction(pool, "look") as connection:
        return [value for (value,) in await (await connection.execute(query.encode())).fetchall()]


async def age(pool: Pool, task: Task, when: datetime) -> None:
    async with transaction(pool, "pretend") as connection:
        await connection.execute("UPDATE tasks SET updated_at = %s WHERE id = %s", (when, task.id))


async def test_whole_days_before_a_moment_are_dropped(pool: Pool, store: TaskStore) -> None:
    tasks = [await record(pool, store, when) for when in DAYS]
    await age(pool, tasks[0], DAYS[0])
    dropped = await forget(pool, DAYS[1] + timedelta(hours=1))
    assert {"detections_20260301", "embeddings_20260301"} <= set(dropped)
    assert "detections_20260302" not in dropped, "that day has not ended by then"
    days = await ask(pool, "SELECT DISTINCT time::date::text FROM detections ORDER BY 1")
    assert days == ["2026-03-02", "2026-03-03"]
    assert len(await ask(pool, "SELECT DISTINCT task_id FROM tracklets")) == 2
    assert set(await ask(pool, "SELECT id::text FROM tasks")) == {task.id for task in tasks[1:]}
    assert await forget(pool, DAYS[1]) == []
    again = await record(pool, store, DAYS[0])
    assert len(await ask(pool, f"SELECT 1 FROM detections WHERE task_id = '{again.id}'")) == 12 * 9


async def test_days_are_dropped_one_by_one(pool: Pool, store: TaskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, the locks of two years of days do not fit into the server's memory for them."""
    for when in DAYS:
        await record(pool, store, when)
    steps: list[list[str]] = []

    async def noted(*asked: Any) -> list[str]:
        steps.append(await drop_a_day_before(*asked))
        return steps[-1]

    monkeypatch.setattr(retention, "drop_a_day_before", noted)
    await forget(pool, DAYS[2] + timedelta(days=30))
    days = [{name.rpartition("_")[2] for name in step} for step in steps]
    assert all(len(each) == 1 for each in days[:-1])
    assert not days[-1]
    assert days[-4:-1] == [{"20260301"}, {"20260302"}, {"20260303"}]


async def test_what_a_task_under_way_has_written_is_kept(pool: Pool, store: TaskStore) -> None:
    await record(pool, store, DAYS[0])
    await record(pool, store, DAYS[1], ended=False)
    await record(pool, store, DAYS[2])
    await forget(pool, DAYS[2] + timedelta(days=30))
    days = await ask(pool, "SELECT DISTINCT time::date::text FROM detections ORDER BY 1")
    assert days == ["2026-03-02", "2026-03-03"]


async def test_the_policy_counts_from_now(pool: Pool, store: TaskStore) -> None:
    await record(pool, store, DAYS[0])
    recent = await record(pool, store, datetime.now(UTC) - timedelta(hours=1))
    policy = asyncio.create_task(keep_to_policy(pool, days=2))
    for _ in range(100):
        if await ask(pool, "SELECT DISTINCT task_id::text FROM detections") == [recent.id]:
            break
        await asyncio.sleep(0.05)
    policy.cancel()
    await asyncio.gather(policy, return_exceptions=True)
    assert await ask(pool, "SELECT DISTINCT task_id::text FROM detections") == [recent.id]
