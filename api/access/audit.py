"""Who started, steered, searched and exported what: a row for each, also where it was refused; and failed logins.

A route says so with ``dependencies=[audited("export")]``, before its access rule, and may add to the row with
``Access.note``. The row is there before the answer begins, except where the server failed: then it is tried behind the
answer, which does not wait for a database that may be what failed. Tickets and tokens are never in it. A token that was
refused leaves a row too, of which there are only so many a minute, since anybody can send them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
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
_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})
_MINUTE_S = 60.0
FAILED_LOGINS_A_MINUTE = 120
"""Rows of this process; what is beyond is in the limits' hands."""

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


class AuditTrail:
    """ASGI middleware that writes the row of an audited request, or of a failed login, when its status is known."""

    def __init__(self, app: ASGIApp, log_of: Callable[[Scope], AuditLog]) -> None:
        self._app, self._log_of = app, log_of
        self._minute, self._failed = 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; its row is written when the answer begins, or behind it."""
        failure: int | None = None

        async def noted(message: Message) -> None:
            nonlocal failure
            if message["type"] in _STARTS:
                status: int = message["status"]
                if status >= _SERVER_ERROR:
                    failure = status
                else:
                    await self._write(scope, status)
            await send(message)

        await self._app(scope, receive, noted)
        if failure is not None:
            await self._write(scope, failure)

    def _row(self, state: Mapping[str, Any]) -> dict[str, str] | None:
        """What is to be said of who did what; None for a request of which nothing is."""
        if "refused_login" in state:
            may = self._may_note_failure()
            return {"who": "nobody", "role": "", "action": "login", "what": state["refused_login"]} if may else None
        principal: Principal | None = state.get("principal")
        if principal is None or "audit" not in state:
            return None
        what = state.get("audit_what", "")
        return {"who": principal.name, "role": str(principal.role), "action": state["audit"], "what": what}

    def _may_note_failure(self) -> bool:
        minute = int(time.monotonic() / _MINUTE_S)
        if minute != self._minute:
            self._minute, self._failed = minute, 0
        self._failed += 1
        if self._failed == FAILED_LOGINS_A_MINUTE + 1:
            logger.warning("more than %d logins failed within a minute; no more of them are noted", self._failed - 1)
        return self._failed <= FAILED_LOGINS_A_MINUTE

    async def _write(self, scope: Scope, status: int) -> None:
        row = self._row(scope.get("state", {}))
        if row is None:
            return
        row = row | {
            "path": scope["path"],
            "query": _without_ticket(scope["query_string"]),
            "client": _address(scope.get("client")),
        }
        try:
            await self._log_of(scope).add(**row, status=status)
        except SpotOnError as error:
            logger.error("%s: %s, status %d", error, row, status)  # noqa: TRY400 (the sentence is the whole story)


def _without_ticket(query: bytes) -> str:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return urlencode([pair for pair in pairs if pair[0] != PARAMETER])


def _address(client: Sequence[Any] | None) -> str:
    return str(client[0]) if client else ""
