from __future__ import annotations

import cv2
import numpy as np
import pytest

from orchestrator.scaling import letterbox_scale, resize_into, write_letterbox


@pytest.mark.parametrize(
    ("size_hw", "input_hw", "filled"),
    [((720, 1280), (384, 672), (378, 672)), ((720, 400), (384, 672), (384, 213)), ((90, 160), (384, 672), (378, 672))],
)
def test_the_frame_is_fitted_and_the_rest_is_black(size_hw, input_hw, filled):
    target = np.full((*input_hw, 3), 99, np.uint8)
    write_letterbox(np.full((*size_hw, 3), 200, np.uint8), target)
    assert (target[: filled[0], : filled[1]] == 200).all()
    assert (target[filled[0] :] == 0).all()
    assert (target[:, filled[1] :] == 0).all()
    assert letterbox_scale(size_hw, input_hw) == min(input_hw[0] / size_hw[0], input_hw[1] / size_hw[1])


def test_shrinking_much_averages_instead_of_skipping():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[::8] = 255
    target = np.empty((64, 64, 3), np.uint8)
    resize_into(stripes, target)
    assert np.ptp(target) <= 2
    assert target.mean() == pytest.approx(255 / 8, abs=2)


def test_small_changes_are_plain_bilinear():
    pixels = np.random.default_rng(1).integers(0, 255, (40, 30, 3), np.uint8)
    target = np.empty((64, 40, 3), np.uint8)
    resize_into(pixels[3:37, 5:25], target)
    assert np.array_equal(target, cv2.resize(pixels[3:37, 5:25], (40, 64)))
