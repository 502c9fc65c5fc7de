"""History is kept for so many days after it was recorded; then whole days of it are dropped, which frees their disk."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import LiteralString

from psycopg import sql

from orchestrator.errors import HistoryError
from orchestrator.history.partitions import PARTITIONED_TABLES, drop_days_before
from orchestrator.history.pool import Connection, Pool, transaction
from orchestrator.tasks import ACTIVE, FINAL

EVERY_S = 3600.0
_LOCK = 0x53504F54_0006
_LOCK_TIMEOUT = "2s"
"""A table's partition is dropped under a lock that stops everybody: better at the next time than waited for."""

_OLDEST_ACTIVE = sql.SQL("""
SELECT min(time) FROM {table} WHERE task_id IN (SELECT id FROM tasks WHERE status = ANY(%s))""")
_FORGET_TRACKLETS: LiteralString = """
DELETE FROM tracklets WHERE last_time < %s AND task_id IN (SELECT id FROM tasks WHERE status = ANY(%s))"""
_FORGET_TASKS: LiteralString = """
DELETE FROM tasks t WHERE status = ANY(%s) AND updated_at < %s
  AND NOT EXISTS (SELECT FROM tracklets WHERE task_id = t.id)"""

logger = logging.getLogger(__name__)


async def keep_to_policy(pool: Pool, days: float) -> None:
    """Forgets what is too old, once an hour, until cancelled."""
    while True:
        try:
            await forget(pool, datetime.now(UTC) - timedelta(days=days))
        except HistoryError as error:
            logger.warning("%s", error)
        await asyncio.sleep(EVERY_S)


async def forget(pool: Pool, recorded_before: datetime) -> list[str]:
    """Drops the days that ended before a moment, and ended tasks of which nothing is left; one process at a time.

    A day in which a task that has not ended has rows is kept, and so are all later ones.

    Returns:
        What was dropped, by name.

    Raises:
        HistoryError: the database does not answer, or a table is in use for too long.
    """
    async with transaction(pool, "forget old history") as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,))
        if await cursor.fetchone() != (True,):
            return []
        before = (await _not_in_use(connection, recorded_before)).astimezone(UTC)
        before = before.replace(hour=0, minute=0, second=0, microsecond=0)
        await connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
        dropped = await drop_days_before(connection, before)
        await connection.execute(_FORGET_TRACKLETS, (before, sorted(FINAL)))
        await connection.execute(_FORGET_TASKS, (sorted(FINAL), before))
    if dropped:
        logger.info("forgot what was recorded before %s: %s", before.date(), ", ".join(dropped))
    return dropped


async def _not_in_use(connection: Connection, before: datetime) -> datetime:
    """The moment, or an earlier one, before which no task under way has rows."""
    for table in PARTITIONED_TABLES:
        statement = _OLDEST_ACTIVE.format(table=sql.Identifier(table))
        row = await (await connection.execute(statement, (sorted(ACTIVE),))).fetchone()
        if row is not None and row[0] is not None:
            before = min(before, row[0])
    return before
