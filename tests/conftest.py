"""What all tests share: the real stores, started once a session, and a fresh corner of each for every test."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from demo.servers.ports import free_ports
from demo.servers.postgres import Postgres, create_database, drop_database
from demo.servers.seaweedfs import S3Access, SeaweedFS
from demo.servers.stack import Stack
from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.valkey import Valkey
from tests.processes import processes_of
from tests.system import whole  # noqa: F401  a fixture

T = TypeVar("T")
START_TIMEOUT_S = 100.0
CALL_TIMEOUT_S = 30.0


class Backends:
    """PostgreSQL, Valkey and SeaweedFS, supervised on an event loop in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        state = StateDirectory(folder)
        self.postgres = Postgres(state, durable=False)
        self.valkey = Valkey(state)
        self.seaweedfs = SeaweedFS(state)
        self._state = state
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="backends", daemon=True)
        self._ready = threading.Event()
        self._enough = asyncio.Event()
        self._run: Any = None

    def start(self) -> None:
        self._thread.start()
        self._run = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        self._run.add_done_callback(lambda _: self._ready.set())
        assert self._ready.wait(START_TIMEOUT_S), "the servers did not start in time"
        self.check()

    def check(self) -> None:
        """Raises what ended the servers, if anything did."""
        if self._run.done():
            self._run.result()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine beside the servers and gives its result."""
        self.check()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT_S)

    def stop(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._enough.set)
            self._run.result(CALL_TIMEOUT_S)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_TIMEOUT_S)
            self._loop.close()

    async def _serve(self) -> None:
        async with Supervisor(self._state) as supervisor:
            await supervisor.start([self.postgres, self.valkey, self.seaweedfs])
            self._ready.set()
            await self._enough.wait()


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """The real stores; the session fails if a process of theirs is left behind."""
    servers = Backends(tmp_path_factory.mktemp("backends"))
    servers.start()
    yield servers
    servers.stop()
    assert processes_of(servers.folder) == {}


@pytest.fixture
def pg_dsn(backends: Backends) -> Iterator[str]:
    """A fresh database with the extension ``vector``."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = backends.postgres.dsn_of("postgres")
    backends.call(create_database(admin, name))
    yield backends.postgres.dsn_of(name)
    backends.call(drop_database(admin, name))


@pytest.fixture
def redis_url(backends: Backends) -> str:
    """An empty Valkey."""
    with redis.Redis.from_url(backends.valkey.url, socket_timeout=CALL_TIMEOUT_S) as client:
        client.flushall()
    return backends.valkey.url


@pytest.fixture
def s3(backends: Backends) -> S3Access:
    """A fresh bucket."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    backends.call(backends.seaweedfs.ensure_bucket(bucket))
    return backends.seaweedfs.access(bucket)


@pytest.fixture
def make_stack(tmp_path: Path) -> Callable[..., Stack]:
    """``make_stack(site_file, model_repository)``: everything, Triton included, on a state directory of the test's own.

    ``async with make_stack(...) as stack`` takes the directory; ``stack.start_backends()`` and ``stack.start_spoton()``
    start the servers, which end with the block.
    """

    def make(site_file: Path, model_repository: Path, **options: Any) -> Stack:
        chosen = {"api_port": free_ports(1)[0], "durable": False, **options}
        return Stack(tmp_path / "stack", site_file, model_repository, **chosen)

    return make
