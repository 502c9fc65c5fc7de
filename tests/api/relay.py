"""A TCP relay, so that a server seems to appear on a port, to go away, and to come back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def relay(port: int, to_host: str, to_port: int):
    """Listens on ``port`` of loopback while the block lasts; connections are cut at its end."""
    writers = []

    async def pass_on(reader, writer):
        upstream_reader, upstream_writer = await asyncio.open_connection(to_host, to_port)
        writers.extend((writer, upstream_writer))
        await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))

    server = await asyncio.start_server(pass_on, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def _copy(reader, writer):
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
