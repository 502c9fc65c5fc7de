"""The real stores: they keep what they should, leave nothing else, and come back after any kind of end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from demo.servers.errors import ServerDiedError, ServerStartError
from demo.servers.ports import LOOPBACK
from demo.servers.postgres import Postgres
from demo.servers.seaweedfs import SeaweedFS
from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.valkey import Valkey
from tests.processes import processes_of

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[3]
SERVE = """
import asyncio, sys
from pathlib import Path
from tests.demo.servers.test_stores import Stores

async def main():
    async with Stores(Path(sys.argv[1])) as stores:
        await stores.fill()
        print("full", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


class Stores:
    """The three stores on one state directory, and something to keep in them."""

    def __init__(self, folder):
        self.state = StateDirectory(folder)
        self.supervisor = Supervisor(self.state)
        self.postgres = Postgres(self.state)
        self.valkey = Valkey(self.state)
        self.seaweedfs = SeaweedFS(self.state)

    async def __aenter__(self):
        await self.supervisor.__aenter__()
        try:
            await self.supervisor.start([self.postgres, self.valkey, self.seaweedfs])
        except BaseException as error:
            await self.supervisor.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(self, *error):
        await self.supervisor.__aexit__(*error)

    async def fill(self):
        await self.seaweedfs.ensure_bucket("videos")
        await self.seaweedfs.ensure_bucket("videos")
        async with self.seaweedfs.access("videos").create_client() as client:
            await client.put_object(Bucket="videos", Key="a/b.mp4", Body=b"x" * 100_000)
        async with await psycopg.AsyncConnection.connect(self.postgres.dsn) as connection:
            await connection.execute("CREATE TABLE gallery (embedding vector(2))")
            await connection.execute("INSERT INTO gallery VALUES ('[3, 4]')")

    async def check(self):
        async with self.seaweedfs.access("videos").create_client() as client:
            answer = await client.get_object(Bucket="videos", Key="a/b.mp4")
            assert await answer["Body"].read() == b"x" * 100_000
        async with await psycopg.AsyncConnection.connect(self.postgres.dsn) as connection:
            distance = await connection.execute("SELECT embedding <-> '[0, 0]' FROM gallery")
            assert await distance.fetchone() == (5.0,)

    def ports(self):
        mine = processes_of(self.state.path)
        listing = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
        addresses = [line.split()[3].rsplit(":", 1) for line in listing if any(f"pid={pid}," in line for pid in mine)]
        assert {host for host, _ in addresses} == {LOOPBACK}
        return {int(port) for _, port in addresses}


@pytest.fixture
def folder(tmp_path):
    """A path with spaces, longer than that of a Unix socket may be."""
    return tmp_path / "a folder with spaces" / ("long " * 25).strip()


def system_v_segments():
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


def assert_nothing_left(folder, ports):
    assert processes_of(folder) == {}
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), timeout=5).close()
        assert list(Path("/tmp").glob(f"seaweedfs-*-{port}.sock")) == []
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()


async def test_stores_keep_their_data_and_leave_nothing_else(folder):
    async with Stores(folder) as stores:
        await stores.fill()
        ports = stores.ports()
        segment = (folder / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]
        assert segment in system_v_segments()
        kept = (folder / "postgres" / "data" / "postgresql.conf").read_text()
        assert "\ndynamic_shared_memory_type = mmap" in kept  # in force while initdb runs
    assert len(ports) > 3  # SeaweedFS opens some of its inner ones a little later than S3
    assert_nothing_left(folder, ports)
    assert segment not in system_v_segments()
    async with Stores(folder) as stores:
        await stores.check()
    (folder / "credentials.json").unlink()
    with pytest.raises(ServerStartError, match="was made with other credentials"):
        async with Stores(folder):
            pass
    assert_nothing_left(folder, ports)


@pytest.mark.parametrize(
    ("name", "title", "line"),
    [
        ("postgres", "PostgreSQL", "ready to accept connections"),
        ("valkey", "Valkey", "Ready to accept connections"),
        ("seaweedfs", "SeaweedFS", "S3"),
    ],
)
async def test_a_death_is_named_with_the_last_log_lines(folder, name, title, line):
    ports = set()

    async def lose_one():
        async with Stores(folder) as stores:
            ports.update(stores.ports())
            os.kill(stores.supervisor.pid(name), signal.SIGKILL)
            await asyncio.sleep(30)

    with pytest.raises(ServerDiedError, match=f"(?s){title} was killed by signal 9; .*{line}"):
        await lose_one()
    assert len(ports) > 3  # SeaweedFS opens some of its inner ones a little later than S3
    assert_nothing_left(folder, ports)


def test_stores_come_back_after_everything_was_killed(folder):
    with subprocess.Popen([sys.executable, "-c", SERVE, str(folder)], cwd=ROOT, stdout=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"full\n"
        for pid in {run.pid, *processes_of(folder)}:
            with contextlib.suppress(ProcessLookupError):  # a server may have gone with the one before
                os.kill(pid, signal.SIGKILL)
    sockets = json.loads((folder / "seaweedfs" / "ports.json").read_text()).values()

    async def come_back():
        async with Stores(folder) as stores:
            await stores.check()

    asyncio.run(come_back())
    assert_nothing_left(folder, sockets)


async def test_a_stranger_with_the_pid_of_the_dead_server_is_no_hindrance(folder):
    state = StateDirectory(folder)
    async with Supervisor(state) as supervisor:
        postgres = Postgres(state, durable=False)
        await supervisor.start([postgres])
        pid_file = folder / "postgres" / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        await supervisor.stop("postgres")
        pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
        await supervisor.start([postgres])


async def test_passwords_are_asked_for_and_not_on_command_lines(folder):
    async with Stores(folder) as stores:
        credentials = stores.state.credentials()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await psycopg.AsyncConnection.connect(stores.postgres.dsn.replace(credentials.postgres_password, "wrong"))
        wrong = stores.valkey.url.replace(credentials.redis_password, "wrong")
        with redis.Redis.from_url(wrong) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        lines = " ".join(processes_of(folder).values())
    for secret in (credentials.postgres_password, credentials.redis_password, credentials.s3_secret_access_key):
        assert secret not in lines
