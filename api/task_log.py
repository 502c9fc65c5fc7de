"""A task's message log as the WebSocket needs it: which message is the last, and what a newcomer gets first."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext

from api.fanout import Message
from orchestrator.events import EventLog, LostPayload, MessagesLost, StatusUpdate
from orchestrator.tasks import Task, TaskStatus, TaskStore

_QUESTIONS_AT_ONCE = 32
"""Connections to Redis that clients who catch up share, however many come back at once."""
_STATUS_UPDATE = "status_update"
_MEDIA_AVAILABLE = "media_available"


class TaskLog:
    """Reads messages as they are stored, and asks the database where the log is silent."""

    def __init__(self, events: EventLog, store: TaskStore) -> None:
        self._events, self._store = events, store
        self._asking = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    async def start(self, task: Task, since: int | None) -> tuple[list[Message], int]:
        """What a client gets first, and the ``seq`` after which it reads on.

        Where the log has no status for this place, the stored one stands in with the place as its ``seq`` (0 before the
        first message); but a final one only when nothing follows, since it makes clients leave. A client whose place is
        beyond a log that is gone, or has begun anew, is told that messages are lost.

        Raises:
            EventLogError: Redis does not answer.
        """
        async with self._asking:
            position, last = await self._events.place(task.id, since)
            stored = await self._events.sync(task.id, position)
        kinds = [json.loads(body)["type"] for _, body in stored]
        messages = [_message(seq, kind, body) for (seq, body), kind in zip(stored, kinds, strict=True)]
        if _STATUS_UPDATE not in kinds and not (task.is_final and await self.read(task.id, position, 0.0, 1)):
            messages.append(_status(task, position))
        if (since or 0) > last or (task.is_final and last == 0):
            messages.insert(0, _lost((since or 0) + 1, None, seq=position))
        return messages, position

    async def read(self, task_id: str, after: int, block_s: float, count: int) -> list[Message]:
        """See ``MessageLog``. Readers that do not wait for news take turns.

        Where the log no longer holds what lies between, a ``messages_lost`` stands in for it; but files that were
        announced there are announced all the same.
        """
        async with nullcontext() if block_s else self._asking:
            found = await self._events.read(task_id, after, block_s, count)
        messages: list[Message] = []
        for item in found:
            if item.seq > after + 1:
                messages += await self._missing(task_id, after + 1, item.seq - 1)
            messages.append(_message(*item))
            after = item.seq
        return messages

    async def begun_anew(self, task_id: str, position: int) -> bool:
        """See ``MessageLog``. A log that is gone and has no new message yet may still go on where it was."""
        return 0 < (await self._events.place(task_id, position)).last < position

    async def _missing(self, task_id: str, first: int, last: int) -> list[Message]:
        announced = await self._events.media(task_id, first, last)
        return [*(_message(seq, _MEDIA_AVAILABLE, body) for seq, body in announced), _lost(first, last, seq=last)]

    async def final_status(self, task_id: str, seq: int) -> Message | None:
        """See ``FinalStatus``: for a task whose worker ended it and died before it could say so."""
        task = await self._store.get(task_id)
        return _status(task, seq) if task.is_final else None


def _message(seq: int, kind: str, body: bytes) -> Message:
    final = kind == _STATUS_UPDATE and TaskStatus(json.loads(body)["payload"]["status"]).is_final
    return Message(seq, body.decode(), final, media=kind == _MEDIA_AVAILABLE)


def _lost(first: int, last: int | None, *, seq: int) -> Message:
    message = MessagesLost(payload=LostPayload(first_seq=first, last_seq=last))
    return Message(seq, message.wire(seq).decode(), final=False)


def _status(task: Task, seq: int) -> Message:
    return Message(seq, StatusUpdate.of(task).wire(seq).decode(), task.is_final)
