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
