from itertools import islice

import numpy as np

from demo.site.samples import detection_samples, reid_samples
from demo.site.scene import FIRST_TRAINING_SEED


def test_detection_samples_are_frames_with_boxes_inside_them():
    samples = list(islice(detection_samples(FIRST_TRAINING_SEED, 320, 192, frames_per_place=3), 6))
    assert all(sample.rgb.shape == (192, 320, 3) and sample.rgb.dtype == np.uint8 for sample in samples)
    boxes = np.concatenate([sample.boxes for sample in samples])
    visibility = np.concatenate([sample.visibility for sample in samples])
    assert len(boxes) == len(visibility) > 6
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (320, 192)).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert ((visibility > 0) & (visibility <= 1)).all()


def test_each_identity_is_seen_by_several_cameras():
    samples = list(islice(reid_samples(FIRST_TRAINING_SEED, identities_per_place=3, cameras=2, crops_per_camera=2), 12))
    assert all(sample.rgb.shape[0] >= 24 and sample.rgb.shape[1] >= 10 for sample in samples)
    first = [sample for sample in samples if sample.identity < 3]
    assert {sample.camera for sample in first} == {0, 1}


def test_a_seed_gives_the_same_samples_again():
    one, same, other = (
        next(detection_samples(FIRST_TRAINING_SEED + seed, 160, 96, most_people=4)).rgb for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
