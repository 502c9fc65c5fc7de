"""History is kept for so many days after it was recorded; then whole days of it are dropped, which frees their disk."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import LiteralString

from orchestrator.errors import HistoryError
from orchestrator.history.partitions import drop_a_day_before
from orchestrator.history.pool import Connection, Pool, transaction
from orchestrator.tasks import ACTIVE, FINAL

EVERY_S = 3600.0
_LOCK_TIMEOUT = "2s"
"""A table's partition is dropped under a lock that stops everybody: better at the next time than waited for."""

_OLDEST_ACTIVE: LiteralString = "SELECT min(recorded_from) FROM tasks WHERE status = ANY(%s)"
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
    """Drops the days that ended before a moment, one by one, and ended tasks of which nothing is left.

    What a task that has not ended may have rows in, its first day and all later ones, is kept.

    Returns:
        What was dropped, by name.

    Raises:
        HistoryError: the database does not answer, or a table is in use for too long.
    """
    dropped: list[str] = []
    while names := await _forget_a_day(pool, recorded_before):
        dropped += names
    async with transaction(pool, "forget old history") as connection:
        before = await _last_day(connection, recorded_before)
        await connection.execute(_FORGET_TRACKLETS, (before, sorted(FINAL)))
        await connection.execute(_FORGET_TASKS, (sorted(FINAL), before))
    if dropped:
        logger.info("forgot what was recorded before %s: %s", before.date(), ", ".join(dropped))
    return dropped


async def _forget_a_day(pool: Pool, recorded_before: datetime) -> list[str]:
    async with transaction(pool, "forget old history") as connection:
        before = await _last_day(connection, recorded_before)
        return await drop_a_day_before(connection, before, _LOCK_TIMEOUT)


async def _last_day(connection: Connection, before: datetime) -> datetime:
    """The beginning of the day of that moment, or of an earlier one, before which no task under way has rows."""
    row = await (await connection.execute(_OLDEST_ACTIVE, (sorted(ACTIVE),))).fetchone()
    if row is not None and row[0] is not None:
        before = min(before, row[0])
    return before.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
