"""What people do on the map: their visits to zones, and the lines that they cross.

Positions tremble, so a path's smoothed form is looked at, somebody who is back in a zone within a second has not left
it, and a line counts as crossed once somebody was clear of it on one side before and on the other after.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import shapely

from orchestrator.history.motion import MapPath
from orchestrator.values import Bool, Float64, Int64
from orchestrator.zones import Line, Zone

BACK_S = 1.0
CLEAR_M = 0.25


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody in a zone; indices into a path, both inclusive."""

    first: int
    last: int

    def seconds(self, path: MapPath, tick_s: float) -> float:
        """From the first tick inside to the end of the last."""
        return float(path.times_s[self.last] - path.times_s[self.first]) + tick_s


@dataclass(frozen=True, slots=True)
class Crossing:
    """Somebody crosses a line on the step that ends at index ``at`` of a path."""

    at: int
    to_left: bool
    """From its right to its left; else the other way."""


def visits(path: MapPath, xy: Float64, zone: Zone) -> list[Visit]:
    """The visits to a zone in time order; ``xy`` [N, 2] is the path's smoothed form."""
    inside: Bool = np.asarray(shapely.contains_xy(zone.shape, xy[:, 0], xy[:, 1]))
    at = np.flatnonzero(inside)
    if not len(at):
        return []
    apart = (np.diff(path.times_s[at]) > BACK_S) & (np.diff(at) > 1) | (np.diff(path.segments[at]) > 0)
    starts, ends = np.r_[at[0], at[1:][apart]], np.r_[at[:-1][apart], at[-1]]
    return [Visit(first, last) for first, last in zip(starts.tolist(), ends.tolist(), strict=True)]


def crossings(path: MapPath, xy: Float64, line: Line) -> list[Crossing]:
    """The crossings of a line in time order; ``xy`` [N, 2] is the path's smoothed form."""
    turns = _turns(xy, np.array(line.points))
    turns[np.flatnonzero(np.diff(path.segments))] = 0
    steps = np.flatnonzero(turns)
    if not len(steps):
        return []
    away = shapely.distance(shapely.points(xy), shapely.LineString(line.points))
    return [
        Crossing(int(step) + 1, bool(net > 0))
        for start, end in _segments(path)
        for step, net in _settled(steps[(steps >= start) & (steps < end)], turns, away, start, end)
    ]


def _turns(xy: Float64, points: Float64) -> Int64:
    """[N - 1] for each step: how often it crosses the line to the left less how often to the right."""
    turns = np.zeros(max(len(xy) - 1, 0), np.int64)
    before, after = xy[:-1], xy[1:]
    for start, end in itertools.pairwise(points):
        was, now = _side(start, end, before) >= 0, _side(start, end, after) >= 0
        meets = (_cross(after - before, start - before) >= 0) != (_cross(after - before, end - before) >= 0)
        turns += meets * (now.astype(np.int64) - was.astype(np.int64))
    return turns


def _side(start: Float64, end: Float64, xy: Float64) -> Float64:
    """[N] above 0 on the left of the line from ``start`` to ``end``."""
    return _cross(np.broadcast_to(end - start, xy.shape), xy - start)


def _cross(first: Float64, second: Float64) -> Float64:
    return np.asarray(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


def _segments(path: MapPath) -> list[tuple[int, int]]:
    """First and last index of each segment."""
    edges = np.flatnonzero(np.diff(path.segments))
    return list(zip(np.r_[0, edges + 1].tolist(), np.r_[edges, len(path) - 1].tolist(), strict=True))


def _settled(steps: Int64, turns: Int64, away: Float64, start: int, end: int) -> list[tuple[int, int]]:
    """The last step of each real crossing with its net turn: between stretches that lead clear of the line."""
    found = []
    net, last, clear = 0, -1, False
    bounds = [start, *(steps + 1).tolist(), end + 1]
    for number, (first, stop) in enumerate(itertools.pairwise(bounds)):
        if number:
            last = int(steps[number - 1])
            net += int(turns[last])
        if away[first:stop].max(initial=0) < CLEAR_M:
            continue
        if clear and net:
            found.append((last, net))
        clear, net = True, 0
    return found
