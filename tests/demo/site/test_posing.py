import numpy as np
import pytest

from demo.site.body import Outfit, shape, topology
from demo.site.gait import Build, Builds, Motion
from demo.site.posing import ring_axes

MESH = topology(1.0)


def surfaces(builds, outfits, heading=0.0):
    """Vertices [P, V, 3] in the world of people who stand at the origin; heading 0 looks east."""
    columns, still = Builds.stack(builds), np.zeros(len(builds), np.float32)
    motion = Motion(np.zeros((len(builds), 2), np.float32), still + np.float32(heading), still, still, still)
    centre, side, front, _ = (axis[:, MESH.ring] for axis in ring_axes(columns, outfits, motion, MESH))
    body = shape(columns, outfits, MESH)
    return centre + side * body.side[..., None] + front * body.front[..., None]


def part(surface, name):
    return surface[MESH.parts[name][1]]


def width(surface, low, high):
    """Of the torso between two heights, metres: the extent across the way that the body looks."""
    torso = part(surface, "torso")
    return float(np.ptp(torso[(torso[:, 2] > low) & (torso[:, 2] < high), 1]))


def test_people_are_as_tall_as_their_build_says():
    heights = (1.5, 1.71, 1.95)
    bodies = surfaces([Build(height=height) for height in heights], [Outfit(hair=0.0)] * 3)
    for height, body in zip(heights, bodies, strict=True):
        assert body[:, 2].max() == pytest.approx(height, abs=0.03)
        assert 0 < body[:, 2].min() < 0.03


def test_girth_shoulders_and_hips_widen_what_they_name_in_proportion():
    plain, stout, broad, hippy = surfaces(
        [Build(), Build(girth=1.4), Build(shoulders=1.12), Build(hips=1.12)], [Outfit()] * 4
    )
    shoulders, hips = (1.3, 1.5), (0.8, 0.98)
    assert width(stout, *shoulders) == pytest.approx(1.4 * width(plain, *shoulders), rel=0.02)
    assert width(stout, *hips) == pytest.approx(1.4 * width(plain, *hips), rel=0.02)
    assert width(broad, *shoulders) == pytest.approx(1.12 * width(plain, *shoulders), rel=0.02)
    assert width(broad, *hips) == pytest.approx(width(plain, *hips), rel=0.03)
    assert width(hippy, *hips) == pytest.approx(1.12 * width(plain, *hips), rel=0.03)
    assert width(hippy, *shoulders) == pytest.approx(width(plain, *shoulders), rel=0.02)


def test_things_are_carried_where_they_belong():
    carried = ("none", "backpack", "shoulder", "handbag")
    bodies = surfaces([Build()] * 4, [Outfit(bag=bag) for bag in carried])
    nothing, backpack, shoulder, handbag = (part(body, "bag") for body in bodies)
    assert np.ptp(nothing, axis=0).max() < 1e-5
    assert backpack[:, 0].mean() < part(bodies[1], "torso")[:, 0].min() + 0.03, "not on the back"
    assert 1.0 < backpack[:, 2].mean() < 1.4
    assert shoulder[:, 1].mean() < -0.15, "not beside the right hip"
    assert 0.75 < shoulder[:, 2].mean() < 1.0
    hand = part(bodies[3], "hand_r")
    assert np.linalg.norm(handbag[:, :2].mean(axis=0) - hand[:, :2].mean(axis=0)) < 0.1
    assert handbag[:, 2].max() < hand[:, 2].max()
    for bag, (across, along, up) in ((backpack, (0.31, 0.19, 0.48)), (handbag, (0.11, 0.28, 0.24))):
        assert np.ptp(bag, axis=0) == pytest.approx((along, across, up), rel=0.1)


def test_a_body_turns_with_its_heading():
    east, north = (surfaces([Build()], [Outfit(bag="backpack")], heading)[0] for heading in (0.0, np.pi / 2))
    assert np.allclose(north[:, 0], -east[:, 1], atol=1e-4)
    assert np.allclose(north[:, 1], east[:, 0], atol=1e-4)
