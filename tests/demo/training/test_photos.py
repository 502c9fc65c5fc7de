import os
from pathlib import Path

import numpy as np
import pytest

from demo.training.photos import in_val2017, load_cut_outs, load_photos

DATA = Path(os.environ.get("SPOTON_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))

pytestmark = pytest.mark.skipif(not (DATA / "pennfudan").is_dir(), reason=f"no pennfudan under {DATA}")


def test_half_of_the_coco_photos_are_of_val2017() -> None:
    assert in_val2017("000000000139.jpg")
    assert not in_val2017("000000000138.jpg")
    names = [photo.name for test in (True, False) for photo in load_photos(DATA, "coco_people", test=test)]
    assert sum(in_val2017(name) for name in names) == 125 + 3
    assert len(names) == 256


def test_no_photo_is_both_trained_on_and_measured_on() -> None:
    train = {photo.name for photo in load_photos(DATA, "pennfudan", test=False)}
    test = load_photos(DATA, "pennfudan", test=True)
    assert len(test) == 34
    assert len(train) == 136
    assert not train & {photo.name for photo in test}
    assert all((photo.boxes[:, 2] <= photo.pixels.shape[1]).all() for photo in test)


def test_cut_outs_follow_the_mask() -> None:
    cut_outs = load_cut_outs(DATA, smallest=300)
    assert len(cut_outs) > 20
    for cut in cut_outs:
        assert cut.alpha.shape == cut.pixels.shape[:2]
        assert 0.2 < np.mean(cut.alpha > 127) < 0.9
