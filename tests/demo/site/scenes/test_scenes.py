import json

import numpy as np
import pytest

from demo.site.build import build_site
from demo.site.samples import detection_samples, reid_samples
from demo.site.scene import FIRST_TRAINING_SEED, Recording
from demo.site.scenes import SCENES, make_scene
from orchestrator.homography import load_homographies
from orchestrator.site import load_site

SMALL = Recording(sub_videos=1, sub_video_seconds=2, fps=3, width=320)


def test_arguments_change_the_recording():
    scene = make_scene(
        "campus", 5, Recording(people=3, cameras=2, sub_videos=3, sub_video_seconds=2, fps=15, width=640)
    )
    assert len(scene.people) == 3
    assert [each.camera.camera_id for each in scene.cameras] == ["c01", "c02"]
    assert (scene.frames_per_sub_video, scene.frames) == (30, 90)
    assert {(each.camera.width, each.camera.height) for each in scene.cameras} == {(640, 360)}
    assert scene.overlaps == (("c01", "c02"),)
    assert scene.exits == ()


@pytest.mark.parametrize(
    ("name", "recording", "words"),
    [
        ("nowhere", Recording(), "no scene is called 'nowhere'; there are yard, campus, market"),
        ("campus", Recording(cameras=5), "scene 'campus' has 4 cameras, not 5"),
        ("campus", Recording(cameras=0), "cameras must be 1 to 99, not 0"),
        ("campus", Recording(people=0), "people must be 1 to 5000, not 0"),
        ("market", Recording(people=-2), "people must be 1 to 5000, not -2"),
        ("market", Recording(people=10**400), "people must be 1 to 5000, not 1000"),
        ("market", Recording(sub_videos=0), "sub-videos must be"),
        ("market", Recording(sub_video_seconds=float("nan")), "seconds of a sub-video must be 0.001 to 86400, not nan"),
        ("market", Recording(sub_video_seconds=float("inf")), "not inf"),
        ("market", Recording(sub_videos=9000, sub_video_seconds=10), "a recording may take 86400 s, not 90000"),
        ("yard", Recording(fps=100_000), "frames a second must be 1 to 120, not 100000"),
        ("yard", Recording(sub_video_seconds=0.01), "0.01 s has no frame at 12 frames a second"),
        ("yard", Recording(width=40), "pixels of width must be 160 to 7680, not 40"),
        ("yard", Recording(width=100_000), "pixels of width must be"),
    ],
)
def test_what_cannot_be_is_refused(name, recording, words):
    with pytest.raises(ValueError, match=words):
        make_scene(name, 1, recording)


def test_shown_scenes_and_training_share_no_seed():
    with pytest.raises(ValueError, match="not one of a shown scene"):
        make_scene("campus", FIRST_TRAINING_SEED)
    for samples in (detection_samples, reid_samples):
        with pytest.raises(ValueError, match="training data take seeds"):
            next(samples(FIRST_TRAINING_SEED - 1))


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_follows_from_its_seed(name):
    one, same, other = (make_scene(name, seed, SMALL) for seed in (1, 1, 2))
    assert one == same
    assert one.people != other.people


@pytest.mark.parametrize("name", SCENES)
def test_every_camera_of_a_scene_sees_people_and_the_server_can_read_its_site_file(name, tmp_path):
    scene = make_scene(name, 1, SMALL)
    files = build_site(scene, tmp_path, workers=1)
    environment = load_site(files.site_file).environment(name)
    assert list(environment.cameras) == json.loads(files.description.read_text())["cameras"]
    assert len(load_homographies(environment)) == len(scene.cameras)
    for camera_id in environment.cameras:
        rows = np.loadtxt(files.camera_truth(camera_id), delimiter=",", ndmin=2)
        assert (rows[:, 8] > 0.5).sum() >= 3, f"{camera_id} sees next to nobody"
