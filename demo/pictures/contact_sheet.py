"""Frames of rendered scenes side by side, with everybody's true box: how a site looks and what its truth says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from demo.pictures.colours import NOBODY_COLOUR, Rgb, person_colour
from demo.pictures.grid import CELL_HEIGHT, CELL_WIDTH, DARK, save_grid, tag
from demo.scores import MIN_VISIBILITY
from demo.site.folder import SiteFiles
from demo.site.scene import Scene
from demo.truth import CameraTruth, load_truth
from orchestrator.values import Float64, UInt8

DASH = 4
"""Length of a dash and of the gap after it, pixels."""


@dataclass(frozen=True)
class _Moment:
    """Who is to be seen in one frame."""

    frame: int
    people: list[int]
    boxes: Float64
    """[N, 4] xyxy of whole bodies, pixels."""
    visibility: Float64


def save_contact_sheet(target: Path, sites: Sequence[tuple[Scene, SiteFiles]]) -> None:
    """Writes one cell for each camera of the scenes, four in a row, as a JPEG.

    Boxes of whole bodies; dashed and grey for who is too hidden to be scored. Takes the scenes' first sub-videos.

    Raises:
        OSError: a file of a site is missing, or the picture cannot be written.
    """
    save_grid(target, [cell for scene, files in sites for cell in _cells(scene, files)])


def _cells(scene: Scene, files: SiteFiles) -> list[UInt8]:
    truth = load_truth(files.root, scene.fps, scene.frames_per_sub_video)
    cells = []
    for each in scene.cameras:
        moment = richest_moment(truth.camera(each.camera.camera_id), scene.frames_per_sub_video)
        picture = _frame(files.videos / each.prefix / "sub_video_01.mp4", moment.frame)
        caption = f"{scene.name} {each.camera.camera_id}: {each.name}"
        cells.append(_drawn(picture, moment, caption))
    return cells


def richest_moment(truth: CameraTruth, frames: int) -> _Moment:
    """The moment among the first ``frames`` that shows the most people, hidden ones counting half."""
    table = truth.table
    early = table.frames < frames
    worth = np.where(truth.visibility >= MIN_VISIBILITY, 1.0, 0.5)
    frame = int(np.bincount(table.frames[early], worth[early], minlength=1).argmax())
    rows = table.frames == frame
    return _Moment(frame, table.ids[rows].tolist(), table.boxes[rows], truth.visibility[rows])


def _frame(video: Path, wanted: int) -> UInt8:
    """[H, W, 3] RGB."""
    with av.open(str(video)) as source:
        for index, frame in enumerate(source.decode(video=0)):
            if index == wanted:
                return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    raise OSError(f"{video} has no frame {wanted}")


def _drawn(picture: UInt8, moment: _Moment, caption: str) -> UInt8:
    scale = np.tile((CELL_WIDTH / picture.shape[1], CELL_HEIGHT / picture.shape[0]), 2)
    cell = np.asarray(cv2.resize(picture, (CELL_WIDTH, CELL_HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
    order = np.argsort(moment.visibility)  # who is seen best is drawn last
    for row in order.tolist():
        left, top, right, bottom = np.round(moment.boxes[row] * scale).astype(int).tolist()
        person = moment.people[row]
        if moment.visibility[row] < MIN_VISIBILITY:
            _dashed(cell, (left, top, right, bottom), NOBODY_COLOUR)
            tag(cell, str(person), (left, top), NOBODY_COLOUR)
        else:
            cv2.rectangle(cell, (left, top), (right, bottom), person_colour(person - 1), 1)
            tag(cell, str(person), (left, top), person_colour(person - 1))
    tag(cell, caption, (0, 0), DARK)
    return cell


def _dashed(cell: UInt8, box: tuple[int, int, int, int], colour: Rgb) -> None:
    left, top, right, bottom = box
    for x in range(left, right, 2 * DASH):
        for y in (top, bottom):
            cv2.line(cell, (x, y), (min(x + DASH, right), y), colour)
    for y in range(top, bottom, 2 * DASH):
        for x in (left, right):
            cv2.line(cell, (x, y), (x, min(y + DASH, bottom)), colour)
