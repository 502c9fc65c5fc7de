"""The ground that people can walk on: shortest paths (Dijkstra on a grid) around whatever stands there."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from demo.site.scene import Scene
from orchestrator.values import Float64, Int64

CLEARANCE = 0.36
"""Least distance from a person's centre to a solid, metres."""
_CELL = 0.3


class Plan:
    """Distance to the nearest solid everywhere, and walking distance to each place."""

    def __init__(self, scene: Scene) -> None:
        x0, y0, x1, y1 = scene.bounds
        self.origin = np.array([x0, y0])
        shape = (int((y1 - y0) / _CELL), int((x1 - x0) / _CELL))
        free = np.ones(shape, np.uint8)
        free[[0, -1]] = 0
        free[:, [0, -1]] = 0
        for solid in scene.solids:
            if solid.blocks:
                outline = (solid.footprint() - self.origin) / _CELL
                cv2.fillConvexPoly(free, np.round(outline * 16 - 8).astype(np.int32), 0, cv2.LINE_8, 4)
        room = cv2.distanceTransform(free, cv2.DIST_L2, 5).astype(np.float64) * _CELL
        self._room = cv2.GaussianBlur(room, (3, 3), 0.7).astype(np.float64)
        self._room_and_slopes = _with_slopes(self._room)
        places = np.array([(place.x, place.y) for place in scene.places])
        self._ways = [_with_slopes(field) for field in self._distances(places)]

    def _distances(self, places: Float64) -> list[Float64]:
        walkable = self._room > CLEARANCE
        index = np.full(walkable.shape, -1, np.int64)
        index[walkable] = np.arange(walkable.sum())
        graph = _grid_graph(index, self._room)
        cells = self._cells(places)
        starts = [_nearest(index, cell) for cell in cells]
        fields = dijkstra(graph, directed=False, indices=starts)
        result = []
        for field in fields:
            reachable = np.where(np.isfinite(field), field, 0.0)
            full = np.full(walkable.shape, reachable.max() + 5)
            full[walkable] = np.where(np.isfinite(field), field, reachable.max() + 5)
            result.append(cv2.GaussianBlur(full, (3, 3), 0.8).astype(np.float64))
        return result

    def _cells(self, xy: Float64) -> Int64:
        """[N, 2] row and column of points."""
        cells = np.floor((xy - self.origin) / _CELL).astype(np.int64)[:, ::-1]
        return np.asarray(np.clip(cells, 0, np.array(self._room.shape) - 1), np.int64)

    def _sample(self, field: Float64, xy: Float64) -> Float64:
        """[N, C] bilinear samples of a field [H, W, C]."""
        place = np.clip((xy - self.origin) / _CELL - 0.5, 0, np.array(field.shape[1::-1]) - 1.001)
        cell = place.astype(np.int64)
        right, up = (place - cell).T[..., None]
        column, row = cell.T
        low = field[row, column] * (1 - right) + field[row, column + 1] * right
        high = field[row + 1, column] * (1 - right) + field[row + 1, column + 1] * right
        return np.asarray(low * (1 - up) + high * up, np.float64)

    def room(self, xy: Float64) -> tuple[Float64, Float64]:
        """[N] metres to the nearest solid, and [N, 2] the direction away from it."""
        sample = self._sample(self._room_and_slopes, xy)
        return sample[:, 0], unit(sample[:, 1:])

    def distances(self, xy: Float64) -> Float64:
        """[N, places] how far it is to walk from each of N points to each place, narrow ways counted as longer."""
        return np.concatenate([self._sample(way[..., :1], xy) for way in self._ways], axis=1)

    def way(self, xy: Float64, goals: Int64) -> Float64:
        """[N, 2] direction of the shortest way to each person's place."""
        result = np.zeros_like(xy)
        for goal in np.unique(goals):
            rows = goals == goal
            result[rows] = -self._sample(self._ways[goal][..., 1:], xy[rows])
        return unit(result)


def _with_slopes(field: Float64) -> Float64:
    """[H, W, 3] a field on the grid and its change per metre in x and y."""
    along_y, along_x = np.gradient(field, _CELL)
    return np.stack([field, along_x, along_y], axis=-1)


def _grid_graph(index: Int64, room: Float64) -> coo_array:
    """Edges between neighbouring walkable cells; narrow places cost more, so that paths keep off walls."""
    rows, columns, costs = [], [], []
    dear = 1 + 1.2 * np.exp(-(room - CLEARANCE) / 0.5)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = index[: index.shape[0] - down, max(0, -right) : index.shape[1] - max(0, right)]
        two = index[down:, max(0, right) : index.shape[1] + min(0, right)]
        price = dear[down:, max(0, right) : index.shape[1] + min(0, right)]
        both = (one >= 0) & (two >= 0)
        rows.append(one[both])
        columns.append(two[both])
        costs.append(price[both] * _CELL * np.hypot(down, right))
    size = int(index.max()) + 1
    return coo_array((np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size))


def _nearest(index: Int64, cell: Int64) -> int:
    """The walkable cell nearest to one that may not be."""
    walkable = np.argwhere(index >= 0)
    row, column = walkable[np.abs(walkable - cell).sum(axis=1).argmin()]
    return int(index[row, column])


def unit(vectors: Float64) -> Float64:
    """Vectors of length 1 along the last axis; zeros stay zeros."""
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9), np.float64)
