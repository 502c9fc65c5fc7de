"""Says how far a running task is: in its row, and to its clients as ``status_update``."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Unpack

from orchestrator import tasks
from orchestrator.errors import IllegalTransitionError, TaskCancelledError
from orchestrator.events import EventLog, StatusUpdate
from orchestrator.tasks import Task, TaskStatus, TaskStore

INTERVAL_S = 1.0
"""At most one progress message in this time, state changes apart."""


class Progress:
    """The progress of one attempt at a task. Once another worker has taken the task, every call is refused."""

    def __init__(self, store: TaskStore, log: EventLog, task: Task) -> None:
        self._store, self._log, self._task = store, log, task
        self._attempt: int | None = None
        self._said_at = 0.0

    async def begin(self, step: str, recorded_from: datetime) -> Task:
        """Takes the task as a new attempt and returns it as it is then; raises as ``enter`` does.

        ``recorded_from`` is when frame 0 was, unless a former attempt has said so.
        """
        await self.enter(TaskStatus.INITIALIZING, current_step=step, recorded_from=recorded_from)
        self._attempt = self._task.attempt
        return self._task

    async def enter(self, status: TaskStatus, **report: Unpack[tasks.Progress]) -> None:
        """Moves the task to ``status`` and says so; while it is paused it stays so, and is there on resume.

        Raises:
            TaskCancelledError: the task was cancelled meanwhile.
            IllegalTransitionError: its state forbids it otherwise, or another worker has taken it.
        """
        try:
            self._task = await self._store.advance(self._task.id, status, attempt=self._attempt, **report)
        except IllegalTransitionError:
            await self._raise_if_cancelled()
            raise
        await self.say()

    async def note(self, **report: Unpack[tasks.Progress]) -> None:
        """Reports without a change of state, and says so; raises as ``enter`` does."""
        try:
            self._task = await self._store.update_progress(self._task.id, attempt=self._attempt, **report)
        except IllegalTransitionError:
            await self._raise_if_cancelled()
            raise
        await self.say()

    async def step(self, **report: Unpack[tasks.Progress]) -> None:
        """Like ``note``, but at most once in ``INTERVAL_S``; what comes between is left out."""
        if time.monotonic() - self._said_at >= INTERVAL_S:
            await self.note(**report)

    async def say(self) -> None:
        """Sends the task's state to its clients."""
        self._said_at = time.monotonic()
        await self._log.publish(self._task.id, StatusUpdate.of(self._task))

    async def say_stored(self) -> None:
        """Sends the task's state as it is stored now."""
        self._task = await self._store.get(self._task.id)
        await self.say()

    async def _raise_if_cancelled(self) -> None:
        if (await self._store.get(self._task.id)).status is TaskStatus.CANCELLED:
            raise TaskCancelledError(f"task {self._task.id} was cancelled") from None
