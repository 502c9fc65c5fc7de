"""Connections to Redis with deadlines, and one translation of the client library's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

from orchestrator.errors import EventLogError

_RETRY_AFTER_S = 0.05
"""One new try, since a connection out of the pool may belong to a server that has restarted."""


def connect(url: str, timeout_s: float, *, bounded_reads: bool = True) -> Redis:
    """A client whose connects and, if asked for, reads end after ``timeout_s``; opens no connection yet."""
    return Redis.from_url(
        url,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s if bounded_reads else None,
        retry=Retry(ConstantBackoff(_RETRY_AFTER_S), 1),
        health_check_interval=0,
        client_name="spoton",
    )


@contextmanager
def redis_errors(action: str) -> Iterator[None]:
    """Turns whatever the client raises into ``EventLogError``."""
    try:
        yield
    except (TimeoutError, RedisError, OSError) as error:
        raise EventLogError(f"cannot {action}: {error or type(error).__name__}") from error
