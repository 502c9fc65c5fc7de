"""The real photographs that the demo detector learns from, with a fixed fifth of each set held out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

LABELS = "boxes_xyxy.json"
"""In the folder of each set."""
HOLD_OUT_EVERY = 5
LAST_OF_TRAIN2017 = 650
EARLY_IN_VAL2017 = (139, 285, 632)
LONGEST_SIDE = 768
"""Photos are kept in memory at no more than this many pixels a side."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One labelled image."""

    name: str
    pixels: UInt8
    """[H, W, 3] RGB."""
    boxes: Float32
    """[N, 4] xyxy pixels of people, inside the image."""


@dataclass(frozen=True, slots=True)
class CutOut:
    """One person cut from a photo along the instance mask."""

    pixels: UInt8
    """[h, w, 3] RGB."""
    alpha: UInt8
    """[h, w], 255 on the person."""


def held_out(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names to train on and names held out: every fifth in the order of the alphabet, so that both stay the same."""
    ordered = sorted(names)
    kept = [name for index, name in enumerate(ordered) if index % HOLD_OUT_EVERY]
    return kept, ordered[::HOLD_OUT_EVERY]


def in_val2017(name: str) -> bool:
    """Whether an image of ``coco_people`` belongs to COCO's val2017, on which detectors are measured, not trained.

    The folder holds the first 128 images of train2017, whose numbers end at 650, and the first 128 of val2017.
    """
    number = int(Path(name).stem)
    return number > LAST_OF_TRAIN2017 or number in EARLY_IN_VAL2017


def load_photos(data: Path, dataset: str, *, test: bool) -> list[Photo]:
    """Photos of ``pennfudan`` or ``coco_people`` under ``data``: the training part, or with ``test`` the rest."""
    labels: dict[str, list[list[float]]] = json.loads((data / dataset / LABELS).read_text())
    chosen = held_out(list(labels))[1 if test else 0]
    return [_load(data / dataset / "images" / name, labels[name]) for name in chosen]


def load_cut_outs(data: Path, smallest: int = 90) -> list[CutOut]:
    """People of the training part of ``pennfudan``, at least ``smallest`` pixels tall and away from the border."""
    labels: dict[str, list[list[float]]] = json.loads((data / "pennfudan" / LABELS).read_text())
    found: list[CutOut] = []
    for name in held_out(list(labels))[0]:
        pixels = _read(data / "pennfudan" / "images" / name)
        mask = cv2.imread(str(data / "pennfudan" / "masks" / f"{Path(name).stem}.png"), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise FileNotFoundError(f"no mask for {name}")
        for person in range(1, int(mask.max()) + 1):
            cut = _cut(pixels, mask == person)
            if cut is not None and cut.alpha.shape[0] >= smallest:
                found.append(cut)
    return found


def _cut(pixels: UInt8, mask: NDArray[np.bool_]) -> CutOut | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    if not len(rows) or rows[0] < 2 or columns[0] < 2 or rows[-1] > height - 3 or columns[-1] > width - 3:
        return None
    window = np.s_[rows[0] - 1 : rows[-1] + 2, columns[0] - 1 : columns[-1] + 2]
    alpha = cv2.GaussianBlur(mask[window].astype(np.uint8) * 255, (3, 3), 0)
    return CutOut(pixels[window].copy(), np.asarray(alpha, np.uint8))


def _load(path: Path, boxes: list[list[float]]) -> Photo:
    pixels = _read(path)
    scale = min(1.0, LONGEST_SIDE / max(pixels.shape[:2]))
    if scale < 1.0:
        pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return Photo(path.name, pixels, np.asarray(boxes, np.float32).reshape(-1, 4) * np.float32(scale))


def _read(path: Path) -> UInt8:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"cannot read the image {path}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
