"""``python -m api token create | list | revoke``: the API tokens in the database that the settings name."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from api.access.principal import Role
from api.access.tokens import Token, TokenError, TokenStore
from orchestrator.errors import SpotOnError
from orchestrator.history.pool import open_pool
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
    token = parser.add_subparsers(required=True).add_parser("token", help="API tokens")
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
    async with _store(settings) as tokens:
        lifetime = timedelta(days=arguments.days)
        text, made = await tokens.make(arguments.name.strip(), arguments.role, arguments.environment, lifetime)
    print(f"{_describe(made)}\nKeep it now, it is not shown again:", file=sys.stderr)
    return text


async def _list(settings: Settings, _arguments: argparse.Namespace) -> str:
    async with _store(settings) as tokens:
        found = await tokens.all()
    return "\n".join(_describe(token) for token in found) or "no tokens"


async def _revoke(settings: Settings, arguments: argparse.Namespace) -> str:
    async with _store(settings) as tokens:
        return f"revoked: {_describe(await tokens.revoke(arguments.token))}"


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[TokenStore]:
    async with open_pool(settings, max_size=1) as pool:
        tokens = TokenStore(pool)
        await tokens.ensure_table()
        yield tokens


def _describe(token: Token) -> str:
    sees = "all environments" if token.environments is None else ", ".join(token.environments)
    ends = "expired" if token.expires_at <= datetime.now(UTC) else "expires"
    return f"{token.name} ({token.id}): {token.role} of {sees}, {ends} {token.expires_at:%Y-%m-%d %H:%M} UTC"
