"""The gallery: recent views of every person, in Redis.

One hash per person, ``spoton:gallery:{environment}:{model}:{version}:{global id}``, which expires. Its fields are the
person's views by number, as many as ``tables.VIEWS``: a line of JSON with ``camera``, ``time`` (seconds since 1970, of
the recording), ``quality`` and ``place`` (metres, or null), then the embedding (float16, little-endian). One sorted set
per environment and model lists the people by the time they were last seen; those beyond the newest
``MAX_PEOPLE`` are dropped. Embeddings of two models never meet.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from orchestrator.errors import EventLogError
from orchestrator.settings import Settings
from orchestrator.values import Float32

VECTOR_DTYPE = np.dtype("<f2")
"""Half precision: L2-normalised values lie within 1, and the cosine changes by less than 0.001."""
MAX_PEOPLE = 5_000
"""With four views of 1280 values each, 50 MB."""
CHUNK = 100
"""People read in one round trip."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """One view of a person."""

    global_id: str
    view: int
    """Its number; a look with the same number takes its place."""
    camera_id: str
    """Where it was last seen."""
    place: tuple[float, float] | None
    """Metres on the map, where the person was then."""
    quality: float
    """How much the looks said of which it is made."""
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
        self._ttl_ms = round(settings.gallery_ttl_s * 1000)
        self._prefix = f"spoton:gallery:{environment_id}:{model}"
        self._waiting: dict[tuple[str, int], Remembered] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def note(self, looks: Sequence[Look], time_s: float) -> None:
        """Takes in looks seen at ``time_s``, in place of former ones of the same views; ``flush`` stores them."""
        self._waiting.update(((look.global_id, look.view), Remembered(look, time_s)) for look in looks)

    async def flush(self) -> None:
        """Stores what was noted, all or none.

        Raises:
            EventLogError: Redis cannot be reached in time or refuses.
        """
        if self._waiting:
            await self._put(list(self._waiting.values()))
            self._waiting.clear()

    async def _put(self, seen: Sequence[Remembered]) -> None:
        latest = {item.look.global_id: item.time_s for item in sorted(seen, key=lambda item: item.time_s)}

        def commands(pipe: Pipeline) -> None:
            for item in seen:
                pipe.hset(self._key(item.look.global_id), str(item.look.view), _entry(item))
            for global_id in latest:
                pipe.pexpire(self._key(global_id), self._ttl_ms)
            pipe.zadd(self._prefix, latest)
            pipe.zrange(self._prefix, 0, -MAX_PEOPLE - 1)
            pipe.pexpire(self._prefix, self._ttl_ms)

        *_, beyond, _ = await self._run(commands)
        await self._drop([global_id.decode() for global_id in beyond])

    async def ids(self, begins: str = "") -> list[str]:
        """The people whose ids begin so, latest first; some may have expired.

        Raises:
            EventLogError: Redis cannot be reached in time or refuses.
        """
        (raw,) = await self._run(lambda pipe: pipe.zrange(self._prefix, 0, -1, desc=True))
        return [found for global_id in raw if (found := global_id.decode()).startswith(begins)]

    async def views(self, ids: Sequence[str]) -> list[list[Remembered]]:
        """The views of some people, in the order of their ids; those who have expired, or whose views are not what
        was written, are forgotten and left out.

        Raises:
            EventLogError: Redis cannot be reached in time or refuses.
        """
        found, gone = [], []
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            entries = await self._run(lambda pipe, chunk=chunk: [pipe.hgetall(self._key(each)) for each in chunk])  # type: ignore[misc]
            people = [_views(global_id, entry) for global_id, entry in zip(chunk, entries, strict=True)]
            found += [person for person in people if person]
            gone += [global_id for global_id, person in zip(chunk, people, strict=True) if not person]
        await self._drop(gone)
        return found

    async def rewind(self, begins: str, time_s: float) -> None:
        """Forgets what people whose ids begin so looked like from ``time_s`` on, which is about to be seen again.

        Raises:
            EventLogError: Redis cannot be reached in time or refuses.
        """
        (raw,) = await self._run(lambda pipe: pipe.zrange(self._prefix, time_s, "+inf", byscore=True))
        for person in await self.views([found for each in raw if (found := each.decode()).startswith(begins)]):
            global_id = person[0].look.global_id
            kept = [item.time_s for item in person if item.time_s < time_s]
            later = [str(item.look.view) for item in person if item.time_s >= time_s]
            if not kept:
                await self._drop([global_id])
                continue

            def commands(
                pipe: Pipeline, global_id: str = global_id, later: list[str] = later, last: float = max(kept)
            ) -> None:
                pipe.hdel(self._key(global_id), *later)
                pipe.zadd(self._prefix, {global_id: last})

            await self._run(commands)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    def _key(self, global_id: str) -> str:
        return f"{self._prefix}:{global_id}"

    async def _drop(self, ids: Sequence[str]) -> None:
        if ids:
            await self._run(lambda pipe: (pipe.zrem(self._prefix, *ids), pipe.unlink(*map(self._key, ids))))

    async def _run(self, commands: Callable[[Pipeline], object]) -> list[Any]:
        """The answers to some commands, which Redis carries out all or none."""
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                commands(pipe)
                answers: list[Any] = await pipe.execute()
        except (RedisError, OSError) as error:
            raise EventLogError(f"gallery {self._prefix}: {error}") from error
        return answers


def _entry(item: Remembered) -> bytes:
    look = item.look
    head = {"camera": look.camera_id, "time": item.time_s, "quality": look.quality, "place": look.place}
    return json.dumps(head).encode() + b"\n" + look.embedding.astype(VECTOR_DTYPE).tobytes()


def _views(global_id: str, entry: dict[bytes, bytes]) -> list[Remembered]:
    """One person's views, by number; none where they cannot be read."""
    try:
        return [_remembered(global_id, int(view), entry[view]) for view in sorted(entry, key=int)]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        logger.warning("gallery: %s cannot be read and is dropped: %s", global_id, error)
        return []


def _remembered(global_id: str, view: int, value: bytes) -> Remembered:
    line, vector = value.split(b"\n", 1)
    head = json.loads(line)
    place = None if head["place"] is None else (head["place"][0], head["place"][1])
    embedding = np.frombuffer(vector, VECTOR_DTYPE).astype(np.float32)
    return Remembered(Look(global_id, view, head["camera"], place, head["quality"], embedding), head["time"])
