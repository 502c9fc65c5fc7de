"""SpotOn's own processes: the worker and the API, with settings that name the servers of the stack."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from demo.servers.ports import LOOPBACK, free_ports
from demo.servers.process import Command
from demo.servers.state import SHARED_MEMORY
from orchestrator.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ("postgres", "valkey", "seaweedfs", "triton")
PROBE_TIMEOUT_S = 2.0
ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_TOP_PAD_": "16777216",
}
"""Each process has its own threads for decoding and association; more below them would fight for the same cores.
Frames are megabytes: kept by the allocator they cost no page faults (0.4 ms a frame of 1280x720)."""

LISTENS = re.compile(rb"^SpotOn API listens on http://(\S+)\n", re.MULTILINE)

SettingsOf = Callable[[], dict[str, str]]


class Worker:
    """``python -m orchestrator worker``."""

    name = "worker"
    title = "worker"
    needs = BACKENDS
    start_timeout_s = 180.0

    def __init__(self, settings: SettingsOf) -> None:
        """``settings`` gives the ``SPOTON_`` variables; asked when the servers' ports are known."""
        self._settings = settings
        self._metrics_port = 0

    @property
    def address(self) -> str:
        """Host and port of its metrics."""
        return f"{LOOPBACK}:{self._metrics_port}"

    @property
    def metrics_url(self) -> str:
        """Prometheus text of the worker."""
        return f"http://{self.address}/metrics"

    async def prepare(self) -> Command:
        """Picks the port of the metrics."""
        (self._metrics_port,) = free_ports(1)
        environment = {**self._settings(), "SPOTON_WORKER_METRICS_PORT": str(self._metrics_port)}
        return _python("orchestrator", "worker", environment=environment, stop_timeout_s=20.0)

    async def is_ready(self) -> bool:
        """Whether the metrics answer: the worker serves them once its models have answered."""
        return await _answers(self.metrics_url)

    def leftovers(self) -> tuple[str, ...]:
        """The shared memory through which frames and crops go to Triton."""
        return (shared_memory(self._settings()),)

    def clear_up(self) -> None:
        """Nothing: all that remains is shared memory."""


class Api:
    """``python -m api``."""

    name = "api"
    title = "API"
    needs = BACKENDS
    start_timeout_s = 120.0

    def __init__(self, settings: SettingsOf, log: Path, port: int | None = None) -> None:
        """``settings`` gives the ``SPOTON_`` variables; ``log`` is where the process's output goes.

        Without ``port`` the process takes a free one and says in its log which; it keeps that when started again.
        """
        self._settings = settings
        self._log = log
        self._said_before = 0
        self._address = "" if port is None else f"{LOOPBACK}:{port}"

    @property
    def address(self) -> str:
        """Host and port; empty until the process listens, unless the port was asked for."""
        return self._address

    @property
    def url(self) -> str:
        """Base of REST and media; that of the WebSocket is the same with ``ws``."""
        return f"http://{self.address}"

    async def prepare(self) -> Command:
        """Remembers where the log of this start begins."""
        self._said_before = self._log.stat().st_size if self._log.exists() else 0
        return _python("api", environment=self._settings(), stop_timeout_s=10.0)

    async def is_ready(self) -> bool:
        """Whether this very process listens and answers; whether its parts are healthy is what ``/health`` says."""
        with self._log.open("rb") as log:
            log.seek(self._said_before)
            listens = LISTENS.search(log.read())
        if listens is None:
            return False
        self._address = listens[1].decode()
        return await _answers(f"{self.url}/health/live")

    def leftovers(self) -> tuple[str, ...]:
        """Shared memory of a warm-up request."""
        return (shared_memory(self._settings()),)

    def clear_up(self) -> None:
        """Nothing: all that remains is shared memory."""


def settings_of(variables: dict[str, str]) -> Settings:
    """The settings of a process that is started with these ``SPOTON_`` variables."""
    return load_settings(**{name.removeprefix("SPOTON_").lower(): value for name, value in variables.items()})


def shared_memory(settings: dict[str, str]) -> str:
    """A glob of the shared memory that a process with these settings makes."""
    return f"{SHARED_MEMORY}/{settings['SPOTON_SHM_PREFIX']}*"


def _python(*arguments: str, environment: dict[str, str], stop_timeout_s: float) -> Command:
    command = [sys.executable, "-m", *arguments]
    return Command(command, environment={**ENVIRONMENT, **environment}, folder=ROOT, stop_timeout_s=stop_timeout_s)


async def _answers(url: str) -> bool:
    async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
        try:
            return (await client.get(url)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
