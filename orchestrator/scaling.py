"""Resizing of RGB pixels straight into memory that somebody else owns (a model's input in shared memory)."""

from __future__ import annotations

import cv2
import numpy as np

from orchestrator.values import UInt8


def letterbox_scale(size_hw: tuple[int, int], input_hw: tuple[int, int]) -> float:
    """Factor from source pixels to model input pixels that fits the whole frame without stretching it."""
    return min(input_hw[0] / size_hw[0], input_hw[1] / size_hw[1])


def write_letterbox(pixels: UInt8, target: UInt8) -> None:
    """Scales a frame [h, w, 3] to fit ``target`` [H, W, 3], in place; the bottom or the right is padded with 0."""
    size_hw, input_hw = pixels.shape[:2], target.shape[:2]
    scale = letterbox_scale((size_hw[0], size_hw[1]), (input_hw[0], input_hw[1]))
    height, width = (max(1, min(round(size * scale), limit)) for size, limit in zip(size_hw, input_hw, strict=True))
    resize_into(pixels, target[:height, :width])
    target[height:] = 0
    target[:height, width:] = 0


def resize_into(pixels: UInt8, target: UInt8) -> None:
    """Resizes [h, w, 3] to fill ``target`` [H, W, 3], in place: exact halvings while they fit, then bilinear.

    Bilinear sampling alone skips source pixels when it shrinks by more than two; area averaging by a factor that is
    no whole number costs several times as much as both steps together.
    """
    height, width = target.shape[:2]
    while pixels.shape[0] >= 2 * height and pixels.shape[1] >= 2 * width:
        halved = np.empty((pixels.shape[0] // 2, pixels.shape[1] // 2, 3), np.uint8)
        even = pixels[: 2 * halved.shape[0], : 2 * halved.shape[1]]
        cv2.resize(even, halved.shape[1::-1], dst=halved, interpolation=cv2.INTER_AREA)
        pixels = halved
    cv2.resize(pixels, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
