"""Connections to PostgreSQL: a pool with deadlines, and one translation of the driver's errors."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from orchestrator.errors import HistoryError
from orchestrator.settings import Settings

Connection = AsyncConnection[TupleRow]

_STATEMENTS = 4
"""Of a transaction, that may each take as long as one may, where nothing else is said."""
_MARGIN_S = 1.0
"""By which the server's own deadline for a statement, which says more, comes before that of its client."""
_CHECK_S = 2.0


class Pool(AsyncConnectionPool[Connection]):
    """Connections, and how long their server may take."""

    def __init__(
        self,
        conninfo: str,
        *,
        timeout: float,
        statement_s: float | None = None,
        statements: int = _STATEMENTS,
        **options: Any,
    ) -> None:
        """``timeout`` and ``options`` as of the library; a statement may take ``statement_s``, else ``timeout``, and a
        transaction as long as ``statements`` of them.
        """
        super().__init__(conninfo, timeout=timeout, **options)
        statement_s = statement_s or timeout
        self.statement_s = statement_s + _MARGIN_S
        """For one statement, or one piece of a long answer."""
        self.transaction_s = statements * statement_s + _MARGIN_S
        """For all of a transaction, once it has a connection."""


class Patience:
    """Hangs up on a server that takes too long, so that whoever waits for it is told at once.

    A wait for PostgreSQL that is cancelled asks the server to stop and waits for that, which a server that stands still
    does not hear either.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._late = False

    def begin(self, connection: Connection, within_s: float) -> None:
        """From now on the server has so many seconds, until the end of the block or the next call."""
        self.end()
        self._timer = asyncio.get_running_loop().call_later(within_s, self._hang_up, connection)

    def end(self) -> None:
        """Nothing is waited for now."""
        if self._timer is not None:
            self._timer.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.end()
        if self._late and isinstance(error, psycopg.Error):
            raise TimeoutError from error

    def _hang_up(self, connection: Connection) -> None:
        self._late = True
        with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


@asynccontextmanager
async def open_pool(
    settings: Settings,
    *,
    wait: bool = True,
    max_size: int = 8,
    statement_timeout_s: float | None = None,
    statements: int = _STATEMENTS,
) -> AsyncIterator[Pool]:
    """A pool whose connections and, unless told otherwise, statements end after ``postgres_timeout_s``.

    A transaction may take as long as ``statements`` of them, whatever the server does.
    With ``wait`` false the pool comes up without a server and goes on trying; its users get ``HistoryError`` meanwhile.

    Raises:
        HistoryError: no connection within the timeout; names host and database, never the password.
    """
    timeout_s = settings.postgres_timeout_s
    pool = Pool(
        settings.postgres_dsn.get_secret_value(),
        kwargs=connection_options(settings, statement_timeout_s),
        min_size=1,
        max_size=max_size,
        timeout=timeout_s,
        statement_s=statement_timeout_s,
        statements=statements,
        open=False,
        check=partial(_check, within_s=min(_CHECK_S, timeout_s / 2)),
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
async def transaction(pool: Pool, action: str, within_s: float | None = None) -> AsyncIterator[Connection]:
    """A connection inside one transaction: committed at the end, rolled back by any error.

    Its deadlines are the pool's, unless all of it, and each statement, may take ``within_s``.

    Raises:
        HistoryError: ``cannot <action>: <reason>``, also when the server does not answer in time.
    """
    with database_errors(action), Patience() as patience:
        async with pool.connection() as connection:
            patience.begin(connection, within_s or pool.transaction_s)
            if within_s is not None:
                await connection.execute("SELECT set_config('statement_timeout', %s, true)", (f"{within_s:.0f}s",))
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


async def _check(connection: Connection, within_s: float) -> None:
    with Patience() as patience:
        patience.begin(connection, within_s)
        await Pool.check_connection(connection)


def _address(settings: Settings) -> str:
    parts: dict[str, Any] = conninfo_to_dict(settings.postgres_dsn.get_secret_value())
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _first_line(error: psycopg.Error) -> str:
    message = error.diag.message_primary or str(error).strip() or type(error).__name__
    return message.splitlines()[0]
