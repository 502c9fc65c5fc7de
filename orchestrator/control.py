"""The gate that a running task passes before and after every tick: where pause and cancel take hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.errors import TaskCancelledError
from orchestrator.events import EventLog
from orchestrator.tasks import TaskStatus, TaskStore

POLL_S = 1.0
"""How often the stored state is read even when no doorbell rang; bounds the harm of a lost ring."""


class TaskControl:
    """Follows the stored state of one task. PostgreSQL holds the truth, the doorbell in Redis only makes it quick."""

    def __init__(self, store: TaskStore, log: EventLog, task_id: str) -> None:
        self._store, self._log, self._task_id = store, log, task_id
        self._open = asyncio.Event()
        self._open.set()
        self._cancelled = False
        self._failure: Exception | None = None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Follows the state while the block runs."""
        watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def gate(self) -> None:
        """Returns at once while the task may run, waits while it is paused.

        Raises:
            TaskCancelledError: the task was cancelled.
            SpotOnError: the task's state can no longer be followed.
        """
        if not self._open.is_set():
            await self._open.wait()
        if self._failure is not None:
            raise self._failure
        if self._cancelled:
            raise TaskCancelledError(f"task {self._task_id} was cancelled")

    async def _watch(self) -> None:
        try:
            async with self._log.doorbell(self._task_id) as bell:
                while not self._cancelled:
                    self._apply((await self._store.get(self._task_id)).status)
                    await bell.wait(POLL_S)
        except Exception as error:
            self._failure = error
            self._open.set()

    def _apply(self, status: TaskStatus) -> None:
        self._cancelled = status is TaskStatus.CANCELLED
        if status is TaskStatus.PAUSED:
            self._open.clear()
        else:
            self._open.set()
