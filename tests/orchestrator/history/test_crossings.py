"""Visits and crossings on walks whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.history.crossings import Crossing, crossings, visits
from orchestrator.history.motion import MapPath, motion
from orchestrator.values import Float64
from orchestrator.zones import Line, Zone

RATE = 10.0
SQUARE = Zone(polygon=((2, -1), (6, -1), (6, 1), (2, 1)))
DOOR = Line(points=((3, -2), (3, 2)))


def path(xy: Float64) -> MapPath:
    return MapPath.of(np.arange(len(xy)) / RATE, xy)


def along_x(start: float, end: float, speed: float = 1.0, y: float = 0.0) -> Float64:
    steps = round(abs(end - start) / speed * RATE)
    x = np.linspace(start, end, steps + 1)
    return np.column_stack([x, np.full(len(x), y)])


def found(walk: MapPath, line: Line = DOOR) -> list[bool]:
    return [crossing.to_left for crossing in crossings(walk, motion(walk).xy, line)]


def test_a_walk_through_a_zone_is_one_visit_of_its_length() -> None:
    walk = path(along_x(0, 8))
    (visit,) = visits(walk, walk.xy, SQUARE)
    assert visit.seconds(walk, 0.1) == pytest.approx(4.0, abs=0.2)
    assert walk.xy[visit.first, 0] == pytest.approx(2.0, abs=0.11)


def test_a_moment_outside_does_not_end_a_visit_and_a_longer_one_does() -> None:
    inside, outside = along_x(3, 5), np.tile([5.0, 3.0], (8, 1))
    short = path(np.vstack([inside, outside, inside]))
    assert len(visits(short, short.xy, SQUARE)) == 1
    long = path(np.vstack([inside, np.tile(outside, (3, 1)), inside]))
    assert len(visits(long, long.xy, SQUARE)) == 2


def test_somebody_who_goes_out_of_view_ends_their_visit() -> None:
    xy = along_x(3, 5)
    times = np.arange(len(xy)) / RATE
    walk = MapPath.of(np.r_[times, times + 60], np.vstack([xy, xy]))
    assert [visit.seconds(walk, 0.1) for visit in visits(walk, walk.xy, SQUARE)] == pytest.approx([2.1, 2.1])


def test_directions_are_as_seen_from_the_first_point() -> None:
    assert found(path(along_x(0, 6))) == [False]
    assert found(path(along_x(6, 0))) == [True]
    assert found(path(np.vstack([along_x(0, 6), along_x(6, 0), along_x(0, 6)]))) == [False, True, False]
    assert found(path(along_x(0, 6)), Line(points=DOOR.points[::-1])) == [True]


def test_the_crossing_is_where_the_line_is() -> None:
    walk = path(along_x(0.05, 6.05))
    (crossing,) = crossings(walk, walk.xy, DOOR)
    assert crossing == Crossing(at=30, to_left=False)


def test_beside_the_end_of_a_line_nothing_is_crossed() -> None:
    assert found(path(along_x(0, 6, y=2.1))) == []
    assert found(path(along_x(0, 6, y=1.9))) == [False]


def test_a_corner_of_a_line_is_crossed_once() -> None:
    bent = Line(points=((3, -2), (3, 0), (3, 2)))
    assert found(path(along_x(0, 6)), bent) == [False]


def test_somebody_who_trembles_on_a_line_crosses_it_once_at_most() -> None:
    generator = np.random.default_rng(0)
    waits = np.column_stack([3 + generator.normal(0, 0.06, 600), np.zeros(600)])
    assert found(path(np.vstack([along_x(0, 3), waits, along_x(3, 6)]))) == [False]
    assert found(path(np.vstack([along_x(0, 3), waits, along_x(3, 0)]))) == []
    assert found(path(waits)) == []


def test_nothing_is_crossed_while_nobody_looks() -> None:
    before, after = along_x(0, 2.5), along_x(3.5, 6)
    times = np.r_[np.arange(len(before)), 600 + np.arange(len(after))] / RATE
    walk = MapPath.of(times, np.vstack([before, after]))
    assert found(walk) == []
