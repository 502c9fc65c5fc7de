"""Training pictures for the detector, made from photos and cut-outs at the sizes that people have on site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.training.augment import change_colours, degrade, flip
from demo.training.photos import CutOut, Photo

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

PERSON_HEIGHTS = (18.0, 400.0)
"""Pixels at the network's input; people on the demo site are 30 to 180 tall there, in the corridor video up to 380."""
AS_MET = 0.5
"""Share of photos laid at about the scale at which the network meets whole photos."""
NETWORK_HW = (384, 672)
"""The detector's input."""
LEAST_VISIBLE = 0.25
"""People of whom less can be seen are no truth: neither found nor missed during training."""
LEAST_INSIDE = 0.35
"""Share of a box's area that must lie inside the picture for it to be truth."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One training picture: the truth is the full box of each person, clipped to the picture."""

    pixels: UInt8
    """[H, W, 3] RGB."""
    boxes: Float32
    """[N, 4] xyxy pixels."""


def picture_stream(
    draw: Callable[[], Photo],
    empty: Sequence[Photo],
    cut_outs: Sequence[CutOut],
    size_hw: tuple[int, int],
    rng: np.random.Generator,
) -> Iterator[Sample]:
    """Endless random pictures of one size: what ``draw`` gives, alone or in mosaics on an empty photo, with people
    pasted in.
    """
    while True:
        canvas = _cover(empty[int(rng.integers(len(empty)))], size_hw, rng)
        parts = []
        for top, left, height, width in _random_tiles(size_hw, rng):
            tile = canvas[top : top + height, left : left + width]
            boxes = lay_photo(draw(), tile, rng)
            parts.append(boxes + np.array([left, top, left, top], np.float32))
        sample = Sample(canvas, np.concatenate(parts).astype(np.float32))
        if rng.random() < 0.6:
            sample = paste_people(sample, cut_outs, int(rng.integers(1, 7)), rng)
        yield Sample(degrade(change_colours(sample.pixels, rng), rng), sample.boxes)


def lay_photo(photo: Photo, tile: UInt8, rng: np.random.Generator) -> Float32:
    """Draws the photo into ``tile`` [h, w, 3], scaled so that one of its people gets a random height.

    Returns the boxes [N, 4] of its people in pixels of the tile. What the photo leaves free stays as it was.
    """
    pixels, boxes = flip(photo.pixels, photo.boxes) if rng.random() < 0.5 else (photo.pixels, photo.boxes)
    height, width = tile.shape[:2]
    scale = _scale_for(boxes, pixels.shape[:2], (height, width), rng)
    sizes = (
        max(8, round(pixels.shape[1] * scale * np.exp(rng.normal(0.0, 0.06)))),
        max(8, round(pixels.shape[0] * scale)),
    )
    scaling = np.array([sizes[0] / pixels.shape[1], sizes[1] / pixels.shape[0]] * 2, np.float32)
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(pixels, sizes, interpolation=method), np.uint8)
    middle = _anchor(boxes, pixels.shape[:2], rng) * scaling[:2]
    left = round(rng.uniform(0.15, 0.85) * width - middle[0])
    top = round(rng.uniform(0.2, 0.8) * height - middle[1])
    _overlay(tile, resized, left, top)
    return clip_truth(boxes * scaling + np.array([left, top] * 2, np.float32), (height, width))


def clip_truth(boxes: Float32, size_hw: tuple[int, int]) -> Float32:
    """Boxes [N, 4] clipped to the picture, without those that are mostly outside or too small to learn from."""
    limit = np.array([size_hw[1], size_hw[0]] * 2, np.float32)
    clipped = np.clip(boxes, 0, limit).astype(np.float32)
    inside = areas(clipped) / np.maximum(areas(boxes), 1e-6)
    sides = clipped[:, 2:] - clipped[:, :2]
    return clipped[(inside >= LEAST_INSIDE) & (sides[:, 1] >= 12) & (sides[:, 0] >= 4)]


def areas(boxes: Float32) -> Float32:
    """[N, 4] xyxy -> [N] square pixels."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float32)


def paste_people(sample: Sample, cut_outs: Sequence[CutOut], count: int, rng: np.random.Generator) -> Sample:
    """``count`` cut-outs put onto the picture, later ones before earlier ones; who is hidden is no truth any more."""
    canvas = sample.pixels.copy()
    height, width = canvas.shape[:2]
    owners = [_box_mask(box, (height, width)) for box in sample.boxes]
    boxes = list(sample.boxes)
    for _ in range(count):
        cut, box = _random_cut(cut_outs[int(rng.integers(len(cut_outs)))], (height, width), rng)
        if _lies_on_somebody_larger(box, boxes):
            continue
        mask = _blend(canvas, cut, box)
        owners = [owner & ~mask for owner in owners]
        owners.append(mask)
        boxes.append(np.array(box, np.float32))
    truth = np.asarray(boxes, np.float32).reshape(-1, 4)
    shape = np.concatenate([np.ones(len(sample.boxes)), np.full(len(boxes) - len(sample.boxes), 0.6)])
    seen = np.asarray([owner.sum() for owner in owners]) / np.maximum(areas(truth) * shape, 1.0)
    return Sample(canvas, clip_truth(truth[seen >= LEAST_VISIBLE], (height, width)))


def _lies_on_somebody_larger(box: tuple[float, float, float, float], others: Sequence[Float32]) -> bool:
    """True where half of the box lies on a person twice as tall: many such pictures teach boxes around limbs."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    for other in others:
        shared = np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None).prod()
        if shared > area / 2 and other[3] - other[1] > 2 * (box[3] - box[1]):
            return True
    return False


def _cover(photo: Photo, size_hw: tuple[int, int], rng: np.random.Generator) -> UInt8:
    """A random window of the photo that fills the whole picture."""
    height, width = size_hw
    tall, wide = photo.pixels.shape[:2]
    scale = max(height / tall, width / wide) * rng.uniform(1.0, 1.5)
    sizes = (max(width, round(wide * scale)), max(height, round(tall * scale)))
    resized = np.asarray(cv2.resize(photo.pixels, sizes, interpolation=cv2.INTER_AREA), np.uint8)
    top, left = rng.integers(sizes[1] - height + 1), rng.integers(sizes[0] - width + 1)
    return resized[top : top + height, left : left + width].copy()


def _overlay(tile: UInt8, image: UInt8, left: int, top: int) -> None:
    height, width = tile.shape[:2]
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + image.shape[1], width), min(top + image.shape[0], height)
    if x2 > x1 and y2 > y1:
        tile[y1:y2, x1:x2] = image[y1 - top : y2 - top, x1 - left : x2 - left]


def _random_tiles(size_hw: tuple[int, int], rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Places (top, left, height, width): one tile, two beside one another, or four."""
    height, width = size_hw
    kind = rng.random()
    if kind < 0.6:
        return [(0, 0, height, width)]
    middle = int(width * rng.uniform(0.35, 0.65))
    columns = [(0, middle), (middle, width - middle)]
    if kind < 0.88:
        return [(0, left, height, wide) for left, wide in columns]
    split = int(height * rng.uniform(0.4, 0.6))
    rows = [(0, split), (split, height - split)]
    return [(top, left, tall, wide) for top, tall in rows for left, wide in columns]


def _scale_for(boxes: Float32, photo_hw: tuple[int, ...], size_hw: tuple[int, int], rng: np.random.Generator) -> float:
    if rng.random() < AS_MET:
        met = min(NETWORK_HW[0] / photo_hw[0], NETWORK_HW[1] / photo_hw[1])
        return float(met * np.exp(rng.uniform(np.log(0.6), np.log(1.5))))
    fill = max(size_hw[0] / photo_hw[0], size_hw[1] / photo_hw[1])
    if not len(boxes):
        return float(fill * rng.uniform(0.7, 1.3))
    box = boxes[rng.integers(len(boxes))]
    low, high = np.log(PERSON_HEIGHTS)
    wanted = np.exp(rng.uniform(low, min(high, np.log(size_hw[0] * 1.1))))
    return float(np.clip(wanted / max(box[3] - box[1], 1.0), 0.15 * fill, 3.0))


def _anchor(boxes: Float32, photo_hw: tuple[int, ...], rng: np.random.Generator) -> Float32:
    if not len(boxes):
        return np.array([photo_hw[1] / 2, photo_hw[0] / 2], np.float32)
    box = boxes[rng.integers(len(boxes))]
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)


def _box_mask(box: Float32, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(size_hw, np.bool_)
    x1, y1, x2, y2 = box.astype(int)
    mask[max(y1, 0) : y2, max(x1, 0) : x2] = True
    return mask


def _random_cut(
    cut: CutOut, size_hw: tuple[int, int], rng: np.random.Generator
) -> tuple[CutOut, tuple[float, float, float, float]]:
    """The cut-out at a random size, light and place; the place may lie partly outside."""
    low, high = np.log(PERSON_HEIGHTS)
    tall = round(float(np.exp(rng.uniform(low, min(high, np.log(size_hw[0] * 0.9))))))
    wide = max(4, round(tall * cut.alpha.shape[1] / cut.alpha.shape[0]))
    method = cv2.INTER_AREA if tall < cut.alpha.shape[0] else cv2.INTER_LINEAR
    pixels = np.asarray(cv2.resize(cut.pixels, (wide, tall), interpolation=method), np.uint8)
    alpha = np.asarray(cv2.resize(cut.alpha, (wide, tall), interpolation=method), np.uint8)
    if rng.random() < 0.5:
        pixels, alpha = pixels[:, ::-1], alpha[:, ::-1]
    left = float(rng.integers(-wide // 3, max(size_hw[1] - wide * 2 // 3, 1)))
    top = float(rng.integers(-tall // 4, max(size_hw[0] - tall * 3 // 4, 1)))
    return CutOut(change_colours(pixels, rng, 0.8), alpha), (left, top, left + wide, top + tall)


def _blend(canvas: UInt8, cut: CutOut, box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Draws the cut-out into ``canvas``; returns the pixels [H, W] that it covers."""
    height, width = canvas.shape[:2]
    left, top = int(box[0]), int(box[1])
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(int(box[2]), width), min(int(box[3]), height)
    mask = np.zeros((height, width), np.bool_)
    if x2 <= x1 or y2 <= y1:
        return mask
    source = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
    weight = cut.alpha[source].astype(np.float32)[..., None] / 255.0
    region = canvas[y1:y2, x1:x2]
    region[:] = region + (cut.pixels[source] - region.astype(np.float32)) * weight
    mask[y1:y2, x1:x2] = cut.alpha[source] > 127
    return mask
