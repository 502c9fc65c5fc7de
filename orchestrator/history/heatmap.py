"""Where people spend their time: seconds in each cell of a grid over the map.

Somebody whom several cameras see at one tick counts once, at the mean of their positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from psycopg import sql

from orchestrator.history.extent import narrowed
from orchestrator.history.files import IN_PART, PARTS
from orchestrator.history.pool import Pool, transaction
from orchestrator.history.scope import Scope
from orchestrator.values import Float64, Int64

MAX_CELLS = 250_000
"""Cells of a grid; what lies far off is left out of a larger one."""
_CENTRAL_SHARE = 0.995
"""Share of the seconds along each axis that a grid keeps when it would be too large: feet seen near the horizon come
out kilometres away."""

_CELLS = sql.SQL("""
WITH {parts}, places AS (
    SELECT avg(d.map_x) AS x, avg(d.map_y) AS y, p.seconds
    FROM parts p JOIN detections d ON {in_part}
    JOIN tracklets t
      ON (d.task_id, d.camera_id, d.track_id) = (t.task_id, t.camera_id, t.track_id)
     AND d.global_frame_index BETWEEN t.first_frame AND t.last_frame
    WHERE abs(d.map_x) < 1e6 AND abs(d.map_y) < 1e6
      AND (%(start)s::timestamptz IS NULL OR d.time >= %(start)s::timestamptz)
      AND (%(end)s::timestamptz IS NULL OR d.time < %(end)s::timestamptz)
    GROUP BY d.task_id, d.global_frame_index, COALESCE(t.global_id, d.camera_id || ' ' || d.track_id), p.seconds
)
SELECT floor(x / %(cell_m)s)::bigint, floor(y / %(cell_m)s)::bigint, sum(seconds)
FROM places GROUP BY 1, 2""").format(parts=PARTS, in_part=IN_PART)


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Seconds spent in each cell."""

    origin: tuple[float, float]
    """Map position of the outer corner of cell [0, 0], metres."""
    cell_m: float
    seconds: Float64
    """[rows, columns]; row r covers y from ``origin[1] + r * cell_m``."""
    outside_s: float
    """Seconds that lie outside the grid, which would have been too large with them."""


async def heatmap(pool: Pool, scope: Scope, cell_m: float) -> Heatmap:
    """Person-seconds in each cell; an empty grid where nobody was.

    Raises:
        HistoryError: the database does not answer, or not in time.
    """
    async with transaction(pool, "add up where people were") as connection:
        scope = await narrowed(connection, scope)
        rows = await (await connection.execute(_CELLS, {**scope.values(), "cell_m": cell_m})).fetchall()
    if not rows:
        return Heatmap((0.0, 0.0), cell_m, np.zeros((0, 0)), 0.0)
    cells = np.array([row[:2] for row in rows], np.int64)
    return _grid(cells, np.array([row[2] for row in rows], np.float64), cell_m)


def _grid(cells: Int64, seconds: Float64, cell_m: float) -> Heatmap:
    """Cells [N, 2] as (column, row) and their seconds [N] as one grid around them."""
    low, high = cells.min(axis=0), cells.max(axis=0)
    if np.prod((high - low + 1).astype(np.float64)) > MAX_CELLS:
        low, high = (np.array(ends) for ends in zip(*(_central(axis, seconds) for axis in cells.T), strict=True))
        low, high = _at_most(low, high)
    inside = ((cells >= low) & (cells <= high)).all(axis=1)
    columns, rows = (high - low + 1).tolist()
    grid = np.zeros((rows, columns))
    at = cells[inside] - low
    grid[at[:, 1], at[:, 0]] = seconds[inside]
    return Heatmap((float(low[0] * cell_m), float(low[1] * cell_m)), cell_m, grid, float(seconds[~inside].sum()))


def _central(cells: Int64, seconds: Float64) -> tuple[int, int]:
    """The first and last cell along one axis between which ``_CENTRAL_SHARE`` of the seconds lie."""
    order = np.argsort(cells)
    passed = np.cumsum(seconds[order]) / seconds.sum()
    edge = (1 - _CENTRAL_SHARE) / 2
    first, last = np.searchsorted(passed, (edge, 1 - edge))
    return int(cells[order[first]]), int(cells[order[min(last, len(order) - 1)]])


def _at_most(low: Int64, high: Int64) -> tuple[Int64, Int64]:
    """The middle of a range of cells that is still too large."""
    size = high - low + 1
    limit = int(MAX_CELLS**0.5)
    if np.prod(size.astype(np.float64)) <= MAX_CELLS:
        return low, high
    spare = np.maximum(size - limit, 0)
    return low + spare // 2, high - (spare - spare // 2)
