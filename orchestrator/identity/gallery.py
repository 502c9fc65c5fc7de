"""The gallery: the recent embedding of every global id, in Redis.

One hash per person, ``spoton:gallery:{environment}:{model}:{version}:{global id}``, with the fields ``vector``
(float16, little-endian), ``camera`` and ``time`` (seconds since 1970), which expires. One sorted set per environment
and model lists the people by the time they were last seen. Embeddings of two models never meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.errors import EventLogError
from orchestrator.settings import Settings
from orchestrator.values import Float32

VECTOR_DTYPE = np.dtype("<f2")
"""Half precision: L2-normalised values lie within 1, and the cosine changes by less than 0.001."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a person looks now."""

    global_id: str
    camera_id: str
    """Where last seen."""
    embedding: Float32
    """[D] L2-normalised."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A look with the time at which it was seen."""

    look: Look
    time_s: float
    """Seconds since 1970, of the recording."""


class Gallery:
    """The embeddings of one environment and one model. Every call ends within the Redis timeout of the settings."""

    def __init__(self, settings: Settings, environment_id: str, model: str) -> None:
        """Connects on first use.

        Args:
            settings: Redis address, timeout and expiry.
            environment_id: whose people these are.
            model: name and version of the embedding model, ``name:version``.
        """
        self._redis = redis.asyncio.Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=settings.redis_timeout_s,
            socket_connect_timeout=settings.redis_timeout_s,
        )
        self._ttl_s = settings.gallery_ttl_s
        self._prefix = f"spoton:gallery:{environment_id}:{model}"
        self._waiting: dict[str, Remembered] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def note(self, looks: Sequence[Look], time_s: float) -> None:
        """Takes in looks seen at ``time_s``, in place of former ones of the same people; ``flush`` stores them."""
        self._waiting.update((look.global_id, Remembered(look, time_s)) for look in looks)

    async def flush(self) -> None:
        """Stores what was noted, all or none.

        Raises:
            EventLogError: Redis cannot be reached in time or refuses.
        """
        if self._waiting:
            await self._put(list(self._waiting.values()))
            self._waiting.clear()

    async def _put(self, seen: Sequence[Remembered]) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                for item in seen:
                    key = f"{self._prefix}:{item.look.global_id}"
                    vector = item.look.embedding.astype(VECTOR_DTYPE).tobytes()
                    pipe.hset(key, mapping={"vector": vector, "camera": item.look.camera_id, "time": repr(item.time_s)})
                    pipe.pexpire(key, round(self._ttl_s * 1000))
                pipe.zadd(self._prefix, {item.look.global_id: item.time_s for item in seen})
                pipe.pexpire(self._prefix, round(self._ttl_s * 1000))
                await pipe.execute()
        except (RedisError, OSError) as error:
            raise EventLogError(f"gallery {self._prefix}: {error}") from error

    async def recent(self, limit: int) -> list[Remembered]:
        """The people seen last, latest first; those that have expired are forgotten.

        Raises:
            EventLogError: Redis cannot be reached in time or refuses.
        """
        try:
            raw: list[bytes] = await self._redis.zrange(self._prefix, 0, limit - 1, desc=True)  # type: ignore[assignment]
            ids = [global_id.decode() for global_id in raw]
            async with self._redis.pipeline(transaction=False) as pipe:
                for global_id in ids:
                    pipe.hgetall(f"{self._prefix}:{global_id}")
                entries = await pipe.execute()
            gone = [global_id for global_id, entry in zip(ids, entries, strict=True) if not entry]
            if gone:
                await self._redis.zrem(self._prefix, *gone)
        except (RedisError, OSError) as error:
            raise EventLogError(f"gallery {self._prefix}: {error}") from error
        return [_remembered(global_id, entry) for global_id, entry in zip(ids, entries, strict=True) if entry]

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()


def _remembered(global_id: str, entry: dict[bytes, bytes]) -> Remembered:
    vector = np.frombuffer(entry[b"vector"], VECTOR_DTYPE).astype(np.float32)
    return Remembered(Look(global_id, entry[b"camera"].decode(), vector), float(entry[b"time"]))
