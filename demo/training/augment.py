"""Random changes of pixels that keep boxes where they are: light, colour, blur, noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]


def change_colours(rgb: UInt8, rng: np.random.Generator, strength: float = 1.0) -> UInt8:
    """Random gain and tint for each channel, contrast, saturation and gamma; [H, W, 3] in and out."""
    image = rgb.astype(np.float32) / 255.0
    image **= np.float32(np.exp(rng.normal(0.0, 0.25 * strength)))
    gain = np.exp(rng.normal(0.0, 0.12 * strength) + rng.normal(0.0, 0.06 * strength, 3)).astype(np.float32)
    mean = image.mean(axis=(0, 1), keepdims=True)
    image = (image - mean) * np.float32(rng.uniform(1 - 0.35 * strength, 1 + 0.3 * strength)) + mean
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * np.float32(rng.uniform(1 - 0.6 * strength, 1 + 0.4 * strength))
    return np.asarray(np.clip(image * gain, 0.0, 1.0) * 255.0 + 0.5, np.uint8)


def degrade(rgb: UInt8, rng: np.random.Generator) -> UInt8:
    """At random: blur, sensor noise and the blocks of a compressed video; [H, W, 3] in and out."""
    if rng.random() < 0.3:
        rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.4, 1.4))), np.uint8)
    if rng.random() < 0.3:
        noise = rng.standard_normal(rgb.shape, np.float32) * np.float32(rng.uniform(2.0, 9.0))
        rgb = np.asarray(np.clip(rgb + noise, 0, 255), np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
        rgb = np.asarray(cv2.imdecode(cv2.imencode(".jpg", rgb, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return rgb


def flip(rgb: UInt8, boxes: NDArray[np.float32]) -> tuple[UInt8, NDArray[np.float32]]:
    """Left and right exchanged; boxes [N, 4] xyxy follow."""
    width = np.float32(rgb.shape[1])
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = width - boxes[:, [2, 0]]
    return np.ascontiguousarray(rgb[:, ::-1]), mirrored
