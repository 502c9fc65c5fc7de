"""A PostgreSQL with SpotOn's tables for benchmarks of history, as durable as in production, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from demo.servers.postgres import Postgres
from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from orchestrator.history.pool import Pool, open_pool
from orchestrator.history.schema import ensure_schema
from orchestrator.settings import load_settings

PATIENCE_S = 900.0


@asynccontextmanager
async def fresh_database(folder: Path) -> AsyncIterator[Pool]:
    """Empty tables; the server ends with the block, its folder stays."""
    state = StateDirectory(folder)
    postgres = Postgres(state)
    async with Supervisor(state) as supervisor:
        await supervisor.start([postgres])
        settings = load_settings(_env_file=None, postgres_dsn=postgres.dsn, postgres_timeout_s=PATIENCE_S)
        async with open_pool(settings) as pool:
            await ensure_schema(pool)
            async with pool.connection() as connection:
                await connection.execute("TRUNCATE tasks, detections, embeddings, procrastinate_jobs CASCADE")
            yield pool
