"""Who started, steered, searched and exported what: a row for each, also where it was refused.

A route says so with ``dependencies=[audited("export")]``, before its access rule, and may add to the row with
``Access.note``. The row is there before the answer begins. Tickets and tokens are never in it, nor are requests of
people that are not known, who could fill it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends
from psycopg.rows import class_row
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.principal import Principal
from api.access.tickets import PARAMETER
from api.middleware import HttpMiddleware
from orchestrator.errors import HistoryError, SpotOnError
from orchestrator.history.pool import Pool, transaction

_INSERT: LiteralString = """
INSERT INTO audit_log (who, role, action, path, query, what, status, client)
VALUES (%(who)s, %(role)s, %(action)s, %(path)s, %(query)s, %(what)s, %(status)s, %(client)s)"""
_LATEST: LiteralString = """
SELECT at, who, role, action, path, query, what, status, client FROM audit_log
WHERE %(who)s::text IS NULL OR who = %(who)s::text ORDER BY at DESC, id DESC LIMIT %(limit)s"""
_FORGET: LiteralString = """
DELETE FROM audit_log
WHERE id = ANY (ARRAY(SELECT id FROM audit_log WHERE at < %(before)s ORDER BY at LIMIT %(limit)s))"""
_FORGET_ROWS = 10_000
"""In one statement, which has a deadline."""
_FORGET_EVERY_S = 3600.0
_SERVER_ERROR = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row."""

    at: datetime
    who: str
    role: str
    action: str
    path: str
    query: str
    what: str
    status: int
    """HTTP status; 0 for a command at the server's own console."""
    client: str


class AuditLog:
    """The audit log of one database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, **row: Any) -> None:
        """Adds a row and says it in the log. Raises ``HistoryError``."""
        logger.info("audit: %s", " ".join(f"{name}={value}" for name, value in row.items()))
        async with transaction(self._pool, "write the audit log") as connection:
            await connection.execute(_INSERT, row)

    async def forget(self, before: datetime) -> int:
        """Removes the rows from before a moment, and gives their number. Raises ``HistoryError``."""
        removed = 0
        while True:
            async with transaction(self._pool, "shorten the audit log") as connection:
                gone = (await connection.execute(_FORGET, {"before": before, "limit": _FORGET_ROWS})).rowcount
            removed += gone
            if gone < _FORGET_ROWS:
                return removed

    async def keep_for(self, days: float) -> None:
        """Forgets what is older, once an hour, until cancelled; several processes may."""
        while True:
            try:
                await self.forget(datetime.now(UTC) - timedelta(days=days))
            except HistoryError as error:
                logger.warning("%s", error)
            await asyncio.sleep(_FORGET_EVERY_S)

    async def latest(self, limit: int, who: str | None = None) -> list[Entry]:
        """The newest rows first. Raises ``HistoryError``."""
        async with (
            transaction(self._pool, "read the audit log") as connection,
            connection.cursor(row_factory=class_row(Entry)) as cursor,
        ):
            await cursor.execute(_LATEST, {"limit": limit, "who": who})
            return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Audited:
    """What requests to a route get into the audit log as."""

    action: str
    formats: frozenset[str] | None = None
    """Those alone that ask for one of these, with the parameter ``format``; None for all."""

    async def __call__(self, connection: HTTPConnection) -> None:
        """Remembers it with the request."""
        if self.formats is None or connection.query_params.get("format") in self.formats:
            connection.state.audit = self.action


def audited(action: str, formats: Collection[str] | None = None) -> Any:
    """See ``Audited``; a dependency."""
    return Depends(Audited(action, None if formats is None else frozenset(formats)))


class AuditTrail(HttpMiddleware):
    """ASGI middleware that writes the row of an audited request when its status is known."""

    def __init__(self, app: ASGIApp, log_of: Callable[[Scope], AuditLog]) -> None:
        super().__init__(app)
        self._log_of = log_of

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start" and "audit" in scope.get("state", {}):
                await self._write(scope, message["status"])
            await send(message)

        await self._app(scope, receive, noted)

    async def _write(self, scope: Scope, status: int) -> None:
        state = scope["state"]
        principal: Principal | None = state.get("principal")
        if principal is None:
            return
        row = {
            "who": principal.name,
            "role": str(principal.role),
            "action": state["audit"],
            "path": scope["path"],
            "query": _without_ticket(scope["query_string"]),
            "what": state.get("audit_what", ""),
            "status": status,
            "client": _address(scope.get("client")),
        }
        if status >= _SERVER_ERROR:
            logger.warning("audit, not stored: %s", row)
            return
        try:
            await self._log_of(scope).add(**row)
        except SpotOnError as error:
            logger.error("%s: %s", error, row)  # noqa: TRY400 (the sentence is the whole story)


def _without_ticket(query: bytes) -> str:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return urlencode([pair for pair in pairs if pair[0] != PARAMETER])


def _address(client: Sequence[Any] | None) -> str:
    return str(client[0]) if client else ""
