"""Shadows, the sensor's noise, and what cameras make of the same colours."""

from dataclasses import replace

import numpy as np
import pytest

from demo.site.backdrop import make_backdrop, make_ground
from demo.site.camera import Camera, Look
from demo.site.gait import Motion
from demo.site.people import draw_people
from demo.site.render import FrameRenderer
from demo.site.scene import Ground, Light
from demo.site.scenes import make_scene
from demo.site.solids import Box, Material

ABOVE = Camera("above", (0.0, -6.0, 6.0), 90.0, 40.0, 300.0, 480, 360, look=Look(blur_px=0.01, noise=0.0))
PLAIN = Ground(paving=(150.0, 150.0, 150.0), joint=1.0)
BOUNDS = (-8, -8, 8, 12)


def ground_under(light, solids=()):
    return make_ground(PLAIN, solids, light, BOUNDS, 0.05, 1)


def frame(light, *, sunlight=1.0, place=(0.0, 0.0), camera=ABOVE, seed=0):
    people = draw_people(np.random.default_rng(5), 1)
    renderer = FrameRenderer(camera, make_backdrop(camera, (), light, ground_under(light), 1), people, light)
    still = np.zeros(1, np.float32)
    motion = Motion(np.array([place], np.float32), still, still, still, still)
    return renderer.draw(motion, np.array([sunlight], np.float32), np.random.default_rng(seed))


def shade(light, *, sunlight=1.0):
    """Where the ground is darker for a person at the origin: metres [N, 2], and by how much [N]."""
    there, away = frame(light, sunlight=sunlight), frame(light, sunlight=sunlight, place=(0.0, -900.0))
    change = there.rgb.astype(int).sum(axis=2) - away.rgb.astype(int).sum(axis=2)
    change.reshape(-1)[there.seen_pixels] = 0
    assert change.max() <= 3, "somebody lights the ground"
    rays = ABOVE.rays()
    reach = -ABOVE.position[2] / rays[..., 2]
    spots = np.asarray(ABOVE.position)[:2] + rays[..., :2] * reach[..., None]
    dark = change < -20
    return spots[dark], -change[dark]


@pytest.mark.parametrize("sun", [(0.6, 0.0, 0.8), (-0.6, 0.0, 0.8), (0.4, -0.45, 0.8)])
def test_a_person_s_shadow_lies_on_the_ground_away_from_the_sun(sun):
    light = Light(sun=sun)
    spots, _ = shade(light)
    x, y, up = light.direction()
    away = -np.array([x, y]) / np.hypot(x, y)
    along, aside = spots @ away, spots @ (-away[1], away[0])
    cast = 1.71 * np.hypot(x, y) / up
    assert len(spots) > 200
    assert np.quantile(along, 0.98) == pytest.approx(cast, rel=0.25)
    assert np.quantile(along, 0.02) > -0.45
    assert np.abs(aside).max() < 0.8


def test_who_stands_in_the_shade_darkens_only_what_is_around_the_feet():
    spots, _ = shade(Light(), sunlight=0.0)
    assert len(spots) > 0
    assert np.linalg.norm(spots, axis=1).max() < 0.5


def test_a_wall_shades_the_ground_behind_it_alone():
    light = Light(sun=(0.6, 0.0, 0.8))
    wall = Box(0.0, 0.0, 0.2, 2.0, 2.0, Material("plain", (150, 150, 150)))
    ground = ground_under(light, (wall,))
    west, east, far = ground.sunlight(np.array([(-1.0, 0.0), (1.0, 0.0), (-2.5, 0.0)], np.float32))
    assert west < 0.05
    assert east > 0.9
    assert far > 0.9, "longer than the sun is low"


@pytest.mark.parametrize("noise", [1.2, 2.6, 4.0])
def test_noise_is_as_strong_as_the_sensor_says_and_new_in_every_frame(noise):
    camera = replace(ABOVE, look=Look(blur_px=0.01, noise=noise))
    clean = frame(Light(), place=(0.0, -900.0)).rgb.astype(float)
    one, other = (frame(Light(), place=(0.0, -900.0), camera=camera, seed=seed).rgb - clean for seed in (1, 2))
    rounding = 1 / 12 + 1 / 6  # of grey levels, and what is added so that they do not show
    assert one.std() == pytest.approx(np.sqrt(noise**2 + rounding), rel=0.06)
    assert abs(one.mean()) < 0.05
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
    neighbours = np.corrcoef(one[:, 1:].ravel(), one[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.02


def test_cameras_show_the_same_ground_as_bright_and_as_coloured_as_their_look_says():
    def colour(look):
        seen = frame(Light(), place=(0.0, -900.0), camera=replace(ABOVE, look=look)).rgb
        return seen.reshape(-1, 3).mean(axis=0)

    clean = Look(blur_px=0.01, noise=0.0)
    plain = colour(clean)
    assert colour(replace(clean, exposure=0.8)) == pytest.approx(0.8 * plain, abs=1)
    assert colour(replace(clean, white_balance=(1.1, 1.0, 0.9))) == pytest.approx(plain * (1.1, 1.0, 0.9), abs=1)
    assert colour(replace(clean, contrast=0.9)) == pytest.approx(128 + 0.9 * (plain - 128), abs=1)


@pytest.mark.parametrize("name", ["yard", "campus", "market"])
def test_no_two_cameras_of_a_scene_are_alike(name):
    looks = [each.camera.look for each in make_scene(name).cameras]
    heights = [each.camera.position[2] for each in make_scene(name).cameras]
    assert len(set(heights)) == len(heights)
    for aspect in ("exposure", "white_balance", "noise", "blur_px"):
        assert len({getattr(look, aspect) for look in looks}) == len(looks), aspect
