"""How a person moved on the map: one path out of the sightings of all cameras, its speed, and a shorter form of it.

Positions come from the feet of boxes and jump by decimetres from tick to tick, so speed is the slope of a straight line
fitted to about a second of them (local linear regression, Savitzky and Golay 1964).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from orchestrator.values import Bool, Float64, Int64

FIT_S = 1.0
"""Positions within so long a window make up a speed."""
GAP_S = 2.0
"""Somebody who is not seen for longer may have been anywhere: no speed and no distance across such a gap."""
SAME_S = 0.0005
"""Sightings closer in time belong to one tick."""


@dataclass(frozen=True, slots=True)
class MapPath:
    """Where somebody was, one position a tick, in time order."""

    times_s: Float64
    """[N] seconds since the first of them."""
    xy: Float64
    """[N, 2] metres."""
    segments: Int64
    """[N] rises by one behind every gap of more than ``GAP_S``."""

    @classmethod
    def of(cls, times_s: Float64, xy: Float64) -> Self:
        """Sightings [M] in time order, of any number of cameras; those without a position (NaN) are left out."""
        known: Bool = np.asarray(np.isfinite(xy).all(axis=1))
        times_s, xy = times_s[known], xy[known]
        if not len(times_s):
            return cls(np.zeros(0), np.zeros((0, 2)), np.zeros(0, np.int64))
        starts = np.flatnonzero(np.r_[True, np.diff(times_s) > SAME_S])
        counts = np.diff(np.r_[starts, len(times_s)])
        ticks = times_s[starts] - times_s[0]
        mean = np.add.reduceat(xy, starts, axis=0) / counts[:, None]
        segments = np.cumsum(np.r_[False, np.diff(ticks) > GAP_S]).astype(np.int64)
        return cls(ticks, mean, segments)

    def __len__(self) -> int:
        return len(self.times_s)


@dataclass(frozen=True, slots=True)
class Motion:
    """A path with the tremor taken out."""

    xy: Float64
    """[N, 2] metres."""
    speeds: Float64
    """[N] metres a second; NaN where a position stands alone."""

    def distance(self, path: MapPath) -> float:
        """Metres walked, without what lies across gaps."""
        steps = np.hypot(*np.diff(self.xy, axis=0).T)
        return float(steps[np.diff(path.segments) == 0].sum())


def motion(path: MapPath) -> Motion:
    """Fits a line to the positions around each of them, within its segment."""
    xy, speeds = np.array(path.xy), np.full(len(path), np.nan)
    bounds = np.searchsorted(path.segments, np.arange(path.segments[-1] + 2) if len(path) else [0])
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if end - start > 1:
            xy[start:end], speeds[start:end] = _fit(path.times_s[start:end], path.xy[start:end])
    return Motion(xy, speeds)


def _fit(times_s: Float64, xy: Float64) -> tuple[Float64, Float64]:
    """Fitted positions [N, 2] and speeds [N], from running sums over the window of each."""
    times = times_s - times_s[0]
    centre = xy.mean(axis=0)
    low = np.searchsorted(times, times - FIT_S / 2 - SAME_S)
    high = np.searchsorted(times, times + FIT_S / 2 + SAME_S, side="right")
    alone = high - low < 2  # a slower rate than the window: the neighbours then
    low, high = np.where(alone, np.maximum(low - 1, 0), low), np.where(alone, np.minimum(high + 1, len(times)), high)
    columns = np.column_stack([np.ones_like(times), times, times**2, xy - centre, times[:, None] * (xy - centre)])
    sums = np.vstack([np.zeros(columns.shape[1]), np.cumsum(columns, axis=0)])
    window = sums[high] - sums[low]
    count = window[:, 0]
    mean_time, mean = window[:, 1] / count, window[:, 3:5] / count[:, None]
    spread = window[:, 2] / count - mean_time**2
    slope = (window[:, 5:7] / count[:, None] - mean * mean_time[:, None]) / spread[:, None]
    return centre + mean + slope * (times - mean_time)[:, None], np.asarray(np.hypot(*slope.T))


def simplify(path: MapPath, tolerance_m: float) -> Bool:
    """[N] which positions to keep so that a straight walk between them at even pace is never off by more.

    Top-down time-ratio (Meratnia and de By, EDBT 2004): as Douglas and Peucker, but with the distance to where the
    simplified walk is at the same moment. The ends of every segment are kept.
    """
    keep = np.zeros(len(path), np.bool_)
    if not len(path):
        return keep
    edges = np.flatnonzero(np.diff(path.segments))
    starts, ends = np.r_[0, edges + 1], np.r_[edges, len(path) - 1]
    keep[starts] = keep[ends] = True
    pending = list(zip(starts.tolist(), ends.tolist(), strict=True))
    while pending:
        start, end = pending.pop()
        if end - start < 2:
            continue
        inner = slice(start + 1, end)
        share = (path.times_s[inner] - path.times_s[start]) / (path.times_s[end] - path.times_s[start])
        there = path.xy[start] + share[:, None] * (path.xy[end] - path.xy[start])
        off = np.hypot(*(path.xy[inner] - there).T)
        worst = int(off.argmax())
        if off[worst] > tolerance_m:
            middle = start + 1 + worst
            keep[middle] = True
            pending += [(start, middle), (middle, end)]
    return keep
