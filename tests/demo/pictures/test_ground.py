from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from demo.pictures.floorplan import save_map
from demo.pictures.ground import REACH_M, camera_position, views, walks
from demo.pictures.poster import richest_frame
from demo.recording import NOBODY
from orchestrator.homography import Homography
from tests.demo.recordings import camera, recording, sightings

SIZE_HW = (720, 1280)
FOCAL = 900.0
POSITION = np.array([3.0, -2.0, 4.0])


def map_to_image() -> np.ndarray:
    """A camera at ``POSITION`` that looks north and 25 degrees down."""
    down = np.radians(25)
    forward = np.array([0, np.cos(down), -np.sin(down)])
    right = np.array([1.0, 0, 0])
    rotation = np.stack([right, np.cross(forward, right), forward])
    matrix = np.array([[FOCAL, 0, 640], [0, FOCAL, 360], [0, 0, 1]]) @ rotation
    return np.asarray(matrix @ np.column_stack([[1.0, 0, 0], [0, 1.0, 0], -POSITION]))


def homography() -> Homography:
    ground = np.array([[x, y] for x in (-2.0, 3.0, 8.0) for y in (4.0, 8.0, 14.0)])
    image = cv2.perspectiveTransform(ground[None], map_to_image())[0]
    return Homography.fit(image, ground)


def test_camera_stands_where_it_stands() -> None:
    position = camera_position(map_to_image(), SIZE_HW)
    assert position == pytest.approx(POSITION[:2], abs=1e-6)
    assert camera_position(-7 * map_to_image(), SIZE_HW) == pytest.approx(POSITION[:2], abs=1e-6)


def test_view_begins_at_the_frames_lower_edge_and_ends_at_its_reach() -> None:
    view = views({"c01": homography(), "c02": homography()}, {"c01": SIZE_HW})["c01"]
    distance = np.linalg.norm(view.outline - POSITION[:2], axis=1)
    nearest = POSITION[2] / np.tan(np.radians(25) + np.arctan(360 / FOCAL))
    assert distance.min() == pytest.approx(nearest, rel=0.01)
    assert distance.max() == pytest.approx(REACH_M, rel=0.01)


def test_cameras_that_see_a_person_at_once_are_averaged_and_gaps_split_the_path() -> None:
    here = sightings([0, 1, 2, 90, 91], [0] * 5, map_xy=[[0, 0], [1, 0], [2, 0], [9, 0], [9, 0]])
    there = sightings([0, 1, 2, 2], [0, 0, 0, NOBODY], map_xy=[[0, 2], [1, 2], [2, 2], [50, 50]])
    (walk,) = walks(recording(camera("c01", here, 100), camera("c02", there, 100)))
    assert [len(piece) for piece in walk.pieces] == [3, 2]
    assert walk.pieces[0][:, 1] == pytest.approx([1, 1, 1])
    assert walk.end.tolist() == [9, 0]


def test_nobody_on_the_map_is_an_empty_map(tmp_path: Path) -> None:
    found = walks(recording(camera("c01", sightings([0], [0]), 4)))
    assert found == ()
    save_map(tmp_path / "map.png", found, (), {}, [])
    picture = cv2.imread(str(tmp_path / "map.png"))
    assert picture is not None
    assert picture.shape[1] > 1000


def test_poster_shows_the_moment_with_most_named_people() -> None:
    first = sightings([0, 0, 1, 2, 2], [NOBODY, NOBODY, 0, 0, 1])
    second = sightings([1, 2], [0, 0])
    assert richest_frame(recording(camera("c01", first, 4), camera("c02", second, 4))) == 2
    assert richest_frame(recording(camera("c01", first, 4), camera("c02", second, 2))) == 1
