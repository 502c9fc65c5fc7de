"""Training pictures of simulated people, from seeds that no shown scene uses (``demo.site.samples`` refuses others)."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from demo.site.samples import DetectionSample, detection_samples
from demo.training.augment import change_colours, degrade, flip
from demo.training.compose import LEAST_VISIBLE, NETWORK_HW, Float32, Sample, UInt8, clip_truth

FIRST_SEED = 1_000_000
"""Trainings take seeds from here upwards; ``demo.training.evaluate`` takes lower ones."""
MOST_PAINTERS, MOST_CHAPTERS = 16, 10_000


def simulated_pictures(
    stream: tuple[int, int, int], size_hw: tuple[int, int], rng: np.random.Generator
) -> Iterator[Sample]:
    """Endless pictures of random places at the detector's scale, cut to ``size_hw``, with random light and flips.

    ``stream`` is the training's seed, the painter and the chapter: other places for each.
    """
    height, width = NETWORK_HW
    seed, painter, chapter = stream
    place = FIRST_SEED + (seed * MOST_PAINTERS + painter) * MOST_CHAPTERS + chapter
    for frame in detection_samples(place, width=width, height=height, frames_per_place=4):
        pixels, boxes = _random_window(frame, size_hw, rng)
        if rng.random() < 0.5:
            pixels, boxes = flip(pixels, boxes)
        yield Sample(degrade(change_colours(pixels, rng, 0.7), rng), boxes)


def _random_window(frame: DetectionSample, size_hw: tuple[int, int], rng: np.random.Generator) -> tuple[UInt8, Float32]:
    """The frame at up to a quarter more or less than its size, and a window of ``size_hw`` of it."""
    least = max(size_hw[0] / frame.rgb.shape[0], size_hw[1] / frame.rgb.shape[1])
    scale = max(least, rng.uniform(0.8, 1.25))
    resized = cv2.resize(frame.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    top = int(rng.integers(resized.shape[0] - size_hw[0] + 1))
    left = int(rng.integers(resized.shape[1] - size_hw[1] + 1))
    window = np.ascontiguousarray(resized[top : top + size_hw[0], left : left + size_hw[1]], np.uint8)
    truth = frame.boxes[frame.visibility >= LEAST_VISIBLE] * np.float32(scale) - np.array([left, top] * 2, np.float32)
    return window, clip_truth(truth, size_hw)
