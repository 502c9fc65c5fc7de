"""The stack before anything of it runs: what it tells worker and API."""

import asyncio
import os
import signal
import socket

import pytest

from demo.servers.errors import ServersError, StoppedBySignalError
from demo.servers.ports import LOOPBACK
from demo.servers.spoton import Api, settings_of
from demo.servers.stack import Stack
from orchestrator.settings import Settings

SITE = "environments: {campus: {cameras: {c01: {prefix: video/c01}}}}"


@pytest.fixture
def stack_here(tmp_path):
    return lambda **options: Stack(tmp_path / "state", tmp_path / "site.yaml", tmp_path / "models", **options)


async def test_the_settings_are_those_of_this_stack(stack_here, tmp_path):
    async with stack_here(settings={"SPOTON_TRACKER_BACKEND": "python"}, api_port=12345) as stack:
        settings = settings_of(stack.settings_env())
        credentials = stack.state.credentials()
    assert settings.site_file == tmp_path / "site.yaml"
    assert settings.cache_dir == tmp_path / "state" / "cache"
    assert settings.api_port == 12345
    assert settings.tracker_backend == "python"
    assert settings.s3_secret_access_key.get_secret_value() == credentials.s3_secret_access_key
    assert credentials.redis_password in settings.redis_url.get_secret_value()
    assert credentials.postgres_password in settings.postgres_dsn.get_secret_value()


async def test_each_process_has_shared_memory_of_its_own(stack_here):
    async with stack_here() as stack:
        patterns = [*stack.worker.leftovers(), *stack.api.leftovers(), *stack.triton.leftovers()]
        patterns.append(f"/dev/shm/{stack.settings_env()['SPOTON_SHM_PREFIX']}*")
    assert len({pattern.removesuffix("*") for pattern in patterns}) == 4


@pytest.fixture
def default_port():
    """The API's own port, held for as long as the test lasts."""
    port = Settings.model_fields["api_port"].default
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind((LOOPBACK, port))
            other.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        yield port


async def test_the_api_takes_the_next_free_port_at_its_start(stack_here, default_port, monkeypatch, tmp_path):
    monkeypatch.delenv("SPOTON_API_PORT", raising=False)
    tmp_path.joinpath("site.yaml").write_text(SITE)
    async with stack_here() as stack:
        assert "SPOTON_API_PORT" not in stack.settings_env()
        await stack.supervisor.start([stack.api])
        port = int(stack.api.address.rpartition(":")[2])
        assert port > default_port
        assert stack.settings_env()["SPOTON_API_PORT"] == str(port)


async def test_an_api_that_somebody_else_answers_for_is_not_ready(tmp_path):
    log = tmp_path / "api.log"
    log.write_text("SpotOn API listens on http://127.0.0.1:1\n")
    api = Api(dict, log, port=2)
    await api.prepare()
    assert not await api.is_ready()
    assert api.address == f"{LOOPBACK}:2"


async def test_a_signal_is_the_normal_end_only_of_what_serves(stack_here):
    async with stack_here() as stack:
        os.kill(os.getpid(), signal.SIGTERM)
        await stack.serve()

    async def stop_early():
        async with stack_here():
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(10)

    with pytest.raises(StoppedBySignalError):
        await stop_early()


async def test_two_stacks_cannot_share_a_state_directory(stack_here):
    async with stack_here():
        with pytest.raises(ServersError, match="in use"):
            await stack_here().__aenter__()
