"""A task's tracks as they are stored, for the second pass; of long tracks a sample."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, LiteralString

import numpy as np

from orchestrator.correction import StoredTracks
from orchestrator.history.pool import Pool, database_errors
from orchestrator.inference.protocols import ModelId

_CHUNK_ROWS = 20_000
_HEAD_BYTES = 4
"""Before the values of a vector: its dimension and two unused bytes."""

_SIGHTINGS: LiteralString = """
SELECT d.track_id, d.global_frame_index, d.x1, d.y1, d.x2, d.y2, d.map_x, d.map_y
FROM detections d JOIN (
    SELECT track_id, min(first_frame) AS first_frame, max(last_frame) AS last_frame FROM tracklets
    WHERE task_id = %(task_id)s::uuid AND camera_id = %(camera_id)s GROUP BY track_id
) t USING (track_id)
WHERE d.task_id = %(task_id)s::uuid AND d.camera_id = %(camera_id)s
  AND (d.global_frame_index %% %(step)s = 0 OR d.global_frame_index IN (t.first_frame, t.last_frame))"""

_LOOKS: LiteralString = """
SELECT track_id, global_frame_index, vector_send(embedding)
FROM embeddings WHERE task_id = %(task_id)s::uuid AND camera_id = %(camera_id)s
  AND (model_name, model_version) = (%(model_name)s, %(model_version)s)"""


async def load_tracks(pool: Pool, task_id: str, camera_id: str, step: int, model: ModelId) -> StoredTracks:
    """One camera's tracks at every ``step``-th tick, and where each begins and ends; all embeddings of one model.

    Raises:
        HistoryError: the database does not answer.
    """
    values = {
        "task_id": task_id,
        "camera_id": camera_id,
        "step": step,
        "model_name": model.name,
        "model_version": model.version,
    }
    sightings = await _columns(pool, _SIGHTINGS, values, 8)
    vectors = [
        (row[0], row[1], np.frombuffer(row[2], ">f4", offset=_HEAD_BYTES)) async for row in _rows(pool, _LOOKS, values)
    ]
    looks = np.stack([row[2] for row in vectors]).astype(np.float32) if vectors else np.zeros((0, 0), np.float32)
    return StoredTracks(
        sightings[:, 0].astype(np.int64),
        sightings[:, 1].astype(np.int64),
        sightings[:, 2:6].astype(np.float32),
        sightings[:, 6:8],
        np.array([row[0] for row in vectors], np.int64),
        np.array([row[1] for row in vectors], np.int64),
        looks,
    )


async def _columns(pool: Pool, statement: LiteralString, values: dict[str, Any], count: int) -> np.ndarray[Any, Any]:
    blocks = [np.zeros((0, count))]
    waiting: list[Sequence[Any]] = []
    async with aclosing(_rows(pool, statement, values)) as rows:
        async for row in rows:
            waiting.append(row)
            if len(waiting) == _CHUNK_ROWS:
                blocks.append(np.array(waiting, np.float64))
                waiting = []
    return np.concatenate([*blocks, np.array(waiting, np.float64).reshape(-1, count)])


async def _rows(pool: Pool, statement: LiteralString, values: dict[str, Any]) -> AsyncGenerator[tuple[Any, ...], None]:
    with database_errors("read the tracks of a recording"):
        async with pool.connection() as connection, connection.cursor(name="recording", binary=True) as cursor:
            cursor.itersize = _CHUNK_ROWS
            await cursor.execute(statement, values)
            async for row in cursor:
                yield row
