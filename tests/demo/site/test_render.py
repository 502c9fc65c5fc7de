from dataclasses import replace

import numpy as np
import pytest

from demo.site.backdrop import make_backdrop, make_ground
from demo.site.camera import Camera, Look
from demo.site.gait import Motion
from demo.site.people import draw_people
from demo.site.raster import interpolated, rasterise
from demo.site.render import FrameRenderer
from demo.site.scene import Ground, Light
from demo.site.solids import Box, Material

WALL = Box(0.0, 6.0, 1.0, 0.1, 2.5, Material("plain", (150, 150, 150)))
CAMERA = Camera("test", (0.0, -4.0, 3.0), 90.0, 14.0, 400.0, 640, 360, k1=-0.05)
CLEAN = replace(CAMERA, look=Look(blur_px=0.01, noise=0.0))


def renderer(camera, people, solids=()):
    light = Light()
    ground = make_ground(Ground(), solids, light, (-8, -8, 8, 12), 0.1, 1)
    return FrameRenderer(camera, make_backdrop(camera, solids, light, ground, 1), people, light)


def standing(*places):
    count = len(places)
    zeros = np.zeros(count, np.float32)
    return Motion(np.array(places, np.float32), zeros, zeros, zeros, zeros)


@pytest.fixture(scope="module")
def people():
    return draw_people(np.random.default_rng(5), 3)


def draw(camera, people, motion, solids=(), seed=0):
    sunlight = np.ones(len(people), np.float32)
    return renderer(camera, people, solids).draw(motion, sunlight, np.random.default_rng(seed))


def test_boxes_are_tight_around_the_pixels_of_people(people):
    frame = draw(CLEAN, people, standing((-2, 3), (0.5, 4), (2.5, 8)))
    for person, box in enumerate(frame.boxes):
        place = frame.seen_pixels[frame.seen_people == person]
        x, y = place % CAMERA.width, place // CAMERA.width
        found = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        assert np.abs(found - box).max() < 2.0
        assert np.array_equal(found, frame.visible_boxes[person])


def test_people_change_the_pixels_that_are_said_to_show_them(people):
    there = draw(CLEAN, people, standing((-2, 3), (0.5, 4), (2.5, 8)))
    away = draw(CLEAN, people, standing((-2, 900), (0.5, 900), (2.5, 900)))
    changed = np.abs(there.rgb.astype(int) - away.rgb).sum(axis=-1).reshape(-1) > 0
    assert changed[there.seen_pixels].mean() > 0.95


def test_feet_stand_where_the_map_position_projects(people):
    places = [(-2, 3), (0.5, 4), (2.5, 8)]
    frame = draw(CLEAN, people, standing(*places))
    foot, _ = CLEAN.project(np.array([(x, y, 0) for x, y in places], np.float32))
    height = frame.boxes[:, 3] - frame.boxes[:, 1]
    assert (np.abs(foot[:, 1] - frame.boxes[:, 3]) < 0.08 * height).all()
    assert (np.abs(foot[:, 0] - frame.boxes[:, ::2].mean(axis=1)) < 0.2 * height).all()


def test_a_wall_and_a_person_in_front_hide_and_distance_decides(people):
    motion = standing((0, 8), (0, 4), (5, 900))
    with_wall, without = draw(CLEAN, people, motion, (WALL,)), draw(CLEAN, people, motion)
    assert with_wall.visibility[0] < 0.2 < without.visibility[0]
    assert with_wall.visibility[1] == pytest.approx(1.0)
    assert with_wall.visibility[2] == 0
    assert np.isnan(with_wall.boxes[2]).all() or with_wall.boxes[2, 3] - with_wall.boxes[2, 1] < 2


def test_the_visible_box_ends_where_a_wall_begins(people):
    low = replace(WALL, height=1.2)
    frame = draw(CLEAN, people, standing((0, 8), (0, 4), (5, 900)), (low,))
    assert 0.1 < frame.visibility[0] < 0.9
    assert np.abs(frame.visible_boxes[0, :3] - frame.boxes[0, :3]).max() < 2
    assert frame.visible_boxes[0, 3] < frame.boxes[0, 3] - 10
    assert np.abs(frame.visible_boxes[1] - frame.boxes[1]).max() < 2
    assert np.isnan(frame.visible_boxes[2]).all()


def test_what_lies_outside_the_frame_counts_as_hidden(people):
    lone = [people[0]]
    whole = draw(CLEAN, lone, standing((0, 4)))
    across = np.linspace(2, 12, 200)
    pixels, _ = CLEAN.project(np.stack([across, 0 * across + 4, 0 * across + 0.9], axis=-1).astype(np.float32))
    edge = float(np.interp(CLEAN.width, pixels[:, 0], across))
    cut = draw(CLEAN, lone, standing((edge, 4)))
    assert whole.visibility[0] > 0.99
    assert 0.1 < cut.visibility[0] < 0.9


def test_the_same_randomness_gives_the_same_frame(people):
    motion = standing((-2, 3), (0.5, 4), (2.5, 8))
    one, same, other = (draw(CAMERA, people, motion, seed=seed).rgb for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_rays_go_through_the_pixels_they_belong_to():
    points = np.asarray(CAMERA.position, np.float32) + 7.0 * CAMERA.rays()
    pixels, depth = CAMERA.project(points)
    rows, columns = np.mgrid[: CAMERA.height, : CAMERA.width]
    assert np.abs(pixels - np.stack([columns + 0.5, rows + 0.5], axis=-1)).max() < 0.05
    assert np.allclose(depth, 7.0, atol=1e-3)


def test_triangles_cover_the_pixels_whose_centres_they_hold():
    corners = np.array([[(1.2, 0.7), (9.4, 2.2), (3.3, 8.9)], [(9.4, 2.2), (9.9, 9.3), (3.3, 8.9)]], np.float32)
    found = rasterise(corners, (0, 0), (12, 12))
    for row, (a, b, c) in enumerate(corners):
        y, x = np.mgrid[:12, :12] + 0.5
        sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        inside = np.all(np.array(sides) > 0, axis=0)
        drawn = np.zeros((12, 12), bool)
        drawn[found.y[found.triangle == row], found.x[found.triangle == row]] = True
        assert np.array_equal(drawn, inside)


def test_colours_are_linear_between_corners():
    corners = np.array([[(0.0, 0.0), (20.0, 0.0), (0.0, 20.0)]], np.float32)
    colours = (corners[..., :1] * (1, 2, 0) + corners[..., 1:] * (3, 0, 1)).astype(np.float32)
    found = rasterise(corners, (0, 0), (20, 20))
    rgb = interpolated(corners, colours, found.triangle, found.x, found.y)
    x, y = found.x + 0.5, found.y + 0.5
    assert np.allclose(rgb, np.stack([x + 3 * y, 2 * x, y], axis=-1), atol=1e-3)
