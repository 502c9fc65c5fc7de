"""Many WebSocket clients in one process, for the benchmark: how late each tick reaches each of them.

``python -m benchmarks.websocket.clients URL CLIENTS OUT``; says ``ready`` on standard output once all are connected and
one more client, which never reads, has joined them. Ends when the server has closed every connection.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import sys
import time
from pathlib import Path

import aiohttp
import numpy as np
from yarl import URL

CONNECTING_AT_ONCE = 50
HANDSHAKE_S = 60.0
TICK = '{"type":"tracking_update"'
STAMP = '"timestamp_processed_utc":"'


async def main(url: URL, clients: int, out: Path) -> None:
    """Writes ``out``: int64 [clients, 2 + ticks], for each client how many ticks came, how many were not the one after
    the last, and each one's delay in ns, -1 in place of those that did not come.
    """
    gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
    ready = [asyncio.Event() for _ in range(clients)]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        followers = [group.create_task(_follow(session, url, gate, event)) for event in ready]
        await asyncio.gather(*(event.wait() for event in ready))
        with _stuck(url):
            print("ready", flush=True)
            found = [await follower for follower in followers]
    await asyncio.to_thread(np.save, out, _table(found))


async def _follow(
    session: aiohttp.ClientSession, url: URL, gate: asyncio.Semaphore, ready: asyncio.Event
) -> tuple[list[int], int]:
    """Delay of every tick, and how many ticks did not follow the one before."""
    delays: list[int] = []
    gaps, last = 0, 0
    async with gate, asyncio.timeout(HANDSHAKE_S):
        socket = await session.ws_connect(url, compress=0, autoping=True)
    async with socket:
        ready.set()
        async for message in socket:
            text = message.data
            if not text.startswith(TICK):
                continue
            stamp = text.index(STAMP) + len(STAMP)
            delays.append(time.monotonic_ns() - int(text[stamp : text.index('"', stamp)]))
            seq = int(text[text.rindex(":") + 1 : -1])
            gaps += last > 0 and seq != last + 1
            last = seq
    return delays, gaps


def _stuck(url: URL) -> socket.socket:
    """A client that has asked for everything and reads nothing."""
    client = socket.socket()
    client.settimeout(HANDSHAKE_S)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before connecting: so little is ever on its way
    client.connect((url.host, url.port))
    key = base64.b64encode(b"sixteen bytes...").decode()
    lines = (
        f"GET {url.raw_path_qs} HTTP/1.1",
        f"Host: {url.authority}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    )
    client.sendall("\r\n".join((*lines, "", "")).encode())
    return client


def _table(found: list[tuple[list[int], int]]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    longest = max(len(delays) for delays, _ in found)
    table = np.full((len(found), 2 + longest), -1, np.int64)
    for row, (delays, gaps) in zip(table, found, strict=True):
        row[:2] = len(delays), gaps
        row[2 : 2 + len(delays)] = delays
    return table


if __name__ == "__main__":
    asyncio.run(main(URL(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
