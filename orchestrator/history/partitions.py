"""How the tables of rows in time are split: one range partition a day, made when the first row of that day comes.

The only module that knows. On a server with TimescaleDB they are hypertables, which make their chunks themselves.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from psycopg import sql

from orchestrator.history.pool import Connection, Pool, transaction

PARTITIONED_TABLES = ("detections", "embeddings")
_ADDED_UP = "sightings_by_minute"
"""TimescaleDB's continuous aggregate keeps what it has added up when the rows below it go."""
_LOCK = 0x53504F54_0002
"""Advisory lock: two workers that reach a new day at once make its partitions one after the other."""


async def ensure_days(pool: Pool, first: datetime, last: datetime) -> frozenset[date]:
    """Makes the partitions of every UTC day from ``first`` to ``last`` and gives those days.

    Raises:
        HistoryError: the server refused.
    """
    days = days_between(first, last)
    async with transaction(pool, "make the partitions of a day") as connection:
        if not await _are_partitioned(connection):
            return days
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        for day in sorted(days):
            for table in PARTITIONED_TABLES:
                await _ensure_partition(connection, table, day)
    return days


async def drop_a_day_before(connection: Connection, moment: datetime, lock_timeout: str) -> list[str]:
    """Drops the first day that ended by ``moment``, and gives the names of its partitions, or chunks.

    One day at a time: every table that is dropped, with its indexes, is locked until the end of the transaction, and a
    server has room for a few thousand locks.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    await connection.execute("SELECT set_config('lock_timeout', %s, true)", (lock_timeout,))
    if not await _are_partitioned(connection):
        return await _drop_chunks(connection, moment)
    names = [name for table in PARTITIONED_TABLES for name in await _partitions_before(connection, table, moment)]
    first = min(map(_day_of, names), default=None)
    names = [name for name in names if _day_of(name) == first]
    for name in names:
        await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    return names


async def partitions_of(connection: Connection, table: str) -> list[str]:
    """The names of a table's partitions; none for a hypertable."""
    if not await _are_partitioned(connection):
        return []
    cursor = await connection.execute(
        "SELECT relid::regclass::text FROM pg_partition_tree(%s::regclass) WHERE isleaf ORDER BY 1", (table,)
    )
    return [name for (name,) in await cursor.fetchall()]


async def _drop_chunks(connection: Connection, moment: datetime) -> list[str]:
    for table in (*PARTITIONED_TABLES, _ADDED_UP):
        cursor = await connection.execute("SELECT drop_chunks(%s::regclass, older_than => %s)", (table, moment))
        if names := [name for (name,) in await cursor.fetchall()]:
            return names
    return []


async def _partitions_before(connection: Connection, table: str, moment: datetime) -> list[str]:
    return [name for name in await partitions_of(connection, table) if _day_of(name) + timedelta(days=1) <= moment]


def _day_of(partition: str) -> datetime:
    return datetime.strptime(partition.rpartition("_")[2], "%Y%m%d").replace(tzinfo=UTC)


def days_between(first: datetime, last: datetime) -> frozenset[date]:
    """The UTC days that the span touches."""
    start = first.astimezone(UTC).date()
    count = (last.astimezone(UTC).date() - start).days
    return frozenset(start + timedelta(days=offset) for offset in range(count + 1))


async def _are_partitioned(connection: Connection) -> bool:
    """False for hypertables."""
    cursor = await connection.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = 'detections'::regclass")
    return await cursor.fetchone() == (True,)


async def _ensure_partition(connection: Connection, table: str, day: date) -> None:
    name = f"{table}_{day:%Y%m%d}"
    found = await (await connection.execute("SELECT to_regclass(%s)", (name,))).fetchone()
    if found and found[0]:
        return
    names = {"name": sql.Identifier(name), "parent": sql.Identifier(table)}
    bounds = {"start": sql.Literal(day.isoformat()), "end": sql.Literal((day + timedelta(days=1)).isoformat())}
    # ATTACH takes a weaker lock on the parent than CREATE ... PARTITION OF: other tasks go on writing and reading.
    await connection.execute(sql.SQL("CREATE TABLE {name} (LIKE {parent} INCLUDING ALL)").format(**names))
    await connection.execute(
        sql.SQL("ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})").format(
            **names, **bounds
        )
    )
