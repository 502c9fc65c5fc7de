"""The stack before anything of it runs: what it tells worker and API."""

import socket

import pytest

from demo.servers.errors import ServersError
from demo.servers.ports import LOOPBACK
from demo.servers.stack import API_PORT, Stack
from orchestrator.settings import load_settings


@pytest.fixture
def stack_here(tmp_path):
    return lambda **options: Stack(tmp_path / "state", tmp_path / "site.yaml", tmp_path / "models", **options)


def settings_of(variables):
    return load_settings(**{name.removeprefix("SPOTON_").lower(): value for name, value in variables.items()})


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


async def test_the_api_takes_the_next_free_port(stack_here):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind((LOOPBACK, API_PORT))
            other.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        async with stack_here() as stack:
            assert int(stack.api.address.rpartition(":")[2]) > API_PORT


async def test_two_stacks_cannot_share_a_state_directory(stack_here):
    async with stack_here():
        with pytest.raises(ServersError, match="in use"):
            await stack_here().__aenter__()
