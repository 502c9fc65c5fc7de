"""One server process: started in a session of its own, logged to a file, ended with everything it started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.servers.errors import ServerStartError
from demo.servers.guardian import alive, kill

LAUNCH = Path(__file__).with_name("launch.py")
TAIL_LINES = 20
TAIL_BYTES = 16_384
GROUP_POLL_S = 0.02


@dataclass(frozen=True)
class Command:
    """How to start a server."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables on top of those of this process."""
    folder: Path | None = None
    """Working directory; that of this process where None."""
    wrapper: Sequence[str] = ()
    """A program and its arguments that becomes the command after changing what it may do (``unshare``)."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0


class Process:
    """A running server; ``await Process.start(...)`` makes one."""

    def __init__(self, command: Command, log: Path, process: asyncio.subprocess.Process) -> None:
        self._command = command
        self._log = log
        self._process = process

    @classmethod
    async def start(cls, command: Command, log: Path) -> Process:
        """Starts the command; its output is appended to ``log``."""
        launch = [sys.executable, "-IS", str(LAUNCH), str(os.getpid()), str(int(command.stop_signal))]
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command.wrapper,
                *launch,
                *command.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **command.environment},
                cwd=command.folder,
                start_new_session=True,
            )
        return cls(command, log, process)

    @property
    def pid(self) -> int:
        """The process id, which is the id of its session and process group too."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, minus the signal where one ended it, or None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Waits for the end and gives the exit status."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Asks for the end, waits as long as the command allows, then kills whatever is left of the group."""
        if self.returncode is None:
            self._send(self._command.stop_signal)
            try:
                async with asyncio.timeout(self._command.stop_timeout_s):
                    await self._process.wait()
            except TimeoutError:
                pass
        await self.kill()

    async def kill(self) -> None:
        """Kills the whole process group at once and waits until none of it is left."""
        while alive(self.pid):
            kill(self.pid)
            await asyncio.sleep(GROUP_POLL_S)
        await self._process.wait()

    def log_tail(self) -> str:
        """The last lines of the log."""
        return log_tail(self._log)

    def _send(self, signum: signal.Signals) -> None:
        try:
            self._process.send_signal(signum)
        except ProcessLookupError:
            return


async def run_tool(name: str, command: Command, log: Path, timeout_s: float) -> None:
    """Runs a program that ends by itself (``initdb``); never leaves it behind.

    Raises:
        ServerStartError: it failed, or took longer than ``timeout_s``; names ``name`` and shows the log.
    """
    process = await Process.start(command, log)
    try:
        async with asyncio.timeout(timeout_s):
            returncode = await process.wait()
    except TimeoutError:
        raise ServerStartError(name, f"preparation took more than {timeout_s:.0f} s", process.log_tail()) from None
    finally:
        await process.kill()
    if returncode != 0:
        raise ServerStartError(name, f"preparation ended with status {returncode}", process.log_tail())


def log_tail(log: Path) -> str:
    """The last lines of a log file; empty when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])
