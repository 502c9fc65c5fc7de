"""The people of a task who were seen long ago and look like somebody: their looks, and where they were last."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import LiteralString

import numpy as np

from orchestrator.history.pool import Pool, transaction
from orchestrator.history.search import Where, similar
from orchestrator.inference.protocols import ModelId
from orchestrator.values import Float32, Float64

LOOKS_EACH = 32
"""Looks of a person that are read, the most confident ones."""
_HEAD_BYTES = 4
"""Before the values of a vector: its dimension and two unused bytes."""

_LAST: LiteralString = """
SELECT DISTINCT ON (t.global_id) t.global_id, t.camera_id, t.last_frame, d.map_x, d.map_y
FROM tracklets t LEFT JOIN detections d
  ON (d.task_id, d.camera_id, d.track_id, d.time) = (t.task_id, t.camera_id, t.track_id, t.last_time)
WHERE t.task_id = %(task_id)s::uuid AND t.global_id = ANY(%(people)s::text[])
ORDER BY t.global_id, t.last_frame DESC, t.camera_id"""

_LOOKS: LiteralString = """
SELECT global_id, camera_id, confidence, vector_send(embedding) FROM (
    SELECT t.global_id, e.camera_id, e.confidence, e.embedding,
           row_number() OVER (PARTITION BY t.global_id ORDER BY e.confidence DESC, e.time, e.camera_id) AS place
    FROM tracklets t JOIN embeddings e
      ON (e.task_id, e.camera_id, e.track_id) = (t.task_id, t.camera_id, t.track_id)
     AND e.time BETWEEN t.first_time AND t.last_time
    WHERE t.task_id = %(task_id)s::uuid AND t.global_id = ANY(%(people)s::text[])
      AND (e.model_name, e.model_version) = (%(model_name)s, %(model_version)s)
) AS looks WHERE place <= %(looks)s ORDER BY global_id, place"""


@dataclass(frozen=True, slots=True)
class LastSeen:
    """Somebody of the task's past."""

    global_id: str
    camera_ids: Sequence[str]
    """[K] where each look was taken."""
    confidences: Float64
    """[K] of the detections."""
    looks: Float32
    """[K, D]"""
    last_frame: int
    """Global frame index."""
    last_camera_id: str
    last_xy: tuple[float, float]
    """Metres; NaN where unknown."""


async def last_seen_like(
    pool: Pool,
    task_id: str,
    model: ModelId,
    look: Float32,
    not_these: Collection[str],
    people: int,
    min_similarity: float,
) -> list[LastSeen]:
    """The most similar people of a task, up to its last checkpoint, most similar first.

    Args:
        pool: the database.
        task_id: whose people.
        model: whose embedding ``look`` is.
        look: [D]
        not_these: global ids of people who are not asked for.
        people: how many at most.
        min_similarity: cosine below which somebody is left out.

    Raises:
        HistoryError: the database does not answer, or not in time.
    """
    where = Where(task_id=task_id, not_people=not_these)
    found = await similar(pool, model, look, where, people, min_similarity)
    ids = list(dict.fromkeys(each.global_id for each in found if each.global_id is not None))
    if not ids:
        return []
    values = {
        "task_id": task_id,
        "people": ids,
        "looks": LOOKS_EACH,
        "model_name": model.name,
        "model_version": model.version,
    }
    async with transaction(pool, "read how people looked") as connection:
        last = {row[0]: row[1:] for row in await (await connection.execute(_LAST, values)).fetchall()}
        looks = await (await connection.execute(_LOOKS, values)).fetchall()
    return [_person(name, [row[1:] for row in looks if row[0] == name], *last[name]) for name in ids]


def _person(
    global_id: str,
    looks: Sequence[tuple[str, float, bytes]],
    camera_id: str,
    frame: int,
    x: float | None,
    y: float | None,
) -> LastSeen:
    vectors = [np.frombuffer(value, ">f4", offset=_HEAD_BYTES).astype(np.float32) for _, _, value in looks]
    return LastSeen(
        global_id,
        [camera for camera, _, _ in looks],
        np.array([confidence for _, confidence, _ in looks], np.float64),
        np.stack(vectors),
        frame,
        camera_id,
        (np.nan, np.nan) if x is None or y is None else (x, y),
    )
