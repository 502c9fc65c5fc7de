import pytest

from demo.site.samples import detection_samples, reid_samples
from demo.site.scene import FIRST_TRAINING_SEED, Recording, make_scene


def test_arguments_change_the_recording():
    scene = make_scene(
        "campus", 5, Recording(people=3, cameras=("c01", "c05"), sub_videos=3, sub_video_seconds=2, fps=15, width=640)
    )
    assert len(scene.people) == 3
    assert [each.camera.camera_id for each in scene.cameras] == ["c01", "c05"]
    assert (scene.frames_per_sub_video, scene.frames) == (30, 90)
    assert {(each.camera.width, each.camera.height) for each in scene.cameras} == {(640, 360)}
    assert scene.overlaps == ()
    assert {rule.to for rule in scene.exits} == {"c05"}


@pytest.mark.parametrize(
    ("name", "recording", "words"),
    [
        ("nowhere", Recording(), "no scene is called 'nowhere'"),
        ("campus", Recording(cameras=("c09",)), "not c09"),
        ("campus", Recording(people=0), "must be positive"),
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
