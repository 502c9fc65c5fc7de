"""Who each track is and from when to when it was seen: the small table beside the millions of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from orchestrator.correction import NamedStretch
from orchestrator.history.pool import Connection
from orchestrator.history.rows import Clock, Sighting

Tracklet = tuple[str, int]
"""Camera id and track id."""

_SEEN = """
INSERT INTO tracklets (task_id, camera_id, track_id, global_id, first_frame, last_frame, first_time, last_time)
SELECT %s, * FROM unnest(%s::text[], %s::int[], %s::text[], %s::int[], %s::int[], %s::timestamptz[], %s::timestamptz[])
ON CONFLICT (task_id, camera_id, track_id, stretch) DO UPDATE SET
    global_id = EXCLUDED.global_id,
    first_frame = LEAST(tracklets.first_frame, EXCLUDED.first_frame),
    last_frame = GREATEST(tracklets.last_frame, EXCLUDED.last_frame),
    first_time = LEAST(tracklets.first_time, EXCLUDED.first_time),
    last_time = GREATEST(tracklets.last_time, EXCLUDED.last_time)"""

_RENAMED = """
UPDATE tracklets SET global_id = bound.global_id
FROM unnest(%s::text[], %s::int[], %s::text[]) AS bound (camera_id, track_id, global_id)
WHERE tracklets.task_id = %s AND tracklets.camera_id = bound.camera_id AND tracklets.track_id = bound.track_id
  AND tracklets.global_id IS DISTINCT FROM bound.global_id"""

_FORGET = "DELETE FROM tracklets WHERE task_id = %s"
_STRETCHES = """
INSERT INTO tracklets (task_id, camera_id, track_id, stretch, global_id, first_frame, last_frame, first_time, last_time)
SELECT %s, * FROM unnest(
    %s::text[], %s::int[], %s::int[], %s::text[], %s::int[], %s::int[], %s::timestamptz[], %s::timestamptz[]
)"""


class Spans:
    """First and last frame of every track seen since the last checkpoint."""

    def __init__(self) -> None:
        self._spans: dict[Tracklet, tuple[int, int]] = {}

    def add(self, blocks: Iterable[Sighting]) -> None:
        """Takes in rows, in any order."""
        for block in blocks:
            track_ids, inverse = np.unique(block.track_ids, return_inverse=True)
            first = np.full(len(track_ids), np.iinfo(np.int64).max)
            last = np.full(len(track_ids), -1, np.int64)
            np.minimum.at(first, inverse, block.frames)
            np.maximum.at(last, inverse, block.frames)
            for track_id, start, end in zip(track_ids.tolist(), first.tolist(), last.tolist(), strict=True):
                known = self._spans.get((block.camera_id, track_id), (start, end))
                self._spans[block.camera_id, track_id] = min(start, known[0]), max(end, known[1])

    def items(self) -> list[tuple[Tracklet, tuple[int, int]]]:
        """Tracks with their first and last frame."""
        return list(self._spans.items())

    def clear(self) -> None:
        """Begins anew."""
        self._spans.clear()


async def store_tracklets(
    connection: Connection, task_id: str, clock: Clock, spans: Spans, bindings: Mapping[Tracklet, str | None]
) -> None:
    """Writes the tracks seen since the last checkpoint, and the names that earlier ones got since."""
    seen = spans.items()
    if seen:
        await connection.execute(
            _SEEN,
            (
                task_id,
                [camera for (camera, _), _ in seen],
                [track for (_, track), _ in seen],
                [bindings.get(tracklet) for tracklet, _ in seen],
                [first for _, (first, _) in seen],
                [last for _, (_, last) in seen],
                [clock.time_of(first) for _, (first, _) in seen],
                [clock.time_of(last) for _, (_, last) in seen],
            ),
        )
    if bindings:
        cameras, tracks = zip(*bindings, strict=True)
        await connection.execute(_RENAMED, (list(cameras), list(tracks), list(bindings.values()), task_id))


async def rewrite_tracklets(
    connection: Connection, task_id: str, clock: Clock, stretches: Sequence[NamedStretch]
) -> None:
    """Puts the stretches of all tracks in place of what the table says of the task."""
    await connection.execute(_FORGET, (task_id,))
    seen: dict[Tracklet, int] = {}
    numbers = []
    for item in stretches:
        key = item.camera_id, item.track_id
        numbers.append(seen.get(key, 0))
        seen[key] = numbers[-1] + 1
    columns = (
        [item.camera_id for item in stretches],
        [item.track_id for item in stretches],
        numbers,
        [item.global_id for item in stretches],
        [item.first_frame for item in stretches],
        [item.last_frame for item in stretches],
        [clock.time_of(item.first_frame) for item in stretches],
        [clock.time_of(item.last_frame) for item in stretches],
    )
    await connection.execute(_STRETCHES, (task_id, *columns))
