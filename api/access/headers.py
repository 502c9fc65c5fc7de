"""What browsers are told about every answer: not to guess its type, frame it, or give its address away."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # URLs of media hold tickets
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src *; connect-src 'self' ws: wss:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of pages of our own. Video may come from an object store, whose address is the operator's own."""

_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})
"""The second is that of a WebSocket that is refused before its handshake."""


class SecurityHeaders:
    """ASGI middleware; what a route has set itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and completes the headers of its answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def completed(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(scope=message)
                kind = headers.get("content-type", "")
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                if message["status"] != 304:  # it would replace the policy of the page that the browser has
                    headers.setdefault("Content-Security-Policy", _PAGE_POLICY if "html" in kind else _DATA_POLICY)
                if "json" in kind:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, completed)
