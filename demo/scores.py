"""How well people were found, followed and recognised, against ground truth.

HOTA, CLEAR (MOTA, id switches) and Identity (IDF1) are TrackEval's own classes, called on columns in memory. Frames may
be numbered in any way as long as truth and result agree; boxes are ``xyxy`` in pixels; map positions are metres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from trackeval.metrics import CLEAR, HOTA, Identity

from orchestrator.values import Bool, Float64, Int64

MATCH_IOU = 0.5
"""Overlap from which a box counts as the person's: the customary threshold of MOTChallenge."""
MIN_VISIBILITY = 0.25
"""People less visible than this are ignored: neither a miss nor, when found, a false positive."""
FOUND_COVERAGE = 0.5
"""Share of a person's scored boxes that one id must cover for the person to count as found."""
MATCH_M = 1.0
"""Distance on the map within which a place counts as the person's."""
UNNAMED = -1
"""Identity of a box whose person is not known."""
Similarity = Callable[[Float64, Float64], Float64]
"""Of true and found rows, one by one: [N, K], [N, K] -> [N] in 0..1; they match from ``MATCH_IOU`` on."""


@dataclass(frozen=True, slots=True)
class BoxTable:
    """Boxes over time, in any order; an id occurs at most once a frame."""

    frames: Int64
    """[N]."""
    ids: Int64
    """[N]."""
    boxes: Float64
    """[N, 4] xyxy, pixels; or [N, 2] metres, for places on the map in place of boxes."""

    def __len__(self) -> int:
        return len(self.frames)

    def select(self, rows: Bool | Int64) -> BoxTable:
        """The rows chosen by a mask [N] or by indices."""
        return BoxTable(self.frames[rows], self.ids[rows], self.boxes[rows])

    def with_ids(self, ids: Int64) -> BoxTable:
        """The same boxes under other ids [N]."""
        return BoxTable(self.frames, ids, self.boxes)


@dataclass(frozen=True, slots=True)
class CameraCase:
    """One camera's truth and result over the frames that were processed."""

    truth: BoxTable
    """Ids are people, shared by all cameras."""
    visibility: Float64
    """[N] of each true box, 0..1."""
    truth_xy: Float64
    """[N, 2] true map position; NaN where unknown."""
    found: BoxTable
    """Ids are the camera's track ids."""
    identities: Int64
    """[M] identity of each found box, shared by all cameras; ``UNNAMED`` where unknown."""
    found_xy: Float64
    """[M, 2] map position; NaN where unknown."""


@dataclass(frozen=True, slots=True)
class TrackingFigures:
    """TrackEval's figures of one sequence; NaN where there is nothing to be found."""

    hota: float
    det_a: float
    ass_a: float
    idf1: float
    mota: float
    id_switches: int
    recall: float
    """Share of true boxes that were found (CLEAR's matching at similarity 0.5, whatever the id)."""
    precision: float
    """Share of found boxes that are a person's."""
    true_boxes: int
    found_boxes: int
    true_ids: int
    found_ids: int


@dataclass(frozen=True, slots=True)
class PeopleFigures:
    """How many people are there and how many were recognised as one person."""

    there: int
    """People with at least one scored box in any camera."""
    found: int
    """People of whom one identity covers at least half of the scored boxes over all cameras, one identity a person."""
    identities: int
    """Distinct identities given."""


@dataclass(frozen=True, slots=True)
class MapFigures:
    """Distance between found and true map position over boxes that match a person; NaN where there are none."""

    positions: int
    median_m: float
    p95_m: float


@dataclass(frozen=True, slots=True)
class CameraFigures:
    """One camera: its tracks by themselves, and the boxes that have an identity under their identities."""

    tracks: TrackingFigures
    identities: TrackingFigures
    positions: MapFigures


@dataclass(frozen=True, slots=True)
class SiteFigures:
    """All cameras, and identities across them."""

    cameras: Mapping[str, CameraFigures]
    across: TrackingFigures
    """All cameras' frames laid end to end, identities shared; a box without an identity claims nothing: a miss."""
    people: PeopleFigures
    positions: MapFigures


def score_site(cases: Mapping[str, CameraCase]) -> SiteFigures:
    """Scores every camera by itself and identities across all of them.

    Raises:
        ValueError: an id occurs twice in one frame of one camera.
    """
    scored = {camera: _without_ignored(case) for camera, case in cases.items()}
    truth, found = lay_end_to_end([(case.truth, _named(case)) for case in scored.values()])
    return SiteFigures(
        cameras={camera: _score_camera(case) for camera, case in scored.items()},
        across=score_tracks(truth, found),
        people=score_people(truth, found),
        positions=_map_figures(np.concatenate([np.zeros(0), *(_map_errors(case) for case in scored.values())])),
    )


def score_tracks(truth: BoxTable, found: BoxTable, similarity: Similarity | None = None) -> TrackingFigures:
    """HOTA, IDF1, MOTA and plain detection figures of one sequence; ``similarity`` is ``box_iou`` where left out.

    Raises:
        ValueError: an id occurs twice in one frame.
    """
    data = _sequence(truth, found, similarity or box_iou)
    config = {"PRINT_CONFIG": False, "THRESHOLD": MATCH_IOU}
    hota = HOTA().eval_sequence(data)
    ids = Identity(dict(config)).eval_sequence(data)
    boxes = CLEAR(dict(config)).eval_sequence(data)
    known = 1.0 if len(truth) else float("nan")
    return TrackingFigures(
        hota=known * float(np.mean(hota["HOTA"])),
        det_a=known * float(np.mean(hota["DetA"])),
        ass_a=known * float(np.mean(hota["AssA"])),
        idf1=known * float(ids["IDF1"]),
        mota=known * float(boxes["MOTA"]),
        id_switches=int(boxes["IDSW"]),
        recall=known * float(boxes["CLR_Re"]),
        precision=float(boxes["CLR_Pr"]) if len(found) else float("nan"),
        true_boxes=len(truth),
        found_boxes=len(found),
        true_ids=data["num_gt_ids"],
        found_ids=data["num_tracker_ids"],
    )


def score_people(truth: BoxTable, found: BoxTable) -> PeopleFigures:
    """Counts the people there and those found, as ``PeopleFigures`` defines them."""
    people, boxes_of_person = np.unique(truth.ids, return_counts=True)
    identities = np.unique(found.ids)
    true_rows, found_rows = matches(truth, found)
    covered = np.zeros((len(people), len(identities)))
    person = np.searchsorted(people, truth.ids[true_rows])
    identity = np.searchsorted(identities, found.ids[found_rows])
    np.add.at(covered, (person, identity), 1)
    enough = covered >= FOUND_COVERAGE * boxes_of_person[:, None]
    rows, columns = linear_sum_assignment(-enough.astype(np.float64))
    return PeopleFigures(there=len(people), found=int(enough[rows, columns].sum()), identities=len(identities))


def matches(truth: BoxTable, found: BoxTable) -> tuple[Int64, Int64]:
    """Rows of true and found boxes that are each other's best overlap in their frame, with IoU >= 0.5. [P], [P]."""
    true_rows, found_rows, iou = _pairs(truth, found, box_iou)
    best_of_true = np.zeros(len(truth))
    best_of_found = np.zeros(len(found))
    np.maximum.at(best_of_true, true_rows, iou)
    np.maximum.at(best_of_found, found_rows, iou)
    mutual = (iou >= MATCH_IOU) & (iou == best_of_true[true_rows]) & (iou == best_of_found[found_rows])
    return true_rows[mutual], found_rows[mutual]


def rows_to_score(
    truth: BoxTable, ignored: Bool, found: BoxTable, similarity: Similarity | None = None
) -> tuple[Bool, Bool]:
    """Masks of the true rows [N] and found rows [M] that count.

    As MOTChallenge does with its distractors: in every frame all true boxes are assigned to found ones at IoU >= 0.5;
    a found box that falls to an ignored person is left out, and so is every ignored person.
    """
    keep = np.ones(len(found), np.bool_)
    true_rows, found_rows = assign_rows(truth, found, similarity, only=np.unique(truth.frames[ignored]))
    keep[found_rows[ignored[true_rows]]] = False
    return ~ignored, keep


def assign_rows(
    truth: BoxTable, found: BoxTable, similarity: Similarity | None = None, *, only: Int64 | None = None
) -> tuple[Int64, Int64]:
    """True rows [P] and found rows [P], one to one in each frame, where the similarity is at least ``MATCH_IOU``.

    The assignment with the largest sum of similarities (``box_iou`` where left out); in the frames ``only`` if given.
    """
    true_rows, found_rows, value = _pairs(truth, found, similarity or box_iou)
    near = value >= MATCH_IOU
    if only is not None:
        near &= np.isin(truth.frames[true_rows], only)
    order = np.flatnonzero(near)[np.argsort(truth.frames[true_rows[near]], kind="stable")]
    true_rows, found_rows, value = true_rows[order], found_rows[order], value[order]
    cuts = np.flatnonzero(np.diff(truth.frames[true_rows])) + 1
    taken: list[tuple[Int64, Int64]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for here in np.split(np.arange(len(order)), cuts) if len(order) else ():
        rows, row_of = np.unique(true_rows[here], return_inverse=True)
        columns, column_of = np.unique(found_rows[here], return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        gain[row_of, column_of] = value[here]
        row, column = linear_sum_assignment(-gain)
        real = gain[row, column] > 0
        taken.append((rows[row[real]], columns[column[real]]))
    return np.concatenate([pair[0] for pair in taken]), np.concatenate([pair[1] for pair in taken])


def lay_end_to_end(cameras: Sequence[tuple[BoxTable, BoxTable]]) -> tuple[BoxTable, BoxTable]:
    """One sequence of all cameras' frames, one camera after another; ids are kept."""
    truths, results, offset = [], [], 0
    for truth, found in cameras:
        frames = np.concatenate([truth.frames, found.frames])
        first, last = (int(frames.min()), int(frames.max())) if len(frames) else (0, -1)
        truths.append(BoxTable(truth.frames - first + offset, truth.ids, truth.boxes))
        results.append(BoxTable(found.frames - first + offset, found.ids, found.boxes))
        offset += last - first + 1
    return _concatenate(truths), _concatenate(results)


def box_iou(first: Float64, second: Float64) -> Float64:
    """Intersection over union of xyxy boxes, row by row: [N, 4], [N, 4] -> [N]; 0 where both are empty."""
    size = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    intersection = np.prod(np.clip(size, 0, None), axis=1)
    union = _area(first) + _area(second) - intersection
    iou: Float64 = np.divide(intersection, union, out=np.zeros(len(first)), where=union > 0)
    return iou


def place_similarity(first: Float64, second: Float64) -> Float64:
    """Of places on the map, row by row: [N, 2], [N, 2] metres -> [N]; 1 at no distance, 0.5 at ``MATCH_M``, then 0."""
    distance = np.linalg.norm(first - second, axis=1)
    return np.asarray(np.clip(1 - (1 - MATCH_IOU) * distance / MATCH_M, 0, 1), np.float64)


def _area(boxes: Float64) -> Float64:
    area: Float64 = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return area


def _score_camera(case: CameraCase) -> CameraFigures:
    return CameraFigures(
        tracks=score_tracks(case.truth, case.found),
        identities=score_tracks(case.truth, _named(case)),
        positions=_map_figures(_map_errors(case)),
    )


def _without_ignored(case: CameraCase) -> CameraCase:
    true_rows, found_rows = rows_to_score(case.truth, case.visibility < MIN_VISIBILITY, case.found)
    return CameraCase(
        truth=case.truth.select(true_rows),
        visibility=case.visibility[true_rows],
        truth_xy=case.truth_xy[true_rows],
        found=case.found.select(found_rows),
        identities=case.identities[found_rows],
        found_xy=case.found_xy[found_rows],
    )


def _named(case: CameraCase) -> BoxTable:
    return case.found.with_ids(case.identities).select(case.identities != UNNAMED)


def _map_errors(case: CameraCase) -> Float64:
    true_rows, found_rows = matches(case.truth, case.found)
    errors = np.linalg.norm(case.truth_xy[true_rows] - case.found_xy[found_rows], axis=1)
    known: Float64 = errors[np.isfinite(errors)]
    return known


def _map_figures(errors: Float64) -> MapFigures:
    if not len(errors):
        return MapFigures(0, float("nan"), float("nan"))
    return MapFigures(len(errors), float(np.median(errors)), float(np.percentile(errors, 95)))


def _pairs(truth: BoxTable, found: BoxTable, similarity: Similarity) -> tuple[Int64, Int64, Float64]:
    """Every true row with every found row of its frame: rows [P], rows [P], similarity [P]; in order of true rows."""
    order = np.argsort(found.frames, kind="stable")
    frames = found.frames[order]
    first = np.searchsorted(frames, truth.frames, "left")
    counts = np.searchsorted(frames, truth.frames, "right") - first
    true_rows = np.repeat(np.arange(len(truth)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    found_rows = order[np.repeat(first, counts) + within]
    return true_rows, found_rows, similarity(truth.boxes[true_rows], found.boxes[found_rows])


def _sequence(truth: BoxTable, found: BoxTable, similarity: Similarity) -> dict[str, Any]:
    """TrackEval's form of a sequence: a list a frame of dense ids and similarity matrices."""
    truth, found = _sorted(truth, "true"), _sorted(found, "found")
    frames = np.union1d(truth.frames, found.frames)
    true_ids, true_codes = np.unique(truth.ids, return_inverse=True)
    found_ids, found_codes = np.unique(found.ids, return_inverse=True)
    true_cuts = np.searchsorted(truth.frames, frames[1:])
    found_cuts = np.searchsorted(found.frames, frames[1:])
    truths = np.split(true_codes, true_cuts) if len(frames) else []
    results = np.split(found_codes, found_cuts) if len(frames) else []
    shapes = [(len(rows), len(columns)) for rows, columns in zip(truths, results, strict=True)]
    cells = np.cumsum([rows * columns for rows, columns in shapes], dtype=np.int64)
    similarities = np.split(_pairs(truth, found, similarity)[2], cells[:-1]) if shapes else []
    return {
        "num_timesteps": len(frames),
        "num_gt_dets": len(truth),
        "num_tracker_dets": len(found),
        "num_gt_ids": len(true_ids),
        "num_tracker_ids": len(found_ids),
        "gt_ids": truths,
        "tracker_ids": results,
        "similarity_scores": [cell.reshape(shape) for cell, shape in zip(similarities, shapes, strict=True)],
    }


def _sorted(table: BoxTable, name: str) -> BoxTable:
    ordered = table.select(np.lexsort((table.ids, table.frames)))
    repeated = (np.diff(ordered.frames) == 0) & (np.diff(ordered.ids) == 0)
    if repeated.any():
        row = int(np.argmax(repeated))
        raise ValueError(f"{name} id {ordered.ids[row]} occurs twice in frame {ordered.frames[row]}")
    return ordered


def _concatenate(tables: Sequence[BoxTable]) -> BoxTable:
    return BoxTable(
        np.concatenate([np.zeros(0, np.int64), *(table.frames for table in tables)]),
        np.concatenate([np.zeros(0, np.int64), *(table.ids for table in tables)]),
        np.concatenate([np.zeros((0, 4)), *(table.boxes for table in tables)]),
    )
