from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from orchestrator.errors import SiteError
from orchestrator.homography import Homography, foot_points, load_homographies
from orchestrator.site import Environment, load_site

GROUND = np.array([[0, 4], [6, 4], [8, 20], [-5, 18], [2, 9], [4, 14]], float)


def look(ground: np.ndarray) -> np.ndarray:
    """A pinhole camera 5 m above (0, -4), tilted 25 degrees down, looking along +y: metres [N, 2] -> px [N, 2]."""
    tilt = np.deg2rad(25)
    x, y, z = ground[:, 0], ground[:, 1] + 4, -5.0
    depth = y * np.cos(tilt) - z * np.sin(tilt)
    down = -(y * np.sin(tilt) + z * np.cos(tilt))
    return np.stack([640 + 900 * x / depth, 360 + 900 * down / depth], axis=1)


def test_maps_the_ground_plane_both_ways():
    homography = Homography.fit(look(GROUND), GROUND)
    elsewhere = np.array([[1.5, 12], [-2, 30], [0, 2]])
    np.testing.assert_allclose(homography.to_map(look(elsewhere)), elsewhere, atol=1e-6)
    np.testing.assert_allclose(homography.to_image(elsewhere), look(elsewhere), atol=1e-6)


def test_points_above_the_horizon_have_no_place():
    homography = Homography.fit(look(GROUND), GROUND)
    horizon_v = 360 - 900 * np.tan(np.deg2rad(25))
    points = np.array([[640, horizon_v + 40], [640, horizon_v - 1], [100, horizon_v - 200], [640, 700]])
    assert np.isnan(homography.to_map(points)).any(axis=1).tolist() == [False, True, True, False]
    assert np.isnan(homography.metres_per_pixel(points)).any(axis=(1, 2)).tolist() == [False, True, True, False]


def test_places_behind_the_camera_have_no_pixel():
    homography = Homography.fit(look(GROUND), GROUND)
    assert np.isnan(homography.to_image(np.array([[0, -30.0]]))).all()


def test_outliers_are_left_out_and_named(caplog):
    ground = np.concatenate([GROUND, [[1, 6], [3, 17], [-1, 12]]])
    image = look(ground)
    image[7] += (150, -80)
    with caplog.at_level(logging.WARNING):
        homography = Homography.fit(image, ground)
    np.testing.assert_allclose(homography.to_map(look(GROUND)), GROUND, atol=0.01)
    assert "point pairs 8 do not agree" in caplog.text


def test_the_jacobian_is_the_derivative():
    homography = Homography.fit(look(GROUND), GROUND)
    points = look(np.array([[1, 8], [4, 25.0]]))
    step = 1e-3
    for axis in range(2):
        shift = np.eye(2)[axis] * step
        numeric = (homography.to_map(points + shift) - homography.to_map(points - shift)) / (2 * step)
        np.testing.assert_allclose(homography.metres_per_pixel(points)[:, :, axis], numeric, rtol=1e-4, atol=1e-9)


SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10]]


@pytest.mark.parametrize(
    ("image", "ground", "message"),
    [
        (SQUARE[:3], SQUARE[:3], "3 point pairs, at least 4"),
        ([[0, 0], [1, 1], [2, 2], [3, 3]], SQUARE, "the image points lie on one line"),
        (SQUARE, [[5, 5]] * 4, "the map points lie on one line"),
        ([[0, 0], [5, 0], [10, 0], [0, 10]], SQUARE, "fix no homography"),
        ([[0, 0], [5, 0], [10, 0], [0, 10]], [[0, 0], [5, 0], [10, 0], [0, 10]], "fix no homography"),
        (SQUARE, [[0, 0], [10, 0], [0, 10], [10, 10]], "horizon runs between"),
        (SQUARE, [[0, 0], [10, 0], [10, np.inf], [0, 10]], "not a finite number"),
        (SQUARE, SQUARE[:3], "shapes"),
    ],
)
def test_degenerate_pairs_are_refused(image, ground, message):
    with pytest.raises(SiteError, match=message):
        Homography.fit(image, ground)


def environment(folder: Path, image: object, ground: object) -> Environment:
    points = f"{{image_points: {image}, map_points: {ground}}}"
    (folder / "site.yaml").write_text(
        f"environments: {{a: {{cameras: {{c1: {{prefix: p, homography: {points}}}, c2: {{prefix: q}}}}}}}}"
    )
    return load_site(folder / "site.yaml").environment("a")


def test_cameras_with_points_get_a_homography(tmp_path):
    found = load_homographies(environment(tmp_path, look(GROUND).tolist(), GROUND.tolist()))
    assert list(found) == ["c1"]
    np.testing.assert_allclose(found["c1"].to_map(look(GROUND)), GROUND, atol=1e-6)


def test_a_placeholder_is_a_warning_that_names_the_camera(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_homographies(environment(tmp_path, SQUARE, SQUARE)) == {}
    assert "camera c1 of a: image points equal map points, a placeholder" in caplog.text


def test_a_degenerate_camera_is_named(tmp_path):
    with pytest.raises(SiteError, match=r"camera c1 of environment a: .*fix no homography"):
        load_homographies(environment(tmp_path, [[0, 0], [5, 0], [10, 0], [0, 10]], SQUARE))


def test_feet_are_in_the_middle_of_the_lower_edge():
    assert foot_points(np.array([[10, 20, 30, 80]], np.float32)).tolist() == [[20, 80]]
    assert foot_points(np.zeros((0, 4), np.float32)).shape == (0, 2)


def projection() -> np.ndarray:
    """The camera of ``look`` as a matrix [3, 4]: world metres, Z up -> px."""
    tilt = np.deg2rad(25)
    sin, cos = np.sin(tilt), np.cos(tilt)
    rotation = np.array([[1, 0, 0], [0, -sin, -cos], [0, cos, -sin]])
    inner = np.array([[900, 0, 640], [0, 900, 360], [0, 0, 1]])
    return inner @ np.hstack([rotation, -rotation @ np.array([[0.0], [-4.0], [5.0]])])


@pytest.mark.parametrize("sign", [1, -0.001])
@pytest.mark.parametrize("unit", [1.0, 0.01])
@pytest.mark.parametrize("form", ["projection", "map_to_image", "image_to_map"])
def test_a_calibration_gives_the_same_places_as_points(tmp_path, form, unit, sign):
    world = projection() @ np.diag([unit, unit, unit, 1])
    ground = world[:, [0, 1, 3]]
    matrix = {"projection": world, "map_to_image": ground, "image_to_map": np.linalg.inv(ground)}[form] * sign
    np.savez(tmp_path / "all.npz", c1=matrix)
    source = "{file: all.npz, array: c1}"
    (tmp_path / "site.yaml").write_text(
        "environments: {a: {cameras: {c1: {resolution: [1280, 720], "
        f"calibration: {{{form}: {source}, metres_per_unit: {unit}}}}}}}}}}}"
    )
    found = load_homographies(load_site(tmp_path / "site.yaml").environment("a"))["c1"]
    np.testing.assert_allclose(found.to_map(look(GROUND)), GROUND, atol=1e-6)
    np.testing.assert_allclose(found.to_image(GROUND), look(GROUND), atol=1e-6)
    assert np.isnan(found.to_map([[640, -200]])).all()


def test_a_singular_calibration_names_its_camera(tmp_path):
    matrices = "{image_to_map: [[1, 0, 0], [1, 0, 0], [0, 0, 1]]}", "{map_to_image: [[1, 0, 0], [1, 0, 0], [0, 0, 1]]}"
    for matrix in matrices:
        text = f"environments: {{a: {{cameras: {{c1: {{calibration: {matrix}}}}}}}}}"
        (tmp_path / "site.yaml").write_text(text)
        with pytest.raises(SiteError, match="camera c1 of environment a: the calibration"):
            load_homographies(load_site(tmp_path / "site.yaml").environment("a"))
