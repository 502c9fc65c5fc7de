"""Without access control the API is for the machine that it runs on: what comes from elsewhere is refused.

Listening on loopback alone does not do it. A web page of anybody can send a browser there, under the page's own origin
or, with a name that comes to mean 127.0.0.1 (DNS rebinding), under the API's; and a proxy can bring others in.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import problem_response


class LoopbackOnly:
    """ASGI middleware for an API without access control."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        """``origins`` of other pages that may call the API."""
        self._app, self._origins = app, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what comes from this machine."""
        stranger = None if scope["type"] == "lifespan" else self._stranger(scope)
        if stranger is None:
            await self._app(scope, receive, send)
            return
        detail = f"access control is off, which is for this machine alone, and {stranger}"
        await problem_response(403, "not-local", "Not from here", detail, scope["path"])(scope, receive, send)

    def _stranger(self, scope: Scope) -> str | None:
        headers, client = Headers(scope=scope), scope.get("client")
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and not _is_local(f"//{host}"):
            return f"the request is for host {host!r}"
        if origin is not None and not self._origins & {origin, "*"} and not _is_local(origin):
            return f"origin {origin!r} is not among the CORS origins"
        if client is not None and _is_address_elsewhere(client[0]):
            return f"the request comes from {client[0]}"
        return None


def _is_local(url: str) -> bool:
    """Whether a URL's host means this machine. Without a dot it is no name that the public DNS would lead anywhere."""
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return bool(name) and ("." not in name.rstrip(".") or name.rstrip(".").endswith(".localhost"))


def _is_address_elsewhere(host: str) -> bool:
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return False
