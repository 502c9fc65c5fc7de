"""HTTP connections whose request heads are bounded in size and time, before anybody knows who sends them.

uvicorn bounds neither: a client that never ends its header lines would be listened to, and kept, for ever.
"""

from __future__ import annotations

import asyncio
import http
import json

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Of request line and headers; what the first read of them brings is taken besides."""
HEAD_DEADLINE_S = 15.0
"""Within it a head has to be complete, also the first one of a connection."""
_NAMES = {400: "not-http", 408: "head-too-slow", 431: "head-too-large"}


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol with both bounds; what comes after a head is bounded by the routes."""

    _head_bytes = 0
    _begun = False
    _deadline: asyncio.TimerHandle | None = None
    """There while a head is awaited."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A head is awaited."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """No head is awaited any more."""
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuses what goes on for too long."""
        awaited = self._deadline is not None
        super().data_received(data)
        if awaited and self._deadline is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"request line and headers are longer than {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """The first byte of a head is there."""
        super().on_message_begin()
        if self._deadline is None:
            self._await_head()
        self._begun = True

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._end_wait()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is told so as every other error is."""
        self._refuse(400, msg)

    def _await_head(self) -> None:
        self._head_bytes, self._begun = 0, False
        self._deadline = asyncio.get_running_loop().call_later(HEAD_DEADLINE_S, self._too_slow)

    def _end_wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if self._begun:
            self._refuse(408, f"request line and headers were not complete within {HEAD_DEADLINE_S:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        self._end_wait()
        phrase = http.HTTPStatus(status).phrase
        problem = {"type": f"urn:spoton:problem:{_NAMES[status]}", "title": phrase, "status": status, "detail": detail}
        body = json.dumps(problem).encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}\r\n"
            "x-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class QuietRefusals(WebSocketsSansIOProtocol):
    """uvicorn's WebSockets, without a line in the log, as of an error, for every one that is refused."""

    async def send(self, message: ASGISendEvent) -> None:
        """Sends; a refusal that is out completes the handshake."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True
