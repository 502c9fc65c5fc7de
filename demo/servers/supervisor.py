"""Starts servers in the order of their needs, watches them, and leaves nothing of them behind."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demo.servers import guardian
from demo.servers.errors import ServerDiedError, ServersError, ServerStartError, StoppedBySignalError
from demo.servers.process import Process
from demo.servers.server import Server
from demo.servers.signals import SIGNALS
from demo.servers.state import StateDirectory

PROBE_INTERVAL_S = 0.05
VERDICT_S = 0.2
"""A dead server's clients may fail before its end is noticed: how long to wait for the true reason."""

OnEvent = Callable[[str], None]


class Supervisor:
    """Runs servers for as long as the ``async with`` block lasts.

    A server that dies, SIGINT, SIGTERM and SIGHUP (where the block runs in the main thread) cancel the block's task at
    once, as ``asyncio.timeout`` does; when all has stopped the block raises the reason.

    Raises:
        StateInUseError: on entry, when another run uses the state directory.
        ServerDiedError: from the block, when a server ended by itself.
        StoppedBySignalError: from the block, when a signal asked for the end.
    """

    def __init__(self, state: StateDirectory, on_event: OnEvent | None = None) -> None:
        self._state = state
        self._on_event = on_event
        self._guardian: asyncio.subprocess.Process | None = None
        self._servers: dict[str, Server] = {}
        self._processes: dict[str, Process] = {}
        self._ready: dict[str, asyncio.Event] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._patterns: set[str] = set()
        self._owner: asyncio.Task[Any] | None = None
        self._reason: ServersError | None = None

    async def __aenter__(self) -> Self:
        self._state.acquire()
        try:
            self._owner = asyncio.current_task()
            self._handle_signals()
            await self._start_guardian()
        except BaseException:
            self._release_signals()
            self._state.release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cancelled = await _to_the_end(self._close(failed=isinstance(error, Exception)))
        if self._reason is not None:
            if self._owner is not None:
                self._owner.uncancel()
            if not isinstance(error, ServersError):
                raise self._reason from (error if isinstance(error, Exception) else None)
        elif cancelled and error is None:
            raise asyncio.CancelledError

    async def start(self, servers: Iterable[Server]) -> None:
        """Starts the servers, independent ones at once, and returns when all of them are ready.

        Raises:
            ServerStartError: one could not be prepared or was not ready in time.
            ServerDiedError: one ended while starting.
        """
        servers = list(servers)
        for server in servers:
            self._servers[server.name] = server
            self._ready[server.name] = asyncio.Event()
        tasks = [asyncio.create_task(self._bring_up(server)) for server in servers]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self, name: str) -> None:
        """Stops one server; it may be started again."""
        self._say(f"stopping {self._servers[name].title}")
        process = self._unwatch(name)
        await process.stop()
        await self._forget(name, process)

    async def kill(self, name: str) -> None:
        """Kills one server and all that it started, as a crash would; it may be started again."""
        process = self._unwatch(name)
        await process.kill()
        await self._forget(name, process)

    async def sweep_at_end(self, pattern: str) -> None:
        """Removes the files that match an absolute glob pattern when everything has stopped, whatever stopped it."""
        self._patterns.add(pattern)
        await self._order(f"sweep {pattern}")

    def pid(self, name: str) -> int:
        """The process id of a running server."""
        return self._processes[name].pid

    def log(self, name: str) -> Path:
        """Where a server's output goes."""
        return self._state.logs / f"{name}.log"

    def _say(self, text: str) -> None:
        if self._on_event is not None:
            self._on_event(text)

    async def _bring_up(self, server: Server) -> None:
        for need in server.needs:
            if need in self._ready:
                await self._ready[need].wait()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(server.start_timeout_s):
                await self._launch(server)
        except TimeoutError:
            tail = self._processes[server.name].log_tail() if server.name in self._processes else ""
            raise ServerStartError(server.title, f"not ready after {server.start_timeout_s:g} s", tail) from None
        where = f" on {server.address}" if server.address else ""
        self._say(f"{server.title} ready{where} in {loop.time() - began:.1f} s")
        self._ready[server.name].set()

    async def _launch(self, server: Server) -> None:
        await self._order(*(f"sweep {pattern}" for pattern in server.leftovers()))
        command = await server.prepare()
        process = await Process.start(command, self.log(server.name))
        self._processes[server.name] = process
        await self._order(f"watch {process.pid}", *(f"sweep {pattern}" for pattern in server.leftovers()))
        while not await _answers(server):
            if process.returncode is not None:
                raise ServerDiedError(server.title, process.returncode, process.log_tail())
            await asyncio.sleep(PROBE_INTERVAL_S)
        self._watchers[server.name] = asyncio.create_task(self._watch(server, process))

    async def _watch(self, server: Server, process: Process) -> None:
        returncode = await process.wait()
        self._end(ServerDiedError(server.title, returncode, process.log_tail()))

    def _end(self, reason: ServersError) -> None:
        if self._reason is None and self._owner is not None:
            self._reason = reason
            self._owner.cancel()

    def _unwatch(self, name: str) -> Process:
        watcher = self._watchers.pop(name, None)
        if watcher is not None:
            watcher.cancel()
        return self._processes[name]

    async def _forget(self, name: str, process: Process) -> None:
        del self._processes[name]
        self._ready[name].clear()
        self._sweep(self._servers[name])
        await self._order(f"forget {process.pid}")

    async def _close(self, failed: bool) -> None:
        """Stops everything in the reverse of the order of needs."""
        try:
            if failed:
                await asyncio.sleep(VERDICT_S)
            while self._processes:
                needed = {need for name in self._processes for need in self._servers[name].needs}
                free = [name for name in self._processes if name not in needed] or list(self._processes)
                await asyncio.gather(*(self.stop(name) for name in free))
            for server in self._servers.values():
                self._sweep(server)
            for pattern in self._patterns:
                guardian.sweep(pattern)
            await self._dismiss_guardian()
        finally:
            self._release_signals()
            self._state.release()

    @staticmethod
    def _sweep(server: Server) -> None:
        for pattern in server.leftovers():
            guardian.sweep(pattern)
        server.clear_up()

    def _handle_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                asyncio.get_running_loop().add_signal_handler(signum, self._end, StoppedBySignalError(signum))

    def _release_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                asyncio.get_running_loop().remove_signal_handler(signum)

    async def _start_guardian(self) -> None:
        self._guardian = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            guardian.__file__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=[self._state.lock_fd],
            start_new_session=True,
        )

    async def _order(self, *orders: str) -> None:
        if self._guardian is not None and self._guardian.stdin is not None and self._guardian.returncode is None:
            with contextlib.suppress(ConnectionError):
                self._guardian.stdin.write("".join(f"{order}\n" for order in orders).encode())
                await self._guardian.stdin.drain()

    async def _dismiss_guardian(self) -> None:
        await self._order("done")
        if self._guardian is not None:
            await self._guardian.wait()


async def _answers(server: Server) -> bool:
    try:
        return await server.is_ready()
    except OSError:
        return False


async def _to_the_end(work: Coroutine[Any, Any, None]) -> bool:
    """Awaits ``work`` whatever happens; True where a cancellation came in between."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    return cancelled
