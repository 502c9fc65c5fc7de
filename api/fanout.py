"""One reader per task and process hands the task's messages to every client that is in step.

A client first reads the log by itself, page by page, at its own speed; only when it has reached the end does it join
the task's feed. So nothing is buffered for a client that catches up, and a client in step costs a bounded queue of
references to messages that all clients share.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.errors import SpotOnError

QUEUE_MESSAGES = 1024
"""Messages that may wait for one client: above 40 s of ticks at 23 a second."""
RECENT_MESSAGES = 256
"""Messages a feed remembers, so that a client which is a little behind can join."""
PAGE_MESSAGES = 256
BLOCK_S = 2.0
"""How long a feed waits for news before it asks whether the task ended without saying so."""
RETRY_S = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a task's log."""

    seq: int
    text: str
    """The JSON that goes over the wire, as it was stored."""
    final: bool
    """True for the ``status_update`` after which nothing follows."""
    media: bool = False
    """True for a ``media_available``, whose URLs are bare in the log."""


class MessageLog(Protocol):
    """Where a task's messages are read from."""

    async def read(self, task_id: str, after: int, block_s: float, count: int) -> list[Message]:
        """Up to ``count`` messages with ``seq`` above ``after``, in order; waits up to ``block_s`` for the first."""

    async def begun_anew(self, task_id: str, position: int) -> bool:
        """Whether the log was lost and its numbers have begun again below ``position``."""


FinalStatus = Callable[[str, int], Awaitable[Message | None]]
"""Task id and ``seq`` -> the final status as a message of that ``seq`` when the task has ended, None while it runs."""


class SlowClientError(Exception):
    """More messages wait for a client than it may have waiting."""


class BegunAnewError(Exception):
    """The log was lost; what is said now is numbered from the start."""


class Subscription:
    """The messages that one client still has to send; filled by the feed, emptied by the client."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._waiting: deque[Message] = deque()
        self._news = asyncio.Event()
        self._over: SlowClientError | BegunAnewError | None = None

    def put(self, messages: Iterable[Message]) -> None:
        """Adds what the client does not have yet; past the limit it drops all and marks the client as slow."""
        if self._over is not None:
            return
        fresh = [message for message in messages if message.seq > self._after]
        if not fresh:
            return
        self._after = fresh[-1].seq
        self._waiting.extend(fresh)
        if len(self._waiting) > QUEUE_MESSAGES:
            self.end(SlowClientError())
        self._news.set()

    def end(self, why: SlowClientError | BegunAnewError) -> None:
        """Drops all; the client is told why."""
        self._over = why
        self._waiting.clear()
        self._news.set()

    async def take(self) -> list[Message]:
        """All that waits, at least one message.

        Raises:
            SlowClientError: the limit was passed.
            BegunAnewError: nothing follows under the numbers that the client knows.
        """
        await self._news.wait()
        self._news.clear()
        if self._over is not None:
            raise self._over
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


@dataclass(slots=True)
class _Feed:
    position: int
    recent: deque[Message] = field(default_factory=lambda: deque(maxlen=RECENT_MESSAGES))
    clients: set[Subscription] = field(default_factory=set)
    reader: asyncio.Task[None] | None = None

    def join(self, after: int) -> Subscription | None:
        reaches = after >= self.position or (bool(self.recent) and self.recent[0].seq <= after + 1)
        if not reaches:
            return None
        client = Subscription(after)
        client.put(self.recent)
        self.clients.add(client)
        return client

    def hand_out(self, messages: list[Message]) -> None:
        self.position = messages[-1].seq
        self.recent.extend(messages)
        for client in self.clients:
            client.put(messages)

    def begin_anew(self) -> None:
        """Sends everybody away; those who come back join at the new log's end."""
        self.position = 0
        self.recent.clear()
        for client in self.clients:
            client.end(BegunAnewError())
        self.clients.clear()


class Fanout:
    """The feeds of one process, one for each task that somebody follows."""

    def __init__(self, log: MessageLog, final_status: FinalStatus) -> None:
        self._log, self._final_status = log, final_status
        self._feeds: dict[str, _Feed] = {}

    def join(self, task_id: str, after: int) -> Subscription | None:
        """Lets a client in that has everything up to ``after``; None when the feed is further than it can bridge.

        ``after`` has to be a ``seq`` that exists, or 0: the first client's is where the feed starts.
        """
        feed = self._feeds.get(task_id)
        if feed is None:
            feed = self._feeds[task_id] = _Feed(after)
            feed.reader = asyncio.create_task(self._read(task_id, feed), name=f"feed {task_id}")
        return feed.join(after)

    async def leave(self, task_id: str, client: Subscription) -> None:
        """Lets a client go; the feed of the last one ends."""
        feed = self._feeds.get(task_id)
        if feed is None:
            return
        feed.clients.discard(client)
        if not feed.clients:
            del self._feeds[task_id]
            await _stop(feed)

    async def close(self) -> None:
        """Ends all feeds."""
        feeds = list(self._feeds.values())
        self._feeds.clear()
        await asyncio.gather(*(_stop(feed) for feed in feeds))

    @property
    def followed_tasks(self) -> int:
        """Tasks with at least one client."""
        return len(self._feeds)

    async def _read(self, task_id: str, feed: _Feed) -> None:
        failing = False
        while True:
            try:
                messages = await self._next(task_id, feed.position)
                if not messages and await self._log.begun_anew(task_id, feed.position):
                    logger.warning("the messages of task %s were lost: its log has begun anew", task_id)
                    feed.begin_anew()
            except Exception as error:
                if not failing:
                    known = isinstance(error, SpotOnError)
                    logger.warning("feed of task %s waits: %s", task_id, error, exc_info=not known)
                failing = True
                await asyncio.sleep(RETRY_S)
                continue
            failing = False
            if messages:
                feed.hand_out(messages)
                if messages[-1].final:
                    return

    async def _next(self, task_id: str, position: int) -> list[Message]:
        messages = await self._log.read(task_id, position, BLOCK_S, PAGE_MESSAGES)
        if messages:
            return messages
        ended = await self._final_status(task_id, position + 1)
        if ended is None:
            return []
        return await self._log.read(task_id, position, 0.0, PAGE_MESSAGES) or [ended]


async def _stop(feed: _Feed) -> None:
    if feed.reader is not None:
        feed.reader.cancel()
        await asyncio.gather(feed.reader, return_exceptions=True)
