import cv2
import numpy as np
import pytest

from demo.site.scene import SHORT, Recording
from demo.site.scenes import make_scene
from demo.site.walk import Trajectories, walk

BODY_WIDTH = 0.5


@pytest.fixture(scope="module")
def paths() -> Trajectories:
    return walk(make_scene("campus", 3, Recording(people=12, sub_videos=2, sub_video_seconds=10)))


def test_nobody_overlaps_anybody_in_plan(paths):
    apart = np.linalg.norm(paths.xy[:, :, None] - paths.xy[:, None], axis=-1)
    apart += np.eye(apart.shape[1]) * 9
    assert apart.min() > BODY_WIDTH


def test_nobody_walks_through_furniture(paths):
    for solid in make_scene("campus", 3).solids:
        if solid.blocks:
            outline = solid.footprint()[:, None]
            inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in paths.xy.reshape(-1, 2)]
            assert max(inside) < -0.1, f"somebody stands in {solid}"


def test_people_walk_at_a_human_pace_and_stop_and_go(paths):
    pace = np.linalg.norm(np.diff(paths.xy, axis=0), axis=-1) * 12
    assert pace.max() < 2.6
    assert 0.4 < pace.mean() < 1.6
    assert (pace < 0.1).any(axis=0).sum() >= 3


def test_two_who_meet_stand_face_to_face_and_go_on(paths):
    """Two who stand within 1.5 m, each turned to the other by less than 40 degrees, for two seconds."""
    toward = paths.xy[:, None] - paths.xy[:, :, None]
    bearing = np.arctan2(toward[..., 1], toward[..., 0]) - paths.heading[:, :, None]
    faces = (np.cos(bearing) > np.cos(np.radians(40))) & (paths.speed < 0.3)[:, :, None]
    together = faces & faces.transpose(0, 2, 1) & (np.linalg.norm(toward, axis=-1) < 1.5)
    talks = np.lib.stride_tricks.sliding_window_view(together, 24, axis=0).all(axis=-1)
    assert np.triu(talks.any(axis=0), 1).sum() >= 2
    assert not talks.all(axis=0).any()


@pytest.mark.parametrize(("name", "share"), [("yard", 0.15), ("campus", 0.3), ("market", 0.4)])
def test_people_leave_every_camera_and_come_back(name, share):
    """Seen by none for two seconds, and by one before and after."""
    returned = people = 0
    for seed in range(1, 4):
        scene = make_scene(name, seed, Recording(fps=4))
        for column in seen_by_any(scene, walk(scene).xy).T:
            returned += bool((np.diff(np.flatnonzero(column)) > 2 * scene.fps).any())
            people += 1
    assert returned / people > share


def seen_by_any(scene, xy):
    """[T, P] whether any camera has the chest of each person in its picture, with nothing solid before it."""
    chests = np.pad(xy, ((0, 0), (0, 0), (0, 1)), constant_values=1.2).reshape(-1, 3).astype(np.float32)
    seen = np.zeros(len(chests), bool)
    for each in scene.cameras:
        pixels, depth = each.camera.project(chests)
        inside = (pixels >= 0) & (pixels < (each.camera.width, each.camera.height))
        rows = np.flatnonzero(inside.all(axis=1) & (depth > 0))
        origin = np.array(each.camera.position, np.float32)
        nearest = np.min([solid.hit(origin, chests[rows] - origin)[0] for solid in scene.solids], axis=0)
        seen[rows[nearest > 1]] = True
    return seen.reshape(xy.shape[:2])


def test_the_same_seed_gives_the_same_paths_and_another_seed_others():
    one, same, other = (walk(make_scene("campus", seed, SHORT)) for seed in (1, 1, 2))
    assert np.array_equal(one.xy, same.xy)
    assert np.array_equal(one.phase, same.phase)
    assert not np.allclose(one.xy, other.xy)


def test_nobody_who_is_kept_from_walking_stays_where_they_are():
    paths = walk(make_scene("market", 3, Recording(sub_videos=4, fps=4)))
    assert np.ptp(paths.xy, axis=0).max(axis=1).min() > 3


def test_too_many_people_are_refused():
    with pytest.raises(ValueError, match="no room for 400 people"):
        walk(make_scene("campus", 1, Recording(people=400)))
