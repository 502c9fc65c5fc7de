"""How much a look says about the person it was taken of."""

from __future__ import annotations

import numpy as np

from orchestrator.values import Bool, Float32

FULL_HEIGHT_PX = 128.0
"""Crops become 256 px high for the Re-ID model; one of less than half of that is mostly interpolation."""


def quality_of(boxes: Float32, scores: Float32, fit: Bool) -> Float32:
    """[N] from 0 (says nothing) to 1: how sure the detection is, how large, and how much of it nobody else covers.

    Of two boxes that overlap, the one whose lower edge is higher in the image belongs to the person behind.

    Args:
        boxes: [N, 4] xyxy px.
        scores: [N] of the detections.
        fit: [N] False for looks that are not to be used at all.
    """
    height = np.clip((boxes[:, 3] - boxes[:, 1]) / FULL_HEIGHT_PX, 0, 1)
    return np.asarray(np.where(fit, np.clip(scores, 0, 1) * height * (1 - _covered(boxes)), 0), np.float32)


def _covered(boxes: Float32) -> Float32:
    """[N] largest share of each box that a box in front of it covers."""
    upper = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    lower = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.clip(lower - upper, 0, None), axis=2)
    own = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-6)[:, None]
    in_front = boxes[None, :, 3] > boxes[:, None, 3]
    return np.asarray(np.where(in_front, shared / own, 0).max(axis=1, initial=0), np.float32)
