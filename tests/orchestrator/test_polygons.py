from __future__ import annotations

import numpy as np

from orchestrator.polygons import inside

BOOT = [[0, 0], [4, 0], [4, 1], [1, 1], [1, 3], [0, 3]]


def test_points_of_a_polygon_with_a_bay():
    points = [[0.5, 2], [3, 0.5], [2, 2], [-1, 1], [5, 0.5], [0.5, 3.5], [np.nan, 1]]
    assert inside(points, BOOT).tolist() == [True, True, False, False, False, False, False]


def test_the_way_round_does_not_matter_and_corners_are_counted_once():
    assert inside([[0.5, 1], [2, 0.5]], BOOT[::-1]).tolist() == [True, True]
    assert inside([[-1, 0], [-1, 1], [-1, 3]], BOOT).tolist() == [False, False, False]
    assert inside(np.zeros((0, 2)), BOOT).tolist() == []
