"""WILDTRACK in its published form: seven calibrated cameras over one square, people's boxes in each and their places.

Chavdarova et al., WILDTRACK: A Multi-camera HD Dataset for Dense Unscripted Pedestrian Detection, CVPR 2018. The
published boxes are those of a cylinder put on each annotated place, and there are no others: they are the truth, and
the noise model says what a detector would have made of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from benchmarks.accuracy.demo_site import demo_settings
from benchmarks.accuracy.noise import NoiseModel, detect, looks_of
from benchmarks.accuracy.public import AbsentError
from benchmarks.accuracy.scene import BoxTruth, GroundTruth, Scene, seen_by_some
from benchmarks.accuracy.truth import LARGEST, named
from demo.scores import BoxTable
from orchestrator.errors import DetectionFileError
from orchestrator.homography import Homography, load_homographies
from orchestrator.recorded.associate import Recording
from orchestrator.site import Environment
from orchestrator.values import Float64, Int64

VIEWS = ("CVLab1", "CVLab2", "CVLab3", "CVLab4", "IDIAP1", "IDIAP2", "IDIAP3")
"""Calibration of each view, in the order of ``viewNum``."""
SIZE_WH = (1920, 1080)
RATE = 2.0
FRAME_STEP = 5
"""Between the numbers of annotated frames."""
ORIGIN_M, CELL_M, CELLS_WH = (-3.0, -9.0), 0.025, (480, 1440)
"""The grid of places: its corner, the side of a cell, and how many cells."""
LEAST_SIDES_PX = (3.0, 8.0)
ALIKE = 0.2


def wildtrack(data: Path, seed: int) -> Scene:
    """The frames that are there, as the noise model sees them with this seed.

    Raises:
        AbsentError: the folder is not there.
        DetectionFileError: a file in it is missing, or cannot be used.
    """
    folder = next((path for path in (data / "wildtrack", data / "wildtrack_sample") if path.is_dir()), None)
    if folder is None:
        raise AbsentError(f"{data / 'wildtrack'} is not there")
    environment = _environment(folder / "calibrations")
    ticks, rows, boxes, places = _annotations(folder / "annotations_positions")
    people = np.unique(rows[:, 0], return_inverse=True)[1].reshape(-1) + 1
    ground_rows = np.unique(np.column_stack([ticks, people]), axis=0, return_index=True)[1]
    truth = {
        name: _truth(homography, ticks[view], people[view], boxes[view], places[view])
        for number, (name, homography) in enumerate(load_homographies(environment).items())
        for view in (rows[:, 1] == number,)
    }
    table = BoxTable(ticks[ground_rows], people[ground_rows], places[ground_rows])
    ground = GroundTruth(table, seen_by_some(truth, table))
    settings, model, rng = demo_settings(), NoiseModel.load(), np.random.default_rng([seed, 11])
    looks = looks_of(model, int(people.max()), len(VIEWS), ALIKE, rng)
    count = int(ticks.max()) + 1
    files = {
        name: detect(model, row, truth[name], SIZE_WH, count, looks, settings.detection_threshold, rng, RATE)
        for row, name in enumerate(VIEWS)
    }
    recording = Recording(tuple(environment.cameras.values()), files, 0, 1, count, RATE)
    return Scene("wildtrack", seed, "noise model", settings, environment, recording, truth, ground)


def _environment(folder: Path) -> Environment:
    cameras = {
        name: {
            "id": name,
            "prefix": name,
            "resolution": SIZE_WH,
            "calibration": {"projection": _projection(folder, name).tolist(), "metres_per_unit": 0.01},
        }
        for name in VIEWS
    }
    low = np.array(ORIGIN_M)
    high = low + CELL_M * np.array(CELLS_WH)
    area = [low, (high[0], low[1]), high, (low[0], high[1])]
    described = {"id": "wildtrack", "target_fps": RATE, "cameras": cameras, "area": area}
    return Environment.model_validate(described)


def _projection(folder: Path, name: str) -> Float64:
    """[3, 4] of the undistorted images, world in centimetres -> px."""
    inside, outside = folder / "intrinsic_zero" / f"intr_{name}.xml", folder / "extrinsic" / f"extr_{name}.xml"
    matrix = _values(inside, "camera_matrix/data", 9).reshape(3, 3)
    rotation = cv2.Rodrigues(_values(outside, "rvec", 3))[0]
    return np.asarray(matrix @ np.column_stack([rotation, _values(outside, "tvec", 3)]), np.float64)


def _values(path: Path, name: str, count: int) -> Float64:
    with named(path):
        found = np.array((ElementTree.parse(path).findtext(name) or "").split(), np.float64)  # noqa: S314
        if len(found) != count or not np.isfinite(found).all():
            raise ValueError(f"{name} is not {count} numbers")
    return found


def _annotations(folder: Path) -> tuple[Int64, Int64, Float64, Float64]:
    """Ticks [N], person and view [N, 2], boxes [N, 4] xyxy px and places [N, 2] metres of all boxes, at least one."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DetectionFileError(f"{folder}: no annotations (*.json)")
    frames = np.array([_frame(path) for path in files])
    ticks = (frames - frames[0]) // FRAME_STEP
    rows = [(tick, *row) for tick, path in zip(ticks.tolist(), files, strict=True) for row in _boxes(path)]
    if not rows:
        raise DetectionFileError(f"{folder}: nobody in any of {len(files)} annotations")
    columns = np.array(rows, np.float64)
    cell = columns[:, 7].astype(np.int64)
    places = np.array(ORIGIN_M) + CELL_M * np.stack([cell % CELLS_WH[0], cell // CELLS_WH[0]], axis=1)
    return columns[:, 0].astype(np.int64), columns[:, 1:3].astype(np.int64), columns[:, 3:7], places


def _boxes(path: Path) -> Iterator[tuple[int, ...]]:
    """Person, view, box and cell of each box of a frame."""
    seen: set[tuple[int, int]] = set()
    with named(path):
        for person in json.loads(path.read_text()):
            for view in person["views"]:
                box = (view["xmin"], view["ymin"], view["xmax"], view["ymax"])
                if box != (-1, -1, -1, -1):
                    row = (person["personID"], view["viewNum"], *box, person["positionID"])
                    _check(row, seen)
                    yield row


def _check(row: tuple[int, ...], seen: set[tuple[int, int]]) -> None:
    if not all(isinstance(value, int) and abs(value) < LARGEST for value in row):
        raise ValueError(f"person {row[0]}: {list(row[1:])} are not view, box and cell in whole numbers")
    person, view, cell = row[0], row[1], row[-1]
    if not 0 <= view < len(VIEWS) or not 0 <= cell < CELLS_WH[0] * CELLS_WH[1]:
        raise ValueError(f"person {person}: view {view} or cell {cell} does not exist")
    if (person, view) in seen:
        raise ValueError(f"person {person} is in view {view} twice")
    seen.add((person, view))


def _frame(path: Path) -> int:
    with named(path):
        return int(path.stem)


def _truth(homography: Homography, ticks: Int64, people: Int64, boxes: Float64, places: Float64) -> BoxTruth:
    """The boxes of one view as far as they lie in the frame, and how much of each is free."""
    inside = np.clip(boxes, 0, [*SIZE_WH, *SIZE_WH])
    kept = np.flatnonzero(((inside[:, 2:] - inside[:, :2]) >= LEAST_SIDES_PX).all(axis=1))
    ticks, people = ticks[kept], people[kept]
    boxes, inside, places = boxes[kept], inside[kept], places[kept]
    feet = homography.to_image(places)[:, 1]
    visible = np.zeros(len(ticks))
    for tick in np.unique(ticks):
        rows = np.flatnonzero(ticks == tick)
        for row in rows:
            visible[row] = _free_share(boxes[row], inside[row], inside[rows[feet[rows] > feet[row]]])
    return BoxTruth(BoxTable(ticks, people, inside), visible, places)


def _free_share(box: Float64, inside: Float64, nearer: Float64) -> float:
    """Share of a box that is in the frame and not behind any of the ``nearer`` ones, sampled on a grid."""
    steps = (np.arange(12) + 0.5) / 12
    x, y = (box[axis] + steps * (box[axis + 2] - box[axis]) for axis in (0, 1))
    free = ((x > inside[0]) & (x < inside[2]))[None] & ((y > inside[1]) & (y < inside[3]))[:, None]
    for left, top, right, bottom in nearer:
        free &= ~(((x > left) & (x < right))[None] & ((y > top) & (y < bottom))[:, None])
    return float(free.mean())
