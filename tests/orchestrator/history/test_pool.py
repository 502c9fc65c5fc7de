"""A PostgreSQL that stands still keeps nobody waiting beyond the deadline."""

from __future__ import annotations

import asyncio

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from demo.servers.ports import free_ports
from orchestrator.errors import HistoryError
from orchestrator.history import pool as pool_module
from orchestrator.history.pool import open_pool, transaction
from orchestrator.history.queries import stream
from orchestrator.settings import load_settings
from tests.api.relay import relay

pytestmark = pytest.mark.servers


async def test_a_server_that_stands_still_is_given_up_at_the_deadline(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a statement, and between two blocks of a long answer."""
    monkeypatch.setattr(pool_module, "_MARGIN_S", 0.2)
    to, (port,) = conninfo_to_dict(pg_dsn), free_ports(1)
    settings = load_settings(_env_file=None, postgres_dsn=make_conninfo(pg_dsn, port=port), postgres_timeout_s=0.3)
    async with relay(port, str(to["host"]), int(str(to["port"]))) as line, open_pool(settings, statements=1) as pool:

        async def ask() -> None:
            async with transaction(pool, "ask") as connection:
                line.freeze()
                await connection.execute("SELECT 1")

        with pytest.raises(HistoryError, match="cannot ask: PostgreSQL does not answer in time"):
            await asyncio.wait_for(ask(), 1.5)
        line.thaw()
        rows = stream(pool, "read on", "SELECT generate_series(1, 100000)", {})
        async with asyncio.timeout(3):
            assert len(await anext(rows)) > 0
            line.freeze()
            with pytest.raises(HistoryError, match="cannot read on: PostgreSQL does not answer in time"):
                await anext(rows)
            line.thaw()
            async with transaction(pool, "ask") as connection:
                assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
