"""Without access control: what comes from this machine is served, what a stranger's page or a proxy sends is not."""

from __future__ import annotations

import httpx
import pytest
import pytest_asyncio
import websockets

from api.app import create_app
from api.problems import MEDIA_TYPE

LIST = "/api/v1/config/environments"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(settings):
    app = create_app(settings(cors_origins=("https://viewer.example",)))
    async with app.router.lifespan_context(app):
        yield app


async def ask(app, headers, client=("127.0.0.1", 5)):
    transport = httpx.ASGITransport(app, client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as asking:
        return await asking.get(LIST, headers=headers)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        *(
            {"Host": host}
            for host in ("127.0.0.1:3847", "127.8.8.8", "[::1]:3847", "localhost:80", "LOCALHOST.", "api")
        ),
        {"Host": "viewer.localhost"},
        {"Origin": "http://localhost:5173"},
        {"Origin": "https://viewer.example"},
    ],
)
async def test_this_machine_is_served(app, headers):
    assert (await ask(app, headers)).status_code == 200


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Host": host}
            for host in ("rebound.example:3847", "10.0.0.7", "[2001:db8::1]", "localhost.example", "[::1")
        ),
        *({"Origin": origin} for origin in ("https://elsewhere.example", "null", "http://127.0.0.1.example")),
    ],
)
async def test_a_page_from_elsewhere_is_not(app, headers):
    answer = await ask(app, headers)
    assert (answer.status_code, answer.headers["content-type"]) == (403, MEDIA_TYPE)
    assert next(iter(headers.values())) in answer.json()["detail"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.asyncio(loop_scope="module")
async def test_nor_is_whom_a_proxy_brings_in(app):
    assert (await ask(app, {}, ("203.0.113.9", 5))).status_code == 403
    assert (await ask(app, {}, ("::1", 5))).status_code == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_the_websocket_is_asked_too(settings, serve):
    async with serve(settings()) as client:
        address = f"{str(client.base_url).replace('http', 'ws')}/ws/tracking/x"
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(address, origin="https://elsewhere.example", proxy=None)
    assert refused.value.response.status_code == 403


@pytest.mark.asyncio(loop_scope="module")
async def test_with_access_control_the_token_decides(settings):
    app = create_app(settings(access="on", ticket_key="k" * 32))
    async with app.router.lifespan_context(app):
        answer = await ask(app, {"Host": "spoton.example", "Origin": "https://elsewhere.example"})
    assert answer.status_code == 401
