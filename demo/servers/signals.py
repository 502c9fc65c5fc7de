"""The signals that ask for the end of a run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from demo.servers.errors import StoppedBySignalError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
T = TypeVar("T")


async def until_signal(work: Coroutine[Any, Any, T]) -> T:
    """Does ``work``, which a signal cancels; for the main thread, where no ``Supervisor`` does the same.

    Raises:
        StoppedBySignalError: once ``work`` has ended.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    got: list[int] = []

    def stop(signum: int) -> None:
        got.append(signum)
        task.cancel()

    for signum in SIGNALS:
        loop.add_signal_handler(signum, stop, signum)
    try:
        return await task
    except asyncio.CancelledError:
        if not got:
            task.cancel()
            raise
        raise StoppedBySignalError(got[0]) from None
    finally:
        for signum in SIGNALS:
            loop.remove_signal_handler(signum)
