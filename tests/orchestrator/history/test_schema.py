"""The schema from nothing, from every earlier form of it, again, and by several processes at once."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib import resources
from typing import Any

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from procrastinate.schema import SchemaManager

from orchestrator.errors import HistoryError
from orchestrator.history import schema
from orchestrator.history.pool import open_pool
from orchestrator.history.schema import HEAD, ensure_schema
from orchestrator.settings import load_settings

pytestmark = pytest.mark.servers

MIGRATIONS = resources.files("orchestrator.history") / "migrations"
STARTS = ["before revisions", *(f"{number:04}" for number in range(1, int(HEAD) + 1))]
TASK = "5f0c6a4e-7d0a-4f83-a4ed-6e6b0b4f6d4a"
CATALOGUE = """
SELECT 'column', table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns
WHERE table_schema = 'public' AND table_name NOT LIKE 'procrastinate%' AND table_name NOT LIKE '%_2026%'
UNION ALL SELECT 'index', tablename, indexname, indexdef, NULL, NULL FROM pg_indexes
WHERE schemaname = 'public' AND tablename NOT LIKE 'procrastinate%' AND tablename NOT LIKE '%_2026%'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE 'procrastinate%'
  AND conrelid::regclass::text NOT LIKE '%_2026%'
ORDER BY 1, 2, 3"""
ROWS = f"""
INSERT INTO tasks (id, environment_id) VALUES ('{TASK}', 'campus');
CREATE TABLE detections_20260105 PARTITION OF detections FOR VALUES FROM ('2026-01-05') TO ('2026-01-06');
CREATE TABLE embeddings_20260105 PARTITION OF embeddings FOR VALUES FROM ('2026-01-05') TO ('2026-01-06');
INSERT INTO detections SELECT '{TASK}', 'c01', 1, frame, '2026-01-05 09:00Z'::timestamptz + frame * interval '1 s',
    frame, 1, 2, 3, 4, 0.9, 5, 6 FROM generate_series(0, 99) AS frame;
INSERT INTO embeddings SELECT '{TASK}', 'c01', 1, frame, '2026-01-05 09:00Z'::timestamptz + frame * interval '1 s',
    0.9, 'person_reid', '1', '[1,0,0]' FROM generate_series(0, 99) AS frame;
INSERT INTO tracklets VALUES ('{TASK}', 'c01', 1, 'a-1', 0, 99, '2026-01-05 09:00Z', '2026-01-05 09:02Z');
"""

FILE = f"""
INSERT INTO sub_videos VALUES ('{TASK}', 1, 'c01', 'sub_video_02.mp4', 60, '2026-01-05 09:00:05Z', 12, 0, 1, '{{0}}')"""


async def migrate(dsn: str) -> None:
    async with open_pool(load_settings(_env_file=None, postgres_dsn=dsn)) as pool:
        await ensure_schema(pool)


async def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        return await (await connection.execute(query)).fetchall()  # type: ignore[arg-type]


async def do(dsn: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement.encode())


async def before_revisions(dsn: str) -> None:
    """As the first version made it, which is what 0001 makes."""
    first = (MIGRATIONS / "versions" / "0001_tables.sql").read_text()
    await do(dsn, first, SchemaManager.get_schema(), ROWS)


async def at_revision(dsn: str, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(schema, "TARGET", revision)
        await migrate(dsn)
    assert await ask(dsn, "SELECT version_num FROM alembic_version") == [(revision,)]
    await do(dsn, ROWS)


def test_the_program_knows_the_latest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@pytest.mark.parametrize("start", STARTS)
async def test_every_earlier_form_becomes_the_latest_and_keeps_its_rows(
    pg_dsn: str, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if start == "before revisions":
        await before_revisions(pg_dsn)
    else:
        await at_revision(pg_dsn, start, monkeypatch)
    if start == "0010":
        await do(pg_dsn, FILE)
    await migrate(pg_dsn)
    migrated = await ask(pg_dsn, CATALOGUE)
    assert await ask(pg_dsn, "SELECT count(*), sum(x1) FROM detections") == [(100, 100)]
    assert await ask(pg_dsn, "SELECT count(*), min(embedding::text) FROM embeddings") == [(100, "[1,0,0]")]
    assert await ask(pg_dsn, "SELECT minute::text, sightings FROM sightings_by_minute ORDER BY 1") == [
        ("2026-01-05 09:00:00+00", 60),
        ("2026-01-05 09:01:00+00", 40),
    ]
    if start in STARTS[: STARTS.index("0008")]:
        assert await ask(pg_dsn, "SELECT camera_id, end_time::text FROM task_files") == [("c01", "infinity")]
    if start == "0010":
        assert await ask(pg_dsn, "SELECT recorded_from::text FROM tasks") == [("2026-01-05 09:00:00+00",)]
    if start in {"before revisions", "0001"}:
        assert await ask(pg_dsn, "SELECT DISTINCT searchable FROM embeddings") == [(True,)]
        migrated = [row for row in migrated if row[2] != "embeddings_looks_3"]
    await do(pg_dsn, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "CREATE EXTENSION IF NOT EXISTS vector")
    await migrate(pg_dsn)
    assert await ask(pg_dsn, CATALOGUE) == migrated


async def test_access_tables_that_the_api_made_itself_are_taken_over(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (MIGRATIONS / "versions" / "0007_access.sql").read_text()
    await at_revision(pg_dsn, "0006", monkeypatch)
    await do(
        pg_dsn,
        made,
        f"INSERT INTO api_tokens (id, name, digest, role, expires_at) VALUES ('{TASK}', 'gate', '', 'viewer', now())",
        "DROP TABLE audit_log",  # the first API that had tokens had none
    )
    await migrate(pg_dsn)
    migrated = [row for row in await ask(pg_dsn, CATALOGUE) if row[1] in {"api_tokens", "audit_log"}]
    assert await ask(pg_dsn, "SELECT name FROM api_tokens") == [("gate",)]
    assert await ask(pg_dsn, "SELECT count(*) FROM audit_log") == [(0,)]
    await do(pg_dsn, "DROP TABLE api_tokens, audit_log", made)
    assert [row for row in await ask(pg_dsn, CATALOGUE) if row[1] in {"api_tokens", "audit_log"}] == migrated


async def test_twice_is_as_once(pg_dsn: str) -> None:
    await migrate(pg_dsn)
    once = await ask(pg_dsn, CATALOGUE)
    await migrate(pg_dsn)
    assert await ask(pg_dsn, CATALOGUE) == once


async def test_processes_that_start_together_make_one_schema(pg_dsn: str) -> None:
    program = (
        f"import asyncio; from tests.orchestrator.history.test_schema import migrate; asyncio.run(migrate({pg_dsn!r}))"
    )
    running = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, env={**os.environ, "PYTHONPATH": "."})
        for _ in range(3)
    ]
    await asyncio.gather(*(migrate(pg_dsn) for _ in range(3)))
    assert [await process.wait() for process in running] == [0, 0, 0]
    assert await ask(pg_dsn, "SELECT version_num, count(*) OVER () FROM alembic_version") == [(HEAD, 1)]
    assert await ask(pg_dsn, "SELECT count(*) FROM procrastinate_jobs, tasks") == [(0,)]


async def test_a_failed_revision_leaves_nothing_behind(pg_dsn: str) -> None:
    await do(pg_dsn, "CREATE TABLE sightings_by_minute (stands int)")
    with pytest.raises(HistoryError, match='cannot make the schema: relation "sightings_by_minute" already exists'):
        await migrate(pg_dsn)
    assert await ask(pg_dsn, "SELECT to_regclass('tasks'), to_regclass('alembic_version')") == [(None, None)]
    await do(pg_dsn, "DROP TABLE sightings_by_minute")
    await migrate(pg_dsn)


async def test_a_schema_newer_than_the_program_is_refused(pg_dsn: str) -> None:
    await migrate(pg_dsn)
    await do(pg_dsn, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(HistoryError, match=r"another program.*9999"):
        await migrate(pg_dsn)
