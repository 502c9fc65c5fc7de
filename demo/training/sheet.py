"""A contact sheet of real pictures with what the demo's detector finds in them.

From the corridor video alone (Intel sample videos, CC BY 4.0), so that the sheet may be shown anywhere; ``with_photos``
adds held-out photos of ``pennfudan`` and ``coco_people``, whose terms do not allow that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from demo.pictures.grid import CELL_HEIGHT, CELL_WIDTH, DARK, save_grid, tag
from demo.training.detector_figures import corridor_frames, detect, load_graph
from demo.training.photos import load_photos

UInt8 = NDArray[np.uint8]

CELLS = 12
SHOWN_SCORE = 0.5
FOUND = (64, 220, 120)


def write_sheet(weights: Path, data: Path, out: Path, *, with_photos: bool = False) -> None:
    """Writes ``out``, a JPEG of ``CELLS`` pictures; raises ``OSError`` where it cannot be written."""
    graph = load_graph(weights)
    pictures = [*(_photos(data) if with_photos else ()), *_corridor(data / "video")]
    chosen = np.linspace(0, len(pictures) - 1, CELLS).round().astype(int)
    save_grid(out, [_cell(graph, pictures[index]) for index in chosen])


def _corridor(folder: Path) -> list[UInt8]:
    """The frames in which somebody is."""
    return [rgb for _, rgb, boxes in corridor_frames(folder) if len(boxes)]


def _photos(data: Path) -> Iterator[UInt8]:
    for dataset in ("pennfudan", "coco_people"):
        yield from (photo.pixels for photo in load_photos(data, dataset, test=True) if len(photo.boxes))


def _cell(graph: nn.Module, rgb: UInt8) -> UInt8:
    boxes, scores = detect(graph, rgb)
    scale = min(CELL_HEIGHT / rgb.shape[0], CELL_WIDTH / rgb.shape[1])
    height, width = round(rgb.shape[0] * scale), round(rgb.shape[1] * scale)
    top, left = (CELL_HEIGHT - height) // 2, (CELL_WIDTH - width) // 2
    cell = np.full((CELL_HEIGHT, CELL_WIDTH, 3), DARK, np.uint8)
    cell[top : top + height, left : left + width] = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    for box, score in zip(boxes * scale + (left, top, left, top), scores, strict=True):
        if score >= SHOWN_SCORE:
            x1, y1, x2, y2 = box.round().astype(int).tolist()
            cv2.rectangle(cell, (x1, y1), (x2, y2), FOUND, 2, cv2.LINE_AA)
            tag(cell, f"{score:.2f}", (x1, y1), FOUND)
    return cell
