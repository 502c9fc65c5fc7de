"""Tickets: signed, short-lived, for one task. ``<video>``, ``<img>`` and WebSockets send no headers, so they take one.

A ticket is a JWT (RFC 7519, HS256) in the query parameter ``ticket``. It lets its bearer look at one task and nothing
else, for as long as the API token that it was made for is good. Within ``STEP_SHARE`` of its life a client gets the
same one again, so that browsers know a file they have.
"""

from __future__ import annotations

import json
import time
from urllib.parse import urlencode

import jwt

from api.access.principal import NotLoggedInError, Principal, Role
from orchestrator.tasks import Task

PARAMETER = "ticket"
ALGORITHM = "HS256"
STEP_SHARE = 4


class Tickets:
    """Makes and opens the tickets of one key."""

    def __init__(self, key: str, ttl_s: float) -> None:
        self._key = key
        self._ttl_s = ttl_s

    def make(self, task: Task, principal: Principal) -> str:
        """A ticket for the task that is good for the time of the setting, or up to a quarter of it longer."""
        step_s = self._ttl_s / STEP_SHARE
        expires = (time.time() // step_s + 1) * step_s + self._ttl_s
        claims = {"sub": principal.name, "aud": task.id, "env": task.environment_id, "exp": int(expires)}
        if principal.token_id is not None:
            claims["token"] = principal.token_id
        return jwt.encode(claims, self._key, ALGORITHM)

    def open(self, text: str, task_id: str) -> Principal:
        """Who came with the ticket: somebody who may look at the task.

        Raises:
            NotLoggedInError: it is forged, expired, or for another task.
        """
        options = {"require": ["exp", "aud", "sub", "env"]}
        try:
            claims = jwt.decode(text, self._key, [ALGORITHM], audience=task_id, options=options)  # type: ignore[arg-type]
        except jwt.ExpiredSignatureError:
            raise NotLoggedInError("the ticket has expired: ask for another") from None
        except jwt.InvalidTokenError:
            raise NotLoggedInError("the ticket is not for this task") from None
        return Principal(claims["sub"], Role.VIEWER, (claims["env"],), claims.get("token"))


def add_ticket(url: str, ticket: str) -> str:
    """The URL with the ticket in its query."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({PARAMETER: ticket})}"


def add_to_media(text: str, ticket: str) -> str:
    """A ``media_available`` as it is stored, with the ticket in each of its URLs."""
    message = json.loads(text)
    for media in message["payload"]["media_urls"]:
        media["url"] = add_ticket(media["url"], ticket)
    return json.dumps(message, separators=(",", ":"))
