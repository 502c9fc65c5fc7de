"""From a request to who is asking."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

from starlette.requests import HTTPConnection

from api.access.limits import Kind, Limits
from api.access.openid import Provider
from api.access.principal import ANYBODY, NotLoggedInError, Principal
from api.access.tickets import PARAMETER, Tickets
from api.access.tokens import PREFIX, Token, TokenStore, digest
from orchestrator.settings import Settings

REMEMBER_S = 2.0
"""A token that is revoked works for at most this long where it was just used, and so do tickets made for it."""
REMEMBERED = 4096
MAX_TOKEN_CHARS = 8192
_CLIENT_PREFIX = 64
"""Bits of an IPv6 address that a client cannot choose (RFC 6177)."""


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
        """By the digest of a token, or by its id."""

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
        address = place_of(connection)
        try:
            return await self._principal_of(connection, ticket_for, address)
        except NotLoggedInError as error:
            await self._limits.take(Kind.FAILURE, address)
            if "authorization" in connection.headers:
                connection.state.refused_login = str(error)
            raise

    async def _principal_of(self, connection: HTTPConnection, ticket_for: str | None, address: str) -> Principal:
        assert self.tickets is not None
        ticket = connection.query_params.get(PARAMETER)
        if ticket_for is not None and ticket is not None and "authorization" not in connection.headers:
            return await self._opened(self.tickets.open(ticket, ticket_for))
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
            known = self._remember(key, await self._tokens.find(key), now)
        return known.token

    async def _opened(self, principal: Principal) -> Principal:
        """Who came with a ticket, if the token that it was made for is still good."""
        if principal.token_id is None:
            return principal
        key, now = principal.token_id.encode(), time.monotonic()
        known = self._known.get(key)
        if known is None or known.until < now:
            known = self._remember(key, await self._tokens.find_id(principal.token_id), now)
        if known.token is None:
            raise NotLoggedInError("the token that the ticket was made for is expired or revoked")
        return principal

    def _remember(self, key: bytes, token: Token | None, now: float) -> _Known:
        known = self._known[key] = _Known(token, now + REMEMBER_S)
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known


def place_of(connection: HTTPConnection) -> str:
    """Where a client is: an address of IPv4, or an IPv6 network, all of which is one client's."""
    return _place(connection.client.host if connection.client else "")


def _place(address: str) -> str:
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((ip, _CLIENT_PREFIX), strict=False))


def _bearer(connection: HTTPConnection) -> str:
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise NotLoggedInError("a bearer token is needed: Authorization: Bearer …")
    if len(text) > MAX_TOKEN_CHARS:
        raise NotLoggedInError("the token is too long")
    return text
