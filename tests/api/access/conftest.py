"""The API with access control on, and tokens for it."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest
import pytest_asyncio

from api.access.principal import Role
from api.access.tokens import TokenStore
from orchestrator.history.pool import open_pool
from orchestrator.history.schema import ensure_schema

KEY = "k" * 32


async def until_prepared(client):
    """Waits until the API has made its tables."""
    async with asyncio.timeout(20):
        while (await client.get("/health")).json()["components"]["postgres"]["status"] != "up":
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def guarded(live):
    """Settings of an API with access control."""
    return live(access="on", ticket_key=KEY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens(guarded):
    async with open_pool(guarded) as pool:
        await ensure_schema(pool)
        yield TokenStore(pool)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(guarded, serve, tokens):
    async with serve(guarded) as client:
        await until_prepared(client)
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bearer(tokens):
    """Makes a token and gives its header."""
    numbers = itertools.count(1)

    async def make(role=Role.OPERATOR, environments=None, lifetime=timedelta(minutes=5)):
        text, _ = await tokens.make(f"test {next(numbers)}", role, environments, lifetime)
        return {"Authorization": f"Bearer {text}"}

    return make


@pytest.fixture(scope="module")
def start(api):
    """Starts a task in the campus as whoever the headers name; gives the answer."""

    async def start(headers):
        answer = await api.post("/api/v1/processing-tasks/start", json={"environment_id": "campus"}, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()

    return start
