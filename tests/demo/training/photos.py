"""A folder of small photos laid out as the real ones are."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np


def write_photos(data: Path, count: int = 6) -> Path:
    """``pennfudan`` and ``coco_people`` under ``data``, one upright person in every other photo."""
    rng = np.random.default_rng(0)
    for dataset in ("pennfudan", "coco_people"):
        for folder in ("images", "masks"):
            (data / dataset / folder).mkdir(parents=True)
        boxes: dict[str, list[list[int]]] = {}
        for index in range(count):
            name = f"{index:03d}.png"
            pixels, mask = rng.integers(0, 80, (200, 160, 3), np.uint8), np.zeros((200, 160), np.uint8)
            boxes[name] = []
            if index % 2:
                pixels[40:180, 60:110], mask[40:180, 60:110] = 220, 1
                boxes[name] = [[60, 40, 110, 180]]
            cv2.imwrite(str(data / dataset / "images" / name), pixels)
            cv2.imwrite(str(data / dataset / "masks" / name), mask)
        (data / dataset / "boxes_xyxy.json").write_text(json.dumps(boxes))
    return data
