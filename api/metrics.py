"""What Prometheus scrapes from an API process."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware import HttpMiddleware


class ApiMetrics:
    """The metrics of one API process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.request_seconds = Histogram(
            "spoton_api_request_seconds",
            "Seconds from a request to the start of its response.",
            ["method", "handler", "status"],
            registry=self.registry,
        )
        self.websocket_clients = Gauge(
            "spoton_api_websocket_clients", "WebSocket clients connected.", registry=self.registry
        )
        self.websocket_messages = Counter(
            "spoton_api_websocket_messages", "Messages sent to WebSocket clients.", registry=self.registry
        )
        self.websocket_slow = Counter(
            "spoton_api_websocket_slow", "WebSocket clients closed for reading too slowly.", registry=self.registry
        )
        self.media_bytes = Counter("spoton_api_media_bytes", "Bytes of video sent.", registry=self.registry)


class RequestTimer(HttpMiddleware):
    """ASGI middleware that measures every HTTP request; paths that match no route share one label."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        super().__init__(app)
        self._metrics = metrics

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                labels = (_method(scope["method"]), _handler(scope), str(message["status"]))
                self._metrics.request_seconds.labels(*labels).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, observed)


def _handler(scope: Scope) -> str:
    endpoint = scope.get("endpoint")
    if endpoint is None:
        return "unmatched"
    return f"{endpoint.__module__.rpartition('.')[2]}.{endpoint.__name__}"


def _method(method: str) -> str:
    return method if method in {"GET", "HEAD", "POST", "OPTIONS"} else "other"
