"""Request heads that never end, in size or in time; against the server as ``python -m api`` configures it."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
import pytest_asyncio
import uvicorn
import websockets

from api import bodies, heads
from api.__main__ import bind, server_config
from api.app import create_app


@pytest_asyncio.fixture(loop_scope="function")
async def port(settings):
    with bind(settings()) as listener:
        server = uvicorn.Server(server_config(create_app(settings()), ()))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await running


async def converse(port, *pieces, pause_s=0.0):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(pause_s)
            return await reader.read()
    finally:
        writer.close()


ASK = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
END = b"Connection: close\r\n\r\n"


async def test_a_head_without_end_is_refused(port):
    answer = await converse(port, ASK, *(b"X: " + b"a" * 8000 + b"\r\n" for _ in range(9)), pause_s=0.02)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["type"] == "urn:spoton:problem:head-too-large"


async def test_a_slow_head_is_refused_and_silence_is_not_listened_to(port, monkeypatch):
    monkeypatch.setattr(heads, "HEAD_DEADLINE_S", 0.2)
    assert (await converse(port, ASK)).startswith(b"HTTP/1.1 408 ")
    assert await converse(port) == b""


async def test_heads_within_the_bounds_pass_one_after_another(port, monkeypatch):
    monkeypatch.setattr(heads, "HEAD_DEADLINE_S", 1.0)
    large = b"X: " + b"a" * 20_000 + b"\r\n"
    whole = ASK + large + b"\r\n"
    answer = await converse(port, whole[:9], whole[9:15_000], whole[15_000:], ASK, END, pause_s=0.05)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


async def test_a_body_that_does_not_come_is_not_waited_for(port, monkeypatch):
    monkeypatch.setattr(bodies, "DEADLINE_S", 0.2)
    ask = b"POST /api/v1/processing-tasks/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head, _, body = (await converse(port, ask + b"Content-Length: 100\r\n\r\n{")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["detail"] == "the body was not complete within 0.2 s"


async def test_a_refused_websocket_is_no_error_in_the_log(port, caplog):
    for path, code in (("/ws/nowhere", 404), ("/ws/tracking/x?since=soon", 422)):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"ws://127.0.0.1:{port}{path}", proxy=None)
        assert refused.value.response.status_code == code
    said = [each for each in caplog.records if each.name.startswith("uvicorn") and each.levelno >= logging.WARNING]
    assert said == []


async def test_what_is_no_http_is_a_problem(port):
    head, _, body = (await converse(port, b"EHLO spoton\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == 400
