"""A database with all tables, empty at the start of every test, and what stands on it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from demo.servers.postgres import create_database, drop_database
from orchestrator.history.pool import Pool, open_pool, transaction
from orchestrator.history.schema import ensure_schema
from orchestrator.settings import Settings, load_settings
from orchestrator.tasks import TaskStore


@pytest.fixture(scope="session")
def shared_dsn(backends: Any) -> Iterator[str]:
    """One database for all tests: making the tables takes longer than most tests."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = backends.postgres.dsn_of("postgres")
    backends.call(create_database(admin, name))
    yield backends.postgres.dsn_of(name)
    backends.call(drop_database(admin, name))


@pytest.fixture
def database_settings(shared_dsn: str) -> Settings:
    return load_settings(_env_file=None, postgres_dsn=shared_dsn, postgres_timeout_s=5, worker_heartbeat_s=0.2)


@pytest.fixture
async def pool(database_settings: Settings) -> AsyncIterator[Pool]:
    async with open_pool(database_settings) as opened:
        await ensure_schema(opened)
        async with transaction(opened, "empty the tables") as connection:
            await connection.execute(
                "TRUNCATE tasks, detections, embeddings, procrastinate_jobs, procrastinate_workers CASCADE"
            )
        yield opened


@pytest.fixture
def store(pool: Pool) -> TaskStore:
    return TaskStore(pool)
