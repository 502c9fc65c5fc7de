"""Non-maximum suppression over a batch with a result of fixed shape, and its translation to ONNX."""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from onnxscript import BOOL, FLOAT, opset18
from torch import Tensor


@torch.library.custom_op("spoton::keep_mask", mutates_args=())
def keep_mask(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:
    """Boxes [N, P, 4] xyxy and scores [N, P] -> BOOL [N, P], true where a box survives within its image.

    A box falls where its score is not above ``score_threshold`` or where it overlaps a better survivor by more than
    ``iou_threshold``.
    """
    keep = torch.zeros(scores.shape, dtype=torch.bool)
    for image, (image_boxes, image_scores) in enumerate(zip(boxes, scores, strict=True)):
        candidates = torch.where(image_scores > score_threshold)[0]
        chosen = torchvision.ops.nms(image_boxes[candidates], image_scores[candidates], iou_threshold)
        keep[image, candidates[chosen]] = True
    return keep


@keep_mask.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> Tensor:  # noqa: ARG001
    return torch.empty_like(scores, dtype=torch.bool)


def keep_mask_to_onnx(boxes: FLOAT, scores: FLOAT, iou_threshold: float, score_threshold: float) -> Any:
    """One ``NonMaxSuppression`` for the batch; its [S, 3] list of survivors is scattered into a mask right away."""
    op: Any = opset18
    survivors = op.NonMaxSuppression(
        boxes, op.Unsqueeze(scores, [1]), op.Shape(scores, start=1, end=2), iou_threshold, score_threshold
    )
    places = op.Gather(survivors, [0, 2], axis=1)
    ones = op.Expand(1.0, op.Shape(places, start=0, end=1))
    blank = op.Expand(0.0, op.Shape(scores))
    return op.Cast(op.ScatterND(blank, places, ones), to=BOOL.dtype)
