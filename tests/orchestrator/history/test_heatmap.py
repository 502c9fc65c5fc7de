"""The grid around the cells that hold anything."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.history.heatmap import MAX_CELLS, _grid


def test_a_grid_spans_its_cells() -> None:
    found = _grid(np.array([[-2, 5], [0, 6]]), np.array([1.5, 2.5]), 0.5)
    assert found.origin == (-1.0, 2.5)
    assert found.seconds.tolist() == [[1.5, 0, 0], [0, 0, 2.5]]
    assert found.outside_s == 0


def test_what_lies_kilometres_away_is_left_out_and_told() -> None:
    near = np.argwhere(np.ones((50, 100)))
    cells = np.vstack([near, [[900_000, -900_000], [-1_000_000, 3]]])
    seconds = np.r_[np.ones(5000), 0.5, 0.25]
    found = _grid(cells, seconds, 0.1)
    assert found.seconds.size <= MAX_CELLS
    assert found.seconds.sum() + found.outside_s == pytest.approx(seconds.sum())
    assert found.outside_s < 0.03 * seconds.sum()


def test_people_all_over_a_country_still_make_a_bounded_grid() -> None:
    cells = np.random.default_rng(0).integers(-1_000_000, 1_000_000, (1000, 2))
    assert _grid(cells, np.ones(1000), 1.0).seconds.size <= MAX_CELLS
