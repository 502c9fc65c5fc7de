"""Bearer tokens of an OpenID Connect provider: JWTs, checked against the keys that it publishes (RFC 7517, 7519).

Keys are fetched when one is needed that is not known, and at most once in ``REFRESH_S``: tokens with made-up key ids
cost the provider nothing, and those whose key is known never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import jwt

from api.access.principal import NotLoggedInError, Principal, Role
from orchestrator.errors import SpotOnError
from orchestrator.settings import Settings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""With a public key all of them: a secret key that both sides know has no place here."""
DISCOVERY = ".well-known/openid-configuration"
LEEWAY_S = 30.0
"""By which clocks may differ."""
REFRESH_S = 30.0
RETRY_S = 5.0
"""In place of it after a provider did not answer."""
KEEP_S = 3600.0
"""After this the keys are asked for again, so that one that the provider withdrew is forgotten."""
KEEP_AWAY_S = 24 * 3600.0
"""For so long they are good while the provider is away."""
DEADLINE_S = 5.0

logger = logging.getLogger(__name__)


class ProviderError(SpotOnError):
    """The OpenID Connect provider does not answer, or not as one."""

    retryable = True


class Provider:
    """One OpenID Connect provider, as the settings name it."""

    def __init__(self, settings: Settings) -> None:
        assert settings.oidc_issuer is not None
        self._issuer = settings.oidc_issuer
        self._audience = settings.oidc_audience
        self._jwks_url = None if settings.oidc_jwks_url is None else str(settings.oidc_jwks_url)
        self._role_claim = settings.oidc_role_claim
        self._environments_claim = settings.oidc_environments_claim
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at = self._next_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def principal_of(self, text: str) -> Principal:
        """Who came with this token.

        Raises:
            NotLoggedInError: it is not a token of this provider for this audience, it is expired, or gives no role.
            ProviderError: the keys are needed and cannot be had.
        """
        try:
            key = await self._key(jwt.get_unverified_header(text))
            claims = jwt.decode(
                text,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise NotLoggedInError(f"the token is not valid: {error}") from None
        return self._principal(claims)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        given = set(_texts(_claim(claims, self._role_claim)))
        roles = [role for role in (Role.OPERATOR, Role.VIEWER) if role in given]
        if not roles:
            raise NotLoggedInError(f"the token's claim {self._role_claim!r} names neither viewer nor operator")
        called = claims.get("preferred_username")  # which people may choose themselves; the subject is who they are
        name = f"user {called} ({claims['sub']})" if called else f"user {claims['sub']}"
        if self._environments_claim is None:
            return Principal(name, roles[0], None)
        return Principal(name, roles[0], tuple(_texts(_claim(claims, self._environments_claim))))

    async def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        if header.get("alg") not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError(f"algorithm {header.get('alg')!r}")
        kid = header.get("kid")
        age_s = time.monotonic() - self._fetched_at
        if kid not in self._keys or age_s > KEEP_AWAY_S:
            await asyncio.shield(self._fetch_soon())
        elif age_s > KEEP_S:
            self._fetch_soon()
        if kid not in self._keys:
            raise jwt.InvalidKeyError("it is signed with a key that the provider does not have")
        return self._keys[kid]

    def _fetch_soon(self) -> asyncio.Task[None]:
        """Fetches the keys, unless that is under way or was done a moment ago: then what came of it counts."""
        if self._fetching is None or (self._fetching.done() and time.monotonic() >= self._next_at):
            self._fetching = asyncio.create_task(self._refresh(), name="fetch the OpenID Connect provider's keys")
            self._fetching.add_done_callback(_say)
        return self._fetching

    async def _refresh(self) -> None:
        pause_s = RETRY_S
        try:
            self._keys = await self._fetch()
            self._fetched_at, pause_s = time.monotonic(), REFRESH_S
        finally:
            self._next_at = time.monotonic() + pause_s

    async def _fetch(self) -> dict[str | None, jwt.PyJWK]:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            if self._jwks_url is None:
                document = await _get(session, f"{self._issuer.rstrip('/')}/{DISCOVERY}")
                if document.get("issuer") != self._issuer:
                    raise ProviderError(f"{self._issuer} calls itself {document.get('issuer')!r}: set oidc_issuer so")
                self._jwks_url = str(document.get("jwks_uri"))
            published = await _get(session, self._jwks_url)
        try:
            return {key.key_id: key for key in jwt.PyJWKSet.from_dict(published).keys if key.public_key_use != "enc"}
        except (jwt.PyJWTError, TypeError, AttributeError) as error:
            raise ProviderError(f"{self._jwks_url} holds no keys: {error}") from None


def _say(fetching: asyncio.Task[None]) -> None:
    if not fetching.cancelled() and (error := fetching.exception()) is not None:
        logger.warning("keys of tokens cannot be fetched: %s", error)


async def _get(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    try:
        async with session.get(url, allow_redirects=False) as answer:
            answer.raise_for_status()
            found = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ProviderError(f"{url} does not answer: {error or 'too late'}") from None
    if not isinstance(found, dict):
        raise ProviderError(f"{url}: the answer is no JSON object")
    return found


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, or by a path with dots (``realm_access.roles``)."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _texts(value: Any) -> Sequence[str]:
    """A claim as texts: one, several, or none."""
    if isinstance(value, str):
        return value.split()
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
