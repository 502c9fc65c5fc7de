from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torchvision.models.detection import FasterRCNN

from demo.training.metrics import box_iou
from export.detector import BatchedFasterRCNN, export_detector
from export.onnx_file import ModelSource
from tests.export.conftest import HEIGHT, WIDTH, open_session

pytestmark = pytest.mark.timeout(400)
"""Tracing the network takes a while on a busy machine."""


def torchvision_people(model: FasterRCNN, pictures: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    images = [torch.from_numpy(picture).permute(2, 0, 1).float() / 255.0 for picture in pictures]
    with torch.inference_mode():
        return [(found["boxes"].numpy(), found["scores"].numpy()) for found in model(images)]


def assert_twins(expected: tuple[np.ndarray, np.ndarray], boxes: np.ndarray, scores: np.ndarray) -> None:
    """Everyone above 0.05 on either side has a twin on the other."""
    kept = scores > 0
    found = (boxes[kept], scores[kept])
    for (one_boxes, one_scores), (other_boxes, other_scores) in ((expected, found), (found, expected)):
        clear = one_scores > 0.051
        alike = box_iou(one_boxes[clear], other_boxes) > 0.99
        close = np.abs(one_scores[clear][:, None] - other_scores[None]) < 1e-3
        assert (alike & close).any(axis=1).all()


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_onnx_finds_the_people_that_torchvision_finds(
    detector: FasterRCNN, detector_onnx: Path, pictures: np.ndarray, batch: int
) -> None:
    chosen = pictures[-batch:]
    boxes, scores = open_session(detector_onnx).run(["boxes", "scores"], {"images": chosen})
    assert boxes.shape == (batch, 64, 4)
    assert scores.shape == (batch, 64)
    for row, expected in enumerate(torchvision_people(detector, chosen)):
        assert_twins(expected, boxes[row], scores[row])


def test_pictures_have_people_and_rows_are_sorted_and_padded(detector_onnx: Path, pictures: np.ndarray) -> None:
    boxes, scores = open_session(detector_onnx).run(None, {"images": pictures})
    assert (scores > 0.05).sum() >= 10
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (boxes[scores == 0] == 0).all()
    real = boxes[scores > 0]
    assert (real >= 0).all()
    assert (real <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()


def test_more_people_than_rows_keeps_the_best(detector: FasterRCNN, pictures: np.ndarray) -> None:
    everyone = torchvision_people(detector, pictures)
    fullest = max(range(len(everyone)), key=lambda row: len(everyone[row][1]))
    expected = everyone[fullest][1]
    assert len(expected) > 3
    graph = BatchedFasterRCNN(detector, HEIGHT, WIDTH)
    graph.heads.detections_per_img = 3
    try:
        with torch.inference_mode():
            boxes, scores = graph(torch.from_numpy(pictures[fullest : fullest + 1]))
    finally:
        graph.heads.detections_per_img = 64
    assert boxes.shape == (1, 3, 4)
    np.testing.assert_allclose(scores[0].numpy(), expected[:3], atol=1e-4)


def test_after_the_mask_no_shape_depends_on_the_picture(detector_onnx: Path) -> None:
    nodes = [node.op_type for node in onnx.load(detector_onnx).graph.node]
    assert nodes.count("NonMaxSuppression") == nodes.count("ScatterND") == 2
    assert nodes.count("RoiAlign") == 1
    assert not {"NonZero", "Loop", "If", "SequenceAt", "Compress"} & set(nodes)


def test_a_size_off_the_stride_is_refused(detector: FasterRCNN, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 32, got 190 x 320"):
        export_detector(detector, tmp_path / "m.onnx", height=190, width=320, source=ModelSource("x", "y"))
    assert not list(tmp_path.iterdir())
