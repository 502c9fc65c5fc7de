"""PostgreSQL for the API: usable as soon as the server is, however late that is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

import procrastinate

from api.access.audit import AuditLog
from api.access.tokens import TokenStore
from orchestrator.errors import HistoryError
from orchestrator.history.pool import Connection, Pool, open_pool, transaction
from orchestrator.history.schema import ensure_schema
from orchestrator.queue import create_queue, enqueue
from orchestrator.settings import Settings
from orchestrator.tasks import Task, TaskStore

RETRY_S = 1.0
HISTORY_CONNECTIONS = 4

logger = logging.getLogger(__name__)


class Database:
    """The pool, the tasks in it, and the queue beside them."""

    def __init__(self, pool: Pool, history: Pool, queue: procrastinate.App, settings: Settings) -> None:
        self.pool = pool
        self.history = history
        """For questions that may take long and downloads that hold a connection: they keep nobody else waiting."""
        self.store = TaskStore(pool)
        self.tokens = TokenStore(pool)
        self.audit = AuditLog(pool)
        self._queue = queue
        self._max_active = settings.max_active_tasks
        self._audit_days = settings.audit_retention_days
        self._has_schema = False

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Comes up without a server; the schema is made in the background once there is one."""
        patient = open_pool(
            settings,
            wait=False,
            max_size=HISTORY_CONNECTIONS,
            statement_timeout_s=settings.analytics_timeout_s,
            statements=1,
        )
        async with open_pool(settings, wait=False, statements=1) as pool, patient as history:
            queue = create_queue(settings, None)
            async with queue.open_async(pool):
                database = cls(pool, history, queue, settings)
                preparing = asyncio.create_task(database._look_after(), name="look after the database")
                try:
                    yield database
                finally:
                    preparing.cancel()
                    await asyncio.gather(preparing, return_exceptions=True)

    async def start_task(
        self, environment_id: str, cameras: Sequence[str] | None, start_batch: int | None, end_batch: int | None
    ) -> Task:
        """A new task together with its job.

        Raises:
            TooManyTasksError: the limit is reached.
            HistoryError: the database does not answer.
        """

        async def with_job(connection: Connection, task_id: str) -> None:
            await enqueue(self._queue, task_id, connection)

        return await self.store.create(
            environment_id, cameras, start_batch, end_batch, max_active=self._max_active, in_transaction=with_job
        )

    async def check(self) -> str:
        """Answers when the database does; the text says what it is.

        Raises:
            HistoryError: it does not answer, or has no schema yet.
        """
        async with transaction(self.pool, "reach the database") as connection:
            row = await (await connection.execute("SHOW server_version")).fetchone()
        if not self._has_schema:
            raise HistoryError("the schema is being made")
        return f"PostgreSQL {row[0] if row else ''}".strip()

    async def _look_after(self) -> None:
        await self._prepare()
        if self._audit_days:
            await self.audit.keep_for(self._audit_days)

    async def _prepare(self) -> None:
        failing = False
        while not self._has_schema:
            try:
                await ensure_schema(self.pool)
                self._has_schema = True
            except HistoryError as error:
                if not failing:
                    logger.warning("PostgreSQL is not usable yet, trying again every %g s: %s", RETRY_S, error)
                failing = True
                await asyncio.sleep(RETRY_S)
        if failing:
            logger.info("PostgreSQL is usable now")
