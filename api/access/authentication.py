"""From a request to who is asking."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from api.access.limits import Kind, Limits
from api.access.openid import Provider
from api.access.principal import ANYBODY, NotLoggedInError, Principal
from api.access.tickets import PARAMETER, Tickets
from api.access.tokens import PREFIX, Token, TokenStore, digest
from orchestrator.settings import Settings

REMEMBER_S = 5.0
"""A token that is revoked works for at most this long where it was just used."""
REMEMBERED = 4096
MAX_TOKEN_CHARS = 8192


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token | None
    until: float


class Authentication:
    """Says who sent a request, by its bearer token or ticket."""

    def __init__(self, settings: Settings, tokens: TokenStore, limits: Limits) -> None:
        key = settings.ticket_key
        self.tickets = (
            Tickets(key.get_secret_value(), settings.ticket_ttl_s) if settings.access == "on" and key else None
        )
        """None where access control is off."""
        self._provider = None if settings.oidc_issuer is None else Provider(settings)
        self._tokens, self._limits = tokens, limits
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def principal_of(self, connection: HTTPConnection, ticket_for: str | None = None) -> Principal:
        """Who is asking; instead of a token a ticket will do for the task ``ticket_for``.

        Raises:
            NotLoggedInError: nobody that is known.
            HistoryError: the database does not answer.
            ProviderError: the OpenID Connect provider does not answer.
            RateLimitedError: too many from this address were refused.
        """
        if self.tickets is None:
            return ANYBODY
        address = connection.client.host if connection.client else ""
        try:
            return await self._principal_of(connection, ticket_for, address)
        except NotLoggedInError:
            await self._limits.take(Kind.FAILURE, address)
            raise

    async def _principal_of(self, connection: HTTPConnection, ticket_for: str | None, address: str) -> Principal:
        assert self.tickets is not None
        ticket = connection.query_params.get(PARAMETER)
        if ticket_for is not None and ticket is not None and "authorization" not in connection.headers:
            return self.tickets.open(ticket, ticket_for)
        text = _bearer(connection)
        if self._provider is not None and not text.startswith(PREFIX):
            return await self._provider.principal_of(text)
        token = await self._find(text, address)
        if token is None:
            raise NotLoggedInError("the token is unknown, expired or revoked")
        return token.principal

    async def _find(self, text: str, address: str) -> Token | None:
        key, now = digest(text), time.monotonic()
        known = self._known.get(key)
        if known is None or known.until < now:
            if known is None or known.token is None:  # so that guessing does not reach the database
                await self._limits.check(Kind.FAILURE, address)
            known = self._known[key] = _Known(await self._tokens.find(key), now + REMEMBER_S)
            self._known.move_to_end(key)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known.token


def _bearer(connection: HTTPConnection) -> str:
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise NotLoggedInError("a bearer token is needed: Authorization: Bearer …")
    if len(text) > MAX_TOKEN_CHARS:
        raise NotLoggedInError("the token is too long")
    return text
