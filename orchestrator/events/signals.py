"""Short-lived signals in Redis: the doorbell that makes a worker look at its task, and the heartbeats of workers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from orchestrator.events.redis_client import redis_errors

_BELL = "spoton:doorbell:{%s}"
_WORKERS = ("{spoton:workers}:until", "{spoton:workers}:info")

# The clock is the server's: workers on other machines need not agree on the time.
_BEAT = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], now_ms + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms)) do
    redis.call('ZREM', KEYS[1], gone)
    redis.call('HDEL', KEYS[2], gone)
end
"""
_ALIVE = """
local now = redis.call('TIME')
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. (now[1] * 1000 + math.floor(now[2] / 1000)), '+inf')
if #ids == 0 then return {} end
return redis.call('HMGET', KEYS[2], unpack(ids))
"""


class Doorbell:
    """The listening side for one task."""

    def __init__(self, subscription: PubSub) -> None:
        self._subscription = subscription

    async def wait(self, timeout_s: float) -> bool:
        """True once somebody rang since the last call, False after ``timeout_s``.

        Raises:
            EventLogError: Redis does not answer.
        """
        with redis_errors("wait for a ring"):
            rang = await self._subscription.get_message(ignore_subscribe_messages=True, timeout=timeout_s)
        return rang is not None


@asynccontextmanager
async def listen(client: Redis, task_id: str) -> AsyncIterator[Doorbell]:
    """A doorbell that misses no ring between entering the block and leaving it."""
    async with client.pubsub() as subscription:
        with redis_errors("listen for rings"):
            await subscription.subscribe(_BELL % task_id)
            await subscription.get_message(timeout=client.connection_pool.connection_kwargs["socket_timeout"])
        yield Doorbell(subscription)


async def ring(client: Redis, task_id: str) -> None:
    """Makes whoever listens for the task look at its stored state."""
    with redis_errors("ring a task's doorbell"):
        await client.publish(_BELL % task_id, b"")


async def beat(client: Redis, worker_id: str, info: dict[str, Any], ttl_s: float) -> None:
    """Says that a worker lives, for ``ttl_s`` from now."""
    with redis_errors("send a heartbeat"):
        await client.eval(_BEAT, 2, *_WORKERS, worker_id, json.dumps(info), str(round(ttl_s * 1000)))


async def workers(client: Redis) -> list[dict[str, Any]]:
    """What the living workers said of themselves."""
    with redis_errors("ask for the workers"):
        found = cast("list[bytes | None]", await client.eval(_ALIVE, 2, *_WORKERS))
    return [json.loads(info) for info in found if info is not None]
