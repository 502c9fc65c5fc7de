"""What boxes have in common."""

from __future__ import annotations

import numpy as np

from orchestrator.values import Float32, Float64


def iou(boxes: Float32, others: Float32) -> Float32:
    """Intersection over union of boxes [N, 4] and [M, 4] xyxy -> [N, M]; 0 where neither has an area."""
    upper = np.maximum(boxes[:, None, :2], others[None, :, :2])
    lower = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(lower - upper, 0, None), axis=2)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None] + np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9), np.float32)


def row_iou(boxes: Float32 | Float64, others: Float32 | Float64) -> Float64:
    """Intersection over union [N] of boxes [N, 4] xyxy with others, row by row; 0 where neither has an area."""
    shared = row_shared(boxes, others)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9), np.float64)


def row_shared(boxes: Float32 | Float64, others: Float32 | Float64) -> Float64:
    """Area [N] that boxes [N, 4] xyxy share with others, row by row."""
    inner = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2])
    return np.asarray(np.prod(np.maximum(inner, 0), axis=1), np.float64)
