"""The command lines of the compose file, run here with the same programs where this machine has them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest
import redis.asyncio

from demo.servers import seaweedfs, triton, valkey
from demo.servers.errors import MissingPartError
from demo.servers.ports import LOOPBACK, free_ports
from demo.servers.seaweedfs import S3Access
from demo.servers.state import SHARED_MEMORY
from tests.deploy.compose import ROOT, service
from tests.orchestrator.inference.models import write_models

pytestmark = pytest.mark.servers
WITHIN_S = 40.0
NEWER = {"--allow-client-shm"}
"""Flags of Triton that its wheel, of an earlier release, does not know."""
PASSWORD = "p4ssw0rd-of-this-test"


def has_triton() -> bool:
    try:
        triton.find_environment()
    except MissingPartError:
        return False
    return True


def shell(command: list[str], folder: Path, programs: Mapping[str, Path]) -> list[str]:
    """The command of an image whose entrypoint is a shell: secrets in ``folder``, programs by their own path."""
    (script,) = command
    script = script.replace("/run/secrets", str(folder))
    for name, path in programs.items():
        script = script.replace(f"exec {name}", f"exec {path}")
    return ["/bin/sh", "-c", script]


@contextlib.asynccontextmanager
async def running(
    command: list[str], folder: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    with (folder / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env={**os.environ, **(environ or {})}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def test_redis_takes_its_password_from_the_secret_and_shows_it_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text(PASSWORD)
    (port,) = free_ports(1)
    command = shell(service("redis")["command"], tmp_path, {"redis-server": valkey._binary()})
    command[-1] = command[-1].replace("--dir /data", f"--dir {tmp_path} --port {port} --bind {LOOPBACK}")
    async with running(command, tmp_path) as process:
        url = f"redis://:{PASSWORD}@{LOOPBACK}:{port}/0"
        async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client, asyncio.timeout(WITHIN_S):
            while True:
                try:
                    assert await client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
                    break
                except redis.ConnectionError:
                    assert process.returncode is None, (tmp_path / "log").read_text()
                    await asyncio.sleep(0.05)
        async with redis.asyncio.Redis(host=LOOPBACK, port=port) as stranger:
            with pytest.raises(redis.AuthenticationError):
                await stranger.config_get("dir")
        assert PASSWORD not in Path(f"/proc/{process.pid}/cmdline").read_text()
    assert (tmp_path / "appendonlydir").is_dir()


async def test_the_object_store_has_the_bucket_for_who_has_the_keys(tmp_path: Path) -> None:
    for name in ("s3_access_key_id", "s3_secret_access_key"):
        (tmp_path / name).write_text(f"{name}-of-this-test")
    ports = seaweedfs._pick_ports()
    flags = " ".join(f"-{seaweedfs._port_flag(part)}={port}" for part, port in ports.items())
    command = shell(service("s3")["command"], tmp_path, {"weed": seaweedfs._binary()})
    command[-1] = (
        command[-1].replace("-dir=/objects", f"-dir={tmp_path}").replace("-ip.bind=0.0.0.0", f"-ip.bind={LOOPBACK}")
    )
    command[-1] = f"{command[-1].replace('-s3.port=8333', '')} {flags}"
    access = S3Access(
        f"http://{LOOPBACK}:{ports['s3']}",
        seaweedfs.REGION,
        service("s3")["environment"]["S3_BUCKET"],
        "s3_access_key_id-of-this-test",
        "s3_secret_access_key-of-this-test",
    )
    try:
        async with running(command, tmp_path, {**service("s3")["environment"], "GOMEMLIMIT": "512MiB"}) as process:
            async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(WITHIN_S):
                while not await answers(client, f"{access.endpoint_url}/healthz"):
                    assert process.returncode is None, (tmp_path / "log").read_text()
                    await asyncio.sleep(0.1)
            async with access.create_client() as store, asyncio.timeout(WITHIN_S):
                while access.bucket not in [each["Name"] for each in (await store.list_buckets())["Buckets"]]:
                    await asyncio.sleep(0.1)
                await store.put_object(Bucket=access.bucket, Key="a", Body=b"b")
            log = (tmp_path / "log").read_text()
            assert access.secret_access_key not in log
    finally:
        for port in ports.values():
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket.unlink()


async def status_of(command: list[str]) -> int:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    return await asyncio.wait_for(process.wait(), 10)


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url, timeout=2)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.mark.skipif(shutil.which("curl") is None, reason="its health check is curl's, which is not here")
@pytest.mark.skipif(not has_triton(), reason="Triton is not installed: python3 deploy/install.py triton")
async def test_triton_starts_with_its_flags_and_the_health_check_sees_it(tmp_path: Path) -> None:
    environment = triton.find_environment()
    triton._link_backend(tmp_path / "backends" / "python", environment)
    write_models(tmp_path / "models")
    program, *flags = service("triton")["command"]
    places = {"--model-repository": str(tmp_path / "models")}
    given = dict(flag.split("=", 1) for flag in flags) | places
    assert given.keys() >= NEWER
    http, grpc, metrics = free_ports(3)
    known = [f"{name}={value}" for name, value in given.items() if name not in NEWER]
    own = [f"--{part}-address={LOOPBACK}" for part in ("http", "grpc", "metrics")]
    own += ["--backend-directory=backends", f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    server = str(triton._package(environment) / "bin" / program)
    async with running([server, *known, *own], tmp_path, triton._variables(environment)) as process:
        test = [word.replace(":8000/", f":{http}/") for word in service("triton")["healthcheck"]["test"][1:]]
        async with asyncio.timeout(WITHIN_S):
            while await status_of(test) != 0:
                assert process.returncode is None, (tmp_path / "log").read_text()
                await asyncio.sleep(0.1)
    assert not list(SHARED_MEMORY.glob(f"*{process.pid}*"))


def test_the_probe_is_what_the_health_checks_of_our_own_image_run(closed_port: int) -> None:
    for name in ("api", "worker"):
        kind, program, *arguments = service(name)["healthcheck"]["test"]
        assert (kind, program, arguments[0]) == ("CMD", "python", "deploy/probe.py")
        url = arguments[1].replace("3847", str(closed_port)).replace("9464", str(closed_port))
        done = subprocess.run(
            [sys.executable, arguments[0], url], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 1
        assert "refused" in done.stderr
