"""Questions by task or person touch the days that they are about, however many others there are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from orchestrator.history.extent import Extent
from orchestrator.history.paths import paths
from orchestrator.history.pool import Pool, transaction
from orchestrator.history.queries import task_tracks, trajectory
from orchestrator.history.scope import Scope
from orchestrator.history.search import Where, similar
from orchestrator.history.sub_videos import SubVideoTicks
from orchestrator.history.writer import HistoryWriter
from orchestrator.tasks import Task, TaskStore
from tests.orchestrator.history.test_writer import ETAGS, MODEL, RATE, add_tick, run_batch, take

pytestmark = pytest.mark.servers

DAYS = [datetime(2026, 3, day, 9, tzinfo=UTC) for day in (1, 2, 3)]
LOCKED = """
SELECT DISTINCT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE c.relkind = 'r' AND c.relname ~ '^(detections|embeddings)_' ORDER BY 1"""


async def recorded(pool: Pool, store: TaskStore, when: datetime) -> Task:
    task = await take(store, (await store.create("campus", max_active=100)).id)
    async with HistoryWriter(pool, task, MODEL, recorded_from=when) as writer:
        await writer.announce(0, 0, RATE, [SubVideoTicks("c01", "sub_video_01.mp4", 0, [0.0] * 12)])
        await run_batch(writer, 0, range(12))
        await writer.announce(1, 12, RATE, [SubVideoTicks("c01", "sub_video_02.mp4", 0, [0.0] * 12)])
        await writer.begin_batch(1, 12, RATE, ETAGS)
        for tick in range(12, 24):
            await add_tick(writer, tick)
    return task


async def each(found: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The rows of blocks, one by one; the question is open meanwhile."""
    async with aclosing(found) as blocks:
        async for block in blocks:
            for row in block:
                yield row


@pytest.mark.parametrize(
    ("ask", "rows"),
    [
        (lambda pool, task: each(task_tracks(pool, task)), 24 * 9),
        (lambda pool, task: each(trajectory(pool, "abc-1", task)), 12 * 3),
        (lambda pool, task: paths(pool, Scope("campus", task)), 3),
    ],
)
async def test_only_its_own_day_is_locked(
    pool: Pool, store: TaskStore, ask: Callable[[Pool, str], AsyncGenerator[Any, None]], rows: int
) -> None:
    tasks = [await recorded(pool, store, when) for when in DAYS]
    seen, locked = 0, set()
    async with aclosing(ask(pool, tasks[1].id)) as found:
        async for _ in found:
            seen += 1
            if seen > 1:
                continue
            async with transaction(pool, "look at the locks") as connection:
                locked |= {name for (name,) in await (await connection.execute(LOCKED)).fetchall()}
    assert locked == {"detections_20260302"}
    assert seen == rows


async def test_a_search_in_a_task_finds_all_of_its_people(pool: Pool, store: TaskStore) -> None:
    tasks = [await recorded(pool, store, when) for when in DAYS]
    look = np.ones(8, np.float32)
    found = await similar(pool, MODEL, look, Where(task_id=tasks[1].id), 10, -1)
    assert {each.global_id for each in found} == {"abc-0", "abc-1", "abc-2"}
    assert {each.task_id for each in found} == {tasks[1].id}


def test_an_extent_within_another() -> None:
    first, second, third = DAYS
    assert Extent(None, None).within(None, second) == Extent(None, second)
    assert Extent(first, third).within(second, None) == Extent(second, third)
    assert Extent(second, third).within(first, third + timedelta(days=1)) == Extent(second, third)
