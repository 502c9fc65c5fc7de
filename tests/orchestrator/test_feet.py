"""Feet of people before a camera 4 m up that looks 20 degrees down: seen, hidden, cut off; and what is nobody's."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.feet import FootModel, statures
from orchestrator.homography import Homography, foot_points

TILT, FOCAL, CENTRE, UP = np.deg2rad(20), 1000.0, np.array([960.0, 540.0]), 4.0
SIN, COS = np.sin(TILT), np.cos(TILT)


def pixels(world):
    """World [N, 3], metres with y ahead and z up -> px [N, 2]."""
    x, y, z = world[:, 0], world[:, 1], world[:, 2] - UP
    depth = y * COS - z * SIN
    down = -(y * SIN + z * COS)
    return CENTRE + FOCAL * np.stack([x, down], axis=1) / depth[:, None]


GROUND = np.array([[-4, 6], [4, 6], [5, 20], [-5, 18], [0, 12]], float)


def boxes(places, stature=1.7):
    """Boxes [N, 4] of people who stand at places [N, 2]."""
    places = np.asarray(places, float)
    feet = pixels(np.column_stack([places, np.zeros(len(places))]))
    heads = pixels(np.column_stack([places, np.full(len(places), stature)]))
    half = 0.17 * (feet[:, 1] - heads[:, 1])
    return np.column_stack([feet[:, 0] - half, heads[:, 1], feet[:, 0] + half, feet[:, 1]]).astype(np.float32)


@pytest.fixture
def homography():
    return Homography.fit(pixels(np.column_stack([GROUND, np.zeros(len(GROUND))])), GROUND)


@pytest.fixture
def model(homography):
    """One that has seen three people walk about, of statures 1.6, 1.7 and 1.8 m."""
    model = FootModel(homography)
    for tick in range(60):
        places = [[-2 + tick / 20, 8 + tick / 10], [2, 16 - tick / 10], [3 - tick / 15, 10]]
        seen = np.concatenate([boxes(places[i : i + 1], 1.6 + i / 10) for i in range(3)])
        see(model, tick, seen)
    return model


def see(model, tick, seen, ids=(1, 2, 3), *, cut_below=False):
    ids = np.array(ids[: len(seen)], np.int64)
    cut = np.zeros((len(seen), 4), bool)
    cut[:, 3] = cut_below
    return model.place(tick, ids, seen, np.ones(len(seen), bool), cut)


def test_seen_feet_are_where_the_box_ends(model, homography):
    places = [[0, 12], [1, 9], [-2, 15]]
    feet = see(model, 60, boxes(places))
    np.testing.assert_allclose(homography.to_map(feet.points), places, atol=0.01)
    assert feet.upright.all()


@pytest.mark.parametrize("cut_below", [False, True])
def test_hidden_feet_are_where_the_track_s_stature_has_them(model, homography, cut_below):
    places = np.array([[0.0, 12], [1, 9], [-2, 15]])
    seen = np.concatenate([boxes(places[i : i + 1], 1.6 + i / 10) for i in range(3)])
    seen[:, 3] -= 0.45 * (seen[:, 3] - seen[:, 1])
    feet = see(model, 60, seen, cut_below=cut_below)
    without = np.linalg.norm(homography.to_map(foot_points(seen)) - places, axis=1)
    error = np.linalg.norm(homography.to_map(feet.points) - places, axis=1)
    assert (error < 0.8).all()
    assert (error < without / 3).all()
    assert (feet.errors[:, 1] > feet.errors[:, 0]).all()


def test_somebody_who_sits_down_is_believed_after_a_while(model, homography):
    place = [[0.0, 12]]
    for tick in range(60, 260):
        feet = see(model, tick, boxes(place, 1.2))
    np.testing.assert_allclose(homography.to_map(feet.points), place, atol=0.05)


def test_what_is_far_too_low_or_too_high_is_nobody_who_stands_there(model):
    for tick in range(60, 70):
        feet = see(
            model, tick, np.concatenate([boxes([[0, 12]], 0.5), boxes([[1, 9]], 4.0), boxes([[2, 9]])]), (7, 8, 9)
        )
    assert feet.upright.tolist() == [False, False, True]


def test_while_nothing_is_known_boxes_are_believed(homography):
    feet = see(FootModel(homography), 0, boxes([[0, 12]], 0.4))
    assert feet.upright.tolist() == [True]
    np.testing.assert_allclose(homography.to_map(feet.points), [[0, 12]], atol=0.01)


def test_nobody(model):
    feet = see(model, 60, np.zeros((0, 4), np.float32))
    assert (feet.points.shape, feet.errors.shape, feet.upright.shape) == ((0, 2), (0, 2), (0,))


def test_a_restored_model_goes_on_alike(model, homography):
    other = FootModel(homography)
    other.restore(model.state())
    for tick in range(60, 70):
        seen = boxes([[0, 12], [1, 9]], 1.3)
        one, two = see(model, tick, seen), see(other, tick, seen)
        np.testing.assert_array_equal(one.points, two.points)


def test_tracks_that_are_gone_are_forgotten(model):
    model.forget(60)
    assert model.state()["tracks"].shape == (0, 4)


def test_statures_are_those_of_upright_people_at_their_places(homography):
    many = boxes(np.random.default_rng(1).uniform([-3, 8], [3, 16], (100, 2)))
    low = boxes([[0, 12], [1, 9]], 0.85)
    found = statures(homography, np.vstack([many, low]), np.append(np.ones(101, bool), False))
    assert np.allclose(found[:100], 0, atol=0.15)
    assert found[100] == pytest.approx(np.log(0.5), abs=0.15)
    assert np.isnan(found[101])
    assert not statures(homography, low, np.ones(2, bool)).any()  # too few to tell


def test_boxes_beyond_the_horizon_or_without_height_have_no_stature(homography):
    many = boxes(np.random.default_rng(1).uniform([-3, 8], [3, 16], (100, 2)))
    high = np.array([[900, 10, 940, 90], [900, 500, 940, 500]], np.float32)
    found = statures(homography, np.vstack([many, high]), np.ones(102, bool))
    assert not np.isfinite(found[100:]).any()
