"""What one client may have open at once, and that a client which never reads does not keep it open."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest
import websockets
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect

from api.access.connections import Connections, Open
from api.access.limits import RateLimitedError
from api.access.principal import Principal, Role
from api.problems import MEDIA_TYPE
from orchestrator.settings import load_settings
from tests.api.access.conftest import until_prepared

SUB_VIDEO = "environments/campus/cameras/c01/sub_videos/sub_video_01.mp4"
LARGE_BYTES = 24 * 2**20


def of(name, address):
    principal = Principal(name, Role.VIEWER, None)
    return HTTPConnection({"type": "http", "client": (address, 1), "state": {"principal": principal}})


def test_each_client_has_its_own_bound_and_gets_back_what_it_closes():
    connections = Connections(load_settings(_env_file=None, client_websockets=2, client_videos=1))
    ana = of("ana", "192.0.2.1")
    with connections.held(Open.WEBSOCKET, ana):
        with connections.held(Open.WEBSOCKET, ana):
            with pytest.raises(RateLimitedError, match="too many WebSockets: 2 at once"):
                connections.held(Open.WEBSOCKET, ana).__enter__()
            for other in (of("bob", "192.0.2.1"), of("ana", "192.0.2.2")):
                with connections.held(Open.WEBSOCKET, other), connections.held(Open.VIDEO, ana):
                    pass
        with connections.held(Open.WEBSOCKET, ana):
            pass
    assert not connections._open


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_one_websocket_too_many_is_refused_until_another_is_closed(live, serve):
    async with serve(live(client_websockets=2)) as client:
        await until_prepared(client)
        answer = await client.post("/api/v1/processing-tasks/start", json={"environment_id": "campus"})
        url = str(client.base_url).replace("http", "ws") + answer.json()["websocket_url"]
        async with connect(url) as kept:
            async with connect(url):
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await connect(url)
            assert refused.value.response.status_code == 429
            assert refused.value.response.headers["retry-after"] == "5"
            assert "2 at once" in json.loads(refused.value.response.body)["detail"]
            await kept.send('{"type": "ping"}')
            async with asyncio.timeout(5):
                while True:  # the server hears of the close a moment later
                    try:
                        async with connect(url):
                            break
                    except websockets.InvalidStatus:
                        await asyncio.sleep(0.05)


@pytest.mark.servers
@pytest.mark.asyncio(loop_scope="module")
async def test_clients_that_never_read_are_bounded_and_hung_up_on(live, serve, folder, tmp_path):
    large = tmp_path / "videos/video_s37/c01/sub_video_01.mp4"
    large.parent.mkdir(parents=True)
    large.write_bytes(bytes(LARGE_BYTES))
    settings = live(client_videos=3, client_stall_s=3, video_folder=tmp_path / "videos", cache_dir=tmp_path / "cache")
    async with serve(settings) as client:
        await until_prepared(client)
        answer = await client.post("/api/v1/processing-tasks/start", json={"environment_id": "campus"})
        path = f"/api/v1/media/tasks/{answer.json()['task_id']}/{SUB_VIDEO}"
        assert (await client.head(path)).status_code == 200
        await until_status(client, path, 206)  # it is in the cache
        stalled = [await never_reading(client.base_url, path) for _ in range(3)]
        try:
            refused = await until_status(client, path, 429)
            assert refused.headers["content-type"] == MEDIA_TYPE
            assert refused.headers["retry-after"] == "5"
            assert "too many videos being sent: 3 at once" in refused.json()["detail"]
            await until_status(client, path, 206)
        finally:
            for each in stalled:
                each.close()


async def never_reading(base_url: httpx.URL, path: str) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (base_url.host, base_url.port))
    await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nHost: {base_url.host}\r\n\r\n".encode())
    assert await loop.sock_recv(client, 12) == b"HTTP/1.1 200", "it reads no more than that"
    return client


async def until_status(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    async with asyncio.timeout(30):
        while (answer := await client.get(path, headers={"Range": "bytes=0-9"})).status_code != status:
            await asyncio.sleep(0.1)
    return answer
