"""Connections to PostgreSQL: a pool with deadlines, and one translation of the driver's errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from orchestrator.errors import HistoryError
from orchestrator.settings import Settings

Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]

_TRANSACTION_TIMEOUTS = 4
"""A transaction may wait for a connection once and then run a few statements, each as long as one timeout."""


@asynccontextmanager
async def open_pool(
    settings: Settings, *, wait: bool = True, max_size: int = 8, statement_timeout_s: float | None = None
) -> AsyncIterator[Pool]:
    """A pool whose connections and, unless told otherwise, statements end after ``postgres_timeout_s``.

    With ``wait`` false the pool comes up without a server and goes on trying; its users get ``HistoryError`` meanwhile.

    Raises:
        HistoryError: no connection within the timeout; names host and database, never the password.
    """
    timeout_s = settings.postgres_timeout_s
    pool: Pool = AsyncConnectionPool(
        settings.postgres_dsn.get_secret_value(),
        kwargs=connection_options(settings, statement_timeout_s),
        min_size=1,
        max_size=max_size,
        timeout=timeout_s,
        open=False,
        check=AsyncConnectionPool.check_connection,
    )
    try:
        with database_errors(f"connect to PostgreSQL at {_address(settings)}"):
            await pool.open(wait=wait, timeout=timeout_s)
        yield pool
    finally:
        await pool.close(timeout=timeout_s)


def connection_options(settings: Settings, statement_timeout_s: float | None = None) -> dict[str, Any]:
    """What every connection is opened with: deadlines for connecting and for each statement, times in UTC."""
    timeout_s = settings.postgres_timeout_s
    statement_ms = round((statement_timeout_s or timeout_s) * 1000)
    return {
        "connect_timeout": max(2, round(timeout_s)),
        "options": f"-c statement_timeout={statement_ms} -c timezone=UTC",
        "application_name": "spoton",
    }


@asynccontextmanager
async def transaction(pool: Pool, action: str) -> AsyncIterator[Connection]:
    """A connection inside one transaction: committed at the end, rolled back by any error.

    Raises:
        HistoryError: ``cannot <action>: <reason>``, also when the server does not answer in time.
    """
    with database_errors(action):
        async with asyncio.timeout(_TRANSACTION_TIMEOUTS * pool.timeout), pool.connection() as connection:
            yield connection


@contextmanager
def database_errors(action: str) -> Iterator[None]:
    """Turns whatever the driver raises into ``HistoryError``."""
    try:
        yield
    except (PoolTimeout, TooManyRequests, PoolClosed) as error:
        raise HistoryError(f"cannot {action}: no connection to PostgreSQL ({error})") from error
    except psycopg.Error as error:
        raise HistoryError(f"cannot {action}: {_first_line(error)}") from error
    except TimeoutError as error:
        raise HistoryError(f"cannot {action}: PostgreSQL does not answer in time") from error


def _address(settings: Settings) -> str:
    parts: dict[str, Any] = conninfo_to_dict(settings.postgres_dsn.get_secret_value())
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _first_line(error: psycopg.Error) -> str:
    message = error.diag.message_primary or str(error).strip() or type(error).__name__
    return message.splitlines()[0]
