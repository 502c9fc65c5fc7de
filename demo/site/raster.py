"""A scanline rasteriser in numpy: many small shaded triangles at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.values import Float32, Int64


@dataclass(frozen=True)
class Fragments:
    """Pixels of triangles, in the triangles' order; a later one covers an earlier one."""

    triangle: Int64
    """[N] row of the triangle."""
    x: Int64
    """[N] pixel column; may lie outside the frame, within the given bounds."""
    y: Int64
    """[N] pixel row, likewise."""


def rasterise(corners: Float32, low: tuple[int, int], high: tuple[int, int]) -> Fragments:
    """Pixels whose centres lie in triangles.

    ``corners`` [T, 3, 2] in pixels; only pixels from ``low`` (x, y) up to, but without, ``high``.
    """
    order = np.argsort(corners[:, :, 1], axis=1)
    rows = np.arange(len(corners))[:, None]
    x, y = corners[rows, order, 0], corners[rows, order, 1]
    top = np.clip(np.ceil(y[:, 0] - 0.5), low[1], high[1]).astype(np.int64)
    bottom = np.clip(np.ceil(y[:, 2] - 0.5), low[1], high[1]).astype(np.int64)
    triangle, line = _ragged(top, bottom - top)
    centre = line.astype(np.float32) + np.float32(0.5)
    left, right = _span_ends(x, y, triangle, centre)
    first = np.clip(np.ceil(left - 0.5), low[0], high[0]).astype(np.int64)
    count = np.maximum(np.clip(np.ceil(right - 0.5), low[0], high[0]).astype(np.int64) - first, 0)
    span, column = _ragged(first, count)
    return Fragments(triangle[span], column, line[span])


def interpolated(corners: Float32, colours: Float32, triangle: Int64, x: Int64, y: Int64) -> Float32:
    """[N, 3] colours at pixels of triangles, linear on the screen between ``colours`` [T, 3, 3] at the corners."""
    along_x, along_y = _gradients(corners, colours)
    base = colours[:, 0] - along_x * (corners[:, 0, :1] - 0.5) - along_y * (corners[:, 0, 1:] - 0.5)
    across, down = x.astype(np.float32)[:, None], y.astype(np.float32)[:, None]
    colour: Float32 = base[triangle] + along_x[triangle] * across + along_y[triangle] * down
    return colour


def _ragged(start: Int64, count: Int64) -> tuple[Int64, Int64]:
    """For each row, ``count`` consecutive integers from ``start``: the rows repeated, and the integers."""
    owner = np.repeat(np.arange(len(start)), count)
    offset = start - (np.cumsum(count) - count)
    return owner, np.arange(len(owner)) + offset[owner]


def _span_ends(x: Float32, y: Float32, triangle: Int64, centre: Float32) -> tuple[Float32, Float32]:
    """Where horizontal lines through pixel centres enter and leave triangles with corners sorted by y."""
    tiny = np.float32(1e-6)
    slope_long = (x[:, 2] - x[:, 0]) / np.maximum(y[:, 2] - y[:, 0], tiny)
    slope_top = (x[:, 1] - x[:, 0]) / np.maximum(y[:, 1] - y[:, 0], tiny)
    slope_bottom = (x[:, 2] - x[:, 1]) / np.maximum(y[:, 2] - y[:, 1], tiny)
    upper = centre < y[triangle, 1]
    knee_x, knee_y = x[triangle, 1], y[triangle, 1]
    one = x[triangle, 0] + slope_long[triangle] * (centre - y[triangle, 0])
    two = knee_x + np.where(upper, slope_top[triangle], slope_bottom[triangle]) * (centre - knee_y)
    return np.minimum(one, two), np.maximum(one, two)


def _gradients(corners: Float32, colours: Float32) -> tuple[Float32, Float32]:
    """Change of colour per pixel in x and in y, each [T, 3]; zero for slivers."""
    edge_one, edge_two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = edge_one[:, 0] * edge_two[:, 1] - edge_one[:, 1] * edge_two[:, 0]
    scale = np.where(np.abs(area) > 0.05, 1 / np.where(area == 0, 1, area), 0).astype(np.float32)[:, None]
    one, two = colours[:, 1] - colours[:, 0], colours[:, 2] - colours[:, 0]
    along_x = (one * edge_two[:, 1:] - two * edge_one[:, 1:]) * scale
    along_y = (two * edge_one[:, :1] - one * edge_two[:, :1]) * scale
    return along_x, along_y
