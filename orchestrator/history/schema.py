"""The tables, brought to this program's revision by whichever process comes first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources

import psycopg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from orchestrator.errors import HistoryError
from orchestrator.history.pool import Pool, database_errors, transaction

HEAD = "0012"
"""The latest revision in ``migrations/versions``."""
TARGET = "head"
_STATEMENT_TIMEOUT = "1h"
"""A revision may rewrite a large table, and other processes wait for it."""
_ALEMBIC = threading.Lock()
"""Alembic keeps the migration under way in a global."""


async def ensure_schema(pool: Pool) -> None:
    """Makes or upgrades all tables, those of queue and access too; harmless when repeated or done by several at once.

    Raises:
        HistoryError: the server refused, for instance because pgvector is not installed, or the schema is newer than
            this program.
    """
    if await _revision(pool) != HEAD:
        await asyncio.to_thread(_upgrade, pool)


async def _revision(pool: Pool) -> str | None:
    async with transaction(pool, "read the schema's revision") as connection:
        table = await (await connection.execute("SELECT to_regclass('alembic_version')")).fetchone()
        if table is None or table[0] is None:
            return None
        row = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
    return None if row is None else str(row[0])


def _upgrade(pool: Pool) -> None:
    config = Config()
    migrations = str(resources.files("orchestrator.history") / "migrations")
    config.set_main_option("script_location", migrations.replace("%", "%%"))
    with _ALEMBIC, _migration_errors(), _connect(pool) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, TARGET)


@contextmanager
def _connect(pool: Pool) -> Iterator[Connection]:
    conninfo, options = pool.conninfo, pool.kwargs
    assert isinstance(conninfo, str)
    assert isinstance(options, dict)

    def connect() -> psycopg.Connection:
        return psycopg.connect(conninfo, **options)

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'")
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _migration_errors() -> Iterator[None]:
    with database_errors("make the schema"):
        try:
            yield
        except DBAPIError as error:
            raise error.orig or error from error
        except CommandError as error:
            raise HistoryError(f"cannot make the schema: the database has one of another program: {error}") from error
