"""The index for searches of a model whose first embeddings come to a database that has many of others."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.history.partitions import ensure_days
from orchestrator.history.pool import Pool, open_pool, transaction
from orchestrator.history.search import ensure_index
from orchestrator.settings import load_settings

pytestmark = pytest.mark.servers

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DIMENSION = 24
INDEXES = """
SELECT c.relname, i.indisvalid, c.reloptions FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relname = ANY(%s) ORDER BY 1"""
CHILDREN = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1"


async def test_it_takes_longer_than_a_statement_may_and_stops_nobody_on_other_days(pool: Pool, shared_dsn: str) -> None:
    await ensure_days(pool, FIRST, FIRST + timedelta(days=1))
    hasty = load_settings(_env_file=None, postgres_dsn=shared_dsn, postgres_timeout_s=0.2)
    async with open_pool(hasty) as impatient:
        async with transaction(pool, "write into the second day") as connection:
            await connection.execute("LOCK TABLE embeddings_20260302 IN ROW EXCLUSIVE MODE")
            making = asyncio.create_task(ensure_index(impatient, DIMENSION))
            await asyncio.sleep(1.5)
            assert not making.done(), making.exception()
            async with transaction(pool, "write into the first day") as other:
                await other.execute("LOCK TABLE embeddings_20260301 IN ROW EXCLUSIVE MODE NOWAIT")
        await asyncio.wait_for(making, 10)
        await ensure_index(impatient, DIMENSION)
    parent, days = f"embeddings_looks_{DIMENSION}", [f"embeddings_2026030{day}_looks_{DIMENSION}" for day in (1, 2)]
    async with transaction(pool, "look at the indexes") as connection:
        found = await (await connection.execute(INDEXES, ([parent, *days],))).fetchall()
        children = [name for (name,) in await (await connection.execute(CHILDREN, (parent,))).fetchall()]
    assert found == [(name, True, ["m=24", "ef_construction=200"]) for name in sorted([parent, *days])]
    assert set(days) <= set(children)
