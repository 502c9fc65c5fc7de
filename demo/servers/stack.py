"""The whole of SpotOn on one machine: every server, and the settings by which worker and API find them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.servers.errors import StoppedBySignalError
from demo.servers.ports import LOOPBACK
from demo.servers.postgres import Postgres
from demo.servers.seaweedfs import REGION, S3Access, SeaweedFS
from demo.servers.spoton import Api, Worker, shared_memory
from demo.servers.state import StateDirectory
from demo.servers.supervisor import OnEvent, Supervisor
from demo.servers.triton import Triton
from demo.servers.valkey import Valkey

BUCKET = "spoton"


class Stack:
    """Triton, SeaweedFS, Valkey, PostgreSQL, worker and API for one state directory, while the block lasts.

    ``async with Stack(...) as stack`` takes the state directory, which keeps history, objects and credentials between
    runs, and starts nothing; the block ends as ``Supervisor`` says. Ports are free ones; that of the API is 3847 or the
    next free one at its start, unless ``api_port`` asks for another. ``settings`` holds ``SPOTON_`` variables
    that win over those of the stack.
    """

    def __init__(
        self,
        state_dir: Path,
        site_file: Path,
        model_repository: Path,
        *,
        settings: Mapping[str, str] | None = None,
        api_port: int | None = None,
        durable: bool = True,
        on_event: OnEvent | None = None,
    ) -> None:
        self.state = StateDirectory(state_dir)
        self.supervisor = Supervisor(self.state, on_event)
        self.postgres = Postgres(self.state, durable=durable)
        self.valkey = Valkey(self.state)
        self.seaweedfs = SeaweedFS(self.state)
        self.triton = Triton(self.state, model_repository)
        self.worker = Worker(lambda: self._settings_of("worker"))
        self.api = Api(lambda: self._settings_of("api"), self.supervisor.log("api"), api_port)
        self._serving = False
        self._site_file = site_file.resolve()
        self._overrides = dict(settings or {})

    async def __aenter__(self) -> Self:
        await self.supervisor.__aenter__()
        await self.supervisor.sweep_at_end(shared_memory(self.settings_env()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:
            await self.supervisor.__aexit__(kind, error, traceback)
        except StoppedBySignalError:
            if not self._serving:
                raise
            return True
        return False

    async def serve(self) -> None:
        """Waits until a signal, which is the normal end of the block from now on, or a server's failure."""
        self._serving = True
        await asyncio.Event().wait()

    async def start_stores(self) -> None:
        """Starts PostgreSQL, Valkey and SeaweedFS, with a bucket for the videos."""
        await self.supervisor.start([self.postgres, self.valkey, self.seaweedfs])
        await self.seaweedfs.ensure_bucket(BUCKET)

    async def start_triton(self) -> None:
        """Starts Triton on what the model repository holds by now."""
        await self.supervisor.start([self.triton])

    async def start_backends(self) -> None:
        """Starts everything but SpotOn itself, all at once."""
        await self.supervisor.start([self.postgres, self.valkey, self.seaweedfs, self.triton])
        await self.seaweedfs.ensure_bucket(BUCKET)

    async def start_spoton(self) -> None:
        """Starts worker and API; the backends must be ready."""
        await self.supervisor.start([self.worker, self.api])

    @property
    def bucket(self) -> S3Access:
        """The bucket in which worker and API look for the videos."""
        return self.seaweedfs.access(BUCKET)

    def settings_env(self) -> dict[str, str]:
        """Every ``SPOTON_`` variable that a process needs in order to use this stack, as far as ports are known yet."""
        credentials = self.state.credentials()
        api_port = self.api.address.rpartition(":")[2]
        return {
            "SPOTON_SITE_FILE": str(self._site_file),
            "SPOTON_VIDEO_SOURCE": "s3",
            "SPOTON_S3_ENDPOINT_URL": self.seaweedfs.endpoint_url,
            "SPOTON_S3_REGION": REGION,
            "SPOTON_S3_BUCKET": BUCKET,
            "SPOTON_S3_ACCESS_KEY_ID": credentials.s3_access_key_id,
            "SPOTON_S3_SECRET_ACCESS_KEY": credentials.s3_secret_access_key,
            "SPOTON_CACHE_DIR": str(self.state.path / "cache"),
            "SPOTON_TRITON_URL": self.triton.address,
            "SPOTON_SHM_PREFIX": f"{credentials.shm_prefix}-client",
            "SPOTON_REDIS_URL": self.valkey.url,
            "SPOTON_POSTGRES_DSN": self.postgres.dsn,
            "SPOTON_API_HOST": LOOPBACK,
            **({"SPOTON_API_PORT": api_port} if api_port else {}),
            **self._overrides,
        }

    def _settings_of(self, process: str) -> dict[str, str]:
        """Shared memory is cleared away when its process has ended, so each has names of its own."""
        return {**self.settings_env(), "SPOTON_SHM_PREFIX": f"{self.state.credentials().shm_prefix}-{process}"}
