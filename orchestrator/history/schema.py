"""The tables: made once, by whichever process comes first."""

from __future__ import annotations

from importlib import resources

from procrastinate.schema import SchemaManager

from orchestrator.history.pool import Connection, Pool, transaction

_LOCK = 0x53504F54_0001
"""Advisory lock: processes that start together make the schema one after the other."""


async def ensure_schema(pool: Pool) -> None:
    """Makes every table that is not there yet, the job queue's included; harmless when repeated.

    Raises:
        HistoryError: the server refused, for instance because pgvector is not installed.
    """
    async with transaction(pool, "make the schema") as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute(_read_schema())
        if not await _has_queue(connection):
            await connection.execute(SchemaManager.get_schema())


def _read_schema() -> bytes:
    return (resources.files("orchestrator.history") / "schema.sql").read_bytes()


async def _has_queue(connection: Connection) -> bool:
    row = await (await connection.execute("SELECT to_regclass('procrastinate_jobs')")).fetchone()
    return bool(row and row[0])
