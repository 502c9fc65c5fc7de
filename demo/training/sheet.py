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

from demo.training.detector_figures import corridor_frames, detect, load_graph
from demo.training.photos import load_photos

UInt8 = NDArray[np.uint8]

COLUMNS, ROWS = 4, 3
CELL_HW = (225, 400)
SHOWN_SCORE = 0.5
FOUND = (64, 220, 120)
BACKGROUND = 24
QUALITY = 85


def write_sheet(weights: Path, data: Path, out: Path, *, with_photos: bool = False) -> None:
    """Writes ``out``, a picture of ``COLUMNS`` x ``ROWS`` cells; raises ``OSError`` where it cannot be written."""
    graph = load_graph(weights)
    pictures = [*(_photos(data) if with_photos else ()), *_corridor(data / "video")]
    chosen = np.linspace(0, len(pictures) - 1, COLUMNS * ROWS).round().astype(int)
    cells = [_cell(graph, pictures[index]) for index in chosen]
    sheet = np.vstack([np.hstack(cells[row : row + COLUMNS]) for row in range(0, len(cells), COLUMNS)])
    if not cv2.imwrite(str(out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY]):
        raise OSError(f"{out} cannot be written")


def _corridor(folder: Path) -> list[UInt8]:
    """The frames in which somebody is."""
    return [rgb for _, rgb, boxes in corridor_frames(folder) if len(boxes)]


def _photos(data: Path) -> Iterator[UInt8]:
    for dataset in ("pennfudan", "coco_people"):
        yield from (photo.pixels for photo in load_photos(data, dataset, test=True) if len(photo.boxes))


def _cell(graph: nn.Module, rgb: UInt8) -> UInt8:
    boxes, scores = detect(graph, rgb)
    scale = min(CELL_HW[0] / rgb.shape[0], CELL_HW[1] / rgb.shape[1])
    height, width = round(rgb.shape[0] * scale), round(rgb.shape[1] * scale)
    cell = np.full((*CELL_HW, 3), BACKGROUND, np.uint8)
    top, left = (CELL_HW[0] - height) // 2, (CELL_HW[1] - width) // 2
    picture = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    for box, score in zip(boxes * scale, scores, strict=True):
        if score >= SHOWN_SCORE:
            _draw(picture, box.round().astype(int).tolist(), f"{score:.2f}")
    cell[top : top + height, left : left + width] = picture
    return cell


def _draw(picture: UInt8, box: list[int], text: str) -> None:
    left, upper, right, lower = box
    cv2.rectangle(picture, (left, upper), (right, lower), FOUND, 2, cv2.LINE_AA)
    cv2.rectangle(picture, (left, upper), (left + 30, upper + 13), FOUND, -1)
    cv2.putText(picture, text, (left + 2, upper + 10), cv2.FONT_HERSHEY_DUPLEX, 0.35, (16, 16, 16), 1, cv2.LINE_AA)
