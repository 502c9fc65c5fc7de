"""Paths, speeds and their simplification, on walks whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.history.motion import MapPath, motion, simplify


def walk(seconds: float, rate: float = 10.0, speed: float = 1.4) -> tuple[np.ndarray, np.ndarray]:
    times = np.arange(0, seconds, 1 / rate)
    return times, np.column_stack([speed * times, np.full(len(times), 3.0)])


def test_cameras_that_see_somebody_together_make_one_position() -> None:
    times = np.array([0.0, 0.0, 0.1, 0.1, 0.2])
    xy = np.array([[0, 0], [0, 0.4], [1, 0], [np.nan, np.nan], [2, 0]])
    path = MapPath.of(times, xy)
    assert path.times_s.tolist() == [0.0, 0.1, 0.2]
    assert path.xy.tolist() == [[0, 0.2], [1, 0], [2, 0]]


@pytest.mark.parametrize("rate", [1.0, 4.0, 23.0])
def test_a_steady_walk_has_its_speed_at_every_tick(rate: float) -> None:
    path = MapPath.of(*walk(20, rate))
    found = motion(path)
    assert found.speeds == pytest.approx(np.full(len(path), 1.4), abs=1e-6)
    assert found.xy == pytest.approx(path.xy, abs=1e-6)
    assert found.distance(path) == pytest.approx(1.4 * path.times_s[-1])


def test_trembling_feet_make_neither_speed_nor_distance() -> None:
    times, xy = walk(60, 23)
    trembling = xy + np.random.default_rng(0).normal(0, 0.05, xy.shape)
    raw = np.hypot(*np.diff(trembling, axis=0).T) * 23
    path = MapPath.of(times, trembling)
    found = motion(path)
    assert raw.mean() > 2
    assert np.abs(found.speeds - 1.4).mean() < 0.06
    assert found.distance(path) == pytest.approx(1.4 * times[-1], rel=0.05)


def test_nothing_is_guessed_across_a_gap() -> None:
    times, xy = walk(4)
    path = MapPath.of(np.r_[times, times + 100], np.r_[xy, xy + 50])
    found = motion(path)
    assert found.speeds == pytest.approx(np.full(len(path), 1.4), abs=1e-6)
    assert found.distance(path) == pytest.approx(2 * 1.4 * times[-1], abs=1e-6)
    assert np.flatnonzero(simplify(path, 0.1)).tolist() == [0, 39, 40, 79]


def test_a_position_that_stands_alone_has_no_speed() -> None:
    path = MapPath.of(np.array([5.0]), np.array([[1.0, 2.0]]))
    assert np.isnan(motion(path).speeds).all()
    assert motion(path).distance(path) == 0
    assert simplify(path, 0.1).tolist() == [True]
    empty = MapPath.of(np.zeros(0), np.zeros((0, 2)))
    assert len(motion(empty).speeds) == len(simplify(empty, 0.1)) == 0


def test_hours_at_the_end_of_a_day_are_as_exact_as_its_first_second() -> None:
    times, xy = walk(3600, 23)
    found = motion(MapPath.of(times + 80_000, xy + 1000))
    assert found.speeds == pytest.approx(np.full(len(times), 1.4), abs=1e-3)


def test_a_simplified_walk_is_never_off_by_more_than_told() -> None:
    times = np.arange(0, 60, 0.1)
    xy = np.column_stack([np.cos(times / 5) * 10, np.sin(times / 3) * 6])
    xy[300:400] = xy[300]  # stands still, which the shape alone would not show
    path = MapPath.of(times, xy)
    for tolerance in (0.05, 0.3, 2.0):
        keep = simplify(path, tolerance)
        between = np.column_stack([np.interp(times, times[keep], xy[keep, axis]) for axis in (0, 1)])
        assert np.hypot(*(between - xy).T).max() <= tolerance
        assert keep.sum() < len(times) / 3
