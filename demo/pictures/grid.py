"""Cells of one size side by side in one JPEG, with tags on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from demo.pictures.canvas import FONT
from demo.pictures.colours import Rgb, is_bright
from orchestrator.values import UInt8

COLUMNS = 4
CELL_WIDTH, CELL_HEIGHT = 400, 225
GAP = 4
QUALITY = 85
TEXT_SCALE = 0.34
DARK: Rgb = (28, 30, 34)
LIGHT: Rgb = (240, 240, 240)


def save_grid(target: Path, cells: Sequence[UInt8]) -> None:
    """Writes the cells [CELL_HEIGHT, CELL_WIDTH, 3] RGB, four in a row; raises ``OSError`` where it cannot."""
    rows = -(-len(cells) // COLUMNS)
    sheet = np.full((rows * (CELL_HEIGHT + GAP) - GAP, COLUMNS * (CELL_WIDTH + GAP) - GAP, 3), 255, np.uint8)
    for index, cell in enumerate(cells):
        top, left = index // COLUMNS * (CELL_HEIGHT + GAP), index % COLUMNS * (CELL_WIDTH + GAP)
        sheet[top : top + CELL_HEIGHT, left : left + CELL_WIDTH] = cell
    target.parent.mkdir(parents=True, exist_ok=True)
    written, jpeg = cv2.imencode(".jpg", sheet[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    if not written:
        raise OSError(f"{target} cannot be encoded")
    target.write_bytes(jpeg.tobytes())


def tag(cell: UInt8, text: str, corner: tuple[int, int], colour: Rgb) -> None:
    """Text on a field that stands on ``corner``, moved inside the cell."""
    (width, height), _ = cv2.getTextSize(text, FONT, TEXT_SCALE, 1)
    left = min(max(corner[0], 0), CELL_WIDTH - width - 4)
    bottom = max(corner[1], height + 4)
    cv2.rectangle(cell, (left, bottom - height - 4), (left + width + 4, bottom), colour, cv2.FILLED)
    ink = DARK if is_bright(colour) else LIGHT
    cv2.putText(cell, text, (left + 2, bottom - 2), FONT, TEXT_SCALE, ink, 1, cv2.LINE_AA)
