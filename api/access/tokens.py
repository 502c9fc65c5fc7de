"""API tokens: random, named, expiring. The database holds their digests; the text is shown once, when it is made."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

from psycopg.errors import UniqueViolation
from psycopg.rows import dict_row

from api.access.principal import Principal, Role
from orchestrator.errors import SpotOnError
from orchestrator.history.pool import Connection, Pool, transaction

PREFIX = "spoton_"
"""By which scanners for leaked secrets know them."""
RANDOM_BYTES = 32

_INSERT: LiteralString = """
INSERT INTO api_tokens (id, name, digest, role, environments, expires_at)
VALUES (%(id)s, %(name)s, %(digest)s, %(role)s, %(environments)s, now() + %(lifetime)s) RETURNING *"""
_LIST: LiteralString = "SELECT * FROM api_tokens WHERE revoked_at IS NULL ORDER BY created_at, id"
_REVOKE: LiteralString = """
UPDATE api_tokens SET revoked_at = now() WHERE (name = %(which)s OR id::text = %(which)s) AND revoked_at IS NULL
RETURNING *"""
_FIND: LiteralString = """
SELECT * FROM api_tokens WHERE digest = %(digest)s AND revoked_at IS NULL AND expires_at > now()"""
_FIND_ID: LiteralString = """
SELECT * FROM api_tokens WHERE id = %(id)s::uuid AND revoked_at IS NULL AND expires_at > now()"""


class TokenError(SpotOnError):
    """A token cannot be made or revoked; says why."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: everything but its text."""

    id: str
    name: str
    role: Role
    environments: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime

    @property
    def principal(self) -> Principal:
        """Who asks with this token."""
        return Principal(f"token {self.name}", self.role, self.environments, self.id)


class TokenStore:
    """The tokens of one database. Every method may raise ``HistoryError``."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def make(
        self, name: str, role: Role, environments: Collection[str] | None, lifetime: timedelta
    ) -> tuple[str, Token]:
        """A new token: its text, which cannot be had again, and what is known of it.

        Raises:
            TokenError: a token that is not revoked has the name.
        """
        text = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        row = {
            "id": str(uuid.uuid4()),
            "name": name,
            "digest": digest(text),
            "role": str(role),
            "environments": None if environments is None else sorted(environments),
            "lifetime": lifetime,
        }
        async with transaction(self._pool, "make a token") as connection:
            try:
                (made,) = await _tokens(connection, _INSERT, row)
            except UniqueViolation:
                raise TokenError(
                    f"there is a token {name!r} already: revoke it first, or choose another name"
                ) from None
        return text, made

    async def all(self) -> list[Token]:
        """Every token that is not revoked, expired ones too, oldest first."""
        async with transaction(self._pool, "list the tokens") as connection:
            return await _tokens(connection, _LIST, {})

    async def revoke(self, which: str) -> Token:
        """Ends a token, by name or id.

        Raises:
            TokenError: there is none.
        """
        async with transaction(self._pool, "revoke a token") as connection:
            revoked = await _tokens(connection, _REVOKE, {"which": which})
        if not revoked:
            raise TokenError(f"there is no token {which!r}")
        return revoked[0]

    async def find(self, token_digest: bytes) -> Token | None:
        """The token with this digest; None where it is unknown, expired or revoked."""
        async with transaction(self._pool, "look a token up") as connection:
            found = await _tokens(connection, _FIND, {"digest": token_digest})
        return found[0] if found else None

    async def find_id(self, token_id: str) -> Token | None:
        """The token with this id; None as ``find``."""
        async with transaction(self._pool, "look a token up") as connection:
            found = await _tokens(connection, _FIND_ID, {"id": token_id})
        return found[0] if found else None


def digest(text: str) -> bytes:
    """What is stored of a token, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


async def _tokens(connection: Connection, statement: LiteralString, values: Mapping[str, Any]) -> list[Token]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, values)
        return [_token(row) for row in await cursor.fetchall()]


def _token(row: Mapping[str, Any]) -> Token:
    environments = row["environments"]
    return Token(
        id=str(row["id"]),
        name=row["name"],
        role=Role(row["role"]),
        environments=None if environments is None else tuple(environments),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
