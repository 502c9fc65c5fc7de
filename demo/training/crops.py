"""Crops of people for Re-ID: simulated people under several cameras, and real ones, each with its identity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.site.samples import reid_samples
from demo.training.augment import change_colours, degrade
from demo.training.photos import load_photos

UInt8 = NDArray[np.uint8]

CROP_HW = (256, 128)
FIRST_SEED = 30_000
"""Trainings take seeds from here upwards; ``demo.training.evaluate`` takes others."""
PEOPLE_PER_PLACE = 8
STORED_HEIGHT = 192
SMALLEST_REAL = 80
"""Pixels; smaller people of photos are left out."""


@dataclass(frozen=True, slots=True)
class Crop:
    """One picture of one person."""

    identity: int
    camera: int
    pixels: UInt8
    """[h, w, 3] RGB at natural proportions."""


def simulated_crops(seed: int, count: int) -> Iterator[Crop]:
    """``count`` crops of random simulated people, two cameras and four crops in each for every person.

    Identities ``8 * n`` to ``8 * n + 7`` are the people of one place.
    """
    for sample in islice(reid_samples(FIRST_SEED + seed, identities_per_place=PEOPLE_PER_PLACE), count):
        yield Crop(sample.identity, sample.camera, _shrink(sample.rgb))


def real_crops(data: Path, first_identity: int) -> list[Crop]:
    """Each person of the photos to train on as an identity of which there is one picture."""
    photos = [*load_photos(data, "pennfudan", test=False), *load_photos(data, "coco_people", test=False)]
    crops: list[Crop] = []
    for photo in photos:
        for x1, y1, x2, y2 in photo.boxes.astype(int):
            if y2 - y1 >= SMALLEST_REAL:
                crops.append(Crop(first_identity + len(crops), 0, _shrink(photo.pixels[y1:y2, x1:x2])))
    return crops


def by_identity(crops: Sequence[Crop]) -> dict[int, list[Crop]]:
    """The crops of each identity."""
    grouped: dict[int, list[Crop]] = {}
    for crop in crops:
        grouped.setdefault(crop.identity, []).append(crop)
    return grouped


def network_crop(pixels: UInt8) -> UInt8:
    """[h, w, 3] -> [256, 128, 3], as the server gets crops."""
    method = cv2.INTER_AREA if pixels.shape[0] > 2 * CROP_HW[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, CROP_HW[::-1], interpolation=method), np.uint8)


def augmented(pixels: UInt8, rng: np.random.Generator) -> UInt8:
    """A random view of a crop: another frame around it, light, sharpness, something in front; [256, 128, 3]."""
    view = _low_resolution(_reframed(pixels, rng), rng)
    if rng.random() < 0.5:
        view = np.ascontiguousarray(view[:, ::-1])
    view = degrade(change_colours(network_crop(view), rng, 0.6), rng)
    return _erased(view, rng) if rng.random() < 0.4 else view


def _shrink(pixels: UInt8) -> UInt8:
    scale = min(1.0, STORED_HEIGHT / pixels.shape[0])
    if scale == 1.0:
        return pixels.copy()
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _reframed(pixels: UInt8, rng: np.random.Generator) -> UInt8:
    """Sides off by some per cent, as a detector's are; what lies outside repeats the border."""
    height, width = pixels.shape[:2]
    left, right = np.round(rng.normal(0, 0.05, 2) * width).astype(int)
    top, bottom = np.round(rng.normal(0, 0.04, 2) * height).astype(int)
    if rng.random() < 0.1:
        bottom = -int(rng.uniform(0.1, 0.4) * height)
    outside = [(max(0, int(top)), max(0, int(bottom))), (max(0, int(left)), max(0, int(right))), (0, 0)]
    framed = np.pad(pixels, outside, mode="edge")
    rows = slice(max(0, -top), framed.shape[0] - max(0, -bottom))
    columns = slice(max(0, -left), framed.shape[1] - max(0, -right))
    return np.asarray(framed[rows, columns], np.uint8)


def _low_resolution(pixels: UInt8, rng: np.random.Generator) -> UInt8:
    scale = rng.uniform(40, 120) / pixels.shape[0]
    if scale >= 1 or rng.random() < 0.6:
        return pixels
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _erased(pixels: UInt8, rng: np.random.Generator) -> UInt8:
    """A rectangle of noise or of one colour over part of the person."""
    height, width = pixels.shape[:2]
    tall, wide = int(height * rng.uniform(0.1, 0.45)), int(width * rng.uniform(0.2, 0.7))
    top, left = int(rng.integers(height - tall)), int(rng.integers(width - wide))
    patch = rng.integers(0, 256, (tall, wide, 3) if rng.random() < 0.5 else (1, 1, 3), dtype=np.uint8)
    erased = pixels.copy()
    erased[top : top + tall, left : left + wide] = patch
    return erased
