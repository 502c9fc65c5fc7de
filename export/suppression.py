"""Non-maximum suppression over a batch with a result of fixed shape, and its translation to ONNX."""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from onnxscript import BOOL, FLOAT, opset18
from torch import Tensor


@torch.library.custom_op("spoton::keep_mask", mutates_args=())
def keep_mask(boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:
    """Boxes [N, P, 4] xyxy and scores [N, P] -> BOOL [N, P], true for at most ``most`` survivors of each row.

    A box falls where its score is 0 or where it overlaps a better survivor of its row by more than ``iou_threshold``.
    """
    keep = torch.zeros(scores.shape, dtype=torch.bool)
    for row, (row_boxes, row_scores) in enumerate(zip(boxes, scores, strict=True)):
        candidates = torch.where(row_scores > 0)[0]
        chosen = torchvision.ops.nms(row_boxes[candidates], row_scores[candidates], iou_threshold)
        keep[row, candidates[chosen[:most]]] = True
    return keep


@keep_mask.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float, most: int) -> Tensor:  # noqa: ARG001
    return torch.empty_like(scores, dtype=torch.bool)


def keep_mask_to_onnx(boxes: FLOAT, scores: FLOAT, iou_threshold: float, most: int) -> Any:
    """One ``NonMaxSuppression`` for all rows; its list of survivors is scattered into a mask right away.

    The list is [S, 3]: row, class, box, with S known only when it runs. The class is always 0, so that column is what
    is scattered, as 0 among ones: nothing has to ask for S.
    """
    op: Any = opset18
    survivors = op.NonMaxSuppression(
        boxes, op.Unsqueeze(scores, [1]), op.Constant(value_ints=[most]), iou_threshold, 0.0
    )
    places = op.Gather(survivors, [0, 2], axis=1)
    zeros = op.Cast(op.Gather(survivors, 1, axis=1), to=FLOAT.dtype)
    fallen = op.ScatterND(op.Expand(1.0, op.Shape(scores)), places, zeros)
    return op.Cast(op.Sub(1.0, fallen), to=BOOL.dtype)
