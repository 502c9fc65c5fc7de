"""The least that any server of this kind does: one uvicorn process that sends one ready text to every client.

``python -m benchmarks.websocket.floor``; says its port on standard output, and sends each line of its standard input to
every client as soon as it comes. No log, no catching up, no queues, no deadline.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

LINE_BYTES = 1 << 20


class Floor:
    """Hands the latest line to all clients."""

    def __init__(self) -> None:
        self._news = asyncio.Condition()
        self._lines: list[str] = []
        self._ended = False

    async def read(self) -> None:
        """Takes standard input line by line."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            await self._say(line.decode().rstrip("\n"))
        self._ended = True
        async with self._news:
            self._news.notify_all()

    async def serve(self, websocket: WebSocket) -> None:
        """Sends everything said from now on."""
        await websocket.accept()
        sent = len(self._lines)
        while not self._ended or sent < len(self._lines):
            async with self._news:
                await self._news.wait_for(lambda: self._ended or sent < len(self._lines))  # noqa: B023
            for line in self._lines[sent:]:
                await websocket.send_text(line)
                sent += 1
        await websocket.close()

    async def _say(self, line: str) -> None:
        self._lines.append(line)
        async with self._news:
            self._news.notify_all()


def main() -> None:
    """Serves until standard input ends and every client was told."""
    floor = Floor()

    @asynccontextmanager
    async def reading(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(floor.read())
        yield
        task.cancel()

    app = Starlette(routes=[WebSocketRoute("/", floor.serve)], lifespan=reading)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_config=None, ws_per_message_deflate=False)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
