"""Who looks like this: the stored looks nearest to an embedding, by pgvector's HNSW index, and whose they are.

Where a filter keeps few looks, all of them are compared, which is exact and quicker than any index. Otherwise the index
hands out neighbours until enough have passed the filter (``hnsw.iterative_scan``). One index for each length of
embedding; models of the same length share it and are told apart by a filter.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, LiteralString

import numpy as np
from psycopg import sql

from orchestrator.history.extent import Extent, extent_of_person, extent_of_task
from orchestrator.history.files import superseded
from orchestrator.history.partitions import partitions_of
from orchestrator.history.pool import Connection, Pool, transaction
from orchestrator.inference.protocols import ModelId
from orchestrator.values import Float32

EF_SEARCH = 200
"""Candidates that the index keeps in hand; more find more of the true neighbours, for more time."""
MAX_SCAN_TUPLES = 200_000
"""Where an index scan gives up although its filter has let too few pass."""
FEW_LOOKS = 20_000
"""What is left of a filter is compared one by one up to so many."""
MORE = 2
"""Times as many neighbours are taken from the index as are asked for."""
FIRST_LOOKS = 256
"""Neighbours asked for at first; one person may account for all of them, then four times as many are asked for."""
MAX_LOOKS = 4096

INDEX_S = 3600.0
"""For the index of one day's embeddings."""

_LOCK = 0x53504F54_0005

_CONDITIONS: dict[str, LiteralString] = {
    "environments": """e.task_id = ANY (ARRAY(
        SELECT id FROM tasks WHERE environment_id = ANY(%(environments)s::text[])))""",
    "task_id": "e.task_id = %(task_id)s::uuid",
    "extent": """(%(rows_from)s::timestamptz IS NULL OR e.time >= %(rows_from)s::timestamptz)
  AND (%(rows_to)s::timestamptz IS NULL OR e.time < %(rows_to)s::timestamptz)""",
    "cameras": "e.camera_id = ANY(%(cameras)s::text[])",
    "not_people": """NOT EXISTS (
        SELECT FROM tracklets n WHERE (n.task_id, n.camera_id, n.track_id) = (e.task_id, e.camera_id, e.track_id)
          AND (n.global_id IS NULL OR n.global_id = ANY(%(not_people)s::text[])))""",
}
_SPAN: LiteralString = """EXISTS (
    SELECT FROM tracklets s WHERE (s.task_id, s.camera_id, s.track_id) = (e.task_id, e.camera_id, e.track_id)
      AND e.time BETWEEN s.first_time AND s.last_time
      AND s.last_time >= COALESCE(%(start)s::timestamptz, '-infinity')
      AND s.first_time < COALESCE(%(end)s::timestamptz, 'infinity'))"""

# OFFSET 0 keeps this a question asked of each look that comes up: as a join it would turn the planner from the index.
_NOT_SUPERSEDED: LiteralString = """NOT (e.task_id = ANY(%(old_tasks)s::uuid[]) AND EXISTS (
    SELECT FROM unnest(%(old_tasks)s::uuid[], %(old_cameras)s::text[], %(old_spans)s::text[]::tstzmultirange[])
        AS old (task_id, camera_id, span)
    WHERE (old.task_id, old.camera_id) = (e.task_id, e.camera_id) AND e.time <@ old.span OFFSET 0))"""

_LOOKS = sql.SQL("""
FROM embeddings e
WHERE e.searchable AND vector_dims(e.embedding) = {dimension}
  AND e.model_name = %(model_name)s AND e.model_version = %(model_version)s AND {where}""")

# The inner order is the index's, which is not quite the true one: more than asked for, sorted once more.
_NEAREST = sql.SQL("""
SELECT task_id, camera_id, track_id, time, -distance AS similarity FROM (
    SELECT e.task_id, e.camera_id, e.track_id, e.time, (e.embedding::halfvec({dimension})) <#> {query} AS distance
    {looks} ORDER BY (e.embedding::halfvec({dimension})) <#> {query} LIMIT {more}
) AS near ORDER BY distance LIMIT {limit}""")

# Behind MATERIALIZED no index for the order is considered.
_EXACT = sql.SQL("""
SELECT task_id, camera_id, track_id, time, -(embedding::halfvec({dimension}) <#> {query}) AS similarity
FROM (WITH passing AS MATERIALIZED (SELECT e.* {looks}) SELECT * FROM passing) AS passing
ORDER BY similarity DESC LIMIT {limit}""")

_ARE_FEW = sql.SQL("SELECT count(*) <= {few} FROM (SELECT 1 {looks} LIMIT {few} + 1) AS passing")

_PEOPLE = sql.SQL("""
WITH nearest AS MATERIALIZED ({nearest})
SELECT n.task_id::text, t.global_id, CASE WHEN t.global_id IS NULL THEN n.camera_id END AS camera_id,
       CASE WHEN t.global_id IS NULL THEN n.track_id END AS track_id, max(n.similarity), sum(count(*)) OVER ()
FROM nearest n JOIN tracklets t
  ON (n.task_id, n.camera_id, n.track_id) = (t.task_id, t.camera_id, t.track_id)
 AND n.time BETWEEN t.first_time AND t.last_time
GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC""")

_THEIRS: LiteralString = """
FROM unnest(%(task_ids)s::uuid[], %(global_ids)s::text[], %(camera_ids)s::text[], %(track_ids)s::int[])
     WITH ORDINALITY AS p (task_id, global_id, camera_id, track_id, person)
JOIN tracklets t ON t.task_id = p.task_id
 AND CASE WHEN p.global_id IS NULL THEN (t.camera_id, t.track_id) = (p.camera_id, p.track_id)
          ELSE t.global_id = p.global_id END"""

_THEIR_EXTENT: LiteralString = f"SELECT min(t.first_time), max(t.last_time) {_THEIRS}"

_SIGHTINGS = sql.SQL("""
SELECT p.person, t.task_id::text, k.environment_id, t.global_id, t.camera_id, t.track_id,
       t.first_time, t.last_time, t.first_frame, t.last_frame, best.similarity,
       d.time, d.global_frame_index, d.media_time_s, ARRAY[d.x1, d.y1, d.x2, d.y2]
{theirs}
JOIN tasks k ON k.id = t.task_id
CROSS JOIN LATERAL (
    SELECT e.time, -(e.embedding <#> {query}) AS similarity FROM embeddings e
    WHERE (e.task_id, e.camera_id, e.track_id) = (t.task_id, t.camera_id, t.track_id)
      AND e.time BETWEEN t.first_time AND t.last_time AND vector_dims(e.embedding) = {dimension}
      AND e.model_name = %(model_name)s AND e.model_version = %(model_version)s AND {where}
      AND e.time BETWEEN %(first)s AND %(last)s
    ORDER BY similarity DESC LIMIT 1
) best
JOIN detections d ON (d.task_id, d.camera_id, d.track_id, d.time) = (t.task_id, t.camera_id, t.track_id, best.time)
 AND d.time BETWEEN %(first)s AND %(last)s
ORDER BY p.person, best.similarity DESC, t.first_time, t.camera_id, t.track_id""")

_LOOK: LiteralString = """
SELECT e.model_name, e.model_version, avg(e.embedding)::text
FROM tracklets t JOIN embeddings e
  ON (e.task_id, e.camera_id, e.track_id) = (t.task_id, t.camera_id, t.track_id)
 AND e.time BETWEEN t.first_time AND t.last_time
WHERE t.global_id = %(global_id)s AND e.time >= %(start)s AND e.time < %(end)s
  AND (%(environments)s::text[] IS NULL
    OR t.task_id IN (SELECT id FROM tasks WHERE environment_id = ANY(%(environments)s::text[])))
GROUP BY 1, 2, vector_dims(e.embedding) ORDER BY max(e.time) DESC, count(*) DESC LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Where:
    """Which tracks to search: all conditions that are given hold."""

    environments: Collection[str] | None = None
    task_id: str | None = None
    cameras: Collection[str] | None = None
    start: datetime | None = None
    """In view at this time or later."""
    end: datetime | None = None
    """In view before this time."""
    extent: Extent | None = None
    """Where all the rows are that can pass."""
    not_people: Collection[str] | None = None
    """Neither these, by global id, nor anybody without one."""
    not_parts: Sequence[tuple[str, str, str]] = ()
    """Nor what another task counts for: task, camera and spans, see ``files.superseded``."""

    def condition(self) -> sql.Composed:
        """What holds for an embedding ``e``; only what is asked, which is what the planner can judge."""
        chosen = [sql.SQL(text) for name, text in _CONDITIONS.items() if getattr(self, name) is not None]
        if self.start is not None or self.end is not None:
            chosen.append(sql.SQL(_SPAN))
        if self.not_parts:
            chosen.append(sql.SQL(_NOT_SUPERSEDED))
        return sql.SQL(" AND ").join([sql.SQL("true"), *chosen])

    def values(self) -> dict[str, Any]:
        """The parameters of a statement."""
        return {
            "environments": None if self.environments is None else sorted(self.environments),
            "task_id": self.task_id,
            "cameras": None if self.cameras is None else sorted(self.cameras),
            "not_people": None if self.not_people is None else sorted(self.not_people),
            "start": self.start,
            "end": self.end,
            "rows_from": self.extent and self.extent.start,
            "rows_to": self.extent and self.extent.end,
            "old_tasks": [task_id for task_id, _, _ in self.not_parts],
            "old_cameras": [camera_id for _, camera_id, _ in self.not_parts],
            "old_spans": [spans for _, _, spans in self.not_parts],
        }


@dataclass(frozen=True, slots=True)
class Found:
    """One track of somebody who looks like that."""

    person: int
    """From 1, the most similar first; the tracks of one person share it."""
    task_id: str
    environment_id: str
    global_id: str | None
    camera_id: str
    track_id: int
    first_time: datetime
    last_time: datetime
    first_frame: int
    last_frame: int
    """Inclusive."""
    similarity: float
    """Cosine of the track's most similar look."""
    time: datetime
    """Of that look."""
    global_frame_index: int
    media_time_s: float
    bbox: Sequence[float]
    """xyxy, px of the source frame."""


async def ensure_index(pool: Pool, dimension: int) -> None:
    """Makes the index for embeddings of this length, where the first of them is about to be stored.

    All embeddings of other models are looked through for it: a day at a time, so that writers of other days go on.

    Raises:
        HistoryError: the server refused.
    """
    async with transaction(pool, "look for the index for searches") as connection:
        name = f"embeddings_looks_{dimension}"
        if await (await connection.execute("SELECT to_regclass(%s)", (name,))).fetchone() != (None,):
            return
        partitions = await partitions_of(connection, "embeddings")
    for table in (*partitions, "embeddings"):
        async with transaction(pool, "make the index for searches", INDEX_S) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            await connection.execute("SELECT spoton_index_looks(%s, to_regclass(%s))", (dimension, table))


async def look_of(pool: Pool, global_id: str, environments: Collection[str] | None) -> tuple[ModelId, Float32] | None:
    """The mean look [D] of a person, by the model that saw them last; None where nobody has this id.

    Raises:
        HistoryError: the database does not answer.
    """
    theirs = None if environments is None else sorted(environments)
    async with transaction(pool, "read how a person looks") as connection:
        extent = await extent_of_person(connection, global_id, None, environments)
        if extent is None:
            return None
        values = {"global_id": global_id, "environments": theirs, **extent._asdict()}
        row = await (await connection.execute(_LOOK, values)).fetchone()
    if row is None:
        return None
    name, version, text = row
    return ModelId(name, version), np.array(text.strip("[]").split(","), np.float32)


async def similar(
    pool: Pool, model: ModelId, look: Float32, where: Where, people: int, min_similarity: float
) -> list[Found]:
    """The tracks of the most similar people, best person first, then best track.

    A recording that was processed twice counts once, as ``files`` has it, unless one task is asked about.

    Args:
        pool: the database.
        model: whose embedding it is; others do not compare.
        look: [D] of any length but 0.
        where: which sightings count.
        people: how many people at most.
        min_similarity: cosine below which somebody is left out.

    Raises:
        HistoryError: the database does not answer, or not in time.
    """
    unit = look / np.linalg.norm(look)
    async with transaction(pool, "search for a person") as connection:
        await prepare_search(connection)
        if where.task_id is None:
            where = replace(where, not_parts=await superseded(connection, where.environments))
        else:
            where = replace(where, extent=await extent_of_task(connection, where.task_id))
        values = {**where.values(), "model_name": model.name, "model_version": model.version}
        nearest = await _people(connection, unit, where, values, people, min_similarity)
        return await _sightings(connection, unit, where, values, nearest)


async def are_few(connection: Connection, dimension: int, where: Where, values: dict[str, Any]) -> bool:
    """Whether so few looks pass the filter that comparing them all is the better way."""
    if where == Where():
        return False
    statement = _ARE_FEW.format(few=sql.Literal(FEW_LOOKS), looks=_passing(dimension, where))
    return await (await connection.execute(statement, values)).fetchone() == (True,)


def nearest_looks(look: Float32, where: Where, limit: int, *, exact: bool) -> sql.Composed:
    """The statement that finds the stored looks nearest to ``look`` [D], of length 1; takes ``where.values()`` too."""
    dimension = sql.Literal(len(look))
    return (_EXACT if exact else _NEAREST).format(
        dimension=dimension,
        query=sql.SQL("{}::halfvec({})").format(sql.Literal(_text(look)), dimension),
        looks=_passing(len(look), where),
        limit=sql.Literal(limit),
        more=sql.Literal(MORE * limit),
    )


def _passing(dimension: int, where: Where) -> sql.Composed:
    return _LOOKS.format(dimension=sql.Literal(dimension), where=where.condition())


async def prepare_search(connection: Connection) -> None:
    """Sets how the index is searched, until the transaction ends."""
    settings = {
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.ef_search": EF_SEARCH,
        "hnsw.max_scan_tuples": MAX_SCAN_TUPLES,
    }
    await connection.execute("SELECT NULL::vector")  # loads pgvector, whose settings are unknown before
    for name, value in settings.items():
        await connection.execute("SELECT set_config(%s, %s, true)", (name, str(value)))


async def _people(
    connection: Connection, unit: Float32, where: Where, values: dict[str, Any], people: int, min_similarity: float
) -> list[tuple[Any, ...]]:
    """Task, global id, camera, track of the most similar people; the last two are for those without a global id."""
    limit = FIRST_LOOKS
    exact = await are_few(connection, len(unit), where, values)
    while True:
        statement = _PEOPLE.format(nearest=nearest_looks(unit, where, limit, exact=exact))
        rows = await (await connection.execute(statement, values)).fetchall()
        found = [row[:4] for row in rows if row[4] >= min_similarity]
        enough = len(found) >= people or len(found) < len(rows)
        looks = rows[0][5] if rows else 0
        if enough or looks < limit or limit >= MAX_LOOKS:
            return found[:people]
        limit *= 4


async def _sightings(
    connection: Connection, unit: Float32, where: Where, values: dict[str, Any], nearest: Sequence[tuple[Any, ...]]
) -> list[Found]:
    if not nearest:
        return []
    dimension = sql.Literal(len(unit))
    names = ("task_ids", "global_ids", "camera_ids", "track_ids")
    columns = dict(zip(names, map(list, zip(*nearest, strict=True)), strict=True))
    first, last = await (await connection.execute(_THEIR_EXTENT, columns)).fetchone() or (None, None)
    statement = _SIGHTINGS.format(
        theirs=sql.SQL(_THEIRS),
        query=sql.SQL("{}::vector({})").format(sql.Literal(_text(unit)), dimension),
        dimension=dimension,
        where=where.condition(),
    )
    asked = {**values, **columns, "first": first, "last": last}
    rows = await (await connection.execute(statement, asked)).fetchall()
    return [Found(*row) for row in rows]


def _text(look: Float32) -> str:
    return f"[{','.join(map(repr, look.tolist()))}]"
