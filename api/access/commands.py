"""``python -m api token create | list | revoke`` and ``audit``: tokens and audit log of the settings' database."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from api.access.audit import AuditLog, Entry
from api.access.principal import Role
from api.access.tokens import Token, TokenError, TokenStore
from orchestrator.errors import SpotOnError
from orchestrator.history.pool import open_pool
from orchestrator.history.schema import ensure_schema
from orchestrator.settings import Settings, load_settings
from orchestrator.site import load_site

EXIT_FAILED = 1
DAYS = 90
MAX_DAYS = 3650


def run_command(arguments: Sequence[str]) -> int:
    """Runs one command; the return value is the exit status. What fails is told in one line."""
    chosen = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        print(asyncio.run(chosen.run(settings, chosen)))
    except SpotOnError as error:
        print(f"spoton api: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m api", description="Serves the API when called without arguments.")
    kinds = parser.add_subparsers(required=True)
    audit = kinds.add_parser("audit", help="who started, steered, searched and exported what, newest first")
    audit.add_argument("--who", help="as the log calls them")
    audit.add_argument("--limit", type=int, default=50)
    audit.set_defaults(run=_audit)

    token = kinds.add_parser("token", help="API tokens")
    commands = token.add_subparsers(required=True)

    create = commands.add_parser("create", help="a new token; its text is shown this once")
    create.add_argument("name", help="whose it is, as the audit log will say")
    create.add_argument("--role", type=Role, choices=list(Role), default=Role.VIEWER)
    create.add_argument("--environment", action="append", metavar="ID", help="may see this one only; may be repeated")
    create.add_argument("--days", type=_days, default=DAYS, help=f"until it expires (default: {DAYS})")
    create.set_defaults(run=_create)

    listing = commands.add_parser("list", help="tokens that are not revoked")
    listing.set_defaults(run=_list)

    revoke = commands.add_parser("revoke", help="ends a token within seconds")
    revoke.add_argument("token", metavar="NAME_OR_ID")
    revoke.set_defaults(run=_revoke)
    return parser


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to {MAX_DAYS}")
    return int(text)


async def _create(settings: Settings, arguments: argparse.Namespace) -> str:
    if arguments.environment is not None:
        site = load_site(settings.site_file)
        for environment_id in arguments.environment:
            site.environment(environment_id)
    if not arguments.name.strip():
        raise TokenError("a token needs a name")
    async with _stores(settings) as (tokens, audit):
        lifetime = timedelta(days=arguments.days)
        text, made = await tokens.make(arguments.name.strip(), arguments.role, arguments.environment, lifetime)
        await _note(audit, "create token", made)
    print(f"{_describe(made)}\nKeep it now, it is not shown again:", file=sys.stderr)
    return text


async def _list(settings: Settings, _arguments: argparse.Namespace) -> str:
    async with _stores(settings) as (tokens, _):
        found = await tokens.all()
    return "\n".join(_describe(token) for token in found) or "no tokens"


async def _revoke(settings: Settings, arguments: argparse.Namespace) -> str:
    async with _stores(settings) as (tokens, audit):
        revoked = await tokens.revoke(arguments.token)
        await _note(audit, "revoke token", revoked)
    return f"revoked: {_describe(revoked)}"


async def _audit(settings: Settings, arguments: argparse.Namespace) -> str:
    async with _stores(settings) as (_, audit):
        entries = await audit.latest(max(1, arguments.limit), arguments.who)
    return "\n".join(_line(entry) for entry in entries) or "nothing yet"


@asynccontextmanager
async def _stores(settings: Settings) -> AsyncIterator[tuple[TokenStore, AuditLog]]:
    async with open_pool(settings, max_size=1) as pool:
        await ensure_schema(pool)
        yield TokenStore(pool), AuditLog(pool)


async def _note(audit: AuditLog, action: str, token: Token) -> None:
    row = dict.fromkeys(("path", "query", "client"), "")
    await audit.add(
        who=f"console of user {os.getuid()}",
        role=Role.OPERATOR,
        action=action,
        what=_describe(token),
        status=0,
        **row,
    )


def _line(entry: Entry) -> str:
    query = f"?{entry.query}" if entry.query else ""
    said = f"{entry.path}{query} {entry.what}".strip()
    outcome = f" -> {entry.status}" if entry.status else ""
    who = f"{entry.who} ({entry.role}, {entry.client or '-'})"
    return f"{entry.at:%Y-%m-%d %H:%M:%S} {who} {entry.action}: {said}{outcome}"


def _describe(token: Token) -> str:
    sees = "all environments" if token.environments is None else ", ".join(token.environments)
    ends = "expired" if token.expires_at <= datetime.now(UTC) else "expires"
    return f"{token.name} ({token.id}): {token.role} of {sees}, {ends} {token.expires_at:%Y-%m-%d %H:%M} UTC"
