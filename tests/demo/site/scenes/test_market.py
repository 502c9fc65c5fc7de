import cv2
import numpy as np
import pytest

from demo.site.scene import Recording, Scene
from demo.site.scenes import make_scene
from demo.site.walk import Trajectories, walk


@pytest.fixture(scope="module")
def crowd() -> tuple[Scene, Trajectories]:
    scene = make_scene("market", 1, Recording(people=80, sub_videos=1, sub_video_seconds=8, fps=6))
    return scene, walk(scene)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7, 12])
def test_there_are_as_many_cameras_as_asked_for_in_groups_that_overlap(count):
    scene = make_scene("market", 1, Recording(cameras=count))
    ids = [each.camera.camera_id for each in scene.cameras]
    assert ids == [f"c{number:02d}" for number in range(1, count + 1)]
    assert [each.prefix for each in scene.cameras] == [f"market/{camera_id}" for camera_id in ids]
    groups = {frozenset({camera_id, *(a for a, b in scene.overlaps if b == camera_id)}) for camera_id in ids}
    largest = [group for group in groups if not any(group < other for other in groups)]
    assert len(largest) == max(1 if count < 3 else 2, -(-count // 3))
    assert max(map(len, largest)) - min(map(len, largest)) <= 1
    assert len(scene.exits) == 2 * (len(largest) - 1)
    assert all((rule.camera, rule.to) not in scene.overlaps for rule in scene.exits)


def test_some_cameras_differ_in_lens_height_and_colour():
    cameras = [each.camera for each in make_scene("market").cameras]
    assert {camera.k1 != 0 for camera in cameras} == {True, False}
    assert len({camera.position[2] for camera in cameras}) == len({camera.look for camera in cameras}) == 6
    assert {each.homography_inline for each in make_scene("market").cameras} == {True, False}


def test_a_crowd_keeps_apart_and_off_the_furniture(crowd):
    scene, paths = crowd
    apart = np.linalg.norm(paths.xy[:, :, None] - paths.xy[:, None], axis=-1)
    apart += np.eye(apart.shape[1]) * 9
    assert apart.min() > 0.5
    for solid in scene.solids:
        if solid.blocks:
            outline = solid.footprint()[:, None]
            inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in paths.xy.reshape(-1, 2)]
            assert max(inside) < -0.1, f"somebody stands in {solid}"


def test_people_go_from_square_to_square_and_are_away_for_long():
    scene = make_scene("market", 1, Recording(fps=2))
    x = walk(scene).xy[..., 0]
    on_squares = [(x > west) & (x < west + 24) for west in (0, 36)]
    assert np.logical_and(*(there.any(axis=0) for there in on_squares)).sum() >= 8
    away = ~np.logical_or(*on_squares)
    ten_seconds = np.lib.stride_tricks.sliding_window_view(away, 20, axis=0).all(axis=-1).any(axis=0)
    assert ten_seconds.sum() >= 12


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_good_share_looks_alike(seed):
    people = make_scene("market", seed).people
    alike = [any(one.outfit is other.outfit for other in people if other is not one) for one in people]
    assert sum(alike) >= 8


def test_the_same_people_come_however_many_cameras_there_are():
    one, other = (make_scene("market", 1, Recording(cameras=cameras)) for cameras in (3, 9))
    assert one.people == other.people


def test_some_places_are_out_of_every_camera_s_sight():
    scene = make_scene("market", 1)
    walls = [solid for solid in scene.solids if solid.outline()[:, 2].max() > 5]
    spots = np.array([(place.x, place.y, 1.0) for place in scene.places], np.float32)
    seen = np.zeros(len(spots), bool)
    for each in scene.cameras:
        camera, origin = each.camera, np.asarray(each.camera.position, np.float32)
        pixels, depth = camera.project(spots)
        framed = (depth > 0) & ((pixels > 0) & (pixels < (camera.width, camera.height))).all(axis=1)
        clear = np.ones(len(spots), bool)
        for wall in walls:
            clear &= wall.hit(origin, spots - origin)[0] > 1
        seen |= framed & clear
    assert 4 <= (~seen).sum() < len(spots) / 2
