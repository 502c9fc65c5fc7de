"""How much one client may have open at once: what is open costs memory, a file and a socket for as long as it lasts.

A client is a token or user at an address, so that people who share a token or an office have each their own. Every API
process counts for itself, since what is open is open there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from starlette.requests import HTTPConnection

from api.access.authentication import place_of
from api.access.limits import RateLimitedError
from api.access.principal import Principal
from orchestrator.settings import Settings

RETRY_AFTER_S = 5


class Open(StrEnum):
    """What is counted apart."""

    WEBSOCKET = "WebSockets"
    VIDEO = "videos being sent"


class Connections:
    """What clients have open in this process."""

    def __init__(self, settings: Settings) -> None:
        self._most = {Open.WEBSOCKET: settings.client_websockets, Open.VIDEO: settings.client_videos}
        self._open: Counter[tuple[Open, str, str]] = Counter()

    @contextmanager
    def held(self, kind: Open, connection: HTTPConnection) -> Iterator[None]:
        """Counts one more of the client's for the length of the block; the route's access rule has run before.

        Raises:
            RateLimitedError: it would be one too many.
        """
        principal: Principal = connection.state.principal
        key = (kind, principal.name, place_of(connection))
        if self._open[key] >= self._most[kind]:
            sentence = f"too many {kind}: {self._most[kind]} at once are allowed to one client"
            raise RateLimitedError(sentence, RETRY_AFTER_S)
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
