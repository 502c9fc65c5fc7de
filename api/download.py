"""Files that are made while they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

STALL_S = 30.0
"""A client that takes nothing for so long is cut off: it holds a connection to the database."""


class Download(StreamingResponse):
    """Sends pieces as they come; what breaks off midway ends without its last chunk, so that clients notice."""

    @classmethod
    async def start(cls, pieces: AsyncGenerator[bytes, None], media_type: str, filename: str) -> Download:
        """Waits for the first piece, so that what fails until then is an error response like any other."""
        try:
            first = await anext(pieces, b"")
        except BaseException:
            await pieces.aclose()
            raise
        headers = {"content-disposition": f'attachment; filename="{filename}"', "cache-control": "no-store"}
        response = cls(_joined(first, pieces), headers=headers, media_type=media_type)
        response._pieces = pieces
        return response

    _pieces: AsyncGenerator[bytes, None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends everything and frees what the pieces hold, however it ends."""

        async def bounded(message: Message) -> None:
            async with asyncio.timeout(STALL_S):
                await send(message)

        try:
            await super().__call__(scope, receive, bounded)
        finally:
            await self._pieces.aclose()


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
