"""``python -m api token``: made, listed, revoked; mistakes are one line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from api.__main__ import main
from api.access.tokens import digest

pytestmark = pytest.mark.servers


@pytest.fixture
def environ(settings, pg_dsn, monkeypatch):
    monkeypatch.setenv("SPOTON_POSTGRES_DSN", pg_dsn)
    monkeypatch.setenv("SPOTON_SITE_FILE", str(settings().site_file))
    return pg_dsn


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(["token", *arguments])
    out, errors = capsys.readouterr()
    return status, out.strip(), errors.strip()


def test_made_listed_revoked(environ, capsys):
    status, text, said = run(capsys, "create", "gate", "--role", "operator", "--environment", "campus", "--days", "7")
    assert status == 0
    assert re.fullmatch(r"spoton_[\w-]{43}", text)
    assert "operator of campus" in said
    with psycopg.connect(environ) as connection:
        (stored,) = connection.execute("SELECT * FROM api_tokens").fetchall()
        (kept, expires_at) = connection.execute("SELECT digest, expires_at FROM api_tokens").fetchone()
    assert text not in str(stored)
    assert kept == digest(text)
    assert abs(expires_at - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=1)
    assert run(capsys, "list")[1].startswith("gate (")
    status, _, said = run(capsys, "create", "gate")
    assert (status, said) == (1, "spoton api: there is a token 'gate' already: revoke it first, or choose another name")
    status, said, _ = run(capsys, "revoke", "gate")
    assert status == 0
    assert said.startswith("revoked: gate (")
    assert run(capsys, "list")[1] == "no tokens"
    assert run(capsys, "create", "gate")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("revoke", "nobody"), "there is no token 'nobody'"),
        (("create", "x", "--environment", "nirvana"), "no environment 'nirvana'"),
        (("create", " "), "a token needs a name"),
    ],
)
def test_a_mistake_is_one_line(environ, capsys, arguments, words):
    status, out, said = run(capsys, *arguments)
    assert (status, out) == (1, "")
    assert words in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("create", "x", "--days", "0"), ("create", "x", "--role", "king"), ("sing",)])
def test_a_wrong_argument_ends_with_usage(environ, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(["token", *arguments])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_tokens_made_and_revoked_are_in_the_audit_log(environ, capsys):
    _, text, _ = run(capsys, "create", "gate")
    run(capsys, "revoke", "gate")
    assert main(["audit"]) == 0
    out, _ = capsys.readouterr()
    revoked, created = out.strip().splitlines()
    assert "create token: gate (" in created
    assert "revoke token: gate (" in revoked
    assert text not in out
    assert main(["audit", "--who", "nobody"]) == 0
    assert capsys.readouterr().out == "nothing yet\n"
