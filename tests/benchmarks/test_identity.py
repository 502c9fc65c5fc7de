"""The costs are of the real association over walks that it can follow; growth is a slope."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import identity
from benchmarks.identity import Cost, boxes_of, exponent, identity_cost, tracker_cost, walk


def test_growth_is_the_slope_of_a_whole_tick():
    costs = [Cost("identity", cameras, 20, 1, 0.1 * cameras**0.5) for cameras in (1, 2, 4, 16)]
    assert exponent(costs, lambda cost: cost.cameras) == pytest.approx(1.5)
    assert np.isnan(exponent(costs[:1], lambda cost: cost.cameras))


def test_cameras_see_as_many_people_as_asked_and_each_person_once():
    sightings = list(walk(4, 20))
    assert np.mean([len(item) for item in sightings]) == pytest.approx(4 * 20, rel=0.25)
    for item in sightings[::40]:
        assert len(np.unique(np.stack([item.cameras, item.track_ids]), axis=1).T) == len(item)
        assert np.linalg.norm(item.looks, axis=1) == pytest.approx(1)
    boxes, looks = next(boxes_of(7))
    assert (boxes.shape, looks.shape) == ((7, 4), (7, identity.DIMENSION))


def test_costs_are_times_of_the_real_parts(monkeypatch):
    monkeypatch.setattr(identity, "TICKS", 4)
    monkeypatch.setattr(identity, "WARM_UP_TICKS", 8)
    cost = identity_cost(2, 3)
    assert (cost.cameras, cost.people, cost.ticks) == (2, 3, 4)
    assert 0 < cost.ms_a_camera_tick < 100
    for backend in ("python", "cpp"):
        cost = tracker_cost(backend, 3)
        if backend == "cpp" and isinstance(cost, str):  # no compiler here
            assert "it needs cmake" in cost
            continue
        assert isinstance(cost, Cost)
        assert (cost.what, cost.people, cost.ticks) == (f"BotSort, {backend}", 3, 4)
