from __future__ import annotations

import asyncio
import secrets
import threading
from pathlib import Path

import pytest

from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.triton import Triton
from orchestrator.settings import load_settings
from tests.orchestrator.inference.models import write_models

START_TIMEOUT_S = 100.0


@pytest.fixture(scope="session")
def triton(tmp_path_factory):
    """The gRPC address of a real Triton with tiny models."""
    folder = tmp_path_factory.mktemp("triton")
    state = StateDirectory(folder / "state")
    server = Triton(state, write_models(folder / "models"))
    ready, enough = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    async def serve() -> None:
        async with Supervisor(state) as supervisor:
            await supervisor.start([server])
            ready.set()
            await asyncio.to_thread(enough.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="triton")
    thread.start()
    try:
        assert ready.wait(START_TIMEOUT_S)
        assert not failures, failures
        yield server.address
    finally:
        enough.set()
        thread.join(START_TIMEOUT_S)
    assert not failures, failures


@pytest.fixture
def shm_prefix():
    """A prefix for shared memory; the test fails if any is left behind."""
    prefix = f"spoton-test-{secrets.token_hex(4)}"
    yield prefix
    left = [path.name for path in Path("/dev/shm").glob(f"*{prefix}*")]
    assert left == []


@pytest.fixture
def settings(triton, shm_prefix):
    """Makes settings for the server; keyword arguments win."""

    def make(**more):
        return load_settings(
            **{
                "triton_url": triton,
                "shm_prefix": shm_prefix,
                "ticks_in_flight": 2,
                "triton_timeout_s": 10.0,
                "low_detection_threshold": 0.1,
                **more,
            }
        )

    return make
