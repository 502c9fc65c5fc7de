"""Three answers to the same detections: SpotOn's, a plain baseline's, and an oracle's.

The oracle gives every detection the id of the person whom it shows (the assignment with the most overlap, IoU at least
0.5, in each camera and tick; where only places are known, the nearest within ``MATCH_M``), and leaves out those that
show nobody: the most that any association of these detections can reach. It neither moves a box nor invents one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.accuracy.scene import Scene
from demo.scores import MATCH_M, BoxTable, assign_rows
from orchestrator.homography import Homography, foot_points, load_homographies
from orchestrator.recorded.associate import associate
from orchestrator.recorded.detections import DetectionFile
from orchestrator.recorded.results import FoundTracks
from orchestrator.values import Float64, Int64

FOOT_ERROR = 0.05
"""Of a box's foot point, as a share of the box's height: weighs the cameras where several see one person."""
LEAST_ERROR_M = 0.25
Found = Mapping[str, FoundTracks]


def spoton(scene: Scene, *, second_pass: bool) -> Found:
    """What ``python -m orchestrator associate`` makes of it."""
    settings = scene.settings.model_copy(update={"second_pass": second_pass})
    return associate(settings, scene.environment, scene.recording)


def oracle(scene: Scene) -> Found:
    """The true ids, given to the detections."""
    homographies = homographies_of(scene)
    return {
        name: _oracle_camera(scene, name, file, homographies.get(name)) for name, file in scene.recording.files.items()
    }


def _oracle_camera(scene: Scene, name: str, file: DetectionFile, homography: Homography | None) -> FoundTracks:
    ticks = scene.ticks_of(file.frames)
    places = places_of(homography, file.boxes)
    if name in scene.boxes:
        truth = scene.boxes[name].table
        found = BoxTable(ticks, np.zeros(len(file), np.int64), file.boxes)
        true_rows, rows = assign_rows(truth, found)
        people = truth.ids[true_rows]
    elif scene.ground is not None:
        true_rows, rows = nearest(scene.ground.table, ticks, places)
        people = scene.ground.table.ids[true_rows]
    else:
        raise ValueError(f"{scene.name} has no truth")
    order = np.argsort(ticks[rows], kind="stable")
    return found_tracks(homography, file, ticks, rows[order], people[order], people[order])


def nearest(truth: BoxTable, ticks: Int64, places: Float64) -> tuple[Int64, Int64]:
    """Rows of people and of the places at which they are, one to one at each tick, within ``MATCH_M``."""
    true_rows, rows = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for tick in np.unique(ticks):
        here = np.flatnonzero((ticks == tick) & np.isfinite(places).all(axis=1))
        there = np.flatnonzero(truth.frames == tick)
        distance = np.linalg.norm(truth.boxes[there][:, None] - places[here][None], axis=2)
        row, column = linear_sum_assignment(np.minimum(distance, 2 * MATCH_M))
        near = distance[row, column] <= MATCH_M
        true_rows.append(there[row[near]])
        rows.append(here[column[near]])
    return np.concatenate(true_rows), np.concatenate(rows)


def homographies_of(scene: Scene) -> dict[str, Homography]:
    """Of the cameras that take part."""
    cameras = {camera.id: camera for camera in scene.recording.cameras}
    return load_homographies(scene.environment.model_copy(update={"cameras": cameras}))


def places_of(homography: Homography | None, boxes: Float64) -> Float64:
    """[N, 2] metres; NaN without a homography."""
    return homography.to_map(foot_points(boxes)) if homography else np.full((len(boxes), 2), np.nan)


def found_tracks(
    homography: Homography | None, file: DetectionFile, ticks: Int64, rows: Int64, tracks: Int64, people: Int64
) -> FoundTracks:
    """Detections ``rows`` [M] of a file under ids that somebody else found; people from 1, 0 for nobody."""
    boxes = file.boxes[rows]
    spread = np.full((len(rows), 3), np.nan)
    if homography is not None:
        by_pixel = homography.metres_per_pixel(foot_points(boxes))
        height = FOOT_ERROR * (boxes[:, 3] - boxes[:, 1])
        covariance = np.einsum("nij,n,nkj->nik", by_pixel, height**2, by_pixel)
        covariance += LEAST_ERROR_M**2 * np.eye(2)
        spread = covariance.reshape(-1, 4)[:, [0, 1, 3]]
    places = places_of(homography, boxes)
    return FoundTracks(ticks[rows], tracks, people, boxes, file.scores[rows], places, spread)
