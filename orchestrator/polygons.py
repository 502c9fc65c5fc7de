"""Polygons on the map."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.values import Bool


def inside(points: ArrayLike, polygon: ArrayLike) -> Bool:
    """[N] whether points [N, 2] lie in a polygon [K, 2], which closes itself; NaN lies nowhere.

    A point is inside where a ray from it crosses the edges an odd number of times (Shimrat, CACM 1962, no. 112).
    """
    place, corner = np.asarray(points, np.float64), np.asarray(polygon, np.float64)
    ahead = np.roll(corner, -1, axis=0)
    x, y = place[:, :1], place[:, 1:]
    straddles = (corner[:, 1] > y) != (ahead[:, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = corner[:, 0] + (y - corner[:, 1]) * (ahead[:, 0] - corner[:, 0]) / (ahead[:, 1] - corner[:, 1])
    crossed = straddles & (x < crossing)
    return np.asarray((crossed.sum(axis=1) % 2 == 1) & np.isfinite(place).all(axis=1), np.bool_)
