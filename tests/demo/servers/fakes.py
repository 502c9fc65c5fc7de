"""Small Python processes that stand where real servers do, to try the supervisor with."""

from __future__ import annotations

import sys
from pathlib import Path

from demo.servers.process import Command

SERVE = "import time; print('serving', flush=True); open('ready', 'w').close(); time.sleep(60)"
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, '-IS', '-c', 'import time; time.sleep(60)'])
open('left-behind', 'w').close(); open('ready', 'w').close(); time.sleep(60)
"""


class FakeServer:
    """A Python script as a server: ready once it has made the file ``ready`` in its folder."""

    def __init__(
        self,
        folder: Path,
        name: str,
        script: str = SERVE,
        needs: tuple[str, ...] = (),
        start_timeout_s: float = 10.0,
    ) -> None:
        self.name, self.title, self.needs, self.start_timeout_s = name, name.upper(), needs, start_timeout_s
        self.folder = folder
        self.address = ""
        self._script = script

    async def prepare(self) -> Command:
        self.folder.mkdir(exist_ok=True)
        self.folder.joinpath("ready").unlink(missing_ok=True)
        command = [sys.executable, "-IS", "-c", self._script]
        return Command(command, folder=self.folder, stop_timeout_s=0.5)

    async def is_ready(self) -> bool:
        return self.folder.joinpath("ready").exists()

    def leftovers(self) -> tuple[str, ...]:
        return (f"{self.folder}/left-*",)

    def clear_up(self) -> None:
        pass
