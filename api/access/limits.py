"""How often somebody may ask: counted in Redis, so that all API processes count together.

Limits hold where access control is on; who asks without it is nobody in particular. While Redis is away nobody is
refused: what needs it fails anyway.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Self

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from orchestrator.errors import SpotOnError
from orchestrator.events.redis_client import connect
from orchestrator.settings import Settings

_KEYS = "spoton:limits"
_PAUSE_S = 5.0
"""After Redis failed it is left alone for this long, so that its deadline is not waited for at every request."""

logger = logging.getLogger(__name__)


class RateLimitedError(SpotOnError):
    """Somebody asks too often; says when to come back."""

    retryable = True

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Kind(StrEnum):
    """What is counted apart."""

    REQUEST = "requests"
    """Any request with a token; video and WebSockets are not counted, a player asks for them as it needs them."""
    COSTLY = "costly requests"
    """What takes long: starting tasks, searching, exporting."""
    FAILURE = "failed logins"
    """Tokens and tickets that were refused, by address."""


class Limits:
    """The limits of the settings; ``async with Limits.open(settings)``."""

    def __init__(self, settings: Settings) -> None:
        url, timeout_s = settings.redis_url.get_secret_value(), settings.redis_timeout_s
        self._client = connect(url, timeout_s)
        pool = self._client.connection_pool
        storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=_KEYS,
            connection_pool=pool,  # type: ignore[arg-type]
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._items: dict[Kind, RateLimitItem] = {
            Kind.REQUEST: parse(settings.rate_limit),
            Kind.COSTLY: parse(settings.rate_limit_costly),
            Kind.FAILURE: parse(settings.rate_limit_failures),
        }
        self._away_until = 0.0

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Limits whose connections are closed at the end of the block; connects when first used."""
        limits = cls(settings)
        try:
            yield limits
        finally:
            await limits._client.aclose()

    async def take(self, kind: Kind, who: str) -> None:
        """Counts one.

        Raises:
            RateLimitedError: it is one too many.
        """
        await self._ask(kind, who, count=True)

    async def check(self, kind: Kind, who: str) -> None:
        """Raises as ``take`` does where the next one would be too many; counts nothing."""
        await self._ask(kind, who, count=False)

    async def _ask(self, kind: Kind, who: str, *, count: bool) -> None:
        if time.monotonic() < self._away_until:
            return
        item, key = self._items[kind], (kind.name, hashlib.sha256(who.encode()).hexdigest()[:32])
        try:
            allowed = await (self._limiter.hit if count else self._limiter.test)(item, *key)
            if not allowed:
                window = await self._limiter.get_window_stats(item, *key)
        except StorageError as error:
            self._away_until = time.monotonic() + _PAUSE_S
            logger.warning("requests are not counted while Redis is away: %s", error.storage_error)
            return
        if not allowed:
            wait_s = max(1, round(window.reset_time - time.time()))
            raise RateLimitedError(f"too many {kind}: {item} are allowed", wait_s)
