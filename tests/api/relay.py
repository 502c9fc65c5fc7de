"""A TCP relay, so that a server seems to appear on a port, to stand still, to go away, and to come back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress


class Line:
    """What stands between a client and a server."""

    def __init__(self):
        self._writers = []
        self._flowing = asyncio.Event()
        self._flowing.set()

    def freeze(self):
        """Nothing passes any more, and nobody is told."""
        self._flowing.clear()

    def thaw(self):
        """What was held back passes on."""
        self._flowing.set()

    def cut(self):
        """Breaks all connections off."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def join(self, reader, writer, to_host, to_port):
        """Passes everything on in both directions."""
        upstream_reader, upstream_writer = await asyncio.open_connection(to_host, to_port)
        self._writers += (writer, upstream_writer)
        await asyncio.gather(self._copy(reader, upstream_writer), self._copy(upstream_reader, writer))

    async def _copy(self, reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def relay(port: int, to_host: str, to_port: int):
    """Listens on ``port`` of loopback while the block lasts; connections are cut at its end."""
    line = Line()
    server = await asyncio.start_server(lambda *ends: line.join(*ends, to_host, to_port), "127.0.0.1", port)
    try:
        yield line
    finally:
        server.close()
        line.cut()
