"""The log of a task: a Redis stream whose entry ids are the messages' ``seq``.

Beside the stream stands what a client needs to be in step although the stream is bounded: the latest status, every
``media_available``, and where the current sub-video batch began.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from orchestrator.events import signals
from orchestrator.events.messages import Message, complete
from orchestrator.events.redis_client import connect, redis_errors
from orchestrator.settings import Settings


class Place(NamedTuple):
    """Where a client stands in a log."""

    after: int
    """It reads on behind the message of this ``seq``."""
    last: int
    """The ``seq`` of the log's last message; 0 before the first, and again once the log is gone."""


class LoggedMessage(NamedTuple):
    """One message of a log."""

    seq: int
    type: str
    body: bytes
    """The whole message, ``{"type", "payload", "seq"}``, as it goes over the wire."""


# KEYS: stream, index, media. ARGV: type, head, counter ('' for none), place, batch ('' for none), length, expiry in ms,
# the highest seq that the publisher knows of: a Redis that came back empty goes on from there.
# A message whose place on its counter was reached before is a repeat by a resumed worker: nothing is written.
_PUBLISH = """
local counter, place, batch = ARGV[3], ARGV[4], ARGV[5]
if counter ~= '' then
    local last = redis.call('HGET', KEYS[2], 'last:' .. counter)
    if last and tonumber(place) <= tonumber(last) then return false end
    redis.call('HSET', KEYS[2], 'last:' .. counter, place)
end
local seq = redis.call('HINCRBY', KEYS[2], 'seq', 1)
if seq <= tonumber(ARGV[8]) then
    seq = ARGV[8] + 1
    redis.call('HSET', KEYS[2], 'seq', seq)
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[6], seq .. '-0', 't', ARGV[1], 'h', ARGV[2])
if batch ~= '' and redis.call('HGET', KEYS[2], 'batch') ~= batch then
    redis.call('HSET', KEYS[2], 'batch', batch, 'batch_seq', seq)
end
if ARGV[1] == 'status_update' then
    redis.call('HSET', KEYS[2], 'status_seq', seq, 'status', ARGV[2])
elseif ARGV[1] == 'media_available' then
    redis.call('ZADD', KEYS[3], seq, ARGV[2])
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[7]) end
return seq
"""
_REMEMBERED_TASKS = 1024


class EventLog:
    """The message logs, doorbells and heartbeats of one Redis. Every method may raise ``EventLogError``."""

    def __init__(self, settings: Settings) -> None:
        url = settings.redis_url.get_secret_value()
        self._timeout_s = settings.redis_timeout_s
        self._client: Redis = connect(url, self._timeout_s)
        # Reads that wait for news take as long as the caller says: their deadline is set call by call.
        self._patient: Redis = connect(url, self._timeout_s, bounded_reads=False)
        self._publish = self._client.register_script(_PUBLISH)
        self._reached: dict[str, int] = {}
        """The highest ``seq`` of a task that was seen here, latest task last."""
        self._bounds = (str(settings.event_log_max_messages), str(round(settings.event_log_ttl_s * 1000)))

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[EventLog]:
        """A log that is closed at the end of the block; connects when it is first used."""
        log = cls(settings)
        try:
            yield log
        finally:
            await log.close()

    async def close(self) -> None:
        """Drops all connections."""
        await self._client.aclose()
        await self._patient.aclose()

    async def ping(self) -> None:
        """Returns when Redis answers."""
        with redis_errors("reach Redis"):
            await self._client.ping()

    async def publish(self, task_id: str, message: Message, *, frame: int | None = None) -> int | None:
        """Adds a message to the task's log; gives its ``seq``, or None for a repeat, which is dropped.

        A ``tracking_update`` is a repeat when its frame is not above the last one's, ``media_available`` and
        ``batch_processing_complete`` when their batch is not: what a resumed worker says again is said once.

        Args:
            task_id: whose log.
            message: what to say.
            frame: the global frame index that decides for this message, if not the message itself.
        """
        counter, place = message.position() or ("", 0)
        if frame is not None:
            counter, place = "frame", frame
        batch = message.batch()
        of_message = (message.type, message.head(), counter, place, "" if batch is None else batch)
        values = (*of_message, *self._bounds, self._reached.get(task_id, 0))
        with redis_errors(f"publish a {message.type}"):
            seq = await self._publish(keys=_keys(task_id), args=values)
        if seq is None:
            return None
        self._note(task_id, int(seq))
        return int(seq)

    async def place(self, task_id: str, since: int | None) -> Place:
        """Where a client begins: behind its ``since``, or at the start of the current sub-video batch.

        A ``since`` beyond the end of the log becomes the end, so that nothing to come is missed.
        """
        with redis_errors("find a place in the log"):
            found, batch = await self._index(task_id, "seq", "batch_seq")
        last = int(found or 0)
        return Place(max(int(batch or 1) - 1, 0) if since is None else min(since, last), last)

    async def media(self, task_id: str, first: int, last: int) -> list[tuple[int, bytes]]:
        """Every ``media_available`` from one ``seq`` to another, both inclusive: it is kept beyond the log's bound."""
        with redis_errors("read the log"):
            found = await self._media(task_id, first, last)
        return [(int(seq), complete(head, int(seq))) for head, seq in found]

    async def sync(self, task_id: str, place: int) -> list[tuple[int, bytes]]:
        """What a client gets before it reads on: every ``media_available`` and the latest status up to its place.

        In the order of ``seq``; later ones follow from ``read``.
        """
        with redis_errors("read the log"):
            status_seq, status = await self._index(task_id, "status_seq", "status")
            media = await self._media(task_id, 0, place)
        found = [(int(seq), head) for head, seq in media]
        if status is not None and status_seq is not None and int(status_seq) <= place:
            found.append((int(status_seq), status))
        return [(seq, complete(head, seq)) for seq, head in sorted(found)]

    async def read(self, task_id: str, after: int, block_s: float, count: int) -> list[LoggedMessage]:
        """At most ``count`` messages beyond ``after``; waits up to ``block_s`` for the first, 0 for not at all."""
        block_ms = max(1, round(block_s * 1000)) if block_s > 0 else None
        with redis_errors("read the log"):
            async with asyncio.timeout(block_s + self._timeout_s):
                found = await self._patient.xread({_keys(task_id)[0]: f"{after}-0"}, count=count, block=block_ms)
        messages = [_logged(entry, fields) for entry, fields in _entries(found)]
        if messages:
            self._note(task_id, messages[-1].seq)
        return messages

    async def delete(self, task_id: str) -> None:
        """Forgets everything said about the task."""
        with redis_errors("delete a log"):
            await self._client.delete(*_keys(task_id))
        self._reached.pop(task_id, None)

    async def ring(self, task_id: str) -> None:
        """Makes the worker of the task look at its stored state now."""
        await signals.ring(self._client, task_id)

    def doorbell(self, task_id: str) -> AbstractAsyncContextManager[signals.Doorbell]:
        """Listens for rings: ``async with log.doorbell(task_id) as bell: await bell.wait(timeout_s)``."""
        return signals.listen(self._client, task_id)

    async def beat(self, worker_id: str, info: dict[str, Any], ttl_s: float) -> None:
        """Says that a worker lives, for ``ttl_s`` from now."""
        await signals.beat(self._client, worker_id, info, ttl_s)

    async def workers(self) -> list[dict[str, Any]]:
        """What the living workers said of themselves."""
        return await signals.workers(self._client)

    def _note(self, task_id: str, seq: int) -> None:
        self._reached[task_id] = max(seq, self._reached.pop(task_id, 0))
        if len(self._reached) > _REMEMBERED_TASKS:
            del self._reached[next(iter(self._reached))]

    async def _media(self, task_id: str, first: int, last: int) -> list[tuple[bytes, float]]:
        found = await self._client.zrangebyscore(_keys(task_id)[2], first, last, withscores=True)
        return cast("list[tuple[bytes, float]]", found)

    async def _index(self, task_id: str, *names: str) -> list[bytes | None]:
        return cast("list[bytes | None]", await self._client.hmget(_keys(task_id)[1], list(names)))


def _keys(task_id: str) -> list[str]:
    """Stream, index and media; the braces keep them on one node of a cluster."""
    return [f"spoton:events:{{{task_id}}}:{part}" for part in ("log", "index", "media")]


def _entries(found: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of an XREAD of one stream, in either of the protocol's shapes."""
    streams = list(found.values()) if isinstance(found, dict) else [entries for _, entries in found or []]
    return streams[0] if streams else []


def _logged(entry: bytes, fields: dict[bytes, bytes]) -> LoggedMessage:
    seq = int(entry.split(b"-", 1)[0])
    return LoggedMessage(seq, fields[b"t"].decode(), complete(fields[b"h"], seq))
