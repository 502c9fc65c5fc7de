"""API and worker with the commands, settings and health checks of the compose file, against this machine's servers."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from demo.model_repository import CONFIG, SETTINGS
from demo.servers.ports import LOOPBACK, free_ports
from demo.servers.postgres import create_database, drop_database
from tests.deploy.compose import ROOT, service
from tests.system import BUILT, Whole
from tests.whole.test_whole_way import ended

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]
READY_WITHIN_S = 90.0
TOKEN = "python -m api token create me --role operator"
"""As the compose file's own first lines say."""


class Here:
    """The names, paths and ports of the compose file, and what they are on this machine."""

    def __init__(self, whole: Whole, folder: Path, database: str) -> None:
        stack, credentials = whole.stack, whole.stack.state.credentials()
        secrets = {
            "postgres_password": credentials.postgres_password,
            "redis_password": credentials.redis_password,
            "s3_access_key_id": credentials.s3_access_key_id,
            "s3_secret_access_key": credentials.s3_secret_access_key,
            "ticket_key": uuid.uuid4().hex,
        }
        for name, secret in secrets.items():
            (folder / name).write_text(f"{secret}\n")
        api, metrics = free_ports(2)
        self._places = {
            "triton:8001": stack.triton.address,
            "redis:6379/0": f"{stack.valkey.address}/1",
            "postgres:5432/spoton": f"{stack.postgres.address}/{database}",
            "s3:8333": stack.seaweedfs.address,
            "/run/secrets": str(folder),
            "/etc/spoton/site.yaml": stack.settings_env()["SPOTON_SITE_FILE"],
            "/var/cache/spoton": str(folder / "cache"),
            "0.0.0.0": LOOPBACK,
            "3847": str(api),
            "9464": str(metrics),
        }
        self.api_url = f"http://{LOOPBACK}:{api}"

    def text(self, value: object) -> str:
        found = str(value)
        for there, here in self._places.items():
            found = found.replace(there, here)
        return found

    def command(self, words: list[str]) -> list[str]:
        program, *arguments = (self.text(word) for word in words)
        assert program == "python"
        return [sys.executable, *arguments]

    def environ(self, name: str) -> Mapping[str, str]:
        settings = {key: self.text(value) for key, value in service(name)["environment"].items()}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("SPOTON_")}
        return {**inherited, **SETTINGS, **settings, "SPOTON_SHM_PREFIX": f"compose-{os.getpid()}-{name}"}


@asynccontextmanager
async def running(here: Here, name: str, folder: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Starts a service as compose does; gives what waits until its health check says that it is healthy."""
    log = folder / f"{name}.log"
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            *here.command(service(name)["command"]), cwd=ROOT, env=here.environ(name), stdout=output, stderr=output
        )

    async def healthy() -> None:
        async with asyncio.timeout(READY_WITHIN_S):
            while await status_of(here, service(name)["healthcheck"]["test"][1:], name) != 0:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.5)

    try:
        yield healthy
    finally:
        if process.returncode is None:
            process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0, log.read_text()


async def status_of(here: Here, words: list[str], name: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *here.command(words), cwd=ROOT, env=here.environ(name), stderr=asyncio.subprocess.DEVNULL
    )
    return await asyncio.wait_for(process.wait(), 10)


async def make_token(here: Here) -> str:
    assert TOKEN in (ROOT / "docker-compose.gpu.yml").read_text()
    process = await asyncio.create_subprocess_exec(
        *here.command(TOKEN.split()), cwd=ROOT, env=here.environ("api"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return out.decode().strip()


async def test_a_task_from_start_to_end(whole: Whole, tmp_path: Path) -> None:
    database = f"compose_{uuid.uuid4().hex[:12]}"
    admin = whole.stack.postgres.dsn_of("postgres")
    await create_database(admin, database)
    here = Here(whole, tmp_path, database)
    try:
        async with AsyncExitStack() as stack:
            starting = [await stack.enter_async_context(running(here, name, tmp_path)) for name in ("worker", "api")]
            await asyncio.gather(*(healthy() for healthy in starting))
            token = await make_token(here)
            headers = {"Authorization": f"Bearer {token}"}
            client = httpx.AsyncClient(base_url=here.api_url, headers=headers, timeout=20, trust_env=False)
            await stack.enter_async_context(client)
            body = {"environment_id": "campus"}
            stranger = {"Authorization": "Bearer nobody"}
            refused = await client.post("/api/v1/processing-tasks/start", json=body, headers=stranger)
            assert refused.status_code == httpx.codes.UNAUTHORIZED
            task = (await client.post("/api/v1/processing-tasks/start", json=body)).json()["task_id"]
            assert (await ended(client, task))["status"] == "COMPLETED"
    finally:
        await drop_database(admin, database)


async def run_once(name: str, places: Mapping[str, str]) -> str:
    """Runs a service that ends by itself; gives what it said."""
    program, *arguments = service(name)["command"]
    assert program == "python"
    for there, here in places.items():
        arguments = [word.replace(there, here) for word in arguments]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.usefixtures("whole")  # whose models they are
async def test_the_export_job_leaves_what_is_up_to_date_and_the_check_lets_it_pass(tmp_path: Path) -> None:
    content = yaml.safe_load(CONFIG.read_text())
    content |= {"repository": str(BUILT / "model_repository"), "work": str(BUILT / "model_repository.work")}
    for model in ("detector", "reid"):
        content[model]["weights"] = str(CONFIG.parent / content[model]["weights"])
    (tmp_path / "export.yaml").write_text(yaml.safe_dump(content))
    said = await run_once("export", {"/etc/spoton": str(tmp_path)})
    assert said.count("up to date") == 2
    checked = await run_once("check", {"/models": str(BUILT / "model_repository")})
    assert [line.split()[0] for line in checked.splitlines()] == ["person_detector", "person_reid"]
